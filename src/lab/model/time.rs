//! What happens by itself while time passes.

use super::domu_file::behind;
use super::{Fleet, Millis};
use crate::lab::invariants::Kind;

/// The model moves in steps of this length at most.
const STEP: Millis = 100;

impl Fleet {
    /// Lets time pass: losses are noticed, links mended, resyncs finished, and every guest that executes writes its beats.
    pub fn pass(&mut self, time: Millis) {
        let until = self.clock + time;
        while self.clock < until {
            // Long waits move in longer steps, so that a daemon's five minutes do not cost three thousand.
            let step = if until - self.clock > 20 * STEP { 5 * STEP } else { STEP };
            let step = step.min(until - self.clock);
            self.clock += step;
            self.mend_due();
            self.notice_losses();
            self.finish_syncs();
            self.settle_links();
            self.demote_unused();
            self.beat(step);
            self.reap();
        }
    }

    /// Every guest that executes writes one beat to each of its DRBD disks.
    fn beat(&mut self, step: Millis) {
        let mut running = Vec::new();
        for host in self.hosts.values_mut() {
            for domain in &mut host.domains {
                if domain.executes() {
                    domain.ran += step / 10;
                    running.push((host.name.clone(), domain.id));
                }
            }
        }
        for (host, id) in running {
            self.beat_of(&host, id);
        }
    }

    fn beat_of(&mut self, host: &str, id: u32) {
        let Some(domain) = self.host_mut(host).domain_by_id(id).cloned() else {
            return;
        };
        let acknowledged = self.acknowledged.get(&domain.guest).copied().unwrap_or(0);
        let disks: Vec<(String, usize)> = domain
            .disks
            .iter()
            .filter(|d| d.open && d.state == 4 && d.writable)
            .filter_map(|d| behind(d, &self.resources))
            .collect();
        if disks.is_empty() {
            return;
        }
        for (resource, volume) in &disks {
            let found = self.read_beat(host, resource, *volume, &domain.guest);
            if found < acknowledged {
                self.find(
                    Kind::StaleData,
                    &format!("{}/{host}/{resource}", domain.guest),
                    &format!(
                        "{} executes on {host}, whose {resource} ends at beat {found}; {acknowledged} was acknowledged",
                        domain.guest
                    ),
                );
            }
        }
        let beat = domain.beat.max(acknowledged) + 1;
        let written = disks
            .iter()
            .fold(true, |all, (resource, volume)| self.write_beat(host, resource, *volume, &domain.guest, beat) && all);
        if written {
            self.acknowledged.insert(domain.guest.clone(), beat);
            if let Some(domain) = self.host_mut(host).domain_by_id(id) {
                domain.beat = beat;
            }
        }
    }
}
