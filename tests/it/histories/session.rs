//! Histories of a session alone.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use tidegate::current::Current;
use tidegate::message::{ApplicationMessage, Timestamp};
use tidegate::packet::{PacketIdentifier, QoS};
use tidegate::session::{
    Delivery, Dropped, Outgoing, Overflow, Queue, QueueLimits, QueueRoom, Received, Session, Shared,
};
use tidegate::topic::{TopicFilter, TopicName};

use super::client::Client;
use super::observer::{BYTES, Kind, MESSAGES, Observer};
use super::{OURS, ToClient, ToServer, times};

#[derive(Clone, Debug)]
enum Step {
    /// Another client publishes what this one has subscribed to.
    Publish { qos: QoS, size: usize, expires_in: Option<u64>, shared: bool },
    /// The server sends so many packets at most.
    Send(usize),
    /// The client reads so many packets at most.
    Receive(usize),
    /// The client answers one of those that it owes an answer, mostly the oldest.
    Answer { which: usize, refuse: bool },
    /// The client acknowledges what it likes.
    Stray(ToServer),
    /// The server reads so many packets at most, and refuses what is published or not.
    Read { count: usize, refuse: bool },
    /// The client publishes with QoS 2.
    ClientPublish,
    /// The connection breaks, with whatever was under way.
    Break,
    /// The client connects, or connects anew and takes the session over.
    Connect { receive_maximum: u16, maximum_size: usize },
    /// The session leaves a Shared Subscription.
    Leave,
    /// Seconds pass.
    Wait(u64),
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![1 => Just(QoS::AtMostOnce), 2 => Just(QoS::AtLeastOnce), 3 => Just(QoS::ExactlyOnce)]
}

fn stray() -> impl Strategy<Value = ToServer> {
    let id = 1..8_u16;
    prop_oneof![
        (id.clone(), any::<bool>()).prop_map(|(id, refused)| ToServer::Puback { id, refused }),
        (id.clone(), any::<bool>()).prop_map(|(id, refused)| ToServer::Pubrec { id, refused }),
        id.prop_map(ToServer::Pubcomp),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let count = || prop_oneof![3 => 1..3_usize, 1 => Just(usize::MAX)];
    let size = prop_oneof![4 => Just(10), 1 => 10..2000_usize];
    let expires_in = prop_oneof![4 => Just(None), 1 => (1..5_u64).prop_map(Some)];
    let publish = (qos(), size, expires_in, prop::bool::weighted(0.2))
        .prop_map(|(qos, size, expires_in, shared)| Step::Publish { qos, size, expires_in, shared });
    let receive_maximum = prop_oneof![1..4_u16, Just(100)];
    let maximum_size = prop_oneof![3 => Just(usize::MAX), 1 => 10..1000_usize];
    prop_oneof![
        12 => publish,
        8 => count().prop_map(Step::Send),
        8 => count().prop_map(Step::Receive),
        10 => (prop_oneof![4 => Just(0), 1 => 0..5_usize], prop::bool::weighted(0.1))
            .prop_map(|(which, refuse)| Step::Answer { which, refuse }),
        2 => stray().prop_map(Step::Stray),
        8 => (count(), prop::bool::weighted(0.1)).prop_map(|(count, refuse)| Step::Read { count, refuse }),
        5 => Just(Step::ClientPublish),
        2 => Just(Step::Break),
        4 => (receive_maximum, maximum_size)
            .prop_map(|(receive_maximum, maximum_size)| Step::Connect { receive_maximum, maximum_size }),
        1 => Just(Step::Leave),
        2 => (1..4_u64).prop_map(Step::Wait),
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![Just(Overflow::DropNewest), Just(Overflow::DropOldest)]
}

/// A message that others have published.
#[derive(Clone, Debug)]
struct Published {
    qos: QoS,
    message: Arc<ApplicationMessage>,
}

struct World {
    session: Session,
    published: Vec<Published>,
    client: Client,
    observer: Observer,
    to_client: VecDeque<ToClient>,
    to_server: VecDeque<ToServer>,
    now: Timestamp,
    connected: bool,
    maximum_size: usize,
    /// What the client has published and the server has routed, by number.
    routed: Vec<usize>,
    /// And what it has refused.
    refused: Vec<usize>,
    group: Arc<Shared>,
}

impl World {
    fn new(overflow: Overflow) -> World {
        let limits = QueueLimits { messages: MESSAGES, bytes: BYTES, overflow };
        let filter = TopicFilter::try_from("$share/g/t").unwrap();
        let mut session = Session::new(Arc::new(Current::new(limits)), 1);
        session.expiry_interval = 1000;
        World {
            session,
            published: Vec::new(),
            client: Client::default(),
            observer: Observer::new(overflow),
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            now: Timestamp(0),
            connected: false,
            maximum_size: usize::MAX,
            routed: Vec::new(),
            refused: Vec::new(),
            group: Arc::new(Shared { filter, original: None }),
        }
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Publish { qos, size, expires_in, shared } => self.publish(qos, size, expires_in, shared),
            Step::Send(count) if self.connected => self.send(count),
            Step::Receive(count) if self.connected => self.receive(count),
            Step::Answer { which, refuse } if self.connected => {
                self.to_server.extend(self.client.answer(which, refuse));
            }
            Step::Stray(packet) if self.connected => {
                self.client.has_lied(packet);
                self.to_server.push_back(packet);
            }
            Step::Read { count, refuse } if self.connected => self.read(count, refuse),
            Step::ClientPublish if self.connected => {
                self.to_server.extend(self.client.publish(QoS::ExactlyOnce, OURS))
            }
            Step::Break if self.connected => self.lose_connection(),
            Step::Connect { receive_maximum, maximum_size } => self.connect(receive_maximum, maximum_size),
            Step::Leave => self.leave(),
            Step::Wait(seconds) => self.now = Timestamp(self.now.0 + seconds * 1000),
            _ => {}
        }
        assert_eq!(self.session.queued(), self.observer.waiting());
        assert_eq!(self.session.in_flight(), self.observer.in_flight());
    }

    fn publish(&mut self, qos: QoS, size: usize, expires_in: Option<u64>, shared: bool) {
        if qos == QoS::AtMostOnce && !self.connected {
            return;
        }
        let number = self.published.len();
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(size.max(payload.len()), 0);
        let mut message = ApplicationMessage::new(TopicName::try_from("t").unwrap(), payload);
        message.qos = qos;
        message.expires_at = expires_in.map(|seconds| Timestamp(self.now.0 + seconds * 1000));
        let message = Arc::new(message);
        self.published.push(Published { qos, message: message.clone() });
        let mut delivery = Delivery::new(message, QoS::ExactlyOnce, false);
        delivery.shared = shared.then(|| self.group.clone());
        let cost = Queue::cost(&delivery.message);
        let kind = Kind { qos, cost, shared };
        match self.session.enqueue(delivery) {
            Ok(displaced) => self.observer.queued(number, kind, &numbers(&displaced)),
            Err(refused) => {
                assert_eq!(number_of(&refused), number);
                self.observer.refused(kind);
            }
        }
    }

    fn send(&mut self, count: usize) {
        for _ in 0..count {
            let (now, maximum_size) = (self.now, self.maximum_size);
            let had_outgoing = self.session.has_outgoing();
            let mut dropped = Vec::new();
            let outgoing = self.session.next_outgoing(
                now,
                |delivery, _| delivery.message.payload.len() <= maximum_size,
                |delivery, why| dropped.push((number_of(&delivery), why)),
            );
            let packet = outgoing.map(packet);
            assert!(packet.is_none() || had_outgoing);
            assert!(had_outgoing != (packet.is_none() && dropped.is_empty()));
            for (number, why) in dropped {
                self.check_dropped(number, why);
                self.observer.dropped(number);
            }
            let Some(packet) = packet else {
                self.observer.nothing_to_send();
                break;
            };
            self.check_fresh(packet);
            self.observer.sent(packet);
            self.to_client.push_back(packet);
        }
    }

    fn check_dropped(&self, number: usize, why: Dropped) {
        let message = &self.published[number].message;
        match why {
            // Once it was sent, its delivery is completed [MQTT-3.3.2-5].
            Dropped::Expired => assert!(message.is_expired(self.now) && !self.observer.is_in_flight(number)),
            Dropped::TooLarge => assert!(message.payload.len() > self.maximum_size),
            why => panic!("{why:?}"),
        }
    }

    fn check_fresh(&self, packet: ToClient) {
        if let ToClient::Publish { number, qos, dup, .. } = packet {
            let published = &self.published[number];
            assert_eq!(qos, published.qos);
            assert!(dup || !published.message.is_expired(self.now), "{number} has expired");
            assert!(published.message.payload.len() <= self.maximum_size);
        }
    }

    fn receive(&mut self, count: usize) {
        for _ in 0..count {
            let Some(packet) = self.to_client.pop_front() else { break };
            self.to_server.extend(self.client.receive(packet));
        }
    }

    fn read(&mut self, count: usize, refuse: bool) {
        for _ in 0..count {
            let Some(packet) = self.to_server.pop_front() else { break };
            match packet {
                ToServer::Puback { id, .. } => {
                    let done = self.session.puback(identifier(id));
                    self.observer.puback(id, &done);
                }
                ToServer::Pubrec { id, refused } => {
                    let done = self.session.pubrec(identifier(id), refused);
                    self.observer.pubrec(id, refused, &done);
                    if !refused {
                        // Also where it is not known, which it is then told.
                        self.to_client.push_back(ToClient::Pubrel(id));
                    }
                }
                ToServer::Pubcomp(id) => {
                    let done = self.session.pubcomp(identifier(id));
                    self.observer.pubcomp(id, &done);
                }
                ToServer::Publish { id, number, dup, .. } => self.read_publish(id, number, dup, refuse),
                ToServer::Pubrel(id) => {
                    self.session.inbound.release(identifier(id));
                    self.to_client.push_back(ToClient::Pubcomp(id));
                }
            }
        }
    }

    fn read_publish(&mut self, id: u16, number: usize, dup: bool, refuse: bool) {
        let received = self.session.inbound.receive(identifier(id), OURS);
        let mut refused = false;
        match received {
            Received::Fresh if refuse => {
                self.session.inbound.release(identifier(id));
                self.refused.push(number);
                refused = true;
            }
            Received::Fresh => {
                assert!(!self.routed.contains(&number), "{number} was routed twice");
                // Those of one client and QoS keep their order [MQTT-4.6.0-5], but where one comes again because
                // its refusal was lost.
                let in_order = self.routed.iter().all(|before| *before < number);
                assert!(in_order || self.refused.contains(&number), "{number} after {:?}", self.routed);
                self.routed.push(number);
            }
            Received::Duplicate => assert!(dup && self.routed.contains(&number)),
            Received::QuotaExceeded => panic!("the client has kept to the Receive Maximum"),
        }
        self.to_client.push_back(ToClient::Pubrec { id, refused });
    }

    fn lose_connection(&mut self) {
        self.disconnected();
        let dropped = self.session.detach();
        self.observer.lost(&numbers(&dropped));
    }

    fn connect(&mut self, receive_maximum: u16, maximum_size: usize) {
        if self.connected {
            self.disconnected();
            let dropped = self.session.hand_over();
            self.observer.lost(&numbers(&dropped));
        }
        self.connected = true;
        self.maximum_size = maximum_size;
        self.session.resume(receive_maximum);
        self.observer.connected(receive_maximum);
        self.to_server.extend(self.client.connected());
    }

    fn disconnected(&mut self) {
        self.connected = false;
        self.to_client.clear();
        self.to_server.clear();
        self.client.disconnected();
    }

    fn leave(&mut self) {
        let given_up = self.session.give_up_queued(|shared| shared.filter == self.group.filter);
        self.observer.left(&numbers(&given_up));
    }

    /// Nothing is lost any more, and the client does all it has to.
    fn come_to_rest(&mut self) {
        self.play(&Step::Connect { receive_maximum: 100, maximum_size: usize::MAX });
        for _ in 0..200 {
            self.play(&Step::Send(usize::MAX));
            self.play(&Step::Receive(usize::MAX));
            while let Some(answer) = self.client.answer(0, false) {
                self.to_server.push_back(answer);
            }
            self.play(&Step::Read { count: usize::MAX, refuse: false });
            if self.is_at_rest() {
                return;
            }
        }
        panic!("{:?} {:?} do not come to rest", self.to_client, self.to_server);
    }

    fn is_at_rest(&self) -> bool {
        self.to_client.is_empty() && self.to_server.is_empty() && !self.session.has_outgoing()
    }

    fn check_end(&self) {
        assert_eq!((self.session.queued(), self.session.in_flight()), (0, 0));
        let half = QueueRoom { messages: MESSAGES / 2, bytes: BYTES / 2, is_empty: true, is_half: true };
        assert_eq!(self.session.room(), half);
        assert!(!self.session.is_saturated() && !self.session.is_full());
        for (number, published) in self.published.iter().enumerate() {
            let times = self.client.times_received(number);
            // Who refuses a message forgets it, and takes it anew where the refusal was lost.
            if published.qos != QoS::AtLeastOnce && !self.client.refused(number) {
                assert!(times <= 1, "{number} was received {times} times");
            }
            let lied = self.observer.identifier(number).is_some_and(|id| self.client.lied_about(id));
            if self.observer.is_promised(number) && !lied {
                assert!(times >= 1, "{number} was lost");
            }
        }
        assert!(self.session.inbound.is_empty());
        let missing: Vec<_> = self.client.accepted().filter(|number| !self.routed.contains(number)).collect();
        assert_eq!(missing, [] as [usize; 0]);
    }
}

fn identifier(id: u16) -> PacketIdentifier {
    PacketIdentifier::new(id).unwrap()
}

fn number_of(delivery: &Delivery) -> usize {
    usize::from_be_bytes(delivery.message.payload[..8].try_into().unwrap())
}

fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(number_of).collect()
}

fn packet(outgoing: Outgoing<'_>) -> ToClient {
    match outgoing {
        Outgoing::AtMostOnce(delivery) => {
            ToClient::Publish { id: None, number: number_of(&delivery), qos: delivery.qos, dup: false }
        }
        Outgoing::Acknowledged { delivery, packet_identifier, dup } => {
            let id = Some(packet_identifier.get());
            ToClient::Publish { id, number: number_of(delivery), qos: delivery.qos, dup }
        }
        Outgoing::Pubrel(id) => ToClient::Pubrel(id.get()),
    }
}

proptest! {
    #![proptest_config(times(16))]

    /// [MQTT-4.4.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.3.3-7], [MQTT-4.3.3-10], [MQTT-3.3.1-1],
    /// [MQTT-3.3.4-9], [MQTT-2.2.1-4], [MQTT-4.6.0-5]
    #[test]
    fn what_was_promised_arrives_in_order_and_once_whatever_happens(
        overflow in overflow(),
        history in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(overflow);
        for step in &history {
            world.play(step);
        }
        world.come_to_rest();
        world.check_end();
    }
}
