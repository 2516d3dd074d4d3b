//! Which folder is meant: the given one, the one used last, or a new one.

use super::{Fault, build, presets, told};
use std::fs;
use std::path::{Path, PathBuf};
use xen_drbd::lab::folder::Folder;

/// The fleet that a verb works on.
pub fn folder(given: Option<&Path>, tool: Option<&Path>) -> Result<Folder, Fault> {
    let folder = match given {
        Some(dir) => told(Folder::open(dir))?,
        None => match last() {
            Some(folder) => folder,
            None => return fresh(tool),
        },
    };
    remember(folder.dir());
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
        return Ok(folder);
    }
    let folder = presets::make(&presets::New::article(dir), tool)?;
    remember(folder.dir());
    eprintln!("lab: a new fleet, the article's three Dom0s, is in {}", folder.dir().display());
    Ok(folder)
}

/// `xen-drbd-lab` in the user's cache folder.
fn home() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("xen-drbd-lab")
}
