//! Messages of Shared Subscriptions that a member gives up and another one gets (MQTT 5.0, 4.8.2).
//!
//! A session that ends gives up what it has queued, and the QoS 1 messages that its client has not acknowledged;
//! a QoS 2 message that was sent to it goes to nobody else [MQTT-4.8.2-5]. One that loses its connection, or its
//! membership, gives up what was not sent yet. Who gets it is decided later and by whoever keeps house: hooks may
//! want to be asked, and the queue of a session can be long.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::detached::Detached;
use super::fan_out::identifiers;
use super::session_entry::{EntryState, SessionEntry};
use super::shared::{Pick, Readiness, shared};
use super::statistics::{Count, Growth};
use super::{Broker, Options, lock};
use crate::message::ClientKey;
use crate::session::{Delivery, Dropped, Queue, Shared};
use crate::topic::TopicFilter;

/// How many full queues may be on their way from members to others.
const MOST_QUEUES: usize = 16;
/// Messages after which others have their turn.
const BATCH: usize = 64;
/// Members that a message is offered to before it is dropped.
const MOST_REFUSALS: usize = 16;

#[derive(Default)]
pub(super) struct HandedOn(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    given_up: VecDeque<GivenUp>,
    bytes: usize,
}

struct GivenUp {
    delivery: Delivery,
    /// Whose it was.
    client_identifier: Arc<str>,
}

impl HandedOn {
    /// Gives the delivery back where too many wait, and says which limit is the reason.
    fn push(&self, given_up: GivenUp, options: &Options) -> Result<(), (GivenUp, Count)> {
        let mut waiting = lock(&self.0);
        let bytes = waiting.bytes + Queue::cost(&given_up.delivery.message);
        let most = |limit: usize| limit.saturating_mul(MOST_QUEUES);
        if waiting.given_up.len() >= most(options.maximum_queued_messages) {
            return Err((given_up, Count::LimitQueuedMessages));
        }
        if bytes > most(options.maximum_queued_bytes) {
            return Err((given_up, Count::LimitQueuedBytes));
        }
        waiting.bytes = bytes;
        waiting.given_up.push_back(given_up);
        Ok(())
    }

    fn pop(&self) -> Option<GivenUp> {
        let mut waiting = lock(&self.0);
        let next = waiting.given_up.pop_front()?;
        waiting.bytes -= Queue::cost(&next.delivery.message);
        if waiting.given_up.is_empty() {
            waiting.given_up = VecDeque::new();
        }
        Some(next)
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).given_up.is_empty()
    }
}

impl Broker {
    /// Lines up what a session has given up. Not to be called under a session's lock: observers hear of what is
    /// too much.
    pub(super) fn hand_on(&self, from: &SessionEntry, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        for delivery in deliveries {
            self.line_up(GivenUp { delivery, client_identifier: from.client_identifier.clone() });
        }
        self.schedule.wake();
    }

    /// Lines up what was on its way when the broker ended.
    pub(super) fn hand_on_found(&self, delivery: Delivery) {
        self.line_up(GivenUp { delivery, client_identifier: Arc::from("") });
        self.schedule.wake();
    }

    fn line_up(&self, given_up: GivenUp) {
        if let Err((GivenUp { delivery, client_identifier }, limit)) =
            self.handed_on.push(given_up, self.options())
        {
            self.counters.count(limit);
            self.dropped(&client_identifier, &delivery, Dropped::QueueFull);
        }
    }

    /// Finds a member for a message that one had no room for. The room is known only when the message is there:
    /// its size counts too.
    pub(super) fn deliver_to_others(
        &self,
        refused_by: &SessionEntry,
        mut delivery: Delivery,
        detached: &mut Detached,
    ) {
        delivery.refusals += 1;
        if self.asks_before_delivery() {
            return self.hand_on(refused_by, vec![delivery]);
        }
        while let Some((entry, next)) = self.for_another(&delivery) {
            match self.try_deliver(&entry, next, detached, None) {
                Ok(()) => return,
                Err((refused, _)) => delivery = Delivery { refusals: delivery.refusals + 1, ..refused },
            }
        }
        self.dropped(&refused_by.client_identifier, &delivery, Dropped::QueueFull);
    }

    /// What is queued for a session without a connection and others can be sent at once. They may be sent it
    /// (MQTT 5.0, 4.8.2), and there is no telling how long it would wait. Where sessions are not to hold more,
    /// it is safe only where it is.
    pub(super) fn give_up_to_the_connected(
        &self,
        entry: &SessionEntry,
        state: &mut EntryState,
    ) -> Vec<Delivery> {
        if self.counters.growth() == Growth::Stopped {
            return Vec::new();
        }
        // Each group is looked at once: it may have many members.
        let known: RefCell<HashMap<TopicFilter, bool>> = RefCell::default();
        state.session.give_up_queued(|shared| {
            let mut known = known.borrow_mut();
            match known.get(&shared.filter) {
                Some(&is_wanted) => is_wanted,
                None => {
                    let is_wanted = self.another_is_connected(entry, shared);
                    known.insert(shared.filter.clone(), is_wanted);
                    is_wanted
                }
            }
        })
    }

    /// Finds a member for each message that was given up.
    pub(super) async fn deliver_handed_on(&self) {
        let mut count = 0_usize;
        while let Some(given_up) = self.handed_on.pop() {
            self.deliver_to_another(given_up).await;
            count += 1;
            if count.is_multiple_of(BATCH) {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn deliver_to_another(&self, given_up: GivenUp) {
        let GivenUp { delivery, client_identifier } = given_up;
        let Some((entry, next)) = self.for_another(&delivery) else {
            // The last member has left, nobody is there for QoS 0, or none has room.
            let why = if delivery.refusals > 0 { Dropped::QueueFull } else { Dropped::Offline };
            return self.dropped(&client_identifier, &delivery, why);
        };
        self.counters.count(Count::HandedOn);
        if self.asks_before_delivery() {
            let message = next.message.clone();
            self.deliver_after_asking(None, &message, vec![(entry, next)], None, self.now()).await;
        } else {
            self.deliver(&entry, next, &mut Detached::default(), None);
        }
    }

    /// The delivery as another member gets it: with that one's QoS and identifier, and as it was published. Where
    /// some had no room for it, it is the next readiest one's turn.
    fn for_another(&self, delivery: &Delivery) -> Option<(Arc<SessionEntry>, Delivery)> {
        let message = delivery.original().clone();
        let strategy = self.options().shared_subscription_strategy;
        let pick = Pick { strategy, qos: message.qos };
        let index = self.index.read();
        let group = index.group(&delivery.shared.as_ref()?.filter)?;
        let member = match usize::from(delivery.refusals) {
            0 => pick.among(group),
            MOST_REFUSALS.. => None,
            refusals => pick.readiest_of(group, refusals),
        };
        let member = member.filter(|member| pick.readiness(member) != Readiness::Gone)?;
        let subscription = member.1;
        let retain = message.retain && subscription.retain_as_published;
        let is_same = Arc::ptr_eq(&message, &delivery.message);
        let mut next = Delivery::new(message, subscription.maximum_qos, retain);
        next.subscription_identifiers = identifiers(subscription);
        next.shared = Some(shared(group).clone());
        next.detached |= is_same && delivery.detached;
        next.refusals = delivery.refusals;
        // The storage forgets it there when it is here.
        next.number = delivery.number;
        Some((member.0.0.clone(), next))
    }

    fn another_is_connected(&self, entry: &SessionEntry, shared: &Shared) -> bool {
        let index = self.index.read();
        let members = index.group(&shared.filter).map_or(&[][..], |group| group.members());
        let mut others = members.iter().filter(|(key, _)| key.0.number != entry.number);
        others.any(|(key, _)| key.0.connected() != ClientKey::default())
    }
}
