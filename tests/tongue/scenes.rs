//! What the scenes of `tests/lab` show to a person. Their journals are held against what is really said by `tests/lab.rs`, so reading
//! them is as good as playing them once more.

use super::source;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use xen_drbd::tongue::Tongue;

/// Our commands, as they stand in a scene.
const OURS: [&str; 4] = ["xen-migrate ", "xen-drbd-auto ", "migrate2", "/etc/init.d/xen-drbd-auto "];

/// Every line that a command of ours says to a person in a scene, with the scene's name. What is said to a machine is left out.
fn lines() -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    let mut folders: Vec<_> = fs::read_dir(root).expect("tests/lab").filter_map(|e| e.ok().map(|e| e.path())).collect();
    folders.sort();
    for folder in folders {
        let Ok(journal) = fs::read_to_string(folder.join("journal.expect")) else { continue };
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = String::new();
        for line in journal.lines() {
            let shown = line.strip_prefix("  ~ ").map(|l| (l, true)).or_else(|| line.strip_prefix("  | ").map(|l| (l, false)));
            match shown {
                Some((said, aside)) if OURS.iter().any(|ours| command.starts_with(ours)) => {
                    let machine = ["--json", "--metrics", "init-info"].iter().any(|word| command.contains(word));
                    if aside || !machine {
                        lines.push((name.clone(), said.to_string()));
                    }
                }
                Some(_) => {}
                None => {
                    if let Some((_, typed)) = line.split_once("$ ") {
                        command = typed.trim_end_matches(']').to_string();
                    }
                }
            }
        }
    }
    lines
}

#[test]
fn what_the_scenes_show_is_interpreted_to_its_last_word() {
    let french = Tongue::french();
    let excused = source::excused("tests/tongue/leftovers.txt");
    let mut used = std::collections::BTreeSet::new();
    let mut left: BTreeMap<String, (String, String)> = BTreeMap::new();
    let lines = lines();
    assert!(lines.len() > 2000, "{} lines", lines.len());
    for (scene, line) in &lines {
        // What is to be typed is the same in every language.
        let typed = |piece: &String| source::COMMANDS.iter().any(|name| piece.starts_with(name));
        // A table is laid out word by word before it comes to the door; that its words have their French is seen in `door.rs`.
        if ["UpToDate", "Diskless", "  -  "].iter().any(|word| line.contains(word)) && line.split("  ").count() > 3 {
            continue;
        }
        for piece in french.leftovers(line).into_iter().filter(|piece| !typed(piece)) {
            let reason = excused.iter().find(|excuse| match excuse.strip_suffix('…') {
                Some(begins) => piece.starts_with(begins),
                None => piece == **excuse,
            });
            match reason {
                Some(excuse) => drop(used.insert(excuse.clone())),
                None => drop(left.entry(piece).or_insert((scene.clone(), line.clone()))),
            }
        }
    }
    let told: Vec<String> = left
        .iter()
        .map(|(piece, (scene, line))| format!("{piece}\n    in {scene}: {line}\n    -> {}", french.say(line)))
        .collect();
    assert!(told.is_empty(), "{} pieces stay English:\n{}", told.len(), told.join("\n"));
    let idle: Vec<_> = excused.iter().filter(|excuse| !used.contains(*excuse)).collect();
    assert!(idle.is_empty(), "tests/tongue/leftovers.txt excuses what no scene shows: {idle:?}");
}

/// `cargo test --test tongue -- the_scenes_in_french --nocapture --ignored`: to be read by somebody who knows French.
#[test]
#[ignore = "it prints, and proves nothing"]
fn the_scenes_in_french() {
    let french = Tongue::french();
    let mut last = String::new();
    for (scene, line) in lines() {
        if scene != last {
            println!("\n=== {scene}");
            last = scene;
        }
        println!("{}", french.say(&line));
    }
}
