//! `xen-migrate status ALL --fleet`: one table over all Dom0s that the table here names.
//!
//! Each is asked once, all at the same time; one that does not answer costs one line and at most its time limit.

use super::{Ended, Setting, drive};
use crate::adapters::look::LookError;
use crate::adapters::peer::{PeerError, printable};
use crate::adapters::{To, here, ssh, store, survey};
use crate::applets::exit::{Exit, Stop};
use crate::core::names::{DomuName, HostName};
use crate::core::survey::{Scope, Survey};
use crate::core::whereabouts::{Asked, DomuLine, Fleet, fleet, may_be_primary, primaries};
use serde::Serialize;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    host: &'a HostName,
    #[serde(flatten)]
    fleet: &'a Fleet,
}

/// The verb. Names narrow it to those domUs.
pub fn run(setting: Setting<'_>, words: &[String], json: bool) -> Ended {
    let mut domus: Vec<DomuName> = Vec::new();
    if !words.iter().any(|w| w == "ALL") {
        for word in words {
            let domu: DomuName = word.parse().map_err(|bad| Stop::new(Exit::Usage, format!("{bad}")))?;
            if !domus.contains(&domu) {
                domus.push(domu);
            }
        }
    }
    let (here, _, fleet) = look(setting, &domus)?;
    if json {
        say_json(setting, &here, &fleet)?;
    } else {
        missing(setting, &fleet);
        if domus.is_empty() {
            not_listed(setting, &fleet);
        }
        table(setting, &fleet.domus);
    }
    if fleet.domus.iter().any(|d| d.state == "twice") {
        return Ok(Exit::Undecided);
    }
    let unknown = domus.iter().any(|domu| !fleet.domus.iter().any(|line| &line.domu == domu));
    Ok(match (fleet.is_incomplete(), unknown) {
        (true, _) => Exit::Unreachable,
        (false, true) => Exit::Usage,
        (false, false) => Exit::Done,
    })
}

/// The answer for machines.
pub(super) fn say_json(setting: Setting<'_>, here: &Survey, fleet: &Fleet) -> Result<(), Stop> {
    let report = Report { version: 1, host: &here.host, fleet };
    let text = serde_json::to_string_pretty(&report).map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
    setting.world.say(To::Machine, &text);
    Ok(())
}

/// Asks this Dom0 and all that its table and record name. No names: for every domU, and the others are asked while this one looks. A host
/// that was not asked yet is asked in a second round where DRBD here shows it Primary. When somebody looks for certain domUs, so is every one
/// that an answer names (a domU was passed on to it), and every one that DRBD does not show Secondary: nobody starts what may run there.
pub(super) fn look(setting: Setting<'_>, domus: &[DomuName]) -> Result<(Survey, Vec<Asked>, Fleet), Stop> {
    let world = setting.world;
    let scope = Scope { domus: domus.iter().map(|d| (d.clone(), vec![])).collect(), health: false };
    let own = || survey::survey(world, setting.toolstack, &scope, None).map_err(drive::look_stop);
    if domus.is_empty() {
        let us = here::host(world)?;
        let mut here = None;
        let mut hosts = hosts(setting, &us)?;
        let mut asked = ask(setting, &us, &hosts, &scope, &mut || here = Some(own()));
        let here = here.unwrap_or_else(own)?;
        let before = hosts.len();
        primaries(&here).iter().for_each(|host| add(&mut hosts, &us, host));
        asked.extend(ask(setting, &us, &hosts[before..], &scope, &mut || {}));
        let fleet = fleet(&here, &asked, domus);
        return Ok((here, asked, fleet));
    }
    let here = own()?;
    let mut hosts = hosts(setting, &here.host)?;
    may_be_primary(&here).iter().for_each(|host| add(&mut hosts, &here.host, host));
    let asked = match ssh::has_key(world, &here.host) {
        true => hear(setting, &here, domus, hosts)
            .into_iter()
            .map(|(host, answer)| Asked { host, answer: answer.map_err(why) })
            .collect(),
        false => keyless(&hosts),
    };
    let fleet = fleet(&here, &asked, domus);
    Ok((here, asked, fleet))
}

/// Asks these hosts for certain domUs, and then whom their answers name and nobody has asked yet. The kind of each error is kept.
pub(super) fn hear(setting: Setting<'_>, here: &Survey, domus: &[DomuName], mut hosts: Vec<HostName>) -> Heard {
    // A peer without a config for it would not know which of its disks are meant.
    let known = |domu: &DomuName| here.config(domu).map(|c| c.resources.clone()).unwrap_or_default();
    let scope = Scope { domus: domus.iter().map(|d| (d.clone(), known(d))).collect(), health: false };
    let mut heard = ask_all(setting, &here.host, &hosts, &scope, &mut || {});
    let before = hosts.len();
    for survey in heard.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
        survey.rows.iter().for_each(|row| add(&mut hosts, &here.host, &row.host));
        may_be_primary(survey).iter().for_each(|host| add(&mut hosts, &here.host, host));
    }
    heard.extend(ask_all(setting, &here.host, &hosts[before..], &scope, &mut || {}));
    heard
}

/// What each host that was asked has said, or why nothing was heard of it.
pub(super) type Heard = Vec<(HostName, Result<Survey, PeerError>)>;

/// The Dom0s that the table and the record name.
pub(super) fn hosts(setting: Setting<'_>, us: &HostName) -> Result<Vec<HostName>, Stop> {
    let table = store::table(setting.world).map_err(|e| drive::look_stop(LookError::Store(e)))?;
    let record = store::record(setting.world).map_err(|e| drive::look_stop(LookError::Store(e)))?;
    let mut hosts: Vec<HostName> = Vec::new();
    for entry in &table.table.entries {
        entry.hosts.iter().for_each(|h| add(&mut hosts, us, h));
    }
    for row in &record.rows {
        [Some(&row.host), row.home.as_ref(), row.from.as_ref()].into_iter().flatten().for_each(|h| add(&mut hosts, us, h));
    }
    Ok(hosts)
}

pub(super) fn add(hosts: &mut Vec<HostName>, us: &HostName, host: &HostName) {
    if !host.same_host(us) && !hosts.iter().any(|h| h.same_host(host)) {
        hosts.push(host.clone());
    }
}

fn ask(setting: Setting<'_>, us: &HostName, hosts: &[HostName], scope: &Scope, meanwhile: &mut dyn FnMut()) -> Vec<Asked> {
    if !ssh::has_key(setting.world, us) {
        return keyless(hosts);
    }
    let heard = ask_all(setting, us, hosts, scope, meanwhile);
    heard.into_iter().map(|(host, answer)| Asked { host, answer: answer.map_err(why) }).collect()
}

/// Nobody can be asked.
fn keyless(hosts: &[HostName]) -> Vec<Asked> {
    let Some(first) = hosts.first() else { return vec![] };
    let why = format!("there is no dedicated key here; xen-migrate setup {first}");
    hosts.iter().map(|host| Asked { host: host.clone(), answer: Err(why.clone()) }).collect()
}

fn ask_all(setting: Setting<'_>, us: &HostName, hosts: &[HostName], scope: &Scope, meanwhile: &mut dyn FnMut()) -> Heard {
    if hosts.is_empty() {
        return vec![];
    }
    let wanted: Vec<(HostName, Scope)> = hosts.iter().map(|host| (host.clone(), scope.clone())).collect();
    let answers = survey::ask(setting.world, us, &wanted, meanwhile);
    hosts.iter().cloned().zip(answers).collect()
}

/// Why there is no answer; whoever reads it knows of whom.
pub(super) fn why(error: PeerError) -> String {
    match error {
        PeerError::Unreachable { said, advice, .. } => format!("{said}; try: {advice}"),
        PeerError::Refused { why, .. } if why.contains("not a request that xen-migrate understands") => {
            format!("it refused the question, as an older xen-migrate does; install the same version on both Dom0s ({why})")
        }
        other => other.to_string(),
    }
}

/// One line for each that did not answer, and for what somebody could not see himself.
pub(super) fn missing(setting: Setting<'_>, fleet: &Fleet) {
    for host in &fleet.hosts {
        if let Some(why) = &host.why {
            let one_line: Vec<&str> = why.lines().map(str::trim).collect();
            setting.world.say(To::Err, &printable(&format!("no answer from {}: {}", host.host, one_line.join("; "))));
        }
        for what in &host.unseen {
            setting.world.say(To::Err, &printable(&format!("not seen on {}: {what}", host.host)));
        }
    }
}

/// What a Dom0 that did not answer keeps to itself.
fn not_listed(setting: Setting<'_>, fleet: &Fleet) {
    let silent: Vec<&str> = fleet.hosts.iter().filter(|h| !h.answered).map(|h| h.host.as_str()).collect();
    if !silent.is_empty() {
        let text = format!("the domUs at home on {} are missing here, unless another Dom0 knows of them", silent.join(", "));
        setting.world.say(To::Err, &printable(&text));
    }
}

fn table(setting: Setting<'_>, domus: &[DomuLine]) {
    let say = |text: &str| setting.world.say(To::Out, &printable(text));
    if domus.is_empty() {
        return say("No domU on DRBD, in a table or on a record, on any Dom0 that answered.");
    }
    let mut rows = vec![["DOMU", "WHERE", "STATE", "DISKS  (there/peer)", "HOME", "SINCE"].map(|w| setting.world.word(w))];
    let dash = |text: Option<String>| text.unwrap_or("-".to_string());
    for line in domus {
        let mut disks = line.resources.iter().map(|r| r.words.clone());
        let host = match line.state {
            "twice" => dash(Some(running_on(line).join("+"))),
            _ => dash(line.host.as_ref().map(HostName::to_string)),
        };
        let home = dash(line.home.as_ref().map(HostName::to_string));
        rows.push([
            line.domu.to_string(),
            host,
            setting.world.word(line.state),
            dash(disks.next()),
            home,
            dash(line.since.clone()),
        ]);
        rows.extend(disks.map(|disk| ["", "", "", disk.as_str(), "", ""].map(String::from)));
    }
    let widths: Vec<usize> = (0..6).map(|n| rows.iter().map(|r| r[n].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        say(cells.join("  ").trim_end());
    }
    for line in domus {
        line.notes.iter().for_each(|note| say(&format!("! {}: {note}", line.domu)));
    }
}

/// The Dom0s on which it executes.
pub(super) fn running_on(line: &DomuLine) -> Vec<String> {
    line.copies.iter().filter(|c| c.name == line.domu.as_str() && c.state == "running").map(|c| c.host.to_string()).collect()
}
