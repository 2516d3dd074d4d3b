//! What we say to DRBD's programs: one function for each sentence, the limit it has, and the dialects.
//!
//! drbdadm waits 121 s for a promotion in 8.3 and up to 600 s in later versions (facts §4.1), so the limits here are ours.
//! Options stand behind the command where every dialect takes them there.

use super::show::strength;
use crate::adapters::Call;
use crate::core::drbd::{Fencing, Generation, Options};
use crate::core::names::ResourceName;
use std::time::Duration;
use thiserror::Error;

/// A question to the kernel or about the files; drbdadm itself gives up on a short question after 5 s.
const QUERY: Duration = Duration::from_secs(10);
/// An option, a connection: the kernel may have to ask the peer.
const CHANGE: Duration = Duration::from_secs(30);
/// A role: the kernel tries again after its ping timeout, fencing handlers run meanwhile.
const ROLE: Duration = Duration::from_secs(150);

/// The version of the module that drbdadm has found.
pub fn version() -> Call {
    Call::new("drbdadm", ["--version"]).within(QUERY)
}

/// The present state of everything that is up (8.4.6 and later).
pub fn events2_now() -> Call {
    Call::new("drbdsetup", ["events2", "--now"]).within(QUERY)
}

/// The present state and then every change, for as long as somebody listens.
pub fn events2() -> Call {
    let mut call = Call::new("drbdsetup", ["events2"]);
    call.limit = None;
    call
}

/// All of the operator's files. `--dry-run` makes the dump complete, and possible before the network is up (see `config.rs`).
pub fn dump_xml() -> Call {
    Call::new("drbdadm", ["dump-xml", "--dry-run"]).within(QUERY)
}

/// The options in force for one resource (8.4 and 9).
pub fn show(resource: &ResourceName) -> Call {
    Call::new("drbdsetup", ["show", resource.as_str()]).within(QUERY)
}

/// The options in force for every resource that is up (8.4 and 9): without a name it means all of them (drbdsetup(8), `show`).
pub fn show_all() -> Call {
    Call::new("drbdsetup", ["show"]).within(QUERY)
}

/// The options in force for one minor (8.3).
pub fn show_minor(minor: u32) -> Call {
    Call::new("drbdsetup", [minor.to_string(), "show".to_string()]).within(QUERY)
}

/// Become Primary.
pub fn promote(resource: &ResourceName) -> Call {
    Call::new("drbdadm", ["primary", resource.as_str()]).within(ROLE).as_deed()
}

/// Become Primary whatever the disk says and whatever guards it: for a person's explicit wish only.
///
/// 8.3 has another word for it, in front and behind `--`; a `--force` it drops without a word (`drbdadm -d`, 8.3).
pub fn promote_by_force(generation: Generation, resource: &ResourceName) -> Call {
    let call = match generation {
        Generation::V83 => Call::new("drbdadm", ["--", "--overwrite-data-of-peer", "primary", resource.as_str()]),
        Generation::V84 | Generation::V9 => Call::new("drbdadm", ["primary", "--force", resource.as_str()]),
    };
    call.within(ROLE).as_deed()
}

/// Become Secondary.
pub fn demote(resource: &ResourceName) -> Call {
    Call::new("drbdadm", ["secondary", resource.as_str()]).within(ROLE).as_deed()
}

/// Connect to the peers.
pub fn connect(resource: &ResourceName) -> Call {
    Call::new("drbdadm", ["connect", resource.as_str()]).within(CHANGE).as_deed()
}

/// Leave the peers, and stay away from them.
pub fn disconnect(resource: &ResourceName) -> Call {
    Call::new("drbdadm", ["disconnect", resource.as_str()]).within(CHANGE).as_deed()
}

/// Make everything as the files have it: brings up, connects, and takes back what was set at run time.
pub fn adjust(resource: &ResourceName) -> Call {
    Call::new("drbdadm", ["adjust", resource.as_str()]).within(ROLE).as_deed()
}

/// DRBD 9: both options in one call. A call resends the file's other options and would undo the one before
/// (`recorded-drbd9.md`, 1).
pub fn both_options(resource: &ResourceName, wanted: &Options) -> Call {
    let fencing = format!("--fencing={}", wanted.fencing);
    let two_primaries = two_primaries_word(wanted.two_primaries);
    Call::new("drbdadm", ["net-options", &fencing, two_primaries, resource.as_str()]).within(CHANGE).as_deed()
}

/// DRBD 8.4: whether two Primaries are allowed. Reaches a connected peer by itself.
pub fn two_primaries(resource: &ResourceName, wanted: bool) -> Call {
    Call::new("drbdadm", ["net-options", two_primaries_word(wanted), resource.as_str()]).within(CHANGE).as_deed()
}

/// DRBD 8.4: the fencing policy of this side, for all volumes.
pub fn fencing(resource: &ResourceName, wanted: &Fencing) -> Call {
    let fencing = format!("--fencing={wanted}");
    Call::new("drbdadm", ["disk-options", &fencing, resource.as_str()]).within(CHANGE).as_deed()
}

/// The calls that lead from the present options to the wanted ones: none when they are the same.
///
/// On 8.4 what protects is set before what permits.
pub fn set_options(
    generation: Generation,
    resource: &ResourceName,
    wanted: &Options,
    present: &Options,
) -> Result<Vec<Call>, NotAtRunTime> {
    if wanted == present {
        return Ok(vec![]);
    }
    match generation {
        Generation::V9 => Ok(vec![both_options(resource, wanted)]),
        Generation::V83 => Err(NotAtRunTime::new(resource, wanted)),
        Generation::V84 => {
            let mut calls = vec![];
            if wanted.fencing != present.fencing {
                calls.push(fencing(resource, &wanted.fencing));
            }
            if wanted.two_primaries != present.two_primaries {
                calls.push(two_primaries(resource, wanted.two_primaries));
            }
            let relaxes = strength(&wanted.fencing) < strength(&present.fencing);
            if relaxes && !wanted.two_primaries {
                calls.reverse();
            }
            Ok(calls)
        }
    }
}

/// DRBD 8.3 takes these options from drbd.conf only.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("DRBD 8.3 takes these options from drbd.conf only: {}, then drbdadm adjust {resource}", .lines.join(" "))]
pub struct NotAtRunTime {
    /// The resource.
    pub resource: ResourceName,
    /// The lines of drbd.conf that say what was wanted.
    pub lines: Vec<String>,
}

impl NotAtRunTime {
    fn new(resource: &ResourceName, wanted: &Options) -> NotAtRunTime {
        let net = if wanted.two_primaries {
            "net { allow-two-primaries; }"
        } else {
            // An option that is on has no value, so there is none to switch it off with.
            "net { } without allow-two-primaries"
        };
        let lines = vec![
            format!("resource {resource} {{"),
            format!("disk {{ fencing {}; }}", wanted.fencing),
            net.to_string(),
            "}".into(),
        ];
        NotAtRunTime { resource: resource.clone(), lines }
    }
}

fn two_primaries_word(wanted: bool) -> &'static str {
    if wanted { "--allow-two-primaries=yes" } else { "--allow-two-primaries=no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn r0() -> ResourceName {
        "r0".parse().unwrap()
    }

    fn options(two_primaries: bool, fencing: Fencing) -> Options {
        Options { two_primaries, fencing }
    }

    fn set(generation: Generation, wanted: &Options, present: &Options) -> Vec<String> {
        set_options(generation, &r0(), wanted, present).unwrap().iter().map(Call::to_string).collect()
    }

    #[test]
    fn force_has_another_word_in_83() {
        let words = |generation| promote_by_force(generation, &r0()).to_string();
        assert_eq!(words(Generation::V83), "drbdadm -- --overwrite-data-of-peer primary r0");
        assert_eq!(words(Generation::V84), "drbdadm primary --force r0");
        assert_eq!(words(Generation::V9), "drbdadm primary --force r0");
    }

    #[test]
    fn in_9_both_options_are_in_every_call() {
        let (open, guard) = (options(true, Fencing::DontCare), options(false, Fencing::ResourceOnly));
        let both = ["drbdadm net-options --fencing=resource-only --allow-two-primaries=no r0"];
        assert_eq!(set(Generation::V9, &guard, &open), both);
        assert_eq!(set(Generation::V9, &guard, &options(true, Fencing::ResourceOnly)), both, "also when one is right already");
        assert!(set(Generation::V9, &guard, &guard).is_empty());
    }

    #[test]
    fn in_84_only_what_differs_is_set_and_what_protects_comes_first() {
        let (open, guard) = (options(true, Fencing::DontCare), options(false, Fencing::ResourceOnly));
        assert_eq!(
            set(Generation::V84, &guard, &open),
            ["drbdadm disk-options --fencing=resource-only r0", "drbdadm net-options --allow-two-primaries=no r0"]
        );
        assert_eq!(
            set(Generation::V84, &options(true, Fencing::ResourceOnly), &guard),
            ["drbdadm net-options --allow-two-primaries=yes r0"]
        );
        assert_eq!(
            set(Generation::V84, &options(false, Fencing::DontCare), &options(true, Fencing::ResourceOnly)),
            ["drbdadm net-options --allow-two-primaries=no r0", "drbdadm disk-options --fencing=dont-care r0"]
        );
        assert!(set(Generation::V84, &open, &open).is_empty());
    }

    #[test]
    fn in_83_the_lines_of_the_file_are_named_unless_they_are_there() {
        let guard = options(false, Fencing::ResourceOnly);
        assert!(set(Generation::V83, &guard, &guard).is_empty());
        let refusal = set_options(Generation::V83, &r0(), &guard, &Options::default()).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains("fencing resource-only;") && text.contains("without allow-two-primaries"), "{text}");
        assert!(text.ends_with("then drbdadm adjust r0"), "{text}");
    }

    #[test]
    fn every_call_but_the_stream_ends() {
        let limits = [version(), events2_now(), dump_xml(), show(&r0()), show_minor(0)].map(|call| call.limit);
        assert!(limits.iter().all(|limit| *limit == Some(QUERY)));
        assert_eq!(promote(&r0()).limit, Some(ROLE));
        assert_eq!(demote(&r0()).limit, Some(ROLE));
        assert_eq!(events2().limit, None);
    }
}
