//! What must be seen between the deeds of a claim.
//!
//! The deeds: the guard on, Primary, look, create, look, the guard off. What DRBD *shows* of a peer may be ten seconds old; what it
//! *promotes* under the guard is decided by both kernels together: of two Dom0s exactly one wins, and with the link down none does
//! (measured: claim-experiments, rows 2 and 4).
//!
//! `allow-two-primaries` is one flag for both ends. Where the operator's file has it on for good, whoever ends a claim first turns it on
//! again for a claim of the other end that has not promoted yet: both can be Primary then for the moment until each has looked again.
//! That look is why no domU is created twice: if each had seen the other one Secondary after its own promotion, each promotion would
//! have come after the other. Leaving the flag off for longer is worse: an end that is rebooted meanwhile comes back with the flag of its
//! file, and two ends whose flags differ refuse to connect (row 10).
//!
//! A quorum (DRBD 9, where the operator's file asks for one) stands in for peers that are missing: of any two parts of a cluster at most one
//! has a majority, a promotion is agreed upon with every connected node, and without the majority it is refused with `(-25) No quorum`.
//! `fencing=resource-only` would refuse it beside a missing peer whatever the majority (drbd_state.c, `is_valid_transition`), so such a
//! claim leaves the fencing of the file as it is.

use crate::core::drbd::{Configured, Connection, Fencing, Generation, Options, Replica, Role};
use crate::core::xen::{BlockDevice, Domain, ShutdownReason};

/// What proves that no other host runs it, and so what the guard must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Every peer is connected and says so.
    EveryPeer,
    /// A majority has agreed; the rest cannot write.
    Quorum,
}

/// What a resource whose peers are all Secondary, as far as they are seen, proves; `None`: nothing. `file` is what the operator's file has of
/// it: without a quorum asked for there DRBD says `quorum:yes` to everybody, and what the kernel does not show of it is not seen.
pub fn proof(replica: &Replica, file: &Configured) -> Option<Proof> {
    if replica.peers.is_empty()
        || !whole(replica, file)
        || replica.peers.iter().any(|p| p.connection == Connection::Connected && p.role != Role::Secondary)
    {
        return None;
    }
    if replica.is_connected() {
        return Some(Proof::EveryPeer);
    }
    // StandAlone is no missing peer: DRBD, or a person, has parted the two, and a person must say who is right.
    let missing_only = replica.peers.iter().all(|p| p.connection != Connection::StandAlone && p.role != Role::Primary);
    (missing_only && file.quorum && has_majority(replica)).then_some(Proof::Quorum)
}

/// The kernel shows all that the file has, and nothing that we do not understand. A host that it does not know is no host that is missing:
/// its quorum does not count it.
fn whole(replica: &Replica, file: &Configured) -> bool {
    replica.strange.is_none()
        && !replica.volumes.is_empty()
        && file.unshown_volumes(replica).is_empty()
        && file.unshown_peers(replica).is_empty()
}

/// What the kernel does not show, in a sentence for whoever must mend it.
pub fn unshown(replica: &Replica, file: &Configured) -> Option<String> {
    let name = &replica.resource;
    let list = |words: Vec<String>| words.join(", ");
    let who = |connected: bool| {
        let peers = file.unshown_peers(replica).into_iter().filter(|peer| peer.connected == connected);
        peers.map(|peer| peer.name.clone().unwrap_or_else(|| "another host".to_string())).collect::<Vec<_>>()
    };
    let (apart, unknown) = (who(false), who(true));
    if let Some(line) = &replica.strange {
        return Some(format!("{name}: DRBD tells of it what this version does not know, perhaps of another host: {line}"));
    }
    if !unknown.is_empty() {
        return Some(format!(
            "{name}: the kernel here does not know {}, and drbd.conf has it: whether it runs there cannot be known: drbdadm adjust {name}",
            list(unknown)
        ));
    }
    if !apart.is_empty() {
        return Some(format!(
            "{name}: drbd.conf has no connection from here to {}: whether it runs there cannot be known",
            list(apart)
        ));
    }
    let volumes = file.unshown_volumes(replica);
    if !volumes.is_empty() {
        let numbers = list(volumes.iter().map(|v| v.number.to_string()).collect());
        return Some(format!(
            "{name}: the kernel here does not show its volume {numbers}, and drbd.conf has it: drbdadm adjust {name}"
        ));
    }
    None
}

fn has_majority(replica: &Replica) -> bool {
    !replica.volumes.is_empty() && replica.volumes.iter().all(|v| v.quorum == Some(true))
}

/// One deed of a claim. What is done to a resource is done to each of the domU's before the next deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// What will have to be put back is written down, so that a crash at any later point leaves a trace.
    WriteDown,
    /// The options of [`guarded`], on our side.
    Guard,
    /// Primary.
    Promote,
    /// What DRBD shows now: [`holds`].
    LookAgain,
    /// The domU.
    Create,
    /// How it stands: [`stands`].
    LookAtIt,
    /// What we created is destroyed, and only that.
    Destroy,
    /// Secondary.
    Demote,
    /// The options of the operator's file; then what was written down is crossed out.
    PutBack,
}

impl Deed {
    /// A claim begins with this.
    pub const FIRST: Deed = Deed::WriteDown;

    /// What follows; `None`: the claim is over. What goes wrong on the way up turns us round; the way back is gone to its end, whatever
    /// cannot be done on it.
    pub fn next(self, went_well: bool) -> Option<Deed> {
        match self {
            Deed::Destroy => Some(Deed::Demote),
            Deed::Demote => Some(Deed::PutBack),
            Deed::PutBack => None,
            _ if !went_well => Some(Deed::Destroy),
            Deed::WriteDown => Some(Deed::Guard),
            Deed::Guard => Some(Deed::Promote),
            Deed::Promote => Some(Deed::LookAgain),
            Deed::LookAgain => Some(Deed::Create),
            Deed::Create => Some(Deed::LookAtIt),
            Deed::LookAtIt => Some(Deed::PutBack),
        }
    }
}

/// The options while it is claimed: no second Primary, and none towards a peer that cannot be asked. A stronger policy is kept.
pub fn guarded(now: &Options, proof: Proof) -> Options {
    let fencing = if proof == Proof::Quorum || now.fencing.guards() { now.fencing.clone() } else { Fencing::ResourceOnly };
    Options { two_primaries: false, fencing }
}

/// Whether the guard can be set at run time. DRBD 8.3 cannot: there the operator's file must have it.
pub fn can_be_guarded(generation: Generation) -> bool {
    generation != Generation::V83
}

/// After the promotion: may the domU be created? The error says what was seen instead; then we step back.
pub fn holds(replica: &Replica, file: &Configured, claimed_on: Proof) -> Result<(), String> {
    let name = &replica.resource;
    if replica.role != Role::Primary {
        return Err(format!("{name} was promoted and is {}", replica.role));
    }
    if let Some(peer) = replica.peers.iter().find(|p| p.role == Role::Primary) {
        return Err(format!("{name} is Primary on {} as well", peer.name));
    }
    if let Some(unshown) = unshown(replica, file) {
        return Err(unshown);
    }
    let by = proof(replica, file);
    if by.is_none() || (by == Some(Proof::Quorum) && claimed_on != Proof::Quorum) {
        let words: Vec<String> = replica.peers.iter().map(|p| format!("{} {} {}", p.name, p.connection, p.role)).collect();
        let lost = if claimed_on == Proof::Quorum { "its quorum" } else { "its peer" };
        return Err(format!("{name} lost {lost} while it was promoted ({})", words.join(", ")));
    }
    if !replica.is_up_to_date() {
        return Err(format!("{name} is not UpToDate any more"));
    }
    Ok(())
}

/// How a domU stands that was just created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// It executes and its disks are connected.
    Well,
    /// Its disks are on their way: the guest connects them when its kernel is up.
    NotYet(String),
    /// It cannot go on: what is wrong. We step back.
    Dead(String),
}

/// Looks at a domU that was just created. `disks` are its block devices as the toolstack lists them.
pub fn stands(domain: Option<&Domain>, disks: &[BlockDevice]) -> Stands {
    let Some(domain) = domain else { return Stands::Dead("it is gone again".to_string()) };
    // A guest may reboot early (its first boot, a new kernel): the toolstack starts it again.
    if domain.state.shutdown == Some(ShutdownReason::Reboot) {
        return Stands::NotYet("it is rebooting".to_string());
    }
    if domain.state.shutdown.is_some() || domain.state.dying {
        return Stands::Dead(format!("it is {} again", domain.state.in_words()));
    }
    // XenbusStateClosing and XenbusStateClosed: the backend could not open the device (recorded.md, `state 6`).
    let dead: Vec<String> =
        disks.iter().filter(|d| matches!(d.state, 5 | 6)).map(|d| format!("{} in state {}", d.vdev, d.state)).collect();
    if !dead.is_empty() {
        return Stands::Dead(format!("its disks are dead: {} (4 is right)", dead.join(", ")));
    }
    let waiting: Vec<String> =
        disks.iter().filter(|d| d.state != 4).map(|d| format!("{} in state {}", d.vdev, d.state)).collect();
    if waiting.is_empty() {
        Stands::Well
    } else {
        Stands::NotYet(format!("its disks are not connected yet: {}", waiting.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::drbd::{ConfiguredPeer, ConfiguredVolume, Connection, Disk, Peer, PeerVolume, Replication, Volume};
    use crate::core::xen::DomainState;

    fn promoted() -> Replica {
        let peer_volumes = vec![PeerVolume { number: 0, disk: Disk::UpToDate, replication: Replication::Established }];
        Replica {
            resource: "r0".parse().unwrap(),
            role: Role::Primary,
            volumes: vec![Volume { number: 0, minor: Some(0), disk: Disk::UpToDate, quorum: None }],
            peers: vec![Peer {
                name: "peer".into(),
                connection: Connection::Connected,
                role: Role::Secondary,
                volumes: peer_volumes,
            }],
            may_promote: None,
            strange: None,
        }
    }

    /// What the file has of it.
    fn file(peers: &[&str], quorum: bool) -> Configured {
        let peer = |name: &&str| ConfiguredPeer { name: Some(name.to_string()), hosts: vec![], connected: true };
        let volume =
            ConfiguredVolume { number: 0, minor: 0, device: "/dev/drbd0".into(), disk: "/dev/vg/r0".into(), implicit: true };
        Configured {
            resource: "r0".parse().unwrap(),
            volumes: vec![volume],
            options: Options::default(),
            peers: peers.iter().map(peer).collect(),
            auto_promote: false,
            quorum,
        }
    }

    #[test]
    fn each_deed_waits_for_the_one_before_and_the_way_back_is_gone_to_its_end() {
        let path = |fails: Option<Deed>| {
            std::iter::successors(Some(Deed::FIRST), |deed| deed.next(Some(*deed) != fails)).collect::<Vec<_>>()
        };
        use Deed::*;
        assert_eq!(path(None), [WriteDown, Guard, Promote, LookAgain, Create, LookAtIt, PutBack]);
        for (deeds, fails) in [(1, WriteDown), (2, Guard), (3, Promote), (4, LookAgain), (5, Create), (6, LookAtIt)] {
            let way = path(Some(fails));
            assert_eq!(way[deeds - 1], fails);
            assert_eq!(way[deeds..], [Destroy, Demote, PutBack], "{fails:?}");
        }
        assert!([Destroy, Demote].iter().all(|deed| deed.next(false) == deed.next(true)));
        assert_eq!(PutBack.next(false), None);
    }

    #[test]
    fn the_guard_forbids_both_ways_and_weakens_nothing() {
        let now = Options { two_primaries: true, fencing: Fencing::DontCare };
        assert_eq!(guarded(&now, Proof::EveryPeer), Options { two_primaries: false, fencing: Fencing::ResourceOnly });
        // DRBD would refuse beside a missing peer, with a quorum or without.
        assert_eq!(guarded(&now, Proof::Quorum), Options { two_primaries: false, fencing: Fencing::DontCare });
        let strong = Options { two_primaries: true, fencing: Fencing::Stonith };
        assert_eq!(guarded(&strong, Proof::EveryPeer).fencing, Fencing::Stonith);
    }

    #[test]
    fn only_connected_to_secondaries_and_primary_itself_it_holds() {
        assert_eq!(holds(&promoted(), &file(&["beta"], false), Proof::EveryPeer), Ok(()));
        for spoil in [
            |r: &mut Replica| r.role = Role::Secondary,
            |r: &mut Replica| r.peers[0].role = Role::Primary,
            |r: &mut Replica| r.peers[0].role = Role::Unknown,
            |r: &mut Replica| r.peers[0].connection = Connection::Connecting,
            |r: &mut Replica| r.peers.clear(),
            |r: &mut Replica| r.volumes[0].disk = Disk::Inconsistent,
            |r: &mut Replica| r.volumes.clear(),
            |r: &mut Replica| r.peers[0].name = "somebody".into(),
            |r: &mut Replica| r.strange = Some("exists wormhole name:r0".into()),
        ] {
            let mut replica = promoted();
            spoil(&mut replica);
            assert!(holds(&replica, &file(&["beta"], false), Proof::EveryPeer).is_err(), "{replica:?}");
        }
        // A host that the kernel has forgotten since, or never knew.
        assert!(holds(&promoted(), &file(&["beta", "gamma"], false), Proof::EveryPeer).unwrap_err().contains("gamma"));
    }

    #[test]
    fn with_the_majority_a_missing_peer_is_no_obstacle_and_everything_else_is() {
        let mut with = promoted();
        with.volumes[0].quorum = Some(true);
        let mut missing = with.peers[0].clone();
        (missing.name, missing.connection, missing.role) = ("third".into(), Connection::Connecting, Role::Unknown);
        with.peers.push(missing);
        let file = file(&["beta", "third"], true);
        assert_eq!(holds(&with, &file, Proof::Quorum), Ok(()));
        assert!(holds(&with, &file, Proof::EveryPeer).is_err());
        assert!(holds(&with, &Configured { quorum: false, ..file.clone() }, Proof::Quorum).is_err());
        for spoil in [
            |r: &mut Replica| r.role = Role::Secondary,
            |r: &mut Replica| r.volumes[0].quorum = Some(false),
            |r: &mut Replica| r.volumes[0].quorum = None,
            |r: &mut Replica| r.volumes[0].disk = Disk::Outdated,
            |r: &mut Replica| r.peers[0].role = Role::Primary,
            |r: &mut Replica| r.peers[0].role = Role::Unknown,
            |r: &mut Replica| r.peers[1].role = Role::Primary,
            |r: &mut Replica| r.peers[1].connection = Connection::StandAlone,
            |r: &mut Replica| drop(r.peers.remove(1)),
        ] {
            let mut replica = with.clone();
            spoil(&mut replica);
            assert!(holds(&replica, &file, Proof::Quorum).is_err(), "{replica:?}");
        }
    }

    #[test]
    fn a_created_domu_stands_when_its_disks_do() {
        let state = DomainState { running: false, blocked: true, paused: false, shutdown: None, dying: false };
        let domain = Domain { name: "web".into(), id: 3, memory: 128, state, uuid: None };
        let disk = |state| BlockDevice { vdev: "51712".into(), state };
        assert_eq!(stands(Some(&domain), &[disk(4), disk(4)]), Stands::Well);
        assert!(matches!(stands(Some(&domain), &[disk(4), disk(2)]), Stands::NotYet(_)));
        assert!(matches!(stands(Some(&domain), &[disk(4), disk(6)]), Stands::Dead(_)));
        assert!(matches!(stands(None, &[]), Stands::Dead(_)));
        let mut crashed = domain;
        crashed.state.shutdown = Some(ShutdownReason::Crash);
        assert!(matches!(stands(Some(&crashed), &[disk(4)]), Stands::Dead(_)));
    }
}
