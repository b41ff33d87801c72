//! Calls a plugin without a broker: for `tidegate plugin test`, `bench` and `run-hook`.
//!
//! A file is loaded, and its hooks are called, by the same code as in the broker: `loader`, `chain`, `instance`.
//! What differs is the world around it ([`Given`]), and that fuel can be metered. A failure is not spoken for by
//! the failure policy but told.

mod answer;
mod around;
mod bench;
mod case;
mod events;
mod expect;
mod fields;
mod given;
mod known;
mod question;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::mpsc::Receiver as Jobs;
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::answer::{Outcome, put_bytes, put_requests};
use self::question::Asked;
use super::chain::{
    Chain, authenticate, authorize, connect, enqueue, not_consumed, publish, subscribe, unsubscribe,
};
use super::engine::Fuel;
use super::error::{PluginError, Problem};
use super::event_batch::EventBatch;
use super::instance::Instance;
use super::keeper::{self, Job};
use super::loader::Loader;
use super::options::{Hook, HostOptions, PluginOptions, QuarantineOptions};
use super::version::{Place, Version, lock};
use super::{events as observers, file};
use crate::hook::{
    AuthenticateContext, AuthorizeContext, ConnectContext, Directory, EnqueueContext, Exchange,
    NotConsumedContext, PublishContext, PublishOutcome, Receiver, Request, RequestLimits, Requests,
    SubscribeContext, UnsubscribeContext, requests,
};
use crate::message::{ApplicationMessage, Timestamp};

pub use self::answer::Found;
pub use self::bench::Price;
pub use self::case::{Case, CaseFile};
pub use self::expect::Difference;
pub(super) use self::given::Given;
pub use self::question::Question;

/// Units of fuel beyond what a call may spend for it to go on, so that it shows how much it does.
const FAR_MORE: u64 = 1_000_000;
/// Wall clock of one call: for slow machines, as what a call costs is told by its fuel.
const PATIENCE: Duration = Duration::from_secs(10);

/// One plugin, ready to be called.
pub struct Harness {
    bytes: Vec<u8>,
    options: PluginOptions,
    fuel: Fuel,
    given: Arc<Given>,
    loader: Loader,
    requests: Requests,
    /// Nobody does the jobs that calls leave behind.
    _jobs: Jobs<Job>,
    version: Arc<Version>,
    chain: Chain,
    /// Events go to an instance of their own, as in the broker.
    observer: Option<Instance>,
}

impl Harness {
    /// Loads the plugin with the settings and grants of the file, and counts the fuel of its calls.
    ///
    /// # Errors
    /// What the broker would say about the plugin.
    pub fn load(
        options: PluginOptions,
        file: &CaseFile,
        cache_dir: Option<PathBuf>,
    ) -> Result<Harness, PluginError> {
        Harness::with(Fuel::Metered, options, file, cache_dir)
    }

    fn with(
        fuel: Fuel,
        mut options: PluginOptions,
        file: &CaseFile,
        cache_dir: Option<PathBuf>,
    ) -> Result<Harness, PluginError> {
        options.settings = file.settings.clone();
        options.grants = file.grants.clone();
        options.budgets.state_keys = file.state_keys.unwrap_or(options.budgets.state_keys);
        options.budgets.state_bytes = file.state_bytes.unwrap_or(options.budgets.state_bytes);
        options.budgets.decision = PATIENCE;
        options.budgets.lifecycle = PATIENCE;
        let refuse = |options: &PluginOptions, problem| PluginError {
            plugin: options.name.clone(),
            path: options.path.clone(),
            problems: vec![problem],
        };
        let bytes = file::read(&options.path, options.budgets.file)
            .map_err(|error| refuse(&options, Problem::unreadable(&error)))?;
        let given = Arc::new(Given::new(file.now_ms, file.seed, file.around.clone()));
        let (requester, requests) = requests(RequestLimits::default());
        let directory: Weak<dyn Directory> = Arc::downgrade(&(given.clone() as Arc<dyn Directory>));
        requests.answer_from(directory);
        let (jobs, waiting_jobs) = keeper::Jobs::new();
        let host = HostOptions {
            cache_dir,
            workers: 0,
            watch: false,
            quarantine: QuarantineOptions {
                failures: u32::MAX,
                probation: Duration::ZERO,
                ..QuarantineOptions::default()
            },
            ..HostOptions::default()
        };
        let loader = Loader::for_harness(given.clone(), fuel, host, requester, jobs)
            .map_err(|error| refuse(&options, Problem::NoHost(error.to_string())))?;
        let version = Arc::new(loader.load_bytes(&bytes, &options)?);
        let chain = Chain::new(vec![version.clone()]);
        Ok(Harness {
            bytes,
            options,
            fuel,
            given,
            loader,
            requests,
            _jobs: waiting_jobs,
            version,
            chain,
            observer: None,
        })
    }

    /// The hooks that can be asked.
    pub fn hooks(&self) -> &[Hook] {
        &self.version.hooks
    }

    /// Asks as the case says, and tells in what the answer differs from what it expects.
    pub fn run(&mut self, case: &Case) -> (Found, Vec<Difference>) {
        self.prepare(case);
        let answer = self.ask(&case.question);
        let differences = self.differences(case, &answer);
        (answer, differences)
    }

    /// Ends calls that spend far more than this, so that one without end shows what it has spent. None: they spend what they
    /// can until their time is over.
    pub fn limit_fuel(&self, most: Option<u64>) {
        let far_more = |most: u64| most.saturating_mul(2).saturating_add(FAR_MORE);
        self.given.set_tank(most.map_or(u64::MAX, far_more));
    }

    fn prepare(&mut self, case: &Case) {
        let state = self.version.lasting.state.clone();
        if case.fresh {
            state.clear();
            self.given.restart();
            self.version.forget_instances();
            self.observer = None;
        }
        self.given.advance(case.after_ms);
        self.given.change_around(&case.around);
        // What a new instance does in its `init` belongs to no call.
        let tank = self.given.tank();
        self.given.set_tank(u64::MAX);
        self.version.make_ready();
        if matches!(case.question.asked, Asked::Events(_)) && self.observer.is_none() {
            self.observer = self.version.own_instance().ok();
        }
        self.given.set_tank(tank);
        let now = self.given.instant();
        for (key, value) in &case.state {
            match value {
                Some(value) => {
                    // What is over the plugin's quota is what it would not have got into its state.
                    let _ = state.set(key.clone(), value.to_vec(), None, now);
                }
                None => drop(state.delete(key, now)),
            }
        }
        for (key, value) in &case.session_items {
            self.given.set_item(key, value.clone().unwrap_or_default());
        }
    }

    fn differences(&self, case: &Case, answer: &Found) -> Vec<Difference> {
        let (state, now) = (&self.version.lasting.state, self.given.instant());
        case.expect.differences(answer, |key| state.get(key, now))
    }

    /// Asks once.
    pub fn ask(&mut self, question: &Question) -> Found {
        self.given.begin();
        let now = Timestamp(self.given.now_ms());
        let outcome = self.call(question);
        let (message, receivers) = about(question);
        let message = message.map(|message| expiring(message, now));
        let mut fields = outcome.describe(message.as_ref(), receivers, now);
        fields.insert("log".into(), self.given.take_log().into());
        put_requests(&mut fields, self.take_requests(), now);
        let (requests, metrics) = self.given.take_did();
        for (key, list) in [("requests", requests), ("metrics", metrics)] {
            if !list.is_empty() {
                fields.insert(key.into(), list.into());
            }
        }
        let items = self.given.items();
        if !items.is_empty() {
            let mut table = answer::Table::new();
            items.iter().for_each(|(key, value)| put_bytes(&mut table, key, value));
            fields.insert("session-items".into(), table.into());
        }
        Found { fields, fuel: (self.fuel == Fuel::Metered).then(|| self.given.fuel()) }
    }

    fn take_requests(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv()).collect()
    }

    /// One call through the chain, which has this plugin alone.
    fn call(&mut self, question: &Question) -> Outcome {
        if let Some(hook) = question.hook()
            && !self.version.has(hook)
        {
            return Outcome::Failed(format!("the plugin does not export the hook `{hook}`"));
        }
        let outcome = self.call_hook(&question.asked);
        match lock(&self.version.lasting.counters.last_failure).take().map(|(_, text)| text) {
            Some(error) => Outcome::Failed(error),
            None => outcome,
        }
    }

    fn call_hook(&mut self, asked: &Asked) -> Outcome {
        const HERE: Place = Place::Inline;
        let now = Timestamp(self.given.now_ms());
        let of = |hook| self.chain.of(hook);
        match asked {
            Asked::Init(settings) => self.init(settings),
            Asked::Connect { client, connect } => {
                let context = ConnectContext { client, connect };
                Outcome::Connect(connect::run(of(Hook::ValidatingConnection), &context, HERE))
            }
            Asked::Authenticate { client, connect, method, data, state } => {
                let owner = Some(self.version.name().into());
                let exchange = state.clone().map(|state| Exchange { owner, state });
                let (connect, data, exchange) = (connect.as_deref(), data.as_ref(), exchange.as_ref());
                let context = AuthenticateContext { client, connect, method, data, exchange };
                Outcome::Authenticate(authenticate::run(of(Hook::ValidatingConnection), &context, HERE))
            }
            Asked::Authorize { client, action, topic, qos, retain } => {
                let (action, qos, retain) = (*action, *qos, *retain);
                let context = AuthorizeContext { client, action, topic, qos, retain };
                let (answer, close) = authorize::run(of(Hook::Authorizer), &context, HERE);
                Outcome::Authorize(answer, close)
            }
            Asked::Publish { client, message } => {
                let message = &expiring(message, now);
                let asked = self.chain.intercepting_publish.asked(&message.topic);
                let is_asked = !asked.is_empty();
                let context = PublishContext { client: client.as_ref(), message, now };
                // A plugin that may wait is here called like any other: nothing is put off.
                let outcome = publish::run(asked, PublishOutcome::default(), &context, HERE);
                Outcome::Publish(outcome.unwrap_or_else(|_| publish::refused()), is_asked)
            }
            Asked::Enqueue { sender, message, receivers } => {
                let message = &expiring(message, now);
                let context = EnqueueContext { sender: sender.as_ref(), message, receivers, now };
                Outcome::Enqueue(enqueue::run(of(Hook::InterceptingClientEnqueue), &context, HERE))
            }
            Asked::Subscribe { client, subscriptions, identifier } => {
                let subscription_identifier = *identifier;
                let context = SubscribeContext { client, subscriptions, subscription_identifier };
                Outcome::Subscribe(subscribe::run(of(Hook::InterceptingSubscription), &context, HERE))
            }
            Asked::Unsubscribe { client, filters } => {
                let context = UnsubscribeContext { client, filters };
                Outcome::Unsubscribe(unsubscribe::run(of(Hook::InterceptingUnsubscription), &context, HERE))
            }
            Asked::NotConsumed { client, message, why } => {
                let message = &expiring(message, now);
                let asked = self.chain.not_consumed.asked(&message.topic);
                let is_asked = !asked.is_empty();
                let context = NotConsumedContext { client: client.as_ref(), message, why: *why, now };
                Outcome::NotConsumed(not_consumed::run(asked, &context, HERE), is_asked)
            }
            Asked::Events(events) => {
                let mut batch = EventBatch::default();
                for event in events {
                    let mut event = event.clone();
                    if event.time == Timestamp::default() {
                        event.time = now;
                    }
                    batch.push(&event);
                }
                self.observe(&batch)
            }
        }
    }

    fn observe(&mut self, batch: &EventBatch) -> Outcome {
        let instance = match self.observer.take() {
            Some(instance) => Ok(instance),
            None => self.version.own_instance(),
        };
        let handed_over = instance.and_then(|mut instance| {
            observers::hand_over(&self.version, &mut instance, batch)?;
            Ok(instance)
        });
        match handed_over {
            Ok(instance) => {
                self.observer = Some(instance);
                Outcome::Observed
            }
            Err(error) => Outcome::Failed(format!("events: {error}")),
        }
    }

    /// A start with other settings; the plugin that is asked stays the one that it is.
    fn init(&self, settings: &serde_json::Value) -> Outcome {
        let options = PluginOptions { settings: settings.clone(), ..self.options.clone() };
        match self.loader.load_bytes(&self.bytes, &options) {
            Ok(version) => Outcome::Ready {
                topics: version.topics().iter().map(|filter| filter.as_str().to_owned()).collect(),
                authorize_deliveries: version.authorize_deliveries,
            },
            Err(error) => match &error.problems[..] {
                [Problem::Refused(why)] => Outcome::Refused(why.clone()),
                _ => Outcome::Failed(error.to_string()),
            },
        }
    }
}

/// A message whose time is counted from now.
fn expiring(message: &ApplicationMessage, now: Timestamp) -> ApplicationMessage {
    let seconds = message.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
    ApplicationMessage { expires_at: seconds.map(|seconds| now.after_secs(seconds)), ..message.clone() }
}

/// What a question is about, as far as the answer has to repeat it.
fn about(question: &Question) -> (Option<&ApplicationMessage>, &[Receiver]) {
    match &question.asked {
        Asked::Publish { message, .. } | Asked::NotConsumed { message, .. } => (Some(message), &[]),
        Asked::Enqueue { message, receivers, .. } => (Some(message), receivers),
        _ => (None, &[]),
    }
}
