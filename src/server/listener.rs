//! Accepts sockets and hands each to a worker.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::connections::Connections;
use super::workers::Spawner;
use crate::broker::Broker;
use crate::broker::guard::{Door, DoorLimits, Pending, Place, Turned};
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
    /// How many come in, how fast, and how fast they publish.
    pub limits: DoorLimits,
}

impl ListenerOptions {
    /// Nobody comes in, and nothing is allowed, unless a hook says so.
    pub fn new(name: impl Into<String>, address: SocketAddr) -> ListenerOptions {
        ListenerOptions {
            name: name.into(),
            address,
            anonymous: false,
            default_authorization: false,
            limits: DoorLimits::default(),
        }
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

/// A socket that is counted for as long as it is open.
pub(super) struct CountedStream {
    stream: TcpStream,
    _place: Place,
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
    place: Place,
    pending: Pending,
}

/// What serves the sockets of a listener.
#[derive(Clone)]
struct Serving {
    policy: Arc<ListenerPolicy>,
    door: Arc<Door>,
    broker: Arc<Broker>,
    spawner: Spawner,
    /// A place for each client that is told at a time why it does not come in.
    turning_away: Arc<Semaphore>,
}

/// Accepts for as long as it is polled.
///
/// What is there at once goes to a worker together: to hand a socket over costs a system call that wakes it.
pub(super) async fn accept(
    socket: TcpListener,
    options: ListenerOptions,
    broker: Arc<Broker>,
    spawner: Spawner,
) {
    let door = Arc::new(Door::new(broker.guard().clone(), options.limits.clone()));
    let turning_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let serving = Serving { policy: options.policy(), door, broker, spawner, turning_away };
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
        for (stream, address) in accepted {
            match serving.admit(stream, address) {
                Ok(accepted) => handed_over[serving.spawner.next_number()].push(accepted),
                Err((stream, turned)) => {
                    tracing::debug!(listener = %options.name, peer = %address, "refused: {}", turned.why);
                    serving.refuse(stream, turned);
                }
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
    /// Asks the guards before the connection costs anything.
    fn admit(&self, stream: StdStream, address: SocketAddr) -> Result<Accepted, (StdStream, Turned)> {
        let maximum = self.broker.options().maximum_connections;
        let entered = self.door.enter(Some(address.ip()), maximum);
        match entered.and_then(|place| Ok((place, self.broker.guard().wait()?))) {
            Ok((place, pending)) => Ok(Accepted { stream, address, place, pending }),
            Err(turned) => Err((stream, turned)),
        }
    }

    /// To be called on the worker.
    fn serve(&self, Accepted { stream, address, place, pending }: Accepted) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => CountedStream { stream, _place: place },
            Err(error) => return tracing::warn!(%error, "could not register a connection"),
        };
        let peer = Peer {
            door: Some(self.door.clone()),
            pending: Some(pending),
            ..Peer::new(Some(address), self.policy.clone())
        };
        let serve = serve(stream, peer, self.broker.clone());
        Connections::add(serve);
    }

    fn refuse(&self, stream: StdStream, turned: Turned) {
        turned.count(self.broker.guard());
        if let Ok(place) = self.turning_away.clone().try_acquire_owned() {
            let broker = self.broker.clone();
            self.spawner.spawn(async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    turn_away(stream, turned, broker).await;
                }
                drop(place);
            });
        }
    }
}
