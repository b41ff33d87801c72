//! Histories of a client with a broker, over streams in memory.
//!
//! Another client publishes what this one has subscribed to, and a third has subscribed to what this one publishes.
//! What was sent and not read when a connection ends is lost, in both directions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use tidegate::broker::Options;
use tidegate::message::Timestamp;
use tidegate::packet::{
    Ack, Connect, Packet, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, encode,
};

use super::client::Client as Model;
use super::steps::{How, Saying, Step, step};
use super::{OURS, ToClient, ToServer, times, to_packet};
use crate::support::client::to;
use crate::support::*;

/// Messages that the broker has in flight towards any client.
const WINDOW: u16 = 3;
/// Milliseconds within which nothing is said about what ends at a time.
const ABOUT: u64 = 200;

/// A message of another client.
struct Published {
    qos: QoS,
    expires_at: Option<Timestamp>,
    /// Of the sessions one after the other, the one that it was for.
    session: u32,
    /// Whether the broker has taken it for this client.
    taken: bool,
}

/// What the client can tell of the session that the broker keeps.
struct Kept {
    expiry: u32,
    /// Since when without a connection.
    since: Option<Timestamp>,
}

struct Connected {
    stream: Client,
    version: ProtocolVersion,
    /// Has come, and the client has not looked at it.
    inbox: VecDeque<ToClient>,
    receive_maximum: usize,
    /// Messages that had been published before.
    began_with: usize,
    /// The numbers that came last, with QoS 0 and otherwise.
    last: [Option<usize>; 2],
    /// Identifiers that have come and are not free again.
    in_flight: BTreeSet<u16>,
}

struct World {
    local: Local,
    sender: Client,
    listener: Client,
    model: Model,
    connected: Option<Connected>,
    kept: Option<Kept>,
    /// How many sessions there were before.
    session: u32,
    published: Vec<Published>,
    /// Ready to be sent.
    outbox: VecDeque<ToServer>,
    /// With which identifiers messages came, of this session.
    identifiers: BTreeMap<usize, u16>,
    /// Identifiers that the broker was told are free, of this session.
    free: BTreeSet<u16>,
    /// What the listener got, by QoS.
    heard: [Vec<usize>; 3],
}

impl World {
    async fn new() -> World {
        let options = Options { receive_maximum: OURS, maximum_inflight: WINDOW, ..Options::default() };
        let local = Local::with(options);
        let sender = local.connect(connect(V5, "sender")).await;
        let mut listener = local.connect(connect(V5, "listener")).await;
        listener.subscribe("own/#", QOS2).await;
        World {
            local,
            sender,
            listener,
            model: Model::default(),
            connected: None,
            kept: None,
            session: 0,
            published: Vec::new(),
            outbox: VecDeque::new(),
            identifiers: BTreeMap::new(),
            free: BTreeSet::new(),
            heard: Default::default(),
        }
    }

    async fn play(&mut self, step: &Step) {
        match *step {
            Step::Publish { qos, expires_in } => self.publish(qos, expires_in).await,
            Step::Receive(count) => self.receive(count).await,
            Step::Connect { version, clean_start, receive_maximum, expiry } => {
                self.connect(version, clean_start, receive_maximum, expiry).await;
            }
            Step::Wait(halves) => self.wait(halves).await,
            _ if self.connected.is_none() => {}
            Step::Answer { which, refuse } => {
                let can_refuse = self.connected.as_ref().is_some_and(|connected| connected.version == V5);
                self.outbox.extend(self.model.answer(which, refuse && can_refuse));
            }
            Step::Stray { which, saying } => self.stray(which, saying),
            Step::ClientPublish(qos) => self.outbox.extend(self.model.publish(qos, OURS)),
            Step::Resend(which) => self.outbox.extend(self.model.resend(which)),
            Step::Transmit(count) => self.transmit(count).await,
            Step::End(how) => self.end(how).await,
        }
    }

    async fn publish(&mut self, qos: QoS, expires_in: Option<u32>) {
        let number = self.published.len();
        let properties = expires_in.map(|seconds| {
            Box::new(PublishProperties { message_expiry_interval: Some(seconds), ..Default::default() })
        });
        let expires_at = expires_in.map(|seconds| self.now().after_secs(seconds));
        let packet = Publish { qos, properties, ..publish("t", &number.to_string()) };
        let answer = self.sender.publish_packet(packet).await.reason_code;
        let taken = qos > QOS0 && answer == ReasonCode::SUCCESS;
        if qos > QOS0 {
            let is_there = self.is_kept();
            assert!(is_there.is_none_or(|is_there| is_there == taken), "{answer} for {number}");
        }
        self.published.push(Published { qos, expires_at, session: self.session, taken });
    }

    /// Whether the broker still has the session; None where its time is just about over.
    fn is_kept(&self) -> Option<bool> {
        let Some(kept) = &self.kept else { return Some(false) };
        let Some(since) = kept.since else { return Some(true) };
        let ends = since.after_secs(kept.expiry).0;
        let now = self.now().0;
        (now.abs_diff(ends) > ABOUT || kept.expiry == 0).then_some(now < ends)
    }

    fn now(&self) -> Timestamp {
        self.local.broker.now()
    }

    /// Takes what has come into the inbox, and looks at so much of it.
    async fn receive(&mut self, count: usize) {
        self.fetch().await;
        for _ in 0..count {
            let Some(connected) = &mut self.connected else { break };
            let Some(packet) = connected.inbox.pop_front() else { break };
            self.outbox.extend(self.model.receive(packet));
        }
    }

    /// Waits until the broker has acted on all that was transmitted, and takes what it has sent.
    async fn fetch(&mut self) {
        let Some(mut connected) = self.connected.take() else { return };
        // What was ready before the first answer stands before the second.
        for _ in 0..2 {
            connected.stream.send(Packet::Pingreq).await;
            loop {
                match connected.stream.receive().await {
                    Packet::Pingresp => break,
                    packet => self.arrived(&mut connected, packet),
                }
            }
        }
        self.connected = Some(connected);
    }

    fn arrived(&mut self, connected: &mut Connected, packet: Packet) {
        let packet = match packet {
            Packet::Publish(publish) => self.publish_arrived(connected, &publish),
            Packet::Pubrel(ack) => {
                let id = ack.packet_identifier.get();
                // MQTT 3.1.1 cannot say that it answers what is not known.
                if ack.reason_code == ReasonCode::SUCCESS && !self.model.lied_about(id) {
                    assert!(!self.free.contains(&id), "PUBREL after PUBCOMP");
                    connected.in_flight.insert(id);
                }
                ToClient::Pubrel(id)
            }
            Packet::Puback(ack) => ToClient::Puback(ack.packet_identifier.get()),
            Packet::Pubrec(ack) => {
                ToClient::Pubrec { id: ack.packet_identifier.get(), refused: ack.reason_code.is_error() }
            }
            Packet::Pubcomp(ack) => ToClient::Pubcomp(ack.packet_identifier.get()),
            other => panic!("{other:?}"),
        };
        // [MQTT-3.3.4-9]
        assert!(connected.in_flight.len() <= connected.receive_maximum, "{:?}", connected.in_flight);
        connected.inbox.push_back(packet);
    }

    fn publish_arrived(&mut self, connected: &mut Connected, publish: &Publish) -> ToClient {
        let number: usize = text(publish).parse().unwrap();
        let (published, dup) = (&self.published[number], publish.dup);
        assert_eq!((publish.qos, published.session), (published.qos, self.session));
        let last = &mut connected.last[usize::from(publish.qos > QOS0)];
        assert!(*last < Some(number), "{number} after {last:?}");
        *last = Some(number);
        if let Some(at) = published.expires_at.filter(|_| !dup) {
            // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
            let left = publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
            let expected = self.local.broker.now().until(at).as_millis().div_ceil(1000);
            assert!(expected > 0, "{number} had expired");
            assert!(connected.version == V311 || left.map(u128::from) == Some(expected), "{left:?}");
        }
        let id = publish.packet_identifier.map(|id| id.get());
        if let Some(id) = id {
            // What was sent before comes with the identifier that it had [MQTT-4.4.0-1], what was not with one
            // that is not in use [MQTT-2.2.1-4].
            let former = self.identifiers.insert(number, id);
            assert!(former.is_none_or(|former| former == id && dup), "{number}: {former:?}, now {id}");
            assert!(!self.free.contains(&id), "{number} came after it was acknowledged");
            assert!(!dup || number < connected.began_with, "{number} cannot have been sent before");
            let lied = self.model.lied_about(id);
            assert!(lied || connected.in_flight.insert(id), "{id} is in use");
        }
        ToClient::Publish { id, number, qos: publish.qos, dup }
    }

    fn stray(&mut self, which: usize, saying: Saying) {
        let Some(connected) = &self.connected else { return };
        let id = self.identifiers.values().nth_back(which).copied().unwrap_or(60_000);
        let packet = match saying {
            Saying::Puback => ToServer::Puback { id, refused: false },
            Saying::Pubrec => ToServer::Pubrec { id, refused: false },
            Saying::Refusal => ToServer::Pubrec { id, refused: connected.version == V5 },
            Saying::Pubcomp => ToServer::Pubcomp(id),
        };
        self.model.has_lied(packet);
        self.free.remove(&id);
        self.outbox.push_back(packet);
    }

    async fn transmit(&mut self, count: usize) {
        for _ in 0..count {
            let (Some(connected), Some(packet)) = (&mut self.connected, self.outbox.pop_front()) else {
                break;
            };
            connected.stream.send(to_packet(packet)).await;
            match packet {
                ToServer::Puback { id, .. }
                | ToServer::Pubcomp(id)
                | ToServer::Pubrec { id, refused: true } => {
                    connected.in_flight.remove(&id);
                    // What the broker makes of what is not so cannot be known here.
                    self.free.extend((!self.model.lied_about(id)).then_some(id));
                }
                _ => {}
            }
        }
        self.fetch().await;
    }

    async fn end(&mut self, how: How) {
        let Some(mut connected) = self.connected.take() else { return };
        match how {
            How::Cut(bytes) => {
                let next = self.outbox.pop_front().unwrap_or(ToServer::Pubcomp(60_000));
                let mut packet = BytesMut::new();
                encode(&to_packet(next), connected.version, &mut packet).unwrap();
                let part = bytes.min(packet.len() - 1);
                connected.stream.send_bytes(&packet[..part]).await;
            }
            How::Disconnect => {
                connected.stream.send(Packet::Disconnect(Box::default())).await;
                connected.stream.last_packet().await;
            }
            How::Kicked => {
                assert!(self.local.broker.disconnect("subject", ReasonCode::ADMINISTRATIVE_ACTION));
                connected.stream.last_packet().await;
            }
        }
        drop(connected);
        self.lose_what_was_under_way();
        let broker = self.local.broker.clone();
        until(|| broker.client("subject").is_none_or(|status| status.client.is_none())).await;
        let now = self.now();
        if let Some(kept) = &mut self.kept {
            kept.since = Some(now);
        }
    }

    fn lose_what_was_under_way(&mut self) {
        self.outbox.clear();
        self.model.disconnected();
    }

    async fn connect(
        &mut self,
        version: ProtocolVersion,
        clean_start: bool,
        receive_maximum: u16,
        expiry: u32,
    ) {
        let before = self.connected.take();
        self.lose_what_was_under_way();
        let asks = Connect {
            clean_start,
            session_expiry_interval: (version == V5).then_some(expiry),
            receive_maximum: NonZeroU16::new(receive_maximum).filter(|_| version == V5),
            ..connect(version, "subject")
        };
        let expected = self.kept.as_ref().is_some_and(|kept| kept.expiry > 0) && !clean_start;
        let expected = if expected { self.is_kept() } else { Some(false) };
        let (stream, connack) = self.local.try_connect(asks).await;
        assert!(expected.is_none_or(|expected| expected == connack.session_present), "{connack:?}");
        if let Some(mut before) = before {
            before.stream.last_packet().await;
        }
        let expiry = match (version, clean_start) {
            (V311, true) => 0,
            (V311, false) => u32::MAX / 2,
            _ => expiry,
        };
        self.kept = Some(Kept { expiry, since: None });
        let most = if version == V5 { receive_maximum.min(WINDOW) } else { WINDOW };
        self.connected = Some(Connected {
            stream,
            version,
            inbox: VecDeque::new(),
            receive_maximum: most.into(),
            began_with: self.published.len(),
            last: [None; 2],
            in_flight: BTreeSet::new(),
        });
        if !connack.session_present {
            self.start_anew().await;
        }
        self.outbox.extend(self.model.connected());
    }

    async fn start_anew(&mut self) {
        self.session += 1;
        self.model.starts_anew();
        self.identifiers.clear();
        self.free.clear();
        let Some(connected) = &mut self.connected else { return };
        let suback = connected.stream.subscribe_to(vec![to("t", QOS2)]).await;
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_2]);
    }

    async fn wait(&mut self, halves: u32) {
        self.fetch().await;
        tokio::time::sleep(Duration::from_millis(500) * halves).await;
    }

    /// Takes all that the listener has been sent, and answers it.
    async fn listen(&mut self) {
        let mut silent = 0;
        while silent < 2 {
            self.listener.send(Packet::Pingreq).await;
            silent += 1;
            loop {
                match self.listener.receive().await {
                    Packet::Pingresp => break,
                    Packet::Publish(publish) => {
                        self.heard[publish.qos as usize].push(text(&publish).parse().unwrap());
                        let Some(id) = publish.packet_identifier else { continue };
                        let ack = Ack::new(id, ReasonCode::SUCCESS);
                        let qos1 = publish.qos == QOS1;
                        let answer = if qos1 { Packet::Puback(ack) } else { Packet::Pubrec(ack) };
                        self.listener.send(answer).await;
                    }
                    Packet::Pubrel(ack) => self.listener.send(Packet::Pubcomp(ack)).await,
                    other => panic!("{other:?}"),
                }
                silent = 0;
            }
        }
    }

    /// Nothing is lost any more, and the client does all it has to.
    async fn come_to_rest(&mut self) {
        self.connect(V5, false, 100, 1000).await;
        for _ in 0..200 {
            self.receive(usize::MAX).await;
            while let Some(answer) = self.model.answer(0, false) {
                self.outbox.push_back(answer);
            }
            self.transmit(usize::MAX).await;
            let has_more = self.connected.as_ref().is_some_and(|connected| !connected.inbox.is_empty());
            if !has_more && self.model.is_done() {
                self.listen().await;
                return;
            }
        }
        panic!("{:?} does not come to rest", self.model);
    }

    fn check_end(&self) {
        let status = self.local.broker.client("subject").unwrap();
        assert_eq!((status.queued, status.in_flight), (0, 0));
        for (number, published) in self.published.iter().enumerate() {
            let times = self.model.times_received(number);
            // Who refuses a message forgets it, and takes it anew where the refusal was lost.
            if published.qos != QOS1 && !self.model.refused(number) {
                assert!(times <= 1, "{number} was received {times} times");
            }
            let lied = self.identifiers.get(&number).is_some_and(|id| self.model.lied_about(*id));
            let may_be_gone = published.expires_at.is_some_and(|at| at.0 < self.now().0 + ABOUT);
            if published.taken && published.session == self.session && !lied && !may_be_gone {
                assert!(times >= 1, "{number} was lost");
            }
        }
        let [none, once_or_more, once] = &self.heard;
        assert!(none.is_empty());
        assert!(once.is_sorted_by(|a, b| a < b), "{once:?}");
        let mut first = BTreeSet::new();
        let firsts: Vec<_> = once_or_more.iter().filter(|number| first.insert(**number)).collect();
        assert!(firsts.is_sorted(), "{once_or_more:?}");
        for number in self.model.accepted() {
            assert!(once.contains(&number) || once_or_more.contains(&number), "{number} was not routed");
        }
        assert_eq!(self.local.broker.statistics().dropped_queue_full, 0);
    }
}

async fn check(history: Vec<Step>) {
    let mut world = World::new().await;
    for step in &history {
        world.play(step).await;
    }
    world.come_to_rest().await;
    world.check_end();
}

proptest! {
    #![proptest_config(times(1))]

    /// [MQTT-4.4.0-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.3.3-7], [MQTT-4.3.3-10], [MQTT-3.3.1-1],
    /// [MQTT-3.3.4-9], [MQTT-2.2.1-4], [MQTT-4.6.0-5], [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.4-3],
    /// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    #[test]
    fn what_was_promised_arrives_in_order_and_once_over_any_connections(
        history in prop::collection::vec(step(), 1..100),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(check(history));
    }
}
