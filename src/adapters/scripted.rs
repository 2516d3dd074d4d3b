//! A world for tests whose programs only say what the test wrote down for them.
//!
//! It answers by argv. A call that nobody wrote an answer for, and every verb that has no place in such a test, ends the test
//! with a panic that names it: an adapter that asks one question too many is found at once.

use super::{Call, CallError, Ended, Flow, Halt, Held, Holder, LockError, Nap, Output, Shift, Sign, Summons, To, Woken, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The scripted world.
#[derive(Default)]
pub(crate) struct Scripted {
    answers: RefCell<BTreeMap<String, Vec<Answer>>>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    asked: RefCell<Vec<Call>>,
    said: RefCell<Vec<(To, String)>>,
}

/// What a program does when it is called.
#[derive(Clone)]
enum Answer {
    /// It ends and has printed this.
    Ends(Output),
    /// It does not end within its limit.
    Hangs,
    /// It is not on this host.
    Missing,
}

impl Scripted {
    /// A host without files, on which no program is known.
    pub(crate) fn new() -> Scripted {
        Scripted::default()
    }

    /// `argv` is the call as its `Display` shows it. Several answers for one argv are given in their order, the last one for ever.
    pub(crate) fn answers(self, argv: &str, exit: i32, stdout: &str, stderr: &str) -> Scripted {
        let output = Output { ended: Ended::Exit(exit), stdout: stdout.to_string(), stderr: stderr.to_string() };
        self.with(argv, Answer::Ends(output))
    }

    /// The program takes longer than its limit.
    pub(crate) fn hangs(self, argv: &str) -> Scripted {
        self.with(argv, Answer::Hangs)
    }

    /// The program is not on this host.
    pub(crate) fn missing(self, argv: &str) -> Scripted {
        self.with(argv, Answer::Missing)
    }

    /// A file that can be read.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Scripted {
        self.files.insert(PathBuf::from(path), text.as_bytes().to_vec());
        self
    }

    /// Every call so far, in order, as its `Display` shows it.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().iter().map(Call::to_string).collect()
    }

    /// Every call so far in full, for its limit and its input.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.asked.borrow().clone()
    }

    /// Every line that was said so far.
    #[allow(dead_code)]
    pub(crate) fn said(&self) -> Vec<(To, String)> {
        self.said.borrow().clone()
    }

    fn with(self, argv: &str, answer: Answer) -> Scripted {
        self.answers.borrow_mut().entry(argv.to_string()).or_default().push(answer);
        self
    }
}

impl World for Scripted {
    fn run(&self, call: &Call) -> Result<Output, CallError> {
        self.asked.borrow_mut().push(call.clone());
        let mut answers = self.answers.borrow_mut();
        let Some(queue) = answers.get_mut(&call.to_string()) else {
            panic!("nobody wrote down an answer to: {call}");
        };
        let answer = if queue.len() > 1 { queue.remove(0) } else { queue[0].clone() };
        match answer {
            Answer::Ends(output) => Ok(output),
            Answer::Missing => Err(CallError::NotFound(call.program.clone())),
            Answer::Hangs => Err(CallError::TimedOut {
                call: call.to_string(),
                limit: call.limit.unwrap_or_else(|| panic!("{call} has no limit and would hang for ever")),
                said: String::new(),
            }),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(text) => Ok(text.clone()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file", path.display()))),
        }
    }

    fn say(&self, to: To, line: &str) {
        self.said.borrow_mut().push((to, line.to_string()));
    }

    fn watch(&self, call: &Call, _: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
        panic!("no test of an adapter watches a program: {call}");
    }

    fn relay(&self, call: &Call, _: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
        panic!("no test of an adapter relays a program: {call}");
    }

    fn now(&self) -> SystemTime {
        panic!("no adapter looks at the wall clock");
    }

    fn clock(&self) -> Duration {
        panic!("no adapter looks at the clock");
    }

    fn nap(&self, time: Duration) -> Nap {
        panic!("no adapter naps ({time:?})");
    }

    fn roll(&self, _: u64) -> u64 {
        panic!("no adapter rolls dice");
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        panic!("no adapter lists {}", folder.display());
    }

    fn replace(&self, path: &Path, _: &[u8]) -> io::Result<()> {
        panic!("no adapter writes {}", path.display());
    }

    fn lock(&self, name: &str, _: &str) -> Result<Box<dyn Held>, LockError> {
        panic!("no adapter locks {name}");
    }

    fn lock_holder(&self, name: &str) -> Option<Holder> {
        panic!("no adapter asks who holds {name}");
    }

    fn end_programs_of(&self, lock: &str) -> io::Result<()> {
        panic!("nobody is to end the holder of {lock}")
    }

    fn reloading(&self) -> bool {
        panic!("no test of an adapter waits")
    }
    fn listen(&self, _: Option<&Call>, _: Duration, _: &mut dyn FnMut(&str) -> Flow) -> Result<Woken, CallError> {
        panic!("no test of an adapter waits")
    }
    fn begin(&self, _: &[String]) -> io::Result<()> {
        panic!("no test of an adapter waits")
    }
    fn crew(&self, _: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) {
        panic!("no test of an adapter has workers")
    }
    fn summon(&self, _: &str, _: Summons) -> io::Result<bool> {
        panic!("no test of an adapter waits")
    }
    fn notify(&self, _: &str) {
        panic!("no test of an adapter waits")
    }
    fn stopping(&self) -> bool {
        panic!("no adapter asks whether to stop");
    }
}

/// A small generator of bytes from a seed (xorshift64), for tests with many odd inputs that are the same ones every time.
pub(crate) struct Dice(u64);

impl Dice {
    /// `seed` is any number but 0.
    pub(crate) fn new(seed: u64) -> Dice {
        assert_ne!(seed, 0, "xorshift stays at 0 for ever");
        Dice(seed)
    }

    /// 0 up to, not including, `below`.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    /// Puts a list into another order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.below(last + 1);
            list.swap(last, other);
        }
    }
}
