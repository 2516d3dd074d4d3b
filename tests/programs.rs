//! The real executable among pretended programs, all of them real processes: what the in-process lab cannot show. Signals, pipes,
//! locks that children inherit, PATH and `--root`, and the streams of ssh.

#![expect(clippy::disallowed_methods, reason = "programs are run as an operator runs them")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use xen_drbd::core::drbd::{Fencing, Generation, Role};
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::folder::{Folder, Programs};
use xen_drbd::lab::{Deed, DiskForm, Lab, Phase, Quirk, Stage, When};

#[path = "programs/service.rs"]
mod service;

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";
const TOOL: &str = env!("CARGO_BIN_EXE_xen-drbd");

/// A pair of Dom0s in a folder of its own, with a blank in its path.
struct Place {
    temp: TempDir,
    folder: Folder,
}

/// How a command ended: its exit code (137: killed), and everything that it said.
#[derive(Debug)]
struct Ran {
    code: i32,
    said: String,
}

impl Place {
    fn new(generation: Generation, toolstack: Toolstack, form: DiskForm) -> Place {
        Place::with_tool(tempfile::tempdir().unwrap(), PathBuf::from(TOOL), generation, toolstack, form)
    }

    fn with_tool(temp: TempDir, tool: PathBuf, generation: Generation, toolstack: Toolstack, form: DiskForm) -> Place {
        let programs = Programs { lab: Programs::lab_beside_test().unwrap(), tool };
        let folder = Folder::make(&temp.path().join("a fleet"), Lab::pair(generation, toolstack, form), &programs).unwrap();
        Place { temp, folder }
    }

    fn usual() -> Place {
        Place::new(Generation::V84, Toolstack::Xl, DiskForm::Script)
    }

    fn with<T>(&self, f: impl FnOnce(&Lab) -> T) -> T {
        self.folder.with(f).unwrap()
    }

    fn plan(&self, when: When, deed: Deed) {
        self.with(|lab| lab.inject(when, deed));
    }

    fn run(&self, host: &str, line: &str) -> Ran {
        let argv: Vec<&str> = line.split(' ').collect();
        ran(self.folder.command(host, &argv).stdin(Stdio::null()).output().unwrap())
    }

    /// The same, and it must end with this exit code.
    fn ends(&self, host: &str, line: &str, code: i32) -> String {
        let ran = self.run(host, line);
        assert_eq!(ran.code, code, "{host}# {line}\n{}\n{}", ran.said, self.journal());
        ran.said
    }

    fn journal(&self) -> String {
        std::fs::read_to_string(self.folder.dir().join("journal.txt")).unwrap_or_default()
    }

    fn record(&self, host: &str) -> String {
        let text = std::fs::read_to_string(self.folder.root(host).join("etc/xen/migrate-status.txt")).unwrap_or_default();
        text.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n")
    }

    /// Everything is in order, and `web` runs on this host.
    fn is_well_on(&self, host: &str) {
        let journal = self.journal();
        self.with(|lab| {
            assert_eq!(lab.runs_on("web"), [host], "{journal}");
            assert!(lab.findings().is_empty(), "{:?}\n{journal}", lab.findings());
            for h in [A, B] {
                let names: Vec<String> = lab.domains(h).into_iter().map(|(name, _)| name).collect();
                assert_eq!(names, if h == host { vec!["web"] } else { vec![] }, "{h}\n{journal}");
                assert_eq!(lab.role(h, "web"), if h == host { Role::Primary } else { Role::Secondary }, "{h}\n{journal}");
                let replica = lab.with(|f| f.replica(h, "web").cloned()).unwrap();
                assert_eq!(replica.options, replica.configured, "{h}\n{journal}");
                assert_eq!(lab.connection(h, "web"), "Connected", "{h}\n{journal}");
            }
            assert_eq!(lab.disk_states(host, "web"), [4], "{journal}");
            // It does not only exist: it writes.
            let beats = lab.beats("web");
            lab.pass(1000);
            assert!(lab.beats("web") > beats, "{journal}");
        });
        let away = self.record(A);
        assert_eq!(away.contains("away"), host == B, "{away}");
        assert!(!["leaving", "arriving", "returning", "open="].iter().any(|w| away.contains(w)), "{away}");
    }

    fn lab(&self, words: &[&str]) -> Output {
        let mut command = Command::new(Programs::lab_beside_test().unwrap());
        command
            .args(["--tool", TOOL])
            .args(words)
            .env("LC_ALL", "C")
            .env("XEN_DRBD_LAB", self.temp.path())
            .env("TMPDIR", self.temp.path());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

fn ran(output: Output) -> Ran {
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    Ran { code: output.status.code().unwrap_or(137), said }
}

/// What the operator's file must say with DRBD 8.3.
fn always_open(conf: &mut xen_drbd::lab::model::Conf) {
    conf.two_primaries = true;
    conf.fencing = Fencing::ResourceOnly;
}

fn at(stage: Stage) -> When {
    When::Stage("web".into(), stage)
}

fn there_and_back(generation: Generation, toolstack: Toolstack, form: DiskForm) {
    let place = Place::new(generation, toolstack, form);
    if generation == Generation::V83 {
        let said = place.ends(A, "xen-migrate migrate web", 3);
        assert!(said.contains("window: DRBD 8.3 cannot allow two Primaries of web at run time"), "{said}");
        place.with(|lab| lab.configure("web", always_open));
    }
    let said = place.ends(A, "xen-migrate migrate web", 0);
    assert!(said.contains("web runs on dom0-beta."), "{said}");
    place.is_well_on(B);
    assert!(place.ends(A, "xen-migrate migrate web", 0).contains("already"));
    let said = place.ends(A, "xen-migrate status web", 0);
    assert!(said.contains("away") && said.contains("Secondary/Primary"), "{said}");
    let said = place.ends(A, "xen-migrate reverse web", 0);
    assert!(said.contains("web runs on dom0-alpha."), "{said}");
    place.is_well_on(A);
    assert_eq!(place.record(A), "");
    assert_eq!(place.record(B), "");
}

#[test]
fn there_and_back_xl_drbd_8_4_script() {
    there_and_back(Generation::V84, Toolstack::Xl, DiskForm::Script);
}

#[test]
fn there_and_back_xl_drbd_8_4_phy() {
    there_and_back(Generation::V84, Toolstack::Xl, DiskForm::Phy);
}

#[test]
fn there_and_back_xl_drbd_9_script() {
    there_and_back(Generation::V9, Toolstack::Xl, DiskForm::Script);
}

#[test]
fn there_and_back_xl_drbd_9_phy() {
    there_and_back(Generation::V9, Toolstack::Xl, DiskForm::Phy);
}

#[test]
fn there_and_back_xm_drbd_8_4_script() {
    there_and_back(Generation::V84, Toolstack::Xm, DiskForm::Script);
}

#[test]
fn there_and_back_xm_drbd_8_4_phy() {
    there_and_back(Generation::V84, Toolstack::Xm, DiskForm::Phy);
}

#[test]
fn there_and_back_xm_drbd_8_3_script() {
    there_and_back(Generation::V83, Toolstack::Xm, DiskForm::Script);
}

#[test]
fn there_and_back_xm_drbd_8_3_phy() {
    there_and_back(Generation::V83, Toolstack::Xm, DiskForm::Phy);
}

/// kill -9 at a moment of `migrate`, and `recover` on both ends.
fn killed(when: When, and_xl: bool, ends_on: &str) {
    let place = Place::usual();
    if and_xl {
        place.plan(when.clone(), Deed::KillSender("web".into()));
    }
    place.plan(when, Deed::KillTools(A.into()));
    place.ends(A, "xen-migrate migrate web", 137);
    let said = place.ends(A, "xen-migrate status web", 0);
    // As long as the xl that it started goes on, that is what is said.
    assert!(said.contains("xen-migrate recover web") || said.contains("a program it started still runs"), "{said}");
    // What xl does without us takes its time; recover is told of it, and is refused as long as xl has our lock.
    let mut said = String::new();
    for _ in 0..50 {
        let ran = place.run(A, "xen-migrate recover");
        said = ran.said;
        if ran.code == 0 {
            place.ends(B, "xen-migrate recover", 0);
            place.is_well_on(ends_on);
            return;
        }
        assert_eq!(ran.code, 3, "{said}");
    }
    panic!("{said}\n{}", place.journal());
}

fn call(words: &str, phase: Phase) -> When {
    When::Call { host: A.into(), words: words.into(), nth: 1, phase }
}

#[test]
fn killed_before_the_window_is_open() {
    killed(call("fencing=resource-only", Phase::Before), false, A);
}

#[test]
fn killed_when_the_window_is_open() {
    killed(call("fencing=resource-only", Phase::After), false, A);
}

#[test]
fn killed_while_memory_is_copied_and_xl_goes_on() {
    killed(at(Stage::Memory(50)), false, B);
}

#[test]
fn killed_while_memory_is_copied_and_xl_with_it() {
    killed(at(Stage::Memory(50)), true, A);
}

#[test]
fn killed_when_it_is_suspended_and_xl_with_it() {
    killed(at(Stage::Suspended), true, A);
}

#[test]
fn killed_when_the_target_may_start_and_xl_with_it() {
    killed(at(Stage::Go), true, B);
}

#[test]
fn killed_before_the_window_is_shut() {
    killed(call("fencing=dont-care", Phase::Before), false, B);
}

/// What Ctrl-C, and `kill`, do to a migration at a stage.
fn asked_to_stop(stage: Stage, deed: Deed, code: i32, ends_on: &str) -> String {
    let place = Place::usual();
    place.plan(at(stage), deed);
    let said = place.ends(A, "xen-migrate migrate web", code);
    place.is_well_on(ends_on);
    said
}

#[test]
fn ctrl_c_while_memory_is_copied_leaves_it_here() {
    let said = asked_to_stop(Stage::Memory(50), Deed::Interrupt(A.into()), 1, A);
    assert!(said.contains("web stays here") && said.contains("web runs on dom0-alpha."), "{said}");
}

#[test]
fn sigterm_while_it_is_suspended_leaves_it_here() {
    asked_to_stop(Stage::Suspended, Deed::Terminate(A.into()), 1, A);
}

#[test]
fn ctrl_c_after_the_point_of_no_return_lets_it_go() {
    asked_to_stop(Stage::Unpaused, Deed::Interrupt(A.into()), 0, B);
}

#[test]
fn the_transport_dies() {
    asked_to_stop(Stage::Memory(75), Deed::EndTransport("web".into()), 1, A);
}

#[test]
fn the_receiver_dies() {
    let place = Place::usual();
    place.plan(at(Stage::Memory(75)), Deed::KillReceiver("web".into()));
    place.ends(A, "xen-migrate migrate web", 1);
    place.is_well_on(A);
}

#[test]
fn the_power_of_the_target_goes() {
    let place = Place::usual();
    place.plan(at(Stage::Memory(50)), Deed::PowerOff(B.into()));
    let ran = place.run(A, "xen-migrate migrate web");
    assert!([1, 5].contains(&ran.code), "{ran:?}");
    place.with(|lab| assert_eq!(lab.runs_on("web"), [A], "{}", ran.said));
    assert_eq!(place.run(B, "xl list").code, 255);
    place.with(|lab| {
        lab.perform(&Deed::Boot(B.into()), None);
        lab.pass(60_000);
    });
    place.ends(A, "xen-migrate recover", 0);
    place.ends(B, "xen-migrate recover", 0);
    place.is_well_on(A);
}

/// Nobody planned it: the receiver is left to itself with half a guest, and takes it away.
#[test]
fn xl_is_killed_by_somebody() {
    let place = Place::usual();
    // Slow enough to be met in the middle, however slow we are: a minute for each quarter.
    place.folder.set_pace(50.0).unwrap();
    let mut tool = place.folder.command(A, &["xen-migrate", "migrate", "web"]);
    let tool = tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !place.journal().contains("migration of web: Memory(25)") {
        std::thread::yield_now();
    }
    let xl = child_of(tool.id(), "xl");
    rustix::process::kill_process(rustix::process::Pid::from_raw(xl).unwrap(), rustix::process::Signal::KILL).unwrap();
    let ran = ran(tool.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.said);
    place.is_well_on(A);
}

/// The child of that name (proc(5)).
fn child_of(parent: u32, name: &str) -> i32 {
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let is = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (command, rest) = stat.rsplit_once(") ").unwrap_or_default();
        command.ends_with(&format!("({name}")) && rest.split(' ').nth(1) == Some(&parent.to_string())
    };
    pids.into_iter().find(is).expect("the child")
}

/// Behind a silent cut the receiver waits for ever, with its lock, until somebody ends it: it is a real process, and really ended.
#[test]
fn a_receiver_that_waits_for_nobody_is_ended() {
    let place = Place::usual();
    place.plan(at(Stage::Memory(50)), Deed::CutSsh(A.into(), B.into(), None));
    let ran = place.run(A, "xen-migrate migrate web");
    assert!([1, 5].contains(&ran.code), "{ran:?}");
    let lock = place.folder.root(B).join("run/xen-migrate/receive-web.lock");
    assert!(is_locked(&lock), "nobody waits\n{}\n{}", ran.said, place.journal());
    place.with(|lab| lab.perform(&Deed::Mend(A.into(), B.into()), None));
    place.ends(A, "xen-migrate recover web", 0);
    assert!(!is_locked(&lock), "somebody still waits");
    place.ends(B, "xen-migrate recover", 0);
    place.is_well_on(A);
}

fn is_locked(path: &Path) -> bool {
    let file = std::fs::File::open(path).unwrap();
    fs2::FileExt::try_lock_shared(&file).is_err()
}

/// One at a time for each domU, and the lock is the real one: it lasts as long as anything that it was given to.
#[test]
fn two_at_once_are_one_after_the_other() {
    let place = Place::usual();
    let hangs = Quirk::Hangs { host: A.into(), begins: "xl migrate".into(), times: 1 };
    place.with(|lab| lab.with(|f| f.quirks.push(hangs)));
    let mut first = place.folder.command(A, &["xen-migrate", "migrate", "web"]);
    let mut first = first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !place.journal().contains("run xl migrate") {
        assert!(first.try_wait().unwrap().is_none(), "it ended: {}", place.journal());
        std::thread::yield_now();
    }
    let said = place.ends(A, "xen-migrate migrate web", 3);
    assert!(said.contains("web is being worked on: xen-migrate migrate web to dom0-beta"), "{said}");
    let said = place.ends(A, "xen-migrate recover web", 3);
    assert!(said.contains(&format!("pid {}", first.id())), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    // Its xl notices, and lets go.
    while is_locked(&place.folder.root(A).join("run/xen-migrate/domu-web.lock")) {
        std::thread::yield_now();
    }
    place.ends(A, "xen-migrate recover web", 0);
    place.is_well_on(A);
}

#[test]
fn the_dedicated_key_opens_nothing_else() {
    let place = Place::usual();
    let root = place.folder.root(A);
    let key = root.join("root/.ssh/xen-migrate-dom0-alpha");
    let key = key.to_str().unwrap();
    for request in ["xl destroy web", "cat /etc/shadow", "xen-migrate/1 from=dom0-alpha ping; id", "xl migrate-receive -x"] {
        let argv = ["ssh", "-i", key, "dom0-beta", request];
        let ran = ran(place.folder.command(A, &argv).stdin(Stdio::null()).output().unwrap());
        assert_eq!(ran.code, 3, "{request}: {}", ran.said);
        assert!(ran.said.contains("refused"), "{request}: {}", ran.said);
    }
    // Without the key nobody gets in at all.
    let said = place.ends(A, "ssh dom0-beta xl list", 255);
    assert!(said.contains("Permission denied"), "{said}");
}

/// What an operator does without us works as well, and the tool copes with it.
#[test]
fn by_hand_through_the_dedicated_key() {
    let place = Place::usual();
    for host in [A, B] {
        place.ends(host, "drbdadm net-options --allow-two-primaries=yes web", 0);
    }
    let root = place.folder.root(A);
    let transport = format!("ssh -i '{}'", root.join("root/.ssh/xen-migrate-dom0-alpha").display());
    let argv = ["xl", "migrate", "-s", &transport, "web", "dom0-beta"];
    let ran = ran(place.folder.command(A, &argv).stdin(Stdio::null()).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert!(ran.said.ends_with("Migration successful.\n"), "{}", ran.said);
    place.with(|lab| assert_eq!(lab.runs_on("web"), [B]));
}

#[test]
fn the_tour_goes_as_it_tells() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(Programs::lab_beside_test().unwrap());
    command.args(["--tool", TOOL]).env("TMPDIR", temp.path()).env("XEN_DRBD_LAB", temp.path()).stdin(Stdio::null());
    let ran = ran(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.said);
    for words in [
        "dom0-alpha# xen-migrate status ALL\n",
        "PING from dom0-alpha.example.org ...\nPONG from dom0-beta.example.org ...\nSuccess.\n",
        "[exit 3]",
        "Killed\n",
        "cargo run --example lab -- shell dom0-alpha",
    ] {
        assert!(ran.said.contains(words), "{words}\n{}", ran.said);
    }
    assert!(!ran.said.contains('\x1b'), "colours, and no terminal");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn the_lab_is_worked_by_hand() {
    let place = Place::usual();
    let dir = place.folder.dir().to_str().unwrap().to_string();
    let lab = |words: &[&str]| {
        let words: Vec<&str> = ["--dir", &dir].into_iter().chain(words.iter().copied()).collect();
        let ran = ran(place.lab(&words));
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.said);
        ran.said
    };
    assert!(lab(&["status"]).contains("Promises broken so far: none"));
    assert!(lab(&["run", "beta", "hostname", "-f"]).contains("dom0-beta.example.org"));
    lab(&["cut", "alpha", "beta", "60"]);
    assert!(lab(&["status"]).contains("dom0-alpha and dom0-beta: everything, for 60 s more"));
    place.ends(A, "xen-migrate migrate web", 4);
    lab(&["mend", "alpha", "beta"]);
    lab(&["pass", "30"]);
    lab(&["power", "off", "beta"]);
    assert!(lab(&["status"]).contains("dom0-beta  OFF"));
    assert!(lab(&["power", "on", "beta"]).contains("no init script was run"));
    lab(&["pass", "30"]);
    lab(&["plan", "--at", "web:memory50", "interrupt", "alpha"]);
    assert!(lab(&["plan"]).contains("at web:memory50: interrupt dom0-alpha\n"));
    place.ends(A, "xen-migrate migrate web", 1);
    lab(&["plan", "--in", "5", "power-off", "beta"]);
    lab(&["plan", "clear"]);
    assert!(lab(&["plan"]).contains("Nothing is planned"));
    for faulty in [&["power", "off", "nobody"][..], &["plan", "--at", "web", "kill-caller"], &["plan", "power-off", "beta"]] {
        let words: Vec<&str> = ["--dir", &dir].into_iter().chain(faulty.iter().copied()).collect();
        assert_eq!(ran(place.lab(&words)).code, 1, "{faulty:?}");
    }
}

/// The lab may be installed on a real Dom0: what is typed at its prompt must not switch that one off, nor end its programs.
#[test]
fn what_would_act_on_the_machine_below_is_the_labs_own() {
    let place = Place::usual();
    let bin = place.folder.bin(A);
    // By their paths: were one of them missing, this test would run this machine's.
    let run = |name: &str, args: &[&str]| {
        let program = bin.join(name);
        let argv: Vec<&str> = std::iter::once(program.to_str().unwrap()).chain(args.iter().copied()).collect();
        ran(place.folder.command(A, &argv).stdin(Stdio::null()).output().unwrap())
    };
    for name in ["reboot", "shutdown", "poweroff", "halt", "init", "telinit", "systemctl", "service", "fuser", "pkill", "killall"]
    {
        let found = ran(place.folder.command(A, &["sh", "-c", &format!("command -v {name}")]).output().unwrap());
        assert_eq!(found.said.trim_end(), bin.join(name).to_str().unwrap(), "{name}");
        let refused = run(name, &["--no-such-option"]);
        assert_eq!(refused.code, 1, "{name}: {}", refused.said);
        assert!(refused.said.contains("is not run") && refused.said.contains("instead: "), "{name}: {}", refused.said);
    }
    place.with(|lab| assert_eq!(lab.runs_on("web"), [A]));

    place.ends(A, "xen-migrate migrate web", 0);
    let said = run("reboot", &[]);
    assert_eq!(said.code, 0, "{}", said.said);
    assert!(said.said.contains("xen-drbd-auto start"), "{}", said.said);
    place.ends(A, "xen-migrate reverse web", 0);
    let said = run("shutdown", &["-h", "now"]);
    assert_eq!(said.code, 0, "{}", said.said);
    assert!(said.said.contains("these ended: web"), "{}", said.said);
    assert_eq!(place.run(A, "xl list").code, 255);
}

#[test]
fn a_shell_on_a_dom0_has_its_programs() {
    use std::io::Write;
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(Programs::lab_beside_test().unwrap());
    command.args(["--tool", TOOL, "shell", "alpha"]).env("LC_ALL", "C").env("XEN_DRBD_LAB", temp.path());
    // No fleet yet: it is made.
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let script = b"hostname\nxen-migrate status my-domu-4\ncat etc/xen/migrate-tab.txt\nexit 7\n";
    shell.stdin.take().unwrap().write_all(script).unwrap();
    let ran = ran(shell.wait_with_output().unwrap());
    assert_eq!(ran.code, 7, "{}", ran.said);
    for words in ["dom0-alpha\n", "my-domu-4  dom0-alpha  running", "--live", "a new fleet"] {
        assert!(ran.said.contains(words), "{words}\n{}", ran.said);
    }
}
