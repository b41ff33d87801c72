//! Where to connect and what to say there.

use std::time::Duration;

use bytestring::ByteString;

use crate::packet::{Connect, ProtocolVersion};

/// What a connection is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name or an IP address.
    pub host: String,
    pub port: u16,
    /// What CONNECT says.
    pub connect: Connect,
    /// From the first attempt to reach the host to the end of CONNACK.
    pub connect_timeout: Duration,
    /// Bytes of the largest packet that is accepted. The server is told only by `connect`.
    pub maximum_packet_size: u32,
    /// Messages that wait for [`Messages::next`](super::Messages::next); while so many do, nothing is read.
    pub maximum_waiting: usize,
}

impl Options {
    /// A Clean Start with a keep-alive of a minute.
    pub fn new(host: impl Into<String>, port: u16, client_identifier: impl Into<ByteString>) -> Options {
        let mut connect = Connect::new(ProtocolVersion::V311, client_identifier.into());
        connect.keep_alive = 60;
        Options {
            host: host.into(),
            port,
            connect,
            connect_timeout: Duration::from_secs(10),
            maximum_packet_size: 268_435_460,
            maximum_waiting: 1024,
        }
    }
}
