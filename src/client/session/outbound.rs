//! Messages on their way to the server: those that wait, and those in flight.
//!
//! ```text
//!   push ─► waiting ─► QoS 0: sent, done
//!                  └─► QoS 1: in flight ── PUBACK ─────────────────────────► done
//!                  └─► QoS 2: in flight ── PUBREC ─► released ── PUBCOMP ──► done
//!                                          PUBREC >= 0x80 ─────────────────► done
//! ```
//!
//! What is in flight stands in the order in which it was sent first, which is the order in which it is sent again on a
//! resumed session [MQTT-4.6.0-1], and the order of its identifiers. Messages go out in the order in which they were
//! published; only where QoS 1 and 2 have to wait for acknowledgements, QoS 0 passes them.

use std::collections::VecDeque;

use crate::client::error::PublishResult;
use crate::message::Timestamp;
use crate::packet::{PacketIdentifier, Publish, QoS};
use crate::session::Overflow;

/// What waits at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct QueueLimits {
    pub(in crate::client) messages: usize,
    /// One message alone may be larger.
    pub(in crate::client) bytes: usize,
    pub(in crate::client) overflow: Overflow,
}

/// A message on its way. `C` is told what becomes of it.
#[derive(Debug)]
pub(in crate::client) struct Outgoing<C> {
    pub(in crate::client) publish: Publish,
    /// Bytes of the PUBLISH without a topic alias.
    pub(in crate::client) size: usize,
    pub(in crate::client) expires_at: Option<Timestamp>,
    pub(in crate::client) done: C,
    /// Counts the messages; by it a store knows this one.
    pub(in crate::client) number: u64,
}

impl<C: Default> Outgoing<C> {
    /// Nothing is left of it but its number.
    pub(in crate::client) fn released(number: u64) -> Outgoing<C> {
        let publish = Publish::default().with_qos(QoS::ExactlyOnce);
        Outgoing { publish, size: 0, expires_at: None, done: C::default(), number }
    }
}

impl<C> Outgoing<C> {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What is left of the Message Expiry Interval, in seconds, rounded up.
    fn expiry_interval(&self, now: Timestamp) -> Option<u32> {
        let left = now.until(self.expires_at?).as_millis().div_ceil(1000);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }
}

/// A message that was sent and is not done.
#[derive(Debug)]
pub(in crate::client) struct InFlight<C> {
    pub(in crate::client) packet_identifier: PacketIdentifier,
    /// Without topic and payload once it is released.
    pub(in crate::client) message: Outgoing<C>,
    /// What PUBREC said, once it came: the message is the server's.
    pub(in crate::client) released: Option<PublishResult>,
    /// When the server was last to answer.
    since: Timestamp,
}

/// What is to be written.
#[derive(Debug)]
pub(in crate::client) enum Put<'a> {
    Publish {
        publish: &'a Publish,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
        expiry_interval: Option<u32>,
        size: usize,
        number: u64,
    },
    Pubrel(PacketIdentifier),
}

/// What a PUBREC asks for.
#[derive(Debug)]
pub(in crate::client) enum Pubrec<C> {
    /// PUBREL is to be sent; the number of the message where this released it.
    Release(Option<u64>),
    Refused(Outgoing<C>, PublishResult),
    Unknown,
}

#[derive(Debug)]
pub(in crate::client) struct Outbound<C> {
    limits: QueueLimits,
    /// QoS 0, and QoS 1 and 2.
    waiting: [VecDeque<Outgoing<C>>; 2],
    waiting_bytes: usize,
    in_flight: VecDeque<InFlight<C>>,
    /// Those before this index were sent on the present connection.
    resent: usize,
    /// In flight at most.
    maximum: usize,
    pushed: u64,
}

impl<C> Outbound<C> {
    pub(in crate::client) fn new(limits: QueueLimits) -> Outbound<C> {
        Outbound {
            limits,
            waiting: [VecDeque::new(), VecDeque::new()],
            waiting_bytes: 0,
            in_flight: VecDeque::new(),
            resent: 0,
            maximum: 0,
            pushed: 0,
        }
    }

    /// Whether a message of this size would neither be refused nor have another one dropped.
    fn has_room(&self, size: usize) -> bool {
        let waiting = self.waiting();
        waiting < self.limits.messages && (waiting == 0 || self.waiting_bytes + size <= self.limits.bytes)
    }

    /// Whether a message of this size would be queued.
    pub(in crate::client) fn takes(&self, size: usize) -> bool {
        self.limits.overflow == Overflow::DropOldest || self.has_room(size)
    }

    /// Queues a message and numbers it. Where the queue is full and its oldest messages are to give way, they do. Gives the
    /// message back where there is no room for it.
    pub(in crate::client) fn push(
        &mut self,
        mut message: Outgoing<C>,
        mut dropped: impl FnMut(Outgoing<C>),
    ) -> Option<Outgoing<C>> {
        while !self.has_room(message.size) {
            match self.oldest() {
                Some(lane) if self.limits.overflow == Overflow::DropOldest => {
                    self.pop(lane).into_iter().for_each(&mut dropped);
                }
                _ => return Some(message),
            }
        }
        // A store numbers those that it keeps, beyond all that it has.
        message.number = message.number.max(self.pushed + 1);
        self.put_back(message);
        None
    }

    /// Queues what was queued before, whatever the limits are.
    pub(in crate::client) fn put_back(&mut self, message: Outgoing<C>) {
        self.pushed = self.pushed.max(message.number);
        self.waiting_bytes += message.size;
        self.waiting[lane(message.publish.qos)].push_back(message);
    }

    /// Puts in what was in flight before, behind all that is.
    pub(in crate::client) fn restore(
        &mut self,
        id: PacketIdentifier,
        message: Outgoing<C>,
        released: Option<PublishResult>,
    ) {
        self.pushed = self.pushed.max(message.number);
        self.in_flight.push_back(InFlight { packet_identifier: id, message, released, since: Timestamp(0) });
    }

    /// Messages that wait.
    pub(in crate::client) fn waiting(&self) -> usize {
        self.waiting[0].len() + self.waiting[1].len()
    }

    pub(in crate::client) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(in crate::client) fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.in_flight.is_empty()
    }

    /// The identifier that has been in flight for longest.
    pub(in crate::client) fn oldest_identifier(&self) -> Option<PacketIdentifier> {
        self.in_flight.front().map(|first| first.packet_identifier)
    }

    /// Since when the first in flight waits for its answer, where it was sent on this connection.
    pub(in crate::client) fn unanswered_since(&self) -> Option<Timestamp> {
        if self.resent == 0 { None } else { self.in_flight.front().map(|first| first.since) }
    }

    /// Puts the next message out, if one can go. A message that has expired, or that `judge` or `put` refuses, fails
    /// instead: nothing of it is in flight, and its identifier is free.
    pub(in crate::client) fn send_next<F>(
        &mut self,
        now: Timestamp,
        identifier: impl FnOnce(Option<PacketIdentifier>) -> Option<PacketIdentifier>,
        judge: impl FnOnce(&Outgoing<C>) -> Result<(), F>,
        put: impl FnOnce(Put<'_>) -> Result<(), F>,
    ) -> Sent<C, F> {
        if self.has_to_resend() {
            return self.resend_next(now, judge, put);
        }
        let Some(lane) = self.next_lane() else { return Sent::Nothing };
        // An identifier comes first: where there is none, the message stays.
        let id = match lane {
            0 => None,
            _ => match identifier(self.oldest_identifier()) {
                Some(id) => Some(id),
                None => return Sent::Nothing,
            },
        };
        let Some(message) = self.pop(lane) else { return Sent::Nothing };
        if message.is_expired(now) {
            return Sent::Expired(message);
        }
        if let Err(why) = judge(&message).and_then(|()| put(Put::of(&message, id, false, now))) {
            return Sent::Refused(message, why);
        }
        let Some(packet_identifier) = id else { return Sent::Done(message) };
        self.in_flight.push_back(InFlight { packet_identifier, message, released: None, since: now });
        self.resent = self.in_flight.len();
        Sent::One
    }

    fn resend_next<F>(
        &mut self,
        now: Timestamp,
        judge: impl FnOnce(&Outgoing<C>) -> Result<(), F>,
        put: impl FnOnce(Put<'_>) -> Result<(), F>,
    ) -> Sent<C, F> {
        let Some(entry) = self.in_flight.get_mut(self.resent) else { return Sent::Nothing };
        entry.since = now;
        let id = entry.packet_identifier;
        let sent = match entry.released {
            Some(_) => put(Put::Pubrel(id)),
            None => judge(&entry.message).and_then(|()| put(Put::of(&entry.message, Some(id), true, now))),
        };
        if let Err(why) = sent {
            // The connection before may have taken larger ones.
            let removed = self.in_flight.remove(self.resent);
            return removed.map_or(Sent::Nothing, |entry| Sent::Refused(entry.message, why));
        }
        self.resent += 1;
        Sent::One
    }

    /// A PUBACK came.
    pub(in crate::client) fn puback(&mut self, id: PacketIdentifier) -> Option<Outgoing<C>> {
        let at = self.position(id)?;
        let is_puback = self.in_flight[at].message.publish.qos == QoS::AtLeastOnce;
        if is_puback { self.take(at).map(|entry| entry.message) } else { None }
    }

    /// A PUBREC came that says this of the message.
    pub(in crate::client) fn pubrec(
        &mut self,
        id: PacketIdentifier,
        said: PublishResult,
        now: Timestamp,
    ) -> Pubrec<C> {
        let Some(at) = self.position(id) else { return Pubrec::Unknown };
        let entry = &mut self.in_flight[at];
        if entry.message.publish.qos != QoS::ExactlyOnce {
            return Pubrec::Unknown;
        }
        if said.reason_code.is_error() {
            let refused = self.take(at).map(|entry| Pubrec::Refused(entry.message, said));
            return refused.unwrap_or(Pubrec::Unknown);
        }
        entry.since = now;
        if entry.released.is_some() {
            return Pubrec::Release(None);
        }
        entry.released = Some(said);
        // The message is the server's now; it must not be sent again [MQTT-4.3.3-6].
        let publish = &mut entry.message.publish;
        *publish = Publish { qos: QoS::ExactlyOnce, ..Publish::default() };
        Pubrec::Release(Some(entry.message.number))
    }

    /// A PUBCOMP came. Gives what PUBREC said before.
    pub(in crate::client) fn pubcomp(
        &mut self,
        id: PacketIdentifier,
    ) -> Option<(Outgoing<C>, PublishResult)> {
        let at = self.position(id)?;
        self.in_flight[at].released.as_ref()?;
        let entry = self.take(at)?;
        Some((entry.message, entry.released?))
    }

    /// A connection goes on with the session: all in flight is sent again, at most `maximum` at a time.
    pub(in crate::client) fn resume(&mut self, maximum: u16) {
        self.maximum = maximum.into();
        self.resent = 0;
    }

    /// The server has forgotten the session: what was in flight becomes new messages, before those that wait; their numbers
    /// are shown. Gives what the server had taken over already, and what its PUBREC said.
    pub(in crate::client) fn restart(
        &mut self,
        maximum: u16,
        mut requeued: impl FnMut(u64),
    ) -> Vec<(Outgoing<C>, PublishResult)> {
        self.resume(maximum);
        let mut taken_over = Vec::new();
        for entry in std::mem::take(&mut self.in_flight).into_iter().rev() {
            if let Some(said) = entry.released {
                taken_over.push((entry.message, said));
                continue;
            }
            self.waiting_bytes += entry.message.size;
            requeued(entry.message.number);
            self.waiting[1].push_front(entry.message);
        }
        taken_over
    }

    /// The client ends: all that is not done.
    pub(in crate::client) fn drain(&mut self) -> impl Iterator<Item = Outgoing<C>> {
        self.waiting_bytes = 0;
        self.resent = 0;
        let [first, second] = &mut self.waiting;
        let waiting = std::mem::take(second).into_iter().chain(std::mem::take(first));
        std::mem::take(&mut self.in_flight).into_iter().map(|entry| entry.message).chain(waiting)
    }

    fn has_to_resend(&self) -> bool {
        self.resent < self.in_flight.len() && self.resent < self.maximum
    }

    /// [MQTT-3.3.4-7]
    fn window_has_room(&self) -> bool {
        self.in_flight.len() < self.maximum
    }

    fn next_lane(&self) -> Option<usize> {
        if self.window_has_room() { self.oldest() } else { (!self.waiting[0].is_empty()).then_some(0) }
    }

    /// The lane whose first message has waited longest.
    fn oldest(&self) -> Option<usize> {
        match (self.waiting[0].front(), self.waiting[1].front()) {
            (Some(first), Some(second)) => Some(usize::from(second.number < first.number)),
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(1),
            (None, None) => None,
        }
    }

    fn pop(&mut self, lane: usize) -> Option<Outgoing<C>> {
        let message = self.waiting[lane].pop_front()?;
        self.waiting_bytes -= message.size;
        Some(message)
    }

    fn take(&mut self, at: usize) -> Option<InFlight<C>> {
        let entry = self.in_flight.remove(at)?;
        if at < self.resent {
            self.resent -= 1;
        }
        Some(entry)
    }

    /// Identifiers never come round to the first, so how far one is from it grows along the queue.
    fn position(&self, id: PacketIdentifier) -> Option<usize> {
        let first = self.oldest_identifier()?;
        let distance = |id: PacketIdentifier| id.get().wrapping_sub(first.get());
        let far = |entry: &InFlight<C>| {
            let id = entry.packet_identifier;
            // 0 is no identifier: those that came round are one nearer than they look.
            distance(id) - u16::from(id < first)
        };
        let wanted = distance(id) - u16::from(id < first);
        self.in_flight.binary_search_by_key(&wanted, far).ok()
    }
}

/// What became of an attempt to send.
#[derive(Debug)]
pub(in crate::client) enum Sent<C, F> {
    /// There was nothing that could go.
    Nothing,
    /// One more is in flight.
    One,
    /// QoS 0: nothing comes back for it.
    Done(Outgoing<C>),
    Expired(Outgoing<C>),
    Refused(Outgoing<C>, F),
}

impl Put<'_> {
    fn of<C>(
        message: &Outgoing<C>,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
        now: Timestamp,
    ) -> Put<'_> {
        Put::Publish {
            publish: &message.publish,
            packet_identifier,
            dup,
            expiry_interval: message.expiry_interval(now),
            size: message.size,
            number: message.number,
        }
    }
}

fn lane(qos: QoS) -> usize {
    usize::from(qos > QoS::AtMostOnce)
}
