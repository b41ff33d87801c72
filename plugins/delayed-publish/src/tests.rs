//! The plugin as the broker uses it: settings in, verdicts out.

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::testing::Published;
use tidegate_plugin::{settings, testing};

use crate::DelayedPublish;

fn start(settings: Value) -> Result<(DelayedPublish, Registration), String> {
    testing::reset();
    testing::with(|host| {
        host.client.identifier = "c1".to_owned();
        host.client.user_name = Some("alice".to_owned());
    });
    DelayedPublish::init(settings::parse(&settings.to_string())?)
}

fn plugin(settings: Value) -> DelayedPublish {
    start(settings).expect("good settings").0
}

fn published() -> Vec<Published> {
    testing::with(|host| std::mem::take(&mut host.published))
}

fn refused(plugin: &mut DelayedPublish, topic: &str) -> (ReasonCode, String) {
    let PublishVerdict::Reject(code) = plugin.intercept(testing::publish(topic, "x")) else {
        panic!("{topic}")
    };
    assert_eq!(published(), [], "{topic}");
    (code, testing::take_reply().reason_string.unwrap_or_default())
}

#[test]
fn a_message_is_acknowledged_and_published_later_with_what_it_has() {
    let (mut plugin, registration) = start(json!({ "topics": ["#"] })).unwrap();
    assert_eq!(registration.topics, ["$delayed/#"]);
    testing::with(|host| host.message.user_properties = vec![UserProperty::new("a", "b")]);
    let publish = testing::publish("$delayed/15/a/b", "payload").with_qos(Qos::ExactlyOnce).with_retain(true);
    assert_eq!(plugin.intercept(publish), PublishVerdict::Swallow);
    let expected = Published {
        topic: "a/b".to_owned(),
        payload: b"payload".to_vec(),
        qos: Qos::ExactlyOnce,
        retain: true,
        user_properties: vec![UserProperty::new("a", "b")],
        delay_ms: 15_000,
    };
    assert_eq!(published(), [expected]);
}

#[test]
fn what_is_no_delay_or_no_topic_is_refused() {
    let mut plugin = plugin(json!({ "topics": ["#"], "maximum-delay-seconds": 100 }));
    for (topic, why) in [
        ("$delayed/5", "no topic behind the delay"),
        ("$delayed/5/", "no topic behind the delay"),
        ("$delayed/5/$delayed/6/a", "no topic behind the delay"),
        ("$delayed//a", "the delay is no number of seconds"),
        ("$delayed/+5/a", "the delay is no number of seconds"),
        ("$delayed/-5/a", "the delay is no number of seconds"),
        ("$delayed/1.5/a", "the delay is no number of seconds"),
        ("$delayed/101/a", "the delay is over 100 seconds"),
        ("$delayed/99999999999999999999999/a", "the delay is over 100 seconds"),
    ] {
        assert_eq!(refused(&mut plugin, topic), (reason::TOPIC_NAME_INVALID, why.to_owned()), "{topic}");
    }
    assert_eq!(plugin.intercept(testing::publish("$delayed/100/a", "x")), PublishVerdict::Swallow);
    assert_eq!(plugin.intercept(testing::publish("$delayed/0/a", "x")), PublishVerdict::Swallow);
}

#[test]
fn a_client_reaches_only_the_topics_of_the_settings() {
    let mut plugin = plugin(json!({ "topics": ["of/%c/#", "by/%u/100%/+", "public"] }));
    for (topic, may) in [
        ("of/c1/x", true),
        ("of/c2/x", false),
        ("by/alice/100%/x", true),
        ("by/bob/100%/x", false),
        ("public", true),
        ("$SYS/x", false),
    ] {
        let topic = format!("$delayed/5/{topic}");
        let expected =
            if may { PublishVerdict::Swallow } else { PublishVerdict::Reject(reason::NOT_AUTHORIZED) };
        assert_eq!(plugin.intercept(testing::publish(&topic, "x")), expected, "{topic}");
    }
    for name in ["#", "+", "a/b", ""] {
        testing::with(|host| host.client.identifier = name.to_owned());
        published();
        assert_eq!(refused(&mut plugin, "$delayed/5/of/x/y").0, reason::NOT_AUTHORIZED, "{name}");
    }
}

#[test]
fn a_message_that_expires_before_its_time_is_not_published() {
    let mut plugin = plugin(json!({ "topics": ["#"] }));
    for (interval, count) in [(5, 0), (6, 1)] {
        testing::with(|host| host.message.message_expiry_interval = Some(interval));
        assert_eq!(plugin.intercept(testing::publish("$delayed/5/a", "x")), PublishVerdict::Swallow);
        assert_eq!(published().len(), count, "{interval}");
    }
}

#[test]
fn messages_of_plugins_are_left_alone() {
    let mut plugin = plugin(json!({ "topics": ["#"] }));
    let publish = testing::publish("$delayed/5/a", "x").with_origin(Origin::Injected);
    assert_eq!(plugin.intercept(publish), PublishVerdict::Continue);
    let publish = testing::publish("$delayed/5/a", "x").with_origin(Origin::Will);
    assert_eq!(plugin.intercept(publish), PublishVerdict::Swallow);
}

#[test]
fn all_problems_are_told_at_once() {
    let told =
        start(json!({ "topics": ["a/#/b"], "prefix": "a/#", "maximum-delay-seconds": 0 })).err().unwrap();
    for expected in [
        "topics: `a/#/b` is not a Topic Filter",
        "prefix: `a/#` is not a topic",
        "maximum-delay-seconds: should be 1 to 31536000",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(start(json!({})).err().unwrap().contains("missing field `topics`"));
    assert!(start(json!({ "topics": [] })).err().unwrap().contains("topics: name what clients may"));
    assert!(start(json!({ "topics": ["#"], "delay": 5 })).err().unwrap().contains("unknown field `delay`"));
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(|_| ()).expect("good settings");
    }
}
