//! The socket at the bottom of a stream that has layers, and what was accepted before any runtime knows it.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream as StdTcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::peer::UnixCredentials;

/// A socket that was accepted, registered with no runtime.
#[derive(Debug)]
pub enum Plain {
    Tcp(StdTcpStream),
    #[cfg(unix)]
    Unix(StdUnixStream),
}

/// A socket, and the address of who is at its other end; none for a Unix socket.
#[derive(Debug)]
pub struct Accepted {
    pub socket: Plain,
    pub address: Option<SocketAddr>,
}

/// A socket that is registered with a runtime, but for the moment in which it goes to another.
pub enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Moving,
}

impl Plain {
    /// With the runtime of the thread that calls, or that was entered.
    ///
    /// # Errors
    /// The operating system's.
    pub fn register(self) -> io::Result<Socket> {
        Ok(match self {
            Plain::Tcp(socket) => Socket::Tcp(TcpStream::from_std(socket)?),
            #[cfg(unix)]
            Plain::Unix(socket) => Socket::Unix(UnixStream::from_std(socket)?),
        })
    }
}

impl Socket {
    /// Of a Unix socket, where the operating system tells.
    pub(super) fn credentials(&self) -> Option<UnixCredentials> {
        match self {
            #[cfg(unix)]
            Socket::Unix(socket) => socket.peer_cred().ok().map(|peer| UnixCredentials {
                uid: peer.uid(),
                gid: peer.gid(),
                pid: peer.pid(),
            }),
            _ => None,
        }
    }

    /// Takes it from its runtime to that of the thread that calls, or that was entered.
    pub(super) fn register(&mut self) -> io::Result<()> {
        let plain = match std::mem::replace(self, Socket::Moving) {
            Socket::Tcp(socket) => Plain::Tcp(socket.into_std()?),
            #[cfg(unix)]
            Socket::Unix(socket) => Plain::Unix(socket.into_std()?),
            Socket::Moving => return Err(io::ErrorKind::NotConnected.into()),
        };
        *self = plain.register()?;
        Ok(())
    }
}

macro_rules! each {
    ($socket:expr, $bound:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($bound) => $call,
            #[cfg(unix)]
            Socket::Unix($bound) => $call,
            Socket::Moving => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}
