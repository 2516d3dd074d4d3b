//! The record, `/etc/xen/migrate-status.txt`: where each domU went, and what is in flight. Written by us alone.
//!
//! In the style of the table: `domU  state  host  since  [key=value…]`, with a header that explains itself, a version, and a last
//! line that proves that the file is whole. A domU without a row is at home and nothing is to be remembered about it.

use super::fault::Fault;
use super::names::{DomuName, HostName, ResourceName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the record is, below the root.
pub const PATH: &str = "/etc/xen/migrate-status.txt";

/// The version of the format that this program writes. Older ones are read, newer ones are refused.
pub const VERSION: u32 = 1;

/// What the record says of one domU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In flight from here to the host.
    Leaving,
    /// It went to the host, and its home is here.
    Away,
    /// In flight from the host back to here, its home.
    Returning,
    /// In flight from the host to here.
    Arriving,
    /// It runs here and came from the host; its home is elsewhere.
    Visiting,
    /// It was visiting and went on to the host.
    Passed,
    /// It is here; the row only remembers what is still to be put back.
    Here,
}

impl State {
    const ALL: [(State, &'static str); 7] = [
        (State::Leaving, "leaving"),
        (State::Away, "away"),
        (State::Returning, "returning"),
        (State::Arriving, "arriving"),
        (State::Visiting, "visiting"),
        (State::Passed, "passed"),
        (State::Here, "here"),
    ];

    /// A migration was begun and its end was not recorded.
    pub fn in_flight(self) -> bool {
        matches!(self, State::Leaving | State::Returning | State::Arriving)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = State::ALL.iter().find(|(state, _)| state == self).map_or("", |(_, word)| word);
        f.pad(word)
    }
}

/// A moment, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Moment(time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }
}

impl fmt::Display for Moment {
    /// RFC 3339, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The year 9999 is where the format ends.
        let time = UNIX_EPOCH + Duration::from_secs(self.0.min(253_402_300_799));
        f.pad(&humantime::format_rfc3339_seconds(time).to_string())
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The domU.
    pub domu: DomuName,
    /// Where it stands.
    pub state: State,
    /// The other Dom0.
    pub host: HostName,
    /// Since when.
    pub since: Moment,
    /// Resources whose options (window, guard) may still differ from the operator's file on this host.
    #[serde(default)]
    pub open: Vec<ResourceName>,
    /// The home of a domU whose home is elsewhere.
    #[serde(default)]
    pub home: Option<HostName>,
    /// Leaving after a visit: the host it had come from, so that a migration that failed puts `visiting` back. Arriving where it had passed
    /// through before: the host it had gone on to, so that one that failed puts `passed` back.
    #[serde(default)]
    pub from: Option<HostName>,
    /// Arriving: its receiver has ended, and the permission to run never passed through it. So it has never run here.
    #[serde(default)]
    pub never: bool,
}

impl Row {
    /// What it says, for a person: `away dom0-beta since …`.
    pub fn in_words(&self) -> String {
        match self.state {
            State::Here => format!("its journey between here and {} is still on the record since {}", self.host, self.since),
            state => format!("{state} {} since {}", self.host, self.since),
        }
    }
}

/// The whole record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// One row a domU, in the order in which they were first noted.
    pub rows: Vec<Row>,
}

impl Record {
    /// The row of a domU.
    pub fn row(&self, domu: &DomuName) -> Option<&Row> {
        self.rows.iter().find(|r| &r.domu == domu)
    }

    /// Puts a row in the place of the domU's row, or at the end.
    pub fn put(&mut self, row: Row) {
        match self.rows.iter_mut().find(|r| r.domu == row.domu) {
            Some(there) => *there = row,
            None => self.rows.push(row),
        }
    }

    /// Takes the domU's row out.
    pub fn forget(&mut self, domu: &DomuName) {
        self.rows.retain(|r| &r.domu != domu);
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Where the domUs of this Dom0 went. Written by xen-migrate; look with `xen-migrate status ALL`.\n\
             # <domu>  <state>  <host>  <since>  <details>\n\
             # away: sent to the host, its home is here. visiting: came from the host, its home is elsewhere.\n\
             # passed: was visiting, and went on to the host. here: at home; only what is still to be put back is remembered.\n\
             # leaving, returning, arriving: a migration is in flight; `xen-migrate recover` settles one that was interrupted.\n\
             # open=: DRBD resources whose options may still differ from drbd.conf. home=, from=: where a visitor belongs, and came from\n\
             # (arriving: where it had gone on to from here).\n\
             # version {VERSION}\n"
        );
        for row in &self.rows {
            text += &format!("{:<24} {:<9} {:<20} {}", row.domu, row.state, row.host, row.since);
            if !row.open.is_empty() {
                let names: Vec<&str> = row.open.iter().map(ResourceName::as_str).collect();
                text += &format!(" open={}", names.join(","));
            }
            if let Some(home) = &row.home {
                text += &format!(" home={home}");
            }
            if let Some(from) = &row.from {
                text += &format!(" from={from}");
            }
            if row.never {
                text += " go=never";
            }
            text += "\n";
        }
        text += &format!("# EOF rows={}\n", self.rows.len());
        text
    }
}

/// Reads the record. Any fault means that nothing may be concluded from it, so all of them come back instead of a part of the rows.
pub fn parse(text: &str) -> Result<Record, Vec<Fault>> {
    let mut record = Record::default();
    let mut faults = Vec::new();
    let mut version = 0;
    let mut ended: Option<(u32, usize)> = None;
    let fault = |line: u32, column: u32, what: String, expected: &str| Fault { line, column, what, expected: expected.into() };

    if text.trim().is_empty() {
        return Err(vec![fault(
            1,
            1,
            "the record is empty".into(),
            "at least its header; xen-migrate never writes an empty one",
        )]);
    }
    for (index, line) in text.lines().enumerate() {
        let number = index as u32 + 1;
        if let Some(comment) = line.strip_prefix('#') {
            let comment = comment.trim();
            if let Some(word) = comment.strip_prefix("version ") {
                match word.trim().parse::<u32>() {
                    Ok(v) if v > VERSION => {
                        let what = format!("the record is of version {v}, written by a newer xen-migrate");
                        return Err(vec![fault(number, 3, what, "version 1 at most; use that newer xen-migrate")]);
                    }
                    Ok(v) => version = v,
                    Err(_) => faults.push(fault(number, 11, format!("{word:?} is no version"), "a number")),
                }
            } else if let Some(count) = comment.strip_prefix("EOF rows=") {
                match count.parse() {
                    Ok(count) => ended = Some((number, count)),
                    Err(_) => faults.push(fault(number, 12, format!("{count:?} is no count of rows"), "a number")),
                }
            }
        } else if !line.trim().is_empty() {
            match row(line, number) {
                Ok(row) if record.row(&row.domu).is_some() => {
                    faults.push(fault(number, 1, format!("{} stands here twice", row.domu), "one row for each domU"));
                }
                Ok(row) => record.rows.push(row),
                Err(fault) => faults.push(fault),
            }
        }
    }
    let last = text.lines().count() as u32;
    // Version 0 is a file without a version line, written by hand or by the article's script: it had no last line to check.
    match ended {
        // Without rows either, it cannot be told from one of ours that was cut off within its header.
        _ if version == 0 && record.rows.is_empty() && faults.is_empty() => {
            faults.push(fault(last, 1, "the record has neither a version nor a row".into(), "a line `# version 1`"));
        }
        _ if version == 0 => {}
        None => faults.push(fault(last, 1, "the record is cut off: its last line is missing".into(), "a line `# EOF rows=…`")),
        Some((line, count)) if count != record.rows.len() && faults.is_empty() => {
            let what = format!("the record should have {count} rows and has {}", record.rows.len());
            faults.push(fault(line, 12, what, "as many rows as its last line says"));
        }
        Some(_) => {}
    }
    if faults.is_empty() { Ok(record) } else { Err(faults) }
}

fn row(line: &str, number: u32) -> Result<Row, Fault> {
    let fault = |column: usize, what: String, expected: &str| Fault {
        line: number,
        column: column as u32 + 1,
        what,
        expected: expected.to_string(),
    };
    let mut words = Vec::new();
    let mut from = 0;
    for word in line.split([' ', '\t']) {
        if !word.is_empty() {
            words.push((line[..from].chars().count(), word));
        }
        from += word.len() + 1;
    }
    let end = line.trim_end().chars().count();
    let column =
        |n: usize, expected: &str| words.get(n).copied().ok_or_else(|| fault(end, "the row is too short".into(), expected));

    let (at, word) = column(0, "the domU's name")?;
    let domu: DomuName = word.parse().map_err(|bad| fault(at, format!("{bad}"), "the domU's name"))?;
    let states = "leaving, away, returning, arriving, visiting, passed or here";
    let (at, word) = column(1, states)?;
    let state = State::ALL
        .iter()
        .find(|(_, known)| *known == word)
        .map(|(state, _)| *state)
        .ok_or_else(|| fault(at, format!("{word:?} is no state"), states))?;
    let (at, word) = column(2, "the other Dom0")?;
    let host: HostName = word.parse().map_err(|bad| fault(at, format!("{bad}"), "the other Dom0"))?;
    let time = "a time like 2026-11-23T01:02:03Z";
    let (at, word) = column(3, time)?;
    let since = humantime::parse_rfc3339(word).map_err(|_| fault(at, format!("{word:?} is no time"), time))?;

    let mut row = Row { domu, state, host, since: since.into(), open: Vec::new(), home: None, from: None, never: false };
    for &(at, word) in &words[4..] {
        let bad = |why: String| fault(at, why, "open=RESOURCE,…  home=HOST  from=HOST  go=never");
        match word.split_once('=') {
            Some(("open", list)) => {
                for name in list.split(',') {
                    row.open.push(name.parse().map_err(|e| bad(format!("{e}")))?);
                }
            }
            Some(("home", host)) => row.home = Some(host.parse().map_err(|e| bad(format!("{e}")))?),
            Some(("from", host)) => row.from = Some(host.parse().map_err(|e| bad(format!("{e}")))?),
            Some(("go", "never")) => row.never = true,
            _ => return Err(bad(format!("{word:?} is not a detail that this version knows"))),
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        let row = |domu: &str, state, host: &str| Row {
            domu: domu.parse().unwrap(),
            state,
            host: host.parse().unwrap(),
            since: Moment(1_795_000_000),
            open: vec![],
            home: None,
            from: None,
            never: false,
        };
        let mut record = Record::default();
        record.put(row("web", State::Away, "dom0-beta"));
        let mut mail = row("mail", State::Leaving, "dom0-gamma");
        mail.open = vec!["r0".parse().unwrap(), "r1".parse().unwrap()];
        mail.home = Some("dom0-delta".parse().unwrap());
        mail.from = Some("dom0-beta".parse().unwrap());
        mail.never = true;
        record.put(mail);
        record
    }

    #[test]
    fn what_is_written_is_read_back() {
        let record = sample();
        assert_eq!(parse(&record.to_text()), Ok(record));
        assert_eq!(parse(&Record::default().to_text()), Ok(Record::default()));
    }

    #[test]
    fn a_record_cut_off_at_any_byte_is_never_taken_for_a_whole_one() {
        let text = sample().to_text();
        for cut in 0..text.len() - 1 {
            let part = &text[..cut];
            assert!(parse(part).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn empty_newer_or_strange_records_are_refused_with_their_place() {
        assert_eq!(parse("").unwrap_err()[0].line, 1);
        assert_eq!(parse("\n \n").unwrap_err()[0].what, "the record is empty");
        let newer = sample().to_text().replace("version 1", "version 2");
        assert!(parse(&newer).unwrap_err()[0].what.contains("newer"));
        for (row, column) in [
            ("web gone beta 2026-01-01T00:00:00Z", 5),
            ("web away -beta 2026-01-01T00:00:00Z", 10),
            ("web away beta yesterday", 15),
            ("web away", 9),
            ("web away beta 2026-01-01T00:00:00Z colour=red", 36),
            ("web away beta 2026-01-01T00:00:00Z open=r0,,r1", 36),
        ] {
            let faults = parse(row).unwrap_err();
            assert_eq!((faults[0].line, faults[0].column), (1, column), "{row}");
        }
    }

    #[test]
    fn a_record_without_a_version_is_an_old_one_and_stays_readable() {
        let record = parse("# old\nweb\taway\tbeta\t2026-01-01T00:00:00Z\n").unwrap();
        assert_eq!(record.rows.len(), 1);
    }

    #[test]
    fn two_rows_for_one_domu_are_a_fault() {
        let text = "web away a 2026-01-01T00:00:00Z\nweb away b 2026-01-01T00:00:00Z\n";
        assert_eq!(parse(text).unwrap_err()[0].line, 2);
    }
}
