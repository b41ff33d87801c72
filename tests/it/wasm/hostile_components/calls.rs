//! What goes wrong when a hook is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::packet::ReasonCode;
use tidegate::plugin::{Grants, Hook, PluginOptions};

use super::super::assemble::assembled;
use super::super::latency::{Machine, ping_pong};
use super::super::{Broker, filter, message, text, until};
use super::{DEADLINE, Folder, keep_the_log, logged, patient};

const REJECTED: ReasonCode = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;
const CALLS: u64 = 5;

/// What does it, and what the last error of the plugin then says.
const CASES: [(&str, &str); 15] = [
    ("endless-loop", "over its time"),
    ("endless-recursion", "call stack exhausted"),
    ("memory-bomb", "unreachable"),
    ("table-bomb", "unreachable"),
    ("huge-result", "out of bounds"),
    ("huge-log-line", "fuel"),
    ("outside-its-memory", "out of bounds"),
    ("million-keys", "host-calls-per-call"),
    ("invalid-utf8-to-host", "utf-8"),
    ("invalid-enum-to-host", "discriminant"),
    ("invalid-variant", "discriminant"),
    ("answer-outside-its-memory", "pointer"),
    ("lying-realloc", "realloc"),
    ("looping-realloc", "over its time"),
    ("traps", "unreachable"),
];

/// Its budgets such that it fails of nothing but what it is to fail of.
fn tailored(name: &str, mut options: PluginOptions) -> PluginOptions {
    match name {
        "huge-log-line" => options.budgets.memory = 256 << 20,
        // An unoptimized build takes longer for more of them than a decision may.
        "million-keys" => options.budgets.host_calls_per_call = 1000,
        _ => {}
    }
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_contained_counted_and_named_and_others_keep_their_latency() {
    keep_the_log();
    let folder = Folder::new("calls");
    let plugins: Vec<PluginOptions> = CASES
        .iter()
        .map(|(name, _)| {
            // What else they would do wrong is shown below.
            let options =
                PluginOptions { hooks: Some(vec![Hook::InterceptingPublish]), ..folder.assembled(name) };
            tailored(name, options)
        })
        .collect();
    let broker = Broker::start_with(patient(), &plugins).await;
    let before = bystanders_p99(&broker, async {
        for _ in 0..200 {
            broker.connect("visitor").await.0.publish(message("good", "x")).await.expect("connected");
        }
    })
    .await;
    let (villain, _messages) = broker.connect("villain").await;
    let machine = Machine::watch();
    let during = bystanders_p99(&broker, async {
        for (name, _) in CASES {
            for _ in 0..CALLS {
                let ack = villain.publish(message(&format!("{name}/t"), "x")).await.expect("connected");
                assert_eq!(ack.reason_code, REJECTED, "{name}");
            }
        }
    })
    .await;
    let most = before.max(DEADLINE / 2) + machine.delay();
    assert!(during < most, "p99 {during:?}, before {before:?}, at most {most:?}");
    for (status, (name, error)) in broker.host.status().iter().zip(CASES) {
        assert_eq!(status.failures, [(Hook::InterceptingPublish, CALLS)], "{name}");
        let last = status.last_error.as_deref().unwrap_or_default();
        assert!(last.to_lowercase().contains(error), "{name}: {last}");
        assert_eq!(status.overruns, if error == "over its time" { CALLS } else { 0 }, "{name}");
        assert!(logged(name).iter().any(|line| line.contains("plugin failed")), "{name}: {:?}", logged(name));
    }
    broker.server.shutdown().await;
}

/// The 99th percentile of what messages of four clients take while something else goes on.
async fn bystanders_p99(broker: &Broker, work: impl Future<Output = ()>) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let mut bystanders = Vec::new();
    for n in 0..4 {
        let client = broker.connect(&format!("bystander-{n}")).await;
        bystanders.push(tokio::spawn(ping_pong(client, format!("good/{n}"), stop.clone())));
    }
    work.await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for bystander in bystanders {
        times.extend(bystander.await.expect("the bystander stays connected"));
    }
    times.sort();
    assert!(times.len() > 100, "only {} messages", times.len());
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn illegal_answers_of_other_hooks_are_failures() {
    let folder = Folder::new("answers");
    let plugins = ["invalid-utf8-answer", "invalid-enum"]
        .map(|name| PluginOptions { topics: Vec::new(), ..folder.assembled(name) });
    let broker = Broker::start_with(patient(), &plugins[..1]).await;
    let (client, _messages) = broker.connect("c").await;
    let suback = client.subscribe(filter("t")).await.expect("connected");
    assert_eq!(suback.reason_codes, [REJECTED]);
    let ack = client.publish(message("nobody", "x")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::NO_MATCHING_SUBSCRIBERS, "as if it had observed");
    let failures = &broker.host.status()[0].failures;
    assert_eq!(failures[..], [(Hook::InterceptingSubscription, 1), (Hook::ApplicationMessageNotConsumed, 1)]);
    broker.server.shutdown().await;

    let broker = Broker::start_with(patient(), &plugins[1..]).await;
    let (client, mut messages) = broker.connect("c").await;
    client.subscribe(filter("t")).await.expect("connected");
    client.publish(message("t", "x")).await.expect("connected");
    until("the failure is counted", || broker.host.status()[0].failures.len() == 1).await;
    broker.host.reload(&[]).expect("reloaded");
    client.publish(message("t", "y")).await.expect("connected");
    assert_eq!(
        text(&messages.next().await.expect("connected")),
        "y",
        "the one before was delivered to nobody"
    );
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_a_billion_verdicts_is_refused_without_being_read() {
    let folder = Folder::new("verdicts");
    let options = PluginOptions {
        hooks: Some(vec![Hook::InterceptingSubscription]),
        ..folder.assembled("huge-result")
    };
    let broker = Broker::start_with(patient(), &[options]).await;
    let (client, _messages) = broker.connect("c").await;
    let begun = Instant::now();
    let suback = client.subscribe(filter("t")).await.expect("connected");
    assert_eq!(suback.reason_codes, [REJECTED]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_granted_is_denied_and_the_plugin_goes_on() {
    let folder = Folder::new("granted");
    let broker = Broker::start_with(patient(), &[folder.assembled("not-granted")]).await;
    let (client, _messages) = broker.connect("c").await;
    let ack = client.publish(message("not-granted/t", "x")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::NOT_AUTHORIZED, "the plugin was told `denied`");
    assert!(broker.host.status()[0].failures.is_empty());
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_for_some_topics_is_asked_about_no_delivery_of_others() {
    let folder = Folder::new("other-deliveries");
    let plugin = PluginOptions {
        topics: vec!["only/this/#".try_into().unwrap()],
        ..folder.plugin("invalid-enum", &assembled("invalid-enum"))
    };
    let broker = Broker::start_with(patient(), &[plugin]).await;
    let (client, mut messages) = broker.connect("c").await;
    client.subscribe(filter("#")).await.expect("connected");
    client.publish(message("only/this/t", "lost")).await.expect("connected");
    client.publish(message("other", "x")).await.expect("connected");
    assert_eq!(text(&messages.next().await.expect("connected")), "x");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_plugins_that_publish_in_answer_to_each_other_come_to_an_end_and_hold_up_nobody() {
    let folder = Folder::new("storm");
    let grants = Grants { publish: vec!["#".try_into().unwrap()], ..Grants::default() };
    let plugins = ["storm-a", "storm-b"].map(|name| PluginOptions {
        topics: vec!["storm/#".try_into().unwrap()],
        grants: grants.clone(),
        ..folder.plugin(name, &assembled("publish-storm"))
    });
    let broker = Broker::start_with(patient(), &plugins).await;
    let quiet = bystanders_p99(&broker, async {
        let (client, _messages) = broker.connect("quiet").await;
        for _ in 0..300 {
            client.publish(message("good", "x")).await.expect("connected");
        }
    })
    .await;
    let machine = Machine::watch();
    let (client, _messages) = broker.connect("c").await;
    let stormy = bystanders_p99(&broker, async {
        client.publish(message("storm/t", "x")).await.expect("connected");
        for _ in 0..300 {
            client.publish(message("good", "x")).await.expect("connected");
        }
    })
    .await;
    let most = 10 * quiet + DEADLINE / 2 + machine.delay();
    assert!(stormy < most, "p99 {stormy:?}, before {quiet:?}, at most {most:?}");
    until("the storm is over", || {
        let calls = || broker.host.status().iter().map(|status| status.calls).sum::<u64>();
        let before = calls();
        std::thread::sleep(Duration::from_millis(20));
        calls() == before
    })
    .await;
    // 16 messages, 4 about each of these, and one about each for as long as a chain may be.
    let status = broker.host.status();
    assert!(status.iter().all(|status| status.calls < 20_000), "{status:#?}");
    assert!(status.iter().any(|status| status.refused_publishes > 100), "{status:#?}");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_whose_new_instances_never_start_is_not_waited_for_on_packet_threads() {
    let folder = Folder::new("later");
    let broker = Broker::start_with(patient(), &[folder.assembled("init-loops-later")]).await;
    let (villain, _messages) = broker.connect("villain").await;
    let machine = Machine::watch();
    let p99 = bystanders_p99(&broker, async {
        for _ in 0..10 {
            let ack = villain.publish(message("init-loops-later/t", "x")).await.expect("connected");
            assert_eq!(ack.reason_code, REJECTED);
        }
    })
    .await;
    assert!(p99 < DEADLINE / 2 + machine.delay(), "{p99:?}");
    assert!(broker.host.status()[0].last_error.as_ref().unwrap().contains("no instance"));
    broker.server.shutdown().await;
}
