//! Finds the texts in the source: string literals, with `{}` for what is filled in, line by line.

use clap::CommandFactory;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use xen_drbd::applets::{help, xen_drbd_auto, xen_migrate};

/// Every text below a folder, in the files that are wanted, with the place where it stands first.
pub fn texts(folder: &str, wanted: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (file, text) in files(folder).into_iter().filter(|(file, _)| wanted(file) && !only_for_tests(file)) {
        for (line, key) in keys_of(&text) {
            texts.entry(key).or_insert_with(|| format!("{file}:{line}"));
        }
    }
    texts
}

/// All sources in one text.
pub fn all_text(folder: &str) -> String {
    files(folder).into_iter().filter(|(file, _)| !only_for_tests(file)).map(|(_, text)| text).collect()
}

fn only_for_tests(file: &str) -> bool {
    file.contains("tests") || ["/testing.rs", "/scripted.rs", "/fuzz.rs"].iter().any(|end| file.ends_with(end))
}

fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("a text")));
            }
        }
    }
    found.sort();
    found
}

/// The keys of one source text, with their lines.
pub fn keys_of(text: &str) -> Vec<(usize, String)> {
    let text = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before);
    let mut keys = Vec::new();
    for (line, literal) in literals(text) {
        if text.lines().nth(line - 1).is_some_and(|l| l.contains("reason = \"")) {
            continue;
        }
        for piece in without_names(&literal).split('\n').map(str::trim).filter(|piece| !piece.is_empty()) {
            keys.push((line, piece.to_string()));
        }
    }
    keys
}

/// The string literals, unescaped.
fn literals(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(&c) = chars.get(at) {
        match c {
            '\n' => line += 1,
            '/' if chars.get(at + 1) == Some(&'/') => {
                while chars.get(at).is_some_and(|c| *c != '\n') {
                    at += 1;
                }
                continue;
            }
            // A character, not a lifetime.
            '\'' if chars.get(at + 1) == Some(&'\\') => {
                at += 2 + chars[at + 2..].iter().position(|c| *c == '\'').unwrap_or(0).max(1)
            }
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 2,
            'r' if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => {
                let marks = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                if chars.get(at + 1 + marks) == Some(&'"') {
                    let end: String = std::iter::once('"').chain("#".repeat(marks).chars()).collect();
                    let rest: String = chars[at + 2 + marks..].iter().collect();
                    let inner = rest.split_once(&end).map_or(rest.as_str(), |(inner, _)| inner);
                    found.push((line, inner.to_string()));
                    line += inner.matches('\n').count();
                    at += 2 + marks + inner.chars().count() + end.len();
                    continue;
                }
            }
            '"' => {
                let begins = line;
                let mut literal = String::new();
                at += 1;
                while let Some(&c) = chars.get(at).filter(|c| **c != '"') {
                    line += usize::from(c == '\n');
                    if c != '\\' {
                        literal.push(c);
                        at += 1;
                        continue;
                    }
                    at += 2;
                    match chars.get(at - 1) {
                        Some('\n') => {
                            line += 1;
                            while chars.get(at).is_some_and(|c| c.is_whitespace()) {
                                line += usize::from(chars[at] == '\n');
                                at += 1;
                            }
                        }
                        Some('n') => literal.push('\n'),
                        Some('t') => literal.push('\t'),
                        Some('u') => {
                            let hex: String = chars[at + 1..].iter().take_while(|c| **c != '}').collect();
                            at += hex.len() + 2;
                            literal.extend(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32));
                        }
                        Some('x') => at += 2,
                        Some(other) => literal.push(*other),
                        None => {}
                    }
                }
                found.push((begins, literal));
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// `{name:>5}` as `{}`, and `{{` as `{`.
fn without_names(literal: &str) -> String {
    let mut key = String::new();
    let mut rest = literal;
    while let Some(at) = rest.find(['{', '}']) {
        key.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        if rest[at + 1..].starts_with(brace) {
            key.push_str(brace);
            rest = &rest[at + 2..];
        } else if let Some(end) = rest[at..].find('}').filter(|end| brace == "{" && !rest[at + 1..at + end].contains('{')) {
            key.push_str("{}");
            rest = &rest[at + end + 1..];
        } else {
            key.push_str(brace);
            rest = &rest[at + 1..];
        }
    }
    key + rest
}

/// The names of what a person types; a text that begins with one is a command, and stays as it is.
pub const COMMANDS: [&str; 16] = [
    "xen-migrate ", "xen-drbd-auto ", "migrate2 ", "/etc/init.d/", "drbdadm ", "drbdsetup ", "ssh ", "ssh-keygen ", "chmod ",
    "chown ", "getent ", "xl ", "xm ", "cat ", "crm_resource ", "rm ",
];

/// Whether somebody could want to read it: words with a blank between them, and no command.
pub fn looks_like_words(text: &str) -> bool {
    let plain = text.replace("{}", "");
    let letters = plain.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word.len() > 1);
    let command = COMMANDS.iter().any(|name| text.starts_with(name)) && !text.contains("   (");
    letters && text.contains(' ') && !command && !text.starts_with('#')
}

/// The texts of a file of exceptions. A line that begins with `#` is the reason for those below it.
pub fn excused(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{file}: {why}"));
    let mut reason = false;
    let mut texts = BTreeSet::new();
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(_) => reason = true,
            None if line.is_empty() => reason = false,
            None => {
                assert!(reason, "{file}: no reason for {line:?}");
                assert!(texts.insert(line.to_string()), "{file}: {line:?} is there twice");
            }
        }
    }
    texts
}

/// As it stands in a catalog.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What the help of all commands asks the catalog for.
pub fn help() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    for command in [xen_migrate::cli::Cli::command(), xen_drbd_auto::cli::Cli::command()] {
        help::in_words_of(command, &|text| {
            asked.borrow_mut().insert(text.to_string());
            None
        });
    }
    asked.into_inner()
}

/// All that the help of all commands says beside the options, each line as it stands in the source.
pub fn prose() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut commands = vec![xen_migrate::cli::Cli::command(), xen_drbd_auto::cli::Cli::command()];
    while let Some(command) = commands.pop() {
        for text in [command.get_about(), command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
            lines.extend(text.to_string().lines().map(|line| line.trim().to_string()));
        }
        commands.extend(command.get_subcommands().cloned());
    }
    lines
}
