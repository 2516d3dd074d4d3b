//! The door itself: what a person reads in French, and what a machine reads in no language but its own.

use std::process::{Command, Output};
use xen_drbd::core::drbd::Generation;
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{DiskForm, Lab, Ran};
use xen_drbd::tongue::Tongue;

const A: &str = "dom0-alpha";
const TOOL: &str = env!("CARGO_BIN_EXE_xen-drbd");

fn run(lab: &Lab, line: &str) -> Ran {
    lab.run(A, &line.split(' ').collect::<Vec<_>>())
}

/// The article's fleet, with something on the record, something waiting, and a fault in the table.
fn fleet(tongue: Tongue) -> Lab {
    let lab = Lab::article();
    run(&lab, "xen-migrate migrate my-domu-1");
    lab.put(A, "/etc/xen/drbd-auto/my-domu-3.cfg", &lab.file(A, "/etc/xen/my-domu-3.cfg").unwrap_or_default());
    lab.put(A, "/etc/xen/drbd-auto/broken.cfg", "name = \n");
    run(&lab, "xen-drbd-auto start");
    lab.speak(tongue);
    lab
}

/// Every answer for machines, word for word.
const FOR_MACHINES: [&str; 12] = [
    "xen-migrate status --json",
    "xen-migrate status ALL --fleet --json",
    "xen-migrate status my-domu-1 no-such --json",
    "xen-migrate where my-domu-1 --json",
    "xen-migrate check --json",
    "xen-migrate migrate ALL --dry-run --json",
    "xen-migrate migrate my-domu-3 --json",
    "xen-migrate reverse my-domu-1 --json",
    "xen-migrate reverse ALL --json",
    "xen-drbd-auto status --json",
    "xen-drbd-auto status --metrics",
    "xen-drbd-auto init-info",
];

#[test]
fn machines_read_the_same_whatever_the_person_reads() {
    let (english, french) = (fleet(Tongue::english()), fleet(Tongue::french()));
    for line in FOR_MACHINES {
        let (plain, other) = (run(&english, line), run(&french, line));
        assert!(!plain.out.is_empty(), "{line}: {}", plain.err);
        assert_eq!((plain.code, &plain.out), (other.code, &other.out), "{line}");
    }
    // What the peers were asked and have answered, what the log and the files have, and when all that happened.
    assert_eq!(english.journal(), french.journal());
    for file in ["/etc/xen/migrate-status.txt", "/run/xen-drbd-auto/state.json"] {
        assert_eq!(english.file(A, file), french.file(A, file), "{file}");
    }
}

#[test]
fn a_table_is_laid_out_in_the_words_that_are_shown() {
    let lab = fleet(Tongue::french());
    let shown = run(&lab, "xen-migrate status").out;
    let lines: Vec<&str> = shown.lines().take_while(|line| !line.starts_with('!')).collect();
    let (head, rows) = (lines[0], &lines[1..]);
    assert!(head.starts_with("DOMU") && head.contains("OÙ") && head.contains("ÉTAT") && head.ends_with("DEPUIS"), "{shown}");
    assert!(rows.len() > 2, "{shown}");
    let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
    for row in rows {
        let state = ["en marche", "parti", "absent"].iter().find_map(|word| column(row, word));
        assert_eq!(state, column(head, "ÉTAT"), "{shown}");
        let role = ["Primary/", "Secondary/"].iter().find_map(|word| column(row, word));
        assert!(role > column(head, "DISQUES"), "{shown}");
    }
    let shown = run(&lab, "xen-drbd-auto status").out;
    assert!(shown.contains("  existe    ") || shown.contains("  démarré   "), "{shown}");
    let shown = run(&lab, "xen-migrate check").out;
    assert!(
        shown.lines().all(|line| line.starts_with("bon      ") || line.starts_with("avertis.") || line.starts_with("faute    ")),
        "{shown}"
    );
}

#[test]
fn what_a_peer_says_is_interpreted_here_and_not_there() {
    let lab = Lab::pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    lab.speak(Tongue::french());
    assert_eq!(run(&lab, "xen-migrate migrate web").out, "web tourne sur dom0-beta.\n");
    let back = run(&lab, "xen-migrate reverse web");
    assert_eq!(back.out, "web tourne sur dom0-alpha.\n", "{}", back.err);
    assert!(back.err.contains("remettre les options de drbd.conf  (seulement pendant la migration)"), "{}", back.err);
    assert!(!back.err.contains("the options"), "{}", back.err);
    // And nobody has written any of it down in French.
    assert!(!lab.journal().contains("tourne"), "{}", lab.journal());
}

fn program(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let temp = tempfile::tempdir().expect("a folder");
    let mut command = command(words);
    command.env("XEN_DRBD_ROOT", temp.path()).envs(environment.iter().copied()).output().expect("the executable")
}

#[expect(clippy::disallowed_methods, reason = "the real executable, as a person starts it")]
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    for name in ["LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LC_CTYPE", "SSH_ORIGINAL_COMMAND", "SSH_CONNECTION"] {
        command.env_remove(name);
    }
    command.args(words).stdin(std::process::Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const FRENCH: (&str, &str) = ("LANG", "fr_FR.UTF-8");

#[test]
fn the_executable_speaks_what_its_environment_asks_for() {
    let said = |environment: &[(&str, &str)]| text(&program(&["xen-migrate", "frobnicate"], environment).stderr);
    let english = said(&[]);
    assert!(english.starts_with("error: unrecognized subcommand 'frobnicate'") && english.contains("Usage: "), "{english}");
    let french = said(&[FRENCH]);
    assert!(french.starts_with("erreur\u{a0}: verbe inconnu «\u{a0}frobnicate\u{a0}»"), "{french}");
    assert!(french.contains("Utilisation\u{a0}: xen-migrate [OPTIONS] <VERBE>"), "{french}");
    for environment in
        [[FRENCH, ("LC_ALL", "C")], [("LANG", "fr_FR"), ("LANGUAGE", "")], [("LANG", "fr_FR@euro"), ("LANGUAGE", "fr")]]
    {
        assert_eq!(said(&environment), english, "{environment:?}");
    }
    assert_eq!(said(&[("LANG", "en_GB.UTF-8"), ("LANGUAGE", "fr:en")]), french);
}

#[test]
fn nobody_but_a_person_is_answered_in_french() {
    for words in
        [&["xen-drbd-auto", "init-info"][..], &["xen-drbd-auto", "status", "--json"], &["xen-drbd-auto", "status", "--metrics"]]
    {
        let (plain, other) = (program(words, &[]), program(words, &[FRENCH]));
        assert!(!plain.stdout.is_empty(), "{words:?}: {}", text(&plain.stderr));
        assert_eq!((plain.status.code(), text(&plain.stdout)), (other.status.code(), text(&other.stdout)), "{words:?}");
    }
    // What goes to a peer or into the log, on either output, whatever sshd or the service manager have set.
    for words in [
        &["migrate2"][..],
        &["xen-migrate", "migrate2", "--peer", "b"],
        &["xen-drbd-auto", "keep", "x", "true"],
        &["xen-drbd-auto", "keep", "0", "/no/such"],
    ] {
        let (plain, other) = (program(words, &[]), program(words, &[FRENCH, ("LANGUAGE", "fr")]));
        assert!(!plain.stderr.is_empty(), "{words:?}");
        assert_eq!((text(&plain.stdout), text(&plain.stderr)), (text(&other.stdout), text(&other.stderr)), "{words:?}");
    }
}

/// Every help there is, and every error of clap that this program can show.
#[test]
fn help_and_usage_are_french_to_the_last_word() {
    let french = Tongue::french();
    let mut left = Vec::new();
    let verbs = |program: &str| -> Vec<String> {
        let shown = text(&program_of(program, &["--help"], &[]).stdout);
        let part = shown.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default().to_string();
        part.lines()
            .filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' '))?.split(' ').next().map(String::from))
            .collect()
    };
    for name in ["xen-migrate", "xen-drbd-auto"] {
        let mut lines = vec![vec![], vec!["--help".to_string()], vec!["-h".to_string()]];
        let verbs = verbs(name);
        assert!(verbs.len() > 5, "{verbs:?}");
        // No person asks migrate2 for help, so it answers in English.
        lines.extend(
            verbs
                .iter()
                .filter(|v| !["help", "migrate2"].contains(&v.as_str()))
                .map(|verb| vec![verb.clone(), "--help".to_string()]),
        );
        for line in lines {
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            let shown = |environment: &[(&str, &str)]| {
                let output = program_of(name, &words, environment);
                text(&output.stdout) + &text(&output.stderr)
            };
            let (plain, other) = (shown(&[]), shown(&[FRENCH]));
            assert!(!plain.is_empty() && plain != other, "{name} {words:?}");
            let english: std::collections::BTreeSet<&str> = plain.lines().map(str::trim).filter(|l| l.contains(' ')).collect();
            for same in other.lines().map(str::trim).filter(|l| english.contains(l)) {
                let typed = ["xen-", "/etc/init.d/", "from=", "--", "-V", "-h"].iter().any(|begin| same.starts_with(begin));
                // An option alone on its line, and an example to be typed, are the same in every language.
                if !typed || same.contains("  ") && !same.starts_with("xen-migrate --despite") {
                    left.push(format!("{name} {words:?}: {same}"));
                }
            }
        }
    }
    for line in [
        "xen-migrate frobnicate",
        "xen-migrate migrte web",
        "xen-migrate migrate",
        "xen-migrate migrate web --too x",
        "xen-migrate migrate web --to",
        "xen-migrate migrate web --to -x",
        "xen-migrate migrate web --jobs 0",
        "xen-migrate migrate web --jobs x",
        "xen-migrate migrate web --despite nothing",
        "xen-migrate migrate web --deadline x",
        "xen-migrate migrate web --dry-run --dry-run",
        "xen-migrate recover web mail",
        "xen-migrate recover ALL",
        "xen-migrate ping -- -x",
        "xen-migrate ping",
        "xen-migrate setup b --from x",
        "xen-migrate setup b --key-type dsa",
        "xen-migrate --toolstack xe status",
        "xen-drbd-auto status --json --metrics",
        "xen-drbd-auto force-start web",
        "xen-drbd-auto explain 1",
        "xen-drbd-auto stop now",
    ] {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').filter(|w| !w.is_empty()).collect();
        let plain = program_of(name, &words, &[]);
        assert_eq!(plain.status.code(), Some(2), "{line}");
        for said in text(&plain.stderr).lines() {
            left.extend(french.leftovers(said).into_iter().map(|piece| format!("{line}: {piece}")));
        }
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}

fn program_of(name: &str, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let all: Vec<&str> = std::iter::once(name).chain(words.iter().copied()).collect();
    program(&all, environment)
}
