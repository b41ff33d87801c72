//! What connections hold because their sockets take nothing.
//!
//! Each holds little, and all together have a limit, which gives way in two steps. Where little is left, connections
//! whose sockets take nothing are given no more: what is for them stays in the queues, which have limits of their own.
//! Beyond it, those end that have been stuck longest. Nothing is counted of connections whose sockets take what they
//! are given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::attachment::{Attachment, End};
use super::lock;
use super::registry::end_connection_of;
use super::session_entry::SessionEntry;
use crate::message::ClientKey;

pub(crate) struct Unsent {
    /// Locked for a few lines when a socket begins to take nothing, and when it takes something again.
    state: Mutex<State>,
    /// That of the state, for those who must not lock it.
    held: AtomicUsize,
    maximum: AtomicUsize,
}

#[derive(Default)]
struct State {
    last: u64,
    /// In the order in which their sockets began to take nothing.
    stuck: BTreeMap<u64, Waiting>,
    held: usize,
    /// Of those that were told to end.
    leaving: usize,
}

struct Waiting {
    bytes: usize,
    entry: Weak<SessionEntry>,
    client: ClientKey,
}

/// A connection whose socket takes nothing, for as long as this lives.
pub struct Stuck {
    unsent: Arc<Unsent>,
    number: u64,
    bytes: usize,
}

impl Unsent {
    pub(super) fn new(maximum: usize) -> Unsent {
        let maximum = AtomicUsize::new(maximum);
        Unsent { state: Mutex::default(), held: AtomicUsize::new(0), maximum }
    }

    /// Holds from the next connection on that is stuck, or holds more.
    pub(super) fn set_maximum(&self, maximum: usize) {
        self.maximum.store(maximum, Ordering::Relaxed);
    }

    /// Bytes.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether so little is left that connections that are stuck get nothing more.
    pub(crate) fn is_scarce(&self) -> bool {
        let maximum = self.maximum.load(Ordering::Relaxed);
        self.held() >= maximum - maximum / 4
    }

    /// Whether those that end hold so much that they have no time for a farewell.
    pub(crate) fn is_in_a_hurry(&self) -> bool {
        lock(&self.state).leaving > self.maximum.load(Ordering::Relaxed) / 4
    }

    fn enter(self: &Arc<Unsent>, entry: &Arc<SessionEntry>, client: ClientKey) -> Stuck {
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        state.stuck.insert(number, Waiting { bytes: 0, entry: Arc::downgrade(entry), client });
        Stuck { unsent: self.clone(), number, bytes: 0 }
    }

    /// One of them holds so much in place of what it held. Those end that have been stuck longest, if all hold too much.
    fn change(&self, number: u64, before: usize, now: usize) {
        let too_many = {
            let mut state = lock(&self.state);
            state.held = state.held - before + now;
            self.held.store(state.held, Ordering::Relaxed);
            match state.stuck.get_mut(&number) {
                Some(waiting) => waiting.bytes = now,
                None => state.leaving = state.leaving - before + now,
            }
            state.take_longest(self.maximum.load(Ordering::Relaxed))
        };
        for Waiting { entry, client, .. } in too_many {
            if let Some(entry) = entry.upgrade() {
                end_connection_of(&entry, Some(client), &End::TooMuchUnsent);
            }
        }
    }

    fn leave(&self, number: u64, bytes: usize) {
        let mut state = lock(&self.state);
        state.held -= bytes;
        self.held.store(state.held, Ordering::Relaxed);
        if state.stuck.remove(&number).is_none() {
            state.leaving -= bytes;
        }
    }
}

impl State {
    /// Those without whom the rest holds no more than `maximum`.
    fn take_longest(&mut self, maximum: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        while self.held - self.leaving > maximum
            && let Some((_, longest)) = self.stuck.pop_first()
        {
            self.leaving += longest.bytes;
            taken.push(longest);
        }
        taken
    }
}

impl Stuck {
    /// It holds so many bytes now.
    pub fn hold(&mut self, bytes: usize) {
        if bytes != self.bytes {
            let before = std::mem::replace(&mut self.bytes, bytes);
            self.unsent.change(self.number, before, bytes);
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.unsent.leave(self.number, self.bytes);
    }
}

impl Attachment {
    /// The connection's socket takes nothing.
    pub fn is_stuck(&self) -> Stuck {
        self.broker.unsent.enter(&self.entry, self.client().key)
    }
}
