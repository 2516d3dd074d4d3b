//! What the receiving end makes sure of before the domU can run there: two questions, each asked as late as it can be.

use crate::core::drbd::{Connection, Generation, Role};
use crate::core::facts::ReplicaSeen;

/// May the resource become Primary here? It must be connected to a Primary, so that both kernels decide; and the guard must be set, so
/// that a link that is cut in this very moment forbids it. The error says what was seen instead.
pub fn may_promote(seen: &ReplicaSeen, generation: Option<Generation>) -> Result<(), String> {
    let name = &seen.replica.resource;
    let guarded = seen.options.as_ref().is_some_and(|o| o.fencing.guards()) || generation == Some(Generation::V83);
    if !guarded {
        return Err(format!("{name} has no guard here: a cut link would let it become Primary alone"));
    }
    if !seen.replica.is_connected() || !seen.replica.peer_is_primary() {
        return Err(format!("{name} is not connected to a Primary: {}", seen.in_words()));
    }
    Ok(())
}

/// May the sender hear that all is ready? Until it does, it can take the domU back. Its own copy still holds the resource, so what is
/// Primary and whole here, and connected to a Primary, has every write of the domU. The error says what was seen instead.
pub fn may_say_ready(seen: &ReplicaSeen) -> Result<(), String> {
    let (name, r) = (&seen.replica.resource, &seen.replica);
    if r.role != Role::Primary {
        return Err(format!("{name} did not become Primary here: {}", seen.in_words()));
    }
    if !r.is_up_to_date() {
        return Err(format!("{name} is not whole here: {}", seen.in_words()));
    }
    if !r.peers.iter().any(|p| p.connection == Connection::Connected && p.role == Role::Primary) {
        return Err(format!("{name} has lost the connection to where the domU comes from: {}", seen.in_words()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::drbd::{Disk, Fencing, Options};

    fn opened(role: Role) -> ReplicaSeen {
        let mut seen = replica(role, Role::Primary);
        seen.options = Some(Options { two_primaries: true, fencing: Fencing::ResourceOnly });
        seen
    }

    #[test]
    fn a_promotion_needs_the_guard_and_a_connected_primary() {
        let secondary = || opened(Role::Secondary);
        assert_eq!(may_promote(&secondary(), Some(Generation::V84)), Ok(()));
        for spoil in [
            |r: &mut ReplicaSeen| r.options = None,
            |r: &mut ReplicaSeen| r.options = Some(Options { two_primaries: true, fencing: Fencing::DontCare }),
            |r: &mut ReplicaSeen| r.replica.peers[0].connection = Connection::Connecting,
            |r: &mut ReplicaSeen| r.replica.peers[0].role = Role::Secondary,
            |r: &mut ReplicaSeen| r.replica.peers.clear(),
        ] {
            let mut seen = secondary();
            spoil(&mut seen);
            assert!(may_promote(&seen, Some(Generation::V84)).is_err(), "{}", seen.in_words());
        }
        let mut old = secondary();
        old.options = None;
        assert_eq!(may_promote(&old, Some(Generation::V83)), Ok(()), "8.3 shows no options");
    }

    #[test]
    fn the_sender_hears_ready_only_while_everything_is_here() {
        assert_eq!(may_say_ready(&opened(Role::Primary)), Ok(()));
        for spoil in [
            |r: &mut ReplicaSeen| r.replica.role = Role::Secondary,
            |r: &mut ReplicaSeen| r.replica.volumes[0].disk = Disk::Inconsistent,
            |r: &mut ReplicaSeen| r.replica.volumes.clear(),
            |r: &mut ReplicaSeen| r.replica.peers[0].connection = Connection::StandAlone,
            |r: &mut ReplicaSeen| r.replica.peers[0].role = Role::Unknown,
        ] {
            let mut seen = opened(Role::Primary);
            spoil(&mut seen);
            assert!(may_say_ready(&seen).is_err(), "{}", seen.in_words());
        }
    }
}
