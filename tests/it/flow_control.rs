//! Packet identifiers and quotas: what uses them up, what gives them back, and what is sent again.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::packet::{
    Ack, Connect, Packet, Publish, PublishProperties, QoS, ReasonCode, Subscribe, Unsubscribe,
};
use tidegate::server::Server;

use crate::support::client::{id, to};
use crate::support::*;

fn ack_of(publish: &Publish) -> Ack {
    Ack::new(publish.packet_identifier.unwrap(), ReasonCode::SUCCESS)
}

fn refusal_of(publish: &Publish) -> Ack {
    Ack::new(publish.packet_identifier.unwrap(), ReasonCode::QUOTA_EXCEEDED)
}

fn numbered(qos: QoS, identifier: u16, dup: bool) -> Publish {
    Publish { qos, packet_identifier: Some(id(identifier)), dup, ..publish("t", &identifier.to_string()) }
}

fn expiring(payload: &str, seconds: u32) -> Publish {
    let properties = PublishProperties { message_expiry_interval: Some(seconds), ..Default::default() };
    Publish { qos: QOS2, properties: Some(Box::new(properties)), ..publish("t", payload) }
}

async fn offline(server: &Server, name: &str) {
    until(|| server.broker().client(name).is_some_and(|status| status.client.is_none())).await;
}

#[tokio::test]
async fn the_quota_is_given_back_by_puback_pubcomp_and_a_refusing_pubrec_and_by_nothing_else() {
    // [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2]
    let server = start().await;
    let asks = Connect { receive_maximum: NonZeroU16::new(2), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (payload, qos) in [("1", QOS1), ("2", QOS2), ("3", QOS2), ("4", QOS1), ("5", QOS1), ("6", QOS1)] {
        sender.publish("t", payload, qos).await;
    }
    let (one, two) = (receiver.next_publish().await, receiver.next_publish().await);
    assert_eq!((text(&one), text(&two)), ("1", "2"));
    receiver.assert_silent().await;
    // What acknowledges nothing, or not this far.
    receiver.send(Packet::Puback(ack_of(&two))).await;
    receiver.send(Packet::Pubcomp(ack_of(&one))).await;
    receiver.send(Packet::Pubcomp(ack_of(&two))).await;
    receiver.send(Packet::Puback(Ack::new(id(4242), ReasonCode::SUCCESS))).await;
    receiver.assert_silent().await;
    for _ in 0..2 {
        receiver.send(Packet::Pubrec(ack_of(&two))).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&two)));
    }
    receiver.assert_silent().await;
    // Each makes room for one, and only once.
    for again in [false, true] {
        receiver.send(Packet::Puback(ack_of(&one))).await;
        if !again {
            assert_eq!(text(&receiver.next_publish().await), "3");
        }
        receiver.assert_silent().await;
    }
    for again in [false, true] {
        receiver.send(Packet::Pubcomp(ack_of(&two))).await;
        if !again {
            assert_eq!(text(&receiver.next_publish().await), "4");
        }
        receiver.assert_silent().await;
    }
    for again in [false, true] {
        receiver.send(Packet::Pubrec(Ack::new(id(3), ReasonCode::UNSPECIFIED_ERROR))).await;
        if !again {
            assert_eq!(text(&receiver.next_publish().await), "5");
        }
        receiver.assert_silent().await;
    }
    receiver.send(Packet::Puback(Ack::new(id(4), ReasonCode::NOT_AUTHORIZED))).await;
    assert_eq!(text(&receiver.next_publish().await), "6");
    receiver.assert_silent().await;
}

#[tokio::test]
async fn a_full_window_holds_back_nothing_but_publish() {
    // [MQTT-3.3.4-10], [MQTT-4.9.0-3]
    let server = start().await;
    let asks = Connect { receive_maximum: NonZeroU16::new(1), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for payload in ["1", "2"] {
        sender.publish("t", payload, QOS2).await;
    }
    let first = receiver.next_publish().await;
    receiver.ping().await;
    receiver.subscribe("other", QOS1).await;
    receiver.unsubscribe(&["other"]).await;
    for qos in [QOS1, QOS2] {
        assert_eq!(receiver.publish("nobody", "x", qos).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    }
    sender.publish("t", "0", QOS0).await;
    assert_eq!(receiver.next_publish().await.qos, QOS0);
    receiver.send(Packet::Pubrec(ack_of(&first))).await;
    assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&first)));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn a_new_connection_has_its_whole_quota_whatever_was_left_unreleased_before() {
    // What a client had left unreleased on the connection before counted against the Receive Maximum of the next,
    // though that begins anew with each: a client that published before it released was cut off with 0x93.
    // MQTT 5.0, 4.9
    let server = start_with(Options { receive_maximum: 3, ..Options::default() }).await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("t", QOS2).await;
    let mut client = Client::connect(&server, persistent(V5, "a")).await;
    for identifier in 1..=3 {
        client.send(Packet::Publish(numbered(QOS2, identifier, false))).await;
        client.pubrec().await;
    }
    drop(client);
    offline(&server, "a").await;
    let mut client = Client::connect(&server, persistent(V5, "a")).await;
    for identifier in 4..=6 {
        client.send(Packet::Publish(numbered(QOS2, identifier, false))).await;
        assert_eq!(client.pubrec().await.reason_code, ReasonCode::SUCCESS);
    }
    // Each PUBCOMP gives back one, whichever connection the message came on, and never more than there were.
    for (released, next) in [(1, 7), (4, 8)] {
        assert_eq!(client.release(id(released)).await, ReasonCode::SUCCESS);
        client.send(Packet::Publish(numbered(QOS2, next, false))).await;
        client.pubrec().await;
    }
    let expected: Vec<String> = (1..=8).map(|n| n.to_string()).collect();
    assert_eq!(witness.payloads(8).await, expected);
    witness.assert_silent().await;
    client.send(Packet::Publish(numbered(QOS2, 9, false))).await;
    assert_eq!(client.end().await, Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_while_the_connection_lasts() {
    // [MQTT-4.4.0-1]
    let local = Local::start();
    for version in VERSIONS {
        let mut receiver = local.connect(connect(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = local.connect(connect(V5, "sender")).await;
        for qos in [QOS1, QOS2, QOS2] {
            sender.publish("t", "x", qos).await;
        }
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(receiver.next_publish().await);
        }
        receiver.send(Packet::Pubrec(ack_of(&sent[1]))).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&sent[1])));
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        receiver.assert_silent().await;
        assert_eq!(local.broker.client("receiver").unwrap().in_flight, 3);
    }
}

#[tokio::test]
async fn a_message_that_the_client_refused_is_not_sent_again() {
    // [MQTT-4.4.0-2], [MQTT-4.3.2-3], [MQTT-4.3.3-3]
    let server = start().await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (payload, qos) in [("1", QOS1), ("2", QOS2), ("3", QOS1)] {
        sender.publish("t", payload, qos).await;
    }
    let (one, two) = (receiver.next_publish().await, receiver.next_publish().await);
    receiver.send(Packet::Puback(refusal_of(&one))).await;
    receiver.send(Packet::Pubrec(refusal_of(&two))).await;
    assert_eq!(text(&receiver.next_publish().await), "3");
    receiver.assert_silent().await;
    drop(receiver);
    offline(&server, "receiver").await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    let got = receiver.message().await;
    assert_eq!((text(&got), got.dup), ("3", true));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn after_the_acknowledgement_an_identifier_names_a_new_message() {
    // [MQTT-4.3.2-4], [MQTT-4.3.2-5], [MQTT-4.3.3-12]; in 3.1.1 [MQTT-4.3.2-2], [MQTT-4.3.3-2]: also with DUP
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(version, "sender")).await;
        for dup in [false, true, true] {
            let ack = sender.publish_packet(numbered(QOS1, 7, dup)).await;
            assert_eq!(ack, Ack::new(id(7), ReasonCode::SUCCESS));
            assert_eq!(receiver.payloads(1).await, ["7"]);
        }
        for dup in [false, true, true] {
            sender.publish_packet(numbered(QOS2, 7, dup)).await;
            assert_eq!(receiver.payloads(1).await, ["7"]);
        }
        receiver.assert_silent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_has_begun_is_completed_though_its_message_expires() {
    // [MQTT-4.3.3-7], [MQTT-4.3.3-13]
    let local = Local::start();
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    let begun = Publish { packet_identifier: Some(id(1)), ..expiring("sent before", 5) };
    sender.publish_packet(begun).await;
    let got = receiver.next_publish().await;
    drop(receiver);
    let waits = Publish { packet_identifier: Some(id(2)), ..expiring("never sent", 5) };
    sender.send(Packet::Publish(waits.clone())).await;
    sender.pubrec().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // To the subscriber: what was sent is sent again, what was not is gone.
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    let again = receiver.message().await;
    assert_eq!(
        (text(&again), again.dup, again.packet_identifier),
        ("sent before", true, got.packet_identifier)
    );
    receiver.assert_silent().await;
    // From the publisher: the flow goes on, and brings nothing back.
    sender.send(Packet::Publish(Publish { dup: true, ..waits })).await;
    assert_eq!(sender.pubrec().await, Ack::new(id(2), ReasonCode::SUCCESS));
    assert_eq!(sender.release(id(2)).await, ReasonCode::SUCCESS);
    receiver.assert_silent().await;
}

#[tokio::test]
async fn every_answer_has_the_identifier_of_what_it_answers() {
    // [MQTT-2.2.1-5], [MQTT-2.2.1-6], [MQTT-3.3.4-1], [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.10.4-5],
    // [MQTT-4.3.3-8]; in 3.1.1 [MQTT-2.3.1-6], [MQTT-2.3.1-7]
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        // One at a time, and again all at once.
        for number in [1, 255, 256, 0x1234, u16::MAX] {
            for packet in requests(number) {
                client.send(packet).await;
                assert_eq!(answered(&mut client).await, number);
            }
        }
        for number in [7, 300] {
            for packet in requests(number) {
                client.send(packet).await;
            }
        }
        for number in [7, 300] {
            for _ in requests(number) {
                assert_eq!(answered(&mut client).await, number);
            }
        }
        client.assert_silent().await;
    }
}

/// Each kind of packet that is answered with its identifier.
fn requests(number: u16) -> [Packet; 5] {
    let packet_identifier = id(number);
    let subscribe = Subscribe {
        packet_identifier,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![to("nothing", QOS0)],
    };
    let filters = vec!["nothing".into()];
    let unsubscribe = Unsubscribe { packet_identifier, user_properties: Vec::new(), filters };
    [
        Packet::Subscribe(Box::new(subscribe)),
        Packet::Unsubscribe(Box::new(unsubscribe)),
        Packet::Publish(numbered(QOS1, number, false)),
        Packet::Publish(numbered(QOS2, number, false)),
        Packet::Pubrel(Ack::new(packet_identifier, ReasonCode::SUCCESS)),
    ]
}

async fn answered(client: &mut Client) -> u16 {
    match client.receive().await {
        Packet::Suback(suback) => suback.packet_identifier.get(),
        Packet::Unsuback(unsuback) => unsuback.packet_identifier.get(),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => ack.packet_identifier.get(),
        other => panic!("{other:?} in place of an answer"),
    }
}

#[tokio::test]
async fn identifiers_in_flight_are_not_zero_and_all_different() {
    // [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-4.3.3-1], [MQTT-4.3.3-2]; in 3.1.1 [MQTT-2.3.1-4]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for n in 0..200 {
            sender.publish("t", "x", if n % 3 == 0 { QOS2 } else { QOS1 }).await;
        }
        let mut identifiers = BTreeSet::new();
        for _ in 0..200 {
            let got = receiver.next_publish().await;
            assert!(!got.dup);
            assert!(identifiers.insert(got.packet_identifier.unwrap()), "{:?} twice", got.packet_identifier);
        }
    }
}

#[tokio::test]
async fn pubrels_go_out_in_the_order_of_the_pubrecs() {
    // [MQTT-4.6.0-4]: a rule for clients, which MQTT 3.1.1 has its servers follow too
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        let mut sent = Vec::new();
        for _ in 0..50 {
            sender.publish("t", "x", QOS2).await;
            sent.push(receiver.next_publish().await);
        }
        fastrand::Rng::with_seed(4).shuffle(&mut sent);
        for got in &sent {
            receiver.send(Packet::Pubrec(ack_of(got))).await;
        }
        for got in &sent {
            assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(got)));
        }
    }
}

#[tokio::test]
async fn order_and_identifiers_are_kept_over_many_takeovers() {
    // [MQTT-4.6.0-5], [MQTT-4.6.0-6], [MQTT-4.4.0-1]: what was not acknowledged comes again before what is new
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for qos in [QOS1, QOS2] {
        let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let (mut published, mut done) = (0, 0);
        let mut unacknowledged: Vec<Publish> = Vec::new();
        for round in 0..30_usize {
            for _ in 0..round % 4 + 1 {
                published += 1;
                sender.publish("t", &published.to_string(), qos).await;
            }
            for before in &unacknowledged {
                assert_eq!(receiver.next_publish().await, Publish { dup: true, ..before.clone() });
            }
            while done + unacknowledged.len() < published {
                let new = receiver.next_publish().await;
                let expected = (done + unacknowledged.len() + 1).to_string();
                assert_eq!((text(&new), new.dup), (&*expected, false));
                unacknowledged.push(new);
            }
            receiver.assert_silent().await;
            for got in unacknowledged.drain(..round % 3).collect::<Vec<_>>() {
                complete(&mut receiver, &got).await;
                done += 1;
            }
            receiver.ping().await;
            let former = receiver;
            let version = if round % 2 == 0 { V311 } else { V5 };
            receiver = Client::connect(&server, persistent(version, "receiver")).await;
            drop(former);
        }
        assert!(server.broker().delete_session("receiver"));
    }
}

/// Goes through the flow of a message that was received.
async fn complete(receiver: &mut Client, got: &Publish) {
    if got.qos == QOS1 {
        receiver.send(Packet::Puback(ack_of(got))).await;
        return;
    }
    receiver.send(Packet::Pubrec(ack_of(got))).await;
    assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(got)));
    receiver.send(Packet::Pubcomp(ack_of(got))).await;
}
