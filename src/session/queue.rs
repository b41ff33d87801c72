//! The queue of a session: bounded by count and by bytes.
//!
//! QoS 0 waits apart from QoS 1 and 2, so that a client that does not acknowledge still gets QoS 0. Order
//! holds within each of the two, which is more than MQTT asks for (per publisher, topic and QoS).
//!
//! QoS 1 and 2 go first as long as the in-flight window takes them, and displace QoS 0 where the queue is
//! full: no flood of messages that may be lost keeps away those that may not.

use std::sync::Arc;

use super::lazy_deque::LazyDeque;
use crate::current::Current;
use crate::message::ApplicationMessage;
use crate::packet::QoS;
use crate::topic::TopicFilter;

/// A message on its way to one session.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Arc<ApplicationMessage>,
    /// What it is delivered with: at most the message's and the subscription's.
    pub qos: QoS,
    pub retain: bool,
    pub subscription_identifiers: Box<[u32]>,
    /// Where it came by a Shared Subscription: what it takes to go to another member.
    pub shared: Option<Arc<Shared>>,
    /// Whether the message is known to share no memory with a read buffer.
    pub detached: bool,
    /// How many members of the Shared Subscription had no room for it.
    pub refusals: u8,
    /// By which the storage knows it; 0 where it does not.
    pub number: u64,
}

/// What the messages of a Shared Subscription have in common. One serves all of them, unless a hook has
/// made a copy for this receiver.
#[derive(Debug)]
pub struct Shared {
    /// The whole filter, with its ShareName.
    pub filter: TopicFilter,
    /// The message before a hook made a copy of it for this receiver: another member must not get that one.
    pub original: Option<Arc<ApplicationMessage>>,
}

/// What gives way where a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The message that comes.
    #[default]
    DropNewest,
    /// The one that has waited longest.
    DropOldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    pub messages: usize,
    /// One message alone may be larger. The in-flight window holds as many again.
    pub bytes: usize,
    pub overflow: Overflow,
}

/// Which limit a queue has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullBy {
    Messages,
    Bytes,
}

/// What a queue takes of messages that can as well wait, such as retained ones: half of what is left,
/// so that there is room for those that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRoom {
    /// At least one.
    pub messages: usize,
    pub bytes: usize,
    pub is_empty: bool,
    /// Half of it or more is free.
    pub is_half: bool,
}

#[derive(Debug)]
pub struct Queue {
    at_most_once: Lane,
    acknowledged: Lane,
    limits: Arc<Current<QueueLimits>>,
}

/// Messages that keep their order.
#[derive(Debug, Default)]
struct Lane {
    waiting: LazyDeque<Delivery>,
    bytes: usize,
}

impl Queue {
    pub fn new(limits: Arc<Current<QueueLimits>>) -> Queue {
        Queue { at_most_once: Lane::default(), acknowledged: Lane::default(), limits }
    }

    /// Gives it other limits. What waits already stays.
    pub fn limit(&mut self, limits: Arc<Current<QueueLimits>>) {
        self.limits = limits;
    }

    /// Bytes that it holds at most.
    pub fn maximum_bytes(&self) -> usize {
        self.limits.get().bytes
    }

    /// Adds at the end. Returns the older ones that gave way, as many as it took: QoS 0 before others, and
    /// those of QoS 1 and 2 only with [`Overflow::DropOldest`] and only to their like.
    ///
    /// # Errors
    /// The delivery itself, where nothing that may give way makes enough room.
    #[inline]
    pub fn push(&mut self, delivery: Delivery) -> Result<Vec<Delivery>, Delivery> {
        // As a rule it fits beside all.
        let QueueLimits { messages, bytes, .. } = *self.limits.get();
        let cost = Queue::cost(&delivery.message);
        if self.len() < messages && self.bytes() + cost <= bytes {
            self.lane(delivery.qos).push(delivery);
            return Ok(Vec::new());
        }
        self.push_within(delivery, bytes)
    }

    /// The same, but the queue grows no longer in bytes: as many have to give way. An empty one takes one.
    ///
    /// # Errors
    /// The delivery itself, where nothing that may give way makes enough room.
    pub fn push_without_growth(&mut self, delivery: Delivery) -> Result<Vec<Delivery>, Delivery> {
        self.push_within(delivery, self.bytes().min(self.limits.get().bytes))
    }

    /// Takes the next: QoS 1 and 2 where the window has room, which bounds how long QoS 0 waits for them.
    #[inline]
    pub fn pop(&mut self, window_has_room: bool) -> Option<Delivery> {
        let acknowledged = if window_has_room { self.acknowledged.pop() } else { None };
        acknowledged.or_else(|| self.at_most_once.pop())
    }

    pub fn can_pop(&self, window_has_room: bool) -> bool {
        self.at_most_once.len() > 0 || window_has_room && self.acknowledged.len() > 0
    }

    /// Whether something of QoS 1 or 2 waits.
    pub fn holds_acknowledged(&self) -> bool {
        self.acknowledged.len() > 0
    }

    /// Replaces what shares memory with a read buffer by copies.
    pub fn detach(&mut self) {
        let lanes = [&mut self.at_most_once, &mut self.acknowledged];
        let waiting =
            lanes.into_iter().filter(|lane| lane.len() > 0).flat_map(|lane| lane.waiting.iter_mut());
        waiting.for_each(Delivery::detach);
    }

    /// Takes all that waits with QoS 0.
    pub fn take_at_most_once(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.at_most_once).waiting.take().into()
    }

    /// Takes out what came by Shared Subscriptions that are asked for, in the order of each lane.
    pub fn take_shared(&mut self, wanted: impl Fn(&Shared) -> bool) -> Vec<Delivery> {
        let mut taken = self.acknowledged.take_shared(&wanted);
        taken.append(&mut self.at_most_once.take_shared(&wanted));
        taken
    }

    /// What waits with QoS 1 and 2, in its order.
    pub fn iter_acknowledged(&self) -> impl Iterator<Item = &Delivery> {
        self.acknowledged.waiting.iter()
    }

    /// Puts a message of QoS 1 or 2 behind the others, whatever the limits are.
    pub fn restore(&mut self, delivery: Delivery) {
        self.acknowledged.push(delivery);
    }

    /// Messages that wait with QoS 1 and 2.
    pub fn acknowledged_len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Whether even a small message would have another one give way, or be refused.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limits.get().messages || self.bytes() >= self.limits.get().bytes
    }

    pub fn len(&self) -> usize {
        self.at_most_once.len() + self.acknowledged.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn room(&self) -> QueueRoom {
        let QueueLimits { messages, bytes, .. } = *self.limits.get();
        QueueRoom {
            messages: (messages.saturating_sub(self.len()) / 2).max(1),
            bytes: bytes.saturating_sub(self.bytes()) / 2,
            is_empty: self.is_empty(),
            is_half: self.len() <= messages / 2 && self.bytes() <= bytes / 2,
        }
    }

    /// Bytes a waiting message costs, its place in the queue included.
    pub fn cost(message: &ApplicationMessage) -> usize {
        message.size() + size_of::<Delivery>() + size_of::<ApplicationMessage>()
    }

    /// Which limit it has reached, where it has just dropped something.
    pub fn full_by(&self) -> FullBy {
        if self.len() >= self.limits.get().messages { FullBy::Messages } else { FullBy::Bytes }
    }

    /// What all that waits costs.
    pub fn bytes(&self) -> usize {
        self.at_most_once.bytes + self.acknowledged.bytes
    }

    #[inline(never)]
    fn push_within(&mut self, delivery: Delivery, limit: usize) -> Result<Vec<Delivery>, Delivery> {
        if !self.may_fit(&delivery, limit) {
            return Err(delivery);
        }
        let mut displaced = Vec::new();
        while !self.fits(&delivery, self.len(), self.bytes(), limit) {
            displaced.extend(self.displace(delivery.qos));
        }
        self.lane(delivery.qos).push(delivery);
        Ok(displaced)
    }

    /// Whether it fits beside what cannot give way to it.
    fn may_fit(&self, delivery: &Delivery, limit: usize) -> bool {
        let drops_oldest = self.limits.get().overflow == Overflow::DropOldest;
        let is_qos0 = delivery.qos == QoS::AtMostOnce;
        let (mut len, mut bytes) = (0, 0);
        if is_qos0 && !drops_oldest {
            len += self.at_most_once.len();
            bytes += self.at_most_once.bytes;
        }
        if is_qos0 || !drops_oldest {
            len += self.acknowledged.len();
            bytes += self.acknowledged.bytes;
        }
        self.fits(delivery, len, bytes, limit)
    }

    /// Whether it fits beside this many messages of so many bytes.
    fn fits(&self, delivery: &Delivery, len: usize, bytes: usize, limit: usize) -> bool {
        len < self.limits.get().messages && (len == 0 || bytes + Queue::cost(&delivery.message) <= limit)
    }

    /// Takes out the next that gives way to a message that [may fit](Queue::may_fit).
    fn displace(&mut self, qos: QoS) -> Option<Delivery> {
        let oldest = self.at_most_once.pop();
        if qos == QoS::AtMostOnce { oldest } else { oldest.or_else(|| self.acknowledged.pop()) }
    }

    fn lane(&mut self, qos: QoS) -> &mut Lane {
        match qos {
            QoS::AtMostOnce => &mut self.at_most_once,
            QoS::AtLeastOnce | QoS::ExactlyOnce => &mut self.acknowledged,
        }
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.waiting.len()
    }

    #[inline]
    fn push(&mut self, delivery: Delivery) {
        self.bytes += Queue::cost(&delivery.message);
        self.waiting.push_back(delivery);
    }

    #[inline]
    fn pop(&mut self) -> Option<Delivery> {
        let next = self.waiting.pop_front()?;
        self.bytes -= Queue::cost(&next.message);
        // One that was once long does not keep its memory for ever.
        if self.waiting.is_empty() && self.waiting.capacity() > 256 {
            self.waiting.clear();
        }
        Some(next)
    }

    fn take_shared(&mut self, wanted: impl Fn(&Shared) -> bool) -> Vec<Delivery> {
        let is_wanted = |delivery: &Delivery| delivery.shared.as_deref().is_some_and(&wanted);
        if !self.waiting.iter().any(is_wanted) {
            return Vec::new();
        }
        let (taken, left): (Vec<_>, Vec<_>) = self.waiting.take().into_iter().partition(is_wanted);
        self.waiting = left.into_iter().collect();
        self.bytes -= taken.iter().map(|delivery| Queue::cost(&delivery.message)).sum::<usize>();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicName;

    fn delivery(qos: QoS, payload: &str) -> Delivery {
        let message = ApplicationMessage::new(TopicName::try_from("t").unwrap(), payload.to_string());
        Delivery::new(Arc::new(message.with_qos(qos)), QoS::ExactlyOnce, false)
    }

    fn payload(delivery: &Delivery) -> &str {
        std::str::from_utf8(&delivery.message.payload).unwrap()
    }

    fn payloads(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(payload).collect()
    }

    fn queue(messages: usize, bytes: usize, overflow: Overflow) -> Queue {
        Queue::new(Arc::new(Current::new(QueueLimits { messages, bytes, overflow })))
    }

    #[test]
    fn qos0_passes_qos1_that_waits_for_the_window() {
        let mut queue = queue(10, 10_000, Overflow::DropNewest);
        queue.push(delivery(QoS::AtLeastOnce, "one")).unwrap();
        queue.push(delivery(QoS::AtMostOnce, "zero")).unwrap();
        assert_eq!(payload(&queue.pop(false).unwrap()), "zero");
        assert!(!queue.can_pop(false));
        assert!(queue.pop(false).is_none());
        assert_eq!(payload(&queue.pop(true).unwrap()), "one");
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn drop_newest_refuses_what_comes() {
        let mut queue = queue(2, 10_000, Overflow::DropNewest);
        queue.push(delivery(QoS::AtLeastOnce, "1")).unwrap();
        queue.push(delivery(QoS::AtLeastOnce, "2")).unwrap();
        assert_eq!(payload(&queue.push(delivery(QoS::AtLeastOnce, "3")).unwrap_err()), "3");
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn drop_oldest_gives_up_the_one_that_waited_longest() {
        let mut queue = queue(2, 10_000, Overflow::DropOldest);
        for n in ["1", "2"] {
            queue.push(delivery(QoS::AtLeastOnce, n)).unwrap();
        }
        assert_eq!(payloads(&queue.push(delivery(QoS::AtLeastOnce, "3")).unwrap()), ["1"]);
        assert_eq!(payload(&queue.pop(true).unwrap()), "2");
        assert_eq!(payload(&queue.pop(true).unwrap()), "3");
    }

    #[test]
    fn bytes_are_bounded_but_one_message_alone_always_fits() {
        let mut queue = queue(10, 100, Overflow::DropNewest);
        queue.push(delivery(QoS::AtLeastOnce, &"x".repeat(1000))).unwrap();
        assert!(queue.push(delivery(QoS::AtLeastOnce, "y")).is_err());
        assert!(queue.push(delivery(QoS::AtMostOnce, "y")).is_err());
        queue.pop(true).unwrap();
        queue.push(delivery(QoS::AtLeastOnce, "y")).unwrap();
    }

    #[test]
    fn qos1_is_not_kept_waiting_by_qos0() {
        // QoS 0 always went first: as long as it came as fast as the client read, no QoS 1 was sent, and
        // once the queue was full QoS 1 was dropped.
        let mut queue = queue(10, 10_000, Overflow::DropNewest);
        queue.push(delivery(QoS::AtMostOnce, "zero")).unwrap();
        queue.push(delivery(QoS::AtLeastOnce, "one")).unwrap();
        assert_eq!(payload(&queue.pop(true).unwrap()), "one");
        assert_eq!(payload(&queue.pop(true).unwrap()), "zero");
    }

    #[test]
    fn qos1_displaces_the_oldest_qos0_where_the_queue_is_full() {
        // A flood of QoS 0 that filled the queue of a slow client had all of its QoS 1 messages dropped,
        // with either strategy.
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let mut queue = queue(3, 10_000, overflow);
            queue.push(delivery(QoS::AtLeastOnce, "1")).unwrap();
            queue.push(delivery(QoS::AtMostOnce, "a")).unwrap();
            queue.push(delivery(QoS::AtMostOnce, "b")).unwrap();
            assert_eq!(payloads(&queue.push(delivery(QoS::ExactlyOnce, "2")).unwrap()), ["a"]);
            assert_eq!(payloads(&queue.push(delivery(QoS::AtLeastOnce, "3")).unwrap()), ["b"]);
            assert_eq!(payload(&queue.push(delivery(QoS::AtMostOnce, "c")).unwrap_err()), "c");
            let oldest = queue.push(delivery(QoS::AtLeastOnce, "4"));
            match overflow {
                Overflow::DropNewest => assert_eq!(payload(&oldest.unwrap_err()), "4"),
                Overflow::DropOldest => assert_eq!(payloads(&oldest.unwrap()), ["1"]),
            }
            assert_eq!(queue.len(), 3);
        }
    }

    #[test]
    fn as_many_give_way_as_the_bytes_of_the_new_message_take_and_none_where_that_is_not_enough() {
        let large = delivery(QoS::AtLeastOnce, &"x".repeat(1000));
        let small = Queue::cost(&delivery(QoS::AtMostOnce, "0").message);
        let mut queue = queue(100, Queue::cost(&large.message) + small, Overflow::DropNewest);
        while queue.push(delivery(QoS::AtMostOnce, "0")).is_ok() {}
        let many = queue.len();
        assert_eq!(queue.push(large.clone()).unwrap().len(), many - 1);
        assert_eq!((queue.len(), queue.bytes()), (2, queue.limits.get().bytes));
        assert!(queue.push(large).is_err());
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn a_queue_of_no_length_takes_nothing() {
        let mut queue = queue(0, 0, Overflow::DropOldest);
        assert!(queue.push(delivery(QoS::AtLeastOnce, "1")).is_err());
        assert!(queue.push(delivery(QoS::AtMostOnce, "0")).is_err());
    }

    #[test]
    fn a_delivery_is_small() {
        // Every message that waits or is in flight is one.
        assert!(size_of::<Delivery>() <= 48);
    }

    #[test]
    fn taking_what_is_shared_leaves_the_rest_in_its_order_and_its_bytes() {
        let mut queue = queue(10, 10_000, Overflow::DropNewest);
        let filter = |text| TopicFilter::try_from(text).unwrap();
        for (n, text) in ["", "$share/g/t", "", "$share/h/t", "$share/g/t"].into_iter().enumerate() {
            let shared = || Arc::new(Shared { filter: filter(text), original: None });
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                let shared = (!text.is_empty()).then(shared);
                queue.push(Delivery { shared, ..delivery(qos, &n.to_string()) }).unwrap();
            }
        }
        let taken = queue.take_shared(|shared| shared.filter == filter("$share/g/t"));
        assert_eq!(payloads(&taken), ["1", "4", "1", "4"]);
        assert!(queue.take_shared(|shared| shared.filter == filter("$share/g/t")).is_empty());
        let left: Vec<_> = std::iter::from_fn(|| queue.pop(true)).collect();
        assert_eq!(payloads(&left), ["0", "2", "3", "0", "2", "3"]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn taking_qos0_leaves_the_rest_and_its_bytes() {
        let mut queue = queue(10, 10_000, Overflow::DropNewest);
        for qos in [QoS::AtMostOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
            queue.push(delivery(qos, "x")).unwrap();
        }
        assert_eq!(queue.take_at_most_once().len(), 2);
        assert_eq!(queue.len(), 1);
        queue.pop(true).unwrap();
        assert_eq!(queue.bytes(), 0);
    }
}
