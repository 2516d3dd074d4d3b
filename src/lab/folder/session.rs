//! One program's turn with the model: locked, read, changed, written, unlocked.

use super::kernel;
use super::processes::RealProcess;
use crate::lab::model::{Files, Fleet, Pid, Stdin};
use crate::lab::{Lab, Planned};
use fs2::FileExt;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The model's file.
pub(super) const STATE: &str = "fleet.json";

/// What is kept between two programs.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    fleet: Fleet,
    plan: Vec<Planned>,
    rest: Rest,
}

/// What is not the model's own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Rest {
    /// Real seconds for one second of the model's while memory is copied.
    pace: f64,
    /// The real processes that are processes of the story.
    players: Vec<Player>,
    /// Which real process plays both ends of a migration.
    drivers: BTreeMap<usize, RealProcess>,
}

/// A process of the story that really exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Player {
    pub host: String,
    /// Its number in the model.
    pub pid: Pid,
    pub real: RealProcess,
}

/// The model in this program's hands.
pub(super) struct Session {
    pub lab: Lab,
    dir: PathBuf,
    rest: RefCell<Rest>,
    lock: RefCell<Option<File>>,
}

impl Session {
    /// Writes the first state.
    pub fn create(dir: &Path, fleet: Fleet, plan: Vec<Planned>) -> io::Result<()> {
        let session = Session {
            lab: Lab::from_fleet(fleet),
            dir: dir.to_path_buf(),
            rest: RefCell::default(),
            lock: RefCell::new(Some(locked(dir)?)),
        };
        session.lab.restore(session.lab.fleet(), plan);
        session.close()
    }

    /// Waits for its turn, and reads.
    pub fn open(dir: &Path) -> io::Result<Session> {
        let session = Session {
            lab: Lab::new(0),
            dir: dir.to_path_buf(),
            rest: RefCell::default(),
            lock: RefCell::new(Some(locked(dir)?)),
        };
        session.load()?;
        Ok(session)
    }

    /// Writes, and lets others have their turn.
    pub fn close(&self) -> io::Result<()> {
        let written = self.save();
        *self.lock.borrow_mut() = None;
        written
    }

    /// Takes the next turn.
    pub fn reopen(&self) -> io::Result<()> {
        *self.lock.borrow_mut() = Some(locked(&self.dir)?);
        self.load()
    }

    /// Does something that takes time while others have their turn. What cannot be kept ends this program.
    pub fn apart<T>(&self, f: impl FnOnce() -> T) -> T {
        or_die(self.close());
        let value = f();
        or_die(self.reopen());
        value
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn pace(&self) -> f64 {
        self.rest.borrow().pace
    }

    pub fn set_pace(&self, pace: f64) {
        self.rest.borrow_mut().pace = pace;
    }

    /// This process as one of the story; it stays one until it ends.
    pub fn enlist(&self, host: &str, real: RealProcess, command: &str) -> Pid {
        if let Some(player) = self.rest.borrow().players.iter().find(|p| p.real == real && p.host == host) {
            return player.pid;
        }
        let pid = self.lab.with(|f| f.start_process(host, command, Stdin::Closed, None));
        self.enlist_as(host, real, pid);
        pid
    }

    /// Binds a real process to one that the model has already.
    fn enlist_as(&self, host: &str, real: RealProcess, pid: Pid) {
        let player = Player { host: host.to_string(), pid, real };
        let mut rest = self.rest.borrow_mut();
        if !rest.players.iter().any(|p| p.pid == pid) {
            rest.players.push(player);
        }
    }

    /// From now on this real process plays both ends of a migration.
    pub fn drive(&self, id: usize, real: RealProcess) {
        let (host, sender) = self.lab.with(|f| (f.migrations[id].from.clone(), f.migrations[id].sender));
        self.enlist_as(&host, real, sender);
        self.rest.borrow_mut().drivers.insert(id, real);
    }

    /// The migration that a real process plays.
    pub fn driven_by(&self, real: RealProcess) -> Option<usize> {
        self.rest.borrow().drivers.iter().find(|(_, driver)| **driver == real).map(|(id, _)| *id)
    }

    /// The real processes of our tools on a host that are just asked to stop.
    pub fn asked_to_stop(&self, host: &str) -> Vec<RealProcess> {
        let asked = |pid: Pid| self.lab.with(|f| f.host(host).process(pid).is_some_and(|p| p.stopping));
        self.rest.borrow().players.iter().filter(|p| p.host == host && asked(p.pid)).map(|p| p.real).collect()
    }

    fn load(&self) -> io::Result<()> {
        let kept = read(&self.dir)?;
        let mut fleet = kept.fleet;
        for host in fleet.hosts.values_mut() {
            host.files = Files::Folder(self.dir.join("hosts").join(&host.name).join("root"));
        }
        self.lab.restore(fleet, kept.plan);
        *self.rest.borrow_mut() = kept.rest;
        self.bury();
        Ok(())
    }

    /// Processes that have ended meanwhile, by whatever means, end in the story as well.
    fn bury(&self) {
        let mut rest = self.rest.borrow_mut();
        let (living, dead): (Vec<Player>, Vec<Player>) = rest.players.drain(..).partition(|p| p.real.lives());
        rest.players = living;
        let lives = |pid: Pid| rest.players.iter().any(|p| p.pid == pid);
        self.lab.with(|f| {
            for player in &dead {
                f.end_process(&player.host, player.pid);
            }
            let clock = f.clock;
            for (id, driver) in &rest.drivers {
                let Some(m) = f.migrations.get_mut(*id).filter(|m| m.is_running() && !driver.lives()) else { continue };
                m.sender_gone = true;
                // A receiver that still lives goes on alone.
                if !m.receiver.is_some_and(lives) {
                    m.ended = Some(clock);
                }
            }
        });
    }

    /// What was killed in the story is killed. A program does not kill itself here: it has an end of its own to play.
    fn enforce(&self) {
        let this = RealProcess::this();
        let mut rest = self.rest.borrow_mut();
        rest.players.retain(|player| {
            let found = self.lab.with(|f| f.is_alive(&player.host, player.pid));
            if found {
                return true;
            }
            if Some(player.real) != this {
                player.real.signal(Signal::KILL);
            }
            false
        });
        for player in &rest.players {
            self.lab.with(|f| {
                let Some(process) = f.host_mut(&player.host).process_mut(player.pid).filter(|p| p.stopping) else { return };
                process.stopping = false;
                player.real.signal(if process.interrupted { Signal::INT } else { Signal::TERM });
            });
        }
    }

    fn save(&self) -> io::Result<()> {
        self.enforce();
        let lines = self.lab.with(|f| std::mem::take(&mut f.journal));
        if !lines.is_empty() {
            let mut journal = OpenOptions::new().create(true).append(true).open(self.dir.join("journal.txt"))?;
            journal.write_all((lines.join("\n") + "\n").as_bytes())?;
        }
        kernel::show(&self.lab, &self.dir)?;
        let kept = Kept { fleet: self.lab.fleet(), plan: self.lab.plan(), rest: self.rest.borrow().clone() };
        let text = serde_json::to_string(&kept)?;
        put(&self.dir.join(STATE), &text)
    }
}

/// A look at the model without a turn of one's own: it is replaced as a whole, so half of it is never seen.
pub(super) fn peek(dir: &Path) -> io::Result<Fleet> {
    Ok(read(dir)?.fleet)
}

/// Who plays a migration, as long as it lives; without a turn of one's own as well.
pub(super) fn peek_driver(dir: &Path, id: usize) -> io::Result<Option<RealProcess>> {
    Ok(read(dir)?.rest.drivers.get(&id).copied().filter(|real| real.lives()))
}

fn read(dir: &Path) -> io::Result<Kept> {
    let text = fs::read(dir.join(STATE))?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

fn locked(dir: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("fleet.lock"))?;
    file.lock_exclusive()?;
    Ok(file)
}

/// Puts a text in the place of a file.
pub(super) fn put(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

/// A program that cannot keep the model must not go on.
pub(super) fn or_die<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|why| {
        eprintln!("lab: the fleet cannot be read or kept: {why}");
        std::process::exit(125)
    })
}
