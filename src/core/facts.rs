//! What one look saw, at one end, of everything that concerns one domU.
//!
//! An [`End`] is plain data: it crosses the wire as JSON, and the decisions of [`super::migrate`] take two of them and nothing else.

use super::boot::claim::unshown;
use super::drbd::{Configured, Generation, Options, Replica, Role};
use super::names::{DomuName, HostName, ResourceName};
use super::record::Row;
use super::xen::{BlockDevice, Domain, Toolstack};
use serde::{Deserialize, Serialize};

/// The version of the words that two Dom0s exchange. Both must speak the same.
pub const PROTOCOL: u32 = 1;

/// What starts a domU at its home when the Dom0 that it was sent to is dead, or came back without it: it asks every Dom0 first, and then
/// claims it under the guard, or refuses.
pub fn failover(domu: &DomuName) -> String {
    format!("xen-migrate failover {domu} --reason …")
}

/// What starts a domU that is stopped, and whose disks no Dom0 has Primary. A config of xen-drbd-auto's folder is claimed under the guard,
/// which a bare `create` is not.
pub fn start(toolstack: Toolstack, domu: &DomuName, config: &str) -> String {
    match config.starts_with("/etc/xen/drbd-auto/") {
        true => "xen-drbd-auto start   (starts all of its folder that is stopped)".to_string(),
        false => format!("{toolstack} create {config}   (when xen-migrate where {domu} has found it nowhere)"),
    }
}

/// What one look saw at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// [`PROTOCOL`] of the program that looked.
    pub protocol: u32,
    /// Its version.
    pub version: String,
    /// `uname -n` there.
    pub host: HostName,
    /// `hostname -f` there.
    pub fqdn: String,
    /// The domU that was looked for.
    pub domu: DomuName,
    /// Which toolstack manages domains there.
    pub toolstack: Toolstack,
    /// The hypervisor's version, `4.17.7`.
    pub xen: String,
    /// Whether the hypervisor can live-migrate PV domUs (`virt_caps` names shadow or hap for them); `None`: not said.
    pub pv_live: Option<bool>,
    /// Free memory in MiB.
    pub free_memory: u64,
    /// Every domain there that is a copy of the domU, under any of its names.
    pub copies: Vec<CopySeen>,
    /// Rows of `xl list` that have no name: domains being built or torn down.
    pub nameless: u32,
    /// The domU's disks, where a copy is there that has them.
    pub disks: Vec<DiskSeen>,
    /// Its DRBD resources, as the kernel shows them.
    pub replicas: Vec<ReplicaSeen>,
    /// Which DRBD answers.
    pub generation: Option<Generation>,
    /// The file that defines the domU there.
    pub config: Option<ConfigSeen>,
    /// Bridges that the running copy uses.
    pub bridges_used: Vec<String>,
    /// Network interfaces that are there.
    pub interfaces: Vec<String>,
    /// The record's row there.
    pub row: Option<Row>,
    /// The partners that the table there lists for the domU.
    pub listed: Option<Vec<HostName>>,
    /// Who holds the domU's lock there.
    pub busy: Option<String>,
    /// Who receives it there just now.
    pub receiving: Option<String>,
    /// What could not be seen, in sentences. Never permission.
    pub unseen: Vec<String>,
}

/// Under which name a copy exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyName {
    /// The domU's own.
    Plain,
    /// `NAME--incoming`: being received by xl, never unpaused yet.
    Incoming,
    /// `NAME--migratedaway`: xl's sender, after the target had it all.
    MigratedAway,
    /// `migrating-NAME`: xm's sender.
    Migrating,
}

/// Under which of the domU's names a domain goes.
pub fn copy_name(domu: &DomuName, name: &str) -> Option<CopyName> {
    // Most names are other domUs': nothing is put together for them.
    if !name.contains(domu.as_str()) {
        return None;
    }
    if name == domu.as_str() {
        Some(CopyName::Plain)
    } else if name == domu.incoming() {
        Some(CopyName::Incoming)
    } else if name == domu.migrated_away() {
        Some(CopyName::MigratedAway)
    } else if name == domu.migrating() {
        Some(CopyName::Migrating)
    } else {
        None
    }
}

/// One copy of the domU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySeen {
    /// Under which name.
    pub called: CopyName,
    /// The domain.
    pub domain: Domain,
    /// Its block devices, where they were asked for.
    pub blocks: Option<Vec<BlockDevice>>,
    /// `pv`, `pvh`, `hvm`, where it is known.
    pub kind: Option<String>,
}

/// Who promotes a resource when a domU starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Promoter {
    /// The hotplug script `block-drbd`.
    Script,
    /// DRBD 9 itself, when the device is opened.
    Opening,
    /// Nobody: we must.
    Nobody,
}

/// One disk of the domU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSeen {
    /// The virtual device.
    pub vdev: String,
    /// What stands behind it, as written.
    pub target: String,
    /// Its DRBD resource, if it is one.
    pub resource: Option<ResourceName>,
    /// Who promotes it.
    pub promoter: Promoter,
    /// The guest may write to it.
    pub writable: bool,
    /// A cdrom drive.
    pub cdrom: bool,
}

/// One DRBD resource of the domU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSeen {
    /// As the kernel shows it.
    pub replica: Replica,
    /// The options in force; `None`: they could not be read.
    pub options: Option<Options>,
    /// As the operator's file has it.
    pub configured: Configured,
}

/// The file that defines the domU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSeen {
    /// Its path.
    pub path: String,
    /// SHA-256 of its bytes, in hex; empty where they could not be read.
    pub digest: String,
    /// The file goes by the domU's name, and could not be read or understood: why.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// The resources of these disks, each once, in their order.
pub fn resources_of<'a>(disks: impl IntoIterator<Item = &'a DiskSeen>) -> Vec<&'a ResourceName> {
    let mut names: Vec<&ResourceName> = Vec::new();
    for name in disks.into_iter().filter_map(|d| d.resource.as_ref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl End {
    /// The copy under a given name.
    pub fn copy(&self, called: CopyName) -> Option<&CopySeen> {
        self.copies.iter().find(|c| c.called == called)
    }

    /// The copy under the domU's own name, if its processors execute.
    pub fn running(&self) -> Option<&CopySeen> {
        self.copy(CopyName::Plain).filter(|c| c.domain.state.executes())
    }

    /// A resource as this end sees it.
    pub fn replica(&self, resource: &ResourceName) -> Option<&ReplicaSeen> {
        self.replicas.iter().find(|r| &r.replica.resource == resource)
    }

    /// The resources of the domU that were looked at.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceName> {
        self.replicas.iter().map(|r| &r.replica.resource)
    }

    /// The copies in words: `web runs (id 3), web--incoming is paused (id 4)`, or `no copy of web`.
    pub fn copies_in_words(&self) -> String {
        if self.copies.is_empty() {
            return format!("no copy of {}", self.domu);
        }
        let words: Vec<String> = self
            .copies
            .iter()
            .map(|c| format!("{} is {} (id {})", c.domain.name, c.domain.state.in_words(), c.domain.id))
            .collect();
        words.join(", ")
    }
}

/// How a person ends a reception whose sender is gone for good. `who` is its lock's holder in words, with the pid of `migrate2` where
/// that one lives: SIGTERM does not end it in the middle of a stream, so its child is what is ended.
pub fn ending_of_reception(who: &str) -> String {
    let pid = who.split_once("(pid ").and_then(|(_, rest)| rest.split_once(", ")).filter(|(_, rest)| !rest.starts_with("gone"));
    match pid.and_then(|(pid, _)| pid.parse::<u32>().ok()) {
        Some(pid) => format!("pkill -P {pid}   (ends the xl migrate-receive that it started)"),
        None => "pgrep -af migrate-receive   (and `kill` the one of this domU)".to_string(),
    }
}

impl ReplicaSeen {
    /// The options differ from the operator's file, or could not be read.
    pub fn is_changed(&self) -> bool {
        self.options.as_ref() != Some(&self.configured.options)
    }

    /// DRBD shows that nobody has it Primary: every host that the file names is connected and Secondary, and so are we.
    pub fn is_secondary_everywhere(&self) -> bool {
        let r = &self.replica;
        r.is_connected() && r.role == Role::Secondary && !r.peer_is_primary() && unshown(r, &self.configured).is_none()
    }

    /// Two Primaries are allowed just now.
    pub fn is_open(&self) -> bool {
        self.options.as_ref().is_some_and(|o| o.two_primaries)
    }

    /// The resource in words: `r0 Primary/Secondary Connected UpToDate/UpToDate`.
    pub fn in_words(&self) -> String {
        self.replica.in_words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reception_is_ended_by_its_pid_where_that_is_known() {
        let lives = "migrate2 receiving web from dom0-alpha (pid 4711, since 2026-01-01T00:00:00Z)";
        assert!(ending_of_reception(lives).starts_with("pkill -P 4711 "));
        for who in
            ["migrate2 receiving web (pid 4711, gone); a program it started still runs", "somebody", "(pid x, since y)", ""]
        {
            assert!(ending_of_reception(who).starts_with("pgrep "), "{who}");
        }
    }
}
