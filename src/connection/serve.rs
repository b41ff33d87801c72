//! From a byte stream to a connection that is served, on one thread or on several in turn.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::thread::Seen;
use super::timers::Timers;
use super::topic_alias::TopicAliases;
use super::{Connection, Io, Peer, Stop, handshake, wait};
use crate::broker::{AuthorizationCache, Broker, Count};

/// Serves one connection until it ends.
///
/// What goes on for long is only [`Connection::run`]. The handshake, what is read and the end are each in a box that
/// is given back after it, as a connection that is silent would else hold room for the largest of them: 6,288 bytes
/// instead of 656 (scenario E, `malloc_usable_size` of all that is alive).
///
/// On a [`Thread`] it may also be sent away: what is returned is to go on there.
pub fn serve<S>(stream: S, peer: Peer, broker: Arc<Broker>) -> impl Future<Output = Option<Moving<S>>> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let begun = Box::pin(begin(stream, peer, broker));
    async move { go_on(begun.await?).await }
}

/// The same, and where the connection is sent away `moves` is called. One future, as one in another would take its room
/// twice.
pub fn serve_or_move<S>(
    stream: S,
    peer: Peer,
    broker: Arc<Broker>,
    moves: impl FnOnce(Moving<S>) + Send,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let begun = Box::pin(begin(stream, peer, broker));
    async move {
        let Some(connection) = begun.await else { return };
        if let Some(moving) = go_on(connection).await {
            moves(moving);
        }
    }
}

async fn go_on<S>(mut connection: Box<Connection<S>>) -> Option<Moving<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // Not all in one match: what is matched is held for as long as an arm waits.
    let ended = match connection.run().await {
        Stop::Moves(to) => return Some(Moving { connection, to }),
        Stop::Ended(ended) => ended,
    };
    Box::pin(connection.end(ended)).await;
    None
}

/// A connection on its way to another thread.
pub struct Moving<S> {
    connection: Box<Connection<S>>,
    to: u32,
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
        let io = Io { stream: register(io.stream)?, timers: io.timers.without_runtime(), ..io };
        let connection = Box::new(Connection { io, ..*self.connection });
        Ok(Moving { connection, to: self.to })
    }

    /// Serves the connection on, on the thread that calls.
    pub async fn go_on(self) -> Option<Moving<S>> {
        self.connection.attachment.settle();
        go_on(self.connection).await
    }
}

/// The handshake, and what the connection that had the session before leaves to do.
async fn begin<S>(mut stream: S, peer: Peer, broker: Arc<Broker>) -> Option<Box<Connection<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    broker.counters().count(Count::ConnectionsAccepted);
    let accepted = handshake::shake_hands(&mut stream, peer, &broker).await?;
    let mut connection = Box::new(Connection {
        io: Io {
            timers: Timers::new(accepted.keep_alive, accepted.expires_at, broker.options().write_timeout),
            more_to_decode: false,
            stream,
            input: accepted.input,
            output: accepted.output,
            now: broker.now(),
        },
        attachment: accepted.attachment,
        authentication: accepted.authentication,
        verdicts: AuthorizationCache::default(),
        aliases: TopicAliases::new(broker.options().topic_alias_maximum),
        receive_maximum: accepted.receive_maximum,
        unreleased: 0,
        session_expiry_cap: accepted.session_expiry_cap,
        asked_expiry_interval: accepted.asked_expiry_interval,
        thread: Seen::default(),
    });
    if let Some(will) = accepted.due_will {
        let published = pin!(broker.publish_will(will));
        wait(&mut connection.io, &connection.attachment, published).await;
    }
    Some(connection)
}

/// Tells a client for whom there is no room, and closes the connection.
pub async fn turn_away<S>(mut stream: S, broker: Arc<Broker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    handshake::turn_away(&mut stream, &broker).await;
}
