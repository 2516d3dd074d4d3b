//! Looking before domUs leave this Dom0: each end once, whatever their number.

use super::{A_LOOK, Journey, Migrate, Scene, Way, against, here, objection};
use crate::adapters::look::All;
use crate::adapters::peer::{Meant, PeerError};
use crate::adapters::{To, ssh, survey};
use crate::applets::exit::{Exit, Stop};
use crate::applets::xen_migrate::{Ended, Setting, drive, migrate};
use crate::core::facts::End;
use crate::core::fleet::{Left, Target};
use crate::core::migrate::Trip;
use crate::core::migrate::check::{self, Check, Objection};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::options::{self, Checked};
use crate::core::record::State;
use crate::core::table;

/// One domU: the row's first host that will do, or the one that was named.
///
/// A row with one host needs no choice: the migration looks for itself, and says all that there is against it.
pub(super) fn one(setting: Setting<'_>, domu: &DomuName, asked: &Migrate) -> Ended {
    let ground = drive::ground(setting)?;
    let hosts = ground.table.table.entry(domu).map(|e| e.hosts.clone()).unwrap_or_default();
    if asked.to.is_none() && (hosts.len() < 2 || !ssh::has_key(setting.world, &ground.host)) {
        return migrate::run(setting, domu, &asked.how);
    }
    let row = ground.record.row(domu);
    let settled = !row.is_some_and(|r| r.state.in_flight() || !r.open.is_empty());
    let here = ground.domains.iter().any(|d| d.name == domu.as_str());
    if asked.to.is_none() && !(settled && here) {
        return migrate::run(setting, domu, &asked.how);
    }
    migrate::tell_faults(setting, &ground, domu);
    let all = ground.all(setting.world);
    let (hosts, checked) = match partners(&all, domu, asked.to.as_ref()) {
        Ok(found) => found,
        Err(o) => return Err(Stop::new(Exit::Usage, format!("{domu}: {}\n  try: {}", o.seen, o.advice))),
    };
    let to = match &asked.to {
        Some(_) => hosts[0].clone(),
        None => {
            let scene = look(setting, &all, std::slice::from_ref(domu), asked)?;
            let plan = scene.plan(&Default::default());
            let Some(found) = plan.moves.first() else {
                if setting.events.is_some() {
                    super::show::plan(setting, &all.ground.host, &scene, &plan, None);
                }
                return Err(super::show::refusal(&plan));
            };
            for (host, why) in &found.passed_over {
                setting.world.say(To::Err, &format!("note: not to {host}, which its row prefers: {why}"));
            }
            found.to.clone()
        }
    };
    let others: Vec<HostName> = hosts.into_iter().filter(|h| !h.same_host(&to)).collect();
    migrate::send(setting, domu, &to, &others, &checked, &asked.how)
}

/// Where a domU of this Dom0 may go, and with which options: by its row, or for a visitor home, or to where it came from.
fn partners(all: &All, domu: &DomuName, to: Option<&HostName>) -> Result<(Vec<HostName>, Checked), Objection> {
    let ground = &all.ground;
    let table = &ground.table.table;
    let visit = ground.record.row(domu).filter(|r| r.state == State::Visiting);
    let (mut hosts, words) = match (table.entry(domu), visit) {
        (Some(entry), _) => (entry.hosts.clone(), entry.options.clone()),
        (None, Some(visit)) => {
            let home = visit.home.clone().unwrap_or_else(|| visit.host.clone());
            let mut hosts = vec![home];
            if !hosts[0].same_host(&visit.host) {
                hosts.push(visit.host.clone());
            }
            (hosts, vec![])
        }
        (None, None) => {
            let (seen, advice) = match table.faulty_line(domu) {
                Some(line) => (format!("its row has a fault (line {line} of {})", table::PATH), "xen-migrate status".to_string()),
                None => (format!("it has no row in {}", table::PATH), format!("add one there:  {domu}  PARTNER-DOM0  --live")),
            };
            return Err(objection(Check::Domu, seen, "a row that says where it may go", advice));
        }
    };
    let checked = options::check(ground.toolstack, &words).map_err(|bad| {
        let advice = format!("mend its row in {}", table::PATH);
        objection(Check::Domu, bad.to_string(), "options of the toolstack's migrate", advice)
    })?;
    if let Some(to) = to {
        let listed = hosts.iter().position(|h| h.same_host(to)).map(|at| hosts.remove(at));
        let Some(listed) = listed else {
            let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
            let seen = format!("it may go to {}, not to {to}", names.join(", "));
            let advice = format!("list {to} in its row in {}, if it has a replica there", table::PATH);
            return Err(objection(Check::Host, seen, "one of its partners", advice));
        };
        hosts = vec![listed];
    }
    Ok((hosts, checked))
}

/// Looks at this end once, and at each host once.
pub(super) fn look(setting: Setting<'_>, all: &All, domus: &[DomuName], asked: &Migrate) -> Result<Scene, Stop> {
    let us = &all.ground.host;
    let mut scene = Scene::default();
    let mut going: Vec<(End, Vec<HostName>, Checked)> = Vec::new();
    for domu in domus {
        let end = all.end(setting.world, domu, &[]).map_err(drive::look_stop)?;
        if let Some(why) = nothing_to_do(&end, asked.which.all()) {
            scene.apart.push((domu.clone(), why));
            continue;
        }
        match partners(all, domu, asked.to.as_ref()) {
            Ok((hosts, checked)) => going.push((end, hosts, checked)),
            Err(o) => scene.lost.push(Left { domu: domu.clone(), against: vec![(us.clone(), vec![o])] }),
        }
    }
    if asked.which.all() {
        scene.stay = here::strangers(&all.ground, &asked.which.except);
        scene.notes.extend(excepted(all, asked));
    }

    let mut fleet = Fleet::new(setting, us);
    for (end, hosts, _) in &going {
        for host in hosts {
            fleet.meant(host, &end.domu, end.resources().cloned().collect());
        }
    }
    fleet.look(asked.how.despite.contains(&Check::Memory));
    for (end, hosts, checked) in going {
        let ways = hosts.iter().map(|host| {
            if host.same_host(us) {
                return Way { host: host.clone(), target: 0, far: None, against: vec![check::this_very_host(host)] };
            }
            let target = fleet.target(host);
            match fleet.seen(host, &end.domu) {
                Ok(far) => {
                    let trip: Trip = migrate::trip(setting, &end, host, &checked);
                    let against = against(&end, &far, &trip, &asked.how.despite);
                    Way { host: host.clone(), target, far: Some((far, trip)), against }
                }
                Err(o) => Way { host: host.clone(), target, far: None, against: vec![o] },
            }
        });
        let ways = ways.collect();
        scene.journeys.push(Journey { domu: end.domu.clone(), end, ways });
    }
    scene.targets = fleet.targets();
    Ok(scene)
}

/// Why a domU that nobody named needs no journey. One that was named gets its objection instead, where it is not simply away already.
fn nothing_to_do(end: &End, all: bool) -> Option<String> {
    if !end.copies.is_empty() {
        return None;
    }
    match &end.row {
        Some(row) if row.state == State::Away => Some(format!("is away on {} already, since {}", row.host, row.since)),
        Some(row) if row.state == State::Visiting && all => Some("was visiting and is not here any more".to_string()),
        Some(row) if row.state.in_flight() => None,
        _ if all => Some("does not run here".to_string()),
        _ => None,
    }
}

/// What runs here and stays because somebody said so.
fn excepted(all: &All, asked: &Migrate) -> Vec<String> {
    let runs = |domu: &&DomuName| all.ground.domains.iter().any(|d| d.name == domu.as_str());
    asked.which.except.iter().filter(runs).map(|domu| format!("{domu} stays here (--except)")).collect()
}

/// Which hosts are asked about what, and what they said.
pub(super) struct Fleet<'a> {
    setting: Setting<'a>,
    us: HostName,
    hosts: Vec<Asked>,
    targets: Vec<Target>,
}

struct Asked {
    host: HostName,
    domus: Vec<Meant>,
    said: Option<Result<Vec<End>, Objection>>,
    target: usize,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(setting: Setting<'a>, us: &HostName) -> Fleet<'a> {
        Fleet { setting, us: us.clone(), hosts: vec![], targets: vec![] }
    }

    /// This host is to be asked about this domU.
    pub(super) fn meant(&mut self, host: &HostName, domu: &DomuName, resources: Vec<ResourceName>) {
        if host.same_host(&self.us) {
            return;
        }
        let asked = match self.hosts.iter_mut().find(|a| a.host.same_host(host)) {
            Some(asked) => asked,
            None => {
                self.hosts.push(Asked { host: host.clone(), domus: vec![], said: None, target: 0 });
                let last = self.hosts.len() - 1;
                &mut self.hosts[last]
            }
        };
        asked.domus.push((domu.clone(), resources));
    }

    /// Asks them all, at the same time. A host that two names lead to is one target.
    pub(super) fn look(&mut self, any_memory: bool) {
        let world = self.setting.world;
        let said: Vec<Result<Vec<End>, Objection>> = if ssh::has_key(world, &self.us) {
            let wanted: Vec<(&HostName, &[Meant])> = self.hosts.iter().map(|a| (&a.host, a.domus.as_slice())).collect();
            let answers = survey::looks(world, &self.us, &wanted);
            self.hosts.iter().zip(answers).map(|(a, answer)| answer.map_err(|e| unseen(&a.host, &e))).collect()
        } else {
            let no_key = |host: &HostName| {
                let seen = format!("{host} cannot be looked at: there is no dedicated key {}", ssh::key(&self.us));
                objection(Check::Host, seen, A_LOOK, format!("xen-migrate setup {host}"))
            };
            self.hosts.iter().map(|a| Err(no_key(&a.host))).collect()
        };
        for (asked, said) in self.hosts.iter_mut().zip(said) {
            let named = said.as_ref().ok().and_then(|ends| ends.first()).map_or(&asked.host, |end| &end.host);
            let free = said.as_ref().ok().and_then(|ends| ends.iter().map(|end| end.free_memory).min()).unwrap_or(0);
            let free = (!any_memory).then_some(free);
            asked.target = match self.targets.iter().position(|t| t.host.same_host(named)) {
                Some(at) => at,
                None => {
                    self.targets.push(Target { host: named.clone(), free });
                    self.targets.len() - 1
                }
            };
            asked.said = Some(said);
        }
    }

    /// What a host said of a domU.
    pub(super) fn seen(&self, host: &HostName, domu: &DomuName) -> Result<End, Objection> {
        let asked = self.hosts.iter().find(|a| a.host.same_host(host));
        let said = asked.and_then(|a| a.said.as_ref());
        let nothing =
            || objection(Check::Host, format!("{host} said nothing of {domu}"), A_LOOK, format!("xen-migrate ping {host}"));
        match said {
            Some(Ok(ends)) => ends.iter().find(|e| &e.domu == domu).cloned().ok_or_else(nothing),
            Some(Err(o)) => Err(o.clone()),
            None => Err(nothing()),
        }
    }

    fn target(&self, host: &HostName) -> usize {
        self.hosts.iter().find(|a| a.host.same_host(host)).map_or(0, |a| a.target)
    }

    fn targets(self) -> Vec<Target> {
        self.targets
    }
}

/// A host that gave no answer.
fn unseen(host: &HostName, error: &PeerError) -> Objection {
    let advice = error.advice().unwrap_or_else(|| format!("xen-migrate ping {host}"));
    objection(Check::Host, error.reason(), A_LOOK, advice)
}
