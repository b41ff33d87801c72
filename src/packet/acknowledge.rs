//! PUBACK, PUBREC, PUBREL and PUBCOMP: the acknowledgements of PUBLISH, four packets of one shape.

use bytestring::ByteString;

use super::codec::error::DecodeError;
use super::codec::reader::{PropertyReader, Reader};
use super::codec::sink::{PropertySet, Sink};
use super::property::{self, UserProperty};
use super::{PacketIdentifier, PacketType, ProtocolVersion, ReasonCode};

/// One step of a QoS 1 or QoS 2 exchange is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub packet_identifier: PacketIdentifier,
    /// Always Success in 3.1.1.
    pub reason_code: ReasonCode,
    pub properties: Option<Box<AckProperties>>,
}

/// The properties of acknowledgements, SUBACK and UNSUBACK: words for people, not for the flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckProperties {
    pub reason_string: Option<ByteString>,
    pub user_properties: Vec<UserProperty>,
}

impl Ack {
    pub fn new(packet_identifier: PacketIdentifier, reason_code: ReasonCode) -> Self {
        Ack { packet_identifier, reason_code, properties: None }
    }

    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let mut ack = Ack::new(reader.packet_identifier()?, ReasonCode::SUCCESS);
        // 3.1.1 has nothing more; 5.0 leaves out a Success (section 3.4.2.1) and then the Property Length
        // (section 3.4.2.2.1).
        if reader.version == ProtocolVersion::V5 && !reader.is_empty() {
            ack.reason_code = reader.reason_code(reason_code_statement(reader.packet))?;
            if !reader.is_empty() {
                ack.properties = AckProperties::decode(reader.properties()?)?;
            }
        }
        reader.finish()?;
        Ok(ack)
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        sink.put_u16(self.packet_identifier.get());
        if version == ProtocolVersion::V311 {
            return;
        }
        if let Some(properties) = &self.properties {
            sink.put_u8(self.reason_code.value());
            sink.put_properties(&**properties);
        } else if self.reason_code != ReasonCode::SUCCESS {
            sink.put_u8(self.reason_code.value());
        }
    }
}

impl AckProperties {
    pub(super) fn decode(mut properties: PropertyReader) -> Result<Option<Box<Self>>, DecodeError> {
        let mut ack: Option<Box<AckProperties>> = None;
        while let Some(identifier) = properties.next()? {
            let ack = ack.get_or_insert_default();
            match identifier {
                property::REASON_STRING => ack.reason_string = Some(properties.string()?),
                property::USER_PROPERTY => ack.user_properties.push(properties.user_property()?),
                _ => return Err(properties.not_allowed()),
            }
        }
        Ok(ack)
    }
}

impl PropertySet for AckProperties {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.property_string(property::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
    }
}

/// The properties of a packet that always has a Property Length.
impl PropertySet for Option<Box<AckProperties>> {
    fn put<S: Sink>(&self, sink: &mut S) {
        if let Some(properties) = self {
            properties.put(sink);
        }
    }
}

fn reason_code_statement(packet: PacketType) -> &'static str {
    match packet {
        PacketType::Puback => "[MQTT-3.4.2-1]",
        PacketType::Pubrec => "[MQTT-3.5.2-1]",
        PacketType::Pubrel => "[MQTT-3.6.2-1]",
        _ => "[MQTT-3.7.2-1]",
    }
}
