//! status and explain: what was decided, on what evidence.

use super::{Ended, Setting};
use crate::adapters::foreign::Foreign;
use crate::adapters::{Holder, HolderState, To, World, boot};
use crate::applets::exit::{Exit, Stop};
use crate::core::boot::diary::{Diary, Entry};
use crate::core::names::DomuName;
use crate::core::record::Moment;
use serde_json::json;

/// So many seconds after the time of its next look a daemon that has not looked is late: a busy host may need some for a look.
const LATE: u64 = 60;

/// One line a domU, and the daemon. The exit code is the LSB's: 0 it waits or need not, 1 it died or hangs although somebody waits, 3 nothing
/// was decided since the boot, or somebody ended the waiting, 4 it could not be seen.
pub fn status(setting: Setting<'_>, as_json: bool) -> Ended {
    let world = setting.world;
    let Seen { diary, daemon, working, unseen } = Seen::look(world);
    let foreign = Foreign::look(world);
    let late = late(world, &diary).filter(|_| daemon.is_some());
    let code = match &daemon {
        _ if !unseen.is_empty() => 4,
        // A first start may be creating for minutes, and whoever waits is handed on at its end.
        None if working.is_some() => 0,
        Some(_) if late.is_some() => 1,
        Some(_) => 0,
        None if diary.version == 0 => 3,
        None if diary.wants_a_daemon() => 1,
        None if diary.must_wait() => 3,
        None => 0,
    };
    if as_json {
        let domus: Vec<_> = diary
            .domus
            .iter()
            .map(|(file, pages)| {
                let last = pages.entries.last();
                json!({
                    "file": file,
                    "domu": pages.domu,
                    "decision": last.map(|e| e.outcome.word()),
                    "evidence": last.map(|e| e.outcome.evidence()),
                    "since": last.map(|e| e.since.to_string()),
                    "looked": last.map(|e| e.until.to_string()),
                    "times": last.map(|e| e.times),
                    "well": last.is_some_and(|e| e.outcome.is_well()),
                    "notes": foreign.of(world, file, pages.domu.as_deref()),
                })
            })
            .collect();
        let all = json!({
            "version": 1,
            "daemon": daemon.as_ref().map(|who| &who.said),
            "late": late.is_some(),
            "next_look": diary.next_look.filter(|_| daemon.is_some()).map(|m| m.to_string()),
            "stopped": diary.stopped.filter(|_| daemon.is_none()).map(|m| m.to_string()),
            "guarded": diary.guarded.keys().map(|r| r.as_str()).collect::<Vec<_>>(),
            "domus": domus,
            "notes": foreign.of_all(),
            "unseen": unseen,
        });
        world.say(To::Machine, &all.to_string());
        return Ok(code);
    }
    let name = |file: &str, domu: &Option<String>| domu.clone().unwrap_or_else(|| file.to_string());
    let width = diary.domus.iter().map(|(file, p)| name(file, &p.domu).chars().count()).max().unwrap_or(0);
    for (file, pages) in &diary.domus {
        let Some(last) = pages.entries.last() else { continue };
        let name = name(file, &pages.domu);
        let evidence = last.outcome.evidence().lines().next().unwrap_or_default();
        world.say(To::Out, &format!("{name:width$}  {:8}  {evidence}  (since {})", last.outcome.word(), last.since));
    }
    for why in &unseen {
        world.say(To::Err, &format!("not seen: {why}"));
    }
    match (daemon.as_ref().filter(|who| who.state != HolderState::Unknown), &working) {
        // What it said of a daemon would be a guess.
        (None, _) if !unseen.is_empty() => {
            world.say(To::Err, "try, as root: xen-drbd-auto start   (everything is looked at anew; no domU is touched that runs)")
        }
        (None, Some(who)) => world.say(To::Out, &format!("at work just now: {who}")),
        (known, _) => world.say(To::Out, &daemon_line(&diary, known)),
    }
    if let Some(at) = late {
        world.say(
            To::Out,
            &format!(
                "DAEMON LATE: it should have looked at {at} and has not; it is stopped or hangs (or the clock was set)\n  look: ps -o \
                 pid,stat,wchan,args -C xen-drbd-auto   (state T: kill -CONT its pid)\n  try: xen-drbd-auto restart   (no domU is touched)"
            ),
        );
    }
    for resource in diary.guarded.keys() {
        world.say(
            To::Out,
            &format!("The guard of {resource} (one Primary, fencing=resource-only) is still on; it is taken off as soon as DRBD lets us."),
        );
    }
    for (file, pages) in &diary.domus {
        for note in foreign.of(world, file, pages.domu.as_deref()) {
            world.say(To::Out, &format!("note: {}: {note}", name(file, &pages.domu)));
        }
    }
    for note in foreign.of_all() {
        world.say(To::Out, &format!("note: {note}"));
    }
    Ok(code)
}

/// What there is to report.
struct Seen {
    diary: Diary,
    daemon: Option<Holder>,
    /// Who makes a round.
    working: Option<Holder>,
    /// What could not be seen, and why.
    unseen: Vec<String>,
}

impl Seen {
    fn look(world: &dyn World) -> Seen {
        let mut unseen = Vec::new();
        let diary = boot::diary_or_why(world).unwrap_or_else(|why| {
            unseen.push(why);
            Diary::default()
        });
        let mut holder = |name| {
            let holder = world.lock_holder(name);
            let unknown = holder.iter().filter(|who| who.state == HolderState::Unknown);
            unseen.extend(unknown.map(|who| format!("the lock {name}: {who}")));
            holder
        };
        let (daemon, working) = (holder(boot::DAEMON), holder(boot::ROUND));
        Seen { diary, daemon, working, unseen }
    }
}

/// When the daemon should have looked, where it is late.
fn late(world: &dyn World, diary: &Diary) -> Option<Moment> {
    let due = diary.next_look?;
    is_late(due, Moment::from(world.now()), world.lock_holder(boot::ROUND).map(|who| who.state)).then_some(due)
}

/// Long past, and nobody is at it, or who is at it was stopped. A round that creates many domUs may take long.
fn is_late(due: Moment, now: Moment, at_it: Option<HolderState>) -> bool {
    now.0.saturating_sub(due.0) > LATE && at_it.is_none_or(|state| state == HolderState::Stopped)
}

fn daemon_line(diary: &Diary, daemon: Option<&Holder>) -> String {
    match (daemon, diary.version) {
        (Some(who), _) => match diary.next_look {
            Some(at) => format!("daemon waits: {who}; it looks again on an event, on reload, or at {at}"),
            None => format!("daemon waits: {who}"),
        },
        (None, 0) => "Nothing was decided since the boot: xen-drbd-auto start".to_string(),
        (None, _) if diary.must_wait() && !diary.wants_a_daemon() => {
            let at = diary.stopped.map(|at| at.to_string()).unwrap_or_default();
            format!("stopped at {at}: nobody waits for those above any more; to wait again: xen-drbd-auto start")
        }
        (None, _) if diary.must_wait() => {
            "DAEMON DIED although somebody waits: xen-drbd-auto start   (no domU is touched by its death)".to_string()
        }
        (None, _) if diary.all_is_well() => "daemon gone: nothing waits any more, all is well".to_string(),
        (None, _) => "daemon gone: nothing waits any more; what is a fault, or does not run, needs a person".to_string(),
    }
}

/// Every decision about one domU.
pub fn explain(setting: Setting<'_>, domu: &DomuName) -> Ended {
    let world = setting.world;
    let diary = boot::diary(world);
    let is = |file: &str| file == domu.as_str() || file.rsplit_once('.').is_some_and(|(stem, _)| stem == domu.as_str());
    let by_name = diary.domus.iter().find(|(_, pages)| pages.domu.as_deref() == Some(domu.as_str()));
    let found = by_name.or_else(|| diary.domus.iter().find(|(file, _)| is(file)));
    let Some((file, pages)) = found else {
        let text = match diary.version {
            0 => "nothing was decided since the boot\n  try: xen-drbd-auto start".to_string(),
            _ => format!(
                "no config in {} defines {domu}, as far as they were understood\n  try: xen-drbd-auto status",
                boot::FOLDER
            ),
        };
        return Err(Stop::new(Exit::Usage, text));
    };
    world.say(To::Out, &format!("{domu} ({}/{file}):", boot::FOLDER));
    for entry in &pages.entries {
        world.say(To::Out, &line(entry));
    }
    if let (Some(at), Some(_)) = (diary.next_look, world.lock_holder(boot::DAEMON))
        && pages.entries.last().is_some_and(|e| !e.is_final())
    {
        world.say(To::Out, &format!("It is looked at again when DRBD reports a change, on reload, and at {at} at the latest."));
    }
    for note in Foreign::look(world).of(world, file, pages.domu.as_deref()) {
        world.say(To::Out, &format!("note: {note}"));
    }
    Ok(0)
}

/// Of a fault the first line is what is wrong, and what follows shows the place.
fn line(entry: &Entry) -> String {
    let evidence = entry.outcome.evidence();
    let (first, place) =
        evidence.split_once('\n').map_or((evidence, String::new()), |(first, rest)| (first, format!("\n{rest}")));
    let first = match entry.times {
        1 => first.to_string(),
        n => format!("{first}  ({n} times, last {})", entry.until),
    };
    format!("  {}  {:8}  {first}{place}", entry.since, entry.outcome.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_who_should_have_looked_long_ago_and_is_not_at_it() {
        let (working, stopped) = (Some(HolderState::Awake), Some(HolderState::Stopped));
        for (now, at_it, late) in [
            (1000 + LATE, None, false),
            (1000 + LATE + 1, None, true),
            (9000, working, false),
            (9000, stopped, true),
            (1000, stopped, false),
            (0, None, false),
        ] {
            assert_eq!(is_late(Moment(1000), Moment(now), at_it), late, "{now} {at_it:?}");
        }
    }
}
