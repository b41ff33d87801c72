//! The plugin as the broker uses it: settings in, verdicts out.

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{settings, testing};

use crate::PayloadFilter;

fn start(settings: Value) -> Result<(PayloadFilter, Registration), String> {
    testing::reset();
    PayloadFilter::init(settings::parse(&settings.to_string())?)
}

/// A filter with one rule for all topics below `t`.
fn rule(mut rule: Value) -> PayloadFilter {
    rule["topics"] = json!(["t/#"]);
    start(json!({ "rules": [rule] })).expect("good settings").0
}

fn filter(plugin: &mut PayloadFilter, payload: &str) -> PublishVerdict {
    plugin.intercept(testing::publish("t/1", payload))
}

fn modified(payload: &str) -> PublishVerdict {
    PublishVerdict::Modify(Modification::new().payload(payload))
}

fn problems(settings: Value) -> String {
    start(settings).err().expect("bad settings")
}

const REJECTED: PublishVerdict = PublishVerdict::Reject(reason::PAYLOAD_FORMAT_INVALID);

#[test]
fn a_missing_field_is_rejected_and_named() {
    let mut plugin = rule(json!({ "require": ["temp", "location.lat", "/odd.name", "list.1"] }));
    let complete = r#"{"temp": null, "location": {"lat": 1}, "odd.name": 2, "list": [0, 1]}"#;
    assert_eq!(filter(&mut plugin, complete), PublishVerdict::Continue, "null is there");
    assert_eq!(filter(&mut plugin, r#"{"temp": 1, "location": 5}"#), REJECTED);
    assert_eq!(testing::take_reply().reason_string.as_deref(), Some("field location.lat is missing"));
    assert_eq!(filter(&mut plugin, &complete.replace("[0, 1]", "[0]")), REJECTED);
    assert_eq!(filter(&mut plugin, "[]"), REJECTED);
    assert_eq!(filter(&mut plugin, "5"), REJECTED);
}

#[test]
fn a_number_out_of_range_is_rejected_and_both_ends_are_in() {
    let mut plugin = rule(json!({ "range": { "t": { "min": -40, "max": 85.5 } } }));
    for (number, good) in [
        ("-40", true),
        ("85.5", true),
        ("-40.0001", false),
        ("85.6", false),
        ("1e400", false),
        ("\"20\"", false),
        ("null", false),
    ] {
        let verdict = filter(&mut plugin, &format!(r#"{{"t":{number}}}"#));
        assert_eq!(verdict == PublishVerdict::Continue, good, "{number}");
    }
    assert_eq!(filter(&mut plugin, "{}"), PublishVerdict::Continue, "that it is there, `require` wants");
}

#[test]
fn a_range_may_have_one_end() {
    let mut plugin = rule(json!({ "range": { "t": { "min": 0 } } }));
    assert_eq!(filter(&mut plugin, r#"{"t":18446744073709551616}"#), PublishVerdict::Continue);
    assert_eq!(filter(&mut plugin, r#"{"t":-1}"#), REJECTED);
}

#[test]
fn fields_are_dropped_redacted_and_renamed_in_this_order() {
    let mut plugin = rule(json!({
        "drop": ["debug", "list.0"],
        "redact": { "owner.phone": "***" },
        "rename": { "t": "temp", "owner.name": "who" },
    }));
    let payload = r#"{"t":1,"debug":{"a":1},"owner":{"phone":"123","name":"x"},"list":[1,2]}"#;
    assert_eq!(
        filter(&mut plugin, payload),
        modified(r#"{"temp":1,"owner":{"phone":"***","who":"x"},"list":[2]}"#)
    );
}

#[test]
fn a_renamed_field_keeps_its_place_and_replaces_its_namesake() {
    let mut plugin = rule(json!({ "rename": { "b": "c" } }));
    assert_eq!(filter(&mut plugin, r#"{"a":1,"b":2,"c":3,"d":4}"#), modified(r#"{"a":1,"c":2,"d":4}"#));
}

#[test]
fn what_no_rule_changes_goes_on_byte_by_byte() {
    let mut plugin =
        rule(json!({ "drop": ["x", "a.b.c", "a.7"], "redact": { "r": "***" }, "rename": { "y": "z" } }));
    for payload in [r#"{ "a" : 1.50 , "r":"***" }"#, "[1, 2]", "\"text\"", r#"{"a":[1]}"#] {
        assert_eq!(filter(&mut plugin, payload), PublishVerdict::Continue, "{payload}");
    }
}

#[test]
fn order_and_numbers_survive_a_change() {
    let mut plugin = rule(json!({ "drop": ["x"] }));
    let kept = r#"{"z":1.2300,"big":123456789012345678901234567890,"tiny":1e-400,"a":-0.0,"u":"\u00e9 é"}"#;
    let PublishVerdict::Modify(Modification { payload: Some(payload), .. }) =
        filter(&mut plugin, &kept.replace("{\"z\"", "{\"x\":0,\"z\""))
    else {
        panic!("not modified");
    };
    assert_eq!(String::from_utf8(payload).unwrap(), kept.replace("\\u00e9", "é"));
}

#[test]
fn a_violation_can_be_swallowed_or_have_another_reason_code() {
    let mut plugin = rule(json!({ "require": ["a"], "on-violation": "swallow" }));
    assert_eq!(filter(&mut plugin, "{}"), PublishVerdict::Swallow);
    let mut plugin = rule(json!({ "require": ["a"], "reason-code": 0x87 }));
    assert_eq!(filter(&mut plugin, "{}"), PublishVerdict::Reject(0x87));
}

#[test]
fn what_is_not_json_is_rejected_unless_it_may_pass() {
    let too_deep = "[".repeat(100_000);
    let broken = ["", "{", "{}x", "NaN", "{'a':1}", "\u{0}", &too_deep];
    let mut strict = rule(json!({ "require": ["a"] }));
    let mut lax = rule(json!({ "require": ["a"], "on-invalid-json": "pass" }));
    for payload in broken {
        assert_eq!(filter(&mut strict, payload), REJECTED, "{:.20}", payload);
        assert_eq!(filter(&mut lax, payload), PublishVerdict::Continue, "{:.20}", payload);
    }
    assert_eq!(strict.intercept(testing::publish("t/1", [0xFF, 0xFE])), REJECTED);
}

#[test]
fn a_retained_message_can_be_removed() {
    let mut plugin = rule(json!({ "require": ["a"] }));
    assert_eq!(plugin.intercept(testing::publish("t/1", "").with_retain(true)), PublishVerdict::Continue);
    assert_eq!(plugin.intercept(testing::publish("t/1", "")), REJECTED);
}

#[test]
fn every_rule_that_matches_sees_what_the_one_before_it_left() {
    let settings = json!({ "rules": [
        { "topics": ["t/+"], "rename": { "t": "temp" } },
        { "topics": ["other"], "require": ["never"] },
        { "topics": ["t/1"], "require": ["temp"], "drop": ["x"] },
    ]});
    let mut plugin = start(settings).unwrap().0;
    assert_eq!(filter(&mut plugin, r#"{"t":1,"x":2}"#), modified(r#"{"temp":1}"#));
    assert_eq!(filter(&mut plugin, r#"{"x":2}"#), REJECTED);
}

#[test]
fn only_topics_of_rules_enter_the_plugin() {
    let settings = json!({ "rules": [
        { "topics": ["a/+"], "drop": ["x"] }, { "topics": ["b", "c/#"], "drop": ["x"] },
    ]});
    let (mut plugin, registration) = start(settings).unwrap();
    assert_eq!(registration.topics, ["a/+", "b", "c/#"]);
    let other = testing::publish("elsewhere", "no json");
    assert_eq!(plugin.intercept(other), PublishVerdict::Continue);
}

#[test]
fn a_payload_that_is_not_passed_is_fetched() {
    let mut plugin = rule(json!({ "drop": ["x"] }));
    let publish = testing::publish_without_payload("t/1", r#"{"x":1,"y":2}"#);
    assert_eq!(plugin.intercept(publish), modified(r#"{"y":2}"#));
}

#[test]
fn bad_settings_name_the_key_and_what_to_do() {
    assert_eq!(problems(json!({ "rule": [] })), "settings: unknown field `rule`, expected `rules`");
    assert_eq!(
        problems(json!({})),
        "settings: rules: write at least one, as a table [[plugin.settings.rules]] with `topics`"
    );
    let settings = json!({ "rules": [
        { "topics": [], "require": ["a..b", "/x~y"], "reason-code": 1 },
        { "topics": ["a/#/b"], "range": { "t": {}, "u": { "min": 5, "max": 4 } }, "rename": { "a.b": "b" } },
        { "topics": ["a"], "on-invalid-json": "pass" },
    ]});
    let problems = problems(settings);
    for expected in [
        "rules[0].topics: name at least one Topic Filter",
        "rules[0].require: `a..b` has an empty name",
        "rules[0].require: `/x~y` has a `~`",
        "rules[0].reason-code: 0x01 cannot stand in PUBACK; use one of 0x80,",
        "rules[1].topics: `a/#/b` is not a Topic Filter",
        "rules[1].range.t: give it `min`, `max` or both",
        "rules[1].range.u: min 5 is above max 4",
        "rules[1].rename.a.b: is the same name",
        "rules[2]: checks and changes nothing",
    ] {
        assert!(problems.contains(expected), "{expected} in {problems}");
    }
}

#[test]
fn misspelt_choices_are_named_with_those_there_are() {
    let settings = json!({ "rules": [{ "topics": ["a"], "on-violation": "drop" }] });
    assert_eq!(
        problems(settings),
        "settings: rules[0].on-violation: unknown variant `drop`, expected `reject` or `swallow`"
    );
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(|_| ()).expect("good settings");
    }
}
