//! A prompt, or one command, on a pretend Dom0.

use super::Fault;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::Command;
use xen_drbd::lab::folder::Folder;

/// Becomes a shell there. Returns only when that fails.
pub fn shell(folder: &Folder, host: &str) -> Fault {
    let bash = ["/bin/bash", "/usr/bin/bash"].into_iter().find(|path| std::path::Path::new(path).is_file());
    let argv: &[&str] = match bash {
        Some(bash) => &[bash, "--norc", "--noprofile"],
        None => &["/bin/sh"],
    };
    if std::io::stdin().is_terminal() {
        eprintln!(
            "On {host}: xen-migrate, xl, drbdadm, ssh… are those of this pretend Dom0, whose files are below the current folder\n\
             (etc/xen/migrate-tab.txt). reboot and poweroff act on it; systemctl, service, pkill, fuser and their like are refused.\n\
             Everything else is this very machine's: rm, chmod or an editor change ITS files where a path begins with /, and so\n\
             does a program that is called by its full path (/sbin/reboot). `exit` ends it."
        );
    }
    let mut command = folder.command(host, argv);
    command.env("PS1", format!("{host}# ")).env("HOME", folder.root(host).join("root")).env_remove("ENV");
    command.env("HISTFILE", "/dev/null").env_remove("PROMPT_COMMAND").env_remove("BASH_ENV");
    format!("{}: {}", argv[0], as_they_read(&mut command).exec())
}

/// A person is answered in the language of that person.
fn as_they_read(command: &mut Command) -> &mut Command {
    match std::env::var_os("LC_ALL") {
        Some(locale) => command.env("LC_ALL", locale),
        None => command.env_remove("LC_ALL"),
    }
}

/// Becomes that command. Returns only when that fails.
pub fn run(folder: &Folder, host: &str, words: &[String]) -> Fault {
    let argv: Vec<&str> = match words {
        [line] if line.contains(' ') => vec!["/bin/sh", "-c", line],
        words => words.iter().map(String::as_str).collect(),
    };
    let why = as_they_read(&mut folder.command(host, &argv)).exec();
    format!("{}: {why}", argv[0])
}
