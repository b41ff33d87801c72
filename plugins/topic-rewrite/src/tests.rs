//! The plugin as the broker uses it: settings in, verdicts out.

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{settings, testing};

use crate::TopicRewrite;

fn start(rules: Value) -> Result<(TopicRewrite, Registration), String> {
    testing::reset();
    testing::with(|host| {
        host.client.identifier = "c1".to_owned();
        host.client.user_name = Some("alice".to_owned());
    });
    TopicRewrite::init(settings::parse(&json!({ "rules": rules }).to_string())?)
}

fn plugin(rules: Value) -> TopicRewrite {
    start(rules).expect("good settings").0
}

fn publish(plugin: &mut TopicRewrite, topic: &str) -> Option<String> {
    match InterceptingPublish::intercept(plugin, testing::publish(topic, "x")) {
        PublishVerdict::Continue => None,
        PublishVerdict::Modify(Modification { topic, payload: None, qos: None, retain: None }) => topic,
        other => panic!("{other:?}"),
    }
}

fn subscribe(plugin: &mut TopicRewrite, filter: &str) -> SubscriptionVerdict {
    InterceptingSubscription::intercept(plugin, testing::subscribe(&[filter])).remove(0)
}

fn instead(filter: &str) -> SubscriptionVerdict {
    SubscriptionVerdict::instead(filter, Qos::AtLeastOnce)
}

#[test]
fn the_first_rule_that_matches_is_the_only_one() {
    let mut plugin = plugin(json!([
        { "from": "a/+", "to": "b/$1" },
        { "from": "b/+", "to": "a/$1" },
        { "from": "a/#", "to": "never/for/one/level/$1" },
    ]));
    assert_eq!(publish(&mut plugin, "a/x").as_deref(), Some("b/x"), "two rules that swap make no loop");
    assert_eq!(publish(&mut plugin, "b/x").as_deref(), Some("a/x"));
    assert_eq!(publish(&mut plugin, "a/x/y").as_deref(), Some("never/for/one/level/x/y"));
    assert_eq!(publish(&mut plugin, "c"), None);
}

#[test]
fn rules_are_for_publishing_subscribing_or_both() {
    let (mut plugin, registration) = start(json!([
        { "from": "p/#", "to": "x/$1", "on": "publish" },
        { "from": "s/#", "to": "y/$1", "on": "subscribe" },
        { "from": "both/#", "to": "z/$1" },
    ]))
    .unwrap();
    assert_eq!(registration.topics, ["p/#", "both/#"], "other messages are not seen");
    assert_eq!(publish(&mut plugin, "p/1").as_deref(), Some("x/1"));
    assert_eq!(publish(&mut plugin, "s/1"), None);
    assert_eq!(publish(&mut plugin, "both/1").as_deref(), Some("z/1"));
    assert_eq!(subscribe(&mut plugin, "p/1"), SubscriptionVerdict::Next);
    assert_eq!(subscribe(&mut plugin, "s/#"), instead("y/#"));
    assert_eq!(subscribe(&mut plugin, "both/+"), instead("z/+"));
    let (_, registration) = start(json!([{ "from": "s", "to": "y", "on": "subscribe" }])).unwrap();
    assert_eq!(registration.topics, [crate::NO_TOPIC]);
}

#[test]
fn names_of_the_client_are_filled_in() {
    let mut plugin = plugin(json!([{ "from": "me/#", "to": "of/%u/%c/$1" }]));
    assert_eq!(publish(&mut plugin, "me/x").as_deref(), Some("of/alice/c1/x"));
    assert_eq!(subscribe(&mut plugin, "me/#"), instead("of/alice/c1/#"));
    for name in ["#", "+", "a/b", ""] {
        testing::with(|host| host.client.identifier = name.to_owned());
        assert_eq!(publish(&mut plugin, "me/x"), None, "{name}");
        assert_eq!(subscribe(&mut plugin, "me/#"), SubscriptionVerdict::Next, "{name}");
    }
}

#[test]
fn wildcards_stay_whole_or_the_filter_is_refused() {
    let mut plugin = plugin(json!([
        { "from": "a/+", "to": "b-$1/c" },
        { "from": "d/#", "to": "e/$1/f" },
    ]));
    let refused = SubscriptionVerdict::Deny(reason::TOPIC_FILTER_INVALID);
    assert_eq!(subscribe(&mut plugin, "a/1"), instead("b-1/c"));
    assert_eq!(subscribe(&mut plugin, "a/+"), refused);
    assert_eq!(subscribe(&mut plugin, "d/1"), instead("e/1/f"));
    assert_eq!(subscribe(&mut plugin, "d/#"), refused);
    assert_eq!(subscribe(&mut plugin, "#"), SubscriptionVerdict::Next, "wider than the rule");
    assert_eq!(subscribe(&mut plugin, "+/1"), SubscriptionVerdict::Next);
}

#[test]
fn shared_subscriptions_stay_shared() {
    let mut plugin = plugin(json!([{ "from": "a/#", "to": "b/$1" }]));
    assert_eq!(subscribe(&mut plugin, "$share/group/a/+"), instead("$share/group/b/+"));
}

#[test]
fn all_problems_are_told_at_once() {
    let told = start(json!([{ "from": "a/#/b", "to": "c" }, { "from": "a", "to": "b/$1" }])).err().unwrap();
    assert!(told.contains("rules[0]: `a/#/b` is not a Topic Filter"), "{told}");
    assert!(told.contains("rules[1]: `$1` has no wildcard in the source, which has 0"), "{told}");
    assert!(start(json!([])).err().unwrap().contains("rules: write at least one"));
    let told = start(json!([{ "from": "a", "to": "b", "when": "x" }])).err().unwrap();
    assert!(told.contains("unknown field `when`"), "{told}");
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings["rules"].clone()).map(|_| ()).expect("good settings");
    }
}
