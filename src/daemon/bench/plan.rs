//! What is asked for.

use std::time::Duration;

use super::{BenchArguments, Scenario};
use crate::client::Options;
use crate::daemon::exit::Failure;
use crate::packet::{ProtocolVersion, QoS};

#[derive(Clone)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) clients: u32,
    pub(super) publishers: u32,
    pub(super) subscribers: u32,
    pub(super) qos: QoS,
    pub(super) size: usize,
    pub(super) window: u32,
    /// Messages per second of each publisher.
    pub(super) rate: Option<f64>,
    pub(super) seconds: Duration,
    pub(super) warm_up: Duration,
    /// For each session that is away.
    pub(super) messages: u32,
    pub(super) concurrency: u32,
    pub(super) threads: u32,
    pub(super) topic: String,
    /// Of this run; part of all Client Identifiers, so that two at the same broker do not take each other's sessions over.
    run: u32,
    options: Options,
}

/// Seconds that the sessions of a run are kept which broke off.
const KEPT: u32 = 600;

impl Plan {
    pub(super) fn new(arguments: &BenchArguments) -> Result<Plan, Failure> {
        if arguments.scenario == Scenario::Offline && arguments.qos == QoS::AtMostOnce {
            return Err(Failure::usage("nothing waits for who is away at QoS 0; add -q 1"));
        }
        let mut options = arguments.client.options(arguments.client.version(false))?;
        options.reconnect = None;
        options.topic_aliases = 0;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let half = u32::try_from(processors / 2).unwrap_or(1).max(1);
        let subscribers = match arguments.scenario {
            Scenario::Connect | Scenario::Publish => 0,
            Scenario::Pairs => arguments.publishers,
            _ => arguments.subscribers,
        };
        Ok(Plan {
            scenario: arguments.scenario,
            clients: arguments.clients,
            publishers: if arguments.scenario == Scenario::Connect { 0 } else { arguments.publishers },
            subscribers,
            qos: arguments.qos,
            size: arguments.size as usize,
            window: arguments.window,
            rate: arguments.rate,
            seconds: arguments.seconds,
            warm_up: arguments.warm_up,
            messages: arguments.messages,
            concurrency: arguments.concurrency,
            threads: arguments.threads.unwrap_or(half),
            topic: arguments.topic.clone(),
            run: fastrand::u32(..),
            options,
        })
    }

    /// For a client of this role and number.
    pub(super) fn options(&self, role: &str, number: u32) -> Options {
        let mut options = self.options.clone();
        options.connect.client_identifier = format!("bench-{:08x}-{role}-{number}", self.run).into();
        options.maximum_in_flight = u16::try_from(self.window).unwrap_or(u16::MAX);
        options
    }

    /// The same for a session that outlives its connection.
    pub(super) fn kept_options(&self, role: &str, number: u32) -> Options {
        let mut options = self.options(role, number);
        options.connect.clean_start = false;
        if options.connect.protocol_version == ProtocolVersion::V5 {
            options.connect.session_expiry_interval = Some(KEPT);
        }
        options
    }

    /// Those of the numbers below `count` that are a thread's.
    pub(super) fn share(&self, thread: u32, count: u32) -> impl Iterator<Item = u32> + use<> {
        (thread..count).step_by(self.threads as usize)
    }

    pub(super) fn topic_of(&self, publisher: u32) -> String {
        format!("{}/{:08x}/{publisher}", self.topic, self.run)
    }

    /// What a subscriber subscribes to.
    pub(super) fn filter_of(&self, subscriber: u32) -> String {
        let all = || format!("{}/{:08x}/+", self.topic, self.run);
        match self.scenario {
            Scenario::Pairs | Scenario::Offline => self.topic_of(subscriber),
            Scenario::Shared => format!("$share/bench/{}", all()),
            _ => all(),
        }
    }

    pub(super) fn server(&self) -> String {
        self.options.connector.describe()
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.options.connect.protocol_version
    }
}
