//! The one who waits: a turn now and then, and nothing in between.
//!
//! A turn is a round over the domUs that wait. Between two turns DRBD's events are listened to; a lost one costs minutes and no start,
//! because the next look comes anyway. When nobody waits any more, it ends: that is good news.

use super::cli::Asked;
use super::round::{self, Which};
use super::{Ended, Setting, failed, service};
use crate::adapters::boot;
use crate::adapters::drbd::{self, Picture};
use crate::adapters::look::Who;
use crate::adapters::{Flow, Held, LockError, To, Woken, World};
use crate::applets::exit::{Exit, Stop};
use crate::core::boot::timer;
use crate::core::drbd::{Generation, Replica};
use crate::core::names::ResourceName;
use crate::core::record::Moment;
use crate::core::xen::Toolstack;
use std::time::Duration;

/// After a turn that could not be made (another round is at work), the next one.
const SOON: Duration = Duration::from_secs(2);

/// What comes after a turn.
#[derive(Debug)]
pub enum Turn {
    /// Another one: at this time of [`World::clock`], or when one of these resources changes.
    Wait {
        /// When at the latest.
        until: Duration,
        /// Whose changes matter.
        interest: Vec<ResourceName>,
    },
    /// Nothing more.
    Done,
}

/// The daemon, between two turns.
pub struct Daemon {
    toolstack: Option<Toolstack>,
    /// The next turn looks at all, not only at those that wait.
    all: bool,
    /// What `daemon --start` was told, until a turn has written it down.
    asked: Option<Asked>,
    /// That turn goes on for a daemon that died.
    goes_on: bool,
    /// What the last turn saw of the resources that matter; `None`: it could not be seen.
    seen: Option<Vec<Replica>>,
    /// Who we are, and when that was last asked. It is not asked for every event.
    who: Option<(Who, Duration)>,
    held: Option<Box<dyn Held>>,
}

impl Daemon {
    /// Takes the lock that only one daemon has. The error: another one waits already.
    pub fn new(world: &dyn World, toolstack: Option<Toolstack>) -> Result<Daemon, Stop> {
        match world.lock(boot::DAEMON, "xen-drbd-auto waiting") {
            Ok(held) => {
                Ok(Daemon { toolstack, all: false, asked: None, goes_on: false, seen: None, who: None, held: Some(held) })
            }
            Err(LockError::Held(who)) => Err(Stop::new(Exit::Refused, format!("another daemon waits already: {who}"))),
            Err(LockError::Io(why)) => Err(failed(format!("the lock {}: {why}", boot::DAEMON))),
        }
    }

    /// Looks at those that wait, and starts what is safe now.
    pub fn turn(&mut self, world: &dyn World) -> Turn {
        if world.stopping() {
            // The diary belongs to whoever makes a round.
            let held = round::begin(world, "xen-drbd-auto ending");
            return self.end(world, held.is_ok());
        }
        self.seen = None;
        // What made us look is answered by this look.
        let which = if world.reloading() || std::mem::take(&mut self.all) { Which::All } else { Which::Waiting };
        let setting =
            Setting { world, toolstack: self.toolstack, root: None, path: None, asked: self.asked, goes_on: self.goes_on };
        // Held to the end of the turn: a start that comes now finds us waiting, or gone.
        let held = round::begin(world, "xen-drbd-auto looking again");
        let now = world.clock();
        // Each look that comes by the clock asks again.
        let known = self.who.take().filter(|(_, asked)| now < *asked + timer::until_the_next_look(0));
        let (who, asked) = known.map_or((None, now), |(who, asked)| (Some(who), asked));
        let made = held.as_ref().map_err(Stop::clone).and_then(|_| round::make(setting, which, who));
        let mut round = match made {
            Ok(round) => round,
            Err(stop) => {
                self.all |= which == Which::All;
                world.say(To::Log, &format!("the next look is made later: {}", stop.text.replace('\n', ";")));
                let until = if stop.exit == Exit::Refused { SOON } else { timer::until_the_next_look(world.roll(timer::SIDES)) };
                return Turn::Wait { until: world.clock() + until, interest: vec![] };
            }
        };
        self.asked = None;
        self.who = round.who.take().map(|who| (who, asked));
        if !round.diary.must_wait() || world.stopping() {
            return self.end(world, true);
        }
        let pause = timer::until_the_next_look(world.roll(timer::SIDES));
        round.diary.next_look = Some(Moment::from(world.now() + pause));
        if let Err(why) = boot::keep(world, &round.diary) {
            world.say(To::Log, &why);
        }
        round.interest.sort_unstable();
        round.interest.dedup();
        self.seen = round.seen.map(|seen| of(seen, &round.interest));
        Turn::Wait { until: world.clock() + pause, interest: round.interest }
    }

    /// `may_write`: nobody else makes a round. Otherwise that round writes what is true.
    fn end(&mut self, world: &dyn World, may_write: bool) -> Turn {
        let mut diary = boot::diary(world);
        diary.next_look = None;
        diary.stopped = (world.stopping() && diary.must_wait()).then(|| Moment::from(world.now()));
        if may_write {
            let _ = boot::keep(world, &diary);
        }
        self.held = None;
        // A reload that still found us here is asked for after that, and one that comes now finds nobody and is a start: none is lost.
        if !world.stopping()
            && world.reloading()
            && let Ok(again) = Daemon::new(world, self.toolstack)
        {
            *self = Daemon { all: true, ..again };
            return Turn::Wait { until: world.clock(), interest: vec![] };
        }
        world.say(To::Log, if diary.must_wait() { "the waiting was ended" } else { "nothing waits any more: the daemon goes" });
        Turn::Done
    }
}

/// Waits in the foreground, until nothing waits any more or somebody ends it.
pub fn run(setting: Setting<'_>, start: bool) -> Ended {
    let world = setting.world;
    // The service takes over from a daemon that a person has begun: two cannot be, and a service that gives up is started by nobody.
    let took_over = start && service::end_waiting(setting)?;
    // Somebody waits, and nobody has ended that: the one before us died, and the service manager sends us in its place. What it had decided
    // is decided. A domU that a person has shut down since is not started by that.
    let before = boot::diary(world);
    let goes_on = start && !took_over && before.wants_a_daemon() && !before.unfinished;
    let mut daemon = Daemon::new(world, setting.toolstack)?;
    daemon.all = start && !goes_on;
    (daemon.asked, daemon.goes_on) = (setting.asked, goes_on);
    let mut first = start;
    let mut pace = timer::Pace::default();
    loop {
        pace.look(world.clock());
        let turn = daemon.turn(world);
        if std::mem::take(&mut first) {
            // The journal of a service is where its start is read.
            service::remark(world, &boot::diary(world));
        }
        match turn {
            Turn::Done => {
                let how = if world.stopping() { "the waiting was ended" } else { "nothing waits any more" };
                world.notify(&format!("READY=1\nSTATUS={how}; xen-drbd-auto status"));
                return Ok(0);
            }
            Turn::Wait { until, interest } => {
                // Every domU was decided once. A service manager that watches us sees each turn.
                world.notify("READY=1\nWATCHDOG=1\nSTATUS=waiting; xen-drbd-auto status");
                wait(world, until, &interest, daemon.seen.take());
                // What happens meanwhile is in the next look.
                world.nap(pace.wait(world.clock()));
            }
        }
    }
}

/// Until the time has come, or something has changed of what matters since it was `seen`.
fn wait(world: &dyn World, until: Duration, interest: &[ResourceName], seen: Option<Vec<Replica>>) {
    let generation = drbd::generation(world).ok().flatten();
    // 8.3 has no events: there only the clock and a person wake us.
    let call = generation.filter(|g| *g != Generation::V83 && !interest.is_empty()).map(|_| drbd::argv::events2());
    let before = match (&call, generation) {
        (None, _) | (_, None) => vec![],
        // What has changed since the last look is news, also what changed while other domUs were started.
        (Some(_), Some(generation)) => {
            seen.unwrap_or_else(|| of(drbd::replicas(world, generation, "").unwrap_or_default(), interest))
        }
    };
    let mut ear = Ear { interest, before: Some(before), picture: Picture::new() };
    let mut heard = |line: &str| if ear.hears_news(line) { Flow::Stop } else { Flow::On };
    let began = world.clock();
    match world.listen(call.as_ref(), until, &mut heard) {
        Ok(Woken::Heard | Woken::Time | Woken::Asked) => {}
        // One that has lived for a while is started anew, after the look that makes up for what it may have missed.
        Ok(Woken::Ended) if world.clock().saturating_sub(began) > Duration::from_secs(10) => {}
        // One that ends at once (an 8.4 that knows no events2) would make a busy loop: the clock and a person are left.
        Ok(Woken::Ended) | Err(_) => drop(world.listen(None, until, &mut |_| Flow::On)),
    }
}

/// Who listens to DRBD's events for something that matters. How far a resync is does not.
struct Ear<'a> {
    /// Whose changes matter, in order.
    interest: &'a [ResourceName],
    /// What was seen of these; `None` when it was compared with what DRBD told first.
    before: Option<Vec<Replica>>,
    picture: Picture,
}

impl Ear<'_> {
    /// Takes a line in. True: something that matters is not as it was.
    fn hears_news(&mut self, line: &str) -> bool {
        let Some(before) = self.before.take() else { return self.changes(line) };
        self.picture.apply(line);
        // The first lines tell what is: what happened since the last look is in them.
        if self.picture.complete() {
            return of(self.picture.replicas(), self.interest) != before;
        }
        self.before = Some(before);
        false
    }

    /// Only what the line names can have changed: with a thousand resources the others are not looked at.
    fn changes(&mut self, line: &str) -> bool {
        let names = line.split_whitespace().filter_map(|word| word.strip_prefix("name:").or(word.strip_prefix("new_name:")));
        let place = |name: &str| self.interest.binary_search_by(|resource| resource.as_str().cmp(name)).ok();
        let named: Vec<&ResourceName> = names.filter_map(|name| self.interest.get(place(name)?)).collect();
        let before: Vec<Option<Replica>> = named.iter().map(|name| self.picture.replica(name)).collect();
        self.picture.apply(line);
        self.picture.complete() && named.iter().zip(before).any(|(name, before)| self.picture.replica(name) != before)
    }
}

/// Those of these resources, in order.
fn of(mut replicas: Vec<Replica>, interest: &[ResourceName]) -> Vec<Replica> {
    replicas.retain(|r| interest.binary_search(&r.resource).is_ok());
    replicas.sort_unstable_by(|a, b| a.resource.cmp(&b.resource));
    replicas
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: [&str; 9] = [
        "exists resource name:r0 role:Secondary suspended:no",
        "exists connection name:r0 peer-node-id:1 conn-name:b connection:Connecting role:Unknown",
        "exists device name:r0 volume:0 minor:0 disk:UpToDate",
        "exists peer-device name:r0 peer-node-id:1 conn-name:b volume:0 replication:Off peer-disk:DUnknown",
        "exists resource name:r1 role:Secondary suspended:no",
        "exists connection name:r1 peer-node-id:1 conn-name:b connection:Connected role:Primary",
        "exists device name:r1 volume:0 minor:1 disk:UpToDate",
        "exists peer-device name:r1 peer-node-id:1 conn-name:b volume:0 replication:Established peer-disk:UpToDate",
        "exists -",
    ];

    fn names(names: &[&str]) -> Vec<ResourceName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// Whether anything of the dump and then of these lines is news.
    fn is_news(interest: &[&str], seen: &str, lines: &[&str]) -> bool {
        let interest = names(interest);
        let before = of(Picture::of(seen).replicas(), &interest);
        let mut ear = Ear { interest: &interest, before: Some(before), picture: Picture::new() };
        DUMP.iter().chain(lines).any(|line| ear.hears_news(line))
    }

    #[test]
    fn what_is_as_it_was_is_no_news() {
        let seen = DUMP.join("\n");
        assert!(!is_news(&["r0", "r1"], &seen, &[]));
        // How far a resync is, what is said again, and what is said of others.
        let same = [
            "change peer-device name:r0 peer-node-id:1 conn-name:b volume:0 done:12.00",
            "change connection name:r1 peer-node-id:1 conn-name:b connection:Connected role:Primary",
            "change path name:r0 peer-node-id:1 conn-name:b established:yes",
            "change connection name:r2 peer-node-id:1 conn-name:b connection:Connected role:Secondary",
            "change resource name:r0 write-ordering:flush",
        ];
        assert!(!is_news(&["r0", "r1"], &seen, &same));
        assert!(!is_news(&["r0"], &seen, &["change connection name:r1 peer-node-id:1 connection:StandAlone"]));
    }

    #[test]
    fn what_changes_is_news() {
        let seen = DUMP.join("\n");
        for line in [
            "change connection name:r0 peer-node-id:1 conn-name:b connection:Connected role:Secondary",
            "change resource name:r0 role:Primary",
            "change device name:r0 volume:0 disk:Diskless",
            "change peer-device name:r0 peer-node-id:1 volume:0 replication:SyncTarget",
            "destroy resource name:r0",
            "create device name:r0 volume:1 minor:7",
            "rename resource name:r0 new_name:r7",
            "rename resource name:r2 new_name:r1",
        ] {
            let brought = format!("{line}\n").starts_with("rename resource name:r2");
            let first = if brought { vec!["exists resource name:r2 role:Secondary"] } else { vec![] };
            let lines: Vec<&str> = first.into_iter().chain([line]).collect();
            assert!(is_news(&["r0", "r1"], &seen, &lines), "{line}");
        }
    }

    #[test]
    fn what_changed_before_we_listened_is_news_as_well() {
        let seen = DUMP.join("\n").replace("role:Primary", "role:Secondary");
        assert!(is_news(&["r0", "r1"], &seen, &[]));
        assert!(!is_news(&["r0"], &seen, &[]));
    }

    #[test]
    fn after_a_line_that_is_not_understood_the_clock_decides() {
        let lines = ["change device name:r0 disk:UpToDate", "change resource name:r0 role:Primary"];
        assert!(!is_news(&["r0"], &DUMP.join("\n"), &lines));
    }
}
