//! Workers: this very test program, as processes of its own.

use super::*;
use crate::adapters::{Ended, Shift};

/// What a foreman heard, as words.
fn crew(real: &Real, mut jobs: Vec<Vec<&str>>) -> Vec<String> {
    let mut heard = Vec::new();
    jobs.reverse();
    real.crew(&mut |shift| match shift {
        Shift::Free => {
            if real.stopping() {
                return None;
            }
            jobs.pop().map(|argv| argv.into_iter().map(String::from).collect())
        }
        Shift::Line { who, to, line } => {
            if !line.is_empty() {
                heard.push(format!("{who} {to:?} {line}"));
            }
            None
        }
        Shift::Ended { who, code } => {
            heard.push(format!("{who} ended {code:?}"));
            None
        }
    });
    heard
}

#[test]
fn several_at_once_are_heard_line_by_line_and_to_their_end() {
    let (_root, real) = world();
    let heard = crew(&real, vec![vec!["a", "--exact", "no test has this name"], vec!["b", "--no-such-option"]]);
    assert!(heard.iter().any(|h| h.starts_with("0 Out running 0 tests")), "{heard:?}");
    assert!(heard.contains(&"0 ended Some(0)".to_string()), "{heard:?}");
    assert!(heard.iter().any(|h| h.starts_with("1 Err ") && h.contains("no-such-option")), "{heard:?}");
    assert!(heard.iter().any(|h| h.starts_with("1 ended Some(") && h != "1 ended Some(0)"), "{heard:?}");
}

#[test]
fn nothing_to_do_is_no_crew_and_nobody_begins_when_it_is_to_stop() {
    let (_root, real) = world();
    assert_eq!(crew(&real, vec![]), [] as [String; 0]);
    assert_eq!(crew(&real, vec![vec![]]), ["0 Err  could not be started: no name to be started under", "0 ended None"]);
    real.signals.pretend();
    assert_eq!(crew(&real, vec![vec!["a", "--exact", "no test has this name"]]), [] as [String; 0]);
}

/// The call waits for what is done meanwhile, and that for the call: one after the other they would never end.
#[test]
fn programs_answer_while_something_else_is_done() {
    let (root, real) = world();
    let fifo = |n: u32| root.path().join(format!("fifo{n}")).display().to_string();
    let (here, there) = (fifo(1), fifo(2));
    assert!(real.run(&sh(&format!("mkfifo {here} {there}"))).unwrap().ok());
    let calls = [sh(&format!("echo ping >{here}; read word <{there}; echo $word")), sh("exit 3")];
    let mut meanwhile = None;
    let answers = real.run_all_beside(&calls, 8, &mut || {
        meanwhile = Some(real.run(&sh(&format!("read word <{here}; echo pong >{there}; echo $word"))));
    });
    assert_eq!(meanwhile.unwrap().unwrap().stdout, "ping\n");
    assert_eq!(answers[0].as_ref().unwrap().stdout, "pong\n");
    assert_eq!(answers[1].as_ref().unwrap().ended, Ended::Exit(3));
}
