//! What plugins ask of the host, and what they are granted.

use bytes::Bytes;
use tidegate::packet::{Connect, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Will};
use tidegate::plugin::{Grants, MetricValue, PluginOptions};
use tidegate::topic::TopicFilter;

use super::{Broker, message, module, text};
use crate::support::client::Client;

fn plugin(grants: Grants) -> PluginOptions {
    PluginOptions { grants, ..PluginOptions::new("uses-services", module("uses-services")) }
}

fn everything() -> Grants {
    let all: TopicFilter = "#".try_into().unwrap();
    Grants {
        publish: vec![all.clone()],
        retained: vec![all],
        clients: true,
        session_items: true,
        ..Grants::default()
    }
}

fn connect(client_identifier: &str) -> Connect {
    Connect::new(ProtocolVersion::V5, client_identifier.to_owned().into())
}

fn connect_as(client_identifier: &str, user_name: &str, password: &str) -> Connect {
    let mut connect = connect(client_identifier);
    connect.user_name = Some(user_name.to_owned().into());
    connect.password = Some(Bytes::copy_from_slice(password.as_bytes()));
    connect
}

fn will(topic: &str) -> Will {
    Will {
        topic: topic.to_owned().into(),
        payload: "bye".into(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay_interval: 0,
        properties: None,
    }
}

/// Has the plugin do something; what came of it.
async fn ask(client: &mut Client, what: &str, words: &str) -> String {
    let acknowledged = client.publish_packet(message(&format!("do/{what}"), words.to_owned())).await;
    let reason_string = acknowledged.properties.and_then(|properties| properties.reason_string);
    reason_string.unwrap_or_default().to_string()
}

#[tokio::test]
async fn what_is_not_granted_is_denied() {
    let broker = Broker::start(&[plugin(Grants::default())]).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    for (what, words) in [
        ("session", "c1"),
        ("client", "c1"),
        ("subscribe", "c1 a"),
        ("unsubscribe", "c1 a"),
        ("disconnect", "c1"),
        ("retained", "a"),
        ("publish", "a"),
        ("publish-later", "1 a"),
        ("set-item", "a b"),
    ] {
        assert_eq!(ask(&mut client, what, words).await, "denied", "{what}");
    }
    for (what, words) in [("sessions", "10"), ("clients", "10"), ("matching-retained", "#")] {
        assert_eq!(ask(&mut client, what, words).await, "denied", "{what}");
    }
    assert_eq!(ask(&mut client, "get-item", "a").await, "none");
}

#[tokio::test]
async fn a_topic_that_is_not_granted_is_denied_beside_one_that_is() {
    let alarms: TopicFilter = "alarms/#".try_into().unwrap();
    let grants = Grants { publish: vec![alarms.clone()], retained: vec![alarms], ..Grants::default() };
    let broker = Broker::start(&[plugin(grants)]).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    assert_eq!(ask(&mut client, "publish", "alarms/fire").await, "done");
    assert_eq!(ask(&mut client, "publish", "alarm").await, "denied");
    assert_eq!(ask(&mut client, "publish", "alarms/#").await, "invalid");
    assert_eq!(ask(&mut client, "retained", "alarms/fire").await, "done");
    assert_eq!(ask(&mut client, "retained", "other").await, "denied");
}

#[tokio::test]
async fn items_live_as_long_as_the_session_and_are_its_own() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut lasting = connect_as("c1", "item", "secret");
    lasting.session_expiry_interval = Some(60);
    let (mut client, connack) = Client::try_connect(&broker.server, lasting.clone()).await;
    assert_eq!(connack.reason_string.as_deref(), Some("done secret"), "before there is a session");
    assert_eq!(ask(&mut client, "get-item", "password").await, "secret");
    assert_eq!(ask(&mut client, "set-item", "a b").await, "done");
    let mut other = Client::connect(&broker.server, connect("c2")).await;
    assert_eq!(ask(&mut other, "get-item", "a").await, "none");
    drop(client);

    lasting.user_name = None;
    lasting.clean_start = false;
    let mut again = Client::connect(&broker.server, lasting.clone()).await;
    assert_eq!(ask(&mut again, "get-item", "a").await, "b");
    assert_eq!(ask(&mut again, "delete-item", "a").await, "true");
    assert_eq!(ask(&mut again, "get-item", "a").await, "none");
    lasting.clean_start = true;
    let mut new = Client::connect(&broker.server, lasting).await;
    assert_eq!(ask(&mut new, "get-item", "password").await, "none", "another session of the same name");
}

#[tokio::test]
async fn a_session_keeps_so_many_items_and_no_more() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    assert_eq!(ask(&mut client, "fill-items", "").await, "65", "64 KiB of 1000 bytes and a key of 8");
    assert_eq!(ask(&mut client, "set-item", "one more").await, "done", "a small one still fits");
    assert_eq!(ask(&mut client, "set-item", "and this-does-not").await, "quota-exceeded");
}

#[tokio::test]
async fn clients_and_sessions_are_found_and_listed_in_order() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut asks = Client::connect(&broker.server, connect("m")).await;
    let mut lasting = connect_as("a", "somebody", "x");
    lasting.session_expiry_interval = Some(60);
    let mut gone = Client::connect(&broker.server, lasting).await;
    gone.subscribe("a/#", QoS::AtLeastOnce).await;
    assert_eq!(ask(&mut asks, "session", "a").await, "connected=true subscriptions=1");
    assert_eq!(ask(&mut asks, "client", "a").await, "somebody default 5");
    gone.disconnect().await;
    let mut others = Vec::new();
    for name in ["z", "b", "y", "c"] {
        others.push(Client::connect(&broker.server, connect(name)).await);
    }
    assert_eq!(ask(&mut asks, "session", "a").await, "connected=false subscriptions=1");
    assert_eq!(ask(&mut asks, "client", "a").await, "done");
    assert_eq!(ask(&mut asks, "session", "nobody").await, "done");
    assert_eq!(ask(&mut asks, "sessions", "3").await, "a b c");
    assert_eq!(ask(&mut asks, "sessions", "3 c").await, "m y z");
    assert_eq!(ask(&mut asks, "clients", "2").await, "b c");
    assert_eq!(ask(&mut asks, "clients", "9 y").await, "z");
}

#[tokio::test]
async fn a_session_is_subscribed_and_unsubscribed_for_its_client() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut asks = Client::connect(&broker.server, connect("asks")).await;
    asks.publish_retained("news/old", "old", QoS::AtLeastOnce).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    assert_eq!(ask(&mut asks, "subscribe", "c1 news/#").await, "done");
    assert_eq!(text(&client.message().await), "old", "with what is retained");
    assert_eq!(ask(&mut asks, "publish", "news/x").await, "done");
    assert_eq!(text(&client.message().await), "published");
    assert_eq!(ask(&mut asks, "unsubscribe", "c1 news/#").await, "done");
    assert_eq!(ask(&mut asks, "publish", "news/x").await, "done");
    assert_eq!(ask(&mut asks, "subscribe", "c1 last").await, "done");
    assert_eq!(ask(&mut asks, "publish", "last").await, "done");
    assert_eq!(client.message().await.topic, "last", "and nothing before it");
    assert_eq!(ask(&mut asks, "subscribe", "c1 a/#/b").await, "invalid");
    assert_eq!(ask(&mut asks, "disconnect", "c1").await, "done");
    assert_eq!(client.end().await, Some(ReasonCode::ADMINISTRATIVE_ACTION));
}

#[tokio::test]
async fn retained_messages_are_read_and_matched() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    for topic in ["r/a", "r/b", "r/c", "s/d"] {
        client.publish_retained(topic, &format!("of {topic}"), QoS::AtLeastOnce).await;
    }
    assert_eq!(ask(&mut client, "retained", "r/b").await, "of r/b Qos::AtLeastOnce");
    assert_eq!(ask(&mut client, "retained", "r/x").await, "done");
    assert_eq!(ask(&mut client, "matching-retained", "r/#").await, "r/a r/b");
    assert_eq!(ask(&mut client, "matching-retained", "r/# r/b").await, "r/c");
    assert_eq!(ask(&mut client, "matching-retained", "s/d").await, "s/d");
}

#[tokio::test]
async fn a_message_that_is_to_come_later_does_and_in_its_order() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    let mut asks = Client::connect(&broker.server, connect("asks")).await;
    client.subscribe("#", QoS::AtLeastOnce).await;
    assert_eq!(ask(&mut asks, "publish-later", "200 second").await, "done");
    assert_eq!(ask(&mut asks, "publish-later", "50 first").await, "done");
    assert_eq!(ask(&mut asks, "publish-later", &format!("{} never", u64::MAX)).await, "invalid");
    assert_eq!(client.message().await.topic, "first");
    assert_eq!(client.message().await.topic, "second");
}

#[tokio::test]
async fn a_client_below_a_mount_prefix_sees_nothing_else() {
    let broker = Broker::start(&[plugin(everything())]).await;
    let mut whole = Client::connect(&broker.server, connect("whole")).await;
    whole.subscribe("#", QoS::AtMostOnce).await;
    let mut mounted = connect_as("mounted", "mount", "a");
    mounted.will = Some(Box::new(will("gone")));
    let mut mounted = Client::connect(&broker.server, mounted).await;
    let mut neighbour = Client::connect(&broker.server, connect_as("neighbour", "mount", "b")).await;
    mounted.subscribe("#", QoS::AtMostOnce).await;
    neighbour.subscribe("#", QoS::AtMostOnce).await;

    let mut publish = Publish::new("x/y".into(), "from a".into());
    publish.properties.get_or_insert_default().response_topic = Some("answers".into());
    mounted.send(Packet::Publish(publish)).await;
    let seen = whole.message().await;
    assert_eq!(seen.topic, "tenants/a/x/y");
    assert_eq!(seen.properties.unwrap().response_topic.as_deref(), Some("tenants/a/answers"));
    let own = mounted.message().await;
    assert_eq!(own.topic, "x/y");
    assert_eq!(own.properties.unwrap().response_topic.as_deref(), Some("answers"));

    whole.send(Packet::Publish(Publish::new("tenants/a/z".into(), "for a".into()))).await;
    assert_eq!(mounted.message().await.topic, "z");
    assert_eq!(whole.message().await.topic, "tenants/a/z");
    whole.send(Packet::Publish(Publish::new("tenants/b/z".into(), "for b".into()))).await;
    assert_eq!(neighbour.message().await.topic, "z", "nothing of the other came before");
    assert_eq!(whole.message().await.topic, "tenants/b/z");
    mounted.unsubscribe(&["#"]).await;
    drop(mounted);
    assert_eq!(whole.message().await.topic, "tenants/a/gone", "its Will");
}

#[tokio::test]
async fn a_plugin_counts_for_the_brokers_metrics() {
    let broker = Broker::start(&[plugin(Grants::default())]).await;
    let mut client = Client::connect(&broker.server, connect("c1")).await;
    ask(&mut client, "count", "c1").await;
    ask(&mut client, "count", "c1").await;
    let status = broker.host.status().remove(0);
    let value = |name: &str| {
        let found = status.metrics.iter().find(|metric| metric.name == name);
        found.map(|metric| (metric.labels.clone(), metric.value.clone()))
    };
    let by = vec![("by".to_owned(), "c1".to_owned())];
    assert_eq!(value("asked_total"), Some((by, MetricValue::Counter(4))));
    assert_eq!(value("last"), Some((Vec::new(), MetricValue::Gauge(1.5))));
    let Some((_, MetricValue::Histogram(sizes))) = value("size") else { panic!() };
    assert_eq!((sizes.count, sizes.sum), (2, 6.0));
    assert_eq!(status.dropped_metrics, 4, "a gauge by the name of a counter, and no name, twice each");
}
