//! What a broker counts: packets, messages, connections, sessions, and how often each limit was reached.
//!
//! [`Counters`] is what the parts of the broker add to; [`Statistics`] is what all of it comes to at one moment.
//! Whoever shows them (`$SYS`, an embedder, a metrics endpoint) takes that; nothing here knows of names on the
//! outside.

mod shards;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Broker, Options};
use crate::storage::Committer;
use shards::Sharded;

/// One number of [`Statistics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistic {
    /// That of the field.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: StatisticKind,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticKind {
    /// Since the start; it only rises.
    Count,
    /// As it is now.
    Gauge,
}

macro_rules! statistics {
    (
        counts { $($(#[doc = $count_doc:literal])* $count:ident $counted:ident,)* }
        gauges { $($(#[doc = $gauge_doc:literal])* $gauge:ident,)* }
    ) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[doc = $count_doc])* $count,)* }

        const COUNTS: usize = [$(Count::$count,)*].len();

        /// What a broker has counted since it started, and how much of what there is now.
        ///
        /// Nothing stands still while it is put together: numbers that belong together may differ by what
        /// happened meanwhile.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Statistics {
            $($(#[doc = $count_doc])* pub $counted: u64,)*
            $($(#[doc = $gauge_doc])* pub $gauge: u64,)*
        }

        impl Statistics {
            /// Every number with its name and its meaning, for whoever shows them all.
            pub fn all(&self) -> Vec<Statistic> {
                vec![
                    $(Statistic {
                        name: stringify!($counted),
                        help: concat!($($count_doc),*).trim_ascii(),
                        kind: StatisticKind::Count,
                        value: self.$counted,
                    },)*
                    $(Statistic {
                        name: stringify!($gauge),
                        help: concat!($($gauge_doc),*).trim_ascii(),
                        kind: StatisticKind::Gauge,
                        value: self.$gauge,
                    },)*
                ]
            }
        }

        impl Counters {
            fn sums(&self) -> Statistics {
                Statistics { $($counted: self.get(Count::$count),)* ..Statistics::default() }
            }
        }
    };
}

statistics! {
    counts {
        /// Control Packets of any type from clients.
        PacketsReceived packets_received,
        /// Control Packets of any type to clients.
        PacketsSent packets_sent,
        /// Bytes from clients.
        BytesReceived bytes_received,
        /// Bytes to clients.
        BytesSent bytes_sent,
        /// PUBLISH packets from clients, duplicates included.
        PublishesReceived publishes_received,
        /// PUBLISH packets from clients, duplicates left out.
        MessagesReceived messages_received,
        /// PUBLISH packets to clients.
        MessagesSent messages_sent,
        /// Bytes of the payloads of PUBLISH packets from clients.
        PayloadBytesReceived payload_bytes_received,
        /// Bytes of the payloads of PUBLISH packets to clients.
        PayloadBytesSent payload_bytes_sent,

        /// Deliveries that a full queue dropped.
        DroppedQueueFull dropped_queue_full,
        /// Deliveries that expired in the queue.
        DroppedExpired dropped_expired,
        /// Deliveries larger than the receiver's Maximum Packet Size.
        DroppedTooLarge dropped_too_large,
        /// Answers that lost a Reason String or User Properties to the client's Maximum Packet Size.
        AnswersShortened answers_shortened,
        /// Answers that were not sent because even then they exceeded it; the connection ended.
        AnswersTooLarge answers_too_large,
        /// QoS 0 deliveries to sessions without a connection, and messages of Shared Subscriptions that nobody was
        /// left to get.
        DroppedOffline dropped_offline,
        /// Messages of Shared Subscriptions that went from one member on to another.
        HandedOn handed_on,
        /// Deliveries that waited, or were not acknowledged, when their session ended.
        DroppedSessionEnded dropped_session_ended,
        /// Messages for which nobody was to be found.
        NotConsumed not_consumed,
        /// Messages and filters that were not authorised.
        NotAuthorized not_authorized,
        /// Messages that a hook rejected or swallowed.
        StoppedByHook stopped_by_hook,
        /// Messages that were refused because only the broker publishes below `$SYS`.
        SystemTopicsRefused system_topics_refused,
        /// Messages that were not retained because of a limit.
        RetainedRefused retained_refused,

        /// Connections that were accepted.
        ConnectionsAccepted connections_accepted,
        /// CONNECT packets.
        ConnectsReceived connects_received,
        /// Connections closed before any session was opened. The causes that follow, and `limit_connections`,
        /// `limit_sessions`, `limit_connect_size`, `limit_connect_timeout`, `limit_listener_connections`,
        /// `limit_connections_per_address`, `limit_connection_rate_per_address`, `limit_listener_connection_rate`,
        /// `limit_pending_connections` and `limit_pending_bytes`, come to as many.
        ConnectionsRefused connections_refused,
        /// Refused: what came was malformed or not CONNECT.
        RefusedMalformed refused_malformed,
        /// Refused: TLS or HTTP where MQTT alone is spoken.
        RefusedForeign refused_foreign,
        /// Refused: by a hook, or by none where anonymous clients are not let in.
        RefusedNotAuthorized refused_not_authorized,
        /// Refused: the address, or the name at this address, is shut out because of failed logins.
        RefusedBanned refused_banned,
        /// Refused: the client is shut out at this address because it came and went too often.
        RefusedFlapping refused_flapping,
        /// Refused: the client was gone before its CONNECT was complete.
        RefusedGone refused_gone,
        /// Refused: the session was to be kept, and the storage fails.
        RefusedByStorage refused_by_storage,
        /// Refused: no TLS, or none that is spoken here.
        RefusedTls refused_tls,
        /// Refused: the client had no certificate that is accepted, or did not accept the broker's.
        RefusedCertificate refused_certificate,
        /// Refused: a request that makes no WebSocket for MQTT.
        RefusedWebSocket refused_web_socket,
        /// Refused: no PROXY header, a broken one, or none of a proxy that is trusted.
        RefusedProxy refused_proxy,
        /// Refused: for another reason, such as a Client Identifier or a Will that is not accepted.
        RefusedOther refused_other,
        /// How often changed certificates, keys, authorities or lists were taken over.
        CertificateReloads certificate_reloads,
        /// How often they could not be used, so that those before stayed in use.
        CertificateReloadsFailed certificate_reloads_failed,
        /// Connections that the client ended with DISCONNECT.
        EndedByClient ended_by_client,
        /// Connections that broke, or that the client closed without DISCONNECT.
        EndedByNetwork ended_by_network,
        /// Connections that an operator, an embedder or a plugin ended.
        EndedByRequest ended_by_request,
        /// Connections that a hook's verdict ended.
        EndedByHook ended_by_hook,
        /// Connections that waited for an answer which the storage could not keep.
        EndedByStorage ended_by_storage,
        /// Connections whose credentials expired.
        EndedByExpiry ended_by_expiry,
        /// Connections that ended with the broker.
        EndedByShutdown ended_by_shutdown,
        /// Connections closed because of malformed packets or protocol errors.
        ProtocolErrors protocol_errors,
        /// Connections closed because nothing came within one and a half keep-alive times.
        KeepAliveTimeouts keep_alive_timeouts,
        /// Sessions taken over by a new connection.
        Takeovers takeovers,
        /// Sessions that began.
        SessionsCreated sessions_created,
        /// Sessions that expired.
        SessionsExpired sessions_expired,

        /// `maximum-qos`: messages and Wills refused, subscriptions granted with less.
        LimitQos limit_qos,
        /// `retain-available`: messages and Wills refused.
        LimitRetain limit_retain,
        /// `wildcard-subscription-available` and the like: filters refused, or connections ended, because there are
        /// no subscriptions of their kind.
        SubscriptionsUnavailable subscriptions_unavailable,
        /// `validate-payload-format`: messages and Wills whose payload is not the UTF-8 that it is said to be.
        PayloadsRefused payloads_refused,
        /// `maximum-packet-size`: connections closed.
        LimitPacketSize limit_packet_size,
        /// `maximum-connect-size`: connections refused.
        LimitConnectSize limit_connect_size,
        /// `receive-maximum`: connections closed.
        LimitReceiveMaximum limit_receive_maximum,
        /// `topic-alias-maximum`: connections closed.
        LimitTopicAlias limit_topic_alias,
        /// `outgoing-topic-alias-maximum`, or the client's Topic Alias Maximum: aliases that went from one topic over to
        /// another.
        LimitOutgoingTopicAlias limit_outgoing_topic_alias,
        /// `minimum-keep-alive`, `maximum-keep-alive`: clients that got another one than they asked for.
        LimitKeepAlive limit_keep_alive,
        /// `maximum-session-expiry`: clients that got a shorter one than they asked for.
        LimitSessionExpiry limit_session_expiry,
        /// `maximum-queued-messages`: deliveries dropped.
        LimitQueuedMessages limit_queued_messages,
        /// `maximum-queued-bytes`: deliveries dropped.
        LimitQueuedBytes limit_queued_bytes,
        /// `maximum-total-queued-bytes`: deliveries dropped.
        LimitTotalQueuedBytes limit_total_queued_bytes,
        /// `maximum-total-output-bytes`: connections closed.
        LimitTotalOutputBytes limit_total_output_bytes,
        /// `maximum-inflight`, or the client's Receive Maximum: how often messages began to wait because as many
        /// were in flight.
        LimitInflight limit_inflight,
        /// `maximum-subscriptions`: subscriptions refused.
        LimitSubscriptions limit_subscriptions,
        /// `maximum-topic-length`: messages, Wills and subscriptions refused.
        LimitTopicLength limit_topic_length,
        /// `maximum-topic-levels`: messages, Wills and subscriptions refused.
        LimitTopicLevels limit_topic_levels,
        /// `maximum-wildcard-levels`: subscriptions refused.
        LimitWildcardLevels limit_wildcard_levels,
        /// `maximum-retained-messages`: messages not retained.
        LimitRetainedMessages limit_retained_messages,
        /// `maximum-retained-bytes`: messages not retained.
        LimitRetainedBytes limit_retained_bytes,
        /// `maximum-sessions`: connections refused.
        LimitSessions limit_sessions,
        /// `maximum-connections`: connections refused.
        LimitConnections limit_connections,
        /// `maximum-authentication-rounds`: connections refused or closed.
        LimitAuthenticationRounds limit_authentication_rounds,
        /// `connect-timeout`: connections refused.
        LimitConnectTimeout limit_connect_timeout,
        /// `write-timeout`: connections closed.
        LimitWriteTimeout limit_write_timeout,
        /// `maximum-connections` of a listener: connections refused.
        LimitListenerConnections limit_listener_connections,
        /// `connection-rate` of a listener: connections refused.
        LimitListenerConnectionRate limit_listener_connection_rate,
        /// `maximum-connections-per-address`: connections refused.
        LimitConnectionsPerAddress limit_connections_per_address,
        /// `connection-rate-per-address`: connections refused.
        LimitConnectionRatePerAddress limit_connection_rate_per_address,
        /// `maximum-pending-connections`: connections that were closed for newer ones before they were let in.
        LimitPendingConnections limit_pending_connections,
        /// `maximum-pending-bytes`: connections refused.
        LimitPendingBytes limit_pending_bytes,
        /// `failed-logins`: names that were shut out, each from an address.
        LimitFailedLogins limit_failed_logins,
        /// `failed-logins-per-address`: addresses that were shut out.
        LimitFailedLoginsPerAddress limit_failed_logins_per_address,
        /// `flapping-connects`: clients that were shut out, each from an address.
        LimitFlapping limit_flapping,
        /// `packet-timeout`, `minimum-packet-rate`: connections closed because a packet took too long to come.
        LimitPacketTime limit_packet_time,
        /// `maximum-incomplete-bytes`: connections closed.
        LimitIncompleteBytes limit_incomplete_bytes,
        /// `client-publish-rate`, `client-publish-bytes`, and `publish-rate`, `publish-bytes` of a listener: how often a
        /// client was not read from for a while, or disconnected.
        LimitPublishRate limit_publish_rate,
    }
    gauges {
        /// Sessions that a connection holds now.
        connected,
        /// The most that `connected` has been.
        connected_maximum,
        /// Sessions now, with a connection or without.
        sessions,
        /// Subscriptions now, over all sessions, shared ones included.
        subscriptions,
        /// Shared ones among them.
        shared_subscriptions,
        /// Messages that are retained now.
        retained_messages,
        /// Bytes of their topics, payloads and properties.
        retained_bytes,
        /// Deliveries that wait now, over all sessions.
        queued_messages,
        /// Bytes of their topics, payloads and properties, and of their places in the queues. Of a message that
        /// waits for several sessions each of them counts all bytes.
        queued_bytes,
        /// QoS 1 and 2 deliveries in flight now, over all sessions.
        in_flight_messages,
        /// Their bytes, as for `queued_bytes`; those of a QoS 2 message until the client has it.
        in_flight_bytes,
        /// Connections now that were not let in yet.
        pending_connections,
        /// Addresses, and names at addresses, of whom something is remembered now.
        remembered_addresses,
        /// Addresses, and names and clients at addresses, that are shut out now.
        bans,
        /// Bytes of packets of clients that were let in, as far as they are not complete now.
        incomplete_bytes,
        /// Bytes that connections hold now because their sockets do not take them, with the memory these lie in.
        unsent_bytes,
        /// Batches that the storage has kept since the start.
        storage_commits,
        /// Changes in these batches.
        storage_changes,
        /// Attempts of the storage since the start that failed; each is made again.
        storage_failures,
        /// What was done and the storage has not kept yet.
        storage_waiting,
        /// 1 while the storage fails, so that nothing is acknowledged that it would have to keep.
        storage_fails,
    }
}

/// What sessions hold, as far as [`Counters`] were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub queued: usize,
    pub queued_bytes: usize,
    pub in_flight: usize,
    pub in_flight_bytes: usize,
}

/// Whether sessions may hold more than they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Free,
    Stopped,
}

impl Held {
    fn bytes(self) -> usize {
        self.queued_bytes + self.in_flight_bytes
    }
}

/// Places of [`Held`] behind the counts, and of the bytes that were not yet added to the total.
const QUEUED: usize = COUNTS;
const QUEUED_BYTES: usize = COUNTS + 1;
const IN_FLIGHT: usize = COUNTS + 2;
const IN_FLIGHT_BYTES: usize = COUNTS + 3;
const GATHERED_BYTES: usize = COUNTS + 4;
const NUMBERS: usize = COUNTS + 5;

/// Bytes that a thread gathers at most before it adds them to the total.
const LARGEST_BATCH: u64 = 64 * 1024;

/// What the parts of a broker add to.
pub(crate) struct Counters {
    numbers: Sharded<NUMBERS>,
    /// Bytes that all sessions hold, up to a batch per thread: it is asked for every message, and the sum over the
    /// shards would take too long.
    held_bytes: AtomicU64,
    maximum_held_bytes: AtomicU64,
    batch: AtomicU64,
    /// These change with connections, not with messages, and the highest has to be exact.
    connected: AtomicU64,
    connected_maximum: AtomicU64,
}

impl Counters {
    pub(super) fn new(options: &Options) -> Counters {
        let counters = Counters {
            numbers: Sharded::new(),
            held_bytes: AtomicU64::new(0),
            maximum_held_bytes: AtomicU64::new(0),
            batch: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            connected_maximum: AtomicU64::new(0),
        };
        counters.set_maximum_held(options);
        counters
    }

    /// How much all sessions may hold from now on.
    pub(super) fn set_maximum_held(&self, options: &Options) {
        let maximum = options.maximum_total_queued_bytes as u64;
        self.maximum_held_bytes.store(maximum, Ordering::Relaxed);
        self.batch.store((maximum / 1024).min(LARGEST_BATCH), Ordering::Relaxed);
    }

    pub(crate) fn count(&self, what: Count) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: Count, amount: usize) {
        self.add_all([(what, amount)]);
    }

    /// The same for several at once, for what is counted with every message.
    pub(crate) fn add_all<const N: usize>(&self, amounts: [(Count, usize); N]) {
        self.numbers.add(amounts.map(|(what, amount)| (what as usize, amount as u64)));
    }

    pub(crate) fn get(&self, what: Count) -> u64 {
        self.numbers.sum(what as usize)
    }

    /// A connection holds a session from now on.
    pub(super) fn connected(&self) {
        let connected = self.connected.fetch_add(1, Ordering::Relaxed) + 1;
        self.connected_maximum.fetch_max(connected, Ordering::Relaxed);
    }

    pub(super) fn connected_now(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn disconnected(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// A session holds something else than before.
    pub(super) fn held(&self, before: Held, now: Held) {
        let change = |before: usize, now: usize| now.wrapping_sub(before) as u64;
        self.numbers.add([
            (QUEUED, change(before.queued, now.queued)),
            (QUEUED_BYTES, change(before.queued_bytes, now.queued_bytes)),
            (IN_FLIGHT, change(before.in_flight, now.in_flight)),
            (IN_FLIGHT_BYTES, change(before.in_flight_bytes, now.in_flight_bytes)),
        ]);
        if before.bytes() != now.bytes() {
            let more = change(before.bytes(), now.bytes()).cast_signed();
            self.numbers.add_in_batches(
                GATHERED_BYTES,
                more,
                self.batch.load(Ordering::Relaxed),
                &self.held_bytes,
            );
        }
    }

    /// Whether all sessions together hold as much as they may.
    pub(super) fn growth(&self) -> Growth {
        if self.bytes_left() == 0 { Growth::Stopped } else { Growth::Free }
    }

    /// How much more all sessions together may hold.
    pub(super) fn bytes_left(&self) -> usize {
        // Below zero where the thread that took something out was faster.
        let held = self.held_bytes.load(Ordering::Relaxed).cast_signed().max(0).cast_unsigned();
        self.maximum_held_bytes.load(Ordering::Relaxed).saturating_sub(held) as usize
    }
}

impl Broker {
    /// What was counted since the start, and how much there is now.
    pub fn statistics(&self) -> Statistics {
        let counters = &self.counters;
        let (subscriptions, shared_subscriptions) = {
            let index = self.index.read();
            (index.len(), index.shared_len())
        };
        let storage = self.committer().map(Committer::figures).unwrap_or_default();
        Statistics {
            storage_commits: storage.commits,
            storage_changes: storage.changes,
            storage_failures: storage.failures,
            storage_waiting: storage.waiting,
            storage_fails: storage.fails.into(),
            connected: counters.connected_now(),
            connected_maximum: counters.connected_maximum.load(Ordering::Relaxed),
            sessions: self.session_count() as u64,
            subscriptions: subscriptions as u64,
            shared_subscriptions: shared_subscriptions as u64,
            retained_messages: self.retained_count() as u64,
            retained_bytes: self.retained.bytes() as u64,
            queued_messages: counters.numbers.sum(QUEUED),
            queued_bytes: counters.numbers.sum(QUEUED_BYTES),
            in_flight_messages: counters.numbers.sum(IN_FLIGHT),
            in_flight_bytes: counters.numbers.sum(IN_FLIGHT_BYTES),
            pending_connections: self.guard.pending() as u64,
            remembered_addresses: self.guard.remembered() as u64,
            bans: self.guard.bans().len() as u64,
            incomplete_bytes: self.guard.incomplete_bytes() as u64,
            unsent_bytes: self.unsent.held() as u64,
            ..counters.sums()
        }
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
