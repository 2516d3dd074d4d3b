//! Something goes wrong before every single thing that a migration does, and `recover` afterwards ends in a state that the promises
//! allow: never two, never none without saying so, the data whole, the window shut.
//!
//! Not a sample: the events of a whole run are counted first, and then the same run is broken before each of them in turn, in each
//! of six ways. What happens between two events is nothing, so "before each" is "after each" as well.

#[path = "lab/accidents.rs"]
mod accidents;

use accidents::{BadEnd, walk};
use xen_drbd::core::drbd::{Generation, Role};
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{Deed, DiskForm, Kind, Lab, Phase, Ran, When};

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// kill -9 for the tool that is just at work, here or there.
    Kill,
    /// The power of the Dom0 that the command runs on.
    PowerHere,
    /// The power of the other one.
    PowerThere,
    /// Everything between the two, mended a minute later.
    Cut,
    /// Only replication.
    CutDrbd,
    /// Only ssh.
    CutSsh,
}

const WAYS: [Wrong; 6] = [Wrong::Kill, Wrong::PowerHere, Wrong::PowerThere, Wrong::Cut, Wrong::CutDrbd, Wrong::CutSsh];

/// The command that is broken: from alpha, web's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Migrate,
    Reverse,
}

impl Verb {
    fn argv(self) -> [&'static str; 3] {
        match self {
            Verb::Migrate => ["xen-migrate", "migrate", "web"],
            Verb::Reverse => ["xen-migrate", "reverse", "web"],
        }
    }
}

/// The pair as it is when the command begins.
fn prepared(generation: Generation, toolstack: Toolstack, form: DiskForm, verb: Verb) -> Lab {
    let lab = Lab::pair(generation, toolstack, form);
    if verb == Verb::Reverse {
        let ran = lab.run(A, &["xen-migrate", "migrate", "web"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    }
    lab
}

fn break_at_every_step(generation: Generation, toolstack: Toolstack, form: DiskForm, verb: Verb) {
    let whole = prepared(generation, toolstack, form, verb).run(A, &verb.argv());
    assert_eq!(whole.code, 0, "{}{}", whole.out, whole.err);
    assert!(whole.events.end - whole.events.start > 40, "only {:?} events: is anything counted?", whole.events);

    walk(&format!("{verb:?}"), whole.events.clone(), &WAYS, 200, |event, way| {
        let lab = prepared(generation, toolstack, form, verb);
        let deed = match way {
            Wrong::Kill => Deed::KillCaller,
            Wrong::PowerHere => Deed::PowerOff(A.into()),
            Wrong::PowerThere => Deed::PowerOff(B.into()),
            Wrong::Cut => Deed::Cut(A.into(), B.into(), Some(60_000)),
            Wrong::CutDrbd => Deed::CutDrbd(A.into(), B.into(), Some(60_000)),
            Wrong::CutSsh => Deed::CutSsh(A.into(), B.into(), Some(60_000)),
        };
        lab.inject(When::Event(event, Phase::Before), deed);
        let ran = lab.run(A, &verb.argv());
        assert_eq!(lab.planned(), 0, "event {event} never came");
        let power = matches!(way, Wrong::PowerHere | Wrong::PowerThere);
        settle_and_judge(&lab, ran, power).map_err(|why| BadEnd { why, journal: lab.journal() })
    });
}

/// What an operator does after an accident: power on, wait for the links, `recover` on both ends until it says that all is well
/// or that a person must act. Then everything is looked at.
fn settle_and_judge(lab: &Lab, ran: Ran, power: bool) -> Result<(), String> {
    let mut answers = vec![ran];
    for host in [A, B] {
        if !lab.fleet().host(host).powered {
            lab.perform(&Deed::Boot(host.into()), None);
        }
    }
    lab.pass(90_000);
    let mut last = [1, 1];
    for _round in 0..3 {
        for (n, host) in [A, B].into_iter().enumerate() {
            let again = lab.run(host, &["xen-migrate", "recover"]);
            last[n] = again.code;
            answers.push(again);
        }
        if last == [0, 0] {
            break;
        }
        lab.pass(90_000);
    }

    // Whatever else: never two, and never on older data.
    let worst: Vec<String> = lab.findings().iter().filter(|f| matches!(f.kind, Kind::TwoRun)).map(|f| f.text.clone()).collect();
    if !worst.is_empty() {
        return Err(worst.join("; "));
    }
    // A link that is cut in the seconds in which both ends are Primary makes DRBD 8.4 begin a new data generation on each: no tool can
    // prevent that, and none may decide whose is thrown away. It must be said, with the commands; the guest itself goes on.
    let split = lab.findings().iter().any(|f| f.kind == Kind::SplitBrain);
    if split {
        let said =
            answers.iter().any(|r| r.code != 0 && r.err.contains("is a split brain") && r.err.contains("--discard-my-data"));
        return match lab.runs_on("web").len() {
            1 if said => Ok(()),
            1 => Err("a split brain, and nobody says what to do about it".to_string()),
            n => Err(format!("a split brain, and it runs on {n} hosts")),
        };
    }

    // Both sides Primary with nothing running on one of them is what a kill inside the window leaves until `recover`.
    let bad: Vec<String> =
        lab.findings().iter().filter(|f| f.kind != Kind::TwoPrimaries).map(|f| format!("{:?}: {}", f.kind, f.text)).collect();
    if !bad.is_empty() {
        return Err(bad.join("; "));
    }
    let refs: Vec<&Ran> = answers.iter().collect();
    if let Err(lost) = lab.not_lost("web", &refs) {
        // Where the power of its host went and nothing was in flight, it is an ordinary power cut; status must not say otherwise.
        let status = lab.run(A, &["xen-migrate", "status", "web"]);
        let honest = status.out.contains("absent") || status.out.contains("no Primary anywhere");
        return if power && honest && lab.runs_on("web").is_empty() { Ok(()) } else { Err(format!("{lost}; {}", status.out)) };
    }
    let runs_on = lab.runs_on("web");
    if last != [0, 0] && !last.contains(&5) {
        let said = answers.last().map(|r| format!("{}{}", r.out, r.err)).unwrap_or_default();
        return Err(format!("recover ends with {last:?} although everything works again; last: {said}"));
    }
    if runs_on.is_empty() {
        return Ok(());
    }

    // It runs once: then everything else is in order, too.
    for host in [A, B] {
        let names: Vec<String> = lab.domains(host).into_iter().map(|(name, _)| name).filter(|n| n.contains("web")).collect();
        let expected: &[String] = if runs_on[0] == host { &["web".to_string()] } else { &[] };
        if names != expected {
            return Err(format!("left on {host}: {names:?}"));
        }
        let role = if runs_on[0] == host { Role::Primary } else { Role::Secondary };
        if lab.role(host, "web") != role {
            return Err(format!("{host} is {} and it runs on {}", lab.role(host, "web"), runs_on[0]));
        }
        let (two, fencing) = lab.options(host, "web");
        if two || fencing != "dont-care" {
            return Err(format!("the window is not shut on {host}: two_primaries={two} fencing={fencing}"));
        }
        let record = lab.file(host, "/etc/xen/migrate-status.txt").unwrap_or_default();
        if record
            .lines()
            .any(|l| ["leaving", "arriving", "returning", "open="].iter().any(|w| !l.starts_with('#') && l.contains(w)))
        {
            return Err(format!("the record of {host} is not settled: {record}"));
        }
    }
    if lab.disk_states(&runs_on[0], "web").iter().any(|s| *s != 4) {
        return Err("its disk is dead".into());
    }
    // The record at home says where it is.
    let record = lab.file(A, "/etc/xen/migrate-status.txt").unwrap_or_default();
    let away = record.lines().any(|l| l.starts_with("web") && l.contains("away"));
    if away != (runs_on[0] == B) {
        return Err(format!("it runs on {}, and the record at home says: {record}", runs_on[0]));
    }
    // And the next migration works.
    let status = lab.run(A, &["xen-migrate", "status"]);
    if status.code != 0 || status.out.contains('!') {
        return Err(format!("status is not content: {}{}", status.out, status.err));
    }
    let verb = if away { "reverse" } else { "migrate" };
    let next = lab.run(A, &["xen-migrate", verb, "web"]);
    if next.code != 0 {
        return Err(format!("the next {verb} fails: {}{}", next.out, next.err));
    }
    Ok(())
}

#[test]
fn migrate_drbd_8_4_script_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xl, DiskForm::Script, Verb::Migrate);
}

#[test]
fn migrate_drbd_8_4_phy_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xl, DiskForm::Phy, Verb::Migrate);
}

#[test]
fn migrate_drbd_9_script_disk() {
    break_at_every_step(Generation::V9, Toolstack::Xl, DiskForm::Script, Verb::Migrate);
}

#[test]
fn migrate_drbd_9_phy_disk() {
    break_at_every_step(Generation::V9, Toolstack::Xl, DiskForm::Phy, Verb::Migrate);
}

#[test]
fn reverse_drbd_8_4_script_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xl, DiskForm::Script, Verb::Reverse);
}

#[test]
fn reverse_drbd_9_phy_disk() {
    break_at_every_step(Generation::V9, Toolstack::Xl, DiskForm::Phy, Verb::Reverse);
}

#[test]
fn reverse_drbd_8_4_phy_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xl, DiskForm::Phy, Verb::Reverse);
}

#[test]
fn migrate_xm_drbd_8_4_script_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xm, DiskForm::Script, Verb::Migrate);
}

#[test]
fn migrate_xm_drbd_8_4_phy_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xm, DiskForm::Phy, Verb::Migrate);
}

#[test]
fn reverse_xm_drbd_8_4_script_disk() {
    break_at_every_step(Generation::V84, Toolstack::Xm, DiskForm::Script, Verb::Reverse);
}
