//! A Will that was taken is published once, whatever becomes of the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate::broker::{Broker, Options};
use tidegate::cluster::standalone::Standalone;
use tidegate::hook::NoHooks;
use tidegate::message::Timestamp;
use tidegate::packet::{Connect, Packet, ReasonCode, Will};
use tidegate::storage::{Change, Durability, OpenedStorage, Storage, WillRecord};
use tokio::time::timeout;

use crate::durability::{Obedient, start_on, subscribed_to};
use crate::support::local::Local;
use crate::support::*;

fn left(payload: &str) -> Will {
    Will { qos: QOS1, ..will("wills", payload) }
}

fn mortal(name: &str, payload: &str) -> Connect {
    with_will(persistent(V5, name), left(payload))
}

fn wills(storage: &Obedient) -> Vec<WillRecord> {
    let will = |change| if let Change::PutWill(will) = change { Some(*will) } else { None };
    storage.held().into_iter().filter_map(will).collect()
}

#[tokio::test]
async fn whose_session_goes_on_is_told_so_once_its_will_is_kept() {
    // [MQTT-3.1.2-7]
    // Only who began a session waited for the storage: of who went on with one, a crash could lose the Will.
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    Client::connect(&server, persistent(V5, "client")).await.disconnect().await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    storage.close();
    let mut client = Client::open(&server, V5).await;
    client.send(Packet::Connect(Box::new(mortal("client", "x")))).await;
    until(|| server.broker().client("client").is_some_and(|status| status.client.is_some())).await;
    other.assert_silent().await;
    assert!(timeout(Duration::ZERO, client.receive()).await.is_err(), "it was told before its Will was kept");
    storage.open();
    assert!(matches!(client.receive().await, Packet::Connack(connack) if connack.session_present));
    assert_eq!(wills(&storage).len(), 1);
}

#[tokio::test]
async fn a_will_that_cannot_be_kept_is_not_taken() {
    // [MQTT-3.1.2-7]
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    Client::connect(&server, persistent(V5, "client")).await.disconnect().await;
    storage.is_full.store(true, Ordering::Relaxed);
    Client::connect(&server, persistent(V5, "client")).await.disconnect().await;
    until(|| server.statistics().storage_fails == 1).await;
    let (_, connack) = Client::try_connect(&server, mortal("client", "x")).await;
    assert_eq!(connack.reason_code, ReasonCode::QUOTA_EXCEEDED);
    let (_, connack) = Client::try_connect(&server, persistent(V5, "client")).await;
    assert!(connack.session_present, "without a Will the session goes on");
}

#[tokio::test]
async fn a_will_that_falls_due_while_the_storage_fails_is_published() {
    // [MQTT-3.1.2-8]
    // It was refused as a client's message is, and nobody was there to send it again.
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed_to(&server, "away", "wills").await;
    let client = Client::connect(&server, mortal("client", "x")).await;
    let other = Client::connect(&server, mortal("other", "y")).await;
    storage.is_full.store(true, Ordering::Relaxed);
    drop(client);
    until(|| server.statistics().storage_fails == 1).await;
    drop(other);
    until(|| server.broker().client("other").is_some_and(|status| status.client.is_none())).await;
    storage.is_full.store(false, Ordering::Relaxed);
    let mut back = Client::connect(&server, persistent(V5, "away")).await;
    assert_eq!(back.payloads(2).await, ["x", "y"]);
    server.shutdown().await;
    assert_eq!(wills(&storage), []);
}

#[tokio::test]
async fn a_will_that_fell_due_while_the_broker_was_away_is_published_though_its_client_is_back() {
    // [MQTT-3.1.2-8], [MQTT-3.1.3-9]
    // A client that was back before the broker had looked what was due went on with its session, as if the delay had
    // not passed.
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed_to(&server, "reader", "wills").await;
    let long = Will { delay_interval: 3600, ..left("long") };
    let client = Client::connect(&server, with_will(persistent(V5, "client"), long)).await;
    drop(client);
    until(|| wills(&storage).iter().any(|will| will.due.is_some())).await;
    server.shutdown().await;
    let mut record = wills(&storage).remove(0);
    record.due = Some(Timestamp(1));
    storage.commit(&[Change::PutWill(Box::new(record))]).unwrap();
    let opened = OpenedStorage::new(storage.clone(), Durability::Always).unwrap();
    let broker = Broker::new(Options::default(), Arc::new(NoHooks), Some(opened), Arc::new(Standalone));
    // Nobody looks what is due.
    let local = Local { broker };
    let mut reader = local.connect(persistent(V5, "reader")).await;
    let _back = local.connect(persistent(V5, "client")).await;
    assert_eq!(reader.payloads(1).await, ["long"]);
}

#[tokio::test]
async fn the_wills_of_two_connections_of_a_client_are_both_published_after_a_crash() {
    // [MQTT-3.1.2-8]
    // The broker had crashed after the second connection came and before the Will of the first was out: the second took
    // the place of the first.
    let storage = Arc::new(Obedient::default());
    let server = start_on(&storage).await;
    subscribed_to(&server, "reader", "wills").await;
    let _client = Client::connect(&server, mortal("client", "second")).await;
    let second = wills(&storage).remove(0);
    let mut first = second.clone();
    first.number = second.number - 1;
    first.will.message.payload = "first".into();
    let after_the_crash = Arc::new(Obedient::default());
    after_the_crash.commit(&storage.held()).unwrap();
    after_the_crash.commit(&[Change::PutWill(Box::new(first))]).unwrap();
    server.shutdown().await;
    let server = start_on(&after_the_crash).await;
    let mut reader = Client::connect(&server, persistent(V5, "reader")).await;
    let mut got = reader.payloads(2).await;
    got.sort();
    assert_eq!(got, ["first", "second"]);
    server.shutdown().await;
    assert_eq!(wills(&after_the_crash), []);
}
