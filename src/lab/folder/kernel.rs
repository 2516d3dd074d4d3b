//! The files that the kernel of a Dom0 makes, as real files below its root.

use super::session::put;
use crate::lab::Lab;
use crate::lab::programs::{virtual_file, virtual_folder};
use std::fs;
use std::io;
use std::path::Path;

const FILES: [&str; 4] =
    ["/proc/drbd", "/sys/module/drbd/version", "/proc/sys/kernel/hostname", "/proc/sys/kernel/random/boot_id"];

/// Brings them up to date for every host that is on.
pub(super) fn show(lab: &Lab, dir: &Path) -> io::Result<()> {
    let hosts: Vec<String> = lab.with(|f| f.hosts.values().filter(|h| h.powered).map(|h| h.name.clone()).collect());
    for host in hosts {
        let root = dir.join("hosts").join(&host).join("root");
        for path in FILES {
            let at = root.join(&path[1..]);
            let Some(text) = virtual_file(lab, &host, path) else { continue };
            if fs::read_to_string(&at).is_ok_and(|now| now == text) {
                continue;
            }
            if let Some(folder) = at.parent() {
                fs::create_dir_all(folder)?;
            }
            put(&at, &text)?;
        }
        interfaces(lab, &host, &root.join("sys/class/net"))?;
    }
    Ok(())
}

fn interfaces(lab: &Lab, host: &str, at: &Path) -> io::Result<()> {
    let wanted = virtual_folder(lab, host, "/sys/class/net").unwrap_or_default();
    fs::create_dir_all(at)?;
    for entry in fs::read_dir(at)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !wanted.contains(&name) {
            fs::remove_dir_all(at.join(name))?;
        }
    }
    for name in wanted.iter().filter(|name| !at.join(name).exists()) {
        let parts = virtual_folder(lab, host, &format!("/sys/class/net/{name}")).unwrap_or_default();
        fs::create_dir_all(at.join(name))?;
        for part in parts {
            match part.as_str() {
                "bridge" | "brif" => fs::create_dir_all(at.join(name).join(part))?,
                _ => fs::write(at.join(name).join(part), "")?,
            }
        }
    }
    Ok(())
}
