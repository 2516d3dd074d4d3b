//! The command line of xen-drbd-auto.

use crate::applets::cli::{Everywhere, domu, host};
use crate::core::names::{DomuName, HostName};
use clap::{Args, Parser, Subcommand};
use std::num::NonZeroU8;

/// Starts domUs on DRBD when it is safe.
#[derive(Debug, Parser)]
#[command(
    name = "xen-drbd-auto",
    version,
    about = "Starts the domUs of /etc/xen/drbd-auto when DRBD's roles prove that no other host runs them",
    after_help = EXAMPLES,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub everywhere: Everywhere,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  xen-drbd-auto start          start what is safe, wait for what is not known
  xen-drbd-auto status         the last decision for each domU, and why
  xen-drbd-auto reload         look again now, not within five minutes
  xen-drbd-auto explain web    every decision about web since the boot
  xen-drbd-auto force-start web --reason 'dom0-beta burnt down'

Exit codes:
  0 done, or already so
  1 failed
  2 usage, or a fault in a file
  3 refused: not safe, nothing touched
  4 a host could not be reached
  5 undecided: look, commands are given
status has those of the LSB: xen-drbd-auto status --help";

const START: &str = "\
A domU is started when all its DRBD disks are connected, every peer of them is
Secondary, and the disks here are UpToDate; DRBD is made to refuse a second
Primary, and only then it is created. What runs already is left alone: start
can be repeated at any time. What is not known yet waits in the background.

Exit codes:
  0 every domU was decided
  1 something failed, as is said
  2 a config has a fault; the others were started
  3 another start is at work; nothing was touched

Examples:
  xen-drbd-auto start
  xen-drbd-auto start --jobs 4
  /etc/init.d/xen-drbd-auto start";

const STOP: &str = "\
What runs goes on; what waits is not started any more. A start that is just at
work is finished or taken back first.

Examples:
  xen-drbd-auto stop";

const RELOAD: &str = "\
All configs are read again, also of domUs for which nobody waits any more.
Where no daemon waits, it is a start.

Examples:
  xen-drbd-auto reload";

const STATUS: &str = "\
Decisions:
  started   it was started here
  forced    a person had it started here
  exists    it was here already, in the state that is said
  migrated  the record of xen-migrate says that it was moved
  ignored   another host uses its disks
  wait      not known yet; looked at again when the daemon's line says
  fault     its config must be mended; explain shows the place
The daemon ends when nothing waits any more: 'daemon gone' is good news,
'DAEMON DIED' is not.

Exit codes (LSB):
  0 somebody waits, or there is nothing to wait for
  1 the daemon died although a domU waits: xen-drbd-auto start
  1 it has not looked when it should have: xen-drbd-auto restart
  3 nothing was decided since the boot, or somebody ended the waiting
  4 it could not be seen

Examples:
  xen-drbd-auto status
  xen-drbd-auto status --json";

const EXPLAIN: &str = "\
Oldest first: when it was decided so, what, and what was seen. The same again
only counts. The words are those of: xen-drbd-auto status --help

Examples:
  xen-drbd-auto explain web";

const FORCE: &str = "\
First make sure, by its power switch or by eye, that the other host does not
run it. Every Dom0 that DRBD, the table or the record names is asked over ssh.
It is refused while one of them has it, while DRBD shows a Primary anywhere,
and while a host that is cut off is not silent: one that refuses, or does not
let us in, is up. Where more than one is cut off and silent, each must be
named with --dead. If it runs there all the same, it runs twice, and what one
of the two writes from now on is lost; what only the other host has written is
lost in any case.

Examples:
  xen-drbd-auto force-start web --reason 'dom0-beta burnt down' --dry-run
  xen-drbd-auto force-start web --reason 'dom0-beta burnt down'";

/// The arguments of `force-start`.
#[derive(Debug, Args)]
pub struct ForceStart {
    /// The domU
    #[arg(value_parser = domu)]
    pub domu: DomuName,
    /// How you know; it goes into the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// A host that DRBD names for its disks, and that you know to be dead; may be repeated
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub dead: Vec<HostName>,
    /// Ask and look, and say what would be lost; touch nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How a person, or the boot, wants the domUs to be started; the daemon goes on with that.
#[derive(Debug, Clone, Copy, Args)]
pub struct Asked {
    /// Let a quorum (DRBD 9) stand in for a missing host: it cannot write, but a domU may still execute there
    #[arg(long)]
    pub trust_quorum: bool,
    /// So many are created at a time; they are claimed one after the other, in the order of the file names
    #[arg(long, value_name = "N", default_value = "1", value_parser = jobs)]
    pub jobs: NonZeroU8,
}

fn jobs(word: &str) -> Result<NonZeroU8, String> {
    word.parse().map_err(|_| "a number from 1 to 255 is expected".to_string())
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start every domU that is safe to start; the others wait in the background, or are left alone
    #[command(after_help = START)]
    Start(Asked),
    /// End the waiting; no domU is touched
    #[command(after_help = STOP)]
    Stop,
    /// End the waiting and start again
    #[command(after_help = "No domU that runs is touched.\n\nExamples:\n  xen-drbd-auto restart")]
    Restart(Asked),
    /// Look again now
    #[command(after_help = RELOAD)]
    Reload,
    /// The same as reload
    #[command(name = "force-reload", after_help = "Examples:\n  xen-drbd-auto force-reload")]
    ForceReload,
    /// What was decided for each domU, on what evidence, and when it is looked at again
    #[command(after_help = STATUS)]
    Status {
        /// The same facts for machines
        #[arg(long)]
        json: bool,
        /// As figures for Prometheus, with those of the record; the exit code is 0 whatever they say
        #[arg(long, conflicts_with = "json")]
        metrics: bool,
    },
    /// Every decision about one domU since the boot
    #[command(after_help = EXPLAIN)]
    Explain {
        /// The domU
        #[arg(value_parser = domu)]
        domu: DomuName,
    },
    /// Start a domU although its peer cannot be asked, because you know that the other host is dead
    #[command(name = "force-start", after_help = FORCE)]
    ForceStart(ForceStart),
    /// Wait in the foreground: what `start` leaves in the background, and what the systemd unit runs
    #[command(hide = true)]
    Daemon {
        /// First decide once for every domU, as `start` does
        #[arg(long)]
        start: bool,
        #[command(flatten)]
        #[allow(missing_docs)]
        asked: Asked,
    },
    /// Runs a program with the lock that our caller handed to us, and without handing it on: see [`super::keep`]
    #[command(hide = true)]
    Keep {
        /// What it may take, in milliseconds; 0 is for ever
        limit: u64,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Becomes a program that is killed when our caller dies: see [`super::keep`]
    #[command(hide = true)]
    Bound {
        /// The pid of our caller
        parent: u32,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The header that an init script has (update-rc.d finds it in this executable)
    #[command(name = "init-info", hide = true)]
    InitInfo,
}
