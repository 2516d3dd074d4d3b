//! `xen-migrate reverse DOMU`: its host is asked to send it back.

use super::drive::{self, Drive};
use super::{Ended, Setting, migrate, recover, several};
use crate::adapters::peer::{Peer, PeerError};
use crate::adapters::{To, ssh};
use crate::applets::exit::{Exit, Stop};
use crate::core::facts::{CopyName, End};
use crate::core::migrate::Trip;
use crate::core::migrate::settle::third_primary;
use crate::core::names::{DomuName, HostName};
use crate::core::record::{Moment, Row, State};
use crate::core::step::{Deed, Step};
use crate::core::{options, table};

/// A trail longer than this goes in circles.
const LONGEST_TRAIL: usize = 16;

/// The verb.
pub fn run(setting: Setting<'_>, domu: &DomuName) -> Ended {
    let world = setting.world;
    let ground = drive::ground(setting)?;
    migrate::tell_faults(setting, &ground, domu);
    let us = ground.host.clone();
    let entry = ground.table.table.entry(domu);
    let mut words = entry.map(|e| e.options.clone()).unwrap_or_default();
    if let Err(bad) = options::check_from_peer(ground.toolstack, &words) {
        // The row is for the way there. What a peer cannot be asked for stays out of the way back.
        world.say(To::Err, &format!("note: the options of the row stay out of the way back: {bad}"));
        words.clear();
    }

    let mut drive = Drive::start(setting, &us, domu, &format!("xen-migrate reverse {domu}"))?;
    let here = drive.look_here()?;
    if let Some(exit) = at_home(setting, &here)? {
        return Ok(exit);
    }
    let begins = match (&here.row, entry) {
        (Some(row), _) => vec![row.host.clone()],
        (None, Some(entry)) => entry.hosts.clone(),
        (None, None) => {
            let text = format!(
                "neither the record nor {} of {us} says where {domu} could be\n  on {us}, write a row there:  {domu}  THE-DOM0-WHERE-IT-IS\n  \
                 and then: xen-migrate reverse {domu}",
                table::PATH
            );
            return Err(Stop::new(Exit::Usage, text));
        }
    };
    let begin = &begins[0];
    if begin.same_host(&us) {
        let text = format!(
            "{domu} does not run here, and the host that is named for it is this very Dom0\n  on {us}: mend its row in {}",
            table::PATH
        );
        return Err(Stop::new(Exit::Usage, text));
    }
    if !ssh::has_key(world, &us) {
        let text = format!(
            "{domu} should be on {begin}, which cannot be asked: there is no dedicated key {}\n  try: xen-migrate setup {begin}",
            ssh::key(&us)
        );
        return Err(Stop::new(Exit::Unreachable, text));
    }
    let (host, far) = find(setting, &here, &begins)?;
    if far.running().is_none() {
        return Err(not_running(setting, &here, &far));
    }

    let now = Moment::from(world.now());
    let row = Row {
        domu: domu.clone(),
        state: State::Returning,
        host: host.clone(),
        since: now,
        open: vec![],
        home: None,
        from: None,
        never: false,
    };
    let trip = Trip::of_row(&row, now);
    drive.tell(&format!("{domu}: {host} -> {us}, asked of {host}"));
    let before = here.row.clone();
    several::sets_out(setting, &far, &us, &[], false);
    drive
        .walk(&trip, &[Step::here(Deed::Note(row), "a crash from now on is known of")])
        .map_err(|why| Stop::new(Exit::Failed, format!("{why}\n  nothing was touched")))?;
    let answer = Peer::new(world, &us, &host).send(domu, &words);
    let after = drive.look_here()?;
    let began = before.as_ref().map(|row| row.host.clone());
    let ended = conclude(setting, &drive, &trip, before, &after, answer);
    if ended.is_ok()
        && let Some(began) = began
    {
        release_the_trail(setting, &mut drive, &began, &trip);
    }
    ended
}

/// Who had passed it on need not remember that any more.
fn release_the_trail(setting: Setting<'_>, drive: &mut Drive<'_>, began: &HostName, trip: &Trip) {
    let mut host = began.clone();
    for _ in 0..LONGEST_TRAIL {
        if host.same_host(&trip.to) {
            return;
        }
        let end = match Peer::new(setting.world, &drive.us, &host).look(&drive.domu, &[]) {
            Ok(end) => end,
            Err(_) => {
                drive.tell(&format!(
                    "note: {host} may still remember where it went; when it answers, there: xen-migrate recover {}",
                    drive.domu
                ));
                return;
            }
        };
        let Some(row) = end.row.filter(|row| row.state == State::Passed) else { return };
        drive.face(&host);
        let release = Step::there(Deed::Release, "it runs at home again");
        if let Err(why) = drive.walk(&Trip::to(&host, trip.now), &[release]) {
            drive.tell(&format!("  failed: {why}"));
            return;
        }
        host = row.host;
    }
}

/// Already here: nothing to bring back.
fn at_home(setting: Setting<'_>, here: &End) -> Result<Option<Exit>, Stop> {
    let domu = &here.domu;
    match &here.row {
        Some(row) if row.state.in_flight() || !row.open.is_empty() => {
            let text = format!("{domu}: {}\n  try: xen-migrate recover {domu}", row.in_words());
            return Err(Stop::new(Exit::Refused, text));
        }
        Some(row) if matches!(row.state, State::Visiting) && here.running().is_some() => {
            let home = row.home.as_ref().unwrap_or(&row.host);
            let text = format!("{domu} is visiting here; its home is {home}\n  on {home}: xen-migrate reverse {domu}");
            return Err(Stop::new(Exit::Refused, text));
        }
        Some(row) if row.state == State::Away && here.running().is_some() => {
            let text = format!("{domu} runs here although the record says away {}\n  try: xen-migrate recover {domu}", row.host);
            return Err(Stop::new(Exit::Refused, text));
        }
        _ => {}
    }
    match here.copies.first() {
        None => Ok(None),
        Some(copy) if here.running().is_some() && here.copies.len() == 1 => {
            setting.world.say(To::Out, &format!("{} runs on {} already.", copy.domain.name, here.host));
            Ok(Some(Exit::Done))
        }
        Some(_) => {
            let text = format!("on {}: {}\n  try: xen-migrate recover {domu}", here.host, here.copies_in_words());
            Err(Stop::new(Exit::Refused, text))
        }
    }
}

/// Where it is: along the trail from each of these hosts, and where DRBD shows a Primary. Where it is on none of them, the first that
/// answered.
fn find(setting: Setting<'_>, here: &End, begins: &[HostName]) -> Result<(HostName, End), Stop> {
    let (us, domu) = (&here.host, &here.domu);
    let mut first: Option<(HostName, End)> = None;
    let mut trouble = None;
    let mut hosts: Vec<HostName> = begins.iter().filter(|host| !host.same_host(us)).cloned().collect();
    let mut asked = 0;
    while asked < hosts.len() {
        match follow(setting, us, domu, &hosts[asked]) {
            Ok((host, far)) if !far.copies.is_empty() => return Ok((host, far)),
            Ok((host, far)) => {
                first.get_or_insert((host, far));
            }
            Err(stop) => {
                trouble.get_or_insert(stop);
            }
        }
        asked += 1;
        if asked == hosts.len()
            && let Some(primary) = sees_primary(here, first.as_ref().map_or(here, |(_, far)| far))
            && !hosts.iter().any(|host| host.same_host(&primary))
        {
            setting.world.say(To::Err, &looked_for(domu, us, &primary));
            hosts.push(primary);
        }
    }
    match (first, trouble) {
        (Some(found), _) => Ok(found),
        (None, Some(stop)) => Err(stop),
        (None, None) => Err(Stop::new(Exit::Usage, format!("no other Dom0 is named for {domu}"))),
    }
}

/// A third Dom0 that either of the two shows Primary.
fn sees_primary(here: &End, far: &End) -> Option<HostName> {
    third_primary(here, far).and_then(|name| name.parse().ok())
}

fn looked_for(domu: &DomuName, by: &HostName, primary: &HostName) -> String {
    format!("{by} sees {primary} Primary: {domu} is looked for there")
}

/// From host to host along the trail that each left when it passed the domU on; where a trail ends, to the Dom0 that DRBD shows Primary, as
/// far as it can be asked.
pub(super) fn follow(setting: Setting<'_>, us: &HostName, domu: &DomuName, begin: &HostName) -> Result<(HostName, End), Stop> {
    let mut trail: Vec<HostName> = vec![begin.clone()];
    loop {
        let host = trail[trail.len() - 1].clone();
        let far = Peer::new(setting.world, us, &host).look(domu, &[]).map_err(|e| Stop::new(Exit::Unreachable, e.to_string()))?;
        if !far.copies.is_empty() {
            return Ok((host, far));
        }
        let next = far.row.as_ref().filter(|r| matches!(r.state, State::Passed | State::Away)).map(|r| r.host.clone());
        let new =
            |next: &HostName| !next.same_host(us) && !trail.iter().any(|h| h.same_host(next)) && trail.len() < LONGEST_TRAIL;
        if let Some(next) = next.filter(new) {
            setting.world.say(To::Err, &format!("{domu} went on from {host} to {next}"));
            trail.push(next);
            continue;
        }
        let primary = sees_primary(&far, &far).filter(new);
        let there = primary.and_then(|next| Some((Peer::new(setting.world, us, &next).look(domu, &[]).ok()?, next)));
        return match there {
            Some((third, next)) if !third.copies.is_empty() => {
                setting.world.say(To::Err, &looked_for(domu, &host, &next));
                Ok((next, third))
            }
            _ => Ok((host, far)),
        };
    }
}

/// A domU that is not here and does not run there: where it is, how, and what to type, on one line.
pub(super) fn not_well(here: &End, far: &End) -> String {
    let domu = &here.domu;
    let (there, tool) = (&far.host, far.toolstack);
    let Some(copy) = far.copies.first() else {
        return format!(
            "{domu} runs neither here nor on {there}; on {}: xen-migrate reverse {domu}   (says how to start it)",
            here.host
        );
    };
    let (state, id) = (&copy.domain.state, copy.domain.id);
    let next = match copy.called {
        CopyName::Plain if state.paused && state.shutdown.is_none() => format!("{tool} unpause {domu}"),
        CopyName::Plain if state.shutdown.is_some() => format!(
            "{tool} destroy {id}, after a look at /var/log/xen and its console; then on {}: xen-migrate reverse {domu}   (says how to start it)",
            here.host
        ),
        CopyName::Plain => format!("{tool} list {domu}   (it is changing just now)"),
        _ => format!("xen-migrate recover {domu}"),
    };
    format!("{} is {} on {there} (id {id}); on {there}: {next}", copy.domain.name, state.in_words())
}

fn not_running(setting: Setting<'_>, here: &End, far: &End) -> Stop {
    let domu = &here.domu;
    if let Some(row) = far.row.as_ref().filter(|r| r.state.in_flight()) {
        let text = format!(
            "on {} {domu} is {} {} since {}\n  try: xen-migrate recover {domu}",
            far.host, row.state, row.host, row.since
        );
        return Stop::new(Exit::Refused, text);
    }
    if !far.copies.is_empty() {
        return Stop::new(Exit::Refused, format!("only a running domU can be sent: {}", not_well(here, far)));
    }
    let proven = !here.replicas.is_empty() && here.replicas.iter().all(|r| r.is_secondary_everywhere());
    let roles: Vec<String> = here.replicas.iter().map(|r| r.in_words()).collect();
    let text = if proven {
        format!("{domu} runs neither here nor on {}: every replica is connected and Secondary ({})", far.host, roles.join("; "))
    } else {
        format!(
            "{domu} runs neither here nor on {}, and DRBD does not prove that it runs nowhere ({})",
            far.host,
            roles.join("; ")
        )
    };
    if proven {
        recover::start_advice(setting, here);
        return Stop::new(Exit::Undecided, text);
    }
    let next = match sees_primary(here, far) {
        Some(host) => format!(
            "DRBD shows {host} Primary: it may run there\n  on {host}: xen-migrate status {domu}\n  if it does, on {host}: a row `{domu} {}` \
             in {}, and: xen-migrate migrate {domu}",
            here.host,
            table::PATH
        ),
        None => format!(
            "try: xen-migrate where {domu}   (asks every Dom0 that is known)\n  and: xen-migrate recover {domu}   (what keeps DRBD apart, \
             with the commands)"
        ),
    };
    Stop::new(Exit::Undecided, format!("{text}\n  {next}"))
}

/// What came of it, by what is here now.
fn conclude(
    setting: Setting<'_>,
    drive: &Drive<'_>,
    trip: &Trip,
    before: Option<Row>,
    after: &End,
    answer: Result<i32, PeerError>,
) -> Ended {
    let domu = &after.domu;
    let untouched = match &answer {
        Ok(code) => Exit::of_code(*code) == Exit::Refused || Exit::of_code(*code) == Exit::Unreachable,
        Err(error) => error.untouched(),
    };
    let returning = after.row.as_ref().is_some_and(|r| r.state == State::Returning);
    if untouched && returning && after.copies.is_empty() && after.row.as_ref().is_some_and(|r| r.open.is_empty()) {
        // Nothing began: the record says again what it said.
        let back = before.map_or(Deed::Forget, Deed::Note);
        drive.walk(trip, &[Step::here(back, "nothing began")]).map_err(|why| Stop::new(Exit::Failed, why))?;
    }
    match answer {
        Ok(0) if after.running().is_some() && !after.row.as_ref().is_some_and(|r| r.state.in_flight()) => {
            setting.world.say(To::Out, &format!("{domu} runs on {}.", after.host));
            Ok(Exit::Done)
        }
        Ok(0) => {
            let text = format!(
                "{} says that it was sent, and here: {}\n  try: xen-migrate recover {domu}",
                trip.to,
                after.copies_in_words()
            );
            Err(Stop::new(Exit::Undecided, text))
        }
        Ok(code) => {
            let text = format!("{} did not send {domu} (exit {code}, see above); here: {}", trip.to, after.copies_in_words());
            Err(Stop::new(Exit::of_code(code), text))
        }
        Err(error) if untouched => Err(error.into()),
        Err(error) => {
            let text = format!(
                "{error}\n  it may still be on its way; here: {}\n  try: xen-migrate recover {domu}",
                after.copies_in_words()
            );
            Err(Stop::new(Exit::Undecided, text))
        }
    }
}
