//! The identifiers of MQTT 5.0 properties, and the properties that an Application Message carries.
//!
//! Properties that belong to one packet are fields of that packet.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::error::DecodeError;
use super::codec::reader::PropertyReader;
use super::codec::sink::Sink;

/// A name and a value that mean something to applications only. Names may repeat and the order is kept.
pub type UserProperty = (ByteString, ByteString);

/// What an Application Message says about its payload and its answer; the same in PUBLISH and in Wills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// `true`: the payload is UTF-8; `false`: unspecified bytes, stated expressly.
    pub payload_format_indicator: Option<bool>,
    /// Seconds.
    pub message_expiry_interval: Option<u32>,
    pub content_type: Option<ByteString>,
    pub response_topic: Option<ByteString>,
    pub correlation_data: Option<Bytes>,
    pub user_properties: Vec<UserProperty>,
}

impl PublishProperties {
    /// Replaces all texts and data by copies that share no memory with the buffer they were read into.
    pub fn detach(&mut self) {
        let detach = |text: &mut ByteString| *text = ByteString::from(text.to_string());
        self.content_type.iter_mut().chain(&mut self.response_topic).for_each(detach);
        self.user_properties.iter_mut().for_each(|(name, value)| [name, value].into_iter().for_each(detach));
        self.correlation_data.iter_mut().for_each(|data| *data = Bytes::copy_from_slice(data));
    }

    /// Reads the value of one property.
    pub(super) fn read(&mut self, identifier: u8, value: &mut PropertyReader) -> Result<(), DecodeError> {
        match identifier {
            PAYLOAD_FORMAT_INDICATOR => self.payload_format_indicator = Some(value.boolean()?),
            MESSAGE_EXPIRY_INTERVAL => self.message_expiry_interval = Some(value.u32()?),
            CONTENT_TYPE => self.content_type = Some(value.string()?),
            // [MQTT-3.3.2-14]
            RESPONSE_TOPIC => self.response_topic = Some(value.topic_name("[MQTT-3.3.2-14]")?),
            CORRELATION_DATA => self.correlation_data = Some(value.binary()?),
            USER_PROPERTY => self.user_properties.push(value.user_property()?),
            _ => return Err(value.not_allowed()),
        }
        Ok(())
    }

    /// Writes all but the Message Expiry Interval, which shrinks while a message waits.
    pub(super) fn put_lasting<S: Sink>(&self, sink: &mut S) {
        sink.property_bool(PAYLOAD_FORMAT_INDICATOR, self.payload_format_indicator);
        sink.property_string(CONTENT_TYPE, self.content_type.as_ref());
        sink.property_string(RESPONSE_TOPIC, self.response_topic.as_ref());
        sink.property_binary(CORRELATION_DATA, self.correlation_data.as_ref());
        sink.user_properties(&self.user_properties);
    }
}

/// Declares each property once: its constant, its identifier, its name.
macro_rules! properties {
    ($($constant:ident = $identifier:literal $name:literal;)*) => {
        $(pub(super) const $constant: u8 = $identifier;)*

        /// The identifier and the name of a property, if there is such a one.
        pub(super) fn known(identifier: u32) -> Option<(u8, &'static str)> {
            match identifier {
                $($identifier => Some(($constant, $name)),)*
                _ => None,
            }
        }
    };
}

properties! {
    PAYLOAD_FORMAT_INDICATOR = 0x01 "Payload Format Indicator";
    MESSAGE_EXPIRY_INTERVAL = 0x02 "Message Expiry Interval";
    CONTENT_TYPE = 0x03 "Content Type";
    RESPONSE_TOPIC = 0x08 "Response Topic";
    CORRELATION_DATA = 0x09 "Correlation Data";
    SUBSCRIPTION_IDENTIFIER = 0x0B "Subscription Identifier";
    SESSION_EXPIRY_INTERVAL = 0x11 "Session Expiry Interval";
    ASSIGNED_CLIENT_IDENTIFIER = 0x12 "Assigned Client Identifier";
    SERVER_KEEP_ALIVE = 0x13 "Server Keep Alive";
    AUTHENTICATION_METHOD = 0x15 "Authentication Method";
    AUTHENTICATION_DATA = 0x16 "Authentication Data";
    REQUEST_PROBLEM_INFORMATION = 0x17 "Request Problem Information";
    WILL_DELAY_INTERVAL = 0x18 "Will Delay Interval";
    REQUEST_RESPONSE_INFORMATION = 0x19 "Request Response Information";
    RESPONSE_INFORMATION = 0x1A "Response Information";
    SERVER_REFERENCE = 0x1C "Server Reference";
    REASON_STRING = 0x1F "Reason String";
    RECEIVE_MAXIMUM = 0x21 "Receive Maximum";
    TOPIC_ALIAS_MAXIMUM = 0x22 "Topic Alias Maximum";
    TOPIC_ALIAS = 0x23 "Topic Alias";
    MAXIMUM_QOS = 0x24 "Maximum QoS";
    RETAIN_AVAILABLE = 0x25 "Retain Available";
    USER_PROPERTY = 0x26 "User Property";
    MAXIMUM_PACKET_SIZE = 0x27 "Maximum Packet Size";
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28 "Wildcard Subscription Available";
    SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 0x29 "Subscription Identifiers Available";
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A "Shared Subscription Available";
}
