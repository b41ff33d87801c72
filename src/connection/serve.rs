//! From a byte stream to a connection that is served, on one thread or on several in turn.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::disconnect::Ended;
use super::pacing::Pacing;
use super::thread::Seen;
use super::timers::Timers;
use super::{Connection, Io, Next, Peer, Seldom, handshake, wait};
use crate::broker::guard::Turned;
use crate::broker::{AuthorizationCache, Broker, Count};
use crate::storage::Promise;

/// Serves one connection until it ends.
///
/// On a [`Thread`](super::Thread) it may also be sent away: what is returned is to go on there.
pub fn serve<S>(stream: S, peer: Peer, broker: Arc<Broker>) -> Serve<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = State::Begins(Box::pin(begin(stream, peer, broker)));
    Serve { state, promise: Promise::default() }
}

/// A connection that is served.
///
/// What goes on for long is [`Connection::poll_turns`], which holds nothing but the connection: were it async, there
/// would be 104 bytes beside it, and the connection in a box of its own. The handshake, what waits for a hook and the
/// end are each in a box that is given back after it, as a connection that is silent would else hold room for the
/// largest of them: 6,288 bytes instead of 656 (scenario E, `malloc_usable_size` of all that is alive).
pub struct Serve<S> {
    state: State<S>,
    /// What the connection has last promised; of the thread while it is served.
    promise: Promise,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all there are, are served, and a box would cost each of them more"
)]
enum State<S> {
    Begins(Pin<Box<dyn Future<Output = Option<Connection<S>>> + Send>>),
    Served(Connection<S>),
    Waits(Waiting<S>),
    Ends(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

/// A connection that waits in the middle of a turn.
pub(super) type Waiting<S> = Pin<Box<dyn Future<Output = (Connection<S>, Result<(), Ended>)> + Send>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Serve<S> {
    type Output = Option<Moving<S>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Moving<S>>> {
        let serve = self.get_mut();
        serve.promise = Promise::swap(serve.promise);
        let polled = serve.state.poll(cx);
        serve.promise = Promise::swap(serve.promise);
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> State<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moving<S>>> {
        let state = self;
        loop {
            *state = match state {
                State::Begins(begins) => ready!(begins.as_mut().poll(cx)).map_or(State::Over, State::Served),
                State::Served(connection) => {
                    let next = ready!(connection.poll_turns(cx));
                    let State::Served(connection) = std::mem::replace(state, State::Over) else { continue };
                    match next {
                        Next::Acts(message) => State::Waits(connection.go_on_acting(message)),
                        Next::Replays => State::Waits(connection.go_on_replaying()),
                        Next::Moves(to) => {
                            let connection = Box::new(connection);
                            let promise = Promise::current();
                            return Poll::Ready(Some(Moving { connection, to, promise }));
                        }
                        Next::Ends(ended) => State::Ends(Box::pin(connection.end(*ended))),
                    }
                }
                State::Waits(waits) => match ready!(waits.as_mut().poll(cx)) {
                    (connection, Ok(())) => State::Served(connection),
                    (connection, Err(ended)) => State::Ends(Box::pin(connection.end(ended))),
                },
                State::Ends(ends) => {
                    ready!(ends.as_mut().poll(cx));
                    State::Over
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

/// A connection on its way to another thread.
pub struct Moving<S> {
    connection: Box<Connection<S>>,
    to: u32,
    promise: Promise,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Moving<S> {
    /// The number of the thread.
    pub fn to(&self) -> u32 {
        self.to
    }

    /// Has the stream registered with that thread's runtime.
    ///
    /// # Errors
    /// That of `register`; the connection has ended then as if its network had failed.
    pub fn register(self, register: impl FnOnce(S) -> io::Result<S>) -> io::Result<Moving<S>> {
        let Connection { io, .. } = *self.connection;
        let io = Io { stream: register(io.stream)?, timers: io.timers.without_alarm(), ..io };
        let connection = Box::new(Connection { io, ..*self.connection });
        Ok(Moving { connection, to: self.to, promise: self.promise })
    }

    /// Serves the connection on, on the thread that polls it first.
    pub fn go_on(self) -> Serve<S>
    where
        S: 'static,
    {
        let Moving { connection, promise, .. } = self;
        let state = State::Begins(Box::pin(async move {
            connection.attachment.settle();
            Some(*connection)
        }));
        Serve { state, promise }
    }
}

/// The handshake, and what the connection that had the session before leaves to do.
async fn begin<S>(mut stream: S, peer: Peer, broker: Arc<Broker>) -> Option<Connection<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    broker.counters().count(Count::ConnectionsAccepted);
    let listener = peer.listener.clone();
    let accepted = handshake::shake_hands(&mut stream, peer, &broker).await?;
    let seldom =
        accepted.authentication.map(|it| Box::new(Seldom { authentication: Some(it), ..Seldom::default() }));
    let mut connection = Connection {
        io: Io {
            timers: Timers::new(
                accepted.keep_alive,
                accepted.expires_at,
                Pacing::of(broker.guard(), &listener),
            ),
            more_to_decode: false,
            topic_alias_maximum: accepted.topic_alias_maximum,
            stream,
            input: accepted.input,
            output: accepted.output,
            now: broker.now(),
        },
        attachment: accepted.attachment,
        verdicts: AuthorizationCache::default(),
        seldom,
        receive_maximum: accepted.receive_maximum,
        unreleased: 0,
        session_expiry_cap: accepted.session_expiry_cap,
        asked_to_be_kept: accepted.asked_to_be_kept,
        is_bridge: accepted.is_bridge,
        thread: Seen::default(),
        acts_next: true,
        was_asked: true,
    };
    if let Some(will) = accepted.due_will {
        let published = pin!(broker.publish_will(will));
        wait(&mut connection.io, &connection.attachment, published).await;
    }
    Some(connection)
}

/// Tells a client why it does not come in, and closes the connection.
pub async fn turn_away<S>(mut stream: S, turned: Turned, broker: Arc<Broker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    handshake::turn_away(&mut stream, turned, &broker).await;
}
