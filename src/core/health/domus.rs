//! Each domU as if it were to go now: home to its partner, or back from where it is.

use super::{Case, Finding, Level, Wanted};
use crate::core::facts::End;
use crate::core::migrate::Trip;
use crate::core::migrate::check::{self, Check, Objection};
use crate::core::names::HostName;
use crate::core::record::State;
use crate::core::table;
use std::collections::BTreeMap;

pub fn all(case: &Case<'_>, found: &mut Vec<Finding>) {
    for wanted in &case.domus {
        one(case, wanted, found);
    }
    all_at_once(case, found);
}

fn one(case: &Case<'_>, wanted: &Wanted, found: &mut Vec<Finding>) {
    let domu = &wanted.domu;
    let Some(here) = case.here.health.as_deref().and_then(|h| h.end(domu)) else { return };
    let before = found.len();
    // Where it is now decides which way it would go.
    let away = here.row.as_ref().filter(|r| matches!(r.state, State::Away | State::Passed)).map(|r| &r.host);
    let far = |host: &HostName| case.answer(host).and_then(|(_, health)| health.end(domu));
    let runs_on = wanted.partners.iter().chain(away).find(|host| far(host).is_some_and(|end| end.running().is_some()));
    match runs_on {
        Some(host) if here.copies.is_empty() => back(case, wanted, host, far(host), here, found),
        _ => {
            for (n, host) in wanted.partners.iter().enumerate() {
                there(case, wanted, host, n == 0, far(host), here, found);
            }
            if wanted.partners.is_empty() {
                let what = format!("it has no row without a fault in {}: it goes nowhere by itself", table::PATH);
                found.push(Finding::warning(domu, "table", what, format!("write a row there:  {domu}  HOST")));
            }
        }
    }
    if found[before..].iter().all(|f| f.level == Level::Ok) && found.len() == before {
        // Nobody could be asked: that was told of the peer.
        if here.running().is_some() {
            found.push(Finding::ok(domu, "domu", "nothing here objects; its partner could not be asked"));
        }
    }
}

/// From here to one of its partners. Only the first is where it goes; the others count where it may be fetched from.
fn there(
    case: &Case<'_>,
    wanted: &Wanted,
    host: &HostName,
    first: bool,
    far: Option<&End>,
    here: &End,
    found: &mut Vec<Finding>,
) {
    let domu = &wanted.domu;
    let Some(far) = far else { return };
    let before = found.len();
    let trip = Trip { own_transport: wanted.own_transport, ..Trip::to(host, case.here.now) };
    let about = format!("{domu} -> {host}");
    let runs = here.running().is_some();
    for objection in check::objections(here, Some(far), &trip, &[]) {
        // A domU that is stopped is no fault; that it is stopped is said once.
        if here.copies.is_empty() && objection.check == Check::Domu && here.unseen.is_empty() {
            continue;
        }
        found.push(finding(&about, &objection, first));
    }
    // Whoever is there without having come from us knows the way by its own table alone.
    let listed = far.listed.as_ref().is_some_and(|hosts| hosts.iter().any(|h| h.same_host(&here.host)));
    if !listed && first {
        let what = format!("the table of {host} does not list it for us: started there by hand, it cannot be sent here");
        let advice = format!("on {host}, in {}:  {domu}  {}", table::PATH, here.host);
        found.push(Finding::warning(&about, "way-back", what, advice));
    }
    if found[before..].iter().all(|f| f.level != Level::Fault) {
        let what = if runs { "could go there now" } else { "does not run here; nothing else would be in the way" };
        found.push(Finding::ok(&about, "domu", what));
    }
}

/// From where it is, home.
fn back(case: &Case<'_>, wanted: &Wanted, host: &HostName, far: Option<&End>, here: &End, found: &mut Vec<Finding>) {
    let Some(far) = far else { return };
    let before = found.len();
    let about = format!("{} <- {host}", wanted.domu);
    let trip = Trip { home: Some(here.host.clone()), ..Trip::to(&here.host, case.here.now) };
    for objection in check::objections(far, Some(here), &trip, &[]) {
        // The words "here" and "there" are those of the end that sends.
        let seen = format!("seen from {host}: {}", objection.seen);
        found.push(finding(&about, &Objection { seen, ..objection }, true));
    }
    if found.len() == before {
        found.push(Finding::ok(&about, "domu", "is there, and could come back now"));
    }
}

fn finding(about: &str, objection: &Objection, stops: bool) -> Finding {
    let word = match objection.check {
        Check::Domu => "domu",
        Check::Flight => "flight",
        Check::Host | Check::Protocol | Check::Toolstack | Check::Versions => "versions",
        Check::Busy => "busy",
        Check::Name => "name",
        Check::Drbd => "drbd",
        Check::Window => "window",
        Check::Memory => "memory",
        Check::Config => "config",
        Check::Bridges => "bridges",
        Check::Disks => "disks",
    };
    let what = format!("{}; wanted: {}", objection.seen, objection.wanted);
    match stops && objection.check != Check::Busy {
        true => Finding::fault(about, word, what, &objection.advice),
        // Somebody at work is gone tomorrow.
        false => Finding::warning(about, word, what, &objection.advice),
    }
}

/// Each of them fits; all of them may not.
fn all_at_once(case: &Case<'_>, found: &mut Vec<Finding>) {
    let mut needed: BTreeMap<&HostName, (u64, u64, Vec<&str>)> = BTreeMap::new();
    for wanted in &case.domus {
        let running = case.here.health.as_deref().and_then(|h| h.end(&wanted.domu)).and_then(End::running);
        let (Some(copy), Some(host)) = (running, wanted.partners.first()) else { continue };
        let Some(far) = case.answer(host).and_then(|(_, health)| health.end(&wanted.domu)) else { continue };
        let sum = needed.entry(host).or_insert((0, far.free_memory, vec![]));
        sum.0 += copy.domain.memory + check::MEMORY_OVERHEAD;
        sum.2.push(wanted.domu.as_str());
    }
    for (host, (sum, free, domus)) in needed {
        if sum > free && domus.len() > 1 {
            let what =
                format!("{} together need {sum} MiB, and {free} MiB are free there: not all of them can go", domus.join(", "));
            found.push(Finding::warning(host, "memory", what, "send some of them to another Dom0, or free memory there"));
        }
    }
}
