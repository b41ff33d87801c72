//! A SUBSCRIBE for a filter that is subscribed already, and several filters in one.

use tidegate::packet::{Packet, RetainHandling, Subscribe, SubscribeFilter};

use crate::support::client::{id, to};
use crate::support::*;

#[tokio::test]
async fn replacing_a_subscription_loses_no_message() {
    // [MQTT-3.8.4-3], [MQTT-3.8.4-4]; in 3.1.1 [MQTT-3.8.4-3]
    const MESSAGES: usize = 500;
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        let address = server.addresses()[0];
        let sender = tokio::spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut sender = Client::over(stream, V5);
            sender.handshake(connect(V5, "sender")).await;
            for n in 0..MESSAGES {
                sender.publish("t", &n.to_string(), QOS1).await;
            }
        });
        // As fast as it gets what it asked for.
        let packet = Packet::Subscribe(Box::new(Subscribe {
            packet_identifier: id(77),
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: vec![to("t", QOS1)],
        }));
        receiver.send(packet.clone()).await;
        let (mut next, mut replaced) = (0, 0);
        while next < MESSAGES {
            match receiver.receive().await {
                Packet::Publish(publish) => {
                    assert_eq!(text(&publish), next.to_string(), "{version}");
                    next += 1;
                    let ack = tidegate::packet::Ack::new(
                        publish.packet_identifier.unwrap(),
                        tidegate::packet::ReasonCode::SUCCESS,
                    );
                    receiver.send(Packet::Puback(ack)).await;
                }
                Packet::Suback(_) => {
                    replaced += 1;
                    receiver.send(packet.clone()).await;
                }
                other => panic!("{other:?}"),
            }
        }
        within(sender).await.unwrap();
        assert!(replaced > 10, "{replaced}");
        assert_eq!(server.broker().client("receiver").unwrap().subscriptions, 1);
    }
}

#[tokio::test]
async fn what_is_retained_is_sent_again_where_a_subscription_is_replaced() {
    // [MQTT-3.8.4-4], [MQTT-3.3.1-9]; in 3.1.1 [MQTT-3.8.4-3], [MQTT-3.3.1-6], [MQTT-3.3.1-8]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for topic in ["t/1", "t/2"] {
        sender.publish_retained(topic, topic, QOS1).await;
    }
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        for granted in [QOS0, QOS1, QOS0] {
            receiver.subscribe("t/+", granted).await;
            let mut got = Vec::new();
            for _ in 0..2 {
                let publish = receiver.message().await;
                assert_eq!((publish.retain, publish.qos), (true, granted));
                got.push(text(&publish).to_string());
            }
            got.sort_unstable();
            assert_eq!(got, ["t/1", "t/2"]);
            receiver.assert_silent().await;
        }
    }
}

#[tokio::test]
async fn the_filters_of_one_subscribe_are_worked_off_as_those_of_many() {
    // [MQTT-3.8.4-5], [MQTT-3.8.4-7]; in 3.1.1 [MQTT-3.8.4-4], [MQTT-3.8.4-5]: the last of two alike counts
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        sender.publish_retained("t", "kept", QOS2).await;
        let quiet = SubscribeFilter { retain_handling: RetainHandling::SendAtNewSubscribe, ..to("t", QOS2) };
        let suback = receiver.subscribe_to(vec![to("t", QOS0), to("u", QOS1), quiet]).await;
        let codes: Vec<u8> = suback.reason_codes.iter().map(|code| code.value()).collect();
        assert_eq!(codes, [0, 1, 2]);
        assert_eq!(text(&receiver.message().await), "kept");
        sender.publish("t", "live", QOS2).await;
        let got = receiver.message().await;
        assert_eq!((text(&got), got.qos), ("live", QOS2), "{version}");
        receiver.assert_silent().await;
        assert_eq!(server.broker().client("receiver").unwrap().subscriptions, 2);
    }
}

#[tokio::test]
async fn a_topic_and_a_filter_may_be_as_long_as_a_string_can_be() {
    // [MQTT-4.7.3-3], [MQTT-4.7.3-1]
    let server = start().await;
    let longest = "x".repeat(usize::from(u16::MAX));
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        for topic in [longest.as_str(), "x", "/"] {
            receiver.subscribe(topic, QOS1).await;
            let mut sender = Client::connect(&server, connect(version, "sender")).await;
            sender.publish(topic, "arrived", QOS1).await;
            let got = receiver.message().await;
            assert_eq!((&*got.topic, text(&got)), (topic, "arrived"));
        }
    }
}

#[tokio::test]
async fn topics_are_neither_normalised_nor_corrected() {
    // [MQTT-4.7.3-4], [MQTT-3.3.2-3]
    let server = start().await;
    let topics =
        ["\u{e9}", "e\u{301}", "\u{fc}ber", "\u{dc}ber", "a b", "a  b", " a", "a/", "/a", "a//b", "a/b"];
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for wanted in topics {
            receiver.subscribe(wanted, QOS0).await;
            for topic in topics {
                sender.publish(topic, topic, QOS1).await;
            }
            let got = receiver.message().await;
            assert_eq!((&*got.topic, text(&got)), (wanted, wanted));
            receiver.assert_silent().await;
            receiver.unsubscribe(&[wanted]).await;
        }
    }
}

#[tokio::test]
async fn overlapping_subscriptions_give_one_copy_with_the_highest_qos_to_either_version() {
    // [MQTT-3.3.4-2]; in 3.1.1 [MQTT-3.3.5-1]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        let filters = [("a/#", QOS0), ("a/+", QOS2), ("+/b", QOS1), ("#", QOS0)];
        receiver.subscribe_to(filters.iter().map(|(filter, qos)| to(filter, *qos)).collect()).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for (topic, published, expected) in
            [("a/b", QOS2, QOS2), ("a/b", QOS1, QOS1), ("x/b", QOS2, QOS1), ("a/b/c", QOS2, QOS0)]
        {
            sender.publish(topic, "x", published).await;
            assert_eq!(receiver.message().await.qos, expected, "{topic}");
            receiver.assert_silent().await;
        }
    }
}
