//! A folder of a thousand files, nearly all of them wrong in one way or another: each has a line of its own, and the one that is right is
//! started.

use xen_drbd::core::drbd::Generation;
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::{DiskForm, Lab};

const A: &str = "dom0-alpha";
const FOLDER: &str = "/etc/xen/drbd-auto";

/// The ways in which a file is no config, or a wrong one: its ending, its text with `NAME` in it, and a word of what is said.
const WAYS: [(&str, &str, &str); 10] = [
    ("", "", "has no name"),
    ("", "name = 'NAME'\nmemory = [", "does not belong here"),
    ("", "name = 'NAME'\nmemory = 64\n", "no disk of it is DRBD"),
    ("", "name = 'NAME'\nmemory = 64\ndisk = ['phy:/dev/vg0/x,xvda,w']\n", "no disk of it is DRBD"),
    ("", "name = 'NAME'\nmemory = 64\ndisk = ['drbd:nosuch,xvda,w']\n", "not in this host's DRBD configuration"),
    ("", "name = 'NAME'\nmemory = 64\nfor x in y: pass\n", "fault"),
    ("", "name = 'NAME'\0\n", "the value zero"),
    ("~", "name = 'NAME'\n", "left out"),
    (".dpkg-old", "name = 'NAME'\n", "left out"),
    ("/web.cfg", "name = 'NAME'\n", "left out: a folder"),
];

#[test]
fn a_thousand_files_have_a_line_each_and_the_right_one_is_started() {
    let lab = Lab::pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    lab.run(A, &["xl", "destroy", "web"]);
    // The right one, which is the last in the order of the names.
    assert!(lab.file(A, &format!("{FOLDER}/web.cfg")).is_some(), "the pair's config");
    let files: Vec<(String, &str)> = (0..999)
        .map(|n| {
            let (ending, text, says) = WAYS[n % WAYS.len()];
            let name = format!("d{n:03}");
            lab.put(A, &format!("{FOLDER}/{name}{ending}"), &text.replace("NAME", &name));
            (name + ending.trim_end_matches("/web.cfg"), says)
        })
        .collect();
    let ran = lab.run(A, &["xen-drbd-auto", "start"]);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    let said = format!("{}\n{}", ran.out, ran.err);
    let missing: Vec<&String> = files
        .iter()
        .filter(|(file, says)| !said.lines().any(|line| line.starts_with(&format!("{file}:")) && line.contains(says)))
        .map(|(file, _)| file)
        .collect();
    assert!(missing.is_empty(), "{} have no line: {:?}\n{}", missing.len(), &missing[..missing.len().min(10)], &said[..4000]);
    assert!(said.lines().any(|line| line.starts_with("web: started")), "{}", ran.out);
    assert_eq!(lab.runs_on("web"), [A]);
    let status = lab.run(A, &["xen-drbd-auto", "status"]);
    assert_eq!(status.out.lines().filter(|line| line.contains("  fault  ")).count(), 700, "{}", &status.out[..4000]);
}
