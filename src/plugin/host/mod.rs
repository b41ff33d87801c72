//! What plugins may ask of the broker: one file per interface of `wit/host.wit`.
//!
//! The functions are ambient: they are about the call that is running, whose facts lie in [`Call`]. What
//! a hook sets through them is collected there and taken out when the call is over and went well.

mod broker;
mod client;
mod clock;
mod connection;
mod crypto;
mod http;
mod log;
mod message;
mod metrics;
mod passwords;
mod random;
mod refusals;
mod reply;
mod session_items;
mod settings;
mod signature;
mod state;
mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::{Plugin, tidegate};
use super::engine::Clock;
use super::harness::Given;
use super::http::HttpClient;
use super::memory::{Limits, MemoryUse};
use super::options::Grants;
use super::preview1;
use super::wasi::Wasi;
use crate::hook::{ClientInfo, ConnectOverrides, Reply, Requester, SessionItems};
use crate::packet::{Connect, PublishProperties};

pub(super) use log::LogRate;
pub(super) use message::{Choices, PropertyChanges};
pub(super) use metrics::Metrics;
pub use metrics::{Histogram, MetricValue, PluginMetric};
pub(super) use refusals::Refusals;
pub(super) use state::State;

/// What lies in the Store of each instance.
pub(super) struct HostData {
    pub(super) limits: Limits,
    pub(super) services: Arc<Services>,
    pub(super) call: Call,
    /// Where receivers are packed for a call; kept, so that packing allocates nothing.
    pub(super) packed: Vec<u64>,
    pub(super) wasi: Wasi,
    /// Ticks of each stage of the deadline after the first, and how many stages are left.
    pub(super) stage: u64,
    pub(super) stages_left: u8,
    /// When the stage ends, in ticks of the clock; zero where the plugin imports nothing that waits.
    pub(super) stage_ends: u64,
}

/// What the instances of one version of a plugin share.
pub(super) struct Services {
    pub(super) plugin: Arc<str>,
    /// JSON.
    pub(super) settings: String,
    pub(super) state: Arc<State>,
    pub(super) log_rate: Arc<LogRate>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Arc<MemoryUse>,
    pub(super) requester: Requester,
    pub(super) publishes_per_call: u32,
    pub(super) host_calls_per_call: u32,
    pub(super) grants: Grants,
    pub(super) started: Instant,
    /// Of a plugin that imports it.
    pub(super) http: Option<Arc<HttpClient>>,
    /// Of a plugin that imports a service that waits.
    pub(super) clock: Option<Arc<Clock>>,
    /// What stands in for the true clock, chance and log where there is no broker.
    pub(super) given: Option<Arc<Given>>,
}

impl Services {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// Since 1970-01-01T00:00:00Z.
    pub(super) fn now(&self) -> Duration {
        match &self.given {
            Some(given) => Duration::from_millis(given.now_ms()),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// The same for what lives for a while.
    pub(super) fn instant(&self) -> Instant {
        self.given.as_ref().map_or_else(Instant::now, |given| given.instant())
    }

    /// Nanoseconds from an arbitrary start.
    pub(super) fn monotonic_ns(&self) -> u64 {
        let elapsed = self.instant().saturating_duration_since(self.started);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The call that is running: what it is about, as far as the plugin imports functions that tell it, and
/// what it has set.
#[derive(Default)]
pub(super) struct Call {
    pub(super) client: Option<Arc<ClientInfo>>,
    pub(super) payload: Option<Bytes>,
    pub(super) properties: Option<Box<PublishProperties>>,
    /// Seconds left.
    pub(super) expiry_interval: Option<u32>,
    pub(super) connect: Option<Box<Connect>>,
    /// Where the client has no session yet: what plugins asked to keep with it.
    pub(super) items_so_far: Option<SessionItems>,
    /// Sessions and their Client Identifiers.
    pub(super) receivers: Vec<(u64, Arc<str>)>,
    /// Of the message.
    pub(super) depth: u8,

    pub(super) publishes: u32,
    pub(super) host_calls: u32,
    pub(super) requests: u32,
    pub(super) password_hashes: u32,
    pub(super) effects: Option<Box<Effects>>,
}

impl Call {
    /// Lets go of what the call was about, for the next one, and hands out what it has set.
    #[inline]
    pub(super) fn end(&mut self) -> Option<Box<Effects>> {
        self.client = None;
        self.payload = None;
        self.properties = None;
        self.expiry_interval = None;
        self.connect = None;
        self.items_so_far = None;
        self.receivers.clear();
        self.depth = 0;
        self.publishes = 0;
        self.host_calls = 0;
        self.requests = 0;
        self.password_hashes = 0;
        self.effects.take()
    }

    fn effects(&mut self) -> &mut Effects {
        self.effects.get_or_insert_default()
    }
}

/// What a call has set beside its verdict.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) reply: Option<Box<Reply>>,
    pub(super) overrides: Option<Box<ConnectOverrides>>,
    pub(super) modification: Option<Box<tidegate::plugin::types::Modification>>,
    pub(super) changes: Option<Box<PropertyChanges>>,
    pub(super) choices: Option<Box<Choices>>,
}

/// A linker with every host service.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostData>> {
    let mut linker = Linker::new(engine);
    Plugin::add_to_linker::<_, HasSelf<HostData>>(&mut linker, |data| data)?;
    preview1::add_to_linker(&mut linker)?;
    Ok(linker)
}

impl tidegate::plugin::types::Host for HostData {}

impl HostData {
    /// To be called by each service that costs the broker something. A call that asks too often ends: the time
    /// that the broker spends for it is not the plugin's own, so that its deadline comes late.
    #[inline]
    pub(super) fn count_host_call(&mut self) -> wasmtime::Result<()> {
        self.call.host_calls += 1;
        let most = self.services.host_calls_per_call;
        if self.call.host_calls > most {
            return refuse(format!("more than {most} host calls in one call (`host-calls-per-call`)"));
        }
        Ok(())
    }
}

/// An error that ends the call like a trap, for arguments that no sane plugin passes.
fn refuse<T>(why: String) -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(why))
}

fn user_properties(properties: &[(ByteString, ByteString)]) -> Vec<tidegate::plugin::types::UserProperty> {
    properties
        .iter()
        .map(|(name, value)| tidegate::plugin::types::UserProperty {
            name: name.to_string(),
            value: value.to_string(),
        })
        .collect()
}

/// MQTT strings hold at most 65535 bytes and no U+0000.
fn mqtt_string(text: String) -> wasmtime::Result<ByteString> {
    if text.len() > usize::from(u16::MAX) || text.contains('\0') {
        return refuse(
            "a string that MQTT cannot carry: it has U+0000 in it or more than 65535 bytes".into(),
        );
    }
    Ok(ByteString::from(text))
}

fn mqtt_user_properties(
    properties: Vec<tidegate::plugin::types::UserProperty>,
) -> wasmtime::Result<Vec<(ByteString, ByteString)>> {
    properties.into_iter().map(|p| Ok((mqtt_string(p.name)?, mqtt_string(p.value)?))).collect()
}
