//! `drbdadm`: which program runs, whom it means, and what it shows.

use super::{Ctx, Printed, drbd_text, drbdadm_conf, drbdadm_deeds, small};
use crate::core::drbd::{Disk, Generation};
use crate::lab::model::{Fleet, Resource};

/// One resource, or one volume of it, that a command means.
#[derive(Debug, Clone)]
pub struct Target {
    /// The resource's name.
    pub resource: String,
    /// The place of the volume in it.
    pub volume: Option<usize>,
    /// `RES:PEER`.
    pub peer: Option<String>,
}

/// What the arguments say.
pub struct Asked<'a> {
    /// The host's dialect.
    pub generation: Generation,
    /// Options that begin with two dashes.
    pub options: Vec<&'a str>,
    /// Whom it means.
    pub targets: Vec<Target>,
}

/// Runs `drbdadm`.
pub fn run(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let (generation, utils) = ctx.lab.with(|f| (f.host(ctx.host).drbd, f.host(ctx.host).utils));
    if args.iter().any(|a| matches!(*a, "--version" | "-V")) {
        return Printed::ok(small::drbd_versions(generation, (utils.major, utils.minor)));
    }
    let mut words = Vec::new();
    let mut options = Vec::new();
    for arg in args {
        if arg.starts_with('-') && *arg != "--" {
            options.push(*arg)
        } else if *arg != "--" {
            words.push(*arg)
        }
    }
    let Some((command, operands)) = words.split_first() else {
        return Printed {
            code: 1,
            out: "\nUSAGE: drbdadm COMMAND [OPTION...] {all|RESOURCE...}\n\nNo command specified\n".to_string(),
            ..Printed::default()
        };
    };
    if *command == "sh-resources" {
        let err = if operands.is_empty() { "" } else { "This command will ignore resource names!\n" };
        let names = ctx.lab.with(|f| f.resources_of(ctx.host));
        let out =
            if generation == Generation::V9 { names.iter().map(|n| format!("{n}\n")).collect() } else { names.join(" ") + "\n" };
        return Printed { out, err: err.to_string(), ..Printed::default() };
    }
    let known = [
        "role", "state", "cstate", "dstate", "status", "primary", "secondary", "net-options", "disk-options", "connect",
        "disconnect", "up", "down", "adjust", "dump", "dump-xml", "sh-resource", "sh-dev", "sh-minor", "sh-ll-dev", "sh-nop",
        "outdate", "attach", "detach", "invalidate", "wait-connect", "get-gi",
    ];
    if !known.contains(command) {
        return Printed::fail(1, format!("drbdadm: Unknown command '{command}'\n"));
    }
    if *command == "sh-nop" {
        return Printed::ok("");
    }
    let operands: Vec<&str> =
        if operands.is_empty() && matches!(*command, "status" | "dump" | "dump-xml") { vec!["all"] } else { operands.to_vec() };
    if operands.is_empty() {
        return Printed {
            code: 1,
            out: format!(
                "USAGE: drbdadm {command} [OPTION...] {{all|RESOURCE...}}\n\nVersion: {}.{}.0 (api:1)\n\nNo resource names specified\n",
                utils.major, utils.minor
            ),
            ..Printed::default()
        };
    }
    let targets = match ctx.lab.with(|f| targets(f, ctx.host, command, &operands)) {
        Ok(targets) => targets,
        Err(printed) => return printed,
    };
    let asked = Asked { generation, options, targets };
    match *command {
        "dump" => drbdadm_conf::dump(ctx, &asked, operands == ["all"]),
        "dump-xml" => drbdadm_conf::dump_xml(ctx, &asked, operands == ["all"]),
        "sh-resource" | "sh-dev" | "sh-minor" | "sh-ll-dev" => sh(ctx, command, &asked),
        "role" | "state" | "cstate" | "dstate" | "status" | "get-gi" => show(ctx, command, &asked),
        _ => drbdadm_deeds::run(ctx, command, &asked),
    }
}

/// Finds out whom the operands mean, or fails as `drbdadm` does.
fn targets(f: &Fleet, host: &str, command: &str, operands: &[&str]) -> Result<Vec<Target>, Printed> {
    let generation = f.host(host).drbd;
    let unknown = |word: &str| {
        let tail = if generation == Generation::V83 { "." } else { " (for this host)." };
        Printed::fail(1, format!("'{word}' not defined in your config{tail}\n"))
    };
    let whole = || Printed::fail(1, format!("{command} operates on whole resources, but you specified a specific volume!\n"));
    let mine: Vec<&Resource> = f.resources.iter().filter(|r| r.on.contains_key(host)).collect();
    let mut targets = Vec::new();
    for word in operands {
        if *word == "all" {
            targets.extend(mine.iter().map(|r| Target { resource: r.name.clone(), volume: None, peer: None }));
            continue;
        }
        if let Some(minor) = word.strip_prefix("minor-") {
            let found = mine.iter().find_map(|r| {
                let at = r.volumes.iter().position(|v| v.minor.to_string() == minor)?;
                Some(Target { resource: r.name.clone(), volume: Some(at), peer: None })
            });
            match found {
                // 8.4 takes it for a volume, and refuses where a resource is wanted (facts 3.5).
                Some(_) if generation == Generation::V84 && command == "sh-resource" => {
                    return Err(whole());
                }
                Some(target) => targets.push(target),
                None => return Err(unknown(word)),
            }
            continue;
        }
        if word.starts_with('/') {
            return Err(if generation == Generation::V83 {
                unknown(word)
            } else {
                let rest = if generation == Generation::V84 {
                    word.trim_start_matches('/')
                } else {
                    word.rsplit('/').next().unwrap_or(word)
                };
                Printed::fail(20, format!("{rest} is not a valid number\n"))
            });
        }
        let (word, peer) = word.split_once(':').map_or((*word, None), |(w, p)| (w, Some(p.to_string())));
        let (name, number) = word.split_once('/').map_or((word, None), |(n, v)| (n, Some(v)));
        let Some(resource) = mine.iter().find(|r| r.name == name) else {
            return Err(unknown(word));
        };
        let volume = match number {
            None => None,
            Some(_) if generation == Generation::V83 => return Err(unknown(word)),
            Some(_) if generation == Generation::V9 && !command.starts_with("sh-") => {
                return Err(whole());
            }
            Some(number) => match resource.volumes.iter().position(|v| v.number.to_string() == number) {
                Some(at) => Some(at),
                None if generation == Generation::V9 => {
                    return Err(Printed::fail(1, format!("Resource '{name}' has no volume {number}\n")));
                }
                None => return Err(unknown(word)),
            },
        };
        targets.push(Target { resource: name.to_string(), volume, peer });
    }
    Ok(targets)
}

/// The places of the volumes that a target means.
pub fn volumes(resource: &Resource, target: &Target) -> Vec<usize> {
    target.volume.map_or_else(|| (0..resource.volumes.len()).collect(), |at| vec![at])
}

fn sh(ctx: &Ctx<'_>, command: &str, asked: &Asked<'_>) -> Printed {
    ctx.lab.with(|f| {
        let mut out = String::new();
        for target in &asked.targets {
            let Some(resource) = f.resource(&target.resource) else {
                continue;
            };
            if command == "sh-resource" {
                out += &format!("{}\n", resource.name);
                continue;
            }
            for at in volumes(resource, target) {
                let volume = &resource.volumes[at];
                out += &match command {
                    "sh-dev" => format!("{}\n", volume.device),
                    "sh-minor" => format!("{}\n", volume.minor),
                    _ => format!("{}\n", volume.disk),
                };
            }
        }
        Printed::ok(out)
    })
}

/// `Command 'drbdsetup-84 role 0' terminated with exit code 10`.
pub fn terminated(generation: Generation, command: &str, operand: &str, code: i32) -> String {
    match generation {
        Generation::V83 => {
            format!("Command 'drbdsetup {operand} {command}' terminated with exit code {code}\n")
        }
        Generation::V84 => {
            format!("Command 'drbdsetup-84 {command} {operand}' terminated with exit code {code}\n")
        }
        Generation::V9 => {
            format!("Command 'drbdsetup {command} {operand}' terminated with exit code {code}\n")
        }
    }
}

/// What DRBD 8 says of a minor that the kernel does not have.
pub fn no_minor(generation: Generation, command: &str, minor: u32) -> String {
    let what =
        if generation == Generation::V83 { String::new() } else { "additional info from kernel:\nunknown minor\n".to_string() };
    format!(
        "{minor}: Failure: (127) Device minor not allocated\n{what}{}",
        terminated(generation, command, &minor.to_string(), 10)
    )
}

fn show(ctx: &Ctx<'_>, command: &str, asked: &Asked<'_>) -> Printed {
    if command == "status" {
        return status(ctx, asked);
    }
    let command = if command == "state" { "role" } else { command };
    let mut printed = Printed::default();
    ctx.lab.with(|f| {
        for target in &asked.targets {
            let Some(resource) = f.resource(&target.resource) else {
                continue;
            };
            let one = show_one(f, ctx.host, asked.generation, command, resource, target);
            printed.out += &one.out;
            printed.err += &one.err;
            printed.code = printed.code.max(one.code);
        }
    });
    printed
}

fn show_one(f: &Fleet, host: &str, generation: Generation, command: &str, resource: &Resource, target: &Target) -> Printed {
    let Some(replica) = resource.on.get(host) else {
        return Printed::default();
    };
    let name = &resource.name;
    let mut printed = Printed::default();
    if command == "dstate" && !replica.up {
        // Reads the meta data, which knows no UpToDate.
        for at in volumes(resource, target) {
            let word = if replica.disks[at] == Disk::UpToDate { Disk::Consistent } else { replica.disks[at].clone() };
            printed.out += &format!("{word}\n");
        }
        return printed;
    }
    if command == "get-gi" {
        let base = replica.peers.values().next().map_or(0, |l| l.base);
        printed.out += &format!("{:016X}:{base:016X}:0000000000000000:0000000000000000:1:1:0:0:0:0\n", replica.current);
        return printed;
    }
    if generation == Generation::V9 {
        if !replica.up {
            let err = match command {
                "role" => format!("{name}: Unknown resource\n{}", terminated(generation, "role", name, 10)),
                _ => {
                    let node = replica.peers.keys().next().and_then(|p| resource.on.get(p)).map_or(0, |r| r.node_id);
                    format!(
                        "{name}: Failure: (158) Unknown resource\n{name}: No such connection\n{}",
                        terminated(generation, command, &format!("{name} {node}"), 10)
                    )
                }
            };
            return Printed::fail(10, err);
        }
        let new_enough = f.host(host).utils >= crate::lab::Version::new(9, 24);
        printed.out = match command {
            // 9.22 ignores the peer and prints the local role.
            "role" => match target.peer.as_ref().filter(|_| new_enough).and_then(|p| replica.peers.get(p)) {
                Some(link) => format!("{}\n", link.seen_role),
                None => format!("{}\n", replica.role),
            },
            "cstate" => replica
                .peers
                .iter()
                .filter(|(p, _)| target.peer.as_ref().is_none_or(|t| t == *p))
                .map(|(_, l)| format!("{}\n", l.state))
                .collect(),
            _ => volumes(resource, target).into_iter().map(|at| drbd_text::disks(replica, at) + "\n").collect(),
        };
        return printed;
    }
    for at in volumes(resource, target) {
        if !replica.up {
            printed.err += &no_minor(generation, command, resource.volumes[at].minor);
            if generation == Generation::V83 {
                printed.err += &format!("drbdadm {command} {name}: exited with code 10\n");
            }
            printed.code = 10;
            continue;
        }
        printed.out += &match command {
            "role" => drbd_text::roles8(replica),
            "cstate" => drbd_text::peer8(replica).map_or_else(|| "StandAlone".to_string(), |(_, l)| drbd_text::cstate8(l)),
            _ => drbd_text::disks(replica, at),
        };
        printed.out.push('\n');
    }
    printed
}

fn status(ctx: &Ctx<'_>, asked: &Asked<'_>) -> Printed {
    if let Some(option) = asked.options.iter().find(|o| !matches!(**o, "--verbose" | "-v")) {
        return Printed::fail(1, format!("drbdadm: unrecognized option '{option}'\ntry 'drbdadm help'\n"));
    }
    if asked.generation == Generation::V83 {
        return ctx.lab.with(|f| status83(f, ctx.host));
    }
    ctx.lab.with(|f| {
        let mut printed = Printed::default();
        for target in &asked.targets {
            let Some(resource) = f.resource(&target.resource) else {
                continue;
            };
            if resource.on.get(ctx.host).is_some_and(|r| r.up) {
                printed.out += &drbd_text::status(f, ctx.host, resource);
                continue;
            }
            if asked.generation == Generation::V9 && !f.resources.iter().any(|r| r.on.get(ctx.host).is_some_and(|r| r.up)) {
                printed.out = "# No currently configured DRBD found.\n".to_string();
            }
            printed.err +=
                &format!("{0}: No such resource\n{1}", resource.name, terminated(asked.generation, "status", &resource.name, 10));
            printed.code = 10;
        }
        printed
    })
}

fn status83(f: &Fleet, host: &str) -> Printed {
    let mut out = "<drbd-status version=\"8.3.16\" api=\"88\">\n<resources config_file=\"/etc/drbd.conf\">\n".to_string();
    for resource in &f.resources {
        let Some(replica) = resource.on.get(host) else {
            continue;
        };
        let minor = resource.volumes[0].minor;
        let name = &resource.name;
        match drbd_text::peer8(replica).filter(|_| replica.up) {
            Some((_, link)) => {
                let seen = link.seen_disks.first().cloned().unwrap_or(Disk::Unknown);
                out += &format!(
                    "<resource minor=\"{minor}\" name=\"{name}\" cs=\"{}\" ro1=\"{}\" ro2=\"{}\" ds1=\"{}\" ds2=\"{seen}\" />\n",
                    drbd_text::cstate8(link),
                    replica.role,
                    link.seen_role,
                    replica.disks[0]
                );
            }
            None => out += &format!("<!-- resource minor=\"{minor}\" name=\"{name}\" not available or not yet created -->\n"),
        }
    }
    Printed::ok(out + "</resources>\n</drbd-status>\n")
}
