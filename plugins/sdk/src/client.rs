//! The client that the current call is about. Outside such a call, empty answers.

use crate::{UserProperty, host};

pub use crate::bindings::host::tidegate::plugin::client::{
    CertificateFields, Credentials, ProxyHeader, TlsParameters, WebSocketRequest,
};

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

/// How it is connected: `tcp`, `tls`, `ws`, `wss` or `unix`.
pub fn transport() -> String {
    host::client::transport()
}

/// What its TLS handshake came to.
pub fn tls() -> Option<TlsParameters> {
    host::client::tls()
}

/// One that was verified against the listener's authorities.
pub fn certificate() -> Option<CertificateFields> {
    host::client::certificate()
}

/// DER of its certificate, then of the others that it sent.
pub fn certificate_chain() -> Vec<Vec<u8>> {
    host::client::certificate_chain()
}

/// Who runs the process at the other end of a Unix socket.
pub fn unix_credentials() -> Option<Credentials> {
    host::client::unix_credentials()
}

/// What a proxy said with the PROXY protocol.
pub fn proxy() -> Option<ProxyHeader> {
    host::client::proxy()
}

/// What the request of its WebSocket handshake said.
pub fn web_socket() -> Option<WebSocketRequest> {
    host::client::web_socket()
}
