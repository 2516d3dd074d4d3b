//! What `xl` and `xm` answer: pure text in, types out.
//!
//! One rule holds for all of them: a row that is not understood is an error that quotes it. It is never left out, because what was
//! left out would count as absent, and an absent domU may be started a second time.

pub mod block;
pub mod info;
pub mod json;
pub mod list;
pub mod sxp;

use super::error::shortened;
use crate::core::xen::DomainDisk;
use std::fmt;

/// A row that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// The row, shortened.
    pub row: String,
    /// What is wrong with it.
    pub why: String,
}

impl Misread {
    /// Quotes a row.
    pub fn of(row: &str, why: impl Into<String>) -> Misread {
        Misread { row: shortened(row, 200), why: why.into() }
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.why, self.row)
    }
}

/// How a guest is virtualised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestKind {
    /// Paravirtualised. Its live migration needs a hypervisor with shadow paging.
    Pv,
    /// PVH.
    Pvh,
    /// Fully virtualised, with or without PV drivers. Without them its block devices never reach state 4.
    Hvm,
    /// A word that this version does not know; empty where none was given.
    Other(String),
}

impl GuestKind {
    /// `pv`, `pvh`, `hvm` or the word that was not known; none where there was none.
    pub fn word(&self) -> Option<&str> {
        match self {
            GuestKind::Pv => Some("pv"),
            GuestKind::Pvh => Some("pvh"),
            GuestKind::Hvm => Some("hvm"),
            GuestKind::Other(word) => Some(word.as_str()).filter(|word| !word.is_empty()),
        }
    }
}

/// The stored configuration of a domain, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Long {
    /// The name. Of `xl` 4.2 to 4.4 it is the one given at creation, also after a rename; then only the id tells who it is.
    pub name: String,
    /// The domain id; none for a managed `xm` domain that does not run.
    pub id: Option<u32>,
    /// The uuid. `xl` 4.2 to 4.4 may show one made up just now (`xl_sxp.c` says so); `xl vm-list` shows the real one.
    pub uuid: Option<String>,
    /// How it is virtualised.
    pub kind: GuestKind,
    /// The most memory it may have, in MiB, without the toolstack's overhead; none where it is not set.
    pub max_memory_mib: Option<u64>,
    /// Its disks, in the order of the configuration.
    pub disks: Vec<DomainDisk>,
    /// The bridges its network cards are on, each once, in order. A card without a bridge in its configuration is not among them.
    pub bridges: Vec<String>,
}

/// The virtual device number that `block-list` shows, from the name of a disk (`xvda` → 51712).
///
/// `libxl_device.c`, `libxl__device_disk_dev_number`, and `blkif.py`, `blkdev_name_to_number`, which agree where both know a name;
/// also the forms `d0p0` and plain numbers. None for anything else.
pub fn vdev_number(vdev: &str) -> Option<u32> {
    const IDE: [u32; 10] = [3, 22, 33, 34, 56, 57, 88, 89, 90, 91];
    const SCSI: [u32; 16] = [8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135];
    if let Some(hex) = vdev.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    if !vdev.is_empty() && vdev.bytes().all(|b| b.is_ascii_digit()) {
        return vdev.parse().ok();
    }
    let xen = |disk: u32, part: u32| {
        (disk < 1 << 20 && part < 256).then_some(if disk <= 15 && part <= 15 {
            (202 << 8) | (disk << 4) | part
        } else {
            (1 << 28) | (disk << 8) | part
        })
    };
    if let Some((disk, part)) = vdev.strip_prefix('d').and_then(|rest| rest.split_once('p')) {
        return xen(disk.parse().ok()?, part.parse().ok()?);
    }
    let name = vdev.strip_prefix("/dev/").unwrap_or(vdev);
    if let Some(rest) = name.strip_prefix("xvd") {
        let (disk, part) = letters_and_number(rest)?;
        return xen(disk, part);
    }
    if let Some(rest) = name.strip_prefix("hd") {
        let (disk, part) = letters_and_number(rest)?;
        let major = IDE.get(disk as usize / 2)?;
        return (part < 64).then_some((major << 8) | ((disk & 1) << 6) | part);
    }
    if let Some(rest) = name.strip_prefix("sd") {
        let (disk, part) = letters_and_number(rest)?;
        let major = SCSI.get(disk as usize / 16)?;
        return (part < 16).then_some((major << 8) | ((disk & 15) << 4) | part);
    }
    None
}

/// `a` → (0, 0), `b3` → (1, 3), `aa` → (26, 0).
fn letters_and_number(text: &str) -> Option<(u32, u32)> {
    let split = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (letters, number) = text.split_at(split);
    if letters.is_empty() || letters.len() > 4 || number.starts_with('0') {
        return None;
    }
    let mut disk = 0u32;
    for c in letters.bytes() {
        disk = disk * 26 + u32::from(c - b'a') + 1;
    }
    let part = if number.is_empty() { 0 } else { number.parse().ok()? };
    Some((disk - 1, part))
}

/// A script's base name; none for the plain `block`, which every toolstack runs for a device path.
fn script_name(script: &str) -> Option<String> {
    let name = script.rsplit('/').next().unwrap_or(script);
    (!name.is_empty() && name != "block").then(|| name.to_string())
}

fn add_once(bridges: &mut Vec<String>, bridge: &str) {
    if !bridge.is_empty() && !bridges.iter().any(|seen| seen == bridge) {
        bridges.push(bridge.to_string());
    }
}

#[cfg(test)]
mod tests;
