//! Every row of the claim experiments, with DRBD 8.4 and 9.

use super::*;
use crate::lab::Kind;

const A: &str = "dom0-a";
const B: &str = "dom0-b";

fn v84() -> Lab {
    recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script)
}

fn v9() -> Lab {
    recorded_pair(Generation::V9, Toolstack::Xl, DiskForm::Script)
}

fn code(lab: &Lab, host: &str, command: &str) -> i32 {
    sh(lab, host, command).code
}

fn refused(lab: &Lab, host: &str, command: &str, number: i32) {
    let ran = sh(lab, host, command);
    assert_eq!(ran.code, 11, "{}\n{}", ran.err, lab.journal());
    assert!(ran.err.contains(&format!("State change failed: ({number}) ")), "{}", ran.err);
}

fn generation(lab: &Lab, host: &str) -> u64 {
    lab.with(|f| f.replica(host, "r0").unwrap().current)
}

fn connection(lab: &Lab, host: &str) -> String {
    lab.connection(host, "r0")
}

fn cut(lab: &Lab) {
    lab.with(|f| f.cut(A, B, true, true, None));
}

fn mend(lab: &Lab) {
    lab.with(|f| f.mend(A, B));
    lab.pass(5000);
}

fn guard(lab: &Lab, hosts: &[&str]) {
    for host in hosts {
        if lab.with(|f| f.host(host).drbd == Generation::V9) {
            assert_eq!(code(lab, host, "drbdadm net-options --fencing=resource-only --allow-two-primaries=no r0"), 0);
        } else {
            assert_eq!(code(lab, host, "drbdadm disk-options --fencing=resource-only r0"), 0);
            assert_eq!(code(lab, host, "drbdadm net-options --allow-two-primaries=no r0"), 0);
        }
    }
}

#[test]
fn row_1_two_primaries_allowed_both_win() {
    for lab in [v84(), v9()] {
        assert_eq!((code(&lab, A, "drbdadm primary r0"), code(&lab, B, "drbdadm primary r0")), (0, 0));
        assert!(lab.findings().iter().any(|f| f.kind == Kind::TwoPrimaries), "{}", lab.journal());
    }
}

#[test]
fn row_2_the_flag_reaches_the_peer_and_exactly_one_wins() {
    for lab in [v84(), v9()] {
        assert_eq!(code(&lab, A, "drbdadm net-options --allow-two-primaries=no r0"), 0);
        assert!(!lab.options(B, "r0").0);
        assert_eq!(code(&lab, A, "drbdadm primary r0"), 0);
        refused(&lab, B, "drbdadm primary r0", -1);
        assert!(lab.findings().is_empty());
    }
}

#[test]
fn row_3_a_silent_cut_is_not_shown_and_8_4_ends_in_a_split_brain() {
    let lab = v84();
    cut(&lab);
    assert_eq!(out(&lab, A, "drbdadm role r0"), "Secondary/Secondary\n");
    assert_eq!(out(&lab, A, "drbdadm cstate r0"), "Connected\n");
    let before = lab.clock();
    assert_eq!((code(&lab, A, "drbdadm primary r0"), code(&lab, B, "drbdadm primary r0")), (0, 0));
    assert!(lab.clock() - before >= 1800, "each notices the loss on the way");
    assert_eq!(out(&lab, A, "drbdadm role r0"), "Primary/Unknown\n");
    assert_eq!(out(&lab, A, "drbdadm cstate r0"), "WFConnection\n");
    assert_ne!(generation(&lab, A), generation(&lab, B));
    assert_eq!((code(&lab, A, "drbdadm secondary r0"), code(&lab, B, "drbdadm secondary r0")), (0, 0));
    mend(&lab);
    assert_eq!((connection(&lab, A), connection(&lab, B)), ("StandAlone".into(), "StandAlone".into()));
    assert!(lab.findings().iter().any(|f| f.kind == Kind::SplitBrain));
}

#[test]
fn row_3_with_drbd_9_nothing_written_is_nothing_lost() {
    let lab = v9();
    cut(&lab);
    assert_eq!((code(&lab, A, "drbdadm primary r0"), code(&lab, B, "drbdadm primary r0")), (0, 0));
    assert_eq!(generation(&lab, A), generation(&lab, B));
    assert_eq!((code(&lab, A, "drbdadm secondary r0"), code(&lab, B, "drbdadm secondary r0")), (0, 0));
    mend(&lab);
    assert_eq!((connection(&lab, A), connection(&lab, B)), ("Connected".into(), "Connected".into()));
}

#[test]
fn row_3b_with_drbd_9_the_first_write_makes_the_generation() {
    let lab = v9();
    cut(&lab);
    lab.pass(12_000);
    for host in [A, B] {
        assert_eq!(code(&lab, host, "xl create /etc/xen/pvh1.cfg"), 0);
        lab.pass(1000);
        assert_eq!(code(&lab, host, "xl destroy pvh1"), 0);
    }
    mend(&lab);
    assert_eq!((connection(&lab, A), connection(&lab, B)), ("StandAlone".into(), "StandAlone".into()));
    // B gives up its data.
    assert_eq!(code(&lab, B, "drbdadm connect --discard-my-data r0"), 0);
    assert_eq!(code(&lab, A, "drbdadm connect r0"), 0);
    lab.pass(5000);
    assert_eq!(out(&lab, A, "drbdadm dstate r0"), "UpToDate/UpToDate\n");
}

#[test]
fn row_4_the_guard_refuses_while_the_peer_cannot_be_asked() {
    for lab in [v84(), v9()] {
        guard(&lab, &[A, B]);
        let before = (generation(&lab, A), generation(&lab, B));
        cut(&lab);
        refused(&lab, A, "drbdadm primary r0", -7);
        refused(&lab, B, "drbdadm primary r0", -7);
        lab.pass(15_000);
        refused(&lab, A, "drbdadm primary r0", -7);
        mend(&lab);
        assert_eq!((connection(&lab, A), connection(&lab, B)), ("Connected".into(), "Connected".into()));
        assert_eq!((generation(&lab, A), generation(&lab, B)), before);
        assert_eq!(out(&lab, A, "drbdadm dstate r0"), "UpToDate/UpToDate\n");
    }
}

#[test]
fn row_5_and_11_the_guard_hinders_no_ordinary_promotion() {
    for lab in [v84(), v9()] {
        guard(&lab, &[A, B]);
        assert_eq!(code(&lab, A, "drbdadm primary r0"), 0);
        refused(&lab, B, "drbdadm primary r0", -1);
        assert_eq!(code(&lab, A, "drbdadm primary r0"), 0, "already so");
    }
}

#[test]
fn row_6_a_live_migration_under_fencing() {
    for lab in [v84(), v9()] {
        let fencing = if lab.with(|f| f.host(A).drbd == Generation::V9) { "net-options" } else { "disk-options" };
        for host in [A, B] {
            assert_eq!(code(&lab, host, &format!("drbdadm {fencing} --fencing=resource-only r0")), 0);
        }
        assert!(lab.options(A, "r0").0, "two Primaries are still allowed");
        out(&lab, A, "xl create /etc/xen/pvh1.cfg");
        let ran = sh(&lab, A, "xl migrate pvh1 dom0-b");
        assert_eq!((ran.code, ran.err.lines().last()), (0, Some("Migration successful.")), "{}", ran.err);
        assert_eq!(lab.runs_on("pvh1"), [B]);
        assert_eq!((lab.role(A, "r0").to_string(), lab.role(B, "r0").to_string()), ("Secondary".into(), "Primary".into()));
        assert!(lab.findings().is_empty(), "{}", lab.journal());
    }
}

#[test]
fn row_7_disconnected_the_guarded_target_refuses_and_the_guest_goes_on_at_home() {
    for lab in [v84(), v9()] {
        let fencing = if lab.with(|f| f.host(A).drbd == Generation::V9) { "net-options" } else { "disk-options" };
        for host in [A, B] {
            assert_eq!(code(&lab, host, &format!("drbdadm {fencing} --fencing=resource-only r0")), 0);
        }
        out(&lab, B, "xl create /etc/xen/pvh1.cfg");
        out(&lab, B, "drbdadm disconnect r0");
        let ran = sh(&lab, B, "xl migrate pvh1 dom0-a");
        assert_eq!((ran.code, ran.err.contains("Migration failed, resuming at sender.")), (1, true), "{}", ran.err);
        assert_eq!(lab.runs_on("pvh1"), [B]);
        assert_eq!(out(&lab, A, "drbdadm dstate r0"), "Outdated/DUnknown\n");
        out(&lab, B, "drbdadm connect r0");
        lab.pass(5000);
        assert_eq!(out(&lab, A, "drbdadm dstate r0"), "UpToDate/UpToDate\n");
        assert!(lab.findings().is_empty(), "{}", lab.journal());
    }
}

#[test]
fn without_the_guard_the_same_migration_succeeds_and_the_copies_diverge() {
    let lab = v84();
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    out(&lab, A, "drbdadm disconnect r0");
    let ran = sh(&lab, A, "xl migrate pvh1 dom0-b");
    assert_eq!((ran.code, ran.err.lines().last()), (0, Some("Migration successful.")));
    let kinds: Vec<Kind> = lab.findings().iter().map(|f| f.kind).collect();
    assert!(kinds.contains(&Kind::StaleData) && kinds.contains(&Kind::SplitBrain), "{}", lab.journal());
    assert_eq!(out(&lab, A, "drbdadm role r0"), "Secondary/Unknown\n");
}

#[test]
fn row_8_a_cut_link_under_a_running_guest_heals_by_itself() {
    for lab in [v84(), v9()] {
        guard(&lab, &[A, B]);
        out(&lab, B, "xl create /etc/xen/pvh1.cfg");
        cut(&lab);
        let before = lab.beats("pvh1");
        lab.pass(9_000);
        assert_eq!(lab.beats("pvh1"), before, "writes wait until the loss is noticed");
        lab.pass(11_000);
        assert!(lab.beats("pvh1") > before);
        mend(&lab);
        assert_eq!(out(&lab, A, "drbdadm dstate r0"), "UpToDate/UpToDate\n");
        assert!(lab.findings().is_empty(), "{}", lab.journal());
    }
}

#[test]
fn row_9_the_window_opened_from_the_idle_side() {
    for lab in [v84(), v9()] {
        guard(&lab, &[A, B]);
        out(&lab, B, "drbdadm primary r0");
        refused(&lab, A, "drbdadm primary r0", -1);
        out(&lab, A, "drbdadm net-options --fencing=resource-only --allow-two-primaries=yes r0");
        out(&lab, A, "drbdadm primary r0");
        for host in [A, B] {
            let ran = sh(&lab, host, "drbdadm net-options --fencing=resource-only --allow-two-primaries=no r0");
            assert_eq!(ran.code, 10);
            assert!(
                ran.err
                    .contains("Failure: (164) Can not clear allow_two_primaries as long as\nthere a primaries on both sides\n"),
                "{}",
                ran.err
            );
        }
        out(&lab, A, "drbdadm secondary r0");
        out(&lab, A, "drbdadm net-options --fencing=resource-only --allow-two-primaries=no r0");
        assert!(!lab.options(B, "r0").0);
    }
}

#[test]
fn row_10_a_half_closed_window_keeps_the_ends_apart() {
    let lab = v84();
    cut(&lab);
    lab.pass(15_000);
    out(&lab, B, "drbdadm net-options --allow-two-primaries=no r0");
    assert!(lab.options(A, "r0").0);
    mend(&lab);
    assert_eq!((connection(&lab, A), connection(&lab, B)), ("StandAlone".into(), "StandAlone".into()));
    let ran = sh(&lab, A, "drbdadm net-options --allow-two-primaries=no r0");
    assert_eq!(ran.code, 10);
    assert!(ran.err.starts_with("??: Failure: (162) Invalid configuration request\n"), "{}", ran.err);
    out(&lab, A, "drbdadm connect r0");
    out(&lab, B, "drbdadm connect r0");
    assert_eq!((connection(&lab, A), connection(&lab, B)), ("Connected".into(), "Connected".into()));
}

#[test]
fn row_10_with_drbd_9_is_repaired_by_the_same_flag_on_both() {
    let lab = v9();
    guard(&lab, &[A, B]);
    out(&lab, B, "drbdadm primary r0");
    cut(&lab);
    lab.pass(15_000);
    out(&lab, B, "drbdadm net-options --fencing=resource-only --allow-two-primaries=yes r0");
    mend(&lab);
    assert_eq!((connection(&lab, A), connection(&lab, B)), ("StandAlone".into(), "StandAlone".into()));
    // `connect` does not read the file again.
    out(&lab, A, "drbdadm connect r0");
    out(&lab, B, "drbdadm connect r0");
    assert_eq!(connection(&lab, A), "StandAlone");
    out(&lab, A, "drbdadm net-options --fencing=resource-only --allow-two-primaries=yes r0");
    out(&lab, A, "drbdadm connect r0");
    assert_eq!(connection(&lab, A), "Connecting");
    out(&lab, B, "drbdadm connect r0");
    assert_eq!(connection(&lab, A), "Connected");
}

#[test]
fn drbd_9_sends_the_files_options_again_with_every_call() {
    let lab = v9();
    out(&lab, A, "drbdadm net-options --allow-two-primaries=no r0");
    out(&lab, A, "drbdadm net-options --fencing=resource-only r0");
    assert_eq!(lab.options(A, "r0"), (true, "resource-only".into()), "the second call undid the first");
    out(&lab, A, "drbdadm net-options --fencing=resource-only --allow-two-primaries=no r0");
    assert_eq!(lab.options(A, "r0"), (false, "resource-only".into()));
    assert_eq!(lab.options(B, "r0"), (false, "dont-care".into()), "fencing is not passed on");
    out(&lab, A, "drbdsetup net-options r0 1 --fencing=dont-care");
    assert_eq!(lab.options(A, "r0"), (false, "dont-care".into()));
    out(&lab, A, "drbdadm adjust r0");
    assert_eq!(lab.options(B, "r0"), (true, "dont-care".into()));
}

fn v9_phy() -> Lab {
    recorded_pair(Generation::V9, Toolstack::Xl, DiskForm::Phy)
}

#[test]
fn row_12_auto_promote_lets_two_guests_onto_one_disk() {
    let lab = v9_phy();
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    assert_eq!(out(&lab, A, "drbdadm role r0"), "Primary\n");
    let ran = sh(&lab, A, "drbdadm secondary r0");
    assert!(ran.err.contains("additional info from kernel:\ndrbd0 opened by xenwatch (pid 24) at "), "{}", ran.err);
    out(&lab, B, "xl create /etc/xen/pvh1.cfg");
    assert_eq!(lab.role(B, "r0").to_string(), "Primary");
    assert!(lab.findings().iter().any(|f| f.kind == Kind::TwoRun));
    out(&lab, B, "xl destroy pvh1");
    assert_eq!(lab.role(B, "r0").to_string(), "Secondary", "by itself");
    out(&lab, A, "xl destroy pvh1");
    assert_eq!(lab.role(A, "r0").to_string(), "Secondary");
}

#[test]
fn rows_13_and_14_under_the_guard_xl_create_exits_0_with_a_dead_disk() {
    let lab = v9_phy();
    guard(&lab, &[A, B]);
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    out(&lab, B, "xl create /etc/xen/pvh1.cfg");
    assert_eq!(lab.role(B, "r0").to_string(), "Secondary");
    assert_eq!(
        out(&lab, B, "xl block-list pvh1").lines().nth(1),
        Some("51712 0   1      6     -1     -1       /local/domain/0/backend/vbd/1/51712")
    );
    out(&lab, B, "xl destroy pvh1");
    out(&lab, A, "xl destroy pvh1");
    cut(&lab);
    lab.pass(12_000);
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    assert_eq!((lab.disk_states(A, "pvh1"), lab.role(A, "r0").to_string()), (vec![6], "Secondary".into()));
}

#[test]
fn row_15_the_same_with_block_drbd_fails_aloud() {
    let lab = v9();
    guard(&lab, &[A, B]);
    cut(&lab);
    let ran = sh(&lab, A, "xl create /etc/xen/pvh1.cfg");
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("script: /etc/xen/scripts/block-drbd failed; error detected."));
    assert!(lab.domains(A).is_empty());
    assert!(lab.with(|f| { f.host(A).hotplug_log.last().is_some_and(|l| l.contains("(-7) Refusing to be Primary")) }));
}

#[test]
fn rows_16_to_18_the_guard_alone_and_by_force() {
    let lab = v9();
    out(&lab, A, "drbdadm disconnect r0");
    guard(&lab, &[A]);
    refused(&lab, A, "drbdadm primary r0", -7);
    out(&lab, A, "drbdadm connect r0");
    assert_eq!(connection(&lab, A), "StandAlone", "B still has the flag on");
    // 17: fencing on A only; B, left alone, may promote.
    let lab = v9();
    guard(&lab, &[A]);
    out(&lab, A, "drbdadm disconnect r0");
    assert_eq!(code(&lab, B, "drbdadm primary r0"), 0);
    assert_eq!(code(&lab, B, "drbdadm secondary r0"), 0);
    out(&lab, A, "drbdadm connect r0");
    assert_eq!(connection(&lab, A), "Connected");
    // 18: --force goes over the guard.
    guard(&lab, &[A, B]);
    cut(&lab);
    refused(&lab, A, "drbdadm primary r0", -7);
    let before = generation(&lab, A);
    assert_eq!(code(&lab, A, "drbdadm primary --force r0"), 0);
    assert_ne!(generation(&lab, A), before);
    out(&lab, A, "drbdadm secondary r0");
    mend(&lab);
    assert_eq!(out(&lab, B, "drbdadm dstate r0"), "UpToDate/UpToDate\n");
}

#[test]
fn row_19_with_auto_promote_a_phy_migration_needs_no_help() {
    let lab = v9_phy();
    for host in [A, B] {
        out(&lab, host, "drbdadm net-options --fencing=resource-only r0");
    }
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    assert_eq!(sh(&lab, A, "xl migrate pvh1 dom0-b").code, 0);
    assert_eq!((lab.role(A, "r0").to_string(), lab.role(B, "r0").to_string()), ("Secondary".into(), "Primary".into()));
    assert_eq!(lab.disk_states(B, "pvh1"), [4]);
    assert!(lab.findings().is_empty(), "{}", lab.journal());
}

#[test]
fn a_host_that_was_away_says_up_to_date_and_starts_old_data() {
    let lab = v84();
    out(&lab, B, "xl create /etc/xen/pvh1.cfg");
    lab.with(|f| f.power_off(A));
    lab.pass(20_000);
    lab.with(|f| f.power_off(B));
    lab.pass(1000);
    lab.with(|f| f.boot(A));
    assert_eq!(out(&lab, A, "drbdadm dstate r0"), "UpToDate/DUnknown\n");
    assert_eq!(code(&lab, A, "xl create /etc/xen/pvh1.cfg"), 0);
    assert!(lab.findings().iter().any(|f| f.kind == Kind::StaleData), "{}", lab.journal());
}

#[test]
fn a_crashed_host_comes_back_as_sync_target() {
    let lab = v84();
    out(&lab, A, "xl create /etc/xen/pvh1.cfg");
    lab.with(|f| f.power_off(A));
    assert_eq!(out(&lab, B, "drbdadm role r0"), "Secondary/Primary\n", "not noticed yet");
    lab.pass(10_000);
    assert_eq!(out(&lab, B, "drbdadm role r0"), "Secondary/Unknown\n");
    out(&lab, B, "xl create /etc/xen/pvh1.cfg");
    lab.pass(3000);
    lab.with(|f| f.boot(A));
    assert_eq!(out(&lab, A, "drbdadm cstate r0"), "SyncTarget\n");
    assert_eq!(out(&lab, A, "drbdadm role r0"), "Secondary/Primary\n");
    lab.pass(5000);
    assert_eq!(out(&lab, A, "drbdadm dstate r0"), "UpToDate/UpToDate\n");
    assert!(lab.findings().is_empty(), "{}", lab.journal());
}
