//! From an accepted socket to the stream of a connection.

use std::io;
use std::net::SocketAddr;

use super::socket::Accepted;
use super::stream::Stream;
#[cfg(unix)]
use super::unix::UnixOptions;
use crate::peer::{Known, Remote, Transport};

/// What lies on the sockets of a listener. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportOptions {
    /// Who may connect to a Unix socket.
    #[cfg(unix)]
    pub unix: UnixOptions,
}

/// What makes streams of a listener's sockets.
#[derive(Debug)]
pub struct Door {}

/// Why no stream came of a socket.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("register the socket: {0}")]
    Socket(io::Error),
    #[error("as long as `connect-timeout` allows, and no handshake")]
    Timeout,
}

impl TransportOptions {
    /// What clients speak that reach a listener at such an address.
    pub fn transport(&self, is_unix: bool) -> Transport {
        if is_unix { Transport::Unix } else { Transport::Tcp }
    }
}

impl Door {
    /// # Errors
    /// Where files that the options name cannot be used.
    pub fn new(_options: &TransportOptions) -> Result<Door, DoorError> {
        Ok(Door {})
    }

    /// Whether a TCP socket is a stream as it is.
    pub fn is_plain(&self) -> bool {
        true
    }

    /// Whether who is there speaks for others, whose addresses come first over the connection.
    pub fn is_proxy(&self, _address: SocketAddr) -> bool {
        false
    }

    /// Takes the handshakes that come before CONNECT. Bounded in bytes; in time by who calls.
    ///
    /// # Errors
    /// Where the client, a proxy or the operating system fails.
    pub async fn open(&self, accepted: Accepted) -> Result<(Stream, Option<Remote>), DoorError> {
        let socket = accepted.socket.register().map_err(DoorError::Socket)?;
        let known = Known { address: accepted.address, unix: socket.credentials(), ..Known::default() };
        Ok((Stream::plain(socket), Some(known.into())))
    }
}
