//! A server with reduced abilities: what it does not offer is announced, and refused with the Reason Code for it.

use std::num::NonZeroU16;

use tidegate::broker::Options;
use tidegate::packet::{
    Ack, Connack, Connect, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe, Will,
};
use tidegate::server::Server;

use crate::support::client::{id, to};
use crate::support::*;

fn reduced() -> Options {
    Options {
        wildcard_subscription_available: false,
        shared_subscription_available: false,
        subscription_identifiers_available: false,
        ..Options::default()
    }
}

#[tokio::test]
async fn connack_announces_what_is_not_available_and_nothing_else() {
    // MQTT 5.0, 3.2.2.3.11 to 3.2.2.3.13: what is not said is available
    let said = |connack: Connack| {
        let subscriptions = (
            connack.wildcard_subscription_available,
            connack.shared_subscription_available,
            connack.subscription_identifiers_available,
        );
        (subscriptions, connack.topic_alias_maximum)
    };
    let server = start_with(Options { topic_alias_maximum: 0, ..reduced() }).await;
    let (_, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    assert_eq!(said(connack), ((Some(false), Some(false), Some(false)), None));
    let server = start().await;
    let (_, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    assert_eq!(said(connack), ((None, None, None), Some(16)));
}

#[tokio::test]
async fn a_subscription_that_is_not_available_ends_the_connection() {
    // MQTT 5.0, 3.2.2.3.11 (0xA2), 3.2.2.3.12 (0xA1), 3.2.2.3.13 (0x9E): each is a protocol error
    let full = Options::default;
    let no_wildcards = Options { wildcard_subscription_available: false, ..full() };
    let no_shares = Options { shared_subscription_available: false, ..full() };
    let no_identifiers = Options { subscription_identifiers_available: false, ..full() };
    let (wildcards, shares) =
        (ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
    let identifiers = ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED;
    for (options, refused, accepted) in [
        (&no_wildcards, vec![("#", None), ("a/+", Some(1)), ("$share/g/a/#", None)], ("$share/g/a", Some(1))),
        (&no_shares, vec![("$share/g/a", None), ("$share/g/#", Some(1))], ("a/#", Some(1))),
        (&no_identifiers, vec![("a", Some(1))], ("$share/g/#", None)),
    ] {
        let server = start_with(options.clone()).await;
        let expected = match options {
            _ if !options.wildcard_subscription_available => wildcards,
            _ if !options.shared_subscription_available => shares,
            _ => identifiers,
        };
        for (count, (filter, subscription_identifier)) in refused.into_iter().enumerate() {
            let mut client = Client::connect(&server, connect(V5, "a")).await;
            client
                .send(Packet::Subscribe(Box::new(Subscribe {
                    packet_identifier: id(1),
                    subscription_identifier,
                    user_properties: Vec::new(),
                    subscriptions: vec![to("fine", QOS1), to(filter, QOS1)],
                })))
                .await;
            assert_eq!(client.end().await, Some(expected), "{filter}");
            assert_eq!(server.broker().subscription_count(), 0, "{filter}");
            assert_eq!(server.statistics().subscriptions_unavailable, count as u64 + 1);
        }
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        let (filter, identifier) = accepted;
        let suback = client.subscribe_as(identifier, vec![to(filter, QOS1)]).await;
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1], "{filter}");
    }
}

#[tokio::test]
async fn in_3_1_1_a_subscription_that_is_not_available_fails_by_itself() {
    // [MQTT-3.9.3-2]: a client that cannot be told of what is not available is not cut off for it
    let server = start_with(reduced()).await;
    let mut client = Client::connect(&server, connect(V311, "a")).await;
    let filters = ["a/b", "a/+", "$share/g/a/b", "c"];
    let suback = client.subscribe_to(filters.iter().map(|filter| to(filter, QOS1)).collect()).await;
    let (granted, failed) = (ReasonCode::GRANTED_QOS_1, ReasonCode::UNSPECIFIED_ERROR);
    assert_eq!(suback.reason_codes, [granted, failed, failed, granted]);
    assert_eq!(server.broker().subscription_count(), 2);
    assert_eq!(server.statistics().subscriptions_unavailable, 2);
}

#[tokio::test]
async fn in_3_1_1_a_publish_that_is_not_available_closes_the_connection() {
    // [MQTT-3.3.5-2] of 3.1.1 leaves two ways: to acknowledge what is not done, or to close
    let options = Options { maximum_qos: QOS1, retain_available: false, ..Options::default() };
    let server = start_with(options).await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("t", QOS1).await;
    for bad in [
        Publish { qos: QOS2, packet_identifier: Some(id(1)), ..publish("t", "x") },
        Publish { retain: true, ..publish("t", "x") },
    ] {
        let mut client = Client::connect(&server, connect(V311, "a")).await;
        client.send(Packet::Publish(bad)).await;
        assert_eq!(client.end().await, None);
    }
    for bad in [Will { qos: QOS2, ..will("t", "x") }, Will { retain: true, ..will("t", "x") }] {
        let (mut client, connack) = Client::try_connect(&server, with_will(connect(V311, "a"), bad)).await;
        assert_eq!(connack.reason_code, ReasonCode::SERVER_UNAVAILABLE);
        assert_eq!(client.end().await, None);
    }
    witness.assert_silent().await;
}

#[tokio::test]
async fn where_there_are_no_aliases_each_ends_the_connection_with_0x94() {
    // [MQTT-3.2.2-18]
    let server = start_with(Options { topic_alias_maximum: 0, ..Options::default() }).await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("#", QOS1).await;
    for topic in ["t", ""] {
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        let topic_alias = NonZeroU16::new(1);
        client.send(Packet::Publish(Publish { topic_alias, ..publish(topic, "x") })).await;
        assert_eq!(client.end().await, Some(ReasonCode::TOPIC_ALIAS_INVALID));
    }
    witness.assert_silent().await;
}

/// Three levels and eight bytes, no more.
async fn narrow() -> Server {
    start_with(Options { maximum_topic_length: 8, maximum_topic_levels: 3, ..Options::default() }).await
}

#[tokio::test]
async fn a_topic_that_is_too_long_or_deep_is_refused_with_0x90() {
    // MQTT 5.0, 3.4.2.1: well formed, and not accepted
    let server = narrow().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("#", QOS2).await;
    let told = |version, qos, reason| match (version, qos) {
        (ProtocolVersion::V5, QoS::AtLeastOnce | QoS::ExactlyOnce) => reason,
        // [MQTT-3.3.5-2] of 3.1.1: acknowledged all the same
        _ => ReasonCode::SUCCESS,
    };
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        for qos in ALL_QOS {
            for bad in ["123456789", "a/b/c/d", "äöüäö"] {
                let reason = told(version, qos, ReasonCode::TOPIC_NAME_INVALID);
                assert_eq!(client.publish(bad, "x", qos).await, reason, "{bad} {version}");
            }
            for good in ["12345678", "a/b/c", "äöüä"] {
                assert_eq!(client.publish(good, "x", qos).await, ReasonCode::SUCCESS);
                assert_eq!(witness.message().await.topic, good);
            }
        }
        client.ping().await;
    }
    witness.assert_silent().await;
    assert_eq!(server.statistics().limit_topic_length + server.statistics().limit_topic_levels, 18);
}

#[tokio::test]
async fn a_filter_that_is_too_long_or_deep_is_refused_with_0x8f() {
    // MQTT 5.0, 3.9.3: well formed, and not allowed; in 3.1.1 [MQTT-3.9.3-2]
    let server = narrow().await;
    let filters = ["12345678", "a/+/#", "123456789", "a/b/c/#", "$share/g/a"];
    for (version, refused) in [(V5, ReasonCode::TOPIC_FILTER_INVALID), (V311, ReasonCode::UNSPECIFIED_ERROR)]
    {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let suback = client.subscribe_to(filters.iter().map(|filter| to(filter, QOS0)).collect()).await;
        let granted = ReasonCode::GRANTED_QOS_0;
        assert_eq!(suback.reason_codes, [granted, granted, refused, refused, refused], "{version}");
        client.disconnect().await;
    }
    assert_eq!(server.statistics().limit_topic_length + server.statistics().limit_topic_levels, 6);
}

#[tokio::test]
async fn a_will_whose_topic_is_too_long_or_deep_is_refused_with_0x90() {
    // MQTT 5.0, 3.2.2.2: the Will Topic Name is not malformed, but is not accepted
    let server = narrow().await;
    for topic in ["123456789", "a/b/c/d"] {
        for (version, told) in [(V5, ReasonCode::TOPIC_NAME_INVALID), (V311, ReasonCode::SERVER_UNAVAILABLE)]
        {
            let asks = with_will(connect(version, "a"), will(topic, "x"));
            let (mut client, connack) = Client::try_connect(&server, asks).await;
            assert_eq!(connack.reason_code, told);
            assert_eq!(client.end().await, None);
        }
    }
    Client::connect(&server, with_will(connect(V5, "a"), will("a/b/c", "x"))).await;
}

#[tokio::test]
async fn messages_of_qos_1_and_2_share_our_receive_maximum() {
    // [MQTT-3.3.4-7]: QoS 1 was not counted, and went on beside as many of QoS 2 as were allowed
    let server = start_with(Options { receive_maximum: 2, ..Options::default() }).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let qos2 = |identifier| {
        Packet::Publish(Publish { qos: QOS2, packet_identifier: Some(id(identifier)), ..publish("t", "x") })
    };
    client.send(qos2(101)).await;
    client.pubrec().await;
    assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    client.send(qos2(102)).await;
    client.pubrec().await;
    assert_eq!(client.release(id(101)).await, ReasonCode::SUCCESS);
    for _ in 0..3 {
        assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    }
    client.send(qos2(103)).await;
    client.pubrec().await;
    // QoS 0 is not counted.
    client.publish("t", "x", QOS0).await;
    client.ping().await;
    client
        .send(Packet::Publish(Publish { qos: QOS1, packet_identifier: Some(id(9)), ..publish("t", "x") }))
        .await;
    assert_eq!(client.end().await, Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
}

#[tokio::test]
async fn what_was_unreleased_before_uses_up_nothing_of_the_next_connections_quota() {
    // MQTT 5.0, 4.9: the quota begins anew
    let server = start_with(Options { receive_maximum: 1, ..Options::default() }).await;
    let mut client = Client::connect(&server, persistent(V5, "a")).await;
    let packet = Publish { qos: QOS2, packet_identifier: Some(id(101)), ..publish("t", "x") };
    client.send(Packet::Publish(packet)).await;
    client.pubrec().await;
    let mut client = Client::connect(&server, persistent(V5, "a")).await;
    assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    client.send(Packet::Pubrel(Ack::new(id(101), ReasonCode::SUCCESS))).await;
    assert!(matches!(client.receive().await, Packet::Pubcomp(ack) if ack.reason_code == ReasonCode::SUCCESS));
}

#[tokio::test]
async fn a_session_has_a_maximum_of_subscriptions_in_both_versions() {
    // MQTT 5.0, 3.9.3: 0x97; in 3.1.1 [MQTT-3.9.3-2]
    let server = start_with(Options { maximum_subscriptions: 1, ..Options::default() }).await;
    for (version, refused) in [(V5, ReasonCode::QUOTA_EXCEEDED), (V311, ReasonCode::UNSPECIFIED_ERROR)] {
        let mut client = Client::connect(&server, connect(version, &version.to_string())).await;
        let suback = client.subscribe_to(vec![to("a", QOS0), to("b", QOS0), to("a", QOS1)]).await;
        // To subscribe again takes no further place.
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_0, refused, ReasonCode::GRANTED_QOS_1]);
        let asks = Connect { clean_start: true, ..connect(version, &version.to_string()) };
        Client::connect(&server, asks).await;
    }
    assert_eq!(server.statistics().limit_subscriptions, 2);
}
