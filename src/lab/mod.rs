//! A pretend fleet of Dom0s: domUs, DRBD, links, processes and clocks as one model in which nothing is left to chance.
//!
//! It stands in for the world at the level of programs: [`World::run`](crate::adapters::World::run) gets `xl list` or
//! `drbdadm primary r0` and answers with the text, the errors and the exit code of the real ones, so that every scene
//! exercises the real argument lists and the real parsers. No thread, no real time, no dice but the seed's.
//!
//! ```no_run
//! use xen_drbd::core::drbd::Generation;
//! use xen_drbd::core::xen::Toolstack;
//! use xen_drbd::lab::{Deed, DiskForm, Lab, Stage, When};
//!
//! let lab = Lab::pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
//! lab.inject(When::Stage("web".into(), Stage::Suspended), Deed::PowerOff("dom0-beta".into()));
//! let ran = lab.run("dom0-alpha", &["xen-migrate", "migrate", "web"]);
//! assert!(lab.findings().is_empty(), "{}", lab.journal());
//! assert_eq!(lab.runs_on("web"), ["dom0-alpha"]);
//! # let _ = ran;
//! ```
//!
//! Things that happen are numbered ([`Ran::events`]); [`Lab::inject`] puts a [`Deed`] at any of them. A killed process is
//! a panic with a payload of its own that ends at that process's boundary, so that nothing of it runs afterwards.
//! A deed may itself run a command ([`Deed::Run`]): that is how two operators, or a daemon and an operator, meet.

mod asks;
mod background;
pub mod faults;
pub mod folder;
pub mod invariants;
pub mod model;
mod presets;
pub mod programs;
#[cfg(test)]
mod tests;
mod world;

pub use faults::{Deed, Phase, Planned, When};
pub use invariants::{Finding, Kind};
pub use model::xen::Stage;
pub use model::{Fleet, Millis, Pid, Quirk, Version};
pub use presets::DiskForm;
pub use world::LabWorld;

use crate::adapters::World;
use crate::applets::Surroundings;
use crate::tongue::Tongue;
use faults::Moment;
use model::Stdin;
use model::xen::Life;
use programs::{Ctx, Printed};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// Stands in no executable that is installed; `tests/house.rs` looks for it there.
pub const MARK: &str = "pretend fleet 7d1f";

/// What runs our own tools in a world: `crate::applets::run`, or a stand-in.
pub type Applets = dyn Fn(&dyn World, &[String], &Surroundings) -> i32;

/// The fleet, what is planned for it, and what was run in it.
pub struct Lab {
    fleet: Rc<RefCell<Fleet>>,
    plan: RefCell<Vec<Planned>>,
    applets: RefCell<Rc<Applets>>,
    ran: RefCell<Vec<Ran>>,
    depth: Cell<u32>,
    /// What each migration's xl has printed, and whether that goes to a file of its own.
    lines: RefCell<BTreeMap<usize, Lines>>,
    /// Where the programs are processes of the real system.
    outside: RefCell<Option<Rc<dyn Outside>>>,
    /// The language of whoever types the commands.
    tongue: RefCell<Rc<Tongue>>,
    /// Who waits in the background.
    background: RefCell<Vec<background::Background>>,
}

/// What is different where the programs are real processes and the model is kept in a folder ([`folder`]).
pub(crate) trait Outside {
    /// A stage of a migration is over: others may look at the model, and what happened to the real processes is seen.
    fn between(&self, lab: &Lab, guest: &str, stage: Stage);
    /// The process on whose behalf the model was asked no longer exists: nothing of this program happens any more.
    fn gone(&self, lab: &Lab) -> !;
    /// Runs the transport of a migration as a program, and plays both ends meanwhile.
    fn transport(&self, lab: &Lab, id: usize, command: &str) -> Printed;
    /// A line on standard error.
    fn line(&self, line: &str);
}

/// What a migration's xl has printed, and the host and path of the file that it goes to.
type Lines = (String, Option<(String, String)>);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Where it ran.
    pub host: String,
    /// Its command line.
    pub command: String,
    /// Its exit code; 137 when it was killed, 127 when there is no such program.
    pub code: i32,
    /// It was killed.
    pub killed: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The numbers of its first event and of the one after its last.
    pub events: std::ops::Range<u64>,
}

/// The payload of the panic that ends a killed process.
pub(crate) struct Killed(pub Pid);

impl Lab {
    /// An empty fleet.
    pub fn new(seed: u64) -> Lab {
        Lab::from_fleet(Fleet::new(seed))
    }

    /// A fleet that was kept somewhere.
    pub fn from_fleet(fleet: Fleet) -> Lab {
        Lab {
            fleet: Rc::new(RefCell::new(fleet)),
            plan: RefCell::new(Vec::new()),
            applets: RefCell::new(Rc::new(|world, argv, around| crate::applets::run(world, argv, around))),
            ran: RefCell::new(Vec::new()),
            depth: Cell::new(0),
            lines: RefCell::default(),
            outside: RefCell::default(),
            tongue: RefCell::default(),
            background: RefCell::default(),
        }
    }

    /// Puts something else in the place of our tools, for tests of the lab itself.
    pub fn set_applets(&self, applets: impl Fn(&dyn World, &[String], &Surroundings) -> i32 + 'static) {
        *self.applets.borrow_mut() = Rc::new(applets);
    }

    /// Changes the fleet directly.
    pub fn with<T>(&self, f: impl FnOnce(&mut Fleet) -> T) -> T {
        f(&mut self.fleet.borrow_mut())
    }

    /// From now on whoever types commands reads this language. What one Dom0 says to another stays English.
    pub fn speak(&self, tongue: Tongue) {
        *self.tongue.borrow_mut() = Rc::new(tongue);
    }

    /// A person runs a command on a host: one of our tools, or a program of the host.
    pub fn run(&self, host: &str, argv: &[&str]) -> Ran {
        self.run_until(host, argv, None)
    }

    /// The same; after so many milliseconds the command gets SIGTERM. For what waits: a daemon in the foreground, `--wait`.
    pub fn run_for(&self, host: &str, argv: &[&str], time: Millis) -> Ran {
        let until = self.clock() + time;
        self.run_until(host, argv, Some(until))
    }

    fn run_until(&self, host: &str, argv: &[&str], stop_at: Option<Millis>) -> Ran {
        let argv: Vec<String> = argv.iter().map(|a| (*a).to_string()).collect();
        let command = argv.join(" ");
        let first = self.with(|f| f.events + 1);
        if !self.with(|f| f.host(host).powered) {
            let events = first..first;
            return Ran {
                host: host.into(),
                command,
                code: 255,
                killed: false,
                out: String::new(),
                err: format!("{host} is off\n"),
                events,
            };
        }
        assert!(self.depth.get() < 8, "commands within commands within commands: {command}");
        self.depth.set(self.depth.get() + 1);
        let pid = self.with(|f| {
            f.log(format!("{host}# {command}"));
            let pid = f.start_process(host, &command, Stdin::Closed, None);
            if let Some(process) = f.host_mut(host).process_mut(pid) {
                process.stop_at = stop_at;
            }
            pid
        });
        let world = LabWorld::new(self, host, pid).speaking(Rc::clone(&self.tongue.borrow()));
        let ended = self.boundary(pid, || self.exec(&world, &argv, &Surroundings::default()));
        let (out, err) = world.taken();
        drop(world);
        self.with(|f| {
            f.end_process(host, pid);
            f.check();
        });
        self.depth.set(self.depth.get() - 1);
        let (code, killed) = match ended {
            Some(printed) => (printed.code, false),
            None => (137, true),
        };
        self.with(|f| {
            f.log(format!("{host}# {command} → {}", if killed { "killed".to_string() } else { format!("exit {code}") }))
        });
        let events = first..self.with(|f| f.events + 1);
        Ran { host: host.into(), command, code, killed, out, err, events }
    }

    /// A worker of one of our tools: a process of its own on the same host, which hears the same requests to stop. No code: it was killed.
    pub(crate) fn run_worker(&self, host: &str, parent: Pid, argv: &[String]) -> (Printed, Option<i32>) {
        let pid = self.with(|f| {
            let (stopping, stop_at) = f.host(host).process(parent).map_or((false, None), |p| (p.stopping, p.stop_at));
            let pid = f.start_process(host, &argv.join(" "), Stdin::Closed, None);
            if let Some(process) = f.host_mut(host).process_mut(pid) {
                (process.stopping, process.stop_at) = (stopping, stop_at);
            }
            pid
        });
        let world = LabWorld::new(self, host, pid);
        let ended = self.boundary(pid, || self.exec(&world, argv, &Surroundings::default()));
        let (out, err) = world.taken();
        drop(world);
        self.with(|f| {
            f.end_process(host, pid);
            f.check();
        });
        (Printed { out, err, ..Printed::default() }, ended.map(|printed| printed.code))
    }

    /// Runs one of our tools or a program as a process of its own; what it prints goes to the world's captured output.
    pub(crate) fn exec(&self, world: &LabWorld<'_>, argv: &[String], around: &Surroundings) -> Printed {
        let name = argv.first().map_or("", |a| a.rsplit('/').next().unwrap_or(a));
        if matches!(name, "xen-migrate" | "xen-drbd-auto" | "migrate2" | "xen-drbd") {
            let applets = Rc::clone(&self.applets.borrow());
            return Printed { code: applets(world, argv, around), ..Printed::default() };
        }
        let ctx = Ctx { upstream: world.upstream(), ..Ctx::new(self, world.host(), world.pid(), world.stream()) };
        let printed = programs::run(&ctx, argv).unwrap_or_else(|| Printed::fail(127, format!("sh: 1: {name}: not found\n")));
        world.capture(&printed);
        printed
    }

    /// Where a process ends: its own death comes no further than this.
    pub(crate) fn boundary<T>(&self, pid: Pid, body: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(value) => Some(value),
            Err(payload) => match payload.downcast::<Killed>() {
                Ok(killed) if killed.0 == pid => None,
                Ok(killed) => resume_unwind(killed),
                Err(other) => resume_unwind(other),
            },
        }
    }

    /// Plans a deed for a moment. Each is done once.
    pub fn inject(&self, when: When, deed: Deed) {
        self.plan.borrow_mut().push(Planned { when, deed });
    }

    /// Plans a deed for so many milliseconds from now.
    pub fn inject_in(&self, time: Millis, deed: Deed) {
        self.inject(When::At(self.clock() + time), deed);
    }

    /// What is still planned.
    pub fn planned(&self) -> usize {
        self.plan.borrow().len()
    }

    /// Lets time pass in the whole fleet.
    pub fn pass(&self, time: Millis) {
        if self.depth.get() > 0 || !self.has_background() {
            return self.only_pass(time);
        }
        // In pieces, so that whoever waits in the background has his turn in time.
        let until = self.clock() + time;
        self.tend();
        while self.clock() < until {
            self.only_pass((until - self.clock()).min(1000));
            self.tend();
        }
    }

    fn only_pass(&self, time: Millis) {
        let until = self.clock() + time;
        while let Some((at, deed)) = self.next_timed(until) {
            let now = self.clock();
            self.with(|f| f.pass(at.saturating_sub(now)));
            self.perform(&deed, None);
            self.with(Fleet::check);
        }
        let now = self.clock();
        self.with(|f| {
            f.pass(until.saturating_sub(now));
            f.check();
        });
    }

    fn next_timed(&self, until: Millis) -> Option<(Millis, Deed)> {
        let mut plan = self.plan.borrow_mut();
        let (index, at) = plan
            .iter()
            .enumerate()
            .filter_map(|(i, p)| match p.when {
                When::At(t) if t <= until => Some((i, t)),
                _ => None,
            })
            .min_by_key(|(_, t)| *t)?;
        Some((at, plan.remove(index).deed))
    }

    /// Begins an event: numbers it, lets what is planned happen, and ends the caller where that killed it.
    pub(crate) fn begin(&self, host: &str, pid: Pid, what: &str) -> u64 {
        let number = self.with(|f| {
            f.events += 1;
            f.log(format!("{host}[{pid}] {what}"));
            f.events
        });
        self.strike(&Moment { number, host, what, stage: None, phase: Phase::Before }, pid);
        self.survive(host, pid);
        number
    }

    /// Ends an event.
    pub(crate) fn finish(&self, number: u64, host: &str, pid: Pid, what: &str) {
        self.with(Fleet::check);
        self.strike(&Moment { number, host, what, stage: None, phase: Phase::After }, pid);
        self.survive(host, pid);
    }

    /// A stage of a migration: an event of the process that watches it.
    pub(crate) fn stage(&self, host: &str, pid: Pid, guest: &str, stage: Stage) {
        let what = format!("migration of {guest}: {stage:?}");
        let number = self.with(|f| {
            f.events += 1;
            f.log(format!("{host}[{pid}] {what}"));
            f.events
        });
        for phase in [Phase::Before, Phase::After] {
            self.strike(&Moment { number, host, what: &what, stage: Some((guest, stage)), phase }, pid);
        }
        self.with(Fleet::check);
        if let Some(outside) = self.outside() {
            outside.between(self, guest, stage);
        }
    }

    fn strike(&self, now: &Moment<'_>, pid: Pid) {
        let mut due = Vec::new();
        self.plan.borrow_mut().retain_mut(|planned| {
            let hit = planned.is_due(now);
            if hit {
                due.push(planned.deed.clone());
            }
            !hit
        });
        for deed in due {
            self.perform(&deed, Some((now.host, pid)));
        }
    }

    /// Ends the calling process where it no longer exists.
    pub(crate) fn survive(&self, host: &str, pid: Pid) {
        if !self.with(|f| f.is_alive(host, pid)) {
            if let Some(outside) = self.outside() {
                outside.gone(self);
            }
            resume_unwind(Box::new(Killed(pid)));
        }
    }

    /// Does a deed now.
    pub fn perform(&self, deed: &Deed, caller: Option<(&str, Pid)>) {
        self.with(|f| f.log(format!("** {deed}")));
        let now = self.clock();
        let until = |time: &Option<Millis>| time.map(|t| now + t);
        match deed {
            Deed::KillCaller => {
                if let Some((host, pid)) = caller {
                    self.kill(host, pid);
                }
            }
            Deed::KillTools(host) => self.tools(host).into_iter().for_each(|pid| self.kill(host, pid)),
            Deed::Terminate(host) | Deed::Interrupt(host) => self.tools(host).into_iter().for_each(|pid| {
                let interrupted = matches!(deed, Deed::Interrupt(_));
                self.with(|f| {
                    if let Some(process) = f.host_mut(host).process_mut(pid) {
                        process.stopping = true;
                        process.interrupted = interrupted;
                    }
                });
            }),
            Deed::KillSender(guest) => self.migration(guest, |m| m.sender_gone = true),
            Deed::KillReceiver(guest) => self.migration(guest, |m| m.target_gone = true),
            Deed::EndTransport(guest) => self.migration(guest, |m| m.transport_ended = true),
            Deed::PowerOff(host) => self.with(|f| f.power_off(host)),
            Deed::Boot(host) => self.with(|f| f.boot(host)),
            Deed::Write(host, path, text) => self.put(host, path, text),
            Deed::Cut(a, b, time) => self.with(|f| f.cut(a, b, true, true, until(time))),
            Deed::CutDrbd(a, b, time) => self.with(|f| f.cut(a, b, true, false, until(time))),
            Deed::CutSsh(a, b, time) => self.with(|f| f.cut(a, b, false, true, until(time))),
            Deed::Mend(a, b) => self.with(|f| f.mend(a, b)),
            Deed::Run(host, argv) => {
                let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                let ran = self.run(host, &argv);
                self.ran.borrow_mut().push(ran);
            }
            Deed::Arm(quirk) => self.with(|f| f.quirks.push(quirk.clone())),
            Deed::Disarm(quirk) => self.with(|f| f.quirks.retain(|q| q != quirk)),
            Deed::GuestReboots(guest) => self.with(|f| f.reboot_guest(guest)),
            Deed::GuestEnds(guest, letter) => self.with(|f| {
                for host in f.hosts.values_mut() {
                    for domain in host.domains.iter_mut().filter(|d| &d.guest == guest && d.executes()) {
                        domain.life = Life::Shutdown(*letter);
                    }
                }
            }),
        }
    }

    fn kill(&self, host: &str, pid: Pid) {
        self.with(|f| {
            f.log(format!("{host}[{pid}] killed"));
            f.end_process(host, pid);
        });
    }

    fn tools(&self, host: &str) -> Vec<Pid> {
        let ours = |command: &str| {
            let program = command.split(' ').next().unwrap_or(command);
            matches!(program.rsplit('/').next(), Some("xen-migrate" | "migrate2" | "xen-drbd-auto" | "xen-drbd"))
        };
        self.with(|f| f.host(host).processes.iter().filter(|p| p.alive && ours(&p.command)).map(|p| p.pid).collect())
    }

    fn migration(&self, guest: &str, change: impl FnOnce(&mut model::xen::Migration)) {
        self.with(|f| {
            if let Some(m) = f.migrations.iter_mut().rev().find(|m| m.guest == guest && m.is_running()) {
                change(m);
            }
        });
    }

    /// A migration begins to print: into a file of its own, or to whoever called it.
    pub(crate) fn open_lines(&self, id: usize, host: &str, log: Option<&str>) {
        let log = log.map(|path| (host.to_string(), path.to_string()));
        self.lines.borrow_mut().insert(id, (String::new(), log));
    }

    /// A migration prints a line.
    pub(crate) fn add_line(&self, id: usize, line: &str) {
        if let Some(outside) = self.outside() {
            outside.line(line);
            return;
        }
        let mut lines = self.lines.borrow_mut();
        let (text, log) = lines.entry(id).or_default();
        text.push_str(line);
        text.push('\n');
        if let Some((host, path)) = log {
            self.write(host, path, text);
        }
    }

    /// What a migration printed so far, taken out.
    pub(crate) fn taken_lines(&self, id: usize) -> String {
        self.lines.borrow_mut().get_mut(&id).map(|(text, _)| std::mem::take(text)).unwrap_or_default()
    }

    /// Whether a migration's messages go to a file.
    pub(crate) fn has_log(&self, id: usize) -> bool {
        self.lines.borrow().get(&id).is_some_and(|(_, log)| log.is_some())
    }

    /// A program writes a file of its host.
    pub(crate) fn write(&self, host: &str, path: &str, text: &str) {
        self.with(|f| {
            let _ = f.host_mut(host).files.write(path, text.as_bytes(), 0o600);
        });
    }

    pub(crate) fn outside(&self) -> Option<Rc<dyn Outside>> {
        self.outside.borrow().clone()
    }

    /// From now on the programs are real processes. `None` ends that.
    pub(crate) fn set_outside(&self, outside: Option<Rc<dyn Outside>>) {
        *self.outside.borrow_mut() = outside;
    }

    /// Nothing is planned any more.
    pub fn clear_plan(&self) {
        self.plan.borrow_mut().clear();
    }

    /// What is planned, all of it.
    pub fn plan(&self) -> Vec<Planned> {
        self.plan.borrow().clone()
    }

    /// Puts the state that was kept somewhere in the place of this one.
    pub(crate) fn restore(&self, fleet: Fleet, plan: Vec<Planned>) {
        *self.fleet.borrow_mut() = fleet;
        *self.plan.borrow_mut() = plan;
    }

    pub(crate) fn shared(&self) -> Rc<RefCell<Fleet>> {
        Rc::clone(&self.fleet)
    }
}
