//! `xen-drbd-auto` on one Dom0, one step at a time. What it decides is the code of `core` itself: `decide`, `Deed::next`, `guarded`,
//! `holds`, `stands`, the diary, and the calls that lead from one set of options to another.
//!
//! What is told anew here, because it is the doing and not the deciding: that a command is one step and the look behind it another, and
//! in which order `adapters/deeds.rs` puts options back (read, set, look, again).

use super::drbd::{Command, Refusal, other};
use super::story::{Teller, name};
use super::world::{Domu, Setting, World};
use std::sync::LazyLock;
use xen_drbd::adapters::drbd::argv;
use xen_drbd::core::boot::claim::{Deed, Proof, Stands, can_be_guarded, guarded, holds, stands};
use xen_drbd::core::boot::diary::{Diary, Outcome};
use xen_drbd::core::boot::{Case, Decision, decide};
use xen_drbd::core::drbd::{Configured, ConfiguredPeer, ConfiguredVolume, Options};
use xen_drbd::core::facts::{DiskSeen, Promoter};
use xen_drbd::core::names::{DomuName, ResourceName};
use xen_drbd::core::record::Moment;
use xen_drbd::core::xen::{BlockDevice, Domain, DomainState};

static WEB: LazyLock<DomuName> = LazyLock::new(|| "web".parse().expect("a name"));
pub static RESOURCE: LazyLock<ResourceName> = LazyLock::new(|| "web".parse().expect("a name"));
static DISKS: LazyLock<[DiskSeen; 1]> = LazyLock::new(|| {
    [DiskSeen {
        vdev: "xvda".into(),
        target: "/dev/drbd1".into(),
        resource: Some(RESOURCE.clone()),
        promoter: Promoter::Nobody,
        writable: true,
        cdrom: false,
    }]
});
const FILE: &str = "web.cfg";
/// Two nodes have no quorum that would prove anything.
const PROOF: Proof = Proof::EveryPeer;

/// The program on one Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// It is not there, and need not be: the Dom0 is off, or nobody waits any more.
    Gone,
    /// It was killed.
    Killed,
    /// It waits for the next look.
    Rests {
        /// For the domU, not only for options that are still to be put back.
        waits: bool,
    },
    /// It is in the middle of something.
    At {
        deed: Deed,
        phase: Phase,
        why: Why,
        /// The domU that is here is one that this claim has created.
        ours: bool,
    },
}

/// How far a deed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Begin,
    /// These commands are still to be given.
    Commands(Command, Option<Command>),
    /// Done; now a look whether it is so.
    Check,
    /// It was not so; another try, or patience ends.
    Again,
}

/// What it is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    Claim {
        /// It is on the way back.
        failed: bool,
    },
    /// Putting back what an interrupted claim has left.
    Release { waits: bool },
}

/// What a step may turn out to be, where that is not certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Luck {
    /// All that is done works.
    Works,
    /// The domU cannot be created.
    Fails,
    /// More than ten minutes have passed since the last look, and the same is seen.
    MuchLater,
    /// Patience ends.
    GivesUp,
}

impl World {
    /// The next step of the program on one Dom0.
    pub fn step(&mut self, setting: &Setting, at: usize, luck: Luck, told: &mut Teller<'_>) {
        match self.dom0s[at].program {
            Program::Gone | Program::Killed => {}
            Program::Rests { waits } => self.look(setting, at, waits, luck, told),
            Program::At { deed, phase, why, ours } => {
                let mut moving = Moving { deed, phase, why, ours, went: None };
                self.work(setting, at, &mut moving, luck, told);
                self.go_on(setting, at, moving, told);
            }
        }
        self.pair.refresh();
    }

    /// The command that is about to be given, if the next step is one.
    pub fn next_command(&self, at: usize) -> Option<Command> {
        match self.dom0s[at].program {
            Program::At { phase: Phase::Commands(command, _), .. } => Some(command),
            Program::At { deed: Deed::Promote, .. } => Some(Command::Primary),
            Program::At { deed: Deed::Demote, .. } => Some(Command::Secondary),
            _ => None,
        }
    }

    /// Whether patience can end here.
    pub fn may_give_up(&self, at: usize) -> bool {
        matches!(self.dom0s[at].program, Program::At { phase: Phase::Again, .. })
    }

    /// Whether the next step creates the domU.
    pub fn is_creating(&self, at: usize) -> bool {
        matches!(self.dom0s[at].program, Program::At { deed: Deed::Create, phase: Phase::Begin, .. })
    }

    /// A look, and what it means. The picture and the decision are one step; what is done upon it is another.
    fn look(&mut self, setting: &Setting, at: usize, waits: bool, luck: Luck, told: &mut Teller<'_>) {
        let mut still = waits;
        if waits {
            let decision = self.decision(setting, at);
            told.say(|| format!("xen-drbd-auto on {} looks: {decision}", name(at)));
            if let Decision::Claim(_) = decision {
                let why = Why::Claim { failed: false };
                self.enter(setting, at, Moving { deed: Deed::FIRST, phase: Phase::Begin, why, ours: false, went: None });
                return;
            }
            still = self.note(at, Outcome::Decided(decision), luck == Luck::MuchLater);
        }
        let dom0 = &mut self.dom0s[at];
        if dom0.guarded && !dom0.is_busy(setting) {
            // `round::release`: nothing of a domU that is here is taken from it.
            let deed = if dom0.domu == Domu::None { Deed::Demote } else { Deed::PutBack };
            let why = Why::Release { waits: still };
            told.say(|| format!("{} puts back what an earlier claim has left", name(at)));
            dom0.program = Program::At { deed, phase: Phase::Begin, why, ours: false };
        } else {
            self.rest(at, still, told);
        }
    }

    /// `core::boot::decide` with what this end shows.
    pub fn decision(&self, setting: &Setting, at: usize) -> Decision {
        let dom0 = &self.dom0s[at];
        let here = dom0.domain();
        decide(&Case {
            domu: &WEB,
            disks: &*DISKS,
            copies: here.iter().collect(),
            row: None,
            replicas: &[self.pair.replica(&RESOURCE, at)],
            ours: &self.diary(at).guarded_for(&WEB),
            configured: &[self.file(setting, at)],
            trust_quorum: false,
            busy: dom0.is_busy(setting).then(|| "a command that has outlived its program".to_string()),
            unseen: &[],
        })
    }

    /// What the operator's file has of the resource: one volume, and the other end.
    fn file(&self, setting: &Setting, at: usize) -> Configured {
        Configured {
            resource: RESOURCE.clone(),
            volumes: vec![ConfiguredVolume {
                number: 0,
                minor: 1,
                device: "/dev/drbd1".to_string(),
                disk: "/dev/vg0/web".to_string(),
                implicit: true,
            }],
            options: setting.rules.file.clone(),
            peers: vec![ConfiguredPeer { name: Some(name(other(at)).to_string()), hosts: vec![], connected: true }],
            auto_promote: false,
            quorum: false,
        }
    }

    /// Into the diary. The answer: the domU still waits.
    fn note(&self, at: usize, outcome: Outcome, much_later: bool) -> bool {
        let mut diary = self.diary(at);
        diary.note(FILE, Some("web"), Moment(0), outcome.clone());
        if much_later {
            // Every six minutes at the latest.
            (1..=3).for_each(|look| diary.note(FILE, Some("web"), Moment(360 * look), outcome.clone()));
        }
        diary.waiting().next().is_some()
    }

    fn diary(&self, at: usize) -> Diary {
        let mut diary = Diary::default();
        if self.dom0s[at].guarded {
            diary.guard(&RESOURCE, &WEB);
        }
        diary
    }

    /// The round is over: the daemon waits, or goes when nobody waits.
    fn rest(&mut self, at: usize, waits: bool, told: &mut Teller<'_>) {
        self.dom0s[at].program = if waits || self.diary(at).must_wait() { Program::Rests { waits } } else { Program::Gone };
        if self.dom0s[at].program == Program::Gone {
            told.say(|| format!("nobody waits any more on {}", name(at)));
        }
    }

    /// One step of one deed.
    fn work(&mut self, setting: &Setting, at: usize, moving: &mut Moving, luck: Luck, told: &mut Teller<'_>) {
        let rules = &setting.rules;
        if let Phase::Commands(command, then) = moving.phase {
            let done = self.command(setting, at, command, told);
            moving.phase = then.map_or(Phase::Check, |then| Phase::Commands(then, None));
            match done {
                Ok(()) => {}
                // `deeds::put_options_back` has patience with this one.
                Err(Refusal::BothPrimary) if moving.deed == Deed::PutBack => moving.phase = Phase::Again,
                Err(_) => moving.went = Some(false),
            }
            return;
        }
        if luck == Luck::GivesUp {
            told.say(|| format!("{} does not try any longer to put the options back", name(at)));
            moving.went = Some(false);
            return;
        }
        let first = matches!(moving.phase, Phase::Begin | Phase::Again);
        if matches!(moving.deed, Deed::Guard | Deed::PutBack) {
            told.say(|| format!("{} reads the options of web: {}", name(at), self.options_in_words(setting, at)));
        }
        match moving.deed {
            Deed::WriteDown => {
                told.say(|| format!("{} writes down what it will have to put back", name(at)));
                self.dom0s[at].guarded = true;
                moving.went = Some(true);
            }
            Deed::Guard if !can_be_guarded(rules.generation) => moving.went = Some(true),
            Deed::Guard => match self.pair.options(rules, at) {
                None => moving.went = Some(false),
                Some(now) if first => moving.set(setting, &now, &guarded(&now, PROOF)),
                Some(now) => moving.went = Some(now == guarded(&now, PROOF)),
            },
            Deed::PutBack if !can_be_guarded(rules.generation) => moving.went = Some(true),
            Deed::PutBack => match self.pair.options(rules, at) {
                Some(now) if first => moving.set(setting, &now, &rules.file),
                Some(now) if now == rules.file => moving.went = Some(true),
                _ => moving.phase = Phase::Again,
            },
            Deed::Promote => moving.went = Some(self.command(setting, at, Command::Primary, told).is_ok()),
            // `deeds::demote` asks only an end that is not Secondary yet.
            Deed::Demote if !self.pair.ends[at].primary => {
                told.say(|| format!("{} sees that web is Secondary", name(at)));
                moving.went = Some(true);
            }
            Deed::Demote => moving.went = Some(self.command(setting, at, Command::Secondary, told).is_ok()),
            Deed::LookAgain => {
                let seen = holds(&self.pair.replica(&RESOURCE, at), &self.file(setting, at), PROOF);
                told.say(|| match &seen {
                    Ok(()) => format!("{} looks again: it holds", name(at)),
                    Err(why) => format!("{} looks again: {why}", name(at)),
                });
                moving.went = Some(seen.is_ok());
            }
            Deed::Create if first => {
                if luck == Luck::Fails || self.dom0s[at].domu != Domu::None {
                    told.say(|| format!("{} cannot create web", name(at)));
                    moving.went = Some(false);
                } else {
                    told.say(|| format!("{} begins to create web", name(at)));
                    self.begin_domu(at);
                    (moving.ours, moving.phase) = (true, Phase::Check);
                }
            }
            Deed::Create => {
                self.run_domu(at, told);
                moving.went = Some(true);
            }
            Deed::LookAtIt => {
                let here = self.dom0s[at].domain();
                let disk = BlockDevice { vdev: "51712".into(), state: if self.pair.ends[at].open { 4 } else { 6 } };
                let stands = stands(here.as_ref(), &[disk]);
                told.say(|| format!("{} looks at the disk of web: {stands:?}", name(at)));
                moving.went = Some(!matches!(stands, Stands::Dead(_)));
            }
            Deed::Destroy => {
                told.say(|| match moving.ours {
                    true => format!("{} steps back: it destroys the web that it created", name(at)),
                    false => format!("{} steps back", name(at)),
                });
                if moving.ours {
                    self.end_domu(at);
                }
                moving.went = Some(true);
            }
        }
    }

    fn options_in_words(&self, setting: &Setting, at: usize) -> String {
        self.pair.options(&setting.rules, at).map_or("there are none".to_string(), |options| {
            let word = if options.two_primaries { "yes" } else { "no" };
            format!("allow-two-primaries={word} fencing={}", options.fencing)
        })
    }

    /// drbdadm, and what comes of it.
    pub fn command(&mut self, setting: &Setting, at: usize, command: Command, told: &mut Teller<'_>) -> Result<(), Refusal> {
        let mut heard = Vec::new();
        let done = self.pair.run(&setting.rules, at, command, &mut told.inner(&mut heard));
        told.say(|| {
            let words = match command {
                Command::Fencing(true) => "disk-options --fencing=resource-only",
                Command::Fencing(false) => "disk-options --fencing=dont-care",
                Command::TwoPrimaries(true) => "net-options --allow-two-primaries=yes",
                Command::TwoPrimaries(false) => "net-options --allow-two-primaries=no",
                Command::Both { two: false, fencing: true } => "net-options --fencing=resource-only --allow-two-primaries=no",
                Command::Both { two: true, fencing: true } => "net-options --fencing=resource-only --allow-two-primaries=yes",
                Command::Both { two: false, fencing: false } => "net-options --fencing=dont-care --allow-two-primaries=no",
                Command::Both { two: true, fencing: false } => "net-options --fencing=dont-care --allow-two-primaries=yes",
                Command::Primary => "primary",
                Command::Secondary => "secondary",
            };
            let ended = done.map_or_else(|why| format!("refused {}", why.words()), |()| "done".to_string());
            let heard = heard.iter().map(|line| format!(" [{line}]")).collect::<String>();
            format!("{}: drbdadm {words} web:{heard} {ended}", name(at))
        });
        done
    }

    /// What comes after this step: the same deed, the next one, or the end.
    fn go_on(&mut self, setting: &Setting, at: usize, mut moving: Moving, told: &mut Teller<'_>) {
        let Some(well) = moving.went.take() else {
            let Moving { deed, phase, why, ours, .. } = moving;
            self.dom0s[at].program = Program::At { deed, phase, why, ours };
            return;
        };
        if moving.deed == Deed::PutBack && well {
            self.dom0s[at].guarded = false;
        }
        let next = match &mut moving.why {
            // `claim::give_back`: the options only when the role is given back.
            Why::Release { .. } if !well => None,
            Why::Release { .. } => moving.deed.next(well),
            Why::Claim { failed } => {
                *failed |= !well && moving.deed != Deed::PutBack;
                moving.deed.next(well)
            }
        };
        match (next, moving.why) {
            (Some(deed), why) => {
                self.enter(setting, at, Moving { deed, phase: Phase::Begin, why, ours: moving.ours, went: None })
            }
            (None, Why::Release { waits }) => self.rest(at, waits, told),
            (None, Why::Claim { failed: true }) => {
                told.say(|| format!("{} has stepped back", name(at)));
                let waits = self.note(at, Outcome::SteppedBack(String::new()), false);
                self.rest(at, waits, told);
            }
            (None, Why::Claim { failed: false }) => {
                let waits = self.note(at, Outcome::Started(String::new()), false);
                self.rest(at, waits, told);
            }
        }
    }

    /// Begins a deed; one that this walk has taken out of the program counts as done.
    fn enter(&mut self, setting: &Setting, at: usize, mut moving: Moving) {
        while setting.without.contains(&moving.deed)
            && let Some(deed) = moving.deed.next(true)
        {
            moving.deed = deed;
        }
        let Moving { deed, phase, why, ours, .. } = moving;
        self.dom0s[at].program = Program::At { deed, phase, why, ours };
    }

    /// The toolstack builds a domain, and opens its disk for it.
    fn begin_domu(&mut self, at: usize) {
        self.dom0s[at].domu = Domu::Building;
        let end = &mut self.pair.ends[at];
        end.open = end.primary;
    }

    /// It executes.
    pub fn run_domu(&mut self, at: usize, told: &mut Teller<'_>) {
        self.dom0s[at].domu = Domu::Runs;
        // Connected, what is old here is read from the other end.
        self.old_start |= self.pair.ends[other(at)].ahead && !self.pair.is_live();
        told.say(|| {
            let too = if self.dom0s[other(at)].domu == Domu::Runs { " TOO" } else { "" };
            format!("web runs on {}{too}", name(at))
        });
    }

    fn end_domu(&mut self, at: usize) {
        self.dom0s[at].domu = Domu::None;
        self.pair.ends[at].open = false;
    }
}

/// The program in the middle of a step.
struct Moving {
    deed: Deed,
    phase: Phase,
    why: Why,
    ours: bool,
    /// How the deed ended, when it has.
    went: Option<bool>,
}

impl Moving {
    /// The calls that lead from these options to those; none are needed where they are the same.
    fn set(&mut self, setting: &Setting, now: &Options, wanted: &Options) {
        let calls = argv::set_options(setting.rules.generation, &RESOURCE, wanted, now).expect("not asked of 8.3");
        let mut commands = calls.iter().map(|call| {
            let value = |option: &str| call.args.iter().find_map(|word| word.strip_prefix(option));
            let two = value("--allow-two-primaries=").map(|word| word == "yes");
            let fencing = value("--fencing=").map(|word| word != "dont-care");
            match (two, fencing) {
                (Some(two), Some(fencing)) => Command::Both { two, fencing },
                (Some(two), None) => Command::TwoPrimaries(two),
                (None, Some(fencing)) => Command::Fencing(fencing),
                (None, None) => panic!("{call} sets nothing"),
            }
        });
        match (commands.next(), commands.next()) {
            (None, _) => self.went = Some(true),
            (Some(first), then) => self.phase = Phase::Commands(first, then),
        }
    }
}

impl super::world::Dom0 {
    /// What `xl list` shows of the domU.
    pub fn domain(&self) -> Option<Domain> {
        let paused = match self.domu {
            Domu::None => return None,
            Domu::Building => true,
            Domu::Runs => false,
        };
        let state = DomainState { running: false, blocked: !paused, paused, shutdown: None, dying: false };
        Some(Domain { name: "web".into(), id: 1, memory: 512, state, uuid: None })
    }

    /// Somebody has the domU's lock.
    fn is_busy(&self, setting: &Setting) -> bool {
        setting.children_keep_the_lock && self.orphan.is_some()
    }
}
