//! `--help` in another language: the texts of a command line are replaced before clap lays them out.
//!
//! What clap adds by itself (`Usage:`, `error:`) passes through the door like every other line that is said.

use clap::{Arg, Command};

/// A language: the translation of a text, if there is one.
pub type Translate<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How wide the prose below the options is laid out, in characters.
const WIDTH: usize = 78;

/// The same command line with its words in another language. Names of verbs and options, and what is typed in examples, stay.
pub fn in_words_of(command: Command, tr: Translate<'_>) -> Command {
    let one = |text: &dyn ToString| tr(joined(&text.to_string()).trim_end_matches('.'));
    let about = command.get_about().and_then(|text| one(text));
    let long = command.get_long_about().and_then(|text| one(text));
    let after = command.get_after_help().map(|text| prose(&text.to_string(), tr));
    let after_long = command.get_after_long_help().map(|text| prose(&text.to_string(), tr));
    let mut command = command.mut_args(|arg| argument(arg, tr)).mut_subcommands(|verb| in_words_of(verb, tr));
    if let Some(verb) = tr("VERB") {
        command = command.subcommand_value_name(kept(verb));
    }
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(long) = long {
        command = command.long_about(long);
    }
    if let Some(after) = after {
        command = command.after_help(after);
    }
    if let Some(after) = after_long {
        command = command.after_long_help(after);
    }
    command
}

fn argument(arg: Arg, tr: Translate<'_>) -> Arg {
    let one = |text: &dyn ToString| tr(joined(&text.to_string()).trim_end_matches('.'));
    let help = arg.get_help().and_then(|text| one(text));
    let long = arg.get_long_help().and_then(|text| one(text));
    let value = |name: &str| name.split('|').map(|word| tr(word).unwrap_or(word.to_string())).collect::<Vec<_>>().join("|");
    let names: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(|name| value(name)).collect();
    let mut arg = match names.is_empty() {
        true => arg,
        false => arg.value_names(names.into_iter().map(kept)),
    };
    if let Some(help) = help {
        arg = arg.help(help);
    }
    if let Some(long) = long {
        arg = arg.long_help(long);
    }
    arg
}

/// clap wants names that live as long as the program, and this program ends when its help was shown.
fn kept(name: String) -> &'static str {
    name.leak()
}

/// What stands below the options: paragraphs at the margin, laid out anew; tables and examples, indented, whose columns are.
fn prose(text: &str, tr: Translate<'_>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let all: Vec<&str> = text.lines().collect();
    for run in all.chunk_by(|a, b| !a.is_empty() && !b.is_empty() && a.starts_with(' ') == b.starts_with(' ')) {
        if run[0].starts_with(' ') {
            lines.extend(table(run, tr));
        } else {
            let words = joined(&run.join(" "));
            match tr(&words) {
                Some(french) => lines.extend(wrapped(&french)),
                None => lines.extend(run.iter().map(|line| line.to_string())),
            }
        }
    }
    lines.join("\n")
}

/// Rows of cells, with two blanks or more between them. A number at the beginning of a cell stays.
fn table(rows: &[&str], tr: Translate<'_>) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut cells: Vec<String> =
                row.trim_start().split("  ").map(str::trim).filter(|c| !c.is_empty()).map(|c| cell(c, tr)).collect();
            // A row that begins in the second column.
            if row.len() - row.trim_start().len() > 8 {
                cells.insert(0, String::new());
            }
            cells
        })
        .collect();
    let long = |cell: &&String| cell.chars().count();
    let first = cells.iter().filter(|row| row.len() > 1).filter_map(|row| row.first()).map(|c| long(&c)).max().unwrap_or(0);
    let line = |row: &Vec<String>| match row.as_slice() {
        [one] => format!("  {one}"),
        [one, rest @ ..] => format!("  {one:<first$}  {}", rest.join("  ")).trim_end().to_string(),
        [] => String::new(),
    };
    cells.iter().map(line).collect()
}

fn cell(cell: &str, tr: Translate<'_>) -> String {
    let digits = cell.bytes().take_while(u8::is_ascii_digit).count();
    let (number, words) = cell.split_at(digits);
    match tr(words.trim_start()) {
        Some(french) if number.is_empty() => french,
        Some(french) => format!("{number} {french}"),
        None => cell.to_string(),
    }
}

/// Lines that fit. A blank that does not break (before a French colon) is none where a line may end.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut() {
            let wide = line.chars().count() + 1 + word.chars().count();
            if line.is_empty() {
                line.push_str(word);
            } else if wide <= WIDTH {
                line.push(' ');
                line.push_str(word);
            } else {
                lines.push(word.to_string());
            }
        }
    }
    lines
}

/// A text of several lines as one.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn tr(text: &str) -> Option<String> {
        let found = match text {
            "Words that stand on two lines." => {
                "Des mots qui tiennent sur deux lignes, et qui sont tellement longs en français qu'il en faut une de plus."
            }
            "done, or already so" => "fait, ou déjà ainsi",
            "refused: not safe" => "refusé : pas sûr",
            "Examples:" => "Exemples :",
            "the plan" => "le plan",
            "VERB" => "VERBE",
            "HOST" => "HÔTE",
            "The Dom0" => "Le Dom0",
            _ => return None,
        };
        Some(found.to_string())
    }

    #[test]
    fn what_stands_below_the_options_is_laid_out_anew() {
        let text = "Words that stand\non two lines.\n\n  0 done, or already so  3 refused: not safe\n  1 other                4 more\n\nExamples:\n  \
                    a migrate web --dry-run  the plan\n  a status";
        assert_eq!(
            prose(text, &tr),
            "Des mots qui tiennent sur deux lignes, et qui sont tellement longs en français\nqu'il en faut une de plus.\n\n  \
             0 fait, ou déjà ainsi  3 refusé : pas sûr\n  1 other                4 more\n\nExemples :\n  a migrate web --dry-run  le plan\n  a status"
        );
    }

    /// Tables and examples are not laid out by clap: on a terminal of 80 columns a longer line is broken anywhere.
    #[test]
    fn what_stands_below_the_options_fits_on_80_columns() {
        fn too_long(command: &Command, found: &mut Vec<String>) {
            for text in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                // What is typed is as long as it is.
                let rows = text.to_string().lines().filter(|l| l.chars().count() > 80).map(String::from).collect::<Vec<_>>();
                found.extend(rows.into_iter().filter(|l| l.trim_start().contains("  ") || !l.contains("xen-migrate")));
            }
            command.get_subcommands().for_each(|verb| too_long(verb, found));
        }
        let mut found = Vec::new();
        let french = crate::tongue::Tongue::french();
        for command in [crate::applets::xen_migrate::cli::Cli::command(), crate::applets::xen_drbd_auto::cli::Cli::command()] {
            too_long(&command, &mut found);
            too_long(&in_words_of(command, &|text| french.text(text).map(str::to_string)), &mut found);
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn names_of_options_stay_and_their_words_do_not() {
        let command = Command::new("a")
            .subcommand(Command::new("ping").arg(Arg::new("host").value_name("HOST").required(true).help("The Dom0")));
        let mut command = in_words_of(command, &tr);
        let help = command.render_help().to_string();
        assert!(help.contains("a [VERBE]") || help.contains("a <VERBE>"), "{help}");
        let help = command.find_subcommand_mut("ping").map(|c| c.render_help().to_string()).unwrap_or_default();
        assert!(help.contains("<HÔTE>") && help.contains("Le Dom0"), "{help}");
    }
}
