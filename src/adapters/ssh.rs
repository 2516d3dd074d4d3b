//! What we say to `ssh`, and what its complaints mean.
//!
//! The argument list is the careful one of facts 7.3: no config file of anybody's, one key, no agent, no tty, nothing forwarded,
//! host keys checked, a dead line noticed within 15 seconds, and `--` before the host.

use super::{Call, World};
use crate::core::names::HostName;
use std::path::Path;

/// The file that an operator may write when the peers are reached otherwise (port, address of the migration network, user):
/// used as `ssh -F`. Without it no config file is read.
pub const CONFIG: &str = "/root/.ssh/xen-migrate.config";

/// Root's own list of host keys.
const KNOWN_HOSTS: &str = "/root/.ssh/known_hosts";

fn has_config(world: &dyn World) -> bool {
    world.read(Path::new(CONFIG)).is_ok()
}

/// The dedicated key of a Dom0.
pub fn key(host: &HostName) -> String {
    format!("/root/.ssh/xen-migrate-{host}")
}

/// Whether the dedicated key is there.
pub fn has_key(world: &dyn World, host: &HostName) -> bool {
    world.read(Path::new(&key(host))).is_ok()
}

/// Whether the dedicated key is there and has a passphrase. Nobody is there to type it, and ssh says only "Permission denied" then.
///
/// OpenSSH's own format names the cipher in front of everything else (`PROTOCOL.key`); the older PEM ones say so in plain words.
pub fn has_passphrase(world: &dyn World, host: &HostName) -> bool {
    world.read(Path::new(&key(host))).is_ok_and(|bytes| is_encrypted(&String::from_utf8_lossy(&bytes)))
}

fn is_encrypted(key: &str) -> bool {
    // "openssh-key-v1", and "none" with its length before it, in base64.
    const OPEN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    let mut lines = key.lines().skip_while(|line| !line.starts_with("-----BEGIN "));
    match lines.next() {
        Some("-----BEGIN OPENSSH PRIVATE KEY-----") => !lines.next().is_some_and(|line| line.starts_with(OPEN)),
        Some(begin) => {
            begin.contains("ENCRYPTED") || lines.any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
        }
        None => false,
    }
}

/// Everything up to and with the peer's name: the request follows. `us` is this Dom0.
pub fn words(world: &dyn World, us: &HostName, peer: &HostName) -> Vec<String> {
    let config = match has_config(world) {
        true => world.told(CONFIG),
        false => "none".to_string(),
    };
    let key = world.told(&key(us));
    let known = world.told(KNOWN_HOSTS);
    let mut words = vec!["-F".to_string(), config];
    words.extend(["-T", "-x", "-a", "-l", "root", "-i"].map(String::from));
    words.push(key);
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PasswordAuthentication=no",
        "ConnectTimeout=10",
        "ConnectionAttempts=1",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "ControlMaster=no",
        "ControlPath=none",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "LogLevel=ERROR",
    ] {
        words.push("-o".to_string());
        words.push(option.to_string());
    }
    words.push("-o".to_string());
    // A list of files with blanks between them, each in double quotes where it has one itself (ssh_config(5)).
    let known = if known.contains(char::is_whitespace) { format!("\"{known}\"") } else { known };
    words.push(format!("UserKnownHostsFile={known}"));
    words.push("--".to_string());
    words.push(peer.to_string());
    words
}

/// How the operator's own config ([`CONFIG`]) says that a peer is reached, by `ssh -G`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// `HostName`: the name or address that is connected to.
    pub host: Option<String>,
    /// `BindAddress`: the address that we come from.
    pub bind: Option<String>,
    /// Through another host or a program: the peer sees that one's address.
    pub relayed: bool,
}

/// What the operator's config says; `None` without one, or where ssh cannot tell (before OpenSSH 6.8 it has no `-G`).
pub fn route(world: &dyn World, peer: &HostName) -> Option<Route> {
    if !has_config(world) {
        return None;
    }
    let output = world.run(&Call::new("ssh", ["-F", &world.told(CONFIG), "-G", "--", peer.as_str()])).ok()?;
    output.ok().then(|| Route::of(&output.stdout))
}

impl Route {
    fn of(shown: &str) -> Route {
        let value = |name: &str| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map(str::trim).filter(|value| !value.is_empty() && *value != "none").map(str::to_string)
        };
        let relayed = value("proxyjump").is_some() || value("proxycommand").is_some();
        Route { host: value("hostname"), bind: value("bindaddress"), relayed }
    }
}

/// A request to a peer.
pub fn call(world: &dyn World, us: &HostName, peer: &HostName, request: &str) -> Call {
    let mut args = words(world, us, peer);
    args.push(request.to_string());
    Call::new("ssh", args)
}

/// What ssh complained of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The peer does not take our key, or not from this address.
    NotAuthorised,
    /// The peer's host key is unknown.
    HostKey,
    /// The peer's host key is not the one we know.
    HostKeyChanged,
    /// Our key file may be read by others.
    KeyMode,
    /// Our key has a passphrase ([`has_passphrase`]); ssh does not say so.
    Passphrase,
    /// The name means nothing.
    NoSuchHost,
    /// No answer at all: no way there, or nothing came back in time.
    Unreachable,
    /// The machine there has answered, and no session came of it: the connection was refused, or cut before we were let in.
    NoSession,
    /// There is no ssh here, so nobody was asked.
    NoClient,
}

/// How a connection ends that nothing has answered, in the words of `strerror`. `Connection refused` is not among them: a kernel said it.
const SILENCES: [&str; 6] = [
    "Connection timed out",
    "Operation timed out",
    "No route to host",
    "Host is down",
    "Network is unreachable",
    "Network is down",
];

impl Trouble {
    /// Nothing was heard of the peer. Everything else is a sign of life, or says nothing of it.
    pub fn is_silence(self) -> bool {
        matches!(self, Trouble::Unreachable | Trouble::NoSuchHost)
    }

    /// Reads ssh's standard error after exit 255 (OpenSSH 9.2; the words are those of `ssh.c`, `sshconnect.c`, `authfile.c`).
    ///
    /// `None`: ssh does not say that it never got in. So the request may have been heard, and anything may have been done. What the peer
    /// itself said comes the same way and may quote another ssh; but whoever was not let in has ssh's complaint for the last word.
    pub fn of(stderr: &str) -> Option<Trouble> {
        let says = |words: &str| stderr.contains(words);
        let last = stderr.lines().map(str::trim_end).rfind(|line| !line.is_empty())?;
        if last.starts_with("root@") && last.contains(": Permission denied (") {
            let mode = says("UNPROTECTED PRIVATE KEY FILE") || says("bad permissions");
            Some(if mode { Trouble::KeyMode } else { Trouble::NotAuthorised })
        } else if last == "Host key verification failed." {
            let changed = says("REMOTE HOST IDENTIFICATION HAS CHANGED");
            Some(if changed { Trouble::HostKeyChanged } else { Trouble::HostKey })
        } else if last.starts_with("Disconnected from ") && says("Too many authentication failures") {
            Some(Trouble::NotAuthorised)
        } else if last.starts_with("ssh: Could not resolve hostname ") {
            Some(Trouble::NoSuchHost)
        } else if last.starts_with("ssh: connect to host ") {
            let silent = SILENCES.iter().any(|words| last.ends_with(&format!(": {words}")));
            Some(if silent { Trouble::Unreachable } else { Trouble::NoSession })
        } else if last.ends_with(" during banner exchange") || stderr.starts_with("kex_exchange_identification: ") {
            Some(Trouble::NoSession)
        } else {
            None
        }
    }

    /// What to type next.
    pub fn advice(self, world: &dyn World, us: &HostName, peer: &HostName) -> String {
        // By hand the same host must be reached.
        let by_hand = match has_config(world) {
            true => format!("ssh -F {CONFIG} root@{peer}"),
            false => format!("ssh root@{peer}"),
        };
        match self {
            Trouble::NotAuthorised => format!(
                "xen-migrate setup {peer}   (shows the line that must stand in /root/.ssh/authorized_keys on {peer}; is its from= our address?)"
            ),
            Trouble::HostKey => format!("{by_hand}   (once, by hand: compare the fingerprint before you say yes)"),
            Trouble::HostKeyChanged => format!(
                "ssh-keygen -f {KNOWN_HOSTS} -R {peer}   (only if {peer} was installed anew: else find out why), then {by_hand}   \
                 (once, by hand: compare the fingerprint before you say yes)"
            ),
            Trouble::KeyMode => format!("chmod 600 {}", key(us)),
            Trouble::Passphrase => {
                format!("ssh-keygen -p -f {}   (nobody is there to type its passphrase: leave it empty)", key(us))
            }
            Trouble::NoSuchHost => no_such_host(peer),
            Trouble::Unreachable | Trouble::NoSession => format!("{by_hand}   (is it up, and its sshd?)"),
            Trouble::NoClient => "apt-get install openssh-client".to_string(),
        }
    }
}

/// A name that has no address here.
pub fn no_such_host(peer: &HostName) -> String {
    format!("getent hosts {peer}   (the name must be in the DNS or in /etc/hosts, or have a HostName in {CONFIG})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_shows_of_the_operators_config() {
        let shown = "host dom0-beta\nuser root\nhostname 192.0.2.7\nport 2222\nbindaddress 192.0.2.1\nproxycommand none\n";
        let route = Route { host: Some("192.0.2.7".into()), bind: Some("192.0.2.1".into()), relayed: false };
        assert_eq!(Route::of(shown), route);
        assert!(Route::of("hostname b\nproxyjump gate\n").relayed);
        assert_eq!(Route::of(""), Route::default());
    }

    #[test]
    fn complaints_as_recorded() {
        let denied = "root@127.0.0.1: Permission denied (publickey).\r\n";
        let (warning, resolve) =
            ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\n", "ssh: Could not resolve hostname nosuch.invalid: ");
        for (stderr, trouble) in [
            (denied.to_string(), Trouble::NotAuthorised),
            (format!("{resolve}Name or service not known\n"), Trouble::NoSuchHost),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.\n".into(),
                Trouble::HostKey,
            ),
            (
                "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key for h has changed and you have requested strict \
                 checking.\nHost key verification failed.\n"
                    .into(),
                Trouble::HostKeyChanged,
            ),
            (format!("{warning}{denied}"), Trouble::KeyMode),
            ("ssh: connect to host h port 22: Connection refused\n".into(), Trouble::NoSession),
            ("ssh: connect to host h port 22: Some word of tomorrow\n".into(), Trouble::NoSession),
            ("ssh: connect to host h port 22: No route to host\r\n".into(), Trouble::Unreachable),
            ("ssh: connect to host h port 22: Connection timed out\n".into(), Trouble::Unreachable),
            ("Warning: Identity file k not accessible: x.\nssh: connect to host h port 22: Network is unreachable\n".into(), Trouble::Unreachable),
            ("Connection timed out during banner exchange\n".into(), Trouble::NoSession),
            (
                "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 127.0.0.1 port 22\n".into(),
                Trouble::NoSession,
            ),
        ] {
            assert_eq!(Trouble::of(&stderr), Some(trouble), "{stderr}");
        }
    }

    #[test]
    fn only_what_nothing_has_answered_is_silence() {
        for (trouble, silence) in [
            (Trouble::Unreachable, true),
            (Trouble::NoSuchHost, true),
            (Trouble::NoSession, false),
            (Trouble::NoClient, false),
            (Trouble::NotAuthorised, false),
            (Trouble::HostKey, false),
            (Trouble::HostKeyChanged, false),
            (Trouble::KeyMode, false),
            (Trouble::Passphrase, false),
        ] {
            assert_eq!(trouble.is_silence(), silence, "{trouble:?}");
        }
    }

    #[test]
    fn whoever_was_let_in_may_have_been_heard() {
        for stderr in [
            "",
            "\n",
            "Connection to h closed by remote host.\n",
            "Timeout, server h not responding.\n",
            "client_loop: send disconnect: Broken pipe\n",
            "web: h -> us\n",
            "xen-migrate: us could not be asked: root@us: Permission denied (publickey).\n  try: xen-migrate setup us\n",
            "ssh: connect to host us port 22: Connection refused\nweb runs on h.\n",
        ] {
            assert_eq!(Trouble::of(stderr), None, "{stderr}");
        }
    }

    #[test]
    fn a_passphrase_is_seen_in_every_format() {
        let key =
            |kind: &str, body: &str| format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n");
        for (text, encrypted) in [
            (key("OPENSSH ", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"), false),
            (key("OPENSSH ", "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABA"), true),
            (key("RSA ", "MIIEpAIBAAKCAQEA"), false),
            (key("RSA ", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIEpA"), true),
            (key("", "MIIEpAIBAAKCAQEA"), false),
            (key("ENCRYPTED ", "MIIEpAIBAAKCAQEA"), true),
            (String::new(), false),
            ("no key".to_string(), false),
        ] {
            assert_eq!(is_encrypted(&text), encrypted, "{text}");
        }
    }
}
