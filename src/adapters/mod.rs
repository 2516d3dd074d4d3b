//! Sees and does. Imports core.
//!
//! [`World`] is the one door between deciding and doing: programs, files, locks, the clock, the dice and what a person reads
//! all pass through it. [`real`] is the world itself; `lab` is a pretend one.

pub mod boot;
pub mod deeds;
pub mod drbd;
pub mod foreign;
pub mod here;
pub mod look;
pub mod peer;
pub mod real;
#[cfg(test)]
pub(crate) mod scripted;
pub mod ssh;
pub mod store;
pub mod survey;
pub mod xen;

use crate::tongue::Tongue;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// What is said where nobody asked for another language.
static ENGLISH: Tongue = Tongue::english();

/// What can be done to the world, and nothing else.
///
/// Paths are the absolute paths of the design (`/etc/xen/…`); the world puts its root in front of them.
pub trait World {
    /// Runs a program found through PATH, and waits for it within its limit.
    fn run(&self, call: &Call) -> Result<Output, CallError>;

    /// Runs several programs at once, at most `most` at a time, each within its own limit. The answers stand in the order of the calls.
    ///
    /// One after the other is as right, and only slower: a pretend world does so.
    fn run_all(&self, calls: &[Call], most: usize) -> Vec<Result<Output, CallError>> {
        let _ = most;
        calls.iter().map(|call| self.run(call)).collect()
    }

    /// The same, and does something else meanwhile. One after the other is as right here, too.
    fn run_all_beside(&self, calls: &[Call], most: usize, meanwhile: &mut dyn FnMut()) -> Vec<Result<Output, CallError>> {
        meanwhile();
        self.run_all(calls, most)
    }

    /// Runs a long program and tells what it shows meanwhile; [`Flow::Stop`] ends it gently (for `xl migrate`: by ending its
    /// transport, so that xl itself puts the guest back), and [`World::watch`] still returns its output. So do both limits of
    /// the call. A program without a transport is ended by SIGTERM. Signals to us end nothing: [`World::stopping`] tells of
    /// them at the next [`Sign::Tick`], which comes at once, and the caller knows whether this is a moment to stop (for
    /// `xl migrate`: not once the target has said that it is ready). Only a program that cannot be ended at all is an error.
    fn watch(&self, call: &Call, seen: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError>;

    /// Runs a receiving `xl` between our own standard streams and its: what comes goes to it, what it answers goes back, and its
    /// messages go where ours go. At each [`Halt`] nothing goes on before `gate` has answered. [`Flow::Stop`] ends both of its
    /// streams, and so does the end of what comes: it then destroys its copy by itself. What nobody reads any more is swallowed,
    /// because an xl that cannot write its report leaves its copy behind (`xl_migrate.c`, `migrate_receive`).
    fn relay(&self, call: &Call, gate: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError>;

    /// The wall clock, for the record and for people.
    fn now(&self) -> SystemTime;

    /// A clock that never goes back, for limits.
    fn clock(&self) -> Duration;

    /// Waits; ends early when somebody asks us to stop.
    fn nap(&self, time: Duration) -> Nap;

    /// Waits in the middle of a deed, whoever asks us to stop: half a deed is worse than a short wait.
    fn rest(&self, time: Duration) {
        let _: Nap = self.nap(time);
    }

    /// One roll of the dice: 0 up to, not including, `below`.
    fn roll(&self, below: u64) -> u64;

    /// How a program that we start must be told a path of ours: with the root in front, where there is one.
    fn told(&self, path: &str) -> String {
        path.to_string()
    }

    /// Reads a whole file: a plain one of at most 8 MiB. Symbolic links are followed. The error does not carry the path, nor
    /// do those of [`World::list`] and [`World::replace`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Who may do what with a file, links followed. A world that cannot tell says so.
    fn access(&self, path: &Path) -> io::Result<Access> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The names in a folder, sorted. Symbolic links, plain files and folders alike.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Puts a new text in the place of a file: written beside it, fsync, rename, fsync of the folder. Mode 0600 unless it was
    /// there. The folder is made when it is missing only below `/run` and `/var`. A symbolic link or anything else that is no
    /// plain file is not replaced.
    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()>;

    /// Takes a lock by its name, without waiting. `purpose` (one line) is shown to whoever finds it taken.
    fn lock(&self, name: &str, purpose: &str) -> Result<Box<dyn Held>, LockError>;

    /// Who holds a lock, if anybody does. A lock that cannot be asked counts as held.
    fn lock_holder(&self, name: &str) -> Option<Holder>;

    /// Ends the programs that the holder of a lock has started, with SIGTERM and then SIGKILL; the holder sees them end.
    fn end_programs_of(&self, lock: &str) -> io::Result<()>;

    /// Somebody asked us to stop (SIGINT, SIGTERM).
    fn stopping(&self) -> bool;

    /// Somebody asked us to look again (SIGHUP) since this was last asked.
    fn reloading(&self) -> bool;

    /// Waits without any work in between: until `until` (of [`World::clock`]), or somebody asks us to stop or to look again, or
    /// `heard` says stop to a line of the program, which never ends by itself (`drbdsetup events2`) and is ended with the wait.
    fn listen(&self, call: Option<&Call>, until: Duration, heard: &mut dyn FnMut(&str) -> Flow) -> Result<Woken, CallError>;

    /// Starts this very program once more, with these arguments (`argv[0]` first), in the background: without our terminal, our
    /// streams and our end.
    fn begin(&self, argv: &[String]) -> io::Result<()>;

    /// Runs this very program several times beside us, each with arguments of its own (`argv[0]` first) and nothing to read.
    ///
    /// `foreman` is asked for arguments whenever there is room ([`Shift::Free`]): none mean that nothing more is to begin now, and it is
    /// asked again when one has ended. It hears every line and every end, and says nothing to those. Ends when nobody is at work and
    /// nothing more is to begin. When somebody asks us to stop, they are asked, too; they outlive us when we are killed.
    fn crew(&self, foreman: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>);

    /// Asks the holder of a lock for something. False: nobody holds it.
    fn summon(&self, lock: &str, what: Summons) -> io::Result<bool>;

    /// Tells the service manager how we are (`READY=1`, sd_notify(3)), where there is one.
    fn notify(&self, state: &str);

    /// A line for the person (or the peer) that called us. That nobody reads it is no error.
    ///
    /// It is English, and put into the language of the person here and nowhere before ([`crate::tongue`]); what goes [`To::Machine`]
    /// or [`To::Log`] stays as it is.
    fn say(&self, to: To, line: &str);

    /// The columns and lines that the terminal on standard error has now, where there is one and it tells.
    fn window(&self) -> Option<(u16, u16)> {
        None
    }

    /// A word of a table in the language of the person: columns are laid out before they are said.
    fn word(&self, word: &str) -> String {
        self.tongue().word(word)
    }

    /// The language of the person, for `--help`, which is laid out before it is said as well.
    fn tongue(&self) -> &Tongue {
        &ENGLISH
    }
}

/// Who may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The permission bits, `0o600`.
    pub mode: u32,
    /// Its owner is neither root nor whoever runs this program.
    pub foreign: bool,
}

/// A lock that is held until it is dropped.
pub trait Held {}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// In a sentence for a person.
    pub said: String,
    /// Whether anything is to be expected of it.
    pub state: HolderState,
}

/// Whether anything is to be expected of whoever holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderState {
    /// It is at work, or waits for something; or a program that it has started still runs.
    Awake,
    /// It does nothing until it hears SIGCONT (SIGSTOP, or Ctrl-Z at a terminal).
    Stopped,
    /// The lock could not be asked, so nobody knows whether it is held.
    Unknown,
}

impl Holder {
    /// Somebody who is at work.
    pub fn awake(said: impl Into<String>) -> Holder {
        Holder { said: said.into(), state: HolderState::Awake }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

/// Why a lock was not had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("held by {0}")]
    Held(String),
    /// The lock file could not be made or opened.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Standard output: the answer, for a person.
    Out,
    /// Standard output: the answer, for a machine or a peer. It is the same whatever language the person reads.
    Machine,
    /// Standard error: what went wrong, and progress.
    Err,
    /// The system's log: decisions that must be found later.
    Log,
}

/// How a nap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nap {
    /// The time is over.
    Over,
    /// Somebody asked us to stop.
    Stopped,
}

/// A program to run: argv, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The program, found through PATH with the sbin folders appended.
    pub program: String,
    /// Its arguments; no shell ever sees them.
    pub args: Vec<String>,
    /// What it reads.
    pub stdin: Input,
    /// What it may take in all.
    pub limit: Option<Duration>,
    /// [`World::watch`] only: ended, as by [`Flow::Stop`], when it has shown no sign of progress for so long. A sign is a line, or
    /// 64 KiB through its transport.
    pub quiet_limit: Option<Duration>,
    /// The child keeps this lock, which we must hold, as long as it lives, even when we die first. So do the children that it
    /// leaves behind, if [`Call::keeps_lock_alone`] does not say otherwise.
    pub keeps_lock: Option<String>,
    /// [`World::run`] only: its children do not keep that lock. For `xl create`, whose monitor lives as long as the domU.
    pub keeps_lock_alone: bool,
    /// [`World::run`] only: it is killed when we die. For what must not go on without the lock that we hold for it.
    pub dies_with_us: bool,
    /// It changes something, so it keeps every lock that we hold as long as it lives, even when we are killed first: whoever has the lock
    /// next would otherwise look, and then be undone by a command of ours that was slow (tests/model shows two domUs for it).
    pub is_deed: bool,
    /// [`World::watch`] only: the child writes its messages to this file (made anew, 0600), so that our own death never breaks
    /// its pipe. Both outputs go there, and [`Output::stderr`] has them; [`Output::stdout`] is empty.
    pub log: Option<String>,
}

/// What a program reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing: closed.
    Nothing,
    /// This text.
    Text(String),
    /// Ours: stdin, stdout and stderr are handed on as they are (`xl migrate-receive`).
    Inherited,
}

impl Call {
    /// A short query or deed: 30 seconds.
    pub fn new<I, S>(program: &str, args: I) -> Call
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Call {
            program: program.to_string(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: Input::Nothing,
            limit: Some(Duration::from_secs(30)),
            quiet_limit: None,
            keeps_lock: None,
            keeps_lock_alone: false,
            dies_with_us: false,
            is_deed: false,
            log: None,
        }
    }

    /// The same with another limit.
    pub fn within(mut self, limit: Duration) -> Call {
        self.limit = Some(limit);
        self
    }

    /// The same as something that changes the world: see [`Call::is_deed`].
    pub fn as_deed(mut self) -> Call {
        self.is_deed = true;
        self
    }

    /// The same with something to read.
    pub fn reading(mut self, text: impl Into<String>) -> Call {
        self.stdin = Input::Text(text.into());
        self
    }
}

impl fmt::Display for Call {
    /// As one could paste it into a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        for arg in &self.args {
            let plain = !arg.is_empty() && arg.chars().all(|c| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c));
            if plain {
                write!(f, " {arg}")?;
            } else {
                write!(f, " '{}'", arg.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// How a program ended and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, or the signal that ended it.
    pub ended: Ended,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exit(i32),
    /// By a signal.
    Signal(i32),
}

impl Output {
    /// Exit code 0.
    pub fn ok(&self) -> bool {
        self.ended == Ended::Exit(0)
    }

    /// The exit code, where there is one.
    pub fn code(&self) -> Option<i32> {
        match self.ended {
            Ended::Exit(code) => Some(code),
            Ended::Signal(_) => None,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exit(code) => write!(f, "exit {code}"),
            Ended::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a watched program shows while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign<'a> {
    /// A line that it printed, on either output. Xen's programs say everything on standard error, `drbdsetup events2` on the other.
    Line(&'a str),
    /// So many bytes have gone through its transport by now; before a tick, where it can be seen.
    Sent(u64),
    /// A second is over, or somebody asked us to stop; a chance to stop it.
    Tick,
}

/// Whether a watched program goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Let it go on.
    On,
    /// End it gently.
    Stop,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A line of the program.
    Heard,
    /// The time has come.
    Time,
    /// Somebody asked us to stop or to look again.
    Asked,
    /// The program has ended, which it should not.
    Ended,
}

/// What the foreman of a crew hears. Workers have numbers from 0, in the order in which they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift<'a> {
    /// There is room for one more: what is it to do?
    Free,
    /// A worker printed this line.
    Line {
        /// Its number.
        who: usize,
        /// On which output.
        to: To,
        /// The line.
        line: &'a str,
    },
    /// A worker has ended: its exit code, where it has one. What it did is for a look to tell.
    Ended {
        /// Its number.
        who: usize,
        /// How.
        code: Option<i32>,
    },
}

/// What the holder of a lock is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summons {
    /// To look again (SIGHUP).
    Reload,
    /// To end (SIGTERM).
    Stop,
}

/// Where the stream of a migration waits at its receiving end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// At its beginning, which is not of a form that we know: nothing will tell when it is complete.
    Unknown,
    /// All but its last byte has gone to the receiving xl: the domU has stopped at the sender, and has no disks here yet.
    Complete,
    /// The receiving xl has said that it is ready, and the sender has not heard it yet: until it does, it takes the domU back.
    Ready,
    /// The sender permits it to run, and the receiving xl has not heard it yet. Until here it has certainly never run there.
    Go,
}

/// Why a program gave no answer at all.
#[derive(Debug, Error)]
pub enum CallError {
    /// It is not there.
    #[error("{0}: not found on this host")]
    NotFound(String),
    /// It could not be started.
    #[error("{call}: could not be started: {why}")]
    NotStarted {
        /// The command, as one could paste it.
        call: String,
        /// The system's words.
        why: String,
    },
    /// It took longer than it may, and was ended.
    #[error("{call}: no answer within {} s, ended", .limit.as_secs())]
    TimedOut {
        /// The command, as one could paste it.
        call: String,
        /// The limit it broke.
        limit: Duration,
        /// What it had said so far.
        said: String,
    },
    /// It printed more than any answer can be, and was ended: half an answer would be taken for a whole one.
    #[error("{call}: more than {} MiB of output, ended", .most / 1024 / 1024)]
    TooMuch {
        /// The command, as one could paste it.
        call: String,
        /// How much an answer may have, in bytes.
        most: usize,
    },
    /// It ran, but the system does not tell how it ended.
    #[error("{call}: how it ended cannot be seen: {why}")]
    Lost {
        /// The command, as one could paste it.
        call: String,
        /// The system's words.
        why: String,
    },
}
