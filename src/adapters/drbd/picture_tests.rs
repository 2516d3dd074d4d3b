//! Every recording of `events2`, and lines that no tool has printed yet.

use super::*;
use crate::adapters::drbd::testing::{recorded, replica};

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
        ["Secondary/", "Secondary/Unknown", "Secondary/Secondary", "Secondary/Primary", "Primary/Primary", "Primary/Secondary"]
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
    picture.apply("exists resource name:web role:Tertiary colour:blue may_promote:perhaps");
    picture.apply("exists device name:web volume:0 minor:1 disk:Sparkling quorum:perhaps");
    picture.apply("exists connection name:web peer-node-id:1 conn-name:beta connection:Friendly role:Sleeping");
    picture.apply("exists -");
    assert!(picture.complete());
    let web = replica(&picture, "web");
    assert_eq!(web.role, Role::Other("Tertiary".to_string()));
    assert_eq!((web.may_promote, web.volumes[0].quorum, &web.strange), (None, None, &None));
    assert!(!web.is_up_to_date() && !web.is_connected() && !web.peers_are_up_to_date());
}

#[test]
fn a_kind_of_line_that_is_not_known_is_remembered_with_its_resource() {
    let healthy = recorded("drbdsetup-9.2-events2-link-cut-just-now.txt");
    for line in
        ["exists shadow name:r0 colour:blue", "dance connection name:r0 peer-node-id:7 role:Primary", "change a-b name:r0"]
    {
        let mut picture = Picture::of(&healthy.replace("exists -\n", ""));
        assert_eq!(picture.apply(line), Heard::Strange("r0".to_string()));
        picture.apply("exists -");
        assert!(picture.complete());
        let strange = |name: &str| replica(&picture, name).strange;
        assert_eq!(strange("r0").as_deref(), Some(line));
        assert!(picture.replicas().iter().all(|r| r.resource == *"r0" || r.strange.is_none()));
        picture.apply("create resource name:r0 role:Secondary");
        assert_eq!(picture.replica(&"r0".parse().unwrap()).unwrap().strange, None);
    }
    for known in [
        "exists path name:r0 peer-node-id:1 conn-name:b local:ipv4:10.0.0.1:7789 peer:ipv4:10.0.0.2:7789 established:yes",
        "call helper name:r0 helper:before-resync-target",
        "response helper name:r0 helper:before-resync-target status:0",
        "exists helper name:r0 helper:fence-peer",
        "destroy shadow name:r0",
        "error desciption: packets droped, socket receive buffer overrun",
        "exists shadow colour:blue",
        "",
    ] {
        assert_eq!(Picture::of(&healthy).apply(known), Heard::Nothing, "{known}");
    }
}

#[test]
fn every_kind_of_line_that_was_ever_recorded_is_known() {
    for (name, text) in crate::adapters::drbd::testing::all_recorded().into_iter().filter(|(name, _)| name.contains("events2")) {
        assert!(Picture::of(&text).replicas().iter().all(|r| r.strange.is_none()), "{name}");
    }
}

#[test]
fn what_has_no_end_is_no_picture_and_takes_no_memory() {
    let mut picture = Picture::of("exists resource name:web role:Secondary\nexists -\n");
    let heard = (0..1_000_000).map(|n| picture.apply(&format!("create resource name:new-{n} role:Secondary suspended:no")));
    assert!(heard.into_iter().any(|heard| heard == Heard::Odd));
    assert!(!picture.complete());
    assert!(picture.resources.len() < 300_000);
    // What is known already is still heard, and so is its end.
    assert_eq!(picture.apply("change resource name:web role:Primary"), Heard::State("web".to_string()));
    // Ten thousand, each with a peer and a volume, are a picture.
    let lines = (0..10_000).flat_map(|n| {
        [
            format!("exists resource name:r{n} role:Secondary suspended:no force-io-failures:no may_promote:yes promotion_score:10101"),
            format!("exists connection name:r{n} peer-node-id:1 conn-name:dom0-beta connection:Connected role:Secondary"),
            format!("exists device name:r{n} volume:0 minor:1 backing_dev:/dev/vg0/web disk:UpToDate client:no open:no quorum:yes"),
            format!("exists peer-device name:r{n} peer-node-id:1 conn-name:dom0-beta volume:0 replication:Established peer-disk:UpToDate"),
        ]
    });
    let text: String = lines.flat_map(|line| [line, "\n".to_string()]).collect();
    assert!(Picture::of(&(text + "exists -\n")).complete());
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
fn create_begins_anew_and_change_keeps_what_it_does_not_name() {
    let mut picture = Picture::of(
        "exists resource name:web role:Primary\n\
         exists device name:web volume:0 minor:1 disk:UpToDate quorum:yes\n\
         exists connection name:web peer-node-id:1 conn-name:beta connection:Connected role:Primary\nexists -\n",
    );
    picture.apply("change device name:web volume:0 disk:Failed");
    let web = replica(&picture, "web");
    assert_eq!((web.volumes[0].minor, &web.volumes[0].disk), (Some(1), &Disk::Failed));
    assert_eq!(web.volumes[0].quorum, Some(true));
    picture.apply("create device name:web volume:0 minor:1");
    picture.apply("create connection name:web peer-node-id:1 conn-name:beta");
    let web = replica(&picture, "web");
    assert!(!web.is_up_to_date() && !web.is_connected() && !web.peer_is_primary());
    assert_eq!(web.volumes[0].quorum, None);
    picture.apply("create resource name:web role:Secondary");
    assert!(replica(&picture, "web").peers.is_empty());
}

#[test]
fn a_late_destroy_brings_nothing_back_and_a_rename_takes_all_along() {
    let mut picture = Picture::of("exists resource name:old role:Secondary\nexists -\n");
    picture.apply("destroy device name:gone volume:0");
    picture.apply("rename resource name:old new_name:new");
    let names: Vec<String> = picture.replicas().iter().map(|r| r.resource.to_string()).collect();
    assert_eq!(names, ["new"]);
}
