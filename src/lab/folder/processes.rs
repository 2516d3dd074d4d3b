//! Real processes, by what `/proc` says of them (proc(5)): who they are, and that they are still the same.

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;

/// One process, so that another one with its number is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RealProcess {
    pub pid: u32,
    /// In clock ticks since the boot of this machine.
    pub started: u64,
}

impl RealProcess {
    /// The living process with this number.
    pub fn of(pid: u32) -> Option<RealProcess> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        // A zombie is dead, only nobody has asked yet how it ended.
        let living = !matches!(fields.first(), None | Some(&("Z" | "X")));
        living.then_some(RealProcess { pid, started: fields.get(19)?.parse().ok()? })
    }

    pub fn this() -> Option<RealProcess> {
        RealProcess::of(std::process::id())
    }

    pub fn parent() -> Option<RealProcess> {
        RealProcess::of(std::os::unix::process::parent_id())
    }

    pub fn lives(self) -> bool {
        RealProcess::of(self.pid) == Some(self)
    }

    /// Its command line.
    pub fn words(self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words = bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let mut words: Vec<String> = words.collect();
        words.pop();
        words
    }

    /// The last part of the name that it was started by.
    pub fn name(self) -> String {
        let first = self.words().into_iter().next().unwrap_or_default();
        first.rsplit('/').next().unwrap_or_default().to_string()
    }

    /// Sends it a signal, if it is still there.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid.try_into().unwrap_or_default()).filter(|_| self.lives()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// A command that starts another one without the descriptors that this process was handed besides the usual three: the lock that `xl`
/// keeps for its caller, above all, is no affair of another host, nor of xend.
///
/// Only a shell closes a descriptor by its number without `unsafe`; a plain `sh` knows those up to 9, bash all of them.
#[expect(clippy::disallowed_methods, reason = "sshd and xend start commands")]
pub(crate) fn unburdened(program: &Path) -> Command {
    let bash = ["/bin/bash", "/usr/bin/bash"].into_iter().find(|path| Path::new(path).is_file());
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open = open.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let last = if bash.is_some() { u32::MAX } else { 9 };
    let closed: String = open.filter(|fd| (3..=last).contains(fd)).map(|fd| format!(" {fd}>&-")).collect();
    let mut command = Command::new(bash.unwrap_or("/bin/sh"));
    command.arg("-c").arg(format!("exec \"$0\" \"$@\"{closed}")).arg(program);
    command
}

/// Ends this process by a signal, as the one that it pretends to be was ended.
pub(crate) fn die_of(signal: i32) -> ! {
    let named = match signal {
        2 => Signal::INT,
        9 => Signal::KILL,
        _ => Signal::TERM,
    };
    let _ = rustix::process::kill_process(rustix::process::getpid(), named);
    std::process::exit(128 + signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_another_of_its_number_would_not_be_it() {
        let this = RealProcess::this().unwrap();
        assert!(this.lives());
        assert!(!RealProcess { started: this.started + 1, ..this }.lives());
        assert!(!this.words().is_empty());
        assert_eq!(RealProcess::of(u32::MAX), None);
    }
}
