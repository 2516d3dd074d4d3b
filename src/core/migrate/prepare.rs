//! The deeds of a migration, up to and with the migration itself. What comes after is [`super::settle`]'s.

use super::Trip;
use crate::core::drbd::Generation;
use crate::core::facts::{DiskSeen, End, Promoter, ReplicaSeen, resources_of};
use crate::core::names::ResourceName;
use crate::core::record::State;
use crate::core::step::{Deed, Gate, Step};
use crate::core::xen::Toolstack;

/// The plan. `there` is `None` without the dedicated key: then only this end is prepared.
///
/// The order matters: first both records, so that a crash at any later point is known of on both ends; then the guard on the far end,
/// which keeps it from becoming Primary should the link be cut; then the window. A disk that nobody promotes is promoted by the receiving
/// end as late as it can be ([`Gate`]); with `xm`, which passes no gate, it must be now.
pub fn plan(here: &End, there: Option<&End>, trip: &Trip) -> Vec<Step> {
    let changing = opening(here);
    let mut leaving = trip.row(&here.domu, State::Leaving, &trip.to);
    leaving.open = changing.clone();

    let mut steps = vec![Step::here(Deed::Note(leaving), "a crash from now on is known of")];
    if let Some(there) = there {
        let opening: Vec<ResourceName> = there
            .replicas
            .iter()
            .filter(|r| needs_opening(r, there.generation) || changing.contains(&r.replica.resource))
            .map(|r| r.replica.resource.clone())
            .collect();
        let home = trip.home.clone().or_else(|| Some(here.host.clone()));
        steps.push(Step::there(Deed::Expect { open: opening.clone(), home }, "the far end knows of it too"));
        for resource in opening {
            steps.push(Step::there(Deed::Open(resource), "two Primaries during the move; cut off, it cannot promote"));
        }
    }
    for resource in changing {
        steps.push(Step::here(Deed::Open(resource), "two Primaries during the move; cut off, it cannot promote"));
    }
    let mut gate = Gate::default();
    if there.is_some() {
        let (promote, primary) = (brought(here, |d| d.promoter == Promoter::Nobody), brought(here, is_held));
        if passes_the_gate(here, trip) {
            gate = Gate { promote, primary };
        } else {
            let why = "a phy: disk is promoted by nobody";
            steps.extend(promote.into_iter().map(|resource| Step::there(Deed::Promote(resource), why)));
        }
    }
    steps.push(Step::here(Deed::Send(gate), "the memory goes over while it runs"));
    steps
}

/// `xl migrate` over our own transport goes through migrate2 on the other end.
fn passes_the_gate(here: &End, trip: &Trip) -> bool {
    here.toolstack == Toolstack::Xl && !trip.own_transport
}

/// A disk that makes its resource Primary. Opening one of DRBD 9 only to read does not (drbd.conf(5), `auto-promote`).
fn is_held(disk: &DiskSeen) -> bool {
    disk.promoter != Promoter::Opening || disk.writable
}

/// The resources of the domU's disks of some kind.
fn brought(here: &End, kind: impl Fn(&DiskSeen) -> bool) -> Vec<ResourceName> {
    resources_of(here.disks.iter().filter(|d| kind(d))).into_iter().cloned().collect()
}

/// The resources whose options the plan changes at this end.
pub fn opening(here: &End) -> Vec<ResourceName> {
    here.replicas.iter().filter(|r| needs_opening(r, here.generation)).map(|r| r.replica.resource.clone()).collect()
}

/// Whether the window of a resource is still shut, or the guard not set. DRBD 8.3 has neither at run time.
fn needs_opening(seen: &ReplicaSeen, generation: Option<Generation>) -> bool {
    generation != Some(Generation::V83) && !seen.options.as_ref().is_some_and(|o| o.two_primaries && o.fencing.guards())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::drbd::{Fencing, Options};

    fn words(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|s| format!("{:?}: {}", s.place, s.deed)).collect()
    }

    #[test]
    fn both_records_first_then_the_guard_and_the_window_then_the_move() {
        let (here, there) = pair();
        assert_eq!(
            words(&plan(&here, Some(&there), &trip())),
            [
                "Here: record: web leaving dom0-b open=r0",
                "There: record: it is coming",
                "There: r0: allow two Primaries, under fencing=resource-only",
                "Here: r0: allow two Primaries, under fencing=resource-only",
                "Here: migrate it",
            ]
        );
    }

    #[test]
    fn a_phy_disk_is_promoted_on_the_far_end() {
        let (mut here, there) = pair();
        here.disks[0].promoter = Promoter::Nobody;
        here.disks.push(here.disks[0].clone());
        let steps = plan(&here, Some(&there), &trip());
        let r0 = || vec!["r0".parse().unwrap()];
        assert_eq!(steps.last().unwrap().deed, Deed::Send(Gate { promote: r0(), primary: r0() }), "two volumes, promoted once");
        assert!(!steps.iter().any(|s| matches!(s.deed, Deed::Promote(_))), "not before its memory is complete");
    }

    #[test]
    fn what_xend_sends_passes_no_gate_so_it_is_promoted_before() {
        let (mut here, there) = pair();
        here.disks[0].promoter = Promoter::Nobody;
        here.toolstack = Toolstack::Xm;
        let steps = plan(&here, Some(&there), &trip());
        assert!(matches!(steps[steps.len() - 2].deed, Deed::Promote(_)));
        assert_eq!(steps.last().unwrap().deed, Deed::Send(Gate::default()));
    }

    #[test]
    fn a_disk_that_drbd_9_opens_to_read_makes_nobody_primary() {
        let (mut here, there) = pair();
        here.disks[0].promoter = Promoter::Opening;
        let gate = |here: &End| plan(here, Some(&there), &trip()).pop().map(|s| s.deed);
        assert_eq!(gate(&here), Some(Deed::Send(Gate { promote: vec![], primary: vec!["r0".parse().unwrap()] })));
        here.disks[0].writable = false;
        assert_eq!(gate(&here), Some(Deed::Send(Gate::default())));
    }

    #[test]
    fn what_the_operator_left_open_for_good_is_not_touched() {
        let (mut here, mut there) = pair();
        let open = Options { two_primaries: true, fencing: Fencing::ResourceOnly };
        here.replicas[0].options = Some(open.clone());
        there.replicas[0].options = Some(open);
        let steps = plan(&here, Some(&there), &trip());
        assert!(!steps.iter().any(|s| matches!(s.deed, Deed::Open(_))));
    }

    #[test]
    fn two_primaries_allowed_for_good_still_get_the_guard() {
        let (mut here, mut there) = pair();
        let open = Options { two_primaries: true, fencing: Fencing::DontCare };
        here.replicas[0].options = Some(open.clone());
        there.replicas[0].options = Some(open);
        let steps = plan(&here, Some(&there), &trip());
        assert_eq!(steps.iter().filter(|s| matches!(s.deed, Deed::Open(_))).count(), 2);
    }

    #[test]
    fn without_the_key_only_this_end_is_prepared() {
        let (here, _) = pair();
        let steps = plan(&here, None, &trip());
        assert!(steps.iter().all(|s| s.place == crate::core::step::Place::Here));
        assert_eq!(steps.last().unwrap().deed, Deed::Send(Gate::default()));
    }

    #[test]
    fn drbd_8_3_has_no_window_to_open() {
        let (mut here, mut there) = pair();
        here.generation = Some(Generation::V83);
        there.generation = Some(Generation::V83);
        assert!(!plan(&here, Some(&there), &trip()).iter().any(|s| matches!(s.deed, Deed::Open(_))));
    }
}
