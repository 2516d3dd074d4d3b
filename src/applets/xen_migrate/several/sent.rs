//! What `migrate --shutdown` sent away, so that `reverse --return` brings back that and nothing that a person had sent.
//!
//! The record says where each domU is; this only says which of them went because the Dom0 went down. A line a domU; before the first one
//! goes it is written when that began, and at the end the moment since which each is away. A domU that went at another time went for
//! another reason, and whoever sends one while the Dom0 stays up takes it off the list: the moment of a journey whose tool was killed is
//! written by nobody.
//! What an earlier shutdown sent away and nobody has brought back yet stays on the list, by the moment at which it went.

use super::goes_down;
use crate::adapters::{Held, LockError, To, World};
use crate::applets::exit::{Exit, Stop};
use crate::applets::xen_migrate::Setting;
use crate::core::names::DomuName;
use crate::core::record::{Moment, Record, Row, State};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Where it stands.
const PATH: &str = "/var/lib/xen-migrate/sent-at-shutdown";

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// They were to go. Since when each is away is not known: that run was killed, or left them in flight.
    domus: Vec<DomuName>,
    /// Sent away at this moment, and still there.
    before: Vec<(DomuName, Moment)>,
    begun: Option<Moment>,
    /// `None`: some of them went later, or that run was killed.
    ended: Option<Moment>,
}

impl Sent {
    /// Reads it. None there: nothing was sent.
    pub(super) fn read(world: &dyn World) -> Result<Sent, Stop> {
        match world.read(Path::new(PATH)) {
            Ok(bytes) => Ok(Sent::parse(&String::from_utf8_lossy(&bytes))),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Sent::default()),
            Err(why) => Err(Stop::new(Exit::Failed, format!("{PATH}: {why}\n  nothing was touched"))),
        }
    }

    /// These go now. `rows`: the record, which knows what is still away from an earlier time.
    pub(super) fn begin(&mut self, world: &dyn World, rows: &[Row], domus: impl Iterator<Item = DomuName>) -> Result<(), Stop> {
        let before = rows.iter().filter(|row| self.has(row)).map(|row| (row.domu.clone(), row.since)).collect();
        *self = Sent { domus: domus.collect(), before, begun: Some(Moment::from(world.now())), ended: None };
        self.write(world)
    }

    /// These go as well.
    pub(super) fn add(&mut self, world: &dyn World, domus: impl Iterator<Item = DomuName>) -> Result<(), Stop> {
        let before = self.domus.len();
        for domu in domus {
            if !self.domus.contains(&domu) {
                self.domus.push(domu);
            }
        }
        if self.domus.len() == before { Ok(()) } else { self.write(world) }
    }

    /// All of them have gone that will: those that are away have their moment, those that are here are no affair of the list, and what
    /// is not settled stays on it.
    pub(super) fn end(&mut self, world: &dyn World, record: &Record) -> Result<(), Stop> {
        let settled = |row: &&Row| row.state == State::Away && row.open.is_empty();
        self.before
            .extend(self.domus.iter().filter_map(|domu| record.row(domu).filter(settled).map(|r| (domu.clone(), r.since))));
        self.domus.retain(|domu| record.row(domu).is_some_and(|row| !settled(&row)));
        self.ended = self.domus.is_empty().then(|| Moment::from(world.now()));
        self.write(world)
    }

    /// Why one that is on the list does not come back, where that is no matter of course.
    pub(super) fn doubt(&self, row: &Row) -> Option<String> {
        let begun = self.begun.filter(|begun| row.since < *begun && self.domus.contains(&row.domu))?;
        (row.state == State::Away && !self.has(row)).then(|| {
            format!(
                "{} is away since {}, and the shutdown that was to send it began at {begun}: the clock was set back, or somebody else \
                 sent it; to have it back: xen-migrate reverse {}",
                row.domu, row.since, row.domu
            )
        })
    }

    /// It is away because of the shutdown.
    pub(super) fn has(&self, row: &Row) -> bool {
        let now = self.domus.contains(&row.domu)
            && self.begun.is_some_and(|begun| begun <= row.since)
            && self.ended.is_none_or(|ended| row.since <= ended);
        row.state == State::Away && (now || self.before.iter().any(|(domu, since)| domu == &row.domu && *since == row.since))
    }

    /// Only these stay on the list. True: others were on it.
    fn retain(&mut self, stays: impl Fn(&DomuName) -> bool) -> bool {
        let before = self.domus.len() + self.before.len();
        self.domus.retain(&stays);
        self.before.retain(|(domu, _)| stays(domu));
        self.domus.len() + self.before.len() != before
    }

    fn parse(text: &str) -> Sent {
        let moment = |word: &str| humantime::parse_rfc3339(word).ok().map(Moment::from);
        let mut sent = Sent::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("begun", time)) => sent.begun = moment(time),
                Some(("ended", time)) => sent.ended = moment(time),
                Some(("domu", name)) => sent.domus.extend(name.parse::<DomuName>()),
                Some(("before", rest)) => sent
                    .before
                    .extend(rest.split_once(' ').and_then(|(name, time)| Some((name.parse::<DomuName>().ok()?, moment(time)?)))),
                _ => {}
            }
        }
        sent
    }

    fn text(&self) -> String {
        let mut text =
            "# What `xen-migrate migrate --shutdown` sent away; `xen-migrate reverse ALL --return` brings it back.\n".to_string();
        for (word, moment) in [("begun", self.begun), ("ended", self.ended)] {
            if let Some(moment) = moment {
                text += &format!("{word} {moment}\n");
            }
        }
        self.domus.iter().for_each(|domu| text += &format!("domu {domu}\n"));
        self.before.iter().for_each(|(domu, since)| text += &format!("before {domu} {since}\n"));
        text
    }

    fn write(&self, world: &dyn World) -> Result<(), Stop> {
        world
            .replace(Path::new(PATH), self.text().as_bytes())
            .map_err(|why| Stop::new(Exit::Failed, format!("{PATH} could not be written ({why}); what went stays on the record")))
    }
}

/// Only these stay on the list, by the file as it is now: somebody may have sent one meanwhile.
pub(super) fn keep(world: &dyn World, stays: impl Fn(&DomuName) -> bool) -> Result<(), Stop> {
    let _held = brief_lock(world);
    let mut sent = Sent::read(world)?;
    if sent.retain(stays) { sent.write(world) } else { Ok(()) }
}

/// A domU is about to go. If this Dom0 stays up, it goes for another reason than a shutdown, whatever an earlier one did with it.
pub fn went_for_another_reason(setting: Setting<'_>, domu: &DomuName) {
    let world = setting.world;
    if goes_down(world).is_none()
        && let Err(stop) = keep(world, |other| other != domu)
    {
        world.say(To::Err, &format!("note: {}", stop.text));
    }
}

/// The list is read, changed and written by one at a time. Who holds it does nothing else; whoever waited in vain goes on all the same.
fn brief_lock(world: &dyn World) -> Option<Box<dyn Held + '_>> {
    for _ in 0..50 {
        match world.lock("sent-at-shutdown", "writing what a shutdown sent away") {
            Ok(held) => return Some(held),
            Err(LockError::Held(_)) => world.rest(Duration::from_millis(50)),
            Err(LockError::Io(_)) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(domu: &str, since: u64) -> Row {
        Row {
            domu: domu.parse().unwrap(),
            state: State::Away,
            host: "beta".parse().unwrap(),
            since: Moment(since),
            open: vec![],
            home: None,
            from: None,
            never: false,
        }
    }

    #[test]
    fn what_went_at_another_time_went_for_another_reason() {
        let (begun, ended) = (Some(Moment(100)), Some(Moment(200)));
        let before = vec![("db".parse().unwrap(), Moment(50))];
        let mut sent = Sent { domus: vec!["web".parse().unwrap()], before, begun, ended };
        assert_eq!(Sent::parse(&sent.text()), sent);
        assert!(sent.has(&row("web", 100)) && sent.has(&row("web", 200)));
        assert!(!sent.has(&row("web", 99)) && !sent.has(&row("web", 201)) && !sent.has(&row("mail", 150)));
        assert!(sent.has(&row("db", 50)) && !sent.has(&row("db", 150)), "an earlier shutdown sent it, and not the later journey");
        sent.ended = None;
        assert_eq!(Sent::parse(&sent.text()), sent);
        assert!(sent.has(&row("web", 201)), "that run was killed, and the journey was settled later");
        assert!(!Sent::default().has(&row("web", 150)));
        assert!(sent.doubt(&row("web", 99)).is_some_and(|text| text.contains("the clock was set back")));
        assert!(
            sent.doubt(&row("web", 150)).is_none()
                && sent.doubt(&row("mail", 99)).is_none()
                && sent.doubt(&row("db", 50)).is_none()
        );
        assert!(sent.retain(|domu| domu.as_str() != "web") && !sent.has(&row("web", 150)) && sent.has(&row("db", 50)));
        assert!(!sent.retain(|domu| domu.as_str() != "web"), "it is off the list already");
    }
}
