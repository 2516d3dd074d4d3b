//! A healthy pair to spoil, for the tests of this folder: web runs on dom0-a, on r0, and may go to dom0-b.

use super::Trip;
use crate::core::drbd::*;
use crate::core::facts::*;
use crate::core::record::{Moment, Row, State};
use crate::core::xen::*;

pub fn trip() -> Trip {
    Trip {
        to: "dom0-b".parse().unwrap(),
        leave_paused: false,
        own_transport: false,
        home: None,
        from: None,
        now: Moment(0),
        opened: vec!["r0".parse().unwrap()],
        reconnected: vec![],
        woken: false,
        waited: false,
    }
}

pub fn state(letters: &str) -> DomainState {
    let has = |at: usize, letter: char| letters.chars().nth(at) == Some(letter);
    let shutdown = has(3, 's').then(|| match letters.chars().nth(4) {
        Some('s') => ShutdownReason::Suspend,
        Some('c') => ShutdownReason::Crash,
        _ => ShutdownReason::Poweroff,
    });
    DomainState { running: has(0, 'r'), blocked: has(1, 'b'), paused: has(2, 'p'), shutdown, dying: has(5, 'd') }
}

pub fn copy(called: CopyName, letters: &str) -> CopySeen {
    let name = match called {
        CopyName::Plain => "web",
        CopyName::Incoming => "web--incoming",
        CopyName::MigratedAway => "web--migratedaway",
        CopyName::Migrating => "migrating-web",
    };
    let domain = Domain { name: name.into(), id: 7, memory: 512, state: state(letters), uuid: Some("u".into()) };
    let blocks = Some(vec![BlockDevice { vdev: "51712".into(), state: 4 }]);
    CopySeen { called, domain, blocks, kind: Some("pvh".into()) }
}

pub fn disk(resource: Option<&str>) -> DiskSeen {
    DiskSeen {
        vdev: "xvda".into(),
        target: resource.unwrap_or("/dev/vg0/x").into(),
        resource: resource.map(|r| r.parse().unwrap()),
        promoter: Promoter::Script,
        writable: true,
        cdrom: false,
    }
}

/// A row of dom0-b's record that names dom0-a, or of dom0-a's that names dom0-b: the tests only use one of them at a time.
pub fn row(state: State) -> Row {
    let host = if state == State::Returning || state == State::Arriving { "dom0-a" } else { "dom0-b" };
    Row {
        domu: "web".parse().unwrap(),
        state,
        host: host.parse().unwrap(),
        since: Moment(0),
        open: vec![],
        home: None,
        from: None,
        never: false,
    }
}

pub fn replica(role: Role, peer_role: Role) -> ReplicaSeen {
    let volumes = vec![Volume { number: 0, minor: Some(0), disk: Disk::UpToDate, quorum: None }];
    let peer_volumes = vec![PeerVolume { number: 0, disk: Disk::UpToDate, replication: Replication::Established }];
    let peer = Peer { name: "peer".into(), connection: Connection::Connected, role: peer_role, volumes: peer_volumes };
    let resource: crate::core::names::ResourceName = "r0".parse().unwrap();
    ReplicaSeen {
        replica: Replica { resource: resource.clone(), role, volumes, peers: vec![peer], may_promote: None, strange: None },
        options: Some(Options::default()),
        configured: Configured {
            resource,
            volumes: vec![volume(0)],
            options: Options::default(),
            peers: vec![],
            auto_promote: false,
            quorum: false,
        },
    }
}

/// The same on DRBD 9, with a third replica on dom0-c: whom each end means, and its connection.
pub fn three_replicas() -> (End, End) {
    let (mut here, mut there) = pair();
    for (end, other) in [(&mut here, "dom0-b"), (&mut there, "dom0-a")] {
        let replica = &mut end.replicas[0].replica;
        replica.peers.push(Peer { role: Role::Secondary, ..replica.peers[0].clone() });
        replica.peers[0].name = other.into();
        replica.peers[1].name = "dom0-c".into();
        end.generation = Some(Generation::V9);
    }
    (here, there)
}

pub fn volume(number: u32) -> ConfiguredVolume {
    let device = format!("/dev/drbd{number}");
    ConfiguredVolume { number, minor: number, device, disk: "/dev/vg0/web".into(), implicit: false }
}

pub fn end(host: &str) -> End {
    End {
        protocol: PROTOCOL,
        version: "0".into(),
        host: host.parse().unwrap(),
        fqdn: format!("{host}.example.org"),
        domu: "web".parse().unwrap(),
        toolstack: Toolstack::Xl,
        xen: "4.17.7".into(),
        pv_live: Some(false),
        free_memory: 4096,
        copies: vec![],
        nameless: 0,
        disks: vec![],
        replicas: vec![],
        generation: Some(Generation::V84),
        config: Some(ConfigSeen { path: "/etc/xen/web.cfg".into(), digest: "d".into(), trouble: None }),
        bridges_used: vec![],
        interfaces: vec!["xenbr0".into()],
        row: None,
        listed: None,
        busy: None,
        receiving: None,
        unseen: vec![],
    }
}

pub fn pair() -> (End, End) {
    let (mut here, mut there) = (end("dom0-a"), end("dom0-b"));
    here.copies.push(copy(CopyName::Plain, "-b----"));
    here.disks.push(disk(Some("r0")));
    here.bridges_used.push("xenbr0".into());
    here.replicas.push(replica(Role::Primary, Role::Secondary));
    there.replicas.push(replica(Role::Secondary, Role::Primary));
    (here, there)
}
