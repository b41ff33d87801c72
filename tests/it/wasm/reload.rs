//! Plugins are replaced while messages flow.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::plain::{Client, Messages};
use tidegate::plugin::{HostOptions, PluginOptions, PluginStatus};

use super::{Broker, filter, message, module, text, until};

const PAIRS: usize = 50;
const REPLACEMENTS: usize = 20;
/// Messages that have to come through between two replacements.
const BETWEEN: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_replaced_twenty_times_under_load_loses_nobody_and_nothing() {
    let folder = Folder::new("reload");
    let plugin = folder.0.join("marker.wasm");
    replace(&plugin, &fs::read(module("marker")).unwrap());
    let options = HostOptions { cache_dir: Some(folder.0.join("cache")), ..HostOptions::default() };
    let broker = Broker::start_with(options, &[PluginOptions::new("marker", &plugin)]).await;

    let load = Arc::new(Load::default());
    let mut tasks = Vec::new();
    for pair in 0..PAIRS {
        let (topic, subscriber) = (format!("load/{pair}"), broker.connect(&format!("sub-{pair}")).await);
        subscriber.0.subscribe(filter(&topic)).await.expect("subscribed");
        let publisher = broker.connect(&format!("pub-{pair}")).await;
        tasks.push(tokio::spawn(receive(subscriber, load.clone())));
        tasks.push(tokio::spawn(publish(publisher, topic, load.clone())));
    }
    for round in 0..REPLACEMENTS {
        let received = load.received.load(Ordering::Relaxed);
        until("messages flow", || load.received.load(Ordering::Relaxed) > received + BETWEEN).await;
        exchange(&broker, &plugin, round).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.expect("no client saw anything wrong"));
    }
    let [first, second] = [&load.marked_1, &load.marked_2].map(|count| count.load(Ordering::Relaxed));
    assert!(first > 0 && second > 0, "each version had its turn: {first}, {second}");
    let statistics = broker.server.statistics();
    assert_eq!(statistics.dropped_queue_full, 0);
    assert_eq!(broker.server.clients().iter().filter(|client| client.client.is_some()).count(), 2 * PAIRS);
    let status = &broker.host.status()[0];
    assert!(status.failures.is_empty(), "{status:?}");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_reloaded_take_effect_and_bad_ones_do_not() {
    let with = |version: serde_json::Value| PluginOptions {
        settings: serde_json::json!({ "version": version }),
        ..PluginOptions::new("marker", module("marker"))
    };
    let broker = Broker::start(&[with(7.into())]).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("t")).await.expect("subscribed");
    let mut expect = async |expected: &str| {
        client.publish(message("t", "x")).await.expect("published");
        assert_eq!(text(&messages.next().await.expect("connected")), expected);
    };
    expect("x v7").await;
    broker.host.reload(&[with(8.into())]).expect("reloaded");
    expect("x v8").await;
    let errors = broker.host.reload(&[with("no number".into())]).expect_err("settings of a wrong type");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    expect("x v8").await;
    broker.host.reload(&[]).expect("reloaded");
    expect("x").await;
    broker.server.shutdown().await;
}

/// Even rounds put a good version there, odd ones something broken.
async fn exchange(broker: &Broker, plugin: &Path, round: usize) {
    let before = status(broker);
    let marker = fs::read(module("marker")).unwrap();
    match round {
        _ if round.is_multiple_of(4) => replace(plugin, &fs::read(module("marker-two")).unwrap()),
        _ if round % 4 == 2 => replace(plugin, &marker),
        1 | 13 => replace(plugin, b"this is no Wasm"),
        5 | 17 => replace(plugin, &marker[..marker.len() / 2]),
        9 => replace(plugin, &fs::read(module("unknown-import")).unwrap()),
        _ => replace(plugin, &fs::read(module("refuses-init")).unwrap()),
    }
    if round.is_multiple_of(2) {
        until("the new version runs", || {
            let now = status(broker);
            now.version > before.version && now.load_error.is_none()
        })
        .await;
    } else {
        until("the broken version is refused", || status(broker).load_error.is_some()).await;
        assert_eq!(status(broker).version, before.version, "the one before it goes on");
    }
}

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    received: AtomicU64,
    marked_1: AtomicU64,
    marked_2: AtomicU64,
}

/// Every fifth message is one that the plugin has to stop.
async fn publish(
    (client, messages): (Client, Messages),
    topic: String,
    load: Arc<Load>,
) -> (Client, Messages) {
    let mut sent = 0;
    while !load.stop.load(Ordering::Relaxed) {
        for n in 0..5 {
            let payload = if n == 4 { "forbidden".to_string() } else { sent.to_string() };
            let ack = client.publish(message(&topic, payload)).await.expect("connected");
            assert!(!ack.reason_code.is_error(), "{}", ack.reason_code);
            sent += u64::from(n != 4);
        }
    }
    client.publish(message(&topic, "end")).await.expect("connected");
    (client, messages)
}

/// Every message comes, in order, marked, and none that is forbidden.
async fn receive((client, mut messages): (Client, Messages), load: Arc<Load>) -> (Client, Messages) {
    let mut expected = 0;
    loop {
        let publish = messages.next().await.expect("connected");
        let text = text(&publish);
        let (payload, mark) = text.rsplit_once(" v").unwrap_or_else(|| panic!("not marked: {text}"));
        match mark {
            "1" => load.marked_1.fetch_add(1, Ordering::Relaxed),
            "2" => load.marked_2.fetch_add(1, Ordering::Relaxed),
            _ => panic!("marked by nobody: {text}"),
        };
        if payload == "end" {
            break;
        }
        assert_eq!(payload, expected.to_string());
        expected += 1;
        load.received.fetch_add(1, Ordering::Relaxed);
    }
    (client, messages)
}

fn status(broker: &Broker) -> PluginStatus {
    broker.host.status().remove(0)
}

/// In one step, as an installer does it.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, path).unwrap();
}

/// A folder of the test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
