//! What a command line says of itself, as blocks of a page.

use super::po::Catalog;
use super::roff::Block;
use clap::{Arg, Command};

/// Options and arguments, each with its words.
pub fn options(command: &Command, catalog: &Catalog) -> Vec<Block> {
    let positional = command.get_positionals();
    let flags = command.get_arguments().filter(|a| !a.is_positional());
    positional.chain(flags).filter(|arg| !arg.is_hide_set()).map(|arg| option(arg, catalog)).collect()
}

fn option(arg: &Arg, catalog: &Catalog) -> Block {
    let help = arg.get_long_help().or(arg.get_help()).map(|h| joined(&h.to_string())).unwrap_or_default();
    // What clap says of its own options stands in every page.
    let mut text = catalog.tr(help.trim_end_matches('.'));
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if !default.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        text += &format!(" {} `{}`.", catalog.tr("Default:"), default.join(" "));
    }
    Block::Item(name(arg, catalog), text)
}

/// How it is written: `--root` *DIR*.
fn name(arg: &Arg, catalog: &Catalog) -> String {
    let value = value(arg, catalog);
    let mut names: Vec<String> = Vec::new();
    names.extend(arg.get_short().map(|c| format!("`-{c}`")));
    names.extend(arg.get_long().map(|l| format!("`--{l}`")));
    match (names.is_empty(), value) {
        (true, value) => value.unwrap_or_default(),
        (false, None) => names.join(", "),
        (false, Some(value)) => format!("{} {value}", names.join(", ")),
    }
}

/// The value's name. Words with a bar between them are written as they are.
fn value(arg: &Arg, catalog: &Catalog) -> Option<String> {
    if !arg.is_positional() && !arg.get_action().takes_values() {
        return None;
    }
    let names = arg.get_value_names().unwrap_or_default();
    let shown = |word: &str| match word.chars().any(char::is_lowercase) || word == "ALL" {
        true => format!("`{word}`"),
        false => format!("*{}*", catalog.tr(word)),
    };
    let words: Vec<String> = names.iter().map(|n| n.split('|').map(shown).collect::<Vec<_>>().join("|")).collect();
    Some(if words.is_empty() { format!("*{}*", arg.get_id().as_str().to_uppercase()) } else { words.join(" ") })
}

/// How a verb is called, in one line.
pub fn usage(program: &str, verb: Option<&Command>, catalog: &Catalog) -> String {
    let Some(verb) = verb else {
        return format!("`{program}` [*{}*…] *{}* […]", catalog.tr("OPTION"), catalog.tr("VERB"));
    };
    let mut line = format!("`{program} {}`", verb.get_name());
    for arg in
        verb.get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set() && !a.is_global_set() && !ours_everywhere(a))
    {
        let more = if matches!(arg.get_action(), clap::ArgAction::Append) { "…" } else { "" };
        line += &match arg.is_required_set() {
            true => format!(" {}{more}", name(arg, catalog)),
            false => format!(" [{}{more}]", name(arg, catalog)),
        };
    }
    for arg in verb.get_positionals().filter(|a| !a.is_hide_set()) {
        let more = if arg.get_num_args().is_some_and(|n| n.max_values() > 1) { "…" } else { "" };
        let value = name(arg, catalog);
        line += &if arg.is_required_set() { format!(" {value}{more}") } else { format!(" [{value}{more}]") };
    }
    line
}

fn ours_everywhere(arg: &Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str())
}

/// Every verb that is shown: how it is called, what it does, its options.
pub fn verbs(program: &str, command: &Command, catalog: &Catalog) -> Vec<Block> {
    let mut blocks = Vec::new();
    for verb in command.get_subcommands().filter(|v| !v.is_hide_set() && v.get_name() != "help") {
        blocks.push(Block::Part(usage(program, Some(verb), catalog)));
        let about = verb.get_long_about().or(verb.get_about()).map(|a| joined(&a.to_string())).unwrap_or_default();
        blocks.push(Block::Text(catalog.tr(about.trim_end_matches('.')) + "."));
        let own: Vec<&Arg> = verb
            .get_positionals()
            .chain(verb.get_arguments().filter(|a| !a.is_positional()))
            .filter(|a| !a.is_hide_set() && !a.is_global_set() && !ours_everywhere(a))
            .collect();
        blocks.extend(own.into_iter().map(|arg| option(arg, catalog)));
        blocks.extend(after(verb, catalog));
    }
    blocks
}

/// What `--help` says at its end: words, tables, examples. The table of exit codes of the whole program is left to the page, which says
/// more of them; those of a verb are told here.
pub fn after(command: &Command, catalog: &Catalog) -> Vec<Block> {
    let text = command.get_after_long_help().or(command.get_after_help()).map(|t| t.to_string()).unwrap_or_default();
    let whole = command.has_subcommands();
    text.split("\n\n").filter(|piece| !(whole && piece.starts_with("Exit codes"))).flat_map(|p| piece(p, catalog)).collect()
}

/// Words that stand at the margin, what is indented below them, and words again.
fn piece(text: &str, catalog: &Catalog) -> Vec<Block> {
    let mut blocks = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let mut of_examples = false;
    for run in lines.chunk_by(|a, b| a.starts_with(' ') == b.starts_with(' ')) {
        if run[0].starts_with(' ') {
            let inner: Vec<&str> = run.iter().map(|l| l.strip_prefix("  ").unwrap_or(l)).collect();
            blocks.extend(match rows(&inner).filter(|_| !of_examples) {
                Some(rows) => {
                    rows.into_iter().map(|(term, words)| Block::Item(format!("`{term}`"), sentence(words, catalog))).collect()
                }
                None => vec![Block::Shown(inner.iter().map(|l| example_line(l, catalog)).collect())],
            });
            continue;
        }
        let words = run.iter().map(|l| l.trim()).collect::<Vec<_>>().join(" ");
        of_examples = words.ends_with("Examples:");
        if words != "Examples:" {
            blocks.push(Block::Text(catalog.tr(&words)));
        }
    }
    blocks
}

/// The rows of a table: a word, two blanks, what it means; or a number and what it means. `None`: it is no table.
fn rows<'a>(lines: &[&'a str]) -> Option<Vec<(&'a str, &'a str)>> {
    let row = |line: &&'a str| {
        let (term, words) = line.split_once(' ')?;
        let number = term.chars().all(|c| c.is_ascii_digit());
        (number || words.starts_with(' ')).then(|| (term, words.trim()))
    };
    lines.iter().map(row).collect()
}

fn sentence(words: &str, catalog: &Catalog) -> String {
    catalog.tr(words) + "."
}

/// What is typed stays as it is; what stands behind it, after two blanks, is words.
fn example_line(line: &str, catalog: &Catalog) -> String {
    let indent = line.len() - line.trim_start().len();
    let Some(at) = line[indent..].find("  ").map(|at| at + indent) else { return line.to_string() };
    let words = line[at..].trim_start();
    let column = line.len() - words.len();
    format!("{:column$}{}", &line[..at], catalog.tr(words))
}

/// A doc comment of several lines as one.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
