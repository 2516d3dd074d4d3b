//! What is different in a real process: both ends of `xl migrate` are programs, and the transport between them is real.
//!
//! The sender's xl plays both ends on the model, one stage in one turn. The receiver's xl waits at the other end of the transport until
//! it is told how it ends, or until nobody is left to tell it.

use super::processes::{RealProcess, die_of};
use super::receiver;
use super::session::{Session, or_die, peek};
use crate::adapters::{Flow, Halt};
use crate::lab::model::Millis;
use crate::lab::programs::{Printed, Relaying, xl_protocol, xl_receive, xl_stream};
use crate::lab::{Lab, Outside, Stage};
use rustix::process::Signal;
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// One look at whether something has happened to the real processes.
pub(super) const GLANCE: Duration = Duration::from_millis(10);

/// Nothing real is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// One program at work.
pub(super) struct Live {
    pub session: Rc<Session>,
    pub host: String,
    transport: RefCell<Option<Transport>>,
    /// The model's clock when real time was last let pass.
    paced: Cell<Millis>,
}

/// The child through which a migration goes.
struct Transport {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it says; it hangs up when the other end is gone.
    words: Receiver<Vec<u8>>,
    gone: bool,
}

/// Both ends of one migration, which are two processes: the stream's last bytes go over, and what is said there comes back.
struct Ends<'a> {
    live: &'a Live,
    lab: &'a Lab,
    id: usize,
}

impl Relaying for Ends<'_> {
    fn halt(&self, halt: Halt) -> Flow {
        if halt == Halt::Ready {
            self.lab.with(|f| f.migrations[self.id].ready = true);
        }
        let mut transport = self.live.transport.borrow_mut();
        let Some(transport) = transport.as_mut() else { return Flow::Stop };
        let session = &self.live.session;
        let goes_on = session.apart(|| match halt {
            Halt::Unknown => true,
            Halt::Complete => {
                transport.tell(&xl_stream::tail());
                transport.wait_for(|| peek(session.dir()).is_ok_and(|f| f.migrations[self.id].complete))
            }
            Halt::Ready => transport.word().is_some(),
        });
        if goes_on { Flow::On } else { Flow::Stop }
    }
}

impl Live {
    pub fn new(session: Rc<Session>, host: &str) -> Live {
        let paced = Cell::new(session.lab.clock());
        Live { session, host: host.to_string(), transport: RefCell::default(), paced }
    }

    /// Lets real time pass as the pace has it, while the memory's bytes go through the transport. Ends early when that is gone.
    fn pass_real_time(&self, bytes: u64) {
        let pace = self.session.pace();
        let clock = self.session.lab.clock();
        let time = Duration::from_secs_f64((clock - self.paced.replace(clock)) as f64 / 1000.0 * pace.max(0.0));
        let pieces = (time.as_millis() / 20).clamp(1, 1000) as u32;
        for _ in 0..pieces {
            if let Some(transport) = self.transport.borrow_mut().as_mut() {
                transport.send(bytes / u64::from(pieces));
                if transport.has_gone() {
                    return;
                }
            }
            nap(time / pieces);
        }
    }

    /// Waits until somebody who was asked to stop has done something about it: ended the transport, or himself.
    fn let_them_stop(&self, asked: &[RealProcess]) {
        let mut left = PATIENCE;
        while !left.is_zero() && asked.iter().any(|real| real.lives()) {
            if self.transport.borrow_mut().as_mut().is_some_and(Transport::has_gone) {
                return;
            }
            nap(GLANCE);
            left = left.saturating_sub(GLANCE);
        }
    }

    /// What happened to the transport happens in the model.
    fn notice(&self, lab: &Lab, id: usize) {
        let mut transport = self.transport.borrow_mut();
        let Some(transport) = transport.as_mut().filter(|t| t.gone) else { return };
        let m = lab.with(|f| f.migrations[id].clone());
        let path = m.to.as_deref().is_none_or(|to| lab.with(|f| f.ssh_path(&m.from, to)));
        if m.transport_ended || m.target_gone || m.sender_gone || !path {
            return;
        }
        let by_itself = transport.ended().is_some_and(|status| status.code().is_some_and(|code| code != 255));
        lab.with(|f| {
            f.log(format!(
                "the transport of {} is gone, {}",
                m.guest,
                if by_itself { "its receiver first" } else { "by a signal" }
            ));
            let m = &mut f.migrations[id];
            if by_itself { m.target_gone = true } else { m.transport_ended = true }
        });
    }
}

impl Outside for Live {
    fn between(&self, lab: &Lab, guest: &str, stage: Stage) {
        let found = lab.with(|f| f.migrations.iter().rposition(|m| m.guest == guest && m.from == self.host && m.is_running()));
        let Some(id) = found else { return };
        if let Some(this) = RealProcess::this() {
            self.session.drive(id, this);
        }
        let m = lab.with(|f| f.migrations[id].clone());
        if m.transport_ended
            && let Some(transport) = self.transport.borrow_mut().as_mut()
        {
            transport.end();
        }
        let asked = if stage < Stage::Ready { self.session.asked_to_stop(&self.host) } else { Vec::new() };
        if m.sender_gone {
            // Nobody is left to whom time would pass.
            self.paced.set(lab.clock());
        }
        let bytes = match stage {
            _ if m.sender_gone => 0,
            Stage::Memory(_) if self.session.pace() > 0.0 => {
                lab.with(|f| f.host_mut(&m.from).domain_by_id(m.domid).map_or(0, |d| d.memory)) * 1024 * 1024 / 4
            }
            Stage::Memory(_) => 64 * 1024,
            _ => 0,
        };
        self.session.apart(|| {
            self.pass_real_time(bytes);
            self.let_them_stop(&asked);
            // The very last news.
            if let Some(transport) = self.transport.borrow_mut().as_mut() {
                transport.has_gone();
            }
        });
        self.notice(lab, id);
    }

    fn gone(&self, _: &Lab) -> ! {
        or_die(self.session.close());
        die_of(9)
    }

    #[expect(clippy::disallowed_methods, reason = "xl starts its transport so")]
    fn transport(&self, lab: &Lab, id: usize, command: &str) -> Printed {
        let mut sh = Command::new("/bin/sh");
        sh.arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = match sh.spawn() {
            Ok(child) => child,
            Err(why) => return Printed::fail(255, format!("sh: {why}\n")),
        };
        let (to, words) = channel();
        if let Some(mut stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                // It ends with the stream, or with the one who listens.
                while let Ok(count @ 1..) = stdout.read(&mut buffer)
                    && to.send(buffer[..count].to_vec()).is_ok()
                {}
            });
        }
        let stdin = child.stdin.take();
        let mut transport = Transport { child, stdin, words, gone: false };
        let mut said = String::new();
        let joined = self.session.apart(|| {
            while !said.ends_with('\n')
                && let Some(word) = transport.word()
            {
                said += &String::from_utf8_lossy(&word);
            }
            if said != xl_receive::BANNER {
                return false;
            }
            transport.tell(&xl_stream::head(&format!("{}{id}", receiver::GREETING)));
            transport.wait_for(|| peek(self.session.dir()).is_ok_and(|f| f.migrations[id].receiver.is_some()))
        });
        if joined {
            *self.transport.borrow_mut() = Some(transport);
            self.paced.set(lab.clock());
            let ends = Ends { live: self, lab, id };
            xl_protocol::play(lab, id, None, Some(&ends));
            transport = match self.transport.borrow_mut().take() {
                Some(transport) => transport,
                None => return Printed::fail(255, ""),
            };
            said.clear();
        }
        transport.stdin = None;
        let status = self.session.apart(|| transport.wait());
        let code = status.and_then(|s| s.code()).unwrap_or(255);
        Printed { code, out: said, ..Printed::default() }
    }

    fn line(&self, line: &str) {
        let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

impl Transport {
    /// What it says next; `None`: nothing more.
    fn word(&mut self) -> Option<Vec<u8>> {
        let word = self.words.recv_timeout(PATIENCE).ok();
        self.gone |= word.is_none();
        word
    }

    fn tell(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            // That nobody reads it any more shows elsewhere.
            let _ = stdin.write_all(bytes);
        }
    }

    /// Waits until something is so at the other end. False: the other end is gone, or it never came.
    fn wait_for(&mut self, is_so: impl Fn() -> bool) -> bool {
        let mut left = PATIENCE;
        while !is_so() {
            if left.is_zero() || self.has_gone() {
                return false;
            }
            nap(GLANCE);
            left = left.saturating_sub(GLANCE);
        }
        true
    }

    /// So many bytes of a guest's memory.
    fn send(&mut self, bytes: u64) {
        static PAGE: [u8; 65536] = [0; 65536];
        for _ in 0..bytes / PAGE.len() as u64 {
            if let Some(stdin) = &mut self.stdin
                && stdin.write_all(&xl_stream::memory(PAGE.len() as u32)).and_then(|()| stdin.write_all(&PAGE)).is_err()
            {
                return;
            }
        }
    }

    /// Nothing more will come from there.
    fn has_gone(&mut self) -> bool {
        self.gone |= matches!(self.words.try_recv(), Err(TryRecvError::Disconnected));
        self.gone
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let mut left = PATIENCE;
        while !left.is_zero() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status).filter(|s| s.signal().is_none());
            }
            nap(GLANCE);
            left = left.saturating_sub(GLANCE);
        }
        None
    }

    fn end(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), Signal::TERM);
        }
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.ended();
        let _ = self.child.kill();
        let _ = self.child.wait();
        status
    }
}

#[expect(clippy::disallowed_methods, reason = "here real processes wait for each other")]
pub(super) fn nap(time: Duration) {
    thread::sleep(time);
}
