//! Keeps state for as long as the process lives.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hashbrown::HashMap;

use super::{Change, DeliveryRecord, SessionRecord, Storage, StorageError, WillRecord};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::PacketIdentifier;
use crate::session::Subscription;
use crate::topic::{TopicFilter, TopicName};

/// Shared by the brokers that get a clone of the same `Arc`.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: BTreeMap<u64, Session>,
    wills: BTreeMap<u64, Box<WillRecord>>,
    messages: BTreeMap<u64, Arc<ApplicationMessage>>,
    deliveries: BTreeMap<u64, Box<DeliveryRecord>>,
    retained: HashMap<TopicName, Arc<ApplicationMessage>>,
    state: BTreeMap<(String, String), (Bytes, Option<Timestamp>)>,
    alive: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Session {
    record: Option<Box<SessionRecord>>,
    subscriptions: HashMap<TopicFilter, (Option<TopicFilter>, Subscription)>,
    received: Vec<PacketIdentifier>,
    items: BTreeMap<String, Bytes>,
}

impl Storage for MemoryStorage {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| kept.apply(change.clone()));
        Ok(())
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).each(each);
        Ok(())
    }
}

impl Kept {
    fn apply(&mut self, change: Change) {
        match change {
            Change::PutSession(record) => {
                let number = record.number;
                self.session(number).record = Some(record);
            }
            Change::DeleteSession(number) => drop(self.sessions.remove(&number)),
            Change::PutSubscription { session, filter, routed, subscription } => {
                self.session(session).subscriptions.insert(filter, (routed, subscription));
            }
            Change::DeleteSubscription { session, filter } => {
                self.session(session).subscriptions.remove(&filter);
            }
            Change::PutReceived { session, packet_identifier } => {
                let received = &mut self.session(session).received;
                received.retain(|id| *id != packet_identifier);
                received.push(packet_identifier);
            }
            Change::DeleteReceived { session, packet_identifier } => {
                self.session(session).received.retain(|id| *id != packet_identifier);
            }
            Change::PutItem { session, key, value } => drop(self.session(session).items.insert(key, value)),
            Change::DeleteItem { session, key } => drop(self.session(session).items.remove(&key)),
            Change::PutWill(record) => drop(self.wills.insert(record.number, record)),
            Change::DeleteWill(number) => drop(self.wills.remove(&number)),
            Change::PutMessage { number, message } => drop(self.messages.insert(number, message)),
            Change::DeleteMessages(numbers) => remove_range(&mut self.messages, numbers),
            Change::PutDelivery(record) => drop(self.deliveries.insert(record.number, record)),
            Change::SetDeliveryState { number, state } => {
                if let Some(record) = self.deliveries.get_mut(&number) {
                    record.state = state;
                }
            }
            Change::DeleteDeliveries(numbers) => remove_range(&mut self.deliveries, numbers),
            Change::PutRetained(message) => drop(self.retained.insert(message.topic.clone(), message)),
            Change::DeleteRetained(topic) => drop(self.retained.remove(&topic)),
            Change::PutState { plugin, key, value, expires_at } => {
                self.state.insert((plugin, key), (value, expires_at));
            }
            Change::DeleteState { plugin, key } => drop(self.state.remove(&(plugin, key))),
            Change::SetAlive(at) => self.alive = Some(at),
        }
    }

    fn session(&mut self, number: u64) -> &mut Session {
        self.sessions.entry(number).or_default()
    }

    fn each(&self, each: &mut dyn FnMut(Change)) {
        self.alive.map(Change::SetAlive).into_iter().for_each(&mut *each);
        let known = || self.sessions.iter().filter(|(_, session)| session.record.is_some());
        known()
            .filter_map(|(_, session)| session.record.clone())
            .map(Change::PutSession)
            .for_each(&mut *each);
        for (&session, kept) in known() {
            for (filter, (routed, subscription)) in &kept.subscriptions {
                let (filter, routed, subscription) = (filter.clone(), routed.clone(), *subscription);
                each(Change::PutSubscription { session, filter, routed, subscription });
            }
            for &packet_identifier in &kept.received {
                each(Change::PutReceived { session, packet_identifier });
            }
            for (key, value) in &kept.items {
                each(Change::PutItem { session, key: key.clone(), value: value.clone() });
            }
        }
        self.wills.values().cloned().map(Change::PutWill).for_each(&mut *each);
        for (&number, message) in &self.messages {
            each(Change::PutMessage { number, message: message.clone() });
        }
        self.deliveries.values().cloned().map(Change::PutDelivery).for_each(&mut *each);
        self.retained.values().cloned().map(Change::PutRetained).for_each(&mut *each);
        for ((plugin, key), (value, expires_at)) in &self.state {
            let (plugin, key, value) = (plugin.clone(), key.clone(), value.clone());
            each(Change::PutState { plugin, key, value, expires_at: *expires_at });
        }
    }
}

fn remove_range<T>(kept: &mut BTreeMap<u64, T>, numbers: RangeInclusive<u64>) {
    let gone: Vec<_> = kept.range(numbers).map(|(number, _)| *number).collect();
    gone.iter().for_each(|number| drop(kept.remove(number)));
}
