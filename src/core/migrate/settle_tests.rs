//! What settle decides, case by case, and over every combination of copies.

use super::super::testing::*;
use super::*;
use crate::core::drbd::{Connection, Fencing, Options};
use crate::core::record::{Row, State};

/// A pair in mid-migration: both records know of it, the window is open, both are Primary.
fn flight() -> (End, End) {
    let (mut here, mut there) = pair();
    let open = vec!["r0".parse().unwrap()];
    here.row = Some(Row { open: open.clone(), ..row(State::Leaving) });
    there.row = Some(Row { open, ..row(State::Arriving) });
    for end in [&mut here, &mut there] {
        end.copies.clear();
        end.replicas = vec![replica(Role::Primary, Role::Primary)];
        end.replicas[0].options = Some(Options { two_primaries: true, fencing: Fencing::ResourceOnly });
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
    let s = settle(&here, Far::Seen(&there), &trip(), false);
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
    let s = settle(&here, Far::Seen(&there), &trip(), false);
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
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!(words(&s), ["There: give the copy --incoming (id 7) its name and let it run"]);

    there.copies = vec![copy(CopyName::Plain, "--p---")];
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!(words(&s), ["There: unpause it (id 7)"]);

    there.copies = vec![copy(CopyName::Plain, "------")];
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!(s.ending, Ending::Arrived(None));
    assert!(words(&s).contains(&"Here: destroy the copy --migratedaway (id 7)".to_string()));

    // It may have run there and ended there since: our memory may be older than the disk.
    there.copies.clear();
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert!(matches!(s.ending, Ending::Nowhere(_)));
    assert!(only_options(&s), "nothing is destroyed or woken on a guess: {:?}", words(&s));
    assert!(s.commands.iter().any(|c| c.contains("only if you are certain")));
}

/// No copy is touched.
fn only_options(s: &Settlement) -> bool {
    s.steps.iter().all(|step| matches!(step.deed, Deed::Close(_) | Deed::Connect(_) | Deed::Demote(_)))
}

#[test]
fn a_window_is_shut_beside_a_copy_that_does_not_execute_unless_both_ends_are_primary() {
    let half_shut = || {
        let (mut here, mut there) = flight();
        for end in [&mut here, &mut there] {
            end.replicas[0].replica.role = Role::Secondary;
            end.replicas[0].replica.peers[0].role = Role::Secondary;
        }
        there.copies.push(copy(CopyName::Incoming, "--p---"));
        (here, there)
    };
    let (here, there) = half_shut();
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert!(matches!(s.ending, Ending::Nowhere(_)));
    assert_eq!(words(&s), ["There: r0: the options of drbd.conf again", "Here: r0: the options of drbd.conf again"]);

    let (mut here, mut there) = half_shut();
    here.copies.push(copy(CopyName::Plain, "---ss-"));
    there.row = Some(Row { host: "dom0-c".parse().unwrap(), ..row(State::Passed) });
    assert!(settle(&here, Far::Seen(&there), &trip(), false).steps.is_empty(), "another journey");

    let (mut here, mut there) = half_shut();
    here.copies.push(copy(CopyName::Plain, "---ss-"));
    there.row = None;
    for end in [&mut here, &mut there] {
        end.replicas[0].replica.role = Role::Primary;
        end.replicas[0].replica.peers[0].role = Role::Primary;
    }
    assert!(settle(&here, Far::Seen(&there), &trip(), false).steps.is_empty(), "both are Primary");
}

#[test]
fn a_suspended_copy_goes_on_only_where_permission_was_never_given() {
    // xl was killed before it renamed our copy: the target's never ran.
    let (mut here, mut there) = flight();
    here.copies.push(copy(CopyName::Plain, "---ss-"));
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!(words(&s), ["Here: let the suspended copy (id 7) go on"]);
    let s = settle(&here, Far::Seen(&there), &Trip { woken: true, ..trip() }, false);
    assert!(matches!(s.ending, Ending::Nowhere(_)) && only_options(&s));

    // Somebody settled the journey at the other end without us, or passed it on: then nothing here is let run.
    for state in [None, Some(State::Visiting), Some(State::Passed), Some(State::Leaving)] {
        there.row = state.map(row);
        for (ours, theirs) in [
            (CopyName::Plain, None),
            (CopyName::MigratedAway, Some(CopyName::Incoming)),
            (CopyName::MigratedAway, Some(CopyName::Plain)),
        ] {
            here.copies = vec![copy(ours, "---ss-")];
            there.copies = theirs.map(|name| copy(name, "--p---")).into_iter().collect();
            let s = settle(&here, Far::Seen(&there), &trip(), false);
            assert!(only_options(&s), "{state:?} {ours:?} {theirs:?}: {:?}", words(&s));
        }
    }
    // A third replica that is Primary has it.
    let (_, mut there) = flight();
    let mut third = there.replicas[0].replica.peers[0].clone();
    third.name = "dom0-c".into();
    there.replicas[0].replica.peers.push(third);
    here.copies = vec![copy(CopyName::Plain, "---ss-")];
    assert!(settle(&here, Far::Seen(&there), &trip(), false).steps.is_empty());
}

#[test]
fn a_copy_out_of_place_belongs_to_another_journey() {
    for (ours, theirs) in
        [(CopyName::Incoming, CopyName::Plain), (CopyName::Plain, CopyName::MigratedAway), (CopyName::Plain, CopyName::Migrating)]
    {
        let (mut here, mut there) = flight();
        here.copies = vec![copy(ours, "---ss-")];
        there.copies = vec![copy(theirs, "-b----")];
        let s = settle(&here, Far::Seen(&there), &trip(), false);
        assert!(matches!(s.ending, Ending::Undecided(_)) && s.steps.is_empty(), "{ours:?} {theirs:?}: {:?}", words(&s));
    }
}

#[test]
fn a_peer_that_cannot_be_seen_is_never_guessed_at() {
    let (mut here, _) = flight();
    here.copies.push(copy(CopyName::MigratedAway, "---ss-"));
    assert!(matches!(settle(&here, Far::Hidden("no answer"), &trip(), false).ending, Ending::Undecided(_)));
    assert!(matches!(settle(&here, Far::Hidden("no answer"), &trip(), true).ending, Ending::Undecided(_)));
    here.copies.clear();
    assert!(matches!(settle(&here, Far::Hidden("no answer"), &trip(), false).ending, Ending::Undecided(_)));
    let reported = settle(&here, Far::Hidden("no answer"), &trip(), true);
    assert_eq!(reported.ending, Ending::Arrived(None));
    assert_eq!(reported.pending.len(), 1, "the window waits for the peer");
    here.copies.push(copy(CopyName::Plain, "-b----"));
    assert_eq!(settle(&here, Far::Hidden("no answer"), &trip(), false).ending, Ending::Stayed(None));
}

#[test]
fn a_window_is_shut_on_both_ends_or_on_neither() {
    let (mut here, mut there) = flight();
    here.copies.push(copy(CopyName::Plain, "-b----"));
    there.replicas[0].replica.role = Role::Secondary;
    for end in [&mut here, &mut there] {
        end.replicas[0].replica.peers[0].connection = Connection::Connecting;
    }
    let closes = |s: &Settlement| s.steps.iter().filter(|s| matches!(s.deed, Deed::Close(_))).count();
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!(closes(&s), 2, "both can be reached, whatever DRBD's own link does");
    assert!(s.pending.len() == 1 && !s.steps.iter().any(|s| s.deed == Deed::Forget), "one history or two shows later");
    for hidden in [Far::Hidden("no answer"), Far::Blind] {
        let s = settle(&here, hidden, &trip(), false);
        assert_eq!((closes(&s), s.pending.len()), (0, 1));
        assert!(!s.steps.iter().any(|s| s.deed == Deed::Forget), "{:?}", words(&s));
    }
    here.replicas[0].replica.peers[0].connection = Connection::Connected;
    assert_eq!(closes(&settle(&here, Far::Blind, &trip(), false)), 1, "connected, it reaches the other end by itself");
}

#[test]
fn what_stands_alone_is_connected_once_and_then_called_a_split_brain() {
    let (mut here, mut there) = flight();
    here.copies.push(copy(CopyName::Plain, "-b----"));
    there.replicas[0].replica.role = Role::Secondary;
    here.replicas[0].replica.peers[0].connection = Connection::StandAlone;
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!(s.steps.iter().filter(|s| matches!(s.deed, Deed::Connect(_))).count(), 2);
    let again = Trip { reconnected: vec!["r0".parse().unwrap()], ..trip() };
    let s = settle(&here, Far::Seen(&there), &again, false);
    assert!(!s.steps.iter().any(|s| matches!(s.deed, Deed::Connect(_))));
    assert!(
        s.pending[0].contains("split brain")
            && s.commands[0].contains("on dom0-b: drbdadm secondary r0; drbdadm connect --discard-my-data r0")
    );
}

#[test]
fn a_receiver_whose_sender_is_gone_is_ended_after_a_wait() {
    let (mut here, mut there) = flight();
    here.copies.push(copy(CopyName::Plain, "-b----"));
    there.copies.push(copy(CopyName::Incoming, "--p---"));
    there.receiving = Some("pid 7".into());
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert!(matches!(s.ending, Ending::Moving(_)) && s.steps.is_empty());
    let s = settle(&here, Far::Seen(&there), &Trip { waited: true, ..trip() }, false);
    assert_eq!(words(&s), ["There: end the receiving xl, whose sender is gone"]);
}

#[test]
fn while_the_target_is_hidden_the_flight_stays_on_the_record() {
    let (mut here, _) = flight();
    here.copies.push(copy(CopyName::Plain, "-b----"));
    here.replicas[0].options = Some(Options::default());
    let s = settle(&here, Far::Hidden("no answer"), &trip(), false);
    assert_eq!(words(&s), ["Here: record: web here dom0-b open=r0"], "this end is in order, the other may not be");
}

#[test]
fn a_dead_disk_on_the_target_is_not_a_success() {
    let (here, mut there) = flight();
    let mut dead = copy(CopyName::Plain, "-b----");
    dead.blocks.as_mut().unwrap()[0].state = 6;
    there.copies.push(dead);
    assert!(matches!(settle(&here, Far::Seen(&there), &trip(), true).ending, Ending::Unwell(_)));
    there.copies = vec![copy(CopyName::Plain, "-b----")];
    there.replicas[0].replica.role = Role::Secondary;
    let s = settle(&here, Far::Seen(&there), &trip(), true);
    assert!(matches!(s.ending, Ending::Unwell(_)));
    assert!(!s.steps.iter().any(|s| matches!(s.deed, Deed::Demote(_) | Deed::Close(_))));
}

#[test]
fn the_operators_own_options_are_left_alone() {
    let (mut here, mut there) = flight();
    here.copies.push(copy(CopyName::Plain, "-b----"));
    here.row = None;
    there.row = None;
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert!(!s.steps.iter().any(|s| matches!(s.deed, Deed::Close(_))), "{:?}", words(&s));
}

#[test]
fn a_visitor_that_goes_home_leaves_no_row_and_one_that_goes_on_leaves_a_trail() {
    let (here, mut there) = flight();
    there.copies.push(copy(CopyName::Plain, "-b----"));
    let home = Trip { home: Some("dom0-b".parse().unwrap()), ..trip() };
    let s = settle(&here, Far::Seen(&there), &home, false);
    assert_eq!(s.steps.last().unwrap().deed, Deed::Forget);
    let on = Trip { home: Some("dom0-c".parse().unwrap()), ..trip() };
    let s = settle(&here, Far::Seen(&there), &on, false);
    assert!(matches!(&s.steps.last().unwrap().deed, Deed::Note(row) if row.state == State::Passed));
}

/// Every combination of copies at both ends: no deed ever lets a second copy run, destroys one that executes, or one that is the last.
#[test]
fn all_combinations_of_copies_keep_the_promises() {
    let plain = [None, Some("-b----"), Some("--p---"), Some("---ss-"), Some("---s--"), Some("---sc-"), Some("-----d")];
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
                        let sent = if toolstack == Toolstack::Xl { CopyName::MigratedAway } else { CopyName::Migrating };
                        here.copies.extend(hp.map(|l| copy(CopyName::Plain, l)));
                        here.copies.extend(hs.map(|l| copy(sent, l)));
                        there.copies.extend(tp.map(|l| copy(CopyName::Plain, l)));
                        there.copies.extend(ti.map(|l| copy(CopyName::Incoming, l)));
                        let s = settle(&here, Far::Seen(&there), &trip(), true);
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
    let case = || format!("{} | {} -> {:?} {:?}", here.copies_in_words(), there.copies_in_words(), s.ending, words(s));
    let executes = |end: &End| end.copies.iter().any(|c| c.domain.state.executes());
    let (h, t) = (executes(here), executes(there));
    for step in &s.steps {
        match (&step.place, &step.deed) {
            (crate::core::step::Place::There, Deed::Adopt { .. } | Deed::Unpause { .. }) => {
                assert!(!h && !t, "lets a second copy run: {}", case());
                assert_eq!(here.toolstack, Toolstack::Xl, "xend's alone: {}", case());
            }
            (crate::core::step::Place::Here, Deed::Wake { .. }) => {
                assert!(!h && !t && there.copies.iter().all(|c| c.domain.state.dying), "lets a second copy run: {}", case());
            }
            (crate::core::step::Place::There, Deed::Destroy { called, .. }) => {
                assert_eq!(*called, CopyName::Incoming);
                assert!(here.copy(CopyName::Plain).is_some_and(|c| !c.domain.state.dying), "destroys the last copy: {}", case());
            }
            (crate::core::step::Place::Here, Deed::Destroy { called, .. }) => {
                assert_ne!(*called, CopyName::Plain, "{}", case());
                assert!(there.copy(CopyName::Plain).is_some_and(|c| !c.domain.state.dying), "destroys the last copy: {}", case());
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
        Ending::Undecided(_) => assert!(!s.commands.is_empty() && s.steps.is_empty(), "{}", case()),
        Ending::Nowhere(_) => {
            let harmless = |s: &Step| matches!(s.deed, Deed::Demote(_) | Deed::Close(_) | Deed::Connect(_));
            assert!(!s.commands.is_empty() && s.steps.iter().all(harmless), "{}", case());
        }
        Ending::Moving(_) | Ending::Unwell(_) => {}
    }
    if h && t {
        assert!(matches!(s.ending, Ending::Undecided(_)), "{}", case());
    }
}

#[test]
fn what_was_never_permitted_to_run_there_goes_on_here() {
    let (mut here, mut there) = pair();
    here.copies = vec![copy(CopyName::MigratedAway, "---ss-")];
    there.copies.clear();
    there.row = Some(row(State::Arriving));
    let wakes = |here: &End, there: &End| {
        let verdict = settle(here, Far::Seen(there), &trip(), false);
        verdict.steps.iter().any(|s| matches!(s.deed, Deed::Wake { called: CopyName::MigratedAway, .. }))
    };
    assert!(!wakes(&here, &there), "it may have run there, and ended");
    there.row.as_mut().unwrap().never = true;
    assert!(wakes(&here, &there));
    there.row.as_mut().unwrap().host = "dom0-x".parse().unwrap();
    assert!(!wakes(&here, &there), "another journey");
}

#[test]
fn a_third_replica_that_was_cut_off_is_told_and_the_journey_is_over() {
    let (here, mut there) = flight();
    let (a, b) = three_replicas();
    let (mut here, b) = (End { replicas: a.replicas, generation: a.generation, ..here }, b.replicas);
    there.replicas = b;
    there.copies.push(copy(CopyName::Plain, "-b----"));
    here.replicas[0].replica.role = Role::Secondary;
    there.replicas[0].replica.role = Role::Primary;
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert_eq!((s.pending.len(), s.waits), (0, false), "{s:?}");
    for link in [Connection::StandAlone, Connection::Connecting] {
        here.replicas[0].replica.peers[1].connection = link;
        let s = settle(&here, Far::Seen(&there), &trip(), false);
        assert_eq!(s.ending, Ending::Arrived(None));
        assert_eq!((s.pending.len(), s.waits), (1, false), "{s:?}");
        assert_eq!(s.commands[0], "on dom0-c: drbdadm adjust r0; drbdadm connect r0");
        assert!(!s.commands.iter().any(|c| c.contains("discard")), "{s:?}");
        assert!(words(&s).contains(&"Here: record: web away dom0-b".to_string()), "{:?}", words(&s));
    }
    // Between the two ends it is another matter: the record keeps it.
    here.replicas[0].replica.peers[0].connection = Connection::Connecting;
    let s = settle(&here, Far::Seen(&there), &trip(), false);
    assert!(s.waits && !words(&s).contains(&"Here: record: web away dom0-b".to_string()), "{s:?}");
}
