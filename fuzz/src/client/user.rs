//! The user: publishes, subscribes, takes messages, and waits in the end for all that was asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tidegate::client::{
    Client, End, Message, PublishError, PublishResult, Publishing, SubscribeOptions, Subscription, WhenFull,
};
use tidegate::packet::{Disconnect, ProtocolVersion, Publish, QoS, ReasonCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::choices::Choices;
use super::super::packets;
use super::book::Book;
use super::honest::WITNESS;
use super::stream::Stream;

/// In tokio's paused time: nothing takes so long.
const LONG: Duration = Duration::from_secs(3600);
const MOST_STREAMS: usize = 8;

pub struct User {
    /// None once it was dropped.
    client: Option<Client>,
    streams: Vec<Stream>,
    subscriptions: mpsc::UnboundedReceiver<Subscription>,
    subscribed: mpsc::UnboundedSender<Subscription>,
    publishing: Vec<(u32, QoS, Publishing)>,
    /// Whatever else was asked for.
    asked: Vec<JoinHandle<()>>,
    /// Messages that are not acknowledged.
    in_hand: Vec<Message>,
    numbers: u32,
    book: Arc<Mutex<Book>>,
}

impl User {
    pub fn new(client: Client, book: Arc<Mutex<Book>>) -> User {
        let (subscribed, subscriptions) = mpsc::unbounded_channel();
        let streams = vec![Stream::of_messages(client.messages(), book.clone())];
        client.start();
        User {
            client: Some(client),
            streams,
            subscriptions,
            subscribed,
            publishing: Vec::new(),
            asked: Vec::new(),
            in_hand: Vec::new(),
            numbers: 0,
            book,
        }
    }

    pub fn step(&mut self, step: usize, choices: &mut Choices<'_>) {
        self.take_subscriptions();
        match step {
            10 | 11 => self.publish(choices),
            12 => self.subscribe(choices),
            13 => self.take(choices),
            14 => self.let_go_of_a_message(choices),
            _ => self.seldom(choices),
        }
    }

    fn take_subscriptions(&mut self) {
        while let Ok(subscription) = self.subscriptions.try_recv() {
            self.streams.push(Stream::of_subscription(subscription, self.book.clone()));
        }
    }

    fn publish(&mut self, choices: &mut Choices<'_>) {
        let publish = self.numbered(packets::publish(choices));
        let (number, qos) = (self.numbers, publish.qos);
        let Some(client) = &self.client else { return };
        if let Ok(publishing) = client.try_publish(publish) {
            self.publishing.push((number, qos, publishing));
        }
    }

    fn numbered(&mut self, publish: Publish) -> Publish {
        self.numbers += 1;
        let mut payload = BytesMut::new();
        payload.put_u32(self.numbers);
        payload.extend_from_slice(&publish.payload);
        Publish { payload: payload.freeze(), ..publish }
    }

    fn subscribe(&mut self, choices: &mut Choices<'_>) {
        let Some(client) = self.client.clone() else { return };
        let version = client.options().connect.protocol_version;
        let Some(subscribe) = packets::subscribe(choices, version) else { return };
        let mut options = SubscribeOptions::new(subscribe.subscriptions);
        options.user_properties = subscribe.user_properties;
        options.capacity = choices.one_of(&[100, 1]);
        options.when_full = choices.one_of(&[WhenFull::Wait, WhenFull::DropOldest, WhenFull::DropNewest]);
        options.acknowledge_by_hand = choices.flag();
        let subscribed = self.subscribed.clone();
        if self.streams.len() + self.asked.len() < MOST_STREAMS {
            self.ask(async move {
                // Who has finished does not want it any more.
                let _ = client.subscribe(options).await.map(|subscription| subscribed.send(subscription));
            });
        }
    }

    fn take(&mut self, choices: &mut Choices<'_>) {
        let at = choices.below(self.streams.len());
        if let Some(message) = self.streams[at].take() {
            self.in_hand.push(message);
        }
    }

    fn let_go_of_a_message(&mut self, choices: &mut Choices<'_>) {
        if self.in_hand.is_empty() {
            return;
        }
        let mut message = self.in_hand.remove(choices.below(self.in_hand.len()));
        if !choices.flag() {
            message.acknowledge();
        }
    }

    fn seldom(&mut self, choices: &mut Choices<'_>) {
        let Some(client) = self.client.clone() else { return };
        match choices.below(10) {
            0 => self.unsubscribe(client, choices),
            1 => self.leave_a_stream(choices),
            2 => drop(self.publishing.pop()),
            3 => {
                let payload = self.numbered(Publish::default()).payload;
                self.request(client, payload);
            }
            4 => self.ask(async move { drop(client.reauthenticate().await) }),
            5 => {
                let options = SubscribeOptions::from(("t/#", QoS::ExactlyOnce));
                self.ask(async move { drop(client.subscribe_only(options).await) });
            }
            6 => {
                let publish = self.numbered(packets::publish(choices));
                self.ask(async move { drop(client.publish(publish).await) });
            }
            7 if choices.flag() => self.disconnect(client, choices),
            8 if choices.flag() => {
                drop(client);
                self.client = None;
            }
            _ => {}
        }
    }

    fn unsubscribe(&mut self, client: Client, choices: &mut Choices<'_>) {
        let version = client.options().connect.protocol_version;
        let Some(mut unsubscribe) = packets::unsubscribe(choices) else { return };
        if version == ProtocolVersion::V311 {
            unsubscribe.user_properties.clear();
        }
        self.ask(async move { drop(client.unsubscribe_with(unsubscribe).await) });
    }

    fn leave_a_stream(&mut self, choices: &mut Choices<'_>) {
        // That of all messages stays.
        if self.streams.len() < 2 {
            return;
        }
        let stream = self.streams.remove(1 + choices.below(self.streams.len() - 1));
        if choices.flag() {
            self.ask(stream.unsubscribe());
        }
    }

    fn request(&mut self, client: Client, payload: Bytes) {
        let patience = Duration::from_secs(100);
        self.ask(async move { drop(client.request("t/ask", payload, patience).await) });
    }

    fn disconnect(&mut self, client: Client, choices: &mut Choices<'_>) {
        let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        if client.options().connect.protocol_version == ProtocolVersion::V5 {
            disconnect.reason_string = choices.maybe(Choices::text);
        }
        self.ask(async move { drop(client.disconnect_with(disconnect).await) });
    }

    fn ask(&mut self, asking: impl Future<Output = ()> + Send + 'static) {
        self.asked.push(tokio::spawn(asking));
    }

    /// The server is honest now: all that was asked for comes to its end, and the client serves on.
    pub async fn finish(mut self) {
        self.in_hand.clear();
        self.subscriptions.close();
        self.take_subscriptions();
        if self.client.is_none() {
            // Subscriptions are handles too.
            self.streams.truncate(1);
        }
        let (sender, mut taken) = mpsc::unbounded_channel();
        let drains: Vec<_> =
            self.streams.drain(..).map(|stream| tokio::spawn(stream.drain(sender.clone()))).collect();
        drop(sender);
        for (number, qos, publishing) in self.publishing.drain(..) {
            let result = timeout(LONG, publishing.answer()).await.expect("a message was never answered");
            check(number, qos, result, self.client.as_ref(), &self.book);
        }
        for asked in self.asked.drain(..) {
            timeout(LONG, asked).await.expect("nobody answers").expect("who asked has panicked");
        }
        if let Some(client) = self.client {
            say_goodbye(client, &mut taken).await;
        }
        for drain in drains {
            timeout(LONG, drain).await.expect("a stream never ends").expect("a stream panicked");
        }
    }
}

fn check(
    number: u32,
    qos: QoS,
    result: Result<PublishResult, PublishError>,
    client: Option<&Client>,
    book: &Mutex<Book>,
) {
    let has_come = book.lock().expect("nothing panics here").has_come(number);
    match result {
        Ok(_) | Err(PublishError::Refused(_)) => {
            assert!(has_come || qos == QoS::AtMostOnce, "message {number} was never sent");
        }
        Err(PublishError::Ended(_)) => {
            assert!(client.is_none_or(|client| client.end().is_some()), "message {number} was given up");
        }
        Err(PublishError::QueueFull | PublishError::Topic(_) | PublishError::Store(_)) => {
            panic!("message {number} was queued")
        }
        Err(_) => {}
    }
}

/// A client that has not ended publishes, receives, and leaves.
async fn say_goodbye(client: Client, taken: &mut mpsc::UnboundedReceiver<Message>) {
    let witness = Publish::new(WITNESS.into(), Bytes::new()).with_qos(QoS::ExactlyOnce);
    match timeout(LONG, client.publish(witness)).await.expect("nobody answers the witness") {
        Ok(_) => {
            while timeout(LONG, taken.recv())
                .await
                .expect("the witness does not come back")
                .is_some_and(|message| &*message.topic != WITNESS)
            {}
            let left = timeout(LONG, client.disconnect()).await.expect("it never leaves");
            assert!(left.is_ok(), "{left:?}");
        }
        Err(PublishError::Ended(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let end = timeout(LONG, client.wait_for_end()).await.expect("it never ends");
    assert!(!matches!(end, End::Aborted), "its task has panicked");
}
