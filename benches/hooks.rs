//! What a hook costs the thread that serves a connection, in nanoseconds of CPU time per call: the median
//! of several rounds. Run with `cargo bench --bench hooks`, or for some of the rows with
//! `cargo bench --bench hooks -- enqueue "topic only"`; plugins come from `plugins/build`.
//!
//! Rows that end in "by wasmtime alone" are the same guest called with the same arguments, without chain,
//! deadline, limits, choice of instance or checks: what of a call is not ours to save.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::hook::*;
use tidegate::message::{ApplicationMessage, ClientKey, Origin, Timestamp};
use tidegate::packet::{ProtocolVersion, QoS, ReasonCode};
use tidegate::plugin::{HostOptions, PluginHost, PluginOptions};
use tidegate::topic::{TopicFilter, TopicName};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};
use wit_component::ComponentEncoder;

use self::bindings::exports::tidegate::plugin::{intercepting_publish, lifecycle};
use self::bindings::tidegate::plugin::types;

mod bindings {
    wasmtime::component::bindgen!({ path: "wit", world: "plugin" });
}

const ROUNDS: usize = 9;
/// Long against the steps in which the system counts CPU time.
const ROUND: Duration = Duration::from_millis(150);

const TOPIC: &str = "devices/0123456789abcdef/telemetry";
const NOW: Timestamp = Timestamp(1_000_000);

fn main() {
    let client = client();
    println!("{:<46} {:>8}", "hook", "ns/call");

    let host = host(vec![options("cached-authorizer")]);
    report("publish, no plugin wants the hook", || {
        let wanted = black_box(&host).wanted();
        assert!(!wanted.contains(HookSet::INTERCEPTING_PUBLISH));
    });
    report("authorizer", || {
        let context = AuthorizeContext {
            client: &client,
            action: Action::Publish,
            topic: TOPIC,
            qos: QoS::AtLeastOnce,
            retain: false,
        };
        let Answer::Ready(answer) = host.authorize(context) else { panic!("it is late") };
        assert_eq!((answer.verdict, answer.cache.as_secs()), (AuthorizationVerdict::Allow, 60));
    });
    host.shutdown();

    let elsewhere = TopicFilter::try_from("elsewhere/#").unwrap();
    let kept_out = PluginOptions { topics: vec![elsewhere], ..options("topic-only") };
    publish("publish, topic kept out by the configuration", vec![kept_out], &client, 256);
    let filtered = PluginOptions { topics: other_topics().collect(), ..options("topic-only") };
    publish("publish, 300 filters that do not match", vec![filtered], &client, 256);
    publish("publish, 300 plugins that do not want it", plugins_for(other_topics()), &client, 256);
    let one_more = other_topics().chain([TopicFilter::try_from("devices/+/telemetry").unwrap()]);
    publish("publish, topic only, wanted by one of 301", plugins_for(one_more), &client, 256);
    publish("publish, topic only", vec![options("topic-only")], &client, 256);
    publish("publish, reads 256 B", vec![options("reads-payload")], &client, 256);
    publish("publish, reads 16 KB", vec![options("reads-payload")], &client, 16 << 10);
    let named = |name: &str| PluginOptions { name: name.into(), ..options("reads-payload") };
    publish("publish, three plugins read 256 B", vec![named("a"), named("b"), named("c")], &client, 256);
    publish("publish, every-hook, 256 B", vec![options("every-hook")], &client, 256);

    not_consumed("not-consumed, topic kept out", &client);

    enqueue(1, None, &client);
    enqueue(64, None, &client);
    for (receivers, groups) in [(64, 1), (64, 4), (64, 16), (64, 64), (1024, 1), (1024, 4), (1024, 64)] {
        enqueue(receivers, Some(groups), &client);
    }

    alone("topic-only", None);
    alone("reads-payload", Some(256));
    alone("reads-payload", Some(16 << 10));

    events(&client);
    let _ = std::fs::remove_dir_all(cache());
}

/// Whether the row is one of those that the arguments name; without arguments, all are.
fn is_asked_for(what: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|part| what.contains(&part))
}

/// 300 filters that share levels with the topic, so that none is told apart at once.
fn other_topics() -> impl Iterator<Item = TopicFilter> {
    let filters = (0..100).flat_map(|number| {
        [
            format!("devices/+/commands/{number}"),
            format!("devices/{number:016x}/telemetry/#"),
            format!("devices/0123456789abcdef/{number}"),
        ]
    });
    filters.map(|filter| TopicFilter::try_from(filter.as_str()).unwrap())
}

/// A plugin for each of the filters.
fn plugins_for(filters: impl Iterator<Item = TopicFilter>) -> Vec<PluginOptions> {
    let named = |(number, filter)| PluginOptions {
        name: format!("p{number}"),
        topics: vec![filter],
        ..options("topic-only")
    };
    filters.enumerate().map(named).collect()
}

fn publish(what: &str, plugins: Vec<PluginOptions>, client: &Arc<ClientInfo>, length: usize) {
    if !is_asked_for(what) {
        return;
    }
    let host = host(plugins);
    let message = message(length);
    report(what, || {
        let context = PublishContext { client: Some(client), message: black_box(&message), now: NOW };
        let Answer::Ready(outcome) = host.intercepting_publish(context) else { panic!("it is late") };
        assert!(matches!(outcome.verdict, PublishVerdict::Continue) && outcome.reply.is_none());
    });
    host.shutdown();
    assert!(host.status().iter().all(|status| status.failures.is_empty()));
}

/// A message for nobody, on a topic that the plugin does not take.
fn not_consumed(what: &str, client: &Arc<ClientInfo>) {
    if !is_asked_for(what) {
        return;
    }
    let elsewhere = TopicFilter::try_from("elsewhere/#").unwrap();
    let host = host(vec![PluginOptions { topics: vec![elsewhere], ..options("every-hook") }]);
    let message = message(256);
    report(what, || {
        let (client, message, why) = (Some(client), black_box(&message), WhyNotConsumed::NoSubscriber);
        let context = NotConsumedContext { client, message, why, now: NOW };
        let Answer::Ready(outcome) = host.application_message_not_consumed(context) else {
            panic!("it is late")
        };
        assert_eq!(outcome, NotConsumedOutcome::Observe);
    });
    host.shutdown();
}

/// `groups`: the plugin makes a copy for each group of receivers.
fn enqueue(count: u64, groups: Option<u64>, sender: &Arc<ClientInfo>) {
    let named = groups.map_or("256 B".to_owned(), |groups| format!("{groups} copies"));
    let what = format!("client-enqueue, {count} receivers, {named}");
    if !is_asked_for(&what) {
        return;
    }
    let host = host(vec![options("every-hook")]);
    let mut message = message(256);
    if let Some(groups) = groups {
        message.topic = TopicName::try_from(format!("groups/{groups}").as_str()).unwrap();
    }
    let receivers: Vec<Receiver> = (0..count).map(receiver).collect();
    report(&what, || {
        let context =
            EnqueueContext { sender: Some(sender), message: &message, receivers: &receivers, now: NOW };
        let Answer::Ready(outcome) = host.intercepting_client_enqueue(context) else { panic!("it is late") };
        match (outcome, groups) {
            (EnqueueOutcome::Deliver, None) => {}
            (EnqueueOutcome::Choose { choices, copies }, Some(groups)) => {
                assert_eq!((choices.len() as u64, copies.len() as u64), (count, groups));
            }
            other => panic!("{other:?}"),
        }
    });
    host.shutdown();
    assert!(host.status().iter().all(|status| status.failures.is_empty()));
}

/// The call of `intercepting-publish` and nothing else.
fn alone(name: &str, length: Option<usize>) {
    let mut config = Config::new();
    config.epoch_interruption(true).concurrency_support(false);
    let engine = Engine::new(&config).unwrap();
    let module = std::fs::read(module(name)).unwrap();
    let component = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let component = Component::new(&engine, component).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let pre = linker.instantiate_pre(&component).unwrap();
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = pre.instantiate(&mut store).unwrap();
    if let Ok(indices) = lifecycle::GuestIndices::new(&pre) {
        indices.load(&mut store, &instance).unwrap().call_init(&mut store, "{}").unwrap().unwrap();
    }
    let indices = intercepting_publish::GuestIndices::new(&pre).unwrap();
    let guest = indices.load(&mut store, &instance).unwrap();
    let payload = length.map(|length| vec![b'x'; length]);
    let what = length.map_or("no payload".to_owned(), |length| format!("{length} B"));
    report(&format!("publish, {what}, by wasmtime alone"), || {
        let (payload, origin, qos) = (payload.as_deref(), types::Origin::Client, types::Qos::AtLeastOnce);
        let verdict = guest.call_intercept(&mut store, 7, origin, black_box(TOPIC), payload, 256, qos, false);
        assert!(matches!(verdict, Ok(intercepting_publish::Verdict::Continue)));
    });
}

/// What an event costs the thread that passes events on.
fn events(client: &Arc<ClientInfo>) {
    const EVENTS: u64 = 50_000;
    let what = "an event, in batches";
    if !is_asked_for(what) {
        return;
    }
    let (requester, _requests) = requests(RequestLimits::default());
    let options = HostOptions { workers: 2, watch: false, event_queue: 100_000, ..HostOptions::default() };
    let host = PluginHost::start(options, &[self::options("counts-events")], requester).unwrap();
    let topic = TopicName::try_from(TOPIC).unwrap();
    let mut nanoseconds: Vec<f64> = (0..=ROUNDS)
        .map(|_| {
            let begun = event_thread_time();
            for _ in 0..EVENTS {
                let what = What::ClientAcknowledgedPublishPacket {
                    client: client.clone(),
                    topic: topic.clone(),
                    qos: QoS::AtLeastOnce,
                    reason: ReasonCode::SUCCESS,
                };
                host.event(Event { time: NOW, what });
            }
            (event_thread_time() - begun).as_nanos() as f64 / EVENTS as f64
        })
        .collect();
    assert_eq!(host.status().iter().map(|status| status.dropped_events).sum::<u64>(), 0);
    host.shutdown();
    nanoseconds.remove(0);
    nanoseconds.sort_by(f64::total_cmp);
    println!("{what:<46} {:>8.1}", nanoseconds[ROUNDS / 2]);
}

/// CPU time of the thread that passes events on, once it has nothing more to do.
fn event_thread_time() -> Duration {
    let is_it = |task: &PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "plugin-events")
    };
    let find = || std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path()).find(is_it);
    // A thread gives itself its name, soon after it began.
    let path = std::iter::repeat_with(find).flatten().next().unwrap().join("schedstat");
    let mut before = None;
    loop {
        let text = std::fs::read_to_string(&path).unwrap();
        let now = text.split(' ').next().and_then(|time| time.parse().ok()).map(Duration::from_nanos);
        if now == before {
            return now.unwrap();
        }
        before = now;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Measures rounds of calls and prints the median.
fn report(what: &str, mut call: impl FnMut()) {
    if !is_asked_for(what) {
        return;
    }
    let mut nanoseconds: Vec<f64> = (0..=ROUNDS).map(|_| round(&mut call)).collect();
    nanoseconds.remove(0);
    nanoseconds.sort_by(f64::total_cmp);
    println!("{what:<46} {:>8.1}", nanoseconds[ROUNDS / 2]);
}

fn round(call: &mut impl FnMut()) -> f64 {
    let (begun, wall, mut calls) = (cpu_time(), Instant::now(), 0u64);
    while wall.elapsed() < ROUND {
        for _ in 0..1000 {
            call();
        }
        calls += 1000;
    }
    let spent = match (begun, cpu_time()) {
        (Some(begun), Some(now)) => now - begun,
        _ => wall.elapsed(),
    };
    spent.as_nanos() as f64 / calls as f64
}

/// Of this thread; none where the system does not tell.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn host(plugins: Vec<PluginOptions>) -> Arc<PluginHost> {
    let (requester, _requests) = requests(RequestLimits::default());
    let options =
        HostOptions { workers: 2, watch: false, cache_dir: Some(cache()), ..HostOptions::default() };
    match PluginHost::start(options, &plugins, requester) {
        Ok(host) => host,
        Err(errors) => panic!("{errors:#?}"),
    }
}

/// So that 300 plugins of one file are compiled once.
fn cache() -> PathBuf {
    std::env::temp_dir().join(format!("tidegate-bench-hooks-{}", std::process::id()))
}

fn options(name: &str) -> PluginOptions {
    PluginOptions::new(name, module(name))
}

fn module(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let path = folder.join(format!("target/tidegate/{name}.wasm"));
    if !path.exists() {
        let built = Command::new(folder.join("build")).arg(name).status().expect("plugins/build runs");
        assert!(built.success(), "plugins/build {name} failed");
    }
    path
}

fn message(length: usize) -> ApplicationMessage {
    let mut message = ApplicationMessage::new(TopicName::try_from(TOPIC).unwrap(), vec![b'x'; length])
        .with_qos(QoS::AtLeastOnce);
    message.origin = Origin::Client;
    message.publisher = ClientKey(7);
    message
}

fn receiver(number: u64) -> Receiver {
    Receiver {
        client: ClientKey(number + 1),
        session: number + 1,
        client_identifier: format!("client-{number}").into(),
        qos: QoS::AtLeastOnce,
        retain: false,
    }
}

fn client() -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        key: ClientKey(7),
        client_identifier: "0123456789abcdef0123".into(),
        user_name: None,
        remote: None,
        protocol_version: ProtocolVersion::V5,
        listener: Arc::new(ListenerPolicy::open("default")),
        user_properties: Box::default(),
    })
}
