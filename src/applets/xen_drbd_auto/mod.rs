//! xen-drbd-auto: starts the domUs of `/etc/xen/drbd-auto` when the roles prove that no other host runs them.
//!
//! `start` makes one [`round`] over all configs and returns; what must wait is left to one [`daemon`] in the background. Both decide by
//! [`crate::core::boot`] and start by [`claim`].

pub mod claim;
pub mod cli;
pub(in crate::applets) mod create;
pub mod daemon;
pub(super) mod force;
mod keep;
pub mod lsb;
mod metrics;
mod report;
mod round;
mod service;

use super::exit::{Exit, Stop};
use crate::adapters::{To, World};
use crate::core::xen::Toolstack;
use cli::{Asked, Cli, Verb};

/// What every verb is given.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The world.
    pub world: &'a dyn World,
    /// The toolstack that was asked for.
    pub toolstack: Option<Toolstack>,
    /// A folder in front of every path, to be handed on to the daemon.
    pub root: Option<&'a str>,
    /// Where the tools are looked for first, likewise.
    pub path: Option<&'a str>,
    /// How it is to be started; `None`: as the last `start` was told.
    pub asked: Option<Asked>,
    /// In the place of a daemon that died: what that one had decided stays decided.
    pub goes_on: bool,
}

impl Setting<'_> {
    /// A person, or the boot, has asked for a start; not the daemon, which only looks again.
    fn is_start(&self) -> bool {
        self.asked.is_some() && !self.goes_on
    }
}

/// What a verb returns: an exit code, which for `status` is one of the LSB's.
pub type Ended = Result<i32, Stop>;

/// Runs `xen-drbd-auto` with these arguments (without `argv[0]`).
pub fn run(world: &dyn World, args: &[String]) -> i32 {
    let cli = match super::cli::read::<Cli>(world, "xen-drbd-auto", args) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let common = &cli.everywhere;
    let asked = match cli.verb {
        Verb::Start(asked) | Verb::Restart(asked) | Verb::Daemon { start: true, asked } => Some(asked),
        _ => None,
    };
    let (root, path) = (common.root.as_deref(), common.path.as_deref());
    let setting = Setting { world, toolstack: common.toolstack, root, path, asked, goes_on: false };
    let ended = match &cli.verb {
        Verb::Start(_) => service::start(setting),
        Verb::Stop => service::stop(setting),
        Verb::Restart(_) => service::stop(setting).and_then(|_| service::start(setting)),
        Verb::Reload | Verb::ForceReload => service::reload(setting),
        Verb::Status { metrics: true, .. } => metrics::print(setting),
        Verb::Status { json, .. } => report::status(setting, *json),
        Verb::Explain { domu } => report::explain(setting, domu),
        Verb::ForceStart(args) => force::start(setting, args),
        Verb::Daemon { start, .. } => daemon::run(setting, *start),
        Verb::Keep { limit, words } => Ok(keep::keep(world, *limit, words)),
        Verb::Bound { parent, words } => Ok(keep::bound(world, *parent, words)),
        Verb::InitInfo => {
            world.say(To::Machine, lsb::HEADER.trim());
            Ok(0)
        }
    };
    ended.unwrap_or_else(|Stop { exit, text }| {
        world.say(To::Err, &format!("xen-drbd-auto: {text}"));
        exit.code()
    })
}

/// A look that failed, as an end of the command.
fn failed(why: impl Into<String>) -> Stop {
    Stop::new(Exit::Failed, why)
}
