//! The outbound in-flight window: QoS 1 and 2 messages that were sent and are not yet acknowledged.
//!
//! ```text
//!   QoS 1:  send -> Publish --- PUBACK ------------------------------------> (free)
//!   QoS 2:  send -> Publish --- PUBREC ---> Pubrel --- PUBCOMP ------------> (free)
//!                              PUBREC >= 0x80 ---------------------------> (free)
//! ```
//!
//! Entries stand in the order in which they were sent first, and that is the order in which they are sent
//! again on a resumed session. An acknowledgement is searched from the front, as they come in the order of
//! the messages; for a new identifier the whole window is looked through. Therefore it is short, whatever the
//! client would take: [`LARGEST_WINDOW`].

use super::lazy_deque::LazyDeque;
use super::{Delivery, Kept, Outgoing, Queue};
use crate::packet::{PacketIdentifier, QoS};

/// How many messages are in flight at most.
pub const LARGEST_WINDOW: u16 = 4096;

/// Messages behind this many others in flight share no memory with read buffers. Those before them do while
/// the connection lasts, so that all receivers of a message share one.
const DETACH_BEHIND: usize = 256;

#[derive(Debug)]
pub struct Window {
    entries: LazyDeque<Entry>,
    /// Of the messages that are held.
    bytes: usize,
    last_identifier: u16,
    maximum: u16,
    /// Entries before this index were sent on the current connection; those from here on are to be sent
    /// again.
    resent: u16,
}

#[derive(Debug)]
struct Entry {
    packet_identifier: PacketIdentifier,
    state: State,
}

#[derive(Debug)]
enum State {
    Publish(Delivery),
    /// The message itself is the client's now; the number of its delivery is left.
    Pubrel(u64),
}

/// What an acknowledgement brought.
#[derive(Debug)]
pub enum Acknowledged {
    /// The flow is over; the number of the delivery, and the message where it was still held.
    Complete(u64, Option<Delivery>),
    /// PUBREL is to be sent; the same, the message where this acknowledged it for the first time.
    Release(u64, Option<Delivery>),
    /// The identifier is not in use, or not in this state.
    Unknown,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            entries: LazyDeque::default(),
            last_identifier: 0,
            maximum: LARGEST_WINDOW,
            bytes: 0,
            resent: 0,
        }
    }
}

impl Window {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the messages cost that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many messages are held.
    pub fn unacknowledged(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.state, State::Publish(_))).count()
    }

    /// Whether a further message may be sent [MQTT-3.3.4-9], and held until it is acknowledged, with so many bytes of
    /// messages at most and the one that passes this mark. One always may, however large the messages are.
    pub fn has_room(&self, maximum_bytes: usize) -> bool {
        self.has_room_beside(0, maximum_bytes)
    }

    /// The same where so many others are to be sent first.
    pub fn has_room_beside(&self, others: usize, maximum_bytes: usize) -> bool {
        let has_bytes = self.bytes == 0 || self.bytes < maximum_bytes;
        self.entries.len() + others < usize::from(self.maximum) && has_bytes
    }

    /// Takes a message in and gives it an identifier. Only where there [is room](Window::has_room).
    pub fn send(&mut self, mut delivery: Delivery) -> Outgoing<'_> {
        if self.entries.len() >= DETACH_BEHIND {
            delivery.detach();
        }
        let packet_identifier = self.free_identifier();
        self.bytes += Queue::cost(&delivery.message);
        self.entries.push_back(Entry { packet_identifier, state: State::Publish(delivery) });
        self.resent = self.entries.len() as u16;
        match self.entries.back() {
            Some(entry) => entry.outgoing(false),
            None => Outgoing::Pubrel(packet_identifier),
        }
    }

    /// Whether messages of the connection before wait to be sent again, and may be.
    pub fn has_to_resend(&self) -> bool {
        self.resent() < self.entries.len() && self.resent < self.maximum
    }

    /// Takes the next message that is to be sent again out of the window where it does not fit: the
    /// connection before may have taken larger ones [MQTT-3.1.2-25].
    pub fn give_up_unless(&mut self, fits: impl Fn(&Delivery) -> bool) -> Option<Delivery> {
        let at = self.resent();
        let next = &self.entries.get(at)?.state;
        if matches!(next, State::Publish(delivery) if !fits(delivery))
            && let State::Publish(delivery) = self.entries.remove(at)?.state
        {
            return Some(self.subtract(delivery));
        }
        None
    }

    /// The next that is to be sent again.
    pub fn resend(&mut self) -> Option<Outgoing<'_>> {
        let entry = self.entries.get(self.resent())?;
        self.resent += 1;
        Some(entry.outgoing(true))
    }

    pub fn resume(&mut self, receive_maximum: u16) {
        self.maximum = receive_maximum.min(LARGEST_WINDOW);
        self.resent = 0;
    }

    /// Takes out the QoS 1 messages of Shared Subscriptions. A QoS 2 message that was sent goes to no other
    /// client, whatever becomes of it [MQTT-4.8.2-5].
    pub fn take_shared(&mut self) -> Vec<Delivery> {
        let mut taken = Vec::new();
        for Entry { packet_identifier, state } in self.entries.take() {
            match state {
                State::Publish(delivery) if delivery.qos == QoS::AtLeastOnce && delivery.shared.is_some() => {
                    taken.push(self.subtract(delivery));
                }
                state => self.entries.push_back(Entry { packet_identifier, state }),
            }
        }
        self.resent = self.resent().min(self.entries.len()) as u16;
        taken
    }

    /// Replaces what shares memory with a read buffer by copies.
    pub fn detach(&mut self) {
        let held = if self.is_empty() { None } else { Some(self.entries.iter_mut()) };
        for entry in held.into_iter().flatten() {
            if let State::Publish(delivery) = &mut entry.state {
                delivery.detach();
            }
        }
    }

    /// All that is in flight, in its order.
    pub fn iter(&self) -> impl Iterator<Item = Kept<'_>> {
        self.entries.iter().map(|Entry { packet_identifier, state }| match state {
            State::Publish(delivery) => Kept::Sent(*packet_identifier, delivery),
            State::Pubrel(number) => Kept::Released(*packet_identifier, *number),
        })
    }

    /// Puts in what was in flight before, behind all that is there.
    pub fn restore_sent(&mut self, packet_identifier: PacketIdentifier, delivery: Delivery) {
        self.bytes += Queue::cost(&delivery.message);
        self.restore(packet_identifier, State::Publish(delivery));
    }

    /// The same for a message that is the client's.
    pub fn restore_released(&mut self, packet_identifier: PacketIdentifier, number: u64) {
        self.restore(packet_identifier, State::Pubrel(number));
    }

    fn restore(&mut self, packet_identifier: PacketIdentifier, state: State) {
        self.last_identifier = packet_identifier.get();
        self.entries.push_back(Entry { packet_identifier, state });
    }

    pub fn puback(&mut self, packet_identifier: PacketIdentifier) -> Acknowledged {
        self.complete(
            packet_identifier,
            |state| matches!(state, State::Publish(delivery) if delivery.qos == QoS::AtLeastOnce),
        )
    }

    pub fn pubrec(&mut self, packet_identifier: PacketIdentifier, refused: bool) -> Acknowledged {
        if refused {
            return self.complete(packet_identifier, is_qos2);
        }
        let Some(index) = self.position(packet_identifier) else { return Acknowledged::Unknown };
        let entry = &mut self.entries[index];
        let number = entry.number();
        match &entry.state {
            State::Publish(delivery) if delivery.qos == QoS::ExactlyOnce => {
                match std::mem::replace(&mut entry.state, State::Pubrel(number)) {
                    State::Publish(delivery) => Acknowledged::Release(number, Some(self.subtract(delivery))),
                    State::Pubrel(number) => Acknowledged::Release(number, None),
                }
            }
            State::Publish(_) => Acknowledged::Unknown,
            State::Pubrel(number) => Acknowledged::Release(*number, None),
        }
    }

    pub fn pubcomp(&mut self, packet_identifier: PacketIdentifier) -> Acknowledged {
        self.complete(packet_identifier, |state| matches!(state, State::Pubrel(_)))
    }

    fn complete(
        &mut self,
        packet_identifier: PacketIdentifier,
        wanted: impl Fn(&State) -> bool,
    ) -> Acknowledged {
        let index = self.position(packet_identifier).filter(|&index| wanted(&self.entries[index].state));
        let Some(entry) = index.and_then(|index| self.entries.remove(index)) else {
            return Acknowledged::Unknown;
        };
        if index < Some(self.resent()) {
            self.resent -= 1;
        }
        match entry.state {
            State::Publish(delivery) => {
                Acknowledged::Complete(delivery.number, Some(self.subtract(delivery)))
            }
            State::Pubrel(number) => Acknowledged::Complete(number, None),
        }
    }

    /// No more than [`LARGEST_WINDOW`], as there are no more entries.
    fn resent(&self) -> usize {
        self.resent.into()
    }

    /// A message that is held no longer.
    fn subtract(&mut self, delivery: Delivery) -> Delivery {
        self.bytes -= Queue::cost(&delivery.message);
        delivery
    }

    fn position(&self, packet_identifier: PacketIdentifier) -> Option<usize> {
        self.entries.iter().position(|entry| entry.packet_identifier == packet_identifier)
    }

    /// The next identifier that is not in flight [MQTT-2.2.1-4]. There is one: the window is smaller
    /// than the number of identifiers.
    fn free_identifier(&mut self) -> PacketIdentifier {
        loop {
            self.last_identifier = self.last_identifier.wrapping_add(1);
            match PacketIdentifier::new(self.last_identifier) {
                Some(id) if self.position(id).is_none() => return id,
                _ => {}
            }
        }
    }
}

impl Entry {
    fn outgoing(&self, dup: bool) -> Outgoing<'_> {
        let packet_identifier = self.packet_identifier;
        match &self.state {
            State::Publish(delivery) => Outgoing::Acknowledged { delivery, packet_identifier, dup },
            State::Pubrel(_) => Outgoing::Pubrel(packet_identifier),
        }
    }

    /// Of its delivery.
    fn number(&self) -> u64 {
        match &self.state {
            State::Publish(delivery) => delivery.number,
            State::Pubrel(number) => *number,
        }
    }
}

fn is_qos2(state: &State) -> bool {
    matches!(state, State::Publish(delivery) if delivery.qos == QoS::ExactlyOnce)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::ApplicationMessage;
    use crate::session::Shared;
    use crate::topic::{TopicFilter, TopicName};

    fn delivery(qos: QoS) -> Delivery {
        let message = ApplicationMessage::new(TopicName::try_from("t").unwrap(), "x").with_qos(qos);
        Delivery::new(Arc::new(message), QoS::ExactlyOnce, false)
    }

    fn send(window: &mut Window, qos: QoS) -> PacketIdentifier {
        match window.send(delivery(qos)) {
            Outgoing::Acknowledged { packet_identifier, dup: false, .. } => packet_identifier,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn qos2_is_released_after_pubrec_and_free_after_pubcomp() {
        let mut window = Window::default();
        let id = send(&mut window, QoS::ExactlyOnce);
        assert!(matches!(window.puback(id), Acknowledged::Unknown));
        assert!(matches!(window.pubcomp(id), Acknowledged::Unknown));
        assert!(matches!(window.pubrec(id, false), Acknowledged::Release(0, Some(_))));
        assert!(matches!(window.pubrec(id, false), Acknowledged::Release(0, None)));
        assert!(matches!(window.pubcomp(id), Acknowledged::Complete(0, None)));
        assert!(window.is_empty());
    }

    #[test]
    fn a_refused_pubrec_ends_the_flow() {
        let mut window = Window::default();
        let id = send(&mut window, QoS::ExactlyOnce);
        assert!(matches!(window.pubrec(id, true), Acknowledged::Complete(0, Some(_))));
        assert!(window.is_empty());
    }

    #[test]
    fn resume_sends_again_in_order_with_dup_and_pubrel_where_it_was_received() {
        let mut window = Window::default();
        let first = send(&mut window, QoS::ExactlyOnce);
        let second = send(&mut window, QoS::AtLeastOnce);
        window.pubrec(first, false);
        assert!(!window.has_to_resend());
        window.resume(10);
        assert!(matches!(window.resend(), Some(Outgoing::Pubrel(id)) if id == first));
        assert!(matches!(window.resend(), Some(Outgoing::Acknowledged { packet_identifier, dup: true, .. })
                if packet_identifier == second));
        assert!(!window.has_to_resend());
    }

    #[test]
    fn a_smaller_receive_maximum_holds_back_what_is_sent_again() {
        let mut window = Window::default();
        let ids: Vec<_> = (0..3).map(|_| send(&mut window, QoS::AtLeastOnce)).collect();
        window.resume(1);
        assert!(window.has_to_resend() && window.resend().is_some());
        assert!(!window.has_to_resend() && !window.has_room(usize::MAX));
        window.puback(ids[0]);
        assert!(window.has_to_resend());
        assert!(matches!(window.resend(), Some(Outgoing::Acknowledged { packet_identifier, .. })
                if packet_identifier == ids[1]));
    }

    #[test]
    fn identifiers_in_flight_are_not_given_again_when_they_wrap() {
        let mut window = Window::default();
        let first = send(&mut window, QoS::AtLeastOnce);
        for _ in 0..u16::MAX - 1 {
            let id = send(&mut window, QoS::AtLeastOnce);
            window.puback(id);
        }
        let next = send(&mut window, QoS::AtLeastOnce);
        assert_ne!(next, first);
        assert_eq!(window.len(), 2);
    }

    #[test]
    fn a_window_holds_its_bytes_and_one_message_more_until_they_are_acknowledged() {
        // The window had a length only: a client that read and did not acknowledge had the broker hold
        // hundreds of the largest messages for it.
        let cost = Queue::cost(&delivery(QoS::AtLeastOnce).message);
        let mut window = Window::default();
        let first = send(&mut window, QoS::AtLeastOnce);
        assert!(window.has_room(cost + 1));
        let second = send(&mut window, QoS::ExactlyOnce);
        assert!(!window.has_room(cost + 1));
        // The message is the client's after PUBREC, though the identifier is not free.
        window.pubrec(second, false);
        assert!(window.has_room(cost + 1));
        let third = send(&mut window, QoS::ExactlyOnce);
        window.puback(first);
        window.pubrec(third, true);
        window.pubcomp(second);
        assert_eq!((window.len(), window.bytes), (0, 0));
    }

    #[test]
    fn a_window_of_no_bytes_takes_one_message() {
        let mut window = Window::default();
        assert!(window.has_room(0));
        send(&mut window, QoS::AtLeastOnce);
        assert!(!window.has_room(0));
        window.resume(10);
        assert!(window.give_up_unless(|_| false).is_some());
        assert!(window.has_room(0));
    }

    #[test]
    fn only_unacknowledged_qos1_goes_from_one_member_of_a_shared_subscription_to_another() {
        // [MQTT-4.8.2-5]
        let filter = TopicFilter::try_from("$share/g/t").unwrap();
        let shared = Arc::new(Shared { filter, original: None });
        let mut window = Window::default();
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce] {
            window.send(Delivery { shared: Some(shared.clone()), ..delivery(qos) });
        }
        let own = send(&mut window, QoS::AtLeastOnce);
        assert!(window.take_shared().iter().all(|taken| taken.qos == QoS::AtLeastOnce));
        assert_eq!(window.len(), 2);
        window.puback(own);
        assert_eq!(window.bytes, Queue::cost(&delivery(QoS::ExactlyOnce).message));
    }

    #[test]
    fn a_window_is_never_longer_than_it_can_be_searched() {
        // The Receive Maximum of a client was taken as it came where the configuration allowed that: each
        // message then looked through up to 65,535 others for an identifier.
        let mut window = Window::default();
        window.resume(u16::MAX);
        while window.has_room(usize::MAX) {
            send(&mut window, QoS::AtLeastOnce);
        }
        assert_eq!(window.len(), usize::from(LARGEST_WINDOW));
    }
}
