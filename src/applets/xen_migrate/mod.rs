//! xen-migrate: one file a verb.
//!
//! [`drive`] is the hall: look at both ends, plan, record, act, look again, settle. `migrate`, `recover`, and through the peer
//! `reverse`, all pass through it.

mod bars;
pub mod check;
pub mod cli;
pub mod drive;
pub mod failover;
pub mod fleet;
mod flight;
pub mod migrate;
pub mod migrate2;
pub mod ping;
mod receive;
pub mod recover;
pub mod reverse;
pub mod setup;
pub mod several;
pub mod status;
pub mod took;
mod voice;
pub mod where_is;
pub(in crate::applets) mod witness;

use super::Surroundings;
use super::exit::{Exit, Stop};
use crate::adapters::{To, World};
use crate::core::xen::Toolstack;
use cli::{Cli, Verb};

/// What every verb is given.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The world.
    pub world: &'a dyn World,
    /// The toolstack that was asked for.
    pub toolstack: Option<Toolstack>,
    /// The environment.
    pub around: &'a Surroundings,
    /// Who is told what happens, where a machine reads it.
    pub events: Option<&'a dyn Fn(&several::event::Event)>,
}

/// Runs `xen-migrate` with these arguments (without `argv[0]`).
pub fn run(world: &dyn World, args: &[String], around: &Surroundings) -> i32 {
    let cli = match super::cli::read::<Cli>(world, "xen-migrate", args) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let setting = Setting { world, toolstack: cli.everywhere.toolstack, around, events: None };
    let sense = cli.verb.makes_sense();
    let ended = match &cli.verb {
        _ if sense.is_err() => sense.map(|()| Exit::Done),
        Verb::Status { domus, fleet: true, json } => fleet::run(setting, domus, *json),
        Verb::Status { domus, fleet: false, json } => status::run(setting, domus, *json),
        Verb::Check(args) => check::run(setting, args),
        Verb::Where { domu, json } => where_is::run(setting, domu, *json),
        Verb::Migrate(asked) => several::migrate(setting, &cli.everywhere, asked),
        Verb::Reverse(asked) => several::reverse(setting, &cli.everywhere, asked),
        Verb::Failover(args) => failover::run(setting, args),
        Verb::Recover { domu } => recover::run(setting, domu.as_ref()),
        Verb::Ping { host } => ping::run(setting, host),
        Verb::Setup(args) => setup::run(setting, args),
        Verb::Migrate2(args) => return migrate2::serve(setting, args),
    };
    match ended {
        Ok(exit) => exit.code(),
        Err(Stop { exit, text }) => {
            world.say(To::Err, &format!("xen-migrate: {text}"));
            exit.code()
        }
    }
}

/// Runs `migrate2` under its own name.
pub fn run_migrate2(world: &dyn World, args: &[String], around: &Surroundings) -> i32 {
    // Options of xen-migrate itself may stand before or after: clap takes them anywhere.
    let args: Vec<String> = std::iter::once("migrate2".to_string()).chain(args.iter().cloned()).collect();
    run(world, &args, around)
}

/// What a verb returns.
pub type Ended = Result<Exit, Stop>;
