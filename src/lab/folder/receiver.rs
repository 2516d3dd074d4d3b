//! `xl migrate-receive` as a process: it announces itself, joins the migration that the sender names, and waits to be told how it ends.

use super::Folder;
use super::live::{GLANCE, nap};
use super::processes::RealProcess;
use super::session::{Session, or_die, peek, peek_driver};
use crate::lab::model::Pid;
use crate::lab::model::xen::TargetEnd;
use crate::lab::programs::{Printed, xl_protocol, xl_receive};
use std::io::{BufRead, Read, Write};

/// What the sender says after the banner, with the number of the migration.
pub(super) const GREETING: &str = "pretend migration ";

/// What the receiver answers.
pub(super) const JOINED: &str = "joined";

/// How often a receiver that hangs looks whether its world is still there, at most; then it ends by itself (ten minutes).
const LONGEST_WAIT: u32 = 60_000;

/// Receives.
pub(super) fn receive(session: &Session, folder: &Folder, host: &str, caller: Pid) -> Printed {
    let boots = session.lab.with(|f| f.host(host).boots);
    let mut input = std::io::stdin().lock();
    let id = session.apart(|| {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(xl_receive::BANNER.as_bytes()).and_then(|()| out.flush());
        let mut line = String::new();
        let _ = input.read_line(&mut line);
        line.trim_end().strip_prefix(GREETING).and_then(|id| id.parse::<usize>().ok())
    });
    let known = id.filter(|id| session.lab.with(|f| f.migrations.get(*id).is_some_and(|m| m.is_running())));
    let Some(id) = known else {
        return Printed { out: String::new(), ..xl_receive::without_a_sender() };
    };
    let pid = RealProcess::this().map_or(caller, |this| session.enlist(host, this, "xl migrate-receive"));
    xl_receive::join(&session.lab, id, host, pid);
    let told = session.apart(|| {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(format!("{JOINED}\n").as_bytes()).and_then(|()| out.flush());
        drop(out);
        let mut memory = vec![0; 256 * 1024];
        while input.read(&mut memory).is_ok_and(|count| count > 0) {}
        wait_for_the_end(folder, id)
    });
    let end = match told.or_else(|| session.lab.with(|f| f.migrations[id].target_end)) {
        Some(end) => end,
        None => xl_protocol::go_on_alone(&session.lab, id),
    };
    match end {
        TargetEnd::Exit(code) => Printed { code, ..Printed::default() },
        TargetEnd::Killed => Printed { code: 137, signal: Some(9), ..Printed::default() },
        TargetEnd::Hangs => {
            session.lab.with(|f| f.log(format!("{host}[{pid}] waits for a sender that is gone")));
            or_die(session.close());
            for _ in 0..LONGEST_WAIT {
                let there = peek(folder.dir()).is_ok_and(|f| f.host(host).powered && f.host(host).boots == boots);
                if !there {
                    break;
                }
                nap(GLANCE);
            }
            std::process::exit(1)
        }
    }
}

/// How it ends, when the sender has said so; `None` when nobody is left to say it.
fn wait_for_the_end(folder: &Folder, id: usize) -> Option<TargetEnd> {
    loop {
        let fleet = peek(folder.dir()).ok()?;
        if let Some(end) = fleet.migrations.get(id)?.target_end {
            return Some(end);
        }
        // Asked with the state before at hand: a driver that has ended in between has left its word.
        let driven = peek_driver(folder.dir(), id).ok()?;
        if driven.is_none() {
            return peek(folder.dir()).ok()?.migrations.get(id)?.target_end;
        }
        nap(GLANCE);
    }
}
