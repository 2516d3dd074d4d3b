//! The protocol between the two ends of `xl migrate` (`xl_migrate.c`; the table of facts 2.7).
//!
//! Both ends are played here, in the order in which they really act. After each stage the weather is looked at:
//! who is still there, and whether they hear each other.

use super::{Relaying, Watching, xl_create};
use crate::adapters::{Flow, Halt};
use crate::lab::model::xen::{Migration, NotMade, TargetEnd as End, Verdict};
use crate::lab::model::{Life, Pid, Quirk};
use crate::lab::{Lab, Stage};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Plays both ends of a migration whose receiver has joined it, and says how the receiver ends.
pub(crate) fn play(lab: &Lab, id: usize, sender_watch: Option<&dyn Watching>, relay: Option<&dyn Relaying>) -> End {
    let end = match Both::of(lab, id, sender_watch, relay) {
        Some(both) => match both.play() {
            End::Exit(_) if both.state().target_gone => End::Killed,
            end => end,
        },
        None => End::Exit(1),
    };
    lab.with(|f| f.migrations[id].target_end = Some(end));
    end
}

/// What the receiver does when its sender was killed and nobody plays both ends any more.
pub(crate) fn go_on_alone(lab: &Lab, id: usize) -> End {
    let Some(both) = Both::of(lab, id, None, None) else { return End::Exit(1) };
    both.change(|m| m.sender_gone = true);
    let end = match both.state().stage {
        Stage::Ready | Stage::Renamed => both.before_go(Break::SenderKilled),
        stage if stage < Stage::Ready => both.before_ready(Break::SenderKilled, ""),
        _ => {
            both.finish_alone();
            End::Exit(0)
        }
    };
    lab.with(|f| {
        let clock = f.clock;
        f.migrations[id].target_end = Some(end);
        f.migrations[id].ended = Some(clock);
    });
    end
}

/// What the sender's xl was reading when the target was not ready yet.
const READING_READY: &str = "reading ready message from migration receiver stream";

/// What stands in the way of going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// The sender's xl was killed; its host is on.
    SenderKilled,
    /// The sender's host is off.
    SenderOff,
    /// The target's xl was killed.
    TargetKilled,
    /// The target's host is off.
    TargetOff,
    /// The transport was ended: both ends read an end of file.
    Ended,
    /// The link was silent until the transport gave up; the target still waits.
    Silent,
}

/// Both ends of one migration.
struct Both<'a> {
    lab: &'a Lab,
    id: usize,
    from: String,
    to: String,
    guest: String,
    /// The process at the sender that watches.
    watcher: Pid,
    sender_watch: Option<&'a dyn Watching>,
    relay: Option<&'a dyn Relaying>,
}

impl<'a> Both<'a> {
    fn of(lab: &'a Lab, id: usize, sender_watch: Option<&'a dyn Watching>, relay: Option<&'a dyn Relaying>) -> Option<Both<'a>> {
        let m = lab.with(|f| f.migrations[id].clone());
        Some(Both { lab, id, from: m.from, to: m.to?, guest: m.guest, watcher: m.watcher, sender_watch, relay })
    }

    fn state(&self) -> Migration {
        self.lab.with(|f| f.migrations[self.id].clone())
    }

    fn change(&self, change: impl FnOnce(&mut Migration)) {
        self.lab.with(|f| change(&mut f.migrations[self.id]));
    }

    fn verdict(&self, verdict: Verdict) {
        self.change(|m| m.verdict = Some(verdict));
    }

    /// A line of the sender's xl.
    fn sender_says(&self, line: &str) {
        self.lab.add_line(self.id, line);
        if let Some(watch) = self.sender_watch {
            watch.line(line);
        }
    }

    /// A line of the target's xl, which comes through ssh.
    fn target_says(&self, line: &str) {
        if self.lab.with(|f| f.ssh_path(&self.from, &self.to)) && !self.state().transport_ended {
            self.sender_says(line);
        }
    }

    /// Enters a stage, and says what stands in the way afterwards. Where one end waits for the other, so does this.
    fn stage(&self, stage: Stage) -> Result<(), Break> {
        self.enter(stage);
        self.weather()
    }

    /// Enters a stage: what is planned for it happens.
    fn enter(&self, stage: Stage) {
        self.change(|m| m.stage = stage);
        self.lab.stage(&self.from, self.watcher, &self.guest, stage);
        if let Some(watch) = self.sender_watch {
            watch.tick();
            if watch.is_stopped() {
                self.change(|m| m.transport_ended = true);
            }
        }
        let watcher_lives = self.lab.with(|f| f.is_alive(&self.from, self.watcher));
        if !watcher_lives && !self.lab.has_log(self.id) {
            self.change(|m| m.sender_gone = true);
        }
    }

    fn weather(&self) -> Result<(), Break> {
        let m = self.state();
        if m.target_off {
            return Err(self.wait_in_vain(Break::TargetOff));
        }
        if m.sender_off {
            return Err(Break::SenderOff);
        }
        if m.sender_gone {
            return Err(Break::SenderKilled);
        }
        if m.target_gone {
            return Err(Break::TargetKilled);
        }
        if m.transport_ended {
            return Err(Break::Ended);
        }
        if !self.lab.with(|f| f.ssh_path(&self.from, &self.to)) {
            return match self.wait_in_vain(Break::Silent) {
                // Mended in time: TCP has kept everything.
                Break::Silent if self.lab.with(|f| f.ssh_path(&self.from, &self.to)) => Ok(()),
                other => Err(other),
            };
        }
        Ok(())
    }

    /// The other end is silent: the sender's transport waits as long as it was told to, or until somebody ends it.
    fn wait_in_vain(&self, what: Break) -> Break {
        let patience = self.state().patience.unwrap_or(super::ssh::TCP_PATIENCE);
        let until = self.lab.clock() + patience;
        while self.lab.clock() < until {
            let m = self.state();
            if m.sender_off {
                return Break::SenderOff;
            }
            if m.sender_gone {
                return if what == Break::TargetOff { Break::TargetOff } else { Break::SenderOff };
            }
            if what == Break::Silent && (m.target_off || self.lab.with(|f| f.ssh_path(&self.from, &self.to))) {
                return if m.target_off { Break::TargetOff } else { Break::Silent };
            }
            if what == Break::TargetOff && self.lab.with(|f| f.host(&self.to).powered) {
                return what;
            }
            if let Some(watch) = self.sender_watch {
                watch.tick();
                if watch.is_stopped() {
                    return what;
                }
            }
            self.lab.pass(1000);
        }
        what
    }

    /// The stream waits at the receiving host, where migrate2 may do something, end it, or die over it. Then xl there reads an end of
    /// file where something was to come, and destroys its copy; its report reaches nobody.
    fn halt(&self, halt: Halt) -> Result<(), End> {
        let Some(relay) = self.relay else { return Ok(()) };
        let answer = catch_unwind(AssertUnwindSafe(|| relay.halt(halt)));
        if self.state().target_off {
            return Err(self.before_ready(self.wait_in_vain(Break::TargetOff), READING_READY));
        }
        if matches!(answer, Ok(Flow::On)) {
            return self.weather().map_err(|b| self.before_ready(b, READING_READY));
        }
        self.lab.with(|f| f.log(format!("{}: {} is not let in", self.to, self.guest)));
        let end = self.before_ready(Break::Ended, READING_READY);
        match answer {
            Ok(_) => Err(end),
            Err(died) => resume_unwind(died),
        }
    }

    /// Plays the whole protocol.
    fn play(&self) -> End {
        match self.transfer() {
            Ok(()) => {}
            Err(end) => return end,
        }
        match self.hand_over() {
            Ok(()) => {}
            Err(end) => return end,
        }
        self.start()
    }

    /// From the banner to the last disk at the target.
    fn transfer(&self) -> Result<(), End> {
        let early = |b| self.before_ready(b, READING_READY);
        self.target_says("migration target: Ready to receive domain.");
        self.sender_says("Saving to migration stream new xl format (info 0x3/0x0/1086)");
        self.stage(Stage::Banner).map_err(early)?;
        self.target_says("Loading new save file <incoming migration stream> (new xl fmt info 0x3/0x0/1086)");
        self.target_says(" Savefile contains xl domain config in JSON format");
        self.target_says("Parsing config from <saved>");
        let m = self.state();
        let Some(source) = self.lab.with(|f| f.host_mut(&self.from).domain_by_id(m.domid).cloned()) else {
            self.verdict(Verdict::NotSuspended);
            return Err(End::Exit(1));
        };
        let mut small = source.config.clone();
        let memory = small.memory;
        small.memory = 0;
        let made =
            self.lab.with(|f| f.make_domain(&self.to, &small, &format!("{}--incoming", m.name), Some(source.uuid.clone())));
        let copy = match made {
            Ok(id) => id,
            Err(NotMade::NameTaken | NotMade::NoMemory) => {
                let id = self.lab.with(|f| f.host(&self.to).next_domid - 1);
                self.target_says(&format!(
                    "libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain {id}:Domain with name \"{}--incoming\" already exists.",
                    m.name
                ));
                return Err(self.creation_failed(None, "migration sender: libxl_domain_suspend failed (rc=-3)\n"));
            }
        };
        self.lab.with(|f| {
            f.migrations[self.id].incoming = Some(copy);
            if let Some(domain) = f.host_mut(&self.to).domain_by_id(copy) {
                domain.config = source.config.clone();
            }
            f.log(format!("{}: {}--incoming ({copy}) made", self.to, m.name));
        });
        self.sender_says(&format!("xc: info: Saving domain {}, type x86 HVM", m.domid));
        self.target_says("xc: info: Found x86 HVM domain from Xen 4.17");
        self.target_says("xc: info: Restoring domain");
        self.stage(Stage::Incoming).map_err(early)?;
        self.copy_memory(copy, memory)?;
        self.suspend(m.domid)?;
        let beat = self.lab.with(|f| f.host_mut(&self.from).domain_by_id(m.domid).map_or(0, |d| d.beat));
        self.lab.with(|f| {
            if let Some(domain) = f.host_mut(&self.to).domain_by_id(copy) {
                domain.complete = true;
                domain.beat = beat;
            }
        });
        self.target_says("xc: info: Restore successful");
        self.target_says("xc: info: XenStore: mfn 0xfeffc, dom 0, evt 1");
        self.target_says("xc: info: Console: mfn 0xfefff, dom 0, evt 2");
        self.stage(Stage::Received).map_err(early)?;
        self.halt(Halt::Complete)?;
        self.lab.pass(500);
        if let Err(failed) = self.lab.with(|f| f.attach_disks(&self.to, copy)) {
            let text = xl_create::not_attached(&failed, copy, 2000 + copy * 7);
            text.lines().for_each(|l| self.target_says(l));
            return Err(self.creation_failed(Some(copy), "libxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated reading ready message from migration receiver stream\n"));
        }
        self.target_says("migration target: Transfer complete, requesting permission to start domain.");
        self.halt(Halt::Ready)
    }

    /// The memory goes over while the guest runs on, about 100 MiB a second.
    fn copy_memory(&self, copy: u32, memory: u64) -> Result<(), End> {
        for percent in [25, 50, 75, 100] {
            self.lab.pass((memory * 10 / 4).max(250));
            let has = memory * u64::from(percent) / 100;
            let enough = self.lab.with(|f| {
                let had = f.host_mut(&self.to).domain_by_id(copy).map_or(0, |d| d.memory);
                let enough = f.host(&self.to).free_memory() >= has.saturating_sub(had);
                if enough && let Some(domain) = f.host_mut(&self.to).domain_by_id(copy) {
                    domain.memory = has;
                }
                enough
            });
            if !enough {
                for line in [
                    "xc: error: Failed to populate physmap (16 = Device or resource busy): Internal error",
                    "xc: error: Failed to populate pfns for batch of 1024 pages: Internal error",
                    "xc: error: Restore failed (16 = Device or resource busy): Internal error",
                    "libxl: error: libxl_stream_read.c:850:libxl__xc_domain_restore_done: restoring domain: Device or resource busy",
                ] {
                    self.target_says(line);
                }
                self.target_says(&format!(
                    "libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain {copy}:cannot (re-)build domain: -3"
                ));
                return Err(self.creation_failed(Some(copy), "migration sender: libxl_domain_suspend failed (rc=-3)\n"));
            }
            if let Some(watch) = self.sender_watch {
                watch.sent(has * 1024 * 1024);
            }
            self.stage(Stage::Memory(percent))
                .map_err(|b| self.before_ready(b, "reading ipc msg header from domain save/restore helper stdout pipe"))?;
        }
        Ok(())
    }

    /// The guest suspends, or does not.
    fn suspend(&self, domid: u32) -> Result<(), End> {
        let willing = self.lab.with(|f| {
            let stubborn = f.has_quirk(&Quirk::NoSuspend(self.guest.clone()));
            match f.host_mut(&self.from).domain_by_id(domid) {
                Some(domain) if domain.life == Life::Running && !stubborn => {
                    domain.life = Life::Shutdown('s');
                    true
                }
                _ => false,
            }
        });
        if !willing {
            self.sender_says("libxl: error: libxl_stream_write.c:347:libxl__xc_domain_save_done: Domain did not respond to suspend request: Invalid argument");
            self.sender_says("migration sender: libxl_domain_suspend failed (rc=-8)");
            let copy = self.state().incoming;
            let end = self.creation_failed(copy, "");
            self.verdict(Verdict::NotSuspended);
            return Err(end);
        }
        self.lab.with(|f| f.log(format!("{}: {} suspended", self.from, self.guest)));
        self.stage(Stage::Suspended).map_err(|b| self.before_ready(b, READING_READY))
    }

    /// The target cannot build its copy: it destroys it and says so.
    fn creation_failed(&self, copy: Option<u32>, reading: &str) -> End {
        if let Some(copy) = copy {
            self.lab.with(|f| f.remove_domain(&self.to, copy));
            xl_create::gone(copy).lines().for_each(|l| self.target_says(l));
        }
        self.target_says("migration target: Domain creation failed (code -3).");
        self.verdict(Verdict::Resume(reading.to_string()));
        End::Exit(1)
    }

    /// Something broke before the target was ready.
    fn before_ready(&self, broken: Break, reading: &str) -> End {
        let words = format!("libxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated {reading}\n");
        let copy = self.state().incoming;
        match broken {
            Break::TargetOff | Break::TargetKilled => {
                self.verdict(Verdict::Resume(words));
                End::Exit(137)
            }
            Break::SenderOff => End::Hangs,
            Break::SenderKilled => {
                // The target reads an end of file in the middle of the stream.
                self.destroy(copy);
                End::Exit(1)
            }
            Break::Ended => {
                self.destroy(copy);
                self.verdict(Verdict::Resume(words));
                End::Exit(1)
            }
            Break::Silent => {
                self.verdict(Verdict::Resume(words));
                End::Hangs
            }
        }
    }

    fn destroy(&self, copy: Option<u32>) {
        if let Some(copy) = copy {
            self.lab.with(|f| f.remove_domain(&self.to, copy));
        }
    }

    /// From "ready" to GO.
    fn hand_over(&self) -> Result<(), End> {
        self.stage(Stage::Ready).map_err(|b| self.before_go(b))?;
        self.sender_says("migration sender: Target has acknowledged transfer.");
        let m = self.state();
        let renamed = self.lab.with(|f| f.rename_domain(&self.from, m.domid, &format!("{}--migratedaway", m.name)));
        if !renamed {
            self.verdict(Verdict::Resume(format!(
                "libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain {}:Domain with name \"{}--migratedaway\" already exists.\n",
                m.domid, m.name
            )));
            self.target_says("migration target: Failure, destroying our copy.");
            self.destroy(m.incoming);
            return Err(End::Exit(1));
        }
        self.change(|m| m.renamed = true);
        self.stage(Stage::Renamed).map_err(|b| self.before_go(b))?;
        self.sender_says("migration sender: Giving target permission to start.");
        Ok(())
    }

    /// Something broke after "ready" and before GO.
    fn before_go(&self, broken: Break) -> End {
        let words = "libxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated reading ready message from migration receiver stream\n";
        if !matches!(broken, Break::SenderOff | Break::SenderKilled) {
            self.verdict(Verdict::Resume(words.to_string()));
        }
        match broken {
            Break::TargetOff | Break::TargetKilled => End::Exit(137),
            Break::SenderOff | Break::Silent => End::Hangs,
            Break::SenderKilled => {
                // The target reads an end of file instead of GO, and its report still finds sshd. Having tidied up it exits 0.
                self.destroy(self.state().incoming);
                End::Exit(0)
            }
            // With sshd gone the report cannot be written, and the target exits without destroying. migrate2 reads it to its end.
            Break::Ended if self.state().relayed => {
                self.destroy(self.state().incoming);
                End::Exit(0)
            }
            Break::Ended => End::Exit(1),
        }
    }

    /// From GO to the report: the target acts alone.
    fn start(&self) -> End {
        match self.stage(Stage::Go) {
            Ok(()) | Err(Break::SenderOff | Break::SenderKilled) => {}
            Err(broken) => {
                self.verdict(Verdict::Undefined);
                if broken == Break::Ended && self.state().relayed {
                    self.destroy(self.state().incoming);
                }
                return match broken {
                    Break::Silent => End::Hangs,
                    Break::Ended if self.state().relayed => End::Exit(0),
                    Break::Ended => End::Exit(1),
                    _ => End::Exit(137),
                };
            }
        }
        if let Some(end) = self.permission() {
            return end;
        }
        self.target_says("migration target: Got permission, starting domain.");
        let m = self.state();
        let Some(copy) = m.incoming else {
            return End::Exit(1);
        };
        if !self.lab.with(|f| f.rename_domain(&self.to, copy, &m.name)) {
            self.target_says(&format!(
                "libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain {copy}:Domain with name \"{}\" already exists.",
                m.name
            ));
            return self.report_failure(copy, 6);
        }
        if let Some(end) = self.after_go(Stage::TargetRenamed) {
            return end;
        }
        if self.lab.with(|f| f.has_quirk(&Quirk::NoUnpause(self.guest.clone()))) {
            return self.report_failure(copy, 3);
        }
        self.lab.with(|f| {
            if let Some(domain) = f.host_mut(&self.to).domain_by_id(copy) {
                domain.paused = m.stay_paused;
            }
            f.log(format!("{}: {} started", self.to, m.name));
        });
        self.lab.pass(200);
        if let Some(end) = self.after_go(Stage::Unpaused) {
            return end;
        }
        self.target_says("migration target: Domain started successsfully.");
        self.verdict(Verdict::Success);
        End::Exit(0)
    }

    /// The permission comes through migrate2, which may die in that very moment: then xl there reads an end of file instead, and the sender
    /// cannot know.
    fn permission(&self) -> Option<End> {
        let relay = self.relay?;
        let answer = catch_unwind(AssertUnwindSafe(|| relay.halt(Halt::Go)));
        if matches!(answer, Ok(Flow::On)) && !self.state().target_off {
            return None;
        }
        if self.state().target_off {
            self.wait_in_vain(Break::TargetOff);
        } else {
            self.destroy(self.state().incoming);
        }
        self.verdict(Verdict::Undefined);
        match answer {
            Ok(_) => Some(End::Exit(137)),
            Err(_) if self.state().target_off => Some(End::Exit(137)),
            Err(died) => resume_unwind(died),
        }
    }

    /// A stage after GO: whatever breaks, the sender cannot know; a living target goes on.
    fn after_go(&self, stage: Stage) -> Option<End> {
        self.enter(stage);
        let m = self.state();
        let heard = self.lab.with(|f| f.ssh_path(&self.from, &self.to)) && !m.transport_ended;
        if m.target_gone {
            if m.target_off {
                self.wait_in_vain(Break::TargetOff);
            }
            self.verdict(Verdict::Undefined);
            return Some(End::Exit(137));
        }
        if heard || m.sender_gone {
            return None;
        }
        // The target goes on. Its report arrives if the link is mended before the sender's transport gives up.
        self.finish_alone();
        let mended = !m.transport_ended
            && self.wait_in_vain(Break::Silent) == Break::Silent
            && self.lab.with(|f| f.ssh_path(&self.from, &self.to))
            && !self.state().target_gone;
        self.verdict(if mended { Verdict::Success } else { Verdict::Undefined });
        Some(End::Exit(if mended { 0 } else { 1 }))
    }

    /// The target starts its copy although nobody hears it.
    fn finish_alone(&self) {
        let m = self.state();
        if let Some(copy) = m.incoming {
            self.lab.with(|f| {
                f.rename_domain(&self.to, copy, &m.name);
                if let Some(domain) = f.host_mut(&self.to).domain_by_id(copy) {
                    domain.paused = m.stay_paused;
                }
            });
            self.lab.pass(200);
        }
    }

    /// The target could not start its copy: it destroys it and grants the resume, if it is heard.
    fn report_failure(&self, copy: u32, code: i32) -> End {
        self.target_says("migration target: Failure, destroying our copy.");
        self.lab.with(|f| f.remove_domain(&self.to, copy));
        match self.weather() {
            Ok(()) => {
                self.target_says("migration target: Cleanup OK, granting sender permission to resume.");
                self.verdict(Verdict::TargetFailed(code));
            }
            Err(_) => self.verdict(Verdict::Undefined),
        }
        End::Exit(code)
    }
}
