//! `xl list -l`: JSON since Xen 4.2.

use super::{GuestKind, Long, Misread, add_once, script_name};
use crate::core::xen::DomainDisk;
use serde_json::Value;

/// Reads the domains of `xl list -l`.
///
/// Up to 4.4 every default is written out (`null`, -1, `"<default>"`); later ones are left out (facts 2.3). Numbers that stand for yes
/// and no stay numbers, and libxl's own yes and no are the texts `"True"` and `"False"`. A domain whose configuration cannot be read
/// is not there at all: compare with `xl list`.
pub fn domains(text: &str) -> Result<Vec<Long>, Misread> {
    if text.trim_start().starts_with('(') {
        // Xen 4.1, or output_format="sxp" in xl.conf. That form shows neither scripts nor bridges (`xl_sxp.c`), so a DRBD disk given
        // by its resource's name would look like any other.
        let row = text.lines().next().unwrap_or_default();
        return Err(Misread::of(
            row,
            "this is xl's old format, which leaves out the disks' scripts (output_format in xl.conf, or Xen 4.1)",
        ));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let row = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        Misread::of(row, format!("this is not JSON: {error}"))
    })?;
    let Value::Array(domains) = value else {
        return Err(Misread::of(text, "this is not a JSON array"));
    };
    domains.iter().map(domain).collect()
}

fn domain(value: &Value) -> Result<Long, Misread> {
    let wrong = |why: &str| Misread::of(&value.to_string(), why);
    let id = match &value["domid"] {
        Value::Null => None,
        id => Some(id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| wrong("domid is not a domain id"))?),
    };
    let config = &value["config"];
    let (create, build) = (&config["c_info"], &config["b_info"]);
    // Channels and others have names too; only this one is the domain's.
    let name = create["name"].as_str().ok_or_else(|| wrong("config.c_info.name is missing"))?;
    let mut bridges = Vec::new();
    for nic in entries(&config["nics"]).ok_or_else(|| wrong("nics is not a list"))? {
        add_once(&mut bridges, nic["bridge"].as_str().unwrap_or_default());
    }
    let disks = entries(&config["disks"]).ok_or_else(|| wrong("disks is not a list"))?;
    Ok(Long {
        name: name.to_string(),
        id,
        uuid: create["uuid"].as_str().map(str::to_ascii_lowercase),
        kind: kind(create, build),
        max_memory_mib: memory(&build["max_memkb"]),
        disks: disks.iter().map(disk).collect::<Result<_, _>>()?,
        bridges,
    })
}

fn entries(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Null => Some(&[]),
        Value::Array(entries) => Some(entries),
        _ => None,
    }
}

fn kind(create: &Value, build: &Value) -> GuestKind {
    let word = create["type"].as_str().unwrap_or_default();
    match word {
        // Xen 4.4 to 4.9 had PVH as a kind of PV.
        "pv" if yes(&create["pvh"]) == Some(true) => GuestKind::Pvh,
        "pv" => GuestKind::Pv,
        "pvh" => GuestKind::Pvh,
        "hvm" => GuestKind::Hvm,
        "" if build.get("type.pv").is_some() => GuestKind::Pv,
        "" if build.get("type.pvh").is_some() => GuestKind::Pvh,
        "" if build.get("type.hvm").is_some() => GuestKind::Hvm,
        other => GuestKind::Other(other.to_string()),
    }
}

/// KiB to MiB, rounded up. libxl's default is all bits set (`LIBXL_MEMKB_DEFAULT`), which means: not set.
fn memory(kib: &Value) -> Option<u64> {
    kib.as_u64().filter(|kib| *kib < 1 << 50).map(|kib| kib.div_ceil(1024))
}

fn disk(value: &Value) -> Result<DomainDisk, Misread> {
    let wrong = |why: &str| Misread::of(&value.to_string(), why);
    let text = |key: &str| match &value[key] {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text.as_str()),
        _ => Err(wrong(&format!("{key} of a disk is not a text"))),
    };
    let flag = |key: &str| yes(&value[key]).ok_or_else(|| wrong(&format!("{key} of a disk is neither yes nor no")));
    let vdev = text("vdev")?;
    if vdev.is_empty() {
        return Err(wrong("a disk has no vdev"));
    }
    Ok(DomainDisk {
        vdev: vdev.to_string(),
        target: text("pdev_path")?.to_string(),
        script: script_name(text("script")?),
        cdrom: flag("is_cdrom")?,
        writable: flag("readwrite")?,
    })
}

/// Yes and no in any of libxl's spellings; left out means no. None for what is not one of them.
fn yes(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(yes) => Some(*yes),
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        Value::String(text) => match text.as_str() {
            "True" => Some(true),
            "False" | "<default>" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
