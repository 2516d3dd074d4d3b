//! Reads a catalog in the plain subset of gettext's format: msgctxt, msgid, msgstr, comments, strings on several lines.
//!
//! The English text is the key, as everywhere in gettext. A msgid has `{}` where the source fills something in. A msgstr says beside the
//! place what may stand there:
//!
//! ```text
//! {}       one word without blanks, which stays as it is: a name, a host, a path, a number
//! {…}      a text of ours, which is interpreted by itself; one word stays as it is
//! {!}      any text, which stays as it is: a command, what a foreign tool said
//! {…+}     the same, and where what follows it stands there several times, the last of them counts
//! {:w}     one of the entries with msgctxt "word": a state, for instance
//! {:n}     a whole number
//! {2}      with a number, where the order changes: {2}, {2…}, {2!}, {2:w}; then all have one
//! ```

use super::template::Template;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `word`: for words alone, which no line ever matches. `line`: for a whole line, and for no part of one.
    pub context: String,
    /// The English.
    pub id: String,
    /// The translation, as it stands in the file.
    pub text: String,
    /// The line of its msgid, from 1.
    pub line: usize,
}

/// What is wrong with the places of an entry, if something is.
pub fn fault(entry: &Entry) -> Option<String> {
    Template::of(entry).err()
}

/// Reads a file of the kind. An error names its line. Entries without a translation are left out.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut now = Entry { context: String::new(), id: String::new(), text: String::new(), line: 0 };
    let mut field = Field::None;
    for (number, line) in text.lines().enumerate() {
        let fault = |what: &str| format!("{}: {what}", number + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (next, rest) = match line.split_once(' ').unwrap_or((line, "")) {
            ("msgctxt", rest) => (Field::Context, rest),
            ("msgid", rest) => (Field::Id, rest),
            ("msgstr", rest) => (Field::Text, rest),
            _ => (field, line),
        };
        let words = unquoted(rest).ok_or_else(|| fault("a string in quotes is expected"))?;
        if line.starts_with('"') {
            if field == Field::None {
                return Err(fault("msgid is expected"));
            }
        } else if !matches!(
            (field, next),
            (Field::None | Field::Text, Field::Context | Field::Id) | (Field::Context, Field::Id) | (Field::Id, Field::Text)
        ) {
            return Err(fault("msgid and then msgstr are expected"));
        } else if field == Field::Text {
            let fresh = Entry { context: String::new(), id: String::new(), text: String::new(), line: 0 };
            entries.push(std::mem::replace(&mut now, fresh));
        }
        match next {
            Field::Context => now.context += &words,
            Field::Id => {
                now.line = if now.line == 0 { number + 1 } else { now.line };
                now.id += &words;
            }
            Field::Text | Field::None => now.text += &words,
        }
        field = next;
    }
    match field {
        Field::None => {}
        Field::Text => entries.push(now),
        Field::Context | Field::Id => return Err(format!("{}: {:?} has no msgstr", now.line, now.id)),
    }
    // The first one, of the empty text, describes the file.
    entries.retain(|e| !e.id.is_empty() && !e.text.is_empty());
    let mut seen = std::collections::HashSet::new();
    match entries.iter().find(|e| !seen.insert((&e.context, &e.id))) {
        Some(again) => Err(format!("{}: {:?} is there twice", again.line, again.id)),
        None => Ok(entries),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    None,
    Context,
    Id,
    Text,
}

/// French has a blank before these signs, and no line may break there.
pub fn typeset(text: &str) -> String {
    [":", ";", "?", "!", "»"]
        .iter()
        .fold(text.replace("« ", "«\u{a0}"), |text, sign| text.replace(&format!(" {sign}"), &format!("\u{a0}{sign}")))
}

fn unquoted(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_with_their_context_and_over_several_lines() {
        let text = "# c\nmsgid \"\"\nmsgstr \"Language: fr\\n\"\n\nmsgctxt \"word\"\nmsgid \"a \\\"b\\\"\\n\"\nmsgstr \"x\"\n\"y\"\n\nmsgid \"a\"\n\"c\"\n\
                    msgstr \"z\"\nmsgid \"none yet\"\nmsgstr \"\"\n";
        let read = parse(text).unwrap();
        let plain: Vec<_> = read.iter().map(|e| (e.context.as_str(), e.id.as_str(), e.text.as_str(), e.line)).collect();
        assert_eq!(plain, [("word", "a \"b\"\n", "xy", 6), ("", "ac", "z", 10)]);
    }

    #[test]
    fn a_damaged_catalog_is_told_with_its_line() {
        for (text, line) in [
            ("msgstr \"x\"\n", 1),
            ("msgid \"a\"\nmsgstr x\n", 2),
            ("\nmsgid \"a\"\nmsgid \"b\"\n", 3),
            ("\"x\"\n", 1),
            ("msgid \"a\"\n", 1),
            ("msgid \"a\"\nmsgstr \"b\"\nmsgid \"a\"\nmsgstr \"c\"\n", 3),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.starts_with(&format!("{line}: ")), "{why}");
        }
    }

    #[test]
    fn the_blank_before_a_sign_does_not_break() {
        assert_eq!(typeset("« a » : b ; c ?"), "«\u{a0}a\u{a0}»\u{a0}: b\u{a0}; c\u{a0}?");
    }
}
