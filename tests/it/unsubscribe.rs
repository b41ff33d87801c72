//! What UNSUBSCRIBE ends, and what it does not.

use std::num::NonZeroU16;

use tidegate::packet::{Ack, Connect, Packet, Publish, QoS, ReasonCode};
use tidegate::server::Server;

use crate::support::*;

fn ack_of(publish: &Publish) -> Ack {
    Ack::new(publish.packet_identifier.unwrap(), ReasonCode::SUCCESS)
}

/// A subscriber that takes few messages at a time, and one who publishes.
async fn narrow(server: &Server, receive_maximum: u16) -> (Client, Client) {
    let receive_maximum = NonZeroU16::new(receive_maximum);
    let asks = Connect { receive_maximum, ..persistent(V5, "receiver") };
    let mut receiver = Client::connect(server, asks).await;
    receiver.subscribe("t", QOS2).await;
    (receiver, Client::connect(server, connect(V5, "sender")).await)
}

#[tokio::test]
async fn what_is_in_flight_is_completed_after_unsubscribe() {
    // [MQTT-3.10.4-3]
    let server = start().await;
    for version in VERSIONS {
        for qos in [QOS1, QOS2] {
            let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
            receiver.subscribe("t", QOS2).await;
            let mut sender = Client::connect(&server, connect(V5, "sender")).await;
            sender.publish("t", "x", qos).await;
            let got = receiver.next_publish().await;
            receiver.unsubscribe(&["t"]).await;
            assert_eq!(server.broker().client("receiver").unwrap().in_flight, 1);
            complete(&mut receiver, &got).await;
            receiver.assert_silent().await;
            assert_eq!(server.broker().client("receiver").unwrap().in_flight, 0, "{version} {qos:?}");
            receiver.disconnect().await;
            assert!(server.broker().delete_session("receiver"));
        }
    }
}

/// Goes through the flow of a message that was received.
async fn complete(receiver: &mut Client, got: &Publish) {
    if got.qos == QoS::AtLeastOnce {
        receiver.send(Packet::Puback(ack_of(got))).await;
        return;
    }
    receiver.send(Packet::Pubrec(ack_of(got))).await;
    assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(got)));
    receiver.send(Packet::Pubcomp(ack_of(got))).await;
}

#[tokio::test]
async fn what_is_in_flight_comes_again_after_a_reconnect_though_it_was_unsubscribed() {
    // [MQTT-3.10.4-3], [MQTT-4.4.0-1]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        receiver.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for (payload, qos) in [("1", QOS1), ("2", QOS2), ("3", QOS2)] {
            sender.publish("t", payload, qos).await;
        }
        let (one, two, three) =
            (receiver.next_publish().await, receiver.next_publish().await, receiver.next_publish().await);
        receiver.send(Packet::Pubrec(ack_of(&two))).await;
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&two)));
        receiver.unsubscribe(&["t"]).await;
        sender.publish("t", "after", QOS2).await;
        let mut receiver = Client::connect(&server, persistent(version, "receiver")).await;
        assert_eq!(receiver.next_publish().await, Publish { dup: true, ..one.clone() });
        assert_eq!(receiver.receive().await, Packet::Pubrel(ack_of(&two)));
        assert_eq!(receiver.next_publish().await, Publish { dup: true, ..three.clone() });
        complete(&mut receiver, &one).await;
        receiver.send(Packet::Pubcomp(ack_of(&two))).await;
        complete(&mut receiver, &three).await;
        receiver.assert_silent().await;
        assert_eq!(server.broker().client("receiver").unwrap().in_flight, 0);
        receiver.disconnect().await;
        assert!(server.broker().delete_session("receiver"));
    }
}

#[tokio::test]
async fn nothing_published_after_unsuback_is_delivered() {
    // [MQTT-3.10.4-2]
    let server = start().await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t/#", QOS2).await;
        receiver.subscribe("t/+", QOS2).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        receiver.unsubscribe(&["t/#"]).await;
        sender.publish("t/a", "by the other", QOS1).await;
        assert_eq!(receiver.payloads(1).await, ["by the other"]);
        receiver.unsubscribe(&["t/+"]).await;
        for qos in ALL_QOS {
            sender.publish("t/a", "after", qos).await;
        }
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn what_waited_in_the_queue_before_unsubscribe_may_come_and_leaves_nothing_behind() {
    // [MQTT-3.10.4-2]: only what is added later is forbidden
    let server = start().await;
    let (mut receiver, mut sender) = narrow(&server, 1).await;
    for payload in ["1", "2", "3"] {
        sender.publish("t", payload, QOS2).await;
    }
    let first = receiver.next_publish().await;
    receiver.unsubscribe(&["t"]).await;
    sender.publish("t", "after", QOS2).await;
    complete(&mut receiver, &first).await;
    assert_eq!(receiver.payloads(2).await, ["2", "3"]);
    receiver.assert_silent().await;
    let status = server.broker().client("receiver").unwrap();
    assert_eq!((status.queued, status.in_flight, status.subscriptions), (0, 0, 0));
}

#[tokio::test]
async fn unsubscribe_takes_filters_by_the_letter() {
    // [MQTT-3.10.4-1]
    let server = start().await;
    let filters = ["a/#", "a/+", "a/b", "A/b", "a/b/", "/a/b", "\u{e9}", "e\u{301}", "$share/g/a/b"];
    for version in VERSIONS {
        for (n, filter) in filters.iter().enumerate() {
            let mut client = Client::connect(&server, connect(version, "a")).await;
            for filter in filters {
                client.subscribe(filter, QOS0).await;
            }
            let codes = client.unsubscribe(&[filter, "a/c", "#", "$share/h/a/b"]).await.reason_codes;
            if version == V5 {
                let none = ReasonCode::NO_SUBSCRIPTION_EXISTED;
                assert_eq!(codes, [ReasonCode::SUCCESS, none, none, none]);
            }
            assert_eq!(server.broker().subscription_count(), filters.len() - 1, "{n}");
            client.disconnect().await;
        }
    }
}

#[tokio::test]
async fn many_filters_in_one_unsubscribe_get_one_answer() {
    // [MQTT-3.10.4-4], [MQTT-3.10.4-6]
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        for filter in ["a", "b", "c"] {
            client.subscribe(filter, QOS1).await;
        }
        let unsuback = client.unsubscribe(&["a", "b", "a", "d"]).await;
        let none = ReasonCode::NO_SUBSCRIPTION_EXISTED;
        let expected = [ReasonCode::SUCCESS, ReasonCode::SUCCESS, none, none];
        assert_eq!(unsuback.reason_codes, if version == V5 { &expected[..] } else { &[] });
        assert_eq!(server.broker().client("a").unwrap().subscriptions, 1);
        client.assert_silent().await;
    }
}

#[tokio::test]
async fn unsubscribing_stops_a_replay_that_has_begun() {
    // [MQTT-3.10.4-2]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for n in 0..500 {
        sender.publish_retained(&format!("r/{n}"), "x", QOS1).await;
    }
    let (mut receiver, _) = narrow(&server, 1).await;
    receiver.subscribe("r/#", QOS1).await;
    let first = receiver.next_publish().await;
    receiver.unsubscribe(&["r/#"]).await;
    let waiting = server.broker().client("receiver").unwrap().queued;
    assert!(waiting < 200, "{waiting} wait");
    complete(&mut receiver, &first).await;
    assert_eq!(receiver.payloads(waiting).await.len(), waiting);
    receiver.assert_silent().await;
}
