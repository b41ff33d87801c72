//! One version of a plugin: its instances, one per worker thread and a spare, and how it is called.
//!
//! A thread takes its own slot's instance without waiting; where that is in use, it takes another slot's,
//! the spare, or a new one. An instance that failed is thrown away; a thread in the background makes new
//! spares. A plugin that imports a service that waits is called in another way, see `waiting`.

mod counts;
mod handover;
mod supply;
mod waiting;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::engine::Clock;
use super::error::{CallError, Problem};
use super::host::{Call, Effects};
use super::instance::{Blueprint, Instance, Needs};
use super::keeper::{Job, Jobs};
use super::options::{FailurePolicy, Hook, PluginOptions, QuarantineOptions};
use super::policy::{Admission, Health};
use super::tally::{Tally, Verdict};
use crate::topic::{TopicFilter, TopicFilters, TopicName};
pub(super) use counts::Lasting;
use waiting::Waiting;

/// The default of `registration.eager-payload`.
const EAGER_PAYLOAD: u32 = 16_384;

pub(super) struct Version {
    pub(super) options: PluginOptions,
    /// Counts the loads of this plugin, from 1.
    pub(super) number: u64,
    pub(super) sha256: String,
    /// Exported, and wanted by the configuration.
    pub(super) hooks: Vec<Hook>,
    pub(super) authorize_deliveries: bool,
    pub(super) lasting: Arc<Lasting>,
    pub(super) health: Health,
    /// The version that this one replaced, for the policy `last-good`.
    pub(super) previous: Mutex<Option<Arc<Version>>>,
    /// A job to go back to it is on its way.
    rolling_back: AtomicBool,
    eager_payload: usize,
    /// Messages of other topics are kept away; empty: every topic is for the plugin.
    topics: Vec<TopicFilter>,
    /// The same, to look a topic up.
    wanted: Option<TopicFilters>,
    /// What `init` registered, where `topics` are those of the configuration: one of these has to match too.
    also: Option<TopicFilters>,
    blueprint: Blueprint,
    /// It imports a service that waits. It has no slots then.
    waiting: Option<Waiting>,
    slots: Box<[Slot]>,
    /// Guards the spares; held to push or pop one.
    spares: Mutex<Vec<Instance>>,
    /// Guards the counts of calls that are made on no slot; not held during a call.
    other_calls: Mutex<Tally>,
    /// When it was put in force, in milliseconds since 1970.
    since: AtomicU64,
    clock: Arc<Clock>,
    jobs: Jobs,
}

/// On a cache line of its own: each is used by about one thread.
#[repr(align(128))]
#[derive(Default)]
struct Slot {
    /// Guards the instance; held during a call, and only ever tried on packet threads.
    instance: Mutex<Option<Instance>>,
    /// Written by who holds the instance.
    tally: Tally,
}

/// What a version is made of beside its blueprint.
pub(super) struct Parts {
    pub(super) options: PluginOptions,
    pub(super) number: u64,
    pub(super) sha256: String,
    pub(super) hooks: Vec<Hook>,
    pub(super) lasting: Arc<Lasting>,
    pub(super) quarantine: QuarantineOptions,
    pub(super) clock: Arc<Clock>,
    pub(super) jobs: Jobs,
}

impl Version {
    /// Instantiates for every slot and a spare. Takes as long as the plugin's `init` does.
    pub(super) fn new(parts: Parts, blueprint: Blueprint, workers: usize) -> Result<Version, Vec<Problem>> {
        parts.clock.touch();
        let (probe, registration) = blueprint.instantiate()?;
        let registered = topics(&registration.topics)?;
        let configured = &parts.options.topics;
        // Who calls it by itself may wait itself.
        let waiting = if workers == 0 { None } else { waiting(&parts.options, &blueprint)? };
        let slots = if waiting.is_some() { 0 } else { workers.max(1) };
        let also = (!configured.is_empty() && !registered.is_empty()).then(|| registered.iter().collect());
        let topics = if configured.is_empty() { registered } else { configured.clone() };
        let mut version = Version {
            health: Health::new(parts.quarantine, &parts.options.name, parts.number),
            authorize_deliveries: registration.authorize_deliveries,
            eager_payload: registration.eager_payload.unwrap_or(EAGER_PAYLOAD) as usize,
            wanted: (!topics.is_empty()).then(|| topics.iter().collect()),
            topics,
            also,
            blueprint,
            waiting,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            spares: Mutex::default(),
            other_calls: Mutex::default(),
            since: AtomicU64::new(0),
            previous: Mutex::new(None),
            rolling_back: AtomicBool::new(false),
            options: parts.options,
            number: parts.number,
            sha256: parts.sha256,
            hooks: parts.hooks,
            lasting: parts.lasting,
            clock: parts.clock,
            jobs: parts.jobs,
        };
        if workers == 0 {
            version.slots[0].instance = Mutex::new(Some(probe));
            return Ok(version);
        }
        version.spares().push(probe);
        for slot in &mut version.slots {
            version.clock.touch();
            let (instance, _) = version.blueprint.instantiate()?;
            slot.instance = Mutex::new(Some(instance));
        }
        Ok(version)
    }

    pub(super) fn name(&self) -> &str {
        &self.options.name
    }

    pub(super) fn has(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }

    pub(super) fn policy(&self, hook: Hook) -> FailurePolicy {
        self.options.policies.of(hook)
    }

    pub(super) fn needs(&self) -> Needs {
        self.blueprint.needs
    }

    /// About whose clients it is asked; empty: about all.
    pub(super) fn listeners(&self) -> &[String] {
        &self.options.listeners
    }

    /// One of these has to match for a message to be for the plugin; empty: every message is.
    pub(super) fn topics(&self) -> &[TopicFilter] {
        &self.topics
    }

    /// Whether a message is for the plugin.
    pub(super) fn wants(&self, topic: &TopicName) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.matches_any(topic.as_str())) && self.also_wants(topic)
    }

    /// Whether a message is for the plugin that one of [`topics`](Self::topics) matches.
    #[inline]
    pub(super) fn also_wants(&self, topic: &TopicName) -> bool {
        self.also.as_ref().is_none_or(|also| also.matches_any(topic.as_str()))
    }

    /// Not on a thread that serves connections: it is on probation, or may wait.
    #[inline]
    pub(super) fn must_go_aside(&self) -> bool {
        self.waiting.is_some() || self.is_on_probation()
    }

    #[inline]
    pub(super) fn is_on_probation(&self) -> bool {
        self.health.admission() == Admission::Aside
    }

    /// Present where it may wait.
    #[inline]
    pub(super) fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// The payload where it is passed with a call.
    #[inline]
    pub(super) fn eager<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        (payload.len() <= self.eager_payload).then_some(payload)
    }

    /// Calls a hook on some instance. `about` notes what the call is about, `work` makes it and checks the
    /// answer; where that fails, the instance is thrown away, the failure noted, and the policy that answers
    /// returned.
    #[inline]
    pub(super) fn call<T: Verdict>(
        &self,
        hook: Hook,
        place: Place,
        about: impl FnOnce(&mut Call),
        work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
    ) -> Result<(T, Option<Box<Effects>>), FailurePolicy> {
        if self.is_refused(place) {
            self.lasting.counters.refused[hook.index()].fetch_add(1, Ordering::Relaxed);
            return Err(self.policy_in_force(hook, true));
        }
        match self.try_call(hook, about, work) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.failed(hook, &error);
                Err(self.policy_in_force(hook, true))
            }
        }
    }

    #[inline]
    fn is_refused(&self, place: Place) -> bool {
        match self.health.admission() {
            Admission::Call => place == Place::NoRoomAside && self.waiting.is_some(),
            Admission::Aside => place == Place::NoRoomAside,
            Admission::Refuse => true,
        }
    }

    #[inline]
    fn try_call<T: Verdict>(
        &self,
        hook: Hook,
        about: impl FnOnce(&mut Call),
        work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
    ) -> Result<(T, Option<Box<Effects>>), CallError> {
        if let Some(waiting) = &self.waiting {
            return self.call_waiting(hook, waiting, about, work);
        }
        self.clock.touch();
        let (others, own) = self.slots.split_at(self.own_slot());
        for slot in own.iter().chain(others) {
            let mut guard = match slot.instance.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Poisoned(poisoned)) => without_instance(slot, poisoned.into_inner()),
            };
            let instance = match &mut *guard {
                Some(instance) => instance,
                empty => empty.insert(self.spare_or_new()?),
            };
            let begun = slot.tally.begin(hook);
            let outcome = run(instance, about, work);
            slot.tally.end(hook, begun, answer_of(&outcome));
            slot.tally.note_fuel(hook, instance.spent());
            if outcome.is_err() {
                *guard = None;
            }
            return outcome;
        }
        self.call_on_spare(hook, about, work)
    }

    /// The slot that this thread tries first.
    #[inline]
    fn own_slot(&self) -> usize {
        let number = thread_number();
        // As a rule there is a slot for every thread, and no division.
        if number < self.slots.len() { number } else { number % self.slots.len() }
    }

    /// More threads call than there are slots.
    #[cold]
    fn call_on_spare<T: Verdict>(
        &self,
        hook: Hook,
        about: impl FnOnce(&mut Call),
        work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
    ) -> Result<(T, Option<Box<Effects>>), CallError> {
        let mut instance = self.spare_or_new()?;
        let outcome = self.run_counted(hook, &mut instance, about, work)?;
        self.spares().push(instance);
        Ok(outcome)
    }

    /// On an instance of no slot.
    fn run_counted<T: Verdict>(
        &self,
        hook: Hook,
        instance: &mut Instance,
        about: impl FnOnce(&mut Call),
        work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
    ) -> Result<(T, Option<Box<Effects>>), CallError> {
        let begun = lock(&self.other_calls).begin(hook);
        let outcome = run(instance, about, work);
        let others = lock(&self.other_calls);
        others.end(hook, begun, answer_of(&outcome));
        others.note_fuel(hook, instance.spent());
        outcome
    }

    /// Passes something on, on an instance of `own_instance`, in the time of a `lifecycle` call.
    pub(super) fn call_own(
        &self,
        hook: Hook,
        instance: &mut Instance,
        work: impl FnOnce(&mut Instance) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        self.clock.touch();
        let begun = lock(&self.other_calls).begin(hook);
        instance.begin_within(self.options.budgets.lifecycle);
        let outcome = work(instance);
        instance.end_metering();
        instance.store.data_mut().call.end();
        let others = lock(&self.other_calls);
        others.end(hook, begun, None::<&()>);
        others.note_fuel(hook, instance.spent());
        outcome
    }

    /// Counts and logs a failure, and draws the consequences for calls to come.
    #[cold]
    pub(super) fn failed(&self, hook: Hook, error: &CallError) {
        let counters = &self.lasting.counters;
        let (plugin, version) = (self.name(), self.number);
        let text = counters.failed(version, hook, error);
        tracing::error!(plugin, %hook, version, kind = error.kind().name(), error = text, "plugin failed");
        if let Some(back_off) = self.health.failed(error.may_have_taken_long(), Instant::now()) {
            counters.quarantines.fetch_add(1, Ordering::Relaxed);
            tracing::error!(plugin, %hook, version, ?back_off, "plugin is in quarantine");
        }
        self.jobs.send(Job::Refill(self.key()));
    }

    /// What answers for this hook now; `last-good` sets the way back in motion.
    fn policy_in_force(&self, hook: Hook, go_back: bool) -> FailurePolicy {
        match self.policy(hook) {
            FailurePolicy::LastGood => {
                if go_back
                    && lock(&self.previous).is_some()
                    && !self.rolling_back.swap(true, Ordering::Relaxed)
                {
                    self.jobs.send(Job::GoBack(self.key()));
                }
                FailurePolicy::Deny
            }
            policy => policy,
        }
    }

    fn key(&self) -> (String, u64) {
        (self.options.name.clone(), self.number)
    }

    /// Makes its budgets those of what outlasts versions.
    pub(super) fn take_over(&self) {
        self.keep_instances(true);
        let budgets = &self.options.budgets;
        self.lasting.state.set_quota(budgets.state_keys, budgets.state_bytes);
        self.lasting.log_rate.set(budgets.log_lines_per_second);
    }

    /// It is in force from now on.
    pub(super) fn begins(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.since.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since when it is in force.
    pub(super) fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.since.load(Ordering::Relaxed))
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Instance>> {
        lock(&self.spares)
    }
}

/// Where a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the thread that serves the connection.
    Inline,
    /// On a thread for plugins that are on probation, or for one that may wait.
    Aside,
    /// On the connection's thread because too many wait for the other: plugins that belong there are not
    /// called.
    NoRoomAside,
}

#[inline]
fn run<T>(
    instance: &mut Instance,
    about: impl FnOnce(&mut Call),
    work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
) -> Result<(T, Option<Box<Effects>>), CallError> {
    instance.begin();
    about(&mut instance.store.data_mut().call);
    let answer = work(instance);
    instance.end_metering();
    Ok((answer?, instance.store.data_mut().call.end()))
}

#[inline]
fn answer_of<T>(outcome: &Result<(T, Option<Box<Effects>>), CallError>) -> Option<&T> {
    outcome.as_ref().ok().map(|(answer, _)| answer)
}

/// A panic during a call leaves an instance that nobody may call.
#[cold]
fn without_instance<'a>(
    slot: &'a Slot,
    mut guard: MutexGuard<'a, Option<Instance>>,
) -> MutexGuard<'a, Option<Instance>> {
    *guard = None;
    slot.instance.clear_poison();
    guard
}

/// What a plugin that may wait needs; none for others.
fn waiting(options: &PluginOptions, blueprint: &Blueprint) -> Result<Option<Waiting>, Vec<Problem>> {
    if blueprint.services.clock.is_none() {
        return Ok(None);
    }
    let waiting = Waiting::new(&options.name, options.budgets.calls_at_once as usize);
    waiting.map(Some).map_err(|error| vec![Problem::NoHost(error.to_string())])
}

fn topics(filters: &[String]) -> Result<Vec<TopicFilter>, Vec<Problem>> {
    let mut legal = Vec::with_capacity(filters.len());
    let mut problems = Vec::new();
    for filter in filters {
        match TopicFilter::try_from(filter.as_str()) {
            Ok(filter) => legal.push(filter),
            Err(reason) => {
                let (filter, reason) = (filter.clone(), reason.to_string());
                problems.push(Problem::IllegalTopic { filter, reason });
            }
        }
    }
    if problems.is_empty() { Ok(legal) } else { Err(problems) }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small numbers, one per thread.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
