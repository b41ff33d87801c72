//! Who a hook is asked about, and what an answer may carry beside its verdict.

use std::net::SocketAddr;
use std::sync::Arc;

use bytestring::ByteString;

use crate::message::ClientKey;
use crate::packet::{ProtocolVersion, ReasonCode};
use crate::peer::{Certificate, CertificateField, Known, Remote, Transport};

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
    pub remote: Option<Remote>,
    pub protocol_version: ProtocolVersion,
    pub listener: Arc<ListenerPolicy>,
    /// Of CONNECT.
    pub user_properties: Box<[(ByteString, ByteString)]>,
}

/// What holds for clients of one listener where no hook decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPolicy {
    pub name: String,
    /// Let in clients about which no hook said anything.
    pub anonymous: bool,
    /// Allow topics about which no hook said anything.
    pub default_authorization: bool,
    pub transport: Transport,
    /// What of a verified certificate is the User Name of a client that has one.
    pub user_name_from: Option<CertificateField>,
}

impl ClientInfo {
    /// None where it did not come over an internet protocol.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.remote.as_ref().and_then(Remote::address)
    }

    /// What the transport knows of it beside its address.
    pub fn known(&self) -> Option<&Known> {
        self.remote.as_ref().and_then(Remote::known)
    }

    /// One that was verified.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.known().and_then(|known| known.certificate.as_deref())
    }
}

impl ListenerPolicy {
    /// Over TCP; what no hook allows is not allowed.
    pub fn new(name: impl Into<String>) -> ListenerPolicy {
        ListenerPolicy {
            name: name.into(),
            anonymous: false,
            default_authorization: false,
            transport: Transport::Tcp,
            user_name_from: None,
        }
    }

    /// Whatever no hook denies is allowed.
    pub fn open(name: impl Into<String>) -> ListenerPolicy {
        ListenerPolicy { anonymous: true, default_authorization: true, ..ListenerPolicy::new(name) }
    }

    /// The name that a client's certificate gives it here.
    pub fn user_name(&self, certificate: Option<&Certificate>) -> Option<String> {
        certificate?.field(self.user_name_from?)
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
    fn a_client_takes_eighty_eight_bytes_beside_its_texts() {
        // With the counts of its `Arc` that is what lies between two tasks, which are aligned to 128 bytes.
        assert_eq!(size_of::<ClientInfo>(), 88);
    }
}
