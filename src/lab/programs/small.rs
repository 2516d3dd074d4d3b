//! The small programs: names and addresses of hosts, keys, and the kernel's files.

use super::{Ctx, Printed, drbd_text};
use crate::core::drbd::Generation;
use crate::lab::Lab;

/// Runs one of them.
pub fn run(ctx: &Ctx<'_>, name: &str, args: &[&str]) -> Option<Printed> {
    let printed = match (name, args) {
        ("true" | ":", _) => Printed::ok(""),
        ("false", _) => Printed::fail(1, ""),
        ("echo", words) => Printed::ok(words.join(" ") + "\n"),
        ("cat", [path]) => cat(ctx, path),
        ("chmod", [mode, path]) => {
            let mode = u32::from_str_radix(mode, 8).ok();
            let done = mode.and_then(|mode| ctx.lab.with(|f| f.host_mut(ctx.host).files.allow(path, mode)).ok());
            done.map_or_else(|| Printed::fail(1, format!("chmod: cannot access '{path}'\n")), |()| Printed::ok(""))
        }
        ("sleep", [time]) => {
            ctx.lab.pass((time.parse::<f64>().unwrap_or(0.0) * 1000.0) as u64);
            Printed::ok("")
        }
        ("hostname", []) | ("uname", ["-n"]) | ("hostname", ["-s"]) => Printed::ok(format!("{}\n", ctx.host)),
        ("hostname", ["-f" | "--fqdn"]) => Printed::ok(ctx.lab.with(|f| f.host(ctx.host).fqdn.clone()) + "\n"),
        ("hostname", ["-I"]) => Printed::ok(ctx.lab.with(|f| f.host(ctx.host).address.clone()) + " \n"),
        ("uname", ["-r"]) => Printed::ok("6.1.0-56-amd64\n"),
        ("getent", [database, name]) => getent(ctx, database, name),
        ("ip", args) => ip(ctx, args),
        ("ssh-keygen", args) => keygen(ctx, args),
        ("brctl" | "bridge", _) => Printed::ok(""),
        _ => return None,
    };
    Some(printed)
}

fn cat(ctx: &Ctx<'_>, path: &str) -> Printed {
    let text = virtual_file(ctx.lab, ctx.host, path).or_else(|| ctx.lab.with(|f| f.host(ctx.host).files.text(path)));
    text.map_or_else(|| Printed::fail(1, format!("cat: {path}: No such file or directory\n")), Printed::ok)
}

fn getent(ctx: &Ctx<'_>, database: &str, name: &str) -> Printed {
    let found = ctx.lab.with(|f| f.resolve(name).map(|h| (f.host(&h).address.clone(), f.host(&h).fqdn.clone(), h)));
    match (database, found) {
        ("ahosts" | "ahostsv4", Some((address, _, _))) => {
            Printed::ok(format!("{address}      STREAM {name}\n{address}      DGRAM  \n{address}      RAW    \n"))
        }
        ("hosts", Some((address, fqdn, short))) => Printed::ok(format!("{address}       {fqdn} {short}\n")),
        ("ahosts" | "ahostsv4" | "hosts", None) => Printed::fail(2, ""),
        _ => Printed::fail(1, format!("Unknown database: {database}\n")),
    }
}

/// `ip -o route get ADDR`, and `ip -o link show type bridge` for the bridges.
fn ip(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let words: Vec<&str> = args.iter().filter(|a| !a.starts_with('-')).copied().collect();
    match words.as_slice() {
        ["route", "get", address] => {
            let (known, mine) = ctx.lab.with(|f| (f.resolve(address), f.host(ctx.host).address.clone()));
            match known {
                Some(h) if h == ctx.host => {
                    Printed::ok(format!("local {address} dev lo src {mine} uid 0 \\    cache <local> \n"))
                }
                _ => Printed::ok(format!("{address} dev xenbr0 src {mine} uid 0 \\    cache \n")),
            }
        }
        ["link", "show", "type", "bridge"] | ["link", "show"] | ["link"] => {
            let bridges = ctx.lab.with(|f| f.host(ctx.host).bridges.clone());
            let mut out = String::new();
            for (n, bridge) in bridges.iter().enumerate() {
                out += &format!(
                    "{}: {bridge}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000\\    link/ether 52:54:00:00:00:{n:02x} brd ff:ff:ff:ff:ff:ff\n",
                    n + 3
                );
            }
            Printed::ok(out)
        }
        ["link", "show", "dev", name] | ["link", "show", name] => {
            if ctx.lab.with(|f| f.host(ctx.host).bridges.iter().any(|b| b == name)) {
                Printed::ok(format!(
                    "3: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000\n"
                ))
            } else {
                Printed::fail(1, format!("Device \"{name}\" does not exist.\n"))
            }
        }
        _ => Printed::fail(255, "Object is unknown, try \"ip help\".\n"),
    }
}

/// Makes two files that look like a key; the part behind the type is this key's own.
fn keygen(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let after = |flag: &str| args.iter().position(|a| *a == flag).and_then(|i| args.get(i + 1)).copied();
    let Some(path) = after("-f") else {
        return Printed::fail(1, "Too many arguments.\n");
    };
    if let Some(text) = args.contains(&"-y").then(|| ctx.lab.with(|f| f.host(ctx.host).files.text(&format!("{path}.pub")))) {
        return text.map_or_else(|| Printed::fail(255, format!("Load key \"{path}\": No such file or directory\n")), Printed::ok);
    }
    if ctx.lab.with(|f| f.host(ctx.host).files.text(path)).is_some() {
        return Printed { code: 1, out: format!("{path} already exists.\nOverwrite (y/n)? "), ..Printed::default() };
    }
    let kind = after("-t").unwrap_or("rsa");
    let comment = after("-C").map_or_else(|| format!("root@{}", ctx.host), str::to_string);
    ctx.lab.with(|f| {
        let blob = format!("AAAA{:016X}{:016X}", f.roll(u64::MAX), f.roll(u64::MAX));
        let files = &mut f.host_mut(ctx.host).files;
        let _ = files.write(
            path,
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAA{blob}\n-----END OPENSSH PRIVATE KEY-----\n").as_bytes(),
            0o600,
        );
        let _ = files.write(&format!("{path}.pub"), format!("{} {blob} {comment}\n", key_type(kind)).as_bytes(), 0o644);
    });
    Printed::ok(format!(
        "Generating public/private {kind} key pair.\nYour identification has been saved in {path}\nYour public key has been saved in {path}.pub\n"
    ))
}

fn key_type(kind: &str) -> &'static str {
    if kind == "rsa" { "ssh-rsa" } else { "ssh-ed25519" }
}

/// The files that the kernel makes.
pub fn virtual_file(lab: &Lab, host: &str, path: &str) -> Option<String> {
    lab.with(|f| {
        let here = f.host(host);
        match path {
            "/proc/drbd" => Some(drbd_text::proc_drbd(f, host)),
            "/sys/module/drbd/version" => Some(format!("{}\n", drbd_text::kernel_version(here.drbd))),
            "/proc/sys/kernel/hostname" | "/etc/hostname" => Some(format!("{host}\n")),
            "/proc/sys/kernel/random/boot_id" => {
                Some(format!("{:08x}-0000-4000-8000-{:012x}\n", here.boots, f.seed & 0xffff_ffff_ffff))
            }
            "/proc/uptime" => Some(format!("{:.2} 0.00\n", (f.clock - here.booted_at) as f64 / 1000.0)),
            _ => None,
        }
    })
}

/// The folders that the kernel makes.
pub fn virtual_folder(lab: &Lab, host: &str, path: &str) -> Option<Vec<String>> {
    lab.with(|f| {
        let here = f.host(host);
        let mut names = match path.trim_end_matches('/') {
            "/sys/class/net" => {
                let guests =
                    here.domains.iter().flat_map(|d| (0..d.config.bridges.len()).map(move |n| format!("vif{}.{n}", d.id)));
                ["lo", "eth0"].map(str::to_string).into_iter().chain(here.bridges.clone()).chain(guests).collect::<Vec<_>>()
            }
            path => {
                let rest = path.strip_prefix("/sys/class/net/")?;
                let (name, inner) = rest.split_once('/').map_or((rest, None), |(n, i)| (n, Some(i)));
                let bridge = here.bridges.iter().any(|b| b == name);
                match inner {
                    None if bridge => {
                        vec!["address".to_string(), "bridge".to_string(), "brif".to_string(), "operstate".to_string()]
                    }
                    None => vec!["address".to_string(), "operstate".to_string()],
                    Some("bridge" | "brif") if bridge => vec!["bridge_id".to_string()],
                    _ => return None,
                }
            }
        };
        names.sort();
        Some(names)
    })
}

/// `drbdadm --version` of a host.
pub fn drbd_versions(generation: Generation, utils: (u32, u32)) -> String {
    let (major, minor) = utils;
    let code = format!("0x{major:02x}{minor:02x}00");
    let (api, kernel) = match generation {
        Generation::V83 => {
            return format!(
                "DRBDADM_BUILDTAG=GIT-hash:\\ a798fa7e274428a357657fb52f0ecf40192c1985\\ build\\ by\\ buildd@host\\,\\ 2014-01-01\\ 00:00:00\nDRBDADM_API_VERSION=88\nDRBD_KERNEL_VERSION_CODE=0x080310\nDRBDADM_VERSION_CODE={code}\nDRBDADM_VERSION={major}.{minor}.0\n"
            );
        }
        Generation::V84 => (1, "DRBD_KERNEL_VERSION_CODE=0x08040b\n".to_string()),
        Generation::V9 => (2, "DRBD_KERNEL_VERSION_CODE=0x090210\nDRBD_KERNEL_VERSION=9.2.16\n".to_string()),
    };
    format!(
        "DRBDADM_BUILDTAG=GIT-hash:\\ 409097fe02187f83790b88ac3e0d94f3c167adab\\ reproducible\\ build\\,\\ 2023-01-09\\ 14:51:18\nDRBDADM_API_VERSION={api}\n{kernel}DRBDADM_VERSION_CODE={code}\nDRBDADM_VERSION={major}.{minor}.0\n"
    )
}
