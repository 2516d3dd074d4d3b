//! Scenes: each folder of `tests/lab` tells what happened to somebody, and is played in the pretend fleet.
//!
//! `lab/loops.rs` has those that are told once for each of many places. A folder has a `README` (what is told), `start` (the fleet), `script` (what happens) and `journal.expect` (what was printed, and what is
//! where at the end). The language is in `lab/script.rs`.
//!
//! ```text
//! cargo test --test lab                            plays every scene and compares
//! SCENE=03 cargo test --test lab -- --nocapture    plays those whose folder begins so, and prints their journals
//! BLESS=1 cargo test --test lab                    writes what came out into journal.expect: read the difference before you commit it
//! ```
//!
//! `BLESS` cannot change what a script expects in so many words (`expect …`), nor that no promise is broken. A folder with a file `wrong`
//! shows a fault that is known and not mended yet: its expectations must *not* hold, and the day they do, the file has to go.

#[path = "lab/loops.rs"]
mod loops;
#[path = "lab/script.rs"]
mod script;
#[path = "lab/troubled.rs"]
mod troubled;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[test]
fn every_scene_goes_as_it_is_told() {
    let bless = std::env::var("BLESS").is_ok_and(|v| v == "1");
    let only = std::env::var("SCENE").unwrap_or_default();
    let mut wrong = Vec::new();
    let mut played = 0;
    for folder in folders() {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with(&only) {
            continue;
        }
        played += 1;
        if let Err(why) = scene(&folder, bless, !only.is_empty()) {
            wrong.push(format!("=== {name}\n{why}"));
        }
    }
    assert!(played > 0, "no scene was played");
    assert!(only.is_empty() && played > 20 || !only.is_empty(), "only {played} scenes were found");
    assert!(wrong.is_empty(), "{} of {played} scenes go wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the README shows of `migrate ALL` is what the scene of that name shows.
#[test]
fn the_readme_shows_what_the_scene_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md");
    let scene = fs::read_to_string(root.join("tests/lab/e0-empty-a-dom0-and-refill-it/journal.expect")).expect("the scene");
    let block = readme.split("dom0-alpha# xen-migrate migrate ALL\n").nth(1).and_then(|rest| rest.split("```").next());
    let lines: Vec<&str> = block.expect("the block").lines().filter(|line| *line != "…").collect();
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        assert!(scene.lines().any(|told| told.strip_prefix("  | ") == Some(line)), "README: {line}");
    }
}

/// The reader of the language itself refuses what it does not know, instead of passing over it.
#[test]
fn a_mistake_in_a_scene_is_told() {
    let pair = "pair 8.4 xl script\n";
    for (start, script) in [
        ("pear 8.4 xl script", ""),
        ("pair 8.5 xl script", ""),
        (pair, "dom0-alpha$"),
        (pair, "at stage web Redy: kill caller"),
        (pair, "expect exit 0"),
        (pair, "expect the best"),
        (pair, "pass 90"),
        (pair, "arm no-such web"),
        (pair, "dom0-alpha$ echo 'a"),
    ] {
        assert!(script::play(start, script).is_err(), "{start:?} {script:?}");
    }
    let played =
        script::play(pair, "dom0-alpha$ false\nexpect exit 0\nexpect runs web on dom0-beta\nin 5s: kill caller").unwrap();
    assert_eq!(played.broken.len(), 3, "{:?}", played.broken);
}

fn scene(folder: &Path, bless: bool, loud: bool) -> Result<(), String> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).map_err(|why| format!("{file}: {why}"));
    let readme = read("README")?;
    if readme.trim().is_empty() {
        return Err("README tells nothing".to_string());
    }
    let (start, script) = (read("start")?, read("script")?);
    // A tool that goes round for ever, or falls over, ends by a panic; the other scenes are played all the same.
    let played = match catch_unwind(AssertUnwindSafe(|| script::play(&start, &script))) {
        Ok(played) => played?,
        Err(_) if folder.join("wrong").exists() => return Ok(()),
        Err(_) => return Err("it panicked, see above".to_string()),
    };
    if loud {
        println!("{}", played.journal);
    }
    let known = folder.join("wrong").exists();
    match (known, played.broken.is_empty()) {
        (false, false) => {
            let story = if loud { played.story } else { "(SCENE=… shows the whole story)".to_string() };
            return Err(format!("{}\n--- journal\n{}\n--- story\n{story}", played.broken.join("\n"), played.journal));
        }
        (true, true) => return Err("it goes right now: the file `wrong` has to go".to_string()),
        _ => {}
    }
    if bless {
        return fs::write(folder.join("journal.expect"), &played.journal).map_err(|why| why.to_string());
    }
    let expected = read("journal.expect")?;
    difference(&expected, &played.journal).map_or(Ok(()), Err)
}

/// The first place where two texts part, with a few lines around it.
fn difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (e, f): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let at = (0..e.len().max(f.len())).find(|i| e.get(*i) != f.get(*i)).unwrap_or(0);
    let part = |lines: &[&str]| lines.iter().skip(at.saturating_sub(2)).take(8).map(|l| format!("    {l}\n")).collect::<String>();
    Some(format!(
        "journal.expect:{} is not what came out\n  expected:\n{}  found:\n{}  (BLESS=1 writes what came out)",
        at + 1,
        part(&e),
        part(&f)
    ))
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).expect("tests/lab").filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}
