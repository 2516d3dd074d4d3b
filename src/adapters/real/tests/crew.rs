//! Workers: this very test program, as processes of its own.

use super::*;
use crate::adapters::Shift;

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
