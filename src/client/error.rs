//! Why there is no connection, or no longer one, and why something that was asked for was not done.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::DialError;
use crate::packet::{
    AckProperties, Connack, DecodeError, Disconnect, EncodeError, PacketType, ProtocolVersion, QoS,
    ReasonCode,
};
use crate::storage::StorageError;
use crate::topic::InvalidTopic;

/// Options that contradict each other, or the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidOptions {
    #[error("use {option}: mqtt {version} has no such thing")]
    NotInVersion { option: &'static str, version: ProtocolVersion },
    #[error("use {option}: {reason}")]
    Contradiction { option: &'static str, reason: &'static str },
}

/// Why a connection was not made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error(transparent)]
    Options(#[from] InvalidOptions),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("connect within {0:?}: no answer")]
    TimedOut(Duration),
    #[error("connect: the server refused: {} (0x{:02X}){}", .0.reason_code, .0.reason_code.value(), detail(.0))]
    Refused(Box<Connack>),
    /// The connection was over before CONNACK, or the client is.
    #[error("connect: {0}")]
    Ended(#[from] End),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What a provider of credentials said.
    #[error("get credentials: {0}")]
    Credentials(Arc<dyn StdError + Send + Sync>),
    /// What a handler of enhanced authentication said.
    #[error("authenticate: {0}")]
    Authentication(Arc<dyn StdError + Send + Sync>),
}

/// Why a connection is over; of a client that connects again, why it does not any more.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum End {
    #[error("it was ended here")]
    Client,
    #[error("the server closed it without a word")]
    Closed,
    #[error("the network failed: {0}")]
    Network(Arc<io::Error>),
    #[error("the server ended it: {} (0x{:02X}){}", .0.reason_code, .0.reason_code.value(), reason(.0))]
    Server(Box<Disconnect>),
    #[error("the server did not answer a ping in time")]
    KeepAlive,
    /// By [`Options::acknowledgement_timeout`](super::Options::acknowledgement_timeout).
    #[error("the server did not answer a {0} in time")]
    Unanswered(PacketType),
    #[error("the server sent what is no MQTT: {0}; does it speak TLS or WebSocket there?")]
    Decode(#[from] DecodeError),
    #[error("the server sent an unexpected {0}")]
    Unexpected(PacketType),
    #[error("the server used a topic alias that it had not set, or was not allowed to")]
    TopicAlias,
    #[error("the server sent more messages than Receive Maximum allows without an answer")]
    ReceiveMaximum,
    #[error("the server answered {asked} topic filters with {answered} reason codes")]
    WrongAnswer { asked: usize, answered: usize },
    /// What the flow asked for next is more than the server's Maximum Packet Size [MQTT-3.2.2-15].
    #[error("the server takes packets of {limit} bytes, and {packet} has {size}")]
    TooLarge { packet: PacketType, size: usize, limit: u32 },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// By [`Credentials::renew_in`](super::Credentials::renew_in); another connection follows.
    #[error("the credentials are renewed")]
    Renewal,
    /// What had to be kept before it was said could not be.
    #[error("the store failed: {0}")]
    Store(#[from] StorageError),
    #[error("its task was ended with the runtime, or has panicked")]
    Aborted,
    /// There was no connection again.
    #[error("no connection again: failed to {0}")]
    GaveUp(Box<ConnectError>),
}

impl End {
    /// The Reason Code with which the server is told; `None` where there is nobody to tell.
    pub(super) fn disconnect_reason(&self) -> Option<ReasonCode> {
        match self {
            End::Decode(error) => Some(error.reason_code()),
            End::Unexpected(_) | End::WrongAnswer { .. } => Some(ReasonCode::PROTOCOL_ERROR),
            End::TopicAlias => Some(ReasonCode::TOPIC_ALIAS_INVALID),
            End::ReceiveMaximum => Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED),
            End::Renewal => Some(ReasonCode::NORMAL_DISCONNECTION),
            End::Unanswered(_) | End::KeepAlive | End::TooLarge { .. } | End::Encode(_) | End::Store(_) => {
                Some(ReasonCode::UNSPECIFIED_ERROR)
            }
            End::Client | End::Closed | End::Network(_) | End::Server(_) | End::Aborted | End::GaveUp(_) => {
                None
            }
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Network(Arc::new(error))
    }
}

/// Why a message was not published. Where a connection is lost on the way, it is sent again instead.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// PUBACK or PUBREC with a Reason Code of 0x80 or above.
    #[error("publish: the server refused: {0}")]
    Refused(PublishResult),
    #[error("publish to this topic: {0}")]
    Topic(#[from] InvalidTopic),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("publish: the queue is full")]
    QueueFull,
    /// It gave way to a newer one, by [`Queue::overflow`](super::Queue::overflow).
    #[error("publish: dropped from the full queue")]
    Dropped,
    #[error("publish: it expired before it was sent")]
    Expired,
    #[error("send a packet of {size} bytes: the server accepts {limit}")]
    TooLarge { size: usize, limit: u32 },
    /// [MQTT-3.2.2-11]
    #[error("publish with qos {}: the server takes {} at most", u8::from(*asked), u8::from(*maximum))]
    Qos { asked: QoS, maximum: QoS },
    /// [MQTT-3.2.2-14]
    #[error("publish a retained message: the server has none")]
    Retain,
    #[error("keep the message: {0}")]
    Store(StorageError),
    /// The client ended before the flow did. The server may have the message.
    #[error("use the connection: {0}")]
    Ended(#[from] End),
}

/// What the server said of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishResult {
    /// Success, No matching subscribers, or an error. With QoS 0 and in 3.1.1 always Success.
    pub reason_code: ReasonCode,
    pub properties: Option<Box<AckProperties>>,
}

impl PublishResult {
    /// Words of the server for people, where it has some.
    ///
    /// ```
    /// use tidegate::client::PublishResult;
    /// use tidegate::packet::{AckProperties, ReasonCode};
    ///
    /// let properties = AckProperties { reason_string: Some("not on Sundays".into()), ..AckProperties::default() };
    /// let result = PublishResult { reason_code: ReasonCode::NOT_AUTHORIZED, properties: Some(Box::new(properties)) };
    /// assert_eq!(result.reason_string(), Some("not on Sundays"));
    /// assert_eq!(result.to_string(), "Not authorized (0x87): not on Sundays");
    /// ```
    pub fn reason_string(&self) -> Option<&str> {
        self.properties.as_ref()?.reason_string.as_deref()
    }
}

impl std::fmt::Display for PublishResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (0x{:02X})", self.reason_code, self.reason_code.value())?;
        self.reason_string().map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

/// Why a subscription was not made or not taken back.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The Reason Code of each filter, all of 0x80 or above.
    #[error("subscribe: the server refused: {}", codes(.0))]
    Refused(Vec<ReasonCode>),
    #[error("subscribe to this topic filter: {0}")]
    Filter(#[from] InvalidTopic),
    #[error("subscribe: there is no topic filter")]
    Nothing,
    #[error("use {option}: mqtt {version} has no such thing")]
    NotInVersion { option: &'static str, version: ProtocolVersion },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("send a packet of {size} bytes: the server accepts {limit}")]
    TooLarge { size: usize, limit: u32 },
    #[error("subscribe: the server answered {asked} topic filters with {answered} reason codes")]
    WrongAnswer { asked: usize, answered: usize },
    #[error("subscribe: no answer in time")]
    TimedOut,
    #[error("use the connection: {0}")]
    Ended(#[from] End),
}

/// Why a request has no response.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    #[error("request: mqtt 3.1.1 has no response topic")]
    NotInVersion,
    #[error("request: no response within {0:?}")]
    TimedOut(Duration),
    #[error("request: nobody subscribes to the topic")]
    NoMatchingSubscribers,
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

/// Why a client did not leave in the way it was asked to. It has left in either case.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DisconnectError {
    #[error("disconnect: {left} messages were not sent or not acknowledged within {timeout:?}")]
    NotFlushed { left: usize, timeout: Duration },
    #[error("disconnect: {0}")]
    Ended(#[from] End),
}

fn codes(codes: &[ReasonCode]) -> String {
    let texts: Vec<_> = codes.iter().map(|code| format!("{code} (0x{:02X})", code.value())).collect();
    texts.join(", ")
}

fn detail(connack: &Connack) -> String {
    let text = connack.reason_string.as_ref().map(|text| format!(": {text}"));
    let server = connack.server_reference.as_ref().map(|server| format!("; use {server}"));
    text.unwrap_or_default() + &server.unwrap_or_default()
}

fn reason(disconnect: &Disconnect) -> String {
    disconnect.reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}
