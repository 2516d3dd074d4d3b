//! DRBD's rules for one host: roles, options, who holds a device open.
//!
//! Each rule is one that was measured on real pairs (DRBD 8.4.11 and 9.2.16) or read in the kernel module:
//! `drbd_nl.c` (`drbd_set_role`, `drbd_adm_net_opts`), `drbd_state.c` (`is_valid_state`), `drbd_main.c` (`drbd_open`).

use super::{Fleet, Millis};
use crate::core::drbd::{Connection, Disk, Fencing, Generation, Replication, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One resource, on all hosts that have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Its volumes.
    pub volumes: Vec<VolumeConf>,
    /// The file has no `volume` section.
    pub implicit: bool,
    /// The port of its connections.
    pub port: u16,
    /// How long a resync takes.
    pub sync_takes: Millis,
    /// Each host's end.
    pub on: BTreeMap<String, Replica>,
}

/// One volume as the configuration has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeConf {
    /// Its number.
    pub number: u32,
    /// Its minor.
    pub minor: u32,
    /// Its device.
    pub device: String,
    /// Its lower disk.
    pub disk: String,
}

/// The options that matter here, in the file or at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conf {
    /// `allow-two-primaries`.
    pub two_primaries: bool,
    /// `fencing`.
    pub fencing: Fencing,
    /// DRBD 9: `auto-promote`.
    pub auto_promote: bool,
    /// DRBD 9: `quorum majority`.
    pub quorum: bool,
    /// `after-sb-0pri`, `-1pri`, `-2pri`, where the file has them.
    #[serde(default)]
    pub after_sb: [Option<String>; 3],
}

impl Default for Conf {
    fn default() -> Self {
        Conf { two_primaries: false, fencing: Fencing::DontCare, auto_promote: true, quorum: false, after_sb: [None, None, None] }
    }
}

/// One host's end of a resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replica {
    /// DRBD 9's number for this host.
    pub node_id: u32,
    /// What the operator's file says.
    pub configured: Conf,
    /// What is in force.
    pub options: Conf,
    /// The kernel has it.
    pub up: bool,
    /// Primary or Secondary.
    pub role: Role,
    /// DRBD 9: promoted by a command, so that the last close does not demote.
    pub explicit: bool,
    /// The disk of each volume.
    pub disks: Vec<Disk>,
    /// The current data generation.
    pub current: u64,
    /// Earlier generations that this one contains.
    pub history: Vec<u64>,
    /// DRBD 9: the next write while a peer is away begins a new generation.
    pub bump_on_write: bool,
    /// The other ends.
    pub peers: BTreeMap<String, PeerLink>,
    /// The domains that have the device open, by their id.
    pub openers: Vec<u32>,
    /// Somebody else holds the device open until then.
    pub held_until: Millis,
    /// For each volume: the last beat of each guest that is on this disk.
    pub data: Vec<BTreeMap<String, u64>>,
}

/// The connection to one peer, as this end has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerLink {
    /// StandAlone, Connecting or Connected.
    pub state: Connection,
    /// What is being copied.
    pub replication: Replication,
    /// The peer's role as shown here.
    pub seen_role: Role,
    /// The peer's disks as shown here.
    pub seen_disks: Vec<Disk>,
    /// The peer has been silent since then, and nobody noticed yet.
    pub silent_since: Option<Millis>,
    /// The resync is over at this time.
    pub sync_until: Option<Millis>,
    /// `connect --discard-my-data` was said.
    pub discard: bool,
    /// The generation from which this end went on alone; 0 for none.
    pub base: u64,
}

/// Why the kernel refuses to change a role (`drbd_strings.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The peer is Primary, and two are not allowed.
    TwoPrimaries,
    /// Neither this disk nor a connected one has good data.
    NoUpToDate,
    /// Fencing is on, and the peer cannot be asked.
    PeerNotOutdated,
    /// The device is open.
    HeldOpen,
    /// Two Primaries of three that do not see each other.
    WeaklyConnected,
    /// Too few nodes.
    NoQuorum,
}

impl Refusal {
    /// The kernel's number.
    pub fn number(self) -> i32 {
        match self {
            Refusal::TwoPrimaries => -1,
            Refusal::NoUpToDate => -2,
            Refusal::PeerNotOutdated => -7,
            Refusal::HeldOpen => -12,
            Refusal::WeaklyConnected => -24,
            Refusal::NoQuorum => -25,
        }
    }

    /// The kernel's words.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::TwoPrimaries => "Multiple primaries not allowed by config",
            Refusal::NoUpToDate => "Need access to UpToDate data",
            Refusal::PeerNotOutdated => "Refusing to be Primary while peer is not outdated",
            Refusal::HeldOpen => "Device is held open by someone",
            Refusal::WeaklyConnected => "Primary nodes must be strongly connected among each other",
            Refusal::NoQuorum => "No quorum",
        }
    }

    /// The exit code of `drbdsetup` (`check_error`).
    pub fn exit(self) -> i32 {
        if self == Refusal::NoUpToDate { 17 } else { 11 }
    }
}

impl Replica {
    /// A new end: up to date, not up.
    pub fn new(node_id: u32, configured: Conf, volumes: usize, generation: u64) -> Replica {
        Replica {
            node_id,
            options: configured.clone(),
            configured,
            up: false,
            role: Role::Secondary,
            explicit: false,
            disks: vec![Disk::UpToDate; volumes],
            current: generation,
            history: Vec::new(),
            bump_on_write: false,
            peers: BTreeMap::new(),
            openers: Vec::new(),
            held_until: 0,
            data: vec![BTreeMap::new(); volumes],
        }
    }

    /// All disks are UpToDate.
    pub fn is_up_to_date(&self) -> bool {
        self.disks.iter().all(|d| *d == Disk::UpToDate)
    }

    /// The peers that are Connected as far as this end knows.
    pub fn connected(&self) -> impl Iterator<Item = (&String, &PeerLink)> {
        self.peers.iter().filter(|(_, l)| l.state == Connection::Connected)
    }

    /// DRBD 9: a majority of the nodes has good data and is here.
    pub fn has_quorum(&self) -> bool {
        if !self.options.quorum {
            return true;
        }
        let here = 1 + self.connected().count();
        here * 2 > self.peers.len() + 1
    }

    /// What remains after the power was cut: the disks and the generations in their meta data.
    pub(super) fn lose_power(&mut self) {
        self.forget_runtime();
        self.openers.clear();
        self.held_until = 0;
    }

    fn forget_runtime(&mut self) {
        self.up = false;
        self.role = Role::Secondary;
        self.explicit = false;
        self.bump_on_write = false;
        self.options = self.configured.clone();
        for link in self.peers.values_mut() {
            link.state = Connection::StandAlone;
            link.forget();
            link.seen_disks.iter_mut().for_each(|d| *d = Disk::Unknown);
        }
    }
}

impl PeerLink {
    /// A connection that was never made.
    pub fn new(volumes: usize) -> PeerLink {
        PeerLink {
            state: Connection::StandAlone,
            replication: Replication::Off,
            seen_role: Role::Unknown,
            seen_disks: vec![Disk::Unknown; volumes],
            silent_since: None,
            sync_until: None,
            discard: false,
            base: 0,
        }
    }

    /// The peer's role is not known any more, nor its disks unless they were known to be bad.
    pub(super) fn forget(&mut self) {
        self.replication = Replication::Off;
        self.seen_role = Role::Unknown;
        self.silent_since = None;
        self.sync_until = None;
        for disk in &mut self.seen_disks {
            if !matches!(disk, Disk::Inconsistent | Disk::Outdated) {
                *disk = Disk::Unknown;
            }
        }
    }
}

impl Fleet {
    /// This host's end of a resource.
    pub fn replica(&self, host: &str, resource: &str) -> Option<&Replica> {
        self.resource(resource)?.on.get(host)
    }

    /// The same, to change it.
    pub fn replica_mut(&mut self, host: &str, resource: &str) -> Option<&mut Replica> {
        self.resource_mut(resource)?.on.get_mut(host)
    }

    /// One end's connection, to change it.
    pub fn link_mut(&mut self, host: &str, resource: &str, peer: &str) -> Option<&mut PeerLink> {
        self.replica_mut(host, resource)?.peers.get_mut(peer)
    }

    /// Becomes Primary, or says why not. Takes time where the peer's silence is noticed on the way.
    pub fn promote(&mut self, host: &str, resource: &str, force: bool, explicit: bool) -> Result<(), Refusal> {
        let Some(replica) = self.replica(host, resource) else {
            return Err(Refusal::NoUpToDate);
        };
        if replica.role == Role::Primary {
            if explicit {
                self.replica_mut(host, resource).expect("just seen").explicit = true;
            }
            return Ok(());
        }
        // The kernel asks the peer; a peer that has been silent is found out now (claim experiments 3 and 4).
        let silent: Vec<String> = replica.connected().filter(|(_, l)| l.silent_since.is_some()).map(|(p, _)| p.clone()).collect();
        if !silent.is_empty() {
            self.pass(900);
            for peer in silent {
                self.lose_connection(host, resource, &peer);
            }
        }
        let refusal = self.refusal(host, resource, force);
        if refusal == Some(Refusal::TwoPrimaries) {
            // The kernel tries once more after its ping timeout.
            self.pass(600);
        }
        if let Some(refusal) = refusal {
            self.log(format!("{host}: {resource} not promoted ({}) {}", refusal.number(), refusal.text()));
            return Err(refusal);
        }
        let v9 = self.host(host).drbd == Generation::V9;
        let replica = self.replica_mut(host, resource).expect("just seen");
        replica.role = Role::Primary;
        replica.explicit = explicit;
        let alone = replica.peers.values().any(|l| l.state != Connection::Connected);
        let fresh = replica.peers.values().any(|l| l.state != Connection::Connected && l.base == 0);
        if force {
            replica.disks.iter_mut().for_each(|d| *d = Disk::UpToDate);
        }
        if v9 && !force {
            replica.bump_on_write = alone && fresh;
        } else if alone && (fresh || force) {
            self.begin_generation(host, resource);
        }
        self.log(format!("{host}: {resource} is Primary{}", if force { ", by force" } else { "" }));
        self.refresh_seen();
        Ok(())
    }

    fn refusal(&self, host: &str, resource: &str, force: bool) -> Option<Refusal> {
        let replica = self.replica(host, resource)?;
        let good_peer = || replica.connected().any(|(_, l)| l.seen_disks.iter().all(|d| *d == Disk::UpToDate));
        if replica.connected().any(|(_, l)| l.seen_role == Role::Primary) && !replica.options.two_primaries {
            return Some(Refusal::TwoPrimaries);
        }
        if force {
            return None;
        }
        if !replica.is_up_to_date() && !good_peer() {
            return Some(Refusal::NoUpToDate);
        }
        if !replica.has_quorum() {
            return Some(Refusal::NoQuorum);
        }
        let not_asked = |l: &PeerLink| {
            l.state != Connection::Connected && l.seen_disks.iter().any(|d| !matches!(d, Disk::Outdated | Disk::Inconsistent))
        };
        if replica.options.fencing.guards() && replica.peers.values().any(not_asked) {
            return Some(Refusal::PeerNotOutdated);
        }
        // A Primary that only a connected peer can see.
        for (peer, _) in replica.connected() {
            let others = self.replica(peer, resource).map(|r| r.connected().collect::<Vec<_>>()).unwrap_or_default();
            let hidden = others.iter().any(|(third, l)| {
                third.as_str() != host
                    && l.seen_role == Role::Primary
                    && replica.peers.get(*third).is_some_and(|mine| mine.state != Connection::Connected)
            });
            if hidden {
                return Some(if replica.options.two_primaries { Refusal::WeaklyConnected } else { Refusal::TwoPrimaries });
            }
        }
        None
    }

    /// Becomes Secondary, or says why not.
    pub fn demote(&mut self, host: &str, resource: &str) -> Result<(), Refusal> {
        let clock = self.clock;
        let Some(replica) = self.replica_mut(host, resource) else {
            return Ok(());
        };
        if replica.role != Role::Primary {
            return Ok(());
        }
        if !replica.openers.is_empty() || replica.held_until > clock {
            self.log(format!("{host}: {resource} not demoted, held open"));
            return Err(Refusal::HeldOpen);
        }
        replica.role = Role::Secondary;
        replica.explicit = false;
        replica.bump_on_write = false;
        self.log(format!("{host}: {resource} is Secondary"));
        self.refresh_seen();
        Ok(())
    }

    /// A block backend opens the device for writing. DRBD 9 promotes by itself, 8 does not.
    pub fn open_device(&mut self, host: &str, resource: &str, domid: u32) -> bool {
        let v9 = self.host(host).drbd == Generation::V9;
        let Some(replica) = self.replica(host, resource) else {
            return false;
        };
        if !replica.up {
            return false;
        }
        let primary = replica.role == Role::Primary
            || (v9 && replica.options.auto_promote && self.promote(host, resource, false, false).is_ok());
        if primary && let Some(replica) = self.replica_mut(host, resource) {
            replica.openers.push(domid);
        }
        primary
    }

    /// A block backend closes the device.
    pub fn close_device(&mut self, host: &str, resource: &str, domid: u32) {
        let clock = self.clock;
        let held = self.quirks.iter().find_map(|q| match q {
            super::Quirk::HeldOpen(h, r, time) if h == host && r == resource => Some(*time),
            _ => None,
        });
        if let Some(replica) = self.replica_mut(host, resource)
            && let Some(at) = replica.openers.iter().position(|d| *d == domid)
        {
            replica.openers.remove(at);
            if let Some(time) = held {
                replica.held_until = clock.saturating_add(time);
            }
        }
        self.demote_unused();
    }

    /// DRBD 9: what was promoted by opening is demoted by the last close.
    pub(super) fn demote_unused(&mut self) {
        let clock = self.clock;
        let mut unused = Vec::new();
        for resource in &self.resources {
            for (host, replica) in &resource.on {
                if replica.role == Role::Primary
                    && !replica.explicit
                    && replica.openers.is_empty()
                    && replica.held_until <= clock
                    && self.host(host).drbd == Generation::V9
                {
                    unused.push((host.clone(), resource.name.clone()));
                }
            }
        }
        for (host, resource) in unused {
            let _ = self.demote(&host, &resource);
        }
    }

    /// `drbdadm up`: the kernel gets the resource as the file has it. False when it has it already.
    pub fn drbd_up(&mut self, host: &str, resource: &str) -> bool {
        let Some(replica) = self.replica_mut(host, resource) else {
            return false;
        };
        if replica.up {
            return false;
        }
        replica.up = true;
        replica.role = Role::Secondary;
        replica.options = replica.configured.clone();
        self.learn_peers(host, resource);
        let Some(replica) = self.replica_mut(host, resource) else {
            return false;
        };
        for link in replica.peers.values_mut() {
            link.state = Connection::Connecting;
            link.forget();
        }
        self.log(format!("{host}: {resource} is up"));
        self.settle_links();
        true
    }

    /// The kernel gets the peers of the file that it does not have.
    pub fn learn_peers(&mut self, host: &str, resource: &str) {
        let Some(resource) = self.resource_mut(resource) else { return };
        let others: Vec<String> = resource.on.keys().filter(|other| *other != host).cloned().collect();
        let volumes = resource.volumes.len();
        let Some(replica) = resource.on.get_mut(host) else { return };
        for other in others {
            replica.peers.entry(other).or_insert_with(|| PeerLink::new(volumes));
        }
    }

    /// `drbdadm down`.
    pub fn drbd_down(&mut self, host: &str, resource: &str) -> Result<(), Refusal> {
        let Some(replica) = self.replica(host, resource) else {
            return Ok(());
        };
        if !replica.up {
            return Ok(());
        }
        self.demote(host, resource)?;
        let peers: Vec<String> = self.replica(host, resource).map(|r| r.peers.keys().cloned().collect()).unwrap_or_default();
        for peer in peers {
            self.disconnect(host, resource, &peer);
        }
        if let Some(replica) = self.replica_mut(host, resource) {
            replica.forget_runtime();
        }
        self.log(format!("{host}: {resource} is down"));
        Ok(())
    }

    /// Changes `allow-two-primaries` at run time. A connected peer learns it; a lost one does not.
    /// False while both are Primary and it would be switched off (164).
    pub fn set_two_primaries(&mut self, host: &str, resource: &str, value: bool) -> bool {
        let Some(replica) = self.replica_mut(host, resource) else {
            return false;
        };
        let both = replica.role == Role::Primary && replica.connected().any(|(_, l)| l.seen_role == Role::Primary);
        if replica.options.two_primaries && !value && both {
            return false;
        }
        let changed = replica.options.two_primaries != value;
        replica.options.two_primaries = value;
        let peers: Vec<String> = replica.connected().filter(|(_, l)| l.silent_since.is_none()).map(|(p, _)| p.clone()).collect();
        for peer in peers {
            if let Some(other) = self.replica_mut(&peer, resource) {
                other.options.two_primaries = value;
            }
        }
        if changed {
            self.log(format!("{host}: {resource} allow-two-primaries={}", if value { "yes" } else { "no" }));
        }
        true
    }

    /// Changes `fencing` at run time: a matter of this host alone.
    pub fn set_fencing(&mut self, host: &str, resource: &str, value: Fencing) {
        if let Some(replica) = self.replica_mut(host, resource)
            && replica.options.fencing != value
        {
            replica.options.fencing = value.clone();
            self.log(format!("{host}: {resource} fencing={value}"));
        }
    }
}
