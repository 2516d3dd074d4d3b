//! `drbdsetup`: the kernel's own view.

use super::drbdadm_deeds::{both_primary, role_deed};
use super::{Ctx, Printed, drbd_text};
use crate::core::drbd::{Connection, Fencing, Generation};
use crate::lab::model::{Fleet, Resource};
use serde_json::Value;

const USAGE_84: &str = "\nUSAGE: drbdsetup command device arguments options\n\nDevice is usually /dev/drbdX or /dev/drbd/X.\n\nCommands are:\n    primary             secondary           attach              \n    disk-options        detach              connect             \n    net-options         disconnect          resize              \n    resource-options    new-current-uuid    invalidate          \n    invalidate-remote   pause-sync          resume-sync         \n    suspend-io          resume-io           outdate             \n    verify              down                state               \n    role                sh-status           cstate              \n    dstate              show-gi             get-gi              \n    show                status              check-resize        \n    events              events2             wait-connect        \n    wait-sync           new-resource        new-minor           \n    del-minor           del-resource        \n\nTo get more details about a command issue 'drbdsetup help cmd'.\n\n";

/// Runs `drbdsetup`.
pub fn run(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let generation = ctx.lab.with(|f| f.host(ctx.host).drbd);
    let options: Vec<&str> = args.iter().filter(|a| a.starts_with('-')).copied().collect();
    let words: Vec<&str> = args.iter().filter(|a| !a.starts_with('-')).copied().collect();
    let Some((command, operands)) = words.split_first() else {
        return Printed { code: 20, out: USAGE_84.to_string(), ..Printed::default() };
    };
    if generation == Generation::V83 {
        return run83(ctx, &words);
    }
    match *command {
        "status" => status(ctx, generation, operands.first().copied(), &options),
        "events2" => events2(ctx, operands.first().copied(), &options),
        "show" => show(ctx, generation, operands.first().copied(), options.contains(&"--json")),
        "role" | "cstate" | "dstate" | "primary" | "secondary" => on_one(ctx, generation, command, operands),
        "net-options" if generation == Generation::V9 => net_options(ctx, operands, &options),
        _ => Printed {
            code: 20,
            out: USAGE_84.to_string(),
            err: format!("drbdsetup: invalid command '{command}'\n"),
            signal: None,
        },
    }
}

/// `drbdsetup MINOR role`, and the other way round for what 8.3 has of it.
fn run83(ctx: &Ctx<'_>, words: &[&str]) -> Printed {
    match words {
        [minor, "show"] => ctx.lab.with(|f| {
            let resource = find(f, ctx.host, Generation::V83, minor).filter(|r| r.on.get(ctx.host).is_some_and(|r| r.up));
            Printed::ok(resource.map_or_else(String::new, |r| show83(f, ctx.host, r)))
        }),
        [minor, command] => on_one(ctx, Generation::V83, command, &[minor]),
        _ => Printed { code: 20, out: USAGE_84.to_string(), ..Printed::default() },
    }
}

/// The resource that an operand means: a name for 9, a minor for 8.
fn find<'a>(f: &'a Fleet, host: &str, generation: Generation, word: &str) -> Option<&'a Resource> {
    f.resources.iter().filter(|r| r.on.contains_key(host)).find(|r| match generation {
        Generation::V9 => r.name == word,
        _ => r.volumes.iter().any(|v| v.minor.to_string() == word || v.device == word),
    })
}

fn up<'a>(f: &'a Fleet, host: &str) -> Vec<&'a Resource> {
    f.resources.iter().filter(|r| r.on.get(host).is_some_and(|r| r.up)).collect()
}

fn status(ctx: &Ctx<'_>, generation: Generation, name: Option<&str>, options: &[&str]) -> Printed {
    let json = options.contains(&"--json");
    if json && generation == Generation::V84 {
        return Printed {
            code: 20,
            out: USAGE_84.to_string(),
            err: "status: unrecognized option '--json'\n".to_string(),
            signal: None,
        };
    }
    ctx.lab.with(|f| {
        let all = up(f, ctx.host);
        let chosen: Vec<&&Resource> = all.iter().filter(|r| name.is_none_or(|n| n == "all" || r.name == n)).collect();
        let missing = name.is_some_and(|n| n != "all") && chosen.is_empty();
        let mut printed = Printed::default();
        if json {
            let list: Vec<Value> = chosen.iter().filter_map(|r| drbd_text::status_json(f, ctx.host, r)).collect();
            printed.out = json_text(&list);
        } else {
            chosen.iter().for_each(|r| printed.out += &drbd_text::status(f, ctx.host, r));
            if all.is_empty() {
                printed.out = "# No currently configured DRBD found.\n".to_string();
            }
        }
        if missing {
            printed.err = format!("{}: No such resource\n", name.unwrap_or_default());
            printed.code = 10;
        }
        printed
    })
}

/// An array as drbdsetup prints it: brackets on lines of their own, an empty line at the end.
fn json_text(list: &[Value]) -> String {
    let items: Vec<String> = list.iter().map(|v| serde_json::to_string_pretty(v).unwrap_or_default()).collect();
    if items.is_empty() { "[\n]\n\n".to_string() } else { format!("[\n{}\n]\n\n", items.join(",\n")) }
}

fn events2(ctx: &Ctx<'_>, name: Option<&str>, options: &[&str]) -> Printed {
    let name = name.filter(|n| *n != "all");
    let dump = || -> Vec<String> {
        ctx.lab.with(|f| {
            let chosen = f.resources.iter().filter(|r| name.is_none_or(|n| r.name == n));
            chosen.flat_map(|r| drbd_text::events2(f, ctx.host, r)).collect()
        })
    };
    let mut known = dump();
    let mut out: String = known.iter().map(|l| format!("{l}\n")).collect();
    out += "exists -\n";
    if options.contains(&"--now") {
        return Printed::ok(out);
    }
    // A stream: the one who watches gets the lines as they come, and ends it.
    let Some(watch) = ctx.watch else {
        return Printed::ok(out);
    };
    out.lines().for_each(|l| watch.line(l));
    while !watch.is_stopped() && ctx.lab.with(|f| f.is_alive(ctx.host, ctx.caller)) {
        ctx.lab.pass(500);
        let now = dump();
        for line in changes(&known, &now) {
            watch.line(&line);
            out += &line;
            out.push('\n');
        }
        known = now;
        watch.tick();
    }
    Printed { signal: Some(15), out, ..Printed::default() }
}

/// The lines that tell what has changed between two dumps. Only changed fields are shown, as the real one does.
fn changes(before: &[String], after: &[String]) -> Vec<String> {
    let key = |line: &str| {
        let identifying = ["name:", "peer-node-id:", "conn-name:", "volume:", "minor:", "local:", "peer:"];
        let words = line.split(' ').skip(1).enumerate().filter(|(n, w)| *n == 0 || identifying.iter().any(|k| w.starts_with(k)));
        words.map(|(_, w)| w).collect::<Vec<_>>().join(" ")
    };
    let mut lines = Vec::new();
    for line in after {
        match before.iter().find(|b| key(b) == key(line)) {
            Some(old) if old == line => {}
            Some(old) => {
                let old: Vec<&str> = old.split(' ').collect();
                let changed: Vec<&str> = line.split(' ').skip(1).filter(|w| !old.contains(w)).collect();
                lines.push(format!("change {} {}", key(line), changed.join(" ")));
            }
            None => lines.push(line.replacen("exists", "create", 1)),
        }
    }
    for line in before.iter().filter(|b| !after.iter().any(|a| key(a) == key(b))) {
        lines.push(format!("destroy {}", key(line)));
    }
    lines
}

fn on_one(ctx: &Ctx<'_>, generation: Generation, command: &str, operands: &[&str]) -> Printed {
    let Some(word) = operands.first().copied() else {
        return Printed { code: 20, out: USAGE_84.to_string(), ..Printed::default() };
    };
    ctx.lab.with(|f| {
        let Some(resource) = find(f, ctx.host, generation, word).cloned() else {
            return if generation == Generation::V9 {
                Printed::fail(
                    10,
                    if command == "role" {
                        format!("{word}: Unknown resource\n")
                    } else {
                        format!("{word}: Failure: (158) Unknown resource\n{word}: No such connection\n")
                    },
                )
            } else if word.parse::<u32>().is_ok() {
                Printed::fail(
                    10,
                    format!("{word}: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\n"),
                )
            } else {
                Printed::fail(20, format!("Cannot determine minor device number of device '{word}'\n"))
            };
        };
        if matches!(command, "primary" | "secondary") {
            return role_deed(f, ctx.host, command, &resource.name);
        }
        let Some(replica) = resource.on.get(ctx.host).filter(|r| r.up) else {
            return Printed::fail(
                10,
                if generation == Generation::V9 {
                    format!("{word}: Unknown resource\n")
                } else {
                    format!("{word}: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\n")
                },
            );
        };
        let v9 = generation == Generation::V9;
        Printed::ok(match command {
            "role" if v9 => format!("{}\n", replica.role),
            "role" => drbd_text::roles8(replica) + "\n",
            "cstate" if v9 => {
                let peer =
                    operands.get(1).and_then(|n| resource.on.iter().find(|(_, r)| r.node_id.to_string() == **n)).map(|(h, _)| h);
                peer.and_then(|p| replica.peers.get(p)).map_or_else(String::new, |l| format!("{}\n", l.state))
            }
            "cstate" => drbd_text::peer8(replica).map_or_else(String::new, |(_, l)| drbd_text::cstate8(l) + "\n"),
            _ => drbd_text::disks(replica, 0) + "\n",
        })
    })
}

/// `drbdsetup net-options RES NODE --x=y` changes only x.
fn net_options(ctx: &Ctx<'_>, operands: &[&str], options: &[&str]) -> Printed {
    let [name, ..] = operands else {
        return Printed::fail(20, USAGE_84);
    };
    ctx.lab.with(|f| {
        if !f.replica(ctx.host, name).is_some_and(|r| r.up) {
            return Printed::fail(
                10,
                format!("{name}: Failure: (158) Unknown resource\nadditional info from kernel:\nunknown resource\n"),
            );
        }
        for option in options {
            match option.trim_start_matches('-').split_once('=') {
                Some(("allow-two-primaries", v)) if !f.set_two_primaries(ctx.host, name, v == "yes") => {
                    let text = both_primary(Generation::V9, name, "");
                    return Printed::fail(10, text.lines().take(2).map(|l| format!("{l}\n")).collect::<String>());
                }
                Some(("fencing", v)) => f.set_fencing(ctx.host, name, Fencing::from(v)),
                _ => {}
            }
        }
        Printed::ok("")
    })
}

fn show(ctx: &Ctx<'_>, generation: Generation, name: Option<&str>, json: bool) -> Printed {
    ctx.lab.with(|f| {
        let all = up(f, ctx.host);
        let chosen: Vec<&&Resource> = all.iter().filter(|r| name.is_none_or(|n| n == "all" || r.name == n)).collect();
        if json {
            let list: Vec<String> = chosen.iter().map(|r| show_json(f, ctx.host, r)).collect();
            return Printed::ok(if list.is_empty() { "[\n]\n".to_string() } else { format!("[\n{}\n]\n", list.join(",\n")) });
        }
        if all.is_empty() {
            return Printed::ok("# No currently configured DRBD found.\n");
        }
        Printed::ok(
            chosen
                .iter()
                .map(|r| if generation == Generation::V9 { show9(f, ctx.host, r) } else { show84(f, ctx.host, r) })
                .collect::<String>(),
        )
    })
}

fn show9(f: &Fleet, host: &str, resource: &Resource) -> String {
    let Some(replica) = resource.on.get(host) else {
        return String::new();
    };
    let mut out = format!("resource \"{}\" {{\n", resource.name);
    if !replica.options.auto_promote || replica.options.quorum {
        out += "    options {\n";
        if !replica.options.auto_promote {
            out += "        auto-promote    \tno;\n";
        }
        if replica.options.quorum {
            out += "        quorum          \tmajority;\n";
        }
        out += "    }\n";
    }
    out += &format!("    _this_host {{\n        node-id\t\t\t{};\n", replica.node_id);
    for volume in &resource.volumes {
        out += &format!(
            "        volume {} {{\n            device\t\t\tminor {};\n            disk\t\t\t\"{}\";\n            meta-disk\t\t\tinternal;\n        }}\n",
            volume.number, volume.minor, volume.disk
        );
    }
    out += "    }\n";
    for (peer, link) in &replica.peers {
        let node = resource.on.get(peer).map_or(0, |r| r.node_id);
        out += &format!("    connection {{\n        _peer_node_id {node};\n        path {{\n");
        out += &format!("            _this_host ipv4 {}:{};\n", f.host(host).address, resource.port);
        out += &format!("            _remote_host ipv4 {}:{};\n        }}\n", f.host(peer).address, resource.port);
        if link.state == Connection::StandAlone {
            out += "        _is_standalone;\n";
        }
        out += "        net {\n";
        if replica.options.two_primaries {
            out += "            allow-two-primaries\tyes;\n";
        }
        if replica.options.fencing != Fencing::DontCare {
            out += &format!("            fencing         \t{};\n", replica.options.fencing);
        }
        out += &format!("            _name           \t\"{peer}\";\n        }}\n    }}\n");
    }
    out + "}\n\n"
}

fn show84(f: &Fleet, host: &str, resource: &Resource) -> String {
    let Some(replica) = resource.on.get(host) else {
        return String::new();
    };
    let mut out = format!("resource {} {{\n    options {{\n    }}\n", resource.name);
    let connected = replica.peers.iter().find(|(_, l)| l.state != Connection::StandAlone);
    if let Some((peer, _)) = connected {
        out += "    net {\n";
        if replica.options.two_primaries {
            out += "        allow-two-primaries\tyes;\n";
        }
        out += &format!(
            "    }}\n    _remote_host {{\n        address\t\t\tipv4 {}:{};\n    }}\n",
            f.host(peer).address,
            resource.port
        );
    }
    out += "    _this_host {\n";
    if connected.is_some() {
        out += &format!("        address\t\t\tipv4 {}:{};\n", f.host(host).address, resource.port);
    }
    for volume in &resource.volumes {
        out += &format!(
            "        volume {} {{\n            device\t\t\tminor {};\n            disk\t\t\t\"{}\";\n            meta-disk\t\t\tinternal;\n            disk {{\n",
            volume.number, volume.minor, volume.disk
        );
        if replica.options.fencing != Fencing::DontCare {
            out += &format!("                fencing         \t{};\n", replica.options.fencing);
        }
        out += "            }\n        }\n";
    }
    out + "    }\n}\n"
}

/// `drbdsetup MINOR show`: no resource around the sections, and the defaults are marked.
fn show83(f: &Fleet, host: &str, resource: &Resource) -> String {
    let Some(replica) = resource.on.get(host) else { return String::new() };
    let mark = if replica.options.fencing == Fencing::DontCare { " _is_default" } else { "" };
    let mut out = format!(
        "disk {{\n\tsize            \t0s _is_default; # bytes\n\tfencing         \t{}{mark};\n}}\n",
        replica.options.fencing
    );
    let connected = replica.peers.iter().find(|(_, l)| l.state != Connection::StandAlone);
    if connected.is_some() {
        out += "net {\n\ttimeout         \t60 _is_default; # 1/10 seconds\n";
        if replica.options.two_primaries {
            out += "\tallow-two-primaries;\n";
        }
        out += "}\nprotocol C;\n";
    }
    let volume = &resource.volumes[0];
    out += &format!(
        "_this_host {{\n\tdevice\t\t\tminor {};\n\tdisk\t\t\t\"{}\";\n\tmeta-disk\t\tinternal;\n",
        volume.minor, volume.disk
    );
    if let Some((peer, _)) = connected {
        let address = |h: &str| format!("\taddress\t\t\tipv4 {}:{};\n}}\n", f.host(h).address, resource.port);
        return out + &address(host) + "_remote_host {\n" + &address(peer);
    }
    out + "}\n"
}

fn show_json(f: &Fleet, host: &str, resource: &Resource) -> String {
    let Some(replica) = resource.on.get(host) else {
        return String::new();
    };
    let connections: Vec<Value> = replica
        .peers
        .iter()
        .map(|(peer, link)| {
            let mut net = serde_json::Map::new();
            if replica.options.two_primaries {
                net.insert("allow-two-primaries".into(), Value::Bool(true));
            }
            if replica.options.fencing != Fencing::DontCare {
                net.insert("fencing".into(), Value::String(replica.options.fencing.to_string()));
            }
            net.insert("_name".into(), Value::String(peer.clone()));
            let mut connection = serde_json::json!({
                "path": { "_this_host": format!("ipv4 {}:{}", f.host(host).address, resource.port),
                          "_remote_host": format!("ipv4 {}:{}", f.host(peer).address, resource.port) },
                "net": net, "volumes": [], "_peer_node_id": resource.on.get(peer).map_or(0, |r| r.node_id) });
            if link.state == Connection::StandAlone {
                connection["_is_standalone"] = Value::Bool(true);
            }
            connection
        })
        .collect();
    let volumes: Vec<Value> = resource
        .volumes
        .iter()
        .map(|v| serde_json::json!({ "volume_nr": v.number, "device_minor": v.minor, "backing-disk": v.disk, "meta-disk": "internal" }))
        .collect();
    let value = serde_json::json!({ "resource": resource.name,
        "_this_host": { "node-id": replica.node_id, "volumes": volumes }, "connections": connections });
    serde_json::to_string_pretty(&value).unwrap_or_default()
}
