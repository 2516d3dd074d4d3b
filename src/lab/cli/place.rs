//! Which folder is meant: the given one, the one used last, or a new one.

use super::{Fault, build, presets, told};
use std::fs;
use std::path::{Path, PathBuf};
use xen_drbd::lab::folder::Folder;

/// The fleet that a verb works on.
pub fn folder(given: Option<&Path>, tool: Option<&Path>) -> Result<Folder, Fault> {
    let folder = match given {
        Some(dir) => given_one(dir, tool)?,
        None => match last() {
            Some(folder) => {
                eprintln!("lab: on the fleet in {}   (--dir takes another)", folder.dir().display());
                folder
            }
            None => return fresh(tool),
        },
    };
    remember(folder.dir());
    Ok(folder)
}

/// A folder that somebody named: it holds a fleet, or gets one where there is nothing yet.
fn given_one(dir: &Path, tool: Option<&Path>) -> Result<Folder, Fault> {
    let why = match Folder::open(dir) {
        Ok(folder) => return Ok(folder),
        Err(why) => why,
    };
    let nothing = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(why) => why.kind() == std::io::ErrorKind::NotFound,
    };
    // What stands there is somebody's: it is left alone, and so is a fleet that cannot be read.
    if !nothing {
        let (dir, why) = (dir.display().to_string(), why.to_string());
        return Err(if why.contains(&dir) { why } else { format!("{dir}: {why}") });
    }
    let folder = presets::make(&presets::New::article(dir.to_path_buf()), tool)?;
    eprintln!("lab: there was no fleet in {}: a new fleet, the article's three Dom0s, was made there", folder.dir().display());
    Ok(folder)
}

/// The same for a verb that lets programs run: they are those of the source as it is now.
pub fn folder_to_run(given: Option<&Path>, tool: Option<&Path>) -> Result<Folder, Fault> {
    let folder = folder(given, tool)?;
    told(folder.renew_links(&build::programs(tool)?))?;
    Ok(folder)
}

/// From now on this is the one used last.
pub fn remember(dir: &Path) {
    let note = home().join("last");
    if fs::create_dir_all(home()).is_ok() {
        // Only a convenience: without it the folder must be named each time.
        let _ = fs::write(note, dir.to_string_lossy().as_bytes());
    }
}

fn last() -> Option<Folder> {
    let text = fs::read_to_string(home().join("last")).ok()?;
    Folder::open(Path::new(text.trim_end())).ok()
}

fn fresh(tool: Option<&Path>) -> Result<Folder, Fault> {
    let dir = home().join("fleet");
    if let Ok(folder) = Folder::open(&dir) {
        eprintln!("lab: on the fleet in {}   (--dir takes another)", folder.dir().display());
        return Ok(folder);
    }
    let folder = presets::make(&presets::New::article(dir), tool)?;
    remember(folder.dir());
    eprintln!("lab: a new fleet, the article's three Dom0s, is in {}", folder.dir().display());
    Ok(folder)
}

/// Where the default fleet and the note of the one used last are: what `XEN_DRBD_LAB` says; else beside the programs of this very clone, so
/// that two clones never use one fleet; else, for a lab that lies in no target folder, in the user's cache folder.
fn home() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = || absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    absolute("XEN_DRBD_LAB")
        .or_else(|| target().map(|target| target.join("xen-drbd-lab")))
        .unwrap_or_else(|| cache().unwrap_or_else(std::env::temp_dir).join("xen-drbd-lab"))
}

/// cargo's target folder, where this lies in its PROFILE/examples.
fn target() -> Option<PathBuf> {
    let profile = std::env::current_exe().ok()?.parent().filter(|p| p.ends_with("examples"))?.parent()?.to_path_buf();
    profile.parent().map(Path::to_path_buf)
}
