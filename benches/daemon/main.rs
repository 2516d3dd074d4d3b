//! The figures of xen-drbd-auto, measured: `cargo bench`.
//!
//! It needs nothing but this crate: no Xen, no DRBD, no service. The tools that the daemon runs (`xl`, `drbdadm`, `drbdsetup`, `hostname`)
//! are this very program under their names, on a PATH of its own (`stand_in.rs`), so that one of them costs what starting a small program
//! costs and nothing else: what is left is ours. Each stand-in writes down when it was started, so a time is a difference between two
//! readings of CLOCK_MONOTONIC, and a number of programs is a number of lines.
//!
//! ```text
//! cargo bench                               # everything, about a minute
//! cargo bench -- latency                    # one of: latency memory round idle
//! XEN_DRBD_BENCH_BIN=FILE cargo bench       # another executable of ours, to compare with
//! XEN_DRBD_BENCH_OTHER='exec COMMAND' cargo bench
//! ```
//!
//! `XEN_DRBD_BENCH_OTHER` is a line for `sh -c` that runs, in the foreground, any other program that follows `drbdsetup events2` and answers
//! a peer's return with `xl create`. `$XEN_DRBD_BENCH` is the folder of the stage: `$XEN_DRBD_BENCH/bin` holds the stand-ins (which must
//! keep that variable, or be called by their full path), and `$XEN_DRBD_BENCH/any.cfg` is a config to create. With `exec` it is that program
//! whose memory is looked at, and not the shell's.

mod figures;
mod proc;
mod stage;
mod stand_in;
mod texts;

use std::env;
use std::path::Path;

fn main() {
    let name = env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if stand_in::NAMES.contains(&name.as_str()) {
        std::process::exit(stand_in::play(&name, &env::args().skip(1).collect::<Vec<_>>()));
    }
    let words: Vec<String> = env::args().skip(1).collect();
    // `cargo test --benches` starts it too, without this word; tests do not measure time.
    if !words.iter().any(|word| word == "--bench") {
        println!("the figures are measured by: cargo bench");
        return;
    }
    let asked: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    figures::print(&|figure| asked.is_empty() || asked.iter().any(|word| figure.contains(word.as_str())));
}
