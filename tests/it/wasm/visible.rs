//! What plugins did, as the host's status and the admin port show it.

use std::time::{Duration, SystemTime};

use crate::support::plain::Client;
use tidegate::admin::fetch::fetch;
use tidegate::admin::{Admin, AdminOptions, Figures};
use tidegate::plugin::{
    FailureKind, Hook, HostOptions, PluginOptions, PluginState, PluginStatus, QuarantineOptions,
};

use super::{Broker, message, module};

fn hostile() -> PluginOptions {
    let topics = vec!["evil/#".try_into().unwrap()];
    PluginOptions { topics, ..PluginOptions::new("hostile", module("hostile")) }
}

/// Quarantine after so many failures.
fn patience(failures: u32) -> HostOptions {
    let first = Duration::from_secs(3600);
    let quarantine = QuarantineOptions { failures, first, longest: first, ..QuarantineOptions::default() };
    HostOptions { watch: false, quarantine, ..HostOptions::default() }
}

fn admin(broker: &Broker) -> Admin {
    let options = AdminOptions { listen: "127.0.0.1:0".parse().unwrap(), token: None };
    let figures = Figures {
        broker: broker.server.broker().clone(),
        listeners: None,
        #[cfg(feature = "bridge")]
        bridges: None,
        plugins: Some(broker.host.clone()),
    };
    Admin::start(options, figures).expect("the admin port opens")
}

fn metrics(admin: &Admin) -> String {
    fetch(admin.address(), "/metrics", None).expect("it answers")
}

fn plugins(admin: &Admin) -> serde_json::Value {
    let answer = fetch(admin.address(), "/plugins", None).expect("it answers");
    serde_json::from_str::<serde_json::Value>(&answer).expect("it is JSON")["plugins"].clone()
}

async fn publish(client: &Client, topic: &str, payload: &str) {
    client.publish(message(topic, payload.to_owned())).await.expect("connected");
}

fn status(broker: &Broker) -> PluginStatus {
    broker.host.status().remove(0)
}

#[tokio::test]
async fn calls_verdicts_and_times_are_those_of_the_traffic() {
    let before = SystemTime::now();
    let path = module("payload-filter");
    let rules =
        serde_json::json!({ "rules": [{ "topics": ["#"], "require": ["t"], "on-violation": "swallow" }] });
    let broker = Broker::start_with(
        patience(5),
        &[PluginOptions { settings: rules, ..PluginOptions::new("p", path) }],
    )
    .await;
    let (client, _messages) = broker.connect("c").await;
    for _ in 0..70 {
        publish(&client, "a", "{\"t\":1}").await;
    }
    for _ in 0..3 {
        publish(&client, "a", "{}").await;
    }
    let status = status(&broker);
    let [hook] = &status.by_hook[..] else { panic!("{status:?}") };
    assert_eq!((hook.hook, hook.calls, status.calls), (Hook::InterceptingPublish, 73, 73));
    assert_eq!(hook.verdicts, [("continue", 70), ("modify", 0), ("swallow", 3), ("reject", 0)]);
    assert_eq!((hook.all_failures(), hook.not_asked), (0, 0));
    let timed = hook.times.count();
    assert!((2..73).contains(&timed), "{timed} of 73 on two threads");
    assert!(hook.times.sum() > Duration::ZERO && hook.times.quantile(0.5) <= hook.times.quantile(0.99));
    assert!(status.since >= before - Duration::from_secs(1) && status.since <= SystemTime::now());
    assert!(status.instances >= 3, "one per worker and a spare: {}", status.instances);
    assert!(status.highest_memory >= 65_536 && status.memory >= status.highest_memory, "{status:?}");
    assert!(status.last_failure.is_none() && status.last_error.is_none());

    let text = metrics(&admin(&broker));
    let of_hook = "plugin=\"p\",hook=\"intercepting-publish\"";
    for line in [
        format!("tidegate_plugins_calls_total{{{of_hook}}} 73"),
        format!("tidegate_plugins_verdicts_total{{{of_hook},verdict=\"swallow\"}} 3"),
        format!("tidegate_plugins_call_duration_seconds_count{{{of_hook}}} {timed}"),
        format!("tidegate_plugins_call_duration_seconds_bucket{{{of_hook},le=\"+Inf\"}} {timed}"),
        "tidegate_plugins_state{plugin=\"p\",state=\"running\"} 1".to_owned(),
        "tidegate_messages_received_total 73".to_owned(),
    ] {
        assert!(text.lines().any(|other| other == line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn the_fuel_of_calls_is_shown_where_it_is_counted_and_only_there() {
    let of_hook = "tidegate_plugins_fuel_total{plugin=\"p\",hook=\"intercepting-publish\"}";
    for count_fuel in [true, false] {
        let options = HostOptions { count_fuel, ..patience(5) };
        let rules = serde_json::json!({ "rules": [{ "topics": ["#"], "require": ["t"], "on-violation": "swallow" }] });
        let plugin = PluginOptions { settings: rules, ..PluginOptions::new("p", module("payload-filter")) };
        let broker = Broker::start_with(options, &[plugin]).await;
        let (client, _messages) = broker.connect("c").await;
        for _ in 0..10 {
            publish(&client, "a", "{}").await;
        }
        let status = status(&broker);
        let hook = &status.by_hook[0];
        assert_eq!(hook.calls, 10);
        let admin = admin(&broker);
        let in_metrics =
            metrics(&admin).lines().find_map(|line| line.strip_prefix(of_hook)?.trim().parse().ok());
        assert_eq!((in_metrics, plugins(&admin)[0]["hooks"][0]["fuel"].as_u64()), (hook.fuel, hook.fuel));
        let per_call = hook.fuel.map(|fuel| fuel / 10);
        assert_eq!(per_call.is_some(), count_fuel);
        assert!(per_call.is_none_or(|fuel| (100..1_000_000).contains(&fuel)), "{per_call:?}");
    }
}

#[tokio::test]
async fn a_trap_shows_up_with_the_names_of_the_functions_that_led_to_it() {
    let broker = Broker::start_with(patience(100), &[hostile()]).await;
    let (client, _messages) = broker.connect("c").await;
    publish(&client, "evil/trap", "x").await;
    publish(&client, "evil/rubbish", "x").await;
    publish(&client, "evil/ok", "x").await;
    publish(&client, "evil/trap", "x").await;
    let status = status(&broker);
    let hook = status.by_hook.iter().find(|hook| hook.hook == Hook::InterceptingPublish).unwrap();
    let expected = [
        (FailureKind::Trap, 2),
        (FailureKind::Overrun, 0),
        (FailureKind::Rubbish, 1),
        (FailureKind::NoInstance, 0),
    ];
    assert_eq!((hook.calls, hook.failures), (4, expected));
    assert_eq!(hook.verdicts[0], ("continue", 1));
    let failure = status.last_failure.unwrap();
    assert_eq!((failure.hook, failure.kind), (Hook::InterceptingPublish, FailureKind::Trap));
    assert_eq!(failure.version, status.version);
    let error = status.last_error.unwrap();
    assert!(error.starts_with("intercepting-publish: "), "{error}");
    assert!(error.contains("wasm backtrace") && error.contains("hostile::misbehave"), "{error}");

    let shown = &plugins(&admin(&broker))[0];
    assert_eq!(shown["last_error"]["text"], *error);
    assert_eq!(shown["last_error"]["kind"], "trap");
    let failures = shown["hooks"].as_array().unwrap().iter().map(|hook| hook["failures"]["trap"].as_u64());
    assert_eq!(failures.map(Option::unwrap).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_quarantine_is_seen_while_it_lasts() {
    let broker = Broker::start_with(patience(2), &[hostile()]).await;
    let (client, _messages) = broker.connect("c").await;
    let admin = admin(&broker);
    for _ in 0..3 {
        publish(&client, "evil/trap", "x").await;
    }
    let status = status(&broker);
    assert!(matches!(status.state, PluginState::Quarantined { left } if left > Duration::from_secs(3000)));
    let hook = status.by_hook.iter().find(|hook| hook.hook == Hook::InterceptingPublish).unwrap();
    assert_eq!((hook.calls, hook.not_asked, status.quarantines), (2, 1, 1));
    let shown = &plugins(&admin)[0];
    assert_eq!(shown["state"], "quarantined");
    assert!(shown["quarantine_left_seconds"].as_f64().unwrap() > 3000.0);
    let text = metrics(&admin);
    for line in [
        "tidegate_plugins_state{plugin=\"hostile\",state=\"quarantined\"} 1",
        "tidegate_plugins_state{plugin=\"hostile\",state=\"running\"} 0",
        "tidegate_plugins_quarantines_total{plugin=\"hostile\"} 1",
        "tidegate_plugins_not_asked_total{plugin=\"hostile\",hook=\"intercepting-publish\"} 1",
        "tidegate_plugins_failures_total{plugin=\"hostile\",hook=\"intercepting-publish\",kind=\"trap\"} 2",
    ] {
        assert!(text.lines().any(|other| other == line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn a_plugins_own_numbers_are_shown_under_its_name_whatever_that_is() {
    let named = |name: &str| PluginOptions::new(name, module("uses-services"));
    let broker = Broker::start(&[named("one"), named("two\"} 1\nevil 2\\")]).await;
    let (client, _messages) = broker.connect("c").await;
    publish(&client, "do/count", "a\"b\\c").await;
    let text = metrics(&admin(&broker));
    for line in [
        "# TYPE tidegate_plugin_asked_total counter",
        "tidegate_plugin_asked_total{plugin=\"one\",by=\"a\\\"b\\\\c\"} 2",
        "# TYPE tidegate_plugin_last gauge",
        "tidegate_plugin_last{plugin=\"one\"} 1.5",
        "tidegate_plugin_size_bucket{plugin=\"one\",le=\"+Inf\"} 1",
        "tidegate_plugins_dropped_metrics_total{plugin=\"one\"} 2",
        "tidegate_plugins_version{plugin=\"two\\\"} 1\\nevil 2\\\\\"} 2",
    ] {
        assert!(text.lines().any(|other| other == line), "no `{line}` in\n{text}");
    }
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{text}");
}
