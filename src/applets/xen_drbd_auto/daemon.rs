//! The one who waits: a turn now and then, and nothing in between.
//!
//! A turn is a round over the domUs that wait. Between two turns DRBD's events are listened to; a lost one costs minutes and no start,
//! because the next look comes anyway. When nobody waits any more, it ends: that is good news.

use super::round::{self, Which};
use super::{Ended, Setting, failed, service};
use crate::adapters::boot;
use crate::adapters::drbd::{self, Picture};
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
    trust_quorum: Option<bool>,
    held: Option<Box<dyn Held>>,
}

impl Daemon {
    /// Takes the lock that only one daemon has. The error: another one waits already.
    pub fn new(world: &dyn World, toolstack: Option<Toolstack>) -> Result<Daemon, Stop> {
        match world.lock(boot::DAEMON, "xen-drbd-auto waiting") {
            Ok(held) => Ok(Daemon { toolstack, all: false, trust_quorum: None, held: Some(held) }),
            Err(LockError::Held(who)) => Err(Stop::new(Exit::Refused, format!("another daemon waits already: {who}"))),
            Err(LockError::Io(why)) => Err(failed(format!("the lock {}: {why}", boot::DAEMON))),
        }
    }

    /// Looks at those that wait, and starts what is safe now.
    pub fn turn(&mut self, world: &dyn World) -> Turn {
        if world.stopping() {
            return self.end(world);
        }
        // What made us look is answered by this look.
        let which = if world.reloading() || std::mem::take(&mut self.all) { Which::All } else { Which::Waiting };
        let setting = Setting { world, toolstack: self.toolstack, root: None, path: None, trust_quorum: self.trust_quorum };
        // Held to the end of the turn: a start that comes now finds us waiting, or gone.
        let held = round::begin(world, "xen-drbd-auto looking again");
        let made = held.as_ref().map_err(Stop::clone).and_then(|_| round::make(setting, which));
        let mut round = match made {
            Ok(round) => round,
            Err(stop) => {
                self.all |= which == Which::All;
                world.say(To::Log, &format!("the next look is made later: {}", stop.text.replace('\n', ";")));
                let until = if stop.exit == Exit::Refused { SOON } else { timer::until_the_next_look(world.roll(timer::SIDES)) };
                return Turn::Wait { until: world.clock() + until, interest: vec![] };
            }
        };
        self.trust_quorum = None;
        if !round.diary.must_wait() || world.stopping() {
            return self.end(world);
        }
        let pause = timer::until_the_next_look(world.roll(timer::SIDES));
        round.diary.next_look = Some(Moment::from(world.now() + pause));
        if let Err(why) = boot::keep(world, &round.diary) {
            world.say(To::Log, &why);
        }
        Turn::Wait { until: world.clock() + pause, interest: round.interest }
    }

    fn end(&mut self, world: &dyn World) -> Turn {
        let mut diary = boot::diary(world);
        diary.next_look = None;
        let _ = boot::keep(world, &diary);
        self.held = None;
        world.say(To::Log, if diary.must_wait() { "the waiting was ended" } else { "nothing waits any more: the daemon goes" });
        Turn::Done
    }
}

/// Waits in the foreground, until nothing waits any more or somebody ends it.
pub fn run(setting: Setting<'_>, start: bool) -> Ended {
    let world = setting.world;
    let mut daemon = Daemon::new(world, setting.toolstack)?;
    daemon.all = start;
    daemon.trust_quorum = setting.trust_quorum;
    let mut first = start;
    loop {
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
                wait(world, until, &interest);
            }
        }
    }
}

/// Until the time has come, or something has changed of what matters.
fn wait(world: &dyn World, until: Duration, interest: &[ResourceName]) {
    let generation = drbd::generation(world).ok().flatten();
    // 8.3 has no events: there only the clock and a person wake us.
    let call = generation.filter(|g| *g != Generation::V83 && !interest.is_empty()).map(|_| drbd::argv::events2());
    let before = match (&call, generation) {
        (Some(_), Some(generation)) => of(&drbd::replicas(world, generation, "").unwrap_or_default(), interest),
        _ => vec![],
    };
    let mut picture = Picture::new();
    let mut heard = |line: &str| {
        picture.apply(line);
        // The first lines tell what is: what happened since the last look is in them.
        if picture.complete() && of(&picture.replicas(), interest) != before { Flow::Stop } else { Flow::On }
    };
    let began = world.clock();
    match world.listen(call.as_ref(), until, &mut heard) {
        Ok(Woken::Heard | Woken::Time | Woken::Asked) => {}
        // One that has lived for a while is started anew, after the look that makes up for what it may have missed.
        Ok(Woken::Ended) if world.clock().saturating_sub(began) > Duration::from_secs(10) => {}
        // One that ends at once (an 8.4 that knows no events2) would make a busy loop: the clock and a person are left.
        Ok(Woken::Ended) | Err(_) => drop(world.listen(None, until, &mut |_| Flow::On)),
    }
}

/// What matters of these resources: everything but how far a resync is.
fn of(replicas: &[Replica], interest: &[ResourceName]) -> Vec<Replica> {
    let mut found: Vec<Replica> = replicas.iter().filter(|r| interest.contains(&r.resource)).cloned().collect();
    found.sort_by(|a, b| a.resource.as_str().cmp(b.resource.as_str()));
    found
}
