//! Subscriptions: how they are asked for, and the streams of their messages.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytestring::ByteString;
use tokio::sync::oneshot;

use super::buffer::WhenFull;
use super::core::{Reply, Shared};
use super::error::SubscribeError;
use super::message::Message;
use super::messages::{poll_take, try_take};
use super::routes::Stream;
use super::{Client, End};
use crate::packet::{
    PacketIdentifier, ProtocolVersion, QoS, ReasonCode, RetainHandling, Suback, Subscribe, SubscribeFilter,
    Unsuback, Unsubscribe, UserProperty,
};
use crate::topic::TopicFilter;

/// What is subscribed to, and how its messages wait. A filter alone is one too, and a filter with a QoS:
///
/// ```
/// use tidegate::client::{SubscribeOptions, WhenFull};
/// use tidegate::packet::QoS;
///
/// let simple: SubscribeOptions = "sensors/+/temperature".into();
/// assert_eq!(simple.filters[0].qos, QoS::AtLeastOnce);
///
/// let mut options = SubscribeOptions::from(("sensors/#", QoS::ExactlyOnce));
/// options.capacity = 10_000;
/// options.when_full = WhenFull::DropOldest;
/// ```
#[derive(Clone, Debug)]
pub struct SubscribeOptions {
    /// At least one; they go out in one SUBSCRIBE.
    pub filters: Vec<SubscribeFilter>,
    pub user_properties: Vec<UserProperty>,
    /// Messages that wait to be taken, at most. Before SUBACK, when nobody can take them, 65,535 more.
    pub capacity: usize,
    /// What becomes of a message for which there is no room.
    pub when_full: WhenFull,
    /// Messages of QoS 1 and 2 are acknowledged with [`Message::acknowledge`], and not as soon as they wait to be taken.
    /// The client's Receive Maximum bounds how many may be unacknowledged; a server sends no more then.
    pub acknowledge_by_hand: bool,
}

impl SubscribeOptions {
    /// These filters, room for 1024 messages.
    ///
    /// ```
    /// use tidegate::client::SubscribeOptions;
    /// use tidegate::packet::{QoS, SubscribeFilter};
    ///
    /// let filters = ["alarms/#", "sensors/+"].map(|filter| SubscribeFilter::new(filter.into(), QoS::ExactlyOnce));
    /// let options = SubscribeOptions::new(filters.into());
    /// assert_eq!((options.filters.len(), options.capacity), (2, 1024));
    /// ```
    pub fn new(filters: Vec<SubscribeFilter>) -> SubscribeOptions {
        SubscribeOptions {
            filters,
            user_properties: Vec::new(),
            capacity: 1024,
            when_full: WhenFull::Wait,
            acknowledge_by_hand: false,
        }
    }

    fn subscribe(&self, version: ProtocolVersion) -> Result<(Subscribe, Vec<TopicFilter>), SubscribeError> {
        if self.filters.is_empty() {
            return Err(SubscribeError::Nothing);
        }
        if version == ProtocolVersion::V311 {
            self.require_v311()?;
        }
        let parsed: Result<Vec<TopicFilter>, _> =
            self.filters.iter().map(|filter| TopicFilter::try_from(&*filter.filter)).collect();
        let subscribe = Subscribe {
            packet_identifier: PacketIdentifier::FIRST,
            subscription_identifier: None,
            user_properties: self.user_properties.clone(),
            subscriptions: self.filters.clone(),
        };
        let parsed = parsed?;
        subscribe.check_texts()?;
        Ok((subscribe, parsed))
    }

    fn require_v311(&self) -> Result<(), SubscribeError> {
        let any = |is: fn(&SubscribeFilter) -> bool| self.filters.iter().any(is);
        let unknown = [
            ("user_properties", !self.user_properties.is_empty()),
            ("no_local", any(|filter| filter.no_local)),
            ("retain_as_published", any(|filter| filter.retain_as_published)),
            ("retain_handling", any(|filter| filter.retain_handling != RetainHandling::default())),
        ];
        match unknown.into_iter().find(|(_, is_set)| *is_set) {
            Some((option, _)) => Err(SubscribeError::NotInVersion { option, version: ProtocolVersion::V311 }),
            None => Ok(()),
        }
    }
}

/// With QoS 1.
impl From<&str> for SubscribeOptions {
    fn from(filter: &str) -> SubscribeOptions {
        (filter, QoS::AtLeastOnce).into()
    }
}

impl From<(&str, QoS)> for SubscribeOptions {
    fn from((filter, qos): (&str, QoS)) -> SubscribeOptions {
        SubscribeFilter::new(filter.to_owned().into(), qos).into()
    }
}

impl From<SubscribeFilter> for SubscribeOptions {
    fn from(filter: SubscribeFilter) -> SubscribeOptions {
        SubscribeOptions::new(vec![filter])
    }
}

impl From<Vec<SubscribeFilter>> for SubscribeOptions {
    fn from(filters: Vec<SubscribeFilter>) -> SubscribeOptions {
        SubscribeOptions::new(filters)
    }
}

/// The messages of a subscription, as a stream; it keeps its client alive.
///
/// It stands through interruptions: where the server has lost the session, it is made again. Dropping it gives the
/// subscription up where the session ends with its connection. Where the session is kept, the server keeps the
/// subscription, as what a device misses while it is off is what such a session is for;
/// [`unsubscribe`](Subscription::unsubscribe) ends it there too.
///
/// There is no `Stream` of the `futures` crates here, which would be a dependency for one trait:
/// `futures::stream::poll_fn(move |cx| subscription.poll_next(cx))` makes one.
pub struct Subscription {
    key: u64,
    stream: Arc<Stream>,
    client: Client,
    granted: Vec<ReasonCode>,
    ended: bool,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("granted", &self.granted).finish_non_exhaustive()
    }
}

impl Subscription {
    /// The next message; `None` once the client has ended, or the server has refused to restore the subscription.
    ///
    /// Cancel safe: a message is taken only by who gets it.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut subscription = client.subscribe("a/+").await?;
    /// client.publish(Publish::new("a/b".into(), "1".into())).await?;
    /// let message = subscription.next().await.expect("connected");
    /// assert_eq!((&*message.topic, &message.payload[..]), ("a/b", &b"1"[..]));
    /// assert!(subscription.try_next().is_none());
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
    /// let mut subscription = client.subscribe("a").await?;
    /// client.publish(Publish::new("a".into(), "1".into())).await?;
    /// let message = std::future::poll_fn(|cx| subscription.poll_next(cx)).await.expect("connected");
    /// assert_eq!(&message.payload[..], b"1");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        poll_take(&self.stream, self.client.shared(), cx)
    }

    /// The next message, where one waits already.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut subscription = client.subscribe("a").await?;
    /// client.publish(Publish::new("a".into(), "1".into())).await?;
    /// subscription.next().await.expect("connected");
    /// assert!(subscription.try_next().is_none());
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn try_next(&mut self) -> Option<Message> {
        try_take(&self.stream, self.client.shared())
    }

    /// What the server granted for each filter: Granted QoS 0, 1 or 2, or why not. At least one was granted.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let subscription = client.subscribe(("a", QoS::ExactlyOnce)).await?;
    /// assert_eq!(subscription.granted(), [ReasonCode::GRANTED_QOS_2]);
    /// assert_eq!(subscription.dropped(), 0);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn granted(&self) -> &[ReasonCode] {
        &self.granted
    }

    /// Messages that were dropped because too many waited, by [`SubscribeOptions::when_full`].
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut options = SubscribeOptions::from("a");
    /// (options.capacity, options.when_full) = (1, WhenFull::DropOldest);
    /// let mut latest = client.subscribe(options).await?;
    /// for number in ["1", "2", "3"] {
    ///     client.publish(Publish::new("a".into(), number.into()).with_qos(QoS::AtLeastOnce)).await?;
    /// }
    /// while latest.dropped() < 2 {
    ///     tokio::task::yield_now().await;
    /// }
    /// assert_eq!(&latest.next().await.expect("connected").payload[..], b"3");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub fn dropped(&self) -> u64 {
        self.stream.buffer.dropped()
    }

    /// Gives the subscription up and waits for the server to say that it knows. Messages that wait are dropped.
    ///
    /// # Errors
    /// Where the client ends before, or the server does not answer in time. Nothing is taken from it in any case.
    ///
    /// Cancel safe: it is given up as soon as this is polled for the first time.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let subscription = client.subscribe("a").await?;
    /// subscription.unsubscribe().await?;
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn unsubscribe(mut self) -> Result<Option<Unsuback>, SubscribeError> {
        self.ended = true;
        let (reply, answer) = oneshot::channel();
        let shared = self.client.shared();
        let asked = shared.with(|core| {
            let filters = core.give_up(self.key);
            core.unsubscribe(filters, Some(Reply::Unsuback(reply)))
        })?;
        if !asked {
            // Another subscription has the same filters.
            return Ok(None);
        }
        answer.await.unwrap_or_else(|_| Err(ended(shared))).map(Some)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let shared = self.client.shared();
        let awaited = self.stream.buffer.abandon();
        if self.ended && !awaited {
            return;
        }
        let keeps = shared.options.keeps_session();
        shared.with(|core| {
            let filters = core.give_up(self.key);
            if !self.ended && !keeps {
                // Where the client is over, there is nothing to give up.
                let _ = core.unsubscribe(filters, None);
            }
        });
    }
}

pub(super) fn ended(shared: &Shared) -> SubscribeError {
    SubscribeError::Ended(shared.end().unwrap_or(End::Closed))
}

impl Client {
    /// Subscribes, and gives the stream of what comes. Waits until the server has answered, however long there is no
    /// connection; [`Options::acknowledgement_timeout`](super::Options::acknowledgement_timeout) counts from when it was
    /// asked.
    ///
    /// Filters that overlap those of other subscriptions deliver to each. Two subscriptions with the same filter are one
    /// to the server, with the options of the later.
    ///
    /// # Errors
    /// [`SubscribeError::Refused`] where the server refuses all filters; which of several it refused says
    /// [`Subscription::granted`]. Others where the filters are none, are not for this version or this server, or the
    /// client ends.
    ///
    /// Cancel safe: dropped before the answer, the subscription is given up.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut temperatures = client.subscribe("sensors/+/temperature").await?;
    /// client.publish(Publish::new("sensors/7/temperature".into(), "21.5".into())).await?;
    /// let message = temperatures.next().await.expect("connected");
    /// assert_eq!((&*message.topic, &message.payload[..]), ("sensors/7/temperature", &b"21.5"[..]));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn subscribe(
        &self,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription, SubscribeError> {
        let options = options.into();
        let stream = Stream::new(options.capacity, options.when_full, options.acknowledge_by_hand);
        // Messages may come before SUBACK, and must not keep it from being read.
        stream.buffer.set_untaken(true);
        let (key, answer) = self.ask(&options, Some(stream.clone()))?;
        let client = self.clone();
        let mut subscription = Subscription { key, stream, client, granted: Vec::new(), ended: false };
        let suback = answer.await.unwrap_or_else(|_| Err(ended(self.shared())));
        match suback.and_then(accepted) {
            Ok(suback) => {
                subscription.granted = suback.reason_codes;
                subscription.stream.buffer.set_untaken(false);
                Ok(subscription)
            }
            Err(error) => {
                subscription.ended = true;
                Err(error)
            }
        }
    }

    /// Subscribes without a stream of its own: what comes goes to [`Client::messages`]. Gives the SUBACK. It stands through
    /// interruptions as others do, until [`Client::unsubscribe`].
    ///
    /// # Errors
    /// As [`Client::subscribe`], but a refusal is in the SUBACK.
    ///
    /// Cancel safe: dropped before the answer, the subscription stands nonetheless.
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
    /// assert_eq!(&*messages.next().await.expect("connected").topic, "a");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn subscribe_only(
        &self,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Suback, SubscribeError> {
        let (_, answer) = self.ask(&options.into(), None)?;
        answer.await.unwrap_or_else(|_| Err(ended(self.shared())))
    }

    /// Gives up filters, whoever subscribed to them: those of [`Client::subscribe_only`], or of a session of another time.
    /// Those of a [`Subscription`] are given up there.
    ///
    /// # Errors
    /// Where there is no filter, the client ends before, or the server does not answer in time. What the server said of
    /// each filter is in the UNSUBACK.
    ///
    /// Cancel safe: dropped before the answer, the filters are given up nonetheless.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.subscribe_only("alarms/#").await?;
    /// let unsuback = client.unsubscribe(["alarms/#", "never/subscribed"]).await?;
    /// assert_eq!(unsuback.reason_codes, [ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED]);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn unsubscribe<F: Into<ByteString>>(
        &self,
        filters: impl IntoIterator<Item = F>,
    ) -> Result<Unsuback, SubscribeError> {
        let filters = filters.into_iter().map(Into::into).collect();
        let packet_identifier = PacketIdentifier::FIRST;
        self.unsubscribe_with(Unsubscribe { packet_identifier, user_properties: Vec::new(), filters }).await
    }

    /// The same with User Properties; the packet identifier is chosen here.
    ///
    /// # Errors
    /// As [`Client::unsubscribe`].
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// client.subscribe_only("alarms/#").await?;
    /// let unsuback = client
    ///     .unsubscribe_with(Unsubscribe {
    ///         packet_identifier: PacketIdentifier::FIRST,
    ///         user_properties: vec![("why".into(), "maintenance".into())],
    ///         filters: vec!["alarms/#".into()],
    ///     })
    ///     .await?;
    /// assert_eq!(unsuback.reason_codes, [ReasonCode::SUCCESS]);
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn unsubscribe_with(&self, unsubscribe: Unsubscribe) -> Result<Unsuback, SubscribeError> {
        if unsubscribe.filters.is_empty() {
            return Err(SubscribeError::Nothing);
        }
        for filter in &unsubscribe.filters {
            TopicFilter::try_from(&**filter)?;
        }
        unsubscribe.check_texts()?;
        let (reply, answer) = oneshot::channel();
        self.shared().with(|core| core.unsubscribe_with(unsubscribe, Some(Reply::Unsuback(reply))))?;
        answer.await.unwrap_or_else(|_| Err(ended(self.shared())))
    }

    pub(super) fn ask(
        &self,
        options: &SubscribeOptions,
        stream: Option<Arc<Stream>>,
    ) -> Result<(u64, oneshot::Receiver<Result<Suback, SubscribeError>>), SubscribeError> {
        let version = self.shared().options.connect.protocol_version;
        let (subscribe, filters) = options.subscribe(version)?;
        let (reply, answer) = oneshot::channel();
        let reply = Reply::Suback(reply);
        let key = self.shared().with(|core| core.subscribe(subscribe, filters, stream, reply))?;
        Ok((key, answer))
    }
}

fn accepted(suback: Suback) -> Result<Suback, SubscribeError> {
    if suback.reason_codes.iter().all(|code| code.is_error()) {
        return Err(SubscribeError::Refused(suback.reason_codes));
    }
    Ok(suback)
}
