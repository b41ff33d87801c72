//! The fixed header, and whose packet it is to send.
//!
//! A packet is refused as soon as its header shows that it is wrong: its type, its flags, its length. Nothing is
//! allocated before the whole packet is there, and then only in proportion to bytes that are there.

use bytes::{Buf, Bytes, BytesMut};

use super::super::acknowledge::Ack;
use super::super::publish::PublishFlags;
use super::super::{
    Auth, Connack, Connect, Disconnect, Packet, PacketIdentifier, PacketType, ProtocolVersion, Publish,
    ReasonCode, Suback, Subscribe, Unsuback, Unsubscribe,
};
use super::error::DecodeError;
use super::reader::{NOT_MINIMAL, Reader, VariableByteInteger, variable_byte_integer};

/// How the body of a CONNECT of MQTT 5.0 begins.
const CONNECT_V5: &[u8] = b"\x00\x04MQTT\x05";

/// Which side of the connection is decoding; the packets come from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// Turns the bytes of one Network Connection into packets.
///
/// ```
/// use bytes::BytesMut;
/// use tidegate::packet::{Decoder, Packet};
///
/// let mut received = BytesMut::from(&b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a\xc0"[..]);
/// let mut decoder = Decoder::server(1024);
/// let Some(Packet::Connect(connect)) = decoder.decode(&mut received)? else { panic!() };
/// assert_eq!(connect.client_identifier, "a");
/// // The second byte of PINGREQ is still on its way.
/// assert_eq!(decoder.decode(&mut received)?, None);
/// received.extend_from_slice(b"\x00");
/// assert_eq!(decoder.decode(&mut received)?, Some(Packet::Pingreq));
/// # Ok::<(), tidegate::packet::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    side: Side,
    /// `None` until CONNECT has said it.
    version: Option<ProtocolVersion>,
    maximum_packet_size: u32,
}

impl Decoder {
    /// A decoder of what a Client sends. Its first packet must be CONNECT, which decides the version.
    pub fn server(maximum_packet_size: u32) -> Self {
        Decoder { side: Side::Server, version: None, maximum_packet_size }
    }

    /// A decoder of what a Server answers to a CONNECT of this version.
    pub fn client(version: ProtocolVersion, maximum_packet_size: u32) -> Self {
        Decoder { side: Side::Client, version: Some(version), maximum_packet_size }
    }

    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// For a connection whose CONNECT was decoded elsewhere.
    pub fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }

    pub fn maximum_packet_size(&self) -> u32 {
        self.maximum_packet_size
    }

    /// The limit for whole packets, in bytes, from the next packet on.
    pub fn set_maximum_packet_size(&mut self, maximum_packet_size: u32) {
        self.maximum_packet_size = maximum_packet_size;
    }

    /// Takes one packet from the front of `buffer`; `None`, and nothing taken, until all of it is there.
    ///
    /// # Errors
    ///
    /// After an error the connection is over: what follows in the buffer has no meaning.
    #[inline(always)]
    pub fn decode(&mut self, buffer: &mut impl PacketBuffer) -> Result<Option<Packet>, DecodeError> {
        let Some(header) = self.fixed_header(buffer.as_ref())? else { return Ok(None) };
        if let Err(error) = self.require_size(&header) {
            self.note_version(&header, &buffer.as_ref()[header.len..]);
            return Err(error);
        }
        if buffer.as_ref().len() < header.packet_len() {
            return Ok(None);
        }
        if let Some(ack) = bare_ack(&header, &buffer.as_ref()[header.len..]) {
            buffer.skip(header.packet_len());
            return Ok(Some(ack));
        }
        let mut body = buffer.take_front(header.packet_len());
        body.advance(header.len);
        // By itself, as nearly all are of this type: what is made here is not moved before it is returned.
        if let (PacketType::Publish, Some(version)) = (header.packet, self.version) {
            let reader = Reader::new(body, header.packet, version, self.side);
            return Ok(Some(Packet::Publish(decode_publish(&header, reader)?)));
        }
        self.note_version(&header, &body);
        let packet = self.decode_body(&header, body)?;
        if let Packet::Connect(connect) = &packet {
            header.require_minimal(connect.protocol_version)?;
            self.version = Some(connect.protocol_version);
        }
        Ok(Some(packet))
    }

    /// The length of the packet at the front of `bytes`, fixed header included; `None` until it can be told.
    ///
    /// # Errors
    ///
    /// What is already wrong with the fixed header, or the packet being larger than the Maximum Packet Size.
    pub fn packet_len(&self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(header) = self.fixed_header(bytes)? else { return Ok(None) };
        self.require_size(&header)?;
        Ok(Some(header.packet_len()))
    }

    /// That of a CONNECT is known even where the rest is wrong, so that the refusal can be encoded in it.
    fn note_version(&mut self, header: &FixedHeader, body: &[u8]) {
        if header.packet == PacketType::Connect && body.starts_with(CONNECT_V5) {
            self.version = Some(ProtocolVersion::V5);
        }
    }

    #[inline]
    fn fixed_header(&self, bytes: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
        let [first_byte, rest @ ..] = bytes else { return Ok(None) };
        let packet = PacketType::of(*first_byte);
        self.require_expected(packet)?;
        self.require_flags(packet, first_byte & 0x0F)?;
        let (remaining_length, len, minimal) = match variable_byte_integer(rest) {
            VariableByteInteger::Incomplete => return Ok(None),
            VariableByteInteger::Complete { value, len, minimal } => (value, len, minimal),
            VariableByteInteger::TooLong => {
                return Err(malformed(
                    packet,
                    "Remaining Length",
                    "is longer than four bytes",
                    self.general(),
                ));
            }
        };
        let header =
            FixedHeader { packet, flags: first_byte & 0x0F, len: 1 + len, remaining_length, minimal };
        if let Some(version) = self.version {
            header.require_minimal(version)?;
        }
        Ok(Some(header))
    }

    /// [MQTT-3.2.2-15], [MQTT-3.1.2-24]
    fn require_size(&self, header: &FixedHeader) -> Result<(), DecodeError> {
        let (packet, size, limit) = (header.packet, header.packet_len() as u32, self.maximum_packet_size);
        if size > limit { Err(DecodeError::PacketTooLarge { packet, size, limit }) } else { Ok(()) }
    }

    /// The other side may send a packet of this type, now and in this version.
    #[inline]
    fn require_expected(&self, packet: PacketType) -> Result<(), DecodeError> {
        // That of either side, at any time, in any version.
        if packet == PacketType::Publish && self.version.is_some() {
            Ok(())
        } else {
            self.require_other(packet)
        }
    }

    fn require_other(&self, packet: PacketType) -> Result<(), DecodeError> {
        use PacketType::*;
        let Some(version) = self.version else {
            // [MQTT-3.1.0-1]
            let error = protocol_error(packet, "Packet Type", "comes before CONNECT", "[MQTT-3.1.0-1]");
            return if packet == Connect { Ok(()) } else { Err(error) };
        };
        let exists = packet != Reserved && (packet != Auth || version == ProtocolVersion::V5);
        if !exists {
            return Err(malformed(packet, "Packet Type", "is reserved", self.general()));
        }
        let sent_by_other_side = match self.side {
            Side::Server => !matches!(packet, Connack | Suback | Unsuback | Pingresp),
            Side::Client => match packet {
                Connect | Subscribe | Unsubscribe | Pingreq => false,
                Disconnect => version == ProtocolVersion::V5,
                _ => true,
            },
        };
        if !sent_by_other_side {
            return Err(protocol_error(packet, "Packet Type", "is not for this side", self.general()));
        }
        // [MQTT-3.1.0-2]
        if packet == Connect {
            return Err(protocol_error(packet, "Packet Type", "comes a second time", "[MQTT-3.1.0-2]"));
        }
        Ok(())
    }

    fn require_flags(&self, packet: PacketType, flags: u8) -> Result<(), DecodeError> {
        if packet == PacketType::Publish {
            return match PublishFlags::parse(flags) {
                Ok(_) => Ok(()),
                Err([field, message, statement]) => Err(malformed(packet, field, message, statement)),
            };
        }
        if flags == packet.reserved_flags() {
            return Ok(());
        }
        // [MQTT-2.1.3-1], in 3.1.1 [MQTT-2.2.2-2]; five packets say it again.
        let statement = match packet {
            PacketType::Pubrel => "[MQTT-3.6.1-1]",
            PacketType::Subscribe => "[MQTT-3.8.1-1]",
            PacketType::Unsubscribe => "[MQTT-3.10.1-1]",
            PacketType::Disconnect => "[MQTT-3.14.1-1]",
            PacketType::Auth => "[MQTT-3.15.1-1]",
            _ if self.version == Some(ProtocolVersion::V311) => "[MQTT-2.2.2-2]",
            _ => "[MQTT-2.1.3-1]",
        };
        Err(malformed(packet, "Fixed Header flags", "are not those of this packet type", statement))
    }

    #[inline(never)]
    fn decode_body(&self, header: &FixedHeader, body: Bytes) -> Result<Packet, DecodeError> {
        // CONNECT sets the reader's version as soon as it has read it.
        let version = self.version.unwrap_or(ProtocolVersion::V311);
        let reader = Reader::new(body, header.packet, version, self.side);
        Ok(match header.packet {
            PacketType::Publish => Packet::Publish(decode_publish(header, reader)?),
            PacketType::Puback => Packet::Puback(Ack::decode(reader)?),
            PacketType::Pubrec => Packet::Pubrec(Ack::decode(reader)?),
            PacketType::Pubrel => Packet::Pubrel(Ack::decode(reader)?),
            PacketType::Pubcomp => Packet::Pubcomp(Ack::decode(reader)?),
            PacketType::Connect => Packet::Connect(Box::new(Connect::decode(reader)?)),
            PacketType::Connack => Packet::Connack(Box::new(Connack::decode(reader)?)),
            PacketType::Subscribe => Packet::Subscribe(Box::new(Subscribe::decode(reader)?)),
            PacketType::Suback => Packet::Suback(Suback::decode(reader)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(Box::new(Unsubscribe::decode(reader)?)),
            PacketType::Unsuback => Packet::Unsuback(Unsuback::decode(reader)?),
            PacketType::Pingreq => reader.finish().map(|()| Packet::Pingreq)?,
            PacketType::Pingresp => reader.finish().map(|()| Packet::Pingresp)?,
            PacketType::Disconnect => Packet::Disconnect(Box::new(Disconnect::decode(reader)?)),
            PacketType::Auth => Packet::Auth(Box::new(Auth::decode(reader)?)),
            PacketType::Reserved => {
                return Err(malformed(header.packet, "Packet Type", "is reserved", self.general()));
            }
        })
    }

    fn general(&self) -> &'static str {
        match self.version {
            Some(ProtocolVersion::V311) => "[MQTT-4.8.0-1]",
            _ => "[MQTT-4.13.1-1]",
        }
    }
}

/// Bytes that were received and not yet decoded: the `BytesMut` that a socket is read into, or a `Bytes` that
/// came whole. What is taken shares their memory.
pub trait PacketBuffer: AsRef<[u8]> {
    /// Takes the first `len` bytes, which are there.
    fn take_front(&mut self, len: usize) -> Bytes;

    /// Drops them. A `Bytes` that ends with them keeps nothing of its memory.
    fn skip(&mut self, len: usize);
}

impl PacketBuffer for Bytes {
    fn take_front(&mut self, len: usize) -> Bytes {
        self.split_to(len)
    }

    fn skip(&mut self, len: usize) {
        if len == self.len() { *self = Bytes::new() } else { self.advance(len) }
    }
}

impl PacketBuffer for BytesMut {
    fn take_front(&mut self, len: usize) -> Bytes {
        self.split_to(len).freeze()
    }

    fn skip(&mut self, len: usize) {
        self.advance(len);
    }
}

struct FixedHeader {
    packet: PacketType,
    flags: u8,
    /// Bytes of the fixed header itself.
    len: usize,
    remaining_length: u32,
    /// The Remaining Length takes no more bytes than it needs.
    minimal: bool,
}

impl FixedHeader {
    fn packet_len(&self) -> usize {
        self.len + self.remaining_length as usize
    }

    /// [MQTT-1.5.5-1]; 3.1.1 has no such rule, and some of its clients reserve four bytes and fill them in later.
    fn require_minimal(&self, version: ProtocolVersion) -> Result<(), DecodeError> {
        if self.minimal || version == ProtocolVersion::V311 {
            return Ok(());
        }
        Err(malformed(self.packet, "Remaining Length", NOT_MINIMAL, "[MQTT-1.5.5-1]"))
    }
}

/// An acknowledgement that says no more than what it is for, as nearly all do. Nothing of it shares the buffer's memory:
/// it takes a third of what others take.
fn bare_ack(header: &FixedHeader, body: &[u8]) -> Option<Packet> {
    let (packet, &[high, low]): (fn(Ack) -> Packet, _) = match (header.packet, body.first_chunk()?) {
        (PacketType::Puback, id) => (Packet::Puback, id),
        (PacketType::Pubrec, id) => (Packet::Pubrec, id),
        (PacketType::Pubrel, id) => (Packet::Pubrel, id),
        (PacketType::Pubcomp, id) => (Packet::Pubcomp, id),
        _ => return None,
    };
    let id = PacketIdentifier::new(u16::from_be_bytes([high, low]))?;
    (header.remaining_length == 2).then(|| packet(Ack::new(id, ReasonCode::SUCCESS)))
}

#[inline]
fn decode_publish(header: &FixedHeader, reader: Reader) -> Result<Publish, DecodeError> {
    match PublishFlags::parse(header.flags) {
        Ok(flags) => Publish::decode(flags, reader),
        Err([field, message, statement]) => Err(malformed(header.packet, field, message, statement)),
    }
}

fn malformed(
    packet: PacketType,
    field: &'static str,
    message: &'static str,
    statement: &'static str,
) -> DecodeError {
    DecodeError::MalformedPacket { packet, field, message, statement }
}

fn protocol_error(
    packet: PacketType,
    field: &'static str,
    message: &'static str,
    statement: &'static str,
) -> DecodeError {
    let reason_code = ReasonCode::PROTOCOL_ERROR;
    DecodeError::ProtocolError { packet, field, message, statement, reason_code }
}
