//! JSON rules on live traffic.

use tidegate::packet::ReasonCode;
use tidegate::plugin::PluginOptions;

use super::{Broker, filter, message, module, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payload_filter_drops_redacts_renames_and_refuses_on_the_wire() {
    let settings = serde_json::json!({ "rules": [ {
        "topics": ["data/#"],
        "require": ["id"],
        "range": { "temp": { "min": -40, "max": 85 } },
        "drop": ["secret"],
        "redact": { "owner": "***" },
        "rename": { "t": "temp" },
        "on-invalid-json": "reject",
    } ] });
    let options =
        PluginOptions { settings, ..PluginOptions::new("payload-filter", module("payload-filter")) };
    let broker = Broker::start(&[options]).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("#")).await.expect("subscribed");

    let payload = r#"{"id":1,"t":20,"owner":"Li","secret":"x"}"#;
    let ack = client.publish(message("data/a", payload)).await.expect("connected");
    assert!(!ack.reason_code.is_error(), "{}", ack.reason_code);
    let received: serde_json::Value = serde_json::from_str(text(&messages.next().await.unwrap())).unwrap();
    assert_eq!(received, serde_json::json!({ "id": 1, "temp": 20, "owner": "***" }));

    for refused in [r#"{"temp":20}"#, r#"{"id":1,"temp":86}"#, "no json"] {
        let ack = client.publish(message("data/a", refused)).await.expect("connected");
        assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID, "{refused}");
    }
    client.publish(message("elsewhere", "no json")).await.expect("connected");
    assert_eq!(text(&messages.next().await.unwrap()), "no json", "other topics are not looked at");
    broker.server.shutdown().await;
}
