//! What DRBD shows of its state: `status`, `--json`, `events2`, `/proc/drbd`, in the dialects of 8.3, 8.4 and 9.
//!
//! Formats of `drbdsetup.c` and `drbd_proc.c`, checked against the recordings.

use crate::core::drbd::{Connection, Disk, Generation, Replication, Role};
use crate::lab::model::{Fleet, PeerLink, Replica, Resource};
use serde_json::{Value, json};

/// The kernel module's version.
pub fn kernel_version(generation: Generation) -> &'static str {
    match generation {
        Generation::V83 => "8.3.16",
        Generation::V84 => "8.4.11",
        Generation::V9 => "9.2.16",
    }
}

/// The one word that DRBD 8 has for connection and copying.
pub fn cstate8(link: &PeerLink) -> String {
    match (&link.state, &link.replication) {
        (Connection::Connected, Replication::Established | Replication::Off) => "Connected".to_string(),
        (Connection::Connected, copying) => copying.to_string(),
        (Connection::Connecting, _) => "WFConnection".to_string(),
        (other, _) => other.to_string(),
    }
}

/// The only peer of a DRBD 8 resource.
pub fn peer8(replica: &Replica) -> Option<(&String, &PeerLink)> {
    replica.peers.iter().next()
}

/// `LOCAL/PEER` roles as DRBD 8 has them.
pub fn roles8(replica: &Replica) -> String {
    let peer = peer8(replica).map_or(Role::Unknown, |(_, l)| l.seen_role.clone());
    format!("{}/{peer}", replica.role)
}

/// `LOCAL/PEER1/PEER2…` disks of one volume.
pub fn disks(replica: &Replica, volume: usize) -> String {
    let mut words = vec![replica.disks.get(volume).cloned().unwrap_or(Disk::Diskless).to_string()];
    words.extend(replica.peers.values().map(|l| l.seen_disks.get(volume).cloned().unwrap_or(Disk::Unknown).to_string()));
    words.join("/")
}

fn copying(link: &PeerLink) -> bool {
    !matches!(link.replication, Replication::Established | Replication::Off)
}

/// How much of a resync is done, in percent.
fn done(fleet: &Fleet, resource: &Resource, link: &PeerLink) -> f64 {
    let left = link.sync_until.map_or(0, |t| t.saturating_sub(fleet.clock));
    (100.0 - 100.0 * left as f64 / resource.sync_takes.max(1) as f64).clamp(0.0, 100.0)
}

/// `drbdadm status RES`, one resource, with the empty line at its end.
pub fn status(fleet: &Fleet, host: &str, resource: &Resource) -> String {
    let Some(replica) = resource.on.get(host).filter(|r| r.up) else {
        return String::new();
    };
    let v9 = fleet.host(host).drbd == Generation::V9;
    let single = resource.volumes.len() == 1 && resource.volumes[0].number == 0;
    let mut out = format!("{} role:{}\n", resource.name, replica.role);
    for (at, volume) in resource.volumes.iter().enumerate() {
        let number = if single { String::new() } else { format!("volume:{} ", volume.number) };
        let client = if v9 && replica.disks[at] == Disk::Diskless { " client:no" } else { "" };
        out += &format!("  {number}disk:{}{client}\n", replica.disks[at]);
    }
    for (peer, link) in &replica.peers {
        let name = if v9 { peer.as_str() } else { "peer" };
        if link.state != Connection::Connected {
            // The 8.4 dialect has no connection to show while StandAlone.
            if v9 || link.state != Connection::StandAlone {
                out += &format!("  {name} connection:{}\n", link.state);
            }
            continue;
        }
        out += &format!("  {name} role:{}\n", link.seen_role);
        for (at, volume) in resource.volumes.iter().enumerate() {
            let number = if single { String::new() } else { format!("volume:{} ", volume.number) };
            // 8.4 prints `replication:Established`, 9 leaves it out.
            let replication = if copying(link) || !v9 { format!("replication:{} ", link.replication) } else { String::new() };
            let done = if copying(link) { format!(" done:{:.2}", done(fleet, resource, link)) } else { String::new() };
            out += &format!("    {number}{replication}peer-disk:{}{done}\n", link.seen_disks[at]);
        }
    }
    out + "\n"
}

/// DRBD 9: whether it may be promoted, and its score.
fn promotion(replica: &Replica) -> (bool, u32) {
    let good = replica.is_up_to_date();
    let peers_good = replica.connected().filter(|(_, l)| l.seen_disks.iter().all(|d| *d == Disk::UpToDate)).count() as u32;
    let score = if good { 10_101 + peers_good } else { 0 };
    let alone = replica.role != Role::Primary && !replica.connected().any(|(_, l)| l.seen_role == Role::Primary);
    (alone && good && replica.has_quorum(), score)
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The `exists` lines of `drbdsetup events2` for one resource.
pub fn events2(fleet: &Fleet, host: &str, resource: &Resource) -> Vec<String> {
    let Some(replica) = resource.on.get(host).filter(|r| r.up) else {
        return Vec::new();
    };
    let v9 = fleet.host(host).drbd == Generation::V9;
    let name = &resource.name;
    let mut lines = Vec::new();
    if v9 {
        let (may, score) = promotion(replica);
        lines.push(format!(
            "exists resource name:{name} role:{} suspended:no force-io-failures:no may_promote:{} promotion_score:{score}",
            replica.role,
            yes(may)
        ));
    } else {
        lines.push(format!("exists resource name:{name} role:{} suspended:no", replica.role));
    }
    let who = |peer: &str, link: &PeerLink| {
        if v9 {
            let node = resource.on.get(peer).map_or(0, |r| r.node_id);
            format!("name:{name} peer-node-id:{node} conn-name:{peer}")
        } else if link.state == Connection::StandAlone {
            format!("name:{name} peer-node-id:0")
        } else {
            format!("name:{name} peer-node-id:0 conn-name:peer")
        }
    };
    for (peer, link) in &replica.peers {
        lines.push(format!("exists connection {} connection:{} role:{}", who(peer, link), link.state, link.seen_role));
    }
    for (at, volume) in resource.volumes.iter().enumerate() {
        let head = format!("exists device name:{name} volume:{} minor:{}", volume.number, volume.minor);
        lines.push(if v9 {
            let backing = if replica.disks[at] == Disk::Diskless { "none" } else { volume.disk.as_str() };
            format!("{head} backing_dev:{backing} disk:{} client:no quorum:{}", replica.disks[at], yes(replica.has_quorum()))
        } else {
            format!("{head} disk:{}", replica.disks[at])
        });
    }
    for (peer, link) in &replica.peers {
        for (at, volume) in resource.volumes.iter().enumerate() {
            let client = if v9 { " peer-client:no" } else { "" };
            let done = if v9 && copying(link) { format!(" done:{:.2}", done(fleet, resource, link)) } else { String::new() };
            lines.push(format!(
                "exists peer-device {} volume:{} replication:{} peer-disk:{}{client} resync-suspended:no{done}",
                who(peer, link),
                volume.number,
                link.replication,
                link.seen_disks[at]
            ));
        }
    }
    if v9 {
        for (peer, link) in &replica.peers {
            lines.push(format!(
                "exists path {} local:ipv4:{}:{port} peer:ipv4:{}:{port} established:{}",
                who(peer, link),
                fleet.host(host).address,
                fleet.host(peer).address,
                yes(link.state == Connection::Connected),
                port = resource.port
            ));
        }
    }
    lines
}

/// `drbdsetup status RES --json`, one resource.
pub fn status_json(fleet: &Fleet, host: &str, resource: &Resource) -> Option<Value> {
    let replica = resource.on.get(host).filter(|r| r.up)?;
    let devices: Vec<Value> = resource
        .volumes
        .iter()
        .enumerate()
        .map(|(at, volume)| {
            json!({ "volume": volume.number, "minor": volume.minor, "disk-state": replica.disks[at].to_string(), "client": false,
                "quorum": replica.has_quorum(), "size": 65496, "read": 0, "written": 0, "al-writes": 0, "bm-writes": 0,
                "upper-pending": 0, "lower-pending": 0 })
        })
        .collect();
    let connections: Vec<Value> = replica
        .peers
        .iter()
        .map(|(peer, link)| {
            let peer_devices: Vec<Value> = resource
                .volumes
                .iter()
                .enumerate()
                .map(|(at, volume)| {
                    json!({ "volume": volume.number, "replication-state": link.replication.to_string(),
                        "peer-disk-state": link.seen_disks[at].to_string(), "peer-client": false, "resync-suspended": "no",
                        "received": 0, "sent": 0, "out-of-sync": 0, "pending": 0, "unacked": 0,
                        "has-sync-details": copying(link), "has-online-verify-details": false,
                        "percent-in-sync": if copying(link) { done(fleet, resource, link) } else { 100.0 } })
                })
                .collect();
            json!({ "peer-node-id": resource.on.get(peer).map_or(0, |r| r.node_id), "name": peer,
                "connection-state": link.state.to_string(), "congested": false, "peer-role": link.seen_role.to_string(),
                "ap-in-flight": 0, "rs-in-flight": 0, "peer_devices": peer_devices })
        })
        .collect();
    Some(json!({ "name": resource.name, "node-id": replica.node_id, "role": replica.role.to_string(), "suspended": false,
        "suspended-user": false, "suspended-no-data": false, "suspended-fencing": false, "suspended-quorum": !replica.has_quorum(),
        "force-io-failures": false, "write-ordering": "flush", "devices": devices, "connections": connections }))
}

/// `/proc/drbd`.
pub fn proc_drbd(fleet: &Fleet, host: &str) -> String {
    let mut out = match fleet.host(host).drbd {
        Generation::V9 => {
            return "version: 9.2.16 (api:2/proto:118-123)\nGIT-hash: 3a0f974085c481737e13fb39f03ccd85b63eb7df reproducible build, 2025-11-25 10:14:15\nTransports (api:21): tcp (9.2.16)\n".to_string();
        }
        Generation::V84 => "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n".to_string(),
        Generation::V83 => "version: 8.3.16 (api:88/proto:86-97)\nGIT-hash: a798fa7e274428a357657fb52f0ecf40192c1985 build by buildd@host, 2014-01-01 00:00:00\n".to_string(),
    };
    let mut minors: Vec<(u32, String)> = Vec::new();
    for resource in &fleet.resources {
        let Some(replica) = resource.on.get(host).filter(|r| r.up) else {
            continue;
        };
        for (at, volume) in resource.volumes.iter().enumerate() {
            let Some((_, link)) = peer8(replica) else {
                continue;
            };
            let letter = if link.state == Connection::StandAlone { ' ' } else { 'C' };
            let mut text = format!(
                "{:2}: cs:{} ro:{} ds:{} {letter} r-----\n    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n",
                volume.minor,
                cstate8(link),
                roles8(replica),
                disks(replica, at)
            );
            if copying(link) {
                let percent = done(fleet, resource, link);
                text += &format!(
                    "\t[>...................] sync'ed: {percent:4.1}% (64472/65496)K\n\tfinish: 0:00:03 speed: 512 (512) K/sec\n"
                );
            }
            minors.push((volume.minor, text));
        }
    }
    minors.sort();
    let mut last = None;
    for (minor, text) in minors {
        // A blank line separates minors that do not follow one another.
        if last.is_some_and(|l| l + 1 != minor) {
            out.push('\n');
        }
        out += &text;
        last = Some(minor);
    }
    out
}
