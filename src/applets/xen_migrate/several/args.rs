//! The arguments of `migrate` and of `reverse`.

use crate::applets::cli::{all_or_names, domu, host, time};
use crate::applets::exit::Stop;
use crate::applets::xen_migrate::cli::How;
use crate::core::names::{DomuName, HostName};
use clap::Args;
use std::time::Duration;

/// The examples of `migrate --help`.
pub const MIGRATE_EXAMPLES: &str = "\
Examples:
  xen-migrate migrate web
  xen-migrate migrate web --dry-run
  xen-migrate migrate web --to dom0-gamma
  xen-migrate migrate web --despite config
  xen-migrate migrate ALL            empty this Dom0: all, or nothing moves
  xen-migrate migrate ALL --except db --jobs 4
  xen-migrate migrate ALL --partial  what can go, goes
  xen-migrate migrate ALL --shutdown --deadline 4m";

/// The examples of `reverse --help`.
pub const REVERSE_EXAMPLES: &str = "\
Examples:
  xen-migrate reverse web
  xen-migrate reverse ALL           what was sent from here, wherever it is
  xen-migrate reverse ALL --except db
  xen-migrate reverse ALL --dry-run
  xen-migrate reverse ALL --return  what migrate --shutdown sent away
  xen-migrate reverse ALL --return --wait 2h";

/// The arguments of `migrate`.
#[derive(Debug, Clone, Args)]
pub struct Migrate {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// This Dom0 goes down: what goes is remembered for `reverse ALL --return`, what cannot go stays (as with --partial), and until
    /// then or the next boot nothing may come here
    #[arg(long)]
    pub shutdown: bool,
    /// Go there instead of the row's first host that will do; the row must list it
    #[arg(long, value_name = "HOST", value_parser = host, display_order = 0)]
    pub to: Option<HostName>,
    /// How
    #[command(flatten)]
    pub how: How,
}

/// The arguments of `reverse`.
#[derive(Debug, Clone, Args)]
pub struct Reverse {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Only what `migrate --shutdown` sent away; this Dom0 stays up, and takes domUs in again
    #[arg(long)]
    pub r#return: bool,
    /// What cannot come back yet is tried again each minute, for so long: its host is down, or DRBD still synchronises
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "dry_run")]
    pub wait: Option<Duration>,
    /// Show the plan with every deed and every check; touch nothing
    #[arg(long, display_order = 0)]
    pub dry_run: bool,
}

/// Which domUs, and what is common to both ways.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The domUs
    #[arg(value_name = "ALL|DOMU", required = true, value_parser = word)]
    pub words: Vec<Word>,
    /// Leave this one where it is; may be repeated
    #[arg(long, value_name = "DOMU", value_parser = domu)]
    pub except: Vec<DomuName>,
    /// Do what can be done although some of them cannot
    #[arg(long)]
    pub partial: bool,
    /// So many at once (default: one for each target)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// After so long begin nothing more; what is in flight then is undone, or finished where that is safer
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub deadline: Option<Duration>,
    /// Tell what happens in lines of JSON
    #[arg(long)]
    pub json: bool,
}

/// One word of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// `ALL`.
    All,
    /// A name.
    Domu(DomuName),
}

fn word(text: &str) -> Result<Word, String> {
    if text == "ALL" { Ok(Word::All) } else { domu(text).map(Word::Domu) }
}

impl Which {
    pub(super) fn all(&self) -> bool {
        self.words.contains(&Word::All)
    }

    /// The one domU that is meant, where it is one.
    pub(super) fn one(&self) -> Option<&DomuName> {
        match self.words.as_slice() {
            [Word::Domu(domu)] if self.except.is_empty() => Some(domu),
            _ => None,
        }
    }

    /// `ALL` beside names means neither: whoever types it forgets `--except`.
    pub fn makes_sense(&self) -> Result<(), Stop> {
        all_or_names(self.all(), self.words.len(), "; did you mean --except?")
    }

    /// The names that were given, each once, and of `every` all with `ALL`; the excepted among them.
    pub(super) fn meant(&self, every: impl IntoIterator<Item = DomuName>) -> Vec<DomuName> {
        let named = self.words.iter().filter_map(|w| match w {
            Word::Domu(domu) => Some(domu.clone()),
            Word::All => None,
        });
        let mut domus: Vec<DomuName> = Vec::new();
        let every: Vec<DomuName> = if self.all() { every.into_iter().collect() } else { vec![] };
        for domu in named.chain(every) {
            if !domus.contains(&domu) {
                domus.push(domu);
            }
        }
        domus
    }
}
