//! A broker to test, a client that speaks in packets, and hooks that do what a test tells them.
//!
//! Every wait is bounded. Nothing here sleeps: a test waits for a packet, for a PINGRESP, or for a
//! condition that the broker's own interface shows.

pub mod authentication;
pub mod client;
pub mod free_port;
pub mod hooks;
#[cfg(feature = "wasm")]
pub mod http;
pub mod local;
#[cfg(feature = "mysql")]
pub mod mariadb;
pub mod plain;

use std::future::Future;
use std::time::Duration;

use bytestring::ByteString;
use tidegate::broker::Options;
use tidegate::packet::{Connect, ProtocolVersion, Publish, QoS, Will};
use tidegate::server::{ListenerOptions, Server};

pub use client::Client;
pub use free_port::free_port;
pub use hooks::{Gate, Script};
pub use local::Local;

pub const V311: ProtocolVersion = ProtocolVersion::V311;
pub const V5: ProtocolVersion = ProtocolVersion::V5;
pub const VERSIONS: [ProtocolVersion; 2] = [V311, V5];
pub const QOS0: QoS = QoS::AtMostOnce;
pub const QOS1: QoS = QoS::AtLeastOnce;
pub const QOS2: QoS = QoS::ExactlyOnce;
pub const ALL_QOS: [QoS; 3] = [QOS0, QOS1, QOS2];

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What comes in time.
#[track_caller]
pub fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("nothing came within {PATIENCE:?}; waited for at {caller}"),
        }
    }
}

/// Waits until the broker's own interface shows what is expected.
#[track_caller]
pub fn until(condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let mut condition = condition;
    within(async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// A broker on a free port of this machine, open to everyone.
pub async fn start() -> Server {
    start_with(Options::default()).await
}

pub async fn start_with(options: Options) -> Server {
    let builder = Server::builder().workers(2).options(options);
    builder.listener(ListenerOptions::loopback(0)).start().await.unwrap()
}

/// A broker whose hooks follow the script.
pub async fn start_hooked(options: Options, script: &std::sync::Arc<Script>) -> Server {
    let builder = Server::builder().workers(2).options(options).hooks(script.clone());
    builder.listener(ListenerOptions::loopback(0)).start().await.unwrap()
}

/// A CONNECT with Clean Start and without Keep Alive.
pub fn connect(version: ProtocolVersion, client_identifier: &str) -> Connect {
    Connect::new(version, ByteString::from(client_identifier.to_string()))
}

/// A CONNECT for a session that outlives its connection.
pub fn persistent(version: ProtocolVersion, client_identifier: &str) -> Connect {
    let expiry = (version == V5).then_some(3600);
    let connect = connect(version, client_identifier);
    Connect { clean_start: false, session_expiry_interval: expiry, ..connect }
}

pub fn will(topic: &str, payload: &str) -> Will {
    Will { topic: topic.to_string().into(), payload: payload.to_string().into(), ..Will::default() }
}

/// The same CONNECT with a Will.
pub fn with_will(connect: Connect, will: Will) -> Connect {
    Connect { will: Some(Box::new(will)), ..connect }
}

/// A PUBLISH of QoS 0.
pub fn publish(topic: &str, payload: &str) -> Publish {
    Publish::new(topic.to_string().into(), payload.to_string().into())
}

pub fn text(publish: &Publish) -> &str {
    std::str::from_utf8(&publish.payload).unwrap()
}
