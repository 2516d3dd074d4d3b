//! Long programs: what they show, and how gently they are ended.

use super::{Seen, alive, kill, sh, until, world};
use crate::adapters::{Call, Ended, Flow, Sign, World};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

#[test]
fn lines_come_while_the_program_runs() {
    let (root, real) = world();
    for log in [None, Some("/run/xen-migrate/web.log".to_string())] {
        let go = root.path().join("go");
        // It goes on only when its first line was seen.
        let mut call = sh("echo first >&2; until [ -e \"$0\" ]; do sleep 0.01; done; echo out; printf 'a\\rlast' >&2; exit 3");
        call.args.push(go.display().to_string());
        call.log = log.clone();
        let mut seen = Seen::default();
        let output = real.watch(&call, &mut |sign| {
            seen.add(sign);
            if sign == Sign::Line("first") {
                fs::write(&go, "").unwrap();
            }
            Flow::On
        });
        let output = output.unwrap();
        assert_eq!(output.ended, Ended::Exit(3));
        if log.is_some() {
            assert_eq!(seen.lines, ["first", "out", "a", "last"]);
            assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", "first\nout\na\rlast"));
        } else {
            seen.lines.sort();
            assert_eq!(seen.lines, ["a", "first", "last", "out"], "between the two outputs there is no order");
            assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "first\na\rlast"));
        }
        fs::remove_file(&go).unwrap();
    }
}

#[test]
fn of_too_much_text_the_end_is_kept_and_the_program_goes_on() {
    let (_root, real) = world();
    for to in ["", ">&2"] {
        let call = sh(&format!("{{ head -c 18000000 /dev/zero; echo; echo the end; }} {to}"));
        let mut last = String::new();
        let output = real.watch(&call, &mut |sign| {
            if let Sign::Line(line) = sign {
                last = line.to_string();
            }
            Flow::On
        });
        let output = output.unwrap();
        assert!(output.ok());
        assert_eq!(last, "the end");
        let text = output.stdout + &output.stderr;
        assert!(text.ends_with("\nthe end\n") && text.len() < 17_000_000, "{} bytes", text.len());
    }
}

#[test]
fn the_log_is_made_anew_for_us_alone() {
    let (root, real) = world();
    let log = root.path().join("run/xen-migrate/web.log");
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    fs::write(&log, "old").unwrap();
    let mut call = sh("echo new >&2");
    call.log = Some("/run/xen-migrate/web.log".to_string());
    real.watch(&call, &mut |_| Flow::On).unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "new\n");
    assert_eq!(log.metadata().unwrap().mode() & 0o7777, 0o600);
    // A planted link: nothing is started, nothing is touched.
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::remove_file(&log).unwrap();
    symlink(&victim, &log).unwrap();
    let why = real.watch(&call, &mut |_| Flow::On).unwrap_err().to_string();
    assert!(why.contains("symbolic link") && why.contains("web.log"), "{why}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn stopping_ends_the_transport_and_the_program_puts_things_back() {
    let (root, mut real) = world();
    // comm(5) is the name of the link, as with a real ssh.
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink("/bin/sleep", bin.join("ssh")).unwrap();
    real.path = format!("{}:/usr/bin:/bin", bin.display()).into();
    // An elder child that is no transport, the transport, and a program that lives through the end of it.
    let call = sh("sleep 1000 & other=$!; ssh 1000 & echo $other >&2; wait $!; echo resumed here: $? >&2; exit 1");
    let mut other = None;
    let output = real.watch(&call, &mut |sign| match sign {
        Sign::Line(line) if other.is_none() => {
            other = Some(line.to_string());
            Flow::On
        }
        // Not at the line: the shell may not yet have become ssh.
        Sign::Tick if other.is_some() && comm_of_children(&bin) => Flow::Stop,
        _ => Flow::On,
    });
    let output = output.unwrap();
    assert_eq!(output.ended, Ended::Exit(1), "{}", output.stderr);
    // 128 + SIGTERM
    assert!(output.stderr.ends_with("resumed here: 143\n"), "{}", output.stderr);
    let other = other.unwrap();
    assert!(alive(&other), "a bystander was hit");
    kill(&other);
}

/// Whether a process runs the `ssh` of this test by now.
fn comm_of_children(bin: &std::path::Path) -> bool {
    let ssh = bin.join("ssh").display().to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        comm.trim() == "ssh" && (line.starts_with(ssh.as_bytes()) || line.starts_with(b"ssh\0"))
    })
}

#[test]
fn a_transport_that_does_not_listen_is_killed() {
    let (_root, mut real) = world();
    real.patience.resume = Duration::from_millis(200);
    let call =
        sh("sh -c 'trap \"\" TERM; echo deaf >&2; while :; do sleep 0.01; done' & wait $!; echo resumed: $? >&2; sleep 0.01");
    let output = real.watch(&call, &mut |sign| if sign == Sign::Line("deaf") { Flow::Stop } else { Flow::On }).unwrap();
    // The program itself may be asked to end while it tells; what counts is that its transport was killed.
    assert!(output.stderr.contains("resumed: 137\n"), "{output:?}");
}

#[test]
fn a_program_that_does_not_end_without_its_transport_is_ended() {
    let (_root, mut real) = world();
    real.patience.resume = Duration::from_millis(100);
    for (stubborn, signal) in [("", 15), ("trap '' TERM; ", 9)] {
        let call = sh(&format!("{stubborn}sleep 1000 & echo up >&2; wait; while :; do :; done"));
        let output = real.watch(&call, &mut |sign| if sign == Sign::Tick { Flow::Stop } else { Flow::On }).unwrap();
        assert_eq!(output.ended, Ended::Signal(signal));
        assert_eq!(output.stderr, "up\n");
    }
}

#[test]
fn a_program_without_a_transport_is_asked_itself() {
    let (_root, real) = world();
    let call = Call::new("sleep", ["1000"]);
    let output = real.watch(&call, &mut |_| Flow::Stop).unwrap();
    assert_eq!(output.ended, Ended::Signal(15));
}

#[test]
fn limits_end_as_a_stop_does() {
    let (_root, mut real) = world();
    real.patience.resume = Duration::from_millis(20);
    let mut call = Call::new("sleep", ["1000"]);
    call.limit = None;
    call.quiet_limit = Some(Duration::from_millis(50));
    assert_eq!(real.watch(&call, &mut |_| Flow::On).unwrap().ended, Ended::Signal(15));
    // Lines are signs of life, but no reason to go on for ever.
    let mut call = sh("while :; do echo on >&2; sleep 0.01; done").within(Duration::from_millis(300));
    call.quiet_limit = Some(Duration::from_secs(600));
    let mut seen = Seen::default();
    real.watch(&call, &mut |sign| {
        seen.add(sign);
        Flow::On
    })
    .unwrap();
    assert!(!seen.lines.is_empty());
}

#[test]
fn what_goes_through_the_transport_is_counted_and_is_progress() {
    let (root, mut real) = world();
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink("/bin/cat", bin.join("ssh")).unwrap();
    real.path = format!("{}:/usr/bin:/bin", bin.display()).into();
    real.patience.resume = Duration::from_millis(100);
    let mut call = sh("{ head -c 3000000 /dev/zero; sleep 1000 & echo $! >&2; wait; } | ssh >/dev/null");
    call.limit = None;
    let mut feeder = None;
    let mut most = 0;
    real.watch(&call, &mut |sign| match sign {
        Sign::Line(line) => {
            feeder.get_or_insert(line.to_string());
            Flow::On
        }
        Sign::Sent(bytes) => {
            assert!(bytes >= most, "it went back");
            most = bytes;
            if bytes >= 3_000_000 { Flow::Stop } else { Flow::On }
        }
        Sign::Tick => Flow::On,
    })
    .unwrap();
    assert!(most >= 3_000_000);
    kill(&feeder.unwrap());
}

#[test]
fn somebody_who_asks_us_to_stop_is_told_at_once() {
    let (_root, mut real) = world();
    real.patience.tick = Duration::from_secs(600);
    let call = sh("echo up >&2; exec sleep 1000");
    let mut told = false;
    let output = real.watch(&call, &mut |sign| {
        if sign == Sign::Line("up") {
            real.signals.pretend();
        }
        told |= sign == Sign::Tick && real.stopping();
        if told { Flow::Stop } else { Flow::On }
    });
    assert_eq!(output.unwrap().ended, Ended::Signal(15));
    assert!(told, "only its limit ended it");
}

#[test]
fn a_child_left_behind_does_not_hold_us_here_either() {
    let (_root, real) = world();
    let mut pid = String::new();
    let call = sh("sleep 1000 & echo $! >&2");
    let output = real.watch(&call, &mut |sign| {
        if let Sign::Line(line) = sign {
            pid = line.to_string();
        }
        Flow::On
    });
    assert!(output.unwrap().ok());
    assert!(alive(&pid));
    kill(&pid);
    until(&real, "it is dead", || (!alive(&pid)).then_some(()));
}
