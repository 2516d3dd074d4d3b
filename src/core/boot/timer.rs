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

/// Between the beginnings of two looks.
const BETWEEN: Duration = Duration::from_secs(1);

/// How long to wait yet after the news that came so long after the last look had begun: a connection that flaps costs a look a second, and
/// the first news after some quiet is not delayed.
pub fn until_news_may_be_looked_at(since_the_last_look: Duration) -> Duration {
    BETWEEN.saturating_sub(since_the_last_look)
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
    fn a_look_a_second_and_the_first_at_once() {
        let ms = Duration::from_millis;
        assert_eq!(until_news_may_be_looked_at(ms(0)), ms(1000));
        assert_eq!(until_news_may_be_looked_at(ms(900)), ms(100));
        assert_eq!(until_news_may_be_looked_at(Duration::from_secs(300)), ms(0));
    }
}
