//! `xen-migrate check [ALL|DOMU…] [--peer HOST]`: everything that could stop a migration tomorrow, today.
//!
//! Each peer is asked once, all at the same time, and nothing is touched. What it finds is decided in [`crate::core::health`].

use super::cli::Check as Args;
use super::{Ended, Setting, drive, fleet, status};
use crate::adapters::look::Ground;
use crate::adapters::peer::printable;
use crate::adapters::{To, ssh, survey};
use crate::applets::exit::{Exit, Stop};
use crate::core::health::{self, Case, Finding, Key, KeyState, Wanted};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::options;
use crate::core::record::{Moment, State};
use crate::core::request::scope_word;
use crate::core::survey::{Scope, Survey};
use crate::core::table;
use crate::core::whereabouts::Asked;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// A request has at most 4096 characters; what stands in front of the names has room in the rest.
const MOST_WORDS: usize = 3500;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    host: &'a HostName,
    findings: &'a [Finding],
}

/// The verb. Exit 3: a migration would be refused or fail; 4: the only faults are peers that could not be asked; else 0.
pub fn run(setting: Setting<'_>, args: &Args) -> Ended {
    let world = setting.world;
    let ground = drive::ground(setting)?;
    let named = names(setting, &ground, &args.domus)?;
    let mut domus: Vec<Wanted> = named.into_iter().map(|domu| wanted(&ground, domu)).collect();
    if let Some(peer) = &args.peer {
        domus.retain(|w| w.partners.iter().any(|h| h.same_host(peer)) || at(&ground, &w.domu).is_some_and(|h| h.same_host(peer)));
    }
    let everything = args.domus.is_empty() || args.domus.iter().any(|w| w == "ALL");
    let hosts = hosts(&ground, &domus, args.peer.as_ref(), everything);
    let scope = Scope { domus: domus.iter().map(|w| (w.domu.clone(), vec![])).collect(), health: true };
    let here = survey::survey(world, setting.toolstack, &scope, None).map_err(drive::look_stop)?;
    let ends = here.health.iter().flat_map(|health| &health.ends);
    let all: Vec<(DomuName, Vec<ResourceName>)> =
        ends.map(|end| (end.domu.clone(), end.resources().cloned().collect())).collect();
    let began = Moment::from(world.now()).0;
    let known = |w: &Wanted, host: &HostName| {
        w.partners.iter().any(|h| h.same_host(host)) || at(&ground, &w.domu).is_some_and(|h| h.same_host(host))
    };
    let mut asked = ask(setting, &ground, &hosts, &domus, &all, &known);
    if args.peer.is_none() {
        follow(setting, &ground, &domus, &all, &mut asked);
    }
    let (table, table_of_others) = faults(setting, &ground, everything, &domus);
    let case = Case {
        here: &here,
        key: key(setting, &ground.host),
        table,
        table_of_others,
        has_table: !ground.table.missing,
        asked: &asked,
        between: (began, Moment::from(world.now()).0),
        domus,
    };
    let found = health::findings(&case);
    if args.json {
        let report = Report { version: 1, host: &here.host, findings: &found };
        let text = serde_json::to_string_pretty(&report).map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
        world.say(To::Machine, &text);
    } else {
        tell(setting, &found);
    }
    Ok(match (health::is_stopped(&found), health::is_blind(&found)) {
        (true, _) => Exit::Refused,
        (false, true) => Exit::Unreachable,
        (false, false) => Exit::Done,
    })
}

/// The domUs in question: those that were named, or every one of the table and of the record.
fn names(setting: Setting<'_>, ground: &Ground, words: &[String]) -> Result<Vec<DomuName>, Stop> {
    let mut domus: Vec<DomuName> = Vec::new();
    if words.is_empty() || words.iter().any(|w| w == "ALL") {
        domus.extend(ground.table.table.entries.iter().map(|e| e.domu.clone()));
        for row in &ground.record.rows {
            if !domus.contains(&row.domu) {
                domus.push(row.domu.clone());
            }
        }
        return Ok(domus);
    }
    for word in words {
        let domu: DomuName = word.parse().map_err(|bad| Stop::new(Exit::Usage, format!("{bad}")))?;
        if !ground.knows(setting.world, &domu) {
            return Err(status::unknown(domu.as_str()));
        }
        if !domus.contains(&domu) {
            domus.push(domu);
        }
    }
    Ok(domus)
}

/// The Dom0 that it went to, or came from.
fn at<'a>(ground: &'a Ground, domu: &DomuName) -> Option<&'a HostName> {
    ground.record.row(domu).map(|row| &row.host)
}

/// A visitor's partner is its home, whatever the table here says of it.
fn wanted(ground: &Ground, domu: DomuName) -> Wanted {
    let entry = ground.table.table.entry(&domu);
    let options = entry.and_then(|e| options::check(ground.toolstack, &e.options).ok());
    let mut partners: Vec<HostName> = entry.map(|e| e.hosts.clone()).unwrap_or_default();
    if let Some(home) = ground.record.row(&domu).and_then(|row| row.home.clone())
        && !partners.iter().any(|h| h.same_host(&home))
    {
        partners.insert(0, home);
    }
    partners.retain(|host| !host.same_host(&ground.host));
    Wanted { domu, partners, own_transport: options.is_some_and(|o| o.own_transport) }
}

/// The peers in question: all that the table and the record name, or those of these domUs, or one.
fn hosts(ground: &Ground, domus: &[Wanted], only: Option<&HostName>, everything: bool) -> Vec<HostName> {
    let mut hosts: Vec<HostName> = only.into_iter().cloned().collect();
    let mut add = |host: &HostName| {
        if !host.same_host(&ground.host) && !hosts.iter().any(|h| h.same_host(host)) && only.is_none() {
            hosts.push(host.clone());
        }
    };
    domus.iter().for_each(|w| w.partners.iter().for_each(&mut add));
    domus.iter().filter_map(|w| at(ground, &w.domu)).for_each(&mut add);
    if everything {
        ground.table.table.entries.iter().flat_map(|e| &e.hosts).for_each(&mut add);
    }
    hosts
}

/// A domU that was passed on is looked at where it went, however far that is: each Dom0 is asked once.
fn follow(
    setting: Setting<'_>,
    ground: &Ground,
    domus: &[Wanted],
    known: &[(DomuName, Vec<ResourceName>)],
    asked: &mut Vec<Asked>,
) {
    let mut trail: Vec<(DomuName, HostName)> = Vec::new();
    loop {
        let before = trail.len();
        let rows = asked.iter().filter_map(|a| a.answer.as_ref().ok()).flat_map(|survey| &survey.rows);
        for row in rows.filter(|row| row.state == State::Passed && at(ground, &row.domu).is_some()) {
            let there = asked.iter().find(|a| a.host.same_host(&row.host));
            let known = there.is_some_and(|a| match &a.answer {
                Ok(survey) => survey.health.iter().flat_map(|h| &h.ends).any(|end| end.domu == row.domu),
                Err(_) => true,
            });
            let step = (row.domu.clone(), row.host.clone());
            if !known && !row.host.same_host(&ground.host) && !trail.contains(&step) {
                trail.push(step);
            }
        }
        let mut hosts: Vec<HostName> = Vec::new();
        for (_, host) in &trail[before..] {
            if !hosts.iter().any(|h| h.same_host(host)) {
                hosts.push(host.clone());
            }
        }
        if hosts.is_empty() {
            return;
        }
        let passed = |w: &Wanted, host: &HostName| trail[before..].iter().any(|(domu, h)| domu == &w.domu && h.same_host(host));
        for more in ask(setting, ground, &hosts, domus, known, &passed) {
            add(asked, more);
        }
    }
}

/// Asks each peer about the domUs that concern it, in as many requests as their names need, and puts its answers together.
fn ask(
    setting: Setting<'_>,
    ground: &Ground,
    hosts: &[HostName],
    domus: &[Wanted],
    known: &[(DomuName, Vec<ResourceName>)],
    concerns: &dyn Fn(&Wanted, &HostName) -> bool,
) -> Vec<Asked> {
    let no_key = !ssh::has_key(setting.world, &ground.host);
    let mut wanted: Vec<(HostName, Scope)> = Vec::new();
    for host in hosts.iter().filter(|_| !no_key) {
        let mut scope = Scope { domus: vec![], health: true };
        let mut length = 0;
        for (wish, (domu, names)) in domus.iter().zip(known).filter(|(w, _)| concerns(w, host)) {
            debug_assert_eq!(&wish.domu, domu);
            let word = scope_word(domu, names).len() + 1;
            if length + word > MOST_WORDS {
                wanted.push((host.clone(), std::mem::replace(&mut scope, Scope { domus: vec![], health: true })));
                length = 0;
            }
            length += word;
            scope.domus.push((domu.clone(), names.clone()));
        }
        wanted.push((host.clone(), scope));
    }
    let answers = survey::ask(setting.world, &ground.host, &wanted, &mut || {});
    let mut all: Vec<Asked> = Vec::new();
    for ((host, _), answer) in wanted.into_iter().zip(answers) {
        add(&mut all, Asked { host, answer: answer.map_err(fleet::why) });
    }
    let why = || "there is no dedicated key here; try: ".to_string();
    all.extend(
        hosts
            .iter()
            .filter(|_| no_key)
            .map(|host| Asked { host: host.clone(), answer: Err(why() + &format!("xen-migrate setup {host}")) }),
    );
    all
}

fn add(all: &mut Vec<Asked>, more: Asked) {
    match all.iter_mut().find(|a| a.host.same_host(&more.host)) {
        Some(before) => join(&mut before.answer, more.answer),
        None => all.push(more),
    }
}

/// Two answers of one peer about different domUs. One that is missing leaves the whole unknown.
fn join(before: &mut Result<Survey, String>, more: Result<Survey, String>) {
    match (before.as_mut(), more) {
        (Ok(survey), Ok(more)) => {
            survey.rows.extend(more.rows);
            survey.configs.extend(more.configs);
            survey.listed.extend(more.listed);
            survey.domains.extend(more.domains);
            if let (Some(health), Some(more)) = (&mut survey.health, more.health) {
                health.ends.extend(more.ends);
                health.resources.extend(more.resources);
            }
        }
        (Ok(_), Err(why)) => *before = Err(why),
        (Err(_), _) => {}
    }
}

/// The faults of the table: of all rows, or of those of these domUs, and in how many other rows there are some.
fn faults(setting: Setting<'_>, ground: &Ground, everything: bool, domus: &[Wanted]) -> (Vec<String>, usize) {
    let table = &ground.table.table;
    let faults = status::faults(setting, ground);
    let ours = |line: u32| {
        let of = |w: &Wanted| table.entry(&w.domu).map(|e| e.line) == Some(line) || table.faulty_line(&w.domu) == Some(line);
        domus.iter().any(of)
    };
    let (told, others): (Vec<_>, Vec<_>) = faults.iter().partition(|f| everything || ours(f.line));
    let others: BTreeSet<u32> = others.iter().map(|f| f.line).collect();
    (told.iter().map(|f| f.render(table::PATH, &ground.table.text)).collect(), others.len())
}

fn key(setting: Setting<'_>, us: &HostName) -> Key {
    let world = setting.world;
    let path = ssh::key(us);
    let state = match world.access(Path::new(&path)) {
        _ if !ssh::has_key(world, us) => KeyState::Missing,
        Ok(access) if access.foreign => KeyState::Foreign,
        Ok(access) if access.mode & 0o077 != 0 => KeyState::Mode(access.mode),
        _ if ssh::has_passphrase(world, us) => KeyState::Passphrase,
        Ok(access) => KeyState::Mode(access.mode),
        Err(_) => KeyState::Unseen,
    };
    Key { path, state }
}

/// One line each.
fn tell(setting: Setting<'_>, found: &[Finding]) {
    let width = found.iter().map(|f| f.about.chars().count()).max().unwrap_or(0);
    // Wide enough for every level in English; another language may need more.
    let levels = found.iter().map(|f| setting.world.word(&f.level.to_string()).chars().count()).max().unwrap_or(0).max(7);
    for finding in found {
        let advice = finding.advice.as_ref().map_or(String::new(), |advice| format!("; try: {advice}"));
        let what = finding.what.replace('\n', "; ");
        let level = setting.world.word(&finding.level.to_string());
        // What it is about is a name, or else the very thing that is checked.
        let about = if finding.about == finding.check { setting.world.word(&finding.about) } else { finding.about.clone() };
        let line = format!("{level:<levels$}  {about:<width$}  {what}{}", advice.replace('\n', "; "));
        setting.world.say(To::Out, &printable(line.trim_end()));
    }
}
