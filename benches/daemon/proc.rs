//! What the kernel says of a process.

use std::fs;

/// The memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident: what `ps` shows. The pages of libc and of the executable are in it, which all processes share.
    pub rss: u64,
    /// The same, each shared page divided among those who share it.
    pub pss: u64,
    /// Its own: heap, stacks, what it has written to.
    pub anonymous: u64,
    /// The most that was resident at any time.
    pub peak: u64,
}

/// From `/proc/PID/smaps_rollup` and `/proc/PID/status`.
pub fn memory(pid: u32) -> Memory {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Memory {
        rss: field(&rollup, "Rss:"),
        pss: field(&rollup, "Pss:"),
        anonymous: field(&rollup, "Anonymous:"),
        peak: field(&status, "VmHWM:"),
    }
}

/// What a process has used of the processor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effort {
    /// Nanoseconds on a processor, by the scheduler's own account (all threads that still live).
    pub nanoseconds: u64,
    /// `utime` and `stime` of `/proc/PID/stat`, in ticks of 10 ms (threads that have ended are in it).
    pub ticks: u64,
    /// How often it went to sleep by itself.
    pub sleeps: u64,
}

impl Effort {
    /// What was added since.
    pub fn since(self, before: Effort) -> Effort {
        Effort {
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds),
            ticks: self.ticks.saturating_sub(before.ticks),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
        }
    }
}

/// From `/proc/PID/task/*/schedstat`, `…/status` and `/proc/PID/stat`.
pub fn effort(pid: u32) -> Effort {
    let mut effort = Effort::default();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        effort.nanoseconds += read("schedstat").split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        effort.sleeps += field(&read("status"), "voluntary_ctxt_switches:");
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: utime and stime are the 14th and 15th of all.
    let rest: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    effort.ticks = [11, 12].iter().filter_map(|at| rest.get(*at)?.parse::<u64>().ok()).sum();
    effort
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
}
