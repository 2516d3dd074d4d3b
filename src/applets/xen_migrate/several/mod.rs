//! `migrate` and `reverse` for several domUs at once: look at everything → one plan over all of it → print it, refuse it or do it.
//!
//! [`going`] and [`coming`] look, `core::fleet` plans, [`show`] prints, [`work`] has it done: each domU's journey is the same
//! `xen-migrate migrate DOMU` or `reverse DOMU` that a person could type, in a process of its own.

mod args;
mod coming;
mod down;
pub mod event;
mod going;
mod here;
mod json;
mod sent;
mod show;
mod unsettled;
mod work;

use super::voice::Voice;
use super::{Ended, Setting, drive, migrate as one_domu, reverse as one_back, status};
use crate::adapters::look::{All, Ground};
use crate::adapters::{Held, LockError, Nap, To};
use crate::applets::cli::Everywhere;
use crate::applets::exit::{Exit, Stop};
use crate::core::facts::End;
use crate::core::fleet::{Choice, Left, Plan, Target, Wish};
use crate::core::migrate::check::{self, Check, Objection};
use crate::core::migrate::{Trip, prepare};
use crate::core::names::{DomuName, HostName};
use crate::core::record::State;
pub use args::{MIGRATE_EXAMPLES, Migrate, REVERSE_EXAMPLES, Reverse, Which, Word};
pub use down::{goes_down, refusal as refusal_of_what_comes};
pub use json::sets_out;
pub use sent::went_for_another_reason;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// `migrate`.
pub fn migrate(setting: Setting<'_>, everywhere: &Everywhere, asked: &Migrate) -> Ended {
    aloud(setting, &asked.which, &|setting| match asked.which.one() {
        Some(domu) if !asked.shutdown => going::one(setting, domu, asked),
        _ => Errand::Going(asked).run(setting, everywhere),
    })
}

/// `reverse`.
pub fn reverse(setting: Setting<'_>, everywhere: &Everywhere, asked: &Reverse) -> Ended {
    if asked.r#return && !asked.dry_run {
        down::stays_up(setting.world);
    }
    let once = |setting: Setting<'_>| {
        if let Some(who) = goes_down(setting.world).filter(|_| !asked.dry_run) {
            return Err(Stop::new(Exit::Refused, format!("{}\n  nothing was touched", down::refusal(&who))));
        }
        match asked.which.one() {
            Some(domu) if !asked.dry_run && !asked.r#return => one_back::run(setting, domu),
            _ => Errand::Coming(asked).run(setting, everywhere),
        }
    };
    aloud(setting, &asked.which, &|setting| match asked.wait {
        Some(time) => patiently(setting, time, &once),
        None => once(setting),
    })
}

/// How long a round that could not do all waits for the next.
const PAUSE: Duration = Duration::from_secs(60);

/// Again and again, until all is done or the time is over. No lock is held in between, and what was said once is not said again.
fn patiently(setting: Setting<'_>, time: Duration, once: &dyn Fn(Setting<'_>) -> Ended) -> Ended {
    let world = setting.world;
    let until = world.clock() + time;
    let told: RefCell<BTreeSet<String>> = RefCell::default();
    let anew = |to: To, line: &str| {
        if told.borrow_mut().insert(line.to_string()) {
            world.say(to, line);
        }
    };
    let voice = Voice { world, tell: &anew, until: None };
    loop {
        let ended = once(Setting { world: &voice, ..setting });
        let exit = ended.as_ref().map_or_else(|stop| stop.exit, |exit| *exit);
        let left = until.saturating_sub(world.clock());
        // A fault in a file, and what a person must decide, do not mend themselves.
        let hopeless = matches!(exit, Exit::Done | Exit::Usage | Exit::Undecided);
        if hopeless || left.is_zero() || world.stopping() || world.nap(PAUSE.min(left)) == Nap::Stopped {
            return ended;
        }
        if let Err(stop) = &ended {
            anew(To::Err, &stop.text);
        }
    }
}

/// With `--json` everything that is said becomes an event on standard output; with `--deadline` the time ends.
fn aloud(setting: Setting<'_>, which: &Which, body: &dyn Fn(Setting<'_>) -> Ended) -> Ended {
    let world = setting.world;
    let until = which.deadline.map(|time| world.clock() + time);
    let plainly = |to: To, line: &str| world.say(to, line);
    if !which.json {
        let voice = Voice { world, tell: &plainly, until };
        return body(Setting { world: &voice, ..setting });
    }
    json::aloud(setting, which, until, body)
}

/// One domU that is to go, from wherever it runs.
struct Journey {
    domu: DomuName,
    /// Where it runs, as that end sees itself.
    end: End,
    /// Where it may go, the preferred first.
    ways: Vec<Way>,
}

/// One host that it may go to.
struct Way {
    host: HostName,
    target: usize,
    /// What was seen there, and the journey; `None`: it could not be looked at, and the objections say why.
    far: Option<(End, Trip)>,
    /// Its memory left out: that is summed over all.
    against: Vec<Objection>,
}

/// Everything that one look saw.
#[derive(Default)]
struct Scene {
    journeys: Vec<Journey>,
    targets: Vec<Target>,
    /// Nothing is to be done for these, and why.
    apart: Vec<(DomuName, String)>,
    /// These stay although they were asked for, whatever becomes of the others: somebody moved them by hand.
    astray: Vec<(DomuName, String)>,
    /// Nobody knows a way for these.
    lost: Vec<Left>,
    /// What runs here and nobody means, each with the reason: it stays.
    stay: Vec<(String, String)>,
    /// What a person should know beside.
    notes: Vec<String>,
}

impl Scene {
    /// The plan, without the ways that were tried already.
    fn plan(&self, tried: &BTreeSet<(DomuName, HostName)>) -> Plan {
        let wishes: Vec<Wish> = self
            .journeys
            .iter()
            .map(|j| {
                let ways = j.ways.iter().filter(|w| !tried.contains(&(j.domu.clone(), w.host.clone())));
                let choices = ways.map(|w| Choice { host: w.host.clone(), target: w.target, against: w.against.clone() });
                let memory = check::memory_needed(j.end.running().map_or(0, |copy| copy.domain.memory));
                Wish { domu: j.domu.clone(), memory, hosts: choices.collect() }
            })
            .collect();
        let mut plan = Plan::make(&wishes, &self.targets);
        plan.left.extend(self.lost.iter().cloned());
        plan
    }

    fn journey(&self, domu: &DomuName) -> Option<&Journey> {
        self.journeys.iter().find(|j| &j.domu == domu)
    }
}

/// What is wanted of a host that could not be looked at.
const A_LOOK: &str = "a look at it";

/// One objection of our own.
fn objection(check: Check, seen: String, wanted: &str, advice: String) -> Objection {
    Objection { check, seen, wanted: wanted.to_string(), advice }
}

/// Everything against a way, but the memory: that is counted over all of them.
fn against(end: &End, far: &End, trip: &Trip, despite: &[Check]) -> Vec<Objection> {
    let mut list = check::objections(end, Some(far), trip, despite);
    list.retain(|o| o.check != Check::Memory);
    list
}

/// What is asked for.
enum Errand<'a> {
    Going(&'a Migrate),
    Coming(&'a Reverse),
}

/// The lock of whoever moves several domUs.
const LOCK: &str = "all";

/// So often what is left over is planned anew; each time it must go another way than before.
const ROUNDS: usize = 3;

impl Errand<'_> {
    fn which(&self) -> &Which {
        match self {
            Errand::Going(asked) => &asked.which,
            Errand::Coming(asked) => &asked.which,
        }
    }

    fn dry(&self) -> bool {
        match self {
            Errand::Going(asked) => asked.how.dry_run,
            Errand::Coming(asked) => asked.dry_run,
        }
    }

    fn verb(&self) -> &'static str {
        match self {
            Errand::Going(_) => "migrate",
            Errand::Coming(_) => "reverse",
        }
    }

    fn look(&self, setting: Setting<'_>, all: &All, domus: &[DomuName]) -> Result<Scene, Stop> {
        match self {
            Errand::Going(asked) => going::look(setting, all, domus, asked),
            Errand::Coming(_) => coming::look(setting, all, domus),
        }
    }

    /// The domUs that are meant, by the table and the record as they are now, without the excepted.
    fn domus(&self, all: &All) -> Vec<DomuName> {
        let except = &self.which().except;
        self.meant(all).into_iter().filter(|domu| !except.contains(domu)).collect()
    }

    /// The same with them.
    fn meant(&self, all: &All) -> Vec<DomuName> {
        let (table, record) = (&all.ground.table.table, &all.ground.record);
        let of_state = |state: State| record.rows.iter().filter(move |r| r.state == state || r.state.in_flight());
        match self {
            Errand::Going(asked) => {
                let ours = table.entries.iter().map(|e| e.domu.clone()).chain(table.faulty_domus());
                asked.which.meant(ours.chain(of_state(State::Visiting).map(|r| r.domu.clone())))
            }
            Errand::Coming(asked) => asked.which.meant(of_state(State::Away).map(|r| r.domu.clone())),
        }
    }

    /// An exception that nobody can mean is a typing error, and its domU would go. One that is known and not meant anyway is told.
    fn exceptions(&self, setting: Setting<'_>, all: &All) -> Result<(), Stop> {
        let (world, except) = (setting.world, &self.which().except);
        let unknown: Vec<&str> = except.iter().filter(|domu| !all.ground.knows(world, domu)).map(|domu| domu.as_str()).collect();
        if !unknown.is_empty() {
            let stop = status::unknown(&format!("--except {}", unknown.join(", ")));
            return Err(Stop::new(stop.exit, format!("{}\n  nothing was touched", stop.text)));
        }
        let meant = self.meant(all);
        let runs = |domu: &DomuName| all.ground.domains.iter().any(|d| d.name == domu.as_str());
        let going = matches!(self, Errand::Going(_));
        let told_below = |domu: &DomuName| going && self.which().all() && runs(domu);
        for domu in except.iter().filter(|domu| !meant.contains(domu) && !told_below(domu)) {
            world.say(To::Err, &format!("note: --except {domu}: it is not among those that are meant"));
        }
        Ok(())
    }

    /// What is here although the Dom0 was to be empty.
    fn still_here(&self, ground: &Ground) -> Vec<here::Here> {
        match self {
            Errand::Going(asked) if asked.which.all() => here::all(ground, &asked.which.except),
            _ => vec![],
        }
    }

    /// Whether one that is still here counts as not done: at a shutdown those that nobody means are left to whoever ends them.
    fn counts(&self, here: &here::Here) -> bool {
        here.meant || !self.goes_down()
    }

    /// What cannot go does not keep the others.
    fn partial(&self) -> bool {
        self.which().partial || self.goes_down() || self.only_returning()
    }

    /// The Dom0 does, and what is here must go or is ended.
    fn goes_down(&self) -> bool {
        matches!(self, Errand::Going(asked) if asked.shutdown)
    }

    /// Nobody else moves several domUs meanwhile. A Dom0 that goes down waits for whoever does, as long as it has time.
    fn lock<'a>(&self, setting: Setting<'a>) -> Result<Box<dyn Held + 'a>, Stop> {
        let world = setting.world;
        let why = if self.goes_down() { format!(", {}", down::PURPOSE) } else { String::new() };
        let purpose = format!("xen-migrate {} of several domUs{why}", self.verb());
        let patient = self.goes_down() && self.which().deadline.is_some();
        let mut told = false;
        loop {
            match world.lock(LOCK, &purpose) {
                Ok(held) => return Ok(held),
                Err(LockError::Io(why)) => return Err(Stop::new(Exit::Failed, format!("the lock could not be taken: {why}"))),
                Err(LockError::Held(who)) => {
                    if !patient || world.nap(Duration::from_secs(1)) == Nap::Stopped {
                        let text = format!("several domUs are being moved: {who}\n  nothing was touched");
                        return Err(Stop::new(Exit::Refused, text));
                    }
                    if !std::mem::replace(&mut told, true) {
                        world.say(To::Err, &format!("several domUs are being moved: {who}; this waits for it"));
                    }
                }
            }
        }
    }

    fn only_returning(&self) -> bool {
        matches!(self, Errand::Coming(asked) if asked.r#return)
    }

    fn run(&self, setting: Setting<'_>, everywhere: &Everywhere) -> Ended {
        let world = setting.world;
        let began = world.clock();
        let _held = match self.dry() {
            true => None,
            false => Some(self.lock(setting)?),
        };
        let mut all = drive::ground(setting)?.all(world);
        let faulty: BTreeSet<u32> = all.ground.table.table.faults.iter().map(|f| f.line).collect();
        one_domu::tell_others(setting, faulty.len());
        self.exceptions(setting, &all)?;
        if self.goes_down() && !self.dry() {
            down::mark(world);
        }
        let unsettled = self.settle(setting, &all);
        if unsettled.any && !self.dry() {
            all = drive::ground(setting)?.all(world);
        }
        let us = all.ground.host.clone();
        let mut domus: Vec<DomuName> = self.domus(&all).into_iter().filter(|d| !unsettled.domus.contains(d)).collect();
        let mut sent = sent::Sent::read(world)?;
        if self.only_returning() {
            let doubts: Vec<String> = all.ground.record.rows.iter().filter_map(|row| sent.doubt(row)).collect();
            doubts.iter().for_each(|doubt| world.say(To::Err, &format!("note: {doubt}")));
            domus.retain(|domu| all.ground.record.row(domu).is_some_and(|row| sent.has(row)));
        }
        let mut scene = self.look(setting, &all, &domus)?;
        scene.lost.extend(unsettled.left);
        scene.notes.splice(0..0, unsettled.notes);
        let mut tried = BTreeSet::new();
        let mut plan = scene.plan(&tried);
        show::plan(setting, &us, &scene, &plan, self.which().jobs);
        if self.dry() {
            show::deeds(setting, &scene, &plan);
        }
        if !plan.is_whole() && !self.partial() {
            let mut stop = show::refusal(&plan);
            if unsettled.undecided {
                stop.exit = Exit::Undecided;
            }
            return Err(stop);
        }
        show::left(setting, &plan);
        if self.dry() {
            world.say(
                To::Out,
                match plan.moves.is_empty() {
                    true => "Nothing was touched (--dry-run); without it, nothing would move either.",
                    false => "Nothing was touched (--dry-run); without it, this would begin.",
                },
            );
            let whole = plan.is_whole() && scene.astray.is_empty() && (scene.stay.is_empty() || self.goes_down());
            return Ok(if whole { Exit::Done } else { Exit::Partly });
        }
        if world.stopping() {
            return Err(Stop::new(Exit::Failed, "stopped before anything was touched"));
        }

        let down = self.goes_down();
        if down {
            sent.begin(world, &all.ground.record.rows, plan.moves.iter().map(|m| m.domu.clone()))?;
        }
        let until = self.which().deadline.map(|time| began + time);
        let mut told = show::Telling::new(setting, plan.moves.len());
        let mut outcome = work::Outcome::default();
        outcome.ends.extend(plan.left.iter().map(|left| (left.domu.clone(), show::exit_of(left))));
        outcome.ends.extend(scene.astray.iter().map(|(domu, _)| (domu.clone(), Exit::Refused)));
        for _ in 0..ROUNDS {
            tried.extend(plan.moves.iter().map(|m| (m.domu.clone(), m.to.clone())));
            work::work(setting, &plan, &scene, self, everywhere, until, &mut told, &mut outcome);
            told.over();
            let mut again = outcome.worth_another_try();
            if down {
                self.wait_for_arrivals(setting, until);
            } else if again.is_empty() {
                break;
            }
            if world.stopping() {
                break;
            }
            let mut all = drive::ground(setting).map_err(too_late)?.all(world);
            if down {
                if self.settle(setting, &all).any {
                    all = drive::ground(setting).map_err(too_late)?.all(world);
                }
                let tried = |domu: &DomuName| tried.iter().any(|(name, _)| name == domu);
                let here = here::all(&all.ground, &[]);
                let came = |domu: &DomuName| here.iter().any(|here| !here.comes && here.name == domu.as_str());
                again.extend(self.domus(&all).into_iter().filter(|domu| came(domu) && !tried(domu)));
                if again.is_empty() {
                    break;
                }
            }
            scene = self.look(setting, &all, &again).map_err(too_late)?;
            plan = scene.plan(&tried);
            if plan.moves.is_empty() {
                break;
            }
            show::another_way(setting, &plan, &tried);
            if down {
                sent.add(world, plan.moves.iter().map(|m| m.domu.clone()))?;
            }
            told.more(plan.moves.len());
        }
        let after = drive::ground(setting).map_err(too_late)?;
        let here = self.still_here(&after);
        // What was just coming in, and was turned away: it is where it was, and no affair of ours.
        let gone = |domu: &&DomuName| {
            let in_flight = after.record.row(domu).is_some_and(|row| row.state.in_flight());
            down && !in_flight && !here::all(&after, &[]).iter().any(|here| here.name == domu.as_str())
        };
        unsettled.domus.iter().filter(gone).for_each(|domu| outcome.turned_away(domu));
        let exit = match outcome.exit() {
            Exit::Done if here.iter().any(|here| self.counts(here)) => Exit::Partly,
            exit => exit,
        };
        show::summary(setting, self.verb(), &after, &outcome, &here);
        if down {
            sent.end(world, &after.record)?;
        } else if self.only_returning() {
            sent::keep(world, |domu| after.record.row(domu).is_some())?;
        }
        if let Some(events) = setting.events {
            events(&outcome.event(exit, &here));
        }
        Ok(exit)
    }
}

/// A look that failed when something had moved already: it must not say that nothing was touched.
fn too_late(stop: Stop) -> Stop {
    let text = stop.text.replace("\n  nothing was touched", "");
    let next = "what went is on the record; when that is mended: xen-migrate status ALL";
    Stop::new(Exit::Failed, format!("what is where now was not seen: {text}\n  {next}"))
}
