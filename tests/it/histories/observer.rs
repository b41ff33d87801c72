//! What a server has to keep to, seen from what its session sends and takes.

use std::collections::BTreeMap;

use tidegate::packet::QoS;
use tidegate::session::{Acknowledged, Overflow};

use super::ToClient;

/// The queue of every session; also the bytes of its window.
pub(super) const MESSAGES: usize = 6;
pub(super) const BYTES: usize = 3000;

/// What is known of a message when it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub qos: QoS,
    /// Bytes that a queue or window counts for it.
    pub cost: usize,
    pub shared: bool,
}

#[derive(Debug)]
pub(super) struct Observer {
    overflow: Overflow,
    /// In the queue, by number.
    waiting: BTreeMap<usize, Kind>,
    /// In the order in which they were sent first.
    flights: Vec<Flight>,
    connection: u32,
    receive_maximum: usize,
    /// The numbers sent last on this connection, with QoS 0 and otherwise.
    last: [Option<usize>; 2],
    /// Acknowledged, or under way and accepted; without those that were dropped for a reason.
    promised: Vec<usize>,
    /// By number; none is used twice in a history.
    identifiers: BTreeMap<usize, u16>,
}

#[derive(Debug)]
struct Flight {
    id: u16,
    number: usize,
    kind: Kind,
    /// PUBREC came.
    received: bool,
    /// Where it was sent last.
    connection: u32,
}

impl Observer {
    pub fn new(overflow: Overflow) -> Observer {
        Observer {
            overflow,
            waiting: BTreeMap::new(),
            flights: Vec::new(),
            connection: 0,
            receive_maximum: 0,
            last: [None; 2],
            promised: Vec::new(),
            identifiers: BTreeMap::new(),
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub fn is_in_flight(&self, number: usize) -> bool {
        self.flights.iter().any(|flight| flight.number == number)
    }

    /// Whether the client has to get it.
    pub fn is_promised(&self, number: usize) -> bool {
        self.promised.contains(&number)
    }

    /// The identifier that a message was sent with.
    pub fn identifier(&self, number: usize) -> Option<u16> {
        self.identifiers.get(&number).copied()
    }

    pub fn connected(&mut self, receive_maximum: u16) {
        self.connection += 1;
        self.receive_maximum = receive_maximum.into();
        self.last = [None; 2];
    }

    /// A message was queued, and these gave way to it.
    pub fn queued(&mut self, number: usize, kind: Kind, displaced: &[usize]) {
        for (place, number) in displaced.iter().enumerate() {
            assert!(!self.fits(kind), "{displaced:?}: the {place}th need not have given way");
            let other = self.forget_waiting(*number);
            match (other.qos, kind.qos) {
                (QoS::AtMostOnce, QoS::AtMostOnce) => assert_eq!(self.overflow, Overflow::DropOldest),
                (QoS::AtMostOnce, _) => {}
                (_, QoS::AtMostOnce) => panic!("a message that was promised gave way to QoS 0"),
                _ => {
                    assert_eq!(self.overflow, Overflow::DropOldest);
                    assert!(self.waiting.values().all(|left| left.qos > QoS::AtMostOnce));
                }
            }
            let is_older = |(left, left_kind): (&usize, &Kind)| {
                *left < *number && (left_kind.qos == QoS::AtMostOnce) == (other.qos == QoS::AtMostOnce)
            };
            assert!(!self.waiting.iter().any(is_older), "{number} was not the oldest");
        }
        assert!(self.fits(kind));
        self.waiting.insert(number, kind);
        self.promised.extend((kind.qos > QoS::AtMostOnce).then_some(number));
    }

    /// A message was not taken: nothing that may give way makes enough room.
    pub fn refused(&mut self, kind: Kind) {
        let gives_way = |other: &Kind| match self.overflow {
            Overflow::DropOldest => other.qos == QoS::AtMostOnce || kind.qos > QoS::AtMostOnce,
            Overflow::DropNewest => other.qos == QoS::AtMostOnce && kind.qos > QoS::AtMostOnce,
        };
        let stays = || self.waiting.values().filter(|other| !gives_way(other));
        assert!(!room_for(kind, stays().count(), stays().map(|other| other.cost).sum()));
    }

    fn fits(&self, kind: Kind) -> bool {
        room_for(kind, self.waiting.len(), self.waiting.values().map(|other| other.cost).sum())
    }

    /// The connection is over: QoS 0 is not kept.
    pub fn lost(&mut self, numbers: &[usize]) {
        for number in numbers {
            assert_eq!(self.forget_waiting(*number).qos, QoS::AtMostOnce);
        }
        assert!(self.waiting.values().all(|left| left.qos > QoS::AtMostOnce));
    }

    /// What was not sent yet is left to the other members of a Shared Subscription.
    pub fn left(&mut self, numbers: &[usize]) {
        let lane = |number: &&usize| self.waiting[number].qos == QoS::AtMostOnce;
        assert!(numbers.iter().filter(lane).is_sorted());
        assert!(numbers.iter().filter(|number| !lane(number)).is_sorted());
        for number in numbers {
            assert!(self.forget_waiting(*number).shared);
        }
        assert!(!self.waiting.values().any(|left| left.shared));
    }

    /// It expired, or is too large for the client.
    pub fn dropped(&mut self, number: usize) {
        if self.waiting.contains_key(&number) {
            self.forget_waiting(number);
        } else {
            let at = self.flights.iter().position(|flight| flight.number == number).unwrap();
            let flight = self.flights.remove(at);
            assert!(!flight.received && flight.connection < self.connection);
            self.break_promise(number);
        }
    }

    pub fn sent(&mut self, packet: ToClient) {
        match packet {
            ToClient::Publish { id: None, number, qos, dup } => {
                // [MQTT-3.3.1-2]
                assert!(qos == QoS::AtMostOnce && !dup);
                self.forget_waiting(number);
                self.in_order(0, number);
            }
            ToClient::Publish { id: Some(id), number, qos, dup } => {
                assert!(qos > QoS::AtMostOnce);
                self.in_order(1, number);
                if dup {
                    let flight = self.resent(id);
                    assert!(flight.number == number && !flight.received);
                } else {
                    self.sent_first(id, number);
                }
            }
            ToClient::Pubrel(id) => assert!(self.resent(id).received),
            packet => panic!("a session does not send {packet:?}"),
        }
        // [MQTT-3.3.4-9]
        let here = self.flights.iter().filter(|flight| flight.connection == self.connection).count();
        assert!(here <= self.receive_maximum, "{here} in flight, {} allowed", self.receive_maximum);
    }

    /// Of what the connection before had in flight, the next in its order [MQTT-4.4.0-1].
    fn resent(&mut self, id: u16) -> &Flight {
        let connection = self.connection;
        let next = self.flights.iter_mut().find(|flight| flight.connection < connection).unwrap();
        assert_eq!(next.id, id);
        next.connection = connection;
        next
    }

    fn sent_first(&mut self, id: u16, number: usize) {
        assert!(self.flights.iter().all(|flight| flight.connection == self.connection));
        // [MQTT-2.2.1-4]
        assert!(self.flights.iter().all(|flight| flight.id != id), "{id} is in use");
        let kind = self.waiting.remove(&number).unwrap();
        assert_eq!(self.identifiers.insert(number, id), None);
        self.flights.push(Flight { id, number, kind, received: false, connection: self.connection });
    }

    fn in_order(&mut self, lane: usize, number: usize) {
        assert!(self.last[lane] < Some(number), "{number} after {:?}", self.last[lane]);
        self.last[lane] = Some(number);
    }

    /// There was nothing to send: either nothing waits, or the client has to acknowledge first.
    pub fn nothing_to_send(&self) {
        let resent = self.flights.iter().filter(|flight| flight.connection == self.connection).count();
        if resent < self.flights.len() {
            assert_eq!(resent, self.receive_maximum);
        }
        let held = self.flights.iter().filter(|flight| !flight.received).map(|flight| flight.kind.cost);
        let held: usize = held.sum();
        let has_room = self.flights.len() < self.receive_maximum && (held == 0 || held < BYTES);
        let can_be_sent = |kind: &Kind| kind.qos == QoS::AtMostOnce || has_room;
        assert!(!self.waiting.values().any(can_be_sent), "{:?}", self.waiting);
    }

    pub fn puback(&mut self, id: u16, done: &Acknowledged) {
        let flight = self.flight(id, |flight| flight.kind.qos == QoS::AtLeastOnce);
        match flight {
            Some(_) => assert!(matches!(done, Acknowledged::Complete(_, Some(_))), "{done:?}"),
            None => assert!(matches!(done, Acknowledged::Unknown), "{done:?}"),
        }
        flight.map(|at| self.flights.remove(at));
    }

    pub fn pubrec(&mut self, id: u16, refused: bool, done: &Acknowledged) {
        let Some(at) = self.flight(id, |flight| flight.kind.qos == QoS::ExactlyOnce) else {
            assert!(matches!(done, Acknowledged::Unknown), "{done:?}");
            return;
        };
        let flight = &mut self.flights[at];
        match (refused, flight.received) {
            (true, false) => {
                assert!(matches!(done, Acknowledged::Complete(_, Some(_))), "{done:?}");
                self.flights.remove(at);
            }
            // It has been received: what follows is PUBREL and PUBCOMP, whatever the client says.
            (true, true) => assert!(matches!(done, Acknowledged::Unknown), "{done:?}"),
            (false, received) => {
                assert!(matches!(done, Acknowledged::Release(_, message) if message.is_none() == received));
                flight.received = true;
            }
        }
    }

    pub fn pubcomp(&mut self, id: u16, done: &Acknowledged) {
        let flight = self.flight(id, |flight| flight.received);
        match flight {
            Some(_) => assert!(matches!(done, Acknowledged::Complete(_, None)), "{done:?}"),
            None => assert!(matches!(done, Acknowledged::Unknown), "{done:?}"),
        }
        flight.map(|at| self.flights.remove(at));
    }

    fn flight(&self, id: u16, wanted: impl Fn(&Flight) -> bool) -> Option<usize> {
        self.flights.iter().position(|flight| flight.id == id && wanted(flight))
    }

    /// It is in the queue no longer, and the client need not get it.
    fn forget_waiting(&mut self, number: usize) -> Kind {
        self.break_promise(number);
        self.waiting.remove(&number).unwrap()
    }

    fn break_promise(&mut self, number: usize) {
        self.promised.retain(|promised| *promised != number);
    }
}

fn room_for(kind: Kind, count: usize, bytes: usize) -> bool {
    count < MESSAGES && (count == 0 || bytes + kind.cost <= BYTES)
}
