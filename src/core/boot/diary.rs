//! What was decided when, for whoever asks later: `status`, `explain`, and the next start.

use super::Decision;
use crate::core::names::{DomuName, ResourceName};
use crate::core::record::Moment;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The newest entries of one domU that are kept. A domU that waits for a year is looked at a hundred thousand times, and nearly always
/// the same is seen: the same decision again is no new entry.
const KEPT: usize = 50;

/// Everything that is kept while the host is up, in `/run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diary {
    /// The version of this form.
    #[serde(default)]
    pub version: u32,
    /// Every domU of the folder, by its config's file name.
    #[serde(default)]
    pub domus: BTreeMap<String, Pages>,
    /// The resources that a claim has guarded, and perhaps made Primary, with the domU they were claimed for: put back at once, or
    /// after a crash.
    #[serde(default)]
    pub guarded: BTreeMap<ResourceName, DomuName>,
    /// Whether the last `start` was told that a quorum may stand in for a missing peer; the daemon goes on with that.
    #[serde(default)]
    pub trust_quorum: bool,
    /// How many domUs the last `start` was told to create at a time; 0 and 1 are the same.
    #[serde(default)]
    pub jobs: u8,
    /// A round over all domUs has begun and has not come to its end: what is decided is not all that was to be decided.
    #[serde(default)]
    pub unfinished: bool,
    /// When the waiting daemon looks again; `None`: nobody waits.
    #[serde(default)]
    pub next_look: Option<Moment>,
    /// When somebody ended the waiting, and nobody has looked since; who waited then waits for a person.
    #[serde(default)]
    pub stopped: Option<Moment>,
}

/// One domU's pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Its name, where the config was understood.
    pub domu: Option<String>,
    /// What was decided, oldest first.
    pub entries: Vec<Entry>,
}

/// One decision, and how long it has stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was first decided so.
    pub since: Moment,
    /// When it was last decided so.
    pub until: Moment,
    /// How often.
    pub times: u32,
    /// For how long it has been seen so, in seconds: the time between two looks, no more than [`LONGEST_PAUSE`] of it, for a clock that is
    /// set forward in between is no proof that anything has lasted.
    #[serde(default)]
    pub stood: u64,
    /// What.
    pub outcome: Outcome,
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Decided, and nothing done.
    Decided(Decision),
    /// Claimed and started; the text says what was seen before.
    Started(String),
    /// Claimed, and stepped back: why. It waits.
    SteppedBack(String),
    /// Started because a person said so, with this reason.
    Forced(String),
}

/// How long a peer must have been Primary before that counts as running the domU, in seconds: it may be in the middle of a claim, and
/// step back.
const PRIMARY_FOR_GOOD: u64 = 600;

/// The most that passes between two looks of the daemon, in seconds (`timer`: 5 minutes and up to 60 seconds).
const LONGEST_PAUSE: u64 = 360;

impl Entry {
    /// Nothing more is to be done for it until a person or the next boot comes.
    pub fn is_final(&self) -> bool {
        match &self.outcome {
            Outcome::Decided(Decision::Wait(_) | Decision::Claim(_)) | Outcome::SteppedBack(_) => false,
            Outcome::Decided(Decision::Ignored(_)) => self.stood >= PRIMARY_FOR_GOOD,
            Outcome::Decided(_) | Outcome::Started(_) | Outcome::Forced(_) => true,
        }
    }
}

impl Outcome {
    /// One word for `status`.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Decided(decision) => decision.word(),
            Outcome::Started(_) => "started",
            Outcome::SteppedBack(_) => "wait",
            Outcome::Forced(_) => "forced",
        }
    }

    /// The domU runs somewhere, as far as this host can know, and needs nobody.
    pub fn is_well(&self) -> bool {
        match self {
            Outcome::Started(_) | Outcome::Forced(_) => true,
            Outcome::SteppedBack(_) => false,
            Outcome::Decided(decision) => decision.is_well(),
        }
    }

    /// What was seen.
    pub fn evidence(&self) -> &str {
        match self {
            Outcome::Decided(decision) => decision.evidence(),
            Outcome::Started(text) | Outcome::SteppedBack(text) | Outcome::Forced(text) => text,
        }
    }
}

impl Diary {
    /// Writes an outcome down. The same as before only becomes older.
    pub fn note(&mut self, file: &str, domu: Option<&str>, now: Moment, outcome: Outcome) {
        let pages = self.domus.entry(file.to_string()).or_default();
        pages.domu = domu.map(String::from);
        match pages.entries.last_mut().filter(|last| last.outcome == outcome) {
            Some(last) => {
                last.stood += now.0.saturating_sub(last.until.0).min(LONGEST_PAUSE);
                last.until = now;
                last.times = last.times.saturating_add(1);
            }
            None => pages.entries.push(Entry { since: now, until: now, times: 1, stood: 0, outcome }),
        }
        let surplus = pages.entries.len().saturating_sub(KEPT);
        pages.entries.drain(..surplus);
    }

    /// A resource comes under the guard, for a domU.
    pub fn guard(&mut self, resource: &ResourceName, domu: &DomuName) {
        self.guarded.insert(resource.clone(), domu.clone());
    }

    /// The guard of a resource is off.
    pub fn release(&mut self, resource: &ResourceName) {
        self.guarded.remove(resource);
    }

    /// The resources that are, or were, under the guard for this domU.
    pub fn guarded_for(&self, domu: &DomuName) -> Vec<ResourceName> {
        self.guarded.iter().filter(|(_, whose)| *whose == domu).map(|(name, _)| name.clone()).collect()
    }

    /// The last outcome of a config.
    pub fn last(&self, file: &str) -> Option<&Entry> {
        self.domus.get(file)?.entries.last()
    }

    /// Files that are gone although their domU still waits: a folder that is not mounted, a file that is just being replaced.
    pub fn gone_while_waiting(&self, files: &[String]) -> Vec<String> {
        self.waiting().map(|(file, _)| file).filter(|file| !files.contains(file)).cloned().collect()
    }

    /// Files that are gone are forgotten.
    pub fn keep_only(&mut self, files: &[String]) {
        let files: BTreeSet<&String> = files.iter().collect();
        self.domus.retain(|file, _| files.contains(file));
    }

    /// Somebody waits, or something must still be put back.
    pub fn must_wait(&self) -> bool {
        self.waiting().next().is_some() || !self.guarded.is_empty()
    }

    /// A daemon should be there: something must be waited for, and nobody has ended that.
    pub fn wants_a_daemon(&self) -> bool {
        self.must_wait() && self.stopped.is_none()
    }

    /// Every domU runs: here, or where it was sent, or where its disks are Primary.
    pub fn all_is_well(&self) -> bool {
        self.domus.values().filter_map(|pages| pages.entries.last()).all(|entry| entry.outcome.is_well())
    }

    /// The configs whose domU still waits.
    pub fn waiting(&self) -> impl Iterator<Item = (&String, &Pages)> {
        self.domus.iter().filter(|(_, pages)| pages.entries.last().is_some_and(|e| !e.is_final()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(why: &str) -> Outcome {
        Outcome::Decided(Decision::Wait(why.into()))
    }

    #[test]
    fn the_same_again_only_grows_older() {
        let mut diary = Diary::default();
        for now in 0..1000 {
            diary.note("web.cfg", Some("web"), Moment(now), wait("r0 is not connected"));
        }
        let entries = &diary.domus["web.cfg"].entries;
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].since, entries[0].until, entries[0].times), (Moment(0), Moment(999), 1000));
    }

    #[test]
    fn a_clock_that_is_set_forward_makes_nothing_final() {
        let ignored = || {
            Outcome::Decided(Decision::Ignored(crate::core::boot::Seen { evidence: "r0 is Primary there".into(), well: true }))
        };
        let mut diary = Diary::default();
        let looks = |diary: &mut Diary, times: &[u64]| {
            times.iter().for_each(|now| diary.note("web.cfg", Some("web"), Moment(*now), ignored()));
            diary.last("web.cfg").is_some_and(Entry::is_final)
        };
        // Two looks within a second, and an hour between them by the clock of the wall.
        assert!(!looks(&mut diary, &[1000, 4600, 4601]));
        assert!(looks(&mut diary, &[4601 + 300]));
        // Set back, it begins again.
        assert!(!looks(&mut Diary::default(), &[5000, 1000, 1300]));
    }

    #[test]
    fn a_file_that_is_gone_for_one_look_is_still_waited_for() {
        let mut diary = Diary::default();
        diary.note("a", Some("a"), Moment(1), wait("x"));
        diary.note("b", Some("b"), Moment(1), Outcome::Started("y".into()));
        assert_eq!(diary.gone_while_waiting(&[]), ["a"]);
        assert_eq!(diary.gone_while_waiting(&["a".to_string()]), Vec::<String>::new());
    }

    #[test]
    fn a_long_story_keeps_its_newest_pages() {
        let mut diary = Diary::default();
        for now in 0..200 {
            diary.note("web.cfg", Some("web"), Moment(now), wait(&format!("{}", now % 2)));
        }
        let entries = &diary.domus["web.cfg"].entries;
        assert_eq!((entries.len(), entries[49].since), (KEPT, Moment(199)));
    }

    #[test]
    fn who_waits_is_known_and_survives_the_file() {
        let mut diary = Diary::default();
        diary.note("a", Some("a"), Moment(1), wait("x"));
        diary.note("b", Some("b"), Moment(1), Outcome::Started("y".into()));
        diary.note("c", Some("c"), Moment(1), Outcome::SteppedBack("z".into()));
        diary.note("d", None, Moment(1), Outcome::Decided(Decision::Fault("f".into())));
        let waiting = |diary: &Diary| diary.waiting().map(|(file, _)| file.clone()).collect::<Vec<_>>();
        assert_eq!(waiting(&diary), ["a", "c"]);
        let again: Diary = serde_json::from_str(&serde_json::to_string(&diary).unwrap()).unwrap();
        assert_eq!(again, diary);
        diary.keep_only(&["a".to_string()]);
        assert_eq!(waiting(&diary), ["a"]);
    }
}
