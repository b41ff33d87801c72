//! The body of a packet, field by field: the data types of section 1.5 and the properties of section 2.2.2.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::super::property::{self, UserProperty};
use super::super::{PacketIdentifier, PacketType, ProtocolVersion, ReasonCode};
use super::decoder::Side;
use super::error::DecodeError;

/// The body of one packet, read from front to back; every field it gives out is a slice of the body.
pub(crate) struct Reader {
    bytes: Bytes,
    pub(crate) packet: PacketType,
    pub(crate) version: ProtocolVersion,
    pub(crate) side: Side,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes, packet: PacketType, version: ProtocolVersion, side: Side) -> Self {
        Reader { bytes, packet, version, side }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.need(1, field)?;
        Ok(self.bytes.get_u8())
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.need(2, field)?;
        Ok(self.bytes.get_u16())
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.need(4, field)?;
        Ok(self.bytes.get_u32())
    }

    pub(crate) fn variable_byte_integer(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match variable_byte_integer(&self.bytes) {
            VariableByteInteger::Incomplete => Err(self.truncated(field)),
            VariableByteInteger::TooLong => Err(self.malformed(field, "is longer than four bytes", TOO_LONG)),
            // [MQTT-1.5.5-1]
            VariableByteInteger::Complete { minimal: false, .. } => {
                Err(self.malformed(field, NOT_MINIMAL, "[MQTT-1.5.5-1]"))
            }
            VariableByteInteger::Complete { value, len, .. } => {
                self.bytes.advance(len);
                Ok(value)
            }
        }
    }

    pub(crate) fn binary(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        let Some((&len, rest)) = self.bytes.split_first_chunk() else { return Err(self.truncated(field)) };
        let len = usize::from(u16::from_be_bytes(len));
        if rest.len() < len {
            return Err(self.truncated(field));
        }
        self.bytes.advance(2);
        Ok(self.bytes.split_to(len))
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Result<ByteString, DecodeError> {
        let bytes = self.binary(field)?;
        self.text(field, bytes)
    }

    /// A string that names a topic, without the wildcards of Topic Filters.
    pub(crate) fn topic_name(
        &mut self,
        field: &'static str,
        statement: &'static str,
    ) -> Result<ByteString, DecodeError> {
        let bytes = self.binary(field)?;
        // Nearly all have none of these, and are looked at once.
        if !has_any(&bytes, [0, b'+', b'#']) {
            return self.utf8(field, bytes);
        }
        self.text(field, bytes)?;
        Err(self.malformed(field, "contains a wildcard", statement))
    }

    fn text(&self, field: &'static str, bytes: Bytes) -> Result<ByteString, DecodeError> {
        // [MQTT-1.5.4-2], in 3.1.1 [MQTT-1.5.3-2]
        if has_any(&bytes, [0]) {
            let statement = self.statement("[MQTT-1.5.4-2]", "[MQTT-1.5.3-2]");
            return Err(self.malformed(field, "contains U+0000", statement));
        }
        self.utf8(field, bytes)
    }

    /// [MQTT-1.5.4-1], in 3.1.1 [MQTT-1.5.3-1]. A byte order mark is kept [MQTT-1.5.4-3].
    fn utf8(&self, field: &'static str, bytes: Bytes) -> Result<ByteString, DecodeError> {
        ByteString::try_from(bytes).map_err(|_| {
            self.malformed(field, "is not UTF-8", self.statement("[MQTT-1.5.4-1]", "[MQTT-1.5.3-1]"))
        })
    }

    pub(crate) fn packet_identifier(&mut self) -> Result<PacketIdentifier, DecodeError> {
        let field = "Packet Identifier";
        let value = self.u16(field)?;
        // [MQTT-2.2.1-3], from a Server [MQTT-2.2.1-4], in 3.1.1 [MQTT-2.3.1-1]
        PacketIdentifier::new(value).ok_or_else(|| {
            let v5 = if self.side == Side::Server { "[MQTT-2.2.1-3]" } else { "[MQTT-2.2.1-4]" };
            self.protocol_error(field, "is zero", self.statement(v5, "[MQTT-2.3.1-1]"))
        })
    }

    /// A Reason Code that the table of this packet lists for who sent it.
    pub(crate) fn reason_code(&mut self, statement: &'static str) -> Result<ReasonCode, DecodeError> {
        let value = self.u8("Reason Code")?;
        let code = ReasonCode::try_from(value).ok().filter(|code| code.is_allowed_in(self.packet));
        let field = "Reason Code";
        let Some(code) = code else {
            return Err(self.protocol_error(field, "is not one this packet may carry", statement));
        };
        let foreign = match self.side {
            Side::Server => code.is_only_for_servers_in(self.packet),
            Side::Client => code.is_only_for_clients_in(self.packet),
        };
        if foreign {
            return Err(self.protocol_error(field, "is one that only the other side may send", statement));
        }
        Ok(code)
    }

    /// Everything that is left.
    pub(crate) fn into_rest(self) -> Bytes {
        self.bytes
    }

    /// Takes a Property Length of zero, where it is that.
    pub(crate) fn skip_no_properties(&mut self) -> bool {
        let has_none = self.bytes.first() == Some(&0);
        if has_none {
            self.bytes.advance(1);
        }
        has_none
    }

    /// The properties of a 5.0 packet.
    pub(crate) fn properties(&mut self) -> Result<PropertyReader, DecodeError> {
        let len = self.variable_byte_integer("Property Length")? as usize;
        self.need(len, "Properties")?;
        let body = Reader { bytes: self.bytes.split_to(len), ..*self };
        Ok(PropertyReader { body, seen: 0, name: "Property Identifier" })
    }

    /// The packet must be over.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.malformed("Remaining Length", "there are bytes after the end of the packet", self.general()))
    }

    #[cold]
    pub(crate) fn malformed(
        &self,
        field: &'static str,
        message: &'static str,
        statement: &'static str,
    ) -> DecodeError {
        DecodeError::MalformedPacket { packet: self.packet, field, message, statement }
    }

    #[cold]
    pub(crate) fn protocol_error(
        &self,
        field: &'static str,
        message: &'static str,
        statement: &'static str,
    ) -> DecodeError {
        let reason_code = ReasonCode::PROTOCOL_ERROR;
        DecodeError::ProtocolError { packet: self.packet, field, message, statement, reason_code }
    }

    /// Chooses the number that a statement has in the version being spoken.
    pub(crate) fn statement(&self, v5: &'static str, v311: &'static str) -> &'static str {
        match self.version {
            ProtocolVersion::V5 => v5,
            ProtocolVersion::V311 => v311,
        }
    }

    /// The statement that covers every violation without one of its own.
    pub(crate) fn general(&self) -> &'static str {
        self.statement("[MQTT-4.13.1-1]", "[MQTT-4.8.0-1]")
    }

    fn need(&self, len: usize, field: &'static str) -> Result<(), DecodeError> {
        if self.bytes.len() < len { Err(self.truncated(field)) } else { Ok(()) }
    }

    fn truncated(&self, field: &'static str) -> DecodeError {
        self.malformed(field, "the packet ends before it does", self.general())
    }
}

/// The properties of one packet, in the order in which they came.
pub(crate) struct PropertyReader {
    body: Reader,
    /// One bit per identifier already met; the largest is 42.
    seen: u64,
    /// The property whose value comes next.
    name: &'static str,
}

impl PropertyReader {
    /// The identifier of the next property. Only User Properties, and Subscription Identifiers in PUBLISH, may
    /// come more than once.
    pub(crate) fn next(&mut self) -> Result<Option<u8>, DecodeError> {
        if self.body.is_empty() {
            return Ok(None);
        }
        self.name = "Property Identifier";
        let identifier = self.body.variable_byte_integer(self.name)?;
        let Some((identifier, name)) = property::known(identifier) else {
            return Err(self.malformed("is unknown", "MQTT 5.0 section 2.2.2.2"));
        };
        self.name = name;
        let repeatable = identifier == property::USER_PROPERTY
            || identifier == property::SUBSCRIPTION_IDENTIFIER && self.body.packet == PacketType::Publish;
        let bit = 1u64 << identifier;
        if self.seen & bit != 0 && !repeatable {
            return Err(self.protocol_error("is there more than once", "MQTT 5.0 section 2.2.2.2"));
        }
        self.seen |= bit;
        Ok(Some(identifier))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.body.u8(self.name)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.body.u16(self.name)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.body.u32(self.name)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.protocol_error("is neither 0 nor 1", self.body.general())),
        }
    }

    pub(crate) fn string(&mut self) -> Result<ByteString, DecodeError> {
        self.body.string(self.name)
    }

    pub(crate) fn topic_name(&mut self, statement: &'static str) -> Result<ByteString, DecodeError> {
        let name = self.body.topic_name(self.name, statement)?;
        // [MQTT-4.7.3-1]
        if name.is_empty() {
            return Err(self.malformed("is empty", "[MQTT-4.7.3-1]"));
        }
        Ok(name)
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        self.body.binary(self.name)
    }

    pub(crate) fn user_property(&mut self) -> Result<UserProperty, DecodeError> {
        // [MQTT-1.5.7-1]
        Ok((self.string()?, self.string()?))
    }

    pub(crate) fn subscription_identifier(&mut self) -> Result<u32, DecodeError> {
        match self.body.variable_byte_integer(self.name)? {
            0 => Err(self.protocol_error("is zero", "MQTT 5.0 section 3.8.2.1.2")),
            identifier => Ok(identifier),
        }
    }

    pub(crate) fn receive_maximum(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.u16()?)
            .ok_or_else(|| self.protocol_error("is zero", "MQTT 5.0 section 3.1.2.11.3"))
    }

    pub(crate) fn maximum_packet_size(&mut self) -> Result<u32, DecodeError> {
        match self.u32()? {
            0 => Err(self.protocol_error("is zero", "MQTT 5.0 section 3.1.2.11.4")),
            size => Ok(size),
        }
    }

    pub(crate) fn topic_alias(&mut self) -> Result<NonZeroU16, DecodeError> {
        // [MQTT-3.3.2-8]
        NonZeroU16::new(self.u16()?).ok_or(DecodeError::ProtocolError {
            packet: self.body.packet,
            field: self.name,
            message: "is zero",
            statement: "[MQTT-3.3.2-8]",
            reason_code: ReasonCode::TOPIC_ALIAS_INVALID,
        })
    }

    pub(crate) fn side(&self) -> Side {
        self.body.side
    }

    /// Asked when all properties are read, because they come in any order.
    pub(crate) fn authentication_data_needs_method(
        &self,
        method: &Option<ByteString>,
        data: &Option<Bytes>,
    ) -> Result<(), DecodeError> {
        if data.is_none() || method.is_some() {
            return Ok(());
        }
        Err(self.body.protocol_error(
            "Authentication Data",
            "is there without an Authentication Method",
            "MQTT 5.0 section 3.1.2.11.10",
        ))
    }

    /// The property is one that this packet must not carry.
    pub(crate) fn not_allowed(&self) -> DecodeError {
        self.malformed("is a property of other packets", "MQTT 5.0 section 2.2.2.2")
    }

    pub(crate) fn malformed(&self, message: &'static str, statement: &'static str) -> DecodeError {
        self.body.malformed(self.name, message, statement)
    }

    pub(crate) fn protocol_error(&self, message: &'static str, statement: &'static str) -> DecodeError {
        self.body.protocol_error(self.name, message, statement)
    }
}

const TOO_LONG: &str = "MQTT 5.0 section 1.5.5";
pub(super) const NOT_MINIMAL: &str = "is longer than it needs to be";

pub(super) enum VariableByteInteger {
    Incomplete,
    TooLong,
    Complete { value: u32, len: usize, minimal: bool },
}

/// Reads a Variable Byte Integer from the front of `bytes`.
pub(super) fn variable_byte_integer(bytes: &[u8]) -> VariableByteInteger {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return VariableByteInteger::Complete { value, len: index + 1, minimal: byte != 0 || index == 0 };
        }
    }
    if bytes.len() < 4 { VariableByteInteger::Incomplete } else { VariableByteInteger::TooLong }
}

pub(super) fn has_wildcard(name: &str) -> bool {
    has_any(name.as_bytes(), [b'+', b'#'])
}

/// Whether one of the bytes is one of these. Texts are short, too short for what looks at sixteen bytes at once: they are
/// looked at by eights, the last of which may begin among those before, or by two fours.
fn has_any<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    if let Some(&last) = bytes.last_chunk() {
        let (words, _) = bytes.as_chunks();
        return words
            .iter()
            .fold(word_has_any(last, wanted), |found, &word| found | word_has_any(word, wanted));
    }
    if let (Some(&[a, b, c, d]), Some(&[e, f, g, h])) = (bytes.first_chunk(), bytes.last_chunk()) {
        return word_has_any([a, b, c, d, e, f, g, h], wanted);
    }
    bytes.iter().any(|byte| wanted.contains(byte))
}

fn word_has_any<const N: usize>(word: [u8; 8], wanted: [u8; N]) -> bool {
    const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(word);
    let found = wanted.into_iter().fold(0, |found, byte| {
        let zero_where_it_is = word ^ (LOWEST * u64::from(byte));
        // The first zero borrows, so that its highest bit is set though it was not.
        found | zero_where_it_is.wrapping_sub(LOWEST) & !zero_where_it_is
    });
    found & LOWEST << 7 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands_and_no_other_is_taken_for_it() {
        let wanted = [0, b'+', b'#'];
        for len in 0..=24 {
            // Beside bytes that differ from those looked for in one bit, or borrow.
            for filler in [1, b'*', b'"', 0x80, 0xFF] {
                let mut bytes = vec![filler; len];
                assert!(!has_any(&bytes, wanted), "{filler} {len}");
                for place in 0..len {
                    for byte in 0..=u8::MAX {
                        bytes[place] = byte;
                        assert_eq!(has_any(&bytes, wanted), wanted.contains(&byte), "{byte} at {place}");
                    }
                    bytes[place] = filler;
                }
            }
        }
    }
}
