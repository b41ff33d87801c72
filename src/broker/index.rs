//! Who subscribed what, over all sessions, and which version of it that is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::session_entry::SessionKey;
use super::shared::GroupState;
use super::{read, write};
use crate::session::Subscription;
use crate::topic::FilterTree;

pub(super) type Filters = FilterTree<SessionKey, Subscription, GroupState>;

pub(super) struct Index {
    filters: RwLock<Filters>,
    version: AtomicU64,
}

/// Names a state of an index. No two states have the same, not even of two brokers in one process: what
/// a thread remembers of one broker's never passes for another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version(u64);

impl Version {
    fn next() -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Index {
    pub fn new(seed: u64) -> Index {
        Index { filters: RwLock::new(Filters::new(seed)), version: AtomicU64::new(Version::next()) }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Filters> {
        read(&self.filters)
    }

    /// To change it. The version is a new one before anybody sees the change.
    pub fn write(&self) -> RwLockWriteGuard<'_, Filters> {
        let filters = write(&self.filters);
        self.version.store(Version::next(), Ordering::Release);
        filters
    }

    /// What was found in this version holds for as long as this does not change. To be asked before reading.
    pub fn version(&self) -> Version {
        Version(self.version.load(Ordering::Acquire))
    }
}
