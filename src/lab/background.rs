//! What goes on in the background of a pretend host: the waiting daemon of xen-drbd-auto.
//!
//! It is not on anybody's stack. It has a turn when its time has come, when it is asked to, or when DRBD shows something else of what it
//! waits for; and only while others wait or sleep, never in the middle of a program.

use super::Lab;
use super::model::{Millis, Pid, Quirk};
use super::programs::{self, Ctx};
use super::world::LabWorld;
use crate::applets::xen_drbd_auto::daemon::{Daemon, Turn};
use crate::core::names::ResourceName;
use crate::core::xen::Toolstack;

/// One daemon.
pub(crate) struct Background {
    host: String,
    pid: Pid,
    toolstack: Option<Toolstack>,
    /// `None`: it has only just been started.
    daemon: Option<Daemon>,
    until: Millis,
    interest: Vec<ResourceName>,
    /// What DRBD showed of it when it last looked.
    shown: String,
}

impl Lab {
    /// A process of ours begins in the background.
    pub(crate) fn begin_background(&self, host: &str, argv: &[String]) {
        let pid = self.with(|f| {
            f.log(format!("{host}: {} in the background", argv.join(" ")));
            f.start_process(host, &argv.join(" "), super::model::Stdin::Closed, None)
        });
        let word = argv.iter().position(|a| a == "--toolstack").and_then(|at| argv.get(at + 1)).map(String::as_str);
        let toolstack = match word {
            Some("xm") => Some(Toolstack::Xm),
            Some("xl") => Some(Toolstack::Xl),
            _ => None,
        };
        self.background.borrow_mut().push(Background {
            host: host.to_string(),
            pid,
            toolstack,
            daemon: None,
            until: 0,
            interest: vec![],
            shown: String::new(),
        });
    }

    /// Whether anybody is in the background.
    pub(crate) fn has_background(&self) -> bool {
        !self.background.borrow().is_empty()
    }

    /// Everybody in the background for whom it is time has a turn. Whoever is in the middle of one is not there to be found.
    pub(crate) fn tend(&self) {
        let there = self.background.borrow().len();
        for _ in 0..there {
            let Some(mut one) = self.background.borrow_mut().pop() else { return };
            let stays = self.with(|f| f.is_alive(&one.host, one.pid)) && (!self.is_due(&one) || self.turn(&mut one));
            if stays {
                self.background.borrow_mut().insert(0, one);
            } else {
                self.with(|f| f.end_process(&one.host, one.pid));
            }
        }
    }

    fn is_due(&self, one: &Background) -> bool {
        let called = self.with(|f| f.host(&one.host).process(one.pid).is_some_and(|process| process.stopping || process.reload));
        let deaf = || self.with(|f| f.quirks.contains(&Quirk::NoEvents(one.host.clone())));
        one.daemon.is_none() || called || self.clock() >= one.until || (self.shown(one) != one.shown && !deaf())
    }

    /// One turn; false: it was the last.
    fn turn(&self, one: &mut Background) -> bool {
        let world = LabWorld::new(self, &one.host, one.pid);
        let ended = self.boundary(one.pid, || {
            if one.daemon.is_none() {
                match Daemon::new(&world, one.toolstack) {
                    Ok(daemon) => one.daemon = Some(daemon),
                    Err(_) => return Turn::Done,
                }
            }
            match &mut one.daemon {
                Some(daemon) => daemon.turn(&world),
                None => Turn::Done,
            }
        });
        match ended {
            Some(Turn::Wait { until, interest }) => {
                one.until = until.as_millis() as Millis;
                one.interest = interest;
                one.shown = self.shown(one);
                true
            }
            Some(Turn::Done) | None => false,
        }
    }

    /// What `drbdsetup events2` would tell of its resources, without how far a resync is.
    fn shown(&self, one: &Background) -> String {
        let argv = ["drbdsetup", "events2", "--now"].map(String::from);
        let printed = programs::run(&Ctx::new(self, &one.host, one.pid, None), &argv);
        let text = printed.map(|p| p.out).unwrap_or_default();
        let ours =
            |line: &&str| one.interest.iter().any(|name| line.split(' ').any(|w| w.strip_prefix("name:") == Some(name.as_str())));
        let steady = |line: &str| line.split(' ').filter(|w| !w.starts_with("done:")).collect::<Vec<_>>().join(" ");
        text.lines().filter(ours).map(steady).collect::<Vec<_>>().join("\n")
    }
}
