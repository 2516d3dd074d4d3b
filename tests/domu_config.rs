//! Every recorded domU config in both languages, against what the real parsers said (`recorded/domu-cfg/expected.json`: Xen 4.20's
//! libxlutil, and `xm create -n` of Xen 4.1) and against what the disks mean for DRBD (facts 3.6).

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xen_drbd::core::config::{Disk, DrbdUse, Words, read};
use xen_drbd::core::fault::Fault;
use xen_drbd::core::xen::Toolstack;

/// Files that `xm` can run and that are not understood here, with the reason. Everything else must come out as recorded.
const ONLY_PYTHON_KNOWS: [(&str, &str); 1] = [
    // The disk depends on the host the file is evaluated on.
    ("34-if-block.cfg", "if"),
];

/// Files that `xl` reads without a complaint but refuses afterwards.
const XL_REFUSES_LATER: [(&str, &str); 1] = [
    // `Domain name must be specified.`
    ("24-no-name.cfg", "no name"),
];

/// What facts 3.6 say the disks come to, `xl` and `xm`; `fault` where starting it fails or DRBD would not be found.
const MEANING: [(&str, &str, &str); 48] = [
    ("01", "web", "web"),
    ("02", "minor 1", "minor 1"),
    ("03", "fault", "minor 1"),
    ("04", "by-res web/0", "by-res web/0"),
    ("05", "by-res web", "by-res web"),
    ("06", "by-disk /dev/vg0/web", "by-disk /dev/vg0/web"),
    ("07", "web", "fault"),
    ("08", "unread", "fault"),
    ("09", "minor 1", "fault"),
    ("10", "minor 1", "fault"),
    ("11", "db-root, db-data", "db-root, db-data"),
    ("12", "minor 1, plain /dev/vg0/swap", "minor 1, plain /dev/vg0/swap"),
    ("13", "web", "web"),
    ("14", "web", "web"),
    ("15", "web, web-data", "web, web-data"),
    ("16", "web, none", "web, none"),
    ("17", "web, none", "web, none"),
    ("18", "web, plain /dev/vg0/scratch, plain /srv/x.img", "web, plain /dev/vg0/scratch, plain /srv/x.img"),
    ("19", "by-res db/0, by-res db/1", "by-res db/0, by-res db/1"),
    ("20", "db/0", "db/0"),
    ("21", "unread", "web"),
    ("22", "unread", "web3"),
    ("23", "unread", "minor 7"),
    ("24", "unread", "web"),
    ("25", "web", "web"),
    ("26", "fault", "fault"),
    ("27", "", "unread"),
    ("28", "unread", "minor 1"),
    ("29", "win, none", "win, none"),
    // `web#1` can be no resource.
    ("30", "fault", "fault"),
    ("31", "web", "web"),
    ("32", "web", "fault"),
    // The DRBD device of another domain.
    ("33", "unread", "fault"),
    ("34", "unread", "unread"),
    ("35", "", "unread"),
    ("36", "unread", "web"),
    ("37", "unread", "web"),
    ("38", "web", "web"),
    ("39", "unread", "web"),
    ("40", "unread", ""),
    ("41", "unread", "web"),
    ("42", "", ""),
    ("43", "unread", "fault"),
    ("44", "web", "web"),
    ("45", "web", "unread"),
    ("46", "unread", "web"),
    ("47", "unread", "web"),
    ("48", "device /dev/drbd_db1", "device /dev/drbd_db1"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/domu-cfg")
}

fn expected() -> BTreeMap<String, Value> {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn text(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn word<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value[key].as_str()
}

#[test]
fn every_recorded_file_is_there() {
    assert_eq!(expected().len(), 48);
    for name in expected().keys() {
        assert!(!text(name).is_empty());
    }
}

#[test]
fn xl_reads_what_xl_reads() {
    for (name, answers) in expected() {
        let want = &answers["xl_4_20"];
        let got = read(&name, &text(&name), Toolstack::Xl);
        let disks = want["disks"].as_array().cloned().unwrap_or_default();
        let bad_disk = disks.iter().any(|d| d["error"] == true);
        let later = XL_REFUSES_LATER.iter().any(|(file, _)| *file == name);
        if want["parse"] == "error" || bad_disk || later {
            let faults = got.expect_err(&name);
            assert_same_lines(&name, want, &faults);
            continue;
        }
        let config = got.unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert_eq!(word(want, "name"), Some(config.name.as_str()), "{name}");
        assert_eq!(config.disks.len(), disks.len(), "{name}");
        for (disk, want) in config.disks.iter().zip(&disks) {
            assert_xl_disk(&name, disk, want);
        }
        // What xl warns of is a warning here.
        assert!(want.get("messages").is_none() || !config.warnings.is_empty(), "{name}");
    }
}

fn assert_xl_disk(name: &str, disk: &Disk, want: &Value) {
    let Words::Xl { backend, format } = &disk.words else { panic!("{name}: not xl's words") };
    assert_eq!(word(want, "spec"), Some(disk.spec.as_str()), "{name}");
    assert_eq!(word(want, "target"), Some(disk.target.as_str()), "{name}");
    assert_eq!(word(want, "vdev"), Some(disk.vdev.as_str()), "{name}");
    assert_eq!(word(want, "backend"), Some(*backend), "{name}");
    assert_eq!(word(want, "format"), Some(*format), "{name}");
    assert_eq!(word(want, "script"), disk.script.as_deref(), "{name}");
    assert_eq!(want["readwrite"].as_bool(), Some(disk.writable), "{name}");
    assert_eq!(want["cdrom"].as_bool(), Some(disk.cdrom), "{name}");
    assert_eq!(word(want, "backend_domain"), disk.backend_domain.as_deref(), "{name}");
}

/// xl names lines: we complain of the same ones, beginning with the same one. (xl keeps quiet for three tokens after an error, so that we
/// may have more of them.)
fn assert_same_lines(name: &str, want: &Value, faults: &[Fault]) {
    let messages = want["messages"].as_array().cloned().unwrap_or_default();
    let lines = messages.iter().filter_map(|m| m.as_str()?.strip_prefix("<file>:")?.split(':').next()?.parse::<u32>().ok());
    let mut lines: Vec<u32> = lines.collect();
    lines.dedup();
    let mut ours: Vec<u32> = faults.iter().map(|f| f.line).collect();
    ours.dedup();
    match name {
        // Windows line ends: one fault is enough for the whole file.
        "37-crlf.cfg" => assert_eq!(ours, [1], "{name}"),
        _ if lines.is_empty() => {}
        _ => {
            assert_eq!(ours.first(), lines.first(), "{name}: {faults:?}");
            assert!(lines.iter().all(|line| ours.contains(line)), "{name}: {lines:?} {faults:?}");
        }
    }
}

#[test]
fn xm_reads_what_xm_reads() {
    for (name, answers) in expected() {
        let want = &answers["xm_4_1"];
        let got = read(&format!("/etc/xen/{name}"), &text(&name), Toolstack::Xm);
        if let Some((_, why)) = ONLY_PYTHON_KNOWS.iter().find(|(file, _)| *file == name) {
            assert_eq!(want["parse"], "ok", "{name} is listed for nothing");
            let faults = got.expect_err(&name);
            assert!(faults[0].what.contains(why) && faults[0].what.contains("not understood"), "{name}: {faults:?}");
            continue;
        }
        if want["parse"] == "error" {
            got.expect_err(&name);
            continue;
        }
        let config = got.unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert_eq!(word(want, "name"), Some(config.name.as_str()), "{name}");
        let disks = want["disks"].as_array().unwrap();
        assert_eq!(config.disks.len(), disks.len(), "{name}");
        for (disk, want) in config.disks.iter().zip(disks) {
            let Words::Xm { uname, dev, mode, backend, protocol } = &disk.words else { panic!("{name}: not xm's words") };
            assert_eq!(word(want, "uname"), Some(uname.as_str()), "{name}");
            assert_eq!(word(want, "dev"), Some(dev.as_str()), "{name}");
            assert_eq!(word(want, "mode"), Some(mode.as_str()), "{name}");
            assert_eq!(word(want, "backend"), backend.as_deref(), "{name}");
            assert_eq!(word(want, "protocol"), protocol.as_deref(), "{name}");
            let class = ["tap2", "tap"].into_iter().find(|c| uname.starts_with(&format!("{c}:"))).unwrap_or("vbd");
            assert_eq!(word(want, "class"), Some(class), "{name}");
        }
    }
}

#[test]
fn every_disk_means_what_the_facts_say() {
    let names: Vec<String> = expected().into_keys().collect();
    assert_eq!(names.len(), MEANING.len());
    for (name, (number, xl, xm)) in names.iter().zip(MEANING) {
        assert!(name.starts_with(number), "{name} {number}");
        assert_eq!(meaning(name, Toolstack::Xl), xl, "{name} for xl");
        assert_eq!(meaning(name, Toolstack::Xm), xm, "{name} for xm");
    }
}

fn meaning(name: &str, toolstack: Toolstack) -> String {
    let Ok(config) = read(name, &text(name), toolstack) else {
        return "unread".to_string();
    };
    match config.drbd_uses() {
        Err(_) => "fault".to_string(),
        Ok(uses) => uses.iter().map(|u| in_words(&u.used)).collect::<Vec<_>>().join(", "),
    }
}

fn in_words(used: &DrbdUse) -> String {
    match used {
        DrbdUse::Resource(name) => name.to_string(),
        DrbdUse::ResourceVolume(name, volume) => format!("{name}/{volume}"),
        DrbdUse::Minor(minor) => format!("minor {minor}"),
        DrbdUse::Device(path) => format!("device {path}"),
        DrbdUse::ByRes { resource, volume: None } => format!("by-res {resource}"),
        DrbdUse::ByRes { resource, volume: Some(volume) } => format!("by-res {resource}/{volume}"),
        DrbdUse::ByDisk(path) => format!("by-disk {path}"),
        DrbdUse::Plain(path) => format!("plain {path}"),
        DrbdUse::None => "none".to_string(),
    }
}
