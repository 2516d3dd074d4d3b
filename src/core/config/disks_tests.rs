use super::*;
use crate::core::config::read;
use crate::core::drbd::Options;
use crate::core::xen::Toolstack;

fn res(name: &str) -> ResourceName {
    name.parse().unwrap()
}

fn configured(name: &str, implicit: bool, volumes: &[(u32, u32, &str, &str)]) -> Configured {
    let volumes = volumes.iter().map(|(number, minor, device, disk)| ConfiguredVolume {
        number: *number,
        minor: *minor,
        device: device.to_string(),
        disk: disk.to_string(),
        implicit,
    });
    Configured {
        resource: res(name),
        volumes: volumes.collect(),
        options: Options::default(),
        peers: vec![],
        auto_promote: true,
        quorum: false,
    }
}

fn fleet() -> Vec<Configured> {
    vec![
        configured("web", true, &[(0, 1, "/dev/drbd1", "/dev/vg0/web")]),
        configured("db", false, &[(0, 2, "/dev/drbd2", "/dev/vg0/db-0"), (1, 3, "/dev/drbd_db1", "/dev/vg0/db-1")]),
        configured("one", false, &[(0, 10, "/dev/drbd10", "/dev/mapper/vg--a-one")]),
    ]
}

/// The use of a disk in xl's words, or the fault's text.
fn xl(spec: &str) -> Result<DrbdUse, String> {
    one(spec, Toolstack::Xl)
}

fn xm(spec: &str) -> Result<DrbdUse, String> {
    one(spec, Toolstack::Xm)
}

fn one(spec: &str, toolstack: Toolstack) -> Result<DrbdUse, String> {
    let config =
        read("f", format!("name='web'\ndisk=['{spec}']\n").as_bytes(), toolstack).unwrap_or_else(|f| panic!("{spec}: {f:?}"));
    config.disks[0].drbd_use().map_err(|fault| fault.to_string())
}

fn found(used: &DrbdUse) -> Result<Option<String>, Unresolved> {
    resolve(used, &fleet()).map(|r| r.map(|name| name.to_string()))
}

#[test]
fn every_form_of_a_device_is_known() {
    for (path, used) in [
        ("/dev/drbd1", DrbdUse::Minor(1)),
        ("/dev/drbd0", DrbdUse::Minor(0)),
        ("//dev/./drbd12", DrbdUse::Minor(12)),
        ("/dev/drbd_db1", DrbdUse::Device("/dev/drbd_db1".into())),
        ("/dev/drbd/by-res/web", DrbdUse::ByRes { resource: res("web"), volume: None }),
        ("/dev/drbd/by-res/db/1", DrbdUse::ByRes { resource: res("db"), volume: Some(1) }),
        ("/dev/drbd/by-disk/vg0/web", DrbdUse::ByDisk("/dev/vg0/web".into())),
        ("/dev/drbd/by-disk/sda3", DrbdUse::ByDisk("/dev/sda3".into())),
        ("/dev/vg0/swap", DrbdUse::Plain("/dev/vg0/swap".into())),
        ("/dev/vg0/drbd-backup", DrbdUse::Plain("/dev/vg0/drbd-backup".into())),
        ("/srv/drbd/web.img", DrbdUse::Plain("/srv/drbd/web.img".into())),
    ] {
        for prefix in ["phy:", "file:", "tap:aio:"] {
            assert_eq!(xl(&format!("{prefix}{path},xvda,w")), Ok(used.clone()), "{path}");
            assert_eq!(xm(&format!("{prefix}{path},xvda,w")), Ok(used.clone()), "{path}");
        }
    }
}

#[test]
fn what_looks_like_drbd_and_is_not_understood_is_a_fault() {
    for path in [
        "/dev/drbd",
        "/dev/drbd/",
        "/dev/drbd/0",
        "/dev/drbd/web",
        "/dev/drbd/by-res",
        "/dev/drbd/by-res/",
        "/dev/drbd/by-res/all",
        "/dev/drbd/by-res/web/x",
        "/dev/drbd/by-res/web/00",
        "/dev/drbd/by-res/web/0/1",
        "/dev/drbd/by-res/-x",
        "/dev/drbd/by-disk",
        "/dev/drbd/by-uuid/1",
        "/dev/drbd01",
        "/dev/drbd1p1",
        "/dev/drbd_",
        "/dev/drbdweb",
        "/dev/drbd1/x",
        "/dev/drbd99999999",
        "/dev/drbd4294967297",
        "/dev/x/../drbd1",
        "/tmp/../dev/drbd1",
        "/dev/block/147:1",
        "/dev/disk/by-id/drbd-1",
        "/dev/mapper/drbd1p1",
    ] {
        assert!(xl(&format!("phy:{path},xvda,w")).is_err(), "{path}");
        assert!(xm(&format!("phy:{path},xvda,w")).is_err(), "{path}");
    }
    for spec in [
        "drbd:,xvda,w",
        "drbd:we b,xvda,w",
        "drbd:-d,xvda,w",
        "drbd:all,xvda,w",
        "drbd:minor-1,xvda,w",
        "drbd:web/,xvda,w",
        "drbd:web/x,xvda,w",
        "drbd:web/0/1,xvda,w",
        "drbd:/dev/drbd1,xvda,w",
    ] {
        assert!(xl(spec).is_err(), "{spec}");
        assert!(xm(spec).is_err(), "{spec}");
    }
    for spec in [
        "script=drbd,vdev=xvda,target=web",
        "script=block-drbd-probe,vdev=xvda,target=web",
        "script=block-drbd,vdev=xvda,target=/dev/drbd1",
        "script=block-drbd,vdev=xvda,target=",
        "vdev=xvda,target=drbd:web",
        "script=block-dummy,vdev=xvda,target=/dev/drbd/x",
    ] {
        assert!(xl(spec).is_err(), "{spec}");
    }
    assert!(xm("DRBD:web,xvda,w").is_err());
    assert!(xm("phy:drbd:web,xvda,w").is_err());
}

#[test]
fn xl_takes_a_relative_name_for_a_file_and_xm_for_a_device() {
    assert!(xl("phy:drbd1,xvda,w").unwrap_err().contains("relative path"));
    assert_eq!(xm("phy:drbd1,xvda,w"), Ok(DrbdUse::Minor(1)));
    assert_eq!(xm("phy:drbd/by-res/web,xvda,w"), Ok(DrbdUse::ByRes { resource: res("web"), volume: None }));
    assert!(xm("file:drbd1,xvda,w").is_err());
}

#[test]
fn the_script_is_known_by_its_base_name_and_strips_the_word() {
    for script in ["block-drbd", "/etc/xen/scripts/block-drbd", "/usr/local/lib/xen/block-drbd"] {
        assert_eq!(xl(&format!("vdev=xvda,script={script},target=web")), Ok(DrbdUse::Resource(res("web"))));
    }
    assert_eq!(xl("vdev=xvda,script=block-drbd,target=drbd:web"), Ok(DrbdUse::Resource(res("web"))));
    assert_eq!(xl("vdev=xvda,script=block-iscsi,target=iqn=x:y"), Ok(DrbdUse::None));
    assert_eq!(xl("vdev=xvda,script=block-dummy,target=/dev/drbd1"), Ok(DrbdUse::Minor(1)));
    assert!(xl("vdev=xvda,script=block-drbd,backendtype=qdisk,target=web").is_err());
}

#[test]
fn drives_are_ignored_unless_they_are_drbd() {
    assert_eq!(xl(",hdc:cdrom,r"), Ok(DrbdUse::None));
    assert_eq!(xl("file:/x.iso,hdc:cdrom,r"), Ok(DrbdUse::None));
    assert_eq!(xm("phy:/dev/cdrom,ioemu:hdc:cdrom,r"), Ok(DrbdUse::None));
    assert_eq!(xl("phy:/dev/drbd5,hdc:cdrom,r"), Ok(DrbdUse::Minor(5)));
}

#[test]
fn drbd_in_another_domain_is_a_fault() {
    assert!(xm("phy:/dev/drbd1,xvda,w,storage").is_err());
    assert!(xl("vdev=xvda,backend=storage,target=/dev/drbd1").is_err());
    assert_eq!(xm("phy:/dev/vg0/x,xvda,w,storage"), Ok(DrbdUse::None));
    for here in ["0", "Domain-0", ""] {
        assert_eq!(xm(&format!("phy:/dev/drbd1,xvda,w,{here}")), Ok(DrbdUse::Minor(1)));
    }
}

#[test]
fn a_volume_by_name_works_with_8_4_alone() {
    let used = xl("drbd:db/0,xvda,w").unwrap();
    assert_eq!(used, DrbdUse::ResourceVolume(res("db"), 0));
    assert!(used.objection(Generation::V84).is_none());
    assert!(used.objection(Generation::V9).is_some() && used.objection(Generation::V83).is_some());
    assert!(DrbdUse::Resource(res("db")).objection(Generation::V9).is_none());
}

#[test]
fn who_promotes() {
    let promotion = |spec: &str, toolstack| {
        let text = format!("name='web'\ndisk=['{spec}']\n");
        read("f", text.as_bytes(), toolstack).unwrap().disks[0].promotion()
    };
    for toolstack in [Toolstack::Xl, Toolstack::Xm] {
        assert_eq!(promotion("drbd:web,xvda,w", toolstack), Promotion::Script);
        assert_eq!(promotion("phy:/dev/drbd1,xvda,w", toolstack), Promotion::Nobody);
    }
    assert_eq!(promotion("script=/etc/xen/scripts/block-drbd,vdev=xvda,target=web", Toolstack::Xl), Promotion::Script);
}

#[test]
fn the_resource_is_found_by_every_form() {
    for (used, want) in [
        (DrbdUse::Resource(res("web")), Ok(Some("web"))),
        (DrbdUse::ResourceVolume(res("db"), 1), Ok(Some("db"))),
        (DrbdUse::Minor(1), Ok(Some("web"))),
        (DrbdUse::Minor(3), Ok(Some("db"))),
        (DrbdUse::Minor(10), Ok(Some("one"))),
        (DrbdUse::Device("/dev/drbd_db1".into()), Ok(Some("db"))),
        (DrbdUse::ByRes { resource: res("web"), volume: None }, Ok(Some("web"))),
        (DrbdUse::ByRes { resource: res("web"), volume: Some(0) }, Ok(Some("web"))),
        (DrbdUse::ByRes { resource: res("db"), volume: Some(1) }, Ok(Some("db"))),
        (DrbdUse::ByDisk("/dev/vg0/web".into()), Ok(Some("web"))),
        (DrbdUse::Plain("/dev/vg0/swap".into()), Ok(None)),
        (DrbdUse::None, Ok(None)),
    ] {
        assert_eq!(found(&used), want.map(|r: Option<&str>| r.map(String::from)), "{used:?}");
    }
}

#[test]
fn what_is_not_configured_is_never_no_drbd() {
    for used in [
        DrbdUse::Resource(res("nosuch")),
        DrbdUse::ResourceVolume(res("nosuch"), 0),
        DrbdUse::Minor(0),
        DrbdUse::Minor(11),
        DrbdUse::Device("/dev/drbd_db".into()),
        DrbdUse::ByRes { resource: res("nosuch"), volume: None },
        DrbdUse::ByDisk("/dev/vg0/we".into()),
    ] {
        assert!(matches!(found(&used), Err(Unresolved::NotConfigured(_))), "{used:?}");
        assert!(resolve(&used, &[]).is_err());
    }
    assert_eq!(found(&DrbdUse::ResourceVolume(res("db"), 7)), Err(Unresolved::NoSuchVolume(res("db"), 7)));
    assert_eq!(found(&DrbdUse::ByRes { resource: res("db"), volume: Some(2) }), Err(Unresolved::NoSuchVolume(res("db"), 2)));
}

#[test]
fn many_volumes_cannot_be_used_by_name() {
    assert_eq!(found(&DrbdUse::Resource(res("db"))), Err(Unresolved::NotOneVolume(res("db"), 2)));
    assert_eq!(found(&DrbdUse::ByRes { resource: res("db"), volume: None }), Err(Unresolved::NotOneVolume(res("db"), 2)));
    // With explicit volumes `by-res/RES` is a folder, even with one.
    assert_eq!(found(&DrbdUse::ByRes { resource: res("one"), volume: None }), Err(Unresolved::Folder(res("one"))));
    assert_eq!(found(&DrbdUse::Resource(res("one"))), Ok(Some("one".into())));
}

#[test]
fn a_lower_disk_is_refused_under_both_its_names() {
    for path in ["/dev/vg0/web", "/dev/mapper/vg0-web", "/dev/vg0/db-0", "/dev/mapper/vg0-db--0", "/dev/vg-a/one"] {
        assert!(matches!(found(&DrbdUse::Plain(path.into())), Err(Unresolved::LowerDisk { .. })), "{path}");
    }
    // A device under a name of its own.
    let named = [configured("web", true, &[(0, 1, "/dev/web", "/dev/vg0/web")])];
    assert_eq!(resolve(&DrbdUse::Plain("/dev/web".into()), &named), Ok(Some(res("web"))));
}

#[test]
fn two_owners_are_told() {
    let twice =
        [configured("a", true, &[(0, 1, "/dev/drbd1", "/dev/x")]), configured("b", true, &[(0, 1, "/dev/drbd1", "/dev/x")])];
    for used in [DrbdUse::Minor(1), DrbdUse::ByDisk("/dev/x".into()), DrbdUse::Plain("/dev/x".into())] {
        assert!(matches!(resolve(&used, &twice), Err(Unresolved::Ambiguous { .. })), "{used:?}");
    }
}

#[test]
fn a_running_disk_is_understood_as_well() {
    let running = |target: &str, script: Option<&str>| {
        of_running_disk(&DomainDisk {
            vdev: "xvda".into(),
            target: target.into(),
            script: script.map(String::from),
            cdrom: false,
            writable: true,
        })
    };
    assert_eq!(running("web", Some("block-drbd")), Ok((DrbdUse::Resource(res("web")), Promotion::Script)));
    assert_eq!(running("drbd:web", Some("/etc/xen/scripts/block-drbd")), Ok((DrbdUse::Resource(res("web")), Promotion::Script)));
    assert_eq!(running("/dev/drbd1", None), Ok((DrbdUse::Minor(1), Promotion::Nobody)));
    assert_eq!(running("/dev/drbd1", Some("block")), Ok((DrbdUse::Minor(1), Promotion::Nobody)));
    assert_eq!(running("drbd1", Some("/etc/xen/scripts/block")), Ok((DrbdUse::Minor(1), Promotion::Nobody)));
    assert_eq!(running("", None), Ok((DrbdUse::None, Promotion::Nobody)));
    assert!(running("/dev/drbd/x", None).is_err());
    assert!(running("drbd:web", None).is_err());
}

#[test]
fn a_domu_needs_each_resource_once() {
    let text = "name='a'\ndisk=['drbd:web,xvda,w','phy:/dev/drbd/by-res/db/0,xvdb,w','phy:/dev/drbd_db1,xvdc,w',',hdc:cdrom,r','phy:/dev/drbd1,xvdd,r']\n";
    let config = read("f", text.as_bytes(), Toolstack::Xl).unwrap();
    let needed = config.resources(&fleet()).unwrap();
    // One disk of web is by path, so nobody can count on the script alone.
    assert_eq!(
        needed,
        [
            NeededResource { resource: res("web"), promotion: Promotion::Nobody },
            NeededResource { resource: res("db"), promotion: Promotion::Nobody }
        ]
    );
    let faults = config.resources(&[]).unwrap_err();
    assert_eq!(faults.iter().map(|f| (f.line, f.column)).collect::<Vec<_>>(), [(2, 7), (2, 25), (2, 60), (2, 102)]);
}
