//! Every interleaving of two Dom0s that start the same domU: a model checker walks through all of them.
//!
//! They boot, look, claim, step back, put back; they lose their power, their program is killed, the link is cut, unnoticed at first, and
//! works again; a guest writes. Each of these may happen between any two steps of the others. What the program decides is decided by
//! the code of `src/core/boot` itself (`program.rs` here calls it); DRBD follows the rules that were measured (`drbd.rs`): what it shows
//! may be old, connected ends decide together who is promoted, and a Primary without its peer begins a data generation of its own, 8.4 at
//! once, 9 with the first write. There is no time in it: every wait may be short or long, so ten seconds are as good as ten minutes.
//!
//! `cargo test --test model -- --nocapture` tells how many states each walk had, and the shortest story of everything it found.
//!
//! Not in it: migrations, `force-start`, quorum, more than two Dom0s, more than one disk, a domU that ends, a person who types
//! anything but the command that status names, toolstacks that lie, and the instant in which `xl create` runs and lists nothing yet.

mod drbd;
mod program;
mod rows;
mod story;
mod world;

use drbd::Rules;
use stateright::{Checker, Model};
use std::collections::BTreeMap;
use world::{FLAG_BACK, HEALS, NEVER_TWO, NO_SPLIT, NO_TROUBLE, ONE_PRIMARY, STARTED, Setting, Trouble, Walk, World};
use xen_drbd::core::boot::claim::Deed;
use xen_drbd::core::drbd::{Fencing, Generation, Options};

/// Enough for every accident to meet every other one, and for its consequences to meet a second one.
const MUCH: Trouble = Trouble { power: 2, cuts: 2, kills: 1, orphans: 0, failures: 1, persons: 0 };
/// The flag that goes to and fro makes these worlds many times more.
const LESS: Trouble = Trouble { power: 1, cuts: 1, kills: 1, orphans: 0, failures: 0, persons: 1 };
/// What suffices for the disasters.
const LITTLE: Trouble = Trouble { power: 1, cuts: 1, kills: 0, orphans: 0, failures: 0, persons: 1 };
const ORPHANS: Trouble = Trouble { orphans: 1, ..LITTLE };

const BOTH: [Generation; 2] = [Generation::V84, Generation::V9];
const FENCINGS: [Fencing; 2] = [Fencing::DontCare, Fencing::ResourceOnly];

/// What a walk has found: what was broken, each with its shortest story; and what must be possible.
struct Found {
    states: usize,
    stories: BTreeMap<&'static str, String>,
}

impl Found {
    /// Everything but the sign that the walk is not an idle one.
    fn broken(&self) -> Vec<&'static str> {
        self.stories.keys().copied().filter(|name| *name != STARTED).collect()
    }

    /// The walk was a whole one, and exactly these were broken. The least number of states keeps it from becoming trivial unseen.
    fn expect(&self, label: &str, least: usize, broken: &[&str]) {
        let mut broken = broken.to_vec();
        broken.sort_unstable();
        let stories: String =
            self.stories.iter().filter(|(name, _)| **name != STARTED).map(|(_, story)| story.as_str()).collect();
        assert_eq!(self.broken(), broken, "{label}\n{stories}");
        assert!(self.stories.contains_key(STARTED), "{label}: nobody ever started it");
        assert!(self.states >= least, "{label}: only {} different states; the walk has lost something", self.states);
    }
}

fn setting(generation: Generation, for_good: bool, fencing: &Fencing, most: Trouble) -> Setting {
    let file = Options { two_primaries: for_good, fencing: fencing.clone() };
    let rules = Rules { generation, file };
    Setting { rules, most, without: vec![], children_keep_the_lock: true, asks_for_healing: true }
}

/// Walks through everything that can happen, from two Dom0s that are off.
fn walk(label: &str, setting: &Setting) -> Found {
    walk_from(label, setting, World::new(setting))
}

fn walk_from(label: &str, setting: &Setting, begin: World) -> Found {
    // One thread and breadth first: the first that is found is the shortest, and always the same.
    let checker = Walk::new(setting.clone(), begin).checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    let mut said = format!("{label}: {}: {states} different states", in_words(setting));
    let mut stories = BTreeMap::new();
    for (name, path) in checker.discoveries() {
        let mut story = format!("\n  not so: {name}\n");
        let mut lines = Vec::new();
        let last = path.last_state().clone();
        for (world, action) in path.into_vec() {
            if let Some(action) = action {
                let mut told = Vec::new();
                world.after(setting, action, &mut story::Teller::new(&mut told));
                lines.push(told.join("; "));
            }
        }
        lines.iter().enumerate().for_each(|(at, line)| story += &format!("    {:2}. {line}\n", at + 1));
        if name == HEALS {
            story += "    and then, though nothing more goes wrong:\n";
            checker.model().calm_story(&last).iter().take(40).for_each(|line| story += &format!("        {line}\n"));
        }
        stories.insert(name, story);
    }
    stories.iter().filter(|(name, _)| **name != STARTED).for_each(|(_, story)| said += story);
    println!("{said}");
    Found { states, stories }
}

fn in_words(setting: &Setting) -> String {
    let file = &setting.rules.file;
    let two = if file.two_primaries { "two Primaries for good" } else { "one Primary" };
    let Trouble { power, cuts, kills, orphans, failures, persons } = setting.most;
    format!(
        "DRBD {:?}, the file says {two} and fencing={}; power cuts {power}, link cuts {cuts}, kills {}, failures {failures}, persons {persons}",
        setting.rules.generation,
        file.fencing,
        kills + orphans
    )
}

#[test]
fn two_dom0s_keep_every_promise() {
    // 658 507, 263 883, 423 341 and 168 685 when this was written.
    let least = [600_000, 240_000, 390_000, 150_000];
    let settings = BOTH.iter().flat_map(|generation| FENCINGS.iter().map(move |f| setting(*generation, false, f, MUCH)));
    for (setting, least) in settings.zip(least) {
        let label = "the program as it is";
        walk(label, &setting).expect(label, least, &[]);
    }
}

/// Where the operator's file allows two Primaries for good, the flag is one for both ends: who ends a claim turns it on again under the
/// feet of who has just begun one. Then both are Primary until the second has looked again. The checker shows what that costs:
///
/// * Nobody ever executes twice, and no guest's write is lost.
/// * DRBD 8.4: a link that is lost, *and noticed*, in that moment ends in a split brain, one end of which is empty.
/// * 8.4 sends the flag only where it differs, so when the two ends set it at the same time it can stay off on one of them,
///   which keeps them from connecting the next time (claim-experiments row 10), until somebody types `drbdadm adjust`.
///   DRBD 9 says it again with every change of the fencing, and has the same only where the file says the fencing, too.
#[test]
fn two_primaries_for_good_cost_what_the_readme_says() {
    let costs: [&[&str]; 4] =
        [&[ONE_PRIMARY, NO_SPLIT, FLAG_BACK], &[ONE_PRIMARY, NO_SPLIT, FLAG_BACK], &[ONE_PRIMARY], &[ONE_PRIMARY, FLAG_BACK]];
    // 559 307, 355 718, 283 759 and 232 587 when this was written.
    let least = [510_000, 320_000, 260_000, 210_000];
    let settings = BOTH.iter().flat_map(|generation| FENCINGS.iter().map(move |f| setting(*generation, true, f, LESS)));
    for ((setting, costs), least) in settings.zip(costs).zip(least) {
        let label = "the program as it is";
        walk(label, &setting).expect(label, least, costs);
    }
}

#[test]
fn both_wait_and_when_the_link_is_back_exactly_one_starts_it() {
    for (generation, for_good) in BOTH.iter().flat_map(|g| [(*g, false), (*g, true)]) {
        for fencing in &FENCINGS {
            let setting = setting(generation, for_good, fencing, NO_TROUBLE);
            let label = "the link comes back";
            let found = walk_from(label, &setting, World::apart(&setting));
            let granted = |name: &&str| for_good && [ONE_PRIMARY, FLAG_BACK].contains(name);
            assert!(found.broken().iter().all(granted), "{label}: {:?}", found.broken());
            assert!(found.stories.contains_key(STARTED));
        }
    }
}

/// Without the guard: 8.4 ends in a split brain, whatever the second look sees, for the promotion itself was the harm (rows 3 and 4).
/// DRBD 9 makes two Primaries apart, and there the second look is in time. With the guard in the operator's file nothing is missing.
#[test]
fn without_the_guard_the_checker_finds_the_split_brain() {
    let label = "without the guard";
    let found = |generation, for_good, fencing: &Fencing| {
        let whole = setting(generation, for_good, fencing, LITTLE);
        walk(label, &Setting { without: vec![Deed::Guard], asks_for_healing: false, ..whole })
    };
    for for_good in [false, true] {
        found(Generation::V84, for_good, &Fencing::DontCare).expect(label, 5_500, &[ONE_PRIMARY, NO_SPLIT]);
        found(Generation::V9, for_good, &Fencing::DontCare).expect(label, 3_500, &[ONE_PRIMARY]);
    }
    for generation in BOTH {
        found(generation, false, &Fencing::ResourceOnly).expect(label, 3_000, &[]);
    }
    // Two Primaries are a matter of the guard, fencing or not.
    found(Generation::V84, true, &Fencing::ResourceOnly).expect(label, 6_500, &[ONE_PRIMARY, NO_SPLIT]);
    found(Generation::V9, true, &Fencing::ResourceOnly).expect(label, 4_500, &[ONE_PRIMARY]);
}

/// Without the second look: where the file allows two Primaries for good, web executes twice, on 8.4 and on 9. Where it does not, the
/// guard alone is enough: both kernels have decided, and there is nothing for the look to find.
#[test]
fn without_the_second_look_the_checker_finds_two_that_run() {
    let label = "without the second look";
    for (generation, fencing) in BOTH.iter().flat_map(|g| FENCINGS.iter().map(move |f| (*g, f))) {
        let without = |for_good| {
            let whole = setting(generation, for_good, fencing, LITTLE);
            walk(label, &Setting { without: vec![Deed::LookAgain], asks_for_healing: false, ..whole })
        };
        let disaster = without(true);
        assert!(disaster.broken().contains(&NEVER_TWO), "{label}: {:?}", disaster.broken());
        without(false).expect(label, 3_000, &[]);
    }
}

/// Without either, DRBD 9 is no better than 8.4, and no file but one with the guard in it helps.
#[test]
fn without_guard_and_second_look_two_run_everywhere() {
    let label = "without both";
    for (generation, for_good) in BOTH.iter().flat_map(|g| [(*g, false), (*g, true)]) {
        for fencing in &FENCINGS {
            let whole = setting(generation, for_good, fencing, LITTLE);
            let without = vec![Deed::Guard, Deed::LookAgain];
            let found = walk(label, &Setting { without, asks_for_healing: false, ..whole });
            let guarded_by_the_file = !for_good && fencing.guards();
            assert_eq!(found.broken().contains(&NEVER_TWO), !guarded_by_the_file, "{label}: {:?}", found.broken());
        }
    }
}

/// DRBD 8.3 cannot set the guard at run time. With the two lines in drbd.conf that the README names, it needs none.
#[test]
fn drbd_8_3_needs_the_guard_in_its_file() {
    let label = "DRBD 8.3";
    walk(label, &setting(Generation::V83, false, &Fencing::ResourceOnly, LITTLE)).expect(label, 4_000, &[]);
    let bare = walk(label, &Setting { asks_for_healing: false, ..setting(Generation::V83, false, &Fencing::DontCare, LITTLE) });
    assert!(bare.broken().contains(&NO_SPLIT), "{:?}", bare.broken());
}

/// A program that is killed may leave a `drbdadm` behind that has not reached the kernel yet. As long as that keeps the domU's lock, the
/// next start waits for it. If it does not, and is slower than the next start, looks and all, it undoes what that one relies on.
#[test]
fn a_command_that_outlives_its_program_must_keep_the_lock() {
    let label = "a command outlives its program";
    for generation in BOTH {
        let keeps = setting(generation, false, &Fencing::DontCare, ORPHANS);
        walk(label, &keeps).expect(label, 50_000, &[]);
        let found =
            walk("and does not keep the lock", &Setting { children_keep_the_lock: false, asks_for_healing: false, ..keeps });
        assert!(found.broken().contains(&NEVER_TWO), "{:?}", found.broken());
    }
}
