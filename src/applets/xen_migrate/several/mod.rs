//! `migrate` and `reverse` for several domUs at once: look at everything → one plan over all of it → print it, refuse it or do it.
//!
//! [`going`] and [`coming`] look, `core::fleet` plans, [`show`] prints, [`work`] has it done: each domU's journey is the same
//! `xen-migrate migrate DOMU` or `reverse DOMU` that a person could type, in a process of its own.

mod coming;
pub mod event;
mod going;
mod sent;
mod show;
mod work;

use super::cli::{How, host};
use super::voice::Voice;
use super::{Ended, Setting, drive, migrate as one_domu, recover, reverse as one_back};
use crate::adapters::look::All;
use crate::adapters::{LockError, To};
use crate::applets::cli::{Everywhere, domu};
use crate::applets::exit::{Exit, Stop};
use crate::core::facts::End;
use crate::core::fleet::{Choice, Left, Plan, Target, Wish};
use crate::core::migrate::check::{self, Check, Objection};
use crate::core::migrate::{Trip, prepare};
use crate::core::names::{DomuName, HostName};
use crate::core::record::{Row, State};
use clap::Args;
use event::Event;
use std::collections::BTreeSet;
use std::time::Duration;

/// The examples of `migrate --help`.
pub const MIGRATE_EXAMPLES: &str = "\
Examples:
  xen-migrate migrate web
  xen-migrate migrate web --dry-run
  xen-migrate migrate web --to dom0-gamma
  xen-migrate migrate web --despite config
  xen-migrate migrate ALL                     empty this Dom0; nothing moves unless all of it can
  xen-migrate migrate ALL --except db --jobs 4
  xen-migrate migrate ALL --partial           what can go, goes
  xen-migrate migrate ALL --shutdown --deadline 4m   before xendomains stops what is left";

/// The examples of `reverse --help`.
pub const REVERSE_EXAMPLES: &str = "\
Examples:
  xen-migrate reverse web
  xen-migrate reverse ALL                     what was sent from here comes back, wherever it is by now
  xen-migrate reverse ALL --except db
  xen-migrate reverse ALL --dry-run
  xen-migrate reverse ALL --return            at boot: what migrate --shutdown sent away";

/// The arguments of `migrate`.
#[derive(Debug, Clone, Args)]
pub struct Migrate {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// This Dom0 goes down: what goes is remembered for `reverse ALL --return`, and what cannot go stays (as with --partial)
    #[arg(long)]
    pub shutdown: bool,
    /// Go there instead of the row's first host that will do; the row must list it
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub to: Option<HostName>,
    /// How
    #[command(flatten)]
    pub how: How,
}

/// The arguments of `reverse`.
#[derive(Debug, Clone, Args)]
pub struct Reverse {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Only what `migrate --shutdown` sent away
    #[arg(long)]
    pub r#return: bool,
    /// Show the plan with every deed and every check; touch nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which domUs, and what is common to both ways.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The domUs
    #[arg(value_name = "ALL|DOMU", required = true, value_parser = word)]
    pub words: Vec<Word>,
    /// Leave this one where it is; may be repeated
    #[arg(long, value_name = "DOMU", value_parser = domu)]
    pub except: Vec<DomuName>,
    /// Do what can be done although some of them cannot
    #[arg(long)]
    pub partial: bool,
    /// So many at once (default: one for each target)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// After so long begin nothing more; what is in flight then is undone, or finished where that is safer
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
    /// Tell what happens in lines of JSON
    #[arg(long)]
    pub json: bool,
}

/// One word of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// `ALL`.
    All,
    /// A name.
    Domu(DomuName),
}

fn word(text: &str) -> Result<Word, String> {
    if text == "ALL" { Ok(Word::All) } else { domu(text).map(Word::Domu) }
}

impl Which {
    fn all(&self) -> bool {
        self.words.contains(&Word::All)
    }

    /// The one domU that is meant, where it is one.
    fn one(&self) -> Option<&DomuName> {
        match self.words.as_slice() {
            [Word::Domu(domu)] if self.except.is_empty() => Some(domu),
            _ => None,
        }
    }

    /// The names that were given, each once, and of `every` all with `ALL`; without the excepted.
    fn domus(&self, every: impl IntoIterator<Item = DomuName>) -> Vec<DomuName> {
        let named = self.words.iter().filter_map(|w| match w {
            Word::Domu(domu) => Some(domu.clone()),
            Word::All => None,
        });
        let mut domus: Vec<DomuName> = Vec::new();
        let every: Vec<DomuName> = if self.all() { every.into_iter().collect() } else { vec![] };
        for domu in named.chain(every) {
            if !domus.contains(&domu) && !self.except.contains(&domu) {
                domus.push(domu);
            }
        }
        domus
    }
}

/// `migrate`.
pub fn migrate(setting: Setting<'_>, everywhere: &Everywhere, asked: &Migrate) -> Ended {
    aloud(setting, &asked.which, &|setting| match asked.which.one() {
        Some(domu) if !asked.shutdown => going::one(setting, domu, asked),
        _ => Errand::Going(asked).run(setting, everywhere),
    })
}

/// `reverse`.
pub fn reverse(setting: Setting<'_>, everywhere: &Everywhere, asked: &Reverse) -> Ended {
    aloud(setting, &asked.which, &|setting| match asked.which.one() {
        Some(domu) if !asked.dry_run && !asked.r#return => one_back::run(setting, domu),
        _ => Errand::Coming(asked).run(setting, everywhere),
    })
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
    let events = |event: &Event| world.say(To::Machine, &event.line());
    let said = |to: To, line: &str| match to {
        To::Log => world.say(To::Log, line),
        To::Machine => world.say(To::Machine, line),
        To::Out | To::Err => {
            let to = if to == To::Out { "out" } else { "err" };
            events(&Event::Said { domu: which.one().cloned(), to: to.to_string(), text: line.to_string() });
        }
    };
    let voice = Voice { world, tell: &said, until };
    body(Setting { world: &voice, events: Some(&events), ..setting }).or_else(|stop| {
        said(To::Err, &stop.text);
        Ok(stop.exit)
    })
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

    /// The domUs that are meant, by the table and the record as they are now.
    fn domus(&self, all: &All) -> Vec<DomuName> {
        let (table, record) = (&all.ground.table.table, &all.ground.record);
        let of_state = |state: State| record.rows.iter().filter(move |r| r.state == state || r.state.in_flight());
        match self {
            Errand::Going(asked) => {
                let ours = table.entries.iter().map(|e| e.domu.clone()).chain(table.faulty_domus());
                asked.which.domus(ours.chain(of_state(State::Visiting).map(|r| r.domu.clone())))
            }
            Errand::Coming(asked) => asked.which.domus(of_state(State::Away).map(|r| r.domu.clone())),
        }
    }

    /// What cannot go does not keep the others.
    fn partial(&self) -> bool {
        self.which().partial || matches!(self, Errand::Going(asked) if asked.shutdown) || self.only_returning()
    }

    fn only_returning(&self) -> bool {
        matches!(self, Errand::Coming(asked) if asked.r#return)
    }

    fn run(&self, setting: Setting<'_>, everywhere: &Everywhere) -> Ended {
        let world = setting.world;
        let began = world.clock();
        let purpose = format!("xen-migrate {} of several domUs", self.verb());
        let _held = match self.dry() {
            true => None,
            false => Some(world.lock("all", &purpose).map_err(|error| match error {
                LockError::Held(who) => {
                    Stop::new(Exit::Refused, format!("several domUs are being moved: {who}\n  nothing was touched"))
                }
                LockError::Io(why) => Stop::new(Exit::Failed, format!("the lock could not be taken: {why}")),
            })?),
        };
        let mut all = drive::ground(setting)?.all(world);
        let faulty: BTreeSet<u32> = all.ground.table.table.faults.iter().map(|f| f.line).collect();
        one_domu::tell_others(setting, faulty.len());
        let unsettled = self.settle(setting, &all);
        if unsettled.any && !self.dry() {
            all = drive::ground(setting)?.all(world);
        }
        let us = all.ground.host.clone();
        let mut domus: Vec<DomuName> = self.domus(&all).into_iter().filter(|d| !unsettled.domus.contains(d)).collect();
        let mut sent = sent::Sent::read(world)?;
        if self.only_returning() {
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
        if self.dry() {
            world.say(To::Out, "Nothing was touched (--dry-run); without it, this would begin.");
            return Ok(if plan.is_whole() && scene.astray.is_empty() { Exit::Done } else { Exit::Partly });
        }
        if world.stopping() {
            return Err(Stop::new(Exit::Failed, "stopped before anything was touched"));
        }

        let down = matches!(self, Errand::Going(asked) if asked.shutdown);
        if down {
            sent.begin(world, plan.moves.iter().map(|m| m.domu.clone()))?;
        }
        let until = self.which().deadline.map(|time| began + time);
        let mut told = show::Telling::new(setting, plan.moves.len());
        let mut outcome = work::Outcome::default();
        outcome.ends.extend(plan.left.iter().map(|left| (left.domu.clone(), Exit::Refused)));
        outcome.ends.extend(scene.astray.iter().map(|(domu, _)| (domu.clone(), Exit::Refused)));
        for _ in 0..ROUNDS {
            tried.extend(plan.moves.iter().map(|m| (m.domu.clone(), m.to.clone())));
            work::work(setting, &plan, &scene, self, everywhere, until, &mut told, &mut outcome);
            let again = outcome.worth_another_try();
            if again.is_empty() || world.stopping() {
                break;
            }
            let all = drive::ground(setting)?.all(world);
            scene = self.look(setting, &all, &again)?;
            plan = scene.plan(&tried);
            if plan.moves.is_empty() {
                break;
            }
            show::another_way(setting, &plan);
            told.more(plan.moves.len());
        }
        told.over();
        let exit = outcome.exit();
        let after = drive::ground(setting)?;
        show::summary(setting, self.verb(), &after, &outcome);
        if down {
            sent.end(world)?;
        } else if self.only_returning() {
            sent.keep(world, |domu| after.record.row(domu).is_some())?;
        }
        if let Some(events) = setting.events {
            events(&outcome.event(exit));
        }
        Ok(exit)
    }

    /// What an earlier run left in flight is settled first, as `recover` does it.
    fn settle(&self, setting: Setting<'_>, all: &All) -> Unsettled {
        let mut unsettled = Unsettled::default();
        let meant = self.domus(all);
        let rows: Vec<&Row> = all.ground.record.rows.iter().filter(|r| meant.contains(&r.domu)).collect();
        let told = if self.dry() { vec![] } else { not_told(setting, all, &rows) };
        for row in rows.into_iter().filter(|r| r.state.in_flight() || !r.open.is_empty() || told.contains(&r.domu)) {
            let domu = &row.domu;
            unsettled.any = true;
            if self.dry() {
                let text =
                    format!("{domu}: {}; it would be settled first (xen-migrate recover {domu}), then looked at", row.in_words());
                unsettled.notes.push(text);
                unsettled.domus.push(domu.clone());
                continue;
            }
            let (exit, why) = match recover::one(setting, domu) {
                Ok(exit) => (exit, "see above".to_string()),
                Err(stop) => (stop.exit, stop.text),
            };
            if exit != Exit::Done {
                unsettled.undecided |= exit == Exit::Undecided;
                let seen = format!("its last journey is not settled: {why}");
                let advice = format!("xen-migrate recover {domu}");
                let list = vec![objection(Check::Flight, seen, "no migration in flight", advice)];
                unsettled.left.push(Left { domu: domu.clone(), against: vec![(all.ground.host.clone(), list)] });
                unsettled.domus.push(domu.clone());
            }
        }
        unsettled
    }
}

#[derive(Default)]
struct Unsettled {
    any: bool,
    /// A person must decide about one of them.
    undecided: bool,
    domus: Vec<DomuName>,
    left: Vec<Left>,
    notes: Vec<String>,
}

/// What went and whose host was not told of its arrival: the tool was killed in between. That is settled like all else.
fn not_told(setting: Setting<'_>, all: &All, rows: &[&Row]) -> Vec<DomuName> {
    let us = &all.ground.host;
    let away: Vec<&&Row> = rows.iter().filter(|r| r.state == State::Away && r.open.is_empty()).collect();
    let mut fleet = going::Fleet::new(setting, us);
    away.iter().for_each(|r| fleet.meant(&r.host, &r.domu, vec![]));
    fleet.look(false);
    let arriving = |r: &Row| {
        let far = fleet.seen(&r.host, &r.domu).ok().and_then(|end| end.row);
        far.is_some_and(|row| row.state == State::Arriving && row.host.same_host(us))
    };
    away.into_iter().filter(|r| arriving(r)).map(|r| r.domu.clone()).collect()
}
