//! `xen-migrate setup`: from nothing to a pong.

use super::dom0::{Fleet, SYSTEM_PATH, Wishes, find, keygen, playable, run, wait_for};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// What setup writes into `command=`, and what must stand there for a Dom0 in a folder.
const PROGRAM: &str = "\"/usr/local/bin/xen-migrate ";

#[test]
fn the_key_is_made_and_the_line_that_is_shown_works() {
    if !playable("setup") {
        return;
    }
    let fleet = Fleet::pair();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let ran = alpha.xen_migrate(&["setup", "dom0-beta"]).code(4).complains(&["Permission denied (publickey)"]);
    let key = alpha.at(&alpha.key());
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(
        alpha.public().starts_with("ssh-ed25519 ") && alpha.public().ends_with(" xen-migrate@dom0-alpha"),
        "{}",
        alpha.public()
    );
    assert!(ran.out.contains("Made the dedicated key /root/.ssh/xen-migrate-dom0-alpha."), "{}", ran.out);
    let wanted = format!(
        "from=\"127.0.0.1\",restrict,command=\"/usr/local/bin/xen-migrate migrate2 --peer dom0-alpha\" {}",
        alpha.public()
    );
    let line = ran.out.lines().find(|line| line.contains(",restrict,")).expect("a line for authorized_keys");
    assert_eq!(line, wanted);

    // Pasted; only the executable is elsewhere here.
    beta.authorise(&line.replace(PROGRAM, &format!("\"{} ", beta.called())));
    let before = fs::read(&key).unwrap();
    let ran = alpha.xen_migrate(&["setup", "dom0-beta"]).code(0);
    assert_eq!(
        ran.out,
        "The key is in place on dom0-beta already.\nPING from dom0-alpha.example.net ...\n\
         PONG from dom0-beta.example.net ...\nSuccess.\n"
    );
    assert_eq!(ran.err, "");
    assert_eq!(fs::read(&key).unwrap(), before, "the key was made anew");

    // An old peer, and an address that cannot be found out.
    let ran = beta.xen_migrate(&["setup", "dom0-alpha", "--key-type", "rsa", "--from", "192.0.2.9"]).code(4);
    assert!(ran.out.contains("from=\"192.0.2.9\",restrict") && ran.out.contains(" ssh-rsa "), "{}", ran.out);
}

#[test]
fn a_key_that_cannot_work_is_told_before_anything_is_shown() {
    if !playable("setup with an unusable key") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let alpha = fleet.alpha();
    let key = alpha.at(&alpha.key());
    let public = alpha.at(&format!("{}.pub", alpha.key()));
    let setup = |code: i32, words: &[&str]| {
        let ran = alpha.xen_migrate(&["setup", "dom0-beta"]).code(code).complains(words);
        assert!(!ran.out.contains("restrict"), "a line that cannot work was shown: {}", ran.out);
    };

    let ran = run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "secret", "-f"]).arg(&key));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    setup(1, &["passphrase", "ssh-keygen -p -f /root/.ssh/xen-migrate-dom0-alpha"]);
    let ran = run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "secret", "-N", "", "-f"]).arg(&key));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let right = fs::read_to_string(&public).unwrap();
    fs::write(&public, "not a key\n").unwrap();
    setup(1, &["xen-migrate-dom0-alpha.pub is not one public key", "ssh-keygen -y"]);
    fs::remove_file(&public).unwrap();
    setup(1, &["xen-migrate-dom0-alpha.pub", "ssh-keygen -y"]);
    // The public half of another key.
    fs::write(&public, fleet.beta().public()).unwrap();
    setup(1, &["xen-migrate-dom0-alpha.pub", "another key", "ssh-keygen -y"]);
    fs::write(&public, right).unwrap();
    fs::rename(&key, key.with_extension("away")).unwrap();
    setup(1, &["lost its private half"]);
    fs::rename(key.with_extension("away"), &key).unwrap();
    alpha.xen_migrate(&["setup", "dom0-beta"]).code(0);

    // No folder for it.
    let gone = alpha.at("/root/.ssh");
    fs::rename(&gone, gone.with_extension("away")).unwrap();
    setup(1, &["ssh-keygen", "/root/.ssh (mode 0700)"]);
    // The name of nobody, and our own.
    fs::rename(gone.with_extension("away"), &gone).unwrap();
    let ran = alpha.xen_migrate(&["setup", "nosuchhost.invalid"]).code(4);
    ran.complains(&["nosuchhost.invalid could not be asked", "getent hosts nosuchhost.invalid"]);
    alpha.xen_migrate(&["setup", "dom0-alpha"]).code(2).complains(&["this very Dom0"]);
}

/// Root's own ssh from the first Dom0, with its own key and config, as a program of that name before the real one.
struct OwnSsh {
    key: std::path::PathBuf,
}

impl OwnSsh {
    fn new(fleet: &Fleet) -> OwnSsh {
        let (alpha, beta) = (fleet.alpha(), fleet.beta());
        let key = alpha.at("/root/.ssh/id_ed25519");
        keygen(&key, "root@dom0-alpha");
        let config = format!(
            "{}IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n",
            alpha.read("/root/.ssh/xen-migrate.config").replace("HostKeyAlias", "  HostKeyAlias"),
            key.display(),
            alpha.at("/root/.ssh/known_hosts").display()
        );
        // What is below `Host` is for that host alone; these are for all.
        let config = config.replace("IdentityFile", "Host *\nIdentityFile");
        alpha.write("/root/.ssh/config", &config);
        let ssh = find("ssh").unwrap();
        let config = alpha.at("/root/.ssh/config");
        // The last -F wins: xen-migrate's own, where it gives one.
        alpha.tell("ssh", &format!("exec {} -F {} \"$@\"", ssh.display(), config.display()));
        // An ordinary login, except that it never lets go of this machine's own root.
        let guard = "case \\\"$SSH_ORIGINAL_COMMAND\\\" in */root/*) echo our own root >&2; exit 99;; esac; exec sh -c \\\"$SSH_ORIGINAL_COMMAND\\\"";
        beta.authorise(&format!("command=\"{guard}\" {}", alpha.read("/root/.ssh/id_ed25519.pub").trim()));
        OwnSsh { key }
    }
}

#[test]
fn installed_over_roots_own_ssh() {
    if !playable("setup --install") {
        return;
    }
    // The peer's ~ is in its folder.
    let fleet = Fleet::with(&["dom0-alpha", "dom0-beta"], &Wishes { sshd: "SetEnv HOME=ROOT/root" });
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let _own = OwnSsh::new(&fleet);
    let keys = || beta.read("/root/.ssh/authorized_keys");
    // No return at the end of the last line, as editors leave it.
    let before = keys().trim_end().to_string();
    fs::write(beta.at("/root/.ssh/authorized_keys"), &before).unwrap();

    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]);
    assert!(ran.out.contains("The line was added to /root/.ssh/authorized_keys on dom0-beta."), "{ran:?}");
    // The executable is not there yet, and that is what is said.
    let ran = ran.code(4).complains(&["/usr/local/bin/xen-migrate: No such file", "is xen-migrate where it says"]);
    assert!(ran.out.contains("PING from dom0-alpha.example.net ..."), "{}", ran.out);
    let line = format!(
        "from=\"127.0.0.1\",restrict,command=\"/usr/local/bin/xen-migrate migrate2 --peer dom0-alpha\" {}",
        alpha.public()
    );
    assert_eq!(keys(), format!("{before}\n{line}\n"));

    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]);
    assert!(ran.out.contains("The line is in /root/.ssh/authorized_keys on dom0-beta already."), "{ran:?}");
    assert_eq!(keys(), format!("{before}\n{line}\n"), "it was added twice");

    fs::write(beta.at("/root/.ssh/authorized_keys"), keys().replace(PROGRAM, &format!("\"{} ", beta.called()))).unwrap();
    // The same key with other options: a second line would never count.
    let there = keys();
    // It works, so there is nothing to install; who asks for other options is told of those that are there.
    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]).code(0);
    assert!(ran.out.contains("The key is in place on dom0-beta already."), "{ran:?}");
    let program = "/usr/local/bin/xen-migrate";
    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install", "--program", program]).code(0);
    let ran = ran.complains(&["with other options", &line, &beta.called()]);
    assert!(ran.out.ends_with("Success.\n"), "{ran:?}");
    assert_eq!(keys(), there, "a second line for the same key");
    // A comment is none.
    fs::write(beta.at("/root/.ssh/authorized_keys"), format!("{}# {}\n", before_of(&there, &alpha.public()), alpha.public()))
        .unwrap();
    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]);
    assert!(ran.out.contains("The line was added"), "{ran:?}");
}

/// The lines of a file that do not have these words in them.
fn before_of(text: &str, words: &str) -> String {
    text.lines().filter(|line| !line.contains(words)).map(|line| format!("{line}\n")).collect()
}

/// The operator's own ssh config says where a peer is, and from which address we come.
#[test]
fn the_address_in_the_line_is_that_of_the_operators_way_there() {
    if !playable("setup with an ssh config") {
        return;
    }
    let fleet = Fleet::pair();
    let alpha = fleet.alpha();
    let own = alpha.read("/root/.ssh/xen-migrate.config");
    let shown = |config: &str, peer: &str| {
        alpha.write("/root/.ssh/xen-migrate.config", config);
        alpha.xen_migrate(&["setup", peer])
    };
    let ran = shown(&format!("{own}Host dom0-other\n  HostName 127.0.0.1\n"), "dom0-other").code(4);
    assert!(ran.out.contains("from=\"127.0.0.1\",restrict"), "{ran:?}");
    let ran = shown(&format!("{own}Host *\n  BindAddress 127.0.0.9\n"), "dom0-beta").code(4);
    assert!(ran.out.contains("from=\"127.0.0.9\",restrict"), "{ran:?}");
    let ran = shown(&format!("{own}Host *\n  ProxyJump gate\n"), "dom0-beta").code(1);
    ran.complains(&["through another host", "--from ADDRESS"]);
}

#[test]
fn installed_where_there_was_nothing() {
    if !playable("setup --install into an empty home") {
        return;
    }
    let fleet = Fleet::with(&["dom0-alpha", "dom0-beta"], &Wishes { sshd: "SetEnv HOME=ROOT/home" });
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let _own = OwnSsh::new(&fleet);
    fs::create_dir(beta.at("/home")).unwrap();
    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]);
    assert!(ran.out.contains("The line was added"), "{ran:?}");
    let mode = |path: &str| fs::metadata(beta.at(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("/home/.ssh"), mode("/home/.ssh/authorized_keys")), (0o700, 0o600));
    assert_eq!(beta.read("/home/.ssh/authorized_keys").lines().count(), 1);

    // It gets there, and cannot write.
    fs::remove_dir_all(beta.at("/home")).unwrap();
    fs::write(beta.at("/home"), "a file\n").unwrap();
    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]).code(1);
    let ran = ran.complains(&["could not be written to /root/.ssh/authorized_keys", "exit 1", "put the line there by hand"]);
    assert!(!ran.out.contains("added"), "{}", ran.out);
}

#[test]
fn root_cannot_get_there_either() {
    if !playable("setup --install without a login") {
        return;
    }
    let fleet = Fleet::with(&["dom0-alpha", "dom0-beta"], &Wishes { sshd: "SetEnv HOME=ROOT/root" });
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let _own = OwnSsh::new(&fleet);
    fs::remove_file(beta.at("/root/.ssh/authorized_keys")).unwrap();
    let ran = alpha.xen_migrate(&["setup", "dom0-beta", "--install"]).code(4);
    let ran = ran.complains(&["Permission denied", "root's own ssh to dom0-beta did not work", "xen-migrate setup dom0-beta"]);
    assert!(!ran.out.contains("added") && !ran.out.contains("PING"), "{}", ran.out);
}

/// Root's own key has a passphrase, and a person types it: ssh asks on the terminal, whoever started it.
#[test]
fn a_passphrase_can_be_typed() {
    if !playable("setup --install at a terminal") || find("script").is_none() {
        return;
    }
    let fleet = Fleet::with(&["dom0-alpha", "dom0-beta"], &Wishes { sshd: "SetEnv HOME=ROOT/root" });
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let own = OwnSsh::new(&fleet);
    let ran = run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"]).arg(&own.key));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // script(1) is the terminal; `sh` keeps its group in the foreground as a login shell does.
    let typed = alpha.at("/typed");
    let words = format!("{} --root {} setup dom0-beta --install", alpha.program.display(), alpha.root.display());
    let mut terminal = Command::new("script")
        .args(["-qefc", &words])
        .arg(&typed)
        .env_clear()
        .env("PATH", format!("{}:{SYSTEM_PATH}", alpha.bin.display()))
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let shown = || String::from_utf8_lossy(&fs::read(&typed).unwrap_or_default()).into_owned();
    wait_for("the question for the passphrase", || shown().contains("Enter passphrase").then_some(()));
    let mut keyboard = terminal.stdin.take().unwrap();
    keyboard.write_all(b"open sesame\n").unwrap();
    wait_for("the end of setup", || terminal.try_wait().unwrap());
    assert!(shown().contains("The line was added to /root/.ssh/authorized_keys on dom0-beta."), "{}", shown());
    assert_eq!(beta.read("/root/.ssh/authorized_keys").matches("--peer dom0-alpha").count(), 1);
}
