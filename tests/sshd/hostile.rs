//! What the dedicated key may not do, over the real thing: whatever is asked, refused, with nothing touched.

use super::dom0::{ARTICLES_OPTIONS, Dom0, Fleet, SYSTEM_PATH, Wishes, playable, run, wait_for};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a person who has stolen the key might try, and what nobody would think of.
#[test]
fn hostile_requests_by_the_hundred_are_refused() {
    if !playable("hostile requests") {
        return;
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    all_are_refused("restrict", |trap| {
        let mut asked = hostile(trap);
        asked.extend((0..150).map(|_| mixed(&mut seed, trap)));
        asked
    });
}

/// The article's list of options protects as well.
#[test]
fn with_the_articles_options_too() {
    if !playable("hostile requests past the article's options") {
        return;
    }
    all_are_refused(ARTICLES_OPTIONS, hostile);
}

/// Each is a session of its own in one connection.
fn all_are_refused(options: &str, asked: impl FnOnce(&str) -> Vec<Vec<u8>>) {
    let fleet = Fleet::pair();
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    xen_that_only_answers(beta);
    let log = UnixDatagram::bind(beta.at("/dev/log")).unwrap();
    log.set_nonblocking(true).unwrap();
    let trap = beta.at("/trap");
    beta.authorise_only(&beta.line_for(alpha).replace("restrict", options));
    let line = Connection::open(alpha, beta);
    let before = everything(beta);
    for request in asked(&trap.display().to_string()) {
        let ran = line.ask(&request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        assert_eq!(ran.code, Some(3), "{shown:?}: {ran:?}");
        assert!(ran.err.starts_with("xen-migrate migrate2: refused: "), "{shown:?}: {ran:?}");
        assert!(ran.err.lines().count() == 1 && ran.err.len() < 1000, "{shown:?}: {ran:?}");
        let answers: Vec<&str> = ran.out.lines().collect();
        assert!(
            matches!(answers[..], []) && ran.err.contains("no request")
                || matches!(answers[..], [one] if one.starts_with("xen-migrate/1 {\"refused\":\"")),
            "{shown:?}: {ran:?}"
        );
        assert!(!ran.err.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}: {ran:?}");
        // What a request made it look at, it told as well.
        wait_for("a refusal in the log", || {
            let mut heard = [0; 16 * 1024];
            let size = log.recv(&mut heard).ok()?;
            String::from_utf8_lossy(&heard[..size]).contains("migrate2: refused").then_some(())
        });
    }
    assert_eq!(everything(beta), before, "something was touched");
    assert!(!trap.exists(), "a shell has seen a request");
}

/// Requests that are well-formed, from a peer that has no right to them: it would have to be let in for more than looking.
#[test]
fn what_a_peer_has_no_right_to_is_refused_with_evidence() {
    if !playable("requests without a right") {
        return;
    }
    let fleet = Fleet::pair();
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    xen_that_only_answers(beta);
    let line = Connection::open(alpha, beta);
    let before = everything(beta);
    for (request, why) in [
        ("from=dom0-alpha send web", "did not come from dom0-alpha"),
        ("from=dom0-alpha send web --live", "did not come from dom0-alpha"),
        ("from=dom0-alpha settle web", "nothing is recorded of web"),
        ("from=dom0-alpha do web open=r0", "web is not expected here from dom0-alpha"),
        ("from=dom0-alpha do web primary=r0", "web is not expected here from dom0-alpha"),
        ("from=dom0-alpha do web destroy-incoming=1", "web"),
        ("from=dom0-alpha do web forget", "web"),
        ("from=dom0-alpha receive web dom0-beta xl migrate-receive", "web is not expected here from dom0-alpha"),
        ("from=dom0-alpha receive web dom0-gamma xl migrate-receive", "web is meant for dom0-gamma, and this is dom0-beta"),
        ("from=dom0-gamma ping", "belongs to dom0-alpha"),
        ("from=dom0-gamma receive web dom0-beta xl migrate-receive", "belongs to dom0-alpha"),
    ] {
        let ran = line.ask(format!("xen-migrate/1 {request}").as_bytes());
        assert_eq!(ran.code, Some(3), "{request}: {ran:?}");
        assert!(ran.err.contains(why), "{request}: {}", ran.err);
    }
    assert_eq!(everything(beta), before, "something was touched");
}

/// What ssh carries over beside the request, and what sshd puts into the environment, means nothing.
#[test]
fn the_environment_is_no_way_in() {
    if !playable("environments") {
        return;
    }
    // As an administrator could have it for other reasons, and as a client would like it.
    let wishes = Wishes { sshd: "SetEnv XEN_DRBD_ROOT=ROOT/evil LANGUAGE=de RUST_BACKTRACE=full\nAcceptEnv *" };
    let fleet = Fleet::with(&["dom0-alpha", "dom0-beta"], &wishes);
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let evil = beta.at("/evil");
    fs::create_dir_all(evil.join("bin")).unwrap();
    fs::create_dir_all(evil.join("etc/xen")).unwrap();
    fs::copy(beta.bin.join("hostname"), evil.join("bin/hostname")).unwrap();
    let seen = beta.at("/seen");
    beta.tell("hostname", &format!("env > {}\necho dom0-beta", seen.display()));
    let sent = [
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("LC_MESSAGES", "C.UTF-8"),
        ("XEN_DRBD_ROOT", evil.to_str().unwrap()),
        ("PATH", evil.join("bin").to_str().unwrap()),
        ("SSH_ORIGINAL_COMMAND", "xl migrate-receive"),
        ("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()));
    let ask = |request: &str| {
        let mut command = alpha.ssh(&["-T", "-o", "SendEnv=*"], beta, &[request]);
        // ssh itself is found before; this is what it carries over.
        for (name, value) in sent.iter().filter(|(name, _)| name != "PATH") {
            command.env(name, value);
        }
        command.args([] as [&str; 0]);
        run(&mut command)
    };

    let ran = ask("xen-migrate/1 from=dom0-alpha ping").code(0);
    assert!(ran.out.contains("\"fqdn\":\"dom0-beta\"") && ran.err.is_empty(), "{ran:?}");
    let env = fs::read_to_string(&seen).unwrap();
    let value = |name: &str| env.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    // They did arrive; what matters is what became of them.
    assert_eq!(value("LANG"), "C.UTF-8", "{env}");
    assert_eq!(value("LC_ALL"), "C", "{env}");
    assert!(!env.contains("\nLANGUAGE="), "{env}");
    assert!(value("PATH").starts_with(&beta.path()), "{env}");
    assert_eq!(value("SSH_ORIGINAL_COMMAND"), "xen-migrate/1 from=dom0-alpha ping", "{env}");

    // The record in the root of the command= line counts, and not the one that the environment names.
    let record = |state: &str| format!("# version 1\nweb  {state}  dom0-alpha  2026-01-01T00:00:00Z\n# EOF rows=1\n");
    fs::write(evil.join("etc/xen/migrate-status.txt"), record("arriving")).unwrap();
    let ran = ask("xen-migrate/1 from=dom0-alpha receive web dom0-beta xl migrate-receive").code(3);
    ran.complains(&["web is not expected here from dom0-alpha"]);

    // Without --path it is the system's own tools, whatever PATH is: here sshd itself is told another one.
    let wishes = Wishes { sshd: "SetEnv PATH=ROOT/evil:/usr/bin:/bin XEN_DRBD_ROOT=ROOT/evil" };
    let fleet = Fleet::with(&["dom0-alpha", "dom0-beta"], &wishes);
    fleet.introduce();
    let (alpha, beta) = (fleet.alpha(), fleet.beta());
    let trap = beta.at("/trap");
    fs::create_dir(beta.at("/evil")).unwrap();
    beta.tell("hostname", &format!("echo ran > {}; echo dom0-evil", trap.display()));
    fs::copy(beta.bin.join("hostname"), beta.at("/evil/hostname")).unwrap();
    beta.authorise_only(&beta.line_for(alpha).replace(&format!(" --path {}", beta.path()), ""));
    let ran = run(&mut alpha.ssh(&["-T"], beta, &["xen-migrate/1 from=dom0-alpha ping"]));
    assert!(!trap.exists() && !ran.out.contains("dom0-evil"), "the PATH that sshd was told was used: {ran:?}");
    assert!(ran.code == Some(0) || ran.err.contains("hostname"), "{ran:?}");
}

/// A Xen with nothing on it but Domain-0. Whoever asks for more than an answer springs the trap.
fn xen_that_only_answers(dom0: &Dom0) {
    let trap = dom0.at("/trap").display().to_string();
    let spring = format!("*) echo \"$0 $*\" >> {trap}; exit 1;;");
    dom0.tell(
        "xl",
        &format!(
            "case \"$1\" in\n\
             info) printf 'host : {}\\nrelease : 6.1.0\\nxen_major : 4\\nxen_minor : 17\\nxen_extra : .7\\n\
             xen_version : 4.17.7\\ntotal_memory : 4096\\nfree_memory : 2048\\nvirt_caps : pv hvm shadow\\n';;\n\
             list) [ $# = 1 ] || exit 1; printf 'Name ID Mem VCPUs\\tState\\tTime(s)\\n'; \
             printf '%-40s %5d %5d %5d     %s %8s\\n' Domain-0 0 512 1 r----- 10.0;;\n\
             vm-list) printf 'UUID                                  ID    name\\n\
             00000000-0000-0000-0000-000000000000  0    Domain-0\\n';;\n{spring}\nesac",
            dom0.name
        ),
    );
    dom0.tell("xm", "echo 'xm: no xend' >&2; exit 1");
    dom0.tell("drbdadm", "exit 10");
    dom0.tell("drbdsetup", "exit 10");
}

/// One connection with the dedicated key; every request is a session of its own in it.
struct Connection {
    master: std::process::Child,
    socket: PathBuf,
    host: String,
}

impl Connection {
    fn open(from: &Dom0, to: &Dom0) -> Connection {
        let socket = from.at("/mux");
        let path = socket.display().to_string();
        let mut command = from.ssh(&["-T", "-N", "-M", "-S", &path], to, &[]);
        let mut master = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the connection", || {
            assert_eq!(master.try_wait().unwrap(), None, "no connection: {}", to.sshd_log());
            socket.exists().then_some(())
        });
        Connection { master, socket, host: to.name.clone() }
    }

    fn ask(&self, request: &[u8]) -> super::dom0::Ran {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-T", "-o", "LogLevel=ERROR", "-S"]).arg(&self.socket);
        command.arg("--").arg(&self.host).arg(OsStr::from_bytes(request));
        run(command.env_clear().env("PATH", SYSTEM_PATH).stdin(Stdio::null()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Everything below its root, and its programs: name, size and content.
fn everything(dom0: &Dom0) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dom0.root.clone(), dom0.bin.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            // sshd's own log grows.
            if path.ends_with("run/sshd.log") {
            } else if kind.is_dir() {
                all.insert(path.clone(), Vec::new());
                folders.push(path);
            } else if kind.is_file() {
                all.insert(path.clone(), fs::read(&path).unwrap());
            } else {
                all.insert(path, b"?".to_vec());
            }
        }
    }
    all
}

/// Requests that somebody thought of. `trap` is what must not come into being.
fn hostile(trap: &str) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "id",
        "sh",
        "/bin/bash -i",
        "touch TRAP",
        "; touch TRAP",
        "ping; touch TRAP",
        "xen-migrate/1 from=dom0-alpha ping; touch TRAP",
        "xen-migrate/1 from=dom0-alpha ping && touch TRAP",
        "xen-migrate/1 from=dom0-alpha ping | touch TRAP",
        "xen-migrate/1 from=dom0-alpha ping & touch TRAP",
        "xen-migrate/1 from=dom0-alpha ping > TRAP",
        "xen-migrate/1 from=dom0-alpha ping\ntouch TRAP",
        "xen-migrate/1 from=dom0-alpha ping\r\ntouch TRAP\r\n",
        "xen-migrate/1 from=dom0-alpha look $(touch TRAP)",
        "xen-migrate/1 from=dom0-alpha look `touch TRAP`",
        "xen-migrate/1 from=dom0-alpha look web`touch${IFS}TRAP`",
        "xen-migrate/1 from=dom0-alpha look 'web' 'r0'",
        "xen-migrate/1 from=dom0-alpha look \"web\"",
        "xen-migrate/1 from=dom0-alpha look ../../TRAP",
        "xen-migrate/1 from=dom0-alpha look ALL",
        "xen-migrate/1 from=dom0-alpha look 0",
        "xen-migrate/1 from=dom0-alpha look -l",
        "xen-migrate/1 from=dom0-alpha look --all",
        "xen-migrate/1 from=dom0-alpha look web all",
        "xen-migrate/1 from=dom0-alpha look web minor-0",
        "xen-migrate/1 from=dom0-alpha look Domain-0",
        "xen-migrate/1 from=dom0-alpha look web%n%n%s",
        "xen-migrate/1 from=dom0-alpha do web",
        "xen-migrate/1 from=dom0-alpha do web destroy=0",
        "xen-migrate/1 from=dom0-alpha do web primary=all",
        "xen-migrate/1 from=dom0-alpha do web primary=--force",
        "xen-migrate/1 from=dom0-alpha do web primary=r0;touch",
        "xen-migrate/1 from=dom0-alpha do web destroy-incoming=0",
        "xen-migrate/1 from=dom0-alpha do web destroy-incoming=-1",
        "xen-migrate/1 from=dom0-alpha do web destroy-incoming=99999999999999999999",
        "xen-migrate/1 from=dom0-alpha do web send",
        "xen-migrate/1 from=dom0-alpha send web -s sh -c touch TRAP",
        "xen-migrate/1 from=dom0-alpha send web -C /etc/shadow",
        "xen-migrate/1 from=dom0-alpha send web --live; touch TRAP",
        "xen-migrate/1 from=dom0-alpha settle web now",
        "xen-migrate/1 from=dom0-alpha receive web dom0-beta xl migrate-receive; touch TRAP",
        "xen-migrate/1 from=dom0-alpha receive web dom0-beta xl create TRAP",
        "xen-migrate/1 from=dom0-alpha receive web dom0-beta sh migrate-receive",
        "xen-migrate/1 from=dom0-alpha receive web dom0-beta xl -f migrate-receive",
        "xen-migrate/1 from=dom0-alpha receive web $(touch) xl migrate-receive",
        "xen-migrate/1 from=-oProxyCommand=touch ping",
        "xen-migrate/1 from=dom0-alpha from=dom0-alpha ping",
        "xen-migrate/1 from= ping",
        "xen-migrate/1 ping ping",
        "xen-migrate/1",
        "xen-migrate/0 ping",
        "xen-migrate/2 from=dom0-alpha ping",
        "xen-migrate/99999999999999999999 ping",
        "xen-migrate/1x ping",
        "xl list",
        "xl destroy 0",
        "xl migrate-receive; touch TRAP",
        "xl migrate-receive -e; touch TRAP",
        "xl migrate-receive $(touch TRAP)",
        "xl migrate-receive --userspace-colo-proxy",
        "xl -f migrate-receive",
        "xl migrate-receive web",
        "/usr/sbin/xl migrate-receive",
        "xm list",
        "migrate2",
        "xen-migrate migrate2 --peer dom0-gamma",
        "--root / migrate2",
        "--help",
        "-V",
        "scp -t /root/.ssh/authorized_keys",
        "rsync --server . TRAP",
        "internal-sftp",
        "\u{1b}]0;title\u{7}\u{1b}[2J",
        "xen-migrate/1 from=dom0-alpha ping \u{202e}",
        "xen-migrate/1 from=d\u{f6}m0 ping",
        "\t",
        "\n\n\n",
        "   ",
    ]
    .map(|text| text.replace("TRAP", trap).into_bytes())
    .to_vec();
    // Long ones: what a line of the log, an argument (128 KiB less its name) and a page can hold.
    all.push([b"xen-migrate/1 from=dom0-alpha look ", &b"a"[..].repeat(100_000)[..]].concat());
    all.push([b"xen-migrate/1 from=dom0-alpha look web", &b" r0"[..].repeat(33_000)[..]].concat());
    all.push([b"xen-migrate/1 from=dom0-alpha do web", &b" open=r0"[..].repeat(200)[..]].concat());
    all.push(b" ".repeat(100_000));
    all.push(b"\n".repeat(100_000));
    // Every byte there is but NUL, which ends an argument.
    all.push((1..=255).collect());
    all.extend((1..=255_u8).filter(|b| !b.is_ascii_graphic() && *b != b' ').step_by(7).map(|b| {
        let mut text = b"xen-migrate/1 from=dom0-alpha look web".to_vec();
        text.extend([b, b'x']);
        text
    }));
    all
}

/// Requests that nobody thought of, most of them nearly right.
fn mixed(seed: &mut u64, trap: &str) -> Vec<u8> {
    let mut roll = |below: usize| {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed % below as u64) as usize
    };
    let touch = format!("touch {trap}");
    let pieces: [&[u8]; 32] = [
        b"from=dom0-alpha",
        b"ping",
        b"look",
        b"do",
        b"send",
        b"receive",
        b"web",
        b"dom0-beta",
        b"open=r0",
        b"primary=r0",
        b"xl",
        b"migrate-receive",
        b"-e",
        b"--",
        b";",
        b"&&",
        b"||",
        b"|",
        b"$(",
        b")",
        b"`",
        b"'",
        b"\"",
        b"\\",
        b"\n",
        b"\r",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"*",
        b"~",
        b"<",
        touch.as_bytes(),
    ];
    let mut text = [&b"xen-migrate/1 "[..], b"xl ", b"xen-migrate/1 from=dom0-alpha ", b""][roll(4)].to_vec();
    for _ in 0..=roll(8) {
        text.extend(pieces[roll(pieces.len())]);
        text.extend([&b""[..], b" "][roll(2)]);
    }
    // One that says nothing else must not be understood by chance.
    text.extend(b" ;");
    std::ffi::OsString::from_vec(text).into_vec()
}

/// Kept honest: a folder that is not there has no content either.
#[test]
fn everything_sees_a_change() {
    if !playable("the eye that sees changes") {
        return;
    }
    let fleet = Fleet::new(&["dom0-alpha"]);
    let alpha = fleet.alpha();
    let before = everything(alpha);
    assert!(before.keys().any(|path| path.ends_with(Path::new("etc/ssh/sshd_config"))));
    alpha.write("/etc/xen/migrate-status.txt", "x");
    assert_ne!(everything(alpha), before);
}
