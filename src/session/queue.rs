//! The queue of a session: bounded by count and by bytes.
//!
//! QoS 0 waits apart from QoS 1 and 2, so that a client that does not acknowledge still gets QoS 0. Order
//! holds within each of the two, which is more than MQTT asks for (per publisher, topic and QoS).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::ApplicationMessage;
use crate::packet::QoS;

/// A message on its way to one session.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Arc<ApplicationMessage>,
    /// What it is delivered with: at most the message's and the subscription's.
    pub qos: QoS,
    pub retain: bool,
    pub subscription_identifiers: Box<[u32]>,
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
    /// One message alone may be larger.
    pub bytes: usize,
    pub overflow: Overflow,
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
    at_most_once: VecDeque<Delivery>,
    acknowledged: VecDeque<Delivery>,
    bytes: usize,
    limits: QueueLimits,
}

impl Queue {
    pub fn new(limits: QueueLimits) -> Queue {
        Queue { at_most_once: VecDeque::new(), acknowledged: VecDeque::new(), bytes: 0, limits }
    }

    /// Adds at the end.
    ///
    /// # Errors
    /// The delivery that gave way: the new one, or with [`Overflow::DropOldest`] the oldest of the same
    /// kind. More than one may have to go for a large message; then the new one is refused instead.
    pub fn push(&mut self, delivery: Delivery) -> Result<(), Delivery> {
        if self.fits(&delivery, 0, 0) {
            self.add(delivery);
            return Ok(());
        }
        if self.limits.overflow == Overflow::DropNewest {
            return Err(delivery);
        }
        let oldest = match delivery.qos {
            QoS::AtMostOnce => self.at_most_once.front(),
            _ => self.acknowledged.front(),
        };
        match oldest {
            Some(oldest) if self.fits(&delivery, 1, Queue::cost(&oldest.message)) => {
                let gone = match delivery.qos {
                    QoS::AtMostOnce => self.at_most_once.pop_front(),
                    _ => self.acknowledged.pop_front(),
                };
                let gone = gone.map(|gone| self.subtract(gone));
                self.add(delivery);
                gone.map_or(Ok(()), Err)
            }
            _ => Err(delivery),
        }
    }

    /// Takes the next; QoS 1 and 2 only where the window has room.
    pub fn pop(&mut self, window_has_room: bool) -> Option<Delivery> {
        let next = self.at_most_once.pop_front();
        let next = match next {
            None if window_has_room => self.acknowledged.pop_front(),
            next => next,
        }?;
        Some(self.subtract(next))
    }

    pub fn can_pop(&self, window_has_room: bool) -> bool {
        !self.at_most_once.is_empty() || window_has_room && !self.acknowledged.is_empty()
    }

    /// Takes all that waits with QoS 0.
    pub fn take_at_most_once(&mut self) -> Vec<Delivery> {
        let taken = std::mem::take(&mut self.at_most_once);
        taken.into_iter().map(|delivery| self.subtract(delivery)).collect()
    }

    pub fn len(&self) -> usize {
        self.at_most_once.len() + self.acknowledged.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn room(&self) -> QueueRoom {
        let QueueLimits { messages, bytes, .. } = self.limits;
        QueueRoom {
            messages: (messages.saturating_sub(self.len()) / 2).max(1),
            bytes: bytes.saturating_sub(self.bytes) / 2,
            is_empty: self.is_empty(),
            is_half: self.len() <= messages / 2 && self.bytes <= bytes / 2,
        }
    }

    /// Bytes a waiting message costs, its place in the queue included.
    pub fn cost(message: &ApplicationMessage) -> usize {
        message.size() + size_of::<Delivery>() + size_of::<ApplicationMessage>()
    }

    /// Whether it fits once `fewer` messages of `freed` bytes have gone.
    fn fits(&self, delivery: &Delivery, fewer: usize, freed: usize) -> bool {
        let (len, bytes) = (self.len() - fewer, self.bytes - freed);
        len < self.limits.messages
            && (len == 0 || bytes + Queue::cost(&delivery.message) <= self.limits.bytes)
    }

    fn add(&mut self, delivery: Delivery) {
        self.bytes += Queue::cost(&delivery.message);
        match delivery.qos {
            QoS::AtMostOnce => self.at_most_once.push_back(delivery),
            _ => self.acknowledged.push_back(delivery),
        }
    }

    fn subtract(&mut self, delivery: Delivery) -> Delivery {
        self.bytes -= Queue::cost(&delivery.message);
        if self.is_empty() {
            self.release_memory();
        }
        delivery
    }

    /// A queue that was once long does not keep its memory for ever.
    fn release_memory(&mut self) {
        for queue in [&mut self.at_most_once, &mut self.acknowledged] {
            if queue.capacity() > 256 {
                *queue = VecDeque::new();
            }
        }
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

    fn queue(messages: usize, bytes: usize, overflow: Overflow) -> Queue {
        Queue::new(QueueLimits { messages, bytes, overflow })
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
        assert_eq!(queue.bytes, 0);
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
        assert_eq!(payload(&queue.push(delivery(QoS::AtLeastOnce, "3")).unwrap_err()), "1");
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
    fn taking_qos0_leaves_the_rest_and_its_bytes() {
        let mut queue = queue(10, 10_000, Overflow::DropNewest);
        for qos in [QoS::AtMostOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
            queue.push(delivery(qos, "x")).unwrap();
        }
        assert_eq!(queue.take_at_most_once().len(), 2);
        assert_eq!(queue.len(), 1);
        queue.pop(true).unwrap();
        assert_eq!(queue.bytes, 0);
    }
}
