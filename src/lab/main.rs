//! `cargo run --example lab`: the pretend fleet, for newcomers and for tests.
//!
//! Under the name of a program (`xl`, `drbdadm`, `ssh`…) it is that program on a pretend Dom0.

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    xen_drbd::lab::folder::run_as_program(&argv).unwrap_or_else(cli::run)
}
