//! Completion for bash, zsh and fish, from the command lines. The names of domUs and hosts come from the operator's table and from the
//! record, read when TAB is pressed; no program is started for that, and no host is asked.

mod bash;
mod fish;
mod zsh;

use super::pages;
use clap::{Arg, ArgAction, Command};
use xen_drbd::core::migrate::check::Check;

/// What stands at one place of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A domU of the table or the record.
    Domu,
    /// The same, or ALL.
    DomuOrAll,
    /// A Dom0 of the table or the record.
    Host,
    /// One of these.
    Words(Vec<String>),
    /// A folder.
    Folder,
    /// A file.
    File,
    /// What only the person knows.
    Free,
}

/// An option.
pub struct Flag {
    /// With its dashes.
    pub names: Vec<String>,
    /// What it does.
    pub help: String,
    /// What follows it, if something does.
    pub value: Option<Value>,
    /// It may be said more than once.
    pub again: bool,
}

/// A verb.
pub struct Verb {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// Its options, those of the whole program among them.
    pub flags: Vec<Flag>,
    /// Its arguments, and whether the last may be repeated.
    pub places: Vec<Value>,
    /// Whether the last argument may be repeated.
    pub repeats: bool,
}

/// A program.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What may stand before the verb.
    pub flags: Vec<Flag>,
    /// Its verbs.
    pub verbs: Vec<Verb>,
}

/// Every file, by its path below `/usr`.
pub fn all() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for program in programs() {
        let name = program.name;
        files.push((format!("share/bash-completion/completions/{name}"), bash::script(&program)));
        files.push((format!("share/zsh/vendor-completions/_{name}"), zsh::script(&program)));
        files.push((format!("share/fish/vendor_completions.d/{name}.fish"), fish::script(&program)));
    }
    files
}

/// The programs that a person types. migrate2 nobody types.
pub fn programs() -> Vec<Program> {
    ["xen-migrate", "xen-drbd-auto"].into_iter().filter_map(|name| Some(program(name, &pages::command(name)?))).collect()
}

fn program(name: &'static str, command: &Command) -> Program {
    let shown = command.get_subcommands().filter(|v| !v.is_hide_set() && !["help", "migrate2"].contains(&v.get_name()));
    Program { name, flags: flags(command), verbs: shown.map(verb).collect() }
}

fn verb(command: &Command) -> Verb {
    let places: Vec<&Arg> = command.get_positionals().filter(|a| !a.is_hide_set()).collect();
    Verb {
        name: command.get_name().to_string(),
        about: first_line(command.get_about().map(|a| a.to_string())),
        flags: flags(command),
        repeats: places.last().is_some_and(|a| a.get_num_args().is_some_and(|n| n.max_values() > 1)),
        places: places.into_iter().map(value).collect(),
    }
}

fn flags(command: &Command) -> Vec<Flag> {
    command.get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set()).map(flag).collect()
}

fn flag(arg: &Arg) -> Flag {
    let mut names: Vec<String> = arg.get_long().map(|l| format!("--{l}")).into_iter().collect();
    names.extend(arg.get_short().map(|s| format!("-{s}")));
    Flag {
        names,
        help: first_line(arg.get_help().map(|h| h.to_string())),
        value: arg.get_action().takes_values().then(|| value(arg)),
        again: matches!(arg.get_action(), ArgAction::Append),
    }
}

/// What an argument is, by the name that its value has in `--help`.
fn value(arg: &Arg) -> Value {
    let given: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_string()).collect();
    if !given.is_empty() {
        return Value::Words(given);
    }
    let id = arg.get_id().as_str();
    let name = arg.get_value_names().and_then(|n| n.first()).map_or(id.to_uppercase(), |n| n.to_string());
    let parts: Vec<&str> = name.split('|').collect();
    match parts[..] {
        ["CHECK"] => Value::Words(Check::OVERRULABLE.iter().map(Check::to_string).collect()),
        ["DOMU" | "DOMUS"] => Value::Domu,
        ["HOST" | "HOSTS" | "PEER"] => Value::Host,
        ["DIR" | "DIRS"] => Value::Folder,
        ["FILE"] => Value::File,
        _ if parts.contains(&"ALL") => Value::DomuOrAll,
        _ if parts.len() > 1 && parts.iter().all(|p| p.chars().any(char::is_lowercase)) => {
            Value::Words(parts.iter().map(|p| p.to_string()).collect())
        }
        _ => Value::Free,
    }
}

fn first_line(text: Option<String>) -> String {
    text.unwrap_or_default().lines().next().unwrap_or_default().trim_end_matches('.').to_string()
}

/// How bash and zsh find the names. `$XEN_DRBD_ROOT` is respected as the programs do; a comment line has no names.
pub const NAMES_IN_SH: &str = r#"
_xen_drbd_column() {
	# $1: the column of the table, $2: that of the record.
	local etc="${XEN_DRBD_ROOT-}/etc/xen" one two three rest
	if [[ -r $etc/migrate-tab.txt ]]; then
		while read -r one two rest || [[ -n $one ]]; do
			[[ -z $one || $one == '#'* ]] && continue
			if [[ $1 == 1 ]]; then printf '%s\n' "$one"; else printf '%s\n' "${two//,/
}"; fi
		done <"$etc/migrate-tab.txt"
	fi
	if [[ -r $etc/migrate-status.txt ]]; then
		while read -r one two three rest; do
			[[ -z $one || $one == '#'* ]] && continue
			if [[ $2 == 1 ]]; then printf '%s\n' "$one"; else printf '%s\n' "$three"; fi
		done <"$etc/migrate-status.txt"
	fi
}
_xen_drbd_domus() { _xen_drbd_column 1 1; }
_xen_drbd_hosts() { _xen_drbd_column 2 3; }
"#;

/// The domUs of xen-drbd-auto are those of its folder, by the names of their files.
pub const BOOT_NAMES_IN_SH: &str = r#"
_xen_drbd_auto_domus() {
	local file
	for file in "${XEN_DRBD_ROOT-}"/etc/xen/drbd-auto/*; do
		[[ -f $file ]] || continue
		file=${file##*/}
		printf '%s\n' "${file%.*}"
	done
}
"#;
