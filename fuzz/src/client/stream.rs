//! The streams of a client, in which a QoS 2 message comes once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tidegate::client::{Message, Messages, Subscription};
use tidegate::packet::{PacketIdentifier, QoS};
use tokio::sync::mpsc;

use super::book::Book;

pub struct Stream {
    source: Source,
    /// How often a QoS 2 message came, by its identifier.
    taken: BTreeMap<PacketIdentifier, u64>,
    book: Arc<Mutex<Book>>,
}

enum Source {
    Messages(Messages),
    Subscription(Subscription),
}

impl Stream {
    pub fn of_messages(messages: Messages, book: Arc<Mutex<Book>>) -> Stream {
        Stream { source: Source::Messages(messages), taken: BTreeMap::new(), book }
    }

    pub fn of_subscription(subscription: Subscription, book: Arc<Mutex<Book>>) -> Stream {
        Stream { source: Source::Subscription(subscription), taken: BTreeMap::new(), book }
    }

    pub fn take(&mut self) -> Option<Message> {
        let message = match &mut self.source {
            Source::Messages(messages) => messages.try_next(),
            Source::Subscription(subscription) => subscription.try_next(),
        }?;
        self.note(&message);
        Some(message)
    }

    /// Takes and acknowledges all until the client has ended.
    pub async fn drain(mut self, taken: mpsc::UnboundedSender<Message>) {
        loop {
            let next = match &mut self.source {
                Source::Messages(messages) => messages.next().await,
                Source::Subscription(subscription) => subscription.next().await,
            };
            let Some(mut message) = next else { return };
            self.note(&message);
            message.acknowledge();
            // Who has seen enough does not look.
            let _ = taken.send(message);
        }
    }

    pub async fn unsubscribe(self) {
        if let Source::Subscription(subscription) = self.source {
            drop(subscription.unsubscribe().await);
        }
    }

    /// [MQTT-4.3.3-10]
    fn note(&mut self, message: &Message) {
        let Some(id) = message.packet_identifier.filter(|_| message.qos == QoS::ExactlyOnce) else { return };
        let taken = self.taken.entry(id).or_default();
        *taken += 1;
        let sent = self.book.lock().expect("nothing panics here").opened(id);
        assert!(*taken <= sent, "message {id} of QoS 2 came {taken} times and was sent {sent} times");
    }
}
