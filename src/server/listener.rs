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

use super::connections::Connections;
use super::workers::Spawner;
use crate::broker::{Broker, Count};
use crate::connection::{Peer, serve, turn_away};
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
pub(super) struct CountedStream {
    stream: TcpStream,
    _counted: Counted,
}

impl CountedStream {
    /// With the runtime of the thread that calls, or that was entered.
    pub(super) fn register(self) -> io::Result<CountedStream> {
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

/// A socket that was accepted.
struct Accepted {
    stream: StdStream,
    address: SocketAddr,
    counted: Counted,
}

/// What serves the sockets of a listener.
#[derive(Clone)]
struct Serving {
    policy: Arc<ListenerPolicy>,
    broker: Arc<Broker>,
    spawner: Spawner,
}

/// Accepts for as long as it is polled.
///
/// What is there at once goes to a worker together: to hand a socket over costs a system call that wakes it.
pub(super) async fn accept(
    socket: TcpListener,
    options: ListenerOptions,
    broker: Arc<Broker>,
    spawner: Spawner,
    connections: Arc<AtomicUsize>,
) {
    let serving = Serving { policy: options.policy(), broker, spawner };
    let turned_away = Arc::new(AtomicUsize::new(0));
    let mut handed_over: Vec<Vec<Accepted>> = serving.spawner.workers().iter().map(|_| Vec::new()).collect();
    loop {
        let accepted = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %options.name, %error, "could not accept a connection");
                sleep(REST).await;
                continue;
            }
        };
        let maximum = serving.broker.options().maximum_connections;
        for (stream, address) in accepted {
            if let Some(counted) = Counted::within(maximum, &connections) {
                let accepted = Accepted { stream, address, counted };
                handed_over[serving.spawner.next_number()].push(accepted);
            } else {
                tracing::debug!(listener = %options.name, peer = %address, "refused: as many connections as `maximum-connections` allows");
                serving.refuse(stream, &turned_away);
            }
        }
        for (worker, sockets) in serving.spawner.workers().iter().zip(&mut handed_over) {
            if !sockets.is_empty() {
                let (serving, sockets) = (serving.clone(), std::mem::take(sockets));
                worker.spawn(async move { sockets.into_iter().for_each(|socket| serving.serve(socket)) });
            }
        }
    }
}

impl Serving {
    /// To be called on the worker.
    fn serve(&self, Accepted { stream, address, counted }: Accepted) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => CountedStream { stream, _counted: counted },
            Err(error) => return tracing::warn!(%error, "could not register a connection"),
        };
        let peer = Peer { address: Some(address), listener: self.policy.clone() };
        let serve = serve(stream, peer, self.broker.clone());
        Connections::add(serve);
    }

    fn refuse(&self, stream: StdStream, turned_away: &Arc<AtomicUsize>) {
        self.broker.counters().count(Count::ConnectionsRefused);
        self.broker.counters().count(Count::LimitConnections);
        if let Some(counted) = Counted::within(TURNED_AWAY, turned_away) {
            let broker = self.broker.clone();
            self.spawner.spawn(async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    turn_away(stream, broker).await;
                }
                drop(counted);
            });
        }
    }
}
