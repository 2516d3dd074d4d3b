//! The deeds of a migration, up to and with the migration itself. What comes after is [`super::settle`]'s.

use super::Trip;
use crate::core::drbd::Generation;
use crate::core::facts::{End, Promoter, ReplicaSeen};
use crate::core::names::ResourceName;
use crate::core::record::State;
use crate::core::step::{Deed, Step};

/// The plan. `there` is `None` without the dedicated key: then only this end is prepared.
///
/// The order matters: first both records, so that a crash at any later point is known of on both ends; then the guard on the far end,
/// which keeps it from becoming Primary should the link be cut; then the window; then, for disks that nobody promotes, the promotion.
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
    if there.is_some() {
        let mut promoted: Vec<&ResourceName> = Vec::new();
        for disk in here.disks.iter().filter(|d| d.promoter == Promoter::Nobody) {
            if let Some(resource) = disk.resource.as_ref().filter(|r| !promoted.contains(r)) {
                promoted.push(resource);
                steps.push(Step::there(Deed::Promote(resource.clone()), "a phy: disk is promoted by nobody"));
            }
        }
    }
    steps.push(Step::here(Deed::Send, "the memory goes over while it runs"));
    steps
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
        let promotions = steps.iter().filter(|s| matches!(s.deed, Deed::Promote(_))).count();
        assert_eq!(promotions, 1, "two volumes of one resource are promoted once");
        assert!(matches!(steps[steps.len() - 2].deed, Deed::Promote(_)));
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
        assert!(matches!(steps.last().unwrap().deed, Deed::Send));
    }

    #[test]
    fn drbd_8_3_has_no_window_to_open() {
        let (mut here, mut there) = pair();
        here.generation = Some(Generation::V83);
        there.generation = Some(Generation::V83);
        assert!(!plan(&here, Some(&there), &trip()).iter().any(|s| matches!(s.deed, Deed::Open(_))));
    }
}
