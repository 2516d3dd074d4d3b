//! The vocabulary of deeds. A plan is a list of [`Step`]s; its `Display` is what a person reads.
//!
//! Those that a peer may ask for have a word of their own on the wire ([`Deed::word`], [`Deed::from_word`]).

use super::facts::CopyName;
use super::names::{HostName, ResourceName};
use super::record::Row;
use std::fmt;

/// At which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this Dom0.
    Here,
    /// On the peer.
    There,
}

/// What the receiving end makes sure of while the domU comes. Empty: nothing, because `xl` goes another way than through migrate2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// Become Primary there when the memory is complete, so after the domU has stopped at the sender: nobody else promotes them.
    pub promote: Vec<ResourceName>,
    /// Must be Primary there, connected and whole before the sender hears "ready": until then it can still go back.
    pub primary: Vec<ResourceName>,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Put this row into the record here.
    Note(Row),
    /// Take the domU's row out of the record here.
    Forget,
    /// There: note that the domU is coming, and which resources will be opened for it.
    Expect {
        /// The resources.
        open: Vec<ResourceName>,
        /// The domU's home, when it is not the sender.
        home: Option<HostName>,
    },
    /// Allow two Primaries and set the guard for a peer that cannot be asked: the window.
    Open(ResourceName),
    /// Put the options back to what the operator's file says.
    Close(ResourceName),
    /// Leave StandAlone, with the options of the operator's file.
    Connect(ResourceName),
    /// Become Primary.
    Promote(ResourceName),
    /// Become Secondary; whoever holds the device gets a moment to let go.
    Demote(ResourceName),
    /// Migrate the domU now, through this gate.
    Send(Gate),
    /// Destroy a copy that never ran, or can never run again.
    Destroy {
        /// Under which name.
        called: CopyName,
        /// Its domain id when it was seen.
        id: u32,
    },
    /// Give `NAME--incoming` its own name and let it run.
    Adopt {
        /// Its domain id when it was seen.
        id: u32,
    },
    /// Let a paused copy run.
    Unpause {
        /// Its domain id when it was seen.
        id: u32,
    },
    /// Let our suspended copy, which is the only one, go on under its own name.
    Wake {
        /// Under which name.
        called: CopyName,
        /// Its domain id when it was seen.
        id: u32,
    },
    /// There: end whoever still receives the domU although its sender is gone.
    EndReceiving,
    /// There: note that the domU has arrived.
    Arrived,
    /// There: nothing comes any more.
    Release,
}

/// A deed, where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// At which end.
    pub place: Place,
    /// What.
    pub deed: Deed,
    /// Why, in half a sentence.
    pub why: &'static str,
}

impl Step {
    /// A step on this Dom0.
    pub fn here(deed: Deed, why: &'static str) -> Step {
        Step { place: Place::Here, deed, why }
    }

    /// A step on the peer.
    pub fn there(deed: Deed, why: &'static str) -> Step {
        Step { place: Place::There, deed, why }
    }
}

impl Deed {
    /// The word that asks a peer for this deed; `None` for what is never asked of a peer.
    pub fn word(&self) -> Option<String> {
        Some(match self {
            Deed::Expect { open, home } => {
                let names: Vec<&str> = open.iter().map(ResourceName::as_str).collect();
                let home = home.as_ref().map(|h| format!("@{h}")).unwrap_or_default();
                format!("expect={}{home}", names.join(","))
            }
            Deed::Open(r) => format!("open={r}"),
            Deed::Close(r) => format!("close={r}"),
            Deed::Connect(r) => format!("connect={r}"),
            Deed::Promote(r) => format!("primary={r}"),
            Deed::Demote(r) => format!("secondary={r}"),
            Deed::Destroy { called: CopyName::Incoming, id } => format!("destroy-incoming={id}"),
            Deed::Adopt { id } => format!("adopt={id}"),
            Deed::Unpause { id } => format!("unpause={id}"),
            Deed::EndReceiving => "end-receiving".into(),
            Deed::Arrived => "arrived".into(),
            Deed::Release => "release".into(),
            Deed::Note(_) | Deed::Forget | Deed::Send(_) | Deed::Wake { .. } | Deed::Destroy { .. } => return None,
        })
    }

    /// The deed that a peer's word asks for; `None` for anything else.
    pub fn from_word(word: &str) -> Option<Deed> {
        let id = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0 && n.to_string() == text);
        match word.split_once('=') {
            None => match word {
                "end-receiving" => Some(Deed::EndReceiving),
                "arrived" => Some(Deed::Arrived),
                "release" => Some(Deed::Release),
                _ => None,
            },
            Some(("expect", list)) => {
                let (names, home) = match list.split_once('@') {
                    Some((names, home)) => (names, Some(home.parse().ok()?)),
                    None => (list, None),
                };
                let open = names.split(',').filter(|_| !names.is_empty()).map(|n| n.parse().ok()).collect::<Option<Vec<_>>>()?;
                Some(Deed::Expect { open, home })
            }
            Some(("open", r)) => Some(Deed::Open(r.parse().ok()?)),
            Some(("close", r)) => Some(Deed::Close(r.parse().ok()?)),
            Some(("connect", r)) => Some(Deed::Connect(r.parse().ok()?)),
            Some(("primary", r)) => Some(Deed::Promote(r.parse().ok()?)),
            Some(("secondary", r)) => Some(Deed::Demote(r.parse().ok()?)),
            Some(("destroy-incoming", n)) => Some(Deed::Destroy { called: CopyName::Incoming, id: id(n)? }),
            Some(("adopt", n)) => Some(Deed::Adopt { id: id(n)? }),
            Some(("unpause", n)) => Some(Deed::Unpause { id: id(n)? }),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Note(row) if row.open.is_empty() => write!(f, "record: {} {} {}", row.domu, row.state, row.host),
            Deed::Note(row) => {
                let names: Vec<&str> = row.open.iter().map(ResourceName::as_str).collect();
                write!(f, "record: {} {} {} open={}", row.domu, row.state, row.host, names.join(","))
            }
            Deed::Forget => write!(f, "record: its row goes"),
            Deed::Expect { .. } => write!(f, "record: it is coming"),
            Deed::Open(r) => write!(f, "{r}: allow two Primaries, under fencing=resource-only"),
            Deed::Close(r) => write!(f, "{r}: the options of drbd.conf again"),
            Deed::Connect(r) => write!(f, "{r}: connect again"),
            Deed::Promote(r) => write!(f, "{r}: become Primary"),
            Deed::Demote(r) => write!(f, "{r}: become Secondary"),
            Deed::Send(gate) if gate.promote.is_empty() => write!(f, "migrate it"),
            Deed::Send(gate) => {
                let names: Vec<&str> = gate.promote.iter().map(ResourceName::as_str).collect();
                let become_ = if names.len() == 1 { "becomes" } else { "become" };
                write!(f, "migrate it; when its memory is complete there, {} {become_} Primary there", names.join(", "))
            }
            Deed::Destroy { called, id } => {
                let which = match called {
                    CopyName::Plain => "the copy",
                    CopyName::Incoming => "the copy --incoming",
                    CopyName::MigratedAway => "the copy --migratedaway",
                    CopyName::Migrating => "the copy migrating-",
                };
                write!(f, "destroy {which} (id {id})")
            }
            Deed::Adopt { id } => write!(f, "give the copy --incoming (id {id}) its name and let it run"),
            Deed::Unpause { id } => write!(f, "unpause it (id {id})"),
            Deed::Wake { id, .. } => write!(f, "let the suspended copy (id {id}) go on"),
            Deed::EndReceiving => write!(f, "end the receiving xl, whose sender is gone"),
            Deed::Arrived => write!(f, "record: it has arrived"),
            Deed::Release => write!(f, "record: nothing comes any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_may_be_asked_for_survives_the_wire() {
        let r: ResourceName = "r0".parse().unwrap();
        for deed in [
            Deed::Expect { open: vec![r.clone(), "r1".parse().unwrap()], home: Some("alpha".parse().unwrap()) },
            Deed::Expect { open: vec![], home: None },
            Deed::Open(r.clone()),
            Deed::Close(r.clone()),
            Deed::Connect(r.clone()),
            Deed::Promote(r.clone()),
            Deed::Demote(r),
            Deed::EndReceiving,
            Deed::Destroy { called: CopyName::Incoming, id: 7 },
            Deed::Adopt { id: 7 },
            Deed::Unpause { id: 7 },
            Deed::Arrived,
            Deed::Release,
        ] {
            assert_eq!(Deed::from_word(&deed.word().unwrap()), Some(deed));
        }
    }

    #[test]
    fn a_peer_can_never_ask_for_more() {
        assert_eq!(Deed::Send(Gate::default()).word(), None);
        assert_eq!(Deed::Wake { called: CopyName::MigratedAway, id: 7 }.word(), None);
        assert_eq!(Deed::Destroy { called: CopyName::Plain, id: 7 }.word(), None);
        for word in [
            "",
            "send",
            "destroy=7",
            "destroy-incoming=0",
            "destroy-incoming=07",
            "open=",
            "open=all",
            "primary=-x",
            "adopt=",
            "note=x",
        ] {
            assert_eq!(Deed::from_word(word), None, "{word}");
        }
    }
}
