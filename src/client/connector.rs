//! How a client reaches its server: the trait that every transport implements.
//!
//! A [`Connector`] is asked for a byte stream at each attempt to connect, first and again; all that comes after
//! (CONNECT, keep-alive, the flows) does not know what the stream is made of. Here are the definitions and nothing else:
//! the ways to a server are in [`dial`](super::dial), and a closure becomes a connector by [`connector_fn`].

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait AsyncStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> AsyncStream for S {}

pub type BoxedStream = Box<dyn AsyncStream>;

/// What an async function of a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens the byte stream for a connection.
///
/// It is asked at each attempt, so that names are resolved, certificates read and proxies looked for anew. What it does
/// is bounded from outside by the client's connect time-out: the future is dropped when that has passed.
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream on which nothing has been said yet.
    ///
    /// # Errors
    /// [`DialError::Configuration`] where trying again cannot help, and the client gives up; after all others it tries
    /// again.
    fn connect(&self) -> BoxFuture<'_, Result<BoxedStream, DialError>>;

    /// The server as one would name it in a log: `mqtts://broker.example:8883`. Never with a password.
    fn describe(&self) -> String {
        "a server".to_owned()
    }
}

/// Why there is no byte stream.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    #[error("find {host}: {source}")]
    Resolve { host: String, source: Arc<io::Error> },
    #[error("reach {address}: {source}")]
    Unreachable { address: String, source: Arc<io::Error> },
    /// A layer above the socket failed: `step` is the rest of "failed to …", such as `agree on TLS with …`.
    #[error("{step}: {source}")]
    Layer { step: String, source: Arc<dyn StdError + Send + Sync> },
    /// `step` as above.
    #[error("{step}: no answer within {limit:?}")]
    TimedOut { step: String, limit: Duration },
    /// What was configured can never work: a file that is no certificate, a name that is none.
    #[error("{0}")]
    Configuration(String),
}

impl DialError {
    /// A name has no address.
    ///
    /// ```
    /// use tidegate::client::DialError;
    ///
    /// let error = DialError::resolve("broker.example", std::io::Error::other("no such name"));
    /// assert_eq!(error.to_string(), "find broker.example: no such name");
    /// ```
    pub fn resolve(host: impl Into<String>, source: io::Error) -> DialError {
        DialError::Resolve { host: host.into(), source: Arc::new(source) }
    }

    /// Nobody answers at an address.
    ///
    /// ```
    /// use tidegate::client::DialError;
    ///
    /// let error = DialError::unreachable("10.0.0.1:1883", std::io::ErrorKind::ConnectionRefused.into());
    /// assert_eq!(error.to_string(), "reach 10.0.0.1:1883: connection refused");
    /// ```
    pub fn unreachable(address: impl Into<String>, source: io::Error) -> DialError {
        DialError::Unreachable { address: address.into(), source: Arc::new(source) }
    }

    /// A layer above the socket failed at this step.
    ///
    /// ```
    /// use tidegate::client::DialError;
    ///
    /// let error = DialError::layer("open the tunnel", "the other end speaks another version");
    /// assert_eq!(error.to_string(), "open the tunnel: the other end speaks another version");
    /// ```
    pub fn layer(step: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> DialError {
        DialError::Layer { step: step.into(), source: Arc::from(source.into()) }
    }

    /// What a layer says, where it is of this type: that of TLS, of a WebSocket, of a proxy.
    ///
    /// ```
    /// use tidegate::client::DialError;
    /// use tidegate::client::dial::ProxyError;
    ///
    /// let refused = ProxyError::Refused { status: 407, reason: "who are you?".into() };
    /// let error = DialError::layer("reach the broker through a proxy", refused);
    /// assert!(matches!(error.cause(), Some(ProxyError::Refused { status: 407, .. })));
    /// ```
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            DialError::Layer { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether another attempt may have another result.
    ///
    /// ```
    /// use tidegate::client::DialError;
    ///
    /// assert!(DialError::resolve("broker.example", std::io::Error::other("no network")).may_pass());
    /// assert!(!DialError::Configuration("ca.pem has no certificate".into()).may_pass());
    /// ```
    pub fn may_pass(&self) -> bool {
        !matches!(self, DialError::Configuration(_))
    }
}

/// Makes a connector of an async closure: for transports of one's own, and for tests.
///
/// ```
/// use tidegate::client::{Connector, DialError, connector_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), DialError> {
/// let within_the_process = connector_fn(|| async { Ok(tokio::io::duplex(1024).0) });
/// within_the_process.connect().await?;
/// assert_eq!(within_the_process.describe(), "a server");
/// # Ok(()) }
/// ```
pub fn connector_fn<F, Fut, S>(open: F) -> impl Connector
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, DialError>> + Send + 'static,
    S: AsyncStream + 'static,
{
    ConnectorFn(open)
}

struct ConnectorFn<F>(F);

impl<F, Fut, S> Connector for ConnectorFn<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, DialError>> + Send + 'static,
    S: AsyncStream + 'static,
{
    fn connect(&self) -> BoxFuture<'_, Result<BoxedStream, DialError>> {
        let opening = (self.0)();
        Box::pin(async move { Ok(Box::new(opening.await?) as BoxedStream) })
    }
}
