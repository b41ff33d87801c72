//! Who a hook is asked about, and what an answer may carry beside its verdict.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use bytestring::ByteString;

use crate::message::ClientKey;
use crate::packet::{ProtocolVersion, ReasonCode};

/// A client as far as hooks are concerned; one per Network Connection, unchanged while it lasts.
///
/// Its texts are not [`ByteString`]s, which take 32 bytes and, once there is a second of one, 32 more.
#[derive(Debug)]
pub struct ClientInfo {
    pub key: ClientKey,
    /// The one that the session has: the client's, or the one assigned to it.
    pub client_identifier: Arc<str>,
    pub user_name: Option<Box<str>>,
    /// None where it did not come over the network.
    pub remote_address: Option<RemoteAddress>,
    pub protocol_version: ProtocolVersion,
    pub listener: Arc<ListenerPolicy>,
    /// Of CONNECT.
    pub user_properties: Box<[(ByteString, ByteString)]>,
}

/// Where a client is: a [`SocketAddr`] in half of its bytes where that is one of IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteAddress {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

/// What holds for clients of one listener where no hook decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPolicy {
    pub name: String,
    /// Let in clients about which no hook said anything.
    pub anonymous: bool,
    /// Allow topics about which no hook said anything.
    pub default_authorization: bool,
}

impl RemoteAddress {
    pub fn get(&self) -> SocketAddr {
        match self {
            RemoteAddress::V4(address) => (*address).into(),
            RemoteAddress::V6(address) => (**address).into(),
        }
    }
}

impl From<SocketAddr> for RemoteAddress {
    fn from(address: SocketAddr) -> RemoteAddress {
        match address {
            SocketAddr::V4(address) => RemoteAddress::V4(address),
            SocketAddr::V6(address) => RemoteAddress::V6(Box::new(address)),
        }
    }
}

/// What the acknowledgement of the current packet carries beside the Reason Code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub reason_string: Option<ByteString>,
    pub user_properties: Vec<(ByteString, ByteString)>,
    /// Sent in CONNACK and DISCONNECT with 0x9C or 0x9D, and in nothing else.
    pub server_reference: Option<ByteString>,
    /// End the connection with this Reason Code once the verdict is carried out.
    pub close: Option<ReasonCode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_address_is_the_one_it_was_made_of() {
        for text in ["192.0.2.1:1883", "[2001:db8::1]:1883", "[fe80::1%3]:1883"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RemoteAddress::from(address).get(), address);
        }
    }

    #[test]
    fn a_client_takes_eighty_eight_bytes_beside_its_texts() {
        // With the counts of its `Arc` that is what lies between two tasks, which are aligned to 128 bytes.
        assert_eq!(size_of::<ClientInfo>(), 88);
    }
}
