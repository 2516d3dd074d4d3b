//! What one look saw of a whole Dom0, in short: every domain, every resource, the record, the table.
//!
//! It crosses the wire as one answer, so that a fleet is asked with one ssh a peer, however many domUs there are.

use super::drbd::{Generation, Replica};
use super::facts::{CopyName, End, ReplicaSeen, copy_name};
use super::names::{DomuName, HostName, ResourceName};
use super::record::{Moment, Row};
use super::xen::{Domain, Toolstack};
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these domUs, each with the resources that the asking end knows it to have. Empty: everything that is there.
    pub domus: Vec<(DomuName, Vec<ResourceName>)>,
    /// With everything that could stop a migration ([`Health`]).
    pub health: bool,
}

/// One Dom0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The version of the words that two Dom0s exchange.
    pub protocol: u32,
    /// The program's version there.
    pub version: String,
    /// `uname -n` there.
    pub host: HostName,
    /// Which toolstack manages domains there.
    pub toolstack: Toolstack,
    /// The time there.
    pub now: Moment,
    /// Its domains, Domain-0 left out.
    pub domains: Vec<Domain>,
    /// Its DRBD resources that are up.
    pub replicas: Vec<Replica>,
    /// The domUs that a config file there defines.
    pub configs: Vec<Config>,
    /// The record there.
    pub rows: Vec<Row>,
    /// The rows without a fault of the table there.
    pub listed: Vec<Listed>,
    /// What could not be seen, in sentences.
    pub unseen: Vec<String>,
    /// The hosts that drbd.conf there has for a resource and the kernel does not show; one without a name (`floating`) is `None`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unshown: Vec<(ResourceName, Option<String>)>,
    /// What could stop a migration, where it was asked for.
    #[serde(default)]
    pub health: Option<Box<Health>>,
}

/// A domU as a config file defines it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Its name.
    pub domu: DomuName,
    /// The file; of several the one that counts.
    pub path: String,
    /// The DRBD resources of its disks.
    pub resources: Vec<ResourceName>,
    /// Further files that define it as well.
    #[serde(default)]
    pub also: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The domU.
    pub domu: DomuName,
    /// Its partners.
    pub hosts: Vec<HostName>,
}

/// Everything else on a Dom0 that could stop a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The hypervisor's version, `4.17.7`.
    pub xen: String,
    /// Which DRBD answers.
    pub generation: Option<Generation>,
    /// The version of the DRBD module, as it says it; `None`: not said.
    pub module: Option<String>,
    /// The hotplug script `block-drbd` is there.
    pub block_drbd: bool,
    /// DRBD 8.4's `disable_sendpage`; `None`: the module has no such parameter, or it could not be read.
    pub disable_sendpage: Option<bool>,
    /// Those resources of the domUs in question that the files there know, with the options in force.
    pub resources: Vec<ReplicaSeen>,
    /// What the files there have DRBD do about a split brain by itself: every `after-sb-…` that is not `disconnect`.
    pub after_split_brain: Vec<AfterSplitBrain>,
    /// Somebody waits for `xen-drbd-auto`, and its daemon is not there.
    pub daemon_died: bool,
    /// Why the asking end could not be reached from there with the dedicated key; `None`: it answers.
    pub way_back: Option<String>,
    /// Each domU in question, as a migration sees it.
    pub ends: Vec<End>,
}

/// One `after-sb-…` option of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterSplitBrain {
    /// The resource.
    pub resource: ResourceName,
    /// `after-sb-0pri`, `after-sb-1pri`, `after-sb-2pri`.
    pub option: String,
    /// Its value.
    pub policy: String,
}

impl Survey {
    /// The domU's copies there.
    pub fn copies<'a>(&'a self, domu: &'a DomuName) -> impl Iterator<Item = (CopyName, &'a Domain)> {
        self.domains.iter().filter_map(move |d| Some((copy_name(domu, &d.name)?, d)))
    }

    /// The domU's row in the record there.
    pub fn row(&self, domu: &DomuName) -> Option<&Row> {
        self.rows.iter().find(|r| &r.domu == domu)
    }

    /// Its config there.
    pub fn config(&self, domu: &DomuName) -> Option<&Config> {
        self.configs.iter().find(|c| &c.domu == domu)
    }

    /// A resource there.
    pub fn replica(&self, name: &ResourceName) -> Option<&Replica> {
        self.replicas.iter().find(|r| &r.resource == name)
    }

    /// Everything that could be seen was.
    pub fn is_whole(&self) -> bool {
        self.unseen.is_empty()
    }
}

/// The domU that a domain is a copy of; `None` for names that no domU of ours can have.
pub fn domu_of(name: &str) -> Option<DomuName> {
    let plain = name
        .strip_suffix("--incoming")
        .or_else(|| name.strip_suffix("--migratedaway"))
        .or_else(|| name.strip_prefix("migrating-"))
        .unwrap_or(name);
    plain.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_by_four_names_and_no_other() {
        let web: DomuName = "web".parse().unwrap();
        for (name, called) in [
            ("web", Some(CopyName::Plain)),
            ("web--incoming", Some(CopyName::Incoming)),
            ("web--migratedaway", Some(CopyName::MigratedAway)),
            ("migrating-web", Some(CopyName::Migrating)),
            ("web2", None),
            ("myweb", None),
            ("web--migrated-away", None),
        ] {
            assert_eq!(copy_name(&web, name), called, "{name}");
            assert_eq!(domu_of(name).as_ref() == Some(&web), called.is_some(), "{name}");
        }
        assert_eq!(domu_of("(null)"), None);
    }
}
