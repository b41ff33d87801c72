//! A line of the log that strangers can cause: it comes every ten seconds at most.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::Timestamp;

/// Milliseconds.
const BETWEEN: u64 = 10_000;

/// When it came last, in milliseconds as a [`Timestamp`].
#[derive(Debug, Default)]
pub(super) struct Seldom(AtomicU64);

impl Seldom {
    /// Whether it may come now. Then it counts as having come.
    pub fn may_come(&self, now: Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        now.0.saturating_sub(last) >= BETWEEN
            && self.0.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_once_in_ten_seconds() {
        let seldom = Seldom::default();
        let begin = 1_800_000_000_000;
        let came = [0, 1, 9_999, 10_000, 10_001, 60_000].map(|n| seldom.may_come(Timestamp(begin + n)));
        assert_eq!(came, [true, false, false, true, false, true]);
    }
}
