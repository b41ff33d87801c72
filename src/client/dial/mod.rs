//! The ways to a server: TCP or a Unix socket, through a proxy, in TLS, in a WebSocket, each where it is wanted.
//!
//! A [`ServerUri`] says most of it; a [`Dialer`] has all of it and is the [`Connector`] of a client. Everything is looked up
//! and read anew at each attempt: names, authorities, own certificates and keys, so that they may change meanwhile. Nothing
//! waits without a limit, neither in time nor in bytes.

mod parts;
mod proxy;
mod uri;

#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connector::{BoxFuture, BoxedStream, Connector, DialError};
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, ClientTlsError, ClientTlsLayer, ClientTlsOptions};
#[cfg(feature = "websocket")]
use crate::transport::websocket::{ClientWebSocket, WebSocketRequest};
use crate::transport::{Socket, tcp};
pub use proxy::{Proxy, ProxyError, ProxyKind};
pub use uri::{InvalidUri, ServerUri};

/// Addresses of a host that are tried at most.
const MOST_ADDRESSES: usize = 16;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// A name or an IP address, without brackets.
    Host { host: String, port: u16 },
    #[cfg(unix)]
    Unix(PathBuf),
}

/// Connects to a server.
///
/// ```
/// use tidegate::client::dial::{Dialer, ServerUri};
///
/// let mut dialer: Dialer = "mqtt://broker.example".parse::<ServerUri>()?.dialer();
/// dialer.proxy = Some("socks5://localhost".parse()?);
/// assert_eq!(dialer.to_string(), "mqtt://broker.example:1883");
/// # Ok::<(), tidegate::client::dial::InvalidUri>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialer {
    pub address: ServerAddress,
    /// None: the server is reached directly.
    pub proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    pub tls: Option<ClientTlsOptions>,
    #[cfg(feature = "websocket")]
    pub web_socket: Option<WebSocketRequest>,
    /// For each address that a host has. 5 s.
    pub address_timeout: Duration,
    /// For each of the other steps: to find the host, and the handshakes of proxy, TLS and WebSocket. 10 s.
    pub step_timeout: Duration,
}

impl Dialer {
    /// TCP or a Unix socket, with nothing on it.
    ///
    /// ```
    /// use tidegate::client::dial::{Dialer, ServerAddress};
    ///
    /// let address = ServerAddress::Host { host: "::1".into(), port: 1883 };
    /// assert_eq!(Dialer::new(address).to_string(), "mqtt://[::1]:1883");
    /// ```
    pub fn new(address: ServerAddress) -> Dialer {
        Dialer {
            address,
            proxy: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "websocket")]
            web_socket: None,
            address_timeout: Duration::from_secs(5),
            step_timeout: Duration::from_secs(10),
        }
    }

    /// Reads what the options name, so that what is wrong is known before the first attempt. It may block.
    ///
    /// # Errors
    /// Where a file cannot be used, or a name is none.
    ///
    /// ```
    /// use tidegate::client::dial::{Dialer, ServerUri};
    ///
    /// let dialer: Dialer = "mqtt://broker.example".parse::<ServerUri>()?.dialer();
    /// dialer.check()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<(), DialError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            ClientTls::new(tls, self.host())
                .map_err(|error| DialError::Configuration(format!("prepare TLS: {error}")))?;
        }
        match &self.address {
            #[cfg(unix)]
            ServerAddress::Unix(_) if self.proxy.is_some() => Err(DialError::Configuration(
                "reach a Unix socket through a proxy: leave one of both out".into(),
            )),
            _ => Ok(()),
        }
    }

    async fn open(&self) -> Result<BoxedStream, DialError> {
        let socket = self.open_socket().await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let layer = self.encrypt(socket, tls).await?;
            return self.open_web_socket(layer).await;
        }
        self.open_web_socket(socket).await
    }

    async fn open_socket(&self) -> Result<Socket, DialError> {
        match (&self.address, &self.proxy) {
            (ServerAddress::Host { host, port }, None) => self.open_tcp(host, *port).await.map(Socket::Tcp),
            (ServerAddress::Host { host, port }, Some(proxy)) => self.open_by(proxy, host, *port).await,
            #[cfg(unix)]
            (ServerAddress::Unix(path), _) => {
                let unreachable = |error| DialError::unreachable(path.display().to_string(), error);
                let opening = tokio::net::UnixStream::connect(path);
                let step = || format!("reach {}", path.display());
                self.within(step, opening).await?.map(Socket::Unix).map_err(unreachable)
            }
        }
    }

    /// Tries each address that the host has, in the order in which they were found.
    async fn open_tcp(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let finding = tokio::net::lookup_host((host, port));
        let found = self.within(|| format!("find {host}"), finding).await?;
        let addresses = found.map_err(|error| DialError::resolve(host, error))?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in addresses.take(MOST_ADDRESSES) {
            match timeout(self.address_timeout, tcp::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = silent(self.address_timeout),
            }
        }
        Err(DialError::unreachable(format!("{host} port {port}"), last))
    }

    async fn open_by(&self, proxy: &Proxy, host: &str, port: u16) -> Result<Socket, DialError> {
        let step = || format!("reach {host} port {port} through {proxy}");
        let stream = match self.open_tcp(&proxy.host, proxy.port).await {
            Ok(stream) => stream,
            Err(error) => return Err(DialError::layer(step(), error)),
        };
        let led = self.within(step, proxy.lead(stream, host, port)).await?;
        led.map(Socket::Tcp).map_err(|error| DialError::layer(step(), error))
    }

    #[cfg(feature = "tls")]
    async fn encrypt(
        &self,
        socket: Socket,
        options: &ClientTlsOptions,
    ) -> Result<ClientTlsLayer<Socket>, DialError> {
        let step = || format!("agree on TLS with {}", self.address);
        let failed = |error: ClientTlsError| match error {
            ClientTlsError::Name(_) => DialError::Configuration(format!("{}: {error}", step())),
            error => DialError::layer(step(), error),
        };
        let (options, host) = (options.clone(), self.host().to_owned());
        let shaking = async {
            // Files are read, and those of the machine's authorities are many.
            let reading = tokio::task::spawn_blocking(move || ClientTls::new(&options, &host)).await;
            reading.map_err(|error| ClientTlsError::Handshake(error.to_string()))??.connect(socket).await
        };
        self.within(step, shaking).await?.map_err(failed)
    }

    #[cfg(feature = "websocket")]
    async fn open_web_socket<S>(&self, mut stream: S) -> Result<BoxedStream, DialError>
    where
        S: super::AsyncStream + 'static,
    {
        let Some(request) = &self.web_socket else { return Ok(Box::new(stream)) };
        let step = || format!("open a WebSocket at {}", self.address);
        let host = self.host_header();
        let early = self.within(step, request.upgrade(&mut stream, &host)).await?;
        let early = early.map_err(|error| DialError::layer(step(), error))?;
        Ok(Box::new(ClientWebSocket::new(stream, early)))
    }

    #[cfg(not(feature = "websocket"))]
    async fn open_web_socket<S>(&self, stream: S) -> Result<BoxedStream, DialError>
    where
        S: super::AsyncStream + 'static,
    {
        Ok(Box::new(stream))
    }

    /// What a certificate has to be for, where nothing else is said.
    #[cfg(any(feature = "tls", feature = "websocket"))]
    fn host(&self) -> &str {
        match &self.address {
            ServerAddress::Host { host, .. } => host,
            #[cfg(unix)]
            ServerAddress::Unix(_) => "localhost",
        }
    }

    /// Ports that everybody expects are left out, as browsers do: some servers compare it with their name.
    #[cfg(feature = "websocket")]
    fn host_header(&self) -> String {
        match &self.address {
            ServerAddress::Host { host, port } if *port == self.default_port() => parts::bracketed(host),
            ServerAddress::Host { .. } => self.address.to_string(),
            #[cfg(unix)]
            ServerAddress::Unix(_) => self.host().to_owned(),
        }
    }

    #[cfg(feature = "websocket")]
    fn default_port(&self) -> u16 {
        if self.is_encrypted() { 443 } else { 80 }
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

    async fn within<T>(
        &self,
        step: impl Fn() -> String,
        doing: impl Future<Output = T>,
    ) -> Result<T, DialError> {
        let late = |_| DialError::TimedOut { step: step(), limit: self.step_timeout };
        timeout(self.step_timeout, doing).await.map_err(late)
    }
}

impl Connector for Dialer {
    fn connect(&self) -> BoxFuture<'_, Result<BoxedStream, DialError>> {
        Box::pin(self.open())
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

/// Such as `wss://broker.example:443`.
impl fmt::Display for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.is_web_socket(), self.is_encrypted(), &self.address) {
            (true, true, _) => "wss",
            (true, false, _) => "ws",
            (false, true, _) => "mqtts",
            #[cfg(unix)]
            (false, false, ServerAddress::Unix(_)) => "unix",
            (false, false, _) => "mqtt",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

fn silent(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))
}
