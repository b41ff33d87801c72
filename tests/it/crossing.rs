//! Sessions that a client opens with one version of MQTT and goes on with in the other.

use std::time::Duration;

use tidegate::packet::{
    Ack, Connect, Packet, ProtocolVersion, Publish, PublishProperties, ReasonCode, RetainHandling,
    SubscribeFilter, Will,
};
use tidegate::server::Server;

use crate::support::client::{id, to};
use crate::support::*;

const CROSSINGS: [(ProtocolVersion, ProtocolVersion); 2] = [(V311, V5), (V5, V311)];

async fn offline(server: &Server, name: &str) {
    until(|| server.broker().client(name).is_some_and(|status| status.client.is_none())).await;
}

/// Takes the session of "receiver" up again; it must be there.
async fn resumed(server: &Server, version: ProtocolVersion) -> Client {
    offline(server, "receiver").await;
    let (client, connack) = Client::try_connect(server, persistent(version, "receiver")).await;
    assert!(connack.session_present, "{version}");
    client
}

fn ack_of(publish: &Publish) -> Ack {
    Ack::new(publish.packet_identifier.unwrap(), ReasonCode::SUCCESS)
}

fn described(payload: &str) -> Publish {
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        content_type: Some("text/plain".into()),
        response_topic: Some("answer".into()),
        correlation_data: Some(bytes::Bytes::from_static(b"\x00\xff")),
        user_properties: vec![("k".into(), "2".into()), ("k".into(), "1".into())],
        ..PublishProperties::default()
    };
    Publish { qos: QOS1, properties: Some(Box::new(properties)), ..publish("t", payload) }
}

#[tokio::test]
async fn a_session_is_present_for_the_other_version_with_its_subscriptions_and_messages() {
    // [MQTT-3.1.2-5], [MQTT-3.2.2-3]; in 3.1.1 [MQTT-3.1.2-4], [MQTT-3.2.2-2]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (before, after) in CROSSINGS {
        let mut receiver = Client::connect(&server, persistent(before, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        receiver.disconnect().await;
        for n in 0..10 {
            sender.publish("t", &n.to_string(), if n % 2 == 0 { QOS1 } else { QOS2 }).await;
        }
        let mut receiver = resumed(&server, after).await;
        let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(receiver.payloads(10).await, expected);
        sender.publish("t", "live", QOS2).await;
        assert_eq!(receiver.payloads(1).await, ["live"]);
        receiver.assert_silent().await;
        receiver.disconnect().await;
        let mut receiver = resumed(&server, before).await;
        assert_eq!(receiver.unsubscribe(&["t"]).await.packet_identifier, id(1));
        assert_eq!(server.broker().subscription_count(), 0);
        receiver.disconnect().await;
        assert!(server.broker().delete_session("receiver"));
    }
}

#[tokio::test]
async fn queued_messages_keep_their_properties_for_whom_they_exist() {
    // [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (before, after) in CROSSINGS {
        let mut receiver = Client::connect(&server, persistent(before, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        receiver.disconnect().await;
        for payload in ["1", "2"] {
            sender.publish_packet(described(payload)).await;
        }
        // The first is taken by the other version, and the second, in flight there, by this one again.
        let mut receiver = resumed(&server, after).await;
        let first = receiver.message().await;
        assert_eq!(first.properties, described("").properties.filter(|_| after == V5));
        let second = receiver.next_publish().await;
        assert_eq!((text(&first), text(&second)), ("1", "2"));
        drop(receiver);
        let mut receiver = resumed(&server, before).await;
        let again = receiver.message().await;
        let properties = described("").properties.filter(|_| before == V5);
        assert_eq!(again, Publish { dup: true, properties, ..second });
        receiver.assert_silent().await;
        receiver.disconnect().await;
        assert!(server.broker().delete_session("receiver"));
    }
}

#[tokio::test]
async fn what_is_in_flight_comes_again_with_its_identifiers_and_dup() {
    // [MQTT-4.4.0-1], [MQTT-3.3.1-1]; in 3.1.1 [MQTT-2.3.1-4]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (before, after) in CROSSINGS {
        let mut receiver = Client::connect(&server, persistent(before, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        for (payload, qos) in [("1", QOS2), ("2", QOS1), ("3", QOS2), ("4", QOS1)] {
            sender.publish("t", payload, qos).await;
        }
        let mut sent = Vec::new();
        for _ in 0..4 {
            sent.push(receiver.next_publish().await);
        }
        // The first goes on with PUBREL, the second is done.
        receiver.send(Packet::Pubrec(ack_of(&sent[0]))).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&sent[0])));
        receiver.send(Packet::Puback(ack_of(&sent[1]))).await;
        receiver.ping().await;
        drop(receiver);
        let mut receiver = resumed(&server, after).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&sent[0])));
        for before in &sent[2..] {
            assert_eq!(receiver.next_publish().await, Publish { dup: true, ..before.clone() });
        }
        receiver.send(Packet::Pubcomp(ack_of(&sent[0]))).await;
        receiver.send(Packet::Puback(ack_of(&sent[3]))).await;
        receiver.send(Packet::Pubrec(ack_of(&sent[2]))).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&sent[2])));
        receiver.send(Packet::Pubcomp(ack_of(&sent[2]))).await;
        receiver.assert_silent().await;
        assert_eq!(server.broker().client("receiver").unwrap().in_flight, 0);
        // A new message takes none of the identifiers that were in use a moment ago for another.
        sender.publish("t", "5", QOS1).await;
        assert_eq!(receiver.message().await.packet_identifier, Some(id(5)));
        receiver.disconnect().await;
        assert!(server.broker().delete_session("receiver"));
    }
}

#[tokio::test]
async fn a_qos2_publish_is_delivered_once_when_it_is_resent_in_the_other_version() {
    // [MQTT-4.3.3-10], [MQTT-4.3.3-11]; in 3.1.1 [MQTT-4.3.3-2]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("t", QOS2).await;
    for (before, after) in CROSSINGS {
        let packet = |dup| Publish { qos: QOS2, packet_identifier: Some(id(7)), dup, ..publish("t", "x") };
        let mut sender = Client::connect(&server, persistent(before, "sender")).await;
        sender.send(Packet::Publish(packet(false))).await;
        assert_eq!(sender.pubrec().await.packet_identifier, id(7));
        drop(sender);
        offline(&server, "sender").await;
        let mut sender = Client::connect(&server, persistent(after, "sender")).await;
        sender.send(Packet::Publish(packet(true))).await;
        assert_eq!(sender.pubrec().await, Ack::new(id(7), ReasonCode::SUCCESS));
        assert_eq!(sender.release(id(7)).await, ReasonCode::SUCCESS);
        assert_eq!(witness.payloads(1).await, ["x"]);
        witness.assert_silent().await;
        sender.disconnect().await;
    }
}

#[tokio::test]
async fn subscription_options_of_5_0_say_nothing_to_a_3_1_1_client_and_are_kept() {
    // A subscription that keeps the RETAIN flag kept it for a 3.1.1 client too, to which the flag means that the
    // message is an old one: [MQTT-3.3.1-9] of 3.1.1.
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    let options = SubscribeFilter { no_local: true, retain_as_published: true, ..to("t", QOS1) };
    receiver.subscribe_as(Some(9), vec![options]).await;
    receiver.disconnect().await;
    let mut receiver = resumed(&server, V311).await;
    sender.publish_retained("t", "live", QOS1).await;
    let got = receiver.message().await;
    assert_eq!((text(&got), got.retain, got.subscription_identifiers.len()), ("live", false, 0));
    // What comes because it subscribes is marked.
    receiver.subscribe("t", QOS1).await;
    let got = receiver.message().await;
    assert_eq!((text(&got), got.retain), ("live", true));
    receiver.disconnect().await;
    let mut receiver = resumed(&server, V5).await;
    let options = SubscribeFilter {
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..to("t", QOS1)
    };
    receiver.subscribe_as(Some(10), vec![options]).await;
    receiver.disconnect().await;
    sender.publish_retained("t", "queued", QOS1).await;
    // What is in flight to one is sent again as the other has it.
    let mut receiver = resumed(&server, V311).await;
    let got = receiver.next_publish().await;
    assert_eq!((text(&got), got.retain, got.subscription_identifiers.len()), ("queued", false, 0));
    drop(receiver);
    let mut receiver = resumed(&server, V5).await;
    let got = receiver.message().await;
    assert_eq!((text(&got), got.retain, &got.subscription_identifiers[..]), ("queued", true, &[10][..]));
}

#[tokio::test]
async fn the_other_version_takes_a_session_over() {
    // [MQTT-3.1.4-3]; in 3.1.1 [MQTT-3.1.4-2]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (before, after) in CROSSINGS {
        let mut old = Client::connect(&server, persistent(before, "receiver")).await;
        old.subscribe("t", QOS1).await;
        sender.publish("t", "x", QOS1).await;
        let first = old.next_publish().await;
        let (mut new, connack) = Client::try_connect(&server, persistent(after, "receiver")).await;
        assert!(connack.session_present);
        assert_eq!(old.end().await, (before == V5).then_some(ReasonCode::SESSION_TAKEN_OVER));
        assert_eq!(new.message().await, Publish { dup: true, ..first });
        new.assert_silent().await;
        new.disconnect().await;
        assert!(server.broker().delete_session("receiver"));
    }
}

#[tokio::test]
async fn a_session_ends_with_the_connection_that_does_not_keep_it() {
    // [MQTT-3.1.2-23]; in 3.1.1 [MQTT-3.1.2-6]
    let server = start().await;
    let ends_5 = Connect { clean_start: false, ..connect(V5, "receiver") };
    for (before, ends, present) in [(V311, ends_5, true), (V5, connect(V311, "receiver"), false)] {
        let after = ends.protocol_version;
        Client::connect(&server, persistent(before, "receiver")).await.disconnect().await;
        let (client, connack) = Client::try_connect(&server, ends).await;
        assert_eq!(connack.session_present, present, "{after}");
        client.disconnect().await;
        until(|| server.broker().session_count() == 0).await;
        let (client, connack) = Client::try_connect(&server, persistent(before, "receiver")).await;
        assert!(!connack.session_present, "{after}");
        client.disconnect().await;
        assert!(server.broker().delete_session("receiver"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_of_5_0_is_cancelled_by_a_3_1_1_client_that_resumes() {
    // [MQTT-3.1.3-9]
    let local = Local::start();
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    for version in VERSIONS {
        let will = Will { delay_interval: 30, ..will("will", "gone") };
        drop(local.connect(with_will(persistent(V5, "a"), will)).await);
        tokio::time::sleep(Duration::from_secs(29)).await;
        local.connect(persistent(version, "a")).await.disconnect().await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        witness.assert_silent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_5_0_expires_in_the_queue_of_a_3_1_1_session() {
    // [MQTT-3.3.2-5]
    let local = Local::start();
    let mut receiver = local.connect(persistent(V311, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for (payload, seconds) in [("short", 5), ("long", 60)] {
        let properties = PublishProperties { message_expiry_interval: Some(seconds), ..Default::default() };
        let properties = Some(Box::new(properties));
        sender.publish_packet(Publish { qos: QOS1, properties, ..publish("t", payload) }).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut receiver = local.connect(persistent(V311, "receiver")).await;
    assert_eq!(receiver.payloads(1).await, ["long"]);
    receiver.assert_silent().await;
}
