//! start, stop, reload: what an init script is asked for.

use super::round::{self, Which};
use super::{Ended, Setting, failed};
use crate::adapters::foreign::Foreign;
use crate::adapters::{Held, Summons, To, World, boot};
use crate::applets::exit::{Exit, Stop};
use crate::core::boot::diary::Diary;
use crate::core::record::Moment;
use std::time::Duration;

/// How long another round is waited for. It may be creating one domU after the other.
const ROUND_TIME: Duration = Duration::from_secs(300);

/// How long a daemon may take to end: an `xl create` that does not answer has five minutes, and what it made is destroyed then.
const ENDING_TIME: Duration = Duration::from_secs(400);

/// How long a daemon that was started may take until it waits, on a busy host.
const BEGINNING_TIME: Duration = Duration::from_secs(30);

/// Decides once for every domU, and leaves what must wait to the background.
pub fn start(setting: Setting<'_>) -> Ended {
    let world = setting.world;
    // Held until somebody waits: a daemon that is just about to go cannot be mistaken for one that stays.
    let _held = patiently(setting)?;
    let round = round::make(setting, Which::All, None)?;
    remark(world, &round.diary);
    if round.diary.domus.is_empty() {
        world.say(To::Out, &format!("No domU configs in {}.", boot::FOLDER));
    }
    if world.stopping() {
        return Err(failed("stopped as asked, before everything was decided; no daemon was begun\n  try: xen-drbd-auto start"));
    }
    if round.diary.must_wait() {
        wait_in_the_background(setting, &round.diary)?;
    }
    match round.unkept {
        Some(why) => Err(failed(unkept(&why))),
        None => Ok(round.worst.code()),
    }
}

/// Without a trace of what must be put back after a crash nothing is claimed; and who asks later is not told.
fn unkept(why: &str) -> String {
    format!(
        "what was decided could not be kept: {why}\n  until that works no domU is started, and status and explain know nothing of this look\n  try: \
         df -h /run; df -i /run   (make room there), then: xen-drbd-auto reload"
    )
}

/// The daemon may be in the middle of a round, which ends by itself.
fn patiently(setting: Setting<'_>) -> Result<Box<dyn Held>, Stop> {
    let world = setting.world;
    let start = world.clock();
    loop {
        match round::begin(world, "xen-drbd-auto start") {
            Err(stop) if stop.exit == Exit::Refused && world.clock().saturating_sub(start) < ROUND_TIME => {
                world.rest(Duration::from_millis(500));
            }
            ended => return ended,
        }
    }
}

/// Leaves the waiting to the daemon: to the one that is there, or to a new one.
fn wait_in_the_background(setting: Setting<'_>, diary: &Diary) -> Result<(), Stop> {
    let world = setting.world;
    let names: Vec<&str> = diary.waiting().map(|(file, pages)| pages.domu.as_deref().unwrap_or(file)).collect();
    let waits = if names.is_empty() { "the options of DRBD".to_string() } else { names.join(", ") };
    let is_there = world.summon(boot::DAEMON, Summons::Reload).map_err(|why| failed(format!("the waiting daemon: {why}")))?;
    if !is_there {
        world.begin(&daemon_argv(setting)).map_err(|why| failed(format!("the waiting daemon could not be started: {why}")))?;
        // A stop or a status right behind this must find it; and where it could not begin, nobody waits.
        let start = world.clock();
        while world.lock_holder(boot::DAEMON).is_none() {
            if world.clock().saturating_sub(start) > BEGINNING_TIME {
                return Err(failed(format!(
                    "the waiting daemon did not begin, so nobody waits for: {waits}\n  look: df -h /run; tail /var/log/syslog, or \
                     journalctl -t xen-drbd-auto\n  try: xen-drbd-auto start"
                )));
            }
            world.rest(Duration::from_millis(20));
        }
    }
    world.say(To::Out, &format!("Waiting in the background for: {waits}"));
    Ok(())
}

/// How the daemon is started: with the same root, tools and toolstack.
fn daemon_argv(setting: Setting<'_>) -> Vec<String> {
    let mut argv = vec!["xen-drbd-auto".to_string()];
    let toolstack = setting.toolstack.map(|ts| ts.to_string());
    for (option, value) in [("--root", setting.root), ("--path", setting.path), ("--toolstack", toolstack.as_deref())] {
        if let Some(value) = value {
            argv.extend([option.to_string(), value.to_string()]);
        }
    }
    argv.push("daemon".to_string());
    argv
}

/// Ends the waiting. No domU is touched.
pub fn stop(setting: Setting<'_>) -> Ended {
    let world = setting.world;
    if end_waiting(setting)? {
        world.say(To::Out, "The waiting has ended; no domU was touched.");
    } else {
        no_more(world);
        world.say(To::Out, "Nothing is waiting; no domU was touched.");
    }
    Ok(0)
}

/// Ends the daemon and waits until it is gone. False: there was none.
pub fn end_waiting(setting: Setting<'_>) -> Result<bool, Stop> {
    let world = setting.world;
    let asked = |why: std::io::Error| failed(format!("the waiting daemon: {why}"));
    let mut found = world.summon(boot::DAEMON, Summons::Stop).map_err(asked)?;
    if !found && world.lock_holder(boot::ROUND).is_some() {
        // A start is just at work: it is finished, and what it leaves waiting is ended.
        drop(patiently(setting)?);
        found = world.summon(boot::DAEMON, Summons::Stop).map_err(asked)?;
    }
    if !found {
        return Ok(false);
    }
    let start = world.clock();
    while let Some(who) = world.lock_holder(boot::DAEMON) {
        // It may be in the middle of a claim, which it finishes or takes back.
        if world.clock().saturating_sub(start) > ENDING_TIME {
            return Err(failed(format!("the daemon was asked to end and is still there: {who}")));
        }
        world.rest(Duration::from_millis(100));
    }
    Ok(true)
}

/// The daemon died, and now a person does not want one: nobody is missed any more.
fn no_more(world: &dyn World) {
    if let Ok(_held) = round::begin(world, "xen-drbd-auto stop") {
        was_ended(world);
    }
}

/// The daemon that waited is gone, as somebody asked it. Who holds the round writes it down: the daemon itself could not.
pub fn was_ended(world: &dyn World) {
    if world.lock_holder(boot::DAEMON).is_some() {
        return;
    }
    let mut diary = boot::diary(world);
    if diary.wants_a_daemon() {
        diary.stopped = Some(Moment::from(world.now()));
        if let Err(why) = boot::keep(world, &diary) {
            world.say(To::Log, &why);
        }
    }
}

/// Looks again now. Without a daemon there is nothing that waits: then it is a start, for what has changed in the folder.
pub fn reload(setting: Setting<'_>) -> Ended {
    let world = setting.world;
    match world.summon(boot::DAEMON, Summons::Reload) {
        // One that is just about to go does not look again any more: see Daemon::end.
        Ok(true) if world.lock_holder(boot::DAEMON).is_some() => {
            world.say(To::Out, "What waits is looked at now: xen-drbd-auto status");
            Ok(0)
        }
        Ok(_) => start(setting),
        Err(why) => Err(Stop::new(Exit::Failed, format!("the waiting daemon: {why}"))),
    }
}

/// Whoever else would start the same domUs, and what in the folder is no config.
pub fn remark(world: &dyn World, diary: &Diary) {
    let foreign = Foreign::look(world);
    for (file, pages) in &diary.domus {
        let name = pages.domu.as_deref().unwrap_or(file);
        for note in foreign.of(world, file, pages.domu.as_deref()) {
            world.say(To::Err, &format!("note: {name}: {note}"));
        }
    }
    for note in foreign.of_all() {
        world.say(To::Err, &format!("note: {note}"));
    }
    for (file, why) in boot::left_out(world) {
        world.say(To::Out, &format!("{file}: left out: {why}"));
    }
}
