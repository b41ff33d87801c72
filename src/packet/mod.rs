//! The Control Packets of MQTT 3.1.1 and 5.0 and their encoding.
//!
//! One struct per Control Packet, the same struct for both versions of the protocol: what 3.1.1 does not know
//! is absent after decoding and left out when encoding. Strings and payloads are slices of the buffer they were
//! read from; whoever keeps one longer than the packet copies it, or keeps the whole read buffer alive.
//!
//! This module checks the *form* of packets: each field, and what the fields of one packet say about each other.
//! It does not know what was sent before (packet identifiers in use, negotiated limits, topic aliases), it does
//! not parse Topic Filters, and it does no IO. Start at [`Decoder`] and [`encode`].

mod acknowledge;
mod codec;
mod connack;
mod connect;
mod disconnect;
mod property;
mod publish;
mod reason_code;
mod subscribe;

use std::fmt;
use std::num::NonZeroU16;

pub use acknowledge::{Ack, AckProperties};
pub use codec::decoder::{Decoder, PacketBuffer, Side};
pub use codec::encoder::{
    encode, encode_puback, encode_pubcomp, encode_publish, encode_publish_header, encode_pubrec,
    encode_pubrel, encoded_len, publish_encoded_len,
};
pub use codec::error::{DecodeError, EncodeError};
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::{Auth, Disconnect};
pub use property::{PublishProperties, UserProperty};
pub use publish::{Publish, PublishHeader};
pub use reason_code::{ReasonCode, UnknownReasonCode};
pub use subscribe::{RetainHandling, Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe};

/// The largest number a Variable Byte Integer can carry: the limit of the Remaining Length and of Subscription
/// Identifiers.
pub const MAXIMUM_VARIABLE_BYTE_INTEGER: u32 = 268_435_455;

/// A Control Packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connect(Box<Connect>),
    Connack(Box<Connack>),
    Publish(Publish),
    Puback(Ack),
    Pubrec(Ack),
    Pubrel(Ack),
    Pubcomp(Ack),
    Subscribe(Box<Subscribe>),
    Suback(Suback),
    Unsubscribe(Box<Unsubscribe>),
    Unsuback(Unsuback),
    Pingreq,
    Pingresp,
    Disconnect(Box<Disconnect>),
    Auth(Box<Auth>),
}

impl Packet {
    pub fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::Connack(_) => PacketType::Connack,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Puback(_) => PacketType::Puback,
            Packet::Pubrec(_) => PacketType::Pubrec,
            Packet::Pubrel(_) => PacketType::Pubrel,
            Packet::Pubcomp(_) => PacketType::Pubcomp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::Suback(_) => PacketType::Suback,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::Unsuback(_) => PacketType::Unsuback,
            Packet::Pingreq => PacketType::Pingreq,
            Packet::Pingresp => PacketType::Pingresp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    /// Removes the Reason String of an answer: what goes first when a packet would exceed the receiver's Maximum
    /// Packet Size ([MQTT-3.2.2-19], [MQTT-3.4.2-2] and their likes).
    pub fn remove_reason_string(&mut self) {
        match self {
            Packet::Connack(connack) => connack.reason_string = None,
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                remove_reason_string(&mut ack.properties);
            }
            Packet::Suback(suback) => remove_reason_string(&mut suback.properties),
            Packet::Unsuback(unsuback) => remove_reason_string(&mut unsuback.properties),
            Packet::Disconnect(disconnect) => disconnect.reason_string = None,
            Packet::Auth(auth) => auth.reason_string = None,
            _ => {}
        }
    }

    /// Removes the Reason String and the User Properties of an answer: what is left out when the Client set
    /// Request Problem Information to 0 [MQTT-3.1.2-29], and when a packet would exceed the receiver's Maximum
    /// Packet Size also without the one ([MQTT-3.2.2-20], [MQTT-3.4.2-3] and their likes). Requests and PUBLISH
    /// stay as they are.
    pub fn remove_problem_information(&mut self) {
        match self {
            Packet::Connack(connack) => {
                connack.reason_string = None;
                connack.user_properties.clear();
            }
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                ack.properties = None;
            }
            Packet::Suback(suback) => suback.properties = None,
            Packet::Unsuback(unsuback) => unsuback.properties = None,
            Packet::Disconnect(disconnect) => {
                disconnect.reason_string = None;
                disconnect.user_properties.clear();
            }
            Packet::Auth(auth) => {
                auth.reason_string = None;
                auth.user_properties.clear();
            }
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Pingresp => {}
        }
    }
}

fn remove_reason_string(properties: &mut Option<Box<AckProperties>>) {
    if let Some(some) = properties {
        some.reason_string = None;
        if some.user_properties.is_empty() {
            *properties = None;
        }
    }
}

/// The upper half of a packet's first byte. Displays as the specification writes it: `PUBLISH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Forbidden; it exists so that an error can name it.
    Reserved = 0,
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    pub(crate) fn of(first_byte: u8) -> Self {
        match first_byte >> 4 {
            1 => PacketType::Connect,
            2 => PacketType::Connack,
            3 => PacketType::Publish,
            4 => PacketType::Puback,
            5 => PacketType::Pubrec,
            6 => PacketType::Pubrel,
            7 => PacketType::Pubcomp,
            8 => PacketType::Subscribe,
            9 => PacketType::Suback,
            10 => PacketType::Unsubscribe,
            11 => PacketType::Unsuback,
            12 => PacketType::Pingreq,
            13 => PacketType::Pingresp,
            14 => PacketType::Disconnect,
            15 => PacketType::Auth,
            _ => PacketType::Reserved,
        }
    }

    /// The first byte of every packet of this type but PUBLISH, whose flags vary.
    pub(crate) fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.reserved_flags()
    }

    /// The value that the specification fixes for the flags of all types but PUBLISH.
    pub(crate) fn reserved_flags(self) -> u8 {
        match self {
            PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PacketType::Reserved => "reserved packet type 0",
            PacketType::Connect => "CONNECT",
            PacketType::Connack => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::Puback => "PUBACK",
            PacketType::Pubrec => "PUBREC",
            PacketType::Pubrel => "PUBREL",
            PacketType::Pubcomp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::Suback => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::Unsuback => "UNSUBACK",
            PacketType::Pingreq => "PINGREQ",
            PacketType::Pingresp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        })
    }
}

/// The version of the protocol that a CONNECT asks for. Displays as `3.1.1` and `5.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    V311,
    V5,
}

impl ProtocolVersion {
    /// The byte after the Protocol Name in CONNECT.
    pub fn level(self) -> u8 {
        match self {
            ProtocolVersion::V311 => 4,
            ProtocolVersion::V5 => 5,
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProtocolVersion::V311 => "3.1.1",
            ProtocolVersion::V5 => "5.0",
        })
    }
}

/// Quality of Service. The order is the order of the guarantees, so that `min` gives the QoS of a delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = UnknownQoS;

    fn try_from(value: u8) -> Result<Self, UnknownQoS> {
        match value {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            2 => Ok(QoS::ExactlyOnce),
            _ => Err(UnknownQoS(value)),
        }
    }
}

impl From<QoS> for u8 {
    fn from(qos: QoS) -> u8 {
        qos as u8
    }
}

/// A number above 2 where a QoS was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a QoS: {0} is not one of 0, 1, 2")]
pub struct UnknownQoS(pub u8);

/// The number that ties the packets of one exchange together; never zero [MQTT-2.2.1-3].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketIdentifier(pub NonZeroU16);

impl PacketIdentifier {
    pub const FIRST: Self = PacketIdentifier(NonZeroU16::MIN);

    /// `None` for zero.
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(PacketIdentifier(value)),
            None => None,
        }
    }

    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one; 1 follows 65,535.
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(value) => PacketIdentifier(value),
            None => Self::FIRST,
        }
    }
}

impl fmt::Display for PacketIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_identifier_one_follows_the_last_and_zero_is_none() {
        assert_eq!(PacketIdentifier::new(0), None);
        assert_eq!(PacketIdentifier::FIRST.next().get(), 2);
        assert_eq!(PacketIdentifier(NonZeroU16::MAX).next(), PacketIdentifier::FIRST);
    }

    #[test]
    fn qos_is_ordered_and_ends_at_two() {
        assert!(QoS::AtMostOnce < QoS::AtLeastOnce && QoS::AtLeastOnce < QoS::ExactlyOnce);
        assert_eq!(QoS::try_from(2), Ok(QoS::ExactlyOnce));
        assert_eq!(QoS::try_from(3), Err(UnknownQoS(3)));
    }

    #[test]
    fn every_first_byte_names_its_packet_type() {
        for first_byte in 0..=255u8 {
            assert_eq!(PacketType::of(first_byte) as u8, first_byte >> 4);
        }
    }

    #[test]
    fn problem_information_can_be_removed_from_answers() {
        // [MQTT-3.1.2-29]
        let properties = AckProperties { reason_string: Some("why".into()), ..AckProperties::default() };
        let plain = Ack::new(PacketIdentifier::FIRST, ReasonCode::QUOTA_EXCEEDED);
        let mut packet = Packet::Puback(Ack { properties: Some(Box::new(properties)), ..plain.clone() });
        packet.remove_problem_information();
        assert_eq!(packet, Packet::Puback(plain));
    }

    #[test]
    fn a_reason_string_can_be_removed_from_answers() {
        // [MQTT-3.4.2-2]; what is left has no empty properties, which would cost a byte
        let said = |user_properties: &[UserProperty]| {
            let user_properties = user_properties.to_vec();
            let properties = AckProperties { reason_string: Some("why".into()), user_properties };
            let mut ack = Ack::new(PacketIdentifier::FIRST, ReasonCode::QUOTA_EXCEEDED);
            ack.properties = Some(Box::new(properties));
            let mut packet = Packet::Puback(ack);
            packet.remove_reason_string();
            let Packet::Puback(ack) = packet else { panic!() };
            ack.properties.map(|properties| (properties.reason_string, properties.user_properties))
        };
        assert_eq!(said(&[]), None);
        let kept = [("k".into(), "v".into())];
        assert_eq!(said(&kept), Some((None, kept.to_vec())));
    }

    #[test]
    fn packets_stay_small() {
        assert!(size_of::<Publish>() <= 104, "{}", size_of::<Publish>());
        assert!(size_of::<Packet>() <= 112, "{}", size_of::<Packet>());
    }
}
