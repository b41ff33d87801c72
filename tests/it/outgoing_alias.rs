//! Topic aliases that the broker sets.

use std::collections::HashMap;
use std::num::NonZeroU16;

use tidegate::broker::Options;
use tidegate::packet::{Ack, Connect, Packet, Publish, ReasonCode, encoded_len};

use crate::support::*;

const TOPIC: &str = "building/7/floor/3/temperature";

/// Topic, alias.
type Form = (String, Option<u16>);

fn form(publish: &Publish) -> Form {
    (publish.topic.to_string(), publish.topic_alias.map(NonZeroU16::get))
}

fn in_full() -> Form {
    (TOPIC.into(), None)
}

fn beside(alias: u16) -> Form {
    (TOPIC.into(), Some(alias))
}

fn instead(alias: u16) -> Form {
    (String::new(), Some(alias))
}

fn taking(topic_alias_maximum: u16, connect: Connect) -> Connect {
    Connect { topic_alias_maximum, ..connect }
}

/// What a client knows of aliases.
#[derive(Default)]
struct Known {
    topics: HashMap<NonZeroU16, String>,
    maximum: u16,
    used: usize,
}

impl Known {
    fn topic_of(&mut self, publish: &Publish) -> String {
        let Some(alias) = publish.topic_alias else {
            assert!(!publish.topic.is_empty(), "neither topic nor alias");
            return publish.topic.to_string();
        };
        assert!(alias.get() <= self.maximum, "alias {alias}");
        if publish.topic.is_empty() {
            self.used += 1;
        } else {
            self.topics.insert(alias, publish.topic.to_string());
        }
        self.topics.get(&alias).expect("an alias that was never set").clone()
    }
}

#[tokio::test]
async fn a_topic_that_comes_again_gets_an_alias_where_the_client_takes_some() {
    // MQTT 5.0, 3.3.2.3.4; [MQTT-3.1.2-26]
    let server = start().await;
    let mut receiver = Client::connect(&server, taking(5, connect(V5, "receiver"))).await;
    receiver.subscribe("#", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut forms = Vec::new();
    // Payloads from 8 KiB on take another way out.
    for (qos, size) in [(QOS0, 1), (QOS1, 1), (QOS2, 1), (QOS0, 20_000), (QOS1, 20_000), (QOS0, 1)] {
        sender.publish(TOPIC, &"x".repeat(size), qos).await;
        let got = receiver.message().await;
        assert_eq!((got.qos, got.payload.len()), (qos, size));
        forms.push(form(&got));
    }
    let expected = [in_full(), beside(1), instead(1), instead(1), instead(1), instead(1)];
    assert_eq!(forms, expected);
}

#[tokio::test]
async fn a_client_that_takes_no_aliases_gets_none() {
    // [MQTT-3.1.2-27]
    for (maximum, version, ours) in [(0, V5, 16), (5, V311, 16), (5, V5, 0)] {
        let options = Options { outgoing_topic_alias_maximum: ours, ..Options::default() };
        let server = start_with(options).await;
        let mut receiver = Client::connect(&server, taking(maximum, connect(version, "receiver"))).await;
        receiver.subscribe("#", QOS1).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for _ in 0..5 {
            sender.publish(TOPIC, "x", QOS1).await;
            assert_eq!(form(&receiver.message().await), in_full(), "{maximum} {version} {ours}");
        }
    }
}

#[tokio::test]
async fn aliases_stay_within_the_clients_maximum_and_ours() {
    // [MQTT-3.1.2-26]
    for (theirs, ours) in [(3, 10), (10, 3)] {
        let options = Options { outgoing_topic_alias_maximum: ours, ..Options::default() };
        let server = start_with(options).await;
        let mut receiver = Client::connect(&server, taking(theirs, connect(V5, "receiver"))).await;
        receiver.subscribe("#", QOS1).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        let mut known = Known { maximum: 3, ..Known::default() };
        for n in 0..60 {
            let topic = format!("building/7/{}", n / 6);
            sender.publish(&topic, "x", QOS1).await;
            assert_eq!(known.topic_of(&receiver.message().await), topic);
        }
        // Each topic came six times: in full, with its alias, four times by its alias.
        assert_eq!((known.topics.len(), known.used), (3, 40));
    }
}

#[tokio::test]
async fn every_message_arrives_under_its_topic_whatever_was_sent_before() {
    let server = start().await;
    let asks = Connect { maximum_packet_size: Some(300), ..taking(4, connect(V5, "receiver")) };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("#", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut random = fastrand::Rng::with_seed(11);
    let mut known = Known { maximum: 4, ..Known::default() };
    for n in 0..2000 {
        // Some topics often, some once, and which are frequent changes; some packets just fit, some do not.
        let topic = match random.u8(0..4) {
            0 => format!("once/{n}"),
            _ => format!("often/{}", random.usize(0..6) + n / 500),
        };
        let size = if random.bool() { 3 } else { random.usize(275..300) };
        let qos = ALL_QOS[random.usize(0..3)];
        let payload = format!("{n:03}{}", "x".repeat(size - 3));
        sender.publish(&topic, &payload, qos).await;
        let packet_identifier = (qos > QOS0).then_some(client::id(1));
        let packet = Publish { qos, packet_identifier, ..publish(&topic, &payload) };
        if encoded_len(&Packet::Publish(packet), V5).unwrap() <= 300 {
            let got = receiver.message().await;
            assert!(encoded_len(&Packet::Publish(got.clone()), V5).unwrap() <= 300);
            assert_eq!((known.topic_of(&got), text(&got)), (topic, &*payload));
        }
    }
    receiver.assert_silent().await;
    assert!(known.used > 500, "{} aliases were used", known.used);
}

#[tokio::test]
async fn an_alias_is_not_set_by_a_packet_that_it_would_make_too_large() {
    // [MQTT-3.1.2-24]: three bytes of alias come on top of the topic that is still said
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let size = encoded_len(&Packet::Publish(publish(TOPIC, "payload")), V5).unwrap() as u32;
    for (maximum, expected) in
        [(size + 2, [in_full(), in_full(), in_full()]), (size + 3, [in_full(), beside(1), instead(1)])]
    {
        let asks = Connect { maximum_packet_size: Some(maximum), ..taking(5, connect(V5, "receiver")) };
        let mut receiver = Client::connect(&server, asks).await;
        receiver.subscribe("#", QOS0).await;
        for expected in expected {
            sender.publish(TOPIC, "payload", QOS0).await;
            assert_eq!(form(&receiver.message().await), expected, "{maximum}");
        }
        // Whether a message arrives does not depend on its alias. Acknowledged, it is in the receiver's queue.
        sender.publish(TOPIC, "payload and more", QOS1).await;
        receiver.assert_silent().await;
    }
    assert_eq!(server.statistics().dropped_too_large, 2);
}

#[tokio::test]
async fn aliases_end_with_their_connection_and_what_comes_again_has_its_topic() {
    // [MQTT-3.3.2-7]
    let server = start().await;
    let asks = || taking(5, persistent(V5, "receiver"));
    let mut receiver = Client::connect(&server, asks()).await;
    receiver.subscribe("#", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut forms = Vec::new();
    for _ in 0..3 {
        sender.publish(TOPIC, "x", QOS1).await;
        forms.push(form(&receiver.next_publish().await));
    }
    assert_eq!(forms, [in_full(), beside(1), instead(1)]);
    // None was acknowledged.
    let mut receiver = Client::connect(&server, asks()).await;
    for _ in 0..3 {
        let again = receiver.next_publish().await;
        assert!(again.dup);
        assert_eq!(form(&again), in_full());
    }
    for expected in [in_full(), beside(1), instead(1)] {
        sender.publish(TOPIC, "x", QOS1).await;
        let new = receiver.next_publish().await;
        assert!(!new.dup);
        assert_eq!(form(&new), expected);
    }
}

#[tokio::test]
async fn a_message_that_comes_again_has_its_topic_also_where_that_has_an_alias_by_then() {
    // A window of one holds what comes again back, while QoS 0 goes on.
    let server = start().await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for _ in 0..2 {
        sender.publish(TOPIC, "x", QOS1).await;
        receiver.next_publish().await;
    }
    let asks = Connect { receive_maximum: NonZeroU16::new(1), ..taking(5, persistent(V5, "receiver")) };
    let mut receiver = Client::connect(&server, asks).await;
    let first = receiver.next_publish().await;
    assert!(first.dup);
    for expected in [in_full(), beside(1), instead(1)] {
        sender.publish(TOPIC, "x", QOS0).await;
        assert_eq!(form(&receiver.next_publish().await), expected);
    }
    let ack = Ack::new(first.packet_identifier.unwrap(), ReasonCode::SUCCESS);
    receiver.send(Packet::Puback(ack)).await;
    let second = receiver.next_publish().await;
    assert!(second.dup);
    assert_eq!(form(&second), in_full());
}
