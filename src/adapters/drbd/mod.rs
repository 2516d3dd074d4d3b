//! Everything between our words (`core/drbd.rs`) and DRBD's programs, for the dialects 8.3, 8.4 and 9.
//!
//! * `argv.rs`: what we say.
//! * [`picture`] (`drbdsetup events2`), `proc.rs` (`/proc/drbd`), `config.rs` (`drbdadm dump-xml`), `show.rs`
//!   (`drbdsetup show`), `deed.rs` (how a deed ended): what we hear, text in and our words out.
//! * this file: runs the one through the [`World`] and gives its answer to the other.
//!
//! The dialect follows the kernel module, not the version of the tools (facts §4.1), so everything begins with [`generation`].
//! A question ends within 10 s or is an error, and so is half an answer: what was not seen is never taken for "not there".

pub mod argv;
mod config;
mod deed;
pub mod picture;
mod proc;
mod show;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use argv::NotAtRunTime;
pub use config::Configuration;
pub use deed::{DeedError, Why};
pub use picture::{Heard, Picture};

use crate::adapters::{Call, CallError, Ended, Output, World};
use crate::core::drbd::{Configured, Fencing, Generation, Options, Replica};
use crate::core::names::ResourceName;
use crate::core::survey::AfterSplitBrain;
use std::io;
use std::path::Path;
use thiserror::Error;

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum DrbdError {
    /// The program could not be run, or gave no answer in time.
    #[error(transparent)]
    Call(#[from] CallError),
    /// `/proc/drbd` is there and cannot be read.
    #[error("/proc/drbd: {0}")]
    Proc(io::Error),
    /// The module is not loaded and cannot be.
    #[error("{call}: there is no DRBD module: {said}")]
    NoModule {
        /// The command.
        call: String,
        /// What it said.
        said: String,
    },
    /// drbdadm found the operator's files missing or broken: then every drbdadm call fails (exit 10).
    #[error("the DRBD configuration is not usable ({call}): {said}")]
    Config {
        /// The command.
        call: String,
        /// Its first lines, with file and line.
        said: String,
    },
    /// The kernel does not have the resource.
    #[error("DRBD resource {resource} is not up")]
    NotUp {
        /// The resource.
        resource: ResourceName,
    },
    /// DRBD 8.x drops `allow-two-primaries` with the connection and reads the file again when it connects; DRBD 9 has no peers.
    /// Whether two Primaries will be allowed is therefore not known.
    #[error("DRBD resource {resource} has no connection, hence no network options in force (fencing {fencing})")]
    NoConnection {
        /// The resource.
        resource: ResourceName,
        /// The weakest fencing policy of its disks.
        fencing: Fencing,
    },
    /// The answer ended too early, or is not of a form known here.
    #[error("{call}: the answer was not understood: {what}")]
    NotUnderstood {
        /// The command, or the file.
        call: String,
        /// What was wrong with it.
        what: String,
    },
    /// Any other failure.
    #[error("{call}: {ended}: {said}")]
    Failed {
        /// The command.
        call: String,
        /// How it ended.
        ended: Ended,
        /// Its first lines.
        said: String,
    },
}

/// The file with the version, and in 8.x with the state.
const PROC_DRBD: &str = "/proc/drbd";

/// Which dialect the kernel speaks; `None` when the module is not loaded.
///
/// Where `/proc/drbd` is missing drbdadm is asked, which may also name a module that is there and not loaded yet.
/// Neither loads the module.
pub fn generation(world: &dyn World) -> Result<Option<Generation>, DrbdError> {
    if let Some(text) = proc_drbd(world)? {
        return match proc::generation(&text) {
            Some(generation) => Ok(Some(generation)),
            None => Err(not_understood(PROC_DRBD, "there is no version line")),
        };
    }
    match world.run(&argv::version()) {
        Ok(output) => Ok(proc::generation_of_tool(&output.stdout)),
        Err(CallError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Every resource that is up, from one look at the kernel. A resource that is not up is not in the list.
///
/// 9 and 8.4 are asked by `drbdsetup events2 --now`. 8.3, and an 8.4 that does not know `events2` (before 8.4.6), are read from
/// `/proc/drbd`, whose minors the operator's files join to resources: only then is `host`, our `uname -n`, needed, and a resource
/// that is up but no longer in the files is not seen.
pub fn replicas(world: &dyn World, generation: Generation, host: &str) -> Result<Vec<Replica>, DrbdError> {
    match replicas_call(generation) {
        Some(call) => replicas_told(world, generation, host, world.run(&call)),
        None => replicas_from_proc(world, host),
    }
}

/// The question of [`replicas`], for whoever asks it together with others; `None`: `/proc/drbd` is read.
pub fn replicas_call(generation: Generation) -> Option<Call> {
    (generation != Generation::V83).then(argv::events2_now)
}

/// What the answer to [`replicas_call`] means.
pub fn replicas_told(
    world: &dyn World,
    generation: Generation,
    host: &str,
    answer: Result<Output, CallError>,
) -> Result<Vec<Replica>, DrbdError> {
    let (call, output) = (argv::events2_now(), answer?);
    if generation == Generation::V84 && output.code() == Some(20) && !deed::lacks_module(&output.stderr) {
        return replicas_from_proc(world, host);
    }
    answered(&call, &output)?;
    let picture = Picture::of(&output.stdout);
    if let Some(line) = picture.odd() {
        return Err(not_understood(&call.to_string(), line));
    }
    if !picture.complete() {
        return Err(not_understood(&call.to_string(), "it ends before the line `exists -`"));
    }
    Ok(picture.replicas())
}

/// Every resource that the operator's files have for `host`, our `uname -n`.
pub fn configured(world: &dyn World, host: &str) -> Result<Vec<Configured>, DrbdError> {
    Ok(configuration(world, host)?.resources)
}

/// The same, with a sentence about each resource of this host that is left out (stacked, not understood).
pub fn configuration(world: &dyn World, host: &str) -> Result<Configuration, DrbdError> {
    configuration_told(host, world.run(&argv::dump_xml()))
}

/// What the answer to `drbdadm dump-xml` ([`argv::dump_xml`]) means, for whoever asks it together with others.
pub fn configuration_told(host: &str, answer: Result<Output, CallError>) -> Result<Configuration, DrbdError> {
    let (call, output) = (argv::dump_xml(), answer?);
    if output.code() == Some(1) && output.stderr.contains("no resources defined!") {
        // 8.3 says so of files without a resource; later versions dump an empty <config>.
        return Ok(Configuration::default());
    }
    answered(&call, &output)?;
    config::configuration(&output.stdout, host).map_err(|what| not_understood(&call.to_string(), &what))
}

/// What the operator's files have DRBD do about a split brain by itself, for the resources of `host`: every `after-sb-…` that is not
/// `disconnect`, the default.
pub fn after_split_brain(world: &dyn World, host: &str) -> Result<Vec<AfterSplitBrain>, DrbdError> {
    let call = argv::dump_xml();
    let output = world.run(&call)?;
    answered(&call, &output)?;
    config::after_split_brain(&output.stdout, host).map_err(|what| not_understood(&call.to_string(), &what))
}

/// The version of the module, as `/proc/drbd` says it; `None` where it does not.
pub fn module_version(world: &dyn World) -> Option<String> {
    let text = proc_drbd(world).ok()??;
    let word = text.lines().find_map(|line| line.strip_prefix("version: "))?.split_whitespace().next()?;
    Some(word.to_string())
}

/// The two options as the kernel has them now; `minors` are those of the resource's volumes (needed for 8.3 only).
///
/// Of several volumes (8.4) or connections (9) the weakest `fencing` counts, and two Primaries are allowed if any connection allows
/// them. [`DrbdError::NotUp`] and [`DrbdError::NoConnection`] are told apart.
pub fn running_options(
    world: &dyn World,
    generation: Generation,
    resource: &ResourceName,
    minors: &[u32],
) -> Result<Options, DrbdError> {
    let calls = match generation {
        Generation::V83 => minors.iter().map(|minor| argv::show_minor(*minor)).collect(),
        Generation::V84 | Generation::V9 => vec![argv::show(resource)],
    };
    let mut texts = vec![];
    for call in &calls {
        let output = world.run(call)?;
        if !output.ok() && deed::not_up(&output.stderr) {
            return Err(DrbdError::NotUp { resource: resource.clone() });
        }
        answered(call, &output)?;
        texts.push(output.stdout);
    }
    let options = match generation {
        Generation::V83 => show::of_minors(texts.iter().map(String::as_str)),
        Generation::V84 | Generation::V9 => show::of_resource(texts.first().map_or("", String::as_str), resource.as_str()),
    };
    options.map_err(|unknown| match unknown {
        show::Unknown::NotUp => DrbdError::NotUp { resource: resource.clone() },
        show::Unknown::NoConnection(fencing) => DrbdError::NoConnection { resource: resource.clone(), fencing },
        show::Unknown::NotUnderstood(what) => not_understood(&calls.first().map(Call::to_string).unwrap_or_default(), &what),
    })
}

/// The options of every resource that is up, as one `drbdsetup show` printed them.
#[derive(Debug, Clone)]
pub struct Shown(String);

/// Asks for them. `None` where there is no such answer (8.3), or it is none: then each is asked for by itself ([`running_options`]).
pub fn shown(world: &dyn World, generation: Generation) -> Option<Shown> {
    if generation == Generation::V83 {
        return None;
    }
    world.run(&argv::show_all()).ok().filter(Output::ok).map(|output| Shown(output.stdout))
}

impl Shown {
    /// The options of one resource; `None`: it is not told, so it must be asked for by itself.
    pub fn options(&self, resource: &ResourceName) -> Option<Result<Options, DrbdError>> {
        match show::of_resource(&self.0, resource.as_str()) {
            Ok(options) => Some(Ok(options)),
            Err(show::Unknown::NoConnection(fencing)) => {
                Some(Err(DrbdError::NoConnection { resource: resource.clone(), fencing }))
            }
            Err(show::Unknown::NotUp | show::Unknown::NotUnderstood(_)) => None,
        }
    }
}

/// Makes this side Primary. Success also when it is already.
pub fn promote(world: &dyn World, resource: &ResourceName) -> Result<(), DeedError> {
    act(world, &argv::promote(resource))
}

/// Makes this side Primary over every guard and whatever its data are: for a person's explicit wish only.
pub fn promote_by_force(world: &dyn World, generation: Generation, resource: &ResourceName) -> Result<(), DeedError> {
    act(world, &argv::promote_by_force(generation, resource))
}

/// Makes this side Secondary. Success also when it is already.
///
/// `secondary` exits 0 without a module too, and not every version says so: so the module is looked for afterwards.
pub fn demote(world: &dyn World, resource: &ResourceName) -> Result<(), DeedError> {
    let call = argv::demote(resource);
    let output = world.run(&call).map_err(|error| DeedError::not_run(&call, &error))?;
    deed::judge(&call, &output)?;
    match world.read(Path::new(PROC_DRBD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DeedError::no_module(&call, &output)),
        _ => Ok(()),
    }
}

/// Sets the two options from what they are to what is wanted; nothing to do is success.
///
/// On 9 both go into one call. On 8.4 there are up to two, and after a failure the first may be in force: look again.
/// On 8.3 it is [`Why::NotAtRunTime`], with the lines of drbd.conf.
/// Both sides need `fencing` set; `allow-two-primaries` reaches a connected peer by itself.
pub fn set_options(
    world: &dyn World,
    generation: Generation,
    resource: &ResourceName,
    wanted: &Options,
    present: &Options,
) -> Result<(), DeedError> {
    let calls = argv::set_options(generation, resource, wanted, present).map_err(DeedError::not_at_run_time)?;
    calls.iter().try_for_each(|call| act(world, call))
}

/// Connects to the peers.
///
/// 8.4 fails with [`Why::AddressInUse`] when it is connected or connecting already; 8.x reads the file's net options again, 9 does not.
pub fn connect(world: &dyn World, resource: &ResourceName) -> Result<(), DeedError> {
    act(world, &argv::connect(resource))
}

/// Leaves the peers. Success also when there is no connection (8.4 calls that a failure).
pub fn disconnect(world: &dyn World, resource: &ResourceName) -> Result<(), DeedError> {
    match act(world, &argv::disconnect(resource)) {
        Err(error) if error.why == Why::NoConnection => Ok(()),
        ended => ended,
    }
}

/// Makes everything as the operator's files have it. It brings up and connects, and can be repeated (`up` cannot).
pub fn adjust(world: &dyn World, resource: &ResourceName) -> Result<(), DeedError> {
    act(world, &argv::adjust(resource))
}

fn act(world: &dyn World, call: &Call) -> Result<(), DeedError> {
    let output = world.run(call).map_err(|error| DeedError::not_run(call, &error))?;
    deed::judge(call, &output)
}

fn replicas_from_proc(world: &dyn World, host: &str) -> Result<Vec<Replica>, DrbdError> {
    let Some(text) = proc_drbd(world)? else {
        return Err(DrbdError::NoModule { call: PROC_DRBD.to_string(), said: "there is no such file".to_string() });
    };
    let minors = proc::minors(&text).map_err(|line| not_understood(PROC_DRBD, &line))?;
    if minors.is_empty() {
        return Ok(vec![]);
    }
    Ok(proc::replicas(&minors, &configured(world, host)?))
}

/// `None` when there is no such file.
fn proc_drbd(world: &dyn World) -> Result<Option<String>, DrbdError> {
    match world.read(Path::new(PROC_DRBD)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DrbdError::Proc(error)),
    }
}

/// An answer with exit code 0, or what its failure means.
fn answered(call: &Call, output: &Output) -> Result<(), DrbdError> {
    if output.ok() {
        return Ok(());
    }
    let said = deed::lines(&output.stderr).into_iter().take(5).collect::<Vec<_>>().join("; ");
    let call_text = call.to_string();
    Err(match output.code() {
        Some(20) if deed::lacks_module(&output.stderr) => DrbdError::NoModule { call: call_text, said },
        Some(10) if call.program == "drbdadm" => DrbdError::Config { call: call_text, said },
        _ => DrbdError::Failed { call: call_text, ended: output.ended, said },
    })
}

fn not_understood(call: &str, what: &str) -> DrbdError {
    DrbdError::NotUnderstood { call: call.to_string(), what: what.to_string() }
}
