//! Bars on a terminal: a line for each journey and one for the whole, drawn over themselves.

use std::cell::Cell;

/// How wide a bar is, in characters.
const WIDTH: usize = 24;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Whose.
    pub name: String,
    /// Bytes so far.
    pub sent: u64,
    /// Bytes in all; pages that a guest dirties go over again, so there may be more.
    pub all: u64,
    /// Since it began.
    pub seconds: f64,
}

/// Lines that were drawn last, and are drawn over.
#[derive(Debug, Default)]
pub struct Board {
    lines: Cell<usize>,
}

impl Board {
    /// The text that draws these bars in the place of the last ones, without the end of its last line.
    pub fn draw(&self, bars: &[Bar]) -> String {
        let names = bars.iter().map(|b| b.name.chars().count()).max().unwrap_or(0);
        let lines: Vec<String> = bars.iter().map(|b| b.line(names)).collect();
        let text = format!("{}{}", erasure(self.lines.get()), lines.join("\n"));
        self.lines.set(lines.len());
        text
    }

    /// The text that takes the last ones away, so that the next line stands in their place. Whoever prints it ends the line: so it goes
    /// one line further up. Empty where nothing is drawn.
    pub fn clear(&self) -> String {
        match self.lines.take() {
            0 => String::new(),
            lines => format!("{}\x1b[1A", erasure(lines)),
        }
    }
}

/// Up so many lines, and everything below goes.
fn erasure(lines: usize) -> String {
    match lines {
        0 => String::new(),
        n => format!("\x1b[{n}A\x1b[J"),
    }
}

impl Bar {
    /// `web  [########................]  33 % of 512 MiB, 98 MiB/s, 4 s left`.
    fn line(&self, names: usize) -> String {
        let share = if self.all == 0 { 0.0 } else { (self.sent as f64 / self.all as f64).min(1.0) };
        let full = (share * WIDTH as f64) as usize;
        let rate = if self.seconds > 0.0 { self.sent as f64 / self.seconds } else { 0.0 };
        let left = match rate {
            rate if rate > 0.0 => format!(", {:.0} s left", (self.all.saturating_sub(self.sent) as f64 / rate).ceil()),
            _ => String::new(),
        };
        format!(
            "{:<names$}  [{}{}] {:>3.0} % of {} MiB, {:.0} MiB/s{left}",
            self.name,
            "#".repeat(full),
            ".".repeat(WIDTH - full),
            (share * 100.0).floor(),
            self.all >> 20,
            rate / 1_048_576.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, sent: u64, all: u64, seconds: f64) -> Bar {
        Bar { name: name.to_string(), sent: sent << 20, all: all << 20, seconds }
    }

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        assert_eq!(bar("web", 128, 512, 2.0).line(4), "web   [######..................]  25 % of 512 MiB, 64 MiB/s, 6 s left");
        assert_eq!(bar("web", 0, 512, 0.0).line(3), "web  [........................]   0 % of 512 MiB, 0 MiB/s");
        let more = bar("web", 600, 512, 6.0).line(3);
        assert!(more.contains("[########################] 100 % of 512 MiB, 100 MiB/s, 0 s left"), "{more}");
        assert!(bar("web", 1, 0, 1.0).line(3).contains("  0 % of 0 MiB"));
    }

    #[test]
    fn what_was_drawn_is_drawn_over_and_gives_way_to_other_lines() {
        let board = Board::default();
        assert!(!board.draw(&[bar("a", 1, 2, 1.0), bar("b", 1, 2, 1.0)]).contains('\x1b'));
        assert!(board.draw(&[bar("a", 2, 2, 1.0)]).starts_with("\x1b[2A\x1b[Ja"));
        assert_eq!(board.clear(), "\x1b[1A\x1b[J\x1b[1A");
        assert_eq!(board.clear(), "");
    }
}
