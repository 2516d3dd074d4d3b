//! What the command lines of all applets have in common.

use super::exit::{Exit, Stop};
use super::help;
use crate::adapters::{To, World};
use crate::core::names::{BadName, DomuName, HostName};
use crate::core::xen::Toolstack;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser};
use std::time::Duration;

/// In `--help` they stand together, behind the verb's own. (clap puts a colon behind it.)
const EVERYWHERE: &str = "For every verb";

// No doc comment: clap would take it for the description of the applet that flattens it.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Everywhere {
    /// A folder in front of every path (also: XEN_DRBD_ROOT)
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    pub root: Option<String>,
    /// Folders where the tools are looked for first, with colons between them
    #[arg(long, global = true, value_name = "DIRS", hide_short_help = true, help_heading = EVERYWHERE)]
    pub path: Option<String>,
    /// Use this toolstack instead of the one that answers
    #[arg(long, global = true, value_name = "xl|xm", value_parser = toolstack, help_heading = EVERYWHERE)]
    pub toolstack: Option<Toolstack>,
}

/// Reads the arguments (without `argv[0]`) of the applet of that name. The error is the exit code: help was shown, or what is wrong told.
pub fn read<C: Parser>(world: &dyn World, name: &str, args: &[String]) -> Result<C, i32> {
    let argv = std::iter::once(name.to_string()).chain(args.iter().cloned());
    let tongue = world.tongue();
    let command = match tongue.is_foreign() {
        true => help::in_words_of(C::command(), &|text| tongue.text(text).map(str::to_string)),
        false => C::command(),
    };
    command.try_get_matches_from(argv).and_then(|matches| C::from_arg_matches(&matches)).map_err(|error| {
        let error = without_migrate2(error);
        let to = if error.use_stderr() { To::Err } else { To::Out };
        world.say(to, error.render().to_string().trim_end());
        error.exit_code()
    })
}

/// Who mistypes `migrate` does not mean the forced command, which nobody types.
fn without_migrate2(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(names)) = error.get(ContextKind::SuggestedSubcommand) {
        let others: Vec<String> = names.iter().filter(|name| *name != "migrate2").cloned().collect();
        if !others.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(others));
        }
    }
    error
}

/// A time, for clap.
pub fn time(word: &str) -> Result<Duration, String> {
    humantime::parse_duration(word).map_err(|_| "a time is expected, for example 90s, 4m or 2h".to_string())
}

/// `ALL` and names exclude each other: one who types both has forgotten something, and `ALL` would win without a word.
pub(super) fn all_or_names(all: bool, words: usize, hint: &str) -> Result<(), Stop> {
    match all && words > 1 {
        true => Err(Stop::new(Exit::Usage, format!("ALL and names exclude each other{hint}"))),
        false => Ok(()),
    }
}

/// A domU's name, for clap.
pub fn domu(word: &str) -> Result<DomuName, String> {
    if word == "ALL" {
        return Err("not in this version: one domU at a time".to_string());
    }
    word.parse().map_err(|bad: BadName| bad.why.to_string())
}

/// A host's name, for clap.
pub fn host(word: &str) -> Result<HostName, String> {
    word.parse().map_err(|bad: BadName| bad.why.to_string())
}

fn toolstack(word: &str) -> Result<Toolstack, String> {
    match word {
        "xl" => Ok(Toolstack::Xl),
        "xm" => Ok(Toolstack::Xm),
        _ => Err("xl or xm is expected".to_string()),
    }
}
