//! The messages that no subscription takes, and how a stream's messages are taken.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::buffer::WhenFull;
use super::core::Shared;
use super::message::Message;
use super::routes::Stream;
use super::{Client, End};

/// Messages that no subscription takes: what a kept session brings before it is subscribed again, and those of
/// [`Client::subscribe_only`]. From [`Client::messages`]. It does not keep the client alive.
pub struct Messages {
    stream: Arc<Stream>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    pub(super) fn new(shared: Arc<Shared>) -> Messages {
        let stream = Stream::new(shared.options.maximum_waiting, WhenFull::Wait, false);
        shared.with(|core| core.add_unmatched(stream.clone()));
        Messages { stream, shared }
    }

    /// The next message; `None` once the client has ended, which [`Client::end`] says why.
    ///
    /// Cancel safe: a message is taken only by who gets it.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut messages = client.messages();
    /// client.subscribe_only("a").await?;
    /// client.publish(Publish::new("a".into(), "1".into())).await?;
    /// assert_eq!(&messages.next().await.expect("connected").payload[..], b"1");
    /// client.disconnect().await?;
    /// assert!(messages.next().await.is_none());
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same as a function to be polled.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut messages = client.messages();
    /// client.subscribe_only("a").await?;
    /// client.publish(Publish::new("a".into(), "1".into())).await?;
    /// let message = std::future::poll_fn(|cx| messages.poll_next(cx)).await.expect("connected");
    /// assert_eq!(&message.payload[..], b"1");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        poll_take(&self.stream, &self.shared, cx)
    }

    /// The next message, where one waits already.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut messages = client.messages();
    /// assert!(messages.try_next().is_none());
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn try_next(&mut self) -> Option<Message> {
        try_take(&self.stream, &self.shared)
    }

    /// Why there are no more, once there are none.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut messages = client.messages();
    /// client.disconnect().await?;
    /// assert!(messages.next().await.is_none());
    /// assert!(matches!(messages.end(), Some(End::Client)));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn end(&self) -> Option<End> {
        self.shared.end()
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.stream.buffer.abandon();
        self.shared.with(|core| {
            core.routes.remove_unmatched(&self.stream);
            core.wake_driver();
        });
    }
}

impl Client {
    /// A stream of the messages that no subscription takes. Where there is none, they are acknowledged and dropped; where
    /// there are several, each gets them all. To miss nothing of a kept session, ask for it before the client connects:
    /// between [`Client::new`] and [`Client::connect`].
    ///
    /// At most [`Options::maximum_waiting`](super::Options::maximum_waiting) wait in it; while so many do, nothing more is
    /// read from the server.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut messages = client.messages();
    /// client.subscribe_only(vec![SubscribeFilter::new("a".into(), QoS::AtLeastOnce)]).await?;
    /// client.publish(Publish::new("a".into(), "1".into())).await?;
    /// let message = messages.next().await.expect("connected");
    /// assert_eq!(&message.payload[..], b"1");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn messages(&self) -> Messages {
        Messages::new(self.shared().clone())
    }
}

pub(super) fn poll_take(stream: &Stream, shared: &Shared, cx: &mut Context<'_>) -> Poll<Option<Message>> {
    let Poll::Ready(taken) = stream.buffer.poll_take(cx) else { return Poll::Pending };
    Poll::Ready(taken.map(|taken| {
        if taken.awaited {
            shared.with(|core| core.wake_driver());
        }
        taken.value
    }))
}

pub(super) fn try_take(stream: &Stream, shared: &Shared) -> Option<Message> {
    match poll_take(stream, shared, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => message,
        Poll::Pending => None,
    }
}
