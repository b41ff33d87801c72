//! What of a client outlives its Network Connection, without IO and clock.
//!
//! [`Outbound`]: messages that wait or are in flight to the server. [`Inbound`]: what was received and is not yet
//! answered. [`Requests`]: subscriptions, and what was asked about them. The broker's own session (`crate::session`) is
//! another thing: its window is short and searched, as it has one for each of many clients, and its messages are shared
//! by receivers, while here each carries the one who waits for its acknowledgement.

mod inbound;
mod outbound;
mod requests;

pub(super) use inbound::{Answer, Inbound, Received};
pub(super) use outbound::{Outbound, Outgoing, Pubrec, Put, QueueLimits, Sent};
pub(super) use requests::{Request, Requests};

use std::num::NonZeroU16;

use crate::packet::PacketIdentifier;

/// Packet identifiers in their order; 1 follows 65,535.
#[derive(Debug)]
pub(super) struct Identifiers {
    next: PacketIdentifier,
}

impl Identifiers {
    pub(super) fn new() -> Identifiers {
        Identifiers { next: PacketIdentifier::FIRST }
    }

    /// Goes on behind this one.
    pub(super) fn behind(last: PacketIdentifier) -> Identifiers {
        Identifiers { next: last.next() }
    }

    /// The next that is not `used`, as long as it does not come round to `oldest`: what is in flight stays in the order of
    /// its identifiers, so that it can be found by them.
    pub(super) fn take(
        &mut self,
        oldest: Option<PacketIdentifier>,
        used: impl Fn(PacketIdentifier) -> bool,
    ) -> Option<PacketIdentifier> {
        let mut candidate = self.next;
        for _ in 0..=NonZeroU16::MAX.get() {
            if Some(candidate) == oldest {
                return None;
            }
            if !used(candidate) {
                self.next = candidate.next();
                return Some(candidate);
            }
            candidate = candidate.next();
        }
        None
    }
}

#[cfg(test)]
mod tests;
