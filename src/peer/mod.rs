//! Who is at the other end of a connection, as far as the transport knows: an address, and what TLS, a Unix socket, a
//! proxy or a WebSocket handshake said beside it.
//!
//! Values only: `transport` finds them out, `hook` hands them on. What a client says of itself in CONNECT is not here.

mod certificate;
mod network;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

pub use certificate::{AlternativeName, Certificate, CertificateField};
pub use network::{Network, NoNetwork};

/// How clients reach a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    Tcp,
    Tls,
    WebSocket,
    SecureWebSocket,
    Unix,
}

impl Transport {
    /// The word for it: `tcp`, `tls`, `ws`, `wss`, `unix`.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::WebSocket => "ws",
            Transport::SecureWebSocket => "wss",
            Transport::Unix => "unix",
        }
    }
}

/// The other end: a [`SocketAddr`] in half of its bytes where that is one of IPv4, and a pointer where more is known,
/// so that a client of whom there is nothing but its address pays for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
    Known(Arc<Known>),
}

/// What is known beside the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The client's own, also where a proxy stands between. None for a Unix socket.
    pub address: Option<SocketAddr>,
    pub tls: Option<Tls>,
    /// One that was verified against the listener's authorities. Behind a pointer, as a proxy is: both are large, and
    /// most clients behind TLS or in a WebSocket have neither.
    pub certificate: Option<Box<Certificate>>,
    pub unix: Option<UnixCredentials>,
    pub proxy: Option<Box<Proxy>>,
    pub web_socket: Option<WebSocket>,
}

/// What a TLS handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// As IANA names it, `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// The protocol that was agreed upon.
    pub protocol: Option<String>,
}

/// Who runs the process at the other end of a Unix socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixCredentials {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<i32>,
}

/// What a proxy said with the PROXY protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy's own address.
    pub address: Option<SocketAddr>,
    /// Where the client connected to.
    pub destination: Option<SocketAddr>,
    /// Fields of version 2 as they came: type and value.
    pub fields: Vec<(u8, Vec<u8>)>,
}

/// What the request of a WebSocket handshake said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocket {
    /// With what stands behind `?`.
    pub path: String,
    pub origin: Option<String>,
}

impl Remote {
    /// None for the other end of a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Remote::V4(address) => Some((*address).into()),
            Remote::V6(address) => Some((**address).into()),
            Remote::Known(known) => known.address,
        }
    }

    /// What is known beside the address.
    pub fn known(&self) -> Option<&Known> {
        match self {
            Remote::V4(_) | Remote::V6(_) => None,
            Remote::Known(known) => Some(known),
        }
    }
}

impl From<SocketAddr> for Remote {
    fn from(address: SocketAddr) -> Remote {
        match address {
            SocketAddr::V4(address) => Remote::V4(address),
            SocketAddr::V6(address) => Remote::V6(Box::new(address)),
        }
    }
}

impl From<Known> for Remote {
    /// With the address alone where there is nothing else.
    fn from(known: Known) -> Remote {
        match known {
            Known {
                address: Some(address),
                tls: None,
                certificate: None,
                unix: None,
                proxy: None,
                web_socket: None,
            } => address.into(),
            known => Remote::Known(Arc::new(known)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_address_is_the_one_it_was_made_of() {
        for text in ["192.0.2.1:1883", "[2001:db8::1]:1883", "[fe80::1%3]:1883"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Remote::from(address).address(), Some(address));
            let known = Known { address: Some(address), ..Known::default() };
            assert_eq!(Remote::from(known.clone()), Remote::from(address));
            let proxied = Known { proxy: Some(Box::default()), ..known };
            assert_eq!(Remote::from(proxied).address(), Some(address));
        }
    }
}
