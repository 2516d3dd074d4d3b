//! What `drbdsetup events2` says, one line at a time.
//!
//! One reader for the dialects of 8.4 and 9 (facts §4.6). The dump of the present state is made of `exists` lines, and of `change`
//! lines where the tool has thought again (a promotion score); both are merged. It ends with `exists -`, and only then is the
//! picture complete. Afterwards `change` lines carry only what has changed: a role that is not named has not changed.
//!
//! Keys and objects that are not known here are ignored, since newer tools add them (`path`, `open`, `force-io-failures`).
//! A line about a known object that lacks what identifies it is another matter: then something about a disk or a peer was not
//! understood, and the picture never becomes complete.

use crate::core::drbd::{Connection, Disk, Peer, PeerVolume, Replica, Replication, Role, Volume};
use std::collections::BTreeMap;

/// The word shown for a state that was not said: no DRBD state, so never permission.
const NOT_SAID: &str = "(not said)";

/// All resources that are up on this host, as far as the lines so far tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    resources: BTreeMap<String, Seen>,
    end_seen: bool,
    odd: Option<String>,
}

/// What one line meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It tells or changes a state of this resource.
    State(String),
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
            _ => return Heard::Nothing,
        };
        if action == Action::Exists && object == "-" {
            self.end_seen = true;
            return Heard::End;
        }
        if !matches!(object, "resource" | "device" | "connection" | "peer-device") {
            return Heard::Nothing;
        }
        let keys = Keys(words.filter_map(|word| word.split_once(':')).collect());
        let Some((name, target)) = keys.get("name").filter(|n| !n.is_empty()).zip(Target::of(object, &keys)) else {
            self.odd.get_or_insert_with(|| line.trim().chars().take(200).collect());
            return Heard::Odd;
        };
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
        self.resources
            .iter()
            .filter_map(|(name, seen)| {
                let resource = name.parse().ok()?;
                Some(Replica {
                    resource,
                    role: seen.role.clone(),
                    volumes: seen.volumes.values().cloned().collect(),
                    peers: seen.peers.values().map(SeenPeer::peer).collect(),
                    may_promote: seen.may_promote,
                })
            })
            .collect()
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
                let volume = seen.volumes.entry(number).or_insert_with(|| Volume {
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
                let volume = seen.peer(peer, keys).volumes.entry(number).or_insert_with(|| PeerVolume {
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
    volumes: BTreeMap<u32, Volume>,
    peers: BTreeMap<String, SeenPeer>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { role: Role::Unknown, may_promote: None, volumes: BTreeMap::new(), peers: BTreeMap::new() }
    }
}

impl Seen {
    fn peer(&mut self, id: String, keys: &Keys<'_>) -> &mut SeenPeer {
        let peer = self.peers.entry(id).or_default();
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
    volumes: BTreeMap<u32, PeerVolume>,
}

impl Default for SeenPeer {
    fn default() -> SeenPeer {
        SeenPeer {
            name: None,
            connection: Connection::Other(NOT_SAID.to_string()),
            role: Role::Unknown,
            volumes: BTreeMap::new(),
        }
    }
}

impl SeenPeer {
    fn peer(&self) -> Peer {
        Peer {
            // 8.4 has one peer, which it calls `peer`, and does not name it while StandAlone (seen on 8.4.11).
            name: self.name.clone().unwrap_or_else(|| "peer".to_string()),
            connection: self.connection.clone(),
            role: self.role.clone(),
            volumes: self.volumes.values().cloned().collect(),
        }
    }
}

/// The `key:value` words of one line; a value goes on after further colons (`local:ipv4:10.0.0.1:7789`).
struct Keys<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Keys<'a> {
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

/// `2026-01-31T12:00:00.123456+01:00`, as `--timestamps` puts it in front.
fn is_timestamp(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('T')
}

#[cfg(test)]
mod tests {
    use super::super::testing::{recorded, replica};
    use super::*;

    fn seen(name: &str) -> Picture {
        let picture = Picture::of(&recorded(name));
        assert!(picture.complete(), "{name}: {:?}", picture.odd());
        picture
    }

    #[test]
    fn no_resource_up_is_a_complete_picture() {
        assert!(seen("drbdsetup-8.4-events2-none-up.txt").replicas().is_empty());
    }

    #[test]
    fn an_84_connection_that_stands_alone_has_no_name() {
        let picture = seen("drbdsetup-8.4-events2-standalone-without-conn-name.txt");
        let (r0, r1) = (replica(&picture, "r0"), replica(&picture, "r1"));
        assert_eq!(r0.peers[0].connection, Connection::Connecting);
        assert_eq!(r1.peers.len(), 1);
        assert_eq!((r1.peers[0].name.as_str(), &r1.peers[0].connection), ("peer", &Connection::StandAlone));
        assert_eq!(r1.volumes[0], Volume { number: 0, minor: Some(1), disk: Disk::Inconsistent, quorum: None });
        assert_eq!(r1.may_promote, None);
    }

    #[test]
    fn an_84_sync_source_is_connected_and_says_the_copying_elsewhere() {
        let r0 = replica(&seen("drbdsetup-8.4-events2-syncsource.txt"), "r0");
        assert!(r0.is_connected() && r0.is_up_to_date() && !r0.peers_are_up_to_date());
        assert_eq!(r0.peers[0].volumes[0].replication, Replication::SyncSource);
        assert_eq!(r0.peers[0].volumes[0].disk, Disk::Inconsistent);
    }

    #[test]
    fn a_peer_that_went_in_mid_sync_still_has_its_last_disk_state() {
        let r0 = replica(&seen("drbdsetup-8.4-events2-peer-down-in-mid-sync.txt"), "r0");
        assert!(!r0.is_connected());
        assert_eq!(r0.peers[0].volumes[0].disk, Disk::Inconsistent);
        assert_eq!(r0.peers[0].role, Role::Unknown);
    }

    #[test]
    fn the_role_of_a_connection_line_is_the_peers() {
        let r0 = replica(&seen("drbdsetup-8.4-events2-peer-primary.txt"), "r0");
        assert_eq!((&r0.role, &r0.peers[0].role), (&Role::Secondary, &Role::Primary));
        assert!(r0.peer_is_primary());
    }

    #[test]
    fn a_peer_without_power_looks_like_any_lost_peer() {
        let r0 = replica(&seen("drbdsetup-8.4-events2-peer-powered-off.txt"), "r0");
        assert!(r0.is_up_to_date(), "the disk does not show that the peer wrote on");
        assert_eq!((&r0.peers[0].connection, &r0.peers[0].role), (&Connection::Connecting, &Role::Unknown));
    }

    #[test]
    fn connected_and_never_synchronised() {
        let r0 = replica(&seen("drbdsetup-9.2-events2-never-synchronised.txt"), "r0");
        assert!(r0.is_connected() && !r0.is_up_to_date());
        assert_eq!(r0.may_promote, Some(false));
        assert_eq!(r0.peers[0].name, "dom0-b");
    }

    #[test]
    fn both_primary() {
        let r0 = replica(&seen("drbdsetup-9.2-events2-both-primary.txt"), "r0");
        assert_eq!((&r0.role, &r0.peers[0].role), (&Role::Primary, &Role::Primary));
    }

    #[test]
    fn a_9_sync_target_is_connected_and_inconsistent() {
        let r0 = replica(&seen("drbdsetup-9.2-events2-synctarget.txt"), "r0");
        assert!(r0.is_connected() && !r0.is_up_to_date());
        assert_eq!(r0.peers[0].volumes[0].replication, Replication::SyncTarget);
    }

    #[test]
    fn a_link_cut_just_now_is_still_shown_as_connected() {
        let r0 = replica(&seen("drbdsetup-9.2-events2-link-cut-just-now.txt"), "r0");
        assert!(r0.is_connected() && r0.peer_is_primary());
    }

    #[test]
    fn may_promote_says_yes_while_the_link_is_cut() {
        let r0 = replica(&seen("drbdsetup-9.2-events2-link-cut-15-s-ago.txt"), "r0");
        assert!(!r0.is_connected());
        assert_eq!(r0.may_promote, Some(true));
        assert_eq!(r0.volumes[0].quorum, Some(true), "with quorum off it is always yes");
    }

    #[test]
    fn may_promote_says_yes_while_standing_alone() {
        let r0 = replica(&seen("drbdsetup-9.2-events2-standalone.txt"), "r0");
        assert_eq!((r0.may_promote, &r0.peers[0].connection), (Some(true), &Connection::StandAlone));
    }

    #[test]
    fn a_change_line_may_come_before_the_end_of_the_dump() {
        let picture = seen("drbdsetup-9.34-events2-change-before-the-end.txt");
        let web = replica(&picture, "web");
        assert_eq!((&web.role, web.may_promote), (&Role::Primary, Some(false)));
        assert!(web.peers.is_empty());
    }

    #[test]
    fn skipped_lines_are_told_and_harmless() {
        let mut picture = Picture::new();
        let mut skipped = 0;
        for line in recorded("drbdsetup-9.2-events2-timestamps-skipped.txt").lines() {
            if picture.apply(line) == Heard::Skipped {
                skipped += 1;
            }
        }
        assert_eq!(skipped, 2);
        assert!(picture.complete());
        let r0 = replica(&picture, "r0");
        assert_eq!((&r0.peers[0].connection, &r0.peers[0].role), (&Connection::Connected, &Role::Secondary));
        assert!(r0.peers_are_up_to_date());
    }

    #[test]
    fn a_change_line_without_any_state_changes_nothing() {
        let mut picture = Picture::new();
        for line in recorded("drbdsetup-9.2-events2-timestamps-split-brain.txt").lines() {
            let before = picture.clone();
            picture.apply(line);
            if line.ends_with("change peer-device name:r0 peer-node-id:1 conn-name:dom0-b volume:0") {
                assert_eq!(picture, before);
            }
        }
        assert!(replica(&picture, "r0").peers_are_up_to_date());
    }

    #[test]
    fn a_split_brain_ends_standing_alone_and_the_role_is_known_all_along() {
        let mut picture = Picture::new();
        for line in recorded("drbdsetup-9.2-events2-timestamps-split-brain.txt").lines() {
            picture.apply(line);
            if line.contains("connection:StandAlone") {
                break;
            }
        }
        let r0 = replica(&picture, "r0");
        assert_eq!((&r0.role, &r0.peers[0].connection), (&Role::Secondary, &Connection::StandAlone));
        assert_eq!(r0.peers[0].role, Role::Unknown);
    }

    #[test]
    fn destroy_takes_a_resource_out_of_the_picture() {
        let text = recorded("drbdsetup-9.34-events2-down.txt");
        assert!(seen("drbdsetup-9.34-events2-down.txt").replicas().is_empty());
        let lines: Vec<&str> = text.lines().collect();
        let picture = Picture::of(&lines[..lines.len() - 3].join("\n"));
        let web = replica(&picture, "web");
        assert_eq!((web.volumes.len(), web.peers.len()), (1, 0));
    }

    #[test]
    fn quorum_is_lost_while_primary() {
        let web = replica(&seen("drbdsetup-9.34-events2-quorum-lost.txt"), "web");
        assert_eq!((&web.role, web.volumes[0].quorum), (&Role::Primary, Some(false)));
    }

    #[test]
    fn in_a_migration_a_line_without_a_role_leaves_the_role() {
        let mut picture = Picture::new();
        let mut roles = vec![];
        for line in recorded("drbdsetup-9.34-events2-migration-window.txt").lines() {
            picture.apply(line);
            if let Some(web) = picture.replicas().first() {
                let pair = (web.role.to_string(), web.peers.first().map(|p| p.role.to_string()).unwrap_or_default());
                if roles.last() != Some(&pair) {
                    roles.push(pair);
                }
            }
        }
        let roles: Vec<String> = roles.iter().map(|(a, b)| format!("{a}/{b}")).collect();
        assert_eq!(
            roles,
            [
                "Secondary/",
                "Secondary/Unknown",
                "Secondary/Secondary",
                "Secondary/Primary",
                "Primary/Primary",
                "Primary/Secondary"
            ]
        );
    }

    #[test]
    fn with_full_every_line_says_everything_and_ends_the_same() {
        let web = replica(&seen("drbdsetup-9.34-events2-full-peer-lost.txt"), "web");
        assert_eq!((&web.role, &web.peers[0].role), (&Role::Primary, &Role::Unknown));
        assert_eq!(web.peers[0].connection, Connection::Connecting);
        assert_eq!(web.peers[0].volumes[0].replication, Replication::Off);
    }

    #[test]
    fn unknown_objects_keys_and_words_are_no_permission() {
        let mut picture = Picture::new();
        assert_eq!(picture.apply("exists shadow name:web colour:blue"), Heard::Nothing);
        assert_eq!(picture.apply("dance resource name:web role:Primary"), Heard::Nothing);
        picture.apply("exists resource name:web role:Tertiary colour:blue may_promote:perhaps");
        picture.apply("exists device name:web volume:0 minor:1 disk:Sparkling quorum:perhaps");
        picture.apply("exists connection name:web peer-node-id:1 conn-name:beta connection:Friendly role:Sleeping");
        picture.apply("exists -");
        assert!(picture.complete());
        let web = replica(&picture, "web");
        assert_eq!(web.role, Role::Other("Tertiary".to_string()));
        assert_eq!((web.may_promote, web.volumes[0].quorum), (None, None));
        assert!(!web.is_up_to_date() && !web.is_connected() && !web.peers_are_up_to_date());
    }

    #[test]
    fn a_line_that_hides_which_disk_it_means_keeps_the_picture_open() {
        for line in [
            "exists device name:web disk:Inconsistent",
            "exists device name:web volume:99999999999 disk:Inconsistent",
            "exists connection name:web connection:StandAlone",
            "exists resource role:Primary",
            "exists peer-device name:web peer-node-id:1 replication:Off",
        ] {
            let mut picture = Picture::of("exists resource name:web role:Secondary\n");
            assert_eq!(picture.apply(line), Heard::Odd, "{line}");
            picture.apply("exists -");
            assert!(!picture.complete(), "{line}");
            assert_eq!(picture.odd(), Some(line));
        }
    }

    #[test]
    fn what_was_never_said_is_no_permission() {
        let picture = Picture::of(
            "exists peer-device name:web peer-node-id:1 conn-name:beta volume:0 replication:Established peer-disk:UpToDate\n\
             exists device name:web volume:0\nexists -\n",
        );
        let web = replica(&picture, "web");
        assert_eq!(web.role, Role::Unknown);
        assert!(!web.is_connected() && !web.is_up_to_date());
    }

    #[test]
    fn a_late_destroy_brings_nothing_back_and_a_rename_takes_all_along() {
        let mut picture = Picture::of("exists resource name:old role:Secondary\nexists -\n");
        picture.apply("destroy device name:gone volume:0");
        picture.apply("rename resource name:old new_name:new");
        let names: Vec<String> = picture.replicas().iter().map(|r| r.resource.to_string()).collect();
        assert_eq!(names, ["new"]);
    }
}
