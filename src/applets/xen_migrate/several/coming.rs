//! Looking before domUs come back: along the trail that each Dom0 left when it passed one on, one request a host and step.

use super::going::Fleet;
use super::{Journey, Scene, Way, against, objection};
use crate::adapters::look::All;
use crate::applets::exit::Stop;
use crate::applets::xen_migrate::{Setting, drive};
use crate::core::facts::End;
use crate::core::fleet::{Left, Target};
use crate::core::migrate::Trip;
use crate::core::migrate::check::{Check, Objection};
use crate::core::names::{DomuName, HostName};
use crate::core::record::{Moment, State};
use crate::core::table;

/// A trail longer than this goes in circles.
const LONGEST_TRAIL: usize = 16;

/// One domU that is looked for.
struct Sought {
    domu: DomuName,
    trail: Vec<HostName>,
}

enum Found {
    /// It, or a copy of it, is there.
    There(Box<End>),
    /// Its host cannot be asked.
    Hidden(Objection),
    /// The trail ends and nothing of it is there.
    Gone,
}

/// Finds what was sent from here.
pub(super) fn look(setting: Setting<'_>, all: &All, domus: &[DomuName]) -> Result<Scene, Stop> {
    let us = &all.ground.host;
    let mut scene = Scene { targets: vec![here(all)], ..Scene::default() };
    let mut sought = Vec::new();
    for domu in domus {
        let end = all.end(setting.world, domu, &[]).map_err(drive::look_stop)?;
        let away = end.row.as_ref().filter(|r| r.state == State::Away);
        match away {
            Some(row) if end.copies.is_empty() => sought.push(Sought { domu: domu.clone(), trail: vec![row.host.clone()] }),
            Some(row) => {
                let how = match end.running() {
                    Some(_) => "runs here".to_string(),
                    None => format!("is here ({})", end.copies_in_words()),
                };
                let text = format!(
                    "{how} although the record says away {}: somebody moved it by hand; xen-migrate recover {domu}   (puts the record right)",
                    row.host
                );
                scene.astray.push((domu.clone(), text));
            }
            None if end.running().is_some() => scene.apart.push((domu.clone(), format!("runs on {us} already"))),
            None => {
                let seen = "the record does not say that it was sent from here".to_string();
                let o =
                    objection(Check::Domu, seen, "a domU that is away", format!("xen-migrate reverse {domu}   (looks for it)"));
                scene.lost.push(Left { domu: domu.clone(), against: vec![(us.clone(), vec![o])] });
            }
        }
    }
    let found = follow(setting, us, sought);
    let gone: Vec<&Sought> = found.iter().filter(|(_, found)| matches!(found, Found::Gone)).map(|(sought, _)| sought).collect();
    let elsewhere = elsewhere(setting, all, &gone);
    for (sought, found) in &found {
        let domu = &sought.domu;
        match found {
            Found::There(far) => {
                let end =
                    all.end(setting.world, domu, &far.resources().cloned().collect::<Vec<_>>()).map_err(drive::look_stop)?;
                scene.journeys.push(journey(setting, us, (**far).clone(), end));
            }
            Found::Hidden(o) => {
                let last = sought.trail[sought.trail.len() - 1].clone();
                scene.lost.push(Left { domu: domu.clone(), against: vec![(last, vec![o.clone()])] });
            }
            Found::Gone => {
                let last = &sought.trail[sought.trail.len() - 1];
                let text = match elsewhere.iter().find(|(name, _)| name == domu) {
                    Some((_, host)) => format!(
                        "is not on {last}, where it was sent: somebody moved it by hand to {host}, and there it stays; to have it back, on \
                         {host}: a row `{domu} {us}` in {}, and xen-migrate migrate {domu}",
                        table::PATH
                    ),
                    None => format!(
                        "is not on {last}, where it was sent, nor on any other of its partners; xen-migrate reverse {domu}   (says what \
                         DRBD shows, and how to start it)"
                    ),
                };
                scene.astray.push((domu.clone(), text));
            }
        }
    }
    Ok(scene)
}

/// This Dom0, as a target.
fn here(all: &All) -> Target {
    Target { host: all.ground.host.clone(), free: Some(all.ground.info.free_memory_mib.unwrap_or(0)) }
}

fn journey(setting: Setting<'_>, us: &HostName, far: End, end: End) -> Journey {
    let trip = Trip::to(us, Moment::from(setting.world.now()));
    let mut against = against(&far, &end, &trip, &[]);
    let visits = far.row.as_ref().is_some_and(|r| {
        r.state == State::Visiting && (r.host.same_host(us) || r.home.as_ref().is_some_and(|home| home.same_host(us)))
    });
    let listed = far.listed.as_ref().is_some_and(|hosts| hosts.iter().any(|h| h.same_host(us)));
    if !visits && !listed && !far.row.as_ref().is_some_and(|r| r.state.in_flight()) {
        let seen = format!("{} does not know that it came from here", far.host);
        let advice = format!("on {}: a row `{} {us}` in {}", far.host, far.domu, table::PATH);
        against.push(objection(Check::Host, seen, "its record or its table to name this Dom0", advice));
    }
    let way = Way { host: us.clone(), target: 0, far: Some((end, trip)), against };
    Journey { domu: far.domu.clone(), end: far, ways: vec![way] }
}

/// From host to host, all of them at once.
fn follow(setting: Setting<'_>, us: &HostName, sought: Vec<Sought>) -> Vec<(Sought, Found)> {
    let order: Vec<DomuName> = sought.iter().map(|s| s.domu.clone()).collect();
    let mut found = Vec::new();
    let mut rest = sought;
    while !rest.is_empty() {
        let mut fleet = Fleet::new(setting, us);
        for sought in &rest {
            fleet.meant(&sought.trail[sought.trail.len() - 1], &sought.domu, vec![]);
        }
        fleet.look(false);
        let mut further = Vec::new();
        for mut sought in rest {
            let last = sought.trail[sought.trail.len() - 1].clone();
            let far = match fleet.seen(&last, &sought.domu) {
                Ok(far) => far,
                Err(o) => {
                    found.push((sought, Found::Hidden(o)));
                    continue;
                }
            };
            if !far.copies.is_empty() {
                found.push((sought, Found::There(Box::new(far))));
                continue;
            }
            let next = far.row.as_ref().filter(|r| matches!(r.state, State::Passed | State::Away)).map(|r| r.host.clone());
            let known = |next: &HostName| next.same_host(us) || sought.trail.iter().any(|h| h.same_host(next));
            match next.filter(|next| !known(next) && sought.trail.len() < LONGEST_TRAIL) {
                Some(next) => {
                    sought.trail.push(next);
                    further.push(sought);
                }
                None => found.push((sought, Found::Gone)),
            }
        }
        rest = further;
    }
    found.sort_by_key(|(sought, _)| order.iter().position(|domu| domu == &sought.domu));
    found
}

/// Those that run on another of their partners although nobody of us sent them there.
fn elsewhere(setting: Setting<'_>, all: &All, gone: &[&Sought]) -> Vec<(DomuName, HostName)> {
    let others = |sought: &Sought| -> Vec<HostName> {
        let listed = all.ground.table.table.entry(&sought.domu).map(|e| e.hosts.clone()).unwrap_or_default();
        listed.into_iter().filter(|h| !sought.trail.iter().any(|t| t.same_host(h))).collect()
    };
    let mut fleet = Fleet::new(setting, &all.ground.host);
    for sought in gone {
        others(sought).iter().for_each(|host| fleet.meant(host, &sought.domu, vec![]));
    }
    fleet.look(false);
    gone.iter()
        .filter_map(|sought| {
            let there = |host: &HostName| fleet.seen(host, &sought.domu).is_ok_and(|end| end.running().is_some());
            others(sought).into_iter().find(there).map(|host| (sought.domu.clone(), host))
        })
        .collect()
}
