//! A domU's config file as far as the pretend toolstacks need it.
//!
//! Both languages (facts 3.1) are read alike: `key = value` with strings, numbers and lists of strings.
//! This is the pretend hypervisor's own reader, on purpose not the one that is under test.

use super::{DomDisk, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a config file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomuFile {
    /// `name`.
    pub name: String,
    /// `memory` in MiB.
    pub memory: u64,
    /// `vcpus`.
    pub vcpus: u32,
    /// `uuid`, where it is fixed.
    pub uuid: Option<String>,
    /// `type`, `pvh` where it is not said.
    pub kind: String,
    /// The bridges of `vif`.
    pub bridges: Vec<String>,
    /// `disk`.
    pub disks: Vec<DomDisk>,
}

/// Reads a config file.
pub fn parse(text: &str) -> Result<DomuFile, String> {
    let values = statements(text)?;
    let one = |key: &str| values.get(key).and_then(|v| v.first()).cloned();
    let mut file = DomuFile {
        name: one("name").unwrap_or_default(),
        memory: one("memory").and_then(|m| m.parse().ok()).unwrap_or(128),
        vcpus: one("vcpus").and_then(|m| m.parse().ok()).unwrap_or(1),
        uuid: one("uuid"),
        kind: one("type").or_else(|| one("builder")).unwrap_or_else(|| "pvh".to_string()),
        ..DomuFile::default()
    };
    for vif in values.get("vif").into_iter().flatten() {
        if let Some(bridge) = vif.split(',').filter_map(|p| p.trim().strip_prefix("bridge=")).next() {
            file.bridges.push(bridge.to_string());
        }
    }
    for disk in values.get("disk").into_iter().flatten() {
        file.disks.push(parse_disk(disk)?);
    }
    Ok(file)
}

/// One entry of `disk`, in the forms of facts 3.2 and 3.3.
pub fn parse_disk(text: &str) -> Result<DomDisk, String> {
    let mut disk = DomDisk { writable: true, ..DomDisk::default() };
    let mut positional = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        // `target=` eats the rest of the string.
        if let Some(target) = rest.strip_prefix("target=") {
            disk.target = target.to_string();
            break;
        }
        let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
        rest = after.trim_start();
        match part.split_once('=') {
            Some(("script", script)) => disk.script = Some(base_name(script)),
            Some(("vdev", vdev)) => disk.vdev = vdev.to_string(),
            Some(("access", access)) => disk.writable = !matches!(access, "r" | "ro"),
            Some(("devtype", kind)) => disk.cdrom = kind == "cdrom",
            Some(("format" | "backendtype" | "backend", _)) => {}
            Some(_) => return Err(format!("unknown parameter in {text:?}")),
            None if part == "cdrom" => disk.cdrom = true,
            None => positional.push(part),
        }
    }
    let mut positional = positional.into_iter().peekable();
    if let Some(target) = positional.next() {
        let mut target = target;
        while let Some(rest) = ["phy:", "file:", "tap:", "tap2:", "aio:", "raw:"].iter().find_map(|p| target.strip_prefix(p)) {
            target = rest;
        }
        match target.strip_prefix("drbd:") {
            Some(resource) => {
                disk.script = Some("block-drbd".to_string());
                disk.target = resource.to_string();
            }
            None => disk.target = target.to_string(),
        }
    }
    if positional.peek().is_some_and(|f| matches!(*f, "raw" | "qcow2" | "vhd" | "qcow" | "")) {
        positional.next();
    }
    if let Some(vdev) = positional.next() {
        disk.cdrom |= vdev.ends_with(":cdrom");
        disk.vdev = vdev.trim_end_matches(":cdrom").trim_end_matches(":disk").trim_start_matches("ioemu:").to_string();
    }
    if let Some(mode) = positional.next() {
        disk.writable = mode.starts_with('w') || mode == "rw";
    }
    if disk.vdev.is_empty() {
        return Err(format!("no vdev specified in {text:?}"));
    }
    Ok(disk)
}

/// The resource and the volume (by its place) that stand behind a disk.
pub fn behind(disk: &DomDisk, resources: &[Resource]) -> Option<(String, usize)> {
    if disk.script.as_deref() == Some("block-drbd") {
        let word = disk.target.strip_prefix("drbd:").unwrap_or(&disk.target);
        let (name, volume) = word.split_once('/').map_or((word, None), |(n, v)| (n, v.parse::<u32>().ok()));
        let resource = resources.iter().find(|r| r.name == name)?;
        let at = volume.and_then(|v| resource.volumes.iter().position(|c| c.number == v)).unwrap_or(0);
        return Some((name.to_string(), at));
    }
    let path = &disk.target;
    for resource in resources {
        for (at, volume) in resource.volumes.iter().enumerate() {
            let names = [
                volume.device.clone(),
                format!("/dev/drbd{}", volume.minor),
                format!("/dev/drbd/by-res/{}/{}", resource.name, volume.number),
                format!("/dev/drbd/by-disk/{}", volume.disk.trim_start_matches("/dev/")),
            ];
            let implicit = resource.implicit && *path == format!("/dev/drbd/by-res/{}", resource.name);
            if names.contains(path) || implicit {
                return Some((resource.name.clone(), at));
            }
        }
    }
    None
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_string()
}

/// `key = value` statements; a later one wins, `+=` adds.
fn statements(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut chars = text.chars().peekable();
    let mut line = 1;
    loop {
        skip(&mut chars, &mut line, true);
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || "_.".contains(*c)) {
            key.push(c);
        }
        if key.is_empty() {
            return match chars.peek() {
                None => Ok(values),
                Some(c) => Err(format!("{line}: config parsing error near `{c}': lexical error")),
            };
        }
        skip(&mut chars, &mut line, false);
        let add = chars.next_if_eq(&'+').is_some();
        if chars.next_if_eq(&'=').is_none() {
            return Err(format!("{line}: config parsing error near `{key}': syntax error"));
        }
        skip(&mut chars, &mut line, false);
        let mut found = Vec::new();
        if chars.next_if_eq(&'[').is_some() {
            loop {
                skip(&mut chars, &mut line, true);
                if chars.next_if_eq(&']').is_some() {
                    break;
                }
                found.push(value(&mut chars, line)?);
                skip(&mut chars, &mut line, true);
                let _ = chars.next_if_eq(&',');
            }
        } else {
            found.push(value(&mut chars, line)?);
        }
        if add {
            values.entry(key).or_default().extend(found);
        } else {
            values.insert(key, found);
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip(chars: &mut Chars<'_>, line: &mut u32, newlines: bool) {
    while let Some(&c) = chars.peek() {
        match c {
            '\n' | ';' if !newlines => return,
            '\n' => *line += 1,
            '#' => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            c if c.is_whitespace() || c == ';' => {}
            _ => return,
        }
        chars.next();
    }
}

fn value(chars: &mut Chars<'_>, line: u32) -> Result<String, String> {
    match chars.peek().copied() {
        Some(quote @ ('"' | '\'')) => {
            chars.next();
            let mut text = String::new();
            for c in chars.by_ref() {
                match c {
                    '\n' => break,
                    c if c == quote => return Ok(text),
                    c => text.push(c),
                }
            }
            Err(format!("{line}: config parsing error near `{quote}': lexical error"))
        }
        Some(c) if c.is_ascii_alphanumeric() => {
            let mut text = String::new();
            while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric()) {
                text.push(c);
            }
            Ok(text)
        }
        other => Err(format!("{line}: config parsing error near `{}': syntax error", other.unwrap_or(' '))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_forms_that_are_in_use_are_read() {
        let drbd = parse_disk("drbd:web,xvda,w").unwrap();
        assert_eq!((drbd.target.as_str(), drbd.script.as_deref(), drbd.vdev.as_str()), ("web", Some("block-drbd"), "xvda"));
        let phy = parse_disk("phy:/dev/drbd1,xvda,w").unwrap();
        assert_eq!((phy.target.as_str(), phy.script, phy.writable), ("/dev/drbd1", None, true));
        let script = parse_disk("vdev=xvda,access=rw,script=block-drbd,target=web").unwrap();
        assert_eq!((script.target.as_str(), script.script.as_deref()), ("web", Some("block-drbd")));
        assert!(parse_disk("target=web,script=block-drbd,vdev=xvda").is_err());
    }

    #[test]
    fn a_file_with_comments_and_lists() {
        let text = "name = \"web\" # the shop\nmemory = 512\ndisk = [\n  'drbd:web,xvda,w', # root\n  'phy:/dev/vg0/swap,xvdb,w',\n]\nvif = ['mac=00:16:3e:00:00:01,bridge=xenbr0']\n";
        let file = parse(text).unwrap();
        assert_eq!((file.name.as_str(), file.memory, file.disks.len()), ("web", 512, 2));
        assert_eq!(file.bridges, ["xenbr0"]);
        assert!(parse("name = \"web\nmemory").is_err());
    }
}
