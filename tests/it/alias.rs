//! Topic aliases that the client sets.

use std::num::NonZeroU16;

use tidegate::broker::Options;
use tidegate::packet::{Packet, Publish, ReasonCode};
use tidegate::server::Server;

use crate::support::*;

fn aliased(topic: &str, payload: &str, alias: u16) -> Packet {
    Packet::Publish(Publish { topic_alias: NonZeroU16::new(alias), ..publish(topic, payload) })
}

async fn three_aliases() -> (Server, Client, Client) {
    let server = start_with(Options { topic_alias_maximum: 3, ..Options::default() }).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS0).await;
    let sender = Client::connect(&server, persistent(V5, "sender")).await;
    (server, receiver, sender)
}

#[tokio::test]
async fn an_alias_stands_for_its_topic_until_it_is_set_anew() {
    // MQTT 5.0, 3.3.2.3.4
    let (_server, mut receiver, mut sender) = three_aliases().await;
    let packets = [
        ("a", "1", 3, "a"),
        ("", "2", 3, "a"),
        ("b", "3", 1, "b"),
        ("c", "4", 3, "c"),
        ("", "5", 3, "c"),
        ("", "6", 1, "b"),
    ];
    for (topic, payload, alias, expected) in packets {
        sender.send(aliased(topic, payload, alias)).await;
        let got = receiver.message().await;
        assert_eq!((&*got.topic, text(&got), got.topic_alias), (expected, payload, None));
    }
}

#[tokio::test]
async fn an_unknown_alias_ends_the_connection() {
    // 0x94 was told where it has to be 0x82: that is for aliases that cannot be, as 0. MQTT 5.0, 3.3.4
    let (_server, mut receiver, mut sender) = three_aliases().await;
    sender.send(aliased("", "x", 2)).await;
    assert_eq!(sender.end().await, Some(ReasonCode::PROTOCOL_ERROR));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn an_alias_above_the_maximum_ends_the_connection_with_0x94() {
    // [MQTT-3.2.2-17], [MQTT-3.3.2-9]
    let (server, mut receiver, mut sender) = three_aliases().await;
    sender.send(aliased("t", "x", 4)).await;
    assert_eq!(sender.end().await, Some(ReasonCode::TOPIC_ALIAS_INVALID));
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.send(aliased("", "x", 4)).await;
    assert_eq!(sender.end().await, Some(ReasonCode::TOPIC_ALIAS_INVALID));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn alias_zero_ends_the_connection_with_0x94() {
    // [MQTT-3.3.2-8]
    let (_server, mut receiver, mut sender) = three_aliases().await;
    sender.send_bytes(b"\x30\x08\x00\x01t\x03\x23\x00\x00x").await;
    assert_eq!(sender.end().await, Some(ReasonCode::TOPIC_ALIAS_INVALID));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn aliases_end_with_their_connection() {
    // [MQTT-3.3.2-7]
    let (server, mut receiver, mut sender) = three_aliases().await;
    sender.send(aliased("t", "x", 1)).await;
    receiver.message().await;
    sender.disconnect().await;
    let mut sender = Client::connect(&server, persistent(V5, "sender")).await;
    sender.send(aliased("", "y", 1)).await;
    assert!(sender.end().await.is_some_and(|reason| reason.is_error()));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn aliases_of_two_clients_are_apart() {
    let (server, mut receiver, mut sender) = three_aliases().await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    sender.send(aliased("a", "1", 1)).await;
    sender.ping().await;
    other.send(aliased("b", "2", 1)).await;
    other.ping().await;
    sender.send(aliased("", "3", 1)).await;
    for expected in ["a", "b", "a"] {
        assert_eq!(receiver.message().await.topic, expected);
    }
}

#[tokio::test]
async fn an_alias_that_connack_allowed_is_taken_after_the_limit_was_lowered() {
    // [MQTT-3.2.2-17]: clients that did what they had been told they might were disconnected with 0x94.
    let (server, mut receiver, mut sender) = three_aliases().await;
    server.broker().set_options(Options { topic_alias_maximum: 0, ..Options::default() });
    sender.send(aliased("a", "1", 3)).await;
    sender.send(aliased("", "2", 3)).await;
    assert_eq!(receiver.payloads(2).await, ["1", "2"]);
    let mut later = Client::connect(&server, connect(V5, "later")).await;
    later.send(aliased("a", "3", 1)).await;
    assert_eq!(later.end().await, Some(ReasonCode::TOPIC_ALIAS_INVALID));
}
