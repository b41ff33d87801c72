//! Any bytes, whole and in pieces, to either decoder.

use bytes::{Bytes, BytesMut};
use tidegate::packet::{DecodeError, Decoder, Packet, PacketBuffer, ProtocolVersion};

use super::choices::Choices;

/// What a client sends, from its CONNECT on or after that.
pub fn server(input: &[u8]) {
    let mut choices = Choices::of(input);
    let version = choices.one_of(&[None, Some(ProtocolVersion::V5), Some(ProtocolVersion::V311)]);
    let maximum = maximum_packet_size(&mut choices);
    let piece = choices.below(16) + 1;
    let decoder = || {
        let mut decoder = Decoder::server(maximum);
        if let Some(version) = version {
            decoder.set_version(version);
        }
        decoder
    };
    compare(&decoder, piece, choices.rest());
}

/// What a server sends.
pub fn client(input: &[u8]) {
    let mut choices = Choices::of(input);
    let version = choices.one_of(&[ProtocolVersion::V5, ProtocolVersion::V311]);
    let maximum = maximum_packet_size(&mut choices);
    let piece = choices.below(16) + 1;
    compare(&|| Decoder::client(version, maximum), piece, choices.rest());
}

fn maximum_packet_size(choices: &mut Choices<'_>) -> u32 {
    choices.one_of(&[u32::MAX, 1000, 100, 20, 2])
}

/// The packets and the error are the same however the bytes come.
fn compare(decoder: &dyn Fn() -> Decoder, piece: usize, stream: &[u8]) {
    let whole = decode_all(&mut decoder(), &mut Bytes::copy_from_slice(stream));
    let (mut decoder, mut buffer) = (decoder(), BytesMut::new());
    let (mut packets, mut error) = (Vec::new(), None);
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        let next = decode_all(&mut decoder, &mut buffer);
        packets.extend(next.0);
        error = next.1;
        if error.is_some() {
            break;
        }
    }
    assert_eq!((packets, error), whole);
}

fn decode_all(decoder: &mut Decoder, buffer: &mut impl PacketBuffer) -> (Vec<Packet>, Option<DecodeError>) {
    let mut packets = Vec::new();
    loop {
        let before = buffer.as_ref().len();
        let length = decoder.packet_len(buffer.as_ref());
        match decoder.decode(buffer) {
            Ok(Some(packet)) => {
                let taken = before - buffer.as_ref().len();
                assert_eq!(length, Ok(Some(taken)));
                assert!(taken <= decoder.maximum_packet_size() as usize);
                packets.push(packet);
            }
            Ok(None) => {
                assert_eq!(buffer.as_ref().len(), before);
                return (packets, None);
            }
            // Every error can be told to the peer.
            Err(error) => {
                assert!(error.reason_code().is_error() && !error.to_string().is_empty());
                return (packets, Some(error));
            }
        }
    }
}
