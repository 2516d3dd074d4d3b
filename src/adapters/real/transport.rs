//! The transport of a watched program: the child through which its bytes go, found under `/proc` (proc(5)).
//!
//! `xl migrate` runs `sh -c "exec ssh HOST xl migrate-receive"` (`xl_migrate.c`), one process whose name becomes `ssh`. It has
//! other children meanwhile: `libxl-save-helper`, and hotplug scripts at the end.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::fs;

/// Follows the transport of one program.
pub(super) struct Transport {
    /// The program that was started.
    of: u32,
    found: Option<Found>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    pid: u32,
    /// Tells it from a later process with the same pid.
    started: u64,
    /// It calls itself ssh: no better one will come.
    sure: bool,
}

impl Transport {
    pub(super) fn of(pid: u32) -> Transport {
        Transport { of: pid, found: None }
    }

    /// Looks for it, as long as it is not surely known: the child named ssh, else the eldest one.
    ///
    /// What was found is never exchanged for a younger child, except for one named ssh: after the memory has gone over, the
    /// youngest child may be a hotplug script that lets go of the disks.
    pub(super) fn look(&mut self) {
        if self.found.is_some_and(|found| found.sure) {
            return;
        }
        let children = children(self.of);
        let ssh = children.iter().find(|child| child.name == "ssh");
        if let Some(child) = ssh.or(if self.found.is_none() { eldest(&children) } else { None }) {
            self.found = Some(Found { pid: child.pid, started: child.started, sure: ssh.is_some() });
        }
    }

    /// How many bytes it has read so far: from the program, and the few words that the peer answers. None: there is no
    /// transport, or this kernel does not count (`CONFIG_TASK_IO_ACCOUNTING`).
    pub(super) fn sent(&self) -> Option<u64> {
        let pid = self.found.filter(|&found| self.is_ours(found))?.pid;
        let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("rchar: "))?.trim().parse().ok()
    }

    /// Whether there ever was one.
    pub(super) fn was_seen(&self) -> bool {
        self.found.is_some()
    }

    /// Sends it a signal, if it still is a child of the program.
    pub(super) fn send(&self, signal: Signal) {
        let Some((found, pid)) = self.found.and_then(|found| Some((found, Pid::from_raw(found.pid.try_into().ok()?)?))) else {
            return;
        };
        // With a pidfd (Linux 5.3) the process that is looked at is the process that is hit. Without, the program would have to
        // wait for its child and the system to come round to the same pid between two lines.
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(exactly) if self.is_ours(found) => drop(rustix::process::pidfd_send_signal(exactly, signal)),
            Err(Errno::NOSYS) if self.is_ours(found) => drop(rustix::process::kill_process(pid, signal)),
            _ => {}
        }
    }

    fn is_ours(&self, found: Found) -> bool {
        Process::read(found.pid).is_some_and(|now| now.parent == self.of && now.started == found.started)
    }
}

/// Asks every child of a process to end.
pub(super) fn end_children(of: u32) {
    for child in children(of) {
        let found = Found { pid: child.pid, started: child.started, sure: true };
        Transport { of, found: Some(found) }.send(Signal::TERM);
    }
}

/// One line of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// Up to 15 characters; anything the program likes, also blanks and brackets.
    name: String,
    parent: u32,
    /// In clock ticks since the boot.
    started: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        // A name need not be UTF-8.
        Process::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
    }

    /// proc(5): `pid (comm) state ppid …`, where `starttime` is the 22nd field. The name ends at the last bracket.
    fn parse(line: &str) -> Option<Process> {
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        // From the third field on.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Process {
            pid: pid.parse().ok()?,
            name: name.to_string(),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The living and the dead children of a process. All of `/proc` is read: `/proc/PID/task/PID/children` is not in every kernel.
fn children(of: u32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).filter(|process| process.parent == of).collect()
}

/// The one that was started first and could be a transport.
fn eldest(children: &[Process]) -> Option<&Process> {
    // The kernel cuts a name after 15 characters.
    children.iter().filter(|child| child.name != "libxl-save-help").min_by_key(|child| (child.started, child.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_move_the_fields() {
        let fields = "S 4 12 12 0 -1 4194560 107 0 0 0 0 0 0 0 20 0 1 0 4711 2617344 132";
        let process = |name: &str| Process { pid: 12, name: name.to_string(), parent: 4, started: 4711 };
        for name in ["ssh", "a b", ") S 1 (", "((", "x) R 1"] {
            assert_eq!(Process::parse(&format!("12 ({name}) {fields}")), Some(process(name)), "{name}");
        }
        for bad in ["", "12", "12 (ssh)", "12 (ssh) S", "12 (ssh) S 4 12", "x (ssh) S 4"] {
            assert_eq!(Process::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_eldest_is_no_save_helper() {
        let child = |pid, name: &str, started| Process { pid, name: name.to_string(), parent: 1, started };
        let children = [child(9, "block", 30), child(8, "libxl-save-help", 10), child(7, "rsh", 20), child(6, "block", 20)];
        assert_eq!(eldest(&children).map(|child| child.pid), Some(6));
        assert_eq!(eldest(&children[1..2]), None);
    }
}
