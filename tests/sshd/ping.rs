//! `xen-migrate ping`: the article's dialogue, and what is said when it does not come about.

use super::dom0::{ARTICLES_OPTIONS, Fleet, Ran, keygen, playable, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn there_and_back_word_for_word() {
    if !playable("ping") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let told = |from: &str, to: &str| Ran {
        code: Some(0),
        out: format!("PING from {from}.example.net ...\nPONG from {to}.example.net ...\nSuccess.\n"),
        err: String::new(),
    };
    assert_eq!(alpha.xen_migrate(&["ping", "dom0-beta"]), told("dom0-alpha", "dom0-beta"));
    assert_eq!(beta.xen_migrate(&["ping", "dom0-alpha"]), told("dom0-beta", "dom0-alpha"));

    // The article's line: its own list of options, and who asks is told by the address. `migrate2` alone is the same.
    let migrate2 = beta.program.with_file_name("migrate2");
    std::os::unix::fs::symlink(&beta.program, &migrate2).unwrap();
    let alone = beta.forced_command(None).replace("xen-migrate ", "migrate2 ").replace(" migrate2", "");
    assert!(alone.starts_with(migrate2.to_str().unwrap()), "{alone}");
    for command in [beta.forced_command(None), alone] {
        beta.authorise_only(&format!("from=\"127.0.0.1\",{ARTICLES_OPTIONS},command=\"{command}\" {}", alpha.public()));
        assert_eq!(alpha.xen_migrate(&["ping", "dom0-beta"]), told("dom0-alpha", "dom0-beta"), "{command}");
    }
}

#[test]
fn nobody_is_let_in_who_is_not_meant() {
    if !playable("ping without the right key") {
        return;
    }
    let fleet = Fleet::pair();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let ping = || alpha.xen_migrate(&["ping", "dom0-beta"]);

    let ran =
        ping().code(4).complains(&["there is no dedicated key /root/.ssh/xen-migrate-dom0-alpha", "xen-migrate setup dom0-beta"]);
    assert_eq!(ran.out, "PING from dom0-alpha.example.net ...\n");

    alpha.make_key();
    beta.make_key();
    let refused = ["Permission denied (publickey)", "xen-migrate setup dom0-beta", "authorized_keys on dom0-beta", "from="];
    let ran = ping().code(4).complains(&refused);
    assert_eq!(ran.out, "PING from dom0-alpha.example.net ...\n");

    beta.authorise_only(&beta.line_for(alpha).replace("127.0.0.1", "192.0.2.1"));
    ping().code(4).complains(&refused);

    // Folders that others may write to.
    beta.authorise_only(&beta.line_for(alpha));
    let open = |mode| fs::set_permissions(beta.at("/root/.ssh"), fs::Permissions::from_mode(mode)).unwrap();
    open(0o777);
    if beta.read("/etc/ssh/sshd_config").contains("StrictModes yes") {
        ping().code(4).complains(&refused);
    }
    open(0o700);

    // The same line, and all is well.
    ping().code(0);

    // The key of another Dom0, under our name.
    beta.authorise_only(&beta.line_for(alpha).replace("--peer dom0-alpha", "--peer dom0-gamma"));
    let ran = ping().code(3).complains(&["dom0-beta refused", "belongs to dom0-gamma", "dom0-alpha uses it", "authorized_keys"]);
    assert!(!ran.out.contains("PONG"), "{}", ran.out);

    // The article's line, and an address that is not the one of whoever asks.
    beta.tell("getent", "echo '192.0.2.7       STREAM dom0-alpha'");
    beta.authorise_only(&beta.line_for(alpha).replace(" --peer dom0-alpha", ""));
    ping().code(3).complains(&["comes from 127.0.0.1", "not an address of dom0-alpha", "migrate2 --peer dom0-alpha"]);
    beta.tell("getent", "exit 2");
    ping().code(3).complains(&["dom0-alpha has no address here", "getent ahosts dom0-alpha"]);
}

#[test]
fn a_key_that_ssh_does_not_use() {
    if !playable("ping with a key that ssh does not use") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let alpha = fleet.alpha();
    let key = alpha.at(&alpha.key());
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();

    mode(0o644);
    alpha.xen_migrate(&["ping", "dom0-beta"]).code(4).complains(&["chmod 600 /root/.ssh/xen-migrate-dom0-alpha"]);
    mode(0o600);
    alpha.xen_migrate(&["ping", "dom0-beta"]).code(0);

    // ssh-keygen asks for a passphrase, and the article does not say to leave it empty.
    let ran = run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "secret", "-f"]).arg(&key));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    alpha
        .xen_migrate(&["ping", "dom0-beta"])
        .code(4)
        .complains(&["passphrase", "ssh-keygen -p -f /root/.ssh/xen-migrate-dom0-alpha"]);
}

#[test]
fn a_host_that_is_not_the_one_we_know() {
    if !playable("ping with an unknown host key") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let known = alpha.read("/root/.ssh/known_hosts");

    alpha.write("/root/.ssh/known_hosts", "");
    let ran = alpha.xen_migrate(&["ping", "dom0-beta"]).code(4);
    let ran = ran.complains(&["Host key verification failed", "fingerprint", "root@dom0-beta"]);
    assert!(!ran.err.contains("changed") && !ran.err.contains("ssh-keygen -R"), "{}", ran.err);
    assert_eq!(alpha.read("/root/.ssh/known_hosts"), "", "a host key was taken without a person");

    keygen(&alpha.at("/other"), "other");
    alpha.write("/root/.ssh/known_hosts", &format!("dom0-beta {}", alpha.read("/other.pub")));
    let ran = alpha.xen_migrate(&["ping", "dom0-beta"]).code(4);
    ran.complains(&["has changed", "known_hosts:1", "ssh-keygen", "-R dom0-beta", "installed anew"]);

    alpha.write("/root/.ssh/known_hosts", &known);
    alpha.xen_migrate(&["ping", "dom0-beta"]).code(0);

    // Nobody but the right server has seen our key being used.
    let log = beta.sshd_log();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
}

#[test]
fn nobody_answers() {
    if !playable("ping without an sshd") {
        return;
    }
    let mut fleet = Fleet::pair();
    fleet.introduce();
    fleet.dom0s[1].stop_sshd();
    let ran = fleet.alpha().xen_migrate(&["ping", "dom0-beta"]).code(4).complains(&["Connection refused", "dom0-beta"]);
    assert!(!ran.err.contains("xen-migrate ping"), "ping advises to ping: {}", ran.err);

    let ran = fleet.alpha().xen_migrate(&["ping", "nosuchhost.invalid"]).code(4);
    ran.complains(&["Could not resolve hostname", "getent hosts nosuchhost.invalid"]);
}

#[test]
fn the_other_end_answers_something_else() {
    if !playable("ping to something else") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let line = beta.line_for(alpha);
    let ping_with = |forced: &str| {
        beta.authorise_only(&format!("restrict,command=\"{forced}\" {}", alpha.public()));
        alpha.xen_migrate(&["ping", "dom0-beta"])
    };
    let ours = beta.forced_command(Some("dom0-alpha"));

    // A .bashrc that greets everybody.
    let ran = ping_with(&format!("echo Welcome to beta; {ours}")).code(4).complains(&["Welcome to beta", ".bashrc", "dom0-beta"]);
    assert!(!ran.out.contains("Success"), "{}", ran.out);
    // On standard error it does no harm.
    ping_with(&format!("echo Welcome to beta >&2; {ours}")).code(0);
    // Escape sequences of a peer do not reach our terminal.
    let ran = ping_with("printf '\\\\033[2Jboo\\\\007\\\\r\\\\n'; exit 1").code(4).complains(&["boo"]);
    assert!(!ran.err.chars().any(|c| c.is_control() && c != '\n'), "{:?}", ran.err);

    // No forced command at all, and one whose program is not there: a shell takes the request for a command.
    for line in [format!("restrict {}", alpha.public()), line.replace("xen-migrate --root", "not-there --root")] {
        beta.authorise_only(&line);
        let ran = alpha.xen_migrate(&["ping", "dom0-beta"]).code(4);
        ran.complains(&["No such file or directory", "exit 127", "migrate2", "authorized_keys on dom0-beta"]);
    }
    // Another program of that name, and one that dies.
    ping_with("/bin/true").code(4).complains(&["answered", "forced command"]);
    ping_with("kill -9 $$").code(4).complains(&["dom0-beta", "stopped answering"]);
    // Something of ours that is no pong.
    ping_with("echo 'xen-migrate/1 {\\\"ended\\\":0}'").code(4).complains(&["does not understand"]);

    // Other versions, newer and older ones.
    for other in ["2", "17"] {
        let stub = format!("echo 'xen-migrate/{other} {{\\\"refused\\\":\\\"the request speaks xen-migrate/1\\\"}}'; exit 3");
        ping_with(&stub).code(4).complains(&[&format!("speaks xen-migrate/{other}"), "xen-migrate/1", "same version on both"]);
    }
    // And what an older client gets to read from us.
    beta.authorise_only(&line);
    let ran = run(&mut alpha.ssh(&["-T"], beta, &["xen-migrate/2 from=dom0-alpha ping"])).code(3);
    assert!(ran.out.contains("{\"refused\":\"the request speaks xen-migrate/2"), "{}", ran.out);

    // The name leads elsewhere: to a third host, and to ourselves.
    beta.tell("hostname", "echo dom0-gamma");
    let ran =
        alpha.xen_migrate(&["ping", "dom0-beta"]).code(3).complains(&["dom0-beta", "it is dom0-gamma", "getent hosts dom0-beta"]);
    assert!(!ran.out.contains("Success"), "{}", ran.out);
    beta.tell("hostname", "echo dom0-alpha");
    alpha.xen_migrate(&["ping", "dom0-beta"]).code(3).complains(&["leads back to this very Dom0"]);
    // The full name, or an address, of the right host.
    beta.tell("hostname", "case \"$1\" in -f) echo dom0-beta.example.net;; *) echo dom0-beta;; esac");
    let config = alpha.read("/root/.ssh/xen-migrate.config").replace("Host dom0-beta\n", "Host dom0-beta* 127.0.0.1\n");
    alpha.write("/root/.ssh/xen-migrate.config", &config);
    alpha.xen_migrate(&["ping", "dom0-beta.example.net"]).code(0);
    alpha.xen_migrate(&["ping", "127.0.0.1"]).code(0);
}

#[test]
fn a_person_with_the_key_is_told_what_it_is_for() {
    if !playable("a login with the dedicated key") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    for line in [beta.line_for(alpha), beta.line_for(alpha).replace("restrict", ARTICLES_OPTIONS)] {
        beta.authorise_only(&line);
        let polite = ["there is no request", "this key runs `xen-migrate migrate2` only"];
        let ran = run(&mut alpha.ssh(&["-T"], beta, &[])).code(3).complains(&polite);
        assert_eq!(ran.out, "", "an answer without a request");
        // A terminal is not to be had.
        let ran = run(&mut alpha.ssh(&["-tt"], beta, &[]));
        assert_eq!(ran.code, Some(255), "{ran:?}");
        ran.complains(&["PTY allocation request failed"]);
        // Nor sftp, nor a port, nor somebody's agent.
        run(&mut alpha.ssh(&["-T", "-s"], beta, &["sftp"])).code(3);
        let forward = format!("localhost:{}", beta.port());
        let ran = run(&mut alpha.ssh(&["-T", "-o", "ExitOnForwardFailure=yes", "-W", &forward], beta, &[]));
        assert_ne!(ran.code, Some(0), "a port was forwarded: {ran:?}");
        assert!(!ran.out.contains("SSH-2.0"), "{ran:?}");
    }
}
