//! The key, the way to each peer and back, versions, clocks, and what starts domUs at boot.

use super::{Case, Finding, KeyState, Level};
use crate::core::drbd::Generation;
use crate::core::facts::Promoter;
use crate::core::survey::{Health, Survey};
use crate::core::table;
use crate::core::whereabouts::Asked;

/// Clocks that differ by more than this many seconds confuse whoever compares two logs, and the records.
const CLOCKS_APART: u64 = 5;

pub fn key(case: &Case<'_>, found: &mut Vec<Finding>) {
    let path = &case.key.path;
    let first = case.asked.first().map_or("HOST".to_string(), |a| a.host.to_string());
    found.push(match case.key.state {
        KeyState::Missing => Finding::fault(
            "key",
            "key",
            format!("there is no dedicated key {path}: no peer can be looked at, and nothing can be fetched back"),
            format!("xen-migrate setup {first}"),
        ),
        KeyState::Passphrase => Finding::fault(
            "key",
            "key",
            format!("{path} has a passphrase, and nobody is there to type it"),
            format!("ssh-keygen -p -f {path}   (leave it empty)"),
        ),
        KeyState::Foreign => Finding::fault(
            "key",
            "key",
            format!("{path} does not belong to root: whoever owns it may migrate in root's name"),
            format!("chown root: {path}"),
        ),
        KeyState::Mode(mode) if mode & 0o077 != 0 => Finding::fault(
            "key",
            "key",
            format!("{path} has mode {mode:04o}: ssh does not use a key that others may read"),
            format!("chmod 600 {path}"),
        ),
        KeyState::Mode(_) => Finding::ok("key", "key", format!("{path} is there, and root's alone")),
        KeyState::Unseen => Finding::new(Level::Ok, "key", "key", format!("{path} is there")),
    });
}

pub fn table(case: &Case<'_>, found: &mut Vec<Finding>) {
    for fault in &case.table {
        let line = fault.lines().next().unwrap_or_default();
        found.push(Finding::fault("table", "table", format!("{line}: a row with a fault is never acted on"), "mend that row"));
    }
    if !case.has_table {
        let advice = format!("write {}   (README, \"Five minutes to the first migration\")", table::PATH);
        found.push(Finding::fault("table", "table", format!("there is no {}: nothing is known to move", table::PATH), advice));
    } else if case.table_of_others > 0 {
        let what = match case.table_of_others {
            1 => "another row has a fault, and is not acted on".to_string(),
            n => format!("other rows have faults ({n}), and are not acted on"),
        };
        found.push(Finding::warning("table", "table", what, "xen-migrate status"));
    } else if case.table.is_empty() {
        found.push(Finding::ok("table", "table", format!("{} reads well", table::PATH)));
    }
}

/// What is wrong with this Dom0 alone.
pub fn this_host(case: &Case<'_>, found: &mut Vec<Finding>) {
    let before = found.len();
    if let Some(health) = case.here.health.as_deref() {
        one_host(case.here, health, "", found);
    }
    if found[before..].iter().all(|f| f.level == Level::Ok) {
        found.push(Finding::ok(&case.here.host, "host", versions(case.here)));
    }
}

pub fn peer(case: &Case<'_>, one: &Asked, found: &mut Vec<Finding>) {
    let host = &one.host;
    let survey = match &one.answer {
        Ok(survey) => survey,
        Err(_) if case.key.state == KeyState::Missing => {
            let what = "not looked at, without the key: `migrate` goes there over root's own ssh, and cannot check what is there";
            let finding = Finding::warning(host, "peer", what, format!("xen-migrate setup {host}"));
            found.push(Finding { unreachable: true, ..finding });
            return;
        }
        Err(why) => {
            let (said, advice) = why.split_once("try: ").map_or((why.as_str(), None), |(said, advice)| (said, Some(advice)));
            let said: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            let what =
                format!("{}: it cannot be looked at, and no domU can go there", said.join("; ").trim_end_matches([';', ' ']));
            let advice = advice.map_or_else(|| format!("xen-migrate ping {host}"), |a| a.trim().to_string());
            found.push(Finding { unreachable: true, ..Finding::fault(host, "peer", what, advice) });
            return;
        }
    };
    let before = found.len();
    let by_address = host.as_str().parse::<std::net::IpAddr>().is_ok();
    if survey.host.same_host(&case.here.host) {
        let what = "that name leads back to this very Dom0".to_string();
        found.push(Finding::fault(host, "name", what, format!("getent hosts {host}")));
        return;
    }
    if !by_address && !survey.host.same_host(host) {
        let what = format!("it answers that it is {}", survey.host);
        let advice = format!("getent hosts {host}   (is the name right in the table and in /etc/hosts?)");
        found.push(Finding::fault(host, "name", what, advice));
    }
    let Some(health) = survey.health.as_deref() else {
        let what = "it answers without what was asked for".to_string();
        found.push(Finding::fault(host, "versions", what, "install the same version on both Dom0s"));
        return;
    };
    let there = format!("on {host}: ");
    if let Some(why) = &health.way_back {
        let why: Vec<&str> = why.lines().map(str::trim).collect();
        let what = format!("it answers, and does not reach us: {}: no domU comes back from there", why.join("; "));
        found.push(Finding::fault(host, "way-back", what, format!("{there}xen-migrate setup {}", case.here.host)));
    }
    clock(case, survey, found);
    differences(case, survey, health, found);
    one_host(survey, health, &there, found);
    if found[before..].iter().all(|f| f.level == Level::Ok) {
        found.push(Finding::ok(host, "peer", format!("answers, and reaches us: {}", versions(survey))));
    }
}

fn versions(survey: &Survey) -> String {
    let (xen, drbd) = survey.health.as_deref().map_or(("?", None), |h| (h.xen.as_str(), h.module.clone()));
    let drbd = drbd.map_or("no DRBD".to_string(), |version| format!("DRBD {version}"));
    format!("xen-migrate {}, {}, Xen {xen}, {drbd}", survey.version, survey.toolstack)
}

/// The answer's time lies between the question and the last answer, unless the clocks differ.
fn clock(case: &Case<'_>, survey: &Survey, found: &mut Vec<Finding>) {
    let (asked, answered) = case.between;
    let (ahead, behind) = (survey.now.0.saturating_sub(answered), asked.saturating_sub(survey.now.0));
    let apart = ahead.max(behind);
    if apart > CLOCKS_APART {
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let what = format!("its clock is {apart} s {side} ours: the times in records and logs cannot be compared");
        found.push(Finding::warning(&survey.host, "clock", what, "on both: timedatectl   (is NTP on?)"));
    }
}

/// What should be the same at both ends. Xen itself is looked at for each domU, in the direction that it would take.
fn differences(case: &Case<'_>, survey: &Survey, health: &Health, found: &mut Vec<Finding>) {
    let host = &survey.host;
    let Some(own) = case.here.health.as_deref() else { return };
    if survey.version != case.here.version {
        let what = format!("xen-migrate {} there, {} here", survey.version, case.here.version);
        found.push(Finding::warning(host, "versions", what, "install the same version on both Dom0s"));
    }
    if survey.toolstack != case.here.toolstack {
        let what =
            format!("{} there, {} here: they do not understand each other's stream", survey.toolstack, case.here.toolstack);
        found.push(Finding::fault(host, "versions", what, "use the same toolstack on both"));
    }
    if health.xen != own.xen {
        let what = format!("Xen {} there, {} here: a domU goes to a newer Xen, and not back", health.xen, own.xen);
        found.push(Finding::warning(host, "versions", what, "bring both to the same Xen"));
    }
    if health.generation != own.generation {
        let what = format!("DRBD {} there, {} here", generation(health), generation(own));
        found.push(Finding::warning(host, "versions", what, "bring both to the same DRBD"));
    }
}

fn generation(health: &Health) -> &str {
    match (health.module.as_deref(), health.generation) {
        (Some(version), _) => version,
        (None, Some(Generation::V83)) => "8.3",
        (None, Some(Generation::V84)) => "8.4",
        (None, Some(Generation::V9)) => "9",
        (None, None) => "none",
    }
}

/// What each Dom0 can have wrong by itself. `there` stands in front of what is typed.
fn one_host(survey: &Survey, health: &Health, there: &str, found: &mut Vec<Finding>) {
    let host = &survey.host;
    for what in &survey.unseen {
        let what = format!("could not be seen: {what}: what is not seen is no permission");
        found.push(Finding::fault(host, "seen", what, format!("{there}mend that, then check again")));
    }
    let by_script: Vec<&str> = health
        .ends
        .iter()
        .filter(|end| end.disks.iter().any(|d| d.resource.is_some() && d.promoter == Promoter::Script))
        .map(|end| end.domu.as_str())
        .collect();
    if !by_script.is_empty() && !health.block_drbd {
        let what = format!(
            "/etc/xen/scripts/block-drbd is not there (drbd-utils dropped it in 9.31), and {} need it: they neither start nor arrive",
            by_script.join(", ")
        );
        found.push(Finding::fault(host, "block-drbd", what, format!("{there}take it from drbd-utils 9.30, or use phy: disks")));
    }
    if health.disable_sendpage == Some(false) {
        let what = "DRBD 8.4 without disable_sendpage: a link that is lost in a write keeps the domU's page, and its disk, until a reboot";
        let advice = format!(
            "{there}echo 'options drbd disable_sendpage=1' >> /etc/modprobe.d/drbd.conf   (and now: echo 1 > /sys/module/drbd/parameters/disable_sendpage)"
        );
        found.push(Finding::warning(host, "sendpage", what, advice));
    }
    if health.daemon_died {
        let what = "xen-drbd-auto's daemon died although a domU waits to be started";
        found.push(Finding::warning(host, "daemon", what, format!("{there}xen-drbd-auto start")));
    }
    for config in &survey.configs {
        let files: Vec<&str> = std::iter::once(&config.path).chain(&config.also).map(String::as_str).collect();
        let Some(auto) = files.iter().find(|f| f.starts_with("/etc/xen/auto/")).filter(|_| !config.resources.is_empty()) else {
            continue;
        };
        let both = files.iter().any(|f| f.starts_with("/etc/xen/drbd-auto/"));
        let what = match both {
            true => format!(
                "{} is in /etc/xen/auto and in /etc/xen/drbd-auto: xendomains starts it without a look at the roles",
                config.domu
            ),
            false => format!("{auto}: xendomains starts {} at boot, also when it was sent away", config.domu),
        };
        let advice = match both {
            true => format!("{there}rm {auto}"),
            false => format!("{there}mv {auto} /etc/xen/drbd-auto/   (xen-drbd-auto looks first)"),
        };
        found.push(Finding::warning(host, "auto", what, advice));
    }
}
