//! xen-drbd-auto as a service: the daemon in the background, what it was handed by whoever started it, and what the service manager hears.

use super::{A, B, Place, TOOL, is_locked, ran};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use xen_drbd::core::drbd::Generation;
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{Deed, DiskForm, Quirk};

/// Nobody runs `web`, both Dom0s have its config where xen-drbd-auto looks.
fn nobody_runs_it(place: &Place) {
    place.ends(A, "xl destroy web", 0);
    for host in [A, B] {
        let root = place.folder.root(host);
        std::fs::create_dir_all(root.join("etc/xen/drbd-auto")).unwrap();
        std::fs::copy(place.folder.root(A).join("etc/xen/web.cfg"), root.join("etc/xen/drbd-auto/web.cfg")).unwrap();
    }
}

/// Waits until a command says something; every question takes some of the model's time.
fn until_it_says(place: &Place, host: &str, line: &str, words: &str) -> String {
    let mut said = String::new();
    for _ in 0..400 {
        said = place.run(host, line).said;
        if said.contains(words) {
            return said;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{host}# {line}: never {words:?}: {said}\n{}", place.journal());
}

#[test]
fn a_daemon_waits_in_the_background_and_starts_it_when_the_peer_is_back() {
    let place = Place::usual();
    nobody_runs_it(&place);
    place.with(|lab| lab.perform(&Deed::PowerOff(B.into()), None));
    until_it_says(&place, A, "drbdadm cstate web", "WFConnection");
    // It returns at once; the daemon holds none of its streams, or this would wait for ever.
    let said = place.ends(A, "xen-drbd-auto start", 0);
    assert!(said.contains("Waiting in the background for: web"), "{said}");
    until_it_says(&place, A, "xen-drbd-auto status", "(pid ");
    assert!(place.run(A, "xen-drbd-auto start").code == 0, "twice is as good as once");
    place.with(|lab| lab.perform(&Deed::Boot(B.into()), None));
    until_it_says(&place, A, "xen-drbd-auto status", "daemon gone: nothing waits any more");
    place.is_well_on(A);
    place.ends(B, "xen-drbd-auto start", 0);
    let said = place.ends(B, "xen-drbd-auto explain web", 0);
    assert!(said.contains("ignored"), "{said}");
    place.ends(B, "xen-drbd-auto stop", 0);
}

#[test]
fn the_waiting_is_ended_killed_and_begun_again() {
    let place = Place::usual();
    nobody_runs_it(&place);
    place.with(|lab| lab.perform(&Deed::PowerOff(B.into()), None));
    until_it_says(&place, A, "drbdadm cstate web", "WFConnection");
    place.ends(A, "xen-drbd-auto start", 0);
    until_it_says(&place, A, "xen-drbd-auto status", "daemon waits");
    let said = place.ends(A, "xen-drbd-auto stop", 0);
    assert!(said.contains("no domU was touched"), "{said}");
    // A person has ended it: it is not running, as the LSB says that, and it has not died.
    let said = place.ends(A, "xen-drbd-auto status", 3);
    assert!(said.contains("stopped at ") && !said.contains("DIED"), "{said}");
    place.ends(A, "xen-drbd-auto start", 0);
    let said = until_it_says(&place, A, "xen-drbd-auto status", "(pid ");
    assert!(Command::new("kill").args(["-9", &pid_in(&said).to_string()]).status().unwrap().success());
    let said = until_it_says(&place, A, "xen-drbd-auto status", "DAEMON DIED");
    assert!(said.contains("xen-drbd-auto start"), "{said}");
    place.ends(A, "xen-drbd-auto start", 0);
    until_it_says(&place, A, "xen-drbd-auto status", "daemon waits");
    place.ends(A, "xen-drbd-auto reload", 0);
    place.ends(A, "xen-drbd-auto stop", 0);
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::usual();
    nobody_runs_it(&place);
    let socket = place.temp.path().join("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    let ran =
        ran(place.folder.command(A, &["xen-drbd-auto", "daemon", "--start"]).env("NOTIFY_SOCKET", &socket).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.said);
    place.is_well_on(A);
    let mut buffer = [0; 512];
    heard.set_nonblocking(true).unwrap();
    let count = heard.recv(&mut buffer).unwrap();
    let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
    assert!(said.starts_with("READY=1\n"), "{said}");
}

/// Only A is there, nobody runs `web`, and a daemon waits for it; `left` are the redirections of whoever types `start`.
fn a_daemon_waits(place: &Place, left: &str) -> u32 {
    nobody_runs_it(place);
    place.with(|lab| lab.perform(&Deed::PowerOff(B.into()), None));
    until_it_says(place, A, "drbdadm cstate web", "WFConnection");
    let line = format!("exec xen-drbd-auto start{left}");
    let ran = ran(place.folder.command(A, &["sh", "-c", &line]).stdin(Stdio::null()).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.said);
    pid_in(&until_it_says(place, A, "xen-drbd-auto status", "(pid "))
}

fn pid_in(said: &str) -> u32 {
    let pid = said.split("pid ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    pid.and_then(|pid| pid.parse().ok()).expect("a pid")
}

/// The command lines of all processes that have this file open (proc(5)).
fn who_has_open(file: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let has = |process: &Path| {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|open| open == file)
    };
    let words = |process: &Path| std::fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " ");
    processes.filter(|process| has(process)).map(|process| words(&process)).collect()
}

/// An upgrade waits until nobody has debconf's descriptor 3 open any more, and an ssh session until nobody has its pipes.
#[test]
fn what_the_caller_has_open_is_not_kept_open_by_the_daemon() {
    let place = Place::usual();
    let left = place.temp.path().canonicalize().unwrap().join("left open");
    a_daemon_waits(&place, &format!(" 3>'{0}' 9>'{0}'", left.display()));
    assert!(left.exists());
    let who = who_has_open(&left);
    place.ends(A, "xen-drbd-auto stop", 0);
    assert_eq!(who, Vec::<String>::new());
}

/// An upgrade puts another file in the place of the daemon's own, and touches neither the daemon nor a domU: the daemon goes on, starts what
/// it waits for, and the new program can ask it.
#[test]
fn a_daemon_outlives_an_upgrade_of_its_program() {
    let temp = tempfile::tempdir().unwrap();
    let tool = temp.path().join("xen-drbd");
    // By another process: what this one has open for writing could not be executed while another test starts a program.
    let copy = |to: &Path| assert!(Command::new("cp").arg(TOOL).arg(to).status().unwrap().success());
    copy(&tool);
    let place = Place::with_tool(temp, tool.clone(), Generation::V84, Toolstack::Xl, DiskForm::Script);
    let pid = a_daemon_waits(&place, "");
    copy(&tool.with_extension("new"));
    std::fs::rename(tool.with_extension("new"), &tool).unwrap();
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert!(exe.to_string_lossy().ends_with(" (deleted)"), "{exe:?}");
    let said = place.ends(A, "xen-drbd-auto reload", 0);
    assert!(said.contains("What waits is looked at now"), "{said}");
    place.with(|lab| lab.perform(&Deed::Boot(B.into()), None));
    until_it_says(&place, A, "xen-drbd-auto status", "daemon gone");
    place.is_well_on(A);
    // And one that waits in vain is ended by the new program.
    let pid = a_daemon_waits(&place, "");
    copy(&tool.with_extension("new"));
    std::fs::rename(tool.with_extension("new"), &tool).unwrap();
    place.ends(A, "xen-drbd-auto stop", 0);
    assert!(!Path::new(&format!("/proc/{pid}/fd/0")).exists());
}

/// The next `xl create` on A gives no answer; returns when this command of ours has called it.
fn in_the_middle_of_a_creation(place: &Place, command: &mut Command) -> Child {
    let hangs = Quirk::Hangs { host: A.into(), begins: "xl create".into(), times: 1 };
    place.with(|lab| lab.with(|f| f.quirks.push(hangs)));
    let creations = || place.journal().matches("run xl create").count();
    let before = creations();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while creations() == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended: {}", place.journal());
        std::thread::yield_now();
    }
    child
}

/// Ends that creation, and waits until nothing holds the lock of `web` any more.
fn end_the_creation(place: &Place) {
    kill_what_begins_with(place, "xl create ");
    while is_locked(&place.folder.root(A).join("run/xen-migrate/domu-web.lock")) {
        std::thread::yield_now();
    }
}

/// kill -9 for every process of A whose command line begins so. Returns how many there were.
fn kill_what_begins_with(place: &Place, words: &str) -> usize {
    let bin = place.folder.bin(A).display().to_string();
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let told =
            |file: &str| std::fs::read(entry.path().join(file)).map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
        let is_it =
            told("cmdline").is_ok_and(|line| line.starts_with(words)) && told("environ").is_ok_and(|all| all.contains(&bin));
        if is_it {
            let pid =
                entry.file_name().to_str().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            killed += 1;
        }
    }
    killed
}

/// systemd ends a service that gives no sign of life, in the middle of a claim perhaps.
#[test]
fn the_service_manager_hears_from_a_round_that_takes_long() {
    let place = Place::usual();
    nobody_runs_it(&place);
    let socket = place.temp.path().join("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    let mut command = place.folder.command(A, &["sh", "-c", "WATCHDOG_PID=$$ exec xen-drbd-auto daemon --start"]);
    let mut daemon = in_the_middle_of_a_creation(&place, command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "4000"));
    // What was said before that does not count.
    let mut buffer = [0; 512];
    heard.set_nonblocking(true).unwrap();
    while heard.recv(&mut buffer).is_ok() {}
    heard.set_nonblocking(false).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let said = heard.recv(&mut buffer).map(|count| String::from_utf8_lossy(&buffer[..count]).into_owned());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    end_the_creation(&place);
    assert_eq!(said.unwrap(), "WATCHDOG=1");
}

/// kill -9 for the one that claims: its `xl create` goes on, and until it has ended nobody else touches the domU.
#[test]
fn what_a_killed_start_left_behind_is_waited_for() {
    let place = Place::usual();
    nobody_runs_it(&place);
    let mut start = in_the_middle_of_a_creation(&place, &mut place.folder.command(A, &["xen-drbd-auto", "start"]));
    start.kill().unwrap();
    start.wait().unwrap();
    let second = place.run(A, "xen-drbd-auto start");
    let creations = place.journal().matches("run xl create").count();
    end_the_creation(&place);
    assert_eq!((second.code, creations), (0, 1), "{}\n{}", second.said, place.journal());
    let expected =
        [&format!("pid {}, gone", start.id()), "web: wait: somebody is at work on it", "a program it started still runs"];
    assert!(expected.iter().all(|words| second.said.contains(words)), "{}", second.said);
    place.ends(A, "xen-drbd-auto reload", 0);
    until_it_says(&place, A, "xen-drbd-auto status", "daemon gone");
    place.is_well_on(A);
}

/// A daemon that is stopped (state T) has its lock and does not look: status must not call that waiting.
#[test]
fn a_daemon_that_does_not_look_is_late() {
    let place = Place::usual();
    let pid = a_daemon_waits(&place, "");
    let send = |signal| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    send(rustix::process::Signal::STOP);
    // In the middle of a round, perhaps; and until it has heard the signal it may write its diary once more.
    until_it_says(&place, A, "xen-drbd-auto status", ", stopped, state T, ");
    let diary = place.folder.root(A).join("run/xen-drbd-auto/diary.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&diary).unwrap()).unwrap();
    kept["next_look"] = 1.into();
    std::fs::write(&diary, kept.to_string()).unwrap();
    let said = place.ends(A, "xen-drbd-auto status", 1);
    assert!(said.contains("DAEMON LATE: it should have looked at 1970-01-01T00:00:01Z"), "{said}");
    send(rustix::process::Signal::CONT);
    place.ends(A, "xen-drbd-auto reload", 0);
    // However often it had looked before: the moment of the next look is one of ours again.
    until_it_says(&place, A, "xen-drbd-auto status", "on reload, or at 20");
    let said = place.ends(A, "xen-drbd-auto status", 0);
    assert!(!said.contains("LATE"), "{said}");
    place.ends(A, "xen-drbd-auto stop", 0);
}

/// The service manager begins another one in the place of one that was killed. What was decided stays so: a person has shut mail down.
#[test]
fn who_follows_a_dead_daemon_waits_for_the_same_and_starts_nothing_else() {
    let place = Place::usual();
    nobody_runs_it(&place);
    place.with(|lab| {
        lab.resource("mail", 2, &[A, B]);
        lab.domu("mail", 128, &["drbd:mail,xvda,w"], &[A, B]);
    });
    let xen = place.folder.root(A).join("etc/xen");
    std::fs::rename(xen.join("drbd-auto/web.cfg"), xen.join("web.aside")).unwrap();
    std::fs::copy(xen.join("mail.cfg"), xen.join("drbd-auto/mail.cfg")).unwrap();
    let said = place.ends(A, "xen-drbd-auto start", 0);
    assert!(said.contains("mail: started"), "{said}");
    place.with(|lab| lab.perform(&Deed::PowerOff(B.into()), None));
    until_it_says(&place, A, "drbdadm cstate web", "WFConnection");
    std::fs::rename(xen.join("web.aside"), xen.join("drbd-auto/web.cfg")).unwrap();
    let said = place.ends(A, "xen-drbd-auto start", 0);
    assert!(said.contains("Waiting in the background for: web"), "{said}");
    until_it_says(&place, A, "xen-drbd-auto status", "(pid ");
    assert_eq!(kill_what_begins_with(&place, "xen-drbd-auto "), 1);
    place.ends(A, "xl destroy mail", 0);
    place.with(|lab| lab.perform(&Deed::Boot(B.into()), None));
    until_it_says(&place, A, "drbdadm cstate mail", "Connected");
    place.ends(A, "xen-drbd-auto daemon --start", 0);
    place.is_well_on(A);
    let said = place.run(A, "xl list").said;
    assert!(!said.contains("mail"), "{said}");
    // A person's start is another thing.
    let said = place.ends(A, "xen-drbd-auto start", 0);
    assert!(said.contains("mail: started"), "{said}");
}

/// It had not come to its end: what was decided before is not all that was to be decided.
#[test]
fn a_look_at_all_that_was_killed_is_made_again() {
    let place = Place::usual();
    nobody_runs_it(&place);
    place.ends(A, "xen-drbd-auto start", 0);
    place.ends(A, "xl destroy web", 0);
    let mut daemon = in_the_middle_of_a_creation(&place, &mut place.folder.command(A, &["xen-drbd-auto", "daemon", "--start"]));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    end_the_creation(&place);
    place.ends(A, "xen-drbd-auto daemon --start", 0);
    place.is_well_on(A);
}

/// kill -9 for the one that keeps the lock while it creates: the `xl create` must not go on without it, for anybody may claim the domU
/// then (two Primaries for good, and there are two).
#[test]
fn a_creation_does_not_outlive_the_one_who_keeps_its_lock() {
    let place = Place::usual();
    nobody_runs_it(&place);
    let mut start = in_the_middle_of_a_creation(&place, &mut place.folder.command(A, &["xen-drbd-auto", "start"]));
    assert_eq!(kill_what_begins_with(&place, "xen-drbd-auto keep "), 1);
    // The start goes on at once: it has heard that its creation is over, takes back what it did, and leaves the waiting to a daemon.
    assert!(start.wait().unwrap().success());
    assert_eq!(kill_what_begins_with(&place, "xl create "), 0);
    let said = place.run(A, "xen-drbd-auto explain web").said;
    assert!(said.contains("signal 9"), "{said}");
    place.ends(A, "xen-drbd-auto reload", 0);
    until_it_says(&place, A, "xen-drbd-auto status", "daemon gone");
    place.is_well_on(A);
}

/// xl leaves a process behind that waits for the end of the domU, and it has whatever xl had.
#[test]
fn the_monitor_of_a_domu_keeps_neither_its_lock_nor_what_the_caller_had_open() {
    let place = Place::usual();
    nobody_runs_it(&place);
    let (temp, bin) = (place.temp.path().canonicalize().unwrap(), place.folder.bin(A));
    // Written by another process: one of ours that is just being started must not have the program open for writing.
    let script = format!(
        "mkdir '{0}/true' && mv '{1}/xl' '{0}/true/xl' && cat >'{1}/xl' && chmod 755 '{1}/xl'",
        temp.display(),
        bin.display()
    );
    let text = format!(
        "#!/bin/sh\n[ \"$1\" != create ] || {{ sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >'{0}/monitor'; }}\nexec '{0}/true/xl' \"$@\"\n",
        temp.display()
    );
    let mut writer = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut writer.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    let left = temp.join("left open");
    let line = format!("exec xen-drbd-auto start 3>'{}'", left.display());
    let ran = ran(place.folder.command(A, &["sh", "-c", &line]).stdin(Stdio::null()).output().unwrap());
    let monitor = std::fs::read_to_string(temp.join("monitor")).unwrap_or_default();
    let lives = Path::new("/proc").join(monitor.trim()).join("fd").exists();
    let (lock, who) = (place.folder.root(A).join("run/xen-migrate/domu-web.lock"), who_has_open(&left));
    let locked = is_locked(&lock);
    let _ = Command::new("kill").arg(monitor.trim()).status();
    assert!(lives && ran.code == 0, "{}", ran.said);
    assert_eq!(who, Vec::<String>::new());
    assert!(!locked, "{:?}", who_has_open(&lock));
    place.is_well_on(A);
}

/// Nothing can be written in /run: it is full, or somebody stands in the way. Who waits, waits all the same, and it is said.
#[test]
fn a_start_that_can_keep_nothing_still_leaves_somebody_who_waits() {
    let place = Place::usual();
    nobody_runs_it(&place);
    place.with(|lab| lab.perform(&Deed::PowerOff(B.into()), None));
    until_it_says(&place, A, "drbdadm cstate web", "WFConnection");
    let in_the_way = place.folder.root(A).join("run/xen-drbd-auto");
    std::fs::write(&in_the_way, "").unwrap();
    let said = place.ends(A, "xen-drbd-auto start", 1);
    for words in ["Waiting in the background for: web", "could not be kept", "df -h /run", "xen-drbd-auto reload"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(until_it_says(&place, A, "xen-drbd-auto status", "(pid ").contains("daemon waits"));
    place.with(|lab| lab.perform(&Deed::Boot(B.into()), None));
    std::fs::remove_file(&in_the_way).unwrap();
    place.ends(A, "xen-drbd-auto reload", 0);
    until_it_says(&place, A, "xen-drbd-auto status", "daemon gone");
    place.is_well_on(A);
}
