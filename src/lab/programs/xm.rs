//! `xm`, xend's client. Formats of Xen 4.1's `main.py`, exit codes of facts 1.2.

use super::{Ctx, Printed, xl, xl_create, xm_migrate};
use crate::lab::model::domu_file;
use crate::lab::model::{Domain, Fleet, Host, Life, Version};

const XEND_DOWN: &str = "Error: Unable to connect to xend: Connection refused. Is xend running?\n";

/// Runs `xm`.
pub fn run(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let Some((command, args)) = args.split_first() else {
        return Printed { code: 1, out: "Usage: xm <subcommand> [args]\n".to_string(), ..Printed::default() };
    };
    if !ctx.lab.with(|f| f.host(ctx.host).xend_up) {
        return Printed::fail(1, XEND_DOWN);
    }
    match *command {
        "list" => list(ctx, version, args),
        "info" => info(ctx, version),
        "domid" => on_domain(ctx, version, args, command, |_, _, id| Printed::ok(format!("{id}\n"))),
        "create" => create(ctx, args),
        "destroy" => on_domain(ctx, version, args, command, |f, host, id| {
            f.remove_domain(host, id);
            Printed::ok("")
        }),
        "pause" => on_domain(ctx, version, args, command, |f, host, id| set_paused(f, host, id, true)),
        "unpause" => on_domain(ctx, version, args, command, |f, host, id| set_paused(f, host, id, false)),
        "shutdown" => on_domain(ctx, version, args, command, |f, host, id| {
            if let Some(domain) = f.host_mut(host).domain_by_id(id) {
                domain.life = Life::Shutdown('-');
            }
            Printed::ok("")
        }),
        "rename" => rename(ctx, version, args),
        "block-list" => on_domain(ctx, version, args, command, |f, host, id| Printed::ok(block_list(f.host(host), id))),
        "migrate" => xm_migrate::migrate(ctx, version, args),
        _ => Printed {
            code: 1,
            out: "Usage: xm <subcommand> [args]\n".to_string(),
            err: format!("Error: Subcommand {command} not found!\n"),
            signal: None,
        },
    }
}

/// What xend says of a domain that is not there: a code of its own since 3.4.
pub fn no_such(version: Version, word: &str) -> Printed {
    Printed::fail(if version < Version::new(3, 4) { 1 } else { 3 }, format!("Error: Domain '{word}' does not exist.\n"))
}

/// Any other fault of xend's: the usage goes to standard output (facts 1.2).
pub fn fault(command: &str, text: &str) -> Printed {
    Printed { code: 1, out: format!("Usage: xm {command}\n"), err: format!("Error: {text}\n"), signal: None }
}

/// By name first, then by id (`XendDomain.py`, `domain_lookup_nr`).
pub fn find(host: &Host, word: &str) -> Option<u32> {
    let by_name = host.domain(word).map(|d| d.id);
    let by_id = || word.parse().ok().filter(|id| host.domains.iter().any(|d| d.id == *id));
    by_name.or_else(by_id).or((word == "Domain-0" || word == "0").then_some(0))
}

fn on_domain(
    ctx: &Ctx<'_>,
    version: Version,
    args: &[&str],
    command: &str,
    f: impl FnOnce(&mut Fleet, &str, u32) -> Printed,
) -> Printed {
    let operands: Vec<&str> = args.iter().filter(|a| !a.starts_with('-')).copied().collect();
    let [word] = operands.as_slice() else { return fault(command, "Invalid number of arguments") };
    ctx.lab.with(|fleet| match find(fleet.host(ctx.host), word) {
        Some(0) => fault(command, "Cannot do that to a privileged domain"),
        Some(id) => f(fleet, ctx.host, id),
        None => no_such(version, word),
    })
}

fn set_paused(f: &mut Fleet, host: &str, id: u32, paused: bool) -> Printed {
    if let Some(domain) = f.host_mut(host).domain_by_id(id) {
        domain.paused = paused;
    }
    Printed::ok("")
}

fn rename(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let [word, name] = args else { return fault("rename", "Invalid number of arguments") };
    ctx.lab.with(|f| {
        let Some(id) = find(f.host(ctx.host), word) else { return no_such(version, word) };
        match f.host(ctx.host).domain(name).map(|d| d.id) {
            Some(other) => fault("rename", &format!("VM name '{name}' already exists as domain {other}")),
            None => {
                f.rename_domain(ctx.host, id, name);
                Printed::ok("")
            }
        }
    })
}

fn row(version: Version, name: &str, id: u32, memory: u64, vcpus: u32, letters: &str, seconds: f64) -> String {
    let narrow = version < Version::new(3, 2);
    let id = if narrow { format!("{id:>3}") } else { format!("{id:>5}") };
    format!("{name:<40} {id} {memory:>5} {vcpus:>5} {letters:>10} {seconds:>8.1}\n")
}

fn domain_row(version: Version, domain: &Domain) -> String {
    let seconds = domain.ran as f64 / 1000.0;
    row(version, &domain.name, domain.id, domain.memory, domain.config.vcpus, &letters(domain), seconds)
}

/// xend's six letters: `rbpscd`, with no reason among them.
fn letters(domain: &Domain) -> String {
    let crashed = if domain.life == Life::Shutdown('c') { 'c' } else { '-' };
    let mut letters: Vec<char> = domain.letters().chars().collect();
    letters[4] = crashed;
    letters.into_iter().collect()
}

fn list(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let long = args.iter().any(|a| matches!(*a, "-l" | "--long"));
    let operands: Vec<&str> = args.iter().filter(|a| !a.starts_with('-')).copied().collect();
    ctx.lab.with(|f| {
        let host = f.host(ctx.host);
        let mut wanted = Vec::new();
        for word in &operands {
            match find(host, word) {
                Some(id) => wanted.push(id),
                None => return no_such(version, word),
            }
        }
        let shows = |id: u32| operands.is_empty() || wanted.contains(&id);
        let shown: Vec<&Domain> = host.domains.iter().filter(|d| shows(d.id)).collect();
        if long {
            let dom0 = if shows(0) { dom0_sxp(host) } else { String::new() };
            return Printed::ok(dom0 + &shown.iter().map(|d| domain_sxp(d)).collect::<String>());
        }
        let id = if version < Version::new(3, 2) { format!("{:>3}", "ID") } else { format!("{:>5}", "ID") };
        let mut out = format!("{:<40} {id} {:>5} {:>5} {:>10} {:>9}\n", "Name", "Mem", "VCPUs", "State", "Time(s)");
        if shows(0) {
            out += &row(version, "Domain-0", 0, host.dom0_memory, 4, "r-----", 1179.4);
        }
        shown.iter().for_each(|d| out += &domain_row(version, d));
        Printed::ok(out)
    })
}

fn dom0_sxp(host: &Host) -> String {
    format!(
        "(domain\n    (domid 0)\n    (on_crash restart)\n    (uuid 00000000-0000-0000-0000-000000000000)\n    (vcpus 4)\n    (name Domain-0)\n    (maxmem 17592186044415)\n    (memory {})\n    (image (linux (kernel '') (superpages 0) (tsc_mode 0) (nomigrate 0)))\n    (status 2)\n    (state r-----)\n)\n",
        host.dom0_memory
    )
}

fn domain_sxp(domain: &Domain) -> String {
    let mut out = format!(
        "(domain\n    (domid {})\n    (cpu_weight 256)\n    (on_crash restart)\n    (uuid {})\n    (vcpus {})\n    (name {})\n    (on_poweroff destroy)\n    (on_reboot restart)\n    (maxmem {mem})\n    (memory {mem})\n    (image\n        (linux\n            (kernel '')\n            (args 'root=/dev/xvda1 ro')\n        )\n    )\n    (status 2)\n    (state {})\n",
        domain.id,
        domain.uuid,
        domain.config.vcpus,
        domain.name,
        letters(domain),
        mem = domain.config.memory,
    );
    for (n, bridge) in domain.config.bridges.iter().enumerate() {
        out += &format!(
            "    (device\n        (vif\n            (bridge {bridge})\n            (mac 00:16:3e:00:00:{n:02x})\n            (script /etc/xen/scripts/vif-bridge)\n            (backend 0)\n        )\n    )\n"
        );
    }
    for (n, disk) in domain.disks.iter().enumerate() {
        let uname = match disk.script.as_deref().and_then(|s| s.strip_prefix("block-")) {
            Some(kind) => format!("{kind}:{}", disk.target),
            None => format!("phy:{}", disk.target),
        };
        let kind = if disk.cdrom { "cdrom" } else { "disk" };
        let mode = if disk.writable { "w" } else { "r" };
        out += &format!(
            "    (device\n        (vbd\n            (protocol x86_64-abi)\n            (uuid b{n})\n            (bootable 1)\n            (dev {}:{kind})\n            (uname {uname})\n            (mode {mode})\n            (backend 0)\n            (VDI '')\n        )\n    )\n",
            disk.vdev
        );
    }
    out + ")\n"
}

fn info(ctx: &Ctx<'_>, version: Version) -> Printed {
    ctx.lab.with(|f| {
        let host = f.host(ctx.host);
        let lines = [
            ("host", host.name.clone()),
            ("release", "2.6.32-5-xen-amd64".to_string()),
            ("version", "#1 SMP Mon Sep 23 23:50:13 UTC 2013".to_string()),
            ("machine", "x86_64".to_string()),
            ("nr_cpus", "4".to_string()),
            ("total_memory", host.memory.to_string()),
            ("free_memory", host.free_memory().to_string()),
            ("free_cpus", "0".to_string()),
            ("xen_major", version.major.to_string()),
            ("xen_minor", version.minor.to_string()),
            ("xen_extra", ".6.1".to_string()),
            ("xen_caps", "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ".to_string()),
            ("xen_scheduler", "credit".to_string()),
            ("xend_config_format", "4".to_string()),
        ];
        Printed::ok(lines.iter().map(|(key, value)| format!("{key:<23}: {value}\n")).collect::<String>())
    })
}

fn create(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let paused = args.iter().any(|a| matches!(*a, "-p" | "--paused"));
    let quiet = args.iter().any(|a| matches!(*a, "-q" | "--quiet"));
    let Some(word) = args.iter().find(|a| !a.starts_with('-') && !a.contains('=')) else {
        return fault("create", "No config file");
    };
    // Looked for in the working folder and in /etc/xen.
    let paths = [word.to_string(), format!("/etc/xen/{word}")];
    let found = paths.iter().find_map(|p| ctx.lab.with(|f| f.host(ctx.host).files.text(p)).map(|t| (p.clone(), t)));
    let Some((path, text)) = found else {
        return Printed::fail(1, format!("Error: Unable to open config file: {word}\n"));
    };
    let said = if quiet { String::new() } else { format!("Using config file \"{path}\".\n") };
    let mut config = match domu_file::parse(&text) {
        Ok(config) => config,
        Err(why) => return Printed { code: 1, out: said, err: format!("Error: {why}\n"), signal: None },
    };
    if config.name.is_empty() {
        config.name = path.rsplit('/').next().unwrap_or(&path).to_string();
    }
    if let Some(id) = ctx.lab.with(|f| f.host(ctx.host).domain(&config.name).map(|d| d.id)) {
        return Printed { out: said, ..fault("create", &format!("VM name '{}' already exists as domain {id}", config.name)) };
    }
    match xl_create::build(ctx, &config, paused) {
        Ok(_) if quiet => Printed::ok(""),
        Ok(id) => Printed::ok(format!("{said}Started domain {} (id={id})\n", config.name)),
        Err((_, text)) if text.contains("allocate low memory") => {
            let (free, need) = (ctx.lab.with(|f| f.host(ctx.host).free_memory()), config.memory);
            Printed {
                out: said,
                ..fault(
                    "create",
                    &format!(
                        "I need {} KiB, but dom0_min_mem is 196608 and shrinking to 196608 KiB would leave only {} KiB free.",
                        need * 1024,
                        free * 1024
                    ),
                )
            }
        }
        Err(_) => {
            Printed { out: said, ..fault("create", "Device 51712 (vbd) could not be connected. Hotplug scripts not working.") }
        }
    }
}

fn block_list(host: &Host, id: u32) -> String {
    let mut out = "Vdev  BE handle state evt-ch ring-ref BE-path\n".to_string();
    let disks = host.domains.iter().find(|d| d.id == id).map(|d| d.disks.clone()).unwrap_or_default();
    for disk in disks.iter().filter(|d| d.state != 0) {
        let number = xl::vdev_number(&disk.vdev);
        let (channel, ring) = if disk.state == 4 { (15, 8) } else { (-1, -1) };
        let path = format!("/local/domain/0/backend/vbd/{id}/{number}");
        out += &format!("{number:<5}  0    0     {:<7}{channel:<7}{ring:<6}{path:<38}\n", disk.state);
    }
    out
}
