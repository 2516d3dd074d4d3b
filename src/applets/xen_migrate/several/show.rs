//! What a person (or a machine) reads: the plan, why not, how far it is, and what is where at the end.

use super::event::{Against, Apart, Event, Heard, Planned, Refused, Stays};
use super::here::Here;
use super::work::Outcome;
use super::{A_LOOK, Scene, prepare};
use crate::adapters::To;
use crate::adapters::look::Ground;
use crate::applets::exit::{Exit, Stop};
use crate::applets::xen_migrate::bars::{Bar, Board};
use crate::applets::xen_migrate::{Setting, drive};
use crate::core::fleet::order::Queues;
use crate::core::fleet::{Left, Move, Plan};
use crate::core::migrate::check::Objection;
use crate::core::names::{DomuName, HostName};
use std::collections::BTreeSet;
use std::time::Duration;

/// The plan as a table, with everything that it leaves out.
pub(super) fn plan(setting: Setting<'_>, us: &HostName, scene: &Scene, plan: &Plan, jobs: Option<u16>) {
    let sizes: Vec<(usize, u64)> = plan.moves.iter().map(|m| (m.target, m.memory)).collect();
    let jobs = Queues::new(scene.targets.len(), &sizes, jobs.map(usize::from)).jobs().min(plan.moves.len().max(1));
    let from = |domu: &DomuName| scene.journey(domu).map_or(us, |j| &j.end.host);
    if let Some(events) = setting.events {
        events(&as_event(scene, plan, jobs, &from));
        return;
    }
    let say = |text: &str| setting.world.say(To::Out, text);
    match plan.moves.len() {
        0 => say("The plan: nothing moves."),
        n if !plan.left.is_empty() => say(&format!("What can go, {n} of {} domUs:", n + plan.left.len())),
        1 => say("The plan, for 1 domU:"),
        n => say(&format!(
            "The plan, for {n} domUs, {}:",
            if jobs == 1 { "one after the other".into() } else { format!("{jobs} at once") }
        )),
    }
    let width = |f: &dyn Fn(&Move) -> usize| plan.moves.iter().map(f).max().unwrap_or(0);
    let (names, froms, hosts) =
        (width(&|m| m.domu.as_str().len()), width(&|m| from(&m.domu).as_str().len()), width(&|m| m.to.as_str().len()));
    let unseen = unseen(scene);
    for m in &plan.moves {
        let line = format!("  {:<names$}  {:<froms$} -> {:<hosts$}  {:>6} MiB", m.domu, from(&m.domu), m.to, m.memory);
        let why = m.passed_over.iter().map(|(host, why)| match unseen.iter().any(|(h, _)| *h == host) {
            true => format!("not {host}: not seen"),
            false => format!("not {host}: {why}"),
        });
        let why: Vec<String> = why.collect();
        say(format!("{line}  {}", why.join("; ")).trim_end());
    }
    for (target, count, memory) in plan.loads(scene.targets.len()) {
        let target = &scene.targets[target];
        let free = target.free.map_or("its memory is not counted (--despite memory)".to_string(), |free| {
            format!("{memory} of {free} MiB that are free")
        });
        let count = if count == 1 { "1 domU".to_string() } else { format!("{count} domUs") };
        say(&format!("  {}: {count}, {free}", target.host));
    }
    if !plan.proven {
        say("  (there may be a better plan: the search was cut short)");
    }
    for (domu, why) in scene.apart.iter().chain(&scene.astray) {
        say(&format!("{domu} {why}."));
    }
    scene.stay.iter().for_each(|(_, why)| say(why));
    // What keeps a domU here is told with it; a host that others only passed over is told here.
    let told = |host: &HostName| plan.left.iter().any(|left| left.against.iter().any(|(h, _)| h == host));
    for (_, o) in unseen.iter().filter(|(host, _)| !told(host)) {
        setting.world.say(To::Err, &format!("note: {}; try: {}", one_line(&o.seen), one_line(&o.advice)));
    }
    scene.notes.iter().for_each(|note| setting.world.say(To::Err, &format!("note: {note}")));
}

/// The hosts that could not be looked at, each with the reason.
fn unseen(scene: &Scene) -> Vec<(&HostName, &Objection)> {
    let mut unseen: Vec<(&HostName, &Objection)> = Vec::new();
    for way in scene.journeys.iter().flat_map(|j| &j.ways) {
        if let Some(o) = way.against.iter().find(|o| o.wanted == A_LOOK)
            && !unseen.iter().any(|(host, _)| *host == &way.host)
        {
            unseen.push((&way.host, o));
        }
    }
    unseen
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

fn as_event<'a>(scene: &Scene, plan: &Plan, jobs: usize, from: &dyn Fn(&DomuName) -> &'a HostName) -> Event {
    let moves = plan.moves.iter().map(|m| Planned {
        domu: m.domu.clone(),
        from: from(&m.domu).clone(),
        to: m.to.clone(),
        memory_mib: m.memory,
        passed_over: m.passed_over.iter().map(|(host, why)| format!("{host}: {why}")).collect(),
    });
    let left = plan.left.iter().map(|left| refused(&left.domu, &left.against));
    let apart = scene.apart.iter().chain(&scene.astray).map(|(domu, why)| Apart { domu: domu.clone(), why: why.clone() });
    let stays = scene.stay.iter().map(|(name, why)| Stays { name: name.clone(), why: why.clone() });
    Event::Plan { moves: moves.collect(), left: left.collect(), apart: apart.collect(), stays: stays.collect(), jobs }
}

/// What speaks against a domU, for a machine.
pub(super) fn refused(domu: &DomuName, against: &[(HostName, Vec<Objection>)]) -> Refused {
    let objections = against.iter().flat_map(|(host, list)| {
        list.iter().map(|o| Against {
            host: host.clone(),
            check: o.check.to_string(),
            seen: o.seen.clone(),
            expected: o.wanted.clone(),
            advice: o.advice.clone(),
        })
    });
    Refused { domu: domu.clone(), objections: objections.collect() }
}

/// Every deed of every journey, and its reason.
pub(super) fn deeds(setting: Setting<'_>, scene: &Scene, plan: &Plan) {
    let say = |text: &str| setting.world.say(To::Out, text);
    for m in &plan.moves {
        let Some(journey) = scene.journey(&m.domu) else { continue };
        let Some(way) = journey.ways.iter().find(|w| w.host == m.to) else { continue };
        let Some((far, trip)) = &way.far else { continue };
        say(&format!("{}: {} -> {}", m.domu, journey.end.host, m.to));
        for end in [&journey.end, far] {
            end.replicas.iter().for_each(|r| say(&format!("  seen on {}: {}", end.host, r.in_words())));
        }
        prepare::plan(&journey.end, Some(far), trip).iter().for_each(|step| say(&drive::line(step, &journey.end.host, &m.to)));
    }
    if !plan.moves.is_empty() {
        say("After each both ends are looked at, the roles and options put back, and the record says where it is.");
    }
}

/// Why nothing moves: everything against every domU that cannot go.
pub(super) fn refusal(plan: &Plan) -> Stop {
    let all = plan.moves.len() + plan.left.len();
    let mut text = match (plan.left.len(), all) {
        (1, 1) => format!("{} cannot go; nothing was touched:", plan.left[0].domu),
        (left, all) => format!("{left} of {all} domUs cannot go; nothing was touched (--partial moves the others):"),
    };
    text += &against(&plan.left);
    let unreachable = plan.left.iter().all(|left| exit_of(left) == Exit::Unreachable);
    Stop::new(if unreachable { Exit::Unreachable } else { Exit::Refused }, text)
}

/// The exit code that one alone would have had that cannot go.
pub(super) fn exit_of(left: &Left) -> Exit {
    let unseen = |(_, list): &(HostName, Vec<Objection>)| list.iter().any(|o| o.wanted == A_LOOK);
    match !left.against.is_empty() && left.against.iter().all(unseen) {
        true => Exit::Unreachable,
        false => Exit::Refused,
    }
}

/// Why some stay although the others go.
pub(super) fn left(setting: Setting<'_>, plan: &Plan) {
    if setting.events.is_none() && !plan.left.is_empty() {
        let count = if plan.left.len() == 1 { "1 domU stays".to_string() } else { format!("{} domUs stay", plan.left.len()) };
        setting.world.say(To::Err, &format!("{count}:{}", against(&plan.left)));
    }
}

/// Every objection, each once: with all domUs that it concerns, and with its host, unless it speaks against all hosts of a domU alike.
fn against(left: &[Left]) -> String {
    let mut told: Vec<(Vec<&DomuName>, Option<&HostName>, &Objection)> = Vec::new();
    let mut text = String::new();
    for one in left {
        let everywhere = |seen: &str| one.against.iter().all(|(_, list)| list.iter().any(|o| o.seen == seen));
        for (host, list) in &one.against {
            for o in list {
                let place = (one.against.len() == 1 || !everywhere(&o.seen)).then_some(host);
                match told.iter_mut().find(|(_, h, p)| *h == place && *p == o) {
                    Some((domus, _, _)) if domus.contains(&&one.domu) => {}
                    Some((domus, _, _)) => domus.push(&one.domu),
                    None => told.push((vec![&one.domu], place, o)),
                }
            }
        }
    }
    for (domus, place, o) in told {
        let names: Vec<&str> = domus.iter().map(|domu| domu.as_str()).collect();
        let place = place.map_or_else(String::new, |host| format!(" ({host})"));
        let (names, check) = (names.join(", "), o.check);
        text += &format!("\n  {names}{place}: {check}: {}\n      expected: {}\n      try: {}", o.seen, o.wanted, o.advice);
    }
    for one in left.iter().filter(|one| one.against.is_empty()) {
        text += &format!("\n  {}: every way was tried", one.domu);
    }
    text
}

/// What is left over goes another way, and what came meanwhile goes on.
pub(super) fn another_way(setting: Setting<'_>, plan: &Plan, tried: &BTreeSet<(DomuName, HostName)>) {
    for m in &plan.moves {
        let text = match tried.iter().any(|(domu, _)| domu == &m.domu) {
            true => format!("{}: there is another way for it: {}", m.domu, m.to),
            false => format!("{}: it came in meanwhile, and goes on to {}", m.domu, m.to),
        };
        setting.world.say(To::Err, &text);
    }
}

/// Tells how far it is, in the manner of whoever reads.
pub(super) struct Telling<'a> {
    setting: Setting<'a>,
    all: usize,
    done: usize,
    began: Duration,
    /// What each worker has said so far, and how far it is.
    workers: Vec<Worker>,
    moved: u64,
    board: Option<Board>,
}

struct Worker {
    domu: DomuName,
    said: Vec<(To, String)>,
    memory: u64,
    sent: u64,
    began: Duration,
}

impl<'a> Telling<'a> {
    pub(super) fn new(setting: Setting<'a>, all: usize) -> Telling<'a> {
        let board = (setting.around.drawing && setting.events.is_none()).then(Board::default);
        Telling { setting, all, done: 0, began: setting.world.clock(), workers: vec![], moved: 0, board }
    }

    pub(super) fn more(&mut self, count: usize) {
        self.all += count;
    }

    pub(super) fn begin(&mut self, this: &Move, from: Option<&HostName>) {
        let from = from.map_or_else(|| "?".to_string(), HostName::to_string);
        if let (Some(events), Ok(from)) = (self.setting.events, from.parse()) {
            events(&Event::Begin { domu: this.domu.clone(), from, to: this.to.clone() });
        } else {
            self.say(To::Err, &format!("{}: {from} -> {}", this.domu, this.to));
        }
        let began = self.setting.world.clock();
        self.workers.push(Worker { domu: this.domu.clone(), said: vec![], memory: this.memory << 20, sent: 0, began });
        self.draw();
    }

    pub(super) fn line(&mut self, this: &Move, to: To, line: &str) {
        let event = match Heard::of_line(line) {
            Some(Heard::Frame) => return,
            Some(Heard::Tale(event)) => Some(self.as_progress(this, event)),
            None => None,
        };
        if let Some(events) = self.setting.events {
            let said = || {
                let to = if to == To::Out { "out" } else { "err" };
                Event::Said { domu: Some(this.domu.clone()), to: to.to_string(), text: line.to_string() }
            };
            return events(&event.unwrap_or_else(said));
        }
        let Some(worker) = self.workers.iter_mut().find(|w| w.domu == this.domu) else { return };
        match event {
            Some(Event::Progress { sent_bytes, memory_bytes, .. }) => {
                (worker.sent, worker.memory) = (sent_bytes, memory_bytes);
                self.draw();
            }
            Some(Event::Handed { .. }) => {
                worker.sent = worker.sent.max(worker.memory);
                self.draw();
            }
            Some(Event::Said { to, text, .. }) => worker.said.push((if to == "out" { To::Out } else { To::Err }, text)),
            Some(_) => {}
            // Not one of our own words: something went badly wrong.
            None => worker.said.push((to, line.to_string())),
        }
    }

    /// How far it is, where another Dom0 does the sending: what that one says is a line for a person.
    fn as_progress(&self, this: &Move, event: Event) -> Event {
        let Event::Said { text, .. } = &event else { return event };
        let Some((sent_bytes, memory_bytes)) = progress(text, &this.domu) else { return event };
        let began = self.workers.iter().find(|w| w.domu == this.domu).map_or(self.began, |w| w.began);
        let seconds = self.setting.world.clock().saturating_sub(began).as_secs_f64();
        Event::Progress { domu: this.domu.clone(), sent_bytes, memory_bytes, seconds }
    }

    pub(super) fn ended(&mut self, this: &Move, exit: Exit, by_itself: bool) {
        self.done += 1;
        if let Some(events) = self.setting.events {
            return events(&Event::End { domu: this.domu.clone(), to: this.to.clone(), exit: exit.code() });
        }
        let Some(at) = self.workers.iter().position(|w| w.domu == this.domu) else { return };
        let worker = self.workers.remove(at);
        let count = format!("[{}/{}]", self.done, self.all);
        if exit == Exit::Done {
            self.moved += this.memory;
            for (_, line) in worker.said.iter().filter(|(to, line)| *to == To::Err && line.starts_with("note: overruled")) {
                self.say(To::Err, &format!("{}: {line}", this.domu));
            }
            let last = worker.said.iter().rev().find(|(to, _)| *to == To::Out).map(|(_, line)| line.as_str());
            self.say(To::Out, &format!("{count} {}", last.unwrap_or("done")));
        } else {
            worker.said.iter().for_each(|(to, line)| self.say(*to, line));
            let how = if by_itself { format!("exit {}", exit.code()) } else { "it was killed".to_string() };
            let next = if by_itself { String::new() } else { format!("; xen-migrate recover {}", this.domu) };
            self.say(To::Err, &format!("{count} {}: {how}{next}", this.domu));
        }
        self.whole();
        self.draw();
    }

    /// Nothing more comes for now, and others speak.
    pub(super) fn over(&self) {
        self.raw(self.erased());
    }

    /// How far the whole is: where nothing is drawn, after each domU.
    fn whole(&self) {
        let seconds = self.setting.world.clock().saturating_sub(self.began).as_secs_f64().max(0.001);
        if self.board.is_some() || self.moved == 0 || self.done >= self.all {
            return;
        }
        let rate = self.moved as f64 / seconds;
        let share = self.moved as f64 / self.done as f64;
        let left = (self.all - self.done) as f64 * share / rate.max(0.001);
        self.say(To::Err, &format!("  so far {} MiB, {rate:.1} MiB/s, about {left:.0} s left for the others", self.moved));
    }

    fn say(&self, to: To, text: &str) {
        // What was drawn gives way to the line, and is drawn again below it.
        self.raw(self.erased());
        self.setting.world.say(to, text);
    }

    /// What takes the bars away.
    fn erased(&self) -> String {
        self.board.as_ref().map(|board| board.clear(self.setting.world.window())).unwrap_or_default()
    }

    fn raw(&self, text: String) {
        if !text.is_empty() {
            self.setting.world.say(To::Err, &text);
        }
    }

    fn draw(&self) {
        let Some(board) = &self.board else { return };
        let words = |english: &str| self.setting.world.tongue().say(english).into_owned();
        let now = self.setting.world.clock();
        let seconds = |since: Duration| now.saturating_sub(since).as_secs_f64();
        let mut bars: Vec<Bar> = self
            .workers
            .iter()
            .map(|w| Bar { name: w.domu.to_string(), sent: w.sent, all: w.memory, seconds: seconds(w.began) })
            .collect();
        let under_way: u64 = self.workers.iter().map(|w| w.sent.min(w.memory)).sum();
        let known: u64 = (self.moved << 20) + self.workers.iter().map(|w| w.memory).sum::<u64>();
        let seen = (self.done + self.workers.len()).max(1) as u64;
        let all = known / seen * self.all as u64;
        bars.push(Bar {
            name: words(&format!("{} of {}", self.done, self.all)),
            sent: (self.moved << 20) + under_way,
            all,
            seconds: seconds(self.began),
        });
        let text = board.draw(&bars, self.setting.world.window(), &words);
        self.raw(text);
    }
}

/// `  web: 30 % of 512 MiB, …`: bytes so far, and in all.
fn progress(text: &str, domu: &DomuName) -> Option<(u64, u64)> {
    let rest = text.trim_start().strip_prefix(domu.as_str())?.strip_prefix(": ")?;
    let (percent, rest) = rest.split_once(" % of ")?;
    let (mib, _) = rest.split_once(" MiB")?;
    let (percent, mib) = (percent.parse::<u64>().ok().filter(|p| *p <= 100)?, mib.parse::<u64>().ok().filter(|m| *m < 1 << 40)?);
    Some(((mib << 20) / 100 * percent, mib << 20))
}

/// What is where at the end. `here`: what runs on a Dom0 that was to be empty; that is the last word.
pub(super) fn summary(setting: Setting<'_>, verb: &str, after: &Ground, outcome: &Outcome, here: &[Here]) {
    if setting.events.is_some() {
        return;
    }
    let say = |to, text: &str| setting.world.say(to, text);
    let well = outcome.ends.iter().filter(|(_, exit)| *exit == Exit::Done).count();
    let all = outcome.ends.len() + outcome.not_begun.len();
    let done = if verb == "migrate" { format!("went from {}", after.host) } else { format!("came back to {}", after.host) };
    if all == 0 {
        if here.is_empty() {
            say(To::Out, "There was nothing to move.");
        }
    } else if well == all && !here.is_empty() {
        say(To::Out, &if all == 1 { format!("1 domU {done}.") } else { format!("{all} domUs {done}.") });
    } else if well == all {
        say(To::Out, &if all == 1 { format!("1 domU {done}.") } else { format!("All {all} domUs {done}.") });
    } else {
        say(To::Out, &format!("{well} of {all} domUs {done}."));
    }
    let place = |domu: &DomuName| match after.domains.iter().find(|d| d.name == domu.as_str()) {
        Some(domain) if domain.state.executes() => format!("it runs on {}", after.host),
        Some(domain) => format!("it is {} on {}", domain.state.in_words(), after.host),
        None => match after.record.row(domu) {
            Some(row) => row.in_words(),
            None => format!("it is not on {}, and the record says nothing", after.host),
        },
    };
    for (domu, exit) in outcome.ends.iter().filter(|(_, exit)| *exit != Exit::Done) {
        let next = if *exit == Exit::Undecided { format!("; xen-migrate recover {domu}") } else { String::new() };
        say(To::Out, &format!("  {domu}: {}{next}", place(domu)));
    }
    for domu in &outcome.not_begun {
        say(To::Out, &format!("  {domu}: not begun; {}", place(domu)));
    }
    let (coming, staying): (Vec<&Here>, Vec<&Here>) = here.iter().partition(|here| here.comes);
    let names = |list: &[&Here]| list.iter().map(|here| here.in_words()).collect::<Vec<_>>().join(", ");
    match coming.len() {
        0 => {}
        1 => say(To::Out, &format!("1 domU is just coming in: {}", names(&coming))),
        n => say(To::Out, &format!("{n} domUs are just coming in: {}", names(&coming))),
    }
    match staying.len() {
        0 => {}
        1 => say(To::Out, &format!("1 domU still runs here: {}", names(&staying))),
        n => say(To::Out, &format!("{n} domUs still run here: {}", names(&staying))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_another_dom0_is_stands_in_its_lines() {
        let web = "web".parse().unwrap();
        assert_eq!(
            progress("  web: 50 % of 512 MiB, 9.8 MiB/s, about 27 s left", &web),
            Some(((512 << 20) / 100 * 50, 512 << 20))
        );
        for other in
            ["  mail: 50 % of 512 MiB, x", "  web: it is 50 % of 512 MiB", "  web: 200 % of 1 MiB", "web runs on dom0-beta.", ""]
        {
            assert_eq!(progress(other, &web), None, "{other}");
        }
    }
}
