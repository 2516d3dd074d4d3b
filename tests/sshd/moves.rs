//! A domU goes there and back through the dedicated key: `receive` carries the memory, and what cuts the line is settled.
//!
//! `xl`, `drbdadm` and `drbdsetup` are small scripts (`tests/sshd/programs`) that send real bytes through the real ssh.

use super::dom0::{Dom0, Fleet, LIMIT, Ran, finish, playable, run, wait_for};
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

const PROGRAMS: [(&str, &str); 3] = [
    ("xl", include_str!("programs/xl")),
    ("drbdadm", include_str!("programs/drbdadm")),
    ("drbdsetup", include_str!("programs/drbdsetup")),
];

const CONFIG: &str = "name = 'web'\nmemory = 128\ndisk = [ 'script=block-drbd,vdev=xvda,target=r0' ]\n";

/// Two Dom0s that know each other, with the domU `web` on the first.
struct Pair {
    fleet: Fleet,
    state: PathBuf,
}

impl Pair {
    fn new() -> Pair {
        let fleet = Fleet::pair();
        fleet.introduce();
        let state = fleet.alpha().root.parent().unwrap().with_file_name("state");
        for (dom0, peer) in [(fleet.alpha(), fleet.beta()), (fleet.beta(), fleet.alpha())] {
            let mine = state.join(&dom0.name);
            fs::create_dir_all(mine.join("dom")).unwrap();
            for (file, text) in [("last", "6"), ("role", "Secondary"), ("two", "no"), ("fencing", "dont-care")] {
                fs::write(mine.join(file), format!("{text}\n")).unwrap();
            }
            for (name, script) in PROGRAMS {
                let with = format!("FLEET={} HOST={} PEER={}\nPATH={}\n", state.display(), dom0.name, peer.name, dom0.path());
                dom0.tell(name, &format!("{with}{}", script.split_once('\n').unwrap().1));
            }
            dom0.tell("xm", "echo 'xm: no xend' >&2; exit 1");
            dom0.write("/proc/drbd", "version: 9.2.16 (api:2/proto:118-123)\n");
            dom0.write("/etc/xen/web.cfg", CONFIG);
        }
        fleet.alpha().write("/etc/xen/migrate-tab.txt", "web  dom0-beta  --live\n");
        fs::write(state.join("memory"), bytes(6 << 20)).unwrap();
        fs::write(state.join("dom0-alpha/dom/3"), "web -b----\n").unwrap();
        fs::write(state.join("dom0-alpha/role"), "Primary\n").unwrap();
        Pair { fleet, state }
    }

    fn alpha(&self) -> &Dom0 {
        self.fleet.alpha()
    }

    fn beta(&self) -> &Dom0 {
        self.fleet.beta()
    }

    fn of(&self, dom0: &str, file: &str) -> String {
        fs::read_to_string(self.state.join(dom0).join(file)).unwrap_or_default().trim().to_string()
    }

    /// `NAME STATE` of every domain of a Dom0.
    fn domains(&self, dom0: &str) -> Vec<String> {
        let folder = fs::read_dir(self.state.join(dom0).join("dom")).unwrap();
        folder.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap().trim().to_string()).collect()
    }

    /// It runs on the one and nowhere else, the other's replica is Secondary, and the options are those of the file.
    #[track_caller]
    fn runs_on(&self, here: &str) {
        let there = if here == "dom0-alpha" { "dom0-beta" } else { "dom0-alpha" };
        assert_eq!(self.domains(here), ["web -b----"]);
        assert_eq!(self.domains(there), [] as [&str; 0]);
        assert_eq!((self.of(here, "role").as_str(), self.of(there, "role").as_str()), ("Primary", "Secondary"));
        for dom0 in [here, there] {
            assert_eq!((self.of(dom0, "two").as_str(), self.of(dom0, "fencing").as_str()), ("no", "dont-care"), "{dom0}");
        }
    }

    /// The next migration waits at a place.
    fn hold(&self, place: &str) {
        fs::write(self.state.join(format!("hold-{place}")), "").unwrap();
    }

    fn go_on(&self, place: &str) {
        fs::remove_file(self.state.join(format!("hold-{place}"))).unwrap();
    }

    fn wait_at(&self, place: &str) {
        let mark = self.state.join(format!("at-{place}"));
        wait_for(&format!("a migration at {place}"), || mark.exists().then_some(()));
    }

    fn start(&self, words: &[&str]) -> Child {
        self.alpha().command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // Whoever waits at a place must not wait for ever after a failure.
        let _ = fs::remove_dir_all(&self.state);
    }
}

#[test]
fn there_and_back_again() {
    if !playable("migrate and reverse") {
        return;
    }
    let pair = Pair::new();
    let (alpha, beta) = (pair.alpha(), pair.beta());

    let ran = alpha.xen_migrate(&["migrate", "web", "--dry-run"]).code(0);
    assert!(ran.out.contains("Seen on dom0-beta: no copy of web; 2048 MiB free"), "{}", ran.out);
    pair.runs_on("dom0-alpha");

    let ran = alpha.xen_migrate(&["migrate", "web"]).code(0);
    assert_eq!(ran.out, "web runs on dom0-beta.\n", "{}", ran.err);
    pair.runs_on("dom0-beta");
    let memory = fs::read(pair.state.join("memory")).unwrap();
    assert!(fs::read(pair.state.join("dom0-beta/received")).unwrap() == memory, "the memory is not the same");
    assert!(alpha.read("/etc/xen/migrate-status.txt").contains("away"), "{}", alpha.read("/etc/xen/migrate-status.txt"));
    assert!(beta.read("/etc/xen/migrate-status.txt").contains("visiting"), "{}", beta.read("/etc/xen/migrate-status.txt"));

    for dom0 in [alpha, beta] {
        let ran = dom0.xen_migrate(&["status", "web"]).code(0);
        assert!(ran.out.contains("dom0-"), "{}", ran.out);
    }
    let ran = alpha.xen_migrate(&["migrate", "web"]).code(0);
    assert_eq!(ran.out, "web runs on dom0-beta already.\n");

    let ran = alpha.xen_migrate(&["reverse", "web"]).code(0);
    assert_eq!(ran.out, "web runs on dom0-alpha.\n", "{}", ran.err);
    // What it says over there is told here, with who says it.
    assert!(ran.err.contains("  dom0-beta: web: dom0-beta -> dom0-alpha"), "{}", ran.err);
    assert!(!ran.err.contains("xen-migrate/1"), "the answer is no story: {}", ran.err);
    pair.runs_on("dom0-alpha");
    assert!(fs::read(pair.state.join("dom0-alpha/received")).unwrap() == memory, "the memory is not the same");
    for dom0 in [alpha, beta] {
        let record = dom0.read("/etc/xen/migrate-status.txt");
        assert!(!record.contains("web  "), "{record}");
    }
    let ran = alpha.xen_migrate(&["reverse", "web"]).code(0);
    assert_eq!(ran.out, "web runs on dom0-alpha already.\n");
}

#[test]
fn the_line_is_cut_while_the_memory_goes_over() {
    if !playable("a cut line") {
        return;
    }
    for whom in ["the client", "the server's child"] {
        let pair = Pair::new();
        pair.hold("half");
        let child = pair.start(&["migrate", "web"]);
        pair.wait_at("half");
        wait_for("the copy over there", || (pair.domains("dom0-beta") == ["web--incoming --p---"]).then_some(()));
        cut(&pair, child.id(), whom);
        pair.go_on("half");
        let ran = finish(child, "a migration with a cut line").code(1);
        assert!(ran.out.starts_with("web is on dom0-alpha.") || ran.out.starts_with("web runs on dom0-alpha."), "{ran:?}");
        pair.runs_on("dom0-alpha");
        alone_and_well(&pair);
    }
}

#[test]
fn the_line_is_cut_after_the_permission() {
    if !playable("a line that is cut after the permission") {
        return;
    }
    for whom in ["the client", "the server's child"] {
        let pair = Pair::new();
        pair.hold("go");
        let child = pair.start(&["migrate", "web"]);
        pair.wait_at("go");
        cut(&pair, child.id(), whom);
        pair.go_on("go");
        // It looks at both ends, and finds it over there: xl alone calls that undefined.
        let ran = finish(child, "a migration that nobody knows the end of");
        let ran = match ran.code {
            Some(0) => ran,
            _ => alpha_recovers(&pair, ran),
        };
        assert!(ran.out.contains("web runs on dom0-beta."), "{ran:?}");
        wait_for("the receiving end's end", || pair.beta().xen_migrate(&["status", "web"]).code.filter(|code| *code == 0));
        pair.runs_on("dom0-beta");
        pair.alpha().xen_migrate(&["reverse", "web"]).code(0);
        pair.runs_on("dom0-alpha");
    }
}

/// The line over which it was asked for is cut, and the one that carries the memory is not: it arrives, and that is found.
#[test]
fn reverse_loses_sight_of_the_other_end() {
    if !playable("a reverse whose line is cut") {
        return;
    }
    // That program has spoken already: ssh has no word of its own to say that it died.
    for whom in ["the client", "the server's child", "the program there"] {
        let pair = Pair::new();
        pair.alpha().xen_migrate(&["migrate", "web"]).code(0);
        pair.hold("half");
        let child = pair.start(&["reverse", "web"]);
        pair.wait_at("half");
        cut(&pair, child.id(), whom);
        let ran = finish(child, "a reverse with a cut line").code(5);
        let ran = ran.complains(&["dom0-beta stopped answering", "may still be on its way", "xen-migrate recover web"]);
        assert_eq!(ran.out, "");
        // Nothing was begun twice meanwhile.
        let again = pair.alpha().xen_migrate(&["reverse", "web"]).code(3);
        again.complains(&["web", "returning dom0-beta", "xen-migrate recover web"]);
        pair.go_on("half");
        let ran = wait_for("the arrival to be settled", || {
            let ran = pair.alpha().xen_migrate(&["recover", "web"]);
            (ran.code == Some(0)).then_some(ran)
        });
        assert!(!ran.out.contains("dom0-beta."), "{ran:?}");
        wait_for("the sender's end", || pair.beta().read("/etc/xen/migrate-status.txt").contains("rows=0").then_some(()));
        pair.runs_on("dom0-alpha");
        assert!(pair.alpha().read("/etc/xen/migrate-status.txt").contains("rows=0"));
    }
}

/// The tool itself dies in the middle; the record knows, and `recover` settles it.
#[test]
fn killed_in_the_middle_and_recovered() {
    if !playable("a tool that is killed") {
        return;
    }
    let pair = Pair::new();
    pair.hold("half");
    let mut child = pair.start(&["migrate", "web"]);
    pair.wait_at("half");
    child.kill().unwrap();
    child.wait().unwrap();
    // xl goes on without us, and nobody may meddle until it has ended.
    let ran = pair.alpha().xen_migrate(&["migrate", "web"]).code(3);
    ran.complains(&["web", "being worked on"]);
    pair.go_on("half");
    let ran = wait_for("xl to end", || {
        let ran = pair.alpha().xen_migrate(&["recover", "web"]);
        (ran.code != Some(3)).then_some(ran)
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    pair.runs_on("dom0-beta");
    pair.alpha().xen_migrate(&["reverse", "web"]).code(0);
    pair.runs_on("dom0-alpha");
}

/// Whoever wants to stop it gets his domU back, and both ends as they were.
#[test]
fn stopped_by_a_person() {
    if !playable("a person who stops it") {
        return;
    }
    let pair = Pair::new();
    pair.hold("half");
    let child = pair.start(&["migrate", "web"]);
    pair.wait_at("half");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    // The transport is ended, and xl sees that.
    wait_for("the end of ssh", || ssh_below(child.id()).is_none().then_some(()));
    pair.go_on("half");
    let ran = finish(child, "a migration that is stopped").code(1).complains(&["stopped as asked"]);
    assert!(ran.out.contains("web is on dom0-alpha.") || ran.out.contains("web runs on dom0-alpha."), "{ran:?}");
    pair.runs_on("dom0-alpha");
    alone_and_well(&pair);
}

/// Several MiB both ways at once through the forced command, and not a byte more, less or other.
#[test]
fn the_binary_stream_is_carried_as_it_is() {
    if !playable("a binary stream") {
        return;
    }
    let pair = Pair::new();
    let (alpha, beta) = (pair.alpha(), pair.beta());
    // An echo in the place of xl; it says something on standard error meanwhile, as xl does.
    beta.tell(
        "xl",
        "[ \"$*\" = 'migrate-receive -e' ] || exit 9; echo 'migration target: Ready to receive domain.' >&2; exec cat",
    );
    let data = bytes(8 << 20);
    // As a plain `xl migrate` has it, and as the article's line has it, which does not say who sends.
    for line in [beta.line_for(alpha), beta.line_for(alpha).replace(" --peer dom0-alpha", "")] {
        beta.authorise_only(&line);
        let mut command = alpha.ssh(&["-T"], beta, &["xl", "migrate-receive", "-e"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let sent = data.clone();
        let writer = thread::spawn(move || to.write_all(&sent));
        let mut back = Vec::new();
        from.read_to_end(&mut back).unwrap();
        writer.join().unwrap().unwrap();
        finish(child, "an echo").code(0);
        assert!(back == data, "{} bytes went, {} came, and they are not the same", data.len(), back.len());
    }
    // xl's own exit code comes back, and a death by a signal can be told from success.
    beta.tell("xl", "exit 7");
    run(&mut alpha.ssh(&["-T"], beta, &["xl", "migrate-receive"])).code(7);
    beta.tell("xl", "kill -9 $$");
    run(&mut alpha.ssh(&["-T"], beta, &["xl", "migrate-receive"])).code(137);
    fs::remove_file(beta.bin.join("xl")).unwrap();
    let ran = run(&mut alpha.ssh(&["-T"], beta, &["xl", "migrate-receive"])).code(3);
    assert_eq!(ran.out, "", "xl at the other end would take it for a banner");
}

/// Nothing is left of what was broken off: no copy, no lock, no row; and the next attempt works.
#[track_caller]
fn alone_and_well(pair: &Pair) {
    for dom0 in [pair.alpha(), pair.beta()] {
        let record = dom0.read("/etc/xen/migrate-status.txt");
        assert!(!record.lines().any(|l| l.starts_with("web ")), "{}: {record}", dom0.name);
    }
    let ran = pair.alpha().xen_migrate(&["migrate", "web"]).code(0);
    assert_eq!(ran.out, "web runs on dom0-beta.\n", "{}", ran.err);
    pair.runs_on("dom0-beta");
}

fn alpha_recovers(pair: &Pair, before: Ran) -> Ran {
    assert_eq!(before.code, Some(5), "{before:?}");
    let ran = pair.alpha().xen_migrate(&["recover", "web"]);
    assert_eq!(ran.code, Some(0), "before: {before:?}\nnow: {ran:?}");
    ran
}

/// Kills one end of the ssh connection that carries the memory, as a cut line does in the end.
fn cut(pair: &Pair, tool: u32, whom: &str) {
    let victims = match whom {
        "the client" => vec![wait_for("the ssh client", || ssh_below(tool))],
        "the program there" => {
            let all = below(pair.beta().sshd_pid());
            all.into_iter().filter(|p| p.1 == "xen-migrate").map(|p| p.0).collect()
        }
        // sshd forks twice for each connection (privilege separation); root's are one. All of them but the listener.
        _ => below(pair.beta().sshd_pid()).into_iter().filter(|p| p.1.starts_with("sshd")).map(|p| p.0).collect(),
    };
    assert!(!victims.is_empty(), "there is no {whom}");
    for pid in victims {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

fn ssh_below(tool: u32) -> Option<u32> {
    below(tool).into_iter().find(|process| process.1 == "ssh").map(|process| process.0)
}

/// The processes that this one has started, and theirs: pid and name.
fn below(of: u32) -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, tail)) = stat.rsplit_once(") ") else { continue };
        let Some((pid, name)) = head.split_once(" (") else { continue };
        let parent = tail.split(' ').nth(1).and_then(|word| word.parse::<u32>().ok());
        if let (Ok(pid), Some(parent)) = (pid.parse::<u32>(), parent) {
            all.push((pid, name.to_string(), parent));
        }
    }
    let mut found = vec![of];
    let mut named = Vec::new();
    while let Some(parent) = found.pop() {
        for (pid, name, _) in all.iter().filter(|process| process.2 == parent) {
            found.push(*pid);
            named.push((*pid, name.clone()));
        }
    }
    named
}

/// Bytes without a pattern, every value among them.
fn bytes(count: usize) -> Vec<u8> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend(seed.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// The scripts are read by a shell of every test; one that does not parse fails in a way that is hard to read.
#[test]
fn the_scripts_are_scripts() {
    assert!(LIMIT.as_secs() > 60, "two waits of the tool itself fit into a test's");
    for (name, script) in PROGRAMS {
        let mut child = Command::new("sh").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let ran = finish(child, name);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}");
    }
}
