//! Putting things in order once it is known where the domU is: leftovers, roles, options, records.

use super::Trip;
use super::settle::{Ending, Far, Settlement, third_primary};
use super::split::{self, alone, joined, third_apart};
use crate::core::drbd::{Connection, Generation, Role};
use crate::core::facts::{CopyName, End, ReplicaSeen};
use crate::core::names::{HostName, ResourceName};
use crate::core::record::{Row, State};
use crate::core::step::{Deed, Step};

/// It is there and not well: the record says so, and nothing else is touched.
pub(super) fn leave_unwell(here: &End, there: Far<'_>, trip: &Trip, doubt: String, commands: Vec<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there, trip);
    tidy.note(trip.row_when_arrived(&here.domu));
    Settlement { steps: tidy.steps, commands, ..Settlement::of(Ending::Unwell(doubt)) }
}

/// It executes nowhere, and a person is told how to start it. Before that the window is shut: two people could start it on two Dom0s, and
/// a window that is half shut keeps DRBD apart, so that nobody could see which disk is the newer one. A copy that does not execute is no
/// hindrance, unless both ends are Primary for its sake; another journey of the domU is. The record keeps the flight until it runs again.
pub(super) fn shut_while_it_runs_nowhere(
    here: &End,
    there: Far<'_>,
    trip: &Trip,
    what: String,
    commands: Vec<String>,
) -> Settlement {
    let mut tidy = Tidy::new(here, there, trip);
    let empty = |end: &End| end.copies.iter().all(|c| c.domain.state.dying);
    let another = |row: &Row| !row.host.same_host(&here.host) || row.state == State::Leaving;
    let undisturbed = |far: &&End| !far.row.as_ref().is_some_and(another) && third_primary(here, far).is_none();
    if let Some(far) = tidy.there().filter(undisturbed) {
        let primary = |end: &'_ End| -> Vec<ResourceName> {
            end.replicas.iter().filter(|r| r.replica.role == Role::Primary).map(|r| r.replica.resource.clone()).collect()
        };
        let (there_primary, here_primary) = (primary(far), primary(here));
        if empty(far) && far.row.is_some() {
            let demote = |name: &ResourceName| Step::there(Deed::Demote(name.clone()), "nothing runs on it there");
            tidy.steps.extend(there_primary.iter().map(demote));
        }
        if empty(here) {
            let demote = |name: &ResourceName| Step::here(Deed::Demote(name.clone()), "nothing runs on it here");
            tidy.steps.extend(here_primary.iter().map(demote));
        }
        if empty(far) || empty(here) || !there_primary.iter().any(|name| here_primary.contains(name)) {
            tidy.close(None);
        }
    }
    // What keeps a replica apart comes first: it is asked whether all are connected before the domU is started.
    let mut all = tidy.commands;
    all.extend(commands);
    Settlement {
        steps: tidy.steps,
        pending: tidy.pending,
        waits: tidy.waits,
        commands: all,
        ..Settlement::of(Ending::Nowhere(what))
    }
}

/// It runs there: our leftovers go, the roles and the options follow, both records say so.
pub(super) fn tidy_after_arrival(here: &End, there: Far<'_>, trip: &Trip, note: Option<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there, trip);
    let truth = trip.row_when_arrived(&here.domu);
    tidy.note(truth.clone());

    let stale =
        |c: &&crate::core::facts::CopySeen| c.called != CopyName::Plain && !c.domain.state.dying && !c.domain.state.executes();
    if let Some(copy) = here.copies.iter().find(stale) {
        let destroy = Deed::Destroy { called: copy.called, id: copy.domain.id };
        tidy.steps.push(Step::here(destroy, "it runs there; this copy can never run again"));
    }
    for seen in here.replicas.iter().filter(|r| r.replica.role == Role::Primary) {
        tidy.steps.push(Step::here(Deed::Demote(seen.replica.resource.clone()), "it no longer runs here"));
    }
    tidy.close(Some(&trip.to));
    tidy.tell_there(Step::there(Deed::Arrived, "its record says where it is"));
    tidy.finish(truth, Ending::Arrived(note))
}

/// It is here: the target's leftovers go, the roles and the options follow, both records say so.
pub(super) fn tidy_after_staying(here: &End, there: Far<'_>, trip: &Trip, note: Option<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there, trip);
    let truth = trip.row_when_stayed(&here.domu);
    tidy.note(truth.clone());

    if let Some(there) = tidy.there() {
        if let Some(copy) = there.copy(CopyName::Incoming).filter(|c| !c.domain.state.dying) {
            let destroy = Deed::Destroy { called: CopyName::Incoming, id: copy.domain.id };
            tidy.steps.push(Step::there(destroy, "it never ran, and the domU is here"));
        }
        if there.copy(CopyName::Plain).is_none() {
            for seen in there.replicas.iter().filter(|r| r.replica.role == Role::Primary) {
                tidy.steps.push(Step::there(Deed::Demote(seen.replica.resource.clone()), "nothing runs on it there"));
            }
        }
    }
    tidy.close(Some(&here.host));
    // While DRBD is apart the journey is not over there either: who is not expected may not connect it.
    if tidy.is_over() {
        tidy.tell_there(Step::there(Deed::Release, "the domU is here"));
    }
    tidy.finish(truth, Ending::Stayed(note))
}

/// Collects the deeds that put things in order.
struct Tidy<'a> {
    here: &'a End,
    far: Far<'a>,
    trip: &'a Trip,
    steps: Vec<Step>,
    pending: Vec<String>,
    /// Something pending is ours to do, once it can be done: until then the record keeps it.
    waits: bool,
    commands: Vec<String>,
}

impl<'a> Tidy<'a> {
    fn new(here: &'a End, far: Far<'a>, trip: &'a Trip) -> Self {
        Tidy { here, far, trip, steps: vec![], pending: vec![], waits: false, commands: vec![] }
    }

    fn there(&self) -> Option<&'a End> {
        match self.far {
            Far::Seen(there) => Some(there),
            Far::Hidden(_) | Far::Blind => None,
        }
    }

    /// The truth goes into the record first, with what is still open. While the other end is hidden, what the flight opened stays on
    /// the record even where this end is in order: the other may not be.
    fn note(&mut self, truth: Option<Row>) {
        let mut open = changed(self.here);
        // A split brain is DRBD's affair and a person's: it is said, and the record need not wait for its end.
        let split = |name: &ResourceName| self.trip.reconnected.contains(name) && self.is_alone(name);
        let unsettled = |name: &&ResourceName| matches!(self.far, Far::Hidden(_)) || !(self.is_connected(name) || split(name));
        open.extend(self.trip.opened.iter().filter(|r| !open.contains(r)).filter(unsettled).cloned().collect::<Vec<_>>());
        let hidden = matches!(self.far, Far::Hidden(_)) && self.here.row.is_some();
        let here_row = || self.trip.row(&self.here.domu, State::Here, &self.trip.to);
        let row = match truth {
            Some(row) => Row { open, ..row },
            None if open.is_empty() && !hidden => return,
            None => Row { open, ..here_row() },
        };
        if self.here.row.as_ref().is_none_or(|now| !same(now, &row)) {
            self.steps.push(Step::here(Deed::Note(row), "the truth first"));
        }
    }

    /// The options of the operator's file again: on both ends, or on neither. A window that is shut on one end only keeps DRBD from
    /// reconnecting (`incompatible allow-two-primaries settings`, claim-experiments.md 10), and what stands alone for that reason
    /// is connected again. `data` is the host whose copy of the domU runs.
    fn close(&mut self, data: Option<&HostName>) {
        match self.far {
            Far::Seen(there) => {
                let mut names = changed(self.here);
                names.extend(changed(there).into_iter().filter(|r| !names.contains(r)).collect::<Vec<_>>());
                for name in names {
                    if there.replica(&name).is_some_and(|r| is_ours_to_close(there, r)) {
                        self.steps.push(Step::there(Deed::Close(name.clone()), "only during the migration"));
                    }
                    if self.here.replica(&name).is_some_and(|r| is_ours_to_close(self.here, r)) {
                        self.steps.push(Step::here(Deed::Close(name.clone()), "only during the migration"));
                    }
                }
                self.connect(there, data);
                for name in &self.trip.opened {
                    if !self.is_connected(name) && !self.is_alone(name) {
                        self.not_connected(name, there);
                    }
                    // What a third replica lacks is no doubt about the two ends, and the record need not wait for it.
                    for third in third_apart(name, self.here, there, |link| *link != Connection::Connected) {
                        self.pending.push(third.what);
                        self.commands.extend(third.commands);
                    }
                }
            }
            Far::Hidden(why) => {
                if self.here.row.is_some() {
                    self.wait_for(format!(
                        "DRBD's options, and the record of {}, stay as they are until it can be looked at: {why}",
                        self.trip.to
                    ));
                }
            }
            // The flag reaches a connected peer by itself, and nothing else was changed there.
            Far::Blind => {
                for seen in self.here.replicas.iter().filter(|r| is_ours_to_close(self.here, r)) {
                    let name = &seen.replica.resource;
                    if joined(seen, &self.trip.to) {
                        self.steps.push(Step::here(Deed::Close(name.clone()), "only during the migration"));
                    } else {
                        self.wait_for(format!(
                            "the options of {name} stay as they are until DRBD is connected again: shut on one end only, they would keep it \
                             from reconnecting"
                        ));
                    }
                }
            }
        }
    }

    /// A resource of this flight that stands alone: connected once. What stands alone after that has two histories.
    fn connect(&mut self, there: &'a End, data: Option<&HostName>) {
        let opened = |end: &End, name: &ResourceName| end.row.as_ref().is_some_and(|row| row.open.contains(name));
        for seen in &self.here.replicas {
            let name = &seen.replica.resource;
            let again = self.trip.reconnected.contains(name);
            let Some(far) = there.replica(name).filter(|_| again || opened(self.here, name) || opened(there, name)) else {
                continue;
            };
            if !alone(seen, &there.host) && !alone(far, &self.here.host) {
                continue;
            }
            if again {
                self.split_brain(name, there, data);
                continue;
            }
            self.steps.push(Step::there(Deed::Connect(name.clone()), ALONE));
            self.steps.push(Step::here(Deed::Connect(name.clone()), ALONE));
        }
    }

    /// Whose host the other end is, whether it can be seen or not.
    fn other(&self) -> &'a HostName {
        self.there().map_or(&self.trip.to, |there| &there.host)
    }

    /// Connected at this end to the other, and so at both.
    fn is_connected(&self, name: &ResourceName) -> bool {
        self.here.replica(name).is_some_and(|r| joined(r, self.other()))
    }

    /// StandAlone at either end towards the other.
    fn is_alone(&self, name: &ResourceName) -> bool {
        self.here.replica(name).is_some_and(|r| alone(r, self.other()))
            || self.there().and_then(|there| there.replica(name)).is_some_and(|r| alone(r, &self.here.host))
    }

    /// The two ends are not connected, and neither stands alone: the link is down, or one of them is not up.
    fn not_connected(&mut self, name: &ResourceName, there: &End) {
        let words = self.here.replica(name).map_or("not seen".to_string(), ReplicaSeen::in_words);
        self.wait_for(format!("{name} is not connected; whether both ends still have one history shows when it is ({words})"));
        let down = |end: &&End| !end.replica(name).is_some_and(|r| r.replica.is_up());
        let mut up: Vec<String> =
            [self.here, there].iter().copied().filter(down).map(|end| format!("on {}: drbdadm up {name}", end.host)).collect();
        if up.is_empty() {
            up.push(format!(
                "on {} and on {}: drbdadm cstate {name}   (Connecting: mend the link between them, and they join by themselves)",
                self.here.host, there.host
            ));
        }
        self.commands.extend(up);
    }

    /// Ours to do, once that can be done.
    fn wait_for(&mut self, what: String) {
        self.pending.push(what);
        self.waits = true;
    }

    fn split_brain(&mut self, name: &ResourceName, there: &End, data: Option<&HostName>) {
        let split = split::after_a_journey(name, self.here, there, data);
        self.pending.push(split.what);
        self.commands.extend(split.commands);
    }

    /// The other end's record, while it still has the flight on it.
    fn tell_there(&mut self, step: Step) {
        if self.there().is_some_and(|t| t.row.as_ref().is_some_and(|r| r.state.in_flight())) {
            self.steps.push(step);
        }
    }

    /// Nothing is left that the records must wait for. A split brain is DRBD's affair and a person's: `status` shows it.
    fn is_over(&self) -> bool {
        !self.waits
    }

    /// The last word in the record, once nothing is open any more. What is pending stays there as [`Tidy::note`] has put it.
    fn finish(mut self, truth: Option<Row>, ending: Ending) -> Settlement {
        if self.is_over() {
            let why = if self.pending.is_empty() { "all is in order" } else { "the journey is over; the rest is for a person" };
            match (truth, &self.here.row) {
                (Some(row), Some(now)) if same(now, &row) => {}
                (Some(row), _) => self.steps.push(Step::here(Deed::Note(row), why)),
                (None, Some(_)) => self.steps.push(Step::here(Deed::Forget, why)),
                (None, None) => {}
            }
        }
        // Noted with nothing open, the first note is the last one already.
        self.steps.dedup_by(|second, first| second.deed == first.deed && second.place == first.place);
        Settlement {
            steps: self.steps,
            pending: self.pending,
            waits: self.waits,
            commands: self.commands,
            ..Settlement::of(ending)
        }
    }
}

/// Two rows say the same, whatever their time.
fn same(a: &Row, b: &Row) -> bool {
    Row { since: b.since, ..a.clone() } == *b
}

/// The resources whose options we changed at that end and have not put back.
fn changed(end: &End) -> Vec<ResourceName> {
    end.replicas.iter().filter(|r| is_ours_to_close(end, r)).map(|r| r.replica.resource.clone()).collect()
}

/// Which of the two it was, DRBD does not say.
const ALONE: &str = "it stands alone: the options of the two ends differed, or somebody disconnected it";

/// Whether we changed the options (the record says so) and they still differ from the operator's file.
///
/// What the record does not name is the operator's own doing. On DRBD 8.3 nothing can be changed at run time.
fn is_ours_to_close(end: &End, seen: &ReplicaSeen) -> bool {
    let noted = end.row.as_ref().is_some_and(|row| row.open.contains(&seen.replica.resource));
    noted && end.generation != Some(Generation::V83) && seen.replica.is_up() && seen.is_changed()
}
