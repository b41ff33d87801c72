//! Retained messages: stored with a publish, replayed to new subscriptions.
//!
//! A replay is not put into the queue at once: `#` may match more messages than any queue takes. It is
//! remembered as a place in the tree, and the connection takes further messages as its queue empties.

use std::sync::{Arc, RwLock};

use super::attachment::Attachment;
use super::session_entry::{EntryState, SessionEntry};
use super::{Broker, read, write};
use crate::hook::{RetainedChange, What};
use crate::message::{ApplicationMessage, Origin, Timestamp};
use crate::packet::ReasonCode;
use crate::session::{Queue, QueueRoom, Subscription};
use crate::storage::{Op, Storage, StorageError};
use crate::topic::{Cursor, RetainedTree, TopicFilter, TopicName};

/// Messages of a replay that are taken at a time at most, and the queue length below which they are.
const BATCH: usize = 64;

pub(super) struct Retained {
    messages: RwLock<RetainedTree<Arc<ApplicationMessage>>>,
}

/// Retained messages that a new subscription is still to get.
pub(super) struct Replay {
    pub filter: TopicFilter,
    pub subscription: Subscription,
    pub cursor: Option<Cursor>,
    /// The next message is so large that it waits for an empty queue.
    pub alone: bool,
}

impl Replay {
    pub(super) fn new(filter: TopicFilter, subscription: Subscription) -> Replay {
        Replay { filter, subscription, cursor: None, alone: false }
    }
}

impl Retained {
    pub(super) fn load(storage: &dyn Storage) -> Result<Retained, StorageError> {
        let mut messages = RetainedTree::new(fastrand::u64(..));
        storage.load_retained(&mut |message| {
            messages.insert(message.topic.clone(), message);
        })?;
        Ok(Retained { messages: RwLock::new(messages) })
    }

    pub(super) fn len(&self) -> usize {
        read(&self.messages).len()
    }
}

impl Broker {
    /// The retained message of a topic.
    pub fn retained_message(&self, topic: &TopicName) -> Option<Arc<ApplicationMessage>> {
        let now = self.now();
        read(&self.retained.messages).get(topic).filter(|message| !message.is_expired(now)).cloned()
    }

    /// Stores what is published with RETAIN; an empty payload clears [MQTT-3.3.1-6].
    ///
    /// # Errors
    /// The Reason Code where there are too many, or the storage does not take it.
    pub(super) fn retain(&self, message: &ApplicationMessage) -> Result<(), ReasonCode> {
        let topic = &message.topic;
        let (op, change) = if message.payload.is_empty() {
            (Op::DeleteRetained(topic.clone()), RetainedChange::Cleared)
        } else {
            self.room_for(topic)?;
            let kept = ApplicationMessage { origin: Origin::Retained, ..message.to_detached() };
            (Op::SetRetained(Arc::new(kept)), RetainedChange::Set)
        };
        if let Err(error) = self.storage.commit(std::slice::from_ref(&op)) {
            tracing::error!(%error, "could not retain a message");
            return Err(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
        }
        let changed = self.apply(op);
        if changed {
            self.event(|| What::RetainedMessageChanged {
                topic: topic.clone(),
                change,
                payload_length: message.payload.len(),
            });
        }
        Ok(())
    }

    fn room_for(&self, topic: &TopicName) -> Result<(), ReasonCode> {
        let messages = read(&self.retained.messages);
        if messages.len() < self.options.maximum_retained_messages || messages.get(topic).is_some() {
            return Ok(());
        }
        self.statistics.retained_refused.count();
        Err(ReasonCode::QUOTA_EXCEEDED)
    }

    fn apply(&self, op: Op) -> bool {
        let mut messages = write(&self.retained.messages);
        match op {
            Op::SetRetained(message) => {
                messages.insert(message.topic.clone(), message);
                true
            }
            Op::DeleteRetained(topic) => messages.remove(&topic).is_some(),
        }
    }

    /// Removes a message found expired, if it still is what stands there.
    fn forget_expired(&self, expired: &[Arc<ApplicationMessage>]) {
        for message in expired {
            let removed = {
                let mut messages = write(&self.retained.messages);
                let same = messages.get(&message.topic).is_some_and(|found| Arc::ptr_eq(found, message));
                same && messages.remove(&message.topic).is_some()
            };
            if removed {
                let op = Op::DeleteRetained(message.topic.clone());
                if let Err(error) = self.storage.commit(&[op]) {
                    tracing::warn!(%error, "could not delete an expired retained message");
                }
                self.event(|| What::RetainedMessageChanged {
                    topic: message.topic.clone(),
                    change: RetainedChange::Expired,
                    payload_length: 0,
                });
            }
        }
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
        let (expired, live): (Vec<_>, Vec<_>) =
            batch.messages.into_iter().partition(|message| message.is_expired(now));
        self.forget_expired(&expired);
        replay.cursor = batch.next;
        replay.alone = false;
        (live, replay.cursor.is_some())
    }

    fn look_for_retained(&self, replay: &Replay, limit: usize) -> Batch {
        let messages = read(&self.retained.messages);
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
    pub(super) fn wants_replay(&self) -> bool {
        let room = self.session.room();
        match self.replays.front() {
            None => false,
            Some(replay) if replay.alone => room.is_empty,
            Some(_) => room.is_empty || room.is_half && self.session.queued() < BATCH,
        }
    }
}

impl Attachment {
    /// Puts further retained messages into the queue, where a new subscription still waits for some and
    /// the queue has become short.
    pub async fn replay_retained(&self, now: Timestamp) {
        let next = |state: &mut EntryState| {
            let replay = if state.wants_replay() { state.replays.pop_front() } else { None };
            replay.map(|replay| (replay, state.session.room()))
        };
        while let Some((mut replay, room)) = self.with_state(next).flatten() {
            let (messages, more) = self.broker.next_retained(&mut replay, room, now);
            let entry: &Arc<SessionEntry> = &self.entry;
            for message in messages {
                self.broker.deliver_retained(entry, message, replay.subscription, now).await;
            }
            if more {
                self.with_state(|state| state.replays.push_front(replay));
            }
        }
    }

    /// Whether [`replay_retained`](Attachment::replay_retained) has something to do.
    pub fn wants_replay(&self) -> bool {
        self.with_state(|state| state.wants_replay()).unwrap_or(false)
    }
}
