//! `lab status`: the fleet from above, as no Dom0 of it can see it.

use super::{Fault, told};
use xen_drbd::core::drbd::Generation;
use xen_drbd::lab::folder::Folder;
use xen_drbd::lab::{Fleet, Lab};

/// All of it, as text.
pub fn fleet(folder: &Folder) -> Result<String, Fault> {
    told(folder.with(|lab| describe(lab, folder)))
}

fn describe(lab: &Lab, folder: &Folder) -> String {
    let mut text =
        format!("{}, {:.1} s since its beginning, {} events\n", folder.dir().display(), seconds(lab.clock()), lab.fleet().events);
    let fleet = lab.fleet();
    for host in fleet.hosts.values() {
        let stack = match (host.xl, host.xm) {
            (Some(v), _) => format!("xl {}.{}", v.major, v.minor),
            (None, Some(v)) => format!("xm {}.{}", v.major, v.minor),
            (None, None) => "no toolstack".to_string(),
        };
        let power = if host.powered { "on" } else { "OFF" };
        text += &format!(
            "\n{}  {power}, {}, {stack}, DRBD {}, {} MiB free\n",
            host.name,
            host.address,
            generation(host.drbd),
            host.free_memory()
        );
        let rows: Vec<[String; 4]> = host
            .domains
            .iter()
            .map(|d| {
                let disks = d.disks.iter().map(|k| if k.state == 4 { "" } else { ", disk not connected" }).collect::<String>();
                let beats = lab.beats(&d.guest);
                [d.name.clone(), d.letters() + &disks, format!("{} MiB", d.memory), format!("{beats} beats written")]
            })
            .collect();
        text += &table(&rows);
        let rows: Vec<[String; 4]> = fleet.resources.iter().filter_map(|r| replica(&fleet, &host.name, &r.name)).collect();
        text += &table(&rows);
    }
    let cut: Vec<String> =
        fleet.links.iter().map(|(pair, link)| cut(&fleet, pair, link.drbd_cut, link.ssh_cut, link.mend_at)).collect();
    text += &section("Links cut", &cut);
    let planned: Vec<String> = lab.plan().iter().map(super::moments::words).collect();
    text += &section("Planned", &planned);
    let broken: Vec<String> =
        lab.findings().iter().map(|f| format!("{:?} at {:.1} s: {}", f.kind, seconds(f.at), f.text)).collect();
    text + &section("Promises broken so far", &broken)
}

fn replica(fleet: &Fleet, host: &str, resource: &str) -> Option<[String; 4]> {
    let replica = fleet.replica(host, resource)?;
    let links: Vec<String> = replica.peers.iter().map(|(peer, link)| format!("{peer}: {}", link.state)).collect();
    let state = if replica.up { replica.role.to_string() } else { "down".to_string() };
    let window = if replica.options.two_primaries { "two Primaries allowed" } else { "" };
    Some([resource.to_string(), state, links.join(", "), window.to_string()])
}

fn cut(fleet: &Fleet, pair: &str, drbd: bool, ssh: bool, mend_at: Option<u64>) -> String {
    let what = match (drbd, ssh) {
        (true, true) => "everything",
        (true, false) => "replication",
        _ => "ssh",
    };
    let until = mend_at
        .map_or("until it is mended".to_string(), |at| format!("for {:.0} s more", seconds(at.saturating_sub(fleet.clock))));
    format!("{}: {what}, {until}", pair.replace(' ', " and "))
}

fn section(title: &str, lines: &[String]) -> String {
    let body = if lines.is_empty() {
        " none\n".to_string()
    } else {
        lines.iter().fold("\n".to_string(), |all, l| all + "  " + l + "\n")
    };
    format!("\n{title}:{body}")
}

/// Columns that are as wide as they must be.
fn table(rows: &[[String; 4]]) -> String {
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |row: &[String; 4]| {
        let text = format!(
            "  {:w0$}  {:w1$}  {:w2$}  {}",
            row[0],
            row[1],
            row[2],
            row[3],
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2]
        );
        text.trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

fn generation(drbd: Generation) -> &'static str {
    match drbd {
        Generation::V83 => "8.3",
        Generation::V84 => "8.4",
        Generation::V9 => "9",
    }
}
