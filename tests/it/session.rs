//! Sessions: what is kept, for how long, and who holds it.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{DisconnectCause, DropCause, SessionEnd, What};
use tidegate::packet::{Connect, Disconnect, Packet, Publish, ReasonCode};
use tidegate::server::Server;
use tidegate::session::Overflow;

use crate::support::client::id;
use crate::support::*;

fn expiring(seconds: u32) -> Connect {
    Connect { session_expiry_interval: Some(seconds), clean_start: false, ..connect(V5, "a") }
}

/// Whether the session of "a" is still there for a client that asks for it.
async fn is_kept(local: &Local) -> bool {
    local.try_connect(expiring(1_000_000)).await.1.session_present
}

fn offline(server: &Server, name: &str) -> impl Future<Output = ()> {
    until(move || server.broker().client(name).is_some_and(|status| status.client.is_none()))
}

#[tokio::test]
async fn messages_for_an_offline_session_wait_in_order() {
    // [MQTT-3.1.2-5], [MQTT-4.5.0-1], [MQTT-4.6.0-6]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        receiver.subscribe("t/#", QOS2).await;
        receiver.disconnect().await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        for (n, payload) in expected.iter().enumerate() {
            sender.publish("t/a", payload, if n % 2 == 0 { QOS1 } else { QOS2 }).await;
        }
        let (mut receiver, connack) = Client::try_connect(&server, persistent(version, "receiver")).await;
        assert!(connack.session_present);
        assert_eq!(receiver.payloads(50).await, expected);
        // And the subscription is still there.
        sender.publish("t/b", "live", QOS1).await;
        assert_eq!(receiver.payloads(1).await, ["live"]);
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn a_clean_start_discards_subscriptions_and_messages() {
    // [MQTT-3.1.2-4]
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        receiver.disconnect().await;
        sender.publish("t", "x", QOS1).await;
        let (mut receiver, connack) = Client::try_connect(&server, connect(version, "receiver")).await;
        assert!(!connack.session_present);
        let reason = sender.publish("t", "x", QOS1).await;
        assert_eq!(reason, ReasonCode::NO_MATCHING_SUBSCRIBERS);
        receiver.assert_silent().await;
        assert_eq!(server.broker().subscription_count(), 0);
    }
    let ended = |what: &What| matches!(what, What::SessionDeleted { cause: SessionEnd::CleanStart, .. });
    assert_eq!(script.count(ended), 2);
}

#[tokio::test]
async fn qos0_is_not_kept_for_an_offline_session() {
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.disconnect().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "zero", QOS0).await;
    sender.publish("t", "one", QOS1).await;
    assert_eq!(server.broker().client("receiver").unwrap().queued, 1);
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    assert_eq!(receiver.payloads(1).await, ["one"]);
    receiver.assert_silent().await;
    assert_eq!(server.statistics().dropped_offline, 1);
    assert_eq!(script.count(|what| matches!(what, What::MessageDropped { .. })), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_expires_after_its_interval_and_not_before() {
    // [MQTT-3.1.2-23], [MQTT-4.1.0-2]
    let script = Script::default().shared();
    let local = Local::hooked(Options::default(), script.clone());
    let mut client = local.connect(expiring(60)).await;
    client.subscribe("t", QOS1).await;
    // The interval begins with the end of the connection.
    tokio::time::sleep(Duration::from_secs(100)).await;
    client.ping().await;
    client.disconnect().await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!((local.broker.session_count(), local.broker.subscription_count()), (1, 1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((local.broker.session_count(), local.broker.subscription_count()), (0, 0));
    assert!(script.saw(|what| matches!(what, What::SessionDeleted { cause: SessionEnd::Expired, .. })));
    assert!(!is_kept(&local).await);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_session_does_not_expire_by_its_old_interval() {
    let local = Local::start();
    local.connect(expiring(60)).await.disconnect().await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    let mut client = local.connect(expiring(60)).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    client.ping().await;
    client.disconnect().await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(is_kept(&local).await);
}

#[tokio::test(start_paused = true)]
async fn disconnect_changes_the_expiry() {
    // MQTT 5.0, 3.14.2.2.2
    let local = Local::start();
    for (asked, changed, kept_for, gone_after) in [(60, 600, 590, 20), (600, 60, 50, 20)] {
        let client = local.connect(expiring(asked)).await;
        let session_expiry_interval = Some(changed);
        client.disconnect_with(Disconnect { session_expiry_interval, ..Disconnect::default() }).await;
        tokio::time::sleep(Duration::from_secs(kept_for)).await;
        assert_eq!(local.broker.session_count(), 1);
        tokio::time::sleep(Duration::from_secs(gone_after)).await;
        assert_eq!(local.broker.session_count(), 0);
    }
    let client = local.connect(expiring(60)).await;
    client.disconnect_with(Disconnect { session_expiry_interval: Some(0), ..Disconnect::default() }).await;
    assert_eq!(local.broker.session_count(), 0);
}

#[tokio::test]
async fn disconnect_cannot_keep_a_session_that_was_to_end_with_its_connection() {
    // MQTT 5.0, 3.14.2.2.2
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let disconnect = Disconnect { session_expiry_interval: Some(10), ..Disconnect::default() };
    client.send(Packet::Disconnect(Box::new(disconnect))).await;
    assert_eq!(client.end().await, Some(ReasonCode::PROTOCOL_ERROR));
    until(|| server.broker().session_count() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_servers_maximum_caps_what_connect_and_disconnect_ask_for() {
    let local = Local::with(Options { maximum_session_expiry: 100, ..Options::default() });
    let (client, connack) = local.try_connect(expiring(u32::MAX)).await;
    assert_eq!(connack.session_expiry_interval, Some(100));
    let session_expiry_interval = Some(u32::MAX);
    client.disconnect_with(Disconnect { session_expiry_interval, ..Disconnect::default() }).await;
    tokio::time::sleep(Duration::from_secs(101)).await;
    assert_eq!(local.broker.session_count(), 0);
    // A 3.1.1 session that is not clean knows no end but this one.
    local.connect(persistent(V311, "old")).await.disconnect().await;
    tokio::time::sleep(Duration::from_secs(99)).await;
    assert_eq!(local.broker.session_count(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(local.broker.session_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_never_expires_is_kept() {
    // MQTT 5.0, 3.1.2.11.2
    let local = Local::with(Options { maximum_session_expiry: u32::MAX, ..Options::default() });
    local.connect(expiring(u32::MAX)).await.disconnect().await;
    tokio::time::sleep(Duration::from_secs(10 * 24 * 3600)).await;
    assert!(is_kept(&local).await);
}

#[tokio::test]
async fn the_old_connection_of_a_takeover_is_told_0x8e() {
    // [MQTT-3.1.4-3]
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    for version in VERSIONS {
        for clean_start in [false, true] {
            let mut old = Client::connect(&server, persistent(version, "a")).await;
            old.subscribe("t", QOS1).await;
            let asks = Connect { clean_start, ..persistent(version, "a") };
            let (mut new, connack) = Client::try_connect(&server, asks).await;
            assert_eq!(connack.session_present, !clean_start);
            let told = (version == V5).then_some(ReasonCode::SESSION_TAKEN_OVER);
            assert_eq!(old.end().await, told);
            new.ping().await;
            let subscribed = usize::from(!clean_start);
            assert_eq!(server.broker().client("a").unwrap().subscriptions, subscribed);
            new.disconnect().await;
        }
    }
    let taken =
        |what: &What| matches!(what, What::ClientDisconnected { cause: DisconnectCause::Takeover, .. });
    until(|| script.count(taken) == 4).await;
    assert_eq!(server.statistics().takeovers, 4);
}

#[tokio::test]
async fn a_session_that_ends_with_its_connection_is_not_taken_over() {
    // A connection that took over one whose session was to end with it got that session: subscriptions
    // of a clean session came to life in one that is kept.
    // [MQTT-3.1.2-6] of 3.1.1, [MQTT-4.1.0-2] of 5.0
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    for version in VERSIONS {
        let mut old = Client::connect(&server, connect(version, "a")).await;
        old.subscribe("t", QOS1).await;
        let (new, connack) = Client::try_connect(&server, persistent(version, "a")).await;
        assert!(!connack.session_present, "{version}");
        assert_eq!(old.end().await, (version == V5).then_some(ReasonCode::SESSION_TAKEN_OVER));
        assert_eq!(server.broker().client("a").unwrap().subscriptions, 0);
        new.disconnect().await;
        assert!(server.broker().delete_session("a"));
    }
    let ended = |what: &What| matches!(what, What::SessionDeleted { cause: SessionEnd::Disconnect, .. });
    assert_eq!(script.count(ended), 2);
}

#[tokio::test]
async fn many_takeovers_at_once_leave_one_connection() {
    let server = start().await;
    let address = server.addresses()[0];
    let mut connecting = Vec::new();
    for _ in 0..50 {
        connecting.push(tokio::spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut client = Client::over(stream, V5);
            client.handshake(persistent(V5, "a")).await;
            client
        }));
    }
    let mut clients = Vec::new();
    for connecting in connecting {
        clients.push(connecting.await.unwrap());
    }
    assert_eq!(server.broker().session_count(), 1);
    assert!(server.broker().client("a").unwrap().client.is_some());
    until(|| server.statistics().takeovers == 49).await;
    drop(clients);
}

#[tokio::test]
async fn a_queue_is_bounded_by_count_and_bytes_for_both_strategies() {
    for (overflow, kept) in [(Overflow::DropNewest, "0 1 2 3 4"), (Overflow::DropOldest, "5 6 7 8 9")] {
        for (messages, bytes, size) in [(5, usize::MAX, 1), (1000, 60_000, 10_000)] {
            let script = Script::default().shared();
            let options = Options {
                maximum_queued_messages: messages,
                maximum_queued_bytes: bytes,
                overflow,
                ..Options::default()
            };
            let server = start_hooked(options, &script).await;
            let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
            receiver.subscribe("t", QOS1).await;
            receiver.disconnect().await;
            let mut sender = Client::connect(&server, connect(V5, "sender")).await;
            for n in 0..10 {
                // The publisher is told nothing: the subscriber's queue is not its business.
                let payload = format!("{n}{}", " ".repeat(size));
                assert_eq!(sender.publish("t", &payload, QOS1).await, ReasonCode::SUCCESS);
            }
            assert_eq!(server.broker().client("receiver").unwrap().queued, 5);
            assert_eq!(server.statistics().dropped_queue_full, 5);
            let dropped = |what: &What| {
                matches!(what, What::MessageDropped { cause: DropCause::QueueFull, client_identifier, .. }
                    if &**client_identifier == "receiver")
            };
            assert_eq!(script.count(dropped), 5);
            let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
            let got: Vec<String> =
                receiver.payloads(5).await.iter().map(|payload| payload.trim().to_string()).collect();
            assert_eq!(got.join(" "), kept);
            receiver.assert_silent().await;
            // What was dropped does not come later either.
            receiver.disconnect().await;
            let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
            receiver.assert_silent().await;
        }
    }
}

#[tokio::test]
async fn an_unclean_end_keeps_what_was_queued() {
    let server = start().await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.send_bytes(b"\xff\xff").await;
    receiver.end().await;
    offline(&server, "receiver").await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let packet = Publish { qos: QOS1, packet_identifier: Some(id(9)), ..publish("t", "x") };
    sender.publish_packet(packet).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    assert_eq!(receiver.payloads(1).await, ["x"]);
}
