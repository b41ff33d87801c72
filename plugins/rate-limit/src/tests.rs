//! The plugin as the broker uses it: settings in, verdicts out.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{settings, testing};

use crate::RateLimit;
use crate::bucket::Bucket;

fn start(settings: Value) -> Result<(RateLimit, Registration), String> {
    testing::reset();
    testing::set_now_ms(1_000_000);
    RateLimit::init(settings::parse(&settings.to_string())?)
}

fn plugin(limits: Value) -> RateLimit {
    start(json!({ "limits": limits })).expect("good settings").0
}

fn problems(settings: Value) -> String {
    start(settings).err().expect("bad settings")
}

fn be(identifier: &str, user_name: Option<&str>, address: &str) {
    testing::with(|host| {
        host.client.identifier = identifier.to_owned();
        host.client.user_name = user_name.map(str::to_owned);
        host.client.remote_address = address.to_owned();
    });
}

fn send(plugin: &mut RateLimit, topic: &str, bytes: usize) -> PublishVerdict {
    InterceptingPublish::intercept(plugin, testing::publish(topic, vec![0; bytes]))
}

const OVER: PublishVerdict = PublishVerdict::Reject(reason::QUOTA_EXCEEDED);

/// How many of a hundred messages pass at once.
fn burst(plugin: &mut RateLimit) -> usize {
    (0..100).filter(|_| send(plugin, "t", 1) == PublishVerdict::Continue).count()
}

#[test]
fn a_bucket_gives_its_burst_and_then_as_much_as_flows_in() {
    let mut plugin = plugin(json!([{ "what": "messages", "per": "client", "rate": 10, "burst": 25 }]));
    be("c1", None, "1.2.3.4:5");
    assert_eq!(burst(&mut plugin), 25);
    testing::advance(Duration::from_millis(99));
    assert_eq!(burst(&mut plugin), 0);
    testing::advance(Duration::from_millis(1));
    assert_eq!(burst(&mut plugin), 1);
    testing::advance(Duration::from_secs(1));
    assert_eq!(burst(&mut plugin), 10);
    testing::advance(Duration::from_secs(1000));
    assert_eq!(burst(&mut plugin), 25, "it holds no more");
}

#[test]
fn clients_users_and_addresses_have_buckets_of_their_own() {
    for (per, others) in [("client", "c2"), ("user", "bob"), ("address", "9.9.9.9:5")] {
        let mut plugin = plugin(json!([{ "what": "messages", "per": per, "rate": 2 }]));
        be("c1", Some("alice"), "[::1]:5");
        assert_eq!(burst(&mut plugin), 2, "{per}");
        match per {
            "client" => be(others, Some("alice"), "[::1]:5"),
            "user" => be("c1", Some(others), "[::1]:5"),
            _ => be("c1", Some("alice"), others),
        }
        assert_eq!(burst(&mut plugin), 2, "{per}");
        be("c1", Some("alice"), "[::1]:6");
        assert_eq!(burst(&mut plugin), 0, "{per}: another port is the same address");
    }
}

#[test]
fn who_has_no_user_name_is_not_limited_per_user() {
    let mut plugin = plugin(json!([{ "what": "messages", "per": "user", "rate": 1 }]));
    be("c1", None, "1.2.3.4:5");
    assert_eq!(burst(&mut plugin), 100);
}

#[test]
fn instances_share_their_buckets() {
    let limits = json!([{ "what": "messages", "per": "client", "rate": 10 }]);
    let mut one = plugin(limits.clone());
    let mut other =
        RateLimit::init(settings::parse(&json!({ "limits": limits }).to_string()).unwrap()).unwrap().0;
    be("c1", None, "");
    assert_eq!(burst(&mut one) + burst(&mut other), 10);
}

#[test]
fn bytes_are_those_of_payloads_and_one_message_may_be_too_much() {
    let mut plugin = plugin(json!([{ "what": "bytes", "per": "client", "rate": 100, "burst": 1000 }]));
    be("c1", None, "");
    assert_eq!(send(&mut plugin, "t", 1001), OVER);
    assert_eq!(send(&mut plugin, "t", 600), PublishVerdict::Continue, "what was refused was not charged");
    assert_eq!(send(&mut plugin, "t", 500), OVER);
    assert_eq!(send(&mut plugin, "t", 400), PublishVerdict::Continue);
    assert_eq!(send(&mut plugin, "t", 0), PublishVerdict::Continue, "nothing is free");
}

#[test]
fn a_message_is_charged_under_all_limits_or_none() {
    let mut plugin = plugin(json!([
        { "what": "messages", "per": "client", "rate": 5 },
        { "what": "bytes", "per": "client", "rate": 10 },
    ]));
    be("c1", None, "");
    for _ in 0..20 {
        assert_eq!(send(&mut plugin, "t", 11), OVER);
    }
    assert_eq!(burst(&mut plugin), 5);
}

#[test]
fn only_the_topics_of_a_limit_are_limited() {
    let limits = json!([{ "what": "messages", "per": "client", "rate": 1, "topics": ["a/#", "b"] }]);
    let (mut plugin, registration) = start(json!({ "limits": limits })).unwrap();
    assert_eq!(registration.topics, ["a/#", "b"]);
    be("c1", None, "");
    assert_eq!(send(&mut plugin, "a/x", 1), PublishVerdict::Continue);
    assert_eq!(send(&mut plugin, "b", 1), OVER);
    assert_eq!(send(&mut plugin, "c", 1), PublishVerdict::Continue);
}

#[test]
fn messages_of_no_client_are_not_limited() {
    let mut plugin = plugin(json!([{ "what": "messages", "per": "client", "rate": 1 }]));
    for _ in 0..10 {
        let publish = testing::publish("t", "x").with_origin(Origin::Injected);
        assert_eq!(InterceptingPublish::intercept(&mut plugin, publish), PublishVerdict::Continue);
    }
}

#[test]
fn what_is_over_the_limit_is_rejected_dropped_or_ends_the_connection() {
    for (over, verdict, close) in [
        ("reject", OVER, None),
        ("drop", PublishVerdict::Swallow, None),
        ("disconnect", OVER, Some(reason::MESSAGE_RATE_TOO_HIGH)),
    ] {
        let limits = json!([{ "what": "messages", "per": "client", "rate": 1, "over": over }]);
        let mut plugin = plugin(limits);
        be("c1", None, "");
        send(&mut plugin, "t", 1);
        assert_eq!(send(&mut plugin, "t", 1), verdict, "{over}");
        assert_eq!(testing::take_reply().close, close, "{over}");
        let metric = testing::with(|host| host.metrics.pop()).expect("a metric");
        assert_eq!(metric.name, "limited_total");
        assert_eq!(metric.labels, [("what".into(), "messages".into()), ("per".into(), "client".into())]);
    }
}

#[test]
fn connections_over_the_limit_are_refused() {
    let limits = json!([{ "what": "connections", "per": "address", "rate": 0.1, "burst": 2 }]);
    let (mut plugin, registration) = start(json!({ "limits": limits })).unwrap();
    assert_eq!(registration.topics, [crate::NO_TOPIC], "no message makes a call");
    let mut connect = |identifier: &str, address: &str| {
        let connect = testing::connect(identifier, None, None);
        testing::with(|host| host.client.remote_address = address.to_owned());
        plugin.validate(connect)
    };
    assert_eq!(connect("c1", "1.2.3.4:5"), ConnectVerdict::Next);
    assert_eq!(connect("c2", "1.2.3.4:6"), ConnectVerdict::Next);
    assert_eq!(connect("c3", "1.2.3.4:7"), ConnectVerdict::Deny(reason::CONNECTION_RATE_EXCEEDED));
    assert_eq!(connect("c3", "1.2.3.5:7"), ConnectVerdict::Next);
    testing::advance(Duration::from_secs(10));
    assert_eq!(connect("c3", "1.2.3.4:7"), ConnectVerdict::Next);
}

#[test]
fn a_bucket_that_is_full_has_no_entry() {
    let mut plugin = plugin(json!([{ "what": "messages", "per": "client", "rate": 10 }]));
    for client in 0..100 {
        be(&format!("c{client}"), None, "");
        send(&mut plugin, "t", 1);
    }
    assert_eq!(state::scan("", 1000).len(), 100);
    testing::advance(Duration::from_millis(102));
    assert_eq!(state::scan("", 1000).len(), 0);
}

#[test]
fn long_names_take_little_room_and_are_still_told_apart() {
    let mut plugin = plugin(json!([{ "what": "messages", "per": "client", "rate": 1 }]));
    for name in ["x".repeat(60_000), "x".repeat(60_001)] {
        be(&name, None, "");
        assert_eq!(burst(&mut plugin), 1);
    }
    let keys = state::scan("", 10);
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.len() < 100), "{keys:?}");
}

#[test]
fn a_clock_that_began_again_empties_a_bucket_and_no_more() {
    let bucket = Bucket { interval_ns: 1000, capacity: 10 };
    assert_eq!(bucket.take(u64::MAX, 1, 50_000), None);
    assert_eq!(bucket.take(u64::MAX, u64::MAX, 50_000), None);
    assert_eq!(bucket.take(60_000, 0, 50_000), Some(60_000));
    assert_eq!(bucket.take(60_000, 1, 51_000), Some(61_000));
}

#[test]
fn all_problems_are_told_at_once() {
    let told = problems(json!({ "limits": [
        { "what": "messages", "per": "client", "rate": 0 },
        { "what": "messages", "per": "client", "rate": 1, "burst": 0, "topics": ["a/#/b"] },
        { "what": "connections", "per": "client", "rate": 1, "topics": ["a"], "over": "drop" },
        { "what": "bytes", "per": "client", "rate": 0.001, "burst": 1_000_000, "topics": [] },
    ]}));
    for expected in [
        "limits[0].rate: should be above 0",
        "limits[1].burst: 0 would let nothing pass",
        "limits[1].topics: `a/#/b` is not a Topic Filter",
        "limits[2].topics: connections have none",
        "limits[2].over: a connection over the limit is refused",
        "limits[3].burst: would take more than 7 days",
        "limits[3].topics: name at least one",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(problems(json!({})).contains("limits: write at least one"));
    assert!(problems(json!({ "limit": [] })).contains("unknown field `limit`"));
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(|_| ()).expect("good settings");
    }
}
