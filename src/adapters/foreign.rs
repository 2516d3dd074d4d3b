//! Who else starts or stops the same domUs: xendomains, Pacemaker, libvirt-guests. None of them looks at both the roles and the record.
//!
//! Files are read and no program is asked, so nothing here can hang or fail: what cannot be read is told as a note of its own.

use super::{World, boot};
use std::io::ErrorKind;
use std::path::Path;

/// Where Pacemaker keeps its configuration, and where it did before 1.1.
const CIBS: [&str; 2] = ["/var/lib/pacemaker/cib/cib.xml", "/var/lib/heartbeat/crm/cib.xml"];

/// Where xendomains is told its folders (facts 6).
const XENDOMAINS: [&str; 2] = ["/etc/default/xendomains", "/etc/sysconfig/xendomains"];

/// Where systemd notes what starts at boot.
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

/// What there is of them on this host.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The configs that xendomains starts: path, name and bytes.
    auto: Vec<(String, String, Vec<u8>)>,
    /// The images that xendomains wakes domUs from: path and name.
    saved: Vec<(String, String)>,
    /// Pacemaker's resources that are domUs.
    resources: Vec<Resource>,
    /// What concerns all domUs, in sentences.
    all: Vec<String>,
}

/// One of Pacemaker's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resource {
    id: String,
    agent: String,
    /// By what it may mean a domU: its name, or the name of its config file.
    words: Vec<String>,
}

impl Foreign {
    /// Looks.
    pub fn look(world: &dyn World) -> Foreign {
        let mut foreign = Foreign::default();
        let settings: String = XENDOMAINS.iter().filter_map(|path| text(world, path)).collect();
        let of = |key: &str, usual: &str| setting(&settings, key).unwrap_or_else(|| usual.to_string());
        let files = |folder: String| -> Vec<(String, String)> {
            let names = if folder.is_empty() { vec![] } else { world.list(Path::new(&folder)).unwrap_or_default() };
            names.into_iter().map(|name| (format!("{}/{name}", folder.trim_end_matches('/')), name)).collect()
        };
        for (path, name) in files(of("XENDOMAINS_AUTO", "/etc/xen/auto")) {
            let bytes = world.read(Path::new(&path)).unwrap_or_default();
            foreign.auto.push((path, name, bytes));
        }
        if of("XENDOMAINS_RESTORE", "true") != "false" {
            foreign.saved = files(of("XENDOMAINS_SAVE", "/var/lib/xen/save"));
        }
        for cib in CIBS {
            match world.read(Path::new(cib)).map(|bytes| resources(&String::from_utf8_lossy(&bytes))) {
                Ok(Ok(resources)) => foreign.resources.extend(resources),
                Ok(Err(why)) => foreign.all.push(unread(cib, &why)),
                Err(why) if why.kind() == ErrorKind::NotFound => {}
                Err(why) => foreign.all.push(unread(cib, &why.to_string())),
            }
        }
        if world.list(Path::new(ENABLED)).unwrap_or_default().iter().any(|name| name == "libvirt-guests.service") {
            foreign.all.push(
                "libvirt-guests is enabled: it starts and stops domUs as well, and does not look at the roles: systemctl disable \
                 libvirt-guests   (without --now, which would stop them)"
                    .to_string(),
            );
        }
        foreign
    }

    /// What concerns one domU: a sentence for each, with what to type.
    pub fn of(&self, world: &dyn World, file: &str, domu: Option<&str>) -> Vec<String> {
        let path = format!("{}/{file}", boot::FOLDER);
        let bytes = if self.auto.is_empty() { None } else { world.read(Path::new(&path)).ok() };
        let is = |word: &str| word == file || stem(word) == stem(file) || Some(stem(word)) == domu || Some(word) == domu;
        let auto = self.auto.iter().filter(|(_, name, there)| is(name) || bytes.as_ref().is_some_and(|bytes| bytes == there));
        let auto = auto.map(|(path, ..)| format!("xendomains starts it as well, and does not look at the roles: rm {path}"));
        let saved = self.saved.iter().filter(|(_, name)| Some(name.as_str()) == domu).map(|(path, _)| {
            format!(
                "xendomains wakes it from {path} when it starts; if it has run since that was saved, its memory is older than its disks: mv {path} /root/"
            )
        });
        let resources = self.resources.iter().filter(|resource| resource.words.iter().any(|word| is(word))).map(|resource| {
            let Resource { id, agent, .. } = resource;
            format!(
                "Pacemaker starts and stops it as well, as {id} ({agent}); one of the two must let go: crm_resource --resource {id} --meta \
                 --set-parameter is-managed --parameter-value false   (or: mv {path} /etc/xen/)"
            )
        });
        auto.chain(saved).chain(resources).collect()
    }

    /// What concerns them all.
    pub fn of_all(&self) -> &[String] {
        &self.all
    }
}

fn unread(path: &str, why: &str) -> String {
    format!("{path} could not be read ({why}): whether Pacemaker starts the same domUs is not known: crm_resource --list")
}

/// `web.cfg` without its ending; a domU's name may have dots of its own, so only the endings that configs have count.
fn stem(name: &str) -> &str {
    [".cfg", ".conf"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

fn text(world: &dyn World, path: &str) -> Option<String> {
    world.read(Path::new(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned() + "\n")
}

/// The last `KEY=value` of a file that a shell reads, where the value is plain.
fn setting(text: &str, key: &str) -> Option<String> {
    let value = |line: &str| line.trim().strip_prefix(key)?.strip_prefix('=').map(|v| v.trim_matches(['"', '\'']).to_string());
    text.lines().filter_map(value).next_back()
}

/// The resources in Pacemaker's CIB whose agent runs domUs, and that it may touch.
fn resources(text: &str) -> Result<Vec<Resource>, String> {
    let document = roxmltree::Document::parse(text).map_err(|why| why.to_string())?;
    let template = |id: &str| document.descendants().find(|n| n.has_tag_name("template") && n.attribute("id") == Some(id));
    let mut found = Vec::new();
    for primitive in document.descendants().filter(|n| n.has_tag_name("primitive")) {
        let nodes = [Some(primitive), primitive.attribute("template").and_then(template)];
        let nodes = || nodes.iter().flatten();
        let attribute = |name: &str| nodes().find_map(|n| n.attribute(name)).unwrap_or_default().to_string();
        let kind = attribute("type");
        if !kind.to_ascii_lowercase().contains("xen") && kind != "VirtualDomain" {
            continue;
        }
        let values = |of: &str, names: &[&str]| -> Vec<String> {
            let sets = nodes().flat_map(|n| n.children()).filter(|n| n.has_tag_name(of));
            let pairs =
                sets.flat_map(|set| set.children()).filter(|n| n.attribute("name").is_some_and(|name| names.contains(&name)));
            pairs.filter_map(|n| n.attribute("value").map(String::from)).collect()
        };
        if values("meta_attributes", &["is-managed"]).first().is_some_and(|value| value == "false") {
            continue;
        }
        let id = primitive.attribute("id").unwrap_or_default().to_string();
        let paths = values("instance_attributes", &["name", "xmfile", "config"]);
        let mut words: Vec<String> = paths.iter().filter_map(|path| path.rsplit('/').next()).map(String::from).collect();
        if words.is_empty() {
            words.push(id.clone());
        }
        let agent =
            [attribute("class"), attribute("provider"), kind].iter().filter(|w| !w.is_empty()).cloned().collect::<Vec<_>>();
        found.push(Resource { id, agent: agent.join(":"), words });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::scripted::Scripted;

    const CIB: &str = r#"<cib><configuration><resources>
      <primitive id="vm-web" class="ocf" provider="heartbeat" type="Xen">
        <instance_attributes id="a"><nvpair id="b" name="xmfile" value="/etc/xen/drbd-auto/web.cfg"/></instance_attributes>
      </primitive>
      <clone id="c"><primitive id="mail" class="ocf" provider="heartbeat" type="Xen" template="t"/></clone>
      <primitive id="vm-news" template="t">
        <instance_attributes id="d"><nvpair id="e" name="config" value="/etc/libvirt/libxl/news.xml"/><nvpair id="f" name="name" value="news"/></instance_attributes>
      </primitive>
      <template id="t" class="ocf" provider="heartbeat" type="VirtualDomain"/>
      <primitive id="db" class="ocf" provider="heartbeat" type="Xen">
        <instance_attributes id="g"><nvpair id="h" name="xmfile" value="/etc/xen/db"/></instance_attributes>
        <meta_attributes id="i"><nvpair id="j" name="is-managed" value="false"/></meta_attributes>
      </primitive>
      <primitive id="p_drbd_web" class="ocf" provider="linbit" type="drbd">
        <instance_attributes id="k"><nvpair id="l" name="drbd_resource" value="web"/></instance_attributes>
      </primitive>
    </resources></configuration></cib>"#;

    fn notes(file: &str, domu: &str) -> String {
        let foreign = Foreign { resources: resources(CIB).unwrap(), ..Foreign::default() };
        foreign.of(&Scripted::new(), file, Some(domu)).join("\n")
    }

    #[test]
    fn a_resource_of_pacemaker_is_found_by_its_file_or_name_and_not_where_it_lets_go() {
        assert!(notes("web.cfg", "web").contains("as vm-web (ocf:heartbeat:Xen)"), "{}", notes("web.cfg", "web"));
        assert!(notes("10-web", "web").contains("--resource vm-web --meta"), "by the domU's name");
        assert!(notes("m", "mail").contains("as mail (ocf:heartbeat:Xen)"), "nothing but its id");
        assert!(notes("n", "news").contains("as vm-news (ocf:heartbeat:VirtualDomain)"), "by its template");
        assert_eq!(notes("db", "db"), "", "it is not managed");
        assert_eq!(notes("other.cfg", "other"), "");
    }

    #[test]
    fn what_is_no_configuration_of_pacemaker_is_an_error() {
        for text in ["", "<cib>", "\u{0}", "<!DOCTYPE x [<!ENTITY a 'b'>]><cib>&a;</cib>"] {
            assert!(resources(text).is_err(), "{text:?}");
        }
        assert_eq!(resources("<cib><primitive/><primitive type='Xen'/></cib>").unwrap().len(), 1);
    }

    #[test]
    fn a_shells_settings_are_read_where_they_are_plain() {
        let text = "# XENDOMAINS_SAVE=/no\nXENDOMAINS_SAVE=\"/srv/save\"\n XENDOMAINS_AUTO='/srv/auto' \nXENDOMAINS_SAVE=\n";
        assert_eq!(setting(text, "XENDOMAINS_SAVE").as_deref(), Some(""));
        assert_eq!(setting(text, "XENDOMAINS_AUTO").as_deref(), Some("/srv/auto"));
        assert_eq!(setting(text, "XENDOMAINS_RESTORE"), None);
    }
}
