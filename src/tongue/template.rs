//! A template: what a line of ours looks like, and what it becomes.

use super::catalog::{Entry, typeset};

/// How many places are tried for what follows a text that may itself contain it.
const TRIES: usize = 4;

/// What may stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One word, as it is. A sign that ends a word is not part of it.
    Word,
    /// A text to be interpreted.
    Text,
    /// The same, as long as it can be where others try to be short.
    LongText,
    /// Any text, as it is.
    Raw,
    /// A whole number, as it is.
    Number,
    /// A word of the catalog's own list.
    Listed,
}

/// A part of the translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Letters(String),
    /// What was found at this place of the English, from 0.
    Place(usize),
}

/// One entry with places.
#[derive(Debug)]
pub struct Template {
    /// What stands before, between and behind the places: one more than those.
    letters: Vec<String>,
    /// Of each place, in the order of the English.
    pub kinds: Vec<Kind>,
    /// The translation.
    pub parts: Vec<Part>,
    /// It is a line of its own, and never a part of one.
    pub only_alone: bool,
    /// It has no letter and no word of the list to prove that it is meant: then the text at this place must be known as a whole.
    proof: Option<usize>,
}

/// What is known beside the template.
pub trait Lore {
    /// One of the words that have an entry of their own.
    fn is_listed(&self, word: &str) -> bool;
    /// An entry without places knows this text as a whole, or a template does. `exactly`: only the first.
    fn is_known(&self, text: &str, exactly: bool) -> bool;
}

/// How much work may still be done on a line.
pub type Fuel = usize;

impl Template {
    /// Reads an entry. The error is what is wrong with it.
    pub fn of(entry: &Entry) -> Result<Template, String> {
        let letters: Vec<String> = entry.id.split("{}").map(str::to_string).collect();
        let count = letters.len() - 1;
        let mut kinds = vec![None; count];
        let mut parts = Vec::new();
        let text = typeset(&entry.text);
        let mut rest = text.as_str();
        let mut plain = String::new();
        let mut next = 0;
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let Some((number, kind, length)) = place(&rest[at..]) else {
                plain.push('{');
                rest = &rest[at + 1..];
                continue;
            };
            let number = number.unwrap_or(next);
            next = number + 1;
            match kinds.get_mut(number) {
                Some(seen @ None) => *seen = Some(kind),
                Some(Some(_)) => return Err(format!("the place {} is there twice", number + 1)),
                None => return Err(format!("there is no place {} in the English", number + 1)),
            }
            parts.push(Part::Letters(std::mem::take(&mut plain)));
            parts.push(Part::Place(number));
            rest = &rest[at + length..];
        }
        plain.push_str(rest);
        parts.push(Part::Letters(plain));
        let kinds: Option<Vec<Kind>> = kinds.into_iter().collect();
        let kinds = kinds.ok_or("a place of the English is missing")?;
        let is_signs = !letters.iter().any(|part| part.contains(char::is_alphabetic)) && !kinds.contains(&Kind::Listed);
        let proof = kinds.iter().position(|kind| matches!(kind, Kind::Text | Kind::LongText)).filter(|_| is_signs);
        Ok(Template { letters, kinds, parts, only_alone: entry.context == "line", proof })
    }

    /// How many letters it has of its own: the more, the surer.
    pub fn weight(&self) -> usize {
        self.letters.iter().map(String::len).sum()
    }

    /// What stands at its places, if the text is of this form.
    pub fn fit<'t>(&self, text: &'t str, lore: &dyn Lore, fuel: &mut Fuel) -> Option<Vec<&'t str>> {
        let (first, last) = (self.letters.first()?, self.letters.last()?);
        if text.len() < self.weight() || !text.starts_with(first.as_str()) || !text.ends_with(last.as_str()) {
            return None;
        }
        let inner = &text[first.len()..text.len() - last.len()];
        let mut found = Vec::with_capacity(self.kinds.len());
        self.rest(0, inner, lore, fuel, &mut found).then_some(found)
    }

    /// Fills the places from this one on.
    fn rest<'t>(&self, place: usize, text: &'t str, lore: &dyn Lore, fuel: &mut Fuel, found: &mut Vec<&'t str>) -> bool {
        let kind = self.kinds[place];
        let may = |piece: &str| match kind {
            Kind::Word => {
                let word = piece.trim();
                !word.is_empty() && !word.contains(char::is_whitespace) && !word.ends_with([':', ';', ','])
            }
            Kind::Listed => lore.is_listed(piece.trim()),
            Kind::Number => !piece.trim().is_empty() && piece.trim().bytes().all(|b| b.is_ascii_digit()),
            Kind::Text | Kind::LongText => {
                // Three blanks stand before a remark about a command, two before the reason of a deed.
                self.proof != Some(place) || (!piece.ends_with(' ') && lore.is_known(piece.trim(), place == 0))
            }
            Kind::Raw => true,
        };
        if place + 1 == self.kinds.len() {
            let fits = may(text);
            if fits {
                found.push(text);
            }
            return fits;
        }
        let between = self.letters[place + 1].as_str();
        if between.is_empty() {
            // Two places side by side: the second, an addition, begins with a sign or a blank. Behind a text it is part of that.
            let end = match kind {
                Kind::Word | Kind::Listed | Kind::Number => text.find([' ', ',', ';', '(']).unwrap_or(text.len()),
                Kind::Text | Kind::LongText | Kind::Raw => text.len(),
            };
            return may(&text[..end]) && self.go_on(place, &text[..end], &text[end..], lore, fuel, found);
        }
        if kind == Kind::LongText {
            *fuel = fuel.saturating_sub(1 + text.len() / 16);
            let Some(at) = text.rfind(between) else { return false };
            return may(&text[..at]) && self.go_on(place, &text[..at], &text[at + between.len()..], lore, fuel, found);
        }
        let mut from = 0;
        for _ in 0..TRIES {
            // Looking costs what there is to look through.
            *fuel = fuel.saturating_sub(1 + (text.len() - from) / 16);
            if *fuel == 0 {
                return false;
            }
            let Some(at) = text[from..].find(between).map(|at| from + at) else { return false };
            // Of the blanks between two columns, those that only fill the first one up belong to it.
            let filling = match between.trim().is_empty() && between.len() > 1 {
                true => text[at + between.len()..].bytes().take_while(|b| *b == b' ').count(),
                false => 0,
            };
            let at = at + filling;
            let piece = &text[..at];
            if may(piece) && self.go_on(place, piece, &text[at + between.len()..], lore, fuel, found) {
                return true;
            }
            // A word does not get better by getting longer.
            if kind == Kind::Word && piece.trim().contains(char::is_whitespace) {
                return false;
            }
            from = at + text[at..].chars().next().map_or(1, char::len_utf8);
        }
        false
    }

    fn go_on<'t>(
        &self,
        place: usize,
        piece: &'t str,
        rest: &'t str,
        lore: &dyn Lore,
        fuel: &mut Fuel,
        found: &mut Vec<&'t str>,
    ) -> bool {
        found.push(piece);
        if self.rest(place + 1, rest, lore, fuel, found) {
            return true;
        }
        found.truncate(place);
        false
    }
}

/// `{2…}` at the beginning of a text: its number from 0, its kind, and how long it is. `None`: it is a brace and nothing else.
fn place(text: &str) -> Option<(Option<usize>, Kind, usize)> {
    let end = text.find('}')?;
    let inner = &text[1..end];
    let digits = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = match &inner[..digits] {
        "" => None,
        number => Some(number.parse::<usize>().ok()?.checked_sub(1)?),
    };
    let kind = match &inner[digits..] {
        "" => Kind::Word,
        "…" => Kind::Text,
        "…+" => Kind::LongText,
        ":n" => Kind::Number,
        "!" => Kind::Raw,
        ":w" => Kind::Listed,
        _ => return None,
    };
    Some((number, kind, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(id: &str, text: &str) -> Result<Template, String> {
        Template::of(&Entry { context: String::new(), id: id.to_string(), text: text.to_string(), line: 1 })
    }

    struct Little;

    impl Lore for Little {
        fn is_listed(&self, word: &str) -> bool {
            word == "running"
        }
        fn is_known(&self, text: &str, _: bool) -> bool {
            text.starts_with("known")
        }
    }

    fn fit<'t>(id: &str, text: &str, line: &'t str) -> Option<Vec<&'t str>> {
        template(id, text).unwrap().fit(line, &Little, &mut 10_000)
    }

    #[test]
    fn places_are_words_unless_it_is_said() {
        assert_eq!(fit("{} runs on {}.", "{} {}", "web runs on dom0-beta."), Some(vec!["web", "dom0-beta"]));
        assert_eq!(fit("{} runs on {}.", "{} {}", "the thing runs on dom0-beta."), None);
        assert_eq!(fit("{} runs on {}.", "{…} {}", "the thing runs on dom0-beta."), Some(vec!["the thing", "dom0-beta"]));
        assert_eq!(fit("{} is {} on {}", "{} {:w} {}", "web is running on b"), Some(vec!["web", "running", "b"]));
        assert_eq!(fit("{} is {} on {}", "{} {:w} {}", "web is odd on b"), None);
        assert_eq!(fit("is {}{}", "{} {…}", "is dom0-beta; its home"), Some(vec!["dom0-beta", "; its home"]));
        assert_eq!(fit("is {}{}", "{} {…}", "is dom0-beta"), Some(vec!["dom0-beta", ""]));
        assert_eq!(fit("[{}] {} %", "{} {}", "[##]  30 %"), Some(vec!["##", " 30"]));
    }

    #[test]
    fn a_text_that_contains_what_follows_it_is_tried_again() {
        assert_eq!(fit("{} is {}.", "{…} {}", "what is here is web."), Some(vec!["what is here", "web"]));
        assert_eq!(fit("{}: of {}: {}", "{} {} {…}", "a: of b: c: d"), Some(vec!["a", "b", "c: d"]));
    }

    #[test]
    fn signs_alone_prove_nothing() {
        assert_eq!(fit("{} ({})", "{…} ({!})", "a foreign tool (says this)"), None);
        assert_eq!(
            fit("{} ({})", "{…} ({!})", "known thing (in a way) (says this)"),
            Some(vec!["known thing", "in a way) (says this"])
        );
        assert_eq!(
            fit("{} ({})", "{…+} ({!})", "known thing (in a way) (says this)"),
            Some(vec!["known thing (in a way)", "says this"])
        );
        assert_eq!(fit("{}: {}", "{}: {…}", "web: known"), Some(vec!["web", "known"]));
    }

    #[test]
    fn the_order_may_change_and_a_brace_is_a_brace() {
        let t = template("{} of {} { x; }", "{2} de {1…} { x; }").unwrap();
        assert_eq!(t.kinds, [Kind::Text, Kind::Word]);
        let letters = |text: &str| Part::Letters(text.to_string());
        assert_eq!(t.parts, [letters(""), Part::Place(1), letters(" de "), Part::Place(0), letters(" { x; }")]);
        assert_eq!(t.weight(), " of  { x; }".len());
    }

    #[test]
    fn places_must_agree() {
        for (id, text) in [("{} a", "a"), ("a", "{} a"), ("{} {}", "{1} {1}"), ("{} {}", "{} {3}")] {
            assert!(template(id, text).is_err(), "{id:?} {text:?}");
        }
    }

    #[test]
    fn a_hostile_line_costs_no_more_than_its_fuel() {
        let t = template("{} is {} is {} is {} on", "{…} {…} {…} {…}").unwrap();
        let line = format!("{} x", "a is ".repeat(30_000));
        let mut fuel = 50_000;
        assert_eq!(t.fit(&format!("{line} on"), &Little, &mut fuel).map(|found| found.len()), Some(4));
        assert_eq!(t.fit(&line, &Little, &mut fuel), None);
        let t = template("{} is {} was {} is {} on", "{…} {…} {…} {…}").unwrap();
        assert_eq!(t.fit(&format!("{line} on"), &Little, &mut fuel), None);
    }
}
