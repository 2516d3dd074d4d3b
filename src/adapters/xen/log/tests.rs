//! Each recorded migration: what it says, and what it does not.

use super::*;

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/recorded/xen/", $name))
    };
}

const SUCCESSES: [&str; 5] = [
    recording!("xl-4.17-migrate-success.stderr.txt"),
    recording!("xl-4.17-migrate-success-live.stderr.txt"),
    recording!("xl-4.17-migrate-success-drbd-disconnected.stderr.txt"),
    recording!("xl-4.17-migrate-success-dead-disk.stderr.txt"),
    recording!("xl-4.20-migrate-success.stderr.txt"),
];

/// Two of these are a split brain and a guest without its disk: the text is the same.
#[test]
fn a_success_says_the_same_whatever_it_is_worth() {
    let expected = MigrateWords {
        target_ready: true,
        transfer_complete: true,
        acknowledged: true,
        go_given: true,
        permission_got: true,
        started_there: true,
        success_reported: true,
        successful: true,
        ..MigrateWords::default()
    };
    for text in SUCCESSES {
        assert_eq!(read_log(text), expected);
        assert!(read_log(text).may_run_there());
        assert_eq!(text.lines().filter_map(milestone).next_back(), Some(Milestone::Successful));
    }
}

#[test]
fn the_answer_may_come_before_the_line_it_answers() {
    let steps: Vec<Milestone> = recording!("xl-4.17-migrate-success.stderr.txt").lines().filter_map(milestone).collect();
    assert_eq!(steps[..3], [Milestone::TargetReady, Milestone::Acknowledged, Milestone::TransferComplete]);
}

#[test]
fn a_pv_guest_without_shadow_paging_goes_on_here() {
    let text = recording!("xl-4.17-migrate-pv-no-shadow-paging.stderr.txt");
    let words = read_log(text);
    assert!(words.failed_to_suspend && !words.resuming_here && !words.may_run_there());
    assert_eq!((words.suspend_failed, words.creation_failed), (Some(-8), Some(-3)));
    assert_eq!(words.transport, Some(TransportEnd::Exit(1)));
    // It did not respond, says the text, but the cause is another.
    assert!(why(text).unwrap().contains("shadow paging"), "{:?}", why(text));
}

#[test]
fn nothing_was_touched_when_ssh_failed() {
    for (text, reason) in [
        (recording!("xl-4.17-migrate-unresolvable-host.stderr.txt"), "cannot be resolved"),
        (recording!("xl-4.17-migrate-no-route.stderr.txt"), "cannot be reached"),
    ] {
        let words = read_log(text);
        assert!(words.banner_missing && !words.target_ready && !words.may_run_there());
        assert_eq!(words.transport, Some(TransportEnd::Exit(255)));
        assert!(why(text).unwrap().contains(reason), "{:?}", why(text));
        assert_eq!(text.lines().find_map(milestone), None);
    }
}

#[test]
fn the_forced_command_refused() {
    let text = recording!("xl-4.20-migrate-forced-command-refused.stderr.txt");
    let words = read_log(text);
    assert_eq!(words.banner_garbage.as_deref(), Some("exec ssh beta xl migrate-receive"));
    assert!(!words.may_run_there());
    assert!(why(text).unwrap().contains("forced command"));
}

#[test]
fn unknown_domains_and_options() {
    let unknown = recording!("xl-4.17-migrate-unknown-domain.stderr.txt");
    assert_eq!(read_log(unknown), MigrateWords { unknown_domain: true, ..MigrateWords::default() });
    assert!(why(unknown).unwrap().contains("nosuch"));
    let option = recording!("xl-4.17-migrate-option-l.stderr.txt");
    assert_eq!(read_log(option), MigrateWords { unknown_option: true, ..MigrateWords::default() });
    assert!(why(option).unwrap().starts_with("xl does not know that option"));
    let few = recording!("xl-4.17-migrate-too-few-operands.stderr.txt");
    assert_eq!(read_log(few), MigrateWords::default());
    assert_eq!(why(few), None);
    let none = "No config file stored for running domain and none supplied - cannot migrate.\n";
    assert!(read_log(none).no_config && why(none).is_some());
}

#[test]
fn block_drbd_refused_at_the_target_and_the_guest_goes_on_here() {
    for text in [
        recording!("xl-4.17-migrate-block-drbd-failed.stderr.txt"),
        recording!("xl-4.17-migrate-drbd9-guard-disconnected.stderr.txt"),
    ] {
        let words = read_log(text);
        assert!(words.resuming_here && !words.transfer_complete && !words.may_run_there());
        assert_eq!((words.creation_failed, words.suspend_failed), (Some(-3), None));
        assert!(why(text).unwrap().contains("xen-hotplug.log"), "{:?}", why(text));
    }
}

#[test]
fn without_memory_there_the_failed_resume_means_nothing() {
    let text = recording!("xl-4.17-migrate-no-memory-there.stderr.txt");
    let words = read_log(text);
    assert!(words.resuming_here && words.resume_failed && words.never_suspended && !words.may_run_there());
    // The save helper died of a signal as well; that is not the transport.
    assert_eq!(words.transport, Some(TransportEnd::Exit(1)));
    assert!(why(text).unwrap().starts_with("there is not enough free memory on the target"), "{:?}", why(text));
}

#[test]
fn two_texts_on_one_line() {
    let text = recording!("xl-4.17-migrate-same-name-there.stderr.txt");
    let line = text.lines().find(|line| line.contains("already exists")).unwrap();
    assert!(line.contains("migration sender:"), "the recording has both on one line");
    assert_eq!(milestone(line), Some(Milestone::StartFailed));
    let words = read_log(text);
    assert_eq!(words.start_failed, Some(6));
    assert!(words.go_given && words.target_cleaned_up && words.resumed_ok && words.problems_at_target && !words.started_there);
    let why = why(text).unwrap();
    assert!(why.contains("\"pvh1\" already exists.") && !why.contains("migration sender"), "{why}");
}

#[test]
fn a_target_that_dies_leaves_a_text_without_an_end() {
    let text = recording!("xl-4.17-migrate-target-powered-off.stderr.txt");
    assert_eq!(read_log(text), MigrateWords { target_ready: true, ..MigrateWords::default() });
    assert_eq!(why(text), None);
}

#[test]
fn a_target_that_could_not_start_gives_it_back() {
    let words = read_log(recording!("xl-4.20-migrate-target-unpause-failed.stderr.txt"));
    assert_eq!(words.start_failed, Some(3));
    assert!(words.resumed_ok && words.problems_at_target && words.target_cleaned_up);
    let words = read_log(recording!("xl-4.20-migrate-target-create-failed.stderr.txt"));
    assert_eq!((words.creation_failed, words.suspend_failed), (Some(-3), Some(-3)));
    assert!(words.resuming_here && !words.may_run_there());
}

#[test]
fn a_lost_handshake_is_undefined() {
    let text = recording!("xl-4.20-migrate-handshake-lost.stderr.txt");
    let words = read_log(text);
    assert!(words.undefined && words.go_given && words.may_run_there() && !words.successful && !words.resumed_ok);
    assert!(why(text).unwrap().contains("after the target had been told to start"));
    assert_eq!(text.lines().filter_map(milestone).next_back(), Some(Milestone::Undefined));
}

#[test]
fn how_the_transport_ended() {
    let end = |text: &str| read_log(text).transport;
    let died = "libxl: info: x: migration transport process [12] died due to fatal signal Killed\n";
    assert_eq!(end(died), Some(TransportEnd::Signal("Killed".into())));
    let stays = "migration child [12] not exiting, no longer waiting (exit status will be unreported)\n";
    assert_eq!(end(stays), Some(TransportEnd::StillThere));
    let old = "migration target process [12] exited with error status 255\n";
    assert_eq!(end(old), Some(TransportEnd::Exit(255)));
    assert_eq!(end("migration transport process ["), None);
    assert_eq!(end(""), None);
}

#[test]
fn percents_of_old_targets() {
    let text = recording!("xl-4.4-migrate-restore-progress.stderr.txt");
    // Lines, and one line of many parts with carriage returns.
    assert_eq!(text.split('\n').filter_map(percent).collect::<Vec<_>>(), [5, 10, 100]);
    assert_eq!(percent("2026-01-01 10:00:00 UTC xc: detail: Frames iteration 0 of 5: 5/100    5%"), Some(5));
    for line in
        ["", "%", "5%", "disk is 90% full", "disk is at 90%", "xc: x: a/b 5%", "xc: x: 1/2 200%", "xc: x: 1/2 %", "1/2  5%é"]
    {
        assert_eq!(percent(line), None, "{line}");
    }
}

#[test]
fn reasons_of_a_creation() {
    for (text, reason) in [
        (recording!("xl-4.17-create-name-exists.stderr.txt"), "a domain of that name is there already"),
        (recording!("xl-4.17-create-block-drbd-failed.stderr.txt"), "DRBD did not let"),
        (recording!("xl-4.17-create-block-drbd-failed-twice.stderr.txt"), "DRBD did not let"),
        (recording!("xl-4.17-create-no-memory.stderr.txt"), "there is not enough free memory"),
        (recording!("xl-4.4-xend-running.stderr.txt"), "xend runs here"),
        ("Error: VM name 'web' already exists as domain 7\n", "a domain of that name"),
        ("Error: I need 524288 KiB, but dom0_min_mem is 262144 and shrinking to …\n", "there is not enough free memory"),
        (
            "Error: Device 51712 (vbd) could not be connected. /etc/xen/scripts/block-drbd failed; error detected.\n",
            "DRBD did not let",
        ),
        ("Error: can't connect: Connection refused\n", "the other host's xend"),
        ("Error: Unable to connect to xend: Connection refused. Is xend running?\n", "xend does not answer"),
        ("root@beta: Permission denied (publickey).\n", "does not accept our key"),
        ("Host key verification failed.\r\n", "does not know the other host's key"),
        ("Error: Disk isn't accessible\n", "Error: Disk isn't accessible"),
        ("libxl: error: libxl_x.c:1:f: Domain 3:something new\n", "libxl: error"),
    ] {
        let found = why(text).unwrap_or_default();
        assert!(found.starts_with(reason) || found.contains(reason), "{found}");
    }
    for quiet in [recording!("xl-4.17-create.stderr.txt"), recording!("xl-4.17-shutdown-wait.stderr.txt"), ""] {
        assert_eq!(why(quiet), None);
    }
    let missing = recording!("xl-4.17-create-no-such-file.stderr.txt");
    assert_eq!(why(missing), None, "its one line says it all");
}

#[test]
fn nothing_panics_on_a_log_cut_at_any_byte_or_shaken() {
    const ALL: [&str; 8] = [
        recording!("xl-4.17-migrate-success.stderr.txt"),
        recording!("xl-4.17-migrate-pv-no-shadow-paging.stderr.txt"),
        recording!("xl-4.17-migrate-no-memory-there.stderr.txt"),
        recording!("xl-4.17-migrate-same-name-there.stderr.txt"),
        recording!("xl-4.17-migrate-unresolvable-host.stderr.txt"),
        recording!("xl-4.20-migrate-handshake-lost.stderr.txt"),
        recording!("xl-4.20-migrate-forced-command-refused.stderr.txt"),
        recording!("xl-4.4-migrate-restore-progress.stderr.txt"),
    ];
    let every = |text: &str| {
        let _ = (read_log(text), why(text));
        for line in text.lines().last().into_iter().chain([text]) {
            let _ = (milestone(line), percent(line));
        }
    };
    let mut seed = 88_172_645_463_325_252_u64;
    for text in ALL {
        for end in 0..=text.len() {
            let mut bytes = text.as_bytes()[..end].to_vec();
            every(&String::from_utf8_lossy(&bytes));
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            if !bytes.is_empty() && end % 5 == 0 {
                let at = usize::try_from(seed % bytes.len() as u64).unwrap_or(0);
                bytes[at] = seed.to_le_bytes()[3];
                every(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}

#[test]
fn what_our_other_end_says_comes_first() {
    let said = "migration target: Transfer complete, requesting permission to start domain.\n\
                xen-migrate migrate2: refused: web is not let in: r0 did not become Primary here\n\
                libxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated reading ready message from migration receiver stream\n\
                Migration failed, resuming at sender.\n";
    assert_eq!(why(said).as_deref(), Some("the other end refused: web is not let in: r0 did not become Primary here"));
}
