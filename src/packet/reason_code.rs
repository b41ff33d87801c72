//! The Reason Codes of MQTT 5.0, and their counterparts in the CONNACK of 3.1.1.
//!
//! A [`ReasonCode`] in hand is one that the specification knows. Whether a packet may carry it is a second
//! question, answered by [`ReasonCode::is_allowed_in`].

use std::fmt;

use super::PacketType;

/// What came of an operation: below 0x80 success, from 0x80 on failure. Displays as the specification's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(u8);

/// Declares each Reason Code once: its constant, its value, its name.
macro_rules! reason_codes {
    ($($constant:ident = $value:literal $name:literal;)*) => {
        impl ReasonCode {
            $(#[doc = concat!($name, ".")] pub const $constant: ReasonCode = ReasonCode($value);)*

            /// The name in the table of Reason Codes (5.0, section 2.4).
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($value => $name,)*
                    _ => "",
                }
            }
        }
    };
}

reason_codes! {
    SUCCESS = 0x00 "Success";
    GRANTED_QOS_1 = 0x01 "Granted QoS 1";
    GRANTED_QOS_2 = 0x02 "Granted QoS 2";
    DISCONNECT_WITH_WILL_MESSAGE = 0x04 "Disconnect with Will Message";
    NO_MATCHING_SUBSCRIBERS = 0x10 "No matching subscribers";
    NO_SUBSCRIPTION_EXISTED = 0x11 "No subscription existed";
    CONTINUE_AUTHENTICATION = 0x18 "Continue authentication";
    RE_AUTHENTICATE = 0x19 "Re-authenticate";
    UNSPECIFIED_ERROR = 0x80 "Unspecified error";
    MALFORMED_PACKET = 0x81 "Malformed Packet";
    PROTOCOL_ERROR = 0x82 "Protocol Error";
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83 "Implementation specific error";
    UNSUPPORTED_PROTOCOL_VERSION = 0x84 "Unsupported Protocol Version";
    CLIENT_IDENTIFIER_NOT_VALID = 0x85 "Client Identifier not valid";
    BAD_USER_NAME_OR_PASSWORD = 0x86 "Bad User Name or Password";
    NOT_AUTHORIZED = 0x87 "Not authorized";
    SERVER_UNAVAILABLE = 0x88 "Server unavailable";
    SERVER_BUSY = 0x89 "Server busy";
    BANNED = 0x8A "Banned";
    SERVER_SHUTTING_DOWN = 0x8B "Server shutting down";
    BAD_AUTHENTICATION_METHOD = 0x8C "Bad authentication method";
    KEEP_ALIVE_TIMEOUT = 0x8D "Keep Alive timeout";
    SESSION_TAKEN_OVER = 0x8E "Session taken over";
    TOPIC_FILTER_INVALID = 0x8F "Topic Filter invalid";
    TOPIC_NAME_INVALID = 0x90 "Topic Name invalid";
    PACKET_IDENTIFIER_IN_USE = 0x91 "Packet Identifier in use";
    PACKET_IDENTIFIER_NOT_FOUND = 0x92 "Packet Identifier not found";
    RECEIVE_MAXIMUM_EXCEEDED = 0x93 "Receive Maximum exceeded";
    TOPIC_ALIAS_INVALID = 0x94 "Topic Alias invalid";
    PACKET_TOO_LARGE = 0x95 "Packet too large";
    MESSAGE_RATE_TOO_HIGH = 0x96 "Message rate too high";
    QUOTA_EXCEEDED = 0x97 "Quota exceeded";
    ADMINISTRATIVE_ACTION = 0x98 "Administrative action";
    PAYLOAD_FORMAT_INVALID = 0x99 "Payload format invalid";
    RETAIN_NOT_SUPPORTED = 0x9A "Retain not supported";
    QOS_NOT_SUPPORTED = 0x9B "QoS not supported";
    USE_ANOTHER_SERVER = 0x9C "Use another server";
    SERVER_MOVED = 0x9D "Server moved";
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E "Shared Subscriptions not supported";
    CONNECTION_RATE_EXCEEDED = 0x9F "Connection rate exceeded";
    MAXIMUM_CONNECT_TIME = 0xA0 "Maximum connect time";
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1 "Subscription Identifiers not supported";
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2 "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// Normal disconnection: the name of 0x00 in DISCONNECT.
    pub const NORMAL_DISCONNECTION: ReasonCode = ReasonCode::SUCCESS;
    /// Granted QoS 0: the name of 0x00 in SUBACK.
    pub const GRANTED_QOS_0: ReasonCode = ReasonCode::SUCCESS;

    pub const fn value(self) -> u8 {
        self.0
    }

    /// Whether the operation failed: 0x80 and above.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// Whether the table of that packet lists this code. Packets without a Reason Code allow none.
    pub fn is_allowed_in(self, packet: PacketType) -> bool {
        match packet {
            PacketType::Connack => matches!(
                self.0,
                0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F
            ),
            PacketType::Puback | PacketType::Pubrec => {
                matches!(self.0, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::Pubrel | PacketType::Pubcomp => matches!(self.0, 0x00 | 0x92),
            PacketType::Suback => {
                matches!(self.0, 0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
            }
            PacketType::Unsuback => matches!(self.0, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            PacketType::Disconnect => matches!(
                self.0,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2
            ),
            PacketType::Auth => matches!(self.0, 0x00 | 0x18 | 0x19),
            _ => false,
        }
    }

    /// Whether the table of that packet lists this code as one that only a Server sends. AUTH has rules of its own.
    pub fn is_only_for_servers_in(self, packet: PacketType) -> bool {
        match packet {
            PacketType::Puback | PacketType::Pubrec => self == ReasonCode::NO_MATCHING_SUBSCRIBERS,
            PacketType::Disconnect => {
                matches!(self.0, 0x87 | 0x89 | 0x8B | 0x8D..=0x8F | 0x9A..=0xA2)
            }
            _ => false,
        }
    }

    /// The same for a Client.
    pub fn is_only_for_clients_in(self, packet: PacketType) -> bool {
        packet == PacketType::Disconnect && self == ReasonCode::DISCONNECT_WITH_WILL_MESSAGE
    }

    /// Whether the Reason Code comes with a Server Reference (MQTT 5.0, 4.11).
    pub fn is_redirection(self) -> bool {
        matches!(self, ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED)
    }

    /// The Connect Return Code with which a 3.1.1 CONNACK says the nearest thing.
    ///
    /// 3.1.1 has five ways to refuse; what is none of them becomes 3, server unavailable, because the others
    /// would send the user looking for a mistake of their own.
    pub fn connect_return_code(self) -> u8 {
        match self {
            code if !code.is_error() => 0,
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => 1,
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => 2,
            ReasonCode::BAD_USER_NAME_OR_PASSWORD => 4,
            ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED | ReasonCode::BAD_AUTHENTICATION_METHOD => 5,
            _ => 3,
        }
    }

    /// What a 3.1.1 Connect Return Code means; `None` for the values reserved for future use.
    pub fn from_connect_return_code(code: u8) -> Option<ReasonCode> {
        Some(match code {
            0 => ReasonCode::SUCCESS,
            1 => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            2 => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            3 => ReasonCode::SERVER_UNAVAILABLE,
            4 => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
            5 => ReasonCode::NOT_AUTHORIZED,
            _ => return None,
        })
    }
}

impl TryFrom<u8> for ReasonCode {
    type Error = UnknownReasonCode;

    fn try_from(value: u8) -> Result<Self, UnknownReasonCode> {
        let code = ReasonCode(value);
        if code.name().is_empty() { Err(UnknownReasonCode(value)) } else { Ok(code) }
    }
}

impl From<ReasonCode> for u8 {
    fn from(code: ReasonCode) -> u8 {
        code.0
    }
}

impl From<super::QoS> for ReasonCode {
    /// The code with which SUBACK grants this QoS.
    fn from(qos: super::QoS) -> Self {
        ReasonCode(qos as u8)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A byte that stands for nothing in the table of Reason Codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a Reason Code: the specification does not know 0x{0:02X}")]
pub struct UnknownReasonCode(pub u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_knows_43_values() {
        let known: Vec<u8> = (0..=255).filter(|&value| ReasonCode::try_from(value).is_ok()).collect();
        assert_eq!(known.len(), 43);
        assert_eq!(ReasonCode::try_from(0x03), Err(UnknownReasonCode(0x03)));
        assert_eq!(ReasonCode::NOT_AUTHORIZED.to_string(), "Not authorized");
    }

    #[test]
    fn every_code_is_allowed_somewhere() {
        let packets = (0..16u8).map(|kind| PacketType::of(kind << 4)).collect::<Vec<_>>();
        for value in 0..=255 {
            let allowed = packets.iter().any(|&packet| ReasonCode(value).is_allowed_in(packet));
            assert_eq!(allowed, ReasonCode::try_from(value).is_ok(), "0x{value:02X}");
        }
    }

    #[test]
    fn connect_return_codes_survive_a_round_trip() {
        for code in 0..=5 {
            let reason = ReasonCode::from_connect_return_code(code).unwrap();
            assert_eq!(reason.connect_return_code(), code);
        }
        assert_eq!(ReasonCode::from_connect_return_code(6), None);
        assert_eq!(ReasonCode::BANNED.connect_return_code(), 5);
        assert_eq!(ReasonCode::SERVER_MOVED.connect_return_code(), 3);
    }
}
