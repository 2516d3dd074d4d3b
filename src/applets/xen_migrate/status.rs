//! `xen-migrate status [ALL|DOMU…]`: where each domU is, its state, its DRBD disks and both their roles, since when.
//!
//! What is shown was seen on this Dom0; where a domU that is away runs is the record's word, held against the roles that DRBD shows.

use super::drive;
use super::{Ended, Setting, migrate};
use crate::adapters::To;
use crate::adapters::look::{Ground, lock_name, receive_lock_name};
use crate::applets::exit::{Exit, Stop};
use crate::core::drbd::{Connection, Replica, Role};
use crate::core::facts::{ConfigSeen, CopyName, DiskSeen, End, ReplicaSeen, failover, start};
use crate::core::fault::{self, Fault};
use crate::core::migrate::split::{self, Split};
use crate::core::names::DomuName;
use crate::core::options::{self, Checked};
use crate::core::record::{Row, State};
use crate::core::table::{self, Entry};
use crate::core::xen::Toolstack;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

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
    /// What is as it should be and worth a word: another Dom0 has its disks in use, and nothing says that it should be here.
    standby: Option<String>,
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
        domus = every(setting, &ground);
    } else {
        for word in words {
            let domu: DomuName = word.parse().map_err(|bad| Stop::new(Exit::Usage, format!("{bad}")))?;
            if !domus.contains(&domu) {
                domus.push(domu);
            }
        }
    }
    let lines: Vec<Line> = domus.iter().map(|domu| line(setting, &ground, domu)).collect();
    let faults = faults(setting, &ground);
    let rows: Vec<u32> = domus.iter().flat_map(|domu| own_lines(&ground, domu)).collect();
    let (told, others): (Vec<&Fault>, Vec<&Fault>) = faults.iter().partition(|f| all || rows.contains(&f.line));
    let others: BTreeSet<u32> = others.iter().map(|f| f.line).collect();
    let rendered = |faults: &[&Fault]| faults.iter().map(|f| f.render(table::PATH, &ground.table.text)).collect::<Vec<_>>();
    if json {
        let report = Report {
            version: 1,
            host: ground.host.as_str(),
            toolstack: ground.toolstack.program(),
            domus: &lines,
            faults: rendered(&faults.iter().collect::<Vec<_>>()),
            unseen: &ground.drbd.unseen,
        };
        let text = serde_json::to_string_pretty(&report).map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
        setting.world.say(To::Machine, &text);
    } else {
        rendered(&told).iter().for_each(|f| setting.world.say(To::Err, f));
        migrate::tell_others(setting, others.len());
        ground.drbd.unseen.iter().for_each(|what| setting.world.say(To::Err, &format!("not seen: {what}")));
        if ground.table.missing && all && !lines.is_empty() {
            let text = format!("There is no {} yet: what is listed is what is on the record, or runs here on DRBD.", table::PATH);
            setting.world.say(To::Err, &text);
        }
        table_of(setting, &ground, &lines);
        for split in strays(setting, &ground, &lines).iter().filter(|_| all) {
            setting.world.say(To::Out, &format!("! {}; the commands: xen-migrate recover", split.what));
        }
    }
    let names: Vec<&str> = lines.iter().filter(|l| !all && l.state == "unknown").map(|l| l.domu.as_str()).collect();
    if !names.is_empty() {
        return Err(unknown(&names.join(", ")));
    }
    Ok(if told.is_empty() { Exit::Done } else { Exit::Usage })
}

/// A name that says nothing to this Dom0.
pub(super) fn unknown(names: &str) -> Stop {
    Stop::new(Exit::Usage, format!("{names}: no domU of that name is here, in {}, or on the record", table::PATH))
}

/// The domUs about which a line of `status` names `recover`.
pub(super) fn to_recover(setting: Setting<'_>, ground: &Ground) -> Vec<DomuName> {
    let names_it = |domu: &DomuName| {
        let recover = format!("xen-migrate recover {domu}");
        line(setting, ground, domu).notes.iter().any(|note| note.ends_with(&recover))
    };
    every(setting, ground).into_iter().filter(names_it).collect()
}

/// What `recover` without a name says of them.
pub(super) fn to_join(setting: Setting<'_>, ground: &Ground) -> Vec<Split> {
    let lines: Vec<Line> = every(setting, ground).iter().map(|domu| line(setting, ground, domu)).collect();
    strays(setting, ground, &lines)
}

/// Resources that stand alone here and that no domU brings of which a line is shown: replicas of what moves between other Dom0s.
fn strays(setting: Setting<'_>, ground: &Ground, lines: &[Line]) -> Vec<Split> {
    let shown = |r: &Replica| lines.iter().flat_map(|l| &l.resources).any(|shown| shown.name == r.resource.as_str());
    let lone = |r: &Replica| r.peers.iter().any(|p| p.connection == Connection::StandAlone);
    let strays = ground.drbd.replicas.iter().filter(|r| lone(r) && !shown(r));
    strays.filter_map(|r| split::stray(&ground.drbd.replica(setting.world, &r.resource)?, &ground.host)).collect()
}

/// Every domU of the table, of the record, every leftover copy, and what runs here on DRBD without a row anywhere.
fn every(setting: Setting<'_>, ground: &Ground) -> Vec<DomuName> {
    let mut domus: Vec<DomuName> = ground.table.table.entries.iter().map(|e| e.domu.clone()).collect();
    let mut add = |domu: DomuName| {
        if !domus.contains(&domu) {
            domus.push(domu);
        }
    };
    ground.table.table.faulty_domus().for_each(&mut add);
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
    for domu in ground.domains.iter().filter_map(|domain| domain.name.parse::<DomuName>().ok()) {
        // What could not be looked at may well be on DRBD.
        let on_drbd = |end: End| !end.replicas.is_empty() || !end.unseen.is_empty();
        if !domus.contains(&domu) && ground.end(setting.world, &domu, &[], false).is_ok_and(on_drbd) {
            domus.push(domu);
        }
    }
    domus
}

/// Everything that is wrong with the table, in the order of its lines.
pub(super) fn faults(setting: Setting<'_>, ground: &Ground) -> Vec<Fault> {
    let table = &ground.table.table;
    let mut faults = table.faults.clone();
    faults.extend(table.entries.iter().flat_map(|entry| misfits(setting, ground, entry)));
    fault::in_order(&mut faults);
    faults
}

/// What is wrong with a row that reads well: options that its toolstack does not take, a file that is not there, no other Dom0.
fn misfits(setting: Setting<'_>, ground: &Ground, entry: &Entry) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (host, column) in entry.hosts.iter().zip(&entry.host_columns).filter(|(host, _)| host.same_host(&ground.host)) {
        faults.push(Fault::new(entry.line, *column, format!("{host} is this very Dom0"), "another Dom0"));
    }
    let column = |place: usize| entry.columns.get(place).copied().unwrap_or(1);
    match options::check(ground.toolstack, &entry.options) {
        Err(bad) => faults.push(Fault::new(entry.line, column(bad.place), bad.to_string(), "")),
        Ok(Checked { config: Some((path, place)), .. }) => {
            if let Err(why) = setting.world.read(Path::new(&path)) {
                faults.push(Fault::new(entry.line, column(place), format!("{path}: {why}"), "a file that can be read"));
            }
        }
        Ok(_) => {}
    }
    faults
}

/// The lines of the table that begin with this domU.
fn own_lines(ground: &Ground, domu: &DomuName) -> Vec<u32> {
    let table = &ground.table.table;
    table.faults_of(domu).map(|f| f.line).chain(table.entry(domu).map(|e| e.line)).collect()
}

fn line(setting: Setting<'_>, ground: &Ground, domu: &DomuName) -> Line {
    let mut notes = Vec::new();
    let row = ground.record.row(domu);
    let entry = ground.table.table.entry(domu);
    let faulty = ground.table.table.faulty_line(domu);
    let (end, unseen) = match ground.end(setting.world, domu, &[], false) {
        Ok(end) => (Some(end), None),
        Err(error) => (None, Some(error.to_string())),
    };
    notes.extend(unseen);
    let copies = end.as_ref().map(|e| e.copies.as_slice()).unwrap_or_default();
    let plain = copies.iter().find(|c| c.called == CopyName::Plain);
    let config = end.as_ref().and_then(|e| e.config.as_ref());

    let (host, state) = match (plain, row) {
        (Some(copy), _) => (Some(ground.host.to_string()), copy.domain.state.in_words().to_string()),
        (None, Some(row)) if row.state == State::Away || row.state == State::Passed => {
            (Some(row.host.to_string()), "away".to_string())
        }
        (None, Some(row)) if row.state.in_flight() => (None, row.state.to_string()),
        (None, _) if !copies.is_empty() => (None, "left over".to_string()),
        (None, None) if entry.is_none() && config.is_none() && faulty.is_none() => (None, "unknown".to_string()),
        (None, _) => (None, "absent".to_string()),
    };

    let replicas = end.as_ref().map(|e| e.replicas.as_slice()).unwrap_or_default();
    let disks = end.as_ref().map(|e| e.disks.as_slice()).unwrap_or_default();
    if let Some(end) = &end {
        remarks(&mut notes, setting, ground, domu, end, row);
    }
    if let Some((path, why)) = config.and_then(|c| Some((&c.path, c.trouble.as_ref()?))) {
        notes.push(format!("{path} is not understood: {why}"));
    }
    if let Some(line) = faulty {
        notes.push(format!("its row in {} has a fault (line {line}) and is not acted on", table::PATH));
    } else if let Some(entry) = entry.filter(|entry| !misfits(setting, ground, entry).is_empty()) {
        notes.push(format!("its row in {} has a fault (line {})", table::PATH, entry.line));
    } else if entry.is_none() && row.is_none() && plain.is_some() {
        notes.push(format!("it has no row in {}", table::PATH));
    }
    // A row that leads back here was copied from the Dom0 whose domU it is.
    let at_home = entry.is_some_and(|e| !e.hosts.iter().any(|h| h.same_host(&ground.host)));
    let mut elsewhere = None;
    if row.is_none() && copies.is_empty() {
        match replicas.iter().find(|r| r.replica.peer_is_primary()) {
            Some(seen) if at_home => notes.push(missing(domu, &seen.replica)),
            Some(seen) => elsewhere = Some(standby(domu, &seen.replica)),
            None => notes.extend(stopped(domu, replicas, config, ground.toolstack)),
        }
    }
    unreplicated(&mut notes, ground, disks);
    Line {
        domu: domu.clone(),
        host,
        state,
        partners: entry.map(|e| e.hosts.iter().map(|h| h.to_string()).collect()).unwrap_or_default(),
        resources: replicas.iter().map(resource).collect(),
        since: row.map(|r| r.since.to_string()),
        record: row.map(|r| r.state),
        notes,
        standby: elsewhere,
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
fn remarks(notes: &mut Vec<String>, setting: Setting<'_>, ground: &Ground, domu: &DomuName, end: &End, row: Option<&Row>) {
    let recover = format!("xen-migrate recover {domu}");
    let holder = setting.world.lock_holder(&lock_name(domu)).or_else(|| setting.world.lock_holder(&receive_lock_name(domu)));
    if let Some(holder) = &holder {
        notes.push(format!("being worked on: {}", drive::at_work(domu, &holder.said)));
    }
    let here = end.running().is_some();
    if let Some(row) = row {
        let age = format!("{} {} since {}", row.state, row.host, row.since);
        if row.state.in_flight() && holder.is_none() {
            notes.push(format!("a migration was interrupted ({age}): {recover}"));
        } else if !row.open.is_empty() && holder.is_none() {
            let names: Vec<&str> = row.open.iter().map(|r| r.as_str()).collect();
            notes.push(format!("the DRBD options of resource {} are still changed: {recover}", names.join(", ")));
        }
        if row.state == State::Here && row.open.is_empty() && holder.is_none() {
            notes.push(format!("{} was not there when its journey ended here; when it is back: {recover}", row.host));
        }
        if matches!(row.state, State::Away | State::Passed) && here {
            notes.push(format!("it runs here although the record says {} {}: {recover}", row.state, row.host));
        }
        if row.state == State::Away && !here && holder.is_none() {
            notes.extend(lost(ground, row, &end.replicas));
        }
        if row.state == State::Visiting && !here && end.copies.is_empty() {
            notes.push(format!("it was visiting from {} and is not here any more: {recover}", row.host));
        }
        if row.state == State::Visiting && here {
            notes.push(format!("visiting; its home is {}", row.home.as_ref().unwrap_or(&row.host)));
        }
    }
    for copy in end.copies.iter().filter(|c| c.called != CopyName::Plain) {
        if holder.is_none() {
            notes.push(format!("{} is {} (id {}): {recover}", copy.domain.name, copy.domain.state.in_words(), copy.domain.id));
        }
    }
    for seen in &end.replicas {
        let r = &seen.replica;
        if r.role == Role::Primary && r.peer_is_primary() && holder.is_none() {
            let name = &r.resource;
            let leftover = end.copies.iter().any(|c| c.called != CopyName::Plain);
            let next = match row {
                Some(row) if row.state.in_flight() => recover.clone(),
                _ if leftover => recover.clone(),
                _ if end.copies.is_empty() => format!("drbdadm secondary {name}"),
                Some(row) => format!("on {}: drbdadm secondary {name}", row.host),
                None => format!("on the other end: drbdadm secondary {name}"),
            };
            notes.push(format!("{name} is Primary on both ends and nothing of ours is at work; where no domU uses it: {next}"));
        }
        if r.role == Role::Primary && !r.peer_is_primary() && end.copies.is_empty() && holder.is_none() {
            let devices: Vec<&str> = seen.configured.volumes.iter().map(|v| v.device.as_str()).collect();
            notes.push(format!(
                "{} is Primary here and the domU is not; if nobody uses it (fuser -v {}): drbdadm secondary {}",
                r.resource,
                devices.join(" "),
                r.resource
            ));
        }
        if r.peers.iter().any(|p| p.connection == Connection::StandAlone) {
            let flight = row.is_some_and(|row| row.state.in_flight() || row.open.contains(&r.resource));
            notes.push(match flight && holder.is_none() {
                true => format!("{} is StandAlone with its journey on the record: {recover}", r.resource),
                false if holder.is_some() => format!("{} is StandAlone", r.resource),
                false => {
                    format!("{} is StandAlone, perhaps a split brain; what is known, and the commands: {recover}", r.resource)
                }
            });
        }
    }
    if let Some(blocks) = end.copy(CopyName::Plain).and_then(|c| c.blocks.as_ref()).filter(|_| here) {
        for dead in blocks.iter().filter(|b| b.state != 4) {
            notes.push(format!("its disk {} is not connected (state {}, 4 is right)", dead.vdev, dead.state));
        }
    }
    notes.extend(end.unseen.iter().filter(|u| !ground.drbd.unseen.contains(u)).cloned());
}

/// It was sent away, and DRBD does not show that it runs there.
fn lost(ground: &Ground, row: &Row, replicas: &[ReplicaSeen]) -> Option<String> {
    let (domu, host) = (&row.domu, &row.host);
    let at_home = row.home.as_ref().is_none_or(|home| home.same_host(&ground.host));
    let cut_off = |seen: &ReplicaSeen| {
        let r = &seen.replica;
        !r.volumes.is_empty() && !r.is_connected() && r.peers.iter().all(|p| p.connection != Connection::StandAlone)
    };
    if all_secondary(replicas) {
        return Some(match at_home {
            true => format!(
                "the record says away {host}, and DRBD shows no Primary anywhere; where it is: xen-migrate where {domu}; if nowhere: {}",
                failover(domu)
            ),
            false => format!("the record says away {host}, and DRBD shows no Primary anywhere: look on {host}"),
        });
    }
    let unseen = at_home && replicas.iter().any(cut_off) && !replicas.iter().any(|r| r.replica.peer_is_primary());
    unseen.then(|| {
        format!(
            "DRBD does not reach {host}; whether it runs there: xen-migrate where {domu}; if {host} is dead: {}",
            failover(domu)
        )
    })
}

fn all_secondary(replicas: &[ReplicaSeen]) -> bool {
    !replicas.is_empty() && replicas.iter().all(ReplicaSeen::is_secondary_everywhere)
}

/// Nothing of it is here, the record says nothing, and no Dom0 has its disks Primary.
fn stopped(domu: &DomuName, replicas: &[ReplicaSeen], config: Option<&ConfigSeen>, toolstack: Toolstack) -> Option<String> {
    let path = &config.filter(|_| all_secondary(replicas))?.path;
    Some(format!("it is stopped: DRBD shows no Primary anywhere; to start it: {}", start(toolstack, domu, path)))
}

/// Its home is here, nothing of it is, the record says nothing, and another Dom0 has its disks Primary.
fn missing(domu: &DomuName, replica: &Replica) -> String {
    format!(
        "another host has {} Primary, and the record here does not say that it was sent there; where it runs: xen-migrate where {domu}; \
         to bring it home: xen-migrate reverse {domu}",
        replica.resource
    )
}

/// So it is at the standby of every domU whose home is elsewhere, and no reason to fetch it.
fn standby(domu: &DomuName, replica: &Replica) -> String {
    let named = replica.peers.iter().find(|p| p.role == Role::Primary && p.name != "peer").map(|p| p.name.as_str());
    let (resource, role, host) = (&replica.resource, &replica.role, named.unwrap_or("another Dom0"));
    format!("{resource} is Primary on {host} and {role} here; where it runs: xen-migrate where {domu}")
}

fn unreplicated(notes: &mut Vec<String>, ground: &Ground, disks: &[DiskSeen]) {
    if !ground.drbd.unseen.is_empty() {
        if !disks.is_empty() {
            notes.push("DRBD could not be asked, so whether its disks are replicated could not be seen".to_string());
        }
        return;
    }
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
    let mut rows: Vec<[String; 5]> =
        vec![["DOMU", "WHERE", "STATE", "DISKS  (here/peer)", "SINCE"].map(|w| setting.world.word(w))];
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
                    setting.world.word(&line.state),
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
    for line in lines {
        if let Some(note) = &line.standby {
            say(&format!("{}: {note}", line.domu));
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
