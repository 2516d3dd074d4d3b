//! What `/proc/drbd` says: the version in every generation, and in 8.x the state of each minor.
//!
//! 8.3 and 8.4 (formats `drbd_proc.c`, facts §4.11):
//!
//! ```text
//! version: 8.4.11 (api:1/proto:86-101)
//!  0: cs:WFConnection ro:Secondary/Unknown ds:Inconsistent/DUnknown C r----s
//!     ns:0 nr:0 …
//! 10: cs:Unconfigured
//! ```
//!
//! There are no resource names, only minors; the configuration joins them. Before 8.3.0 the roles are called `st:`. Where there is
//! no network configuration the protocol letter is a blank, so fields are told by their keys and never by their place.

use crate::core::drbd::{Configured, Connection, Disk, Generation, Peer, PeerVolume, Replica, Replication, Role, Volume};

/// The generation that the first lines name; `None` when there is no version line.
///
/// A 9.x module that speaks the language of 8.4 says `(compat 8.4)` behind its version and counts as 8.4.
pub fn generation(text: &str) -> Option<Generation> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("version:"))?;
    let version = line.split_whitespace().next()?;
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    if line.contains("(compat 8.4)") {
        return Some(Generation::V84);
    }
    Some(of_version(major, minor))
}

/// The generation in the answer of `drbdadm --version`: `DRBD_KERNEL_VERSION_CODE=0x08040b`, zero when there is no module.
pub fn generation_of_tool(text: &str) -> Option<Generation> {
    let code = text.lines().find_map(|line| line.trim().strip_prefix("DRBD_KERNEL_VERSION_CODE=0x"))?;
    let code = u32::from_str_radix(code.trim(), 16).ok().filter(|code| *code != 0)?;
    Some(of_version(code >> 16, (code >> 8) & 0xff))
}

fn of_version(major: u32, minor: u32) -> Generation {
    match (major, minor) {
        (0..=7, _) | (8, 0..=3) => Generation::V83,
        (8, _) => Generation::V84,
        _ => Generation::V9,
    }
}

/// One minor as 8.x shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minor {
    /// Its number.
    pub minor: u32,
    /// The connection; a word for copying counts as connected.
    pub connection: Connection,
    /// What is being copied.
    pub replication: Replication,
    /// Our role, and the peer's.
    pub roles: (Role, Role),
    /// Our disk, and the peer's.
    pub disks: (Disk, Disk),
}

/// Every minor, in the order shown; `Err` holds a line that begins like a minor and was not understood.
pub fn minors(text: &str) -> Result<Vec<Minor>, String> {
    text.lines().filter_map(|line| minor(line).transpose()).collect()
}

/// The resources that are up: each configured resource with a minor that the kernel shows.
///
/// 8.x keeps one role for each minor, hence for each volume. Where the volumes of a resource differ, the resource counts as
/// Primary when any of them is, on our side and on the peer's alike, since a Primary anywhere is what must not be overlooked;
/// otherwise a word that is not `Secondary` wins. Likewise the connection is the first that is not `Connected`.
/// A configured volume that the kernel does not have, while others of its resource are up, is shown with the disk `Unconfigured`:
/// it is not up to date.
pub fn replicas(minors: &[Minor], configured: &[Configured]) -> Vec<Replica> {
    configured.iter().filter_map(|configured| replica(minors, configured)).collect()
}

fn replica(minors: &[Minor], configured: &Configured) -> Option<Replica> {
    let shown: Vec<_> = configured.volumes.iter().map(|v| (v, minors.iter().find(|shown| shown.minor == v.minor))).collect();
    let up: Vec<&Minor> = shown.iter().filter_map(|(_, minor)| *minor).collect();
    if up.is_empty() {
        return None;
    }
    let peer = Peer {
        name: "peer".to_string(),
        connection: up
            .iter()
            .map(|m| &m.connection)
            .find(|c| **c != Connection::Connected)
            .unwrap_or(&Connection::Connected)
            .clone(),
        role: most_dangerous(up.iter().map(|m| &m.roles.1)),
        volumes: shown
            .iter()
            .map(|(volume, minor)| PeerVolume {
                number: volume.number,
                disk: minor.map_or(Disk::Unknown, |m| m.disks.1.clone()),
                replication: minor.map_or(Replication::Off, |m| m.replication.clone()),
            })
            .collect(),
    };
    let volumes = shown
        .iter()
        .map(|(volume, minor)| Volume {
            number: volume.number,
            minor: Some(volume.minor),
            disk: minor.map_or_else(|| Disk::Other(UNCONFIGURED.to_string()), |m| m.disks.0.clone()),
            quorum: None,
        })
        .collect();
    Some(Replica {
        resource: configured.resource.clone(),
        role: most_dangerous(up.iter().map(|m| &m.roles.0)),
        volumes,
        peers: vec![peer],
        may_promote: None,
        strange: None,
    })
}

const UNCONFIGURED: &str = "Unconfigured";

/// Primary if any is; else a word we do not know, else Unknown; Secondary only when all are.
fn most_dangerous<'a>(roles: impl Iterator<Item = &'a Role>) -> Role {
    let danger = |role: &Role| match role {
        Role::Primary => 3,
        Role::Other(_) => 2,
        Role::Unknown => 1,
        Role::Secondary => 0,
    };
    roles.max_by_key(|role| danger(role)).cloned().unwrap_or(Role::Unknown)
}

/// `Ok(None)` for every line that is not the first line of a minor.
fn minor(line: &str) -> Result<Option<Minor>, String> {
    let mut words = line.split_whitespace();
    let Some(number) = words.next().and_then(|word| word.strip_suffix(':')) else {
        return Ok(None);
    };
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
        return Ok(None);
    }
    let not_understood = || line.trim().chars().take(200).collect::<String>();
    let number = number.parse().map_err(|_| not_understood())?;
    let keys: Vec<(&str, &str)> = words.filter_map(|word| word.split_once(':')).collect();
    let get = |key: &str| keys.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    let cs = get("cs").ok_or_else(not_understood)?;
    if cs == UNCONFIGURED {
        // The kernel says so of a minor that is StandAlone, Diskless and Secondary (`drbd_proc.c`, `drbd_seq_show`).
        return Ok(Some(Minor {
            minor: number,
            connection: Connection::StandAlone,
            replication: Replication::Off,
            roles: (Role::Secondary, Role::Unknown),
            disks: (Disk::Diskless, Disk::Unknown),
        }));
    }
    let roles = get("ro").or_else(|| get("st")).and_then(|w| w.split_once('/')).ok_or_else(not_understood)?;
    let disks = get("ds").and_then(|w| w.split_once('/')).ok_or_else(not_understood)?;
    let (connection, replication) = connection(cs);
    Ok(Some(Minor {
        minor: number,
        connection,
        replication,
        roles: (roles.0.into(), roles.1.into()),
        disks: (disks.0.into(), disks.1.into()),
    }))
}

/// 8.x has one word for both (facts §4.4): `SyncSource` means connected and copying.
fn connection(word: &str) -> (Connection, Replication) {
    match (Connection::from(word), Replication::from(word)) {
        (Connection::Connected, _) => (Connection::Connected, Replication::Established),
        (connection, Replication::Other(_) | Replication::Off | Replication::Established) => (connection, Replication::Off),
        (_, replication) => (Connection::Connected, replication),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;
    use crate::core::drbd::{ConfiguredVolume, Options};

    fn shown(name: &str) -> Vec<Minor> {
        minors(&recorded(name)).unwrap()
    }

    fn configured(name: &str, minors: &[u32]) -> Configured {
        let volumes = minors.iter().zip(0..).map(|(minor, number)| ConfiguredVolume {
            number,
            minor: *minor,
            device: format!("/dev/drbd{minor}"),
            disk: "/dev/vg/lv".to_string(),
            implicit: false,
        });
        Configured {
            resource: name.parse().unwrap(),
            volumes: volumes.collect(),
            options: Options::default(),
            peers: vec![],
            auto_promote: true,
            quorum: false,
        }
    }

    #[test]
    fn versions_of_every_generation() {
        for (name, expected) in [
            ("proc-drbd-8.2-st-keyword.txt", Generation::V83),
            ("proc-drbd-8.3-all-forms.txt", Generation::V83),
            ("proc-drbd-8.4-two-volumes.txt", Generation::V84),
            ("proc-drbd-8.4.11-none-up.txt", Generation::V84),
            ("proc-drbd-9.2.16.txt", Generation::V9),
        ] {
            assert_eq!(generation(&recorded(name)), Some(expected), "{name}");
        }
        let compat = "version: 9.3.1 (api:2/proto:86-122) (compat 8.4)\n";
        assert_eq!(generation(compat), Some(Generation::V84), "a 9 module in 8.4 clothes");
        assert_eq!(generation(""), None);
        assert_eq!(generation("version: nine\n"), None);
    }

    #[test]
    fn drbdadm_knows_the_version_of_a_module_that_is_loaded_and_zero_otherwise() {
        assert_eq!(generation_of_tool(&recorded("drbdadm-9.22-version-module-9.2.16.txt")), Some(Generation::V9));
        assert_eq!(generation_of_tool(&recorded("drbdadm-9.22-version-module-not-loaded.txt")), None);
        assert_eq!(generation_of_tool("DRBD_KERNEL_VERSION_CODE=0x080411\n"), Some(Generation::V84));
        assert_eq!(generation_of_tool("DRBD_KERNEL_VERSION_CODE=0x080310\n"), Some(Generation::V83));
    }

    #[test]
    fn a_9_module_shows_no_minors() {
        assert!(shown("proc-drbd-9.2.16.txt").is_empty());
    }

    #[test]
    fn a_loaded_module_without_resources_shows_no_minors() {
        assert!(shown("proc-drbd-8.4.11-none-up.txt").is_empty());
    }

    #[test]
    fn before_83_the_roles_are_called_st() {
        let minors = shown("proc-drbd-8.2-st-keyword.txt");
        assert_eq!(minors[0].roles, (Role::Primary, Role::Secondary));
    }

    #[test]
    fn unconfigured_minors_blank_lines_progress_lines_and_a_missing_letter() {
        let minors = shown("proc-drbd-8.3-all-forms.txt");
        let numbers: Vec<u32> = minors.iter().map(|m| m.minor).collect();
        assert_eq!(numbers, [0, 1, 10, 11, 12]);
        assert_eq!((&minors[0].disks.0, &minors[0].connection), (&Disk::Diskless, &Connection::StandAlone));
        assert_eq!((&minors[2].connection, &minors[2].replication), (&Connection::Connecting, &Replication::Off));
        assert_eq!(minors[3].roles, (Role::Primary, Role::Unknown));
        assert_eq!((&minors[4].connection, &minors[4].replication), (&Connection::Connected, &Replication::SyncSource));
        assert_eq!(minors[4].disks, (Disk::UpToDate, Disk::Inconsistent));
    }

    #[test]
    fn without_a_network_configuration_the_protocol_letter_is_missing() {
        let minors = shown("proc-drbd-8.4.11-no-protocol-letter.txt");
        assert_eq!((&minors[1].connection, &minors[1].disks.0), (&Connection::StandAlone, &Disk::Inconsistent));
    }

    #[test]
    fn a_sync_source_counts_as_connected() {
        let replicas = replicas(&shown("proc-drbd-8.4.11-syncsource.txt"), &[configured("r0", &[0])]);
        assert!(replicas[0].is_connected() && !replicas[0].peers_are_up_to_date());
        assert_eq!(replicas[0].peers[0].volumes[0].replication, Replication::SyncSource);
    }

    #[test]
    fn the_second_role_is_the_peers() {
        let replicas = replicas(&shown("proc-drbd-8.4.11-peer-primary.txt"), &[configured("r0", &[0])]);
        assert_eq!((&replicas[0].role, &replicas[0].peers[0].role), (&Role::Secondary, &Role::Primary));
    }

    #[test]
    fn two_volumes_are_one_resource() {
        let minors = shown("proc-drbd-8.4-two-volumes.txt");
        let replicas = replicas(&minors, &[configured("web", &[1]), configured("db", &[10, 11]), configured("down", &[7])]);
        assert_eq!(replicas.len(), 2, "what is not up is not there");
        assert_eq!((replicas[1].volumes.len(), replicas[1].peers[0].volumes.len()), (2, 2));
        assert_eq!((&replicas[1].role, &replicas[1].peers[0].role), (&Role::Secondary, &Role::Primary));
        assert!(replicas[1].is_up_to_date() && replicas[1].peers_are_up_to_date());
    }

    #[test]
    fn a_primary_on_any_volume_is_a_primary_on_either_side() {
        let text = " 0: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n \
                    1: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n";
        let both = replicas(&minors(text).unwrap(), &[configured("db", &[0, 1])]);
        assert_eq!((&both[0].role, &both[0].peers[0].role), (&Role::Primary, &Role::Primary));
        let text = text.replace("Secondary/Primary", "Secondary/Unknown").replace("Primary/Secondary", "Secondary/Secondary");
        let unknown = replicas(&minors(&text).unwrap(), &[configured("db", &[0, 1])]);
        assert_eq!((&unknown[0].role, &unknown[0].peers[0].role), (&Role::Secondary, &Role::Unknown));
    }

    #[test]
    fn a_volume_that_is_missing_or_disconnected_shows() {
        let text = " 0: cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate C r-----\n \
                    1: cs:WFConnection ro:Secondary/Secondary ds:UpToDate/DUnknown C r-----\n";
        let minors = minors(text).unwrap();
        assert_eq!(replicas(&minors, &[configured("db", &[0, 1])])[0].peers[0].connection, Connection::Connecting);
        let half = replicas(&minors, &[configured("db", &[0, 5])]);
        assert!(!half[0].is_up_to_date() && !half[0].peers_are_up_to_date());
        assert_eq!(half[0].volumes[1].disk, Disk::Other("Unconfigured".to_string()));
    }

    #[test]
    fn a_line_that_begins_like_a_minor_and_goes_on_otherwise_is_not_passed_over() {
        for line in ["0: cs:Connected", " 3:", "1: cs:Connected ro:Primary ds:UpToDate/UpToDate", "99999999999: cs:Connected"] {
            assert_eq!(minors(line), Err(line.trim().to_string()), "{line}");
        }
        assert_eq!(minors("\tfinish: 0:01:02 speed: 1\n    ns:0 nr:0\n"), Ok(vec![]));
    }

    #[test]
    fn unknown_words_are_kept_and_permit_nothing() {
        let minors = minors("0: cs:Friendly ro:Tertiary/Sleeping ds:Sparkling/Dusty C r-----").unwrap();
        assert_eq!(minors[0].connection, Connection::Other("Friendly".to_string()));
        let replica = &replicas(&minors, &[configured("r0", &[0])])[0];
        assert!(!replica.is_connected() && !replica.is_up_to_date());
        assert_eq!(replica.peers[0].role, Role::Other("Sleeping".to_string()));
    }
}
