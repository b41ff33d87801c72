//! Publishing: what is queued, and what comes of it.

use std::future::poll_fn;

use tokio::sync::oneshot;

use super::Client;
use super::core::{Completion, Pushed, prepare};
use super::error::{End, PublishError, PublishResult};
use super::session::Outgoing;
use crate::packet::Publish;
use crate::storage::Promise;

/// A message that is on its way. Dropping it leaves the message on its way.
#[derive(Debug)]
pub struct Publishing {
    answer: oneshot::Receiver<Result<PublishResult, PublishError>>,
}

impl Publishing {
    /// Waits for the end of the flow: PUBACK, PUBCOMP, or a PUBREC that refuses; with QoS 0 until the message is on its way.
    ///
    /// # Errors
    /// Where the server refuses the message, or it was not sent: because it expired, gave way to others, is not for this
    /// server, or the client ended.
    ///
    /// Cancel safe: the message stays on its way.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let publish = Publish::new("a".into(), "1".into()).with_qos(QoS::AtLeastOnce);
    /// let publishing = client.begin_publish(publish).await?;
    /// let result = publishing.answer().await?;
    /// assert_eq!(result.reason_code, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn answer(self) -> Result<PublishResult, PublishError> {
        self.answer.await.unwrap_or(Err(PublishError::Ended(End::Closed)))
    }
}

impl Client {
    /// Publishes, and waits for the end of the flow: PUBACK, PUBCOMP, or a PUBREC that refuses; with QoS 0 until the message
    /// is on its way. Where the queue is full, it waits for room first. Packet identifier, DUP, topic alias and subscription
    /// identifiers of the packet are not looked at.
    ///
    /// There is no time-out: while there is no connection it waits for one, for as long as the message does not expire. Put
    /// `tokio::time::timeout` around it to wait for less, and a Message Expiry Interval into the message to have it given up.
    ///
    /// # Errors
    /// [`PublishError::Refused`] where the server says so. Others where the message was not sent: because its topic is none,
    /// it expired, gave way to others, is not for this server, or the client ended.
    ///
    /// Cancel safe: dropped while it waits for room, nothing is published; later, the message stays on its way.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut lamps = client.subscribe("lamp/+").await?;
    /// let message = Publish::new("lamp/7".into(), "on".into()).with_qos(QoS::AtLeastOnce).with_retain(true);
    /// let result = client.publish(message).await?;
    /// // The server has it, and had somebody to give it to.
    /// assert_eq!(result.reason_code, ReasonCode::SUCCESS);
    /// assert_eq!(&lamps.next().await.expect("connected").payload[..], b"on");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn publish(&self, message: Publish) -> Result<PublishResult, PublishError> {
        self.begin_publish(message).await?.answer().await
    }

    /// Publishes without waiting for the end of the flow, only for room in the queue. What is published by one task goes out
    /// in the order in which it was.
    ///
    /// # Errors
    /// Where the topic is none, or the client has ended.
    ///
    /// Cancel safe: dropped while it waits for room, nothing is published.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut under_way = Vec::new();
    /// for number in 0..10 {
    ///     let publish = Publish::new("a".into(), number.to_string().into()).with_qos(QoS::AtLeastOnce);
    ///     under_way.push(client.begin_publish(publish).await?);
    /// }
    /// for publishing in under_way {
    ///     publishing.answer().await?;
    /// }
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn begin_publish(&self, message: Publish) -> Result<Publishing, PublishError> {
        let (done, answer) = oneshot::channel();
        self.queue(message, Some(done)).await?;
        Ok(Publishing { answer })
    }

    /// Queues a message and does not ask what becomes of it, which is the least that publishing can cost. Waits for room in
    /// the queue. It is sent as others are: with QoS 1 and 2 until it is acknowledged.
    ///
    /// With [`Options::store`](super::Options::store) it waits until a message of QoS 1 or 2 is kept, from when on it is sent
    /// even where the process is killed. The other ways to publish do not wait for that: who waits for the acknowledgement
    /// knows more.
    ///
    /// # Errors
    /// Where the topic is none, the client has ended, or the store fails; then the message is on its way nonetheless.
    ///
    /// Cancel safe: dropped while it waits for room, nothing is published.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.enqueue(Publish::new("a".into(), "1".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// client.disconnect().await?;
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn enqueue(&self, message: Publish) -> Result<(), PublishError> {
        let kept = self.queue(message, None).await?;
        let promised = self.shared().with(|core| core.promised());
        if let (Some(kept), Some((committer, _))) = (kept, promised) {
            poll_fn(|cx| committer.poll_kept(kept, cx)).await.map_err(PublishError::Store)?;
        }
        Ok(())
    }

    /// Publishes without waiting for anything. What comes of it tells the [`Publishing`], which may be dropped.
    ///
    /// # Errors
    /// [`PublishError::QueueFull`] where it would have to wait. Else as [`Client::begin_publish`].
    ///
    /// ```
    /// use tidegate::client::{Client, Options, PublishError};
    /// use tidegate::packet::Publish;
    ///
    /// let mut options = Options::new("localhost", 1883, "thermometer-7");
    /// options.queue.messages = 1;
    /// let client = Client::new(options)?;
    /// // There is no connection yet, so the first waits and fills the queue.
    /// let first = client.try_publish(Publish::new("t".into(), "21.5".into()))?;
    /// let second = client.try_publish(Publish::new("t".into(), "21.6".into()));
    /// assert!(matches!(second, Err(PublishError::QueueFull)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_publish(&self, message: Publish) -> Result<Publishing, PublishError> {
        let (done, answer) = oneshot::channel();
        let message = self.prepare(message, Some(done))?;
        match self.push(message)? {
            Pushed::Queued(_) => Ok(Publishing { answer }),
            Pushed::Full(_) => Err(PublishError::QueueFull),
        }
    }

    /// Whether all that [`Options::store`](super::Options::store) is to keep is kept; without one, it is.
    ///
    /// ```
    /// use tidegate::client::{Client, Options, Store};
    /// use tidegate::packet::{Publish, QoS};
    /// use tidegate::storage::memory::MemoryStorage;
    /// use tidegate::storage::{Durability, OpenedStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut options = Options::new("localhost", 1883, "thermometer-7");
    /// let storage = std::sync::Arc::new(MemoryStorage::default());
    /// options.store = Some(Store::new(OpenedStorage::new(storage, Durability::Always)?));
    /// let client = Client::new(options)?;
    /// // What is enqueued is kept, so that there is nothing to wait for.
    /// client.enqueue(Publish::new("t".into(), "21.5".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// assert!(client.store_is_idle());
    /// # Ok(()) }
    /// ```
    pub fn store_is_idle(&self) -> bool {
        let promised = self.shared().with(|core| core.promised());
        promised.is_none_or(|(committer, _)| committer.figures().waiting == 0)
    }

    /// Messages that wait to be sent, and messages in flight.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// let client = Client::new(options)?;
    /// client.try_publish(Publish::new("a".into(), "1".into()).with_qos(QoS::AtLeastOnce))?;
    /// // It has not begun to connect.
    /// assert_eq!(client.queued(), (1, 0));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn queued(&self) -> (usize, usize) {
        self.shared().with(|core| (core.outbound.waiting(), core.outbound.in_flight()))
    }

    /// Gives what has to be kept for the message to outlive the process.
    async fn queue(&self, message: Publish, done: Completion) -> Result<Option<Promise>, PublishError> {
        let mut waiting = match self.push(self.prepare(message, done)?)? {
            Pushed::Queued(kept) => return Ok(kept),
            Pushed::Full(message) => message,
        };
        loop {
            let mut room = std::pin::pin!(self.shared().room.notified());
            room.as_mut().enable();
            // There may have been room since it was looked for.
            match self.push(waiting)? {
                Pushed::Queued(kept) => return Ok(kept),
                Pushed::Full(message) => waiting = message,
            }
            room.await;
        }
    }

    fn prepare(&self, message: Publish, done: Completion) -> Result<Outgoing<Completion>, PublishError> {
        let shared = self.shared();
        let mut message = prepare(message, shared.options.connect.protocol_version, || shared.now())?;
        message.done = done;
        Ok(message)
    }

    fn push(&self, message: Outgoing<Completion>) -> Result<Pushed, PublishError> {
        self.shared().with(|core| match core.closed() {
            Some(end) => Err(end.into()),
            None => Ok(core.push(message)),
        })
    }
}
