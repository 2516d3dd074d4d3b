//! A resource whose two ends have gone separate ways, or may have: whose data counts, as far as that is known, and the commands.
//!
//! DRBD 9 has more than two replicas and names them. What stands alone towards a third one says nothing of the two ends: it is told by
//! itself, and nothing is ever given up for its sake.

use super::promoted_early;
use crate::core::drbd::{Connection, Peer};
use crate::core::facts::{End, ReplicaSeen};
use crate::core::names::{HostName, ResourceName};
use crate::core::record::State;

/// What is known of one such resource, and what a person types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is known.
    pub what: String,
    /// The commands, each with its host in front.
    pub commands: Vec<String>,
}

/// Whether DRBD means that host by that name. DRBD 8 has one peer and no name for it; DRBD 9 calls each by its `uname -n`.
pub(super) fn means(name: &str, host: &HostName) -> bool {
    name == "peer" || name.parse().is_ok_and(|named: HostName| named.same_host(host))
}

/// The peers of a replica that are the other end. Where none goes by that end's name, any of them may be.
fn towards<'a>(seen: &'a ReplicaSeen, end: &HostName) -> Vec<&'a Peer> {
    let peers = &seen.replica.peers;
    let named: Vec<&Peer> = peers.iter().filter(|p| means(&p.name, end)).collect();
    if named.is_empty() { peers.iter().collect() } else { named }
}

/// StandAlone towards that end.
pub(super) fn alone(seen: &ReplicaSeen, end: &HostName) -> bool {
    towards(seen, end).iter().any(|p| p.connection == Connection::StandAlone)
}

/// Connected to that end.
pub(super) fn joined(seen: &ReplicaSeen, end: &HostName) -> bool {
    let peers = towards(seen, end);
    !peers.is_empty() && peers.iter().all(|p| p.connection == Connection::Connected)
}

/// The peers of both ends' replicas that are neither of the two, each once, with the connections that are seen of it.
pub(super) fn thirds<'a>(
    name: &ResourceName,
    here: &'a End,
    there: &'a End,
) -> Vec<(&'a str, Vec<(&'a HostName, &'a Connection)>)> {
    let mut found: Vec<(&str, Vec<(&HostName, &Connection)>)> = Vec::new();
    for (end, other) in [(here, there), (there, here)] {
        let Some(seen) = end.replica(name) else { continue };
        let ends: Vec<&str> = towards(seen, &other.host).iter().map(|p| p.name.as_str()).collect();
        for peer in seen.replica.peers.iter().filter(|p| !ends.contains(&p.name.as_str()) && !means(&p.name, &end.host)) {
            match found.iter_mut().find(|(third, _)| *third == peer.name) {
                Some((_, links)) => links.push((&end.host, &peer.connection)),
                None => found.push((&peer.name, vec![(&end.host, &peer.connection)])),
            }
        }
    }
    found
}

/// A third replica that is not connected to one of the two ends. The flag that allows two Primaries reaches every replica that is connected,
/// and the end of it only those that still are: such a one keeps it, and DRBD refuses to connect until it has the options of its file.
pub(super) fn third_apart(name: &ResourceName, here: &End, there: &End, is: impl Fn(&Connection) -> bool) -> Vec<Split> {
    let mut found = Vec::new();
    for (third, links) in thirds(name, here, there) {
        let Some((host, link)) = links.iter().find(|(_, link)| is(link)) else { continue };
        let what = format!(
            "{name} is not connected to its replica on {third} ({link}, seen on {host}), which may still allow two Primaries as during a \
             migration; nothing need be given up for that"
        );
        let mut commands = vec![format!("on {third}: drbdadm adjust {name}; drbdadm connect {name}")];
        // One that still tries to connect may have given up by then.
        let parted = links.iter().filter(|(_, link)| **link != Connection::Connected);
        commands.extend(parted.map(|(host, _)| format!("on {host}: drbdadm connect {name}")));
        commands.push(format!(
            "if it stays apart, on {third}: dmesg | grep -i drbd   (why? over a link that was only down it joins by itself)"
        ));
        found.push(Split { what, commands });
    }
    found
}

/// One that stays apart after it was connected again, at the end of a journey from `here` to `there`: two histories, then.
/// `data` is the host whose copy of the domU runs.
pub(super) fn after_a_journey(name: &ResourceName, here: &End, there: &End, data: Option<&HostName>) -> Split {
    // Whose data counts is certain where the domU never left, or where the target became Primary after it had stopped here.
    let late = brought(name, here, there) && !promoted_early(here, there, name);
    let visited = there.row.as_ref().is_some_and(|row| row.state == State::Visiting);
    let stayed = |host: &HostName| *host == here.host && !visited;
    let Some(runs) = data.filter(|host| late || stayed(host)) else {
        return Split {
            what: format!(
                "{name} is a split brain: the link was lost while both ends were Primary, and each may have something that the other lacks. \
                 Look at both before you decide whose data is given up"
            ),
            commands: anybodys(name),
        };
    };
    let other = if *runs == here.host { &there.host } else { &here.host };
    let never = match late {
        true => format!("the domU never ran on {other} after that"),
        false => format!("as far as the records say, the domU never ran on {other}"),
    };
    Split {
        what: format!(
            "{name} is a split brain: the link was lost while both ends were Primary. {runs} runs the domU and has what it wrote; {never}"
        ),
        commands: giving_up(name, other, runs),
    }
}

/// Every resource of the domU that stands alone while no journey of it is on the record: disconnected by hand, or a split brain that an
/// earlier journey left. Only connecting tells which.
pub fn apart(here: &End, far: Option<&End>) -> Vec<Split> {
    let mut found = Vec::new();
    for seen in &here.replicas {
        let name = &seen.replica.resource;
        let Some(far) = far else {
            // Of several nobody knows which one is meant by the other end.
            match stray(seen, &here.host) {
                Some(split) => found.push(split),
                None if alone(seen, &here.host) => found.push(one_apart(seen, here, None)),
                None => {}
            }
            continue;
        };
        if alone(seen, &far.host) || far.replica(name).is_some_and(|r| alone(r, &here.host)) {
            found.push(one_apart(seen, here, Some(far)));
        }
        found.extend(third_apart(name, here, far, |link| *link == Connection::StandAlone));
    }
    found
}

/// One of more than two replicas that stands alone, seen from it alone. Its options may be those of a migration between others, of which
/// its Dom0 knows nothing.
pub fn stray(seen: &ReplicaSeen, host: &HostName) -> Option<Split> {
    let (name, peers) = (&seen.replica.resource, &seen.replica.peers);
    let lone = peers.iter().filter(|p| p.connection == Connection::StandAlone);
    let from: Vec<&str> = lone.map(|p| p.name.as_str()).collect();
    if from.is_empty() || peers.len() < 2 {
        return None;
    }
    let options = match seen.is_changed() {
        true => "; its options here are not those of drbd.conf, which by itself keeps them apart",
        false => "",
    };
    let mut commands = vec![format!("on {host}: drbdadm adjust {name}; drbdadm connect {name}")];
    commands.extend(from.iter().map(|peer| format!("on {peer}: drbdadm adjust {name}; drbdadm connect {name}")));
    commands
        .push("if it stays StandAlone: dmesg | grep -i drbd   (why? nothing need be given up before that is known)".to_string());
    let what = format!("{name} is StandAlone here towards {} ({}){options}", from.join(" and "), seen.in_words());
    Some(Split { what, commands })
}

fn one_apart(seen: &ReplicaSeen, here: &End, far: Option<&End>) -> Split {
    let name = &seen.replica.resource;
    let try_first = |hosts: &str| {
        format!(
            "{hosts}: drbdadm connect {name}   (joins them where nothing parts them; else it stays StandAlone: dmesg | grep -i split)"
        )
    };
    let Some(far) = far else {
        let mut commands = vec![try_first("on both ends"), "if it does not join, it is a split brain:".to_string()];
        commands.extend(anybodys(name));
        let what = format!("{name} is StandAlone here ({}), and the other end could not be looked at", seen.in_words());
        return Split { what, commands };
    };
    let mut commands = vec![
        try_first(&format!("on {} and on {}", here.host, far.host)),
        "if it does not join, it is a split brain; what is given up is lost:".to_string(),
    ];
    let there = far.replica(name).map_or("not seen".to_string(), ReplicaSeen::in_words);
    let what = format!("{name} is apart ({}; on {}: {there})", seen.in_words(), far.host);
    let (runs, other) = match (here.running(), far.running()) {
        (Some(_), None) => (&here.host, &far.host),
        (None, Some(_)) => (&far.host, &here.host),
        _ => {
            commands.extend(anybodys(name));
            return Split { what: format!("{what}, and it runs on neither end or on both: look before you decide"), commands };
        }
    };
    let visits = |end: &End| end.row.as_ref().is_some_and(|row| row.state == State::Visiting);
    // Which journey was the last, the records know while it is not at home; at home it may have been either way.
    let early = match (visits(here), visits(far)) {
        (true, false) => promoted_early(far, here, name),
        (false, true) => promoted_early(here, far, name),
        _ => promoted_early(here, far, name) || promoted_early(far, here, name),
    };
    if early || !brought(name, here, far) {
        commands.extend(anybodys(name));
        let what =
            format!("{what}. {runs} runs the domU, and {other} may have writes from before it moved: look before you decide");
        return Split { what, commands };
    }
    commands.extend(giving_up(name, other, runs));
    Split { what: format!("{what}. {runs} runs the domU and has what it wrote"), commands }
}

/// The domU brings it: it is one of its disks at either end.
fn brought(name: &ResourceName, here: &End, there: &End) -> bool {
    here.disks.iter().chain(&there.disks).any(|d| d.resource.as_ref() == Some(name))
}

fn giving_up(name: &ResourceName, other: &HostName, runs: &HostName) -> Vec<String> {
    vec![
        format!(
            "on {other}: drbdadm secondary {name}; drbdadm connect --discard-my-data {name}   (what {other} alone has is lost)"
        ),
        format!("on {runs}: drbdadm connect {name}"),
    ]
}

fn anybodys(name: &ResourceName) -> Vec<String> {
    vec![
        format!("on the host whose data is given up: drbdadm secondary {name}; drbdadm connect --discard-my-data {name}"),
        format!("on the other: drbdadm connect {name}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::facts::CopyName;
    use crate::core::xen::Toolstack;

    fn two() -> (End, End) {
        let (mut here, mut there) = pair();
        here.replicas[0].replica.peers[0].connection = Connection::StandAlone;
        there.replicas[0].replica.peers[0].connection = Connection::Connecting;
        (here, there)
    }

    #[test]
    fn who_runs_it_has_what_it_wrote() {
        let (mut here, mut there) = two();
        let said = |here: &End, there: &End| apart(here, Some(there)).pop().unwrap();
        assert!(said(&here, &there).commands.iter().any(|c| c.starts_with("on dom0-b: drbdadm secondary r0; ")));
        std::mem::swap(&mut here.copies, &mut there.copies);
        assert!(said(&here, &there).commands.iter().any(|c| c.starts_with("on dom0-a: drbdadm secondary r0; ")));
        assert!(
            said(&there, &here).commands.iter().any(|c| c.starts_with("on dom0-a: drbdadm secondary r0; ")),
            "seen from there"
        );
    }

    #[test]
    fn whose_data_counts_is_not_said_where_it_is_not_known() {
        let unknown = |here: &End, there: Option<&End>| {
            apart(here, there).pop().unwrap().commands.iter().any(|c| c.starts_with("on the host whose data is given up"))
        };
        let (here, there) = two();
        assert!(!unknown(&here, Some(&there)));
        assert!(unknown(&here, None));
        for spoil in [
            |h: &mut End, _: &mut End| h.copies.clear(),
            |_: &mut End, t: &mut End| t.copies = vec![copy(CopyName::Plain, "-b----")],
            |h: &mut End, t: &mut End| (h.toolstack, t.toolstack) = (Toolstack::Xm, Toolstack::Xm),
            |h: &mut End, t: &mut End| (h.disks, t.disks) = (vec![], vec![]),
        ] {
            let (mut here, mut there) = two();
            spoil(&mut here, &mut there);
            assert!(unknown(&here, Some(&there)));
        }
        let (here, there) = pair();
        assert_eq!(apart(&here, Some(&there)), []);
    }

    #[test]
    fn a_third_replica_that_stands_alone_is_no_split_brain_of_the_two() {
        let (mut here, mut there) = three_replicas();
        assert_eq!(apart(&here, Some(&there)), []);
        assert_eq!(apart(&here, None), []);
        here.replicas[0].replica.peers[1].connection = Connection::StandAlone;
        for far in [Some(&there), None] {
            let said = apart(&here, far);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].commands.iter().any(|c| c == "on dom0-c: drbdadm adjust r0; drbdadm connect r0"), "{said:?}");
            assert!(!said[0].commands.iter().any(|c| c.contains("discard") || c.contains("secondary")), "{said:?}");
        }
        assert!(apart(&there, Some(&here))[0].what.contains("dom0-c"), "seen from the other end");
        assert!(joined(&here.replicas[0], &there.host) && !alone(&here.replicas[0], &there.host));
        // The two ends themselves are another matter.
        there.replicas[0].replica.peers[0].connection = Connection::StandAlone;
        let said = apart(&here, Some(&there));
        assert!(said[0].commands.iter().any(|c| c.starts_with("on dom0-b: drbdadm secondary r0; ")), "{said:?}");
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn where_no_peer_goes_by_the_name_of_the_other_end_any_may_be_it() {
        let (mut here, there) = three_replicas();
        here.replicas[0].replica.peers[0].name = "storage-b".into();
        here.replicas[0].replica.peers[1].connection = Connection::StandAlone;
        assert!(alone(&here.replicas[0], &there.host));
        assert!(!joined(&here.replicas[0], &there.host));
    }
}
