//! The language of the scenes: what a fleet is at the beginning (`start`), and what happens to it (`script`).
//!
//! A line a word or a deed, blanks between the words; a line that begins with `#` is told in the journal as it stands.
//!
//! `start`:
//!
//! ```text
//! pair 8.4 xl script               two Dom0s and the domU web; 8.3, 8.4 or 9; xl or xm; script or phy
//! article                          the three Dom0s and eight domUs of the article
//! host dom0-alpha 8.4 xl           a Dom0 more
//! resource web 1,2 dom0-alpha,dom0-beta                    minors, hosts
//! domu web 512 dom0-alpha,dom0-beta drbd:web,xvda,w …      memory in MiB, hosts, disks
//! introduce                        every Dom0 gets its dedicated key and trusts the others'
//! starts dom0-alpha web            it runs there
//! table dom0-alpha: web dom0-beta --live                   a row more in migrate-tab.txt
//! auto dom0-alpha web              its config stands in /etc/xen/drbd-auto as well
//! file dom0-alpha /etc/xen/x: name = "x"\nmemory = 1        a file
//! for-good web                     drbd.conf allows two Primaries, everywhere
//! quorum web                       drbd.conf asks for a majority (DRBD 9), everywhere
//! guarded web                      drbd.conf says fencing resource-only, everywhere
//! resync web 10m                   takes so long
//! split-brain web dom0-beta discard-zero-changes consensus -   after-sb-0pri, -1pri and -2pri in drbd.conf there; `-`: not said
//! unadjusted dom0-alpha web dom0-gamma                     drbd.conf has that host, and the kernel of dom0-alpha does not know it
//! clock dom0-beta 42                                       its clock is so many seconds ahead
//! root-ssh dom0-beta               root of any Dom0 may log in there
//! no-key dom0-alpha                it has no dedicated key
//! memory dom0-beta 2560            MiB in all; 2048 of them are Dom0's
//! version dom0-beta 4.14           of Xen
//! ```
//!
//! `script`:
//!
//! ```text
//! dom0-alpha$ xen-migrate migrate web                      somebody types that
//! dom0-alpha for 30s$ xen-migrate migrate web              and presses ^C after half a minute
//! pass 90s
//! look                                                     what is where, into the journal
//! table dom0-beta: web dom0-alpha                          somebody adds a row to migrate-tab.txt; `file`, `clock`, `split-brain` and `unadjusted` likewise
//! hide dom0-alpha /etc/xen/web.cfg                         a file is moved away; `unhide` brings it back
//! at stage web Ready: DEED                                 when the migration gets there
//! before dom0-beta drbdadm secondary: DEED                 before the next such event there; `after` likewise
//! before dom0-beta #2 drbdadm secondary: DEED              before the second one
//! in 5s: DEED
//! DEED                                                     now
//! ```
//!
//! A DEED is one of: `HOST$ COMMAND` · `kill caller` · `kill tools HOST` · `terminate HOST` · `kill sender DOMU` · `kill receiver DOMU` ·
//! `end transport DOMU` · `power off HOST` · `boot HOST` · `write HOST PATH: TEXT` · `cut HOST HOST [60s]` · `cut drbd HOST HOST [60s]` ·
//! `cut ssh HOST HOST [60s]` · `mend HOST HOST` · `guest DOMU ends -|r|c` · `arm QUIRK` · `disarm QUIRK`.
//!
//! A QUIRK is one of: `no-suspend DOMU` · `no-unpause DOMU` · `no-resume DOMU` · `no-remove HOST RESOURCE` ·
//! `held-open HOST RESOURCE TIME` · `zombie DOMU` · `no-events HOST` · `hangs HOST TIMES COMMAND` · `fails HOST TIMES COMMAND: MESSAGE` (exit 1) ·
//! `answers HOST TIMES COMMAND: TEXT` (exit 0).
//!
//! What must hold, whatever the journal says (`BLESS=1` cannot change these):
//!
//! ```text
//! expect exit 0                    of the last command
//! expect killed
//! expect says WORDS                the last command, on either output
//! expect silent WORDS              the last command does not say that
//! expect runs web on dom0-beta     there and nowhere else
//! expect runs web nowhere
//! expect role dom0-beta web Primary
//! expect in order web dom0-beta    it runs there, the roles fit, the options are those of the file, no copy and no flight is left
//! expect shut web                  this resource has the options of the operator's file on every host
//! expect finding SplitBrain        that it is found; otherwise no scene may have one
//! ```

use super::troubled::Trouble;
use std::collections::BTreeSet;
use xen_drbd::core::drbd::{Fencing, Generation};
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::model::Conf;
use xen_drbd::lab::{Deed, DiskForm, Lab, Millis, Phase, Quirk, Ran, Stage, Version, When};

/// What a scene came to.
pub struct Played {
    /// What is compared with `journal.expect`.
    pub journal: String,
    /// The expectations that did not hold, each with its line.
    pub broken: Vec<String>,
    /// Everything that happened, for the message of a failing scene.
    pub story: String,
}

/// Plays a scene. An error is a mistake in the scene itself.
pub fn play(start: &str, script: &str) -> Result<Played, String> {
    let lab = begin(start)?;
    let trouble = Trouble::on(&lab);
    let mut stage =
        Theatre { lab, trouble, journal: String::new(), broken: Vec::new(), last: None, told: 0, expected: BTreeSet::new() };
    for (n, line) in script.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() {
            stage.line(line).map_err(|why| format!("script:{}: {why}: {line}", n + 1))?;
        }
    }
    stage.journal += "\nAt the end:\n";
    stage.look();
    stage.judge();
    Ok(Played { journal: stage.journal, broken: stage.broken, story: stage.lab.journal() })
}

struct Theatre {
    lab: Lab,
    trouble: Trouble,
    journal: String,
    broken: Vec<String>,
    last: Option<Ran>,
    /// How many of the commands that deeds ran are in the journal.
    told: usize,
    expected: BTreeSet<String>,
}

impl Theatre {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(wish) = line.strip_prefix("expect ") {
            return self.expect(wish);
        }
        self.journal += &format!("{}{line}\n", if self.journal.is_empty() || line.starts_with('#') { "" } else { "\n" });
        if line.starts_with('#') {
            return Ok(());
        }
        if let Some((host, time, argv)) = command(line)? {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            self.trouble.begin();
            let ran = match time {
                Some(time) => self.lab.run_for(&host, &argv, time),
                None => self.lab.run(&host, &argv),
            };
            self.tell_meanwhile();
            self.tell(&ran);
            self.last = Some(ran);
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if line == "look" {
            self.look();
        } else if words.first().is_some_and(|w| ["table", "file", "clock", "split-brain", "unadjusted"].contains(w)) {
            start_line(&self.lab, &words, line)?;
        } else if let ["hide" | "unhide", host, path] = words.as_slice() {
            let hidden = format!("{path}.hidden");
            let (from, to) = if words[0] == "hide" { (*path, hidden.as_str()) } else { (hidden.as_str(), *path) };
            let text = self.lab.file(host, from).ok_or("no such file")?;
            self.lab.put(host, to, &text);
            self.lab.with(|f| f.host_mut(host).files.remove(from));
        } else if let Some(time) = line.strip_prefix("pass ") {
            self.lab.pass(millis(time)?);
        } else if let Some((moment, what)) = moment(line)? {
            match moment {
                Moment::In(time) => self.lab.inject_in(time, what),
                Moment::When(when) => self.lab.inject(when, what),
            }
        } else {
            self.lab.perform(&deed(line)?, None);
        }
        self.tell_meanwhile();
        Ok(())
    }

    /// The commands that deeds ran since the last time.
    fn tell_meanwhile(&mut self) {
        let ran = self.lab.ran();
        for ran in ran.iter().skip(self.told) {
            self.journal += &format!("  [meanwhile {}$ {}]\n", ran.host, ran.command);
            self.tell(ran);
        }
        self.told = ran.len();
    }

    fn tell(&mut self, ran: &Ran) {
        for line in ran.err.lines() {
            self.journal += format!("  ~ {}", timeless(line)).trim_end();
            self.journal += "\n";
        }
        for line in ran.out.lines() {
            self.journal += format!("  | {}", timeless(line)).trim_end();
            self.journal += "\n";
        }
        self.journal += &if ran.killed { "  killed\n".to_string() } else { format!("  exit {}\n", ran.code) };
    }

    /// What is where.
    fn look(&mut self) {
        let fleet = self.lab.fleet();
        let mut text = String::new();
        let guests: BTreeSet<String> = fleet.acknowledged.keys().cloned().collect();
        for guest in guests {
            let on = self.lab.runs_on(&guest);
            let place = if on.is_empty() { "runs nowhere".to_string() } else { format!("runs on {}", on.join(" AND ")) };
            text += &format!("  {guest} {place}\n");
        }
        for host in fleet.hosts.values() {
            if !host.powered {
                text += &format!("  {}: off\n", host.name);
                continue;
            }
            let domains: Vec<String> = self.lab.domains(&host.name).iter().map(|(n, s)| format!("{n} {s}")).collect();
            text += &format!("  {}: {}\n", host.name, if domains.is_empty() { "no domU".into() } else { domains.join(", ") });
            for resource in fleet.resources_of(&host.name) {
                let (two, fencing) = self.lab.options(&host.name, &resource);
                let two = if two { "two Primaries allowed" } else { "one Primary" };
                let role = self.lab.role(&host.name, &resource);
                let connection = self.lab.connection(&host.name, &resource);
                text += &format!("    {resource}: {role} {connection}, {two}, fencing {fencing}\n");
            }
            for row in self.lab.file(&host.name, RECORD).unwrap_or_default().lines().filter(|l| !l.starts_with('#')) {
                let words: Vec<&str> = row.split_whitespace().collect();
                text += &format!("    record: {}\n", timeless(&words.join(" ")));
            }
            let locks = self.lab.locks(&host.name);
            if !locks.is_empty() {
                text += &format!("    locked: {}\n", locks.join(", "));
            }
        }
        for found in &fleet.findings {
            // How far the guest had counted is a matter of time, too.
            let words = found.text.split(' ').map(|w| if w.bytes().all(|b| b.is_ascii_digit() || b == b';') { "N" } else { w });
            text += &format!("  FOUND {:?}: {}\n", found.kind, words.collect::<Vec<_>>().join(" "));
        }
        if self.lab.planned() > 0 {
            text += &format!("  {} planned deeds never had their moment\n", self.lab.planned());
        }
        self.journal += &text;
    }

    fn expect(&mut self, wish: &str) -> Result<(), String> {
        let words: Vec<&str> = wish.split_whitespace().collect();
        let last = || self.last.as_ref().ok_or_else(|| "there was no command yet".to_string());
        let wrong = match words.as_slice() {
            ["exit", code] => {
                let ran = last()?;
                (ran.killed || ran.code.to_string() != *code).then(|| format!("{} ended with {}", ran.command, ran.code))
            }
            ["killed"] => (!last()?.killed).then(|| "it was not killed".to_string()),
            ["says", ..] | ["silent", ..] => {
                let (kind, text) = wish.split_once(' ').unwrap_or((wish, ""));
                let ran = last()?;
                let said = ran.out.contains(text.trim()) || ran.err.contains(text.trim());
                (said != (kind == "says")).then(|| format!("{} says: {}{}", ran.command, ran.err, ran.out))
            }
            ["runs", guest, "nowhere"] => {
                let on = self.lab.runs_on(guest);
                (!on.is_empty()).then(|| format!("it runs on {}", on.join(" and ")))
            }
            ["runs", guest, "on", host] => {
                let on = self.lab.runs_on(guest);
                (on != [*host]).then(|| format!("it runs on {on:?}"))
            }
            ["role", host, resource, role] => {
                let is = self.lab.role(host, resource).to_string();
                (is != *role).then(|| format!("it is {is}"))
            }
            ["in", "order", guest, host] => self.disorder(guest, host),
            ["shut", resource] => self.open(resource),
            ["finding", kind] => {
                self.expected.insert((*kind).to_string());
                let found = self.lab.findings().iter().any(|f| format!("{:?}", f.kind) == *kind);
                (!found).then(|| "it was not found".to_string())
            }
            _ => return Err("not an expectation".to_string()),
        };
        if let Some(wrong) = wrong {
            self.broken.push(format!("expect {wish}: {wrong}"));
        }
        Ok(())
    }

    /// Where the options of a resource are not those of the file.
    fn open(&self, resource: &str) -> Option<String> {
        let fleet = self.lab.fleet();
        let found = fleet.resource(resource)?.on.iter().find(|(_, r)| r.up && r.options != r.configured);
        found.map(|(host, r)| format!("on {host}: {:?}, and the file says {:?}", r.options, r.configured))
    }

    /// What is not in order when a domU is to run on this host and all is over.
    fn disorder(&self, guest: &str, host: &str) -> Option<String> {
        let fleet = self.lab.fleet();
        let on = self.lab.runs_on(guest);
        if on != [host] {
            return Some(format!("it runs on {on:?}"));
        }
        if self.lab.disk_states(host, guest).iter().any(|s| *s != 4) {
            return Some("a disk of it is dead".to_string());
        }
        for other in fleet.hosts.values().filter(|h| h.powered) {
            let copies: Vec<&str> = other.domains.iter().filter(|d| d.guest == guest).map(|d| d.name.as_str()).collect();
            let wanted: &[&str] = if other.name == host { &[guest] } else { &[] };
            if copies != wanted {
                return Some(format!("copies on {}: {copies:?}", other.name));
            }
            for resource in fleet.resources_of(&other.name).into_iter().filter(|r| fleet.guest_uses(guest, r)) {
                let role = self.lab.role(&other.name, &resource).to_string();
                if (role == "Primary") != (other.name == host) {
                    return Some(format!("{resource} is {role} on {}", other.name));
                }
                let Some(replica) = fleet.resource(&resource).and_then(|r| r.on.get(&other.name)) else { continue };
                if replica.options != replica.configured {
                    return Some(format!(
                        "the options of {resource} on {} are not the file's: {:?}",
                        other.name, replica.options
                    ));
                }
                if self.lab.connection(&other.name, &resource) != "Connected" {
                    return Some(format!("{resource} is not connected on {}", other.name));
                }
            }
            let record = self.lab.file(&other.name, RECORD).unwrap_or_default();
            let flight = |row: &&str| {
                row.split_whitespace().next() == Some(guest)
                    && ["leaving", "arriving", "returning", "open="].iter().any(|w| row.contains(w))
            };
            if let Some(row) = record.lines().find(flight) {
                return Some(format!("the record of {}: {row}", other.name));
            }
            if let Some(lock) = self.lab.locks(&other.name).into_iter().find(|l| l.ends_with(&format!("-{guest}"))) {
                return Some(format!("{} still holds the lock {lock}", other.name));
            }
        }
        None
    }

    /// No scene may break a promise, unless it says that nobody could have kept it.
    fn judge(&mut self) {
        for found in self.lab.findings() {
            if !self.expected.contains(&format!("{:?}", found.kind)) {
                self.broken.push(format!("{:?}: {}", found.kind, found.text));
            }
        }
        if self.lab.planned() > 0 {
            self.broken.push(format!("{} planned deeds never had their moment", self.lab.planned()));
        }
    }
}

const RECORD: &str = "/etc/xen/migrate-status.txt";
const TABLE: &str = "/etc/xen/migrate-tab.txt";

/// A line without what changes whenever a command asks one question more or less: moments, and how fast it goes.
fn timeless(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        // `2026-01-01T00:01:12Z`, perhaps with a stop or a bracket around it.
        let moment = word.find("2026-").filter(|at| word[*at..].len() >= 20 && word.as_bytes()[at + 10] == b'T');
        words.push(match moment {
            Some(at) => format!("{}MOMENT{}", &word[..at], &word[at + 20..]),
            // The same in seconds, as a figure of `status --metrics`.
            None if word.len() == 10 && word.starts_with("17672") && word.parse::<u64>().is_ok() => "MOMENT".to_string(),
            None => word.to_string(),
        });
    }
    let mut line = words.join(" ");
    if line.starts_with("Domain-0 ") {
        // Its processor time.
        line.truncate(line.trim_end().rfind(' ').unwrap_or_default());
    }
    match line.split_once(" MiB, ") {
        Some((progress, speed)) if speed.contains(" MiB/s, about ") => format!("{progress} MiB"),
        _ => line,
    }
}

/// The fleet as `start` describes it.
fn begin(start: &str) -> Result<Lab, String> {
    let mut lab = Lab::new(1);
    for (n, line) in start.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["pair", g, t, f] => lab = Lab::pair(generation(g)?, toolstack(t)?, form(f)?),
            ["article"] => lab = Lab::article(),
            _ => start_line(&lab, &words, line).map_err(|why| format!("start:{}: {why}: {line}", n + 1))?,
        }
    }
    Ok(lab)
}

fn start_line(lab: &Lab, words: &[&str], line: &str) -> Result<(), String> {
    match words {
        ["host", name, g, t] => {
            lab.host(name, generation(g)?, toolstack(t)?);
            lab.put(name, TABLE, "# <domu_name>  <host_name>  <options>\n");
        }
        ["resource", name, minors, hosts] => {
            let minors = minors.split(',').map(|m| m.parse::<u32>().map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()?;
            lab.resource_of(name, &minors, &hosts.split(',').collect::<Vec<_>>(), Conf::default());
        }
        ["domu", name, memory, hosts, disks @ ..] => {
            let memory = memory.parse::<u64>().map_err(|e| e.to_string())?;
            lab.domu(name, memory, disks, &hosts.split(',').collect::<Vec<_>>());
        }
        ["introduce"] => lab.introduce(),
        ["starts", host, name] => lab.start(host, name),
        ["table", host, ..] => {
            let host = host.trim_end_matches(':');
            let row = line.split_once(": ").ok_or("a row is expected after `HOST: `")?.1;
            let before = lab.file(host, TABLE).unwrap_or_default();
            lab.put(host, TABLE, &format!("{before}{row}\n"));
        }
        ["auto", host, name] => {
            let text = lab.file(host, &format!("/etc/xen/{name}.cfg")).ok_or("that domU has no config there")?;
            lab.put(host, &format!("/etc/xen/drbd-auto/{name}.cfg"), &text);
        }
        ["file", host, path] => lab.put(host, path.trim_end_matches(':'), ""),
        ["file", host, path, ..] => {
            let text = line.split_once(": ").ok_or("a text is expected after `PATH: `")?.1;
            lab.put(host, path.trim_end_matches(':'), &text.replace("\\n", "\n"));
        }
        ["for-good", resource] => lab.configure(resource, |c| c.two_primaries = true),
        ["quorum", resource] => lab.configure(resource, |c| c.quorum = true),
        ["resync", resource, time] => {
            let takes = millis(time)?;
            lab.with(|f| f.resource_mut(resource).map(|r| r.sync_takes = takes)).ok_or("no such resource")?;
        }
        ["guarded", resource] => lab.configure(resource, |c| c.fencing = Fencing::ResourceOnly),
        ["split-brain", resource, host, policies @ ..] => lab.with(|f| {
            let replica = f.resource_mut(resource).and_then(|r| r.on.get_mut(*host)).ok_or("no such resource there")?;
            for (place, policy) in replica.configured.after_sb.iter_mut().zip(policies) {
                *place = (*policy != "-").then(|| policy.to_string());
            }
            replica.options.after_sb = replica.configured.after_sb.clone();
            Ok::<(), &str>(())
        })?,
        ["unadjusted", host, resource, peer] => lab.with(|f| {
            f.disconnect(host, resource, peer);
            let replica = f.resource_mut(resource).and_then(|r| r.on.get_mut(*host)).ok_or("no such resource there")?;
            replica.peers.remove(*peer).map(|_| ()).ok_or("no such peer")
        })?,
        ["clock", host, ahead] => {
            let ahead = ahead.parse().map_err(|_| "seconds are expected")?;
            lab.with(|f| f.host_mut(host).clock_ahead = ahead);
        }
        ["root-ssh", host] => lab.with(|f| f.host_mut(host).root_ssh = true),
        ["no-key", host] => lab.with(|f| {
            let files = &mut f.host_mut(host).files;
            files.remove(&format!("/root/.ssh/xen-migrate-{host}"));
            files.remove(&format!("/root/.ssh/xen-migrate-{host}.pub"));
        }),
        ["memory", host, mib] => {
            let mib = mib.parse::<u64>().map_err(|e| e.to_string())?;
            lab.with(|f| f.host_mut(host).memory = mib);
        }
        ["version", host, version] => {
            let (major, minor) = version.split_once('.').ok_or("4.17 is expected")?;
            let version = Version::new(major.parse().map_err(|_| "a number")?, minor.parse().map_err(|_| "a number")?);
            lab.with(|f| f.host_mut(host).xl = Some(version));
        }
        _ => return Err("not a line of a start".to_string()),
    }
    Ok(())
}

fn generation(word: &str) -> Result<Generation, String> {
    match word {
        "8.3" => Ok(Generation::V83),
        "8.4" => Ok(Generation::V84),
        "9" => Ok(Generation::V9),
        _ => Err(format!("{word}: 8.3, 8.4 or 9 is expected")),
    }
}

fn toolstack(word: &str) -> Result<Toolstack, String> {
    match word {
        "xl" => Ok(Toolstack::Xl),
        "xm" => Ok(Toolstack::Xm),
        _ => Err(format!("{word}: xl or xm is expected")),
    }
}

fn form(word: &str) -> Result<DiskForm, String> {
    match word {
        "script" => Ok(DiskForm::Script),
        "phy" => Ok(DiskForm::Phy),
        _ => Err(format!("{word}: script or phy is expected")),
    }
}

/// `HOST$ COMMAND` or `HOST for TIME$ COMMAND`: where, for how long, and the words.
type Command = (String, Option<Millis>, Vec<String>);

fn command(line: &str) -> Result<Option<Command>, String> {
    let Some((place, text)) = line.split_once("$ ") else { return Ok(None) };
    let words: Vec<&str> = place.split_whitespace().collect();
    let (host, time) = match words.as_slice() {
        [host] => (host, None),
        [host, "for", time] => (host, Some(millis(time)?)),
        // A deed with a command in it.
        _ => return Ok(None),
    };
    Ok(Some(((*host).to_string(), time, argv(text)?)))
}

/// Words with blanks between them; what stands in single quotes is one.
fn argv(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for (n, part) in text.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_string());
        } else {
            words.extend(part.split_whitespace().map(str::to_string));
        }
    }
    if text.matches('\'').count() % 2 == 1 || words.is_empty() {
        return Err("a command is expected".to_string());
    }
    Ok(words)
}

enum Moment {
    In(Millis),
    When(When),
}

/// `MOMENT: DEED`.
fn moment(line: &str) -> Result<Option<(Moment, Deed)>, String> {
    let Some((when, what)) = line.split_once(": ") else { return Ok(None) };
    let words: Vec<&str> = when.split_whitespace().collect();
    let moment = match words.as_slice() {
        ["in", time] => Moment::In(millis(time)?),
        ["at", "stage", guest, stage] => Moment::When(When::Stage((*guest).to_string(), stage_of(stage)?)),
        [side @ ("before" | "after"), host, rest @ ..] if !rest.is_empty() => {
            let phase = if *side == "before" { Phase::Before } else { Phase::After };
            let nth = rest[0].strip_prefix('#').map(|n| n.parse::<u32>().map_err(|e| e.to_string())).transpose()?;
            let words = rest[usize::from(nth.is_some())..].join(" ");
            Moment::When(When::Call { host: (*host).to_string(), words, nth: nth.unwrap_or(1), phase })
        }
        _ => return Ok(None),
    };
    Ok(Some((moment, deed(what)?)))
}

/// A stage by its name in the lab; `Memory50` for half the memory.
pub fn stage_of(word: &str) -> Result<Stage, String> {
    Ok(match word {
        "Connect" => Stage::Connect,
        "Banner" => Stage::Banner,
        "Incoming" => Stage::Incoming,
        "Suspended" => Stage::Suspended,
        "Received" => Stage::Received,
        "Ready" => Stage::Ready,
        "Renamed" => Stage::Renamed,
        "Go" => Stage::Go,
        "TargetRenamed" => Stage::TargetRenamed,
        "Unpaused" => Stage::Unpaused,
        "Reported" => Stage::Reported,
        "Destroyed" => Stage::Destroyed,
        _ => match word.strip_prefix("Memory").and_then(|p| p.parse::<u8>().ok()) {
            Some(percent) => Stage::Memory(percent),
            None => return Err(format!("{word} is no stage")),
        },
    })
}

fn deed(text: &str) -> Result<Deed, String> {
    if let Some((host, None, argv)) = command(text)? {
        return Ok(Deed::Run(host, argv));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let s = |word: &str| word.to_string();
    let cut = |a: &str, b: &str, time: &[&str]| -> Result<(String, String, Option<Millis>), String> {
        Ok((s(a), s(b), time.first().map(|t| millis(t)).transpose()?))
    };
    Ok(match words.as_slice() {
        ["kill", "caller"] => Deed::KillCaller,
        ["kill", "tools", host] => Deed::KillTools(s(host)),
        ["terminate", host] => Deed::Terminate(s(host)),
        ["kill", "sender", guest] => Deed::KillSender(s(guest)),
        ["kill", "receiver", guest] => Deed::KillReceiver(s(guest)),
        ["end", "transport", guest] => Deed::EndTransport(s(guest)),
        ["power", "off", host] => Deed::PowerOff(s(host)),
        ["boot", host] => Deed::Boot(s(host)),
        ["write", host, path, ..] => {
            let written = text.split_once(": ").ok_or("a text is expected after `PATH: `")?.1;
            Deed::Write(s(host), s(path.trim_end_matches(':')), written.replace("\\n", "\n"))
        }
        ["cut", "drbd", a, b, time @ ..] => cut(a, b, time).map(|(a, b, t)| Deed::CutDrbd(a, b, t))?,
        ["cut", "ssh", a, b, time @ ..] => cut(a, b, time).map(|(a, b, t)| Deed::CutSsh(a, b, t))?,
        ["cut", a, b, time @ ..] => cut(a, b, time).map(|(a, b, t)| Deed::Cut(a, b, t))?,
        ["mend", a, b] => Deed::Mend(s(a), s(b)),
        ["guest", guest, "reboots"] => Deed::GuestReboots(s(guest)),
        ["guest", guest, "ends", letter] => Deed::GuestEnds(s(guest), letter.chars().next().unwrap_or('-')),
        ["arm", ..] => Deed::Arm(quirk(text.trim_start_matches("arm "))?),
        ["disarm", ..] => Deed::Disarm(quirk(text.trim_start_matches("disarm "))?),
        _ => return Err("not a line of a script".to_string()),
    })
}

fn quirk(text: &str) -> Result<Quirk, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let s = |word: &str| word.to_string();
    let times = |word: &str| if word == "ever" { Ok(u32::MAX) } else { word.parse::<u32>().map_err(|e| e.to_string()) };
    Ok(match words.as_slice() {
        ["no-suspend", guest] => Quirk::NoSuspend(s(guest)),
        ["no-unpause", guest] => Quirk::NoUnpause(s(guest)),
        ["no-resume", guest] => Quirk::NoResume(s(guest)),
        ["no-remove", host, resource] => Quirk::NoRemove(s(host), s(resource)),
        ["held-open", host, resource, "ever"] => Quirk::HeldOpen(s(host), s(resource), 86_400_000),
        ["held-open", host, resource, time] => Quirk::HeldOpen(s(host), s(resource), millis(time)?),
        ["zombie", guest] => Quirk::Zombie(s(guest)),
        ["no-events", host] => Quirk::NoEvents(s(host)),
        ["hangs", host, count, rest @ ..] => Quirk::Hangs { host: s(host), begins: rest.join(" "), times: times(count)? },
        [kind @ ("fails" | "answers"), host, count, ..] => {
            let (head, message) = text.split_once(": ").ok_or("a message is expected after `COMMAND: `")?;
            let (text, answers) = (format!("{}\n", message.replace("\\n", "\n")), *kind == "answers");
            let begins = head.split_whitespace().skip(3).collect::<Vec<_>>().join(" ");
            Quirk::Instead {
                host: s(host),
                begins,
                times: times(count)?,
                code: if answers { 0 } else { 1 },
                out: if answers { text.clone() } else { String::new() },
                err: if answers { String::new() } else { text },
            }
        }
        _ => return Err("no such quirk".to_string()),
    })
}

/// `90s`, `500ms`, `5m`.
fn millis(word: &str) -> Result<Millis, String> {
    let word = word.trim();
    let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
    let number = number.parse::<Millis>().map_err(|_| format!("{word} is no time: 500ms, 90s or 5m is expected"))?;
    match unit {
        "ms" => Ok(number),
        "s" => Ok(number * 1000),
        "m" => Ok(number * 60_000),
        _ => Err(format!("{word} is no time: 500ms, 90s or 5m is expected")),
    }
}
