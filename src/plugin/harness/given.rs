//! The world of a plugin that is called without a broker: a clock that stands still until it is moved, chance
//! that comes from a seed, a log that is kept, sessions with items, and the fuel that a call has spent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::version::lock;
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
    /// Guards the items of the one session that there is.
    items: Mutex<SessionItems>,
}

impl Given {
    pub(super) fn new(start_ms: u64, seed: u64) -> Given {
        Given {
            start_ms,
            seed,
            base: Instant::now(),
            passed: AtomicU64::new(0),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            log: Mutex::default(),
            fuel: AtomicU64::new(0),
            items: Mutex::default(),
        }
    }

    /// As it was in the beginning.
    pub(super) fn restart(&self) {
        self.passed.store(0, Ordering::Relaxed);
        *lock(&self.random) = fastrand::Rng::with_seed(self.seed);
        lock(&self.items).clear();
    }

    pub(super) fn advance(&self, milliseconds: u64) {
        self.passed.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// For the next call.
    pub(super) fn begin(&self) {
        lock(&self.log).clear();
        self.fuel.store(0, Ordering::Relaxed);
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.log))
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

    pub(in crate::plugin) fn spent(&self, fuel: u64) {
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
    }
}

/// A broker with one session and nothing else.
impl Directory for Given {
    fn session(&self, _client_identifier: &str) -> Option<ClientStatus> {
        None
    }

    fn sessions(&self, _after: Option<&str>, _limit: usize, _only: Sessions) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn retained(&self, _topic: &TopicName) -> Option<Arc<ApplicationMessage>> {
        None
    }

    fn retained_topics(
        &self,
        _filter: &TopicFilter,
        _after: Option<&TopicName>,
        _limit: usize,
        _granted: &dyn Fn(&TopicName) -> bool,
    ) -> Vec<TopicName> {
        Vec::new()
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
