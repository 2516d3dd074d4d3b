//! The disk specifications of `xl` 4.2 and later: the lexer `libxlu_disk_l.l`, whose rules are tried by the length of what they match,
//! and the checks of `libxlu_disk.c`.

use super::Misfit;
use crate::core::fault::quoted;

/// A specification taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) target: Option<String>,
    pub(super) vdev: Option<String>,
    pub(super) script: Option<String>,
    pub(super) backend_domain: Option<String>,
    pub(super) backend: Option<&'static str>,
    pub(super) format: Option<&'static str>,
    specification: Option<&'static str>,
    pub(super) writable: bool,
    pub(super) cdrom: bool,
    access_set: bool,
    deprecated_prefix: bool,
    /// Parameters that were given, do not concern us and may stand only once (COLO).
    others: Vec<String>,
}

/// What is wrong, and at which byte of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) expected: String,
}

/// Words that set a format when they stand in front with a colon.
const FORMAT_PREFIXES: [&str; 4] = ["raw", "qcow", "qcow2", "vhd"];
/// Words that set the script `block-WORD`.
const SCRIPT_PREFIXES: [&str; 4] = ["iscsi", "nbd", "enbd", "drbd"];
/// Words that are passed over.
const IGNORED_PREFIXES: [&str; 7] = ["tapdisk", "tap", "tap2", "aio", "ioemu", "file", "phy"];
/// Parameters without a value that do not concern us. (`colo` and its like are unstable by their own comment.)
const FLAGS: [&str; 7] = ["direct-io-safe", "discard", "no-discard", "colo", "no-colo", "trusted", "untrusted"];
/// Parameters with a value that does not concern us, but which may stand only once.
const OTHERS: [&str; 4] = ["colo-host", "colo-export", "active-disk", "hidden-disk"];

/// Takes a specification apart; the answer to the first thing xl would complain of is the fault.
pub(super) fn parse(spec: &str) -> Result<Parsed, Wrong> {
    if let Some(at) = spec.find(['\n', '\0']) {
        return Err(wrong(at, "a line end inside of a disk: not understood", "one line"));
    }
    let mut disk = Parsed { writable: true, ..Parsed::default() };
    let mut at = 0;
    while at < spec.len() {
        at += disk.step(spec, at)?;
    }
    disk.finish()
}

fn wrong(at: usize, what: impl Into<String>, expected: impl Into<String>) -> Wrong {
    Wrong { at, what: what.into(), expected: expected.into() }
}

impl Parsed {
    /// Reads one thing at `at` and says how many bytes it took: never none.
    fn step(&mut self, spec: &str, at: usize) -> Result<usize, Wrong> {
        let rest = &spec[at..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if blanks > 0 {
            return Ok(blanks);
        }
        if let Some(length) = self.prefix(rest, at)? {
            return Ok(length);
        }
        let run = rest.find(['=', ',']).unwrap_or(rest.len());
        let word = &rest[..run];
        let comma = usize::from(rest[run..].starts_with(','));
        if rest[run..].starts_with('=') {
            return self.parameter(word, &rest[run + 1..], at).map(|used| run + 1 + used);
        }
        if word == "cdrom" {
            self.cdrom = true;
        } else if !FLAGS.contains(&word) {
            self.positional(word, at)?;
        }
        Ok(run + comma)
    }

    /// `word:` in front. These rules look ahead over the whole rest, so they win against all others.
    fn prefix(&mut self, rest: &str, at: usize) -> Result<Option<usize>, Wrong> {
        let length = rest.bytes().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
        let (word, after) = rest.split_at(length);
        if !word.starts_with(|c: char| c.is_ascii_lowercase()) || !after.starts_with(':') {
            return Ok(None);
        }
        if FORMAT_PREFIXES.contains(&word) {
            self.deprecated_prefix = true;
            self.set_format(word, at)?;
        } else if SCRIPT_PREFIXES.contains(&word) {
            self.deprecated_prefix = true;
            save(&mut self.script, &format!("block-{word}"), "script", at)?;
        } else if IGNORED_PREFIXES.contains(&word) {
            self.deprecated_prefix = true;
        } else if !after[1..].starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            return Err(wrong(
                at,
                format!("xl does not know the word {} in front", quoted(&rest[..=length])),
                "`drbd:`, `phy:` or a plain path",
            ));
        } else {
            return Ok(None);
        }
        Ok(Some(length + 1))
    }

    /// `key=value`; answers how many bytes the value took, comma included.
    fn parameter(&mut self, key: &str, rest: &str, at: usize) -> Result<usize, Wrong> {
        if key == "target" {
            // Eats the rest of the string, commas included, but for one at the very end.
            save(&mut self.target, rest.strip_suffix(',').unwrap_or(rest), "target", at)?;
            return Ok(rest.len());
        }
        let end = rest.find(',').unwrap_or(rest.len());
        let value = &rest[..end];
        match key {
            "format" => self.set_format(value, at)?,
            "devtype" => match value {
                "cdrom" => self.cdrom = true,
                "disk" => self.cdrom = false,
                _ => return Err(unknown_value(key, value, at, "`cdrom` or `disk`")),
            },
            "access" => self.set_access(value, at)?,
            "backend" => save(&mut self.backend_domain, value, key, at)?,
            "backendtype" => {
                let known = ["phy", "tap", "qdisk", "standalone"];
                set_word(&mut self.backend, &known, key, value, at)?;
            }
            "specification" => set_word(&mut self.specification, &["xen", "virtio"], key, value, at)?,
            "vdev" => save(&mut self.vdev, value, key, at)?,
            "script" => save(&mut self.script, value, key, at)?,
            "colo-port" => {
                let port = value.trim_start().bytes().take_while(u8::is_ascii_digit).any(|b| b != b'0');
                if !port {
                    return Err(unknown_value(key, value, at, "a number"));
                }
            }
            "grant_usage" if value == "0" || value == "1" => {}
            _ if OTHERS.contains(&key) => {
                if self.others.iter().any(|k| k == key) {
                    return Err(wrong(at, format!("{key} is given twice"), "it once"));
                }
                // An empty one may be given again.
                if !value.is_empty() {
                    self.others.push(key.to_string());
                }
            }
            _ => {
                return Err(wrong(
                    at,
                    format!("xl does not know the parameter {}", quoted(key)),
                    "e.g. `vdev=`, `access=`, `script=`, `target=`",
                ));
            }
        }
        Ok(end + usize::from(end < rest.len()))
    }

    /// Target, format (unless a word stood in front), virtual device, access; whichever is not set yet.
    fn positional(&mut self, word: &str, at: usize) -> Result<(), Wrong> {
        if self.target.is_none() {
            self.target = Some(word.to_string());
        } else if !self.deprecated_prefix && self.format.is_none() {
            let empty_target = self.target.as_deref() == Some("");
            if empty_target && self.vdev_and_devtype(word, at)? {
                self.format = Some("empty");
            } else {
                self.set_format(word, at)?;
            }
        } else if self.vdev.is_none() {
            if !self.vdev_and_devtype(word, at)? {
                self.vdev = Some(word.to_string());
            }
        } else if !self.access_set {
            self.access_set = true;
            self.set_access(word, at)?;
        } else {
            let what = format!("{} is one word too many (xm's fields after the mode are unknown to xl)", quoted(word));
            return Err(wrong(at, what, "target, format, vdev, access"));
        }
        Ok(())
    }

    /// `hdc:cdrom`.
    fn vdev_and_devtype(&mut self, word: &str, at: usize) -> Result<bool, Wrong> {
        let Some((vdev, kind)) = word.rsplit_once(':') else {
            return Ok(false);
        };
        save(&mut self.vdev, vdev, "vdev", at)?;
        self.cdrom = match kind {
            "cdrom" => true,
            "disk" => false,
            _ => {
                return Err(unknown_value("the type after the vdev", kind, at, "`:cdrom` or `:disk`"));
            }
        };
        Ok(true)
    }

    fn set_access(&mut self, value: &str, at: usize) -> Result<(), Wrong> {
        self.writable = match value {
            "r" | "ro" => false,
            "rw" | "w" | "" => true,
            _ => return Err(unknown_value("access", value, at, "`r`, `ro`, `w` or `rw`")),
        };
        Ok(())
    }

    fn set_format(&mut self, value: &str, at: usize) -> Result<(), Wrong> {
        let value = if value.is_empty() { "raw" } else { value };
        set_word(&mut self.format, &["raw", "qcow", "qcow2", "vhd", "empty", "qed"], "format", value, at)
    }

    /// `xlu_disk_parse`, after the lexer.
    fn finish(mut self) -> Result<Parsed, Wrong> {
        self.format = self.format.or(Some("raw"));
        if self.cdrom {
            self.writable = false;
            if self.target.as_deref().unwrap_or("").is_empty() {
                self.format = Some("empty");
            }
        }
        if self.vdev.is_none() {
            return Err(wrong(
                0,
                "no virtual device is given",
                "e.g. `vdev=xvda` (before `target=`, which takes the whole rest)",
            ));
        }
        if self.target.is_none() && !self.cdrom {
            return Err(wrong(0, "no target is given", "a path or a resource"));
        }
        Ok(self)
    }

    /// What libxl refuses once the domU is to be started.
    pub(super) fn refused(&self) -> Option<Misfit> {
        match self.backend {
            Some(backend @ ("tap" | "qdisk" | "standalone")) if self.script.as_deref().is_some_and(|s| !s.is_empty()) => {
                Some(Misfit::new(format!("xl refuses a script with backendtype={backend}"), "backendtype=phy, or none"))
            }
            _ => None,
        }
    }
}

/// Sets a string once; an empty one may be overwritten (`savestring`).
fn save(slot: &mut Option<String>, value: &str, what: &str, at: usize) -> Result<(), Wrong> {
    if slot.as_deref().is_some_and(|before| !before.is_empty()) {
        return Err(wrong(at, format!("{what} is given twice"), "it once"));
    }
    *slot = Some(value.to_string());
    Ok(())
}

/// Sets one of some words; the same one again does no harm (`DSET`).
fn set_word(slot: &mut Option<&'static str>, known: &[&'static str], key: &str, value: &str, at: usize) -> Result<(), Wrong> {
    let Some(word) = known.iter().find(|w| **w == value) else {
        return Err(unknown_value(key, value, at, &format!("one of {}", known.join(", "))));
    };
    if slot.is_some_and(|before| before != *word) {
        return Err(wrong(at, format!("{key} is given twice"), "it once"));
    }
    *slot = Some(word);
    Ok(())
}

fn unknown_value(key: &str, value: &str, at: usize, expected: &str) -> Wrong {
    wrong(at, format!("xl does not know {} for {key}", quoted(value)), expected)
}
