//! The front doors, one for each name of the executable. They import core and adapters.

pub mod cli;
pub mod exit;
pub mod help;
pub mod xen_drbd_auto;
pub mod xen_migrate;

use crate::adapters::real::{Real, hand_on_nothing};
use crate::adapters::{To, World};
use crate::tongue::Tongue;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The names of the executable. `symlinks.sh` makes them; a test holds the two lists against each other.
pub const NAMES: [&str; 3] = ["xen-migrate", "xen-drbd-auto", "migrate2"];

/// No person hears what is said under these verbs, nor what the forced command says: the system's log does, or another part of this
/// program.
const NOBODYS: [&str; 3] = ["daemon", "keep", "init-info"];

/// What an applet is told besides its arguments: the parts of the environment that mean something to it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `SSH_ORIGINAL_COMMAND`: what the peer asked for.
    pub ssh_original_command: Option<String>,
    /// `SSH_CONNECTION`: where the peer is.
    pub ssh_connection: Option<String>,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Standard error is a terminal on which lines can be drawn over, and nobody asked for plain ones (`NO_COLOR`, `TERM=dumb`).
    pub drawing: bool,
}

/// Finds the applet that `argv[0]` names, makes the real world, and runs it there.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    hand_on_nothing();
    let argv: Vec<String> = argv.into_iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let around = Surroundings::of_this_process();
    let mut real = Real::new(early("--root", &argv).or_else(|| env_root(&argv)).map(PathBuf::from));
    if is_forced_command(&argv) {
        // Whatever sshd or a login shell made of PATH: the dedicated key gets the system's own tools.
        real.path = OsString::from("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }
    if let Some(folders) = early("--path", &argv) {
        real.path = in_front(&folders, &real.path);
    }
    // A peer reads another language, and the service manager keeps what is said for days.
    if !is_forced_command(&argv) && !verb(&argv).is_some_and(|verb| NOBODYS.contains(&verb)) {
        real.tongue = Tongue::asked(&|name| std::env::var(name).ok());
    }
    // What its daemon decides is looked for under its own name.
    if argv.iter().take(2).any(|word| applet_name(word) == "xen-drbd-auto") {
        real.tag = "xen-drbd-auto".to_string();
    }
    let mut code = run(&real, &argv, &around);
    // An answer of which a part is missing must not be taken for the whole.
    if let Some(why) = real.lost_output().filter(|_| code == 0) {
        real.say(To::Err, &format!("the answer could not be written to standard output: {why}"));
        code = 1;
    }
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Folders in front of those that are searched anyway: what they do not have is still found.
fn in_front(folders: &str, path: &OsStr) -> OsString {
    let mut all = OsString::from(folders);
    if !path.is_empty() {
        all.push(":");
        all.push(path);
    }
    all
}

impl Surroundings {
    fn of_this_process() -> Surroundings {
        let var = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
        Surroundings {
            ssh_original_command: var("SSH_ORIGINAL_COMMAND"),
            ssh_connection: var("SSH_CONNECTION"),
            terminal: std::io::stdout().is_terminal(),
            drawing: std::io::stderr().is_terminal()
                && var("TERM").is_some_and(|term| term != "dumb" && !term.is_empty())
                && var("NO_COLOR").is_none_or(|it| it.is_empty()),
        }
    }
}

/// An option that must be known before the world is made. The command line is checked in full later.
fn early(option: &str, argv: &[String]) -> Option<String> {
    let mut words = argv.iter().skip(1).take_while(|w| *w != "--");
    while let Some(word) = words.next() {
        if word == option {
            return words.next().cloned();
        }
        if let Some(value) = word.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.to_string());
        }
    }
    None
}

/// The verb: the first word behind the applet's name that is neither an option nor the value of one.
fn verb(argv: &[String]) -> Option<&str> {
    let applet = argv.iter().take(2).position(|word| NAMES.contains(&applet_name(word).as_str()))?;
    let mut words = argv[applet + 1..].iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--root" | "--path" | "--toolstack" => drop(words.next()),
            option if option.starts_with('-') => {}
            verb => return Some(verb),
        }
    }
    None
}

/// The root that the environment asks for. A peer has no say in it: only the `command=` line itself has, by `--root`.
fn env_root(argv: &[String]) -> Option<String> {
    if is_forced_command(argv) {
        return None;
    }
    std::env::var("XEN_DRBD_ROOT").ok().filter(|root| !root.is_empty())
}

fn is_forced_command(argv: &[String]) -> bool {
    argv.iter().any(|word| applet_name(word) == "migrate2")
}

/// Runs one applet in a given world: what [`main`] does with the real one and the lab with a pretend one.
///
/// `argv[0]` is the name it was called by, with or without a path; an init link may put `S20` or `K80` before it.
/// Returns the exit code.
pub fn run(world: &dyn World, argv: &[String], around: &Surroundings) -> i32 {
    let name = argv.first().map(|a| applet_name(a)).unwrap_or_default();
    match name.as_str() {
        "xen-migrate" => xen_migrate::run(world, &argv[1..], around),
        "migrate2" => xen_migrate::run_migrate2(world, &argv[1..], around),
        "xen-drbd-auto" => xen_drbd_auto::run(world, &argv[1..]),
        _ => match argv.get(1).map(String::as_str) {
            Some(name) if NAMES.contains(&name) => run(world, &argv[1..], around),
            None | Some("help" | "-h" | "--help") => {
                world.say(To::Out, &listing(&name));
                0
            }
            Some("-V" | "--version") => {
                world.say(To::Out, &format!("xen-drbd {}", env!("CARGO_PKG_VERSION")));
                0
            }
            Some(other) => {
                world.say(To::Err, &format!("{name}: there is no applet {other:?}\n{}", listing(&name)));
                2
            }
        },
    }
}

/// The file name, without the `S20` or `K80` of an init link.
fn applet_name(argv0: &str) -> String {
    let name = Path::new(argv0).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = name.as_bytes();
    let init = bytes.len() > 3 && matches!(bytes[0], b'S' | b'K') && bytes[1..3].iter().all(u8::is_ascii_digit);
    if init && NAMES.contains(&&name[3..]) { name[3..].to_string() } else { name }
}

fn listing(name: &str) -> String {
    format!(
        "xen-drbd {}: moves Xen domUs on DRBD between Dom0s,\n\
         and starts them at boot only when no other host runs them.\n\n\
         One executable under several names; under any other, {name} APPLET ARGUMENTS…\n\n  \
         xen-migrate     moves a domU to its partner and brings it back\n  \
         xen-drbd-auto   starts domUs at boot when it is safe\n  \
         migrate2        what the dedicated ssh key may run\n\n\
         Each of them knows --help. symlinks.sh puts the names in place.",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_for_the_tools_come_first_and_do_not_replace_the_others() {
        assert_eq!(in_front("/a b:/c", OsStr::new("/usr/bin:/bin")), "/a b:/c:/usr/bin:/bin");
        assert_eq!(in_front("/a", OsStr::new("")), "/a");
    }

    #[test]
    fn the_verb_is_found_behind_options() {
        let verb = |line: &str| verb(&line.split(' ').map(String::from).collect::<Vec<_>>()).map(String::from);
        assert_eq!(verb("/usr/bin/xen-drbd-auto --root /x daemon --start").as_deref(), Some("daemon"));
        assert_eq!(verb("xen-drbd xen-drbd-auto --root=/x keep 0 xl"), Some("keep".to_string()));
        assert_eq!(verb("xen-migrate migrate daemon").as_deref(), Some("migrate"));
        assert_eq!(verb("xen-migrate --help"), None);
        assert_eq!(verb("xen-drbd daemon"), None);
    }

    #[test]
    fn the_name_is_the_file_name_whatever_the_path_or_the_init_level() {
        for (argv0, name) in [
            ("xen-migrate", "xen-migrate"),
            ("/usr/local/bin/migrate2", "migrate2"),
            ("/etc/rc2.d/S20xen-drbd-auto", "xen-drbd-auto"),
            ("../rc0.d/K80xen-drbd-auto", "xen-drbd-auto"),
            ("./xen-drbd", "xen-drbd"),
            ("S20other", "S20other"),
            ("", ""),
        ] {
            assert_eq!(applet_name(argv0), name);
        }
    }
}
