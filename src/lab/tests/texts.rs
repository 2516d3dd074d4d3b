//! Texts and exit codes, line by line as they were recorded.

use super::*;
use crate::core::drbd::Disk;

#[test]
fn drbd_8_4_connected_and_primary_is_shown_as_recorded() {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    assert_eq!(out(&lab, "dom0-a", "drbdadm role r0"), "Secondary/Secondary\n");
    assert_eq!(out(&lab, "dom0-a", "drbdadm primary r0"), "");
    assert_eq!(out(&lab, "dom0-b", "drbdadm role r0"), "Secondary/Primary\n");
    assert_eq!(out(&lab, "dom0-b", "drbdadm cstate r0"), "Connected\n");
    assert_eq!(out(&lab, "dom0-b", "drbdadm dstate r0"), "UpToDate/UpToDate\n");
    assert_eq!(
        out(&lab, "dom0-b", "drbdadm status r0"),
        "r0 role:Secondary\n  disk:UpToDate\n  peer role:Primary\n    replication:Established peer-disk:UpToDate\n\n"
    );
    assert_eq!(
        out(&lab, "dom0-b", "drbdsetup events2 --now"),
        include_str!("../../../tests/recorded/lab/drbd84-events2-peer-primary.txt")
    );
    assert_eq!(out(&lab, "dom0-a", "cat /proc/drbd"), include_str!("../../../tests/recorded/lab/drbd84-proc-primary.txt"));
    assert_eq!(out(&lab, "dom0-a", "drbdsetup show r0"), include_str!("../../../tests/recorded/lab/drbd84-show.txt"));
}

#[test]
fn drbd_8_4_down_and_unknown_are_told_as_recorded() {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    out(&lab, "dom0-a", "drbdadm down r0");
    let ran = sh(&lab, "dom0-a", "drbdadm role r0");
    let text = "0: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\nCommand 'drbdsetup-84 role 0' terminated with exit code 10\n";
    assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (10, text, ""));
    assert_eq!(out(&lab, "dom0-a", "drbdadm dstate r0"), "Consistent\n");
    let ran = sh(&lab, "dom0-a", "drbdadm status r0");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (10, "r0: No such resource\nCommand 'drbdsetup-84 status r0' terminated with exit code 10\n")
    );
    assert_eq!(out(&lab, "dom0-a", "drbdsetup events2 --now"), "exists -\n");
    for command in ["role", "status", "primary", "sh-dev", "up"] {
        let ran = sh(&lab, "dom0-a", &format!("drbdadm {command} nosuch"));
        assert_eq!((ran.code, ran.err.as_str()), (1, "'nosuch' not defined in your config (for this host).\n"), "{command}");
    }
    let ran = sh(&lab, "dom0-a", "drbdsetup role r0");
    assert_eq!((ran.code, ran.err.as_str()), (20, "Cannot determine minor device number of device 'r0'\n"));
    let ran = sh(&lab, "dom0-a", "drbdsetup status --json");
    assert_eq!((ran.code, ran.err.as_str()), (20, "status: unrecognized option '--json'\n"));
    out(&lab, "dom0-a", "drbdadm up r0");
    let ran = sh(&lab, "dom0-a", "drbdadm up r0");
    assert_eq!((ran.code, ran.err.lines().next()), (1, Some("Device '0' is configured!")));
    out(&lab, "dom0-a", "drbdadm adjust r0");
}

#[test]
fn drbd_8_4_configuration_is_printed_as_recorded() {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    assert_eq!(out(&lab, "dom0-a", "drbdadm dump-xml r0"), include_str!("../../../tests/recorded/lab/drbd84-dump-xml.txt"));
    assert_eq!(out(&lab, "dom0-a", "drbdadm sh-resources"), "r0\n");
    assert_eq!(out(&lab, "dom0-a", "drbdadm sh-dev r0"), "/dev/drbd0\n");
    assert_eq!(out(&lab, "dom0-a", "drbdadm sh-ll-dev r0"), "/dev/vdb\n");
    let ran = sh(&lab, "dom0-a", "drbdadm sh-resource minor-0");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (1, "sh-resource operates on whole resources, but you specified a specific volume!\n")
    );
    let ran = sh(&lab, "dom0-a", "drbdadm nosuchcommand r0");
    assert_eq!((ran.code, ran.err.as_str()), (1, "drbdadm: Unknown command 'nosuchcommand'\n"));
}

#[test]
fn drbd_9_is_shown_as_recorded() {
    let lab = recorded_pair(Generation::V9, Toolstack::Xl, DiskForm::Script);
    out(&lab, "dom0-a", "drbdadm primary r0");
    assert_eq!(out(&lab, "dom0-a", "drbdadm role r0"), "Primary\n");
    assert_eq!(out(&lab, "dom0-a", "drbdadm role r0:dom0-b"), "Primary\n", "9.22 prints the local role");
    assert_eq!(
        out(&lab, "dom0-b", "drbdadm status r0"),
        "r0 role:Secondary\n  disk:UpToDate\n  dom0-a role:Primary\n    peer-disk:UpToDate\n\n"
    );
    assert_eq!(
        out(&lab, "dom0-b", "drbdsetup events2 --now r0"),
        include_str!("../../../tests/recorded/lab/drbd9-events2-peer-primary.txt")
    );
    assert_eq!(out(&lab, "dom0-a", "drbdsetup show r0"), include_str!("../../../tests/recorded/lab/drbd9-show.txt"));
    let squeeze = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let mut ours = squeeze(&out(&lab, "dom0-b", "drbdsetup status r0 --json"));
    let mut theirs = squeeze(include_str!("../../../tests/recorded/lab/drbd9-status-peer-primary.json"));
    for value in [&mut ours, &mut theirs] {
        // How much was read and written is not in the model.
        for count in ["read", "written", "bm-writes"] {
            value[0]["devices"][0][count] = 0.into();
        }
        for count in ["received", "sent"] {
            value[0]["connections"][0]["peer_devices"][0][count] = 0.into();
        }
    }
    assert_eq!(ours, theirs);
    let ran = sh(&lab, "dom0-a", "drbdadm status r0 --json");
    assert_eq!((ran.code, ran.err.as_str()), (1, "drbdadm: unrecognized option '--json'\ntry 'drbdadm help'\n"));
    out(&lab, "dom0-b", "drbdadm down r0");
    let ran = sh(&lab, "dom0-b", "drbdsetup status r0 --json");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (10, "[\n]\n\n", "r0: No such resource\n"));
    let ran = sh(&lab, "dom0-b", "drbdadm role r0");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (10, "r0: Unknown resource\nCommand 'drbdsetup role r0' terminated with exit code 10\n")
    );
    let ran = sh(&lab, "dom0-b", "drbdadm cstate r0");
    assert_eq!((ran.code, ran.err.lines().next()), (10, Some("r0: Failure: (158) Unknown resource")));
}

#[test]
fn a_resync_and_a_bad_disk_are_shown() {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    out(&lab, "dom0-a", "drbdadm primary r0");
    lab.with(|f| f.begin_sync("r0", "dom0-a", "dom0-b"));
    assert_eq!(out(&lab, "dom0-b", "drbdadm cstate r0"), "SyncTarget\n");
    assert_eq!(out(&lab, "dom0-b", "drbdadm dstate r0"), "Inconsistent/UpToDate\n");
    lab.pass(5000);
    assert_eq!(out(&lab, "dom0-b", "drbdadm cstate r0"), "Connected\n");
    lab.with(|f| f.replica_mut("dom0-b", "r0").unwrap().disks[0] = Disk::Outdated);
    lab.run("dom0-a", &["drbdadm", "disconnect", "r0"]);
    let ran = sh(&lab, "dom0-b", "drbdadm primary r0");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            17,
            "0: State change failed: (-2) Need access to UpToDate data\nCommand 'drbdsetup-84 primary 0' terminated with exit code 17\n"
        )
    );
}

#[test]
fn xl_shows_domains_as_recorded() {
    let lab = recorded_pair(Generation::V84, Toolstack::Xl, DiskForm::Script);
    let ran = sh(&lab, "dom0-a", "xl list nosuch");
    assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (1, "nosuch is an invalid domain identifier (rc=-6)\n", ""));
    let ran = sh(&lab, "dom0-a", "xl create /etc/xen/nosuch.cfg");
    assert_eq!((ran.code, ran.err.as_str()), (3, "Failed to read config file: /etc/xen/nosuch.cfg: No such file or directory\n"));
    let ran = sh(&lab, "dom0-a", "xl create /etc/xen/pvh1.cfg");
    assert_eq!((ran.code, ran.err.as_str()), (0, "Parsing config from /etc/xen/pvh1.cfg\n"));
    let list = out(&lab, "dom0-a", "xl list");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "Name                                        ID   Mem VCPUs\tState\tTime(s)");
    assert!(lines[2].starts_with("pvh1                                         1   128     1     -b----"), "{list}");
    assert_eq!(out(&lab, "dom0-a", "xl domid pvh1"), "1\n");
    assert_eq!(
        out(&lab, "dom0-a", "xl block-list pvh1"),
        "Vdev  BE  handle state evt-ch ring-ref BE-path                       \n51712 0   1      4     8      8        /local/domain/0/backend/vbd/1/51712\n"
    );
    let long: serde_json::Value = serde_json::from_str(&out(&lab, "dom0-a", "xl list -l pvh1")).unwrap();
    assert_eq!(long[0]["config"]["disks"][0]["script"], "block-drbd");
    assert_eq!(long[0]["config"]["disks"][0]["pdev_path"], "r0");
    let ran = sh(&lab, "dom0-a", "xl create /etc/xen/pvh1.cfg");
    assert_eq!(
        (ran.code, ran.err.lines().nth(1)),
        (3, Some("libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain 2:Domain with name \"pvh1\" already exists."))
    );
    assert_eq!(out(&lab, "dom0-a", "xl info free_memory"), format!("{}\n", 16384 - 2048 - 128));
    let ran = sh(&lab, "dom0-a", "drbdadm secondary r0");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            11,
            "0: State change failed: (-12) Device is held open by someone\nCommand 'drbdsetup-84 secondary 0' terminated with exit code 11\n"
        )
    );
    out(&lab, "dom0-a", "xl destroy pvh1");
    assert_eq!(out(&lab, "dom0-a", "drbdadm role r0"), "Secondary/Secondary\n");
    let ran = sh(&lab, "dom0-a", "xl migrate -l pvh1 dom0-b");
    assert_eq!((ran.code, ran.err.as_str()), (2, "option `l' not supported.\n"));
    assert_eq!(sh(&lab, "dom0-a", "nosuchprogram").code, 127);
}
