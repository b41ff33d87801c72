//! A plugin that loops, hoards, recurses, crashes or lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::packet::ReasonCode;
use tidegate::plugin::{Budgets, Grants, HostOptions, PluginOptions, QuarantineOptions};

use super::latency::{Machine, Stopwatch, ping_pong};
use super::{Broker, filter, message, module, text};

/// Ten times the default, so that what else runs on the machine weighs little.
const DEADLINE: Duration = Duration::from_millis(100);
const CALLS: usize = 20;

fn hostile() -> PluginOptions {
    let budgets = Budgets { decision: DEADLINE, ..Budgets::default() };
    let topics = vec!["evil/#".try_into().unwrap()];
    let grants = Grants { publish: vec!["#".try_into().unwrap()], ..Grants::default() };
    PluginOptions { budgets, topics, grants, ..PluginOptions::new("hostile", module("hostile")) }
}

/// Without quarantine, so that every call is really made.
fn patient() -> HostOptions {
    let quarantine = QuarantineOptions { failures: u32::MAX, ..QuarantineOptions::default() };
    HostOptions { watch: false, quarantine, ..HostOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_plugin_does_its_policy_answers_in_time_and_others_keep_their_latency() {
    let broker = Broker::start_with(patient(), &[hostile()]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let machine = Machine::watch();
    let mut bystanders = Vec::new();
    for n in 0..4 {
        let client = broker.connect(&format!("bystander-{n}")).await;
        bystanders.push(tokio::spawn(ping_pong(client, format!("good/{n}"), stop.clone())));
    }
    let (villain, _messages) = broker.connect("villain").await;
    for wish in ["loop", "allocate", "recurse", "trap", "rubbish", "rubbish-topic", "rubbish-long-topic"] {
        let mut times = Vec::new();
        for _ in 0..CALLS {
            let start = Stopwatch::start();
            let ack = villain.publish(message(&format!("evil/{wish}"), "x")).await.expect("connected");
            times.push(start.elapsed());
            assert_eq!(ack.reason_code, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR, "{wish}");
        }
        let worst = times.iter().max().unwrap();
        assert!(*worst <= 2 * DEADLINE + machine.delay(), "{wish}: {worst:?}, {:?}", machine.delay());
    }
    let ack = villain.publish(message("evil/ok", "x")).await.expect("connected");
    assert!(!ack.reason_code.is_error(), "it can still behave");
    stop.store(true, Ordering::Relaxed);
    for bystander in bystanders {
        let mut times = bystander.await.expect("the bystander stays connected");
        times.sort();
        let p99 = times[times.len() * 99 / 100];
        assert!(times.len() > 100, "only {} messages", times.len());
        let most = DEADLINE / 2 + machine.delay();
        assert!(p99 < most, "p99 {p99:?} of {} messages, {most:?}", times.len());
    }
    assert!(broker.host.status()[0].overruns as usize >= CALLS);
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_five_failures_a_plugin_is_quarantined_and_its_policy_answers_at_once() {
    let broker = Broker::start(&[hostile()]).await;
    let (client, _messages) = broker.connect("client").await;
    for _ in 0..5 {
        client.publish(message("evil/trap", "x")).await.expect("connected");
    }
    let ack = client.publish(message("evil/ok", "x")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    let status = &broker.host.status()[0];
    assert_eq!((status.quarantines, status.not_asked), (1, 1), "{status:?}");
    let ack = client.publish(message("good", "x")).await.expect("connected");
    assert!(!ack.reason_code.is_error(), "what it is not asked about goes on");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_publishes_from_a_hook_is_bounded_and_does_not_come_back_for_ever() {
    let options = PluginOptions { topics: Vec::new(), ..hostile() };
    let taken = u64::from(options.budgets.publishes_per_call);
    let broker = Broker::start(&[options]).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("flood")).await.expect("subscribed");
    client.publish(message("evil/flood-publish", "x")).await.expect("connected");
    for _ in 0..taken {
        assert_eq!(text(&messages.next().await.expect("connected")), "x");
    }
    client.publish(message("flood", "the last")).await.expect("connected");
    assert_eq!(text(&messages.next().await.expect("connected")), "the last");
    broker.server.shutdown().await;
}
