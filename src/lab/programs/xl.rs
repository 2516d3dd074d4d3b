//! `xl`: what it shows, and its small deeds. Formats of `xl_info.c`, `xl_list.c`; texts as recorded from Xen 4.17.

use super::{Ctx, Printed, xl_create, xl_migrate, xl_receive};
use crate::lab::model::{Domain, Fleet, Host, Life, Version};
use serde_json::{Map, Value, json};

/// Where exit codes and options changed.
const V47: Version = Version::new(4, 7);

/// Runs `xl`.
pub fn run(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    // Global flags precede the sub-command.
    let args: Vec<&str> =
        args.iter().skip_while(|a| matches!(**a, "-v" | "-vv" | "-vvv" | "-f" | "-t" | "-T" | "-N")).copied().collect();
    let Some((command, args)) = args.split_first() else {
        return Printed::fail(1, "Usage xl [-vfNtT] <subcommand> [args]\n\n");
    };
    match *command {
        "list" => list(ctx, version, args),
        "vm-list" => Printed::ok(ctx.lab.with(|f| vm_list(f.host(ctx.host)))),
        "info" => info(ctx, version, args),
        "domid" => one(args, 1, "domid").unwrap_or_else(|name| match ctx.lab.with(|f| id_by_name(f.host(ctx.host), name)) {
            Some(id) => Printed::ok(format!("{id}\n")),
            None => Printed::fail(1, format!("Can't get domid of domain name '{name}', maybe this domain does not exist.\n")),
        }),
        "domname" => one(args, 1, "domname").unwrap_or_else(|id| match ctx.lab.with(|f| name_by_id(f.host(ctx.host), id)) {
            Some(name) => Printed::ok(format!("{name}\n")),
            None => Printed::fail(1, format!("Can't get domain name of domain id '{id}', maybe this domain does not exist.\n")),
        }),
        "block-list" => one(args, 1, "block-list").unwrap_or_else(|name| block_list(ctx, version, name)),
        "uptime" => Printed::ok(ctx.lab.with(|f| uptime(f, ctx.host))),
        "create" => xl_create::create(ctx, args),
        "destroy" => on_domain(ctx, version, args, "destroy", |f, host, id| {
            f.remove_domain(host, id);
            Printed::ok("")
        }),
        "pause" => on_domain(ctx, version, args, "pause", |f, host, id| set_paused(f, host, id, true)),
        "unpause" => on_domain(ctx, version, args, "unpause", |f, host, id| set_paused(f, host, id, false)),
        "save" => save(ctx, version, args),
        "rename" => rename(ctx, version, args),
        "shutdown" => shutdown(ctx, version, args),
        "migrate" => xl_migrate::migrate(ctx, version, args),
        "migrate-receive" => xl_receive::receive(ctx, args),
        "help" => Printed::ok("Usage xl [-vfNtT] <subcommand> [args]\n\n"),
        _ => Printed::fail(1, "command not implemented\n"),
    }
}

/// The domain that a word means: digits are always an id (`libxl_domain_qualifier_to_domid`).
pub fn find(host: &Host, word: &str) -> Option<u32> {
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) {
        return word.parse().ok();
    }
    id_by_name(host, word)
}

/// What xl says of a name that no domain has.
pub fn no_such(version: Version, word: &str) -> Printed {
    Printed::fail(if version < V47 { 2 } else { 1 }, format!("{word} is an invalid domain identifier (rc=-6)\n"))
}

fn id_by_name(host: &Host, name: &str) -> Option<u32> {
    if name == "Domain-0" {
        return Some(0);
    }
    host.domain(name).filter(|d| d.name != "(null)").map(|d| d.id)
}

fn name_by_id(host: &Host, id: &str) -> Option<String> {
    match id.parse::<u32>().ok()? {
        0 => Some("Domain-0".to_string()),
        id => host.domains.iter().find(|d| d.id == id).map(|d| d.name.clone()),
    }
}

/// The one operand of a command as the `Err` that goes on; the wrong number is xl's usage error.
fn one<'a>(args: &[&'a str], count: usize, command: &str) -> Result<Printed, &'a str> {
    let operands: Vec<&str> = args.iter().filter(|a| !a.starts_with('-')).copied().collect();
    if operands.len() < count {
        return Ok(Printed::fail(
            2,
            format!("'xl {command}' requires at least {count} argument{}.\n\n", if count == 1 { "" } else { "s" }),
        ));
    }
    Err(operands[0])
}

fn on_domain(
    ctx: &Ctx<'_>,
    version: Version,
    args: &[&str],
    command: &str,
    f: impl FnOnce(&mut Fleet, &str, u32) -> Printed,
) -> Printed {
    match one(args, 1, command) {
        Ok(usage) => usage,
        Err(word) => ctx.lab.with(|fleet| match find(fleet.host(ctx.host), word) {
            Some(0) => Printed::fail(1, format!("Cannot {command} privileged domain 0.\n\n")),
            Some(id) if fleet.host(ctx.host).domains.iter().any(|d| d.id == id) => f(fleet, ctx.host, id),
            Some(id) => Printed::fail(
                1,
                format!("libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain {id}:Non-existant domain\n"),
            ),
            None => no_such(version, word),
        }),
    }
}

fn set_paused(f: &mut Fleet, host: &str, id: u32, paused: bool) -> Printed {
    if let Some(domain) = f.host_mut(host).domain_by_id(id) {
        domain.paused = paused;
    }
    f.log(format!("{host}: domain {id} {}", if paused { "paused" } else { "unpaused" }));
    Printed::ok("")
}

/// `xl save -c X /dev/null` only: a checkpoint to nowhere. It wakes a suspended domain after a minute (recorded from Xen 4.17).
fn save(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let ["-c", word, "/dev/null"] = args else {
        return Printed::fail(1, "the lab's xl saves to /dev/null only\n");
    };
    let woken = ctx.lab.with(|f| {
        let Some(id) = find(f.host(ctx.host), word) else { return Err(no_such(version, word)) };
        let Some(domain) = f.host_mut(ctx.host).domain_by_id(id) else { return Err(no_such(version, word)) };
        let waits = domain.life == Life::Shutdown('s');
        domain.life = Life::Running;
        domain.paused = false;
        f.log(format!("{}: domain {id} goes on", ctx.host));
        Ok(waits)
    });
    match woken {
        Err(printed) => printed,
        Ok(waits) => {
            ctx.lab.pass(if waits { 60_000 } else { 5_000 });
            let err = "libxl: error: libxl_dom_suspend.c:269:domain_suspend_common_pvcontrol_suspending: guest didn't acknowledge suspend, cancelling request\n";
            Printed { err: err.to_string(), ..Printed::ok("") }
        }
    }
}

fn rename(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let [word, name] = args else {
        return Printed::fail(2, "'xl rename' requires at least 2 arguments.\n\n");
    };
    ctx.lab.with(|f| {
        let Some(id) = find(f.host(ctx.host), word) else { return no_such(version, word) };
        if f.rename_domain(ctx.host, id, name) {
            f.log(format!("{}: domain {id} is called {name} now", ctx.host));
            Printed::ok("")
        } else {
            Printed::fail(1, format!("libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain {id}:Domain with name \"{name}\" already exists.\nCan't rename domain '{word}'.\n"))
        }
    })
}

fn shutdown(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let wait = args.contains(&"-w");
    let printed = on_domain(ctx, version, args, "shutdown", |f, host, id| {
        if let Some(domain) = f.host_mut(host).domain_by_id(id) {
            domain.life = Life::Shutdown('-');
        }
        let mut err = format!("Shutting down domain {id}\n");
        if wait {
            err += &format!("Waiting for 1 domains\nDomain {id} has been shut down, reason code 0\n");
        }
        Printed { err, ..Printed::default() }
    });
    if wait && printed.code == 0 {
        ctx.lab.pass(2000);
    }
    printed
}

const HEADER: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n";

fn row(name: &str, id: u32, memory: u64, vcpus: u32, letters: &str, seconds: f64) -> String {
    format!("{name:<40} {id:>5} {memory:>5} {vcpus:>5}     {letters}  {seconds:>8.1}\n")
}

fn domain_row(domain: &Domain) -> String {
    let vcpus = if domain.complete { domain.config.vcpus } else { 0 };
    row(&domain.name, domain.id, domain.memory, vcpus, &domain.letters(), domain.ran as f64 / 1000.0)
}

fn dom0_row(fleet: &Fleet, host: &Host) -> String {
    row("Domain-0", 0, host.dom0_memory, 1, "r-----", (fleet.clock - host.booted_at) as f64 / 2000.0)
}

const LIST_HELP: &str = "Usage: xl [-vtT] list [options] [Domain]\n\n\nList information about all/some domains.\n\nOptions:\n\n-l, --long              Output all VM details\n-v, --verbose           Prints out UUIDs and security context\n-Z, --context           Prints out security context\n-c, --cpupool           Prints the cpupool the domain is in\n-n, --numa              Prints out NUMA node affinity\n";

fn list(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let long = args.iter().any(|a| matches!(*a, "-l" | "--long"));
    if let Some(odd) =
        args.iter().find(|a| a.starts_with('-') && !matches!(**a, "-l" | "--long" | "-v" | "--verbose" | "-Z" | "-c" | "-n"))
    {
        return Printed::fail(2, format!("option `{}' not supported.\n", odd.trim_start_matches('-')));
    }
    let operands: Vec<&str> = args.iter().filter(|a| !a.starts_with('-')).copied().collect();
    ctx.lab.with(|f| {
        let host = f.host(ctx.host);
        let wanted = match operands.as_slice() {
            [] => None,
            [word] => match find(host, word) {
                None => return no_such(version, word),
                Some(id) if id != 0 && !host.domains.iter().any(|d| d.id == id) => {
                    return Printed::fail(if version < V47 { 6 } else { 1 }, format!("Error: Domain '{word}' does not exist.\n"));
                }
                found => found,
            },
            _ => {
                return Printed { code: if version < V47 { 2 } else { 1 }, out: LIST_HELP.to_string(), ..Printed::default() };
            }
        };
        let shown: Vec<&Domain> = host.domains.iter().filter(|d| wanted.is_none_or(|id| d.id == id)).collect();
        let dom0 = wanted.is_none_or(|id| id == 0);
        if long {
            let mut all = Vec::new();
            if dom0 && version >= Version::new(4, 5) {
                all.push(dom0_json(host));
            }
            // A domain whose stored config cannot be read is left out without a word.
            all.extend(shown.iter().filter(|d| d.name != "(null)").map(|d| domain_json(d, version)));
            let text = serde_json::to_string_pretty(&Value::Array(all)).unwrap_or_default();
            return Printed::ok(four_blanks(&text) + "\n\n");
        }
        let mut out = HEADER.to_string();
        if dom0 {
            out += &dom0_row(f, host);
        }
        shown.iter().for_each(|d| out += &domain_row(d));
        Printed::ok(out)
    })
}

/// serde indents by two, libxl by four.
fn four_blanks(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let blanks = line.len() - line.trim_start().len();
            format!("{}{}", " ".repeat(blanks), line)
        })
        .collect();
    lines.join("\n")
}

fn dom0_json(host: &Host) -> Value {
    let kib = host.dom0_memory * 1024;
    json!({ "domid": 0, "config": { "c_info": { "type": "pv", "name": "Domain-0" },
        "b_info": { "max_memkb": kib, "target_memkb": kib - 1 } } })
}

fn domain_json(domain: &Domain, version: Version) -> Value {
    let kib = domain.config.memory * 1024;
    // Before 4.5 the text given at creation was parsed again, so that a rename did not show.
    let name = if version < Version::new(4, 5) { &domain.config.name } else { &domain.name };
    json!({
        "domid": domain.id,
        "config": {
            "c_info": { "type": domain.config.kind, "name": name, "domid": 4_294_967_295_u32, "uuid": domain.uuid, "run_hotplug_scripts": "True" },
            "b_info": { "max_vcpus": domain.config.vcpus, "avail_vcpus": [0], "max_memkb": kib, "target_memkb": kib, "video_memkb": 0,
                "claim_mode": "True", "kernel": "/root/domu/vmlinuz" },
            "disks": disks_json(domain, true),
            "nics": nics_json(domain),
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset",
        }
    })
}

/// The disks as libxl prints them: defaults are left out.
pub fn disks_json(domain: &Domain, stored: bool) -> Value {
    let disks = domain.disks.iter().map(|d| {
        let mut disk = Map::new();
        if !d.target.is_empty() {
            disk.insert("pdev_path".into(), json!(d.target));
        }
        disk.insert("vdev".into(), json!(d.vdev));
        disk.insert("format".into(), json!("raw"));
        if let Some(script) = &d.script {
            disk.insert("script".into(), json!(script));
        }
        if d.cdrom {
            disk.insert("removable".into(), json!(1));
            disk.insert("is_cdrom".into(), json!(1));
        }
        if d.writable {
            disk.insert("readwrite".into(), json!(1));
        }
        if stored {
            disk.insert("colo_restore_enable".into(), json!("False"));
        }
        Value::Object(disk)
    });
    Value::Array(disks.collect())
}

fn nics_json(domain: &Domain) -> Value {
    let nic = |(n, bridge): (usize, &String)| {
        json!({ "devid": n, "mac": format!("00:16:3e:00:00:{n:02x}"), "bridge": bridge,
        "script": "/etc/xen/scripts/vif-bridge", "nictype": "vif" })
    };
    Value::Array(domain.config.bridges.iter().enumerate().map(nic).collect())
}

fn vm_list(host: &Host) -> String {
    let mut out = "UUID                                  ID    name\n".to_string();
    let mut line = |uuid: &str, id: u32, name: &str| out += &format!("{uuid}  {id:<5}{name:<30}\n");
    line("00000000-0000-0000-0000-000000000000", 0, "Domain-0");
    host.domains.iter().for_each(|d| line(&d.uuid, d.id, &d.name));
    out
}

fn uptime(fleet: &Fleet, host: &str) -> String {
    let mut out = format!("{:<33} {:>4} {}\n", "Name", "ID", "Uptime");
    let mut line = |name: &str, id: u32, since: u64| {
        let s = (fleet.clock - since) / 1000;
        out += &format!("{name:<33} {id:>4} {:>2}:{:02}:{:02}\n", s / 3600, s / 60 % 60, s % 60);
    };
    let host = fleet.host(host);
    line("Domain-0", 0, host.booted_at);
    host.domains.iter().for_each(|d| line(&d.name, d.id, d.since));
    out
}

fn info(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let lines = ctx.lab.with(|f| {
        let host = f.host(ctx.host);
        let text = |v: &str| v.to_string();
        vec![
            ("host", host.name.clone()),
            ("release", text("6.1.0-56-amd64")),
            ("version", text("#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2")),
            ("machine", text("x86_64")),
            ("nr_cpus", text("4")),
            ("max_cpu_id", text("3")),
            ("nr_nodes", text("1")),
            ("cores_per_socket", text("4")),
            ("threads_per_core", text("1")),
            ("cpu_mhz", text("2400.000")),
            ("virt_caps", text("pv hvm hap shadow gnttab-v1 gnttab-v2")),
            ("total_memory", host.memory.to_string()),
            ("free_memory", host.free_memory().to_string()),
            ("sharing_freed_memory", text("0")),
            ("sharing_used_memory", text("0")),
            ("outstanding_claims", text("0")),
            ("free_cpus", text("0")),
            ("xen_major", version.major.to_string()),
            ("xen_minor", version.minor.to_string()),
            ("xen_extra", text(".7")),
            ("xen_version", format!("{}.{}.7", version.major, version.minor)),
            ("xen_caps", text("xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64")),
            ("xen_scheduler", text("credit2")),
            ("xen_pagesize", text("4096")),
            ("xend_config_format", text("4")),
        ]
    });
    match args.first().filter(|_| version >= V47) {
        Some(key) => {
            Printed::ok(lines.iter().filter(|(k, _)| k.starts_with(key)).map(|(_, v)| format!("{v}\n")).collect::<String>())
        }
        None => Printed::ok(lines.iter().map(|(k, v)| format!("{k:<22} : {v}\n")).collect::<String>()),
    }
}

fn block_list(ctx: &Ctx<'_>, version: Version, word: &str) -> Printed {
    ctx.lab.with(|f| {
        let host = f.host(ctx.host);
        let Some(id) = find(host, word) else { return no_such(version, word) };
        let mut out = format!(
            "{:<5} {:<3} {:<6} {:<5} {:<6} {:<8} {:<30}\n",
            "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path"
        );
        let disks = host.domains.iter().find(|d| d.id == id).map(|d| d.disks.clone()).unwrap_or_default();
        for disk in disks.iter().filter(|d| d.state != 0) {
            let number = vdev_number(&disk.vdev);
            let (channel, ring) = if disk.state == 4 { (8, 8) } else { (-1, -1) };
            out += &format!(
                "{number:<5} {:<3} {id:<6} {:<5} {channel:<6} {ring:<8} /local/domain/0/backend/vbd/{id}/{number}\n",
                0, disk.state
            );
        }
        Printed::ok(out)
    })
}

/// xvda is 51712, each letter 16 further (`libxl__device_disk_dev_number`); hdc is 5632.
pub fn vdev_number(vdev: &str) -> u32 {
    let letter = |c: Option<char>| c.map_or(0, |c| (c as u32).saturating_sub('a' as u32));
    match (vdev.strip_prefix("xvd"), vdev.strip_prefix("hd"), vdev.strip_prefix("sd")) {
        (Some(rest), _, _) => 51712 + 16 * letter(rest.chars().next()) + rest[1.min(rest.len())..].parse::<u32>().unwrap_or(0),
        (_, Some(rest), _) => [768, 832, 5632, 5696].get(letter(rest.chars().next()) as usize).copied().unwrap_or(768),
        (_, _, Some(rest)) => 2048 + 16 * letter(rest.chars().next()),
        _ => 51712,
    }
}
