//! The lab against what was measured on real hosts.

mod claims;
mod migrations;
mod others;
mod texts;
mod worlds;

use super::{DiskForm, Lab, Ran};
use crate::core::drbd::Generation;
use crate::core::xen::Toolstack;

/// Two Dom0s called as in the recordings, resource `r0` (minor 0), nothing running, two Primaries allowed in the file.
fn recorded_pair(generation: Generation, toolstack: Toolstack, form: DiskForm) -> Lab {
    let lab = Lab::new(1);
    for host in ["dom0-a", "dom0-b"] {
        lab.host(host, generation, toolstack);
        lab.with(|f| f.host_mut(host).root_ssh = true);
    }
    lab.resource("r0", 0, &["dom0-a", "dom0-b"]);
    lab.with(|f| f.resource_mut("r0").unwrap().volumes[0].disk = "/dev/vdb".into());
    lab.configure("r0", |c| c.two_primaries = true);
    lab.domu("pvh1", 128, &[&form.line("r0", 0, "xvda")], &["dom0-a", "dom0-b"]);
    lab
}

fn sh(lab: &Lab, host: &str, command: &str) -> Ran {
    let argv: Vec<&str> = command.split(' ').collect();
    lab.run(host, &argv)
}

/// A command's standard output; it must succeed.
fn out(lab: &Lab, host: &str, command: &str) -> String {
    let ran = sh(lab, host, command);
    assert_eq!(ran.code, 0, "{host}# {command}: {}{}\n{}", ran.out, ran.err, lab.journal());
    ran.out
}
