//! CONNACK: the Server's answer to CONNECT, and what it grants.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::error::DecodeError;
use super::codec::reader::{PropertyReader, Reader};
use super::codec::sink::{PropertySet, Sink};
use super::property::{self, UserProperty};
use super::{ProtocolVersion, QoS, ReasonCode};

/// The Server accepts or refuses a connection. A property that is `None` has the specification's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connack {
    pub session_present: bool,
    /// For 3.1.1 this becomes the nearest Connect Return Code.
    pub reason_code: ReasonCode,
    /// Seconds; 0xFFFF_FFFF does not expire. `None`: as the Client asked.
    pub session_expiry_interval: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    /// QoS 0 or 1; `None` stands for 2, which cannot be said.
    pub maximum_qos: Option<QoS>,
    pub retain_available: Option<bool>,
    /// Bytes; never 0.
    pub maximum_packet_size: Option<u32>,
    pub assigned_client_identifier: Option<ByteString>,
    pub topic_alias_maximum: Option<u16>,
    pub reason_string: Option<ByteString>,
    pub user_properties: Vec<UserProperty>,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_identifiers_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    /// Seconds.
    pub server_keep_alive: Option<u16>,
    pub response_information: Option<ByteString>,
    pub server_reference: Option<ByteString>,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
}

impl Connack {
    /// A CONNACK that says no.
    pub fn refused(reason_code: ReasonCode) -> Self {
        Connack { reason_code, ..Connack::default() }
    }

    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let flags = reader.u8("Connect Acknowledge Flags")?;
        // [MQTT-3.2.2-1]
        if flags > 1 {
            return Err(reader.malformed(
                "Connect Acknowledge Flags",
                "a reserved bit is set",
                "[MQTT-3.2.2-1]",
            ));
        }
        let reason_code = read_reason_code(&mut reader)?;
        let mut connack = Connack { session_present: flags == 1, reason_code, ..Connack::default() };
        // [MQTT-3.2.2-6], in 3.1.1 [MQTT-3.2.2-4]
        if connack.session_present && reason_code != ReasonCode::SUCCESS {
            let statement = reader.statement("[MQTT-3.2.2-6]", "[MQTT-3.2.2-4]");
            return Err(reader.protocol_error("Session Present", "is set in a refusal", statement));
        }
        if reader.version == ProtocolVersion::V5 {
            connack.read_properties(reader.properties()?)?;
        }
        reader.finish()?;
        Ok(connack)
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        // [MQTT-3.2.2-6]
        sink.put_u8(u8::from(self.session_present && !self.reason_code.is_error()));
        match version {
            ProtocolVersion::V311 => sink.put_u8(self.reason_code.connect_return_code()),
            ProtocolVersion::V5 => {
                sink.put_u8(self.reason_code.value());
                sink.put_properties(self);
            }
        }
    }

    fn read_properties(&mut self, mut properties: PropertyReader) -> Result<(), DecodeError> {
        while let Some(identifier) = properties.next()? {
            self.read_property(identifier, &mut properties)?;
        }
        properties.authentication_data_needs_method(&self.authentication_method, &self.authentication_data)
    }

    fn read_property(&mut self, identifier: u8, value: &mut PropertyReader) -> Result<(), DecodeError> {
        match identifier {
            property::SESSION_EXPIRY_INTERVAL => self.session_expiry_interval = Some(value.u32()?),
            property::RECEIVE_MAXIMUM => self.receive_maximum = Some(value.receive_maximum()?),
            property::MAXIMUM_QOS => {
                let qos = if value.boolean()? { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                self.maximum_qos = Some(qos);
            }
            property::RETAIN_AVAILABLE => self.retain_available = Some(value.boolean()?),
            property::MAXIMUM_PACKET_SIZE => self.maximum_packet_size = Some(value.maximum_packet_size()?),
            property::ASSIGNED_CLIENT_IDENTIFIER => self.assigned_client_identifier = Some(value.string()?),
            property::TOPIC_ALIAS_MAXIMUM => self.topic_alias_maximum = Some(value.u16()?),
            property::REASON_STRING => self.reason_string = Some(value.string()?),
            property::USER_PROPERTY => self.user_properties.push(value.user_property()?),
            property::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                self.wildcard_subscription_available = Some(value.boolean()?);
            }
            property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                self.subscription_identifiers_available = Some(value.boolean()?);
            }
            property::SHARED_SUBSCRIPTION_AVAILABLE => {
                self.shared_subscription_available = Some(value.boolean()?);
            }
            property::SERVER_KEEP_ALIVE => self.server_keep_alive = Some(value.u16()?),
            property::RESPONSE_INFORMATION => self.response_information = Some(value.string()?),
            property::SERVER_REFERENCE => self.server_reference = Some(value.string()?),
            property::AUTHENTICATION_METHOD => self.authentication_method = Some(value.string()?),
            property::AUTHENTICATION_DATA => self.authentication_data = Some(value.binary()?),
            _ => return Err(value.not_allowed()),
        }
        Ok(())
    }
}

impl PropertySet for Connack {
    fn put<S: Sink>(&self, sink: &mut S) {
        let maximum_qos = self.maximum_qos.filter(|&qos| qos < QoS::ExactlyOnce);
        sink.property_u32(property::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval);
        sink.property_u16(property::RECEIVE_MAXIMUM, self.receive_maximum.map(NonZeroU16::get));
        sink.property_u8(property::MAXIMUM_QOS, maximum_qos.map(u8::from));
        sink.property_bool(property::RETAIN_AVAILABLE, self.retain_available);
        sink.property_u32(property::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        sink.property_string(property::ASSIGNED_CLIENT_IDENTIFIER, self.assigned_client_identifier.as_ref());
        sink.property_u16(property::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.property_string(property::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
        sink.property_bool(property::WILDCARD_SUBSCRIPTION_AVAILABLE, self.wildcard_subscription_available);
        sink.property_bool(
            property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
            self.subscription_identifiers_available,
        );
        sink.property_bool(property::SHARED_SUBSCRIPTION_AVAILABLE, self.shared_subscription_available);
        sink.property_u16(property::SERVER_KEEP_ALIVE, self.server_keep_alive);
        sink.property_string(property::RESPONSE_INFORMATION, self.response_information.as_ref());
        sink.property_string(property::SERVER_REFERENCE, self.server_reference.as_ref());
        sink.property_string(property::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        sink.property_binary(property::AUTHENTICATION_DATA, self.authentication_data.as_ref());
    }
}

fn read_reason_code(reader: &mut Reader) -> Result<ReasonCode, DecodeError> {
    match reader.version {
        // [MQTT-3.2.2-8]
        ProtocolVersion::V5 => reader.reason_code("[MQTT-3.2.2-8]"),
        // 3.1.1 table 3.1
        ProtocolVersion::V311 => {
            let code = reader.u8("Connect Return Code")?;
            ReasonCode::from_connect_return_code(code)
                .ok_or_else(|| reader.protocol_error("Connect Return Code", "is reserved", "[MQTT-4.8.0-1]"))
        }
    }
}
