//! Locks that are held by us, by others, by the children of the dead, and by nobody.

use super::{Real, alive, another, impatient, kill, sh, until, world};
use crate::adapters::{CallError, Held, HolderState, LockError, Summons, World, boot};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

/// Another test may be starting a program right now, whose process has all our files until it becomes that program.
fn free(real: &Real) {
    until(real, "the lock is free", || real.lock_holder("web").is_none().then_some(()));
}

#[test]
fn a_lock_is_had_once_and_says_by_whom() {
    let (root, real) = world();
    assert_eq!(real.lock_holder("web"), None);
    assert!(!root.path().join("run").exists(), "asking made a folder");
    let held = real.lock("web", "xen-migrate migrate\nweb").unwrap();
    let other = impatient(root.path());
    let holder = other.lock_holder("web").unwrap().said;
    assert!(holder.starts_with(&format!("xen-migrate migrate web (pid {}, since 2", std::process::id())), "{holder}");
    assert!(matches!(other.lock("web", "x"), Err(LockError::Held(who)) if who == holder));
    assert!(matches!(real.lock("web", "x"), Err(LockError::Held(_))), "not even by ourselves a second time");
    assert_eq!(other.lock_holder("mail"), None, "another name, another lock");
    drop(held);
    // The file stays, and nobody holds it.
    assert!(root.path().join("run/xen-migrate/web.lock").exists());
    free(&other);
    drop(other.lock("web", "a short one").unwrap());
    let text = fs::read_to_string(root.path().join("run/xen-migrate/web.lock")).unwrap();
    assert!(text.contains(" a short one since ") && text.lines().count() == 1, "{text}");
    assert_eq!(root.path().join("run/xen-migrate").metadata().unwrap().mode() & 0o7777, 0o700);
    assert_eq!(root.path().join("run/xen-migrate/web.lock").metadata().unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn who_asks_is_not_in_the_way_of_who_takes() {
    let (root, mut real) = world();
    real.patience.lock = Duration::from_secs(60);
    drop(real.lock("web", "makes the file").unwrap());
    let asking = fs::File::open(root.path().join("run/xen-migrate/web.lock")).unwrap();
    fs2::FileExt::lock_shared(&asking).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(real.lock("web", "taken").unwrap()));
        impatient(root.path()).signals.wait(Duration::from_millis(50));
        drop(asking);
    });
}

#[test]
fn a_child_keeps_the_lock_it_was_given_and_no_other_child_does() {
    let (_root, real) = world();
    let leave_behind = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";
    let held = real.lock("web", "test").unwrap();
    let stranger = real.run(&sh(leave_behind)).unwrap().stdout;
    drop(held);
    // Or a child that was not given it has it.
    free(&real);

    let held = real.lock("web", "test").unwrap();
    let mut call = sh(leave_behind);
    call.keeps_lock = Some("web".to_string());
    let keeper = real.run(&call).unwrap().stdout;
    drop(held);
    assert!(real.lock_holder("web").is_some());
    assert!(matches!(real.lock("web", "x"), Err(LockError::Held(_))));
    kill(&keeper);
    free(&real);
    kill(&stranger);
}

#[test]
fn a_deed_keeps_every_lock_but_the_daemons() {
    let (_root, real) = world();
    let held = [real.lock("web", "test").unwrap(), real.lock("mail", "test").unwrap(), real.lock(boot::DAEMON, "test").unwrap()];
    let deed = real.run(&sh("sleep 1000 </dev/null >/dev/null 2>&1 & echo $!").as_deed()).unwrap().stdout;
    drop(held);
    assert!(real.lock_holder("web").is_some() && real.lock_holder("mail").is_some());
    assert!(real.lock_holder(boot::DAEMON).is_none());
    kill(&deed);
    free(&real);
}

#[test]
fn a_lock_that_we_do_not_hold_cannot_be_handed_on() {
    let (root, real) = world();
    let started = root.path().join("started");
    let mut call = sh(&format!("touch '{}'", started.display()));
    call.keeps_lock = Some("web".to_string());
    assert!(matches!(real.run(&call), Err(CallError::NotStarted { .. })));
    drop::<Box<dyn Held>>(real.lock("web", "and gone again").unwrap());
    assert!(matches!(real.run(&call), Err(CallError::NotStarted { .. })));
    assert!(!started.exists());
}

#[test]
fn what_the_killed_leave_behind_still_holds_the_lock_and_its_log_does_not_break() {
    let (root, real) = world();
    let mut killed = another("migrate", root.path(), &[]).spawn().unwrap();
    let log = root.path().join("run/xen-migrate/web.log");
    let pid = until(&real, "the program runs", || fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n')));
    killed.kill().unwrap();
    // Not waited for yet: a zombie is gone as well.
    let gone = format!("xen-migrate migrate web (pid {}, gone); a program it started still runs", killed.id());
    until(&real, "it is gone", || (real.lock_holder("web").unwrap().said == gone).then_some(()));
    killed.wait().unwrap();
    assert_eq!(real.lock_holder("web").unwrap().said, gone);
    let go = root.path().join("go");
    fs::write(&go, "").unwrap();
    free(&real);
    assert!(!alive(&pid));
    assert_eq!(fs::read_to_string(&go).unwrap(), "ok\n", "it died of its log");
    assert!(fs::read_to_string(&log).unwrap().ends_with("out\nerr\n"));
}

/// Ctrl-Z, or kill -STOP: whoever waits for the lock must be told why it takes so long.
#[test]
fn a_holder_that_is_stopped_is_called_so() {
    let (root, real) = world();
    let mut holder = another("wait", root.path(), &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&holder);
    until(&real, "it waits", || real.lock_holder("waiting").filter(|who| who.said.starts_with("waiting (pid")));
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let who = until(&real, "it is stopped", || real.lock_holder("waiting").filter(|who| who.state == HolderState::Stopped));
    assert!(who.said.starts_with(&format!("waiting (pid {}, stopped, state T, since ", holder.id())), "{who}");
    // In the instant between its taking the lock and its word: nothing is there, or the word of the one before.
    let file = root.path().join("run/xen-migrate/waiting.lock");
    let word = fs::read_to_string(&file).unwrap();
    for found in ["", "pid 999999999 xen-migrate migrate since 2026-01-01T00:00:00Z\n"] {
        fs::write(&file, found).unwrap();
        let who = real.lock_holder("waiting").unwrap();
        assert_eq!(who.state, HolderState::Stopped, "{found:?}: {who}");
    }
    fs::write(&file, word).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    until(&real, "it goes on", || (real.lock_holder("waiting").unwrap().state == HolderState::Awake).then_some(()));
    assert!(real.summon("waiting", Summons::Stop).unwrap());
    assert!(holder.wait().unwrap().success());
}

/// A full /run has room for the lock, and not for the word of who holds it.
#[test]
fn a_holder_without_a_word_is_known_to_the_kernel() {
    let (root, real) = world();
    let mut holder = another("wait", root.path(), &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
    until(&real, "it waits", || real.lock_holder("waiting").filter(|who| who.said.starts_with("waiting (pid")));
    fs::write(root.path().join("run/xen-migrate/waiting.lock"), "").unwrap();
    assert!(real.lock_holder("waiting").is_some());
    assert!(real.summon("waiting", Summons::Stop).unwrap());
    assert!(holder.wait().unwrap().success());
    assert!(!real.summon("waiting", Summons::Stop).unwrap());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the tests of the door stand outside of it")]
fn an_upgrade_hides_no_holder() {
    let (root, real) = world();
    let ours = std::env::current_exe().unwrap();
    let older = root.path().join(ours.file_name().unwrap());
    let newer = root.path().join("newer");
    fs::copy(&ours, &older).unwrap();
    fs::copy(&ours, &newer).unwrap();
    let told = another("wait", root.path(), &[]);
    let mut command = std::process::Command::new(&older);
    command.args(told.get_args()).envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut holder = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    until(&real, "it waits", || real.lock_holder("waiting").filter(|who| who.said.starts_with("waiting (pid")));
    // As dpkg and symlinks.sh do it; the program that asks is a third file, under the same name.
    fs::rename(&newer, &older).unwrap();
    assert!(real.summon("waiting", Summons::Stop).unwrap());
    assert!(holder.wait().unwrap().success());
    until(&real, "the lock is free", || real.lock_holder("waiting").is_none().then_some(()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the tests of the door stand outside of it")]
fn a_pid_that_is_not_the_holder_s_gets_no_signal() {
    let (root, real) = world();
    let ours = std::env::current_exe().unwrap();
    // One has our name and not the lock, the other neither.
    let alike = root.path().join(ours.file_name().unwrap());
    fs::copy("/bin/sleep", &alike).unwrap();
    for program in [alike.as_path(), std::path::Path::new("/bin/sleep")] {
        let mut stranger = std::process::Command::new(program).arg("1000").spawn().unwrap();
        let held = real.lock("web", "test").unwrap();
        let file = root.path().join("run/xen-migrate/web.lock");
        fs::write(&file, format!("pid {} test since 2026-01-01T00:00:00Z\n", stranger.id())).unwrap();
        let answer = real.summon("web", Summons::Stop);
        assert!(answer.is_err_and(|why| why.to_string().contains("another program")));
        assert!(stranger.try_wait().unwrap().is_none(), "it was ended");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        drop(held);
        free(&real);
    }
}

#[test]
fn planted_links_are_not_followed() {
    let (root, real) = world();
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    drop(real.lock("mail", "makes the folder").unwrap());
    let folder = root.path().join("run/xen-migrate");
    symlink(&victim, folder.join("web.lock")).unwrap();
    assert!(matches!(real.lock("web", "x"), Err(LockError::Io(_))));
    assert!(
        real.lock_holder("web").is_some_and(|who| who.state == HolderState::Unknown && who.said.starts_with("somebody, perhaps"))
    );
    // A link to nowhere would make a file there.
    symlink(root.path().join("made"), folder.join("nowhere.lock")).unwrap();
    assert!(real.lock("nowhere", "x").is_err());
    assert!(!root.path().join("made").exists());
    // The folder itself.
    fs::rename(&folder, root.path().join("elsewhere")).unwrap();
    symlink(root.path().join("elsewhere"), &folder).unwrap();
    assert!(real.lock("mail", "x").is_err());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_name_does_not_lead_away() {
    let (_root, real) = world();
    for name in ["", ".", "..", "../web", "a/b", "/etc/passwd", "a\0b"] {
        assert!(real.lock(name, "x").is_err(), "{name:?}");
        assert!(real.lock_holder(name).is_some(), "{name:?}");
    }
}
