//! A connection's hold on its session.
//!
//! It ends when the connection closes it, or when another connection takes the session over: from then
//! on every call says so, and nothing of the session can be touched through it.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::oneshot;

use super::mailbox::Mailbox;
use super::session_entry::{EntryState, SessionEntry};
use super::statistics::{Count, Growth};
use super::{Broker, DueWill};
use crate::hook::{ClientInfo, Directory, DisconnectCause, DropCause, SessionItems, What};
use crate::message::Timestamp;
use crate::packet::{Ack, PacketIdentifier, ReasonCode};
use crate::session::{Acknowledged, Delivery, Dropped, Kept, Outgoing, Received, Session};
use crate::storage::{Change, Committer, Op};

/// Why the broker wants a connection to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Another connection came with the same Client Identifier.
    Takeover,
    /// An operator, an embedder or a plugin asked for it.
    Kicked(ReasonCode),
    Shutdown,
    /// Connections hold more that their sockets do not take than they may, and this one has been stuck longest.
    TooMuchUnsent,
}

/// How a connection was closed, as far as its Will is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// DISCONNECT with 0x00: the Will is deleted [MQTT-3.14.4-3].
    Normal,
    /// Anything else.
    WithWill,
}

/// What a connection that asks for work gets.
#[derive(Debug)]
pub enum Polled {
    /// Something can be sent, or a retained message waits to be replayed.
    Work,
    /// Nothing; the waker will be called.
    Idle,
    End(End),
}

/// Whether a connection can take messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    No,
    Yes,
}

pub struct Attachment {
    pub(super) broker: Arc<Broker>,
    pub(super) entry: Arc<SessionEntry>,
    client: Arc<ClientInfo>,
    closed: bool,
    has_former: bool,
    /// Whether the storage knows the session.
    kept: bool,
}

/// A connection that lost its session: resolves once it publishes nothing more.
pub type Former = oneshot::Receiver<()>;

impl Attachment {
    pub(super) fn new(
        broker: Arc<Broker>,
        entry: Arc<SessionEntry>,
        client: Arc<ClientInfo>,
        has_former: bool,
    ) -> Attachment {
        let kept = entry.lock().kept;
        Attachment { broker, entry, client, closed: false, has_former, kept }
    }

    /// The storage's committer, where the session is kept.
    pub fn committer(&self) -> Option<&Committer> {
        self.broker.committer().filter(|_| self.kept)
    }

    /// A QoS 2 message with this identifier was routed.
    pub fn keep_received(&self, packet_identifier: PacketIdentifier) {
        self.entry.keep_received(packet_identifier);
    }

    /// Whether the session was taken from another connection that may still be at what it has read.
    pub fn has_former(&self) -> bool {
        self.has_former
    }

    /// Those that had the session before. They are given out once; who is done with waiting for them asks no more.
    pub fn take_formers(&mut self) -> Vec<Former> {
        self.has_former = false;
        self.with_state(EntryState::take_formers).unwrap_or_default()
    }

    /// The connection is served by the thread that calls from now on.
    pub fn settle(&self) {
        self.with_state(|state| state.link.as_mut().map(|link| link.home = Mailbox::here()));
    }

    /// Keeps with the session what hooks asked for when they let the client in.
    pub fn keep_items(&self, items: SessionItems) {
        for (key, value) in items {
            if let Err(error) = self.broker.set_session_item(&self.client, key, value) {
                tracing::warn!(client = %self.client_identifier(), %error, "an item of the session is lost");
            }
        }
    }

    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    pub fn client(&self) -> &Arc<ClientInfo> {
        &self.client
    }

    pub fn client_identifier(&self) -> &Arc<str> {
        &self.entry.client_identifier
    }

    /// Whether there is something to do; else `waker` is called when there is. A connection that is
    /// `blocked`, because its client does not read, is woken only when it is to end.
    pub fn poll_work(&self, waker: &Waker, blocked: Blocked) -> Polled {
        let growth = self.broker.counters.growth();
        let mut state = self.entry.lock_link();
        let has_work = state.session.has_outgoing() || state.wants_replay(growth);
        if !has_work && growth == Growth::Stopped && state.waits_for_growth() {
            self.broker.wake_when_free(&self.entry);
        }
        let Some(link) = state.link_of(self.client.key) else { return Polled::End(End::Takeover) };
        if let Some(end) = &link.end {
            return Polled::End(end.clone());
        }
        // Also where there is work: it may turn out that nothing of it can be sent.
        let was_blocked = std::mem::replace(&mut link.blocked, blocked);
        match &mut link.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if was_blocked != blocked {
            self.entry.note_load(&state);
        }
        if has_work && blocked == Blocked::No { Polled::Work } else { Polled::Idle }
    }

    /// Hands what is to be sent to `send`, in order, until it returns false or nothing is left. A
    /// message that `fits` refuses is dropped. Says whether retained messages [wait](Attachment::wants_replay) then.
    pub fn take_outgoing(
        &self,
        now: Timestamp,
        fits: impl Fn(&Delivery, Timestamp) -> bool,
        mut send: impl FnMut(Outgoing<'_>) -> bool,
    ) -> bool {
        let mut dropped = Vec::new();
        let growth = self.broker.counters.growth();
        let after = self.with_state(|state| {
            while let Some(outgoing) =
                state.session.next_outgoing(now, &fits, |delivery, why| dropped.push((delivery, why)))
            {
                self.entry.keep_outgoing(&outgoing);
                if !send(outgoing) {
                    break;
                }
            }
            (state.begins_to_wait(), state.wants_replay(growth))
        });
        let (begins_to_wait, wants_replay) = after.unwrap_or_default();
        if begins_to_wait {
            self.broker.counters.count(Count::LimitInflight);
        }
        for (delivery, why) in dropped {
            self.broker.dropped(&self.entry.client_identifier, &delivery, why);
        }
        wants_replay
    }

    /// Whether a QoS 2 message with this identifier was received and not released.
    pub fn knows(&self, packet_identifier: PacketIdentifier) -> bool {
        self.with_session(|session| session.inbound.contains(packet_identifier)).unwrap_or(false)
    }

    /// QoS 2 messages that were received and not released.
    pub fn received(&self) -> Vec<PacketIdentifier> {
        self.with_session(|session| session.inbound.iter().collect()).unwrap_or_default()
    }

    /// Identifiers of what was sent and is not acknowledged.
    pub fn in_flight(&self) -> Vec<PacketIdentifier> {
        let identifier = |kept: Kept<'_>| match kept {
            Kept::Sent(identifier, _) | Kept::Released(identifier, _) => Some(identifier),
            Kept::Queued(_) => None,
        };
        self.with_session(|session| session.kept().map_while(identifier).collect()).unwrap_or_default()
    }

    /// A QoS 2 PUBLISH came, and `quota` is how many the client may still send; what is it? None where another connection holds the session by now: then
    /// nothing may be acknowledged, as the client will send it again there.
    pub fn receive(&self, packet_identifier: PacketIdentifier, quota: u16) -> Option<Received> {
        self.with_session(|session| session.inbound.receive(packet_identifier, quota))
    }

    /// PUBREL came, or the message was refused. Says whether the identifier was known; None as for
    /// [`receive`](Attachment::receive).
    pub fn release(&self, packet_identifier: PacketIdentifier) -> Option<bool> {
        self.with_session(|session| {
            let known = session.inbound.release(packet_identifier);
            if let Some(committer) = self.committer() {
                let session = self.entry.number;
                if known {
                    committer.promise(Op::Change(Change::DeleteReceived { session, packet_identifier }));
                } else {
                    // The connection before may have released it, and its answer have waited for the storage.
                    committer.promise_all();
                }
            }
            known
        })
    }

    /// Some PUBACKs came. They are looked up under one lock, as that takes as long as three of them and they mostly come
    /// together; then `act` gets what each has brought.
    pub fn pubacks(&self, acks: &[Ack], mut act: impl FnMut(Acknowledged)) {
        let look_up = |session: &mut Session| -> Vec<_> {
            acks.iter().map(|ack| session.puback(ack.packet_identifier)).collect()
        };
        let done = self.with_session(look_up).unwrap_or_default();
        for (done, ack) in done.into_iter().zip(acks) {
            act(self.acknowledged(done, ack));
        }
    }

    /// What a PUBREC brought; None where another connection holds the session by now.
    pub fn pubrec(&self, ack: &Ack) -> Option<Acknowledged> {
        let refused = ack.reason_code.is_error();
        let done = self.with_session(|session| session.pubrec(ack.packet_identifier, refused))?;
        Some(self.acknowledged(done, ack))
    }

    /// PUBCOMP came.
    pub fn pubcomp(&self, ack: &Ack) {
        if let Some(done) = self.with_session(|session| session.pubcomp(ack.packet_identifier)) {
            self.acknowledged(done, ack);
        }
    }

    /// Gives the session back. What is returned is to be published now.
    ///
    /// `expiry_interval` is the one that the client's DISCONNECT set, in seconds.
    #[must_use]
    pub fn close(
        mut self,
        closing: Closing,
        cause: DisconnectCause,
        reason: Option<ReasonCode>,
        expiry_interval: Option<u32>,
    ) -> Option<DueWill> {
        self.closed = true;
        self.broker.close(&self.entry, &self.client, closing, cause, reason, expiry_interval)
    }

    /// None where another connection holds the session by now.
    pub(super) fn with_state<R>(&self, act: impl FnOnce(&mut EntryState) -> R) -> Option<R> {
        let mut state = self.entry.lock();
        state.link_of(self.client.key)?;
        let done = act(&mut state);
        self.entry.note_load(&state);
        Some(done)
    }

    fn with_session<R>(&self, act: impl FnOnce(&mut Session) -> R) -> Option<R> {
        self.with_state(|state| act(&mut state.session))
    }

    /// Keeps what an acknowledgement brought, and tells the observers.
    fn acknowledged(&self, done: Acknowledged, ack: &Ack) -> Acknowledged {
        match &done {
            Acknowledged::Complete(number, _) => self.broker.keep_dequeued(*number),
            Acknowledged::Release(number, delivery) => {
                self.entry.keep_released(*number, ack.packet_identifier, delivery.is_some());
            }
            Acknowledged::Unknown => {}
        }
        if let Acknowledged::Complete(_, Some(delivery)) | Acknowledged::Release(_, Some(delivery)) = &done {
            self.broker.event(|| What::ClientAcknowledgedPublishPacket {
                client: self.client.clone(),
                topic: delivery.message.topic.clone(),
                qos: delivery.qos,
                reason: ack.reason_code,
            });
        }
        done
    }
}

impl Drop for Attachment {
    /// A connection whose task was ended from outside leaves its session as a broken connection would.
    /// Its Will is left to the schedule.
    fn drop(&mut self) {
        if !self.closed {
            let due = self.broker.close(
                &self.entry,
                &self.client,
                Closing::WithWill,
                DisconnectCause::Network,
                None,
                None,
            );
            if let Some(due) = due {
                self.broker.schedule_will(due);
            }
        }
        self.entry.left(self.client.key);
    }
}

impl Broker {
    /// Counts a message that did not reach its receiver, and tells the observers, and the log now and then.
    pub(super) fn dropped(&self, client_identifier: &Arc<str>, delivery: &Delivery, why: Dropped) {
        self.count_dropped(client_identifier, delivery, why);
        if why == Dropped::QueueFull {
            self.warn_of_full_queue(client_identifier);
        }
    }

    /// The same, but for the log: of many that are dropped together, one is told there, as that takes the clock.
    pub(super) fn count_dropped(&self, client_identifier: &Arc<str>, delivery: &Delivery, why: Dropped) {
        let (counter, cause) = match why {
            Dropped::QueueFull => (Count::DroppedQueueFull, DropCause::QueueFull),
            Dropped::Expired => (Count::DroppedExpired, DropCause::Expired),
            Dropped::TooLarge => (Count::DroppedTooLarge, DropCause::TooLarge),
            Dropped::Offline => (Count::DroppedOffline, DropCause::SessionGone),
        };
        self.counters.count(counter);
        self.keep_dequeued(delivery.number);
        self.event(|| What::MessageDropped {
            client_identifier: client_identifier.clone(),
            topic: delivery.message.topic.clone(),
            qos: delivery.qos,
            cause,
        });
    }

    /// One line in ten seconds, however many messages are dropped.
    pub(super) fn warn_of_full_queue(&self, client_identifier: &Arc<str>) {
        if self.full_queue_told.may_come(self.now()) {
            let dropped = self.counters.get(Count::DroppedQueueFull);
            tracing::warn!(client = %client_identifier, dropped, "a queue is full, messages are dropped; `dropped` counts all since the start");
        }
    }
}
