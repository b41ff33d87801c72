//! Each limit that an operator sets, and the number that says how often it was reached.

use std::time::Duration;

use tidegate::broker::{Options, Statistics};
use tidegate::packet::{Connect, Packet, Publish, ReasonCode, SubscribeFilter};
use tidegate::session::Overflow;
use tokio::time::sleep;

use crate::support::client::{id, to};
use crate::support::*;

type Field = fn(&Statistics) -> u64;

fn qos2(n: u16) -> Packet {
    Packet::Publish(Publish { qos: QOS2, packet_identifier: Some(id(n)), ..publish("t", "x") })
}

fn qos0() -> Publish {
    publish("t", "x")
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_ends_a_connection_counts_it() {
    // [MQTT-3.2.2-11], [MQTT-3.2.2-14], [MQTT-3.2.2-15], [MQTT-3.3.4-7], [MQTT-3.2.2-17]
    let alias = |alias| Publish { topic_alias: std::num::NonZeroU16::new(alias), ..qos0() };
    let default = Options::default;
    let table: [(Options, Vec<Packet>, ReasonCode, Field); 5] = [
        (Options { maximum_qos: QOS0, ..default() }, vec![qos2(1)], ReasonCode::QOS_NOT_SUPPORTED, |s| {
            s.limit_qos
        }),
        (
            Options { retain_available: false, ..default() },
            vec![Packet::Publish(Publish { retain: true, ..qos0() })],
            ReasonCode::RETAIN_NOT_SUPPORTED,
            |s| s.limit_retain,
        ),
        (
            Options { maximum_packet_size: 128, ..default() },
            vec![Packet::Publish(publish("t", &"x".repeat(200)))],
            ReasonCode::PACKET_TOO_LARGE,
            |s| s.limit_packet_size,
        ),
        (
            Options { receive_maximum: 1, ..default() },
            vec![qos2(1), qos2(2)],
            ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            |s| s.limit_receive_maximum,
        ),
        (
            Options { topic_alias_maximum: 1, ..default() },
            vec![Packet::Publish(alias(1)), Packet::Publish(alias(2))],
            ReasonCode::TOPIC_ALIAS_INVALID,
            |s| s.limit_topic_alias,
        ),
    ];
    for (options, packets, reason, field) in table {
        let local = Local::with(options);
        let mut client = local.connect(connect(V5, "a")).await;
        assert_eq!(field(&local.broker.statistics()), 0);
        for packet in packets {
            client.send(packet).await;
        }
        let last = client.last_packet().await;
        assert!(matches!(&last, Some(Packet::Disconnect(it)) if it.reason_code == reason), "{last:?}");
        let statistics = local.broker.statistics();
        assert_eq!((field(&statistics), statistics.protocol_errors), (1, 1), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_will_beyond_a_limit_is_counted_under_it() {
    // [MQTT-3.2.2-12], [MQTT-3.2.2-13]
    let options = Options { maximum_qos: QOS1, retain_available: false, ..Options::default() };
    let local = Local::with(options);
    for (will, field) in [
        (tidegate::packet::Will { qos: QOS2, ..will("w", "x") }, (|s| s.limit_qos) as Field),
        (tidegate::packet::Will { retain: true, ..will("w", "x") }, |s| s.limit_retain),
    ] {
        let (_, connack) = local.try_connect(with_will(connect(V5, "a"), will)).await;
        assert!(connack.reason_code.is_error());
        assert_eq!(field(&local.broker.statistics()), 1);
    }
    assert_eq!(local.broker.statistics().refused_other, 2);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_refuses_a_connection_counts_it() {
    let options = Options { maximum_connect_size: 128, maximum_sessions: 1, ..Options::default() };
    let local = Local::with(options);
    let _first = local.connect(connect(V5, "1")).await;
    let (_, connack) = local.try_connect(connect(V5, "2")).await;
    assert_eq!(connack.reason_code, ReasonCode::QUOTA_EXCEEDED);
    let (mut large, _) = local.open(V5);
    large.send(Packet::Connect(Box::new(connect(V5, &"x".repeat(200))))).await;
    large.last_packet().await;
    let (mut silent, _) = local.open(V5);
    assert_eq!(silent.receive_or_end_for(Duration::from_secs(60)).await, None);
    let statistics = local.broker.statistics();
    let limits = [statistics.limit_sessions, statistics.limit_connect_size, statistics.limit_connect_timeout];
    assert_eq!(limits, [1, 1, 1]);
    assert_eq!((statistics.connections_accepted, statistics.connections_refused), (4, 3));
}

#[tokio::test]
async fn a_connection_beyond_the_maximum_is_counted() {
    let server = start_with(Options { maximum_connections: 1, ..Options::default() }).await;
    let _first = Client::connect(&server, connect(V5, "1")).await;
    let (_second, connack) = Client::try_connect(&server, connect(V5, "2")).await;
    assert_eq!(connack.reason_code, ReasonCode::QUOTA_EXCEEDED);
    let statistics = server.statistics();
    assert_eq!((statistics.limit_connections, statistics.connections_refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_gets_less_than_it_asked_for_is_counted() {
    // [MQTT-3.1.2-21]
    let options = Options {
        maximum_keep_alive: 60,
        maximum_session_expiry: 600,
        maximum_qos: QOS1,
        ..Options::default()
    };
    let local = Local::with(options);
    let content = Connect { keep_alive: 60, session_expiry_interval: Some(600), ..connect(V5, "content") };
    local.connect(content).await.subscribe("t", QOS1).await;
    let before = local.broker.statistics();
    assert_eq!([before.limit_keep_alive, before.limit_session_expiry, before.limit_qos], [0; 3]);
    for keep_alive in [0, 61] {
        let asks = Connect { keep_alive, session_expiry_interval: Some(601), ..connect(V5, "greedy") };
        let (mut greedy, connack) = local.try_connect(asks).await;
        assert_eq!((connack.server_keep_alive, connack.session_expiry_interval), (Some(60), Some(600)));
        let suback = greedy.subscribe_to(vec![to("t", QOS2), to("u", QOS2)]).await;
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1; 2]);
    }
    let statistics = local.broker.statistics();
    assert_eq!(
        (statistics.limit_keep_alive, statistics.limit_session_expiry, statistics.limit_qos),
        (2, 2, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_goes_over_to_another_topic_is_counted() {
    let local = Local::with(Options { outgoing_topic_alias_maximum: 1, ..Options::default() });
    let asks = Connect { topic_alias_maximum: 5, ..connect(V5, "receiver") };
    let mut receiver = local.connect(asks).await;
    receiver.subscribe("a/long/topic/#", QOS0).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    // A topic that comes twice gets an alias.
    for (topic, expected) in [("1", 0), ("1", 0), ("2", 0), ("2", 1), ("2", 1), ("1", 1)] {
        sender.publish(&format!("a/long/topic/{topic}"), "x", QOS0).await;
        receiver.next_publish().await;
        assert_eq!(local.broker.statistics().limit_outgoing_topic_alias, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_counts_the_limit_that_filled_it() {
    let table: [(Options, usize, Field, Field); 2] = [
        (
            Options { maximum_queued_messages: 3, ..Options::default() },
            1,
            |s| s.limit_queued_messages,
            |s| s.limit_queued_bytes,
        ),
        (
            Options { maximum_queued_bytes: 10_000, ..Options::default() },
            3_000,
            |s| s.limit_queued_bytes,
            |s| s.limit_queued_messages,
        ),
    ];
    for (options, size, field, other) in table {
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let local = Local::with(Options { overflow, ..options.clone() });
            let mut absent = local.connect(persistent(V5, "absent")).await;
            absent.subscribe("t", QOS1).await;
            absent.disconnect().await;
            let mut sender = local.connect(connect(V5, "sender")).await;
            for _ in 0..5 {
                sender.publish("t", &"x".repeat(size), QOS1).await;
            }
            let statistics = local.broker.statistics();
            assert_eq!((field(&statistics), other(&statistics)), (2, 0), "{overflow:?}");
            assert_eq!((statistics.dropped_queue_full, statistics.queued_messages), (2, 3));
        }
    }
}

/// A session without a connection that is subscribed to its own name.
async fn absent(local: &Local, name: &str) {
    let mut client = local.connect(persistent(V5, name)).await;
    client.subscribe(name, QOS1).await;
    client.disconnect().await;
}

#[tokio::test(start_paused = true)]
async fn once_all_queues_together_are_full_those_that_hold_messages_take_no_more() {
    // One that holds none takes one, so that who reads what it gets goes on getting it.
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let options = Options { maximum_total_queued_bytes: 10_000, overflow, ..Options::default() };
        let local = Local::with(options);
        let mut sender = local.connect(connect(V5, "sender")).await;
        for name in ["a", "b", "empty"] {
            absent(&local, name).await;
        }
        let mut reading = local.connect(connect(V5, "reading")).await;
        reading.subscribe("reading", QOS1).await;
        for n in 0..20 {
            let payload = format!("{n}{}", " ".repeat(1000));
            for topic in ["a", "b", "reading"] {
                assert!(!sender.publish(topic, &payload, QOS1).await.is_error());
            }
            assert_eq!(text(&reading.message().await).trim(), n.to_string());
            reading.ping().await;
        }
        let full = local.broker.statistics();
        assert!((10_000..12_000).contains(&full.queued_bytes), "{}", full.queued_bytes);
        assert_eq!(full.limit_total_queued_bytes + full.queued_messages, 40);
        assert_eq!(full.dropped_queue_full, full.limit_total_queued_bytes);
        sender.publish("empty", "first", QOS1).await;
        sender.publish("empty", "second", QOS1).await;
        let mut empty = local.connect(persistent(V5, "empty")).await;
        let (kept, oldest) = match overflow {
            Overflow::DropNewest => ("first", true),
            Overflow::DropOldest => ("second", false),
        };
        assert_eq!(text(&empty.message().await), kept);
        let mut a = local.connect(persistent(V5, "a")).await;
        assert_eq!(text(&a.message().await).trim() == "0", oldest);
        // With one of them gone there is room again.
        let before = local.broker.statistics().limit_total_queued_bytes;
        assert!(before > full.limit_total_queued_bytes);
        drop(a);
        assert!(local.broker.delete_session("a"));
        until(|| local.broker.statistics().queued_bytes < 9_000).await;
        for _ in 0..2 {
            sender.publish("b", "x", QOS1).await;
        }
        assert_eq!(local.broker.statistics().limit_total_queued_bytes, before);
    }
}

#[tokio::test(start_paused = true)]
async fn retained_messages_are_replayed_one_by_one_while_all_queues_are_full() {
    let options = Options { maximum_total_queued_bytes: 10_000, ..Options::default() };
    let local = Local::with(options);
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..100 {
        sender.publish_retained(&format!("r/{n}"), &n.to_string(), QOS1).await;
    }
    absent(&local, "a").await;
    for _ in 0..20 {
        sender.publish("a", &"x".repeat(1000), QOS1).await;
    }
    assert!(local.broker.statistics().limit_total_queued_bytes > 0);
    for qos in ALL_QOS {
        let mut client = local.connect(connect(V5, "new")).await;
        client.subscribe("r/#", qos).await;
        assert_eq!(client.payloads(100).await.len(), 100);
        client.assert_silent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_full_queues_hold_up_goes_on_when_there_is_room_again() {
    // It slept on until the client sent something.
    let local = Local::with(Options { maximum_total_queued_bytes: 10_000, ..Options::default() });
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..100 {
        sender.publish_retained(&format!("r/{n}"), &n.to_string(), QOS1).await;
    }
    let mut client = local.connect(connect(V5, "new")).await;
    client.subscribe("t", QOS1).await;
    sender.publish("t", "x", QOS1).await;
    let unacknowledged = client.next_publish().await;
    absent(&local, "a").await;
    for _ in 0..20 {
        sender.publish("a", &"x".repeat(1000), QOS1).await;
    }
    client.subscribe("r/#", QOS0).await;
    client.assert_silent().await;
    assert!(local.broker.delete_session("a"));
    assert_eq!(client.payloads(100).await.len(), 100);
    client.acknowledge(&unacknowledged).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_window_is_counted_once_until_it_has_room_again() {
    // [MQTT-3.3.4-9]
    let local = Local::with(Options { maximum_inflight: 2, ..Options::default() });
    let mut slow = local.connect(connect(V5, "slow")).await;
    slow.subscribe("t", QOS1).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for round in 1..=2 {
        for _ in 0..2 {
            sender.publish("t", "x", QOS1).await;
        }
        slow.ping_while_messages_come().await;
        assert_eq!(local.broker.statistics().limit_inflight, round - 1);
        for _ in 0..3 {
            sender.publish("t", "x", QOS1).await;
            slow.ping_while_messages_come().await;
        }
        assert_eq!(local.broker.statistics().limit_inflight, round);
        for _ in 0..5 {
            slow.message().await;
        }
        slow.ping().await;
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_and_levels_beyond_the_limit_are_counted() {
    let options = Options { maximum_subscriptions: 2, maximum_topic_levels: 3, ..Options::default() };
    let local = Local::with(options);
    let mut client = local.connect(connect(V5, "a")).await;
    let filters: Vec<SubscribeFilter> =
        ["a", "a/b/c/d", "b", "c", "a", "a/b/c/#"].map(|it| to(it, QOS0)).into();
    let granted = ReasonCode::GRANTED_QOS_0;
    let (deep, many) = (ReasonCode::TOPIC_FILTER_INVALID, ReasonCode::QUOTA_EXCEEDED);
    let suback = client.subscribe_to(filters).await;
    assert_eq!(suback.reason_codes, [granted, deep, granted, many, granted, deep]);
    assert_eq!(client.publish("a/b/c/d", "x", QOS1).await, ReasonCode::TOPIC_NAME_INVALID);
    let statistics = local.broker.statistics();
    assert_eq!((statistics.limit_subscriptions, statistics.limit_topic_levels), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_filter_with_a_wildcard_has_no_more_levels_than_it_may() {
    let local = Local::with(Options { maximum_wildcard_levels: 3, ..Options::default() });
    let mut client = local.connect(connect(V5, "a")).await;
    let filters = ["a/b/c/d/#", "+/b/c", "a/+/#", "a/b/c/+", "$share/g/+/b/c/d", "$share/g/+/b/c"];
    let suback = client.subscribe_to(filters.map(|it| to(it, QOS0)).into()).await;
    let (granted, invalid) = (ReasonCode::GRANTED_QOS_0, ReasonCode::TOPIC_FILTER_INVALID);
    assert_eq!(suback.reason_codes, [granted, granted, granted, invalid, invalid, granted]);
    assert_eq!(local.broker.statistics().limit_wildcard_levels, 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_holds_up_its_own_connection_is_counted() {
    let local = Local::with(Options { write_timeout: Duration::from_secs(30), ..Options::default() });
    let mut deaf = local.connect(connect(V5, "deaf")).await;
    deaf.subscribe("t", QOS0).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..3 {
        sender.publish("t", &"x".repeat(100_000), QOS0).await;
    }
    sender.ping().await;
    assert_eq!(local.broker.statistics().limit_write_timeout, 0);
    sleep(Duration::from_secs(40)).await;
    let statistics = local.broker.statistics();
    assert_eq!((statistics.limit_write_timeout, statistics.ended_by_network), (1, 1));
}
