//! What was decoded can be encoded, and what that gives decodes to the same and encodes to itself.

use bytes::{Bytes, BytesMut};
use tidegate::packet::{Decoder, Packet, ProtocolVersion, Side, encode, encoded_len};

use super::choices::Choices;
use super::packets;

pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let version = choices.one_of(&[ProtocolVersion::V5, ProtocolVersion::V311]);
    let side = choices.one_of(&[Side::Server, Side::Client]);
    if choices.flag() {
        // Made of choices, so that a long way to a legal packet is none.
        let Some(packet) = packets::any(&mut choices, version) else { return };
        let mut bytes = BytesMut::new();
        if encode(&packet, version, &mut bytes).is_ok() {
            check_all(version, Side::Server, bytes.freeze());
        }
    } else {
        check_all(version, side, Bytes::copy_from_slice(choices.rest()));
    }
}

fn check_all(version: ProtocolVersion, side: Side, mut stream: Bytes) {
    let mut decoder = decoder(version, side);
    while let Ok(Some(packet)) = decoder.decode(&mut stream) {
        let version = decoder.version().unwrap_or(version);
        check(&packet, version, side);
    }
}

fn decoder(version: ProtocolVersion, side: Side) -> Decoder {
    match side {
        Side::Client => Decoder::client(version, u32::MAX),
        Side::Server => {
            let mut decoder = Decoder::server(u32::MAX);
            decoder.set_version(version);
            decoder
        }
    }
}

fn check(packet: &Packet, version: ProtocolVersion, side: Side) {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
    assert_eq!(encoded_len(packet, version), Ok(bytes.len()), "{packet:?}");
    let mut stream = bytes.clone().freeze();
    let again = decoder(version, side).decode(&mut stream);
    assert_eq!(again.as_ref().ok().and_then(Option::as_ref), Some(packet), "{again:?}");
    assert!(stream.is_empty());
    let mut once_more = BytesMut::new();
    encode(packet, version, &mut once_more).unwrap();
    assert_eq!(once_more, bytes);
}
