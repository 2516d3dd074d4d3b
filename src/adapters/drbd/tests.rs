//! The programs' answers through a scripted world.

use super::testing::recorded;
use super::*;
use crate::adapters::scripted::Scripted;
use crate::core::drbd::{Connection, Role};

const EVENTS2: &str = "drbdsetup events2 --now";
const DUMP: &str = "drbdadm dump-xml --dry-run";

fn r0() -> ResourceName {
    "r0".parse().unwrap()
}

fn guard() -> Options {
    Options { two_primaries: false, fencing: Fencing::ResourceOnly }
}

fn open() -> Options {
    Options { two_primaries: true, fencing: Fencing::DontCare }
}

fn why(ended: Result<(), DeedError>) -> Why {
    ended.unwrap_err().why
}

#[test]
fn the_generation_is_that_of_the_loaded_module() {
    let world = Scripted::new().file(PROC_DRBD, &recorded("proc-drbd-8.4.11-none-up.txt"));
    assert_eq!(generation(&world).unwrap(), Some(Generation::V84));
    assert!(world.asked().is_empty(), "drbdadm was not needed");
    let world = Scripted::new().file(PROC_DRBD, "hello\n");
    assert!(matches!(generation(&world), Err(DrbdError::NotUnderstood { .. })));
}

#[test]
fn without_the_file_drbdadm_is_asked() {
    let version = "drbdadm --version";
    let world = Scripted::new().answers(version, 0, &recorded("drbdadm-9.22-version-module-9.2.16.txt"), "");
    assert_eq!(generation(&world).unwrap(), Some(Generation::V9));
    let world = Scripted::new().answers(version, 0, &recorded("drbdadm-9.22-version-module-not-loaded.txt"), "");
    assert_eq!(generation(&world).unwrap(), None);
    assert_eq!(generation(&Scripted::new().missing(version)).unwrap(), None);
    assert!(matches!(generation(&Scripted::new().hangs(version)), Err(DrbdError::Call(_))));
}

#[test]
fn all_resources_come_from_one_question() {
    let world = Scripted::new().answers(EVENTS2, 0, &recorded("drbdsetup-8.4-events2-peer-primary.txt"), "");
    let replicas = replicas(&world, Generation::V84, "dom0-b").unwrap();
    assert_eq!(replicas.iter().map(|r| r.resource.as_str()).collect::<Vec<_>>(), ["r0", "r1"]);
    assert_eq!(replicas[0].peers[0].role, Role::Primary);
    assert_eq!(world.asked(), [EVENTS2]);
    assert_eq!(world.calls()[0].limit, Some(std::time::Duration::from_secs(10)));
}

#[test]
fn half_a_picture_is_an_error_not_a_short_list() {
    let text = recorded("drbdsetup-9.2-events2-both-primary.txt").replace("exists -\n", "");
    let world = Scripted::new().answers(EVENTS2, 0, &text, "");
    assert!(matches!(replicas(&world, Generation::V9, "a"), Err(DrbdError::NotUnderstood { .. })));
    let odd = "exists device name:r0 disk:Failed\nexists -\n";
    let world = Scripted::new().answers(EVENTS2, 0, odd, "");
    let error = replicas(&world, Generation::V9, "a").unwrap_err();
    assert!(error.to_string().contains("exists device name:r0 disk:Failed"), "{error}");
}

#[test]
fn no_module_and_other_failures_are_told_apart() {
    let world = Scripted::new().answers(EVENTS2, 20, "", &recorded("drbdsetup-9.22-events2-no-module.stderr.txt"));
    for generation in [Generation::V84, Generation::V9] {
        let error = replicas(&world, generation, "a").unwrap_err();
        assert!(matches!(&error, DrbdError::NoModule { call, .. } if call == EVENTS2), "{error}");
    }
    let overrun = "error desciption: packets droped, socket receive buffer overrun\n";
    let world = Scripted::new().answers(EVENTS2, 20, "", overrun);
    assert!(matches!(replicas(&world, Generation::V9, "a"), Err(DrbdError::Failed { .. })));
    assert!(matches!(replicas(&Scripted::new().hangs(EVENTS2), Generation::V9, "a"), Err(DrbdError::Call(_))));
}

#[test]
fn an_old_84_without_events2_is_read_from_proc() {
    let world = Scripted::new()
        .answers(EVENTS2, 20, "\nUSAGE: drbdsetup command device arguments options\n", "invalid command\n")
        .answers(DUMP, 0, &recorded("drbdadm-8.4-dump-xml-one-resource.txt"), "")
        .file(PROC_DRBD, &recorded("proc-drbd-8.4.11-peer-primary.txt"));
    let replicas = replicas(&world, Generation::V84, "dom0-b").unwrap();
    assert_eq!(replicas.len(), 1, "r1 is in the kernel and not in this file");
    assert!(replicas[0].peer_is_primary());
    assert_eq!(world.asked(), [EVENTS2, DUMP]);
}

#[test]
fn an_83_is_read_from_proc_and_the_files_name_its_minors() {
    let world = Scripted::new()
        .answers(DUMP, 0, &recorded("drbdadm-8.3-dump-xml-dry-run.txt"), "")
        .file(PROC_DRBD, &recorded("proc-drbd-8.3-all-forms.txt"));
    let seen = replicas(&world, Generation::V83, "alpha").unwrap();
    let lines: Vec<String> = seen.iter().map(|r| format!("{} {} {}", r.resource, r.role, r.peers[0].connection)).collect();
    assert_eq!(lines, ["web Primary Connected", "db Secondary Connecting"]);
    assert_eq!(seen[0].peers[0].connection, Connection::Connected);
    let nothing_up = Scripted::new().file(PROC_DRBD, "version: 8.3.16 (api:88/proto:86-97)\n");
    assert!(replicas(&nothing_up, Generation::V83, "alpha").unwrap().is_empty());
    assert!(matches!(replicas(&Scripted::new(), Generation::V83, "alpha"), Err(DrbdError::NoModule { .. })));
}

#[test]
fn a_broken_file_is_told_with_its_line() {
    let broken = recorded("drbdadm-9.22-dump-xml-broken-file.stderr.txt");
    let error = configured(&Scripted::new().answers(DUMP, 10, "", &broken), "alpha").unwrap_err();
    assert!(matches!(error, DrbdError::Config { .. }));
    assert!(error.to_string().contains("/etc/drbd.conf:3: Parse error"), "{error}");
    assert!(!error.to_string().contains("modinfo"), "{error}");
}

#[test]
fn a_missing_file_is_told_likewise() {
    let missing = recorded("drbdadm-9.22-dump-xml-no-file.stderr.txt");
    let error = configured(&Scripted::new().answers(DUMP, 10, "", &missing), "alpha").unwrap_err();
    assert!(error.to_string().ends_with("Can not open '/etc/drbd.conf': No such file or directory"), "{error}");
}

#[test]
fn a_plain_dump_fails_while_the_link_is_not_up_hence_the_dry_run() {
    let plain = recorded("drbdadm-9.22-dump-xml-link-not-up-yet.stderr.txt");
    assert!(plain.contains("IP 10.0.0.1 not found on this host."));
    let world = Scripted::new().answers(DUMP, 0, &recorded("drbdadm-9.22-dump-xml-dry-run.txt"), "");
    assert_eq!(configured(&world, "alpha").unwrap().len(), 4);
    assert_eq!(configuration(&world, "alpha").unwrap().notes.len(), 1);
}

#[test]
fn files_without_resources_are_no_fault() {
    let world = Scripted::new().answers(DUMP, 1, "", "no resources defined!\n");
    assert!(configured(&world, "alpha").unwrap().is_empty());
    let world = Scripted::new().answers(DUMP, 0, "<config file=\"/etc/drbd.conf\">\n</config>\n", "");
    assert!(configured(&world, "alpha").unwrap().is_empty());
    let world = Scripted::new().answers(DUMP, 0, "", "");
    assert!(matches!(configured(&world, "alpha"), Err(DrbdError::NotUnderstood { .. })));
}

#[test]
fn the_running_options_of_84_and_9() {
    let show = "drbdsetup show r0";
    let world = Scripted::new().answers(show, 0, &recorded("drbdsetup-8.4-show-two-primaries.txt"), "");
    assert_eq!(running_options(&world, Generation::V84, &r0(), &[0]).unwrap(), open());
    let world = Scripted::new().answers(show, 0, &recorded("drbdsetup-9.2-show-standalone-both-options.txt"), "");
    let both = Options { two_primaries: true, fencing: Fencing::ResourceOnly };
    assert_eq!(running_options(&world, Generation::V9, &r0(), &[0]).unwrap(), both);
}

#[test]
fn not_up_is_told_apart_in_every_dialect() {
    let show = "drbdsetup show r0";
    let not_up =
        |world: Scripted, generation| matches!(running_options(&world, generation, &r0(), &[0]), Err(DrbdError::NotUp { .. }));
    let none_up = recorded("drbdsetup-9.2-show-none-up.txt");
    assert!(not_up(Scripted::new().answers(show, 0, &none_up, ""), Generation::V9));
    assert!(not_up(Scripted::new().answers(show, 10, "", "r0: No such resource\n"), Generation::V84));
    let failure = "0: Failure: (127) Device minor not allocated\n";
    assert!(not_up(Scripted::new().answers("drbdsetup 0 show", 10, "", failure), Generation::V83));
    assert!(not_up(Scripted::new().answers("drbdsetup 0 show", 0, "syncer {\n}\n", ""), Generation::V83));
}

#[test]
fn an_84_without_a_connection_has_no_network_options() {
    let text = "resource r0 {\n options {\n }\n _this_host {\n volume 0 {\n disk {\n fencing resource-only;\n }\n }\n }\n}\n";
    let world = Scripted::new().answers("drbdsetup show r0", 0, text, "");
    let error = running_options(&world, Generation::V84, &r0(), &[0]).unwrap_err();
    assert!(matches!(error, DrbdError::NoConnection { fencing: Fencing::ResourceOnly, .. }), "{error}");
}

#[test]
fn the_deeds_say_what_they_should() {
    let world = Scripted::new()
        .answers("drbdadm primary r0", 0, "", "")
        .answers("drbdadm primary --force r0", 0, "", "")
        .answers("drbdadm connect r0", 0, "", "")
        .answers("drbdadm disconnect r0", 10, "", &recorded("drbdadm-8.4-disconnect-not-connected.stderr.txt"))
        .answers("drbdadm adjust r0", 0, "", "");
    promote(&world, &r0()).unwrap();
    promote_by_force(&world, Generation::V84, &r0()).unwrap();
    connect(&world, &r0()).unwrap();
    disconnect(&world, &r0()).unwrap();
    adjust(&world, &r0()).unwrap();
}

#[test]
fn a_promotion_that_does_not_end_is_neither_done_nor_refused() {
    let error = promote(&Scripted::new().hangs("drbdadm primary r0"), &r0()).unwrap_err();
    assert_eq!((&error.why, error.ended), (&Why::TimedOut, None));
    assert!(error.to_string().contains("no answer within 150 s"), "{error}");
    assert_eq!(why(promote(&Scripted::new().missing("drbdadm primary r0"), &r0())), Why::NotRun);
}

#[test]
fn a_demotion_with_exit_0_counts_only_with_a_module() {
    let demoted = || Scripted::new().answers("drbdadm secondary r0", 0, "", "");
    assert_eq!(why(demote(&demoted(), &r0())), Why::NoModule);
    demote(&demoted().file(PROC_DRBD, "version: 9.2.16\n"), &r0()).unwrap();
}

#[test]
fn options_are_set_in_one_call_on_9_and_two_on_84_and_none_on_83() {
    let both = "drbdadm net-options --fencing=resource-only --allow-two-primaries=no r0";
    let world = Scripted::new().answers(both, 0, "", "");
    set_options(&world, Generation::V9, &r0(), &guard(), &open()).unwrap();
    set_options(&world, Generation::V9, &r0(), &guard(), &guard()).unwrap();
    assert_eq!(world.asked(), [both]);

    let (fencing, primaries) =
        ("drbdadm disk-options --fencing=resource-only r0", "drbdadm net-options --allow-two-primaries=no r0");
    let refusal = recorded("drbdadm-9.2-net-options-both-primary.stderr.txt");
    let world = Scripted::new().answers(fencing, 0, "", "").answers(primaries, 10, "", &refusal);
    assert_eq!(why(set_options(&world, Generation::V84, &r0(), &guard(), &open())), Why::BothPrimary);
    assert_eq!(world.asked(), [fencing, primaries]);

    let world = Scripted::new();
    let error = set_options(&world, Generation::V83, &r0(), &guard(), &open()).unwrap_err();
    assert!(matches!(error.why, Why::NotAtRunTime(_)));
    assert!(error.to_string().contains("disk { fencing resource-only; }"), "{error}");
}
