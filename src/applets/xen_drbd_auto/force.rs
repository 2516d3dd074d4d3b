//! force-start: a person knows that the other Dom0 is dead, and says so.

use super::{Ended, Setting, failed, round};
use crate::adapters::boot::{self, Planned};
use crate::adapters::look::{self, Ground};
use crate::adapters::{LockError, To, drbd, xen};
use crate::applets::exit::{Exit, Stop};
use crate::core::boot::diary::Outcome;
use crate::core::boot::{Decision, resources};
use crate::core::drbd::{Connection, Disk, Replica, Role};
use crate::core::names::{DomuName, ResourceName};
use crate::core::record::Moment;

/// Starts it, unless a peer is *seen* Primary, or the domU is here, or the local disk is not whole.
pub fn start(setting: Setting<'_>, domu: &DomuName, reason: &str) -> Ended {
    let world = setting.world;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Stop::new(Exit::Usage, "--reason: say in a few words how you know that the other host is dead"));
    }
    let _round = round::begin(world, &format!("xen-drbd-auto force-start {domu}"))?;
    let _held =
        world.lock(&look::lock_name(domu), &format!("xen-drbd-auto force-start {domu}")).map_err(|error| match error {
            LockError::Held(who) => Stop::new(Exit::Refused, format!("{domu} is being worked on: {who}\n  nothing was touched")),
            LockError::Io(why) => failed(format!("the lock of {domu}: {why}")),
        })?;
    let ground = look::ground(world, setting.toolstack).map_err(|e| failed(format!("{e}\n  nothing was touched")))?;
    let configs = boot::configs(world, &ground).map_err(failed)?;
    let config = configs.iter().find(|c| c.says.as_ref().is_ok_and(|p| p.domu == *domu));
    let Some((config, planned)) = config.and_then(|c| Some((c, c.says.as_ref().ok()?))) else {
        let text =
            format!("no config in {} defines {domu}, as far as they were understood\n  try: xen-drbd-auto start", boot::FOLDER);
        return Err(Stop::new(Exit::Usage, text));
    };
    let mut diary = boot::diary(world);
    let names: Vec<ResourceName> = resources(&planned.disks).into_iter().cloned().collect();
    let by_force = may(&ground, planned, &names, &diary.guarded)?;
    for name in &names {
        if let Some(replica) = ground.drbd.replicas.iter().find(|r| r.resource == *name) {
            world.say(To::Err, &format!("{name}: {}", lost(replica)));
        }
    }
    world.say(To::Log, &format!("force-start {domu}: {reason}"));
    let generation = ground.drbd.generation.ok_or_else(|| failed("which DRBD this is could not be seen"))?;
    for name in &names {
        let plain = drbd::promote(world, name);
        if plain.is_err() && by_force.contains(name) {
            drbd::promote_by_force(world, generation, name).map_err(|e| failed(e.to_string()))?;
        } else {
            plain.map_err(|e| failed(e.to_string()))?;
        }
    }
    xen::create(world, ground.toolstack, &config.path(), false).map_err(|e| {
        failed(format!("{e}\n  its disks are Primary here now; when that is mended: xen-drbd-auto force-start {domu} --reason …"))
    })?;
    diary.version = 1;
    diary.note(&config.file, Some(domu.as_str()), Moment::from(world.now()), Outcome::Forced(format!("force-start: {reason}")));
    boot::keep(world, &diary).map_err(failed)?;
    world.say(To::Out, &format!("{domu} was started."));
    Ok(0)
}

/// Whether a person's word is enough; the resources that need force because the peer cannot be asked.
fn may(ground: &Ground, planned: &Planned, names: &[ResourceName], ours: &[ResourceName]) -> Result<Vec<ResourceName>, Stop> {
    let refused =
        |why: String| Err(Stop::new(Exit::Refused, format!("{} is not started: {why}\n  nothing was touched", planned.domu)));
    match round::decide_with(ground, planned, ours, None) {
        Decision::Wait(_) | Decision::Claim(_) => {}
        decision => return refused(decision.to_string()),
    }
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
        if !replica.is_connected() {
            by_force.push(name.clone());
        }
    }
    Ok(by_force)
}

/// What is lost when the person is wrong.
fn lost(replica: &Replica) -> String {
    let away: Vec<&str> =
        replica.peers.iter().filter(|p| p.connection != Connection::Connected).map(|p| p.name.as_str()).collect();
    match (away.is_empty(), replica.is_up_to_date()) {
        (true, _) => "every peer is connected; nothing is lost".to_string(),
        (false, true) => format!(
            "not connected to {}; if that host runs the domU, it runs twice, and what one of the two writes from now on will be lost",
            away.join(", ")
        ),
        (false, false) => format!(
            "not connected to {}, and the disk here is known to be older than the peer's: its last writes are lost",
            away.join(", ")
        ),
    }
}
