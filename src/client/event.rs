//! What happens to a client's connection.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::buffer::{Buffer, WhenFull};
use super::{ConnectError, End};
use crate::packet::Connack;

/// What happens to a client's connection, in the order in which it happens:
///
/// ```text
///   Connecting ─► Connected ─► Resumed (not the first time) ─► Disconnected ─► Connecting …
///        └──────────────────────────────────────────────────────────┘  └─────► GaveUp
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An attempt begins; the first after a connection is 1.
    Connecting { attempt: u32 },
    /// The server let the client in. `session_present`: it still knows the session, so that nothing is subscribed to again.
    Connected { session_present: bool, connack: Arc<Connack> },
    /// After an interruption all is as it was before: what was in flight is on its way again, and where the session was
    /// lost, subscriptions were made again.
    Resumed { session_present: bool },
    /// A connection is over, or an attempt has failed. The next follows after `retry_in`; without it, none does.
    Disconnected { reason: Disconnection, retry_in: Option<Duration> },
    /// The client has ended without being asked to. Nothing comes after this.
    GaveUp(End),
}

/// Why there is no connection at present.
#[derive(Clone, Debug)]
pub enum Disconnection {
    Ended(End),
    NotConnected(ConnectError),
}

impl fmt::Display for Disconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnection::Ended(end) => end.fmt(f),
            Disconnection::NotConnected(error) => write!(f, "failed to {error}"),
        }
    }
}

/// Events that wait to be taken; the oldest give way.
const CAPACITY: usize = 64;

/// A stream of [`Event`]s, from [`Client::events`](super::Client::events). It does not keep the client alive.
#[derive(Debug)]
pub struct Events {
    pub(super) buffer: Arc<Buffer<Event>>,
}

impl Events {
    pub(super) fn new() -> Events {
        Events { buffer: Arc::new(Buffer::new(CAPACITY, WhenFull::DropOldest)) }
    }

    /// The next event; `None` once the client has ended. Of more than 64 that nobody takes, the oldest are dropped.
    ///
    /// Cancel safe: an event is lost only to who has it.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// let mut events = client.events();
    /// client.start();
    /// assert!(matches!(events.next().await, Some(Event::Connecting { attempt: 1 })));
    /// assert!(matches!(events.next().await, Some(Event::Connected { session_present: false, .. })));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same as a function to be polled.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// let mut events = client.events();
    /// client.start();
    /// let event = std::future::poll_fn(|cx| events.poll_next(cx)).await;
    /// assert!(matches!(event, Some(Event::Connecting { attempt: 1 })));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.buffer.poll_take(cx).map(|taken| taken.map(|taken| taken.value))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.buffer.abandon();
    }
}
