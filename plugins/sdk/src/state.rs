//! Key-value memory of the plugin, shared by its instances; survives reloads.

use std::time::Duration;

use crate::host;

pub use crate::bindings::host::tidegate::plugin::state::Error;

pub fn get(key: &str) -> Option<Vec<u8>> {
    host::state::get(key)
}

/// Until it is deleted.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    host::state::set(key, value, None)
}

pub fn set_for(key: &str, value: &[u8], time_to_live: Duration) -> Result<(), Error> {
    let milliseconds = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX);
    host::state::set(key, value, Some(milliseconds))
}

/// Says whether it was there.
pub fn delete(key: &str) -> bool {
    host::state::delete(key)
}

/// Sets `new` (none: deletes) only where the value is `old` (none: absent); says whether it did.
pub fn compare_and_set(key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, Error> {
    host::state::compare_and_set(key, old, new)
}

/// Adds to a decimal integer (absent: 0) and returns the sum. A key that was there keeps its time to live.
pub fn atomic_add(key: &str, delta: i64) -> Result<i64, Error> {
    host::state::atomic_add(key, delta)
}

/// Counts events within a window of time that begins with the first of them; returns the count.
pub fn count_within(key: &str, window: Duration) -> Result<i64, Error> {
    let count = atomic_add(key, 1)?;
    if count == 1 {
        set_for(key, b"1", window)?;
    }
    Ok(count)
}

/// Keys that begin with `prefix`, in order, `limit` at most.
pub fn scan(prefix: &str, limit: u32) -> Vec<String> {
    host::state::scan(prefix, limit)
}
