//! `symlinks.sh`: one copy, its names, and nothing of anybody else's.

#![expect(clippy::disallowed_methods, reason = "the script is run as an operator runs it")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use xen_drbd::applets::NAMES;

const EXE: &str = env!("CARGO_BIN_EXE_xen-drbd");

/// A Dom0's file system to be, with a blank in its path.
struct Place {
    _temp: TempDir,
    dir: PathBuf,
}

impl Place {
    fn new() -> Place {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a dom0");
        fs::create_dir_all(dir.join("etc/xen")).unwrap();
        Place { _temp: temp, dir }
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.dir.join("usr/local/bin").join(name)
    }

    fn init(&self) -> PathBuf {
        self.dir.join("etc/init.d/xen-drbd-auto")
    }

    fn script(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("symlinks.sh");
        let mut command = Command::new("sh");
        // Whatever pages somebody has made in this clone: a test that wants some brings its own.
        command
            .arg(script)
            .args(["--share", "/no/pages/here"])
            .args(args)
            .env("DESTDIR", &self.dir)
            .env_remove("PREFIX")
            .current_dir("/");
        command
    }

    /// Runs it with the executable that was built for this test, and wants this exit code.
    fn run(&self, verb: &str, code: i32) -> String {
        let output = self.script(&[verb, "--from", EXE]);
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{verb}: {text}");
        text
    }

    /// Everything there is, with what it is, so that "nothing was touched" can be said.
    fn all(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let what = if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    format!("{} {} {}", meta.ino(), meta.size(), meta.mtime_nsec())
                };
                if meta.is_dir() {
                    folders.push(path.clone());
                    all.push(path.display().to_string());
                } else {
                    all.push(format!("{} {what}", path.display()));
                }
            }
        }
        all.sort();
        all
    }
}

#[test]
fn installed_it_runs_under_each_name() {
    let place = Place::new();
    let said = place.run("install", 0);
    assert!(said.contains("copied") && said.contains("linked"), "{said}");
    assert_eq!(place.bin("xen-drbd").metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(place.bin("xen-drbd")).unwrap(), fs::read(EXE).unwrap());
    for name in NAMES {
        assert_eq!(fs::read_link(place.bin(name)).unwrap(), Path::new("xen-drbd"), "{name}");
        let ran = Command::new(place.bin(name)).arg("--help").env_remove("SSH_ORIGINAL_COMMAND").output().unwrap();
        assert!(ran.status.code().is_some(), "{name}: {ran:?}");
    }
    // The link of the real system, not of the folder it is prepared in.
    assert_eq!(fs::read_link(place.init()).unwrap(), Path::new("/usr/local/bin/xen-drbd-auto"));
    assert!(place.dir.join("etc/xen/drbd-auto").is_dir());
    // The copy, the note of what was made, and the links.
    let only: Vec<_> = fs::read_dir(place.bin("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(only.len(), 2 + NAMES.len(), "something is left over: {only:?}");
    place.run("status", 0);
}

#[test]
fn a_second_time_nothing_is_left_to_do() {
    let place = Place::new();
    place.run("install", 0);
    let before = place.all();
    let said = place.run("install", 0);
    assert!(!said.contains("copied") && !said.contains("linked"), "{said}");
    assert_eq!(said.matches("already so").count(), 2 + NAMES.len(), "{said}");
    assert_eq!(place.all(), before);
}

#[test]
fn a_newer_executable_replaces_ours_by_rename() {
    let place = Place::new();
    place.run("install", 0);
    let newer = place.dir.join("newer");
    fs::copy("/bin/true", &newer).unwrap();
    let inode = place.bin("xen-drbd").metadata().unwrap().ino();
    let output = place.script(&["--from", newer.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(place.bin("xen-drbd")).unwrap(), fs::read(&newer).unwrap());
    assert_ne!(place.bin("xen-drbd").metadata().unwrap().ino(), inode, "written in place, under a running program");
}

#[test]
fn uninstalled_nothing_of_ours_is_left_and_all_of_theirs() {
    let place = Place::new();
    let (tab, config) = (place.dir.join("etc/xen/migrate-tab.txt"), place.dir.join("etc/xen/drbd-auto/web.cfg"));
    fs::write(&tab, "web dom0-b\n").unwrap();
    place.run("install", 0);
    fs::write(&config, "name = 'web'\n").unwrap();
    fs::write(place.bin("other"), "").unwrap();
    place.run("uninstall", 0);
    assert!(tab.exists() && config.exists() && place.bin("other").exists());
    for name in NAMES.iter().chain(&["xen-drbd"]) {
        assert!(place.bin(name).symlink_metadata().is_err(), "{name} is left");
    }
    assert!(place.init().symlink_metadata().is_err());
    place.run("uninstall", 0);
    place.run("status", 1);

    // By now the folder is the operator's, even when he has emptied it.
    place.run("install", 0);
    fs::remove_file(&config).unwrap();
    let said = place.run("uninstall", 0);
    assert!(place.dir.join("etc/xen/drbd-auto").is_dir() && said.contains("left as is"), "{said}");
    // One that it has made itself, and nobody has put anything in, goes.
    let place = Place::new();
    place.run("install", 0);
    place.run("uninstall", 0);
    assert!(!place.dir.join("etc/xen/drbd-auto").exists());
}

#[test]
fn folders_go_with_what_they_were_made_for() {
    let place = Place::new();
    let before = place.all();
    place.run("install", 0);
    place.run("install", 0);
    let said = place.run("uninstall", 0);
    assert_eq!(place.all(), before, "{said}");
    // Those that were there before stay, empty as they are, and so does one that somebody else uses by now.
    fs::create_dir_all(place.bin("")).unwrap();
    place.run("install", 0);
    assert!(!place.bin(".xen-drbd.made").exists() || !fs::read_to_string(place.bin(".xen-drbd.made")).unwrap().contains("/bin"));
    fs::write(place.init().parent().unwrap().join("other"), "").unwrap();
    place.run("uninstall", 0);
    assert!(place.bin("").is_dir() && place.init().parent().unwrap().is_dir());
}

#[test]
fn an_empty_folder_of_the_operator_stays() {
    let place = Place::new();
    fs::create_dir(place.dir.join("etc/xen/drbd-auto")).unwrap();
    let before = place.all();
    place.run("install", 0);
    place.run("uninstall", 0);
    assert_eq!(place.all(), before);
}

/// The note of what was made decides what is deleted, and in `/usr/local/bin` others may write than root.
#[test]
fn a_note_that_somebody_else_has_put_there_is_not_followed() {
    type Plant = fn(&Place, &Path) -> bool;
    let plants: [(&str, Plant); 6] = [
        ("a link to a file of ours", |p, note| symlink(p.dir.join("victim"), note).is_ok()),
        ("a link to nothing", |_, note| symlink("/nowhere/at/all", note).is_ok()),
        ("a folder", |_, note| fs::create_dir(note).is_ok()),
        ("a second name of a file", |p, note| fs::hard_link(p.dir.join("victim"), note).is_ok()),
        ("a file that all may write", |_, note| {
            fs::write(note, "/srv/empty\n").unwrap();
            fs::set_permissions(note, fs::Permissions::from_mode(0o666)).is_ok()
        }),
        // Only root can give a file away.
        ("a file of another user", |_, note| {
            fs::write(note, "/srv/empty\n").unwrap();
            std::os::unix::fs::chown(note, Some(65534), None).is_ok()
        }),
    ];
    for (what, plant) in plants {
        let place = Place::new();
        fs::create_dir_all(place.dir.join("srv/empty")).unwrap();
        fs::write(place.dir.join("victim"), "/srv/empty\n").unwrap();
        let note = place.bin(".xen-drbd.made");
        place.run("install", 0);
        fs::remove_file(&note).unwrap();
        if !plant(&place, &note) {
            eprintln!("skipped: {what} cannot be made here");
            continue;
        }
        // Something is left to be noted.
        fs::remove_dir(place.dir.join("etc/xen/drbd-auto")).unwrap();
        let before = place.all();
        for verb in ["install", "uninstall"] {
            let said = place.run(verb, 1);
            assert!(said.contains(".xen-drbd.made is") && said.contains("nothing was touched"), "{what}: {said}");
            assert_eq!(place.all(), before, "{what}: {said}");
        }
    }
}

#[test]
fn what_the_note_names_elsewhere_stays() {
    let place = Place::new();
    let share = pages(&place);
    assert!(place.script(&["install", "--from", EXE, "--share", &share]).status.success());
    let like_ours = ".\\\" generated; made from my command line. Do not edit.\n";
    let (outside, elsewhere) = (place.dir.parent().unwrap().join("outside"), place.dir.join("srv/page.8"));
    fs::create_dir_all(place.dir.join("srv/empty")).unwrap();
    fs::create_dir_all(place.dir.join("usr/local/lib")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(&elsewhere, like_ours).unwrap();
    fs::write(outside.join("page.8"), like_ours).unwrap();
    let note = place.bin(".xen-drbd.made");
    let foreign = "/srv/empty\n/srv/page.8\n/usr/local/lib\n/../outside\n/usr/local/share/../../../../outside/page.8\n/usr/local/bin/..\n\n";
    fs::write(&note, fs::read_to_string(&note).unwrap() + foreign).unwrap();
    let said = place.run("uninstall", 0);
    assert!(place.dir.join("srv/empty").is_dir() && elsewhere.exists() && place.dir.join("usr/local/lib").is_dir(), "{said}");
    assert!(outside.join("page.8").exists(), "{said}");
    // What is ours has gone all the same, and what was not touched is told.
    assert!(!place.dir.join("usr/local/share").exists() && !place.bin("").exists() && !place.init().exists(), "{said}");
    for line in foreign.lines().filter(|line| !line.is_empty()) {
        assert!(said.contains(&format!("left as is {}{line} ", place.dir.display())), "{line}: {said}");
    }
}

/// A folder that cannot be made is found before the first one is made.
#[test]
fn a_way_that_is_barred_is_refused_before_anything_is_touched() {
    type Plant = fn(&Place);
    let plants: [(&str, Plant); 8] = [
        ("etc/init.d", |p| symlink("/nowhere/at/all", p.dir.join("etc/init.d")).unwrap()),
        ("etc/init.d", |p| fs::write(p.dir.join("etc/init.d"), "").unwrap()),
        ("etc/xen/drbd-auto", |p| fs::write(p.dir.join("etc/xen/drbd-auto"), "").unwrap()),
        ("etc/xen/drbd-auto", |p| symlink("nowhere", p.dir.join("etc/xen/drbd-auto")).unwrap()),
        ("usr/local", |p| {
            fs::create_dir(p.dir.join("usr")).unwrap();
            fs::write(p.dir.join("usr/local"), "").unwrap();
        }),
        ("usr/local/bin", |p| {
            fs::create_dir_all(p.dir.join("usr/local")).unwrap();
            symlink("bin", p.dir.join("usr/local/bin")).unwrap();
        }),
        ("usr/local/share/man/man8", |p| {
            fs::create_dir_all(p.dir.join("usr/local/share/man")).unwrap();
            fs::write(p.dir.join("usr/local/share/man/man8"), "").unwrap();
        }),
        ("usr/local/share/zsh", |p| {
            fs::create_dir_all(p.dir.join("usr/local/share")).unwrap();
            symlink("/nowhere/at/all", p.dir.join("usr/local/share/zsh")).unwrap();
        }),
    ];
    for (name, plant) in plants {
        let place = Place::new();
        let share = pages(&place);
        plant(&place);
        let before = place.all();
        let output = place.script(&["install", "--from", EXE, "--share", &share]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        let path = place.dir.join(name);
        assert!(said.contains(&format!("{} is ", path.display())) && said.contains("nothing was touched"), "{name}: {said}");
        assert_eq!(place.all(), before, "{name}: {said}");
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_found_before_anything_is_touched() {
    let place = Place::new();
    let init = place.dir.join("etc/init.d");
    fs::create_dir(&init).unwrap();
    fs::set_permissions(&init, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere, so it is somebody else; the script is handed over, for he need not be able to read this clone.
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("symlinks.sh")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &script, "symlinks.sh", "install", "--from", "/bin/true", "--share", "/no/pages/here"]);
    command.env("DESTDIR", &place.dir).env_remove("PREFIX").current_dir("/");
    if place.dir.metadata().unwrap().uid() == 0 {
        fs::set_permissions(place.dir.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["", "etc", "etc/xen", "etc/init.d"] {
            std::os::unix::fs::chown(place.dir.join(folder), Some(65534), None).unwrap();
        }
        command.uid(65534);
    }
    let before = place.all();
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("etc/init.d is a folder where user") && said.contains("nothing was touched"), "{said}");
    assert_eq!((output.status.code(), place.all()), (Some(1), before), "{said}");
}

#[test]
fn what_is_no_page_of_ours_is_not_installed() {
    for name in ["man/man8/my page.8", "man/man8/*", "readme"] {
        let place = Place::new();
        let share = pages(&place);
        fs::write(Path::new(&share).join(name), "mine\n").unwrap();
        let before = place.all();
        let output = place.script(&["install", "--from", EXE, "--share", &share]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("nothing was touched"), "{name}: {said}");
        assert_eq!(place.all(), before, "{name}");
    }
}

/// It may fail in the middle all the same: what was made until then is known, and goes.
#[test]
fn what_was_made_before_a_failure_is_taken_back() {
    let place = Place::new();
    let share = pages(&place);
    let before = place.all();
    // A stand-in for cp that fails at the second page, as on a file system that is full.
    let tools = place.dir.parent().unwrap().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("cp"), "#!/bin/sh\ncase $* in *_xen-migrate*) exit 1 ;; esac\nPATH=${PATH#*:}\nexec cp \"$@\"\n")
        .unwrap();
    fs::set_permissions(tools.join("cp"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let output = place.command(&["install", "--from", EXE, "--share", &share]).env("PATH", path).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert!(place.dir.join("usr/local/share/man/man8/xen-migrate.8").exists(), "{output:?}");
    let said = place.run("uninstall", 0);
    assert_eq!(place.all(), before, "{said}");
}

#[test]
fn paths_that_cannot_be_noted_are_refused() {
    let place = Place::new();
    let before = place.all();
    let stage = place.dir.display().to_string();
    for (dir, prefix, word) in [
        (stage.clone(), "/opt/../opt/x", ".."),
        (stage.clone(), "/..", ".."),
        (stage.clone(), "/opt/x\ny", "line"),
        (stage.clone(), "/opt/x\n", "line"),
        (format!("{stage}\nx"), "/opt", "line"),
        (format!("{stage}/x/../y"), "/opt", ".."),
        ("../stage".to_string(), "/opt", ".."),
    ] {
        for verb in ["install", "uninstall", "status"] {
            let mut command = place.command(&[verb, "--from", EXE]);
            let output = command.env("DESTDIR", &dir).env("PREFIX", prefix).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{verb} {dir:?} {prefix:?}: {said}");
            let first = said.lines().next().unwrap();
            assert!(first.contains(word), "{said}");
        }
    }
    assert_eq!(place.all(), before);
    // What only looks different is one path, in the links and in the note.
    for prefix in ["/opt//x/./", "/opt/x"] {
        assert!(place.command(&["install", "--from", EXE]).env("PREFIX", prefix).output().unwrap().status.success());
    }
    assert_eq!(fs::read_link(place.init()).unwrap(), Path::new("/opt/x/bin/xen-drbd-auto"));
    assert!(place.command(&["uninstall"]).env("PREFIX", "/./opt/x").output().unwrap().status.success());
    assert_eq!(place.all(), before);
}

/// The folder that `cargo run --example man -- target` makes, in small.
fn pages(place: &Place) -> String {
    let share = place.dir.parent().unwrap().join("made share");
    for (name, text) in [
        ("man/man8/xen-migrate.8", ".\\\" Made from the command line of the program. Do not edit.\n.TH\n"),
        ("man/man1/xen-drbd-lab.1", ".\\\" Made from the command line of the program. Do not edit.\n.TH\n"),
        ("zsh/vendor-completions/_xen-migrate", "#compdef xen-migrate\n# made from its command line. Do not edit.\n"),
    ] {
        fs::create_dir_all(share.join(name).parent().unwrap()).unwrap();
        fs::write(share.join(name), text).unwrap();
    }
    share.display().to_string()
}

#[test]
fn pages_are_put_beside_it_and_taken_back() {
    let place = Place::new();
    let share = pages(&place);
    let before = place.all();
    let install = || place.script(&["install", "--from", EXE, "--share", &share]);
    assert!(install().status.success());
    let page = place.dir.join("usr/local/share/man/man8/xen-migrate.8");
    assert_eq!(page.metadata().unwrap().mode() & 0o7777, 0o644);
    // zsh has a folder of its own for what no package brought; the lab is not installed, and neither is its page.
    assert!(place.dir.join("usr/local/share/zsh/site-functions/_xen-migrate").exists());
    assert!(!place.dir.join("usr/local/share/man/man1").exists());
    let installed = place.all();
    assert!(install().status.success());
    assert_eq!(place.all(), installed);
    // A newer page replaces ours, one that somebody else has written since stays.
    fs::write(Path::new(&share).join("man/man8/xen-migrate.8"), ".\\\" Made from the command line: newer. Do not edit.\n")
        .unwrap();
    assert!(install().status.success());
    assert!(fs::read_to_string(&page).unwrap().contains("newer"));
    place.run("uninstall", 0);
    assert_eq!(place.all(), before);
    assert!(install().status.success());
    fs::write(&page, "mine\n").unwrap();
    let output = install();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was touched"));
    place.run("uninstall", 0);
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine\n");
}

#[test]
fn what_is_not_ours_is_refused_before_anything_is_touched() {
    type Plant = fn(&Place);
    let plants: [(&str, Plant); 6] = [
        ("xen-migrate", |p| fs::write(p.bin("xen-migrate"), "#!/bin/bash\n").unwrap()),
        ("xen-drbd-auto", |p| symlink("/opt/other", p.bin("xen-drbd-auto")).unwrap()),
        ("migrate2", |p| fs::create_dir(p.bin("migrate2")).unwrap()),
        ("xen-drbd", |p| fs::write(p.bin("xen-drbd"), "another program").unwrap()),
        ("xen-drbd", |p| symlink("/bin/true", p.bin("xen-drbd")).unwrap()),
        ("init.d/xen-drbd-auto", |p| fs::write(p.init(), "#!/bin/sh\n").unwrap()),
    ];
    for (name, plant) in plants {
        let place = Place::new();
        fs::create_dir_all(place.bin("")).unwrap();
        fs::create_dir_all(place.init().parent().unwrap()).unwrap();
        plant(&place);
        let before = place.all();
        let said = place.run("install", 1);
        assert!(said.contains(name) && said.contains("nothing was touched"), "{said}");
        assert_eq!(place.all(), before, "{name}");
        assert!(place.run("status", 1).contains("not ours"), "{name}");
        // And neither is it removed.
        let said = place.run("uninstall", 0);
        assert!(said.contains("left as is"), "{said}");
        assert_eq!(place.all(), before, "{name}");
    }
}

#[test]
fn a_foreign_link_to_the_same_name_elsewhere_is_foreign() {
    let place = Place::new();
    fs::create_dir_all(place.bin("")).unwrap();
    symlink("/opt/bin/xen-drbd", place.bin("xen-migrate")).unwrap();
    place.run("install", 1);
}

#[test]
fn it_works_below_another_prefix_and_invents_no_xen() {
    let place = Place::new();
    fs::remove_dir(place.dir.join("etc/xen")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("symlinks.sh");
    // A relative DESTDIR is below the folder where one stands.
    let output = Command::new("sh")
        .arg(script)
        .args([&format!("--from={EXE}"), "--share=/no/pages/here"])
        .env("DESTDIR", "a dom0/")
        .env("PREFIX", "/usr/")
        .current_dir(place.dir.parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(place.dir.join("usr/bin/migrate2").exists());
    assert_eq!(fs::read_link(place.init()).unwrap(), Path::new("/usr/bin/xen-drbd-auto"));
    assert!(!place.dir.join("etc/xen").exists());
}

#[test]
fn wrong_words_are_told_from_failures() {
    let place = Place::new();
    let before = place.all();
    for args in [&["remove"][..], &["install", "uninstall"], &["--from"], &["--from", ""], &["--force"]] {
        let output = place.script(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage:"), "{args:?}");
    }
    let output = place.script(&["install", "--from", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("/no/such/file does not exist; build it first: cargo build --release")
    );
    let output = place.script(&["install", "--from", "/etc"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/etc is a folder, not an executable"));
    assert_eq!(place.all(), before);
    let output = place.script(&["--help"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("Usage:"));
}

/// `update-rc.d` reads the file in `/etc/init.d` line by line, and there it is the executable.
#[test]
fn the_executable_has_the_header_of_an_init_script() {
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_xen-drbd")).unwrap();
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    let begin = lines.iter().position(|line| *line == b"### BEGIN INIT INFO").expect("the beginning, alone on its line");
    let end = lines[begin..].iter().position(|line| *line == b"### END INIT INFO").expect("the end, alone on its line");
    let header: Vec<String> = lines[begin..begin + end].iter().map(|l| String::from_utf8(l.to_vec()).expect("text")).collect();
    for needed in ["Provides", "Required-Start", "Required-Stop", "Default-Start", "Default-Stop", "Short-Description"] {
        assert!(header.iter().any(|l| l.starts_with(&format!("# {needed}:"))), "{needed}: {header:#?}");
    }
    assert!(header.iter().any(|l| l.trim_end() == "# Provides:          xen-drbd-auto"));
}
