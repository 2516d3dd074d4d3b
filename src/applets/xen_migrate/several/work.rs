//! Having the plan done: a crew of workers, each with one domU, and what became of each.

use super::event::{Event, Heard};
use super::here::Here;
use super::show::Telling;
use super::{Errand, Scene};
use crate::adapters::Shift;
use crate::applets::cli::Everywhere;
use crate::applets::exit::Exit;
use crate::applets::xen_migrate::{Setting, recover};
use crate::core::fleet::order::Queues;
use crate::core::fleet::{Move, Plan};
use crate::core::names::DomuName;
use std::time::Duration;

/// What became of each domU that was asked for.
#[derive(Default)]
pub(super) struct Outcome {
    /// How each ended, in the order in which they did. What cannot go at all is refused.
    pub ends: Vec<(DomuName, Exit)>,
    /// What was planned and not begun.
    pub not_begun: Vec<DomuName>,
    /// Those for which another host may still do: refused by this one, or never begun because of it.
    again: Vec<DomuName>,
}

impl Outcome {
    /// What is worth a new plan: it was to go, did not, and nothing of it was touched.
    pub(super) fn worth_another_try(&self) -> Vec<DomuName> {
        self.again.clone()
    }

    /// It came to nothing that it was to come here, so it need not go either.
    pub(super) fn turned_away(&mut self, domu: &DomuName) {
        self.ends.retain(|(name, exit)| name != domu || *exit == Exit::Done);
    }

    /// Another plan has a way for it: what was is forgotten.
    fn anew(&mut self, domu: &DomuName) {
        self.ends.retain(|(name, _)| name != domu);
        self.not_begun.retain(|name| name != domu);
        self.again.retain(|name| name != domu);
    }

    /// The exit code of the whole. What was not begun did not succeed.
    pub(super) fn exit(&self) -> Exit {
        let mut ends: Vec<Exit> = self.ends.iter().map(|(_, exit)| *exit).collect();
        ends.extend(self.not_begun.iter().map(|_| Exit::Failed));
        recover::of_several(&ends)
    }

    /// The same for a machine.
    pub(super) fn event(&self, exit: Exit, here: &[Here]) -> Event {
        let of = |well: bool| self.ends.iter().filter(move |(_, e)| (*e == Exit::Done) == well).map(|(domu, _)| domu.clone());
        Event::Done {
            exit: exit.code(),
            moved: of(true).collect(),
            failed: of(false).collect(),
            not_begun: self.not_begun.clone(),
            still_here: here.iter().map(|here| here.name.clone()).collect(),
        }
    }
}

/// Does the plan, up to the deadline `until`. The error of one is no reason to stop the others, unless its target is not to be reached.
#[expect(clippy::too_many_arguments, reason = "the foreman's desk: each of them is another thing")]
pub(super) fn work(
    setting: Setting<'_>,
    plan: &Plan,
    scene: &Scene,
    errand: &Errand<'_>,
    everywhere: &Everywhere,
    until: Option<Duration>,
    told: &mut Telling<'_>,
    outcome: &mut Outcome,
) {
    let world = setting.world;
    plan.moves.iter().for_each(|m| outcome.anew(&m.domu));
    let sizes: Vec<(usize, u64)> = plan.moves.iter().map(|m| (m.target, m.memory)).collect();
    let mut queues = Queues::new(scene.targets.len(), &sizes, errand.which().jobs.map(usize::from));
    let mut begun: Vec<usize> = Vec::new();
    let mut ended: Vec<usize> = Vec::new();
    let mut foreman = |shift: Shift<'_>| match shift {
        Shift::Free => {
            if world.stopping() {
                queues.give_up_all();
                return None;
            }
            let next = queues.begin()?;
            let this = &plan.moves[next];
            told.begin(this, scene.journey(&this.domu).map(|j| &j.end.host));
            begun.push(next);
            Some(argv(setting, errand, everywhere, this, until))
        }
        Shift::Line { who, to, line } => {
            if matches!(Heard::of_line(line), Some(Heard::Tale(Event::Handed { .. }))) {
                queues.ended(begun[who]);
            }
            told.line(&plan.moves[begun[who]], to, line);
            None
        }
        Shift::Ended { who, code } => {
            let number = begun[who];
            let this = &plan.moves[number];
            queues.ended(number);
            ended.push(number);
            // Killed: what it did is not known, and its record is there to be settled.
            let exit = code.map_or(Exit::Undecided, Exit::of_code);
            told.ended(this, exit, code.is_some());
            // Its other domUs would each wait for it in vain.
            if exit == Exit::Unreachable && matches!(errand, Errand::Going(_)) {
                queues.give_up(this.target);
            }
            // A Dom0 that goes down has no other time for it: a target that goes down as well, say, fails it only when it is on its way.
            if matches!(exit, Exit::Unreachable | Exit::Refused) || exit == Exit::Failed && errand.goes_down() {
                outcome.again.push(this.domu.clone());
            }
            outcome.ends.push((this.domu.clone(), exit));
            None
        }
    };
    world.crew(&mut foreman);
    for (number, this) in plan.moves.iter().enumerate().filter(|(number, _)| !ended.contains(number)) {
        debug_assert!(!begun.contains(&number));
        outcome.not_begun.push(this.domu.clone());
        outcome.again.push(this.domu.clone());
    }
}

/// What a worker is told: what a person could type.
fn argv(setting: Setting<'_>, errand: &Errand<'_>, everywhere: &Everywhere, this: &Move, until: Option<Duration>) -> Vec<String> {
    let mut argv: Vec<String> = ["xen-migrate", errand.verb(), this.domu.as_str(), "--json"].map(String::from).into();
    if let Some(until) = until {
        let left = until.saturating_sub(setting.world.clock());
        argv.extend(["--deadline".to_string(), format!("{}s", left.as_secs().max(1))]);
    }
    if let Errand::Going(asked) = errand {
        argv.extend(["--to".to_string(), this.to.to_string()]);
        for check in &asked.how.despite {
            argv.extend(["--despite".to_string(), check.to_string()]);
        }
    }
    let toolstack = everywhere.toolstack.map(|ts| ts.to_string());
    for (option, value) in [("--root", &everywhere.root), ("--path", &everywhere.path), ("--toolstack", &toolstack)] {
        if let Some(value) = value {
            argv.extend([option.to_string(), value.clone()]);
        }
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domu(name: &str) -> DomuName {
        name.parse().unwrap()
    }

    #[test]
    fn what_was_not_begun_did_not_succeed() {
        let mut outcome = Outcome { ends: vec![(domu("a"), Exit::Done)], ..Outcome::default() };
        assert_eq!(outcome.exit(), Exit::Done);
        outcome.not_begun.push(domu("b"));
        assert_eq!(outcome.exit(), Exit::Partly);
        outcome.ends.clear();
        assert_eq!(outcome.exit(), Exit::Failed);
        outcome.anew(&domu("b"));
        assert_eq!(outcome.exit(), Exit::Done);
    }
}
