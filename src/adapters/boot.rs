//! What is in `/etc/xen/drbd-auto`, and what is kept in `/run` about it.

use super::look::Ground;
use super::{To, World};
use crate::core::boot::diary::Diary;
use crate::core::config::{self, DomuConfig};
use crate::core::facts::DiskSeen;
use crate::core::fault::Fault;
use crate::core::names::DomuName;
use std::io::ErrorKind;
use std::path::Path;
use thiserror::Error;

/// Where the operator puts the configs of the domUs that are started when it is safe.
pub const FOLDER: &str = "/etc/xen/drbd-auto";

/// Where decisions are kept until the next boot.
pub const DIARY: &str = "/run/xen-drbd-auto/diary.json";

/// So many faults of one file are told, and kept: a diary that is written must be read again.
const MOST_FAULTS: usize = 20;

/// Held for one round of looking and starting.
pub const ROUND: &str = "xen-drbd-auto";

/// Held by the waiting daemon as long as it waits.
pub const DAEMON: &str = "xen-drbd-auto-daemon";

/// One file of the folder.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Its name in the folder.
    pub file: String,
    /// What it says.
    pub says: Result<Planned, Unplanned>,
}

/// Why nothing can be planned from a config.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unplanned {
    /// Every fault of it, in lines for a person.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// Which resources its disks are could not be seen, and why: that is no fault of it.
    #[error("{0}")]
    Unseen(String),
}

/// A domU that is to be started.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its name.
    pub domu: DomuName,
    /// Its disks.
    pub disks: Vec<DiskSeen>,
    /// The file as it was read.
    pub bytes: Vec<u8>,
}

/// Where the configs lie from which domUs are created.
const FROZEN: &str = "/run/xen-drbd-auto";

/// Puts the config that was decided about where nobody changes it meanwhile, and says where: between a decision and the moment in which the
/// toolstack opens a file by its name, another one may have taken its place, with the name and the disks of a domU that runs elsewhere.
/// It stays until the next start of that domU, or the next boot.
pub fn frozen(world: &dyn World, planned: &Planned) -> Result<String, String> {
    let path = format!("{FROZEN}/{}.cfg", planned.domu);
    world.replace(Path::new(&path), &planned.bytes).map_err(|why| format!("{path}: {why}"))?;
    Ok(world.told(&path))
}

impl ConfigFile {
    /// Its full path.
    pub fn path(&self) -> String {
        format!("{FOLDER}/{}", self.file)
    }
}

/// Every config in the folder, in the order of the file names; files that editors and packages leave behind are passed over. The error
/// says why the folder could not be read; a folder that is not there is empty.
pub fn configs(world: &dyn World, ground: &Ground) -> Result<Vec<ConfigFile>, String> {
    let names = names(world)?;
    let mut found: Vec<ConfigFile> =
        names.into_iter().map(|file| ConfigFile { says: read(world, ground, &file), file }).collect();
    // A second file for the same domU is a fault of that file; the first one still counts.
    for at in 1..found.len() {
        let (before, rest) = found.split_at_mut(at);
        let Ok(this) = &rest[0].says else { continue };
        let first = before.iter().find(|c| c.says.as_ref().is_ok_and(|p| p.domu == this.domu));
        if let Some(first) = first {
            rest[0].says = Err(Unplanned::Faults(vec![format!("{} is defined by {} already", this.domu, first.path())]));
        }
    }
    Ok(found)
}

/// The names of the configs.
pub fn names(world: &dyn World) -> Result<Vec<String>, String> {
    Ok(all_names(world)?.into_iter().filter(|name| why_left_out(world, name).is_none()).collect())
}

/// What else is in the folder, each with the reason why it is no config; a name that would play with the terminal is shown with escapes.
/// A folder that cannot be read has told so already.
pub fn left_out(world: &dyn World) -> Vec<(String, &'static str)> {
    let names = all_names(world).unwrap_or_default();
    names.into_iter().filter_map(|name| why_left_out(world, &name).map(|why| (shown(&name), why))).collect()
}

fn all_names(world: &dyn World) -> Result<Vec<String>, String> {
    match world.list(Path::new(FOLDER)) {
        Ok(names) => Ok(names),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(format!("{FOLDER}: {why}")),
    }
}

fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn why_left_out(world: &dyn World, name: &str) -> Option<&'static str> {
    if !config::is_config_file_name(name) {
        return Some("by its name a copy, a backup or switched off");
    }
    world.list(Path::new(&format!("{FOLDER}/{name}"))).is_ok().then_some("a folder")
}

fn read(world: &dyn World, ground: &Ground, file: &str) -> Result<Planned, Unplanned> {
    planned(world, ground, &format!("{FOLDER}/{file}"))
}

/// Reads one config as strictly as somebody must who is about to start it. The error has every fault of it in lines for a person.
pub fn planned(world: &dyn World, ground: &Ground, path: &str) -> Result<Planned, Unplanned> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let bytes = world.read(Path::new(path)).map_err(|why| Unplanned::Faults(vec![format!("{path}: {why}")]))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let told = |faults: Vec<Fault>| {
        let mut lines: Vec<String> = faults.iter().take(MOST_FAULTS).map(|f| f.render(path, &text)).collect();
        if faults.len() > MOST_FAULTS {
            lines.push(format!("{path}: and {} more", faults.len() - MOST_FAULTS));
        }
        Unplanned::Faults(lines)
    };
    let read = config::read(file, &bytes, ground.toolstack).map_err(told)?;
    let domu = read.domu_name().map_err(|fault| told(vec![fault]))?;
    if path.contains('=') {
        let why = format!("{path}: a file name with = in it is an assignment to `{} create`", ground.toolstack);
        return Err(Unplanned::Faults(vec![why]));
    }
    if let Some(why) = ground.drbd.files_unseen() {
        return Err(Unplanned::Unseen(why));
    }
    let disks = disks(ground, &read).map_err(told)?;
    Ok(Planned { domu, disks, bytes })
}

/// The disks, strictly: what would stumble when it is started is a fault.
fn disks(ground: &Ground, read: &DomuConfig) -> Result<Vec<DiskSeen>, Vec<Fault>> {
    read.resources(&ground.drbd.configured)?;
    let uses = read.drbd_uses()?;
    let mut faults = Vec::new();
    let mut seen = Vec::new();
    for use_ in &uses {
        if let Some(why) = ground.drbd.generation.and_then(|generation| use_.used.objection(generation)) {
            faults.push(Fault::new(use_.disk.line, use_.disk.column, why, "a whole resource"));
        }
        seen.push(ground.planned_disk(use_));
    }
    if faults.is_empty() { Ok(seen) } else { Err(faults) }
}

/// What was decided since the boot. A file that is damaged is told and counts as empty: what it held of decisions is seen again by
/// looking.
pub fn diary(world: &dyn World) -> Diary {
    read_diary(world).unwrap_or_else(|damage| {
        world.say(To::Err, &damage.why);
        Diary::default()
    })
}

/// The same for whoever must tell what could not be seen from what was not decided: the error says why it could not be read.
pub fn diary_or_why(world: &dyn World) -> Result<Diary, String> {
    read_diary(world).map_err(|damage| damage.why)
}

/// The same for whoever will write it anew: a damaged file is put aside first, for it may hold which options are to be put back.
pub fn diary_to_go_on(world: &dyn World) -> Diary {
    read_diary(world).unwrap_or_else(|damage| {
        let aside = format!("{DIARY}.damaged");
        let kept = match world.replace(Path::new(&aside), damage.text.as_bytes()) {
            Ok(()) => format!("kept as {aside}"),
            Err(why) => format!("it could not be kept: {aside}: {why}"),
        };
        let text = format!(
            "{}; {kept}. If a start was interrupted, options of DRBD may not be those of drbd.conf: drbdadm -d adjust all shows them, \
             drbdadm adjust all puts them back",
            damage.why
        );
        world.say(To::Err, &text);
        world.say(To::Log, &text);
        Diary::default()
    })
}

struct Damage {
    why: String,
    text: String,
}

fn read_diary(world: &dyn World) -> Result<Diary, Damage> {
    let bytes = match world.read(Path::new(DIARY)) {
        Ok(bytes) => bytes,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Diary::default()),
        Err(why) => return Err(Damage { why: format!("{DIARY}: {why}"), text: String::new() }),
    };
    // From a text like every other answer: each kind of source has parsers of its own in the executable.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    serde_json::from_str(&text)
        .map_err(|why| Damage { why: format!("{DIARY} is damaged ({why}); what was decided before is not known any more"), text })
}

/// Keeps it.
pub fn keep(world: &dyn World, diary: &Diary) -> Result<(), String> {
    let text = serde_json::to_string(diary).map_err(|e| e.to_string())?;
    world.replace(Path::new(DIARY), text.as_bytes()).map_err(|why| format!("{DIARY}: {why}"))
}
