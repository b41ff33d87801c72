//! Byte streams that end where and when a test says.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidegate::client::{BoxFuture, BoxedStream, Connector, DialError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::support::Local;

/// How far a connection goes, and what is then.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Bytes from the client, and bytes to it.
    pub after: [usize; 2],
    pub lasts: Duration,
    pub then: Then,
}

/// What is after so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Breaks,
    /// Nothing passes for so long, in either direction; then it goes on.
    Waits(Duration),
    /// It breaks for the client, while the server sees nothing of it: where the client connects again, it has two.
    Lingers,
}

impl Cut {
    pub const NEVER: Cut =
        Cut { after: [usize::MAX; 2], lasts: Duration::from_secs(1 << 32), then: Then::Breaks };

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
    /// The servers' ends of streams that linger.
    lingering: Arc<Mutex<Vec<BoxedStream>>>,
}

impl<F> Road<F> {
    pub fn new(open: F, cuts: impl IntoIterator<Item = Cut>) -> Road<F> {
        let cuts = Mutex::new(cuts.into_iter().collect());
        Road { open, cuts, carried: Arc::default(), lingering: Arc::default() }
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
            let (carried, lingering) = (self.carried.clone(), self.lingering.clone());
            let until = Box::pin(sleep(cut.lasts));
            let (inner, left, then, pause) = (Some(inner), cut.after, cut.then, None);
            Ok(Box::new(Stretch { inner, left, then, pause, until, carried, lingering }) as BoxedStream)
        })
    }
}

/// A stream that breaks, or waits.
struct Stretch {
    /// There until it is dropped.
    inner: Option<BoxedStream>,
    left: [usize; 2],
    then: Then,
    pause: Option<Pin<Box<Sleep>>>,
    until: Pin<Box<Sleep>>,
    carried: Arc<[AtomicUsize; 2]>,
    lingering: Arc<Mutex<Vec<BoxedStream>>>,
}

impl Stretch {
    fn inner(&mut self) -> Pin<&mut BoxedStream> {
        Pin::new(self.inner.as_mut().unwrap())
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if !self.left.contains(&0) {
            return Poll::Ready(false);
        }
        let Then::Waits(time) = self.then else { return Poll::Ready(true) };
        ready!(self.pause.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx));
        self.left = [usize::MAX; 2];
        Poll::Ready(false)
    }

    fn carry(&mut self, direction: usize, count: usize) {
        self.left[direction] -= count;
        self.carried[direction].fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        if self.then == Then::Lingers {
            self.lingering.lock().unwrap().extend(self.inner.take());
        }
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stretch {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_over(cx)) {
            return Poll::Ready(Err(broken()));
        }
        let mut bytes = vec![0; self.left[1].min(buf.remaining()).min(4096)];
        let mut part = ReadBuf::new(&mut bytes);
        let read = self.inner().poll_read(cx, &mut part);
        buf.put_slice(part.filled());
        self.carry(1, part.filled().len());
        read
    }
}

impl AsyncWrite for Stretch {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if ready!(self.poll_over(cx)) {
            return Poll::Ready(Err(broken()));
        }
        let room = self.left[0].min(buf.len());
        let wrote = self.inner().poll_write(cx, &buf[..room]);
        if let Poll::Ready(Ok(count)) = wrote {
            self.carry(0, count);
        }
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
