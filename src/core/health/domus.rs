//! Each domU as if it were to go now: to every Dom0 of its row, or back from where it is.
//!
//! What is told here is what the migration itself would refuse ([`crate::core::migrate::check`]), and nothing beside. A partner needs no
//! row for a domU of ours: what arrives there is known by its record, and goes home again by that.

use super::{Case, Finding, KeyState, Wanted};
use crate::core::facts::{End, failover};
use crate::core::fleet::{Choice, Plan, Target, Wish};
use crate::core::migrate::Trip;
use crate::core::migrate::check::{self, Check, Objection};
use crate::core::names::HostName;
use crate::core::record::State;
use crate::core::table;

pub fn all(case: &Case<'_>, found: &mut Vec<Finding>) {
    for wanted in &case.domus {
        if let Some(here) = case.own(wanted) {
            one(case, wanted, here, found);
        }
    }
    all_at_once(case, found);
}

fn one(case: &Case<'_>, wanted: &Wanted, here: &End, found: &mut Vec<Finding>) {
    let domu = &wanted.domu;
    // Where it is now decides which way it would go; a trail may have led to it.
    let runs = |host: &&HostName| case.far(host, wanted).is_some_and(|end| end.running().is_some());
    let elsewhere = case.asked.iter().map(|a| &a.host).find(runs);
    if let Some(host) = elsewhere.filter(|_| here.copies.is_empty())
        && let Some(far) = case.far(host, wanted)
    {
        return back(case, wanted, host, far, here, found);
    }
    if wanted.partners.is_empty() {
        let what = format!("it has no row without a fault in {}: it goes nowhere by itself", table::PATH);
        return found.push(Finding::warning(domu, "table", what, format!("write a row there:  {domu}  HOST")));
    }
    let ways: Vec<Way<'_>> = wanted.partners.iter().map(|host| Way::new(case, wanted, host, here)).collect();
    // What is wrong at this end is wrong on every way, and told once.
    let common: Vec<&Objection> = match ways.as_slice() {
        [first, others @ ..] if !others.is_empty() => {
            first.against.iter().filter(|o| others.iter().all(|way| way.against.iter().any(|p| p.seen == o.seen))).collect()
        }
        _ => vec![],
    };
    found.extend(common.iter().map(|o| finding(domu.as_str(), o)));
    // Sent away, and gone: what lies in the way of a journey from here is not the question.
    let lost = here.row.as_ref().filter(|row| row.state == State::Away && here.copies.is_empty());
    let all_asked = here.unseen.is_empty() && case.asked.iter().all(|asked| asked.answer.is_ok());
    if let Some(row) = lost.filter(|_| all_asked) {
        let what = format!("the record says {}, and no Dom0 that was asked runs it", row.in_words());
        found.push(Finding::fault(domu, "domu", what, failover(domu)));
    }
    for way in &ways {
        let about = format!("{domu} -> {}", way.host);
        let own: Vec<&Objection> = way.against.iter().filter(|o| !common.iter().any(|c| c.seen == o.seen)).collect();
        found.extend(own.iter().map(|o| finding(&about, o)));
        if way.seen && !(lost.is_some() && all_asked) && common.iter().chain(&own).all(|o| o.check == Check::Busy) {
            let what = match here.running() {
                Some(_) => "could go there now",
                None if lost.is_some() => "does not run here",
                None => "does not run anywhere that was seen; nothing else would be in the way",
            };
            found.push(Finding::ok(&about, "domu", what));
        }
    }
    // That nobody could be asked was told of each of them.
    if here.running().is_some() && ways.iter().all(|way| !way.seen && way.against.is_empty()) {
        let what = match ways.len() {
            1 => "nothing here objects; its partner could not be asked",
            _ => "nothing here objects; none of its partners could be asked",
        };
        found.push(Finding::ok(domu, "domu", what));
    }
}

/// To one of its partners.
struct Way<'a> {
    host: &'a HostName,
    against: Vec<Objection>,
    /// The partner was looked at.
    seen: bool,
}

impl<'a> Way<'a> {
    fn new(case: &Case<'_>, wanted: &Wanted, host: &'a HostName, here: &End) -> Way<'a> {
        let far = case.far(host, wanted);
        let trip = Trip { own_transport: wanted.own_transport, ..Trip::to(host, case.here.now) };
        let mut against = check::objections(here, far, &trip, &[]);
        // Without the key a migration goes by what is seen from here. With it a partner that does not answer is told of itself, and what
        // DRBD does not show of it with that.
        if far.is_none() && case.key.state != KeyState::Missing {
            against.retain(|o| matches!(o.check, Check::Domu | Check::Flight | Check::Busy | Check::Disks));
        }
        // A domU that is stopped is no fault; that it is stopped is said once.
        if here.copies.is_empty() && here.unseen.is_empty() {
            against.retain(|o| o.check != Check::Domu);
        }
        Way { host, against, seen: far.is_some() }
    }
}

/// From where it is, home.
fn back(case: &Case<'_>, wanted: &Wanted, host: &HostName, far: &End, here: &End, found: &mut Vec<Finding>) {
    let about = format!("{} <- {host}", wanted.domu);
    let us = &here.host;
    let trip = Trip { home: Some(us.clone()), ..Trip::to(us, case.here.now) };
    let objections = check::objections(far, Some(here), &trip, &[]);
    for objection in &objections {
        // The words "here" and "there" are those of the end that sends.
        let seen = format!("seen from {host}: {}", objection.seen);
        found.push(finding(&about, &Objection { seen, ..objection.clone() }));
    }
    // Who asks for it must have sent it, or stand in the row there: `migrate2` refuses anybody else.
    let flight = far.row.as_ref().is_some_and(|row| row.state.in_flight());
    let knows = far.row.as_ref().is_some_and(|row| {
        row.state == State::Visiting && (row.host.same_host(us) || row.home.as_ref().is_some_and(|home| home.same_host(us)))
    });
    let listed = far.listed.as_ref().is_some_and(|hosts| hosts.iter().any(|h| h.same_host(us)));
    let mut refused = false;
    if !flight && !knows && !listed {
        refused = true;
        let what = format!("{host} does not know that it came from here, and does not list it for us: it would not send it");
        let advice = format!("on {host}, in {}:  {}  {us}", table::PATH, wanted.domu);
        found.push(Finding::fault(&about, "way-back", what, advice));
    }
    if objections.is_empty() && !refused {
        found.push(Finding::ok(&about, "domu", "is there, and could come back now"));
    }
}

fn finding(about: &str, objection: &Objection) -> Finding {
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
    match objection.check {
        // Somebody at work is gone tomorrow.
        Check::Busy => Finding::warning(about, word, what, &objection.advice),
        _ => Finding::fault(about, word, what, &objection.advice),
    }
}

/// Each of them fits somewhere; all of them may not, and `migrate ALL` moves all or none. The plan that it would make tells.
fn all_at_once(case: &Case<'_>, found: &mut Vec<Finding>) {
    let mut targets: Vec<Target> = Vec::new();
    let mut wishes: Vec<Wish> = Vec::new();
    for wanted in &case.domus {
        let Some((here, copy)) = case.own(wanted).and_then(|here| Some((here, here.running()?))) else { continue };
        let mut hosts = Vec::new();
        let mut fits = false;
        for host in &wanted.partners {
            let Some(far) = case.far(host, wanted) else { continue };
            let mut against = Way::new(case, wanted, host, here).against;
            fits |= against.is_empty();
            against.retain(|o| o.check != Check::Memory);
            let target = match targets.iter().position(|t| t.host.same_host(&far.host)) {
                Some(at) => at,
                None => {
                    targets.push(Target { host: far.host.clone(), free: Some(far.free_memory) });
                    targets.len() - 1
                }
            };
            hosts.push(Choice { host: host.clone(), target, against });
        }
        // What cannot go even alone was told of itself.
        if fits {
            let memory = check::memory_needed(copy.domain.memory);
            wishes.push(Wish { domu: wanted.domu.clone(), memory, hosts });
        }
    }
    let plan = Plan::make(&wishes, &targets);
    if plan.is_whole() || wishes.len() < 2 {
        return;
    }
    let names: Vec<&str> = plan.left.iter().map(|left| left.domu.as_str()).collect();
    let mut rooms: Vec<&str> = Vec::new();
    for o in plan.left.iter().flat_map(|left| &left.against).flat_map(|(_, list)| list) {
        if o.check == Check::Memory && !rooms.contains(&o.seen.as_str()) {
            rooms.push(&o.seen);
        }
    }
    let what = format!(
        "each of them could go, and all {} of them not: there is no room left for {} ({})",
        wishes.len(),
        names.join(", "),
        rooms.join("; ")
    );
    let advice = "free memory there, list another host in their rows, or migrate ALL --partial";
    found.push(Finding::fault("ALL", "memory", what, advice));
}

impl Case<'_> {
    /// This end of a domU.
    fn own(&self, wanted: &Wanted) -> Option<&End> {
        self.here.health.as_deref()?.end(&wanted.domu)
    }

    /// A domU at a peer that answered.
    fn far(&self, host: &HostName, wanted: &Wanted) -> Option<&End> {
        self.answer(host)?.1.end(&wanted.domu)
    }
}
