//! A Dom0 that goes down takes nothing in, and `xen-drbd-auto` starts nothing there: from the moment at which `migrate --shutdown` begins, and not only as long as that runs.
//!
//! `xendomains` and the services behind it take minutes more, in which sshd still answers; what came in then would be ended with this Dom0.
//! So there is a mark in `/run`, which no boot leaves there. Whoever finds that the Dom0 stays up takes it away: `reverse --return`, which
//! the units begin at boot and after a rescue mode, or a person.

use super::{Errand, LOCK};
use crate::adapters::look::{lock_name, receive_lock_name};
use crate::adapters::{Nap, To, World, store};
use crate::applets::xen_migrate::Setting;
use crate::core::names::HostName;
use crate::core::record::{Moment, Row, State};
use std::io;
use std::path::Path;
use std::time::Duration;

/// The mark: the moment at which it began.
const MARK: &str = "/run/xen-migrate/going-down";

/// What the purpose of the lock says then.
pub(super) const PURPOSE: &str = "for the shutdown of this Dom0";

/// Without a deadline, this is how long a domU is waited for that is on its way.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long the sender of a domU that is here may take to tell that it has arrived: some programs and an ssh, on a busy Dom0.
const TELLING: Duration = Duration::from_secs(45);

/// Why no domU may come here now, nor be started: the Dom0 goes down. A mark that cannot be read counts as one.
pub fn goes_down(world: &dyn World) -> Option<String> {
    if let Some(who) = world.lock_holder(LOCK).filter(|who| who.said.contains(PURPOSE)) {
        return Some(who.said);
    }
    match world.read(Path::new(MARK)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => None,
        Err(why) => Some(format!("{MARK}: {why}")),
        // What was taken away is empty.
        Ok(text) if text.trim_ascii().is_empty() => None,
        Ok(text) => Some(format!(
            "it is being shut down since {}; should it stay up, there: xen-migrate reverse ALL --return   (or rm {MARK})",
            String::from_utf8_lossy(&text).trim()
        )),
    }
}

/// The same as a refusal.
pub fn refusal(who: &str) -> String {
    format!("this Dom0 goes down, and what comes here now would go down with it: {who}")
}

/// From now on nothing comes in. That it could not be noted keeps nothing here: the lock says the same as long as this lives.
pub(super) fn mark(world: &dyn World) {
    if let Err(why) = world.replace(Path::new(MARK), format!("{}\n", Moment::from(world.now())).as_bytes()) {
        world.say(
            To::Err,
            &format!("note: {MARK} could not be written ({why}): what comes in when this has ended is not refused"),
        );
    }
}

/// This Dom0 stays up. As long as somebody else moves several domUs, which may be the shutdown itself, nothing changes.
pub(super) fn stays_up(world: &dyn World) {
    let Ok(_held) = world.lock(LOCK, "xen-migrate reverse --return") else { return };
    if world.read(Path::new(MARK)).is_ok_and(|text| !text.is_empty())
        && let Err(why) = world.replace(Path::new(MARK), b"")
    {
        world.say(To::Err, &format!("note: {MARK} could not be taken away: {why}"));
    }
}

impl Errand<'_> {
    /// A Dom0 that goes down waits for what was let in before it said so: that will run here, and has to go on. What has not come so far
    /// is not let in any more (`receive`), so this ends soon.
    pub(super) fn wait_for_arrivals(&self, setting: Setting<'_>, until: Option<Duration>) {
        let world = setting.world;
        let until = until.unwrap_or_else(|| world.clock() + PATIENCE);
        let comes = |row: &&Row| matches!(row.state, State::Arriving | State::Returning);
        let mut quiet_since = None;
        let mut told = false;
        loop {
            let Ok(record) = store::record(world) else { return };
            let rows: Vec<&Row> = record.rows.iter().filter(comes).collect();
            let quiet = !rows.iter().any(|row| at_work(setting, row).is_some());
            quiet_since = if quiet { quiet_since.or(Some(world.clock())) } else { None };
            let told_enough = quiet_since.is_some_and(|since| world.clock().saturating_sub(since) >= TELLING);
            if rows.is_empty() || told_enough || world.clock() >= until {
                return;
            }
            if !std::mem::replace(&mut told, true) {
                let names: Vec<String> = rows.iter().map(|row| format!("{} ({})", row.domu, row.host)).collect();
                world.say(To::Err, &format!("just coming in, and waited for: {}", names.join(", ")));
            }
            if world.nap(Duration::from_secs(1)) == Nap::Stopped {
                return;
            }
        }
    }
}

/// Whoever is at work on a domU here just now.
pub(super) fn at_work(setting: Setting<'_>, row: &Row) -> Option<(String, Option<HostName>)> {
    let world = setting.world;
    if let Some(who) = world.lock_holder(&receive_lock_name(&row.domu)) {
        return Some((who.said, Some(row.host.clone())));
    }
    world.lock_holder(&lock_name(&row.domu)).map(|who| (who.said, None))
}
