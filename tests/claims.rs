//! Two Dom0s start the same domU, and something goes wrong before every single thing that the claim does: it never runs twice, no end
//! becomes Primary beside the other, and when everything works again it runs once, with the options of the operator's file.
//!
//! Where the operator's file allows two Primaries for good, two things are granted: for a moment both may be Primary until they have looked
//! again (`core/boot/claim.rs` says why that is all), and an end that was cut off in the middle of a claim may stand alone until a
//! person types the one command that status names.

#[path = "lab/accidents.rs"]
mod accidents;

use accidents::{BadEnd, walk};
use xen_drbd::core::drbd::Generation;
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{Deed, DiskForm, Kind, Lab, Phase, When};

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Nothing, but the other Dom0 starts it in this very moment.
    Both,
    /// kill -9 for the tool.
    Kill,
    PowerHere,
    PowerThere,
    /// The cable, for a minute.
    Cut,
    /// The cable, and the other Dom0 starts it in this very moment.
    CutAndBoth,
    /// The cable; and the other Dom0 starts it when it is back.
    Late,
    /// The guest reboots, and so has another id.
    Reboot,
}

const WAYS: [Wrong; 8] =
    [Wrong::Both, Wrong::Kill, Wrong::PowerHere, Wrong::PowerThere, Wrong::Cut, Wrong::CutAndBoth, Wrong::Late, Wrong::Reboot];

fn pair(generation: Generation, toolstack: Toolstack, form: DiskForm, for_good: bool) -> Lab {
    let lab = Lab::pair(generation, toolstack, form);
    if for_good {
        lab.configure("web", |c| c.two_primaries = true);
        for host in [A, B] {
            assert_eq!(lab.run(host, &["drbdadm", "adjust", "web"]).code, 0);
        }
        assert!([A, B].iter().all(|h| lab.options(h, "web").0));
    }
    for host in [A, B] {
        // Nobody runs it yet, and both have its config.
        if lab.runs_on("web").contains(&host.to_string()) {
            lab.run(host, &[toolstack.program(), "destroy", "web"]);
        }
        let text = lab.file(A, "/etc/xen/web.cfg").expect("the pair's config");
        lab.put(host, "/etc/xen/drbd-auto/web.cfg", &text);
    }
    lab.pass(5000);
    for host in [A, B] {
        lab.run(host, &["drbdadm", "secondary", "web"]);
    }
    lab
}

/// Three Dom0s with a quorum, of which the third has no power: the two that are left are a majority together, and neither is alone.
fn two_of_three() -> Lab {
    let lab = Lab::new(3);
    let hosts = [A, B, "dom0-gamma"];
    for host in hosts {
        lab.host(host, Generation::V9, Toolstack::Xl);
    }
    lab.resource("web", 1, &hosts);
    lab.configure("web", |c| c.quorum = true);
    lab.domu("web", 512, &[&DiskForm::Phy.line("web", 1, "xvda")], &hosts);
    for host in [A, B] {
        let text = lab.file(A, "/etc/xen/web.cfg").expect("the fleet's config");
        lab.put(host, "/etc/xen/drbd-auto/web.cfg", &text);
    }
    lab.perform(&Deed::PowerOff("dom0-gamma".into()), None);
    lab.pass(30_000);
    lab
}

/// Two domUs, each with a disk of its own.
fn two_domus() -> Lab {
    let lab = Lab::new(4);
    for host in [A, B] {
        lab.host(host, Generation::V84, Toolstack::Xl);
    }
    for (at, name) in DOMUS.into_iter().enumerate() {
        let minor = at as u32 + 1;
        lab.resource(name, minor, &[A, B]);
        lab.domu(name, 256, &[&DiskForm::Phy.line(name, minor, "xvda")], &[A, B]);
        for host in [A, B] {
            let text = lab.file(A, &format!("/etc/xen/{name}.cfg")).expect("the fleet's config");
            lab.put(host, &format!("/etc/xen/drbd-auto/{name}.cfg"), &text);
        }
    }
    lab.pass(30_000);
    lab
}

/// Every domU that a fleet of these tests may have.
const DOMUS: [&str; 2] = ["db", "web"];

/// What is walked through.
struct Walk {
    make: fn() -> Lab,
    for_good: bool,
    start: &'static [&'static str],
}

const START: &[&str] = &["xen-drbd-auto", "start"];

fn break_at_every_step(Walk { make, for_good, start }: Walk) {
    let started = |host: &str| Deed::Run(host.into(), start.iter().map(|word| word.to_string()).collect());
    let whole = make().run(A, start);
    assert_eq!(whole.code, 0, "{}{}", whole.out, whole.err);
    assert!(whole.out.contains("started"), "{}{}", whole.out, whole.err);
    walk("a start", whole.events.clone(), &WAYS, 100, |event, way| {
        let lab = make();
        let when = When::Event(event, Phase::Before);
        let cut = || Deed::Cut(A.into(), B.into(), Some(60_000));
        match way {
            Wrong::Both => lab.inject(when, started(B)),
            Wrong::Kill => lab.inject(when, Deed::KillCaller),
            Wrong::PowerHere => lab.inject(when, Deed::PowerOff(A.into())),
            Wrong::PowerThere => lab.inject(when, Deed::PowerOff(B.into())),
            Wrong::Cut => lab.inject(when, cut()),
            Wrong::CutAndBoth => {
                lab.inject(when.clone(), cut());
                lab.inject(when, started(B));
            }
            Wrong::Late => {
                lab.inject(when, cut());
                lab.inject_in(70_000, started(B));
            }
            Wrong::Reboot => lab.inject(when, Deed::GuestReboots("web".into())),
        }
        lab.run(A, start);
        settle_and_judge(&lab, for_good, start).map_err(|why| BadEnd { why, journal: lab.journal() })
    });
}

/// Power on, `start` on both as at boot, and half an hour.
fn settle_and_judge(lab: &Lab, for_good: bool, start: &[&str]) -> Result<(), String> {
    lab.pass(90_000);
    for host in [A, B] {
        if !lab.fleet().host(host).powered {
            lab.perform(&Deed::Boot(host.into()), None);
        }
    }
    lab.pass(30_000);
    for host in [A, B] {
        let ran = lab.run(host, start);
        if ran.code != 0 {
            return Err(format!("start on {host} ends with {}: {}{}", ran.code, ran.out, ran.err));
        }
    }
    // Long enough for the one that leaves it alone to be sure.
    lab.pass(1_500_000);
    let domus: Vec<&str> = DOMUS.into_iter().filter(|name| lab.file(A, &format!("/etc/xen/{name}.cfg")).is_some()).collect();
    let said = || [A, B].map(|h| lab.run(h, &["xen-drbd-auto", "status"]).out).join("");
    if for_good && [A, B].iter().any(|h| lab.connection(h, "web") == "StandAlone") {
        if lab.runs_on("web").is_empty() && !said().contains("on both hosts: drbdadm adjust web") {
            return Err(format!("it stands alone, and status does not say what to type: {}", said()));
        }
        for host in [A, B] {
            lab.run(host, &["drbdadm", "adjust", "web"]);
        }
        lab.pass(1_500_000);
    }
    let granted = |kind: Kind| for_good && kind == Kind::TwoPrimaries;
    let bad: Vec<String> =
        lab.findings().iter().filter(|f| !granted(f.kind)).map(|f| format!("{:?}: {}", f.kind, f.text)).collect();
    if !bad.is_empty() {
        return Err(bad.join("; "));
    }
    for name in &domus {
        let runs_on = lab.runs_on(name);
        if runs_on.len() != 1 {
            return Err(format!("{name} runs on {runs_on:?}: {}", said()));
        }
    }
    for host in [A, B] {
        for name in &domus {
            let (two, fencing) = lab.options(host, name);
            if two != for_good || fencing != "dont-care" {
                return Err(format!("the options of {name} on {host}: two_primaries={two} fencing={fencing}: {}", said()));
            }
        }
        let status = lab.run(host, &["xen-drbd-auto", "status"]);
        if status.code != 0 || !status.out.contains("daemon gone") {
            return Err(format!("status on {host} is not content: {}", status.out));
        }
    }
    Ok(())
}

#[test]
fn drbd_8_4_script_disk() {
    break_at_every_step(Walk {
        make: || pair(Generation::V84, Toolstack::Xl, DiskForm::Script, false),
        for_good: false,
        start: START,
    });
}

#[test]
fn drbd_8_4_script_disk_two_primaries_for_good() {
    break_at_every_step(Walk {
        make: || pair(Generation::V84, Toolstack::Xl, DiskForm::Script, true),
        for_good: true,
        start: START,
    });
}

#[test]
fn drbd_8_4_phy_disk() {
    break_at_every_step(Walk {
        make: || pair(Generation::V84, Toolstack::Xl, DiskForm::Phy, false),
        for_good: false,
        start: START,
    });
}

#[test]
fn drbd_9_phy_disk() {
    break_at_every_step(Walk {
        make: || pair(Generation::V9, Toolstack::Xl, DiskForm::Phy, false),
        for_good: false,
        start: START,
    });
}

#[test]
fn drbd_9_script_disk_two_primaries_for_good() {
    break_at_every_step(Walk {
        make: || pair(Generation::V9, Toolstack::Xl, DiskForm::Script, true),
        for_good: true,
        start: START,
    });
}

#[test]
fn drbd_9_by_quorum() {
    break_at_every_step(Walk { make: two_of_three, for_good: false, start: &["xen-drbd-auto", "start", "--trust-quorum"] });
}

#[test]
fn the_judge_sees_two_that_run() {
    let lab = pair(Generation::V84, Toolstack::Xl, DiskForm::Script, true);
    lab.run(A, &["xl", "create", "/etc/xen/web.cfg"]);
    lab.run(B, &["xl", "create", "/etc/xen/web.cfg"]);
    assert!(lab.findings().iter().any(|f| f.kind == Kind::TwoRun));
}

#[test]
fn two_at_a_time() {
    break_at_every_step(Walk { make: two_domus, for_good: false, start: &["xen-drbd-auto", "start", "--jobs", "2"] });
}
