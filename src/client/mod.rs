//! An asynchronous MQTT client for 3.1.1 and 5.0 that stays connected.
//!
//! [`connect`] gives a [`Client`], which publishes and subscribes. A task in the background makes the connection, makes it
//! again where it is lost, and does every flow to its end: what was published is queued while there is no connection and
//! sent again where it was not acknowledged, subscriptions are made again where the server has forgotten them, and a
//! QoS 2 message is received once. [`Options::reconnect`] as `None` makes a client of one connection.
//!
//! ```no_run
//! use tidegate::client::{Options, connect};
//! use tidegate::packet::{Publish, QoS};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = connect(Options::new("localhost", 1883, "thermometer-7")).await?;
//! let mut commands = client.subscribe("t/7/commands").await?;
//! client.publish(Publish::new("t/7/temperature".into(), "21.5".into()).with_qos(QoS::AtLeastOnce)).await?;
//! while let Some(command) = commands.next().await {
//!     println!("{:?}", command.payload);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Start at [`Client`] and [`Options`]. Transports other than TCP are [`Connector`]s. Builds without the broker, with the
//! feature `client` alone.

mod alias;
mod authentication;
mod buffer;
pub mod connector;
mod core;
#[cfg(feature = "devices")]
pub mod device;
pub mod dial;
mod driver;
mod error;
mod event;
mod handshake;
mod message;
mod messages;
mod options;
mod publishing;
mod reconnect;
mod request;
mod routes;
mod session;
mod store;
mod subscription;
mod supervisor;

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

pub use authentication::{Authentication, BoxError, Credentials, Exchange};
pub use buffer::WhenFull;
pub use connector::{AsyncStream, BoxFuture, BoxedStream, Connector, DialError, connector_fn};
pub use error::{
    ConnectError, DisconnectError, End, InvalidOptions, PublishError, PublishResult, RequestError,
    SubscribeError,
};
pub use event::{Disconnection, Event, Events};
pub use message::Message;
pub use messages::Messages;
pub use options::{Options, Overflow, Queue};
pub use publishing::Publishing;
pub use reconnect::{GiveUp, Reconnect};
pub use store::Store;
pub use subscription::{SubscribeOptions, Subscription};

use crate::packet::{Connack, Disconnect, ReasonCode};
use buffer::Buffer;
use core::{Phase, Reauthentication, Shared};
use supervisor::Supervisor;

/// Makes a client and connects it.
///
/// # Errors
/// Where the options contradict each other, or the first attempt fails: then nothing goes on in the background. To have
/// that go on until there is a connection, use [`Client::new`] and [`Client::start`].
///
/// Cancel safe: dropped before it is done, nothing is left.
///
/// ```
/// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
/// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
/// let client = connect(options).await?;
/// assert!(client.connack().is_some());
/// // Nobody listens at a port that was given back.
/// let gone = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
/// let error = connect(Options::new("127.0.0.1", gone, "example")).await.unwrap_err();
/// assert!(matches!(error, ConnectError::Dial(DialError::Unreachable { .. })));
/// # server.shutdown().await; Ok(()) }
/// ```
pub async fn connect(options: Options) -> Result<Client, ConnectError> {
    let client = Client::new(options)?;
    client.connect().await?;
    Ok(client)
}

/// A client; clones are the same client. When the last of them and of its [`Subscription`]s is dropped, it leaves as
/// with [`disconnect`](Client::disconnect), in the background.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Counts the clones.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let by = Instant::now() + self.shared.options.disconnect_timeout;
        self.shared.with(|core| core.leave(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION), by, None));
        self.shared.leave.notify_one();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.shared().options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that does nothing yet: streams of [`events`](Client::events) and [`messages`](Client::messages) can be
    /// had before anything happens, and what is published waits.
    ///
    /// # Errors
    /// Where the options contradict each other or the protocol version.
    ///
    /// ```
    /// use tidegate::client::{Client, Options};
    ///
    /// let client = Client::new(Options::new("localhost", 1883, "thermometer-7"))?;
    /// let messages = client.messages();
    /// # Ok::<(), tidegate::client::InvalidOptions>(())
    /// ```
    pub fn new(options: Options) -> Result<Client, InvalidOptions> {
        options.validate()?;
        let taken = options.store.as_ref().map(|store| store.take(&options)).transpose()?;
        let shared = Shared::new(options);
        if let Some((keeper, found)) = taken {
            shared.restore(keeper, found);
        }
        Ok(Client { handle: Arc::new(Handle { shared }) })
    }

    /// Begins to connect in the background, and goes on until there is a connection, or no hope of one. What happens
    /// tells [`events`](Client::events). Does nothing the second time.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// client.start();
    /// // What is published meanwhile is queued.
    /// client.publish(Publish::new("a".into(), "1".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn start(&self) {
        self.begin(None);
    }

    /// Connects, and gives the server's CONNACK. Where the client was started before, it waits for the next connection.
    ///
    /// # Errors
    /// Where the first attempt fails, which ends the client; where it was started before, once it gives up.
    ///
    /// Cancel safe: dropped before it is done, an attempt goes on until it has succeeded or failed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// let connack = client.connect().await?;
    /// assert!(!connack.session_present);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn connect(&self) -> Result<Arc<Connack>, ConnectError> {
        let (first, attempted) = oneshot::channel();
        if self.begin(Some(first)) {
            return attempted.await.unwrap_or_else(|_| Err(self.ended().into()));
        }
        self.connected().await
    }

    /// Waits until there is a connection; at once where there is one. Gives the server's CONNACK.
    ///
    /// # Errors
    /// Where the client has ended, or ends before.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// client.start();
    /// client.connected().await?;
    /// assert!(client.connack().is_some());
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn connected(&self) -> Result<Arc<Connack>, ConnectError> {
        let mut phase = self.shared().phase();
        let is_decided = |phase: &Phase| !matches!(phase, Phase::Unconnected);
        match phase.wait_for(is_decided).await.as_deref() {
            Ok(Phase::Connected(connack)) => Ok(connack.clone()),
            Ok(Phase::Ended(End::GaveUp(error))) => Err((**error).clone()),
            _ => Err(self.ended().into()),
        }
    }

    /// The server's CONNACK, while there is a connection.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// assert_eq!(client.connack().expect("connected").reason_code, ReasonCode::SUCCESS);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn connack(&self) -> Option<Arc<Connack>> {
        match &*self.shared().phase().borrow() {
            Phase::Connected(connack) => Some(connack.clone()),
            _ => None,
        }
    }

    /// Why the client has ended, once it has.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// assert!(client.end().is_none());
    /// client.disconnect().await?;
    /// assert!(matches!(client.end(), Some(End::Client)));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn end(&self) -> Option<End> {
        self.shared().end()
    }

    /// Waits until the client has ended, and says why.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.disconnect().await?;
    /// assert!(matches!(client.wait_for_end().await, End::Client));
    /// assert!(client.end().is_some());
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn wait_for_end(&self) -> End {
        let mut phase = self.shared().phase();
        let has_ended = |phase: &Phase| matches!(phase, Phase::Ended(_));
        let _ = phase.wait_for(has_ended).await;
        self.ended()
    }

    /// The options it was made with.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// assert_eq!(client.options().connect.client_identifier, "example");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn options(&self) -> &Options {
        &self.shared().options
    }

    /// A stream of what happens to the connection, from now on.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// let mut events = client.events();
    /// client.connect().await?;
    /// client.disconnect().await?;
    /// let mut seen = Vec::new();
    /// while let Some(event) = events.next().await {
    ///     seen.push(match event {
    ///         Event::Connecting { attempt } => format!("attempt {attempt}"),
    ///         Event::Connected { session_present, .. } => format!("connected ({session_present})"),
    ///         Event::Disconnected { reason, .. } => format!("not connected: {reason}"),
    ///         _ => continue,
    ///     });
    /// }
    /// assert_eq!(seen, ["attempt 1", "connected (false)"]);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn events(&self) -> Events {
        let events = Events::new();
        self.shared().with(|core| core.add_events(events.buffer.clone()));
        events
    }

    /// Messages that came and were dropped because there was no stream to take them.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.subscribe_only(vec![SubscribeFilter::new("a".into(), QoS::AtMostOnce)]).await?;
    /// client.publish(Publish::new("a".into(), "1".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// // Nobody asked for `messages`.
    /// assert!(client.unclaimed() <= 1);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn unclaimed(&self) -> u64 {
        self.shared().with(|core| core.unclaimed)
    }

    /// Leaves: refuses what is published from now on, sends what is queued, waits for what is in flight, both within
    /// [`Options::disconnect_timeout`], then sends DISCONNECT and closes the connection. The client has ended then.
    ///
    /// # Errors
    /// [`DisconnectError::NotFlushed`] where there was not enough time: the client has left without having sent all.
    /// [`DisconnectError::Ended`] where it had ended before, or did for another reason.
    ///
    /// Cancel safe: dropped before it is done, the client leaves nonetheless.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.enqueue(Publish::new("a".into(), "1".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// client.disconnect().await?;
    /// // It is with the server now.
    /// assert_eq!(client.queued(), (0, 0));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn disconnect(&self) -> Result<(), DisconnectError> {
        self.disconnect_with(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).await
    }

    /// The same with this DISCONNECT; in 3.1.1, where it says nothing, with one that says nothing.
    ///
    /// # Errors
    /// As [`Client::disconnect`].
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.disconnect_with(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL_MESSAGE)).await?;
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn disconnect_with(&self, disconnect: Disconnect) -> Result<(), DisconnectError> {
        let shared = self.shared();
        if let Some(end) = shared.end() {
            return Err(end.into());
        }
        let by = Instant::now() + shared.options.disconnect_timeout;
        let (reply, left) = oneshot::channel();
        shared.with(|core| core.leave(disconnect, by, Some(reply)));
        shared.leave.notify_one();
        if self.begin(None) {
            // It was never started; the supervisor sees that it is to leave.
            shared.leave.notify_one();
        }
        left.await.unwrap_or_else(|_| Err(self.ended().into()))
    }

    /// Proves again who the client is, on the present connection (MQTT 5.0, 4.12.1).
    ///
    /// # Errors
    /// Where there is no [`Options::authentication`] or no connection, or the server is not convinced, in which case it ends
    /// the connection.
    ///
    /// Cancel safe: dropped before it is done, the exchange goes on.
    ///
    /// ```no_run
    /// # async fn example(client: tidegate::client::Client) -> Result<(), tidegate::client::ConnectError> {
    /// // With `Options::authentication`, before what was proved at CONNECT expires.
    /// client.reauthenticate().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reauthenticate(&self) -> Result<(), ConnectError> {
        let shared = self.shared();
        let Some(authentication) = &shared.options.authentication else {
            let reason = "there is no handler";
            return Err(InvalidOptions::Contradiction { option: "authentication", reason }.into());
        };
        let begun = authentication.begin().await;
        let exchange = begun.map_err(|error| ConnectError::Authentication(Arc::from(error)))?;
        let (reply, answer) = oneshot::channel();
        let method = authentication.method();
        let running = Reauthentication { exchange, method, reply, begun: false };
        if self.connack().is_none() {
            return Err(shared.end().unwrap_or(End::Closed).into());
        }
        shared.with(|core| core.reauthenticate(running));
        answer.await.unwrap_or_else(|_| Err(self.ended().into()))
    }

    /// Says whether it was not begun before.
    fn begin(&self, first: Option<supervisor::First>) -> bool {
        let begins = self.shared().with(|core| core.begin_once());
        if begins {
            tokio::spawn(Supervisor::new(self.shared().clone(), first).run());
        }
        begins
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn ended(&self) -> End {
        self.shared().end().unwrap_or(End::Closed)
    }
}

#[cfg(test)]
mod tests;
