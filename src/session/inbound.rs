//! Inbound QoS 2: which packet identifiers have been received and not yet released.
//!
//! ```text
//!            PUBLISH (fresh)                PUBREL
//!   (none) ------------------> received ------------> (none)
//!                              |      ^
//!                              +------+ PUBLISH (duplicate): answered again, not routed again
//! ```
//!
//! Identifiers outlive the connection, the client's quota does not: what was left unreleased before uses up
//! nothing of the next connection's Receive Maximum (MQTT 5.0, 4.9).

use hashbrown::HashSet;

use crate::packet::PacketIdentifier;

#[derive(Debug, Default)]
pub struct Inbound {
    received: HashSet<PacketIdentifier>,
    /// Of the client's quota on its present connection.
    used: u16,
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
    /// A QoS 2 PUBLISH came. DUP is not asked: only the identifier says whether it is known.
    pub fn receive(&mut self, packet_identifier: PacketIdentifier, receive_maximum: u16) -> Received {
        if self.received.contains(&packet_identifier) {
            return Received::Duplicate;
        }
        if self.used >= receive_maximum {
            return Received::QuotaExceeded;
        }
        self.used += 1;
        self.received.insert(packet_identifier);
        Received::Fresh
    }

    pub fn contains(&self, packet_identifier: PacketIdentifier) -> bool {
        self.received.contains(&packet_identifier)
    }

    /// PUBREL came, or the message was refused. Says whether the identifier was known.
    pub fn release(&mut self, packet_identifier: PacketIdentifier) -> bool {
        let known = self.received.remove(&packet_identifier);
        // Whichever connection the message came on: the client counts the same way.
        self.used = self.used.saturating_sub(u16::from(known));
        if self.received.is_empty() && self.received.capacity() > 16 {
            self.received = HashSet::new();
        }
        known
    }

    /// A connection took the session up: its quota is whole.
    pub fn resume(&mut self) {
        self.used = 0;
    }

    pub fn len(&self) -> usize {
        self.received.len()
    }

    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
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
    fn more_identifiers_than_the_receive_maximum_exceed_the_quota() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.receive(id(1), 2), Received::Fresh);
        assert_eq!(inbound.receive(id(2), 2), Received::Fresh);
        assert_eq!(inbound.receive(id(3), 2), Received::QuotaExceeded);
        assert_eq!(inbound.receive(id(2), 2), Received::Duplicate);
        inbound.release(id(1));
        assert_eq!(inbound.receive(id(3), 2), Received::Fresh);
    }

    #[test]
    fn a_new_connection_has_its_whole_quota_and_the_old_identifiers() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.receive(id(1), 1), Received::Fresh);
        inbound.resume();
        assert_eq!(inbound.receive(id(1), 1), Received::Duplicate);
        assert_eq!(inbound.receive(id(2), 1), Received::Fresh);
        assert_eq!(inbound.receive(id(3), 1), Received::QuotaExceeded);
        assert!(inbound.release(id(1)) && !inbound.release(id(9)));
        assert_eq!(inbound.receive(id(3), 1), Received::Fresh);
        assert_eq!(inbound.receive(id(4), 1), Received::QuotaExceeded);
        inbound.release(id(2));
        inbound.release(id(3));
        assert!(inbound.is_empty());
    }
}
