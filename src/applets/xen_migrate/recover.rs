//! `xen-migrate recover [DOMU]`: settle what an interrupted migration left.
//!
//! The end that was sending decides, whichever end is asked: so two people at two Dom0s cannot decide differently at once.

use super::drive::{self, Drive};
use super::{Ended, Setting, reverse, status};
use crate::adapters::peer::{Peer, PeerError};
use crate::adapters::{To, here, ssh};
use crate::applets::exit::{Exit, Stop};
use crate::core::drbd::Role;
use crate::core::facts::{CopyName, End, ending_of_reception, failover};
use crate::core::migrate::settle::Ending;
use crate::core::migrate::split::{self, Split};
use crate::core::migrate::{Trip, asking};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::{Moment, Row, State};
use crate::core::step::{Deed, Step};
use crate::core::table;

/// The verb: one domU, or every one about which `status` names this command.
pub fn run(setting: Setting<'_>, domu: Option<&DomuName>) -> Ended {
    let ground = drive::ground(setting)?;
    if let Some(domu) = domu {
        if !ground.knows(setting.world, domu) {
            return Err(status::unknown(domu.as_str()));
        }
        return one(setting, domu);
    }
    let mut todo: Vec<DomuName> =
        ground.record.rows.iter().filter(|r| r.state.in_flight() || !r.open.is_empty()).map(|r| r.domu.clone()).collect();
    for domu in status::to_recover(setting, &ground) {
        if !todo.contains(&domu) {
            todo.push(domu);
        }
    }
    let mut ends = match tell_apart(setting, &status::to_join(setting, &ground)) {
        Exit::Done => vec![],
        stray => vec![stray],
    };
    if todo.is_empty() && ends.is_empty() {
        setting.world.say(To::Out, "Nothing is in flight, and nothing was left behind.");
        return Ok(Exit::Done);
    }
    for domu in &todo {
        ends.push(one(setting, domu).unwrap_or_else(|stop| {
            setting.world.say(To::Err, &format!("{domu}: {}", stop.text));
            stop.exit
        }));
    }
    Ok(of_several(&ends))
}

/// One code for several domUs: where some went well and some did not, that; else the worst of them. Undecided is worse than failed, and
/// both are worse than what touched nothing.
pub(super) fn of_several(ends: &[Exit]) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::Usage => 1,
        Exit::Refused => 2,
        Exit::Unreachable => 3,
        Exit::Failed => 4,
        Exit::Partly => 5,
        Exit::Undecided => 6,
    };
    let well = ends.contains(&Exit::Done);
    match ends.iter().copied().max_by_key(rank).unwrap_or(Exit::Done) {
        Exit::Done => Exit::Done,
        _ if well => Exit::Partly,
        worst => worst,
    }
}

/// Settles one domU.
pub fn one(setting: Setting<'_>, domu: &DomuName) -> Ended {
    let us = here::host(setting.world)?;
    let mut drive = Drive::start(setting, &us, domu, &format!("xen-migrate recover {domu}"))?;
    let end = drive.look_here()?;
    match end.row.clone() {
        Some(row) if matches!(row.state, State::Arriving | State::Returning) => as_the_receiver(setting, drive, &end, &row),
        Some(row) if row.state == State::Leaving => as_the_sender(setting, drive, &row),
        Some(row) if !row.open.is_empty() => {
            // It came from there, or it stayed here: whose journey it was, the other end's record knows.
            drive.face(&row.host);
            match drive.look_there() {
                Some(Ok(far)) if sent_by(&far, &drive.us) => ask_the_sender(setting, &mut drive, &far, &row.host),
                _ => as_the_sender(setting, drive, &row),
            }
        }
        row => without_a_flight(setting, drive, &end, row),
    }
}

fn as_the_sender(setting: Setting<'_>, mut drive: Drive<'_>, row: &Row) -> Ended {
    let mut trip = Trip::of_row(row, Moment::from(setting.world.now()));
    drive.tell(&format!("{}: {}", row.domu, row.in_words()));
    drive.face(&row.host);
    let mut outcome = drive.settle(&trip, false)?;
    if matches!(outcome.0.ending, Ending::Undecided(_))
        && let Some(last) = passed_on(setting, &drive, row)
    {
        trip.to = last;
        drive.face(&trip.to);
        outcome = drive.settle(&trip, false)?;
    }
    let us = drive.us.clone();
    let exit = drive::report(setting, &row.domu, &us, &trip, &outcome);
    // Where it is was seen; only the other end's part is left, and it could not be reached.
    Ok(if exit == Exit::Failed && drive.got_nowhere() { Exit::Unreachable } else { exit })
}

/// The Dom0 on which it executes, when the one it was sent to has passed it on since. Then that one is the other end.
fn passed_on(setting: Setting<'_>, drive: &Drive<'_>, row: &Row) -> Option<HostName> {
    if !drive.sees_peer() {
        return None;
    }
    let (last, far) = reverse::follow(setting, &drive.us, &row.domu, &row.host).ok()?;
    (!last.same_host(&row.host) && far.running().is_some()).then_some(last)
}

/// The sender settles, and we look at what came of it. Only where it has nothing to settle do we put our own side in order.
fn as_the_receiver(setting: Setting<'_>, mut drive: Drive<'_>, end: &End, row: &Row) -> Ended {
    let domu = &row.domu;
    drive.tell(&format!("{domu}: {}", row.in_words()));
    let receiving = end.receiving.as_ref().map(|who| {
        let text = format!("{domu} is just being received: {who}\n  nothing was touched; try again when that has ended");
        Stop::new(Exit::Refused, text)
    });
    if !ssh::has_key(setting.world, &drive.us) {
        return Err(blind(&drive.us, row, "there is no dedicated key here"));
    }
    let peer = Peer::new(setting.world, &drive.us, &row.host);
    let far = match peer.look(domu, &[]) {
        Ok(far) => far,
        Err(error) => return sender_out_of_sight(setting, &drive, end, row, &error),
    };
    if let Some(stop) = receiving.filter(|_| far.busy.is_some()) {
        return Err(stop);
    }
    not_busy(&far)?;
    let still_open = |r: &Row| r.host.same_host(&drive.us) && !r.open.is_empty();
    if sent_by(&far, &drive.us) || far.row.as_ref().is_some_and(still_open) {
        return ask_the_sender(setting, &mut drive, &far, &row.host);
    }
    own_side(setting, &mut drive, end, &far, row)
}

/// That end's record says that it was sending the domU to us, and has not seen the end of it.
fn sent_by(far: &End, us: &HostName) -> bool {
    far.row.as_ref().is_some_and(|r| r.state == State::Leaving && r.host.same_host(us))
}

/// The sender decides; we look at what came of it here.
fn ask_the_sender(setting: Setting<'_>, drive: &mut Drive<'_>, far: &End, sender: &HostName) -> Ended {
    let domu = drive.domu.clone();
    not_busy(far)?;
    drive.tell(&format!("{domu}: it came from {sender}, which is asked to settle its journey"));
    drive.touch();
    let exit = Exit::of_code(Peer::new(setting.world, &drive.us, sender).settle(&domu)?);
    let after = drive.look_here()?;
    setting.world.say(To::Out, &format!("On {}: {}.", drive.us, after.copies_in_words()));
    Ok(exit)
}

fn not_busy(far: &End) -> Result<(), Stop> {
    match &far.busy {
        None => Ok(()),
        Some(holder) => {
            let text = format!(
                "{} is at work on {}: {holder}\n  nothing was touched; try again when that has ended",
                far.host, far.domu
            );
            Err(Stop::new(Exit::Refused, text))
        }
    }
}

/// The sender has no flight on its record: it settled it, or never began. What both ends show says which.
fn own_side(setting: Setting<'_>, drive: &mut Drive<'_>, end: &End, far: &End, row: &Row) -> Ended {
    let domu = &row.domu;
    let trip = Trip::of_row(row, Moment::from(setting.world.now()));
    let steps = match (end.copy(CopyName::Plain), end.copy(CopyName::Incoming), far.running()) {
        (Some(copy), None, None) if copy.domain.state.executes() => {
            with_options_back(end, Step::here(Deed::Arrived, "it runs here, and not there"))
        }
        (None, None, _) => {
            // What an interrupted journey or failover has made Primary here. A program that uses it all the same keeps it so.
            let ours = |name: &ResourceName| row.open.contains(name) && end.copies.is_empty() && end.receiving.is_none();
            let mut steps = demoted(end, ours);
            steps.extend(with_options_back(end, Step::here(Deed::Release, "nothing of it is here, and nothing is on its way")));
            steps
        }
        (None, Some(copy), Some(_)) if copy.domain.state.paused => {
            let destroy = Deed::Destroy { called: CopyName::Incoming, id: copy.domain.id };
            let mut steps = vec![Step::here(destroy, "it never ran, and the domU runs there")];
            steps.extend(demoted(end, |_| true));
            steps.extend(with_options_back(end, Step::here(Deed::Release, "nothing is on its way")));
            steps
        }
        _ => {
            let text = format!(
                "UNDECIDED: on {}: {}; on {}: {}\n  look at both, end the copy that is not wanted, then: xen-migrate recover {domu}",
                end.host,
                end.copies_in_words(),
                far.host,
                far.copies_in_words()
            );
            return Err(Stop::new(Exit::Undecided, text));
        }
    };
    drive.walk(&trip, &steps).map_err(|why| Stop::new(Exit::Failed, why))?;
    let after = drive.look_here()?;
    let place = match (after.running(), far.running()) {
        (Some(_), _) => format!("{domu} runs on {}.", drive.us),
        (None, Some(_)) => format!("{domu} runs on {}.", far.host),
        (None, None) => format!("{domu} runs on neither {} nor {}.", drive.us, far.host),
    };
    setting.world.say(To::Out, &place);
    let nowhere = after.running().is_none() && far.running().is_none();
    if nowhere {
        start_advice(setting, &after);
    }
    Ok(if nowhere { Exit::Undecided } else { Exit::Done })
}

/// Those of its resources that are Primary here and need not be.
fn demoted(end: &End, which: impl Fn(&ResourceName) -> bool) -> Vec<Step> {
    let names = end.replicas.iter().filter(|r| r.replica.role == Role::Primary).map(|r| &r.replica.resource);
    let demote = |name: &ResourceName| Step::here(Deed::Demote(name.clone()), "nothing runs on it here");
    names.filter(|name| which(name)).map(demote).collect()
}

/// Our options back where that is possible, then the record.
fn with_options_back(end: &End, last: Step) -> Vec<Step> {
    let open = end.row.as_ref().map(|r| r.open.clone()).unwrap_or_default();
    let mut steps: Vec<Step> = end
        .replicas
        .iter()
        .filter(|r| open.contains(&r.replica.resource) && r.replica.is_connected())
        .map(|r| Step::here(Deed::Close(r.replica.resource.clone()), "only during the migration"))
        .collect();
    steps.insert(0, last);
    steps
}

/// The sender cannot be asked. A copy that executes here under its own name was given permission, so the sender's can never run again.
fn sender_out_of_sight(setting: Setting<'_>, drive: &Drive<'_>, end: &End, row: &Row, error: &PeerError) -> Ended {
    let domu = &row.domu;
    if end.running().is_some() && end.copies.len() == 1 {
        let trip = Trip::of_row(row, Moment::from(setting.world.now()));
        drive
            .walk(&trip, &[Step::here(Deed::Arrived, "it runs here under its own name")])
            .map_err(|why| Stop::new(Exit::Failed, why))?;
        setting.world.say(To::Out, &format!("{domu} runs on {}.", drive.us));
        let text = format!(
            "{}, so DRBD's options stay as they are{}\n  later: xen-migrate recover {domu}",
            error.reason(),
            error.advice().map_or(String::new(), |advice| format!("\n  try: {advice}"))
        );
        setting.world.say(To::Err, &text);
        return Ok(Exit::Failed);
    }
    if end.copies.is_empty() {
        let text = format!("nothing of {domu} is here, and the sender cannot be asked: {error}\n  nothing was touched");
        let stop = Stop::new(Exit::Unreachable, text);
        let dead = format!("only if {} is dead and stays off: {}", row.host, failover(domu));
        return Err(if row.state == State::Returning { stop.with(&dead) } else { stop });
    }
    let mut stop = blind(&drive.us, row, &error.to_string()).with(&format!("here: {}", end.copies_in_words()));
    if let Some(who) = &end.receiving {
        stop = stop.with(&format!("still being received: {who}"));
        stop = stop.with(&format!("only if the sender is gone for good: {}", ending_of_reception(who)));
    }
    // The disk here is as new as the sender's last write that was acknowledged; the memory in a copy that never ran may be older.
    let ids: Vec<String> = end.copies.iter().map(|c| format!("{} destroy {}; ", end.toolstack, c.domain.id)).collect();
    let names: Vec<&str> = end.replicas.iter().map(|r| r.replica.resource.as_str()).collect();
    let config = end.config.as_ref().map_or("its config file", |c| c.path.as_str());
    Err(stop.with(&format!(
        "only if {} is dead and stays off: {}drbdadm adjust {}; {} create {config}",
        row.host,
        ids.concat(),
        names.join(" "),
        end.toolstack
    )))
}

/// No flight on the record: leftovers of a migration by hand, or nothing at all.
fn without_a_flight(setting: Setting<'_>, mut drive: Drive<'_>, end: &End, row: Option<Row>) -> Ended {
    let domu = end.domu.clone();
    let leftover = end.copies.iter().any(|c| c.called != CopyName::Plain);
    let partner = row.as_ref().map(|r| r.host.clone()).or_else(|| end.listed.as_ref().and_then(|l| l.first().cloned()));
    let Some(partner) = partner else {
        if !leftover {
            let exit = tell_apart(setting, &split::apart(end, None));
            if exit == Exit::Done {
                setting.world.say(To::Out, &format!("{domu}: nothing is in flight, and nothing was left behind."));
            }
            return Ok(exit);
        }
        let text = format!(
            "UNDECIDED: {}, and neither the record nor {} names a partner to look at\n  write a row there, with the other end of its journey:  \
             {domu}  OTHER-DOM0\n  and then: xen-migrate recover {domu}",
            end.copies_in_words(),
            table::PATH
        );
        return Err(Stop::new(Exit::Undecided, text));
    };
    if leftover {
        let trip = Trip::to(&partner, Moment::from(setting.world.now()));
        drive.face(&partner);
        if end.copy(CopyName::Incoming).is_some() {
            let text = format!(
                "{}: it came from another Dom0; settle it there\n  on {partner}: xen-migrate recover {domu}",
                end.copies_in_words()
            );
            return Err(Stop::new(Exit::Undecided, text));
        }
        if let Some(Ok(far)) = drive.look_there() {
            not_busy(&far)?;
        }
        let outcome = drive.settle(&trip, false)?;
        let us = drive.us.clone();
        return Ok(drive::report(setting, &domu, &us, &trip, &outcome));
    }
    // Whoever was told of this journey may not know its end: the line was lost, or its record could not be written.
    let (mut seen, mut hidden) = (None, None);
    if ssh::has_key(setting.world, &drive.us) {
        drive.face(&partner);
        match drive.look_there() {
            Some(Ok(far)) if sent_by(&far, &drive.us) => return ask_the_sender(setting, &mut drive, &far, &partner),
            Some(Ok(far))
                if far.row.as_ref().is_some_and(|r| r.state.in_flight() && r.host.same_host(&drive.us))
                    || (far.running().is_some() && end.running().is_some()) =>
            {
                not_busy(&far)?;
                if far.row.as_ref().is_some_and(|r| r.state.in_flight()) {
                    drive.tell(&format!("{domu}: on {partner} its journey from here is still on the record"));
                }
                let now = Moment::from(setting.world.now());
                let trip = row.as_ref().map_or_else(|| Trip::to(&partner, now), |row| Trip::of_row(row, now));
                let outcome = drive.settle(&trip, false)?;
                let us = drive.us.clone();
                return Ok(drive::report(setting, &domu, &us, &trip, &outcome));
            }
            Some(Err(error)) => hidden = Some(error),
            Some(Ok(far)) => seen = Some(far),
            None => {}
        }
    }
    let apart = split::apart(end, seen.as_ref());
    if let Some(row) = row.as_ref().filter(|_| end.copies.is_empty()) {
        match row.state {
            State::Visiting => return visitor_gone(setting, &drive, end, row),
            // Its journey home may have missed us.
            State::Passed if runs_at_home(setting, &drive, row)? => return Ok(Exit::Done),
            _ => {}
        }
    }
    if let Some(error) = hidden {
        return Ok(half_seen(setting, end, row.as_ref(), &partner, &error).max(tell_apart(setting, &apart)));
    }
    let text = match row {
        Some(row) if row.state == State::Passed && end.running().is_some() => {
            let back = row.home.as_ref().unwrap_or(&row.host);
            let visiting = Row { state: State::Visiting, host: back.clone(), ..row.clone() };
            drive
                .walk(&Trip::of_row(&row, row.since), &[Step::here(Deed::Note(visiting), "it runs here")])
                .map_err(|w| Stop::new(Exit::Failed, w))?;
            format!("{domu} runs here; the record said passed on to {} and was put right.", row.host)
        }
        Some(row) if row.state == State::Away && end.running().is_some() => {
            drive
                .walk(&Trip::of_row(&row, row.since), &[Step::here(Deed::Forget, "it runs here")])
                .map_err(|w| Stop::new(Exit::Failed, w))?;
            format!("{domu} runs here; the record said away on {} and was put right.", row.host)
        }
        Some(row)
            if row.state == State::Here && end.running().is_some() && seen.as_ref().is_some_and(|f| f.copies.is_empty()) =>
        {
            // It was started here while that host was dead; now it is there to be told.
            let belongs = |r: &Row| r.host.same_host(&drive.us) || r.home.as_ref().is_some_and(|h| h.same_host(&drive.us));
            let ours = |r: &Row| r.state == State::Visiting && belongs(r);
            let tell = seen.as_ref().is_some_and(|far| far.row.as_ref().is_some_and(ours));
            let mut steps = vec![Step::here(Deed::Forget, "it runs here, and nothing of it is there")];
            if tell {
                steps.insert(0, Step::there(Deed::Release, "it runs at home again"));
            }
            drive.walk(&Trip::of_row(&row, row.since), &steps).map_err(|w| Stop::new(Exit::Failed, w))?;
            format!("{domu} runs on {}.", drive.us)
        }
        Some(row)
            if row.state == State::Away && seen.as_ref().is_some_and(|far| far.running().is_none() && !passed_from(far)) =>
        {
            let paused = seen.as_ref().is_some_and(|far| far.copies.iter().any(|c| c.domain.state.paused));
            let text = seen.map(|far| reverse::not_well(end, &far)).unwrap_or_default();
            setting.world.say(To::Err, &format!("{domu}: {}, and nothing is in flight; {text}", row.in_words()));
            // Paused it may be on purpose; what has ended is a person's affair.
            let exit = if paused { Exit::Done } else { Exit::Undecided };
            return Ok(exit.max(tell_apart(setting, &apart)));
        }
        Some(row) => format!("{domu}: {}; nothing is in flight.", row.in_words()),
        None => format!("{domu}: nothing is in flight, and nothing was left behind."),
    };
    setting.world.say(To::Out, &text);
    Ok(tell_apart(setting, &apart))
}

/// The other end could not be looked at, so nothing is settled: neither that nothing of it is left there, nor that a row here is wrong.
fn half_seen(setting: Setting<'_>, end: &End, row: Option<&Row>, partner: &HostName, error: &PeerError) -> Exit {
    let say = |text: &str| setting.world.say(To::Err, text);
    let domu = &end.domu;
    let here = row.map_or("no row in the record".to_string(), Row::in_words);
    say(&format!("{domu}: here: {}, {here}; nothing is in flight here", end.copies_in_words()));
    say(&format!("what the record of {partner} says is not known: {error}"));
    say(&format!("  nothing was touched; when {partner} can be asked: xen-migrate recover {domu}"));
    if matches!(error, PeerError::Unreachable { .. }) { Exit::Unreachable } else { Exit::Undecided }
}

/// It went on from there.
fn passed_from(far: &End) -> bool {
    far.row.as_ref().is_some_and(|row| matches!(row.state, State::Passed | State::Away))
}

/// What stands alone is a person's affair, and is said as often as it is asked for.
fn tell_apart(setting: Setting<'_>, apart: &[Split]) -> Exit {
    for split in apart {
        setting.world.say(To::Err, &format!("still to be done: {}", split.what));
        split.commands.iter().for_each(|c| setting.world.say(To::Err, &format!("  {c}")));
    }
    if apart.is_empty() { Exit::Done } else { Exit::Failed }
}

/// It was visiting, and nothing of it is here any more: called home while this Dom0 was down, or ended.
fn visitor_gone(setting: Setting<'_>, drive: &Drive<'_>, end: &End, row: &Row) -> Ended {
    let domu = &row.domu;
    let home = row.home.as_ref().unwrap_or(&row.host);
    match ask_home(setting, drive, row) {
        Some(Ok(far)) if far.running().is_some() => {
            forget(setting, drive, row, home)?;
            return Ok(Exit::Done);
        }
        Some(Err(error)) => return Ok(half_seen(setting, end, Some(row), home, &error)),
        Some(Ok(_)) | None => {}
    }
    let text = format!(
        "{domu} was visiting here since {} and is not here any more\n  on {home}: xen-migrate reverse {domu}   (finds it, or says how to \
         start it there)",
        row.since
    );
    setting.world.say(To::Err, &text);
    Ok(Exit::Done)
}

/// What was passed on and runs at home again needs no trail any more. False: not as far as is known.
fn runs_at_home(setting: Setting<'_>, drive: &Drive<'_>, row: &Row) -> Result<bool, Stop> {
    let Some(home) = row.home.as_ref() else { return Ok(false) };
    let runs = ask_home(setting, drive, row).is_some_and(|far| far.is_ok_and(|far| far.running().is_some()));
    if runs {
        forget(setting, drive, row, home)?;
    }
    Ok(runs)
}

fn ask_home(setting: Setting<'_>, drive: &Drive<'_>, row: &Row) -> Option<Result<End, PeerError>> {
    let home = row.home.as_ref().unwrap_or(&row.host);
    ssh::has_key(setting.world, &drive.us).then(|| Peer::new(setting.world, &drive.us, home).look(&row.domu, &[]))
}

fn forget(setting: Setting<'_>, drive: &Drive<'_>, row: &Row, home: &HostName) -> Result<(), Stop> {
    let forget = [Step::here(Deed::Forget, "it runs at home")];
    drive.walk(&Trip::of_row(row, row.since), &forget).map_err(|why| Stop::new(Exit::Failed, why))?;
    setting.world.say(To::Out, &format!("{} runs on {home}.", row.domu));
    Ok(())
}

/// How to start a domU that runs nowhere.
pub fn start_advice(setting: Setting<'_>, end: &End) {
    let config = end.config.as_ref().map_or("its config file", |c| c.path.as_str());
    let say = |text: &str| setting.world.say(To::Err, text);
    say("To start it at home, once you are sure that no other Dom0 runs it:");
    for seen in &end.replicas {
        say(&format!("  {}   (now: {})", asking(end.generation, &[&seen.replica.resource]), seen.in_words()));
    }
    say(&format!("  {} create {config}", end.toolstack));
}

fn blind(us: &HostName, row: &Row, why: &str) -> Stop {
    let text = format!(
        "UNDECIDED: {} is {} {} and the other end cannot be looked at: {why}\n  on {}: xen-migrate recover {}\n  or mend the way there from {us}: \
         xen-migrate setup {}",
        row.domu, row.state, row.host, row.host, row.domu, row.host
    );
    Stop::new(Exit::Undecided, text)
}

impl Stop {
    fn with(mut self, more: &str) -> Stop {
        self.text += "\n  ";
        self.text += more;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_all_went_wrong_the_worst_counts() {
        for (ends, exit) in [
            (vec![Exit::Done, Exit::Done], Exit::Done),
            (vec![Exit::Refused, Exit::Failed], Exit::Failed),
            (vec![Exit::Undecided, Exit::Failed, Exit::Unreachable], Exit::Undecided),
            (vec![Exit::Done, Exit::Refused], Exit::Partly),
            (vec![Exit::Refused], Exit::Refused),
        ] {
            assert_eq!(of_several(&ends), exit, "{ends:?}");
        }
    }
}
