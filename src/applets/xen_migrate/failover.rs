//! `xen-migrate failover DOMU --reason TEXT`: its host is dead, and a person says so. It is started here, at its home, from our replica.
//!
//! A person's word stands for what cannot be seen, and for nothing else: who could know is asked first ([`super::witness`]), and whatever any
//! of them shows of the domU, or DRBD of a Primary, is stronger. From there on it is `xen-drbd-auto force-start`.
//! The record keeps a row until the dead host is back and was told: `recover` tells it.

use super::cli::Failover;
use super::drive::{self, Drive};
use super::witness::Witnesses;
use super::{Ended, Setting, fleet};
use crate::adapters::boot::{self, Planned};
use crate::adapters::look::Ground;
use crate::adapters::{To, deeds, here};
use crate::applets::exit::{Exit, Stop};
use crate::applets::xen_drbd_auto::create::{self, Failed};
use crate::applets::xen_drbd_auto::{self, force};
use crate::core::boot::diary::Outcome;
use crate::core::facts::{End, resources_of};
use crate::core::migrate::Trip;
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::{Moment, Row, State};
use crate::core::step::{Deed, Step};
use crate::core::whereabouts::Fleet;
use std::path::Path;

/// The verb.
pub fn run(setting: Setting<'_>, args: &Failover) -> Ended {
    let world = setting.world;
    let domu = &args.domu;
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Stop::new(Exit::Usage, "--reason: say in a few words how you know that its host is dead"));
    }
    let us = here::host(world)?;
    let mut drive = Drive::start(setting, &us, domu, &format!("xen-migrate failover {domu}"))?;
    let end = drive.look_here()?;
    if let Some(exit) = already(setting, &end)? {
        return Ok(exit);
    }
    let witnesses = Witnesses::ask(setting, &end, &args.dead, "xen-migrate failover")?;
    witnesses.nobody_has_it(&end)?;
    let dead = dead_host(&end, &witnesses.fleet, &args.dead).ok_or_else(|| {
        let text = format!(
            "neither the record nor the table names another Dom0 that could have {domu}\n  nothing was touched\n  try: xen-drbd-auto \
             force-start {domu} --reason '{reason}'"
        );
        Stop::new(Exit::Usage, text)
    })?;

    let ground = drive::ground(setting)?;
    let (path, planned) = plan(setting, &ground, domu)?;
    let names: Vec<ResourceName> = resources_of(&planned.disks).into_iter().cloned().collect();
    let by_force = may(setting, &ground, &end, &planned, &names)?;
    witnesses.none_of_these_lives(&ground, &args.dead)?;
    witnesses.nobody_lives(&ground, &by_force)?;
    // Whose name means nothing here, or to whom no network leads, has not been silent: a person names it.
    let mut said: Vec<HostName> = Some(dead.clone()).filter(|dead| witnesses.was_called(dead)).into_iter().collect();
    args.dead.iter().for_each(|host| fleet::add(&mut said, &us, host));
    if !by_force.is_empty() {
        witnesses.none_of_these_lives(&ground, &said)?;
    }
    witnesses.all_are_dead(&ground, &by_force, &said)?;

    tell_the_price(&drive, &ground, &witnesses, &names, (&said, !by_force.is_empty()));
    if args.dry_run {
        world.say(To::Out, "Nothing was touched (--dry-run); without it, it would be started here now.");
        return Ok(Exit::Done);
    }
    world.say(To::Log, &format!("failover {domu} from {dead}: {reason}"));

    let now = Moment::from(world.now());
    let row = |state: State, open: Vec<ResourceName>| Row {
        domu: domu.clone(),
        state,
        host: dead.clone(),
        since: now,
        open,
        home: None,
        from: None,
        never: false,
    };
    let trip = Trip::to(&dead, now);
    let note = |drive: &Drive<'_>, deed: Deed, why: &'static str| {
        drive.walk(&trip, &[Step::here(deed, why)]).map_err(|why| Stop::new(Exit::Failed, why))
    };
    note(&drive, Deed::Note(row(State::Returning, names.clone())), "a crash from now on is known of")?;
    let begun = begin(setting, &ground, &path, &planned, &names, &by_force);
    let left = put_back(setting, &drive, &names, begun.as_ref().is_err_and(|failed| !failed.theirs));
    match begun {
        Err(Failed { why, .. }) => {
            let before = match &end.row {
                Some(before) if left.is_empty() => Deed::Note(before.clone()),
                Some(before) => Deed::Note(Row { open: left.clone(), ..before.clone() }),
                None if left.is_empty() => Deed::Forget,
                None => Deed::Note(row(State::Here, left.clone())),
            };
            note(&drive, before, "it was not started")?;
            let again = if left.is_empty() { String::new() } else { format!("\n  try: xen-migrate recover {domu}") };
            Err(Stop::new(Exit::Failed, format!("{domu} was not started: {why}{again}")))
        }
        Ok(doubt) => {
            // A host that answers can be told at once; the row of a dead one waits for it.
            let told = release(&mut drive, &dead, now, &witnesses, &us) && left.is_empty();
            let last = if told { Deed::Forget } else { Deed::Note(row(State::Here, left)) };
            note(&drive, last, if told { "all is in order" } else { "until that host is back and was told" })?;
            keep(setting, &path, domu, reason);
            if let Some(doubt) = doubt {
                drive.tell(&format!("note: {doubt}"));
            }
            world.say(To::Out, &format!("{domu} runs on {us}."));
            if !told {
                let text = format!("When {dead} is back: xen-migrate recover {domu}   (tells its record)");
                world.say(To::Err, &text);
            }
            Ok(Exit::Done)
        }
    }
}

/// Here already, or not ours to start.
fn already(setting: Setting<'_>, end: &End) -> Result<Option<Exit>, Stop> {
    let domu = &end.domu;
    let refused = |text: String| Err(Stop::new(Exit::Refused, format!("{text}\n  nothing was touched")));
    if end.running().is_some() && end.copies.len() == 1 {
        setting.world.say(To::Out, &format!("{domu} runs on {} already.", end.host));
        if let Some(row) = end.row.as_ref().filter(|row| row.state != State::Visiting) {
            setting
                .world
                .say(To::Err, &format!("note: {}; when {} can be asked: xen-migrate recover {domu}", row.in_words(), row.host));
        }
        return Ok(Some(Exit::Done));
    }
    if !end.copies.is_empty() {
        return refused(format!("on {}: {}; settle that first: xen-migrate recover {domu}", end.host, end.copies_in_words()));
    }
    if let Some(who) = &end.receiving {
        return refused(format!("{domu} is just being received: {who}"));
    }
    let Some(row) = &end.row else { return Ok(None) };
    let elsewhere = matches!(row.state, State::Passed | State::Visiting | State::Arriving);
    match row.home.as_ref().or(elsewhere.then_some(&row.host)) {
        Some(home) if !home.same_host(&end.host) => {
            refused(format!("{domu} belongs to {home}; on {home}: xen-migrate failover {domu} --reason …"))
        }
        _ => Ok(None),
    }
}

/// The host that is said to be dead: where it is as far as is known, else the one that a person names, else where it could have gone.
fn dead_host(end: &End, fleet: &Fleet, said: &[HostName]) -> Option<HostName> {
    let known = fleet.domus.iter().find(|line| line.domu == end.domu).and_then(|line| line.host.clone());
    let partner = || end.listed.as_ref().and_then(|hosts| hosts.first().cloned());
    let host = known.or_else(|| end.row.as_ref().map(|row| row.host.clone())).or_else(|| said.first().cloned()).or_else(partner);
    host.filter(|host| !host.same_host(&end.host))
}

/// Its config file, understood in full, and what it needs.
fn plan(setting: Setting<'_>, ground: &Ground, domu: &DomuName) -> Result<(String, Planned), Stop> {
    let bad = |text: String| Stop::new(Exit::Usage, format!("{text}\n  nothing was touched"));
    let found = ground.config(setting.world, domu).0;
    let path = found.ok_or_else(|| bad(format!("no config file here defines {domu}")))?.path;
    let planned = boot::planned(setting.world, ground, &path).map_err(|why| bad(why.to_string()))?;
    if planned.domu != *domu {
        return Err(bad(format!("{path} defines {}, not {domu}", planned.domu)));
    }
    Ok((path, planned))
}

/// Whether DRBD leaves the decision to a person; the resources that need force. What the record says of the journey is what a person
/// overrules here, so it is left out; what an interrupted failover has made Primary is ours.
fn may(
    setting: Setting<'_>,
    ground: &Ground,
    end: &End,
    planned: &Planned,
    names: &[ResourceName],
) -> Result<Vec<ResourceName>, Stop> {
    let mut without = ground.clone();
    without.record.forget(&planned.domu);
    let mut diary = boot::diary(setting.world);
    if let Some(row) = end.row.as_ref().filter(|row| row.state == State::Returning) {
        row.open.iter().for_each(|name| diary.guard(name, &planned.domu));
    }
    force::may(&without, planned, names, &diary)
}

/// Who was not heard, and what is lost when the person is wrong.
fn tell_the_price(
    drive: &Drive<'_>,
    ground: &Ground,
    witnesses: &Witnesses,
    names: &[ResourceName],
    (dead, cut_off): (&[HostName], bool),
) {
    let dead = if cut_off { dead } else { &[] };
    force::price(ground, witnesses, names, dead).iter().for_each(|line| drive.tell(line));
}

/// Primary, created, and looked at. The text is what a person should know although it runs.
fn begin(
    setting: Setting<'_>,
    ground: &Ground,
    path: &str,
    planned: &Planned,
    names: &[ResourceName],
    by_force: &[ResourceName],
) -> Result<Option<String>, Failed> {
    let world = setting.world;
    let auto =
        xen_drbd_auto::Setting { world, toolstack: setting.toolstack, root: None, path: None, asked: None, goes_on: false };
    force::promote(auto, ground, names, by_force)?;
    match world.read(Path::new(path)) {
        Ok(bytes) if bytes == planned.bytes => {}
        _ => return Err(format!("{path} was changed meanwhile").into()),
    }
    create::create(world, ground.toolstack, planned)
}

/// Roles and options as they were; with the domU there, only the options. What could not be put back is returned.
fn put_back(setting: Setting<'_>, drive: &Drive<'_>, names: &[ResourceName], demote: bool) -> Vec<ResourceName> {
    let mut left = Vec::new();
    for name in names {
        let done = if demote { deeds::demote(setting.world, name) } else { Ok(()) };
        if let Err(why) = done.and_then(|()| deeds::put_options_back(setting.world, name)) {
            drive.tell(&format!("still to be done: {name}: {why}"));
            left.push(name.clone());
        }
    }
    left
}

/// Tells every host that answers, and whose record still has the domU as a guest of ours, that nothing of it is there. Whether the one
/// that was said to be dead is among them, or has nothing to be told.
fn release(drive: &mut Drive<'_>, dead: &HostName, now: Moment, witnesses: &Witnesses, us: &HostName) -> bool {
    let mut told = false;
    let same = |host: Option<&HostName>| host.is_some_and(|h| h.same_host(us));
    for survey in witnesses.surveys() {
        let guest =
            |r: &&Row| matches!(r.state, State::Visiting | State::Passed) && (same(Some(&r.host)) || same(r.home.as_ref()));
        let done = match survey.row(&drive.domu).filter(guest) {
            Some(_) => {
                drive.face(&survey.host);
                drive.walk(&Trip::to(&survey.host, now), &[Step::there(Deed::Release, "it runs at home again")])
            }
            None => Ok(()),
        };
        if let Err(why) = &done {
            drive.tell(&format!("  failed: {why}"));
        }
        told |= done.is_ok() && survey.host.same_host(dead);
    }
    told
}

/// Whoever waits for it at boot need not any more.
fn keep(setting: Setting<'_>, path: &str, domu: &DomuName, reason: &str) {
    let world = setting.world;
    let mut diary = boot::diary(world);
    let Some(file) = path.strip_prefix(boot::FOLDER).and_then(|f| f.strip_prefix('/')).filter(|_| diary.version > 0) else {
        return;
    };
    let outcome = Outcome::Forced(format!("failover: {reason}"));
    diary.note(file, Some(domu.as_str()), Moment::from(world.now()), outcome);
    let _ = boot::keep(world, &diary);
}
