//! `xen-migrate status [ALL|DOMU…]`: where each domU is, its state, its DRBD disks and both their roles, since when.
//!
//! What is shown was seen on this Dom0; where a domU that is away runs is the record's word, held against the roles that DRBD shows.

use super::drive;
use super::{Ended, Setting, migrate};
use crate::adapters::To;
use crate::adapters::look::{Ground, lock_name, receive_lock_name};
use crate::applets::exit::{Exit, Stop};
use crate::core::drbd::Role;
use crate::core::facts::{DiskSeen, ReplicaSeen};
use crate::core::names::DomuName;
use crate::core::record::{Row, State};
use crate::core::table;
use serde::Serialize;

/// One domU, as `--json` shows it. Names and meanings of the fields are stable.
#[derive(Debug, Serialize)]
struct Line {
    /// The domU.
    domu: DomuName,
    /// The Dom0 it is on, as far as is known; `null`: not known.
    host: Option<String>,
    /// `running`, `paused`, `suspended`, `crashed`, `shut down`…; `away`; `leaving`, `returning`, `arriving`; `absent`.
    state: String,
    /// The partners that the table lists.
    partners: Vec<String>,
    /// Its resources.
    resources: Vec<Resource>,
    /// Since when the record says so.
    since: Option<String>,
    /// The record's own word: `away`, `visiting`…
    record: Option<State>,
    /// What a person should know, and what to type.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Resource {
    name: String,
    role: Role,
    peers: Vec<Peer>,
    disks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Peer {
    name: String,
    role: Role,
    connection: String,
    disks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    host: &'a str,
    toolstack: &'a str,
    domus: &'a [Line],
    faults: Vec<String>,
    unseen: &'a [String],
}

/// The verb.
pub fn run(setting: Setting<'_>, words: &[String], json: bool) -> Ended {
    let ground = drive::ground(setting)?;
    let all = words.is_empty() || words.iter().any(|w| w == "ALL");
    let mut domus: Vec<DomuName> = Vec::new();
    if all {
        domus = every(&ground);
    } else {
        for word in words {
            let domu: DomuName = word.parse().map_err(|bad| Stop::new(Exit::Usage, format!("{bad}")))?;
            if !domus.contains(&domu) {
                domus.push(domu);
            }
        }
    }
    let lines: Vec<Line> = domus.iter().map(|domu| line(setting, &ground, domu)).collect();
    if json {
        let report = Report {
            version: 1,
            host: ground.host.as_str(),
            toolstack: ground.toolstack.program(),
            domus: &lines,
            faults: ground.table.faults(),
            unseen: &ground.drbd.unseen,
        };
        let text = serde_json::to_string_pretty(&report).map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
        setting.world.say(To::Out, &text);
    } else {
        migrate::tell_faults(setting, &ground);
        ground.drbd.unseen.iter().for_each(|what| setting.world.say(To::Err, &format!("not seen: {what}")));
        table_of(setting, &ground, &lines);
    }
    let unknown: Vec<&str> = lines.iter().filter(|l| !all && l.state == "unknown").map(|l| l.domu.as_str()).collect();
    if !unknown.is_empty() {
        let text = format!("{}: no domU of that name is here, in {}, or on the record", unknown.join(", "), table::PATH);
        return Err(Stop::new(Exit::Usage, text));
    }
    Ok(if ground.table.table.faults.is_empty() { Exit::Done } else { Exit::Usage })
}

/// Every domU of the table, of the record, and every leftover copy.
fn every(ground: &Ground) -> Vec<DomuName> {
    let mut domus: Vec<DomuName> = ground.table.table.entries.iter().map(|e| e.domu.clone()).collect();
    let mut add = |domu: DomuName| {
        if !domus.contains(&domu) {
            domus.push(domu);
        }
    };
    ground.record.rows.iter().for_each(|r| add(r.domu.clone()));
    for domain in &ground.domains {
        let name = &domain.name;
        let plain = name
            .strip_suffix("--incoming")
            .or_else(|| name.strip_suffix("--migratedaway"))
            .or_else(|| name.strip_prefix("migrating-"));
        if let Some(domu) = plain.and_then(|n| n.parse().ok()) {
            add(domu);
        }
    }
    domus
}

fn line(setting: Setting<'_>, ground: &Ground, domu: &DomuName) -> Line {
    let mut notes = Vec::new();
    let row = ground.record.row(domu);
    let entry = ground.table.table.entry(domu);
    let (end, unseen) = match ground.end(setting.world, domu, &[], false) {
        Ok(end) => (Some(end), None),
        Err(error) => (None, Some(error.to_string())),
    };
    notes.extend(unseen);
    let copies = end.as_ref().map(|e| e.copies.as_slice()).unwrap_or_default();
    let plain = copies.iter().find(|c| c.called == crate::core::facts::CopyName::Plain);
    let config = end.as_ref().and_then(|e| e.config.as_ref());

    let (host, state) = match (plain, row) {
        (Some(copy), _) => (Some(ground.host.to_string()), copy.domain.state.in_words().to_string()),
        (None, Some(row)) if row.state == State::Away || row.state == State::Passed => {
            (Some(row.host.to_string()), "away".to_string())
        }
        (None, Some(row)) if row.state.in_flight() => (None, row.state.to_string()),
        (None, _) if !copies.is_empty() => (None, "left over".to_string()),
        (None, None) if entry.is_none() && config.is_none() => (None, "unknown".to_string()),
        (None, _) => (None, "absent".to_string()),
    };

    let replicas = end.as_ref().map(|e| e.replicas.as_slice()).unwrap_or_default();
    let disks = end.as_ref().map(|e| e.disks.as_slice()).unwrap_or_default();
    if let Some(end) = &end {
        remarks(&mut notes, setting, ground, domu, end, row);
    }
    if entry.is_none() && row.is_none() && plain.is_some() {
        notes.push(format!("it has no row in {}", table::PATH));
    }
    unreplicated(&mut notes, disks);
    Line {
        domu: domu.clone(),
        host,
        state,
        partners: entry.map(|e| e.hosts.iter().map(|h| h.to_string()).collect()).unwrap_or_default(),
        resources: replicas.iter().map(resource).collect(),
        since: row.map(|r| r.since.to_string()),
        record: row.map(|r| r.state),
        notes,
    }
}

fn resource(seen: &ReplicaSeen) -> Resource {
    let r = &seen.replica;
    Resource {
        name: r.resource.to_string(),
        role: r.role.clone(),
        peers: r
            .peers
            .iter()
            .map(|p| Peer {
                name: p.name.clone(),
                role: p.role.clone(),
                connection: p.connection.to_string(),
                disks: p.volumes.iter().map(|v| v.disk.to_string()).collect(),
            })
            .collect(),
        disks: r.volumes.iter().map(|v| v.disk.to_string()).collect(),
    }
}

/// What does not fit together, and what to type about it.
fn remarks(
    notes: &mut Vec<String>,
    setting: Setting<'_>,
    ground: &Ground,
    domu: &DomuName,
    end: &crate::core::facts::End,
    row: Option<&Row>,
) {
    let recover = format!("xen-migrate recover {domu}");
    let holder = setting.world.lock_holder(&lock_name(domu)).or_else(|| setting.world.lock_holder(&receive_lock_name(domu)));
    if let Some(holder) = &holder {
        notes.push(format!("being worked on: {holder}"));
    }
    let here = end.running().is_some();
    if let Some(row) = row {
        let age = format!("{} {} since {}", row.state, row.host, row.since);
        if row.state.in_flight() && holder.is_none() {
            notes.push(format!("a migration was interrupted ({age}): {recover}"));
        } else if !row.open.is_empty() && holder.is_none() {
            let names: Vec<&str> = row.open.iter().map(|r| r.as_str()).collect();
            notes.push(format!("the options of {} are still changed: {recover}", names.join(", ")));
        }
        if matches!(row.state, State::Away | State::Passed) && here {
            notes.push(format!("it runs here although the record says {} {}: {recover}", row.state, row.host));
        }
        if row.state == State::Away && !here && all_secondary(&end.replicas) {
            notes.push(format!("the record says away {}, and DRBD shows no Primary anywhere: look on {}", row.host, row.host));
        }
        if row.state == State::Visiting && !here && end.copies.is_empty() {
            notes.push(format!("it was visiting from {} and is not here any more: {recover}", row.host));
        }
        if row.state == State::Visiting && here {
            notes.push(format!("visiting; its home is {}", row.home.as_ref().unwrap_or(&row.host)));
        }
    }
    for copy in end.copies.iter().filter(|c| c.called != crate::core::facts::CopyName::Plain) {
        if holder.is_none() {
            notes.push(format!("{} is {} (id {}): {recover}", copy.domain.name, copy.domain.state.in_words(), copy.domain.id));
        }
    }
    for seen in &end.replicas {
        let r = &seen.replica;
        if r.role == Role::Primary && r.peer_is_primary() && holder.is_none() {
            notes.push(format!("{} is Primary on both ends and nothing of ours is at work", r.resource));
        }
        if r.role == Role::Primary && end.copies.is_empty() && holder.is_none() {
            notes.push(format!("{} is Primary here and the domU is not", r.resource));
        }
        if r.peers.iter().any(|p| p.connection == crate::core::drbd::Connection::StandAlone) {
            let flight = row.is_some_and(|row| row.state.in_flight() || row.open.contains(&r.resource));
            notes.push(match flight && holder.is_none() {
                true => format!("{} is StandAlone with its journey on the record: {recover}", r.resource),
                false => {
                    format!("{} is StandAlone, perhaps a split brain: look at both ends before `drbdadm connect`", r.resource)
                }
            });
        }
    }
    if let Some(blocks) = end.copy(crate::core::facts::CopyName::Plain).and_then(|c| c.blocks.as_ref()).filter(|_| here) {
        for dead in blocks.iter().filter(|b| b.state != 4) {
            notes.push(format!("its disk {} is not connected (state {}, 4 is right)", dead.vdev, dead.state));
        }
    }
    notes.extend(end.unseen.iter().filter(|u| !ground.drbd.unseen.contains(u)).cloned());
}

fn all_secondary(replicas: &[ReplicaSeen]) -> bool {
    !replicas.is_empty()
        && replicas.iter().all(|r| r.replica.is_connected() && r.replica.role == Role::Secondary && !r.replica.peer_is_primary())
}

fn unreplicated(notes: &mut Vec<String>, disks: &[DiskSeen]) {
    for disk in disks.iter().filter(|d| d.resource.is_none() && d.writable && !d.cdrom) {
        notes.push(format!("disk {} ({}) is not replicated by DRBD", disk.vdev, disk.target));
    }
}

/// The table that people read.
fn table_of(setting: Setting<'_>, ground: &Ground, lines: &[Line]) {
    let say = |text: &str| setting.world.say(To::Out, text);
    if lines.is_empty() {
        let text = if ground.table.missing {
            format!("There is no {} yet, nothing on the record, and no leftover of a migration.", table::PATH)
        } else {
            format!("No domU in {}, nothing on the record, and no leftover of a migration.", table::PATH)
        };
        return say(&text);
    }
    let mut rows: Vec<[String; 5]> = vec![["DOMU", "WHERE", "STATE", "DISKS  (here/peer)", "SINCE"].map(String::from)];
    for line in lines {
        let mut disks: Vec<String> = line.resources.iter().map(short).collect();
        if disks.is_empty() {
            disks.push("-".to_string());
        }
        let host = line.host.clone().unwrap_or("-".to_string());
        for (n, disk) in disks.into_iter().enumerate() {
            if n == 0 {
                rows.push([
                    line.domu.to_string(),
                    host.clone(),
                    line.state.clone(),
                    disk,
                    line.since.clone().unwrap_or("-".into()),
                ]);
            } else {
                rows.push([String::new(), String::new(), String::new(), disk, String::new()]);
            }
        }
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        say(cells.join("  ").trim_end());
    }
    for line in lines.iter().filter(|l| !l.notes.is_empty()) {
        for note in &line.notes {
            say(&format!("! {}: {note}", line.domu));
        }
    }
}

/// `r0 Primary/Secondary Connected UpToDate/UpToDate`, each word once where all peers agree.
fn short(resource: &Resource) -> String {
    let join = |mut words: Vec<String>| {
        words.dedup();
        if words.is_empty() { "-".to_string() } else { words.join("+") }
    };
    if resource.disks.is_empty() {
        return format!("{} not up", resource.name);
    }
    format!(
        "{} {}/{} {} {}/{}",
        resource.name,
        resource.role,
        join(resource.peers.iter().map(|p| p.role.to_string()).collect()),
        join(resource.peers.iter().map(|p| p.connection.clone()).collect()),
        join(resource.disks.clone()),
        join(resource.peers.iter().flat_map(|p| p.disks.iter().cloned()).collect())
    )
}
