//! Retained messages.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{RetainedChange, What};
use tidegate::packet::{Packet, Publish, PublishProperties, ReasonCode};
use tidegate::session::Overflow;

use crate::support::*;

fn expiring(topic: &str, payload: &str, seconds: u32) -> Publish {
    let properties = PublishProperties { message_expiry_interval: Some(seconds), ..Default::default() };
    Publish { qos: QOS1, properties: Some(Box::new(properties)), ..publish(topic, payload) }
}

fn expiry(publish: &Publish) -> Option<u32> {
    publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval)
}

#[tokio::test]
async fn a_retained_message_is_set_replaced_and_cleared() {
    // [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7]
    let server = start().await;
    for version in VERSIONS {
        let mut sender = Client::connect(&server, connect(version, "sender")).await;
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        for (qos, payload) in [(QOS0, "1"), (QOS2, "2"), (QOS1, "3")] {
            sender.publish_retained("t", payload, qos).await;
            sender.ping().await;
            receiver.subscribe("t", QOS2).await;
            let got = receiver.message().await;
            // [MQTT-3.3.1-8]
            assert_eq!((text(&got), got.qos, got.retain, got.dup), (payload, qos, true, false));
            receiver.assert_silent().await;
            receiver.unsubscribe(&["t"]).await;
        }
        sender.publish("t", "not retained", QOS1).await;
        receiver.subscribe("t", QOS0).await;
        assert_eq!(text(&receiver.message().await), "3");
        sender.publish_retained("t", "", QOS1).await;
        let got = receiver.message().await;
        assert_eq!((text(&got), got.retain), ("", false));
        receiver.unsubscribe(&["t"]).await;
        receiver.subscribe("t", QOS0).await;
        receiver.assert_silent().await;
        assert_eq!(server.broker().retained_count(), 0);
    }
}

#[tokio::test]
async fn wildcards_select_retained_messages_as_they_select_others() {
    // [MQTT-3.3.1-9], [MQTT-4.7.2-1]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for topic in ["a", "a/b", "a/b/c", "x/b", "$s/b", "/b"] {
        sender.publish_retained(topic, topic, QOS1).await;
    }
    for (filter, expected) in [
        ("a/#", vec!["a", "a/b", "a/b/c"]),
        ("+/b", vec!["/b", "a/b", "x/b"]),
        ("#", vec!["/b", "a", "a/b", "a/b/c", "x/b"]),
        ("$s/+", vec!["$s/b"]),
        ("none/#", vec![]),
    ] {
        let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
        receiver.subscribe(filter, QOS1).await;
        let mut got = receiver.payloads(expected.len()).await;
        got.sort();
        assert_eq!(got, expected, "{filter}");
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn twenty_thousand_retained_messages_reach_a_slow_reader_without_loss() {
    let options = Options {
        maximum_queued_messages: 100,
        maximum_queued_bytes: 1024 * 1024,
        maximum_inflight: 20,
        ..Options::default()
    };
    let server = start_with(options).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for n in 0..20_000 {
        let packet = Publish { retain: true, ..publish(&format!("many/{}/{n}", n % 100), &n.to_string()) };
        sender.send(Packet::Publish(packet)).await;
    }
    within(sender.ping()).await;
    assert_eq!(server.broker().retained_count(), 20_000);
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;
    // It subscribed and does not read, while others go on.
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    other.subscribe("many/7/7", QOS0).await;
    assert_eq!(other.payloads(1).await, ["7"]);
    let mut seen = vec![false; 20_000];
    for payload in receiver.payloads(20_000).await {
        let number: usize = payload.parse().unwrap();
        assert!(!std::mem::replace(&mut seen[number], true), "{number} came twice");
    }
    receiver.assert_silent().await;
    assert_eq!(server.statistics().dropped_queue_full, 0);
}

#[tokio::test]
async fn a_replay_is_not_lost_where_the_queue_is_shorter_than_a_batch() {
    // A replay put up to 64 messages at once into the queue, whatever its limits: with shorter queues,
    // or large messages, what did not fit was dropped though the client read as fast as it could.
    for (messages, bytes, size) in [(10, usize::MAX, 10), (10_000, 1024 * 1024, 100_000)] {
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let options = Options {
                maximum_queued_messages: messages,
                maximum_queued_bytes: bytes,
                overflow,
                ..Options::default()
            };
            let server = start_with(options).await;
            let mut sender = Client::connect(&server, connect(V5, "sender")).await;
            for n in 0..40 {
                sender.publish_retained(&format!("t/{n}"), &"x".repeat(size), QOS1).await;
            }
            let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
            receiver.subscribe("t/+", QOS1).await;
            assert_eq!(receiver.payloads(40).await.len(), 40);
            assert_eq!(server.statistics().dropped_queue_full, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retained_message_expires_and_its_interval_shrinks() {
    // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    let local = Local::start();
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish_packet(Publish { retain: true, ..expiring("t", "x", 10) }).await;
    for (later, expected) in [(0, Some(10)), (4, Some(6)), (5, Some(1)), (1, None)] {
        tokio::time::sleep(Duration::from_secs(later)).await;
        let mut receiver = local.connect(connect(V5, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        if expected.is_some() {
            assert_eq!(expiry(&receiver.message().await), expected);
        }
        receiver.assert_silent().await;
    }
    assert_eq!(local.broker.retained_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_expired_is_removed_though_nobody_asks_for_it() {
    // An expired retained message was removed only where a subscription came upon it: of those that nobody
    // asked for the memory was never freed.
    let script = Script::default().shared();
    let local = Local::hooked(Options::default(), script.clone());
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..1500 {
        let packet = Publish { retain: true, ..expiring(&format!("many/{n}"), "x", 10) };
        sender.send(Packet::Publish(Publish { qos: QOS0, packet_identifier: None, ..packet })).await;
    }
    // What counts is the interval of the message that is there now.
    for (topic, first, then) in [("longer", 10, 100_000), ("shorter", 100_000, 20)] {
        sender.publish_packet(Publish { retain: true, ..expiring(topic, "1", first) }).await;
        sender.publish_packet(Publish { retain: true, ..expiring(topic, "2", then) }).await;
    }
    sender.publish_packet(Publish { retain: true, ..expiring("for ever", "1", 10) }).await;
    sender.publish_retained("for ever", "2", QOS1).await;
    assert_eq!(local.broker.retained_count(), 1503);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(local.broker.retained_count(), 1503);
    // The broker looks once a minute at least.
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert_eq!(local.broker.retained_count(), 2);
    let expired =
        |what: &What| matches!(what, What::RetainedMessageChanged { change: RetainedChange::Expired, .. });
    assert_eq!(script.count(expired), 1501);
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;
    assert_eq!(receiver.payloads(2).await, ["2", "2"]);
    receiver.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn expired_messages_make_room_for_new_ones() {
    // Messages that had expired counted against `maximum_retained_messages` until somebody subscribed to
    // them: new ones were refused though none that lived was there.
    let local = Local::with(Options { maximum_retained_messages: 2, ..Options::default() });
    let mut sender = local.connect(connect(V5, "sender")).await;
    for topic in ["a", "b"] {
        sender.publish_packet(Publish { retain: true, ..expiring(topic, "old", 1) }).await;
    }
    assert_eq!(sender.publish_retained("c", "new", QOS1).await, ReasonCode::QUOTA_EXCEEDED);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for topic in ["c", "d"] {
        assert!(!sender.publish_retained(topic, "new", QOS1).await.is_error());
    }
    assert_eq!(sender.publish_retained("e", "new", QOS1).await, ReasonCode::QUOTA_EXCEEDED);
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;
    assert_eq!(receiver.payloads(2).await, ["new", "new"]);
    receiver.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_queued_message_expires_and_its_interval_shrinks() {
    // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    let local = Local::start();
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish_packet(expiring("t", "short", 2)).await;
    sender.publish_packet(expiring("t", "long", 60)).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    let got = receiver.message().await;
    assert_eq!((text(&got), expiry(&got)), ("long", Some(58)));
    receiver.assert_silent().await;
    assert_eq!(local.broker.statistics().dropped_expired, 1);
}

#[tokio::test]
async fn only_so_many_messages_are_retained() {
    let server = start_with(Options { maximum_retained_messages: 2, ..Options::default() }).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish_retained("a", "1", QOS1).await;
    sender.publish_retained("b", "1", QOS1).await;
    assert_eq!(sender.publish_retained("c", "1", QOS1).await, ReasonCode::QUOTA_EXCEEDED);
    assert!(!sender.publish_retained("a", "2", QOS1).await.is_error());
    sender.publish_retained("b", "", QOS1).await;
    assert!(!sender.publish_retained("c", "1", QOS1).await.is_error());
    assert_eq!(server.broker().retained_count(), 2);
    assert_eq!(server.statistics().retained_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_retained_no_more_still_reaches_those_who_subscribe() {
    // A message that was one too many to be retained was not routed either: one client that filled the limit
    // cut all others off, and those of MQTT 3.1.1, or with QoS 0, were not even told.
    for options in [
        Options { maximum_retained_messages: 1, ..Options::default() },
        // The topic counts too.
        Options { maximum_retained_bytes: 10, ..Options::default() },
    ] {
        let local = Local::with(options);
        for version in VERSIONS {
            let mut sender = local.connect(connect(version, "sender")).await;
            sender.publish_retained("a", "123456789", QOS0).await;
            let mut receiver = local.connect(connect(version, "receiver")).await;
            receiver.subscribe("t", QOS2).await;
            for qos in ALL_QOS {
                let told = sender.publish_retained("t", "x", qos).await;
                let expected = match (version, qos) {
                    (V5, QOS1 | QOS2) => ReasonCode::QUOTA_EXCEEDED,
                    _ => ReasonCode::SUCCESS,
                };
                assert_eq!(told, expected, "{version} {qos:?}");
                let got = receiver.message().await;
                assert_eq!((text(&got), got.qos, got.retain), ("x", qos, false));
            }
            let mut late = local.connect(connect(version, "late")).await;
            late.subscribe("#", QOS2).await;
            assert_eq!(late.payloads(1).await, ["123456789"]);
            late.assert_silent().await;
        }
        let s = local.broker.statistics();
        assert_eq!((s.retained_messages, s.retained_bytes, s.retained_refused), (1, 10, 6));
        assert_eq!(s.limit_retained_messages + s.limit_retained_bytes, 6);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_be_retained_leaves_nothing_older_behind() {
    // [MQTT-3.3.1-5]; in 3.1.1 [MQTT-3.3.1-7]: else who subscribes later took the older message for the last.
    let script = Script::default().shared();
    let options = Options { maximum_retained_bytes: 100, ..Options::default() };
    let local = Local::hooked(options, script.clone());
    let mut sender = local.connect(connect(V5, "sender")).await;
    assert!(!sender.publish_retained("t", "old", QOS1).await.is_error());
    assert_eq!(sender.publish_retained("t", &"x".repeat(100), QOS1).await, ReasonCode::QUOTA_EXCEEDED);
    let mut late = local.connect(connect(V5, "late")).await;
    late.subscribe("t", QOS1).await;
    late.assert_silent().await;
    let s = local.broker.statistics();
    assert_eq!((s.retained_messages, s.retained_bytes, s.limit_retained_bytes), (0, 0, 1));
    let cleared =
        |what: &What| matches!(what, What::RetainedMessageChanged { change: RetainedChange::Cleared, .. });
    assert_eq!(script.count(cleared), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_retained_messages_are_those_that_are_there_now() {
    let options = Options { maximum_retained_bytes: 30, ..Options::default() };
    let local = Local::with(options);
    let mut sender = local.connect(connect(V5, "sender")).await;
    let bytes = || local.broker.statistics().retained_bytes;
    // A topic of one byte and a payload of nine.
    for (topic, payload, expected) in
        [("a", "123456789", 10), ("b", "123456789", 20), ("a", "1", 12), ("b", "", 2), ("b", "", 2)]
    {
        assert!(!sender.publish_retained(topic, payload, QOS1).await.is_error());
        assert_eq!(bytes(), expected);
    }
    // Properties count too: what expires makes room.
    let properties = PublishProperties {
        message_expiry_interval: Some(10),
        content_type: Some("text/plain".into()),
        ..Default::default()
    };
    let properties = Some(Box::new(properties));
    sender.publish_packet(Publish { qos: QOS1, retain: true, properties, ..publish("c", "12345") }).await;
    assert_eq!(bytes(), 2 + 16);
    assert_eq!(sender.publish_retained("d", "123456789012", QOS1).await, ReasonCode::QUOTA_EXCEEDED);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!sender.publish_retained("d", "123456789012", QOS1).await.is_error());
    assert_eq!(bytes(), 2 + 13);
}

#[tokio::test(start_paused = true)]
async fn many_messages_that_expire_at_once_hold_up_nobody() {
    // They are removed some at a time, and clients get their turn in between.
    const MESSAGES: usize = 20_000;
    let local = Local::start();
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..MESSAGES {
        let packet = Publish { retain: true, ..expiring(&format!("many/{n}"), "x", 30) };
        sender.send(Packet::Publish(Publish { qos: QOS0, packet_identifier: None, ..packet })).await;
    }
    sender.ping().await;
    assert_eq!(local.broker.retained_count(), MESSAGES);
    // The broker looks after a minute.
    tokio::time::sleep(Duration::from_secs(59)).await;
    while local.broker.retained_count() == MESSAGES {
        tokio::time::sleep(Duration::from_millis(10)).await;
        sender.ping().await;
    }
    let left = local.broker.retained_count();
    assert!(left > 0, "all of them were removed before the client was heard");
    until(|| local.broker.retained_count() == 0).await;
    assert_eq!(local.broker.statistics().retained_bytes, 0);
}

#[tokio::test]
async fn a_broker_started_on_the_same_storage_finds_what_was_retained() {
    use std::sync::Arc;
    use tidegate::server::{ListenerOptions, Server};
    use tidegate::storage::memory::MemoryStorage;
    use tidegate::storage::{Durability, OpenedStorage};

    let storage = Arc::new(MemoryStorage::default());
    let start = async || {
        let builder = Server::builder()
            .storage(OpenedStorage::new(storage.clone(), Durability::Always).unwrap())
            .listener(ListenerOptions::loopback(0));
        builder.start().await.unwrap()
    };
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish_retained("t", "kept", QOS1).await;
    sender.disconnect().await;
    server.shutdown().await;
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    assert_eq!(receiver.payloads(1).await, ["kept"]);
    assert_eq!(server.statistics().retained_bytes, 5);
}
