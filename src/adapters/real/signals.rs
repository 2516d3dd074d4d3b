//! The one place that waits: SIGINT and SIGTERM become a flag, SIGHUP another, and a byte in a socket that wakes whoever naps.

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Hears signals until it is dropped.
pub(super) struct Signals {
    /// SIGINT or SIGTERM came.
    stop: Arc<AtomicBool>,
    /// SIGHUP came.
    reload: Arc<AtomicBool>,
    /// A byte arrives here for each signal. None: no file descriptors were left, naps are then cut into slices instead.
    bell: Option<UnixStream>,
    registered: Vec<SigId>,
}

/// A nap is cut into slices of this length where there is no bell.
const SLICE: Duration = Duration::from_millis(100);

impl Signals {
    pub(super) fn new() -> Signals {
        let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (bell, rope) = UnixStream::pair().map_or((None, None), |(bell, rope)| (Some(bell), Some(rope)));
        let mut registered = Vec::new();
        for (signal, flag) in [(SIGINT, &stop), (SIGTERM, &stop), (SIGHUP, &reload)] {
            // The flag first: actions run in the order of registration, and who is woken looks at the flag. Registering fails
            // only for signals that cannot be caught.
            registered.extend(flag::register(signal, Arc::clone(flag)));
            if let Some(rope) = rope.as_ref().and_then(|rope| rope.try_clone().ok()) {
                registered.extend(low_level::pipe::register(signal, rope));
            }
        }
        Signals { stop, reload, bell, registered }
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// SIGHUP came since this was last asked.
    pub(super) fn reloading(&self) -> bool {
        self.reload.swap(false, Ordering::SeqCst)
    }

    /// SIGHUP came and nobody has asked yet.
    pub(super) fn is_called(&self) -> bool {
        self.stopping() || self.reload.load(Ordering::SeqCst)
    }

    /// What rings at each signal.
    pub(super) fn bell(&self) -> Option<&UnixStream> {
        self.bell.as_ref()
    }

    /// Waits for so long at most; a signal ends it early, but only the wait during which it comes (look at the flag first).
    pub(super) fn wait(&self, time: Duration) {
        // A timeout of zero would mean "for ever".
        let time = time.max(Duration::from_millis(1));
        let heard = match &self.bell {
            Some(bell) => bell.set_read_timeout(Some(time)).is_ok_and(|()| {
                let mut bytes = [0; 64];
                match (&mut &*bell).read(&mut bytes) {
                    // 0: nobody can ring any more.
                    Ok(count) => count > 0,
                    Err(e) => matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted),
                }
            }),
            None => false,
        };
        if !heard {
            pause(time.min(SLICE));
        }
    }

    /// As if a signal had come, without the signal.
    #[cfg(test)]
    pub(super) fn pretend(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "without the bell this is what a nap is made of")]
fn pause(time: Duration) {
    thread::sleep(time);
}
