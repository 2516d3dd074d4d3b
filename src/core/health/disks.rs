//! DRBD's options: what the files say, what is in force, and what DRBD does about a split brain by itself.
//!
//! One line for each thing that is wrong and each Dom0, with all resources that it concerns.

use super::{Case, Finding, Level};
use crate::core::drbd::Generation;
use crate::core::facts::ReplicaSeen;
use crate::core::survey::{AfterSplitBrain, Health, Survey};

pub fn all(case: &Case<'_>, found: &mut Vec<Finding>) {
    for (survey, health) in case.seen() {
        let before = found.len();
        let there = if survey.host == case.here.host { String::new() } else { format!("on {}: ", survey.host) };
        in_force(survey, health, &there, found);
        in_the_files(survey, health, &there, found);
        split_brain(survey, health, found);
        // What is open for a journey is told with its domU.
        let journey = health.resources.iter().any(|r| r.replica.is_up() && r.is_changed());
        if found[before..].iter().all(|f| f.level == Level::Ok) && !health.resources.is_empty() && !journey {
            let names: Vec<&str> = health.resources.iter().map(|r| r.replica.resource.as_str()).collect();
            let what = format!("{}: the options of drbd.conf are in force, and none of them is dangerous", names.join(", "));
            found.push(Finding::ok(&survey.host, "options", what));
        }
    }
    differences(case, found);
}

/// `a, b` of those resources of which it is true; `None` where it is of none.
fn those<'a>(resources: &'a [ReplicaSeen], is: impl Fn(&&'a ReplicaSeen) -> bool) -> Option<Vec<&'a str>> {
    let names: Vec<&str> = resources.iter().filter(is).map(|r| r.replica.resource.as_str()).collect();
    (!names.is_empty()).then_some(names)
}

/// What is in force and not in the file, while nobody is at work.
fn in_force(survey: &Survey, health: &Health, there: &str, found: &mut Vec<Finding>) {
    let host = &survey.host;
    let at_work = |seen: &ReplicaSeen| {
        let end = health.ends.iter().find(|end| end.replica(&seen.replica.resource).is_some());
        end.is_some_and(|end| end.busy.is_some() || end.receiving.is_some())
    };
    // What the record knows of is an objection of its domU's own.
    let recorded = |seen: &ReplicaSeen| survey.rows.iter().any(|row| row.open.contains(&seen.replica.resource));
    let quiet = |seen: &&ReplicaSeen| seen.replica.is_up() && !at_work(seen) && !recorded(seen);
    let open = |r: &&ReplicaSeen| quiet(r) && r.is_open() && !r.configured.options.two_primaries;
    if let Some(names) = those(&health.resources, open) {
        let what = format!("{}: two Primaries are allowed at run time, and no migration is on the record", names.join(", "));
        found.push(Finding::warning(host, "window", what, format!("{there}drbdadm adjust {}", names.join(" "))));
    }
    let other = |r: &&ReplicaSeen| quiet(r) && !open(r) && r.options.is_some() && r.is_changed();
    if let Some(names) = those(&health.resources, other) {
        let what = format!("{}: the options in force are not those of drbd.conf", names.join(", "));
        found.push(Finding::warning(host, "window", what, format!("{there}drbdadm adjust {}", names.join(" "))));
    }
    if let Some(names) = those(&health.resources, |r| quiet(r) && r.options.is_none()) {
        let what = format!("{}: the options in force could not be read", names.join(", "));
        found.push(Finding::warning(host, "window", what, format!("{there}drbdsetup show {}", names.join(" "))));
    }
    if let Some(names) = those(&health.resources, |r| !r.replica.is_up()) {
        let what = format!("{}: not up", names.join(", "));
        found.push(Finding::fault(host, "drbd", what, format!("{there}drbdadm up {}", names.join(" "))));
    }
}

fn in_the_files(survey: &Survey, health: &Health, there: &str, found: &mut Vec<Finding>) {
    let host = &survey.host;
    let old = health.generation == Some(Generation::V83);
    // What 8.3 cannot do at run time its file must: that it does not is an objection of the domU's own.
    if let Some(names) = those(&health.resources, |r| !old && r.configured.options.two_primaries) {
        let what = format!(
            "{}: drbd.conf allows two Primaries for ever: DRBD does not stop a second start, and every lost link is a split brain",
            names.join(", ")
        );
        let advice =
            format!("take `allow-two-primaries` out of it on both Dom0s, then {there}drbdadm adjust {}", names.join(" "));
        found.push(Finding::warning(host, "two-primaries", what, advice));
    }
    if let Some(names) = those(&health.resources, |r| !r.configured.options.fencing.guards()) {
        let what = match old {
            true => format!(
                "{}: no fencing in drbd.conf, and DRBD 8.3 cannot set it at run time: two Dom0s that are cut off may both start the domU",
                names.join(", ")
            ),
            false => {
                format!("{}: no fencing in drbd.conf: whoever is cut off may become Primary by hand or at boot", names.join(", "))
            }
        };
        let section = if health.generation == Some(Generation::V9) { "net" } else { "disk" };
        let advice = format!(
            "`{section} {{ fencing resource-only; }}` in it on both Dom0s, then {there}drbdadm adjust {}",
            names.join(" ")
        );
        found.push(Finding::warning(host, "fencing", what, advice));
    }
}

/// What DRBD does under a policy without asking (drbd.conf(5), `after-sb-0pri` and its sisters), and whether writes can be lost by it.
/// `unasked` is what this resource's `after-sb-0pri` says: two of the others follow it.
fn judged(set: &AfterSplitBrain, unasked: &str) -> (Level, &'static str) {
    let harmless = matches!(unasked, "disconnect" | "discard-zero-changes");
    match set.policy.as_str() {
        "discard-zero-changes" => (Level::Ok, "only an end that has written nothing gives way"),
        "consensus" | "violently-as0p" if harmless => {
            (Level::Ok, "it follows after-sb-0pri, under which only an end that has written nothing gives way")
        }
        "consensus" => (Level::Warning, "it follows after-sb-0pri, under which writes are thrown away"),
        "violently-as0p" => (Level::Warning, "it follows after-sb-0pri, and may change a running domU's disk under it"),
        "discard-younger-primary" => (Level::Warning, "what the end that became Primary last has written is thrown away"),
        "discard-older-primary" => (Level::Warning, "what the end that became Primary first has written is thrown away"),
        "discard-least-changes" => (Level::Warning, "what the end with fewer changed blocks has written is thrown away"),
        "discard-secondary" => (Level::Warning, "what the end that is Secondary just then has written is thrown away"),
        "call-pri-lost-after-sb" => (Level::Warning, "the Dom0 that is to give way calls a handler, which mostly reboots it"),
        policy if policy.starts_with("discard-node-") => (Level::Warning, "what that node has written is thrown away"),
        _ => (Level::Warning, "what it throws away is not known to this version"),
    }
}

fn split_brain(survey: &Survey, health: &Health, found: &mut Vec<Finding>) {
    let ours = |s: &&AfterSplitBrain| health.resources.iter().any(|r| r.replica.resource == s.resource);
    let unasked = |set: &AfterSplitBrain| {
        let zero = health.after_split_brain.iter().find(|s| s.resource == set.resource && s.option == "after-sb-0pri");
        zero.map_or("disconnect", |s| s.policy.as_str())
    };
    // Of each setting with the same outcome one line.
    let mut lines: Vec<(&str, &str, Level, &str, Vec<&str>)> = Vec::new();
    for set in health.after_split_brain.iter().filter(ours) {
        let (level, lost) = judged(set, unasked(set));
        let same = |l: &&mut (&str, &str, Level, &str, Vec<&str>)| (l.0, l.1, l.3) == (&set.option, &set.policy, lost);
        match lines.iter_mut().find(same) {
            Some(line) => line.4.push(set.resource.as_str()),
            None => lines.push((&set.option, &set.policy, level, lost, vec![set.resource.as_str()])),
        }
    }
    for (option, policy, level, lost, names) in lines {
        let what = format!("{}: {option} {policy}: after a split brain, without asking: {lost}", names.join(", "));
        let advice = format!("`{option} disconnect;` in drbd.conf on both Dom0s, then drbdadm adjust {}", names.join(" "));
        found.push(match level {
            Level::Ok => Finding::ok(&survey.host, "after-sb", what),
            _ => Finding::warning(&survey.host, "after-sb", what, advice),
        });
    }
}

/// DRBD compares these when it connects, and refuses ends that differ (`drbd_receiver.c`, `receive_protocol`).
fn differences(case: &Case<'_>, found: &mut Vec<Finding>) {
    let Some(own) = case.here.health.as_deref() else { return };
    let of = |health: &Health, name: &str| -> Vec<(String, String)> {
        let ours = health.after_split_brain.iter().filter(|s| s.resource.as_str() == name);
        ours.map(|s| (s.option.clone(), s.policy.clone())).collect()
    };
    for (survey, health) in case.seen().into_iter().skip(1) {
        for seen in &own.resources {
            let name = seen.replica.resource.as_str();
            if health.resources.iter().any(|r| r.replica.resource.as_str() == name) && of(own, name) != of(health, name) {
                let what = format!("{name}: after-sb-… differ between the two drbd.conf: DRBD refuses to connect the next time");
                found.push(Finding::fault(
                    &survey.host,
                    "after-sb",
                    what,
                    "make the two files the same, then `drbdadm adjust` on both",
                ));
            }
        }
    }
}
