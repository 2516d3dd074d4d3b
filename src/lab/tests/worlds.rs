//! The trait World: processes that are killed, locks, files, ssh with its forced command, limits.

use super::*;
use crate::adapters::{Call, CallError, Ended, Flow, Input, LockError, Sign, To, World};
use crate::applets::Surroundings;
use crate::lab::{Deed, Phase, Quirk, Stage, When};
use std::path::Path;
use std::time::Duration;

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";

fn pair() -> Lab {
    let lab = Lab::pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    lab.configure("web", |c| c.two_primaries = true);
    lab
}

/// A tool that locks, writes down, migrates with the dedicated key, and writes down again.
fn tool(world: &dyn World, argv: &[String], around: &Surroundings) -> i32 {
    match argv.get(1).map(String::as_str) {
        Some("migrate2") => {
            let asked = around.ssh_original_command.clone().unwrap_or_default();
            world.say(To::Log, &format!("asked for {asked:?} by {:?}", around.ssh_connection));
            if asked.ends_with("xl migrate-receive") {
                let call = Call { stdin: Input::Inherited, limit: None, ..Call::new("xl", ["migrate-receive"]) };
                return world.run(&call).map_or(1, |o| o.code().unwrap_or(1));
            }
            world.say(To::Out, "PONG");
            0
        }
        Some("migrate") => {
            let Ok(_held) = world.lock("web", "xen-migrate migrate web") else {
                return 3;
            };
            world.replace(Path::new("/etc/xen/migrate-status.txt"), b"web leaving\n").unwrap();
            let transport =
                "ssh -i /root/.ssh/xen-migrate-dom0-alpha -o IdentitiesOnly=yes -o ServerAliveInterval=5 -- dom0-beta";
            let mut call = Call::new("xl", ["migrate", "-s", transport, "web", "xen-migrate/1"]);
            call.limit = None;
            call.keeps_lock = Some("web".into());
            call.log = Some("/run/xen-drbd-auto/web.log".into());
            let mut lines = 0;
            let ended = world.watch(&call, &mut |sign| {
                lines += usize::from(matches!(sign, Sign::Line(_)));
                Flow::On
            });
            let Ok(output) = ended else { return 1 };
            assert!(lines > 5 || !output.ok());
            world.replace(Path::new("/etc/xen/migrate-status.txt"), b"web away\n").unwrap();
            output.code().unwrap_or(1)
        }
        _ => 2,
    }
}

fn with_tool() -> Lab {
    let lab = pair();
    lab.set_applets(tool);
    lab
}

#[test]
fn a_tool_migrates_over_the_forced_command() {
    let lab = with_tool();
    let ran = lab.run(A, &["xen-migrate", "migrate", "web"]);
    assert_eq!((ran.code, ran.killed), (0, false), "{}", lab.journal());
    assert_eq!(lab.runs_on("web"), [B]);
    assert_eq!(lab.file(A, "/etc/xen/migrate-status.txt").as_deref(), Some("web away\n"));
    assert_eq!(lab.syslog(B), ["asked for \"xen-migrate/1 xl migrate-receive\" by Some(\"192.0.2.1 40022 192.0.2.2 22\")"]);
    assert!(lab.locks(A).is_empty());
    assert!(lab.findings().is_empty(), "{}", lab.journal());
}

#[test]
fn a_tool_killed_at_any_event_does_nothing_afterwards() {
    let whole = with_tool().run(A, &["xen-migrate", "migrate", "web"]).events;
    let mut ends = std::collections::BTreeSet::new();
    for event in whole {
        for phase in [Phase::Before, Phase::After] {
            let lab = with_tool();
            lab.inject(When::Event(event, phase), Deed::KillCaller);
            let ran = lab.run(A, &["xen-migrate", "migrate", "web"]);
            lab.pass(2000);
            assert_eq!(lab.runs_on("web").len(), 1, "{event} {phase:?}\n{}", lab.journal());
            assert!(lab.findings().is_empty(), "{event} {phase:?}\n{}", lab.journal());
            assert!(lab.locks(A).is_empty(), "{event} {phase:?}");
            ends.insert((ran.killed, lab.runs_on("web"), lab.file(A, "/etc/xen/migrate-status.txt")));
        }
    }
    // Never begun, begun, and moved without being written down: all of them come up.
    assert!(ends.contains(&(true, vec![A.into()], None)));
    assert!(ends.contains(&(true, vec![B.into()], Some("web leaving\n".into()))));
    assert!(ends.contains(&(true, vec![B.into()], Some("web away\n".into()))), "{ends:?}");
}

#[test]
fn a_running_xl_keeps_the_lock_of_its_dead_parent() {
    let lab = with_tool();
    lab.inject(When::Stage("web".into(), Stage::Memory(25)), Deed::KillTools(A.into()));
    let again = ["xen-migrate", "migrate", "web"].map(str::to_string).to_vec();
    lab.inject(When::Stage("web".into(), Stage::Memory(75)), Deed::Run(A.into(), again));
    assert!(lab.run(A, &["xen-migrate", "migrate", "web"]).killed);
    assert_eq!(lab.ran()[0].code, 3, "the lock is still held: {}", lab.journal());
    assert_eq!(lab.runs_on("web"), [B]);
    assert!(lab.locks(A).is_empty());
}

#[test]
fn a_peer_process_that_is_killed_is_255_for_its_client() {
    let lab = with_tool();
    lab.inject(When::Call { host: B.into(), words: "migrate-receive".into(), nth: 1, phase: Phase::Before }, Deed::KillCaller);
    let ran = lab.run(A, &["xen-migrate", "migrate", "web"]);
    assert_eq!(ran.code, 1);
    assert!(lab.file(A, "/run/xen-drbd-auto/web.log").is_some_and(|t| t.contains("exited with error status 255")));
    assert_eq!(lab.runs_on("web"), [A]);
}

#[test]
fn a_killed_host_ends_its_processes_and_a_boot_empties_run() {
    let lab = with_tool();
    lab.put(A, "/run/xen-drbd-auto/pid", "1");
    lab.inject(When::Stage("web".into(), Stage::Suspended), Deed::PowerOff(A.into()));
    let ran = lab.run(A, &["xen-migrate", "migrate", "web"]);
    assert!(ran.killed);
    assert_eq!(lab.runs_on("web"), Vec::<String>::new());
    assert_eq!(lab.domains(B), [("web--incoming".to_string(), "--p---".to_string())]);
    lab.with(|f| f.boot(A));
    assert!(lab.file(A, "/run/xen-drbd-auto/pid").is_none());
    assert_eq!(lab.file(A, "/etc/xen/migrate-status.txt").as_deref(), Some("web leaving\n"));
    assert_eq!(lab.run(A, &["drbdadm", "role", "web"]).out, "Secondary/Secondary\n");
}

#[test]
fn ssh_takes_the_forced_command_of_the_key_and_nothing_else() {
    let lab = with_tool();
    let key = "/root/.ssh/xen-migrate-dom0-alpha";
    let ran = lab.run(A, &["ssh", "-i", key, "-o", "IdentitiesOnly=yes", "--", B, "ping"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "PONG\n"));
    let ran = lab.run(A, &["ssh", "--", B, "xl", "list"]);
    assert_eq!((ran.code, ran.err.as_str()), (255, "root@dom0-beta: Permission denied (publickey).\n"));
    lab.with(|f| f.host_mut(B).root_ssh = true);
    assert!(lab.run(A, &["ssh", "--", B, "xl", "list"]).out.starts_with("Name "));
    lab.with(|f| f.host_mut(B).sshd = false);
    assert!(lab.run(A, &["ssh", "-i", key, "--", B, "ping"]).err.contains("Connection refused"));
    lab.with(|f| f.power_off(B));
    assert!(lab.run(A, &["ssh", "-i", key, "--", B, "ping"]).err.contains("No route to host"));
    // Another address than the one in from= is refused.
    let lab = with_tool();
    lab.with(|f| f.host_mut(A).address = "192.0.2.77".into());
    assert_eq!(lab.run(A, &["ssh", "-i", key, "--", B, "ping"]).code, 255);
}

#[test]
fn limits_and_stops_end_a_program() {
    let lab = pair();
    lab.perform(&Deed::Arm(Quirk::Hangs { host: A.into(), begins: "xl list".into(), times: 1 }), None);
    lab.set_applets(|world, _, _| {
        assert!(matches!(world.run(&Call::new("xl", ["list"])), Err(CallError::TimedOut { .. })));
        assert!(world.run(&Call::new("xl", ["list"])).unwrap().ok());
        assert!(matches!(world.run(&Call::new("nosuch", ["x"])), Err(CallError::NotFound(_))));
        // Stopped in the copy, xl puts the guest back.
        let call = Call { limit: None, ..Call::new("xl", ["migrate", "web", "dom0-beta"]) };
        let output = world
            .watch(&call, &mut |sign| {
                if matches!(sign, Sign::Sent(_)) { Flow::Stop } else { Flow::On }
            })
            .unwrap();
        assert_eq!(output.ended, Ended::Exit(1));
        assert!(
            output.stderr.ends_with("Invalid argument\n") && output.stderr.contains("resuming at sender"),
            "{}",
            output.stderr
        );
        0
    });
    lab.with(|f| f.host_mut(B).root_ssh = true);
    let ran = lab.run(A, &["xen-migrate", "x"]);
    assert_eq!(ran.code, 0);
    assert_eq!(lab.runs_on("web"), [A]);
}

#[test]
fn a_silent_target_breaks_the_quiet_limit_and_the_guest_goes_on() {
    let lab = pair();
    lab.with(|f| f.host_mut(B).root_ssh = true);
    lab.inject(When::Stage("web".into(), Stage::Memory(50)), Deed::PowerOff(B.into()));
    lab.set_applets(|world, _, _| {
        let mut call = Call::new("xl", ["migrate", "web", "dom0-beta"]);
        call.limit = None;
        call.quiet_limit = Some(Duration::from_secs(60));
        let output = world.watch(&call, &mut |_| Flow::On).unwrap();
        assert!(output.stderr.contains("resuming at sender"), "{}", output.stderr);
        0
    });
    assert_eq!(lab.run(A, &["xen-migrate", "x"]).code, 0);
    assert_eq!(lab.runs_on("web"), [A]);
}

#[test]
fn locks_are_told_by_their_purpose_and_naps_end_with_sigterm() {
    let lab = pair();
    lab.set_applets(|world, argv, _| match argv[1].as_str() {
        "hold" => {
            let _held = world.lock("web", "migrate web to beta").unwrap();
            assert_eq!(world.nap(Duration::from_secs(300)), crate::adapters::Nap::Stopped);
            0
        }
        _ => match world.lock("web", "another") {
            Err(LockError::Held(who)) => {
                world.say(To::Err, &who);
                4
            }
            _ => 0,
        },
    });
    lab.inject_in(5_000, Deed::Run(A.into(), vec!["xen-migrate".into(), "try".into()]));
    let ran = lab.run_for(A, &["xen-migrate", "hold"], 60_000);
    assert_eq!(ran.code, 0);
    assert_eq!((lab.ran()[0].code, lab.ran()[0].err.as_str()), (4, "migrate web to beta\n"));
    assert_eq!(lab.run(A, &["xen-migrate", "try"]).code, 0);
    assert!(lab.clock() < 120_000);
}

#[test]
fn held_open_and_failing_removes_leave_a_resource_primary() {
    let lab = pair();
    lab.perform(&Deed::Arm(Quirk::HeldOpen(A.into(), "web".into(), 3000)), None);
    lab.run(A, &["xl", "destroy", "web"]);
    assert_eq!(lab.run(A, &["drbdadm", "secondary", "web"]).code, 11);
    lab.pass(3000);
    assert_eq!(lab.run(A, &["drbdadm", "secondary", "web"]).code, 0);
    let lab = pair();
    lab.perform(&Deed::Arm(Quirk::NoRemove(A.into(), "web".into())), None);
    lab.run(A, &["xl", "destroy", "web"]);
    assert_eq!(lab.role(A, "web").to_string(), "Primary");
    let lab = pair();
    lab.perform(&Deed::Arm(Quirk::Zombie("web".into())), None);
    lab.run(A, &["xl", "destroy", "web"]);
    assert_eq!(lab.domains(A), [("(null)".to_string(), "--p--d".to_string())]);
    assert_eq!(lab.run(A, &["drbdadm", "secondary", "web"]).code, 11);
}

#[test]
fn the_fleet_can_be_kept_and_taken_up_again() {
    let lab = Lab::article();
    let text = serde_json::to_string(&lab.fleet()).unwrap();
    let again = Lab::from_fleet(serde_json::from_str(&text).unwrap());
    assert_eq!(again.run("dom0-gamma", &["xl", "list"]).out, lab.run("dom0-gamma", &["xl", "list"]).out);
    assert_eq!(again.runs_on("my-domu-7"), ["dom0-gamma"]);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = || {
        let lab = with_tool();
        lab.inject(When::Stage("web".into(), Stage::Ready), Deed::Cut(A.into(), B.into(), Some(20_000)));
        lab.run(A, &["xen-migrate", "migrate", "web"]);
        lab.journal()
    };
    assert_eq!(tell(), tell());
}
