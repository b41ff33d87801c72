//! Accepts sockets and hands each to a worker.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::connections::Connections;
use super::counted::CountedStream;
use super::workers::Spawner;
use crate::broker::guard::{self, Pending, Place, Turned};
use crate::broker::{Broker, Count};
use crate::connection::{Peer, serve, turn_away};
use crate::hook::ListenerPolicy;
use crate::peer::Remote;
use crate::transport::proxy::ProxyError;
#[cfg(feature = "tls")]
use crate::transport::tls::TlsError;
#[cfg(feature = "websocket")]
use crate::transport::websocket::HandshakeError;
use crate::transport::{Accepted, Door, DoorError, Listener, Plain, Socket, Stream};

/// How long accepting rests after an error that the next try would meet again, such as too many files.
const REST: Duration = Duration::from_millis(100);

/// How many clients of a listener are told at a time why they do not come in. Those beyond are closed at once.
pub(super) const TURNED_AWAY: usize = 64;

/// What serves the sockets of a listener. It may be exchanged while the listener stays.
#[derive(Clone)]
pub(super) struct Serving {
    pub policy: Arc<ListenerPolicy>,
    pub door: Arc<Door>,
    pub guarded: Arc<guard::Door>,
    pub broker: Arc<Broker>,
    pub spawner: Spawner,
    /// A place for each client that is told at a time why it does not come in.
    pub turning_away: Arc<Semaphore>,
}

/// A socket that was accepted, on its way to its worker.
struct Arrived {
    accepted: Accepted,
    guarded: Guarded,
}

/// How a connection is known that was not let in yet.
struct Guarded {
    since: Instant,
    place: Place,
    pending: Pending,
}

/// Why a connection does not begin.
enum NotOpened {
    Failed(DoorError),
    Turned(Turned, Socket),
    /// For a newer one.
    GaveWay,
    ShuttingDown,
}

/// Accepts for as long as it is polled.
///
/// What is there at once goes to a worker together: to hand a socket over costs a system call that wakes it.
pub(super) async fn accept(socket: Listener, serving: Arc<ArcSwap<Serving>>) {
    let workers = serving.load().spawner.workers().len();
    let mut handed_over: Vec<Vec<Arrived>> = (0..workers).map(|_| Vec::new()).collect();
    loop {
        let accepted = socket.accept().await;
        let serving = serving.load();
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %serving.policy.name, %error, "could not accept a connection");
                drop(serving);
                sleep(REST).await;
                continue;
            }
        };
        for accepted in accepted {
            match serving.admit(&accepted) {
                Ok(guarded) => {
                    handed_over[serving.spawner.next_number()].push(Arrived { accepted, guarded });
                }
                Err(turned) => {
                    tracing::debug!(listener = %serving.policy.name, peer = ?accepted.address, "refused: {}", turned.why);
                    serving.refuse(accepted, turned);
                }
            }
        }
        for (worker, arrived) in serving.spawner.workers().iter().zip(&mut handed_over) {
            if !arrived.is_empty() {
                let (serving, arrived) = (Serving::clone(&serving), std::mem::take(arrived));
                worker.spawn(async move { arrived.into_iter().for_each(|arrived| serving.serve(arrived)) });
            }
        }
    }
}

impl Serving {
    /// Asks the guards before the connection costs anything.
    fn admit(&self, accepted: &Accepted) -> Result<Guarded, Turned> {
        let maximum = self.broker.options().maximum_connections;
        // A proxy stands for many; whom it speaks for counts once that is known.
        let address = accepted.address.filter(|address| !self.door.trusts(address.ip()));
        let place = self.guarded.enter(address.map(|address| address.ip()), maximum)?;
        Ok(Guarded { since: Instant::now(), place, pending: self.broker.guard().wait()? })
    }

    /// To be called on the worker.
    fn serve(&self, Arrived { accepted, guarded }: Arrived) {
        match accepted {
            Accepted { socket: Plain::Tcp(socket), address: Some(address) } if self.door.is_plain() => {
                match Stream::tcp(socket) {
                    Ok(stream) => self.begin(stream, address.into(), guarded),
                    Err(error) => tracing::warn!(%error, "could not register a connection"),
                }
            }
            accepted => {
                let serving = self.clone();
                tokio::spawn(async move { serving.open(accepted, guarded).await });
            }
        }
    }

    /// Takes the handshakes of the transport, which have their part of `connect-timeout`.
    async fn open(&self, accepted: Accepted, mut guarded: Guarded) {
        let address = accepted.address;
        let deadline = guarded.since + self.broker.options().connect_timeout;
        let gives_way = guarded.pending.gives_way();
        let opened = tokio::select! {
            biased;
            opened = timeout_at(deadline, self.shake_hands(accepted, &mut guarded.place)) => {
                opened.unwrap_or(Err(NotOpened::Failed(DoorError::Timeout)))
            }
            () = self.broker.shutting_down() => Err(NotOpened::ShuttingDown),
            () = gives_way => Err(NotOpened::GaveWay),
        };
        match opened {
            Ok((stream, remote)) => self.begin(stream, remote, guarded),
            Err(NotOpened::Turned(turned, socket)) => {
                turned.count(self.broker.guard());
                // To tell a client through TLS would cost more than to serve it.
                if self.door.is_bare()
                    && let Ok(_place) = self.turning_away.try_acquire()
                {
                    turn_away(socket, turned, self.broker.clone()).await;
                }
            }
            Err(NotOpened::Failed(error)) => {
                tracing::debug!(listener = %self.policy.name, peer = ?address, %error, "client refused");
                #[cfg(feature = "tls")]
                if let DoorError::Tls(foreign @ TlsError::Foreign) = &error {
                    self.broker.warn_of_wrong_port(&self.policy.name, address, &foreign.to_string());
                }
                self.not_opened(cause_of(&error));
            }
            Err(NotOpened::GaveWay) => self.not_opened(Count::LimitPendingConnections),
            Err(NotOpened::ShuttingDown) => self.not_opened(Count::RefusedOther),
        }
    }

    async fn shake_hands(
        &self,
        accepted: Accepted,
        place: &mut Place,
    ) -> Result<(Stream, Remote), NotOpened> {
        let is_proxy = accepted.address.is_some_and(|address| self.door.trusts(address.ip()));
        let (socket, known) = self.door.identify(accepted).await.map_err(NotOpened::Failed)?;
        // Behind a proxy, only now it is known who comes.
        if let Some(client) = known.address.filter(|client| is_proxy && !self.door.trusts(client.ip()))
            && let Err(turned) = place.comes_from(client.ip())
        {
            tracing::debug!(listener = %self.policy.name, peer = %client, "refused: {}", turned.why);
            return Err(NotOpened::Turned(turned, socket));
        }
        self.door.open(socket, known).await.map_err(NotOpened::Failed)
    }

    fn not_opened(&self, cause: Count) {
        let counters = self.broker.counters();
        counters.count(Count::ConnectionsAccepted);
        counters.count(Count::ConnectionsRefused);
        counters.count(cause);
    }

    /// The one place where a connection begins, with who is at its other end.
    fn begin(&self, stream: Stream, remote: Remote, guarded: Guarded) {
        let Guarded { since, place, pending } = guarded;
        let peer = Peer { since, pending: Some(pending), ..Peer::new(Some(remote), self.policy.clone()) };
        Connections::add(serve(CountedStream::new(stream, place), peer, self.broker.clone()));
    }

    fn refuse(&self, accepted: Accepted, turned: Turned) {
        turned.count(self.broker.guard());
        // To tell a client through TLS that there are too many would cost more than to serve it.
        let Accepted { socket: Plain::Tcp(socket), .. } = accepted else { return };
        if self.door.is_plain()
            && let Ok(place) = self.turning_away.clone().try_acquire_owned()
        {
            let broker = self.broker.clone();
            self.spawner.spawn(async move {
                if let Ok(stream) = Stream::tcp(socket) {
                    turn_away(stream, turned, broker).await;
                }
                drop(place);
            });
        }
    }
}

fn cause_of(error: &DoorError) -> Count {
    match error {
        DoorError::Socket(_) => Count::RefusedOther,
        DoorError::Timeout => Count::LimitConnectTimeout,
        DoorError::Proxy(ProxyError::Io(_)) => Count::RefusedGone,
        DoorError::Proxy(_) => Count::RefusedProxy,
        #[cfg(feature = "tls")]
        DoorError::Tls(TlsError::Certificate(_)) => Count::RefusedCertificate,
        #[cfg(feature = "tls")]
        DoorError::Tls(TlsError::Io(_)) => Count::RefusedGone,
        #[cfg(feature = "tls")]
        DoorError::Tls(_) => Count::RefusedTls,
        #[cfg(feature = "websocket")]
        DoorError::WebSocket(HandshakeError::Refused(_)) => Count::RefusedWebSocket,
        #[cfg(feature = "websocket")]
        DoorError::WebSocket(_) => Count::RefusedGone,
    }
}
