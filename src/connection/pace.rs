//! How long a connection may act on packets before others of its thread get their turn.

use std::time::Duration;

use tokio::time::Instant;

use crate::broker::Batch;

/// How long the packets of one read keep a thread from its other clients, about: the clock is looked at after this many
/// packets, and after one that took many deliveries. Those that are acted on together are some more.
const FAIR: Duration = Duration::from_millis(1);
const FAIR_PACKETS: u32 = 8;

/// How long a connection has acted on packets.
pub(super) struct Pace {
    pub begun: Instant,
    pub packets: u32,
    /// After how many packets the clock is to be looked at.
    next_look: u32,
}

impl Pace {
    pub(super) fn begin() -> Pace {
        Pace { begun: Instant::now(), packets: 0, next_look: FAIR_PACKETS }
    }

    /// Counts packets, and says whether the clock is to be looked at.
    pub(super) fn counts(&mut self, packets: u32) -> bool {
        self.packets += packets;
        self.packets >= self.next_look
    }

    /// Whether it is others' turn.
    pub(super) fn is_over(&mut self) -> bool {
        let is_time = self.packets >= self.next_look;
        if is_time {
            self.next_look = self.packets + FAIR_PACKETS;
        }
        (Batch::took_long() || is_time) && self.begun.elapsed() >= FAIR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_after_eight_packets_also_where_some_come_together() {
        let mut pace = Pace::begin();
        assert!(!pace.counts(7));
        assert!(pace.counts(16));
        pace.is_over();
        assert!(!pace.counts(7), "it was looked at after 23");
        assert!(pace.counts(1));
    }
}
