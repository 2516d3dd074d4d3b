//! DRBD's own words, and what one host sees of a resource.
//!
//! Every list of words keeps a place for a word we do not know, so that a newer version's line is not lost:
//! it never counts as permission.

use super::names::ResourceName;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[allow(missing_docs)]
        pub enum $name {
            $($variant,)+
            /// A word that this version does not know.
            Other(String),
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word $(| $alias)* => Self::$variant,)+
                    _ => Self::Other(word.to_string()),
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                Self::from(word.as_str())
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> String {
                word.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.pad($word),)+
                    Self::Other(word) => f.pad(word),
                }
            }
        }
    };
}

words!(
    /// Who may write (`drbd_strings.c`).
    Role { Primary = "Primary", Secondary = "Secondary", Unknown = "Unknown" }
);
words!(
    /// The connection to one peer. DRBD 8 says `WFConnection` where 9 says `Connecting`; the names of 9 are kept.
    Connection {
        StandAlone = "StandAlone", Disconnecting = "Disconnecting", Unconnected = "Unconnected", Timeout = "Timeout",
        BrokenPipe = "BrokenPipe", NetworkFailure = "NetworkFailure", ProtocolError = "ProtocolError", TearDown = "TearDown",
        Connecting = "Connecting" | "WFConnection", Handshake = "WFReportParams", Connected = "Connected",
    }
);
words!(
    /// The state of one disk.
    Disk {
        Diskless = "Diskless", Attaching = "Attaching", Detaching = "Detaching", Failed = "Failed", Negotiating = "Negotiating",
        Inconsistent = "Inconsistent", Outdated = "Outdated", Unknown = "DUnknown", Consistent = "Consistent", UpToDate = "UpToDate",
    }
);
words!(
    /// What is being copied between two disks.
    Replication {
        Off = "Off", Established = "Established", StartingSyncSource = "StartingSyncS", StartingSyncTarget = "StartingSyncT",
        BitMapSource = "WFBitMapS", BitMapTarget = "WFBitMapT", SyncUuid = "WFSyncUUID", SyncSource = "SyncSource",
        SyncTarget = "SyncTarget", VerifySource = "VerifyS", VerifyTarget = "VerifyT", PausedSource = "PausedSyncS",
        PausedTarget = "PausedSyncT", Ahead = "Ahead", Behind = "Behind",
    }
);
words!(
    /// The fencing policy, weakest first. Under the last two a peer that cannot be asked forbids promotion.
    Fencing { DontCare = "dont-care", ResourceOnly = "resource-only", Stonith = "resource-and-stonith" }
);

impl Fencing {
    /// Whether a promotion is refused while the peer cannot be asked.
    pub fn guards(&self) -> bool {
        matches!(self, Fencing::ResourceOnly | Fencing::Stonith)
    }
}

/// Which family of tools and kernel module answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Generation {
    /// 8.3: `/proc/drbd` only, options only in the file.
    V83,
    /// 8.4: one peer, `fencing` among the disk options.
    V84,
    /// 9: many peers, auto-promote, `fencing` among the net options.
    V9,
}

/// The two options that decide who may be Primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// `allow-two-primaries`.
    pub two_primaries: bool,
    /// `fencing`.
    pub fencing: Fencing,
}

impl Default for Options {
    /// What DRBD does when the file says nothing.
    fn default() -> Self {
        Options { two_primaries: false, fencing: Fencing::DontCare }
    }
}

/// One volume of a resource on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume's number.
    pub number: u32,
    /// The device minor, where it was shown.
    pub minor: Option<u32>,
    /// The local disk.
    pub disk: Disk,
    /// DRBD 9: whether this volume has quorum (`None`: not said).
    pub quorum: Option<bool>,
}

/// One volume as one peer has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerVolume {
    /// The volume's number.
    pub number: u32,
    /// The peer's disk.
    pub disk: Disk,
    /// What is being copied.
    pub replication: Replication,
}

/// What a peer is called that the kernel has no name for: 8.x has one, and this is its word for it.
pub const UNNAMED: &str = "peer";

/// One peer of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The connection's name, or [`UNNAMED`].
    pub name: String,
    /// The connection.
    pub connection: Connection,
    /// The peer's role as shown here: up to ten seconds old (`recorded.md`, 4).
    pub role: Role,
    /// Its volumes.
    pub volumes: Vec<PeerVolume>,
}

impl Peer {
    /// Whether the kernel has a name of its own for it, as DRBD 9.
    pub fn is_named(&self) -> bool {
        self.name != UNNAMED
    }

    /// As a person calls it.
    pub fn called(&self) -> &str {
        if self.is_named() { &self.name } else { "the other host" }
    }
}

/// Our end of a resource, as the kernel shows it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The resource.
    pub resource: ResourceName,
    /// Our role; `Unknown` when the resource is not up.
    pub role: Role,
    /// Our volumes.
    pub volumes: Vec<Volume>,
    /// Every peer.
    pub peers: Vec<Peer>,
    /// DRBD 9, `may_promote` (`None`: not said). No proof of anything without quorum.
    pub may_promote: Option<bool>,
    /// What DRBD told of it in words that this version does not know: it may be anything, also another host that uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strange: Option<String>,
}

impl Replica {
    /// Whether the kernel knows the resource at all.
    pub fn is_up(&self) -> bool {
        !self.volumes.is_empty() || self.role != Role::Unknown
    }

    /// There is a peer, and every peer is connected.
    pub fn is_connected(&self) -> bool {
        !self.peers.is_empty() && self.peers.iter().all(|p| p.connection == Connection::Connected)
    }

    /// The local disk of every volume is UpToDate.
    pub fn is_up_to_date(&self) -> bool {
        !self.volumes.is_empty() && self.volumes.iter().all(|v| v.disk == Disk::UpToDate)
    }

    /// The disks of every peer are UpToDate and nothing is being copied.
    pub fn peers_are_up_to_date(&self) -> bool {
        !self.peers.is_empty()
            && self.peers.iter().all(|p| {
                !p.volumes.is_empty()
                    && p.volumes.iter().all(|v| v.disk == Disk::UpToDate && v.replication == Replication::Established)
            })
    }

    /// The resource in words: `r0 Primary/Secondary Connected UpToDate/UpToDate`.
    pub fn in_words(&self) -> String {
        let r = self;
        if !r.is_up() {
            return format!("{} is not up", r.resource);
        }
        let list = |mut words: Vec<String>| {
            words.dedup();
            if words.is_empty() { "?".to_string() } else { words.join("+") }
        };
        let peer_roles = list(r.peers.iter().map(|p| p.role.to_string()).collect());
        let connections = list(r.peers.iter().map(|p| p.connection.to_string()).collect());
        let disks = list(r.volumes.iter().map(|v| v.disk.to_string()).collect());
        let peer_disks = list(r.peers.iter().flat_map(|p| p.volumes.iter().map(|v| v.disk.to_string())).collect());
        let copying: Vec<String> = r
            .peers
            .iter()
            .flat_map(|p| &p.volumes)
            .filter(|v| !matches!(v.replication, Replication::Established | Replication::Off))
            .map(|v| format!(" {}", v.replication))
            .collect();
        format!("{} {}/{peer_roles} {connections} {disks}/{peer_disks}{}", r.resource, r.role, copying.concat())
    }

    /// Some peer is shown Primary.
    pub fn peer_is_primary(&self) -> bool {
        self.peers.iter().any(|p| p.role == Role::Primary)
    }
}

/// What the operator's files say of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// The resource.
    pub resource: ResourceName,
    /// Its volumes on this host: number, minor, device node, lower disk.
    pub volumes: Vec<ConfiguredVolume>,
    /// The options that the file sets (or DRBD's defaults).
    pub options: Options,
    /// Every other host that has it.
    #[serde(default)]
    pub peers: Vec<ConfiguredPeer>,
    /// DRBD 9: `auto-promote` (default yes).
    pub auto_promote: bool,
    /// DRBD 9: `quorum` is anything but `off`, its default. Without it DRBD says `quorum:yes` to everybody.
    #[serde(default)]
    pub quorum: bool,
}

impl Configured {
    /// The hosts of the file that the kernel does not show. One that goes by no name, in the file (`floating`) or in the kernel (8.x), can
    /// only be counted.
    pub fn unshown_peers(&self, replica: &Replica) -> Vec<&ConfiguredPeer> {
        let mut shown: Vec<&Peer> = replica.peers.iter().collect();
        let mut take = |is: &dyn Fn(&Peer) -> bool| shown.iter().position(|p| is(p)).map(|at| shown.remove(at)).is_some();
        let called = |peer: &ConfiguredPeer, shown: &Peer| peer.name.as_ref() == Some(&shown.name);
        let mut unshown: Vec<&ConfiguredPeer> = self.peers.iter().filter(|peer| !take(&|p| called(peer, p))).collect();
        unshown.retain(|peer| !(peer.connected && take(&|p| peer.name.is_none() || !p.is_named())));
        unshown
    }

    /// The volumes of the file that the kernel does not show.
    pub fn unshown_volumes(&self, replica: &Replica) -> Vec<&ConfiguredVolume> {
        self.volumes.iter().filter(|c| !replica.volumes.iter().any(|v| v.number == c.number)).collect()
    }
}

/// Another host as the operator's files have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredPeer {
    /// What drbdadm calls the connection to it; `None` where the file names no hosts (`floating`).
    pub name: Option<String>,
    /// The hosts of its section (`on alpha beta`), by the names that they give themselves. Empty where the file names none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The file connects it with this host. DRBD 9 lets three hosts have a resource of which two know nothing of each other.
    pub connected: bool,
}

/// One volume as the operator's files have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredVolume {
    /// The volume's number.
    pub number: u32,
    /// The device minor.
    pub minor: u32,
    /// `/dev/drbd1` or a name of the operator's.
    pub device: String,
    /// The lower disk.
    pub disk: String,
    /// Whether the file has no `volume` section (then `by-res/RES` is a link, not a folder; facts 3.5).
    pub implicit: bool,
}
