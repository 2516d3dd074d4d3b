//! Whatever the programs print, nothing here panics, and what is cut off is not taken for the whole.

use super::testing::all_recorded;
use super::{Picture, config, deed, proc, show};
use crate::adapters::scripted::Dice;
use crate::adapters::{Call, Ended, Output};
use std::path::Path;

/// Gives a text to every reader.
fn read_by_all(text: &str) {
    Picture::of(text).replicas();
    let _ = proc::generation(text);
    let _ = proc::generation_of_tool(text);
    let _ = config::configuration(text, "alpha");
    if let Ok(minors) = proc::minors(text) {
        proc::replicas(&minors, &[]);
    }
    let _ = show::of_resource(text, "r0");
    let _ = show::of_minors([text]);
    read_as_a_deed(text);
}

fn read_as_a_deed(text: &str) {
    for exit in [0, 10, 20] {
        let output = Output { ended: Ended::Exit(exit), stdout: text.to_string(), stderr: text.to_string() };
        if let Err(error) = deed::judge(&Call::new("drbdadm", ["primary"]), &output) {
            let _ = error.to_string();
        }
    }
}

/// A text is given to the reader it is meant for at every byte, and to all the others at some.
#[test]
fn every_recording_cut_off_at_every_byte() {
    for (name, text) in all_recorded() {
        // The long dumps are mostly of one kind; a step keeps the whole test within a second.
        let step = if text.len() > 3000 { 23 } else { 1 };
        for end in (0..text.len()).step_by(step) {
            let cut = String::from_utf8_lossy(&text.as_bytes()[..end]);
            let whole = cut.trim_end() == text.trim_end();
            if end % 13 == 0 {
                read_by_all(&cut);
            }
            if name.contains(".stderr.") {
                read_as_a_deed(&cut);
            } else if name.contains("dump-xml") {
                let answer = config::configuration(&cut, "alpha");
                assert!(whole || answer.is_err(), "{name} cut off at {end}");
            } else if name.contains("events2") {
                let ended = cut.lines().any(|line| line.ends_with("exists -"));
                assert!(ended || !Picture::of(&cut).complete(), "{name} cut off at {end}");
            } else if name.contains("-show-") {
                let answer = show::of_resource(&cut, "r0");
                let refused = matches!(answer, Err(show::Unknown::NotUnderstood(_) | show::Unknown::NotUp));
                assert!(whole || refused, "{name} cut off at {end}: {answer:?}");
            } else if let Ok(minors) = proc::minors(&cut) {
                assert!(minors.len() <= text.matches("cs:").count(), "{name} cut off at {end}");
            }
        }
    }
}

#[test]
fn the_lines_of_every_recording_in_random_order() {
    let mut dice = Dice::new(8_317_411);
    for (_, text) in all_recorded() {
        let mut lines: Vec<&str> = text.lines().collect();
        for _ in 0..20 {
            dice.shuffle(&mut lines);
            read_by_all(&lines.join("\n"));
        }
    }
}

#[test]
fn the_order_of_the_exists_lines_does_not_matter() {
    let mut dice = Dice::new(271_828);
    for (name, text) in all_recorded() {
        let is_one_dump = text.ends_with("exists -\n") && text.lines().all(|line| line.starts_with("exists "));
        if !is_one_dump {
            continue;
        }
        let expected = Picture::of(&text);
        let mut lines: Vec<&str> = text.lines().collect();
        for _ in 0..50 {
            dice.shuffle(&mut lines);
            assert_eq!(Picture::of(&lines.join("\n")), expected, "{name}");
        }
    }
}

#[test]
fn random_bytes_and_recordings_with_random_bytes_in_them() {
    let mut dice = Dice::new(1_414_213);
    let marks = b"{}\";:#()<>/-\n\t =&\0\xff\xc3 exists change 0: cs: ro: ds: Failure: (";
    for _ in 0..3000 {
        let length = dice.below(120);
        let bytes: Vec<u8> = (0..length)
            .map(|_| if dice.below(3) == 0 { dice.below(256) as u8 } else { marks[dice.below(marks.len())] })
            .collect();
        read_by_all(&String::from_utf8_lossy(&bytes));
    }
    for (_, text) in all_recorded() {
        for _ in 0..60 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=dice.below(4) {
                if !bytes.is_empty() {
                    let place = dice.below(bytes.len());
                    bytes[place] = if dice.below(2) == 0 { dice.below(256) as u8 } else { marks[dice.below(marks.len())] };
                }
            }
            read_by_all(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn every_recording_has_a_test_that_names_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapters/drbd");
    let sources: String =
        std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/drbd/README.md")).unwrap();
    for (name, _) in all_recorded() {
        assert!(sources.contains(&name), "no test names {name}");
        assert!(readme.contains(&name), "tests/recorded/drbd/README.md does not say where {name} comes from");
    }
}
