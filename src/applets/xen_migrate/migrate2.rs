//! `migrate2`: what the dedicated key may run.
//!
//! The request comes in `SSH_ORIGINAL_COMMAND`, is parsed strictly ([`crate::core::request`]), and is answered by one line of JSON on
//! standard output; what a person is to read goes to standard error, which ssh carries over. Who asks is known by the key
//! (`--peer` in the `command=` line, as `setup` writes it) or, with the article's plain line, by the address it comes from.

use super::cli::{How, Migrate2};
use super::voice::Voice;
use super::{Setting, migrate, receive, recover, several};
use crate::adapters::deeds::{self, Cause};
use crate::adapters::look;
use crate::adapters::peer::Answer;
use crate::adapters::{Call, To, World, here, store, survey};
use crate::core::facts::End;
use crate::core::migrate::permit::permit;
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::options;
use crate::core::record::State;
use crate::core::request::{self, BadRequest, Wish};
use crate::core::step::Deed;
use crate::core::table;
use std::time::Duration;

/// Answers one request. Returns the exit code.
pub fn serve(setting: Setting<'_>, args: &Migrate2) -> i32 {
    let world = setting.world;
    let asked = setting.around.ssh_original_command.as_deref();
    let request = match request::parse(asked) {
        Ok(request) => request,
        Err(bad) => {
            world.say(To::Log, &format!("migrate2: refused: {bad} (from {})", address(setting).unwrap_or_default()));
            return refuse(world, &bad.to_string(), bad != BadRequest::Missing);
        }
    };
    // What is said on behalf of a peer goes to standard error, for standard output is the answer's.
    let aside = |to: To, line: &str| world.say(if to == To::Log { To::Log } else { To::Err }, line);
    let voice = Voice { world, tell: &aside, until: None };
    let setting = Setting { world: &voice, ..setting };
    let peer = match identify(setting, args, request.from.as_ref()) {
        Ok(peer) => peer,
        Err(why) => {
            world.say(To::Log, &format!("migrate2: refused: {why}"));
            return refuse(world, &why, true);
        }
    };
    let who = peer.as_ref().map_or("?".to_string(), HostName::to_string);
    world.say(To::Log, &format!("migrate2: {who} asks: {request}"));

    let answer = match (request.wish, peer) {
        (Wish::Receive { what, words }, peer) => return receive::receive(setting, peer, what, &words),
        (_, None) => Err("the request does not say who asks".to_string()),
        (Wish::Ping, Some(peer)) => pong(setting, peer),
        (Wish::Look { domu, resources }, Some(_)) => look_at(setting, &domu, &resources).map(|end| Answer::Look(Box::new(end))),
        (Wish::Looks { domus }, Some(_)) => looks(setting, &domus).map(Answer::Looks),
        (Wish::Survey(scope), Some(peer)) => survey::survey(setting.world, setting.toolstack, &scope, Some(&peer))
            .map(|seen| Answer::Survey(Box::new(seen)))
            .map_err(|e| e.to_string()),
        (Wish::Do { domu, deeds }, Some(peer)) => act(setting, &peer, &domu, &deeds),
        (Wish::Send { domu, options }, Some(peer)) => send(setting, &peer, &domu, &options),
        (Wish::Settle { domu }, Some(peer)) => settle(setting, &peer, &domu),
    };
    match answer {
        Ok(answer) => {
            world.say(To::Machine, &answer.line());
            match answer {
                Answer::Ended(code) => code,
                _ => 0,
            }
        }
        Err(why) => {
            world.say(To::Log, &format!("migrate2: refused {who}: {why}"));
            refuse(world, &why, true)
        }
    }
}

fn refuse(world: &dyn World, why: &str, answer: bool) -> i32 {
    world.say(To::Err, &format!("xen-migrate migrate2: refused: {why}"));
    if answer {
        world.say(To::Machine, &Answer::Refused(why.to_string()).line());
    }
    3
}

/// Where the client is, by sshd's account.
fn address(setting: Setting<'_>) -> Option<String> {
    let connection = setting.around.ssh_connection.as_deref()?;
    let address = connection.split(' ').next()?;
    // An IPv6 link-local address has a scope behind it.
    let address = address.split('%').next()?;
    address.parse::<std::net::IpAddr>().ok().map(|a| a.to_string())
}

/// Who asks. `None` only for a plain `xl migrate`, which does not say.
fn identify(setting: Setting<'_>, args: &Migrate2, from: Option<&HostName>) -> Result<Option<HostName>, String> {
    match (&args.peer, from) {
        (Some(bound), Some(from)) if !bound.same_host(from) => {
            Err(format!("this key belongs to {bound} (--peer in authorized_keys), and {from} uses it"))
        }
        (Some(bound), _) => Ok(Some(bound.clone())),
        (None, None) => Ok(None),
        (None, Some(from)) => {
            let address = address(setting).ok_or("sshd does not say where the request comes from (SSH_CONNECTION)")?;
            let known = setting.world.run(&Call::new("getent", ["ahosts", from.as_str()]).within(Duration::from_secs(10)));
            let known = match known {
                Ok(output) if output.ok() => output.stdout,
                Ok(_) => return Err(format!("{from} has no address here (getent ahosts {from}), so it cannot be told who asks")),
                Err(error) => return Err(error.to_string()),
            };
            let is = |line: &str| {
                let first = line.split_whitespace().next().unwrap_or("");
                first.split('%').next() == Some(address.as_str())
            };
            if known.lines().any(is) {
                return Ok(Some(from.clone()));
            }
            Err(format!(
                "the request comes from {address}, which is not an address of {from} (getent ahosts {from}); \
                 write `migrate2 --peer {from}` into the command= of its key"
            ))
        }
    }
}

fn pong(setting: Setting<'_>, peer: HostName) -> Result<Answer, String> {
    let host = here::host(setting.world).map_err(|e| e.to_string())?;
    let fqdn = here::fqdn(setting.world, &host);
    Ok(Answer::Pong { fqdn, host, version: env!("CARGO_PKG_VERSION").to_string(), you: peer })
}

fn look_at(setting: Setting<'_>, domu: &DomuName, resources: &[ResourceName]) -> Result<End, String> {
    let ground = look::ground(setting.world, setting.toolstack).map_err(|e| e.to_string())?;
    ground.end(setting.world, domu, resources, false).map_err(|e| e.to_string())
}

/// Several domUs, from one look at this host.
fn looks(setting: Setting<'_>, domus: &[(DomuName, Vec<ResourceName>)]) -> Result<Vec<End>, String> {
    let ground = look::ground(setting.world, setting.toolstack).map_err(|e| e.to_string())?;
    let all = ground.all(setting.world);
    domus.iter().map(|(domu, known)| all.end(setting.world, domu, known).map_err(|e| e.to_string())).collect()
}

/// Deeds of a migration that the peer drives: each is checked against what is here before it is done.
fn act(setting: Setting<'_>, peer: &HostName, domu: &DomuName, deeds: &[Deed]) -> Result<Answer, String> {
    let world = setting.world;
    if let Some(who) =
        deeds.iter().find(|deed| matches!(deed, Deed::Expect { .. })).and_then(|_| several::goes_down(setting.world))
    {
        return Err(several::refusal_of_what_comes(&who));
    }
    let known: Vec<ResourceName> = deeds
        .iter()
        .flat_map(|deed| match deed {
            Deed::Expect { open, .. } => open.clone(),
            Deed::Open(r) | Deed::Close(r) | Deed::Connect(r) | Deed::Promote(r) | Deed::Demote(r) => vec![r.clone()],
            _ => vec![],
        })
        .collect();
    let cause = Cause { domu: domu.clone(), peer: peer.clone(), toolstack: setting.toolstack };
    let mut done = Vec::new();
    let mut ground: Option<look::Ground> = None;
    for deed in deeds {
        // What one deed changed, the next is judged by. Deeds on the record and on DRBD's options change no domain, and one that goes
        // wrong by a domain made meanwhile has its own look: only those that touch a copy or a role need a whole new one.
        let light = matches!(deed, Deed::Expect { .. } | Deed::Open(_) | Deed::Close(_) | Deed::Connect(_) | Deed::Arrived);
        let now = match ground.take().filter(|_| light) {
            Some(before) => before.again(world),
            None => look::ground(world, setting.toolstack),
        };
        let end = match now.and_then(|now| now.end(world, domu, &known, false).map(|end| (now, end))) {
            Ok((now, end)) => {
                // After a deed that changes the domains, none of them is as it was.
                ground = light.then_some(now);
                end
            }
            Err(error) if done.is_empty() => return Err(error.to_string()),
            // A refusal would say that nothing was touched.
            Err(error) => return Ok(Answer::Done { done, failed: Some(format!("{deed}: {error}")) }),
        };
        let failed = match permit(deed, &end, peer) {
            Ok(()) => deeds::act(world, &cause, deed).err().map(|e| e.to_string()),
            Err(why) if done.is_empty() => return Err(why),
            Err(why) => Some(why),
        };
        if let Some(why) = failed {
            world.say(To::Log, &format!("migrate2: {domu}, for {peer}: {deed}: {why}"));
            return Ok(Answer::Done { done, failed: Some(format!("{deed}: {why}")) });
        }
        world.say(To::Log, &format!("migrate2: {domu}, for {peer}: {deed}"));
        done.extend(deed.word());
    }
    Ok(Answer::Done { done, failed: None })
}

/// The peer wants a domU back, or its own: one that came from it, or that the table here lists for it.
fn send(setting: Setting<'_>, peer: &HostName, domu: &DomuName, words: &[String]) -> Result<Answer, String> {
    let ground = look::ground(setting.world, setting.toolstack).map_err(|e| e.to_string())?;
    let row = ground.record.row(domu);
    let came_from_it = row.is_some_and(|r| {
        r.state == State::Visiting && (r.host.same_host(peer) || r.home.as_ref().is_some_and(|h| h.same_host(peer)))
    });
    let listed = ground.table.table.entry(domu).is_some_and(|e| e.hosts.iter().any(|h| h.same_host(peer)));
    if let Some(row) = row.filter(|r| r.state.in_flight() && r.host.same_host(peer)) {
        return Err(format!(
            "the journey of {domu} is not settled ({} {} since {}); on {peer}: xen-migrate recover {domu}",
            row.state, row.host, row.since
        ));
    }
    if !came_from_it && !listed {
        let allows = match ground.table.table.entry(domu) {
            Some(entry) => format!("{peer} as one more host in its row (line {})", entry.line),
            None => format!("a row `{domu} {peer}`"),
        };
        return Err(format!(
            "{domu} did not come from {peer} as far as is recorded here, and the table here does not list it for {peer}; on {}, {allows} \
             in {} allows it",
            ground.host,
            table::PATH
        ));
    }
    let options = options::check_from_peer(ground.toolstack, words).map_err(|bad| bad.to_string())?;
    let ended = migrate::send(setting, domu, peer, &[], &options, &How::default());
    Ok(ended_as(setting, ended))
}

/// The peer knows of a migration that was begun here and has not ended.
fn settle(setting: Setting<'_>, peer: &HostName, domu: &DomuName) -> Result<Answer, String> {
    let record = store::record(setting.world).map_err(|e| e.to_string())?;
    match record.row(domu) {
        Some(row) if row.host.same_host(peer) => Ok(ended_as(setting, recover::one(setting, domu))),
        Some(row) => Err(format!("{domu} is {} {} here, which is no affair of {peer}", row.state, row.host)),
        None => Err(format!("nothing is recorded of {domu} here")),
    }
}

fn ended_as(setting: Setting<'_>, ended: super::Ended) -> Answer {
    Answer::Ended(match ended {
        Ok(exit) => exit.code(),
        Err(stop) => {
            setting.world.say(To::Err, &stop.text);
            stop.exit.code()
        }
    })
}
