//! How a message and the small things around it become bytes and numbers, the same for every backend.
//!
//! A message is the PUBLISH packet of MQTT 5.0 that our own codec makes, as it changes least of all that could be
//! chosen. Before it stands what a packet does not have; the payload stands behind the packet instead of in it, as
//! a message of the largest size that came by 3.1.1 would be too long for a packet of 5.0.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DeliveryState, StorageError, StorageFault};
use crate::message::{ApplicationMessage, ClientKey, Origin, Timestamp};
use crate::packet::{
    Decoder, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishHeader, PublishProperties, QoS,
    RetainHandling, encode_publish_header,
};
use crate::session::Subscription;
use crate::topic::TopicName;

/// The first byte of a message. One that is laid out otherwise gets another number.
const FORMAT: u8 = 1;
/// Format, origin, depth, whether it expires, and when.
const HEAD: usize = 12;
/// Packets of QoS 1 and 2 have one; a message has none.
const ANY_IDENTIFIER: Option<PacketIdentifier> = PacketIdentifier::new(1);

/// Origins, by the byte that stands for them.
const ORIGINS: [Origin; 6] =
    [Origin::Client, Origin::Will, Origin::Injected, Origin::Bridge, Origin::Cluster, Origin::Retained];

/// Bits of the byte that says how a delivery is sent; below them its QoS.
const RETAIN: u8 = 1 << 2;

/// Bits of SUBSCRIBE's Subscription Options; below them the maximum QoS, above them Retain Handling.
const NO_LOCAL: u8 = 1 << 2;
const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
const RETAIN_HANDLING: u8 = 4;

/// Appends a message. Who published it is left out: a connection does not outlive the broker.
pub(super) fn put_message(message: &ApplicationMessage, out: &mut BytesMut) {
    out.reserve(HEAD + message.size() + 16);
    out.put_u8(FORMAT);
    out.put_u8(ORIGINS.iter().position(|origin| *origin == message.origin).unwrap_or_default() as u8);
    out.put_u8(message.depth);
    out.put_u8(u8::from(message.expires_at.is_some()));
    out.put_u64(message.expires_at.unwrap_or_default().0);
    put_packet(message, message.properties.as_deref(), out);
    out.put_slice(&message.payload);
}

/// A message whose properties no packet can carry is kept without them: nobody could be sent them.
fn put_packet(message: &ApplicationMessage, properties: Option<&PublishProperties>, out: &mut BytesMut) {
    let header = PublishHeader {
        qos: message.qos,
        retain: message.retain,
        topic: message.topic.as_str(),
        packet_identifier: ANY_IDENTIFIER,
        message_expiry_interval: properties.and_then(|properties| properties.message_expiry_interval),
        properties,
        ..PublishHeader::default()
    };
    if let Err(error) = encode_publish_header(&header, 0, ProtocolVersion::V5, out)
        && properties.is_some()
    {
        tracing::warn!(topic = %message.topic, %error, "a message is kept without its properties");
        put_packet(message, None, out);
    }
}

/// What [`put_message`] has made. Topic, properties and payload share the bytes.
pub(super) fn message(mut bytes: Bytes) -> Result<ApplicationMessage, StorageError> {
    if bytes.len() < HEAD {
        return Err(corrupt("a message is cut short"));
    }
    if bytes.get_u8() != FORMAT {
        return Err(corrupt("a message has an unknown format"));
    }
    let Some(&origin) = ORIGINS.get(usize::from(bytes.get_u8())) else {
        return Err(corrupt("a message has an unknown origin"));
    };
    let depth = bytes.get_u8();
    let (expires, at) = (bytes.get_u8(), Timestamp(bytes.get_u64()));
    let publish = publish(&mut bytes)?;
    Ok(ApplicationMessage {
        topic: TopicName::try_from(publish.topic).map_err(corrupt)?,
        payload: bytes,
        qos: publish.qos,
        retain: publish.retain,
        properties: publish.properties,
        origin,
        publisher: ClientKey::default(),
        expires_at: (expires != 0).then_some(at),
        depth,
    })
}

fn publish(bytes: &mut Bytes) -> Result<Publish, StorageError> {
    match Decoder::client(ProtocolVersion::V5, u32::MAX).decode(bytes) {
        Ok(Some(Packet::Publish(publish))) => Ok(publish),
        Ok(Some(_)) => Err(corrupt("a message is a packet of another type")),
        Ok(None) => Err(corrupt("a message is cut short")),
        Err(error) => Err(corrupt(error)),
    }
}

/// The byte that SUBSCRIBE has for it.
pub(super) fn options(subscription: &Subscription) -> u8 {
    u8::from(subscription.maximum_qos)
        | if subscription.no_local { NO_LOCAL } else { 0 }
        | if subscription.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
        | (subscription.retain_handling as u8) << RETAIN_HANDLING
}

pub(super) fn subscription(options: u8, identifier: Option<u32>) -> Result<Subscription, StorageError> {
    let retain_handling = match options >> RETAIN_HANDLING {
        0 => RetainHandling::SendAtSubscribe,
        1 => RetainHandling::SendAtNewSubscribe,
        2 => RetainHandling::DoNotSend,
        _ => return Err(corrupt("a subscription has options that there are not")),
    };
    Ok(Subscription {
        maximum_qos: qos(options)?,
        no_local: options & NO_LOCAL != 0,
        retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
        retain_handling,
        identifier: identifier.and_then(std::num::NonZeroU32::new),
    })
}

/// How a delivery is sent.
pub(super) fn delivery_options(qos: QoS, retain: bool) -> u8 {
    u8::from(qos) | if retain { RETAIN } else { 0 }
}

/// Its QoS, and whether it is sent as a retained message.
pub(super) fn sent_how(options: u8) -> Result<(QoS, bool), StorageError> {
    Ok((qos(options)?, options & RETAIN != 0))
}

fn qos(options: u8) -> Result<QoS, StorageError> {
    QoS::try_from(options & 0b11).map_err(corrupt)
}

/// The state's number, and the Packet Identifier where it has one.
pub(super) fn state(state: DeliveryState) -> (u8, Option<PacketIdentifier>) {
    match state {
        DeliveryState::Queued => (0, None),
        DeliveryState::Sent(identifier) => (1, Some(identifier)),
        DeliveryState::Released(identifier) => (2, Some(identifier)),
    }
}

pub(super) fn delivery_state(state: u64, identifier: Option<u64>) -> Result<DeliveryState, StorageError> {
    match (state, identifier) {
        (0, None) => Ok(DeliveryState::Queued),
        (1, Some(identifier)) => packet_identifier(identifier).map(DeliveryState::Sent),
        (2, Some(identifier)) => packet_identifier(identifier).map(DeliveryState::Released),
        _ => Err(corrupt("a delivery has a state that there is not")),
    }
}

pub(super) fn packet_identifier(number: u64) -> Result<PacketIdentifier, StorageError> {
    let identifier = u16::try_from(number).ok().and_then(PacketIdentifier::new);
    identifier.ok_or_else(|| corrupt("a packet identifier is out of range"))
}

pub(super) fn protocol_version(level: u64) -> Result<ProtocolVersion, StorageError> {
    match level {
        4 => Ok(ProtocolVersion::V311),
        5 => Ok(ProtocolVersion::V5),
        _ => Err(corrupt("a client has a protocol version that there is not")),
    }
}

/// Four bytes each.
pub(super) fn put_identifiers(identifiers: &[u32], out: &mut BytesMut) {
    identifiers.iter().for_each(|identifier| out.put_u32(*identifier));
}

pub(super) fn identifiers(bytes: &[u8]) -> Result<Box<[u32]>, StorageError> {
    let (whole, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(corrupt("a list of subscription identifiers is cut short"));
    }
    Ok(whole.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect())
}

/// What was read cannot have been written.
pub(super) fn corrupt(why: impl ToString) -> StorageError {
    let why = format!("it is corrupt ({}): restore it from a backup", why.to_string());
    StorageError::new("read what is kept", why).with_fault(StorageFault::Unusable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(message: &ApplicationMessage) -> Bytes {
        let mut bytes = BytesMut::new();
        put_message(message, &mut bytes);
        bytes.freeze()
    }

    fn simple(topic: &str, payload: impl Into<Bytes>) -> ApplicationMessage {
        ApplicationMessage::new(TopicName::try_from(topic).unwrap(), payload)
    }

    fn everything() -> ApplicationMessage {
        let properties = PublishProperties {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(7),
            content_type: Some("text/plain".into()),
            response_topic: Some("answer/\u{1f30a}".into()),
            correlation_data: Some(Bytes::from_static(b"\0\xff")),
            user_properties: vec![("a".into(), "1".into()), ("a".into(), "".into())],
        };
        ApplicationMessage {
            properties: Some(Box::new(properties)),
            origin: Origin::Will,
            expires_at: Some(Timestamp(u64::MAX)),
            depth: 3,
            ..simple("t/\u{1f30a}", "payload").with_qos(QoS::ExactlyOnce).with_retain(true)
        }
    }

    #[test]
    fn a_message_survives_with_all_that_it_has() {
        assert_eq!(message(bytes_of(&everything())).unwrap(), everything());
        let plain = simple("t", "");
        assert_eq!(message(bytes_of(&plain)).unwrap(), plain);
        for origin in ORIGINS {
            let from = ApplicationMessage { origin, ..simple("t", "x") };
            assert_eq!(message(bytes_of(&from)).unwrap(), from);
        }
    }

    #[test]
    fn a_message_of_the_largest_size_survives() {
        let topic = "x".repeat(65_535);
        // A PUBLISH of 3.1.1 that fills its Remaining Length.
        let payload = Bytes::from(vec![7; 268_435_455 - 2 - topic.len()]);
        let largest = simple(&topic, payload);
        let back = message(bytes_of(&largest)).unwrap();
        assert_eq!((back.topic, back.payload.len()), (largest.topic, largest.payload.len()));
    }

    #[test]
    fn a_message_with_properties_that_no_packet_can_carry_is_kept_without_them() {
        let mut odd = everything();
        odd.properties.as_mut().unwrap().content_type = Some("x".repeat(65_536).into());
        assert_eq!(message(bytes_of(&odd)).unwrap(), ApplicationMessage { properties: None, ..everything() });
    }

    #[test]
    fn a_message_that_is_cut_short_or_of_another_format_is_corrupt() {
        let bytes = bytes_of(&everything());
        let end = bytes.len() - everything().payload.len();
        for len in 0..end {
            let error = message(bytes.slice(..len)).unwrap_err();
            assert_eq!(error.fault, StorageFault::Unusable, "{len}: {error}");
        }
        let mut other = bytes.to_vec();
        other[0] = FORMAT + 1;
        assert!(message(other.into()).unwrap_err().why.contains("unknown format"));
    }

    #[test]
    fn a_subscription_survives_with_all_its_options() {
        for byte in 0..=u8::MAX {
            if let Ok(read) = subscription(byte & 0b0011_1111, Some(u32::from(byte))) {
                assert_eq!(options(&read), byte & 0b0011_1111);
                assert_eq!(read.identifier.map_or(0, std::num::NonZeroU32::get), u32::from(byte));
            }
        }
        assert!(subscription(3, None).is_err() && subscription(3 << RETAIN_HANDLING, None).is_err());
    }

    #[test]
    fn a_delivery_state_survives_and_another_is_corrupt() {
        let id = PacketIdentifier::new(65_535).unwrap();
        for each in [DeliveryState::Queued, DeliveryState::Sent(id), DeliveryState::Released(id)] {
            let (number, identifier) = state(each);
            let identifier = identifier.map(|id| u64::from(id.get()));
            assert_eq!(delivery_state(number.into(), identifier).unwrap(), each);
        }
        for (state, identifier) in [(0, Some(1)), (1, None), (1, Some(0)), (2, Some(65_536)), (3, Some(1))] {
            assert!(delivery_state(state, identifier).is_err(), "{state} {identifier:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_corrupt(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = message(bytes.into());
        }

        #[test]
        fn a_message_with_a_changed_byte_is_a_message_or_corrupt(at in 0usize..60, to in any::<u8>()) {
            let mut bytes = bytes_of(&everything()).to_vec();
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = message(bytes.into());
        }
    }
}
