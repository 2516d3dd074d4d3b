//! The same world with another mouth: for a peer that asked, or for a machine that reads what is done.

use crate::adapters::{
    Access, Call, CallError, Flow, Halt, Held, Holder, LockError, Nap, Output, Shift, Sign, Summons, To, Woken, World,
};
use crate::tongue::Tongue;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A world whose lines go another way.
pub struct Voice<'a> {
    /// The world that does all the rest.
    pub world: &'a dyn World,
    /// Where its lines go.
    pub tell: &'a dyn Fn(To, &str),
    /// When the time is over, by its clock: then it is as if somebody had asked us to stop.
    pub until: Option<Duration>,
}

impl World for Voice<'_> {
    fn say(&self, to: To, line: &str) {
        (self.tell)(to, line);
    }
    fn tongue(&self) -> &Tongue {
        self.world.tongue()
    }
    fn run(&self, call: &Call) -> Result<Output, CallError> {
        self.world.run(call)
    }
    fn run_all(&self, calls: &[Call], most: usize) -> Vec<Result<Output, CallError>> {
        self.world.run_all(calls, most)
    }
    fn run_all_beside(&self, calls: &[Call], most: usize, meanwhile: &mut dyn FnMut()) -> Vec<Result<Output, CallError>> {
        self.world.run_all_beside(calls, most, meanwhile)
    }
    fn watch(&self, call: &Call, seen: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
        self.world.watch(call, seen)
    }
    fn relay(&self, call: &Call, gate: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
        self.world.relay(call, gate)
    }
    fn now(&self) -> SystemTime {
        self.world.now()
    }
    fn clock(&self) -> Duration {
        self.world.clock()
    }
    fn nap(&self, time: Duration) -> Nap {
        let left = self.until.map_or(time, |until| until.saturating_sub(self.world.clock()));
        let nap = self.world.nap(time.min(left));
        if self.stopping() { Nap::Stopped } else { nap }
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
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.world.read(path)
    }
    fn access(&self, path: &Path) -> io::Result<Access> {
        self.world.access(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.world.list(folder)
    }
    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        self.world.replace(path, text)
    }
    fn lock(&self, name: &str, purpose: &str) -> Result<Box<dyn Held>, LockError> {
        self.world.lock(name, purpose)
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
    fn window(&self) -> Option<(u16, u16)> {
        self.world.window()
    }
    fn stopping(&self) -> bool {
        self.world.stopping() || self.until.is_some_and(|until| self.world.clock() >= until)
    }
}
