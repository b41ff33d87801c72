//! DISCONNECT, the last packet of a connection, and AUTH, the steps of enhanced authentication.
//!
//! In 3.1.1 a DISCONNECT comes from the Client only and has no body, and there is no AUTH.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::decoder::Side;
use super::codec::error::DecodeError;
use super::codec::reader::{PropertyReader, Reader};
use super::codec::sink::{PropertySet, Sink};
use super::property::{self, UserProperty};
use super::{ProtocolVersion, ReasonCode};

/// One side says why it is about to close the Network Connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disconnect {
    pub reason_code: ReasonCode,
    /// Seconds; from the Client only.
    pub session_expiry_interval: Option<u32>,
    pub reason_string: Option<ByteString>,
    pub user_properties: Vec<UserProperty>,
    pub server_reference: Option<ByteString>,
}

/// A step of enhanced authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    pub reason_code: ReasonCode,
    /// May be missing only beside Success.
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
    pub reason_string: Option<ByteString>,
    pub user_properties: Vec<UserProperty>,
}

impl Disconnect {
    pub fn new(reason_code: ReasonCode) -> Self {
        Disconnect { reason_code, ..Disconnect::default() }
    }

    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let mut disconnect = Disconnect::default();
        // 5.0 leaves out a Normal disconnection (section 3.14.2.1) and then the Property Length (3.14.2.2.1).
        if reader.version == ProtocolVersion::V5 && !reader.is_empty() {
            disconnect.reason_code = reader.reason_code("[MQTT-3.14.2-1]")?;
            if !reader.is_empty() {
                disconnect.read_properties(reader.properties()?)?;
            }
        }
        reader.finish()?;
        Ok(disconnect)
    }

    pub(super) fn put<S: Sink>(&self, version: ProtocolVersion, sink: &mut S) {
        if version == ProtocolVersion::V311 || *self == Disconnect::default() {
            return;
        }
        sink.put_u8(self.reason_code.value());
        if *self != Disconnect::new(self.reason_code) {
            sink.put_properties(self);
        }
    }

    fn read_properties(&mut self, mut properties: PropertyReader) -> Result<(), DecodeError> {
        while let Some(identifier) = properties.next()? {
            match identifier {
                // [MQTT-3.14.2-2]
                property::SESSION_EXPIRY_INTERVAL if properties.side() == Side::Client => {
                    return Err(properties.protocol_error("comes from a Server", "[MQTT-3.14.2-2]"));
                }
                property::SESSION_EXPIRY_INTERVAL => self.session_expiry_interval = Some(properties.u32()?),
                property::REASON_STRING => self.reason_string = Some(properties.string()?),
                property::USER_PROPERTY => self.user_properties.push(properties.user_property()?),
                property::SERVER_REFERENCE => self.server_reference = Some(properties.string()?),
                _ => return Err(properties.not_allowed()),
            }
        }
        Ok(())
    }
}

impl PropertySet for Disconnect {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(property::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval);
        sink.property_string(property::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
        sink.property_string(property::SERVER_REFERENCE, self.server_reference.as_ref());
    }
}

impl Auth {
    pub(super) fn decode(mut reader: Reader) -> Result<Self, DecodeError> {
        let mut auth = Auth::default();
        // Nothing at all stands for Success without properties (section 3.15.2.1).
        if !reader.is_empty() {
            auth.reason_code = reader.reason_code("[MQTT-3.15.2-1]")?;
            auth.read_properties(reader.properties()?)?;
        }
        auth.require_sender(&reader)?;
        if auth.authentication_method.is_none() && auth.reason_code != ReasonCode::SUCCESS {
            let statement = "MQTT 5.0 section 3.15.2.2.2";
            return Err(reader.protocol_error("Authentication Method", "is missing", statement));
        }
        reader.finish()?;
        Ok(auth)
    }

    pub(super) fn put<S: Sink>(&self, sink: &mut S) {
        if *self != Auth::default() {
            sink.put_u8(self.reason_code.value());
            sink.put_properties(self);
        }
    }

    fn read_properties(&mut self, mut properties: PropertyReader) -> Result<(), DecodeError> {
        while let Some(identifier) = properties.next()? {
            match identifier {
                property::AUTHENTICATION_METHOD => self.authentication_method = Some(properties.string()?),
                property::AUTHENTICATION_DATA => self.authentication_data = Some(properties.binary()?),
                property::REASON_STRING => self.reason_string = Some(properties.string()?),
                property::USER_PROPERTY => self.user_properties.push(properties.user_property()?),
                _ => return Err(properties.not_allowed()),
            }
        }
        properties.authentication_data_needs_method(&self.authentication_method, &self.authentication_data)
    }

    /// [MQTT-3.15.2-1]: Success is the Server's, Re-authenticate the Client's.
    fn require_sender(&self, reader: &Reader) -> Result<(), DecodeError> {
        let from_other_side = match reader.side {
            Side::Server => ReasonCode::SUCCESS,
            Side::Client => ReasonCode::RE_AUTHENTICATE,
        };
        if self.reason_code != from_other_side {
            return Ok(());
        }
        let message = "is one that only the other side may send";
        Err(reader.protocol_error("Reason Code", message, "[MQTT-3.15.2-1]"))
    }
}

impl PropertySet for Auth {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.property_string(property::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        sink.property_binary(property::AUTHENTICATION_DATA, self.authentication_data.as_ref());
        sink.property_string(property::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
    }
}
