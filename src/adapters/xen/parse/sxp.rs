//! `xm list --long`: S-expressions, one after the other, printed on many lines (`PrettyPrint.py`, `sxp.py`).

use super::{GuestKind, Long, Misread, add_once, script_name};
use crate::core::xen::DomainDisk;

/// Reads the domains of `xm list --long`. A managed one that does not run is among them and has no id.
pub fn domains(text: &str) -> Result<Vec<Long>, Misread> {
    read(text)?.iter().map(domain).collect()
}

fn domain(sexp: &Sexp) -> Result<Long, Misread> {
    let wrong = |why: &str| Misread::of(&sexp.to_text(), why);
    if sexp.head() != Some("domain") {
        return Err(wrong("this is not (domain …)"));
    }
    let name = sexp.value("name").ok_or_else(|| wrong("the domain has no name"))?;
    let id = match sexp.value("domid") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| wrong("domid is not a domain id"))?),
    };
    let (mut disks, mut bridges) = (Vec::new(), Vec::new());
    for device in sexp.children("device") {
        let Some(device) = device.items().get(1) else {
            return Err(wrong("there is an empty device"));
        };
        match device.head() {
            Some("vbd" | "tap" | "tap2") => disks.push(disk(device)?),
            Some("vif") => add_once(&mut bridges, device.value("bridge").unwrap_or_default()),
            _ => {}
        }
    }
    let kind = match sexp.children("image").next().and_then(|image| image.items().get(1)).and_then(Sexp::head) {
        Some("linux") => GuestKind::Pv,
        Some("hvm") => GuestKind::Hvm,
        other => GuestKind::Other(other.unwrap_or_default().to_string()),
    };
    Ok(Long {
        name: name.to_string(),
        id,
        uuid: sexp.value("uuid").map(str::to_ascii_lowercase),
        kind,
        // Domain-0 has no limit: all of 2⁶⁴ bytes, in MiB.
        max_memory_mib: sexp.value("maxmem").and_then(|mib| mib.parse().ok()).filter(|mib: &u64| *mib < 1 << 40),
        disks,
        bridges,
    })
}

/// `(vbd (uname drbd:web) (dev xvda:disk) (mode w) …)`.
///
/// `phy:drbd5` means `/dev/drbd5`, `tap:aio:` and `tap2:tapdisk:aio:` are file names (`blkif.py`, `parse_uname`), and any other word
/// is a script `block-WORD` that gets the rest (facts 3.2).
fn disk(device: &Sexp) -> Result<DomainDisk, Misread> {
    let wrong = |why: &str| Misread::of(&device.to_text(), why);
    let dev = device.value("dev").ok_or_else(|| wrong("a disk has no dev"))?;
    let dev = dev.strip_prefix("ioemu:").unwrap_or(dev);
    let (vdev, what) = dev.split_once(':').unwrap_or((dev, "disk"));
    let uname = device.value("uname").filter(|uname| *uname != "None").unwrap_or_default();
    let (target, script) = match uname.split_once(':') {
        None => (uname.to_string(), None),
        Some(("phy", path)) if !path.starts_with('/') && !path.is_empty() => (format!("/dev/{path}"), None),
        Some(("phy" | "file", path)) => (path.to_string(), None),
        Some(("tap" | "tap2", rest)) => {
            let at = rest.find('/').or_else(|| rest.rfind(':').map(|at| at + 1)).unwrap_or(0);
            (rest[at..].to_string(), None)
        }
        Some((word, rest)) => (rest.to_string(), script_name(&format!("block-{word}"))),
    };
    Ok(DomainDisk {
        vdev: vdev.to_string(),
        target,
        script,
        cdrom: what == "cdrom",
        writable: device.value("mode").is_some_and(|mode| mode.starts_with('w')),
    })
}

/// An S-expression: a word or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sexp {
    Word(String),
    List(Vec<Sexp>),
}

impl Sexp {
    fn items(&self) -> &[Sexp] {
        match self {
            Sexp::Word(_) => &[],
            Sexp::List(items) => items,
        }
    }

    fn word(&self) -> Option<&str> {
        match self {
            Sexp::Word(word) => Some(word),
            Sexp::List(_) => None,
        }
    }

    fn head(&self) -> Option<&str> {
        self.items().first().and_then(Sexp::word)
    }

    fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sexp> {
        self.items().iter().filter(move |item| item.head() == Some(name))
    }

    /// The word of `(name word)`.
    fn value(&self, name: &str) -> Option<&str> {
        self.items().iter().find(|item| item.head() == Some(name)).and_then(|item| item.items().get(1)).and_then(Sexp::word)
    }

    fn to_text(&self) -> String {
        match self {
            Sexp::Word(word) => word.clone(),
            Sexp::List(items) => format!("({})", items.iter().map(Sexp::to_text).collect::<Vec<_>>().join(" ")),
        }
    }
}

/// Reads all expressions of a text. Lists may be 60 deep; xend's are 6.
fn read(text: &str) -> Result<Vec<Sexp>, Misread> {
    let wrong = |why: &str| Misread::of(text.lines().last().unwrap_or_default(), why);
    let mut open: Vec<Vec<Sexp>> = vec![Vec::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let word = match c {
            c if c.is_whitespace() => continue,
            '(' => {
                if open.len() > 60 {
                    return Err(wrong("the lists are too deep"));
                }
                open.push(Vec::new());
                continue;
            }
            ')' => {
                let done = open.pop().unwrap_or_default();
                match open.last_mut() {
                    Some(outer) => outer.push(Sexp::List(done)),
                    None => return Err(wrong("there is a ) too many")),
                }
                continue;
            }
            '\'' | '"' => quoted(&mut chars, c).ok_or_else(|| wrong("a quoted text does not end"))?,
            c => {
                let mut word = c.to_string();
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && *c != '(' && *c != ')') {
                    word.push(c);
                }
                word
            }
        };
        match open.last_mut() {
            Some(list) => list.push(Sexp::Word(word)),
            None => return Err(wrong("there is a ) too many")),
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(all), true) => Ok(all),
        _ => Err(wrong("the text ends in the middle of a list")),
    }
}

/// The rest of a text in Python's quotes (`repr`), behind the opening one. Bytes beyond ASCII are written `\xNN` there.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) -> Option<String> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut buffer = [0u8; 4];
    loop {
        match chars.next()? {
            c if c == quote => return Some(String::from_utf8_lossy(&bytes).into_owned()),
            '\\' => match chars.next()? {
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                'r' => bytes.push(b'\r'),
                'x' => {
                    let (high, low) = (chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?);
                    bytes.push(u8::try_from(high * 16 + low).ok()?);
                }
                c => bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
            },
            c => bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
}
