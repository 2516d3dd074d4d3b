//! `xm`, xend's client.

use super::{Ctx, Printed};
use crate::lab::model::Version;

/// Runs `xm`.
pub fn run(_ctx: &Ctx<'_>, _version: Version, args: &[&str]) -> Printed {
    let command = args.first().copied().unwrap_or("");
    Printed {
        code: 1,
        out: "Usage: xm <subcommand> [args]\n".to_string(),
        err: format!("Error: Subcommand {command} not found!\n"),
        signal: None,
    }
}
