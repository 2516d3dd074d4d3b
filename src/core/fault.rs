//! What is wrong in a file that a person wrote, and where.
//!
//! One type for every file we read (the table, the record, domU configs), so that a fault looks the same everywhere:
//! `file:line:column: what is wrong, expected what`, the line itself, and `^~~~` under the place.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// One fault at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: u32,
    /// The character in the line, counted from 1 (characters, not bytes; a tab is one).
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What is expected instead; empty where nothing can be said.
    pub expected: String,
}

impl Fault {
    /// A fault at a place.
    pub fn new(line: u32, column: u32, what: impl Into<String>, expected: impl Into<String>) -> Fault {
        Fault { line, column, what: what.into(), expected: expected.into() }
    }

    /// The fault with its path, the line it stands in, and a mark under the place.
    ///
    /// `text` is the whole file. Long lines are cut around the place; characters that would move a terminal's cursor are
    /// shown as `?`, because the file need not be a friendly one. The answer ends without a line end.
    pub fn render(&self, path: &str, text: impl AsRef<[u8]>) -> String {
        let mut out = format!("{}:{self}", printable(path));
        let line = (self.line as usize).checked_sub(1).and_then(|n| text.as_ref().split(|b| *b == b'\n').nth(n));
        let Some(line) = line else { return out };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line);
        let at = (self.column as usize).saturating_sub(1).min(line.chars().count());
        let from = at.saturating_sub(WINDOW / 2);
        let shown: Vec<char> = line.chars().skip(from).take(WINDOW).map(harmless).collect();
        let marked = word_length(&shown[at - from..]);
        let part: String = shown.iter().collect();
        let _ = write!(out, "\n{}\n{}^{}", part.trim_end(), " ".repeat(at - from), "~".repeat(marked.saturating_sub(1)));
        out
    }
}

impl fmt::Display for Fault {
    /// `line:column: what is wrong, expected what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)?;
        if !self.expected.is_empty() {
            write!(f, ", expected {}", self.expected)?;
        }
        Ok(())
    }
}

/// In the order of their file.
pub fn in_order(faults: &mut [Fault]) {
    faults.sort_by_key(|fault| (fault.line, fault.column));
}

/// All faults of one file, each rendered, one below the other.
pub fn render_all(path: &str, text: impl AsRef<[u8]>, faults: &[Fault]) -> String {
    faults.iter().map(|f| f.render(path, text.as_ref())).collect::<Vec<_>>().join("\n")
}

/// A piece of somebody else's text for a message: on one line, harmless on a terminal, cut to a length that fits a line.
pub fn quoted(text: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(text.as_ref());
    let mut short: String = text.chars().take(60).map(harmless).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// How much of a long line is shown.
const WINDOW: usize = 110;

fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        // Besides control characters those that turn the direction of writing.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '?',
        c if c.is_control() => '?',
        c => c,
    }
}

fn printable(text: &str) -> String {
    text.chars().map(harmless).collect()
}

/// How many characters the mark covers: a quoted string as a whole, else up to the next blank.
fn word_length(from: &[char]) -> usize {
    match from.first() {
        Some(quote @ ('"' | '\'')) => match from[1..].iter().position(|c| c == quote) {
            Some(end) => end + 2,
            None => from.len(),
        },
        _ => from.iter().position(|c| c.is_whitespace()).unwrap_or(from.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_and_a_mark_under_the_word() {
        let fault = Fault::new(2, 8, "upper-case letter in `NAME`", "a lower-case key");
        assert_eq!(
            fault.render("/etc/xen/web.cfg", "a = 1\nb = 1; NAME = 2\n"),
            "/etc/xen/web.cfg:2:8: upper-case letter in `NAME`, expected a lower-case key\nb = 1; NAME = 2\n       ^~~~"
        );
    }

    #[test]
    fn a_string_is_marked_as_a_whole() {
        let text = "x = 'a b' 'c'\n";
        assert!(Fault::new(1, 5, "w", "").render("f", text).ends_with("f:1:5: w\nx = 'a b' 'c'\n    ^~~~~"));
    }

    #[test]
    fn tabs_and_windows_line_ends_leave_the_mark_in_its_place() {
        assert!(Fault::new(1, 2, "w", "").render("f", "\tx y\r\n").ends_with("\n x y\n ^"));
    }

    #[test]
    fn a_place_outside_of_the_text_does_no_harm() {
        let render = |line, column, text: &str| Fault::new(line, column, "w", "e").render("f", text);
        assert_eq!(render(9, 9, "a\n"), "f:9:9: w, expected e");
        assert_eq!(render(0, 0, "a\n"), "f:0:0: w, expected e");
        assert_eq!(render(1, 99, "ab"), "f:1:99: w, expected e\nab\n  ^");
        assert_eq!(render(1, 1, ""), "f:1:1: w, expected e\n\n^");
    }

    #[test]
    fn nothing_in_a_file_reaches_the_terminal_as_a_control_character() {
        let shown = Fault::new(1, 1, "w", "").render("p\x1b[2J", "\x1b[31mred\u{202e}\n");
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains('\u{202e}'));
        assert_eq!(quoted("a\x07b"), "`a?b`");
        assert_eq!(quoted([0xff, b'a']), "`\u{fffd}a`");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE {}", "x ".repeat(50_000), "y".repeat(100_000));
        let shown = Fault::new(1, 100_001, "w", "").render("f", text);
        assert!(shown.len() < 400 && shown.contains("HERE") && shown.contains("^~~~"), "{shown}");
        assert!(quoted("x".repeat(1000)).chars().count() < 70);
    }
}
