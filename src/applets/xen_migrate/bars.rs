//! Bars on a terminal: a line for each journey and one for the whole, drawn over themselves.
//!
//! Every line stays within the terminal, so that none of them is broken in two and drawing over is a matter of counting. The cursor is never
//! hidden: whatever ends us, there is nothing to put back.

use std::cell::RefCell;

/// How wide a bar is at most, in characters.
const WIDTH: usize = 24;

/// A line is no longer than this, however wide the terminal is.
const LONGEST: usize = 79;

/// What a terminal that does not tell its size has: columns and lines.
const USUAL: (u16, u16) = (80, 24);

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
    /// How long each of them is.
    lines: RefCell<Vec<usize>>,
}

impl Board {
    /// The text that draws these bars in the place of the last ones, without the end of its last line. The last bar is that of the whole:
    /// where there is no room for all, it stays. `window`: the terminal's columns and lines, now.
    ///
    /// `say` puts words into the language of the person; they are laid out after that.
    pub fn draw(&self, bars: &[Bar], window: Option<(u16, u16)>, say: &dyn Fn(&str) -> String) -> String {
        let (columns, rows) = window.unwrap_or(USUAL);
        let width = usize::from(columns).saturating_sub(1).clamp(1, LONGEST);
        // Behind the last one is the cursor's own line.
        let room = usize::from(rows).saturating_sub(1).max(1);
        let (mut shown, whole) = match bars.split_last() {
            Some((whole, others)) if bars.len() > room => {
                (others[..room.saturating_sub(2).min(others.len())].to_vec(), Some(whole))
            }
            _ => (bars.to_vec(), None),
        };
        let hidden = bars.len() - shown.len() - usize::from(whole.is_some());
        shown.extend(whole.cloned());
        let names = shown.iter().map(|b| b.name.chars().count()).max().unwrap_or(0).min(width / 4);
        // All of the same width, so that they can be compared.
        let words: Vec<String> = shown.iter().map(|b| say(&b.words())).collect();
        let bar = words.iter().map(|words| Bar::room(names, words, width)).min().unwrap_or(0);
        let mut lines: Vec<String> = shown.iter().zip(&words).map(|(b, words)| b.line(names, bar, words, width)).collect();
        if hidden > 0 && room > 1 {
            let more: String = say(&format!("and {hidden} more")).chars().take(width).collect();
            lines.insert(lines.len() - 1, more);
        }
        let text = format!("{}{}", self.erasure(columns), lines.join("\n"));
        *self.lines.borrow_mut() = lines.iter().map(|line| line.chars().count()).collect();
        text
    }

    /// The text that takes the last ones away, so that the next line stands in their place. Whoever prints it ends the line: so it goes
    /// one line further up. Empty where nothing is drawn.
    pub fn clear(&self, window: Option<(u16, u16)>) -> String {
        let erasure = self.erasure(window.unwrap_or(USUAL).0);
        self.lines.borrow_mut().clear();
        if erasure.is_empty() { erasure } else { format!("{erasure}\x1b[1A") }
    }

    /// To the first column, for somebody may have typed; up to where the first of them begins, and everything below goes. In a terminal that
    /// has become narrower since, they take more lines than they did.
    fn erasure(&self, columns: u16) -> String {
        let columns = usize::from(columns).max(1);
        match self.lines.borrow().iter().map(|length| length.div_ceil(columns).max(1)).sum() {
            0usize => String::new(),
            lines => format!("\r\x1b[{lines}A\x1b[J"),
        }
    }
}

impl Bar {
    /// `web  [########................]  33 % of 512 MiB, 98 MiB/s, 4 s left`, in no more than so many characters.
    fn line(&self, names: usize, bar: usize, words: &str, width: usize) -> String {
        let name = match self.name.chars().count() <= names {
            true => self.name.clone(),
            false => self.name.chars().take(names.saturating_sub(1)).chain(['~']).collect(),
        };
        let full = (self.share() * bar as f64) as usize;
        let line = match bar {
            0..4 => format!("{name:<names$}  {words}"),
            bar => format!("{name:<names$}  [{}{}] {words}", "#".repeat(full), ".".repeat(bar - full)),
        };
        line.chars().take(width).collect()
    }

    /// How wide its bar can be: what is left beside the name, the brackets, the blanks and the words.
    fn room(names: usize, words: &str, width: usize) -> usize {
        width.saturating_sub(names + words.chars().count() + 5).min(WIDTH)
    }

    fn share(&self) -> f64 {
        if self.all == 0 { 0.0 } else { (self.sent as f64 / self.all as f64).min(1.0) }
    }

    fn words(&self) -> String {
        let rate = if self.seconds > 0.0 { self.sent as f64 / self.seconds } else { 0.0 };
        let left = match rate {
            rate if rate > 0.0 => format!(", {} left", time((self.all.saturating_sub(self.sent) as f64 / rate).ceil())),
            _ => String::new(),
        };
        let rate = rate / 1_048_576.0;
        let rate = if rate < 9.95 { format!("{rate:.1}") } else { format!("{rate:.0}") };
        format!("{:>3.0} % of {} MiB, {rate} MiB/s{left}", (self.share() * 100.0).floor(), self.all >> 20)
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, sent: u64, all: u64, seconds: f64) -> Bar {
        Bar { name: name.to_string(), sent: sent << 20, all: all << 20, seconds }
    }

    fn as_it_is(words: &str) -> String {
        words.to_string()
    }

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let line = |bar: Bar| bar.line(3, Bar::room(3, &bar.words(), 79), &bar.words(), 79);
        assert_eq!(line(bar("web", 128, 512, 2.0)), "web  [######..................]  25 % of 512 MiB, 64 MiB/s, 6 s left");
        assert_eq!(line(bar("web", 0, 512, 0.0)), "web  [........................]   0 % of 512 MiB, 0.0 MiB/s");
        assert!(line(bar("web", 600, 512, 6.0)).contains("[########################] 100 % of 512 MiB, 100 MiB/s, 0 s left"));
        assert!(line(bar("web", 1, 0, 1.0)).contains("  0 % of 0 MiB"));
        assert!(line(bar("web", 1, 61, 10.0)).ends_with("0.1 MiB/s, 10 min left"));
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        let long = "a-domu-with-a-name-that-somebody-liked-to-be-very-long-indeed";
        let bars = [bar(long, 1024, 65_536, 10.0), bar("web", 128, 512, 2.0), bar("1 of 7", 1, 2, 1.0)];
        for columns in 1..200 {
            let text = Board::default().draw(&bars, Some((columns, 24)), &as_it_is);
            let most = usize::from(columns).saturating_sub(1).clamp(1, 79);
            assert!(text.lines().all(|line| line.chars().count() <= most), "{columns}: {text}");
        }
        let longer = |words: &str| format!("{words} in a language that takes more room");
        let text = Board::default().draw(&bars, Some((40, 24)), &longer);
        assert!(text.lines().all(|line| line.chars().count() <= 39), "{text}");
        let text = Board::default().draw(&bars, None, &as_it_is);
        assert!(text.contains('~') && text.lines().all(|line| line.contains('[') && line.contains(" MiB/s")), "{text}");
    }

    /// A terminal as far as bars need one: it breaks a line that is too long, scrolls, and broken lines follow its width when that changes.
    struct Terminal {
        columns: usize,
        rows: usize,
        /// Each as it was written, up to its end.
        lines: Vec<String>,
        /// In which of them the cursor is, and where.
        at: (usize, usize),
    }

    impl Terminal {
        fn new(columns: usize, rows: usize) -> Terminal {
            Terminal { columns, rows, lines: vec![String::new()], at: (0, 0) }
        }

        fn window(&self) -> Option<(u16, u16)> {
            Some((self.columns as u16, self.rows as u16))
        }

        /// The lines as they are broken on the screen: which, and from where.
        fn broken(&self) -> Vec<(usize, usize)> {
            let pieces =
                |(n, line): (usize, &String)| (0..line.len().div_ceil(self.columns).max(1)).map(move |p| (n, p * self.columns));
            self.lines.iter().enumerate().flat_map(pieces).collect()
        }

        fn say(&mut self, text: &str) {
            let text = format!("{text}\n");
            let mut rest = text.as_str();
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '\n' => {
                        self.at = (self.at.0 + 1, 0);
                        if self.at.0 == self.lines.len() {
                            self.lines.push(String::new());
                        }
                    }
                    '\r' => self.at.1 = self.at.1 / self.columns * self.columns,
                    '\x1b' => {
                        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                        let count = rest[1..end].parse::<usize>().unwrap_or(1);
                        match &rest[end..=end] {
                            "A" => {
                                let broken = self.broken();
                                let row = broken.iter().rposition(|(n, from)| *n == self.at.0 && *from <= self.at.1).unwrap();
                                // What has left the screen is out of reach.
                                let top = broken.len().saturating_sub(self.rows);
                                let (n, from) = broken[row.saturating_sub(count).max(top)];
                                self.at = (n, from + self.at.1 % self.columns);
                            }
                            "J" => {
                                self.lines.truncate(self.at.0 + 1);
                                self.lines[self.at.0].truncate(self.at.1);
                            }
                            other => panic!("{other}"),
                        }
                        rest = &rest[end + 1..];
                    }
                    c => {
                        let line = &mut self.lines[self.at.0];
                        while line.len() < self.at.1 {
                            line.push(' ');
                        }
                        line.truncate(self.at.1);
                        line.push(c);
                        self.at.1 += 1;
                    }
                }
            }
        }

        fn text(&self) -> Vec<&str> {
            self.lines.iter().map(|l| l.as_str()).filter(|l| !l.is_empty()).collect()
        }
    }

    #[test]
    fn what_was_drawn_is_drawn_over_and_gives_way_to_other_lines() {
        let board = Board::default();
        let mut terminal = Terminal::new(80, 24);
        terminal.say("the plan");
        for sent in 1..5 {
            terminal.say(&board.draw(
                &[bar("a", sent, 5, 1.0), bar("b", sent, 5, 1.0), bar("0 of 2", sent, 10, 1.0)],
                terminal.window(),
                &as_it_is,
            ));
        }
        assert_eq!(terminal.text().len(), 4, "{:?}", terminal.lines);
        terminal.say(&board.clear(terminal.window()));
        terminal.say("[1/2] a runs on beta.");
        terminal.say(&board.draw(&[bar("b", 5, 5, 1.0), bar("1 of 2", 5, 10, 1.0)], terminal.window(), &as_it_is));
        assert!(
            terminal.text()[..2] == ["the plan", "[1/2] a runs on beta."] && terminal.text().len() == 4,
            "{:?}",
            terminal.lines
        );
        terminal.say(&board.clear(terminal.window()));
        assert_eq!(board.clear(None), "");
        assert_eq!(terminal.text(), ["the plan", "[1/2] a runs on beta."]);
        terminal.say("All 2 domUs went.");
        assert_eq!(terminal.lines, ["the plan", "[1/2] a runs on beta.", "All 2 domUs went.", ""]);
    }

    #[test]
    fn what_somebody_types_meanwhile_and_a_narrower_terminal_leave_nothing_behind() {
        let board = Board::default();
        let mut terminal = Terminal::new(79, 24);
        terminal.say("the plan");
        let bars = [bar("web", 128, 512, 2.0), bar("0 of 1", 128, 512, 2.0)];
        terminal.say(&board.draw(&bars, terminal.window(), &as_it_is));
        // The terminal itself shows what is typed.
        terminal.say("^C\x1b[1A");
        terminal.at.1 = 2;
        terminal.say(&board.draw(&bars, terminal.window(), &as_it_is));
        assert!(terminal.text().len() == 3 && terminal.text()[1].starts_with("web     ["), "{:?}", terminal.lines);
        for columns in [40, 100, 31, 62] {
            terminal.columns = columns;
            terminal.say(&board.draw(&bars, terminal.window(), &as_it_is));
            assert_eq!(terminal.text().len(), 3, "{columns}: {:?}", terminal.lines);
        }
        terminal.say(&board.clear(terminal.window()));
        assert_eq!(terminal.text(), ["the plan"]);
    }

    #[test]
    fn more_than_the_terminal_has_lines_are_not_drawn() {
        let mut bars: Vec<Bar> = (0..30).map(|n| bar(&format!("domu-{n}"), 1, 2, 1.0)).collect();
        bars.push(bar("0 of 90", 1, 2, 1.0));
        for rows in 2..40 {
            let board = Board::default();
            let mut terminal = Terminal::new(80, rows);
            terminal.say("the plan");
            for _ in 0..3 {
                terminal.say(&board.draw(&bars, terminal.window(), &as_it_is));
            }
            let text = terminal.text();
            assert!(text.len() <= rows && text[text.len() - 1].starts_with("0 of 90"), "{rows}: {text:?}");
            assert_eq!(text.iter().any(|line| line.contains("more")), (3..32).contains(&rows), "{rows}: {text:?}");
        }
    }
}
