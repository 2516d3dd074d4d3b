//! `xm`, DRBD 8.3, three hosts.

use super::*;
use crate::core::drbd::{Fencing, Role};
use crate::lab::model::Conf;
use crate::lab::{Deed, Kind, Quirk, Stage, When};

const A: &str = "dom0-a";
const B: &str = "dom0-b";

fn old() -> Lab {
    let lab = recorded_pair(Generation::V83, Toolstack::Xm, DiskForm::Script);
    let ran = sh(&lab, A, "xm create /etc/xen/pvh1.cfg");
    assert_eq!(ran.out, "Using config file \"/etc/xen/pvh1.cfg\".\nStarted domain pvh1 (id=1)\n");
    lab
}

#[test]
fn xm_lists_and_refuses_in_its_own_words() {
    let lab = old();
    let list = out(&lab, A, "xm list");
    let mut lines = list.lines();
    assert_eq!(lines.next(), Some("Name                                        ID   Mem VCPUs      State   Time(s)"));
    assert!(
        lines.nth(1).is_some_and(|l| l.starts_with("pvh1                                         1   128     1     -b----")),
        "{list}"
    );
    let ran = sh(&lab, A, "xm list nosuch");
    assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (3, "Error: Domain 'nosuch' does not exist.\n", ""));
    let ran = sh(&lab, A, "xm create /etc/xen/pvh1.cfg");
    assert_eq!((ran.code, ran.err.as_str()), (1, "Error: VM name 'pvh1' already exists as domain 1\n"));
    assert!(out(&lab, A, "xm list --long pvh1").contains("(uname drbd:r0)"));
    assert_eq!(sh(&lab, A, "xl list").code, 127);
    lab.with(|f| f.host_mut(A).xend_up = false);
    let ran = sh(&lab, A, "xm list");
    assert_eq!((ran.code, ran.err.as_str()), (1, "Error: Unable to connect to xend: Connection refused. Is xend running?\n"));
}

#[test]
fn xm_migrates_and_says_nothing() {
    let lab = old();
    let ran = sh(&lab, A, "xm migrate --live pvh1 dom0-b");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    assert_eq!(lab.runs_on("pvh1"), [B]);
    assert!(lab.findings().is_empty(), "{}", lab.journal());
}

#[test]
fn xm_migrate_can_exit_0_and_leave_the_guest_nowhere() {
    // Two Primaries are not allowed: the target's hotplug script fails, and that is looked at too late.
    let lab = old();
    lab.configure("r0", |c| c.two_primaries = false);
    assert_eq!(sh(&lab, A, "xm migrate --live pvh1 dom0-b").code, 0);
    assert_eq!(lab.runs_on("pvh1"), Vec::<String>::new());
    let lab = old();
    lab.perform(&Deed::Arm(Quirk::NoUnpause("pvh1".into())), None);
    assert_eq!(sh(&lab, A, "xm migrate --live pvh1 dom0-b").code, 0);
    assert_eq!((lab.domains(A), lab.domains(B)), (vec![], vec![]));
    assert_eq!(lab.not_lost("pvh1", &[]), Err("pvh1 runs nowhere, and nobody said so".to_string()));
}

#[test]
fn while_xm_migrates_the_sender_has_another_name() {
    let lab = old();
    lab.inject(When::Stage("pvh1".into(), Stage::Memory(50)), Deed::Run(A.into(), vec!["xm".into(), "list".into()]));
    sh(&lab, A, "xm migrate -l pvh1 dom0-b");
    assert!(lab.ran()[0].out.contains("\nmigrating-pvh1  "), "{}", lab.ran()[0].out);
    let lab = old();
    lab.inject(When::Stage("pvh1".into(), Stage::Memory(50)), Deed::PowerOff(B.into()));
    let ran = sh(&lab, A, "xm migrate -l pvh1 dom0-b");
    assert_eq!((ran.code, ran.err.as_str()), (1, "Error: /usr/lib/xen/bin/xc_save 4 7 0 0 1 failed\n"));
    assert_eq!(lab.domains(A), [("pvh1".to_string(), "-b----".to_string())]);
}

#[test]
fn drbd_8_3_has_no_options_at_run_time() {
    let lab = old();
    assert_eq!(out(&lab, A, "drbdadm role r0"), "Primary/Secondary\n");
    assert_eq!(sh(&lab, A, "drbdadm net-options --allow-two-primaries=no r0").code, 1);
    assert!(out(&lab, A, "cat /proc/drbd").contains(" 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n"));
    assert_eq!(sh(&lab, A, "drbdadm role nosuch").err, "'nosuch' not defined in your config.\n");
    assert!(out(&lab, A, "drbdsetup 0 show").contains("\tallow-two-primaries;\n"));
    assert!(out(&lab, A, "drbdadm dump-xml").contains("<option name=\"allow-two-primaries\"/>"));
    out(&lab, A, "xm destroy pvh1");
    out(&lab, B, "drbdadm down r0");
    let ran = sh(&lab, B, "drbdadm role r0");
    assert_eq!((ran.code, ran.err.lines().last()), (10, Some("drbdadm role r0: exited with code 10")));
}

fn three() -> Lab {
    let lab = Lab::new(3);
    for host in ["dom0-a", "dom0-b", "dom0-c"] {
        lab.host(host, Generation::V9, Toolstack::Xl);
    }
    let conf = Conf { two_primaries: false, fencing: Fencing::DontCare, auto_promote: true, quorum: true, ..Conf::default() };
    lab.resource_of("r0", &[0, 1], &["dom0-a", "dom0-b", "dom0-c"], conf);
    lab
}

#[test]
fn with_three_hosts_quorum_decides() {
    let lab = three();
    out(&lab, A, "drbdadm primary r0");
    assert_eq!(
        out(&lab, B, "drbdadm status r0"),
        "r0 role:Secondary\n  volume:0 disk:UpToDate\n  volume:1 disk:UpToDate\n  dom0-a role:Primary\n    volume:0 peer-disk:UpToDate\n    volume:1 peer-disk:UpToDate\n  dom0-c role:Secondary\n    volume:0 peer-disk:UpToDate\n    volume:1 peer-disk:UpToDate\n\n"
    );
    lab.with(|f| f.power_off(A));
    lab.pass(12_000);
    assert_eq!(sh(&lab, B, "drbdadm primary r0").code, 0, "two of three");
    out(&lab, B, "drbdadm secondary r0");
    lab.with(|f| f.power_off("dom0-c"));
    lab.pass(12_000);
    let ran = sh(&lab, B, "drbdadm primary r0");
    assert!(ran.err.starts_with("r0: State change failed: (-25) No quorum\n"), "{}", ran.err);
    assert!(out(&lab, B, "drbdsetup events2 --now r0").contains("quorum:no"));
    lab.with(|f| f.boot("dom0-c"));
    lab.with(|f| f.boot(A));
    assert_eq!(out(&lab, B, "drbdadm cstate r0"), "Connected\nConnected\n");
}

#[test]
fn one_link_of_three_that_is_cut_hides_no_primary() {
    let lab = three();
    out(&lab, A, "drbdadm primary r0");
    lab.with(|f| f.cut(A, B, true, true, None));
    lab.pass(12_000);
    assert_eq!(sh(&lab, B, "drbdadm primary r0").code, 11, "the third one sees it");
    assert_eq!(lab.role(B, "r0"), Role::Secondary);
    assert!(lab.findings().iter().all(|f| f.kind != Kind::TwoPrimaries));
}

#[test]
fn the_article_has_its_three_hosts_and_eight_domus() {
    let lab = Lab::article();
    assert_eq!(lab.domains("dom0-alpha").len() + lab.domains("dom0-beta").len() + lab.domains("dom0-gamma").len(), 8);
    assert_eq!(out(&lab, "dom0-beta", "drbdadm role my-domu-5"), "Primary/Secondary\n");
    assert!(lab.findings().is_empty());
}

#[test]
fn events_are_streamed_to_the_one_who_watches() {
    let lab = three();
    lab.inject_in(3000, Deed::Run(B.into(), ["drbdadm", "primary", "r0"].map(str::to_string).to_vec()));
    lab.set_applets(|world, _, _| {
        let mut seen = Vec::new();
        let call = crate::adapters::Call { limit: None, ..crate::adapters::Call::new("drbdsetup", ["events2"]) };
        let ended = world.watch(&call, &mut |sign| {
            if let crate::adapters::Sign::Line(line) = sign {
                seen.push(line.to_string());
            }
            if seen.iter().any(|l| l.starts_with("change connection") && l.ends_with("role:Primary")) {
                return crate::adapters::Flow::Stop;
            }
            crate::adapters::Flow::On
        });
        assert!(ended.is_ok());
        assert!(seen.contains(&"exists -".to_string()));
        assert!(seen.contains(&"change resource name:r0 may_promote:no".to_string()), "{seen:#?}");
        0
    });
    assert_eq!(lab.run(A, &["xen-drbd-auto", "wait"]).code, 0);
}
