//! Which sessions there are, and which connection holds each: open, resume, take over, close, expire.
//!
//! A takeover waits for nobody: the session changes hands under its lock, and the connection that had it
//! finds out when it next looks.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashSet;
use tokio::sync::oneshot::error::TryRecvError;

use super::attachment::{Attachment, Blocked, Closing, End, Former};
use super::authorize::AuthorizationCache;
use super::mailbox::Mailbox;
use super::session_entry::{EntryState, Link, SessionEntry, SessionKey};
use super::statistics::Count;
use super::{Broker, DueWill, read, write};
use crate::current::Current;
use crate::hook::{ClientInfo, ClientStatus, DisconnectCause, SessionEnd, What};
use crate::message::{ClientKey, Timestamp};
use crate::packet::ReasonCode;
use crate::session::{Delivery, Dropped, NEVER_EXPIRES, QueueLimits, Session, Will};
use crate::storage::Committer;

/// How Client Identifiers of the broker's own bridges begin, which nobody may have who comes over the network: who takes
/// such a session over gets all that it would send.
pub const BRIDGES: &str = "$bridge/";
/// User Property of a CONNECT by which a bridge says who it is, and that of the CONNACK by which it is answered.
pub const BRIDGE_PROPERTY: &str = "tidegate-bridge";
pub const BROKER_PROPERTY: &str = "tidegate-broker";
/// Subscriptions that are taken out of the index at a time.
const SLICE: usize = 64;

#[derive(Default)]
pub(super) struct Registry {
    sessions: RwLock<HashSet<ByName>>,
    last_session: AtomicU64,
    last_client: AtomicU64,
}

/// A session, found by its Client Identifier. That is not kept beside it once more.
struct ByName(Arc<SessionEntry>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        &self.0.client_identifier
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &ByName) -> bool {
        self.0.client_identifier == other.0.client_identifier
    }
}

impl Eq for ByName {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let name: &str = self.borrow();
        name.hash(state);
    }
}

/// What a connection asks for once it was let in.
pub struct OpenRequest {
    pub client: Arc<ClientInfo>,
    pub clean_start: bool,
    /// Seconds.
    pub expiry_interval: u32,
    /// How many QoS 1 and 2 messages the client takes in flight.
    pub receive_maximum: u16,
    /// Limits of its queue; none: those of all.
    pub queue_limits: Option<QueueLimits>,
    pub will: Option<Box<Will>>,
}

pub struct Opened {
    pub attachment: Attachment,
    pub session_present: bool,
    /// The Will of the connection that was taken over, to be published now.
    pub due_will: Option<DueWill>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("open a session: there are as many as `maximum-sessions` allows")]
    TooManySessions,
    #[error("open a session named `{BRIDGES}…`: the broker's bridges have these")]
    Reserved,
    #[error("open a session that is to be kept: the storage fails ({0})")]
    StorageFails(ReasonCode),
}

/// What is left of a connection whose session was taken from it.
#[derive(Default)]
struct TakenOver {
    due_will: Option<DueWill>,
    /// QoS 0 messages that it had not been sent yet.
    dropped: Vec<Delivery>,
    /// Connections that may still be at what they had read.
    formers: Vec<Former>,
}

impl Registry {
    pub(super) fn next_client_key(&self) -> ClientKey {
        ClientKey(self.last_client.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn next_session(&self) -> u64 {
        self.last_session.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn find(&self, client_identifier: &str) -> Option<Arc<SessionEntry>> {
        read(&self.sessions).get(client_identifier).map(|found| found.0.clone())
    }

    /// Under the registry's lock: `see` locks nothing.
    pub(super) fn for_each(&self, mut see: impl FnMut(&SessionEntry)) {
        read(&self.sessions).iter().for_each(|found| see(&found.0));
    }

    fn all(&self) -> Vec<Arc<SessionEntry>> {
        read(&self.sessions).iter().map(|found| found.0.clone()).collect()
    }
}

impl Broker {
    /// Gives the session of this Client Identifier to a connection: the one that is there, or a new one.
    /// A connection that holds it loses it [MQTT-3.1.4-3].
    ///
    /// # Errors
    /// Where the name is reserved, there are too many sessions, or a new one or a Will is to be kept and the storage fails.
    pub fn open(self: &Arc<Self>, request: OpenRequest) -> Result<Opened, OpenError> {
        let client = request.client.clone();
        if client.remote.is_some() && client.client_identifier.starts_with(BRIDGES) {
            return Err(OpenError::Reserved);
        }
        let mut sessions = write(&self.registry.sessions);
        let existing = sessions.get(&*client.client_identifier).map(|found| found.0.clone());
        let (mut taken, mut end) = (TakenOver::default(), None);
        if let Some(entry) = &existing {
            let mut state = entry.lock();
            // The time is read under the lock: what was decided under it before is past by now.
            let now = self.now();
            end = how_it_ends(&state, request.clean_start, now);
            let ends = end.is_some();
            if ends || request.will.is_some() {
                self.may_be_kept(&request)?;
            }
            taken = self.take_over(entry, &mut state, ends, now);
            if !ends {
                self.resume(entry, &mut state, &request);
                let has_former = !taken.formers.is_empty();
                state.set_formers(taken.formers);
                drop(state);
                drop(sessions);
                self.dropped_offline(entry, taken.dropped);
                let attachment = Attachment::new(self.clone(), entry.clone(), client, has_former);
                let due_will = taken.due_will;
                return Ok(Opened { attachment, session_present: true, due_will });
            }
        }
        if existing.is_none() {
            if sessions.len() >= self.options().maximum_sessions {
                return Err(OpenError::TooManySessions);
            }
            self.may_be_kept(&request)?;
        }
        let TakenOver { due_will, dropped, formers } = taken;
        let has_former = !formers.is_empty();
        let entry = self.new_entry(request);
        entry.lock().set_formers(formers);
        sessions.replace(ByName(entry.clone()));
        drop(sessions);
        if let Some(old) = existing {
            self.dropped_offline(&old, dropped);
            self.forget(&old, end.unwrap_or(SessionEnd::CleanStart));
        }
        self.counters.count(Count::SessionsCreated);
        self.event(|| What::SessionCreated { client_identifier: entry.client_identifier.clone() });
        let attachment = Attachment::new(self.clone(), entry, client, has_former);
        Ok(Opened { attachment, session_present: false, due_will })
    }

    fn may_be_kept(&self, request: &OpenRequest) -> Result<(), OpenError> {
        let failure = self.storage_fails().filter(|_| request.expiry_interval > 0);
        failure.map_or(Ok(()), |reason| Err(OpenError::StorageFails(reason)))
    }

    /// Ends the connection of this client.
    ///
    /// Says whether there is one.
    pub fn disconnect(&self, client_identifier: &str, reason: ReasonCode) -> bool {
        match self.registry.find(client_identifier) {
            Some(entry) => end_connection(&entry, &End::Kicked(reason)),
            None => false,
        }
    }

    /// Deletes a session, and ends its connection where there is one. Says whether there was one.
    pub fn delete_session(&self, client_identifier: &str) -> bool {
        let Some(entry) = self.registry.find(client_identifier) else { return false };
        // Before the connection hears of it and gives up a part of what its session holds: all of that goes to other
        // members of Shared Subscriptions in one go, and in its order.
        self.remove(&entry, SessionEnd::Admin);
        end_connection(&entry, &End::Kicked(ReasonCode::ADMINISTRATIVE_ACTION));
        true
    }

    pub(super) fn all_sessions(&self) -> Vec<Arc<SessionEntry>> {
        self.registry.all()
    }

    /// Ends every connection, also those that are only being made.
    pub fn end_all_connections(&self) {
        self.shutdown.send_replace(true);
        for entry in self.registry.all() {
            end_connection(&entry, &End::Shutdown);
        }
    }

    /// How many sessions a connection holds now.
    pub fn connected_count(&self) -> usize {
        self.counters.connected_now() as usize
    }

    pub fn session_count(&self) -> usize {
        read(&self.registry.sessions).len()
    }

    /// All sessions, in no order.
    pub fn clients(&self) -> Vec<ClientStatus> {
        self.registry.all().iter().map(|entry| status(entry)).collect()
    }

    pub fn client(&self, client_identifier: &str) -> Option<ClientStatus> {
        self.registry.find(client_identifier).map(|entry| status(&entry))
    }

    /// A connection is over. Returns the Will that is due at once.
    pub(super) fn close(
        &self,
        entry: &Arc<SessionEntry>,
        client: &Arc<ClientInfo>,
        closing: Closing,
        cause: DisconnectCause,
        reason: Option<ReasonCode>,
        expiry_interval: Option<u32>,
    ) -> Option<DueWill> {
        let now = self.now();
        let mut state = entry.lock();
        let (mut due, mut ends, mut dropped, mut given_up) = (None, false, Vec::new(), Vec::new());
        if state.link_of(client.key).is_some() {
            entry.take_link(&mut state);
            if let Some(seconds) = expiry_interval {
                state.session.expiry_interval = seconds.min(self.options().maximum_session_expiry);
            }
            dropped = state.session.detach();
            entry.note_load(&state);
            ends = state.gone || state.session.expiry_interval == 0;
            // A session that is not kept does not outlive this process, nor does a Will that would wait.
            let last_chance = ends || cause == DisconnectCause::Shutdown && !state.kept;
            due = self.settle_will(&mut state, closing, last_chance, now);
            if !ends && state.session.expiry_interval != NEVER_EXPIRES {
                let expiry = now.after_secs(state.session.expiry_interval);
                state.change_due(|due| due.expiry = Some(expiry));
            }
            if !ends {
                self.schedule.set(entry, &mut state);
                entry.keep_changed(&state);
                entry.keep_will(&mut state);
                given_up = self.give_up_to_the_connected(entry, &mut state);
            }
        }
        drop(state);
        self.dropped_offline(entry, dropped);
        self.hand_on(entry, given_up);
        self.event(|| What::ClientDisconnected { client: client.clone(), cause, reason });
        if ends {
            self.remove(entry, SessionEnd::Disconnect);
        }
        due
    }

    /// Takes a session out of the registry, unless another of the same name stands there by now.
    pub(super) fn remove(&self, entry: &Arc<SessionEntry>, cause: SessionEnd) {
        {
            let mut sessions = write(&self.registry.sessions);
            let name: &str = &entry.client_identifier;
            let same = sessions.get(name).is_some_and(|found| Arc::ptr_eq(&found.0, entry));
            // A connection that came meanwhile keeps it, also where it has gone again.
            if same && cause != SessionEnd::Admin && !self.is_over(&entry.lock()) {
                return;
            }
            if same {
                sessions.remove(name);
            }
        }
        self.forget(entry, cause);
    }

    /// Frees what a session holds in the index and the schedule.
    fn forget(&self, entry: &Arc<SessionEntry>, cause: SessionEnd) {
        let given_up = {
            let mut state = entry.lock();
            if state.gone {
                return;
            }
            state.gone = true;
            entry.note_load(&state);
            // One that waits for its delay waits no longer than its session lasts [MQTT-3.1.2-8].
            let due = state.due();
            if due.will.is_some()
                && let Some(will) = state.session.will.take()
            {
                self.schedule_will(DueWill::new(state.last_client.clone(), *will));
            }
            state.change_due(|due| (due.will, due.expiry) = (None, None));
            state.replays.clear();
            self.schedule.set(entry, &mut state);
            let key = SessionKey(entry.clone());
            let filters = state.session.subscriptions.take_routings();
            // Others publish and subscribe in between.
            for some in filters.chunks(SLICE) {
                let mut index = self.index.write();
                for filter in some {
                    index.remove(filter, &key);
                    self.cluster.unsubscribed(filter);
                }
            }
            let given_up = state.session.give_up_shared();
            // What was given up is kept until another member has it.
            entry.keep_no_longer(&mut state);
            given_up
        };
        self.session_items.forget(entry.number);
        self.hand_on(entry, given_up);
        if cause == SessionEnd::Expired {
            self.counters.count(Count::SessionsExpired);
        }
        self.event(|| What::SessionDeleted { client_identifier: entry.client_identifier.clone(), cause });
    }

    /// Whether nobody holds a session and its time is past.
    fn is_over(&self, state: &EntryState) -> bool {
        let past = state.due().expiry.is_some_and(|at| at <= self.now());
        state.link.is_none() && (past || state.session.expiry_interval == 0)
    }

    /// Tells of QoS 0 messages that a session without a connection does not keep. Those of Shared Subscriptions
    /// were not sent to anyone yet, and another member may get them.
    fn dropped_offline(&self, entry: &SessionEntry, deliveries: Vec<Delivery>) {
        let (shared, own): (Vec<_>, Vec<_>) =
            deliveries.into_iter().partition(|delivery| delivery.shared.is_some());
        self.hand_on(entry, shared);
        for delivery in own {
            self.dropped(&entry.client_identifier, &delivery, Dropped::Offline);
        }
    }

    fn new_entry(&self, request: OpenRequest) -> Arc<SessionEntry> {
        let number = self.committer().map_or_else(|| self.registry.next_session(), Committer::next_number);
        let entry = self.entry_of(number, request.client.clone());
        {
            let mut state = entry.lock();
            state.kept = self.committer.is_some() && request.expiry_interval > 0;
            self.attach(&entry, &mut state, &request);
            entry.keep_new(&mut state);
        }
        Arc::new(entry)
    }

    /// A session of which nothing is known but its number.
    pub(super) fn entry_of(&self, number: u64, client: Arc<ClientInfo>) -> SessionEntry {
        let session = Session::new(self.queue_limits.clone(), fastrand::u64(..));
        SessionEntry::new(number, session, client, self.counters.clone(), self.committer.clone())
    }

    /// Puts a session in that was kept.
    pub(super) fn register(&self, entry: Arc<SessionEntry>) {
        write(&self.registry.sessions).replace(ByName(entry));
    }

    fn resume(&self, entry: &Arc<SessionEntry>, state: &mut EntryState, request: &OpenRequest) {
        state.change_due(|due| (due.will, due.expiry) = (None, None));
        self.schedule.set(entry, state);
        if request.expiry_interval == 0 {
            // It ends with this connection.
            entry.keep_no_longer(state);
        }
        self.attach(entry, state, request);
        state.created.make();
        entry.keep_changed(state);
    }

    /// Makes the connection of the request the one that holds the session.
    fn attach(&self, entry: &SessionEntry, state: &mut EntryState, request: &OpenRequest) {
        let link = Link { waker: None, home: Mailbox::here(), blocked: Blocked::No, end: None };
        entry.set_link(state, request.client.clone(), link);
        // They were about another connection, perhaps of another user.
        state.delivery_verdicts = AuthorizationCache::default();
        state.session.will = request.will.clone();
        state.session.expiry_interval = request.expiry_interval;
        let own = request.queue_limits.map(|limits| Arc::new(Current::new(limits)));
        state.session.limit_queue(own.unwrap_or_else(|| self.queue_limits.clone()));
        state.session.resume(request.receive_maximum);
        // Who is told that the Will was taken is told what outlives a crash [MQTT-3.1.2-7].
        entry.keep_will(state).make();
        entry.note_load(state);
    }

    /// Takes the session from the connection that holds it, if one does.
    fn take_over(
        &self,
        entry: &SessionEntry,
        state: &mut EntryState,
        session_ends: bool,
        now: Timestamp,
    ) -> TakenOver {
        let link = entry.take_link(state);
        let due_will = self.will_of_former(state, link.is_some(), session_ends, now);
        let mut taken = TakenOver { due_will, dropped: Vec::new(), formers: state.take_formers() };
        if let Some(link) = link {
            self.counters.count(Count::Takeovers);
            taken.dropped = state.session.hand_over();
            taken.formers.push(state.expect_to_leave(state.last_client.key));
            if let Some(waker) = link.waker {
                waker.wake();
            }
        }
        taken.formers.retain_mut(|former| former.try_recv() == Err(TryRecvError::Empty));
        taken
    }
}

/// Why a session is not the next connection's too, where it is not. One that was to end with its
/// connection is never reused, even where the next connection is what ends that [MQTT-3.1.2-6] (3.1.1).
fn how_it_ends(state: &EntryState, clean_start: bool, now: Timestamp) -> Option<SessionEnd> {
    if state.session.expiry_interval == 0 {
        Some(SessionEnd::Disconnect)
    } else if state.gone || state.link.is_none() && state.due().expiry.is_some_and(|at| at <= now) {
        Some(SessionEnd::Expired)
    } else {
        clean_start.then_some(SessionEnd::CleanStart)
    }
}

fn end_connection(entry: &SessionEntry, end: &End) -> bool {
    end_connection_of(entry, None, end)
}

/// Ends the connection that holds the session, where it is the one of this client or any will do.
pub(super) fn end_connection_of(entry: &SessionEntry, client: Option<ClientKey>, end: &End) -> bool {
    let waker = {
        let mut state = entry.lock();
        let client = client.unwrap_or(state.last_client.key);
        let Some(link) = state.link_of(client) else { return false };
        link.end.get_or_insert_with(|| end.clone());
        link.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
    true
}

fn status(entry: &SessionEntry) -> ClientStatus {
    let state = entry.lock();
    ClientStatus {
        client_identifier: entry.client_identifier.clone(),
        client: state.link.as_ref().map(|_| state.last_client.clone()),
        subscriptions: state.session.subscriptions.len(),
        queued: state.session.queued(),
        in_flight: state.session.in_flight(),
        expiry_interval: state.session.expiry_interval,
    }
}
