//! The interpreter: a line of English in, the same in French out, as far as it is known.

use super::catalog::{Entry, typeset};
use super::template::{Fuel, Kind, Lore, Part, Template};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

/// No line of ours is longer, in bytes; a longer one stays as it is.
const LONGEST: usize = 16 * 1024;

/// The work on one line: the templates that are tried and the bytes that are looked through, 16 of which count as one. At most some ten
/// milliseconds, and for a line of ours far less.
const FUEL: Fuel = 400_000;

/// Reasons within reasons.
const DEEPEST: usize = 12;

/// Where a line that no template knows as a whole is cut, so many times.
const MOST_CUTS: usize = 24;

/// A catalog that can be looked through.
#[derive(Debug, Default)]
pub struct Mind {
    /// Entries without places.
    whole: HashMap<String, String>,
    /// Entries for words.
    words: HashMap<String, String>,
    /// Entries with places, those with the most letters first.
    templates: Vec<Template>,
}

/// The work on one line.
struct Work {
    fuel: Fuel,
    left: Vec<String>,
}

impl Mind {
    /// Takes a catalog in. What is wrong in it is left out; the build sees that nothing is.
    pub fn of(entries: Vec<Entry>) -> Mind {
        let mut mind = Mind::default();
        for entry in entries {
            if entry.context == "word" {
                mind.words.insert(entry.id, typeset(&entry.text));
            } else if !entry.id.contains("{}") {
                mind.whole.insert(entry.id, typeset(&entry.text));
            } else if let Ok(template) = Template::of(&entry) {
                mind.templates.push(template);
            }
        }
        // A stable order, so that of two alike it is always the same one.
        mind.templates.sort_by_key(|t| std::cmp::Reverse(t.weight()));
        mind
    }

    /// See [`super::Tongue::say`].
    pub fn say<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains('\n') {
            return self.line(text).map_or(Cow::Borrowed(text), Cow::Owned);
        }
        let lines = text.split('\n').map(|line| self.line(line).map_or(Cow::Borrowed(line), Cow::Owned));
        Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
    }

    /// See [`super::Tongue::word`].
    pub fn word(&self, word: &str) -> Option<&str> {
        self.words.get(word).map(String::as_str)
    }

    /// See [`super::Tongue::text`].
    pub fn text(&self, english: &str) -> Option<&str> {
        self.whole.get(english).map(String::as_str)
    }

    /// See [`super::Tongue::leftovers`].
    pub fn leftovers(&self, line: &str) -> Vec<String> {
        let mut work = Work { fuel: FUEL, left: vec![] };
        let (_, body, _) = trimmed(line);
        if self.piece(body, 0, &mut work).is_none() && !self.whole.contains_key(body) {
            keep(body, &mut work);
        }
        work.left
    }

    /// `None`: it stays as it is.
    fn line(&self, line: &str) -> Option<String> {
        let (before, body, after) = trimmed(line);
        if body.is_empty() || line.len() > LONGEST {
            return None;
        }
        let mut work = Work { fuel: FUEL, left: vec![] };
        let known = self.text(body).map(str::to_string).or_else(|| self.piece(body, 0, &mut work))?;
        Some(format!("{before}{known}{after}"))
    }

    /// A text within a line, with the blanks around it. One word is never interpreted: it is a name, as far as anybody knows.
    fn within(&self, text: &str, depth: usize, work: &mut Work) -> String {
        let (before, body, after) = trimmed(text);
        match self.piece(body, depth, work) {
            Some(known) => padded(text, before, &known, after),
            None => {
                keep(body, work);
                text.to_string()
            }
        }
    }

    /// A text without blanks around it. `None`: nothing in it is known.
    fn piece(&self, text: &str, depth: usize, work: &mut Work) -> Option<String> {
        if depth > DEEPEST || !text.contains(' ') {
            return None;
        }
        self.one(text, depth, work).or_else(|| self.several(text, depth, work))
    }

    /// By one template.
    fn one(&self, text: &str, depth: usize, work: &mut Work) -> Option<String> {
        if let Some(known) = self.text(text) {
            return Some(known.to_string());
        }
        work.fuel = work.fuel.saturating_sub(1 + self.templates.len() / 16);
        let lore = Known { mind: self, depth: depth + 1, fuel: Cell::new(work.fuel / 8) };
        for template in self.templates.iter().filter(|t| depth == 0 || !t.only_alone) {
            if work.fuel == 0 {
                return None;
            }
            if let Some(found) = template.fit(text, &lore, &mut work.fuel) {
                let render = |part: &Part, work: &mut Work| match part {
                    Part::Letters(letters) => letters.clone(),
                    Part::Place(at) => match template.kinds[*at] {
                        Kind::Word | Kind::Number | Kind::Raw => found[*at].to_string(),
                        Kind::Text | Kind::LongText => self.within(found[*at], depth + 1, work),
                        Kind::Listed => {
                            let (before, body, after) = trimmed(found[*at]);
                            padded(found[*at], before, self.word(body).unwrap_or(body), after)
                        }
                    },
                };
                return Some(template.parts.iter().map(|part| render(part, work)).collect());
            }
        }
        None
    }

    /// Cut into sentences, reasons and remarks, of which each run that a template knows is interpreted, the longest first.
    fn several(&self, text: &str, depth: usize, work: &mut Work) -> Option<String> {
        let cuts = cuts(text);
        if cuts.is_empty() {
            return None;
        }
        let starts: Vec<usize> = std::iter::once(0).chain(cuts.iter().map(|(_, end)| *end)).collect();
        let ends: Vec<usize> = cuts.iter().map(|(start, _)| *start).chain([text.len()]).collect();
        let mut told = String::new();
        let mut any = false;
        let mut from = 0;
        let mut left: Vec<&str> = Vec::new();
        let longest = |from: usize, work: &mut Work| {
            (from..ends.len()).rev().find_map(|to| {
                let run = text.get(starts[from]..ends[to])?;
                let is_all = from == 0 && to + 1 == ends.len();
                if is_all || !run.contains(' ') {
                    return None;
                }
                self.one(run, depth + 1, work).map(|known| (to, known))
            })
        };
        while from < ends.len() {
            let before = work.left.len();
            let mut known = longest(from, work);
            // `web: the reason; and more`: what is known of the rest may reach further without the name in front.
            let is_name = from + 1 < ends.len() && !text[starts[from]..ends[from]].contains(' ');
            if let Some((to, _)) = known.as_ref().filter(|(to, _)| is_name && to + 1 < ends.len()) {
                let mut other = Work { fuel: work.fuel, left: vec![] };
                if longest(from + 1, &mut other).is_some_and(|(further, _)| further > *to) {
                    known = None;
                    work.left.truncate(before);
                }
                work.fuel = other.fuel;
            }
            let is_known = known.is_some();
            let to = match known {
                Some((to, known)) => {
                    told += &known;
                    any = true;
                    to
                }
                None => {
                    told += &text[starts[from]..ends[from]];
                    left.push(&text[starts[from]..ends[from]]);
                    from
                }
            };
            if let Some((start, end)) = cuts.get(to) {
                // What is ours has French signs behind it; what a foreign tool has said is not touched.
                match &text[*start..*end] {
                    "; " if is_known => told += "\u{a0}; ",
                    ": " if is_known => told += "\u{a0}: ",
                    as_it_is => told += as_it_is,
                }
            }
            from = to + 1;
        }
        if any {
            left.iter().for_each(|piece| keep(piece, work));
        }
        any.then_some(told)
    }
}

/// What the catalog knows, for a template that asks.
struct Known<'a> {
    mind: &'a Mind,
    depth: usize,
    /// Each question of each line together.
    fuel: Cell<Fuel>,
}

impl Lore for Known<'_> {
    fn is_listed(&self, word: &str) -> bool {
        self.mind.words.contains_key(word)
    }

    fn is_known(&self, text: &str, exactly: bool) -> bool {
        if exactly || self.depth > DEEPEST {
            return self.mind.text(text).is_some();
        }
        let mut work = Work { fuel: self.fuel.get(), left: vec![] };
        let known = self.mind.one(text, self.depth, &mut work).is_some();
        self.fuel.set(work.fuel);
        known
    }
}

/// The blanks around a text, and before it what draws on a terminal (`ESC [ 2 A`).
fn trimmed(text: &str) -> (&str, &str, &str) {
    let mut rest = text.trim_start();
    while let Some(end) = rest.strip_prefix("\x1b[").and_then(|r| r.find(|c: char| c.is_ascii_alphabetic())) {
        rest = rest[2 + end + 1..].trim_start();
    }
    let before = &text[..text.len() - rest.len()];
    let body = rest.trim_end();
    (before, body, &rest[body.len()..])
}

/// With the blanks around it, as wide as it was where those behind it were there for a column.
fn padded(whole: &str, before: &str, known: &str, after: &str) -> String {
    let mut text = format!("{before}{known}");
    let wide = whole.chars().count();
    if !after.is_empty() {
        text += &" ".repeat(wide.saturating_sub(text.chars().count()).max(1));
    }
    text
}

/// Where a text can be cut: between sentences, reasons, remarks, columns. Each cut is what stands between two pieces.
fn cuts(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() && cuts.len() < MOST_CUTS {
        let blanks = bytes[at..].iter().take_while(|b| **b == b' ').count();
        let length = match bytes[at] {
            b' ' if bytes.get(at + blanks) == Some(&b'(') => blanks + 1,
            b' ' if blanks > 1 => blanks,
            b';' | b':' | b'.' | b',' | b']' if bytes.get(at + 1) == Some(&b' ') => {
                1 + bytes[at + 1..].iter().take_while(|b| **b == b' ').count()
            }
            b')' => 1,
            _ => 0,
        };
        if length > 0 {
            cuts.push((at, at + length));
        }
        at += length.max(blanks).max(1);
    }
    cuts
}

/// Notes a piece that stays English, if it looks like words of ours.
fn keep(piece: &str, work: &mut Work) {
    let words = piece.split(' ').filter(|w| w.len() > 1 && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'\''));
    if words.count() > 1 {
        work.left.push(piece.trim().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mind() -> Mind {
        let text = "msgid \"{} runs on {}.\"\nmsgstr \"{} tourne sur {}.\"\n\
             msgid \"{} is {} on {}{}\"\nmsgstr \"{} est {:w} sur {}{…}\"\n\
             msgid \"; its home is {}\"\nmsgstr \" ; sa maison est {}\"\n\
             msgid \"the migration failed\"\nmsgstr \"la migration a échoué\"\n\
             msgid \"{}: {}  ({})\"\nmsgstr \"{}: {…}  ({…})\"\n\
             msgid \"migrate it\"\nmsgstr \"le migrer\"\n\
             msgid \"all is in order\"\nmsgstr \"tout est en ordre\"\n\
             msgid \"Success.\"\nmsgstr \"Réussi.\"\n\
             msgid \"UNDECIDED: {}\"\nmsgstr \"INDÉCIS : {…}\"\n\
             msgid \"{} sees {}\"\nmsgstr \"{2} est vu de {1}\"\n\
             msgid \"try: {}   (is it up?)\"\nmsgstr \"essayer : {!}   (est-il en marche ?)\"\n\
             msgctxt \"word\"\nmsgid \"running\"\nmsgstr \"en marche\"\n\
             msgctxt \"word\"\nmsgid \"wait\"\nmsgstr \"attente\"\n\
             msgid \"{}  {}  {}  (since {})\"\nmsgstr \"{}  {:w}  {…}  (depuis {})\"\n";
        Mind::of(crate::tongue::catalog::parse(text).unwrap())
    }

    #[test]
    fn lines_are_interpreted_with_what_stands_in_them() {
        let mind = mind();
        for (english, french) in [
            ("web runs on dom0-beta.", "web tourne sur dom0-beta."),
            ("  web runs on dom0-beta.", "  web tourne sur dom0-beta."),
            ("web is running on b; its home is a", "web est en marche sur b\u{a0}; sa maison est a"),
            ("web is running on b", "web est en marche sur b"),
            ("  a: migrate it  (all is in order)", "  a: le migrer  (tout est en ordre)"),
            ("xen-migrate: the migration failed", "xen-migrate: la migration a échoué"),
            ("UNDECIDED: web runs on b.", "INDÉCIS\u{a0}: web tourne sur b."),
            ("b sees a", "a est vu de b"),
            ("Success.", "Réussi."),
            ("  try: ssh root@b   (is it up?)", "  essayer\u{a0}: ssh root@b   (est-il en marche\u{a0}?)"),
            ("the migration failed; all is in order", "la migration a échoué\u{a0}; tout est en ordre"),
            ("web  wait      all is in order  (since 12)", "web  attente   tout est en ordre  (depuis 12)"),
        ] {
            assert_eq!(mind.say(english), french);
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let mind = mind();
        for text in [
            "",
            "running",
            "Connection closed by 192.0.2.1",
            "ssh: connect to host b port 22: No route to host",
            "xen-migrate recover web",
            "web is odd on b",
            "a\u{0}b \u{1b}[2J c",
        ] {
            assert_eq!(mind.say(text), text);
            assert!(matches!(mind.say(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(mind().say("web runs on b.\n\n  b sees a\n"), "web tourne sur b.\n\n  a est vu de b\n");
    }

    #[test]
    fn a_name_that_is_one_of_our_words_stays_a_name() {
        let mind = mind();
        assert_eq!(mind.say("running runs on wait."), "running tourne sur wait.");
        assert_eq!(mind.say("UNDECIDED: running"), "INDÉCIS\u{a0}: running");
    }

    #[test]
    fn leftovers_are_found_wherever_they_stand() {
        let mind = mind();
        assert!(mind.leftovers("UNDECIDED: web runs on b.").is_empty());
        assert_eq!(mind.leftovers("UNDECIDED: nobody knows that"), ["nobody knows that"]);
        assert_eq!(mind.leftovers("the migration failed: some words of ours"), ["some words of ours"]);
        assert_eq!(mind.leftovers("nothing of it is known"), ["nothing of it is known"]);
    }

    #[test]
    fn what_draws_on_a_terminal_stays_in_front() {
        assert_eq!(mind().say("\x1b[2A\x1b[Jweb runs on b."), "\x1b[2A\x1b[Jweb tourne sur b.");
    }

    /// Every line of a peer may pass through here.
    #[test]
    fn hostile_lines_end_soon_and_change_nothing_but_words() {
        let mind = mind();
        for unit in ["is ", ": ", "; ", "a is running on ", "(", ")", "  ", "\u{1b}[", "é ", "{} ", "\0"] {
            for length in [10, 1000, 15_000, 100_000] {
                let text = unit.repeat(length / unit.len() + 1);
                let told = mind.say(&text);
                assert_eq!(told.lines().count(), text.lines().count());
            }
        }
        let mut work = Work { fuel: 1000, left: vec![] };
        assert_eq!(mind.piece(&"x is y; ".repeat(2000), 0, &mut work), None);
    }
}
