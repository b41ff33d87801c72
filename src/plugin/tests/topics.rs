//! Which plugins a message is passed to, by their Topic Filters.

use super::*;

/// A plugin that lets everything pass, and is counted.
fn counted(name: &str, topics: &[&str]) -> PluginOptions {
    let topics = topics.iter().map(|filter| TopicFilter::try_from(*filter).unwrap()).collect();
    PluginOptions { name: name.into(), topics, ..options("topic-only") }
}

/// The plugins that were called since the last time, each with how often.
fn called(host: &Host, before: &mut Vec<u64>) -> Vec<(String, u64)> {
    let status = host.host.status();
    before.resize(status.len(), 0);
    let calls = status.into_iter().zip(before).filter_map(|(status, before)| {
        let calls = status.calls - std::mem::replace(before, status.calls);
        (calls > 0).then_some((status.name, calls))
    });
    calls.collect()
}

fn once(names: &[&str]) -> Vec<(String, u64)> {
    names.iter().map(|name| (name.to_string(), 1)).collect()
}

#[test]
fn topics_of_init_and_of_the_configuration_keep_messages_out() {
    let mut plugin =
        settings(serde_json::json!({"topics": ["swallow/#", "reject/#"]}), options("every-hook"));
    plugin.topics = vec![TopicFilter::try_from("+/in").unwrap()];
    let host = Host::start(&[plugin]);
    assert!(matches!(host.publish("swallow/in").verdict, PublishVerdict::Swallow));
    assert!(matches!(host.publish("swallow/out").verdict, PublishVerdict::Continue));
    assert!(matches!(host.publish("modify/in").verdict, PublishVerdict::Continue));
    assert_eq!(host.status().calls, 1);
}

/// [MQTT-4.7.2-1]
#[test]
fn a_message_goes_once_to_each_plugin_with_a_filter_that_matches() {
    let host = Host::start(&[
        counted("level", &["a/+"]),
        counted("overlapping", &["a/#", "a/b", "+/b", "b"]),
        counted("unfiltered", &[]),
        counted("all", &["#"]),
        counted("of the server", &["$SYS/#"]),
        counted("shared", &["$share/g/a/b"]),
    ]);
    let mut before = Vec::new();
    for (topic, names) in [
        ("a/b", &["level", "overlapping", "unfiltered", "all", "shared"][..]),
        ("a", &["overlapping", "unfiltered", "all"]),
        ("a/b/c", &["overlapping", "unfiltered", "all"]),
        ("c", &["unfiltered", "all"]),
        ("$SYS/b", &["unfiltered", "of the server"]),
        ("$other", &["unfiltered"]),
    ] {
        host.publish(topic);
        assert_eq!(called(&host, &mut before), once(names), "{topic}");
    }
}

#[test]
fn where_all_have_filters_a_message_may_go_to_nobody() {
    let host = Host::start(&[counted("one", &["a/b"]), counted("two", &["a/+/c", "b/#"])]);
    assert!(matches!(host.publish("a").verdict, PublishVerdict::Continue));
    assert!(matches!(host.publish("a/b/d").verdict, PublishVerdict::Continue));
    assert_eq!(called(&host, &mut Vec::new()), []);
}

#[test]
fn those_behind_a_plugin_that_moves_a_message_are_asked_by_its_new_topic() {
    let moves = PluginOptions { name: "moves".into(), ..options("every-hook") };
    let host = Host::start(&[
        counted("before", &["modified/#"]),
        moves,
        counted("new", &["modified/#"]),
        counted("old", &["modify/#"]),
        counted("both", &["+/x"]),
    ]);
    let PublishVerdict::Modify(modified) = host.publish("modify/x").verdict else { panic!() };
    assert_eq!(modified.topic.as_str(), "modified/x");
    assert_eq!(called(&host, &mut Vec::new()), once(&["moves", "new", "both"]));
}

#[test]
fn any_number_of_plugins_is_asked_in_order() {
    const PLUGINS: usize = 200;
    let wants = |number: usize| match number {
        0 | 63 | 64 | 127 | 199 => "a/#",
        _ => "b/#",
    };
    let plugins: Vec<_> =
        (0..PLUGINS).map(|number| counted(&format!("p{number}"), &[wants(number)])).collect();
    let host = Host::start_with(HostOptions { cache_dir: Some(folder()), ..host_options() }, &plugins);
    let mut before = Vec::new();
    host.publish("a/b");
    assert_eq!(called(&host, &mut before), once(&["p0", "p63", "p64", "p127", "p199"]));
    host.publish("c");
    assert_eq!(called(&host, &mut before), []);
    host.publish("b");
    assert_eq!(called(&host, &mut before).len(), PLUGINS - 5);
}

#[test]
fn a_reload_changes_who_is_asked() {
    let host = Host::start(&[counted("one", &["a"]), counted("two", &[])]);
    let mut before = Vec::new();
    host.publish("a");
    assert_eq!(called(&host, &mut before), once(&["one", "two"]));
    host.host.reload(&[counted("one", &["b"]), counted("two", &["a"]), counted("three", &["+"])]).unwrap();
    called(&host, &mut before);
    host.publish("a");
    assert_eq!(called(&host, &mut before), once(&["two", "three"]));
    host.publish("b");
    assert_eq!(called(&host, &mut before), once(&["one", "three"]));
}

#[test]
fn the_topics_also_hold_for_messages_that_nobody_consumed() {
    let mut plugin = settings(serde_json::json!({"topics": ["redirect/+"]}), options("every-hook"));
    let host = Host::start(&[plugin.clone()]);
    assert!(matches!(host.not_consumed("redirect/a"), NotConsumedOutcome::Redirect(_)));
    assert_eq!(host.not_consumed("redirect/a/b"), NotConsumedOutcome::Observe);
    plugin.topics = vec![TopicFilter::try_from("redirect/b").unwrap()];
    host.host.reload(&[plugin]).unwrap();
    assert_eq!(host.not_consumed("redirect/a"), NotConsumedOutcome::Observe);
    assert!(matches!(host.not_consumed("redirect/b"), NotConsumedOutcome::Redirect(_)));
}

/// A plugin on probation makes those wait whose message is for it, and nobody else.
#[test]
fn a_plugin_on_probation_does_not_hold_up_messages_that_it_does_not_want() {
    let mut hostile = PluginOptions { topics: vec!["loop".try_into().unwrap()], ..options("hostile") };
    hostile.budgets.decision = Duration::from_millis(5);
    let host = Host::start(&[counted("well", &[]), hostile]);
    host.publish("loop");
    let is_asked_at_once = |topic: &str| {
        let (client, message) = (client("sender"), message(topic, "payload"));
        let context = PublishContext { client: Some(&client), message: &message, now: NOW };
        matches!(host.host.intercepting_publish(context), Answer::Ready(_))
    };
    assert!(is_asked_at_once("other"));
    assert!(!is_asked_at_once("loop"));
}
