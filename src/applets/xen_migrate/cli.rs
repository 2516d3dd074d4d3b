//! The command line of xen-migrate.

use super::several;
use crate::applets::cli::{Everywhere, all_or_names, domu, host};
use crate::applets::exit::Stop;
use crate::core::migrate::check::Check as Overruled;
use crate::core::names::{DomuName, HostName};
use clap::{Args, Parser, Subcommand};

/// Moves a domU from this Dom0 to its partner and brings it back.
#[derive(Debug, Parser)]
#[command(
    name = "xen-migrate",
    version,
    about = "Moves a domU from this Dom0 to its partner, remembers where it went, and brings it back",
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
  xen-migrate status ALL             where every domU of the table is
  xen-migrate where web              on which Dom0 of the fleet it is
  xen-migrate check                  what could stop a migration tomorrow
  xen-migrate migrate web            to its partner in the table
  xen-migrate migrate web --dry-run  the plan, and nothing else
  xen-migrate migrate ALL            every domU that runs here, to its partners
  xen-migrate reverse web            its host sends it back
  xen-migrate reverse ALL            everything that was sent away comes back
  xen-migrate failover web --reason 'dom0-beta burnt down'
  xen-migrate recover                settle what was interrupted
  xen-migrate ping dom0-beta         does the dedicated key work?
  xen-migrate setup dom0-beta        make the key, show the line for the peer

Exit codes:
  0 done, or already so
  1 failed, what moved is said
  2 usage, or a fault in a file
  3 refused: not safe, nothing touched
  4 a host could not be reached, nothing touched
  5 undecided: look at both ends, commands are given
  6 of several, some did not succeed";

const CHECK_HELP: &str = "\
Nothing is touched. A warning stops no migration; a fault would.

Exit codes:
  0 all is well, or there are only warnings
  3 a migration would be refused or fail
  4 the only faults are peers that could not be asked

Examples:
  xen-migrate check
  xen-migrate check web mail
  xen-migrate check --peer dom0-beta
  xen-migrate check ALL --json";

const FAILOVER_HELP: &str = "\
Every Dom0 that the table and the record name, and every host that DRBD names
for its disks, is asked first. Refused while one of them has a copy, while
DRBD shows a Primary anywhere, and while a host that is cut off is not silent:
one that refuses, or does not let us in, is up. Then switch it off, and repeat.
With more than two replicas, each further host that is cut off and silent must
be named with --dead. What only the dead host has written is lost.

Examples:
  xen-migrate failover web --reason 'dom0-beta: power supply burnt, unplugged' --dry-run
  xen-migrate failover web --reason 'dom0-beta: power supply burnt, unplugged'";

/// The arguments of `failover`.
#[derive(Debug, Clone, Args)]
pub struct Failover {
    /// The domU
    #[arg(value_parser = domu)]
    pub domu: DomuName,
    /// How you know that its host is dead, and will not come back by itself while it runs here; it goes into the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Another host that DRBD names for its disks, and that you know to be dead as well; may be repeated
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub dead: Vec<HostName>,
    /// Ask and look, and say what would be lost; touch nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The arguments of `check`.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// ALL (the default), or the domUs in question
    #[arg(value_name = "ALL|DOMU")]
    pub domus: Vec<String>,
    /// Only this Dom0, and the domUs that may go there
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub peer: Option<HostName>,
    /// The same findings for machines
    #[arg(long)]
    pub json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Where each domU is, its state, its DRBD disks and both their roles, since when
    #[command(
        after_help = "Examples:\n  xen-migrate status\n  xen-migrate status web mail --json\n  xen-migrate status ALL --fleet"
    )]
    Status {
        /// ALL (the default), or the domUs to show. `absent`: nothing of it is here and the record says nothing; `unknown`: no table,
        /// record, domain or config file here has the name
        #[arg(value_name = "ALL|DOMU")]
        domus: Vec<String>,
        /// Over all Dom0s that the table names, each asked once and all at the same time; 4: one of them did not answer
        #[arg(long)]
        fleet: bool,
        /// The same facts for machines
        #[arg(long)]
        json: bool,
    },
    /// On which Dom0 of the fleet a domU is
    #[command(after_help = "Exit codes: 0 it was seen; 1 it runs nowhere; 2 nobody knows the name;\n\
        4 not seen, and not all could be asked; 5 it runs on two\n\nExamples:\n  xen-migrate where web\n  xen-migrate where web --json")]
    Where {
        /// The domU
        #[arg(value_parser = domu)]
        domu: DomuName,
        /// The same facts for machines
        #[arg(long)]
        json: bool,
    },
    /// Everything that could stop a migration tomorrow, today: one line each, with what it means and what to type
    #[command(after_help = CHECK_HELP)]
    Check(Check),
    /// Move domUs to their partners in migrate-tab.txt, with their rows' options
    #[command(after_help = several::MIGRATE_EXAMPLES)]
    Migrate(several::Migrate),
    /// Bring domUs back: their hosts are asked over ssh to send them here
    #[command(after_help = several::REVERSE_EXAMPLES)]
    Reverse(several::Reverse),
    /// Start a domU at home whose host is dead: a person says so, and how that is known
    #[command(after_help = FAILOVER_HELP)]
    Failover(Failover),
    /// Settle what an interrupted migration left, by looking at both ends
    #[command(after_help = "Examples:\n  xen-migrate recover\n  xen-migrate recover web")]
    Recover {
        /// The domU; without one, every domU that the record or a leftover copy names
        #[arg(value_parser = one_or_none)]
        domu: Option<DomuName>,
    },
    /// Ask a peer for a sign of life through the dedicated key
    #[command(after_help = "Examples:\n  xen-migrate ping dom0-beta")]
    Ping {
        /// The Dom0
        #[arg(value_parser = host)]
        host: HostName,
    },
    /// What the dedicated key may run: answers xen-migrate on another Dom0
    #[command(
        after_help = "In authorized_keys:\n  from=\"192.0.2.1\",restrict,command=\"/usr/local/bin/xen-migrate migrate2\" ssh-ed25519 …"
    )]
    Migrate2(Migrate2),
    /// Make the dedicated key, show (or put) the line for authorized_keys on the peer, then ping it
    #[command(after_help = "Examples:\n  xen-migrate setup dom0-beta\n  xen-migrate setup dom0-beta --install")]
    Setup(Setup),
}

impl Verb {
    /// What clap cannot tell by itself.
    pub(super) fn makes_sense(&self) -> Result<(), Stop> {
        match self {
            Verb::Migrate(several::Migrate { which, .. }) | Verb::Reverse(several::Reverse { which, .. }) => which.makes_sense(),
            Verb::Status { domus, .. } | Verb::Check(Check { domus, .. }) => {
                all_or_names(domus.iter().any(|word| word == "ALL"), domus.len(), "")
            }
            _ => Ok(()),
        }
    }
}

/// How a migration is made.
#[derive(Debug, Clone, Default, Args)]
pub struct How {
    /// Show the plan with every deed and every check; touch nothing
    #[arg(long, display_order = 0)]
    pub dry_run: bool,
    /// Go on although this check objects (versions, memory, config, bridges, disks); may be repeated
    #[arg(long, value_name = "CHECK", value_parser = check)]
    pub despite: Vec<Overruled>,
}

/// The forced command's own arguments, as they stand in authorized_keys.
#[derive(Debug, Clone, Default, Args)]
pub struct Migrate2 {
    /// The Dom0 that this key belongs to; without it, the name it gives must have the address it comes from
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub peer: Option<HostName>,
}

/// The arguments of `setup`.
#[derive(Debug, Clone, Args)]
pub struct Setup {
    /// The peer
    #[arg(value_parser = host)]
    pub host: HostName,
    /// Put the line into authorized_keys on the peer, over root's own ssh
    #[arg(long)]
    pub install: bool,
    /// The address that the peer sees us come from, where it cannot be found out
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub from: Option<String>,
    /// Where xen-migrate is on the peer (default: where it is here, in a folder `bin`; else /usr/local/bin/xen-migrate)
    #[arg(long, value_name = "FILE", value_parser = program)]
    pub program: Option<String>,
    /// The kind of key, for peers too old for ed25519
    #[arg(long, value_name = "ed25519|rsa", default_value = "ed25519", value_parser = ["ed25519", "rsa"])]
    pub key_type: String,
}

fn one_or_none(word: &str) -> Result<DomuName, String> {
    if word == "ALL" { Err("without a name it settles all".to_string()) } else { domu(word) }
}

fn check(word: &str) -> Result<Overruled, String> {
    word.parse()
}

fn address(word: &str) -> Result<String, String> {
    word.parse::<std::net::IpAddr>().map(|a| a.to_string()).map_err(|_| "an IP address is expected".to_string())
}

/// A path that stands in `command="…"` as it is, for a shell.
fn program(word: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    match word.starts_with('/') && word.chars().all(plain) {
        true => Ok(word.to_string()),
        false => Err("the full path of a program is expected, of letters, digits and / . _ + -".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_is_understood() {
        let examples = [EXAMPLES, several::MIGRATE_EXAMPLES, several::REVERSE_EXAMPLES, CHECK_HELP, FAILOVER_HELP].join("\n");
        let lines: Vec<&str> =
            examples.lines().filter_map(|l| l.strip_prefix("  ")).filter(|l| l.starts_with("xen-migrate ")).collect();
        assert!(lines.len() > 15, "{lines:?}");
        for line in lines {
            let command = line.split("   ").next().unwrap_or_default().split("  ").next().unwrap_or_default();
            // What stands in quotes is one word.
            let words = command.split('\'').enumerate().flat_map(|(n, part)| match n % 2 {
                0 => part.split_whitespace().collect::<Vec<_>>(),
                _ => vec![part],
            });
            assert!(Cli::try_parse_from(words).is_ok(), "{command}");
        }
    }

    #[test]
    fn names_are_checked_at_the_door() {
        for args in [
            ["xen-migrate", "migrate", "a;b"],
            ["xen-migrate", "recover", "ALL"],
            ["xen-migrate", "migrate", "--jobs=0"],
            ["xen-migrate", "ping", "-oProxyCommand=id"],
            ["xen-migrate", "reverse", "1000"],
        ] {
            assert!(Cli::try_parse_from(args).is_err(), "{args:?}");
        }
        assert!(Cli::try_parse_from(["xen-migrate", "migrate", "web", "--despite", "drbd"]).is_err());
        for (program, well) in [("/usr/bin/xen-migrate", true), ("xen-migrate", false), ("/x\"y", false), ("/x y", false)] {
            assert_eq!(
                Cli::try_parse_from(["xen-migrate", "setup", "dom0-beta", "--program", program]).is_ok(),
                well,
                "{program}"
            );
        }
    }
}
