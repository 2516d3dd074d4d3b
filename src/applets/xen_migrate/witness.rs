//! Who could know of a domU whose host is said to be dead: every Dom0 that the table and the record name, and every host that DRBD names
//! for its disks.
//!
//! What any of them says is stronger than a person's word, and so is that it says anything at all: a dead host is silent. Only no way
//! there, no answer in time and a name without an address are silence ([`PeerError::is_silence`]); a host that refuses, does not let us
//! in, or answers what is not understood, is up and may run the domU.

use super::fleet::{self, Heard};
use super::{Setting, drive};
use crate::adapters::look::Ground;
use crate::adapters::peer::{PeerError, printable};
use crate::adapters::survey;
use crate::applets::exit::{Exit, Stop};
use crate::core::drbd::{Connection, Peer, Replica, Role};
use crate::core::facts::{End, ReplicaSeen};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::survey::{Scope, Survey};
use crate::core::whereabouts::{Asked, Fleet};

/// What they have said.
pub(in crate::applets) struct Witnesses {
    domu: DomuName,
    us: HostName,
    heard: Heard,
    /// The same, as a person reads it.
    pub fleet: Fleet,
    /// Who else has each resource.
    partners: Vec<Partners>,
    /// Whom the table or the record names for this domU, and whom a person names.
    named: Vec<HostName>,
    /// What a person has typed, but for the reason: it is said again where something must be done first.
    again: String,
}

impl Witnesses {
    /// Asks all of them, and whom a person names besides. Without the dedicated key they are asked as well: who lives does not let us in,
    /// and who is dead is silent. `command` is what the person has typed, as far as the domU's name.
    pub(in crate::applets) fn ask(setting: Setting<'_>, end: &End, dead: &[HostName], command: &str) -> Result<Witnesses, Stop> {
        let domu = end.domu.clone();
        let again = dead.iter().fold(format!("{command} {domu}"), |again, host| format!("{again} --dead {host}"));
        let scope = Scope { domus: vec![(domu.clone(), vec![])], health: false };
        let here = survey::survey(setting.world, setting.toolstack, &scope, None).map_err(drive::look_stop)?;
        let partners = partners(end);
        let mut hosts = fleet::hosts(setting, &here.host)?;
        let theirs = partners.iter().flat_map(|resource| &resource.partners).map(|partner| &partner.host);
        theirs.chain(dead).for_each(|host| fleet::add(&mut hosts, &here.host, host));
        let row = end.row.iter().flat_map(|row| [Some(&row.host), row.home.as_ref(), row.from.as_ref()]).flatten();
        let named = end.listed.iter().flatten().chain(row).chain(dead).cloned().collect();
        let heard = fleet::hear(setting, &here, std::slice::from_ref(&domu), hosts);
        let asked = heard.iter().cloned().map(|(host, answer)| Asked { host, answer: answer.map_err(fleet::why) });
        let fleet = crate::core::whereabouts::fleet(&here, &asked.collect::<Vec<_>>(), std::slice::from_ref(&domu));
        Ok(Witnesses { domu, us: here.host, heard, fleet, partners, named, again })
    }

    /// Those that answer, this Dom0 left out.
    pub(super) fn surveys(&self) -> impl Iterator<Item = &Survey> {
        self.heard.iter().filter_map(|(_, answer)| answer.as_ref().ok()).filter(|survey| survey.host != self.us)
    }

    fn refused(&self, text: &str, next: &str) -> Result<(), Stop> {
        let refusal = format!("{} is not started: {text}\n  nothing was touched", self.domu);
        Err(Stop::new(Exit::Refused, printable(&(refusal + next))))
    }

    /// Whatever an answering Dom0 shows of it is stronger than a person's word.
    pub(in crate::applets) fn nobody_has_it(&self, end: &End) -> Result<(), Stop> {
        let domu = &self.domu;
        let refused = |text: String| self.refused(&text, "");
        let mut copies = self.fleet.domus.iter().filter(|line| line.domu == *domu).flat_map(|line| &line.copies);
        if let Some(copy) = copies.find(|copy| copy.host != self.us) {
            let next = match copy.name == domu.as_str() {
                true => format!("xen-migrate reverse {domu}"),
                false => format!("on {}: xen-migrate recover {domu}", copy.host),
            };
            return refused(format!(
                "{} answers, and {} is {} there (id {})\n  try: {next}",
                copy.host, copy.name, copy.state, copy.id
            ));
        }
        for survey in self.surveys() {
            let host = &survey.host;
            let replicas = || survey.replicas.iter().filter(|r| self.may_have(&r.resource, host));
            if let Some(replica) = replicas().find(|r| r.role == Role::Primary) {
                let text = format!("{host} answers, and has {} Primary\n  look there: fuser -v /dev/drbd*", replica.resource);
                return refused(text);
            }
            // A third replica may see what we cannot.
            let seen = |r: &Replica, p: &Peer| p.role == Role::Primary && !self.is_us(end, survey, r, p);
            if let Some((replica, peer)) = replicas().find_map(|r| Some((r, r.peers.iter().find(|p| seen(r, p))?))) {
                return refused(format!("{host} sees {} Primary on {}: it may run there", replica.resource, peer.called()));
            }
            if let Some(row) = survey.row(domu).filter(|row| row.state.in_flight()) {
                return refused(format!("the record of {host} says {}\n  on {host}: xen-migrate recover {domu}", row.in_words()));
            }
            if !survey.unseen.is_empty() && self.could_have_it(host) {
                return refused(format!("{host} answers, and could not see everything: {}", survey.unseen.join("; ")));
            }
        }
        Ok(())
    }

    /// The Primary that another host sees is this one. DRBD 8 has no name for it: there it is the peer that we are connected to, and we
    /// are Primary, as an interrupted failover leaves it.
    fn is_us(&self, end: &End, survey: &Survey, seen: &Replica, peer: &Peer) -> bool {
        if peer.is_named() {
            // A connection that has a name of its own has it at both ends.
            let ours = self.partners_of(&seen.resource).find(|partner| partner.host.same_host(&survey.host));
            return named(peer, &self.us) || ours.is_some_and(|partner| partner.connection == peer.name);
        }
        let joined = |r: &Replica| r.role == Role::Primary && r.is_connected();
        end.replica(&seen.resource).is_some_and(|ours| joined(&ours.replica))
            && self.partners_of(&seen.resource).any(|partner| partner.host.same_host(&survey.host))
    }

    /// A host that has said anything is not dead, and the disk of one that only DRBD is cut off from may be the newer one. Where every
    /// peer of every disk is connected and Secondary, DRBD has answered for all of them.
    pub(in crate::applets) fn nobody_lives(&self, ground: &Ground, by_force: &[ResourceName]) -> Result<(), Stop> {
        for name in by_force {
            let Some(survey) = self.surveys().find(|survey| self.is_cut_off(ground, name, &survey.host)) else { continue };
            let host = &survey.host;
            return match survey.replicas.iter().find(|r| r.resource == *name) {
                Some(replica) => self.refused(
                    &format!("{host} is not dead, it answers; {name} is only cut off from it ({})", replica.in_words()),
                    &format!("\n  mend the link, then on both: drbdadm adjust {name}"),
                ),
                None => self.refused(
                    &format!("{host} is not dead, it answers; {name} is not up there, and what it has may be newer"),
                    &format!("\n  on {host}: drbdadm up {name}"),
                ),
            };
        }
        if by_force.is_empty() {
            return Ok(());
        }
        let domu = &self.domu;
        for (host, answer) in &self.heard {
            let connected = || by_force.iter().all(|name| self.is_connected(ground, name, host));
            if !self.could_have_it(host) || self.answers(host) || connected() {
                continue;
            }
            let (seen, advice) = match answer {
                Err(error) if error.is_silence() => continue,
                Err(error) => (error.reason(), error.advice()),
                // Whoever is asked by an address says its name.
                Ok(survey) if survey.host != self.us && host.as_str().parse::<std::net::IpAddr>().is_ok() => continue,
                Ok(survey) if survey.host == self.us => ("that name leads back to this very Dom0".to_string(), None),
                Ok(survey) => (format!("it answers that it is {}", survey.host), None),
            };
            let seen: Vec<&str> = seen.lines().map(str::trim).collect();
            let advice = advice.unwrap_or_else(|| format!("xen-migrate ping {host}"));
            let next = format!(
                "\n  let it answer: {advice}\n  or make sure by its power switch that it is off, and so silent; then again: {} \
                 --reason …",
                self.again
            );
            return self.refused(&format!("{host} is not silent, so it may be up and run {domu}: {}", seen.join("; ")), &next);
        }
        Ok(())
    }

    /// The hosts that DRBD names for these disks and that are neither connected nor answer: each could run it.
    pub(in crate::applets) fn silent(&self, ground: &Ground, by_force: &[ResourceName]) -> Vec<HostName> {
        let mut silent: Vec<HostName> = Vec::new();
        by_force.iter().flat_map(|name| self.silent_of(ground, name)).for_each(|host| fleet::add(&mut silent, &self.us, host));
        silent
    }

    fn silent_of<'a>(&'a self, ground: &'a Ground, name: &'a ResourceName) -> impl Iterator<Item = &'a HostName> {
        let hosts = self.partners_of(name).map(|partner| &partner.host);
        hosts.filter(move |host| !self.is_connected(ground, name, host) && !self.answers(host))
    }

    /// The one that is silent, where there is no other and it was really called: whose name means nothing, or to whom no network leads from
    /// here, was not.
    pub(in crate::applets) fn the_silent_one(&self, ground: &Ground, by_force: &[ResourceName]) -> Option<HostName> {
        let [silent] = &self.silent(ground, by_force)[..] else { return None };
        self.was_called(silent).then(|| silent.clone())
    }

    /// It was called, and was silent.
    pub(in crate::applets) fn was_called(&self, host: &HostName) -> bool {
        let heard = self.heard.iter().find(|(heard, _)| heard.same_host(host));
        heard.and_then(|(_, answer)| answer.as_ref().err()).is_some_and(PeerError::was_called)
    }

    /// Who is said to be dead does not answer, and DRBD is not connected to it, be it for another domU's disk: the network of the disks may
    /// be up where that of ssh is down.
    pub(in crate::applets) fn none_of_these_lives(&self, ground: &Ground, dead: &[HostName]) -> Result<(), Stop> {
        for host in dead {
            if self.answers(host) {
                return self.refused(&format!("{host} is not dead, it answers"), "");
            }
            if let Some(name) = connected_to(ground, host) {
                return self.refused(
                    &format!("{host} is not dead: {name} is connected to it"),
                    &format!("\n  look: drbdadm status {name}   (one that has just lost its power is noticed by DRBD within half a minute)"),
                );
            }
        }
        Ok(())
    }

    /// A person has said of each of those that it is dead.
    pub(in crate::applets) fn all_are_dead(
        &self,
        ground: &Ground,
        by_force: &[ResourceName],
        dead: &[HostName],
    ) -> Result<(), Stop> {
        let domu = &self.domu;
        for name in by_force {
            let said = |host: &HostName| dead.iter().any(|d| d.same_host(host));
            if let Some(host) = self.silent_of(ground, name).find(|host| !said(host)) {
                let text = format!(
                    "DRBD names {host} for {name} as well; it is not connected and does not answer, so {domu} may run there"
                );
                let next = format!("\n  only if it is dead, too: {} --dead {host} --reason …", self.again);
                return self.refused(&text, &next);
            }
            // A connection that bears no host's name leads to somebody whom nobody can ask.
            let replica = ground.drbd.replicas.iter().find(|r| r.resource == *name);
            let apart: Vec<&Peer> =
                replica.iter().flat_map(|r| &r.peers).filter(|p| p.connection != Connection::Connected).collect();
            let known = |p: &Peer| self.partners_of(name).any(|partner| partner.connection == p.name);
            let strange = |p: &&&Peer| p.is_named() && !known(p);
            if let Some(peer) = apart.iter().find(strange).filter(|_| apart.len() > 1) {
                let text = format!("{name} is not connected to {}, which is no host's name, so it cannot be asked", peer.name);
                return self.refused(&text, "");
            }
        }
        Ok(())
    }

    /// A host of that name has answered, whatever name it was asked by.
    fn answers(&self, host: &HostName) -> bool {
        self.surveys().any(|survey| survey.host.same_host(host))
    }

    fn partners_of(&self, name: &ResourceName) -> impl Iterator<Item = &Partner> {
        self.partners.iter().filter(move |p| p.resource == *name).flat_map(|p| &p.partners)
    }

    /// Whether what that host calls so is the same resource: two pairs of a fleet may each have an r0.
    fn may_have(&self, name: &ResourceName, host: &HostName) -> bool {
        let of_it = self.partners.iter().find(|p| p.resource == *name);
        of_it.is_none_or(|p| p.nameless || p.partners.iter().any(|partner| partner.host.same_host(host)))
    }

    /// It can have a disk of the domU, or somebody says that it has to do with it.
    fn could_have_it(&self, host: &HostName) -> bool {
        self.partners.iter().any(|p| self.may_have(&p.resource, host)) || self.named.iter().any(|named| named.same_host(host))
    }

    /// Our end of a resource is connected to this very host, which DRBD 9 alone can tell.
    fn is_connected(&self, ground: &Ground, name: &ResourceName, host: &HostName) -> bool {
        let partner = self.partners_of(name).find(|partner| partner.host.same_host(host));
        let Some(connection) = partner.map(|partner| &partner.connection) else { return false };
        let ours = ground.drbd.replicas.iter().find(|r| r.resource == *name);
        ours.is_some_and(|r| r.peers.iter().any(|p| p.name == *connection && p.connection == Connection::Connected))
    }

    /// Our end of a resource is not connected to this host, which has it, answers, and should be. DRBD 8 does not say which host its one
    /// peer is, and nobody says which `floating` one is: of those there are to be as many connections as hosts that answer.
    fn is_cut_off(&self, ground: &Ground, name: &ResourceName, host: &HostName) -> bool {
        let Some(ours) = ground.drbd.replicas.iter().find(|r| r.resource == *name) else { return false };
        let joined = |p: &&Peer| p.connection == Connection::Connected;
        if let Some(partner) = self.partners_of(name).find(|partner| partner.host.same_host(host)) {
            let untold = ours.peers.iter().filter(|p| !p.is_named()).any(|p| joined(&p));
            return partner.connected && !untold && !self.is_connected(ground, name, host);
        }
        let has_it = |survey: &&Survey| survey.replicas.iter().any(|r| r.resource == *name) && self.may_have(name, &survey.host);
        let is_partner = |host: &HostName| self.partners_of(name).any(|partner| partner.host.same_host(host));
        let living: Vec<&Survey> = self.surveys().filter(has_it).filter(|survey| !is_partner(&survey.host)).collect();
        let told = |p: &Peer| self.partners_of(name).any(|partner| partner.connection == p.name);
        let connections = ours.peers.iter().filter(joined).filter(|p| !told(p)).count();
        living.iter().any(|survey| survey.host.same_host(host)) && living.len() > connections
    }

    /// Who was not heard, and why, as far as it matters to a person.
    pub(in crate::applets) fn unheard(&self) -> Vec<(&HostName, String)> {
        let missing = self.heard.iter().filter(|(host, _)| !self.answers(host));
        missing.filter_map(|(host, answer)| Some((host, answer.as_ref().err()?))).map(|(host, why)| (host, said(why))).collect()
    }
}

fn said(error: &PeerError) -> String {
    match error {
        PeerError::Unreachable { said, .. } => printable(said),
        other => printable(&other.reason()),
    }
}

/// Who else has a resource.
struct Partners {
    resource: ResourceName,
    partners: Vec<Partner>,
    /// One of them goes by no host's name (`floating`): it may be anybody.
    nameless: bool,
}

/// Another host that has a resource.
struct Partner {
    host: HostName,
    /// What DRBD 9 calls the connection to it: `connection NAME { … }`, else the names of its section.
    connection: String,
    /// The file connects it with this host.
    connected: bool,
}

/// Those of the operator's file, and those that DRBD 9 has connections to.
fn partners(end: &End) -> Vec<Partners> {
    let of = |seen: &ReplicaSeen| {
        let file = &seen.configured.peers;
        let mut partners = Vec::new();
        let mut nameless = file.is_empty();
        for peer in file {
            let hosts: Vec<HostName> = peer.hosts.iter().filter_map(|host| host.parse().ok()).collect();
            nameless |= hosts.is_empty() || hosts.len() < peer.hosts.len();
            let connection = peer.name.clone().unwrap_or_default();
            let partner = |host| Partner { host, connection: connection.clone(), connected: peer.connected };
            partners.extend(hosts.into_iter().filter(|host| !host.same_host(&end.host)).map(partner));
        }
        let told = |p: &Peer| file.iter().any(|peer| peer.name.as_ref() == Some(&p.name));
        let others = seen.replica.peers.iter().filter(|p| p.is_named() && !told(p));
        let others =
            others.filter_map(|p| Some(Partner { host: p.name.parse().ok()?, connection: p.name.clone(), connected: true }));
        partners.extend(others);
        Partners { resource: seen.replica.resource.clone(), partners, nameless }
    };
    end.replicas.iter().map(of).collect()
}

/// A resource by which DRBD is connected to this very host. Its one peer has no name in DRBD 8: there it is the one other host of the file.
fn connected_to<'a>(ground: &'a Ground, host: &HostName) -> Option<&'a ResourceName> {
    let is_host = |name: &String| name.parse::<HostName>().is_ok_and(|name| name.same_host(host));
    let leads_there = |replica: &Replica, peer: &Peer| {
        let file = ground.drbd.file(&replica.resource).map(|file| &file.peers[..]).unwrap_or_default();
        match file {
            _ if peer.is_named() && named(peer, host) => true,
            _ if peer.is_named() => {
                file.iter().any(|p| p.name.as_ref() == Some(&peer.name) && matches!(&p.hosts[..], [only] if is_host(only)))
            }
            [one] => matches!(&one.hosts[..], [only] if is_host(only)),
            _ => false,
        }
    };
    let is = |r: &&Replica| r.peers.iter().any(|p| p.connection == Connection::Connected && leads_there(r, p));
    ground.drbd.replicas.iter().find(is).map(|replica| &replica.resource)
}

fn named(peer: &Peer, host: &HostName) -> bool {
    peer.name.parse::<HostName>().is_ok_and(|name| name.same_host(host))
}
