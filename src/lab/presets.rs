//! Fleets that are ready to use, and the words to build others.

use super::Lab;
use super::model::{Conf, Host, PeerLink, Replica, Resource, Version, VolumeConf};
use super::programs::{Ctx, run};
use crate::core::drbd::Generation;
use crate::core::xen::Toolstack;

/// How a domU's config names its DRBD disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskForm {
    /// `drbd:web`, by `block-drbd`.
    Script,
    /// `phy:/dev/drbd1`.
    Phy,
}

impl DiskForm {
    /// The disk line for a resource with this minor.
    pub fn line(self, resource: &str, minor: u32, vdev: &str) -> String {
        match self {
            DiskForm::Script => format!("drbd:{resource},{vdev},w"),
            DiskForm::Phy => format!("phy:/dev/drbd{minor},{vdev},w"),
        }
    }
}

impl Lab {
    /// Two Dom0s, `dom0-alpha` and `dom0-beta`, and the domU `web` on the resource `web` (minor 1), running on alpha.
    ///
    /// Alpha is web's home: its table sends web to beta. Each has the other's dedicated key; no general root ssh.
    pub fn pair(generation: Generation, toolstack: Toolstack, form: DiskForm) -> Lab {
        let lab = Lab::new(1);
        lab.host("dom0-alpha", generation, toolstack);
        lab.host("dom0-beta", generation, toolstack);
        lab.resource("web", 1, &["dom0-alpha", "dom0-beta"]);
        lab.domu("web", 512, &[&form.line("web", 1, "xvda")], &["dom0-alpha", "dom0-beta"]);
        lab.put("dom0-alpha", "/etc/xen/migrate-tab.txt", "# <domu_name>  <host_name>  <options>\nweb  dom0-beta  --live\n");
        lab.put("dom0-beta", "/etc/xen/migrate-tab.txt", "# <domu_name>  <host_name>  <options>\n");
        lab.introduce();
        lab.start("dom0-alpha", "web");
        lab
    }

    /// Three Dom0s on DRBD 8.4; alpha is home of these domUs, and each runs there and has its replica on the partner named with it.
    /// `seed` is for the dice, `memory` in MiB.
    pub fn home_of(seed: u64, memory: u64, domus: &[(&str, &str)]) -> Lab {
        let lab = Lab::new(seed);
        let home = "dom0-alpha";
        for host in [home, "dom0-beta", "dom0-gamma"] {
            lab.host(host, Generation::V84, Toolstack::Xl);
        }
        let mut table = String::new();
        for (n, (domu, partner)) in domus.iter().enumerate() {
            let minor = n as u32 + 1;
            lab.resource(domu, minor, &[home, partner]);
            lab.domu(domu, memory, &[&DiskForm::Script.line(domu, minor, "xvda")], &[home, partner]);
            table += &format!("{domu}  {partner}  --live\n");
        }
        lab.put(home, "/etc/xen/migrate-tab.txt", &table);
        lab.introduce();
        domus.iter().for_each(|(domu, _)| lab.start(home, domu));
        lab
    }

    /// The article's three Dom0s with eight domUs: alpha is home of four, beta of two, gamma of two; all of them run at home.
    pub fn article() -> Lab {
        Lab::article_of(Generation::V84, Toolstack::Xl, DiskForm::Script)
    }

    /// The same with another DRBD, toolstack or kind of disk line.
    pub fn article_of(generation: Generation, toolstack: Toolstack, form: DiskForm) -> Lab {
        let lab = Lab::new(7);
        let hosts = ["dom0-alpha", "dom0-beta", "dom0-gamma"];
        for host in hosts {
            lab.host(host, generation, toolstack);
        }
        let domus = [
            ("my-domu-1", 0, 1),
            ("my-domu-2", 0, 1),
            ("my-domu-3", 0, 2),
            ("my-domu-4", 0, 2),
            ("my-domu-5", 1, 0),
            ("my-domu-6", 1, 2),
            ("my-domu-7", 2, 0),
            ("my-domu-8", 2, 1),
        ];
        let mut tables = ["# <domu_name>  <host_name>  <options>\n".to_string(), String::new(), String::new()];
        for (n, (name, home, peer)) in domus.iter().enumerate() {
            let pair = [hosts[*home], hosts[*peer]];
            let minor = n as u32 + 1;
            lab.resource(name, minor, &pair);
            lab.domu(name, 512, &[&form.line(name, minor, "xvda")], &pair);
            tables[*home] += &format!("{name}       {}      --live\n", hosts[*peer]);
        }
        for (host, table) in hosts.iter().zip(&tables) {
            lab.put(host, "/etc/xen/migrate-tab.txt", table);
        }
        lab.introduce();
        for (name, home, _) in domus {
            lab.start(hosts[home], name);
        }
        lab
    }

    /// Adds a Dom0.
    pub fn host(&self, name: &str, generation: Generation, toolstack: Toolstack) {
        self.with(|f| {
            let mut host = Host::new(name, f.hosts.len() + 1);
            host.drbd = generation;
            if toolstack == Toolstack::Xm {
                host.xl = None;
                host.xm = Some(Version::new(4, 1));
            }
            if generation == Generation::V83 {
                host.utils = Version::new(8, 3);
            }
            f.hosts.insert(name.to_string(), host);
        });
        self.put(name, "/etc/drbd.conf", "include \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n");
        self.put(name, "/etc/xen/drbd-auto/.keep", "");
        if self.with(|f| f.host(name).utils < Version::new(9, 31)) {
            self.put(name, "/etc/xen/scripts/block-drbd", "#!/bin/bash\n");
        }
        if generation == Generation::V84 {
            self.put(name, "/sys/module/drbd/parameters/disable_sendpage", "Y\n");
        }
    }

    /// Adds a resource with one volume between some hosts: Secondary everywhere, connected, up to date.
    pub fn resource(&self, name: &str, minor: u32, hosts: &[&str]) {
        self.resource_of(name, &[minor], hosts, Conf::default());
    }

    /// The same with several volumes and options in the file.
    pub fn resource_of(&self, name: &str, minors: &[u32], hosts: &[&str], conf: Conf) {
        self.with(|f| {
            let generation = f.fresh_generation();
            let volumes: Vec<VolumeConf> = minors
                .iter()
                .enumerate()
                .map(|(n, minor)| VolumeConf {
                    number: n as u32,
                    minor: *minor,
                    device: format!("/dev/drbd{minor}"),
                    disk: if n == 0 { format!("/dev/vg0/{name}") } else { format!("/dev/vg0/{name}-{n}") },
                })
                .collect();
            let mut resource = Resource {
                name: name.to_string(),
                implicit: volumes.len() == 1,
                port: 7788 + f.resources.len() as u16,
                sync_takes: 3000,
                on: Default::default(),
                volumes,
            };
            let count = resource.volumes.len();
            for (node, host) in hosts.iter().enumerate() {
                let mut replica = Replica::new(node as u32, conf.clone(), count, generation);
                for peer in hosts.iter().filter(|p| *p != host) {
                    replica.peers.insert((*peer).to_string(), PeerLink::new(count));
                }
                resource.on.insert((*host).to_string(), replica);
            }
            f.resources.push(resource);
            for host in hosts {
                f.drbd_up(host, name);
            }
        });
    }

    /// Changes what the operator's file says on every host, and makes it so.
    pub fn configure(&self, resource: &str, change: impl Fn(&mut Conf)) {
        self.with(|f| {
            if let Some(resource) = f.resource_mut(resource) {
                for replica in resource.on.values_mut() {
                    change(&mut replica.configured);
                    replica.options = replica.configured.clone();
                }
            }
        });
    }

    /// Writes a domU's config on some hosts: `/etc/xen/NAME.cfg`, and a copy in `/etc/xen/drbd-auto` of the first, its home.
    pub fn domu(&self, name: &str, memory: u64, disks: &[&str], hosts: &[&str]) {
        let disks: Vec<String> = disks.iter().map(|d| format!("'{d}'")).collect();
        let text = format!(
            "name    = \"{name}\"\ntype    = \"pvh\"\nkernel  = \"/root/domu/vmlinuz\"\nmemory  = {memory}\nvcpus   = 1\nvif     = [ 'bridge=xenbr0' ]\ndisk    = [ {} ]\n",
            disks.join(", ")
        );
        for host in hosts {
            self.put(host, &format!("/etc/xen/{name}.cfg"), &text);
        }
        if let Some(home) = hosts.first() {
            self.put(home, &format!("/etc/xen/drbd-auto/{name}.cfg"), &text);
        }
    }

    /// Gives every Dom0 its dedicated key and puts the public half into every other's authorized_keys, as the article has it.
    pub fn introduce(&self) {
        let hosts: Vec<String> = self.with(|f| f.hosts.keys().cloned().collect());
        for host in &hosts {
            let key = format!("/root/.ssh/xen-migrate-{host}");
            if self.file(host, &key).is_none() {
                let argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &key].map(str::to_string);
                run(&Ctx::new(self, host, 0, None), &argv);
            }
        }
        for host in &hosts {
            for peer in hosts.iter().filter(|p| *p != host) {
                self.trust(host, peer);
            }
        }
    }

    /// Lets `peer` use its dedicated key on `host`.
    pub fn trust(&self, host: &str, peer: &str) {
        let public = self.file(peer, &format!("/root/.ssh/xen-migrate-{peer}.pub")).unwrap_or_default();
        let address = self.with(|f| f.host(peer).address.clone());
        let line = format!("from=\"{address}\",restrict,command=\"/usr/local/bin/xen-migrate migrate2\" {public}");
        let before = self.file(host, "/root/.ssh/authorized_keys").unwrap_or_default();
        self.put(host, "/root/.ssh/authorized_keys", &format!("{before}{line}"));
    }

    /// Starts a domU as a person would who knows that nothing runs it: promotes what its config needs, and creates it.
    pub fn start(&self, host: &str, name: &str) {
        let toolstack = if self.with(|f| f.host(host).xl.is_some()) { "xl" } else { "xm" };
        let phy = self.file(host, &format!("/etc/xen/{name}.cfg")).is_some_and(|t| t.contains("phy:"));
        if phy && self.with(|f| f.host(host).drbd != Generation::V9) {
            for resource in self.with(|f| f.resources_of(host)).iter().filter(|r| r.as_str() == name) {
                self.run(host, &["drbdadm", "primary", resource]);
            }
        }
        let ran = self.run(host, &[toolstack, "create", &format!("/etc/xen/{name}.cfg")]);
        assert_eq!(ran.code, 0, "{}: {name} does not start: {}", host, ran.err);
    }
}
