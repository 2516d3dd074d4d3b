//! Xen's own words: toolstacks, domains and their states.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The program that manages domains on a Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Toolstack {
    /// xend's client, up to Xen 4.4.
    Xm,
    /// libxl's, since Xen 4.1.
    Xl,
}

impl Toolstack {
    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Toolstack::Xm => "xm",
            Toolstack::Xl => "xl",
        }
    }
}

impl fmt::Display for Toolstack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.program())
    }
}

/// The state letters of a domain, read by position.
///
/// `xl list` prints six: running, blocked, paused, shut down, **the reason of the shutdown**, dying (`xl_info.c`, `list_domains`);
/// the man page describes the fifth as "crashed". A running guest is very often `------` or `-b----`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainState {
    /// `r`: on a processor just now.
    pub running: bool,
    /// `b`: waiting.
    pub blocked: bool,
    /// `p`: paused.
    pub paused: bool,
    /// `s` with its reason: shut down, the memory still there.
    pub shutdown: Option<ShutdownReason>,
    /// `d`: being torn down.
    pub dying: bool,
}

/// Why a domain has shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownReason {
    /// It powered itself off.
    Poweroff,
    /// It wants a reboot.
    Reboot,
    /// It is suspended: the sender's copy in the last step of a migration.
    Suspend,
    /// It crashed.
    Crash,
    /// Its watchdog fired.
    Watchdog,
    /// Soft reset.
    SoftReset,
    /// A letter that this version does not know.
    Unknown,
}

impl DomainState {
    /// The guest's processors execute: not paused, not shut down, not dying.
    pub fn executes(&self) -> bool {
        !self.paused && self.shutdown.is_none() && !self.dying
    }

    /// Suspended by the last step of a migration.
    pub fn is_suspended(&self) -> bool {
        self.shutdown == Some(ShutdownReason::Suspend)
    }

    /// In a word, for people.
    pub fn in_words(&self) -> &'static str {
        if self.dying {
            return "dying";
        }
        match self.shutdown {
            Some(ShutdownReason::Suspend) => "suspended",
            Some(ShutdownReason::Crash) => "crashed",
            Some(ShutdownReason::Poweroff) => "shut down",
            Some(ShutdownReason::Reboot) => "rebooting",
            Some(ShutdownReason::Watchdog) => "stopped by its watchdog",
            Some(_) => "shut down",
            None if self.paused => "paused",
            None => "running",
        }
    }
}

/// One domain that exists on a Dom0.
///
/// A managed `xm` domain that does not run (no id, no state) is not one: the parser leaves it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// The name; `(null)` for one that is being built or torn down.
    pub name: String,
    /// The domain id.
    pub id: u32,
    /// Memory in MiB.
    pub memory: u64,
    /// Its state letters.
    pub state: DomainState,
    /// The guest's uuid, where it was asked for.
    pub uuid: Option<String>,
}

/// One block device of a domain as `xl block-list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// The virtual device number, as text.
    pub vdev: String,
    /// The xenbus state: 4 is connected, 6 is closed (a dead disk).
    pub state: u32,
}

/// One disk of a domain, as the toolstack has it stored for the running domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDisk {
    /// The virtual device, `xvda`.
    pub vdev: String,
    /// What stands behind it: a device path, or a resource for a script. Empty for an empty drive.
    pub target: String,
    /// The hotplug script, by its base name, where it is not the plain one.
    pub script: Option<String>,
    /// A cdrom drive.
    pub cdrom: bool,
    /// The guest may write.
    pub writable: bool,
}
