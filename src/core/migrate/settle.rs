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

use super::tidy::{leave_unwell, shut_while_it_runs_nowhere, tidy_after_arrival, tidy_after_staying};
use super::{Trip, asking, nobody_runs_it, promoted_early, split};
use crate::core::drbd::Role;
use crate::core::facts::{CopyName, CopySeen, End, ReplicaSeen};
use crate::core::names::{HostName, ResourceName};
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
    /// What cannot be put in order yet, and why.
    pub pending: Vec<String>,
    /// Some of that is ours to do, once it can be done: it stays on the record.
    pub waits: bool,
    /// The commands for a person, when a person must act.
    pub commands: Vec<String>,
}

impl Settlement {
    /// Nothing but where it is.
    pub(super) fn of(ending: Ending) -> Settlement {
        Settlement { ending, steps: vec![], pending: vec![], waits: false, commands: vec![] }
    }
}

/// How the other end shows itself.
#[derive(Debug, Clone, Copy)]
pub enum Far<'a> {
    /// It was looked at.
    Seen(&'a End),
    /// It could not be looked at just now: why.
    Hidden(&'a str),
    /// It never can, for want of the dedicated key; nothing was prepared there either.
    Blind,
}

/// Decides. `reported` is whether `xl` said that the target reported success,
/// which counts only while the target cannot be seen.
pub fn settle(here: &End, there: Far<'_>, trip: &Trip, reported: bool) -> Settlement {
    let unseen;
    let there = match there {
        // What it could not see itself is not permission.
        Far::Seen(end) if !end.unseen.is_empty() => {
            unseen = end.unseen.join("; ");
            Far::Hidden(&unseen)
        }
        there => there,
    };
    let verdict = match there {
        _ if !here.unseen.is_empty() => Verdict::Undecided(
            format!("on {}: {}", here.host, here.unseen.join("; ")),
            vec![format!("mend that, then: xen-migrate recover {}", here.domu)],
        ),
        Far::Seen(there) => both_seen(here, there, trip),
        Far::Hidden(why) => one_seen(here, why, trip, reported),
        Far::Blind => one_seen(here, "no dedicated key", trip, reported),
    };
    match verdict {
        Verdict::Arrived(note) => tidy_after_arrival(here, there, trip, note),
        Verdict::Unwell(doubt, commands) => leave_unwell(here, there, trip, doubt, commands),
        Verdict::Stayed(note) => tidy_after_staying(here, there, trip, note),
        Verdict::First(step) => {
            let moving = Ending::Moving(format!("{} on its way to run on {}", here.domu, trip.to));
            Settlement { steps: vec![step], ..Settlement::of(moving) }
        }
        Verdict::Moving(what) => Settlement::of(Ending::Moving(what)),
        Verdict::Nowhere(what, commands) => shut_while_it_runs_nowhere(here, there, trip, what, commands),
        Verdict::Undecided(what, commands) => Settlement { commands, ..Settlement::of(Ending::Undecided(what)) },
    }
}

enum Verdict {
    Arrived(Option<String>),
    Unwell(String, Vec<String>),
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
            end.copies.iter().find(|c| names.contains(&c.called) && !c.domain.state.dying).map(|c| {
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
    let seen = || format!("on {}: {}; on {}: {}", here.host, here.copies_in_words(), there.host, there.copies_in_words());
    let undecided = |commands: Vec<String>| Verdict::Undecided(seen(), commands);
    let look = || vec![format!("{} list", here.toolstack), format!("on {}: {} list", there.host, there.toolstack)];

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
        // No xl of ours lives any more, or our lock would be held: nobody will ever give it permission.
        if trip.waited {
            return Verdict::First(Step::there(Deed::EndReceiving, "its sender is gone"));
        }
        return Verdict::Moving(format!("{} is still receiving {domu}: {who}", there.host));
    }
    if let Some(copy) = h.dying.or(t.dying) {
        // A copy that is being torn down may still execute for a moment in what was seen; without another copy nothing can be said.
        if h.plain.is_none() && t.plain.is_none() {
            return Verdict::Moving(format!("{} is being torn down", copy.domain.name));
        }
    }
    if let (Some(a), Some(b)) = (uuid(&h), uuid(&t))
        && a != b
        && (t.plain.is_some() || t.incoming.is_some())
    {
        let what = format!("{}, and they are not the same domU (uuid {a} here, {b} there)", seen());
        return Verdict::Undecided(what, look());
    }

    // The sender's names at the target, or the target's here: another journey, of which this row says nothing.
    if t.sent.is_some() || h.incoming.is_some() {
        return undecided(look());
    }
    // A copy that executes under a name of xl's was let run by somebody else.
    if t.incoming.is_some_and(|(_, is)| is == Is::Executing)
        || (here.toolstack == Toolstack::Xl && h.sent.is_some_and(|(_, is)| is == Is::Executing))
    {
        return undecided(look());
    }

    // Nobody but us lets a copy run that waits there: its row must say that it is still on its way from here, or somebody has settled
    // this journey without us, and the domU may have been elsewhere since.
    let ours =
        there.row.as_ref().is_some_and(|r| matches!(r.state, State::Arriving | State::Returning) && r.host.same_host(&here.host));
    // migrate2 there has seen its receiver end, and no permission to run pass by.
    let never = ours && there.row.as_ref().is_some_and(|r| r.never);
    // A third replica that is Primary has it as well.
    let elsewhere = third_primary(here, there).is_some();

    match (h.plain, h.sent, t.plain, t.incoming) {
        // It executes there.
        (None, sent, Some((_, Is::Executing)), _) => match sent {
            Some((_, Is::Executing)) => undecided(look()),
            _ => arrived(here, there, trip),
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
        (None, Some((_, Is::Suspended)), None, Some((copy, Is::Paused))) if here.toolstack == Toolstack::Xl && ours => {
            Verdict::First(Step::there(
                Deed::Adopt { id: copy.domain.id },
                "it is whole, has never run, and ours is suspended for good",
            ))
        }
        // It has its name already, so it was given permission, and was not unpaused.
        (None, _, Some((_, Is::Paused)), None) if trip.leave_paused => arrived(here, there, trip),
        (None, None | Some((_, Is::Suspended)), Some((copy, Is::Paused)), None) if ours => {
            Verdict::First(Step::there(Deed::Unpause { id: copy.domain.id }, "it was given its name, and no other copy can run"))
        }
        (None, None | Some((_, Is::Suspended | Is::Ended)), Some((copy, Is::Ended | Is::Suspended)), None) => {
            let state = copy.domain.state.in_words();
            Verdict::Arrived(Some(format!("{domu} is {state} on {}: it ended by itself there", there.host)))
        }

        // Ours is the only copy, and it does not execute.
        (Some((copy, Is::Ended)), None, None, _) => {
            Verdict::Stayed(Some(format!("{domu} is {} here: it ended by itself", copy.domain.state.in_words())))
        }
        (Some((_, Is::Paused)), None, None, _) => {
            Verdict::Stayed(Some(format!("{domu} is paused here; to let it run: {} unpause {domu}", here.toolstack)))
        }
        // Ours is suspended and whole, and the target has nothing, or nothing that ever ran: ours goes on. First what is there goes,
        // so that there is one copy only when it wakes.
        (Some((_, Is::Suspended)), None, None, Some((far, Is::Paused)))
            if here.toolstack == Toolstack::Xl && ours && !elsewhere =>
        {
            let destroy = Deed::Destroy { called: CopyName::Incoming, id: far.domain.id };
            Verdict::First(Step::there(destroy, "it never ran and may lack its last pages; ours is whole"))
        }
        // Only under its plain name: `xl` had not renamed it, so permission was never given, and the target's copy never ran. A copy
        // called `--migratedaway` may have run there, and ended there, since: its memory may be older than the disk.
        // Unless migrate2 there says that the permission never came through.
        (None, Some((copy, Is::Suspended)), None, None)
            if here.toolstack == Toolstack::Xl && !trip.woken && never && !elsewhere =>
        {
            Verdict::First(Step::here(
                Deed::Wake { called: copy.called, id: copy.domain.id },
                "it was never permitted to run there, and no other copy is left",
            ))
        }
        (Some((copy, Is::Suspended)), None, None, None)
            if here.toolstack == Toolstack::Xl && !trip.woken && ours && !elsewhere =>
        {
            Verdict::First(Step::here(
                Deed::Wake { called: copy.called, id: copy.domain.id },
                "it is whole, and no other copy is left",
            ))
        }
        // The other end has passed it on, or a third replica says so: not nowhere, then, but where this look does not reach.
        (plain, sent, None, None)
            if (plain.is_none() || sent.is_none())
                && plain.or(sent).is_none_or(|(_, is)| is == Is::Suspended)
                && (trail(here, there).is_some() || elsewhere) =>
        {
            passed_on(here, there, plain.or(sent).map(|(copy, _)| copy))
        }
        (Some((copy, Is::Suspended)), None, None, None) | (None, Some((copy, Is::Suspended)), None, None) => {
            let what = format!(
                "{domu} runs nowhere: {} is suspended here with its memory, and {} has no copy",
                copy.domain.name, there.host
            );
            Verdict::Nowhere(what, wake_or_restart(here, there, copy))
        }

        // Only a copy that never ran, and nobody knows whether ours ran on after it was made: its memory may be older than the disk.
        (None, None, None, Some((copy, _))) => {
            let what = format!(
                "{domu} runs nowhere: on {} {} is {}, and nothing proves that its memory is as new as the disk",
                there.host,
                copy.domain.name,
                copy.domain.state.in_words()
            );
            let mut commands = vec![format!("on {}: {} destroy {}", there.host, there.toolstack, copy.domain.id)];
            if there.replicas.iter().any(|r| r.replica.role == Role::Primary) {
                commands
                    .push(format!("xen-migrate recover {domu}   (with no copy left there it makes DRBD Secondary), and then"));
            }
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

/// A replica of the domU that is Primary on neither of the two ends, by its name: DRBD 9 names its peers.
pub fn third_primary<'a>(here: &'a End, there: &'a End) -> Option<&'a str> {
    let peers = [here, there].into_iter().flat_map(|end| &end.replicas).flat_map(|r| &r.replica.peers);
    let third = |name: &str| name != "peer" && name != here.host.as_str() && name != there.host.as_str();
    peers.filter(|p| p.role == Role::Primary).map(|p| p.name.as_str()).find(|name| third(name))
}

/// Where the other end has sent it on to, by its record.
fn trail<'a>(here: &End, there: &'a End) -> Option<&'a HostName> {
    let on = |row: &&Row| matches!(row.state, State::Passed | State::Away) && !row.host.same_host(&here.host);
    there.row.as_ref().filter(on).map(|row| &row.host)
}

/// It is on a third Dom0, as far as the other end's record or DRBD's roles say so. `left` is what is left of it here.
fn passed_on(here: &End, there: &End, left: Option<&CopySeen>) -> Verdict {
    let domu = &here.domu;
    let (next, evidence) = match (trail(here, there), third_primary(here, there)) {
        (Some(next), _) => (next.to_string(), format!("{} has sent it on to {next}, by its record", there.host)),
        (None, Some(name)) => (name.to_string(), format!("DRBD shows a Primary on {name}")),
        (None, None) => ("the other Dom0s".to_string(), "it may be on a third Dom0".to_string()),
    };
    let what =
        format!("{domu} runs on neither {} nor {}, and {evidence}; here: {}", here.host, there.host, here.copies_in_words());
    let mut commands = vec![format!("on {next}: xen-migrate status {domu}")];
    if let Some(copy) = left {
        commands
            .push(format!("if it runs there: {} destroy {}   (this copy can never run again)", here.toolstack, copy.domain.id));
    }
    commands
        .push(format!("xen-migrate recover {domu}   (looks on {next} as well, where the key works: xen-migrate ping {next})"));
    Verdict::Undecided(what, commands)
}

/// It executes there (or waits there paused, as was asked): is it well?
fn arrived(here: &End, there: &End, trip: &Trip) -> Verdict {
    let mut doubts = Vec::new();
    // An HVM guest without PV drivers never connects its disks this way: then only the roles speak.
    let copy = there.copy(CopyName::Plain).filter(|c| c.kind.as_deref() != Some("hvm"));
    if let Some(blocks) = copy.and_then(|c| c.blocks.as_ref()) {
        let dead: Vec<String> =
            blocks.iter().filter(|b| b.state != 4).map(|b| format!("{} in state {}", b.vdev, b.state)).collect();
        let disks = there.disks.iter().filter(|d| d.resource.is_some()).count();
        if !dead.is_empty() {
            doubts.push(format!("its disks are not connected on {}: {} (4 is right)", there.host, dead.join(", ")));
        } else if blocks.len() < disks {
            doubts.push(format!("of its {disks} disks {} show on {}", blocks.len(), there.host));
        }
    }
    for r in there.replicas.iter().filter(|r| r.replica.role != Role::Primary) {
        doubts.push(format!("{} is {} on {}", r.replica.resource, r.replica.role, there.host));
    }
    let domu = &here.domu;
    let mut commands = Vec::new();
    if !doubts.is_empty() {
        let (tool, id) = (there.toolstack, copy_id(there));
        commands.extend([
            format!("on {}: {tool} block-list {id}; {}", there.host, ask(there)),
            format!("if its disks stay dead, on {}: {tool} destroy {id}, and then", there.host),
            format!("xen-migrate recover {domu}"),
        ]);
    }
    // What stands alone, perhaps only because the options differ, is connected first: DRBD itself finds out whether each end has something
    // that the other lacks, and refuses then.
    let alone = |name: &ResourceName| {
        [(here, there), (there, here)].iter().any(|(end, other)| end.replica(name).is_some_and(|r| split::alone(r, &other.host)))
    };
    let ours = |name: &ResourceName| [here, there].iter().any(|end| end.row.as_ref().is_some_and(|row| row.open.contains(name)));
    let tried = |name: &ResourceName| trip.reconnected.contains(name);
    let untried = |name: &ResourceName| !tried(name) && ours(name) && alone(name);
    let lost = |r: &&ReplicaSeen| {
        !split::joined(r, &there.host) && promoted_early(here, there, &r.replica.resource) && !untried(&r.replica.resource)
    };
    let lost: Vec<&ResourceName> = here.replicas.iter().filter(lost).map(|r| &r.replica.resource).collect();
    if !lost.is_empty() {
        doubts.extend(lost.iter().map(|name| {
            format!(
                "{name} {}, and {} was Primary before the domU stopped here: what it wrote last may be on {} alone",
                if tried(name) && alone(name) { "is a split brain" } else { "is not connected" },
                there.host,
                here.host
            )
        }));
        doubts.push(format!("pause it at once, on {}: {} pause {domu}", there.host, there.toolstack));
        commands = whose_disk(here, there, &lost);
    }
    if doubts.is_empty() { Verdict::Arrived(None) } else { Verdict::Unwell(doubts.join("; "), commands) }
}

/// What a person does whose domU went on with a disk that may lack its last writes. Whose disk counts is not ours to say; but its memory
/// knows of writes that this disk lacks, so the one that it left comes first.
fn whose_disk(here: &End, there: &End, lost: &[&ResourceName]) -> Vec<String> {
    let domu = &here.domu;
    let (ours, theirs) = (&here.host, &there.host);
    let (tool, id) = (there.toolstack, copy_id(there));
    let each = |words: &str| lost.iter().map(|name| format!("drbdadm {words} {name}; ")).collect::<String>();
    let config = here.config.as_ref().map_or("its config file", |c| c.path.as_str());
    vec![
        format!("NOW, on {theirs}: {tool} pause {domu}   (every write there makes the two disks differ more)"),
        format!("on both: {}; dmesg | grep -i drbd   (when was the link lost?)", ask(here)),
        format!(
            "then decide. Either the disk of {ours}, with all that {domu} wrote before it moved; what it wrote on {theirs} is lost:"
        ),
        format!(
            "   on {theirs}: {tool} destroy {id}; {}{}",
            each("secondary"),
            each("connect --discard-my-data").trim_end_matches("; ")
        ),
        format!("   on {ours}: {}{} create {config}; xen-migrate recover {domu}", each("connect"), here.toolstack),
        format!(
            "or the disk of {theirs}, without the last writes of {ours}, which its memory may take for done (check its file systems):"
        ),
        format!("   on {ours}: {}", each("connect --discard-my-data").trim_end_matches("; ")),
        format!("   on {theirs}: {}{tool} unpause {domu}", each("connect")),
        format!("   on {ours}: xen-migrate recover {domu}"),
    ]
}

/// How a person looks at the domU's resources at that end.
fn ask(end: &End) -> String {
    asking(end.generation, &end.resources().collect::<Vec<_>>())
}

fn copy_id(end: &End) -> String {
    end.copy(CopyName::Plain).map_or("ID".to_string(), |c| c.domain.id.to_string())
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
        (Some((copy, Is::Ended)), None) => {
            Verdict::Stayed(Some(format!("{domu} is {} here: it ended by itself", copy.domain.state.in_words())))
        }
        (Some((_, Is::Paused)), None) => {
            Verdict::Stayed(Some(format!("{domu} is paused here; to let it run: {} unpause {domu}", here.toolstack)))
        }
        (None, None) if reported => Verdict::Arrived(None),
        (None, None) => {
            let roles: Vec<String> = here.replicas.iter().map(ReplicaSeen::in_words).collect();
            let what =
                format!("{domu} is not here; whether {} runs it is not known: {why}. DRBD shows: {}", trip.to, roles.join("; "));
            Verdict::Undecided(what, vec![format!("on {}: {} list", trip.to, here.toolstack), recover])
        }
        (_, Some((_, Is::Executing))) if here.toolstack == Toolstack::Xm => {
            Verdict::Moving(format!("xend is still sending {domu}"))
        }
        _ => {
            let what = format!(
                "{}; whether {} runs it is not known: {why}. Do not resume or unpause anything before that is known",
                here.copies_in_words(),
                trip.to
            );
            Verdict::Undecided(what, vec![format!("on {}: {} list", trip.to, here.toolstack), recover])
        }
    }
}

/// The uuid of an end's copies, where it is known.
fn uuid<'a>(copies: &Copies<'a>) -> Option<&'a str> {
    [copies.plain, copies.sent, copies.incoming].into_iter().flatten().find_map(|(c, _)| c.domain.uuid.as_deref())
}

/// A suspended copy can go on only where it is certain that the domU has run nowhere since: else its memory is older than the disk.
fn wake_or_restart(here: &End, there: &End, copy: &CopySeen) -> Vec<String> {
    let (tool, id) = (here.toolstack, copy.domain.id);
    let rename = match copy.called {
        CopyName::Plain => String::new(),
        _ => format!("; {tool} rename {id} {}", here.domu),
    };
    let mut commands = vec![
        format!("either, only if you are certain that it has run nowhere else since: {tool} save -c {id} /dev/null{rename}"),
        "   (it goes on where it was, after about a minute)".to_string(),
        format!(
            "   to become certain, on {} and every other Dom0 of it: {} list; dmesg | grep -i 'drbd.*role('   (no copy, and Primary for the \
             migration alone; when in doubt, the other way)",
            there.host, there.toolstack
        ),
        format!("or: {tool} destroy {id}, and then"),
    ];
    commands.extend(start_anew(here));
    commands
}

/// Starting it from its disk. Whether this disk is the newest one is known only while every other is connected.
fn start_anew(here: &End) -> Vec<String> {
    let config = here.config.as_ref().map_or("its config file", |c| c.path.as_str());
    vec![
        format!("{}   (go on only when {})", ask(here), nobody_runs_it(here.generation)),
        format!("{} create {config}   (like after a power cut: what was in its memory alone is lost)", here.toolstack),
        format!("xen-migrate recover {}", here.domu),
    ]
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
