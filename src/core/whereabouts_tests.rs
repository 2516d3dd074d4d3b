use super::*;
use crate::core::drbd::{Disk, Peer, PeerVolume, Replication, Volume};
use crate::core::record::Moment;
use crate::core::survey::{Config, Listed};
use crate::core::xen::{DomainState, Toolstack};

fn state(letters: &str) -> DomainState {
    let has = |c: char| letters.contains(c);
    DomainState { running: has('r'), blocked: has('b'), paused: has('p'), shutdown: None, dying: false }
}

fn domain(name: &str, letters: &str) -> Domain {
    Domain { name: name.into(), id: 3, memory: 512, state: state(letters), uuid: None }
}

fn replica(role: Role, peer_role: Role, connection: Connection) -> Replica {
    let volumes = vec![Volume { number: 0, minor: Some(1), disk: Disk::UpToDate, quorum: None }];
    let peer_volumes = vec![PeerVolume { number: 0, disk: Disk::UpToDate, replication: Replication::Established }];
    let peers = vec![Peer { name: "peer".into(), connection, role: peer_role, volumes: peer_volumes }];
    Replica { resource: "r0".parse().unwrap(), role, volumes, peers, may_promote: None, strange: None }
}

fn survey(host: &str) -> Survey {
    Survey {
        protocol: 1,
        version: "0".into(),
        host: host.parse().unwrap(),
        toolstack: Toolstack::Xl,
        now: Moment(0),
        domains: vec![],
        replicas: vec![replica(Role::Secondary, Role::Secondary, Connection::Connected)],
        configs: vec![Config {
            domu: "web".parse().unwrap(),
            path: "/etc/xen/web.cfg".into(),
            resources: vec!["r0".parse().unwrap()],
            also: vec![],
        }],
        rows: vec![],
        listed: vec![],
        unseen: vec![],
        unshown: vec![],
        health: None,
    }
}

fn row(state: State, host: &str) -> Row {
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

/// alpha is web's home; beta and gamma are its partners.
fn three() -> (Survey, Survey, Survey) {
    let (mut a, b, c) = (survey("alpha"), survey("beta"), survey("gamma"));
    a.listed.push(Listed { domu: "web".parse().unwrap(), hosts: vec!["beta".parse().unwrap()] });
    (a, b, c)
}

fn asked(survey: &Survey) -> Asked {
    Asked { host: survey.host.clone(), answer: Ok(survey.clone()) }
}

fn silent(host: &str) -> Asked {
    Asked { host: host.parse().unwrap(), answer: Err("No route to host".into()) }
}

fn web(here: &Survey, asked: &[Asked]) -> DomuLine {
    let mut found = fleet(here, asked, &[]);
    assert_eq!(found.domus.len(), 1, "{:?}", found.domus);
    found.domus.remove(0)
}

#[test]
fn it_is_where_it_executes_and_its_disks_are_as_that_host_sees_them() {
    let (mut a, mut b, c) = three();
    b.domains.push(domain("web", "-b"));
    a.replicas[0] = replica(Role::Secondary, Role::Primary, Connection::Connected);
    b.replicas[0] = replica(Role::Primary, Role::Secondary, Connection::Connected);
    a.rows.push(row(State::Away, "beta"));
    b.rows.push(Row { home: Some("alpha".parse().unwrap()), ..row(State::Visiting, "alpha") });
    let line = web(&a, &[asked(&b), asked(&c)]);
    assert_eq!((line.host.as_ref().map(HostName::as_str), line.state), (Some("beta"), "running"));
    assert_eq!(line.resources[0].words, "r0 Primary/Secondary Connected UpToDate/UpToDate");
    assert_eq!(line.home.as_ref().map(HostName::as_str), Some("alpha"));
    assert_eq!(line.notes, Vec::<String>::new());
}

#[test]
fn what_executes_on_two_is_never_shown_as_one() {
    let (mut a, mut b, _) = three();
    a.domains.push(domain("web", "-b"));
    b.domains.push(domain("web", "r"));
    let line = web(&a, &[asked(&b)]);
    assert_eq!((line.host, line.state), (None, "twice"));
    assert!(line.notes[0].starts_with("RUNS TWICE: on alpha (id 3) and beta (id 3)"), "{:?}", line.notes);
    // A paused copy is not a second one.
    b.domains[0] = domain("web", "p");
    assert_eq!(web(&a, &[asked(&b)]).state, "running");
}

#[test]
fn a_host_that_does_not_answer_is_one_line_and_no_proof() {
    let (mut a, b, _) = three();
    let unknown = web(&a, &[asked(&b), silent("gamma")]);
    assert_eq!(unknown.state, "absent", "DRBD shows that nobody has its disk in use");
    a.replicas[0] = replica(Role::Secondary, Role::Unknown, Connection::Connecting);
    let mut c = b.clone();
    c.replicas.clear();
    assert_eq!(web(&a, &[asked(&c), silent("gamma")]).state, "unknown");
    assert_eq!(web(&a, &[asked(&c)]).state, "absent", "all answered, and nobody has it");
    a.rows.push(row(State::Away, "gamma"));
    let line = web(&a, &[asked(&c), silent("gamma")]);
    assert_eq!((line.host.as_ref().map(HostName::as_str), line.state), (Some("gamma"), "unseen"));
    assert!(line.notes.iter().any(|n| n.starts_with("gamma did not answer")), "{:?}", line.notes);
    let whole = fleet(&a, &[asked(&b), silent("gamma")], &[]);
    assert!(whole.is_incomplete());
    assert_eq!(whole.hosts.iter().map(|h| h.answered).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn a_primary_behind_a_silent_host_is_unseen() {
    let (mut a, ..) = three();
    a.replicas[0] = replica(Role::Secondary, Role::Primary, Connection::Connected);
    let line = web(&a, &[silent("beta")]);
    assert_eq!((line.host.as_ref().map(HostName::as_str), line.state), (Some("beta"), "unseen"));
}

#[test]
fn a_name_that_leads_elsewhere_is_not_believed() {
    let (mut a, b, _) = three();
    a.domains.push(domain("web", "-b"));
    // An entry in /etc/hosts that leads back to us must not make it run twice.
    let us = Asked { host: "beta".parse().unwrap(), answer: Ok(a.clone()) };
    assert_eq!(web(&a, std::slice::from_ref(&us)).state, "running");
    assert!(fleet(&a, &[us], &[]).hosts[1].why.as_ref().is_some_and(|w| w.contains("this very Dom0")));
    let other = Asked { host: "gamma".parse().unwrap(), answer: Ok(b.clone()) };
    assert!(!fleet(&a, &[other], &[]).hosts[1].answered);
    // By its address it is as good, and asked under two names it is still one.
    let address = Asked { host: "192.0.2.2".parse().unwrap(), answer: Ok(b.clone()) };
    assert_eq!(fleet(&a, &[address, asked(&b)], &[]).hosts.len(), 2);
}

#[test]
fn leftovers_flights_and_contradictions_are_said() {
    let (mut a, mut b, c) = three();
    b.domains.push(domain("web--incoming", "p"));
    a.rows.push(row(State::Leaving, "beta"));
    let line = web(&a, &[asked(&b)]);
    assert_eq!((line.host.as_ref().map(HostName::as_str), line.state), (Some("beta"), "left over"));
    assert!(line.notes.iter().any(|n| n.contains("web--incoming is paused on beta")), "{:?}", line.notes);
    assert!(line.notes.iter().any(|n| n.starts_with("alpha has it in flight")), "{:?}", line.notes);

    b.domains[0] = domain("web", "-b");
    a.rows[0] = row(State::Away, "gamma");
    let line = web(&a, &[asked(&b), asked(&c)]);
    assert!(line.notes.iter().any(|n| n.contains("says away gamma") && n.contains("it is on beta")), "{:?}", line.notes);
    // Passed on is no contradiction.
    let mut c = c;
    c.rows.push(row(State::Passed, "beta"));
    assert_eq!(web(&a, &[asked(&b), asked(&c)]).notes, Vec::<String>::new());
}

#[test]
fn what_is_not_on_drbd_and_in_no_table_is_no_affair_of_ours() {
    let (mut a, ..) = three();
    a.domains.push(domain("scratch", "-b"));
    assert_eq!(fleet(&a, &[], &[]).domus.len(), 2, "nobody knows what it is");
    a.configs.push(Config { domu: "scratch".parse().unwrap(), path: "x".into(), resources: vec![], also: vec![] });
    assert_eq!(fleet(&a, &[], &[]).domus.len(), 1);
}

/// alpha and beta answer; a third replica is on gamma, which no row names.
fn with_a_third(role: Role, connection: Connection) -> (Survey, Survey) {
    let (mut a, mut b, _) = three();
    for (survey, other) in [(&mut a, "beta"), (&mut b, "alpha")] {
        let peers = &mut survey.replicas[0].peers;
        peers[0].name = other.into();
        peers.push(Peer { name: "gamma".into(), connection: connection.clone(), role: role.clone(), ..peers[0].clone() });
    }
    (a, b)
}

#[test]
fn what_is_primary_on_a_host_that_nobody_asked_never_runs_nowhere() {
    let (a, b) = with_a_third(Role::Primary, Connection::Connected);
    assert_eq!(primaries(&a).iter().map(HostName::as_str).collect::<Vec<_>>(), ["gamma"]);
    let line = web(&a, &[asked(&b)]);
    assert_eq!((line.host.as_ref().map(HostName::as_str), line.state), (Some("gamma"), "unseen"));
    assert!(line.notes.iter().any(|n| n.contains("on gamma: xen-migrate status web")), "{:?}", line.notes);
    // It answers, and has no copy: then its disks are in use for something else.
    let mut c = b.clone();
    c.host = "gamma".parse().unwrap();
    c.replicas[0].peers.iter_mut().for_each(|p| p.role = Role::Secondary);
    assert_eq!(web(&a, &[asked(&b), asked(&c)]).state, "absent");
    // A role that is not shown proves nothing.
    let (a, b) = with_a_third(Role::Unknown, Connection::Connecting);
    assert_eq!(web(&a, &[asked(&b)]).state, "unknown");
    let (a, b) = with_a_third(Role::Secondary, Connection::Connected);
    assert_eq!(web(&a, &[asked(&b)]).state, "absent");
}

#[test]
fn a_config_file_is_enough_for_one_that_is_asked_for() {
    let (mut a, ..) = three();
    a.listed.clear();
    let web = ["web".parse().unwrap(), "other".parse().unwrap()];
    assert_eq!(fleet(&a, &[silent("beta")], &[]).domus, []);
    let found = fleet(&a, &[silent("beta")], &web);
    assert_eq!(found.domus.iter().map(|l| (l.domu.as_str(), l.state)).collect::<Vec<_>>(), [("web", "absent")]);
}
