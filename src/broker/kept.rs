//! What outlives the process: what becomes of sessions is told to the storage's committer here, under the lock of
//! the session, so that the storage hears of it in the order in which it happened.
//!
//! A session is kept where it is to outlive its connection. Of it only what waits for an acknowledgement is: QoS 0
//! never touches the storage.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Broker;
use super::detached::Detached;
use super::session_entry::{EntryState, SessionEntry};
use super::statistics::Growth;
use crate::hook::ClientInfo;
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::{PacketIdentifier, QoS, ReasonCode};
use crate::session::{Delivery, Dropped, Kept, Outgoing, Subscription, Will};
use crate::storage::{
    Change, ClientRecord, Committer, DeliveryRecord, DeliveryState, Group, Op, Promise, SessionRecord,
    StorageError, StorageFault, WillRecord,
};
use crate::topic::TopicFilter;

/// How often the storage is told that the broker runs.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(10);

impl SessionEntry {
    /// Puts a message into the queue that may be known under another number already, and tells the committer.
    pub(super) fn enqueue_and_keep(
        &self,
        committer: &Committer,
        state: &mut EntryState,
        mut delivery: Delivery,
        detached: &mut Detached,
        growth: Growth,
    ) -> Result<Vec<Delivery>, (Delivery, Dropped)> {
        let former = std::mem::take(&mut delivery.number);
        if state.kept {
            delivery.number = committer.next_number();
        }
        // Copied before it is taken: it is the queue's copy that is kept.
        if state.kept {
            detached.detach(&mut delivery);
        }
        let op = state.kept.then(|| self.op_enqueue(&delivery));
        match state.enqueue(delivery, detached, growth) {
            Ok(displaced) => {
                op.into_iter().for_each(|op| committer.promise(op));
                if former > 0 {
                    committer.append(Op::Dequeue(former));
                }
                Ok(displaced)
            }
            Err((mut refused, why)) => {
                refused.number = former;
                Err((refused, why))
            }
        }
    }

    fn op_enqueue(&self, delivery: &Delivery) -> Op {
        let record = DeliveryRecord {
            number: delivery.number,
            session: self.number,
            message: 0,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_identifiers: delivery.subscription_identifiers.clone(),
            shared: delivery.shared.as_ref().map(|shared| shared.filter.clone()),
            state: DeliveryState::Queued,
        };
        Op::Enqueue { record: Box::new(record), message: delivery.message.clone() }
    }

    /// A message is sent, for the first time or again, or its PUBREL is again. One of QoS 2 must not be sent again under
    /// another identifier, or after PUBREL: its client would take it for a new one.
    pub(super) fn keep_outgoing(&self, outgoing: &Outgoing) {
        let Some(committer) = self.committer() else { return };
        match *outgoing {
            Outgoing::Acknowledged { delivery, packet_identifier, dup: false } if delivery.number > 0 => {
                let state = DeliveryState::Sent(packet_identifier);
                let op = Op::SetDeliveryState { number: delivery.number, state };
                if delivery.qos == QoS::ExactlyOnce {
                    committer.promise(op);
                } else {
                    committer.append(op);
                }
            }
            // What the connection before was to send may have waited for the storage, and still does.
            Outgoing::Acknowledged { delivery, dup: true, .. }
                if delivery.number > 0 && delivery.qos == QoS::ExactlyOnce =>
            {
                committer.promise_all();
            }
            Outgoing::Pubrel(_) => committer.promise_all(),
            Outgoing::Acknowledged { .. } | Outgoing::AtMostOnce(_) => {}
        }
    }

    /// PUBREC came, for the first time or again: PUBREL may be sent once that is known for good, as the client forgets
    /// the identifier with it.
    pub(super) fn keep_released(&self, number: u64, packet_identifier: PacketIdentifier, is_first: bool) {
        let Some(committer) = self.committer().filter(|_| number > 0) else { return };
        if is_first {
            let state = DeliveryState::Released(packet_identifier);
            committer.promise(Op::SetDeliveryState { number, state });
        } else {
            committer.promise_all();
        }
    }

    /// A message of QoS 2 was received and routed. In one group with what it put into queues: else it would be
    /// routed twice after a crash, or never.
    pub(super) fn keep_received(&self, packet_identifier: PacketIdentifier) {
        if let Some(committer) = self.committer() {
            let change = Change::PutReceived { session: self.number, packet_identifier };
            committer.promise(Op::Change(change));
        }
    }

    /// Tells of a new session.
    pub(super) fn keep_new(&self, state: &mut EntryState) {
        if let Some(committer) = self.committer().filter(|_| state.kept) {
            state.created = committer.append(self.op_session(state));
            state.created.make();
        }
    }

    /// Tells of a session that a connection has taken up, or given back. Nobody waits for that, but who is told that
    /// there is a session waits until it is kept that there is.
    pub(super) fn keep_changed(&self, state: &EntryState) {
        if let Some(committer) = self.committer().filter(|_| state.kept) {
            committer.append(self.op_session(state));
        }
    }

    fn op_session(&self, state: &EntryState) -> Op {
        let record = SessionRecord {
            number: self.number,
            client: client_record(&state.last_client),
            expiry_interval: state.session.expiry_interval,
            expires_at: state.due().expiry,
            is_connected: state.link.is_some(),
        };
        Op::Change(Change::PutSession(Box::new(record)))
    }

    /// The storage forgets the session and all that waits for it. Whose Clean Start ends it waits for that, lest it be
    /// there again after a crash; not while the storage fails, as a client may come that wants nothing to be kept.
    pub(super) fn keep_no_longer(&self, state: &mut EntryState) {
        let Some(committer) = self.committer().filter(|_| state.kept) else { return };
        state.kept = false;
        let deliveries =
            state.session.kept().map(|kept| kept.number()).filter(|&number| number > 0).collect();
        let forgotten = committer.append(Op::DeleteSession { number: self.number, deliveries });
        if !committer.fails() {
            forgotten.make();
        }
    }

    pub(super) fn keep_subscription(
        &self,
        state: &EntryState,
        asked: &TopicFilter,
        filter: &TopicFilter,
        subscription: Subscription,
    ) {
        let Some(committer) = self.committer().filter(|_| state.kept) else { return };
        let routed = (asked != filter).then(|| filter.clone());
        let (session, filter) = (self.number, asked.clone());
        committer.promise(Op::Change(Change::PutSubscription { session, filter, routed, subscription }));
    }

    pub(super) fn keep_unsubscribed(&self, state: &EntryState, asked: &TopicFilter) {
        let Some(committer) = self.committer().filter(|_| state.kept) else { return };
        let (session, filter) = (self.number, asked.clone());
        committer.promise(Op::Change(Change::DeleteSubscription { session, filter }));
    }

    /// The Will of the connection that holds the session.
    pub(super) fn keep_will(&self, state: &mut EntryState) -> Promise {
        let Some(committer) = self.committer().filter(|_| state.kept) else { return Promise::default() };
        let due = state.due().will;
        let client = client_record(&state.last_client);
        let Some(will) = &mut state.session.will else { return Promise::default() };
        if will.number == 0 {
            will.number = committer.next_number();
        }
        let record = WillRecord { number: will.number, client, will: Will::clone(will), due };
        committer.append(Op::Change(Change::PutWill(Box::new(record))))
    }
}

impl Kept<'_> {
    fn number(&self) -> u64 {
        match self {
            Kept::Queued(delivery) | Kept::Sent(_, delivery) => delivery.number,
            Kept::Released(_, number) => *number,
        }
    }
}

fn client_record(client: &Arc<ClientInfo>) -> ClientRecord {
    ClientRecord {
        client_identifier: client.client_identifier.to_string(),
        user_name: client.user_name.as_deref().map(String::from),
        listener: client.listener.name.clone(),
        default_authorization: client.listener.default_authorization,
        protocol_version: client.protocol_version,
    }
}

/// What a client is told whose message cannot be kept.
pub fn reason_of(error: &StorageError) -> ReasonCode {
    match error.fault {
        StorageFault::Full => ReasonCode::QUOTA_EXCEEDED,
        StorageFault::Unavailable | StorageFault::Unusable => ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
    }
}

impl Broker {
    /// Where there is a storage.
    pub fn committer(&self) -> Option<&Committer> {
        self.committer.as_deref()
    }

    /// Has what so many receivers get committed together, and a message that several get be kept once.
    pub(super) fn group_of(&self, receivers: usize) -> Option<Group<'_>> {
        self.committer().filter(|_| receivers > 1).map(Committer::group)
    }

    /// Where the storage fails, so that nothing new may be acknowledged that would have to be kept: what is said
    /// instead.
    pub(super) fn storage_fails(&self) -> Option<ReasonCode> {
        let committer = self.committer().filter(|committer| committer.fails())?;
        Some(committer.failure().map_or(ReasonCode::UNSPECIFIED_ERROR, |error| reason_of(&error)))
    }

    /// Whether a message has to be kept before it is acknowledged. Asked only where it cannot be.
    pub(super) fn is_to_be_kept(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: &ApplicationMessage,
    ) -> bool {
        message.qos > QoS::AtMostOnce
            && (message.retain && self.options().retain_available || self.has_kept_receiver(sender, message))
    }

    /// A delivery is over, whoever had it.
    pub(super) fn keep_dequeued(&self, number: u64) {
        if number > 0
            && let Some(committer) = self.committer()
        {
            committer.append(Op::Dequeue(number));
        }
    }

    /// A Will was published, or never will be.
    pub(super) fn keep_will_no_longer(&self, number: u64) {
        if number > 0
            && let Some(committer) = self.committer()
        {
            committer.append(Op::Change(Change::DeleteWill(number)));
        }
    }

    /// Has the storage keep all there is to keep, and nothing after that. Blocks.
    pub fn finish_keeping(&self) {
        let Some(committer) = self.committer() else { return };
        committer.append(Op::Change(Change::SetAlive(self.now())));
        if let Err(error) = committer.finish() {
            tracing::error!(%error, "what was not acknowledged is lost");
        }
    }

    /// The broker still runs. Sessions whose connection ends with it begin to expire here.
    pub(super) fn note_alive(&self, now: Timestamp) {
        let Some(committer) = self.committer() else { return };
        let last = self.alive_told_at.swap(now.0, Ordering::Relaxed);
        if Timestamp(last).until(now) >= ALIVE_EVERY {
            committer.append(Op::Change(Change::SetAlive(now)));
        } else {
            self.alive_told_at.store(last, Ordering::Relaxed);
        }
    }
}
