//! One round: look once, decide for every domU, start what is safe, write down what came of it.

use super::claim::{self, Begun, Claim};
use super::{Setting, failed};
use crate::adapters::boot::{self, ConfigFile, Planned, Unplanned};
use crate::adapters::look::{self, Ground, Who};
use crate::adapters::{Held, LockError, To, World};
use crate::applets::exit::{Exit, Stop};
use crate::applets::xen_migrate::several;
use crate::core::boot::diary::{Diary, Outcome};
use crate::core::boot::{Case, Decision, decide};
use crate::core::drbd::Replica;
use crate::core::facts::copy_name;
use crate::core::names::{DomuName, ResourceName};
use crate::core::record::Moment;
use crate::core::xen::Domain;

/// Which domUs a round looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of the folder.
    All,
    /// Those that waited the last time.
    Waiting,
}

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    /// Everything that was decided since the boot.
    pub diary: Diary,
    /// The resources of those that wait: a change of these is a reason to look again.
    pub interest: Vec<ResourceName>,
    /// What DRBD showed when it was decided; `None`: not all of it could be seen.
    pub seen: Option<Vec<Replica>>,
    /// Who we are, where it was seen.
    pub who: Option<Who>,
    /// Whether each domU's outcome is good news or at least final.
    pub worst: Exit,
    /// Why what was decided could not be kept.
    pub unkept: Option<String>,
}

impl Round {
    fn new(diary: Diary) -> Round {
        Round { diary, interest: vec![], seen: None, who: None, worst: Exit::Done, unkept: None }
    }

    /// Into the file. That it is full costs whoever asks later, and no domU: who waits, waits all the same.
    fn keep(&mut self, world: &dyn World) {
        self.unkept = boot::keep(world, &self.diary).err();
    }
}

/// The right to decide and to start, for one round.
pub fn begin(world: &dyn World, purpose: &str) -> Result<Box<dyn Held>, Stop> {
    world.lock(boot::ROUND, purpose).map_err(|error| match error {
        LockError::Held(who) => Stop::new(
            Exit::Refused,
            format!("another round is at work: {who}\n  nothing was touched; try again when that has ended"),
        ),
        LockError::Io(why) => failed(format!("the lock {}: {why}", boot::ROUND)),
    })
}

/// Makes a round. The lock of [`begin`] is held. `who`: what an earlier round has seen of that; it is asked again where that was nothing.
pub fn make(setting: Setting<'_>, which: Which, who: Option<Who>) -> Result<Round, Stop> {
    let world = setting.world;
    let mut diary = boot::diary_to_go_on(world);
    if let Some(asked) = setting.asked {
        // Who goes on for a dead one may trust less, and no more.
        let trusted = diary.trust_quorum || !setting.goes_on;
        (diary.trust_quorum, diary.jobs) = (asked.trust_quorum && trusted, asked.jobs.get());
    }
    diary.version = 1;
    diary.stopped = None;
    if which == Which::All {
        diary.unfinished = true;
        let _ = boot::keep(world, &diary);
    }
    let ground = match look::ground_for_a_start(world, setting.toolstack, who) {
        Ok(ground) => ground,
        Err(error) => return nothing_seen(world, diary, which, &error.to_string()),
    };
    let configs = match boot::configs(world, &ground) {
        Ok(configs) => configs,
        Err(why) if setting.is_start() => return Err(failed(why)),
        Err(why) => return nothing_seen(world, diary, which, &why),
    };
    let mut files: Vec<String> = configs.iter().map(|c| c.file.clone()).collect();
    // Only a person's start forgets who waits: that a file is away for one look is no wish of anybody's.
    let gone = if setting.is_start() { vec![] } else { diary.gone_while_waiting(&files) };
    for file in &gone {
        let why = format!("{}/{file} is gone; it is waited for; to forget it: xen-drbd-auto start", boot::FOLDER);
        world.say(To::Out, &format!("{file}: wait: {why}"));
        let domu = diary.domus.get(file).and_then(|pages| pages.domu.clone());
        diary.note(file, domu.as_deref(), Moment::from(world.now()), Outcome::Decided(Decision::Wait(why)));
    }
    files.extend(gone);
    diary.keep_only(&files);
    let mut round = Round::new(diary);
    let mut claims = Vec::new();
    for config in &configs {
        let settled = round.diary.last(&config.file).is_some_and(|last| last.is_final());
        if which == Which::Waiting && settled {
            continue;
        }
        let begun = match &config.says {
            Err(why @ Unplanned::Faults(_)) => Begun::Ended(Outcome::Decided(Decision::Fault(why.to_string()))),
            Err(Unplanned::Unseen(why)) => Begun::Ended(Outcome::Decided(Decision::Wait(why.clone()))),
            Ok(planned) => one(setting, &ground, config, planned, &mut round.diary),
        };
        match begun {
            Begun::Ended(outcome) => write_down(world, &mut round, config, outcome),
            Begun::Claimed(claim) => claims.push(*claim),
        }
        if claims.len() >= usize::from(round.diary.jobs).max(1) {
            create(world, std::mem::take(&mut claims), &mut round);
        }
        if world.stopping() {
            break;
        }
    }
    create(world, claims, &mut round);
    round.diary.unfinished &= which != Which::All || world.stopping();
    release(setting, &mut round.diary);
    round.interest.extend(round.diary.guarded.keys().cloned());
    round.keep(world);
    round.who = Some(ground.who());
    round.seen = Some(ground.drbd).filter(|drbd| drbd.unseen.is_empty() && drbd.generation.is_some()).map(|drbd| drbd.replicas);
    Ok(round)
}

/// Nothing could be seen: everybody waits.
fn nothing_seen(world: &dyn World, mut diary: Diary, which: Which, why: &str) -> Result<Round, Stop> {
    // Where not even the folder can be read: those that are known.
    let files = match boot::names(world) {
        // Each of them waits now, so every look that comes decides about them all.
        Ok(files) => {
            diary.unfinished &= which != Which::All;
            files
        }
        Err(_) => diary.domus.keys().cloned().collect(),
    };
    for file in files {
        if which == Which::All || diary.last(&file).is_none_or(|last| !last.is_final()) {
            let domu = diary.domus.get(&file).and_then(|pages| pages.domu.clone());
            diary.note(&file, domu.as_deref(), Moment::from(world.now()), Outcome::Decided(Decision::Wait(why.to_string())));
        }
    }
    world.say(To::Err, &format!("nothing can be seen, so nothing is started: {why}"));
    let mut round = Round::new(diary);
    round.keep(world);
    Ok(round)
}

/// Decides about one domU, and claims it where that is the decision.
fn one<'a>(setting: Setting<'a>, ground: &Ground, config: &'a ConfigFile, planned: &'a Planned, diary: &mut Diary) -> Begun<'a> {
    let (world, domu) = (setting.world, &planned.domu);
    let busy = world.lock_holder(&look::lock_name(domu)).or_else(|| world.lock_holder(&look::receive_lock_name(domu)));
    let busy = busy.map(|holder| holder.said);
    match decision(ground, planned, diary, busy) {
        Decision::Claim(evidence) => match several::goes_down(world) {
            Some(who) => Begun::Ended(Outcome::Decided(Decision::Wait(claim::goes_down_with_it(&who)))),
            None => Claim::begin(setting, ground, config, planned, diary, evidence),
        },
        decision => Begun::Ended(Outcome::Decided(decision)),
    }
}

/// Creates what was claimed, all at once.
fn create(world: &dyn World, claims: Vec<Claim<'_>>, round: &mut Round) {
    for (config, outcome) in claim::create(world, claims, &mut round.diary) {
        write_down(world, round, config, outcome);
    }
}

/// What this look means for a domU; `busy` is whoever else is at work on it.
pub fn decision(ground: &Ground, planned: &Planned, diary: &Diary, busy: Option<String>) -> Decision {
    decide(&Case {
        domu: &planned.domu,
        disks: &planned.disks,
        copies: copies(ground, &planned.domu),
        row: ground.record.row(&planned.domu),
        replicas: &ground.drbd.replicas,
        ours: &diary.guarded_for(&planned.domu),
        configured: &ground.drbd.configured,
        trust_quorum: diary.trust_quorum,
        busy,
        unseen: &ground.drbd.unseen,
    })
}

fn copies<'a>(ground: &'a Ground, domu: &DomuName) -> Vec<&'a Domain> {
    ground.domains.iter().filter(|d| copy_name(domu, &d.name).is_some()).collect()
}

/// Into the diary, into the log where it is news, and to whoever reads along.
fn write_down(world: &dyn World, round: &mut Round, config: &ConfigFile, outcome: Outcome) {
    let domu = config.says.as_ref().ok().map(|planned| planned.domu.to_string());
    let name = domu.clone().unwrap_or_else(|| config.file.clone());
    let news = round.diary.last(&config.file).is_none_or(|last| last.outcome != outcome);
    let line = format!("{name}: {}: {}", outcome.word(), outcome.evidence());
    let bad = matches!(outcome, Outcome::Decided(Decision::Fault(_)));
    world.say(if bad { To::Err } else { To::Out }, &line);
    if news {
        world.say(To::Log, &line.replace('\n', "; "));
    }
    if bad {
        round.worst = Exit::Usage;
    }
    if let Ok(planned) = config.says.as_ref()
        && !matches!(
            outcome,
            Outcome::Started(_) | Outcome::Forced(_) | Outcome::Decided(Decision::Fault(_) | Decision::Exists(_))
        )
    {
        round.interest.extend(planned.disks.iter().filter_map(|d| d.resource.clone()));
    }
    let nothing_done = matches!(outcome, Outcome::Decided(_));
    round.diary.note(&config.file, domu.as_deref(), Moment::from(world.now()), outcome);
    // After every single one that something was done for: a crash in the next one finds it. What was only decided is kept with
    // the next deed, or at the end of the round.
    if !nothing_done {
        round.keep(world);
    }
}

/// What an interrupted claim has left, and no claim of this round has taken up again: the roles and the options as they were.
/// Not while somebody moves the domU: the options are his then.
fn release(setting: Setting<'_>, diary: &mut Diary) {
    let world = setting.world;
    if diary.guarded.is_empty() {
        return;
    }
    for (name, owner) in diary.guarded.clone() {
        let Ok(_held) = world.lock(&look::lock_name(&owner), &format!("xen-drbd-auto: the options of {name} again")) else {
            continue;
        };
        // A look of its own, under the lock: domUs have been started and moved since the first one.
        let Ok(ground) = look::ground_for_a_start(world, setting.toolstack, None) else { return };
        let received = world.lock_holder(&look::receive_lock_name(&owner)).is_some();
        let moved = ground.record.rows.iter().any(|r| r.open.contains(&name) || (r.state.in_flight() && r.domu == owner));
        if received || moved {
            continue;
        }
        let runs = !copies(&ground, &owner).is_empty();
        claim::give_back(setting, diary, &name, !runs);
    }
}
