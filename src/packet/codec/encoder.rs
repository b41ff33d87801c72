//! Packets into bytes: any packet with [`encode`], and what a broker writes most by functions of their own.
//!
//! A packet is measured first, then written; when it cannot be encoded nothing has been written. What 3.1.1 does
//! not know is left out.

use bytes::{BufMut, BytesMut};

use super::super::publish::PublishHeader;
use super::super::{
    Ack, MAXIMUM_VARIABLE_BYTE_INTEGER, Packet, PacketIdentifier, PacketType, ProtocolVersion, QoS,
    ReasonCode,
};
use super::error::EncodeError;
use super::sink::{Counter, Sink, variable_byte_integer, variable_byte_integer_len};

/// Appends the packet to `out`. CONNECT is encoded in the version that it names itself.
///
/// # Errors
///
/// See [`EncodeError`]. DISCONNECT exists in 3.1.1 as the Client's goodbye: with Reason Code 0x00.
pub fn encode(packet: &Packet, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
    if let Packet::Publish(publish) = packet {
        return encode_publish(&publish.header(), &publish.payload, version, out);
    }
    let body_len = body_len(packet, version)?;
    out.reserve(1 + variable_byte_integer_len(body_len as u32) + body_len);
    BufMut::put_u8(out, packet.packet_type().first_byte());
    out.put_variable_byte_integer(body_len as u32);
    put_body(packet, version, out);
    Ok(())
}

/// The bytes that [`encode`] would append.
pub fn encoded_len(packet: &Packet, version: ProtocolVersion) -> Result<usize, EncodeError> {
    if let Packet::Publish(publish) = packet {
        return publish_encoded_len(&publish.header(), publish.payload.len(), version);
    }
    let body_len = body_len(packet, version)?;
    Ok(1 + variable_byte_integer_len(body_len as u32) + body_len)
}

/// Appends a PUBLISH made of its parts.
pub fn encode_publish(
    header: &PublishHeader<'_>,
    payload: &[u8],
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let remaining_length = publish_remaining_length(header, payload.len(), version)?;
    out.reserve(1 + variable_byte_integer_len(remaining_length) + remaining_length as usize);
    put_publish_header(header, remaining_length, version, out);
    out.extend_from_slice(payload);
    Ok(())
}

/// Appends a PUBLISH up to its payload, which the caller sends next: a large one need not be copied.
pub fn encode_publish_header(
    header: &PublishHeader<'_>,
    payload_len: usize,
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let remaining_length = publish_remaining_length(header, payload_len, version)?;
    let header_len = remaining_length as usize - payload_len;
    out.reserve(1 + variable_byte_integer_len(remaining_length) + header_len);
    put_publish_header(header, remaining_length, version, out);
    Ok(())
}

/// The length of the whole PUBLISH, payload included: to be compared with the receiver's Maximum Packet Size.
pub fn publish_encoded_len(
    header: &PublishHeader<'_>,
    payload_len: usize,
    version: ProtocolVersion,
) -> Result<usize, EncodeError> {
    let remaining_length = publish_remaining_length(header, payload_len, version)?;
    Ok(1 + variable_byte_integer_len(remaining_length) + remaining_length as usize)
}

/// Appends a PUBACK without properties.
pub fn encode_puback(id: PacketIdentifier, reason: ReasonCode, version: ProtocolVersion, out: &mut BytesMut) {
    put_ack(PacketType::Puback, id, reason, version, out);
}

/// Appends a PUBREC without properties.
pub fn encode_pubrec(id: PacketIdentifier, reason: ReasonCode, version: ProtocolVersion, out: &mut BytesMut) {
    put_ack(PacketType::Pubrec, id, reason, version, out);
}

/// Appends a PUBREL without properties.
pub fn encode_pubrel(id: PacketIdentifier, reason: ReasonCode, version: ProtocolVersion, out: &mut BytesMut) {
    put_ack(PacketType::Pubrel, id, reason, version, out);
}

/// Appends a PUBCOMP without properties.
pub fn encode_pubcomp(
    id: PacketIdentifier,
    reason: ReasonCode,
    version: ProtocolVersion,
    out: &mut BytesMut,
) {
    put_ack(PacketType::Pubcomp, id, reason, version, out);
}

fn body_len(packet: &Packet, version: ProtocolVersion) -> Result<usize, EncodeError> {
    require_version(packet, version)?;
    let mut counter = Counter::default();
    put_body(packet, version, &mut counter);
    counter.finish()
}

fn require_version(packet: &Packet, version: ProtocolVersion) -> Result<(), EncodeError> {
    let exists = version == ProtocolVersion::V5
        || match packet {
            Packet::Auth(_) => false,
            Packet::Disconnect(disconnect) => disconnect.reason_code == ReasonCode::NORMAL_DISCONNECTION,
            _ => true,
        };
    if exists { Ok(()) } else { Err(EncodeError::NotInVersion { packet: packet.packet_type(), version }) }
}

fn put_body<S: Sink>(packet: &Packet, version: ProtocolVersion, sink: &mut S) {
    match packet {
        Packet::Connect(connect) => connect.put(sink),
        Packet::Connack(connack) => connack.put(version, sink),
        Packet::Publish(publish) => {
            publish.header().put(version, sink);
            sink.put_slice(&publish.payload);
        }
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            Ack::put(ack, version, sink);
        }
        Packet::Subscribe(subscribe) => subscribe.put(version, sink),
        Packet::Suback(suback) => suback.put(version, sink),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.put(version, sink),
        Packet::Unsuback(unsuback) => unsuback.put(version, sink),
        Packet::Pingreq | Packet::Pingresp => {}
        Packet::Disconnect(disconnect) => disconnect.put(version, sink),
        Packet::Auth(auth) => auth.put(sink),
    }
}

fn publish_remaining_length(
    header: &PublishHeader<'_>,
    payload_len: usize,
    version: ProtocolVersion,
) -> Result<u32, EncodeError> {
    if header.qos > QoS::AtMostOnce && header.packet_identifier.is_none() {
        return Err(EncodeError::NoPacketIdentifier);
    }
    let mut counter = Counter::default();
    header.put(version, &mut counter);
    let len = counter.finish()?.saturating_add(payload_len);
    match u32::try_from(len) {
        Ok(len) if len <= MAXIMUM_VARIABLE_BYTE_INTEGER => Ok(len),
        _ => Err(EncodeError::PacketTooLong(len)),
    }
}

fn put_publish_header(
    header: &PublishHeader<'_>,
    remaining_length: u32,
    version: ProtocolVersion,
    out: &mut BytesMut,
) {
    // First byte, Remaining Length and the length of the topic in one piece, and one that is always as long: each that is
    // put looks for room again, and what has any length is copied by a call.
    let first_byte = (PacketType::Publish as u8) << 4 | header.flags().bits();
    let (length, len) = variable_byte_integer(remaining_length);
    let topic_len = (header.topic.len() as u16).swap_bytes();
    let front = u64::from(topic_len) << (8 * (1 + len))
        | u64::from(u32::from_le_bytes(length)) << 8
        | u64::from(first_byte);
    let begin = out.len();
    out.extend_from_slice(&front.to_le_bytes());
    out.truncate(begin + 3 + len);
    out.extend_from_slice(header.topic.as_bytes());
    header.put_behind_topic(version, out);
}

/// Four bytes; five when 5.0 has something other than Success to say.
fn put_ack(
    packet: PacketType,
    id: PacketIdentifier,
    reason: ReasonCode,
    version: ProtocolVersion,
    out: &mut BytesMut,
) {
    let [high, low] = id.get().to_be_bytes();
    if version == ProtocolVersion::V311 || reason == ReasonCode::SUCCESS {
        out.extend_from_slice(&[packet.first_byte(), 2, high, low]);
    } else {
        out.extend_from_slice(&[packet.first_byte(), 3, high, low, reason.value()]);
    }
}
