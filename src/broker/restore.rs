//! What a storage gives back when a broker starts: sessions as they were, with their subscriptions and what waits for
//! them, Wills, and retained messages. The time that the broker was away counts.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::session_entry::{SessionEntry, SessionKey};
use super::{BRIDGES, Broker, DueWill};
use crate::current::Current;
use crate::hook::{ClientInfo, ListenerPolicy};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::PacketIdentifier;
use crate::session::{Delivery, NEVER_EXPIRES, QueueLimits, Session, Shared, Subscription};
use crate::storage::{Change, ClientRecord, DeliveryRecord, DeliveryState, SessionRecord, WillRecord};
use crate::topic::TopicFilter;

/// What was found, until there is a broker to take it.
#[derive(Default)]
pub(super) struct Found {
    alive: Option<Timestamp>,
    sessions: Vec<SessionRecord>,
    subscriptions: Vec<FoundSubscription>,
    received: Vec<(u64, PacketIdentifier)>,
    items: Vec<(u64, String, Bytes)>,
    wills: Vec<WillRecord>,
    messages: HashMap<u64, Arc<ApplicationMessage>>,
    deliveries: Vec<DeliveryRecord>,
    retained: Vec<Arc<ApplicationMessage>>,
}

struct FoundSubscription {
    session: u64,
    filter: TopicFilter,
    routed: Option<TopicFilter>,
    subscription: Subscription,
}

/// Sessions by their numbers, while they are put together.
type Sessions = HashMap<u64, Arc<SessionEntry>>;

impl Found {
    pub(super) fn note(&mut self, change: Change) {
        match change {
            Change::SetAlive(at) => self.alive = Some(at),
            Change::PutSession(record) => self.sessions.push(*record),
            Change::PutSubscription { session, filter, routed, subscription } => {
                self.subscriptions.push(FoundSubscription { session, filter, routed, subscription });
            }
            Change::PutReceived { session, packet_identifier } => {
                self.received.push((session, packet_identifier));
            }
            Change::PutItem { session, key, value } => self.items.push((session, key, value)),
            Change::PutWill(record) => self.wills.push(*record),
            Change::PutMessage { number, message } => drop(self.messages.insert(number, message)),
            Change::PutDelivery(record) => self.deliveries.push(*record),
            Change::PutRetained(message) => self.retained.push(message),
            // Of plugins, or nothing that a storage gives back.
            _ => {}
        }
    }

    pub(super) fn take_retained(&mut self) -> Vec<Arc<ApplicationMessage>> {
        std::mem::take(&mut self.retained)
    }
}

impl Broker {
    /// Puts in what was found. Before there is any connection.
    pub(super) fn restore(self: &Arc<Broker>, found: Found) {
        let now = self.now();
        // A clock that was set back must not keep sessions longer.
        let alive = found.alive.unwrap_or(now).min(now);
        let mut sessions = Sessions::new();
        let mut policies = Policies::default();
        for record in found.sessions {
            let client = self.client_of(&record.client, &mut policies);
            let entry = Arc::new(self.entry_of(record.number, client));
            restore_session(&entry, &record, alive);
            self.register(entry.clone());
            sessions.insert(record.number, entry);
        }
        for found in found.subscriptions {
            if let Some(entry) = sessions.get(&found.session) {
                self.restore_subscription(entry, found);
            }
        }
        for (session, packet_identifier) in found.received {
            if let Some(entry) = sessions.get(&session) {
                entry.lock().session.inbound.restore(packet_identifier);
            }
        }
        for (session, key, value) in found.items {
            if sessions.contains_key(&session)
                && let Err(error) = self.session_items.set(session, key, value)
            {
                tracing::warn!(%error, "an item of a session is lost");
            }
        }
        self.restore_deliveries(&sessions, &found.messages, found.deliveries);
        for record in found.wills {
            self.restore_will(record, alive, &mut policies);
        }
        for entry in sessions.values() {
            let mut state = entry.lock();
            if entry.client_identifier.starts_with(BRIDGES) {
                self.let_wait(&mut state.session);
            }
            entry.note_load(&state);
            self.schedule.set(entry, &mut state);
        }
    }

    /// A bridge may have limits of its own, which it brings when it starts: until then nothing gives way that waited for it.
    fn let_wait(&self, session: &mut Session) {
        let limits = self.queue_limits.get();
        session.limit_queue(Arc::new(Current::new(QueueLimits {
            messages: limits.messages.saturating_add(session.queued()),
            bytes: limits.bytes.saturating_add(session.queued_bytes()),
            ..*limits
        })));
    }

    fn restore_subscription(&self, entry: &Arc<SessionEntry>, found: FoundSubscription) {
        let FoundSubscription { filter, routed, subscription, .. } = found;
        let routing = routed.unwrap_or_else(|| filter.clone());
        entry.lock().session.subscriptions.insert(filter, routing.clone(), subscription);
        self.index.write().insert(&routing, SessionKey(entry.clone()), subscription);
        self.cluster.subscribed(&routing);
    }

    fn restore_deliveries(
        &self,
        sessions: &Sessions,
        messages: &HashMap<u64, Arc<ApplicationMessage>>,
        deliveries: Vec<DeliveryRecord>,
    ) {
        let mut groups: HashMap<TopicFilter, Arc<Shared>> = HashMap::new();
        for record in deliveries {
            let session = sessions.get(&record.session);
            if let DeliveryState::Released(id) = record.state {
                match session {
                    Some(entry) => entry.lock().session.restore_released(id, record.number),
                    None => self.keep_dequeued(record.number),
                }
                continue;
            }
            let Some(message) = messages.get(&record.message) else {
                tracing::error!(
                    number = record.number,
                    "the storage has no message for a delivery; it is lost"
                );
                self.keep_dequeued(record.number);
                continue;
            };
            let mut delivery = Delivery::new(message.clone(), record.qos, record.retain);
            delivery.subscription_identifiers = record.subscription_identifiers;
            delivery.number = record.number;
            delivery.detached = true;
            delivery.shared = record.shared.map(|filter| {
                let group = || Arc::new(Shared { filter: filter.clone(), original: None });
                groups.entry(filter.clone()).or_insert_with(group).clone()
            });
            match (session, record.state) {
                (Some(entry), DeliveryState::Sent(id)) => entry.lock().session.restore_sent(id, delivery),
                (Some(entry), _) => entry.lock().session.restore_queued(delivery),
                // Its session had ended, and it was on its way to another member.
                (None, _) if delivery.shared.is_some() => self.hand_on_found(delivery),
                (None, _) => self.keep_dequeued(record.number),
            }
        }
    }

    fn restore_will(&self, record: WillRecord, alive: Timestamp, policies: &mut Policies) {
        let WillRecord { number, client, mut will, due } = record;
        will.number = number;
        let due = due.unwrap_or_else(|| alive.after_secs(will.delay_interval));
        match self.registry.find(&client.client_identifier) {
            Some(entry) => {
                let mut state = entry.lock();
                // That of a connection before, which was due when this one came.
                if let Some(former) = state.session.will.replace(Box::new(will)) {
                    self.schedule_will(DueWill::new(self.client_of(&client, policies), *former));
                }
                state.change_due(|all| all.will = Some(due));
            }
            None => self.schedule_will(DueWill::new(self.client_of(&client, policies), will)),
        }
    }

    fn client_of(&self, record: &ClientRecord, policies: &mut Policies) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            key: self.next_client_key(),
            client_identifier: record.client_identifier.as_str().into(),
            user_name: record.user_name.as_deref().map(Box::from),
            remote: None,
            protocol_version: record.protocol_version,
            listener: policies.of(record),
            user_properties: Box::default(),
        })
    }
}

fn restore_session(entry: &SessionEntry, record: &SessionRecord, alive: Timestamp) {
    let mut state = entry.lock();
    state.kept = true;
    state.session.expiry_interval = record.expiry_interval;
    let began_to_expire = record.is_connected && record.expiry_interval != NEVER_EXPIRES;
    let expires_at =
        if began_to_expire { Some(alive.after_secs(record.expiry_interval)) } else { record.expires_at };
    state.change_due(|due| due.expiry = expires_at);
}

/// What held for clients of the listeners by which they came, once for all clients of each.
#[derive(Default)]
struct Policies(HashMap<(String, bool), Arc<ListenerPolicy>>);

impl Policies {
    fn of(&mut self, record: &ClientRecord) -> Arc<ListenerPolicy> {
        let key = (record.listener.clone(), record.default_authorization);
        let policy = || ListenerPolicy {
            default_authorization: record.default_authorization,
            ..ListenerPolicy::new(&record.listener)
        };
        self.0.entry(key).or_insert_with(|| Arc::new(policy())).clone()
    }
}
