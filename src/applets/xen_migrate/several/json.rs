//! `--json`: everything that is said becomes an event on standard output, and the last one is `done`, whatever happened.

use super::event::{Event, Planned};
use super::{Which, show};
use crate::adapters::To;
use crate::applets::exit::Exit;
use crate::applets::xen_migrate::voice::Voice;
use crate::applets::xen_migrate::{Ended, Setting};
use crate::core::facts::End;
use crate::core::migrate::check::{self, Objection};
use crate::core::names::{DomuName, HostName};
use std::cell::RefCell;
use std::time::Duration;

/// Runs a verb so that a machine reads what it does.
pub(super) fn aloud(setting: Setting<'_>, which: &Which, until: Option<Duration>, body: &dyn Fn(Setting<'_>) -> Ended) -> Ended {
    let world = setting.world;
    let so_far: RefCell<SoFar> = RefCell::default();
    let tell = |event: &Event| world.say(To::Machine, &event.line());
    let events = |event: &Event| {
        // With --wait there are several rounds, and one end.
        if !so_far.borrow_mut().hears(event) {
            tell(event);
        }
    };
    let said = |to: To, line: &str| match to {
        To::Log | To::Machine => world.say(to, line),
        To::Out | To::Err => {
            let to = if to == To::Out { "out" } else { "err" };
            tell(&Event::Said { domu: which.one().cloned(), to: to.to_string(), text: line.to_string() });
        }
    };
    let voice = Voice { world, tell: &said, until };
    let exit = body(Setting { world: &voice, events: Some(&events), ..setting }).unwrap_or_else(|stop| {
        said(To::Err, &stop.text);
        stop.exit
    });
    so_far.take().end(which, exit).iter().for_each(tell);
    Ok(exit)
}

/// What a machine has been told so far, as far as the last event depends on it.
#[derive(Default)]
struct SoFar {
    /// What was to go, by the last plan.
    to_go: Vec<DomuName>,
    /// What could not.
    left: Vec<DomuName>,
    /// One domU alone set out, and to this host.
    set_out: Option<(DomuName, HostName)>,
    done: Option<Event>,
}

impl SoFar {
    /// True: it is kept for the end.
    fn hears(&mut self, event: &Event) -> bool {
        match event {
            Event::Plan { moves, left, .. } => {
                self.to_go = moves.iter().map(|m| m.domu.clone()).collect();
                self.left = left.iter().map(|l| l.domu.clone()).collect();
            }
            Event::Begin { domu, to, .. } => self.set_out = Some((domu.clone(), to.clone())),
            Event::Done { exit, moved, failed, not_begun, still_here } => {
                let mut all = match self.done.take() {
                    Some(Event::Done { moved, .. }) => moved,
                    _ => vec![],
                };
                all.extend(moved.iter().cloned());
                let (failed, not_begun, still_here) = (failed.clone(), not_begun.clone(), still_here.clone());
                self.done = Some(Event::Done { exit: *exit, moved: all, failed, not_begun, still_here });
                return true;
            }
            _ => {}
        }
        false
    }

    /// What is still to be told when all is over.
    fn end(self, which: &Which, exit: Exit) -> Vec<Event> {
        let code = exit.code();
        match (self.done, which.one(), self.set_out) {
            (Some(Event::Done { moved, failed, not_begun, still_here, .. }), ..) => {
                vec![Event::Done { exit: code, moved, failed, not_begun, still_here }]
            }
            (_, Some(one), Some((domu, to))) if one == &domu => {
                let (moved, failed) =
                    if exit == Exit::Done { (vec![domu.clone()], vec![]) } else { (vec![], vec![domu.clone()]) };
                let done = Event::Done { exit: code, moved, failed, not_begun: vec![], still_here: vec![] };
                vec![Event::End { domu, to, exit: code }, done]
            }
            (_, one, _) => {
                // It was refused before there was a plan.
                let refused = one.filter(|_| exit != Exit::Done && self.to_go.is_empty() && self.left.is_empty()).cloned();
                let failed = self.left.into_iter().chain(refused).collect();
                vec![Event::Done { exit: code, moved: vec![], failed, not_begun: self.to_go, still_here: vec![] }]
            }
        }
    }
}

/// One domU alone, from the end where it runs: what is planned for it, and that it begins where nothing speaks against it.
pub fn sets_out(setting: Setting<'_>, end: &End, to: &HostName, against: &[Objection], dry: bool) {
    let Some(events) = setting.events else { return };
    let domu = end.domu.clone();
    let memory_mib = check::memory_needed(end.running().map_or(0, |copy| copy.domain.memory));
    let planned = Planned { domu: domu.clone(), from: end.host.clone(), to: to.clone(), memory_mib, passed_over: vec![] };
    let moves = if against.is_empty() { vec![planned] } else { vec![] };
    let left = if against.is_empty() { vec![] } else { vec![show::refused(&domu, &[(to.clone(), against.to_vec())])] };
    events(&Event::Plan { moves, left, apart: vec![], stays: vec![], jobs: 1 });
    if against.is_empty() && !dry {
        events(&Event::Begin { domu, from: end.host.clone(), to: to.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::Word;
    use super::*;

    fn which(words: &[&str]) -> Which {
        let word = |w: &&str| if *w == "ALL" { Word::All } else { Word::Domu(w.parse().unwrap()) };
        let words = words.iter().map(word).collect();
        Which { words, except: vec![], partial: false, jobs: None, deadline: None, json: true }
    }

    fn ends(so_far: SoFar, words: &[&str], exit: Exit) -> String {
        so_far.end(&which(words), exit).iter().map(|event| event.line() + "\n").collect()
    }

    #[test]
    fn the_last_event_is_done_whatever_happened() {
        let done = |exit: i32, moved: &str, failed: &str, not_begun: &str| {
            format!(
                r#"{{"event":"done","exit":{exit},"moved":[{moved}],"failed":[{failed}],"not_begun":[{not_begun}],"still_here":[]}}"#
            ) + "\n"
        };
        assert_eq!(ends(SoFar::default(), &["web"], Exit::Refused), done(3, "", "\"web\"", ""));
        assert_eq!(ends(SoFar::default(), &["web"], Exit::Done), done(0, "", "", ""), "it was there already");
        let mut so_far = SoFar::default();
        let (web, beta): (DomuName, HostName) = ("web".parse().unwrap(), "beta".parse().unwrap());
        assert!(!so_far.hears(&Event::Begin { domu: web.clone(), from: beta.clone(), to: beta.clone() }));
        let end = r#"{"event":"end","domu":"web","to":"beta","exit":1}"#.to_string() + "\n";
        assert_eq!(ends(so_far, &["web"], Exit::Failed), end + &done(1, "", "\"web\"", ""));

        let planned = Planned { domu: web.clone(), from: beta.clone(), to: beta.clone(), memory_mib: 1, passed_over: vec![] };
        let plan = Event::Plan { moves: vec![planned], left: vec![], apart: vec![], stays: vec![], jobs: 1 };
        let mut dry = SoFar::default();
        dry.hears(&plan);
        assert_eq!(ends(dry, &["ALL"], Exit::Done), done(0, "", "", "\"web\""));

        let mut rounds = SoFar::default();
        for moved in [vec![web.clone()], vec![]] {
            assert!(rounds.hears(&Event::Done { exit: 6, moved, failed: vec![], not_begun: vec![], still_here: vec![] }));
        }
        assert_eq!(ends(rounds, &["ALL"], Exit::Done), done(0, "\"web\"", "", ""), "two rounds have one end");
    }
}
