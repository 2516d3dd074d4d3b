//! What the operator's files say, from `drbdadm dump-xml --dry-run`.
//!
//! With `--dry-run` drbdadm does two things it otherwise leaves out of a dump (`drbdadm_main.c` in v83, v84 and v9 alike,
//! `if (!is_dump || dry_run || verbose) expand_common()` and `verify_ips`):
//!
//! * each resource shows what it inherits from `common`, as the other commands use it;
//! * it does not insist that our replication address is up already, for which a plain dump of all resources exits 10.
//!
//! A plain dump is understood as well: then `common` is looked at here. The nearest place wins: the connection or the volume, the
//! resource, `common`.
//!
//! ```text
//! <config file="/etc/drbd.conf">
//!   <common><section name="net">…</section></common>
//!   <resource name="web">
//!     <host name="alpha"><volume vnr="0"><device minor="1">/dev/drbd1</device><disk>/dev/vg0/web</disk></volume></host>
//!     <connection><host name="alpha">…</host><host name="beta">…</host><section name="net">…</section></connection>
//!     <section name="net"><option name="allow-two-primaries" value="yes"/></section>
//!   </resource>
//! </config>
//! ```
//!
//! 8.3 has `device` and `disk` directly in `host`, and an option that is on without a value. 8.x has no `connection`.

use super::show::weakest;
use crate::core::drbd::{Configured, ConfiguredPeer, ConfiguredVolume, Fencing, Options};
use crate::core::names::ResourceName;
use crate::core::survey::AfterSplitBrain;
use roxmltree::{Document, Node};
use std::borrow::Cow;

/// What the files say that concerns this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The resources that have a section for this host.
    pub resources: Vec<Configured>,
    /// Resources that were left out although they have one, and why; each a sentence.
    pub notes: Vec<String>,
}

/// Reads a dump; `host` is our name as `uname -n` has it. `Err` says why it is not a dump.
///
/// A host section is ours when it bears our name exactly, else when the names agree up to the first dot and no other section does.
/// `ConfiguredVolume::implicit` is a guess on 8.4 and 9, whose dump prints a `volume` section in any case: it is set where volume 0
/// is the only one, and then `by-res/RES` can mean nothing else.
/// `Configured::auto_promote` means something on DRBD 9 only.
pub fn configuration(text: &str, host: &str) -> Result<Configuration, String> {
    let text = without_templates(text);
    let document = Document::parse(&text).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let common = elements(root, "common").next();
    let mut found = Configuration::default();
    let resources: Vec<Node<'_, '_>> = match root.tag_name().name() {
        "resource" => vec![root],
        "config" => elements(root, "resource").collect(),
        other => return Err(format!("the outermost element is <{other}>, not <config>")),
    };
    for resource in resources {
        match configured(resource, common, host) {
            Ok(Some(configured)) => found.resources.push(configured),
            Ok(None) => {}
            Err(why) => {
                let name = resource.attribute("name").unwrap_or("without a name");
                found.notes.push(format!("resource {name}: left out: {why}"));
            }
        }
    }
    Ok(found)
}

/// The three options that say what becomes of a split brain, for each resource of this host, `disconnect` left out (drbd.conf(5)).
pub fn after_split_brain(text: &str, host: &str) -> Result<Vec<AfterSplitBrain>, String> {
    let text = without_templates(text);
    let document = Document::parse(&text).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let common = elements(root, "common").next();
    let mut found = Vec::new();
    for resource in elements(root, "resource") {
        let Ok(Some((_, names))) = our_section(resource, host) else { continue };
        let Some(Ok(name)) = resource.attribute("name").map(str::parse::<ResourceName>) else { continue };
        let ours = elements(resource, "connection").filter(|c| joins(*c, &names));
        let places: Vec<Node<'_, '_>> = ours.chain([resource]).chain(common).collect();
        for option in ["after-sb-0pri", "after-sb-1pri", "after-sb-2pri"] {
            let policy = places.iter().find_map(|place| self::option(*place, "net", option)).unwrap_or("disconnect");
            if policy != "disconnect" {
                let (resource, option, policy) = (name.clone(), option.to_string(), policy.to_string());
                found.push(AfterSplitBrain { resource, option, policy });
            }
        }
    }
    Ok(found)
}

/// `Ok(None)`: not on this host.
fn configured(resource: Node<'_, '_>, common: Option<Node<'_, '_>>, host: &str) -> Result<Option<Configured>, String> {
    let Some((ours, our_names)) = our_section(resource, host)? else {
        return Ok(None);
    };
    let name = resource.attribute("name").ok_or("it has no name")?;
    let name = name.parse().map_err(|e| format!("{e}"))?;
    let places: Vec<Node<'_, '_>> = elements(ours, "volume").collect();
    let explicit = !places.is_empty();
    let places = if explicit { places } else { vec![ours] };
    let alone = places.len() == 1;
    let mut volumes = vec![];
    for place in &places {
        volumes.push(volume(*place, explicit, alone)?);
    }
    if volumes.iter().any(|v: &ConfiguredVolume| v.disk.starts_with("/dev/drbd")) {
        return Err("it is stacked upon another DRBD resource".to_string());
    }
    let word = |name| [Some(ours), Some(resource), common].into_iter().flatten().find_map(|place| option(place, "options", name));
    let auto_promote = word("auto-promote").is_none_or(|word| word != "no");
    let quorum = word("quorum").is_some_and(|word| word != "off");
    let all: Vec<Node<'_, '_>> = elements(resource, "connection").collect();
    let our: Vec<Node<'_, '_>> = all.iter().filter(|c| joins(**c, &our_names)).copied().collect();
    // Where none can be told to be ours, each of them may be.
    let options = options(resource, common, if our.is_empty() { &all } else { &our }, &places);
    let peers = peers(resource, ours, &our_names, host);
    Ok(Some(Configured { resource: name, volumes, options, peers, auto_promote, quorum }))
}

/// The other hosts that have a resource, by the names that drbdadm gives their connections (`create_implicit_net_options`): the
/// connection's own, else those of the host's section with `_` between them.
fn peers(resource: Node<'_, '_>, ours: Node<'_, '_>, our_names: &[&str], host: &str) -> Vec<ConfiguredPeer> {
    let others = elements(resource, "host").filter(|section| *section != ours);
    // `floating` sections: which connection leads where cannot be told.
    if our_names.is_empty() {
        return others.map(|_| ConfiguredPeer { name: None, hosts: vec![], connected: true }).collect();
    }
    let connections: Vec<Node<'_, '_>> = elements(resource, "connection").collect();
    let named = |section: Node<'_, '_>| {
        let names = names_of(section);
        if names.is_empty() {
            return ConfiguredPeer { name: None, hosts: vec![], connected: true };
        }
        // `_remote_host` stands for whoever is not this host.
        let hosts = names.iter().filter(|name| !name.starts_with('_')).map(|name| name.to_string()).collect();
        let ours = connections.iter().find(|c| joins(**c, our_names) && joins(**c, &names));
        let name = Some(ours.and_then(|c| c.attribute("name")).map_or_else(|| names.join("_"), str::to_string));
        // 8.x has no connection sections: there whoever has the resource is connected.
        ConfiguredPeer { name, hosts, connected: connections.is_empty() || ours.is_some() }
    };
    // Who shares our section is no peer of DRBD's, and may use the disk all the same.
    let beside = our_names.iter().filter(|name| short(name) != short(host) && **name != "_this_host");
    let beside =
        beside.map(|name| ConfiguredPeer { name: Some(name.to_string()), hosts: vec![name.to_string()], connected: false });
    others.map(named).chain(beside).collect()
}

/// `on alpha beta { … }` makes one section for both; `floating` has no name.
fn names_of<'a>(section: Node<'a, '_>) -> Vec<&'a str> {
    section.attribute("name").unwrap_or("").split_whitespace().collect()
}

fn short(name: &str) -> String {
    name.split('.').next().unwrap_or("").to_ascii_lowercase()
}

/// The section of this host and the names it goes by.
fn our_section<'a, 'i>(resource: Node<'a, 'i>, host: &str) -> Result<Option<(Node<'a, 'i>, Vec<&'a str>)>, String> {
    let hosts: Vec<Node<'a, 'i>> = elements(resource, "host").collect();
    let names = |node: Node<'a, 'i>| names_of(node);
    // drbdadm takes `on _this_host` for ours as well (`set_me_in_resource`).
    let exact = hosts.iter().find(|node| names(**node).iter().any(|name| *name == host || *name == "_this_host"));
    if let Some(ours) = exact {
        return Ok(Some((*ours, names(*ours))));
    }
    let near: Vec<&Node<'a, 'i>> =
        hosts.iter().filter(|node| names(**node).iter().any(|name| short(name) == short(host))).collect();
    match near[..] {
        [ours] => return Ok(Some((*ours, names(*ours)))),
        [] => {}
        _ => {
            return Err(format!("several of its sections could be this host, {host}"));
        }
    }
    if hosts.is_empty() || !hosts.iter().all(|node| node.attribute("floating").is_some()) {
        return Ok(None);
    }
    // `floating ADDRESS { … }` names no host; drbdadm compares with our addresses. Where all sections agree it makes no difference.
    let what = |node: &Node<'a, 'i>| -> Vec<String> {
        node.descendants()
            .filter(|n| matches!(n.tag_name().name(), "device" | "disk"))
            .filter_map(|n| n.text())
            .map(str::to_string)
            .collect()
    };
    if hosts.iter().all(|node| what(node) == what(&hosts[0])) {
        Ok(Some((hosts[0], vec![])))
    } else {
        Err("its floating sections differ, and which is ours cannot be told from here".to_string())
    }
}

/// `place` is the `volume` section, or in 8.3 the `host` section itself.
fn volume(place: Node<'_, '_>, explicit: bool, alone: bool) -> Result<ConfiguredVolume, String> {
    let number = match place.attribute("vnr") {
        Some(word) => word.parse().map_err(|_| format!("its volume number {word:?} is not understood"))?,
        None => 0,
    };
    let device = elements(place, "device").next().ok_or("it has a volume without a device")?;
    let minor = device.attribute("minor").unwrap_or("");
    let minor = minor.parse().map_err(|_| format!("the minor {minor:?} of its volume {number} is not understood"))?;
    let text = |node: Node<'_, '_>| node.text().map(str::trim).unwrap_or("").to_string();
    let device = Some(text(device)).filter(|name| !name.is_empty()).unwrap_or_else(|| format!("/dev/drbd{minor}"));
    let disk = elements(place, "disk").next().map(text).unwrap_or_default();
    Ok(ConfiguredVolume { number, minor, device, disk, implicit: !explicit || (alone && number == 0) })
}

/// Of several connections or volumes the weakest `fencing` counts, and two Primaries are allowed if any connection of ours allows them.
fn options(
    resource: Node<'_, '_>,
    common: Option<Node<'_, '_>>,
    connections: &[Node<'_, '_>],
    volumes: &[Node<'_, '_>],
) -> Options {
    let around = |section: &'static str, name: &'static str| {
        option(resource, section, name).or_else(|| common.and_then(|common| option(common, section, name)))
    };
    let near = |place: &Node<'_, '_>, section: &'static str, name: &'static str| {
        option(*place, section, name).map(str::to_string).or_else(|| around(section, name).map(str::to_string))
    };
    // 8.x has it among the disk options. 9 has it among the net options, and drbdadm moves it there when it reads the file.
    let of_disks = weakest(
        volumes.iter().map(|v| near(v, "disk", "fencing").map_or(Fencing::DontCare, |word| Fencing::from(word.as_str()))),
    );
    // 8.x has no connection sections: there the resource itself is the place.
    let places = if connections.is_empty() { std::slice::from_ref(&resource) } else { connections };
    let fencing =
        weakest(places.iter().map(|c| near(c, "net", "fencing").map_or(of_disks.clone(), |word| Fencing::from(word.as_str()))));
    let two_primaries = places.iter().any(|c| near(c, "net", "allow-two-primaries").is_some_and(|word| word != "no"));
    Options { two_primaries, fencing }
}

/// Whether a connection has one of these names at an end. A section of two hosts goes by `alpha_beta` there.
fn joins(connection: Node<'_, '_>, names: &[&str]) -> bool {
    let mut ends = connection.descendants().filter(|node| node.has_tag_name("host")).filter_map(|node| node.attribute("name"));
    ends.any(|end| names.contains(&end) || end == names.join("_"))
}

/// An option in a section of this very place; one without a value is on.
fn option<'a>(place: Node<'a, '_>, section: &str, name: &str) -> Option<&'a str> {
    elements(place, "section")
        .filter(|s| s.attribute("name") == Some(section))
        .flat_map(|s| s.children().filter(|o| o.has_tag_name("option")))
        .find(|o| o.attribute("name") == Some(name))
        .map(|o| o.attribute("value").unwrap_or("yes"))
}

fn elements<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

/// drbdadm 9 opens `<template file="…">` and never closes it (`adm_dump_xml`); what the template says is in the resource already.
fn without_templates(text: &str) -> Cow<'_, str> {
    // Of a thousand resources the text has megabytes.
    if !text.contains("<template ") && !text.contains("</template>") {
        return Cow::Borrowed(text);
    }
    let keep = |line: &&str| {
        let line = line.trim_start();
        !line.starts_with("<template ") && !line.starts_with("</template>")
    };
    Cow::Owned(text.lines().filter(keep).flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    fn on(name: &str, host: &str) -> Configuration {
        configuration(&recorded(name), host).unwrap()
    }

    /// `name minor,minor two-primaries/fencing auto-promote`, one line a resource.
    fn summary(configuration: &Configuration) -> Vec<String> {
        let line = |c: &Configured| {
            let minors: Vec<String> = c.volumes.iter().map(|v| v.minor.to_string()).collect();
            format!(
                "{} {} two={} {} auto={}",
                c.resource,
                minors.join(","),
                c.options.two_primaries,
                c.options.fencing,
                c.auto_promote
            )
        };
        configuration.resources.iter().map(line).collect()
    }

    #[test]
    fn in_83_the_device_is_in_the_host_and_an_option_has_no_value() {
        let found = on("drbdadm-8.3-dump-xml-one-resource.txt", "alpha");
        assert_eq!(summary(&found), ["web 1 two=true dont-care auto=true"]);
        assert_eq!(
            found.resources[0].volumes,
            [ConfiguredVolume {
                number: 0,
                minor: 1,
                device: "/dev/drbd1".to_string(),
                disk: "/dev/vg0/web".to_string(),
                implicit: true
            }]
        );
    }

    #[test]
    fn the_real_84_pair() {
        let found = on("drbdadm-8.4-dump-xml-one-resource.txt", "dom0-b");
        assert_eq!(summary(&found), ["r0 0 two=true dont-care auto=true"]);
        assert_eq!(on("drbdadm-8.4-dump-xml-one-resource.txt", "dom0-c"), Configuration::default());
    }

    #[test]
    fn in_9_the_dump_of_one_resource_leaves_common_out() {
        let found = on("drbdadm-9.22-dump-xml-one-resource.txt", "beta");
        assert_eq!(summary(&found), ["db 10,11 two=false dont-care auto=true"]);
        let second = &found.resources[0].volumes[1];
        assert_eq!((second.number, second.device.as_str(), second.implicit), (1, "/dev/drbd_db1", false));
    }

    const STACKED: &str = "resource stack: left out: it is stacked upon another DRBD resource";

    #[test]
    fn a_dry_run_of_9_says_for_each_connection_what_it_inherits() {
        let found = on("drbdadm-9.22-dump-xml-dry-run.txt", "alpha");
        assert_eq!(
            summary(&found),
            [
                "web 1 two=true resource-only auto=true",
                "db 10,11 two=false resource-and-stonith auto=false",
                "three 20 two=true dont-care auto=false",
                "afloat 40 two=false resource-only auto=false",
            ]
        );
        assert_eq!(found.notes, [STACKED]);
        assert_eq!(found.resources[1].volumes[1].disk, "/dev/vg0/d&b<1>");
    }

    #[test]
    fn of_three_hosts_only_the_connections_of_this_one_count() {
        let of_three = |host: &str| {
            let found = on("drbdadm-9.22-dump-xml-dry-run.txt", host);
            found.resources.into_iter().find(|c| c.resource == *"three").unwrap().options
        };
        assert_eq!(of_three("alpha"), Options { two_primaries: true, fencing: Fencing::DontCare });
        assert_eq!(of_three("beta"), Options { two_primaries: true, fencing: Fencing::ResourceOnly });
        assert_eq!(of_three("gamma"), Options { two_primaries: true, fencing: Fencing::DontCare });
    }

    /// `resource: other hosts`; one without a connection in brackets, one without a name as `?`, the hosts of one that is called otherwise
    /// behind it.
    fn peers(configuration: &Configuration) -> Vec<String> {
        let word = |p: &ConfiguredPeer| {
            let name = p.name.clone().unwrap_or_else(|| "?".to_string());
            let name = if p.hosts.concat() == name || p.name.is_none() { name } else { format!("{name}[{}]", p.hosts.join(" ")) };
            if p.connected { name } else { format!("({name})") }
        };
        let line = |c: &Configured| format!("{}: {}", c.resource, c.peers.iter().map(word).collect::<Vec<_>>().join(" "));
        configuration.resources.iter().map(line).collect()
    }

    #[test]
    fn every_other_host_of_a_resource_is_a_peer_by_the_name_of_its_connection() {
        let of_9 = "drbdadm-9.22-dump-xml-dry-run.txt";
        assert_eq!(peers(&on(of_9, "alpha")), ["web: beta", "db: beta", "three: beta gamma", "afloat: ?"]);
        assert_eq!(peers(&on("drbdadm-9.22-dump-xml-plain.txt", "alpha")), peers(&on(of_9, "alpha")));
        // A stack is one peer, of two hosts.
        assert_eq!(
            peers(&on(of_9, "gamma")),
            ["three: alpha beta", "theirs: beta", "afloat: ?", "stack: alpha_beta[alpha beta]"]
        );
        for recording in ["drbdadm-8.4-dump-xml-dry-run.txt", "drbdadm-8.4-dump-xml-plain.txt"] {
            assert_eq!(peers(&on(recording, "alpha")), ["web: beta", "db: beta", "afloat: ?"]);
            assert_eq!(peers(&on(recording, "gamma")), ["theirs: beta", "afloat: ?", "stack: alpha_beta[alpha beta]"]);
        }
        assert_eq!(peers(&on("drbdadm-8.3-dump-xml-one-resource.txt", "alpha")), ["web: beta"]);
        assert_eq!(peers(&on("drbdadm-8.4-dump-xml-one-resource.txt", "dom0-b.example.org")), ["r0: dom0-a"]);
    }

    #[test]
    fn a_host_without_a_connection_is_told_and_a_connection_may_have_a_name() {
        let one = |host: &str, connections: &str| {
            let section = |name: &str| {
                format!("<host name=\"{name}\"><volume vnr=\"0\"><device minor=\"1\"/><disk>/dev/x</disk></volume></host>")
            };
            let hosts: String = ["a", "b", "c d"].map(section).concat();
            let text = format!("<config><resource name=\"r\">{hosts}{connections}</resource></config>");
            peers(&configuration(&text, host).unwrap())
        };
        let line = "<connection><host name=\"a\"/><host name=\"b\"/></connection>\
                    <connection name=\"bc\"><path><host name=\"b\"/><host name=\"c\"/></path></connection>";
        assert_eq!(one("a", line), ["r: b (c_d[c d])"]);
        assert_eq!(one("b", line), ["r: a bc[c d]"]);
        // Who shares a section of the file is nobody that DRBD shows.
        assert_eq!(one("c", line), ["r: (a) bc[b] (d)"]);
        assert_eq!(one("d", ""), ["r: a b (c)"]);
    }

    #[test]
    fn a_plain_dump_of_9_has_no_inherited_options_and_a_device_without_a_name() {
        let plain = recorded("drbdadm-9.22-dump-xml-plain.txt");
        assert!(plain.contains("<device minor=\"10\"></device>"));
        let found = configuration(&plain, "alpha").unwrap();
        assert_eq!(summary(&found), summary(&on("drbdadm-9.22-dump-xml-dry-run.txt", "alpha")));
        assert_eq!(found.resources[1].volumes[0].device, "/dev/drbd10");
    }

    #[test]
    fn a_dry_run_of_84_drops_the_fencing_of_a_volume_as_its_attach_does() {
        // The file says `dont-care` for db's volume 1; drbdadm 8.4 loses it (`expand_common`), in what it does as well.
        let found = on("drbdadm-8.4-dump-xml-dry-run.txt", "alpha");
        assert_eq!(
            summary(&found),
            [
                "web 1 two=true resource-only auto=true",
                "db 10,11 two=false resource-and-stonith auto=true",
                "afloat 40 two=false resource-only auto=true",
            ]
        );
        assert_eq!(found.notes, [STACKED]);
    }

    #[test]
    fn a_plain_dump_of_84_comes_to_the_same() {
        let plain = on("drbdadm-8.4-dump-xml-plain.txt", "alpha");
        assert_eq!(summary(&plain), summary(&on("drbdadm-8.4-dump-xml-dry-run.txt", "alpha")));
        assert_eq!(plain.resources[1].volumes[0].device, "/dev/drbd10");
    }

    #[test]
    fn a_dry_run_of_83_has_the_protocol_as_an_attribute() {
        let found = on("drbdadm-8.3-dump-xml-dry-run.txt", "alpha");
        assert_eq!(summary(&found), ["web 1 two=true resource-only auto=true", "db 10 two=false dont-care auto=true"]);
        assert_eq!(found.notes, [STACKED]);
    }

    #[test]
    fn a_plain_dump_of_83_leaves_the_fencing_of_common_to_the_reader() {
        let plain = on("drbdadm-8.3-dump-xml-plain.txt", "alpha");
        assert_eq!(summary(&plain), summary(&on("drbdadm-8.3-dump-xml-dry-run.txt", "alpha")));
    }

    #[test]
    fn the_resources_of_other_hosts_are_left_out_without_a_word() {
        let found = on("drbdadm-9.22-dump-xml-dry-run.txt", "gamma");
        let names: Vec<&str> = found.resources.iter().map(|c| c.resource.as_str()).collect();
        assert_eq!(names, ["three", "theirs", "afloat", "stack"], "on gamma the stack stands on a plain disk");
    }

    #[test]
    fn a_short_name_is_enough_unless_two_sections_have_it() {
        let one = "drbdadm-8.4-dump-xml-one-resource.txt";
        assert_eq!(on(one, "dom0-a.example.org").resources.len(), 1);
        let text = recorded(one).replace("dom0-a", "dom0.one.org").replace("dom0-b", "dom0.two.org");
        let found = configuration(&text, "dom0").unwrap();
        assert!(found.resources.is_empty() && found.notes[0].contains("several of its sections"));
        assert_eq!(configuration(&text, "dom0.two.org").unwrap().resources.len(), 1);
    }

    #[test]
    fn this_host_is_ours_and_a_section_for_two_hosts_is_too() {
        let text = recorded("drbdadm-9.22-dump-xml-one-resource.txt");
        let anonymous = text.replace("alpha", "_this_host");
        assert_eq!(configuration(&anonymous, "anything").unwrap().resources.len(), 1);
        // Beside our own connection, another one that would allow two Primaries.
        let two = text
            .replace("<host name=\"alpha\">\n", "<host name=\"alpha delta\">\n")
            .replace("\"alpha\"", "\"alpha_delta\"")
            .replace(
                "</resource>",
                "<connection><host name=\"beta\"/><host name=\"gamma\"/>\
             <section name=\"net\"><option name=\"allow-two-primaries\"/></section></connection></resource>",
            );
        for host in ["alpha", "delta"] {
            assert_eq!(summary(&configuration(&two, host).unwrap()), ["db 10,11 two=false dont-care auto=true"], "{host}");
        }
        assert_eq!(summary(&configuration(&two, "beta").unwrap()), ["db 10,11 two=true dont-care auto=true"]);
    }

    #[test]
    fn a_word_that_is_neither_yes_nor_no_is_read_the_careful_way() {
        let text = recorded("drbdadm-8.4-dump-xml-one-resource.txt").replace("\"yes\"/>", "\"perhaps\"/>").replace(
            "</resource>",
            "<section name=\"options\"><option name=\"auto-promote\" value=\"perhaps\"/></section></resource>",
        );
        assert_eq!(summary(&configuration(&text, "dom0-a").unwrap()), ["r0 0 two=true dont-care auto=true"]);
    }

    #[test]
    fn a_template_is_opened_and_never_closed() {
        let text = recorded("drbdadm-9.22-dump-xml-one-resource.txt");
        let (first, rest) = text.split_once('\n').unwrap();
        let text = format!("{first}\n    <template file=\"/etc/drbd.d/t.inc\">\n{rest}");
        assert!(Document::parse(&text).is_err());
        assert_eq!(configuration(&text, "alpha").unwrap().resources.len(), 1);
    }

    #[test]
    fn fencing_in_the_disk_section_counts_for_a_9_resource_too() {
        let text = recorded("drbdadm-9.22-dump-xml-one-resource.txt").replace(
            "</resource>",
            "<section name=\"disk\"><option name=\"fencing\" value=\"resource-only\"/></section></resource>",
        );
        assert_eq!(configuration(&text, "alpha").unwrap().resources[0].options.fencing, Fencing::ResourceOnly);
    }

    #[test]
    fn a_resource_not_understood_does_not_hide_the_others() {
        let text = "<config><resource name=\"all\"><host name=\"a\"><device minor=\"1\"/></host></resource>\
            <resource name=\"x\"><host name=\"a\"><device minor=\"-1\"/></host></resource>\
            <resource name=\"y\"><host name=\"a\"><volume vnr=\"z\"/></host></resource>\
            <resource name=\"z\"><host name=\"a\"/></resource>\
            <resource name=\"good\"><host name=\"a\"><device minor=\"2\"/></host></resource></config>";
        let found = configuration(text, "a").unwrap();
        assert_eq!(summary(&found), ["good 2 two=false dont-care auto=true"]);
        assert_eq!(found.notes.len(), 4);
    }

    #[test]
    fn what_is_not_a_dump_is_refused() {
        for text in ["", "no resources", "<config>", "<html/>"] {
            assert!(configuration(text, "a").is_err(), "{text:?}");
        }
    }
}
