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

/// The dedicated key of a Dom0.
pub fn key(host: &HostName) -> String {
    format!("/root/.ssh/xen-migrate-{host}")
}

/// Whether the dedicated key is there.
pub fn has_key(world: &dyn World, host: &HostName) -> bool {
    world.read(Path::new(&key(host))).is_ok()
}

/// Everything up to and with the peer's name: the request follows. `us` is this Dom0.
pub fn words(world: &dyn World, us: &HostName, peer: &HostName) -> Vec<String> {
    let config = match world.read(Path::new(CONFIG)) {
        Ok(_) => world.told(CONFIG),
        Err(_) => "none".to_string(),
    };
    let key = world.told(&key(us));
    let known = world.told("/root/.ssh/known_hosts");
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
    words.push(format!("UserKnownHostsFile={known}"));
    words.push("--".to_string());
    words.push(peer.to_string());
    words
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
    /// The peer's host key is unknown, or not the one we know.
    HostKey,
    /// Our key file may be read by others.
    KeyMode,
    /// The name means nothing.
    NoSuchHost,
    /// No answer, refused, cut.
    Unreachable,
}

impl Trouble {
    /// Reads ssh's standard error (OpenSSH 9.2; the words are those of `ssh.c`, `sshconnect.c`, `authfile.c`).
    pub fn of(stderr: &str) -> Trouble {
        let says = |words: &str| stderr.contains(words);
        if says("UNPROTECTED PRIVATE KEY FILE") || says("bad permissions") {
            Trouble::KeyMode
        } else if says("Host key verification failed")
            || says("REMOTE HOST IDENTIFICATION HAS CHANGED")
            || says("host key is known")
        {
            Trouble::HostKey
        } else if says("Permission denied") || says("Too many authentication failures") {
            Trouble::NotAuthorised
        } else if says("Could not resolve hostname") {
            Trouble::NoSuchHost
        } else {
            Trouble::Unreachable
        }
    }

    /// What to type next.
    pub fn advice(self, us: &HostName, peer: &HostName) -> String {
        match self {
            Trouble::NotAuthorised => format!(
                "xen-migrate setup {peer}   (shows the line that must stand in /root/.ssh/authorized_keys on {peer}; is its from= our address?)"
            ),
            Trouble::HostKey => format!("ssh root@{peer}   (once, by hand: compare the fingerprint before you say yes)"),
            Trouble::KeyMode => format!("chmod 600 {}", key(us)),
            Trouble::NoSuchHost => format!("getent hosts {peer}   (the name must be in the DNS or in /etc/hosts)"),
            Trouble::Unreachable => format!("is {peer} up, and its sshd?   xen-migrate ping {peer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_as_recorded() {
        for (stderr, trouble) in [
            ("root@127.0.0.1: Permission denied (publickey).\n", Trouble::NotAuthorised),
            ("ssh: Could not resolve hostname nosuch.invalid: Name or service not known\n", Trouble::NoSuchHost),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.\n",
                Trouble::HostKey,
            ),
            ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nroot@h: Permission denied (publickey).\n", Trouble::KeyMode),
            ("ssh: connect to host h port 22: Connection refused\n", Trouble::Unreachable),
            ("Connection to h closed by remote host.\n", Trouble::Unreachable),
            ("", Trouble::Unreachable),
        ] {
            assert_eq!(Trouble::of(stderr), trouble, "{stderr}");
        }
    }
}
