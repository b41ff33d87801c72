//! What matched a topic lately, remembered by each thread.
//!
//! A publisher mostly publishes to the same topics again. Found here, a message takes neither the index's lock nor
//! a walk through it, and touches no reference count that other threads touch too. What is remembered holds
//! for one [`Version`] of the index.

use std::rc::Rc;
use std::sync::{Arc, Weak};

use super::index::Version;
use super::session_entry::SessionEntry;
use crate::packet::QoS;
use crate::topic::Seed;

/// Topics that a thread remembers at most.
const TOPICS: usize = 1024;
/// Receivers of all these topics together. Each may keep the memory of a session that has ended from
/// being used again, though not what it held.
const RECEIVERS: usize = 32 * 1024;
/// The longest topic that is remembered.
const LONGEST: usize = 256;

/// Who gets a message: sessions, each once.
pub(super) type Matched = Rc<[Receiver]>;

/// A session with what its matching subscriptions ask for together.
pub(super) struct Receiver {
    pub entry: Weak<SessionEntry>,
    pub maximum_qos: QoS,
    pub retain_as_published: bool,
    pub subscription_identifiers: Box<[u32]>,
}

/// One thread's memory.
pub(super) struct Matches {
    places: Vec<Place>,
    seed: Seed,
    receivers: usize,
}

/// A topic has one place, by its hash.
#[derive(Default)]
struct Place {
    /// The hash of the topic that was looked for here last in vain: what comes once is not remembered.
    missed: u64,
    known: Option<Known>,
}

struct Known {
    topic: Box<str>,
    version: Version,
    matched: Matched,
}

/// What is known of a topic.
pub(super) enum Recalled {
    Known(Matched),
    /// Nothing; it came twice in a row, and what is found is to be [remembered](Matches::remember).
    Again,
    Unknown,
}

impl Matches {
    pub fn new() -> Matches {
        Matches { places: Vec::new(), seed: Seed::new(fastrand::u64(..)), receivers: 0 }
    }

    pub fn recall(&mut self, topic: &str, version: Version) -> Recalled {
        if topic.len() > LONGEST {
            return Recalled::Unknown;
        }
        let hash = self.seed.hash_bytes(topic.as_bytes());
        let place = self.place(hash);
        match &place.known {
            Some(known) if known.version == version && *known.topic == *topic => {
                Recalled::Known(known.matched.clone())
            }
            _ if std::mem::replace(&mut place.missed, hash) == hash => Recalled::Again,
            _ => Recalled::Unknown,
        }
    }

    /// What was found for a topic in this version of the index.
    pub fn remember(&mut self, topic: &str, version: Version, matched: impl Iterator<Item = Receiver>) {
        let matched: Matched = matched.collect();
        if self.receivers + matched.len() > RECEIVERS {
            self.places.clear();
            self.receivers = 0;
        }
        if matched.len() > RECEIVERS {
            return;
        }
        self.receivers += matched.len();
        let hash = self.seed.hash_bytes(topic.as_bytes());
        let known = Known { topic: topic.into(), version, matched };
        if let Some(old) = self.place(hash).known.replace(known) {
            self.receivers -= old.matched.len();
        }
    }

    fn place(&mut self, hash: u64) -> &mut Place {
        if self.places.is_empty() {
            self.places.resize_with(TOPICS, Place::default);
        }
        &mut self.places[hash as usize % TOPICS]
    }
}

impl Receiver {
    /// None where it is gone.
    pub fn session(&self) -> Option<Arc<SessionEntry>> {
        self.entry.upgrade()
    }
}
