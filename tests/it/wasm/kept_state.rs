//! The state of plugins outlives the broker where there is a storage.

use std::sync::Arc;

use tidegate::packet::ReasonCode;
use tidegate::plugin::{HostOptions, PluginOptions};
use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::{Change, Durability, OpenedStorage, Storage};

use super::{Broker, message, module};

/// Lets each client publish three messages in its life, nearly.
fn three_messages(keep_state: bool) -> PluginOptions {
    let settings = serde_json::json!({
        "limits": [{ "what": "messages", "per": "client", "rate": 0.0001, "burst": 3 }],
    });
    PluginOptions { settings, keep_state, ..PluginOptions::new("rate-limit", module("rate-limit")) }
}

async fn start_on(storage: &Arc<MemoryStorage>, plugin: PluginOptions) -> Broker {
    let opened = OpenedStorage::new(storage.clone(), Durability::Always).expect("memory can be read");
    let options = HostOptions { watch: false, ..HostOptions::default() };
    Broker::start_from(options, &[plugin], Some(opened)).await
}

fn kept_keys(storage: &MemoryStorage) -> usize {
    let mut keys = 0;
    let mut count = |change| keys += usize::from(matches!(change, Change::PutState { .. }));
    storage.load(&mut count).expect("memory can be read");
    keys
}

async fn publish(broker: &Broker, client: &str, times: usize) -> Vec<ReasonCode> {
    let (client, _unread) = broker.connect(client).await;
    let mut reasons = Vec::new();
    for _ in 0..times {
        reasons.push(client.publish(message("t", "x")).await.expect("connected").reason_code);
    }
    reasons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_kept_before_an_answer_is_there_after_a_restart() {
    const NOBODY: ReasonCode = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    let storage = Arc::new(MemoryStorage::default());
    let broker = start_on(&storage, three_messages(true)).await;
    assert_eq!(publish(&broker, "client", 2).await, [NOBODY, NOBODY]);
    assert_eq!(kept_keys(&storage), 1, "it was answered before it was kept");
    broker.server.shutdown().await;
    broker.host.shutdown();
    let broker = start_on(&storage, three_messages(true)).await;
    // One token was left. The plugin's clock began again: until it has come as far as it was when the first was
    // taken, that one is not given either, so that any of these may be the one that gets it, or none.
    let reasons = publish(&broker, "client", 3).await;
    assert!(
        reasons.iter().all(|&reason| reason == NOBODY || reason == ReasonCode::QUOTA_EXCEEDED),
        "{reasons:?}"
    );
    assert!(reasons.iter().filter(|&&reason| reason == NOBODY).count() <= 1, "{reasons:?}");
    assert_eq!(publish(&broker, "another", 1).await, [NOBODY]);
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_of_a_plugin_can_be_left_out() {
    let storage = Arc::new(MemoryStorage::default());
    let broker = start_on(&storage, three_messages(false)).await;
    publish(&broker, "client", 3).await;
    broker.server.shutdown().await;
    assert_eq!(kept_keys(&storage), 0);
}
