//! A session in its place: with the connection that holds it now, and when it is looked at next.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::oneshot;

use super::attachment::{Blocked, End, Former};
use super::authorize::AuthorizationCache;
use super::detached::{self, Detached};
use super::lock;
use super::mailbox::{Call, Mailbox, Wakes};
use super::retained::Replay;
use super::shared::{AtomicLoad, Load};
use super::statistics::{Count, Counters, Growth, Held};
use crate::hook::ClientInfo;
use crate::message::{ClientKey, Timestamp};
use crate::packet::QoS;
use crate::session::{Delivery, Dropped, FullBy, LazyDeque, Session};
use crate::storage::{Committer, Promise};

pub(super) struct SessionEntry {
    pub number: u64,
    pub client_identifier: Arc<str>,
    /// The connection that holds it, 0 for none: a copy of the state's, for those who must not lock it.
    connected: AtomicU64,
    /// The same of its load, kept up where it has Shared Subscriptions.
    load: AtomicLoad,
    state: Mutex<EntryState>,
    counters: Arc<Counters>,
    /// Where there is a storage.
    committer: Option<Arc<Committer>>,
}

/// Guarded by the entry's lock, which is held for a few lines and never across an await or a hook.
pub(super) struct EntryState {
    pub session: Session,
    pub link: Option<Link>,
    /// Retained messages that new subscriptions are still to get.
    pub replays: LazyDeque<Replay>,
    /// Among those that are woken when sessions may hold more again.
    pub waits_for_growth: bool,
    /// Of the connection before, for hooks that ask about an offline receiver.
    pub last_client: Arc<ClientInfo>,
    /// Where something of it has a time, which is seldom while a connection holds the session.
    due: Option<Box<Due>>,
    /// Deleted: nothing is queued any more.
    pub gone: bool,
    /// Where the session was taken from a connection.
    handover: Option<Box<Handover>>,
    /// Verdicts about deliveries, where an authorizer asked for these.
    pub delivery_verdicts: AuthorizationCache,
    /// Messages wait because as many are in flight as may be.
    held_back: bool,
    /// Whether the storage knows it.
    pub kept: bool,
    /// When it does.
    pub created: Promise,
}

/// What happens to a session because time passes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub will: Option<Timestamp>,
    pub expiry: Option<Timestamp>,
    /// Its place in the schedule.
    pub scheduled: Option<Timestamp>,
}

/// The state of an entry, for as long as it is locked. What it then holds is told to the counters.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, EntryState>,
    counters: &'a Counters,
    /// What it held before, which the counters were told.
    told: Held,
}

/// The connection that holds a session: that of the [last client](EntryState::last_client).
pub(super) struct Link {
    /// Set while the connection waits for something to send.
    pub waker: Option<Waker>,
    /// Of the thread that serves the connection.
    pub home: Option<Arc<Mailbox>>,
    /// Its client does not read: messages do not wake it.
    pub blocked: Blocked,
    /// Why it is to end.
    pub end: Option<End>,
}

/// Connections that lost a session and may still be at what they had read.
#[derive(Default)]
struct Handover {
    /// Until a connection of this session waits for them.
    formers: Vec<Former>,
    /// Those that lost this session: what they give up once they are done with it.
    leaving: Vec<(ClientKey, oneshot::Sender<()>)>,
}

impl Link {
    pub fn is_blocked(&self) -> bool {
        self.blocked == Blocked::Yes
    }
}

/// An entry by identity, as the index holds it.
#[derive(Clone)]
pub(super) struct SessionKey(pub Arc<SessionEntry>);

impl PartialEq for SessionKey {
    fn eq(&self, other: &SessionKey) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SessionKey {}

impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

impl SessionEntry {
    pub fn new(
        number: u64,
        session: Session,
        client: Arc<ClientInfo>,
        counters: Arc<Counters>,
        committer: Option<Arc<Committer>>,
    ) -> SessionEntry {
        SessionEntry {
            number,
            client_identifier: client.client_identifier.clone(),
            connected: AtomicU64::new(0),
            load: AtomicLoad::default(),
            state: Mutex::new(EntryState {
                session,
                link: None,
                replays: LazyDeque::default(),
                waits_for_growth: false,
                last_client: client,
                due: None,
                gone: false,
                handover: None,
                delivery_verdicts: AuthorizationCache::default(),
                held_back: false,
                kept: false,
                created: Promise::default(),
            }),
            counters,
            committer,
        }
    }

    pub fn lock(&self) -> Locked<'_> {
        let state = lock(&self.state);
        let told = state.held();
        Locked { state, counters: &self.counters, told }
    }

    /// The same for who changes nothing of what it holds: to see whether something has changed takes longer than the lock.
    pub fn lock_link(&self) -> MutexGuard<'_, EntryState> {
        lock(&self.state)
    }

    /// The connection that holds it, or zero; it may change at any time.
    pub fn connected(&self) -> ClientKey {
        ClientKey(self.connected.load(Ordering::Relaxed))
    }

    /// A connection is done with the session.
    pub fn left(&self, key: ClientKey) {
        let mut state = self.lock();
        if let Some(handover) = &mut state.handover {
            handover.leaving.retain(|(leaving, _)| *leaving != key);
            state.drop_empty_handover();
        }
    }

    /// How ready it is for messages of Shared Subscriptions; it may change at any time.
    pub fn load(&self) -> Load {
        self.load.get()
    }

    #[cfg(test)]
    pub fn set_load(&self, load: Load) {
        self.load.set(load);
    }

    /// To be called when anything has changed that [`Load::of`] looks at.
    pub fn note_load(&self, state: &EntryState) {
        if state.session.subscriptions.has_shared() {
            self.load.set(Load::of(state));
        }
    }

    /// Makes the connection of a client the one that holds it.
    pub fn set_link(&self, state: &mut EntryState, client: Arc<ClientInfo>, link: Link) {
        self.take_link(state);
        self.connected.store(client.key.0, Ordering::Relaxed);
        self.counters.connected();
        state.last_client = client;
        state.link = Some(link);
    }

    /// No connection holds it any more. Returns the one that did.
    pub fn take_link(&self, state: &mut EntryState) -> Option<Link> {
        let link = state.link.take()?;
        self.connected.store(0, Ordering::Relaxed);
        self.counters.disconnected();
        Some(link)
    }

    /// Puts a message into the queue and wakes the connection. Returns those that gave way to it, because
    /// the queue was full. Nothing happens where it is not `wanted` after all, which is asked under the lock.
    ///
    /// # Errors
    /// The message itself, where it is not taken, and why.
    pub fn enqueue(
        &self,
        delivery: Delivery,
        detached: &mut Detached,
        wanted: impl FnOnce() -> bool,
    ) -> Result<Vec<Delivery>, (Delivery, Dropped)> {
        let (displaced, call) = {
            let mut state = self.lock();
            if !wanted() {
                return Ok(Vec::new());
            }
            let growth = self.counters.growth();
            let enqueued = self.enqueue_one(&mut state, delivery, detached, growth);
            self.note_load(&state);
            (enqueued?, state.call_for_work())
        };
        if let Some(call) = call {
            call.make();
        }
        Ok(displaced)
    }

    /// Puts messages into the queue under one lock, and has `wakes` wake the connection. Returns what gave way or
    /// was not taken, and why.
    pub fn enqueue_all<'a>(
        &self,
        deliveries: impl Iterator<Item = (Delivery, &'a mut Detached)>,
        wakes: &mut Wakes,
    ) -> Vec<(Delivery, Dropped)> {
        let mut refused = Vec::new();
        let mut state = self.lock();
        let growth = self.counters.growth();
        for (delivery, detached) in deliveries {
            match self.enqueue_one(&mut state, delivery, detached, growth) {
                Ok(displaced) => {
                    refused.extend(displaced.into_iter().map(|older| (older, Dropped::QueueFull)))
                }
                Err(not_taken) => refused.push(not_taken),
            }
        }
        self.note_load(&state);
        state.wake_for_work(wakes);
        refused
    }

    #[inline]
    fn enqueue_one(
        &self,
        state: &mut EntryState,
        delivery: Delivery,
        detached: &mut Detached,
        growth: Growth,
    ) -> Result<Vec<Delivery>, (Delivery, Dropped)> {
        let committer = self.committer().filter(|_| delivery.qos > QoS::AtMostOnce);
        let enqueued = match committer {
            None => state.enqueue(delivery, detached, growth),
            Some(committer) => self.enqueue_and_keep(committer, state, delivery, detached, growth),
        };
        let dropped = match &enqueued {
            Ok(displaced) => displaced.len(),
            Err((_, why)) => usize::from(*why == Dropped::QueueFull),
        };
        if dropped > 0 {
            self.count_full(state, dropped, growth);
        }
        enqueued
    }

    pub fn committer(&self) -> Option<&Committer> {
        self.committer.as_deref()
    }

    /// Counts what gave way under the limit that was reached.
    #[cold]
    fn count_full(&self, state: &EntryState, dropped: usize, growth: Growth) {
        let limit = match (state.session.full_by(), growth) {
            (FullBy::Messages, _) => Count::LimitQueuedMessages,
            (FullBy::Bytes, Growth::Free) => Count::LimitQueuedBytes,
            (FullBy::Bytes, Growth::Stopped) => Count::LimitTotalQueuedBytes,
        };
        self.counters.add(limit, dropped);
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.counters.held(state.held(), Held::default());
        let lost = state.session.queued() + state.session.unacknowledged();
        self.counters.add(Count::DroppedSessionEnded, lost);
    }
}

impl Deref for Locked<'_> {
    type Target = EntryState;

    fn deref(&self) -> &EntryState {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut EntryState {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let now = self.state.held();
        if now != self.told {
            self.counters.held(self.told, now);
        }
    }
}

impl EntryState {
    #[inline]
    pub fn enqueue(
        &mut self,
        mut delivery: Delivery,
        detached: &mut Detached,
        growth: Growth,
    ) -> Result<Vec<Delivery>, (Delivery, Dropped)> {
        if self.gone || self.link.is_none() && delivery.qos == QoS::AtMostOnce {
            return Err((delivery, Dropped::Offline));
        }
        if self.waits_long(delivery.qos) {
            detached.detach(&mut delivery);
        }
        let enqueued = match growth {
            Growth::Free => self.session.enqueue(delivery),
            Growth::Stopped => self.session.enqueue_without_growth(delivery),
        };
        enqueued.map_err(|refused| (refused, Dropped::QueueFull))
    }

    /// Whether a message that comes now may keep memory for long that it shares.
    fn waits_long(&self, qos: QoS) -> bool {
        let behind = || {
            let in_flight = if qos == QoS::AtMostOnce { 0 } else { self.session.in_flight() };
            self.session.queued() + in_flight
        };
        self.link.as_ref().is_none_or(|link| detached::is_due(behind, link.blocked))
    }

    /// How the connection is woken that waits for something to send, if one does and its client reads.
    pub fn call_for_work(&mut self) -> Option<Call> {
        let (waker, home) = self.take_waker()?;
        Some(Call { waker, home: home.cloned() })
    }

    /// The same, to be woken with others.
    fn wake_for_work(&mut self, wakes: &mut Wakes) {
        if let Some((waker, home)) = self.take_waker() {
            wakes.add(waker, home);
        }
    }

    /// The waker, and the mailbox of the thread that serves the connection.
    fn take_waker(&mut self) -> Option<(Waker, Option<&Arc<Mailbox>>)> {
        let link = self.link.as_mut().filter(|link| !link.is_blocked())?;
        Some((link.waker.take()?, link.home.as_ref()))
    }

    /// What tells of a connection that loses the session when it is done with it.
    pub fn expect_to_leave(&mut self, key: ClientKey) -> Former {
        let (sender, former) = oneshot::channel();
        self.handover.get_or_insert_default().leaving.push((key, sender));
        former
    }

    /// Who has lost the session, for the connection that is to wait for them.
    pub fn set_formers(&mut self, formers: Vec<Former>) {
        if !formers.is_empty() {
            self.handover.get_or_insert_default().formers = formers;
        }
    }

    pub fn take_formers(&mut self) -> Vec<Former> {
        let Some(handover) = &mut self.handover else { return Vec::new() };
        let formers = std::mem::take(&mut handover.formers);
        self.drop_empty_handover();
        formers
    }

    fn drop_empty_handover(&mut self) {
        self.handover.take_if(|handover| handover.formers.is_empty() && handover.leaving.is_empty());
    }

    /// The link of this connection, if it still holds the session.
    pub fn link_of(&mut self, key: ClientKey) -> Option<&mut Link> {
        self.link.as_mut().filter(|_| self.last_client.key == key)
    }

    /// Whether messages wait for the window now, and did not before.
    pub fn begins_to_wait(&mut self) -> bool {
        let held_back = self.session.is_held_back();
        let before = std::mem::replace(&mut self.held_back, held_back);
        held_back && !before
    }

    fn held(&self) -> Held {
        Held {
            queued: self.session.queued(),
            queued_bytes: self.session.queued_bytes(),
            in_flight: self.session.in_flight(),
            in_flight_bytes: self.session.in_flight_bytes(),
        }
    }

    pub fn due(&self) -> Due {
        self.due.as_deref().copied().unwrap_or_default()
    }

    pub fn change_due<R>(&mut self, change: impl FnOnce(&mut Due) -> R) -> R {
        let changed = change(self.due.get_or_insert_default());
        self.due.take_if(|due| **due == Due::default());
        changed
    }
}

impl Due {
    /// When the session is to be looked at next.
    pub fn next(&self) -> Option<Timestamp> {
        [self.will, self.expiry].into_iter().flatten().min()
    }
}
