//! The client that the current call is about. Outside such a call, empty answers.

use crate::{UserProperty, host};

pub fn identifier() -> String {
    host::client::identifier()
}

pub fn user_name() -> Option<String> {
    host::client::user_name()
}

/// Address and port, `127.0.0.1:50000`.
pub fn remote_address() -> String {
    host::client::remote_address()
}

/// Name of the listener it came through.
pub fn listener() -> String {
    host::client::listener()
}

/// 4: MQTT 3.1.1, 5: MQTT 5.0; 0: no client.
pub fn protocol_version() -> u8 {
    host::client::protocol_version()
}

/// Of its CONNECT.
pub fn user_properties() -> Vec<UserProperty> {
    host::client::user_properties()
}

/// Client Identifier of a [`Receiver`](crate::Receiver)'s session.
pub fn session_identifier(session: u64) -> Option<String> {
    host::client::session_identifier(session)
}
