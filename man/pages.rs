//! The pages: prose from `text/`, and in it what the command lines say of themselves.
//!
//! The prose is English in a few marks: `# HEADING`, a blank line between paragraphs, `= term` with its meaning on the lines below, four
//! blanks before what is typed or shown, and `@usage`, `@verbs`, `@options`, `@examples` for what is made from the command line.

use super::command;
use super::po::Catalog;
use super::roff::{self, Block};
use clap::{Command, CommandFactory};
use xen_drbd::applets::{xen_drbd_auto, xen_migrate};

/// A page's file name without its section, the section, its text, and the program it belongs to.
const PAGES: [(&str, u8, &str, Option<&str>); 6] = [
    ("xen-migrate", 8, include_str!("text/xen-migrate.8"), Some("xen-migrate")),
    ("xen-drbd-auto", 8, include_str!("text/xen-drbd-auto.8"), Some("xen-drbd-auto")),
    ("migrate2", 8, include_str!("text/migrate2.8"), Some("migrate2")),
    ("xen-drbd", 8, include_str!("text/xen-drbd.8"), None),
    ("migrate-tab.txt", 5, include_str!("text/migrate-tab.txt.5"), None),
    ("xen-drbd-lab", 1, include_str!("text/xen-drbd-lab.1"), None),
];

/// Every page in this language, by its path below `/usr`.
pub fn all(catalog: &Catalog, date: &str) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for (name, section, text, program) in PAGES {
        let command = program.and_then(command);
        let blocks = blocks(name, text, program.zip(command.as_ref()), catalog)?;
        let what = catalog.tr(match section {
            5 => "Xen and DRBD: file formats",
            _ => "Xen and DRBD",
        });
        let language = catalog.language.map(|l| format!("{l}/")).unwrap_or_default();
        let path = format!("share/man/{language}man{section}/{name}.{section}");
        files.push((path, roff::render(name, section, date, &what, &blocks)));
    }
    Ok(files)
}

/// The command line of a program, complete with what clap adds.
pub fn command(program: &str) -> Option<Command> {
    let mut command = match program {
        "xen-migrate" => xen_migrate::cli::Cli::command(),
        "xen-drbd-auto" => xen_drbd_auto::cli::Cli::command(),
        "migrate2" => xen_migrate::cli::Cli::command().find_subcommand("migrate2")?.clone(),
        _ => return None,
    };
    command.build();
    Some(command)
}

fn blocks(page: &str, text: &str, of: Option<(&str, &Command)>, catalog: &Catalog) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    for piece in text.split("\n\n").map(|p| p.trim_matches('\n')).filter(|p| !p.is_empty()) {
        if let Some(word) = piece.strip_prefix('@') {
            let (program, command) = of.ok_or_else(|| format!("{page}: @{word} without a program"))?;
            match word {
                "usage" => blocks.push(Block::Text(command::usage(program, None, catalog))),
                "verbs" => blocks.extend(command::verbs(program, command, catalog)),
                "options" => blocks.extend(command::options(command, catalog)),
                "examples" => blocks.extend(command::after(command, catalog)),
                _ => return Err(format!("{page}: what is @{word}?")),
            }
        } else if let Some(heading) = piece.strip_prefix("# ") {
            blocks.push(Block::Heading(catalog.tr(heading)));
        } else if let Some(item) = piece.strip_prefix("= ") {
            let (term, meaning) = item.split_once('\n').ok_or_else(|| format!("{page}: {item:?} means nothing"))?;
            blocks.push(Block::Item(term.to_string(), catalog.tr(&joined(meaning))));
        } else if piece.starts_with("    ") {
            blocks.push(Block::Shown(piece.lines().map(|l| l.strip_prefix("    ").unwrap_or(l).to_string()).collect()));
        } else {
            blocks.push(Block::Text(catalog.tr(&joined(piece))));
        }
    }
    Ok(blocks)
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
