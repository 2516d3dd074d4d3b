//! Deciding about several domUs at once: which goes where, whether all of it can be, and in which order.
//!
//! * [`assign`]: to which of its partners each domU goes, by what each partner has room for.
//! * [`order`]: which goes when.
//! * this file: the plan over all of them. It is made and judged before anything moves, and every objection of every domU is in it.

pub mod assign;
pub mod order;

use super::migrate::check::{Check, Objection};
use super::names::{DomuName, HostName};
use assign::Need;

/// One domU that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The domU.
    pub domu: DomuName,
    /// What it takes at its target, in MiB.
    pub memory: u64,
    /// The Dom0s that it may go to, the preferred first.
    pub hosts: Vec<Choice>,
}

/// One Dom0 that a domU may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The Dom0, as the table has it.
    pub host: HostName,
    /// Which of the targets that is: two names may be one host.
    pub target: usize,
    /// What speaks against it, its memory left out: that is counted over all domUs.
    pub against: Vec<Objection>,
}

/// A Dom0 that domUs may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The Dom0.
    pub host: HostName,
    /// Its free memory in MiB; `None`: a person says that it does not matter (`--despite memory`).
    pub free: Option<u64>,
}

/// Which goes where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What goes, in the order in which one stream alone would take it.
    pub moves: Vec<Move>,
    /// What cannot go, and why.
    pub left: Vec<Left>,
    /// It is certain that no other plan places more, or places them nearer to what their rows prefer.
    pub proven: bool,
}

/// One domU and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The domU.
    pub domu: DomuName,
    /// Where it goes.
    pub to: HostName,
    /// Which of the targets that is.
    pub target: usize,
    /// What it takes there, in MiB.
    pub memory: u64,
    /// Why not to the hosts that its row prefers: host and reason.
    pub passed_over: Vec<(HostName, String)>,
}

/// One domU that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The domU.
    pub domu: DomuName,
    /// Every host that it may go to, with everything against it.
    pub against: Vec<(HostName, Vec<Objection>)>,
}

impl Plan {
    /// Makes the plan.
    pub fn make(wishes: &[Wish], targets: &[Target]) -> Plan {
        // For each wish the choices that nothing speaks against: their places in its list, and in the targets.
        let open: Vec<Vec<(usize, usize)>> = wishes
            .iter()
            .map(|w| {
                let free = w.hosts.iter().enumerate().filter(|(_, c)| c.against.is_empty() && c.target < targets.len());
                free.map(|(n, c)| (n, c.target)).collect()
            })
            .collect();
        let needs: Vec<Need> =
            wishes.iter().zip(&open).map(|(w, o)| Need { size: w.memory, hosts: o.iter().map(|(_, t)| *t).collect() }).collect();
        let rooms: Vec<u64> = targets.iter().map(|t| t.free.unwrap_or(u64::MAX / 2)).collect();
        let answer = assign::assign(&needs, &rooms, assign::STEPS);

        let mut taken = vec![0u64; targets.len()];
        for (need, place) in needs.iter().zip(&answer.places) {
            if let Some(place) = place {
                taken[need.hosts[*place]] += need.size;
            }
        }
        let full = |target: usize| {
            let free = targets[target].free.unwrap_or_default();
            let others = if taken[target] == 0 { String::new() } else { format!(", {} of them for others", taken[target]) };
            format!("{free} MiB are free on {}{others}", targets[target].host)
        };
        let mut plan = Plan { proven: answer.proven, ..Plan::default() };
        let mut queued = Vec::new();
        for (n, wish) in wishes.iter().enumerate() {
            match answer.places[n] {
                Some(place) => {
                    let (choice, target) = open[n][place];
                    let passed_over = wish.hosts[..choice].iter().map(|c| {
                        let why = match c.against.first() {
                            Some(objection) => format!("{}: {}", objection.check, objection.seen),
                            None => full(c.target),
                        };
                        (c.host.clone(), why)
                    });
                    queued.push((target, wish.memory));
                    plan.moves.push(Move {
                        domu: wish.domu.clone(),
                        to: wish.hosts[choice].host.clone(),
                        target,
                        memory: wish.memory,
                        passed_over: passed_over.collect(),
                    });
                }
                None => {
                    let against = wish.hosts.iter().map(|c| {
                        let mut list = c.against.clone();
                        // Of a host that was not seen nobody knows its memory.
                        let seen = !list.iter().any(|o| o.check == Check::Host);
                        let free = targets.get(c.target).filter(|_| seen).and_then(|t| t.free);
                        if free.is_some_and(|free| free < taken[c.target] + wish.memory) {
                            list.push(no_room(wish, full(c.target)));
                        }
                        (c.host.clone(), list)
                    });
                    plan.left.push(Left { domu: wish.domu.clone(), against: against.collect() });
                }
            }
        }
        let order = order::one_after_the_other(targets.len(), &queued);
        plan.moves = order.into_iter().map(|n| plan.moves[n].clone()).collect();
        plan
    }

    /// All of it can go.
    pub fn is_whole(&self) -> bool {
        self.left.is_empty()
    }

    /// What goes to each target: the target's place, how many, and how much memory they take there.
    pub fn loads(&self, targets: usize) -> Vec<(usize, usize, u64)> {
        let to = |target: usize| {
            let there = self.moves.iter().filter(|m| m.target == target);
            there.fold((target, 0, 0), |(target, count, memory), m| (target, count + 1, memory + m.memory))
        };
        (0..targets).map(to).filter(|(_, count, _)| *count > 0).collect()
    }
}

fn no_room(wish: &Wish, seen: String) -> Objection {
    Objection {
        check: Check::Memory,
        seen,
        wanted: format!("{} MiB for {}", wish.memory, wish.domu),
        advice: "free memory there, or --despite memory where Dom0 gives way by itself (autoballoon)".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(domu: &str, memory: u64, hosts: &[&str]) -> Wish {
        let choice = |host: &&str| {
            let target = usize::from(host.starts_with("gamma"));
            Choice { host: host.parse().unwrap(), target, against: vec![] }
        };
        Wish { domu: domu.parse().unwrap(), memory, hosts: hosts.iter().map(choice).collect() }
    }

    fn target(host: &str, free: u64) -> Target {
        Target { host: host.parse().unwrap(), free: Some(free) }
    }

    fn against(wish: &mut Wish, n: usize) {
        let (check, text) = (Check::Drbd, |t: &str| t.to_string());
        wish.hosts[n].against.push(Objection {
            check,
            seen: text("r0 is not connected"),
            wanted: text("Connected"),
            advice: text("x"),
        });
    }

    fn moves(plan: &Plan) -> Vec<String> {
        let mut list: Vec<String> = plan.moves.iter().map(|m| format!("{} {}", m.domu, m.to)).collect();
        list.sort();
        list
    }

    #[test]
    fn memory_is_summed_over_all_that_go_to_a_target() {
        let wishes = [wish("a", 600, &["beta", "gamma"]), wish("b", 600, &["beta", "gamma"]), wish("c", 600, &["beta"])];
        let plan = Plan::make(&wishes, &[target("beta", 1000), target("gamma", 2000)]);
        assert_eq!(moves(&plan), ["a gamma", "b gamma", "c beta"]);
        assert!(plan.is_whole() && plan.proven);
        let a = plan.moves.iter().find(|m| m.domu.as_str() == "a").unwrap();
        assert_eq!(a.passed_over[0].1, "1000 MiB are free on beta, 600 of them for others");
    }

    #[test]
    fn every_objection_of_every_domu_is_told_at_once() {
        let mut two = wish("b", 600, &["beta", "gamma"]);
        against(&mut two, 0);
        let wishes = [wish("a", 900, &["beta"]), two, wish("c", 600, &["beta"])];
        let plan = Plan::make(&wishes, &[target("beta", 1000), target("gamma", 100)]);
        assert_eq!(moves(&plan).len(), 1);
        let b = plan.left.iter().find(|l| l.domu.as_str() == "b").unwrap();
        let words: Vec<String> = b
            .against
            .iter()
            .map(|(h, o)| format!("{h}: {}", o.iter().map(|o| o.check.to_string()).collect::<String>()))
            .collect();
        assert_eq!(words, ["beta: drbdmemory", "gamma: memory"]);
        assert_eq!(plan.left.len(), 2);
    }

    #[test]
    fn a_host_that_is_objected_to_is_passed_over_with_its_reason() {
        let mut wish = wish("a", 1, &["beta", "gamma"]);
        against(&mut wish, 0);
        let plan = Plan::make(&[wish], &[target("beta", 10), target("gamma", 10)]);
        assert_eq!(moves(&plan), ["a gamma"]);
        assert_eq!(plan.moves[0].passed_over[0].1, "drbd: r0 is not connected");
    }

    #[test]
    fn one_host_under_two_names_has_its_memory_once() {
        let wishes = [wish("a", 600, &["beta"]), wish("b", 600, &["beta.example.org"])];
        assert_eq!(Plan::make(&wishes, &[target("beta", 1000)]).left.len(), 1);
    }

    #[test]
    fn the_largest_goes_first_and_the_targets_take_turns_by_what_is_left() {
        let wishes =
            [wish("a", 100, &["beta"]), wish("b", 300, &["beta"]), wish("c", 250, &["gamma"]), wish("d", 200, &["gamma"])];
        let plan = Plan::make(&wishes, &[target("beta", 1000), target("gamma", 1000)]);
        let order: Vec<&str> = plan.moves.iter().map(|m| m.domu.as_str()).collect();
        assert_eq!(order, ["c", "b", "d", "a"]);
        assert_eq!(plan.loads(2), [(0, 2, 400), (1, 2, 450)]);
    }

    #[test]
    fn memory_that_does_not_matter_is_without_end() {
        let wishes = [wish("a", 600, &["beta"]), wish("b", 600, &["beta"])];
        let beta = Target { host: "beta".parse().unwrap(), free: None };
        assert!(Plan::make(&wishes, &[beta]).is_whole());
    }
}
