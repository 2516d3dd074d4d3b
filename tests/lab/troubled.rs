//! A world in which files are in trouble, for the lab's own disks never are; and which notices when a tool goes round for ever.

#![allow(dead_code)] // Each test file uses a part of it.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use xen_drbd::adapters::{
    Access, Call, CallError, Flow, Halt, Held, Holder, LockError, Nap, Output, Shift, Sign, Summons, To, Woken, World,
};
use xen_drbd::applets;
use xen_drbd::lab::Lab;

/// More programs than any one command can have a reason to run, even one that waits for minutes.
const FOR_EVER: u32 = 20_000;

/// What is wrong with the files; shared with every process of the fleet.
#[derive(Clone, Default)]
pub struct Trouble(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    unreadable: Option<(String, io::ErrorKind)>,
    /// Host, path, error, and how many writes still succeed.
    unwritable: Option<(String, String, io::ErrorKind, u32)>,
    no_locks: Option<(String, io::ErrorKind)>,
    /// How many programs were run since the last [`Trouble::begin`].
    ran: u32,
}

impl Trouble {
    /// Our tools run in such a world from now on.
    pub fn on(lab: &Lab) -> Trouble {
        let trouble = Trouble::default();
        let shared = trouble.clone();
        lab.set_applets(move |world, argv, around| applets::run(&Troubled { world, trouble: shared.clone() }, argv, around));
        trouble
    }

    /// This file cannot be read, on any host.
    pub fn unreadable(&self, path: &str, kind: io::ErrorKind) {
        self.0.borrow_mut().unreadable = Some((path.into(), kind));
    }

    /// This file cannot be written on this host, after so many times that it can.
    pub fn unwritable(&self, host: &str, path: &str, kind: io::ErrorKind, after: u32) {
        self.0.borrow_mut().unwritable = Some((host.into(), path.into(), kind, after));
    }

    /// No lock can be made on this host.
    pub fn no_locks(&self, host: &str, kind: io::ErrorKind) {
        self.0.borrow_mut().no_locks = Some((host.into(), kind));
    }

    fn count(&self, call: &Call) {
        let mut state = self.0.borrow_mut();
        state.ran += 1;
        assert!(state.ran < FOR_EVER, "it goes round for ever; it is just about to run {call}");
    }

    /// A new command begins.
    pub fn begin(&self) {
        self.0.borrow_mut().ran = 0;
    }

    /// Everything works again.
    pub fn mend(&self) {
        *self.0.borrow_mut() = State::default();
    }
}

struct Troubled<'a> {
    world: &'a dyn World,
    trouble: Trouble,
}

impl Troubled<'_> {
    fn host(&self) -> String {
        let bytes = self.world.read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_string()
    }
}

impl World for Troubled<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match &self.trouble.0.borrow().unreadable {
            Some((bad, kind)) if path == Path::new(bad) => Err((*kind).into()),
            _ => self.world.read(path),
        }
    }

    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        if let Some((host, bad, kind, after)) = &mut self.trouble.0.borrow_mut().unwritable
            && path == Path::new(bad)
            && *host == self.host()
        {
            if *after == 0 {
                return Err((*kind).into());
            }
            *after -= 1;
        }
        self.world.replace(path, text)
    }

    fn lock(&self, name: &str, purpose: &str) -> Result<Box<dyn Held>, LockError> {
        match &self.trouble.0.borrow().no_locks {
            Some((host, kind)) if *host == self.host() => Err(LockError::Io((*kind).into())),
            _ => self.world.lock(name, purpose),
        }
    }

    fn run(&self, call: &Call) -> Result<Output, CallError> {
        self.trouble.count(call);
        self.world.run(call)
    }
    fn access(&self, path: &Path) -> io::Result<Access> {
        self.world.access(path)
    }
    fn watch(&self, call: &Call, seen: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
        self.world.watch(call, seen)
    }
    fn relay(&self, call: &Call, gate: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
        self.trouble.count(call);
        self.world.relay(call, gate)
    }
    fn now(&self) -> SystemTime {
        self.world.now()
    }
    fn clock(&self) -> Duration {
        self.world.clock()
    }
    fn nap(&self, time: Duration) -> Nap {
        self.world.nap(time)
    }
    fn rest(&self, time: Duration) {
        self.world.rest(time);
    }
    fn roll(&self, below: u64) -> u64 {
        self.world.roll(below)
    }
    fn told(&self, path: &str) -> String {
        self.world.told(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.world.list(folder)
    }
    fn lock_holder(&self, name: &str) -> Option<Holder> {
        self.world.lock_holder(name)
    }
    fn end_programs_of(&self, lock: &str) -> io::Result<()> {
        self.world.end_programs_of(lock)
    }
    fn reloading(&self) -> bool {
        self.world.reloading()
    }
    fn listen(&self, call: Option<&Call>, until: Duration, heard: &mut dyn FnMut(&str) -> Flow) -> Result<Woken, CallError> {
        self.world.listen(call, until, heard)
    }
    fn begin(&self, argv: &[String]) -> io::Result<()> {
        self.world.begin(argv)
    }
    fn crew(&self, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) {
        self.world.crew(foreman);
    }
    fn summon(&self, lock: &str, what: Summons) -> io::Result<bool> {
        self.world.summon(lock, what)
    }
    fn notify(&self, state: &str) {
        self.world.notify(state);
    }
    fn stopping(&self) -> bool {
        self.world.stopping()
    }
    fn say(&self, to: To, line: &str) {
        self.world.say(to, line);
    }
}
