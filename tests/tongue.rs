//! What is said to a person can be said in French, all of it; what a machine reads cannot.
//!
//! ```text
//! cargo test --test tongue                                    everything
//! cargo test --test tongue -- what_the_scenes --nocapture     what stays English, with the places
//! ```
//!
//! * Every text of the source has its French in `src/tongue/fr.po`, or stands in `tongue/english.txt` with the reason why not.
//! * Every entry of `fr.po` is still said, and its places agree.
//! * Every line that the scenes of `tests/lab` show to a person is interpreted to its last word, or `tongue/leftovers.txt` has the reason.
//! * What machines read is the same to the byte, whatever language the person has.

#[path = "tongue/door.rs"]
mod door;
#[path = "tongue/scenes.rs"]
mod scenes;
#[path = "tongue/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use xen_drbd::tongue::{FRENCH, catalog};

/// The texts of the source, as keys of a catalog, each with the place where it stands first.
fn said() -> BTreeMap<String, String> {
    source::texts("src", &|file| {
        !["src/lab", "src/tongue", "src/applets/xen_drbd_auto/metrics.rs"].iter().any(|no| file.starts_with(no))
    })
}

fn entries() -> Vec<catalog::Entry> {
    catalog::parse(FRENCH).expect("src/tongue/fr.po")
}

#[test]
fn every_text_of_the_source_has_its_french_or_a_reason() {
    let known: BTreeSet<String> = entries().into_iter().map(|e| e.id).collect();
    let english = source::excused("tests/tongue/english.txt");
    // Paragraphs of --help are asked for as a whole, and not line by line.
    let prose = source::prose();
    let mut missing = Vec::new();
    for (text, place) in said() {
        if !known.contains(&text) && !english.contains(&text) && source::looks_like_words(&text) && !prose.contains(&text) {
            missing.push(format!("# {place}\nmsgid {}\nmsgstr \"\"\n", source::quoted(&text)));
        }
    }
    assert!(
        missing.is_empty(),
        "{} texts have no French: add them to src/tongue/fr.po, or to tests/tongue/english.txt with a reason\n\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn every_entry_is_still_said() {
    let said = said();
    let mut help = source::help();
    // What only the man pages ask for beside them, or clap says by itself in both.
    help.extend(["OPTION", "Default:", "Print help", "Print help (see a summary with '-h')", "Print version"].map(String::from));
    let elsewhere = source::excused("tests/tongue/elsewhere.txt");
    let stale: Vec<String> = entries()
        .into_iter()
        .filter(|e| e.context != "word")
        .filter(|e| !said.contains_key(&e.id) && !help.contains(&e.id) && !elsewhere.contains(&e.id))
        .map(|e| format!("src/tongue/fr.po:{}: {:?}", e.line, e.id))
        .collect();
    assert!(stale.is_empty(), "nobody says this any more:\n{}", stale.join("\n"));
    // A word has no blank by which it could be told from a name of the source: it need only stand there in quotes.
    let sources = source::all_text("src");
    for word in entries().into_iter().filter(|e| e.context == "word") {
        assert!(sources.contains(&format!("{:?}", word.id)), "src/tongue/fr.po:{}: nobody says {:?}", word.line, word.id);
    }
    // And no reason without its text.
    let stale: Vec<String> =
        source::excused("tests/tongue/english.txt").into_iter().filter(|text| !said.contains_key(text)).collect();
    assert!(stale.is_empty(), "tests/tongue/english.txt excuses what nobody says any more:\n{}", stale.join("\n"));
}

#[test]
fn the_places_of_both_languages_agree() {
    let wrong: Vec<String> = entries()
        .iter()
        .filter(|e| e.context != "word" && e.id.contains("{}"))
        .filter_map(|e| catalog::fault(e).map(|why| format!("src/tongue/fr.po:{}: {why}: {:?}", e.line, e.id)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What begins or ends with a blank would never be found: lines are looked up without them.
    for e in entries() {
        assert_eq!(e.id.trim(), e.id, "src/tongue/fr.po:{}", e.line);
        assert!(!e.id.contains('\n') && !e.text.contains('\n'), "src/tongue/fr.po:{}: lines are interpreted one by one", e.line);
    }
}

/// The extraction itself: one that finds nothing would make every test above pass.
#[test]
fn texts_are_found_however_they_are_written() {
    let text = "fn f() { // \"a comment\"\n let c = '\"'; say(\"one {x:>5} two\"); r#\"raw \"text\" here\"#; \"on \\\n      two lines\"; \"a\\n  b c {{d}}\" }\n\
                #[expect(clippy::x, reason = \"no text of ours\")]\n#[cfg(test)]\nmod tests {\n \"only tested here\" }";
    let found: Vec<String> = source::keys_of(text).into_iter().map(|(_, key)| key).collect();
    assert_eq!(found, ["one {} two", "raw \"text\" here", "on two lines", "a", "b c {d}"]);
    let said = said();
    assert!(said.len() > 1200, "{}", said.len());
    for text in ["{} runs on {}.", "the migration failed", "expected: {}"] {
        assert!(said.contains_key(text), "{text}");
    }
}
