//! Through a scripted world: which commands are run, in which order, and what is made of their answers.

use super::*;
use crate::adapters::{CallError, Ended, Flow, Halt, Held, Holder, LockError, Nap, Shift, Sign, Summons, To, Woken};
use crate::core::xen::Toolstack::{Xl, Xm};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("../../../tests/recorded/xen/", $name))
    };
}

/// What a program answers to a command.
enum Answer {
    /// Exit code, standard output, standard error.
    Says(i32, &'static str, &'static str),
    NotThere,
    TooLate,
}
use Answer::{NotThere, Says, TooLate};

/// A world of commands in a fixed order; anything else fails the test.
struct Script {
    lines: RefCell<Vec<(&'static str, Answer)>>,
}

fn script(lines: Vec<(&'static str, Answer)>) -> Script {
    Script { lines: RefCell::new(lines) }
}

impl Drop for Script {
    fn drop(&mut self) {
        let left = self.lines.borrow().iter().map(|(command, _)| *command).collect::<Vec<_>>();
        assert!(std::thread::panicking() || left.is_empty(), "never asked: {left:?}");
    }
}

impl World for Script {
    fn run(&self, call: &Call) -> Result<Output, CallError> {
        let said = call.to_string();
        let mut lines = self.lines.borrow_mut();
        assert!(!lines.is_empty(), "not in the script: {said}");
        let (command, answer) = lines.remove(0);
        assert_eq!(said, command);
        match answer {
            Says(code, stdout, stderr) => {
                Ok(Output { ended: Ended::Exit(code), stdout: stdout.to_string(), stderr: stderr.to_string() })
            }
            NotThere => Err(CallError::NotFound(call.program.clone())),
            TooLate => Err(CallError::TimedOut { call: said, limit: call.limit.unwrap_or_default(), said: String::new() }),
        }
    }
    fn watch(&self, _: &Call, _: &mut dyn FnMut(Sign<'_>) -> Flow) -> Result<Output, CallError> {
        unreachable!("nothing here watches")
    }
    fn relay(&self, call: &Call, _: &mut dyn FnMut(Halt) -> Flow) -> Result<Output, CallError> {
        unreachable!("{call}")
    }
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn clock(&self) -> Duration {
        Duration::ZERO
    }
    fn nap(&self, _: Duration) -> Nap {
        Nap::Over
    }
    fn roll(&self, _: u64) -> u64 {
        0
    }
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn replace(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _: &str, _: &str) -> Result<Box<dyn Held>, LockError> {
        Err(LockError::Held("nobody".to_string()))
    }
    fn lock_holder(&self, _: &str) -> Option<Holder> {
        None
    }
    fn end_programs_of(&self, lock: &str) -> io::Result<()> {
        panic!("nobody is to end the holder of {lock}")
    }

    fn reloading(&self) -> bool {
        unreachable!()
    }
    fn listen(&self, _: Option<&Call>, _: Duration, _: &mut dyn FnMut(&str) -> Flow) -> Result<Woken, CallError> {
        unreachable!()
    }
    fn begin(&self, _: &[String]) -> io::Result<()> {
        unreachable!()
    }
    fn crew(&self, _: &mut dyn FnMut(Shift<'_>) -> Option<Vec<String>>) {
        panic!("no test of an adapter has workers")
    }
    fn summon(&self, _: &str, _: Summons) -> io::Result<bool> {
        unreachable!()
    }
    fn notify(&self, _: &str) {
        unreachable!()
    }
    fn stopping(&self) -> bool {
        false
    }
    fn say(&self, _: To, _: &str) {}
}

const XL_INFO: &str = recording!("xl-4.17-info.txt");
const XM_INFO: &str = recording!("xm-4.1-info.txt");
const XEND_DOWN: &str = recording!("xm-4.1-info-xend-down.stderr.txt");
const DOM0_ONLY: &str = recording!("xl-4.17-list-dom0-only.txt");
const WITH_VM1: &str = recording!("xl-4.17-list-one-domu.txt");
const XM_LIST: &str = recording!("xm-4.1-list.txt");

#[test]
fn xm_rules_where_xend_answers() {
    assert_eq!(find(&script(vec![("xm info", Says(0, XM_INFO, ""))]), None).unwrap(), Xm);
}

#[test]
fn xl_rules_where_there_is_no_xm_or_no_xend() {
    for xm in [NotThere, Says(1, "", XEND_DOWN), Says(1, "", "ERROR:  A different toolstack (xl) have been selected!\n")] {
        assert_eq!(find(&script(vec![("xm info", xm), ("xl info", Says(0, XL_INFO, ""))]), None).unwrap(), Xl);
    }
}

#[test]
fn an_xend_that_hangs_is_not_passed_over() {
    let error = find(&script(vec![("xm info", TooLate)]), None).unwrap_err();
    assert!(matches!(error, XenError::TimedOut { .. }), "{error}");
}

#[test]
fn without_a_toolstack_both_are_quoted() {
    let xl = recording!("xl-4.17-list-not-root.stderr.txt");
    let error = find(&script(vec![("xm info", NotThere), ("xl info", Says(1, "", xl))]), None).unwrap_err().to_string();
    assert!(
        error.contains("xm: not found on this host") && error.contains("xl info") && error.contains("Permission denied"),
        "{error}"
    );
}

#[test]
fn a_wish_is_only_looked_at() {
    assert_eq!(find(&script(vec![("xl info", Says(0, XL_INFO, ""))]), Some(Xl)).unwrap(), Xl);
    let error = find(&script(vec![("xm info", Says(1, "", XEND_DOWN))]), Some(Xm)).unwrap_err();
    assert!(matches!(error, XenError::XendDown { .. }), "{error}");
}

#[test]
fn xl_info_exits_0_without_a_hypervisor() {
    let half = "host                   : a\nxend_config_format     : 4\n";
    let away = info(&script(vec![("xl info", Says(0, half, "libxl_get_version_info failed.\n"))]), Xl).unwrap_err();
    assert!(matches!(away, XenError::NoHypervisor { .. }), "{away}");
    let odd = info(&script(vec![("xl info", Says(0, half, ""))]), Xl).unwrap_err();
    assert!(matches!(odd, XenError::Unparsable { .. }), "{odd}");
}

#[test]
fn uuids_are_joined_by_id_and_name() {
    let world = script(vec![("xl list", Says(0, WITH_VM1, "")), ("xl vm-list", Says(0, recording!("xl-4.17-vm-list.txt"), ""))]);
    let found = domains(&world, Xl, true).unwrap();
    assert_eq!(found[1].uuid.as_deref(), Some("bc908e51-7967-4f22-aaba-ff61b1b5b265"));
    let other = "UUID                                  ID    name\nbc908e51-7967-4f22-aaba-ff61b1b5b265  1    another\n";
    let world = script(vec![("xl list", Says(0, WITH_VM1, "")), ("xl vm-list", Says(0, other, ""))]);
    assert_eq!(domains(&world, Xl, true).unwrap()[1].uuid, None);
    let all = recording!("xm-4.1-list-long-all.sxp.txt");
    let world = script(vec![("xm list", Says(0, XM_LIST, "")), ("xm list --long", Says(0, all, ""))]);
    let found = domains(&world, Xm, true).unwrap();
    assert_eq!(found.iter().find(|d| d.name == "web").unwrap().uuid.as_deref(), Some("5ad2b6f0-8a7c-4e0e-9c56-2f1d3b8f0a11"));
    assert_eq!(domains(&script(vec![("xl list", Says(0, DOM0_ONLY, ""))]), Xl, false).unwrap().len(), 1);
}

#[test]
fn an_empty_answer_is_not_an_empty_host() {
    let error = domains(&script(vec![("xl list", Says(0, "", ""))]), Xl, false).unwrap_err();
    assert!(matches!(error, XenError::Unparsable { .. }), "{error}");
    assert!(error.to_string().starts_with("xl list: not understood"), "{error}");
    let error = long_all(&script(vec![("xm list --long", Says(0, "", ""))]), Xm).unwrap_err();
    assert!(matches!(error, XenError::Unparsable { .. }), "{error}");
}

#[test]
fn one_long_answer() {
    let vm1 = recording!("xl-4.17-list-long-pv-phy.json");
    assert_eq!(long(&script(vec![("xl list -l vm1", Says(0, vm1, ""))]), Xl, Which::Name("vm1")).unwrap().id, Some(1));
    assert_eq!(long(&script(vec![("xl list -l 1", Says(0, vm1, ""))]), Xl, Which::Id(1)).unwrap().name, "vm1");
    let none = long(&script(vec![("xl list -l 1", Says(0, "[\n\n]\n\n", ""))]), Xl, Which::Id(1)).unwrap_err();
    assert!(matches!(none, XenError::Unparsable { .. } | XenError::NoConfig { .. }), "{none}");
    let absent = recording!("xl-4.17-list-unknown-name.stderr.txt");
    let absent = long(&script(vec![("xl list -l nosuch", Says(1, "", absent))]), Xl, Which::Name("nosuch")).unwrap_err();
    assert!(matches!(absent, XenError::UnknownDomain { .. }), "{absent}");
    let web = recording!("xm-4.1-list-long-one.sxp.txt");
    assert_eq!(long(&script(vec![("xm list --long web", Says(0, web, ""))]), Xm, Which::Name("web")).unwrap().id, Some(7));
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_an_absent_domain() {
    for empty in ["[]\n\n", "[\n\n]\n\n"] {
        let error = long(&script(vec![("xl list -l 1", Says(0, empty, ""))]), Xl, Which::Id(1)).unwrap_err();
        assert!(matches!(error, XenError::NoConfig { .. }), "{empty:?}: {error}");
    }
}

#[test]
fn xm_may_answer_with_a_domain_of_that_name() {
    let web = recording!("xm-4.1-list-long-one.sxp.txt");
    let error = long(&script(vec![("xm list --long 12", Says(0, web, ""))]), Xm, Which::Id(12)).unwrap_err();
    assert!(matches!(error, XenError::NotThatDomain { .. }), "{error}");
}

#[test]
fn a_name_that_means_something_else_is_never_said() {
    for name in ["", "7", "-a", "--all", "a\nb"] {
        let error = long(&script(vec![]), Xl, Which::Name(name)).unwrap_err();
        assert!(matches!(error, XenError::Refused { .. }), "{name:?}: {error}");
    }
}

#[test]
fn block_list_exits_0_for_an_unknown_domain() {
    let header = "Vdev  BE  handle state evt-ch ring-ref BE-path                       \n";
    let world = script(vec![("xl block-list 9", Says(0, header, "9 is an invalid domain identifier\n"))]);
    assert!(matches!(block_devices(&world, Xl, 9), Err(XenError::UnknownDomain { .. })));
    // An id of digits is not even checked: the empty list proves nothing.
    assert_eq!(block_devices(&script(vec![("xl block-list 9", Says(0, header, ""))]), Xl, 9).unwrap(), []);
    let dead = recording!("xl-4.17-block-list-dead-since-create.txt");
    assert_eq!(block_devices(&script(vec![("xl block-list 5", Says(0, dead, ""))]), Xl, 5).unwrap()[0].state, 6);
}

fn create(world: &Script, ts: Toolstack, config: &str, paused: bool, lock: &str) -> Result<Created, XenError> {
    let call = creation(ts, config, paused, lock)?;
    created(ts, &call, world.run(&call))
}

#[test]
fn a_creation_and_what_it_says() {
    let said = recording!("xl-4.17-create.stderr.txt");
    let made =
        create(&script(vec![("xl create /etc/xen/vm1.cfg", Says(0, "", said))]), Xl, "/etc/xen/vm1.cfg", false, "domu-web")
            .unwrap();
    assert_eq!(made, Created { said: "Parsing config from /etc/xen/vm1.cfg".into(), id: None });
    let said = "Using config file \"/etc/xen/web\".\nStarted domain web (id=7)\n";
    let made =
        create(&script(vec![("xm create -p /etc/xen/web", Says(0, said, ""))]), Xm, "/etc/xen/web", true, "domu-web").unwrap();
    assert_eq!(made.id, Some(7));
    for bad in ["web", "", "-n", "/etc/xen/a=b", "/x\ny"] {
        assert!(matches!(create(&script(vec![]), Xl, bad, false, "domu-web"), Err(XenError::Refused { .. })), "{bad:?}");
    }
}

#[test]
fn a_failed_creation_says_why() {
    let stderr = recording!("xl-4.17-create-block-drbd-failed.stderr.txt");
    let error =
        create(&script(vec![("xl create /c", Says(3, "", stderr))]), Xl, "/c", false, "domu-web").unwrap_err().to_string();
    assert!(error.starts_with("xl create /c: exit 3: DRBD did not let"), "{error}");
    let stderr = recording!("xl-4.17-create-no-such-file.stderr.txt");
    let error =
        create(&script(vec![("xl create /c", Says(3, "", stderr))]), Xl, "/c", false, "domu-web").unwrap_err().to_string();
    assert!(error.ends_with("No such file or directory"), "{error}");
    let late = create(&script(vec![("xl create /c", TooLate)]), Xl, "/c", false, "domu-web").unwrap_err();
    assert_eq!(late.to_string(), "xl create /c: no answer within 300 s, ended");
    let beside = recording!("xl-4.4-xend-running.stderr.txt");
    let error = create(&script(vec![("xl create /c", Says(1, "", beside))]), Xl, "/c", false, "domu-web").unwrap_err();
    assert!(matches!(error, XenError::Failed { .. }) && error.to_string().contains("xend runs here"), "{error}");
}

#[test]
fn a_destruction_looks_before_and_after() {
    let world =
        script(vec![("xl list", Says(0, WITH_VM1, "")), ("xl destroy 1", Says(0, "", "")), ("xl list", Says(0, DOM0_ONLY, ""))]);
    assert_eq!(destroy(&world, Xl, 1, "vm1").unwrap(), Gone::Destroyed);
    // Gone between the look and the deed.
    let gone = recording!("xl-4.17-destroy-unknown.stderr.txt");
    let world = script(vec![
        ("xl list", Says(0, WITH_VM1, "")),
        ("xl destroy 1", Says(1, "", gone)),
        ("xl list", Says(0, DOM0_ONLY, "")),
    ]);
    assert_eq!(destroy(&world, Xl, 1, "vm1").unwrap(), Gone::Destroyed);
    assert_eq!(destroy(&script(vec![("xl list", Says(0, DOM0_ONLY, ""))]), Xl, 1, "vm1").unwrap(), Gone::Already);
    let world = script(vec![
        ("xl list", Says(0, WITH_VM1, "")),
        ("xl destroy 1", Says(1, "", "destroy failed (rc=-3)\n")),
        ("xl list", Says(0, WITH_VM1, "")),
    ]);
    assert!(matches!(destroy(&world, Xl, 1, "vm1"), Err(XenError::Failed { .. })));
}

#[test]
fn a_destroyed_domain_may_linger_without_a_name() {
    let null = recording!("xl-4.17-list-null-name-dying.txt");
    let said = recording!("xl-4.17-destroy-null-name.stderr.txt");
    let world = script(vec![("xl list", Says(0, null, "")), ("xl destroy 3", Says(0, "", said)), ("xl list", Says(0, null, ""))]);
    assert!(matches!(destroy(&world, Xl, 3, "(null)").unwrap(), Gone::Lingers(domain) if domain.state.dying));
}

#[test]
fn a_deed_never_hits_another_domain() {
    let refused = |world: &Script, ts, id, name: &str| match destroy(world, ts, id, name) {
        Err(error @ XenError::NotThatDomain { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    // The id has another name now.
    assert!(refused(&script(vec![("xl list", Says(0, WITH_VM1, ""))]), Xl, 1, "web").contains("it is \"vm1\""));
    // The guest rebooted and has another id.
    assert!(refused(&script(vec![("xl list", Says(0, WITH_VM1, ""))]), Xl, 9, "vm1").contains("has the id 1 now"));
    // Domain-0, whatever it is called.
    assert!(refused(&script(vec![("xl list", Says(0, WITH_VM1, ""))]), Xl, 0, "Domain-0").contains("this host itself"));
    // A list that is not understood stops the deed.
    assert!(matches!(destroy(&script(vec![("xl list", Says(0, "", ""))]), Xl, 1, "vm1"), Err(XenError::Unparsable { .. })));
}

#[test]
fn xm_takes_a_number_for_a_name_first() {
    const HALTED_7: &str = "Name                                        ID   Mem VCPUs      State   Time(s)
Domain-0                                     0  1024     4     r-----   1179.4
web                                          7   512     1     -b----     33.2
7                                               2048     2                 0.0
";
    let error = destroy(&script(vec![("xm list", Says(0, HALTED_7, ""))]), Xm, 7, "web").unwrap_err();
    assert!(error.to_string().contains("xm would take that one"), "{error}");
}

#[test]
fn the_smaller_deeds_check_as_well() {
    let beta = "web2".parse().unwrap();
    unpause(&script(vec![("xl list", Says(0, WITH_VM1, "")), ("xl unpause 1", Says(0, "", ""))]), Xl, 1, "vm1").unwrap();
    rename(&script(vec![("xm list", Says(0, XM_LIST, "")), ("xm rename 7 web2", Says(0, "", ""))]), Xm, 7, "web", &beta).unwrap();
    let said = recording!("xl-4.17-shutdown-wait.stderr.txt");
    shutdown(&script(vec![("xl list", Says(0, WITH_VM1, "")), ("xl shutdown 1", Says(0, "", said))]), Xl, 1, "vm1").unwrap();
    for ts in [Xl, Xm] {
        let list = if ts == Xl { ("xl list", Says(0, WITH_VM1, "")) } else { ("xm list", Says(0, XM_LIST, "")) };
        assert!(matches!(shutdown(&script(vec![list]), ts, 42, "vm1"), Err(XenError::NotThatDomain { .. })));
    }
}

#[test]
fn an_unknown_domain_of_xm() {
    let said = recording!("xm-4.1-unknown-domain.stderr.txt");
    let error = long(&script(vec![("xm list --long nosuch", Says(3, "", said))]), Xm, Which::Name("nosuch")).unwrap_err();
    assert!(matches!(error, XenError::UnknownDomain { .. }), "{error}");
}
