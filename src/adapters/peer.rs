//! Asking the peer: requests through the dedicated key, answers as lines of JSON behind the protocol's name.
//!
//! What a person is to read comes on the peer's standard error; standard output belongs to the answers. Anything else on it
//! (a chatty `.bashrc`) would end up in the memory stream of a migration, so it is a fault that is told.

use super::ssh::{self, Trouble};
use super::{Call, CallError, Ended, Flow, Output, Sign, To, World};
use crate::core::facts::{End, PROTOCOL};
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::request::{LONGEST, NOT_UNDERSTOOD, Request, Wish};
use crate::core::step::Deed;
use crate::core::survey::{Scope, Survey};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// To `ping`.
    Pong {
        /// The full name there.
        fqdn: String,
        /// `uname -n` there.
        host: HostName,
        /// The program's version there.
        version: String,
        /// Who it takes us for.
        you: HostName,
    },
    /// To `look`.
    Look(Box<End>),
    /// To `looks`: one for each domU, in the order of the request.
    Looks(Vec<End>),
    /// To `survey`.
    Survey(Box<Survey>),
    /// To `do`: what was done, and the failure that ended it.
    Done {
        /// The words of the deeds that were done.
        done: Vec<String>,
        /// Why the next one was not.
        failed: Option<String>,
    },
    /// To `send` and `settle`: the exit code that the same command would have had there.
    Ended(i32),
    /// The request is refused; nothing was touched.
    Refused(String),
}

impl Answer {
    /// The line as it is printed.
    pub fn line(&self) -> String {
        format!("xen-migrate/{PROTOCOL} {}", serde_json::to_string(self).unwrap_or_default())
    }
}

/// Why the peer gave no usable answer.
#[derive(Debug, Clone, Error)]
pub enum PeerError {
    /// It could not be reached, or did not let us in.
    #[error("{host} could not be asked: {said}\n  try: {advice}")]
    Unreachable {
        /// The peer.
        host: HostName,
        /// What kind of trouble.
        trouble: Trouble,
        /// ssh's own words.
        said: String,
        /// What to type next.
        advice: String,
    },
    /// It refused; nothing was touched there.
    #[error("{host} refused: {why}")]
    Refused {
        /// The peer.
        host: HostName,
        /// Its reason.
        why: String,
    },
    /// It did not do the first deed, which may have moved something all the same.
    #[error("{host}: {why}")]
    NotDone {
        /// The peer.
        host: HostName,
        /// Why.
        why: String,
    },
    /// It did not do a deed, after it had done others.
    #[error("{host}: {why}\n  done there before: {}", .done.join(", "))]
    Failed {
        /// The peer.
        host: HostName,
        /// Why.
        why: String,
        /// The words of the deeds that were done.
        done: Vec<String>,
    },
    /// It answered something that is not an answer.
    #[error("{host} answered what xen-migrate does not understand: {said}")]
    Garbled {
        /// The peer.
        host: HostName,
        /// What it said, shortened.
        said: String,
    },
    /// The line was lost, or the program there was killed, after the request had gone out.
    #[error("{host} stopped answering: {said}")]
    Lost {
        /// The peer.
        host: HostName,
        /// What is known.
        said: String,
    },
}

impl PeerError {
    /// What is wrong, without what to type.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        text.split_once("\n  try: ").map_or(text.clone(), |(reason, _)| reason.to_string())
    }

    /// What to type, where that is known.
    pub fn advice(&self) -> Option<String> {
        self.to_string().split_once("\n  try: ").map(|(_, advice)| advice.to_string())
    }

    /// Nothing at all was heard of it. Any other error is said by a machine that is up, or nobody has asked it: no proof that it is dead.
    pub fn is_silence(&self) -> bool {
        matches!(self, PeerError::Unreachable { trouble, .. } if trouble.is_silence())
    }

    /// It was silent although it was called: not for want of its address, nor of a network here.
    pub fn was_called(&self) -> bool {
        matches!(self, PeerError::Unreachable { trouble: Trouble::Unreachable, said, .. } if !said.contains(": Network is "))
    }

    /// Nothing was touched there, for certain.
    pub fn untouched(&self) -> bool {
        matches!(self, PeerError::Unreachable { .. } | PeerError::Refused { .. })
    }
}

/// A domU, and its resources as we know them.
pub type Meant = (DomuName, Vec<ResourceName>);

/// A peer, and who we are to it.
pub struct Peer<'a> {
    world: &'a dyn World,
    us: HostName,
    /// Its name, as the table has it.
    pub host: HostName,
}

impl<'a> Peer<'a> {
    /// The peer of that name.
    pub fn new(world: &'a dyn World, us: &HostName, host: &HostName) -> Peer<'a> {
        Peer { world, us: us.clone(), host: host.clone() }
    }

    /// Asks for a sign of life.
    pub fn ping(&self) -> Result<Answer, PeerError> {
        let answer = self.ask(Wish::Ping, Duration::from_secs(30))?;
        self.only(answer, |a| matches!(a, Answer::Pong { .. }))
    }

    /// What is there of the domU and of these resources.
    pub fn look(&self, domu: &DomuName, resources: &[ResourceName]) -> Result<End, PeerError> {
        let wish = Wish::Look { domu: domu.clone(), resources: resources.to_vec() };
        match self.ask(wish, Duration::from_secs(90))? {
            Answer::Look(end) if &end.domu == domu => Ok(*end),
            other => Err(self.garbled(&other.line())),
        }
    }

    /// The calls that ask what is there of several domUs, each with its resources: one, or a few where the names are too many for one
    /// request. Each stands with what it asks for; [`Peer::looked`] reads what it said. Between the two, other peers can be asked as well.
    pub fn looks_calls<'d>(&self, domus: &'d [Meant]) -> Vec<(Call, &'d [Meant])> {
        let mut calls = Vec::new();
        let mut rest = domus;
        while !rest.is_empty() {
            let wish = |count: usize| self.request(Wish::Looks { domus: rest[..count].to_vec() });
            let fits = |count: &usize| wish(*count).len() <= LONGEST;
            let count = (1..=rest.len()).rev().find(fits).unwrap_or(1);
            let (now, later) = rest.split_at(count);
            let call = ssh::call(self.world, &self.us, &self.host, &wish(count)).within(Duration::from_secs(90));
            calls.push((call, now));
            rest = later;
        }
        calls
    }

    /// What is there of them, in their order. One that does not know this request is asked for each by itself.
    pub fn looked(&self, domus: &[Meant], answer: Result<Output, CallError>) -> Result<Vec<End>, PeerError> {
        let output = answer.map_err(|e| self.not_run(e))?;
        match self.read(&output) {
            Ok(Answer::Looks(seen)) if seen.iter().map(|e| &e.domu).eq(domus.iter().map(|(domu, _)| domu)) => Ok(seen),
            Ok(other) => Err(self.garbled(&other.line())),
            Err(PeerError::Refused { why, .. }) if why.starts_with(NOT_UNDERSTOOD) => {
                domus.iter().map(|(domu, resources)| self.look(domu, resources)).collect()
            }
            Err(error) => Err(error),
        }
    }

    /// The call that asks for a [`Survey`]; [`Peer::surveyed`] reads what it said. Between the two, other peers can be asked as well.
    pub fn survey_call(&self, scope: &Scope) -> Call {
        // Half a minute is what a Dom0 with a thousand domUs does not need; a health look asks its tools for each domU.
        let limit = if scope.health { 120 } else { 30 };
        ssh::call(self.world, &self.us, &self.host, &self.request(Wish::Survey(scope.clone()))).within(Duration::from_secs(limit))
    }

    /// What is there.
    pub fn surveyed(&self, answer: Result<Output, CallError>) -> Result<Survey, PeerError> {
        let output = answer.map_err(|e| self.not_run(e))?;
        match self.read(&output)? {
            Answer::Survey(survey) => Ok(*survey),
            other => Err(self.garbled(&other.line())),
        }
    }

    /// Has these deeds done there, in this order, up to the first that fails.
    pub fn act(&self, domu: &DomuName, deeds: &[Deed]) -> Result<(), PeerError> {
        let wish = Wish::Do { domu: domu.clone(), deeds: deeds.to_vec() };
        match self.ask(wish, Duration::from_secs(600))? {
            Answer::Done { failed: None, .. } => Ok(()),
            Answer::Done { failed: Some(why), done } if done.is_empty() => {
                Err(PeerError::NotDone { host: self.host.clone(), why: printable(&why) })
            }
            Answer::Done { failed: Some(why), done } => {
                let done = done.iter().map(|word| Deed::from_word(word).map_or_else(|| printable(word), |deed| deed.to_string()));
                Err(PeerError::Failed { host: self.host.clone(), why: printable(&why), done: done.collect() })
            }
            other => Err(self.garbled(&other.line())),
        }
    }

    /// Has the domU sent to us; what the peer says meanwhile is passed on. Returns its exit code.
    pub fn send(&self, domu: &DomuName, options: &[String]) -> Result<i32, PeerError> {
        self.follow(domu, Wish::Send { domu: domu.clone(), options: options.to_vec() })
    }

    /// Has an interrupted migration that was begun there settled there. Returns its exit code.
    pub fn settle(&self, domu: &DomuName) -> Result<i32, PeerError> {
        self.follow(domu, Wish::Settle { domu: domu.clone() })
    }

    fn request(&self, wish: Wish) -> String {
        Request { from: Some(self.us.clone()), wish }.to_string()
    }

    fn ask(&self, wish: Wish, limit: Duration) -> Result<Answer, PeerError> {
        let call = ssh::call(self.world, &self.us, &self.host, &self.request(wish)).within(limit);
        let output = self.world.run(&call).map_err(|e| self.not_run(e))?;
        self.read(&output)
    }

    fn follow(&self, domu: &DomuName, wish: Wish) -> Result<i32, PeerError> {
        let mut call = ssh::call(self.world, &self.us, &self.host, &self.request(wish));
        call.limit = None;
        let mut refusing = false;
        let mut told = |sign: Sign<'_>| {
            // The answer itself is for us, and so is a refusal, which is said again in it.
            if let Sign::Line(line) = sign {
                refusing = protocol(line).is_none() && (refusing || line.starts_with("xen-migrate migrate2: refused: "));
            }
            if let Sign::Line(line) = sign
                && protocol(line).is_none()
                && !refusing
            {
                // A line of the story names its place, or the domU, in front.
                let named = line.strip_prefix("  ").and_then(|rest| rest.split_once(": ")).is_some_and(|(word, _)| {
                    let place = word.parse::<HostName>().is_ok_and(|h| h.same_host(&self.host) || h.same_host(&self.us));
                    place || word == domu.as_str()
                });
                let line = printable(line);
                self.world.say(To::Err, &if named { line } else { format!("  {}: {line}", self.host) });
            }
            // Whatever a person wants to stop is stopped there, where it is done; cutting the line would only blind us.
            Flow::On
        };
        let output = self.world.watch(&call, &mut told).map_err(|e| self.not_run(e))?;
        match self.read(&output)? {
            Answer::Ended(code) => Ok(code),
            other => Err(self.garbled(&other.line())),
        }
    }

    fn only(&self, answer: Answer, wanted: impl Fn(&Answer) -> bool) -> Result<Answer, PeerError> {
        if wanted(&answer) { Ok(answer) } else { Err(self.garbled(&answer.line())) }
    }

    fn read(&self, output: &Output) -> Result<Answer, PeerError> {
        let prefix = format!("xen-migrate/{PROTOCOL} ");
        let mut answers = output.stdout.lines().filter_map(|line| line.strip_prefix(&prefix));
        let other: Vec<&str> =
            output.stdout.lines().filter(|line| !line.starts_with(&prefix) && !line.trim().is_empty()).collect();
        let answer = match (answers.next(), answers.next()) {
            (Some(text), None) => serde_json::from_str::<Answer>(text).ok(),
            _ => None,
        };
        match answer {
            Some(Answer::Refused(why)) => Err(PeerError::Refused { host: self.host.clone(), why: printable(&why) }),
            Some(_) if !other.is_empty() => Err(self.garbled(&format!(
                "its login shell prints {:?} on standard output, which would break the memory stream of a migration; \
                 mend /root/.bashrc there (nothing may be printed without a terminal)",
                shortened(other[0])
            ))),
            Some(answer) => Ok(answer),
            // 255 is ssh's own, or a program that was killed over there (facts 7.2).
            None if matches!(output.ended, Ended::Exit(255) | Ended::Signal(_)) => {
                let Some(trouble) = Trouble::of(&output.stderr).filter(|_| output.stdout.is_empty()) else {
                    return Err(PeerError::Lost { host: self.host.clone(), said: last_words(output) });
                };
                let trouble = match trouble {
                    Trouble::NotAuthorised if ssh::has_passphrase(self.world, &self.us) => Trouble::Passphrase,
                    trouble => trouble,
                };
                let advice = trouble.advice(self.world, &self.us, &self.host);
                Err(PeerError::Unreachable { host: self.host.clone(), trouble, said: tail(&output.stderr), advice })
            }
            None => {
                let said = [output.stdout.trim(), output.stderr.trim()].join(" ");
                if let Some(other) = other.iter().find_map(|line| protocol(line)) {
                    return Err(self.garbled(&format!(
                        "it speaks {other}, this xen-migrate speaks xen-migrate/{PROTOCOL}: install the same version on both Dom0s"
                    )));
                }
                Err(self.garbled(&format!(
                    "{} ({}); does the line of our key in /root/.ssh/authorized_keys on {} have the forced command \
                     `xen-migrate migrate2`, and is xen-migrate where it says?\n  try: xen-migrate setup {}   (shows that line)",
                    shortened(&said),
                    output.ended,
                    self.host,
                    self.host
                )))
            }
        }
    }

    fn not_run(&self, error: CallError) -> PeerError {
        match error {
            // It ran: what it had asked for may have been done.
            CallError::TimedOut { .. } | CallError::TooMuch { .. } | CallError::Lost { .. } => {
                PeerError::Lost { host: self.host.clone(), said: error.to_string() }
            }
            CallError::NotFound(_) | CallError::NotStarted { .. } => PeerError::Unreachable {
                host: self.host.clone(),
                trouble: Trouble::NoClient,
                said: error.to_string(),
                advice: Trouble::NoClient.advice(self.world, &self.us, &self.host),
            },
        }
    }

    fn garbled(&self, said: &str) -> PeerError {
        PeerError::Garbled { host: self.host.clone(), said: printable(said) }
    }
}

/// The protocol of a line that is an answer, ours or another version's: `xen-migrate/2`.
fn protocol(line: &str) -> Option<&str> {
    let word = line.split(' ').next()?;
    word.strip_prefix("xen-migrate/")?.parse::<u32>().ok().map(|_| word)
}

/// What a peer says goes to a terminal: without control characters.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

fn shortened(text: &str) -> String {
    let mut short: String = text.trim().chars().take(160).collect();
    if short.len() < text.trim().len() {
        short.push('…');
    }
    short
}

/// What ssh says of a line that was lost; mostly nothing. What the peer said before is no reason.
fn last_words(output: &Output) -> String {
    let lost = ["closed by", "Broken pipe", "not responding", "reset by peer", "Connection reset"];
    match output.stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(last) if lost.iter().any(|words| last.contains(words)) => printable(last.trim_end()),
        _ => format!("the line was lost, or the program there was killed (ssh: {})", output.ended),
    }
}

/// The last lines of a complaint, on one line; without frames (`@@@`) and without the indented ones, which are commands for copying.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with(['@', ' '])).collect();
    printable(&lines[lines.len().saturating_sub(3)..].join("; "))
}
