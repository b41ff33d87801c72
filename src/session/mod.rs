//! What outlives a Network Connection: subscriptions, the inbound QoS 2 identifiers, the outbound
//! in-flight window, the queue, the Will.
//!
//! Pure: the moment is an argument, and functions return what should happen. Who holds a session, and
//! for which connection, is the registry's business (`broker`); packets are written by `connection`.

mod inbound;
mod queue;
mod subscription;
mod window;

use std::sync::Arc;

use bytestring::ByteString;

pub use inbound::{Inbound, Received};
pub use queue::{Delivery, Overflow, Queue, QueueLimits, QueueRoom};
pub use subscription::{Subscription, Subscriptions};
pub use window::{Acknowledged, Window};

use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::{PacketIdentifier, QoS};

/// Seconds that stand for "never expires" (MQTT 5.0, 3.1.2.11.2).
pub const NEVER_EXPIRES: u32 = u32::MAX;

#[derive(Debug)]
pub struct Session {
    pub client_identifier: ByteString,
    pub subscriptions: Subscriptions,
    pub inbound: Inbound,
    pub will: Option<Box<Will>>,
    /// Seconds that it is kept without a connection; [`NEVER_EXPIRES`].
    pub expiry_interval: u32,
    window: Window,
    queue: Queue,
}

/// A Will Message and how long after the connection's end it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    pub message: ApplicationMessage,
    /// Seconds.
    pub delay_interval: u32,
}

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    QueueFull,
    Expired,
    TooLarge,
    /// QoS 0 is not kept for a session without a connection.
    Offline,
}

/// What is to be sent next.
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// QoS 0: nothing is kept of it.
    AtMostOnce(Delivery),
    /// QoS 1 or 2: kept in the window until it is acknowledged.
    Acknowledged {
        delivery: &'a Delivery,
        packet_identifier: PacketIdentifier,
        dup: bool,
    },
    Pubrel(PacketIdentifier),
}

impl Session {
    pub fn new(client_identifier: ByteString, limits: QueueLimits) -> Session {
        Session {
            client_identifier,
            subscriptions: Subscriptions::default(),
            inbound: Inbound::default(),
            will: None,
            expiry_interval: 0,
            window: Window::new(limits.bytes),
            queue: Queue::new(limits),
        }
    }

    /// Queues a message. Returns the older ones that gave way to it, where the queue was full.
    ///
    /// # Errors
    /// The delivery itself, where it had to give way.
    pub fn enqueue(&mut self, delivery: Delivery) -> Result<Vec<Delivery>, Delivery> {
        self.queue.push(delivery)
    }

    /// What the writer sends next, if anything can be sent now. A message that expired in the queue, or
    /// that `fits` refuses, goes to `dropped` instead.
    pub fn next_outgoing(
        &mut self,
        now: Timestamp,
        fits: impl Fn(&Delivery, Timestamp) -> bool,
        mut dropped: impl FnMut(Delivery, Dropped),
    ) -> Option<Outgoing<'_>> {
        while self.window.has_to_resend() {
            match self.window.give_up_unless(|delivery| fits(delivery, now)) {
                Some(delivery) => dropped(delivery, Dropped::TooLarge),
                None => return self.window.resend(),
            }
        }
        loop {
            let delivery = self.queue.pop(self.window.has_room())?;
            if delivery.message.is_expired(now) {
                dropped(delivery, Dropped::Expired);
            } else if !fits(&delivery, now) {
                dropped(delivery, Dropped::TooLarge);
            } else if delivery.qos == QoS::AtMostOnce {
                return Some(Outgoing::AtMostOnce(delivery));
            } else {
                return Some(self.window.send(delivery));
            }
        }
    }

    /// Whether [`next_outgoing`](Session::next_outgoing) has something to look at.
    pub fn has_outgoing(&self) -> bool {
        self.window.has_to_resend() || self.queue.can_pop(self.window.has_room())
    }

    /// A PUBACK came.
    pub fn puback(&mut self, packet_identifier: PacketIdentifier) -> Acknowledged {
        self.window.puback(packet_identifier)
    }

    /// A PUBREC came; `refused` where its Reason Code is 0x80 or above.
    pub fn pubrec(&mut self, packet_identifier: PacketIdentifier, refused: bool) -> Acknowledged {
        self.window.pubrec(packet_identifier, refused)
    }

    /// A PUBCOMP came.
    pub fn pubcomp(&mut self, packet_identifier: PacketIdentifier) -> Acknowledged {
        self.window.pubcomp(packet_identifier)
    }

    /// A connection took this session up: what is in flight is sent again, in its order, with DUP
    /// [MQTT-4.4.0-1]. At most `receive_maximum` messages are in flight from now on.
    pub fn resume(&mut self, receive_maximum: u16) {
        self.window.resume(receive_maximum);
    }

    /// The connection is gone. QoS 0 messages that wait are dropped: they are not kept for a session
    /// without a connection, whether they came before its end or after.
    pub fn detach(&mut self) -> Vec<Delivery> {
        self.queue.take_at_most_once()
    }

    /// Messages that wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How much more the queue takes of what can wait.
    pub fn room(&self) -> QueueRoom {
        self.queue.room()
    }

    /// Messages in flight to the client.
    pub fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Whether it has something that a resumed connection would want.
    pub fn is_persistent(&self) -> bool {
        self.expiry_interval > 0
    }
}

impl Delivery {
    /// The message as published, for a subscriber with this QoS at most.
    pub fn new(message: Arc<ApplicationMessage>, maximum_qos: QoS, retain: bool) -> Delivery {
        let qos = message.qos.min(maximum_qos);
        Delivery { message, qos, retain, subscription_identifiers: Box::default() }
    }
}
