//! How long a connection may act on packets before others of its thread get their turn.

use std::time::Duration;

use tokio::time::Instant;

use crate::broker::Batch;

/// How long the packets of one read keep a thread from its other clients, about: the clock is looked at after this many
/// packets, and after one that took many deliveries.
const FAIR: Duration = Duration::from_millis(1);
const FAIR_PACKETS: u32 = 8;

/// How long a connection has acted on packets.
pub(super) struct Pace {
    pub begun: Instant,
    pub packets: u32,
}

impl Pace {
    pub(super) fn begin() -> Pace {
        Pace { begun: Instant::now(), packets: 0 }
    }

    /// Counts a packet, and says whether the clock is to be looked at.
    pub(super) fn counts_a_round(&mut self) -> bool {
        self.packets += 1;
        self.packets.is_multiple_of(FAIR_PACKETS)
    }

    /// Whether it is others' turn.
    pub(super) fn is_over(&self) -> bool {
        let may_have_taken_long = Batch::took_long() || self.packets.is_multiple_of(FAIR_PACKETS);
        may_have_taken_long && self.begun.elapsed() >= FAIR
    }
}
