//! The outcomes of `xl migrate`, row by row of facts 2.7.

use super::*;
use crate::lab::{Deed, Quirk, Stage, When};

const A: &str = "dom0-a";
const B: &str = "dom0-b";

fn running() -> Lab {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    lab
}

fn at(stage: Stage, deed: Deed) -> Lab {
    let lab = running();
    lab.inject(When::Stage("pvh1".into(), stage), deed);
    lab
}

fn migrate(lab: &Lab) -> Ran {
    sh(lab, A, "xl migrate pvh1 dom0-b")
}

fn names(lab: &Lab, host: &str) -> Vec<String> {
    lab.domains(host).into_iter().map(|(name, letters)| format!("{name} {letters}")).collect()
}

/// The lines without numbers that differ from run to run.
fn plain(text: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        text.lines().filter(|l| !l.is_empty()).map(|l| l.chars().filter(|c| !c.is_ascii_digit()).collect()).collect();
    lines.sort();
    lines
}

#[test]
fn success_is_told_as_recorded() {
    let lab = running();
    let beats = lab.beats("pvh1");
    let ran = migrate(&lab);
    assert_eq!(ran.code, 0);
    assert_eq!(plain(&ran.err), plain(include_str!("../../../tests/recorded/lab/xl417-migrate-success.stderr.txt")));
    assert_eq!((names(&lab, A), names(&lab, B)), (vec![], vec!["pvh1 -b----".to_string()]));
    lab.pass(1000);
    assert!(lab.beats("pvh1") > beats);
    assert!(lab.findings().is_empty(), "{}", lab.journal());
}

#[test]
fn a_target_that_may_not_promote_lets_the_sender_resume() {
    let lab = running();
    out(&lab, A, "drbdadm net-options --allow-two-primaries=no r0");
    let ran = migrate(&lab);
    assert_eq!(ran.code, 1);
    assert_eq!(plain(&ran.err), plain(include_str!("../../../tests/recorded/lab/xl417-migrate-disk-refused.stderr.txt")));
    assert_eq!((names(&lab, A), names(&lab, B)), (vec!["pvh1 -b----".to_string()], vec![]));
}

#[test]
fn a_namesake_at_the_target_is_found_after_go() {
    let lab = running();
    lab.put(B, "/root/namesake.cfg", "name = \"pvh1\"\nmemory = 64\n");
    out(&lab, B, "xl create -p /root/namesake.cfg");
    let ran = migrate(&lab);
    assert_eq!(ran.code, 1);
    // There the second line began in the middle of the first.
    let recorded = include_str!("../../../tests/recorded/lab/xl417-migrate-name-taken.stderr.txt")
        .replace("exists.migration", "exists.\nmigration");
    assert_eq!(plain(&ran.err), plain(&recorded));
    assert_eq!(names(&lab, A), ["pvh1 -b----"]);
    assert_eq!(names(&lab, B), ["pvh1 --p---"]);
}

#[test]
fn no_memory_at_the_target() {
    let lab = running();
    lab.with(|f| f.host_mut(B).memory = 2048 + 100);
    let ran = migrate(&lab);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("xc: error: Failed to populate physmap"), "{}", ran.err);
    assert!(ran.err.contains("Migration failed, resuming at sender.\nxc: error: Dom 1 not suspended"), "{}", ran.err);
    assert_eq!((names(&lab, A), names(&lab, B)), (vec!["pvh1 -b----".to_string()], vec![]));
}

#[test]
fn the_guest_does_not_suspend_or_ends_meanwhile() {
    let lab = running();
    lab.perform(&Deed::Arm(Quirk::NoSuspend("pvh1".into())), None);
    let ran = migrate(&lab);
    assert_eq!((ran.code, ran.err.lines().last()), (1, Some("Migration failed, failed to suspend at sender.")));
    assert_eq!((names(&lab, A), names(&lab, B)), (vec!["pvh1 -b----".to_string()], vec![]));
    let lab = at(Stage::Memory(50), Deed::GuestEnds("pvh1".into(), 'c'));
    assert_eq!(migrate(&lab).code, 1);
    assert_eq!((names(&lab, A), names(&lab, B)), (vec!["pvh1 ---sc-".to_string()], vec![]));
    let lab = at(Stage::Memory(50), Deed::GuestEnds("pvh1".into(), '-'));
    assert_eq!(migrate(&lab).code, 1);
    lab.pass(1000);
    assert_eq!((names(&lab, A), names(&lab, B)), (vec![], vec![]));
}

#[test]
fn unpausing_fails_at_the_target() {
    let lab = running();
    lab.perform(&Deed::Arm(Quirk::NoUnpause("pvh1".into())), None);
    let ran = migrate(&lab);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("Target reports startup failure (status code 3).\nmigration sender: Trying to resume at our end.\nmigration sender: Resumed OK.\nMigration failed due to problems at target.\n"), "{}", ran.err);
    assert_eq!((names(&lab, A), names(&lab, B)), (vec!["pvh1 -b----".to_string()], vec![]));
}

#[test]
fn resuming_fails_too() {
    let lab = running();
    lab.perform(&Deed::Arm(Quirk::NoResume("pvh1".into())), None);
    out(&lab, A, "drbdadm net-options --allow-two-primaries=no r0");
    assert_eq!(migrate(&lab).code, 1);
    assert_eq!(names(&lab, A), ["pvh1 ---ss-"]);
}

#[test]
fn ssh_fails_before_the_banner() {
    let lab = running();
    let ran = sh(&lab, A, "xl migrate pvh1 nosuchhost");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("Could not resolve hostname nosuchhost"), "{}", ran.err);
    assert!(ran.err.contains("truncated reading banner from migration receiver stream\n"));
    assert!(ran.err.contains("exited with error status 255\n"));
    lab.with(|f| f.host_mut(B).root_ssh = false);
    let ran = migrate(&lab);
    assert!(ran.err.contains("root@dom0-b: Permission denied (publickey)."), "{}", ran.err);
    assert_eq!(names(&lab, A), ["pvh1 -b----"]);
}

#[test]
fn before_ready_whatever_breaks_the_guest_goes_on_at_the_sender() {
    for stage in [Stage::Banner, Stage::Incoming, Stage::Memory(50), Stage::Suspended, Stage::Received] {
        for deed in [
            Deed::PowerOff(B.into()),
            Deed::Cut(A.into(), B.into(), None),
            Deed::KillReceiver("pvh1".into()),
            Deed::EndTransport("pvh1".into()),
        ] {
            let lab = at(stage, deed.clone());
            let ran = migrate(&lab);
            assert_eq!(ran.code, 1, "{stage:?} {deed:?}\n{}", lab.journal());
            assert_eq!(names(&lab, A), ["pvh1 -b----"], "{stage:?} {deed:?}");
            assert!(lab.findings().is_empty(), "{stage:?} {deed:?}\n{}", lab.journal());
            let left = match deed {
                Deed::Cut(..) | Deed::KillReceiver(_) if stage > Stage::Banner => {
                    vec!["pvh1--incoming --p---".to_string()]
                }
                _ => vec![],
            };
            assert_eq!(names(&lab, B), left, "{stage:?} {deed:?}");
        }
    }
}

#[test]
fn between_ready_and_go_the_targets_copy_may_stay_behind() {
    for stage in [Stage::Ready, Stage::Renamed] {
        for (deed, left) in [
            (Deed::PowerOff(B.into()), vec![]),
            (Deed::Cut(A.into(), B.into(), None), vec!["pvh1--incoming --p---".to_string()]),
            (Deed::KillReceiver("pvh1".into()), vec!["pvh1--incoming --p---".to_string()]),
            (Deed::EndTransport("pvh1".into()), vec!["pvh1--incoming --p---".to_string()]),
        ] {
            let lab = at(stage, deed.clone());
            let ran = migrate(&lab);
            assert_eq!((ran.code, names(&lab, A)), (1, vec!["pvh1 -b----".to_string()]), "{stage:?} {deed:?}");
            assert!(ran.err.contains("reading ready message"), "{}", ran.err);
            assert_eq!(names(&lab, B), left, "{stage:?} {deed:?}");
        }
        // The sender's xl is killed: suspended here, destroyed there.
        let lab = at(stage, Deed::KillSender("pvh1".into()));
        migrate(&lab);
        assert_eq!(names(&lab, B), Vec::<String>::new(), "{stage:?}");
        let name = if stage == Stage::Ready { "pvh1 ---ss-" } else { "pvh1--migratedaway ---ss-" };
        assert_eq!(names(&lab, A), [name]);
    }
}

#[test]
fn a_leftover_name_stops_the_rename() {
    let lab = running();
    lab.put(A, "/root/old.cfg", "name = \"pvh1--migratedaway\"\nmemory = 64\n");
    out(&lab, A, "xl create -p /root/old.cfg");
    let ran = migrate(&lab);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("Migration failed, resuming at sender."), "{}", ran.err);
    assert_eq!(names(&lab, A), ["pvh1 -b----", "pvh1--migratedaway --p---"]);
    assert_eq!(names(&lab, B), Vec::<String>::new());
}

#[test]
fn after_go_the_sender_does_not_know() {
    let cut = || Deed::Cut(A.into(), B.into(), None);
    for (stage, deed, there) in [
        (Stage::Go, cut(), vec!["pvh1--incoming --p---".to_string()]),
        (Stage::TargetRenamed, cut(), vec!["pvh1 -b----".to_string()]),
        (Stage::Unpaused, cut(), vec!["pvh1 -b----".to_string()]),
        (Stage::Unpaused, Deed::EndTransport("pvh1".into()), vec!["pvh1 -b----".to_string()]),
        (Stage::Unpaused, Deed::PowerOff(B.into()), vec![]),
        (Stage::Go, Deed::KillReceiver("pvh1".into()), vec!["pvh1--incoming --p---".to_string()]),
        (Stage::TargetRenamed, Deed::KillReceiver("pvh1".into()), vec!["pvh1 --p---".to_string()]),
    ] {
        let lab = at(stage, deed.clone());
        let ran = migrate(&lab);
        assert_eq!(ran.code, 1, "{stage:?} {deed:?}");
        assert!(
            ran.err.contains("** Migration failed during final handshake **\nDomain state is now undefined !\n"),
            "{stage:?} {deed:?} {}",
            ran.err
        );
        assert_eq!(names(&lab, A), ["pvh1--migratedaway ---ss-"], "{stage:?} {deed:?}");
        assert_eq!(names(&lab, B), there, "{stage:?} {deed:?}");
        assert!(lab.runs_on("pvh1").len() < 2);
    }
    // With the old versions the exit code tells it.
    let lab = at(Stage::Unpaused, cut());
    lab.with(|f| f.host_mut(A).xl = Some(crate::lab::Version::new(4, 6)));
    assert_eq!(migrate(&lab).code, 7);
}

#[test]
fn the_sender_dies_after_go() {
    for deed in [Deed::KillSender("pvh1".into()), Deed::PowerOff(A.into())] {
        let lab = at(Stage::Go, deed.clone());
        migrate(&lab);
        assert_eq!(names(&lab, B), ["pvh1 -b----"], "{deed:?}");
        lab.pass(15_000);
        assert!(lab.findings().iter().all(|f| f.kind != crate::lab::Kind::TwoRun));
    }
    let lab = at(Stage::Reported, Deed::KillSender("pvh1".into()));
    migrate(&lab);
    assert_eq!(
        (names(&lab, A), names(&lab, B)),
        (vec!["pvh1--migratedaway ---ss-".to_string()], vec!["pvh1 -b----".to_string()])
    );
}

#[test]
fn a_cut_that_is_mended_in_time_does_no_harm() {
    for stage in [Stage::Memory(50), Stage::Ready, Stage::Go, Stage::Unpaused] {
        let lab = at(stage, Deed::Cut(A.into(), B.into(), Some(5000)));
        let ran = migrate(&lab);
        assert_eq!((ran.code, lab.runs_on("pvh1")), (0, vec![B.to_string()]), "{stage:?}\n{}", lab.journal());
    }
}

#[test]
fn two_migrations_of_one_guest_cannot_both_win() {
    let lab = running();
    let again = ["xl", "migrate", "pvh1", "dom0-b"].map(str::to_string).to_vec();
    lab.inject(When::Stage("pvh1".into(), Stage::Memory(50)), Deed::Run(A.into(), again));
    migrate(&lab);
    lab.pass(2000);
    assert!(lab.runs_on("pvh1").len() <= 1, "{}", lab.journal());
    assert_eq!(lab.ran().len(), 1);
}

#[test]
fn phy_disks_are_the_callers_business_with_8_4() {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Phy);
    out(&lab, A, "drbdadm primary r0");
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    assert_eq!(migrate(&lab).code, 0, "xl does not see it");
    assert_eq!(lab.disk_states(B, "pvh1"), [6]);
    assert_eq!((lab.role(A, "r0").to_string(), lab.role(B, "r0").to_string()), ("Primary".into(), "Secondary".into()));
}
