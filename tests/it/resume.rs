//! What was in flight when a connection ended.

use std::num::NonZeroU16;

use tidegate::packet::{Ack, Connect, Packet, ProtocolVersion, Publish, QoS, ReasonCode};
use tidegate::server::Server;

use crate::support::*;

/// A broker where a client with this name has a session and a subscription, and nothing more.
async fn subscribed(version: ProtocolVersion, qos: QoS) -> (Server, Client, Client) {
    let server = start().await;
    let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
    receiver.subscribe("t", qos).await;
    let sender = Client::connect(&server, connect(V5, "sender")).await;
    (server, receiver, sender)
}

async fn offline(server: &Server, name: &str) {
    until(|| server.broker().client(name).is_some_and(|status| status.client.is_none())).await;
}

fn ack_of(publish: &Publish) -> Ack {
    Ack::new(publish.packet_identifier.unwrap(), ReasonCode::SUCCESS)
}

#[tokio::test]
async fn unacknowledged_messages_come_again_with_the_same_identifier_and_dup() {
    // [MQTT-4.4.0-1], [MQTT-3.3.1-1]
    for version in VERSIONS {
        for qos in [QOS1, QOS2] {
            let (server, mut receiver, mut sender) = subscribed(version, QOS2).await;
            for n in 0..3 {
                sender.publish("t", &n.to_string(), qos).await;
            }
            let mut first = Vec::new();
            for _ in 0..3 {
                first.push(receiver.next_publish().await);
            }
            assert!(first.iter().all(|publish| !publish.dup));
            drop(receiver);
            offline(&server, "receiver").await;
            sender.publish("t", "3", qos).await;
            let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
            for before in &first {
                let again = receiver.message().await;
                assert!(again.dup, "{version} {qos:?}");
                assert_eq!(again, Publish { dup: true, ..before.clone() });
            }
            let new = receiver.message().await;
            assert_eq!((text(&new), new.dup), ("3", false));
            receiver.assert_silent().await;
        }
    }
}

#[tokio::test]
async fn an_acknowledged_message_does_not_come_again() {
    for version in VERSIONS {
        let (server, mut receiver, mut sender) = subscribed(version, QOS2).await;
        for qos in [QOS1, QOS2] {
            sender.publish("t", "x", qos).await;
            receiver.message().await;
        }
        receiver.ping().await;
        drop(receiver);
        offline(&server, "receiver").await;
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn pubrel_comes_again_in_place_of_publish_once_pubrec_was_sent() {
    // [MQTT-4.4.0-1], [MQTT-4.3.3-5], [MQTT-4.3.3-6]; in 3.1.1 [MQTT-4.3.3-1]
    for version in VERSIONS {
        let (server, mut receiver, mut sender) = subscribed(version, QOS2).await;
        sender.publish("t", "x", QOS2).await;
        let got = receiver.next_publish().await;
        receiver.send(Packet::Pubrec(ack_of(&got))).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&got)));
        drop(receiver);
        offline(&server, "receiver").await;
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&got)));
        receiver.send(Packet::Pubcomp(ack_of(&got))).await;
        receiver.assert_silent().await;
        drop(receiver);
        offline(&server, "receiver").await;
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn the_receive_maximum_of_the_new_connection_holds_for_what_comes_again() {
    // [MQTT-3.3.4-9]
    let (server, mut receiver, mut sender) = subscribed(V5, QOS1).await;
    for n in 0..5 {
        sender.publish("t", &n.to_string(), QOS1).await;
    }
    for _ in 0..5 {
        receiver.next_publish().await;
    }
    drop(receiver);
    offline(&server, "receiver").await;
    let asks = Connect { receive_maximum: NonZeroU16::new(2), ..persistent(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    let first = receiver.next_publish().await;
    let second = receiver.next_publish().await;
    assert_eq!((text(&first), text(&second)), ("0", "1"));
    receiver.assert_silent().await;
    receiver.send(Packet::Puback(ack_of(&first))).await;
    assert_eq!(text(&receiver.next_publish().await), "2");
    receiver.assert_silent().await;
}

#[tokio::test]
async fn what_comes_again_keeps_to_the_maximum_packet_size_of_the_new_connection() {
    // What is in flight was sent again without a look at the new connection's Maximum Packet Size: a
    // client that had come back with less memory got a packet that it had said it cannot take.
    // [MQTT-3.1.2-24]
    let (server, mut receiver, mut sender) = subscribed(V5, QOS2).await;
    let large = "x".repeat(500);
    sender.publish("t", &large, QOS1).await;
    sender.publish("t", &large, QOS2).await;
    sender.publish("t", "small", QOS1).await;
    for _ in 0..3 {
        receiver.next_publish().await;
    }
    drop(receiver);
    offline(&server, "receiver").await;
    let asks = Connect { maximum_packet_size: Some(100), ..persistent(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    let got = receiver.message().await;
    assert_eq!((text(&got), got.dup), ("small", true));
    receiver.assert_silent().await;
    assert_eq!(server.statistics().dropped_too_large, 2);
    assert_eq!(server.broker().client("receiver").unwrap().in_flight, 0);
}

#[tokio::test]
async fn messages_in_flight_survive_a_takeover() {
    let (server, mut receiver, mut sender) = subscribed(V5, QOS1).await;
    sender.publish("t", "x", QOS1).await;
    let first = receiver.next_publish().await;
    let mut second = Client::connect(&server, persistent(V5, "receiver")).await;
    assert_eq!(receiver.end().await, Some(ReasonCode::SESSION_TAKEN_OVER));
    assert_eq!(second.message().await, Publish { dup: true, ..first });
    second.assert_silent().await;
}

#[tokio::test]
async fn an_acknowledgement_sent_on_the_next_connection_counts() {
    let (server, mut receiver, mut sender) = subscribed(V5, QOS2).await;
    sender.publish("t", "x", QOS2).await;
    let got = receiver.next_publish().await;
    drop(receiver);
    offline(&server, "receiver").await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    assert!(receiver.next_publish().await.dup);
    receiver.send(Packet::Pubrec(ack_of(&got))).await;
    assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&got)));
    receiver.send(Packet::Pubcomp(ack_of(&got))).await;
    receiver.ping().await;
    assert_eq!(server.broker().client("receiver").unwrap().in_flight, 0);
}
