//! The flight itself: `xl migrate` or `xm migrate`, watched from beginning to end, and stopped while that is still the safer way.

use super::Setting;
use super::bars::{Bar, Board};
use super::several::event::Event;
use crate::adapters::xen::{self, MigrateWords, Milestone};
use crate::adapters::{Ended, Flow, Sign, To, drbd, look, ssh};
use crate::core::drbd::Generation;
use crate::core::facts::End;
use crate::core::migrate::Trip;
use crate::core::names::{DomuName, HostName, ResourceName};
use crate::core::options::Checked;
use crate::core::request;
use crate::core::step::Gate;
use crate::core::xen::Toolstack;
use std::time::Duration;

/// `xl migrate` hangs when the target dies (recorded.md 9), and a large guest takes long: so it is ended for want of progress, not for time.
const STALLED: Duration = Duration::from_secs(120);

/// `xl migrate` or `xm migrate`, watched.
pub fn fly(
    setting: Setting<'_>,
    here: &End,
    trip: &Trip,
    options: &Checked,
    with_key: bool,
    gate: &Gate,
) -> Result<MigrateWords, Failed> {
    let world = setting.world;
    let domu = &here.domu;
    let transport = (with_key && here.toolstack == Toolstack::Xl && !options.own_transport).then(|| {
        // xl appends the host and its own words: `… receive DOMU` `HOST` `xl migrate-receive`.
        let mut words = vec!["ssh".to_string()];
        words.extend(ssh::words(world, &here.host, &trip.to));
        words.extend(request::receive_words_before_the_host(&here.host, domu, gate));
        xen::argv::transport(words.iter().map(String::as_str))
    });
    let order =
        xen::argv::Migration { words: &options.words, transport: transport.as_deref(), verbose: false, domu, host: &trip.to };
    let mut call = xen::argv::migrate(here.toolstack, &order);
    call.quiet_limit = Some(STALLED);
    call.keeps_lock = Some(look::lock_name(domu));
    call.log = Some(format!("/run/xen-migrate/{domu}.log"));

    let mut story = Story::new(setting, here);
    let output = world.watch(&call, &mut |sign| story.heard(sign));
    story.erase();
    let output = match output {
        Ok(output) => output,
        Err(error) => return Err(Failed { why: error.to_string(), by_us: false }),
    };
    let words = xen::read_log(&output.stderr);
    if output.ended == Ended::Exit(0) {
        return Ok(words);
    }
    if words.successful {
        return Ok(words);
    }
    // What xl says when we have ended its transport is how that looks from where it stands, and no reason.
    let by_us = story.stopped.is_some();
    let why = story.stopped.unwrap_or_else(|| {
        let why = xen::why(&output.stderr).unwrap_or_else(|| "it gives no reason".to_string());
        format!("{} migrate ended with {}: {why}", here.toolstack, output.ended)
    });
    Err(Failed { why: format!("{why}\n  its words are in /run/xen-migrate/{domu}.log"), by_us })
}

/// A migration that did not go well, as far as can be told from here.
pub struct Failed {
    /// Why.
    pub why: String,
    /// We ended it ourselves.
    pub by_us: bool,
}

/// Each look at the replication is a process; DRBD itself takes up to ten seconds to notice a silent cut.
const LOOK_EVERY: u32 = 5;

/// What is told while the memory goes over, and when it is stopped.
struct Story<'a> {
    setting: Setting<'a>,
    domu: DomuName,
    memory: u64,
    tenths: u64,
    since: Duration,
    /// From here on it is safer to go on than to go back.
    past_return: bool,
    /// Seconds so far, as the world counts them.
    ticks: u32,
    /// Why it was stopped.
    stopped: Option<String>,
    host: HostName,
    toolstack: Toolstack,
    generation: Option<Generation>,
    resources: Vec<ResourceName>,
    /// Where one can be drawn, there is a bar instead of lines.
    board: Option<Board>,
}

impl<'a> Story<'a> {
    fn new(setting: Setting<'a>, here: &End) -> Self {
        let memory = here.running().map_or(0, |c| c.domain.memory) << 20;
        let since = setting.world.clock();
        Story {
            setting,
            domu: here.domu.clone(),
            memory,
            tenths: 0,
            since,
            past_return: false,
            ticks: 0,
            stopped: None,
            host: here.host.clone(),
            toolstack: here.toolstack,
            generation: here.generation,
            resources: here.resources().cloned().collect(),
            board: (setting.around.drawing && setting.events.is_none()).then(Board::default),
        }
    }

    /// The bar gives way to a line.
    fn erase(&self) {
        let text = self.board.as_ref().map(|board| board.clear(self.setting.world.window())).unwrap_or_default();
        if !text.is_empty() {
            self.setting.world.say(To::Err, &text);
        }
    }

    fn heard(&mut self, sign: Sign<'_>) -> Flow {
        match sign {
            Sign::Line(line) => {
                if matches!(xen::milestone(line), Some(Milestone::Acknowledged | Milestone::GoGiven))
                    && !std::mem::replace(&mut self.past_return, true)
                    && let Some(events) = self.setting.events
                {
                    events(&Event::Handed { domu: self.domu.clone() });
                }
            }
            Sign::Sent(bytes) => self.progress(bytes),
            Sign::Tick => {}
        }
        if self.past_return {
            return Flow::On;
        }
        if self.stopped.is_none() {
            self.stopped = match sign {
                _ if self.setting.world.stopping() => Some("stopped as asked".to_string()),
                Sign::Tick => {
                    self.ticks += 1;
                    if self.ticks.is_multiple_of(LOOK_EVERY) { self.lost_replication() } else { None }
                }
                _ => None,
            };
            if let Some(why) = &self.stopped {
                // xend does the sending, and goes on when `xm migrate` is gone.
                let what = match self.toolstack {
                    Toolstack::Xl => format!("stopping, {} stays here", self.domu),
                    Toolstack::Xm => format!("xend cannot be stopped and may send {} all the same", self.domu),
                };
                self.erase();
                self.setting.world.say(To::Err, &format!("  {what}: {why}"));
            }
        }
        if self.stopped.is_some() { Flow::Stop } else { Flow::On }
    }

    /// What DRBD loses now is written here alone: on the target the domU would go on with older data, or on a `phy:` disk with none
    /// (`xl` says "Migration successful" all the same: recorded-drbd9.md 13 and 14). So the copying ends while going back is possible.
    fn lost_replication(&self) -> Option<String> {
        let seen = drbd::replicas(self.setting.world, self.generation?, self.host.as_str()).ok()?;
        let lost = seen.iter().find(|r| self.resources.contains(&r.resource) && !r.is_connected())?;
        Some(format!("the replication of {} is lost", lost.resource))
    }

    /// A line for each tenth of the memory. Pages that the guest dirties go over again, so there may be more than all of it.
    fn progress(&mut self, bytes: u64) {
        if self.memory == 0 {
            return;
        }
        if let Some(events) = self.setting.events {
            let seconds = self.setting.world.clock().saturating_sub(self.since).as_secs_f64();
            events(&Event::Progress { domu: self.domu.clone(), sent_bytes: bytes, memory_bytes: self.memory, seconds });
        }
        if let Some(board) = &self.board {
            let seconds = self.setting.world.clock().saturating_sub(self.since).as_secs_f64();
            let bar = Bar { name: self.domu.to_string(), sent: bytes, all: self.memory, seconds };
            let world = self.setting.world;
            let words = |english: &str| world.tongue().say(english).into_owned();
            return world.say(To::Err, &board.draw(&[bar], world.window(), &words));
        }
        let tenths = (bytes * 10 / self.memory).min(10);
        if tenths > self.tenths {
            self.tenths = tenths;
            let seconds = self.setting.world.clock().saturating_sub(self.since).as_secs_f64().max(0.001);
            let rate = bytes as f64 / seconds;
            let left = (self.memory.saturating_sub(bytes) as f64 / rate.max(1.0)).ceil();
            let rate = rate / 1_048_576.0;
            let rate = if rate < 9.95 { format!("{rate:.1}") } else { format!("{rate:.0}") };
            let text =
                format!("  {}: {} % of {} MiB, {rate} MiB/s, about {left:.0} s left", self.domu, tenths * 10, self.memory >> 20);
            self.setting.world.say(To::Err, &text);
        }
    }
}
