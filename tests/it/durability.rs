//! What is acknowledged is kept: sessions, what waits for them, Wills and retained messages outlive the broker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::broker::Options;
use tidegate::message::Timestamp;
use tidegate::packet::{
    Ack, Disconnect, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Unsubscribe, Will, encode,
};
use tidegate::server::{ListenerOptions, Server};
use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::{
    Change, Committer, Durability, Op, OpenedStorage, Storage, StorageError, StorageFault,
};

use tokio::time::timeout;

use crate::support::client::id;
use crate::support::*;

/// A storage that fails or hesitates where a test wants it to.
#[derive(Default)]
pub struct Obedient {
    kept: MemoryStorage,
    pub is_full: AtomicBool,
    /// How many deliveries there is room for; 0: for all.
    room: AtomicUsize,
    /// Whether nothing is to be committed now.
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Storage for Obedient {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        let closed = self.is_closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |is_closed| *is_closed).unwrap());
        if self.is_full.load(Ordering::Relaxed) || !self.has_room_for(changes) {
            return Err(StorageError::new("commit", "the disk is full").with_fault(StorageFault::Full));
        }
        self.kept.commit(changes)
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        self.kept.load(each)
    }
}

impl Obedient {
    fn has_room_for(&self, changes: &[Change]) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        let put = changes.iter().filter(|change| matches!(change, Change::PutDelivery(_))).count();
        let deleted = changes.iter().map(|change| match change {
            Change::DeleteDeliveries(numbers) => numbers.clone().count(),
            _ => 0,
        });
        room == 0 || self.counts().1 + put <= room + deleted.sum::<usize>()
    }

    pub fn close(&self) {
        *self.is_closed.lock().unwrap() = true;
    }

    pub fn open(&self) {
        *self.is_closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    pub fn held(&self) -> Vec<Change> {
        let mut all = Vec::new();
        self.kept.load(&mut |change| all.push(change)).unwrap();
        all
    }

    fn counts(&self) -> (usize, usize) {
        let held = self.held();
        let count = |is: fn(&Change) -> bool| held.iter().filter(|change| is(change)).count();
        let messages = count(|change| matches!(change, Change::PutMessage { .. }));
        (messages, count(|change| matches!(change, Change::PutDelivery(_))))
    }
}

pub async fn start_on(storage: &Arc<Obedient>) -> Server {
    start_with(storage, Durability::Always).await
}

async fn start_with(storage: &Arc<Obedient>, durability: Durability) -> Server {
    start_as(storage, durability, Options::default()).await
}

pub async fn start_as(storage: &Arc<Obedient>, durability: Durability, options: Options) -> Server {
    let opened = OpenedStorage::new(storage.clone(), durability).unwrap();
    let builder = Server::builder().storage(opened).options(options);
    builder.listener(ListenerOptions::loopback(0)).start().await.unwrap()
}

/// A client that subscribed "t" and has gone.
async fn subscribed(server: &Server, version: ProtocolVersion, name: &str, qos: QoS) {
    let mut away = Client::connect(server, persistent(version, name)).await;
    away.subscribe("t", qos).await;
    away.disconnect().await;
}

pub async fn subscribed_to(server: &Server, name: &str, filter: &str) {
    let mut away = Client::connect(server, persistent(V5, name)).await;
    away.subscribe(filter, QOS1).await;
    away.disconnect().await;
}

#[tokio::test]
async fn what_waits_for_a_session_outlives_the_broker_in_its_order() {
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    for version in VERSIONS {
        subscribed(&server, version, &format!("away-{version:?}"), QOS2).await;
    }
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (n, qos) in [QOS1, QOS2, QOS1, QOS0].into_iter().enumerate() {
        sender.publish("t", &n.to_string(), qos).await;
    }
    sender.disconnect().await;
    server.shutdown().await;
    assert_eq!(storage.counts().1, 6, "QoS 0 is not kept");
    let server = start_on(&storage).await;
    for version in VERSIONS {
        let name = format!("away-{version:?}");
        let (mut back, connack) = Client::try_connect(&server, persistent(version, &name)).await;
        assert!(connack.session_present);
        assert_eq!(back.payloads(3).await, ["0", "1", "2"]);
        back.assert_silent().await;
        // What it acknowledged is forgotten.
        back.disconnect().await;
    }
    server.shutdown().await;
    assert_eq!(storage.counts(), (0, 0));
}

#[tokio::test]
async fn an_answer_waits_until_what_it_stands_for_is_kept_and_nothing_else_does() {
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed(&server, V5, "away", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    other.subscribe("u", QOS1).await;
    storage.close();
    let packet = Publish { qos: QOS1, packet_identifier: Some(id(1)), ..publish("t", "x") };
    sender.send(Packet::Publish(packet)).await;
    // Clean sessions and QoS 0 do not touch the storage.
    assert_eq!(other.publish("u", "y", QOS1).await, ReasonCode::SUCCESS);
    assert_eq!(other.payloads(1).await, ["y"]);
    assert!(timeout(Duration::ZERO, sender.receive()).await.is_err(), "it was answered before it was kept");
    storage.open();
    let Packet::Puback(ack) = sender.receive().await else { panic!("no PUBACK") };
    assert_eq!(ack.reason_code, ReasonCode::SUCCESS);
    assert_eq!(storage.counts(), (1, 1));
}

#[tokio::test]
async fn answers_to_more_than_a_turn_takes_wait_too() {
    // A connection that gives others their turn forgot what it had promised before.
    const MANY: u16 = 2000;
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed(&server, V5, "away", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    storage.close();
    let mut bytes = BytesMut::new();
    for n in 1..=2 * MANY {
        // The second half stands for nothing that is kept.
        let topic = if n <= MANY { "t" } else { "nobody's" };
        let packet = Publish { qos: QOS1, packet_identifier: Some(id(n)), ..publish(topic, "x") };
        encode(&Packet::Publish(packet), V5, &mut bytes).unwrap();
    }
    sender.send_bytes(&bytes).await;
    until(|| server.statistics().publishes_received == 2 * u64::from(MANY)).await;
    other.ping().await;
    assert!(timeout(Duration::ZERO, sender.receive()).await.is_err(), "it was answered before it was kept");
    storage.open();
    for n in 1..=2 * MANY {
        let Packet::Puback(ack) = sender.receive().await else { panic!("no PUBACK") };
        assert_eq!(ack.packet_identifier, id(n));
    }
}

#[tokio::test]
async fn a_session_that_is_resumed_sends_nothing_of_qos_2_again_before_the_first_sending_is_kept() {
    // [MQTT-4.3.3-1]. It was sent at once with DUP, though the storage did not know the identifier yet: after a crash it
    // came with another one, and twice.
    let storage = Arc::new(Obedient::default());
    let opened = OpenedStorage::new(storage.clone(), Durability::Always).unwrap();
    let builder = Server::builder().workers(1).storage(opened);
    let server = builder.listener(ListenerOptions::loopback(0)).start().await.unwrap();
    subscribed(&server, V5, "receiver", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "x", QOS2).await;
    storage.close();
    for _ in 0..2 {
        let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
        receiver.send(Packet::Pingreq).await;
        let mut other = Client::connect(&server, connect(V5, "other")).await;
        other.assert_silent().await;
        assert!(timeout(Duration::ZERO, receiver.receive()).await.is_err(), "it was sent before it was kept");
    }
    storage.open();
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    let again = receiver.next_publish().await;
    assert!(again.dup);
    let id = again.packet_identifier.unwrap();
    storage.close();
    receiver.send(Packet::Pubrec(Ack::new(id, ReasonCode::SUCCESS))).await;
    for _ in 0..2 {
        let mut other = Client::connect(&server, connect(V5, "other")).await;
        other.assert_silent().await;
        assert!(
            timeout(Duration::ZERO, receiver.receive()).await.is_err(),
            "PUBREL was sent before that was kept"
        );
        receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    }
    storage.open();
    let released = receiver.receive().await;
    assert!(matches!(released, Packet::Pubrel(_)), "{released:?}");
}

#[tokio::test]
async fn what_is_asked_for_again_is_answered_once_the_first_asking_is_kept() {
    // [MQTT-4.3.3-1], [MQTT-3.10.4-4]. Asked a second time, PUBREL and UNSUBSCRIBE had nothing left to do, and were answered
    // at once: after a crash the broker took the identifier's next message for a duplicate, and it was lost.
    let storage = Arc::new(Obedient::default());
    let opened = OpenedStorage::new(storage.clone(), Durability::Always).unwrap();
    let builder = Server::builder().workers(1).storage(opened);
    let server = builder.listener(ListenerOptions::loopback(0)).start().await.unwrap();
    subscribed(&server, V5, "client", QOS2).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    let mut client = Client::connect(&server, persistent(V5, "client")).await;
    let packet = Publish { qos: QOS2, packet_identifier: Some(id(9)), ..publish("nobody", "x") };
    client.send(Packet::Publish(packet)).await;
    assert!(!client.pubrec().await.reason_code.is_error());
    let filters = vec!["t".into()];
    let unsubscribe = Unsubscribe { packet_identifier: id(3), user_properties: Vec::new(), filters };
    let asked =
        [Packet::Pubrel(Ack::new(id(9), ReasonCode::SUCCESS)), Packet::Unsubscribe(Box::new(unsubscribe))];
    for packet in asked {
        storage.close();
        for _ in 0..2 {
            client = Client::connect(&server, persistent(V5, "client")).await;
            client.send(packet.clone()).await;
            other.assert_silent().await;
            assert!(
                timeout(Duration::ZERO, client.receive()).await.is_err(),
                "{packet:?} was answered early"
            );
        }
        storage.open();
        assert!(matches!(client.receive().await, Packet::Pubcomp(_) | Packet::Unsuback(_)));
    }
}

#[tokio::test]
async fn a_full_storage_has_nothing_acknowledged_that_it_does_not_keep_and_all_else_goes_on() {
    // A 3.1.1 client was told that a message had been taken when the storage had failed, and never sent it again.
    // [MQTT-4.8.0-2] of 3.1.1; 5.0 has a Reason Code for it
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed(&server, V5, "away", QOS2).await;
    let mut reader = Client::connect(&server, connect(V5, "reader")).await;
    reader.subscribe("#", QOS2).await;
    storage.is_full.store(true, Ordering::Relaxed);
    // Who is the first to wait for the storage hears of it by DISCONNECT.
    let mut first = Client::connect(&server, connect(V5, "first")).await;
    let packet = Publish { qos: QOS1, packet_identifier: Some(id(1)), ..publish("t", "first") };
    first.send(Packet::Publish(packet)).await;
    assert_eq!(first.end().await, Some(ReasonCode::QUOTA_EXCEEDED));
    assert_eq!(reader.payloads(1).await, ["first"]);
    for (retain, topic) in [(false, "t"), (true, "u")] {
        for qos in [QOS1, QOS2] {
            let packet = Publish { qos, retain, packet_identifier: Some(id(7)), ..publish(topic, "x") };
            let mut new = Client::connect(&server, connect(V5, "new")).await;
            let ack = new.publish_packet(packet.clone()).await;
            assert_eq!(ack.reason_code, ReasonCode::QUOTA_EXCEEDED);
            new.assert_silent().await;
            let mut old = Client::connect(&server, connect(V311, "old")).await;
            old.send(Packet::Publish(packet.clone())).await;
            assert_eq!(old.receive_or_end().await, None);
        }
    }
    reader.assert_silent().await;
    let mut new = Client::connect(&server, connect(V5, "new")).await;
    assert_eq!(new.publish("t", "qos 0", QOS0).await, ReasonCode::SUCCESS);
    assert_eq!(reader.payloads(1).await, ["qos 0"]);
    assert_eq!(new.publish("nobody else", "clean", QOS1).await, ReasonCode::SUCCESS);
    assert_eq!(reader.payloads(1).await, ["clean"]);
    // A session that is there can be resumed; a new one, that would be kept, cannot begin.
    let (mut back, connack) = Client::try_connect(&server, persistent(V5, "away")).await;
    assert!(connack.session_present);
    assert_eq!(back.payloads(1).await, ["first"]);
    drop(back);
    let (_, connack) = Client::try_connect(&server, persistent(V5, "another")).await;
    assert_eq!(connack.reason_code, ReasonCode::QUOTA_EXCEEDED);
    // When there is room again it goes on by itself.
    storage.is_full.store(false, Ordering::Relaxed);
    assert_eq!(server.statistics().storage_fails, 1);
    until(|| server.statistics().storage_fails == 0).await;
    assert_eq!(new.publish("t", "again", QOS2).await, ReasonCode::SUCCESS);
    assert_eq!(reader.payloads(1).await, ["again"]);
    server.shutdown().await;
    let server = start_on(&storage).await;
    let mut back = Client::connect(&server, persistent(V5, "away")).await;
    assert_eq!(back.payloads(1).await, ["again"]);
}

#[tokio::test]
async fn nobody_is_told_of_a_session_that_is_not_kept_yet() {
    // The connection that began the session waited for the storage, and the next one was told at once that there is a
    // session: after a crash there was none.
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    storage.close();
    for _ in 0..2 {
        let mut client = Client::open(&server, V5).await;
        client.send(Packet::Connect(Box::new(persistent(V5, "new")))).await;
        until(|| server.broker().client("new").is_some_and(|status| status.client.is_some())).await;
        other.assert_silent().await;
        assert!(timeout(Duration::ZERO, client.receive()).await.is_err(), "it was told before it was kept");
    }
    storage.open();
    let (_, connack) = Client::try_connect(&server, persistent(V5, "new")).await;
    assert!(connack.session_present);
}

#[tokio::test]
async fn a_session_that_was_discarded_is_not_there_again_after_a_crash() {
    // [MQTT-3.1.2-4]
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed(&server, V5, "client", QOS1).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    storage.close();
    let mut client = Client::open(&server, V5).await;
    client.send(Packet::Connect(Box::new(connect(V5, "client")))).await;
    until(|| server.broker().client("client").is_some_and(|status| status.client.is_some())).await;
    other.assert_silent().await;
    assert!(timeout(Duration::ZERO, client.receive()).await.is_err(), "it was told before it was kept");
    storage.open();
    let Packet::Connack(connack) = client.receive().await else { panic!("no CONNACK") };
    assert!(!connack.session_present);
    assert!(!storage.held().iter().any(|change| matches!(change, Change::PutSession(_))));
}

#[tokio::test]
async fn what_is_acknowledged_makes_room_in_a_full_storage() {
    // The batch for which there was no room was given again and again, and what made room waited behind it.
    let storage = Arc::new(Obedient::default());
    storage.room.store(10, Ordering::Relaxed);
    let server = start_on(&storage).await;
    subscribed(&server, V5, "away", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut kept = 0;
    let refused = loop {
        let packet = Publish { qos: QOS1, packet_identifier: Some(id(1)), ..publish("t", "x") };
        sender.send(Packet::Publish(packet)).await;
        match sender.receive().await {
            Packet::Puback(ack) if !ack.reason_code.is_error() => kept += 1,
            Packet::Disconnect(disconnect) => break disconnect.reason_code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((kept, refused), (10, ReasonCode::QUOTA_EXCEEDED));
    let mut back = Client::connect(&server, persistent(V5, "away")).await;
    // The eleventh was not acknowledged, and came all the same.
    assert_eq!(back.payloads(11).await.len(), 11);
    until(|| server.statistics().storage_fails == 0).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::SUCCESS);
}

#[tokio::test]
async fn messages_in_flight_are_sent_again_with_their_identifiers_and_dup() {
    // [MQTT-4.4.0-1], [MQTT-4.3.3-1], [MQTT-2.2.1-4]
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (payload, qos) in [("released", QOS2), ("sent", QOS2), ("sent once", QOS1)] {
        sender.publish("t", payload, qos).await;
    }
    let [released, sent, once] =
        [receiver.next_publish().await, receiver.next_publish().await, receiver.next_publish().await];
    let released_id = released.packet_identifier.unwrap();
    receiver.send(Packet::Pubrec(Ack::new(released_id, ReasonCode::SUCCESS))).await;
    assert!(matches!(receiver.receive().await, Packet::Pubrel(_)));
    drop(receiver);
    server.shutdown().await;
    let server = start_on(&storage).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    let Packet::Pubrel(again) = receiver.receive().await else { panic!("no PUBREL") };
    assert_eq!(again.packet_identifier, released_id);
    for before in [sent, once] {
        let again = receiver.next_publish().await;
        assert_eq!((again.packet_identifier, again.dup), (before.packet_identifier, true));
        assert_eq!(text(&again), text(&before));
    }
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "new", QOS1).await;
    let new = receiver.next_publish().await;
    assert!(!new.dup && new.packet_identifier != Some(again.packet_identifier));
}

#[tokio::test]
async fn a_message_that_was_received_is_not_routed_again_after_a_restart() {
    // [MQTT-4.3.3-10]
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed(&server, V5, "away", QOS2).await;
    let mut sender = Client::connect(&server, persistent(V5, "sender")).await;
    let packet = Publish { qos: QOS2, packet_identifier: Some(id(9)), ..publish("t", "x") };
    sender.send(Packet::Publish(packet.clone())).await;
    assert_eq!(sender.pubrec().await.reason_code, ReasonCode::SUCCESS);
    drop(sender);
    server.shutdown().await;
    let server = start_on(&storage).await;
    let mut sender = Client::connect(&server, persistent(V5, "sender")).await;
    sender.send(Packet::Publish(Publish { dup: true, ..packet })).await;
    assert_eq!(sender.pubrec().await.reason_code, ReasonCode::SUCCESS);
    assert_eq!(sender.release(id(9)).await, ReasonCode::SUCCESS);
    sender.disconnect().await;
    let mut back = Client::connect(&server, persistent(V5, "away")).await;
    assert_eq!(back.payloads(1).await, ["x"]);
    back.assert_silent().await;
    server.shutdown().await;
    assert!(!storage.held().iter().any(|change| matches!(change, Change::PutReceived { .. })));
}

#[tokio::test]
async fn subscriptions_outlive_the_broker_as_they_were_changed_last() {
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("a", QOS0).await;
    receiver.subscribe("a", QOS1).await;
    receiver.subscribe("b", QOS1).await;
    receiver.subscribe("$share/g/c/+", QOS2).await;
    receiver.unsubscribe(&["b"]).await;
    receiver.disconnect().await;
    server.shutdown().await;
    let server = start_on(&storage).await;
    assert_eq!(server.broker().subscription_count(), 2);
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for topic in ["a", "b", "c/1"] {
        sender.publish(topic, topic, QOS2).await;
    }
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    let got = [receiver.message().await, receiver.message().await];
    assert_eq!(got.each_ref().map(|publish| (text(publish), publish.qos)), [("a", QOS1), ("c/1", QOS2)]);
    receiver.assert_silent().await;
}

#[tokio::test]
async fn a_session_that_ends_leaves_nothing() {
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for end in ["clean start", "expiry interval of 0", "deleted"] {
        subscribed(&server, V5, end, QOS1).await;
        sender.publish("t", "x", QOS1).await;
        assert_eq!(storage.counts(), (1, 1), "{end}");
        match end {
            "clean start" => Client::connect(&server, connect(V5, end)).await.disconnect().await,
            "deleted" => assert!(server.broker().delete_session(end)),
            _ => {
                let mut client = Client::connect(&server, persistent(V5, end)).await;
                client.next_publish().await;
                let wish = Disconnect { session_expiry_interval: Some(0), ..Disconnect::default() };
                client.disconnect_with(wish).await;
            }
        }
        // An answer of the storage's comes after all that was done before.
        sender.publish_retained("r", end, QOS1).await;
        let held = storage.held();
        let left =
            held.iter().filter(|change| !matches!(change, Change::PutRetained(_) | Change::SetAlive(_)));
        assert_eq!(left.count(), 0, "{end}: {held:?}");
    }
}

#[tokio::test]
async fn a_will_is_published_though_the_broker_ended_before_it_was_due() {
    // [MQTT-3.1.2-8], [MQTT-3.1.3-9]
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    let delayed = |name, delay_interval| {
        let will = Will { delay_interval, ..will("wills", name) };
        with_will(persistent(V5, name), will)
    };
    subscribed_to(&server, "reader", "wills").await;
    let long = Client::connect(&server, delayed("resumed", 3600)).await;
    let short = Client::connect(&server, delayed("short", 1)).await;
    let normal = Client::connect(&server, delayed("normal", 1)).await;
    normal.disconnect().await;
    drop((long, short));
    server.shutdown().await;
    let server = start_on(&storage).await;
    let mut resumed = Client::connect(&server, persistent(V5, "resumed")).await;
    let mut reader = Client::connect(&server, persistent(V5, "reader")).await;
    assert_eq!(reader.payloads(1).await, ["short"]);
    resumed.ping().await;
    server.shutdown().await;
    assert!(!storage.held().iter().any(|change| matches!(change, Change::PutWill(_))));
}

#[test]
fn what_could_not_be_committed_at_the_end_is_not_taken_for_kept() {
    // The last attempt had failed, and the next batch, an empty one, had all before it taken for kept: clients were told
    // so while the broker went down.
    let storage = Arc::new(Obedient::default());
    let committer = Committer::start(storage.clone(), Durability::Always, drop).unwrap();
    storage.is_full.store(true, Ordering::Relaxed);
    let promise = committer.append(Op::Change(Change::SetAlive(Timestamp(1))));
    // Tried once and not yet over: the end comes between two attempts.
    while !committer.fails() {
        std::thread::yield_now();
    }
    assert!(committer.finish().is_err());
    assert!(!committer.is_kept(promise));
}

#[tokio::test]
async fn who_asks_for_less_does_not_wait() {
    for durability in [Durability::Interval(Duration::from_secs(3600)), Durability::None] {
        let storage = Arc::new(Obedient::default());
        let server = start_with(&storage, durability).await;
        subscribed(&server, V5, "away", QOS1).await;
        storage.close();
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::SUCCESS);
        storage.open();
        server.shutdown().await;
        assert_eq!(storage.counts(), (1, 1));
    }
}
