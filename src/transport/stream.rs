//! What a connection reads from and writes to, whatever lies between it and the wire.

use std::io::{self, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::socket::Socket;

/// The stream of a connection. Over plain TCP it is the socket and no more: the others are behind a pointer, so that
/// they cost connections over TCP a predictable branch and no byte.
pub enum Stream {
    Tcp(TcpStream),
    Layered(Box<dyn Layer>),
}

/// A stream above a socket.
///
/// What was given to a layer goes out without being flushed: reading and writing take on what is left of it.
pub trait Layer: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket at the bottom.
    fn socket(&mut self) -> &mut Socket;
}

/// A Unix socket has no layer of its own.
impl Layer for Socket {
    fn socket(&mut self) -> &mut Socket {
        self
    }
}

impl Stream {
    /// A TCP socket with nothing on it, registered with the runtime of the thread that calls.
    ///
    /// # Errors
    /// The operating system's.
    pub fn tcp(socket: StdTcpStream) -> io::Result<Stream> {
        TcpStream::from_std(socket).map(Stream::Tcp)
    }

    /// A socket with nothing on it.
    pub(super) fn plain(socket: Socket) -> Stream {
        match socket {
            Socket::Tcp(socket) => Stream::Tcp(socket),
            socket => Stream::Layered(Box::new(socket)),
        }
    }

    /// Takes its socket to the runtime of the thread that calls, or that was entered.
    ///
    /// # Errors
    /// The operating system's; the connection is lost then.
    pub fn register(self) -> io::Result<Stream> {
        match self {
            Stream::Tcp(socket) => Ok(Stream::Tcp(TcpStream::from_std(socket.into_std()?)?)),
            Stream::Layered(mut layer) => {
                layer.socket().register()?;
                Ok(Stream::Layered(layer))
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Stream::Layered(layer) => Pin::new(layer).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Layered(layer) => Pin::new(layer).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Stream::Layered(layer) => Pin::new(layer).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Layered(layer) => Pin::new(layer).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Layered(layer) => Pin::new(layer).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_no_more_than_a_tcp_socket() {
        assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
    }
}
