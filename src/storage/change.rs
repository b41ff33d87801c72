//! What a storage is told to keep or to forget, and what it gives back.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::{PacketIdentifier, ProtocolVersion, QoS};
use crate::session::{Subscription, Will};
use crate::topic::{TopicFilter, TopicName};

/// One change of what is kept. What is put replaces what is there under the same key; what is deleted need not be
/// there.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// By its number.
    PutSession(Box<SessionRecord>),
    /// With its subscriptions, received identifiers and items. Deliveries and Wills have changes of their own.
    DeleteSession(u64),
    /// By the filter that the client asked for.
    PutSubscription {
        session: u64,
        filter: TopicFilter,
        /// Where a hook had it routed by another.
        routed: Option<TopicFilter>,
        subscription: Subscription,
    },
    DeleteSubscription {
        session: u64,
        filter: TopicFilter,
    },
    /// A QoS 2 message with this identifier was received and is not released.
    PutReceived {
        session: u64,
        packet_identifier: PacketIdentifier,
    },
    DeleteReceived {
        session: u64,
        packet_identifier: PacketIdentifier,
    },
    /// What a hook keeps with a session.
    PutItem {
        session: u64,
        key: String,
        value: Bytes,
    },
    DeleteItem {
        session: u64,
        key: String,
    },
    /// By its number.
    PutWill(Box<WillRecord>),
    DeleteWill(u64),
    /// What deliveries are about, once for all of its receivers.
    PutMessage {
        number: u64,
        message: Arc<ApplicationMessage>,
    },
    DeleteMessages(RangeInclusive<u64>),
    /// By its number.
    PutDelivery(Box<DeliveryRecord>),
    /// Of one that is there.
    SetDeliveryState {
        number: u64,
        state: DeliveryState,
    },
    DeleteDeliveries(RangeInclusive<u64>),
    /// By its topic.
    PutRetained(Arc<ApplicationMessage>),
    DeleteRetained(TopicName),
    /// A plugin's.
    PutState {
        plugin: String,
        key: String,
        value: Bytes,
        expires_at: Option<Timestamp>,
    },
    DeleteState {
        plugin: String,
        key: String,
    },
    /// When the broker was last known to run.
    SetAlive(Timestamp),
}

/// A session without what has changes of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// Never that of another session, not of one that is gone either.
    pub number: u64,
    /// The one that was connected last.
    pub client: ClientRecord,
    /// Seconds.
    pub expiry_interval: u32,
    /// When it ends; None while a connection holds it, or where it never expires.
    pub expires_at: Option<Timestamp>,
    /// Whether a connection holds it.
    pub is_connected: bool,
}

/// A client, as the hooks see it that its Will Message passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    pub client_identifier: String,
    pub user_name: Option<String>,
    /// The listener by which it came.
    pub listener: String,
    /// Whether that allows topics about which no hook says anything.
    pub default_authorization: bool,
    pub protocol_version: ProtocolVersion,
}

/// A Will that is not published yet.
#[derive(Clone, Debug, PartialEq)]
pub struct WillRecord {
    /// Never that of another Will.
    pub number: u64,
    /// Who left it.
    pub client: ClientRecord,
    pub will: Will,
    /// None while the client is connected.
    pub due: Option<Timestamp>,
}

/// A message on its way to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// In the order in which they came, over all sessions.
    pub number: u64,
    pub session: u64,
    /// The number of the message.
    pub message: u64,
    pub qos: QoS,
    pub retain: bool,
    pub subscription_identifiers: Box<[u32]>,
    /// Where it came by a Shared Subscription: its filter.
    pub shared: Option<TopicFilter>,
    pub state: DeliveryState,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Queued,
    /// The PUBLISH was sent with this identifier.
    Sent(PacketIdentifier),
    /// PUBREC came: the message is the client's, and no longer kept.
    Released(PacketIdentifier),
}
