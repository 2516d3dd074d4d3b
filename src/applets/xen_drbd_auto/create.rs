//! The creation of a domU from the very config that was decided about, and which domain came of it.

use crate::adapters::boot::{self, Planned};
use crate::adapters::{Call, CallError, Output, World, look, xen};
use crate::core::xen::{Domain, Toolstack};
use std::time::Duration;

/// A creation that can be made.
pub struct Creation<'a> {
    /// What makes it.
    pub call: Call,
    toolstack: Toolstack,
    planned: &'a Planned,
    /// What was there before.
    before: Vec<Domain>,
}

/// What came of it.
pub enum Came {
    /// It is there, and ours; where it could not be looked at, nobody knows which domain it is. The text is what a person should know.
    Ours(Option<Domain>, Option<String>),
    /// What it had begun to build is there, is ours, and has never run.
    Unfinished(Domain, String),
    /// Nothing of ours is there, as far as can be known.
    Failed(Failed),
}

/// Why nothing of ours is there.
pub struct Failed {
    /// In words.
    pub why: String,
    /// Somebody else has made one of that name, who so has its disks.
    pub theirs: bool,
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed { why, theirs: false }
    }
}

/// A creation, where nothing of that name is here. Its lock is held.
pub fn prepare<'a>(world: &dyn World, toolstack: Toolstack, planned: &'a Planned) -> Result<Creation<'a>, Failed> {
    let domu = &planned.domu;
    let before = domains(world, toolstack)?;
    if let Some(other) = before.iter().find(|d| d.name == domu.as_str()) {
        return Err(Failed { why: format!("somebody else has started it meanwhile (id {})", other.id), theirs: true });
    }
    let path = boot::frozen(world, planned)?;
    let call = xen::creation(toolstack, &path, false, &look::lock_name(domu)).map_err(|e| e.to_string())?;
    Ok(Creation { call, toolstack, planned, before })
}

impl Creation<'_> {
    /// What came of [`Creation::call`].
    pub fn came(&self, world: &dyn World, answer: Result<Output, CallError>) -> Came {
        let created = xen::created(self.toolstack, &self.call, answer);
        let domains = match (domains(world, self.toolstack), &created) {
            (Ok(domains), _) => domains,
            // It was created, and what could not be looked at is no reason to take it back.
            (Err(_), Ok(_)) => return Came::Ours(None, None),
            (Err(why), Err(error)) => {
                return Came::Failed(format!("{error}; and what is there now cannot be seen: {why}").into());
            }
        };
        let new = |d: &Domain| d.name == self.planned.domu.as_str() && !self.before.iter().any(|b| b.id == d.id);
        match (created, domains.into_iter().find(new)) {
            (Ok(_), Some(ours)) => Came::Ours(Some(ours), None),
            (Ok(created), None) => Came::Failed(format!("it was created and is not there: {}", created.said).into()),
            (Err(error), None) => Came::Failed(error.to_string().into()),
            // A toolstack that says why it could not has taken back what it made itself (`create_domain` in xl_vmcontrol.c: `error_out`).
            (Err(error), Some(other)) if error.is_orderly() => {
                let why =
                    format!("{error}; somebody else has started it meanwhile (id {}), and that one is left alone", other.id);
                Came::Failed(Failed { why, theirs: true })
            }
            // It was ended in the middle, after the domU had begun to run: that one is whole.
            (Err(error), Some(running)) if running.state.executes() => {
                Came::Ours(Some(running), Some(format!("it runs, though {error}")))
            }
            (Err(error), Some(unfinished)) => Came::Unfinished(unfinished, error.to_string()),
        }
    }
}

/// Every domain here; asked again for a while, for much hangs on it.
pub fn domains(world: &dyn World, toolstack: Toolstack) -> Result<Vec<Domain>, String> {
    let mut asked = 0;
    loop {
        asked += 1;
        match xen::domains(world, toolstack, false) {
            Ok(domains) => return Ok(domains),
            Err(why) if asked >= 5 => return Err(why.to_string()),
            Err(_) => world.rest(Duration::from_secs(1)),
        }
    }
}
