//! Counters of the broker.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start.
        #[derive(Debug, Default)]
        pub struct Statistics { $($(#[$doc])* pub(crate) $name: Counter,)* }

        /// [`Statistics`] at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StatisticsSnapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Statistics {
            pub fn snapshot(&self) -> StatisticsSnapshot {
                StatisticsSnapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// PUBLISH packets from clients, duplicates left out.
    messages_received,
    /// PUBLISH packets to clients.
    messages_sent,
    /// Deliveries that a full queue dropped.
    dropped_queue_full,
    /// Deliveries that expired in the queue.
    dropped_expired,
    /// Deliveries larger than the receiver's Maximum Packet Size.
    dropped_too_large,
    /// Answers that lost a Reason String or User Properties to the client's Maximum Packet Size.
    answers_shortened,
    /// Answers that were not sent because even then they exceeded it; the connection ended.
    answers_too_large,
    /// QoS 0 deliveries to sessions without a connection, and messages of Shared Subscriptions that nobody was
    /// left to get.
    dropped_offline,
    /// Messages of Shared Subscriptions that went from one member on to another.
    handed_on,
    /// Messages for which nobody was to be found.
    not_consumed,
    /// Messages and filters that were not authorised.
    not_authorized,
    /// Messages that a hook rejected or swallowed.
    stopped_by_hook,
    /// Retained messages refused because there are too many.
    retained_refused,
    /// Messages and filters refused because of `maximum-topic-length` or `maximum-topic-levels`.
    topics_refused,
    /// Messages and Wills whose payload is not the UTF-8 that it is said to be.
    payloads_refused,
    /// Filters refused, or connections ended, because subscriptions of their kind are not available.
    subscriptions_unavailable,
    /// Subscriptions refused because of `maximum-subscriptions`.
    subscriptions_refused,
    /// Connections refused because of `maximum-sessions`.
    sessions_refused,
    /// Connections that were accepted.
    connections_accepted,
    /// Connections closed before any session was opened: time-out, malformed or refused CONNECT.
    connections_refused,
    /// Connections closed because of malformed packets or protocol errors.
    protocol_errors,
    /// Connections closed because nothing came within one and a half keep-alive times.
    keep_alive_timeouts,
    /// Sessions taken over by a new connection.
    takeovers,
}

/// Counts up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
