//! `xen-migrate migrate DOMU`: to its partner, and not back unless it must be.

use super::cli::How;
use super::drive::{self, Drive};
use super::flight::Failed;
use super::{Ended, Setting, flight, reverse, several, took};
use crate::adapters::To;
use crate::adapters::look;
use crate::adapters::xen::MigrateWords;
use crate::applets::exit::{Exit, Stop};
use crate::core::facts::End;
use crate::core::fault::Fault;
use crate::core::migrate::Trip;
use crate::core::migrate::check::{self, Objection};
use crate::core::migrate::prepare;
use crate::core::migrate::settle::Ending;
use crate::core::names::{DomuName, HostName};
use crate::core::options::{self, Checked};
use crate::core::record::{Moment, State};
use crate::core::step::{Deed, Gate};
use crate::core::table;

/// The verb.
pub fn run(setting: Setting<'_>, domu: &DomuName, how: &How) -> Ended {
    let ground = drive::ground(setting)?;
    tell_faults(setting, &ground, domu);
    let Some(entry) = ground.table.table.entry(domu) else {
        return Err(not_in_table(&ground, domu));
    };
    let to = entry.hosts[0].clone();
    let words = entry.options.clone();
    let checked = options::check(ground.toolstack, &words).map_err(|bad| {
        let column = entry.columns.get(bad.place).copied().unwrap_or(1);
        Stop::new(Exit::Usage, Fault::new(entry.line, column, bad.to_string(), "").render(table::PATH, &ground.table.text))
    })?;
    let others = entry.hosts[1..].to_vec();
    send(setting, domu, &to, &others, &checked, how).map_err(|mut stop| {
        if let Some(next) = others.first().filter(|_| matches!(stop.exit, Exit::Refused | Exit::Unreachable)) {
            stop.text += &format!("\n  its row lists {next} as well: xen-migrate migrate {domu} --to {next}");
        }
        stop
    })
}

/// Sends the domU to a host: what `migrate` does for the table's partner and `migrate2` for the peer that asks.
///
/// `others` are further partners; the domU may be on one of them already.
pub fn send(setting: Setting<'_>, domu: &DomuName, to: &HostName, others: &[HostName], options: &Checked, how: &How) -> Ended {
    let us = crate::adapters::here::host(setting.world)?;
    if to.same_host(&us) {
        return Err(refusal(domu, to, &[check::this_very_host(to)]));
    }
    let purpose = format!("xen-migrate migrate {domu} to {to}");
    let mut drive = Drive::start(setting, &us, domu, &purpose)?;
    drive.face(to);
    let here = drive.look_here()?;
    let there = match drive.look_there() {
        None => None,
        Some(Ok(end)) => Some(end),
        Some(Err(error)) => return Err(error.into()),
    };
    if let Some(exit) = already_there(setting, &here, there.as_ref(), to, others) {
        return Ok(exit);
    }
    let away = here.row.as_ref().is_some_and(|r| r.state == State::Away && r.host.same_host(to));
    if let Some(far) = there.as_ref().filter(|far| away && here.copies.is_empty() && far.running().is_none()) {
        let text = format!("{domu} is away on {to} already, and does not run: {}", reverse::not_well(&here, far));
        return Err(Stop::new(Exit::Refused, format!("{text}\n  nothing was touched")));
    }

    let trip = trip(setting, &here, to, options);
    let objections = check::objections(&here, there.as_ref(), &trip, &how.despite);
    let plan = prepare::plan(&here, there.as_ref(), &trip);
    if how.dry_run {
        show_plan(setting, &here, there.as_ref(), &trip, &plan);
    }
    for o in check::overruled(&here, there.as_ref(), &trip, &how.despite) {
        drive.tell(&format!("note: overruled (--despite {}): {}", o.check, o.seen));
    }
    if how.dry_run {
        let passed: Vec<String> =
            check::passed(there.as_ref(), &objections, &how.despite).iter().map(|c| c.to_string()).collect();
        setting.world.say(To::Out, &format!("Checked, and found well: {}", passed.join(", ")));
    }
    several::sets_out(setting, &here, to, &objections, how.dry_run);
    if !objections.is_empty() {
        return Err(refusal(domu, to, &objections));
    }
    if there.is_none() {
        drive.tell(&format!("note: {}", check::unchecked(&trip)));
    }
    if how.dry_run {
        setting.world.say(To::Out, "Nothing was touched (--dry-run); without it, this would begin.");
        return Ok(Exit::Done);
    }
    if setting.world.stopping() {
        return Err(Stop::new(Exit::Failed, "stopped before anything was touched"));
    }

    several::went_for_another_reason(setting, domu);
    drive.tell(&format!("{domu}: {us} -> {to}"));
    let began = setting.world.clock();
    let flight = fly(setting, &mut drive, &here, &trip, options, &plan);
    let reported = flight.as_ref().is_ok_and(|words| words.successful);
    let outcome = drive.settle(&trip, reported)?;
    if let Err(failed) = &flight {
        let what = match outcome.0.ending {
            Ending::Arrived(_) => format!("{} did not see the end of it, but both ends show it", here.toolstack),
            _ if failed.by_us => "the migration was ended".to_string(),
            _ => "the migration failed".to_string(),
        };
        drive.tell(&format!("{what}: {}", failed.why));
    }
    let exit = drive::report(setting, domu, &us, &trip, &outcome);
    if matches!(outcome.0.ending, Ending::Arrived(_)) {
        took::note(setting.world, domu, to, began);
    }
    Ok(match outcome.0.ending {
        // It was to go, and is still here.
        Ending::Stayed(_) => exit.max(Exit::Failed),
        _ => exit,
    })
}

/// Does the plan: all its steps up to the migration, then the migration. The error is why it did not go well; where the domU is now only
/// a look can tell.
fn fly(
    setting: Setting<'_>,
    drive: &mut Drive<'_>,
    here: &End,
    trip: &Trip,
    options: &Checked,
    plan: &[crate::core::step::Step],
) -> Result<MigrateWords, Failed> {
    let sends = |s: &&crate::core::step::Step| matches!(s.deed, Deed::Send(_));
    let before: Vec<_> = plan.iter().filter(|s| !sends(s)).cloned().collect();
    drive.walk(trip, &before).map_err(|why| Failed { why, by_us: false })?;
    if setting.world.stopping() {
        return Err(Failed { why: "stopped before the migration began".to_string(), by_us: true });
    }
    let mut gate = Gate::default();
    if let Some(step) = plan.iter().find(sends) {
        drive.tell(&drive::line(step, &drive.us, &trip.to));
        if let Deed::Send(through) = &step.deed {
            gate = through.clone();
        }
    }
    flight::fly(setting, here, trip, options, drive.sees_peer(), &gate)
}

/// It runs there and not here: nothing to do.
fn already_there(setting: Setting<'_>, here: &End, there: Option<&End>, to: &HostName, others: &[HostName]) -> Option<Exit> {
    let domu = &here.domu;
    let in_flight = |end: &End| end.row.as_ref().is_some_and(|r| r.state.in_flight());
    if !here.copies.is_empty() || in_flight(here) {
        return None;
    }
    if let Some(there) = there.filter(|t| t.running().is_some() && !in_flight(t)) {
        setting.world.say(To::Out, &format!("{domu} runs on {} already.", there.host));
        return Some(Exit::Done);
    }
    let row = here.row.as_ref().filter(|r| r.state == State::Away)?;
    if row.host.same_host(to) || !others.iter().any(|o| o.same_host(&row.host)) {
        return None;
    }
    setting.world.say(To::Out, &format!("{domu} is away on {} already, since {}.", row.host, row.since));
    Some(Exit::Done)
}

/// The journey of a domU that runs here to a host.
pub(super) fn trip(setting: Setting<'_>, here: &End, to: &HostName, options: &Checked) -> Trip {
    let visit = here.row.as_ref().filter(|r| r.state == State::Visiting);
    Trip {
        to: to.clone(),
        leave_paused: options.leave_paused,
        own_transport: options.own_transport,
        home: visit.map(|r| r.home.clone().unwrap_or_else(|| r.host.clone())),
        from: visit.map(|r| r.host.clone()),
        now: Moment::from(setting.world.now()),
        opened: prepare::opening(here),
        reconnected: vec![],
        woken: false,
        waited: false,
    }
}

/// The objections as a person reads them.
fn refusal(domu: &DomuName, to: &HostName, objections: &[Objection]) -> Stop {
    let mut text = format!("{domu} is not migrated to {to}; nothing was touched:");
    for o in objections {
        text += &format!("\n  {}: {}\n      expected: {}\n      try: {}", o.check, o.seen, o.wanted, o.advice);
    }
    Stop::new(Exit::Refused, text)
}

fn show_plan(setting: Setting<'_>, here: &End, there: Option<&End>, trip: &Trip, plan: &[crate::core::step::Step]) {
    let say = |text: &str| setting.world.say(To::Out, text);
    say(&format!("Seen on {}: {}", here.host, here.copies_in_words()));
    here.replicas.iter().for_each(|r| say(&format!("  {}", r.in_words())));
    if let Some(there) = there {
        say(&format!("Seen on {}: {}; {} MiB free", there.host, there.copies_in_words(), there.free_memory));
        there.replicas.iter().for_each(|r| say(&format!("  {}", r.in_words())));
    }
    say("The plan:");
    plan.iter().for_each(|step| say(&drive::line(step, &here.host, &trip.to)));
    say("  then both ends are looked at, the roles and options put back, and the record says where it is");
}

/// Faults of the domU's own row are told whenever the table is used, those of other rows only counted.
pub fn tell_faults(setting: Setting<'_>, ground: &look::Ground, domu: &DomuName) {
    let table = &ground.table.table;
    table.faults_of(domu).for_each(|f| setting.world.say(To::Err, &f.render(table::PATH, &ground.table.text)));
    tell_others(setting, table.faults_of_others(domu));
}

/// `2 other rows of … have faults`.
pub fn tell_others(setting: Setting<'_>, count: usize) {
    let text = match count {
        0 => return,
        1 => format!("note: another row of {} has a fault: xen-migrate status", table::PATH),
        n => format!("note: {n} other rows of {} have faults: xen-migrate status", table::PATH),
    };
    setting.world.say(To::Err, &text);
}

fn not_in_table(ground: &look::Ground, domu: &DomuName) -> Stop {
    if let Some(line) = ground.table.table.faulty_line(domu) {
        return Stop::new(
            Exit::Usage,
            format!("{}:{line}: the row of {domu} has a fault (see above); it is not acted on", table::PATH),
        );
    }
    if let Some(row) = ground.record.row(domu).filter(|r| r.state == State::Visiting) {
        let home = row.home.as_ref().unwrap_or(&row.host);
        let text = format!(
            "{domu} is visiting here and its home is {home}; it has no row in {}\n  on {home}: xen-migrate reverse {domu}",
            table::PATH
        );
        return Stop::new(Exit::Usage, text);
    }
    let text = if ground.table.missing {
        format!("there is no {}\n  write it, one row for each domU:  {domu}  PARTNER-DOM0  --live", table::PATH)
    } else {
        format!("{domu} has no row in {}\n  add one:  {domu}  PARTNER-DOM0  --live", table::PATH)
    };
    Stop::new(Exit::Usage, text)
}
