//! What is true after a migration, however it ended, and which deeds put the rest in order.
//!
//! Neither exit codes nor the tool's last words decide, but what both ends show: `xl`'s exit 1 covers "runs here" as well as "undefined",
//! and `xm` can exit 0 with the domU running nowhere (facts 1.3, 2.7). Three facts about `xl` carry the decision (`xl_migrate.c`):
//!
//! * the target's copy is called `NAME--incoming` until it is given permission to run; under that name it has never run;
//! * the sender renames its copy to `NAME--migratedaway` only after the target has acknowledged that it has everything,
//!   and before it gives that permission;
//! * so a copy that executes at the sender under the plain name proves that the target's does not, and the other way round.
//!
//! The decision is made again after each round of deeds, from new looks, until nothing is left to do. It is the sender who decides.

use super::Trip;
use crate::core::drbd::{Generation, Role};
use crate::core::facts::{CopyName, CopySeen, End, ReplicaSeen};
use crate::core::names::ResourceName;
use crate::core::record::{Row, State};
use crate::core::step::{Deed, Step};
use crate::core::xen::Toolstack;

/// Where the domU is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// On the target. The text says what else is to be known about it there.
    Arrived(Option<String>),
    /// On the target, and not well: what is wrong. It may still be getting ready; look again before it is believed.
    Unwell(String),
    /// Still here. The text says what else is to be known about it here.
    Stayed(Option<String>),
    /// Something is still moving, or about to: look again later.
    Moving(String),
    /// It executes at neither end, and no copy of it can be told to be whole: a person must decide.
    Nowhere(String),
    /// What was seen does not say where it is, or says that it is in two places: a person must look.
    Undecided(String),
}

/// The verdict of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Where the domU is.
    pub ending: Ending,
    /// What is to be done now, in this order; then both ends are looked at again.
    pub steps: Vec<Step>,
    /// What cannot be put in order yet, and why: it stays on the record.
    pub pending: Vec<String>,
    /// The commands for a person, when a person must act.
    pub commands: Vec<String>,
}

/// Decides. `there` says why it could not be seen, if it could not; `reported` is whether `xl` said that the target reported success,
/// which counts only while the target cannot be seen.
pub fn settle(here: &End, there: Result<&End, &str>, trip: &Trip, reported: bool) -> Settlement {
    let verdict = match there {
        _ if !here.unseen.is_empty() => Verdict::Undecided(format!("on {}: {}", here.host, here.unseen.join("; ")), vec![]),
        Ok(there) if !there.unseen.is_empty() => one_seen(here, &there.unseen.join("; "), trip, reported),
        Ok(there) => both_seen(here, there, trip),
        Err(why) => one_seen(here, why, trip, reported),
    };
    let far = there.ok().filter(|t| t.unseen.is_empty());
    match verdict {
        Verdict::Arrived(note) => tidy_after_arrival(here, far, trip, note),
        Verdict::Unwell(doubt) => leave_unwell(here, there.ok(), trip, doubt),
        Verdict::Stayed(note) => tidy_after_staying(here, far, trip, note),
        Verdict::First(step) => Settlement {
            ending: Ending::Moving(format!("{} on its way to run on {}", here.domu, trip.to)),
            steps: vec![step],
            pending: vec![],
            commands: vec![],
        },
        Verdict::Moving(what) => Settlement {
            ending: Ending::Moving(what),
            steps: vec![],
            pending: vec![],
            commands: vec![],
        },
        Verdict::Nowhere(what, commands) => Settlement {
            ending: Ending::Nowhere(what),
            steps: vec![],
            pending: vec![],
            commands,
        },
        Verdict::Undecided(what, commands) => Settlement {
            ending: Ending::Undecided(what),
            steps: vec![],
            pending: vec![],
            commands,
        },
    }
}

enum Verdict {
    Arrived(Option<String>),
    Unwell(String),
    Stayed(Option<String>),
    /// One deed that must come before anything else can be said.
    First(Step),
    Moving(String),
    Nowhere(String, Vec<String>),
    Undecided(String, Vec<String>),
}

/// A copy's condition, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Executing,
    Paused,
    Suspended,
    /// Powered off, crashed, rebooting: it ended by itself.
    Ended,
}

/// The copies of one end, without those that are just dying.
struct Copies<'a> {
    plain: Option<(&'a CopySeen, Is)>,
    incoming: Option<(&'a CopySeen, Is)>,
    sent: Option<(&'a CopySeen, Is)>,
    dying: Option<&'a CopySeen>,
}

impl<'a> Copies<'a> {
    fn of(end: &'a End) -> Copies<'a> {
        let find = |names: &[CopyName]| {
            end.copies
                .iter()
                .find(|c| names.contains(&c.called) && !c.domain.state.dying)
                .map(|c| {
                    let state = &c.domain.state;
                    let is = if state.is_suspended() {
                        Is::Suspended
                    } else if state.shutdown.is_some() {
                        Is::Ended
                    } else if state.paused {
                        Is::Paused
                    } else {
                        Is::Executing
                    };
                    (c, is)
                })
        };
        Copies {
            plain: find(&[CopyName::Plain]),
            incoming: find(&[CopyName::Incoming]),
            sent: find(&[CopyName::MigratedAway, CopyName::Migrating]),
            dying: end.copies.iter().find(|c| c.domain.state.dying),
        }
    }
}

fn both_seen(here: &End, there: &End, trip: &Trip) -> Verdict {
    let domu = &here.domu;
    let (h, t) = (Copies::of(here), Copies::of(there));
    let seen = || {
        format!(
            "on {}: {}; on {}: {}",
            here.host,
            here.copies_in_words(),
            there.host,
            there.copies_in_words()
        )
    };
    let undecided = |commands: Vec<String>| Verdict::Undecided(seen(), commands);
    let look = || {
        vec![
            format!("{} list", here.toolstack),
            format!("ssh {} {} list", there.host, there.toolstack),
        ]
    };

    // The one thing that must never be, whatever the names and whoever is at work.
    let executes = |end: &End| end.copies.iter().any(|c| c.domain.state.executes());
    if executes(here) && executes(there) {
        let commands = vec![
            format!("{} pause {domu}", here.toolstack),
            format!("on {}: {} pause {domu}", there.host, there.toolstack),
            "then decide which one has the data that counts, and destroy the other".to_string(),
        ];
        return Verdict::Undecided(format!("{domu} EXECUTES ON BOTH DOM0S: {}", seen()), commands);
    }
    if let Some(holder) = &here.busy {
        return Verdict::Moving(format!("{domu} is still being worked on here: {holder}"));
    }
    if let Some(who) = &there.receiving {
        return Verdict::Moving(format!("{} is still receiving {domu}: {who}", there.host));
    }
    if let Some(copy) = h.dying.or(t.dying) {
        // A copy that is being torn down may still execute for a moment in what was seen; without another copy nothing can be said.
        if h.plain.is_none() && t.plain.is_none() {
            return Verdict::Moving(format!("{} is being torn down", copy.domain.name));
        }
    }
    if let (Some(a), Some(b)) = (uuid(&h), uuid(&t)) {
        if a != b && (t.plain.is_some() || t.incoming.is_some()) {
            let what = format!("{}, and they are not the same domU (uuid {a} here, {b} there)", seen());
            return Verdict::Undecided(what, look());
        }
    }

    match (h.plain, h.sent, t.plain, t.incoming) {
        // It executes there.
        (None, sent, Some((_, Is::Executing)), _) => match sent {
            Some((_, Is::Executing)) => undecided(look()),
            _ => arrived(there),
        },
        (Some(_), _, Some((_, Is::Executing)), _) => undecided(look()),

        // It executes here.
        (Some((_, Is::Executing)), None, None, _) => Verdict::Stayed(None),
        (Some((_, Is::Executing)), None, Some((copy, _)), _) => Verdict::Stayed(Some(format!(
            "{} has a domain {} that is {}; it is not ours to touch",
            there.host,
            copy.domain.name,
            copy.domain.state.in_words()
        ))),
        (Some((_, Is::Executing)), Some(_), _, _) => undecided(look()),
        (_, Some((_, Is::Executing)), _, _) if here.toolstack == Toolstack::Xm => {
            Verdict::Moving(format!("xend is still sending {domu}"))
        }

        // xend gives the target's copy its name at once, so a paused one may lack its last pages: it is xend's alone to let it run.
        (None, _, Some((_, Is::Paused)), _) if there.toolstack == Toolstack::Xm && !trip.leave_paused => {
            Verdict::Moving(format!("xend on {} is still building {domu}", there.host))
        }

        // Neither executes. The sender had everything acknowledged, so the target's copy is whole and has never run: let it go on.
        (None, Some((_, Is::Suspended)), None, Some((copy, Is::Paused))) => Verdict::First(Step::there(
            Deed::Adopt { id: copy.domain.id },
            "it is whole, has never run, and ours is suspended for good",
        )),
        // It has its name already, so it was given permission, and was not unpaused.
        (None, _, Some((_, Is::Paused)), None) if trip.leave_paused => arrived(there),
        (None, None | Some((_, Is::Suspended)), Some((copy, Is::Paused)), None) => Verdict::First(Step::there(
            Deed::Unpause { id: copy.domain.id },
            "it was given its name, and no other copy can run",
        )),
        (None, None | Some((_, Is::Suspended | Is::Ended)), Some((copy, Is::Ended | Is::Suspended)), None) => {
            let state = copy.domain.state.in_words();
            Verdict::Arrived(Some(format!("{domu} is {state} on {}: it ended by itself there", there.host)))
        }

        // Ours is the only copy, and it does not execute.
        (Some((copy, Is::Ended)), None, None, _) => Verdict::Stayed(Some(format!(
            "{domu} is {} here: it ended by itself",
            copy.domain.state.in_words()
        ))),
        (Some((_, Is::Paused)), None, None, _) => Verdict::Stayed(Some(format!(
            "{domu} is paused here; to let it run: {} unpause {domu}",
            here.toolstack
        ))),
        (Some((copy, Is::Suspended)), None, None, None) | (None, Some((copy, Is::Suspended)), None, None) => {
            let what = format!(
                "{domu} executes nowhere: {} is suspended here with its memory, and {} has no copy",
                copy.domain.name, there.host
            );
            Verdict::Nowhere(what, wake_or_restart(here, copy))
        }
        (Some((copy, Is::Suspended)), None, None, Some((far, _))) => {
            let mut commands = vec![format!("on {}: {} destroy {}", there.host, there.toolstack, far.domain.id)];
            commands.extend(wake_or_restart(here, copy));
            let what = format!(
                "{domu} executes nowhere; the copy on {} may lack its last pages: {}",
                there.host,
                seen()
            );
            Verdict::Nowhere(what, commands)
        }

        // Only a copy that never ran, and nobody knows whether ours ran on after it was made: its memory may be older than the disk.
        (None, None, None, Some((copy, _))) => {
            let what = format!(
                "{domu} executes nowhere: on {} {} is {}, and nothing proves that its memory is as new as the disk",
                there.host,
                copy.domain.name,
                copy.domain.state.in_words()
            );
            let mut commands = vec![format!("on {}: {} destroy {}", there.host, there.toolstack, copy.domain.id)];
            commands.extend(start_anew(here));
            Verdict::Nowhere(what, commands)
        }
        (None, None, None, None) => {
            let what = format!("{domu} runs on neither {} nor {}", here.host, there.host);
            Verdict::Nowhere(what, start_anew(here))
        }
        _ => undecided(look()),
    }
}

/// It executes there (or waits there paused, as was asked): is it well?
fn arrived(there: &End) -> Verdict {
    let mut doubts = Vec::new();
    let dead: Vec<String> = there
        .copy(CopyName::Plain)
        .and_then(|c| c.blocks.as_ref())
        .map(|blocks| {
            blocks
                .iter()
                .filter(|b| b.state != 4)
                .map(|b| format!("{} in state {}", b.vdev, b.state))
                .collect()
        })
        .unwrap_or_default();
    if !dead.is_empty() {
        doubts.push(format!(
            "its disks are not connected on {}: {} (4 is right)",
            there.host,
            dead.join(", ")
        ));
    }
    for r in there.replicas.iter().filter(|r| r.replica.role != Role::Primary) {
        doubts.push(format!("{} is {} on {}", r.replica.resource, r.replica.role, there.host));
    }
    if doubts.is_empty() {
        Verdict::Arrived(None)
    } else {
        Verdict::Unwell(doubts.join("; "))
    }
}

fn one_seen(here: &End, why: &str, trip: &Trip, reported: bool) -> Verdict {
    let domu = &here.domu;
    let h = Copies::of(here);
    if let Some(holder) = &here.busy {
        return Verdict::Moving(format!("{domu} is still being worked on here: {holder}"));
    }
    let recover = format!("xen-migrate recover {domu}");
    match (h.plain, h.sent) {
        (Some((_, Is::Executing)), None) => Verdict::Stayed(None),
        (Some((copy, Is::Ended)), None) => Verdict::Stayed(Some(format!(
            "{domu} is {} here: it ended by itself",
            copy.domain.state.in_words()
        ))),
        (Some((_, Is::Paused)), None) => Verdict::Stayed(Some(format!(
            "{domu} is paused here; to let it run: {} unpause {domu}",
            here.toolstack
        ))),
        (None, None) if reported => Verdict::Arrived(None),
        (None, None) => {
            let roles: Vec<String> = here.replicas.iter().map(ReplicaSeen::in_words).collect();
            let what = format!(
                "{domu} is not here, and {} cannot be seen ({why}); DRBD shows: {}",
                trip.to,
                roles.join("; ")
            );
            Verdict::Undecided(what, vec![format!("on {}: {} list", trip.to, here.toolstack), recover])
        }
        (_, Some((_, Is::Executing))) if here.toolstack == Toolstack::Xm => {
            Verdict::Moving(format!("xend is still sending {domu}"))
        }
        _ => {
            let what = format!(
                "{}; whether {} runs it cannot be seen ({why}). Do not resume or unpause anything before that is known",
                here.copies_in_words(),
                trip.to
            );
            Verdict::Undecided(what, vec![format!("on {}: {} list", trip.to, here.toolstack), recover])
        }
    }
}

/// The uuid of an end's copies, where it is known.
fn uuid<'a>(copies: &Copies<'a>) -> Option<&'a str> {
    [copies.plain, copies.sent, copies.incoming]
        .into_iter()
        .flatten()
        .find_map(|(c, _)| c.domain.uuid.as_deref())
}

fn wake_or_restart(here: &End, copy: &CopySeen) -> Vec<String> {
    let domu = &here.domu;
    let mut commands = Vec::new();
    if copy.called != CopyName::Plain {
        commands.push(format!("{} rename {} {domu}", here.toolstack, copy.domain.id));
    }
    commands.push(format!(
        "{} resume {} (Xen 4.20 and later; it goes on where it was), or else",
        here.toolstack, copy.domain.id
    ));
    commands.push(format!("{} destroy {}, and then", here.toolstack, copy.domain.id));
    commands.extend(start_anew(here));
    commands
}

fn start_anew(here: &End) -> Vec<String> {
    let config = here.config.as_ref().map_or("its config file", |c| c.path.as_str());
    vec![
        "drbdsetup status (every peer Connected and Secondary, or do not go on)".to_string(),
        format!(
            "{} create {config} (like after a power cut: its memory is lost, its disk is whole)",
            here.toolstack
        ),
        format!("xen-migrate recover {}", here.domu),
    ]
}

/// It is there and not well: the record says so, and nothing else is touched.
fn leave_unwell(here: &End, there: Option<&End>, trip: &Trip, doubt: String) -> Settlement {
    let mut tidy = Tidy::new(here, there);
    tidy.note(trip.row_when_arrived(&here.domu), trip);
    let id = there
        .and_then(|t| t.copy(CopyName::Plain))
        .map_or("ID".to_string(), |c| c.domain.id.to_string());
    let commands = vec![
        format!("on {}: {} block-list {id}; drbdsetup status", trip.to, here.toolstack),
        format!(
            "if its disks stay dead, on {}: {} destroy {id}, and then",
            trip.to, here.toolstack
        ),
        format!("xen-migrate recover {}", here.domu),
    ];
    Settlement {
        ending: Ending::Unwell(doubt),
        steps: tidy.steps,
        pending: vec![],
        commands,
    }
}

/// It runs there: our leftovers go, the roles and the options follow, both records say so.
fn tidy_after_arrival(here: &End, there: Option<&End>, trip: &Trip, note: Option<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there);
    let truth = trip.row_when_arrived(&here.domu);
    tidy.note(truth.clone(), trip);

    if let Some(copy) = here
        .copies
        .iter()
        .find(|c| c.called != CopyName::Plain && !c.domain.state.dying && !c.domain.state.executes())
    {
        tidy.steps.push(Step::here(
            Deed::Destroy {
                called: copy.called,
                id: copy.domain.id,
            },
            "it runs there; this copy can never run again",
        ));
    }
    for seen in here.replicas.iter().filter(|r| r.replica.role == Role::Primary) {
        tidy.steps.push(Step::here(
            Deed::Demote(seen.replica.resource.clone()),
            "it no longer runs here",
        ));
    }
    tidy.close(trip);
    if there.is_some_and(|t| t.row.as_ref().is_some_and(|r| r.state.in_flight())) {
        tidy.steps.push(Step::there(Deed::Arrived, "its record says where it is"));
    }
    tidy.finish(truth, Ending::Arrived(note))
}

/// It is here: the target's leftovers go, the roles and the options follow, both records say so.
fn tidy_after_staying(here: &End, there: Option<&End>, trip: &Trip, note: Option<String>) -> Settlement {
    let mut tidy = Tidy::new(here, there);
    let truth = trip.row_when_stayed(&here.domu);
    tidy.note(truth.clone(), trip);

    if let Some(there) = there {
        if let Some(copy) = there.copy(CopyName::Incoming).filter(|c| !c.domain.state.dying) {
            tidy.steps.push(Step::there(
                Deed::Destroy {
                    called: CopyName::Incoming,
                    id: copy.domain.id,
                },
                "it never ran, and the domU is here",
            ));
        }
        if there.copy(CopyName::Plain).is_none() {
            for seen in there.replicas.iter().filter(|r| r.replica.role == Role::Primary) {
                tidy.steps.push(Step::there(
                    Deed::Demote(seen.replica.resource.clone()),
                    "nothing runs on it there",
                ));
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
        Tidy {
            here,
            there,
            steps: vec![],
            pending: vec![],
        }
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
                self.steps
                    .push(Step::there(Deed::Close(name.clone()), "only during the migration"));
            }
            self.steps
                .push(Step::here(Deed::Close(name.clone()), "only during the migration"));
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
                    self.steps
                        .push(Step::there(Deed::Close(name.clone()), "only during the migration"));
                } else {
                    self.pending.push(format!(
                        "the options of {name} on {} stay as they are until DRBD is connected again",
                        there.host
                    ));
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
        self.steps
            .dedup_by(|second, first| second.deed == first.deed && second.place == first.place);
        Settlement {
            ending,
            steps: self.steps,
            pending: self.pending,
            commands: vec![],
        }
    }
}

/// Two rows say the same, whatever their time.
fn same(a: &Row, b: &Row) -> bool {
    Row {
        since: b.since,
        ..a.clone()
    } == *b
}

/// The resources whose options we changed there and have not put back.
fn changed(end: &End) -> Vec<ResourceName> {
    end.replicas
        .iter()
        .filter(|r| is_ours_to_close(end, r))
        .map(|r| r.replica.resource.clone())
        .collect()
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
        Some(o) => format!(
            "allow-two-primaries={}, fencing={}",
            if o.two_primaries { "yes" } else { "no" },
            o.fencing
        ),
        None => "not readable".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::drbd::{Connection, Fencing, Options};

    /// A pair in mid-migration: both records know of it, the window is open, both are Primary.
    fn flight() -> (End, End) {
        let (mut here, mut there) = pair();
        let open = vec!["r0".parse().unwrap()];
        here.row = Some(Row {
            open: open.clone(),
            ..row(State::Leaving)
        });
        there.row = Some(Row {
            open,
            ..row(State::Arriving)
        });
        for end in [&mut here, &mut there] {
            end.copies.clear();
            end.replicas = vec![replica(Role::Primary, Role::Primary)];
            end.replicas[0].options = Some(Options {
                two_primaries: true,
                fencing: Fencing::ResourceOnly,
            });
        }
        (here, there)
    }

    fn words(s: &Settlement) -> Vec<String> {
        s.steps.iter().map(|s| format!("{:?}: {}", s.place, s.deed)).collect()
    }

    #[test]
    fn it_arrived_and_everything_is_put_in_order() {
        let (here, mut there) = flight();
        there.copies.push(copy(CopyName::Plain, "-b----"));
        let s = settle(&here, Ok(&there), &trip(), false);
        assert_eq!(s.ending, Ending::Arrived(None));
        assert_eq!(
            words(&s),
            [
                "Here: record: web away dom0-b open=r0",
                "Here: r0: become Secondary",
                "There: r0: the options of drbd.conf again",
                "Here: r0: the options of drbd.conf again",
                "There: record: it has arrived",
                "Here: record: web away dom0-b",
            ]
        );
    }

    #[test]
    fn it_stayed_and_everything_is_put_back() {
        let (mut here, mut there) = flight();
        here.copies.push(copy(CopyName::Plain, "-b----"));
        there.copies.push(copy(CopyName::Incoming, "--p---"));
        let s = settle(&here, Ok(&there), &trip(), false);
        assert_eq!(s.ending, Ending::Stayed(None));
        assert_eq!(
            words(&s),
            [
                "Here: record: web here dom0-b open=r0",
                "There: destroy the copy --incoming (id 7)",
                "There: r0: become Secondary",
                "There: r0: the options of drbd.conf again",
                "Here: r0: the options of drbd.conf again",
                "There: record: nothing comes any more",
                "Here: record: its row goes",
            ]
        );
    }

    #[test]
    fn xl_lost_its_connection_after_giving_permission() {
        // F12: the sender's copy suspended, the target's one of three things.
        let (mut here, mut there) = flight();
        here.copies.push(copy(CopyName::MigratedAway, "---ss-"));
        there.copies.push(copy(CopyName::Incoming, "--p---"));
        let s = settle(&here, Ok(&there), &trip(), false);
        assert_eq!(words(&s), ["There: give the copy --incoming (id 7) its name and let it run"]);

        there.copies = vec![copy(CopyName::Plain, "--p---")];
        let s = settle(&here, Ok(&there), &trip(), false);
        assert_eq!(words(&s), ["There: unpause it (id 7)"]);

        there.copies = vec![copy(CopyName::Plain, "------")];
        let s = settle(&here, Ok(&there), &trip(), false);
        assert_eq!(s.ending, Ending::Arrived(None));
        assert!(words(&s).contains(&"Here: destroy the copy --migratedaway (id 7)".to_string()));

        there.copies.clear();
        let s = settle(&here, Ok(&there), &trip(), false);
        assert!(matches!(s.ending, Ending::Nowhere(_)));
        assert_eq!(s.steps, [], "nothing is destroyed on a guess");
        assert!(s.commands.iter().any(|c| c.contains("resume")));
    }

    #[test]
    fn a_peer_that_cannot_be_seen_is_never_guessed_at() {
        let (mut here, _) = flight();
        here.copies.push(copy(CopyName::MigratedAway, "---ss-"));
        assert!(matches!(
            settle(&here, Err("no answer"), &trip(), false).ending,
            Ending::Undecided(_)
        ));
        assert!(matches!(
            settle(&here, Err("no answer"), &trip(), true).ending,
            Ending::Undecided(_)
        ));
        here.copies.clear();
        assert!(matches!(
            settle(&here, Err("no answer"), &trip(), false).ending,
            Ending::Undecided(_)
        ));
        let reported = settle(&here, Err("no answer"), &trip(), true);
        assert_eq!(reported.ending, Ending::Arrived(None));
        assert_eq!(reported.pending.len(), 1, "the window waits for the peer");
        here.copies.push(copy(CopyName::Plain, "-b----"));
        assert_eq!(settle(&here, Err("no answer"), &trip(), false).ending, Ending::Stayed(None));
    }

    #[test]
    fn a_window_is_never_shut_on_one_end_of_a_broken_connection() {
        let (mut here, mut there) = flight();
        here.copies.push(copy(CopyName::Plain, "-b----"));
        there.replicas[0].replica.role = Role::Secondary;
        for end in [&mut here, &mut there] {
            end.replicas[0].replica.peers[0].connection = Connection::Connecting;
        }
        let s = settle(&here, Ok(&there), &trip(), false);
        assert!(
            !s.steps.iter().any(|s| matches!(s.deed, Deed::Close(_) | Deed::Forget)),
            "{:?}",
            words(&s)
        );
        assert_eq!(s.pending.len(), 1);
    }

    #[test]
    fn a_dead_disk_on_the_target_is_not_a_success() {
        let (here, mut there) = flight();
        let mut dead = copy(CopyName::Plain, "-b----");
        dead.blocks.as_mut().unwrap()[0].state = 6;
        there.copies.push(dead);
        assert!(matches!(settle(&here, Ok(&there), &trip(), true).ending, Ending::Unwell(_)));
        there.copies = vec![copy(CopyName::Plain, "-b----")];
        there.replicas[0].replica.role = Role::Secondary;
        let s = settle(&here, Ok(&there), &trip(), true);
        assert!(matches!(s.ending, Ending::Unwell(_)));
        assert!(!s.steps.iter().any(|s| matches!(s.deed, Deed::Demote(_) | Deed::Close(_))));
    }

    #[test]
    fn the_operators_own_options_are_left_alone() {
        let (mut here, mut there) = flight();
        here.copies.push(copy(CopyName::Plain, "-b----"));
        here.row = None;
        there.row = None;
        let s = settle(&here, Ok(&there), &trip(), false);
        assert!(!s.steps.iter().any(|s| matches!(s.deed, Deed::Close(_))), "{:?}", words(&s));
    }

    #[test]
    fn a_visitor_that_goes_home_leaves_no_row_and_one_that_goes_on_leaves_a_trail() {
        let (here, mut there) = flight();
        there.copies.push(copy(CopyName::Plain, "-b----"));
        let home = Trip {
            home: Some("dom0-b".parse().unwrap()),
            ..trip()
        };
        let s = settle(&here, Ok(&there), &home, false);
        assert_eq!(s.steps.last().unwrap().deed, Deed::Forget);
        let on = Trip {
            home: Some("dom0-c".parse().unwrap()),
            ..trip()
        };
        let s = settle(&here, Ok(&there), &on, false);
        assert!(matches!(&s.steps.last().unwrap().deed, Deed::Note(row) if row.state == State::Passed));
    }

    /// Every combination of copies at both ends: no deed ever lets a second copy run, destroys one that executes, or one that is the last.
    #[test]
    fn all_combinations_of_copies_keep_the_promises() {
        let plain = [
            None,
            Some("-b----"),
            Some("--p---"),
            Some("---ss-"),
            Some("---s--"),
            Some("---sc-"),
            Some("-----d"),
        ];
        let other = [None, Some("--p---"), Some("---ss-"), Some("-b----"), Some("-----d")];
        let mut seen = 0;
        for toolstack in [Toolstack::Xl, Toolstack::Xm] {
            for hp in plain {
                for hs in other {
                    for tp in plain {
                        for ti in other {
                            let (mut here, mut there) = flight();
                            here.toolstack = toolstack;
                            there.toolstack = toolstack;
                            let sent = if toolstack == Toolstack::Xl {
                                CopyName::MigratedAway
                            } else {
                                CopyName::Migrating
                            };
                            here.copies.extend(hp.map(|l| copy(CopyName::Plain, l)));
                            here.copies.extend(hs.map(|l| copy(sent, l)));
                            there.copies.extend(tp.map(|l| copy(CopyName::Plain, l)));
                            there.copies.extend(ti.map(|l| copy(CopyName::Incoming, l)));
                            let s = settle(&here, Ok(&there), &trip(), true);
                            keeps_the_promises(&here, &there, &s);
                            seen += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(seen, 2 * 7 * 5 * 7 * 5);
    }

    fn keeps_the_promises(here: &End, there: &End, s: &Settlement) {
        let case = || {
            format!(
                "{} | {} -> {:?} {:?}",
                here.copies_in_words(),
                there.copies_in_words(),
                s.ending,
                words(s)
            )
        };
        let executes = |end: &End| end.copies.iter().any(|c| c.domain.state.executes());
        let (h, t) = (executes(here), executes(there));
        for step in &s.steps {
            match (&step.place, &step.deed) {
                (crate::core::step::Place::There, Deed::Adopt { .. } | Deed::Unpause { .. }) => {
                    assert!(!h && !t, "lets a second copy run: {}", case());
                    assert_eq!(here.toolstack, Toolstack::Xl, "xend's alone: {}", case());
                }
                (crate::core::step::Place::There, Deed::Destroy { called, .. }) => {
                    assert_eq!(*called, CopyName::Incoming);
                    assert!(
                        here.copy(CopyName::Plain).is_some_and(|c| !c.domain.state.dying),
                        "destroys the last copy: {}",
                        case()
                    );
                }
                (crate::core::step::Place::Here, Deed::Destroy { called, .. }) => {
                    assert_ne!(*called, CopyName::Plain, "{}", case());
                    assert!(
                        there.copy(CopyName::Plain).is_some_and(|c| !c.domain.state.dying),
                        "destroys the last copy: {}",
                        case()
                    );
                    assert!(!here.copy(*called).unwrap().domain.state.executes(), "{}", case());
                }
                (crate::core::step::Place::Here, Deed::Demote(_)) => assert!(!h, "{}", case()),
                (crate::core::step::Place::There, Deed::Demote(_)) => assert!(!t, "{}", case()),
                _ => {}
            }
        }
        match &s.ending {
            Ending::Arrived(_) => assert!(!h && there.copy(CopyName::Plain).is_some(), "{}", case()),
            Ending::Stayed(_) => assert!(!t && here.copy(CopyName::Plain).is_some(), "{}", case()),
            Ending::Undecided(_) | Ending::Nowhere(_) => assert!(!s.commands.is_empty() && s.steps.is_empty(), "{}", case()),
            Ending::Moving(_) | Ending::Unwell(_) => {}
        }
        if h && t {
            assert!(matches!(s.ending, Ending::Undecided(_)), "{}", case());
        }
    }
}
