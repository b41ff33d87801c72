//! A packet of which only the beginning came.
//!
//! Whoever sends a packet byte by byte holds its memory for as long as that takes. So it has a time, which depends on
//! the packet's length, and what all such packets hold together has a limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::guard::Guard;

pub(super) struct Incomplete {
    since: Instant,
    until: Instant,
    /// Bytes that count for the limit.
    held: usize,
    guard: Arc<Guard>,
}

/// What came of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub bytes: usize,
    /// The packet's, once its fixed header is there.
    pub whole: Option<usize>,
    /// Whether the packet has a buffer of its own.
    pub has_buffer: bool,
}

impl Incomplete {
    pub(super) fn new(since: Instant, guard: &Arc<Guard>) -> Incomplete {
        Incomplete { since, until: since, held: 0, guard: guard.clone() }
    }

    /// Says whether it may hold so much.
    pub(super) fn grow(&mut self, beginning: Beginning) -> bool {
        let time = self.guard.options().packet_time(beginning.whole.unwrap_or(beginning.bytes));
        self.until = self.since.checked_add(time).unwrap_or(self.until);
        if !beginning.has_buffer {
            return true;
        }
        let more = beginning.bytes.saturating_sub(self.held);
        self.held += more;
        self.guard.hold_incomplete(more)
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// The client was not read from for so long.
    pub(super) fn put_off(&mut self, time: Duration) {
        self.since = self.since.checked_add(time).unwrap_or(self.since);
        self.until = self.until.checked_add(time).unwrap_or(self.until);
    }

    /// The client was not read from until now.
    pub(super) fn begin_again(&mut self, now: Instant) {
        self.put_off(now.saturating_duration_since(self.since));
    }
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        if self.held > 0 {
            self.guard.release_incomplete(self.held);
        }
    }
}
