//! The plugin as the broker uses it: settings in, verdicts out.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{settings, testing};

use crate::TopicAcl;

const ACL: &str = "\
# rules before the first user are for clients without a User Name
topic read public/#

user alice
topic alice/own
topic read news/#
topic deny news/secret/#
topic write with spaces/in it
topic  readwrite   many   spaces  \t
topic deny hers/no/#
topic readwrite hers/#

user bob smith
topic write bob

user alice
topic write later/of/alice

pattern readwrite devices/%c/#
pattern read users/%u/%c
pattern deny devices/+/secret
";

fn start(settings: Value) -> Result<(TopicAcl, Registration), String> {
    testing::reset();
    TopicAcl::init(settings::parse(&settings.to_string())?)
}

fn plugin(settings: Value) -> TopicAcl {
    start(settings).expect("good settings").0
}

fn problems(settings: Value) -> String {
    start(settings).err().expect("bad settings")
}

fn may(plugin: &mut TopicAcl, user: Option<&str>, identifier: &str, action: Action, topic: &str) -> bool {
    testing::with(|host| {
        host.client.identifier = identifier.to_owned();
        host.client.user_name = user.map(str::to_owned);
    });
    match plugin.authorize(testing::access(action, topic)) {
        AuthorizerVerdict::Allow(60_000) => true,
        AuthorizerVerdict::Deny(Denial { reason: reason::NOT_AUTHORIZED, cache_ms: 60_000 }) => false,
        other => panic!("{other:?}"),
    }
}

/// User, Client Identifier, topic, may write, may read. `tests/it/wasm/topic_acl.rs` of the broker asks
/// Mosquitto for the same.
const TABLE: [(Option<&str>, &str, &str, bool, bool); 26] = [
    (None, "c1", "public/a", false, true),
    (None, "c1", "alice/own", false, false),
    (None, "c1", "devices/c1/x", true, true),
    (None, "c1", "users//c1", false, false),
    (Some("alice"), "c1", "public/a", false, false),
    (Some("alice"), "c1", "alice/own", true, true),
    (Some("alice"), "c1", "alice/own/below", false, false),
    (Some("alice"), "c1", "news", false, true),
    (Some("alice"), "c1", "news/today", false, true),
    (Some("alice"), "c1", "news/secret/today", false, false),
    (Some("alice"), "c1", "with spaces/in it", true, false),
    (Some("alice"), "c1", "many   spaces", true, true),
    (Some("alice"), "c1", "hers/x", true, true),
    (Some("alice"), "c1", "hers/no/x", false, false),
    (Some("alice"), "c1", "later/of/alice", true, false),
    (Some("alice"), "c1", "users/alice/c1", false, true),
    (Some("alice"), "c1", "users/bob/c1", false, false),
    (Some("alice"), "c1", "devices/c1/secret", false, false),
    (Some("alice"), "c1", "devices/c2/x", false, false),
    (Some("bob smith"), "c1", "bob", true, false),
    (Some("bob"), "c1", "bob", false, false),
    (Some("nobody"), "c2", "devices/c2/x", true, true),
    (Some("nobody"), "+", "devices/c2/x", false, false),
    (Some("#"), "c2", "devices/c2/x", false, false),
    (Some("alice"), "a/b", "devices/a/b/x", true, true),
    (Some("alice"), "c#", "alice/own", true, true),
];

#[test]
fn a_table_of_users_and_topics_is_answered_as_mosquitto_does() {
    let mut plugin = plugin(json!({ "acl": ACL }));
    for (user, identifier, topic, write, read) in TABLE {
        let case = format!("{user:?} {identifier} {topic}");
        assert_eq!(may(&mut plugin, user, identifier, Action::Publish, topic), write, "write: {case}");
        assert_eq!(may(&mut plugin, user, identifier, Action::Deliver, topic), read, "read: {case}");
    }
}

#[test]
fn a_rule_for_a_user_beats_a_pattern_that_denies() {
    let acl = "user u\ntopic a/b\npattern deny a/#\npattern a/c";
    let mut plugin = plugin(json!({ "acl": acl }));
    assert!(may(&mut plugin, Some("u"), "c", Action::Publish, "a/b"));
    assert!(!may(&mut plugin, Some("u"), "c", Action::Publish, "a/c"), "deny comes first among patterns");
}

#[test]
fn wildcards_do_not_reach_topics_that_begin_with_a_dollar_sign() {
    let mut plugin = plugin(json!({ "acl": "topic #\nuser u\ntopic $SYS/#" }));
    assert!(!may(&mut plugin, None, "c", Action::Deliver, "$SYS/broker/uptime"));
    assert!(may(&mut plugin, Some("u"), "c", Action::Deliver, "$SYS/broker/uptime"));
}

#[test]
fn every_filter_may_be_subscribed_where_deliveries_are_authorized() {
    let (mut plugin, registration) = start(json!({ "acl": ACL })).unwrap();
    assert!(registration.authorize_deliveries);
    assert!(may(&mut plugin, None, "c1", Action::Subscribe, "#"));
}

#[test]
fn without_authorized_deliveries_only_covered_filters_may_be_subscribed() {
    let settings = json!({ "acl": ACL, "authorize-deliveries": false });
    let (mut plugin, registration) = start(settings).unwrap();
    assert!(!registration.authorize_deliveries);
    for (user, filter, granted) in [
        (None, "public/#", true),
        (None, "public/+/a", true),
        (None, "$share/group/public/#", true),
        (None, "+/a", false),
        (None, "#", false),
        (Some("alice"), "news/today", true),
        (Some("alice"), "news/#", false),
        (Some("alice"), "news/+", false),
        (Some("alice"), "news/today/+", true),
        (Some("alice"), "news/+/x", false),
        (Some("alice"), "with spaces/in it", false),
        (Some("alice"), "users/alice/c1", true),
        (Some("alice"), "users/alice/+", false),
        (Some("alice"), "devices/c1/x", true),
        (Some("alice"), "devices/c1/+", false),
        (Some("alice"), "devices/c1/a/#", true),
    ] {
        assert_eq!(may(&mut plugin, user, "c1", Action::Subscribe, filter), granted, "{user:?} {filter}");
    }
}

#[test]
fn what_no_rule_speaks_of_can_be_left_to_the_next_plugin() {
    let settings = json!({ "acl": "topic a\ntopic deny b", "otherwise": "next", "cache-seconds": 0 });
    let mut plugin = plugin(settings);
    let mut ask = |topic: &str| plugin.authorize(testing::access(Action::Publish, topic));
    assert_eq!(ask("a"), AuthorizerVerdict::Allow(0));
    assert_eq!(ask("b"), AuthorizerVerdict::deny(reason::NOT_AUTHORIZED));
    assert_eq!(ask("c"), AuthorizerVerdict::Next);
    let cached = AuthorizerVerdict::allow().cached_for(Duration::ZERO);
    assert_eq!(ask("a"), cached);
}

#[test]
fn an_empty_text_denies_everything() {
    let mut plugin = plugin(json!({ "acl": "" }));
    assert!(!may(&mut plugin, None, "c", Action::Publish, "a"));
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let acl = "topic\ntopic a b\nuser\nusers x\n # indented\ntopic read a/#/b\ntopic read a\npattern deny  ";
    let told = problems(json!({ "acl": acl, "authorize-deliveries": false, "subscriptions": "any" }));
    for expected in [
        "acl, line 1: a Topic Filter is missing",
        "acl, line 2: `a` should be one of `read`, `write`, `readwrite`, `deny`; a Topic Filter with spaces",
        "acl, line 3: a name should stand behind `user`",
        "acl, line 4: `users` should be one of `user`, `topic`, `pattern`",
        "acl, line 5: a comment begins at the beginning of its line",
        "acl, line 6: `a/#/b` is not a Topic Filter",
        "subscriptions: with \"any\" and without `authorize-deliveries`",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!told.contains("line 7"), "{told}");
    assert!(problems(json!({ "acl": "", "cache": 5 })).contains("unknown field `cache`"));
    assert!(problems(json!({})).contains("missing field `acl`"));
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(|_| ()).expect("good settings");
    }
}
