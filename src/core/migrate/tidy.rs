//! Putting things in order once it is known where the domU is: leftovers, roles, options, records.

use super::Trip;
use super::settle::{Ending, Settlement};
use crate::core::drbd::{Generation, Role};
use crate::core::facts::{CopyName, End, ReplicaSeen};
use crate::core::names::ResourceName;
use crate::core::record::{Row, State};
use crate::core::step::{Deed, Step};

/// It is there and not well: the record says so, and nothing else is touched.
pub(super) fn leave_unwell(here: &End, there: Option<&End>, trip: &Trip, doubt: String) -> Settlement {
    let mut tidy = Tidy::new(here, there);
    tidy.note(trip.row_when_arrived(&here.domu), trip);
    let id = there.and_then(|t| t.copy(CopyName::Plain)).map_or("ID".to_string(), |c| c.domain.id.to_string());
    let commands = vec![
        format!("on {}: {} block-list {id}; drbdsetup status", trip.to, here.toolstack),
        format!("if its disks stay dead, on {}: {} destroy {id}, and then", trip.to, here.toolstack),
        format!("xen-migrate recover {}", here.domu),
    ];
    Settlement { ending: Ending::Unwell(doubt), steps: tidy.steps, pending: vec![], commands }
}

/// It runs there: our leftovers go, the roles and the options follow, both records say so.
pub(super) fn tidy_after_arrival(here: &End, there: Option<&End>, trip: &Trip, note: Option<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there);
    let truth = trip.row_when_arrived(&here.domu);
    tidy.note(truth.clone(), trip);

    if let Some(copy) =
        here.copies.iter().find(|c| c.called != CopyName::Plain && !c.domain.state.dying && !c.domain.state.executes())
    {
        tidy.steps.push(Step::here(
            Deed::Destroy { called: copy.called, id: copy.domain.id },
            "it runs there; this copy can never run again",
        ));
    }
    for seen in here.replicas.iter().filter(|r| r.replica.role == Role::Primary) {
        tidy.steps.push(Step::here(Deed::Demote(seen.replica.resource.clone()), "it no longer runs here"));
    }
    tidy.close(trip);
    if there.is_some_and(|t| t.row.as_ref().is_some_and(|r| r.state.in_flight())) {
        tidy.steps.push(Step::there(Deed::Arrived, "its record says where it is"));
    }
    tidy.finish(truth, Ending::Arrived(note))
}

/// It is here: the target's leftovers go, the roles and the options follow, both records say so.
pub(super) fn tidy_after_staying(here: &End, there: Option<&End>, trip: &Trip, note: Option<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there);
    let truth = trip.row_when_stayed(&here.domu);
    tidy.note(truth.clone(), trip);

    if let Some(there) = there {
        if let Some(copy) = there.copy(CopyName::Incoming).filter(|c| !c.domain.state.dying) {
            tidy.steps.push(Step::there(
                Deed::Destroy { called: CopyName::Incoming, id: copy.domain.id },
                "it never ran, and the domU is here",
            ));
        }
        if there.copy(CopyName::Plain).is_none() {
            for seen in there.replicas.iter().filter(|r| r.replica.role == Role::Primary) {
                tidy.steps.push(Step::there(Deed::Demote(seen.replica.resource.clone()), "nothing runs on it there"));
            }
        }
    }
    tidy.close(trip);
    if there.is_some_and(|t| t.row.as_ref().is_some_and(|r| r.state.in_flight())) {
        tidy.steps.push(Step::there(Deed::Release, "nothing comes any more"));
    }
    tidy.finish(truth, Ending::Stayed(note))
}

/// Collects the deeds that put things in order.
struct Tidy<'a> {
    here: &'a End,
    there: Option<&'a End>,
    steps: Vec<Step>,
    pending: Vec<String>,
}

impl<'a> Tidy<'a> {
    fn new(here: &'a End, there: Option<&'a End>) -> Self {
        Tidy { here, there, steps: vec![], pending: vec![] }
    }

    /// The truth goes into the record first, with what is still open.
    fn note(&mut self, truth: Option<Row>, trip: &Trip) {
        let changed = changed(self.here);
        let now = &self.here.row;
        match (truth, changed.is_empty()) {
            (Some(mut row), _) => {
                row.open = changed;
                if now.as_ref().is_none_or(|n| !same(n, &row)) {
                    self.steps.push(Step::here(Deed::Note(row), "the truth first"));
                }
            }
            (None, false) => {
                let mut row = trip.row(&self.here.domu, State::Here, &trip.to);
                row.open = changed;
                if now.as_ref().is_none_or(|n| !same(n, &row)) {
                    self.steps.push(Step::here(Deed::Note(row), "the truth first"));
                }
            }
            // The row goes last, when all is in order.
            (None, true) => {}
        }
    }

    /// The options of the operator's file again, on both ends, or on neither: a window that is shut on one end only keeps DRBD
    /// from reconnecting (`incompatible allow-two-primaries settings`, claim-experiments.md 10).
    fn close(&mut self, trip: &Trip) {
        for seen in self.here.replicas.iter().filter(|r| is_ours_to_close(self.here, r)) {
            let name = &seen.replica.resource;
            let Some(there) = self.there else {
                self.pending.push(format!(
                    "the options of {name} stay as they are until {} can be seen: {}",
                    trip.to,
                    options(seen)
                ));
                continue;
            };
            if !seen.replica.is_connected() {
                self.pending.push(format!(
                    "the options of {name} stay as they are ({}) until DRBD is connected again: shut on one end only, they would keep it from reconnecting",
                    options(seen)
                ));
                continue;
            }
            if there.replica(name).is_some_and(|far| is_ours_to_close(there, far)) {
                self.steps.push(Step::there(Deed::Close(name.clone()), "only during the migration"));
            }
            self.steps.push(Step::here(Deed::Close(name.clone()), "only during the migration"));
        }
        // Ours is in order and only theirs is not.
        if let Some(there) = self.there {
            for far in there.replicas.iter().filter(|r| is_ours_to_close(there, r)) {
                let name = &far.replica.resource;
                let done_above = self.here.replica(name).is_some_and(|r| is_ours_to_close(self.here, r));
                if done_above {
                    continue;
                }
                if far.replica.is_connected() {
                    self.steps.push(Step::there(Deed::Close(name.clone()), "only during the migration"));
                } else {
                    self.pending
                        .push(format!("the options of {name} on {} stay as they are until DRBD is connected again", there.host));
                }
            }
        }
    }

    /// The last word in the record, once nothing is open any more. What is pending stays there as [`Tidy::note`] has put it.
    fn finish(mut self, truth: Option<Row>, ending: Ending) -> Settlement {
        if self.pending.is_empty() {
            match (truth, &self.here.row) {
                (Some(row), Some(now)) if same(now, &row) => {}
                (Some(row), _) => self.steps.push(Step::here(Deed::Note(row), "all is in order")),
                (None, Some(_)) => self.steps.push(Step::here(Deed::Forget, "all is in order")),
                (None, None) => {}
            }
        }
        // Noted with nothing open, the first note is the last one already.
        self.steps.dedup_by(|second, first| second.deed == first.deed && second.place == first.place);
        Settlement { ending, steps: self.steps, pending: self.pending, commands: vec![] }
    }
}

/// Two rows say the same, whatever their time.
fn same(a: &Row, b: &Row) -> bool {
    Row { since: b.since, ..a.clone() } == *b
}

/// The resources whose options we changed there and have not put back.
fn changed(end: &End) -> Vec<ResourceName> {
    end.replicas.iter().filter(|r| is_ours_to_close(end, r)).map(|r| r.replica.resource.clone()).collect()
}

/// Whether we changed the options (the record says so) and they still differ from the operator's file.
///
/// What the record does not name is the operator's own doing. On DRBD 8.3 nothing can be changed at run time.
fn is_ours_to_close(end: &End, seen: &ReplicaSeen) -> bool {
    let noted = end.row.as_ref().is_some_and(|row| row.open.contains(&seen.replica.resource));
    noted && end.generation != Some(Generation::V83) && seen.replica.is_up() && seen.is_changed()
}

fn options(seen: &ReplicaSeen) -> String {
    match &seen.options {
        Some(o) => format!("allow-two-primaries={}, fencing={}", if o.two_primaries { "yes" } else { "no" }, o.fencing),
        None => "not readable".to_string(),
    }
}
