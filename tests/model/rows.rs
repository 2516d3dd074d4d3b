//! The rules of `drbd.rs` against the measurements: `claim-experiments` for 8.4, `recorded-drbd9` for 9, row by row.

use super::drbd::{Command, Link, Pair, Refusal, Rules};
use super::story::Teller;
use Command::{Primary, Secondary, TwoPrimaries};
use xen_drbd::core::drbd::Generation::{V9, V84};
use xen_drbd::core::drbd::{Fencing, Generation, Options};

/// Two ends, connected and Secondary.
struct Lab {
    rules: Rules,
    pair: Pair,
}

impl Lab {
    fn new(generation: Generation, two_primaries: bool) -> Lab {
        let rules = Rules { generation, file: Options { two_primaries, fencing: Fencing::DontCare } };
        let mut lab = Lab { pair: Pair::new(&rules), rules };
        for at in [0, 1] {
            lab.pair.power_on(at);
        }
        lab.meet();
        assert!(lab.pair.is_live());
        lab
    }

    fn run(&mut self, at: usize, command: Command) -> Result<(), Refusal> {
        self.pair.run(&self.rules, at, command, &mut Teller::silent())
    }

    fn guard(&mut self, at: usize) {
        match self.rules.generation {
            V9 => self.run(at, Command::Both { two: false, fencing: true }),
            _ => self.run(at, Command::Fencing(true)).and_then(|()| self.run(at, TwoPrimaries(false))),
        }
        .expect("the guard is never refused to an idle end");
        self.pair.deliver(1 - at);
    }

    /// The link is back, and each has found out that it had lost the other.
    fn meet(&mut self) {
        self.pair.cable = true;
        for at in [0, 1] {
            if self.pair.ends[at].link == Link::Connected {
                self.pair.lose(&self.rules, at, &mut Teller::silent());
            }
        }
        self.pair.handshake(&mut Teller::silent());
    }

    fn links(&self) -> [Link; 2] {
        self.pair.ends.map(|e| e.link)
    }

    fn generations(&self) -> [bool; 2] {
        self.pair.ends.map(|e| e.own_generation)
    }
}

#[test]
fn rows_1_and_2_connected_the_flag_decides() {
    for generation in [V84, V9] {
        let mut lab = Lab::new(generation, true);
        assert_eq!([0, 1].map(|at| lab.run(at, Primary)), [Ok(()); 2]);
        let mut lab = Lab::new(generation, true);
        lab.run(0, TwoPrimaries(false)).unwrap();
        assert_eq!([1, 0].map(|at| lab.run(at, Primary)), [Ok(()), Err(Refusal::PeerPrimary)], "also before it has been told");
    }
}

#[test]
fn row_3_apart_a_promotion_is_a_new_generation_in_84_and_a_write_is_one_in_9() {
    for (generation, writes, split) in [(V84, false, true), (V9, false, false), (V9, true, true)] {
        let mut lab = Lab::new(generation, false);
        lab.pair.cable = false;
        assert_eq!(lab.links(), [Link::Connected; 2], "still shown");
        for at in [0, 1] {
            lab.run(at, Primary).unwrap();
            lab.pair.ends[at].open = true;
            if writes {
                lab.pair.write(at);
            }
            lab.pair.ends[at].open = false;
            lab.run(at, Secondary).unwrap();
        }
        assert_eq!(lab.generations(), [split; 2], "{generation:?} {writes}");
        lab.meet();
        assert_eq!(lab.links(), [if split { Link::StandAlone } else { Link::Connected }; 2]);
    }
}

#[test]
fn rows_4_and_5_under_the_guard_nobody_is_promoted_apart_and_one_together() {
    for generation in [V84, V9] {
        let mut lab = Lab::new(generation, true);
        [0, 1].into_iter().for_each(|at| lab.guard(at));
        lab.pair.cable = false;
        assert_eq!([0, 1].map(|at| lab.run(at, Primary)), [Err(Refusal::PeerNotOutdated); 2]);
        assert_eq!(lab.generations(), [false; 2]);
        lab.meet();
        assert_eq!(lab.links(), [Link::Connected; 2]);
        assert_eq!(lab.pair.source, None);
        assert_eq!([0, 1].map(|at| lab.run(at, Primary)), [Ok(()), Err(Refusal::PeerPrimary)]);
    }
}

#[test]
fn rows_9_and_11_the_window_opens_from_the_idle_side_and_does_not_shut_on_two() {
    for generation in [V84, V9] {
        let mut lab = Lab::new(generation, false);
        lab.run(1, Primary).unwrap();
        assert_eq!(lab.run(0, Primary), Err(Refusal::PeerPrimary));
        lab.run(0, TwoPrimaries(true)).unwrap();
        assert_eq!(lab.run(0, Primary), Ok(()));
        assert_eq!(lab.run(0, TwoPrimaries(false)), Err(Refusal::BothPrimary));
        lab.run(0, Secondary).unwrap();
        assert_eq!(lab.run(0, TwoPrimaries(false)), Ok(()));
    }
}

#[test]
fn row_10_ends_whose_flags_differ_refuse_each_other() {
    for (generation, afterwards) in [(V84, Err(Refusal::NoConnection)), (V9, Ok(()))] {
        let mut lab = Lab::new(generation, true);
        lab.pair.cable = false;
        for at in [0, 1] {
            lab.pair.lose(&lab.rules, at, &mut Teller::silent());
        }
        lab.run(1, TwoPrimaries(false)).unwrap();
        lab.meet();
        assert_eq!(lab.links(), [Link::StandAlone; 2]);
        assert_eq!(lab.run(1, TwoPrimaries(true)), afterwards);
        for at in [0, 1] {
            lab.pair.adjust(&lab.rules, at);
        }
        lab.meet();
        assert_eq!(lab.links(), [Link::Connected; 2]);
    }
}

#[test]
fn row_8_a_domu_under_the_guard_goes_on_and_the_other_end_follows() {
    for generation in [V84, V9] {
        let mut lab = Lab::new(generation, false);
        [0, 1].into_iter().for_each(|at| lab.guard(at));
        lab.run(1, Primary).unwrap();
        lab.pair.ends[1].open = true;
        lab.pair.cable = false;
        lab.pair.write(1);
        assert!(!lab.pair.ends[1].ahead, "it stands still until the loss is noticed");
        lab.pair.lose(&lab.rules, 1, &mut Teller::silent());
        lab.pair.write(1);
        assert!(lab.pair.ends[1].ahead);
        lab.meet();
        assert_eq!(lab.pair.source, Some(1));
        assert!(!lab.pair.synced(), "nothing was thrown away");
    }
}
