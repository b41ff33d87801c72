//! What a PUBLISH is about once its connection is taken away: the Application Message.
//!
//! Packet identifiers, DUP and topic aliases are not here: they belong to a connection. Time is an
//! argument everywhere below the broker, as a [`Timestamp`].

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::packet::{PublishProperties, QoS};
use crate::topic::TopicName;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later; the end of time where that overflows.
    pub fn after(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    pub fn after_secs(self, seconds: u32) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::from(seconds) * 1000))
    }

    /// How long until `later`; zero where that is past.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// Names one Network Connection for as long as the broker runs. Zero names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientKey(pub u64);

/// Where a message comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Client,
    Will,
    Injected,
    Bridge,
    Cluster,
    Retained,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationMessage {
    pub topic: TopicName,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    /// Boxed, as most messages have none. Its Message Expiry Interval is not looked at: see `expires_at`.
    pub properties: Option<Box<PublishProperties>>,
    pub origin: Origin,
    /// The connection that published it.
    pub publisher: ClientKey,
    pub expires_at: Option<Timestamp>,
    /// How many plugins' messages in a row caused this one; guards against loops.
    pub depth: u8,
}

impl ApplicationMessage {
    /// A message of the broker's own or an embedder's.
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> ApplicationMessage {
        ApplicationMessage {
            topic,
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: None,
            origin: Origin::Injected,
            publisher: ClientKey::default(),
            expires_at: None,
            depth: 0,
        }
    }

    pub fn with_qos(mut self, qos: QoS) -> ApplicationMessage {
        self.qos = qos;
        self
    }

    pub fn with_retain(mut self, retain: bool) -> ApplicationMessage {
        self.retain = retain;
        self
    }

    /// Whether its Message Expiry Interval has passed.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Seconds left, rounded up, so that a message is not sent with 0 before it expires. Never more than it was
    /// published with [MQTT-3.3.2-6], though `now` may be a moment before that: it is the time at which a turn of
    /// the receiver's connection began.
    pub fn expiry_interval(&self, now: Timestamp) -> Option<u32> {
        let left = now.until(self.expires_at?);
        let left = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        let published = self.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        Some(published.map_or(left, |published| left.min(published)))
    }

    /// What a queue counts for it, in bytes.
    pub fn size(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |p| properties_size(p));
        self.topic.as_str().len() + self.payload.len() + properties
    }

    /// A copy that shares no memory with the buffer it was read into, for what is kept for long: else a
    /// few bytes of payload would keep a whole read buffer alive.
    pub fn to_detached(&self) -> ApplicationMessage {
        let properties = self.properties.as_ref().map(|p| Box::new(detach_properties(p)));
        ApplicationMessage {
            topic: self.topic.to_detached(),
            payload: Bytes::copy_from_slice(&self.payload),
            properties,
            ..self.clone()
        }
    }
}

/// Of a User Property: its place in the list, and what its name and value take beside their bytes.
const USER_PROPERTY: usize = 200;

fn properties_size(p: &PublishProperties) -> usize {
    let text = |s: &Option<ByteString>| s.as_ref().map_or(0, |s| s.len());
    let users: usize =
        p.user_properties.iter().map(|(name, value)| name.len() + value.len() + USER_PROPERTY).sum();
    let correlation = p.correlation_data.as_ref().map_or(0, |d| d.len());
    text(&p.content_type) + text(&p.response_topic) + correlation + users
}

fn detach_properties(p: &PublishProperties) -> PublishProperties {
    let text = |s: &ByteString| ByteString::from(s.to_string());
    PublishProperties {
        payload_format_indicator: p.payload_format_indicator,
        message_expiry_interval: p.message_expiry_interval,
        content_type: p.content_type.as_ref().map(text),
        response_topic: p.response_topic.as_ref().map(text),
        correlation_data: p.correlation_data.as_ref().map(|d| Bytes::copy_from_slice(d)),
        user_properties: p.user_properties.iter().map(|(name, value)| (text(name), text(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_interval_is_rounded_up_and_ends_at_zero() {
        let mut message = ApplicationMessage::new(TopicName::try_from("a").unwrap(), "x");
        assert_eq!(message.expiry_interval(Timestamp(5)), None);
        message.expires_at = Some(Timestamp(3_000));
        assert_eq!(message.expiry_interval(Timestamp(0)), Some(3));
        assert_eq!(message.expiry_interval(Timestamp(2_999)), Some(1));
        assert_eq!(message.expiry_interval(Timestamp(9_000)), Some(0));
        assert!(!message.is_expired(Timestamp(2_999)));
        assert!(message.is_expired(Timestamp(3_000)));
    }

    #[test]
    fn expiry_interval_is_never_more_than_the_message_was_published_with() {
        // [MQTT-3.3.2-6]
        let mut message = ApplicationMessage::new(TopicName::try_from("a").unwrap(), "x");
        message.properties.get_or_insert_default().message_expiry_interval = Some(100);
        message.expires_at = Some(Timestamp(5).after_secs(100));
        assert_eq!(message.expiry_interval(Timestamp(4)), Some(100), "by a clock that was read before");
        assert_eq!(message.expiry_interval(Timestamp(1_005)), Some(99));
    }

    #[test]
    fn a_timestamp_does_not_overflow() {
        assert_eq!(Timestamp(u64::MAX).after_secs(1), Timestamp(u64::MAX));
        assert_eq!(Timestamp(u64::MAX).after(Duration::MAX), Timestamp(u64::MAX));
    }
}
