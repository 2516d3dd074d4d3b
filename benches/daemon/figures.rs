//! The figures, each from one run: ours, the floor beneath it, and others measured in the same way.

use crate::proc::{self, Effort, Memory};
use crate::stage::{Daemon, Events, Line, Running, Stage, clock, executable, pause};
use std::collections::BTreeMap;
use std::process::Stdio;

/// How many domUs "many" are.
const MANY: usize = 1000;

/// How often a time is taken; the middle one counts.
const TIMES: usize = 20;

/// How long nothing happens when idleness is measured, in milliseconds.
const IDLE: u64 = 10_000;

/// The simplest answer to the event that a shell can give.
const HOOK: &str = "drbdsetup events2 | while read -r line; do case \"$line\" in \
    'change connection '*connection:Connected*) xl create \"$XEN_DRBD_BENCH/any.cfg\";; esac; done";

/// Measures and prints those that are asked for.
pub fn print(is_asked_for: &dyn Fn(&str) -> bool) {
    let other = std::env::var("XEN_DRBD_BENCH_OTHER").ok();
    let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
    println!("{}", executable().display());
    println!("{}", version.split(" (").next().unwrap_or_default());
    if is_asked_for("latency") {
        latency(other.as_deref());
    }
    if is_asked_for("memory") {
        memory(other.as_deref());
    }
    if is_asked_for("round") {
        round();
    }
    if is_asked_for("idle") {
        idle();
    }
}

/// From the event to `xl create`.
fn latency(other: Option<&str>) {
    heading("DRBD event → xl create started", &["median", "least", "most", "programs"]);
    let row = |name: &str, samples: &[Vec<Line>]| {
        let mut times: Vec<u64> = samples.iter().map(|lines| taken(lines)).collect();
        times.sort();
        let programs = samples.first().map_or(0, |lines| programs(lines).len());
        let times = [times[times.len() / 2], times[0], times[times.len() - 1]].map(in_ms);
        line(name, &[&times[0], &times[1], &times[2], &programs.to_string()]);
        times[0].parse::<f64>().unwrap_or(0.0)
    };
    let ours = ours(TIMES + 1, TIMES);
    let few = row("xen-drbd-auto, 21 domUs wait", &ours);
    // The same programs one after the other, and nothing between them.
    let words: Vec<String> = ours.first().map(|lines| programs(lines)).unwrap_or_default();
    let floor = HOOK.replace("xl create \"$XEN_DRBD_BENCH/any.cfg\"", &in_a_row(&words));
    let floor = row("  the same programs, run by a shell", &of_a_hook(&floor));
    let hook = row("a shell hook: events2 | while read", &of_a_hook(HOOK));
    let other = other.map(|other| row("$XEN_DRBD_BENCH_OTHER", &of_a_hook(other)));
    let many = row("xen-drbd-auto, 1,000 domUs wait", &self::ours(MANY, 5));
    println!(
        "  ratios: {:.2} of its floor, {:.2} of the shell hook; with 1,000 {:.2} of that with 21",
        few / floor,
        few / hook,
        many / few
    );
    if let Some(other) = other {
        println!("  ratio: {:.2} of $XEN_DRBD_BENCH_OTHER", few / other);
    }
    println!("  the programs on the way, in order:");
    for (program, times) in counted(&words) {
        println!("    {times} × {program}");
    }
}

/// The daemon, so many times.
fn ours(domus: usize, times: usize) -> Vec<Vec<Line>> {
    let stage = Stage::new(domus);
    let _daemon = waiting(&stage);
    let mut samples = Vec::new();
    let mut events = stage.events();
    for number in 0..times {
        // The first news after some quiet is what a time is asked for; a link that flaps costs a look a second.
        pause(1_100);
        samples.push(stage.back(&mut events, number));
        if number + 1 < times {
            events = stage.events();
        }
    }
    samples
}

/// Something that follows the events all the time.
fn of_a_hook(command: &str) -> Vec<Vec<Line>> {
    let stage = Stage::new(TIMES + 1);
    let _hook = Running::new(stage.sh(command));
    let mut events = stage.events();
    pause(300);
    let sample = |number| {
        let lines = stage.back(&mut events, number);
        // It may still have something to do.
        pause(100);
        lines
    };
    (0..TIMES).map(sample).collect()
}

/// What the memory of the daemon is when it waits for one, and for many.
fn memory(other: Option<&str>) {
    heading("Memory while waiting, KiB", &["RSS", "of it its own", "PSS", "peak"]);
    let row = |name: &str, memory: Memory| {
        let words = [memory.rss, memory.anonymous, memory.pss, memory.peak].map(|kib| kib.to_string());
        line(name, &[&words[0], &words[1], &words[2], &words[3]]);
    };
    for domus in [1, MANY] {
        let stage = Stage::new(domus);
        let daemon = waiting(&stage);
        let mut events = stage.events();
        pause(300);
        row(&format!("xen-drbd-auto, {domus} wait"), proc::memory(daemon.pid()));
        for _ in 0..5 {
            events = again(&stage, &daemon, events);
        }
        pause(300);
        row("  after 5 more rounds", proc::memory(daemon.pid()));
    }
    for domus in [1, MANY] {
        if let Some(other) = other {
            let stage = Stage::new(domus);
            let other = Running::new(stage.sh(other));
            let _events = stage.events();
            pause(1000);
            row(&format!("$XEN_DRBD_BENCH_OTHER, {domus}"), proc::memory(other.pid()));
        }
    }
}

/// One decision round over many domUs, none of which may be started.
fn round() {
    heading("One round over 1,000 domUs that must wait", &["programs", "ms", "CPU ms", "lines"]);
    let stage = Stage::new(MANY);
    // The first one, as at boot: each domU has its line.
    let before = clock();
    let mut start = stage.auto(&["start"]);
    let said = start.stdout(Stdio::piped()).output().expect("xen-drbd-auto start");
    let time = clock() - before;
    let text = String::from_utf8_lossy(&said.stdout);
    let lines =
        (0..MANY).filter(|number| text.lines().any(|line| line.starts_with(&format!("{}: wait: ", crate::texts::name(*number)))));
    let lines = lines.count().to_string();
    assert!(said.status.success(), "xen-drbd-auto start: {}", said.status);
    line("start, until it has gone to the background", &["", &in_ms(time), "", &lines]);

    // The daemon that was started looks at once; that is another round.
    let daemon = Daemon::of(&stage);
    let events = stage.events();
    pause(300);
    stage.forget();
    let (before, effort) = (clock(), proc::effort(daemon.pid()));
    let _events = again(&stage, &daemon, events);
    let time = clock() - before;
    let effort = proc::effort(daemon.pid()).since(effort);
    let started: Vec<String> = stage.lines().into_iter().map(|line| line.what).collect();
    line("reload, until it waits again", &[&started.len().to_string(), &in_ms(time), &(effort.ticks * 10).to_string(), ""]);
    for (program, times) in counted(&started) {
        println!("    {times} × {program}");
    }
}

/// What it costs to wait.
fn idle() {
    heading(&format!("CPU while 1,000 domUs wait, {} s", IDLE / 1000), &["CPU ms", "ticks", "woken"]);
    let row = |name: &str, effort: Effort| {
        let words = [format!("{:.2}", effort.nanoseconds as f64 / 1e6), effort.ticks.to_string(), effort.sleeps.to_string()];
        line(name, &[&words[0], &words[1], &words[2]]);
    };
    let stage = Stage::new(MANY);
    let daemon = waiting(&stage);
    let mut events = stage.events();
    pause(1000);
    let before = proc::effort(daemon.pid());
    pause(IDLE);
    row("nothing happens", proc::effort(daemon.pid()).since(before));
    let before = proc::effort(daemon.pid());
    events.say("progress 10000");
    pause(IDLE);
    row("10,000 lines about a resync", proc::effort(daemon.pid()).since(before));
}

/// The daemon, as `start` leaves it behind.
fn waiting(stage: &Stage) -> Daemon {
    let start = stage.auto(&["start"]).stdout(Stdio::null()).status().expect("xen-drbd-auto start");
    assert!(start.success(), "xen-drbd-auto start: {start}");
    Daemon::of(stage)
}

/// Has the daemon look again, and waits until it listens again.
fn again(stage: &Stage, daemon: &Daemon, events: Events) -> Events {
    daemon.look_again();
    drop(events);
    stage.events()
}

/// The time from the event to the last line.
fn taken(lines: &[Line]) -> u64 {
    let event = lines.iter().find(|line| line.what == "event").map_or(0, |line| line.at);
    lines.last().map_or(0, |line| line.at.saturating_sub(event))
}

/// What was run after the event.
fn programs(lines: &[Line]) -> Vec<String> {
    lines.iter().skip_while(|line| line.what != "event").skip(1).map(|line| line.what.clone()).collect()
}

/// A shell's line that runs these.
fn in_a_row(programs: &[String]) -> String {
    let quiet = |program: &String| match program.split_once(" events2") {
        // The same answer, whatever was said of this one.
        Some(_) => "drbdsetup events2 --now >/dev/null".to_string(),
        None => format!("{program} >/dev/null"),
    };
    programs.iter().map(quiet).collect::<Vec<_>>().join("; ")
}

/// Each with how often it was run, in the order in which they first were.
fn counted(programs: &[String]) -> Vec<(String, usize)> {
    let mut order: Vec<String> = Vec::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for program in programs {
        let program = program.trim_end().to_string();
        *times.entry(program.clone()).or_insert_with(|| {
            order.push(program);
            0
        }) += 1;
    }
    order.into_iter().map(|program| (program.clone(), times.get(&program).copied().unwrap_or(0))).collect()
}

fn heading(title: &str, columns: &[&str]) {
    println!();
    line(title, columns);
}

fn line(title: &str, columns: &[&str]) {
    let columns: String = columns.iter().map(|column| format!("{column:>14}")).collect();
    println!("{title:<46}{columns}");
}

fn in_ms(nanoseconds: u64) -> String {
    format!("{:.2}", nanoseconds as f64 / 1e6)
}
