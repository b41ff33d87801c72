//! What happens between clients: sessions are opened, taken over and expire; what is published is
//! retained, matched and queued.
//!
//! Nothing here knows of sockets: a connection holds an [`Attachment`] to its session, puts packets in
//! through [`Broker`] and takes what is to be sent out of the attachment. Lock order: the registry, a
//! session's state, then the index, the schedule or the retained messages; none is ever held across an await
//! or a hook.

mod attachment;
mod authorize;
mod batch;
mod clock;
mod detached;
mod directory;
mod fan_out;
pub mod guard;
mod hand_on;
mod housekeeping;
mod index;
mod kept;
mod mailbox;
mod matches;
mod options;
mod publish;
mod registry;
mod restore;
mod retained;
mod seldom;
mod session_entry;
mod session_items;
mod shared;
mod spare_messages;
mod statistics;
mod subscribe;
mod system;
mod unsent;
mod will;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};

pub use attachment::{Attachment, Blocked, Closing, End, Former, Polled};
pub use authorize::AuthorizationCache;
pub use batch::Batch;
pub use clock::Clock;
#[cfg(test)]
pub use detached::are_many_buffers_noted;
pub use detached::note_many_buffers;
pub use kept::reason_of;
pub use mailbox::Mailbox;
pub use options::Options;
pub use publish::{Published, Publishing, Step};
pub use registry::{BRIDGE_PROPERTY, BRIDGES, BROKER_PROPERTY, OpenError, OpenRequest, Opened};
pub use shared::SharedStrategy;
pub use spare_messages::{give_back, share};
pub(crate) use statistics::{Count, Counters};
pub use statistics::{Statistic, StatisticKind, Statistics};
pub use subscribe::{Subscribed, Unsubscribed};
pub(crate) use system::is_system_topic;
pub use unsent::Stuck;
pub use will::DueWill;

use crate::cluster::Cluster;
use crate::current::Current;
pub use crate::hook::ClientStatus;
use crate::hook::{Event, HookSet, Hooks, What};
use crate::message::{ClientKey, Timestamp};
use crate::session::QueueLimits;
use crate::storage::{Committer, OpenedStorage};
use guard::Guard;
use hand_on::HandedOn;
use housekeeping::Schedule;
use index::Index;
use registry::Registry;
use restore::Found;
use retained::Retained;
use seldom::Seldom;
use session_entry::SessionEntry;
use session_items::SessionItems;
use unsent::Unsent;

/// One broker. Everything that connections, hooks and an embedder act on.
pub struct Broker {
    options: Current<Options>,
    /// Where the system topics learn of new ones.
    options_changed: Notify,
    /// Those of the options, which all sessions share.
    queue_limits: Arc<Current<QueueLimits>>,
    hooks: Arc<dyn Hooks>,
    /// By which bridges know it from others.
    identity: Box<str>,
    /// Where there is a storage.
    committer: Option<Arc<Committer>>,
    cluster: Arc<dyn Cluster>,
    clock: Clock,
    /// Who subscribed what, over all sessions.
    index: Index,
    registry: Registry,
    session_items: SessionItems,
    retained: Retained,
    schedule: Schedule,
    /// On their way from one member of a Shared Subscription to another.
    handed_on: HandedOn,
    /// Sessions whose retained replay waits until sessions may hold more again. The last lock of all.
    waiting_for_growth: Mutex<Vec<Arc<SessionEntry>>>,
    counters: Arc<Counters>,
    guard: Arc<Guard>,
    unsent: Arc<Unsent>,
    /// Whether connections are to end.
    shutdown: watch::Sender<bool>,
    /// Of a full queue, and of clients at the wrong port.
    full_queue_told: Seldom,
    wrong_port_told: Seldom,
    /// When the storage was last told that the broker runs, as the same.
    alive_told_at: AtomicU64,
}

impl Broker {
    /// A broker with what was found in a storage. Without one all ends with the broker.
    pub fn new(
        options: Options,
        hooks: Arc<dyn Hooks>,
        storage: Option<OpenedStorage>,
        cluster: Arc<dyn Cluster>,
    ) -> Arc<Broker> {
        let (committer, changes) = storage.map(OpenedStorage::into_parts).unzip();
        let mut found = Found::default();
        changes.into_iter().flatten().for_each(|change| found.note(change));
        let seed = fastrand::u64(..);
        let counters = Arc::new(Counters::new(&options));
        let broker = Arc::new(Broker {
            index: Index::new(seed),
            registry: Registry::default(),
            session_items: SessionItems::default(),
            retained: Retained::new(found.take_retained()),
            schedule: Schedule::default(),
            handed_on: HandedOn::default(),
            waiting_for_growth: Mutex::default(),
            guard: Arc::new(Guard::new(options.guard.clone(), counters.clone())),
            unsent: Arc::new(Unsent::new(options.maximum_total_output_bytes)),
            counters,
            clock: Clock::start(),
            shutdown: watch::Sender::new(false),
            full_queue_told: Seldom::default(),
            wrong_port_told: Seldom::default(),
            alive_told_at: AtomicU64::new(0),
            queue_limits: Arc::new(Current::new(options.queue_limits())),
            options: Current::new(options),
            options_changed: Notify::new(),
            hooks,
            identity: format!("{:016x}", fastrand::u64(..)).into(),
            committer,
            cluster,
        });
        broker.restore(found);
        broker
    }

    /// Those that hold now.
    pub fn options(&self) -> &Options {
        self.options.get()
    }

    /// Replaces the options while the broker runs. What a client was told when it connected holds for as long as it
    /// stays connected (`receive_maximum`, `maximum_packet_size`, the largest topic alias, keep-alive, session expiry),
    /// and what is kept already stays where a limit is lower now: it takes nothing more. What is no longer available
    /// (a QoS, RETAIN, shared subscriptions) is refused from now on to those as well who were told that it is.
    pub fn set_options(&self, options: Options) {
        self.counters.set_maximum_held(&options);
        self.queue_limits.replace(options.queue_limits());
        self.guard.set_options(options.guard.clone());
        self.unsent.set_maximum(options.maximum_total_output_bytes);
        let has_other_interval = self.options().sys_interval != options.sys_interval;
        self.options.replace(options);
        if has_other_interval {
            self.options_changed.notify_one();
        }
    }

    pub fn hooks(&self) -> &dyn Hooks {
        self.hooks.as_ref()
    }

    /// A name of this broker that no other has, and that it has for as long as it runs.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Since the broker was made.
    pub fn uptime(&self) -> Duration {
        self.clock.started().elapsed()
    }

    /// Who may come in, and who is shut out.
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// What connections hold because their sockets take nothing.
    pub(crate) fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    /// Tells the log of a client that comes to the wrong port: of one in ten seconds.
    pub(crate) fn warn_of_wrong_port(&self, listener: &str, peer: Option<SocketAddr>, why: &str) {
        if self.wrong_port_told.may_come(self.now()) {
            tracing::warn!(listener, ?peer, "a client was refused: {why}");
        }
    }

    /// A name for a new connection.
    pub fn next_client_key(&self) -> ClientKey {
        self.registry.next_client_key()
    }

    /// Waits until connections are to end.
    pub async fn shutting_down(&self) {
        // The sender is this broker's own.
        let _ = self.shutdown.subscribe().wait_for(|&shutdown| shutdown).await;
    }

    /// How many messages are retained.
    pub fn retained_count(&self) -> usize {
        self.retained.len()
    }

    /// How many subscriptions there are, over all sessions.
    pub fn subscription_count(&self) -> usize {
        self.index.read().len()
    }

    /// Tells the observers.
    pub fn event(&self, what: impl FnOnce() -> What) {
        if self.hooks.wanted().contains(HookSet::EVENTS) {
            let event = Event { time: self.now(), what: what() };
            // Nobody asked it: one that panics says so by itself, and what it heard of goes on to its end.
            let _ = catch_unwind(AssertUnwindSafe(|| self.hooks.event(event)));
        }
    }
}

/// Locks. A panic of another holder does not end the broker: what is guarded here is never left half
/// changed across a call that can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
