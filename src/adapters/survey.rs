//! Looking at a whole Dom0 at once, as a [`Survey`], and at a whole fleet, one ssh a peer.
//!
//! However many domUs there are: one list of domains, one look at DRBD, and the config files, each read once.

use super::drbd;
use super::look::{self, CONFIG_FOLDERS, DrbdGround, Ground, LookError};
use super::peer::{Meant, Peer, PeerError};
use super::store::TableFile;
use super::{World, boot, here, store, xen};
use crate::core::config;
use crate::core::drbd::{Configured, Generation, Replica};
use crate::core::facts::{End, PROTOCOL};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::{Moment, Record};
use crate::core::survey::*;
use crate::core::xen::{Domain, Toolstack};
use std::collections::HashMap;
use std::path::Path;

/// At most so many peers are asked at once.
const AT_ONCE: usize = 64;

/// The hotplug script of drbd-utils before 9.31 (facts 5).
const BLOCK_DRBD: &str = "/etc/xen/scripts/block-drbd";

/// A boolean parameter of the 8.4 module: `Y` or `N`.
const SENDPAGE: &str = "/sys/module/drbd/parameters/disable_sendpage";

/// Looks at this Dom0. `asker` is the peer that asks, if one does.
pub fn survey(
    world: &dyn World,
    wanted: Option<Toolstack>,
    scope: &Scope,
    asker: Option<&HostName>,
) -> Result<Survey, LookError> {
    let Looked { host, table, record, toolstack, domains, drbd, ground } = looked(world, wanted, scope.health)?;
    let asked = |domu: &DomuName| scope.domus.is_empty() || scope.domus.iter().any(|(d, _)| d == domu);
    let is_ours = |name: &str| name == "(null)" || domu_of(name).is_some_and(|domu| asked(&domu));
    let mut known: Vec<&DomuName> = table.table.entries.iter().map(|e| &e.domu).collect();
    known.extend(record.rows.iter().map(|r| &r.domu));
    let mut configs = configs(world, toolstack, &drbd.configured, &known);
    configs.retain(|c| asked(&c.domu));
    let health = ground.map(|ground| health(world, &ground, scope, &configs, asker)).transpose()?.map(Box::new);
    let mine = |name: &ResourceName| {
        scope.domus.is_empty()
            || configs.iter().any(|c| c.resources.contains(name))
            || scope.domus.iter().any(|(_, known)| known.contains(name))
    };
    let replicas: Vec<Replica> = drbd.replicas.into_iter().filter(|r| mine(&r.resource)).collect();
    Ok(Survey {
        unshown: unshown(&replicas, &drbd.configured),
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_string(),
        toolstack,
        now: Moment::from(world.now()),
        domains: domains.into_iter().filter(|d| d.id != 0 && is_ours(&d.name)).collect(),
        replicas,
        rows: record.rows.into_iter().filter(|r| asked(&r.domu)).collect(),
        listed: table
            .table
            .entries
            .into_iter()
            .filter(|e| asked(&e.domu))
            .map(|e| Listed { domu: e.domu, hosts: e.hosts })
            .collect(),
        unseen: drbd.unseen,
        configs,
        health,
        host,
    })
}

/// The hosts of the file that the kernel does not show, with the names that they give themselves.
fn unshown(replicas: &[Replica], configured: &[Configured]) -> Vec<(ResourceName, Option<String>)> {
    let of = |replica: &Replica| -> Vec<(ResourceName, Option<String>)> {
        let file = configured.iter().find(|c| c.resource == replica.resource);
        let hosts = file.into_iter().flat_map(|file| file.unshown_peers(replica)).flat_map(|peer| match peer.hosts.is_empty() {
            true => vec![None],
            false => peer.hosts.iter().cloned().map(Some).collect(),
        });
        hosts.map(|host| (replica.resource.clone(), host)).collect()
    };
    replicas.iter().flat_map(of).collect()
}

/// What a survey is made of.
struct Looked {
    host: HostName,
    table: TableFile,
    record: Record,
    toolstack: Toolstack,
    domains: Vec<Domain>,
    drbd: DrbdGround,
    /// Everything that one domU's health is judged by, where that is asked for.
    ground: Option<Ground>,
}

/// One look. A ground costs a few programs more, so only who needs one has it.
fn looked(world: &dyn World, wanted: Option<Toolstack>, with_ground: bool) -> Result<Looked, LookError> {
    if with_ground {
        let ground = look::ground(world, wanted)?;
        let Ground { host, table, record, toolstack, domains, drbd, .. } = ground.clone();
        return Ok(Looked { host, table, record, toolstack, domains, drbd, ground: Some(ground) });
    }
    let host = here::host(world)?;
    let table = store::table(world)?;
    let record = store::record(world)?;
    let (toolstack, domains) = xen::find_with_domains(world, wanted)?;
    let drbd = look::drbd_ground(world, &host);
    Ok(Looked { host, table, record, toolstack, domains, drbd, ground: None })
}

/// Asks each of these peers once, all at the same time; a dead one costs no more than its own line. Each with its own scope. While they
/// think, so do we.
pub fn ask(
    world: &dyn World,
    us: &HostName,
    wanted: &[(HostName, Scope)],
    meanwhile: &mut dyn FnMut(),
) -> Vec<Result<Survey, PeerError>> {
    let peers: Vec<Peer<'_>> = wanted.iter().map(|(host, _)| Peer::new(world, us, host)).collect();
    let calls: Vec<_> = peers.iter().zip(wanted).map(|(peer, (_, scope))| peer.survey_call(scope)).collect();
    let answers = world.run_all_beside(&calls, AT_ONCE, meanwhile);
    peers.iter().zip(answers).map(|(peer, answer)| peer.surveyed(answer)).collect()
}

/// Looks at domUs on several peers, at all of them at the same time; a dead one costs no more than its own line.
pub fn looks(world: &dyn World, us: &HostName, wanted: &[(&HostName, &[Meant])]) -> Vec<Result<Vec<End>, PeerError>> {
    let peers: Vec<Peer<'_>> = wanted.iter().map(|(host, _)| Peer::new(world, us, host)).collect();
    let mut calls = Vec::new();
    let mut parts = Vec::new();
    for (n, (peer, (_, domus))) in peers.iter().zip(wanted).enumerate() {
        for (call, part) in peer.looks_calls(domus) {
            calls.push(call);
            parts.push((n, part));
        }
    }
    let mut found: Vec<Result<Vec<End>, PeerError>> = wanted.iter().map(|_| Ok(vec![])).collect();
    for ((n, part), answer) in parts.into_iter().zip(world.run_all(&calls, AT_ONCE)) {
        // What a peer did not say once leaves all of it unknown.
        let Ok(ends) = &mut found[n] else { continue };
        match peers[n].looked(part, answer) {
            Ok(more) => ends.extend(more),
            Err(error) => found[n] = Err(error),
        }
    }
    found
}

/// Every domU that a config file defines. A file that is not understood defines nothing here: who starts the domU is told of it.
fn configs(world: &dyn World, toolstack: Toolstack, configured: &[Configured], known: &[&DomuName]) -> Vec<Config> {
    let mut found: Vec<Config> = Vec::new();
    let mut places: HashMap<DomuName, usize> = HashMap::new();
    // The folder of all configs holds much else.
    let may = |folder: &str, name: &str| {
        folder != "/etc/xen"
            || name.ends_with(".cfg")
            || name.ends_with(".conf")
            || known.iter().any(|domu| domu.as_str() == name)
    };
    for folder in CONFIG_FOLDERS {
        let names = world.list(Path::new(folder)).unwrap_or_default();
        for name in names.iter().filter(|n| config::is_config_file_name(n) && may(folder, n)) {
            let path = format!("{folder}/{name}");
            let Ok(bytes) = world.read(Path::new(&path)) else { continue };
            let Ok(read) = config::read(name, &bytes, toolstack) else { continue };
            let Ok(domu) = read.name.parse::<DomuName>() else { continue };
            if let Some(at) = places.get(&domu) {
                found[*at].also.push(path);
                continue;
            }
            let mut resources: Vec<ResourceName> = Vec::new();
            for used in read.disks.iter().filter_map(|disk| disk.drbd_use().ok()) {
                match config::resolve(&used, configured) {
                    Ok(Some(resource)) if !resources.contains(&resource) => resources.push(resource),
                    _ => {}
                }
            }
            places.insert(domu.clone(), found.len());
            found.push(Config { domu, path, resources, also: Vec::new() });
        }
    }
    found
}

/// What could stop a migration, of the host and of the domUs in question.
fn health(
    world: &dyn World,
    ground: &Ground,
    scope: &Scope,
    configs: &[Config],
    asker: Option<&HostName>,
) -> Result<Health, LookError> {
    let Ground { host, drbd, .. } = ground;
    let mut ends = Vec::new();
    for (domu, known) in &scope.domus {
        ends.push(ground.end(world, domu, known, false)?);
    }
    let mut names: Vec<&ResourceName> = configs.iter().flat_map(|c| &c.resources).collect();
    names.extend(scope.domus.iter().flat_map(|(_, known)| known));
    names.sort_unstable();
    names.dedup();
    let of_an_end = |name: &ResourceName| ends.iter().find_map(|end| end.replica(name)).cloned();
    let resources = names.iter().filter_map(|name| of_an_end(name).or_else(|| drbd.replica(world, name))).collect();
    let diary = boot::diary(world);
    Ok(Health {
        xen: ground.info.xen.clone(),
        generation: drbd.generation,
        module: drbd::module_version(world),
        block_drbd: world.read(Path::new(BLOCK_DRBD)).is_ok(),
        disable_sendpage: drbd.generation.filter(|g| *g == Generation::V84).and_then(|_| parameter(world, SENDPAGE)),
        resources,
        after_split_brain: drbd::after_split_brain(world, host.as_str()).unwrap_or_default(),
        daemon_died: diary.version > 0 && diary.wants_a_daemon() && world.lock_holder(boot::DAEMON).is_none(),
        way_back: asker.and_then(|asker| Peer::new(world, host, asker).ping().err()).map(|e| e.reason()),
        ends,
    })
}

/// A parameter of a kernel module.
fn parameter(world: &dyn World, path: &str) -> Option<bool> {
    match String::from_utf8_lossy(&world.read(Path::new(path)).ok()?).trim() {
        "Y" | "1" => Some(true),
        "N" | "0" => Some(false),
        _ => None,
    }
}
