//! SUBSCRIBE and UNSUBSCRIBE with their answers.
//!
//! Topic Filters are UTF-8 without U+0000 and no more: their syntax is checked where they are used, which
//! is where their type is.

use bytestring::ByteString;

use super::acknowledge::AckProperties;
use super::codec::error::DecodeError;
use super::codec::reader::{PropertyReader, Reader};
use super::codec::sink::{PropertySet, Sink};
use super::property::{self, UserProperty};
use super::{PacketIdentifier, ProtocolVersion, QoS, ReasonCode};

/// A Client asks for Subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    pub packet_identifier: PacketIdentifier,
    /// 1 to 268,435,455.
    pub subscription_identifier: Option<u32>,
    pub user_properties: Vec<UserProperty>,
    /// At least one.
    pub subscriptions: Vec<SubscribeFilter>,
}

/// One Topic Filter of a SUBSCRIBE with its Subscription Options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFilter {
    pub filter: ByteString,
    /// The Maximum QoS of deliveries.
    pub qos: QoS,
    /// Always false in 3.1.1, as is `retain_as_published`.
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

/// When a Subscription is answered with retained messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each SUBSCRIBE, which is what 3.1.1 does.
    #[default]
    SendAtSubscribe = 0,
    /// Only if the Subscription did not exist.
    SendAtNewSubscribe = 1,
    DoNotSend = 2,
}

/// The Server answers a SUBSCRIBE, filter by filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suback {
    pub packet_identifier: PacketIdentifier,
    /// For 3.1.1 every failure becomes 0x80.
    pub reason_codes: Vec<ReasonCode>,
    pub properties: Option<Box<AckProperties>>,
}

/// A Client gives Subscriptions up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    pub packet_identifier: PacketIdentifier,
    pub user_properties: Vec<UserProperty>,
    /// At least one.
    pub filters: Vec<ByteString>,
}

/// The Server answers an UNSUBSCRIBE, filter by filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsuback {
    pub packet_identifier: PacketIdentifier,
    /// Empty in 3.1.1.
    pub reason_codes: Vec<ReasonCode>,
    pub properties: Option<Box<AckProperties>>,
}

impl Subscribe {
    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let mut subscribe = Subscribe {
            packet_identifier: reader.packet_identifier()?,
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: Vec::new(),
        };
        if reader.version == ProtocolVersion::V5 {
            subscribe.read_properties(reader.properties()?)?;
        }
        // [MQTT-3.8.3-2], in 3.1.1 [MQTT-3.8.3-3]
        if reader.is_empty() {
            let statement = reader.statement("[MQTT-3.8.3-2]", "[MQTT-3.8.3-3]");
            return Err(reader.protocol_error("Payload", "has no Topic Filter", statement));
        }
        while !reader.is_empty() {
            subscribe.subscriptions.push(SubscribeFilter::decode(&mut reader)?);
        }
        Ok(subscribe)
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        sink.put_u16(self.packet_identifier.get());
        if version == ProtocolVersion::V5 {
            sink.put_properties(self);
        }
        for subscription in &self.subscriptions {
            sink.put_string(&subscription.filter);
            sink.put_u8(subscription.options(version));
        }
    }

    fn read_properties(&mut self, mut properties: PropertyReader) -> Result<(), DecodeError> {
        while let Some(identifier) = properties.next()? {
            match identifier {
                property::SUBSCRIPTION_IDENTIFIER => {
                    self.subscription_identifier = Some(properties.subscription_identifier()?);
                }
                property::USER_PROPERTY => self.user_properties.push(properties.user_property()?),
                _ => return Err(properties.not_allowed()),
            }
        }
        Ok(())
    }
}

impl PropertySet for Subscribe {
    fn put<S: Sink>(&self, sink: &mut S) {
        if let Some(identifier) = self.subscription_identifier {
            sink.property_subscription_identifier(identifier);
        }
        sink.user_properties(&self.user_properties);
    }
}

impl SubscribeFilter {
    /// A filter with the options that 3.1.1 implies.
    pub fn new(filter: ByteString, qos: QoS) -> Self {
        SubscribeFilter {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::default(),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        // [MQTT-3.8.3-1]
        let filter = reader.string("Topic Filter")?;
        let options = reader.u8("Subscription Options")?;
        match reader.version {
            ProtocolVersion::V311 => SubscribeFilter::decode_v311(filter, options, reader),
            ProtocolVersion::V5 => SubscribeFilter::decode_v5(filter, options, reader),
        }
    }

    fn decode_v311(filter: ByteString, requested_qos: u8, reader: &Reader) -> Result<Self, DecodeError> {
        // 3.1.1 [MQTT-3-8.3-4], which is how the specification writes this number
        let qos = QoS::try_from(requested_qos)
            .map_err(|_| reader.malformed("Requested QoS", "is not one of 0, 1, 2", "[MQTT-3-8.3-4]"))?;
        Ok(SubscribeFilter::new(filter, qos))
    }

    fn decode_v5(filter: ByteString, options: u8, reader: &Reader) -> Result<Self, DecodeError> {
        // [MQTT-3.8.3-5]
        if options & 0b1100_0000 != 0 {
            return Err(reader.malformed("Subscription Options", "a reserved bit is set", "[MQTT-3.8.3-5]"));
        }
        let qos = QoS::try_from(options & 0b11)
            .map_err(|_| reader.protocol_error("Maximum QoS", "is 3", "MQTT 5.0 section 3.8.3.1"))?;
        let retain_handling = match options >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendAtNewSubscribe,
            2 => RetainHandling::DoNotSend,
            _ => return Err(reader.protocol_error("Retain Handling", "is 3", "MQTT 5.0 section 3.8.3.1")),
        };
        let no_local = options & 0b0100 != 0;
        // [MQTT-3.8.3-4]
        if no_local && filter.starts_with("$share/") {
            let message = "is set on a Shared Subscription";
            return Err(reader.protocol_error("No Local", message, "[MQTT-3.8.3-4]"));
        }
        Ok(SubscribeFilter {
            filter,
            qos,
            no_local,
            retain_as_published: options & 0b1000 != 0,
            retain_handling,
        })
    }

    fn options(&self, version: ProtocolVersion) -> u8 {
        match version {
            ProtocolVersion::V311 => self.qos as u8,
            ProtocolVersion::V5 => {
                (self.retain_handling as u8) << 4
                    | u8::from(self.retain_as_published) << 3
                    | u8::from(self.no_local) << 2
                    | self.qos as u8
            }
        }
    }
}

impl Suback {
    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = read_answer_properties(&mut reader)?;
        let reason_codes = read_reason_codes(&mut reader, "[MQTT-3.9.3-2]")?;
        Ok(Suback { packet_identifier, reason_codes, properties })
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        sink.put_u16(self.packet_identifier.get());
        if version == ProtocolVersion::V5 {
            sink.put_properties(&self.properties);
        }
        for code in &self.reason_codes {
            sink.put_u8(match version {
                // 3.1.1 [MQTT-3.9.3-2]
                ProtocolVersion::V311 if code.is_error() => ReasonCode::UNSPECIFIED_ERROR.value(),
                _ => code.value(),
            });
        }
    }
}

impl Unsubscribe {
    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let mut user_properties = Vec::new();
        if reader.version == ProtocolVersion::V5 {
            let mut properties = reader.properties()?;
            while let Some(identifier) = properties.next()? {
                match identifier {
                    property::USER_PROPERTY => user_properties.push(properties.user_property()?),
                    _ => return Err(properties.not_allowed()),
                }
            }
        }
        // [MQTT-3.10.3-2]
        if reader.is_empty() {
            return Err(reader.protocol_error("Payload", "has no Topic Filter", "[MQTT-3.10.3-2]"));
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            // [MQTT-3.10.3-1]
            filters.push(reader.string("Topic Filter")?);
        }
        Ok(Unsubscribe { packet_identifier, user_properties, filters })
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        sink.put_u16(self.packet_identifier.get());
        if version == ProtocolVersion::V5 {
            sink.put_properties(self);
        }
        for filter in &self.filters {
            sink.put_string(filter);
        }
    }
}

impl PropertySet for Unsubscribe {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.user_properties(&self.user_properties);
    }
}

impl Unsuback {
    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = read_answer_properties(&mut reader)?;
        let reason_codes = match reader.version {
            ProtocolVersion::V5 => read_reason_codes(&mut reader, "[MQTT-3.11.3-2]")?,
            ProtocolVersion::V311 => Vec::new(),
        };
        reader.finish()?;
        Ok(Unsuback { packet_identifier, reason_codes, properties })
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        sink.put_u16(self.packet_identifier.get());
        if version == ProtocolVersion::V5 {
            sink.put_properties(&self.properties);
            for code in &self.reason_codes {
                sink.put_u8(code.value());
            }
        }
    }
}

fn read_answer_properties(reader: &mut Reader) -> Result<Option<Box<AckProperties>>, DecodeError> {
    match reader.version {
        ProtocolVersion::V5 => AckProperties::decode(reader.properties()?),
        ProtocolVersion::V311 => Ok(None),
    }
}

/// As many Reason Codes as there are bytes left, at least one, because the request had at least one filter.
fn read_reason_codes(reader: &mut Reader, statement: &'static str) -> Result<Vec<ReasonCode>, DecodeError> {
    if reader.is_empty() {
        return Err(reader.protocol_error("Payload", "has no Reason Code", statement));
    }
    let mut codes = Vec::with_capacity(reader.remaining());
    while !reader.is_empty() {
        let code = reader.reason_code(statement)?;
        // 3.1.1 [MQTT-3.9.3-2]: 0x00, 0x01, 0x02 and 0x80 only.
        if reader.version == ProtocolVersion::V311 && code > ReasonCode::UNSPECIFIED_ERROR {
            return Err(reader.protocol_error("Return Code", "is reserved", statement));
        }
        codes.push(code);
    }
    Ok(codes)
}
