//! Doing: one deed on this Dom0, and a look that it is done.
//!
//! Every deed can be repeated: one that is done already is a success.

use super::World;
use super::drbd::{self, DeedError, Why};
use super::here;
use super::look::{DrbdGround, LookError, drbd_ground, receive_lock_name};
use super::store::{self, StoreError};
use super::xen::{self, Gone, XenError};
use crate::core::drbd::{Connection, Fencing, Generation, Options, Role};
use crate::core::facts::{CopyName, ReplicaSeen};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::{Moment, Record, Row, State};
use crate::core::step::Deed;
use crate::core::xen::Toolstack;
use std::time::Duration;
use thiserror::Error;

/// Why a deed was not done.
#[derive(Debug, Error)]
pub enum Failure {
    /// DRBD refused.
    #[error(transparent)]
    Drbd(#[from] DeedError),
    /// The toolstack refused.
    #[error(transparent)]
    Xen(#[from] XenError),
    /// The record could not be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The look before or after it failed.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Somebody has the device open.
    #[error("{0}")]
    HeldOpen(String),
    /// It was done, and the look afterwards shows that it did not work.
    #[error("{0}")]
    NotSo(String),
}

/// For whom a deed is done.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The domU.
    pub domu: DomuName,
    /// The other end.
    pub peer: HostName,
    /// The toolstack that was asked for.
    pub toolstack: Option<Toolstack>,
}

/// Does one deed here. `Send` is not one of them: it is `migrate`'s own.
pub fn act(world: &dyn World, cause: &Cause, deed: &Deed) -> Result<(), Failure> {
    let domu = &cause.domu;
    match deed {
        Deed::Note(row) => Ok(store::update(world, |record| note(record, row))?),
        Deed::Forget => Ok(store::update(world, |record| record.forget(domu))?),
        Deed::Expect { open, home } => expect(world, cause, open, home),
        Deed::Arrived => arrived(world, cause),
        Deed::Release => release(world, domu),
        Deed::Open(resource) => open(world, resource),
        Deed::Close(resource) => close(world, cause, resource),
        Deed::Connect(resource) => connect(world, resource),
        Deed::EndReceiving => end_receiving(world, domu),
        Deed::Promote(resource) => promote(world, resource),
        Deed::Demote(resource) => demote(world, resource),
        Deed::Destroy { called, id } => {
            let name = match called {
                CopyName::Plain => domu.to_string(),
                CopyName::Incoming => domu.incoming(),
                CopyName::MigratedAway => domu.migrated_away(),
                CopyName::Migrating => domu.migrating(),
            };
            let toolstack = xen::find(world, cause.toolstack)?;
            match xen::destroy(world, toolstack, *id, &name)? {
                Gone::Destroyed | Gone::Already => Ok(()),
                Gone::Lingers(domain) => Err(Failure::NotSo(format!(
                    "{name} (id {id}) was destroyed and is still listed ({})",
                    domain.state.in_words()
                ))),
            }
        }
        Deed::Adopt { id } => {
            let toolstack = xen::find(world, cause.toolstack)?;
            let domains = xen::domains(world, toolstack, false)?;
            let incoming = domu.incoming();
            if domains.iter().any(|d| d.id == *id && d.name == incoming) {
                xen::rename(world, toolstack, *id, &incoming, domu)?;
            }
            unpause(world, cause, *id)
        }
        Deed::Wake { called, id } => wake(world, domu, *called, *id),
        Deed::Unpause { id } => unpause(world, cause, *id),
        Deed::Send(_) => Err(Failure::NotSo("a migration is not a deed of this end alone".to_string())),
    }
}

/// A row keeps its time while what it says stays the same.
fn note(record: &mut Record, row: &Row) {
    let mut row = row.clone();
    if let Some(now) = record.row(&row.domu).filter(|now| now.state == row.state && now.host == row.host) {
        row.since = now.since;
    }
    record.put(row);
}

fn expect(world: &dyn World, cause: &Cause, open: &[ResourceName], home: &Option<HostName>) -> Result<(), Failure> {
    let now = Moment::from(world.now());
    let row = |record: &Record| {
        let before = record.row(&cause.domu);
        // One that was sent away from here comes back home.
        let ours = before.is_some_and(|r| matches!(r.state, State::Away | State::Returning));
        // One that had been passed on from here is there again if nothing comes.
        let passed = before.and_then(|r| match r.state {
            State::Passed => Some(r.host.clone()),
            State::Arriving => r.from.clone(),
            _ => None,
        });
        Row {
            domu: cause.domu.clone(),
            state: if ours { State::Returning } else { State::Arriving },
            host: cause.peer.clone(),
            since: now,
            open: open.to_vec(),
            home: home.clone().filter(|_| !ours),
            from: passed,
            never: false,
        }
    };
    Ok(store::update(world, |record| note(record, &row(record)))?)
}

/// It runs here now: a guest, or back at home.
fn arrived(world: &dyn World, cause: &Cause) -> Result<(), Failure> {
    let us = &here::host(world).map_err(LookError::from)?;
    let drbd = drbd_ground(world, us);
    let now = Moment::from(world.now());
    let listed = store::table(world)?.table.entry(&cause.domu).is_some();
    Ok(store::update(world, |record| {
        let Some(mut row) = record.row(&cause.domu).filter(|r| r.state.in_flight()).cloned() else { return };
        row.open.retain(|resource| still_changed(world, &drbd, resource));
        // The sender says where its home is; only where nobody said so does the table here count.
        let home_is_here = row.state == State::Returning || row.home.as_ref().map_or(listed, |home| home.same_host(us));
        let state = if home_is_here { State::Here } else { State::Visiting };
        if state == State::Here && row.open.is_empty() {
            record.forget(&cause.domu);
        } else {
            record.put(Row { state, since: now, from: None, ..row });
        }
    })?)
}

/// Whether the options differ from the file; what cannot be seen counts as different.
fn still_changed(world: &dyn World, drbd: &DrbdGround, resource: &ResourceName) -> bool {
    drbd.replica(world, resource).is_none_or(|seen| seen.replica.is_up() && seen.is_changed())
}

/// Nothing comes: the row is again what it was before, as far as it says something.
fn release(world: &dyn World, domu: &DomuName) -> Result<(), Failure> {
    let host = here::host(world).map_err(LookError::from)?;
    let drbd = drbd_ground(world, &host);
    let now = Moment::from(world.now());
    Ok(store::update(world, |record| {
        let Some(mut row) = record.row(domu).cloned() else { return };
        row.open.retain(|resource| still_changed(world, &drbd, resource));
        match row.state {
            State::Returning => record.put(Row { state: State::Away, ..row }),
            State::Arriving if row.from.is_some() => {
                let host = row.from.take().unwrap_or(row.host);
                record.put(Row { state: State::Passed, host, since: now, never: false, ..row });
            }
            State::Arriving if row.open.is_empty() => record.forget(domu),
            State::Arriving => record.put(Row { state: State::Here, ..row }),
            State::Visiting | State::Passed if row.open.is_empty() => record.forget(domu),
            State::Visiting | State::Passed => record.put(Row { state: State::Here, home: None, ..row }),
            _ => {}
        }
    })?)
}

fn open(world: &dyn World, resource: &ResourceName) -> Result<(), Failure> {
    patiently(world, Duration::from_secs(20), || {
        let (ground, seen) = replica(world, resource)?;
        let Some(now) = seen.options else { return Err(Failure::NotSo(format!("the options of {resource} could not be read"))) };
        let fencing = if now.fencing.guards() { now.fencing.clone() } else { Fencing::ResourceOnly };
        change(world, &ground, resource, &now, Options { two_primaries: true, fencing })
    })
}

/// The options of the operator's file again, whoever changed them. DRBD 8.3 has none to put back.
pub fn put_options_back(world: &dyn World, resource: &ResourceName) -> Result<(), Failure> {
    patiently(world, Duration::from_secs(20), || {
        let (ground, seen) = replica(world, resource)?;
        if ground.generation == Some(Generation::V83) {
            return Ok(());
        }
        match seen.options {
            Some(now) => change(world, &ground, resource, &now, seen.configured.options),
            None => Err(Failure::NotSo(format!("the options of {resource} could not be read"))),
        }
    })
}

fn close(world: &dyn World, cause: &Cause, resource: &ResourceName) -> Result<(), Failure> {
    put_options_back(world, resource)?;
    Ok(store::update(world, |record| {
        let Some(mut row) = record.row(&cause.domu).cloned() else { return };
        row.open.retain(|r| r != resource);
        if row.state == State::Here && row.open.is_empty() { record.forget(&cause.domu) } else { record.put(row) }
    })?)
}

/// Sets the options and looks whether they are in force.
fn change(
    world: &dyn World,
    ground: &DrbdGround,
    resource: &ResourceName,
    now: &Options,
    wanted: Options,
) -> Result<(), Failure> {
    if *now == wanted {
        return Ok(());
    }
    let Some(generation) = ground.generation else {
        return Err(Failure::NotSo("which DRBD this is could not be seen".to_string()));
    };
    drbd::set_options(world, generation, resource, &wanted, now)?;
    let after = ground.replica(world, resource).and_then(|r| r.options);
    if after.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let said = after.map_or("not readable".to_string(), |o| format!("two_primaries={}, fencing={}", o.two_primaries, o.fencing));
    Err(Failure::NotSo(format!("the options of {resource} were set, and drbdsetup shows: {said}")))
}

fn connect(world: &dyn World, resource: &ResourceName) -> Result<(), Failure> {
    let (_, seen) = replica(world, resource)?;
    if seen.replica.peers.iter().all(|p| p.connection != Connection::StandAlone) {
        return Ok(());
    }
    match drbd::connect(world, resource) {
        Err(error) if error.why == Why::AddressInUse => Ok(()),
        ended => Ok(ended?),
    }
}

fn end_receiving(world: &dyn World, domu: &DomuName) -> Result<(), Failure> {
    let lock = receive_lock_name(domu);
    patiently(world, Duration::from_secs(20), || {
        let Some(holder) = world.lock_holder(&lock) else { return Ok(()) };
        match world.end_programs_of(&lock) {
            Ok(()) => Err(Failure::NotSo(format!("{holder} was ended and is still there"))),
            Err(why) => Err(Failure::NotSo(format!("{holder} could not be ended: {why}"))),
        }
    })
}

/// Become Primary without another look: somebody has just looked, and a domU stands still meanwhile.
pub fn promote_now(world: &dyn World, resource: &ResourceName) -> Result<(), Failure> {
    patiently(world, Duration::from_secs(10), || Ok(drbd::promote(world, resource)?))
}

fn promote(world: &dyn World, resource: &ResourceName) -> Result<(), Failure> {
    // The flag that allows two Primaries is passed to this end asynchronously, so the first refusals may be early ones.
    patiently(world, Duration::from_secs(10), || {
        let (_, seen) = replica(world, resource)?;
        if seen.replica.role == Role::Primary {
            return Ok(());
        }
        Ok(drbd::promote(world, resource)?)
    })
}

/// The block backend, udev or multipath may hold the device a moment longer (F27): a second of patience for the script that
/// demotes by itself, then we ask, for half a minute.
pub fn demote(world: &dyn World, resource: &ResourceName) -> Result<(), Failure> {
    let mut asked = false;
    let mut devices = Vec::new();
    let ended = patiently(world, Duration::from_secs(30), || {
        let (_, seen) = replica(world, resource)?;
        devices = seen.configured.volumes.iter().map(|v| v.device.clone()).collect();
        if matches!(seen.replica.role, Role::Secondary) {
            return Ok(());
        }
        if !std::mem::replace(&mut asked, true) {
            return Err(Failure::NotSo(format!("{resource} is still {}", seen.replica.role)));
        }
        drbd::demote(world, resource)?;
        // `secondary` exits 0 without a module, too (facts 4.1): only the role tells.
        let (_, after) = replica(world, resource)?;
        if after.replica.role == Role::Secondary {
            return Ok(());
        }
        Err(Failure::NotSo(format!("{resource} was told to become Secondary and is {}", after.replica.role)))
    });
    match ended {
        Err(Failure::Drbd(error)) if matches!(error.why, Why::HeldOpen { .. }) => {
            Err(Failure::HeldOpen(format!("{error}\n  who holds it: fuser -v {}", devices.join(" "))))
        }
        ended => ended,
    }
}

fn wake(world: &dyn World, domu: &DomuName, called: CopyName, id: u32) -> Result<(), Failure> {
    let name = if called == CopyName::MigratedAway { domu.migrated_away() } else { domu.to_string() };
    let suspended = |domains: &[crate::core::xen::Domain]| domains.iter().any(|d| d.id == id && d.state.is_suspended());
    if suspended(&xen::domains(world, Toolstack::Xl, false)?) {
        xen::wake(world, id, &name)?;
        if suspended(&xen::domains(world, Toolstack::Xl, false)?) {
            return Err(Failure::NotSo(format!("{name} (id {id}) was told to go on and is still suspended")));
        }
    }
    if called == CopyName::MigratedAway {
        xen::rename(world, Toolstack::Xl, id, &name, domu)?;
    }
    Ok(())
}

fn unpause(world: &dyn World, cause: &Cause, id: u32) -> Result<(), Failure> {
    let toolstack = xen::find(world, cause.toolstack)?;
    let paused = |domains: &[crate::core::xen::Domain]| domains.iter().any(|d| d.id == id && d.state.paused);
    if paused(&xen::domains(world, toolstack, false)?) {
        xen::unpause(world, toolstack, id, cause.domu.as_str())?;
        if paused(&xen::domains(world, toolstack, false)?) {
            return Err(Failure::NotSo(format!("{} was unpaused and is still paused", cause.domu)));
        }
    }
    Ok(())
}

fn replica(world: &dyn World, resource: &ResourceName) -> Result<(DrbdGround, ReplicaSeen), Failure> {
    let host = here::host(world).map_err(LookError::from)?;
    let ground = drbd_ground(world, &host);
    if !ground.unseen.is_empty() {
        return Err(Failure::NotSo(ground.unseen.join("; ")));
    }
    match ground.replica(world, resource) {
        Some(seen) if seen.replica.is_up() => Ok((ground, seen)),
        Some(_) => Err(Failure::NotSo(format!("{resource} is not up here"))),
        None => Err(Failure::NotSo(format!("drbd.conf here does not know {resource}"))),
    }
}

/// Tries again, every half second, what may become possible in a moment. The last failure counts.
fn patiently(world: &dyn World, limit: Duration, mut attempt: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let start = world.clock();
    loop {
        let failure = match attempt() {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let passing = match &failure {
            // The flag that allows two Primaries is passed to the other end asynchronously, and so is a demotion.
            Failure::Drbd(error) => error.may_pass() || matches!(error.why, Why::PeerPrimary | Why::BothPrimary),
            Failure::NotSo(_) => true,
            _ => false,
        };
        if !passing || world.clock().saturating_sub(start) >= limit {
            return Err(failure);
        }
        world.rest(Duration::from_millis(500));
    }
}
