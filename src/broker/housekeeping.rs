//! What happens because time passes: Wills fall due, sessions expire. And what those who caused it do not wait
//! for: messages go from one member of a Shared Subscription to another.
//!
//! The schedule holds one place per session at most, and a session that is resumed gives its place up, so
//! that clients that come and go cannot make it grow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::kept::ALIVE_EVERY;
use super::session_entry::{EntryState, SessionEntry};
use super::{Broker, DueWill, lock};
use crate::hook::SessionEnd;
use crate::message::Timestamp;

/// How long the broker sleeps at most where nothing is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The same while sessions wait until others hold less, which nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Schedule {
    due: Mutex<Due>,
    changed: Notify,
}

#[derive(Default)]
struct Due {
    sessions: BTreeMap<(Timestamp, u64), Weak<SessionEntry>>,
    /// Of connections whose task was ended from outside.
    wills: Vec<DueWill>,
}

impl Schedule {
    /// Moves a session to the place that its state asks for.
    pub(super) fn set(&self, entry: &Arc<SessionEntry>, state: &mut EntryState) {
        let before = state.due();
        let next = before.next();
        if next == before.scheduled {
            return;
        }
        let mut due = lock(&self.due);
        if let Some(old) = before.scheduled {
            due.sessions.remove(&(old, entry.number));
        }
        if let Some(next) = next {
            due.sessions.insert((next, entry.number), Arc::downgrade(entry));
        }
        drop(due);
        state.change_due(|due| due.scheduled = next);
        if next.is_some() {
            self.changed.notify_one();
        }
    }

    /// Something is to be done that has no time.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    fn next(&self) -> Option<Timestamp> {
        let due = lock(&self.due);
        if due.wills.is_empty() {
            due.sessions.first_key_value().map(|((at, _), _)| *at)
        } else {
            Some(Timestamp(0))
        }
    }

    fn pop(&self, now: Timestamp) -> Option<Arc<SessionEntry>> {
        let mut due = lock(&self.due);
        while let Some(first) = due.sessions.first_entry() {
            if first.key().0 > now {
                return None;
            }
            if let Some(entry) = first.remove().upgrade() {
                return Some(entry);
            }
        }
        None
    }
}

impl Broker {
    /// Does what falls due, for as long as it is polled.
    pub async fn keep_house(&self) {
        loop {
            while self.forget_expired_retained(self.now()) {
                tokio::task::yield_now().await;
            }
            let now = self.now();
            let next = if self.handed_on.is_empty() { self.schedule.next() } else { Some(now) };
            let longest = match self.committer() {
                _ if self.is_waited_for_growth() => LOOK_AGAIN,
                Some(_) => ALIVE_EVERY,
                None => LONGEST_SLEEP,
            };
            let sleep = next.map_or(longest, |at| now.until(at).min(longest));
            tokio::select! {
                () = tokio::time::sleep(sleep), if !sleep.is_zero() => {}
                () = self.schedule.changed.notified() => {}
                () = std::future::ready(()), if sleep.is_zero() => {}
            }
            self.do_what_is_due().await;
        }
    }

    async fn do_what_is_due(&self) {
        let wills = std::mem::take(&mut lock(&self.schedule.due).wills);
        for will in wills {
            self.publish_will(will).await;
        }
        let now = self.now();
        while let Some(entry) = self.schedule.pop(now) {
            self.look_after(&entry, now).await;
        }
        self.note_alive(now);
        self.wake_where_free();
        self.deliver_handed_on().await;
    }

    /// Publishes the Wills that wait for their delay, because nobody will be there when it is over. Those that are
    /// kept are published by who finds them.
    pub async fn publish_waiting_wills(&self) {
        for entry in self.all_sessions() {
            let will = {
                let mut state = entry.lock();
                if state.kept {
                    continue;
                }
                let will = state.change_due(|due| due.will.take()).and_then(|_| state.session.will.take());
                will.map(|will| DueWill::new(state.last_client.clone(), *will))
            };
            if let Some(will) = will {
                self.publish_will(will).await;
            }
        }
    }

    async fn look_after(&self, entry: &Arc<SessionEntry>, now: Timestamp) {
        let (will, expired) = {
            let mut state = entry.lock();
            let due = state.due();
            let expired = due.expiry.is_some_and(|at| at <= now);
            let is_will_due = expired || due.will.is_some_and(|at| at <= now);
            let will = if is_will_due { state.session.will.take() } else { None };
            state.change_due(|due| {
                due.scheduled = None;
                due.will.take_if(|_| is_will_due);
            });
            let client = state.last_client.clone();
            if !expired {
                self.schedule.set(entry, &mut state);
            }
            (will.map(|will| DueWill::new(client, *will)), expired)
        };
        // In this order, so that a hook that fails cannot keep a session.
        if expired {
            self.expire(entry, now);
        }
        if let Some(will) = will {
            self.publish_will(will).await;
        }
    }

    /// Deletes a session whose time is over, unless it was resumed meanwhile.
    fn expire(&self, entry: &Arc<SessionEntry>, now: Timestamp) {
        let over = entry.lock().due().expiry.is_some_and(|at| at <= now);
        if over {
            self.remove(entry, SessionEnd::Expired);
        }
    }

    /// For a Will that cannot be published where it fell due.
    pub(super) fn schedule_will(&self, will: DueWill) {
        lock(&self.schedule.due).wills.push(will);
        self.schedule.changed.notify_one();
    }
}
