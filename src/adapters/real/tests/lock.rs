//! Locks that are held by us, by others, by the children of the dead, and by nobody.

use super::{Real, alive, another, impatient, kill, sh, until, world};
use crate::adapters::{CallError, Held, LockError, World, boot};
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
    let holder = other.lock_holder("web").unwrap();
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
    until(&real, "it is gone", || (real.lock_holder("web").unwrap() == gone).then_some(()));
    killed.wait().unwrap();
    assert_eq!(real.lock_holder("web").unwrap(), gone);
    let go = root.path().join("go");
    fs::write(&go, "").unwrap();
    free(&real);
    assert!(!alive(&pid));
    assert_eq!(fs::read_to_string(&go).unwrap(), "ok\n", "it died of its log");
    assert!(fs::read_to_string(&log).unwrap().ends_with("out\nerr\n"));
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
    assert!(real.lock_holder("web").is_some_and(|who| who.contains("cannot be asked")));
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
