//! The world itself: programs are run, files are written, signals are heard.
//!
//! [`Real`] only puts the parts together:
//! `run` starts programs and hears them out, `watch` follows a long one and its `transport`, `lock` is flock(2), `files` reads and replaces,
//! `relay` stands between two `xl`, `signals` and `listen` wait, `background` is what a service needs.
//!
//! Programs are started by one thread at a time (see `run::spawn`); nothing here needs a second `Real` in the same process,
//! and nothing breaks when there is one.

mod background;
mod crew;
mod files;
mod listen;
mod lock;
mod relay;
mod run;
mod signals;
#[cfg(test)]
mod tests;
mod transport;
mod watch;

pub use background::{BROKE_ITS_LIMIT, become_bound, hand_on_nothing};

use super::{Access, Call, CallError, Flow, Halt, Held, Holder, LockError, Nap, Output, Shift, Sign, Summons, To, Woken, World};
use crate::tongue::Tongue;
use signals::Signals;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// The host we are on.
pub struct Real {
    /// Where programs are searched, in this order, before `/usr/local/sbin`, `/usr/sbin` and `/sbin`. It is also the PATH that
    /// they get. [`Real::new`] takes it from the environment; a test puts its own programs here instead.
    pub path: OsString,
    /// The name in front of the lines in the system's log.
    pub tag: String,
    /// The language of whoever reads our standard output and error.
    pub tongue: Tongue,
    /// How long things may take that have no limit of their own.
    patience: Patience,
    /// Put in front of every path, when there is one.
    root: Option<PathBuf>,
    signals: Signals,
    locks: lock::Locks,
    pulse: background::Pulse,
    born: Instant,
    /// What the system said when a line of the answer could first not be written.
    lost: OnceLock<String>,
}

impl Real {
    /// The world below a root folder, or the world. From now on SIGINT and SIGTERM no longer end this process but are told by
    /// [`World::stopping`], and SIGHUP by [`World::reloading`]; SIGPIPE is ignored as in every Rust program (children get the default back).
    pub fn new(root: Option<PathBuf>) -> Real {
        Real {
            path: env::var_os("PATH").unwrap_or_default(),
            tag: "xen-migrate".to_string(),
            tongue: Tongue::english(),
            patience: Patience::default(),
            root,
            signals: Signals::new(),
            locks: lock::Locks::default(),
            pulse: background::Pulse::new(),
            born: now(),
            lost: OnceLock::new(),
        }
    }

    /// Why the answer on standard output is not whole. That nobody wanted the rest (`| head`) is no loss.
    pub fn lost_output(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// A line of the answer. Nothing is broken off because it cannot be written: what is being done matters more than telling it.
    fn answer(&self, line: &str) {
        if let Err(why) = tell(io::stdout().lock(), line)
            && why.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.get_or_init(|| why.to_string());
        }
    }

    /// Where an absolute path of the design really is.
    fn at(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_path_buf(),
        }
    }

    /// Hands a line to the system's log, the way syslog(3) does, without its time (the log's own clock is as good). No log, no
    /// line: nobody should fail because nobody listens.
    fn log(&self, line: &str) {
        // <30> is facility daemon (3), severity info (6). Control characters would let a peer's words forge another line.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = format!("<30>{}[{}]: {line}", self.tag, process::id());
        if let Ok(socket) = UnixDatagram::unbound() {
            // A log whose queue is full makes us wait otherwise, in the middle of a migration.
            let _ = socket.set_nonblocking(true);
            let _ = socket.send_to(text.as_bytes(), self.at(Path::new("/dev/log")));
        }
    }
}

impl World for Real {
    #[expect(clippy::disallowed_methods, reason = "one of the two places that wait")]
    fn rest(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn end_programs_of(&self, lock: &str) -> io::Result<()> {
        lock::end_programs_of(self, lock)
    }

    fn told(&self, path: &str) -> String {
        self.at(Path::new(path)).to_string_lossy().into_owned()
    }

    fn run(&self, call: &Call) -> Result<Output, CallError> {
        run::run(self, call)
    }

    fn run_all(&self, calls: &[Call], most: usize) -> Vec<Result<Output, CallError>> {
        run::run_all(self, calls, most)
    }

    fn run_all_beside(&self, calls: &[Call], most: usize, meanwhile: &mut dyn FnMut()) -> Vec<Result<Output, CallError>> {
        crew::run_all_beside(self, calls, most, meanwhile)
    }

    fn watch(&self, call: &Call, seen: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
        watch::watch(self, call, seen)
    }

    fn relay(&self, call: &Call, gate: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
        relay::relay(self, call, gate)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the wall clock of the World")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn clock(&self) -> Duration {
        self.born.elapsed()
    }

    fn nap(&self, time: Duration) -> Nap {
        // Some clocks end; nobody sleeps for longer than a year.
        let until = now() + time.min(Duration::from_secs(365 * 86_400));
        loop {
            if self.stopping() {
                return Nap::Stopped;
            }
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return Nap::Over;
            }
            self.signals.wait(left);
        }
    }

    fn roll(&self, below: u64) -> u64 {
        if below == 0 { 0 } else { rand::random_range(0..below) }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        files::read(&self.at(path), path.starts_with("/proc"))
    }

    fn access(&self, path: &Path) -> io::Result<Access> {
        files::access(&self.at(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        files::list(&self.at(folder))
    }

    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        files::replace(&files::Place::made(self, path)?, text)
    }

    fn lock(&self, name: &str, purpose: &str) -> Result<Box<dyn Held>, LockError> {
        lock::take(self, name, purpose)
    }

    fn lock_holder(&self, name: &str) -> Option<Holder> {
        lock::holder(self, name)
    }

    fn stopping(&self) -> bool {
        self.signals.stopping()
    }

    fn reloading(&self) -> bool {
        self.signals.reloading()
    }

    fn listen(&self, call: Option<&Call>, until: Duration, heard: &mut dyn FnMut(&str) -> Flow) -> Result<Woken, CallError> {
        listen::listen(self, call, until, heard)
    }

    fn begin(&self, argv: &[String]) -> io::Result<()> {
        background::begin(self, argv)
    }

    fn crew(&self, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) {
        crew::crew(self, foreman);
    }

    fn summon(&self, lock: &str, what: Summons) -> io::Result<bool> {
        lock::summon(self, lock, what)
    }

    fn notify(&self, state: &str) {
        background::notify(state);
    }

    fn say(&self, to: To, line: &str) {
        match to {
            To::Out => self.answer(&self.tongue.say(line)),
            To::Err => drop(tell(io::stderr().lock(), &self.tongue.say(line))),
            To::Machine => self.answer(line),
            To::Log => self.log(line),
        }
    }

    fn window(&self) -> Option<(u16, u16)> {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
    }

    fn tongue(&self) -> &Tongue {
        &self.tongue
    }
}

/// How long things may take that have no limit of their own. Tests are less patient.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// From SIGTERM to SIGKILL for a program that broke its limit.
    term: Duration,
    /// From SIGKILL to giving it up: it sits in the kernel (state D) and nothing helps.
    kill: Duration,
    /// From the end of a program to the end of its output, which a child of its own may keep open (xl's monitor of a domU).
    late_output: Duration,
    /// Between two ticks of a watched program.
    tick: Duration,
    /// What a watched program gets to end by itself when its transport is gone: xl resumes the domU, and tells.
    resume: Duration,
    /// From SIGTERM to SIGKILL for a watched program.
    watched_term: Duration,
    /// How long a lock is tried for before it counts as taken.
    lock: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            term: Duration::from_secs(2),
            kill: Duration::from_secs(5),
            late_output: Duration::from_secs(1),
            tick: Duration::from_secs(1),
            resume: Duration::from_secs(20),
            watched_term: Duration::from_secs(10),
            lock: Duration::from_millis(200),
        }
    }
}

/// One line, written at once so that two writers do not mix theirs.
fn tell(mut to: impl Write, line: &str) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())?;
    to.flush()
}

#[expect(clippy::disallowed_methods, reason = "this is the steady clock of the World")]
fn now() -> Instant {
    Instant::now()
}
