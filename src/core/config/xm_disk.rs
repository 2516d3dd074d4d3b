//! The disk specifications of `xm`: a plain split at commas (`create.py`, `preprocess_disk`), whose fields xend looks at only when the
//! domU is started (`xend/server/blkif.py`, `getDeviceDetails`; `xen/util/blkif.py`, `parse_uname`).

use super::{Disk, Misfit, Words};
use crate::core::fault::quoted;

/// Takes a specification apart; `None` if `xm create` refuses it ("Invalid disk specifier").
pub(super) fn parse(spec: &str, (line, column): (u32, u32)) -> Option<Disk> {
    let fields: Vec<&str> = spec.split(',').collect();
    let (uname, dev, mode, rest) = match fields.as_slice() {
        [uname, dev, mode, rest @ ..] if rest.len() <= 2 => (*uname, *dev, *mode, rest),
        _ => return None,
    };
    // xm leaves an empty field out.
    let further = |n: usize| rest.get(n).filter(|f| !f.is_empty()).map(|f| f.to_string());

    // `ioemu:hda` anywhere loses its first word; then `hdc:cdrom` is split.
    let bare = if dev.contains("ioemu:") { dev.split_once(':').map_or(dev, |(_, rest)| rest) } else { dev };
    let (vdev, kind) = bare.split_once(':').unwrap_or((bare, "disk"));
    let cdrom = kind == "cdrom";

    let (uname_parts, refused) = match split_uname(uname, cdrom) {
        Ok(parts) => (parts, None),
        Err(misfit) => (Uname { target: uname.to_string(), script: None }, Some(misfit)),
    };
    let refused = refused.or_else(|| match mode {
        "r" | "w" | "w!" => None,
        _ => Some(Misfit::new(format!("xend refuses the mode {}", quoted(mode)), "`r`, `w` or `w!`, without blanks")),
    });
    let refused = refused.or_else(|| match vdev {
        "" => Some(Misfit::new("there is no virtual device", "e.g. `xvda`")),
        v if v.contains(char::is_whitespace) => {
            Some(Misfit::new(format!("xend refuses the virtual device {}", quoted(v)), "no blanks"))
        }
        _ => None,
    });
    Some(Disk {
        line,
        column,
        spec: spec.to_string(),
        target: uname_parts.target,
        vdev: vdev.to_string(),
        script: uname_parts.script,
        writable: mode.starts_with('w'),
        cdrom,
        backend_domain: further(0),
        words: Words::Xm {
            uname: uname.to_string(),
            dev: dev.to_string(),
            mode: mode.to_string(),
            backend: further(0),
            protocol: further(1),
        },
        refused,
    })
}

struct Uname {
    target: String,
    script: Option<String>,
}

fn split_uname(uname: &str, cdrom: bool) -> Result<Uname, Misfit> {
    let plain = |target: String| Ok(Uname { target, script: None });
    if uname.is_empty() {
        return if cdrom {
            plain(String::new())
        } else {
            Err(Misfit::new("only a cdrom drive may be empty", "`TYPE:WHAT`, e.g. `drbd:web`"))
        };
    }
    let Some((kind, rest)) = uname.split_once(':') else {
        let what = format!("xend refuses {}, which has no word in front (and xm knows no key=value forms)", quoted(uname));
        return Err(Misfit::new(what, "`TYPE:WHAT`, e.g. `drbd:web`"));
    };
    match kind {
        // A relative name is one in /dev.
        "phy" if !rest.starts_with('/') => plain(format!("/dev/{rest}")),
        "phy" | "file" => plain(rest.to_string()),
        "tap" | "tap2" => match rest.split_once(':') {
            Some(("tapdisk" | "ioemu", rest)) => plain(rest.split_once(':').map_or(rest, |(_, file)| file).to_string()),
            Some((_, file)) => plain(file.to_string()),
            None => Err(Misfit::new(format!("xend misses the driver in {}", quoted(uname)), "e.g. `tap:aio:/srv/web.img`")),
        },
        // Any other word needs an executable /etc/xen/scripts/block-WORD.
        _ if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') => {
            Ok(Uname { target: rest.to_string(), script: Some(format!("block-{kind}")) })
        }
        _ => Err(Misfit::new(format!("{} is no kind of disk", quoted(kind)), "e.g. `drbd:`, `phy:`, `file:`")),
    }
}
