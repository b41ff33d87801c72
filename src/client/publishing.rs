//! Publishing: what is queued, and what comes of it.

use tokio::sync::oneshot;

use super::Client;
use super::core::{Completion, prepare};
use super::error::{End, PublishError, PublishResult};
use super::session::Outgoing;
use crate::packet::Publish;

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
    /// ```no_run
    /// # async fn example(client: tidegate::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use tidegate::packet::{Publish, QoS};
    ///
    /// let message = Publish::new("lamp/state".into(), "on".into()).with_qos(QoS::AtLeastOnce).with_retain(true);
    /// let result = client.publish(message).await?;
    /// println!("{}", result.reason_code);
    /// # Ok(())
    /// # }
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
    pub async fn begin_publish(&self, message: Publish) -> Result<Publishing, PublishError> {
        let (done, answer) = oneshot::channel();
        self.queue(message, Some(done)).await?;
        Ok(Publishing { answer })
    }

    /// Queues a message and does not ask what becomes of it, which is the least that publishing can cost. Waits for room in
    /// the queue. It is sent as others are: with QoS 1 and 2 until it is acknowledged.
    ///
    /// # Errors
    /// Where the topic is none, or the client has ended.
    ///
    /// Cancel safe: dropped while it waits for room, nothing is published.
    pub async fn enqueue(&self, message: Publish) -> Result<(), PublishError> {
        self.queue(message, None).await
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
            None => Ok(Publishing { answer }),
            Some(_) => Err(PublishError::QueueFull),
        }
    }

    /// Messages that wait to be sent, and messages in flight.
    pub fn queued(&self) -> (usize, usize) {
        self.shared().with(|core| (core.outbound.waiting(), core.outbound.in_flight()))
    }

    async fn queue(&self, message: Publish, done: Completion) -> Result<(), PublishError> {
        let message = self.prepare(message, done)?;
        let mut waiting = self.push(message)?;
        while let Some(message) = waiting {
            let mut room = std::pin::pin!(self.shared().room.notified());
            room.as_mut().enable();
            // There may have been room since it was looked for.
            waiting = self.push(message)?;
            if waiting.is_some() {
                room.await;
            }
        }
        Ok(())
    }

    fn prepare(&self, message: Publish, done: Completion) -> Result<Outgoing<Completion>, PublishError> {
        let shared = self.shared();
        let mut message = prepare(message, shared.options.connect.protocol_version, || shared.now())?;
        message.done = done;
        Ok(message)
    }

    /// Gives the message back where there is no room for it.
    fn push(&self, message: Outgoing<Completion>) -> Result<Option<Outgoing<Completion>>, PublishError> {
        self.shared().with(|core| match core.closed() {
            Some(end) => Err(end.into()),
            None => Ok(core.push(message)),
        })
    }
}
