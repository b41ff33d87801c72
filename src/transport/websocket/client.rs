//! The client's end of a WebSocket.
//!
//! A client masks what it sends (RFC 6455, 5.3), which takes a copy of it: frames are made in a buffer of bounded length, and
//! written from there. Reading takes frames apart where the bytes are read to, as a server does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, CloseCode, Deframer, End, MASK, Opcode};
use super::{IDLE_READS, read_payload};

/// Payload of a frame at most, and with the head of one what waits to be written at most, beside a close frame.
const LARGEST_FRAME: usize = 64 * 1024;

/// A stream in the binary frames of a WebSocket that a server has granted.
///
/// What was given to it goes out without being flushed: reading and writing take on what is left.
pub struct ClientWebSocket<S> {
    inner: S,
    /// Came with the answer.
    early: Bytes,
    deframer: Deframer,
    end: Option<End>,
    pub(super) unwritten: BytesMut,
    sent_close: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientWebSocket<S> {
    /// `early` is what came behind the answer.
    pub fn new(inner: S, early: Bytes) -> ClientWebSocket<S> {
        let deframer = Deframer::of_server();
        ClientWebSocket { inner, early, deframer, end: None, unwritten: BytesMut::new(), sent_close: false }
    }

    /// Behind what waits.
    fn put(&mut self, opcode: Opcode, payload: &[u8]) {
        // That nobody can foresee masks keeps pages from choosing what a proxy sees (RFC 6455, 10.3); a client that is
        // no browser has no such pages, so that a generator that was seeded from the operating system will do.
        let mask: [u8; MASK] = fastrand::u32(..).to_ne_bytes();
        frames::put_masked(opcode, payload, mask, &mut self.unwritten);
    }

    fn put_close(&mut self, code: Option<CloseCode>) {
        if !self.sent_close {
            self.sent_close = true;
            let code = code.map(|code| code.0.to_be_bytes());
            self.put(Opcode::Close, code.as_ref().map_or(&[], |code| code));
        }
    }

    /// Writes all that waits. A pong is made when nothing does, so that pings cannot fill the buffer.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.unwritten.is_empty() {
                let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unwritten))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.unwritten.advance(written);
            }
            match self.deframer.take_ping() {
                Some(payload) if !self.sent_close => self.put(Opcode::Pong, &payload),
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Answers the end of the server's frames. It is the end of the stream, or an error where the server broke the rules.
    fn poll_end(&mut self, cx: &mut Context<'_>, end: End) -> Poll<io::Result<()>> {
        self.put_close(match end {
            End::Closed(code) => code,
            End::Violated(code) => Some(code),
        });
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        let End::Violated(code) = end else { return Poll::Ready(Ok(())) };
        let why = format!("the server broke the rules of WebSockets ({})", code.0);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientWebSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        for _ in 0..IDLE_READS {
            if let Some(end) = socket.end {
                return socket.poll_end(cx, end);
            }
            // What cannot be written now goes on when the socket takes more.
            if let Poll::Ready(Err(error)) = socket.poll_drain(cx) {
                return Poll::Ready(Err(error));
            }
            let (early, frames) = (&mut socket.early, (&mut socket.deframer, &mut socket.end));
            if ready!(read_payload(&mut socket.inner, early, frames, cx, buffer))? {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientWebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        ready!(socket.poll_drain(cx))?;
        if socket.sent_close {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..bytes.len().min(LARGEST_FRAME)];
        if !bytes.is_empty() {
            socket.put(Opcode::Binary, bytes);
            // It is taken already, whether it can be written now or not. An error comes again with the next call.
            let _ = socket.poll_drain(cx);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        ready!(socket.poll_drain(cx))?;
        Pin::new(&mut socket.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        socket.put_close(Some(CloseCode::NORMAL));
        ready!(socket.poll_drain(cx))?;
        Pin::new(&mut socket.inner).poll_shutdown(cx)
    }
}
