//! Many Dom0s at once: where each domU is, from one [`Survey`] of each that answered.
//!
//! The answers come from different moments, a few seconds apart at most: a domU that moved in between may be seen on both ends, or on
//! neither. Nothing is ever decided from this picture; it is for people, and it says what it could not see.

use super::drbd::{Connection, Peer, Replica, Role};
use super::facts::{CopyName, copy_name, failover};
use super::names::{DomuName, HostName, ResourceName};
use super::record::{Row, State};
use super::survey::{Survey, domu_of};
use super::xen::Domain;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// One Dom0 that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name it was asked by.
    pub host: HostName,
    /// What it answered, or why it did not.
    pub answer: Result<Survey, String>,
}

/// The fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fleet {
    /// Every Dom0 that was asked, this one first.
    pub hosts: Vec<HostLine>,
    /// Every domU.
    pub domus: Vec<DomuLine>,
}

/// One Dom0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostLine {
    /// Its name.
    pub host: HostName,
    /// It answered, and is what it was asked for.
    pub answered: bool,
    /// Why not.
    pub why: Option<String>,
    /// The program's version there.
    pub version: Option<String>,
    /// How many domUs execute there.
    pub running: usize,
    /// What it could not see itself.
    pub unseen: Vec<String>,
}

/// One domU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomuLine {
    /// Its name.
    pub domu: DomuName,
    /// Where it is; `None`: not known, or nowhere.
    pub host: Option<HostName>,
    /// `running`, `paused`, …; `twice`; `left over`; `unseen`: on a Dom0 that did not answer, or was not asked, as far as is known;
    /// `absent`: nowhere; `unknown`.
    pub state: &'static str,
    /// Every copy that was seen.
    pub copies: Vec<Copy>,
    /// Its DRBD resources, as the host that has it sees them.
    pub resources: Vec<Resource>,
    /// The Dom0 that it belongs to, as far as tables and records say.
    pub home: Option<HostName>,
    /// Since when the record says where it is.
    pub since: Option<String>,
    /// What a person should know, and what to type.
    pub notes: Vec<String>,
}

/// A copy of a domU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Where.
    pub host: HostName,
    /// Under which name.
    pub name: String,
    /// Its id there.
    pub id: u32,
    /// Its state, in words.
    pub state: &'static str,
}

/// A DRBD resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Who sees it so.
    pub seen_on: HostName,
    /// `r0 Primary/Secondary Connected UpToDate/UpToDate`.
    pub words: String,
    /// The role there.
    pub role: Role,
}

impl Fleet {
    /// Some Dom0 did not answer.
    pub fn is_incomplete(&self) -> bool {
        self.hosts.iter().any(|h| !h.answered)
    }
}

/// Puts the answers together. `here` is this Dom0's own look, the domUs of its table come first. `wanted` are those that somebody asks for:
/// of them a config file alone is enough.
pub fn fleet(here: &Survey, asked: &[Asked], wanted: &[DomuName]) -> Fleet {
    let mut hosts = vec![line_of(here)];
    let mut seen: Vec<&Survey> = vec![here];
    let mut missing: Vec<&HostName> = Vec::new();
    for one in asked {
        match answer(one, here, &seen) {
            Ok(Some(survey)) => {
                hosts.push(line_of(survey));
                seen.push(survey);
            }
            // The same host under another name.
            Ok(None) => {}
            Err(why) => {
                missing.push(&one.host);
                hosts.push(HostLine {
                    host: one.host.clone(),
                    answered: false,
                    why: Some(why),
                    version: None,
                    running: 0,
                    unseen: vec![],
                });
            }
        }
    }
    let index = Index::of(&seen);
    let domus = index.domus(here, wanted).into_iter().map(|domu| line(domu, &seen, &missing, &index)).collect();
    Fleet { hosts, domus }
}

/// The survey of a peer, where it is what it was asked for.
fn answer<'a>(one: &'a Asked, here: &Survey, seen: &[&Survey]) -> Result<Option<&'a Survey>, String> {
    let survey = one.answer.as_ref().map_err(String::clone)?;
    if survey.host.same_host(&here.host) {
        return Err("that name leads back to this very Dom0".to_string());
    }
    let by_address = one.host.as_str().parse::<std::net::IpAddr>().is_ok();
    if !by_address && !survey.host.same_host(&one.host) {
        return Err(format!("it answers that it is {}; is the name right in the table and in /etc/hosts?", survey.host));
    }
    Ok((!seen.iter().any(|s| s.host == survey.host)).then_some(survey))
}

fn line_of(survey: &Survey) -> HostLine {
    HostLine {
        host: survey.host.clone(),
        answered: true,
        why: None,
        version: Some(survey.version.clone()),
        running: survey.domains.iter().filter(|d| d.state.executes()).count(),
        unseen: survey.unseen.clone(),
    }
}

/// Everything by its domU, so that a thousand of them on twenty Dom0s cost a thousand looks and not a million.
#[derive(Default)]
struct Index<'a> {
    copies: HashMap<DomuName, Vec<(usize, CopyName, &'a Domain)>>,
    rows: HashMap<&'a DomuName, Vec<(usize, &'a Row)>>,
    configs: HashMap<&'a DomuName, Vec<(usize, &'a super::survey::Config)>>,
    listed: HashMap<&'a DomuName, Vec<usize>>,
    replicas: HashMap<&'a str, Vec<(usize, &'a Replica)>>,
}

impl<'a> Index<'a> {
    fn of(seen: &[&'a Survey]) -> Index<'a> {
        let mut index = Index::default();
        for (at, survey) in seen.iter().enumerate() {
            for domain in &survey.domains {
                if let Some(domu) = domu_of(&domain.name)
                    && let Some(called) = copy_name(&domu, &domain.name)
                {
                    index.copies.entry(domu).or_default().push((at, called, domain));
                }
            }
            survey.rows.iter().for_each(|row| index.rows.entry(&row.domu).or_default().push((at, row)));
            survey.configs.iter().for_each(|config| index.configs.entry(&config.domu).or_default().push((at, config)));
            survey.listed.iter().for_each(|listed| index.listed.entry(&listed.domu).or_default().push(at));
            survey.replicas.iter().for_each(|r| index.replicas.entry(r.resource.as_str()).or_default().push((at, r)));
        }
        index
    }

    /// The domUs that a table or a record names, that are on DRBD, or that nobody knows enough of. Ours first, the others by name.
    fn domus(&self, here: &'a Survey, wanted: &[DomuName]) -> Vec<DomuName> {
        let mut domus: Vec<DomuName> = Vec::new();
        let mut there: HashSet<DomuName> = HashSet::new();
        let mut add = |domu: &DomuName| {
            if there.insert(domu.clone()) {
                domus.push(domu.clone());
            }
        };
        here.listed.iter().for_each(|l| add(&l.domu));
        here.rows.iter().for_each(|r| add(&r.domu));
        let mut others: Vec<&DomuName> = self.listed.keys().chain(self.rows.keys()).copied().collect();
        // A domU whose config says that nothing of it is on DRBD is no affair of ours.
        let plain = |domu: &DomuName| self.configs.get(domu).is_some_and(|c| c.iter().all(|(_, c)| c.resources.is_empty()));
        let moves = |copies: &[(usize, CopyName, &Domain)]| copies.iter().any(|(_, called, _)| *called != CopyName::Plain);
        others.extend(self.copies.iter().filter(|(domu, copies)| moves(copies) || !plain(domu)).map(|(domu, _)| domu));
        others.sort_unstable();
        others.into_iter().for_each(&mut add);
        wanted.iter().filter(|domu| self.configs.contains_key(domu)).for_each(add);
        domus
    }
}

fn line(domu: DomuName, seen: &[&Survey], missing: &[&HostName], index: &Index<'_>) -> DomuLine {
    let copies = index.copies.get(&domu).map(Vec::as_slice).unwrap_or_default();
    let rows = index.rows.get(&domu).map(Vec::as_slice).unwrap_or_default();
    let configs = index.configs.get(&domu).map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<&str> = Vec::new();
    for name in configs.iter().flat_map(|(_, c)| &c.resources) {
        if !names.contains(&name.as_str()) {
            names.push(name.as_str());
        }
    }
    let replicas = |name: &str| index.replicas.get(name).map(Vec::as_slice).unwrap_or_default();
    let host_at = |at: usize| &seen[at].host;
    let mut notes = Vec::new();

    let place = place(copies, rows, seen, missing, &names, &replicas);
    let (host, at) = match &place {
        Place::At(at, _) => (Some(host_at(*at).clone()), Some(*at)),
        Place::Unseen(host) => (host.clone(), None),
        _ => (None, None),
    };
    // Who has it sees its disks best; else the first that has any.
    let resources: Vec<Resource> = names
        .iter()
        .filter_map(|name| {
            let all = replicas(name);
            let (at, replica) = all.iter().find(|(a, _)| Some(*a) == at).or(all.first())?;
            let words = replica.in_words();
            Some(Resource { name: name.to_string(), seen_on: host_at(*at).clone(), words, role: replica.role.clone() })
        })
        .collect();
    remarks(&mut notes, &domu, &place, copies, rows, seen, missing);
    for name in &names {
        about_disks(&mut notes, name, replicas(name), seen);
    }
    let told = rows.iter().find(|(_, row)| matches!(row.state, State::Away | State::Leaving)).or(rows.first());
    DomuLine {
        host,
        state: place.word(),
        copies: copies
            .iter()
            .map(|(at, _, d)| Copy { host: host_at(*at).clone(), name: d.name.clone(), id: d.id, state: d.state.in_words() })
            .collect(),
        resources,
        home: home(&domu, rows, seen, index),
        since: told.map(|(_, row)| row.since.to_string()),
        notes,
        domu,
    }
}

/// Where a domU is.
enum Place {
    /// On the Dom0 with this place in the list, in this state.
    At(usize, &'static str),
    /// It executes on several.
    Twice,
    /// On a Dom0 that did not answer, or was not asked; on which one, where that is known.
    Unseen(Option<HostName>),
    /// Nowhere.
    Absent,
    /// Nobody who answered has it, and not all did.
    Unknown,
}

impl Place {
    fn word(&self) -> &'static str {
        match self {
            Place::At(_, word) => word,
            Place::Twice => "twice",
            Place::Unseen(_) => "unseen",
            Place::Absent => "absent",
            Place::Unknown => "unknown",
        }
    }
}

fn place<'r>(
    copies: &[(usize, CopyName, &Domain)],
    rows: &[(usize, &Row)],
    seen: &[&Survey],
    missing: &[&HostName],
    names: &[&str],
    replicas: &dyn Fn(&str) -> &'r [(usize, &'r Replica)],
) -> Place {
    let mut plain = copies.iter().filter(|(_, called, _)| *called == CopyName::Plain);
    let running: Vec<usize> = plain.clone().filter(|(_, _, d)| d.state.executes()).map(|(at, ..)| *at).collect();
    match running[..] {
        [at] => return Place::At(at, "running"),
        [_, _, ..] => return Place::Twice,
        [] => {}
    }
    // What a record says of a host that did not answer is all that is known of it.
    let gone = |row: &Row| matches!(row.state, State::Away | State::Passed | State::Leaving | State::Returning | State::Arriving);
    let silent = |row: &Row| missing.iter().copied().find(|m| gone(row) && m.same_host(&row.host));
    if let Some((at, _, domain)) = plain.next() {
        return Place::At(*at, domain.state.in_words());
    }
    if let Some(host) = rows.iter().find_map(|(_, row)| silent(row)) {
        return Place::Unseen(Some(host.clone()));
    }
    if let Some((at, ..)) = copies.first() {
        return Place::At(*at, "left over");
    }
    // Whoever answered has no copy of it. What the others have of its disks, DRBD says.
    let elsewhere: Vec<&Peer> = names.iter().flat_map(|name| others(replicas(name), seen)).collect();
    let primary: Vec<&&Peer> = elsewhere.iter().filter(|p| p.role == Role::Primary).collect();
    if !primary.is_empty() {
        let asked = |host: &HostName| missing.iter().copied().find(|m| m.same_host(host)).unwrap_or(host).clone();
        let not_seen = |row: &&Row| gone(row) && !seen.iter().any(|s| s.host.same_host(&row.host));
        let recorded = || rows.iter().map(|(_, row)| *row).find(not_seen).map(|row| row.host.clone());
        let host = primary.iter().find_map(|p| named(p)).or_else(recorded).map(|host| asked(&host)).or(match missing {
            [only] => Some((*only).clone()),
            _ => None,
        });
        return Place::Unseen(host);
    }
    // A host that has its disk by the file, and that neither the kernel shows nor anybody has heard.
    let answered = |host: &String| seen.iter().any(|s| host.parse::<HostName>().is_ok_and(|host| s.host.same_host(&host)));
    let hidden = |(resource, host): &(ResourceName, Option<String>)| {
        names.contains(&resource.as_str()) && !host.as_ref().is_some_and(answered)
    };
    if seen.iter().flat_map(|s| &s.unshown).any(hidden) {
        return Place::Unknown;
    }
    let all_seen =
        |name: &&str| replicas(name).iter().any(|(_, r)| r.is_connected() && r.role == Role::Secondary && !r.peer_is_primary());
    if !names.is_empty() && names.iter().all(all_seen) {
        return Place::Absent;
    }
    // A third Dom0 that nobody asked, and whose role is not shown, may have it.
    let unknown = |p: &&Peer| named(p).is_some() && p.role != Role::Secondary;
    if missing.is_empty() && !elsewhere.iter().any(unknown) { Place::Absent } else { Place::Unknown }
}

/// The host that DRBD 9 means; DRBD 8 has no name for its peer.
fn named(peer: &Peer) -> Option<HostName> {
    peer.is_named().then(|| peer.name.parse().ok()).flatten()
}

/// Those peers of a resource that are none of the Dom0s that answered.
fn others<'r>(replicas: &'r [(usize, &'r Replica)], seen: &[&Survey]) -> Vec<&'r Peer> {
    let answered = |peer: &Peer| match named(peer) {
        Some(host) => seen.iter().any(|s| s.host.same_host(&host)),
        None => replicas.len() > 1,
    };
    replicas.iter().flat_map(|(_, r)| &r.peers).filter(|peer| !answered(peer)).collect()
}

/// The Dom0s that this one sees Primary, by the names that DRBD 9 has for them.
pub fn primaries(survey: &Survey) -> Vec<HostName> {
    survey.replicas.iter().flat_map(|r| &r.peers).filter(|p| p.role == Role::Primary).filter_map(named).collect()
}

/// The Dom0s that may be Primary as far as this one sees: all that are not shown Secondary.
pub fn may_be_primary(survey: &Survey) -> Vec<HostName> {
    survey.replicas.iter().flat_map(|r| &r.peers).filter(|p| p.role != Role::Secondary).filter_map(named).collect()
}

fn remarks(
    notes: &mut Vec<String>,
    domu: &DomuName,
    place: &Place,
    copies: &[(usize, CopyName, &Domain)],
    rows: &[(usize, &Row)],
    seen: &[&Survey],
    missing: &[&HostName],
) {
    let host_at = |at: usize| &seen[at].host;
    if matches!(place, Place::Twice) {
        let on: Vec<String> = copies
            .iter()
            .filter(|(_, called, d)| *called == CopyName::Plain && d.state.executes())
            .map(|(at, _, d)| format!("{} (id {})", host_at(*at), d.id))
            .collect();
        notes.push(format!(
            "RUNS TWICE: on {}. If it was not moved in this very moment (ask again), pause one at once: {} pause ID, and look at both: \
             xen-migrate recover {domu}",
            on.join(" and "),
            seen.first().map_or("xl", |s| s.toolstack.program())
        ));
    }
    for (at, called, domain) in copies {
        if *called != CopyName::Plain {
            let (host, state) = (host_at(*at), domain.state.in_words());
            notes.push(format!("{} is {state} on {host} (id {}); on {host}: xen-migrate recover {domu}", domain.name, domain.id));
        }
    }
    let runs_on = match place {
        Place::At(at, _) => Some(host_at(*at)),
        _ => None,
    };
    if let Place::Unseen(Some(host)) = place
        && !missing.iter().any(|m| m.same_host(host))
    {
        notes.push(format!(
            "DRBD shows its disks in use (Primary), as far as is known on {host}, which was not asked; on {host}: xen-migrate status {domu}"
        ));
    }
    for (at, row) in rows {
        let (of, since) = (host_at(*at), format!("{} {} since {}", row.state, row.host, row.since));
        let recover = format!("on {of}: xen-migrate recover {domu}");
        if row.state.in_flight() {
            notes.push(format!("{of} has it in flight or interrupted ({since}); {recover}"));
        } else if !row.open.is_empty() {
            let names: Vec<&str> = row.open.iter().map(|r| r.as_str()).collect();
            notes.push(format!("on {of} the options of {} are still changed; {recover}", names.join(", ")));
        }
        match row.state {
            State::Away | State::Passed => {
                let elsewhere = runs_on.filter(|host| !host.same_host(&row.host));
                // Passed on by the host that it was sent to is no contradiction: that one's record says so.
                let passed = rows.iter().any(|(a, r)| r.state == State::Passed && host_at(*a).same_host(&row.host));
                if let Some(host) = elsewhere.filter(|_| !passed) {
                    notes.push(format!("the record of {of} says {since}, and it is on {host}; {recover}"));
                }
                if missing.iter().any(|m| m.same_host(&row.host)) && runs_on.is_none() {
                    let text = format!("{} did not answer; the record of {of} says {since}", row.host);
                    notes.push(match row.state {
                        State::Away => format!("{text}; if that host is dead: on {of}: {}", failover(domu)),
                        _ => text,
                    });
                }
                if row.state == State::Away && matches!(place, Place::Absent) {
                    notes.push(format!("the record of {of} says {since}, and it runs nowhere; on {of}: {}", failover(domu)));
                }
            }
            State::Visiting if runs_on.is_some_and(|host| host != of) => {
                notes.push(format!("the record of {of} says {since}, and it is not there any more; {recover}"));
            }
            _ => {}
        }
    }
}

/// What is wrong with a resource, whoever sees it.
fn about_disks(notes: &mut Vec<String>, name: &str, replicas: &[(usize, &Replica)], seen: &[&Survey]) {
    let both: Vec<&str> =
        replicas.iter().filter(|(_, r)| r.role == Role::Primary).map(|(at, _)| seen[*at].host.as_str()).collect();
    if both.len() > 1 {
        notes.push(format!("{name} is Primary on {}", both.join(" and ")));
    }
    for (at, replica) in replicas {
        if replica.peers.iter().any(|p| p.connection == Connection::StandAlone) {
            notes.push(format!("{name} is StandAlone on {}, perhaps a split brain", seen[*at].host));
        }
    }
}

/// Where it belongs: a record knows for certain; else the only table that lists it.
fn home(domu: &DomuName, rows: &[(usize, &Row)], seen: &[&Survey], index: &Index<'_>) -> Option<HostName> {
    let recorded = rows.iter().find_map(|(at, row)| match row.state {
        State::Away => Some(row.home.clone().unwrap_or_else(|| seen[*at].host.clone())),
        _ => row.home.clone(),
    });
    recorded.or_else(|| match index.listed.get(domu).map(Vec::as_slice) {
        Some([at]) => Some(seen[*at].host.clone()),
        _ => None,
    })
}

#[cfg(test)]
#[path = "whereabouts_tests.rs"]
mod tests;
