//! May a migration begin? Everything that can be seen is looked at, and every objection is told at once, with its evidence.

use super::{Trip, asking, older};
use crate::core::drbd::{Connection, Disk, Generation, Replication, Role};
use crate::core::facts::{CopyName, End, PROTOCOL, Promoter, ReplicaSeen, start};
use crate::core::names::HostName;
use crate::core::record::State;
use crate::core::table;
use std::fmt;
use std::str::FromStr;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Check {
    Domu,
    Flight,
    Host,
    Protocol,
    Toolstack,
    Busy,
    Name,
    Drbd,
    Window,
    Versions,
    Memory,
    Config,
    Bridges,
    Disks,
}

impl Check {
    const ALL: [Check; 14] = [
        Check::Domu,
        Check::Flight,
        Check::Host,
        Check::Protocol,
        Check::Toolstack,
        Check::Busy,
        Check::Name,
        Check::Drbd,
        Check::Window,
        Check::Versions,
        Check::Memory,
        Check::Config,
        Check::Bridges,
        Check::Disks,
    ];

    /// Those that a person may overrule (`--despite`): the migration would fail and put the domU back, or the domU would miss something,
    /// but no copy could diverge.
    pub const OVERRULABLE: [Check; 5] = [Check::Versions, Check::Memory, Check::Config, Check::Bridges, Check::Disks];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_ascii_lowercase())
    }
}

impl FromStr for Check {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Check::OVERRULABLE.into_iter().find(|c| c.to_string() == word).ok_or_else(|| {
            let known: Vec<String> = Check::OVERRULABLE.iter().map(Check::to_string).collect();
            format!("{word:?} is not a check that can be overruled: {}", known.join(", "))
        })
    }
}

/// One reason why it may not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What was checked.
    pub check: Check,
    /// What was seen.
    pub seen: String,
    /// What must be so.
    pub wanted: String,
    /// What to type, or to do, next.
    pub advice: String,
}

/// All objections against sending the domU from `here` to `there`.
///
/// Without `there` (no dedicated key) only this end and what DRBD shows of the other are checked, and what could not be is [`unchecked`].
pub fn objections(here: &End, there: Option<&End>, trip: &Trip, despite: &[Check]) -> Vec<Objection> {
    let mut found = Objections { list: Vec::new() };
    found.about_this_end(here, trip);
    found.about_resources(here, there, trip);
    match there {
        Some(there) => {
            found.about_its_way(here, trip);
            found.about_that_end(here, there, trip);
            found.about_what_it_needs(here, there);
        }
        None => found.about_flying_blind(here, trip),
    }
    // Whoever is at work on it is the reason for all else that is not in its place.
    if found.list.iter().any(|o| o.check == Check::Busy) {
        found.list.retain(|o| o.check == Check::Busy);
    } else if found.list.iter().any(|o| o.check == Check::Flight) {
        // What an interrupted migration left in disorder, `recover` puts in order, on both ends, and nothing else should be tried first.
        found.list.retain(|o| o.check == Check::Flight);
        found.list.truncate(1);
    }
    found.list.retain(|o| !despite.contains(&o.check) || !Check::OVERRULABLE.contains(&o.check));
    found.list
}

/// What a person has overruled, and would have been an objection.
pub fn overruled(here: &End, there: Option<&End>, trip: &Trip, despite: &[Check]) -> Vec<Objection> {
    let mut all = objections(here, there, trip, &[]);
    all.retain(|o| despite.contains(&o.check) && Check::OVERRULABLE.contains(&o.check));
    all
}

/// The checks that had nothing to object; without a look at the other end those that need one are not among them.
pub fn passed(there: Option<&End>, objections: &[Objection], despite: &[Check]) -> Vec<Check> {
    let needs_both = [
        Check::Host,
        Check::Protocol,
        Check::Toolstack,
        Check::Name,
        Check::Versions,
        Check::Memory,
        Check::Config,
        Check::Bridges,
    ];
    let seen = |c: &Check| there.is_some() || !needs_both.contains(c);
    let well = |c: &Check| !despite.contains(c) && !objections.iter().any(|o| o.check == *c);
    Check::ALL.into_iter().filter(|c| seen(c) && well(c)).collect()
}

/// What a migration without the dedicated key cannot check.
pub fn unchecked(trip: &Trip) -> String {
    format!(
        "{} could not be looked at (no dedicated key): not checked are its free memory, copies of the domU there, its config file, \
         bridges and DRBD options; `xen-migrate setup {}` changes that",
        trip.to, trip.to
    )
}

/// The partner is this Dom0 itself.
pub fn this_very_host(to: &HostName) -> Objection {
    Objection {
        check: Check::Host,
        seen: format!("{to} is this very Dom0"),
        wanted: "another Dom0".to_string(),
        advice: format!("name another Dom0 in {}", table::PATH),
    }
}

/// What a domU of this memory takes at its target, in MiB.
pub fn memory_needed(memory: u64) -> u64 {
    memory + MEMORY_OVERHEAD
}

struct Objections {
    list: Vec<Objection>,
}

impl Objections {
    fn add(&mut self, check: Check, seen: String, wanted: &str, advice: String) {
        self.list.push(Objection { check, seen, wanted: wanted.to_string(), advice });
    }

    fn about_this_end(&mut self, here: &End, trip: &Trip) {
        let domu = &here.domu;
        let recover = format!("xen-migrate recover {domu}");
        if trip.to.same_host(&here.host) {
            self.list.push(this_very_host(&trip.to));
        }
        if let Some(row) = &here.row {
            if row.state.in_flight() {
                let seen = format!("the record says {} {} since {}", row.state, row.host, row.since);
                self.add(Check::Flight, seen, "no migration in flight", recover.clone());
            } else if !row.open.is_empty() {
                let names: Vec<&str> = row.open.iter().map(|r| r.as_str()).collect();
                let seen = format!("an earlier migration left the options of {} changed", names.join(", "));
                self.add(Check::Flight, seen, "the options of drbd.conf in force", recover.clone());
            }
        }
        if let Some(holder) = &here.busy {
            let advice = "wait until it has ended".to_string();
            self.add(Check::Busy, format!("{domu} is being worked on: {holder}"), "one tool at a time", advice);
        }
        if let Some(who) = &here.receiving {
            let advice = "wait until it has ended".to_string();
            self.add(Check::Busy, format!("{domu} is being received here: {who}"), "no migration to here", advice);
        }
        let leftover = here.copies.iter().find(|c| c.called != CopyName::Plain);
        if let Some(copy) = leftover {
            let seen = format!("{} is here ({})", copy.domain.name, copy.domain.state.in_words());
            self.add(Check::Domu, seen, "no copy under another name", recover);
        }
        let tool = here.toolstack;
        match here.copy(CopyName::Plain) {
            None if leftover.is_some() => {}
            None => {
                let nowhere = !here.replicas.is_empty()
                    && here.row.is_none()
                    && here
                        .replicas
                        .iter()
                        .all(|r| r.replica.is_connected() && r.replica.role == Role::Secondary && !r.replica.peer_is_primary());
                let advice = match here.config.as_ref().filter(|_| nowhere) {
                    Some(config) => start(tool, domu, &config.path),
                    None => format!("xen-migrate status {domu}"),
                };
                self.add(Check::Domu, format!("{domu} does not run on {}", here.host), "a running domU", advice);
            }
            Some(copy) if copy.domain.state.executes() => {}
            Some(copy) => {
                let state = &copy.domain.state;
                let advice = if state.paused && state.shutdown.is_none() && !state.dying {
                    format!("{tool} unpause {domu}")
                } else {
                    format!("look at its console, then `{tool} destroy {}` and start it anew", copy.domain.id)
                };
                self.add(Check::Domu, format!("{domu} is {}", state.in_words()), "a running domU", advice);
            }
        }
        for what in &here.unseen {
            self.add(
                Check::Domu,
                format!("on {}: {what}", here.host),
                "everything seen",
                "mend that, then try again".to_string(),
            );
        }
    }

    fn about_resources(&mut self, here: &End, there: Option<&End>, trip: &Trip) {
        // Where DRBD could not be asked, that is the objection: what it replicates is not known.
        let known = here.unseen.is_empty();
        for disk in here.disks.iter().filter(|d| known && d.resource.is_none() && d.writable && !d.cdrom) {
            let seen = format!("disk {} is {}, which DRBD does not replicate", disk.vdev, disk.target);
            let advice = "if both Dom0s really share it: --despite disks".to_string();
            self.add(Check::Disks, seen, "every disk that is written on DRBD", advice);
        }
        if known && here.running().is_some() && here.disks.iter().all(|d| d.resource.is_none()) {
            let advice = "if both Dom0s really share its disks: --despite disks".to_string();
            self.add(Check::Disks, format!("{} has no DRBD disk", here.domu), "at least one", advice);
        }
        for seen in &here.replicas {
            let role = (!here.copies.is_empty()).then_some(Role::Primary);
            self.about_health(here, seen, role, "here");
            self.about_window(here, seen);
        }
        let Some(there) = there else { return };
        for seen in &here.replicas {
            let before = self.list.len();
            let apart = !seen.replica.is_connected() && seen.replica.is_up();
            let name = &seen.replica.resource;
            match there.replica(name) {
                None => {
                    let advice =
                        format!("make its file below /etc/drbd.d the same on both Dom0s, then on {}: drbdadm up {name}", trip.to);
                    let seen = format!("the drbd.conf of {} has no resource {name} with an `on {}`", trip.to, there.host);
                    self.add(Check::Drbd, seen, "the same resource on both ends", advice);
                }
                Some(far) => {
                    self.about_health(there, far, Some(Role::Secondary), "there");
                    // One link that is down was told as it is seen from here.
                    if apart {
                        let told = format!("{name} is not connected");
                        let mut at = 0;
                        self.list.retain(|o| {
                            at += 1;
                            at <= before || !o.seen.starts_with(&told)
                        });
                    }
                    if far.configured.options.two_primaries != seen.configured.options.two_primaries {
                        let advice = "make the two files the same, then `drbdadm adjust` on both".to_string();
                        let what = format!("allow-two-primaries of {name} differs between the two drbd.conf");
                        self.add(Check::Window, what, "the same on both, or DRBD refuses to connect", advice);
                    }
                }
            }
        }
    }

    fn about_health(&mut self, end: &End, seen: &ReplicaSeen, role: Option<Role>, place: &str) {
        let r = &seen.replica;
        let name = &r.resource;
        let mut object = |what: String, wanted: &str, advice: String| {
            self.list.push(Objection {
                check: Check::Drbd,
                seen: format!("{what} (seen on {}: {})", end.host, seen.in_words()),
                wanted: wanted.to_string(),
                advice,
            });
        };
        if !r.is_up() {
            return object(format!("{name} is not up {place}"), "it up", format!("on {}: drbdadm up {name}", end.host));
        }
        let ask = asking(end.generation, &[name]);
        let devices: Vec<&str> = seen.configured.volumes.iter().map(|v| v.device.as_str()).collect();
        let holder = match r.role {
            Role::Primary => format!("on {}: fuser -v {}   (who holds it?)", end.host, devices.join(" ")),
            _ => format!("on {}: {ask}", end.host),
        };
        if let Some(role) = role.filter(|role| &r.role != role) {
            let wanted = if role == Role::Primary { "Primary where the domU runs" } else { "Secondary where it does not run" };
            object(format!("{name} is {} {place}", r.role), wanted, holder.clone());
        }
        if r.peers.is_empty() {
            object(format!("{name} has no peer configured"), "a replica on the other end", format!("drbdadm adjust {name}"));
        }
        for peer in &r.peers {
            let who = if peer.name == "peer" { "its peer" } else { peer.name.as_str() };
            if peer.connection != Connection::Connected {
                let advice = match peer.connection {
                    Connection::StandAlone => {
                        format!(
                            "xen-migrate recover {}   (is it a split brain? it says whose data counts, with the commands)",
                            end.domu
                        )
                    }
                    _ => format!("mend the link to {who}, then: drbdadm cstate {name}"),
                };
                object(format!("{name} is not connected to {who} ({})", peer.connection), "Connected", advice);
            } else if let Some(v) = peer.volumes.iter().find(|v| v.replication != Replication::Established) {
                let what = format!("{name}/{} is being synchronised ({})", v.number, v.replication);
                object(what, "no resync running", format!("{ask}   (wait for its end)"));
            } else if let Some(v) = peer.volumes.iter().find(|v| v.disk != Disk::UpToDate) {
                let what = format!("{name}/{} is {} at {who}", v.number, v.disk);
                object(what, "UpToDate on both ends", format!("on both ends: {ask}"));
            }
        }
        if let Some(line) = &r.strange {
            let what = format!("{name}: DRBD tells of it what this version does not know, perhaps of another host: {line}");
            object(what, "every word known", ask.clone());
        }
        // 8.x has one peer, whatever the file names.
        let unknown =
            seen.configured.unshown_peers(r).into_iter().filter(|p| p.connected && end.generation == Some(Generation::V9));
        for peer in unknown {
            let who = peer.name.as_deref().unwrap_or("another host");
            let what = format!("{name}: the kernel {place} does not know {who}, and drbd.conf has it");
            object(what, "every host of drbd.conf connected", format!("on {}: drbdadm adjust {name}", end.host));
        }
        if r.volumes.is_empty() || r.peers.iter().any(|p| p.connection == Connection::Connected && p.volumes.is_empty()) {
            object(format!("{name} shows no volume"), "every volume seen", ask.clone());
        }
        let missing = seen.configured.volumes.iter().find(|c| !r.volumes.iter().any(|v| v.number == c.number));
        if let Some(volume) = missing {
            object(format!("{name}/{} is not up {place}", volume.number), "every volume up", format!("drbdadm up {name}"));
        }
        if let Some(v) = r.volumes.iter().find(|v| v.disk != Disk::UpToDate) {
            let what = format!("{name}/{} is {} {place}", v.number, v.disk);
            object(what, "UpToDate on both ends", ask.clone());
        }
    }

    fn about_window(&mut self, end: &End, seen: &ReplicaSeen) {
        let name = &seen.replica.resource;
        match (&seen.options, end.generation) {
            (_, None) => {
                let advice = "look at /proc/drbd and `drbdadm --version`".to_string();
                self.add(Check::Window, "the version of DRBD could not be seen".into(), "DRBD 8.3, 8.4 or 9", advice);
            }
            (None, _) => {
                let advice = format!("drbdsetup show {name}");
                self.add(Check::Window, format!("the options of {name} could not be read"), "them read", advice);
            }
            (Some(options), Some(Generation::V83)) if !options.two_primaries => {
                let seen = format!("DRBD 8.3 cannot allow two Primaries of {name} at run time");
                let advice =
                    "write `net { allow-two-primaries; }` and `disk { fencing resource-only; }` into drbd.conf on both Dom0s, \
                              then `drbdadm adjust` on both"
                        .to_string();
                self.add(Check::Window, seen, "two Primaries during the migration", advice);
            }
            _ => {}
        }
    }

    fn about_that_end(&mut self, here: &End, there: &End, trip: &Trip) {
        let domu = &here.domu;
        if there.protocol != PROTOCOL {
            let seen = format!("{} runs xen-migrate {}, this is {}", trip.to, there.version, here.version);
            self.add(Check::Protocol, seen, "the same version on both", "install the same version on both Dom0s".into());
        }
        if !there.host.same_host(&trip.to)
            && trip.to.as_str().parse::<std::net::IpAddr>().is_err()
            && there.fqdn != trip.to.as_str()
        {
            let seen = format!("{} answers that it is {}", trip.to, there.host);
            let advice = format!("getent hosts {}   (is the name right in the table and in /etc/hosts?)", trip.to);
            self.add(Check::Host, seen, "the host that was asked for", advice);
        }
        if there.host == here.host {
            let seen = format!("{} leads back to this very Dom0", trip.to);
            self.add(Check::Host, seen, "another Dom0", format!("getent hosts {}", trip.to));
        }
        if there.toolstack != here.toolstack {
            let seen = format!("{} here, {} on {}", here.toolstack, there.toolstack, trip.to);
            self.add(
                Check::Toolstack,
                seen,
                "the same toolstack on both ends",
                "xm and xl do not understand each other's stream".into(),
            );
        }
        for copy in &there.copies {
            let seen = format!("{} is on {} already ({})", copy.domain.name, trip.to, copy.domain.state.in_words());
            let advice = match copy.called {
                CopyName::Plain => format!("look at it there; two domUs of one name cannot be: {} list", there.toolstack),
                _ => format!("on {}: xen-migrate recover {domu}", trip.to),
            };
            self.add(Check::Name, seen, "no copy of it there", advice);
        }
        if let Some(row) = &there.row {
            let returning_to_it = row.state == State::Returning && row.host.same_host(&here.host);
            if row.state.in_flight() && !returning_to_it {
                let seen = format!("the record of {} says {} {} since {}", trip.to, row.state, row.host, row.since);
                self.add(Check::Flight, seen, "no migration in flight", format!("on {}: xen-migrate recover {domu}", trip.to));
            }
        }
        // A `reverse` over there holds its lock while it waits for us; any other tool is in the way.
        let asked_by_it = there.row.as_ref().is_some_and(|r| r.state == State::Returning && r.host.same_host(&here.host));
        if let Some(holder) = there.busy.as_ref().filter(|_| !asked_by_it) {
            let seen = format!("on {} {domu} is being worked on: {holder}", trip.to);
            self.add(Check::Busy, seen, "one tool at a time", "wait until it has ended".into());
        }
        if let Some(who) = &there.receiving {
            let seen = format!("{} is receiving {domu}: {who}", trip.to);
            self.add(Check::Busy, seen, "no other migration of it", "wait until it has ended".into());
        }
        for what in &there.unseen {
            self.add(Check::Host, format!("on {}: {what}", there.host), "everything seen", "mend that, then try again".into());
        }
    }

    fn about_what_it_needs(&mut self, here: &End, there: &End) {
        let domu = &here.domu;
        let host = &there.host;
        if let Some(copy) = here.copy(CopyName::Plain) {
            let needed = memory_needed(copy.domain.memory);
            if there.free_memory < needed {
                let seen = format!("{} MiB are free on {host}", there.free_memory);
                let advice = "free memory there, or --despite memory where Dom0 gives way by itself (autoballoon)".to_string();
                self.add(Check::Memory, seen, &format!("{needed} MiB for {domu}"), advice);
            }
            if copy.kind.as_deref() == Some("pv") && here.pv_live == Some(false) {
                let seen = "the hypervisor here is built without shadow paging (virt_caps), and the domU is PV".to_string();
                let advice = "type=\"pvh\" in its config makes it movable; --despite versions tries all the same".to_string();
                self.add(Check::Versions, seen, "a domU that can migrate live", advice);
            }
        }
        if older(&there.xen, &here.xen) {
            let seen = format!("Xen {} here, {} on {host}", here.xen, there.xen);
            self.add(Check::Versions, seen, "the same Xen there, or a newer one", "--despite versions tries all the same".into());
        }
        for (end, config) in [(here, &here.config), (there, &there.config)] {
            if let Some((path, why)) = config.as_ref().and_then(|c| Some((&c.path, c.trouble.as_ref()?))) {
                let seen = format!("{path} on {} is not understood: {why}", end.host);
                self.add(
                    Check::Config,
                    seen,
                    "its config file on both ends",
                    format!("on {}: mend it; or --despite config", end.host),
                );
            }
        }
        let read = |end: &'_ End| end.config.clone().filter(|c| c.trouble.is_none());
        let unread = there.config.as_ref().is_some_and(|c| c.trouble.is_some());
        match (&read(here), &read(there)) {
            (Some(_), None) if unread => {}
            (Some(ours), None) => {
                let seen = format!("{host} has no config file for {domu}");
                let advice = format!("copy {} to {host}; or --despite config", ours.path);
                self.add(Check::Config, seen, "its config file on both ends, or it cannot be started there", advice);
            }
            (Some(ours), Some(theirs)) if ours.digest != theirs.digest => {
                let seen = format!("{} here and {} on {host} differ", ours.path, theirs.path);
                let advice = format!(
                    "sha256sum {}; on {host}: sha256sum {}; make them the same, or --despite config",
                    ours.path, theirs.path
                );
                self.add(Check::Config, seen, "the same config on both ends", advice);
            }
            _ => {}
        }
        for bridge in here.bridges_used.iter().filter(|b| !there.interfaces.contains(b)) {
            let seen = format!("{host} has no bridge {bridge}");
            self.add(Check::Bridges, seen, "every bridge that the domU uses", "make it there, or --despite bridges".into());
        }
    }

    /// A phy: disk is promoted by migrate2 while it receives, and the row's own transport leads past it.
    fn about_its_way(&mut self, here: &End, trip: &Trip) {
        let nobody = here.disks.iter().find(|d| d.promoter == Promoter::Nobody && d.resource.is_some());
        if let Some(disk) = nobody.filter(|_| trip.own_transport) {
            let seen = format!("disk {} is phy:, and the row's own transport (-s) does not lead through migrate2", disk.vdev);
            let advice = "take -s out of the row in /etc/xen/migrate-tab.txt, or use drbd: disks, which promote themselves";
            self.add(Check::Drbd, seen, "migrate2 at the receiving end, which promotes it in the right moment", advice.into());
        }
    }

    fn about_flying_blind(&mut self, here: &End, trip: &Trip) {
        for disk in here.disks.iter().filter(|d| d.promoter == Promoter::Nobody) {
            let Some(resource) = &disk.resource else { continue };
            let seen = format!("disk {} is phy:, and nobody makes {resource} Primary on the other end", disk.vdev);
            let advice = format!("xen-migrate setup {}, which lets us do it; or drbd: disks, which promote themselves", trip.to);
            self.add(Check::Drbd, seen, "the dedicated key", advice);
        }
    }
}

/// What a domU takes beside its own memory: page tables, video memory, xenstore. Measured with 128 MiB PVH: below 4 MiB.
pub const MEMORY_OVERHEAD: u64 = 8;

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
