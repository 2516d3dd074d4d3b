//! What `drbdsetup show` says: the options in force in the kernel.
//!
//! All dialects print nested sections in the manner of drbd.conf, and only what differs from the defaults:
//!
//! * 9 (`drbdsetup show RES`): `resource "r0" { _this_host {…} connection { net { allow-two-primaries yes; fencing …; } } … }`,
//!   one `connection` for each peer; its net options are kept while it is StandAlone.
//! * 8.4 (`drbdsetup show RES`): `resource r0 { net {…} _this_host { volume 0 { disk { fencing …; } } } }`. There is always a
//!   `net` section, if need be an empty one, except while StandAlone: then the kernel has no net options at all
//!   (user/v84/drbdsetup.c, `show_scmd`, `print_options`).
//! * 8.3 (`drbdsetup MINOR show`): the sections without a resource around them, an option that is on without a value, and
//!   `_is_default` behind a value (user/v83/drbdsetup.c, `show_scmd`, `show_bit`).
//!
//! The form is told by what is there, not by the version: a 9 module in 8.4 clothes may answer in either.

use crate::core::drbd::{Fencing, Options};

/// Why the options are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// The kernel does not have the resource.
    NotUp,
    /// There is no connection, so there is no `allow-two-primaries` either; the `fencing` of the disks is known.
    NoConnection(Fencing),
    /// The text is not of any form known here.
    NotUnderstood(String),
}

/// The options of one resource in the answer of `drbdsetup show RES` (8.4 and 9).
///
/// Of several connections (9) or volumes (8.4) the weakest `fencing` counts, and two Primaries are allowed if any connection
/// allows them.
pub fn of_resource(text: &str, resource: &str) -> Result<Options, Unknown> {
    let top = sections(text)?;
    let resource = top.iter().find(|s| s.words == ["resource", resource]).ok_or(Unknown::NotUp)?;
    let connections: Vec<&Section> = resource.inner("connection").collect();
    if !connections.is_empty() {
        let nets = || connections.iter().flat_map(|c| c.inner("net"));
        // A connection without a net section has nothing but defaults.
        let fencing = weakest(connections.iter().map(|c| c.inner("net").find_map(Section::fencing).unwrap_or(Fencing::DontCare)));
        return Ok(Options { two_primaries: nets().any(Section::two_primaries), fencing });
    }
    let volumes: Vec<&Section> = resource.inner("_this_host").flat_map(|host| host.inner("volume")).collect();
    let fencing = weakest(volumes.iter().map(|volume| fencing_of(volume.inner("disk"))));
    match resource.inner("net").next() {
        Some(net) => Ok(Options { two_primaries: net.two_primaries(), fencing }),
        None => Err(Unknown::NoConnection(fencing)),
    }
}

/// The options in the answers of `drbdsetup MINOR show` (8.3), one for each minor of the resource.
pub fn of_minors<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Options, Unknown> {
    let (mut fencings, mut allowed, mut connected, mut up) = (vec![], false, true, true);
    for text in texts {
        let top = sections(text)?;
        up &= top.iter().any(|s| s.words == ["_this_host"]);
        let named = |name: &'static str| top.iter().filter(move |s| s.words == [name]);
        fencings.push(fencing_of(named("disk")));
        connected &= named("net").next().is_some();
        allowed |= named("net").any(Section::two_primaries);
    }
    let nothing_asked = fencings.is_empty();
    let fencing = weakest(fencings);
    if nothing_asked || !up {
        Err(Unknown::NotUp)
    } else if !connected {
        Err(Unknown::NoConnection(fencing))
    } else {
        Ok(Options { two_primaries: allowed, fencing })
    }
}

/// The weakest of several policies; a policy that is not known here, or none at all, is no better than `dont-care`.
pub(super) fn weakest(fencings: impl IntoIterator<Item = Fencing>) -> Fencing {
    fencings.into_iter().min_by_key(strength).unwrap_or(Fencing::DontCare)
}

/// How much a policy protects; what is not known protects nothing.
pub(super) fn strength(fencing: &Fencing) -> u8 {
    match fencing {
        Fencing::DontCare | Fencing::Other(_) => 0,
        Fencing::ResourceOnly => 1,
        Fencing::Stonith => 2,
    }
}

fn fencing_of<'a>(mut sections: impl Iterator<Item = &'a Section>) -> Fencing {
    sections.find_map(Section::fencing).unwrap_or(Fencing::DontCare)
}

/// `words { statements; sections }`.
#[derive(Debug, Default)]
struct Section {
    words: Vec<String>,
    statements: Vec<Vec<String>>,
    sections: Vec<Section>,
}

impl Section {
    /// The sections in this one whose first word is `name`.
    fn inner<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |s| s.words.first().is_some_and(|word| word == name))
    }

    fn statement(&self, name: &str) -> Option<&[String]> {
        self.statements.iter().find(|s| s.first().is_some_and(|word| word == name)).map(Vec::as_slice)
    }

    fn fencing(&self) -> Option<Fencing> {
        self.statement("fencing")?.get(1).map(|word| Fencing::from(word.as_str()))
    }

    /// Anything but `no` counts as allowed.
    fn two_primaries(&self) -> bool {
        self.statement("allow-two-primaries").is_some_and(|s| s.get(1).is_none_or(|word| word != "no"))
    }
}

/// DRBD nests five deep; more than this is not its answer.
const DEEPEST: usize = 20;

/// The outermost sections. Text that ends in the middle of one is refused: what is missing might be the option that matters.
fn sections(text: &str) -> Result<Vec<Section>, Unknown> {
    let not_understood = |what: &str| Unknown::NotUnderstood(what.to_string());
    let mut open = vec![Section::default()];
    let mut words = vec![];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => {}
            '#' => while chars.next().is_some_and(|c| c != '\n') {},
            '{' => {
                if open.len() > DEEPEST {
                    return Err(not_understood("sections within sections without end"));
                }
                open.push(Section { words: std::mem::take(&mut words), ..Section::default() });
            }
            ';' => {
                if let Some(section) = open.last_mut() {
                    section.statements.push(std::mem::take(&mut words));
                }
            }
            '}' => {
                let closed = open.pop().filter(|_| words.is_empty());
                match (closed, open.last_mut()) {
                    (Some(closed), Some(around)) => around.sections.push(closed),
                    _ => return Err(not_understood("a } that closes nothing")),
                }
            }
            '"' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => word.extend(chars.next()),
                        Some(c) => word.push(c),
                        None => return Err(not_understood("a \" without its end")),
                    }
                }
                words.push(word);
            }
            _ => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !"{};\"".contains(*c)) {
                    word.push(c);
                }
                words.push(word);
            }
        }
    }
    match open.pop() {
        Some(top) if open.is_empty() && words.is_empty() => Ok(top.sections),
        _ => Err(not_understood("it ends in the middle")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    fn options(two_primaries: bool, fencing: Fencing) -> Result<Options, Unknown> {
        Ok(Options { two_primaries, fencing })
    }

    #[test]
    fn in_84_disk_is_both_a_line_and_a_section_and_fencing_is_not_printed_by_default() {
        let text = recorded("drbdsetup-8.4-show-two-primaries.txt");
        assert_eq!(of_resource(&text, "r0"), options(true, Fencing::DontCare));
        assert_eq!(of_resource(&text, "r1"), Err(Unknown::NotUp));
        let guarded = text.replace("disk {\n", "disk {\n fencing resource-only;\n").replace("allow-two-primaries	yes;", "");
        assert_eq!(of_resource(&guarded, "r0"), options(false, Fencing::ResourceOnly));
    }

    #[test]
    fn in_9_a_connection_that_stands_alone_keeps_both_options() {
        let text = recorded("drbdsetup-9.2-show-standalone-both-options.txt");
        assert_eq!(of_resource(&text, "r0"), options(true, Fencing::ResourceOnly));
    }

    #[test]
    fn comments_and_the_disk_section_of_a_peer_are_passed_over() {
        let text = recorded("drbdsetup-9.2-show-comments-and-peer-disk.txt");
        assert_eq!(of_resource(&text, "r0"), options(true, Fencing::DontCare));
    }

    #[test]
    fn nothing_up_is_a_comment_and_exit_0() {
        assert_eq!(of_resource(&recorded("drbdsetup-9.2-show-none-up.txt"), "r0"), Err(Unknown::NotUp));
        assert_eq!(of_resource("", "r0"), Err(Unknown::NotUp));
    }

    #[test]
    fn of_several_connections_the_weakest_fencing_and_any_permission_count() {
        let text = "resource \"db\" { _this_host { node-id 0; }\n\
            connection { _peer_node_id 1; _cstate Connected; net { fencing resource-and-stonith; _name \"b\"; } }\n\
            connection { _peer_node_id 2; net { fencing resource-only; allow-two-primaries yes; _name \"c\"; } } }\n";
        assert_eq!(of_resource(text, "db"), options(true, Fencing::ResourceOnly));
        let no_net = text.replace("net { fencing resource-and-stonith; _name \"b\"; }", "");
        assert_eq!(of_resource(&no_net, "db"), options(true, Fencing::DontCare));
        let unknown = text.replace("resource-and-stonith", "moat");
        assert_eq!(of_resource(&unknown, "db"), options(true, Fencing::Other("moat".to_string())));
    }

    #[test]
    fn in_84_every_volume_must_guard() {
        let text = "resource db { options { }\nnet { }\n_this_host { address ipv4 10.0.0.1:7789;\n\
            volume 0 { device minor 10; disk { fencing resource-only; } }\n\
            volume 1 { device minor 11; disk \"/dev/x\"; disk { } } } }\n";
        assert_eq!(of_resource(text, "db"), options(false, Fencing::DontCare));
        let both = text.replace("disk { } }", "disk { fencing resource-and-stonith; } }");
        assert_eq!(of_resource(&both, "db"), options(false, Fencing::ResourceOnly));
        let diskless = text.replace("disk \"/dev/x\"; disk { }", "");
        assert_eq!(of_resource(&diskless, "db"), options(false, Fencing::DontCare));
    }

    #[test]
    fn in_84_without_a_connection_there_is_no_answer_about_two_primaries() {
        let text = "resource r0 { options { } _this_host { volume 0 { device minor 0; disk { fencing resource-only; } } } }";
        assert_eq!(of_resource(text, "r0"), Err(Unknown::NoConnection(Fencing::ResourceOnly)));
    }

    /// Put together from the program's own code; no 8.3 kernel was at hand.
    const SHOW_83: &str = "disk {\n\tsize            \t0s _is_default; # bytes\n\ton-io-error     \tdetach;\n\
        \tfencing         \tresource-only;\n}\nnet {\n\ttimeout         \t60 _is_default; # 1/10 seconds\n\
        \tallow-two-primaries;\n}\nsyncer {\n\trate            \t250k _is_default; # bytes/second\n}\nprotocol C;\n\
        _this_host {\n\tdevice\t\t\tminor 1;\n\tdisk\t\t\t\"/dev/vg0/web\";\n\tmeta-disk\t\tinternal;\n\
        \taddress\t\t\tipv4 10.0.0.1:7789;\n}\n_remote_host {\n\taddress\t\t\tipv4 10.0.0.2:7789;\n}\n";

    #[test]
    fn in_83_an_option_that_is_on_has_no_value() {
        assert_eq!(of_minors([SHOW_83]), options(true, Fencing::ResourceOnly));
        let closed = SHOW_83.replace("\tallow-two-primaries;\n", "").replace("resource-only", "dont-care _is_default");
        assert_eq!(of_minors([closed.as_str()]), options(false, Fencing::DontCare));
        assert_eq!(of_minors([SHOW_83, &closed]), options(true, Fencing::DontCare));
    }

    #[test]
    fn in_83_a_minor_that_is_not_up_shows_nothing_but_its_syncer() {
        assert_eq!(of_minors(["syncer {\n\trate 250k _is_default;\n}\n"]), Err(Unknown::NotUp));
        assert_eq!(of_minors([]), Err(Unknown::NotUp));
        let (before, after) = (SHOW_83.find("net {").unwrap(), SHOW_83.find("syncer {").unwrap());
        let alone = format!("{}{}", &SHOW_83[..before], &SHOW_83[after..]);
        assert_eq!(of_minors([alone.as_str()]), Err(Unknown::NoConnection(Fencing::ResourceOnly)));
    }

    #[test]
    fn half_an_answer_is_no_answer() {
        for text in ["resource r0 {", "resource r0 { net { }", "}", "a } b", "resource \"r0", "resource r0 { net { x } }", "word"]
        {
            assert!(matches!(of_resource(text, "r0"), Err(Unknown::NotUnderstood(_))), "{text}");
        }
        assert!(matches!(of_resource(&"{".repeat(100_000), "r0"), Err(Unknown::NotUnderstood(_))));
    }

    #[test]
    fn only_no_means_no() {
        let text = |word: &str| format!("resource r0 {{ connection {{ net {{ allow-two-primaries {word}; }} }} }}");
        assert_eq!(of_resource(&text("no"), "r0"), options(false, Fencing::DontCare));
        assert_eq!(of_resource(&text("maybe"), "r0"), options(true, Fencing::DontCare));
        assert_eq!(of_resource(&text(""), "r0"), options(true, Fencing::DontCare));
    }
}
