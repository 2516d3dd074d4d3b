//! `drbdadm dump` and `dump-xml`: the configuration, printed back. Layouts as recorded with utils 9.22.

use super::drbdadm::Asked;
use super::{Ctx, Printed};
use crate::core::drbd::{Fencing, Generation};
use crate::lab::model::{Conf, Fleet, Resource};

/// The options that a file sets, by section.
fn options(conf: &Conf, generation: Generation) -> Vec<(&'static str, &'static str, String)> {
    let mut found = vec![("net", "protocol", "C".to_string())];
    if generation == Generation::V83 {
        // 8.3 has the protocol outside of any section, and options without a value.
        found.clear();
        if conf.two_primaries {
            found.push(("net", "allow-two-primaries", String::new()));
        }
    } else if conf.two_primaries {
        found.push(("net", "allow-two-primaries", "yes".to_string()));
    }
    for (option, policy) in ["after-sb-0pri", "after-sb-1pri", "after-sb-2pri"].into_iter().zip(&conf.after_sb) {
        if let Some(policy) = policy {
            found.push(("net", option, policy.clone()));
        }
    }
    if conf.fencing != Fencing::DontCare {
        found.push((if generation == Generation::V9 { "net" } else { "disk" }, "fencing", conf.fencing.to_string()));
    }
    if generation == Generation::V9 && !conf.auto_promote {
        found.push(("options", "auto-promote", "no".to_string()));
    }
    if generation == Generation::V9 && conf.quorum {
        found.push(("options", "quorum", "majority".to_string()));
    }
    found
}

/// Options by section, each a name and a value.
type Sections = Vec<(&'static str, Vec<(&'static str, String)>)>;

fn sections(conf: &Conf, generation: Generation) -> Sections {
    let mut sections: Sections = Vec::new();
    for (section, name, value) in options(conf, generation) {
        match sections.iter_mut().find(|(s, _)| *s == section) {
            Some((_, list)) => list.push((name, value)),
            None => sections.push((section, vec![(name, value)])),
        }
    }
    sections
}

/// `drbdadm dump`.
pub fn dump(ctx: &Ctx<'_>, asked: &Asked<'_>, all: bool) -> Printed {
    let mut out =
        if all { "# /etc/drbd.conf\nglobal {\n    usage-count no;\n}\n\ncommon {\n}\n\n".to_string() } else { String::new() };
    ctx.lab.with(|f| {
        for resource in asked.targets.iter().filter_map(|t| f.resource(&t.resource)) {
            out += &dump_one(f, ctx.host, asked.generation, resource);
        }
    });
    Printed::ok(out)
}

/// One resource as `drbdadm dump` prints it; also the text of its file.
pub fn dump_one(f: &Fleet, host: &str, generation: Generation, resource: &Resource) -> String {
    let name = &resource.name;
    let mut out = format!("# resource {name} on {host}: not ignored, not stacked\n");
    if generation != Generation::V83 {
        out += &format!("# defined at /etc/drbd.d/{name}.res:1\n");
    }
    out += &format!("resource {name} {{\n");
    let volumes = |indent: &str| {
        let mut text = String::new();
        for volume in &resource.volumes {
            let (open, deeper, close) = if resource.implicit {
                (String::new(), indent.to_string(), String::new())
            } else {
                (format!("{indent}volume {} {{\n", volume.number), format!("{indent}    "), format!("{indent}}}\n"))
            };
            text += &open;
            text += &format!("{deeper}device               {} minor {};\n", volume.device, volume.minor);
            text += &format!("{deeper}disk                 {};\n", volume.disk);
            text += &format!("{deeper}meta-disk            internal;\n");
            text += &close;
        }
        text
    };
    if generation == Generation::V9 {
        out += &volumes("    ");
    }
    for (peer, replica) in &resource.on {
        out += &format!("    on {peer} {{\n");
        if generation == Generation::V9 {
            out += &format!("        node-id {};\n", replica.node_id);
        } else {
            out += &volumes("        ");
        }
        out += &format!("        address          ipv4 {}:{};\n    }}\n", f.host(peer).address, resource.port);
    }
    if let Some(replica) = resource.on.get(host) {
        for (section, list) in sections(&replica.configured, generation) {
            out += &format!("    {section} {{\n");
            for (option, value) in list {
                if value.is_empty() {
                    out += &format!("        {option};\n");
                } else {
                    out += &format!("        {option:<18} {value};\n");
                }
            }
            out += "    }\n";
        }
    }
    out + "}\n\n"
}

/// `drbdadm dump-xml`.
pub fn dump_xml(ctx: &Ctx<'_>, asked: &Asked<'_>, all: bool) -> Printed {
    ctx.lab.with(|f| {
        let mut out = String::new();
        if all {
            let protocol = if asked.generation == Generation::V83 { " protocol=\"C\"" } else { "" };
            out += &format!("<config file=\"/etc/drbd.conf\">\n    <common{protocol}>\n    </common>\n");
        }
        for resource in asked.targets.iter().filter_map(|t| f.resource(&t.resource)) {
            let text = xml_one(f, ctx.host, asked.generation, resource);
            if all {
                text.lines().for_each(|l| out += &format!("    {l}\n"));
            } else {
                out += &text;
            }
        }
        if all {
            out += "</config>\n";
        }
        Printed::ok(out)
    })
}

fn xml_one(f: &Fleet, host: &str, generation: Generation, resource: &Resource) -> String {
    let name = &resource.name;
    let conf = resource.on.get(host).map(|r| r.configured.clone()).unwrap_or_default();
    let sections = sections(&conf, generation);
    let attributes = match generation {
        Generation::V83 => " protocol=\"C\"".to_string(),
        _ => format!(" conf-file-line=\"/etc/drbd.d/{name}.res:1\""),
    };
    let mut out = format!("<resource name=\"{name}\"{attributes}>\n");
    for peer in resource.on.keys() {
        out += &xml_host(f, generation, resource, peer, &sections);
    }
    if generation == Generation::V9 {
        let hosts: Vec<&String> = resource.on.keys().collect();
        for (at, a) in hosts.iter().enumerate() {
            for b in &hosts[at + 1..] {
                out += "    <connection>\n";
                for h in [a, b] {
                    let (port, address) = (resource.port, &f.host(h).address);
                    out += &format!(
                        "        <host name=\"{h}\"><address family=\"ipv4\" port=\"{port}\">{address}</address></host>\n"
                    );
                }
                out += &xml_sections(&sections, "        ", |s| s == "net");
                out += "    </connection>\n";
            }
        }
    }
    out + &xml_sections(&sections, "    ", |_| true) + "</resource>\n"
}

fn xml_host(f: &Fleet, generation: Generation, resource: &Resource, host: &str, sections: &Sections) -> String {
    let address = format!("        <address family=\"ipv4\" port=\"{}\">{}</address>\n", resource.port, f.host(host).address);
    let mut out = format!("    <host name=\"{host}\">\n");
    for volume in &resource.volumes {
        let inner = |indent: &str| {
            format!(
                "{indent}<device minor=\"{}\">{}</device>\n{indent}<disk>{}</disk>\n",
                volume.minor, volume.device, volume.disk
            )
        };
        if generation == Generation::V83 {
            out += &format!("{}{address}        <meta-disk>internal</meta-disk>\n", inner("        "));
            continue;
        }
        out += &format!("        <volume vnr=\"{}\">\n", volume.number);
        // 8.4 hands the resource's disk options down to each volume.
        out += &xml_sections(sections, "            ", |s| s == "disk");
        out += &format!("{}            <meta-disk>internal</meta-disk>\n        </volume>\n", inner("            "));
    }
    if generation != Generation::V83 {
        out += &address;
    }
    out + "    </host>\n"
}

fn xml_sections(sections: &Sections, indent: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for (section, list) in sections.iter().filter(|(s, _)| wanted(s)) {
        out += &format!("{indent}<section name=\"{section}\">\n");
        for (option, value) in list {
            let value = if value.is_empty() { String::new() } else { format!(" value=\"{value}\"") };
            out += &format!("{indent}    <option name=\"{option}\"{value}/>\n");
        }
        out += &format!("{indent}</section>\n");
    }
    out
}
