//! A socket that listens, wherever it is.

use std::io;

use super::address::ListenAddress;
use super::door::TransportOptions;
use super::socket::Accepted;
use super::tcp::TcpListener;
#[cfg(unix)]
use super::unix::UnixListener;

/// Dropped, it is closed.
pub enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// # Errors
    /// The operating system's: address in use, no permission, no such address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: &ListenAddress, options: &TransportOptions) -> io::Result<Listener> {
        match address {
            ListenAddress::Tcp(address) => TcpListener::bind(*address).map(Listener::Tcp),
            #[cfg(unix)]
            ListenAddress::Unix(path) => UnixListener::bind(path, options.unix).map(Listener::Unix),
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> ListenAddress {
        match self {
            Listener::Tcp(listener) => ListenAddress::Tcp(listener.address()),
            #[cfg(unix)]
            Listener::Unix(listener) => ListenAddress::Unix(listener.path().to_owned()),
        }
    }

    /// The next connection, and others that are there already.
    ///
    /// # Errors
    /// The operating system's, for example where there are no more file descriptors. The next call may succeed.
    pub async fn accept(&self) -> io::Result<Vec<Accepted>> {
        match self {
            Listener::Tcp(listener) => listener.accept().await,
            #[cfg(unix)]
            Listener::Unix(listener) => listener.accept().await,
        }
    }
}
