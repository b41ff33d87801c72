//! What can be wrong with bytes from the peer, and with packets we are asked to encode.

use super::super::{PacketType, ProtocolVersion, ReasonCode};

/// The peer's bytes are not an acceptable packet. All of these end the Network Connection [MQTT-4.13.1-1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes cannot be parsed.
    #[error("decode {packet}: malformed packet: {field}: {message} {statement}")]
    MalformedPacket {
        packet: PacketType,
        /// The field in the specification's words.
        field: &'static str,
        message: &'static str,
        /// The normative statement that is violated, or the section where there is none.
        statement: &'static str,
    },
    /// The bytes can be parsed, but say what the protocol does not allow.
    #[error("decode {packet}: protocol error: {field}: {message} {statement}")]
    ProtocolError {
        packet: PacketType,
        field: &'static str,
        message: &'static str,
        statement: &'static str,
        /// Protocol Error, or a code that says more, such as Topic Alias invalid.
        reason_code: ReasonCode,
    },
    /// The packet is longer than the limit; found before any of its body was read.
    #[error("decode {packet}: {size} bytes are more than the Maximum Packet Size of {limit} [MQTT-3.2.2-15]")]
    PacketTooLarge { packet: PacketType, size: u32, limit: u32 },
    /// CONNECT asks for a protocol that is neither MQTT 3.1.1 nor 5.0.
    #[error("decode CONNECT: unsupported protocol version: level {level} [MQTT-3.1.2-2]")]
    UnsupportedProtocolVersion {
        level: u8,
        /// The version in which to encode the refusing CONNACK so that the client has a chance to read it:
        /// 3.1.1 (return code 0x01) for protocols up to 3.1.1 and for unknown names, 5.0 (0x84) for later ones.
        answer: ProtocolVersion,
    },
}

impl DecodeError {
    /// The Reason Code for the DISCONNECT or CONNACK that answers this.
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            DecodeError::MalformedPacket { .. } => ReasonCode::MALFORMED_PACKET,
            DecodeError::ProtocolError { reason_code, .. } => *reason_code,
            DecodeError::PacketTooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            DecodeError::UnsupportedProtocolVersion { .. } => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        }
    }

    /// The normative statement that is violated, such as `[MQTT-3.3.1-4]`, or the section where the
    /// specification gives no number.
    pub fn statement(&self) -> &'static str {
        match self {
            DecodeError::MalformedPacket { statement, .. } | DecodeError::ProtocolError { statement, .. } => {
                statement
            }
            DecodeError::PacketTooLarge { .. } => "[MQTT-3.2.2-15]",
            DecodeError::UnsupportedProtocolVersion { .. } => "[MQTT-3.1.2-2]",
        }
    }

    /// The type of the packet that was being decoded.
    pub fn packet_type(&self) -> PacketType {
        match self {
            DecodeError::MalformedPacket { packet, .. }
            | DecodeError::ProtocolError { packet, .. }
            | DecodeError::PacketTooLarge { packet, .. } => *packet,
            DecodeError::UnsupportedProtocolVersion { .. } => PacketType::Connect,
        }
    }
}

/// The packet cannot be put into bytes. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// AUTH, and DISCONNECT with any Reason Code but 0x00, do not exist in 3.1.1.
    #[error("encode {packet}: mqtt {version} does not have it")]
    NotInVersion { packet: PacketType, version: ProtocolVersion },
    /// A string or Binary Data of more than 65,535 bytes.
    #[error("encode a field: {0} bytes are more than 65535")]
    FieldTooLong(usize),
    /// A packet with a Remaining Length of more than 268,435,455 bytes.
    #[error("encode a packet: {0} bytes are more than 268435455")]
    PacketTooLong(usize),
    /// A PUBLISH with QoS 1 or 2 and no Packet Identifier [MQTT-2.2.1-3].
    #[error("encode PUBLISH: QoS above 0 needs a packet identifier")]
    NoPacketIdentifier,
    /// A Subscription Identifier of 0 or of more than 268,435,455.
    #[error("encode a subscription identifier: {0} is out of range")]
    SubscriptionIdentifier(u32),
    /// What the receiver would take for a Malformed Packet or a Protocol Error, such as U+0000 in a text [MQTT-1.5.4-2].
    #[error("encode {field}: {problem}")]
    Invalid { field: &'static str, problem: &'static str },
}
