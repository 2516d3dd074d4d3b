//! A long program, followed while it runs and ended gently.
//!
//! What is gentle for `xl migrate`: its transport is ended, xl sees the end of the stream, resumes the domU here and says so.
//! A SIGTERM to xl itself would leave the domU suspended. So that comes last, and long after.

use super::files::Place;
use super::run::{self, MOST_OUTPUT, Pipe};
use super::transport::Transport;
use super::{Patience, Real, World, now};
use crate::adapters::{Call, CallError, Flow, Input, Output, Sign};
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at the messages.
const PAUSE: Duration = Duration::from_millis(50);

/// Less than this through the transport is no progress: keepalives and progress messages are not memory.
const PROGRESS: u64 = 64 * 1024;

/// A line without an end is cut here.
const LONGEST_LINE: usize = 64 * 1024;

/// Runs a program and tells what it shows, see [`World::watch`].
pub(super) fn watch(real: &Real, call: &Call, seen: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
    let mut command = run::command(real, call)?;
    let mut log = None;
    if let Some(path) = &call.log {
        let cannot = |why: std::io::Error| CallError::NotStarted { call: call.to_string(), why: format!("{path}: {why}") };
        let file = Place::made(real, Path::new(path)).and_then(|place| place.renew()).map_err(cannot)?;
        // Both outputs, in the order in which they were written: one that stayed a pipe would break with us.
        command.stdout(file.try_clone().map_err(cannot)?).stderr(file.try_clone().map_err(cannot)?);
        log = Some(file);
    } else if call.stdin != Input::Inherited {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = run::spawn(real, call, &mut command)?;
    // It holds copies of the log's descriptor.
    drop(command);

    let mut out = Voice::new(From::Pipe(Pipe::new(child.stdout.take())));
    let mut err = Voice::new(match log {
        Some(file) => From::Log { file, read: 0 },
        None => From::Pipe(Pipe::new(child.stderr.take())),
    });
    let mut show = Show { seen, flow: Flow::On, progress: Progress { at: now(), sent: 0 } };
    let mut ending = Ending::new(call, &child);
    let mut next_tick = now() + real.patience.tick;
    let mut was_stopping = real.stopping();
    let status = loop {
        // Before the look at the program: what is heard after its end comes below.
        show.lines(&mut out);
        show.lines(&mut err);
        if let Some(status) = run::ended(call, &mut child)? {
            break status;
        }
        let stopping = real.stopping();
        if now() >= next_tick || stopping != was_stopping {
            show.tick(&mut ending.transport);
            next_tick = now() + real.patience.tick;
            was_stopping = stopping;
        }
        if !ending.go_on(&child, &show, real.patience) {
            return Err(run::immortal(call));
        }
        real.signals.wait(PAUSE);
    };
    let until = now() + real.patience.late_output;
    loop {
        let over = show.lines(&mut out);
        if (show.lines(&mut err) && over) || now() >= until {
            break;
        }
        real.signals.wait(Duration::from_millis(5));
    }
    for voice in [&mut out, &mut err] {
        if let Some(line) = voice.lines.rest() {
            show.tell(Sign::Line(&line));
        }
    }
    Ok(run::output(status, &out.text, &err.text))
}

/// One output of the program, in lines and as a whole.
struct Voice {
    from: From,
    lines: Lines,
    /// Of too much text the later half is kept: how it ended is there.
    text: Vec<u8>,
}

impl Voice {
    fn new(from: From) -> Voice {
        Voice { from, lines: Lines::default(), text: Vec::new() }
    }

    /// The new lines, and true when that is all for now (a file) or for ever (a pipe).
    fn hear(&mut self) -> (Vec<String>, bool) {
        let mut new = Vec::new();
        let over = self.from.hear(&mut new);
        self.text.extend_from_slice(&new);
        if self.text.len() > MOST_OUTPUT {
            self.text.drain(..self.text.len() - MOST_OUTPUT / 2);
        }
        (self.lines.add(&new), over)
    }
}

/// Where it is heard.
enum From {
    /// In the file that the program writes to.
    Log { file: File, read: u64 },
    /// At the other end of its pipe.
    Pipe(Pipe),
}

impl From {
    /// Appends what is new. True: that is all for now (a file), or for ever (a pipe).
    fn hear(&mut self, into: &mut Vec<u8>) -> bool {
        match self {
            From::Pipe(pipe) => pipe.hear(into),
            From::Log { file, read } => {
                let mut buffer = vec![0; 64 * 1024];
                // pread(2): the file's own position is shared with the program.
                while let Ok(count @ 1..) = file.read_at(&mut buffer, *read) {
                    into.extend_from_slice(&buffer[..count]);
                    *read += count as u64;
                    if into.len() > MOST_OUTPUT {
                        return false;
                    }
                }
                true
            }
        }
    }
}

/// Tells the caller what is seen, and keeps what the caller answered.
struct Show<'a> {
    seen: &'a mut dyn FnMut(Sign<'_>) -> Flow,
    /// Once stopped, stopped.
    flow: Flow,
    progress: Progress,
}

/// When the program last showed that it gets on.
struct Progress {
    at: Instant,
    /// What had gone through the transport when that last was a sign of progress.
    sent: u64,
}

impl Progress {
    fn line(&mut self, now: Instant) {
        self.at = now;
    }

    fn sent(&mut self, sent: u64, now: Instant) {
        if sent >= self.sent.saturating_add(PROGRESS) {
            *self = Progress { at: now, sent };
        }
    }
}

impl Show<'_> {
    /// Tells the new lines. True: there are no more.
    fn lines(&mut self, voice: &mut Voice) -> bool {
        let (lines, over) = voice.hear();
        for line in lines {
            self.progress.line(now());
            self.tell(Sign::Line(&line));
        }
        over
    }

    fn tick(&mut self, transport: &mut Transport) {
        transport.look();
        if let Some(sent) = transport.sent() {
            self.progress.sent(sent, now());
            self.tell(Sign::Sent(sent));
        }
        self.tell(Sign::Tick);
    }

    fn tell(&mut self, sign: Sign<'_>) {
        if (self.seen)(sign) == Flow::Stop {
            self.flow = Flow::Stop;
        }
    }
}

/// How a program is ended, step by step, while it is still listened to.
struct Ending {
    transport: Transport,
    step: Step,
    started: Instant,
    limit: Option<Duration>,
    quiet_limit: Option<Duration>,
}

/// What was done to end it, and until when it is waited for.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Nothing: it runs.
    None,
    /// SIGTERM to its transport.
    TransportAsked(Instant),
    /// SIGKILL to its transport.
    TransportKilled(Instant),
    /// SIGTERM to itself.
    Asked(Instant),
    /// SIGKILL to itself.
    Killed(Instant),
}

impl Ending {
    fn new(call: &Call, child: &Child) -> Ending {
        let transport = Transport::of(child.id());
        Ending { transport, step: Step::None, started: now(), limit: call.limit, quiet_limit: call.quiet_limit }
    }

    /// Takes the next step if it is time. False: it cannot be ended.
    fn go_on(&mut self, child: &Child, show: &Show<'_>, patience: Patience) -> bool {
        let now = now();
        self.step = match self.step {
            Step::None if !self.is_enough(show, now) => Step::None,
            Step::None => {
                self.transport.look();
                if self.transport.was_seen() {
                    self.transport.send(Signal::TERM);
                    Step::TransportAsked(now + patience.resume / 2)
                } else {
                    // It has none, or not yet: there is nothing gentler.
                    run::send(child, Signal::TERM);
                    Step::Asked(now + patience.watched_term)
                }
            }
            Step::TransportAsked(until) if now >= until => {
                self.transport.send(Signal::KILL);
                Step::TransportKilled(now + patience.resume / 2)
            }
            Step::TransportKilled(until) if now >= until => {
                run::send(child, Signal::TERM);
                Step::Asked(now + patience.watched_term)
            }
            Step::Asked(until) if now >= until => {
                run::send(child, Signal::KILL);
                Step::Killed(now + patience.kill)
            }
            Step::Killed(until) if now >= until => return false,
            waiting => waiting,
        };
        true
    }

    /// The caller said so, or one of the limits does.
    fn is_enough(&self, show: &Show<'_>, now: Instant) -> bool {
        let over =
            |limit: Option<Duration>, since: Instant| limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit);
        show.flow == Flow::Stop || over(self.limit, self.started) || over(self.quiet_limit, show.progress.at)
    }
}

/// Cuts a stream into lines. A carriage return ends one too: that is how xl and ssh show progress.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                lines.extend(self.rest());
            } else {
                self.rest.push(byte);
                if self.rest.len() >= LONGEST_LINE {
                    lines.extend(self.rest());
                }
            }
        }
        lines
    }

    /// What has no end yet, if there is anything.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.rest);
        if line.is_empty() { None } else { Some(String::from_utf8_lossy(&line).into_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_either_return_and_may_come_in_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.add(b"o\n\n 10%\r 20%"), ["two", " 10%"]);
        assert_eq!(lines.rest().as_deref(), Some(" 20%"));
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.add(&vec![b'x'; LONGEST_LINE + 1]).len(), 1);
        assert_eq!(lines.rest().as_deref(), Some("x"));
    }

    #[test]
    fn only_memory_is_progress_through_the_transport() {
        let start = now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress { at: start, sent: 0 };
        progress.sent(PROGRESS - 1, later(1));
        assert_eq!(progress.at, start);
        progress.sent(PROGRESS, later(2));
        assert_eq!(progress.at, later(2));
        // Keepalives add up, but slowly.
        progress.sent(PROGRESS + 1, later(3));
        assert_eq!(progress.at, later(2));
        progress.line(later(4));
        progress.sent(2 * PROGRESS - 1, later(5));
        assert_eq!(progress.at, later(4));
        progress.sent(2 * PROGRESS, later(6));
        assert_eq!(progress.at, later(6));
    }
}
