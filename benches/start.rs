//! How long the executable takes from its start to its end when it has nothing to do, in units of `/bin/true`: `cargo bench --bench start`.
//!
//! The two take turns, so that whatever else the machine does meets both; the median of each counts. Another executable:
//! `START_OF=/usr/bin/xen-drbd cargo bench --bench start`.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time and starts real programs")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 400;

fn main() {
    let ours = std::env::var("START_OF").unwrap_or_else(|_| env!("CARGO_BIN_EXE_xen-drbd").to_string());
    let commands: [&[&str]; 4] =
        [&["/bin/true"], &[&ours, "--version"], &[&ours, "xen-migrate", "--version"], &[&ours, "xen-drbd-auto", "init-info"]];
    let mut times = vec![Vec::new(); commands.len()];
    for _ in 0..ROUNDS {
        for (command, times) in commands.iter().zip(&mut times) {
            times.push(once(command));
        }
    }
    let size = std::fs::metadata(&ours).map_or(0, |m| m.len());
    println!("{ours}: {size} bytes\n{ROUNDS} rounds, median:");
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    for (command, time) in commands.iter().zip(&medians) {
        println!("{:8.3} ms  {:5.2} x /bin/true  {}", time * 1e3, time / medians[0], command.join(" "));
    }
}

fn once(command: &[&str]) -> Duration {
    let began = Instant::now();
    let status = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stdin(Stdio::null()).status();
    let took = began.elapsed();
    assert!(status.is_ok_and(|s| s.success()), "{command:?}");
    took
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
