//! Beside us: programs that answer, and several of this very one.
//!
//! The latter are started, heard line by line, asked to stop when we are.
//! Each is a process of its own, so that one that falls over takes nobody with it, and one that outlives us finishes what it began and
//! keeps its record. It is in a group of its own: a terminal's Ctrl-C reaches us alone, and we pass it on once.

use super::run::{self, Pipe};
use super::{Real, World};
use crate::adapters::{Call, CallError, Output, Shift, To};
use rustix::process::Signal;
use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

/// See [`World::run_all_beside`]: the calls have a thread beside ours, where one is to be had.
pub(super) fn run_all_beside(
    real: &Real,
    calls: &[Call],
    most: usize,
    meanwhile: &mut dyn FnMut(),
) -> Vec<Result<Output, CallError>> {
    thread::scope(|scope| {
        let beside = thread::Builder::new().spawn_scoped(scope, || run::run_all(real, calls, most));
        meanwhile();
        match beside {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => run::run_all(real, calls, most),
        }
    })
}

struct Worker {
    who: usize,
    child: Child,
    asked: bool,
    out: Voice,
    err: Voice,
}

/// One output of a worker, cut into lines.
struct Voice {
    pipe: Pipe,
    to: To,
    rest: Vec<u8>,
}

/// See [`World::crew`].
pub(super) fn crew(real: &Real, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) {
    let mut workers: Vec<Worker> = Vec::new();
    let mut begun = 0;
    loop {
        while let Some(argv) = foreman(Shift::Free) {
            let who = begun;
            begun += 1;
            match begin(real, &argv, who) {
                Ok(worker) => workers.push(worker),
                Err(why) => {
                    foreman(Shift::Line { who, to: To::Err, line: &format!("{} could not be started: {why}", argv.join(" ")) });
                    foreman(Shift::Ended { who, code: None });
                }
            }
        }
        if workers.is_empty() {
            return;
        }
        let mut someone_ended = false;
        workers.retain_mut(|worker| {
            if real.stopping() && !worker.asked {
                worker.asked = true;
                run::send(&worker.child, Signal::TERM);
            }
            let Some(code) = worker.turn(real, foreman) else { return true };
            foreman(Shift::Ended { who: worker.who, code });
            someone_ended = true;
            false
        });
        if !someone_ended {
            real.signals.wait(Duration::from_millis(20));
        }
    }
}

fn begin(real: &Real, argv: &[String], who: usize) -> io::Result<Worker> {
    let exe = env::current_exe()?;
    let (name, args) = argv.split_first().ok_or_else(|| io::Error::other("no name to be started under"))?;
    let call = Call::new(&exe.to_string_lossy(), args.iter().cloned());
    let mut command = run::command(real, &call).map_err(io::Error::other)?;
    command.arg0(name).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = run::spawn(real, &call, &mut command).map_err(io::Error::other)?;
    let voice = |pipe, to| Voice { pipe, to, rest: Vec::new() };
    let out = voice(Pipe::new(child.stdout.take()), To::Out);
    let err = voice(Pipe::new(child.stderr.take()), To::Err);
    Ok(Worker { who, child, asked: false, out, err })
}

impl Worker {
    /// Hears it; how it ended once it has, and all that it said is heard.
    fn turn(&mut self, real: &Real, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) -> Option<Option<i32>> {
        self.hear(foreman, false);
        let code = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status.code(),
            Err(_) => None,
        };
        // A program that it left behind may hold its output open: xl, when the worker was killed.
        let until = real.clock() + real.patience.late_output;
        while !self.hear(foreman, false) && real.clock() < until {
            real.signals.wait(Duration::from_millis(5));
        }
        self.hear(foreman, true);
        Some(code)
    }

    /// True: both outputs have ended.
    fn hear(&mut self, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>, last: bool) -> bool {
        let who = self.who;
        let out = self.out.hear(who, foreman, last);
        self.err.hear(who, foreman, last) && out
    }
}

impl Voice {
    fn hear(&mut self, who: usize, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>, last: bool) -> bool {
        let ended = self.pipe.hear(&mut self.rest);
        let mut tell = |bytes: &[u8]| {
            let line = String::from_utf8_lossy(bytes);
            foreman(Shift::Line { who, to: self.to, line: line.trim_end_matches(['\n', '\r']) });
        };
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            tell(&line);
        }
        if last && !self.rest.is_empty() {
            tell(&std::mem::take(&mut self.rest));
        }
        ended
    }
}
