//! CONNECT: the first packet of a Client, with the Will it leaves behind.
//!
//! Whether the Client Identifier is acceptable, and whether the credentials are right, is not asked here.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::error::DecodeError;
use super::codec::reader::{PropertyReader, Reader};
use super::codec::sink::{PropertySet, Sink};
use super::property::{self, PublishProperties, UserProperty};
use super::{ProtocolVersion, QoS};

const BRIDGE_BIT: u8 = 0x80;

/// A Client asks for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    pub protocol_version: ProtocolVersion,
    /// The topmost bit of the level in 3.1.1, in no specification: the Client is a bridge, to which nothing is sent of what it
    /// has published. Mosquitto knows it, in place of No Local, which 3.1.1 does not have.
    pub is_bridge: bool,
    /// Clean Start; in 3.1.1 Clean Session, which also ends the Session with the connection.
    pub clean_start: bool,
    /// Seconds; 0 turns the mechanism off.
    pub keep_alive: u16,
    /// Empty when the Client leaves it to the Server.
    pub client_identifier: ByteString,
    pub user_name: Option<ByteString>,
    pub password: Option<Bytes>,
    pub will: Option<Box<Will>>,
    /// Seconds; 0xFFFF_FFFF does not expire.
    pub session_expiry_interval: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    /// Bytes; never 0.
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: u16,
    pub request_response_information: bool,
    pub request_problem_information: bool,
    pub user_properties: Vec<UserProperty>,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
}

/// The message that the Server publishes when the Client is gone without a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Will {
    pub topic: ByteString,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    /// Seconds.
    pub delay_interval: u32,
    pub properties: Option<Box<PublishProperties>>,
}

impl Connect {
    /// A CONNECT with a Clean Start, without Keep Alive, and with every property at its default.
    pub fn new(protocol_version: ProtocolVersion, client_identifier: ByteString) -> Self {
        Connect {
            protocol_version,
            is_bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_identifier,
            user_name: None,
            password: None,
            will: None,
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
        }
    }

    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let is_bridge;
        (reader.version, is_bridge) = read_protocol_version(&mut reader)?;
        let flags = ConnectFlags::read(&mut reader)?;
        let keep_alive = reader.u16("Keep Alive")?;

        let mut connect = Connect::new(reader.version, ByteString::new());
        connect.is_bridge = is_bridge;
        connect.clean_start = flags.is_set(CLEAN_START);
        connect.keep_alive = keep_alive;
        if reader.version == ProtocolVersion::V5 {
            connect.read_properties(reader.properties()?)?;
        }
        // The fields of the payload come in this order [MQTT-3.1.3-1], the Client Identifier always
        // [MQTT-3.1.3-3].
        connect.client_identifier = reader.string("Client Identifier")?;
        if flags.is_set(WILL_FLAG) {
            connect.will = Some(Box::new(Will::decode(&flags, &mut reader)?));
        }
        if flags.is_set(USER_NAME) {
            connect.user_name = Some(reader.string("User Name")?);
        }
        if flags.is_set(PASSWORD) {
            connect.password = Some(reader.binary("Password")?);
        }
        reader.finish()?;
        Ok(connect)
    }

    pub(super) fn put<S: Sink>(&self, sink: &mut S) {
        sink.put_string(PROTOCOL_NAME);
        let is_bridge = self.is_bridge && self.protocol_version == ProtocolVersion::V311;
        sink.put_u8(self.protocol_version.level() | if is_bridge { BRIDGE_BIT } else { 0 });
        sink.put_u8(ConnectFlags::of(self).bits);
        sink.put_u16(self.keep_alive);
        if self.protocol_version == ProtocolVersion::V5 {
            sink.put_properties(self);
        }
        sink.put_string(&self.client_identifier);
        if let Some(will) = &self.will {
            will.put(self.protocol_version, sink);
        }
        if let Some(user_name) = &self.user_name {
            sink.put_string(user_name);
        }
        if let Some(password) = self.encodable_password() {
            sink.put_binary(password);
        }
    }

    fn read_properties(&mut self, mut properties: PropertyReader) -> Result<(), DecodeError> {
        while let Some(identifier) = properties.next()? {
            match identifier {
                property::SESSION_EXPIRY_INTERVAL => self.session_expiry_interval = Some(properties.u32()?),
                property::RECEIVE_MAXIMUM => self.receive_maximum = Some(properties.receive_maximum()?),
                property::MAXIMUM_PACKET_SIZE => {
                    self.maximum_packet_size = Some(properties.maximum_packet_size()?);
                }
                property::TOPIC_ALIAS_MAXIMUM => self.topic_alias_maximum = properties.u16()?,
                property::REQUEST_RESPONSE_INFORMATION => {
                    self.request_response_information = properties.boolean()?;
                }
                property::REQUEST_PROBLEM_INFORMATION => {
                    self.request_problem_information = properties.boolean()?;
                }
                property::USER_PROPERTY => self.user_properties.push(properties.user_property()?),
                property::AUTHENTICATION_METHOD => self.authentication_method = Some(properties.string()?),
                property::AUTHENTICATION_DATA => self.authentication_data = Some(properties.binary()?),
                _ => return Err(properties.not_allowed()),
            }
        }
        properties.authentication_data_needs_method(&self.authentication_method, &self.authentication_data)
    }

    /// 3.1.1 does not know a password without a user name [MQTT-3.1.2-22].
    fn encodable_password(&self) -> Option<&Bytes> {
        let allowed = self.protocol_version == ProtocolVersion::V5 || self.user_name.is_some();
        self.password.as_ref().filter(|_| allowed)
    }
}

impl PropertySet for Connect {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(property::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval);
        sink.property_u16(property::RECEIVE_MAXIMUM, self.receive_maximum.map(NonZeroU16::get));
        sink.property_u32(property::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        sink.property_u16(
            property::TOPIC_ALIAS_MAXIMUM,
            Some(self.topic_alias_maximum).filter(|&max| max > 0),
        );
        sink.property_u8(
            property::REQUEST_RESPONSE_INFORMATION,
            self.request_response_information.then_some(1),
        );
        sink.property_u8(
            property::REQUEST_PROBLEM_INFORMATION,
            (!self.request_problem_information).then_some(0),
        );
        sink.user_properties(&self.user_properties);
        sink.property_string(property::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        sink.property_binary(property::AUTHENTICATION_DATA, self.authentication_data.as_ref());
    }
}

impl Will {
    fn decode(flags: &ConnectFlags, reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut will = Will { qos: flags.will_qos, retain: flags.is_set(WILL_RETAIN), ..Will::default() };
        if reader.version == ProtocolVersion::V5 {
            will.read_properties(reader.properties()?)?;
        }
        // [MQTT-4.7.0-1], in 3.1.1 [MQTT-4.7.1-1]
        let statement = reader.statement("[MQTT-4.7.0-1]", "[MQTT-4.7.1-1]");
        will.topic = reader.topic_name("Will Topic", statement)?;
        // [MQTT-4.7.3-1]
        if will.topic.is_empty() {
            return Err(reader.malformed("Will Topic", "is empty", "[MQTT-4.7.3-1]"));
        }
        will.payload = reader.binary("Will Payload")?;
        Ok(will)
    }

    fn read_properties(&mut self, mut properties: PropertyReader) -> Result<(), DecodeError> {
        while let Some(identifier) = properties.next()? {
            match identifier {
                property::WILL_DELAY_INTERVAL => self.delay_interval = properties.u32()?,
                other => self.properties.get_or_insert_default().read(other, &mut properties)?,
            }
        }
        Ok(())
    }

    fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        if version == ProtocolVersion::V5 {
            sink.put_properties(self);
        }
        sink.put_string(&self.topic);
        sink.put_binary(&self.payload);
    }
}

impl PropertySet for Will {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(
            property::WILL_DELAY_INTERVAL,
            Some(self.delay_interval).filter(|&delay| delay > 0),
        );
        if let Some(properties) = &self.properties {
            sink.property_u32(property::MESSAGE_EXPIRY_INTERVAL, properties.message_expiry_interval);
            properties.put_lasting(sink);
        }
    }
}

const PROTOCOL_NAME: &str = "MQTT";

const CLEAN_START: u8 = 0b0000_0010;
const WILL_FLAG: u8 = 0b0000_0100;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

struct ConnectFlags {
    bits: u8,
    will_qos: QoS,
}

impl ConnectFlags {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let field = "Connect Flags";
        let bits = reader.u8(field)?;
        let malformed = |message, statement| Err(reader.malformed(field, message, statement));
        // [MQTT-3.1.2-3]
        if bits & 1 != 0 {
            return malformed("the reserved bit is set", "[MQTT-3.1.2-3]");
        }
        // [MQTT-3.1.2-12], in 3.1.1 [MQTT-3.1.2-14]
        let Ok(will_qos) = QoS::try_from(bits >> 3 & 0b11) else {
            return malformed("Will QoS is 3", reader.statement("[MQTT-3.1.2-12]", "[MQTT-3.1.2-14]"));
        };
        let flags = ConnectFlags { bits, will_qos };
        if !flags.is_set(WILL_FLAG) {
            // [MQTT-3.1.2-11], in 3.1.1 [MQTT-3.1.2-13]
            if will_qos != QoS::AtMostOnce {
                let statement = reader.statement("[MQTT-3.1.2-11]", "[MQTT-3.1.2-13]");
                return malformed("Will QoS without a Will", statement);
            }
            // [MQTT-3.1.2-13], in 3.1.1 [MQTT-3.1.2-15]
            if flags.is_set(WILL_RETAIN) {
                let statement = reader.statement("[MQTT-3.1.2-13]", "[MQTT-3.1.2-15]");
                return malformed("Will Retain without a Will", statement);
            }
        }
        // 3.1.1 [MQTT-3.1.2-22]; 5.0 allows it.
        if reader.version == ProtocolVersion::V311 && flags.is_set(PASSWORD) && !flags.is_set(USER_NAME) {
            return malformed("a password without a user name", "[MQTT-3.1.2-22]");
        }
        Ok(flags)
    }

    fn of(connect: &Connect) -> Self {
        let will = connect.will.as_deref();
        let will_qos = will.map_or(QoS::AtMostOnce, |will| will.qos);
        let mut bits = (will_qos as u8) << 3;
        for (flag, set) in [
            (CLEAN_START, connect.clean_start),
            (WILL_FLAG, will.is_some()),
            (WILL_RETAIN, will.is_some_and(|will| will.retain)),
            (PASSWORD, connect.encodable_password().is_some()),
            (USER_NAME, connect.user_name.is_some()),
        ] {
            bits |= if set { flag } else { 0 };
        }
        ConnectFlags { bits, will_qos }
    }

    fn is_set(&self, flag: u8) -> bool {
        self.bits & flag != 0
    }
}

/// [MQTT-3.1.2-1] and [MQTT-3.1.2-2]: the name must be `MQTT`, the level 4 or 5. Says too whether it is a bridge's.
fn read_protocol_version(reader: &mut Reader) -> Result<(ProtocolVersion, bool), DecodeError> {
    let name = reader.string("Protocol Name")?;
    let level = reader.u8("Protocol Version")?;
    match (&*name, level) {
        (PROTOCOL_NAME, 4) => Ok((ProtocolVersion::V311, false)),
        (PROTOCOL_NAME, 0x84) => Ok((ProtocolVersion::V311, true)),
        (PROTOCOL_NAME, 5) => Ok((ProtocolVersion::V5, false)),
        // Bridges that set the bit in 5.0 too ask again without it when they can read the refusal.
        (PROTOCOL_NAME, _) if level & 0x7F >= 5 => {
            Err(DecodeError::UnsupportedProtocolVersion { level, answer: ProtocolVersion::V5 })
        }
        _ => Err(DecodeError::UnsupportedProtocolVersion { level, answer: ProtocolVersion::V311 }),
    }
}
