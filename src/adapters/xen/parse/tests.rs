//! Each recording, for what surprises in it; then every recording, cut and shaken.

use super::list::{Listing, list, vm_list};
use super::*;
use crate::core::xen::ShutdownReason::{Crash, Poweroff, Suspend, Unknown};
use crate::core::xen::Toolstack::{Xl, Xm};
use crate::core::xen::{BlockDevice, Domain, ShutdownReason, Toolstack};

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/recorded/xen/", $name))
    };
}

fn listed(ts: Toolstack, text: &str) -> Listing {
    list(ts, text).unwrap_or_else(|misread| panic!("{misread}"))
}

fn named<'a>(listing: &'a Listing, name: &str) -> &'a Domain {
    listing.domains.iter().find(|domain| domain.name == name).unwrap_or_else(|| panic!("{name} is not in {listing:?}"))
}

fn shutdown_of(listing: &Listing, name: &str) -> Option<ShutdownReason> {
    named(listing, name).state.shutdown
}

const DOM0_ROW: &str = "Domain-0                                     0   700     1     r-----      46.7\n";
const HEADER: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n";

#[test]
fn a_running_guest_often_has_no_letter_at_all() {
    assert_eq!(listed(Xl, recording!("xl-4.17-list-dom0-only.txt")).domains.len(), 1);
    let both = listed(Xl, recording!("xl-4.17-list-one-domu.txt"));
    let vm1 = named(&both, "vm1");
    assert_eq!((vm1.id, vm1.memory), (1, 128));
    assert!(!vm1.state.running && !vm1.state.blocked && vm1.state.executes());
    assert!(named(&both, "Domain-0").state.running);
}

#[test]
fn after_shutdown_w_the_domain_is_still_listed() {
    let vm1 = listed(Xl, recording!("xl-4.17-list-after-shutdown-w.txt"));
    assert_eq!(shutdown_of(&vm1, "vm1"), Some(Poweroff));
    assert!(named(&vm1, "vm1").state.paused);
}

#[test]
fn a_domain_without_a_name_is_a_domain() {
    let left = listed(Xl, recording!("xl-4.17-list-null-name-dying.txt"));
    let null = named(&left, "(null)");
    assert_eq!((null.id, null.memory), (3, 0));
    assert!(null.state.dying && !null.state.executes());
}

#[test]
fn a_paused_guest_does_not_execute() {
    let hog = listed(Xl, recording!("xl-4.17-list-paused-hog.txt"));
    assert!(named(&hog, "hog").state.paused && !named(&hog, "hog").state.executes());
}

#[test]
fn odd_states_and_a_name_longer_than_its_column() {
    let odd = listed(Xl, recording!("xl-4.20-list-odd-states.txt"));
    assert_eq!(odd.domains.len(), 9);
    assert_eq!(named(&odd, "a-very-long-domain-name-that-exceeds-forty-columns-x").id, 12);
    assert!(named(&odd, "mail--migratedaway").state.is_suspended());
    assert_eq!(shutdown_of(&odd, "mail--migratedaway"), Some(Suspend));
    assert_eq!(shutdown_of(&odd, "crashed"), Some(Crash));
    assert_eq!(shutdown_of(&odd, "off"), Some(Poweroff));
    assert_eq!(shutdown_of(&odd, "web--incoming"), None);
    assert!(named(&odd, "web--incoming").state.paused);
    assert!(named(&odd, "old").state.dying);
    assert_eq!(named(&odd, "(null)").id, 14);
}

#[test]
fn a_list_with_more_columns_is_not_ours() {
    assert!(list(Xl, recording!("xl-4.17-list-verbose.txt")).is_err());
}

#[test]
fn usage_on_stdout_is_not_an_empty_list() {
    assert!(list(Xl, recording!("xl-4.17-list-two-operands.txt")).is_err());
    for text in ["", "\n", HEADER, "Error: no domain named x\n"] {
        assert!(list(Xl, text).is_err(), "{text:?}");
        assert!(list(Xm, text).is_err(), "{text:?}");
    }
}

#[test]
fn a_halted_managed_domain_is_no_domain() {
    let four = listed(Xm, recording!("xm-4.1-list.txt"));
    assert_eq!(four.halted, ["db"]);
    let names: Vec<&str> = four.domains.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["Domain-0", "web", "migrating-mail", "a-very-long-domain-name-that-exceeds-forty-columns-x"]);
    // xm tells that it is shut down, but not why.
    assert_eq!(shutdown_of(&four, "migrating-mail"), Some(Unknown));
    let three = listed(Xm, recording!("xm-3.1-list.txt"));
    assert_eq!((three.halted.len(), three.domains.len()), (1, 2));
    // The same row from xl would be a row that is not understood.
    assert!(list(Xl, recording!("xm-4.1-list.txt")).is_err());
}

#[test]
fn a_list_without_domain_0_is_not_whole() {
    let row = "web                                          7   512     1     -b----      33.2\n";
    for ts in [Xl, Xm] {
        let misread = list(ts, &format!("{HEADER}{row}")).unwrap_err();
        assert!(misread.why.contains("Domain-0"), "{misread}");
    }
}

#[test]
fn an_id_wider_than_its_column_shifts_the_rest() {
    let row = recording!("xm-3.1-list-four-digit-id.txt").lines().nth(1).unwrap();
    let listing = listed(Xm, &format!("{HEADER}{DOM0_ROW}{row}\n"));
    assert_eq!(named(&listing, "web").id, 1234);
}

#[test]
fn the_oldest_list_has_a_label_behind_the_time() {
    let old = listed(Xm, recording!("xm-3.0.2-list.txt"));
    assert_eq!((named(&old, "web").id, named(&old, "web").memory), (7, 512));
}

#[test]
fn xm_takes_the_s_of_a_crashed_domain_away() {
    let row = "web                                          7   512     1     ----c-     33.2\n";
    assert_eq!(shutdown_of(&listed(Xm, &format!("{HEADER}{DOM0_ROW}{row}")), "web"), Some(Crash));
    assert!(list(Xl, &format!("{HEADER}{DOM0_ROW}{row}")).is_err(), "xl never prints a reason without the s");
}

#[test]
fn a_row_that_is_not_understood_is_quoted() {
    for row in [
        "web                                          7   512     1     -b---X      33.2",
        "web                                          7   512     1     -b----      33,2",
        "web                                          7   512     1     -b----",
        "web                                      99999999999   512     1     -b----      33.2",
        "web                                         -1   512     1     -b----      33.2",
        "web 7 512 33.2",
        // A column is lost: not a domain that does not run.
        "web                                          7   512     1                33.2",
        "web                                      7   512                33.2",
        "something else",
        "x",
    ] {
        for ts in [Xl, Xm] {
            let misread = list(ts, &format!("{HEADER}{DOM0_ROW}{row}\n")).expect_err(row);
            assert_eq!(misread.row, row);
        }
    }
    // A reason that a later version knows is kept as a shutdown.
    let later = format!("{HEADER}{DOM0_ROW}web  7  512  1  ---sZ-  33.2\n");
    assert_eq!(shutdown_of(&listed(Xl, &later), "web"), Some(Unknown));
}

#[test]
fn a_name_may_have_blanks_in_xl() {
    let listing = listed(
        Xl,
        &format!("{HEADER}{DOM0_ROW}my domu 5                                    7   512     1     -b----      33.2\n"),
    );
    assert_eq!(named(&listing, "my domu 5").id, 7);
}

#[test]
fn a_list_that_was_cut_is_an_error_or_the_whole_rows_that_came() {
    let text = recording!("xl-4.20-list-odd-states.txt");
    let all = listed(Xl, text).domains;
    for end in 0..text.len() {
        if let Ok(cut) = list(Xl, &text[..end]) {
            assert!(text[..end].ends_with('\n'), "{:?}", &text[..end]);
            assert_eq!(cut.domains[..], all[..cut.domains.len()]);
            assert_eq!(cut.domains.len() + 1, text[..end].lines().count());
        }
    }
}

#[test]
fn vm_list_pads_its_names() {
    let rows = vm_list(recording!("xl-4.17-vm-list.txt")).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[1].id, rows[1].name.as_str()), (1, "vm1"));
    assert_eq!(rows[1].uuid, "bc908e51-7967-4f22-aaba-ff61b1b5b265");
    assert!(vm_list("").is_err());
    assert!(vm_list("UUID  ID  name\nnonsense\n").is_err());
}

#[test]
fn a_host_without_shadow_paging() {
    let info = info::info(recording!("xl-4.17-info.txt")).unwrap();
    assert_eq!(info.xen, "4.17.7");
    assert_eq!((info.total_memory_mib, info.free_memory_mib), (Some(1535), Some(816)));
    assert_eq!(info.host.as_deref(), Some("dom0-a"));
    let caps = info.virt_caps.clone().unwrap();
    assert!(caps.contains(&"hap".to_string()) && !caps.contains(&"shadow".to_string()));
    assert!(info.at_least(4, 8) && info.at_least(4, 17) && !info.at_least(4, 18) && !info.at_least(5, 0));
}

#[test]
fn xm_info_has_its_colon_at_the_key() {
    let info = info::info(recording!("xm-4.1-info.txt")).unwrap();
    assert_eq!(info.xen, "4.1.6.1");
    assert_eq!(info.free_memory_mib, Some(9051));
    assert_eq!(info.virt_caps, Some(vec!["hvm".to_string()]));
}

#[test]
fn info_without_the_hypervisor_is_no_info() {
    assert!(info::info("host                   : dom0-a\nrelease                : 6.1\nxend_config_format     : 4\n").is_err());
    assert!(info::info("xen_major : 4\nxen_minor : x\n").is_err());
    assert!(info::info("xen_major : 4\nxen_minor : 1\nfree_memory : lots\n").is_err());
}

#[test]
fn block_devices_that_live_and_that_are_dead() {
    let device = |state| vec![BlockDevice { vdev: "51712".into(), state }];
    assert_eq!(block::block_list(Xl, recording!("xl-4.17-block-list-connected.txt")).unwrap(), device(4));
    // -1 where the frontend never connected.
    assert_eq!(block::block_list(Xl, recording!("xl-4.17-block-list-dead-since-create.txt")).unwrap(), device(6));
    // Here the frontend has its channel and its ring: only the state shows that the disk is dead.
    assert_eq!(block::block_list(Xl, recording!("xl-4.17-block-list-dead-since-migrate.txt")).unwrap(), device(6));
}

#[test]
fn block_devices_of_xm_in_both_spacings() {
    let new = block::block_list(Xm, recording!("xm-4.1-block-list.txt")).unwrap();
    assert_eq!(new.iter().map(|d| (d.vdev.as_str(), d.state)).collect::<Vec<_>>(), [("51712", 4), ("268439552", 6)]);
    let old = block::block_list(Xm, recording!("xm-3.1-block-list.txt")).unwrap();
    assert_eq!((old.len(), old[0].state), (1, 4));
    assert_eq!(block::block_list(Xm, "").unwrap(), []);
    assert!(block::block_list(Xl, "").is_err(), "xl always prints its header");
    let unknown = "Vdev  BE handle state evt-ch ring-ref BE-path\n51712  0    0     -1     15     8     ??\n";
    assert_eq!(block::block_list(Xm, unknown).unwrap()[0].state, 0);
    assert!(block::block_list(Xm, "Vdev  BE handle state evt-ch ring-ref BE-path\n51712  0    0     4     15\n").is_err());
}

#[test]
fn json_leaves_defaults_out() {
    let found = json::domains(recording!("xl-4.17-list-long-pv-phy.json")).unwrap();
    let vm1 = &found[0];
    // c_info has a domid as well, which is 2³² - 1.
    assert_eq!((vm1.name.as_str(), vm1.id, vm1.kind.clone()), ("vm1", Some(1), GuestKind::Pv));
    assert_eq!(vm1.max_memory_mib, Some(128));
    assert_eq!(vm1.uuid.as_deref(), Some("bc908e51-7967-4f22-aaba-ff61b1b5b265"));
    assert!(vm1.bridges.is_empty());
    let disk = &vm1.disks[0];
    assert_eq!((disk.vdev.as_str(), disk.target.as_str(), disk.script.as_deref()), ("xvda", "/dev/drbd0", None));
    assert!(disk.writable && !disk.cdrom);
}

#[test]
fn a_disk_given_by_its_resource_has_a_script() {
    let found = json::domains(recording!("xl-4.17-list-long-pv-script-drbd.json")).unwrap();
    let disk = &found[0].disks[0];
    assert_eq!((disk.target.as_str(), disk.script.as_deref()), ("r0", Some("block-drbd")));
}

#[test]
fn domain_0_is_in_the_long_list() {
    assert_eq!(json::domains(recording!("xl-4.17-list-long-dom0-only.json")).unwrap()[0].id, Some(0));
    let all = json::domains(recording!("xl-4.17-list-long-all.json")).unwrap();
    assert_eq!(all.iter().map(|long| long.name.as_str()).collect::<Vec<_>>(), ["Domain-0", "vm1"]);
    assert_eq!(all[0].uuid, None);
}

#[test]
fn channels_have_names_and_scripts_have_paths() {
    let found = json::domains(recording!("xl-4.17-list-long-pvh-nics.json")).unwrap();
    let pvh1 = &found[0];
    assert_eq!((pvh1.name.as_str(), pvh1.kind.clone()), ("pvh1", GuestKind::Pvh));
    assert_eq!(pvh1.bridges, ["xenbr0", "xenbr1"]);
    assert_eq!(pvh1.disks[0].script.as_deref(), Some("block-drbd"));
    assert!(pvh1.disks[1].cdrom && pvh1.disks[1].target.is_empty());
    assert!(!pvh1.disks[2].writable, "readwrite is left out when it is 0");
}

#[test]
fn the_first_json_wrote_every_default_out() {
    let found = json::domains(recording!("xl-4.2-list-long-hvm.json")).unwrap();
    let win = &found[0];
    assert_eq!((win.kind.clone(), win.max_memory_mib), (GuestKind::Hvm, Some(2048)));
    assert_eq!(win.disks[0].script.as_deref(), Some("block-drbd"));
    assert!(win.disks[0].writable && !win.disks[0].cdrom);
    assert!(win.disks[1].cdrom && !win.disks[1].writable && win.disks[1].script.is_none());
    assert_eq!(win.bridges, ["xenbr0"]);
}

#[test]
fn the_old_format_of_xl_hides_scripts_and_is_refused() {
    let misread = json::domains(recording!("xl-4.1-list-long.sxp.txt")).unwrap_err();
    assert!(misread.why.contains("output_format"), "{misread}");
}

#[test]
fn no_configuration_is_an_empty_array() {
    assert_eq!(json::domains("[\n\n]\n\n").unwrap(), []);
    assert!(json::domains("").is_err());
    assert!(json::domains("{}").is_err());
    assert!(json::domains(r#"[{"domid": 3, "config": {"b_info": {}}}]"#).is_err(), "a domain without a name");
    assert!(json::domains(r#"[{"domid": "x", "config": {"c_info": {"name": "a"}}}]"#).is_err());
    assert!(json::domains(r#"[{"domid": 1, "config": {"c_info": {"name": "a"}, "disks": {}}}]"#).is_err());
    assert!(
        json::domains(
            r#"[{"domid": 1, "config": {"c_info": {"name": "a"}, "disks": [{"vdev": "xvda", "readwrite": "maybe"}]}}]"#
        )
        .is_err()
    );
}

#[test]
fn a_kind_of_guest_that_is_not_known_is_kept() {
    let kind = |text: &str| json::domains(text).unwrap()[0].kind.clone();
    assert_eq!(kind(r#"[{"domid":1,"config":{"c_info":{"type":"new","name":"a"}}}]"#), GuestKind::Other("new".into()));
    assert_eq!(kind(r#"[{"domid":1,"config":{"c_info":{"name":"a"},"b_info":{"type.hvm":{}}}}]"#), GuestKind::Hvm);
    assert_eq!(kind(r#"[{"domid":1,"config":{"c_info":{"type":"pv","pvh":"True","name":"a"}}}]"#), GuestKind::Pvh);
    assert_eq!(kind(r#"[{"domid":1,"config":{"c_info":{"type":"pv","pvh":"False","name":"a"}}}]"#), GuestKind::Pv);
}

#[test]
fn a_memory_that_is_not_set_is_none() {
    let memory = |kib: &str| {
        json::domains(&format!(r#"[{{"domid":1,"config":{{"c_info":{{"name":"a"}},"b_info":{{"max_memkb":{kib}}}}}}}]"#)).unwrap()
            [0]
        .max_memory_mib
    };
    assert_eq!(memory("18446744073709551615"), None);
    assert_eq!(memory("-1"), None);
    assert_eq!(memory("1025"), Some(2), "rounded up: too little would be no promise");
}

#[test]
fn s_expressions_of_xm() {
    let all = sxp::domains(recording!("xm-4.1-list-long-all.sxp.txt")).unwrap();
    assert_eq!(
        all.iter().map(|long| (long.name.as_str(), long.id)).collect::<Vec<_>>(),
        [
            ("Domain-0", Some(0)),
            ("web", Some(7)),
            // Quoted, because of its plus sign.
            ("win+2003", Some(12)),
            // Managed and not running.
            ("db", None),
        ]
    );
    assert_eq!(all[0].max_memory_mib, None, "Domain-0 has no limit");
    let web = &all[1];
    assert_eq!((web.kind.clone(), web.max_memory_mib), (GuestKind::Pv, Some(512)));
    assert_eq!(web.bridges, ["xenbr0"]);
    let disks: Vec<_> = web.disks.iter().map(|d| (d.vdev.as_str(), d.target.as_str(), d.script.as_deref(), d.writable)).collect();
    assert_eq!(disks, [("xvda", "web", Some("block-drbd"), true), ("xvdb", "/dev/drbd5", None, false)]);
    let win = &all[2];
    assert_eq!(win.kind, GuestKind::Hvm);
    assert_eq!((win.disks[0].vdev.as_str(), win.disks[0].target.as_str(), win.disks[0].writable), ("hda", "/srv/win.img", true));
    assert_eq!((win.disks[1].cdrom, win.disks[1].target.as_str()), (true, "/srv/cd image.iso"));
    assert_eq!(all[3].disks[0].target, "db");
    assert_eq!(sxp::domains(recording!("xm-4.1-list-long-one.sxp.txt")).unwrap()[0], all[1]);
}

#[test]
fn s_expressions_that_are_not_whole_are_errors() {
    for text in [
        "(domain",
        ")",
        "(domain (name web)",
        "(domain (name 'web))",
        "(vm (name web))",
        "(domain (domid 3))",
        "web",
        "(domain (name w) (device))",
    ] {
        assert!(sxp::domains(text).is_err(), "{text}");
    }
    assert!(sxp::domains(&"(".repeat(100_000)).is_err());
    let quoted = sxp::domains(r#"(domain (name 'a\'b\\c\x41\n') (description "it's"))"#).unwrap();
    assert_eq!(quoted[0].name, "a'b\\cA\n");
    // An empty drive, and the forms of a tap.
    let forms = sxp::domains(
        "(domain (name a) (device (vbd (dev hdc:cdrom) (uname '') (mode r))) (device (tap (dev xvda) (uname tap:aio:/x) (mode w)))
         (device (tap (dev xvdb) (uname tap:aio) (mode w))) (device (vbd (dev ioemu:hdb) (uname phy:/dev/drbd/by-res/a) (mode w))))",
    )
    .unwrap();
    let targets: Vec<_> = forms[0].disks.iter().map(|d| (d.vdev.as_str(), d.target.as_str())).collect();
    assert_eq!(targets, [("hdc", ""), ("xvda", "/x"), ("xvdb", "aio"), ("hdb", "/dev/drbd/by-res/a")]);
}

#[test]
fn device_numbers() {
    for (vdev, number) in [
        ("xvda", Some(51712)),
        ("xvda1", Some(51713)),
        ("xvdb", Some(51728)),
        ("xvdp15", Some(51967)),
        ("xvdq", Some(268_439_552)),
        ("xvda16", Some(268_435_472)),
        ("xvdaa", Some((1 << 28) | (26 << 8))),
        ("d0p0", Some(51712)),
        ("51712", Some(51712)),
        ("0xca00", Some(51712)),
        ("hda", Some(768)),
        ("hdb1", Some(833)),
        ("hdc", Some(5632)),
        ("sda1", Some(2049)),
        ("sdp", Some(2288)),
        ("sdq", Some(16640)),
        ("/dev/xvda", Some(51712)),
        ("", None),
        ("xvd", None),
        ("xvda01", None),
        ("xvd1", None),
        ("vda", None),
        ("hda64", None),
        ("xvdzzzzzzzzz", None),
        ("99999999999", None),
        ("d1", None),
    ] {
        assert_eq!(vdev_number(vdev), number, "{vdev}");
    }
}

type Parsers = fn(&str);

/// Every recording with the parsers that are meant for it.
const ALL: [(&str, Parsers); 23] = [
    (recording!("xl-4.17-list-dom0-only.txt"), lists),
    (recording!("xl-4.17-list-one-domu.txt"), lists),
    (recording!("xl-4.17-list-null-name-dying.txt"), lists),
    (recording!("xl-4.20-list-odd-states.txt"), lists),
    (recording!("xm-4.1-list.txt"), lists),
    (recording!("xm-3.1-list.txt"), lists),
    (recording!("xm-3.1-list-four-digit-id.txt"), lists),
    (recording!("xm-3.0.2-list.txt"), lists),
    (recording!("xl-4.17-list-verbose.txt"), lists),
    (recording!("xl-4.17-list-two-operands.txt"), lists),
    (recording!("xl-4.17-vm-list.txt"), lists),
    (recording!("xl-4.17-info.txt"), infos),
    (recording!("xm-4.1-info.txt"), infos),
    (recording!("xl-4.17-block-list-connected.txt"), blocks),
    (recording!("xl-4.17-block-list-dead-since-create.txt"), blocks),
    (recording!("xm-4.1-block-list.txt"), blocks),
    (recording!("xm-3.1-block-list.txt"), blocks),
    (recording!("xl-4.17-list-long-all.json"), jsons),
    (recording!("xl-4.17-list-long-pvh-nics.json"), jsons),
    (recording!("xl-4.2-list-long-hvm.json"), jsons),
    (recording!("xl-4.1-list-long.sxp.txt"), sxps),
    (recording!("xm-4.1-list-long-one.sxp.txt"), sxps),
    (recording!("xm-4.1-list-long-all.sxp.txt"), sxps),
];

fn lists(text: &str) {
    let _ = (list(Xl, text), list(Xm, text), vm_list(text));
}

fn blocks(text: &str) {
    let _ = (block::block_list(Xl, text), block::block_list(Xm, text));
}

fn infos(text: &str) {
    let _ = info::info(text);
}

fn jsons(text: &str) {
    let _ = json::domains(text);
}

fn sxps(text: &str) {
    let _ = sxp::domains(text);
}

#[test]
fn no_parser_panics_on_a_recording_cut_at_any_byte() {
    for (text, parse) in ALL {
        for end in 0..=text.len() {
            parse(&String::from_utf8_lossy(&text.as_bytes()[..end]));
        }
    }
}

#[test]
fn a_cut_configuration_is_never_taken_for_a_smaller_one() {
    let text = recording!("xl-4.17-list-long-all.json");
    let whole = text.trim_end().len();
    for end in 0..whole {
        assert!(json::domains(&text[..end]).is_err(), "{end}");
    }
    let text = recording!("xm-4.1-list-long-one.sxp.txt");
    let whole = text.trim_end().len();
    for end in text.find('(').unwrap() + 1..whole {
        assert!(sxp::domains(&text[..end]).is_err(), "{end}");
    }
}

#[test]
fn no_parser_panics_on_shaken_recordings() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut dice = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap_or(0)
    };
    const BITS: [&str; 16] =
        ["(", ")", "'", "\"", "\\", "\\x", "\n", " ", "\t", "-", "é", "\u{0}", "99999999999999999999", "}", "[", ":"];
    for _ in 0..1000 {
        let mut text = ALL[dice(ALL.len())].0.to_string();
        for _ in 0..=dice(4) {
            let mut at = dice(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match dice(3) {
                0 => text.insert_str(at, BITS[dice(BITS.len())]),
                1 => text.truncate(at),
                _ => {
                    text.remove(at.min(text.len().saturating_sub(1)).min(text.find('\n').unwrap_or(0)));
                }
            }
            if text.is_empty() {
                text.push('x');
            }
        }
        for parse in [lists, blocks, infos, jsons, sxps] {
            parse(&text);
        }
        let _ = vdev_number(&text);
    }
}
