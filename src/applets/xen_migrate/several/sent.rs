//! What `migrate --shutdown` sent away, so that `reverse --return` brings back that and nothing that a person had sent.
//!
//! The record says where each domU is; this only says which of them went because the Dom0 went down. A line a domU; before the first one
//! goes it is written when that began, and at the end when it ended. A domU that went at another time went for another reason.
//! What an earlier shutdown sent away and nobody has brought back yet stays on the list, by the moment at which it went.

use crate::adapters::World;
use crate::applets::exit::{Exit, Stop};
use crate::core::names::DomuName;
use crate::core::record::{Moment, Row, State};
use std::io;
use std::path::Path;

/// Where it stands.
const PATH: &str = "/var/lib/xen-migrate/sent-at-shutdown";

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sent {
    domus: Vec<DomuName>,
    /// Sent away by an earlier shutdown, and still there.
    before: Vec<(DomuName, Moment)>,
    begun: Option<Moment>,
    /// `None`: that run was killed.
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

    /// All of them have gone that will.
    pub(super) fn end(&mut self, world: &dyn World) -> Result<(), Stop> {
        self.ended = Some(Moment::from(world.now()));
        self.write(world)
    }

    /// Only these stay on the list.
    pub(super) fn keep(&mut self, world: &dyn World, stays: impl Fn(&DomuName) -> bool) -> Result<(), Stop> {
        let before = self.domus.len() + self.before.len();
        self.domus.retain(&stays);
        self.before.retain(|(domu, _)| stays(domu));
        if self.domus.len() + self.before.len() == before { Ok(()) } else { self.write(world) }
    }

    /// It is away because of the shutdown.
    pub(super) fn has(&self, row: &Row) -> bool {
        let now = self.domus.contains(&row.domu)
            && self.begun.is_some_and(|begun| begun <= row.since)
            && self.ended.is_none_or(|ended| row.since <= ended);
        row.state == State::Away && (now || self.before.iter().any(|(domu, since)| domu == &row.domu && *since == row.since))
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
    }
}
