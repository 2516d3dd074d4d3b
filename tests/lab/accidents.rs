//! A story is broken before each of its events in turn, in each of several ways, and the bad ends are told together.

use std::fmt::Debug;
use std::ops::Range;

/// A bad end: what is wrong, and the whole story.
pub struct BadEnd {
    pub why: String,
    pub journal: String,
}

/// Plays every accident: `accident` breaks the story before an event in one way, and judges. At least so many must have been played.
///
/// To look at one alone: `ONLY="57 Cut" cargo test --test FILE NAME -- --nocapture`.
pub fn walk<W: Copy + Debug>(
    what: &str,
    events: Range<u64>,
    ways: &[W],
    least: u32,
    accident: impl Fn(u64, W) -> Result<(), BadEnd>,
) {
    let mut failures = Vec::new();
    let mut broken = 0;
    let only = std::env::var("ONLY").ok();
    for event in events {
        for &way in ways {
            if only.as_ref().is_some_and(|only| *only != format!("{event} {way:?}")) {
                continue;
            }
            broken += 1;
            if let Err(bad) = accident(event, way) {
                failures.push((event, way, bad));
            }
        }
    }
    assert!(broken > least || only.is_some());
    if let Some((event, way, BadEnd { why, journal })) = failures.first() {
        let list: Vec<String> = failures.iter().map(|(event, way, bad)| format!("  #{event} {way:?}: {}", bad.why)).collect();
        panic!(
            "{} of {broken} ways to break {what} end badly:\n{}\n\nthe first, {way:?} before #{event}: {why}\n{journal}",
            failures.len(),
            list.join("\n")
        );
    }
}
