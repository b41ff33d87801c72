//! Bridges: between brokers of ours, over connections that break, and to Mosquitto.

mod breaks;
mod carries;
mod changes;
mod circles;
#[cfg(all(feature = "daemon", feature = "tls", feature = "websocket"))]
mod configuration;
#[cfg(all(feature = "daemon", feature = "sqlite", unix))]
mod killed;
mod lies;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod mosquitto;

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::bridge::{BridgeOptions, BridgedTopic, Bridges, Direction};
use tidegate::client::dial::ServerUri;
use tidegate::packet::{ProtocolVersion, QoS};
use tidegate::server::Server;

use crate::support::*;

/// A bridge to a broker at this address that tries again soon.
pub fn bridge(name: &str, to: SocketAddr, version: ProtocolVersion) -> BridgeOptions {
    let uri: ServerUri = format!("mqtt://{to}").parse().unwrap();
    let mut options = BridgeOptions::new(name, uri.dialer(), format!("bridge-{name}"));
    options.protocol_version = version;
    options.pauses = (Duration::from_millis(1), Duration::from_millis(20));
    options
}

pub fn topic(filter: &str, direction: Direction, qos: QoS) -> BridgedTopic {
    BridgedTopic::new(filter, direction, qos).unwrap()
}

/// Has a broker run these.
pub async fn run(server: &Server, wanted: Vec<BridgeOptions>) -> Bridges {
    let bridges = Bridges::start(server.broker().clone()).unwrap();
    bridges.set(wanted).await;
    bridges
}

/// Waits until all of them are connected, and the other broker has as many subscriptions.
pub async fn settled(bridges: &Bridges, other: &Server, subscriptions: usize) {
    until(|| bridges.status().iter().all(|status| status.connected)).await;
    until(|| other.broker().subscription_count() == subscriptions).await;
}

/// A client that subscribes everything that begins so.
pub async fn subscriber(server: &Server, filter: &str) -> Client {
    let name = format!("subscriber-{}", fastrand::u64(..));
    let mut client = Client::connect(server, connect(V5, &name)).await;
    client.subscribe(filter, QOS2).await;
    client
}

pub async fn publisher(server: &Server) -> Client {
    let name = format!("publisher-{}", fastrand::u64(..));
    Client::connect(server, connect(V5, &name)).await
}
