//! `status --metrics`: the same facts as figures, in the text format of Prometheus (version 0.0.4), for the textfile collector of its
//! node exporter. `xen-drbd-metrics.timer` writes them each minute.
//!
//! Only what is on this host is read, and nothing is looked at anew: a figure must never make a Dom0 ask another. A figure that is not
//! known is left out, and never 0.

use super::{Ended, Setting};
use crate::adapters::{Holder, HolderState, To, boot, store};
use crate::applets::xen_migrate::took::{self, Took};
use crate::core::boot::diary::{Diary, Entry, Pages};
use crate::core::record::{Moment, Record, State};
use std::fmt::Write;

/// Prints the figures. The exit code is 0 whatever they say: what is to be alarmed about is the alarm's affair.
pub fn print(setting: Setting<'_>) -> Ended {
    let world = setting.world;
    let seen = Seen {
        diary: boot::diary_or_why(world).ok(),
        daemon: world.lock_holder(boot::DAEMON),
        record: store::record(world).ok(),
        took: took::last(world),
        now: Moment::from(world.now()),
    };
    world.say(To::Machine, seen.text().trim_end());
    Ok(0)
}

/// What is counted.
struct Seen {
    /// `None`: it cannot be read.
    diary: Option<Diary>,
    daemon: Option<Holder>,
    /// `None`: it is damaged, and says nothing.
    record: Option<Record>,
    took: Option<Took>,
    now: Moment,
}

/// Every word that `status` may say of a domU, so that a figure that falls to 0 is seen to do so.
const DECISIONS: [&str; 8] = ["fault", "exists", "migrated", "ignored", "claim", "wait", "started", "forced"];

/// Every state of the record.
const STATES: [State; 7] =
    [State::Leaving, State::Away, State::Returning, State::Arriving, State::Visiting, State::Passed, State::Here];

impl Seen {
    fn text(&self) -> String {
        let mut page = Page::default();
        self.of_the_boot(&mut page);
        self.of_the_record(&mut page);
        self.of_the_last_migration(&mut page);
        page.text
    }

    fn of_the_boot(&self, page: &mut Page) {
        let daemon_is_known = !self.daemon.as_ref().is_some_and(|who| who.state == HolderState::Unknown);
        if daemon_is_known {
            page.one("xen_drbd_daemon_up", "Whether the waiting daemon is there.", u64::from(self.daemon.is_some()));
        }
        let Some(diary) = &self.diary else { return };
        let domus = &diary.domus;
        page.family("xen_drbd_domus", "DomUs of /etc/xen/drbd-auto, by the last decision.");
        for word in DECISIONS {
            let those = domus.values().filter_map(|p| p.entries.last()).filter(|e| e.outcome.word() == word);
            page.sample(&[("decision", word)], those.count() as u64);
        }
        // Where somebody has ended the waiting, nobody waits, and no alarm is meant to tell so.
        if diary.waiting().next().is_some() && diary.stopped.is_none() {
            page.family("xen_drbd_waiting_seconds", "How long a domU has been waiting to be started.");
            for (file, pages) in diary.waiting() {
                let name = pages.domu.as_deref().unwrap_or(file);
                page.sample(&[("domu", name), ("file", file)], self.now.0.saturating_sub(waits_since(pages)));
            }
        }
        page.one("xen_drbd_daemon_wanted", "Whether there is something to wait for.", u64::from(diary.wants_a_daemon()));
        if let Some(at) = diary.next_look.filter(|_| self.daemon.is_some()) {
            page.one("xen_drbd_next_look_timestamp_seconds", "When the daemon looks again at the latest.", at.0);
        }
        page.one("xen_drbd_guards", "DRBD resources under a guard that a claim has not taken off.", diary.guarded.len() as u64);
    }

    fn of_the_record(&self, page: &mut Page) {
        page.one(
            "xen_drbd_record_readable",
            "Whether the record of what went where could be read.",
            u64::from(self.record.is_some()),
        );
        let Some(record) = &self.record else { return };
        page.family("xen_drbd_record_domus", "DomUs on the record, by state; away: sent to another host.");
        for state in STATES {
            let count = record.rows.iter().filter(|row| row.state == state).count();
            page.sample(&[("state", &state.to_string())], count as u64);
        }
        let open = record.rows.iter().map(|row| row.open.len()).sum::<usize>();
        page.one(
            "xen_drbd_open_windows",
            "DRBD resources whose options may still differ from drbd.conf after a migration.",
            open as u64,
        );
    }

    fn of_the_last_migration(&self, page: &mut Page) {
        let Some(took) = &self.took else { return };
        let labels = [("domu", took.domu.as_str()), ("host", took.host.as_str())];
        page.family("xen_drbd_last_migration_duration_seconds", "How long the last migration from this host took.");
        page.sample(&labels, took.seconds);
        page.family("xen_drbd_last_migration_timestamp_seconds", "When the last migration from this host ended.");
        page.sample(&labels, took.ended.0);
    }
}

/// The first of the looks that all ended with waiting.
fn waits_since(pages: &Pages) -> u64 {
    let last: Vec<&Entry> = pages.entries.iter().rev().take_while(|e| !e.is_final()).collect();
    last.last().map_or(0, |e| e.since.0)
}

/// The text that grows. Samples of one name stand together, behind what they mean.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, help: &str) {
        self.name = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }

    fn one(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, help);
        self.sample(&[], value);
    }
}

/// A label's value, as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::boot::Decision;
    use crate::core::boot::diary::Outcome;
    use crate::core::record::Row;
    use std::collections::BTreeSet;

    fn seen() -> Seen {
        let mut diary = Diary { version: 1, ..Diary::default() };
        let wait = |why: &str| Outcome::Decided(Decision::Wait(why.into()));
        diary.note("mail.cfg", Some("mail"), Moment(100), Outcome::Started("all well".into()));
        diary.note("web.cfg", Some("web"), Moment(100), wait("not connected"));
        diary.note("web.cfg", Some("web"), Moment(160), wait("a resync"));
        diary.note("a\"b\\c", None, Moment(170), Outcome::SteppedBack("lost".into()));
        let row = |domu: &str, state, open: &[&str]| Row {
            domu: domu.parse().unwrap(),
            state,
            host: "dom0-beta".parse().unwrap(),
            since: Moment(50),
            open: open.iter().map(|r| r.parse().unwrap()).collect(),
            home: None,
            from: None,
            never: false,
        };
        let rows = vec![row("db", State::Away, &[]), row("ftp", State::Away, &["r0", "r1"]), row("x", State::Visiting, &[])];
        let took = Took { domu: "db".parse().unwrap(), host: "dom0-beta".parse().unwrap(), seconds: 42, ended: Moment(50) };
        Seen {
            diary: Some(diary),
            daemon: Some(Holder::awake("waiting")),
            record: Some(Record { rows }),
            took: Some(took),
            now: Moment(400),
        }
    }

    #[test]
    fn the_figures_are_those_of_status_and_of_the_record() {
        let text = seen().text();
        for line in [
            "xen_drbd_domus{decision=\"wait\"} 2",
            "xen_drbd_domus{decision=\"started\"} 1",
            "xen_drbd_domus{decision=\"fault\"} 0",
            // From the first look that ended with waiting, whatever it waited for.
            "xen_drbd_waiting_seconds{domu=\"web\",file=\"web.cfg\"} 300",
            "xen_drbd_waiting_seconds{domu=\"a\\\"b\\\\c\",file=\"a\\\"b\\\\c\"} 230",
            "xen_drbd_daemon_up 1",
            "xen_drbd_daemon_wanted 1",
            "xen_drbd_record_domus{state=\"away\"} 2",
            "xen_drbd_open_windows 2",
            "xen_drbd_last_migration_duration_seconds{domu=\"db\",host=\"dom0-beta\"} 42",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let text = Seen { record: None, took: None, ..seen() }.text();
        assert!(text.contains("xen_drbd_record_readable 0\n"));
        for name in ["xen_drbd_record_domus", "xen_drbd_open_windows", "xen_drbd_last_migration"] {
            assert!(!text.contains(name), "{text}");
        }
        well_formed(&text);
    }

    #[test]
    fn what_could_not_be_seen_is_no_zero() {
        let text = Seen { diary: None, ..seen() }.text();
        assert!(!text.contains("xen_drbd_domus") && !text.contains("xen_drbd_daemon_wanted"), "{text}");
        let text = Seen { daemon: Some(Holder { said: String::new(), state: HolderState::Unknown }), ..seen() }.text();
        assert!(!text.contains("xen_drbd_daemon_up") && text.contains("xen_drbd_domus"), "{text}");
        well_formed(&text);
    }

    #[test]
    fn it_is_what_prometheus_reads() {
        well_formed(&seen().text());
        well_formed(&Seen { diary: Some(Diary::default()), daemon: None, record: None, took: None, now: Moment(0) }.text());
        for wrong in [
            "a 1\n",
            "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
            "# HELP a x\n# TYPE a gauge\na{b=c} 1\n",
            "# HELP a x\n# TYPE a gauge\na one\n",
            "# HELP a x\n# TYPE a gauge\na{b=\"c} 1\n",
            "# HELP a x\n# TYPE a gauge\na 1",
        ] {
            assert!(std::panic::catch_unwind(|| well_formed(wrong)).is_err(), "{wrong}");
        }
    }

    /// The rules of the format ("Exposition formats", text format), and those of `promtool check metrics` that a gauge may break.
    fn well_formed(text: &str) {
        assert!(text.ends_with('\n'), "the last line must end");
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        let mut family = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a help text");
                assert!(is_name(name, true) && !words.is_empty(), "{line}");
                assert!(families.insert(name.to_string()), "{name} is there twice");
                assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
                // promtool: a gauge is no counter, and units are base units.
                assert!(!name.ends_with("_total") && !name.ends_with("_count") && !name.contains("milli"), "{name}");
                family = name.to_string();
                continue;
            }
            let (what, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(what.to_string()), "{what} is there twice");
            let (name, labels) = what.split_once('{').map_or((what, None), |(n, l)| (n, Some(l)));
            assert_eq!(name, family, "it stands under another's name");
            if let Some(labels) = labels {
                read_labels(labels);
            }
        }
    }

    fn read_labels(text: &str) {
        let mut rest = text;
        loop {
            let (name, after) = rest.split_once("=\"").expect("a label");
            assert!(is_name(name, false), "{text}");
            let mut escape = false;
            let end = after.find(|c| {
                let closing = c == '"' && !escape;
                escape = c == '\\' && !escape;
                closing
            });
            rest = &after[end.expect("the end of a label") + 1..];
            match rest {
                "}" => return,
                _ => rest = rest.strip_prefix(',').expect("a comma"),
            }
        }
    }

    fn is_name(name: &str, colon: bool) -> bool {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
        name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
    }
}
