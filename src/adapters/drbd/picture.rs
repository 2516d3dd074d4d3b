//! What `drbdsetup events2` says, one line at a time.
//!
//! One reader for the dialects of 8.4 and 9 (facts §4.6). The dump of the present state is made of `exists` lines, and of `change`
//! lines where the tool has thought again (a promotion score); both are merged. It ends with `exists -`, and only then is the
//! picture complete. Afterwards `change` lines carry only what has changed: a role that is not named has not changed.
//!
//! Keys that are not known here are ignored, since newer tools add them (`open`, `force-io-failures`), and so are the objects that say
//! nothing of who may write (`path`, `helper`). Any other object or action is remembered with its resource ([`Replica::strange`]): a
//! newer DRBD may tell of another host with it.
//! A line about a known object that lacks what identifies it is another matter: then something about a disk or a peer was not
//! understood, and the picture never becomes complete. Nor does one that grows without end.

use crate::core::drbd::{Connection, Disk, Peer, PeerVolume, Replica, Replication, Role, UNNAMED, Volume};
use crate::core::names::ResourceName;
use std::collections::BTreeMap;

/// The word shown for a state that was not said: no DRBD state, so never permission.
const NOT_SAID: &str = "(not said)";

/// So many bytes of lines may bring something new. Ten thousand resources with a peer need half of it, and memory has an end.
const MOST_NEWS: usize = 8 << 20;

/// All resources that are up on this host, as far as the lines so far tell.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    resources: BTreeMap<String, Seen>,
    end_seen: bool,
    odd: Option<String>,
    /// The bytes of the lines that brought something new.
    news: usize,
}

impl PartialEq for Picture {
    /// What they show; how many bytes it took to say it makes no difference.
    fn eq(&self, other: &Picture) -> bool {
        (&self.resources, self.end_seen, &self.odd) == (&other.resources, other.end_seen, &other.odd)
    }
}

/// What one line meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It tells or changes a state of this resource.
    State(String),
    /// It tells of this resource something that is not known here.
    Strange(String),
    /// `exists -`: the dump of the present state ends here.
    End,
    /// `- skipped N`. The 8.4 tool says so when it has lost messages; the 9 tool with a filter says so in ordinary operation
    /// (`recorded-drbd9.md`, 9). Whoever wants to be sure looks again.
    Skipped,
    /// Nothing that concerns us.
    Nothing,
    /// A line about an object that we must know, but which one it means was not understood.
    Odd,
}

impl Picture {
    /// An empty picture.
    pub fn new() -> Picture {
        Picture::default()
    }

    /// The picture of a whole output, as `--now` prints it.
    pub fn of(text: &str) -> Picture {
        let mut picture = Picture::new();
        for line in text.lines() {
            picture.apply(line);
        }
        picture
    }

    /// Takes one line in, with or without a timestamp in front. It must be a whole line: half a word is another word.
    pub fn apply(&mut self, line: &str) -> Heard {
        let mut words = line.split_whitespace();
        let mut action = words.next().unwrap_or("");
        if is_timestamp(action) {
            action = words.next().unwrap_or("");
        }
        let object = words.next().unwrap_or("");
        if action == "-" && object == "skipped" {
            return Heard::Skipped;
        }
        let action = match action {
            "exists" => Action::Exists,
            "create" => Action::Create,
            "change" => Action::Change,
            "destroy" => Action::Destroy,
            "rename" => Action::Rename,
            // Of a helper: which program DRBD runs, and how that ended.
            "call" | "response" => return Heard::Nothing,
            _ => return self.remember(line, words),
        };
        if action == Action::Exists && object == "-" {
            self.end_seen = true;
            return Heard::End;
        }
        match object {
            "resource" | "device" | "connection" | "peer-device" => {}
            "path" | "helper" => return Heard::Nothing,
            _ if action == Action::Destroy => return Heard::Nothing,
            _ => return self.remember(line, words),
        }
        let keys = Keys::of(words);
        let Some((name, target)) = keys.get("name").filter(|n| !n.is_empty()).zip(Target::of(object, &keys)) else {
            return self.not_understood(line);
        };
        if action != Action::Destroy && !self.knows(name, &target) && !self.has_room(line) {
            return self.not_understood("there is no end to what it tells");
        }
        match action {
            Action::Rename => self.rename(name, &keys),
            Action::Destroy => self.forget(name, &target),
            Action::Create => {
                self.forget(name, &target);
                self.merge(name, target, &keys);
            }
            Action::Exists | Action::Change => self.merge(name, target, &keys),
        }
        Heard::State(name.to_string())
    }

    /// Whether the present state was told to its end, and all of it was understood.
    pub fn complete(&self) -> bool {
        self.end_seen && self.odd.is_none()
    }

    /// The first line that should have been understood and was not.
    pub fn odd(&self) -> Option<&str> {
        self.odd.as_deref()
    }

    /// The resources by name. A resource whose name our own rules forbid is left out: nobody can ask for it.
    pub fn replicas(&self) -> Vec<Replica> {
        self.resources.iter().filter_map(|(name, seen)| Some(seen.replica(name.parse().ok()?))).collect()
    }

    /// One resource.
    pub fn replica(&self, name: &ResourceName) -> Option<Replica> {
        self.resources.get(name.as_str()).map(|seen| seen.replica(name.clone()))
    }

    fn not_understood(&mut self, line: &str) -> Heard {
        self.odd.get_or_insert_with(|| shortened(line));
        Heard::Odd
    }

    /// Keeps a line of a kind that is not known here with the resource that it names.
    fn remember<'a>(&mut self, line: &str, words: impl Iterator<Item = &'a str>) -> Heard {
        let keys = Keys::of(words);
        let Some(name) = keys.get("name").filter(|n| !n.is_empty()) else {
            return Heard::Nothing;
        };
        if !self.knows(name, &Target::Resource) && !self.has_room(line) {
            return self.not_understood("there is no end to what it tells");
        }
        let seen = self.resources.entry(name.to_string()).or_default();
        seen.strange.get_or_insert_with(|| shortened(line));
        Heard::Strange(name.to_string())
    }

    fn knows(&self, name: &str, target: &Target) -> bool {
        self.resources.get(name).is_some_and(|seen| match target {
            Target::Resource => true,
            Target::Device(number) => seen.volumes.get(number).is_some(),
            Target::Connection(peer) => seen.peers.get(peer).is_some(),
            Target::PeerDevice(peer, number) => seen.peers.get(peer).is_some_and(|peer| peer.volumes.get(number).is_some()),
        })
    }

    /// For what this line brings.
    fn has_room(&mut self, line: &str) -> bool {
        self.news = self.news.saturating_add(line.len());
        self.news <= MOST_NEWS
    }

    fn rename(&mut self, name: &str, keys: &Keys<'_>) {
        if let (Some(seen), Some(new)) = (self.resources.remove(name), keys.get("new_name")) {
            self.resources.insert(new.to_string(), seen);
        }
    }

    /// Takes an object out. One that is not there stays away: a late `destroy` must not bring a resource back.
    fn forget(&mut self, name: &str, target: &Target) {
        let Some(seen) = self.resources.get_mut(name) else {
            return;
        };
        match target {
            Target::Resource => {
                self.resources.remove(name);
            }
            Target::Device(number) => {
                seen.volumes.remove(number);
            }
            Target::Connection(peer) => {
                seen.peers.remove(peer);
            }
            Target::PeerDevice(peer, number) => {
                if let Some(peer) = seen.peers.get_mut(peer) {
                    peer.volumes.remove(number);
                }
            }
        }
    }

    /// Takes in what a line says of an object; what it does not name stays as it was.
    fn merge(&mut self, name: &str, target: Target, keys: &Keys<'_>) {
        let seen = self.resources.entry(name.to_string()).or_default();
        match target {
            Target::Resource => {
                keys.set("role", &mut seen.role);
                keys.set_yes_or_no("may_promote", &mut seen.may_promote);
            }
            Target::Device(number) => {
                let volume = seen.volumes.get_or_insert_with(number, || Volume {
                    number,
                    minor: None,
                    disk: Disk::Other(NOT_SAID.to_string()),
                    quorum: None,
                });
                volume.minor = keys.number("minor").or(volume.minor);
                keys.set("disk", &mut volume.disk);
                keys.set_yes_or_no("quorum", &mut volume.quorum);
            }
            Target::Connection(peer) => {
                let peer = seen.peer(peer, keys);
                keys.set("connection", &mut peer.connection);
                keys.set("role", &mut peer.role);
            }
            Target::PeerDevice(peer, number) => {
                let volume = seen.peer(peer, keys).volumes.get_or_insert_with(number, || PeerVolume {
                    number,
                    disk: Disk::Other(NOT_SAID.to_string()),
                    replication: Replication::Other(NOT_SAID.to_string()),
                });
                keys.set("peer-disk", &mut volume.disk);
                keys.set("replication", &mut volume.replication);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Exists,
    Create,
    Change,
    Destroy,
    Rename,
}

/// Which object of a resource a line is about.
enum Target {
    Resource,
    Device(u32),
    Connection(String),
    PeerDevice(String, u32),
}

impl Target {
    /// A peer is told by its node id (8.4 always says 0), which stays when a connection has no name yet.
    fn of(object: &str, keys: &Keys<'_>) -> Option<Target> {
        let peer = || keys.get("peer-node-id").filter(|id| !id.is_empty()).map(str::to_string);
        let volume = || keys.number("volume");
        match object {
            "resource" => Some(Target::Resource),
            "device" => Some(Target::Device(volume()?)),
            "connection" => Some(Target::Connection(peer()?)),
            "peer-device" => Some(Target::PeerDevice(peer()?, volume()?)),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    role: Role,
    may_promote: Option<bool>,
    volumes: Few<u32, Volume>,
    peers: Few<String, SeenPeer>,
    strange: Option<String>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { role: Role::Unknown, may_promote: None, volumes: Few::new(), peers: Few::new(), strange: None }
    }
}

impl Seen {
    fn replica(&self, resource: ResourceName) -> Replica {
        Replica {
            resource,
            role: self.role.clone(),
            volumes: self.volumes.values().cloned().collect(),
            peers: self.peers.values().map(SeenPeer::peer).collect(),
            may_promote: self.may_promote,
            strange: self.strange.clone(),
        }
    }

    fn peer(&mut self, id: String, keys: &Keys<'_>) -> &mut SeenPeer {
        let peer = self.peers.get_or_insert_with(id, SeenPeer::default);
        if let Some(name) = keys.get("conn-name") {
            peer.name = Some(name.to_string());
        }
        peer
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenPeer {
    name: Option<String>,
    connection: Connection,
    role: Role,
    volumes: Few<u32, PeerVolume>,
}

impl Default for SeenPeer {
    fn default() -> SeenPeer {
        SeenPeer { name: None, connection: Connection::Other(NOT_SAID.to_string()), role: Role::Unknown, volumes: Few::new() }
    }
}

impl SeenPeer {
    fn peer(&self) -> Peer {
        Peer {
            // 8.4 has one peer, which it calls `peer`, and does not name it while StandAlone (seen on 8.4.11).
            name: self.name.clone().unwrap_or_else(|| UNNAMED.to_string()),
            connection: self.connection.clone(),
            role: self.role.clone(),
            volumes: self.volumes.values().cloned().collect(),
        }
    }
}

/// A map of one, two or a few. A map of the standard library reserves room for eleven at once, which for a thousand resources with their
/// volumes and peers is megabytes of nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Few<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Few<K, V> {
    fn new() -> Few<K, V> {
        Few(Vec::new())
    }

    fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.0.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|at| &self.0[at].1)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.iter_mut().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let at = match self.0.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => at,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (key, value()));
                at
            }
        };
        &mut self.0[at].1
    }

    fn remove(&mut self, key: &K) {
        self.0.retain(|(k, _)| k != key);
    }
}

/// The `key:value` words of one line; a value goes on after further colons (`local:ipv4:10.0.0.1:7789`).
struct Keys<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Keys<'a> {
    fn of(words: impl Iterator<Item = &'a str>) -> Keys<'a> {
        Keys(words.filter_map(|word| word.split_once(':')).collect())
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.get(key)?.parse().ok()
    }

    fn set<T: From<&'a str>>(&self, key: &str, place: &mut T) {
        if let Some(word) = self.get(key) {
            *place = T::from(word);
        }
    }

    /// Neither yes nor no becomes "not said".
    fn set_yes_or_no(&self, key: &str, place: &mut Option<bool>) {
        *place = match self.get(key) {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            Some(_) => None,
            None => return,
        };
    }
}

/// As much of a line as a message has room for.
fn shortened(line: &str) -> String {
    line.trim().chars().take(200).collect()
}

/// `2026-01-31T12:00:00.123456+01:00`, as `--timestamps` puts it in front.
fn is_timestamp(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('T')
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
