//! The front doors, one for each name of the executable.

use crate::adapters::World;
use std::ffi::OsString;
use std::process::ExitCode;

/// The names that the executable answers to; `symlinks.sh` makes them.
pub const NAMES: [&str; 3] = ["xen-migrate", "xen-drbd-auto", "migrate2"];

/// What an applet is told besides its arguments: the parts of the environment that mean something to it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The root that was asked for by `XEN_DRBD_ROOT` (the `--root` argument wins over it).
    pub root: Option<String>,
    /// `SSH_ORIGINAL_COMMAND`: what the peer asked for.
    pub ssh_original_command: Option<String>,
    /// `SSH_CONNECTION`: where the peer is.
    pub ssh_connection: Option<String>,
    /// Standard output is a terminal.
    pub terminal: bool,
}

/// Finds the applet that `argv[0]` names, makes the real world, and runs it there.
pub fn main(_argv: Vec<OsString>) -> ExitCode {
    ExitCode::SUCCESS
}

/// Runs one applet in a given world: what [`main`] does with the real one and the lab with a pretend one.
///
/// `argv[0]` is the name it was called by, with or without a path. Returns the exit code of design.md 7.
pub fn run(_world: &dyn World, _argv: &[String], _around: &Surroundings) -> i32 {
    0
}
