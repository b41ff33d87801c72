//! Request and response in one call (MQTT 5.0, 4.10).

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::buffer::WhenFull;
use super::core::Shared;
use super::error::{End, PublishError, RequestError, SubscribeError};
use super::routes::Stream;
use super::subscription::{SubscribeOptions, ended};
use super::{Client, Message};
use crate::packet::{ProtocolVersion, Publish, QoS, ReasonCode, Suback};

/// Responses that wait to be handed on.
const CAPACITY: usize = 1024;

/// The requests of a client that wait for their responses.
#[derive(Debug, Default)]
pub(super) struct Requesting {
    /// Where responses go; subscribed to with the first request, and with the next where the server has refused to restore
    /// it.
    topic: AsyncMutex<Option<ByteString>>,
    /// By Correlation Data.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
}

impl Requesting {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is no response to a request that waits is dropped: it came too late, or is nothing of ours.
    fn respond(&self, message: Message) {
        let number = message.properties.as_ref().and_then(|properties| properties.correlation_data.as_ref());
        let number = number.and_then(|data| <[u8; 8]>::try_from(&data[..]).ok()).map(u64::from_be_bytes);
        if let Some(waiting) = number.and_then(|number| self.waiting().remove(&number)) {
            let _ = waiting.send(message);
        }
    }
}

/// A request that waits; forgotten when it is dropped.
struct Waiting<'a> {
    requesting: &'a Requesting,
    number: u64,
    response: oneshot::Receiver<Message>,
}

impl<'a> Waiting<'a> {
    fn new(requesting: &'a Requesting) -> Waiting<'a> {
        let (sender, response) = oneshot::channel();
        let mut waiting = requesting.waiting();
        let mut number = fastrand::u64(..);
        while waiting.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        waiting.insert(number, sender);
        drop(waiting);
        Waiting { requesting, number, response }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.requesting.waiting().remove(&self.number);
    }
}

impl Client {
    /// Publishes a request with QoS 1 and gives the first response to it. Calls may run side by side, each gets its own.
    ///
    /// The Response Topic is [`Options::response_topic`](super::Options::response_topic); without it one below the server's
    /// Response Information, which it gives where `connect.request_response_information` asks for it; without that one
    /// of chance. It is subscribed to with the first request. A response says by its Correlation Data to which request it
    /// belongs. 3.1.1 has neither: who is asked cannot know where to answer, so it is an error there.
    ///
    /// # Errors
    /// [`RequestError::TimedOut`] where no response comes within `timeout`, which counts from the call, also while there is
    /// no connection; [`RequestError::NoMatchingSubscribers`] where the server says that nobody is there to answer.
    ///
    /// Cancel safe: dropped, the response is not waited for any more; the request may be answered nonetheless.
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// use std::time::Duration;
    ///
    /// let mut requests = client.subscribe("lamp/7/get").await?;
    /// let lamp = client.clone();
    /// tokio::spawn(async move {
    ///     while let Some(request) = requests.next().await {
    ///         let _ = lamp.respond(&request, "on").await;
    ///     }
    /// });
    /// let response = client.request("lamp/7/get", "", Duration::from_secs(5)).await?;
    /// assert_eq!(&response.payload[..], b"on");
    /// let nobody = client.request("lamp/8/get", "", Duration::from_secs(5)).await;
    /// assert!(matches!(nobody, Err(RequestError::NoMatchingSubscribers)));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn request(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let publish = Publish::new(topic.to_owned().into(), payload.into());
        self.request_with(publish.with_qos(QoS::AtLeastOnce), timeout).await
    }

    /// The same with a message of one's own, whose Response Topic and Correlation Data are set here.
    ///
    /// # Errors
    /// As [`Client::request`].
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// use std::time::Duration;
    ///
    /// let mut requests = client.subscribe("lamp/7/get").await?;
    /// let lamp = client.clone();
    /// tokio::spawn(async move {
    ///     while let Some(request) = requests.next().await {
    ///         let _ = lamp.respond(&request, request.payload.clone()).await;
    ///     }
    /// });
    /// let request = Publish::new("lamp/7/get".into(), "state".into()).with_qos(QoS::ExactlyOnce);
    /// let response = client.request_with(request, Duration::from_secs(5)).await?;
    /// assert_eq!((response.qos, &response.payload[..]), (QoS::AtLeastOnce, &b"state"[..]));
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn request_with(&self, request: Publish, timeout: Duration) -> Result<Message, RequestError> {
        if self.options().connect.protocol_version == ProtocolVersion::V311 {
            return Err(RequestError::NotInVersion);
        }
        let asking = self.ask_and_wait(request);
        tokio::time::timeout(timeout, asking).await.unwrap_or(Err(RequestError::TimedOut(timeout)))
    }

    /// Publishes a response to a request that came, to its Response Topic and with its Correlation Data.
    ///
    /// # Errors
    /// Where the request has no Response Topic, which is that of no publishing. Else as [`Client::publish`].
    ///
    /// ```
    /// # use tidegate::{client::*, packet::*, server::{ListenerOptions, Server}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder().listener(ListenerOptions::loopback(0)).start().await?;
    /// # let options = Options::new("127.0.0.1", server.addresses()[0].port(), "example");
    /// # let client = connect(options).await?;
    /// let mut requests = client.subscribe("lamp/state").await?;
    /// let lamp = client.clone();
    /// tokio::spawn(async move {
    ///     while let Some(request) = requests.next().await {
    ///         let _ = lamp.respond(&request, "on").await;
    ///     }
    /// });
    /// let response = client.request("lamp/state", "", std::time::Duration::from_secs(5)).await?;
    /// assert_eq!(&response.payload[..], b"on");
    /// # server.shutdown().await; Ok(()) }
    /// ```
    pub async fn respond(&self, request: &Publish, payload: impl Into<Bytes>) -> Result<(), PublishError> {
        let properties = request.properties.as_deref();
        let topic = properties.and_then(|properties| properties.response_topic.clone()).unwrap_or_default();
        let mut response = Publish::new(topic, payload.into()).with_qos(request.qos);
        response.properties.get_or_insert_default().correlation_data =
            properties.and_then(|properties| properties.correlation_data.clone());
        self.publish(response).await.map(drop)
    }

    async fn ask_and_wait(&self, mut request: Publish) -> Result<Message, RequestError> {
        let requesting = &self.shared().requesting;
        let topic = self.subscribed_topic().await?;
        let mut waiting = Waiting::new(requesting);
        let properties = request.properties.get_or_insert_default();
        properties.response_topic = Some(topic);
        properties.correlation_data = Some(Bytes::copy_from_slice(&waiting.number.to_be_bytes()));
        let publishing = self.begin_publish(request).await?;
        tokio::select! {
            biased;
            response = &mut waiting.response => return self.response(response),
            published = publishing.answer() => {
                if published?.reason_code == ReasonCode::NO_MATCHING_SUBSCRIBERS {
                    return Err(RequestError::NoMatchingSubscribers);
                }
            }
        }
        let response = (&mut waiting.response).await;
        self.response(response)
    }

    fn response(
        &self,
        response: Result<Message, oneshot::error::RecvError>,
    ) -> Result<Message, RequestError> {
        let ended = || PublishError::Ended(self.end().unwrap_or(End::Closed));
        response.map_err(|_| ended().into())
    }

    async fn subscribed_topic(&self) -> Result<ByteString, RequestError> {
        let mut topic = self.shared().requesting.topic.lock().await;
        match &*topic {
            Some(topic) => Ok(topic.clone()),
            None => Ok(topic.insert(self.subscribe_to_responses().await?).clone()),
        }
    }

    async fn subscribe_to_responses(&self) -> Result<ByteString, RequestError> {
        let topic = self.response_topic().await?;
        let stream = Stream::new(CAPACITY, WhenFull::DropOldest, false);
        let options = SubscribeOptions::from(&*topic);
        let (key, answer) = self.ask(&options, Some(stream.clone()))?;
        let asked = Asked { shared: self.shared().clone(), key: Some(key), answer };
        let suback = asked.answer().await?;
        if suback.reason_codes.iter().all(|code| code.is_error()) {
            return Err(SubscribeError::Refused(suback.reason_codes).into());
        }
        tokio::spawn(respond(self.shared().clone(), stream));
        Ok(topic)
    }

    async fn response_topic(&self) -> Result<ByteString, RequestError> {
        if let Some(topic) = &self.options().response_topic {
            return Ok(topic.clone());
        }
        let connected = self.connected().await;
        let connack = connected.map_err(|_| PublishError::Ended(self.end().unwrap_or(End::Closed)))?;
        let number = fastrand::u64(..);
        let topic = match &connack.response_information {
            Some(information) => format!("{}/{number:016x}", information.trim_end_matches('/')),
            None => format!("tidegate/response/{number:016x}"),
        };
        Ok(topic.into())
    }
}

/// A subscription that is asked for; given up where it is dropped before the server has answered.
struct Asked {
    shared: Arc<Shared>,
    key: Option<u64>,
    answer: oneshot::Receiver<Result<Suback, SubscribeError>>,
}

impl Asked {
    async fn answer(mut self) -> Result<Suback, SubscribeError> {
        let answer = (&mut self.answer).await.unwrap_or_else(|_| Err(ended(&self.shared)));
        self.key = None;
        answer
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        self.shared.with(|core| {
            let filters = core.give_up(key);
            // Where the client is over, there is nothing to give up.
            let _ = core.unsubscribe(filters, None);
        });
    }
}

/// Hands responses on until the client ends, or the server has refused to restore the subscription; then nobody waits any
/// longer.
async fn respond(shared: Arc<Shared>, stream: Arc<Stream>) {
    while let Some(taken) = poll_fn(|cx| stream.buffer.poll_take(cx)).await {
        shared.requesting.respond(taken.value);
    }
    *shared.requesting.topic.lock().await = None;
    shared.requesting.waiting().clear();
}
