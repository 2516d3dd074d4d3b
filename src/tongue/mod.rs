//! Puts what is said to a person into the language that the person asks for. Imports nothing else of the house.
//!
//! The texts of this program travel: a peer says them over ssh, whose person reads another language; the boot diary, the record and the
//! log keep them for days. So they are English everywhere, and only at the door to a person, in the last moment before a line is
//! written to the terminal, is it put into French here. Machines are answered elsewhere and in English always
//! (`To::Machine` of the world).
//!
//! A line is recognised by the templates of the catalog ([`catalog`], `fr.po`): those are the format strings of the source, with `{}` for what
//! was filled in. The template with the most letters of its own wins; what was filled in is interpreted by itself, for a reason may
//! stand within a reason. What no template knows stays as it is: a name, a command to be typed, a foreign tool's words. No clock and no
//! dice: the same line always becomes the same line. It may come from a peer that means harm, so the work on each is limited.

pub mod asked;
pub mod catalog;
mod mind;
mod table;
mod template;

use mind::Mind;
use std::borrow::Cow;
use std::sync::OnceLock;

/// The French catalog, as it is written. The executable has it packed.
pub const FRENCH: &str = include_str!("fr.po");

/// The same as `build.rs` has packed it.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/french.table"));

/// A language that a person reads.
#[derive(Debug, Default)]
pub struct Tongue {
    french: bool,
    /// Read when the first line is said: English costs nothing, and most starts of this program are read by machines.
    mind: OnceLock<Mind>,
}

impl Tongue {
    /// Everything as it stands.
    pub const fn english() -> Tongue {
        Tongue { french: false, mind: OnceLock::new() }
    }

    /// French.
    pub fn french() -> Tongue {
        Tongue { french: true, ..Tongue::default() }
    }

    /// Not the language of the source.
    pub fn is_foreign(&self) -> bool {
        self.french
    }

    /// What is said to a person, of one line or several; each is interpreted by itself.
    pub fn say<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.mind() {
            Some(mind) => mind.say(text),
            None => Cow::Borrowed(text),
        }
    }

    /// A word of a table: a state, a heading. Tables are laid out before they are said, so their words are asked for before that.
    pub fn word(&self, word: &str) -> String {
        self.mind().and_then(|mind| mind.word(word)).unwrap_or(word).to_string()
    }

    /// A whole text by its English, for what is laid out anew: `--help`. `None`: there is no French for it.
    pub fn text(&self, english: &str) -> Option<&str> {
        self.mind()?.text(english)
    }

    /// The pieces of a line that stay English although they look like words of ours: what a test wants to be empty.
    pub fn leftovers(&self, line: &str) -> Vec<String> {
        self.mind().map(|mind| mind.leftovers(line)).unwrap_or_default()
    }

    fn mind(&self) -> Option<&Mind> {
        self.french.then(|| self.mind.get_or_init(|| Mind::of(table::unpack(PACKED))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_stays_as_it_is() {
        let english = Tongue::english();
        for text in ["web runs on dom0-beta.", "", "a\nb\n", "Nothing is waiting; no domU was touched."] {
            assert!(matches!(english.say(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(english.word("running"), "running");
        assert_eq!(english.text("The domU"), None);
    }

    #[test]
    fn french_is_spoken() {
        let french = Tongue::french();
        assert_eq!(french.say("web runs on dom0-beta."), "web tourne sur dom0-beta.");
        assert_eq!(french.word("running"), "en marche");
        assert_eq!(french.word("web"), "web");
        assert_eq!(french.text("The domU"), Some("Le domU"));
    }
}
