//! The links between Dom0s: up, or cut without a word.

use super::{Fleet, Millis};
use serde::{Deserialize, Serialize};

/// The link between two Dom0s. Replication and ssh may run over different cables.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Link {
    /// DRBD's packets are lost.
    pub drbd_cut: bool,
    /// ssh's packets are lost.
    pub ssh_cut: bool,
    /// The cut is over at this time.
    pub mend_at: Option<Millis>,
}

/// The key of a pair of hosts, the same in both orders.
fn key(a: &str, b: &str) -> String {
    if a < b { format!("{a} {b}") } else { format!("{b} {a}") }
}

impl Fleet {
    /// Packets of DRBD get from one host to the other.
    pub fn drbd_path(&self, a: &str, b: &str) -> bool {
        self.host(a).powered && self.host(b).powered && !self.links.get(&key(a, b)).is_some_and(|l| l.drbd_cut)
    }

    /// Packets of ssh get from one host to the other.
    pub fn ssh_path(&self, a: &str, b: &str) -> bool {
        self.host(a).powered && self.host(b).powered && (a == b || !self.links.get(&key(a, b)).is_some_and(|l| l.ssh_cut))
    }

    /// Cuts a link silently: both ends find out later.
    pub fn cut(&mut self, a: &str, b: &str, drbd: bool, ssh: bool, mend_at: Option<Millis>) {
        let what = match (drbd, ssh) {
            (true, true) => "link",
            (true, false) => "replication link",
            _ => "ssh link",
        };
        self.log(format!("{what} {a}–{b}: cut"));
        let link = self.links.entry(key(a, b)).or_default();
        link.drbd_cut |= drbd;
        link.ssh_cut |= ssh;
        link.mend_at = mend_at;
        if drbd {
            let clock = self.clock;
            self.begin_silence(a, b, clock);
        }
    }

    /// Mends a link: DRBD tries to connect again.
    pub fn mend(&mut self, a: &str, b: &str) {
        if self.links.remove(&key(a, b)).is_some() {
            self.log(format!("link {a}–{b}: mended"));
        }
        self.settle_links();
    }

    /// The links whose cut is over by now.
    pub(super) fn mend_due(&mut self) {
        let clock = self.clock;
        let due: Vec<String> =
            self.links.iter().filter(|(_, l)| l.mend_at.is_some_and(|t| t <= clock)).map(|(k, _)| k.clone()).collect();
        for pair in due {
            if let Some((a, b)) = pair.split_once(' ') {
                self.mend(a, b);
            }
        }
    }
}
