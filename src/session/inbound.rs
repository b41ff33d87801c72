//! Inbound QoS 2: which packet identifiers have been received and not yet released.
//!
//! ```text
//!            PUBLISH (fresh)                PUBREL
//!   (none) ------------------> received ------------> (none)
//!                              |      ^
//!                              +------+ PUBLISH (duplicate): answered again, not routed again
//! ```
//!
//! Identifiers outlive the connection, the client's quota does not (MQTT 5.0, 4.9): it is the connection that counts,
//! and what was left unreleased before uses up nothing of the next one's Receive Maximum.

use hashbrown::HashSet;

use crate::packet::PacketIdentifier;

#[derive(Debug, Default)]
pub struct Inbound {
    /// In a box, as most clients never send with QoS 2.
    received: Option<Box<HashSet<PacketIdentifier>>>,
}

/// What a QoS 2 PUBLISH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Fresh,
    /// Seen before and not released: answer with PUBREC again, route nothing [MQTT-4.3.3-10].
    Duplicate,
    /// The client has used its quota up [MQTT-3.3.4-7].
    QuotaExceeded,
}

impl Inbound {
    /// A QoS 2 PUBLISH came, and `quota` is how many the client may still send. DUP is not asked: only the identifier
    /// says whether it is known.
    pub fn receive(&mut self, packet_identifier: PacketIdentifier, quota: u16) -> Received {
        if self.contains(packet_identifier) {
            return Received::Duplicate;
        }
        if quota == 0 {
            return Received::QuotaExceeded;
        }
        self.received.get_or_insert_default().insert(packet_identifier);
        Received::Fresh
    }

    pub fn contains(&self, packet_identifier: PacketIdentifier) -> bool {
        self.received.as_ref().is_some_and(|received| received.contains(&packet_identifier))
    }

    /// PUBREL came, or the message was refused. Says whether the identifier was known.
    pub fn release(&mut self, packet_identifier: PacketIdentifier) -> bool {
        let Some(received) = &mut self.received else { return false };
        let known = received.remove(&packet_identifier);
        if received.is_empty() && received.capacity() > 16 {
            self.received = None;
        }
        known
    }

    /// A session begins with an identifier that was received before.
    pub fn restore(&mut self, packet_identifier: PacketIdentifier) {
        self.received.get_or_insert_default().insert(packet_identifier);
    }

    /// Those received and not released.
    pub fn iter(&self) -> impl Iterator<Item = PacketIdentifier> {
        self.received.iter().flat_map(|received| received.iter().copied())
    }

    pub fn len(&self) -> usize {
        self.received.as_ref().map_or(0, |received| received.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u16) -> PacketIdentifier {
        PacketIdentifier::new(n).unwrap()
    }

    #[test]
    fn a_qos2_identifier_is_fresh_once_until_it_is_released() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.receive(id(1), 10), Received::Fresh);
        assert_eq!(inbound.receive(id(1), 10), Received::Duplicate);
        assert!(inbound.release(id(1)));
        assert!(!inbound.release(id(1)));
        assert_eq!(inbound.receive(id(1), 10), Received::Fresh);
    }

    #[test]
    fn a_message_beyond_the_quota_is_not_taken_unless_it_is_known() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.receive(id(1), 1), Received::Fresh);
        assert_eq!(inbound.receive(id(2), 0), Received::QuotaExceeded);
        assert_eq!(inbound.receive(id(1), 0), Received::Duplicate);
        assert!(!inbound.release(id(2)) && inbound.release(id(1)));
        assert!(inbound.is_empty());
    }
}
