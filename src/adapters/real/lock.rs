//! flock(2) on files in `/run/xen-migrate`, which are never deleted: a lock on a deleted file locks nobody out.
//!
//! The lock belongs to the open file, not to a process. It is released when the last descriptor is closed, ours or a child's
//! ([`super::Call::keeps_lock`]), so a crash releases it exactly when nothing of ours runs any more. Hence no `LOCK_UN`
//! anywhere: it would release the child's lock as well.

use super::files::{self, Place};
use super::{Held, LockError, Real, Summons, World, now, transport};
use crate::adapters::{Holder, HolderState, boot};
use fs2::FileExt;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The locks that we hold, so that a child can be given one.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<BTreeMap<String, Weak<File>>>,
}

impl Locks {
    /// A second descriptor of a lock that we hold, one that children inherit. Whoever gets it starts one child and drops it.
    pub(super) fn inheritable(&self, name: &str) -> io::Result<OwnedFd> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let file = held.get(name).and_then(Weak::upgrade);
        let file = file.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("the lock {name} is not ours to hand on")))?;
        // dup(2), unlike F_DUPFD_CLOEXEC and everything in std: the copy survives exec, which is the point.
        Ok(rustix::io::dup(&file)?)
    }

    /// The same for every lock that we hold, but that of the waiting daemon: who asks for that one asks whether the daemon is there.
    pub(super) fn all_inheritable(&self) -> io::Result<Vec<OwnedFd>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let files = held.iter().filter(|(name, _)| *name != boot::DAEMON).filter_map(|(_, file)| file.upgrade());
        files.map(|file| Ok(rustix::io::dup(&file)?)).collect()
    }

    fn remember(&self, name: &str, file: &Arc<File>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, file| file.strong_count() > 0);
        held.insert(name.to_string(), Arc::downgrade(file));
    }
}

/// A lock, held by keeping its file open.
struct Lock {
    _file: Arc<File>,
}

impl Held for Lock {}

/// Between two tries for a lock.
const BETWEEN: Duration = Duration::from_millis(20);

/// Takes a lock without waiting for its holder.
pub(super) fn take(real: &Real, name: &str, purpose: &str) -> Result<Box<dyn Held>, LockError> {
    let place = Place::made(real, &files::run_path(&file_name(name)?))?;
    let mut file = place.open(OFlags::RDWR | OFlags::CREATE)?;
    // Who only asks ([`holder`]) has it for an instant; so one refusal says nothing.
    let until = now() + real.patience.lock;
    while !had(file.try_lock_exclusive())? {
        if now() >= until {
            return Err(LockError::Held(written(&mut file).said));
        }
        real.signals.wait(BETWEEN);
    }
    // The lock is what counts; a full disk only costs whoever finds it taken the reason why.
    let purpose: String = purpose.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let since = humantime::format_rfc3339_seconds(real.now());
    let word = format!("pid {} {purpose} since {since}\n", process::id());
    // Over the old one, and only then as short as it is: who is stopped between the two has said who it is.
    if file.write_all(word.as_bytes()).is_ok() {
        let _ = file.set_len(word.len() as u64);
    }
    let file = Arc::new(file);
    real.locks.remember(name, &file);
    Ok(Box::new(Lock { _file: file }))
}

/// Who holds a lock. A file that nobody holds says nothing, whatever is written in it. A file that cannot be asked counts as
/// held: unknown is not safe.
pub(super) fn holder(real: &Real, name: &str) -> Option<Holder> {
    let asked = file_name(name).and_then(|name| {
        let mut file = match Place::new(real, &files::run_path(&name)).and_then(|place| place.open(OFlags::RDONLY)) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        // Shared, so that two who ask do not see each other; closed at once, and with it released.
        Ok(if had(FileExt::try_lock_shared(&file))? { None } else { Some(written(&mut file)) })
    });
    asked.unwrap_or_else(|why| {
        let said = format!("somebody, perhaps: the lock file cannot be asked ({why})");
        Some(Holder { said, state: HolderState::Unknown })
    })
}

/// Ends what the holder of a lock has started: the programs, not the holder, which sees them end and tells how.
///
/// The pid is the holder's own word in its file, so it counts only while the lock is held and while that pid is one of this program, be it of
/// another version.
pub(super) fn end_programs_of(real: &Real, name: &str) -> io::Result<()> {
    if let Some(pid) = holding_pid(real, name)? {
        transport::end_children(pid);
    }
    Ok(())
}

/// The process that holds a lock, when it is one of this program.
fn holding_pid(real: &Real, name: &str) -> io::Result<Option<u32>> {
    let mut file = match Place::new(real, &files::run_path(&file_name(name)?)).and_then(|place| place.open(OFlags::RDONLY)) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if had(FileExt::try_lock_shared(&file))? {
        return Ok(None);
    }
    let mut text = String::new();
    Read::by_ref(&mut file).take(4096).read_to_string(&mut text)?;
    let told = holder_of(&text).map(|(pid, ..)| pid);
    // A word of one that is gone may be the last holder's: the kernel knows who has taken it.
    let lives = told.filter(|pid| !matches!(state_of(*pid), State::Gone));
    let Some(pid) = lives.or_else(|| known_to_the_kernel(&file)).or(told) else {
        return Err(io::Error::new(ErrorKind::InvalidData, "the holder has not written who it is"));
    };
    if !is_of_this_program(pid, &file)? {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("pid {pid} is another program")));
    }
    Ok(Some(pid))
}

/// Who has taken a lock without a word of its own: there was no room for one in `/run`. proc_locks(5):
/// `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`, with the device in hexadecimal.
fn known_to_the_kernel(lock: &File) -> Option<u32> {
    let lock = lock.metadata().ok()?;
    let device = (rustix::fs::major(lock.dev()), rustix::fs::minor(lock.dev()));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = words[..] else { return None };
        let mut place = place.split(':');
        let mut number = |radix| u64::from_str_radix(place.next()?, radix).ok();
        let same = number(16)? == u64::from(device.0) && number(16)? == u64::from(device.1) && number(10)? == lock.ino();
        if same { pid.parse().ok() } else { None }
    })
}

/// Whether a process runs the file that we run, or one of its name and has the lock open: an upgrade puts a new file in the place of the
/// one that a daemon was begun with, and the daemon must still hear the new program.
fn is_of_this_program(pid: u32, lock: &File) -> io::Result<bool> {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    if same(fs::metadata(format!("/proc/{pid}/exe"))?, fs::metadata("/proc/self/exe")?) {
        return Ok(true);
    }
    // proc(5): of a file that is gone, the link says `/usr/bin/xen-drbd (deleted)`; dpkg may have renamed it to `….dpkg-tmp` before.
    let name = |pid: &str| -> io::Result<String> {
        let target = fs::read_link(format!("/proc/{pid}/exe"))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(name.trim_end_matches(" (deleted)").trim_end_matches(".dpkg-tmp").to_string())
    };
    if name(&pid.to_string())? != name("self")? {
        return Ok(false);
    }
    let lock = lock.metadata()?;
    let mut open = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten().filter_map(|fd| fs::metadata(fd.path()).ok());
    Ok(open.any(|file| same(file, lock.clone())))
}

/// Sends the holder of a lock a signal. False: nobody holds it. The same care as in [`end_programs_of`].
pub(super) fn summon(real: &Real, name: &str, what: Summons) -> io::Result<bool> {
    let Some(pid) = holding_pid(real, name)? else { return Ok(false) };
    let signal = match what {
        Summons::Reload => Signal::HUP,
        Summons::Stop => Signal::TERM,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the holder's pid is none"))?;
    rustix::process::kill_process(pid, signal)?;
    Ok(true)
}

fn file_name(name: &str) -> io::Result<String> {
    Ok(format!("{}.lock", files::plain_name(name)?))
}

/// Whether we have it now; an error is neither.
fn had(tried: io::Result<()>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Who holds it, from what that one wrote into the file: `pid PID PURPOSE since TIME`.
fn written(file: &mut File) -> Holder {
    let mut text = String::new();
    let read = Read::by_ref(file).take(4096).read_to_string(&mut text);
    let told = read.ok().and_then(|_| holder_of(&text)).map(|(pid, purpose, since)| (pid, purpose, since, state_of(pid)));
    // No word, or the last one's: who has just taken it may have been stopped before it could write.
    if matches!(told, None | Some((.., State::Gone)))
        && let Some(pid) = known_to_the_kernel(file).filter(|pid| matches!(state_of(*pid), State::Stopped))
    {
        let said = format!("somebody who has not written who it is (pid {pid}, stopped, state T)");
        return Holder { said, state: HolderState::Stopped };
    }
    match told {
        Some((pid, purpose, since, State::Runs)) => Holder::awake(format!("{purpose} (pid {pid}, since {since})")),
        Some((pid, purpose, since, State::Stopped)) => {
            let said = format!("{purpose} (pid {pid}, stopped, state T, since {since})");
            Holder { said, state: HolderState::Stopped }
        }
        Some((pid, purpose, _, State::Gone)) => {
            Holder::awake(format!("{purpose} (pid {pid}, gone); a program it started still runs"))
        }
        None => Holder::awake("somebody who has not written who it is"),
    }
}

fn holder_of(text: &str) -> Option<(u32, &str, &str)> {
    // Behind it there may be the end of an older, longer one.
    let (pid, rest) = text.lines().next()?.strip_prefix("pid ")?.split_once(' ')?;
    let (purpose, since) = rest.rsplit_once(" since ")?;
    Some((pid.parse().ok()?, purpose, since))
}

enum State {
    Runs,
    Stopped,
    Gone,
}

/// A zombie is gone: it holds nothing any more, only nobody has asked how it ended. One that was stopped (SIGSTOP, or Ctrl-Z at a
/// terminal) keeps its lock and does nothing until it hears SIGCONT.
fn state_of(pid: u32) -> State {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    // proc(5): `pid (comm) state …`
    match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
        None | Some('Z' | 'X') => State::Gone,
        Some('T') => State::Stopped,
        Some(_) => State::Runs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_holder_wrote_is_read_back() {
        assert_eq!(
            holder_of("pid 12 xen-migrate migrate web since 2026-01-01T00:00:00Z\n"),
            Some((12, "xen-migrate migrate web", "2026-01-01T00:00:00Z"))
        );
        let over_an_older_one = "pid 12 xen-migrate where since 2026-01-01T00:00:00Z\npid 9 x since 2025-01-01T00:00:00Z\n";
        assert_eq!(holder_of(over_an_older_one), Some((12, "xen-migrate where", "2026-01-01T00:00:00Z")));
        for bad in ["", "pid", "pid 12", "pid x migrate since now", "12 migrate since now"] {
            assert_eq!(holder_of(bad), None, "{bad:?}");
        }
    }
}
