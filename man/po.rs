//! The French of the pages: `fr.po` for their prose, and the program's own catalog for what they say of its command line.
//!
//! The English text is the key, as everywhere in gettext. What changed in English is therefore without French until somebody has looked at
//! it again, and a test says so; meanwhile the page shows the English.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use xen_drbd::tongue::{self, catalog};

/// The prose of the pages. What they say of options and verbs is the program's own `--help`, whose French is the program's.
const PROSE: &str = include_str!("fr.po");

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
        let mut words = BTreeMap::new();
        for (file, text) in [("man/fr.po", PROSE), ("src/tongue/fr.po", tongue::FRENCH)] {
            for entry in catalog::parse(text).map_err(|why| format!("{file}:{why}"))? {
                let key = entry.id.clone();
                if entry.context.is_empty() && words.insert(entry.id, entry.text).is_some() {
                    return Err(format!("{file}:{}: {key:?} is in both catalogs", entry.line));
                }
            }
        }
        Ok(Catalog { language: Some("fr"), words, ..Catalog::none() })
    }

    /// The text in this language.
    pub fn tr(&self, text: &str) -> String {
        if self.language.is_none() || !has_words(text) {
            return text.to_string();
        }
        self.asked.borrow_mut().insert(text.to_string());
        match self.words.get(text).filter(|found| !found.is_empty()) {
            Some(found) => catalog::typeset(found),
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
        let prose = catalog::parse(PROSE).unwrap_or_default();
        prose.into_iter().map(|e| e.id).filter(|key| !asked.contains(key)).collect()
    }
}

/// Whether there is anything to translate beside what is marked as it is.
fn has_words(text: &str) -> bool {
    text.split('`').step_by(2).any(|part| part.split('*').step_by(2).any(|plain| plain.chars().any(char::is_alphabetic)))
        || (!text.contains(['`', '*']) && text.chars().any(char::is_alphabetic))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
