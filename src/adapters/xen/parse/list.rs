//! `xl list`, `xm list` and `xl vm-list`.

use super::Misread;
use crate::core::xen::{Domain, DomainState, ShutdownReason, Toolstack};

/// What a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The domains that exist on the hypervisor.
    pub domains: Vec<Domain>,
    /// The names of managed `xm` domains that do not run (facts 1.4): listed without an id and without a state.
    pub halted: Vec<String>,
}

/// One row of `xl vm-list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmRow {
    /// The guest's uuid; all zeros for Domain-0.
    pub uuid: String,
    /// The domain id.
    pub id: u32,
    /// The name.
    pub name: String,
}

/// Reads `xl list` or `xm list`, of any version.
///
/// The columns are found from the right, because a name is never cut and shifts what follows (`xl_info.c`, `list_domains`;
/// `main.py`, `xm_brief_list`). A list without its header, without Domain-0 or without its last line end is not whole and is
/// an error: both programs always print all three when they are asked for everything.
pub fn list(ts: Toolstack, text: &str) -> Result<Listing, Misread> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    if !(header.starts_with("Name ") && header.contains(" ID ") && header.trim_end().ends_with("Time(s)")) {
        return Err(Misread::of(header, "this is not the header of a list of domains"));
    }
    let mut listing = Listing::default();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        match row(ts, line)? {
            Row::Domain(domain) => listing.domains.push(domain),
            Row::Halted(name) => listing.halted.push(name),
        }
    }
    let last = text.lines().last().unwrap_or_default();
    if !text.ends_with('\n') {
        return Err(Misread::of(last, "the list ends in the middle of a line"));
    }
    if !listing.domains.iter().any(|domain| domain.id == 0) {
        return Err(Misread::of(last, "Domain-0 is not in the list, so the list is not whole"));
    }
    Ok(listing)
}

/// Reads `xl vm-list`: `UUID  ID  name` (`xl_info.c`, `list_vm`).
pub fn vm_list(text: &str) -> Result<Vec<VmRow>, Misread> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    if !header.starts_with("UUID ") {
        return Err(Misread::of(header, "this is not the header of xl vm-list"));
    }
    lines
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (uuid, rest) = line.split_once(' ').ok_or_else(|| Misread::of(line, "there is only one column"))?;
            let rest = rest.trim_start();
            let (id, name) = rest.split_once(' ').unwrap_or((rest, ""));
            let dashes_and_hex = uuid.len() == 36 && uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
            if !dashes_and_hex {
                return Err(Misread::of(line, "the first column is not a uuid"));
            }
            let id = id.parse().map_err(|_| Misread::of(line, "the second column is not a domain id"))?;
            Ok(VmRow { uuid: uuid.to_ascii_lowercase(), id, name: name.trim().to_string() })
        })
        .collect()
}

enum Row {
    Domain(Domain),
    Halted(String),
}

fn row(ts: Toolstack, line: &str) -> Result<Row, Misread> {
    let wrong = |why: &str| Misread::of(line, why);
    let mut rest = line;
    let mut last = take_last(&mut rest).ok_or_else(|| wrong("there is only one column"))?;
    if ts == Toolstack::Xm && last.starts_with("s:") && last.contains("/p:") {
        // Xen 3.0.2 puts a security label behind the time.
        last = take_last(&mut rest).ok_or_else(|| wrong("there are too few columns"))?;
    }
    if !is_seconds(last) {
        return Err(wrong("the last column is not a time"));
    }
    let word = take_last(&mut rest).ok_or_else(|| wrong("there are too few columns"))?;
    let Some(state) = state(ts, word) else {
        if ts == Toolstack::Xm {
            return halted(line).map(Row::Halted).ok_or_else(|| wrong("the fifth column is not a state"));
        }
        return Err(wrong("the fifth column is not a state"));
    };
    let mut number = |what: &str| {
        let word = take_last(&mut rest).ok_or_else(|| wrong("there are too few columns"))?;
        word.parse::<u64>().map_err(|_| wrong(what))
    };
    number("the fourth column is not a number of processors")?;
    let memory = number("the third column is not an amount of memory")?;
    let id = number("the second column is not a domain id")?;
    let id = u32::try_from(id).map_err(|_| wrong("the domain id is too large"))?;
    Ok(Row::Domain(Domain { name: rest.trim_end().to_string(), id, memory, state, uuid: None }))
}

/// A row of a managed domain that does not run: the columns of the id and the state are blank, and what follows must stand as far
/// right as that makes it (`%-40s %3s %5d … %10s %8.1f`, the narrowest of all versions), or a column has been lost.
fn halted(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(' ')?;
    let (before, rest) = gap(rest);
    let (memory, rest) = rest.split_once(' ')?;
    let memory_ends = name.chars().count() + 1 + before + memory.len();
    let (_, rest) = gap(rest);
    let (vcpus, rest) = rest.split_once(' ')?;
    let (state, time) = gap(rest);
    let numbers = memory.parse::<u64>().is_ok() && vcpus.parse::<u64>().is_ok() && is_seconds(time.trim_end());
    let id_is_blank = memory_ends >= name.chars().count().max(40) + 1 + 3 + 1 + 5;
    (!name.is_empty() && numbers && id_is_blank && state >= 11).then(|| name.to_string())
}

/// `%8.1f`.
fn is_seconds(word: &str) -> bool {
    let (whole, tenths) = word.split_once('.').unwrap_or((word, "0"));
    [whole, tenths].iter().all(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn gap(text: &str) -> (usize, &str) {
    let rest = text.trim_start_matches(' ');
    (text.len() - rest.len(), rest)
}

/// Takes the last word off. There must be something before it, if only blanks.
fn take_last<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_end();
    let at = text.rfind(char::is_whitespace)?;
    let blank = text[at..].chars().next().map_or(1, char::len_utf8);
    let word = &text[at + blank..];
    *rest = &text[..at];
    Some(word)
}

/// Six letters, each at its place.
///
/// The fifth is the reason of the shutdown with `xl` (`---ss-` is suspended), and `c` for crashed with `xm`, which takes the `s` away
/// then (`xc_domain.c`, `xc_domain_getinfo`) and does not tell any other reason.
fn state(ts: Toolstack, word: &str) -> Option<DomainState> {
    let letters: [char; 6] = word.chars().collect::<Vec<_>>().try_into().ok()?;
    let flag = |at: usize, letter: char| match letters[at] {
        '-' => Some(false),
        c if c == letter => Some(true),
        _ => None,
    };
    let (running, blocked, paused) = (flag(0, 'r')?, flag(1, 'b')?, flag(2, 'p')?);
    let (down, dying) = (flag(3, 's')?, flag(5, 'd')?);
    let shutdown = match (ts, down, letters[4]) {
        (Toolstack::Xm, _, 'c') => Some(ShutdownReason::Crash),
        (Toolstack::Xm, true, '-') => Some(ShutdownReason::Unknown),
        (_, false, '-') => None,
        (Toolstack::Xl, true, reason) => Some(match reason {
            '-' => ShutdownReason::Poweroff,
            'r' => ShutdownReason::Reboot,
            's' => ShutdownReason::Suspend,
            'c' => ShutdownReason::Crash,
            'w' => ShutdownReason::Watchdog,
            'S' => ShutdownReason::SoftReset,
            _ => ShutdownReason::Unknown,
        }),
        _ => return None,
    };
    Some(DomainState { running, blocked, paused, shutdown, dying })
}
