//! Any packets, in any pieces; any bytes.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::strategies::{connect, packet, version};
use super::{decode, decoder};
use crate::packet::{Decoder, Packet, PacketType, ProtocolVersion, Side, encode, encoded_len};

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Server), Just(Side::Client)]
}

fn any_packet() -> impl Strategy<Value = (ProtocolVersion, Side, Packet)> {
    (version(), side()).prop_flat_map(|(version, side)| (Just(version), Just(side), packet(version, side)))
}

/// A CONNECT and what a Client sends after it.
fn conversation() -> impl Strategy<Value = (ProtocolVersion, Vec<Packet>)> {
    version().prop_flat_map(|version| {
        (connect(version), vec(packet(version, Side::Server), 0..4)).prop_map(move |(connect, packets)| {
            let first = Packet::Connect(Box::new(connect));
            (version, std::iter::once(first).chain(packets).collect())
        })
    })
}

fn bytes_of(version: ProtocolVersion, packets: &[Packet]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for packet in packets {
        encode(packet, version, &mut bytes).unwrap();
    }
    bytes
}

fn decode_all(decoder: &mut Decoder, bytes: &mut BytesMut) -> Vec<Packet> {
    std::iter::from_fn(|| decoder.decode(bytes).unwrap()).collect()
}

proptest! {
    // There are some thirty kinds of packet with up to nineteen fields to draw from.
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_decoded_packet_is_the_encoded_one((version, side, packet) in any_packet()) {
        let bytes = bytes_of(version, std::slice::from_ref(&packet));
        prop_assert_eq!(encoded_len(&packet, version), Ok(bytes.len()));
        prop_assert_eq!(decode(Some(version), side, &bytes), Ok(packet));
    }
}

proptest! {
    #[test]
    fn a_packet_cut_short_waits_for_more((version, side, packet) in any_packet()) {
        let bytes = bytes_of(version, &[packet]).freeze();
        for len in 0..bytes.len() {
            let mut part = bytes.slice(..len);
            prop_assert_eq!(decoder(Some(version), side).decode(&mut part), Ok(None));
            prop_assert_eq!(part.len(), len);
        }
    }

    #[test]
    fn a_shorter_remaining_length_never_panics((version, side, packet) in any_packet(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(version, &[packet]);
        let body = &bytes[bytes.len().min(2)..];
        let len = cut.index(body.len() + 1).min(127);
        let shorter = [&[bytes[0], len as u8], &body[..len]].concat();
        let _ = decode(Some(version), side, &shorter);
    }

    #[test]
    fn a_stream_split_anywhere_gives_the_same_packets((version, packets) in conversation()) {
        let stream = bytes_of(version, &packets);
        let step = 1 + stream.len() / 50;
        for at in (0..=stream.len()).step_by(step) {
            let mut decoder = Decoder::server(u32::MAX);
            let mut buffer = BytesMut::from(&stream[..at]);
            let mut decoded = decode_all(&mut decoder, &mut buffer);
            buffer.extend_from_slice(&stream[at..]);
            decoded.extend(decode_all(&mut decoder, &mut buffer));
            prop_assert_eq!(&decoded, &packets);
            prop_assert_eq!(decoder.version(), Some(version));
        }
    }

    #[test]
    fn a_stream_byte_by_byte_gives_the_same_packets((version, packets) in conversation()) {
        let mut decoder = Decoder::server(u32::MAX);
        let mut buffer = BytesMut::new();
        let mut decoded = Vec::new();
        for byte in bytes_of(version, &packets) {
            buffer.extend_from_slice(&[byte]);
            decoded.extend(decode_all(&mut decoder, &mut buffer));
        }
        prop_assert_eq!(decoded, packets);
    }

    #[test]
    fn a_changed_byte_never_panics(
        (version, side, packet) in any_packet(),
        at in any::<prop::sample::Index>(),
        value: u8,
    ) {
        let mut bytes = bytes_of(version, &[packet]);
        let at = at.index(bytes.len());
        bytes[at] = value;
        let mut decoder = decoder(Some(version), side);
        while let Ok(Some(_)) = decoder.decode(&mut bytes) {}
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), version in proptest::option::of(version()), side in side()) {
        let mut bytes = Bytes::from(bytes);
        let mut decoder = decoder(version, side);
        while let Ok(Some(_)) = decoder.decode(&mut bytes) {}
    }

    #[test]
    fn any_body_of_any_packet_type_never_panics(
        first_byte: u8,
        body in vec(any::<u8>(), 0..127),
        version in proptest::option::of(version()),
        side in side(),
    ) {
        // With the right flags and length the body is always reached.
        let packet = PacketType::of(first_byte);
        let first_byte = if packet == PacketType::Publish { first_byte } else { packet.first_byte() };
        let bytes = [&[first_byte, body.len() as u8], &body[..]].concat();
        let _ = decode(version, side, &bytes);
    }
}
