//! QoS 0, 1 and 2 in both directions.

use std::num::NonZeroU16;

use tidegate::broker::Options;
use tidegate::packet::{Ack, Connect, Packet, Publish, QoS, ReasonCode};

use crate::support::client::{id, to};
use crate::support::*;

fn with_identifier(topic: &str, payload: &str, qos: QoS, identifier: u16, dup: bool) -> Packet {
    let packet_identifier = Some(id(identifier));
    Packet::Publish(Publish { qos, packet_identifier, dup, ..publish(topic, payload) })
}

#[tokio::test]
async fn every_qos_arrives_with_the_lower_of_published_and_granted() {
    // [MQTT-3.8.4-8]
    let server = start().await;
    for (from, to) in [(V311, V5), (V5, V311)] {
        let mut sender = Client::connect(&server, connect(from, "sender")).await;
        let mut receiver = Client::connect(&server, connect(to, "receiver")).await;
        for granted in ALL_QOS {
            receiver.subscribe("t", granted).await;
            for published in ALL_QOS {
                let reason = sender.publish("t", "x", published).await;
                assert_eq!(reason, ReasonCode::SUCCESS);
                let got = receiver.message().await;
                assert_eq!((got.qos, got.dup, text(&got)), (published.min(granted), false, "x"));
            }
        }
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn qos2_publish_is_delivered_once_when_resent() {
    // [MQTT-4.3.3-10]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(version, "sender")).await;
        for dup in [false, false, true] {
            sender.send(with_identifier("t", "x", QOS2, 7, dup)).await;
            assert_eq!(sender.pubrec().await, Ack::new(id(7), ReasonCode::SUCCESS));
        }
        assert_eq!(sender.release(id(7)).await, ReasonCode::SUCCESS);
        assert_eq!(text(&receiver.message().await), "x");
        receiver.assert_silent().await;
        // Released: the identifier now names a new message.
        sender.send(with_identifier("t", "y", QOS2, 7, false)).await;
        sender.pubrec().await;
        assert_eq!(text(&receiver.message().await), "y");
    }
}

#[tokio::test]
async fn qos2_publish_is_delivered_once_across_reconnects() {
    // [MQTT-4.3.3-10], [MQTT-4.4.0-1]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        for dup in [false, true, true] {
            let mut sender = Client::connect(&server, persistent(version, "sender")).await;
            sender.send(with_identifier("t", "x", QOS2, 7, dup)).await;
            sender.pubrec().await;
        }
        let mut sender = Client::connect(&server, persistent(version, "sender")).await;
        assert_eq!(sender.release(id(7)).await, ReasonCode::SUCCESS);
        assert_eq!(text(&receiver.message().await), "x");
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn a_clean_start_forgets_unreleased_identifiers() {
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS0).await;
    for n in ["1", "2"] {
        let clean = Connect { clean_start: true, ..persistent(V5, "sender") };
        let mut sender = Client::connect(&server, clean).await;
        sender.send(with_identifier("t", n, QOS2, 7, false)).await;
        sender.pubrec().await;
        assert_eq!(text(&receiver.message().await), n);
    }
}

#[tokio::test]
async fn pubrel_of_an_unknown_identifier_is_answered_with_0x92() {
    // MQTT 5.0, 3.7.2.1
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    assert_eq!(client.release(id(99)).await, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
    let mut client = Client::connect(&server, connect(V311, "b")).await;
    assert_eq!(client.release(id(99)).await, ReasonCode::SUCCESS);
}

#[tokio::test]
async fn acknowledgements_of_unknown_identifiers_harm_nothing() {
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let ack = Ack::new(id(4242), ReasonCode::SUCCESS);
        client.send(Packet::Puback(ack.clone())).await;
        client.send(Packet::Pubcomp(ack.clone())).await;
        client.assert_silent().await;
        client.send(Packet::Pubrec(ack)).await;
        let Packet::Pubrel(pubrel) = client.receive().await else { panic!("no PUBREL") };
        if version == V5 {
            assert_eq!(pubrel.reason_code, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
        }
    }
}

#[tokio::test]
async fn dup_of_the_publisher_is_not_propagated() {
    // [MQTT-3.3.1-3]
    let server = start().await;
    for (from, at) in [(V5, V5), (V5, V311), (V311, V5), (V311, V311)] {
        let mut receiver = Client::connect(&server, connect(at, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(from, "sender")).await;
        for (qos, identifier) in [(QOS1, 1), (QOS2, 2)] {
            sender.send(with_identifier("t", "x", qos, identifier, true)).await;
            sender.receive().await;
            let got = receiver.message().await;
            assert_eq!((got.qos, got.dup), (qos, false));
        }
    }
}

#[tokio::test]
async fn order_is_kept_per_qos() {
    // [MQTT-4.6.0-5], [MQTT-4.6.0-6]
    let server = start().await;
    for qos in ALL_QOS {
        let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
        receiver.subscribe("t/#", QOS2).await;
        let mut sender = Client::connect(&server, connect(V311, "sender")).await;
        let sent: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        for payload in &sent {
            sender.publish("t/a", payload, qos).await;
        }
        assert_eq!(receiver.payloads(200).await, sent, "{qos:?}");
    }
}

#[tokio::test]
async fn many_messages_sent_without_waiting_are_all_acknowledged_in_order() {
    // [MQTT-4.6.0-2], [MQTT-4.6.0-3]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    for identifier in 1..=200 {
        let qos = if identifier % 2 == 0 { QOS1 } else { QOS2 };
        sender.send(with_identifier("t", &identifier.to_string(), qos, identifier, false)).await;
    }
    for identifier in 1..=200 {
        let acknowledged = match sender.receive().await {
            Packet::Puback(ack) | Packet::Pubrec(ack) => ack.packet_identifier,
            other => panic!("{other:?}"),
        };
        assert_eq!(acknowledged, id(identifier));
    }
    let expected: Vec<String> = (1..=200).map(|n| n.to_string()).collect();
    assert_eq!(receiver.payloads(200).await, expected);
}

#[tokio::test]
async fn a_publish_nobody_subscribed_is_acknowledged_with_0x10() {
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(client.publish("t", "x", QOS2).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let mut client = Client::connect(&server, connect(V311, "b")).await;
    assert_eq!(client.publish("t", "x", QOS2).await, ReasonCode::SUCCESS);
}

#[tokio::test]
async fn more_than_the_clients_receive_maximum_is_never_in_flight() {
    // [MQTT-3.3.4-9]
    let server = start().await;
    let asks = Connect { receive_maximum: NonZeroU16::new(2), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for n in 0..10 {
        sender.publish("t", &n.to_string(), if n % 2 == 0 { QOS1 } else { QOS2 }).await;
    }
    let first = receiver.next_publish().await;
    let second = receiver.next_publish().await;
    assert_eq!((text(&first), text(&second)), ("0", "1"));
    receiver.assert_silent().await;
    // PUBACK makes room for one; PUBREC for none, PUBCOMP for the next.
    receiver.send(Packet::Puback(Ack::new(first.packet_identifier.unwrap(), ReasonCode::SUCCESS))).await;
    let third = receiver.next_publish().await;
    assert_eq!(text(&third), "2");
    let second = Ack::new(second.packet_identifier.unwrap(), ReasonCode::SUCCESS);
    receiver.send(Packet::Pubrec(second.clone())).await;
    assert!(matches!(receiver.receive().await, Packet::Pubrel(_)));
    receiver.assert_silent().await;
    receiver.send(Packet::Pubcomp(second)).await;
    assert_eq!(text(&receiver.next_publish().await), "3");
    receiver.assert_silent().await;
}

#[tokio::test]
async fn qos0_is_not_held_back_by_a_full_window() {
    // MQTT 5.0, 4.9
    let server = start().await;
    let asks = Connect { receive_maximum: NonZeroU16::new(1), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "1", QOS1).await;
    sender.publish("t", "2", QOS1).await;
    assert_eq!(text(&receiver.next_publish().await), "1");
    sender.publish("t", "zero", QOS0).await;
    assert_eq!(text(&receiver.next_publish().await), "zero");
}

#[tokio::test]
async fn a_pubrec_with_an_error_ends_the_flow() {
    // MQTT 5.0, 4.3.3: the identifier is free, no PUBREL follows
    let server = start().await;
    let asks = Connect { receive_maximum: NonZeroU16::new(1), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "1", QOS2).await;
    sender.publish("t", "2", QOS2).await;
    let first = receiver.next_publish().await.packet_identifier.unwrap();
    receiver.send(Packet::Pubrec(Ack::new(first, ReasonCode::QUOTA_EXCEEDED))).await;
    assert_eq!(text(&receiver.next_publish().await), "2");
}

#[tokio::test]
async fn more_unreleased_messages_than_our_receive_maximum_are_refused_with_0x93() {
    // [MQTT-3.3.4-7]
    let server = start_with(Options { receive_maximum: 3, ..Options::default() }).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    for identifier in 1..=3 {
        client.send(with_identifier("t", "x", QOS2, identifier, false)).await;
        client.pubrec().await;
    }
    assert_eq!(client.release(id(2)).await, ReasonCode::SUCCESS);
    client.send(with_identifier("t", "x", QOS2, 4, false)).await;
    client.pubrec().await;
    client.send(with_identifier("t", "x", QOS2, 5, false)).await;
    assert_eq!(client.end().await, Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
}

#[tokio::test]
async fn granted_qos_is_at_most_the_servers() {
    let server = start_with(Options { maximum_qos: QOS1, ..Options::default() }).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let suback = client.subscribe_to(vec![to("t", QOS2)]).await;
    assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1]);
}

#[tokio::test]
async fn properties_of_a_publish_arrive_unaltered() {
    // [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-20]
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    let mut old = Client::connect(&server, connect(V311, "old")).await;
    old.subscribe("t", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let properties = tidegate::packet::PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: None,
        content_type: Some("text/plain".into()),
        response_topic: Some("answer/here".into()),
        correlation_data: Some(bytes::Bytes::from_static(b"\x00\xff")),
        user_properties: vec![("k".into(), "2".into()), ("a".into(), "1".into()), ("k".into(), "1".into())],
    };
    let properties = Some(Box::new(properties));
    sender.publish_packet(Publish { qos: QOS1, properties: properties.clone(), ..publish("t", "x") }).await;
    assert_eq!(receiver.message().await.properties, properties);
    let got = old.message().await;
    assert_eq!((text(&got), &got.properties), ("x", &None));
}
