//! Programs: found, started, heard out, and ended when they take too long. The only place that starts any.
//!
//! The ugly corner: without `unsafe` there is no hook between fork and exec, so a lock is handed to a child by having a
//! descriptor without CLOEXEC for the moment of the start. A program that another thread starts in that very moment would get
//! it as well and keep the lock for its lifetime. [`spawn`] therefore lets one thread start at a time, in the whole process.

use super::{Real, background, now};
use crate::adapters::{Call, CallError, Ended, Input, Output};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::env;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// More output than this is no answer. A `drbdsetup` or `xl list` of a large host has some hundred KiB.
pub(super) const MOST_OUTPUT: usize = 16 * 1024 * 1024;

/// Runs a program and hears it out.
///
/// Only the program itself is ended when it breaks its limit, not its children: one of them may be a domU's monitor. Signals to
/// us do not end it either; it has its limit, and who called it decides what comes next.
pub(super) fn run(real: &Real, call: &Call) -> Result<Output, CallError> {
    if call.keeps_lock_alone {
        // Here it is told whether it is there at all.
        find(&call.program, &search_path(real), call)?;
        let keeper = background::keep(call);
        let mut command = command(real, &keeper)?;
        command.arg0(background::KEEPER);
        return hear_out(real, &keeper, command).and_then(|output| background::told(call, output));
    }
    if call.dies_with_us {
        find(&call.program, &search_path(real), call)?;
        let mut command = command(real, &background::bound(call))?;
        command.arg0(background::KEEPER);
        return hear_out(real, call, command);
    }
    hear_out(real, call, command(real, call)?)
}

fn hear_out(real: &Real, call: &Call, mut command: Command) -> Result<Output, CallError> {
    let inherited = call.stdin == Input::Inherited;
    if !inherited {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = spawn(real, call, &mut command)?;
    let mut ears = Ears::new(&mut child);
    let end = end_of(&child);
    let until = call.limit.and_then(|limit| Some((limit, now().checked_add(limit)?)));
    let mut pause = Duration::from_millis(1);
    let status = loop {
        real.pulse.beat();
        if let Some(status) = ended(call, &mut child)? {
            break status;
        }
        let broken = until.filter(|(_, until)| *until <= now());
        if ears.heard() > MOST_OUTPUT || broken.is_some() {
            if !self::end(real, &mut child) {
                return Err(immortal(call));
            }
            ears.hear(real, None, Duration::ZERO);
            let (call, said) = (call.to_string(), said(&ears.out_text, &ears.err_text));
            return Err(match broken {
                Some((limit, _)) => CallError::TimedOut { call, limit, said },
                None => CallError::TooMuch { call, most: MOST_OUTPUT },
            });
        }
        let left = until.map_or(WHILE, |(_, until)| until.saturating_duration_since(now()).min(WHILE));
        let left = real.pulse.at_most(left);
        if end.is_some() {
            ears.hear(real, end.as_ref(), left);
        } else {
            // Short calls are answered at once, long ones cost nothing.
            ears.hear(real, None, pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    };
    // What it started may hold its output open for as long as a domU runs: xl's monitor.
    let until = now() + real.patience.late_output;
    while !ears.is_over() && now() < until && ears.heard() <= MOST_OUTPUT {
        ears.hear(real, None, until.saturating_duration_since(now()));
    }
    if ears.heard() > MOST_OUTPUT {
        return Err(CallError::TooMuch { call: call.to_string(), most: MOST_OUTPUT });
    }
    Ok(Output { ended: how(status), stdout: text(ears.out_text), stderr: text(ears.err_text) })
}

/// Runs them side by side: as many threads as there may be programs, each taking the next call as soon as it has an answer.
pub(super) fn run_all(real: &Real, calls: &[Call], most: usize) -> Vec<Result<Output, CallError>> {
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<Result<Output, CallError>>>> = calls.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = calls.get(at) else { return };
            *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(run(real, call));
        }
    };
    thread::scope(|scope| {
        // We are one of them. A thread that cannot be had only makes it slower.
        for _ in 1..most.min(calls.len()) {
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let lost = |call: &Call| CallError::Lost { call: call.to_string(), why: "nobody ran it".to_string() };
    let taken = answers.into_iter().map(|answer| answer.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.zip(calls).map(|(answer, call)| answer.unwrap_or_else(|| Err(lost(call)))).collect()
}

/// How long a program is left alone that neither says anything nor ends.
const WHILE: Duration = Duration::from_secs(1);

/// How it ended and what it said, in the words of the door.
pub(super) fn output(status: ExitStatus, out: &[u8], err: &[u8]) -> Output {
    Output { ended: how(status), stdout: text(out.to_vec()), stderr: text(err.to_vec()) }
}

fn how(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exit(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

/// The very bytes where they are a text: an answer may have megabytes.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|not| String::from_utf8_lossy(not.as_bytes()).into_owned())
}

/// The program with its arguments, its environment and its standard input; the outputs are ours as long as nobody says otherwise.
#[expect(clippy::disallowed_methods, reason = "this is where programs are started")]
pub(super) fn command(real: &Real, call: &Call) -> Result<Command, CallError> {
    let path = search_path(real);
    let mut command = Command::new(find(&call.program, &path, call)?);
    // LC_ALL=C: we read what they print. LANGUAGE would win over it in gettext programs.
    command.arg0(&call.program).args(&call.args).env("PATH", path).env("LC_ALL", "C").env_remove("LANGUAGE");
    background::keep_to_ourselves(&mut command);
    match call.stdin {
        Input::Nothing => command.stdin(Stdio::null()),
        Input::Text(_) => command.stdin(Stdio::piped()),
        Input::Inherited => return Ok(command),
    };
    // A group of its own, so that Ctrl-C on our terminal reaches us and not it: we end it in our way, or let it finish. With our
    // streams handed on (`xl migrate-receive`) it stays in ours, as it would without us.
    command.process_group(0);
    Ok(command)
}

/// Starts it, hands it the lock it keeps, and gives it what it reads.
pub(super) fn spawn(real: &Real, call: &Call, command: &mut Command) -> Result<Child, CallError> {
    let mut child = {
        let _one_at_a_time = starting();
        // To start without the lock would be to break the promise it stands for.
        let lock = call.keeps_lock.as_deref().map(|name| real.locks.inheritable(name)).transpose();
        let _lock = lock.map_err(|why| not_started(call, &why))?;
        let _locks = if call.is_deed { real.locks.all_inheritable().map_err(|why| not_started(call, &why))? } else { vec![] };
        command.spawn().map_err(|why| not_started(call, &why))?
    };
    if let Input::Text(text) = &call.stdin
        && let Some(mut stdin) = child.stdin.take()
    {
        let text = text.clone();
        // A thread: it may fill its output before it has read all, and then both would wait for each other. That it does not
        // care to read all of it (EPIPE) is its business.
        thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    }
    Ok(child)
}

/// Held while a program is started; see the head of this file.
pub(super) fn starting() -> impl Drop {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it has ended. The system can refuse to say (`ECHILD`, when whoever started us ignores SIGCHLD): then how it ended
/// can never be known.
pub(super) fn ended(call: &Call, child: &mut Child) -> Result<Option<ExitStatus>, CallError> {
    child.try_wait().map_err(|why| CallError::Lost { call: call.to_string(), why: why.to_string() })
}

/// SIGTERM, and SIGKILL when that did not help. False: it sits in the kernel (state D) and cannot die.
pub(super) fn end(real: &Real, child: &mut Child) -> bool {
    let end = end_of(child);
    for (signal, patience) in [(Signal::TERM, real.patience.term), (Signal::KILL, real.patience.kill)] {
        send(child, signal);
        let until = now() + patience;
        while now() < until {
            match child.try_wait() {
                Ok(None) if end.is_some() => {
                    drop(ready(&[end.as_ref().map(AsFd::as_fd)], until.saturating_duration_since(now())))
                }
                Ok(None) => real.signals.wait(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }
    false
}

/// It broke its limit and still runs.
pub(super) fn immortal(call: &Call) -> CallError {
    CallError::Lost { call: call.to_string(), why: "it took too long, and not even SIGKILL ends it".to_string() }
}

/// Sends a signal to our child. Its pid is its own until we have waited for it, so no stranger is ever hit.
pub(super) fn send(child: &Child, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_child(child), signal);
}

/// One output of a program, read by a thread of its own so that the program never waits for us for long.
pub(super) struct Pipe {
    /// None: it has ended, or there never was one.
    chunks: Option<Receiver<Vec<u8>>>,
}

impl Pipe {
    pub(super) fn new(from: Option<impl Read + Send + 'static>) -> Pipe {
        let chunks = from.map(|from| {
            let (to, chunks) = sync_channel(16);
            // Ends with the pipe, or with its first word after we stopped listening.
            thread::spawn(move || pump(from, &to));
            chunks
        });
        Pipe { chunks }
    }

    /// Appends what has come since the last time. True: it has ended, nothing more will come.
    pub(super) fn hear(&mut self, into: &mut Vec<u8>) -> bool {
        while let Some(chunks) = &self.chunks {
            match chunks.try_recv() {
                Ok(chunk) => into.extend_from_slice(&chunk),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => self.chunks = None,
            }
            // Somebody writes faster than we look at it; look.
            if into.len() > MOST_OUTPUT {
                return false;
            }
        }
        true
    }
}

fn pump(mut from: impl Read, to: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) if to.send(buffer[..count].to_vec()).is_err() => return,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Both outputs of a program, heard by this very thread: no thread of ours costs more than a short program does.
struct Ears {
    /// None: it has ended, or there never was one.
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    out_text: Vec<u8>,
    err_text: Vec<u8>,
}

impl Ears {
    fn new(child: &mut Child) -> Ears {
        Ears { out: child.stdout.take(), err: child.stderr.take(), out_text: Vec::new(), err_text: Vec::new() }
    }

    /// How much was said.
    fn heard(&self) -> usize {
        self.out_text.len() + self.err_text.len()
    }

    /// Nothing more will come.
    fn is_over(&self) -> bool {
        self.out.is_none() && self.err.is_none()
    }

    /// Waits for a word on either output or the end of the program, and for so long at most; hears what is there.
    fn hear(&mut self, real: &Real, end: Option<&OwnedFd>, at_most: Duration) {
        let places = [self.out.as_ref().map(AsFd::as_fd), self.err.as_ref().map(AsFd::as_fd), end.map(AsFd::as_fd)];
        match ready(&places, at_most) {
            Ok(ready) => {
                let ready = |at: usize| ready.get(at) == Some(&true);
                take_in(&mut self.out, &mut self.out_text, ready(0));
                take_in(&mut self.err, &mut self.err_text, ready(1));
            }
            // A signal: who called this looks at the flags.
            Err(Errno::INTR) => {}
            // Out of memory, perhaps: the time still passes.
            Err(_) => real.signals.wait(at_most.min(Duration::from_millis(20))),
        }
    }
}

/// Appends what is there now. After poll(2) has said that something is, one read(2) does not wait.
fn take_in<F: AsFd>(from: &mut Option<F>, into: &mut Vec<u8>, is_ready: bool) {
    let Some(open) = from.as_ref().filter(|_| is_ready) else { return };
    into.reserve(64 * 1024);
    match rustix::io::read(open, spare_capacity(into)) {
        Ok(0) => *from = None,
        Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
        Err(_) => *from = None,
    }
}

/// Which of these can be read, or have ended. A place that is not there is never ready.
pub(super) fn ready(places: &[Option<BorrowedFd<'_>>], at_most: Duration) -> Result<Vec<bool>, Errno> {
    let timeout = Timespec { tv_sec: at_most.as_secs().min(86_400) as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    let mut watched: Vec<PollFd<'_>> =
        places.iter().flatten().map(|place| PollFd::from_borrowed_fd(*place, PollFlags::IN)).collect();
    poll(&mut watched, Some(&timeout))?;
    let mut answers = watched.iter().map(|w| !w.revents().is_empty());
    Ok(places.iter().map(|place| place.is_some() && answers.next().unwrap_or(false)).collect())
}

/// Can be read from when the program has ended. Linux before 5.3 has no such thing: there it is asked again and again.
fn end_of(child: &Child) -> Option<OwnedFd> {
    rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
}

/// The folders to search, in order.
fn search_path(real: &Real) -> OsString {
    let ours = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    // An empty or relative entry means the folder where the caller happens to stand; root does not start programs from there.
    let theirs = env::split_paths(&real.path).filter(|folder| folder.is_absolute());
    let mut folders: Vec<PathBuf> = theirs.collect();
    for folder in ours {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    // No entry has a colon: they come from splitting at colons.
    env::join_paths(folders).unwrap_or_default()
}

/// Finds a program, so that "not there" is not taken for "its interpreter is not there".
fn find(program: &str, path: &OsString, call: &Call) -> Result<PathBuf, CallError> {
    let candidates: Vec<PathBuf> = match program.contains('/') {
        true => vec![PathBuf::from(program)],
        false => env::split_paths(path).map(|folder| folder.join(program)).collect(),
    };
    let mut there = candidates.into_iter().filter(|file| file.is_file()).peekable();
    let first = there.peek().cloned().ok_or_else(|| CallError::NotFound(program.to_string()))?;
    let may = |file: &Path| rustix::fs::access(file, Access::EXEC_OK).is_ok();
    there.find(|file| may(file)).ok_or_else(|| not_started(call, &format!("{} may not be executed", first.display())))
}

fn not_started(call: &Call, why: &dyn std::fmt::Display) -> CallError {
    CallError::NotStarted { call: call.to_string(), why: why.to_string() }
}

/// The end of what it said, for an error message.
fn said(out: &[u8], err: &[u8]) -> String {
    let tail = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2048)..]).trim().to_string();
    [tail(out), tail(err)].iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("\n")
}
