//! Both ends of one DRBD resource, by the rules that were measured on real pairs (8.4.11 and 9.2.16; where they differ, it says so).
//!
//! There is no clock here. What takes time in the world (that a loss is noticed, that two ends find each other, that the flag which was
//! set on one end reaches the other one, that a resync is over) is a step of its own, which may come early, late or never. So what an end
//! *shows* of a peer that has fallen silent is old for as long as the walk likes.

use super::story::{Teller, name};
use xen_drbd::core::drbd::{
    Connection, Disk, Fencing, Generation, Options, Peer, PeerVolume, Replica, Replication, Role, Volume,
};
use xen_drbd::core::names::ResourceName;

/// What the two Dom0s have, and what their files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub generation: Generation,
    /// The options of the operator's file, the same on both.
    pub file: Options,
}

/// A connection as one end has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    StandAlone,
    Connecting,
    Connected,
}

/// One end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct End {
    /// The Dom0 is on, and the resource is up.
    pub on: bool,
    pub primary: bool,
    /// `allow-two-primaries`, in force.
    pub two: bool,
    /// `fencing=resource-only`, in force.
    pub fencing: bool,
    pub link: Link,
    /// Whether the peer is shown as Primary; `None`: its role is Unknown.
    pub shown: Option<bool>,
    /// The disk is UpToDate; otherwise it is Inconsistent, in the middle of a resync.
    pub whole: bool,
    /// It has begun a data generation that the other end does not have. In the meta data: it outlives a power cut.
    pub own_generation: bool,
    /// DRBD 9: the next write begins one.
    pub bump: bool,
    /// It has writes of a guest that the other end does not have.
    pub ahead: bool,
    /// A domU has the device open.
    pub open: bool,
    /// The peer has changed `allow-two-primaries`, and this end has not heard of it yet.
    pub mail: Option<bool>,
}

/// Both ends, and the cable between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    pub ends: [End; 2],
    pub cable: bool,
    /// A resync is under way, from this end.
    pub source: Option<usize>,
}

/// What drbdadm is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// DRBD 8.4, `disk-options`.
    Fencing(bool),
    /// DRBD 8.4, `net-options`.
    TwoPrimaries(bool),
    /// DRBD 9, both in one `net-options`.
    Both {
        two: bool,
        fencing: bool,
    },
    Primary,
    Secondary,
}

/// Why it was not done; the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// -1
    PeerPrimary,
    /// -2
    NoGoodData,
    /// -7
    PeerNotOutdated,
    /// -12
    HeldOpen,
    /// 164
    BothPrimary,
    /// 162
    NoConnection,
}

impl Refusal {
    pub fn words(self) -> &'static str {
        match self {
            Refusal::PeerPrimary => "(-1) Multiple primaries not allowed by config",
            Refusal::NoGoodData => "(-2) Need access to UpToDate data",
            Refusal::PeerNotOutdated => "(-7) Refusing to be Primary while peer is not outdated",
            Refusal::HeldOpen => "(-12) Device is held open by someone",
            Refusal::BothPrimary => "(164) Can not clear allow_two_primaries as long as there are primaries on both sides",
            Refusal::NoConnection => "(162) unknown connection",
        }
    }
}

pub fn other(at: usize) -> usize {
    1 - at
}

impl Pair {
    /// Both Dom0s are off, both disks are the same.
    pub fn new(rules: &Rules) -> Pair {
        let end = End {
            on: false,
            primary: false,
            two: rules.file.two_primaries,
            fencing: rules.file.fencing.guards(),
            link: Link::StandAlone,
            shown: None,
            whole: true,
            own_generation: false,
            bump: false,
            ahead: false,
            open: false,
            mail: None,
        };
        Pair { ends: [end; 2], cable: true, source: None }
    }

    /// The ends are connected and hear each other.
    pub fn is_live(&self) -> bool {
        self.cable && self.ends.iter().all(|e| e.on && e.link == Link::Connected)
    }

    /// Each end has a data generation that the other one does not have.
    pub fn is_split(&self) -> bool {
        self.ends.iter().all(|e| e.own_generation)
    }

    /// What `drbdsetup events2 --now` shows at one end.
    pub fn replica(&self, resource: &ResourceName, at: usize) -> Replica {
        let end = &self.ends[at];
        let role = |primary| if primary { Role::Primary } else { Role::Secondary };
        let disk = |whole| if whole { Disk::UpToDate } else { Disk::Inconsistent };
        let (connection, peer_disk, replication) = match (end.link, self.source) {
            (Link::StandAlone, _) => (Connection::StandAlone, Disk::Unknown, Replication::Off),
            (Link::Connecting, _) => (Connection::Connecting, Disk::Unknown, Replication::Off),
            (Link::Connected, None) => (Connection::Connected, Disk::UpToDate, Replication::Established),
            (Link::Connected, Some(from)) if from == at => (Connection::Connected, Disk::Inconsistent, Replication::SyncSource),
            (Link::Connected, Some(_)) => (Connection::Connected, Disk::UpToDate, Replication::SyncTarget),
        };
        Replica {
            resource: resource.clone(),
            role: role(end.primary),
            volumes: vec![Volume { number: 0, minor: Some(1), disk: disk(end.whole), quorum: None }],
            peers: vec![Peer {
                name: name(other(at)).to_string(),
                connection,
                role: end.shown.map_or(Role::Unknown, role),
                volumes: vec![PeerVolume { number: 0, disk: peer_disk, replication }],
            }],
            may_promote: None,
            strange: None,
        }
    }

    /// What `drbdsetup show` shows at one end. DRBD 8 drops the net options together with the connection (row 10).
    pub fn options(&self, rules: &Rules, at: usize) -> Option<Options> {
        let end = &self.ends[at];
        let dropped = rules.generation != Generation::V9 && end.link == Link::StandAlone;
        let fencing = if end.fencing { Fencing::ResourceOnly } else { Fencing::DontCare };
        (!dropped).then_some(Options { two_primaries: end.two, fencing })
    }

    /// A command, as the kernel does it.
    pub fn run(&mut self, rules: &Rules, at: usize, command: Command, told: &mut Teller<'_>) -> Result<(), Refusal> {
        let done = match command {
            Command::Fencing(on) => {
                self.ends[at].fencing = on;
                Ok(())
            }
            Command::TwoPrimaries(two) => self.set_two(rules, at, two),
            Command::Both { two, fencing } => self.set_two(rules, at, two).map(|()| self.ends[at].fencing = fencing),
            Command::Primary => self.promote(rules, at, told),
            Command::Secondary => self.demote(at),
        };
        self.refresh();
        done
    }

    /// A matter of both ends: a connected one learns it, a moment later (`P_PROTOCOL_UPDATE` on the same connection).
    fn set_two(&mut self, rules: &Rules, at: usize, two: bool) -> Result<(), Refusal> {
        let there = other(at);
        let end = &mut self.ends[at];
        if rules.generation != Generation::V9 && end.link == Link::StandAlone {
            return Err(Refusal::NoConnection);
        }
        if end.two && !two && end.primary && end.shown == Some(true) {
            return Err(Refusal::BothPrimary);
        }
        end.two = two;
        let reachable = end.link == Link::Connected && self.ends[there].on && self.ends[there].link == Link::Connected;
        let peer = &mut self.ends[there];
        peer.mail = (reachable && (peer.mail.is_some() || peer.two != two)).then_some(two);
        Ok(())
    }

    /// The flag that the peer has set.
    pub fn deliver(&mut self, at: usize) {
        if let Some(two) = self.ends[at].mail.take() {
            self.ends[at].two = two;
        }
    }

    /// Connected, both kernels decide (rows 2 and 11); alone, fencing does (rows 3 and 4).
    fn promote(&mut self, rules: &Rules, at: usize, told: &mut Teller<'_>) -> Result<(), Refusal> {
        if self.ends[at].primary {
            return Ok(());
        }
        // The kernel asks the peer; one that has been silent is found out now, within a second (rows 3 and 4).
        if self.ends[at].link == Link::Connected && !self.is_live() {
            self.lose(rules, at, told);
        }
        if self.is_live() {
            // Question and answer come behind what was said before them.
            for end in [0, 1] {
                self.deliver(end);
            }
            if self.ends[other(at)].primary && !self.ends.iter().all(|e| e.two) {
                return Err(Refusal::PeerPrimary);
            }
            if !self.ends.iter().any(|e| e.whole) {
                return Err(Refusal::NoGoodData);
            }
        } else {
            if !self.ends[at].whole {
                return Err(Refusal::NoGoodData);
            }
            if self.ends[at].fencing {
                return Err(Refusal::PeerNotOutdated);
            }
            self.goes_alone(rules, at, told);
        }
        self.ends[at].primary = true;
        Ok(())
    }

    fn demote(&mut self, at: usize) -> Result<(), Refusal> {
        let end = &mut self.ends[at];
        if end.primary && end.open {
            return Err(Refusal::HeldOpen);
        }
        end.primary = false;
        end.bump = false;
        Ok(())
    }

    /// A Primary without its peer: 8 begins a new data generation at once (row 3), 9 with the first write (row 3b).
    fn goes_alone(&mut self, rules: &Rules, at: usize, told: &mut Teller<'_>) {
        let end = &mut self.ends[at];
        if end.own_generation || !end.whole {
            return;
        }
        if rules.generation == Generation::V9 {
            end.bump = true;
        } else {
            end.own_generation = true;
            told.say(|| format!("{} begins a data generation of its own", name(at)));
        }
    }

    /// An end gives its peer up.
    pub fn lose(&mut self, rules: &Rules, at: usize, told: &mut Teller<'_>) {
        told.say(|| format!("DRBD on {} has lost {}", name(at), name(other(at))));
        self.source = None;
        self.ends.iter_mut().for_each(|e| e.mail = None);
        self.ends[at].link = Link::Connecting;
        self.ends[at].shown = None;
        if self.ends[at].primary {
            self.goes_alone(rules, at, told);
        }
    }

    /// Two ends that wait for each other and hear each other compare what they have.
    pub fn handshake(&mut self, told: &mut Teller<'_>) {
        let [a, b] = self.ends;
        let apart = if a.two != b.two {
            Some("they differ in allow-two-primaries")
        } else if self.is_split() {
            Some("SPLIT BRAIN, each has a data generation of its own")
        } else if a.primary && b.primary && !a.two {
            Some("both are Primary")
        } else if a.own_generation && b.primary && b.whole || b.own_generation && a.primary && a.whole {
            // `drbd_receiver.c`: an end whose disk is not even consistent may be overwritten while it is Primary.
            Some("the older end is Primary")
        } else {
            None
        };
        if let Some(why) = apart {
            self.ends.iter_mut().for_each(|e| e.link = Link::StandAlone);
            told.say(|| format!("the ends refuse each other, both StandAlone: {why}"));
            return;
        }
        self.ends.iter_mut().for_each(|e| {
            e.link = Link::Connected;
            e.bump = false;
        });
        self.source = match (a.own_generation, b.own_generation, a.whole, b.whole) {
            (true, ..) | (_, false, true, false) => Some(0),
            (_, true, ..) | (_, _, false, true) => Some(1),
            _ => None,
        };
        if let Some(from) = self.source {
            self.ends[other(from)].whole = false;
            told.say(|| format!("the ends connect, and a resync from {} begins", name(from)));
        } else {
            told.say(|| "the ends connect".to_string());
        }
        self.refresh();
    }

    /// The resync is over. True: it has thrown a guest's writes away.
    pub fn synced(&mut self) -> bool {
        let Some(from) = self.source.take() else { return false };
        let lost = self.ends[other(from)].ahead;
        for end in &mut self.ends {
            (end.whole, end.own_generation, end.ahead) = (true, false, false);
        }
        lost
    }

    /// A guest writes. What it writes while the peer is silent waits until that is noticed.
    pub fn write(&mut self, at: usize) {
        let live = self.is_live();
        let end = &mut self.ends[at];
        if !end.primary || !end.open || (end.link == Link::Connected && !live) || (!live && !end.whole) {
            return;
        }
        if !live {
            end.own_generation |= end.bump;
            end.bump = false;
            end.ahead = true;
        }
    }

    /// The power is cut. The meta data remain.
    pub fn power_off(&mut self, rules: &Rules, at: usize) {
        self.source = None;
        self.ends.iter_mut().for_each(|e| e.mail = None);
        let End { whole, own_generation, ahead, .. } = self.ends[at];
        self.ends[at] = End { whole, own_generation, ahead, ..Pair::new(rules).ends[at] };
    }

    /// The Dom0 boots, and brings the resource up with the options of its file.
    pub fn power_on(&mut self, at: usize) {
        self.ends[at].on = true;
        self.ends[at].link = Link::Connecting;
    }

    /// `drbdadm adjust`: the options of the file, and a connect.
    pub fn adjust(&mut self, rules: &Rules, at: usize) {
        let end = &mut self.ends[at];
        end.two = rules.file.two_primaries;
        end.fencing = rules.file.fencing.guards();
        if end.link == Link::StandAlone {
            end.link = Link::Connecting;
        }
    }

    /// Whoever hears the other one shows what is so; who does not goes on showing what was so.
    pub fn refresh(&mut self) {
        if self.is_live() {
            let roles = self.ends.map(|e| e.primary);
            for (at, end) in self.ends.iter_mut().enumerate() {
                end.shown = Some(roles[other(at)]);
            }
        }
    }
}
