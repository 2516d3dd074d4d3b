//! What a peer may ask for through the forced command, and how it is written.
//!
//! The request is the text that sshd puts into `SSH_ORIGINAL_COMMAND`: a few fixed words and names, with a version.
//! It is parsed here, strictly, and never reaches a shell. Whatever does not parse is refused.

use super::facts::PROTOCOL;
use super::names::{DomuName, HostName, ResourceName};
use super::step::{Deed, Gate};
use super::survey::Scope;
use std::fmt;
use thiserror::Error;

/// One request of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks, by its own account; migrate2 checks it against the key or the address. Plain `xl migrate` does not say.
    pub from: Option<HostName>,
    /// What it asks for.
    pub wish: Wish,
}

/// What a peer may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Answer.
    Ping,
    /// Say what is here of a domU and of its resources.
    Look {
        /// The domU.
        domu: DomuName,
        /// Its resources, as the peer knows them.
        resources: Vec<ResourceName>,
    },
    /// The same of several domUs, from one look at the host: a plan over all of them costs one request a peer.
    /// A program that does not know this word refuses it, and is asked for each by itself.
    Looks {
        /// The domUs, each with its resources as the peer knows them; at least one.
        domus: Vec<(DomuName, Vec<ResourceName>)>,
    },
    /// Say what is here of all domUs, or of some.
    Survey(Scope),
    /// Do these deeds of a migration that the peer drives.
    Do {
        /// The domU.
        domu: DomuName,
        /// In this order, up to the first that fails.
        deeds: Vec<Deed>,
    },
    /// Send a domU to the peer.
    Send {
        /// The domU.
        domu: DomuName,
        /// Options for the migration, checked against the harmless ones.
        options: Vec<String>,
    },
    /// Settle an interrupted migration that was begun here.
    Settle {
        /// The domU.
        domu: DomuName,
    },
    /// Be the receiving end of `xl migrate`.
    Receive {
        /// What comes; unknown when a plain `xl migrate` asks.
        what: Option<Coming>,
        /// `xl`'s own words: `-t migrate-receive -e`.
        words: Vec<String>,
    },
}

/// A domU that comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// The domU.
    pub domu: DomuName,
    /// The host it is meant for.
    pub host: HostName,
    /// What is made sure of meanwhile.
    pub gate: Gate,
}

/// How the refusal of a request begins that is not of this version: whoever asked may ask in older words.
pub const NOT_UNDERSTOOD: &str = "not a request that xen-migrate understands";

/// Why a request is refused before anything is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadRequest {
    /// An interactive login with the dedicated key.
    #[error("there is no request: this key runs `xen-migrate migrate2` only, which answers xen-migrate on another Dom0")]
    Missing,
    /// Another version of the words.
    #[error("the request speaks {0}, this xen-migrate speaks xen-migrate/{PROTOCOL}: install the same version on both Dom0s")]
    Version(String),
    /// Anything else.
    #[error("{NOT_UNDERSTOOD}: {0}")]
    Unknown(String),
}

impl fmt::Display for Request {
    /// As it goes over the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Wish::Receive { what: None, words } = &self.wish {
            return write!(f, "xl {}", words.join(" "));
        }
        write!(f, "xen-migrate/{PROTOCOL}")?;
        if let Some(from) = &self.from {
            write!(f, " from={from}")?;
        }
        match &self.wish {
            Wish::Ping => write!(f, " ping"),
            Wish::Look { domu, resources } => {
                write!(f, " look {domu}")?;
                resources.iter().try_for_each(|r| write!(f, " {r}"))
            }
            Wish::Looks { domus } => {
                write!(f, " looks")?;
                domus.iter().try_for_each(|(domu, resources)| {
                    let names: Vec<&str> = resources.iter().map(ResourceName::as_str).collect();
                    write!(f, " {domu}={}", names.join(","))
                })
            }
            Wish::Survey(scope) => {
                write!(f, " survey")?;
                if scope.health {
                    write!(f, " @health")?;
                }
                scope.domus.iter().try_for_each(|(domu, resources)| write!(f, " {}", scope_word(domu, resources)))
            }
            Wish::Do { domu, deeds } => {
                write!(f, " do {domu}")?;
                deeds.iter().filter_map(Deed::word).try_for_each(|w| write!(f, " {w}"))
            }
            Wish::Send { domu, options } => {
                write!(f, " send {domu}")?;
                options.iter().try_for_each(|o| write!(f, " {o}"))
            }
            Wish::Settle { domu } => write!(f, " settle {domu}"),
            Wish::Receive { what: Some(Coming { domu, host, gate }), words } => {
                write!(f, " receive {domu}")?;
                gate_words(gate).iter().try_for_each(|w| write!(f, " {w}"))?;
                write!(f, " {host} xl {}", words.join(" "))
            }
            Wish::Receive { what: None, .. } => Ok(()),
        }
    }
}

/// The first words of a `receive` request. `xl migrate` itself appends the host and `xl migrate-receive` to its transport
/// (`xl_migrate.c`, `create_migration_child`), which completes it.
pub fn receive_words_before_the_host(from: &HostName, domu: &DomuName, gate: &Gate) -> Vec<String> {
    let mut words = vec![format!("xen-migrate/{PROTOCOL}"), format!("from={from}"), "receive".to_string(), domu.to_string()];
    words.extend(gate_words(gate));
    words
}

/// `web=r0,r1`; a domU whose resources are not known is its name alone.
pub fn scope_word(domu: &DomuName, resources: &[ResourceName]) -> String {
    let names: Vec<&str> = resources.iter().map(ResourceName::as_str).collect();
    if names.is_empty() { domu.to_string() } else { format!("{domu}={}", names.join(",")) }
}

/// The scope of a survey. Its first word may be `@health`, which no domU is called.
fn scope(words: &[&str]) -> Option<Scope> {
    let health = words.first() == Some(&"@health");
    let mut domus = Vec::new();
    for word in &words[usize::from(health)..] {
        let (domu, names) = word.split_once('=').map_or((*word, None), |(domu, names)| (domu, Some(names)));
        let resources = names.map_or(Some(vec![]), |list| list.split(',').map(|n| n.parse().ok()).collect())?;
        domus.push((domu.parse().ok()?, resources));
    }
    Some(Scope { domus, health })
}

/// `promote=r0 primary=r0,r1`.
fn gate_words(gate: &Gate) -> Vec<String> {
    let word = |name: &str, list: &[ResourceName]| {
        let names: Vec<&str> = list.iter().map(ResourceName::as_str).collect();
        (!names.is_empty()).then(|| format!("{name}={}", names.join(",")))
    };
    [word("promote", &gate.promote), word("primary", &gate.primary)].into_iter().flatten().collect()
}

/// Reads `SSH_ORIGINAL_COMMAND`.
pub fn parse(text: Option<&str>) -> Result<Request, BadRequest> {
    let text = text.map(str::trim).filter(|t| !t.is_empty()).ok_or(BadRequest::Missing)?;
    let shown = || BadRequest::Unknown(format!("{:?}", text.chars().take(120).collect::<String>()));
    if text.len() > LONGEST || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err(shown());
    }
    let words: Vec<&str> = text.split(' ').filter(|w| !w.is_empty()).collect();

    if words[0] == "xl" {
        let words = receive_words(&words[1..]).ok_or_else(shown)?;
        return Ok(Request { from: None, wish: Wish::Receive { what: None, words } });
    }
    let version = words[0].strip_prefix("xen-migrate/").ok_or_else(shown)?;
    if version != PROTOCOL.to_string() {
        return Err(match version.parse::<u32>() {
            Ok(_) => BadRequest::Version(words[0].to_string()),
            Err(_) => shown(),
        });
    }
    let mut rest = &words[1..];
    let mut from = None;
    if let Some(name) = rest.first().and_then(|w| w.strip_prefix("from=")) {
        from = Some(name.parse::<HostName>().map_err(|_| shown())?);
        rest = &rest[1..];
    }
    let (verb, rest) = rest.split_first().ok_or_else(shown)?;
    let wish = wish(verb, rest).ok_or_else(shown)?;
    Ok(Request { from, wish })
}

fn wish(verb: &str, rest: &[&str]) -> Option<Wish> {
    if verb == "ping" {
        return rest.is_empty().then_some(Wish::Ping);
    }
    if verb == "looks" {
        let domus = rest.iter().map(|word| looked_for(word)).collect::<Option<Vec<_>>>()?;
        return (!domus.is_empty()).then_some(Wish::Looks { domus });
    }
    if verb == "survey" {
        return scope(rest).map(Wish::Survey);
    }
    let (domu, rest) = rest.split_first()?;
    let domu: DomuName = domu.parse().ok()?;
    Some(match verb {
        "look" => Wish::Look { domu, resources: rest.iter().map(|r| r.parse().ok()).collect::<Option<_>>()? },
        "do" if !rest.is_empty() && rest.len() <= 100 => {
            Wish::Do { domu, deeds: rest.iter().map(|d| Deed::from_word(d)).collect::<Option<_>>()? }
        }
        "send" => Wish::Send { domu, options: rest.iter().map(|o| o.to_string()).collect() },
        "settle" if rest.is_empty() => Wish::Settle { domu },
        "receive" => {
            let mut gate = Gate::default();
            let mut rest = rest;
            for (name, list) in [("promote=", &mut gate.promote), ("primary=", &mut gate.primary)] {
                if let Some(names) = rest.first().and_then(|w| w.strip_prefix(name)) {
                    *list = names.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?;
                    rest = &rest[1..];
                }
            }
            let [host, "xl", words @ ..] = rest else { return None };
            Wish::Receive { what: Some(Coming { domu, host: host.parse().ok()?, gate }), words: receive_words(words)? }
        }
        _ => return None,
    })
}

/// `web=r0,r1`, or `web=`.
fn looked_for(word: &str) -> Option<(DomuName, Vec<ResourceName>)> {
    let (domu, names) = word.split_once('=')?;
    let resources = names.split(',').filter(|_| !names.is_empty()).map(|r| r.parse().ok()).collect::<Option<_>>()?;
    Some((domu.parse().ok()?, resources))
}

/// So many characters a request may have.
pub const LONGEST: usize = 4096;

/// `[-t] [-T] [-v…] migrate-receive [-e] [-d] [-p]`, as `xl_migrate.c` composes it, and nothing more.
fn receive_words(words: &[&str]) -> Option<Vec<String>> {
    let at = words.iter().position(|w| *w == "migrate-receive")?;
    let verbose = |w: &str| w.len() > 1 && w.len() <= 16 && w.starts_with('-') && w[1..].chars().all(|c| c == 'v');
    let before = words[..at].iter().all(|w| matches!(*w, "-t" | "-T") || verbose(w));
    let after = words[at + 1..].iter().all(|w| matches!(*w, "-e" | "-d" | "-p" | "--debug"));
    (before && after).then(|| words.iter().map(|w| w.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Request {
        parse(Some(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn requests_survive_the_wire() {
        for text in [
            "xen-migrate/1 ping",
            "xen-migrate/1 from=dom0-alpha ping",
            "xen-migrate/1 from=dom0-alpha look web",
            "xen-migrate/1 from=dom0-alpha look web r0 r1",
            "xen-migrate/1 from=dom0-alpha looks web=r0,r1 mail= db=r2",
            "xen-migrate/1 from=dom0-alpha survey",
            "xen-migrate/1 from=dom0-alpha survey web mail=r0,r1",
            "xen-migrate/1 from=dom0-alpha survey @health web=r0",
            "xen-migrate/1 from=dom0-alpha do web expect=r0,r1 open=r0 open=r1 primary=r0",
            "xen-migrate/1 from=dom0-alpha send web --live",
            "xen-migrate/1 from=dom0-alpha settle web",
            "xen-migrate/1 from=dom0-alpha receive web dom0-beta xl -t migrate-receive -e",
            "xen-migrate/1 from=dom0-alpha receive web promote=r0 primary=r0,r1 dom0-beta xl migrate-receive",
            "xen-migrate/1 from=dom0-alpha receive web primary=r1 dom0-beta xl migrate-receive",
            "xl migrate-receive",
            "xl -t -T -vvv migrate-receive -e -d -p",
        ] {
            assert_eq!(ok(text).to_string(), text);
        }
    }

    #[test]
    fn what_xl_appends_to_its_transport_makes_a_request() {
        let gate = Gate { promote: vec!["r0".parse().unwrap()], primary: vec!["r0".parse().unwrap(), "r1".parse().unwrap()] };
        let mut words = receive_words_before_the_host(&"dom0-alpha".parse().unwrap(), &"web".parse().unwrap(), &gate);
        words.extend(["dom0-beta", "xl", "migrate-receive"].map(String::from));
        let request = ok(&words.join(" "));
        let what = Some(Coming { domu: "web".parse().unwrap(), host: "dom0-beta".parse().unwrap(), gate });
        assert_eq!(request.wish, Wish::Receive { what, words: vec!["migrate-receive".into()] });
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "id",
            "/bin/sh",
            "xl list",
            "xl migrate-receive; id",
            "xl migrate-receive -e $(id)",
            "xl -x migrate-receive",
            "xl destroy web",
            "xl migrate-receive web",
            "xen-migrate/1",
            "xen-migrate/1 from=-x ping",
            "xen-migrate/1 ping web",
            "xen-migrate/1 look",
            "xen-migrate/1 look ALL",
            "xen-migrate/1 look web;id",
            "xen-migrate/1 look web all",
            "xen-migrate/1 looks",
            "xen-migrate/1 looks web",
            "xen-migrate/1 looks web=r0,",
            "xen-migrate/1 looks web=r0;id",
            "xen-migrate/1 looks ALL=",
            "xen-migrate/1 do web",
            "xen-migrate/1 survey web=",
            "xen-migrate/1 survey web=r0,",
            "xen-migrate/1 survey web=r0;id",
            "xen-migrate/1 survey ALL",
            "xen-migrate/1 survey -x",
            "xen-migrate/1 do web destroy=1",
            "xen-migrate/1 settle web now",
            "xen-migrate/1 receive web dom0-beta xm migrate-receive",
            "xen-migrate/1 receive web promote= dom0-beta xl migrate-receive",
            "xen-migrate/1 receive web promote=r0;id dom0-beta xl migrate-receive",
            "xen-migrate/1 receive web primary=r0 promote=r0 dom0-beta xl migrate-receive",
            "xen-migrate/1 receive web dom0-beta xl migrate-receive web",
            "xen-migrate/1\nping",
            "xen-migrate/1 ping\0",
            "xen-migrate/1 ping é",
            "xen-migrate/x ping",
            "ping",
        ] {
            assert!(matches!(parse(Some(text)), Err(BadRequest::Unknown(_))), "{text:?}");
        }
        assert_eq!(parse(None), Err(BadRequest::Missing));
        assert_eq!(parse(Some("  ")), Err(BadRequest::Missing));
        assert!(matches!(parse(Some("xen-migrate/2 ping")), Err(BadRequest::Version(_))));
        assert!(parse(Some(&"x".repeat(5000))).is_err());
    }

    /// Thousands of generated requests, most of them nearly right: none panics, and whatever parses is one of ours when written again.
    #[test]
    fn hostile_requests_by_the_thousand() {
        let pieces = [
            "xen-migrate/1", "xen-migrate/2", "from=a", "from=", "ping", "look", "looks", "web=r0,r1", "survey", "@health",
            "web=r0", "do", "send", "settle", "receive", "web", "-x", "r0", "open=r0", "expect=", "expect=r0@b", "xl",
            "migrate-receive", "-t", "-e", ";", "$(id)", "`id`", "|", "&&", "\n", "\0", "'", "\"", "--", "ALL", "../x", "é",
            "destroy-incoming=1", "promote=r0", "primary=r0,r1", "%s", "~", "*", "\t", "=",
        ];
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut roll = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let mut understood = 0;
        for _ in 0..20_000 {
            let mut text = String::from(["xen-migrate/1 ", "xen-migrate/1 from=a ", "xl ", ""][roll(4)]);
            for _ in 0..roll(6) + 1 {
                text += pieces[roll(pieces.len())];
                text += ["", " ", "  "][roll(3)];
            }
            if let Ok(request) = parse(Some(&text)) {
                understood += 1;
                let again = request.to_string();
                assert_eq!(parse(Some(&again)), Ok(request), "{text:?}");
                assert!(
                    again.chars().all(|c| c.is_ascii_alphanumeric() || " -_./=,:@+".contains(c)) || again.contains(" send "),
                    "{again:?}"
                );
            }
        }
        assert!(understood > 10, "the generator never hits: {understood}");
    }
}
