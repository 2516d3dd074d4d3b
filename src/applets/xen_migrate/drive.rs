//! The hall that every migration passes through: look at both ends → plan → record → act → look at both ends → settle.

use super::Setting;
use crate::adapters::deeds::{self, Cause};
use crate::adapters::look::{self, Ground, LookError};
use crate::adapters::peer::{Peer, PeerError};
use crate::adapters::xen::XenError;
use crate::adapters::{Held, LockError, Nap, To, ssh};
use crate::applets::exit::{Exit, Stop};
use crate::core::facts::End;
use crate::core::migrate::Trip;
use crate::core::migrate::settle::{Ending, Far, Settlement, settle};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::Moment;
use crate::core::step::{Deed, Place, Step};
use std::cell::Cell;
use std::time::Duration;

/// How long something that moves by itself is waited for before it is called undecided.
const PATIENCE: Duration = Duration::from_secs(60);

/// More rounds of deeds than any recovery needs.
const MOST_ROUNDS: u32 = 20;

/// How long a domU that is there and not well may take to become so: its disks connect only once it runs.
const RECOVERY_TIME: Duration = Duration::from_secs(30);

/// One domU, its two ends, and the right to change them.
pub struct Drive<'a> {
    setting: Setting<'a>,
    /// The domU.
    pub domu: DomuName,
    /// This Dom0.
    pub us: HostName,
    peer: Option<Peer<'a>>,
    resources: Vec<ResourceName>,
    /// A deed was begun: from here on nobody may say that nothing was touched.
    touched: Cell<bool>,
    /// The last look did not reach the other end.
    unreached: Cell<bool>,
    _held: Box<dyn Held>,
}

impl<'a> Drive<'a> {
    /// Takes the domU's lock. `purpose` is what others are told meanwhile.
    pub fn start(setting: Setting<'a>, us: &HostName, domu: &DomuName, purpose: &str) -> Result<Drive<'a>, Stop> {
        let held = setting.world.lock(&look::lock_name(domu), purpose).map_err(|error| match error {
            LockError::Held(who) => Stop::new(
                Exit::Refused,
                format!(
                    "{domu} is being worked on: {}\n  nothing was touched; try again when that has ended",
                    at_work(domu, &who)
                ),
            ),
            LockError::Io(why) => Stop::new(Exit::Failed, format!("the lock of {domu} could not be taken: {why}")),
        })?;
        Ok(Drive {
            setting,
            domu: domu.clone(),
            us: us.clone(),
            peer: None,
            resources: vec![],
            touched: Cell::new(false),
            unreached: Cell::new(false),
            _held: held,
        })
    }

    /// Which Dom0 the other end is. Without the dedicated key it stays out of sight.
    pub fn face(&mut self, host: &HostName) {
        self.peer = ssh::has_key(self.setting.world, &self.us).then(|| Peer::new(self.setting.world, &self.us, host));
    }

    /// The other end can be asked.
    pub fn sees_peer(&self) -> bool {
        self.peer.is_some()
    }

    /// Looks at this end.
    pub fn look_here(&mut self) -> Result<End, Stop> {
        let seen = look::ground(self.setting.world, self.setting.toolstack)
            .and_then(|ground| ground.end(self.setting.world, &self.domu, &self.resources, true));
        let end = seen.map_err(|error| match self.touched.get() {
            false => look_stop(error),
            true => {
                let next = format!("where {} is now was not seen; mend that, then: xen-migrate recover {}", self.domu, self.domu);
                Stop::new(Exit::Undecided, format!("{}\n  {next}", error.to_string().replace("nothing was done: ", "")))
            }
        })?;
        for resource in end.resources() {
            if !self.resources.contains(resource) {
                self.resources.push(resource.clone());
            }
        }
        Ok(end)
    }

    /// Something is done for this domU that is no deed of ours: at the peer, or by `xl`.
    pub fn touch(&self) {
        self.touched.set(true);
    }

    /// Looks at the other end. `None` without the dedicated key.
    pub fn look_there(&self) -> Option<Result<End, PeerError>> {
        let seen = self.peer.as_ref().map(|peer| peer.look(&self.domu, &self.resources));
        self.unreached.set(matches!(seen, Some(Err(PeerError::Unreachable { .. }))));
        seen
    }

    /// The other end could not be reached, and nothing was touched.
    pub fn got_nowhere(&self) -> bool {
        self.unreached.get() && !self.touched.get()
    }

    /// Does the steps in their order, up to the first that fails; those at the other end that follow each other in one request.
    /// Says each before it is done.
    pub fn walk(&self, trip: &Trip, steps: &[Step]) -> Result<(), String> {
        let mut rest = steps;
        self.touch();
        while let Some(step) = rest.first() {
            let run = match step.place {
                Place::Here => 1,
                Place::There => rest.iter().take_while(|s| s.place == Place::There).count(),
            };
            let (now, later) = rest.split_at(run);
            for step in now {
                self.tell(&line(step, &self.us, &trip.to));
            }
            match step.place {
                Place::Here => deeds::act(self.setting.world, &self.cause(&trip.to), &step.deed)
                    .map_err(|e| format!("{}: {e}", step.deed))?,
                Place::There => {
                    let peer = self.peer.as_ref().ok_or_else(|| format!("{} cannot be asked: no dedicated key", trip.to))?;
                    let deeds: Vec<Deed> = now.iter().map(|s| s.deed.clone()).collect();
                    peer.act(&self.domu, &deeds).map_err(|e| e.to_string())?;
                }
            }
            rest = later;
        }
        Ok(())
    }

    /// Looks, decides, puts in order and looks again, until nothing is left to do or to wait for.
    ///
    /// `reported`: `xl` said that the target reported success. The error tells what could not be put in order.
    pub fn settle(&mut self, trip: &Trip, reported: bool) -> Result<(Settlement, Option<String>), Stop> {
        let world = self.setting.world;
        let start = world.clock();
        let mut trip = trip.clone();
        let mut failures = 0;
        let mut trouble = None;
        let mut waiting_for = String::new();
        let mut rounds = 0;
        loop {
            let here = self.look_here()?;
            let there = self.look_there();
            let waited = world.clock().saturating_sub(start);
            // A copy that is being built or torn down has no name for a second or two (`(null)` in `xl list`).
            let nameless = here.nameless + there.as_ref().and_then(|t| t.as_ref().ok()).map_or(0, |t| t.nameless);
            if nameless > 0 && waited < Duration::from_secs(10) {
                world.rest(Duration::from_secs(1));
                continue;
            }
            trip.waited = waited >= RECOVERY_TIME;
            trip.now = Moment::from(world.now());
            let hidden;
            let far = match &there {
                Some(Ok(there)) => Far::Seen(there),
                Some(Err(error)) => {
                    hidden = error.reason();
                    Far::Hidden(&hidden)
                }
                None => Far::Blind,
            };
            let mut verdict = settle(&here, far, &trip, reported);
            let way = there.as_ref().and_then(|seen| seen.as_ref().err()).and_then(PeerError::advice);
            if let Some(advice) = way.filter(|_| !verdict.pending.is_empty() || !verdict.commands.is_empty()) {
                verdict.commands.insert(0, advice);
            }
            let still = match &verdict.ending {
                Ending::Moving(what) if verdict.steps.is_empty() => Some((what.clone(), PATIENCE)),
                Ending::Unwell(what) => Some((what.clone(), RECOVERY_TIME)),
                _ => None,
            };
            // Each round of deeds brings the end nearer; one that does not is a defect of ours, and must not go on for ever.
            rounds += u32::from(!verdict.steps.is_empty());
            if rounds > MOST_ROUNDS {
                return Ok((verdict, Some(self.restless(&trip))));
            }
            if !verdict.steps.is_empty() {
                match self.walk(&trip, &verdict.steps) {
                    Ok(()) => {
                        trouble = None;
                        // DRBD takes a moment to shake hands, or to find that it must not.
                        let connected = verdict.steps.iter().filter_map(|s| match &s.deed {
                            Deed::Connect(resource) => Some(resource.clone()),
                            _ => None,
                        });
                        trip.woken |= verdict.steps.iter().any(|s| matches!(s.deed, Deed::Wake { .. }));
                        let before = trip.reconnected.len();
                        trip.reconnected.extend(connected);
                        if trip.reconnected.len() > before {
                            world.rest(Duration::from_secs(5));
                        }
                    }
                    Err(why) => {
                        failures += 1;
                        self.tell(&format!("  failed: {why}"));
                        trouble = Some(why);
                        if failures >= 3 {
                            return Ok((verdict, trouble));
                        }
                        world.rest(Duration::from_secs(2));
                    }
                }
                if still.is_none() {
                    continue;
                }
            }
            match still {
                Some((what, limit)) if waited < limit => {
                    if what != waiting_for {
                        self.tell(&format!("  waiting: {what}"));
                        waiting_for = what;
                    }
                    // A person who does not want to wait gets the verdict as it stands.
                    if world.nap(Duration::from_secs(1)) == Nap::Stopped {
                        return Ok((verdict, trouble));
                    }
                }
                _ => return Ok((verdict, trouble)),
            }
        }
    }

    /// Deeds that bring nothing nearer: what one end cannot settle, the other may.
    fn restless(&self, trip: &Trip) -> String {
        format!(
            "it does not come to rest; please report this with the lines above, and try from the other end: on {}: xen-migrate recover {}",
            trip.to, self.domu
        )
    }

    /// A line of the story, for the person at the keyboard.
    pub fn tell(&self, text: &str) {
        self.setting.world.say(To::Err, text);
    }

    fn cause(&self, peer: &HostName) -> Cause {
        Cause { domu: self.domu.clone(), peer: peer.clone(), toolstack: self.setting.toolstack }
    }
}

/// Looks at what is the same for all domUs of this Dom0.
pub fn ground(setting: Setting<'_>) -> Result<Ground, Stop> {
    look::ground(setting.world, setting.toolstack).map_err(look_stop)
}

/// A look that failed, as an end of the command.
pub fn look_stop(error: LookError) -> Stop {
    match error {
        LookError::Here(e) => e.into(),
        LookError::Store(e) => e.into(),
        LookError::Xen(e @ XenError::NoToolstack { .. }) => {
            let advice = "xl info   (as root; is this host booted with Xen, and do the xen services run?)";
            Stop::new(Exit::Failed, format!("{e}\n  nothing was touched\n  try: {advice}"))
        }
        LookError::Xen(e) => Stop::new(Exit::Failed, format!("{e}\n  nothing was touched")),
    }
}

/// Who is at work on a domU. A program that has outlived its tool is named by its open lock file; it is `xl migrate`, and ending its ssh
/// instead of itself lets it put the domU back.
pub fn at_work(domu: &DomuName, who: &str) -> String {
    if !who.contains("gone); a program it started") {
        return who.to_string();
    }
    format!(
        "{who}\n  wait until it has ended: its words are in /run/xen-migrate/{domu}.log, and fuser -v /run/xen-migrate/{}.lock shows its pid \
         as long as it is there\n  or end it so that the domU is put back: pkill -P ITS-PID ssh",
        look::lock_name(domu)
    )
}

/// A step as a line: where, what, why.
pub fn line(step: &Step, us: &HostName, peer: &HostName) -> String {
    let place = match step.place {
        Place::Here => us,
        Place::There => peer,
    };
    format!("  {place}: {}  ({})", step.deed, step.why)
}

/// Tells the verdict, and what a person must do, and turns it into the exit code. `wanted` is the ending that the command is for.
pub fn report(setting: Setting<'_>, domu: &DomuName, us: &HostName, trip: &Trip, outcome: &(Settlement, Option<String>)) -> Exit {
    let (verdict, trouble) = outcome;
    let say = |to, text: &str| setting.world.say(to, text);
    let mut exit = Exit::Done;
    match &verdict.ending {
        Ending::Arrived(None) if trip.leave_paused => {
            say(To::Out, &format!("{domu} is on {}, paused as asked (-p); to let it run, there: xl unpause {domu}", trip.to))
        }
        Ending::Arrived(None) => say(To::Out, &format!("{domu} runs on {}.", trip.to)),
        Ending::Arrived(Some(note)) => say(To::Out, &format!("{domu} went to {}. {note}", trip.to)),
        Ending::Stayed(None) => say(To::Out, &format!("{domu} runs on {us}.")),
        Ending::Stayed(Some(note)) => say(To::Out, &format!("{domu} is on {us}. {note}")),
        Ending::Unwell(what) => {
            exit = Exit::Undecided;
            say(To::Err, &format!("{domu} is on {}, and not well: {what}", trip.to));
        }
        Ending::Moving(what) | Ending::Nowhere(what) | Ending::Undecided(what) => {
            exit = Exit::Undecided;
            say(To::Err, &format!("UNDECIDED: {what}"));
        }
    }
    if let Some(why) = trouble {
        exit = exit.max(Exit::Failed);
        say(To::Err, &format!("not everything could be put in order: {why}"));
    }
    for what in &verdict.pending {
        exit = exit.max(Exit::Failed);
        say(To::Err, &format!("still to be done: {what}"));
    }
    // A split brain is DRBD's affair and a person's: the record does not wait for its end.
    if trouble.is_some() || verdict.waits {
        say(To::Err, &format!("it stays on the record; when that is mended: xen-migrate recover {domu}"));
    }
    if !verdict.commands.is_empty() {
        say(To::Err, "What to do, by hand:");
        verdict.commands.iter().for_each(|c| say(To::Err, &format!("  {c}")));
    }
    say(To::Log, &format!("{domu}: {:?}, exit {}", verdict.ending, exit.code()));
    exit
}
