//! The same fleet kept in a folder, its programs as real processes: the real executable runs among them unmodified.
//!
//! ```text
//! DIR/fleet.json            the model, what is planned, and which real processes matter to the story
//! DIR/fleet.lock            flock(2): held by each program for as long as it looks at the model or changes it
//! DIR/journal.txt           everything that happened, one line each
//! DIR/hosts/HOST/root/      the files of that Dom0: etc/xen/…, root/.ssh/…, proc/drbd, sys/class/net/…, run/…
//! DIR/hosts/HOST/bin/       its programs: xl, drbdadm, ssh… lead to the lab, xen-migrate and its sisters to the real executable;
//!                           so do reboot, systemctl, pkill…, which would act on the machine below
//! ```
//!
//! A program knows its Dom0 by the folder that it was found in (its own path, else the first fitting folder of PATH), so nothing but
//! `PATH=DIR/hosts/HOST/bin:$PATH XEN_DRBD_ROOT=DIR/hosts/HOST/root` is needed; a forced command needs
//! `--root DIR/hosts/HOST/root --path DIR/hosts/HOST/bin` in its line instead, for it does not believe its environment.
//! Locks, logs and the record are the real executable's own real files below that root; only programs are pretended. The model's
//! clock moves a little with each program, and much while a migration copies memory; [`Folder::set_pace`] says how much real time that takes.
//!
//! For tests (`cargo test` builds the examples, so the lab stands beside them):
//!
//! ```no_run
//! # use xen_drbd::lab::folder::{Folder, Programs};
//! # use xen_drbd::lab::{DiskForm, Lab};
//! # use xen_drbd::core::{drbd::Generation, xen::Toolstack};
//! # let temp = std::env::temp_dir();
//! let tool = "target/debug/xen-drbd".into(); // in a test: env!("CARGO_BIN_EXE_xen-drbd")
//! let programs = Programs { lab: Programs::lab_beside_test().unwrap(), tool };
//! let lab = Lab::pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
//! let folder = Folder::make(&temp.join("fleet"), lab, &programs).unwrap();
//! let output = folder.command("dom0-alpha", &["xen-migrate", "migrate", "web"]).output().unwrap();
//! assert_eq!(folder.with(|lab| lab.runs_on("web")).unwrap(), ["dom0-beta"]);
//! # let _ = output;
//! ```

mod kernel;
mod live;
pub(crate) mod processes;
mod program;
mod receiver;
mod session;
mod ssh;
mod standins;

pub use program::main as run_as_program;

use super::Lab;
use super::model::{Files, Fleet};
use session::Session;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The programs that the lab pretends on every Dom0.
pub const PRETENDED: [&str; 10] =
    ["drbdadm", "drbdsetup", "ssh", "ssh-keygen", "hostname", "uname", "getent", "ip", "logger", "brctl"];

/// Where programs lie that are not the pretended Dom0's: one of these with the name of a program that it lacks is hidden from it.
const SYSTEM: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The two executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The lab's own: this example.
    pub lab: PathBuf,
    /// The real one, under any name.
    pub tool: PathBuf,
}

impl Programs {
    /// The lab's executable where a test runs: `target/PROFILE/examples/lab` beside `target/PROFILE/deps/TEST`.
    ///
    /// `cargo test` builds it; `cargo test --test NAME` does not, and an old one would be mistaken for the source as it is: that is an error.
    pub fn lab_beside_test() -> io::Result<PathBuf> {
        let test = std::env::current_exe()?;
        let profile = test.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let lab = profile.join("examples/lab");
        let built = fs::metadata(&lab).and_then(|m| m.modified());
        let source = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        match built {
            Ok(built) if source.is_none_or(|source| source <= built) => Ok(lab),
            Ok(_) => Err(io::Error::other(format!("{} is older than its source; cargo build --example lab", lab.display()))),
            Err(why) => Err(io::Error::new(why.kind(), format!("{}: {why}; cargo build --example lab", lab.display()))),
        }
    }
}

/// When the newest file below a folder was changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| match entry.file_type().ok()?.is_dir() {
        true => newest(&entry.path()),
        false => entry.metadata().ok()?.modified().ok(),
    });
    times.max()
}

/// A fleet in a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Puts a fleet into a folder, which is made; it must not hold one yet.
    pub fn make(dir: &Path, lab: Lab, programs: &Programs) -> io::Result<Folder> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        if dir.join(session::STATE).exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} holds a fleet already", dir.display())));
        }
        let folder = Folder { dir };
        let mut fleet = lab.fleet();
        for host in fleet.hosts.values_mut() {
            let root = folder.root(&host.name);
            for made in ["etc/xen/auto", "etc/xen/drbd-auto", "root/.ssh", "run", "var/log/xen", "tmp"] {
                fs::create_dir_all(root.join(made))?;
            }
            fs::set_permissions(root.join("root/.ssh"), fs::Permissions::from_mode(0o700))?;
            let before = std::mem::replace(&mut host.files, Files::Folder(root));
            if let Files::Memory(files) = before {
                for (path, (bytes, mode)) in files.into_iter().filter(|(path, _)| !path.ends_with("/.keep")) {
                    host.files.write(&path, &bytes, mode)?;
                }
            }
        }
        folder.link(&fleet, programs)?;
        Session::create(&folder.dir, fleet, lab.plan())?;
        Ok(folder)
    }

    /// A folder that holds a fleet.
    pub fn open(dir: &Path) -> io::Result<Folder> {
        let dir = dir.canonicalize()?;
        if dir.join(session::STATE).is_file() {
            return Ok(Folder { dir });
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("{} holds no pretend fleet", dir.display())))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `XEN_DRBD_ROOT` or `--root` is on a host.
    pub fn root(&self, host: &str) -> PathBuf {
        self.dir.join("hosts").join(host).join("root")
    }

    /// The folder of a host's programs, which comes first in PATH, or is `--path`.
    pub fn bin(&self, host: &str) -> PathBuf {
        self.dir.join("hosts").join(host).join("bin")
    }

    /// The names of the Dom0s.
    pub fn hosts(&self) -> io::Result<Vec<String>> {
        self.with(|lab| lab.with(|f| f.hosts.keys().cloned().collect()))
    }

    /// Looks at the fleet, or changes it, while no program does. What a deed kills is really killed.
    pub fn with<T>(&self, f: impl FnOnce(&Lab) -> T) -> io::Result<T> {
        let session = Session::open(&self.dir)?;
        let value = f(&session.lab);
        session.close()?;
        Ok(value)
    }

    /// How many real seconds a second of copied memory takes; 0, as it is at first, is none.
    pub fn set_pace(&self, pace: f64) -> io::Result<()> {
        let session = Session::open(&self.dir)?;
        session.set_pace(pace);
        session.close()
    }

    /// A command on a host, as one would type it there: a name is looked up among the host's programs first. It speaks English, whoever
    /// starts it: what it says is held against what is expected.
    #[expect(clippy::disallowed_methods, reason = "the lab starts programs as an operator does, not as the tool does")]
    pub fn command(&self, host: &str, argv: &[&str]) -> Command {
        let (name, args) = argv.split_first().unwrap_or((&"true", &[]));
        let path = self.path(host);
        let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
        let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(name)));
        command.args(args).env("PATH", path).env("XEN_DRBD_ROOT", self.root(host)).current_dir(self.root(host));
        command.env_remove("SSH_ORIGINAL_COMMAND").env_remove("SSH_CONNECTION").env("LC_ALL", "C");
        command
    }

    /// PATH on a host.
    pub fn path(&self, host: &str) -> OsString {
        let rest = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        let folders = std::iter::once(self.bin(host)).chain(std::env::split_paths(&rest));
        std::env::join_paths(folders).unwrap_or(rest)
    }

    /// Makes every host's programs anew, for executables that have moved or were built again.
    pub fn renew_links(&self, programs: &Programs) -> io::Result<()> {
        let fleet = self.with(Lab::fleet)?;
        self.link(&fleet, programs)
    }

    fn link(&self, fleet: &Fleet, programs: &Programs) -> io::Result<()> {
        let absolute = |path: &Path| path.canonicalize();
        let (lab, tool) = (absolute(&programs.lab)?, absolute(&programs.tool)?);
        for host in fleet.hosts.values() {
            let bin = self.bin(&host.name);
            fs::create_dir_all(&bin)?;
            let mut pretended: Vec<&str> = PRETENDED.to_vec();
            for (name, installed) in [("xl", host.xl.is_some()), ("xm", host.xm.is_some())] {
                // Where this very machine is a Dom0, its own must not be found.
                if installed || SYSTEM.iter().any(|folder| Path::new(folder).join(name).exists()) {
                    pretended.push(name);
                }
            }
            pretended.extend(standins::names());
            let ours = crate::applets::NAMES.iter().chain(&["xen-drbd"]).map(|name| (*name, &tool));
            for (name, to) in pretended.into_iter().map(|name| (name, &lab)).chain(ours) {
                lay_link(to, &bin.join(name))?;
            }
        }
        Ok(())
    }
}

/// A symbolic link that leads there, whatever stood in its place.
fn lay_link(to: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == to) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    symlink(to, link)
}

/// The folder and the host that a program was started from.
fn place_of(argv0: &str, path: Option<&OsStr>) -> Option<(Folder, String)> {
    let own = Path::new(argv0).parent().filter(|_| argv0.contains('/')).map(Path::to_path_buf);
    let candidates = own.into_iter().chain(path.into_iter().flat_map(std::env::split_paths));
    for bin in candidates {
        let Some(host) = bin.parent().filter(|_| bin.ends_with("bin")) else { continue };
        let (Some(name), Some(hosts)) = (host.file_name().and_then(OsStr::to_str), host.parent()) else { continue };
        let Some(dir) = hosts.parent().filter(|_| hosts.ends_with("hosts")) else { continue };
        if let Ok(folder) = Folder::open(dir) {
            return Some((folder, name.to_string()));
        }
    }
    None
}
