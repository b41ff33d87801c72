//! Byte streams that end where and when a test says.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate::client::{AsyncStream, BoxFuture, BoxedStream, Connector, DialError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::support::Local;

/// How far a connection goes.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Bytes from the client, and bytes to it.
    pub after: [usize; 2],
    pub lasts: Duration,
}

impl Cut {
    pub const NEVER: Cut = Cut { after: [usize::MAX; 2], lasts: Duration::from_secs(1 << 32) };

    pub fn after(direction: usize, bytes: usize) -> Cut {
        let mut cut = Cut::NEVER;
        cut.after[direction] = bytes;
        cut
    }
}

/// Opens streams of which the first end where they are told to.
pub struct Road<F> {
    open: F,
    cuts: Mutex<VecDeque<Cut>>,
    /// Bytes from clients, and bytes to them.
    pub carried: Arc<[AtomicUsize; 2]>,
}

impl<F> Road<F> {
    pub fn new(open: F, cuts: impl IntoIterator<Item = Cut>) -> Road<F> {
        let cuts = Mutex::new(cuts.into_iter().collect());
        Road { open, cuts, carried: Arc::default() }
    }
}

/// Opens streams to a broker in memory.
pub fn to(
    local: &Arc<Local>,
) -> impl Fn() -> BoxFuture<'static, io::Result<BoxedStream>> + Send + Sync + 'static {
    let local = local.clone();
    move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        local.serve(far);
        Box::pin(async { Ok(Box::new(near) as BoxedStream) })
    }
}

/// Opens sockets to a broker of this machine.
pub fn to_port(
    port: u16,
) -> impl Fn() -> BoxFuture<'static, io::Result<BoxedStream>> + Send + Sync + 'static {
    move || {
        Box::pin(async move {
            let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as BoxedStream)
        })
    }
}

impl<F> Connector for Road<F>
where
    F: Fn() -> BoxFuture<'static, io::Result<BoxedStream>> + Send + Sync + 'static,
{
    fn connect(&self) -> BoxFuture<'_, Result<BoxedStream, DialError>> {
        Box::pin(async {
            let cut = self.cuts.lock().unwrap().pop_front().unwrap_or(Cut::NEVER);
            let inner = (self.open)().await.map_err(|error| DialError::unreachable("the broker", error))?;
            let carried = self.carried.clone();
            let until = Box::pin(sleep(cut.lasts));
            Ok(Box::new(Stretch { inner, left: cut.after, until, carried }) as BoxedStream)
        })
    }
}

/// A stream that breaks.
struct Stretch<S> {
    inner: S,
    left: [usize; 2],
    until: Pin<Box<Sleep>>,
    carried: Arc<[AtomicUsize; 2]>,
}

impl<S> Stretch<S> {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.left.contains(&0) || self.until.as_mut().poll(cx).is_ready()
    }

    fn carry(&mut self, direction: usize, count: usize) {
        self.left[direction] -= count;
        self.carried[direction].fetch_add(count, Ordering::Relaxed);
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl<S: AsyncStream> AsyncRead for Stretch<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(broken()));
        }
        let mut bytes = vec![0; self.left[1].min(buf.remaining()).min(4096)];
        let mut part = ReadBuf::new(&mut bytes);
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        buf.put_slice(part.filled());
        self.carry(1, part.filled().len());
        read
    }
}

impl<S: AsyncStream> AsyncWrite for Stretch<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(broken()));
        }
        let room = self.left[0].min(buf.len());
        let wrote = Pin::new(&mut self.inner).poll_write(cx, &buf[..room]);
        if let Poll::Ready(Ok(count)) = wrote {
            self.carry(0, count);
        }
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
