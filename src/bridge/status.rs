//! What a bridge did, for those who look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A bridge as it is now, and what it did since it was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeStatus {
    pub name: String,
    /// The other broker, without credentials.
    pub server: String,
    /// And the other broker has answered what the bridge subscribes there.
    pub connected: bool,
    /// Why the last connection ended, or none was made.
    pub last_error: Option<String>,
    /// Messages that wait to go out, beside those that are in flight.
    pub queued: usize,
    /// Connections that were made.
    pub connections: u64,
    /// Messages sent to the other broker for the first time.
    pub forwarded_out: u64,
    /// Messages of the other broker that were published here.
    pub forwarded_in: u64,
    pub dropped: BridgeDrops,
}

/// Messages that were not carried, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeDrops {
    /// They came from where they would go.
    pub looped: u64,
    /// The other side, or a hook here, did not take them.
    pub refused: u64,
    /// No topic of the bridge is theirs, or their name would be none.
    pub unmapped: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub struct Tally {
    pub last_error: Mutex<Option<String>>,
    /// The other broker does not take the bridge bit of MQTT 3.1.1.
    pub refuses_bit: AtomicBool,
    pub connected: AtomicBool,
    pub connections: AtomicU64,
    pub forwarded_out: AtomicU64,
    pub forwarded_in: AtomicU64,
    pub looped: AtomicU64,
    pub refused: AtomicU64,
    pub unmapped: AtomicU64,
}

impl Tally {
    pub fn note_error(&self, why: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    pub fn status(&self, name: &str, server: String, queued: usize) -> BridgeStatus {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BridgeStatus {
            name: name.to_owned(),
            server,
            queued,
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            connected: self.connected.load(Ordering::Relaxed),
            connections: get(&self.connections),
            forwarded_out: get(&self.forwarded_out),
            forwarded_in: get(&self.forwarded_in),
            dropped: BridgeDrops {
                looped: get(&self.looped),
                refused: get(&self.refused),
                unmapped: get(&self.unmapped),
            },
        }
    }
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
