//! force-start: a person knows that the other Dom0 is dead, and says so. `xen-migrate failover` asks the same of the disks, and both ask who
//! could know ([`Witnesses`]).

use super::cli::ForceStart;
use super::create::{self, Failed};
use super::{Ended, Setting, claim, failed, round, service};
use crate::adapters::boot::{self, Planned};
use crate::adapters::drbd::{self, Why};
use crate::adapters::look::{self, Ground};
use crate::adapters::{LockError, To};
use crate::applets::Surroundings;
use crate::applets::exit::{Exit, Stop};
use crate::applets::xen_migrate::{self, witness::Witnesses};
use crate::core::boot::Decision;
use crate::core::boot::claim::{Proof, holds, unshown};
use crate::core::boot::diary::{Diary, Outcome};
use crate::core::drbd::{Configured, Connection, Disk, Peer, Replica, Role};
use crate::core::facts::resources_of;
use crate::core::names::{HostName, ResourceName};
use crate::core::record::Moment;

/// Starts it, unless a peer is *seen* Primary, or the domU is here, or the local disk is not whole.
pub fn start(setting: Setting<'_>, args: &ForceStart) -> Ended {
    let world = setting.world;
    let (domu, reason) = (&args.domu, args.reason.trim());
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Stop::new(Exit::Usage, "--reason: say in a few words how you know that the other host is dead"));
    }
    let _round = round::begin(world, &format!("xen-drbd-auto force-start {domu}"))?;
    let waited = world.lock_holder(boot::DAEMON).is_some();
    let ended = in_a_round(setting, args);
    if waited {
        service::was_ended(world);
    }
    ended
}

fn in_a_round(setting: Setting<'_>, args: &ForceStart) -> Ended {
    let world = setting.world;
    let (domu, reason) = (&args.domu, args.reason.trim());
    let _held =
        world.lock(&look::lock_name(domu), &format!("xen-drbd-auto force-start {domu}")).map_err(|error| match error {
            LockError::Held(who) => Stop::new(Exit::Refused, format!("{domu} is being worked on: {who}\n  nothing was touched")),
            LockError::Io(why) => failed(format!("the lock of {domu}: {why}")),
        })?;
    let ground = look::ground(world, setting.toolstack).map_err(|e| failed(format!("{e}\n  nothing was touched")))?;
    let configs = boot::configs(world, &ground).map_err(failed)?;
    let config = configs.iter().find(|c| c.says.as_ref().is_ok_and(|p| p.domu == *domu));
    let Some((config, planned)) = config.and_then(|c| Some((c, c.says.as_ref().ok()?))) else {
        let next = match ground.config(world, domu).0 {
            // Where it stands is where the operator wants it: only this folder is for what starts by itself.
            Some(found) if !found.path.starts_with(boot::FOLDER) => {
                format!(
                    "cp {} {}/   (from then on it is started at boot, too, when that is safe), then the same again",
                    found.path,
                    boot::FOLDER
                )
            }
            _ => "xen-drbd-auto start   (says what is wrong with each file)".to_string(),
        };
        let text = format!("no config in {} defines {domu}, as far as they were understood\n  try: {next}", boot::FOLDER);
        return Err(Stop::new(Exit::Usage, text));
    };
    let mut diary = boot::diary_to_go_on(world);
    let names: Vec<ResourceName> = resources_of(&planned.disks).into_iter().cloned().collect();
    let may_by = |ground: &Ground| may(ground, planned, &names, &diary);
    let by_force = may_by(&ground)?;
    ask_who_could_know(setting, &ground, args, &names, &by_force)?.iter().for_each(|line| world.say(To::Err, line));
    // Whom nobody answers for was waited for: much may have happened here.
    let ground = look::ground(world, setting.toolstack).map_err(|e| failed(format!("{e}\n  nothing was touched")))?;
    if may_by(&ground)? != by_force {
        let text =
            format!("{domu} is not started: DRBD is not as it was when the others were asked; look anew\n  nothing was touched");
        return Err(Stop::new(Exit::Refused, text));
    }
    if args.dry_run {
        world.say(To::Out, "Nothing was touched (--dry-run); without it, it would be started here now.");
        return Ok(0);
    }
    world.say(To::Log, &format!("force-start {domu}: {reason}"));
    // A crash from now on is known of; a second force-start takes it up.
    names.iter().for_each(|name| diary.guard(name, domu));
    diary.version = 1;
    boot::keep(world, &diary).map_err(failed)?;
    let begun = promote(setting, &ground, &names, &by_force)
        .and_then(|()| claim::is_unchanged(world, config, planned))
        .map_err(Failed::from)
        .and_then(|()| create::create(world, ground.toolstack, planned));
    // Roles and options as they were; with a domU of that name there, only the options.
    let demote = begun.as_ref().is_err_and(|failed| !failed.theirs);
    for name in &names {
        claim::give_back(setting, &mut diary, name, demote);
    }
    let remark = match begun {
        Ok(remark) => remark,
        Err(Failed { why, theirs: true }) => return Err(failed(format!("{domu} was not started by us: {why}"))),
        Err(Failed { why, .. }) => {
            let text = format!(
                "{domu} was not started: {why}\n  its disks were given back, as far as they could be: xen-drbd-auto status"
            );
            return Err(failed(text));
        }
    };
    diary.note(&config.file, Some(domu.as_str()), Moment::from(world.now()), Outcome::Forced(format!("force-start: {reason}")));
    boot::keep(world, &diary).map_err(failed)?;
    world.say(To::Out, &format!("{domu} was started."));
    if let Some(remark) = remark {
        world.say(To::Err, &format!("note: {remark}"));
    }
    Ok(0)
}

/// Whatever another Dom0 shows of it is stronger than a person's word, and so is that it answers at all. What a person is to be told
/// otherwise.
fn ask_who_could_know(
    setting: Setting<'_>,
    ground: &Ground,
    args: &ForceStart,
    names: &[ResourceName],
    by_force: &[ResourceName],
) -> Result<Vec<String>, Stop> {
    let around = Surroundings::default();
    let asking = xen_migrate::Setting { world: setting.world, toolstack: setting.toolstack, around: &around, events: None };
    let end = ground.end(setting.world, &args.domu, names, true).map_err(|e| failed(format!("{e}\n  nothing was touched")))?;
    let witnesses = Witnesses::ask(asking, &end, &args.dead, "xen-drbd-auto force-start")?;
    witnesses.nobody_has_it(&end)?;
    witnesses.none_of_these_lives(ground, &args.dead)?;
    witnesses.nobody_lives(ground, by_force)?;
    // Without a name, the one that is silent is meant.
    let meant = witnesses.the_silent_one(ground, by_force).filter(|_| args.dead.is_empty());
    let dead = meant.map_or_else(|| args.dead.clone(), |meant| vec![meant]);
    witnesses.none_of_these_lives(ground, &dead)?;
    witnesses.all_are_dead(ground, by_force, &dead)?;
    Ok(price(ground, &witnesses, names, &witnesses.silent(ground, by_force)))
}

/// Primary, under the guard where the peer can be asked; and another look, for a person's word is no proof either.
pub(in crate::applets) fn promote(
    setting: Setting<'_>,
    ground: &Ground,
    names: &[ResourceName],
    by_force: &[ResourceName],
) -> Result<(), String> {
    let world = setting.world;
    let generation = ground.drbd.generation.ok_or("which DRBD this is could not be seen")?;
    for name in names.iter().filter(|name| !by_force.contains(name)) {
        claim::guard(world, ground, name, Proof::EveryPeer)?;
    }
    if !by_force.is_empty() {
        let now = drbd::replicas(world, generation, ground.host.as_str()).map_err(|e| e.to_string())?;
        by_force.iter().try_for_each(|name| nobody_came_back(name, &ground.drbd.replicas, &now))?;
    }
    for name in names {
        match drbd::promote(world, name) {
            Err(refusal) if by_force.contains(name) && is_for_want_of_a_peer(&refusal.why) => {
                drbd::promote_by_force(world, generation, name).map_err(|e| e.to_string())?
            }
            ended => ended.map_err(|e| e.to_string())?,
        }
    }
    let replicas = drbd::replicas(world, generation, ground.host.as_str()).map_err(|e| e.to_string())?;
    for name in names {
        let replica = replicas.iter().find(|r| r.resource == *name).ok_or_else(|| format!("{name} is gone"))?;
        match by_force.contains(name) {
            true if replica.peer_is_primary() => return Err(format!("{name} is Primary on the other host as well")),
            true => {}
            false => {
                let file = ground.drbd.file(name).ok_or_else(|| format!("drbd.conf here does not know {name}"))?;
                holds(replica, file, Proof::EveryPeer)?;
            }
        }
    }
    Ok(())
}

/// No peer is connected now that was not when it was decided: it is not dead, and there is no guard for it.
fn nobody_came_back(name: &ResourceName, before: &[Replica], now: &[Replica]) -> Result<(), String> {
    let connected = |replicas: &[Replica]| -> Vec<String> {
        let peers = replicas.iter().filter(|r| r.resource == *name).flat_map(|r| &r.peers);
        peers.filter(|p| p.connection == Connection::Connected).map(|p| p.called().to_string()).collect()
    };
    let before = connected(before);
    match connected(now).into_iter().find(|peer| !before.contains(peer)) {
        Some(back) => Err(format!("{name} is connected to {back} again, which so is not dead; look anew")),
        None => Ok(()),
    }
}

/// DRBD refuses because a peer cannot be asked, which is what a person has answered for. Every other refusal stands, and most of all that
/// there is a Primary: a replica that we are connected to may see one that we do not.
fn is_for_want_of_a_peer(why: &Why) -> bool {
    matches!(why, Why::NoGoodData | Why::PeerNotOutdated | Why::NoQuorum)
}

/// Whether a person's word is enough; the resources that need force because the peer cannot be asked.
pub(in crate::applets) fn may(
    ground: &Ground,
    planned: &Planned,
    names: &[ResourceName],
    diary: &Diary,
) -> Result<Vec<ResourceName>, Stop> {
    let refused =
        |why: String| Err(Stop::new(Exit::Refused, format!("{} is not started: {why}\n  nothing was touched", planned.domu)));
    match round::decision(ground, planned, diary, None) {
        Decision::Wait(_) | Decision::Claim(_) => {}
        decision => return refused(decision.to_string()),
    }
    let ours = diary.guarded_for(&planned.domu);
    let mut by_force = Vec::new();
    for name in names {
        let Some(replica) = ground.drbd.replicas.iter().find(|r| r.resource == *name && r.is_up()) else {
            return refused(format!("{name} is not up\n  try: drbdadm up {name}"));
        };
        if replica.role == Role::Primary && !ours.contains(name) {
            return refused(format!("{name} is Primary here and somebody uses it\n  look: fuser -v /dev/drbd*"));
        }
        if let Some(volume) =
            replica.volumes.iter().find(|v| matches!(v.disk, Disk::Diskless | Disk::Failed | Disk::Inconsistent))
        {
            return refused(format!("{name} is {} here: there is no whole disk to start from", volume.disk));
        }
        let Some(file) = ground.drbd.file(name) else { return refused(format!("drbd.conf here does not know {name}")) };
        if let Some(why) = odd(replica, file) {
            return refused(why);
        }
        if !replica.is_connected() || !file.unshown_peers(replica).is_empty() {
            by_force.push(name.clone());
        }
    }
    Ok(by_force)
}

/// What no person's word can make up for: what it is that DRBD tells, or half of the domU's disks.
fn odd(replica: &Replica, file: &Configured) -> Option<String> {
    let is_odd = replica.strange.is_some() || !file.unshown_volumes(replica).is_empty();
    unshown(replica, file).filter(|_| is_odd)
}

/// Who was not heard, and what is lost when the person is wrong. `dead`: those that are cut off and said to be dead.
pub(in crate::applets) fn price(
    ground: &Ground,
    witnesses: &Witnesses,
    names: &[ResourceName],
    dead: &[HostName],
) -> Vec<String> {
    let mut lines: Vec<String> = witnesses.unheard().into_iter().map(|(host, why)| format!("not heard: {host}: {why}")).collect();
    for name in names {
        let replica = ground.drbd.replicas.iter().find(|r| r.resource == *name);
        if let (Some(replica), Some(file)) = (replica, ground.drbd.file(name)) {
            lines.push(format!("{name}: {}", lost(replica, file)));
        }
    }
    lines.extend(dead.iter().map(|dead| format!("What {dead} has written since it was cut off is not here, and will be lost.")));
    lines
}

/// What is lost of one resource when the person is wrong.
fn lost(replica: &Replica, file: &Configured) -> String {
    let shown = replica.peers.iter().filter(|p| p.connection != Connection::Connected).map(Peer::called);
    let unshown = file.unshown_peers(replica).into_iter().map(|p| p.name.as_deref().unwrap_or("another host"));
    let away: Vec<&str> = shown.chain(unshown).collect();
    match (away.is_empty(), replica.is_up_to_date()) {
        (true, _) => "every peer is connected; nothing is lost".to_string(),
        (false, true) => format!(
            "not connected to {}; if {} runs the domU, it runs twice, and what one of the two writes from now on will be lost",
            away.join(", "),
            if away.len() == 1 { "that host" } else { "one of them" }
        ),
        (false, false) => format!(
            "not connected to {}, and the disk here is known to be older than the peer's: its last writes are lost",
            away.join(", ")
        ),
    }
}
