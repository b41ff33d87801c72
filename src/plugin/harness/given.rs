//! The world of a plugin that is called without a broker: a clock that stands still until it is moved, chance
//! that comes from a seed, a log that is kept, a session with items, what is around it, and the fuel that a call
//! has spent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use serde_json::Value;

use super::super::bindings::tidegate::plugin::http::{Error, Request, Response};
use super::super::version::lock;
use super::around::{Around, as_written, shown_metric, shown_request};
use crate::hook::{ClientInfo, ClientStatus, Directory, SessionItemError, SessionItems, Sessions};
use crate::message::ApplicationMessage;
use crate::topic::{TopicFilter, TopicName};

pub(in crate::plugin) struct Given {
    /// Milliseconds since 1970-01-01T00:00:00Z, when it begins.
    start_ms: u64,
    seed: u64,
    base: Instant,
    /// Milliseconds since it began.
    passed: AtomicU64,
    random: Mutex<fastrand::Rng>,
    /// Guards the lines of the current call.
    log: Mutex<Vec<String>>,
    fuel: AtomicU64,
    /// What a call may spend before it is ended.
    tank: AtomicU64,
    /// Guards the items of the session of the client that calls are about.
    items: Mutex<SessionItems>,
    /// Guards what lookups and requests find, from case to case.
    around: Mutex<Around>,
    around_at_start: Around,
    /// Guards what the current call did: its requests, and its numbers for the metrics.
    did: Mutex<Did>,
}

/// What has no place in a verdict and is asked of no broker, in the words of a case.
#[derive(Default)]
struct Did {
    requests: Vec<Value>,
    metrics: Vec<Value>,
}

impl Given {
    pub(super) fn new(start_ms: u64, seed: u64, around: Around) -> Given {
        Given {
            start_ms,
            seed,
            base: Instant::now(),
            passed: AtomicU64::new(0),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            log: Mutex::default(),
            fuel: AtomicU64::new(0),
            tank: AtomicU64::new(u64::MAX),
            items: Mutex::default(),
            around: Mutex::new(around.clone()),
            around_at_start: around,
            did: Mutex::default(),
        }
    }

    /// As it was in the beginning.
    pub(super) fn restart(&self) {
        self.passed.store(0, Ordering::Relaxed);
        *lock(&self.random) = fastrand::Rng::with_seed(self.seed);
        lock(&self.items).clear();
        *lock(&self.around) = self.around_at_start.clone();
    }

    pub(super) fn change_around(&self, around: &Around) {
        lock(&self.around).take_over(around);
    }

    pub(super) fn advance(&self, milliseconds: u64) {
        self.passed.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// For the next call.
    pub(super) fn begin(&self) {
        lock(&self.log).clear();
        *lock(&self.did) = Did::default();
        self.fuel.store(0, Ordering::Relaxed);
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.log))
    }

    /// Requests and numbers of the current call.
    pub(super) fn take_did(&self) -> (Vec<Value>, Vec<Value>) {
        let Did { requests, metrics } = std::mem::take(&mut *lock(&self.did));
        (requests, metrics)
    }

    pub(super) fn set_tank(&self, tank: u64) {
        self.tank.store(tank, Ordering::Relaxed);
    }

    pub(in crate::plugin) fn tank(&self) -> u64 {
        self.tank.load(Ordering::Relaxed)
    }

    pub(super) fn fuel(&self) -> u64 {
        self.fuel.load(Ordering::Relaxed)
    }

    pub(super) fn items(&self) -> BTreeMap<String, Bytes> {
        lock(&self.items).iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn set_item(&self, key: &str, value: Bytes) {
        lock(&self.items).insert(key.to_owned(), value);
    }

    pub(in crate::plugin) fn now_ms(&self) -> u64 {
        self.start_ms.saturating_add(self.passed.load(Ordering::Relaxed))
    }

    pub(in crate::plugin) fn instant(&self) -> Instant {
        let passed = Duration::from_millis(self.passed.load(Ordering::Relaxed));
        self.base.checked_add(passed).unwrap_or(self.base)
    }

    pub(in crate::plugin) fn fill(&self, bytes: &mut [u8]) {
        lock(&self.random).fill(bytes);
    }

    pub(in crate::plugin) fn log(&self, line: String) {
        lock(&self.log).push(line);
    }

    /// Answers as the case says.
    pub(in crate::plugin) fn answer(&self, request: &Request) -> Result<Response, Error> {
        let number = {
            let requests = &mut lock(&self.did).requests;
            requests.push(shown_request(request));
            requests.len() - 1
        };
        lock(&self.around).answer(number)
    }

    pub(in crate::plugin) fn counted(&self, name: &str, labels: &[(String, String)], by: u64) {
        lock(&self.did).metrics.push(shown_metric("count", name, labels, by.into()));
    }

    /// `kind` is `gauge` or `observe`.
    pub(in crate::plugin) fn noted(&self, kind: &str, name: &str, labels: &[(String, String)], value: f64) {
        lock(&self.did).metrics.push(shown_metric(kind, name, labels, as_written(value)));
    }

    pub(in crate::plugin) fn spent(&self, fuel: u64) {
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
    }
}

/// A broker with the sessions and retained messages that are given.
impl Directory for Given {
    fn session(&self, client_identifier: &str) -> Option<ClientStatus> {
        lock(&self.around).session(client_identifier)
    }

    fn sessions(&self, after: Option<&str>, limit: usize, only: Sessions) -> Vec<Arc<str>> {
        lock(&self.around).sessions(after, limit, only)
    }

    fn retained(&self, topic: &TopicName) -> Option<Arc<ApplicationMessage>> {
        lock(&self.around).retained(topic)
    }

    fn retained_topics(
        &self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        limit: usize,
        granted: &dyn Fn(&TopicName) -> bool,
    ) -> Vec<TopicName> {
        lock(&self.around).retained_topics(filter, after, limit, granted)
    }

    fn session_item(&self, _client: &ClientInfo, key: &str) -> Option<Bytes> {
        lock(&self.items).get(key).cloned()
    }

    fn set_session_item(
        &self,
        _client: &ClientInfo,
        key: String,
        value: Bytes,
    ) -> Result<(), SessionItemError> {
        lock(&self.items).insert(key, value);
        Ok(())
    }

    fn delete_session_item(&self, _client: &ClientInfo, key: &str) -> bool {
        lock(&self.items).remove(key).is_some()
    }
}
