//! How long the last migration took: a figure for whoever watches the hosts, kept in `/run` and needed by nothing else.

use crate::adapters::{To, World};
use crate::core::names::{DomuName, HostName};
use crate::core::record::Moment;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Where it is kept until the next boot.
const PATH: &str = "/run/xen-migrate/last-migration.json";

/// A migration from this host that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// The domU.
    pub domu: DomuName,
    /// Where it went.
    pub host: HostName,
    /// From the first deed to the last, in whole seconds.
    pub seconds: u64,
    /// When it ended.
    pub ended: Moment,
}

/// Keeps it. That it cannot be kept is no failure of the migration.
pub fn note(world: &dyn World, domu: &DomuName, host: &HostName, began: Duration) {
    let seconds = world.clock().saturating_sub(began).as_secs();
    let took = Took { domu: domu.clone(), host: host.clone(), seconds, ended: Moment::from(world.now()) };
    let text = serde_json::to_string(&took).unwrap_or_default();
    if let Err(why) = world.replace(Path::new(PATH), text.as_bytes()) {
        world.say(To::Log, &format!("{PATH}: {why}"));
    }
}

/// The last one, if there was one since the boot.
pub fn last(world: &dyn World) -> Option<Took> {
    serde_json::from_str(&String::from_utf8_lossy(&world.read(Path::new(PATH)).ok()?)).ok()
}
