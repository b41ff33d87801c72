//! A token bucket in the plugin's state.
//!
//! Kept is one number: when the bucket will be full again. A bucket that is full needs no entry, so each has a
//! time to live until then: the state holds those who sent of late, and no others.

use std::time::Duration;

use tidegate_plugin::state;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Nanoseconds in which one token flows in.
    pub(crate) interval_ns: u64,
    /// Tokens that it holds.
    pub(crate) capacity: u64,
}

impl Bucket {
    /// When it is full again if `amount` is taken now; none where it does not hold so much. All times in
    /// nanoseconds.
    pub(crate) fn take(&self, full_at: u64, amount: u64, now: u64) -> Option<u64> {
        let refill = self.interval_ns.saturating_mul(self.capacity);
        // A clock that began again must not keep a bucket empty for long.
        let full_at = full_at.clamp(now, now.saturating_add(refill));
        let full_at = full_at.saturating_add(self.interval_ns.saturating_mul(amount));
        (full_at - now <= refill).then_some(full_at)
    }
}

/// Long ago where there is no entry, or none that this plugin wrote.
pub(crate) fn read(key: &str) -> u64 {
    let value = state::get(key).and_then(|value| value.try_into().ok());
    value.map_or(0, u64::from_le_bytes)
}

/// The time to live has whole milliseconds; one more, so that an entry never goes too early.
pub(crate) fn write(key: &str, full_at: u64, now: u64) -> Result<(), state::Error> {
    let time_to_live = Duration::from_nanos(full_at - now) + Duration::from_millis(1);
    state::set_for(key, &full_at.to_le_bytes(), time_to_live)
}
