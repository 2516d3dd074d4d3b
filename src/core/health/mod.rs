//! What could stop a migration tomorrow, or make the next accident worse: one finding a line, each with what it means and what to type.
//!
//! * `host`: the key, the way to each peer and back, versions, clocks, what runs at boot.
//! * `disks`: DRBD's options, in the files and in force.
//! * `domus`: each domU as if it were to go now, with the same objections as a migration ([`super::migrate::check`]).

mod disks;
mod domus;
mod host;

use super::facts::End;
use super::names::{DomuName, HostName};
use super::survey::{Health, Survey};
use super::whereabouts::Asked;
use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Nothing is refused for it, and a person should know.
    Warning,
    /// A migration would be refused or fail.
    Fault,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Fault => "fault",
        })
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What it is about: `key`, a Dom0, a domU.
    pub about: String,
    /// What was looked at, in a word that does not change: `key`, `peer`, `clock`, `window`, …
    pub check: &'static str,
    /// What was seen, and what it means.
    pub what: String,
    /// What to type.
    pub advice: Option<String>,
    /// A peer could not be asked: what else is wrong there is not known.
    pub unreachable: bool,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// This Dom0.
    pub here: &'a Survey,
    /// The dedicated key.
    pub key: Key,
    /// Faults of the table, of the rows in question, each with its place.
    pub table: Vec<String>,
    /// So many other rows have faults.
    pub table_of_others: usize,
    /// There is a table.
    pub has_table: bool,
    /// Each peer.
    pub asked: &'a [Asked],
    /// When the peers were asked, and when the last had answered, by our clock, in seconds since 1970.
    pub between: (u64, u64),
    /// The domUs in question.
    pub domus: Vec<Wanted>,
}

/// A domU in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub domu: DomuName,
    /// Where it may go, the first is where it goes.
    pub partners: Vec<HostName>,
    /// Its row brings a transport of its own.
    pub own_transport: bool,
}

/// The dedicated key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it is.
    pub path: String,
    /// How it is.
    pub state: KeyState,
}

/// How the key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It is not there.
    Missing,
    /// It is there, and who may read it could not be seen.
    Unseen,
    /// It has a passphrase, which nobody is there to type.
    Passphrase,
    /// Somebody else than root owns it.
    Foreign,
    /// Its permission bits.
    Mode(u32),
}

/// Everything, in an order in which a person would mend it: the way to the peers first, then DRBD, then each domU.
pub fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    host::key(case, &mut found);
    host::table(case, &mut found);
    host::this_host(case, &mut found);
    for one in case.asked {
        host::peer(case, one, &mut found);
    }
    disks::all(case, &mut found);
    domus::all(case, &mut found);
    found
}

/// Something would stop a migration.
pub fn is_stopped(found: &[Finding]) -> bool {
    found.iter().any(|f| f.level == Level::Fault && !f.unreachable)
}

/// Some peer could not be asked.
pub fn is_blind(found: &[Finding]) -> bool {
    found.iter().any(|f| f.unreachable)
}

impl Finding {
    fn new(level: Level, about: impl fmt::Display, check: &'static str, what: impl Into<String>) -> Finding {
        Finding { level, about: about.to_string(), check, what: what.into(), advice: None, unreachable: false }
    }

    fn ok(about: impl fmt::Display, check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(Level::Ok, about, check, what)
    }

    fn warning(about: impl fmt::Display, check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..Finding::new(Level::Warning, about, check, what) }
    }

    fn fault(about: impl fmt::Display, check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..Finding::new(Level::Fault, about, check, what) }
    }
}

impl Case<'_> {
    /// The answer of a peer that is what it was asked for, with its health.
    fn answer(&self, host: &HostName) -> Option<(&Survey, &Health)> {
        let one = self.asked.iter().find(|a| a.host.same_host(host))?;
        let survey = one.answer.as_ref().ok()?;
        Some((survey, survey.health.as_deref()?))
    }

    /// Every Dom0 that was seen, this one first.
    fn seen(&self) -> Vec<(&Survey, &Health)> {
        let own = self.here.health.as_deref().map(|health| (self.here, health));
        own.into_iter().chain(self.asked.iter().filter_map(|a| self.answer(&a.host))).collect()
    }
}

impl Health {
    /// A domU there, as a migration sees it.
    fn end(&self, domu: &DomuName) -> Option<&End> {
        self.ends.iter().find(|end| &end.domu == domu)
    }
}

#[cfg(test)]
#[path = "../health_tests.rs"]
mod tests;
