//! PUBLISH: an Application Message on its way, and the header with which a broker writes one message to many.
//!
//! An empty topic with a Topic Alias is passed on as it is: the connection knows what the alias stands for.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::decoder::Side;
use super::codec::error::DecodeError;
use super::codec::reader::{PropertyReader, Reader};
use super::codec::sink::{PropertySet, Sink};
use super::property::{self, PublishProperties};
use super::{PacketIdentifier, ProtocolVersion, QoS};

/// An Application Message is transported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// Empty only when there is a Topic Alias.
    pub topic: ByteString,
    /// There is one exactly when QoS is above 0.
    pub packet_identifier: Option<PacketIdentifier>,
    pub topic_alias: Option<NonZeroU16>,
    /// From the Server only: one of each matching Subscription that has one.
    pub subscription_identifiers: Vec<u32>,
    pub properties: Option<Box<PublishProperties>>,
    pub payload: Bytes,
}

impl Publish {
    /// A PUBLISH with QoS 0.
    pub fn new(topic: ByteString, payload: Bytes) -> Self {
        Publish { topic, payload, ..Publish::default() }
    }

    /// The same message with this QoS.
    pub fn with_qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// The same message retained or not.
    pub fn with_retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Replaces topic, payload and properties by copies that share no memory with the buffer they were read into.
    pub fn detach(&mut self) {
        self.topic = ByteString::from(self.topic.to_string());
        self.payload = Bytes::copy_from_slice(&self.payload);
        if let Some(properties) = &mut self.properties {
            properties.detach();
        }
    }

    /// All of the packet but its payload.
    pub fn header(&self) -> PublishHeader<'_> {
        PublishHeader {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_identifier: self.packet_identifier,
            topic_alias: self.topic_alias,
            subscription_identifiers: &self.subscription_identifiers,
            message_expiry_interval: self.properties.as_ref().and_then(|all| all.message_expiry_interval),
            properties: self.properties.as_deref(),
        }
    }

    #[inline]
    pub(super) fn decode(flags: PublishFlags, mut reader: Reader) -> Result<Self, DecodeError> {
        // [MQTT-3.3.2-1], [MQTT-3.3.2-2]
        let topic = reader.topic_name("Topic Name", "[MQTT-3.3.2-2]")?;
        // [MQTT-2.2.1-2], in 3.1.1 [MQTT-2.3.1-5]: none with QoS 0.
        let packet_identifier = match flags.qos {
            QoS::AtMostOnce => None,
            _ => Some(reader.packet_identifier()?),
        };
        let PublishFlags { dup, qos, retain } = flags;
        let described = reader.version == ProtocolVersion::V5 && !reader.skip_no_properties();
        let Described { topic_alias, subscription_identifiers, properties } =
            if described { Described::read(reader.properties()?)? } else { Described::default() };
        // [MQTT-4.7.3-1]; 5.0 allows an empty name beside a Topic Alias (section 3.3.2.1).
        if topic.is_empty() && topic_alias.is_none() {
            return Err(reader.protocol_error("Topic Name", "is empty", "[MQTT-4.7.3-1]"));
        }
        let payload = reader.into_rest();
        Ok(Publish {
            dup,
            qos,
            retain,
            topic,
            packet_identifier,
            topic_alias,
            subscription_identifiers,
            properties,
            payload,
        })
    }
}

/// What the properties of a PUBLISH say.
#[derive(Default)]
struct Described {
    topic_alias: Option<NonZeroU16>,
    subscription_identifiers: Vec<u32>,
    properties: Option<Box<PublishProperties>>,
}

impl Described {
    fn read(mut properties: PropertyReader) -> Result<Described, DecodeError> {
        let mut described = Described::default();
        while let Some(identifier) = properties.next()? {
            match identifier {
                property::TOPIC_ALIAS => described.topic_alias = Some(properties.topic_alias()?),
                property::SUBSCRIPTION_IDENTIFIER => {
                    // [MQTT-3.3.4-6]
                    if properties.side() == Side::Server {
                        return Err(properties.protocol_error("comes from a Client", "[MQTT-3.3.4-6]"));
                    }
                    described.subscription_identifiers.push(properties.subscription_identifier()?);
                }
                other => described.properties.get_or_insert_default().read(other, &mut properties)?,
            }
        }
        Ok(described)
    }
}

/// All of a PUBLISH but its payload, borrowed from wherever the parts are kept.
///
/// For 3.1.1 the fields from `topic_alias` on are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishHeader<'a> {
    /// Ignored with QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    pub topic: &'a str,
    /// Ignored with QoS 0 [MQTT-2.2.1-2].
    pub packet_identifier: Option<PacketIdentifier>,
    pub topic_alias: Option<NonZeroU16>,
    pub subscription_identifiers: &'a [u32],
    /// Seconds. Stands in for the one in `properties`, which is what the message began with.
    pub message_expiry_interval: Option<u32>,
    pub properties: Option<&'a PublishProperties>,
}

impl PublishHeader<'_> {
    pub(super) fn flags(&self) -> PublishFlags {
        PublishFlags { dup: self.dup && self.qos > QoS::AtMostOnce, qos: self.qos, retain: self.retain }
    }

    /// Writes what stands between the fixed header and the payload. The caller has seen to it that there is a
    /// Packet Identifier where one is needed.
    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        sink.put_string(self.topic);
        self.put_behind_topic(version, sink);
    }

    /// The rest of that.
    pub(super) fn put_behind_topic<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        if let Some(identifier) = self.packet_identifier.filter(|_| self.qos > QoS::AtMostOnce) {
            sink.put_u16(identifier.get());
        }
        if version == ProtocolVersion::V5 {
            if self.has_properties() {
                sink.put_properties(self);
            } else {
                sink.put_u8(0);
            }
        }
    }

    fn has_properties(&self) -> bool {
        self.properties.is_some()
            || self.topic_alias.is_some()
            || self.message_expiry_interval.is_some()
            || !self.subscription_identifiers.is_empty()
    }
}

impl PropertySet for PublishHeader<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(property::MESSAGE_EXPIRY_INTERVAL, self.message_expiry_interval);
        sink.property_u16(property::TOPIC_ALIAS, self.topic_alias.map(NonZeroU16::get));
        if let Some(properties) = self.properties {
            properties.put_lasting(sink);
        }
        for &identifier in self.subscription_identifiers {
            sink.property_subscription_identifier(identifier);
        }
    }
}

/// The lower half of a PUBLISH packet's first byte.
#[derive(Clone, Copy)]
pub(super) struct PublishFlags {
    pub(super) dup: bool,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl PublishFlags {
    /// The flags, or what is wrong with them: field, message, statement.
    pub(super) fn parse(bits: u8) -> Result<Self, [&'static str; 3]> {
        // [MQTT-3.3.1-4]
        let Ok(qos) = QoS::try_from(bits >> 1 & 0b11) else {
            return Err(["QoS", "is 3", "[MQTT-3.3.1-4]"]);
        };
        let dup = bits & 0b1000 != 0;
        // [MQTT-3.3.1-2]
        if dup && qos == QoS::AtMostOnce {
            return Err(["DUP", "is set with QoS 0", "[MQTT-3.3.1-2]"]);
        }
        Ok(PublishFlags { dup, qos, retain: bits & 1 != 0 })
    }

    pub(super) fn bits(self) -> u8 {
        u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain)
    }
}
