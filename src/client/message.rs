//! A message that came, and its acknowledgement.

use std::ops::Deref;
use std::sync::Arc;

use super::core::Shared;
use crate::packet::Publish;

/// A message from the server: reads as its [`Publish`], with the topic that an alias stood for.
#[derive(Debug)]
pub struct Message {
    publish: Publish,
    acknowledgement: Option<Acknowledgement>,
}

struct Acknowledgement {
    token: u64,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.token.fmt(f)
    }
}

impl Message {
    pub(super) fn new(publish: Publish) -> Message {
        Message { publish, acknowledgement: None }
    }

    pub(super) fn by_hand(publish: Publish, token: u64, shared: Arc<Shared>) -> Message {
        Message { publish, acknowledgement: Some(Acknowledgement { token, shared }) }
    }

    /// Acknowledges a message of a subscription with
    /// [`acknowledge_by_hand`](super::SubscribeOptions::acknowledge_by_hand); of others it does nothing, as it does for the
    /// second time.
    ///
    /// PUBACK or PUBREC goes out once all messages that came before are acknowledged [MQTT-4.6.0-2]. Where the connection
    /// has been lost since, a QoS 1 message comes again, and this acknowledgement counts for nothing; a QoS 2 message does
    /// not come again, and this acknowledges it on the next connection.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut by_hand = SubscribeOptions::from("work/+");
    /// by_hand.acknowledge_by_hand = true;
    /// let mut work = client.subscribe(by_hand).await?;
    /// client.publish(Publish::new("work/1".into(), "x".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// let mut message = work.next().await.expect("connected");
    /// assert!(message.is_to_be_acknowledged());
    /// message.acknowledge();
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn acknowledge(&mut self) {
        if let Some(Acknowledgement { token, shared }) = self.acknowledgement.take() {
            shared.acknowledge(token);
        }
    }

    /// Whether it still waits for [`acknowledge`](Message::acknowledge).
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut by_hand = SubscribeOptions::from("work/+");
    /// by_hand.acknowledge_by_hand = true;
    /// let mut work = client.subscribe(by_hand).await?;
    /// for qos in [QoS::AtLeastOnce, QoS::AtMostOnce] {
    ///     client.publish(Publish::new("work/1".into(), "x".into()).with_qos(qos)).await?;
    ///     let message = work.next().await.expect("connected");
    ///     // Nobody acknowledges QoS 0.
    ///     assert_eq!(message.is_to_be_acknowledged(), qos == QoS::AtLeastOnce);
    /// }
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn is_to_be_acknowledged(&self) -> bool {
        self.acknowledgement.is_some()
    }

    /// The packet alone. What was not acknowledged is not any more.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut subscription = client.subscribe("a").await?;
    /// client.publish(Publish::new("a".into(), "1".into())).await?;
    /// let publish = subscription.next().await.expect("connected").into_publish();
    /// assert_eq!(&publish.payload[..], b"1");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn into_publish(self) -> Publish {
        self.publish
    }
}

impl Deref for Message {
    type Target = Publish;

    fn deref(&self) -> &Publish {
        &self.publish
    }
}
