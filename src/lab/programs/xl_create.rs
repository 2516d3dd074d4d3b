//! `xl create`. Texts as recorded from Xen 4.17.

use super::{Ctx, Printed};
use crate::lab::model::domu_file::{self, DomuFile};
use crate::lab::model::xen::{NotAttached, NotMade};

/// Runs `xl create`.
pub fn create(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let (mut path, mut assignments, mut paused, mut dry, mut quiet) = (None, Vec::new(), false, false, false);
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            "-p" => paused = true,
            "-n" | "--dryrun" => dry = true,
            "-q" | "--quiet" => quiet = true,
            "-f" | "--defconfig" => path = args.next(),
            "-c" | "-d" | "-e" | "-F" | "-i" | "-V" | "-A" => {}
            a if a.starts_with("--defconfig=") => path = a.split_once('=').map(|(_, p)| p),
            a if a.starts_with('-') => {
                return Printed::fail(2, format!("option `{}' not supported.\n", a.trim_start_matches('-')));
            }
            a if a.contains('=') => assignments.push(a),
            a if path.is_none() => path = Some(a),
            _ => {
                return Printed::fail(2, "Usage: xl [-vfN] create <ConfigFile> [options] [vars]\n");
            }
        }
    }
    let Some(path) = path else {
        return Printed::fail(2, "'xl create' requires a config file.\n");
    };
    let Some(mut text) = ctx.lab.with(|f| f.host(ctx.host).files.text(path)).or_else(|| (path == "/dev/null").then(String::new))
    else {
        return Printed::fail(3, format!("Failed to read config file: {path}: No such file or directory\n"));
    };
    for assignment in assignments {
        text += &format!("\n{assignment}\n");
    }
    let mut err = if quiet { String::new() } else { format!("Parsing config from {path}\n") };
    let config = match domu_file::parse(&text) {
        Ok(config) => config,
        Err(why) => {
            return Printed::fail(1, format!("{err}{path}:{why}\nFailed to parse config: Invalid argument\n"));
        }
    };
    if config.name.is_empty() {
        return Printed::fail(1, err + "Domain name must be specified.\n");
    }
    if dry {
        return Printed {
            out: format!("{{\n    \"c_info\": {{\n        \"name\": \"{}\"\n    }}\n}}\n", config.name),
            err,
            ..Printed::default()
        };
    }
    match build(ctx, &config, paused) {
        Ok(id) => {
            ctx.lab.with(|f| f.log(format!("{}: domain {} ({id}) made", ctx.host, config.name)));
            Printed { err, ..Printed::default() }
        }
        Err((code, text)) => {
            err += &text;
            Printed::fail(code, err)
        }
    }
}

/// Builds a domain with its disks; the error is xl's exit code and its words.
pub fn build(ctx: &Ctx<'_>, config: &DomuFile, paused: bool) -> Result<u32, (i32, String)> {
    let lab = ctx.lab;
    let made = lab.with(|f| f.make_domain(ctx.host, config, &config.name, None));
    let next = lab.with(|f| f.host(ctx.host).next_domid);
    let id = match made {
        Ok(id) => id,
        Err(NotMade::NameTaken) => {
            let id = next - 1;
            return Err((
                3,
                format!(
                    "libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain {id}:Domain with name \"{}\" already exists.\nlibxl: error: libxl_create.c:1296:initiate_domain_create: Domain {id}:cannot make domain: -6\n{}",
                    config.name,
                    gone(id)
                ),
            ));
        }
        Err(NotMade::NoMemory) => {
            let id = next - 1;
            return Err((
                3,
                format!(
                    "xc: error: panic: xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory\nlibxl: error: libxl_dom.c:586:libxl__build_dom: xc_dom_boot_mem_init failed: Cannot allocate memory\nlibxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain {id}:cannot (re-)build domain: -3\n{}",
                    gone(id)
                ),
            ));
        }
    };
    lab.pass(700);
    if let Err(failed) = lab.with(|f| f.attach_disks(ctx.host, id)) {
        let text = not_attached(&failed, id, 1000 + id * 7);
        lab.with(|f| f.remove_domain(ctx.host, id));
        return Err((3, text + &gone(id)));
    }
    lab.with(|f| {
        let guest = config.name.clone();
        let beat = f.host(ctx.host).domains.iter().find(|d| d.id == id).map_or(0, |domain| {
            let found = domain.disks.iter().filter(|d| d.open).filter_map(|d| domu_file::behind(d, &f.resources));
            found.map(|(resource, volume)| f.read_beat(ctx.host, &resource, volume, &guest)).min().unwrap_or(0)
        });
        if let Some(domain) = f.host_mut(ctx.host).domain_by_id(id) {
            domain.complete = true;
            domain.paused = paused;
            domain.beat = beat;
        }
    });
    // Its first breath: what it would do wrong, it does now.
    lab.pass(200);
    Ok(id)
}

/// What libxl says of a disk that could not be attached.
pub fn not_attached(failed: &NotAttached, id: u32, pid: u32) -> String {
    if let Some(path) = &failed.missing {
        return format!(
            "libxl: error: libxl_device.c:420:libxl__device_disk_set_backend: Disk vdev=xvda failed to stat: {path}: No such file or directory\n"
        );
    }
    let script = &failed.script;
    let why =
        if script == "block" { "Device is mounted in a guest domain,\nand so cannot be mounted now." } else { "error detected." };
    format!(
        "libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: /etc/xen/scripts/{script} add [{pid}] exited with error status 1\nlibxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: /etc/xen/scripts/{script} failed; {why}\nlibxl: error: libxl_create.c:1672:domcreate_launch_dm: Domain {id}:unable to add disk devices\n"
    )
}

/// What libxl says when it takes a half-made domain away.
pub fn gone(id: u32) -> String {
    format!(
        "libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain {id}:Non-existant domain\nlibxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain {id}:Unable to destroy guest\nlibxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain {id}:Destruction of domain failed\n"
    )
}
