//! A resource whose two ends have gone separate ways, or may have: whose data counts, as far as that is known, and the commands.

use super::promoted_early;
use crate::core::drbd::Connection;
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

/// StandAlone towards somebody.
pub fn alone(seen: &ReplicaSeen) -> bool {
    seen.replica.peers.iter().any(|p| p.connection == Connection::StandAlone)
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
    let is_alone = |seen: &&ReplicaSeen| alone(seen) || far.and_then(|f| f.replica(&seen.replica.resource)).is_some_and(alone);
    here.replicas.iter().filter(is_alone).map(|seen| one_apart(seen, here, far)).collect()
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
}
