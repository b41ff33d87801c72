//! `state`: the plugin's memory beyond one call and one instance.
//!
//! It lies in the broker's memory, is shared by all instances and survives reloads; where the broker keeps its state in
//! a storage, so is the plugin's. Every plugin has its own, with a quota of keys and bytes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::state::{Error, Host};
use crate::plugin::kept_state::{StateKeeper, to_instant};
use crate::storage::KeptState;

impl Host for HostData {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.count_host_call()?;
        Ok(self.services.state.get(&key, self.services.instant()))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.count_host_call()?;
        let ttl = ttl_ms.map(Duration::from_millis);
        Ok(self.services.state.set(key, value, ttl, self.services.instant()))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        self.count_host_call()?;
        Ok(self.services.state.delete(&key, self.services.instant()))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        old: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        self.count_host_call()?;
        Ok(self.services.state.compare_and_set(key, old.as_deref(), new, self.services.instant()))
    }

    fn atomic_add(&mut self, key: String, delta: i64) -> wasmtime::Result<Result<i64, Error>> {
        self.count_host_call()?;
        Ok(self.services.state.atomic_add(key, delta, self.services.instant()))
    }

    fn scan(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Vec<String>> {
        self.count_host_call()?;
        Ok(self.services.state.scan(&prefix, (limit as usize).min(MOST_SCANNED), self.services.instant()))
    }
}

/// A scan that takes long would hold up the other instances.
const MOST_SCANNED: usize = 10_000;

/// The key-value memory of one plugin.
pub(in crate::plugin) struct State {
    quota_keys: AtomicUsize,
    quota_bytes: AtomicUsize,
    /// Guards the entries and their sum; held for one operation.
    entries: Mutex<Entries>,
    /// Told under the lock of the entries, so that the storage sees the changes in their order.
    keeper: Option<StateKeeper>,
}

#[derive(Default)]
struct Entries {
    by_key: BTreeMap<String, Entry>,
    /// Of keys and values.
    bytes: usize,
}

struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

impl State {
    pub(in crate::plugin) fn new(quota_keys: usize, quota_bytes: usize) -> State {
        let (quota_keys, quota_bytes) = (quota_keys.into(), quota_bytes.into());
        State { quota_keys, quota_bytes, entries: Mutex::default(), keeper: None }
    }

    /// Begins with what was kept, whatever the quota is now, and keeps what comes.
    pub(in crate::plugin) fn kept(mut self, keeper: StateKeeper, found: Vec<KeptState>) -> State {
        let mut entries = Entries::default();
        for KeptState { key, value, expires_at, .. } in found {
            let expires = expires_at.map(to_instant);
            if expires == Some(None) {
                keeper.delete(&key);
                continue;
            }
            entries.bytes += key.len() + value.len();
            entries.by_key.insert(key, Entry { value: value.into(), expires: expires.flatten() });
        }
        self.entries = Mutex::new(entries);
        self.keeper = Some(keeper);
        self
    }

    /// What is over a lower quota stays, and nothing is added.
    pub(in crate::plugin) fn set_quota(&self, keys: usize, bytes: usize) {
        self.quota_keys.store(keys, Ordering::Relaxed);
        self.quota_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Keys, and bytes of keys and values; what has expired counts until its room is needed.
    pub(in crate::plugin) fn size(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.by_key.len(), entries.bytes)
    }

    pub(in crate::plugin) fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        self.lock().live(key, now).cloned()
    }

    /// `ttl`: none is for ever.
    pub(in crate::plugin) fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<(), Error> {
        // A time to live beyond what the clock can tell is for ever.
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        self.put(&mut self.lock(), key, Entry { value, expires }, now)
    }

    pub(in crate::plugin) fn delete(&self, key: &str, now: Instant) -> bool {
        let mut entries = self.lock();
        let was_live = entries.live(key, now).is_some();
        self.remove(&mut entries, key);
        was_live
    }

    /// A key that was there keeps its time to live.
    fn compare_and_set(
        &self,
        key: String,
        old: Option<&[u8]>,
        new: Option<Vec<u8>>,
        now: Instant,
    ) -> Result<bool, Error> {
        let mut entries = self.lock();
        if entries.live(&key, now).map(Vec::as_slice) != old {
            return Ok(false);
        }
        match new {
            Some(value) => {
                let expires = entries.expires(&key, now);
                self.put(&mut entries, key, Entry { value, expires }, now)?;
            }
            None => self.remove(&mut entries, &key),
        }
        Ok(true)
    }

    /// A counter keeps the time to live that it was set with.
    fn atomic_add(&self, key: String, delta: i64, now: Instant) -> Result<i64, Error> {
        let mut entries = self.lock();
        let value: i64 = match entries.live(&key, now) {
            None => 0,
            Some(value) => decimal(value).ok_or(Error::NotANumber)?,
        };
        let sum = value.wrapping_add(delta);
        let expires = entries.expires(&key, now);
        self.put(&mut entries, key, Entry { value: sum.to_string().into_bytes(), expires }, now)?;
        Ok(sum)
    }

    fn scan(&self, prefix: &str, limit: usize, now: Instant) -> Vec<String> {
        let entries = self.lock();
        entries
            .by_key
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, entry)| entry.is_live(now))
            .map(|(key, _)| key.clone())
            .take(limit)
            .collect()
    }

    fn put(&self, entries: &mut Entries, key: String, entry: Entry, now: Instant) -> Result<(), Error> {
        if !self.fits(entries, &key, &entry) {
            let gone = entries.remove_expired(now);
            if let Some(keeper) = &self.keeper {
                gone.iter().for_each(|key| keeper.delete(key));
            }
            if !self.fits(entries, &key, &entry) {
                return Err(Error::QuotaExceeded);
            }
        }
        entries.remove(&key);
        entries.bytes += key.len() + entry.value.len();
        if let Some(keeper) = &self.keeper {
            keeper.set(&key, &entry.value, entry.expires);
        }
        entries.by_key.insert(key, entry);
        Ok(())
    }

    fn remove(&self, entries: &mut Entries, key: &str) {
        if entries.remove(key)
            && let Some(keeper) = &self.keeper
        {
            keeper.delete(key);
        }
    }

    fn fits(&self, entries: &Entries, key: &str, entry: &Entry) -> bool {
        let replaced = entries.by_key.get(key);
        let freed = replaced.map_or(0, |old| key.len() + old.value.len());
        let keys = entries.by_key.len() + usize::from(replaced.is_none());
        let bytes = entries.bytes - freed + key.len() + entry.value.len();
        keys <= self.quota_keys.load(Ordering::Relaxed) && bytes <= self.quota_bytes.load(Ordering::Relaxed)
    }

    pub(in crate::plugin) fn clear(&self) {
        *self.lock() = Entries::default();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let entries = self.entries.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = &self.keeper {
            let by_key = std::mem::take(&mut entries.by_key);
            keeper.give_back(by_key.into_iter().map(|(key, entry)| (key, entry.value, entry.expires)));
        }
    }
}

impl Entries {
    fn live(&self, key: &str, now: Instant) -> Option<&Vec<u8>> {
        self.by_key.get(key).filter(|entry| entry.is_live(now)).map(|entry| &entry.value)
    }

    /// When the value ends that is there now, where it does.
    fn expires(&self, key: &str, now: Instant) -> Option<Instant> {
        self.by_key.get(key).filter(|entry| entry.is_live(now))?.expires
    }

    /// Says whether it was there.
    fn remove(&mut self, key: &str) -> bool {
        let Some(entry) = self.by_key.remove(key) else { return false };
        self.bytes -= key.len() + entry.value.len();
        true
    }

    /// Returns the keys of what is gone.
    fn remove_expired(&mut self, now: Instant) -> Vec<String> {
        let gone: Vec<_> = self.by_key.extract_if(.., |_, entry| !entry.is_live(now)).collect();
        self.bytes -= gone.iter().map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>();
        gone.into_iter().map(|(key, _)| key).collect()
    }
}

impl Entry {
    fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|at| at > now)
    }
}

fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(state: &State, key: &str, value: &str, now: Instant) -> Result<(), Error> {
        state.set(key.into(), value.into(), None, now)
    }

    #[test]
    fn a_value_lives_until_its_time_is_over() {
        let (state, now) = (State::new(10, 1000), Instant::now());
        state.set("k".into(), b"v".to_vec(), Some(Duration::from_millis(5)), now).unwrap();
        assert_eq!(state.get("k", now), Some(b"v".to_vec()));
        assert_eq!(state.get("k", now + Duration::from_millis(5)), None);
        assert!(!state.delete("k", now + Duration::from_millis(5)));
        assert_eq!(state.lock().bytes, 0);
    }

    #[test]
    fn the_quota_counts_keys_and_bytes_and_expired_ones_make_room() {
        let (state, now) = (State::new(2, 10), Instant::now());
        state.set("a".into(), b"1".to_vec(), Some(Duration::from_millis(1)), now).unwrap();
        set(&state, "b", "2", now).unwrap();
        assert_eq!(set(&state, "c", "3", now), Err(Error::QuotaExceeded));
        assert_eq!(set(&state, "b", "1234567890", now), Err(Error::QuotaExceeded));
        assert_eq!(state.get("b", now), Some(b"2".to_vec()));
        assert_eq!(set(&state, "c", "3", now + Duration::from_millis(2)), Ok(()));
    }

    #[test]
    fn compare_and_set_sets_only_what_it_expects() {
        let (state, now) = (State::new(10, 1000), Instant::now());
        let cas = |old: Option<&str>, new: Option<&str>| {
            state.compare_and_set("k".into(), old.map(str::as_bytes), new.map(Into::into), now).unwrap()
        };
        assert!(!cas(Some("a"), Some("b")));
        assert!(cas(None, Some("a")));
        assert!(!cas(None, Some("b")));
        assert!(cas(Some("a"), None));
        assert_eq!(state.get("k", now), None);
    }

    #[test]
    fn compare_and_set_and_atomic_add_leave_the_time_to_live_as_it_was() {
        let (state, now) = (State::new(10, 1000), Instant::now());
        let (brief, after) = (Duration::from_millis(5), now + Duration::from_millis(5));
        state.set("k".into(), b"1".to_vec(), Some(brief), now).unwrap();
        assert_eq!(state.compare_and_set("k".into(), Some(b"1"), Some(b"2".to_vec()), now), Ok(true));
        assert_eq!(state.atomic_add("k".into(), 1, now), Ok(3));
        assert_eq!((state.get("k", now), state.get("k", after)), (Some(b"3".to_vec()), None));
        assert_eq!(state.compare_and_set("k".into(), None, Some(b"4".to_vec()), after), Ok(true));
        assert_eq!(state.get("k", after + brief), Some(b"4".to_vec()), "a new one lives until it is deleted");
    }

    #[test]
    fn atomic_add_counts_wraps_and_refuses_what_is_no_number() {
        let (state, now) = (State::new(10, 1000), Instant::now());
        assert_eq!(state.atomic_add("n".into(), 2, now), Ok(2));
        assert_eq!(state.atomic_add("n".into(), -3, now), Ok(-1));
        assert_eq!(state.atomic_add("n".into(), i64::MIN, now), Ok(i64::MAX));
        set(&state, "t", "text", now).unwrap();
        assert_eq!(state.atomic_add("t".into(), 1, now), Err(Error::NotANumber));
    }

    #[test]
    fn scan_lists_live_keys_with_the_prefix_in_order() {
        let (state, now) = (State::new(10, 1000), Instant::now());
        for key in ["b/2", "a", "b/1", "c", "b/3"] {
            set(&state, key, "", now).unwrap();
        }
        assert_eq!(state.scan("b/", 2, now), ["b/1", "b/2"]);
        assert_eq!(state.scan("", 99, now).len(), 5);
    }
}
