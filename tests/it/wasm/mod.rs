//! The broker with real plugins, compiled from `plugins/`, and real traffic.

mod assemble;
mod base64;
mod delayed_publish;
mod device_pack;
mod from_mqttnet;
mod hostile;
#[cfg(feature = "daemon")]
mod hostile_components;
mod http_auth;
mod jwt_auth;
mod kept_state;
mod languages;
mod latency;
mod onenet;
mod onenet_script;
mod password_file;
mod payload_filter;
mod rate_limit;
mod reload;
mod scram;
mod services;
mod topic_acl;
mod topic_rewrite;
mod verdicts;
#[cfg(feature = "admin")]
mod visible;
mod wit_versions;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::plain::{Client, Messages, connect};
use bytestring::ByteString;
use tidegate::client::{ConnectError, Options};
use tidegate::hook::{RequestLimits, requests};
use tidegate::packet::{Connect, ProtocolVersion, Publish, QoS, SubscribeFilter};
use tidegate::plugin::{HostOptions, KeptStates, PluginHost, PluginOptions};
use tidegate::server::{ListenerOptions, Server};
use tidegate::storage::OpenedStorage;

/// A broker with plugins. Two workers, so that a connection can be held up by another of its thread.
struct Broker {
    server: Server,
    host: Arc<PluginHost>,
}

impl Broker {
    async fn start(plugins: &[PluginOptions]) -> Broker {
        Broker::start_with(HostOptions { watch: false, ..HostOptions::default() }, plugins).await
    }

    async fn start_with(options: HostOptions, plugins: &[PluginOptions]) -> Broker {
        Broker::start_from(options, plugins, None).await
    }

    /// With what was kept in a storage.
    async fn start_from(
        options: HostOptions,
        plugins: &[PluginOptions],
        storage: Option<OpenedStorage>,
    ) -> Broker {
        Broker::start_at(vec![ListenerOptions::loopback(0)], options, plugins, storage).await
    }

    async fn start_at(
        listeners: Vec<ListenerOptions>,
        options: HostOptions,
        plugins: &[PluginOptions],
        mut storage: Option<OpenedStorage>,
    ) -> Broker {
        let kept = storage.as_mut().map(KeptStates::of).unwrap_or_default();
        let options = HostOptions { kept, ..options };
        let (requester, requests) = requests(RequestLimits { queue: 1000, ..RequestLimits::default() });
        let options = HostOptions { workers: 2, ..options };
        let host =
            PluginHost::start(options, plugins, requester).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let builder = Server::builder().hooks(host.clone());
        let mut server = listeners.into_iter().fold(builder, |server, listener| server.listener(listener));
        if let Some(storage) = storage {
            server = server.storage(storage);
        }
        let server = server.requests(requests).workers(2).start().await.expect("the server starts");
        Broker { server, host }
    }

    fn options(&self, client_identifier: &str) -> Options {
        let address = self.server.addresses()[0];
        let mut options =
            Options::new(address.ip().to_string(), address.port(), client_identifier.to_string());
        options.connect = Connect::new(ProtocolVersion::V5, client_identifier.to_string().into());
        options
    }

    async fn connect(&self, client_identifier: &str) -> (Client, Messages) {
        connect(&self.options(client_identifier)).await.expect("the client is let in")
    }

    async fn connect_as(
        &self,
        version: ProtocolVersion,
        client_identifier: &str,
        user_name: &str,
        password: &str,
    ) -> Result<(Client, Messages), ConnectError> {
        let mut options = self.options(client_identifier);
        options.connect = Connect::new(version, client_identifier.to_string().into());
        options.connect.user_name = Some(user_name.to_string().into());
        options.connect.password = Some(password.to_string().into());
        connect(&options).await
    }
}

/// The module of a plugin of `plugins/`, built where it is missing.
fn module(name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let path = folder.join(format!("target/tidegate/{name}.wasm"));
    let _one_by_one = BUILDING.lock();
    if !path.exists() {
        let built = Command::new(folder.join("build")).arg(name).status().expect("plugins/build runs");
        assert!(built.success(), "plugins/build {name} failed");
    }
    path
}

fn message(topic: &str, payload: impl Into<bytes::Bytes>) -> Publish {
    let mut publish = Publish::new(ByteString::from(topic.to_string()), payload.into());
    publish.qos = QoS::AtLeastOnce;
    publish
}

fn filter(filter: &str) -> Vec<SubscribeFilter> {
    vec![SubscribeFilter::new(filter.to_string().into(), QoS::AtLeastOnce)]
}

fn text(publish: &Publish) -> &str {
    std::str::from_utf8(&publish.payload).expect("the payload is text")
}

/// Polls a condition that another thread brings about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), poll)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
