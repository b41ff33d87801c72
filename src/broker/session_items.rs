//! What hooks keep with sessions. It lies beside them: a session that has no item costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::lock;
use crate::hook::{MAXIMUM_SESSION_ITEMS, MAXIMUM_SESSION_ITEMS_BYTES, SessionItemError};

#[derive(Default)]
pub(super) struct SessionItems {
    /// By the number of the session. Guards the items, held for one operation.
    by_session: Mutex<HashMap<u64, BTreeMap<String, Bytes>>>,
    /// Sessions that have some; a copy, for those who only end sessions.
    sessions: AtomicUsize,
}

impl SessionItems {
    pub(super) fn get(&self, session: u64, key: &str) -> Option<Bytes> {
        lock(&self.by_session).get(&session)?.get(key).cloned()
    }

    pub(super) fn set(&self, session: u64, key: String, value: Bytes) -> Result<(), SessionItemError> {
        let mut by_session = lock(&self.by_session);
        let items = by_session.entry(session).or_default();
        let others = items.iter().filter(|(name, _)| **name != key);
        let (count, bytes) = others
            .fold((0, 0), |(count, bytes), (name, value)| (count + 1, bytes + name.len() + value.len()));
        let fits =
            count < MAXIMUM_SESSION_ITEMS && bytes + key.len() + value.len() <= MAXIMUM_SESSION_ITEMS_BYTES;
        if fits {
            items.insert(key, value);
        } else if items.is_empty() {
            by_session.remove(&session);
        }
        self.sessions.store(by_session.len(), Ordering::Relaxed);
        if fits { Ok(()) } else { Err(SessionItemError::QuotaExceeded) }
    }

    pub(super) fn delete(&self, session: u64, key: &str) -> bool {
        let mut by_session = lock(&self.by_session);
        let Some(items) = by_session.get_mut(&session) else { return false };
        let was_there = items.remove(key).is_some();
        if items.is_empty() {
            by_session.remove(&session);
        }
        self.sessions.store(by_session.len(), Ordering::Relaxed);
        was_there
    }

    /// The session is gone.
    pub(super) fn forget(&self, session: u64) {
        if self.sessions.load(Ordering::Relaxed) > 0 {
            let mut by_session = lock(&self.by_session);
            by_session.remove(&session);
            self.sessions.store(by_session.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_a_sessions_own_and_end_with_it() {
        let items = SessionItems::default();
        items.set(1, "tenant".into(), "a".into()).unwrap();
        items.set(2, "tenant".into(), "b".into()).unwrap();
        assert_eq!(items.get(1, "tenant"), Some("a".into()));
        items.forget(1);
        assert_eq!((items.get(1, "tenant"), items.get(2, "tenant")), (None, Some("b".into())));
        assert!(items.delete(2, "tenant"));
        assert!(!items.delete(2, "tenant"));
        assert_eq!(items.sessions.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_session_has_so_many_items_and_bytes_and_no_more_and_can_change_what_it_has() {
        let items = SessionItems::default();
        for number in 0..MAXIMUM_SESSION_ITEMS {
            items.set(1, number.to_string(), "x".into()).unwrap();
        }
        assert_eq!(items.set(1, "one more".into(), "x".into()), Err(SessionItemError::QuotaExceeded));
        items.set(1, "0".into(), "y".into()).unwrap();
        let large = Bytes::from(vec![0; MAXIMUM_SESSION_ITEMS_BYTES]);
        assert_eq!(items.set(1, "0".into(), large.clone()), Err(SessionItemError::QuotaExceeded));
        assert_eq!(items.set(2, "0".into(), large), Err(SessionItemError::QuotaExceeded));
        assert_eq!(items.get(1, "0"), Some("y".into()));
        assert_eq!(items.sessions.load(Ordering::Relaxed), 1);
    }
}
