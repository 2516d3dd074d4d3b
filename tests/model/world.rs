//! The whole world of the walk: two Dom0s, the pair of DRBD ends between them, and everything that may happen next.

use super::drbd::{Command, Link, Pair, Rules};
use super::program::{Luck, Phase, Program};
use super::story::{Teller, name};
use stateright::{Model, Property};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use xen_drbd::core::boot::claim::Deed;

/// What is walked through.
#[derive(Debug, Clone)]
pub struct Setting {
    pub rules: Rules,
    /// How often what may go wrong.
    pub most: Trouble,
    /// Deeds taken out of the program.
    pub without: Vec<Deed>,
    /// A command that outlives the program keeps the domU's lock.
    pub children_keep_the_lock: bool,
    /// Whether [`HEALS`] is asked of every world.
    pub asks_for_healing: bool,
}

/// How often something may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trouble {
    /// A Dom0 loses its power.
    pub power: u8,
    /// The link is cut.
    pub cuts: u8,
    /// The program is killed.
    pub kills: u8,
    /// The program is killed, and the command that it had begun goes on alone.
    pub orphans: u8,
    /// The domU cannot be created.
    pub failures: u8,
    /// A person types the command that status names.
    pub persons: u8,
}

/// What there is of the domU on one Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domu {
    None,
    Building,
    Runs,
}

/// One Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dom0 {
    pub program: Program,
    pub domu: Domu,
    /// The diary (in `/run`: it outlives the program, not the Dom0) says that options are to be put back.
    pub guarded: bool,
    /// A command whose program was killed, and which is still to be done.
    pub orphan: Option<Command>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub pair: Pair,
    pub dom0s: [Dom0; 2],
    pub left: Trouble,
    /// A domU was started although the other end had newer data.
    pub old_start: bool,
    /// A resync has thrown away what a guest had written.
    pub lost_writes: bool,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Boot(usize),
    PowerOff(usize),
    /// After a kill: `xen-drbd-auto start`.
    Start(usize),
    Step(usize, Luck),
    Kill(usize),
    KillLeavingACommand(usize),
    /// The command goes on alone.
    Orphan(usize),
    /// `xl create` whose program was killed goes on alone.
    XlGoesOn(usize),
    Write(usize),
    Cut,
    Mend,
    Notice(usize),
    Deliver(usize),
    Handshake,
    Synced,
    /// `drbdadm adjust` on both.
    Adjust,
}

/// The model that is walked through.
pub struct Walk {
    pub setting: Setting,
    pub begin: World,
    /// Whether all comes to a good end from there when nothing more goes wrong.
    heals: Mutex<HashMap<World, bool>>,
    /// The properties whose first counterexample is told already: the checker would keep the last, and the first is the shortest.
    told: Mutex<HashSet<&'static str>>,
}

impl World {
    /// Both Dom0s have booted while the link was cut, and wait.
    pub fn apart(setting: &Setting) -> World {
        let mut world = World::new(setting);
        world.pair.cable = false;
        for at in [0, 1] {
            world = world.after(setting, Action::Boot(at), &mut Teller::silent());
        }
        world
    }

    /// Both Dom0s are off.
    pub fn new(setting: &Setting) -> World {
        let dom0 = Dom0 { program: Program::Gone, domu: Domu::None, guarded: false, orphan: None };
        let left = setting.most;
        World { pair: Pair::new(&setting.rules), dom0s: [dom0; 2], left, old_start: false, lost_writes: false }
    }

    pub fn runs(&self, at: usize) -> bool {
        self.dom0s[at].domu == Domu::Runs
    }

    /// Its program has nothing under way and nothing left to put back.
    fn is_done(&self, at: usize) -> bool {
        self.is_at_rest(at) && !self.dom0s[at].guarded && self.dom0s[at].orphan.is_none()
    }

    fn is_at_rest(&self, at: usize) -> bool {
        !matches!(self.dom0s[at].program, Program::At { .. })
    }

    /// Everything that may happen next.
    pub fn actions(&self, setting: &Setting, actions: &mut Vec<Action>) {
        let (pair, left) = (&self.pair, &self.left);
        for at in [0, 1] {
            let (end, dom0) = (&pair.ends[at], &self.dom0s[at]);
            if !end.on {
                actions.push(Action::Boot(at));
                continue;
            }
            match dom0.program {
                Program::Gone => {}
                Program::Killed => actions.push(Action::Start(at)),
                Program::Rests { waits } => {
                    actions.push(Action::Step(at, Luck::Works));
                    if waits && dom0.domu == Domu::None && end.shown == Some(true) && self.lasts(1 - at) {
                        actions.push(Action::Step(at, Luck::MuchLater));
                    }
                }
                Program::At { .. } => {
                    actions.push(Action::Step(at, Luck::Works));
                    if self.is_creating(at) && left.failures > 0 {
                        actions.push(Action::Step(at, Luck::Fails));
                    }
                    if self.may_give_up(at) {
                        actions.push(Action::Step(at, Luck::GivesUp));
                    }
                }
            }
            if !matches!(dom0.program, Program::Gone | Program::Killed) {
                if left.kills > 0 {
                    actions.push(Action::Kill(at));
                }
                if left.orphans > 0 && dom0.orphan.is_none() && self.next_command(at).is_some() {
                    actions.push(Action::KillLeavingACommand(at));
                }
            }
            if dom0.orphan.is_some() {
                actions.push(Action::Orphan(at));
            }
            if self.xl_is_alone(at) {
                actions.push(Action::XlGoesOn(at));
            }
            if self.runs(at) {
                actions.push(Action::Write(at));
            }
            if left.power > 0 {
                actions.push(Action::PowerOff(at));
            }
            if end.link == Link::Connected && !pair.is_live() {
                actions.push(Action::Notice(at));
            }
            if end.mail.is_some() && pair.is_live() {
                actions.push(Action::Deliver(at));
            }
        }
        if !pair.cable {
            actions.push(Action::Mend);
        } else if left.cuts > 0 {
            actions.push(Action::Cut);
        }
        if pair.cable && pair.ends.iter().all(|e| e.on && e.link == Link::Connecting) {
            actions.push(Action::Handshake);
        }
        if pair.is_live() && pair.source.is_some() {
            actions.push(Action::Synced);
        }
        if left.persons > 0 && self.may_be_adjusted(setting) {
            actions.push(Action::Adjust);
        }
    }

    /// Ten minutes are longer than anything that a program does, and than anything old that DRBD shows: what one end shows for so long of
    /// the other one is so, and its program is dead or content.
    fn lasts(&self, at: usize) -> bool {
        self.pair.is_live() && (self.is_done(at) || self.dom0s[at].program == Program::Killed)
    }

    /// `xl create` whose program is not there any more.
    fn xl_is_alone(&self, at: usize) -> bool {
        let waited_for =
            matches!(self.dom0s[at].program, Program::At { deed: Deed::Create, phase: Phase::Check, ours: true, .. });
        self.dom0s[at].domu == Domu::Building && !waited_for
    }

    /// status names the command where the file allows two Primaries for good; a person reads it when nothing is under way.
    fn may_be_adjusted(&self, setting: &Setting) -> bool {
        setting.rules.file.two_primaries
            && self.pair.ends.iter().all(|e| e.on)
            && self.pair.ends.iter().any(|e| e.link == Link::StandAlone)
            && [0, 1].iter().all(|at| self.is_at_rest(*at))
    }

    /// What comes of it.
    pub fn after(&self, setting: &Setting, action: Action, told: &mut Teller<'_>) -> World {
        let mut next = self.clone();
        let rules = &setting.rules;
        match action {
            Action::Boot(at) => {
                told.say(|| format!("{} boots", name(at)));
                next.pair.power_on(at);
                next.dom0s[at].program = Program::Rests { waits: true };
            }
            Action::PowerOff(at) => {
                told.say(|| format!("{} loses its power", name(at)));
                next.left.power -= 1;
                next.pair.power_off(rules, at);
                next.dom0s[at] = World::new(setting).dom0s[at];
            }
            Action::Start(at) => {
                told.say(|| format!("xen-drbd-auto is started again on {}", name(at)));
                next.dom0s[at].program = Program::Rests { waits: true };
            }
            Action::Step(at, luck) => {
                if luck == Luck::Fails {
                    next.left.failures -= 1;
                }
                next.step(setting, at, luck, told);
            }
            Action::Kill(at) => {
                told.say(|| format!("xen-drbd-auto on {} is killed", name(at)));
                next.left.kills -= 1;
                next.dom0s[at].program = Program::Killed;
            }
            Action::KillLeavingACommand(at) => {
                next.left.orphans -= 1;
                next.dom0s[at].orphan = self.next_command(at);
                next.dom0s[at].program = Program::Killed;
                told.say(|| format!("xen-drbd-auto on {} is killed; what it has begun goes on alone", name(at)));
            }
            Action::Orphan(at) => {
                if let Some(command) = next.dom0s[at].orphan.take() {
                    let _ = next.command(setting, at, command, told);
                }
            }
            Action::XlGoesOn(at) => next.run_domu(at, told),
            Action::Write(at) => {
                told.say(|| format!("web on {} writes", name(at)));
                next.pair.write(at);
            }
            Action::Cut => {
                told.say(|| "the link is cut; neither end knows".to_string());
                next.left.cuts -= 1;
                next.pair.cable = false;
            }
            Action::Mend => {
                told.say(|| "the link works again".to_string());
                next.pair.cable = true;
            }
            Action::Notice(at) => next.pair.lose(rules, at, told),
            Action::Deliver(at) => {
                next.pair.deliver(at);
                let word = if next.pair.ends[at].two { "yes" } else { "no" };
                told.say(|| format!("{} learns that allow-two-primaries={word}", name(at)));
            }
            Action::Handshake => next.pair.handshake(told),
            Action::Synced => {
                told.say(|| "the resync is over".to_string());
                next.lost_writes |= next.pair.synced();
            }
            Action::Adjust => {
                told.say(|| "a person types `drbdadm adjust web` on both, as status says".to_string());
                next.left.persons -= 1;
                for at in [0, 1] {
                    next.pair.adjust(rules, at);
                }
            }
        }
        next.pair.refresh();
        next
    }

    /// web runs on exactly one of two connected ends, everything is as the file has it, and nobody waits for anything.
    fn is_well(&self, setting: &Setting) -> bool {
        self.pair.is_live()
            && self.pair.ends.iter().all(|e| e.whole && e.mail.is_none())
            && self.runs(0) != self.runs(1)
            && [0, 1].iter().all(|at| {
                self.is_done(*at)
                    && self.pair.ends[*at].fencing == setting.rules.file.fencing.guards()
                    && self.pair.ends[*at].primary == self.runs(*at)
            })
    }

    /// What happens when nothing more goes wrong: first all that happens by itself, then the one program, then the other.
    fn calm(&self, setting: &Setting) -> Option<Action> {
        let mut actions = Vec::new();
        World { left: NO_TROUBLE, ..self.clone() }.actions(setting, &mut actions);
        if self.may_be_adjusted(setting) {
            actions.push(Action::Adjust);
        }
        // A role that nobody needs is given back before anybody types anything.
        let is_idle_primary = |at: usize| self.pair.ends[at].primary && !self.runs(at);
        let rank = |action: &Action| match action {
            Action::Mend | Action::Boot(_) => 0,
            Action::Orphan(_) | Action::XlGoesOn(_) | Action::Start(_) => 1,
            Action::Notice(_) | Action::Deliver(_) => 2,
            Action::Handshake | Action::Synced => 3,
            Action::Adjust if !is_idle_primary(0) && !is_idle_primary(1) => 4,
            Action::Step(at, Luck::Works) if !self.is_at_rest(*at) => 5 + at,
            Action::Step(_, Luck::GivesUp) => 7,
            Action::Step(at, Luck::Works) if is_idle_primary(*at) => 8,
            Action::Step(at, Luck::Works) => 9 + at,
            Action::Adjust => 11,
            _ => usize::MAX,
        };
        actions.retain(|action| rank(action) < usize::MAX);
        // A look that changes nothing is not made again and again.
        actions.retain(|action| !matches!(action, Action::Step(..)) || self.after_calm(setting, *action) != *self);
        actions.into_iter().min_by_key(rank)
    }

    fn after_calm(&self, setting: &Setting, action: Action) -> World {
        let mut from = self.clone();
        from.left.persons = 1;
        World { left: self.left, ..from.after(setting, action, &mut Teller::silent()) }
    }
}

/// More steps than any calm world needs.
const LONGEST_CALM: usize = 150;

pub const NO_TROUBLE: Trouble = Trouble { power: 0, cuts: 0, kills: 0, orphans: 0, failures: 0, persons: 0 };

impl Walk {
    pub fn new(setting: Setting, begin: World) -> Walk {
        Walk { setting, begin, heals: Mutex::default(), told: Mutex::default() }
    }

    /// From here all comes to a good end, when nothing more goes wrong: the steps of a calm world lead to where web runs once. (Or to a
    /// split brain, of which another property tells.)
    /// What was found out is remembered, so that a walk costs about one step for each world.
    pub fn heals(&self, world: &World) -> bool {
        let mut known = self.heals.lock().expect("nobody panics with it");
        let mut way = vec![World { left: NO_TROUBLE, old_start: false, lost_writes: false, ..world.clone() }];
        let well = loop {
            let here = &way[way.len() - 1];
            if let Some(well) = known.get(here) {
                break *well;
            }
            if here.is_well(&self.setting) || here.pair.is_split() {
                break true;
            }
            match here.calm(&self.setting) {
                Some(action) if way.len() < LONGEST_CALM => way.push(here.after_calm(&self.setting, action)),
                _ => break false,
            }
        };
        known.extend(way.into_iter().map(|world| (world, well)));
        well
    }

    /// What happens from here when nothing more goes wrong, told.
    pub fn calm_story(&self, world: &World) -> Vec<String> {
        let mut told = Vec::new();
        let mut here = world.clone();
        while let Some(action) = here.calm(&self.setting).filter(|_| told.len() < LONGEST_CALM && !here.is_well(&self.setting)) {
            here.left.persons = 1;
            here = here.after(&self.setting, action, &mut Teller::new(&mut told));
        }
        told
    }

    /// Whether it holds; only the first time that it does not is told.
    fn first(&self, property: &'static str, holds: bool) -> bool {
        holds || !self.told.lock().expect("nobody panics with it").insert(property)
    }
}

/// The promises, by the names under which the checker reports that one was broken.
pub const NEVER_TWO: &str = "web never executes on both";
pub const NO_SPLIT: &str = "no split brain";
pub const NO_TWO_HISTORIES: &str = "never do both ends have writes that the other one lacks";
pub const NOT_OLD: &str = "web is never started on data older than the other end's";
pub const NOTHING_LOST: &str = "no resync throws a guest's writes away";
pub const ONE_PRIMARY: &str = "never are both Primary";
pub const FENCING_BACK: &str = "who is done has put its fencing back";
pub const FLAG_BACK: &str = "when both are done and connected, allow-two-primaries is as in the file";
pub const HEALS: &str = "when nothing more goes wrong, web runs once and all is put back";
pub const ENDS_WELL: &str = "in a calm world all ways end there";
pub const NOT_APART: &str = "in a calm world nobody starts it before the link is back";
/// No promise, but a sign that the walk is not an idle one.
pub const STARTED: &str = "web is started";

impl Model for Walk {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin.clone()]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        state.actions(&self.setting, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let next = last.after(&self.setting, action, &mut Teller::silent());
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_TWO, |walk: &Walk, w: &World| walk.first(NEVER_TWO, !(w.runs(0) && w.runs(1)))),
            Property::always(NO_SPLIT, |walk: &Walk, w: &World| walk.first(NO_SPLIT, !w.pair.is_split())),
            Property::always(NO_TWO_HISTORIES, |walk: &Walk, w: &World| {
                walk.first(NO_TWO_HISTORIES, !w.pair.ends.iter().all(|e| e.ahead))
            }),
            Property::always(NOT_OLD, |walk: &Walk, w: &World| walk.first(NOT_OLD, !w.old_start)),
            Property::always(NOTHING_LOST, |walk: &Walk, w: &World| walk.first(NOTHING_LOST, !w.lost_writes)),
            Property::always(ONE_PRIMARY, |walk: &Walk, w: &World| {
                walk.first(ONE_PRIMARY, !w.pair.ends.iter().all(|e| e.primary))
            }),
            Property::always(FENCING_BACK, |walk: &Walk, w: &World| {
                let file = walk.setting.rules.file.fencing.guards();
                let is_so = [0, 1].iter().all(|at| !w.is_done(*at) || !w.pair.ends[*at].on || w.pair.ends[*at].fencing == file);
                walk.first(FENCING_BACK, is_so)
            }),
            Property::always(FLAG_BACK, |walk: &Walk, w: &World| {
                let quiet = w.pair.is_live() && w.is_done(0) && w.is_done(1) && w.pair.ends.iter().all(|e| e.mail.is_none());
                let file = walk.setting.rules.file.two_primaries;
                walk.first(FLAG_BACK, !quiet || w.pair.ends.iter().all(|e| e.two == file))
            }),
            Property::always(HEALS, |walk: &Walk, w: &World| walk.first(HEALS, !walk.setting.asks_for_healing || walk.heals(w))),
            Property::always(ENDS_WELL, |walk: &Walk, w: &World| {
                let over = walk.setting.most == NO_TROUBLE && walk.next_states(w).is_empty();
                walk.first(ENDS_WELL, !over || w.is_well(&walk.setting))
            }),
            Property::always(NOT_APART, |walk: &Walk, w: &World| {
                let apart = walk.setting.most == NO_TROUBLE && !w.pair.cable;
                walk.first(NOT_APART, !apart || !(w.runs(0) || w.runs(1)))
            }),
            Property::sometimes(STARTED, |walk: &Walk, w: &World| !walk.first(STARTED, !(w.runs(0) || w.runs(1)))),
        ]
    }
}
