//! What other brokers are known to get wrong, or died of. Those not here have their test where their subject is:
//! `tests/conformance.md` lists all of them.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate::packet::{Ack, Connect, Packet, Publish, PublishProperties, ReasonCode, Will};
use tidegate::server::Server;

use crate::support::client::{id, to};
use crate::support::*;

/// Two clients in two tasks: whether the broker still takes in, routes, and lets new clients in.
async fn serves(server: &Server) {
    let mut receiver = Client::connect(server, connect(V5, "receiver of others")).await;
    receiver.subscribe("others/#", QOS1).await;
    let mut sender = Client::connect(server, connect(V311, "sender of others")).await;
    assert_eq!(sender.publish("others/1", "fine", QOS2).await, ReasonCode::SUCCESS);
    assert_eq!(receiver.payloads(1).await, ["fine"]);
}

#[tokio::test]
async fn a_subscribe_cut_off_before_its_options_byte_ends_its_connection_and_nothing_else() {
    // A broker read the byte after the filter without asking whether there is one: the process was gone.
    // [MQTT-3.8.3-2]; in 3.1.1 [MQTT-3.8.3-3]
    let server = start().await;
    let ends = Some(ReasonCode::MALFORMED_PACKET);
    let cases: [(_, &[u8], _); 4] = [
        (V5, b"\x82\x08\x00\x01\x00\x00\x03a/b", ends),
        (V5, b"\x82\x0e\x00\x01\x00\x00\x03a/b\x01\x00\x03c/d", ends),
        (V311, b"\x82\x07\x00\x01\x00\x03a/b", None),
        (V311, b"\x82\x0d\x00\x01\x00\x03a/b\x01\x00\x03c/d", None),
    ];
    for (version, bytes, told) in cases {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        client.send_bytes(bytes).await;
        assert_eq!(client.end().await, told, "{version}");
        serves(&server).await;
    }
    until(|| server.broker().session_count() == 0 && server.broker().subscription_count() == 0).await;
}

/// Topics whose first character takes more than one byte: a router that cuts a byte off them, or looks at the
/// first of them by its byte, panics. The first three begin with a byte order mark [MQTT-1.5.4-3].
const WIDE: [&str; 9] = [
    "\u{feff}",
    "\u{feff}a/b",
    "\u{feff}$SYS/a",
    "\u{e9}/b",
    "\u{65e5}\u{672c}/\u{5730}\u{9707}",
    "\u{1f30a}",
    "/\u{feff}/",
    "\u{ffff}/\u{10ffff}",
    "\u{202e}/\u{0301}",
];

#[tokio::test]
async fn topics_that_begin_with_a_wide_character_or_a_byte_order_mark_go_their_way() {
    // A topic that began with such a character panicked the task in which a broker routed everything: it lived
    // on and served nobody. [MQTT-1.5.4-3], [MQTT-4.7.3-4]; in 3.1.1 [MQTT-1.5.3-3]
    let server = start().await;
    for (from, at) in [(V5, V311), (V311, V5)] {
        for topic in WIDE {
            let mut exact = Client::connect(&server, connect(at, "exact")).await;
            exact.subscribe(topic, QOS1).await;
            let mut all = Client::connect(&server, connect(from, "all")).await;
            all.subscribe("#", QOS1).await;
            let mut shared = Client::connect(&server, connect(V5, "shared")).await;
            shared.subscribe(&format!("$share/\u{feff}\u{e9}/{topic}"), QOS1).await;
            let mut sender = Client::connect(&server, connect(from, "sender")).await;
            for qos in ALL_QOS {
                assert_eq!(
                    sender.publish_retained(topic, topic, qos).await,
                    ReasonCode::SUCCESS,
                    "{topic:?}"
                );
                for receiver in [&mut exact, &mut all, &mut shared] {
                    let got = receiver.message().await;
                    assert_eq!((&*got.topic, text(&got)), (topic, topic));
                }
            }
            exact.unsubscribe(&[topic]).await;
            exact.subscribe(topic, QOS0).await;
            assert_eq!(exact.message().await.topic, topic);
            sender.publish_retained(topic, "", QOS1).await;
            serves(&server).await;
        }
    }
    assert_eq!(server.broker().retained_count(), 0);
}

#[tokio::test]
async fn a_byte_order_mark_is_not_stripped_from_topics_and_names() {
    // [MQTT-1.5.4-3]; in 3.1.1 [MQTT-1.5.3-3]
    let server = start().await;
    for version in VERSIONS {
        let mut plain = Client::connect(&server, connect(version, "a")).await;
        plain.subscribe("a/b", QOS1).await;
        let mut marked = Client::connect(&server, connect(version, "\u{feff}a")).await;
        marked.subscribe("\u{feff}a/b", QOS1).await;
        // Two names, so that nobody lost a session.
        plain.publish("\u{feff}a/b", "to the one", QOS0).await;
        plain.publish("a/b", "to the other", QOS0).await;
        let got = marked.message().await;
        assert_eq!((&*got.topic, text(&got)), ("\u{feff}a/b", "to the one"));
        assert_eq!(plain.payloads(1).await, ["to the other"]);
        marked.assert_silent().await;
        plain.assert_silent().await;
    }
}

#[tokio::test]
async fn a_will_and_its_client_may_have_names_that_begin_with_a_wide_character() {
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("#", QOS1).await;
    for name in WIDE {
        for version in VERSIONS {
            let mut user = with_will(connect(version, name), Will { qos: QOS1, ..will(name, name) });
            user.user_name = Some(name.into());
            drop(Client::connect(&server, user).await);
            let got = witness.message().await;
            assert_eq!((&*got.topic, text(&got)), (name, name));
        }
    }
    serves(&server).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_neither_matched_nor_listed() {
    // [MQTT-4.1.0-2]
    let local = Local::start();
    let asks = Connect { session_expiry_interval: Some(60), ..persistent(V5, "gone") };
    let mut client = local.connect(asks).await;
    client.subscribe("t", QOS1).await;
    client.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::SUCCESS);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let listed: Vec<_> = local.broker.clients().into_iter().map(|status| status.client_identifier).collect();
    assert_eq!(listed.iter().map(|name| &**name).collect::<Vec<_>>(), ["sender"]);
    assert!(local.broker.client("gone").is_none());
    assert_eq!(local.broker.subscription_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_message_does_not_come_back_later() {
    // Whatever it was dropped for: its size, its age, that nobody was there, or a refusal of the client's.
    let local = Local::start();
    let small = Connect { maximum_packet_size: Some(60), ..persistent(V5, "receiver") };
    let mut receiver = local.connect(small.clone()).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish("t", &"too large ".repeat(10), QOS1).await;
    receiver.assert_silent().await;
    sender.publish("t", "refused", QOS2).await;
    let refused = receiver.next_publish().await.packet_identifier.unwrap();
    receiver.send(Packet::Pubrec(Ack::new(refused, ReasonCode::QUOTA_EXCEEDED))).await;
    receiver.disconnect().await;
    sender.publish("t", "QoS 0 to nobody", QOS0).await;
    let properties = PublishProperties { message_expiry_interval: Some(10), ..Default::default() };
    let expires = Publish { properties: Some(Box::new(properties)), qos: QOS1, ..publish("t", "too old") };
    sender.publish_packet(expires).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    for asks in [small, persistent(V5, "receiver"), persistent(V311, "receiver")] {
        let (mut receiver, connack) = local.try_connect(asks).await;
        assert!(connack.session_present);
        receiver.assert_silent().await;
        receiver.disconnect().await;
    }
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    sender.publish("t", "fine", QOS1).await;
    assert_eq!(receiver.payloads(1).await, ["fine"]);
    receiver.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_expires_while_it_waits_for_the_window_is_not_sent() {
    // [MQTT-3.3.2-5]: also where the client is there and only has too much in flight
    let local = Local::start();
    let asks = Connect { receive_maximum: NonZeroU16::new(1), ..connect(V5, "receiver") };
    let mut receiver = local.connect(asks).await;
    receiver.subscribe("t", QOS1).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish("t", "first", QOS1).await;
    for (payload, seconds) in [("short", 5), ("long", 60)] {
        let properties = PublishProperties { message_expiry_interval: Some(seconds), ..Default::default() };
        let properties = Some(Box::new(properties));
        sender.publish_packet(Publish { properties, qos: QOS1, ..publish("t", payload) }).await;
    }
    let first = receiver.next_publish().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    receiver.send(Packet::Puback(Ack::new(first.packet_identifier.unwrap(), ReasonCode::SUCCESS))).await;
    let got = receiver.message().await;
    let expiry = got.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
    assert_eq!((text(&got), expiry), ("long", Some(40)));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn suback_codes_stand_in_the_order_of_mixed_filters_with_failures_between_them() {
    // [MQTT-3.9.3-1]
    let options = tidegate::broker::Options { maximum_subscriptions: 3, ..Default::default() };
    let server = start_with(options).await;
    for (version, failed) in [(V5, 0x97), (V311, 0x80)] {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let filters =
            [("a", QOS2), ("b", QOS0), ("c", QOS1), ("d", QOS2), ("b", QOS2), ("e", QOS0), ("a", QOS1)];
        let suback =
            client.subscribe_to(filters.iter().map(|(filter, qos)| to(filter, *qos)).collect()).await;
        let codes: Vec<u8> = suback.reason_codes.iter().map(|code| code.value()).collect();
        assert_eq!(codes, [2, 0, 1, failed, 2, failed, 1], "{version}");
    }
}

#[tokio::test]
async fn an_identifier_of_a_publish_to_us_has_nothing_to_do_with_one_from_us() {
    // Both sides count for themselves: the same number may be in flight in both directions at once.
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        client.subscribe("t", QOS2).await;
        let packet = Publish { qos: QOS2, packet_identifier: Some(id(1)), ..publish("t", "x") };
        client.send(Packet::Publish(packet)).await;
        assert_eq!(client.pubrec().await.packet_identifier, id(1));
        let got = client.next_publish().await;
        assert_eq!(got.packet_identifier, Some(id(1)));
        client.send(Packet::Pubrec(Ack::new(id(1), ReasonCode::SUCCESS))).await;
        assert_eq!(client.receive().await, Packet::Pubrel(Ack::new(id(1), ReasonCode::SUCCESS)));
        assert_eq!(client.release(id(1)).await, ReasonCode::SUCCESS);
        client.send(Packet::Pubcomp(Ack::new(id(1), ReasonCode::SUCCESS))).await;
        client.assert_silent().await;
        assert_eq!(server.broker().client("a").unwrap().in_flight, 0);
    }
}
