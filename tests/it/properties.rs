//! What a message says about itself, on every way that a message takes.

use bytes::Bytes;
use tidegate::packet::{Publish, PublishProperties, Will};

use crate::support::client::to;
use crate::support::*;

/// All that there is but the Message Expiry Interval, which shrinks on the way.
fn all() -> Option<Box<PublishProperties>> {
    let user = |name: &str, value: &str| (name.to_string().into(), value.to_string().into());
    Some(Box::new(PublishProperties {
        payload_format_indicator: Some(false),
        message_expiry_interval: None,
        content_type: Some("application/x-\u{feff}ä".into()),
        response_topic: Some("answers/$SYS/ä".into()),
        correlation_data: Some(Bytes::from_static(b"\x00\xff#+")),
        // In no order, some twice, one empty.
        user_properties: vec![
            user("z", "1"),
            user("a", "2"),
            user("z", "1"),
            user("", ""),
            user("z", "0"),
            user("a", "2"),
        ],
    }))
}

fn described(topic: &str) -> Publish {
    Publish { qos: QOS1, properties: all(), ..publish(topic, "x") }
}

#[tokio::test]
async fn they_arrive_unaltered_and_in_their_order_whichever_way_a_message_takes() {
    // [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]; for
    // Wills [MQTT-3.1.3-10]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("live", QOS1).await;
    receiver.subscribe("$share/g/shared", QOS1).await;
    receiver.subscribe("will", QOS1).await;
    for topic in ["live", "shared"] {
        sender.publish_packet(described(topic)).await;
        assert_eq!(receiver.message().await.properties, all(), "{topic}");
    }
    // Retained and replayed, also as the empty one that clears: it is a message to those who are there.
    sender.publish_packet(Publish { retain: true, ..described("kept") }).await;
    receiver.subscribe("kept", QOS1).await;
    let got = receiver.message().await;
    assert_eq!((got.retain, got.properties), (true, all()));
    sender.publish_packet(Publish { retain: true, payload: Bytes::new(), ..described("kept") }).await;
    assert_eq!(receiver.message().await.properties, all());
    // A Will, from the queue of a session that was away.
    receiver.disconnect().await;
    let leaving =
        with_will(connect(V5, "leaving"), Will { qos: QOS1, properties: all(), ..will("will", "x") });
    drop(Client::connect(&server, leaving).await);
    until(|| server.broker().client("leaving").is_none()).await;
    sender.publish_packet(described("live")).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    for topic in ["will", "live"] {
        let got = receiver.next_publish().await;
        assert_eq!((&*got.topic, got.properties), (topic, all()));
    }
    // Neither was acknowledged: again, with DUP.
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    for _ in 0..2 {
        let got = receiver.message().await;
        assert_eq!((got.dup, got.properties), (true, all()));
    }
}

#[tokio::test]
async fn a_request_is_answered_where_it_says_with_what_it_says() {
    // MQTT 5.0, 4.10
    let server = start().await;
    let mut responder = Client::connect(&server, connect(V5, "responder")).await;
    responder.subscribe("requests", QOS1).await;
    let mut requesters = Vec::new();
    for name in ["one", "two"] {
        let mut requester = Client::connect(&server, connect(V5, name)).await;
        let suback = requester.subscribe_to(vec![to(&format!("answers/{name}"), QOS1)]).await;
        assert!(!suback.reason_codes[0].is_error());
        let properties = PublishProperties {
            response_topic: Some(format!("answers/{name}").into()),
            correlation_data: Some(Bytes::from(name)),
            ..PublishProperties::default()
        };
        let properties = Some(Box::new(properties));
        requester.publish_packet(Publish { qos: QOS1, properties, ..publish("requests", name) }).await;
        requesters.push((name, requester));
    }
    for _ in 0..2 {
        let request = responder.message().await;
        let asked = request.properties.unwrap();
        let correlation_data = asked.correlation_data;
        let properties =
            Some(Box::new(PublishProperties { correlation_data, ..PublishProperties::default() }));
        let topic = asked.response_topic.unwrap();
        // Without an acknowledgement, before which the next request may come.
        responder.publish_packet(Publish { properties, ..publish(&topic, "answer") }).await;
    }
    for (name, mut requester) in requesters {
        let answer = requester.message().await;
        assert_eq!((&*answer.topic, text(&answer)), (&*format!("answers/{name}"), "answer"));
        assert_eq!(answer.properties.unwrap().correlation_data.as_deref(), Some(name.as_bytes()));
        requester.assert_silent().await;
    }
}
