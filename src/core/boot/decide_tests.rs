use super::*;
use crate::core::drbd::{ConfiguredPeer, ConfiguredVolume, Options, PeerVolume, UNNAMED, Volume};
use crate::core::facts::Promoter;
use crate::core::record::Moment;
use crate::core::xen::DomainState;

fn name(text: &str) -> ResourceName {
    text.parse().unwrap()
}

fn disk(resource: Option<&str>) -> DiskSeen {
    DiskSeen {
        vdev: "xvda".into(),
        target: "x".into(),
        resource: resource.map(name),
        promoter: Promoter::Script,
        writable: true,
        cdrom: false,
    }
}

/// Connected, both Secondary, UpToDate.
fn healthy(resource: &str) -> Replica {
    let peer_volumes = vec![PeerVolume { number: 0, disk: Disk::UpToDate, replication: Replication::Established }];
    Replica {
        resource: name(resource),
        role: Role::Secondary,
        volumes: vec![Volume { number: 0, minor: Some(1), disk: Disk::UpToDate, quorum: None }],
        peers: vec![Peer {
            name: "beta".into(),
            connection: Connection::Connected,
            role: Role::Secondary,
            volumes: peer_volumes,
        }],
        may_promote: None,
        strange: None,
    }
}

/// The file that a healthy one has: one volume, and beta.
fn file(resource: &str) -> Configured {
    let volume = ConfiguredVolume { number: 0, minor: 1, device: "/dev/drbd1".into(), disk: "/dev/vg/x".into(), implicit: true };
    Configured {
        resource: name(resource),
        volumes: vec![volume],
        options: Options::default(),
        peers: vec![ConfiguredPeer { name: Some("beta".into()), hosts: vec!["beta".into()], connected: true }],
        auto_promote: false,
        quorum: false,
    }
}

fn domain(called: &str) -> Domain {
    let state = DomainState { running: false, blocked: false, paused: false, shutdown: None, dying: false };
    Domain { name: called.into(), id: 7, memory: 512, state, uuid: None }
}

fn row(state: State) -> Row {
    Row {
        domu: "web".parse().unwrap(),
        state,
        host: "beta".parse().unwrap(),
        since: Moment(0),
        open: vec![],
        home: None,
        from: None,
        never: false,
    }
}

/// Everything that a test may spoil.
struct World {
    disks: Vec<DiskSeen>,
    copies: Vec<Domain>,
    row: Option<Row>,
    replicas: Vec<Replica>,
    ours: Vec<ResourceName>,
    configured: Vec<Configured>,
    trust_quorum: bool,
    busy: Option<String>,
    unseen: Vec<String>,
}

fn world() -> World {
    World {
        disks: vec![disk(Some("r0")), disk(None), disk(Some("r1"))],
        copies: vec![],
        row: None,
        replicas: vec![healthy("r0"), healthy("r1"), healthy("other")],
        ours: vec![],
        configured: vec![file("r0"), file("r1"), file("other")],
        trust_quorum: false,
        busy: None,
        unseen: vec![],
    }
}

fn decided(world: &World) -> Decision {
    let domu = "web".parse().unwrap();
    decide(&Case {
        domu: &domu,
        disks: &world.disks,
        copies: world.copies.iter().collect(),
        row: world.row.as_ref(),
        replicas: &world.replicas,
        ours: &world.ours,
        configured: &world.configured,
        trust_quorum: world.trust_quorum,
        busy: world.busy.clone(),
        unseen: &world.unseen,
    })
}

/// What it comes to when one thing is spoilt: the word, and that the evidence names what was spoilt.
fn spoilt(spoil: impl Fn(&mut World), word: &str, evidence: &str) {
    let mut world = world();
    spoil(&mut world);
    let decision = decided(&world);
    assert_eq!(decision.word(), word, "{decision}");
    assert!(decision.evidence().contains(evidence), "{decision} does not say {evidence:?}");
}

#[test]
fn a_healthy_domu_is_claimed() {
    assert_eq!(decided(&world()).word(), "claim");
    spoilt(|w| w.row = Some(row(State::Visiting)), "claim", "r1");
    spoilt(|w| w.row = Some(row(State::Here)), "claim", "r1");
}

#[test]
fn no_drbd_disk_is_a_fault() {
    spoilt(|w| w.disks = vec![disk(None)], "fault", "no disk");
}

#[test]
fn whatever_is_here_under_any_of_its_names_is_left_alone() {
    for called in ["web", "web--incoming", "web--migratedaway", "migrating-web"] {
        spoilt(|w| w.copies = vec![domain(called)], "exists", called);
    }
}

#[test]
fn what_the_record_says_is_elsewhere_is_not_started() {
    for state in [State::Away, State::Passed, State::Leaving, State::Returning, State::Arriving] {
        spoilt(|w| w.row = Some(row(state)), "migrated", "beta");
    }
    spoilt(|w| w.row = Some(row(State::Away)), "migrated", "xen-migrate recover web");
    let runs_there = |w: &mut World| {
        w.row = Some(row(State::Away));
        w.replicas[0].peers[0].role = Role::Primary;
    };
    spoilt(runs_there, "migrated", "xen-migrate reverse web");
}

#[test]
fn one_primary_peer_of_one_disk_is_enough_to_keep_away() {
    spoilt(|w| w.replicas[1].peers[0].role = Role::Primary, "ignored", "r1 is Primary on beta");
    // Even where nothing else can be seen, and somebody is at work.
    let all_else_unknown = |w: &mut World| {
        w.replicas[1].peers[0].role = Role::Primary;
        w.replicas.remove(0);
        w.busy = Some("x".into());
        w.unseen = vec!["y".into()];
    };
    spoilt(all_else_unknown, "ignored", "r1");
    let third = |w: &mut World| {
        let peer = w.replicas[0].peers[0].clone();
        w.replicas[0].peers.push(Peer { name: "gamma".into(), role: Role::Primary, ..peer });
    };
    spoilt(third, "ignored", "gamma");
}

#[test]
fn what_could_not_be_seen_is_no_permission() {
    spoilt(|w| w.unseen = vec!["drbdsetup: no answer".into()], "wait", "no answer");
    spoilt(|w| w.busy = Some("xen-migrate".into()), "wait", "xen-migrate");
    spoilt(|w| drop(w.replicas.remove(1)), "wait", "drbdadm up r1");
    spoilt(|w| w.replicas[1].peers.clear(), "wait", "no peer");
    for state in [
        "StandAlone", "Disconnecting", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure", "ProtocolError", "TearDown",
        "WFConnection", "Connecting", "WFReportParams", "SomethingNew",
    ] {
        spoilt(|w| w.replicas[0].peers[0].connection = Connection::from(state), "wait", "r0");
    }
    for role in ["Unknown", "SomethingNew"] {
        spoilt(|w| w.replicas[0].peers[0].role = Role::from(role), "wait", role);
        spoilt(|w| w.replicas[0].role = Role::from(role), "wait", role);
    }
    for state in
        ["Diskless", "Attaching", "Failed", "Negotiating", "Inconsistent", "Outdated", "DUnknown", "Consistent", "SomethingNew"]
    {
        spoilt(|w| w.replicas[0].volumes[0].disk = Disk::from(state), "wait", "r0 is");
    }
}

fn host(called: Option<&str>, connected: bool) -> ConfiguredPeer {
    ConfiguredPeer { name: called.map(String::from), hosts: vec![], connected }
}

#[test]
fn what_the_file_has_and_the_kernel_does_not_show_is_no_permission() {
    // A third replica that was added to the file, or one that was taken out of the kernel.
    let third = |w: &mut World| w.configured[1].peers.push(host(Some("gamma"), true));
    spoilt(
        third,
        "wait",
        "the kernel here does not know gamma, and drbd.conf has it: whether it runs there cannot be known: drbdadm adjust r1",
    );
    spoilt(|w| w.configured[1].peers.push(host(Some("gamma"), false)), "wait", "no connection from here to gamma");
    // Another one in its place counts as little: what is shown is the old one.
    spoilt(|w| w.configured[1].peers[0] = host(Some("gamma"), true), "wait", "does not know gamma");
    // Nor does the record's own word hide it.
    let away = |w: &mut World| {
        third(w);
        w.row = Some(row(State::Away));
    };
    spoilt(away, "migrated", "xen-migrate reverse web");
    // A quorum does not count whom the kernel does not know.
    let by_quorum = |w: &mut World| {
        third(w);
        w.configured[1].quorum = true;
        w.trust_quorum = true;
        w.replicas[1].may_promote = Some(true);
        w.replicas[1].volumes[0].quorum = Some(true);
        w.replicas[1].peers[0].connection = Connection::Connecting;
        w.replicas[1].peers[0].role = Role::Unknown;
    };
    spoilt(by_quorum, "wait", "does not know gamma");
    // Volumes likewise.
    let volume = |w: &mut World| {
        let first = w.configured[0].volumes[0].clone();
        w.configured[0].volumes.push(ConfiguredVolume { number: 1, minor: 2, ..first });
    };
    spoilt(volume, "wait", "does not show its volume 1");
    spoilt(|w| w.replicas[0].volumes.clear(), "wait", "does not show its volume 0");
    let none_at_all = |w: &mut World| {
        w.replicas[0].volumes.clear();
        w.configured[0].volumes.clear();
    };
    spoilt(none_at_all, "wait", "it is not seen that nobody else runs it");
    spoilt(|w| drop(w.configured.remove(0)), "wait", "r0 is not in this host's drbd.conf");
}

#[test]
fn who_has_no_name_is_counted() {
    // DRBD 8 shows its one peer without a name.
    let nameless = |w: &mut World| w.replicas[0].peers[0].name = UNNAMED.into();
    spoilt(nameless, "claim", "r0");
    let two = |w: &mut World| {
        nameless(w);
        w.configured[0].peers.push(host(Some("gamma"), true));
    };
    spoilt(two, "wait", "does not know gamma");
    // `floating` names nobody.
    spoilt(|w| w.configured[0].peers = vec![host(None, true)], "claim", "r0");
    spoilt(|w| w.configured[0].peers = vec![host(None, true); 2], "wait", "does not know another host");
    // One that is not connected is nobody of those that are shown.
    let apart = |w: &mut World| {
        nameless(w);
        w.configured[0].peers[0].connected = false;
    };
    spoilt(apart, "wait", "no connection from here to beta");
}

#[test]
fn what_drbd_tells_in_unknown_words_is_no_permission() {
    spoilt(|w| w.replicas[0].strange = Some("exists wormhole name:r0".into()), "wait", "exists wormhole name:r0");
}

#[test]
fn what_stands_alone_is_told_apart_by_the_file() {
    spoilt(|w| w.replicas[0].peers[0].connection = Connection::StandAlone, "wait", "look at both hosts before");
    let for_good = |w: &mut World| {
        w.replicas[0].peers[0].connection = Connection::StandAlone;
        w.configured[0].options.two_primaries = true;
    };
    spoilt(for_good, "wait", "on both hosts: drbdadm adjust r0");
}

#[test]
fn every_volume_counts() {
    let second = |w: &mut World| {
        w.replicas[0].volumes.push(Volume { number: 1, minor: Some(2), disk: Disk::Inconsistent, quorum: None });
    };
    spoilt(second, "wait", "Inconsistent");
}

#[test]
fn a_resync_ends_by_itself_and_a_lost_disk_does_not() {
    let resync = |w: &mut World| {
        w.replicas[0].volumes[0].disk = Disk::Inconsistent;
        w.replicas[0].peers[0].volumes[0].replication = Replication::SyncTarget;
    };
    spoilt(resync, "wait", "ends by itself");
    spoilt(|w| w.replicas[0].volumes[0].disk = Disk::Diskless, "wait", "drbdadm attach r0");
}

#[test]
fn a_disk_that_somebody_uses_here_is_not_ours_unless_we_made_it_primary() {
    spoilt(|w| w.replicas[0].role = Role::Primary, "wait", "fuser -v /dev/drbd1");
    let ours = |w: &mut World| {
        w.replicas[0].role = Role::Primary;
        w.ours = vec![name("r0")];
    };
    spoilt(ours, "claim", "r0");
}

#[test]
fn two_that_are_primary_for_no_reason_are_a_persons_business() {
    let both = |w: &mut World| {
        w.replicas[0].role = Role::Primary;
        w.replicas[0].peers[0].role = Role::Primary;
    };
    spoilt(both, "ignored", "Primary here and on");
    let ours = |w: &mut World| {
        both(w);
        w.ours = vec![name("r0")];
    };
    spoilt(ours, "ignored", "it runs there");
}

#[test]
fn a_quorum_replaces_the_peers_that_are_missing_and_nothing_else() {
    let lonely = |w: &mut World| {
        w.replicas[0].peers[0].connection = Connection::Connecting;
        w.replicas[0].peers[0].role = Role::Unknown;
        w.replicas[0].may_promote = Some(true);
        w.replicas[0].volumes[0].quorum = Some(true);
    };
    // Without a quorum in the operator's file DRBD says `quorum:yes` and `may_promote:yes` to everybody.
    spoilt(lonely, "wait", "not connected");
    // It keeps the missing host from writing, not a domU there from executing.
    let asked = |w: &mut World| {
        lonely(w);
        w.configured[0].quorum = true;
    };
    spoilt(asked, "wait", "--trust-quorum");
    let with = |w: &mut World| {
        asked(w);
        w.trust_quorum = true;
    };
    spoilt(with, "claim", "quorum");
    for spoil in [
        |w: &mut World| w.replicas[0].may_promote = Some(false),
        |w: &mut World| w.replicas[0].may_promote = None,
        |w: &mut World| w.replicas[0].volumes[0].quorum = Some(false),
        |w: &mut World| w.replicas[0].volumes[0].quorum = None,
        |w: &mut World| w.replicas[0].volumes[0].disk = Disk::Outdated,
        |w: &mut World| w.replicas[0].peers[0].connection = Connection::StandAlone,
        |w: &mut World| w.replicas[0].peers[0].connection = Connection::Connected,
        |w: &mut World| w.replicas[0].peers.clear(),
    ] {
        spoilt(
            |w| {
                with(w);
                spoil(w);
            },
            "wait",
            "r0",
        );
    }
}

#[test]
fn what_needs_nobody_is_told_apart_from_what_does() {
    let is_well = |spoil: &dyn Fn(&mut World)| {
        let mut world = world();
        spoil(&mut world);
        decided(&world).is_well()
    };
    assert!(is_well(&|w| w.copies = vec![domain("web")]));
    for called in ["web--incoming", "web--migratedaway", "migrating-web"] {
        assert!(!is_well(&|w| w.copies = vec![domain(called)]), "{called}");
        assert!(!is_well(&|w| w.copies = vec![domain("web"), domain(called)]), "{called}");
    }
    assert!(!is_well(&|w| {
        let mut paused = domain("web");
        paused.state.paused = true;
        w.copies = vec![paused];
    }));
    let secondary = |w: &mut World| w.row = Some(row(State::Away));
    assert!(!is_well(&secondary), "DRBD shows that it does not run there");
    let primary = |w: &mut World| w.replicas[0].peers[0].role = Role::Primary;
    assert!(is_well(&primary));
    assert!(is_well(&|w| {
        secondary(w);
        primary(w);
    }));
    assert!(!is_well(&|w| {
        primary(w);
        w.replicas[0].role = Role::Primary;
    }));
    for state in [State::Leaving, State::Returning, State::Arriving] {
        assert!(!is_well(&|w| w.row = Some(row(state))), "{state}");
    }
    assert!(!is_well(&|w| w.disks = vec![disk(None)]), "a fault");
    assert!(!is_well(&|w| w.replicas[0].peers.clear()), "it waits");
}
