//! `drbdadm`: what changes something. Errors and exit codes as measured with 8.4.11 and 9.2.16.

use super::drbdadm::{Asked, Target, no_minor, terminated};
use super::{Ctx, Printed};
use crate::core::drbd::{Connection, Disk, Fencing, Generation};
use crate::lab::model::drbd::Refusal;
use crate::lab::model::{Conf, Fleet};

/// Runs a command on every resource that it means.
pub fn run(ctx: &Ctx<'_>, command: &str, asked: &Asked<'_>) -> Printed {
    if command == "net-options" && asked.generation == Generation::V83 {
        let option = asked.options.first().copied().unwrap_or("net-options");
        return Printed::fail(1, format!("drbdadm: unrecognized option '{option}'\ntry 'drbdadm help'\n"));
    }
    if asked.options.iter().any(|o| matches!(*o, "-d" | "--dry-run")) {
        return Printed::ok("");
    }
    let mut printed = Printed::default();
    let mut done: Vec<&str> = Vec::new();
    for target in &asked.targets {
        if done.contains(&target.resource.as_str()) {
            continue;
        }
        done.push(&target.resource);
        let one = ctx.lab.with(|f| deed(f, ctx.host, command, asked, target));
        printed.out += &one.out;
        printed.err += &one.err;
        printed.code = printed.code.max(one.code);
    }
    printed
}

fn deed(f: &mut Fleet, host: &str, command: &str, asked: &Asked<'_>, target: &Target) -> Printed {
    let name = target.resource.as_str();
    let Some(replica) = f.replica(host, name) else {
        return Printed::default();
    };
    let up = replica.up;
    match command {
        "primary" | "secondary" if !up => not_up(f, asked.generation, command, name),
        "primary" => {
            let force = asked.options.iter().any(|o| matches!(*o, "--force" | "--overwrite-data-of-peer"));
            let result = f.promote(host, name, force, true);
            after(f, asked.generation, command, name, result)
        }
        "secondary" => {
            let result = f.demote(host, name);
            after(f, asked.generation, command, name, result)
        }
        "up" if up => already_up(f, asked.generation, name),
        "up" => {
            f.drbd_up(host, name);
            Printed::ok("")
        }
        "down" => match f.drbd_down(host, name) {
            Ok(()) => Printed::ok(""),
            Err(refusal) => Printed::fail(
                11,
                format!(
                    "{name}: State change failed: ({}) {}\nadditional info from kernel:\nfailed to demote\n{}",
                    refusal.number(),
                    refusal.text(),
                    terminated(asked.generation, "down", name, 11)
                ),
            ),
        },
        "net-options" => net_options(f, host, asked, name),
        "disk-options" => disk_options(f, host, asked, name),
        "connect" => connect(f, host, asked, target),
        "disconnect" => disconnect(f, host, asked, target),
        "adjust" => adjust(f, host, asked, name),
        "outdate" => set_disks(f, host, name, Disk::Outdated),
        "detach" => set_disks(f, host, name, Disk::Diskless),
        "attach" => set_disks(f, host, name, Disk::Outdated),
        "invalidate" => {
            if let Some(peer) = f.replica(host, name).and_then(|r| r.connected().next().map(|(p, _)| p.clone())) {
                f.begin_sync(name, &peer, host);
            }
            Printed::ok("")
        }
        _ => Printed::ok(""),
    }
}

fn set_disks(f: &mut Fleet, host: &str, name: &str, disk: Disk) -> Printed {
    if let Some(replica) = f.replica_mut(host, name) {
        replica.disks.iter_mut().for_each(|d| *d = disk.clone());
    }
    f.refresh_seen();
    Printed::ok("")
}

fn minor(f: &Fleet, name: &str) -> u32 {
    f.resource(name).map_or(0, |r| r.volumes[0].minor)
}

fn not_up(f: &Fleet, generation: Generation, command: &str, name: &str) -> Printed {
    Printed::fail(
        10,
        if generation == Generation::V9 { unknown(command, name, name) } else { no_minor(generation, command, minor(f, name)) },
    )
}

/// DRBD 9's words for a resource that the kernel does not have.
fn unknown(command: &str, name: &str, operand: &str) -> String {
    format!(
        "{name}: Failure: (158) Unknown resource\nadditional info from kernel:\nunknown resource\n{}",
        terminated(Generation::V9, command, operand, 10)
    )
}

fn already_up(f: &Fleet, generation: Generation, name: &str) -> Printed {
    let (minor, disk) = (minor(f, name), f.resource(name).map(|r| r.volumes[0].disk.clone()).unwrap_or_default());
    Printed::fail(
        1,
        if generation == Generation::V9 {
            format!(
                "new-minor {name} {minor} 0: sysfs node '/sys/devices/virtual/block/drbd{minor}' (already? still?) exists\n{name}: Failure: (161) Minor or volume exists already (delete it first)\n{}",
                terminated(generation, "new-minor", &format!("{name} {minor} 0"), 10)
            )
        } else {
            format!(
                "Device '{minor}' is configured!\nCommand 'drbdmeta {minor} v08 {disk} internal apply-al' terminated with exit code 20\n"
            )
        },
    )
}

/// What is said after a change of role.
fn after(f: &Fleet, generation: Generation, command: &str, name: &str, result: Result<(), Refusal>) -> Printed {
    let Err(refusal) = result else {
        return Printed::ok("");
    };
    let operand = if generation == Generation::V9 { name.to_string() } else { minor(f, name).to_string() };
    let mut err = format!("{operand}: State change failed: ({}) {}\n", refusal.number(), refusal.text());
    if refusal == Refusal::HeldOpen && generation == Generation::V9 {
        err += &format!(
            "additional info from kernel:\ndrbd{} opened by xenwatch (pid 24) at 2026-01-01 00:00:31.657\n",
            minor(f, name)
        );
    }
    err += &terminated(generation, command, &operand, refusal.exit());
    if generation == Generation::V83 {
        err += &format!("drbdadm {command} {name}: exited with code {}\n", refusal.exit());
    }
    Printed::fail(refusal.exit(), err)
}

/// The value of `--name=value`.
fn value<'a>(asked: &Asked<'a>, name: &str) -> Option<&'a str> {
    asked.options.iter().find_map(|o| match o.strip_prefix("--")?.split_once('=') {
        Some((n, v)) if n == name => Some(v),
        None if o.strip_prefix("--") == Some(name) => Some("yes"),
        _ => None,
    })
}

fn net_options(f: &mut Fleet, host: &str, asked: &Asked<'_>, name: &str) -> Printed {
    let Some(replica) = f.replica(host, name).cloned() else {
        return Printed::default();
    };
    let v9 = asked.generation == Generation::V9;
    let operand = net_operand(f, host, asked, name);
    if !replica.up {
        return Printed::fail(
            10,
            if v9 { unknown("net-options", name, &operand) } else { unknown_connection("net-options", &operand) },
        );
    }
    if !v9 && replica.peers.values().all(|l| l.state == Connection::StandAlone) {
        return Printed::fail(10, unknown_connection("net-options", &operand));
    }
    let two = value(asked, "allow-two-primaries").map(|v| v == "yes");
    // DRBD 9's drbdadm sends the file's other net options again each time (`recorded-drbd9.md`, 1).
    let two = two.or_else(|| (v9 && replica.configured.two_primaries).then_some(true));
    let fencing = value(asked, "fencing")
        .map(Fencing::from)
        .or_else(|| (v9 && replica.configured.fencing != Fencing::DontCare).then(|| replica.configured.fencing.clone()));
    if let Some(two) = two
        && !f.set_two_primaries(host, name, two)
    {
        return Printed::fail(10, both_primary(asked.generation, name, &operand));
    }
    if let Some(fencing) = fencing.filter(|_| v9) {
        f.set_fencing(host, name, fencing);
    }
    Printed::ok("")
}

/// The words for 164.
pub fn both_primary(generation: Generation, name: &str, operand: &str) -> String {
    let who = if generation == Generation::V9 { name } else { "??" };
    format!(
        "{who}: Failure: (164) Can not clear allow_two_primaries as long as\nthere a primaries on both sides\n{}",
        terminated(generation, "net-options", operand, 10)
    )
}

/// 8.4's words for a connection that does not exist.
fn unknown_connection(command: &str, operand: &str) -> String {
    format!(
        "??: Failure: (162) Invalid configuration request\nadditional info from kernel:\nunknown connection\n{}",
        terminated(Generation::V84, command, operand, 10)
    )
}

/// What `drbdadm` gives to `drbdsetup net-options`.
fn net_operand(f: &Fleet, host: &str, asked: &Asked<'_>, name: &str) -> String {
    let (Some(resource), Some(replica)) = (f.resource(name), f.replica(host, name)) else {
        return String::new();
    };
    let Some(peer) = replica.peers.keys().next() else {
        return String::new();
    };
    let named = |option: &str| value(asked, option).is_some();
    if asked.generation == Generation::V9 {
        let node = resource.on.get(peer).map_or(0, |r| r.node_id);
        let mut words = vec![name.to_string(), node.to_string(), format!("--_name={peer}")];
        if replica.configured.two_primaries && !named("allow-two-primaries") {
            words.push("--allow-two-primaries=yes".to_string());
        }
        words.push("--protocol=C".to_string());
        words.extend(asked.options.iter().map(|o| (*o).to_string()));
        words.join(" ")
    } else {
        let mut words = vec![addresses(f, host, peer, resource.port)];
        words.extend(asked.options.iter().map(|o| (*o).to_string()));
        words.join(" ")
    }
}

fn addresses(f: &Fleet, host: &str, peer: &str, port: u16) -> String {
    format!("ipv4:{}:{port} ipv4:{}:{port}", f.host(host).address, f.host(peer).address)
}

fn disk_options(f: &mut Fleet, host: &str, asked: &Asked<'_>, name: &str) -> Printed {
    if asked.generation == Generation::V83 {
        return Printed::fail(1, "drbdadm: Unknown command 'disk-options'\n");
    }
    if !f.replica(host, name).is_some_and(|r| r.up) {
        return not_up(f, asked.generation, "disk-options", name);
    }
    match value(asked, "fencing") {
        Some(_) if asked.generation == Generation::V9 => {
            Printed::fail(1, "drbdadm: unrecognized option '--fencing'\ntry 'drbdadm help'\n")
        }
        Some(fencing) => {
            f.set_fencing(host, name, Fencing::from(fencing));
            Printed::ok("")
        }
        None => Printed::ok(""),
    }
}

fn peers_of(f: &Fleet, host: &str, target: &Target) -> Vec<String> {
    let all = f.replica(host, &target.resource).map(|r| r.peers.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    all.into_iter().filter(|p| target.peer.as_ref().is_none_or(|t| t == p)).collect()
}

fn connect(f: &mut Fleet, host: &str, asked: &Asked<'_>, target: &Target) -> Printed {
    let name = target.resource.as_str();
    let v9 = asked.generation == Generation::V9;
    let Some(replica) = f.replica(host, name).cloned() else {
        return Printed::default();
    };
    let discard = asked.options.contains(&"--discard-my-data");
    let mut printed = Printed::default();
    for peer in peers_of(f, host, target) {
        let port = f.resource(name).map_or(0, |r| r.port);
        let flag = if replica.configured.two_primaries { " --allow-two-primaries=yes" } else { "" };
        let operand = format!("{name} {} --protocol=C{flag}", addresses(f, host, &peer, port));
        if !replica.up {
            let operand = if v9 { name.to_string() } else { operand };
            printed = Printed::fail(
                10,
                format!(
                    "{name}: Failure: (158) Unknown resource\nadditional info from kernel:\nunknown resource\n{}",
                    terminated(asked.generation, "connect", &operand, 10)
                ),
            );
            continue;
        }
        let stand_alone =
            f.replica(host, name).and_then(|r| r.peers.get(&peer)).is_some_and(|l| l.state == Connection::StandAlone);
        if !stand_alone {
            if !v9 {
                let extra = if discard { " --discard-my-data" } else { "" };
                printed = Printed::fail(
                    10,
                    format!(
                        "{name}: Failure: (102) Local address(port) already in use.\n{}",
                        terminated(asked.generation, "connect", &format!("{operand}{extra}"), 10)
                    ),
                );
            }
            continue;
        }
        // 8.4 makes the connection anew from the file (claim experiment 10); 9 keeps the one it has.
        if !v9 && let Some(mine) = f.replica_mut(host, name) {
            mine.options.two_primaries = mine.configured.two_primaries;
        }
        f.connect(host, name, &peer, discard);
    }
    printed
}

fn disconnect(f: &mut Fleet, host: &str, asked: &Asked<'_>, target: &Target) -> Printed {
    let name = target.resource.as_str();
    let v9 = asked.generation == Generation::V9;
    let port = f.resource(name).map_or(0, |r| r.port);
    let mut printed = Printed::default();
    for peer in peers_of(f, host, target) {
        let Some(replica) = f.replica(host, name) else {
            continue;
        };
        let alone = replica.peers.get(&peer).is_some_and(|l| l.state == Connection::StandAlone);
        if !replica.up && v9 {
            printed = Printed::fail(10, unknown("disconnect", name, name));
        } else if !replica.up || (alone && !v9) {
            printed = Printed::fail(10, unknown_connection("disconnect", &addresses(f, host, &peer, port)));
        } else if !alone {
            f.disconnect(host, name, &peer);
        }
    }
    printed
}

fn adjust(f: &mut Fleet, host: &str, asked: &Asked<'_>, name: &str) -> Printed {
    if f.drbd_up(host, name) {
        return Printed::ok("");
    }
    let Some(configured) = f.replica(host, name).map(|r| r.configured.clone()) else {
        return Printed::default();
    };
    let Conf { two_primaries, fencing, .. } = configured;
    f.learn_peers(host, name);
    f.set_fencing(host, name, fencing);
    let refused = !f.set_two_primaries(host, name, two_primaries);
    for peer in f.replica(host, name).map(|r| r.peers.keys().cloned().collect::<Vec<_>>()).unwrap_or_default() {
        f.connect(host, name, &peer, false);
    }
    if refused {
        return Printed::fail(10, both_primary(asked.generation, name, &net_operand(f, host, asked, name)));
    }
    Printed::ok("")
}

/// `drbdsetup primary|secondary` use the same rules.
pub fn role_deed(f: &mut Fleet, host: &str, command: &str, name: &str) -> Printed {
    let generation = f.host(host).drbd;
    if !f.replica(host, name).is_some_and(|r| r.up) {
        return not_up(f, generation, command, name);
    }
    let result = if command == "primary" { f.promote(host, name, false, true) } else { f.demote(host, name) };
    let mut printed = after(f, generation, command, name, result);
    // The line about the helper is drbdadm's own.
    printed.err = printed.err.lines().filter(|l| !l.starts_with("Command '")).map(|l| format!("{l}\n")).collect();
    printed
}
