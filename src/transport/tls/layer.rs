//! A stream in TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

use crate::transport::socket::Socket;
use crate::transport::stream::Layer;

/// A stream in TLS, with a client at its other end.
pub type TlsLayer<S> = WrittenOn<server::TlsStream<S>>;
/// A stream in TLS, with a server at its other end.
pub type ClientTlsLayer<S> = WrittenOn<client::TlsStream<S>>;

/// A stream in TLS whose handshake is over.
///
/// A connection writes and does not flush. What the socket did not take at once is written on before the next bytes are
/// read or written, and whoever waits for either is woken when the socket takes more.
pub struct WrittenOn<T>(T);

/// A stream that may have taken more than its socket did.
pub trait Buffering: AsyncRead + AsyncWrite + Unpin {
    fn has_unwritten(&self) -> bool;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffering for server::TlsStream<S> {
    fn has_unwritten(&self) -> bool {
        self.get_ref().1.wants_write()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffering for client::TlsStream<S> {
    fn has_unwritten(&self) -> bool {
        self.get_ref().1.wants_write()
    }
}

impl<T: Buffering> WrittenOn<T> {
    pub(super) fn new(stream: T) -> WrittenOn<T> {
        WrittenOn(stream)
    }

    /// Writes on. It has to wait for nothing: what is left goes with the next.
    fn write_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.0.has_unwritten() {
            return Ok(());
        }
        match Pin::new(&mut self.0).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

impl<T: Buffering> AsyncRead for WrittenOn<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let layer = self.get_mut();
        if let Err(error) = layer.write_on(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut layer.0).poll_read(cx, buffer)
    }
}

impl<T: Buffering> AsyncWrite for WrittenOn<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: Layer> Layer for TlsLayer<S> {
    fn socket(&mut self) -> &mut Socket {
        self.0.get_mut().0.socket()
    }
}
