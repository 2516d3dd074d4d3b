//! What must never be, looked for after every event.

use super::model::domu_file::behind;
use super::model::sync::Compared;
use super::model::{Fleet, Millis};
use crate::core::drbd::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long both sides may still be Primary when the migration that explained it is over or dead: demoting takes its time.
const GRACE: Millis = 5_000;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which one.
    pub kind: Kind,
    /// What was seen.
    pub text: String,
    /// The number of the event after which it was seen.
    pub event: u64,
    /// The virtual time.
    pub at: Millis,
}

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// One guest executes on two hosts.
    TwoRun,
    /// A resource is Primary on two hosts, and no migration of its guest is in progress or just over.
    TwoPrimaries,
    /// A guest executes on a disk that lacks what it has written before.
    StaleData,
    /// Two ends of a resource each have something that the other lacks.
    SplitBrain,
}

impl Fleet {
    /// Looks for broken invariants now.
    pub fn check(&mut self) {
        self.check_two_run();
        self.check_two_primaries();
        self.check_split_brain();
    }

    /// Records a finding, once for each `key`.
    pub fn find(&mut self, kind: Kind, key: &str, text: &str) {
        if !self.told.insert(format!("{kind:?} {key}")) {
            return;
        }
        self.log(format!("!! {kind:?}: {text}"));
        let finding = Finding { kind, text: text.to_string(), event: self.events, at: self.clock };
        self.findings.push(finding);
    }

    fn check_two_run(&mut self) {
        let mut where_runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for host in self.hosts.values() {
            for domain in host.domains.iter().filter(|d| d.executes()) {
                where_runs.entry(domain.guest.clone()).or_default().push(host.name.clone());
            }
        }
        for (guest, hosts) in where_runs {
            if hosts.len() > 1 {
                self.find(Kind::TwoRun, &guest, &format!("{guest} executes on {}", hosts.join(" and ")));
            }
        }
    }

    fn check_two_primaries(&mut self) {
        let mut found = Vec::new();
        for resource in &self.resources {
            let primaries: Vec<String> =
                resource.on.iter().filter(|(_, r)| r.up && r.role == Role::Primary).map(|(h, _)| h.clone()).collect();
            if primaries.len() > 1 {
                found.push((resource.name.clone(), primaries));
            }
        }
        let clock = self.clock;
        self.covered.retain(|resource, _| found.iter().any(|(r, _)| r == resource));
        for (resource, hosts) in found {
            if self.migration_covers(&resource, &hosts) {
                self.covered.insert(resource, clock);
            } else if self.covered.get(&resource).is_none_or(|t| t + GRACE < clock) {
                let text = format!("{resource} is Primary on {}, and nothing migrates", hosts.join(" and "));
                self.find(Kind::TwoPrimaries, &resource, &text);
            }
        }
    }

    /// A migration of a guest on this resource is in progress, or one of our tools that migrate is at work on these hosts.
    fn migration_covers(&self, resource: &str, hosts: &[String]) -> bool {
        let running = self.migrations.iter().any(|m| m.is_running() && self.guest_uses(&m.guest, resource));
        let at_work = |h: &String| self.host(h).processes.iter().any(|p| p.alive && p.command.contains("migrate"));
        running || hosts.iter().any(at_work)
    }

    /// A guest has a disk on this resource, by any config or domain of the fleet.
    pub fn guest_uses(&self, guest: &str, resource: &str) -> bool {
        self.hosts.values().any(|h| {
            h.domains
                .iter()
                .filter(|d| d.guest == guest)
                .any(|d| d.disks.iter().filter_map(|disk| behind(disk, &self.resources)).any(|(r, _)| r == resource))
        })
    }

    fn check_split_brain(&mut self) {
        let mut found = Vec::new();
        for resource in &self.resources {
            for (host, replica) in &resource.on {
                for peer in replica.peers.keys().filter(|p| host < *p) {
                    if self.compare(&resource.name, host, peer) == Compared::SplitBrain {
                        found.push((resource.name.clone(), host.clone(), peer.clone()));
                    }
                }
            }
        }
        for (resource, a, b) in found {
            self.find(Kind::SplitBrain, &resource, &format!("{resource}: {a} and {b} have gone separate ways"));
        }
    }
}
