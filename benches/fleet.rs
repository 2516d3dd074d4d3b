//! Emptying a Dom0 of a hundred domUs onto eight others, simulated: how far the order that `migrate ALL` takes is from the shortest time
//! that the links allow, and how long the plan itself takes.
//!
//! ```text
//! cargo bench --bench fleet
//! ```
//!
//! The lower bound is max(bytes over a link / its bandwidth), over the sender's link and each target's; of the way to a target that has one
//! stream, what one stream reaches. Beside its bytes a migration takes time in which nothing goes over (looks, records, options, the
//! hand-over); the bound knows nothing of that.

use std::collections::BTreeMap;
use xen_drbd::core::fleet::order::Queues;
use xen_drbd::core::fleet::{Choice, Plan, Target, Wish};

/// Seconds before the first byte and after the last one: what real migrations between two hosts of a rack show. From the last byte until
/// both ends have said that it is over there, its target is still taken; then the next one may make itself ready.
const BEFORE: f64 = 1.5;
const AFTER: f64 = 1.0;
const HAND_OVER: f64 = 0.4;

/// Guests write while they are copied: so much more goes over.
const AGAIN: f64 = 1.1;

/// A kind of network.
struct Net {
    name: &'static str,
    /// MiB a second that leave the sender.
    sender: f64,
    /// MiB a second into each target.
    target: f64,
    /// One stream alone (an ssh: one core) reaches so much.
    stream: f64,
}

const NETS: [Net; 3] = [
    Net { name: "1 Gbit/s everywhere", sender: 112.0, target: 112.0, stream: 112.0 },
    Net { name: "10 Gbit/s, 1 Gbit/s into each target", sender: 1120.0, target: 112.0, stream: 400.0 },
    Net { name: "10 Gbit/s everywhere", sender: 1120.0, target: 1120.0, stream: 400.0 },
];

const CASES: u64 = 40;

fn main() {
    println!("{} fleets of 100 domUs (512 MiB to 16 GiB) and 8 targets; over the lower bound, mean and worst:", CASES);
    let mut worst_of_default: f64 = 0.0;
    for net in &NETS {
        for (label, jobs) in
            [("one stream a target", None), ("--jobs 16", Some(16)), ("--jobs 4", Some(4)), ("--jobs 1", Some(1))]
        {
            let over: Vec<f64> = (0..CASES).map(|seed| case(seed, net, jobs)).collect();
            let mean = over.iter().sum::<f64>() / over.len() as f64;
            let worst = over.iter().copied().fold(0.0, f64::max);
            if jobs.is_none() {
                worst_of_default = worst_of_default.max(worst);
            }
            println!("  {:<38} {:<20} {mean:>6.1} % {worst:>6.1} %", net.name, label);
        }
    }
    println!("worst of the default: {worst_of_default:.1} %");
    planning();
}

/// How much longer than the bound one fleet takes, in percent.
fn case(seed: u64, net: &Net, jobs: Option<usize>) -> f64 {
    let (wishes, targets) = fleet(seed, 100);
    let plan = Plan::make(&wishes, &targets);
    assert!(plan.is_whole(), "the fleet of seed {seed} has too little room");
    let moves: Vec<(usize, u64)> = plan.moves.iter().map(|m| (m.target, m.memory)).collect();
    let mut bytes: BTreeMap<usize, f64> = BTreeMap::new();
    for (target, memory) in &moves {
        *bytes.entry(*target).or_default() += *memory as f64 * AGAIN;
    }
    let sender = bytes.values().sum::<f64>() / net.sender;
    let streams = jobs.unwrap_or(1).div_ceil(bytes.len()) as f64;
    let into = net.target.min(net.stream * streams);
    let bound = bytes.values().map(|b| b / into).fold(sender, f64::max);
    (simulate(net, targets.len(), &moves, jobs) / bound - 1.0) * 100.0
}

/// A fleet: each domU may go to some of the targets, and the first one of its list differs.
fn fleet(seed: u64, slack: u64) -> (Vec<Wish>, Vec<Target>) {
    let mut state = seed * 2 + 0x9e37_79b9_7f4a_7c15;
    let mut roll = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let host = |n: usize| format!("dom0-{n}").parse().expect("a name");
    let mut free = [0u64; 8];
    let wishes = (0..100)
        .map(|n| {
            let memory = 512 << roll(6);
            let first = n % 8;
            let mut order = vec![first];
            for _ in 0..roll(3) {
                let other = roll(8) as usize;
                if !order.contains(&other) {
                    order.push(other);
                }
            }
            // Somewhere there is room for it; not always where it would rather go.
            free[order[roll(order.len() as u64) as usize]] += memory + 8;
            let choice = |target: &usize| Choice { host: host(*target), target: *target, against: vec![] };
            let domu = format!("domu-{n}").parse().expect("a name");
            Wish { domu, memory: memory + 8, hosts: order.iter().map(choice).collect() }
        })
        .collect();
    let targets = (0..8).map(|n| Target { host: host(n), free: Some(free[n] + free[n] * slack / 100) }).collect();
    (wishes, targets)
}

/// One migration that is under way.
struct Stream {
    number: usize,
    target: usize,
    /// Until its first byte.
    before: f64,
    left: f64,
    /// From its last byte until its target is free.
    hand_over: f64,
    /// From then on.
    after: f64,
}

/// Plays it: the streams share the links fairly, and whoever ends makes room for the next of the queues.
fn simulate(net: &Net, targets: usize, moves: &[(usize, u64)], jobs: Option<usize>) -> f64 {
    let mut queues = Queues::new(targets, moves, jobs);
    let mut streams: Vec<Stream> = Vec::new();
    let mut clock = 0.0;
    loop {
        while let Some(number) = queues.begin() {
            let (target, memory) = moves[number];
            streams.push(Stream {
                number,
                target,
                before: BEFORE,
                left: memory as f64 * AGAIN,
                hand_over: HAND_OVER,
                after: AFTER - HAND_OVER,
            });
        }
        if streams.is_empty() {
            return clock;
        }
        let rates = rates(net, &streams);
        let step = streams
            .iter()
            .zip(&rates)
            .map(|(s, rate)| match () {
                _ if s.before > 0.0 => s.before,
                _ if s.left > 0.0 => s.left / rate,
                _ if s.hand_over > 0.0 => s.hand_over,
                _ => s.after,
            })
            .fold(f64::INFINITY, f64::min);
        clock += step;
        for (s, rate) in streams.iter_mut().zip(&rates) {
            match () {
                _ if s.before > 0.0 => s.before = less(s.before, step),
                _ if s.left > 0.0 => s.left = less(s.left, rate * step),
                _ if s.hand_over > 0.0 => s.hand_over = less(s.hand_over, step),
                _ => s.after = less(s.after, step),
            }
        }
        let over = |s: &Stream| s.before <= 0.0 && s.left <= 0.0 && s.hand_over <= 0.0;
        streams.iter().filter(|s| over(s)).for_each(|s| queues.ended(s.number));
        streams.retain(|s| !over(s) || s.after > 0.0);
    }
}

/// What is left; a rest that only rounding leaves is none.
fn less(what: f64, by: f64) -> f64 {
    if what - by < 1e-9 { 0.0 } else { what - by }
}

/// Fair shares: everybody gets the same, up to what its own links allow.
fn rates(net: &Net, streams: &[Stream]) -> Vec<f64> {
    let copying: Vec<usize> = (0..streams.len()).filter(|n| streams[*n].before <= 0.0 && streams[*n].left > 0.0).collect();
    let mut rates = vec![0.0; streams.len()];
    let mut open = copying.clone();
    let mut left = net.sender;
    // The narrowest first: what it cannot use is the others'.
    let limit = |n: &usize| {
        let beside = copying.iter().filter(|o| streams[**o].target == streams[*n].target).count();
        (net.target / beside as f64).min(net.stream)
    };
    open.sort_by(|a, b| limit(a).total_cmp(&limit(b)));
    let mut count = open.len();
    for n in open {
        rates[n] = limit(&n).min(left / count as f64);
        left -= rates[n];
        count -= 1;
    }
    rates
}

/// How long the plan takes, the room being so small that domUs must make room for others.
fn planning() {
    for slack in [100, 20, 5, 1] {
        let begin = now();
        let (mut far, mut left, mut proven) = (0, 0, 0);
        for seed in 0..CASES {
            let (wishes, targets) = fleet(seed, slack);
            let plan = Plan::make(&wishes, &targets);
            left += plan.left.len();
            far += plan.moves.iter().map(|m| m.passed_over.len()).sum::<usize>();
            proven += u64::from(plan.proven);
        }
        let each = begin.elapsed().as_secs_f64() * 1000.0 / CASES as f64;
        println!(
            "a plan with {slack:>3} % of room to spare: {each:>6.1} ms; of {} domUs {far} not where they would rather go, {left} without \
             room; {proven} of {CASES} plans proven the best",
            CASES * 100
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
