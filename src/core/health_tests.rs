use super::*;
use crate::core::drbd::{Fencing, Generation};
use crate::core::facts::{End, PROTOCOL};
use crate::core::migrate::testing;
use crate::core::record::{Moment, State};
use crate::core::survey::{AfterSplitBrain, Config, Health};
use crate::core::xen::Toolstack;

fn health_of(end: End) -> Health {
    let mut resources = end.replicas.clone();
    for seen in &mut resources {
        seen.configured.options.fencing = Fencing::ResourceOnly;
        seen.options = Some(seen.configured.options.clone());
    }
    Health {
        xen: end.xen.clone(),
        generation: Some(Generation::V84),
        module: Some("8.4.11".into()),
        block_drbd: true,
        disable_sendpage: Some(true),
        resources,
        after_split_brain: vec![],
        daemon_died: false,
        way_back: None,
        ends: vec![end],
    }
}

fn survey(end: End) -> Survey {
    Survey {
        protocol: PROTOCOL,
        version: "1".into(),
        host: end.host.clone(),
        toolstack: Toolstack::Xl,
        now: Moment(100),
        domains: vec![],
        replicas: vec![],
        configs: vec![],
        rows: vec![],
        listed: vec![],
        unseen: vec![],
        unshown: vec![],
        health: Some(Box::new(health_of(end))),
    }
}

/// A healthy pair, and what is wrong with it once it was spoilt.
struct Fixture {
    here: Survey,
    there: Survey,
    key: KeyState,
    table: Vec<String>,
    table_of_others: usize,
}

fn well() -> Fixture {
    let (here, there) = testing::pair();
    Fixture { here: survey(here), there: survey(there), key: KeyState::Mode(0o600), table: vec![], table_of_others: 0 }
}

impl Fixture {
    fn findings(&self) -> Vec<Finding> {
        self.asked(Ok(self.there.clone()))
    }

    fn asked(&self, answer: Result<Survey, String>) -> Vec<Finding> {
        let asked = [Asked { host: "dom0-b".parse().unwrap(), answer }];
        findings(&Case {
            here: &self.here,
            key: Key { path: "/k".into(), state: self.key },
            table: self.table.clone(),
            table_of_others: self.table_of_others,
            has_table: true,
            asked: &asked,
            between: (99, 101),
            domus: vec![Wanted { domu: "web".parse().unwrap(), partners: vec!["dom0-b".parse().unwrap()], own_transport: false }],
        })
    }

    fn own(&mut self) -> &mut Health {
        self.here.health.as_mut().unwrap()
    }

    fn far(&mut self) -> &mut Health {
        self.there.health.as_mut().unwrap()
    }
}

fn set(option: &str, policy: &str) -> AfterSplitBrain {
    AfterSplitBrain { resource: "r0".parse().unwrap(), option: option.into(), policy: policy.into() }
}

#[test]
fn a_healthy_pair_is_all_ok_and_says_what_was_looked_at() {
    let found = well().findings();
    assert!(found.iter().all(|f| f.level == Level::Ok), "{found:#?}");
    let abouts: Vec<&str> = found.iter().map(|f| f.about.as_str()).collect();
    assert_eq!(abouts, ["key", "table", "dom0-a", "dom0-b", "dom0-a", "dom0-b", "web -> dom0-b"]);
    assert!(!is_stopped(&found) && !is_blind(&found));
}

/// Each thing that can be wrong: how bad it is, and a word of what is said. Each has something to type.
#[test]
fn everything_that_can_be_wrong_is_told_once() {
    type Spoil = fn(&mut Fixture);
    let cases: [(&str, Level, Spoil); 33] = [
        ("no dedicated key", Level::Fault, |f| f.key = KeyState::Missing),
        ("mode 0644", Level::Fault, |f| f.key = KeyState::Mode(0o644)),
        ("mode 0620", Level::Fault, |f| f.key = KeyState::Mode(0o620)),
        ("does not belong to root", Level::Fault, |f| f.key = KeyState::Foreign),
        ("passphrase", Level::Fault, |f| f.key = KeyState::Passphrase),
        ("never acted on", Level::Fault, |f| f.table.push("t:1:1: no host".into())),
        ("does not reach us", Level::Fault, |f| f.far().way_back = Some("Permission denied".into())),
        ("42 s ahead of ours", Level::Warning, |f| f.there.now = Moment(143)),
        ("42 s behind ours", Level::Warning, |f| f.there.now = Moment(57)),
        ("xen-migrate 2 there", Level::Warning, |f| f.there.version = "2".into()),
        ("xm there, xl here", Level::Fault, |f| f.there.toolstack = Toolstack::Xm),
        ("a domU goes to a newer Xen", Level::Warning, |f| f.far().xen = "4.18.0".into()),
        ("DRBD 9.2.16 there", Level::Warning, |f| {
            f.far().generation = Some(Generation::V9);
            f.far().module = Some("9.2.16".into());
        }),
        ("drbd-utils dropped it", Level::Fault, |f| f.far().ends[0].disks.push(testing::disk(Some("r0")))),
        ("without disable_sendpage", Level::Warning, |f| f.own().disable_sendpage = Some(false)),
        ("daemon died", Level::Warning, |f| f.own().daemon_died = true),
        ("could not be seen: drbd.conf", Level::Fault, |f| f.there.unseen.push("drbd.conf: broken".into())),
        ("without a look at the roles", Level::Warning, |f| auto(f, &["/etc/xen/auto/web"])),
        ("also when it was sent away", Level::Warning, |f| {
            auto(f, &[]);
            f.here.configs[0].path = "/etc/xen/auto/web".into();
        }),
        ("two Primaries are allowed at run time", Level::Warning, |f| {
            f.far().resources[0].options.as_mut().unwrap().two_primaries = true
        }),
        ("not those of drbd.conf", Level::Warning, |f| f.own().resources[0].options.as_mut().unwrap().fencing = Fencing::Stonith),
        ("could not be read", Level::Warning, |f| f.own().resources[0].options = None),
        ("for ever", Level::Warning, |f| {
            for health in [f.here.health.as_mut().unwrap(), f.there.health.as_mut().unwrap()] {
                health.resources[0].configured.options.two_primaries = true;
                health.resources[0].options.as_mut().unwrap().two_primaries = true;
            }
        }),
        ("no fencing in drbd.conf: whoever", Level::Warning, |f| unfenced(f.own())),
        ("cannot set it at run time", Level::Warning, |f| {
            unfenced(f.own());
            f.own().generation = Some(Generation::V83);
            f.far().generation = Some(Generation::V83);
        }),
        ("became Primary last", Level::Warning, |f| both(f, set("after-sb-0pri", "discard-younger-primary"))),
        ("Secondary just then", Level::Warning, |f| both(f, set("after-sb-1pri", "discard-secondary"))),
        ("not known to this version", Level::Warning, |f| both(f, set("after-sb-0pri", "discard-by-dice"))),
        ("DRBD refuses to connect the next time", Level::Fault, |f| {
            f.own().after_split_brain.push(set("after-sb-0pri", "discard-zero-changes"))
        }),
        ("are free on dom0-b", Level::Fault, |f| f.far().ends[0].free_memory = 100),
        ("has no bridge", Level::Fault, |f| f.far().ends[0].interfaces.clear()),
        ("has no config file for web", Level::Fault, |f| f.far().ends[0].config = None),
        ("the record says leaving", Level::Fault, |f| f.own().ends[0].row = Some(testing::row(State::Leaving))),
    ];
    for (words, level, spoil) in cases {
        let mut fixture = well();
        spoil(&mut fixture);
        // The script is asked for only where a disk needs it.
        if words.contains("dropped it") {
            fixture.far().block_drbd = false;
        }
        let found = fixture.findings();
        let said: Vec<&Finding> = found.iter().filter(|f| f.what.contains(words)).collect();
        assert!(!said.is_empty(), "{words}: {found:#?}");
        assert!(said.iter().all(|f| f.level == level && f.advice.is_some()), "{words}: {said:#?}");
        let worst = found.iter().map(|f| f.level).max();
        assert_eq!(worst, Some(level), "{words}: {found:#?}");
        assert_eq!(is_stopped(&found), level == Level::Fault, "{words}");
    }
}

fn auto(fixture: &mut Fixture, also: &[&str]) {
    fixture.here.configs.push(Config {
        domu: "web".parse().unwrap(),
        path: "/etc/xen/drbd-auto/web.cfg".into(),
        resources: vec!["r0".parse().unwrap()],
        also: also.iter().map(|p| p.to_string()).collect(),
    });
}

fn unfenced(health: &mut Health) {
    health.resources[0].configured.options.fencing = Fencing::DontCare;
    health.resources[0].options.as_mut().unwrap().fencing = Fencing::DontCare;
}

fn both(fixture: &mut Fixture, set: AfterSplitBrain) {
    fixture.own().after_split_brain.push(set.clone());
    fixture.far().after_split_brain.push(set);
}

#[test]
fn what_gives_way_only_where_nothing_was_written_is_no_warning() {
    for (zero, one, level) in [
        ("discard-zero-changes", "consensus", Level::Ok),
        ("discard-zero-changes", "violently-as0p", Level::Ok),
        ("discard-least-changes", "consensus", Level::Warning),
        ("discard-zero-changes", "discard-secondary", Level::Warning),
    ] {
        let mut fixture = well();
        both(&mut fixture, set("after-sb-0pri", zero));
        both(&mut fixture, set("after-sb-1pri", one));
        let found = fixture.findings();
        assert_eq!(found.iter().map(|f| f.level).max(), Some(level), "{zero} {one}: {found:#?}");
        assert_eq!(found.iter().filter(|f| f.check == "after-sb").count(), 4, "listed all the same: {found:#?}");
    }
}

#[test]
fn what_is_being_worked_on_has_its_options_changed_for_a_reason() {
    let mut fixture = well();
    fixture.far().resources[0].options.as_mut().unwrap().two_primaries = true;
    fixture.far().ends[0].receiving = Some("migrate2".into());
    let found = fixture.findings();
    assert!(!found.iter().any(|f| f.what.contains("at run time")), "{found:#?}");
    assert!(!is_stopped(&found), "it will have ended tomorrow: {found:#?}");
}

#[test]
fn a_peer_that_cannot_be_asked_is_one_fault_and_blind() {
    let found = well().asked(Err("ssh: connect to host dom0-b port 22: No route to host; try: ssh root@dom0-b".into()));
    let said: Vec<&Finding> = found.iter().filter(|f| f.level == Level::Fault).collect();
    assert_eq!(said.len(), 1, "{found:#?}");
    assert_eq!(said[0].advice.as_deref(), Some("ssh root@dom0-b"));
    assert!(is_blind(&found) && !is_stopped(&found));
    // With a fault beside it that was seen.
    let mut fixture = well();
    fixture.key = KeyState::Mode(0o644);
    let found = fixture.asked(Err("no".into()));
    assert!(is_blind(&found) && is_stopped(&found));
}

#[test]
fn a_name_that_leads_elsewhere_is_a_fault() {
    let fixture = well();
    let found = fixture.asked(Ok(fixture.here.clone()));
    assert!(found.iter().any(|f| f.level == Level::Fault && f.what.contains("this very Dom0")), "{found:#?}");
    let mut other = fixture.there.clone();
    other.host = "dom0-c".parse().unwrap();
    assert!(is_stopped(&fixture.asked(Ok(other))));
}

#[test]
fn away_it_is_the_way_back_that_counts() {
    let mut fixture = well();
    let (mut here, mut there) = testing::pair();
    std::mem::swap(&mut here.copies, &mut there.copies);
    std::mem::swap(&mut here.replicas, &mut there.replicas);
    std::mem::swap(&mut here.disks, &mut there.disks);
    std::mem::swap(&mut here.bridges_used, &mut there.bridges_used);
    here.row = Some(testing::row(State::Away));
    there.row = Some(testing::row(State::Visiting));
    there.row.as_mut().unwrap().host = here.host.clone();
    fixture.here.health = Some(Box::new(health_of(here)));
    fixture.there.health = Some(Box::new(health_of(there)));
    let found = fixture.findings();
    assert!(found.iter().any(|f| f.about == "web <- dom0-b" && f.level == Level::Ok), "{found:#?}");
    fixture.own().ends[0].free_memory = 10;
    let found = fixture.findings();
    let said = found.iter().find(|f| f.check == "memory").unwrap();
    assert!(said.level == Level::Fault && said.what.starts_with("seen from dom0-b: 10 MiB are free on dom0-a"), "{said:#?}");

    // Started there by hand, it is sent to nobody whom that Dom0 does not know of: by its record or by its table.
    fixture.own().ends[0].free_memory = 4096;
    fixture.far().ends[0].row = None;
    let found = fixture.findings();
    let said = found.iter().find(|f| f.check == "way-back").unwrap();
    assert!(said.level == Level::Fault && said.what.contains("it would not send it"), "{said:#?}");
    fixture.far().ends[0].listed = Some(vec!["dom0-a".parse().unwrap()]);
    assert!(!is_stopped(&fixture.findings()));
}

/// A third Dom0 like dom0-b.
fn third(fixture: &Fixture) -> Survey {
    let mut third = fixture.there.clone();
    third.host = "dom0-c".parse().unwrap();
    third.health.as_mut().unwrap().ends.iter_mut().for_each(|end| end.host = third.host.clone());
    third
}

/// web may go to dom0-b and to dom0-c, and what they are asked for comes out like this.
fn with_two(fixture: &Fixture, answers: [Result<Survey, String>; 2], domus: &[&str]) -> Vec<Finding> {
    let hosts: Vec<HostName> = ["dom0-b", "dom0-c"].iter().map(|h| h.parse().unwrap()).collect();
    let asked: Vec<Asked> = hosts.iter().zip(answers).map(|(host, answer)| Asked { host: host.clone(), answer }).collect();
    let wanted = |domu: &&str| Wanted { domu: domu.parse().unwrap(), partners: hosts.clone(), own_transport: false };
    findings(&Case {
        here: &fixture.here,
        key: Key { path: "/k".into(), state: fixture.key },
        table: vec![],
        table_of_others: 0,
        has_table: true,
        asked: &asked,
        between: (99, 101),
        domus: domus.iter().map(wanted).collect(),
    })
}

#[test]
fn each_host_of_a_row_counts_and_what_is_wrong_here_is_told_once() {
    let fixture = well();
    let found = with_two(&fixture, [Ok(fixture.there.clone()), Ok(third(&fixture))], &["web"]);
    assert!(found.iter().all(|f| f.level == Level::Ok), "{found:#?}");
    assert_eq!(found.iter().filter(|f| f.about.starts_with("web -> ")).count(), 2);

    // The second host of a row is where it goes when the first is dead.
    let mut spoilt = third(&fixture);
    spoilt.health.as_mut().unwrap().ends[0].interfaces.clear();
    let found = with_two(&fixture, [Ok(fixture.there.clone()), Ok(spoilt)], &["web"]);
    let faults: Vec<&str> = found.iter().filter(|f| f.level == Level::Fault).map(|f| f.about.as_str()).collect();
    assert_eq!(faults, ["web -> dom0-c"], "{found:#?}");
    assert!(is_stopped(&found));

    let mut fixture = well();
    fixture.own().ends[0].row = Some(testing::row(State::Leaving));
    let found = with_two(&fixture, [Ok(fixture.there.clone()), Ok(third(&fixture))], &["web"]);
    let faults: Vec<&str> = found.iter().filter(|f| f.level == Level::Fault).map(|f| f.about.as_str()).collect();
    assert_eq!(faults, ["web"], "{found:#?}");
}

#[test]
fn what_this_end_shows_is_told_though_nobody_answers() {
    let no = || Err("No route to host; try: ssh root@dom0-b".to_string());
    let mut fixture = well();
    let found = with_two(&fixture, [no(), no()], &["web"]);
    assert!(found.iter().any(|f| f.what.contains("none of its partners could be asked")), "{found:#?}");
    assert!(is_blind(&found) && !is_stopped(&found));
    fixture.own().ends[0].row = Some(testing::row(State::Leaving));
    let found = with_two(&fixture, [no(), no()], &["web"]);
    assert!(is_stopped(&found) && !found.iter().any(|f| f.what.contains("nothing here objects")), "{found:#?}");
    // A link that is down with its host is no news.
    let mut fixture = well();
    fixture.own().ends[0].replicas[0].replica.peers[0].connection = crate::core::drbd::Connection::Connecting;
    assert!(!is_stopped(&with_two(&fixture, [no(), no()], &["web"])));
}

#[test]
fn without_the_key_a_migration_goes_by_what_is_seen_here() {
    let mut fixture = well();
    fixture.key = KeyState::Missing;
    let found = fixture.asked(Err("no key".into()));
    let faults: Vec<&str> = found.iter().filter(|f| f.level == Level::Fault).map(|f| f.about.as_str()).collect();
    assert_eq!(faults, ["key"], "{found:#?}");
    assert!(is_blind(&found));
    // Nobody promotes a phy: disk over there then.
    fixture.own().ends[0].disks[0].promoter = crate::core::facts::Promoter::Nobody;
    let found = fixture.asked(Err("no key".into()));
    assert!(found.iter().any(|f| f.level == Level::Fault && f.what.contains("is phy:")), "{found:#?}");
}

#[test]
fn all_of_them_together_are_planned_as_migrate_all_would() {
    // Both fit anywhere alone; together they need both hosts.
    let mut fixture = well();
    let mut mail = fixture.own().ends[0].clone();
    mail.domu = "mail".parse().unwrap();
    mail.copies[0].domain.name = "mail".into();
    fixture.own().ends.push(mail);
    let mut far = fixture.far().ends[0].clone();
    far.domu = "mail".parse().unwrap();
    fixture.far().ends.push(far);
    let free = |survey: &mut Survey, mib: u64| {
        survey.health.as_mut().unwrap().ends.iter_mut().for_each(|end| end.free_memory = mib);
    };
    let (mut two, mut three) = (fixture.there.clone(), third(&fixture));
    free(&mut two, 600);
    free(&mut three, 600);
    let found = with_two(&fixture, [Ok(two.clone()), Ok(three.clone())], &["web", "mail"]);
    assert!(!is_stopped(&found), "{found:#?}");
    free(&mut three, 100);
    let found = with_two(&fixture, [Ok(two), Ok(three)], &["web", "mail"]);
    let all = found.iter().find(|f| f.about == "ALL").unwrap();
    assert!(all.level == Level::Fault && all.what.contains("of them for others"), "{found:#?}");
}
