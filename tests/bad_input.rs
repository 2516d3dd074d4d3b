//! What comes in from outside and is wrong: files, names, peers, tools. Each is told so that one knows what to do next, has its exit
//! code, and nothing is lost: what runs goes on running, no file of the operator's and no role changes.

#[path = "lab/troubled.rs"]
mod troubled;

use std::io;
use troubled::Trouble;
use xen_drbd::applets::{self, Surroundings};
use xen_drbd::core::drbd::Generation;
use xen_drbd::core::request;
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{Deed, DiskForm, Lab, Quirk, Ran, When};

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";
const TABLE: &str = "/etc/xen/migrate-tab.txt";
const RECORD: &str = "/etc/xen/migrate-status.txt";

fn pair() -> Lab {
    Lab::pair(Generation::V84, Toolstack::Xl, DiskForm::Script)
}

fn migrate(lab: &Lab) -> Ran {
    lab.run(A, &["xen-migrate", "migrate", "web"])
}

/// Runs something that must be refused, and holds what it says against what it should.
///
/// `says`: what a person must find in the message, on either output.
#[track_caller]
fn refused(lab: &Lab, host: &str, argv: &[&str], code: i32, says: &[&str]) -> Ran {
    let before = picture(lab);
    let ran = lab.run(host, argv);
    let text = format!("{}{}", ran.err, ran.out);
    assert_eq!(ran.code, code, "{argv:?}: {text}\n{}", lab.journal());
    for words in says {
        assert!(text.contains(words), "{argv:?} does not say {words:?}:\n{text}");
    }
    assert!(text.lines().all(|l| l.chars().all(|c| !c.is_control() || c == '\t')), "{argv:?} moves the cursor: {text:?}");
    same(&before, &picture(lab), &format!("{argv:?}: {text}"));
    assert!(lab.findings().is_empty(), "{argv:?}: {:?}", lab.findings());
    ran
}

/// Everything of the fleet that a refusal must leave as it is: not the clock, the journal, the logs, and what a running guest writes.
fn picture(lab: &Lab) -> Vec<String> {
    let mut fleet = serde_json::to_value(lab.fleet()).expect("a fleet is plain data");
    forget(&mut fleet);
    let mut lines = Vec::new();
    for host in lab.fleet().hosts.keys() {
        for path in [TABLE, RECORD] {
            lines.push(format!("{host}:{path}: {:?}", lab.file(host, path)));
        }
    }
    flatten("", &fleet, &mut lines);
    lines
}

/// One line a fact, so that a difference can be shown.
fn flatten(path: &str, value: &serde_json::Value, lines: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&format!("{path}/{key}"), value, lines)),
        // The bytes of a file are one fact.
        serde_json::Value::Array(list) if !list.iter().all(serde_json::Value::is_number) => {
            list.iter().enumerate().for_each(|(n, value)| flatten(&format!("{path}/{n}"), value, lines));
        }
        other => lines.push(format!("{path} = {other}")),
    }
}

/// What is in one picture and not in the other.
#[track_caller]
fn same(before: &[String], after: &[String], what: &str) {
    let only = |a: &[String], b: &[String], sign: &str| {
        a.iter()
            .filter(|l| !b.contains(l))
            .map(|l| format!("  {sign} {}\n", l.chars().take(200).collect::<String>()))
            .collect::<String>()
    };
    assert!(before == after, "{what}\nchanged something:\n{}{}", only(before, after, "-"), only(after, before, "+"));
}

fn forget(value: &mut serde_json::Value) {
    const MOVES: [&str; 11] =
        ["clock", "events", "journal", "syslog", "dice", "next_pid", "ran", "beat", "acknowledged", "data", "quirks"];
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|key, _| !MOVES.contains(&key.as_str()));
            map.values_mut().for_each(forget);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

#[test]
fn the_picture_stands_still_while_time_passes_and_sees_every_change() {
    let lab = pair();
    let before = picture(&lab);
    lab.pass(60_000);
    same(&before, &picture(&lab), "");
    for change in [
        |lab: &Lab| lab.put(A, TABLE, "web dom0-gamma\n"),
        |lab: &Lab| lab.perform(&Deed::GuestEnds("web".into(), 'c'), None),
        |lab: &Lab| lab.with(|f| f.host_mut(B).memory += 1),
        |lab: &Lab| lab.perform(&Deed::Cut(A.into(), B.into(), None), None),
        |lab: &Lab| assert_eq!(lab.run(A, &["xl", "pause", "web"]).code, 0),
        |lab: &Lab| assert_eq!(lab.run(B, &["drbdadm", "net-options", "--allow-two-primaries=yes", "web"]).code, 0),
    ] {
        let lab = pair();
        let before = picture(&lab);
        change(&lab);
        assert_ne!(picture(&lab), before);
    }
}

// The table.

#[test]
fn faults_of_the_table_are_told_with_line_and_column_all_at_once() {
    for (row, place, says) in [
        ("mail", ":3:5:", "there is no second column"),
        ("-mail dom0-beta", ":3:1:", "-mail"),
        ("ma;il dom0-beta", ":3:1:", "ma;il"),
        ("$(reboot) dom0-beta", ":3:1:", "$(reboot)"),
        ("mail dom0-beta;id", ":3:6:", "dom0-beta;id"),
        ("mail -oProxyCommand=id", ":3:6:", "-oProxyCommand=id"),
        ("mail dom0-beta,,dom0-gamma", ":3:16:", "host name"),
        ("mail dom0-beta,dom0-beta", ":3:16:", "twice"),
        ("mail dom0-beta --live # to there", ":3:23:", "comment"),
        ("ALL dom0-beta", ":3:1:", "ALL"),
        ("1000 dom0-beta", ":3:1:", "1000"),
        ("mail dom0-beta --live\x1b[2J", ":3:16:", "control"),
    ] {
        let lab = pair();
        let text = format!("# a comment\nweb dom0-beta --live\n{row}\n");
        lab.put(A, TABLE, &text);
        refused(&lab, A, &["xen-migrate", "status"], 2, &[&format!("{TABLE}{place}"), says, "^"]);
        // The other row keeps working, and that there is a fault is told all the same.
        let ran = migrate(&lab);
        assert_eq!(ran.code, 0, "{row}: {}", ran.err);
        assert!(ran.err.contains("another row of /etc/xen/migrate-tab.txt has a fault"), "{row}: {}", ran.err);
        let ran = lab.run(A, &["xen-migrate", "status", "web"]);
        assert_eq!(ran.code, 0, "its own row has none: {}", ran.err);
        assert_eq!(lab.file(A, TABLE).as_deref(), Some(text.as_str()), "the operator's table was written");
    }
}

#[test]
fn a_row_with_a_fault_is_never_acted_on() {
    let lab = pair();
    lab.put(A, TABLE, "web dom0-beta;id --live\n");
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 2, &[":1:5:", "is not acted on"]);
    lab.put(A, TABLE, "web dom0-beta --live\nweb dom0-gamma --live\n");
    refused(
        &lab,
        A,
        &["xen-migrate", "migrate", "web"],
        2,
        &[":1:1:", ":2:1:", "web has another row on line 2", "one row for each domU"],
    );
    refused(&lab, A, &["xen-migrate", "status"], 2, &["web has another row"]);
}

#[test]
fn options_that_the_toolstack_would_misunderstand_are_faults() {
    for (options, says) in [
        ("--life", "--life"),
        ("-l", "-l"),
        ("web2", "web2"),
        ("-s", "-s"),
        ("-C relative.cfg", "relative.cfg"),
        ("--live; id", "--live;"),
        ("-s 'ssh -p 22'", "cannot be passed to xl migrate"),
    ] {
        let lab = pair();
        lab.put(A, TABLE, &format!("web dom0-beta {options}\n"));
        let ran = refused(&lab, A, &["xen-migrate", "migrate", "web"], 2, &[says, "/etc/xen/migrate-tab.txt:1:"]);
        // Its column, and a mark under the word.
        assert!(ran.err.contains(&format!("web dom0-beta {options}\n              ")), "{}", ran.err);
        assert_eq!(lab.runs_on("web"), [A]);
    }
}

#[test]
fn a_table_that_is_missing_empty_or_unreadable() {
    let lab = pair();
    lab.with(|f| f.host_mut(A).files.remove(TABLE));
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 2, &["there is no /etc/xen/migrate-tab.txt", "web  PARTNER-DOM0"]);
    refused(&lab, A, &["xen-migrate", "status"], 0, &["There is no /etc/xen/migrate-tab.txt yet"]);
    lab.put(A, TABLE, "");
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 2, &["web has no row in /etc/xen/migrate-tab.txt", "add one:"]);
    // The advice works.
    lab.put(A, TABLE, "web  dom0-beta  --live");
    assert_eq!(migrate(&lab).code, 0);

    let lab = pair();
    let trouble = Trouble::on(&lab);
    trouble.unreadable(TABLE, io::ErrorKind::PermissionDenied);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 2, &[TABLE, "permission denied"]);
    refused(&lab, A, &["xen-migrate", "status"], 2, &[TABLE, "permission denied"]);
}

// Names and domUs.

#[test]
fn names_that_no_domu_can_have_are_refused_at_the_door() {
    let long = "x".repeat(300);
    for name in [
        "-x", "--help-me", "a;b", "$(id)", "`id`", "a b", "a\nb", "..", "../web", "/etc/passwd", "all", "1000", "", "wéb", "a*",
        &long,
    ] {
        for verb in ["migrate", "reverse"] {
            refused(&pair(), A, &["xen-migrate", verb, name], 2, &[]);
        }
    }
    for host in ["-oProxyCommand=id", "a;b", "", "root@dom0-beta", "a b"] {
        refused(&pair(), A, &["xen-migrate", "ping", host], 2, &[]);
        refused(&pair(), A, &["xen-migrate", "setup", host], 2, &[]);
    }
}

#[test]
fn a_domu_that_cannot_go() {
    let lab = pair();
    refused(&lab, A, &["xen-migrate", "migrate", "nobody"], 2, &["nobody has no row in", "add one:"]);
    refused(&lab, A, &["xen-migrate", "status", "nobody"], 2, &["nobody: no domU of that name is here"]);

    lab.put(A, TABLE, "web dom0-beta --live\nnobody dom0-beta\n");
    refused(
        &lab,
        A,
        &["xen-migrate", "migrate", "nobody"],
        3,
        &["nobody does not run on dom0-alpha", "expected: a running domU", "try: "],
    );

    // Paused: the advice is typed and works.
    assert_eq!(lab.run(A, &["xl", "pause", "web"]).code, 0);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 3, &["web is paused", "try: xl unpause web"]);
    assert_eq!(lab.run(A, &["xl", "unpause", "web"]).code, 0);
    assert_eq!(migrate(&lab).code, 0);

    let lab = pair();
    lab.perform(&Deed::GuestEnds("web".into(), 'c'), None);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 3, &["web is crashed", "xl destroy 1"]);

    // Shut down: gone.
    let lab = pair();
    lab.perform(&Deed::GuestEnds("web".into(), '-'), None);
    lab.pass(5_000);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 3, &["web does not run on dom0-alpha"]);
}

#[test]
fn a_domu_that_is_there_already() {
    // By our own hand.
    let lab = pair();
    assert_eq!(migrate(&lab).code, 0);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 0, &["web runs on dom0-beta already."]);
    // By somebody's.
    let lab = pair();
    assert_eq!(lab.run(A, &["xl", "destroy", "web"]).code, 0);
    assert_eq!(lab.run(B, &["xl", "create", "/etc/xen/web.cfg"]).code, 0);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 0, &["web runs on dom0-beta already."]);
    // Another domU of that name, which has no disk of ours, is there while it runs here.
    let lab = pair();
    lab.put(B, "/etc/xen/other.cfg", "name=\"web\"\nmemory=128\nkernel=\"/k\"\ntype=\"pvh\"\n");
    assert_eq!(lab.run(B, &["xl", "create", "/etc/xen/other.cfg"]).code, 0);
    let ran = migrate(&lab);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("web is on dom0-beta already (running)") && ran.err.contains("try: "), "{}", ran.err);
    assert_eq!((lab.domains(A).len(), lab.domains(B).len()), (1, 1));
}

// The peer.

#[test]
fn a_peer_that_is_ourselves() {
    for name in ["dom0-alpha", "dom0-alpha.example.org", "192.0.2.1", "DOM0-ALPHA"] {
        let lab = pair();
        lab.put(A, TABLE, &format!("web {name} --live\n"));
        let before = picture(&lab);
        let ran = migrate(&lab);
        assert!([3, 4].contains(&ran.code), "{name}: {}", ran.err);
        assert_eq!(lab.runs_on("web"), [A], "{name}: {}", ran.err);
        same(&before, &picture(&lab), &ran.err);
        assert!(ran.err.contains("try: "), "{name}: {}", ran.err);
    }
    refused(&pair(), A, &["xen-migrate", "setup", "dom0-alpha"], 2, &["is this very Dom0"]);
}

#[test]
fn a_peer_that_does_not_let_us_in() {
    let cases = [
        (
            255,
            "No ED25519 host key is known for dom0-beta and you have requested strict checking.\nHost key verification failed.\n",
            "ssh root@dom0-beta",
        ),
        (
            255,
            "@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n",
            "ssh root@dom0-beta",
        ),
        (
            255,
            "@@@@\n@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\nPermissions 0644 for '/root/.ssh/xen-migrate-dom0-alpha' are too open.\nroot@dom0-beta: Permission denied (publickey).\n",
            "chmod 600 /root/.ssh/xen-migrate-dom0-alpha",
        ),
        (255, "root@dom0-beta: Permission denied (publickey).\n", "xen-migrate setup dom0-beta"),
        (255, "ssh: Could not resolve hostname dom0-beta: Name or service not known\n", "getent hosts dom0-beta"),
        (255, "ssh: connect to host dom0-beta port 22: Connection refused\n", "ssh root@dom0-beta   (is it up, and its sshd?)"),
    ];
    for (code, err, advice) in cases {
        for verb in [&["xen-migrate", "migrate", "web"][..], &["xen-migrate", "ping", "dom0-beta"]] {
            let lab = pair();
            lab.with(|f| {
                f.quirks.push(Quirk::Instead {
                    host: A.into(),
                    begins: "ssh".into(),
                    times: u32::MAX,
                    code,
                    out: String::new(),
                    err: err.into(),
                })
            });
            refused(&lab, A, verb, 4, &["dom0-beta could not be asked", advice]);
        }
    }
}

#[test]
fn a_peer_that_answers_something_else() {
    for (code, out, err, says) in [
        (0, "Welcome to dom0-beta!\n", "", "Welcome to dom0-beta!"),
        (0, "xen-migrate/1 {\"pong\":{}}\n", "", "dom0-beta"),
        (0, "xen-migrate/1 not json\n", "", "dom0-beta"),
        (0, "", "", "dom0-beta"),
        (0, "xen-migrate/1 {\"ended\":0}\nxen-migrate/1 {\"ended\":0}\n", "", "dom0-beta"),
        (1, "\u{1b}[2J\u{1b}]0;owned\u{7}\n", "\u{1b}[31mboo\u{7}\n", "dom0-beta"),
        (127, "", "sh: 1: /usr/local/bin/xen-migrate: not found\n", "not found"),
    ] {
        for verb in
            [&["xen-migrate", "migrate", "web"][..], &["xen-migrate", "ping", "dom0-beta"], &["xen-migrate", "recover", "web"]]
        {
            let lab = pair();
            lab.with(|f| {
                f.quirks.push(Quirk::Instead {
                    host: A.into(),
                    begins: "ssh".into(),
                    times: u32::MAX,
                    code,
                    out: out.into(),
                    err: err.into(),
                })
            });
            // Whether anything is left over there is not known then, and that is no success.
            let exit = if verb[1] == "recover" { 5 } else { 4 };
            refused(&lab, A, verb, exit, &[says]);
        }
    }
}

/// Whoever asks many is not misled by one that answers nonsense: it is a line, and what is seen here is shown.
#[test]
fn one_of_many_that_answers_something_else() {
    let survey = |lab: &Lab| {
        let asked = "xen-migrate/1 from=dom0-alpha survey web";
        let argv = ["xen-migrate", "migrate2", "--peer", "dom0-alpha"];
        ask(lab, B, Some(asked), "192.0.2.1", &argv).out
    };
    let lab = pair();
    let good = survey(&lab);
    assert!(good.starts_with("xen-migrate/1 {\"survey\""), "{good}");
    let lies = [
        "Welcome to dom0-beta!\n".to_string(),
        "xen-migrate/1 {\"survey\":{}}\n".to_string(),
        good[..good.len() / 2].to_string(),
        format!("{good}{good}"),
        good.replace("\"host\":\"dom0-beta\"", "\"host\":\"dom0-gamma\""),
        good.replace("\"host\":\"dom0-beta\"", "\"host\":\"dom0-alpha\""),
        good.replace("\"host\":\"dom0-beta\"", "\"host\":\"-oProxyCommand=id\""),
        "xen-migrate/1 {\"refused\":\"\\u001b[2Jboo\"}\n".to_string(),
    ];
    for out in lies {
        let lab = pair();
        let quirk = Quirk::Instead {
            host: A.into(),
            begins: "ssh".into(),
            times: u32::MAX,
            code: 0,
            out: out.clone(),
            err: String::new(),
        };
        lab.with(|f| f.quirks.push(quirk));
        refused(&lab, A, &["xen-migrate", "where", "web"], 0, &["web is running on dom0-alpha", "no answer from dom0-beta"]);
        refused(&lab, A, &["xen-migrate", "status", "ALL", "--fleet"], 4, &["web", "no answer from dom0-beta"]);
        let ran = lab.run(A, &["xen-migrate", "check"]);
        assert!([3, 4].contains(&ran.code) && ran.out.contains("fault"), "{out}: {}{}", ran.err, ran.out);
        refused(&lab, A, &["xen-migrate", "check"], ran.code, &["dom0-beta"]);
    }
    // What it could not see itself moves no cursor.
    let lab = pair();
    let out = good.replace("\"unseen\":[]", "\"unseen\":[\"\\u001b[2Jboo\"]");
    assert_ne!(out, good);
    let quirk = Quirk::Instead { host: A.into(), begins: "ssh".into(), times: u32::MAX, code: 0, out, err: String::new() };
    lab.with(|f| f.quirks.push(quirk));
    refused(&lab, A, &["xen-migrate", "status", "ALL", "--fleet"], 0, &["not seen on dom0-beta: ?[2Jboo"]);
}

/// A person's word stands for what cannot be seen, and for nothing else.
#[test]
fn a_failover_that_may_not_be_touches_nothing() {
    let verb = |domu: &'static str, reason: &'static str| ["xen-migrate", "failover", domu, "--reason", reason];
    let lab = pair();
    lab.run(A, &["xen-migrate", "migrate", "web"]);
    for (domu, reason) in [("a;b", "x"), ("ALL", "x"), ("web", ""), ("web", " "), ("web", "two\nlines"), ("nobody", "x")] {
        refused(&lab, A, &verb(domu, reason), 2, &[]);
    }
    refused(&lab, A, &verb("web", "I think so"), 3, &["dom0-beta answers", "nothing was touched"]);
    lab.run(B, &["xl", "pause", "web"]);
    refused(&lab, A, &verb("web", "I think so"), 3, &["web is paused there"]);
    // Nothing to start it from.
    let lab = pair();
    lab.run(A, &["xen-migrate", "migrate", "web"]);
    lab.perform(&Deed::PowerOff(B.into()), None);
    lab.pass(60_000);
    for path in ["/etc/xen/web.cfg", "/etc/xen/drbd-auto/web.cfg"] {
        lab.put(A, path, "name = 'web\n");
    }
    refused(&lab, A, &verb("web", "it burns"), 2, &["web.cfg"]);
    for path in ["/etc/xen/web.cfg", "/etc/xen/drbd-auto/web.cfg"] {
        lab.put(A, path, "name = 'web'\nmemory = 512\n");
    }
    refused(&lab, A, &verb("web", "it burns"), 3, &["no disk of it is DRBD"]);
}

/// A newer one refuses our request in its own words, and says on standard error what to do.
#[test]
fn a_peer_of_another_version() {
    let lab = pair();
    let why = "the request speaks xen-migrate/1, this xen-migrate speaks xen-migrate/2: install the same version on both Dom0s";
    lab.with(|f| {
        f.quirks.push(Quirk::Instead {
            host: A.into(),
            begins: "ssh".into(),
            times: u32::MAX,
            code: 3,
            out: format!("xen-migrate/2 {{\"refused\":\"{why}\"}}\n"),
            err: format!("xen-migrate migrate2: refused: {why}\n"),
        })
    });
    for verb in [&["xen-migrate", "migrate", "web"][..], &["xen-migrate", "ping", "dom0-beta"]] {
        let ran = refused(&lab, A, verb, 4, &["install the same version on both Dom0s"]);
        assert!(!ran.err.contains("is the forced command of our key"), "{}", ran.err);
    }
}

#[test]
fn a_chatty_login_shell_is_told_before_it_breaks_the_memory_stream() {
    let lab = pair();
    let answer = lab.run(A, &["xen-migrate", "ping", "dom0-beta"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    // What the peer really answers, with a greeting in front.
    let pong = "xen-migrate/1 {\"pong\":{\"fqdn\":\"dom0-beta.example.org\",\"host\":\"dom0-beta\",\"version\":\"0.1.0\",\"you\":\"dom0-alpha\"}}";
    lab.with(|f| {
        f.quirks.push(Quirk::Instead {
            host: A.into(),
            begins: "ssh".into(),
            times: u32::MAX,
            code: 0,
            out: format!("You have new mail.\n{pong}\n"),
            err: String::new(),
        })
    });
    refused(&lab, A, &["xen-migrate", "ping", "dom0-beta"], 4, &["You have new mail.", "/root/.bashrc"]);
}

#[test]
fn what_setup_says_can_be_done_and_works() {
    let lab = pair();
    for host in [A, B] {
        lab.with(|f| {
            let files = &mut f.host_mut(host).files;
            for file in ["authorized_keys", &format!("xen-migrate-{host}"), &format!("xen-migrate-{host}.pub")] {
                files.remove(&format!("/root/.ssh/{file}"));
            }
        });
    }
    refused(&lab, A, &["xen-migrate", "ping", "dom0-beta"], 4, &["xen-migrate setup dom0-beta"]);
    for (host, peer) in [(A, B), (B, A)] {
        let ran = lab.run(host, &["xen-migrate", "setup", peer]);
        let line = ran.out.lines().find(|l| l.contains("command=")).expect("the line").to_string();
        let before = lab.file(peer, "/root/.ssh/authorized_keys").unwrap_or_default();
        lab.put(peer, "/root/.ssh/authorized_keys", &format!("{before}{line}\n"));
        let ping = lab.run(host, &["xen-migrate", "ping", peer]);
        assert_eq!(ping.code, 0, "{}", ping.err);
        // Again: already so.
        let again = lab.run(host, &["xen-migrate", "setup", peer]);
        assert_eq!(again.code, 0, "{}{}", again.out, again.err);
    }
    assert_eq!(migrate(&lab).code, 0);
    assert_eq!(lab.run(A, &["xen-migrate", "reverse", "web"]).code, 0);
}

// What the peer asks of us.

/// Runs migrate2 on a host as sshd would, with this request from this address.
fn ask(lab: &Lab, host: &str, request: Option<&str>, from: &str, argv: &[&str]) -> Ran {
    let around = Surroundings {
        ssh_original_command: request.map(str::to_string),
        ssh_connection: Some(format!("{from} 40022 192.0.2.2 22")),
        terminal: false,
        drawing: false,
    };
    lab.set_applets(move |world, argv, _| applets::run(world, argv, &around));
    let ran = lab.run(host, argv);
    lab.set_applets(|world, argv, around| applets::run(world, argv, around));
    ran
}

#[test]
fn hostile_requests_change_nothing() {
    let pieces = [
        "xen-migrate/1",
        "xen-migrate/2",
        "from=dom0-alpha",
        "from=dom0-gamma",
        "from=",
        "ping",
        "look",
        "do",
        "send",
        "settle",
        "receive",
        "web",
        "-x",
        "open=web",
        "close=web",
        "expect=web",
        "expect=web@dom0-gamma",
        "primary=web",
        "secondary=web",
        "connect=web",
        "destroy-incoming=1",
        "destroy=1",
        "adopt=1",
        "unpause=1",
        "end-receiving",
        "arrived",
        "release",
        "xl",
        "destroy",
        "create",
        "migrate-receive",
        "migrate-receive;id",
        "-t",
        "-e",
        ";",
        "$(id)",
        "`id`",
        "|",
        "&&",
        "||",
        ">",
        "\n",
        "\0",
        "'",
        "\"",
        "--",
        "ALL",
        "../x",
        "é",
        "%s",
        "~",
        "*",
        "\t",
        "=",
        "--live",
        "-C",
        "/etc/passwd",
        "sh",
        "-c",
        "\u{1b}[2J",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let lab = pair();
    let before = picture(&lab);
    // A harmless one is answered, so that the refusals below mean something.
    assert_eq!(ask(&lab, B, Some("xen-migrate/1 from=dom0-alpha look web"), "192.0.2.1", &["migrate2"]).code, 0);
    let (mut asked, mut understood) = (0, 0);
    while asked < 4_000 {
        let mut text = String::from(
            [
                "xen-migrate/1 ",
                "xen-migrate/1 from=dom0-alpha ",
                "xen-migrate/1 from=dom0-gamma do web ",
                "xen-migrate/1 from=dom0-alpha look ",
                "xl ",
                "",
            ][roll(6)],
        );
        for _ in 0..roll(6) + 1 {
            text += pieces[roll(pieces.len())];
            text += ["", " ", " ", "  "][roll(4)];
        }
        // Alpha's own address, a stranger's, an address of the pair that is not the one of the name, none.
        let address = ["192.0.2.1", "198.51.100.7", "192.0.2.2", "nonsense", "fe80::1%eth0"][roll(5)];
        let parsed = request::parse(Some(&text));
        // What alpha itself may well ask for is no attack.
        if let Ok(request) = &parsed
            && (request.from.is_none() || address == "192.0.2.1")
            && !matches!(request.wish, request::Wish::Ping | request::Wish::Look { .. })
            && request.from.as_ref().is_none_or(|f| f.as_str() == "dom0-alpha")
        {
            continue;
        }
        asked += 1;
        understood += usize::from(parsed.is_ok());
        let argv: &[&str] =
            [&["migrate2"][..], &["xen-migrate", "migrate2"], &["xen-migrate", "migrate2", "--peer", "dom0-alpha"]][roll(3)];
        // A key that is bound to alpha asks as alpha, whatever the address.
        if argv.len() == 4
            && let Ok(request) = &parsed
            && request.from.as_ref().is_none_or(|f| f.as_str() == "dom0-alpha")
        {
            continue;
        }
        let ran = ask(&lab, B, Some(&text), address, argv);
        let harmless = matches!(&parsed, Ok(r) if matches!(r.wish, request::Wish::Ping | request::Wish::Look { .. }));
        assert!(
            ran.code == 3 || (ran.code == 0 && harmless),
            "{text:?} from {address}: exit {} {}{}",
            ran.code,
            ran.out,
            ran.err
        );
        assert!(!ran.err.chars().chain(ran.out.chars()).any(|c| c.is_control() && c != '\n'), "{text:?}: {:?}", ran.err);
        assert!(ran.code == 0 || ran.err.contains("refused"), "{text:?}: {}", ran.err);
        if asked % 50 == 0 {
            same(&before, &picture(&lab), &format!("after {text:?} from {address}"));
        }
    }
    same(&before, &picture(&lab), "");
    assert!(lab.findings().is_empty());
    assert!(understood > 20, "the generator never hits: {understood}");
    // Every refusal is in the log.
    assert!(lab.syslog(B).iter().filter(|l| l.contains("refused")).count() > asked / 2);
}

#[test]
fn nearly_right_requests_are_refused_one_by_one() {
    let lab = pair();
    for (from, request) in [
        ("192.0.2.1", None),
        ("192.0.2.1", Some("")),
        ("192.0.2.1", Some("bash -i")),
        ("192.0.2.1", Some("scp -t /etc/xen")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-beta ping")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-gamma look web")),
        ("198.51.100.7", Some("xen-migrate/1 from=dom0-alpha ping")),
        ("192.0.2.1", Some("xen-migrate/1 ping")),
        // It is not on its way here.
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web open=web")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web primary=web")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web secondary=web")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web connect=web")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web adopt=1")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web unpause=1")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web destroy-incoming=1")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web arrived")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web release")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha do web end-receiving")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha settle web")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha send web --live")),
        ("192.0.2.1", Some("xen-migrate/1 from=dom0-alpha receive web dom0-beta xl migrate-receive")),
    ] {
        let before = picture(&lab);
        let ran = ask(&lab, B, request, from, &["migrate2"]);
        assert_eq!(ran.code, 3, "{request:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains("refused: "), "{request:?}: {}", ran.err);
        same(&before, &picture(&lab), &format!("{request:?}"));
    }
}

/// On the host where it runs: the partner that the table lists may ask for it, and only to itself; nobody else may.
#[test]
fn only_a_partner_can_have_a_domu_sent_and_only_with_harmless_options() {
    for request in [
        "xen-migrate/1 from=dom0-beta send web -s evil",
        "xen-migrate/1 from=dom0-beta send web -C /tmp/evil.cfg",
        "xen-migrate/1 from=dom0-beta send web -p",
        "xen-migrate/1 from=dom0-beta send web dom0-gamma",
        "xen-migrate/1 from=dom0-beta send mail --live",
        "xen-migrate/1 from=dom0-beta send Domain-0",
    ] {
        let lab = pair();
        let before = picture(&lab);
        let ran = ask(&lab, A, Some(request), "192.0.2.2", &["migrate2"]);
        assert_eq!(ran.code, 3, "{request:?}: {}{}", ran.out, ran.err);
        same(&before, &picture(&lab), &format!("{request:?}: {}", ran.err));
    }
}

// The record.

const GOOD: &str = "# Where the domUs of this Dom0 went. Written by xen-migrate; look with `xen-migrate status ALL`.\n\
                    # version 1\n\
                    mail                     away      dom0-beta            2026-01-01T00:00:00Z open=mail home=dom0-alpha\n\
                    # EOF rows=1\n";

#[test]
fn a_record_that_is_cut_off_anywhere_permits_nothing() {
    let lab = pair();
    let whole = GOOD.trim_end().len();
    for at in 0..whole {
        lab.put(A, RECORD, &GOOD[..at]);
        for argv in [&["xen-migrate", "migrate", "web"][..], &["xen-migrate", "recover"], &["xen-migrate", "status"]] {
            refused(&lab, A, argv, 2, &[&format!("{RECORD}:"), "nothing was done", "xl list", "xen-migrate status ALL"]);
        }
    }
    lab.put(A, RECORD, &GOOD[..whole]);
    assert_eq!(migrate(&lab).code, 0, "a missing last newline is no fault");
}

#[test]
fn a_record_that_means_nothing_certain() {
    for (text, place, says) in [
        ("", ":1:1:", "the record is empty"),
        ("\n\n", ":1:1:", "the record is empty"),
        ("# version 2\nweb away dom0-beta 2026-01-01T00:00:00Z\n# EOF rows=1\n", ":1:3:", "newer xen-migrate"),
        ("# version 1\nweb asleep dom0-beta 2026-01-01T00:00:00Z\n# EOF rows=1\n", ":2:5:", "asleep"),
        ("# version 1\nweb away dom0-beta yesterday\n# EOF rows=1\n", ":2:20:", "yesterday"),
        (
            "# version 1\nweb away dom0-beta 2026-01-01T00:00:00Z\nweb away dom0-beta 2026-01-01T00:00:00Z\n# EOF rows=2\n",
            ":3:1:",
            "twice",
        ),
        ("# version 1\nweb away $(id) 2026-01-01T00:00:00Z\n# EOF rows=1\n", ":2:10:", "$(id)"),
        ("# version 1\nweb away dom0-beta 2026-01-01T00:00:00Z shut=web\n# EOF rows=1\n", ":2:41:", "shut=web"),
        ("# version 1\n# EOF rows=1\n", ":2:", "should have 1 rows"),
        ("\u{1b}[2J\n", ":1:", "nothing was done"),
    ] {
        let lab = pair();
        lab.put(A, RECORD, text);
        refused(&lab, A, &["xen-migrate", "migrate", "web"], 2, &[&format!("{RECORD}{place}"), says, "nothing was done"]);
        refused(&lab, A, &["xen-migrate", "status"], 2, &[says]);
        // The other end does not go on behind its back either.
        lab.put(B, TABLE, "web dom0-alpha --live\n");
        let ran = lab.run(B, &["xen-migrate", "reverse", "web"]);
        assert_ne!(ran.code, 0, "{}", ran.out);
        assert_eq!(lab.file(A, RECORD).as_deref(), Some(text));
        // The advice: looked everywhere, moved away.
        lab.with(|f| f.host_mut(A).files.remove(RECORD));
        assert_eq!(lab.run(A, &["xen-migrate", "status", "ALL"]).code, 0);
        assert_eq!(migrate(&lab).code, 0);
    }
}

#[test]
fn a_faulty_record_at_the_peer_stops_it_here_before_anything_moves() {
    let lab = pair();
    lab.put(B, RECORD, "# version 2\n# EOF rows=0\n");
    let before = picture(&lab);
    let ran = migrate(&lab);
    assert!([3, 4].contains(&ran.code), "{}", ran.err);
    assert!(ran.err.contains("newer xen-migrate") && ran.err.contains("dom0-beta"), "{}", ran.err);
    same(&before, &picture(&lab), "");
}

#[test]
fn a_record_that_cannot_be_written_stops_it_before_anything_moves() {
    for (kind, says) in [(io::ErrorKind::ReadOnlyFilesystem, "read-only"), (io::ErrorKind::StorageFull, "no storage space")] {
        for host in [A, B] {
            let lab = pair();
            let trouble = Trouble::on(&lab);
            trouble.unwritable(host, RECORD, kind, 0);
            let ran = migrate(&lab);
            let text = format!("{}{}", ran.err, ran.out);
            assert_eq!(ran.code, 1, "{host} {kind}: {text}");
            assert!(text.contains(RECORD) && text.to_lowercase().contains(says), "{host} {kind}: {text}");
            assert_eq!(lab.runs_on("web"), [A]);
            assert_eq!((lab.options(A, "web").0, lab.options(B, "web").0), (false, false), "the window was opened: {text}");
            assert!(lab.findings().is_empty());
            // The disk has room again: what is left is settled, and it goes.
            trouble.mend();
            let recover = lab.run(A, &["xen-migrate", "recover", "web"]);
            assert_eq!(recover.code, 0, "{host} {kind}: {}{}", recover.err, recover.out);
            let ran = migrate(&lab);
            assert_eq!(ran.code, 0, "{host} {kind}: {}", ran.err);
        }
    }
}

/// The disk fills up later: after so many writes of the record at this end.
#[test]
fn a_record_that_cannot_be_written_any_more_loses_nothing() {
    the_disk_fills_up(A);
}

#[test]
fn a_peers_record_that_cannot_be_written_any_more_loses_nothing() {
    the_disk_fills_up(B);
}

fn the_disk_fills_up(host: &str) {
    for after in 1..6 {
        let lab = pair();
        let trouble = Trouble::on(&lab);
        trouble.unwritable(host, RECORD, io::ErrorKind::StorageFull, after);
        let ran = migrate(&lab);
        if ran.code == 0 {
            assert!(after > 1, "it is written twice at least");
            continue;
        }
        let text = format!("{}{}", ran.err, ran.out);
        assert!([1, 5].contains(&ran.code), "{host} {after}: {} {text}", ran.code);
        assert!(text.contains(RECORD), "{host} {after}: {text}");
        assert!(text.contains("xen-migrate recover web"), "{host} {after}: no advice: {text}");
        assert_eq!(lab.runs_on("web").len(), 1, "{host} {after}");
        // While it is still full, nothing gets worse.
        lab.run(A, &["xen-migrate", "recover", "web"]);
        assert_eq!(lab.runs_on("web").len(), 1, "{host} {after}");
        trouble.mend();
        let recover = lab.run(A, &["xen-migrate", "recover", "web"]);
        assert_eq!(recover.code, 0, "{host} {after}: {}{}", recover.err, recover.out);
        let place = lab.runs_on("web");
        for end in [A, B] {
            assert_eq!(lab.options(end, "web"), (false, "dont-care".to_string()), "{host} {after}: {end}");
            let record = lab.file(end, RECORD).unwrap_or_default();
            assert!(
                !["leaving", "arriving", "open="].iter().any(|w| record.lines().any(|l| !l.starts_with('#') && l.contains(w))),
                "{host} {after}: {text}\nrecover: {}{}\n{end}: {record}",
                recover.err,
                recover.out
            );
        }
        let verb = if place == [A] { "migrate" } else { "reverse" };
        let next = lab.run(A, &["xen-migrate", verb, "web"]);
        assert_eq!(next.code, 0, "{host} {after}: {}", next.err);
        assert!(lab.findings().is_empty(), "{:?}", lab.findings());
    }
}

#[test]
fn locks_that_cannot_be_made() {
    let lab = pair();
    let trouble = Trouble::on(&lab);
    trouble.no_locks(A, io::ErrorKind::StorageFull);
    refused(&lab, A, &["xen-migrate", "migrate", "web"], 1, &["the lock of web could not be taken", "no storage space"]);
}

// The tools.

fn instead(lab: &Lab, host: &str, begins: &str, code: i32, err: &str) {
    let quirk =
        Quirk::Instead { host: host.into(), begins: begins.into(), times: u32::MAX, code, out: String::new(), err: err.into() };
    lab.with(|f| f.quirks.push(quirk));
}

const NO_HYPERVISOR: &str = "xencall: error: Could not obtain handle on privileged command interface: No such file or directory\n\
                             libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: No such file or directory\n\
                             cannot init xl context\n";
const NO_MODULE: &str = "modprobe: ERROR: could not insert 'drbd': Unknown symbol in module, or unknown parameter (see dmesg)\n\
                         Failed to modprobe drbd (No such file or directory)\n";
const BROKEN_CONF: &str = "drbd.d/web.res:3: Parse error: 'protocol | device | disk' expected,\n\tbut got 'devise' (TK 281)\n";

#[test]
fn tools_that_are_missing_or_broken_at_this_end() {
    type Break = fn(&Lab, &str);
    let breaks: [(&str, Break, &str); 6] = [
        ("no xl", |lab, host| lab.with(|f| f.host_mut(host).xl = None), "xl"),
        ("no hypervisor", |lab, host| instead(lab, host, "xl", 1, NO_HYPERVISOR), "privileged command interface"),
        (
            "no module",
            |lab, host| {
                // As drbd-utils 9.22 answer without the module: it is 8.4 by their version of the interface, and nothing is up.
                Trouble::on(lab).unreadable("/proc/drbd", io::ErrorKind::NotFound);
                instead(lab, host, "drbdsetup", 20, NO_MODULE);
            },
            "drbd",
        ),
        ("broken drbd.conf", |lab, host| instead(lab, host, "drbdadm dump-xml", 10, BROKEN_CONF), "drbd.d/web.res:3"),
        (
            "no drbd.conf",
            |lab, host| instead(lab, host, "drbdadm", 10, "Can not open '/etc/drbd.conf': No such file or directory\n"),
            "drbd.conf",
        ),
        (
            "xl hangs",
            |lab, host| lab.with(|f| f.quirks.push(Quirk::Hangs { host: host.into(), begins: "xl".into(), times: u32::MAX })),
            "no answer within",
        ),
    ];
    for (name, spoil, says) in breaks {
        // Here.
        let lab = pair();
        spoil(&lab, A);
        let before = picture(&lab);
        let ran = migrate(&lab);
        assert!([1, 3].contains(&ran.code), "{name} here: exit {} {}", ran.code, ran.err);
        assert!(ran.err.contains(says) && ran.err.contains("nothing was touched"), "{name} here: {}", ran.err);
        same(&before, &picture(&lab), &format!("{name} here: {}", ran.err));
        // Only looking is not refused where something can be seen, and says what cannot.
        let status = lab.run(A, &["xen-migrate", "status"]);
        assert!(format!("{}{}", status.err, status.out).contains(says), "{name}: {}{}", status.err, status.out);
        same(&before, &picture(&lab), "");

        // There.
        let lab = pair();
        spoil(&lab, B);
        let before = picture(&lab);
        let ran = migrate(&lab);
        assert!([3, 4].contains(&ran.code), "{name} there: exit {} {}", ran.code, ran.err);
        assert!(ran.err.contains(says) && ran.err.contains(B), "{name} there: {}", ran.err);
        same(&before, &picture(&lab), &format!("{name} there: {}", ran.err));
        assert_eq!(lab.runs_on("web"), [A]);
    }
}

/// They break in mid-flight: when both ends are looked at again after the migration.
#[test]
fn tools_that_break_while_it_flies_leave_a_record_that_recover_settles() {
    for (begins, err) in
        [("xl vm-list", NO_HYPERVISOR), ("xl", NO_HYPERVISOR), ("drbdsetup", NO_MODULE), ("drbdadm dump-xml", BROKEN_CONF)]
    {
        for host in [A, B] {
            let lab = pair();
            let quirk = Quirk::Instead {
                host: host.into(),
                begins: begins.into(),
                times: u32::MAX,
                code: 1,
                out: String::new(),
                err: err.into(),
            };
            lab.inject(When::Stage("web".into(), xen_drbd::lab::Stage::Destroyed), Deed::Arm(quirk.clone()));
            let ran = migrate(&lab);
            assert_eq!(lab.planned(), 0);
            assert!([1, 5].contains(&ran.code), "{begins} on {host}: exit {}: {}{}", ran.code, ran.err, ran.out);
            assert_eq!(lab.runs_on("web"), [B]);
            let text = format!("{}{}", ran.err, ran.out);
            assert!(text.contains("xen-migrate recover web"), "{begins} on {host}: no advice: {text}");
            lab.perform(&Deed::Disarm(quirk), None);
            let recover = lab.run(A, &["xen-migrate", "recover", "web"]);
            assert_eq!(recover.code, 0, "{begins} on {host}: {}{}", recover.err, recover.out);
            assert_eq!(lab.run(A, &["xen-migrate", "reverse", "web"]).code, 0);
            assert!(lab.findings().is_empty(), "{begins} on {host}: {:?}", lab.findings());
        }
    }
}

/// The look after a journey back fails: something was touched, so nobody may say that nothing was.
#[test]
fn a_look_that_fails_after_a_reverse_does_not_say_that_nothing_was_touched() {
    let lab = pair();
    assert_eq!(migrate(&lab).code, 0);
    let quirk = Quirk::Instead {
        host: A.into(),
        begins: "xl".into(),
        times: u32::MAX,
        code: 1,
        out: String::new(),
        err: NO_HYPERVISOR.into(),
    };
    lab.inject(When::Stage("web".into(), xen_drbd::lab::Stage::Destroyed), Deed::Arm(quirk.clone()));
    let ran = lab.run(A, &["xen-migrate", "reverse", "web"]);
    assert_eq!(lab.planned(), 0);
    assert_eq!(ran.code, 5, "{}{}", ran.err, ran.out);
    let (_, end) = ran.err.rsplit_once("xen-migrate: ").expect("its last words");
    assert!(end.contains("xen-migrate recover web") && !end.contains("nothing was"), "{end}");
    lab.perform(&Deed::Disarm(quirk), None);
    for end in [B, A] {
        lab.run(end, &["xen-migrate", "recover", "web"]);
    }
    assert_eq!(lab.runs_on("web"), [A]);
    assert!(lab.findings().is_empty(), "{:?}", lab.findings());
}
