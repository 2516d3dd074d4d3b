//! The French of the pages: `fr.po`, in the plain subset of gettext's format (msgid, msgstr, comments, strings on several lines).
//!
//! The English text is the key, as everywhere in gettext. What changed in English is therefore without French until somebody has looked at
//! it again, and a test says so; meanwhile the page shows the English.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const FRENCH: &str = include_str!("fr.po");

/// A language, and what was asked for in vain.
pub struct Catalog {
    /// Its short name below `share/man`; English has none.
    pub language: Option<&'static str>,
    words: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
    missing: RefCell<Vec<String>>,
}

impl Catalog {
    /// English: everything is as it stands.
    pub fn none() -> Catalog {
        Catalog { language: None, words: BTreeMap::new(), asked: RefCell::default(), missing: RefCell::default() }
    }

    /// French.
    pub fn french() -> Result<Catalog, String> {
        Ok(Catalog { language: Some("fr"), words: parse(FRENCH)?, ..Catalog::none() })
    }

    /// The text in this language.
    pub fn tr(&self, text: &str) -> String {
        if self.language.is_none() || !has_words(text) {
            return text.to_string();
        }
        self.asked.borrow_mut().insert(text.to_string());
        match self.words.get(text).filter(|found| !found.is_empty()) {
            Some(found) => typeset(found),
            None => {
                let mut missing = self.missing.borrow_mut();
                if !missing.iter().any(|there| there == text) {
                    missing.push(text.to_string());
                }
                text.to_string()
            }
        }
    }

    /// What has no translation, as it is to be added to the file.
    pub fn missing(&self) -> String {
        self.missing.borrow().iter().map(|text| format!("\nmsgid {}\nmsgstr \"\"\n", quoted(text))).collect()
    }

    /// What nobody asks for any more: its English has changed, or has gone.
    #[allow(dead_code, reason = "a test asks")]
    pub fn stale(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        self.words.keys().filter(|key| !key.is_empty() && !asked.contains(*key)).cloned().collect()
    }
}

/// French has a blank before these signs, and no line may break there.
fn typeset(text: &str) -> String {
    [":", ";", "?", "!", "»"]
        .iter()
        .fold(text.replace("« ", "«\u{a0}"), |text, sign| text.replace(&format!(" {sign}"), &format!("\u{a0}{sign}")))
}

/// Whether there is anything to translate beside what is marked as it is.
fn has_words(text: &str) -> bool {
    text.split('`').step_by(2).any(|part| part.split('*').step_by(2).any(|plain| plain.chars().any(char::is_alphabetic)))
        || (!text.contains(['`', '*']) && text.chars().any(char::is_alphabetic))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Reads a file of the kind. An error names its line.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut words = BTreeMap::new();
    let mut entry: Option<(String, Option<String>)> = None;
    for (number, line) in text.lines().enumerate() {
        let fault = |what: &str| format!("man/fr.po:{}: {what}", number + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix("msgid ") {
            keep(&mut words, entry.take()).map_err(|what| fault(&what))?;
            entry = Some((unquoted(rest).ok_or_else(|| fault("a string in quotes is expected"))?, None));
            continue;
        }
        let (key, value) = entry.as_mut().ok_or_else(|| fault("msgid is expected"))?;
        let (target, rest) = match (line.strip_prefix("msgstr "), value) {
            (Some(rest), value @ None) => (value.insert(String::new()), rest),
            (Some(_), Some(_)) => return Err(fault("a second msgstr")),
            (None, Some(value)) => (value, line),
            (None, None) => (key, line),
        };
        target.push_str(&unquoted(rest).ok_or_else(|| fault("a string in quotes is expected"))?);
    }
    keep(&mut words, entry)?;
    Ok(words)
}

fn keep(words: &mut BTreeMap<String, String>, entry: Option<(String, Option<String>)>) -> Result<(), String> {
    match entry {
        None => Ok(()),
        Some((key, None)) => Err(format!("{key:?} has no msgstr")),
        Some((key, Some(value))) => match words.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => Err(format!("{key:?} is there twice")),
        },
    }
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
