//! `migrate ALL` with the real executable among pretended programs: workers that are processes, at once, stopped, and killed.
//! (`cargo build --example lab` makes the programs; `programs.rs` has the rest.)

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
        let argv: Vec<&str> = line.split(' ').collect();
        let output = self.folder.command(A, &argv).stdin(Stdio::null()).output().unwrap();
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
