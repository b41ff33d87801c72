//! The codec as a whole: `rules` what it refuses, `forms` the bytes it writes, `streams` any packets in any pieces.

mod forms;
mod rules;
mod strategies;
mod streams;

use bytes::Bytes;

use crate::packet::{DecodeError, Decoder, Packet, ProtocolVersion, Side};

fn decoder(version: Option<ProtocolVersion>, side: Side) -> Decoder {
    match (side, version) {
        (Side::Client, version) => Decoder::client(version.unwrap_or(ProtocolVersion::V5), u32::MAX),
        (Side::Server, version) => {
            let mut decoder = Decoder::server(u32::MAX);
            if let Some(version) = version {
                decoder.set_version(version);
            }
            decoder
        }
    }
}

/// Decodes a packet that is all there.
fn decode(version: Option<ProtocolVersion>, side: Side, bytes: &[u8]) -> Result<Packet, DecodeError> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let packet = decoder(version, side).decode(&mut bytes)?.expect("the packet should be whole");
    assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
    Ok(packet)
}

/// A fixed header and a body; short ones only.
fn frame(first_byte: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    assert!(body.len() < 128);
    [&[first_byte, body.len() as u8], &body[..]].concat()
}
