//! Subscriptions, and SUBSCRIBE and UNSUBSCRIBE on their way.
//!
//! ```text
//!   subscribe ─► to be sent ─► sent ── SUBACK ─► standing
//!                     ▲          │                  │
//!                     └──────────┴── connection ◄───┘ session lost
//!                                    over
//! ```
//!
//! `R` waits for the answer of a request.

use std::collections::{BTreeMap, VecDeque};

use crate::message::Timestamp;
use crate::packet::{PacketIdentifier, Subscribe, Unsubscribe};

/// What is asked of the server.
#[derive(Debug)]
pub(in crate::client) enum Request<R> {
    /// The subscription of this key.
    Subscribe {
        key: u64,
        reply: Option<R>,
    },
    Unsubscribe {
        unsubscribe: Box<Unsubscribe>,
        reply: Option<R>,
    },
}

impl<R> Request<R> {
    fn is_awaited(&self) -> bool {
        matches!(
            self,
            Request::Subscribe { reply: Some(_), .. } | Request::Unsubscribe { reply: Some(_), .. }
        )
    }
}

#[derive(Debug)]
pub(in crate::client) struct Requests<R> {
    /// By key, in the order in which they were asked for.
    subscriptions: BTreeMap<u64, Box<Subscribe>>,
    to_send: VecDeque<Request<R>>,
    sent: VecDeque<Sent<R>>,
    keys: u64,
}

#[derive(Debug)]
struct Sent<R> {
    packet_identifier: PacketIdentifier,
    request: Request<R>,
    since: Timestamp,
}

impl<R> Default for Requests<R> {
    fn default() -> Requests<R> {
        Requests { subscriptions: BTreeMap::new(), to_send: VecDeque::new(), sent: VecDeque::new(), keys: 0 }
    }
}

impl<R> Requests<R> {
    /// A key that no subscription has.
    pub(in crate::client) fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    pub(in crate::client) fn subscribe(&mut self, key: u64, subscribe: Subscribe, reply: Option<R>) {
        self.subscriptions.insert(key, Box::new(subscribe));
        self.to_send.push_back(Request::Subscribe { key, reply });
    }

    pub(in crate::client) fn unsubscribe(&mut self, unsubscribe: Unsubscribe, reply: Option<R>) {
        self.to_send.push_back(Request::Unsubscribe { unsubscribe: Box::new(unsubscribe), reply });
    }

    /// Takes a subscription back. What was sent for it is answered to nobody.
    pub(in crate::client) fn forget(&mut self, key: u64) -> Option<Box<Subscribe>> {
        self.to_send.retain(|request| !matches!(request, Request::Subscribe { key: it, .. } if *it == key));
        self.subscriptions.remove(&key)
    }

    /// Takes one filter of a subscription back. Says whether it was the last, and the subscription is none any more.
    pub(in crate::client) fn forget_filter(&mut self, key: u64, filter: &str) -> bool {
        let Some(subscribe) = self.subscriptions.get_mut(&key) else { return true };
        // One that is asked for at present is answered for all its filters.
        let is_sent =
            |sent: &Sent<R>| matches!(sent.request, Request::Subscribe { key: it, .. } if it == key);
        if self.sent.iter().any(is_sent) {
            return false;
        }
        subscribe.subscriptions.retain(|it| it.filter != filter);
        let is_last = subscribe.subscriptions.is_empty();
        if is_last {
            self.forget(key);
        }
        is_last
    }

    pub(in crate::client) fn get(&self, key: u64) -> Option<&Subscribe> {
        self.subscriptions.get(&key).map(|subscribe| &**subscribe)
    }

    pub(in crate::client) fn can_send(&self) -> bool {
        !self.to_send.is_empty()
    }

    pub(in crate::client) fn is_empty(&self) -> bool {
        self.to_send.is_empty() && self.sent.is_empty()
    }

    pub(in crate::client) fn uses(&self, id: PacketIdentifier) -> bool {
        self.sent.iter().any(|sent| sent.packet_identifier == id)
    }

    pub(in crate::client) fn next_to_send(&mut self) -> Option<Request<R>> {
        self.to_send.pop_front()
    }

    pub(in crate::client) fn sent(&mut self, id: PacketIdentifier, request: Request<R>, now: Timestamp) {
        self.sent.push_back(Sent { packet_identifier: id, request, since: now });
    }

    pub(in crate::client) fn unanswered_since(&self) -> Option<Timestamp> {
        self.sent.front().map(|sent| sent.since)
    }

    /// The request that a SUBACK (`subscribes`) or UNSUBACK answers.
    pub(in crate::client) fn answered(
        &mut self,
        id: PacketIdentifier,
        subscribes: bool,
    ) -> Option<Request<R>> {
        let is_asked = |sent: &Sent<R>| {
            sent.packet_identifier == id && matches!(sent.request, Request::Subscribe { .. }) == subscribes
        };
        let at = self.sent.iter().position(is_asked)?;
        self.sent.remove(at).map(|sent| sent.request)
    }

    /// Whether subscriptions of a session that was lost do not stand yet.
    pub(in crate::client) fn is_restoring(&self) -> bool {
        let all = self.sent.iter().map(|sent| &sent.request).chain(&self.to_send);
        all.into_iter().any(|request| matches!(request, Request::Subscribe { reply: None, .. }))
    }

    /// A connection begins: what was not answered is sent again, and all subscriptions where the session was lost.
    pub(in crate::client) fn begin(&mut self, session_lost: bool) {
        for sent in std::mem::take(&mut self.sent).into_iter().rev() {
            self.to_send.push_front(sent.request);
        }
        if session_lost {
            self.subscribe_again();
        }
    }

    fn subscribe_again(&mut self) {
        let is_asked = |key: u64| {
            let is = |it: &Request<R>| matches!(it, Request::Subscribe { key: it, .. } if *it == key);
            self.to_send.iter().any(is)
        };
        let lost: Vec<u64> = self.subscriptions.keys().copied().filter(|key| !is_asked(*key)).collect();
        for key in lost.into_iter().rev() {
            self.to_send.push_front(Request::Subscribe { key, reply: None });
        }
    }

    /// Takes out what was sent: subscriptions by their keys, and those who wait.
    pub(in crate::client) fn take_unanswered(&mut self) -> Vec<(Option<u64>, R)> {
        let sent = std::mem::take(&mut self.sent);
        let (asked, others): (Vec<_>, Vec<_>) = sent.into_iter().partition(|sent| sent.request.is_awaited());
        self.sent = others.into();
        let mut taken = Vec::new();
        for sent in asked {
            match sent.request {
                Request::Subscribe { key, reply: Some(reply) } => {
                    self.subscriptions.remove(&key);
                    taken.push((Some(key), reply));
                }
                Request::Unsubscribe { reply: Some(reply), .. } => taken.push((None, reply)),
                _ => {}
            }
        }
        taken
    }

    /// The client ends: those who wait.
    pub(in crate::client) fn drain(&mut self) -> impl Iterator<Item = R> {
        let sent = std::mem::take(&mut self.sent).into_iter().map(|sent| sent.request);
        let all = sent.chain(std::mem::take(&mut self.to_send));
        all.filter_map(|request| match request {
            Request::Subscribe { reply, .. } | Request::Unsubscribe { reply, .. } => reply,
        })
    }
}
