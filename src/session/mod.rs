//! What outlives a Network Connection: subscriptions, the inbound QoS 2 identifiers, the outbound
//! in-flight window, the queue, the Will.
//!
//! Pure: the moment is an argument, and functions return what should happen. Who holds a session, and
//! for which connection, is the registry's business (`broker`); packets are written by `connection`.

mod inbound;
mod lazy_deque;
mod queue;
mod subscription;
mod window;

use std::sync::Arc;

pub use inbound::{Inbound, Received};
pub use lazy_deque::LazyDeque;
pub use queue::{Delivery, FullBy, Overflow, Queue, QueueLimits, QueueRoom, Shared};
pub use subscription::{Subscription, Subscriptions, Unrouted};
pub use window::{Acknowledged, LARGEST_WINDOW, Window};

use crate::current::Current;
use crate::message::{ApplicationMessage, Origin, Timestamp};
use crate::packet::{PacketIdentifier, QoS};

/// Seconds that stand for "never expires" (MQTT 5.0, 3.1.2.11.2).
pub const NEVER_EXPIRES: u32 = u32::MAX;

#[derive(Debug)]
pub struct Session {
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
    /// By which the storage knows it; 0 where it does not.
    pub number: u64,
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

/// A delivery that is kept until it is acknowledged, and how far it is.
#[derive(Debug)]
pub enum Kept<'a> {
    Queued(&'a Delivery),
    Sent(PacketIdentifier, &'a Delivery),
    /// The message is the client's; the number of its delivery is left.
    Released(PacketIdentifier, u64),
}

impl Session {
    /// A session of which nothing is known yet. The seed is as that of a [`FilterTree`](crate::topic::FilterTree).
    pub fn new(limits: Arc<Current<QueueLimits>>, seed: u64) -> Session {
        Session {
            subscriptions: Subscriptions::new(seed),
            inbound: Inbound::default(),
            will: None,
            expiry_interval: 0,
            window: Window::default(),
            queue: Queue::new(limits),
        }
    }

    /// Gives its queue other limits. What waits already stays.
    pub fn limit_queue(&mut self, limits: Arc<Current<QueueLimits>>) {
        self.queue.limit(limits);
    }

    /// Queues a message. Returns the older ones that gave way to it, where the queue was full.
    ///
    /// # Errors
    /// The delivery itself, where it had to give way.
    #[inline]
    pub fn enqueue(&mut self, delivery: Delivery) -> Result<Vec<Delivery>, Delivery> {
        self.queue.push(delivery)
    }

    /// The same where the session is to hold no more bytes than it does: others have to give way, or it is the
    /// only one.
    ///
    /// # Errors
    /// The delivery itself, where it had to give way.
    pub fn enqueue_without_growth(&mut self, delivery: Delivery) -> Result<Vec<Delivery>, Delivery> {
        if self.queue.is_empty() && self.window.bytes() > 0 {
            return Err(delivery);
        }
        self.queue.push_without_growth(delivery)
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
            let delivery = self.queue.pop(self.window_has_room())?;
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
        self.window.has_to_resend() || self.queue.can_pop(self.window_has_room())
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
    /// [MQTT-4.4.0-1]. At most `receive_maximum` messages are in flight from now on, and at most
    /// [`LARGEST_WINDOW`].
    pub fn resume(&mut self, receive_maximum: u16) {
        self.window.resume(receive_maximum);
    }

    /// The connection is gone. QoS 0 messages that wait are dropped: they are not kept for a session
    /// without a connection, whether they came before its end or after. The others may wait for days:
    /// they give up their share of a read buffer, unless the session ends with its connection.
    pub fn detach(&mut self) -> Vec<Delivery> {
        let dropped = self.hand_over();
        if self.expiry_interval > 0 {
            self.queue.detach();
            self.window.detach();
        }
        dropped
    }

    /// The connection is gone, and the next has come. As [`detach`](Session::detach), but nothing is copied,
    /// as nothing waits for long.
    pub fn hand_over(&mut self) -> Vec<Delivery> {
        self.queue.take_at_most_once()
    }

    /// Takes out of the queue what came by Shared Subscriptions that are asked for: nothing of it has been
    /// sent, so that another member can have it.
    pub fn give_up_queued(&mut self, wanted: impl Fn(&Shared) -> bool) -> Vec<Delivery> {
        self.queue.take_shared(wanted)
    }

    /// The session ends: takes out what came by Shared Subscriptions and may still go to another member.
    pub fn give_up_shared(&mut self) -> Vec<Delivery> {
        let mut given_up = self.window.take_shared();
        given_up.append(&mut self.queue.take_shared(|_| true));
        given_up
    }

    /// Whether a further QoS 1 or 2 message would wait for an acknowledgement of those before it.
    pub fn is_saturated(&self) -> bool {
        !self.window.has_room_beside(self.queue.acknowledged_len(), self.queue.maximum_bytes())
    }

    fn window_has_room(&self) -> bool {
        self.window.has_room(self.queue.maximum_bytes())
    }

    /// Whether a further message would be dropped, or have another one dropped.
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Messages that wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that they cost.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Which limit the queue has reached, where it has just dropped something.
    pub fn full_by(&self) -> FullBy {
        self.queue.full_by()
    }

    /// Whether messages wait that are sent only once others are acknowledged.
    pub fn is_held_back(&self) -> bool {
        !self.window_has_room() && self.queue.holds_acknowledged()
    }

    /// What is in flight, in the order in which it was sent, then what waits to be sent with QoS 1 and 2.
    pub fn kept(&self) -> impl Iterator<Item = Kept<'_>> {
        self.window.iter().chain(self.queue.iter_acknowledged().map(Kept::Queued))
    }

    /// Puts in what waited to be sent, in its order and whatever the limits are now.
    pub fn restore_queued(&mut self, delivery: Delivery) {
        self.queue.restore(delivery);
    }

    /// The same for what was sent with this identifier.
    pub fn restore_sent(&mut self, packet_identifier: PacketIdentifier, delivery: Delivery) {
        self.window.restore_sent(packet_identifier, delivery);
    }

    /// The same for a delivery whose message is the client's.
    pub fn restore_released(&mut self, packet_identifier: PacketIdentifier, number: u64) {
        self.window.restore_released(packet_identifier, number);
    }

    /// How much more the queue takes of what can wait.
    pub fn room(&self) -> QueueRoom {
        self.queue.room()
    }

    /// Messages in flight to the client.
    pub fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Bytes of those that the client has not got yet.
    pub fn in_flight_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Messages in flight that the client has not got yet, as far as it has said.
    pub fn unacknowledged(&self) -> usize {
        self.window.unacknowledged()
    }
}

impl Delivery {
    /// The message as published, for a subscriber with this QoS at most.
    pub fn new(message: Arc<ApplicationMessage>, maximum_qos: QoS, retain: bool) -> Delivery {
        let qos = message.qos.min(maximum_qos);
        // Retained messages are kept as detached copies.
        let detached = message.origin == Origin::Retained;
        let subscription_identifiers = Box::default();
        Delivery {
            message,
            qos,
            retain,
            subscription_identifiers,
            shared: None,
            detached,
            refusals: 0,
            number: 0,
        }
    }

    /// Gives the message up for a copy of its own, where it may share memory with a read buffer.
    pub fn detach(&mut self) {
        if !self.detached {
            self.message = Arc::new(self.message.to_detached());
            self.detached = true;
            self.detach_original();
        }
    }

    /// The message as it was matched, which another member of a Shared Subscription gets.
    pub fn original(&self) -> &Arc<ApplicationMessage> {
        self.shared.as_ref().and_then(|shared| shared.original.as_ref()).unwrap_or(&self.message)
    }

    /// The same for what waits beside a copy that a hook made.
    pub fn detach_original(&mut self) {
        if let Some(shared) = &self.shared
            && let Some(original) = &shared.original
        {
            let original = Some(Arc::new(original.to_detached()));
            self.shared = Some(Arc::new(Shared { filter: shared.filter.clone(), original }));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::topic::TopicName;

    /// A session with one message in flight and one in the queue, both parts of this buffer.
    fn session_with(buffer: &Bytes, expiry_interval: u32) -> Session {
        let limits = QueueLimits { messages: 10, bytes: 1 << 20, overflow: Overflow::DropNewest };
        let mut session = Session::new(Arc::new(Current::new(limits)), 1);
        session.expiry_interval = expiry_interval;
        session.resume(1);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
            let message = ApplicationMessage::new(TopicName::try_from("t").unwrap(), buffer.slice(..1));
            let delivery = Delivery::new(Arc::new(message.with_qos(qos)), QoS::ExactlyOnce, false);
            session.enqueue(delivery).unwrap();
        }
        let sent = session.next_outgoing(Timestamp(0), |_, _| true, |_, _| panic!());
        assert!(matches!(sent, Some(Outgoing::Acknowledged { .. })));
        session
    }

    #[test]
    fn what_waits_for_the_next_connection_keeps_no_read_buffer_alive() {
        // Messages that were queued while the client was connected, and those in flight, kept up to 64 KB
        // of read buffer each for as long as the session had no connection.
        let buffer = Bytes::from(vec![0; 64 * 1024]);
        let mut session = session_with(&buffer, 60);
        assert_eq!(session.detach().len(), 1);
        assert!(buffer.is_unique());
        session.resume(10);
        for expected in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let sent = session.next_outgoing(Timestamp(0), |_, _| true, |_, _| panic!());
            let Some(Outgoing::Acknowledged { delivery, .. }) = sent else { panic!("{sent:?}") };
            assert_eq!((delivery.qos, &delivery.message.payload[..]), (expected, &[0][..]));
        }
    }

    #[test]
    fn nothing_is_copied_for_a_session_that_ends_or_goes_on_at_once() {
        let buffer = Bytes::from(vec![0; 64 * 1024]);
        let mut ends = session_with(&buffer, 0);
        assert_eq!(ends.detach().len(), 1);
        assert!(!buffer.is_unique());
        drop(ends);
        let mut goes_on = session_with(&buffer, 60);
        assert_eq!(goes_on.hand_over().len(), 1);
        assert!(!buffer.is_unique());
    }
}
