//! The trait [`World`] for one process on one pretend host.

use super::model::{Fleet, Lock, Millis, Pid, Quirk};
use super::programs::{self, Ctx, Printed, Relaying, Watching};
use super::{Killed, Lab};
use crate::adapters::{
    Access, Call, CallError, Ended, Flow, Halt, Held, Holder, Input, LockError, Nap, Output, Shift, Sign, Summons, To, Woken,
    World,
};
use crate::tongue::Tongue;
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// When the story begins, in seconds since 1970: 2026-01-01 00:00:00 UTC.
const BEGINNING: u64 = 1_767_225_600;

/// How long a call that never answers is waited for where nobody set a limit.
const FOR_EVER: Millis = 7_200_000;

/// The world as one process on one host has it.
pub struct LabWorld<'a> {
    lab: &'a Lab,
    host: String,
    pid: Pid,
    /// The migration whose stream this process has as standard input and output.
    stream: Option<usize>,
    /// Who watches at the other end of our ssh connection.
    upstream: Option<&'a dyn Watching>,
    /// Who reads our standard error line by line at the other end of our ssh connection.
    reader: Option<&'a dyn Watching>,
    out: RefCell<String>,
    err: RefCell<String>,
    /// The language of whoever reads those two.
    tongue: Rc<Tongue>,
}

impl<'a> LabWorld<'a> {
    /// The world of a process that was just started.
    pub(crate) fn new(lab: &'a Lab, host: &str, pid: Pid) -> LabWorld<'a> {
        LabWorld {
            lab,
            host: host.to_string(),
            pid,
            stream: None,
            upstream: None,
            reader: None,
            out: RefCell::default(),
            err: RefCell::default(),
            tongue: Rc::default(),
        }
    }

    /// The same for a process that a person has started.
    pub(crate) fn speaking(mut self, tongue: Rc<Tongue>) -> LabWorld<'a> {
        self.tongue = tongue;
        self
    }

    /// The same for a process whose standard input and output lead to a migration.
    pub(crate) fn on_stream(mut self, stream: Option<usize>, upstream: Option<&'a dyn Watching>) -> LabWorld<'a> {
        self.stream = stream;
        self.upstream = upstream;
        self
    }

    /// The same for a process whose standard error somebody watches.
    pub(crate) fn read_by(mut self, reader: Option<&'a dyn Watching>) -> LabWorld<'a> {
        self.reader = reader;
        self
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn stream(&self) -> Option<usize> {
        self.stream
    }

    pub(crate) fn upstream(&self) -> Option<&'a dyn Watching> {
        self.upstream
    }

    /// What was printed, both streams.
    pub(crate) fn taken(&self) -> (String, String) {
        (self.out.take(), self.err.take())
    }

    /// A child of ours printed this onto our own output.
    pub(crate) fn capture(&self, printed: &Printed) {
        if self.heard() {
            self.out.borrow_mut().push_str(&printed.out);
            self.err.borrow_mut().push_str(&printed.err);
        }
    }

    /// Whoever reads our output is still there.
    fn heard(&self) -> bool {
        self.lab.with(|f| {
            let client = f.host(&self.host).process(self.pid).and_then(|p| p.client.clone());
            client.is_none_or(|c| f.ssh_path(&c, &self.host))
        })
    }

    fn call(&self, call: &Call, watcher: &Watcher<'_>, watched: bool, relay: Option<&dyn Relaying>) -> Result<Output, CallError> {
        let what = format!("run {call}");
        let number = self.lab.begin(&self.host, self.pid, &what);
        let began = self.lab.clock();
        self.lab.pass(100);
        self.lab.survive(&self.host, self.pid);
        let command = std::iter::once(&call.program).chain(&call.args).cloned().collect::<Vec<_>>();
        let printed = match self.lab.with(|f| f.take_quirk(&self.host, &command.join(" "))) {
            Some(Quirk::Instead { code, out, err, .. }) => Some(Printed { code, out, err, signal: None }),
            Some(_) => {
                let limit = call.limit.map_or(FOR_EVER, |l| l.as_millis() as Millis);
                let mut waited = 0;
                while waited < limit && !watcher.is_stopped() {
                    self.lab.pass(1000);
                    self.lab.survive(&self.host, self.pid);
                    waited += 1000;
                    watcher.tick();
                }
                self.lab.finish(number, &self.host, self.pid, &what);
                if watched {
                    // It has no transport: SIGTERM ends it.
                    return Ok(Output { ended: Ended::Signal(15), stdout: String::new(), stderr: String::new() });
                }
                return Err(timed_out(call, call.limit.unwrap_or(Duration::from_millis(FOR_EVER)), ""));
            }
            None => {
                let inherited = call.stdin == Input::Inherited;
                let ctx = Ctx {
                    lab: self.lab,
                    host: &self.host,
                    caller: self.pid,
                    stream: if inherited { self.stream } else { None },
                    watch: Some(watcher),
                    upstream: self.upstream,
                    relay,
                    keeps_lock: call.keeps_lock.as_deref(),
                    log: call.log.as_deref(),
                    input: match &call.stdin {
                        Input::Text(text) => text,
                        _ => "",
                    },
                };
                programs::run(&ctx, &command)
            }
        };
        let printed = printed.map(|mut printed| {
            if let Some(log) = &call.log {
                // Both outputs go to the file, which is the answer.
                printed.err = std::mem::take(&mut printed.out) + &printed.err;
                self.lab.write(&self.host, log, &printed.err);
            }
            printed
        });
        self.lab.finish(number, &self.host, self.pid, &what);
        let Some(printed) = printed else {
            return Err(CallError::NotFound(call.program.clone()));
        };
        let took = self.lab.clock() - began;
        if let Some(limit) = call.limit.filter(|l| !watched && (l.as_millis() as Millis) < took) {
            return Err(timed_out(call, limit, &printed.err));
        }
        let ended = printed.signal.map_or(Ended::Exit(printed.code), Ended::Signal);
        if call.stdin == Input::Inherited {
            self.capture(&printed);
            return Ok(Output { ended, stdout: String::new(), stderr: String::new() });
        }
        Ok(Output { ended, stdout: printed.out, stderr: printed.err })
    }

    fn watcher<'w>(&self, call: &Call, seen: &'w mut dyn FnMut(Sign<'_>) -> Flow) -> Watcher<'w> {
        Watcher {
            fleet: self.lab.shared(),
            host: self.host.clone(),
            pid: self.pid,
            seen: RefCell::new(seen),
            limit: call.limit,
            quiet_limit: call.quiet_limit,
            began: self.lab.clock(),
            last_sign: Cell::new(self.lab.clock()),
            stopped: Cell::new(false),
        }
    }
}

fn timed_out(call: &Call, limit: Duration, said: &str) -> CallError {
    CallError::TimedOut { call: call.to_string(), limit, said: said.to_string() }
}

impl World for LabWorld<'_> {
    fn run(&self, call: &Call) -> Result<Output, CallError> {
        let mut nobody = |_: Sign<'_>| Flow::On;
        let watcher = self.watcher(call, &mut nobody);
        self.call(call, &watcher, false, None)
    }

    /// One after the other, for nothing here is left to chance; the journal says how many were begun together.
    fn run_all(&self, calls: &[Call], most: usize) -> Vec<Result<Output, CallError>> {
        if calls.is_empty() {
            return vec![];
        }
        let together: Vec<&str> = calls.iter().take(most).map(|call| call.program.as_str()).collect();
        self.lab.with(|f| f.log(format!("{}[{}] {} at once: {}", self.host, self.pid, together.len(), together.join(", "))));
        calls.iter().map(|call| self.run(call)).collect()
    }

    fn watch(&self, call: &Call, seen: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
        let watcher = self.watcher(call, seen);
        self.call(call, &watcher, true, None)
    }

    fn relay(&self, call: &Call, gate: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
        let mut nobody = |_: Sign<'_>| Flow::On;
        let watcher = self.watcher(call, &mut nobody);
        let keeper = Keeper { lab: self.lab, host: &self.host, pid: self.pid, gate: RefCell::new(gate) };
        self.call(call, &watcher, false, Some(&keeper))
    }

    fn now(&self) -> SystemTime {
        let ahead = self.lab.with(|f| f.host(&self.host).clock_ahead);
        SystemTime::UNIX_EPOCH + Duration::from_secs(BEGINNING + ahead) + self.clock()
    }

    fn clock(&self) -> Duration {
        Duration::from_millis(self.lab.clock())
    }

    fn nap(&self, time: Duration) -> Nap {
        let what = format!("nap {} ms", time.as_millis());
        let number = self.lab.begin(&self.host, self.pid, &what);
        let until = self.lab.clock() + time.as_millis() as Millis;
        while self.lab.clock() < until && !self.stopping() {
            // In pieces of a second at most, so that a signal ends it in time.
            self.lab.pass((until - self.lab.clock()).min(1000));
            self.lab.tend();
            self.lab.survive(&self.host, self.pid);
        }
        self.lab.finish(number, &self.host, self.pid, &what);
        if self.stopping() { Nap::Stopped } else { Nap::Over }
    }

    fn rest(&self, time: Duration) {
        let what = format!("rest {} ms", time.as_millis());
        let number = self.lab.begin(&self.host, self.pid, &what);
        self.lab.pass(time.as_millis() as Millis);
        self.lab.tend();
        self.lab.finish(number, &self.host, self.pid, &what);
    }

    fn roll(&self, below: u64) -> u64 {
        self.lab.with(|f| f.roll(below))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.to_string_lossy();
        match programs::virtual_file(self.lab, &self.host, &path) {
            Some(text) => Ok(text.into_bytes()),
            None => self.lab.with(|f| f.host(&self.host).files.read(&path)),
        }
    }

    fn access(&self, path: &Path) -> io::Result<Access> {
        self.lab.with(|f| f.host(&self.host).files.access(&path.to_string_lossy()))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = folder.to_string_lossy();
        match programs::virtual_folder(self.lab, &self.host, &folder) {
            Some(names) => Ok(names),
            None => self.lab.with(|f| f.host(&self.host).files.list(&folder)),
        }
    }

    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let path = path.to_string_lossy();
        let what = format!("write {path}");
        let number = self.lab.begin(&self.host, self.pid, &what);
        let done = self.lab.with(|f| f.host_mut(&self.host).files.replace(&path, text));
        self.lab.finish(number, &self.host, self.pid, &what);
        done
    }

    fn lock(&self, name: &str, purpose: &str) -> Result<Box<dyn Held>, LockError> {
        let what = format!("lock {name}");
        let number = self.lab.begin(&self.host, self.pid, &what);
        let taken = self.lab.with(|f| {
            let locks = &mut f.host_mut(&self.host).locks;
            if let Some(lock) = locks.get(name) {
                return Some(lock.purpose.clone());
            }
            locks.insert(name.to_string(), Lock { holders: vec![self.pid], purpose: purpose.to_string() });
            None
        });
        self.lab.finish(number, &self.host, self.pid, &what);
        match taken {
            Some(holder) => Err(LockError::Held(holder)),
            None => {
                Ok(Box::new(LabLock { fleet: self.lab.shared(), host: self.host.clone(), name: name.to_string(), pid: self.pid }))
            }
        }
    }

    fn lock_holder(&self, name: &str) -> Option<Holder> {
        self.lab.with(|f| f.host(&self.host).locks.get(name).map(|l| Holder::awake(&l.purpose)))
    }

    fn end_programs_of(&self, lock: &str) -> io::Result<()> {
        // Only a process that waits for ever is still there when somebody asks: the others ended within their own call.
        self.lab.with(|f| {
            let holders = f.host(&self.host).locks.get(lock).map(|l| l.holders.clone()).unwrap_or_default();
            for pid in holders {
                if f.host(&self.host).process(pid).is_some_and(|p| p.hung) {
                    f.log(format!("{}[{pid}] is ended", self.host));
                    f.end_process(&self.host, pid);
                }
            }
        });
        Ok(())
    }

    fn reloading(&self) -> bool {
        self.lab.with(|f| f.host_mut(&self.host).process_mut(self.pid).is_some_and(|p| std::mem::take(&mut p.reload)))
    }

    /// Only the clock and a person wake it: what waits for events has its turns (`background`), or is a real process.
    fn listen(&self, _: Option<&Call>, until: Duration, _: &mut dyn FnMut(&str) -> Flow) -> Result<Woken, CallError> {
        let until = until.as_millis() as Millis;
        let asked = || self.lab.with(|f| f.host(&self.host).process(self.pid).is_some_and(|p| p.reload));
        while self.lab.clock() < until {
            if self.stopping() || asked() {
                return Ok(Woken::Asked);
            }
            self.nap(Duration::from_millis((until - self.lab.clock()).min(1000)));
        }
        Ok(Woken::Time)
    }

    fn begin(&self, argv: &[String]) -> io::Result<()> {
        let what = format!("begin {}", argv.join(" "));
        let number = self.lab.begin(&self.host, self.pid, &what);
        self.lab.begin_background(&self.host, argv);
        self.lab.finish(number, &self.host, self.pid, &what);
        Ok(())
    }

    /// One after the other, whatever the number of streams: a pretend process has no other beside it on the stack.
    fn crew(&self, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) {
        let mut who = 0;
        while let Some(argv) = foreman(Shift::Free) {
            let what = format!("begin {}", argv.join(" "));
            let number = self.lab.begin(&self.host, self.pid, &what);
            let (printed, code) = self.lab.run_worker(&self.host, self.pid, &argv);
            self.lab.finish(number, &self.host, self.pid, &what);
            for (to, text) in [(To::Out, &printed.out), (To::Err, &printed.err)] {
                text.lines().for_each(|line| drop(foreman(Shift::Line { who, to, line })));
            }
            foreman(Shift::Ended { who, code });
            who += 1;
        }
    }

    fn summon(&self, lock: &str, what: Summons) -> io::Result<bool> {
        let words = format!("summon {lock} {what:?}");
        let number = self.lab.begin(&self.host, self.pid, &words);
        let found = self.lab.with(|f| {
            let holders = f.host(&self.host).locks.get(lock).map(|l| l.holders.clone()).unwrap_or_default();
            for pid in &holders {
                if let Some(process) = f.host_mut(&self.host).process_mut(*pid) {
                    match what {
                        Summons::Reload => process.reload = true,
                        Summons::Stop => process.stopping = true,
                    }
                }
            }
            !holders.is_empty()
        });
        self.lab.finish(number, &self.host, self.pid, &words);
        Ok(found)
    }

    fn notify(&self, state: &str) {
        self.lab.with(|f| f.log(format!("{}[{}] notifies {}", self.host, self.pid, state.replace('\n', " "))));
    }

    fn stopping(&self) -> bool {
        self.lab.with(|f| {
            let clock = f.clock;
            f.host(&self.host).process(self.pid).is_some_and(|p| p.stopping || p.stop_at.is_some_and(|t| t <= clock))
        })
    }

    fn tongue(&self) -> &Tongue {
        &self.tongue
    }

    fn say(&self, to: To, line: &str) {
        match to {
            To::Log => self.lab.with(|f| {
                f.log(format!("{}[{}] log: {line}", self.host, self.pid));
                f.host_mut(&self.host).syslog.push(line.to_string());
            }),
            To::Out | To::Err | To::Machine if !self.heard() => {}
            To::Out | To::Machine => {
                let line = if to == To::Out { self.tongue.say(line) } else { line.into() };
                self.out.borrow_mut().push_str(&line);
                self.out.borrow_mut().push('\n');
            }
            To::Err => {
                let line = self.tongue.say(line);
                if let Some(reader) = self.reader {
                    line.lines().for_each(|l| reader.line(l));
                }
                self.err.borrow_mut().push_str(&line);
                self.err.borrow_mut().push('\n');
            }
        }
    }
}

/// A process that stands between the two ends of a migration.
struct Keeper<'k> {
    lab: &'k Lab,
    host: &'k str,
    pid: Pid,
    gate: RefCell<&'k mut dyn FnMut(Halt) -> Flow>,
}

impl Relaying for Keeper<'_> {
    fn halt(&self, halt: Halt) -> Flow {
        let what = format!("gate {halt:?}");
        let number = self.lab.begin(self.host, self.pid, &what);
        let flow = (self.gate.borrow_mut())(halt);
        self.lab.finish(number, self.host, self.pid, &what);
        flow
    }
}

/// A lock of a pretend process.
struct LabLock {
    fleet: Rc<RefCell<Fleet>>,
    host: String,
    name: String,
    pid: Pid,
}

impl Held for LabLock {}

impl Drop for LabLock {
    fn drop(&mut self) {
        let Ok(mut fleet) = self.fleet.try_borrow_mut() else {
            return;
        };
        let Some(host) = fleet.hosts.get_mut(&self.host) else {
            return;
        };
        // A process that hangs holds its locks; the one of the story does not unwind.
        if host.process(self.pid).is_some_and(|p| p.hung) {
            return;
        }
        if let Some(lock) = host.locks.get_mut(&self.name) {
            lock.holders.retain(|p| *p != self.pid);
            if lock.holders.is_empty() {
                host.locks.remove(&self.name);
            }
        }
    }
}

/// The one who watches a running program, and its limits.
pub(crate) struct Watcher<'w> {
    fleet: Rc<RefCell<Fleet>>,
    host: String,
    pid: Pid,
    seen: RefCell<&'w mut dyn FnMut(Sign<'_>) -> Flow>,
    limit: Option<Duration>,
    quiet_limit: Option<Duration>,
    began: Millis,
    last_sign: Cell<Millis>,
    stopped: Cell<bool>,
}

impl Watcher<'_> {
    fn sign(&self, sign: Sign<'_>) {
        let alive = self.fleet.borrow().is_alive(&self.host, self.pid);
        let Ok(mut seen) = self.seen.try_borrow_mut() else {
            return;
        };
        if !alive || self.stopped.get() {
            return;
        }
        // The watcher's own death must not unwind the processes of other hosts that lie on the same stack.
        match catch_unwind(AssertUnwindSafe(|| seen(sign))) {
            Ok(Flow::On) => {}
            Ok(Flow::Stop) => self.stopped.set(true),
            Err(payload) if payload.is::<Killed>() => {}
            Err(other) => std::panic::resume_unwind(other),
        }
    }

    fn clock(&self) -> Millis {
        self.fleet.borrow().clock
    }
}

impl Watching for Watcher<'_> {
    fn line(&self, line: &str) {
        self.last_sign.set(self.clock());
        self.sign(Sign::Line(line));
    }

    fn sent(&self, bytes: u64) {
        self.last_sign.set(self.clock());
        self.sign(Sign::Sent(bytes));
    }

    fn tick(&self) {
        self.sign(Sign::Tick);
        if !self.fleet.borrow().is_alive(&self.host, self.pid) {
            return;
        }
        let now = self.clock();
        let over = |limit: Option<Duration>, since: Millis| limit.is_some_and(|l| now - since >= l.as_millis() as Millis);
        if over(self.limit, self.began) || over(self.quiet_limit, self.last_sign.get()) {
            self.stopped.set(true);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn place(&self) -> (String, Pid) {
        (self.host.clone(), self.pid)
    }
}
