//! Clients that send too much, over the wire.

use crate::support::plain::connect;
use tidegate::client::{ConnectError, End};
use tidegate::packet::{QoS, ReasonCode};
use tidegate::plugin::PluginOptions;

use super::{Broker, filter, message, module, text};

fn rate_limit(limits: serde_json::Value) -> PluginOptions {
    let settings = serde_json::json!({ "limits": limits });
    PluginOptions { settings, ..PluginOptions::new("rate-limit", module("rate-limit")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limit_rejects_what_is_over_the_burst_and_drops_qos_0() {
    let limits = serde_json::json!([
        { "what": "messages", "per": "client", "rate": 0.001, "burst": 3, "topics": ["limited"] },
    ]);
    let broker = Broker::start(&[rate_limit(limits)]).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("#")).await.expect("connected");
    for number in 0..5 {
        let ack = client.publish(message("limited", format!("{number}"))).await.expect("connected");
        let expected = if number < 3 { ReasonCode::SUCCESS } else { ReasonCode::QUOTA_EXCEEDED };
        assert_eq!(ack.reason_code, expected, "{number}");
    }
    let mut unacknowledged = message("limited", "5");
    unacknowledged.qos = QoS::AtMostOnce;
    client.publish(unacknowledged).await.expect("connected");
    client.publish(message("free", "6")).await.expect("connected");
    for expected in ["0", "1", "2", "6"] {
        assert_eq!(text(&messages.next().await.expect("connected")), expected);
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limit_counts_a_user_of_several_connections_and_disconnects() {
    let limits = serde_json::json!([
        { "what": "bytes", "per": "user", "rate": 0.01, "burst": 100, "over": "disconnect" },
    ]);
    let broker = Broker::start(&[rate_limit(limits)]).await;
    let version = tidegate::packet::ProtocolVersion::V5;
    let (first, _unread) = broker.connect_as(version, "c1", "alice", "").await.expect("let in");
    let (second, mut messages) = broker.connect_as(version, "c2", "alice", "").await.expect("let in");
    first.publish(message("t", "x".repeat(60))).await.expect("connected");
    second.publish(message("t", "x".repeat(40))).await.expect("connected");
    let _ = second.publish(message("t", "x")).await;
    match messages.next().await {
        Err(End::Server(disconnect)) => {
            assert_eq!(disconnect.reason_code, ReasonCode::MESSAGE_RATE_TOO_HIGH);
        }
        other => panic!("{other:?}"),
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limit_refuses_connections_of_one_address() {
    let limits = serde_json::json!([
        { "what": "connections", "per": "address", "rate": 0.001, "burst": 2 },
    ]);
    let broker = Broker::start(&[rate_limit(limits)]).await;
    let (_first, _) = broker.connect("c1").await;
    let (_second, _) = broker.connect("c2").await;
    match connect(&broker.options("c3")).await {
        Err(ConnectError::Refused(connack)) => {
            assert_eq!(connack.reason_code, ReasonCode::CONNECTION_RATE_EXCEEDED);
        }
        Err(error) => panic!("refused without CONNACK: {error}"),
        Ok(_) => panic!("let in"),
    }
    broker.server.shutdown().await;
}
