//! What the tests of this folder share.

use super::Picture;
use crate::core::drbd::Replica;
use std::path::PathBuf;

/// A recording by its name.
pub(super) fn recorded(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every recording: name and text.
pub(super) fn all_recorded() -> Vec<(String, String)> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".txt")).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), recorded(&name))).collect()
}

/// One resource of a picture.
pub(super) fn replica(picture: &Picture, name: &str) -> Replica {
    let found = picture.replicas().into_iter().find(|r| r.resource == *name);
    found.unwrap_or_else(|| panic!("{name} is not in {picture:?}"))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/drbd")
}
