//! The receiving `xl` between our own standard streams and its, see [`World::relay`](crate::adapters::World::relay).
//!
//! Two threads carry the bytes, one each way; where one halts, it asks this thread and waits. They may outlive the call: one sits in a
//! read of our own input that nothing can interrupt. They end with the process, and hold nothing that anybody waits for.

use super::run;
use super::{Real, now};
use crate::adapters::xen::stream::{Mark, Stream};
use crate::adapters::{Call, CallError, Flow, Halt, Output};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// As much as goes through at once. A pipe holds 64 KiB, a socket's buffer some MiB.
const PIECE: usize = 256 * 1024;

/// Runs it.
pub(super) fn relay(real: &Real, call: &Call, gate: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
    let not_started = |why: io::Error| CallError::NotStarted { call: call.to_string(), why: why.to_string() };
    let ours = own(io::stdin()).map_err(not_started)?;
    let back = own(io::stdout()).map_err(not_started)?;
    between(real, call, ours, back, gate)
}

/// Runs it between these two.
pub(super) fn between(
    real: &Real,
    call: &Call,
    ours: File,
    back: File,
    gate: &mut dyn FnMut(Halt) -> Flow,
) -> Result<Output, CallError> {
    let mut command = run::command(real, call)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = run::spawn(real, call, &mut command)?;
    drop(command);

    let door: Door = Arc::new(Mutex::new(child.stdin.take()));
    let (ask, asked) = channel();
    let (over, there) = (ask.clone(), Arc::clone(&door));
    thread::spawn(move || carry_there(ours, &there, &over));
    let from = child.stdout.take();
    let voice = thread::spawn(move || from.map(|from| carry_back(from, back, &ask)));

    let status = loop {
        match asked.recv_timeout(Duration::from_millis(20)) {
            Ok(Question { halt, answer }) => {
                let flow = gate(halt);
                if flow == Flow::Stop {
                    shut(&door);
                }
                // Whoever asked and went away meanwhile has seen the end of the stream.
                let _ = answer.send(flow);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if let Some(status) = run::ended(call, &mut child)? {
                    break status;
                }
                // Without anybody left who asks, the channel answers at once.
                real.signals.wait(Duration::from_millis(5));
            }
        }
    };
    // Its last words may still be on their way; its monitor has its own output elsewhere.
    let until = now() + real.patience.late_output;
    while !voice.is_finished() && now() < until {
        match asked.try_recv() {
            // It is gone, so what it said last cannot be a promise any more.
            Ok(Question { answer, .. }) => drop(answer.send(Flow::Stop)),
            Err(_) => real.signals.wait(Duration::from_millis(5)),
        }
    }
    Ok(run::output(status, &[], &[]))
}

/// The way to the program; `None` when it is shut.
type Door = Arc<Mutex<Option<ChildStdin>>>;

struct Question {
    halt: Halt,
    answer: Sender<Flow>,
}

/// One of our own streams, without the buffer of the standard library.
fn own(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// Asks whether it may go on. Nobody there to answer is no permission.
fn may(ask: &Sender<Question>, halt: Halt) -> bool {
    let (answer, flow): (Sender<Flow>, Receiver<Flow>) = channel();
    ask.send(Question { halt, answer }).is_ok() && flow.recv() == Ok(Flow::On)
}

fn shut(door: &Door) {
    *door.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// From the sender to the program.
fn carry_there(mut from: File, door: &Door, ask: &Sender<Question>) {
    let mut stream = Stream::default();
    let mut buffer = vec![0; PIECE];
    'stream: loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let (passes, mark) = stream.feed(rest);
            let (now, later) = rest.split_at(passes);
            let written = match door.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(stdin) => stdin.write_all(now),
                None => break 'stream,
            };
            if written.is_err() {
                break 'stream;
            }
            let halt = match mark {
                None => None,
                Some(Mark::Unknown) => Some(Halt::Unknown),
                Some(Mark::Complete) => Some(Halt::Complete),
            };
            if halt.is_some_and(|halt| !may(ask, halt)) {
                break 'stream;
            }
            rest = later;
        }
    }
    shut(door);
}

/// What the program says next, on its way to the sender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// A line.
    Banner,
    /// That it is ready.
    Ready,
    /// How it went.
    Report,
    /// Nobody is to hear it, or can.
    Lost,
}

/// From the program to the sender. All that is not delivered is read nevertheless.
fn carry_back(mut from: impl Read, mut to: File, ask: &Sender<Question>) {
    let mut buffer = vec![0; 4096];
    let mut word = Word::Banner;
    loop {
        let mut rest = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => &buffer[..count],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if word == Word::Banner {
            let end = rest.iter().position(|b| *b == b'\n').map(|at| at + 1);
            let (line, later) = rest.split_at(end.unwrap_or(rest.len()));
            let delivered = to.write_all(line).is_ok();
            word = match end {
                _ if !delivered => Word::Lost,
                Some(_) => Word::Ready,
                None => Word::Banner,
            };
            rest = later;
        }
        if word == Word::Ready && !rest.is_empty() {
            word = if may(ask, Halt::Ready) { Word::Report } else { Word::Lost };
        }
        if word == Word::Report && to.write_all(rest).is_err() {
            word = Word::Lost;
        }
    }
}
