//! What a peer that drives a migration may have done here, and when. Every deed is checked against what is here, not against what the
//! peer says it saw.

use super::gate::may_promote;
use super::split::means;
use crate::core::drbd::Role;
use crate::core::facts::{CopyName, End, ReplicaSeen, ending_of_reception};
use crate::core::names::{HostName, ResourceName};
use crate::core::record::{Row, State};
use crate::core::step::Deed;

/// Whether a peer may have the deed done here; the error says why not. Nothing is touched then.
pub fn permit(deed: &Deed, here: &End, peer: &HostName) -> Result<(), String> {
    let domu = &here.domu;
    let expected = || match &here.row {
        Some(row) if row.host.same_host(peer) => Ok(row),
        Some(row) => Err(format!("{domu} is {} {} here, not on its way from {peer}", row.state, row.host)),
        None => Err(format!("{domu} is not expected here from {peer}")),
    };
    let ours = |resource: &ResourceName| {
        let row = expected()?;
        if row.open.contains(resource) || here.disks.iter().any(|d| d.resource.as_ref() == Some(resource)) {
            Ok(row)
        } else {
            Err(format!("{resource} is not a resource that {domu} brings"))
        }
    };
    let copy = |called: CopyName, id: u32| {
        expected()?;
        if let Some(who) = &here.receiving {
            let end = ending_of_reception(who);
            return Err(format!(
                "{domu} is still being received: {who}\n  if its sender is gone for good, on {}: {end}",
                here.host
            ));
        }
        match here.copies.iter().find(|c| c.called == called && c.domain.id == id) {
            Some(copy) if copy.domain.state.paused && copy.domain.state.shutdown.is_none() => Ok(()),
            Some(copy) => Err(format!("{} is {}", copy.domain.name, copy.domain.state.in_words())),
            None => Err(format!("there is no such copy with the id {id}: {}", here.copies_in_words())),
        }
    };
    if !matches!(deed, Deed::Expect { .. }) {
        nobody_else_is_at_work(here)?;
    }
    match deed {
        Deed::Expect { .. } => {
            if let Some(copy) = here.copies.first() {
                return Err(format!("{} is here already ({})", copy.domain.name, copy.domain.state.in_words()));
            }
            match &here.row {
                Some(row) if row.state.in_flight() && !row.host.same_host(peer) => {
                    Err(format!("{domu} is {} {} here since {}", row.state, row.host, row.since))
                }
                Some(row) if row.state == State::Leaving => {
                    Err(format!("{domu} is leaving {} here since {}", row.host, row.since))
                }
                Some(row) if is_elsewhere(here, row, peer) => Err(format!(
                    "the record here says that {domu} is {} {} since {}, and DRBD here does not show {peer} Primary; if it runs on {peer}, on {}: \
                     xen-migrate reverse {domu}",
                    row.state, row.host, row.since, here.host
                )),
                // A `reverse` here holds the lock while it waits for this very peer.
                Some(row) if row.state == State::Returning => Ok(()),
                _ => match &here.busy {
                    Some(holder) => Err(format!("{domu} is being worked on here: {holder}")),
                    None => Ok(()),
                },
            }
        }
        Deed::Open(resource) => match ours(resource)?.state {
            State::Arriving | State::Returning => Ok(()),
            state => Err(format!("{domu} is {state} here, so nothing is opened for it")),
        },
        Deed::Promote(resource) => {
            let row = ours(resource)?;
            if !matches!(row.state, State::Arriving | State::Returning) {
                return Err(format!("{domu} is {} here, so nothing is promoted for it", row.state));
            }
            let seen = here.replica(resource).ok_or_else(|| format!("drbd.conf here does not know {resource}"))?;
            may_promote(seen, here.generation)
        }
        Deed::Demote(resource) => {
            ours(resource)?;
            match here.copies.iter().find(|c| !c.domain.state.dying) {
                Some(copy) => Err(format!("{} is here and uses {resource}", copy.domain.name)),
                None => Ok(()),
            }
        }
        Deed::Close(resource) => {
            ours(resource)?;
            let seen = here.replica(resource).ok_or_else(|| format!("drbd.conf here does not know {resource}"))?;
            let both = seen.replica.role == Role::Primary && seen.replica.peer_is_primary();
            if both { Err(format!("{resource} is Primary on both ends: {}", seen.in_words())) } else { Ok(()) }
        }
        Deed::Connect(resource) => match here.replica(resource) {
            Some(_) => expected().map(|_| ()),
            None => Err(format!("drbd.conf here does not know {resource}")),
        },
        Deed::EndReceiving => expected().map(|_| ()),
        // Gone already is what was wished for.
        Deed::Destroy { called: CopyName::Incoming, .. } if here.copy(CopyName::Incoming).is_none() => expected().map(|_| ()),
        Deed::Destroy { called: CopyName::Incoming, id } => copy(CopyName::Incoming, *id),
        Deed::Adopt { id } => {
            copy(CopyName::Incoming, *id)?;
            match here.copy(CopyName::Plain) {
                Some(other) => Err(format!("{} is here as well (id {})", other.domain.name, other.domain.id)),
                None => Ok(()),
            }
        }
        Deed::Unpause { id } => copy(CopyName::Plain, *id),
        Deed::Arrived => {
            expected()?;
            match here.copy(CopyName::Plain) {
                Some(_) => Ok(()),
                None => Err(format!("{domu} is not here: {}", here.copies_in_words())),
            }
        }
        // Its home started it anew, while we were down or had passed it on.
        Deed::Release if here.row.as_ref().is_some_and(|row| is_guest_of(row, peer)) => match here.copies.first() {
            Some(copy) => Err(format!("{} is here ({})", copy.domain.name, copy.domain.state.in_words())),
            None => Ok(()),
        },
        Deed::Release => {
            expected()?;
            match here.copies.iter().find(|c| c.called == CopyName::Incoming && !c.domain.state.dying) {
                Some(copy) => Err(format!("{} is here", copy.domain.name)),
                None => Ok(()),
            }
        }
        Deed::Note(_) | Deed::Forget | Deed::Send(_) | Deed::Wake { .. } | Deed::Destroy { .. } => {
            Err("no peer may ask for that".to_string())
        }
    }
}

/// Our record has it on another host than the one that wants to send it, and DRBD does not speak for that one. Passed on over there, it may
/// well come from a third: whoever sends it is Primary, and DRBD 9, which alone has a third replica, says who that is. An address says
/// nothing of a name, and without a resource nothing speaks for anybody.
fn is_elsewhere(here: &End, row: &Row, peer: &HostName) -> bool {
    let other = matches!(row.state, State::Away | State::Passed) && !row.host.same_host(peer);
    let address = row.host.as_str().parse::<std::net::IpAddr>().is_ok();
    let primary =
        |r: &ReplicaSeen| r.replica.peers.iter().any(|p| p.role == Role::Primary && p.is_named() && means(&p.name, peer));
    other && !address && !here.replicas.is_empty() && !here.replicas.iter().any(primary)
}

/// Whoever holds the domU's lock here is alone with it: a `failover`, or a start, is half-way, and what it has made Primary is nobody
/// else's to give back. Only a `reverse` and a `recover` hold it while they wait for a peer that they have asked to do its part here.
fn nobody_else_is_at_work(here: &End) -> Result<(), String> {
    let waits = |holder: &&String| ["xen-migrate reverse ", "xen-migrate recover "].iter().any(|verb| holder.starts_with(verb));
    match here.busy.as_ref().filter(|holder| !waits(holder)) {
        Some(holder) => Err(format!("{} is being worked on here: {holder}", here.domu)),
        None => Ok(()),
    }
}

/// It came from there, or belongs there, and nothing is in flight.
fn is_guest_of(row: &Row, peer: &HostName) -> bool {
    let belongs = row.home.as_ref().is_some_and(|home| home.same_host(peer));
    match row.state {
        State::Visiting => belongs || row.host.same_host(peer),
        State::Passed => belongs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::drbd::{Connection, Fencing, Options};

    fn arriving() -> End {
        let (_, mut there) = pair();
        there.row = Some(Row { open: vec!["r0".parse().unwrap()], ..row(State::Arriving) });
        there.replicas[0].options = Some(Options { two_primaries: true, fencing: Fencing::ResourceOnly });
        there
    }

    #[test]
    fn a_home_that_started_it_anew_may_have_the_row_taken_out_and_nobody_else() {
        let (_, mut there) = pair();
        for (state, host, home, ok) in [
            (State::Visiting, "dom0-a", None, true),
            (State::Visiting, "dom0-c", Some("dom0-a"), true),
            (State::Passed, "dom0-c", Some("dom0-a"), true),
            (State::Visiting, "dom0-c", None, false),
            (State::Passed, "dom0-c", None, false),
            (State::Away, "dom0-c", Some("dom0-a"), false),
        ] {
            let home = home.map(|h| h.parse().unwrap());
            there.row = Some(Row { host: host.parse().unwrap(), home, ..row(state) });
            there.copies.clear();
            assert_eq!(may(Deed::Release, &there), ok, "{state} {host}");
            // What is here is here, whatever its home says.
            there.copies.push(copy(CopyName::Plain, "-b----"));
            assert!(!may(Deed::Release, &there) || state == State::Away, "{state} {host}");
        }
    }

    fn may(deed: Deed, here: &End) -> bool {
        permit(&deed, here, &"dom0-a".parse().unwrap()).is_ok()
    }

    fn r0() -> ResourceName {
        "r0".parse().unwrap()
    }

    #[test]
    fn nothing_is_done_for_a_domu_that_is_not_expected_from_that_very_peer() {
        for spoil in [|e: &mut End| e.row = None, |e: &mut End| e.row.as_mut().unwrap().host = "dom0-x".parse().unwrap()] {
            let mut end = arriving();
            end.copies = vec![copy(CopyName::Incoming, "--p---"), copy(CopyName::Plain, "--p---")];
            spoil(&mut end);
            for deed in [
                Deed::Open(r0()),
                Deed::Close(r0()),
                Deed::Connect(r0()),
                Deed::EndReceiving,
                Deed::Promote(r0()),
                Deed::Demote(r0()),
                Deed::Destroy { called: CopyName::Incoming, id: 7 },
                Deed::Adopt { id: 7 },
                Deed::Unpause { id: 7 },
                Deed::Arrived,
                Deed::Release,
            ] {
                assert!(!may(deed.clone(), &end), "{deed}");
            }
        }
    }

    #[test]
    fn a_promotion_needs_the_guard_and_a_connected_primary() {
        assert!(may(Deed::Promote(r0()), &arriving()));
        for spoil in [
            |e: &mut End| e.replicas[0].options = Some(Options { two_primaries: true, fencing: Fencing::DontCare }),
            |e: &mut End| e.replicas[0].options = None,
            |e: &mut End| e.replicas[0].replica.peers[0].connection = Connection::Connecting,
            |e: &mut End| e.replicas[0].replica.peers[0].role = Role::Secondary,
            |e: &mut End| e.row.as_mut().unwrap().state = State::Visiting,
            |e: &mut End| e.row.as_mut().unwrap().open.clear(),
        ] {
            let mut end = arriving();
            spoil(&mut end);
            assert!(!may(Deed::Promote(r0()), &end));
        }
    }

    #[test]
    fn only_a_paused_copy_that_nobody_receives_is_touched() {
        let mut end = arriving();
        end.copies = vec![copy(CopyName::Incoming, "--p---")];
        assert!(may(Deed::Adopt { id: 7 }, &end));
        assert!(may(Deed::Destroy { called: CopyName::Incoming, id: 7 }, &end));
        assert!(!may(Deed::Destroy { called: CopyName::Incoming, id: 8 }, &end), "another id");
        assert!(may(Deed::Destroy { called: CopyName::Incoming, id: 7 }, &arriving()), "gone already");
        assert!(!may(Deed::Demote(r0()), &end), "it is in use");
        assert!(!may(Deed::Release, &end));
        end.receiving = Some("pid 1".into());
        assert!(!may(Deed::Adopt { id: 7 }, &end));
        end.receiving = None;
        end.copies = vec![copy(CopyName::Incoming, "-b----")];
        assert!(!may(Deed::Destroy { called: CopyName::Incoming, id: 7 }, &end), "it executes");
        end.copies = vec![copy(CopyName::Incoming, "--p---"), copy(CopyName::Plain, "-b----")];
        assert!(!may(Deed::Adopt { id: 7 }, &end), "there is one already");
    }

    #[test]
    fn nothing_is_done_beside_somebody_who_has_not_asked_for_it() {
        let deeds = || [Deed::Demote(r0()), Deed::Close(r0()), Deed::Connect(r0()), Deed::EndReceiving, Deed::Release];
        let mut end = arriving();
        end.replicas[0].replica.role = Role::Secondary;
        for deed in deeds() {
            assert!(may(deed.clone(), &end), "{deed}");
        }
        for (holder, ok) in [
            ("xen-migrate failover web (pid 1, since x)", false),
            ("xen-drbd-auto starting web", false),
            ("somebody who has not written who it is", false),
            ("xen-migrate reverse web (pid 1, since x)", true),
            ("xen-migrate recover web", true),
        ] {
            end.busy = Some(holder.into());
            for deed in deeds() {
                assert_eq!(may(deed.clone(), &end), ok, "{deed}, {holder}");
            }
        }
    }

    #[test]
    fn a_domu_is_expected_only_where_nothing_of_it_is() {
        let expect = || Deed::Expect { open: vec![], home: None };
        let mut end = arriving();
        assert!(may(expect(), &end), "again, after a lost answer");
        end.row = None;
        assert!(may(expect(), &end));
        end.busy = Some("pid 1".into());
        assert!(!may(expect(), &end));
        end.row = Some(row(State::Returning));
        assert!(may(expect(), &end), "a reverse waits for it");
        end.busy = None;
        end.row = Some(Row { host: "dom0-x".parse().unwrap(), ..row(State::Arriving) });
        assert!(!may(expect(), &end));
        end.row = None;
        end.copies = vec![copy(CopyName::Plain, "--p---")];
        assert!(!may(expect(), &end));
    }

    #[test]
    fn one_that_is_on_another_host_by_our_record_comes_only_from_who_is_primary() {
        let expect = || Deed::Expect { open: vec![], home: None };
        let (_, mut end) = three_replicas();
        for state in [State::Away, State::Passed] {
            for (host, primary, ok) in [
                ("dom0-a", None, true),
                ("dom0-x", None, false),
                ("dom0-x", Some(1), false),
                ("dom0-x", Some(0), true),
                ("192.0.2.1", None, true),
            ] {
                end.row = Some(Row { host: host.parse().unwrap(), ..row(state) });
                for (at, peer) in end.replicas[0].replica.peers.iter_mut().enumerate() {
                    peer.role = if primary == Some(at) { Role::Primary } else { Role::Secondary };
                }
                assert_eq!(may(expect(), &end), ok, "{state} {host} {primary:?}");
            }
        }
        end.replicas.clear();
        assert!(may(expect(), &end), "nothing speaks for anybody");
    }
}
