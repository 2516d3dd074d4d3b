//! One domU, from one look. All its DRBD disks, all their volumes and all their peers count.

use super::claim::{self, Proof};
use crate::core::drbd::{Configured, Connection, Disk, Peer, Replica, Replication, Role};
use crate::core::facts::{DiskSeen, failover, resources_of};
use crate::core::names::{DomuName, ResourceName};
use crate::core::record::{Row, State};
use crate::core::xen::Domain;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What was seen of one domU, whose config was understood.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// The domU.
    pub domu: &'a DomuName,
    /// The disks in its config.
    pub disks: &'a [DiskSeen],
    /// Every domain here under one of its names.
    pub copies: Vec<&'a Domain>,
    /// Its row in the record.
    pub row: Option<&'a Row>,
    /// Every resource in the kernel.
    pub replicas: &'a [Replica],
    /// The resources that are Primary because an interrupted claim of ours made them so.
    pub ours: &'a [ResourceName],
    /// Every resource in the operator's files.
    pub configured: &'a [Configured],
    /// Whether a quorum may stand in for a peer that is missing. It keeps a missing host from writing, not a domU there from executing:
    /// so a person must have said so.
    pub trust_quorum: bool,
    /// Who works on it, or receives it, just now.
    pub busy: Option<String>,
    /// What could not be seen, in sentences.
    pub unseen: &'a [String],
}

/// What is to be done with it. Each carries its evidence, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", content = "evidence", rename_all = "lowercase")]
pub enum Decision {
    /// Its config is not understood, or brings no DRBD disk: a person must mend it.
    Fault(String),
    /// It is here already, in some state. Well: it executes, and under its own name.
    Exists(Seen),
    /// The record says that it was moved, or is on its way. Well: nothing is left to be settled.
    Migrated(Seen),
    /// Another host has a disk of it Primary. Well: that host alone.
    Ignored(Seen),
    /// The roles prove that nobody runs it.
    Claim(String),
    /// Not known, or not now.
    Wait(String),
}

/// What was seen of a domU that is left alone, and whether a person can leave it alone as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// In a sentence.
    pub evidence: String,
    /// It runs somewhere, as far as this host can know, and nothing is to be settled.
    pub well: bool,
}

impl Decision {
    /// Whether the domU runs somewhere, as far as this host can know, and needs nobody.
    pub fn is_well(&self) -> bool {
        match self {
            Decision::Exists(seen) | Decision::Migrated(seen) | Decision::Ignored(seen) => seen.well,
            Decision::Fault(_) | Decision::Claim(_) | Decision::Wait(_) => false,
        }
    }

    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Fault(_) => "fault",
            Decision::Exists(_) => "exists",
            Decision::Migrated(_) => "migrated",
            Decision::Ignored(_) => "ignored",
            Decision::Claim(_) => "claim",
            Decision::Wait(_) => "wait",
        }
    }

    /// What was seen.
    pub fn evidence(&self) -> &str {
        match self {
            Decision::Fault(e) | Decision::Claim(e) | Decision::Wait(e) => e,
            Decision::Exists(seen) | Decision::Migrated(seen) | Decision::Ignored(seen) => &seen.evidence,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word(), self.evidence())
    }
}

/// Decides.
pub fn decide(case: &Case<'_>) -> Decision {
    let resources = resources_of(case.disks);
    if resources.is_empty() {
        return Decision::Fault("no disk of it is DRBD; whether it runs elsewhere cannot be known".to_string());
    }
    if !case.copies.is_empty() {
        let words: Vec<String> =
            case.copies.iter().map(|d| format!("{} is {} (id {})", d.name, d.state.in_words(), d.id)).collect();
        let well = case.copies.iter().all(|d| d.name == case.domu.as_str() && d.state.executes());
        return Decision::Exists(Seen { evidence: words.join(", "), well });
    }
    let seen: Vec<(&ResourceName, Option<&Replica>)> =
        resources.iter().map(|name| (*name, case.replicas.iter().find(|r| r.resource == **name && r.is_up()))).collect();
    if let Some(row) = case.row
        && let Some(moved) = moved(case, row, &seen)
    {
        return Decision::Migrated(moved);
    }
    // Whatever else is unknown: a Primary elsewhere is the one certain reason to keep away.
    for (name, replica) in &seen {
        let Some(replica) = replica else { continue };
        if let Some(peer) = replica.peers.iter().find(|p| p.role == Role::Primary) {
            let who = peer.called();
            // Our own claim beside somebody else's is stepped back from; this is what nobody of ours did.
            if replica.role == Role::Primary && !case.ours.contains(name) {
                let evidence = format!(
                    "{name} is Primary here and on {who} at once, and it does not run here: a person must look on both hosts who uses it: \
                     fuser -v /dev/drbd{}",
                    minor(replica)
                );
                return Decision::Ignored(Seen { evidence, well: false });
            }
            let evidence = format!("{name} is Primary on {who}: it runs there, or somebody uses its disk");
            return Decision::Ignored(Seen { evidence, well: true });
        }
    }
    if let Some(who) = &case.busy {
        return Decision::Wait(format!("somebody is at work on it: {who}"));
    }
    if !case.unseen.is_empty() {
        return Decision::Wait(case.unseen.join("; "));
    }
    let doubts: Vec<String> = seen
        .iter()
        .filter_map(|(name, replica)| match replica {
            None => Some(format!("{name} is not up: drbdadm up {name}")),
            Some(replica) => doubt(replica, case),
        })
        .collect();
    if !doubts.is_empty() {
        return Decision::Wait(doubts.join("; "));
    }
    let evidence: Vec<String> = seen.iter().filter_map(|(_, replica)| *replica).map(proved).collect();
    Decision::Claim(evidence.join("; "))
}

/// What proves that nobody runs it; there is no doubt left.
fn proved(replica: &Replica) -> String {
    let name = &replica.resource;
    if replica.is_connected() {
        return format!("{name}: every peer connected and Secondary, UpToDate here");
    }
    format!("{name}: quorum, nobody Primary, UpToDate here; without {}", missing(replica))
}

/// The peers that are not connected, by name.
fn missing(replica: &Replica) -> String {
    let names: Vec<&str> = replica.peers.iter().filter(|p| p.connection != Connection::Connected).map(Peer::called).collect();
    names.join(", ")
}

/// What the record says of a domU that is elsewhere or on its way; `None` where it says nothing against a start here.
fn moved(case: &Case<'_>, row: &Row, seen: &[(&ResourceName, Option<&Replica>)]) -> Option<Seen> {
    let domu = case.domu;
    let since = format!("{} {} since {}", row.state, row.host, row.since);
    match row.state {
        State::Here | State::Visiting => None,
        State::Away | State::Passed => {
            let nowhere = seen.iter().all(|(_, r)| {
                r.is_some_and(|r| {
                    let file = file_of(case, &r.resource);
                    r.is_connected()
                        && r.peers.iter().all(is_secondary)
                        && file.is_some_and(|file| claim::unshown(r, file).is_none())
                })
            });
            let evidence = match nowhere {
                // Only its home may be told to start it.
                true if row.state == State::Away => format!(
                    "the record says {since}, and DRBD shows that no host has its disks Primary: it does not run there; to settle it: \
                     xen-migrate recover {domu}; to start it here, when it is nowhere: {}",
                    failover(domu)
                ),
                true => format!(
                    "the record says {since}, and DRBD shows that no host has its disks Primary: it does not run there; to settle it: \
                     xen-migrate recover {domu}"
                ),
                false => format!("the record says {since}; to bring it back: xen-migrate reverse {domu}"),
            };
            Some(Seen { evidence, well: !nowhere })
        }
        State::Leaving | State::Returning | State::Arriving => {
            let evidence = match &case.busy {
                Some(who) => format!("the record says {since}, and somebody is at work on it: {who}"),
                None => format!("the record says {since}: a migration was interrupted; to settle it: xen-migrate recover {domu}"),
            };
            Some(Seen { evidence, well: false })
        }
    }
}

fn file_of<'a>(case: &Case<'a>, name: &ResourceName) -> Option<&'a Configured> {
    case.configured.iter().find(|c| c.resource == *name)
}

fn is_secondary(peer: &Peer) -> bool {
    peer.role == Role::Secondary
}

/// Why this resource does not prove that nobody runs the domU, or cannot carry it; no peer of it is Primary.
fn doubt(replica: &Replica, case: &Case<'_>) -> Option<String> {
    let name = &replica.resource;
    match replica.role {
        Role::Secondary => {}
        // An interrupted claim of ours: nobody else uses it.
        Role::Primary if case.ours.contains(name) => {}
        Role::Primary => {
            return Some(format!(
                "{name} is Primary here, and {} is not: somebody uses it: fuser -v /dev/drbd{}",
                case.domu,
                minor(replica)
            ));
        }
        Role::Unknown | Role::Other(_) => return Some(format!("{name}: its role here is {}", replica.role)),
    }
    if replica.peers.is_empty() {
        return Some(format!("{name} has no peer: whether another host runs it cannot be known"));
    }
    let Some(file) = file_of(case, name) else {
        return Some(format!("{name} is not in this host's drbd.conf: which hosts have it cannot be known"));
    };
    if let Some(unshown) = claim::unshown(replica, file) {
        return Some(unshown);
    }
    let by = claim::proof(replica, file);
    if by.is_none() {
        let unseen = replica.peers.iter().find(|p| p.connection != Connection::Connected || !is_secondary(p));
        let nothing = || format!("{name}: it is not seen that nobody else runs it");
        return Some(unseen.map_or_else(nothing, |peer| apart(name, peer, file.options.two_primaries)));
    }
    if by == Some(Proof::Quorum) && !case.trust_quorum {
        return Some(format!(
            "{name} has a quorum without {}: nothing is written there, and whether a domU still executes there cannot be known; to start \
             it all the same: xen-drbd-auto start --trust-quorum",
            missing(replica)
        ));
    }
    // DRBD's own word counts as well: its quorum can want more than a majority of nodes (quorum-minimum-redundancy).
    if by == Some(Proof::Quorum) && replica.may_promote != Some(true) {
        return Some(format!("{name} has a quorum without {}, and DRBD does not promote it (may_promote:no)", missing(replica)));
    }
    replica.volumes.iter().find(|v| v.disk != Disk::UpToDate).map(|volume| {
        let copying = replica
            .peers
            .iter()
            .flat_map(|p| &p.volumes)
            .any(|v| v.number == volume.number && !matches!(v.replication, Replication::Established | Replication::Off));
        match &volume.disk {
            Disk::Diskless | Disk::Failed => format!("{name} is {} here: a person must look: drbdadm attach {name}", volume.disk),
            disk if copying => format!("{name} is {disk} here while it is being resynced, which ends by itself"),
            disk => format!("{name} is {disk} here"),
        }
    })
}

/// Why a peer proves nothing.
fn apart(name: &ResourceName, peer: &Peer, for_good: bool) -> String {
    let who = peer.called();
    match &peer.connection {
        // Two ends whose flags differ refuse each other (claim-experiments row 10); with the options of the file and a connect, which is what adjust does, DRBD tells.
        Connection::StandAlone if for_good => format!(
            "{name} is StandAlone towards {who}: perhaps a split brain, or only a power cut in the middle of a start, for drbd.conf allows \
             two Primaries for good; on both hosts: drbdadm adjust {name}   (DRBD finds out which)"
        ),
        Connection::StandAlone => format!(
            "{name} is StandAlone towards {who}: perhaps a split brain; look at both hosts before `drbdadm connect {name}`"
        ),
        Connection::Connected => format!("{name}: the role of {who} is {}", peer.role),
        state => format!("{name} is not connected to {who} ({state}): whether it runs there cannot be known"),
    }
}

fn minor(replica: &Replica) -> String {
    replica.volumes.iter().find_map(|v| v.minor).map_or("N".to_string(), |m| m.to_string())
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
