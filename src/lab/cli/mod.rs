//! The lab's own command line.

mod build;
mod moments;
mod place;
mod presets;
mod shell;
mod tour;
mod view;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use xen_drbd::lab::folder::Folder;
use xen_drbd::lab::{Deed, Lab};

/// What a verb says when it does not succeed: one line, or several.
type Fault = String;

/// A pretend fleet of Dom0s, on which the real xen-migrate runs.
#[derive(Debug, Parser)]
#[command(name = "lab", about = "A pretend fleet of Dom0s with Xen and DRBD, on which the real xen-migrate runs", after_help = EXAMPLES)]
struct Cli {
    /// The fleet's folder (default: the one used last; made anew when there is none)
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The xen-drbd executable to use instead of building it
    #[arg(long, global = true, value_name = "FILE")]
    tool: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

const EXAMPLES: &str = "\
Examples (`lab` is the installed xen-drbd-lab; in a clone: cargo run --example lab -- …):
  lab                                the tour: the main job on three pretend Dom0s, in some seconds
  lab shell dom0-alpha               a prompt on that Dom0; try: xen-migrate status ALL
  lab run dom0-beta xl list          one command there
  lab status                         the whole fleet from above, as no Dom0 sees it
  lab cut dom0-alpha dom0-beta 30    no packet passes between the two for 30 s of the fleet's clock
  lab power off dom0-beta            and `lab power on dom0-beta` boots it again
  lab pass 60                        a minute passes
  lab plan --at my-domu-1:suspended kill-tools dom0-alpha
  lab new /tmp/pair --preset pair --drbd 9 --disks phy

XEN_DRBD_LAB=DIR (an absolute path): where the default fleet is, and which one was used last; otherwise xen-drbd-lab in cargo's target
folder, so that each clone has its own.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the main job on three pretend Dom0s
    Tour {
        /// Keep the folder, and say where it is
        #[arg(long)]
        keep: bool,
    },
    /// Make a fleet in a folder
    New(presets::New),
    /// A prompt on a Dom0
    Shell {
        /// The Dom0, as dom0-alpha or alpha
        host: String,
    },
    /// Run one command on a Dom0; its exit code is ours
    Run {
        /// The Dom0
        host: String,
        /// The command and its arguments; one word with blanks is given to sh
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// The whole fleet from above: Dom0s, domUs, roles, links, clock
    Status,
    /// Cut everything between two Dom0s, silently
    Cut {
        /// One
        a: String,
        /// The other
        b: String,
        /// For so long, by the fleet's clock; otherwise until `lab mend`
        seconds: Option<u64>,
        /// Only replication (drbd), or only ssh
        #[arg(long, value_name = "drbd|ssh", value_parser = ["drbd", "ssh"])]
        only: Option<String>,
    },
    /// Mend a link
    Mend {
        /// One
        a: String,
        /// The other
        b: String,
    },
    /// Switch a Dom0 off or on
    Power {
        /// off: at once, as by a pulled plug; on: it boots
        #[arg(value_parser = ["off", "on"])]
        way: String,
        /// The Dom0
        host: String,
    },
    /// Let time pass
    Pass {
        /// So many seconds
        seconds: u64,
    },
    /// Plan what goes wrong, and when; without a deed, show what is planned
    #[command(after_help = moments::HELP)]
    Plan(moments::Plan),
}

/// Runs the lab.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match perform(&cli) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("lab: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: &Cli) -> Result<ExitCode, Fault> {
    let given = cli.dir.as_deref();
    let tool = cli.tool.as_deref();
    let folder = || place::folder(given, tool);
    let changed = |folder: &Folder, deed: Deed| told(folder.with(|lab| lab.perform(&deed, None)));
    match cli.verb.as_ref().unwrap_or(&Verb::Tour { keep: false }) {
        Verb::Tour { keep } => return tour::run(given, tool, *keep),
        Verb::New(new) => {
            let folder = presets::make(new, tool)?;
            place::remember(folder.dir());
            println!("A fleet is in {}. Try:\n  lab status\n  lab shell {}", folder.dir().display(), told(folder.hosts())?[0]);
        }
        Verb::Shell { host } => {
            let folder = place::folder_to_run(given, tool)?;
            return Err(shell::shell(&folder, &named(&folder, host)?));
        }
        Verb::Run { host, command } => {
            let folder = place::folder_to_run(given, tool)?;
            return Err(shell::run(&folder, &named(&folder, host)?, command));
        }
        Verb::Status => print!("{}", view::fleet(&folder()?)?),
        Verb::Cut { a, b, seconds, only } => {
            let folder = folder()?;
            let (a, b, time) = (named(&folder, a)?, named(&folder, b)?, seconds.map(|s| s * 1000));
            changed(
                &folder,
                match only.as_deref() {
                    Some("drbd") => Deed::CutDrbd(a, b, time),
                    Some(_) => Deed::CutSsh(a, b, time),
                    None => Deed::Cut(a, b, time),
                },
            )?;
        }
        Verb::Mend { a, b } => {
            let folder = folder()?;
            changed(&folder, Deed::Mend(named(&folder, a)?, named(&folder, b)?))?;
        }
        Verb::Power { way, host } => {
            let folder = folder()?;
            let host = named(&folder, host)?;
            println!("{}", told(if way == "on" { folder.power_on(&host) } else { folder.power_off(&host) })?);
        }
        Verb::Pass { seconds } => told(folder()?.with(|lab| lab.pass(seconds * 1000)))?,
        Verb::Plan(plan) => moments::run(&folder()?, plan)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An error of the system, in words.
fn told<T>(result: std::io::Result<T>) -> Result<T, Fault> {
    result.map_err(|why| why.to_string())
}

/// The Dom0 that a word means: its name, its address, or the end of its name.
fn named(folder: &Folder, word: &str) -> Result<String, Fault> {
    told(folder.with(|lab| host_of(lab, word)))?
}

fn host_of(lab: &Lab, word: &str) -> Result<String, Fault> {
    let hosts: Vec<String> = lab.with(|f| f.hosts.keys().cloned().collect());
    let end = format!("-{word}");
    lab.with(|f| f.resolve(word))
        .or_else(|| hosts.iter().find(|h| h.ends_with(&end)).cloned())
        .ok_or_else(|| format!("there is no Dom0 {word} in this fleet; there are {}", hosts.join(", ")))
}
