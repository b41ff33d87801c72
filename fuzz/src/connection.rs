//! A broker, and clients that send what they like over streams in memory.
//!
//! What the broker sends has to be what its clients can decode and take; no connection may outlive its stream; and when
//! all is over, a client that does nothing wrong is served.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tidegate::broker::{Broker, Options, SharedStrategy};
use tidegate::cluster::standalone::Standalone;
use tidegate::connection::{Peer, serve};
use tidegate::hook::{ListenerPolicy, NoHooks};
use tidegate::packet::{
    Connect, DecodeError, Decoder, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode,
    Subscribe, SubscribeFilter, encode,
};
use tidegate::session::Overflow;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::choices::Choices;
use super::packets;

/// Clients at a time, and steps of a history.
const CLIENTS: usize = 3;
const MOST_STEPS: usize = 200;
/// Bytes that a stream takes before its writer waits.
const PIPE: usize = 1 << 20;
/// In tokio's paused time: until everybody waits for something.
const IDLE: Duration = Duration::from_millis(1);

pub fn run(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime needs nothing").block_on(play(Choices::of(input)));
}

async fn play(mut choices: Choices<'_>) {
    let broker = Broker::new(options(&mut choices), Arc::new(NoHooks), None, Arc::new(Standalone));
    let house = broker.clone();
    let house = tokio::spawn(async move { house.keep_house().await });
    let mut clients: [Option<Client>; CLIENTS] = Default::default();
    let mut gone = Vec::new();
    for _ in 0..MOST_STEPS {
        if choices.is_empty() {
            break;
        }
        let slot = &mut clients[choices.below(CLIENTS)];
        step(&broker, slot, &mut gone, &mut choices).await;
    }
    for client in clients.iter_mut().filter_map(Option::as_mut) {
        client.take().await;
    }
    gone.extend(clients.into_iter().flatten().map(Client::leave));
    for served in gone {
        let ended = timeout(Duration::from_secs(3600), served).await;
        ended.expect("a connection outlived its stream").expect("a connection panicked");
    }
    check_alive(&broker).await;
    assert!(!house.is_finished(), "nobody keeps house");
    house.abort();
}

/// Small limits, so that they are reached.
fn options(choices: &mut Choices<'_>) -> Options {
    let shape = choices.byte();
    let has = |bit: u8| shape & (1 << bit) != 0;
    Options {
        maximum_qos: if has(0) { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
        retain_available: !has(1),
        receive_maximum: 3,
        maximum_inflight: 2,
        maximum_queued_messages: 5,
        maximum_queued_bytes: 2000,
        overflow: if has(2) { Overflow::DropOldest } else { Overflow::DropNewest },
        maximum_subscriptions: 5,
        maximum_topic_levels: 8,
        maximum_retained_messages: 3,
        maximum_sessions: 5,
        maximum_packet_size: if has(3) { 128 } else { 4096 },
        shared_subscription_strategy: if has(4) {
            SharedStrategy::LeastInFlight
        } else {
            SharedStrategy::Random
        },
        ..Options::default()
    }
}

async fn step(
    broker: &Arc<Broker>,
    slot: &mut Option<Client>,
    gone: &mut Vec<JoinHandle<()>>,
    choices: &mut Choices<'_>,
) {
    match choices.below(8) {
        0 => gone.extend(slot.take().map(Client::leave)),
        1 => {
            sleep(Duration::from_millis(choices.one_of(&[10, 600, 2_000, 20_000, 120_000]))).await;
        }
        2 => {
            if let Some(client) = slot {
                client.take().await;
            }
        }
        3 => {
            let client = slot.get_or_insert_with(|| Client::open(broker));
            client.send(choices.bytes()).await;
        }
        4 => {
            let client = slot.get_or_insert_with(|| Client::open(broker));
            let version = choices.one_of(&[ProtocolVersion::V5, ProtocolVersion::V311]);
            let connect = packets::connect(choices, version);
            client.send_packet(&Packet::Connect(Box::new(connect)), version).await;
        }
        _ => {
            let Some(client) = slot else { return };
            let version = client.sent.version().unwrap_or(ProtocolVersion::V5);
            if let Some(packet) = packets::any(choices, version) {
                client.send_packet(&packet, version).await;
            }
        }
    }
}

struct Client {
    stream: DuplexStream,
    served: JoinHandle<()>,
    /// What the broker makes of the bytes that were sent.
    sent: Decoder,
    sending: BytesMut,
    /// Whether it can have been let in, and with what Maximum Packet Size.
    connect: Option<Connect>,
    /// The version that a refusal is encoded in.
    answer: Option<ProtocolVersion>,
    received: Option<Decoder>,
    receiving: BytesMut,
    /// What the broker owes, in the order in which it was asked.
    owed: VecDeque<Answer>,
    /// Topic aliases that the broker has set.
    aliases: BTreeSet<u16>,
    closed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Connack,
    Puback(PacketIdentifier),
    Pubrec(PacketIdentifier),
    Pubcomp(PacketIdentifier),
    /// With so many Reason Codes.
    Suback(PacketIdentifier, usize),
    Unsuback(PacketIdentifier, usize),
    Pingresp,
}

impl Client {
    fn open(broker: &Arc<Broker>) -> Client {
        let (stream, theirs) = duplex(PIPE);
        let policy = ListenerPolicy::open("fuzz");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let peer = Peer::new(Some(address.into()), Arc::new(policy));
        let served = serve(theirs, peer, broker.clone());
        Client {
            stream,
            served: tokio::spawn(
                async move { assert!(served.await.is_none(), "it was sent to another thread") },
            ),
            sent: Decoder::server(u32::MAX),
            sending: BytesMut::new(),
            connect: None,
            answer: None,
            received: None,
            receiving: BytesMut::new(),
            owed: VecDeque::new(),
            aliases: BTreeSet::new(),
            closed: false,
        }
    }

    fn leave(self) -> JoinHandle<()> {
        self.served
    }

    async fn send_packet(&mut self, packet: &Packet, version: ProtocolVersion) {
        let mut bytes = BytesMut::new();
        // Not every packet can be encoded: some choices are too long.
        if encode(packet, version, &mut bytes).is_ok() {
            self.send(&bytes).await;
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.sending.extend_from_slice(bytes);
        while self.answer.is_none() {
            match self.sent.decode(&mut self.sending) {
                Ok(None) => break,
                Ok(Some(packet)) => self.asked(packet),
                Err(DecodeError::UnsupportedProtocolVersion { answer, .. }) => self.answer = Some(answer),
                // What follows has no meaning.
                Err(_) => self.answer = Some(self.sent.version().unwrap_or(ProtocolVersion::V311)),
            }
        }
        // Whoever does not take what it is sent is not read from for ever.
        let _ = timeout(IDLE, self.stream.write_all(bytes)).await;
    }

    fn asked(&mut self, packet: Packet) {
        self.owed.extend(match packet {
            Packet::Connect(connect) if self.connect.is_none() => {
                self.connect = Some(*connect);
                Some(Answer::Connack)
            }
            Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_identifier, .. }) => {
                packet_identifier.map(Answer::Puback)
            }
            Packet::Publish(publish) => publish.packet_identifier.map(Answer::Pubrec),
            Packet::Pubrel(ack) => Some(Answer::Pubcomp(ack.packet_identifier)),
            Packet::Subscribe(subscribe) => {
                Some(Answer::Suback(subscribe.packet_identifier, subscribe.subscriptions.len()))
            }
            Packet::Unsubscribe(unsubscribe) => {
                // MQTT 3.1.1 has no Reason Codes here.
                let v5 = self.sent.version() == Some(ProtocolVersion::V5);
                let count = if v5 { unsubscribe.filters.len() } else { 0 };
                Some(Answer::Unsuback(unsubscribe.packet_identifier, count))
            }
            Packet::Pingreq => Some(Answer::Pingresp),
            _ => None,
        });
    }

    /// Takes what has come; it has to be what such a client can take, and all that it waits for.
    async fn take(&mut self) {
        loop {
            match timeout(IDLE, self.stream.read_buf(&mut self.receiving)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => {
                    self.closed = true;
                    break;
                }
                Err(_) => break,
            }
        }
        self.look_at_packets();
        let owes_nothing = self.owed.is_empty() || self.connect.is_none();
        assert!(self.closed || owes_nothing, "no answer: {:?}", self.owed);
    }

    fn look_at_packets(&mut self) {
        if self.receiving.is_empty() {
            return;
        }
        let decoder = self.received.get_or_insert_with(|| {
            let connect = self.connect.as_ref();
            let version = connect.map(|connect| connect.protocol_version).or(self.answer);
            let maximum = connect.and_then(|connect| connect.maximum_packet_size).unwrap_or(u32::MAX);
            Decoder::client(version.expect("nothing is sent before CONNECT"), maximum)
        });
        while let Some(packet) = decoder.decode(&mut self.receiving).expect("the broker sent it") {
            check(&packet, self.connect.as_ref(), &mut self.aliases);
            if let Some(answer) = answer(&packet) {
                assert_eq!(self.owed.pop_front(), Some(answer));
            }
        }
    }
}

fn answer(packet: &Packet) -> Option<Answer> {
    Some(match packet {
        Packet::Connack(connack) if connack.reason_code == ReasonCode::SUCCESS => Answer::Connack,
        Packet::Puback(ack) => Answer::Puback(ack.packet_identifier),
        Packet::Pubrec(ack) => Answer::Pubrec(ack.packet_identifier),
        Packet::Pubcomp(ack) => Answer::Pubcomp(ack.packet_identifier),
        Packet::Suback(suback) => Answer::Suback(suback.packet_identifier, suback.reason_codes.len()),
        Packet::Unsuback(unsuback) => {
            Answer::Unsuback(unsuback.packet_identifier, unsuback.reason_codes.len())
        }
        Packet::Pingresp => Answer::Pingresp,
        _ => return None,
    })
}

fn check(packet: &Packet, connect: Option<&Connect>, aliases: &mut BTreeSet<u16>) {
    match packet {
        Packet::Connack(connack) => assert!(connect.is_some() || connack.reason_code.is_error()),
        Packet::Publish(publish) => {
            let connect = connect.expect("nobody was let in");
            if let Some(alias) = publish.topic_alias {
                assert!(alias.get() <= connect.topic_alias_maximum);
                assert!(!publish.topic.is_empty() || aliases.contains(&alias.get()));
                aliases.insert(alias.get());
            }
            assert!(publish.payload.len() <= 4096);
        }
        _ => assert!(connect.is_some()),
    }
}

/// Another client is let in, and gets what it publishes.
async fn check_alive(broker: &Arc<Broker>) {
    // Sessions that were only just left have their places still.
    sleep(Duration::from_secs(1)).await;
    for name in ["a", "b", "c"] {
        broker.delete_session(name);
    }
    for status in broker.clients() {
        broker.delete_session(&status.client_identifier);
    }
    let mut witness = Client::open(broker);
    let version = ProtocolVersion::V5;
    let connect = Connect::new(version, ByteString::from_static("witness"));
    let packet_identifier = PacketIdentifier::FIRST;
    let topic = ByteString::from_static("witness/topic");
    let subscribe = Subscribe {
        packet_identifier,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![SubscribeFilter::new(topic.clone(), QoS::AtMostOnce)],
    };
    let publish = Publish {
        qos: QoS::AtLeastOnce,
        packet_identifier: Some(packet_identifier),
        ..Publish::new(topic, Bytes::from_static(b"x"))
    };
    witness.send_packet(&Packet::Connect(Box::new(connect)), version).await;
    witness.send_packet(&Packet::Subscribe(Box::new(subscribe)), version).await;
    witness.send_packet(&Packet::Publish(publish), version).await;
    sleep(Duration::from_secs(1)).await;
    let mut decoder = Decoder::client(version, u32::MAX);
    let mut expected = ["CONNACK", "SUBACK", "PUBACK", "PUBLISH"].to_vec();
    while !expected.is_empty() {
        let packet = loop {
            match decoder.decode(&mut witness.receiving).expect("the broker sent it") {
                Some(packet) => break packet,
                None => {
                    let read =
                        timeout(Duration::from_secs(10), witness.stream.read_buf(&mut witness.receiving));
                    assert!(matches!(read.await, Ok(Ok(1..))), "the witness waits for {expected:?}");
                }
            }
        };
        let name = match &packet {
            Packet::Connack(connack) if connack.reason_code == ReasonCode::SUCCESS => "CONNACK",
            Packet::Suback(_) => "SUBACK",
            Packet::Puback(_) => "PUBACK",
            Packet::Publish(_) => "PUBLISH",
            other => panic!("{other:?}"),
        };
        expected.retain(|wanted| *wanted != name);
    }
}
