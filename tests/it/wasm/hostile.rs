//! A plugin that loops, hoards, recurses, crashes or lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate::client::{Client, Messages};
use tidegate::packet::ReasonCode;
use tidegate::plugin::{Budgets, Grants, HostOptions, PluginOptions, QuarantineOptions};

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

/// How late the machine is by itself: other processes may keep threads from running.
struct Machine {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Machine {
    fn watch() -> Machine {
        let machine = Machine { worst: Arc::default(), stop: Arc::default() };
        let (worst, stop) = (machine.worst.clone(), machine.stop.clone());
        std::thread::spawn(move || {
            let nap = Duration::from_millis(2);
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(nap);
                worst.fetch_max((start.elapsed() - nap).as_micros() as u64, Ordering::Relaxed);
            }
        });
        machine
    }

    /// For the five threads that a message passes through, each late as the latest nap was.
    fn delay(&self) -> Duration {
        5 * Duration::from_micros(self.worst.load(Ordering::Relaxed))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Wall time without that in which threads of this process were ready to run and other processes had the
/// processors.
struct Stopwatch {
    start: Instant,
    waited: Duration,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch { start: Instant::now(), waited: waited() }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed().saturating_sub(waited().saturating_sub(self.waited))
    }
}

/// How long threads of this process have waited for a processor; nothing where the system does not tell.
fn waited() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let waited = |task: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').nth(1)?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(waited).sum())
}

/// Sends itself a message after the other and returns how long each took.
async fn ping_pong(
    (client, mut messages): (Client, Messages),
    topic: String,
    stop: Arc<AtomicBool>,
) -> Vec<Duration> {
    client.subscribe(filter(&topic)).await.expect("subscribed");
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Stopwatch::start();
        client.publish(message(&topic, "x")).await.expect("connected");
        messages.next().await.expect("connected");
        times.push(start.elapsed());
    }
    times
}
