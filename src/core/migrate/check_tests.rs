//! Each fact that forbids a migration, and what may be overruled.

use super::super::testing::*;
use super::*;
use crate::core::drbd::{Fencing, Options};

fn checks(here: &End, there: Option<&End>) -> Vec<Check> {
    objections(here, there, &trip(), &[]).iter().map(|o| o.check).collect()
}

#[test]
fn a_healthy_pair_has_no_objection() {
    let (here, there) = pair();
    assert_eq!(objections(&here, Some(&there), &trip(), &[]), []);
    assert_eq!(objections(&here, None, &trip(), &[]), []);
}

#[test]
fn each_fact_that_forbids_it_is_an_objection() {
    type Spoil = fn(&mut End, &mut End);
    let cases: [(&str, Check, Spoil); 25] = [
        ("not here", Check::Domu, |h, _| h.copies.clear()),
        ("paused", Check::Domu, |h, _| h.copies[0].domain.state = state("--p---")),
        ("crashed", Check::Domu, |h, _| h.copies[0].domain.state = state("---sc-")),
        ("suspended", Check::Domu, |h, _| h.copies[0].domain.state = state("---ss-")),
        ("dying", Check::Domu, |h, _| h.copies[0].domain.state = state("-----d")),
        ("a leftover here", Check::Domu, |h, _| h.copies.push(copy(CopyName::MigratedAway, "---ss-"))),
        ("in flight", Check::Flight, |h, _| h.row = Some(row(State::Leaving))),
        ("in flight there", Check::Flight, |_, t| t.row = Some(row(State::Leaving))),
        ("busy", Check::Busy, |h, _| h.busy = Some("pid 1".into())),
        ("busy there", Check::Busy, |_, t| t.busy = Some("pid 1".into())),
        ("there already", Check::Name, |_, t| t.copies.push(copy(CopyName::Plain, "-b----"))),
        ("leftover there", Check::Name, |_, t| t.copies.push(copy(CopyName::Incoming, "--p---"))),
        ("ourselves", Check::Host, |h, t| t.host = h.host.clone()),
        ("somebody else", Check::Host, |_, t| t.host = "dom0-x".parse().unwrap()),
        ("no memory", Check::Memory, |_, t| t.free_memory = 100),
        ("no config", Check::Config, |_, t| t.config = None),
        ("other config", Check::Config, |_, t| t.config.as_mut().unwrap().digest = "x".into()),
        ("no bridge", Check::Bridges, |_, t| t.interfaces.clear()),
        ("older Xen", Check::Versions, |_, t| t.xen = "4.14.4".into()),
        ("xm there", Check::Toolstack, |_, t| t.toolstack = crate::core::xen::Toolstack::Xm),
        ("protocol", Check::Protocol, |_, t| t.protocol = 2),
        ("a local disk", Check::Disks, |h, _| h.disks.push(disk(None))),
        ("something unseen there", Check::Host, |_, t| t.unseen.push("xl list: exit 1".into())),
        ("drbd.conf differs", Check::Window, |_, t| t.replicas[0].configured.options.two_primaries = true),
        ("options not read", Check::Window, |h, _| h.replicas[0].options = None),
    ];
    for (name, check, spoil) in cases {
        let (mut here, mut there) = pair();
        spoil(&mut here, &mut there);
        assert!(checks(&here, Some(&there)).contains(&check), "{name}: {:?}", checks(&here, Some(&there)));
    }
}

#[test]
fn drbd_that_is_not_healthy_on_either_end_forbids_it() {
    for spoil in [
        |r: &mut ReplicaSeen| r.replica.peers[0].connection = Connection::Connecting,
        |r: &mut ReplicaSeen| r.replica.peers[0].connection = Connection::Other("Levitating".into()),
        |r: &mut ReplicaSeen| r.replica.peers[0].volumes[0].replication = Replication::SyncSource,
        |r: &mut ReplicaSeen| r.replica.peers[0].volumes[0].disk = Disk::Inconsistent,
        |r: &mut ReplicaSeen| r.replica.volumes[0].disk = Disk::Diskless,
        |r: &mut ReplicaSeen| r.replica.volumes.clear(),
        |r: &mut ReplicaSeen| r.replica.peers.clear(),
        |r: &mut ReplicaSeen| r.replica.role = Role::Other("Tertiary".into()),
        |r: &mut ReplicaSeen| r.configured.volumes.push(volume(1)),
    ] {
        let (mut here, there) = pair();
        spoil(&mut here.replicas[0]);
        assert!(checks(&here, Some(&there)).contains(&Check::Drbd));
        let (here, mut there) = pair();
        spoil(&mut there.replicas[0]);
        assert!(checks(&here, Some(&there)).contains(&Check::Drbd));
    }
    let (here, mut there) = pair();
    there.replicas.clear();
    assert!(checks(&here, Some(&there)).contains(&Check::Drbd));
}

#[test]
fn drbd_8_3_needs_the_file_to_allow_two_primaries() {
    let (mut here, mut there) = pair();
    here.generation = Some(Generation::V83);
    assert_eq!(checks(&here, Some(&there)), [Check::Window]);
    for end in [&mut here, &mut there] {
        end.replicas[0].options = Some(Options { two_primaries: true, fencing: Fencing::DontCare });
        end.replicas[0].configured.options.two_primaries = true;
    }
    assert_eq!(checks(&here, Some(&there)), []);
}

#[test]
fn what_protects_the_data_cannot_be_overruled() {
    let (mut here, mut there) = pair();
    there.free_memory = 0;
    there.config = None;
    here.replicas[0].replica.peers[0].connection = Connection::StandAlone;
    let left = objections(&here, Some(&there), &trip(), &[Check::Memory, Check::Config, Check::Drbd]);
    assert_eq!(left.iter().map(|o| o.check).collect::<Vec<_>>(), [Check::Drbd]);
    assert!("drbd".parse::<Check>().is_err());
    assert_eq!("memory".parse(), Ok(Check::Memory));
}

#[test]
fn the_peer_that_asked_us_to_send_is_not_in_its_own_way() {
    let (here, mut there) = pair();
    there.row = Some(row(State::Returning));
    there.busy = Some("pid 1".into());
    assert_eq!(checks(&here, Some(&there)), []);
}

#[test]
fn without_the_key_a_phy_disk_would_arrive_dead() {
    let (mut here, _) = pair();
    here.disks[0].promoter = Promoter::Nobody;
    assert_eq!(checks(&here, None), [Check::Drbd]);
    here.disks[0].promoter = Promoter::Opening;
    assert_eq!(checks(&here, None), []);
}

#[test]
fn what_was_overruled_is_known_and_what_went_well() {
    let (here, mut there) = pair();
    there.free_memory = 0;
    let despite = [Check::Memory, Check::Config];
    let list = |checks: &[Objection]| checks.iter().map(|o| o.check).collect::<Vec<_>>();
    assert_eq!(list(&overruled(&here, Some(&there), &trip(), &despite)), [Check::Memory]);
    let objections = objections(&here, Some(&there), &trip(), &[]);
    let well = passed(Some(&there), &objections, &[]);
    assert!(!well.contains(&Check::Memory) && well.contains(&Check::Config) && well.len() == 13);
    assert!(!passed(None, &[], &[]).contains(&Check::Bridges), "without a look at the other end nothing is said of it");
}

#[test]
fn one_link_that_is_down_is_one_objection() {
    let (mut here, mut there) = pair();
    for end in [&mut here, &mut there] {
        end.replicas[0].replica.peers[0].connection = Connection::Connecting;
    }
    assert_eq!(checks(&here, Some(&there)), [Check::Drbd]);
}

#[test]
fn a_config_that_is_not_understood_is_not_a_missing_one() {
    let (here, mut there) = pair();
    if let Some(config) = &mut there.config {
        config.trouble = Some("line 1:1: x".into());
    }
    let said = objections(&here, Some(&there), &trip(), &[]);
    assert!(said.len() == 1 && said[0].check == Check::Config && said[0].seen.contains("is not understood: line 1"), "{said:?}");
}

#[test]
fn a_domu_that_is_stopped_is_started_where_it_certainly_runs_nowhere() {
    let (mut here, there) = pair();
    here.copies.clear();
    here.replicas[0].replica.role = Role::Secondary;
    let advice = |here: &End| objections(here, Some(&there), &trip(), &[]).remove(0).advice;
    assert!(advice(&here).starts_with("xl create /etc/xen/web.cfg"), "{}", advice(&here));
    here.replicas[0].replica.peers[0].role = Role::Primary;
    assert!(advice(&here).starts_with("xen-migrate status"), "{}", advice(&here));
}

#[test]
fn versions_compare_by_their_numbers() {
    assert!(older("4.9.1", "4.17.0"));
    assert!(!older("4.17.0", "4.17.7"));
    assert!(!older("4.20", "4.17"));
}
