//! How the state of plugins outlives the process: what was kept of it, and the way to the storage.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::message::Timestamp;
use crate::storage::{Change, Committer, KeptState, Op, OpenedStorage};

/// The state of all plugins in the storage. Without a storage there is none, and nothing is kept.
#[derive(Clone, Default)]
pub struct KeptStates(Option<Arc<Kept>>);

struct Kept {
    committer: Arc<Committer>,
    /// Of plugins that are not loaded, or not any more.
    found: Mutex<HashMap<String, Vec<KeptState>>>,
}

/// The way of one plugin's state to the storage.
pub(super) struct StateKeeper {
    kept: Arc<Kept>,
    plugin: String,
}

impl KeptStates {
    /// Those that a storage held.
    pub fn of(storage: &mut OpenedStorage) -> KeptStates {
        let mut found: HashMap<String, Vec<KeptState>> = HashMap::new();
        for kept in storage.take_state() {
            found.entry(kept.plugin.clone()).or_default().push(kept);
        }
        let committer = storage.committer().clone();
        KeptStates(Some(Arc::new(Kept { committer, found: Mutex::new(found) })))
    }

    /// The keeper for a plugin, and what was kept of it.
    pub(super) fn keeper(&self, plugin: &str) -> Option<(StateKeeper, Vec<KeptState>)> {
        let kept = self.0.as_ref()?;
        let found = kept.found.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
        let keeper = StateKeeper { kept: kept.clone(), plugin: plugin.to_owned() };
        Some((keeper, found.unwrap_or_default()))
    }
}

impl fmt::Debug for KeptStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "KeptStates(..)" } else { "KeptStates(none)" })
    }
}

impl StateKeeper {
    /// What a client is told after a call waits until what the call has set is kept.
    pub(super) fn set(&self, key: &str, value: &[u8], expires: Option<Instant>) {
        let KeptState { plugin, key, value, expires_at } = self.entry(key.to_owned(), value, expires);
        self.kept.committer.promise(Op::Change(Change::PutState { plugin, key, value, expires_at }));
    }

    pub(super) fn delete(&self, key: &str) {
        let (plugin, key) = (self.plugin.clone(), key.to_owned());
        self.kept.committer.promise(Op::Change(Change::DeleteState { plugin, key }));
    }

    /// The plugin is gone, or could not be loaded: it finds its state when it comes again.
    pub(super) fn give_back(&self, entries: impl Iterator<Item = (String, Vec<u8>, Option<Instant>)>) {
        let entries = entries.map(|(key, value, expires)| self.entry(key, &value, expires)).collect();
        let mut found = self.kept.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(self.plugin.clone(), entries);
    }

    fn entry(&self, key: String, value: &[u8], expires: Option<Instant>) -> KeptState {
        let value = Bytes::copy_from_slice(value);
        KeptState { plugin: self.plugin.clone(), key, value, expires_at: expires.map(to_timestamp) }
    }
}

fn to_timestamp(at: Instant) -> Timestamp {
    wall().after(at.saturating_duration_since(Instant::now()))
}

/// None where that is past.
pub(super) fn to_instant(at: Timestamp) -> Option<Instant> {
    let left = wall().until(at);
    if left.is_zero() { None } else { Instant::now().checked_add(left) }
}

fn wall() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
