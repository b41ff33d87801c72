//! What the handles of a client and its connection share: one value under one lock.
//!
//! Handles put messages and requests in and wake the connection, at most once until it has looked; the connection takes
//! in turn all that there is, writes it together, and hands out what came. So a message costs neither a task nor a
//! channel. The lock is held for the work of one turn at most, and never across an await; under it the locks of streams
//! are taken, and no other way round.

mod ask;
mod receive;
mod restore;
mod send;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::Buffer;
use super::alias;
use super::authentication::Exchange;
use super::error::{DisconnectError, End, PublishError, PublishResult, SubscribeError};
use super::event::Event;
use super::options::Options;
use super::request::Requesting;
use super::routes::Routes;
use super::session::{Identifiers, Inbound, Outbound, Outgoing, QueueLimits, Requests};
use super::store::{Found, Keeper};
use crate::message::Timestamp;
use crate::packet::{Connack, Disconnect, PacketType, ProtocolVersion, Publish, QoS, Suback, Unsuback};

pub(super) use receive::continued;
pub(super) use send::{HIGH_WATER, Pushed, Turn, prepare};

/// Who is told what becomes of a message.
pub(super) type Completion = Option<oneshot::Sender<Result<PublishResult, PublishError>>>;

/// Who is told what becomes of a request.
#[derive(Debug)]
pub(super) enum Reply {
    Suback(oneshot::Sender<Result<Suback, SubscribeError>>),
    Unsuback(oneshot::Sender<Result<Unsuback, SubscribeError>>),
}

impl Reply {
    fn fail(self, error: SubscribeError) {
        // Who does not wait any more does not want to know.
        match self {
            Reply::Suback(reply) => drop(reply.send(Err(error))),
            Reply::Unsuback(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// What CONNECT and CONNACK have agreed on, for one connection.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) version: ProtocolVersion,
    /// Of the server: messages in flight to it.
    pub(super) receive_maximum: u16,
    /// Of ours: messages from it without an answer.
    pub(super) own_receive_maximum: u16,
    pub(super) maximum_packet_size: u32,
    pub(super) maximum_qos: QoS,
    pub(super) retain_available: bool,
    pub(super) subscription_identifiers: bool,
    /// Aliases that we may give, and that the server may.
    pub(super) topic_aliases: [u16; 2],
    pub(super) keep_alive: Duration,
}

/// Where a client is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Unconnected,
    Connected(Arc<Connack>),
    Ended(End),
}

/// Somebody wants the client to leave.
#[derive(Debug)]
struct Leaving {
    disconnect: Box<Disconnect>,
    /// Until then what is queued goes out.
    deadline: Instant,
    replies: Vec<oneshot::Sender<Result<(), DisconnectError>>>,
    /// DISCONNECT is written.
    said: bool,
}

pub(super) struct Shared {
    pub(super) options: Options,
    core: Mutex<Core>,
    /// For those who wait for room in the queue.
    pub(super) room: Notify,
    /// For the supervisor: somebody wants to leave.
    pub(super) leave: Notify,
    pub(super) requesting: Requesting,
    phase: watch::Sender<Phase>,
    clock: Clock,
}

pub(super) struct Core {
    version: ProtocolVersion,
    pub(super) outbound: Outbound<Completion>,
    inbound: Inbound,
    pub(super) requests: Requests<Reply>,
    identifiers: Identifiers,
    pub(super) routes: Routes,
    terms: Terms,
    given: alias::Given,
    taken: alias::Taken,
    keeper: Option<Keeper>,
    /// A message for which a stream has no room.
    held: Option<Publish>,
    /// Nobody can make room in it, since the server has not answered SUBSCRIBE.
    stuck: bool,
    /// Messages that nobody took.
    pub(super) unclaimed: u64,
    exchange: Option<Reauthentication>,
    events: Vec<Arc<Buffer<Event>>>,
    /// The connection's task, where it waits.
    driver: Option<Waker>,
    /// To be woken once the lock is given back.
    wake: Vec<Waker>,
    wants_room: bool,
    /// It was started.
    begun: bool,
    leaving: Option<Leaving>,
    /// After an interruption it is not yet told that all is as it was.
    resuming: Option<bool>,
    end: Option<End>,
    /// Itself, for messages that are acknowledged by hand.
    shared: std::sync::Weak<Shared>,
}

/// An exchange that a client began during the connection.
pub(super) struct Reauthentication {
    pub(super) exchange: Box<dyn Exchange>,
    pub(super) method: bytestring::ByteString,
    pub(super) reply: oneshot::Sender<Result<(), super::ConnectError>>,
    pub(super) begun: bool,
}

/// Wall time at the start, carried on by the monotonic clock: it never goes back, and follows paused time in tests.
struct Clock {
    wall: u64,
    start: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall).after(self.start.elapsed())
    }
}

impl Shared {
    pub(super) fn new(options: Options) -> Arc<Shared> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock =
            Clock { wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), start: Instant::now() };
        Arc::new_cyclic(|shared| Shared {
            core: Mutex::new(Core::new(&options, shared.clone())),
            options,
            room: Notify::new(),
            leave: Notify::new(),
            requesting: Requesting::default(),
            phase: watch::Sender::new(Phase::Unconnected),
            clock,
        })
    }

    /// Goes on from what a store has kept.
    pub(super) fn restore(&self, keeper: Keeper, found: Found) {
        let now = self.now();
        self.with(|core| core.restore(keeper, found, now));
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Does something under the lock, and wakes afterwards whom it concerns.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let result = act(&mut core);
        if core.wake.is_empty() {
            return result;
        }
        let mut wake = std::mem::take(&mut core.wake);
        drop(core);
        wake.drain(..).for_each(Waker::wake);
        let mut core = self.lock();
        if core.wake.capacity() < wake.capacity() && core.wake.is_empty() {
            core.wake = wake;
        }
        result
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn end(&self) -> Option<End> {
        self.lock().end.clone()
    }

    pub(super) fn acknowledge(&self, token: u64) {
        self.with(|core| {
            core.inbound.acknowledge(token);
            core.wake_driver();
        });
    }

    /// The server has let the client in.
    pub(super) fn begin(&self, terms: Terms, connack: Arc<Connack>, again: bool) {
        let present = connack.session_present;
        self.with(|core| {
            core.begin(terms, present, again);
            core.tell(&Event::Connected { session_present: present, connack: connack.clone() });
        });
        self.phase.send_replace(Phase::Connected(connack));
    }

    /// A connection is over; another one may follow.
    pub(super) fn interrupted(&self) {
        self.with(Core::disconnected);
        self.phase.send_replace(Phase::Unconnected);
    }

    pub(super) fn tell(&self, event: &Event) {
        self.with(|core| core.tell(event));
    }

    /// The client is over: whoever waits learns why.
    pub(super) fn finish(&self, end: End) {
        self.with(|core| core.finish(&end));
        self.phase.send_replace(Phase::Ended(end));
        self.room.notify_waiters();
        self.leave.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // Who panics while holding it leaves no half of a change that another could not live with.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    fn new(options: &Options, shared: std::sync::Weak<Shared>) -> Core {
        let queue = options.queue;
        let limits =
            QueueLimits { messages: queue.messages.max(1), bytes: queue.bytes, overflow: queue.overflow };
        Core {
            version: options.connect.protocol_version,
            outbound: Outbound::new(limits),
            inbound: Inbound::default(),
            requests: Requests::default(),
            identifiers: Identifiers::new(),
            routes: Routes::new(),
            terms: Terms::none(options.connect.protocol_version),
            given: alias::Given::default(),
            taken: alias::Taken::default(),
            keeper: None,
            held: None,
            stuck: false,
            unclaimed: 0,
            exchange: None,
            events: Vec::new(),
            driver: None,
            wake: Vec::new(),
            wants_room: false,
            begun: false,
            leaving: None,
            resuming: None,
            end: None,
            shared,
        }
    }

    /// Why nothing new is taken any more.
    pub(super) fn closed(&self) -> Option<End> {
        self.end.clone().or_else(|| self.leaving.is_some().then_some(End::Client))
    }

    /// The connection has something to do.
    pub(super) fn wake_driver(&mut self) {
        self.wake.extend(self.driver.take());
    }

    /// The connection has done all it can for now, and is woken when there is more.
    pub(super) fn park_driver(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    pub(super) fn add_events(&mut self, events: Arc<Buffer<Event>>) {
        if self.end.is_some() {
            events.close();
            return;
        }
        self.events.retain(|events| Arc::strong_count(events) > 1);
        self.events.push(events);
    }

    pub(super) fn tell(&mut self, event: &Event) {
        for events in &self.events {
            self.wake.extend(events.put(event.clone(), 0));
        }
    }

    /// Asked in each turn: the last subscription that is restored may be answered, refused, too large or given up.
    fn tell_resumed(&mut self) {
        if let Some(session_present) = self.resuming
            && !self.requests.is_restoring()
        {
            self.resuming = None;
            self.tell(&Event::Resumed { session_present });
        }
    }

    /// Says whether nobody has begun before.
    pub(super) fn begin_once(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Has an exchange begun on the present connection; one that runs is broken off.
    pub(super) fn reauthenticate(&mut self, exchange: Reauthentication) {
        self.exchange = Some(exchange);
        self.wake_driver();
    }

    /// Asks to leave; where somebody has asked before, waits with them.
    pub(super) fn leave(
        &mut self,
        disconnect: Disconnect,
        deadline: Instant,
        reply: Option<oneshot::Sender<Result<(), DisconnectError>>>,
    ) {
        match &mut self.leaving {
            Some(leaving) => leaving.replies.extend(reply),
            None => {
                let replies = reply.into_iter().collect();
                let disconnect = Box::new(disconnect);
                self.leaving = Some(Leaving { disconnect, deadline, replies, said: false });
            }
        }
        self.wake_driver();
    }

    /// Until when what is queued may still go out, where the client is to leave.
    pub(super) fn leaves_by(&self) -> Option<Instant> {
        self.leaving.as_ref().map(|leaving| leaving.deadline)
    }

    /// Whether the client is to leave, and has nothing for which a connection would have to be made first.
    pub(super) fn can_leave_unconnected(&self) -> bool {
        self.leaving.is_some() && self.outbound.is_empty()
    }

    /// Whether DISCONNECT was written.
    pub(super) fn has_said_goodbye(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.said)
    }

    fn begin(&mut self, terms: Terms, session_present: bool, again: bool) {
        self.terms = terms;
        self.given.begin(self.terms.topic_aliases[0]);
        self.taken.begin(self.terms.topic_aliases[1]);
        self.held = None;
        if session_present {
            self.outbound.resume(self.terms.receive_maximum);
        } else {
            let keeper = &mut self.keeper;
            for id in self.inbound.restart() {
                keeper.iter_mut().for_each(|keeper| keeper.released_received(id));
            }
            let requeued = |number| keeper.iter().for_each(|keeper| keeper.requeued(number));
            for (message, said) in self.outbound.restart(self.terms.receive_maximum, requeued) {
                send::forget(&mut self.keeper, &message);
                complete(message.done, Ok(said));
            }
        }
        self.requests.begin(again && !session_present);
        self.resuming = again.then_some(session_present);
    }

    fn disconnected(&mut self) {
        self.inbound.disconnected();
        self.held = None;
        self.driver = None;
        if let Some(exchange) = self.exchange.take() {
            let _ = exchange.reply.send(Err(End::Closed.into()));
        }
    }

    fn finish(&mut self, end: &End) {
        self.disconnected();
        self.end = Some(end.clone());
        let left: Vec<Outgoing<Completion>> = self.outbound.drain().collect();
        if let Some(leaving) = self.leaving.take() {
            for reply in leaving.replies {
                let _ = reply.send(self.left(end, left.len()));
            }
        }
        for message in left {
            complete(message.done, Err(end.clone().into()));
        }
        for reply in self.requests.drain().collect::<Vec<_>>() {
            reply.fail(end.clone().into());
        }
        self.routes.close();
        self.events.drain(..).for_each(|events| events.close());
    }

    fn left(&self, end: &End, left: usize) -> Result<(), DisconnectError> {
        let timeout =
            self.shared.upgrade().map(|shared| shared.options.disconnect_timeout).unwrap_or_default();
        match end {
            End::Client if left == 0 => Ok(()),
            End::Client => Err(DisconnectError::NotFlushed { left, timeout }),
            other => Err(other.clone().into()),
        }
    }

    /// Since when the server has not answered, and what.
    pub(super) fn unanswered(&self) -> Option<(Timestamp, PacketType)> {
        let publish = self.outbound.unanswered_since().map(|since| (since, PacketType::Publish));
        let request = self.requests.unanswered_since().map(|since| (since, PacketType::Subscribe));
        publish.into_iter().chain(request).min_by_key(|(since, _)| *since)
    }

    /// Those whose SUBSCRIBE or UNSUBSCRIBE was not answered in time wait no longer: it would not be on another connection.
    pub(super) fn give_unanswered_up(&mut self) {
        for (key, reply) in self.requests.take_unanswered() {
            key.into_iter().for_each(|key| drop(self.routes.remove(key)));
            reply.fail(SubscribeError::TimedOut);
        }
    }

    /// Whether reading waits for somebody who takes messages.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Whether who takes messages can make room; otherwise only the server's deadlines end the wait.
    pub(super) fn is_held_by_taker(&self) -> bool {
        self.held.is_some() && !self.stuck
    }
}

impl Terms {
    /// Where there is no connection: nothing may be sent.
    fn none(version: ProtocolVersion) -> Terms {
        Terms {
            version,
            receive_maximum: 0,
            own_receive_maximum: 0,
            maximum_packet_size: u32::MAX,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            subscription_identifiers: false,
            topic_aliases: [0, 0],
            keep_alive: Duration::ZERO,
        }
    }
}

pub(super) fn complete(done: Completion, result: Result<PublishResult, PublishError>) {
    // Who does not wait any more does not want to know.
    done.into_iter().for_each(|done| drop(done.send(result.clone())));
}
