//! From an accepted socket to the stream of a connection: a PROXY header, TLS, a WebSocket handshake, in this order,
//! each where the listener has it.

use std::io;
use std::net::IpAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

use super::proxy::{ProxyError, ProxyOptions};
use super::socket::{Accepted, Socket};
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::{FileError, Protocol, TlsDoor, TlsError, TlsLayer, TlsOptions};
#[cfg(unix)]
use super::unix::UnixOptions;
#[cfg(feature = "websocket")]
use super::websocket::{self, HandshakeError, WebSocket, WebSocketOptions};
use crate::peer::{Known, Remote, Transport};

/// What lies on the sockets of a listener. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportOptions {
    /// Who may connect to a Unix socket.
    #[cfg(unix)]
    pub unix: UnixOptions,
    /// Whose word is taken for where clients come from. None: everybody speaks for itself.
    pub proxy: Option<ProxyOptions>,
    #[cfg(feature = "tls")]
    pub tls: Option<TlsOptions>,
    #[cfg(feature = "websocket")]
    pub web_socket: Option<WebSocketOptions>,
}

/// What makes streams of a listener's sockets.
#[derive(Debug)]
pub struct Door {
    proxy: Option<ProxyOptions>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsDoor>>,
    #[cfg(feature = "websocket")]
    web_socket: Option<WebSocketOptions>,
}

/// Why no stream came of a socket.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("register the socket: {0}")]
    Socket(io::Error),
    #[error("no handshake within `connect-timeout`")]
    Timeout,
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[cfg(feature = "websocket")]
    #[error("the WebSocket handshake failed: {0}")]
    WebSocket(#[from] HandshakeError),
}

/// Why a listener cannot be opened: a file that it needs.
#[cfg(feature = "tls")]
pub type DoorFault = FileError;
/// Why a listener cannot be opened.
#[cfg(not(feature = "tls"))]
pub type DoorFault = std::convert::Infallible;

impl TransportOptions {
    /// What clients speak that reach a listener at such an address.
    pub fn transport(&self, is_unix: bool) -> Transport {
        match (self.is_encrypted(), self.is_web_socket()) {
            (true, true) => Transport::SecureWebSocket,
            (true, false) => Transport::Tls,
            (false, true) => Transport::WebSocket,
            (false, false) if is_unix => Transport::Unix,
            (false, false) => Transport::Tcp,
        }
    }

    /// What its handshakes have to agree upon.
    #[cfg(feature = "tls")]
    pub fn tls_protocol(&self) -> Protocol {
        if self.is_web_socket() { Protocol::Http } else { Protocol::Mqtt }
    }

    fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    fn is_web_socket(&self) -> bool {
        #[cfg(feature = "websocket")]
        return self.web_socket.is_some();
        #[cfg(not(feature = "websocket"))]
        false
    }
}

impl Door {
    /// # Errors
    /// Where files that the options name cannot be used.
    pub fn new(options: &TransportOptions) -> Result<Door, DoorFault> {
        Door::in_place_of(options, None)
    }

    /// One that goes on with what the one before has read of the same files, which may be broken by now.
    ///
    /// # Errors
    /// Where files that only these options name cannot be used.
    pub fn in_place_of(options: &TransportOptions, before: Option<&Door>) -> Result<Door, DoorFault> {
        #[cfg(not(feature = "tls"))]
        let _ = before;
        Ok(Door {
            proxy: options.proxy.clone(),
            #[cfg(feature = "tls")]
            tls: options
                .tls
                .as_ref()
                .map(|tls| read_files(tls, options.tls_protocol(), before))
                .transpose()?,
            #[cfg(feature = "websocket")]
            web_socket: options.web_socket.clone(),
        })
    }

    /// Whether a TCP socket is a stream as it is.
    pub fn is_plain(&self) -> bool {
        self.is_bare() && self.proxy.is_none()
    }

    /// Whether nothing lies between the client and MQTT.
    pub fn is_bare(&self) -> bool {
        #[cfg(feature = "tls")]
        let is_bare = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let is_bare = true;
        #[cfg(feature = "websocket")]
        let is_bare = is_bare && self.web_socket.is_none();
        is_bare
    }

    /// Whether from there come connections on behalf of others.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.trusts(address))
    }

    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsDoor> {
        self.tls.as_deref()
    }

    /// Registers a socket and finds out where its client is, from a proxy where it has to be asked. Bounded in bytes; in
    /// time by who calls.
    ///
    /// # Errors
    /// Where the proxy or the operating system fails.
    pub async fn identify(&self, accepted: Accepted) -> Result<(Socket, Known), DoorError> {
        let from = accepted.address;
        let mut socket = accepted.socket.register().map_err(DoorError::Socket)?;
        let unix = socket.credentials();
        if let Some(proxy) = &self.proxy
            && let Some(header) = proxy.receive(&mut socket, from).await?
        {
            return Ok((socket, Known { unix, ..header.into_known(from) }));
        }
        Ok((socket, Known { address: from, unix, ..Known::default() }))
    }

    /// Takes the handshakes that come before CONNECT. Bounded in bytes; in time by who calls.
    ///
    /// # Errors
    /// Where the client fails.
    pub async fn open(&self, socket: Socket, known: Known) -> Result<(Stream, Remote), DoorError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (layer, seen, certificate) = tls.accept(socket).await?;
            let known = Known { tls: Some(seen), certificate: certificate.map(Box::new), ..known };
            return self.open_encrypted(layer, known).await;
        }
        #[cfg(feature = "websocket")]
        if let Some(options) = &self.web_socket {
            return upgrade(socket, known, options).await;
        }
        Ok((Stream::plain(socket), known.into()))
    }

    #[cfg(feature = "tls")]
    async fn open_encrypted(
        &self,
        layer: TlsLayer<Socket>,
        known: Known,
    ) -> Result<(Stream, Remote), DoorError> {
        #[cfg(feature = "websocket")]
        if let Some(options) = &self.web_socket {
            return upgrade(layer, known, options).await;
        }
        Ok((Stream::Layered(Box::new(layer)), known.into()))
    }
}

#[cfg(feature = "tls")]
fn read_files(
    tls: &TlsOptions,
    protocol: Protocol,
    before: Option<&Door>,
) -> Result<Arc<TlsDoor>, FileError> {
    match before.and_then(|door| door.tls.as_ref()).filter(|before| before.is_of(tls, protocol)) {
        Some(before) => Ok(before.clone()),
        None => TlsDoor::new(tls, protocol).map(Arc::new),
    }
}

/// Makes a WebSocket of a stream.
#[cfg(feature = "websocket")]
async fn upgrade<S: super::stream::Layer + 'static>(
    mut stream: S,
    known: Known,
    options: &WebSocketOptions,
) -> Result<(Stream, Remote), DoorError> {
    let (seen, early) = websocket::shake_hands(&mut stream, options).await?;
    let known = Known { web_socket: Some(seen), ..known };
    Ok((Stream::Layered(Box::new(WebSocket::new(stream, early))), known.into()))
}
