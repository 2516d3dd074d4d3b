//! The house keeps itself: imports flow one way, files stay readable, names and executables are what they should be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use xen_drbd::applets::NAMES;
use xen_drbd::lab;

/// No file in `src` has more lines, except for these, each with its reason.
const MOST_LINES: usize = 600;
const LONGER: [(&str, &str); 0] = [];

/// Which rooms a room may import. The lab stands outside: it imports what it pretends for, and nothing imports it.
const ARROWS: [(&str, &[&str]); 5] = [
    ("core", &["core"]),
    ("tongue", &["tongue"]),
    ("adapters", &["core", "tongue", "adapters"]),
    ("applets", &["core", "tongue", "adapters", "applets"]),
    ("lab", &["core", "tongue", "adapters", "applets", "lab"]),
];

/// What `core` has no use for: the world comes to it as values.
const NOT_IN_CORE: [&str; 13] = [
    "std::fs", "std::env", "std::process", "std::thread", "std::os", "TcpStream", "UdpSocket", "UnixStream", "Instant::now",
    "SystemTime::now", "rand::", "println!", "rustix",
];

#[test]
fn imports_flow_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let room = file.split(['/', '.']).nth(1).unwrap_or_default().to_string();
        let Some((_, may)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            // lib.rs and main.rs: the map and the door.
            assert!(["lib", "main"].contains(&room.as_str()), "{file} stands in no room");
            continue;
        };
        for other in rooms_imported(&text) {
            if !may.contains(&other.as_str()) {
                wrong.push(format!("{file}: {room} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let text = "use crate::core::drbd;\nuse crate::{adapters::{World, Call}, lab};\nlet x = crate::applets::run();\n\
                // crate::comment\nuse crate::core;\nuse crate::{\n    lab2::Mark,\n    core,\n};";
    let found: Vec<_> = rooms_imported(text).into_iter().collect();
    assert_eq!(found, ["adapters", "applets", "core", "lab", "lab2"]);
    let found: Vec<_> =
        rooms_imported("use super::super::{lab, other};\nuse super::Call;\nother_crate::lab").into_iter().collect();
    assert_eq!(found, ["lab"]);
}

#[test]
fn core_touches_nothing() {
    let mut wrong = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with("src/core/")) {
        for line in code_lines(tests_cut(&text)) {
            for word in NOT_IN_CORE.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{file}: {word}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_readable() {
    let mut wrong = Vec::new();
    let sources = sources();
    for (file, text) in &sources {
        let lines = text.lines().count();
        let excused = LONGER.iter().any(|(name, _)| name == file);
        if lines > MOST_LINES && !excused {
            wrong.push(format!("{file}: {lines} lines; split it, or excuse it in LONGER with a reason"));
        }
        if lines <= MOST_LINES && excused {
            wrong.push(format!("{file}: {lines} lines need no excuse any more"));
        }
    }
    for (name, _) in LONGER {
        assert!(sources.iter().any(|(file, _)| file == name), "{name} is excused and is not there");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn symlinks_makes_the_names_that_the_executable_knows() {
    let script = read("symlinks.sh");
    let line = script.lines().find_map(|line| line.strip_prefix("NAMES=\"")?.strip_suffix('"')).expect("a line NAMES=\"…\"");
    assert_eq!(line.split(' ').collect::<Vec<_>>(), NAMES);
    let init = script.lines().find_map(|line| line.strip_prefix("INIT=")).expect("a line INIT=…");
    assert!(NAMES.contains(&init), "{init} is started at boot and is no name of ours");
}

#[test]
fn the_executable_contains_no_lab() {
    let bytes = fs::read(env!("CARGO_BIN_EXE_xen-drbd")).expect("the executable");
    let mark = lab::MARK.as_bytes();
    assert!(!bytes.windows(mark.len()).any(|window| window == mark), "the pretend fleet is part of the executable");
}

#[test]
fn the_changelog_begins_with_this_version() {
    let changelog = read("CHANGELOG.md");
    let first = changelog.lines().find_map(|line| line.strip_prefix("## ")).expect("a heading ## VERSION");
    assert_eq!(first.split(' ').next(), Some(env!("CARGO_PKG_VERSION")));
}

/// Every Rust file below `src`, as `src/…`, with its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                sources.push((name, fs::read_to_string(&path).expect("a text")));
            }
        }
    }
    sources.sort();
    assert!(sources.len() > 5, "the sources were not found");
    sources
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// The lines that are no comments.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The text without its tests, which stand last.
fn tests_cut(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before)
}

/// The first names after `crate::`, in `crate::a::b`, in `crate::{a::b, c}`, and under our own crate's name.
fn rooms_imported(text: &str) -> BTreeSet<String> {
    let code: String = code_lines(text).flat_map(|line| [line, "\n"]).collect();
    let mut rooms = BTreeSet::new();
    for mark in ["crate::", "xen_drbd::"] {
        for (at, _) in code.match_indices(mark) {
            // `$crate::` and `other_crate::` are somebody else's.
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            rooms.extend(names_at_the_front(&code[at + mark.len()..]));
        }
    }
    // The long way round. Most of what is above is no room.
    let above = code.match_indices("super::").flat_map(|(at, mark)| names_at_the_front(&code[at + mark.len()..]));
    rooms.extend(above.filter(|name| ARROWS.iter().any(|(room, _)| room == name)));
    rooms
}

/// The first name, or the first names of a braced list.
fn names_at_the_front(text: &str) -> Vec<String> {
    let name = |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(list) = text.strip_prefix('{') else { return vec![name(text)] };
    let mut names = vec![name(list)];
    let mut depth = 1;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&list[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
