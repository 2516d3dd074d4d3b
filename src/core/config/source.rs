//! The text of a config file, and the faults found in it.

use crate::core::fault::{self, Fault};
use std::cell::Cell;

/// No domU config is larger: above it we do not even look.
pub(super) const LARGEST: usize = 256 * 1024;
/// How deep lists may be nested (Python's own parser stops at about the same depth).
pub(super) const DEEPEST: usize = 50;
/// A file with more faults than this is not a config file; the rest would help nobody.
const MOST_FAULTS: usize = 100;

/// The text, able to tell the line and column of a byte.
pub(super) struct Source<'t> {
    pub(super) text: &'t [u8],
    /// Where each line begins.
    lines: Vec<usize>,
    /// The byte asked for last, and its column: a long line is not counted anew for each of its words.
    last: Cell<(usize, usize)>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t [u8]) -> Source<'t> {
        let mut lines = vec![0];
        lines.extend(text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1));
        Source { text, lines, last: Cell::new((0, 1)) }
    }

    /// Line and column of a byte, both from 1; the column in characters.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        let end = self.lines.get(line).copied().unwrap_or(self.text.len() + 1);
        let count = |from: usize, to: usize| String::from_utf8_lossy(&self.text[from..to]).chars().count();
        // From the nearest place that is known: the same key again and again in one long line goes there and back each time.
        let column = match self.last.get() {
            (known, column) if (start..=at).contains(&known) => column + count(known, at),
            (known, column) if (at..end).contains(&known) && known - at < at - start => column - count(at, known),
            _ => 1 + count(start, at),
        };
        self.last.set((at, column));
        (line as u32, column as u32)
    }

    /// A fault at a byte.
    pub(super) fn fault(&self, at: usize, what: impl Into<String>, expected: impl Into<String>) -> Fault {
        let (line, column) = self.place(at);
        Fault::new(line, column, what, expected)
    }
}

/// Collects faults, up to a limit.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, source: &Source<'_>, at: usize, what: impl Into<String>, expected: impl Into<String>) {
        if self.0.len() < MOST_FAULTS {
            self.0.push(source.fault(at, what, expected));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        fault::in_order(&mut self.0);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_whatever_was_asked_before() {
        let text = "é = 'ü'; b = 1; ç = 3\n\nzwölf = 'ß'\n".as_bytes();
        let source = Source::new(text);
        let boundaries: Vec<usize> = (0..=text.len()).filter(|at| std::str::from_utf8(&text[..*at]).is_ok()).collect();
        for first in &boundaries {
            for second in &boundaries {
                source.place(*first);
                assert_eq!(source.place(*second), Source::new(text).place(*second), "{first} {second}");
            }
        }
    }
}
