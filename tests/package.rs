//! What the package is made of agrees with the program: pages, completion, init script, versions.
//!
//! What dpkg does with it is proven in a chroot: `tests/package/run`.

#![expect(clippy::disallowed_methods, reason = "the shells are run as a person runs them")]

#[path = "../man/command.rs"]
mod command;
#[path = "../man/completion/mod.rs"]
mod completion;
#[path = "../man/pages.rs"]
mod pages;
#[path = "../man/po.rs"]
mod po;
#[path = "../man/roff.rs"]
mod roff;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use xen_drbd::applets::xen_drbd_auto::lsb;

const ENGLISH: fn() -> po::Catalog = po::Catalog::none;

fn french() -> po::Catalog {
    po::Catalog::french().expect("man/fr.po")
}

/// The page of that name, without the marks of man(7).
fn page(catalog: &po::Catalog, name: &str) -> String {
    let all = pages::all(catalog, "").expect("the pages");
    let (_, text) = all.into_iter().find(|(path, _)| path.ends_with(name)).expect(name);
    text.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\(aq", "'")
}

#[test]
fn the_pages_have_every_verb_and_every_option() {
    for catalog in [ENGLISH(), french()] {
        for program in ["xen-migrate", "xen-drbd-auto"] {
            let text = page(&catalog, &format!("{program}.8"));
            let command = pages::command(program).expect(program);
            for verb in command.get_subcommands().filter(|v| !v.is_hide_set() && v.get_name() != "help") {
                assert!(text.contains(&format!(".SS {program} {}", verb.get_name())), "{program} {}", verb.get_name());
            }
            let verbs = command.get_subcommands().filter(|v| !v.is_hide_set() && v.get_name() != "help");
            for arg in command.get_arguments().chain(verbs.flat_map(|v| v.get_arguments())).filter(|a| !a.is_hide_set()) {
                if let Some(long) = arg.get_long() {
                    assert!(text.contains(&format!("--{long}")), "{program} --{long}");
                }
            }
            for code in 0..=5 {
                assert!(text.contains(&format!(".TP\n{code}\n")), "{program}: exit code {code}");
            }
        }
    }
}

#[test]
fn everything_has_its_french() {
    let french = french();
    pages::all(&french, "").expect("the pages");
    let missing = french.missing();
    assert!(missing.is_empty(), "translate this and add it to man/fr.po:\n{missing}");
    // What nobody says any more does no harm; it may be about to be said again, on another branch.
    for text in french.stale() {
        eprintln!("man/fr.po has this, and nothing says it: {text}");
    }
}

#[test]
fn both_languages_say_the_same_things_in_the_same_order() {
    let shape = |catalog: &po::Catalog| -> Vec<(String, Vec<String>)> {
        let requests = |text: &str| -> Vec<String> {
            text.lines().filter(|l| l.starts_with('.') && !l.starts_with(".TH")).map(|l| l[..3].trim().to_string()).collect()
        };
        let name = |path: &str| path.replace("man/fr/", "man/");
        pages::all(catalog, "").expect("the pages").iter().map(|(path, text)| (name(path), requests(text))).collect()
    };
    assert_eq!(shape(&ENGLISH()), shape(&french()));
}

#[test]
fn the_page_of_the_lab_has_every_verb_of_the_lab() {
    let source = read("src/lab/cli/mod.rs");
    let verbs = source.split_once("enum Verb {").expect("enum Verb").1.split_once("\n}").expect("its end").0;
    let names = verbs.lines().filter_map(|line| line.strip_prefix("    ")).filter(|l| l.starts_with(char::is_uppercase));
    let names: Vec<String> =
        names.map(|l| l.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()).collect();
    assert!(names.len() > 5, "{names:?}");
    let page = page(&ENGLISH(), "xen-drbd-lab.1");
    for name in names {
        assert!(page.contains(&format!("\n.TP\n{name}")), "{name}");
    }
}

#[test]
fn the_init_script_of_the_package_has_the_header_of_the_executable() {
    let script = read("debian/xen-drbd.xen-drbd-auto.init");
    assert!(script.contains(lsb::HEADER.trim()), "{script}");
}

/// What sends domUs away when the Dom0 goes down, for either init.
const UNITS: [&str; 2] = ["debian/xen-drbd-evacuate.service", "debian/xen-drbd-return.service"];
const INIT: &str = "debian/xen-drbd.xen-drbd-evacuate.init";

/// The values of a setting in a unit, split at blanks.
fn setting(unit: &str, name: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace).map(String::from).collect()
}

#[test]
fn at_a_shutdown_domus_are_sent_away_while_all_that_it_takes_is_there() {
    let unit = read(UNITS[0]);
    let after = setting(&unit, "After");
    // Ended in the opposite order: network and the way in, DRBD, toolstack; and before whoever saves or ends domUs.
    for name in
        ["network-online.target", "ssh.service", "drbd.service", "xen.service", "xenstored.service", "xen-init-dom0.service"]
    {
        assert!(after.contains(&name.to_string()), "{name}: {after:?}");
    }
    for name in ["xendomains.service", "libvirt-guests.service", "drbd-graceful-shutdown.service", "xen-drbd-auto.service"] {
        assert!(after.contains(&name.to_string()), "{name}: {after:?}");
    }
    assert!(setting(&unit, "Before").is_empty() && !unit.contains("DefaultDependencies"), "{unit}");
    // What brings back has ended before anything is sent away.
    assert!(setting(&read(UNITS[1]), "After").contains(&"xen-drbd-evacuate.service".to_string()));
    let minutes = |text: &str| humantime::parse_duration(text).expect(text).as_secs() / 60;
    let deadline = setting(&unit, "Environment").iter().find_map(|e| Some(minutes(e.strip_prefix("DEADLINE=")?))).expect("one");
    let stop = minutes(&setting(&unit, "TimeoutStopSec")[0]);
    assert!(stop >= deadline + 5, "{deadline} of {stop} min");

    let script = read(INIT);
    let of =
        |name: &str| script.lines().find_map(|l| l.strip_prefix(&format!("# {name}:"))).unwrap_or_default().trim().to_string();
    for name in ["drbd", "xen", "xendomains", "libvirt-guests", "ssh", "xen-drbd-auto"] {
        assert!(of("Should-Stop").split(' ').any(|word| word == name), "{name}: {}", of("Should-Stop"));
    }
    assert_eq!((of("Should-Start"), of("Default-Stop")), (of("Should-Stop"), "0 1 6".to_string()));
}

/// A folder with a stand-in for xen-migrate and for systemctl, which write down what they are asked.
fn stand_ins(systemd_says: &str) -> TempDir {
    let temp = tempfile::tempdir().expect("a folder");
    for (name, text) in
        [("xen-migrate", "echo \"$*\" >>\"${0%/*}/asked\"".to_string()), ("systemctl", format!("echo {systemd_says}"))]
    {
        let path = temp.path().join(name);
        write(&path, &format!("#!/bin/sh\n{text}\n"));
        let status = Command::new("chmod").args(["+x", &path.display().to_string()]).status().expect("chmod");
        assert!(status.success());
    }
    temp
}

fn asked(place: &TempDir) -> Vec<String> {
    fs::read_to_string(place.path().join("asked")).unwrap_or_default().lines().map(String::from).collect()
}

const SENT: &str = "migrate ALL --shutdown --deadline 4m";

#[test]
fn only_a_system_that_goes_down_sends_its_domus_away() {
    let unit = read(UNITS[0]);
    let line =
        unit.lines().find_map(|l| l.strip_prefix("ExecStop=/bin/sh -c '")).and_then(|l| l.strip_suffix('\'')).expect("ExecStop");
    for (state, sent) in [
        ("stopping", true),
        ("maintenance", true),
        ("running", false),
        ("degraded", false),
        ("starting", false),
        ("offline", false),
        ("", false),
    ] {
        let place = stand_ins(state);
        let folder = place.path().display().to_string();
        let script = line.replace("$$", "$").replace("/usr/bin/", &format!("{folder}/"));
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let ended = Command::new("/bin/sh").args(["-c", &script]).env("PATH", path).env("DEADLINE", "4m").output().expect("sh");
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(asked(&place), if sent { vec![SENT] } else { vec![] }, "{state}");
    }
}

#[test]
fn the_init_script_sends_away_only_at_a_shutdown_and_only_when_it_was_started() {
    let place = stand_ins("");
    let folder = place.path().display().to_string();
    let script = place.path().join("script");
    let text = read(INIT).replace("/usr/bin/", &format!("{folder}/")).replace("/run/", &format!("{folder}/"));
    // Where there is no sysvinit at all there is no such file either.
    write(&script, &text.replace(". /lib/lsb/init-functions", ""));
    let run = |action: &str, level: Option<&str>| {
        let mut command = Command::new("/bin/sh");
        command.arg(&script).arg(action).env_remove("RUNLEVEL");
        if let Some(level) = level {
            command.env("RUNLEVEL", level);
        }
        command.output().expect("sh").status.code()
    };
    assert_eq!((run("status", None), run("stop", Some("0")), asked(&place)), (Some(3), Some(0), vec![]), "it was never started");
    for (level, sent) in [(None, false), (Some("2"), false), (Some("0"), true), (Some("6"), true), (Some("1"), true)] {
        fs::remove_file(place.path().join("asked")).ok();
        assert_eq!((run("start", None), run("status", None)), (Some(0), Some(0)));
        assert_eq!(run("stop", level), Some(0));
        assert_eq!(asked(&place), if sent { vec![SENT] } else { vec![] }, "{level:?}");
        assert_eq!(run("status", None), Some(3));
    }
    assert_eq!(run("no-such-action", None), Some(2));
}

/// Runs the script that ends a purge on a system of its own, with this record; `grep_says`: a stand-in for a grep that fails so.
///
/// Returns whether the record is there afterwards, and what was said.
fn purged(record: &[u8], grep_says: Option<u8>) -> (bool, String) {
    let place = stand_ins("");
    let folder = place.path().display().to_string();
    let kept = place.path().join("etc/xen/migrate-status.txt");
    fs::create_dir_all(kept.parent().expect("a folder")).expect("a folder");
    fs::write(&kept, record).expect("the record");
    if let Some(code) = grep_says {
        // The copy may be executed, as what it is a copy of.
        fs::copy(place.path().join("systemctl"), place.path().join("grep")).expect("a stand-in");
        write(&place.path().join("grep"), &format!("#!/bin/sh\nexit {code}\n"));
    }
    let mut script = read("debian/xen-drbd.postrm");
    for place in ["/etc/", "/run/", "/var/", "/root/"] {
        script = script.replace(place, &format!("{folder}{place}"));
    }
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let ended = Command::new("/bin/sh").args(["-c", &script, "postrm", "purge"]).env("PATH", path).output().expect("sh");
    assert!(ended.status.success(), "a purge goes on: {ended:?}");
    (kept.exists(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

#[test]
fn a_purge_deletes_only_a_record_that_surely_says_nothing() {
    let none = "# version 1\n\n \t\n# EOF rows=0\n";
    assert_eq!(purged(none.as_bytes(), None), (false, String::new()));
    let row = "web  away  dom0-beta  2026-01-01T00:00:00Z\n";
    for before in ["", " ", "\t", " \t ", "# version 1\n  "] {
        let (kept, said) = purged(format!("{before}{row}# EOF rows=1\n").as_bytes(), None);
        assert!(kept && said.contains("says where domUs of this host are"), "{before:?}: {said}");
    }
    // To the program a comment begins with the line; this is a row that it cannot read.
    assert!(purged(format!(" #{row}{none}").as_bytes(), None).0);
    // Bytes that are no letter in any locale, and a file that grep calls binary.
    assert!(purged(format!("# version 1\n \u{a0}{row}").as_bytes(), None).0);
    assert!(purged(&[none.as_bytes(), b"\xff\n"].concat(), None).0);
    assert!(purged(&[none.as_bytes(), b"\0\n"].concat(), None).0);
    // Cut off, with or without its header; and one whose row is lost while its last line counts it.
    for text in ["", "\n", "# version 1\n", "# version 1\n# EOF rows=1\n", "# version 1\n# EOF rows=01\n"] {
        let (kept, said) = purged(text.as_bytes(), None);
        assert!(kept && said.contains("cannot be read as a whole"), "{text:?}: {said}");
    }
    for code in [2, 127] {
        let (kept, said) = purged(none.as_bytes(), Some(code));
        assert!(kept && said.contains("cannot be read as a whole"), "grep ends with {code}: {said}");
    }
}

/// README tells those who install by symlinks.sh to change one path: there must be no other.
#[test]
fn the_programs_of_the_units_are_where_the_package_puts_them() {
    for name in UNITS.iter().chain([&INIT]) {
        let text = read(name);
        let paths: Vec<&str> =
            text.split(['"', '\'', ' ', '=', '\n', ')']).filter(|w| w.contains("bin/") && w.ends_with("xen-migrate")).collect();
        assert!(!paths.is_empty() && paths.iter().all(|path| *path == "/usr/bin/xen-migrate"), "{name}: {paths:?}");
    }
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let changelog = read("debian/changelog");
    assert!(changelog.starts_with(&format!("xen-drbd ({}) ", env!("CARGO_PKG_VERSION"))), "{changelog}");
}

/// A Dom0's root with a table, a record and two configs; and the generated files.
struct Place {
    _temp: TempDir,
    dir: PathBuf,
}

impl Place {
    fn new() -> Place {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = temp.path().to_path_buf();
        for (name, text) in [
            ("etc/xen/migrate-tab.txt", "# a comment\n\nweb\tdom0-beta --live\n  mail dom0-beta,dom0-gamma\n#old dom0-zeta"),
            ("etc/xen/migrate-status.txt", "# version 1\nvisitor  visiting  dom0-delta  2026-01-01T00:00:00Z\n# EOF rows=1\n"),
            ("etc/xen/drbd-auto/web.cfg", ""),
            ("etc/xen/drbd-auto/mail", ""),
        ] {
            write(&dir.join(name), text);
        }
        for (name, text) in completion::all() {
            write(&dir.join(name), &text);
        }
        Place { _temp: temp, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join("share").join(name)
    }

    /// What a shell prints, sorted by words; `None`: that shell is not installed.
    fn shell(&self, argv: &[&str]) -> Option<Vec<String>> {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).env("XEN_DRBD_ROOT", &self.dir).env("HOME", &self.dir).current_dir(&self.dir);
        match command.output() {
            Ok(output) => {
                assert!(output.stderr.is_empty(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
                let text = String::from_utf8(output.stdout).expect("text");
                let mut words: Vec<String> = text.split_whitespace().map(String::from).collect();
                words.sort();
                // A shell shows the same word once.
                words.dedup();
                Some(words)
            }
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: {} is not installed", argv[0]);
                None
            }
            Err(why) => panic!("{argv:?}: {why}"),
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// What is typed (the last word is being typed), and what is offered then.
const TYPED: [(&str, &str); 13] = [
    ("xen-migrate migrate ", "ALL mail visitor web"),
    ("xen-migrate migrate w", "web"),
    ("xen-migrate --root / migrate m", "mail"),
    ("xen-migrate reverse v", "visitor"),
    ("xen-migrate status A", "ALL"),
    ("xen-migrate status web ma", "mail"),
    ("xen-migrate ping ", "dom0-beta dom0-delta dom0-gamma"),
    ("xen-migrate setup dom0-g", "dom0-gamma"),
    ("xen-migrate migrate --despite m", "memory"),
    ("xen-migrate --toolstack ", "xl xm"),
    ("xen-migrate rec", "recover"),
    ("xen-drbd-auto explain ", "mail web"),
    ("xen-drbd-auto force-start --reason burnt w", "web"),
];

#[test]
fn bash_completes_names_from_the_table() {
    let place = Place::new();
    for (line, offered) in TYPED {
        let mut words: Vec<&str> = line.split(' ').collect();
        let (program, cur) = (words[0].to_string(), words.len() - 1);
        words.insert(0, "x");
        let file = place.file(&format!("bash-completion/completions/{program}"));
        let function = format!("_{}", program.replace('-', "_"));
        let script = format!(
            "source '{}'; COMP_WORDS=(\"${{@:1}}\"); COMP_CWORD={cur}; {function}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let mut argv = vec!["bash", "--norc", "-c", &script];
        argv.extend(&words);
        let Some(found) = place.shell(&argv) else { return };
        assert_eq!(found.join(" "), offered, "{line:?}");
    }
}

#[test]
fn fish_completes_names_from_the_table() {
    let place = Place::new();
    for (line, offered) in TYPED {
        let program = line.split(' ').next().expect("a program");
        let file = place.file(&format!("fish/vendor_completions.d/{program}.fish"));
        // Only the words themselves: behind a tab is what they mean.
        let script = format!("source '{}'; complete -C '{line}' | string split -f 1 \\t", file.display());
        let Some(found) = place.shell(&["fish", "--no-config", "-c", &script]) else { return };
        let found: Vec<String> = found.into_iter().filter(|w| !w.starts_with('-')).collect();
        assert_eq!(found.join(" "), offered, "{line:?}");
    }
}

#[test]
fn zsh_completes_names_from_the_table() {
    let place = Place::new();
    for (line, offered) in TYPED {
        let program = line.split(' ').next().expect("a program");
        let folder = place.file("zsh/vendor-completions");
        let driver = place.dir.join("ask.zsh");
        write(&driver, ASK_ZSH);
        let argv = ["zsh", "-f", &driver.display().to_string(), &folder.display().to_string(), program, line];
        let Some(found) = place.shell(&argv) else { return };
        assert_eq!(found.join(" "), offered, "{line:?}");
    }
}

/// A terminal of zsh's own, in which compadd writes down what is offered instead of showing it.
const ASK_ZSH: &str = r#"
zmodload zsh/zpty
zpty ask zsh -f -i
zpty -w ask "PS1= PS2= RPS1=; stty -echo 2>/dev/null; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D"
zpty -w ask 'compadd() { local -a hits; builtin compadd -O hits "$@"; (( $#hits )) && print -l -- $hits >>$HOME/offered; builtin compadd "$@" }'
zpty -w ask 'all-told() { : >$HOME/finished }; zle -N all-told; bindkey "^X" all-told; bindkey "^I" complete-word; : >$HOME/ready'
for i in {1..2000}; do [[ -e $HOME/ready ]] && break; sleep 0.01; done
zpty -n -w ask "$3"$'\t\x18'
for i in {1..2000}; do [[ -e $HOME/finished ]] && break; sleep 0.01; done
[[ -e $HOME/offered ]] && sort -u $HOME/offered | grep -v '^-'
zpty -d ask
rm -f $HOME/ready $HOME/finished $HOME/offered
"#;
