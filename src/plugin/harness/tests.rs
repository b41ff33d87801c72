//! The harness with a real plugin; what cases look like is tested with the command.

use serde_json::{Value, json};

use super::super::tests::module;
use super::*;

fn file(file: Value) -> CaseFile {
    CaseFile::read(file.as_object().unwrap()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn harness(file: &CaseFile) -> Harness {
    Harness::load(PluginOptions::new("every-hook", module("every-hook")), file, None)
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_same_cases_give_the_same_answers_and_spend_the_same_fuel() {
    let call =
        |topic: &str| json!({"hook": "intercepting-publish", "input": {"topic": topic, "payload": "x"}});
    let file = file(json!({"case": [call("modify/a"), call("reverse/a"), call("properties/a"), call("b")]}));
    let answers = || {
        let mut harness = harness(&file);
        file.cases.iter().map(|case| harness.run(case).0.to_json()).collect::<Vec<_>>()
    };
    let first = answers();
    assert_eq!(first, answers());
    assert!(first.iter().all(|answer| answer["fuel"].as_u64() > Some(100)), "{first:#?}");
    assert_eq!(first[2]["message-expiry-interval"], 60);
}

#[test]
fn the_clock_stands_still_until_a_case_moves_it() {
    let expires = |after: u64| {
        let expect = json!({"verdict": "allow", "expires-at-ms": 5000 + after + 1000});
        json!({"hook": "validating-connection", "input": {"user-name": "expires"}, "after-ms": after, "expect": expect})
    };
    let mut again = expires(0);
    again["fresh"] = true.into();
    let file = file(json!({"now-ms": 5000, "case": [expires(0), expires(70), again]}));
    let mut harness = harness(&file);
    for case in &file.cases {
        assert_eq!(harness.run(case).1, []);
    }
}

#[test]
fn state_carries_over_until_a_case_is_fresh() {
    let events = json!({"hook": "events", "input": {"events": [{"kind": "started"}]}});
    let with = |fresh: bool, count: Value| {
        let mut case = events.clone();
        case["fresh"] = fresh.into();
        case["expect"] = json!({"state": {"events/started": count}});
        case
    };
    let file = file(json!({"case": [
        with(false, 1.into()), with(false, 2.into()), with(true, 1.into()), with(false, json!({"absent": true})),
    ]}));
    let mut harness = harness(&file);
    let found: Vec<usize> = file.cases.iter().map(|case| harness.run(case).1.len()).collect();
    assert_eq!(found, [0, 0, 0, 1], "the last one expects what is not so");
}

#[test]
fn after_a_trap_the_next_case_finds_a_new_instance_at_the_usual_price() {
    let call = |data: &str| {
        let input = json!({"authentication-method": "every-hook", "authentication-data": data});
        json!({"hook": "validating-connection", "input": input})
    };
    let file = file(json!({"case": [call("allow"), call("panic"), call("allow")]}));
    let mut harness = harness(&file);
    let answers: Vec<Found> = file.cases.iter().map(|case| harness.run(case).0).collect();
    assert_eq!(
        [answers[0].verdict(), answers[1].verdict(), answers[2].verdict()],
        ["allow", "trap", "allow"]
    );
    assert_eq!(answers[0].fuel, answers[2].fuel);
}

#[test]
fn nothing_is_granted_that_the_file_does_not_grant() {
    let case = json!({"hook": "intercepting-publish", "input": {"topic": "ask/key"}});
    let of = |grants: Value| {
        let file = file(json!({"grants": grants, "case": [case.clone()]}));
        harness(&file).run(&file.cases[0]).0
    };
    assert_eq!(of(json!({})).verdict(), "reject");
    assert_eq!(of(json!({"publish": ["answer/#"]})).fields["published"][0]["topic"], "answer/key");
}

#[test]
fn a_hook_that_the_plugin_does_not_export_is_said_to_be_missing() {
    let file = file(json!({"case": [{"hook": "authorizer", "input": {"topic": "a"}}]}));
    let marker = PluginOptions::new("marker", module("marker"));
    let mut harness = Harness::load(marker, &file, None).unwrap_or_else(|error| panic!("{error}"));
    let answer = harness.run(&file.cases[0]).0;
    assert_eq!((answer.verdict(), answer.fuel), ("trap", Some(0)));
    assert!(answer.fields["error"].as_str().unwrap().contains("does not export the hook `authorizer`"));
}

#[test]
fn a_plugin_that_changes_its_mind_gets_no_price() {
    let steady = json!({"hook": "intercepting-publish", "input": {"topic": "swallow/a"}});
    let wrong = json!({"hook": "intercepting-publish", "input": {"topic": "swallow/a"}, "expect": {"verdict": "reject"}});
    let file = file(json!({"case": [steady, wrong]}));
    let options = PluginOptions::new("every-hook", module("every-hook"));
    let mut harness = Harness::load_unmetered(options, &file, None).unwrap_or_else(|error| panic!("{error}"));
    let price = harness.measure(&file.cases[0], Duration::from_millis(20)).unwrap();
    assert!(price.calls >= 64 && price.nanoseconds > 0.0, "{price:?}");
    let differences = harness.measure(&file.cases[1], Duration::from_millis(20)).unwrap_err();
    assert_eq!(differences[0].field, "verdict");
    assert!(harness.instantiation_time().unwrap() > Duration::ZERO);
}
