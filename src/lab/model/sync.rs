//! DRBD between hosts: connecting, losing each other, data generations, resync, split brain.
//!
//! Each end has a current generation and the older ones it contains. A Primary that goes on alone begins a new one:
//! DRBD 8 at once, 9 with its first write (claim experiments 3 and 3b). When two ends meet, they compare.

use super::{Fleet, Millis};
use crate::core::drbd::{Connection, Disk, Generation, Replication, Role};

/// How long DRBD takes to notice that its peer has fallen silent (measured: 4 to 11 s).
pub const NOTICE: Millis = 10_000;

/// What two ends find when they compare their generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The same data.
    Same,
    /// The first has all that the second has, and more.
    FirstNewer,
    /// The other way round.
    SecondNewer,
    /// Each has something that the other lacks.
    SplitBrain,
}

impl Fleet {
    /// From now on two hosts do not hear each other's DRBD.
    pub(super) fn begin_silence(&mut self, a: &str, b: &str, clock: Millis) {
        for resource in &mut self.resources {
            for (here, there) in [(a, b), (b, a)] {
                if let Some(link) = resource.on.get_mut(here).and_then(|r| r.peers.get_mut(there))
                    && link.state == Connection::Connected
                {
                    link.silent_since.get_or_insert(clock);
                }
            }
        }
    }

    /// One end gives its connection up as lost and waits for the peer.
    pub fn lose_connection(&mut self, host: &str, resource: &str, peer: &str) {
        let v9 = self.host(host).drbd == Generation::V9;
        let Some(replica) = self.replica_mut(host, resource) else {
            return;
        };
        let primary = replica.role == Role::Primary;
        let Some(link) = replica.peers.get_mut(peer) else {
            return;
        };
        if link.state != Connection::Connected {
            return;
        }
        link.state = Connection::Connecting;
        link.forget();
        let fresh = link.base == 0;
        self.log(format!("{host}: {resource} lost {peer}"));
        if primary && fresh {
            if v9 {
                self.replica_mut(host, resource).expect("just seen").bump_on_write = true;
            } else {
                self.begin_generation(host, resource);
            }
        }
    }

    /// A Primary goes on without a peer: a new data generation, which the connected peers follow.
    pub(super) fn begin_generation(&mut self, host: &str, resource: &str) {
        let fresh = self.fresh_generation();
        let Some(replica) = self.replica_mut(host, resource) else {
            return;
        };
        let old = replica.current;
        replica.current = fresh;
        replica.history.push(old);
        replica.bump_on_write = false;
        let mut follow = Vec::new();
        for (peer, link) in &mut replica.peers {
            if link.state == Connection::Connected {
                follow.push(peer.clone());
            } else if link.base == 0 {
                link.base = old;
            }
        }
        for peer in follow {
            if let Some(other) = self.replica_mut(&peer, resource)
                && other.is_up_to_date()
            {
                other.current = fresh;
                other.history.push(old);
            }
        }
        self.log(format!("{host}: {resource} new data generation"));
    }

    /// A guest's beat on a volume. False where it is blocked or impossible.
    pub fn write_beat(&mut self, host: &str, resource: &str, volume: usize, guest: &str, beat: u64) -> bool {
        let Some(replica) = self.replica(host, resource) else {
            return false;
        };
        if replica.role != Role::Primary || !replica.has_quorum() {
            return false;
        }
        // A write waits for the answer of a peer that has fallen silent (claim experiment 8 of DRBD 9: 10.7 s).
        if replica.connected().any(|(_, l)| l.silent_since.is_some()) {
            return false;
        }
        if replica.bump_on_write && replica.peers.values().any(|l| l.state != Connection::Connected) {
            self.begin_generation(host, resource);
        }
        let replica = self.replica_mut(host, resource).expect("just seen");
        let mut to: Vec<String> = replica.connected().map(|(p, _)| p.clone()).collect();
        to.push(host.to_string());
        for holder in to {
            if let Some(replica) = self.replica_mut(&holder, resource)
                && replica.disks.get(volume).is_some_and(|d| *d != Disk::Diskless)
                && let Some(data) = replica.data.get_mut(volume)
            {
                data.insert(guest.to_string(), beat);
            }
        }
        true
    }

    /// The last beat of a guest that reading the volume on this host finds.
    pub fn read_beat(&self, host: &str, resource: &str, volume: usize, guest: &str) -> u64 {
        let beat =
            |h: &str| self.replica(h, resource).and_then(|r| r.data.get(volume)).and_then(|d| d.get(guest)).copied().unwrap_or(0);
        let Some(replica) = self.replica(host, resource) else {
            return 0;
        };
        if replica.disks.get(volume) == Some(&Disk::UpToDate) {
            return beat(host);
        }
        // Diskless or half synchronised: blocks come from a connected peer with good data.
        replica
            .connected()
            .filter(|(_, l)| l.seen_disks.get(volume) == Some(&Disk::UpToDate))
            .map(|(p, _)| beat(p))
            .max()
            .unwrap_or_else(|| beat(host))
    }

    /// Leaves a peer in good order. With fencing on a Primary, the other end is marked outdated (claim experiment 7).
    pub fn disconnect(&mut self, host: &str, resource: &str, peer: &str) {
        let Some(link) = self.replica(host, resource).and_then(|r| r.peers.get(peer)) else {
            return;
        };
        let connected = link.state == Connection::Connected;
        let heard = connected && link.silent_since.is_none();
        let guarded_primary = |fleet: &Fleet, h: &str| {
            fleet.replica(h, resource).is_some_and(|r| r.role == Role::Primary && r.options.fencing.guards())
        };
        let mut outdated = None;
        if heard {
            if guarded_primary(self, host) && self.replica(peer, resource).is_some_and(|r| r.role != Role::Primary) {
                outdated = Some(peer);
            } else if guarded_primary(self, peer) && self.replica(host, resource).is_some_and(|r| r.role != Role::Primary) {
                outdated = Some(host);
            }
        }
        if connected {
            self.lose_connection(host, resource, peer);
        }
        if let Some(link) = self.link_mut(host, resource, peer) {
            link.state = Connection::StandAlone;
        }
        if let Some(who) = outdated {
            if let Some(replica) = self.replica_mut(who, resource) {
                replica.disks.iter_mut().filter(|d| **d == Disk::UpToDate).for_each(|d| *d = Disk::Outdated);
            }
            self.log(format!("{who}: {resource} is Outdated"));
            let (keeper, loser) = if who == peer { (host, peer) } else { (peer, host) };
            if let Some(link) = self.link_mut(keeper, resource, loser) {
                link.seen_disks.iter_mut().for_each(|d| *d = Disk::Outdated);
            }
        }
        if heard {
            self.lose_connection(peer, resource, host);
        }
        self.log(format!("{host}: {resource} disconnected from {peer}"));
    }

    /// `drbdadm connect`: waits for the peer. False where a connection is there already.
    pub fn connect(&mut self, host: &str, resource: &str, peer: &str, discard: bool) -> bool {
        let Some(link) = self.link_mut(host, resource, peer) else {
            return false;
        };
        if link.state != Connection::StandAlone {
            return false;
        }
        link.state = Connection::Connecting;
        link.discard = discard;
        self.settle_links();
        true
    }

    /// Ends that can hear each other find each other again, or find out that they had lost each other.
    pub fn settle_links(&mut self) {
        let mut pairs = Vec::new();
        for resource in &self.resources {
            for (host, replica) in &resource.on {
                for peer in replica.peers.keys().filter(|p| host < *p) {
                    pairs.push((resource.name.clone(), host.clone(), peer.clone()));
                }
            }
        }
        for (resource, a, b) in pairs {
            if !self.drbd_path(&a, &b) {
                continue;
            }
            let state = |fleet: &Fleet, h: &str, p: &str| {
                fleet.replica(h, &resource).filter(|r| r.up).and_then(|r| r.peers.get(p)).map(|l| l.state.clone())
            };
            let connected = Some(Connection::Connected);
            match (state(self, &a, &b), state(self, &b, &a)) {
                (x, y) if x == connected && y == connected => {
                    for (h, p) in [(&a, &b), (&b, &a)] {
                        if let Some(link) = self.link_mut(h, &resource, p) {
                            link.silent_since = None;
                        }
                    }
                }
                (x, _) if x == connected => self.lose_connection(&a, &resource, &b),
                (_, y) if y == connected => self.lose_connection(&b, &resource, &a),
                _ => {}
            }
            let waiting = Some(Connection::Connecting);
            if state(self, &a, &b) == waiting && state(self, &b, &a) == waiting {
                self.handshake(&resource, &a, &b);
            }
        }
        self.refresh_seen();
    }

    /// Compares what two ends have.
    pub fn compare(&self, resource: &str, a: &str, b: &str) -> Compared {
        let (Some(first), Some(second)) = (self.replica(a, resource), self.replica(b, resource)) else {
            return Compared::Same;
        };
        if first.current == second.current {
            Compared::Same
        } else if first.history.contains(&second.current) {
            Compared::FirstNewer
        } else if second.history.contains(&first.current) {
            Compared::SecondNewer
        } else {
            Compared::SplitBrain
        }
    }

    fn handshake(&mut self, resource: &str, a: &str, b: &str) {
        let of = |fleet: &Fleet, h: &str| fleet.replica(h, resource).cloned();
        let (Some(first), Some(second)) = (of(self, a), of(self, b)) else {
            return;
        };
        if first.options.two_primaries != second.options.two_primaries {
            return self.part(resource, a, b, "incompatible allow-two-primaries settings");
        }
        let primary = |r: &super::Replica| r.role == Role::Primary;
        if primary(&first) && primary(&second) && !first.options.two_primaries {
            return self.part(resource, a, b, "both Primary, which is not allowed");
        }
        let discard = |r: &super::Replica, p: &str| r.peers.get(p).is_some_and(|l| l.discard);
        // The one that is copied from and the one that is copied to.
        let sync = match self.compare(resource, a, b) {
            Compared::Same => None,
            Compared::FirstNewer => Some((a, b)),
            Compared::SecondNewer => Some((b, a)),
            Compared::SplitBrain => match (discard(&first, b), discard(&second, a)) {
                (true, false) => Some((b, a)),
                (false, true) => Some((a, b)),
                _ => return self.part(resource, a, b, "split brain"),
            },
        };
        if let Some((_, target)) = sync
            && self.replica(target, resource).is_some_and(primary)
        {
            return self.part(resource, a, b, "the older end is Primary");
        }
        for (h, p) in [(a, b), (b, a)] {
            if let Some(link) = self.link_mut(h, resource, p) {
                link.state = Connection::Connected;
                link.replication = Replication::Established;
                link.discard = false;
                link.silent_since = None;
            }
        }
        self.log(format!("{a}–{b}: {resource} connected"));
        // The same generation, but one end lacks blocks (an interrupted resync, a new disk).
        let good = |r: &super::Replica| r.is_up_to_date();
        let sync = sync.or(match (good(&first), good(&second)) {
            (true, false) => Some((a, b)),
            (false, true) => Some((b, a)),
            _ => None,
        });
        match sync {
            Some((source, target)) => self.begin_sync(resource, source, target),
            None => {
                for (h, p) in [(a, b), (b, a)] {
                    if let Some(link) = self.link_mut(h, resource, p) {
                        link.base = 0;
                    }
                }
                for h in [a, b] {
                    if let Some(replica) = self.replica_mut(h, resource) {
                        replica.bump_on_write = false;
                    }
                }
            }
        }
    }

    fn part(&mut self, resource: &str, a: &str, b: &str, why: &str) {
        for (h, p) in [(a, b), (b, a)] {
            if let Some(link) = self.link_mut(h, resource, p) {
                link.state = Connection::StandAlone;
                link.discard = false;
                link.forget();
            }
        }
        self.log(format!("{a}–{b}: {resource} StandAlone: {why}"));
    }

    /// The target takes over what the source has; it is Inconsistent until that is done.
    pub fn begin_sync(&mut self, resource: &str, source: &str, target: &str) {
        let takes = self.resource(resource).map_or(0, |r| r.sync_takes);
        let until = self.clock + takes;
        if let Some(replica) = self.replica_mut(target, resource) {
            replica.disks.iter_mut().filter(|d| **d != Disk::Diskless).for_each(|d| *d = Disk::Inconsistent);
        }
        for (h, p, word) in [(source, target, Replication::SyncSource), (target, source, Replication::SyncTarget)] {
            if let Some(link) = self.link_mut(h, resource, p) {
                link.replication = word;
                link.sync_until = Some(until);
            }
        }
        self.log(format!("{source}–{target}: {resource} resync to {target} begins"));
        self.refresh_seen();
    }

    /// The resyncs that are over by now.
    pub(super) fn finish_syncs(&mut self) {
        let mut over = Vec::new();
        for resource in &self.resources {
            for (host, replica) in &resource.on {
                for (peer, link) in &replica.peers {
                    let due = link.sync_until.is_some_and(|t| t <= self.clock) && link.silent_since.is_none();
                    if link.replication == Replication::SyncTarget && due {
                        over.push((resource.name.clone(), peer.clone(), host.clone()));
                    }
                }
            }
        }
        for (resource, source, target) in over {
            let Some(from) = self.replica(&source, &resource).cloned() else {
                continue;
            };
            if let Some(to) = self.replica_mut(&target, &resource) {
                to.current = from.current;
                to.history = from.history;
                to.data = from.data;
                to.disks.iter_mut().filter(|d| **d != Disk::Diskless).for_each(|d| *d = Disk::UpToDate);
                to.bump_on_write = false;
            }
            for (h, p) in [(&source, &target), (&target, &source)] {
                if let Some(link) = self.link_mut(h, &resource, p) {
                    link.replication = Replication::Established;
                    link.sync_until = None;
                    link.base = 0;
                }
            }
            self.log(format!("{source}–{target}: {resource} resync is over"));
        }
    }

    /// The ends that have waited in vain long enough.
    pub(super) fn notice_losses(&mut self) {
        let mut lost = Vec::new();
        for resource in &self.resources {
            for (host, replica) in &resource.on {
                for (peer, link) in replica.connected() {
                    if link.silent_since.is_some_and(|t| t + NOTICE <= self.clock) {
                        lost.push((host.clone(), resource.name.clone(), peer.clone()));
                    }
                }
            }
        }
        for (host, resource, peer) in lost {
            self.lose_connection(&host, &resource, &peer);
        }
    }

    /// What each end shows of the others, where it can hear them.
    pub fn refresh_seen(&mut self) {
        let mut seen = Vec::new();
        for (at, resource) in self.resources.iter().enumerate() {
            for (host, replica) in &resource.on {
                for (peer, link) in replica.connected() {
                    if link.silent_since.is_none()
                        && let Some(other) = resource.on.get(peer)
                    {
                        seen.push((at, host.clone(), peer.clone(), other.role.clone(), other.disks.clone()));
                    }
                }
            }
        }
        for (at, host, peer, role, disks) in seen {
            if let Some(link) = self.resources[at].on.get_mut(&host).and_then(|r| r.peers.get_mut(&peer)) {
                link.seen_role = role;
                link.seen_disks = disks;
            }
        }
    }
}
