//! `migrate ALL` with the real executable among pretended programs: workers that are processes, at once, stopped, killed, and drawn on a
//! real terminal.
//! (`cargo build --example lab` makes the programs; `programs.rs` has the rest.)

#![expect(clippy::disallowed_methods, reason = "the lab is run as a person runs it")]

use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use xen_drbd::lab::folder::{Folder, Programs};
use xen_drbd::lab::{Deed, Lab, Stage, When};

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";
const C: &str = "dom0-gamma";
const DOMUS: [(&str, &str); 3] = [("web", B), ("mail", B), ("db", C)];
const TOOL: &str = env!("CARGO_BIN_EXE_xen-drbd");

struct Place {
    _temp: TempDir,
    folder: Folder,
}

impl Place {
    fn new() -> Place {
        let lab = Lab::home_of(5, 256, &DOMUS);
        let temp = tempfile::tempdir().unwrap();
        let programs = Programs { lab: Programs::lab_beside_test().unwrap(), tool: PathBuf::from(TOOL) };
        let folder = Folder::make(&temp.path().join("a fleet"), lab, &programs).unwrap();
        Place { _temp: temp, folder }
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        self.run_on(A, line)
    }

    fn run_on(&self, host: &str, line: &str) -> (i32, String, String) {
        let argv: Vec<&str> = line.split(' ').collect();
        let output = self.folder.command(host, &argv).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(137), text(output.stdout), text(output.stderr))
    }

    fn plan(&self, guest: &str, stage: Stage, deed: Deed) {
        self.folder.with(|lab| lab.inject(When::Stage(guest.into(), stage), deed)).unwrap();
    }

    fn runs_on(&self, domu: &str) -> Vec<String> {
        self.folder.with(|lab| lab.runs_on(domu)).unwrap()
    }

    fn journal(&self) -> String {
        std::fs::read_to_string(self.folder.dir().join("journal.txt")).unwrap_or_default()
    }

    fn all_are_out(&self) {
        let journal = self.journal();
        for (domu, peer) in DOMUS {
            assert_eq!(self.runs_on(domu), [peer], "{domu}\n{journal}");
        }
        let findings = self.folder.with(|lab| lab.findings()).unwrap();
        assert!(findings.is_empty(), "{findings:?}\n{journal}");
    }

    fn all_are_home(&self) {
        for (domu, _) in DOMUS {
            assert_eq!(self.runs_on(domu), [A], "{domu}\n{}", self.journal());
        }
    }
}

#[test]
fn all_of_them_go_and_come_back() {
    let place = Place::new();
    let (code, out, err) = place.run("xen-migrate migrate ALL");
    assert_eq!(code, 0, "{out}{err}\n{}", place.journal());
    assert!(out.contains("The plan, for 3 domUs, 2 at once:") && out.contains("All 3 domUs went from dom0-alpha."), "{out}{err}");
    assert!(out.contains("[3/3] "), "{out}");
    place.all_are_out();
    let (code, out, err) = place.run("xen-migrate reverse ALL --jobs 2");
    assert_eq!(code, 0, "{out}{err}\n{}", place.journal());
    place.all_are_home();
}

#[test]
fn a_machine_reads_every_line() {
    let place = Place::new();
    let (code, out, err) = place.run("xen-migrate migrate ALL --json");
    assert_eq!(code, 0, "{out}{err}\n{}", place.journal());
    let events: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).count();
    assert_eq!((of("plan"), of("begin"), of("end"), of("done")), (1, 3, 3, 1), "{out}");
    // How often progress is seen depends on how fast it goes.
    assert!(of("said") > 0 && err.is_empty(), "{out}{err}");
    assert_eq!(events.last().unwrap()["moved"].as_array().unwrap().len(), 3);
    place.all_are_out();
}

#[test]
fn asked_to_stop_it_ends_what_is_in_flight_and_begins_nothing() {
    let place = Place::new();
    place.plan("web", Stage::Memory(50), Deed::Interrupt(A.into()));
    let (code, out, err) = place.run("xen-migrate migrate ALL --jobs 1");
    assert_eq!(code, 1, "{out}{err}\n{}", place.journal());
    assert!(out.contains("mail: not begun; it runs on dom0-alpha"), "{out}{err}");
    place.all_are_home();
    assert_eq!(place.run("xen-migrate migrate ALL").0, 0);
    place.all_are_out();
}

#[test]
fn killed_and_run_again_it_completes_the_job() {
    for deed in [Deed::KillTools(A.into()), Deed::KillCaller] {
        let place = Place::new();
        place.plan("web", Stage::Memory(50), deed.clone());
        let first = place.run("xen-migrate migrate ALL --jobs 1");
        assert_ne!(first.0, 0, "{first:?}");
        let again = place.run("xen-migrate migrate ALL");
        assert_eq!(again.0, 0, "{deed:?}: {first:?}\n{again:?}\n{}", place.journal());
        place.all_are_out();
    }
}

/// Whatever the moment at which a Dom0 begins to go down: what is just coming in is turned away, or waited for and sent on. It never stays.
#[test]
fn what_comes_in_while_a_dom0_goes_down_does_not_stay() {
    for stage in [Stage::Memory(50), Stage::Ready, Stage::Go, Stage::Unpaused] {
        let place = Place::new();
        // How far it is when the other Dom0 begins is a matter of luck; this is only where it is not earlier.
        let journey = std::thread::scope(|scope| {
            let journey = scope.spawn(|| place.run("xen-migrate migrate web"));
            let reached = || place.journal().contains(&format!("migration of web: {stage:?}"));
            while !reached() && !journey.is_finished() {
                std::thread::yield_now();
            }
            let (code, out, err) = place.run_on(B, "xen-migrate migrate ALL --shutdown --deadline 4m");
            let journey = journey.join().unwrap();
            assert_eq!(code, 0, "{stage:?}: {out}{err}\n{journey:?}\n{}", place.journal());
            assert!(!out.contains("still run"), "{stage:?}: {out}{err}");
            journey
        });
        assert_eq!(place.runs_on("web"), [A], "{stage:?}: {journey:?}\n{}", place.journal());
        let refused = place.run("xen-migrate migrate web");
        assert!(refused.0 == 1 && refused.2.contains("this Dom0 goes down"), "{stage:?}: {refused:?}");
    }
}

/// Nobody may take half an answer for the whole, and nothing is broken off because it cannot be told. Whoever has read enough is content.
#[test]
fn an_answer_that_is_lost_is_no_success() {
    let place = Place::new();
    let into = |to: Stdio, line: &str| {
        let argv: Vec<&str> = line.split(' ').collect();
        let output = place.folder.command(A, &argv).stdin(Stdio::null()).stdout(to).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for line in ["status ALL", "status --json", "migrate ALL --dry-run", "--help", "migrate web"] {
        let (code, err) = into(full(), &format!("xen-migrate {line}"));
        assert!(
            code == Some(1) && err.contains("could not be written to standard output: No space left"),
            "{line}: {code:?} {err}"
        );
    }
    assert_eq!(place.runs_on("web"), [B], "it goes all the same");
    let (code, err) = into(full(), "xen-migrate status nosuch");
    assert!(code == Some(2) && !err.contains("No space"), "it has failed already: {code:?} {err}");
    let (reads, writes) = std::io::pipe().unwrap();
    drop(reads);
    let (code, err) = into(Stdio::from(writes), "xen-migrate status ALL");
    assert!(code == Some(0) && err.is_empty(), "as with `| head`: {code:?} {err}");
}

/// A terminal's screen, from what was written to it: what a person has in front of him at the end, and the longest line that was drawn.
#[derive(Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    longest: usize,
    /// So many times something was taken away.
    erased: usize,
}

impl Screen {
    fn of(raw: &str, columns: usize) -> Screen {
        let mut screen = Screen { lines: vec![vec![]], ..Screen::default() };
        let mut rest = raw.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.row += 1,
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['), "{raw:?}");
                    let mut number = String::new();
                    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                        number.push(digit);
                    }
                    match rest.next() {
                        Some('A') => screen.row = screen.row.checked_sub(number.parse().unwrap()).expect("above the first line"),
                        Some('J') => {
                            screen.erased += 1;
                            screen.lines.truncate(screen.row + 1);
                            let (row, column) = (screen.row, screen.column);
                            screen.line(row).truncate(column);
                        }
                        other => panic!("{other:?}: {raw:?}"),
                    }
                }
                c => {
                    let (row, column) = (screen.row, screen.column);
                    let line = screen.line(row);
                    line.resize(line.len().max(column + 1), ' ');
                    line[column] = c;
                    screen.column += 1;
                    screen.longest = screen.longest.max(screen.column);
                    assert!(c != '#' || screen.column < columns, "a bar reaches the edge: {raw:?}");
                }
            }
        }
        screen
    }

    fn line(&mut self, row: usize) -> &mut Vec<char> {
        while self.lines.len() <= row {
            self.lines.push(vec![]);
        }
        &mut self.lines[row]
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_string() + "\n").collect()
    }
}

impl Place {
    /// The same on a terminal of this size (`script` is in bsdutils, which every Debian has).
    fn on_a_terminal(&self, columns: usize, rows: usize, term: &str, line: &str) -> (i32, String) {
        // What else there is of it than its exit code goes through the terminal, whose lines end by \r\n.
        let shell = format!("stty cols {columns} rows {rows}; exec {line}");
        let argv = ["script", "-q", "-e", "-c", &shell, "/dev/null"];
        let mut command = self.folder.command(A, &argv);
        command.env("TERM", term).env_remove("NO_COLOR").env("SHELL", "/bin/sh");
        if let Some((name, value)) = term.split_once('=') {
            command.env("TERM", "xterm").env(name, value);
        }
        let output = command.stdin(Stdio::null()).output().expect("script, of bsdutils");
        (output.status.code().unwrap_or(137), String::from_utf8(output.stdout).unwrap())
    }
}

/// What is drawn is gone at the end: what a person reads then is what a log would have.
#[test]
fn on_a_terminal_bars_come_and_go() {
    for columns in [80, 40] {
        let place = Place::new();
        let (code, raw) = place.on_a_terminal(columns, 24, "xterm", "xen-migrate migrate ALL");
        assert_eq!(code, 0, "{raw}\n{}", place.journal());
        let screen = Screen::of(&raw, columns);
        let text = screen.text();
        assert!(raw.contains(" % of ") && screen.erased > 2, "nothing was drawn: {raw:?}");
        assert!(
            !text.contains("MiB/s") && !text.contains("[##") && !text.contains("[.."),
            "something is left over:\n{text}\n{raw:?}"
        );
        assert!(text.contains("[3/3] ") && text.ends_with("All 3 domUs went from dom0-alpha.\n"), "{text:?}\n{raw:?}");
        assert!(text.lines().all(|line| !line.is_empty()), "a hole:\n{text}");
        // Each bar line stays in front of the last column. Other lines may be as long as they are.
        for drawn in raw.split(['\n', '\r']).filter(|line| line.contains(" % of ")) {
            let plain = drawn.rsplit("\x1b[J").next().unwrap_or(drawn);
            assert!(plain.chars().count() < columns, "{columns}: {plain:?}");
        }
        place.all_are_out();
    }
}

#[test]
fn one_alone_has_a_bar_as_well() {
    let place = Place::new();
    let (code, raw) = place.on_a_terminal(80, 24, "xterm", "xen-migrate migrate web");
    assert_eq!(code, 0, "{raw}");
    let text = Screen::of(&raw, 80).text();
    assert!(!text.contains(" % of ") && text.ends_with("web runs on dom0-beta.\n"), "{text:?}\n{raw:?}");
}

#[test]
fn stopped_on_a_terminal_it_leaves_no_bar_behind() {
    let place = Place::new();
    place.plan("web", Stage::Memory(50), Deed::Interrupt(A.into()));
    let (code, raw) = place.on_a_terminal(80, 24, "xterm", "xen-migrate migrate ALL --jobs 1");
    assert_eq!(code, 1, "{raw}\n{}", place.journal());
    let text = Screen::of(&raw, 80).text();
    assert!(!text.contains("MiB/s") && text.contains("mail: not begun; it runs on dom0-alpha"), "{text}\n{raw:?}");
    // Nothing was done to the terminal that would have to be put back.
    assert!(!raw.contains("\x1b[?"), "{raw:?}");
    place.all_are_home();
}

#[test]
fn who_wants_plain_lines_gets_plain_lines() {
    for term in ["dumb", "NO_COLOR=1"] {
        let place = Place::new();
        let (code, raw) = place.on_a_terminal(80, 24, term, "xen-migrate migrate ALL");
        assert_eq!(code, 0, "{raw}");
        assert!(!raw.contains('\x1b') && raw.contains("[3/3] "), "{term}: {raw:?}");
    }
}

/// A folder that somebody names and that is not there gets a fleet, as the lab's help says; what is there and is none is left alone.
#[test]
fn the_lab_makes_a_fleet_where_there_is_none() {
    let temp = tempfile::tempdir().unwrap();
    let lab = Programs::lab_beside_test().unwrap();
    let run = |dir: &std::path::Path| {
        let mut command = std::process::Command::new(&lab);
        command
            .args(["--tool", TOOL, "--dir"])
            .arg(dir)
            .args(["run", A, "hostname"])
            .env("XEN_DRBD_LAB", temp.path().join("home"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = run(&temp.path().join("a/new fleet"));
    assert!(code == Some(0) && out.trim() == A && err.contains("a new fleet"), "{code:?} {out}{err}");
    let again = run(&temp.path().join("a/new fleet"));
    assert!(again.0 == Some(0) && !again.2.contains("a new fleet"), "{again:?}");
    std::fs::write(temp.path().join("a/letter"), "dear").unwrap();
    let (code, _, err) = run(&temp.path().join("a"));
    assert!(code == Some(1) && err.contains("holds no pretend fleet") && err.contains("/a"), "{code:?} {err}");
    assert_eq!(std::fs::read_to_string(temp.path().join("a/letter")).unwrap(), "dear");
}
