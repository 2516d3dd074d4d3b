//! The claim: the guard on, Primary, look, create, look, the guard off. Or a step back, which leaves everything as it was.

use super::create::{self, Came, Creation, Failed};
use super::{Setting, round};
use crate::adapters::boot::{self, ConfigFile, Planned};
use crate::adapters::deeds;
use crate::adapters::look::{self, Ground};
use crate::adapters::{Call, Held, LockError, To, World, drbd, here, xen};
use crate::applets::xen_migrate::several;
use crate::core::boot::Decision;
use crate::core::boot::claim::{Deed, Proof, can_be_guarded, guarded, holds, proof};
use crate::core::boot::diary::{Diary, Outcome};
use crate::core::facts::resources_of;
use crate::core::names::ResourceName;
use crate::core::xen::{Domain, Toolstack};

/// A claim, up to the moment of its creation.
pub enum Begun<'a> {
    /// It is over: nothing was to be done, or we stepped back.
    Ended(Outcome),
    /// We are Primary, and nobody else is: it can be created by [`create`].
    Claimed(Box<Claim<'a>>),
}

/// Creates what was claimed, all at once, and sees each claim to its end.
pub fn create<'a>(world: &dyn World, mut claims: Vec<Claim<'a>>, diary: &mut Diary) -> Vec<(&'a ConfigFile, Outcome)> {
    let calls: Vec<Result<Creation<'_>, String>> = claims.iter_mut().map(Claim::creation).collect();
    let those: Vec<Call> = calls.iter().flatten().map(|creation| creation.call.clone()).collect();
    let mut answers = world.run_all(&those, those.len()).into_iter();
    let ended = claims.into_iter().zip(calls).map(|(mut claim, call)| {
        let ended = call.and_then(|creation| match answers.next() {
            Some(answer) => claim.take_in(creation.came(world, answer)),
            None => Err("nobody created it".to_string()),
        });
        let config = claim.config;
        claim.note(Deed::Create, ended.map(|()| None));
        claim.go(diary);
        (config, claim.outcome())
    });
    ended.collect()
}

/// Puts back what a claim that was interrupted has changed of a resource; with `demote` the role as well.
pub fn give_back(setting: Setting<'_>, diary: &mut Diary, name: &ResourceName, demote: bool) {
    let world = setting.world;
    let down = here::host(world).is_ok_and(|host| {
        let ground = look::drbd_ground(world, &host);
        ground.unseen.is_empty() && ground.replica_without_options(name).is_none_or(|seen| !seen.replica.is_up())
    });
    // What is down has no role and no options; up again, it has those of the file.
    let demote = demote && !down;
    let done = if demote { deeds::demote(world, name) } else { Ok(()) };
    let done = done.and_then(|()| if down { Ok(()) } else { deeds::put_options_back(world, name) });
    match done {
        Ok(()) => {
            diary.release(name);
            let _ = boot::keep(world, diary);
        }
        Err(why) => world.say(To::Log, &format!("{name}: the options of drbd.conf are not back yet: {why}")),
    }
}

/// What a resource proves, as it was seen.
fn proof_of(ground: &Ground, diary: &Diary, name: &ResourceName) -> Option<Proof> {
    let replica = ground.drbd.replicas.iter().find(|r| r.resource == *name)?;
    proof(replica, ground.drbd.file(name)?).filter(|proof| *proof == Proof::EveryPeer || diary.trust_quorum)
}

/// The guard on our own side: `allow-two-primaries` reaches a connected peer by itself, `fencing` need not.
pub fn guard(world: &dyn World, ground: &Ground, name: &ResourceName, proof: Proof) -> Result<(), String> {
    let generation = ground.drbd.generation.ok_or("which DRBD this is could not be seen")?;
    if !can_be_guarded(generation) {
        return Ok(());
    }
    let seen = ground.drbd.replica(world, name).ok_or_else(|| format!("drbd.conf here does not know {name}"))?;
    let now = seen.options.ok_or_else(|| format!("the options of {name} could not be read"))?;
    let wanted = guarded(&now, proof);
    if now == wanted {
        return Ok(());
    }
    drbd::set_options(world, generation, name, &wanted, &now).map_err(|e| e.to_string())?;
    // The options alone: the roles are looked at after the promotion.
    let after = ground.drbd.replica(world, name).and_then(|r| r.options);
    if after == Some(wanted) { Ok(()) } else { Err(format!("the guard of {name} was set and is not in force")) }
}

/// The file still says what was decided about: the toolstack reads it anew.
pub fn is_unchanged(world: &dyn World, config: &ConfigFile, planned: &Planned) -> Result<(), String> {
    match world.read(std::path::Path::new(&config.path())) {
        Ok(bytes) if bytes == planned.bytes => Ok(()),
        Ok(_) => Err(format!("{} was changed meanwhile; it is decided anew", config.path())),
        Err(why) => Err(format!("{}: {why}", config.path())),
    }
}

/// A claim under way.
pub struct Claim<'a> {
    setting: Setting<'a>,
    ground: Ground,
    config: &'a ConfigFile,
    planned: &'a Planned,
    /// The resources, and what proves that no other host uses them.
    names: Vec<(ResourceName, Proof)>,
    /// What it was decided upon.
    evidence: String,
    /// The domain that we made.
    created: Option<Domain>,
    /// Somebody else has made one of that name meanwhile: the disks are in use, by that one.
    theirs: bool,
    /// What comes next; `None`: it is over.
    next: Option<Deed>,
    /// What a person should know although it runs.
    remark: Option<String>,
    /// Why we step back, and then what of that could not be done.
    wrong: Vec<String>,
    _held: Box<dyn Held>,
}

impl<'a> Claim<'a> {
    /// Claims a domU that was decided upon from the look `before`. The decision is made again under the domU's own lock, from a look of its
    /// own.
    pub fn begin(
        setting: Setting<'a>,
        before: &Ground,
        config: &'a ConfigFile,
        planned: &'a Planned,
        diary: &mut Diary,
        evidence: String,
    ) -> Begun<'a> {
        let world = setting.world;
        let domu = &planned.domu;
        let wait = |why: String| Begun::Ended(Outcome::Decided(Decision::Wait(why)));
        let held = match world.lock(&look::lock_name(domu), &format!("xen-drbd-auto starting {domu}")) {
            Ok(held) => held,
            Err(LockError::Held(who)) => return wait(format!("somebody is at work on it: {who}")),
            Err(LockError::Io(why)) => return wait(format!("its lock: {why}")),
        };
        let ground = match before.anew_for_a_start(world) {
            Ok(ground) => ground,
            Err(error) => return wait(error.to_string()),
        };
        let receiving = world.lock_holder(&look::receive_lock_name(domu)).map(|holder| holder.said);
        match round::decision(&ground, planned, diary, receiving) {
            Decision::Claim(_) => {}
            decision => return Begun::Ended(Outcome::Decided(decision)),
        }
        let names: Vec<ResourceName> = resources_of(&planned.disks).into_iter().cloned().collect();
        let proofs: Option<Vec<Proof>> = names.iter().map(|name| proof_of(&ground, diary, name)).collect();
        let Some(proofs) = proofs else {
            return wait("what proves that nobody runs it could not be seen again".to_string());
        };
        let names = names.into_iter().zip(proofs).collect();
        let (next, remark, wrong) = (Some(Deed::FIRST), None, vec![]);
        let mut claim = Claim {
            setting,
            ground,
            config,
            planned,
            names,
            evidence,
            created: None,
            theirs: false,
            next,
            remark,
            wrong,
            _held: held,
        };
        claim.go(diary);
        if claim.next.is_none() { Begun::Ended(claim.outcome()) } else { Begun::Claimed(Box::new(claim)) }
    }

    fn world(&self) -> &'a dyn World {
        self.setting.world
    }

    fn toolstack(&self) -> Toolstack {
        self.ground.toolstack
    }

    /// Deed after deed, up to the creation or to the end.
    fn go(&mut self, diary: &mut Diary) {
        while let Some(deed) = self.next
            && deed != Deed::Create
        {
            let ended = self.perform(deed, diary);
            self.note(deed, ended);
        }
    }

    /// How a deed has ended, and so what comes next.
    fn note(&mut self, deed: Deed, ended: Result<Option<String>, String>) {
        self.next = deed.next(ended.is_ok());
        match ended {
            Ok(said) => self.remark = self.remark.take().or(said),
            // It runs, and an option that is still to be put back is told in the log and tried again.
            Err(_) if deed == Deed::PutBack && self.wrong.is_empty() => {}
            Err(why) => self.wrong.push(why),
        }
    }

    fn outcome(self) -> Outcome {
        match (self.wrong.split_first(), self.remark) {
            (None, None) => Outcome::Started(self.evidence),
            (None, Some(remark)) => Outcome::Started(format!("{}; {remark}", self.evidence)),
            (Some((why, [])), _) => Outcome::SteppedBack(why.clone()),
            (Some((why, left)), _) => Outcome::SteppedBack(format!("{why}; and stepping back: {}", left.join("; "))),
        }
    }

    fn perform(&mut self, deed: Deed, diary: &mut Diary) -> Result<Option<String>, String> {
        let world = self.setting.world;
        match deed {
            Deed::WriteDown => {
                self.names.iter().for_each(|(name, _)| diary.guard(name, &self.planned.domu));
                boot::keep(world, diary)?;
            }
            Deed::Guard => self.names.iter().try_for_each(|(name, proof)| guard(world, &self.ground, name, *proof))?,
            Deed::Promote => self.names.iter().try_for_each(|(name, _)| drbd::promote(world, name)).map_err(|e| e.to_string())?,
            Deed::LookAgain => self.look_again()?,
            // By all claims of a batch together.
            Deed::Create => {}
            Deed::LookAtIt => return create::look_at(world, self.toolstack(), &self.planned.domu, self.created.as_ref()),
            Deed::Destroy => {
                if let Some(domain) = self.created.take() {
                    xen::destroy(world, self.toolstack(), domain.id, &domain.name).map_err(|e| e.to_string())?;
                }
            }
            Deed::Demote if self.theirs => {}
            Deed::Demote => all(self.names.iter().map(|(name, _)| deeds::demote(world, name).map_err(|e| e.to_string())))?,
            Deed::PutBack => self.put_options_back(diary)?,
        }
        Ok(None)
    }

    fn look_again(&self) -> Result<(), String> {
        let generation = self.ground.drbd.generation.ok_or("which DRBD this is could not be seen")?;
        let replicas = drbd::replicas(self.world(), generation, self.ground.host.as_str()).map_err(|e| e.to_string())?;
        self.names.iter().try_for_each(|(name, proof)| {
            let replica = replicas.iter().find(|r| r.resource == *name).ok_or_else(|| format!("{name} is gone"))?;
            let file = self.ground.drbd.file(name).ok_or_else(|| format!("drbd.conf here does not know {name}"))?;
            holds(replica, file, *proof)
        })
    }

    /// The creation, where nothing speaks against it now.
    fn creation(&mut self) -> Result<Creation<'a>, String> {
        let world = self.world();
        if world.stopping() {
            return Err("stopped as asked".to_string());
        }
        if let Some(who) = several::goes_down(world) {
            return Err(goes_down_with_it(&who));
        }
        is_unchanged(world, self.config, self.planned)?;
        create::prepare(world, self.toolstack(), self.planned).map_err(|failed| self.failed(failed))
    }

    /// What came of it, and which domain is ours.
    fn take_in(&mut self, came: Came) -> Result<(), String> {
        match came {
            Came::Ours(domain, remark) => {
                (self.created, self.remark) = (domain, remark);
                Ok(())
            }
            Came::Unfinished(domain, why) => {
                self.created = Some(domain);
                Err(why)
            }
            Came::Failed(failed) => Err(self.failed(failed)),
        }
    }

    fn failed(&mut self, failed: Failed) -> String {
        self.theirs = failed.theirs;
        failed.why
    }

    /// The options of the operator's file again. What cannot be put back now stays
    /// in the diary, and is tried in every round: left on, the guard errs on the safe side.
    fn put_options_back(&self, diary: &mut Diary) -> Result<(), String> {
        let world = self.world();
        let ended = all(self.names.iter().map(|(name, _)| {
            deeds::put_options_back(world, name).map_err(|e| e.to_string())?;
            diary.release(name);
            Ok(())
        }));
        let _ = boot::keep(world, diary);
        if let Err(left) = &ended {
            world.say(To::Log, &format!("{}: the guard stays on for now: {left}", self.planned.domu));
        }
        ended
    }
}

/// Why nothing is started any more.
pub fn goes_down_with_it(who: &str) -> String {
    format!("this Dom0 goes down, and what is started here now would go down with it: {who}")
}

/// Each of them is tried, whatever the others say; what could not be done, in one text.
fn all(each: impl Iterator<Item = Result<(), String>>) -> Result<(), String> {
    let left: Vec<String> = each.filter_map(Result::err).collect();
    if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
}
