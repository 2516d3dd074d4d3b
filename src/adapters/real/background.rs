//! What a service needs: going into the background, a word to the service manager, somebody who keeps a lock when it dies, and a
//! program that goes when that one dies.

use super::{Real, now, run};
use crate::adapters::{Call, CallError, Ended, Input, Output};
use rustix::process::Signal;
use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nothing that our caller left open beyond the three streams is handed on to a program that we start.
///
/// debconf waits until nobody has its descriptor 3 open any more, and an ssh session until nobody has its pipes; the daemon lives for
/// days, and `xl`'s monitor as long as its domU. Everything that we open ourselves is closed on exec anyway. To be called
/// before anything is started, by a process that has one thread still.
pub fn hand_on_nothing() {
    close_fds::set_fds_cloexec(3, &[]);
}

/// What glibc is told of memory for one that waits for days: give back what is free at the end of the heap, and what was large, at once.
/// Left to itself it keeps up to 64 MiB once something large was freed, and a round over a thousand domUs needs megabytes for a moment.
/// Another libc does not read it.
const MEMORY: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072:glibc.malloc.mmap_threshold=131072");

/// Starts this program once more.
///
/// It becomes the leader of its own process group, so that no terminal's Ctrl-C reaches it; an init script's caller waits for nobody's
/// streams, because it has none of ours. A session of its own (setsid) would need a hook between fork and exec, hence `unsafe`: so the
/// new process asks for it itself.
pub(super) fn begin(real: &Real, argv: &[String]) -> io::Result<()> {
    let exe = env::current_exe()?;
    let (name, args) = argv.split_first().ok_or_else(|| io::Error::other("no name to be started under"))?;
    let mut call = Call::new(&exe.to_string_lossy(), args.iter().cloned());
    call.stdin = Input::Nothing;
    let mut command = run::command(real, &call).map_err(io::Error::other)?;
    command.arg0(name).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    if env::var_os(MEMORY.0).is_none() {
        command.env(MEMORY.0, MEMORY.1);
    }
    // Nobody waits for it: it outlives us, and init inherits it.
    run::spawn(real, &call, &mut command).map(drop).map_err(io::Error::other)
}

/// The program alone keeps the lock, and what it leaves behind does not: between it and us stands a process of this program
/// (`xen-drbd-auto keep`), which has the lock, waits for it, and lives on when we are killed. It hands nothing on ([`hand_on_nothing`]).
///
/// The one between has the call's limit; it is waited for a little longer, so that it is the one who ends the program.
///
/// By `/proc/self/exe`, because a daemon outlives an upgrade that has put another file in the place of its own.
pub(super) fn keep(call: &Call) -> Call {
    let mut kept = Call { program: "/proc/self/exe".to_string(), keeps_lock_alone: false, ..call.clone() };
    let limit = call.limit.map_or("0".to_string(), |limit| limit.as_millis().to_string());
    kept.args = ["keep".to_string(), limit, call.program.clone()].into_iter().chain(call.args.iter().cloned()).collect();
    kept.limit = call.limit.map(|limit| limit + KEPT_LONGER);
    kept
}

/// The program as one that is killed when we die: this program (`xen-drbd-auto bound`) asks the kernel for that, and becomes the other.
///
/// A program of ours that is killed alone would else leave it running without the lock.
pub(super) fn bound(call: &Call) -> Call {
    let mut bound = Call { program: "/proc/self/exe".to_string(), dies_with_us: false, ..call.clone() };
    let ours = std::process::id().to_string();
    bound.args = ["bound".to_string(), ours, call.program.clone()].into_iter().chain(call.args.iter().cloned()).collect();
    bound
}

/// Becomes a program that the kernel kills when `parent`, our own parent, dies (prctl(2), `PR_SET_PDEATHSIG`: kept across exec, and not by
/// children, so a domU's monitor is free of it). Returns only when that failed.
#[expect(clippy::disallowed_methods, reason = "it starts nothing: this very process, which World::run has started, becomes it")]
pub fn become_bound(parent: u32, program: &str, args: &[String]) -> io::Error {
    if let Err(why) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return why.into();
    }
    // It may have died before we asked.
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()) != Some(parent) {
        return io::Error::other("who started it is gone");
    }
    Command::new(program).args(args).exec()
}

/// The name by which the one between is called.
pub(super) const KEEPER: &str = "xen-drbd-auto";

/// For SIGTERM and SIGKILL, and what is in between.
const KEPT_LONGER: Duration = Duration::from_secs(20);

/// How `keep` tells that the program broke its limit. No toolstack ends with this: `xl` with at most 30 (`libxl_types.idl`, `error`).
pub const BROKE_ITS_LIMIT: i32 = 124;

/// What the one between has told, in the words of the door.
pub(super) fn told(call: &Call, output: Output) -> Result<Output, CallError> {
    match (output.ended, call.limit) {
        (Ended::Exit(BROKE_ITS_LIMIT), Some(limit)) => {
            Err(CallError::TimedOut { call: call.to_string(), limit, said: format!("{}{}", output.stdout, output.stderr) })
        }
        _ => Ok(output),
    }
}

/// Signs of life for a service manager that watches us while a program runs (sd_watchdog_enabled(3)): a round that starts many domUs, or a
/// slow `xl create`, takes longer than between two turns. Each program has its limit, so this is no sign of life of one that hangs.
pub(super) struct Pulse {
    /// Between two signs; `None`: nobody watches us.
    every: Option<Duration>,
    last: Mutex<Option<Instant>>,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        let var = |name| env::var(name).ok();
        let every = every(var("WATCHDOG_USEC").as_deref(), var("WATCHDOG_PID").as_deref(), std::process::id());
        Pulse { every, last: Mutex::default() }
    }

    /// So long, or until the next sign.
    pub(super) fn at_most(&self, time: Duration) -> Duration {
        self.every.map_or(time, |every| time.min(every))
    }

    /// Gives a sign of life where it is time for one.
    pub(super) fn beat(&self) {
        let Some(every) = self.every else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= every) {
            *last = Some(now());
            notify("WATCHDOG=1");
        }
    }
}

/// A quarter of the time after which the service manager would end us, where it is us whom it watches.
fn every(usec: Option<&str>, pid: Option<&str>, ours: u32) -> Option<Duration> {
    let watched = pid.is_none_or(|pid| pid.parse() == Ok(ours));
    usec.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0 && watched).map(|usec: u64| Duration::from_micros(usec / 4))
}

/// What only we were told does not concern the programs that we start, least of all a domU's device model.
pub(super) fn keep_to_ourselves(command: &mut Command) {
    if env::var_os(MEMORY.0).is_some_and(|value| value == MEMORY.1) {
        command.env_remove(MEMORY.0);
    }
}

/// sd_notify(3): a datagram to `$NOTIFY_SOCKET`, whose leading `@` stands for an abstract name. Nobody there is no error.
pub(super) fn notify(state: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let name = name.to_string_lossy();
    let address = match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name.as_ref()),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whom_the_service_manager_watches_gives_signs_of_life() {
        let quarter = Some(Duration::from_secs(5));
        assert_eq!(every(Some("20000000"), None, 7), quarter);
        assert_eq!(every(Some("20000000"), Some("7"), 7), quarter);
        for (usec, pid) in [(Some("20000000"), Some("8")), (Some("20000000"), Some("")), (Some("0"), None), (Some("x"), None)] {
            assert_eq!(every(usec, pid, 7), None, "{usec:?} {pid:?}");
        }
        assert_eq!(every(None, Some("7"), 7), None);
    }
}
