//! What an earlier run left in flight is settled before anything new begins.

use super::going::Fleet;
use super::{Errand, down, objection};
use crate::adapters::look::All;
use crate::adapters::{Nap, To};
use crate::applets::exit::Exit;
use crate::applets::xen_migrate::{Setting, drive, recover};
use crate::core::fleet::Left;
use crate::core::migrate::check::Check;
use crate::core::names::DomuName;
use crate::core::record::{Row, State};
use std::time::Duration;

impl Errand<'_> {
    /// What an earlier run left in flight is settled first, as `recover` does it.
    pub(super) fn settle(&self, setting: Setting<'_>, all: &All) -> Unsettled {
        let mut unsettled = Unsettled::default();
        let meant = self.domus(all);
        let rows: Vec<&Row> = all.ground.record.rows.iter().filter(|r| meant.contains(&r.domu)).collect();
        let told = if self.dry() { vec![] } else { not_told(setting, all, &rows) };
        for row in rows.into_iter().filter(|r| r.state.in_flight() || !r.open.is_empty() || told.contains(&r.domu)) {
            let domu = &row.domu;
            unsettled.any = true;
            if self.dry() {
                let text =
                    format!("{domu}: {}; it would be settled first (xen-migrate recover {domu}), then looked at", row.in_words());
                unsettled.notes.push(text);
                unsettled.domus.push(domu.clone());
                continue;
            }
            // Its own tool, or what that has left behind, still does it: recover would find the same.
            if let Some((seen, advice)) = self.still_on_its_way(setting, row) {
                let list = vec![objection(Check::Flight, seen, "no migration in flight", advice)];
                unsettled.left.push(Left { domu: domu.clone(), against: vec![(all.ground.host.clone(), list)] });
                unsettled.domus.push(domu.clone());
                continue;
            }
            let (exit, why) = match recover::one(setting, domu) {
                Ok(exit) => (exit, "see above".to_string()),
                Err(stop) => (stop.exit, stop.text),
            };
            if exit != Exit::Done {
                unsettled.undecided |= exit == Exit::Undecided;
                let seen = format!("its last journey is not settled: {why}");
                let advice = format!("xen-migrate recover {domu}");
                let list = vec![objection(Check::Flight, seen, "no migration in flight", advice)];
                unsettled.left.push(Left { domu: domu.clone(), against: vec![(all.ground.host.clone(), list)] });
                unsettled.domus.push(domu.clone());
            }
        }
        unsettled
    }

    /// Waits for a journey at which somebody is at work; what is to be said of one that does not end so soon. What a killed tool has left
    /// behind ends by itself, and run again this completes the job.
    fn still_on_its_way(&self, setting: Setting<'_>, row: &Row) -> Option<(String, String)> {
        let world = setting.world;
        // Who goes down has others to send meanwhile, and waits at the end.
        let patience = if self.goes_down() { Duration::ZERO } else { down::PATIENCE };
        let until = world.clock() + self.which().deadline.map_or(patience, |time| time.min(patience));
        let mut told = false;
        while let Some(said) = on_its_way(setting, row) {
            if world.clock() >= until {
                return Some(said);
            }
            if !std::mem::replace(&mut told, true) {
                world.say(To::Err, &format!("{} is still on its way, and waited for", row.domu));
            }
            if world.nap(Duration::from_secs(1)) == Nap::Stopped {
                return Some(said);
            }
        }
        None
    }
}

/// A journey at which somebody is at work: what is seen, and what to do, which is to wait.
fn on_its_way(setting: Setting<'_>, row: &Row) -> Option<(String, String)> {
    let (who, from) = down::at_work(setting, row)?;
    let domu = &row.domu;
    let seen = match from {
        Some(from) => format!("it is just coming in from {from}: {who}"),
        None => format!("it is still on its way: {}", drive::at_work(domu, &who)),
    };
    Some((seen, format!("xen-migrate status {domu}   (wait until it is no longer {}), then this once more", row.state)))
}

/// What could not be settled.
#[derive(Default)]
pub(super) struct Unsettled {
    pub(super) any: bool,
    /// A person must decide about one of them.
    pub(super) undecided: bool,
    pub(super) domus: Vec<DomuName>,
    pub(super) left: Vec<Left>,
    pub(super) notes: Vec<String>,
}

/// What went and whose host was not told of its arrival: the tool was killed in between. That is settled like all else.
fn not_told(setting: Setting<'_>, all: &All, rows: &[&Row]) -> Vec<DomuName> {
    let us = &all.ground.host;
    let away: Vec<&&Row> = rows.iter().filter(|r| r.state == State::Away && r.open.is_empty()).collect();
    let mut fleet = Fleet::new(setting, us);
    away.iter().for_each(|r| fleet.meant(&r.host, &r.domu, vec![]));
    fleet.look(false);
    let arriving = |r: &Row| {
        let far = fleet.seen(&r.host, &r.domu).ok().and_then(|end| end.row);
        far.is_some_and(|row| row.state == State::Arriving && row.host.same_host(us))
    };
    away.into_iter().filter(|r| arriving(r)).map(|r| r.domu.clone()).collect()
}
