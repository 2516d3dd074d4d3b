//! The stage: a root folder for the daemon, a PATH with stand-ins, and what the stand-ins know and write down.

use crate::texts;
use rustix::process::{Pid, Signal};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Where a stand-in finds the stage.
pub const VARIABLE: &str = "XEN_DRBD_BENCH";

/// Longer than anything here may take, in seconds.
const TOO_LONG: u64 = 60;

/// CLOCK_MONOTONIC, in nanoseconds: the same clock in every process.
pub fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The stage of a stand-in: named by the environment, or above the folder that it was called from by its full path.
pub fn of_a_stand_in() -> Option<PathBuf> {
    let called = PathBuf::from(std::env::args_os().next()?);
    let above = called.parent().filter(|bin| bin.is_absolute()).and_then(Path::parent).map(PathBuf::from);
    std::env::var_os(VARIABLE).map(PathBuf::from).or(above)
}

/// Writes down that this happens now. One write(2) to a file opened for appending: lines of several processes do not mix.
pub fn mark(stage: &Path, what: &str) {
    let now = clock();
    if let Ok(mut file) = OpenOptions::new().append(true).open(stage.join("log")) {
        let _ = file.write_all(format!("{now} {what}\n").as_bytes());
    }
}

/// How many resources there are.
pub fn resources(stage: &Path) -> usize {
    fs::read_to_string(stage.join("resources")).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What the stand-ins remember: files in folders.
pub struct Marks(PathBuf);

impl Marks {
    /// Those of a stage.
    pub fn of(stage: &Path) -> Marks {
        Marks(stage.join("marks"))
    }

    /// Every name that has this mark, in the order in which they are called.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join(kind)) else { return vec![] };
        let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The text of a mark.
    pub fn get(&self, kind: &str, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(kind).join(name)).ok()
    }

    /// Sets a mark.
    pub fn set(&self, kind: &str, name: &str, text: &str) {
        let _ = fs::create_dir_all(self.0.join(kind));
        let _ = fs::write(self.0.join(kind).join(name), text);
    }

    /// Takes a mark away.
    pub fn unset(&self, kind: &str, name: &str) {
        let _ = fs::remove_file(self.0.join(kind).join(name));
    }
}

/// One thing that was written down.
pub struct Line {
    /// When, by [`clock`].
    pub at: u64,
    /// `event`, or a tool with its words.
    pub what: String,
}

/// A stage with so many domUs, none of which has its peer.
pub struct Stage {
    folder: TempDir,
    conductor: UnixListener,
}

/// The running `drbdsetup events2`, waiting for what it is to tell.
pub struct Events(UnixStream);

impl Stage {
    /// Sets it up, in memory where there is such a place: the daemon's own files are in `/run`, which is in memory too.
    pub fn new(domus: usize) -> Stage {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::Builder::new().prefix("xen-drbd-bench-").tempdir_in(memory).or_else(|_| TempDir::new());
        let folder = folder.expect("a folder for the stage");
        let at = |path: &str| folder.path().join(path);
        for path in ["bin", "marks", "root/proc", "root/run", "root/etc/xen/drbd-auto"] {
            fs::create_dir_all(at(path)).expect("a folder of the stage");
        }
        let this = std::env::current_exe().expect("this program");
        for tool in crate::stand_in::NAMES {
            symlink(&this, at("bin").join(tool)).expect("a stand-in");
        }
        let write = |path: &str, text: &str| fs::write(at(path), text).expect("a file of the stage");
        write("log", "");
        write("resources", &domus.to_string());
        write("dump.xml", &texts::dump_xml(domus));
        write("any.cfg", &texts::config("any"));
        write("root/proc/drbd", texts::PROC_DRBD);
        for number in 0..domus {
            let name = texts::name(number);
            write(&format!("root/etc/xen/drbd-auto/{name}.cfg"), &texts::config(&name));
        }
        let conductor = UnixListener::bind(at("conductor")).expect("a socket on the stage");
        conductor.set_nonblocking(true).expect("a socket that does not wait");
        Stage { folder, conductor }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `xen-drbd-auto` with these words, in this world.
    #[expect(clippy::disallowed_methods, reason = "a benchmark starts what it measures")]
    pub fn auto(&self, words: &[&str]) -> Command {
        let mut command = Command::new(executable());
        command.arg0("xen-drbd-auto").arg("--root").arg(self.path().join("root")).arg("--path").arg(self.path().join("bin"));
        command.args(words).env(VARIABLE, self.path()).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A line for `sh` in this world.
    #[expect(clippy::disallowed_methods, reason = "a benchmark starts what it measures")]
    pub fn sh(&self, line: &str) -> Command {
        let mut path = OsString::from(self.path().join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PATH", path).env(VARIABLE, self.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Waits until some `drbdsetup events2` has told the present state and is listened to.
    pub fn events(&self) -> Events {
        let mut waited = 0;
        let stream = loop {
            if let Ok((stream, _)) = self.conductor.accept() {
                break stream;
            }
            assert!(waited < TOO_LONG * 500, "nobody listens to drbdsetup events2:\n{}", self.story());
            waited += 1;
            pause(2);
        };
        stream.set_nonblocking(false).expect("a socket that waits");
        stream.set_read_timeout(Some(Duration::from_secs(TOO_LONG))).expect("a time limit");
        let mut ready = String::new();
        BufReader::new(&stream).read_line(&mut ready).expect("a word of drbdsetup events2");
        assert_eq!(ready, "ready\n");
        // It has written the state; whoever reads it is given the time to have read it.
        pause(50);
        Events(stream)
    }

    /// What has happened so far.
    pub fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.path().join("log")).expect("the log of the stage");
        let line =
            |line: &str| line.split_once(' ').and_then(|(at, what)| Some(Line { at: at.parse().ok()?, what: what.to_string() }));
        text.lines().filter_map(line).collect()
    }

    /// Forgets what has happened so far.
    pub fn forget(&self) {
        fs::write(self.path().join("log"), "").expect("the log of the stage");
    }

    /// The peer of a domU comes back, and DRBD says so. What was started from then on, up to and with `xl create`.
    pub fn back(&self, events: &mut Events, number: usize) -> Vec<Line> {
        self.forget();
        Marks::of(self.path()).set("connected", &texts::name(number), "");
        events.say(&format!("back {number}"));
        for _ in 0..TOO_LONG * 100 {
            let mut lines = self.lines();
            if let Some(end) = lines.iter().position(|line| line.what.starts_with("xl create")) {
                lines.truncate(end + 1);
                return lines;
            }
            pause(10);
        }
        panic!("nobody answered the event with xl create:\n{}", self.story());
    }

    fn story(&self) -> String {
        self.lines().iter().map(|line| format!("{} {}\n", line.at, line.what)).collect()
    }
}

impl Events {
    /// Has it tell something.
    pub fn say(&mut self, order: &str) {
        self.0.write_all(format!("{order}\n").as_bytes()).expect("drbdsetup events2 listens");
    }
}

/// The waiting daemon; it is ended when this is dropped.
pub struct Daemon(Pid);

impl Daemon {
    /// The one of a stage, by the word that it wrote into its lock: `pid PID …`.
    pub fn of(stage: &Stage) -> Daemon {
        let lock = stage.path().join("root/run/xen-migrate/xen-drbd-auto-daemon.lock");
        let text = fs::read_to_string(lock).unwrap_or_default();
        let pid = text.strip_prefix("pid ").and_then(|rest| rest.split(' ').next()?.parse().ok()).and_then(Pid::from_raw);
        Daemon(pid.expect("a daemon that waits"))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.0.as_raw_nonzero().get() as u32
    }

    /// Has it look at all domUs now.
    pub fn look_again(&self) {
        rustix::process::kill_process(self.0, Signal::HUP).expect("a daemon that can be called");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, Signal::TERM);
        for _ in 0..500 {
            // It is nobody's child here, so its pid is asked for until it is gone.
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
            if !stat.contains("xen-drbd") || stat.contains(") Z ") {
                return;
            }
            pause(10);
        }
    }
}

/// A program that runs until it is dropped.
pub struct Running(pub Child);

impl Running {
    /// Starts it.
    pub fn new(mut command: Command) -> Running {
        Running(command.process_group(0).spawn().expect("a program that can be started"))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.0);
        let ask = |signal| {
            let _ = rustix::process::kill_process_group(group, signal);
        };
        ask(Signal::TERM);
        for _ in 0..200 {
            if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            pause(10);
        }
        ask(Signal::KILL);
        let _ = self.0.wait();
    }
}

/// The executable that is measured.
pub fn executable() -> PathBuf {
    std::env::var_os("XEN_DRBD_BENCH_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_xen-drbd")), PathBuf::from)
}

/// Waits, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a benchmark waits for what it measures")]
pub fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}
