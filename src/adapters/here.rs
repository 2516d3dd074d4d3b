//! Who we are: the names of this Dom0, as its own tools tell them.

use super::{Call, CallError, World};
use crate::core::names::{BadName, HostName};
use thiserror::Error;

/// Why this host's own name is not known.
#[derive(Debug, Error)]
pub enum HereError {
    /// `hostname` gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// `hostname` failed.
    #[error("hostname: {0}")]
    Failed(String),
    /// The name is not one that we could give to a peer.
    #[error("this host calls itself so that no peer could: {0}")]
    Bad(#[from] BadName),
}

/// What `uname -n` says: the name by which DRBD finds its own `on` section.
pub fn host(world: &dyn World) -> Result<HostName, HereError> {
    let output = world.run(&Call::new("hostname", [] as [&str; 0]))?;
    if !output.ok() {
        return Err(HereError::Failed(output.stderr.trim().to_string()));
    }
    Ok(output.stdout.trim().parse()?)
}

/// The full name, `hostname -f`; the short one where the resolver does not know better.
pub fn fqdn(world: &dyn World, host: &HostName) -> String {
    match world.run(&Call::new("hostname", ["-f"])) {
        Ok(output) if output.ok() && output.stdout.trim().parse::<HostName>().is_ok() => output.stdout.trim().to_string(),
        _ => host.to_string(),
    }
}
