//! Waiting for a line, a moment or a signal, in one poll(2): nothing is done in between.

use super::run;
use super::{Real, World};
use crate::adapters::{Call, CallError, Flow, Woken};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

/// A line without an end is no line of a program that we know.
const LONGEST_LINE: usize = 64 * 1024;

/// See [`World::listen`].
pub(super) fn listen(
    real: &Real,
    call: Option<&Call>,
    until: Duration,
    heard: &mut dyn FnMut(&str) -> Flow,
) -> Result<Woken, CallError> {
    let mut child = None;
    let mut stdout = None;
    if let Some(call) = call {
        let mut command = run::command(real, call)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut started = run::spawn(real, call, &mut command)?;
        stdout = started.stdout.take();
        child = Some(started);
    }
    let woken = wait(real, stdout, until, heard);
    if let Some(child) = &mut child {
        // It only tells of changes; one that cannot be ended is left behind.
        run::end(real, child);
    }
    Ok(woken)
}

fn wait(real: &Real, mut stdout: Option<ChildStdout>, until: Duration, heard: &mut dyn FnMut(&str) -> Flow) -> Woken {
    let mut text = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if real.signals.is_called() {
            return Woken::Asked;
        }
        let left = until.saturating_sub(real.clock());
        if left.is_zero() {
            return Woken::Time;
        }
        let speaks = match ready(real, stdout.as_ref(), left) {
            Ok(speaks) => speaks,
            // Out of memory, perhaps: the time still comes.
            Err(_) => {
                real.signals.wait(left.min(Duration::from_secs(1)));
                false
            }
        };
        if !speaks {
            continue;
        }
        match stdout.as_mut().map(|out| out.read(&mut buffer)) {
            Some(Ok(count @ 1..)) => text.extend_from_slice(&buffer[..count]),
            Some(Err(e)) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            _ => return Woken::Ended,
        }
        // The whole lines at once: a thousand resources are told in five thousand lines.
        let mut from = 0;
        while let Some(length) = text[from..].iter().position(|b| *b == b'\n') {
            let line = &text[from..from + length];
            from += length + 1;
            if heard(String::from_utf8_lossy(line).trim_end()) == Flow::Stop {
                return Woken::Heard;
            }
        }
        text.drain(..from);
        if text.len() > LONGEST_LINE {
            return Woken::Ended;
        }
    }
}

/// Waits until the program says something (true), a signal rings or the time is over (false).
fn ready(real: &Real, stdout: Option<&ChildStdout>, left: Duration) -> Result<bool, Errno> {
    let places = [stdout.map(AsFd::as_fd), real.signals.bell().map(AsFd::as_fd)];
    let (speaks, signal) = match run::ready(&places, left) {
        Ok(ready) => (ready[0], ready[1]),
        Err(Errno::INTR) => (false, false),
        Err(why) => return Err(why),
    };
    if signal {
        // Silences the bell.
        real.signals.wait(Duration::from_millis(1));
    }
    Ok(speaks)
}
