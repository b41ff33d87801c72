//! What a bridge carries, and what becomes of it on the way.

use std::sync::{Arc, Mutex};

use tidegate::bridge::Direction;
use tidegate::broker::Options;
use tidegate::hook::{Answer, PublishOutcome, PublishVerdict, What};
use tidegate::message::Origin;
use tidegate::packet::{PublishProperties, ReasonCode};

use super::*;

#[tokio::test]
async fn messages_go_out_and_come_in_with_the_lower_qos_and_another_prefix() {
    for version in VERSIONS {
        let (here, there) = (start().await, start().await);
        let options = bridge("b", there.addresses()[0], version)
            .topic(BridgedTopic::between("", "site/", "up/#", Direction::Out, QOS1).unwrap())
            .topic(BridgedTopic::between("cloud/", "down/", "+", Direction::In, QOS2).unwrap());
        let bridges = run(&here, vec![options]).await;
        settled(&bridges, &there, 1).await;

        let (mut by_there, mut by_here) = (subscriber(&there, "#").await, subscriber(&here, "cloud/#").await);
        let (mut to_here, mut to_there) = (publisher(&here).await, publisher(&there).await);
        for qos in ALL_QOS {
            let sent = format!("{qos:?}");
            to_here.publish("up/a/b", &sent, qos).await;
            let message = by_there.message().await;
            assert_eq!((message.topic.as_ref(), text(&message)), ("site/up/a/b", sent.as_str()));
            assert_eq!(message.qos, qos.min(QOS1));

            to_there.publish("down/x", &sent, qos).await;
            assert_eq!(by_there.message().await.topic, "down/x", "of the one that publishes there");
            let message = by_here.message().await;
            assert_eq!(
                (message.topic.as_ref(), text(&message), message.qos),
                ("cloud/x", sent.as_str(), qos)
            );
        }
        // What no topic of the bridge is, stays.
        to_here.publish("other", "x", QOS1).await;
        to_here.publish("up/last", "x", QOS1).await;
        assert_eq!(by_there.message().await.topic, "site/up/last");
        // What came in is counted once it has gone on to who subscribes it.
        until(|| bridges.status()[0].forwarded_in == 3).await;
        let status = &bridges.status()[0];
        assert_eq!((status.forwarded_out, status.dropped), (4, Default::default()));
    }
}

#[tokio::test]
async fn a_message_keeps_its_properties_and_what_is_left_of_its_time() {
    let (here, there) = (start().await, start().await);
    let options = bridge("b", there.addresses()[0], V5).topic(topic("#", Direction::Both, QOS2));
    let bridges = run(&here, vec![options]).await;
    settled(&bridges, &there, 1).await;
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(1000),
        content_type: Some("text/plain".into()),
        response_topic: Some("answers".into()),
        correlation_data: Some("7".into()),
        user_properties: vec![("a".into(), "b".into())],
    };
    for (from, to) in [(&here, &there), (&there, &here)] {
        let mut subscriber = subscriber(to, "t").await;
        let mut publisher = publisher(from).await;
        let message = tidegate::packet::Publish {
            qos: QOS1,
            properties: Some(Box::new(properties.clone())),
            ..publish("t", "x")
        };
        publisher.publish_packet(message).await;
        let mut seen = *subscriber.message().await.properties.unwrap();
        assert!((900..=1000).contains(&seen.message_expiry_interval.take().unwrap()));
        seen.user_properties.retain(|(name, _)| name != "tidegate-path");
        assert_eq!(seen, PublishProperties { message_expiry_interval: None, ..properties.clone() });
    }
}

#[tokio::test]
async fn what_is_retained_is_retained_on_the_other_side_too() {
    for version in VERSIONS {
        let (here, there) = (start().await, start().await);
        publisher(&here).await.publish_retained("out/old", "x", QOS1).await;
        publisher(&there).await.publish_retained("in/old", "x", QOS1).await;
        let options = bridge("b", there.addresses()[0], version)
            .topic(topic("out/#", Direction::Out, QOS1))
            .topic(topic("in/#", Direction::In, QOS1));
        let bridges = run(&here, vec![options]).await;
        settled(&bridges, &there, 1).await;
        publisher(&here).await.publish_retained("out/new", "x", QOS1).await;
        until(|| there.broker().retained_count() == 3).await;
        // MQTT 3.1.1 says of a message that it was retained before the subscription, and of no other.
        publisher(&there).await.publish_retained("in/new", "x", QOS1).await;
        let expected = if version == V5 { 4 } else { 3 };
        until(|| here.broker().retained_count() == expected && bridges.status()[0].forwarded_in == 2).await;
    }
}

#[tokio::test]
async fn hooks_see_where_a_message_comes_from_and_may_refuse_it() {
    let origins = Arc::new(Mutex::new(Vec::new()));
    let seen = origins.clone();
    let script = Script::default().on_publish(move |context| {
        seen.lock().unwrap().push(context.message.origin);
        let is_refused = context.message.topic.as_str() == "in/no";
        let refusal = PublishVerdict::Reject(ReasonCode::NOT_AUTHORIZED);
        let verdict = if is_refused { refusal } else { PublishVerdict::Continue };
        Answer::Ready(PublishOutcome { verdict, ..PublishOutcome::default() })
    });
    let script = script.shared();
    let (here, there) = (start_hooked(Options::default(), &script).await, start().await);
    let options = bridge("b", there.addresses()[0], V5).topic(topic("in/#", Direction::In, QOS1));
    let bridges = run(&here, vec![options]).await;
    settled(&bridges, &there, 1).await;
    let mut publisher = publisher(&there).await;
    publisher.publish("in/no", "x", QOS1).await;
    publisher.publish("in/yes", "x", QOS1).await;
    until(|| bridges.status()[0].forwarded_in == 1).await;
    assert_eq!(bridges.status()[0].dropped.refused, 1);
    assert_eq!(*origins.lock().unwrap(), [Origin::Bridge, Origin::Bridge]);
    let is_connected = |what: &What| matches!(what, What::ClientConnected { client, .. } if &*client.client_identifier == "$bridge/b");
    assert!(script.saw(is_connected));
}

#[tokio::test]
async fn nobody_who_comes_over_the_network_has_a_bridges_session() {
    let server = start().await;
    for version in VERSIONS {
        let (mut client, connack) = Client::try_connect(&server, connect(version, "$bridge/b")).await;
        assert_eq!(connack.reason_code, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
        assert_eq!(client.receive_or_end().await, None);
    }
}

#[tokio::test]
async fn bridges_are_set_changed_and_taken_away_while_the_broker_runs() {
    let (here, there) = (start().await, start().await);
    let at = there.addresses()[0];
    let one = bridge("one", at, V5).topic(topic("one/#", Direction::Out, QOS1));
    let two = bridge("two", at, V5).topic(topic("two/#", Direction::Out, QOS1));
    let bridges = run(&here, vec![one.clone(), two.clone()]).await;
    settled(&bridges, &there, 0).await;
    let mut by_there = subscriber(&there, "#").await;

    let changed = bridge("two", at, V5).topic(topic("zwei/#", Direction::Out, QOS1));
    bridges.set(vec![one.clone(), changed]).await;
    until(|| bridges.status().iter().all(|status| status.connected)).await;
    assert_eq!(bridges.status()[0].connections, 1, "it was not changed");
    let mut publisher = publisher(&here).await;
    for topic in ["two/x", "zwei/x", "one/x"] {
        publisher.publish(topic, "x", QOS1).await;
    }
    let mut topics = [by_there.message().await.topic, by_there.message().await.topic];
    topics.sort();
    assert_eq!(topics, ["one/x", "zwei/x"]);

    bridges.set(vec![one]).await;
    until(|| there.broker().client("bridge-two").is_none_or(|client| client.client.is_none())).await;
    assert!(here.broker().client("$bridge/two").is_none(), "nobody would empty its queue");
    assert!(here.broker().client("$bridge/one").is_some());
    bridges.stop().await;
    assert!(here.broker().client("$bridge/one").is_some(), "what waits is sent by the next process");
}
