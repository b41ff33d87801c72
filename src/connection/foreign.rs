//! What comes where CONNECT should, and is no MQTT: by its first byte it may be a client at the wrong port, which the
//! operator can mend and is told.

use super::input::Input;
use crate::broker::Count;
use crate::packet::{DecodeError, ProtocolVersion};

/// The first byte of a handshake of TLS. As that of a packet, it would be CONNECT with flags that it cannot have.
const TLS_HANDSHAKE: u8 = 0x16;

/// What it is that cannot be decoded, where it is known.
pub(super) fn recognized(input: &Input) -> Option<&'static str> {
    match input.next_byte()? {
        TLS_HANDSHAKE => Some(
            "it speaks TLS to a listener without: it comes to the wrong port, or a [[listener.certificate]] is missing",
        ),
        b'G' => Some(
            "it speaks HTTP to a listener for MQTT alone: it comes to the wrong port, or `websocket = true` is missing",
        ),
        _ => None,
    }
}

/// The version in which who sent this is answered, where it is one that has an answer.
pub(super) fn answered_version(error: &DecodeError, input: &mut Input) -> Option<ProtocolVersion> {
    match error {
        DecodeError::UnsupportedProtocolVersion { answer, .. } => Some(*answer),
        _ => input.decoder().version().filter(|&version| version == ProtocolVersion::V5),
    }
}

/// What else is counted.
pub(super) fn cause_of(error: &DecodeError) -> Count {
    match error {
        DecodeError::PacketTooLarge { .. } => Count::LimitConnectSize,
        DecodeError::UnsupportedProtocolVersion { .. } => Count::RefusedOther,
        _ => Count::RefusedMalformed,
    }
}
