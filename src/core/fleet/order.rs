//! In which order: each target has its own queue, and whichever stream is free takes from the queue that has most left to do.
//!
//! How fast a link is nobody knows beforehand, but which queue is the longest shows while they are worked off. The largest goes first, so
//! that what is left towards the end is small and all targets end together (longest processing time first). One stream a target, because
//! a receiving `xl` holds its host's lock for the whole transfer where autoballoon is on (facts 2.6); more only when asked for.
//!
//! Streams share the sender's link. If all queues were worked off at once, the longest would be left over at the end, alone, and one
//! stream may not fill the link. So a queue waits while another has more than half as much again left, unless few streams are at work: it
//! still ends in time, and the long one meanwhile gets a larger share.
//!
//! A stream is over when both ends have said so. What is still to be tidied up then needs no link, and the next one to that target makes
//! itself ready beside it.

use std::cmp::Reverse;

/// Moves to hand out.
#[derive(Debug, Clone)]
pub struct Queues {
    /// For each target what waits, as (bytes or anything that grows with the time it takes, number), the largest last.
    waiting: Vec<Vec<(u64, usize)>>,
    /// What is under way to each target.
    under_way: Vec<Vec<(u64, usize)>>,
    streams: usize,
    jobs: usize,
    /// Nobody said how many: short queues give way to long ones.
    balanced: bool,
}

/// So many streams fill most links (one stream of ssh is one core's work), although one of them sends nothing just then.
const FEW: usize = 4;

impl Queues {
    /// `moves`: for each its target and its size. `jobs`: streams in all, at least one; without it one for each target. More of them than
    /// targets are more than one a target.
    pub fn new(targets: usize, moves: &[(usize, u64)], jobs: Option<usize>) -> Queues {
        let mut waiting = vec![Vec::new(); targets];
        for (number, (target, size)) in moves.iter().enumerate() {
            if let Some(queue) = waiting.get_mut(*target) {
                queue.push((*size, number));
            }
        }
        waiting.iter_mut().for_each(|queue| queue.sort_unstable_by_key(|(size, number)| (*size, Reverse(*number))));
        let used = waiting.iter().filter(|queue| !queue.is_empty()).count().max(1);
        let balanced = jobs.is_none();
        let jobs = jobs.unwrap_or(used).max(1);
        Queues { balanced, under_way: vec![Vec::new(); targets], waiting, streams: jobs.div_ceil(used), jobs }
    }

    /// The next move to begin now; `None`: nothing waits, or all streams are taken.
    pub fn begin(&mut self) -> Option<usize> {
        let at_work = self.under_way.iter().map(Vec::len).sum::<usize>();
        if at_work >= self.jobs {
            return None;
        }
        let sum = |queue: &[(u64, usize)]| queue.iter().map(|(size, _)| *size).sum::<u64>();
        // What is under way counts as half done.
        let left = |target: usize| sum(&self.waiting[target]) + sum(&self.under_way[target]) / 2;
        let all = 0..self.waiting.len();
        let free = all.clone().filter(|t| !self.waiting[*t].is_empty() && self.under_way[*t].len() < self.streams);
        let target = free.max_by_key(|t| (left(*t), Reverse(*t)))?;
        let most = all.map(left).max().unwrap_or(0);
        if self.balanced && at_work >= FEW && left(target).saturating_mul(3) < most.saturating_mul(2) {
            return None;
        }
        let next = self.waiting[target].pop()?;
        self.under_way[target].push(next);
        Some(next.1)
    }

    /// A move has ended, however, or its stream is over at least: its target is free for the next. May be said twice.
    pub fn ended(&mut self, number: usize) {
        self.under_way.iter_mut().for_each(|list| list.retain(|(_, n)| *n != number));
    }

    /// Nothing more goes to this target; returns what was to go there.
    pub fn give_up(&mut self, target: usize) -> Vec<usize> {
        let mut left: Vec<usize> =
            self.waiting.get_mut(target).map(std::mem::take).unwrap_or_default().into_iter().map(|(_, number)| number).collect();
        left.sort_unstable();
        left
    }

    /// Nothing more goes anywhere; returns what was to go.
    pub fn give_up_all(&mut self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.waiting.len()).flat_map(|target| self.give_up(target)).collect();
        left.sort_unstable();
        left
    }

    /// How many streams there are at most.
    pub fn jobs(&self) -> usize {
        self.jobs
    }
}

/// The order in which one stream alone would take them: what is printed.
pub fn one_after_the_other(targets: usize, moves: &[(usize, u64)]) -> Vec<usize> {
    let mut queues = Queues::new(targets, moves, Some(1));
    let mut order = Vec::new();
    while let Some(next) = queues.begin() {
        order.push(next);
        queues.ended(next);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin_all(queues: &mut Queues) -> Vec<usize> {
        std::iter::from_fn(|| queues.begin()).collect()
    }

    #[test]
    fn one_stream_a_target_the_largest_first() {
        let mut queues = Queues::new(2, &[(0, 1), (0, 5), (1, 3), (0, 2)], None);
        assert_eq!(queues.jobs(), 2);
        assert_eq!(begin_all(&mut queues), [1, 2]);
        queues.ended(2);
        assert_eq!(begin_all(&mut queues), [] as [usize; 0], "nothing waits for the second target, and the first is taken");
        queues.ended(1);
        assert_eq!(begin_all(&mut queues), [3]);
        queues.ended(3);
        assert_eq!(begin_all(&mut queues), [0]);
    }

    #[test]
    fn with_fewer_streams_than_targets_the_longest_queue_comes_first() {
        let mut queues = Queues::new(3, &[(0, 1), (1, 4), (2, 3), (2, 3)], Some(1));
        let mut order = vec![];
        while let Some(n) = queues.begin() {
            order.push(n);
            queues.ended(n);
        }
        assert_eq!(order, [2, 1, 3, 0]);
        assert_eq!(order, one_after_the_other(3, &[(0, 1), (1, 4), (2, 3), (2, 3)]));
    }

    #[test]
    fn more_streams_than_targets_only_when_asked_for() {
        let moves = [(0, 1), (0, 1), (0, 1), (0, 1)];
        assert_eq!(begin_all(&mut Queues::new(1, &moves, None)).len(), 1);
        assert_eq!(begin_all(&mut Queues::new(1, &moves, Some(3))).len(), 3);
        assert_eq!(begin_all(&mut Queues::new(1, &moves, Some(0))).len(), 1);
        assert_eq!(Queues::new(4, &moves, Some(2)).streams, 2, "targets that nothing goes to do not count");
    }

    #[test]
    fn a_short_queue_gives_way_to_one_that_is_much_longer() {
        let moves = [(0, 9), (0, 9), (1, 12), (2, 11), (3, 10), (4, 8)];
        let mut queues = Queues::new(5, &moves, None);
        assert_eq!(begin_all(&mut queues), [0, 2, 3, 4], "8 are less than two thirds of 13.5");
        queues.ended(4);
        assert_eq!(begin_all(&mut queues), [5], "few are at work");
        assert_eq!(begin_all(&mut Queues::new(5, &moves, Some(5))).len(), 5, "somebody said how many");
        let near = [(0, 9), (0, 9), (1, 12), (2, 11), (3, 10), (4, 10)];
        assert_eq!(begin_all(&mut Queues::new(5, &near, None)).len(), 5, "it is not so much longer");
    }

    #[test]
    fn what_is_given_up_is_told() {
        let mut queues = Queues::new(2, &[(0, 1), (0, 2), (1, 3), (1, 3)], None);
        assert_eq!(begin_all(&mut queues), [2, 1]);
        assert_eq!(queues.give_up(1), [3]);
        assert_eq!(queues.give_up_all(), [0]);
        queues.ended(2);
        assert_eq!(queues.begin(), None);
    }
}
