//! The state of the pretend fleet, and what happens in it by itself.
//!
//! Everything here is plain data that serde can keep in a file. Nothing reads a clock or throws dice but the
//! fleet's own. The programs (`super::programs`) print what this state means; only the model changes it.

pub mod domu_file;
pub mod drbd;
pub mod hosts;
pub mod links;
pub mod sync;
pub mod time;
pub mod xen;

use crate::lab::invariants::Finding;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use drbd::{Conf, PeerLink, Replica, Resource, VolumeConf};
pub use hosts::{Files, Host, Lock, Process, Stdin, Version};
pub use links::Link;
pub use xen::{DomDisk, Domain, Life};

/// Milliseconds since the beginning of the story.
pub type Millis = u64;

/// The number of a process. Numbers are never used twice in one fleet.
pub type Pid = u32;

/// All Dom0s, what connects them, and what happened.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// Where the dice begin.
    pub seed: u64,
    /// Where the dice are.
    pub dice: u64,
    /// The virtual clock.
    pub clock: Millis,
    /// How many events there were: every call of a process that touches the world, and every stage of a migration.
    pub events: u64,
    /// The Dom0s by their short name.
    pub hosts: BTreeMap<String, Host>,
    /// The links between them, by both names in order; one that is not listed is up.
    pub links: BTreeMap<String, Link>,
    /// The DRBD resources, in the order of the configuration.
    pub resources: Vec<Resource>,
    /// The migrations that are in progress or have ended.
    pub migrations: Vec<xen::Migration>,
    /// What each guest's disks have acknowledged last, whichever host wrote it.
    pub acknowledged: BTreeMap<String, u64>,
    /// Faults that lie in wait (see [`Quirk`]).
    pub quirks: Vec<Quirk>,
    /// The next process number.
    pub next_pid: Pid,
    /// The next data generation.
    pub next_generation: u64,
    /// What happened, one line each.
    pub journal: Vec<String>,
    /// The broken invariants.
    pub findings: Vec<Finding>,
    /// What was found already, so that a lasting state is told once.
    pub told: BTreeSet<String>,
    /// When a migration last explained that a resource is Primary on two hosts.
    pub covered: BTreeMap<String, Millis>,
}

/// Something that goes wrong by itself when its moment comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quirk {
    /// This guest ignores the request to suspend (no driver, hung).
    NoSuspend(String),
    /// This guest's copy cannot be unpaused at a migration's target.
    NoUnpause(String),
    /// This guest's copy cannot be resumed at a migration's sender.
    NoResume(String),
    /// `block-drbd remove` fails for this resource on this host (F10): it stays Primary.
    NoRemove(String, String),
    /// After its last close, the device of this resource on this host is held open by somebody for so long (F27).
    HeldOpen(String, String, Millis),
    /// A program on a host whose command line begins with these words prints this instead, a number of times.
    Instead {
        /// The host.
        host: String,
        /// The beginning of the command line, words joined by blanks.
        begins: String,
        /// How often it still happens; [`u32::MAX`] is for ever.
        times: u32,
        /// Exit code.
        code: i32,
        /// Standard output.
        out: String,
        /// Standard error.
        err: String,
    },
    /// A program on a host whose command line begins with these words gives no answer, a number of times.
    Hangs {
        /// The host.
        host: String,
        /// The beginning of the command line, words joined by blanks.
        begins: String,
        /// How often it still happens.
        times: u32,
    },
    /// A destroyed domain stays listed as `(null)`, dying, its disks open (`recorded.md`, 14).
    Zombie(String),
    /// What DRBD tells of changes on this host is lost (F36: netlink's buffer overran).
    NoEvents(String),
}

impl Fleet {
    /// An empty fleet.
    pub fn new(seed: u64) -> Fleet {
        Fleet { seed, dice: seed ^ 0x9E37_79B9_7F4A_7C15, next_pid: 1000, next_generation: 0x11AB, ..Fleet::default() }
    }

    /// A host that is known to exist. The lab's own code names hosts from the fleet; a wrong name is a mistake in a scene.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).unwrap_or_else(|| panic!("no host {name} in this fleet"))
    }

    /// The same, to change it.
    pub fn host_mut(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(name).unwrap_or_else(|| panic!("no host {name} in this fleet"))
    }

    /// The host that a name or an address means, as the resolver would say.
    pub fn resolve(&self, word: &str) -> Option<String> {
        let word = word.to_ascii_lowercase();
        self.hosts
            .values()
            .find(|h| h.name == word || h.fqdn == word || h.address == word || h.aliases.contains(&word))
            .map(|h| h.name.clone())
    }

    /// A resource by its name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.name == name)
    }

    /// The same, to change it.
    pub fn resource_mut(&mut self, name: &str) -> Option<&mut Resource> {
        self.resources.iter_mut().find(|r| r.name == name)
    }

    /// One roll of the dice, 0 up to, not including, `below` (splitmix64).
    pub fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below.max(1)
    }

    /// A data generation that was never there before.
    pub fn fresh_generation(&mut self) -> u64 {
        self.next_generation += 1;
        // Spread over 64 bits so that it looks like the real ones; the lowest bit is DRBD's flag for "was Primary".
        self.next_generation.wrapping_mul(0x9E37_79B9_7F4A_7C15) & !1
    }

    /// A uuid for a new domain, made from the fleet's dice.
    pub fn fresh_uuid(&mut self) -> String {
        let (a, b) = (self.roll(u64::MAX), self.roll(u64::MAX));
        format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff, b >> 52, b & 0xffff_ffff_ffff)
    }

    /// Writes a line into the journal.
    pub fn log(&mut self, line: impl AsRef<str>) {
        let line = format!("{:>9.3} #{:<4} {}", self.clock as f64 / 1000.0, self.events, line.as_ref());
        self.journal.push(line);
    }

    /// Uses up one occurrence of a quirk that replaces or stops a program.
    pub fn take_quirk(&mut self, host: &str, command: &str) -> Option<Quirk> {
        let hit = |begins: &str| command == begins || command.starts_with(&format!("{begins} "));
        let at = self.quirks.iter().position(|q| match q {
            Quirk::Instead { host: h, begins, .. } | Quirk::Hangs { host: h, begins, .. } => h == host && hit(begins),
            _ => false,
        })?;
        let found = self.quirks[at].clone();
        let left = match &mut self.quirks[at] {
            Quirk::Instead { times, .. } | Quirk::Hangs { times, .. } => {
                if *times != u32::MAX {
                    *times = times.saturating_sub(1);
                }
                *times
            }
            _ => 1,
        };
        if left == 0 {
            self.quirks.remove(at);
        }
        Some(found)
    }

    /// Whether such a quirk lies in wait.
    pub fn has_quirk(&self, quirk: &Quirk) -> bool {
        self.quirks.contains(quirk)
    }
}
