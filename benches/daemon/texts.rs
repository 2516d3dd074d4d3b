//! What the stand-ins say, in the form of the recordings of Xen 4.17 and DRBD 9.2 in `tests/recorded`.

/// How the resources, and the domUs on them, are called.
pub fn name(number: usize) -> String {
    format!("d{number:04}")
}

/// The config of a domU.
pub fn config(name: &str) -> String {
    format!(
        "name = '{name}'\ntype = 'pvh'\nmemory = 256\nvcpus = 1\nkernel = '/boot/vmlinuz'\nramdisk = '/boot/initrd.img'\n\
         cmdline = 'root=/dev/xvda ro console=hvc0'\nvif = [ 'bridge=xenbr0' ]\ndisk = [ 'format=raw,vdev=xvda,access=rw,script=block-drbd,target={name}' ]\n\
         on_reboot = 'restart'\non_crash = 'restart'\n"
    )
}

/// `/proc/drbd` of DRBD 9.
pub const PROC_DRBD: &str = "version: 9.2.16 (api:2/proto:118-123)\n\
    GIT-hash: 3a0f974085c481737e13fb39f03ccd85b63eb7df reproducible build, 2025-11-25 10:14:15\nTransports (api:21): tcp (9.2.16)\n";

/// What `xl info` says and we read.
pub const XL_INFO: &str = "host                   : dom0-a\nrelease                : 6.1.0-56-amd64\nmachine                : x86_64\n\
    nr_cpus                : 4\nvirt_caps              : pv hvm hap gnttab-v1 gnttab-v2\ntotal_memory           : 65536\n\
    free_memory            : 60000\nfree_cpus              : 0\nxen_major              : 4\nxen_minor              : 17\n\
    xen_extra              : .7\nxen_version            : 4.17.7\nxen_scheduler          : credit2\nxend_config_format     : 4\n";

/// `xl list`.
pub fn xl_list(domains: &[String]) -> String {
    let mut text = String::from("Name                                        ID   Mem VCPUs\tState\tTime(s)\n");
    text += "Domain-0                                     0  2048     4     r-----      63.9\n";
    for (at, name) in domains.iter().enumerate() {
        text += &format!("{name:<40} {:>5}   256     1     -b----       1.4\n", at + 1);
    }
    text
}

/// `xl vm-list`.
pub fn xl_vm_list(domains: &[String]) -> String {
    let mut text = String::from("UUID                                  ID    name\n");
    text += "00000000-0000-0000-0000-000000000000  0    Domain-0                      \n";
    for (at, name) in domains.iter().enumerate() {
        text += &format!("bc908e51-7967-4f22-aaba-{at:012x}  {}    {name}\n", at + 1);
    }
    text
}

/// `xl block-list` of a domU whose disk is connected.
pub const XL_BLOCK_LIST: &str = "Vdev  BE  handle state evt-ch ring-ref BE-path                       \n\
    51712 0   1      4     8      8        /local/domain/0/backend/vbd/1/51712\n";

/// `drbdadm dump-xml --dry-run` of so many resources.
pub fn dump_xml(count: usize) -> String {
    let mut text = String::from(
        "<config file=\"/etc/drbd.conf\">\n    <common>\n        <section name=\"net\">\n            <option name=\"protocol\" value=\"C\"/>\n        \
         </section>\n    </common>\n",
    );
    for number in 0..count {
        let (name, minor, port) = (name(number), number + 1, 7000 + number);
        text += &format!("    <resource name=\"{name}\" conf-file-line=\"/etc/drbd.d/{name}.res:1\">\n");
        for (host, address) in [("dom0-a", "192.0.2.1"), ("dom0-b", "192.0.2.2")] {
            text += &format!(
                "        <host name=\"{host}\">\n            <volume vnr=\"0\">\n                <device minor=\"{minor}\">/dev/drbd{minor}</device>\n                \
                 <disk>/dev/vg0/{name}</disk>\n                <meta-disk>internal</meta-disk>\n            </volume>\n            \
                 <address family=\"ipv4\" port=\"{port}\">{address}</address>\n        </host>\n"
            );
        }
        text += &format!(
            "        <connection>\n            <host name=\"dom0-a\"><address family=\"ipv4\" port=\"{port}\">192.0.2.1</address></host>\n            \
             <host name=\"dom0-b\"><address family=\"ipv4\" port=\"{port}\">192.0.2.2</address></host>\n            <section name=\"net\">\n                \
             <option name=\"protocol\" value=\"C\"/>\n            </section>\n        </connection>\n        <section name=\"net\">\n            \
             <option name=\"protocol\" value=\"C\"/>\n        </section>\n    </resource>\n"
        );
    }
    text + "</config>\n"
}

/// The state of one resource.
pub struct State {
    /// Which.
    pub number: usize,
    /// We are Primary.
    pub primary: bool,
    /// The peer is there, and Secondary.
    pub connected: bool,
}

/// The `exists` lines of `drbdsetup events2`.
pub fn exists(state: &State) -> String {
    let name = name(state.number);
    let peer = format!("name:{name} peer-node-id:1 conn-name:dom0-b");
    let minor = state.number + 1;
    let port = 7000 + state.number;
    let role = if state.primary { "Primary" } else { "Secondary" };
    let (connection, theirs, replication, disk, established) = match state.connected {
        true => ("Connected", "Secondary", "Established", "UpToDate", "yes"),
        false => ("Connecting", "Unknown", "Off", "DUnknown", "no"),
    };
    format!(
        "exists resource name:{name} role:{role} suspended:no force-io-failures:no may_promote:no promotion_score:10102\n\
         exists connection {peer} connection:{connection} role:{theirs}\n\
         exists device name:{name} volume:0 minor:{minor} backing_dev:/dev/vg0/{name} disk:UpToDate client:no quorum:yes\n\
         exists peer-device {peer} volume:0 replication:{replication} peer-disk:{disk} peer-client:no resync-suspended:no\n\
         exists path {peer} local:ipv4:192.0.2.1:{port} peer:ipv4:192.0.2.2:{port} established:{established}\n"
    )
}

/// The event: the peer of a resource is back.
pub fn is_back(number: usize) -> String {
    let name = name(number);
    let peer = format!("name:{name} peer-node-id:1 conn-name:dom0-b");
    format!(
        "change connection {peer} connection:Connected role:Secondary\n\
         change peer-device {peer} volume:0 replication:Established peer-disk:UpToDate peer-client:no resync-suspended:no\n"
    )
}

/// An event that changes nothing for us: how far some resync is.
pub fn progress(number: usize, percent: usize) -> String {
    let name = name(number);
    format!(
        "change peer-device name:{name} peer-node-id:1 conn-name:dom0-b volume:0 replication:Off peer-disk:DUnknown peer-client:no \
         resync-suspended:no done:{percent}.00\n"
    )
}

/// `drbdsetup show`.
pub fn show(name: &str, two_primaries: bool, fencing: &str) -> String {
    let two = if two_primaries { "            allow-two-primaries\tyes;\n" } else { "" };
    format!(
        "resource \"{name}\" {{\n    _this_host {{\n        node-id\t\t\t0;\n        volume 0 {{\n            device\t\t\tminor 1;\n            \
         disk\t\t\t\"/dev/vg0/{name}\";\n            meta-disk\t\t\tinternal;\n        }}\n    }}\n    connection {{\n        _peer_node_id 1;\n        \
         path {{\n            _this_host ipv4 192.0.2.1:7788;\n            _remote_host ipv4 192.0.2.2:7788;\n        }}\n        _cstate Connected;\n        \
         net {{\n{two}            fencing         \t{fencing};\n            _name           \t\"dom0-b\";\n        }}\n    }}\n}}\n"
    )
}
