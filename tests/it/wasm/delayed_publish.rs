//! Messages that are published later.

use std::time::{Duration, Instant};

use tidegate::packet::ReasonCode;
use tidegate::plugin::{Grants, PluginOptions};

use super::{Broker, filter, message, module, text};

fn delayed_publish(grant: &str) -> PluginOptions {
    PluginOptions {
        settings: serde_json::json!({ "topics": ["of/%c/#"], "maximum-delay-seconds": 60 }),
        grants: Grants { publish: vec![grant.try_into().unwrap()], ..Grants::default() },
        ..PluginOptions::new("delayed-publish", module("delayed-publish"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_publish_acknowledges_at_once_and_publishes_in_the_order_of_the_delays() {
    let broker = Broker::start(&[delayed_publish("of/#")]).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("#")).await.expect("connected");
    client.subscribe(filter("$delayed/#")).await.expect("connected");
    let begun = Instant::now();
    for (topic, payload) in [("$delayed/2/of/client/b", "later"), ("$delayed/1/of/client/a", "sooner")] {
        let ack = client.publish(message(topic, payload)).await.expect("connected");
        assert!(!ack.reason_code.is_error(), "{}", ack.reason_code);
    }
    client.publish(message("now", "now")).await.expect("connected");
    for (topic, payload, earliest) in
        [("now", "now", 0), ("of/client/a", "sooner", 1), ("of/client/b", "later", 2)]
    {
        let message = messages.next().await.expect("connected");
        assert_eq!((&*message.topic, text(&message)), (topic, payload));
        assert!(begun.elapsed() >= Duration::from_secs(earliest), "{topic} after {:?}", begun.elapsed());
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_publish_refuses_bad_delays_and_topics_that_are_not_allowed() {
    let broker = Broker::start(&[delayed_publish("elsewhere")]).await;
    let (client, _messages) = broker.connect("client").await;
    for (topic, code) in [
        ("$delayed/soon/of/client/a", ReasonCode::TOPIC_NAME_INVALID),
        ("$delayed/61/of/client/a", ReasonCode::TOPIC_NAME_INVALID),
        ("$delayed/5/of/another/a", ReasonCode::NOT_AUTHORIZED),
        ("$delayed/5/of/client/a", ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR),
    ] {
        let ack = client.publish(message(topic, "x")).await.expect("connected");
        assert_eq!(ack.reason_code, code, "{topic}");
    }
    broker.server.shutdown().await;
}
