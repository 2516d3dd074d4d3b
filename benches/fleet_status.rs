//! What `xen-migrate status ALL --fleet` costs beside the tools that it calls, and beside a shell loop that asks for each domU.
//!
//! ```text
//! cargo bench --bench fleet_status                 1,000 domUs on 20 peers, ssh takes 100 ms
//! SSH_MS=0 DOMUS=100 PEERS=4 ROUNDS=5 cargo bench --bench fleet_status
//! ```
//!
//! The tools are stand-ins: shell scripts that print what the real ones of Xen 4.17 and DRBD 9 would, as fast as a shell can; `ssh` waits
//! as long as a handshake takes and prints what the peer's xen-migrate would. So only our own part is measured:
//!
//! * **tools alone**: the very same calls by a shell, those to the peers all at once. Aim: at most 1.3 times that.
//! * **a loop**: one ssh a domU with `xl list DOMU` in it, measured for some and counted for all. Aim: 50 times faster than that.
//!
//! A figure that misses its aim ends it with exit 1, so that it can be asked for by a script; as wall time on a busy machine means
//! little, no test does.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use xen_drbd::adapters::peer::Answer;
use xen_drbd::core::drbd::{Connection, Disk, Peer, PeerVolume, Replica, Replication, Role, Volume};
use xen_drbd::core::facts::PROTOCOL;
use xen_drbd::core::record::Moment;
use xen_drbd::core::survey::{Config, Survey};
use xen_drbd::core::xen::{Domain, DomainState, Toolstack};

/// So many domUs of the loop are asked for in earnest.
const LOOPED: usize = 20;

fn main() -> ExitCode {
    let number = |name: &str, default: usize| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (domus, peers, rounds) = (number("DOMUS", 1000), number("PEERS", 20).max(1), number("ROUNDS", 7).max(1));
    let ssh = Duration::from_millis(number("SSH_MS", 100) as u64);
    let fleet = Fleet::new(domus, peers, ssh);

    let shown = fleet.ours();
    let lines = shown.lines().filter(|l| l.contains(" running ")).count();
    assert_eq!(lines, domus, "every domU is shown where it runs:\n{shown}");

    let ours = median(rounds, || drop(fleet.ours()));
    let tools = median(rounds, || fleet.tools());
    let looped = median(rounds.min(3), || fleet.looped());
    let all = looped.mul_f64(domus as f64 / LOOPED as f64);
    let (ratio, faster) = (ours.as_secs_f64() / tools.as_secs_f64(), all.as_secs_f64() / ours.as_secs_f64());
    println!("{domus} domUs on {peers} peers, ssh takes {} ms; the median of {rounds} rounds", ssh.as_millis());
    println!("  xen-migrate status ALL --fleet   {:8.1} ms", ms(ours));
    println!("  its tools alone                  {:8.1} ms    ratio {ratio:.2} (aim: 1.3 at most)", ms(tools));
    println!("  a loop, one ssh a domU           {:8.1} ms    {faster:.0} times as long (aim: 50 at least)", ms(all));
    ExitCode::from(u8::from(ratio > 1.3 || faster < 50.0))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(rounds: usize, what: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            what();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

/// A Dom0 whose table names them all, and its stand-in tools.
struct Fleet {
    /// Goes with its end.
    _folder: tempfile::TempDir,
    root: PathBuf,
    tools: PathBuf,
    domus: Vec<(String, String)>,
    peers: Vec<String>,
}

impl Fleet {
    fn new(domus: usize, peers: usize, ssh: Duration) -> Fleet {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, tools) = (folder.path().join("root"), folder.path().join("tools"));
        let peers: Vec<String> = (1..=peers).map(|n| format!("dom0-{n:02}")).collect();
        let domus: Vec<(String, String)> = (0..domus).map(|n| (format!("domu-{n:04}"), peers[n % peers.len()].clone())).collect();
        let put = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        let (mut table, mut events, mut dump) =
            (String::new(), String::new(), String::from("<config file=\"/etc/drbd.conf\">\n<common/>\n"));
        for (n, (domu, peer)) in domus.iter().enumerate() {
            let _ = writeln!(table, "{domu}  {peer}  --live");
            let text = format!("name = \"{domu}\"\nmemory = 512\ndisk = [ 'drbd:{domu},xvda,w' ]\n");
            put(root.join(format!("etc/xen/{domu}.cfg")), &text);
            let key = format!("name:{domu} peer-node-id:1 conn-name:{peer}");
            let _ = writeln!(events, "exists resource name:{domu} role:Secondary suspended:no");
            let _ = writeln!(events, "exists connection {key} connection:Connected role:Primary");
            let _ = writeln!(events, "exists device name:{domu} volume:0 minor:{n} disk:UpToDate");
            let _ = writeln!(
                events,
                "exists peer-device {key} volume:0 replication:Established peer-disk:UpToDate resync-suspended:no"
            );
            let volume =
                format!("<volume vnr=\"0\"><device minor=\"{n}\">/dev/drbd{n}</device><disk>/dev/vg0/{domu}</disk></volume>");
            let _ = writeln!(
                dump,
                "<resource name=\"{domu}\">\n<host name=\"dom0-00\">{volume}</host>\n<host name=\"{peer}\">{volume}</host>\n</resource>"
            );
        }
        events += "exists -\n";
        dump += "</config>\n";
        put(root.join("etc/xen/migrate-tab.txt"), &table);
        put(root.join("root/.ssh/xen-migrate-dom0-00"), "a key\n");
        put(root.join("proc/drbd"), "version: 9.2.16 (api:2/proto:118-122)\nTransports (api:21): tcp (9.2.16)\n");
        put(tools.join("events"), &events);
        put(tools.join("dump"), &dump);
        put(
            tools.join("list"),
            "Name                                        ID   Mem VCPUs\tState\tTime(s)\nDomain-0                                     0  4096     2     r-----     10.0\n",
        );
        for peer in &peers {
            let here: Vec<&str> = domus.iter().filter(|(_, p)| p == peer).map(|(d, _)| d.as_str()).collect();
            put(tools.join(format!("{peer}.answer")), &(Answer::Survey(Box::new(survey(peer, &here))).line() + "\n"));
        }
        let place = tools.display();
        for (name, text) in [
            ("hostname", "echo dom0-00".to_string()),
            ("xl", format!("exec cat {place}/list")),
            ("drbdadm", format!("exec cat {place}/dump")),
            ("drbdsetup", format!("exec cat {place}/events")),
            // The host is the last word but one.
            ("ssh", format!("while [ $# -gt 2 ]; do shift; done; sleep {}; exec cat {place}/$1.answer", ssh.as_secs_f64())),
        ] {
            put(tools.join(name), &format!("#!/bin/sh\n{text}\n"));
            fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).expect("executable");
        }
        Fleet { _folder: folder, root, tools, domus, peers }
    }

    /// The verb itself.
    fn ours(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_xen-drbd"))
            .args(["xen-migrate", "--root"])
            .arg(&self.root)
            .arg("--path")
            .arg(&self.tools)
            .args(["status", "ALL", "--fleet"])
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The same calls and nothing else.
    fn tools(&self) {
        let mut script = String::from("hostname; xl list; drbdadm dump-xml --dry-run; drbdsetup events2 --now;\n");
        for peer in &self.peers {
            let _ = writeln!(script, "ssh {peer} survey & ");
        }
        self.shell(&(script + "wait"));
    }

    /// What one types who has no such verb, for some of the domUs.
    fn looped(&self) {
        let mut script = String::new();
        for (domu, peer) in self.domus.iter().take(LOOPED) {
            let _ = writeln!(script, "ssh {peer} 'xl list {domu}'");
        }
        self.shell(&script);
    }

    fn shell(&self, script: &str) {
        let path = format!("{}:{}", self.tools.display(), std::env::var("PATH").unwrap_or_default());
        let status =
            Command::new("sh").args(["-c", script]).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(status.expect("a shell").success());
    }
}

/// What a peer answers that runs these domUs.
fn survey(host: &str, domus: &[&str]) -> Survey {
    let state = DomainState { running: false, blocked: true, paused: false, shutdown: None, dying: false };
    let replica = |domu: &str| Replica {
        resource: domu.parse().expect("a name"),
        role: Role::Primary,
        volumes: vec![Volume { number: 0, minor: Some(1), disk: Disk::UpToDate, quorum: Some(true) }],
        peers: vec![Peer {
            name: "dom0-00".into(),
            connection: Connection::Connected,
            role: Role::Secondary,
            volumes: vec![PeerVolume { number: 0, disk: Disk::UpToDate, replication: Replication::Established }],
        }],
        may_promote: Some(false),
        strange: None,
    };
    let config = |domu: &str| Config {
        domu: domu.parse().expect("a name"),
        path: format!("/etc/xen/{domu}.cfg"),
        resources: vec![domu.parse().expect("a name")],
        also: vec![],
    };
    Survey {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        host: host.parse().expect("a name"),
        toolstack: Toolstack::Xl,
        now: Moment(0),
        domains: domus
            .iter()
            .enumerate()
            .map(|(n, domu)| Domain { name: domu.to_string(), id: n as u32 + 1, memory: 512, state: state.clone(), uuid: None })
            .collect(),
        replicas: domus.iter().map(|d| replica(d)).collect(),
        configs: domus.iter().map(|d| config(d)).collect(),
        rows: vec![],
        listed: vec![],
        unseen: vec![],
        unshown: vec![],
        health: None,
    }
}
