//! fan_out: from a message to the queues of its receivers.
//!
//! Matching asks one index for the whole broker. A session that matches through several filters gets one
//! copy, with the highest QoS and all Subscription Identifiers [MQTT-3.3.4-2]. Of each Shared Subscription one
//! member gets a copy of its own, whatever else that one has subscribed to (MQTT 5.0, 4.8.2).

use std::cell::RefCell;
use std::sync::Arc;

use super::Broker;
use super::batch;
use super::detached::Detached;
use super::index::Version;
use super::matches::{self, Matches, Recalled};
use super::session_entry::{SessionEntry, SessionKey};
use super::shared::{Pick, shared};
use crate::hook::{
    Action, AuthorizeContext, Choice, ClientInfo, EnqueueContext, EnqueueOutcome, HookSet, Receiver,
    WhyNotConsumed,
};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::QoS;
use crate::session::{Delivery, Dropped, Shared, Subscription};
use crate::topic::Match as Found;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FannedOut {
    /// To at least one receiver, here or on another node.
    Consumed,
    NotConsumed(WhyNotConsumed),
}

impl FannedOut {
    fn to_any(found: bool) -> FannedOut {
        if found { FannedOut::Consumed } else { FannedOut::NotConsumed(WhyNotConsumed::NoSubscriber) }
    }

    /// What it is where so many other nodes got the message.
    fn or_forwarded(self, forwarded: usize) -> FannedOut {
        if forwarded > 0 { FannedOut::Consumed } else { self }
    }
}

/// Whether one of these hooks is asked between matching and queueing.
pub(super) fn asks_before_delivery(wanted: HookSet) -> bool {
    wanted.contains(HookSet::INTERCEPTING_CLIENT_ENQUEUE) || wanted.contains(HookSet::AUTHORIZER_DELIVERIES)
}

struct Match {
    entry: Arc<SessionEntry>,
    subscription: Subscription,
    /// Where it is a Shared Subscription's.
    shared: Option<Arc<Shared>>,
}

thread_local! {
    /// Kept from message to message, so that matching allocates nothing.
    static MATCHES: RefCell<Vec<Match>> = const { RefCell::new(Vec::new()) };
    static REMEMBERED: RefCell<Matches> = RefCell::new(Matches::new());
}

impl Broker {
    pub(super) async fn fan_out(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
        now: Timestamp,
    ) -> FannedOut {
        let forwarded = self.cluster.forward(&message);
        self.fan_out_here(sender, message, now).await.or_forwarded(forwarded)
    }

    /// The same where [nobody is asked](Broker::asks_before_delivery).
    pub(super) fn fan_out_unasked(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
    ) -> FannedOut {
        let forwarded = self.cluster.forward(&message);
        self.fan_out_here_unasked(sender, message).or_forwarded(forwarded)
    }

    /// To receivers on this node alone.
    pub(super) async fn fan_out_here(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
        now: Timestamp,
    ) -> FannedOut {
        if !self.asks_before_delivery() {
            return self.fan_out_here_unasked(sender, message);
        }
        self.deliver_gathered();
        let deliveries = {
            let mut matches = self.find_matches(sender, &message, None);
            let deliveries: Vec<_> = merge(&mut matches, &message).collect();
            MATCHES.set(matches);
            deliveries
        };
        if deliveries.is_empty() {
            FannedOut::NotConsumed(WhyNotConsumed::NoSubscriber)
        } else if self.deliver_after_asking(sender, &message, deliveries, None, now).await {
            FannedOut::Consumed
        } else {
            FannedOut::NotConsumed(WhyNotConsumed::AllVetoed)
        }
    }

    fn fan_out_here_unasked(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
    ) -> FannedOut {
        let (message, remembers) = match self.fan_out_as_before(message) {
            Ok(fanned_out) => return fanned_out,
            Err(unknown) => unknown,
        };
        self.deliver_gathered();
        let mut matches = self.find_matches(sender, &message, remembers);
        let fanned_out = FannedOut::to_any(!matches.is_empty());
        let mut detached = Detached::default();
        let _group = self.group_of(matches.len());
        for (entry, delivery) in merge(&mut matches, &message) {
            self.deliver(&entry, delivery, &mut detached, None);
        }
        batch::note_deliveries(matches.len());
        matches.clear();
        MATCHES.set(matches);
        fanned_out
    }

    /// To those who are remembered for its topic, with what else is published in one go.
    ///
    /// # Errors
    /// The message, where nobody is, and whether who is found is to be remembered.
    fn fan_out_as_before(
        &self,
        message: Arc<ApplicationMessage>,
    ) -> Result<FannedOut, (Arc<ApplicationMessage>, Option<Version>)> {
        if !batch::is_open() {
            return Err((message, None));
        }
        let version = self.index.version();
        let recall = |known: &mut Matches| known.recall(message.topic.as_str(), version);
        match REMEMBERED.with_borrow_mut(recall) {
            Recalled::Known(matched) => {
                let fanned_out = FannedOut::to_any(!matched.is_empty());
                self.gather(message, matched);
                Ok(fanned_out)
            }
            Recalled::Again => Err((message, Some(version))),
            Recalled::Unknown => Err((message, None)),
        }
    }

    /// Whether the storage would have to know of the message. It takes the lock of each receiver.
    pub(super) fn has_kept_receiver(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: &ApplicationMessage,
    ) -> bool {
        let mut matches = self.find_matches(sender, message, None);
        let is_kept =
            |found: &Match| found.subscription.maximum_qos > QoS::AtMostOnce && found.entry.lock().kept;
        let any = matches.iter().any(is_kept);
        matches.clear();
        MATCHES.set(matches);
        any
    }

    /// A retained message for one new subscription; the same hooks are asked.
    pub(super) async fn deliver_retained(
        &self,
        entry: &Arc<SessionEntry>,
        message: Arc<ApplicationMessage>,
        subscription: Subscription,
        now: Timestamp,
    ) {
        let mut delivery = Delivery::new(message.clone(), subscription.maximum_qos, true);
        delivery.subscription_identifiers = identifiers(subscription);
        if self.asks_before_delivery() {
            let deliveries = vec![(entry.clone(), delivery)];
            self.deliver_after_asking(None, &message, deliveries, Some(&message), now).await;
        } else {
            self.deliver(entry, delivery, &mut Detached::default(), Some(&message));
        }
    }

    /// Whether somebody wants to be asked between matching and queueing.
    pub(super) fn asks_before_delivery(&self) -> bool {
        asks_before_delivery(self.hooks.wanted())
    }

    /// `replayed` is the retained message that this replays: where another has taken its place, that one was
    /// delivered already, and the old one must not come after it.
    pub(super) fn deliver(
        &self,
        entry: &SessionEntry,
        delivery: Delivery,
        detached: &mut Detached,
        replayed: Option<&Arc<ApplicationMessage>>,
    ) {
        let Err((delivery, why)) = self.try_deliver(entry, delivery, detached, replayed) else { return };
        let is_promised = delivery.shared.is_some() && delivery.qos > QoS::AtMostOnce;
        match why {
            Dropped::QueueFull if is_promised => self.deliver_to_others(entry, delivery, detached),
            // Its session has ended meanwhile.
            Dropped::Offline if is_promised => self.hand_on(entry, vec![delivery]),
            why => self.dropped(&entry.client_identifier, &delivery, why),
        }
    }

    /// The same, and a delivery that is refused is given back.
    pub(super) fn try_deliver(
        &self,
        entry: &SessionEntry,
        delivery: Delivery,
        detached: &mut Detached,
        replayed: Option<&Arc<ApplicationMessage>>,
    ) -> Result<(), (Delivery, Dropped)> {
        let wanted = || replayed.is_none_or(|message| self.is_retained(message));
        for displaced in entry.enqueue(delivery, detached, wanted)? {
            self.dropped(&entry.client_identifier, &displaced, Dropped::QueueFull);
        }
        Ok(())
    }

    /// The matching subscriptions, those of one session beside each other, the shared ones last. They are remembered
    /// for this version of the index, unless who gets a message differs from one to the next.
    fn find_matches(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: &ApplicationMessage,
        remembers: Option<Version>,
    ) -> Vec<Match> {
        let mut matches = MATCHES.take();
        let mut differs = false;
        // No session is locked here: whoever subscribes locks its session first, then the index.
        let mut add = |key: &SessionKey, subscription: &Subscription, shared: Option<_>| {
            // By Client Identifier, whichever of its connections it was [MQTT-3.8.3-3].
            differs |= subscription.no_local || shared.is_some();
            let own = || sender.is_some_and(|client| client.client_identifier == key.0.client_identifier);
            if !(subscription.no_local && own()) {
                matches.push(Match { entry: key.0.clone(), subscription: *subscription, shared });
            }
        };
        let pick = Pick { strategy: self.options().shared_subscription_strategy, qos: message.qos };
        self.index.read().for_each_match(&message.topic, |found| match found {
            Found::Plain { key, value } => add(key, value, None),
            Found::Shared(group) => {
                if let Some((key, value)) = pick.among(group) {
                    add(key, value, Some(shared(group).clone()));
                }
            }
        });
        if matches.len() > 1 {
            matches.sort_by_key(|found| (found.entry.number, found.shared.is_some()));
        }
        if let Some(version) = remembers.filter(|_| !differs) {
            let receivers =
                matches.chunk_by(|one, next| Arc::ptr_eq(&one.entry, &next.entry)).map(receiver_of);
            REMEMBERED.with_borrow_mut(|known| known.remember(message.topic.as_str(), version, receivers));
        }
        matches
    }

    /// Asks the enqueue hooks and, where one wants that, the authorizer. Says whether anything was queued.
    pub(super) async fn deliver_after_asking(
        &self,
        sender: Option<&Arc<ClientInfo>>,
        message: &Arc<ApplicationMessage>,
        mut deliveries: Vec<(Arc<SessionEntry>, Delivery)>,
        replayed: Option<&Arc<ApplicationMessage>>,
        now: Timestamp,
    ) -> bool {
        if self.hooks.wanted().contains(HookSet::AUTHORIZER_DELIVERIES) {
            let mut allowed = Vec::with_capacity(deliveries.len());
            for (entry, delivery) in deliveries {
                if self.may_receive(&entry, message, delivery.qos, now).await {
                    allowed.push((entry, delivery));
                }
            }
            deliveries = allowed;
        }
        if deliveries.is_empty() {
            return false;
        }
        let outcome = if self.hooks.wanted().contains(HookSet::INTERCEPTING_CLIENT_ENQUEUE) {
            let receivers: Vec<Receiver> =
                deliveries.iter().map(|(entry, delivery)| receiver(entry, delivery)).collect();
            let context = EnqueueContext { sender, message, receivers: &receivers, now };
            self.hooks.intercepting_client_enqueue(context).get().await
        } else {
            EnqueueOutcome::Deliver
        };
        self.carry_out(outcome, deliveries, replayed)
    }

    fn carry_out(
        &self,
        outcome: EnqueueOutcome,
        deliveries: Vec<(Arc<SessionEntry>, Delivery)>,
        replayed: Option<&Arc<ApplicationMessage>>,
    ) -> bool {
        let (choices, copies) = match outcome {
            EnqueueOutcome::Skip => return false,
            EnqueueOutcome::Deliver => (vec![Choice::Deliver; deliveries.len()], Vec::new()),
            EnqueueOutcome::Choose { choices, copies } => (choices, copies),
        };
        let copies: Vec<_> = copies.into_iter().map(Arc::new).collect();
        let mut detached = Detached::default();
        let _group = self.group_of(deliveries.len());
        let mut delivered = false;
        for ((entry, mut delivery), choice) in deliveries.into_iter().zip(choices) {
            match choice {
                Choice::Skip => continue,
                Choice::Deliver => {}
                Choice::Copy(index) => {
                    let Some(copy) = copies.get(index as usize) else { continue };
                    delivery.qos = delivery.qos.min(copy.qos);
                    let original = Some(std::mem::replace(&mut delivery.message, copy.clone()));
                    if let Some(shared) = &mut delivery.shared {
                        *shared = Arc::new(Shared { filter: shared.filter.clone(), original });
                    }
                }
            }
            delivered = true;
            self.deliver(&entry, delivery, &mut detached, replayed);
        }
        delivered
    }

    async fn may_receive(
        &self,
        entry: &Arc<SessionEntry>,
        message: &ApplicationMessage,
        qos: QoS,
        now: Timestamp,
    ) -> bool {
        let (client, mut cache) = {
            let mut state = entry.lock();
            (state.last_client.clone(), std::mem::take(&mut state.delivery_verdicts))
        };
        let context = AuthorizeContext {
            client: &client,
            action: Action::Deliver,
            topic: message.topic.as_str(),
            qos,
            retain: message.retain,
        };
        let allowed = self.authorize(context, &mut cache, now).await.is_ok();
        let mut state = entry.lock();
        if state.last_client.key == client.key {
            state.delivery_verdicts = cache;
        }
        allowed
    }
}

/// One delivery per session out of its own subscriptions that match, which stand beside each other, and one
/// out of each Shared Subscription.
fn merge<'a>(
    matches: &'a mut Vec<Match>,
    message: &'a Arc<ApplicationMessage>,
) -> impl Iterator<Item = (Arc<SessionEntry>, Delivery)> + 'a {
    let mut rest = matches.drain(..).peekable();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let retain = |subscription: Subscription| message.retain && subscription.retain_as_published;
        let mut delivery =
            Delivery::new(message.clone(), first.subscription.maximum_qos, retain(first.subscription));
        delivery.subscription_identifiers = identifiers(first.subscription);
        delivery.shared = first.shared;
        let is_plain = delivery.shared.is_none();
        let is_same =
            |next: &Match| is_plain && next.shared.is_none() && Arc::ptr_eq(&next.entry, &first.entry);
        while let Some(same) = rest.next_if(is_same) {
            delivery.qos = delivery.qos.max(message.qos.min(same.subscription.maximum_qos));
            delivery.retain |= retain(same.subscription);
            if let Some(identifier) = same.subscription.identifier {
                let mut all = std::mem::take(&mut delivery.subscription_identifiers).into_vec();
                all.push(identifier.get());
                delivery.subscription_identifiers = all.into();
            }
        }
        Some((first.entry, delivery))
    })
}

/// A session's own subscriptions that match, as one.
fn receiver_of(subscriptions: &[Match]) -> matches::Receiver {
    let all = || subscriptions.iter().map(|found| found.subscription);
    matches::Receiver {
        entry: subscriptions.first().map(|found| Arc::downgrade(&found.entry)).unwrap_or_default(),
        maximum_qos: all().map(|subscription| subscription.maximum_qos).max().unwrap_or_default(),
        retain_as_published: all().any(|subscription| subscription.retain_as_published),
        subscription_identifiers: all().filter_map(|it| it.identifier).map(|it| it.get()).collect(),
    }
}

pub(super) fn identifiers(subscription: Subscription) -> Box<[u32]> {
    subscription.identifier.iter().map(|identifier| identifier.get()).collect()
}

fn receiver(entry: &SessionEntry, delivery: &Delivery) -> Receiver {
    Receiver {
        client: entry.connected(),
        session: entry.number,
        client_identifier: entry.client_identifier.clone(),
        qos: delivery.qos,
        retain: delivery.retain,
    }
}
