//! Topics that are put in place of others, over the wire.

use tidegate::packet::{PacketIdentifier, ReasonCode, Unsubscribe};
use tidegate::plugin::PluginOptions;

use super::{Broker, filter, message, module, text};

fn topic_rewrite() -> PluginOptions {
    let settings = serde_json::json!({ "rules": [
        { "from": "old/+/data/#", "to": "new/$1/$2" },
        { "from": "me/#", "to": "of/%c/$1" },
        { "from": "x/+", "to": "y-$1" },
    ] });
    PluginOptions { settings, ..PluginOptions::new("topic-rewrite", module("topic-rewrite")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_rewrite_publishes_and_subscribes_elsewhere_and_unsubscribes_what_was_asked_for() {
    let broker = Broker::start(&[topic_rewrite()]).await;
    let (client, mut messages) = broker.connect("c1").await;
    let (other, _messages) = broker.connect("c2").await;
    for asked in ["old/+/data/#", "me/#"] {
        let suback = client.subscribe(filter(asked)).await.expect("connected");
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1], "{asked}");
    }
    other.publish(message("old/7/data/a/b", "1")).await.expect("connected");
    other.publish(message("of/c1/a", "2")).await.expect("connected");
    other.publish(message("me/a", "not for c1")).await.expect("connected");
    client.publish(message("me/b", "3")).await.expect("connected");
    for (topic, payload) in [("new/7/a/b", "1"), ("of/c1/a", "2"), ("of/c1/b", "3")] {
        let message = messages.next().await.expect("connected");
        assert_eq!((&*message.topic, text(&message)), (topic, payload));
    }

    let suback = client.subscribe(filter("x/+")).await.expect("connected");
    assert_eq!(suback.reason_codes, [ReasonCode::TOPIC_FILTER_INVALID]);

    let unsubscribe = Unsubscribe {
        packet_identifier: PacketIdentifier::FIRST,
        user_properties: Vec::new(),
        filters: vec!["me/#".into()],
    };
    let unsuback = client.0.unsubscribe_with(unsubscribe).await.expect("connected");
    assert_eq!(unsuback.reason_codes, [ReasonCode::SUCCESS], "it had asked for this filter");
    client.publish(message("me/b", "nobody")).await.expect("connected");
    client.publish(message("old/8/data/c", "4")).await.expect("connected");
    assert_eq!(text(&messages.next().await.expect("connected")), "4");
    broker.server.shutdown().await;
}
