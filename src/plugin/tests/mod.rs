//! The host with real plugins: those of `plugins/` that are made for tests.

mod authentication;
mod chains;
mod failures;
mod listeners;
mod loading;
mod reloads;
mod services;
mod topics;
mod verdicts;
mod waiting;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::version::lock;
use super::*;
use crate::hook::*;
use crate::message::{ApplicationMessage, ClientKey, Origin, Timestamp};
use crate::packet::{Connect, ProtocolVersion, QoS, ReasonCode, RetainHandling};
use crate::topic::{TopicFilter, TopicName};

const NOW: Timestamp = Timestamp(1_000_000);

/// The module of a plugin of `plugins/`, built where it is missing.
pub(super) fn module(name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let path = folder.join(format!("target/tidegate/{name}.wasm"));
    let _one_by_one = lock(&BUILDING);
    if !path.exists() {
        let built = Command::new(folder.join("build")).arg(name).status().expect("plugins/build runs");
        assert!(built.success(), "plugins/build {name} failed");
    }
    path
}

fn options(name: &str) -> PluginOptions {
    granted(PluginOptions::new(name, module(name)))
}

fn granted(mut options: PluginOptions) -> PluginOptions {
    options.grants = Grants { publish: vec!["#".try_into().unwrap()], clients: true, ..Grants::default() };
    options
}

/// A host with one worker, so that consecutive calls see the same instance.
fn host_options() -> HostOptions {
    HostOptions { workers: 1, watch: false, settle: Duration::from_millis(20), ..HostOptions::default() }
}

/// A host and what it asks of the broker.
struct Host {
    host: Arc<PluginHost>,
    requests: Requests,
}

impl Host {
    fn start(plugins: &[PluginOptions]) -> Host {
        Host::start_with(host_options(), plugins)
    }

    fn start_with(options: HostOptions, plugins: &[PluginOptions]) -> Host {
        let (requester, requests) = requests(RequestLimits { queue: 100, ..RequestLimits::default() });
        match PluginHost::start(options, plugins, requester) {
            Ok(host) => Host { host, requests },
            Err(errors) => {
                panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
        }
    }

    fn publish(&self, topic: &str) -> PublishOutcome {
        self.publish_message(&message(topic, "payload"))
    }

    fn publish_message(&self, message: &ApplicationMessage) -> PublishOutcome {
        let client = client("sender");
        wait(self.host.intercepting_publish(PublishContext { client: Some(&client), message, now: NOW }))
    }

    /// `user_name` tells the plugin what to do.
    fn connect(&self, user_name: &str) -> ConnectOutcome {
        let mut connect = Connect::new(ProtocolVersion::V5, "c1".into());
        connect.user_name = Some(user_name.to_owned().into());
        connect.password = Some(Bytes::from_static(b"right"));
        connect.keep_alive = 60;
        self.connect_with(&connect)
    }

    fn connect_with(&self, connect: &Connect) -> ConnectOutcome {
        let client = client(&connect.client_identifier);
        wait(self.host.validating_connection(ConnectContext { client: &client, connect }))
    }

    fn authorize(&self, action: Action, topic: &str) -> Authorization {
        let (client, qos) = (client("c1"), QoS::AtLeastOnce);
        let context = AuthorizeContext { client: &client, action, topic, qos, retain: false };
        wait(self.host.authorize(context))
    }

    fn enqueue(&self, topic: &str, receivers: usize) -> EnqueueOutcome {
        let receivers: Vec<Receiver> = (0..receivers).map(receiver).collect();
        let (message, sender) = (message(topic, "payload"), client("sender"));
        let context =
            EnqueueContext { sender: Some(&sender), message: &message, receivers: &receivers, now: NOW };
        wait(self.host.intercepting_client_enqueue(context))
    }

    fn subscribe(&self, filters: &[&str]) -> SubscribeOutcome {
        let subscriptions: Vec<_> = filters.iter().map(|filter| subscription(filter)).collect();
        let client = client("c1");
        wait(self.host.intercepting_subscription(SubscribeContext {
            client: &client,
            subscriptions: &subscriptions,
            subscription_identifier: Some(3),
        }))
    }

    fn unsubscribe(&self, filters: &[&str]) -> UnsubscribeOutcome {
        let filters: Vec<_> = filters.iter().map(|filter| TopicFilter::try_from(*filter).unwrap()).collect();
        let client = client("c1");
        wait(self.host.intercepting_unsubscription(UnsubscribeContext { client: &client, filters: &filters }))
    }

    fn not_consumed(&self, topic: &str) -> NotConsumedOutcome {
        let (client, message) = (client("c1"), message(topic, "payload"));
        let why = WhyNotConsumed::NoSubscriber;
        let context = NotConsumedContext { client: Some(&client), message: &message, why, now: NOW };
        wait(self.host.application_message_not_consumed(context))
    }

    fn status(&self) -> PluginStatus {
        self.host.status().remove(0)
    }

    /// What the plugin `every-hook` has in its state under this key.
    fn state(&mut self, key: &str) -> Option<Bytes> {
        while self.requests.try_recv().is_some() {}
        assert!(matches!(self.publish(&format!("ask/{key}")).verdict, PublishVerdict::Swallow));
        match self.requests.try_recv() {
            Some(Request::Publish(message)) => Some(message.payload).filter(|value| !value.is_empty()),
            other => panic!("no answer: {other:?}"),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.host.shutdown();
        }
    }
}

fn client(identifier: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        key: ClientKey(7),
        client_identifier: identifier.into(),
        user_name: Some("user".into()),
        remote: Some(SocketAddr::from(([127, 0, 0, 1], 50_000)).into()),
        protocol_version: ProtocolVersion::V5,
        listener: Arc::new(ListenerPolicy::new("default")),
        user_properties: Box::new([("k".into(), "v".into())]),
    })
}

fn message(topic: &str, payload: impl Into<Bytes>) -> ApplicationMessage {
    let mut message =
        ApplicationMessage::new(TopicName::try_from(topic).unwrap(), payload).with_qos(QoS::AtLeastOnce);
    message.origin = Origin::Client;
    message.publisher = ClientKey(7);
    message
}

fn receiver(number: usize) -> Receiver {
    Receiver {
        client: ClientKey(number as u64 + 7),
        session: number as u64 + 100,
        client_identifier: format!("receiver-{number}").into(),
        qos: QoS::AtLeastOnce,
        retain: false,
    }
}

fn subscription(filter: &str) -> SubscriptionRequest {
    SubscriptionRequest {
        filter: TopicFilter::try_from(filter).unwrap(),
        maximum_qos: QoS::ExactlyOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

/// A reload or a thread in the background takes its time.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait<T>(answer: Answer<T>) -> T {
    match answer {
        Answer::Ready(value) => value,
        Answer::Later(future) => {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
        }
    }
}

/// An empty folder of its own for each test.
fn folder() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tidegate-plugin-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// As editors and deployments do it: written beside, then renamed.
fn replace_file(path: &Path, with: &Path) {
    let aside = path.with_extension("new");
    std::fs::copy(with, &aside).unwrap();
    std::fs::rename(&aside, path).unwrap();
}

fn settings(json: serde_json::Value, mut options: PluginOptions) -> PluginOptions {
    options.settings = json;
    options
}
