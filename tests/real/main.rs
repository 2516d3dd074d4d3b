//! What our commands say on real Xen and DRBD is what they say on the pretend fleet.
//!
//! Each folder of `told` is one story, or a chapter of one: `start` and `script` (the language of `tests/lab/script.rs`) make our commands say on the
//! pretend fleet what they say when `tests/real/run` plays the story of the same name on the real thing. That run leaves what they said there in
//! `NAME.told` and calls this test with the folder. Without such a folder the scripts are played, and nothing is compared.
//!
//! ```text
//! REAL_TOLD=~/.cache/xen-drbd-real/logs/20260101-120000 cargo test --test real
//! ```
//!
//! Times, ids, sizes, domains and the progress of the copying differ from run to run and are left out on both sides. A file `differs` names, with
//! reasons behind `#`, the lines that only the real thing says (`+ `) or only the pretend one (`- `); `…` at the end stands for the rest. One that no longer
//! occurs has to go.

#![expect(clippy::disallowed_methods, reason = "the scripts are run as an operator runs them")]

mod verdict;

#[path = "../lab/script.rs"]
mod script;
#[path = "../lab/troubled.rs"]
mod troubled;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_pretend_fleet_says_what_the_real_thing_says() {
    let told = std::env::var_os("REAL_TOLD").map(PathBuf::from);
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for folder in folders() {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // A story that did not hold, or was not played, has nothing to compare.
        let said =
            told.as_ref().and_then(|told| fs::read_to_string(told.join(format!("{name}.told"))).ok()).filter(|s| !s.is_empty());
        compared += usize::from(said.is_some());
        if let Err(why) = compare(&folder, said.as_deref()) {
            wrong.push(format!("=== {name}\n{why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    match told {
        Some(told) => {
            assert!(compared > 0, "there was nothing to compare in {}", told.display());
            println!("compared: {compared}");
        }
        None => println!("played and not compared: REAL_TOLD names no run of tests/real/run"),
    }
}

/// What is compared is seen: a word more, a word less, another exit code.
#[test]
fn a_difference_is_found() {
    let said = "dom0-a$ xen-migrate status\n  web  dom0-a  running  2026-11-23T02:25:00Z\n  exit 0\n";
    let same = "dom0-a$ xen-migrate status\n  | web dom0-a   running  2026-01-01T00:00:02Z\n  exit 0\n";
    assert_eq!(blocks(said), blocks(same));
    for other in [same.replace("running", "paused"), same.replace("exit 0", "exit 1"), same.replace("dom0-a$", "dom0-b$")] {
        assert_ne!(blocks(said), blocks(&other), "{other}");
    }
    let lines = |text: &str| text.split(',').map(String::from).collect::<Vec<_>>();
    assert_eq!(difference(&lines("a,b,c"), &lines("c,a,d")), ["+ b", "- d"]);
    assert_eq!(difference(&lines("a,a,b"), &lines("b,a")), ["+ a"]);
    assert_eq!(steady("    web: 10 % of 104 MiB, 0.6 MiB/s, about 144 s left"), None);
    assert_eq!(steady("    dom0-b: web: 10 % of 104 MiB, 0.6 MiB/s, about 144 s left"), None);
    assert_eq!(steady("  destroy (id 14) of 104 MiB").as_deref(), Some("destroy (id N) of N MiB"));
}

fn compare(folder: &Path, said: Option<&str>) -> Result<(), String> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).map_err(|why| format!("{file}: {why}"));
    let played = script::play(&read("start")?, &read("script")?)?;
    if !played.broken.is_empty() {
        return Err(format!("{}\n{}\n{}", played.broken.join("\n"), played.journal, played.story));
    }
    let Some(said) = said else { return Ok(()) };
    let (real, pretend) = (blocks(said), blocks(&played.journal));
    // A command that was not the same in both would compare nothing.
    let commands = |blocks: &[Block]| blocks.iter().map(|b| b.command.clone()).collect::<Vec<_>>();
    if commands(&real) != commands(&pretend) {
        return Err(format!("not the same commands:\n  real {:#?}\n  pretend {:#?}", commands(&real), commands(&pretend)));
    }
    let mut known = known(&fs::read_to_string(folder.join("differs")).unwrap_or_default());
    let mut wrong = String::new();
    for (real, pretend) in real.iter().zip(&pretend) {
        let differs: Vec<String> =
            difference(&real.lines, &pretend.lines).into_iter().filter(|line| !is_known(&mut known, line)).collect();
        if !differs.is_empty() {
            wrong += &format!("{}   (+ the real thing, - the pretend one)\n", real.command);
            differs.iter().for_each(|line| wrong += &format!("  {line}\n"));
        }
    }
    for (line, _) in known.iter().filter(|(_, times)| **times == 0) {
        wrong += &format!("`differs` has a line that both say, or none: {line}\n");
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// One command of ours, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    command: String,
    lines: Vec<String>,
}

/// Our commands in a journal of the pretend fleet or a recording of the real thing: `HOST$ COMMAND`, then its indented lines.
fn blocks(journal: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in journal.lines() {
        if let Some((_, command)) = line.split_once("$ ").filter(|_| !line.starts_with(' ')) {
            inside = command.starts_with("xen-migrate ");
            if inside {
                blocks.push(Block { command: line.to_string(), lines: Vec::new() });
            }
        } else if line.starts_with("  ") {
            let told = line.trim_start().trim_start_matches("~ ").trim_start_matches("| ");
            if let (true, Some(block), Some(steady)) = (inside, blocks.last_mut(), steady(told)) {
                block.lines.push(steady);
            }
        } else {
            inside = false;
        }
    }
    blocks
}

/// A line without what differs from run to run; none where the whole line does.
fn steady(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().filter(|w| !["~", "|"].contains(w)).collect();
    // The progress of the copying, and how long something was waited for.
    let progress = words.windows(3).any(|w| w[0].bytes().all(|b| b.is_ascii_digit()) && w[1] == "%" && w[2] == "of");
    if words.is_empty() || progress || words[0] == "waiting:" {
        return None;
    }
    let mut steady: Vec<String> = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let bare = word.trim_matches(|c: char| "(),;".contains(c));
        let number = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit() || c == '.');
        let before = n.checked_sub(1).map(|n| words[n].trim_start_matches('(')).unwrap_or_default();
        let after = words.get(n + 1).map(|w| w.trim_end_matches([',', ')', '/', 's'])).unwrap_or_default();
        let replaced = if number && (["id", "pid", "domain", "Dom"].contains(&before) || after.starts_with("MiB")) {
            word.replace(bare, "N")
        } else if bare.len() == 20 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T' {
            word.replace(bare, "TIME")
        } else if bare == "MOMENT" {
            word.replace("MOMENT", "TIME")
        } else if let Some(short) = word.strip_suffix(".example.org") {
            // Only the pretend Dom0s have a domain.
            short.to_string()
        } else if before == "ssh-ed25519" {
            "KEY".to_string()
        } else {
            (*word).to_string()
        };
        steady.push(replaced.replace("/etc/xen/drbd-auto/", "/etc/xen/"));
    }
    Some(steady.join(" "))
}

/// The lines that only one of the two has, in their order, each behind `+ ` (real) or `- ` (pretend).
fn difference(real: &[String], pretend: &[String]) -> Vec<String> {
    // The longest common part, from behind; these texts are short.
    let (r, p) = (real.len(), pretend.len());
    let mut common = vec![vec![0u32; p + 1]; r + 1];
    for i in (0..r).rev() {
        for j in (0..p).rev() {
            common[i][j] = if real[i] == pretend[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < r || j < p {
        if i < r && j < p && real[i] == pretend[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < r && (j == p || common[i + 1][j] >= common[i][j + 1]) {
            found.push(format!("+ {}", real[i]));
            i += 1;
        } else {
            found.push(format!("- {}", pretend[j]));
            j += 1;
        }
    }
    without_moved(found)
}

/// The pretend fleet tells all of standard error first, and the real thing what came as it came: a line at another place is no difference.
fn without_moved(mut found: Vec<String>) -> Vec<String> {
    let twin = |line: &str| line.strip_prefix("+ ").map(|text| format!("- {text}"));
    let pair = |found: &[String]| {
        found.iter().enumerate().find_map(|(n, line)| {
            let twin = twin(line)?;
            found.iter().position(|other| *other == twin).map(|m| (n.max(m), n.min(m)))
        })
    };
    while let Some((later, earlier)) = pair(&found) {
        found.remove(later);
        found.remove(earlier);
    }
    found
}

/// Whether `differs` has this line, or one that ends in `…` and begins like it.
fn is_known(known: &mut BTreeMap<String, usize>, line: &str) -> bool {
    let begins_like = |known: &str| known.strip_suffix('…').is_some_and(|begin| line.starts_with(begin.trim_end()));
    let found = known.iter_mut().filter(|(known, _)| *known == line || begins_like(known));
    found.map(|(_, times)| *times += 1).count() > 0
}

/// The lines of a file `differs`, and how often each was met.
fn known(text: &str) -> BTreeMap<String, usize> {
    text.lines().filter(|l| l.starts_with("+ ") || l.starts_with("- ")).map(|l| (l.trim_end().to_string(), 0)).collect()
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/told");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).expect("tests/real/told").filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}
