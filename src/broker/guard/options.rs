//! What the guards let through. Every default is safe on an open port.

use std::time::Duration;

use super::rate::Rate;
use super::strikes::Rule;
use crate::peer::Network;

/// What holds for all listeners; the units are in the names or the comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardOptions {
    /// For these there is no limit per address, no rate of connections and no ban: many clients may come from one of
    /// them, such as a gateway, or a proxy that does not say for whom it comes.
    pub exempt: Vec<Network>,
    /// Connections at a time from one address (IPv6: from one range of 64 bits); 0: as many as there may be.
    pub connections_per_address: usize,
    /// New connections per second from one address; 0: any number.
    pub connection_rate_per_address: u64,
    /// The rates of connections allow at once what comes in this time.
    pub connection_burst: Duration,
    /// Connections at a time that were not let in yet. For each further one the oldest of them is closed.
    pub pending_connections: usize,
    /// Bytes of CONNECT and AUTH packets, of all connections together, that are not complete.
    pub pending_bytes: usize,
    /// Addresses, and names with their addresses, of whom something is remembered. Beyond that, some of them are
    /// forgotten.
    pub remembered: usize,
    /// Failed logins with one name from one address, within `failed_login_window`, before the name is shut out from
    /// there; 0: any number.
    pub failed_logins: u32,
    /// The same with any names, before the address is shut out.
    pub failed_logins_per_address: u32,
    pub failed_login_window: Duration,
    /// How long the first ban lasts; each that follows lasts twice as long, up to the longest.
    pub ban: Duration,
    pub longest_ban: Duration,
    /// How often a client may connect from one address within `flapping_window` before it is shut out from there;
    /// 0: any number.
    pub flapping_connects: u32,
    pub flapping_window: Duration,
    pub flapping_ban: Duration,
    /// How long a packet may take from its first byte to its last, beside what its length allows.
    pub packet_timeout: Duration,
    /// Bytes per second that a packet may take as long as to come; 0: its length allows no more time.
    pub minimum_packet_rate: u64,
    /// Bytes of packets, of all clients together, that are not complete; beyond that, who sends one is disconnected.
    pub incomplete_bytes: usize,
    /// What each client may publish.
    pub client_publishes: PublishLimits,
    /// The rates of messages allow at once what comes in this time.
    pub publish_burst: Duration,
    pub publish_rate_action: RateAction,
}

/// What holds for one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections at a time; 0: as many as there may be.
    pub connections: usize,
    /// New connections per second, those from exempt addresses left out; 0: any number.
    pub connection_rate: u64,
    /// What all its clients together may publish.
    pub publishes: PublishLimits,
}

/// Messages, and bytes of their payloads and topics, per second; 0: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishLimits {
    pub messages: u64,
    pub bytes: u64,
}

/// What happens to a client that publishes faster than it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateAction {
    /// Nothing is read from it until the rate is kept again. Nothing is lost.
    #[default]
    Delay,
    Disconnect,
}

impl Default for GuardOptions {
    fn default() -> GuardOptions {
        GuardOptions {
            exempt: Network::LOOPBACK.into(),
            connections_per_address: 5_000,
            connection_rate_per_address: 100,
            connection_burst: Duration::from_secs(5),
            pending_connections: 4_096,
            pending_bytes: 64 * 1024 * 1024,
            remembered: 65_536,
            failed_logins: 5,
            failed_logins_per_address: 100,
            failed_login_window: Duration::from_secs(60),
            ban: Duration::from_secs(60),
            longest_ban: Duration::from_secs(3600),
            flapping_connects: 100,
            flapping_window: Duration::from_secs(60),
            flapping_ban: Duration::from_secs(60),
            packet_timeout: Duration::from_secs(30),
            minimum_packet_rate: 1024,
            incomplete_bytes: 256 * 1024 * 1024,
            client_publishes: PublishLimits::default(),
            publish_burst: Duration::from_secs(1),
            publish_rate_action: RateAction::Delay,
        }
    }
}

impl Default for DoorLimits {
    fn default() -> DoorLimits {
        DoorLimits { connections: 0, connection_rate: 2_000, publishes: PublishLimits::default() }
    }
}

impl GuardOptions {
    /// How long a packet of so many bytes may take.
    pub fn packet_time(&self, bytes: usize) -> Duration {
        let for_length = (bytes as u64).checked_div(self.minimum_packet_rate).unwrap_or(0);
        self.packet_timeout.saturating_add(Duration::from_secs(for_length))
    }

    pub(super) fn rate_per_address(&self) -> Option<Rate> {
        Rate::new(self.connection_rate_per_address, self.connection_burst)
    }

    pub(super) fn name_rule(&self) -> Rule {
        Rule {
            limit: self.failed_logins,
            window: self.failed_login_window,
            first: self.ban,
            longest: self.longest_ban,
        }
    }

    pub(super) fn address_rule(&self) -> Rule {
        Rule { limit: self.failed_logins_per_address, ..self.name_rule() }
    }

    pub(super) fn flapping_rule(&self) -> Rule {
        Rule {
            limit: self.flapping_connects,
            window: self.flapping_window,
            first: self.flapping_ban,
            longest: self.flapping_ban.max(self.longest_ban),
        }
    }
}

impl PublishLimits {
    pub(crate) fn is_unlimited(self) -> bool {
        self == PublishLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_packet_has_the_time_that_its_length_allows() {
        let options = GuardOptions::default();
        assert_eq!(options.packet_time(100), Duration::from_secs(30));
        assert_eq!(options.packet_time(1024 * 1024), Duration::from_secs(30 + 1024));
        let strict = GuardOptions { minimum_packet_rate: 0, ..options };
        assert_eq!(strict.packet_time(usize::MAX), Duration::from_secs(30));
    }
}
