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
    pub fn resolve(host: impl Into<String>, source: io::Error) -> DialError {
        DialError::Resolve { host: host.into(), source: Arc::new(source) }
    }

    pub fn unreachable(address: impl Into<String>, source: io::Error) -> DialError {
        DialError::Unreachable { address: address.into(), source: Arc::new(source) }
    }

    pub fn layer(step: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> DialError {
        DialError::Layer { step: step.into(), source: Arc::from(source.into()) }
    }

    /// What a layer says, where it is of this type: that of TLS, of a WebSocket, of a proxy.
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            DialError::Layer { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether another attempt may have another result.
    pub fn may_pass(&self) -> bool {
        !matches!(self, DialError::Configuration(_))
    }
}

/// Makes a connector of an async closure: for transports of one's own, and for tests.
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
