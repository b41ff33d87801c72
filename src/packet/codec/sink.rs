//! Where the fields of a packet are written: to a buffer or, to learn the length first, to a [`Counter`].

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::super::MAXIMUM_VARIABLE_BYTE_INTEGER;
use super::super::property::{self, UserProperty};
use super::error::EncodeError;

/// Where the fields of a packet go: into a buffer, or nowhere while they are counted.
pub(crate) trait Sink {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_slice(&mut self, bytes: &[u8]);
    fn put_variable_byte_integer(&mut self, value: u32);
    /// A string or Binary Data with its length in front.
    fn put_binary(&mut self, bytes: &[u8]);

    fn put_string(&mut self, string: &str) {
        self.put_binary(string.as_bytes());
    }

    /// The properties with their length in front.
    fn put_properties<P: PropertySet>(&mut self, properties: &P)
    where
        Self: Sized,
    {
        let mut counter = Counter::default();
        properties.put(&mut counter);
        // An impossible length is found by the counter that measures the packet, before anything is written.
        self.put_variable_byte_integer(counter.len as u32);
        properties.put(self);
    }

    fn property_u8(&mut self, identifier: u8, value: Option<u8>) {
        if let Some(value) = value {
            self.put_u8(identifier);
            self.put_u8(value);
        }
    }

    fn property_bool(&mut self, identifier: u8, value: Option<bool>) {
        self.property_u8(identifier, value.map(u8::from));
    }

    fn property_u16(&mut self, identifier: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.put_u8(identifier);
            self.put_u16(value);
        }
    }

    fn property_u32(&mut self, identifier: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.put_u8(identifier);
            self.put_u32(value);
        }
    }

    fn property_binary(&mut self, identifier: u8, value: Option<&Bytes>) {
        if let Some(value) = value {
            self.put_u8(identifier);
            self.put_binary(value);
        }
    }

    fn property_string(&mut self, identifier: u8, value: Option<&ByteString>) {
        self.property_binary(identifier, value.map(ByteString::as_bytes));
    }

    fn property_subscription_identifier(&mut self, value: u32) {
        self.put_u8(property::SUBSCRIPTION_IDENTIFIER);
        self.put_variable_byte_integer(value);
    }

    fn user_properties(&mut self, properties: &[UserProperty]) {
        for (name, value) in properties {
            self.put_u8(property::USER_PROPERTY);
            self.put_string(name);
            self.put_string(value);
        }
    }
}

/// The properties of one packet, written twice: once to be counted, once for good.
pub(crate) trait PropertySet {
    fn put<S: Sink>(&self, sink: &mut S);
}

impl Sink for BytesMut {
    fn put_u8(&mut self, value: u8) {
        BufMut::put_u8(self, value);
    }

    fn put_u16(&mut self, value: u16) {
        BufMut::put_u16(self, value);
    }

    fn put_u32(&mut self, value: u32) {
        BufMut::put_u32(self, value);
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_variable_byte_integer(&mut self, value: u32) {
        let (bytes, len) = variable_byte_integer(value);
        self.extend_from_slice(&bytes[..len]);
    }

    fn put_binary(&mut self, bytes: &[u8]) {
        BufMut::put_u16(self, bytes.len() as u16);
        self.extend_from_slice(bytes);
    }
}

/// Counts what is put into it, and remembers the first thing that cannot be encoded.
#[derive(Default)]
pub(crate) struct Counter {
    len: usize,
    error: Option<EncodeError>,
}

impl Counter {
    /// The number of bytes counted, if that many fit into one packet.
    pub(crate) fn finish(self) -> Result<usize, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None if self.len > MAXIMUM_VARIABLE_BYTE_INTEGER as usize => {
                Err(EncodeError::PacketTooLong(self.len))
            }
            None => Ok(self.len),
        }
    }
}

impl Sink for Counter {
    fn put_u8(&mut self, _: u8) {
        self.len += 1;
    }

    fn put_u16(&mut self, _: u16) {
        self.len += 2;
    }

    fn put_u32(&mut self, _: u32) {
        self.len += 4;
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
    }

    fn put_variable_byte_integer(&mut self, value: u32) {
        self.len += variable_byte_integer_len(value);
    }

    fn put_binary(&mut self, bytes: &[u8]) {
        if bytes.len() > usize::from(u16::MAX) {
            self.error.get_or_insert(EncodeError::FieldTooLong(bytes.len()));
        }
        self.len += 2 + bytes.len();
    }

    fn property_subscription_identifier(&mut self, value: u32) {
        if value == 0 || value > MAXIMUM_VARIABLE_BYTE_INTEGER {
            self.error.get_or_insert(EncodeError::SubscriptionIdentifier(value));
        }
        self.len += 1 + variable_byte_integer_len(value);
    }
}

/// The bytes of a Variable Byte Integer, and how many of them there are.
pub(super) fn variable_byte_integer(value: u32) -> ([u8; 4], usize) {
    let len = variable_byte_integer_len(value);
    // Seven bits to each byte, and in all but the last the one that says that more follow.
    let spread = value & 0x7F | (value & 0x3F80) << 1 | (value & 0x1F_C000) << 2 | (value & 0xFE0_0000) << 3;
    let more = 0x0080_8080 & ((1 << (8 * (len - 1))) - 1);
    ((spread | more).to_le_bytes(), len)
}

/// The number of bytes that a Variable Byte Integer of this value takes.
pub(super) fn variable_byte_integer_len(value: u32) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::{VariableByteInteger, variable_byte_integer};
    use super::*;

    #[test]
    fn variable_byte_integers_change_their_length_where_the_specification_says() {
        // 5.0 table 1-1; [MQTT-1.5.5-1]
        for (value, expected) in [
            (0, &b"\0"[..]),
            (127, b"\x7F"),
            (128, b"\x80\x01"),
            (16_383, b"\xFF\x7F"),
            (16_384, b"\x80\x80\x01"),
            (2_097_151, b"\xFF\xFF\x7F"),
            (2_097_152, b"\x80\x80\x80\x01"),
            (MAXIMUM_VARIABLE_BYTE_INTEGER, b"\xFF\xFF\xFF\x7F"),
        ] {
            let mut bytes = BytesMut::new();
            bytes.put_variable_byte_integer(value);
            assert_eq!(bytes, expected);
            assert_eq!(variable_byte_integer_len(value), expected.len());
            let read = variable_byte_integer(expected);
            let VariableByteInteger::Complete { value: read, len, minimal } = read else { panic!("{value}") };
            assert_eq!((read, len, minimal), (value, expected.len(), true));
        }
    }
}
