//! One Dom0: its names, what is installed, files, locks, processes; power.

use super::{Domain, Fleet, Millis, Pid};
use crate::adapters::Access;
use crate::core::drbd::Generation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A version of something, `4.17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Before the dot.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl Version {
    /// `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Version {
        Version { major, minor }
    }
}

/// One Dom0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// What `hostname` and `uname -n` say.
    pub name: String,
    /// What `hostname -f` says.
    pub fqdn: String,
    /// Its address on the network that the Dom0s share.
    pub address: String,
    /// Other names that the resolver knows.
    pub aliases: Vec<String>,
    /// The machine is on.
    pub powered: bool,
    /// How often it was switched on.
    pub boots: u32,
    /// When it was switched on last.
    pub booted_at: Millis,
    /// Xen's version where `xl` is installed.
    pub xl: Option<Version>,
    /// Xen's version where `xm` and xend are installed.
    pub xm: Option<Version>,
    /// xend answers.
    pub xend_up: bool,
    /// Which DRBD the kernel has.
    pub drbd: Generation,
    /// How many seconds its clock is ahead of the others'.
    #[serde(default)]
    pub clock_ahead: u64,
    /// The version of drbd-utils.
    pub utils: Version,
    /// `drbdadm up all` is part of booting.
    pub drbd_at_boot: bool,
    /// Memory in MiB: all that guests and Dom0 share.
    pub memory: u64,
    /// Dom0's own part of it.
    pub dom0_memory: u64,
    /// The bridges.
    pub bridges: Vec<String>,
    /// The domains, Dom0 left out, in the order of their ids.
    pub domains: Vec<Domain>,
    /// The next domain id.
    pub next_domid: u32,
    /// The files that our tools and the programs read and write.
    pub files: Files,
    /// The locks that are held.
    pub locks: BTreeMap<String, Lock>,
    /// The processes that matter to the story: our tools, and `xl migrate` at both ends.
    pub processes: Vec<Process>,
    /// sshd answers.
    pub sshd: bool,
    /// Root of any other Dom0 of the fleet may log in here with its ordinary key.
    pub root_ssh: bool,
    /// What our tools wrote into the system's log.
    pub syslog: Vec<String>,
    /// `/var/log/xen/xen-hotplug.log`: why a block script failed.
    pub hotplug_log: Vec<String>,
}

/// The files of one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Files {
    /// In the model itself: path to text and mode.
    Memory(BTreeMap<String, (Vec<u8>, u32)>),
    /// Below a real folder.
    Folder(PathBuf),
}

/// A lock that somebody holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Lock {
    /// Who: the process that took it, and a child that inherited it.
    pub holders: Vec<Pid>,
    /// What for, as whoever finds it taken is told.
    pub purpose: String,
}

/// A process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// Its command line.
    pub command: String,
    /// It exists.
    pub alive: bool,
    /// It waits for something that never comes; it keeps its locks.
    pub hung: bool,
    /// It was asked to stop (SIGTERM).
    pub stopping: bool,
    /// That was SIGINT.
    pub interrupted: bool,
    /// It was asked to look again (SIGHUP).
    #[serde(default)]
    pub reload: bool,
    /// It is asked to stop when the clock gets there.
    pub stop_at: Option<Millis>,
    /// What it reads.
    pub stdin: Stdin,
    /// The other end of its ssh connection.
    pub client: Option<String>,
}

/// What a process of the story reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin {
    /// Nothing.
    Closed,
    /// The stream of the migration with this index in [`Fleet::migrations`].
    Migration(usize),
}

impl Host {
    /// A Dom0 as most are: on, xl 4.17, DRBD 8.4 with utils 9.22, 16 GiB, one bridge.
    pub fn new(name: &str, number: usize) -> Host {
        Host {
            name: name.to_string(),
            fqdn: format!("{name}.example.org"),
            address: format!("192.0.2.{number}"),
            aliases: Vec::new(),
            powered: true,
            boots: 1,
            booted_at: 0,
            xl: Some(Version::new(4, 17)),
            xm: None,
            xend_up: true,
            drbd: Generation::V84,
            clock_ahead: 0,
            utils: Version::new(9, 22),
            drbd_at_boot: true,
            memory: 16384,
            dom0_memory: 2048,
            bridges: vec!["xenbr0".to_string()],
            domains: Vec::new(),
            next_domid: 1,
            files: Files::Memory(BTreeMap::new()),
            locks: BTreeMap::new(),
            processes: Vec::new(),
            sshd: true,
            root_ssh: false,
            syslog: Vec::new(),
            hotplug_log: Vec::new(),
        }
    }

    /// Memory in MiB that no domain has.
    pub fn free_memory(&self) -> u64 {
        let used: u64 = self.domains.iter().map(|d| d.memory).sum();
        self.memory.saturating_sub(self.dom0_memory + used)
    }

    /// A domain by its name.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|d| d.name == name)
    }

    /// A domain by its id.
    pub fn domain_by_id(&mut self, id: u32) -> Option<&mut Domain> {
        self.domains.iter_mut().find(|d| d.id == id)
    }

    /// A process by its number.
    pub fn process(&self, pid: Pid) -> Option<&Process> {
        self.processes.iter().find(|p| p.pid == pid)
    }

    /// The same, to change it.
    pub fn process_mut(&mut self, pid: Pid) -> Option<&mut Process> {
        self.processes.iter_mut().find(|p| p.pid == pid)
    }
}

impl Fleet {
    /// Starts a process.
    pub fn start_process(&mut self, host: &str, command: &str, stdin: Stdin, client: Option<String>) -> Pid {
        self.next_pid += 1;
        let pid = self.next_pid;
        self.host_mut(host).processes.push(Process {
            pid,
            command: command.to_string(),
            alive: true,
            hung: false,
            stopping: false,
            interrupted: false,
            reload: false,
            stop_at: None,
            stdin,
            client,
        });
        pid
    }

    /// Whether a process still exists (its host on, itself not ended).
    pub fn is_alive(&self, host: &str, pid: Pid) -> bool {
        let host = self.host(host);
        host.powered && host.process(pid).is_some_and(|p| p.alive)
    }

    /// Ends a process, by itself or by a signal: its locks go, unless a child holds them too.
    pub fn end_process(&mut self, host: &str, pid: Pid) {
        let host = self.host_mut(host);
        if let Some(process) = host.process_mut(pid) {
            process.alive = false;
            process.hung = false;
        }
        for lock in host.locks.values_mut() {
            lock.holders.retain(|p| *p != pid);
        }
        host.locks.retain(|_, lock| !lock.holders.is_empty());
        host.processes.retain(|p| p.alive);
    }

    /// Cuts the power: domains, locks, processes and run-time options are gone, disks and files stay.
    pub fn power_off(&mut self, name: &str) {
        if !self.host(name).powered {
            return;
        }
        self.log(format!("{name}: power off"));
        let clock = self.clock;
        let host = self.host_mut(name);
        host.powered = false;
        host.domains.clear();
        host.locks.clear();
        host.processes.clear();
        for resource in &mut self.resources {
            if let Some(replica) = resource.on.get_mut(name) {
                replica.lose_power();
            }
        }
        // To the others it is as if every link to this host were cut.
        for other in self.hosts.keys().cloned().collect::<Vec<_>>() {
            if other != name {
                self.begin_silence(name, &other, clock);
            }
        }
        for migration in &mut self.migrations {
            migration.host_died(name);
        }
    }

    /// Switches a host on: `/run` is empty, DRBD comes up as its init script brings it up.
    pub fn boot(&mut self, name: &str) {
        if self.host(name).powered {
            return;
        }
        let clock = self.clock;
        let host = self.host_mut(name);
        host.powered = true;
        host.boots += 1;
        host.booted_at = clock;
        host.next_domid = 1;
        host.files.forget_below("/run/");
        let up = host.drbd_at_boot;
        self.log(format!("{name}: booted"));
        if up {
            for resource in self.resources_of(name) {
                self.drbd_up(name, &resource);
            }
        }
        self.settle_links();
    }

    /// The names of the resources that a host's configuration has.
    pub fn resources_of(&self, host: &str) -> Vec<String> {
        self.resources.iter().filter(|r| r.on.contains_key(host)).map(|r| r.name.clone()).collect()
    }
}

impl Files {
    /// A whole file.
    pub fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        match self {
            Files::Memory(map) => map.get(path).map(|(bytes, _)| bytes.clone()).ok_or_else(not_there),
            Files::Folder(root) => std::fs::read(below(root, path)),
        }
    }

    /// Who may do what with a file.
    pub fn access(&self, path: &str) -> std::io::Result<Access> {
        let mode = match self {
            Files::Memory(map) => map.get(path).map(|(_, mode)| *mode).ok_or_else(not_there)?,
            Files::Folder(root) => std::fs::metadata(below(root, path))?.permissions().mode() & 0o7777,
        };
        Ok(Access { mode, foreign: false })
    }

    /// Changes who may.
    pub fn allow(&mut self, path: &str, mode: u32) -> std::io::Result<()> {
        match self {
            Files::Memory(map) => map.get_mut(path).map(|(_, old)| *old = mode).ok_or_else(not_there),
            Files::Folder(root) => std::fs::set_permissions(below(root, path), std::fs::Permissions::from_mode(mode)),
        }
    }

    /// A whole file as text.
    pub fn text(&self, path: &str) -> Option<String> {
        self.read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a folder, sorted.
    pub fn list(&self, folder: &str) -> std::io::Result<Vec<String>> {
        let mut names: Vec<String> = match self {
            Files::Memory(map) => {
                let prefix = format!("{}/", folder.trim_end_matches('/'));
                map.keys()
                    .filter_map(|path| path.strip_prefix(&prefix))
                    .map(|rest| rest.split('/').next().unwrap_or(rest).to_string())
                    .collect()
            }
            Files::Folder(root) => std::fs::read_dir(below(root, folder))?
                .filter_map(|entry| entry.ok().and_then(|e| e.file_name().into_string().ok()))
                .collect(),
        };
        names.sort();
        names.dedup();
        if names.is_empty() && matches!(self, Files::Memory(_)) {
            return Err(not_there());
        }
        // The marker of an empty folder is not a name in it.
        names.retain(|n| n != ".keep");
        Ok(names)
    }

    /// Puts a text in the place of a file; the mode is kept where it was there.
    pub fn write(&mut self, path: &str, text: &[u8], mode: u32) -> std::io::Result<()> {
        match self {
            Files::Memory(map) => {
                let mode = map.get(path).map_or(mode, |(_, old)| *old);
                map.insert(path.to_string(), (text.to_vec(), mode));
                Ok(())
            }
            Files::Folder(root) => {
                let path = below(root, path);
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                let new = !path.exists();
                std::fs::write(&path, text)?;
                if new { std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) } else { Ok(()) }
            }
        }
    }

    /// What the tools do: the folder must be there, except below `/run` and `/var`.
    pub fn replace(&mut self, path: &str, text: &[u8]) -> std::io::Result<()> {
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let made = folder.starts_with("/run") || folder.starts_with("/var");
        let there = match self {
            Files::Memory(map) => map.keys().any(|p| p.starts_with(&format!("{folder}/"))),
            Files::Folder(root) => below(root, folder).is_dir(),
        };
        if made || there { self.write(path, text, 0o600) } else { Err(not_there()) }
    }

    /// Takes a file away; one that is not there is no error.
    pub fn remove(&mut self, path: &str) {
        match self {
            Files::Memory(map) => {
                map.remove(path);
            }
            Files::Folder(root) => {
                let _ = std::fs::remove_file(below(root, path));
            }
        }
    }

    /// What a reboot does to `/run`.
    fn forget_below(&mut self, prefix: &str) {
        match self {
            Files::Memory(map) => map.retain(|path, _| !path.starts_with(prefix)),
            Files::Folder(root) => {
                let _ = std::fs::remove_dir_all(below(root, prefix.trim_end_matches('/')));
            }
        }
    }
}

fn not_there() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotFound, "No such file or directory")
}

fn below(root: &std::path::Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
