//! Programs that answer, do not answer, answer too much, and are not there.

use super::{alive, kill, script, sh, until, world};
use crate::adapters::{Call, CallError, Ended, Input, World};
use std::fs;
use std::time::Duration;

#[test]
fn what_a_program_says_and_how_it_ends() {
    let (_root, real) = world();
    let output = real.run(&sh("echo out; echo err >&2; exit 3")).unwrap();
    assert_eq!((output.ended, output.stdout.as_str(), output.stderr.as_str()), (Ended::Exit(3), "out\n", "err\n"));
    let output = real.run(&sh("kill -9 $$")).unwrap();
    assert_eq!(output.ended, Ended::Signal(9));
    let output = real.run(&sh("printf 'a\\377b'")).unwrap();
    assert_eq!(output.stdout, "a\u{fffd}b");
}

/// Two that wait for each other: one after the other they would never end.
#[test]
fn several_run_side_by_side_and_answer_in_their_order() {
    let (root, real) = world();
    let fifo = |n: u32| root.path().join(format!("fifo{n}")).display().to_string();
    let (here, there) = (fifo(1), fifo(2));
    let made = real.run(&sh(&format!("mkfifo {here} {there}"))).unwrap();
    assert!(made.ok(), "{made:?}");
    let first = sh(&format!("echo ping >{here}; read word <{there}; echo $word"));
    let second = sh(&format!("read word <{here}; echo pong >{there}; echo $word"));
    let answers = real.run_all(&[first, second, sh("exit 3"), Call::new("no-such-program", ["x"])], 8);
    let said = |n: usize| answers[n].as_ref().unwrap().stdout.as_str();
    assert_eq!((said(0), said(1)), ("pong\n", "ping\n"));
    assert_eq!(answers[2].as_ref().unwrap().ended, Ended::Exit(3));
    assert!(matches!(answers[3], Err(CallError::NotFound(_))));
    // More calls than may run at once, one of which hangs: the others are heard all the same.
    let mut calls: Vec<Call> = (0..20).map(|n| sh(&format!("echo {n}"))).collect();
    calls[7] = sh("exec sleep 1000").within(Duration::from_millis(100));
    for (n, answer) in real.run_all(&calls, 3).into_iter().enumerate() {
        match (n, answer) {
            (7, answer) => assert!(matches!(answer, Err(CallError::TimedOut { .. })), "{answer:?}"),
            (n, answer) => assert_eq!(answer.unwrap().stdout, format!("{n}\n")),
        }
    }
    assert!(real.run_all(&[], 3).is_empty());
}

#[test]
fn a_program_stands_on_known_ground() {
    let (_root, mut real) = world();
    real.path = "/usr/bin:relative:/bin:/sbin".into();
    let output = real.run(&sh("echo \"$LC_ALL|${LANGUAGE-none}|$PATH\"")).unwrap();
    assert_eq!(output.stdout, "C|none|/usr/bin:/bin:/sbin:/usr/local/sbin:/usr/sbin\n");
}

#[test]
fn a_program_has_a_process_group_of_its_own() {
    let (_root, real) = world();
    // proc(5): the fifth field is the process group; the name of a shell has no blanks.
    let output = real.run(&sh("read pid name state ppid pgrp rest </proc/$$/stat; echo $pid $pgrp")).unwrap();
    let (pid, group) = output.stdout.trim().split_once(' ').unwrap();
    assert_eq!(pid, group);
    // Except with our own streams.
    let mut call = sh("read pid name state ppid pgrp rest </proc/$$/stat; [ $pid != $pgrp ]");
    call.stdin = Input::Inherited;
    assert_eq!(real.run(&call).unwrap().ended, Ended::Exit(0));
}

#[test]
fn no_shell_sees_the_arguments() {
    let (_root, real) = world();
    let output = real.run(&Call::new("printf", ["%s|", "$(id)", "a b", "", ";x"])).unwrap();
    assert_eq!(output.stdout, "$(id)|a b||;x|");
}

#[test]
fn programs_are_found_through_our_path_in_its_order() {
    let (root, mut real) = world();
    let (first, second) = (root.path().join("first dir"), root.path().join("second"));
    script(&second.join("xl"), "#!/bin/sh\necho second \"$@\"; xm\n");
    script(&second.join("xm"), "#!/bin/sh\necho and its own children find xm\n");
    real.path = format!("relative::{}:{}:/usr/bin:/bin", first.display(), second.display()).into();
    assert_eq!(real.run(&Call::new("xl", ["list"])).unwrap().stdout, "second list\nand its own children find xm\n");
    script(&first.join("xl"), "#!/bin/sh\necho first\n");
    assert_eq!(real.run(&Call::new("xl", ["list"])).unwrap().stdout, "first\n");
    // What may not be executed is passed over, as a shell does.
    fs::remove_file(first.join("xl")).unwrap();
    fs::write(first.join("xl"), "").unwrap();
    assert_eq!(real.run(&Call::new("xl", ["list"])).unwrap().stdout, "second list\nand its own children find xm\n");
}

#[test]
fn not_there_is_told_apart_from_cannot_be_started() {
    let (root, mut real) = world();
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    real.path = bin.clone().into();
    let no_args: [&str; 0] = [];
    let run = |name: &str| real.run(&Call::new(name, no_args)).unwrap_err();
    assert!(matches!(run("no-such-program"), CallError::NotFound(name) if name == "no-such-program"));
    assert!(matches!(run("/no/such/program"), CallError::NotFound(_)));
    fs::write(bin.join("plain"), "").unwrap();
    assert!(matches!(run("plain"), CallError::NotStarted { why, .. } if why.contains("may not be executed")));
    script(&bin.join("lost"), "#!/no/such/interpreter\n");
    assert!(matches!(run("lost"), CallError::NotStarted { .. }));
    fs::create_dir(bin.join("folder")).unwrap();
    assert!(matches!(run("folder"), CallError::NotFound(_)));
}

#[test]
fn a_program_that_takes_too_long_is_ended_whatever_it_thinks_of_it() {
    let (_root, real) = world();
    for stubborn in ["", "trap '' TERM; "] {
        let mut time = Duration::from_millis(100);
        // On a busy machine it may be ended before it has said who it is.
        loop {
            let call = sh(&format!("{stubborn}echo $$; while :; do sleep 0.01; done")).within(time);
            match real.run(&call).unwrap_err() {
                CallError::TimedOut { said, limit, .. } => {
                    assert_eq!(limit, time);
                    if !said.is_empty() {
                        assert!(!alive(&said), "{said} still lives");
                        break;
                    }
                }
                other => panic!("{other}"),
            }
            time *= 2;
        }
    }
}

#[test]
fn a_flood_is_no_answer_and_does_not_go_on() {
    let (_root, real) = world();
    let mut call = sh("exec yes");
    call.limit = None;
    assert!(matches!(real.run(&call), Err(CallError::TooMuch { .. })));
    // One that ends by itself before we look is no better.
    let call = sh("exec head -c 17000000 /dev/zero >&2");
    assert!(matches!(real.run(&call), Err(CallError::TooMuch { .. })));
}

#[test]
fn much_in_and_much_out_at_once() {
    let (_root, real) = world();
    let text = "0123456789abcde\n".repeat(200_000);
    let output = real.run(&sh("cat; cat /dev/null >&2").reading(text.clone())).unwrap();
    assert!(output.stdout == text, "{} bytes came back", output.stdout.len());
}

#[test]
fn what_is_not_read_is_no_failure() {
    let (_root, real) = world();
    let output = real.run(&sh("exec <&-; echo done").reading("x".repeat(1_000_000))).unwrap();
    assert_eq!((output.ended, output.stdout.as_str()), (Ended::Exit(0), "done\n"));
    // And nothing to read is an end, not a wait.
    assert_eq!(real.run(&sh("cat")).unwrap().stdout, "");
}

#[test]
fn a_child_left_behind_with_our_pipe_does_not_hold_us() {
    let (_root, real) = world();
    let output = real.run(&sh("sleep 1000 & echo $!")).unwrap();
    assert!(output.ok());
    assert!(alive(&output.stdout), "it was not ours to end");
    kill(&output.stdout);
    until(&real, "it is dead", || (!alive(&output.stdout)).then_some(()));
}
