//! Files, as a program run by root must treat them: nothing planted is followed where we write, nothing endless is read.
//!
//! Errors of the system are passed on as they are (`ENOSPC`, `EROFS`, `EACCES`…) and carry no path: the caller knows it.

use super::Real;
use crate::adapters::Access;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// No file that we read is larger: domU configs, tables and `/proc` files have a few KiB.
pub(super) const LARGEST: u64 = 8 * 1024 * 1024;

/// Reads a whole file. Symbolic links are followed (`/etc/xen/drbd-auto/web.cfg` may well be one). Only plain files are read, so
/// that a fifo does not hold us for ever and `/dev/zero` does not fill the memory; `kernel` files (`/proc`) are as they are.
pub(super) fn read(path: &Path, kernel: bool) -> io::Result<Vec<u8>> {
    // NONBLOCK: opening a fifo would wait for its writer otherwise; a plain file does not know the difference.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !kernel && !file.metadata()?.is_file() {
        return Err(refused("not a plain file, not read"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("larger than {} MiB, not read", LARGEST / 1024 / 1024)));
    }
    Ok(bytes)
}

/// Who may do what with it.
pub(super) fn access(path: &Path) -> io::Result<Access> {
    let seen = fs::metadata(path)?;
    let us = rustix::process::geteuid().as_raw();
    Ok(Access { mode: seen.mode() & 0o7777, foreign: seen.uid() != 0 && seen.uid() != us })
}

/// The names of everything in a folder, sorted. A name that is not UTF-8 is given with replacement characters: it is not
/// hidden, and reading it then fails aloud.
pub(super) fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// A file's folder, opened, and the file's name in it: what is checked there is what is written there.
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Place {
    /// Opens the folder. Below `/run` and `/var` it must not be a symbolic link; elsewhere it is the operator's.
    pub(super) fn new(real: &Real, path: &Path) -> io::Result<Place> {
        let at = real.at(path);
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(refused("not the path of a file"));
        };
        let ours = is_ours(path);
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, ours);
        let folder = rustix::fs::open(parent, flags, Mode::empty()).map_err(|why| match why {
            // Linux says ENOTDIR to DIRECTORY with NOFOLLOW, and POSIX would have it say ELOOP.
            Errno::NOTDIR | Errno::LOOP if ours => refused("its folder is a symbolic link or no folder, not followed"),
            other => other.into(),
        })?;
        Ok(Place { folder, name: name.to_owned() })
    }

    /// The same, and makes the folder when it is missing, if it is one of those that we may make (mode 0700).
    pub(super) fn made(real: &Real, path: &Path) -> io::Result<Place> {
        if let (true, Some(parent)) = (is_ours(path), real.at(path).parent()) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        Place::new(real, path)
    }

    /// What is there now. Anything but a plain file is refused: it was not us who put it there.
    fn present(&self) -> io::Result<Option<Stat>> {
        let stat = match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Some(stat)),
            FileType::Symlink => Err(refused("a symbolic link stands in its place, not followed")),
            _ => Err(refused("something that is no plain file stands in its place")),
        }
    }

    /// Opens what is there; a symbolic link or anything else that is no plain file is refused.
    pub(super) fn open(&self, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::openat(&self.folder, &self.name, flags, Mode::from(0o600)) {
            Ok(fd) => File::from(fd),
            Err(Errno::LOOP) => return Err(refused("a symbolic link stands in its place, not followed")),
            Err(why) => return Err(why.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(refused("something that is no plain file stands in its place"));
        }
        Ok(file)
    }

    /// Makes the file anew, empty and readable by us alone. Whoever still writes into the old one keeps the old one.
    pub(super) fn renew(&self) -> io::Result<File> {
        if self.present()?.is_some() {
            rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())?;
        }
        self.create(&self.name)
    }

    /// Makes a file that was not there.
    fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.folder, name, flags, Mode::from(0o600))?))
    }
}

/// Puts a new text in the place of a file, so that a crash at any moment leaves the old text or the new one.
pub(super) fn replace(place: &Place, text: &[u8]) -> io::Result<()> {
    let before = place.present()?;
    let beside = beside(&place.name);
    let file = match place.create(&beside) {
        // Left by a dead process that had our pid, or planted: neither is followed, both are in the way.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            rustix::fs::unlinkat(&place.folder, &beside, AtFlags::empty())?;
            place.create(&beside)?
        }
        other => other?,
    };
    let written = fill(&file, text, before.as_ref())
        .and_then(|()| Ok(rustix::fs::renameat(&place.folder, &beside, &place.folder, &place.name)?));
    if let Err(why) = written {
        let _ = rustix::fs::unlinkat(&place.folder, &beside, AtFlags::empty());
        return Err(why);
    }
    match rustix::fs::fsync(&place.folder) {
        // fsync(2): some file systems cannot sync a folder.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// Writes the text to the disk, with the mode and, if we may, the owner of the file that it will replace.
fn fill(mut file: &File, text: &[u8], before: Option<&Stat>) -> io::Result<()> {
    file.write_all(text)?;
    if let Some(before) = before {
        // Only root may give a file away; without that it simply becomes ours.
        let _ = rustix::fs::fchown(file, Some(Uid::from_raw(before.st_uid)), Some(Gid::from_raw(before.st_gid)));
        rustix::fs::fchmod(file, Mode::from(before.st_mode & 0o777))?;
    }
    file.sync_all()
}

/// A name for the new text, beside the file: hidden, and no other writer's.
fn beside(name: &OsStr) -> OsString {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{count}.new", process::id()));
    beside
}

/// Below `/run` and `/var` we may make folders: they hold what programs keep. `/etc` is the operator's.
fn is_ours(path: &Path) -> bool {
    ["/run", "/var"].iter().any(|top| path.starts_with(top))
}

/// A refusal of ours, told apart from the system's errors by its kind.
fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

/// A name that may become a file's name: no slash, no dots that lead away.
pub(super) fn plain_name(name: &str) -> io::Result<&str> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.as_bytes().iter().any(|&b| b == b'/' || b == 0);
    if plain { Ok(name) } else { Err(refused("not a name for a file")) }
}

/// The path of the design for a file of ours in `/run`.
pub(super) fn run_path(file: &str) -> PathBuf {
    Path::new("/run/xen-migrate").join(OsStr::from_bytes(file.as_bytes()))
}
