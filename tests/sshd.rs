//! Through real OpenSSH: a real `sshd` for each pretend Dom0, the real `ssh`, real keys, and the real executable at both ends.
//!
//! Only `hostname`, `getent` and the like are tiny programs of the pretend Dom0. Everything else is what Debian installs.

#![expect(clippy::disallowed_methods, reason = "the executable, ssh and sshd are run as an operator runs them")]

#[path = "sshd/dom0.rs"]
mod dom0;
#[path = "sshd/hostile.rs"]
mod hostile;
#[path = "sshd/moves.rs"]
mod moves;
#[path = "sshd/ping.rs"]
mod ping;
#[path = "sshd/setup.rs"]
mod setup;
