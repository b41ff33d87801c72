//! Bytes of a WebSocket client: its request, and its frames.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tidegate::transport::websocket::{Deframer, End, WebSocket, WebSocketOptions, read_request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What holds for any bytes: however they are cut, the same payload comes of them, the same end, and never more than
/// was sent; and what a connection would read through a socket is that payload too.
pub fn run(data: &[u8]) {
    request(data);
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = deframed(bytes, bytes.len().max(1));
    assert!(whole.0.len() <= bytes.len());
    assert_eq!(deframed(bytes, 1), whole, "cut into bytes");
    assert_eq!(deframed(bytes, usize::from(cut) + 1), whole, "cut into pieces of {}", usize::from(cut) + 1);
    assert_eq!(read(bytes, usize::from(cut % 16) + 1), (whole.0, whole.1), "read through a socket");
}

/// A request that is there is there whatever follows it, and none is there before its last byte.
fn request(data: &[u8]) {
    let options = WebSocketOptions::default();
    if let Ok(Some((request, len))) = read_request(data, &options) {
        assert!(len <= data.len());
        assert_eq!(read_request(&data[..len], &options), Ok(Some((request, len))));
        assert_eq!(read_request(&data[..len - 1], &options), Ok(None));
    }
}

fn deframed(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<End>) {
    let (mut deframer, mut payload) = (Deframer::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        let (kept, end) = deframer.decode(&mut piece);
        payload.extend_from_slice(&piece[..kept]);
        assert!(deframer.take_ping().is_none_or(|ping| ping.len() <= 125));
        if end.is_some() {
            return (payload, end);
        }
    }
    (payload, None)
}

/// A socket that gives a few bytes at a time and takes all.
struct Wire<'a>(&'a [u8], usize);

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.0.len().min(self.1).min(buffer.remaining());
        buffer.put_slice(&self.0[..len]);
        self.0.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn read(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<End>) {
    let mut socket = WebSocket::new(Wire(bytes, piece), Bytes::new());
    let mut context = Context::from_waker(Waker::noop());
    let (mut payload, mut room) = (Vec::new(), [0; 7]);
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        match pin!(&mut socket).poll_read(&mut context, &mut buffer) {
            // Others get their turn.
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return (payload, socket.end()),
            Poll::Ready(Ok(())) => payload.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => return (payload, socket.end()),
        }
    }
}
