//! `migrate ALL` and `reverse ALL` are broken before every single thing that they do, and the same command again completes the job.
//!
//! The journeys themselves are `every_step.rs`'s; here it is what stands around them: the workers, their foreman, the queue.

#[path = "lab/accidents.rs"]
mod accidents;

use accidents::{BadEnd, walk};
use xen_drbd::core::drbd::Generation;
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{Deed, Kind, Lab, Phase, When};

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";
const C: &str = "dom0-gamma";
const DOMUS: [(&str, &str); 2] = [("web", B), ("db", C)];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// kill -9 for the process that is just at work: the foreman, a worker, or migrate2 on a peer.
    Kill,
    /// kill -9 for all of ours on alpha.
    KillAll,
    /// Ctrl-C on alpha.
    Stop,
    /// The power of alpha.
    PowerHere,
}

const WAYS: [Wrong; 4] = [Wrong::Kill, Wrong::KillAll, Wrong::Stop, Wrong::PowerHere];

/// Three Dom0s; alpha is home of both domUs.
fn fleet() -> Lab {
    Lab::home_of(3, 512, &DOMUS)
}

fn prepared(verb: &str) -> Lab {
    let lab = fleet();
    if verb == "reverse" {
        let ran = lab.run(A, &["xen-migrate", "migrate", "ALL"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    }
    lab
}

fn break_at_every_step(verb: &str) {
    let argv = ["xen-migrate", verb, "ALL"];
    let whole = prepared(verb).run(A, &argv);
    assert_eq!(whole.code, 0, "{}{}", whole.out, whole.err);
    walk(verb, whole.events.clone(), &WAYS, 400, |event, way| {
        // Each way but the first has every third event: the journeys are walked through elsewhere, and it is slow enough.
        let turn = WAYS.iter().position(|w| *w == way).unwrap_or(0) as u64;
        if turn > 0 && event % 3 != turn - 1 {
            return Ok(());
        }
        let lab = prepared(verb);
        let deed = match way {
            Wrong::Kill => Deed::KillCaller,
            Wrong::KillAll => Deed::KillTools(A.into()),
            Wrong::Stop => Deed::Interrupt(A.into()),
            Wrong::PowerHere => Deed::PowerOff(A.into()),
        };
        lab.inject(When::Event(event, Phase::Before), deed);
        let ran = lab.run(A, &argv);
        assert_eq!(lab.planned(), 0, "event {event} never came");
        again(&lab, verb, way == Wrong::PowerHere)
            .map_err(|why| BadEnd { why: format!("{why}\nfirst: {}{}", ran.out, ran.err), journal: lab.journal() })
    });
}

/// The same command again, until it says that all is done; then everything is looked at.
fn again(lab: &Lab, verb: &str, power: bool) -> Result<(), String> {
    if power {
        lab.perform(&Deed::Boot(A.into()), None);
    }
    let mut last = None;
    for _round in 0..3 {
        lab.pass(90_000);
        if power {
            // With the power its domUs went. What ran here is started again as at any boot, where that is safe.
            lab.run(A, &["xen-drbd-auto", "start"]);
        }
        let ran = lab.run(A, &["xen-migrate", verb, "ALL"]);
        let well = ran.code == 0;
        last = Some(ran);
        if well {
            break;
        }
    }
    let said = last.as_ref().map(|r| format!("exit {}: {}{}", r.code, r.out, r.err)).unwrap_or_default();
    let bad: Vec<String> =
        lab.findings().iter().filter(|f| f.kind != Kind::TwoPrimaries).map(|f| format!("{:?}: {}", f.kind, f.text)).collect();
    if !bad.is_empty() {
        return Err(bad.join("; "));
    }
    // A power cut, or the end of migrate2 on the peer, in the middle of a hand-over may leave a domU to a person; two there must never
    // be, and it must be said.
    let undecided = last.as_ref().is_some_and(|r| r.code != 0 && (power || r.code == 5 && r.err.contains("UNDECIDED")));
    if !undecided && last.as_ref().is_none_or(|r| r.code != 0) {
        return Err(format!("run again it does not complete: {said}"));
    }
    for (domu, peer) in DOMUS {
        let wanted = if verb == "migrate" { peer } else { A };
        let on = lab.runs_on(domu);
        if on.len() > 1 {
            return Err(format!("{domu} runs on {on:?}"));
        }
        if undecided {
            if on.is_empty() && !said.contains(domu) {
                return Err(format!("{domu} runs nowhere, and nobody says so: {said}"));
            }
            continue;
        }
        if on != [wanted] {
            return Err(format!("{domu} runs on {on:?}; {said}"));
        }
        // Without power alpha could not be told what the peer had sent; that one's own record knows, and its `recover` puts it right.
        let hosts: &[&str] = if power { &[A] } else { &[A, peer] };
        for host in hosts {
            let (two, fencing) = lab.options(host, domu);
            if two || fencing != "dont-care" {
                return Err(format!("the window of {domu} is not shut on {host}: {two} {fencing}"));
            }
            let record = lab.file(host, "/etc/xen/migrate-status.txt").unwrap_or_default();
            let open =
                |l: &str| ["leaving", "arriving", "returning", "open="].iter().any(|w| !l.starts_with('#') && l.contains(w));
            if record.lines().any(|l| l.starts_with(domu) && open(l)) {
                return Err(format!("the record of {host} is not settled: {record}"));
            }
        }
    }
    Ok(())
}

#[test]
fn migrate_all() {
    break_at_every_step("migrate");
}

#[test]
fn reverse_all() {
    break_at_every_step("reverse");
}

/// A look at a hundred costs as many programs as a look at three: one `xl`, one `drbdsetup show`, one ssh a peer.
#[test]
fn the_look_costs_the_same_for_few_and_for_many() {
    let events = |count: u32| {
        let lab = Lab::new(3);
        for host in [A, B, C] {
            lab.host(host, Generation::V84, Toolstack::Xl);
        }
        let mut table = String::new();
        for minor in 1..=count {
            let (domu, peer) = (format!("domu-with-a-name-{minor}"), if minor % 2 == 0 { B } else { C });
            lab.resource(&domu, minor, &[A, peer]);
            lab.domu(&domu, 64, &[&format!("drbd:{domu},xvda,w")], &[A, peer]);
            table += &format!("{domu}  {peer}  --live\n");
        }
        lab.put(A, "/etc/xen/migrate-tab.txt", &table);
        lab.introduce();
        (1..=count).for_each(|minor| lab.start(A, &format!("domu-with-a-name-{minor}")));
        let ran = lab.run(A, &["xen-migrate", "migrate", "ALL", "--dry-run"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        ran.events.end - ran.events.start
    };
    assert_eq!(events(4), events(40));
}

/// All peers are asked at the same time, whatever is looked at: how many requests overlap is counted, not how long they take.
#[test]
fn all_peers_are_asked_at_the_same_time() {
    let at_once = |lab: &Lab, argv: &[&str]| -> Vec<String> {
        let before = lab.journal().lines().count();
        let ran = lab.run(A, argv);
        assert!(!ran.killed, "{}{}", ran.out, ran.err);
        let journal = lab.journal();
        let new = journal.lines().skip(before);
        let what = new.filter_map(|line| line.split_once(" at once: ")).map(|(_, what)| what.to_string());
        // A look asks the tools of its own host together as well.
        what.filter(|what| what.contains("ssh")).collect()
    };
    let lab = fleet();
    assert_eq!(at_once(&lab, &["xen-migrate", "migrate", "ALL", "--dry-run"]), ["ssh, ssh"]);
    assert_eq!(at_once(&lab, &["xen-migrate", "status", "ALL", "--fleet"]), ["ssh, ssh"]);
    assert_eq!(at_once(&lab, &["xen-migrate", "check"]), ["ssh, ssh"]);
    lab.run(A, &["xen-migrate", "migrate", "ALL"]);
    assert_eq!(at_once(&lab, &["xen-migrate", "reverse", "ALL", "--dry-run"]), ["ssh, ssh"]);
    // A dead one is no reason to ask the others later.
    lab.perform(&Deed::PowerOff(C.into()), None);
    assert_eq!(at_once(&lab, &["xen-migrate", "reverse", "ALL", "--dry-run"]), ["ssh, ssh"]);
}
