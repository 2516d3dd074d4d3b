//! `xl migrate-receive` as a process: it announces itself, joins the migration that the sender names, and waits to be told how it ends.

use super::Folder;
use super::live::{GLANCE, nap};
use super::processes::RealProcess;
use super::session::{Session, or_die, peek, peek_driver};
use crate::adapters::xen::stream::{Mark, Stream};
use crate::lab::Stage;
use crate::lab::model::Pid;
use crate::lab::model::xen::TargetEnd;
use crate::lab::programs::{Printed, xl_protocol, xl_receive, xl_stream};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// What stands where the domU's config would, with the number of the migration.
pub(super) const GREETING: &str = "pretend migration ";

/// How often a receiver that hangs looks whether its world is still there, at most; then it ends by itself (ten minutes).
const LONGEST_WAIT: u32 = 60_000;

/// Receives.
pub(super) fn receive(session: &Session, folder: &Folder, host: &str, caller: Pid) -> Printed {
    let boots = session.lab.with(|f| f.host(host).boots);
    let mut stream = None;
    let id = session.apart(|| {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(xl_receive::BANNER.as_bytes()).and_then(|()| out.flush());
        let (news, config) = listen();
        stream = Some(news);
        config.recv().ok()?.strip_prefix(GREETING)?.parse::<usize>().ok()
    });
    let known = id.filter(|id| session.lab.with(|f| f.migrations.get(*id).is_some_and(|m| m.is_running())));
    let (Some(id), Some(stream)) = (known, stream) else {
        return Printed { out: String::new(), ..xl_receive::without_a_sender() };
    };
    let pid = RealProcess::this().map_or(caller, |this| session.enlist(host, this, "xl migrate-receive"));
    xl_receive::join(&session.lab, id, host, pid);
    let told = session.apart(|| wait_for_the_end(session, folder, id, &stream));
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

/// What comes on standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// The stream is complete.
    Complete,
    /// Nothing more comes.
    End,
}

/// Reads standard input in a thread of its own: first the domU's config, then only what matters.
fn listen() -> (Receiver<News>, Receiver<String>) {
    let ((to, news), (tell, config)) = (channel(), channel());
    thread::spawn(move || {
        let mut head = Some(Vec::new());
        let (mut stream, mut at_the_last_byte) = (Stream::default(), false);
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            let bytes = &buffer[..count];
            if let Some(bytes_so_far) = &mut head {
                bytes_so_far.extend(bytes);
                if let Ok(text) = xl_stream::config(bytes_so_far) {
                    let _ = tell.send(text);
                    head = None;
                }
            }
            let (passed, mark) = if at_the_last_byte { (0, None) } else { stream.feed(bytes) };
            at_the_last_byte |= mark == Some(Mark::Complete);
            if at_the_last_byte && passed < count {
                at_the_last_byte = false;
                let _ = to.send(News::Complete);
            }
        }
        drop(tell);
        let _ = to.send(News::End);
    });
    (news, config)
}

/// How it ends, when the sender has said so; `None` when nobody is left to say it.
///
/// It only glances at the model: a turn is taken for what must be written.
fn wait_for_the_end(session: &Session, folder: &Folder, id: usize, stream: &Receiver<News>) -> Option<TargetEnd> {
    let mut said = false;
    let mut glances_since_the_end = None;
    loop {
        nap(GLANCE);
        let news = stream.try_recv().ok();
        if news == Some(News::Complete) {
            or_die(session.reopen());
            session.lab.with(|f| f.migrations[id].complete = true);
            or_die(session.close());
        }
        // Asked with the state before at hand: a driver that has ended in between has left its word.
        let driven = peek_driver(folder.dir(), id).ok()?.is_some();
        let m = peek(folder.dir()).ok()?.migrations.get(id)?.clone();
        if m.target_end.is_some() || !driven {
            return m.target_end;
        }
        if m.ready && !said {
            said = true;
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(xl_receive::READY).and_then(|()| out.flush());
        }
        // Where something was to come: it gives up, and the sender's half plays what becomes of its copy. Where the sender's half was
        // killed as well, that shows in a moment.
        if news == Some(News::End) && m.stage < Stage::Go {
            glances_since_the_end = Some(0);
        }
        if let Some(glances) = &mut glances_since_the_end {
            *glances += 1;
            if *glances > 50 {
                return Some(TargetEnd::Exit(1));
            }
        }
    }
}
