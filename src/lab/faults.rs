//! What a scene lets happen, and when.

use super::model::xen::Stage;
use super::model::{Millis, Quirk};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// The event with this number, before or after its effect.
    Event(u64, Phase),
    /// The n-th (from 1) event from now on on this host whose text contains these words.
    Call {
        /// The host.
        host: String,
        /// A part of the event's text, `drbdadm primary web`.
        words: String,
        /// Which one.
        nth: u32,
        /// Before or after its effect.
        phase: Phase,
    },
    /// A stage of a guest's migration.
    Stage(String, Stage),
    /// This virtual time. It comes when time passes: during naps and waiting programs, and between calls.
    At(Millis),
}

/// Before or after the effect of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing has happened yet.
    Before,
    /// It has happened; the caller does not know yet.
    After,
}

/// Something that happens to the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// `kill -9` for the process whose event this is (at a stage of a migration: the one that watches it).
    KillCaller,
    /// `kill -9` for every one of our tools on a host.
    KillTools(String),
    /// SIGTERM for every one of our tools on a host.
    Terminate(String),
    /// SIGINT, which is what Ctrl-C sends, for every one of our tools on a host.
    Interrupt(String),
    /// `kill -9` for the `xl migrate` of a guest.
    KillSender(String),
    /// `kill -9` for the `xl migrate-receive` of a guest.
    KillReceiver(String),
    /// The transport of a guest's migration ends (its ssh is killed).
    EndTransport(String),
    /// The power of a host goes.
    PowerOff(String),
    /// A host is switched on.
    Boot(String),
    /// Somebody writes a file there: host, path, text.
    Write(String, String, String),
    /// A link is cut silently: all of it, for so long or for ever.
    Cut(String, String, Option<Millis>),
    /// Only replication is cut.
    CutDrbd(String, String, Option<Millis>),
    /// Only ssh is cut.
    CutSsh(String, String, Option<Millis>),
    /// A link is mended.
    Mend(String, String),
    /// Somebody runs a command on a host; its end is kept in [`super::Lab::ran`].
    Run(String, Vec<String>),
    /// From now on this lies in wait.
    Arm(Quirk),
    /// That no longer lies in wait.
    Disarm(Quirk),
    /// The guest ends by itself wherever it executes: `-` power off, `r` reboot, `c` crash.
    GuestEnds(String, char),
    /// The guest reboots wherever it executes, and its toolstack starts it anew (`on_reboot=restart`).
    GuestReboots(String),
}

/// A deed and its moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The moment.
    pub when: When,
    /// The deed.
    pub deed: Deed,
}

/// The moment that is now.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub number: u64,
    pub host: &'a str,
    pub what: &'a str,
    pub stage: Option<(&'a str, Stage)>,
    pub phase: Phase,
}

impl Planned {
    /// Whether this is its moment; counts down on the way.
    pub(crate) fn is_due(&mut self, now: &Moment<'_>) -> bool {
        match &mut self.when {
            When::Event(number, phase) => *number == now.number && *phase == now.phase,
            When::Stage(guest, stage) => now.phase == Phase::Before && now.stage == Some((guest.as_str(), *stage)),
            When::Call { host, words, nth, phase } => {
                if *phase != now.phase || host != now.host || !now.what.contains(words.as_str()) {
                    return false;
                }
                *nth = nth.saturating_sub(1);
                *nth == 0
            }
            When::At(_) => false,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Run(host, argv) => write!(f, "{host}# {}", argv.join(" ")),
            other => write!(f, "{other:?}"),
        }
    }
}
