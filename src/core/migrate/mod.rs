//! Deciding about a migration: from what two looks saw to a plan, a refusal, or a verdict.
//!
//! * [`check`]: may it begin? Every objection with its evidence, all at once.
//! * [`prepare`]: the deeds up to and with the migration itself.
//! * [`gate`]: what the receiving end makes sure of while it comes.
//! * [`settle`]: whatever happened since — success, failure, crash, cut link — what is true now, and which deeds put the rest in order.
//!   A migration that went well and a recovery after a power cut are the same decision.
//! * [`split`]: what two histories of one disk leave to a person.

pub mod check;
pub mod gate;
pub mod permit;
pub mod prepare;
pub mod settle;
pub mod split;
#[cfg(test)]
pub(crate) mod testing;
mod tidy;

use super::drbd::Generation;
use super::facts::{End, Promoter};
use super::names::{HostName, ResourceName};
use super::record::{Moment, Row, State};
use super::xen::Toolstack;

/// The journey that is being decided about, seen from the Dom0 that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// The Dom0 it goes to.
    pub to: HostName,
    /// The row asks to leave it paused there (`xl migrate -p`).
    pub leave_paused: bool,
    /// The row brings a transport of its own (`xl migrate -s`), which does not lead through migrate2.
    pub own_transport: bool,
    /// The domU's home, when it is not here.
    pub home: Option<HostName>,
    /// The host it had come from, when it is visiting here.
    pub from: Option<HostName>,
    /// When the plan is made.
    pub now: Moment,
    /// The resources that this journey opened. They stay on the record until their options are back and DRBD is connected:
    /// only then is it known that both ends have one history.
    pub opened: Vec<ResourceName>,
    /// Resources that were connected again already: what is StandAlone after that is a split brain.
    pub reconnected: Vec<ResourceName>,
    /// The suspended copy was told to go on already.
    pub woken: bool,
    /// It was waited long enough for what should end by itself.
    pub waited: bool,
}

impl Trip {
    /// A journey from the domU's home.
    pub fn to(host: &HostName, now: Moment) -> Trip {
        Trip {
            to: host.clone(),
            leave_paused: false,
            own_transport: false,
            home: None,
            from: None,
            now,
            opened: vec![],
            reconnected: vec![],
            woken: false,
            waited: false,
        }
    }

    /// The journey that a row in the record speaks of: one that was begun here, or the past one whose options are still open.
    pub fn of_row(row: &Row, now: Moment) -> Trip {
        // A visitor whose options are still open stays a visitor.
        let from = match row.state {
            State::Visiting => Some(row.host.clone()),
            // Where it had gone on to is no place that it came from.
            State::Arriving => None,
            _ => row.from.clone(),
        };
        Trip { home: row.home.clone(), from, opened: row.open.clone(), ..Trip::to(&row.host, now) }
    }

    /// A row for the domU, with everything the record must not forget.
    fn row(&self, domu: &super::names::DomuName, state: State, host: &HostName) -> Row {
        Row {
            domu: domu.clone(),
            state,
            host: host.clone(),
            since: self.now,
            open: Vec::new(),
            home: self.home.clone(),
            from: (state == State::Leaving).then(|| self.from.clone()).flatten(),
            never: false,
        }
    }

    /// The row that is true once the domU runs there; `None`: it is at home there, nothing is to be remembered.
    fn row_when_arrived(&self, domu: &super::names::DomuName) -> Option<Row> {
        match &self.home {
            None => Some(self.row(domu, State::Away, &self.to)),
            Some(home) if home.same_host(&self.to) => None,
            Some(_) => Some(self.row(domu, State::Passed, &self.to)),
        }
    }

    /// The row that is true while the domU stays here; `None`: it is at home here.
    fn row_when_stayed(&self, domu: &super::names::DomuName) -> Option<Row> {
        self.from.as_ref().map(|from| self.row(domu, State::Visiting, from))
    }
}

/// How a person looks at resources: the words that fit what answers. DRBD 8.4 before 8.4.6 has no `drbdsetup status`, and `drbdadm role`
/// of DRBD 9 shows this end alone (facts 4.3).
pub fn asking(generation: Option<Generation>, names: &[&ResourceName]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    if generation == Some(Generation::V9) || names.is_empty() {
        let what = if generation == Some(Generation::V9) { "drbdadm status" } else { "cat /proc/drbd" };
        return [what].into_iter().chain(names).collect::<Vec<_>>().join(" ");
    }
    let each: Vec<String> = names.iter().map(|n| format!("drbdadm role {n}; drbdadm cstate {n}; drbdadm dstate {n}")).collect();
    each.join("; ")
}

/// What [`asking`] must say where the domU may be started: it runs nowhere, and this disk is as new as the other.
pub fn nobody_runs_it(generation: Option<Generation>) -> &'static str {
    match generation {
        Some(Generation::V9) => "every role is Secondary, every disk UpToDate, and no connection: is shown",
        _ => "it says Secondary/Secondary, Connected and UpToDate/UpToDate",
    }
}

/// Whether the target becomes Primary on a resource before the domU has stopped here. Then it takes the domU whatever became of the link
/// meanwhile, and what was written here alone is missing there.
///
/// A hotplug script promotes when the disks are attached, migrate2 when the memory is complete, DRBD 9 when the device is opened: all after
/// the domU has stopped, and both kernels decide. What `xend` sends passes no gate, and of the stream before Xen 4.6 nobody can tell
/// when it is complete.
fn promoted_early(here: &End, there: &End, resource: &ResourceName) -> bool {
    let nobody = || there.disks.iter().any(|d| d.resource.as_ref() == Some(resource) && d.promoter == Promoter::Nobody);
    here.toolstack == Toolstack::Xm || (older(&here.xen, "4.6") && nobody())
}

/// Whether the first version is older than the second, by its numbers as far as both have them.
fn older(a: &str, b: &str) -> bool {
    let numbers = |v: &str| v.split(['.', '-', '+']).map_while(|n| n.parse::<u32>().ok()).take(2).collect::<Vec<_>>();
    numbers(a) < numbers(b)
}
