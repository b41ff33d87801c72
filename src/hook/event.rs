//! What happened, for those who observe.

use std::sync::Arc;

use super::ClientInfo;
use crate::message::Timestamp;
use crate::packet::{QoS, ReasonCode};
use crate::topic::{TopicFilter, TopicName};

#[derive(Clone, Debug)]
pub struct Event {
    pub time: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Started,
    Stopped,
    ClientConnected {
        client: Arc<ClientInfo>,
        session_present: bool,
    },
    ClientDisconnected {
        client: Arc<ClientInfo>,
        cause: DisconnectCause,
        reason: Option<ReasonCode>,
    },
    ClientSubscribedTopic {
        client: Arc<ClientInfo>,
        filter: TopicFilter,
        qos: QoS,
    },
    ClientUnsubscribedTopic {
        client: Arc<ClientInfo>,
        filter: TopicFilter,
    },
    ClientAcknowledgedPublishPacket {
        client: Arc<ClientInfo>,
        topic: TopicName,
        qos: QoS,
        reason: ReasonCode,
    },
    SessionCreated {
        client_identifier: Arc<str>,
    },
    SessionDeleted {
        client_identifier: Arc<str>,
        cause: SessionEnd,
    },
    MessageDropped {
        /// Of the receiver.
        client_identifier: Arc<str>,
        topic: TopicName,
        qos: QoS,
        cause: DropCause,
    },
    RetainedMessageChanged {
        topic: TopicName,
        change: RetainedChange,
        payload_length: usize,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectCause {
    /// The client sent DISCONNECT.
    Client,
    Network,
    KeepAlive,
    Takeover,
    Kicked,
    /// It sent what it must not.
    ProtocolError,
    AuthenticationExpired,
    Shutdown,
    Hook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    CleanStart,
    Expired,
    Disconnect,
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    QueueFull,
    Expired,
    TooLarge,
    SessionGone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedChange {
    Set,
    Cleared,
    Expired,
}
