//! The receiving end of `xl migrate`: `migrate2 … receive`.
//!
//! The streams of the two `xl` pass through here. They are held twice. When the memory is complete, the disks that nobody else promotes
//! become Primary: not earlier, or both ends could write during the whole copy. And before the sender hears "ready": if the disks are not
//! all here then, it never hears it, and the domU goes on where it was. As long as this lives, everybody can see that something is received.

use super::{Setting, several};
use crate::adapters::deeds::{self, Cause};
use crate::adapters::drbd;
use crate::adapters::look::{self, DrbdGround};
use crate::adapters::{Call, Ended, Flow, Halt, Held, Input, LockError, Output, To, World, here, store};
use crate::core::facts::ReplicaSeen;
use crate::core::migrate::{gate, permit::permit};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::record::{Row, State};
use crate::core::request::Coming;
use crate::core::step::Deed;
use std::time::Duration;

/// DRBD 9 promotes when the block backend opens the device, which it does in its own time after `xl` has attached the disk.
const OPENING_TIME: Duration = Duration::from_secs(10);

/// Serves the request. Returns the exit code, which is `xl`'s own where it ran.
pub fn receive(setting: Setting<'_>, peer: Option<HostName>, what: Option<Coming>, words: &[String]) -> i32 {
    match admit(setting, peer, what) {
        Ok(admitted) => pass(setting, admitted, words),
        Err(why) => refuse(setting.world, &why),
    }
}

fn refuse(world: &dyn World, why: &str) -> i32 {
    world.say(To::Log, &format!("migrate2: receive refused: {why}"));
    world.say(To::Err, &format!("xen-migrate migrate2: refused: {why}"));
    3
}

/// A domU that may come.
struct Admitted<'a> {
    keeper: Option<Keeper<'a>>,
    _held: Option<Box<dyn Held>>,
}

/// Whether it is expected, from that peer, on this host. A plain `xl migrate` does not say what it sends; what it brings is its own affair.
fn admit<'a>(setting: Setting<'a>, peer: Option<HostName>, what: Option<Coming>) -> Result<Admitted<'a>, String> {
    let world = setting.world;
    if let Some(who) = several::goes_down(setting.world) {
        return Err(several::refusal_of_what_comes(&who));
    }
    let Some(coming) = what else { return Ok(Admitted { keeper: None, _held: None }) };
    let peer = peer.ok_or("the request does not say who sends")?;
    let (domu, host) = (&coming.domu, &coming.host);
    let us = here::host(world).map_err(|e| e.to_string())?;
    let numeric = host.as_str().parse::<std::net::IpAddr>().is_ok();
    if !numeric && !host.same_host(&us) && host.as_str() != here::fqdn(world, &us) {
        return Err(format!("{domu} is meant for {host}, and this is {us}"));
    }
    let record = store::record(world).map_err(|e| e.to_string())?;
    match record.row(domu) {
        Some(row) if matches!(row.state, State::Arriving | State::Returning) && row.host.same_host(&peer) => {}
        _ => return Err(format!("{domu} is not expected here from {peer}")),
    }
    let held = match world.lock(&look::receive_lock_name(domu), &format!("migrate2 receiving {domu} from {peer}")) {
        Ok(lock) => lock,
        Err(LockError::Held(who)) => return Err(format!("{domu} is being received already: {who}")),
        Err(LockError::Io(why)) => return Err(format!("the lock of {domu}: {why}")),
    };
    forget_an_earlier_end(world, domu)?;
    let keeper = Keeper::new(setting, us, peer, coming)?;
    Ok(Admitted { keeper: Some(keeper), _held: Some(held) })
}

/// An earlier transfer under the same row may have ended before it was permitted to run. This one may be permitted, and whoever settles it
/// must not read that word then. Asked anew: the earlier one wrote it down before it let go of the lock that is ours now.
fn forget_an_earlier_end(world: &dyn World, domu: &DomuName) -> Result<(), String> {
    let told = |error: store::StoreError| error.to_string();
    if !store::record(world).map_err(told)?.row(domu).is_some_and(|row| row.never) {
        return Ok(());
    }
    store::update(world, |record| {
        if let Some(row) = record.row(domu).cloned() {
            record.put(Row { never: false, ..row });
        }
    })
    .map_err(told)
}

/// Lets it pass through the gate.
fn pass(setting: Setting<'_>, admitted: Admitted<'_>, words: &[String]) -> i32 {
    let world = setting.world;
    let mut call = Call::new("xl", words.iter().cloned());
    call.stdin = Input::Inherited;
    call.limit = None;
    let mut keeper = admitted.keeper;
    let ended = world.relay(&call, &mut |halt| keeper.as_mut().map_or(Flow::On, |keeper| keeper.at(halt)));
    let code = match ended {
        Ok(Output { ended: Ended::Exit(code), .. }) => code,
        Ok(Output { ended: Ended::Signal(signal), .. }) => 128 + signal,
        Err(error) => refuse(world, &error.to_string()),
    };
    match keeper {
        // `xl` exits 0 as well when it was never permitted and has destroyed its copy (`xl_migrate.c`, `migrate_receive`).
        Some(keeper) if code != 0 || keeper.never => keeper.step_back(),
        _ => {}
    }
    code
}

/// Keeps the gate of one domU that comes.
struct Keeper<'a> {
    setting: Setting<'a>,
    us: HostName,
    peer: HostName,
    coming: Coming,
    /// As it was before the stream began; the domU stands still at the gate, so there only the roles are looked at again.
    drbd: DrbdGround,
    promoted: Vec<ResourceName>,
    /// The stream is of a form whose end is known, and no permission to run has passed.
    never: bool,
    /// The sender may know that all is ready.
    ready: bool,
}

impl<'a> Keeper<'a> {
    /// What cannot work is refused before anything is sent.
    fn new(setting: Setting<'a>, us: HostName, peer: HostName, coming: Coming) -> Result<Keeper<'a>, String> {
        let mut keeper =
            Keeper { setting, us, peer, coming, drbd: DrbdGround::default(), promoted: vec![], never: false, ready: false };
        let gate = &keeper.coming.gate;
        if gate.promote.is_empty() && gate.primary.is_empty() {
            return Ok(keeper);
        }
        keeper.drbd = look::drbd_ground(setting.world, &keeper.us);
        if !keeper.drbd.unseen.is_empty() {
            return Err(keeper.drbd.unseen.join("; "));
        }
        for name in &keeper.coming.gate.promote {
            gate::may_promote(&keeper.seen(name)?, keeper.drbd.generation)?;
        }
        Ok(keeper)
    }

    fn at(&mut self, halt: Halt) -> Flow {
        let domu = self.coming.domu.clone();
        if halt == Halt::Unknown && !self.coming.gate.promote.is_empty() {
            self.log(&format!("the stream of {domu} is of no form that this version knows: Primary during the whole copy"));
        }
        // The sender takes it back as long as it has not heard "ready": so that is the last moment to turn it away.
        let down = (halt != Halt::Go).then(|| several::goes_down(self.setting.world)).flatten();
        let ready = match halt {
            Halt::Unknown | Halt::Complete | Halt::Ready if down.is_some() => {
                Err(several::refusal_of_what_comes(&down.unwrap_or_default()))
            }
            Halt::Unknown | Halt::Complete => self.promote(),
            Halt::Ready => self.is_all_here(),
            // Too late to say no: the sender has given it away.
            Halt::Go if self.ready => {
                self.never = false;
                return Flow::On;
            }
            // A sender that does not wait for "ready" is none that we know.
            Halt::Go => Err("the permission came before it was asked for".to_string()),
        };
        self.never = halt != Halt::Unknown && (self.never || halt == Halt::Complete);
        let ready = if self.setting.world.stopping() { Err("stopped as asked".to_string()) } else { ready };
        self.ready |= halt == Halt::Ready && ready.is_ok();
        let Err(why) = ready else { return Flow::On };
        let text = format!("{domu} is not let in: {why}");
        self.log(&text);
        self.setting.world.say(To::Err, &format!("xen-migrate migrate2: refused: {text}"));
        Flow::Stop
    }

    fn promote(&mut self) -> Result<(), String> {
        if self.promoted.len() == self.coming.gate.promote.len() {
            return Ok(());
        }
        self.look_again()?;
        for name in self.coming.gate.promote.clone() {
            gate::may_promote(&self.seen(&name)?, self.drbd.generation)?;
            self.promoted.push(name.clone());
            deeds::promote_now(self.setting.world, &name).map_err(|e| e.to_string())?;
            self.log(&format!("{name}: become Primary for {}, whose memory is complete", self.coming.domu));
        }
        Ok(())
    }

    fn is_all_here(&mut self) -> Result<(), String> {
        let world = self.setting.world;
        let start = world.clock();
        loop {
            let seen = self.look_again().and_then(|()| {
                self.coming.gate.primary.iter().try_for_each(|name| {
                    let seen = self.drbd.replica_without_options(name).ok_or_else(|| unknown(name))?;
                    gate::may_say_ready(&seen)
                })
            });
            if seen.is_ok() || world.clock().saturating_sub(start) >= OPENING_TIME {
                return seen;
            }
            world.rest(Duration::from_millis(200));
        }
    }

    fn look_again(&mut self) -> Result<(), String> {
        if self.coming.gate.primary.is_empty() && self.coming.gate.promote.is_empty() {
            return Ok(());
        }
        let generation = self.drbd.generation.ok_or("which DRBD this is could not be seen")?;
        self.drbd.replicas = drbd::replicas(self.setting.world, generation, self.us.as_str()).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn seen(&self, name: &ResourceName) -> Result<ReplicaSeen, String> {
        self.drbd.replica(self.setting.world, name).ok_or_else(|| unknown(name))
    }

    /// It did not come to stay: what was promoted for it is given back at once, for a Primary that is cut off now would make DRBD see
    /// a split brain. Where a copy is left, the sender's `recover` does it.
    fn step_back(self) {
        if self.promoted.is_empty() && !self.never {
            return;
        }
        let world = self.setting.world;
        let end = look::ground(world, self.setting.toolstack)
            .and_then(|ground| ground.end(world, &self.coming.domu, &self.promoted, false))
            .map_err(|e| e.to_string());
        if self.never && end.as_ref().is_ok_and(|end| end.copies.is_empty() && end.unseen.is_empty()) {
            self.note_that_it_never_ran();
        }
        let cause = Cause { domu: self.coming.domu.clone(), peer: self.peer.clone(), toolstack: self.setting.toolstack };
        for name in &self.promoted {
            let deed = Deed::Demote(name.clone());
            let done = end
                .as_ref()
                .map_err(String::clone)
                .and_then(|end| permit(&deed, end, &self.peer))
                .and_then(|()| deeds::act(world, &cause, &deed).map_err(|e| e.to_string()));
            match done {
                Ok(()) => self.log(&format!("{deed}, for {} did not stay", self.coming.domu)),
                Err(why) => self.log(&format!("{deed}: {why}; the sender settles it")),
            }
        }
    }

    /// Its receiver has ended, and destroyed its copy: where no permission has passed, the sender's copy is the only one that ever ran,
    /// whatever became of the line meanwhile. That is written down, for the sender cannot know it.
    fn note_that_it_never_ran(&self) {
        let domu = &self.coming.domu;
        let noted = store::update(self.setting.world, |record| {
            let Some(mut row) = record.row(domu).filter(|r| r.state.in_flight() && r.host.same_host(&self.peer)).cloned() else {
                return;
            };
            row.never = true;
            record.put(row);
        });
        match noted {
            Ok(()) => self.log(&format!("{domu} has ended here before it was permitted to run")),
            Err(why) => self.log(&format!("{domu} never ran here, which could not be noted: {why}")),
        }
    }

    fn log(&self, text: &str) {
        self.setting.world.say(To::Log, &format!("migrate2: {text}"));
    }
}

fn unknown(name: &ResourceName) -> String {
    format!("drbd.conf here does not know {name}")
}
