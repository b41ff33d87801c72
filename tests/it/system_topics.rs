//! `$SYS`: what the broker says about itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate::broker::{AuthorizationCache, Broker, Options};
use tidegate::cluster::standalone::Standalone;
use tidegate::hook::{
    Action, Authorization, AuthorizationVerdict, EnqueueOutcome, NotConsumedOutcome, PublishOutcome,
    PublishVerdict, SubscribeOutcome, What,
};
use tidegate::message::ApplicationMessage;
use tidegate::packet::{Packet, Publish, ReasonCode, RetainHandling, SubscribeFilter};
use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::{Change, Durability, OpenedStorage, Storage};
use tidegate::topic::TopicName;
use tokio::time::sleep;

use crate::support::client::to;
use crate::support::*;

/// What Mosquitto 2 publishes below `$SYS/broker/`, but for the heap, of which nothing is known here.
const PLAIN: [&str; 25] = [
    "bytes/received",
    "bytes/sent",
    "clients/active",
    "clients/connected",
    "clients/disconnected",
    "clients/expired",
    "clients/inactive",
    "clients/maximum",
    "clients/total",
    "messages/inflight",
    "messages/received",
    "messages/sent",
    "messages/stored",
    "publish/bytes/received",
    "publish/bytes/sent",
    "publish/messages/dropped",
    "publish/messages/received",
    "publish/messages/sent",
    "retained messages/count",
    "shared_subscriptions/count",
    "store/messages/bytes",
    "store/messages/count",
    "subscriptions/count",
    "uptime",
    "version",
];

const AVERAGED: [&str; 9] = [
    "bytes/received",
    "bytes/sent",
    "connections",
    "messages/received",
    "messages/sent",
    "publish/dropped",
    "publish/received",
    "publish/sent",
    "sockets",
];

const TOPICS: usize = PLAIN.len() + 3 * AVERAGED.len();

fn expected_topics() -> Vec<String> {
    let averaged = AVERAGED
        .iter()
        .flat_map(|name| ["1min", "5min", "15min"].map(|period| format!("$SYS/broker/load/{name}/{period}")));
    let mut topics: Vec<String> =
        PLAIN.iter().map(|name| format!("$SYS/broker/{name}")).chain(averaged).collect();
    topics.sort();
    topics
}

/// All that is retained below `$SYS` now.
async fn system_topics(local: &Local) -> BTreeMap<String, String> {
    let mut client = local.connect(connect(V5, "monitor")).await;
    client.subscribe("$SYS/#", QOS2).await;
    let mut all = BTreeMap::new();
    for _ in 0..TOPICS {
        let got = client.next_publish().await;
        assert!(got.retain && got.qos == QOS0 && got.properties.is_none(), "{got:?}");
        all.insert(got.topic.to_string(), text(&got).to_owned());
    }
    client.assert_silent().await;
    client.disconnect().await;
    all
}

/// The value of `$SYS/broker/…` now.
async fn value(local: &Local, name: &str) -> String {
    system_topics(local).await.remove(&format!("$SYS/broker/{name}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_topics_are_those_of_mosquitto_and_there_from_the_start() {
    let local = Local::start().with_system_topics();
    let all = system_topics(&local).await;
    assert_eq!(all.keys().cloned().collect::<Vec<_>>(), expected_topics());
    for (topic, value) in all {
        match topic.as_str() {
            "$SYS/broker/version" => {
                assert_eq!(value, concat!("tidegate version ", env!("CARGO_PKG_VERSION")));
            }
            "$SYS/broker/uptime" => assert_eq!(value, "0 seconds"),
            topic if topic.contains("/load/") => assert_eq!(value, "0.00", "{topic}"),
            topic => assert_eq!(value, "0", "{topic}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_changed_is_published_again_at_the_interval() {
    let local = Local::with(Options { sys_interval: Duration::from_secs(3), ..Options::default() })
        .with_system_topics();
    let mut client = local.connect(connect(V5, "a")).await;
    for (filter, retained) in
        [("$SYS/broker/uptime", 1), ("$SYS/broker/version", 1), ("$SYS/broker/clients/#", 7)]
    {
        client.subscribe(filter, QOS1).await;
        for _ in 0..retained {
            assert!(client.next_publish().await.retain);
        }
    }
    let mut news = Vec::new();
    // Not at the same moment as the broker.
    sleep(Duration::from_millis(1)).await;
    for seconds in [3, 6, 9] {
        sleep(Duration::from_secs(3)).await;
        client.send(Packet::Pingreq).await;
        loop {
            match client.receive().await {
                Packet::Publish(publish) => {
                    assert!(!publish.retain && publish.qos == QOS0);
                    let name = publish.topic.trim_start_matches("$SYS/broker/").to_owned();
                    news.push(format!("{seconds}: {name} {}", text(&publish)));
                }
                Packet::Pingresp => break,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(
        news,
        [
            "3: uptime 3 seconds",
            "3: clients/total 1",
            "3: clients/maximum 1",
            "3: clients/connected 1",
            "3: clients/active 1",
            "6: uptime 6 seconds",
            "9: uptime 9 seconds",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_zero_publishes_nothing() {
    let local =
        Local::with(Options { sys_interval: Duration::ZERO, ..Options::default() }).with_system_topics();
    let mut client = local.connect(connect(V5, "a")).await;
    client.subscribe("$SYS/#", QOS0).await;
    sleep(Duration::from_secs(100)).await;
    client.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn filters_that_begin_with_a_wildcard_do_not_select_them() {
    // [MQTT-4.7.2-1]
    let local = Local::start().with_system_topics();
    let mut client = local.connect(connect(V5, "a")).await;
    for filter in ["#", "+/#", "+/broker/uptime", "$share/g/#"] {
        client.subscribe(filter, QOS0).await;
    }
    sleep(Duration::from_secs(30)).await;
    client.assert_silent().await;
    client.subscribe("$SYS/+/uptime", QOS0).await;
    assert_eq!(text(&client.next_publish().await), "30 seconds");
    client.unsubscribe(&["$SYS/+/uptime"]).await;
    client.subscribe("$share/g/$SYS/broker/uptime", QOS0).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.payloads(1).await, ["40 seconds"]);
    client.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn they_say_what_happens() {
    let local = Local::start().with_system_topics();
    let mut offline = local.connect(persistent(V5, "offline")).await;
    offline.subscribe("t", QOS1).await;
    offline.subscribe("$share/g/u", QOS1).await;
    offline.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..59 {
        sender.publish("t", "12345", QOS1).await;
    }
    sender.publish_retained("kept", "12345", QOS1).await;
    sleep(Duration::from_millis(9_990)).await;
    sender.ping().await;
    let before = local.broker.statistics();
    sleep(Duration::from_millis(20)).await;
    let all = system_topics(&local).await;
    let value = |name: &str| all[&format!("$SYS/broker/{name}")].as_str();
    for (name, expected) in [
        ("clients/total", 2),
        ("clients/connected", 1),
        ("clients/active", 1),
        ("clients/disconnected", 1),
        ("clients/inactive", 1),
        ("clients/expired", 0),
        ("clients/maximum", 1),
        ("subscriptions/count", 1),
        ("shared_subscriptions/count", 1),
        ("publish/messages/received", 60),
        ("publish/messages/sent", 0),
        ("publish/messages/dropped", 0),
        ("publish/bytes/received", 300),
        ("publish/bytes/sent", 0),
        ("retained messages/count", 1),
        ("store/messages/count", 60),
        ("messages/stored", 60),
        ("messages/inflight", 0),
        ("messages/received", before.packets_received),
        ("messages/sent", before.packets_sent),
        ("bytes/received", before.bytes_received),
        ("bytes/sent", before.bytes_sent),
        ("store/messages/bytes", before.retained_bytes + before.queued_bytes),
    ] {
        assert_eq!(value(name), expected.to_string(), "{name}");
    }
    // 60 in ten seconds: 360 * (1 - e^(-10/60)) and so on.
    for (name, expected) in [
        ("publish/received/1min", "55.27"),
        ("publish/received/5min", "11.80"),
        ("publish/sent/1min", "0.00"),
    ] {
        assert_eq!(value(&format!("load/{name}")), expected, "{name}");
    }
    // Two connections in ten seconds.
    assert_eq!((value("load/sockets/1min"), value("load/connections/15min")), ("1.84", "0.13"));
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_and_dropped_messages_are_among_them() {
    let local =
        Local::with(Options { maximum_queued_messages: 1, ..Options::default() }).with_system_topics();
    let asks = tidegate::packet::Connect { session_expiry_interval: Some(15), ..persistent(V5, "a") };
    let mut client = local.connect(asks).await;
    client.subscribe("t", QOS1).await;
    client.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..4 {
        sender.publish("t", "x", QOS1).await;
    }
    sleep(Duration::from_secs(21)).await;
    assert_eq!(value(&local, "clients/expired").await, "1");
    assert_eq!(value(&local, "clients/total").await, "1");
    assert_eq!(value(&local, "publish/messages/dropped").await, "3");
}

#[tokio::test(start_paused = true)]
async fn clients_cannot_publish_below_sys() {
    // MQTT 5.0, 4.7.2. Others would take it for the broker's word.
    let local = Local::start().with_system_topics();
    let mut monitor = local.connect(connect(V5, "monitor")).await;
    monitor.subscribe("$SYS/x/#", QOS2).await;
    monitor.subscribe("$SYS", QOS2).await;
    for version in VERSIONS {
        let mut sender = local.connect(connect(version, "sender")).await;
        for (topic, qos) in [("$SYS/x", QOS0), ("$SYS/x", QOS1), ("$SYS/x/y", QOS2), ("$SYS", QOS1)] {
            let told = sender.publish_retained(topic, "x", qos).await;
            let expected = match (version, qos) {
                (V5, QOS1 | QOS2) => ReasonCode::TOPIC_NAME_INVALID,
                _ => ReasonCode::SUCCESS,
            };
            assert_eq!(told, expected);
        }
        sender.ping().await;
        monitor.assert_silent().await;
        let (_, connack) = local.try_connect(with_will(connect(version, "w"), will("$SYS/x", "x"))).await;
        assert_eq!(
            connack.reason_code,
            if version == V5 { ReasonCode::TOPIC_NAME_INVALID } else { ReasonCode::NOT_AUTHORIZED }
        );
        // Other topics that begin with `$` are as they were.
        assert!(!sender.publish("$SYSTEM", "x", QOS1).await.is_error());
    }
    monitor.unsubscribe(&["$SYS/x/#", "$SYS"]).await;
    monitor.subscribe("$SYS/x/#", QOS2).await;
    monitor.assert_silent().await;
    assert_eq!(local.broker.statistics().system_topics_refused, 8);
}

#[tokio::test(start_paused = true)]
async fn nor_can_hooks_or_embedders() {
    let script = Script::default()
        .on_publish(|context| match context.message.topic.as_str() {
            "moved" => {
                let topic = TopicName::try_from("$SYS/x").unwrap();
                let moved = ApplicationMessage { topic, ..context.message.clone() };
                PublishOutcome {
                    verdict: PublishVerdict::Modify(Box::new(moved)),
                    ..PublishOutcome::default()
                }
                .into()
            }
            _ => PublishOutcome::default().into(),
        })
        .on_not_consumed(|_| NotConsumedOutcome::Redirect(TopicName::try_from("$SYS/x").unwrap()).into());
    let local = Local::hooked(Options::default(), script.shared()).with_system_topics();
    let mut monitor = local.connect(connect(V5, "monitor")).await;
    monitor.subscribe("$SYS/x", QOS2).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    assert_eq!(sender.publish("moved", "x", QOS1).await, ReasonCode::TOPIC_NAME_INVALID);
    assert_eq!(sender.publish("nobody", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let injected = ApplicationMessage::new(TopicName::try_from("$SYS/x").unwrap(), "x").with_retain(true);
    let told = local.broker.publish(None, injected, &mut AuthorizationCache::default()).await;
    assert_eq!(told.reason, ReasonCode::TOPIC_NAME_INVALID);
    monitor.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn the_authorizer_decides_who_may_read_them() {
    let script = Script::default().with_deliveries().on_authorize(|context| {
        let name: &str = context.client.client_identifier.as_ref();
        let system = context.topic.starts_with("$SYS");
        let denied = match context.action {
            Action::Subscribe => system && name == "stranger",
            Action::Deliver => system && !context.topic.ends_with("/uptime"),
            Action::Publish => panic!("asked whether the broker may publish {}", context.topic),
        };
        let refused = AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED);
        let verdict = if denied { refused } else { AuthorizationVerdict::Allow };
        Authorization { verdict, cache: Duration::ZERO }.into()
    });
    let local = Local::hooked(Options::default(), script.shared()).with_system_topics();
    let mut stranger = local.connect(connect(V5, "stranger")).await;
    let filters = vec![to("$SYS/#", QOS0), to("$SYS/broker/uptime", QOS0), to("#", QOS0)];
    let denied = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(
        stranger.subscribe_to(filters).await.reason_codes,
        [denied, denied, ReasonCode::GRANTED_QOS_0]
    );
    // One who may read one of them only.
    let mut reader = local.connect(connect(V5, "reader")).await;
    reader.subscribe("$SYS/#", QOS0).await;
    assert_eq!(text(&reader.next_publish().await), "0 seconds");
    sleep(Duration::from_millis(10_001)).await;
    assert_eq!(text(&reader.next_publish().await), "10 seconds");
    reader.assert_silent().await;
    stranger.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn hooks_about_publishing_do_not_see_them_and_those_about_delivery_do() {
    let script = Script::default()
        .on_publish(|context| panic!("asked about {}", context.message.topic))
        .on_not_consumed(|context| panic!("told of {}", context.message.topic))
        .on_subscribe(|context| SubscribeOutcome::all_next(context.subscriptions.len()).into())
        .on_enqueue(|context| match context.message.topic.as_str() {
            "$SYS/broker/uptime" => EnqueueOutcome::Deliver.into(),
            _ => EnqueueOutcome::Skip.into(),
        })
        .shared();
    let local = Local::hooked(Options::default(), script.clone()).with_system_topics();
    let mut reader = local.connect(connect(V5, "reader")).await;
    reader.subscribe("$SYS/#", QOS0).await;
    assert_eq!(text(&reader.next_publish().await), "0 seconds");
    sleep(Duration::from_millis(10_001)).await;
    assert_eq!(text(&reader.next_publish().await), "10 seconds");
    reader.assert_silent().await;
    assert!(!script.saw(|what| matches!(what, What::RetainedMessageChanged { .. })));
    assert_eq!(local.broker.statistics().not_consumed, 0);
}

#[tokio::test(start_paused = true)]
async fn they_are_kept_apart_from_what_clients_retain() {
    let storage = Arc::new(MemoryStorage::default());
    let options = Options { maximum_retained_messages: 1, maximum_retained_bytes: 2, ..Options::default() };
    let hooks = Arc::new(tidegate::hook::NoHooks);
    let broker = Broker::new(
        options,
        hooks,
        Some(OpenedStorage::new(storage.clone(), Durability::Always).unwrap()),
        Arc::new(Standalone),
    );
    let local = Local { broker }.with_system_topics();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(system_topics(&local).await.len(), TOPICS);
    // The storage has a thread of its own, for which no paused time waits.
    tokio::time::resume();
    let mut sender = local.connect(connect(V5, "sender")).await;
    assert!(!sender.publish_retained("t", "x", QOS1).await.is_error());
    let s = local.broker.statistics();
    assert_eq!((s.retained_messages, s.retained_bytes, s.retained_refused), (1, 2, 0));
    let mut stored = Vec::new();
    let note = &mut |change| {
        if let Change::PutRetained(message) = change {
            stored.push(message.topic.to_string());
        }
    };
    storage.load(note).unwrap();
    assert_eq!(stored, ["t"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_there_does_not_collect_them() {
    let local = Local::start().with_system_topics();
    let mut client = local.connect(persistent(V5, "a")).await;
    client.subscribe("$SYS/#", QOS2).await;
    for _ in 0..TOPICS {
        client.next_publish().await;
    }
    client.disconnect().await;
    sleep(Duration::from_secs(100)).await;
    let s = local.broker.statistics();
    assert_eq!((s.queued_messages, s.dropped_queue_full), (0, 0));
    // Nor does the broker count them as received from anyone.
    assert_eq!((s.publishes_received, s.messages_received), (0, 0));
}

#[tokio::test]
async fn a_hook_that_panics_over_them_is_asked_again_at_the_next_interval() {
    // They are begun anew after a panic, and at once would be for ever.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = asked.clone();
    let script = Script::default().on_enqueue(move |context| {
        if context.message.topic.as_str().starts_with("$SYS") {
            times.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            panic!("a hook of a test");
        }
        EnqueueOutcome::Deliver.into()
    });
    let interval = Duration::from_millis(200);
    let server =
        start_hooked(Options { sys_interval: interval, ..Options::default() }, &script.shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    // Not the retained ones, over which the connection's own task would panic.
    let filter = SubscribeFilter { retain_handling: RetainHandling::DoNotSend, ..to("$SYS/#", QOS0) };
    client.subscribe_to(vec![filter]).await;
    client.subscribe("t", QOS1).await;
    until(|| asked.lock().unwrap().len() >= 3).await;
    client.publish("t", "x", QOS0).await;
    assert_eq!(client.payloads(1).await, ["x"]);
    let asked = asked.lock().unwrap();
    assert!(asked[2] - asked[1] >= interval / 2, "{asked:?}");
}

#[tokio::test]
async fn a_server_publishes_them() {
    let server = start_with(Options { sys_interval: Duration::from_secs(1), ..Options::default() }).await;
    let mut client = Client::connect(&server, connect(V311, "a")).await;
    client.subscribe("$SYS/broker/clients/connected", QOS0).await;
    let mut last = String::new();
    while last != "1" {
        let got: Publish = client.next_publish().await;
        last = text(&got).to_owned();
    }
}
