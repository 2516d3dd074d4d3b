//! domU config files, in the languages of `xl` and of `xm`.
//!
//! The two share their looks and nothing else (facts 3.1): `xl` has a grammar of its own, `xm` runs the file as Python 2.
//! So [`read`] wants to know for whom the file is. What the toolstack's own reader refuses is a fault here as well, at the same
//! place; what is Python beyond plain assignments is a fault "not understood": never a guess, and never half a file.
//!
//! Two stages, because the toolstacks have two as well:
//!
//! * [`read`]: what `xl create` and `xm create -n` read from the file: name, memory, disks, bridges.
//! * [`DomuConfig::drbd_uses`] and [`resolve`]: what the disks mean for DRBD, and what starting them would stumble over
//!   (`phy:drbd1` is a relative path to `xl`, a key=value disk is nonsense to xend, …).
//!
//! Out of scope: the disk parser of `xl` 4.1, which was replaced in 4.2 and misreads newer forms without an error (facts 3.3).

mod disks;
mod source;
mod xl;
mod xl_disk;
mod xl_lex;
mod xm;
mod xm_disk;
mod xm_expr;
mod xm_parse;
mod xm_token;
mod xm_value;

#[cfg(test)]
mod hostile_tests;

pub use disks::{DiskUse, DrbdUse, Misfit, NeededResource, Promotion, Unresolved, of_running_disk, resolve};

use super::fault::{Fault, quoted};
use super::names::DomuName;
use super::xen::Toolstack;
use source::{Faults, LARGEST, Source};

/// What a domU's config file says, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomuConfig {
    /// The name as the toolstack will take it; not checked yet, see [`DomuConfig::domu_name`].
    pub name: String,
    /// The line of the name (1 where the file gives none and `xm` takes the file's name).
    pub name_line: u32,
    /// The column of the name.
    pub name_column: u32,
    /// `memory` in MiB, where the file says it in a way the toolstack understands.
    pub memory_mib: Option<u64>,
    /// `maxmem` in MiB, likewise.
    pub max_memory_mib: Option<u64>,
    /// Every disk, in the order of the file.
    pub disks: Vec<Disk>,
    /// The bridges of the network interfaces that name one, in the order of the file, each once.
    pub bridges: Vec<String>,
    /// What the toolstack accepts and a person should know of.
    pub warnings: Vec<Fault>,
}

/// One disk of a domU's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The line of the specification.
    pub line: u32,
    /// Its column.
    pub column: u32,
    /// The specification as it stands in the file, escapes resolved.
    pub spec: String,
    /// What stands behind the disk, without the words in front: a path, or a resource for a script. Empty for an empty drive.
    ///
    /// For `xm`, `phy:` with a relative name has become a path in `/dev`, as xend does it.
    pub target: String,
    /// The virtual device, `xvda`, without `ioemu:` and `:cdrom`.
    pub vdev: String,
    /// The hotplug script, where the specification names one: by `script=`, or by a word like `drbd:` in front.
    pub script: Option<String>,
    /// The guest may write.
    pub writable: bool,
    /// A cdrom drive.
    pub cdrom: bool,
    /// The domain that serves the disk, where it is named.
    pub backend_domain: Option<String>,
    /// What only one of the toolstacks has.
    pub words: Words,
    /// Why the toolstack will refuse the disk when the domU is started, although its reader takes it.
    pub refused: Option<Misfit>,
}

/// The part of a disk that differs between the toolstacks, in their own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// `libxl_device_disk`.
    Xl {
        /// `unknown`, `phy`, `tap`, `qdisk` or `standalone`.
        backend: &'static str,
        /// `raw`, `qcow`, `qcow2`, `vhd`, `qed` or `empty`.
        format: &'static str,
    },
    /// The fields between the commas, untrimmed (`create.py`, `configure_disks`).
    Xm {
        /// `TYPE:PARAMS`.
        uname: String,
        /// The virtual device with what may stand around it.
        dev: String,
        /// `r`, `w`, `w!`.
        mode: String,
        /// The domain that serves the disk.
        backend: Option<String>,
        /// The protocol.
        protocol: Option<String>,
    },
}

/// Reads a config file for one toolstack.
///
/// `file_name` is the file's path or name: `xm` takes its last part, extension included, for the name of a domU that has none.
/// The faults are all that were found, in the order of the file. After a fault nothing is known about the domU: there is no
/// partial answer.
pub fn read(file_name: &str, text: &[u8], toolstack: Toolstack) -> Result<DomuConfig, Vec<Fault>> {
    if text.len() > LARGEST {
        let what = format!("the file has {} bytes, which is too large for a domU config", text.len());
        return Err(vec![Fault::new(1, 1, what, format!("at most {LARGEST} bytes"))]);
    }
    let source = Source::new(text);
    if let Some(at) = text.iter().position(|b| *b == 0) {
        return Err(vec![source.fault(at, "a byte with the value zero: this is no text file", "text")]);
    }
    match toolstack {
        Toolstack::Xl => xl::read(&source),
        Toolstack::Xm => xm::read(file_name, &source),
    }
}

/// Whether a file in a folder of configs is meant to be one, by its name.
///
/// Editors and package managers leave copies beside the original; started, such a copy would be an old version of the
/// domU. Refused are hidden files, backups (`web~`, `#web#`, `web.bak`, `web.orig`, `web.old`, `web.save`), what `dpkg`, `ucf` and
/// `rpm` put aside, swap files, unfinished files, archives, what a person has switched off (`web.disabled`), xend's own formats (`.sxp`,
/// `.xml`), a `README`, and whatever stands behind the ending of a config (`web.cfg.hidden`, `web.cfg.1`, `web.conf-2026`).
///
/// xendomains takes every file of its folder (facts 6), so a person who switches a domU off there moves its file away; here a new name
/// is enough.
pub fn is_config_file_name(name: &str) -> bool {
    const ENDS: [&str; 35] = [
        "~", "#", ".bak", ".backup", ".bck", ".bkp", ".orig", ".old", ".prev", ".copy", ".new", ".rej", ".save", ".sav", ".swp",
        ".swo", ".swn", ".swx", ".tmp", ".temp", ".part", ".disabled", ".disable", ".hidden", ".off", ".sxp", ".xml", ".lock",
        ".pid", ".gz", ".bz2", ".xz", ".zst", ".zip", ".tar",
    ];
    const CONFIGS: [&str; 2] = [".cfg", ".conf"];
    const MIDDLES: [&str; 3] = [".dpkg-", ".ucf-", ".rpm"];
    let lower = name.to_ascii_lowercase();
    let packaged = MIDDLES.iter().any(|middle| {
        lower.rsplit_once(middle).is_some_and(|(_, rest)| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase()))
    });
    !name.is_empty()
        && !name.starts_with(['.', '#', '~'])
        && !name.contains('/')
        && !name.chars().any(char::is_control)
        && !ENDS.iter().any(|end| lower.ends_with(end))
        && !packaged
        && !CONFIGS.iter().any(|end| lower.match_indices(end).any(|(at, end)| goes_on(&lower[at + end.len()..])))
        && lower != "readme"
        && !lower.starts_with("readme.")
}

/// Something stands behind the ending of a config, and it is no longer ending (`.config`).
fn goes_on(rest: &str) -> bool {
    rest.starts_with(|c: char| !c.is_alphanumeric()) && rest != ".cfg" && rest != ".conf"
}

impl DomuConfig {
    /// The name, if it is one that may reach an argument list; else a fault at its place.
    pub fn domu_name(&self) -> Result<DomuName, Fault> {
        self.name.parse::<DomuName>().map_err(|bad| {
            let what = format!("the domU's name {} cannot be used: {}", quoted(&self.name), bad.why);
            Fault::new(self.name_line, self.name_column, what, "a plain word that is not a number")
        })
    }
}

/// Collects what both languages find in a file, and answers with the config or with all faults.
struct Draft<'s, 't> {
    source: &'s Source<'t>,
    faults: Faults,
    warnings: Faults,
}

impl<'s, 't> Draft<'s, 't> {
    fn new(source: &'s Source<'t>) -> Draft<'s, 't> {
        Draft { source, faults: Faults::default(), warnings: Faults::default() }
    }

    fn fault(&mut self, at: usize, what: impl Into<String>, expected: impl Into<String>) {
        self.faults.add(self.source, at, what, expected);
    }

    fn warn(&mut self, at: usize, what: impl Into<String>, expected: impl Into<String>) {
        self.warnings.add(self.source, at, what, expected);
    }

    /// Bytes of the file as text; bytes that are not UTF-8 are a fault, since nobody could compare or print them.
    fn utf8(&mut self, at: usize, bytes: &[u8]) -> Option<String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text.to_string()),
            Err(_) => {
                self.fault(at, format!("{} is not UTF-8: not understood", quoted(bytes)), "plain text");
                None
            }
        }
    }
}

/// Puts a bridge into the list unless it is there.
fn add_bridge(bridges: &mut Vec<String>, bridge: &str) {
    if !bridge.is_empty() && !bridges.iter().any(|b| b == bridge) {
        bridges.push(bridge.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_told_from_what_editors_and_packages_leave_behind() {
        for good in [
            "web", "web.cfg", "db-1.conf", "01-web", "a.b.c", "web.hvm", "web.xl", "rpmserver", "web.rpm-mirror.cfg", "my file",
            "web.config", "web.example.no", "web.cfg.cfg", "web.cfgs",
        ] {
            assert!(is_config_file_name(good), "{good}");
        }
        for bad in [
            "", ".", "..", ".web", ".web.cfg.swp", "web~", "web.cfg~", "#web#", "#web", "web.dpkg-old", "web.dpkg-dist",
            "web.dpkg-new", "web.dpkg-tmp", "web.cfg.dpkg-bak", "web.ucf-dist", "web.rpmsave", "web.rpmnew", "web.bak",
            "web.BAK", "web.orig", "web.old", "web.rej", "web.swp", "web.swo", "web.tmp", "web.save", "web.disabled", "web.sxp",
            "web.xml", "README", "README.txt", "a/b", "a\nb", "~web", "web.cfg.hidden", "web.cfg.1", "web.cfg.2026-01-01",
            "web.cfg_", "web.cfg-", "web.cfg (copy)", "web.conf.x", "web.cfg.cfg.old", "web.hidden", "web.copy", "web.tar.gz",
            "web.CFG.HIDDEN",
        ] {
            assert!(!is_config_file_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_name_of_digits_is_read_and_then_refused_with_its_place() {
        let config = read("f", b"memory = 1\nname = 1000\n", Toolstack::Xl).unwrap();
        assert_eq!(config.name, "1000");
        let fault = config.domu_name().unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 8));
    }

    #[test]
    fn what_is_too_large_or_no_text_is_refused_in_both_languages() {
        for toolstack in [Toolstack::Xl, Toolstack::Xm] {
            assert!(read("f", &vec![b'\n'; LARGEST + 1], toolstack).is_err());
            let faults = read("f", b"name = 'a'\nx = 1\0", toolstack).unwrap_err();
            assert_eq!((faults[0].line, faults[0].column), (2, 6));
        }
    }
}
