//! What a scene asks of the fleet.

use super::model::{Fleet, Millis};
use super::{Finding, Lab, Ran};
use crate::core::drbd::Role;

impl Lab {
    /// The virtual time in milliseconds.
    pub fn clock(&self) -> Millis {
        self.with(|f| f.clock)
    }

    /// The hosts on which a guest executes.
    pub fn runs_on(&self, guest: &str) -> Vec<String> {
        self.with(|f| {
            f.hosts
                .values()
                .filter(|h| h.domains.iter().any(|d| d.guest == guest && d.executes()))
                .map(|h| h.name.clone())
                .collect()
        })
    }

    /// Every domain on a host: name and state letters.
    pub fn domains(&self, host: &str) -> Vec<(String, String)> {
        self.with(|f| f.host(host).domains.iter().map(|d| (d.name.clone(), d.letters())).collect())
    }

    /// The xenbus states of a domain's disks.
    pub fn disk_states(&self, host: &str, name: &str) -> Vec<u32> {
        self.with(|f| f.host(host).domain(name).map(|d| d.disks.iter().map(|k| k.state).collect()).unwrap_or_default())
    }

    /// The last beat that a guest has written and got acknowledged.
    pub fn beats(&self, guest: &str) -> u64 {
        self.with(|f| f.acknowledged.get(guest).copied().unwrap_or(0))
    }

    /// A resource's role on a host; `Unknown` where it is not up.
    pub fn role(&self, host: &str, resource: &str) -> Role {
        self.with(|f| f.replica(host, resource).filter(|r| r.up).map_or(Role::Unknown, |r| r.role.clone()))
    }

    /// The options in force: `allow-two-primaries` and `fencing`.
    pub fn options(&self, host: &str, resource: &str) -> (bool, String) {
        self.with(|f| {
            f.replica(host, resource).map(|r| (r.options.two_primaries, r.options.fencing.to_string())).unwrap_or_default()
        })
    }

    /// The first peer's connection state as this host has it.
    pub fn connection(&self, host: &str, resource: &str) -> String {
        self.with(|f| {
            f.replica(host, resource).and_then(|r| r.peers.values().next()).map(|l| l.state.to_string()).unwrap_or_default()
        })
    }

    /// A file's text.
    pub fn file(&self, host: &str, path: &str) -> Option<String> {
        self.with(|f| f.host(host).files.text(path))
    }

    /// Puts a file on a host.
    pub fn put(&self, host: &str, path: &str, text: &str) {
        self.with(|f| {
            let _ = f.host_mut(host).files.write(path, text.as_bytes(), 0o644);
        });
    }

    /// The names of the locks that are held on a host.
    pub fn locks(&self, host: &str) -> Vec<String> {
        self.with(|f| f.host(host).locks.keys().cloned().collect())
    }

    /// What our tools wrote into a host's system log.
    pub fn syslog(&self, host: &str) -> Vec<String> {
        self.with(|f| f.host(host).syslog.clone())
    }

    /// The commands that deeds ran.
    pub fn ran(&self) -> Vec<Ran> {
        self.ran.borrow().clone()
    }

    /// The broken invariants so far.
    pub fn findings(&self) -> Vec<Finding> {
        self.with(|f| f.findings.clone())
    }

    /// Everything that happened, for the message of a failing test.
    pub fn journal(&self) -> String {
        self.with(|f| f.journal.join("\n"))
    }

    /// A copy of the whole state.
    pub fn fleet(&self) -> Fleet {
        self.with(|f| f.clone())
    }

    /// Invariant 4 at a scene's end: the guest executes exactly once, or an answer said 5 and named it. `Err` says what is wrong.
    pub fn not_lost(&self, guest: &str, answers: &[&Ran]) -> Result<(), String> {
        let hosts = self.runs_on(guest);
        let said = answers.iter().any(|r| r.code == 5 && (r.out.contains(guest) || r.err.contains(guest)));
        match hosts.len() {
            1 => Ok(()),
            0 if said => Ok(()),
            0 => Err(format!("{guest} runs nowhere, and nobody said so")),
            _ => Err(format!("{guest} runs on {}", hosts.join(" and "))),
        }
    }
}
