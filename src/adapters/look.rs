//! Looking: everything that concerns one domU on this Dom0, as an [`End`].
//!
//! [`ground`] (and [`ground_for_a_start`], with less) asks for what is the same for all domUs (one call of each tool); [`Ground::end`] picks one domU out of it and asks for
//! what is its alone. What could not be seen of DRBD goes into `unseen`; without the list of domains or the record there is no look.

use super::drbd::{self, DrbdError};
use super::here::{self, HereError};
use super::store::{self, StoreError, TableFile};
use super::xen::{self, Which, XenError};
use super::{Call, CallError, Output, World};
use crate::core::config::{self, DrbdUse, Promotion};
use crate::core::drbd::{Configured, Generation, Options, Replica, Role};
use crate::core::facts::*;
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::Record;
use crate::core::xen::{Domain, DomainDisk, Toolstack};
use sha2::{Digest, Sha256};
use std::path::Path;
use thiserror::Error;

/// Why nothing could be looked at.
#[derive(Debug, Error)]
pub enum LookError {
    /// Not even our own name.
    #[error(transparent)]
    Here(#[from] HereError),
    /// Not the domains.
    #[error(transparent)]
    Xen(#[from] XenError),
    /// Not the record or the table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is the same for all domUs of this Dom0.
#[derive(Debug, Clone)]
pub struct Ground {
    /// `uname -n`.
    pub host: HostName,
    /// `hostname -f`.
    pub fqdn: String,
    /// Which toolstack manages domains.
    pub toolstack: Toolstack,
    /// What it says of the host.
    pub info: xen::Info,
    /// Every domain.
    pub domains: Vec<Domain>,
    /// DRBD.
    pub drbd: DrbdGround,
    /// Network interfaces.
    pub interfaces: Vec<String>,
    /// The table.
    pub table: TableFile,
    /// The record.
    pub record: Record,
}

/// Who we are, and which toolstack rules this host: it outlasts a look.
#[derive(Debug, Clone)]
pub struct Who {
    host: HostName,
    toolstack: Toolstack,
    info: xen::Info,
}

/// Looks at this Dom0.
pub fn ground(world: &dyn World, wanted: Option<Toolstack>) -> Result<Ground, LookError> {
    let host = here::host(world)?;
    let fqdn = here::fqdn(world, &host);
    let (table, record) = (store::table(world)?, store::record(world)?);
    let (toolstack, info) = xen::find_with_info(world, wanted)?;
    let domains = xen::domains(world, toolstack, true)?;
    let drbd = drbd_ground(world, &host);
    Ok(Ground { host, fqdn, toolstack, info, domains, drbd, interfaces: interfaces(world), table, record })
}

/// The same for a start: without the full name of this host and the domains' uuids, which only another host's questions need. Each costs a
/// program, in every round and for every domU that is claimed. So does who we are, where an earlier look has not told it.
pub fn ground_for_a_start(world: &dyn World, wanted: Option<Toolstack>, known: Option<Who>) -> Result<Ground, LookError> {
    let look = |Who { host, toolstack, info }| -> Result<Ground, LookError> {
        let (table, record) = (store::table(world)?, store::record(world)?);
        let (domains, drbd) = domains_and_drbd(world, toolstack, &host)?;
        Ok(Ground { fqdn: host.to_string(), host, toolstack, info, domains, drbd, interfaces: interfaces(world), table, record })
    };
    // A toolstack that has gone since does not list its domains either.
    if let Some(ground) = known.and_then(|who| look(who).ok()) {
        return Ok(ground);
    }
    let host = here::host(world)?;
    let (toolstack, info) = xen::find_with_info(world, wanted)?;
    look(Who { host, toolstack, info })
}

fn interfaces(world: &dyn World) -> Vec<String> {
    world.list(Path::new("/sys/class/net")).unwrap_or_default()
}

impl Ground {
    /// What the next look need not ask again.
    pub fn who(&self) -> Who {
        Who { host: self.host.clone(), toolstack: self.toolstack, info: self.info.clone() }
    }

    /// The same, with the record and DRBD looked at anew: what a deed on those alone may have changed. The domains are as they were.
    ///
    /// Within one request this saves most of the processes of a look. Whatever lets a copy run, ends one, or makes DRBD Primary needs
    /// a whole new one ([`ground`]).
    pub fn again(&self, world: &dyn World) -> Result<Ground, LookError> {
        let record = store::record(world)?;
        Ok(Ground { record, drbd: drbd_ground(world, &self.host), ..self.clone() })
    }

    /// The same, with everything looked at anew that tells whether a domU runs, and where: the record, the domains and DRBD. Who we are and
    /// which toolstack rules this host stays as it was; a toolstack that has gone since does not list its domains either.
    pub fn anew_for_a_start(&self, world: &dyn World) -> Result<Ground, LookError> {
        let record = store::record(world)?;
        let (domains, drbd) = domains_and_drbd(world, self.toolstack, &self.host)?;
        Ok(Ground {
            host: self.host.clone(),
            fqdn: self.fqdn.clone(),
            toolstack: self.toolstack,
            info: self.info.clone(),
            domains,
            drbd,
            interfaces: self.interfaces.clone(),
            table: self.table.clone(),
            record,
        })
    }
}

/// Every DRBD resource of this Dom0.
#[derive(Debug, Clone, Default)]
pub struct DrbdGround {
    /// Which DRBD answers.
    pub generation: Option<Generation>,
    /// The resources in the operator's files.
    pub configured: Vec<Configured>,
    /// The resources in the kernel.
    pub replicas: Vec<Replica>,
    /// What could not be seen, and why.
    pub unseen: Vec<String>,
}

/// Looks at DRBD alone.
pub fn drbd_ground(world: &dyn World, host: &HostName) -> DrbdGround {
    drbd_ground_beside(world, host, None).1
}

/// The domains and DRBD, asked at the same time: a start waits for all of it.
fn domains_and_drbd(world: &dyn World, toolstack: Toolstack, host: &HostName) -> Result<(Vec<Domain>, DrbdGround), XenError> {
    let call = xen::argv::list(toolstack);
    let (answer, drbd) = drbd_ground_beside(world, host, Some(call));
    let domains = answer.map_or_else(|| xen::domains(world, toolstack, false), |answer| xen::domains_told(toolstack, answer))?;
    Ok((domains, drbd))
}

/// Looks at DRBD, and asks something else at the same time: no answer waits for another one.
fn drbd_ground_beside(
    world: &dyn World,
    host: &HostName,
    other: Option<Call>,
) -> (Option<Result<Output, CallError>>, DrbdGround) {
    let mut not_seen = Vec::new();
    let mut unseen = |what: &str, error: DrbdError| not_seen.push(format!("{what}: {error}"));
    let generation = drbd::generation(world).unwrap_or_else(|e| {
        unseen("DRBD's version", e);
        None
    });
    let asked = [other, Some(drbd::argv::dump_xml()), generation.and_then(drbd::replicas_call)];
    let calls: Vec<Call> = asked.iter().flatten().cloned().collect();
    let mut answers = world.run_all(&calls, calls.len()).into_iter();
    let [other, files, kernel] = asked.map(|call| call.and_then(|_| answers.next()));
    let files = files.map_or_else(
        || drbd::configured(world, host.as_str()),
        |answer| drbd::configuration_told(host.as_str(), answer).map(|told| told.resources),
    );
    let configured = files.unwrap_or_else(|e| {
        unseen("drbd.conf", e);
        Vec::new()
    });
    let replicas = match (generation, kernel) {
        (None, _) => Ok(Vec::new()),
        (Some(generation), Some(answer)) => drbd::replicas_told(world, generation, host.as_str(), answer),
        (Some(generation), None) => drbd::replicas(world, generation, host.as_str()),
    };
    let replicas = replicas.unwrap_or_else(|e| {
        unseen("DRBD's roles", e);
        Vec::new()
    });
    (other, DrbdGround { generation, configured, replicas, unseen: not_seen })
}

/// The lock of a domU: whoever moves, settles or starts it holds it.
pub fn lock_name(domu: &DomuName) -> String {
    format!("domu-{domu}")
}

/// The lock of whoever receives a domU.
pub fn receive_lock_name(domu: &DomuName) -> String {
    format!("receive-{domu}")
}

/// Who holds a lock, as it is told to another host.
fn holder(world: &dyn World, lock: &str) -> Option<String> {
    world.lock_holder(lock).map(|holder| holder.said)
}

/// Where the config files of domUs are.
pub const CONFIG_FOLDERS: [&str; 3] = ["/etc/xen/drbd-auto", "/etc/xen/auto", "/etc/xen"];

/// What costs a program for each domain or each resource, asked once for all of them.
#[derive(Debug, Default)]
struct Once {
    longs: Vec<xen::Long>,
    shown: Option<drbd::Shown>,
}

/// A look at this Dom0 for a plan over many domUs: a handful of programs, however many they are.
#[derive(Debug)]
pub struct All {
    /// What is the same for all of them.
    pub ground: Ground,
    once: Once,
}

impl All {
    /// Everything about one domU but its block devices as the backends have them, which only a migration that has just ended needs.
    pub fn end(&self, world: &dyn World, domu: &DomuName, known: &[ResourceName]) -> Result<End, LookError> {
        self.ground.end_by(world, domu, known, false, Some(&self.once))
    }
}

impl Ground {
    /// The same ground for many domUs.
    pub fn all(self, world: &dyn World) -> All {
        // What is missing in these answers is asked for by itself: `xl list -l` leaves out what it cannot read, without a word.
        let longs = xen::long_all(world, self.toolstack).unwrap_or_default();
        let shown = self.drbd.generation.and_then(|generation| drbd::shown(world, generation));
        All { ground: self, once: Once { longs, shown } }
    }

    /// Everything about one domU. `known` are resources that somebody else knows it to have; `holding`: its lock is ours.
    pub fn end(&self, world: &dyn World, domu: &DomuName, known: &[ResourceName], holding: bool) -> Result<End, LookError> {
        self.end_by(world, domu, known, holding, None)
    }

    fn end_by(
        &self,
        world: &dyn World,
        domu: &DomuName,
        known: &[ResourceName],
        holding: bool,
        once: Option<&Once>,
    ) -> Result<End, LookError> {
        let mut unseen = self.drbd.unseen.clone();
        let mut copies = Vec::new();
        let mut disks: Vec<DiskSeen> = Vec::new();
        let mut bridges_used = Vec::new();
        for domain in &self.domains {
            let Some(called) = copy_name(domu, &domain.name) else { continue };
            let blocks = match once {
                Some(_) => None,
                None => self.blocks(world, domain, called, &mut unseen),
            };
            let mut kind = None;
            let seen = once.and_then(|once| once.longs.iter().find(|long| long.id == Some(domain.id)).cloned());
            match seen.map_or_else(|| xen::long(world, self.toolstack, Which::Id(domain.id)), Ok) {
                Ok(long) => {
                    kind = long.kind.word().map(String::from);
                    if disks.is_empty() {
                        disks = self.running_disks(&long.disks, &mut unseen);
                    }
                    bridges_used = long.bridges;
                }
                Err(error) if called == CopyName::Plain && domain.state.executes() => unseen.push(error.to_string()),
                Err(_) => {}
            }
            copies.push(CopySeen { called, domain: domain.clone(), blocks, kind });
        }

        let (config, config_disks) = self.config(world, domu);
        if copies.is_empty() {
            disks = config_disks;
        }
        let row = self.record.row(domu).cloned();
        let mut names: Vec<ResourceName> = disks.iter().filter_map(|d| d.resource.clone()).collect();
        names.extend(row.iter().flat_map(|r| r.open.iter().cloned()));
        names.extend(known.iter().cloned());
        let mut replicas: Vec<ReplicaSeen> = Vec::new();
        for name in names {
            if !replicas.iter().any(|r| r.replica.resource == name) {
                replicas.extend(self.drbd.replica_by(world, &name, once.and_then(|once| once.shown.as_ref())));
            }
        }

        let caps = self.info.virt_caps.as_ref();
        Ok(End {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_string(),
            host: self.host.clone(),
            fqdn: self.fqdn.clone(),
            domu: domu.clone(),
            toolstack: self.toolstack,
            xen: self.info.xen.clone(),
            pv_live: caps.map(|caps| caps.iter().any(|c| c == "shadow")),
            free_memory: self.info.free_memory_mib.unwrap_or(0),
            copies,
            nameless: self.domains.iter().filter(|d| d.name == "(null)").count() as u32,
            disks,
            replicas,
            generation: self.drbd.generation,
            config,
            bridges_used,
            interfaces: self.interfaces.clone(),
            row,
            listed: self.table.table.entry(domu).map(|e| e.hosts.clone()),
            busy: if holding { None } else { holder(world, &lock_name(domu)) },
            receiving: holder(world, &receive_lock_name(domu)),
            unseen,
        })
    }

    fn blocks(
        &self,
        world: &dyn World,
        domain: &Domain,
        called: CopyName,
        unseen: &mut Vec<String>,
    ) -> Option<Vec<crate::core::xen::BlockDevice>> {
        match xen::block_devices(world, self.toolstack, domain.id) {
            Ok(blocks) => Some(blocks),
            Err(error) => {
                if called == CopyName::Plain && !matches!(error, XenError::UnknownDomain { .. }) {
                    unseen.push(error.to_string());
                }
                None
            }
        }
    }

    /// Something here speaks of a domU of that name: a row, a domain under any of its names, a config file.
    pub fn knows(&self, world: &dyn World, domu: &DomuName) -> bool {
        let table = &self.table.table;
        table.entry(domu).is_some()
            || table.faulty_line(domu).is_some()
            || self.record.row(domu).is_some()
            || self.domains.iter().any(|d| copy_name(domu, &d.name).is_some())
            || self.config(world, domu).0.is_some()
    }

    /// The disks of a running domain.
    fn running_disks(&self, disks: &[DomainDisk], unseen: &mut Vec<String>) -> Vec<DiskSeen> {
        disks
            .iter()
            .map(|disk| {
                let (used, promotion) = config::of_running_disk(disk).unwrap_or_else(|misfit| {
                    unseen.push(format!("disk {} ({}): {}", disk.vdev, disk.target, misfit.what));
                    (DrbdUse::Plain(disk.target.clone()), Promotion::Nobody)
                });
                let seen = (disk.vdev.clone(), disk.target.clone(), disk.writable, disk.cdrom);
                self.disk(seen, &used, promotion, unseen)
            })
            .collect()
    }

    /// A disk of a config whose words are understood.
    pub fn planned_disk(&self, planned: &config::DiskUse<'_>) -> DiskSeen {
        let disk = planned.disk;
        let seen = (disk.vdev.clone(), disk.target.clone(), disk.writable, disk.cdrom);
        self.disk(seen, &planned.used, planned.promotion, &mut Vec::new())
    }

    fn disk(
        &self,
        seen: (String, String, bool, bool),
        used: &DrbdUse,
        promotion: Promotion,
        unseen: &mut Vec<String>,
    ) -> DiskSeen {
        let (vdev, target, writable, cdrom) = seen;
        let resource = config::resolve(used, &self.drbd.configured).unwrap_or_else(|why| {
            // Where drbd.conf could not be read, that is what is said.
            if self.drbd.unseen.is_empty() {
                unseen.push(format!("disk {vdev} ({target}): {why}"));
            }
            None
        });
        let promoter = match promotion {
            Promotion::Script => Promoter::Script,
            Promotion::Nobody if self.promotes_itself(resource.as_ref()) => Promoter::Opening,
            Promotion::Nobody => Promoter::Nobody,
        };
        DiskSeen { vdev, target, resource, promoter, writable, cdrom }
    }

    /// DRBD 9 promotes when the device is opened, unless the file forbids it.
    fn promotes_itself(&self, resource: Option<&ResourceName>) -> bool {
        self.drbd.generation == Some(Generation::V9)
            && resource.is_some_and(|r| self.drbd.configured.iter().any(|c| &c.resource == r && c.auto_promote))
    }

    /// The file that defines the domU, and the disks in it. Files that are not understood are passed over: they define nothing.
    pub fn config(&self, world: &dyn World, domu: &DomuName) -> (Option<ConfigSeen>, Vec<DiskSeen>) {
        let mut broken: Option<ConfigSeen> = None;
        for folder in CONFIG_FOLDERS {
            let names = world.list(Path::new(folder)).unwrap_or_default();
            for name in names.iter().filter(|n| config::is_config_file_name(n)) {
                // The folder of all configs holds much else.
                if folder == "/etc/xen" && !(name == domu.as_str() || name.ends_with(".cfg") || name.ends_with(".conf")) {
                    continue;
                }
                let path = format!("{folder}/{name}");
                // One that goes by the domU's name is its config all the same; of others nobody knows whose they are.
                let mut passed_over = |why: String| {
                    let stem = name.strip_suffix(".cfg").or_else(|| name.strip_suffix(".conf")).unwrap_or(name);
                    if stem == domu.as_str() && broken.is_none() {
                        broken = Some(ConfigSeen { path: path.clone(), digest: String::new(), trouble: Some(why) });
                    }
                };
                let bytes = match world.read(Path::new(&path)) {
                    Ok(bytes) => bytes,
                    Err(why) => {
                        passed_over(why.to_string());
                        continue;
                    }
                };
                let read = match config::read(name, &bytes, self.toolstack) {
                    Ok(read) => read,
                    Err(faults) => {
                        passed_over(faults.first().map_or("it has a fault".to_string(), |fault| format!("line {fault}")));
                        continue;
                    }
                };
                if read.name != domu.as_str() {
                    continue;
                }
                let digest = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
                // What is wrong with a disk of a file matters when it is started, not when another end is looked at.
                let mut ignored = Vec::new();
                let disks = read
                    .disks
                    .iter()
                    .filter_map(|disk| {
                        let used = disk.drbd_use().ok()?;
                        let seen = (disk.vdev.clone(), disk.target.clone(), disk.writable, disk.cdrom);
                        Some(self.disk(seen, &used, disk.promotion(), &mut ignored))
                    })
                    .collect();
                return (Some(ConfigSeen { path, digest, trouble: None }), disks);
            }
        }
        (broken, Vec::new())
    }
}

impl DrbdGround {
    /// A resource as the kernel and the file have it; `None` where the file does not know it.
    pub fn replica(&self, world: &dyn World, name: &ResourceName) -> Option<ReplicaSeen> {
        self.replica_by(world, name, None)
    }

    fn replica_by(&self, world: &dyn World, name: &ResourceName, shown: Option<&drbd::Shown>) -> Option<ReplicaSeen> {
        let seen = self.replica_without_options(name)?;
        let options = match self.generation {
            Some(generation) if seen.replica.is_up() => {
                let configured = &seen.configured;
                let minors: Vec<u32> = configured.volumes.iter().map(|v| v.minor).collect();
                let told = shown.and_then(|shown| shown.options(name));
                match told.unwrap_or_else(|| drbd::running_options(world, generation, name, &minors)) {
                    Ok(options) => Some(options),
                    // What 8.4 dropped with the connection it reads from the file when it connects.
                    Err(DrbdError::NoConnection { fencing, .. }) => {
                        Some(Options { two_primaries: configured.options.two_primaries, fencing })
                    }
                    Err(_) => None,
                }
            }
            _ => None,
        };
        Some(ReplicaSeen { options, ..seen })
    }

    /// Why none of the operator's files could be read, where that may be so: then what they say of a disk is not known.
    pub fn files_unseen(&self) -> Option<String> {
        (self.configured.is_empty() && !self.unseen.is_empty()).then(|| self.unseen.join("; "))
    }

    /// A resource as the operator's files have it.
    pub fn file(&self, name: &ResourceName) -> Option<&Configured> {
        self.configured.iter().find(|c| &c.resource == name)
    }

    /// The same from what was seen already, without asking for the options in force.
    pub fn replica_without_options(&self, name: &ResourceName) -> Option<ReplicaSeen> {
        let configured = self.file(name)?.clone();
        let down = || Replica {
            resource: name.clone(),
            role: Role::Unknown,
            volumes: vec![],
            peers: vec![],
            may_promote: None,
            strange: None,
        };
        let replica = self.replicas.iter().find(|r| &r.resource == name).cloned().unwrap_or_else(down);
        Some(ReplicaSeen { replica, options: None, configured })
    }
}
