//! When to look again, if nothing calls before.

use std::time::Duration;

/// Five minutes.
const MIDDLE: u64 = 300;
/// One minute more or less, so that two Dom0s do not keep meeting.
const SPREAD: u64 = 60;

/// How many different answers [`until_the_next_look`] has: what the dice are rolled for.
pub const SIDES: u64 = 2 * SPREAD + 1;

/// How long to wait: 5 minutes ± 60 seconds. `roll` is below [`SIDES`]; more counts as the most.
pub fn until_the_next_look(roll: u64) -> Duration {
    Duration::from_secs(MIDDLE - SPREAD + roll.min(SIDES - 1))
}

/// What one look costs: in the long run news is answered by a look a second.
const COST: Duration = Duration::from_secs(1);
/// What may be owed. A connection that comes back says so in several lines within a moment (connected, a bitmap goes over, in sync), and
/// the domU is started by the last of them.
const CREDIT: Duration = Duration::from_secs(8);

/// How often news is looked at: at once after some quiet, and a look a second where a connection flaps for ever.
#[derive(Debug, Default)]
pub struct Pace {
    /// On the clock of the looks, when all of them will have been paid for.
    paid: Duration,
}

impl Pace {
    /// A look begins.
    pub fn look(&mut self, now: Duration) {
        self.paid = self.paid.max(now) + COST;
    }

    /// How long the next look has to wait yet.
    pub fn wait(&self, now: Duration) -> Duration {
        (self.paid + COST).saturating_sub(now + CREDIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_four_minutes_to_six() {
        assert_eq!(until_the_next_look(0), Duration::from_secs(240));
        assert_eq!(until_the_next_look(SIDES - 1), Duration::from_secs(360));
        assert_eq!(until_the_next_look(u64::MAX), Duration::from_secs(360));
    }

    #[test]
    fn some_at_once_and_then_a_look_a_second() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        let began = ms(3_600_000);
        for _ in 0..8 {
            assert_eq!(pace.wait(began), ms(0));
            pace.look(began);
        }
        assert_eq!(pace.wait(began), ms(1000));
        assert_eq!(pace.wait(began + ms(900)), ms(100));
        // It flaps for a quarter of an hour.
        let mut now = began;
        for _ in 0..900 {
            now += pace.wait(now);
            pace.look(now);
        }
        assert_eq!(now - began, ms(900_000));
        // Quiet gives the credit back, and not more.
        now += ms(3_600_000);
        for _ in 0..8 {
            assert_eq!(pace.wait(now), ms(0));
            pace.look(now);
        }
        assert!(pace.wait(now) > ms(0));
    }
}
