//! What `tests/real/run` and `.ci/run` make of stories that held, did not hold, did not end or were never begun. Never a success without
//! having run.
//!
//! The scripts are those of the checkout. What would boot two Dom0s is replaced by a few lines of shell, and the stories by smaller ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A run of `tests/real/run` in a folder of its own.
struct Run {
    folder: PathBuf,
    limits: Vec<(&'static str, &'static str)>,
}

/// What a script ended with and said.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

const HOLDS: &str = "true\n";
const FAILS: &str = "fail 'it is not as it says'\n";
const NEVER_ENDS: &str = "while :; do sleep 1; done\n";
/// From now on every limit of the run is over.
const TIME_PASSES: &str = "touch \"$RUN/over\"\n";

#[test]
fn success_is_that_every_chosen_story_was_played_and_held() {
    let run = Run::new("held", &[HOLDS, HOLDS]);
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.out.contains("All 2 stories held"), "{ended}");
    let ended = run.play(&["2"]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.out.contains("All 1 stories held") && !ended.out.contains("01-story"), "{ended}");
    assert_eq!(run.play(&["3"]).code, Some(2), "there is no third one");
}

#[test]
fn a_story_that_does_not_hold_is_named_and_the_others_go_on() {
    let ended = Run::new("failed", &[FAILS, HOLDS]).play(&[]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("did not hold: 01-story"), "{ended}");
    assert!(ended.row("01-story").contains("FAILED") && ended.row("02-story").contains("held"), "{ended}");
}

#[test]
fn a_story_that_does_not_end_has_failed() {
    let mut run = Run::new("endless", &[NEVER_ENDS, HOLDS]);
    run.limits.push(("REAL_STORY", "1"));
    let ended = run.play(&["1"]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.row("01-story").contains("TIME UP"), "{ended}");
    assert!(ended.err.contains("did not hold: 01-story"), "{ended}");
}

#[test]
fn what_was_begun_when_everything_ends_has_failed_and_the_rest_was_not_played() {
    let mut run = Run::new("end", &[&format!("{TIME_PASSES}{NEVER_ENDS}"), HOLDS, HOLDS]);
    run.limits.push(("REAL_END", "1"));
    run.write("pair.sh", &format!("{PAIR}{WHEN_IT_PASSES}"));
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.row("01-story").contains("TIME UP") && ended.row("02-story").contains("NO TIME"), "{ended}");
    assert!(ended.err.contains("not played, for want of time: 02-story, 03-story"), "{ended}");
    assert!(ended.err.contains("did not hold: 01-story"), "{ended}");
}

#[test]
fn what_was_not_begun_is_named_and_is_no_success() {
    let mut run = Run::new("late", &[TIME_PASSES, HOLDS, HOLDS]);
    run.limits.push(("REAL_TIME", "1"));
    run.write("pair.sh", &format!("{PAIR}{WHEN_IT_PASSES}"));
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(78), "{ended}");
    assert!(ended.err.contains("not played, for want of time: 02-story, 03-story"), "{ended}");
    assert!(ended.row("01-story").contains("held") && ended.row("03-story").contains("NO TIME"), "{ended}");
    // A failure is a failure, whatever was not played.
    let run = Run { folder: run.folder, limits: run.limits };
    run.write("stories/01-story.sh", &format!("{TIME_PASSES}{FAILS}"));
    fs::remove_file(run.folder.with_extension("cache").join("pair/over")).expect("the last run's");
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("did not hold: 01-story") && ended.err.contains("02-story, 03-story"), "{ended}");
}

/// On a slow machine it would be begun only to be ended, and that would be a failure.
#[test]
fn what_would_not_come_to_its_end_is_not_begun() {
    let mut run = Run::new("room", &[HOLDS]);
    run.limits.push(("REAL_END", "1000000"));
    run.write("pair.sh", &format!("{PAIR}SECONDS=500000\nlongest=400000\n"));
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(78), "{ended}");
    assert!(ended.err.contains("not played, for want of time: 01-story"), "{ended}");
    run.write("pair.sh", &format!("{PAIR}SECONDS=500000\nlongest=200000\n"));
    assert_eq!(run.play(&[]).code, Some(0));
}

#[test]
fn with_no_time_at_all_nothing_is_played_and_that_is_no_success() {
    let mut run = Run::new("none", &[HOLDS]);
    run.limits.push(("REAL_TIME", "1000000"));
    run.write("pair.sh", &format!("{PAIR}SECONDS=2000000\n"));
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(78), "{ended}");
    assert!(ended.err.contains("not played, for want of time: 01-story"), "{ended}");
}

/// Only some stories are played on the pretend fleet as well; without one of them there is nothing that could differ.
#[test]
fn what_was_said_is_compared_where_there_is_something_to_compare() {
    let run = Run::new("told", &["echo 'dom0-a$ xen-migrate status' >\"$told\"\n"]);
    put(&run.folder, "bin/cargo", "#!/bin/sh\nexit 101\n");
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.row("as on the lab").contains("skipped") && ended.out.contains("was not compared"), "{ended}");
    run.write("told/01-story/script", "");
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("did not hold: as on the lab"), "{ended}");
}

#[test]
fn without_a_pair_no_story_has_held() {
    let run = Run::new("pair", &[HOLDS]);
    run.write("pair.sh", "start_pair() { :; }\nat_rest() { return 1; }\n");
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.row("01-story").contains("NO PAIR"), "{ended}");
    run.write("pair.sh", "start_pair() { complain \"cannot run: not here\"; return 77; }\n");
    assert_eq!(run.play(&[]).code, Some(77));
    run.write("pair.sh", "start_pair() { return 9; }\n");
    assert_eq!(run.play(&[]).code, Some(1));
}

/// The verdict of `.ci/run`: what the stories came to stands in its last line, by name and with the reason.
#[test]
fn the_gate_says_what_was_not_played_and_why() {
    for (stories, code, last) in [
        ("exit 0", 0, "== all is well"),
        (
            "echo 'tests/real: cannot run: 3572 MiB of free memory are needed, and there are 900' >&2; exit 77",
            0,
            "== what ran is well; SKIPPED: real (all of them, cannot run: 3572 MiB of free memory are needed, and there are 900)",
        ),
        (
            "echo 'tests/real: not played, for want of time: 12-lost, 05-no' >&2; exit 78",
            0,
            "== what ran is well; SKIPPED: real (not played, for want of time: 12-lost, 05-no)",
        ),
        (
            "echo 'tests/real: not played, for want of time: 05-no' >&2; echo 'tests/real: did not hold: 12-lost' >&2; exit 1",
            1,
            "== FAILED: real (not played, for want of time: 05-no; did not hold: 12-lost)",
        ),
        ("exit 124", 1, "== FAILED: real (not finished in 29 minutes)"),
        ("exit 3", 1, "== FAILED: real (see above)"),
    ] {
        let folder = new_folder("gate");
        let put = |path: &str, text: &str| put(&folder, path, text);
        put(".ci/run", &read("../../.ci/run"));
        put("tests/real/run", &format!("#!/bin/sh\n{stories}\n"));
        put("tests/real/down", "#!/bin/sh\n");
        for tool in ["cargo", "shellcheck", "ssh", "ssh-keygen", "sshd"] {
            put(&format!("bin/{tool}"), "#!/bin/sh\n");
        }
        let mut command = Command::new("sh");
        command.arg(folder.join(".ci/run")).env_remove("REAL").env_remove("CI_TIME");
        let ended = end(command, &folder);
        assert_eq!(ended.code, Some(code), "{ended}");
        assert_eq!(ended.out.trim_end().lines().last(), Some(last), "{ended}");
    }
}

/// Somebody ends it: that is said where they look, and the story that was played does not go on. (`$$` is the run, also in a story.)
#[test]
fn a_run_that_is_ended_says_so() {
    let run = Run::new("ended", &["kill -TERM $$; sleep 600\n"]);
    let ended = run.play(&[]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("the run did not come to its end"), "{ended}");
}

/// A machine with a qemu-utils from backports has no qemu-system-x86 of that version, and apt keeps the newer one unless it is told not to.
#[test]
fn a_newer_qemu_utils_gives_way_to_the_version_that_can_be_had() {
    let folder = new_folder("packages");
    put(&folder, "tests/real/images", &read("images"));
    put(&folder, "tests/real/lib.sh", &read("lib.sh"));
    for (tool, says) in [
        ("id", "echo 0"),
        ("dpkg", "echo amd64"),
        ("dpkg-query", "case \"$*\" in *' qemu-utils') echo 'installed 1:10.0~bpo12+1' ;; *) exit 1 ;; esac"),
        ("apt-cache", "printf 'qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+deb12u1\n'"),
        ("apt-get", "echo \"$*\"; [ \"$1\" = update ]"),
    ] {
        put(&folder, &format!("bin/{tool}"), &format!("#!/bin/sh\n{says}\n"));
    }
    let mut command = Command::new("bash");
    command.arg(folder.join("tests/real/images")).env("XEN_DRBD_REAL_CACHE", folder.with_extension("cache"));
    let ended = end(command, &folder);
    assert_eq!(ended.code, Some(77), "{ended}");
    assert!(ended.out.contains("qemu-utils 1:10.0~bpo12+1 becomes 1:7.2+deb12u1"), "{ended}");
    let asked = fs::read_to_string(folder.with_extension("cache").join("apt.log")).expect("what apt-get was asked for");
    assert!(asked.contains("--allow-downgrades") && asked.contains(" qemu-system-x86 "), "{asked}");
    assert!(asked.trim_end().ends_with(" qemu-utils=1:7.2+deb12u1"), "{asked}");
}

/// Instead of two Dom0s.
const PAIR: &str =
    "start_pair() { mkdir -p \"$RUN\"; }\nat_rest() { :; }\nnobody_at_work() { :; }\njudge() { :; }\nlook() { :; }\n";

/// The limits are over when a story says so, however fast this machine is.
const WHEN_IT_PASSES: &str =
    "is_over() { [ \"$1\" != 0 ] && [ -e \"$RUN/over\" ]; }\nhas_room() { ! is_over \"${REAL_END:-0}\"; }\n";

impl Run {
    fn new(name: &str, stories: &[&str]) -> Run {
        let run = Run { folder: new_folder(name), limits: Vec::new() };
        for file in ["run", "lib.sh", "story.sh", "boot.sh"] {
            run.write(file, &read(file));
        }
        run.write("pair.sh", PAIR);
        run.write("images", "#!/bin/sh\nmkdir -p \"$XEN_DRBD_REAL_CACHE/images\"; : >\"$XEN_DRBD_REAL_CACHE/images/versions\"\n");
        run.write("down", "#!/bin/sh\n");
        for (n, story) in stories.iter().enumerate() {
            run.write(&format!("stories/{:02}-story.sh", n + 1), story);
        }
        // However small this machine is.
        put(&run.folder, "bin/df", "#!/bin/sh\necho; echo x x x 9999 x\n");
        run
    }

    fn write(&self, file: &str, text: &str) {
        put(&self.folder, &format!("tests/real/{file}"), text);
    }

    fn play(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("bash");
        command.arg(self.folder.join("tests/real/run")).args(words);
        // The cache must not lie in what it takes for the checkout, so it is told another one.
        command.env("XEN_DRBD_REAL_CACHE", self.folder.with_extension("cache")).env("XEN_DRBD_BINARY", "/bin/true");
        for limit in ["REAL_TIME", "REAL_END", "REAL_STORY", "REAL_ROUNDS", "REAL_CLAIMS", "REAL_TOLD"] {
            command.env_remove(limit);
        }
        command.env("REAL_VM_MEMORY", "-250").envs(self.limits.iter().copied());
        end(command, &self.folder)
    }
}

fn end(mut command: Command, folder: &Path) -> Ended {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folder.join("bin").display())).stdin(Stdio::null());
    let output = command.output().expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Ended {
    /// The row of a story, as it was printed when that one had ended.
    fn row(&self, story: &str) -> &str {
        self.out.lines().find(|l| l.starts_with(story)).unwrap_or_default()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(file);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable");
}

fn new_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("real-{name}"));
    for old in [&folder, &folder.with_extension("cache")] {
        if old.exists() {
            fs::remove_dir_all(old).expect("the last one's");
        }
    }
    fs::create_dir_all(&folder).expect("a folder");
    folder
}
