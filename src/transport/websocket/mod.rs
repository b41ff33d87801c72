//! WebSocket, as MQTT uses it (MQTT 5.0, 6): a stream of bytes in binary frames.
//!
//! What a connection writes at once is one frame. Frames are taken apart where the connection has its bytes read to
//! (`frames`), so that there is neither a buffer nor a limit of frames: packets have limits, whatever they come in.

mod client;
mod frames;
mod handshake;
mod request;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;
use super::stream::Layer;
pub use client::ClientWebSocket;
pub use frames::{CloseCode, Deframer, End};
pub use handshake::{HandshakeError, Refusal, Request, read_request, shake_hands};
pub use request::{InvalidRequest, UpgradeError, WebSocketRequest};

/// Pieces of one write, beside the head of its frame.
const SLICES: usize = 16;
/// How much a client that broke the rules may still have on its way before the close frame may not reach it.
const DRAINED: usize = 64 * 1024;
/// Reads in which no payload comes before others get their turn: empty frames cost a client next to nothing.
const IDLE_READS: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Of the request, without what stands behind `?`.
    pub path: String,
    pub origins: Origins,
}

impl Default for WebSocketOptions {
    fn default() -> WebSocketOptions {
        WebSocketOptions { path: "/mqtt".into(), origins: Origins::SameHost }
    }
}

/// Pages that may connect; programs that are no browser may in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    /// Those of the host that the request is for, at any port.
    SameHost,
    /// Such as `https://shop.example`.
    Listed(Vec<String>),
}

/// A stream in the binary frames of a WebSocket whose handshake is over.
pub struct WebSocket<S> {
    inner: S,
    /// Came with the request.
    early: Bytes,
    deframer: Deframer,
    /// Of the client's frames; nothing is read behind it.
    end: Option<End>,
    /// The head of the frame that is being written, and how much of it is.
    head: [u8; 10],
    head_len: u8,
    head_written: u8,
    /// Bytes that belong into this frame and were not given yet.
    frame_left: usize,
    /// A control frame that is being written.
    control: Bytes,
    sent_close: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// `early` is what came behind the request.
    pub fn new(inner: S, early: Bytes) -> WebSocket<S> {
        WebSocket {
            inner,
            early,
            deframer: Deframer::default(),
            end: None,
            head: [0; 10],
            head_len: 0,
            head_written: 0,
            frame_left: 0,
            control: Bytes::new(),
            sent_close: false,
        }
    }

    /// What has ended the client's frames.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether a control frame may be written now.
    fn is_between_frames(&self) -> bool {
        self.frame_left == 0
    }

    /// Writes the control frames that wait, where no frame is begun.
    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_between_frames() {
            if self.control.is_empty() {
                match self.deframer.take_ping() {
                    Some(payload) if !self.sent_close => self.control = frames::pong(&payload).into(),
                    _ => break,
                }
            }
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.control))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.control.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Behind what is being written.
    fn queue_close(&mut self, code: Option<CloseCode>) {
        if !self.sent_close && self.is_between_frames() {
            self.sent_close = true;
            self.control = [&*self.control, &frames::close(code)].concat().into();
        }
    }

    /// Writes as much as one write takes, and returns how much of `pieces` that was.
    fn poll_write_frame(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let pieces = &pieces[..pieces.len().min(SLICES)];
        let len = pieces.iter().map(|piece| piece.len()).sum();
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.is_between_frames() {
            ready!(self.poll_control(cx))?;
            if self.sent_close {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            (self.head, self.head_len) = frames::binary_head(len);
            (self.head_written, self.frame_left) = (0, len);
        }
        loop {
            let head = &self.head[self.head_written.into()..self.head_len.into()];
            let mut slices = [IoSlice::new(&[]); SLICES + 1];
            slices[0] = IoSlice::new(head);
            let mut left = self.frame_left;
            for (slice, piece) in slices[1..].iter_mut().zip(pieces) {
                let part = &piece[..left.min(piece.len())];
                left -= part.len();
                *slice = IoSlice::new(part);
            }
            let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            self.head_written += of_head as u8;
            if written > of_head {
                self.frame_left -= written - of_head;
                return Poll::Ready(Ok(written - of_head));
            }
        }
    }

    /// Answers the end of the client's frames. It is the end of the stream, or an error where the client broke the
    /// rules.
    fn poll_end(&mut self, cx: &mut Context<'_>, end: End) -> Poll<io::Result<()>> {
        self.queue_close(match end {
            End::Closed(code) => code,
            End::Violated(code) => Some(code),
        });
        ready!(self.poll_control(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        let End::Violated(code) = end else { return Poll::Ready(Ok(())) };
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        self.drain(cx);
        let why = format!("the client broke the rules of WebSockets ({})", code.0);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)))
    }

    /// Reads what is there already: a socket that is closed with unread bytes resets the connection, and the client may
    /// lose the close frame.
    fn drain(&mut self, cx: &mut Context<'_>) {
        let (mut bin, mut drained) = ([0; 4096], 0);
        while drained < DRAINED {
            let mut buffer = ReadBuf::new(&mut bin);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => drained += buffer.filled().len(),
                _ => break,
            }
        }
    }
}

/// What came with the handshake, and then what comes.
fn read_early<S: AsyncRead + Unpin>(
    inner: &mut S,
    early: &mut Bytes,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if early.is_empty() {
        return Pin::new(inner).poll_read(cx, buffer);
    }
    let part = early.split_to(early.len().min(buffer.remaining()));
    buffer.put_slice(&part);
    Poll::Ready(Ok(()))
}

/// Reads once, and leaves the payload of what came. Says whether there is any, or the stream is over; else what came was of
/// frames alone.
fn read_payload<S: AsyncRead + Unpin>(
    inner: &mut S,
    early: &mut Bytes,
    (deframer, end): (&mut Deframer, &mut Option<End>),
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<bool>> {
    let before = buffer.filled().len();
    ready!(read_early(inner, early, cx, buffer))?;
    let read = &mut buffer.filled_mut()[before..];
    if read.is_empty() {
        return Poll::Ready(Ok(true));
    }
    let (kept, ended) = deframer.decode(read);
    *end = ended;
    buffer.set_filled(before + kept);
    Poll::Ready(Ok(kept > 0))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
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
            // Pongs go out beside reading; what cannot be written now is tried when the socket takes more.
            if let Poll::Ready(Err(error)) = socket.poll_control(cx) {
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_frame(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_frame(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        ready!(socket.poll_control(cx))?;
        Pin::new(&mut socket.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        socket.queue_close(Some(CloseCode::NORMAL));
        ready!(socket.poll_control(cx))?;
        Pin::new(&mut socket.inner).poll_shutdown(cx)
    }
}

impl<S: Layer> Layer for WebSocket<S> {
    fn socket(&mut self) -> &mut Socket {
        self.inner.socket()
    }
}

#[cfg(test)]
mod tests;
