//! Programs that would act on the very machine that the lab runs on, which may be a real Dom0: at a prompt of the lab they are ours.
//!
//! What switches a Dom0 off or boots it does that to the pretended one; the others are refused, and say what does it in the lab.
//! Only what is looked for in PATH is caught: a program that is called by its full path is this machine's.

use super::Folder;
use crate::lab::model::Fleet;
use crate::lab::programs::Printed;
use crate::lab::{Deed, Lab};
use std::io;

/// Their names, and what to do instead; nothing: it is about the power.
const STAND_INS: [(&str, &str); 20] = [
    ("reboot", ""),
    ("shutdown", ""),
    ("poweroff", ""),
    ("halt", ""),
    ("init", ""),
    ("telinit", ""),
    ("systemctl", "xen-drbd-auto start, stop and status are typed as they are; `reboot` and `poweroff` act on this Dom0"),
    ("service", "xen-drbd-auto start, stop and status are typed as they are"),
    ("invoke-rc.d", "xen-drbd-auto start, stop and status are typed as they are"),
    ("update-rc.d", "nothing starts by itself in the lab: after a boot, xen-drbd-auto start"),
    ("fuser", "`lab status` shows who runs where, and xen-migrate status who is at work on a domU"),
    ("pkill", "`lab plan --in 0 end-transport DOMU`, kill-xl DOMU or kill-tools HOST, and then `lab pass 1`"),
    ("killall", "`lab plan --in 0 end-transport DOMU`, kill-xl DOMU or kill-tools HOST, and then `lab pass 1`"),
    ("virsh", "the toolstack of this Dom0 is xl or xm"),
    ("drbdmeta", "the disks of this Dom0 are a model; drbdadm works on them"),
    ("modprobe", "the modules of this Dom0 are a model"),
    ("insmod", "the modules of this Dom0 are a model"),
    ("rmmod", "the modules of this Dom0 are a model"),
    ("mount", "the file system of this Dom0 is the folder that its prompt begins in"),
    ("umount", "the file system of this Dom0 is the folder that its prompt begins in"),
];

/// What is to happen to the power of a Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Off,
    Cycle,
}

/// So long a Dom0 is off while it boots again, by the fleet's clock.
const BOOT_TIME: u64 = 60_000;

/// The names of all of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    STAND_INS.iter().map(|(name, _)| *name)
}

/// Runs the one of that name. `None`: it is none of them.
pub(super) fn run(folder: &Folder, host: &str, name: &str, args: &[&str]) -> Option<Printed> {
    let (_, instead) = STAND_INS.iter().find(|(ours, _)| *ours == name)?;
    let done = match meant(name, args) {
        Some(Power::Off) => folder.power_off(host),
        Some(Power::Cycle) => reboot(folder, host),
        None => return Some(refused(host, name, args, instead)),
    };
    Some(done.map_or_else(|why| Printed::fail(1, format!("lab: {why}\n")), |said| Printed::ok(format!("{said}\n"))))
}

/// Whether the power is meant, and how.
fn meant(name: &str, args: &[&str]) -> Option<Power> {
    let at_once = |args: &[&str]| args.iter().all(|arg| matches!(*arg, "-f" | "--force" | "now" | "+0"));
    match (name, args) {
        ("reboot", args) if at_once(args) => Some(Power::Cycle),
        ("poweroff" | "halt", args) if at_once(args) => Some(Power::Off),
        ("init" | "telinit", ["6"]) => Some(Power::Cycle),
        ("init" | "telinit", ["0"]) => Some(Power::Off),
        ("shutdown", ["-r" | "--reboot", when @ ..]) if !when.is_empty() && at_once(when) => Some(Power::Cycle),
        ("shutdown", ["-h" | "-P" | "-H" | "--poweroff" | "--halt", when @ ..]) if !when.is_empty() && at_once(when) => {
            Some(Power::Off)
        }
        ("shutdown", ["now" | "+0"]) => Some(Power::Off),
        ("systemctl", ["reboot"]) => Some(Power::Cycle),
        ("systemctl", ["poweroff" | "halt"]) => Some(Power::Off),
        _ => None,
    }
}

fn refused(host: &str, name: &str, args: &[&str], instead: &str) -> Printed {
    let line = [&[name], args].concat().join(" ");
    let instead = match instead {
        "" => format!("`reboot` and `poweroff` act on {host}; so do `lab power off {host}` and `lab power on {host}`"),
        instead => instead.to_string(),
    };
    Printed::fail(
        1,
        format!("lab: `{line}` is not run: it would act on this machine, not on the pretended {host}\n  instead: {instead}\n"),
    )
}

fn reboot(folder: &Folder, host: &str) -> io::Result<String> {
    let off = folder.power_off(host)?;
    folder.with(|lab| lab.pass(BOOT_TIME))?;
    Ok(format!("{off}\n{}", folder.power_on(host)?))
}

impl Folder {
    /// Switches a Dom0 off, as by its plug, and says what that did.
    pub fn power_off(&self, host: &str) -> io::Result<String> {
        self.with(|lab| {
            let ran: Vec<String> = lab.with(|f| running(f, host));
            lab.perform(&Deed::PowerOff(host.to_string()), None);
            let ended = match ran.as_slice() {
                [] => "no domU ran there".to_string(),
                domus => format!("as by a pulled plug, and so these ended: {}", domus.join(", ")),
            };
            format!("{host} is off ({ended}); `lab power on {host}` boots it")
        })
    }

    /// Boots a Dom0, and says what that did not do.
    pub fn power_on(&self, host: &str) -> io::Result<String> {
        self.with(|lab: &Lab| lab.perform(&Deed::Boot(host.to_string()), None))?;
        Ok(format!("{host} has booted; no init script was run: what starts its domUs is xen-drbd-auto start, typed there"))
    }
}

fn running(fleet: &Fleet, host: &str) -> Vec<String> {
    fleet.hosts.get(host).into_iter().flat_map(|h| &h.domains).filter(|d| d.id != 0).map(|d| d.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_plainly_about_the_power_is_done() {
        for (line, power) in [
            ("reboot", Some(Power::Cycle)),
            ("reboot -f", Some(Power::Cycle)),
            ("reboot --help", None),
            ("poweroff", Some(Power::Off)),
            ("shutdown -h now", Some(Power::Off)),
            ("shutdown -r now", Some(Power::Cycle)),
            ("shutdown now", Some(Power::Off)),
            ("shutdown -h", None),
            ("shutdown -c", None),
            ("shutdown +5", None),
            ("init 6", Some(Power::Cycle)),
            ("init 1", None),
            ("systemctl reboot", Some(Power::Cycle)),
            ("systemctl stop ssh", None),
            ("pkill -P 7 ssh", None),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(meant(words[0], &words[1..]), power, "{line}");
        }
    }
}
