//! Who a hook is asked about, and what an answer may carry beside its verdict.

use std::net::SocketAddr;
use std::sync::Arc;

use bytestring::ByteString;

use crate::message::ClientKey;
use crate::packet::{ProtocolVersion, ReasonCode};

/// A client as far as hooks are concerned; one per Network Connection, unchanged while it lasts.
#[derive(Debug)]
pub struct ClientInfo {
    pub key: ClientKey,
    /// The one that the session has: the client's, or the one assigned to it.
    pub client_identifier: ByteString,
    pub user_name: Option<ByteString>,
    /// None where it did not come over the network.
    pub remote_address: Option<SocketAddr>,
    pub protocol_version: ProtocolVersion,
    pub listener: Arc<ListenerPolicy>,
    /// Of CONNECT.
    pub user_properties: Vec<(ByteString, ByteString)>,
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
