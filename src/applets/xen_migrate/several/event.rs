//! What happens, for whoever reads it as it happens: a machine by `--json`, and our own workers' foreman.
//!
//! One JSON object a line on standard output. Fields are only ever added.

use crate::core::names::{DomuName, HostName};
use serde::{Deserialize, Serialize};

/// One line of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The plan, before anything moves.
    Plan {
        /// What goes, in this order.
        moves: Vec<Planned>,
        /// What cannot go.
        left: Vec<Refused>,
        /// What there is nothing to do for, and why.
        apart: Vec<Apart>,
        /// What runs here and nobody means: it stays.
        stays: Vec<Stays>,
        /// How many streams at most.
        jobs: usize,
    },
    /// A domU's journey begins.
    Begin {
        /// The domU.
        domu: DomuName,
        /// Where it runs.
        from: HostName,
        /// Where it is to go.
        to: HostName,
    },
    /// How far it is. Pages that the guest dirties go over again, so there may be more than all of it.
    Progress {
        /// The domU.
        domu: DomuName,
        /// Through its transport so far.
        sent_bytes: u64,
        /// Its memory.
        memory_bytes: u64,
        /// Since it began.
        seconds: f64,
    },
    /// Its memory is over there, and both ends have said so: what is left needs no link.
    Handed {
        /// The domU.
        domu: DomuName,
    },
    /// A line for a person.
    Said {
        /// About which domU, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        domu: Option<DomuName>,
        /// `out`: the answer; `err`: what goes on, or went wrong.
        to: String,
        /// The line.
        text: String,
    },
    /// A domU's journey is over, however.
    End {
        /// The domU.
        domu: DomuName,
        /// Where it was to go.
        to: HostName,
        /// The exit code that this alone would have had.
        exit: i32,
    },
    /// All is over.
    Done {
        /// The exit code.
        exit: i32,
        /// What went where it was to go.
        moved: Vec<DomuName>,
        /// What did not.
        failed: Vec<DomuName>,
        /// What was never begun.
        not_begun: Vec<DomuName>,
        /// After `migrate ALL`: what runs here all the same, or is just coming in, by the names that the toolstack has.
        still_here: Vec<String>,
    },
}

/// One domU of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The domU.
    pub domu: DomuName,
    /// Where it runs.
    pub from: HostName,
    /// Where it goes.
    pub to: HostName,
    /// What it takes there.
    pub memory_mib: u64,
    /// The hosts that its row prefers, and why not to those.
    pub passed_over: Vec<String>,
}

/// One domain that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stays {
    /// Its name, which need not be one that a table may have.
    pub name: String,
    /// Why.
    pub why: String,
}

/// One domU that cannot go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The domU.
    pub domu: DomuName,
    /// Everything against it.
    pub objections: Vec<Against>,
}

/// One objection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Against {
    /// Against which host.
    pub host: HostName,
    /// The check.
    pub check: String,
    /// What was seen.
    pub seen: String,
    /// What must be so.
    pub expected: String,
    /// What to type.
    pub advice: String,
}

/// One domU with nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Apart {
    /// The domU.
    pub domu: DomuName,
    /// Why.
    pub why: String,
}

impl Event {
    /// The line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the foreman hears from a worker of his.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// [`Event::Progress`], [`Event::Handed`] or [`Event::Said`]: it is passed on.
    Tale(Event),
    /// The frame around these: the foreman's own stands around all workers.
    Frame,
}

/// The fields of a line, of whatever event. One flat struct instead of the enum: serde's code for reading a tagged enum with all that is
/// in it was a fiftieth of the executable.
#[derive(Deserialize)]
struct Fields {
    event: String,
    domu: Option<DomuName>,
    sent_bytes: Option<u64>,
    memory_bytes: Option<u64>,
    seconds: Option<f64>,
    to: Option<String>,
    text: Option<String>,
}

impl Heard {
    /// A line of one of our workers; `None` is none that it says.
    pub fn of_line(line: &str) -> Option<Heard> {
        let fields: Fields = serde_json::from_str(line).ok()?;
        let event = match fields.event.as_str() {
            "progress" => Event::Progress {
                domu: fields.domu?,
                sent_bytes: fields.sent_bytes?,
                memory_bytes: fields.memory_bytes?,
                seconds: fields.seconds?,
            },
            "handed" => Event::Handed { domu: fields.domu? },
            "said" => Event::Said { domu: fields.domu, to: fields.to?, text: fields.text? },
            "plan" | "begin" | "end" | "done" => return Some(Heard::Frame),
            _ => return None,
        };
        Some(Heard::Tale(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back() {
        let domu: DomuName = "web".parse().unwrap();
        for event in [
            Event::Progress { domu: domu.clone(), sent_bytes: 1, memory_bytes: 2, seconds: 0.5 },
            Event::Handed { domu: domu.clone() },
            Event::Said { domu: None, to: "err".into(), text: "a \"b\"\n".into() },
            Event::Said { domu: Some(domu.clone()), to: "out".into(), text: String::new() },
        ] {
            assert_eq!(Heard::of_line(&event.line()), Some(Heard::Tale(event)));
        }
        for event in [
            Event::Plan { moves: vec![], left: vec![], apart: vec![], stays: vec![], jobs: 1 },
            Event::Begin { domu: domu.clone(), from: "alpha".parse().unwrap(), to: "beta".parse().unwrap() },
            Event::End { domu: domu.clone(), to: "beta".parse().unwrap(), exit: 3 },
            Event::Done { exit: 6, moved: vec![domu], failed: vec![], not_begun: vec![], still_here: vec!["a b".into()] },
        ] {
            assert_eq!(Heard::of_line(&event.line()), Some(Heard::Frame), "{event:?}");
        }
        assert!(Event::Said { domu: None, to: "err".into(), text: "x".into() }.line().starts_with(r#"{"event":"said","#));
        for other in [
            "",
            "web: 10 %",
            "{}",
            r#"{"event":"progress","domu":"-x","sent_bytes":1,"memory_bytes":1,"seconds":1}"#,
            r#"{"event":"progress","domu":"web","sent_bytes":1,"memory_bytes":1}"#,
            r#"{"event":"handed"}"#,
            r#"{"event":"moved","domu":"web"}"#,
        ] {
            assert_eq!(Heard::of_line(other), None, "{other}");
        }
    }
}
