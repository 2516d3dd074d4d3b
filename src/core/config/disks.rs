//! From a disk to the DRBD resource behind it (facts 3.5).
//!
//! A disk names DRBD by a resource (`drbd:web`, `script=block-drbd`), by a device (`/dev/drbd1`, `/dev/drbd_web`) or by a link that udev
//! makes (`/dev/drbd/by-res/…`, `/dev/drbd/by-disk/…`). The words alone give a [`DrbdUse`]; [`resolve`] finds the resource in what the
//! operator's DRBD files say. Links are never followed: they are absent while the resource is down.
//!
//! What looks like DRBD and is not understood is a [`Misfit`], never "no DRBD": a domU started on the wrong answer may run twice.
//! What cannot be seen here: DRBD underneath LVM, multipath or a file system (`/dev/vg_on_drbd/web`).

use super::{Disk, DomuConfig};
use crate::core::drbd::{Configured, ConfiguredVolume, Generation};
use crate::core::fault::{Fault, quoted};
use crate::core::names::ResourceName;
use crate::core::xen::DomainDisk;
use std::fmt;
use thiserror::Error;

/// How a disk uses DRBD, by its words alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrbdUse {
    /// `drbd:RES`, or a target with `script=block-drbd`.
    Resource(ResourceName),
    /// `drbd:RES/VOL`: drbdadm 8.4 alone takes it; see [`DrbdUse::objection`].
    ResourceVolume(ResourceName, u32),
    /// `/dev/drbdN`.
    Minor(u32),
    /// `/dev/drbd_NAME`: a name of the operator's, known to the DRBD files alone.
    Device(String),
    /// `/dev/drbd/by-res/RES` or `/dev/drbd/by-res/RES/VOL`.
    ByRes {
        /// The resource.
        resource: ResourceName,
        /// The volume; without one the link exists for an implicit volume only, and only before drbd-utils 9.28.
        volume: Option<u32>,
    },
    /// `/dev/drbd/by-disk/VG/LV`, as the lower disk it stands for: `/dev/VG/LV`.
    ByDisk(String),
    /// A path or file without a sign of DRBD. [`resolve`] still looks whether it is a device or the lower disk of a resource.
    Plain(String),
    /// Nothing: an empty drive, a cdrom image, a script of another kind.
    None,
}

impl DrbdUse {
    /// Whether the words name DRBD.
    pub fn is_drbd(&self) -> bool {
        !matches!(self, DrbdUse::Plain(_) | DrbdUse::None)
    }

    /// Why the hotplug script fails with the tools of this generation although the resource is there.
    ///
    /// `block-drbd` hands the words on to `drbdadm role|primary`: 8.3 knows no volumes, and 9 refuses them there (facts 3.5).
    pub fn objection(&self, generation: Generation) -> Option<&'static str> {
        match (self, generation) {
            (DrbdUse::ResourceVolume(..), Generation::V83) => Some("DRBD 8.3 knows no volumes"),
            (DrbdUse::ResourceVolume(..), Generation::V9) => {
                Some("drbdadm 9 takes whole resources only, so block-drbd fails with RES/VOLUME")
            }
            _ => None,
        }
    }
}

/// Who promotes the resource of a disk when the domU starts (auto-promote of DRBD 9 aside).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// The hotplug script `block-drbd`, in one attempt; it demotes likewise when the domU ends.
    Script,
    /// Nobody: somebody has to, before the domU starts.
    Nobody,
}

/// Why the words of a disk cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong.
    pub what: String,
    /// What is expected.
    pub expected: String,
}

impl Misfit {
    pub(super) fn new(what: impl Into<String>, expected: impl Into<String>) -> Misfit {
        Misfit { what: what.into(), expected: expected.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.what, self.expected)
    }
}

/// One disk of a config with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUse<'c> {
    /// The disk.
    pub disk: &'c Disk,
    /// How it uses DRBD.
    pub used: DrbdUse,
    /// Who promotes the resource, where there is one.
    pub promotion: Promotion,
}

/// A resource that a domU needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededResource {
    /// The resource.
    pub resource: ResourceName,
    /// [`Promotion::Script`] only if the script promotes it for every disk that uses it.
    pub promotion: Promotion,
}

impl Disk {
    /// How the disk uses DRBD; what cannot be used, or will be refused at the start, is a fault at its place.
    pub fn drbd_use(&self) -> Result<DrbdUse, Fault> {
        let fault = |misfit: &Misfit| self.fault(&misfit.what, &misfit.expected);
        if let Some(refused) = &self.refused {
            return Err(fault(refused));
        }
        let used = classify(&self.target, self.script.as_deref(), self.cdrom).map_err(|misfit| fault(&misfit))?;
        // A resource in a driver domain is not this host's to see or to promote.
        match self.backend_domain.as_deref() {
            Some(domain) if !["", "0", "Domain-0"].contains(&domain) => match used {
                DrbdUse::Plain(_) | DrbdUse::None => Ok(DrbdUse::None),
                _ => Err(self.fault(
                    &format!("the DRBD resource is in the domain {}, where it cannot be seen", quoted(domain)),
                    "one of this host",
                )),
            },
            _ => Ok(used),
        }
    }

    /// Who promotes the resource.
    pub fn promotion(&self) -> Promotion {
        promotion(self.script.as_deref())
    }

    fn fault(&self, what: &str, expected: &str) -> Fault {
        Fault::new(self.line, self.column, format!("disk {}: {what}", quoted(&self.spec)), expected)
    }
}

impl DomuConfig {
    /// How every disk uses DRBD, or every fault.
    pub fn drbd_uses(&self) -> Result<Vec<DiskUse<'_>>, Vec<Fault>> {
        all(self.disks.iter().map(|disk| disk.drbd_use().map(|used| DiskUse { disk, used, promotion: disk.promotion() })))
    }

    /// Every resource the domU needs, each once, in the order of the file; or every fault.
    ///
    /// None at all is an empty list here: whether that is a fault is the caller's to say.
    pub fn resources(&self, configured: &[Configured]) -> Result<Vec<NeededResource>, Vec<Fault>> {
        let found = all(self.drbd_uses()?.into_iter().map(|use_| {
            let resource = resolve(&use_.used, configured).map_err(|why| use_.disk.fault(&why.to_string(), ""))?;
            Ok(resource.map(|resource| NeededResource { resource, promotion: use_.promotion }))
        }))?;
        let mut needed: Vec<NeededResource> = Vec::new();
        for one in found.into_iter().flatten() {
            match needed.iter_mut().find(|n| n.resource == one.resource) {
                Some(before) if one.promotion == Promotion::Nobody => before.promotion = Promotion::Nobody,
                Some(_) => {}
                None => needed.push(one),
            }
        }
        Ok(needed)
    }
}

fn all<T>(results: impl Iterator<Item = Result<T, Fault>>) -> Result<Vec<T>, Vec<Fault>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => good.push(one),
            Err(fault) => bad.push(fault),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

/// How a disk of a running domain uses DRBD, and who promotes (and will demote) its resource.
///
/// A relative path that looks like DRBD can only be xend's `phy:drbd1` there, which means `/dev/drbd1`.
pub fn of_running_disk(disk: &DomainDisk) -> Result<(DrbdUse, Promotion), Misfit> {
    let plain = matches!(disk.script.as_deref().map(base_name), None | Some("" | "block"));
    let used = if plain && disk.target.starts_with("drbd") {
        classify(&format!("/dev/{}", disk.target), None, disk.cdrom)
    } else {
        classify(&disk.target, disk.script.as_deref(), disk.cdrom)
    };
    used.map(|used| (used, promotion(disk.script.as_deref())))
}

fn promotion(script: Option<&str>) -> Promotion {
    match script.map(base_name) {
        Some(BLOCK_DRBD) => Promotion::Script,
        _ => Promotion::Nobody,
    }
}

/// The hotplug script, by its base name: some hosts have a copy elsewhere, since drbd-utils 9.31 ships none (facts 5).
const BLOCK_DRBD: &str = "block-drbd";

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn classify(target: &str, script: Option<&str>, cdrom: bool) -> Result<DrbdUse, Misfit> {
    let used = match script.map(base_name) {
        // The script strips `drbd:` since drbd-utils 9.1.0.
        Some(BLOCK_DRBD) => of_resource(target.strip_prefix("drbd:").unwrap_or(target))?,
        None | Some("" | "block") => of_path(target)?,
        Some(other) if other.to_ascii_lowercase().contains("drbd") => {
            return Err(Misfit::new(
                format!("the script {} looks like DRBD and is not known", quoted(other)),
                "`script=block-drbd`",
            ));
        }
        // Another script has another idea of what a target is, but a DRBD device stays one.
        Some(_) => match of_path(target)? {
            DrbdUse::Plain(path) if !path.starts_with('/') => DrbdUse::None,
            used => used,
        },
    };
    match used {
        DrbdUse::Plain(_) if cdrom => Ok(DrbdUse::None),
        used => Ok(used),
    }
}

/// `RES` or `RES/VOL`, as `block-drbd` hands it to `drbdadm`.
fn of_resource(words: &str) -> Result<DrbdUse, Misfit> {
    let (name, volume) = match words.split_once('/') {
        Some((name, volume)) => (name, Some(volume)),
        None => (words, None),
    };
    let resource = resource_name(name)?;
    match volume {
        None => Ok(DrbdUse::Resource(resource)),
        Some(volume) => Ok(DrbdUse::ResourceVolume(resource, number(volume, "a volume number")?)),
    }
}

fn of_path(target: &str) -> Result<DrbdUse, Misfit> {
    if target.is_empty() {
        return Ok(DrbdUse::None);
    }
    if !target.starts_with('/') {
        return if target.starts_with("drbd") {
            Err(Misfit::new(
                format!("{} is a relative path here", quoted(target)),
                format!("`/dev/{target}`, or `drbd:RESOURCE`"),
            ))
        } else {
            Ok(DrbdUse::Plain(target.to_string()))
        };
    }
    let unknown = || Misfit::new(format!("{} looks like DRBD and is not understood", quoted(target)), DEVICES);
    let parts: Vec<&str> = target.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return if parts.iter().any(|p| p.contains("drbd")) { Err(unknown()) } else { Ok(DrbdUse::Plain(target.to_string())) };
    }
    let path = format!("/{}", parts.join("/"));
    match parts.as_slice() {
        ["dev", "drbd", "by-res", name] => Ok(DrbdUse::ByRes { resource: resource_name(name)?, volume: None }),
        ["dev", "drbd", "by-res", name, volume] => {
            Ok(DrbdUse::ByRes { resource: resource_name(name)?, volume: Some(number(volume, "a volume number")?) })
        }
        ["dev", "drbd", "by-disk", lower @ ..] if !lower.is_empty() => Ok(DrbdUse::ByDisk(format!("/dev/{}", lower.join("/")))),
        ["dev", device] if device.starts_with("drbd") => match device.strip_prefix("drbd").unwrap_or_default() {
            private if private.len() > 1 && private.starts_with('_') => Ok(DrbdUse::Device(path)),
            minor if !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(DrbdUse::Minor(number(minor, "a minor number")?))
            }
            _ => Err(unknown()),
        },
        ["dev", first, ..] if first.starts_with("drbd") => Err(unknown()),
        // DRBD's major number is 147.
        ["dev", "block", number] if number.starts_with("147:") => Err(unknown()),
        ["dev", "disk", .., link] if link.contains("drbd") => Err(unknown()),
        // A partition of a DRBD device, made by kpartx.
        ["dev", "mapper", name] if name.strip_prefix("drbd").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit())) => {
            Err(unknown())
        }
        _ => Ok(DrbdUse::Plain(path)),
    }
}

const DEVICES: &str = "`/dev/drbdN`, `/dev/drbd_NAME`, `/dev/drbd/by-res/RES/VOLUME` or `/dev/drbd/by-disk/LOWER`";

fn resource_name(name: &str) -> Result<ResourceName, Misfit> {
    name.parse::<ResourceName>().map_err(|bad| {
        Misfit::new(
            format!("{} is no name of a DRBD resource: {}", quoted(name), bad.why),
            "the resource's name as drbd.conf has it",
        )
    })
}

/// A volume or minor number in its one spelling: DRBD has 20 bits for a minor and 16 for a volume.
fn number(text: &str, expected: &str) -> Result<u32, Misfit> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    match text.parse::<u32>() {
        Ok(number) if plain && number < 1 << 20 => Ok(number),
        _ => Err(Misfit::new(format!("{} is no number that DRBD knows", quoted(text)), expected)),
    }
}

/// Why no resource can be told from a disk. Nothing may be started or moved on it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// The DRBD files of this host do not have it.
    #[error("{0} is not in this host's DRBD configuration")]
    NotConfigured(String),
    /// The resource has no such volume.
    #[error("the resource {0} has no volume {1} on this host")]
    NoSuchVolume(ResourceName, u32),
    /// `block-drbd` and the bare by-res link stand for one volume.
    #[error("the resource {0} has {1} volumes; a disk that names it without a volume cannot work")]
    NotOneVolume(ResourceName, usize),
    /// `by-res/RES` is a folder.
    #[error("/dev/drbd/by-res/{0} is a folder, since the resource has explicit volumes; name the volume as well")]
    Folder(ResourceName),
    /// Two resources claim it.
    #[error("{what} belongs to {first} and to {second} in this host's DRBD configuration")]
    Ambiguous {
        /// What was looked for.
        what: String,
        /// One owner.
        first: ResourceName,
        /// Another.
        second: ResourceName,
    },
    /// The disk is what DRBD keeps its data on: using it goes around DRBD and destroys the mirror.
    #[error("{path} is the lower disk of the resource {resource}; the domU would go around DRBD")]
    LowerDisk {
        /// The disk.
        path: String,
        /// The resource that owns it.
        resource: ResourceName,
    },
}

/// Finds the resource behind a disk; `None` for a disk that has nothing to do with DRBD.
pub fn resolve(used: &DrbdUse, configured: &[Configured]) -> Result<Option<ResourceName>, Unresolved> {
    let by_name = |name: &ResourceName| {
        configured.iter().find(|c| c.resource == *name).ok_or_else(|| Unresolved::NotConfigured(format!("the resource {name}")))
    };
    let with_volume = |name: &ResourceName, volume: u32| match by_name(name)?.volumes.iter().any(|v| v.number == volume) {
        true => Ok(Some(name.clone())),
        false => Err(Unresolved::NoSuchVolume(name.clone(), volume)),
    };
    match used {
        DrbdUse::None => Ok(None),
        DrbdUse::Resource(name) => match by_name(name)?.volumes.len() {
            1 => Ok(Some(name.clone())),
            volumes => Err(Unresolved::NotOneVolume(name.clone(), volumes)),
        },
        DrbdUse::ResourceVolume(name, volume) => with_volume(name, *volume),
        DrbdUse::ByRes { resource, volume: Some(volume) } => with_volume(resource, *volume),
        DrbdUse::ByRes { resource, volume: None } => match by_name(resource)?.volumes.as_slice() {
            [only] if only.implicit => Ok(Some(resource.clone())),
            [_] => Err(Unresolved::Folder(resource.clone())),
            volumes => Err(Unresolved::NotOneVolume(resource.clone(), volumes.len())),
        },
        DrbdUse::Minor(minor) => {
            let path = format!("/dev/drbd{minor}");
            certain(configured, &path, |v| v.minor == *minor || v.device == path)
        }
        DrbdUse::Device(path) => certain(configured, path, |v| v.device == *path),
        DrbdUse::ByDisk(lower) => certain(configured, lower, |v| v.disk == *lower),
        DrbdUse::Plain(path) => {
            if let Some(owner) = owner(configured, path, |v| v.device == *path)? {
                return Ok(Some(owner));
            }
            match owner(configured, path, |v| same_disk(&v.disk, path))? {
                Some(resource) => Err(Unresolved::LowerDisk { path: path.clone(), resource }),
                None => Ok(None),
            }
        }
    }
}

fn certain(
    configured: &[Configured],
    what: &str,
    is: impl Fn(&ConfiguredVolume) -> bool,
) -> Result<Option<ResourceName>, Unresolved> {
    match owner(configured, what, is)? {
        Some(resource) => Ok(Some(resource)),
        None => Err(Unresolved::NotConfigured(what.to_string())),
    }
}

fn owner(
    configured: &[Configured],
    what: &str,
    is: impl Fn(&ConfiguredVolume) -> bool,
) -> Result<Option<ResourceName>, Unresolved> {
    let mut owners = configured.iter().filter(|c| c.volumes.iter().any(&is)).map(|c| &c.resource);
    let Some(first) = owners.next() else {
        return Ok(None);
    };
    match owners.find(|other| *other != first) {
        Some(second) => Err(Unresolved::Ambiguous { what: what.to_string(), first: first.clone(), second: second.clone() }),
        None => Ok(Some(first.clone())),
    }
}

/// Whether two paths are the same disk as far as words can tell: equal, or `/dev/VG/LV` and `/dev/mapper/VG-LV`.
fn same_disk(a: &str, b: &str) -> bool {
    fn mapper(path: &str) -> Option<String> {
        let (group, volume) = path.strip_prefix("/dev/")?.split_once('/')?;
        (!volume.contains('/') && group != "mapper")
            .then(|| format!("/dev/mapper/{}-{}", group.replace('-', "--"), volume.replace('-', "--")))
    }
    a == b || mapper(a).as_deref() == Some(b) || mapper(b).as_deref() == Some(a)
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
