//! What a plugin asked the broker to publish and was refused, as it was too much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::log::LogRate;

pub(in crate::plugin) struct Refusals {
    all: AtomicU64,
    /// One line a second tells of them.
    told: LogRate,
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals { all: AtomicU64::new(0), told: LogRate::new(1) }
    }
}

impl Refusals {
    pub(in crate::plugin) fn count(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, plugin: &str, topic: &str, why: &str) {
        let all = self.all.fetch_add(1, Ordering::Relaxed) + 1;
        if self.told.admits(Instant::now()) {
            tracing::warn!(plugin, topic, why, refused_so_far = all, "a plugin may not publish so much");
        }
    }
}
