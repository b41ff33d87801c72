//! Retained messages: stored with a publish, replayed to new subscriptions.
//!
//! A replay is not put into the queue at once: `#` may match more messages than any queue takes. It is
//! remembered as a place in the tree, and the connection takes further messages as its queue empties.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use super::attachment::Attachment;
use super::session_entry::{EntryState, SessionEntry};
use super::statistics::{Count, Growth};
use super::{Broker, is_system_topic, lock, read, write};
use crate::hook::{RetainedChange, What};
use crate::message::{ApplicationMessage, Origin, Timestamp};
use crate::packet::ReasonCode;
use crate::session::{Queue, QueueRoom, Subscription};
use crate::storage::{Change, Op};
use crate::topic::{Cursor, RetainedTree, TopicFilter, TopicName};

/// Messages of a replay that are taken at a time at most, and the queue length below which they are.
const BATCH: usize = 64;
/// Messages that one question of a hook looks at, at most.
const MOST_LOOKED_AT: usize = 65_536;
/// Expired messages that are removed in one go.
const SWEEP: usize = 1000;

pub(super) struct Retained {
    messages: Tree,
    /// What the broker says about itself, apart from what is published: no limit and no storage knows of it.
    pub(super) system: Tree,
    /// When which message expires. Held while a change is told to the storage and applied, so that storage and
    /// tree see the changes of a topic in one order.
    expiring: Mutex<BTreeSet<(Timestamp, TopicName)>>,
    /// Of topics, payloads and properties; changed only while `expiring` is locked.
    bytes: AtomicUsize,
}

type Tree = RwLock<RetainedTree<Arc<ApplicationMessage>>>;
type Expiring<'a> = MutexGuard<'a, BTreeSet<(Timestamp, TopicName)>>;

/// Retained messages that a new subscription is still to get.
pub(super) struct Replay {
    pub filter: TopicFilter,
    pub subscription: Subscription,
    pub cursor: Option<Cursor>,
    /// The next message is so large that it waits for an empty queue.
    pub alone: bool,
}

/// Why a message was not retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRetained {
    /// Too many, or too many bytes.
    TooMany,
}

impl NotRetained {
    pub(super) fn reason(self) -> ReasonCode {
        match self {
            NotRetained::TooMany => ReasonCode::QUOTA_EXCEEDED,
        }
    }
}

impl Replay {
    pub(super) fn new(filter: TopicFilter, subscription: Subscription) -> Replay {
        Replay { filter, subscription, cursor: None, alone: false }
    }
}

impl Retained {
    /// With what was retained before.
    pub(super) fn new(kept: Vec<Arc<ApplicationMessage>>) -> Retained {
        let (mut messages, mut expiring) = (RetainedTree::new(fastrand::u64(..)), BTreeSet::new());
        let mut bytes = 0;
        for message in kept {
            expiring.extend(message.expires_at.map(|at| (at, message.topic.clone())));
            bytes += message.size();
            messages.insert(message.topic.clone(), message);
        }
        Retained {
            messages: RwLock::new(messages),
            system: RwLock::new(RetainedTree::new(fastrand::u64(..))),
            expiring: Mutex::new(expiring),
            bytes: AtomicUsize::new(bytes),
        }
    }

    /// Where a message of this topic is, or those are that this filter selects: no filter selects of both.
    fn tree(&self, topic: &str) -> &Tree {
        if is_system_topic(topic) { &self.system } else { &self.messages }
    }

    pub(super) fn len(&self) -> usize {
        read(&self.messages).len()
    }

    /// Of topics, payloads and properties.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Broker {
    /// The retained message of a topic.
    pub fn retained_message(&self, topic: &TopicName) -> Option<Arc<ApplicationMessage>> {
        let now = self.now();
        let tree = self.retained.tree(topic.as_str());
        read(tree).get(topic).filter(|message| !message.is_expired(now)).cloned()
    }

    /// Topics with a retained message that `filter` matches and `granted` lets through, those after `after`, at most
    /// `limit`, in the order of their levels.
    pub(super) fn matching_retained(
        &self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        limit: usize,
        granted: &dyn Fn(&TopicName) -> bool,
    ) -> Vec<TopicName> {
        let (now, tree) = (self.now(), self.retained.tree(filter.filter()));
        let mut cursor = after.map(Cursor::after);
        let mut topics = Vec::new();
        for _ in 0..MOST_LOOKED_AT / BATCH {
            // Others may change the tree in between.
            let (found, next) = read(tree).matches_after(filter, cursor.as_ref(), BATCH);
            let found =
                found.into_iter().filter(|(topic, message)| !message.is_expired(now) && granted(topic));
            topics.extend(found.map(|(topic, _)| topic).take(limit - topics.len()));
            cursor = next;
            if cursor.is_none() || topics.len() >= limit {
                break;
            }
        }
        topics
    }

    /// Stores what is published with RETAIN; an empty payload clears [MQTT-3.3.1-6].
    ///
    /// # Errors
    /// Why it is not retained. Where that is a limit, what the topic had before is gone all the same: who
    /// subscribes is not to take it for what was published last ([MQTT-3.3.1-7] of 3.1.1).
    pub(super) fn retain(&self, message: &ApplicationMessage) -> Result<(), NotRetained> {
        let topic = &message.topic;
        if message.payload.is_empty() {
            self.clear_retained(topic, lock(&self.retained.expiring));
            return Ok(());
        }
        let mut expiring = lock(&self.retained.expiring);
        if self.has_no_room_for(message).is_some() {
            // Some of those that are there may only wait to be removed.
            drop(expiring);
            self.forget_expired_retained(self.now());
            expiring = lock(&self.retained.expiring);
        }
        if let Some(limit) = self.has_no_room_for(message) {
            self.counters.count(Count::RetainedRefused);
            self.counters.count(limit);
            self.clear_retained(topic, expiring);
            return Err(NotRetained::TooMany);
        }
        let kept = ApplicationMessage { origin: Origin::Retained, ..message.to_detached() };
        self.change_retained(Change::PutRetained(Arc::new(kept)), &mut expiring);
        drop(expiring);
        self.retained_changed(topic, RetainedChange::Set, message.payload.len());
        Ok(())
    }

    /// Whether this message is what its topic has retained.
    pub(super) fn is_retained(&self, message: &Arc<ApplicationMessage>) -> bool {
        let tree = self.retained.tree(message.topic.as_str());
        read(tree).get(&message.topic).is_some_and(|found| Arc::ptr_eq(found, message))
    }

    fn clear_retained(&self, topic: &TopicName, mut expiring: Expiring<'_>) {
        let changed = self.change_retained(Change::DeleteRetained(topic.clone()), &mut expiring);
        drop(expiring);
        if changed {
            self.retained_changed(topic, RetainedChange::Cleared, 0);
        }
    }

    /// Which limit does not let a message in.
    fn has_no_room_for(&self, message: &ApplicationMessage) -> Option<Count> {
        let messages = read(&self.retained.messages);
        let former = messages.get(&message.topic);
        let bytes = self.retained.bytes() - former.map_or(0, |former| former.size());
        if former.is_none() && messages.len() >= self.options().maximum_retained_messages {
            Some(Count::LimitRetainedMessages)
        } else if bytes + message.size() > self.options().maximum_retained_bytes {
            Some(Count::LimitRetainedBytes)
        } else {
            None
        }
    }

    /// Tells the storage of a change, and puts it into the tree. Says whether there was something to change.
    fn change_retained(&self, change: Change, expiring: &mut Expiring<'_>) -> bool {
        let mut messages = write(&self.retained.messages);
        let (kept, former) = match &change {
            Change::PutRetained(message) => {
                (Some(message.clone()), messages.insert(message.topic.clone(), message.clone()))
            }
            Change::DeleteRetained(topic) => (None, messages.remove(topic)),
            _ => return false,
        };
        if let Some(committer) = self.committer() {
            committer.promise(Op::Change(change));
        }
        drop(messages);
        let changed = kept.is_some() || former.is_some();
        let mut bytes = self.retained.bytes();
        if let Some(former) = former {
            bytes -= former.size();
            former.expires_at.map(|at| expiring.remove(&(at, former.topic.clone())));
        }
        if let Some(kept) = kept {
            bytes += kept.size();
            expiring.extend(kept.expires_at.map(|at| (at, kept.topic.clone())));
        }
        self.retained.bytes.store(bytes, Ordering::Relaxed);
        changed
    }

    /// Removes some messages whose time is over. Says whether there are more.
    pub(super) fn forget_expired_retained(&self, now: Timestamp) -> bool {
        for _ in 0..SWEEP {
            let mut expiring = lock(&self.retained.expiring);
            let Some(topic) = expiring.first().filter(|(at, _)| *at <= now).map(|(_, topic)| topic.clone())
            else {
                return false;
            };
            self.change_retained(Change::DeleteRetained(topic.clone()), &mut expiring);
            drop(expiring);
            self.retained_changed(&topic, RetainedChange::Expired, 0);
        }
        true
    }

    fn retained_changed(&self, topic: &TopicName, change: RetainedChange, payload_length: usize) {
        self.event(|| What::RetainedMessageChanged { topic: topic.clone(), change, payload_length });
    }

    /// The next retained messages of a replay, as many as the queue takes; what is found expired is
    /// removed. Says whether there are more.
    fn next_retained(
        &self,
        replay: &mut Replay,
        room: QueueRoom,
        now: Timestamp,
    ) -> (Vec<Arc<ApplicationMessage>>, bool) {
        let mut batch = self.look_for_retained(replay, room.messages.min(BATCH));
        if !batch.fits(room) {
            batch = self.look_for_retained(replay, 1);
            replay.alone = !room.is_empty && !batch.fits(room);
            if replay.alone {
                return (Vec::new(), true);
            }
        }
        let found = batch.messages.len();
        batch.messages.retain(|message| !message.is_expired(now));
        if batch.messages.len() < found {
            self.forget_expired_retained(now);
        }
        replay.cursor = batch.next;
        replay.alone = false;
        (batch.messages, replay.cursor.is_some())
    }

    fn look_for_retained(&self, replay: &Replay, limit: usize) -> Batch {
        let messages = read(self.retained.tree(replay.filter.filter()));
        let (found, next) = messages.matches_after(&replay.filter, replay.cursor.as_ref(), limit);
        Batch { messages: found.into_iter().map(|(_, message)| message).collect(), next }
    }
}

struct Batch {
    messages: Vec<Arc<ApplicationMessage>>,
    next: Option<Cursor>,
}

impl Batch {
    fn fits(&self, room: QueueRoom) -> bool {
        self.messages.iter().map(|message| Queue::cost(message)).sum::<usize>() <= room.bytes
    }
}

impl EntryState {
    pub(super) fn wants_replay(&self, growth: Growth) -> bool {
        let Some(replay) = self.replays.front() else { return false };
        let room = self.room(growth);
        if growth == Growth::Stopped {
            room.is_empty && self.session.in_flight_bytes() == 0
        } else if replay.alone {
            room.is_empty
        } else {
            room.is_empty || room.is_half && self.session.queued() < BATCH
        }
    }

    /// Whether a replay is held up by what all sessions hold. True once, until it is asked for again.
    pub(super) fn waits_for_growth(&mut self) -> bool {
        !self.replays.is_empty() && !std::mem::replace(&mut self.waits_for_growth, true)
    }

    /// Where sessions are not to hold more, messages are replayed one by one.
    fn room(&self, growth: Growth) -> QueueRoom {
        let room = self.session.room();
        match growth {
            Growth::Free => room,
            Growth::Stopped => QueueRoom { messages: 1, ..room },
        }
    }
}

impl Broker {
    /// Wakes the session's connection when sessions may hold more again.
    pub(super) fn wake_when_free(&self, entry: &Arc<SessionEntry>) {
        lock(&self.waiting_for_growth).push(entry.clone());
        self.schedule.wake();
    }

    pub(super) fn is_waited_for_growth(&self) -> bool {
        !lock(&self.waiting_for_growth).is_empty()
    }

    /// To be called now and then while [somebody waits](Broker::is_waited_for_growth).
    pub(super) fn wake_where_free(&self) {
        if self.counters.growth() == Growth::Stopped {
            return;
        }
        let waiting = std::mem::take(&mut *lock(&self.waiting_for_growth));
        for entry in waiting {
            let call = {
                let mut state = entry.lock();
                state.waits_for_growth = false;
                state.call_for_work()
            };
            if let Some(call) = call {
                call.make();
            }
        }
    }
}

impl Attachment {
    /// Puts some further retained messages into the queue, where a new subscription still waits for some
    /// and the queue has become short. To be called once in a turn: a filter may look at many messages and
    /// find few.
    pub async fn replay_retained(&self, now: Timestamp) {
        let growth = self.broker.counters.growth();
        let next = |state: &mut EntryState| {
            let replay = if state.wants_replay(growth) { state.replays.pop_front() } else { None };
            let room = state.room(growth);
            // Of what all sessions may hold together, too: a message that is replayed is dropped where it is too much.
            let bytes = room.bytes.min(self.broker.counters.bytes_left());
            replay.map(|replay| (replay, QueueRoom { bytes, ..room }))
        };
        if let Some((mut replay, room)) = self.with_state(next).flatten() {
            let (messages, more) = self.broker.next_retained(&mut replay, room, now);
            let entry: &Arc<SessionEntry> = &self.entry;
            for message in messages {
                self.broker.deliver_retained(entry, message, replay.subscription, now).await;
            }
            if more {
                self.put_back(replay);
            }
            // A filter may look at many messages and find few: others get their turn meanwhile.
            tokio::task::yield_now().await;
        }
    }

    /// Also where another connection holds the session by now: it goes on with the replay.
    fn put_back(&self, replay: Replay) {
        let call = {
            let mut state = self.entry.lock();
            // The other connection may have unsubscribed meanwhile, or subscribed anew.
            let wanted = state.session.subscriptions.is_routed(&replay.filter)
                && state.replays.iter().all(|other| other.filter != replay.filter);
            if state.gone || !wanted {
                return;
            }
            state.replays.push_front(replay);
            state.call_for_work()
        };
        if let Some(call) = call {
            call.make();
        }
    }

    /// Whether [`replay_retained`](Attachment::replay_retained) has something to do.
    pub fn wants_replay(&self) -> bool {
        let growth = self.broker.counters.growth();
        self.with_state(|state| state.wants_replay(growth)).unwrap_or(false)
    }
}
