//! Domains: their life, their disks, and the record of a migration.

use super::domu_file::{DomuFile, behind};
use super::{Fleet, Millis, Pid, Quirk};
use crate::core::drbd::Role;
use serde::{Deserialize, Serialize};

/// One domain on one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Domain {
    /// Its name; `(null)` for a zombie.
    pub name: String,
    /// Its id on this host.
    pub id: u32,
    /// The toolstack's uuid of this domain; it goes along when the domain migrates.
    pub uuid: String,
    /// Which guest this is: the name in its config, whatever the domain is called now.
    pub guest: String,
    /// Memory in MiB that it has now.
    pub memory: u64,
    /// What it lives on.
    pub life: Life,
    /// Paused by the toolstack.
    pub paused: bool,
    /// All its memory is here and its devices are made.
    pub complete: bool,
    /// Its disks.
    pub disks: Vec<DomDisk>,
    /// Its config as the toolstack keeps it.
    pub config: DomuFile,
    /// The last beat that it wrote, as its memory has it.
    pub beat: u64,
    /// How long it has run, for `Time(s)`.
    pub ran: Millis,
    /// When it was made.
    pub since: Millis,
}

/// What a domain lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Its processors may run.
    Running,
    /// It has shut down; the letter is the reason as `xl list` has it (`-` power off, `r`, `s` suspend, `c` crash).
    Shutdown(char),
    /// It is being torn down.
    Dying,
}

/// One disk of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomDisk {
    /// The virtual device, `xvda`.
    pub vdev: String,
    /// A path, or a resource for a script.
    pub target: String,
    /// The hotplug script's base name, where it is not the plain one.
    pub script: Option<String>,
    /// A cdrom drive.
    pub cdrom: bool,
    /// Not read-only.
    pub writable: bool,
    /// The xenbus state of its backend: 4 connected, 6 closed; 0 not made yet.
    pub state: u32,
    /// The backend has the DRBD device open.
    pub open: bool,
}

/// One run of `xl migrate` (or `xm migrate`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Migration {
    /// The guest.
    pub guest: String,
    /// The domain's name.
    pub name: String,
    /// Its id at the sender.
    pub domid: u32,
    /// The sender.
    pub from: String,
    /// The target, once its receiver answered.
    pub to: Option<String>,
    /// The copy's id at the target.
    pub incoming: Option<u32>,
    /// How far it is.
    pub stage: Stage,
    /// The sender's process.
    pub sender: Pid,
    /// The process that called it.
    pub watcher: Pid,
    /// The target's process.
    pub receiver: Option<Pid>,
    /// `xl migrate -p`.
    pub stay_paused: bool,
    /// The sender's xl no longer exists (killed, or its host is off).
    pub sender_gone: bool,
    /// The sender's host is off.
    pub sender_off: bool,
    /// The target's xl no longer exists.
    pub target_gone: bool,
    /// The target's host is off.
    pub target_off: bool,
    /// The transport was ended on purpose.
    pub transport_ended: bool,
    /// The sender's copy is called `--migratedaway` now.
    pub renamed: bool,
    /// What the sender has to do with its copy.
    pub verdict: Option<Verdict>,
    /// It is over since then.
    pub ended: Option<Millis>,
    /// The sender's seconds until a silent transport gives up (ssh's `ServerAliveInterval`), if ever.
    pub patience: Option<Millis>,
    /// How the target's half ended.
    pub target_end: Option<TargetEnd>,
    /// migrate2 stands between the two ends: what one says can be swallowed by nobody else.
    pub relayed: bool,
    /// The receiver has read the whole stream.
    pub complete: bool,
    /// The receiver may say that it is ready.
    pub ready: bool,
}

/// How the target's half of a migration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetEnd {
    /// With this exit code.
    Exit(i32),
    /// It was killed.
    Killed,
    /// It waits for ever for a sender that is not heard any more.
    Hangs,
}

/// The stages of `xl migrate`, each a moment at which something can happen (facts 2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// The transport is being started.
    Connect,
    /// The target said its banner; the config is on its way.
    Banner,
    /// `NAME--incoming` exists at the target.
    Incoming,
    /// So many percent of the memory are copied.
    Memory(u8),
    /// The guest is suspended at the sender.
    Suspended,
    /// All memory is at the target; its disks are about to be attached.
    Received,
    /// The target is ready to unpause.
    Ready,
    /// The sender's copy is called `NAME--migratedaway`.
    Renamed,
    /// "domain is yours, you are cleared to unpause" is on its way.
    Go,
    /// The target's copy is called `NAME`.
    TargetRenamed,
    /// The target's copy runs.
    Unpaused,
    /// The sender has read the target's report.
    Reported,
    /// The sender's copy is gone.
    Destroyed,
}

/// What the sender has to do with its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The guest did not suspend: it goes on.
    NotSuspended,
    /// The target or the transport failed before GO: resume. The words tell what was being read.
    Resume(String),
    /// The target reported a failure with this code and granted the resume.
    TargetFailed(i32),
    /// The report never came.
    Undefined,
    /// The target runs it.
    Success,
}

/// Why a domain could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotMade {
    /// A domain of that name is here.
    NameTaken,
    /// Too little memory.
    NoMemory,
}

/// Which disk could not be attached, and by which script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAttached {
    /// `block-drbd` or `block`.
    pub script: String,
    /// The path that is not there, where that was the reason.
    pub missing: Option<String>,
}

impl Domain {
    /// The six letters of `xl list`.
    pub fn letters(&self) -> String {
        let running = self.life == Life::Running && !self.paused && self.complete;
        let (s, why) = match self.life {
            Life::Shutdown(why) => ('s', why),
            _ => ('-', '-'),
        };
        let blocked = if running { 'b' } else { '-' };
        let paused = if self.paused { 'p' } else { '-' };
        let dying = if self.life == Life::Dying { 'd' } else { '-' };
        format!("-{blocked}{paused}{s}{why}{dying}")
    }

    /// Its processors execute.
    pub fn executes(&self) -> bool {
        self.life == Life::Running && !self.paused && self.complete
    }
}

impl Migration {
    /// One that begins.
    pub fn new(domain: &Domain, from: &str, sender: Pid, watcher: Pid) -> Migration {
        Migration {
            guest: domain.guest.clone(),
            name: domain.name.clone(),
            domid: domain.id,
            from: from.to_string(),
            to: None,
            incoming: None,
            stage: Stage::Connect,
            sender,
            watcher,
            receiver: None,
            stay_paused: false,
            sender_gone: false,
            sender_off: false,
            target_gone: false,
            target_off: false,
            transport_ended: false,
            renamed: false,
            verdict: None,
            ended: None,
            patience: None,
            target_end: None,
            relayed: false,
            complete: false,
            ready: false,
        }
    }

    /// It is in progress.
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    pub(super) fn host_died(&mut self, host: &str) {
        if !self.is_running() {
            return;
        }
        if self.from == host {
            self.sender_off = true;
            self.sender_gone = true;
        }
        if self.to.as_deref() == Some(host) {
            self.target_off = true;
            self.target_gone = true;
        }
    }
}

impl Fleet {
    /// Makes a domain, without its disks.
    pub fn make_domain(&mut self, host: &str, config: &DomuFile, name: &str, uuid: Option<String>) -> Result<u32, NotMade> {
        let clock = self.clock;
        let id = self.host(host).next_domid;
        self.host_mut(host).next_domid += 1;
        if self.host(host).domain(name).is_some() {
            return Err(NotMade::NameTaken);
        }
        let uuid = match uuid.or_else(|| config.uuid.clone()) {
            Some(uuid) => uuid,
            None => self.fresh_uuid(),
        };
        if self.host(host).free_memory() < config.memory {
            return Err(NotMade::NoMemory);
        }
        self.host_mut(host).domains.push(Domain {
            name: name.to_string(),
            id,
            uuid,
            guest: config.name.clone(),
            memory: config.memory,
            life: Life::Running,
            paused: true,
            complete: false,
            disks: config.disks.clone(),
            config: config.clone(),
            beat: 0,
            ran: 0,
            since: clock,
        });
        Ok(id)
    }

    /// Attaches a domain's disks as the hotplug scripts and the block backend do it (facts 5; claim experiments of DRBD 9, 12 to 15).
    pub fn attach_disks(&mut self, host: &str, id: u32) -> Result<(), NotAttached> {
        let count = self.host_mut(host).domain_by_id(id).map_or(0, |d| d.disks.len());
        for at in 0..count {
            let Some(disk) = self.host_mut(host).domain_by_id(id).and_then(|d| d.disks.get(at).cloned()) else {
                break;
            };
            let state = self.attach(host, id, &disk)?;
            if let Some(domain) = self.host_mut(host).domain_by_id(id) {
                domain.disks[at].state = state.0;
                domain.disks[at].open = state.1;
            }
        }
        Ok(())
    }

    fn attach(&mut self, host: &str, id: u32, disk: &DomDisk) -> Result<(u32, bool), NotAttached> {
        let script = disk.script.clone().unwrap_or_else(|| "block".to_string());
        let fail = |script: &str| NotAttached { script: script.to_string(), missing: None };
        let found = behind(disk, &self.resources).filter(|(r, _)| self.replica(host, r).is_some());
        let Some((resource, _)) = found else {
            return if script == "block-drbd" { Err(fail(&script)) } else { Ok((4, false)) };
        };
        if script == "block-drbd" {
            if let Err(refusal) = self.promote(host, &resource, false, true) {
                let line = format!("{resource}: State change failed: ({}) {}", refusal.number(), refusal.text());
                self.host_mut(host).hotplug_log.push(line);
                return Err(fail(&script));
            }
        } else if !self.replica(host, &resource).is_some_and(|r| r.up) {
            return Err(NotAttached { script, missing: Some(disk.target.clone()) });
        }
        // The scripts refuse a device that another guest of this host has.
        let taken = self.replica(host, &resource).is_some_and(|r| r.openers.iter().any(|o| *o != id));
        if taken && self.resource(&resource).is_some_and(|r| r.volumes.len() == 1) {
            return Err(fail(&script));
        }
        let open = self.open_device(host, &resource, id);
        Ok((if open { 4 } else { 6 }, open))
    }

    /// Takes a domain away: backends close, then the scripts clean up. A failing `block-drbd remove` leaves the resource Primary.
    pub fn remove_domain(&mut self, host: &str, id: u32) {
        let Some(at) = self.host(host).domains.iter().position(|d| d.id == id) else {
            return;
        };
        let guest = self.host(host).domains[at].guest.clone();
        if self.has_quirk(&Quirk::Zombie(guest)) {
            let domain = &mut self.host_mut(host).domains[at];
            domain.name = "(null)".to_string();
            domain.memory = 0;
            domain.paused = true;
            domain.life = Life::Dying;
            self.log(format!("{host}: domain {id} does not go away"));
            return;
        }
        let domain = self.host_mut(host).domains.remove(at);
        self.release_disks(host, &domain);
        self.log(format!("{host}: domain {} ({id}) is gone", domain.name));
    }

    /// Closes a domain's disks, and runs `block-drbd remove` for those that have it.
    pub fn release_disks(&mut self, host: &str, domain: &Domain) {
        for disk in &domain.disks {
            let Some((resource, _)) = behind(disk, &self.resources) else {
                continue;
            };
            if disk.open {
                self.close_device(host, &resource, domain.id);
            }
        }
        for disk in &domain.disks {
            let Some((resource, _)) = behind(disk, &self.resources) else {
                continue;
            };
            if disk.script.as_deref() != Some("block-drbd") || disk.state == 0 {
                continue;
            }
            if self.has_quirk(&Quirk::NoRemove(host.to_string(), resource.clone())) {
                self.log(format!("{host}: block-drbd remove of {resource} failed"));
                continue;
            }
            if self.replica(host, &resource).is_some_and(|r| r.role == Role::Primary)
                && let Err(refusal) = self.demote(host, &resource)
            {
                let line = format!("{resource}: State change failed: ({}) {}", refusal.number(), refusal.text());
                self.host_mut(host).hotplug_log.push(line);
            }
        }
    }

    /// Gives a domain another name. False where the name is taken.
    pub fn rename_domain(&mut self, host: &str, id: u32, name: &str) -> bool {
        if self.host(host).domain(name).is_some_and(|d| d.id != id) {
            return false;
        }
        if let Some(domain) = self.host_mut(host).domain_by_id(id) {
            domain.name = name.to_string();
        }
        true
    }

    /// The resources of a domain's disks.
    pub fn resources_of_domain(&self, domain: &Domain) -> Vec<String> {
        let mut names: Vec<String> = domain.disks.iter().filter_map(|d| behind(d, &self.resources)).map(|(r, _)| r).collect();
        names.dedup();
        names
    }

    /// A guest reboots wherever it executes: its domain goes, with all that its disks' scripts do, and another one comes, with the next id.
    pub fn reboot_guest(&mut self, guest: &str) {
        let reboots = |d: &&Domain| d.guest == guest && d.complete && d.executes();
        let those: Vec<(String, Domain)> = self
            .hosts
            .values()
            .flat_map(|host| host.domains.iter().filter(reboots).map(|d| (host.name.clone(), d.clone())))
            .collect();
        for (host, before) in those {
            self.remove_domain(&host, before.id);
            let Ok(id) = self.make_domain(&host, &before.config, &before.name, Some(before.uuid)) else { continue };
            if self.attach_disks(&host, id).is_err() {
                self.remove_domain(&host, id);
                continue;
            }
            if let Some(domain) = self.host_mut(&host).domain_by_id(id) {
                (domain.complete, domain.paused, domain.beat) = (true, false, before.beat);
            }
            self.log(format!("{host}: {guest} reboots (id {} -> {id})", before.id));
        }
    }

    /// A domain whose guest shut itself down goes away, as `on_poweroff=destroy` has it.
    pub(super) fn reap(&mut self) {
        let mut gone = Vec::new();
        for host in self.hosts.values() {
            for domain in &host.domains {
                if matches!(domain.life, Life::Shutdown('-')) && !self.migrating(&host.name, domain.id) {
                    gone.push((host.name.clone(), domain.id));
                }
            }
        }
        for (host, id) in gone {
            self.remove_domain(&host, id);
        }
    }

    fn migrating(&self, host: &str, id: u32) -> bool {
        self.migrations.iter().any(|m| m.is_running() && m.from == host && m.domid == id)
    }
}
