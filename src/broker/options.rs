//! Limits and defaults of one broker. Every one has a default that is safe on an open port.

use std::time::Duration;

use bytestring::ByteString;

use super::guard::GuardOptions;
use super::{Count, SharedStrategy};
use crate::packet::{PublishProperties, QoS, ReasonCode};
use crate::session::{Overflow, QueueLimits};
use crate::topic::{MAX_TOPIC_BYTES, TopicFilter, TopicName};

/// What an operator may set; the units are in the names or the comments.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The highest QoS that is accepted and granted.
    pub maximum_qos: QoS,
    /// Whether messages may be retained.
    pub retain_available: bool,
    /// Whether a Topic Filter may contain wildcards.
    pub wildcard_subscription_available: bool,
    /// Whether subscriptions may be shared.
    pub shared_subscription_available: bool,
    /// Whether a SUBSCRIBE may carry a Subscription Identifier.
    pub subscription_identifiers_available: bool,
    /// Bytes of the largest packet that is accepted, fixed header included.
    pub maximum_packet_size: u32,
    /// Bytes of the largest packet before CONNECT was answered.
    pub maximum_connect_size: u32,
    /// How many QoS 1 and 2 messages a client may have in flight towards the broker.
    pub receive_maximum: u16,
    /// The highest topic alias a client may use; 0: none.
    pub topic_alias_maximum: u16,
    /// How many topics have an alias at a time towards a client that takes as many; 0: none. Each costs at most
    /// 1 KiB and a little while the connection lasts.
    pub outgoing_topic_alias_maximum: u16,
    /// Seconds; the shortest keep-alive, for MQTT 5.0 clients that ask for one, as for `maximum_keep_alive`.
    pub minimum_keep_alive: u16,
    /// Seconds; the longest keep-alive. An MQTT 5.0 client that asks for more, or for none, gets this one;
    /// MQTT 3.1.1 clients get what they ask for, as they cannot be told. 0: as the client asks.
    pub maximum_keep_alive: u16,
    /// Seconds; the longest time a session is kept without a connection.
    pub maximum_session_expiry: u32,
    /// Messages in the queue of a session.
    pub maximum_queued_messages: usize,
    /// Bytes of topics, payloads and properties in the queue of a session, and again of those that were sent
    /// to it and are not acknowledged. One message alone may be larger.
    pub maximum_queued_bytes: usize,
    /// The same bytes, waiting or not acknowledged, of all sessions together. Once there are as many, a session
    /// that holds messages takes a further one only in place of others, and one that holds none takes one. A
    /// message that waits for several sessions counts for each of them.
    pub maximum_total_queued_bytes: usize,
    /// Bytes that all connections together hold because their sockets do not take them, with the memory these lie in.
    /// From three quarters on, such connections are given no more; beyond it, those end that have been stuck longest.
    pub maximum_total_output_bytes: usize,
    /// What gives way where a queue is full.
    pub overflow: Overflow,
    /// QoS 1 and 2 messages in flight towards a client, or as many as its Receive Maximum says where that is
    /// less; at most [`LARGEST_WINDOW`](crate::session::LARGEST_WINDOW).
    pub maximum_inflight: u16,
    /// Subscriptions of a session.
    pub maximum_subscriptions: usize,
    /// Bytes of a Topic Name, or of a Topic Filter with its `$share` and ShareName.
    pub maximum_topic_length: usize,
    /// Levels of a Topic Name or Topic Filter. Deep ones cost memory and time for every level.
    pub maximum_topic_levels: usize,
    /// Levels of a Topic Filter that contains `+`. A name is looked for on two paths for each level at which filters
    /// have `+`: this says how many paths there can be, however many clients subscribe whatever they like.
    pub maximum_wildcard_levels: usize,
    /// Which member of a Shared Subscription gets a message.
    pub shared_subscription_strategy: SharedStrategy,
    /// Retained messages in all. A message that cannot be retained is routed all the same, and its publisher
    /// told so where it can be (MQTT 5.0: Quota exceeded).
    pub maximum_retained_messages: usize,
    /// Bytes of topics, payloads and properties of all retained messages.
    pub maximum_retained_bytes: usize,
    /// Sessions in all, connected or not.
    pub maximum_sessions: usize,
    /// Network connections in all.
    pub maximum_connections: usize,
    /// What MQTT 5.0 clients that ask for Response Information get, with their Client Identifier in the place of
    /// `{client-id}`; at most 65,535 bytes with that.
    pub response_information: Option<ByteString>,
    /// Whether a payload that is said to be UTF-8 must be.
    pub validate_payload_format: bool,
    /// How often the broker publishes what it says about itself below `$SYS`; zero: never.
    pub sys_interval: Duration,
    /// Challenges of one enhanced authentication.
    pub maximum_authentication_rounds: u32,
    /// From accept to the end of CONNECT, together with the client's part of an enhanced authentication. As
    /// long again for the client's part of each re-authentication.
    pub connect_timeout: Duration,
    /// How long a client that does not read may hold up the end of its own connection, and how long a
    /// write may make no progress.
    pub write_timeout: Duration,
    /// Who may come in, how often, and how fast.
    pub guard: GuardOptions,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_subscription_available: true,
            shared_subscription_available: true,
            subscription_identifiers_available: true,
            maximum_packet_size: 1024 * 1024,
            maximum_connect_size: 64 * 1024,
            receive_maximum: 256,
            topic_alias_maximum: 16,
            outgoing_topic_alias_maximum: 16,
            minimum_keep_alive: 0,
            maximum_keep_alive: 0,
            maximum_session_expiry: 7 * 24 * 3600,
            maximum_queued_messages: 10_000,
            maximum_queued_bytes: 16 * 1024 * 1024,
            maximum_total_queued_bytes: 1024 * 1024 * 1024,
            maximum_total_output_bytes: 512 * 1024 * 1024,
            overflow: Overflow::DropNewest,
            maximum_inflight: 256,
            maximum_subscriptions: 10_000,
            maximum_topic_length: MAX_TOPIC_BYTES,
            maximum_topic_levels: 128,
            maximum_wildcard_levels: 16,
            shared_subscription_strategy: SharedStrategy::RoundRobin,
            maximum_retained_messages: 1_000_000,
            maximum_retained_bytes: 1024 * 1024 * 1024,
            maximum_sessions: 1_000_000,
            maximum_connections: 100_000,
            response_information: None,
            validate_payload_format: false,
            sys_interval: Duration::from_secs(10),
            maximum_authentication_rounds: 8,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            guard: GuardOptions::default(),
        }
    }
}

impl Options {
    /// What the queue of a session holds at most.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            messages: self.maximum_queued_messages,
            bytes: self.maximum_queued_bytes,
            overflow: self.overflow,
        }
    }

    /// Whether a payload is what its Payload Format Indicator says, as far as that is to be looked at.
    pub(crate) fn accepts_payload(&self, payload: &[u8], properties: Option<&PublishProperties>) -> bool {
        let is_text = || properties.is_some_and(|it| it.payload_format_indicator == Some(true));
        !self.validate_payload_format || !is_text() || std::str::from_utf8(payload).is_ok()
    }

    /// Why subscriptions of this kind are not available, where they are not.
    pub(crate) fn unavailable(&self, filter: &TopicFilter) -> Option<ReasonCode> {
        if filter.share_name().is_some() && !self.shared_subscription_available {
            return Some(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        let unavailable = filter.has_wildcard() && !self.wildcard_subscription_available;
        unavailable.then_some(ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED)
    }

    /// The limit that a Topic Name is beyond.
    pub(crate) fn limit_of_name(&self, name: &TopicName) -> Option<Count> {
        let length = name.as_str().len();
        // It has at most one level more than bytes: a short one is not searched for separators.
        let levels = if length < self.maximum_topic_levels { 0 } else { name.levels().count() };
        self.limit_of_topic(length, levels)
    }

    /// The same for a Topic Filter.
    pub(crate) fn limit_of_filter(&self, filter: &TopicFilter) -> Option<Count> {
        let levels = filter.levels().count();
        let is_over = levels > self.maximum_wildcard_levels && filter.levels().any(|level| level == "+");
        let wildcards = is_over.then_some(Count::LimitWildcardLevels);
        self.limit_of_topic(filter.as_str().len(), levels).or(wildcards)
    }

    fn limit_of_topic(&self, length: usize, levels: usize) -> Option<Count> {
        if length > self.maximum_topic_length {
            Some(Count::LimitTopicLength)
        } else {
            (levels > self.maximum_topic_levels).then_some(Count::LimitTopicLevels)
        }
    }
}
