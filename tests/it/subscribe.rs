//! SUBSCRIBE and UNSUBSCRIBE, and who gets what.

use tidegate::packet::{Packet, ReasonCode, RetainHandling, Subscribe, SubscribeFilter};
use tidegate::server::Server;

use crate::support::client::{id, to};
use crate::support::*;

async fn pair(server: &Server) -> (Client, Client) {
    let receiver = Client::connect(server, connect(V5, "receiver")).await;
    let sender = Client::connect(server, connect(V5, "sender")).await;
    (receiver, sender)
}

#[tokio::test]
async fn wildcards_match_as_the_specification_says() {
    // [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.2-1]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    for (filter, matching, others) in [
        (
            "sport/tennis/player1/#",
            vec!["sport/tennis/player1", "sport/tennis/player1/score/wimbledon"],
            vec!["sport/tennis"],
        ),
        ("sport/+", vec!["sport/", "sport/tennis"], vec!["sport", "sport/tennis/player1"]),
        ("+/+", vec!["/finance", "a/b"], vec!["finance"]),
        ("/+", vec!["/finance"], vec!["a/finance"]),
        ("+", vec!["finance"], vec!["/finance"]),
        ("#", vec!["a", "a/b", "/"], vec!["$SYS/a", "$other"]),
        ("+/monitor", vec!["a/monitor"], vec!["$SYS/monitor"]),
        ("$own/#", vec!["$own/monitor", "$own"], vec!["a"]),
        ("$own/+", vec!["$own/monitor"], vec!["own/monitor"]),
    ] {
        receiver.subscribe(filter, QOS0).await;
        for topic in others {
            sender.publish(topic, "no", QOS1).await;
        }
        for topic in matching {
            sender.publish(topic, "yes", QOS1).await;
            let got = receiver.message().await;
            assert_eq!((&*got.topic, text(&got)), (topic, "yes"), "{filter}");
        }
        receiver.assert_silent().await;
        assert_eq!(receiver.unsubscribe(&[filter]).await.reason_codes, [ReasonCode::SUCCESS]);
    }
}

#[tokio::test]
async fn overlapping_subscriptions_give_one_copy_with_the_highest_qos_and_all_identifiers() {
    // [MQTT-3.3.4-2], [MQTT-3.3.4-4], [MQTT-3.3.4-5]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    receiver.subscribe_as(Some(1), vec![to("a/#", QOS0)]).await;
    receiver.subscribe_as(Some(2), vec![to("a/+", QOS2), to("+/b", QOS1)]).await;
    receiver.subscribe_as(None, vec![to("a/b", QOS1)]).await;
    receiver.subscribe_as(Some(3), vec![to("other", QOS1)]).await;
    sender.publish("a/b", "x", QOS2).await;
    let got = receiver.message().await;
    let mut identifiers = got.subscription_identifiers.clone();
    identifiers.sort_unstable();
    identifiers.dedup();
    assert_eq!((got.qos, identifiers), (QOS2, vec![1, 2]));
    receiver.assert_silent().await;
}

#[tokio::test]
async fn suback_answers_in_the_order_of_the_filters() {
    // [MQTT-3.8.4-6], [MQTT-3.9.3-1]
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let suback = client.subscribe_to(vec![to("a", QOS0), to("b", QOS2), to("c", QOS1)]).await;
        let codes: Vec<u8> = suback.reason_codes.iter().map(|code| code.value()).collect();
        assert_eq!(codes, [0, 2, 1]);
    }
}

#[tokio::test]
async fn a_string_that_is_not_a_topic_filter_ends_the_connection() {
    // [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    let server = start().await;
    for filter in ["a/#/b", "x+", "a#", "", "+a/b", "$share/g", "$share//a", "$share/g+/a", "$share/g/"] {
        for version in VERSIONS {
            let mut client = Client::connect(&server, connect(version, "a")).await;
            let packet_identifier = id(1);
            let subscriptions = vec![to("fine", QOS0), to(filter, QOS0)];
            let packet = Subscribe {
                packet_identifier,
                subscription_identifier: None,
                user_properties: Vec::new(),
                subscriptions,
            };
            client.send(Packet::Subscribe(Box::new(packet))).await;
            let reason = client.end().await;
            match version {
                V5 => assert!(reason.is_some_and(|reason| reason.is_error()), "{filter}: {reason:?}"),
                _ => assert_eq!(reason, None),
            }
        }
    }
    until(|| server.broker().session_count() == 0).await;
    assert_eq!(server.broker().subscription_count(), 0);
}

#[tokio::test]
async fn no_local_keeps_a_clients_own_messages_from_it() {
    // [MQTT-3.8.3-3]
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client.subscribe_to(vec![SubscribeFilter { no_local: true, ..to("t", QOS1) }]).await;
    client.publish("t", "own", QOS0).await;
    other.publish("t", "theirs", QOS1).await;
    assert_eq!(text(&client.message().await), "theirs");
    client.assert_silent().await;
}

#[tokio::test]
async fn retain_as_published_keeps_the_flag() {
    // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    receiver.subscribe("plain", QOS0).await;
    receiver.subscribe_to(vec![SubscribeFilter { retain_as_published: true, ..to("kept", QOS0) }]).await;
    for (topic, published, expected) in
        [("plain", true, false), ("plain", false, false), ("kept", true, true), ("kept", false, false)]
    {
        let retain = published;
        let packet = tidegate::packet::Publish { retain, ..publish(topic, "x") };
        sender.publish_packet(packet).await;
        assert_eq!(receiver.message().await.retain, expected, "{topic} {published}");
    }
}

#[tokio::test]
async fn retain_handling_decides_when_retained_messages_come() {
    // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    sender.publish_retained("t", "kept", QOS1).await;
    for (retain_handling, first, again) in [
        (RetainHandling::SendAtSubscribe, true, true),
        (RetainHandling::SendAtNewSubscribe, true, false),
        (RetainHandling::DoNotSend, false, false),
    ] {
        for expected in [first, again] {
            receiver.subscribe_to(vec![SubscribeFilter { retain_handling, ..to("t", QOS0) }]).await;
            if expected {
                let got = receiver.message().await;
                // [MQTT-3.3.1-8] of 3.1.1
                assert_eq!((text(&got), got.retain), ("kept", true), "{retain_handling:?}");
            }
            receiver.assert_silent().await;
        }
        receiver.unsubscribe(&["t"]).await;
    }
}

#[tokio::test]
async fn unsuback_says_for_each_filter_whether_it_existed() {
    // [MQTT-3.10.4-5], [MQTT-3.11.3-1]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    receiver.subscribe_to(vec![to("a", QOS0), to("b/+", QOS0)]).await;
    let codes = receiver.unsubscribe(&["a", "b/c", "b/+", "a"]).await.reason_codes;
    let none = ReasonCode::NO_SUBSCRIPTION_EXISTED;
    assert_eq!(codes, [ReasonCode::SUCCESS, none, ReasonCode::SUCCESS, none]);
    assert_eq!(sender.publish("a", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    receiver.assert_silent().await;
    let mut old = Client::connect(&server, connect(V311, "old")).await;
    assert_eq!(old.unsubscribe(&["never"]).await.reason_codes, []);
}

#[tokio::test]
async fn subscribing_again_replaces_the_options() {
    // [MQTT-3.8.4-3]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    receiver.subscribe_as(Some(1), vec![to("t", QOS2)]).await;
    receiver.subscribe_as(Some(9), vec![to("t", QOS0)]).await;
    sender.publish("t", "x", QOS2).await;
    let got = receiver.message().await;
    assert_eq!((got.qos, got.subscription_identifiers), (QOS0, vec![9]));
    receiver.assert_silent().await;
    assert_eq!(server.broker().subscription_count(), 1);
}

#[tokio::test]
async fn a_retained_message_carries_the_identifier_of_its_subscription() {
    // [MQTT-3.3.4-3]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    sender.publish_retained("t", "kept", QOS1).await;
    receiver.subscribe_as(Some(7), vec![to("t", QOS1)]).await;
    assert_eq!(receiver.message().await.subscription_identifiers, [7]);
}

#[tokio::test]
async fn a_session_has_as_many_subscriptions_as_allowed() {
    let options = tidegate::broker::Options { maximum_subscriptions: 2, ..Default::default() };
    let server = start_with(options).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let suback = client.subscribe_to(vec![to("a", QOS0), to("b", QOS0), to("c", QOS0), to("a", QOS1)]).await;
    let quota = ReasonCode::QUOTA_EXCEEDED;
    let expected = [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_0, quota, ReasonCode::GRANTED_QOS_1];
    assert_eq!(suback.reason_codes, expected);
}

#[tokio::test]
async fn subscribing_while_others_publish_does_not_lock_up() {
    // A publish looked at sessions while it held the index, and a subscribe changed the index while it
    // held its session: with shared subscriptions or No Local the two waited for each other for ever.
    let server = start().await;
    let mut churning = Vec::new();
    for n in 0..4 {
        let mut client = Client::connect(&server, connect(V5, &format!("churn-{n}"))).await;
        churning.push(tokio::spawn(async move {
            let own = SubscribeFilter { no_local: true, ..to("t", QOS0) };
            let groups = (0..50).map(|group| to(&format!("$share/{group}/t"), QOS0));
            let subscriptions: Vec<_> = groups.chain([own]).collect();
            for _ in 0..30 {
                let packet = Subscribe {
                    packet_identifier: client.next_identifier(),
                    subscription_identifier: None,
                    user_properties: Vec::new(),
                    subscriptions: subscriptions.clone(),
                };
                client.send(Packet::Subscribe(Box::new(packet))).await;
                for _ in 0..10 {
                    client.send(Packet::Publish(publish("t", "x"))).await;
                }
                while !matches!(client.receive().await, Packet::Suback(_)) {}
            }
        }));
    }
    for churn in churning {
        churn.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_of_many_filters_lets_others_have_their_turn() {
    // The filters of one packet were all worked off in one go, and each looked through the replays of those
    // before it: ten thousand of them held up every other client of the thread.
    let local = Local::start();
    let mut many = local.connect(connect(V5, "many")).await;
    let filters: Vec<_> = (0..10_000).map(|n| format!("f/{n}")).collect();
    let mut turns = 0;
    let broker = local.broker.clone();
    let subscribed = many.subscribe_to(filters.iter().map(|filter| to(filter, QOS0)).collect());
    let others = async {
        while broker.subscription_count() < filters.len() {
            turns += usize::from(broker.subscription_count() > 0);
            tokio::task::yield_now().await;
        }
    };
    let (suback, ()) = tokio::join!(subscribed, others);
    assert_eq!(suback.reason_codes.len(), filters.len());
    assert!(turns > 20, "{turns} turns of others");
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let unsuback = many.unsubscribe(&filters).await;
    assert!(unsuback.reason_codes.iter().all(|code| *code == ReasonCode::SUCCESS));
    assert_eq!(broker.subscription_count(), 0);
}

#[tokio::test]
async fn topics_with_more_levels_than_allowed_are_refused_and_others_go_on() {
    // A few filters of thousands of levels each took gigabytes, and stopped the broker for seconds when their
    // client left.
    let options = tidegate::broker::Options { maximum_topic_levels: 3, ..Default::default() };
    let server = start_with(options).await;
    let mut client = Client::connect(&server, connect(V5, "client")).await;
    let suback = client.subscribe_to(vec![to("a/b/c", QOS1), to("a/b/c/#", QOS1), to("+/+/#", QOS1)]).await;
    let deep = ReasonCode::TOPIC_FILTER_INVALID;
    assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1, deep, ReasonCode::GRANTED_QOS_1]);
    assert_eq!(client.publish("a/b/c/d", "x", QOS1).await, ReasonCode::TOPIC_NAME_INVALID);
    assert_eq!(client.publish("a/b/c/d", "x", QOS2).await, ReasonCode::TOPIC_NAME_INVALID);
    assert_eq!(client.publish("a/b/c", "x", QOS1).await, ReasonCode::SUCCESS);
    assert_eq!(text(&client.message().await), "x");
}
