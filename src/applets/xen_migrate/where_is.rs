//! `xen-migrate where DOMU`: on which Dom0 of the fleet it is, in one sentence.

use super::fleet::running_on;
use super::{Ended, Setting, fleet};
use crate::adapters::To;
use crate::adapters::peer::printable;
use crate::applets::exit::Exit;
use crate::core::names::DomuName;
use crate::core::whereabouts::{DomuLine, Fleet};

/// The verb. Exit 0: it is somewhere, and that was seen; 1: nowhere; 4: not seen, and not all could be asked; 5: it runs twice.
pub fn run(setting: Setting<'_>, domu: &DomuName, json: bool) -> Ended {
    let (here, _, fleet) = fleet::look(setting, std::slice::from_ref(domu))?;
    let line = fleet.domus.iter().find(|line| &line.domu == domu);
    if json {
        fleet::say_json(setting, &here, &fleet)?;
    } else {
        let say = |text: &str| setting.world.say(To::Out, &printable(text));
        fleet::missing(setting, &fleet);
        say(&sentence(domu, line, &fleet));
        for resource in line.iter().flat_map(|l| &l.resources) {
            say(&format!("  {}   (seen on {})", resource.words, resource.seen_on));
        }
        for note in line.iter().flat_map(|l| &l.notes) {
            say(&format!("! {domu}: {note}"));
        }
    }
    Ok(match line.map(|l| l.state) {
        Some("twice") => Exit::Undecided,
        Some("unseen" | "unknown") => Exit::Unreachable,
        Some("absent") => Exit::Failed,
        Some(_) => Exit::Done,
        None if fleet.is_incomplete() => Exit::Unreachable,
        None => Exit::Usage,
    })
}

fn sentence(domu: &DomuName, line: Option<&DomuLine>, fleet: &Fleet) -> String {
    let asked = if fleet.is_incomplete() { "any Dom0 that answered" } else { "any Dom0 of the table" };
    let Some(line) = line else {
        return format!("{domu}: no table, record, domain or config file on {asked} has that name");
    };
    let home = match (&line.home, &line.host) {
        (Some(home), Some(host)) if home.same_host(host) => ", its home".to_string(),
        (Some(home), _) => format!("; its home is {home}"),
        (None, _) => String::new(),
    };
    match (line.state, &line.host) {
        ("twice", _) => format!("{domu} RUNS TWICE: on {}", running_on(line).join(" and ")),
        ("unseen", Some(host)) if fleet.hosts.iter().any(|h| h.host.same_host(host)) => {
            format!("{domu} was not seen; as far as is known it is on {host}, which did not answer{home}")
        }
        ("unseen", Some(host)) => format!("{domu} was not seen; as far as is known it is on {host}, which was not asked{home}"),
        ("unseen", None) if fleet.is_incomplete() => {
            format!("{domu} was not seen; a Dom0 that did not answer has its disks Primary{home}")
        }
        ("unseen", None) => format!("{domu} was not seen; a Dom0 that was not asked has its disks Primary{home}"),
        ("unknown", _) => format!("{domu} is on no Dom0 that answered{home}"),
        ("left over", Some(host)) => format!("{domu} does not run; a copy that a migration left is on {host}{home}"),
        (state, Some(host)) => format!("{domu} is {state} on {host}{home}"),
        (_, None) => format!("{domu} runs nowhere{home}"),
    }
}
