//! The creation of a domU from the very config that was decided about, and which domain came of it.

use crate::adapters::boot::{self, Planned};
use crate::adapters::{Call, CallError, Output, World, look, xen};
use crate::core::boot::claim::{Stands, stands};
use crate::core::names::DomuName;
use crate::core::xen::{Domain, Toolstack};
use std::time::Duration;

/// How long a domU's disks may take until they show whether they are dead. A guest connects them when its kernel is up; a backend that
/// could not open its device is closed in a second.
const OPENING_TIME: Duration = Duration::from_secs(3);

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

/// One domU, created and looked at. The text is what a person should know although it runs. On an error nothing of ours is left, as far as
/// that could be done.
pub(in crate::applets) fn create(world: &dyn World, toolstack: Toolstack, planned: &Planned) -> Result<Option<String>, Failed> {
    let creation = prepare(world, toolstack, planned)?;
    let answer = world.run(&creation.call);
    let destroyed = |domain: &Domain, why: String| match xen::destroy(world, toolstack, domain.id, &domain.name) {
        Ok(_) => Failed::from(why),
        Err(error) => format!("{why}; and what was created could not be destroyed: {error}").into(),
    };
    let (domain, remark) = match creation.came(world, answer) {
        Came::Ours(domain, remark) => (domain, remark),
        Came::Unfinished(domain, why) => return Err(destroyed(&domain, why)),
        Came::Failed(failed) => return Err(failed),
    };
    match (look_at(world, toolstack, &planned.domu, domain.as_ref()), domain) {
        (Ok(said), _) => Ok(remark.or(said)),
        (Err(why), Some(domain)) => Err(destroyed(&domain, why)),
        (Err(why), None) => Err(why.into()),
    }
}

/// Looks at what was created until its disks are open. The error: it is seen to be dead. What could not be seen is no reason to destroy it.
pub fn look_at(
    world: &dyn World,
    toolstack: Toolstack,
    domu: &DomuName,
    created: Option<&Domain>,
) -> Result<Option<String>, String> {
    let start = world.clock();
    loop {
        let domains = match domains(world, toolstack) {
            Ok(domains) => domains,
            Err(why) => return Ok(Some(format!("it was created, and could not be looked at: {why}"))),
        };
        let Some(id) = created.map(|d| Some(d.id)) else {
            return Ok(Some("it was created, and could not be looked at".to_string()));
        };
        let ours = |d: &&Domain| d.name == domu.as_str();
        // It was rebooted from inside at once: the toolstack has given it another id.
        if let Some(anew) = domains.iter().filter(ours).find(|d| Some(d.id) > id) {
            return Ok(Some(format!("it was rebooted at once (id {})", anew.id)));
        }
        let domain = domains.iter().filter(ours).find(|d| Some(d.id) == id);
        let blocks = match domain {
            Some(domain) => match xen::block_devices(world, toolstack, domain.id) {
                Ok(blocks) => blocks,
                Err(why) => return Ok(Some(format!("it runs, and its disks could not be looked at: {why}"))),
            },
            None => vec![],
        };
        match stands(domain, &blocks) {
            Stands::Well => return Ok(None),
            Stands::Dead(why) => return Err(why),
            Stands::NotYet(what) if world.clock().saturating_sub(start) >= OPENING_TIME => return Ok(Some(what)),
            Stands::NotYet(_) => world.rest(Duration::from_millis(500)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::Ended;
    use crate::adapters::scripted::Scripted;

    const HEADER: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n\
                          Domain-0                                     0  1024     1     r-----     100.0\n";

    /// What came of a creation that ended so, when the list of domains then has this line more.
    fn came(answer: Result<Output, CallError>, line: &str) -> Came {
        let world = Scripted::new().answers("xl list", 0, &format!("{HEADER}{line}"), "");
        let planned = Planned { domu: "web".parse().unwrap(), disks: vec![], bytes: vec![] };
        let call = xen::creation(Toolstack::Xl, "/run/xen-drbd-auto/web.cfg", false, "domu-web").unwrap();
        Creation { call, toolstack: Toolstack::Xl, planned: &planned, before: vec![] }.came(&world, answer)
    }

    fn ended(code: i32) -> Result<Output, CallError> {
        Ok(Output { ended: Ended::Exit(code), stdout: String::new(), stderr: "failed to free memory for the domain".into() })
    }

    const RUNS: &str = "web                                          7   512     1     -b----       3.0\n";
    const NEVER_RAN: &str = "web                                          7   512     1     --p---       0.0\n";

    #[test]
    fn what_the_toolstack_could_not_create_is_not_ours() {
        for line in [RUNS, NEVER_RAN] {
            let Came::Failed(failed) = came(ended(3), line) else { panic!("{line}") };
            assert!(failed.theirs && failed.why.contains("somebody else has started it meanwhile (id 7)"), "{}", failed.why);
        }
        let Came::Failed(failed) = came(ended(3), "") else { panic!() };
        assert!(!failed.theirs);
    }

    #[test]
    fn what_was_ended_in_the_middle_is_ours_and_goes_on_when_it_runs() {
        let late = || Err(CallError::TimedOut { call: "xl".into(), limit: Duration::from_secs(300), said: String::new() });
        // As a shell, and `keep`, tell of SIGKILL.
        for answer in [ended(137), late()] {
            let Came::Ours(Some(domain), Some(remark)) = came(answer, RUNS) else { panic!() };
            assert!(domain.id == 7 && remark.starts_with("it runs, though "), "{remark}");
        }
        for answer in [ended(137), late()] {
            assert!(matches!(came(answer, NEVER_RAN), Came::Unfinished(domain, _) if domain.id == 7));
        }
    }

    #[test]
    fn what_was_created_is_ours() {
        assert!(matches!(came(ended(0), RUNS), Came::Ours(Some(_), None)));
        let Came::Failed(failed) = came(ended(0), "") else { panic!() };
        assert!(failed.why.contains("it was created and is not there") && !failed.theirs);
    }
}
