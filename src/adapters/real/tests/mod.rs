//! Real processes, real files, real signals. Nothing is said here about how long anything takes, only that it ends.

mod crew;
mod files;
mod lock;
mod relay;
mod run;
mod watch;

use super::{Patience, Real, World};
use crate::adapters::{Call, Flow, Nap, Sign, To};
use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// An empty world below a folder of its own, which is less patient than the real one.
fn world() -> (TempDir, Real) {
    let root = tempfile::tempdir().unwrap();
    let real = impatient(root.path());
    (root, real)
}

fn impatient(root: &Path) -> Real {
    let mut real = Real::new(Some(root.to_path_buf()));
    real.patience = Patience {
        term: Duration::from_millis(100),
        late_output: Duration::from_millis(100),
        tick: Duration::from_millis(30),
        resume: Duration::from_secs(20),
        watched_term: Duration::from_millis(100),
        kill: Duration::from_secs(60),
        lock: Duration::from_millis(40),
    };
    real
}

fn sh(script: &str) -> Call {
    Call::new("sh", ["-c", script])
}

/// An executable file. Nobody may start a program meanwhile: it would inherit the open file, and then the file is busy.
fn script(path: &Path, text: &str) {
    let _nobody_starts = super::run::starting();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits until something is so.
fn until<T>(real: &Real, what: &str, mut is_so: impl FnMut() -> Option<T>) -> T {
    let end = real.clock() + Duration::from_secs(60);
    while real.clock() < end {
        if let Some(value) = is_so() {
            return value;
        }
        real.signals.wait(Duration::from_millis(10));
    }
    panic!("never so: {what}");
}

fn alive(pid: &str) -> bool {
    // A zombie is dead.
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// This very program as another process that plays one part of a test (see `another_process`).
#[expect(clippy::disallowed_methods, reason = "the tests of the door stand outside of it")]
fn another(part: &str, root: &Path, front: &[&str]) -> Command {
    let exe = env::current_exe().unwrap();
    let mut command = match front.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(exe);
            command
        }
        None => Command::new(exe),
    };
    command.args(["--exact", "adapters::real::tests::another_process", "--ignored", "--nocapture"]);
    command.env("XEN_DRBD_TEST_PART", part).env("XEN_DRBD_TEST_ROOT", root);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

#[test]
#[ignore = "a part of other tests, in a process of its own"]
fn another_process() {
    let (Ok(part), Some(root)) = (env::var("XEN_DRBD_TEST_PART"), env::var_os("XEN_DRBD_TEST_ROOT")) else { return };
    let real = impatient(Path::new(&root));
    match part.as_str() {
        // Holds a lock, hands it to a program with a log, and waits to be killed.
        "migrate" => {
            let _held = real.lock("web", "xen-migrate migrate web").unwrap();
            let mut call = sh("echo $$; while ! [ -e \"$1\" ]; do sleep 0.05; done; echo out; echo err >&2; echo ok >\"$1\"");
            call.args.extend(["sh".to_string(), format!("{}/go", Path::new(&root).display())]);
            call.limit = None;
            call.log = Some("/run/xen-migrate/web.log".to_string());
            call.keeps_lock = Some("web".to_string());
            real.watch(&call, &mut |_| Flow::On).unwrap();
        }
        "wait" => {
            let _held = real.lock("waiting", "waiting").unwrap();
            assert_eq!(real.nap(Duration::from_secs(600)), Nap::Stopped);
        }
        "nap" => {
            real.say(To::Out, "asleep");
            assert_eq!(real.nap(Duration::from_secs(600)), Nap::Stopped);
            assert!(real.stopping());
            real.say(To::Out, "stopped");
        }
        "unheard" => {
            let root = Path::new(&root);
            fs::write(root.join("up"), "").unwrap();
            until(&real, "the reader is gone", || root.join("gone").exists().then_some(()));
            real.say(To::Out, "nobody hears this");
            fs::write(root.join("survived"), "").unwrap();
        }
        "full" => files::on_a_full_disk(&real),
        "read-only" => files::on_a_read_only_disk(&real),
        other => panic!("no such part: {other}"),
    }
}

#[test]
fn a_signal_ends_a_nap() {
    for signal in ["TERM", "INT"] {
        let (root, real) = world();
        let mut sleeper = another("nap", root.path(), &[]).spawn().unwrap();
        let mut stdout = sleeper.stdout.take().unwrap();
        let mut heard = String::new();
        while !heard.contains("asleep") {
            let mut byte = [0];
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "ended too early: {heard}");
            heard.push(char::from(byte[0]));
        }
        assert!(real.run(&sh(&format!("kill -{signal} {}", sleeper.id()))).unwrap().ok());
        stdout.read_to_string(&mut heard).unwrap();
        assert!(heard.contains("stopped"), "{heard}");
        assert!(sleeper.wait().unwrap().success());
    }
}

#[test]
fn a_nap_ends_by_itself_and_does_not_begin_when_we_should_stop() {
    let (_root, real) = world();
    let before = real.clock();
    assert_eq!(real.nap(Duration::from_millis(20)), Nap::Over);
    assert!(real.clock() - before >= Duration::from_millis(20), "woke early");
    real.signals.pretend();
    assert_eq!(real.nap(Duration::MAX), Nap::Stopped);
}

#[test]
fn nobody_listening_is_no_failure() {
    let (root, real) = world();
    let mut command = another("unheard", root.path(), &[]);
    let mut speaker = command.stderr(Stdio::null()).spawn().unwrap();
    until(&real, "it runs", || root.path().join("up").exists().then_some(()));
    drop(speaker.stdout.take());
    fs::write(root.path().join("gone"), "").unwrap();
    // The test harness in there writes to the same closed pipe and fails; what counts is how far the part got.
    speaker.wait().unwrap();
    assert!(root.path().join("survived").exists());
}

#[test]
fn the_log_gets_one_line_each_and_may_be_missing() {
    let (root, mut real) = world();
    real.say(To::Log, "nobody is there");
    fs::create_dir(root.path().join("dev")).unwrap();
    let log = UnixDatagram::bind(root.path().join("dev/log")).unwrap();
    real.tag = "xen-drbd-auto".to_string();
    real.say(To::Log, "web: ignored\n<0>kernel: forged");
    let mut bytes = [0; 1000];
    let count = log.recv(&mut bytes).unwrap();
    let pid = std::process::id();
    assert_eq!(String::from_utf8_lossy(&bytes[..count]), format!("<30>xen-drbd-auto[{pid}]: web: ignored <0>kernel: forged"));
}

#[test]
fn dice_stay_below() {
    let (_root, real) = world();
    assert_eq!(real.roll(0), 0);
    let rolls: Vec<u64> = (0..200).map(|_| real.roll(3)).collect();
    assert!(rolls.iter().all(|&roll| roll < 3));
    assert!((0..3).all(|side| rolls.contains(&side)), "no dice: {rolls:?}");
}

#[test]
fn the_clocks_go_on() {
    let (_root, real) = world();
    assert!(real.clock() <= real.clock());
    assert!(real.now() > std::time::SystemTime::UNIX_EPOCH);
}

/// What a watched program showed, with the number of ticks.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    sent: Vec<u64>,
    ticks: usize,
}

impl Seen {
    fn add(&mut self, sign: Sign<'_>) {
        match sign {
            Sign::Line(line) => self.lines.push(line.to_string()),
            Sign::Sent(bytes) => self.sent.push(bytes),
            Sign::Tick => self.ticks += 1,
        }
    }
}
