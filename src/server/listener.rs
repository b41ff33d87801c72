//! Accepts sockets and hands each to a worker.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::workers::Spawner;
use crate::broker::{Broker, Count};
use crate::connection::{Moving, Peer, serve, turn_away};
use crate::hook::ListenerPolicy;
use crate::transport::tcp::TcpListener;

/// How long accepting rests after an error that the next try would meet again, such as too many files.
const REST: Duration = Duration::from_millis(100);

/// How many clients of a listener are told at a time that there are too many. Those beyond are closed at once.
const TURNED_AWAY: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    pub name: String,
    pub address: SocketAddr,
    /// Let in clients about which no hook said anything.
    pub anonymous: bool,
    /// Allow topics about which no hook said anything.
    pub default_authorization: bool,
}

impl ListenerOptions {
    /// Nobody comes in, and nothing is allowed, unless a hook says so.
    pub fn new(name: impl Into<String>, address: SocketAddr) -> ListenerOptions {
        ListenerOptions { name: name.into(), address, anonymous: false, default_authorization: false }
    }

    /// 127.0.0.1 at this port, open to everyone on this machine.
    pub fn loopback(port: u16) -> ListenerOptions {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        ListenerOptions {
            anonymous: true,
            default_authorization: true,
            ..ListenerOptions::new("default", address)
        }
    }

    fn policy(&self) -> Arc<ListenerPolicy> {
        Arc::new(ListenerPolicy {
            name: self.name.clone(),
            anonymous: self.anonymous,
            default_authorization: self.default_authorization,
        })
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// None where there are as many already.
    fn within(maximum: usize, count: &Arc<AtomicUsize>) -> Option<Counted> {
        let counted = Counted(count.clone());
        // Also where there are too many: dropping it counts back.
        (count.fetch_add(1, Ordering::AcqRel) < maximum).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A socket that is counted for as long as it is open.
struct CountedStream {
    stream: TcpStream,
    _counted: Counted,
}

impl CountedStream {
    /// With the runtime of the thread that calls, or that was entered.
    fn register(self) -> io::Result<CountedStream> {
        let stream = TcpStream::from_std(self.stream.into_std()?)?;
        Ok(CountedStream { stream, ..self })
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Accepts for as long as it is polled.
pub(super) async fn accept(
    socket: TcpListener,
    options: ListenerOptions,
    broker: Arc<Broker>,
    spawner: Spawner,
    connections: Arc<AtomicUsize>,
) {
    let policy = options.policy();
    let turned_away = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, address) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %options.name, %error, "could not accept a connection");
                sleep(REST).await;
                continue;
            }
        };
        let maximum = broker.options().maximum_connections;
        let Some(counted) = Counted::within(maximum, &connections) else {
            broker.counters().count(Count::ConnectionsRefused);
            broker.counters().count(Count::LimitConnections);
            tracing::debug!(listener = %options.name, peer = %address, "refused: as many connections as `maximum-connections` allows");
            if let Some(counted) = Counted::within(TURNED_AWAY, &turned_away) {
                let broker = broker.clone();
                serve_socket(stream, counted, &spawner, |stream| turn_away(stream, broker));
            }
            continue;
        };
        let peer = Peer { address: Some(address), listener: policy.clone() };
        let broker = broker.clone();
        let others = spawner.clone();
        serve_socket(stream, counted, &spawner, |stream| {
            let served = serve(stream, peer, broker);
            async move {
                if let Some(moving) = served.await {
                    take_over(moving, others);
                }
            }
        });
    }
}

/// Hands a socket to the next worker. It is registered there at once, so that the task need not hold room for it as it
/// came.
fn serve_socket<T>(
    stream: StdStream,
    counted: Counted,
    spawner: &Spawner,
    task: impl FnOnce(CountedStream) -> T,
) where
    T: Future<Output = ()> + Send + 'static,
{
    let worker = spawner.next();
    let registered = {
        let _entered = worker.enter();
        TcpStream::from_std(stream)
    };
    match registered {
        Ok(stream) => drop(worker.spawn(task(CountedStream { stream, _counted: counted }))),
        Err(error) => tracing::warn!(%error, "could not register a connection"),
    }
}

/// Serves a connection on the worker to which it was sent.
fn take_over(moving: Moving<CountedStream>, spawner: Spawner) {
    let worker = spawner.worker(moving.to()).clone();
    let registered = {
        let _entered = worker.enter();
        moving.register(CountedStream::register)
    };
    match registered {
        Ok(moving) => {
            // In a box, because it may be sent on from there.
            let served: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(moving.go_on());
            worker.spawn(async move {
                if let Some(moving) = served.await {
                    take_over(moving, spawner);
                }
            });
        }
        Err(error) => {
            tracing::warn!(%error, "could not register a connection with another thread: it has ended")
        }
    }
}
