//! SUBSCRIBE and UNSUBSCRIBE: the hooks see the whole packet, then the index changes filter by filter.

use std::iter::repeat;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Broker;
use super::attachment::Attachment;
use super::authorize::AuthorizationCache;
use super::retained::Replay;
use super::session_entry::{EntryState, SessionEntry, SessionKey};
use super::statistics::Count;
use crate::hook::{
    AuthorizeContext, ClientInfo, HookSet, Reply, SubscribeContext, SubscribeOutcome, SubscribeVerdict,
    SubscriptionRequest, UnsubscribeContext, UnsubscribeOutcome, UnsubscribeVerdict, What,
};
use crate::message::Timestamp;
use crate::packet::{QoS, ReasonCode, RetainHandling};
use crate::session::{Delivery, Subscription, Unrouted};
use crate::topic::TopicFilter;

/// What a filter gets about which a hook said nothing.
const UNJUDGED: ReasonCode = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;

/// What SUBACK says.
#[derive(Debug)]
pub struct Subscribed {
    /// One per filter, in their order [MQTT-3.9.3-1].
    pub reason_codes: Vec<ReasonCode>,
    pub reply: Option<Box<Reply>>,
}

/// What UNSUBACK says.
#[derive(Debug)]
pub struct Unsubscribed {
    pub reason_codes: Vec<ReasonCode>,
    pub reply: Option<Box<Reply>>,
}

impl Attachment {
    /// Subscribes, and lines up the retained messages that the new subscriptions are to get.
    pub async fn subscribe(
        &self,
        requests: Vec<SubscriptionRequest>,
        identifier: Option<NonZeroU32>,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Subscribed {
        let SubscribeOutcome { verdicts, reply } = self.ask_about_subscriptions(&requests, identifier).await;
        let mut reason_codes = Vec::with_capacity(requests.len());
        // One Reason Code per filter, however many verdicts there are [MQTT-3.8.4-6].
        let verdicts = verdicts.into_iter().chain(repeat(SubscribeVerdict::Deny(UNJUDGED)));
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            reason_codes.push(self.subscribe_one(request, verdict, identifier, cache, now).await);
            // A packet may hold ten thousand filters, and others of this thread wait.
            tokio::task::consume_budget().await;
        }
        Subscribed { reason_codes, reply }
    }

    pub async fn unsubscribe(&self, filters: Vec<TopicFilter>) -> Unsubscribed {
        let UnsubscribeOutcome { verdicts, reply } = self.ask_about_unsubscriptions(&filters).await;
        let mut reason_codes = Vec::with_capacity(filters.len());
        // One Reason Code per filter, however many verdicts there are [MQTT-3.11.3-1].
        let verdicts = verdicts.into_iter().chain(repeat(UnsubscribeVerdict::Deny(UNJUDGED)));
        for (filter, verdict) in filters.into_iter().zip(verdicts) {
            reason_codes.push(match verdict {
                UnsubscribeVerdict::Deny(reason) => failure(reason),
                UnsubscribeVerdict::Keep => ReasonCode::SUCCESS,
                UnsubscribeVerdict::Next => self.unsubscribe_one(&filter),
            });
            tokio::task::consume_budget().await;
        }
        Unsubscribed { reason_codes, reply }
    }

    async fn ask_about_subscriptions(
        &self,
        requests: &[SubscriptionRequest],
        identifier: Option<NonZeroU32>,
    ) -> SubscribeOutcome {
        let hooks = self.broker.hooks();
        if !hooks.wanted().contains(HookSet::INTERCEPTING_SUBSCRIPTION) {
            return SubscribeOutcome::all_next(requests.len());
        }
        let context = SubscribeContext {
            client: self.client(),
            subscriptions: requests,
            subscription_identifier: identifier.map(NonZeroU32::get),
        };
        hooks.intercepting_subscription(context).get().await
    }

    async fn ask_about_unsubscriptions(&self, filters: &[TopicFilter]) -> UnsubscribeOutcome {
        let hooks = self.broker.hooks();
        if !hooks.wanted().contains(HookSet::INTERCEPTING_UNSUBSCRIPTION) {
            return UnsubscribeOutcome::all_next(filters.len());
        }
        let context = UnsubscribeContext { client: self.client(), filters };
        hooks.intercepting_unsubscription(context).get().await
    }

    async fn subscribe_one(
        &self,
        mut request: SubscriptionRequest,
        verdict: SubscribeVerdict,
        identifier: Option<NonZeroU32>,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> ReasonCode {
        if let Some(reason) = self.broker.options().unavailable(&request.filter) {
            self.broker.counters.count(Count::SubscriptionsUnavailable);
            return reason;
        }
        let asked = request.filter.clone();
        let mut routes = true;
        match verdict {
            SubscribeVerdict::Deny(reason) => return failure(reason),
            SubscribeVerdict::Next => {}
            SubscribeVerdict::GrantWithoutRouting => routes = false,
            SubscribeVerdict::Grant { maximum_qos, filter } => {
                request.maximum_qos = request.maximum_qos.min(maximum_qos);
                request.filter = filter.unwrap_or(request.filter);
            }
        }
        if request.maximum_qos > self.broker.options().maximum_qos {
            request.maximum_qos = self.broker.options().maximum_qos;
            self.broker.counters.count(Count::LimitQos);
        }
        let context =
            AuthorizeContext::subscribe(self.client(), request.filter.as_str(), request.maximum_qos);
        if let Err(reason) = self.broker.authorize(context, cache, now).await {
            return failure(reason);
        }
        if let Some(limit) = self.broker.options().limit_of_filter(&request.filter) {
            self.broker.counters.count(limit);
            return ReasonCode::TOPIC_FILTER_INVALID;
        }
        let granted = ReasonCode::from(request.maximum_qos);
        let added = if routes { self.add(asked, request, identifier) } else { self.stop_routing(&asked) };
        added.map_or_else(|reason| reason, |()| granted)
    }

    /// Puts a subscription into the session, as the client asked for it, and into the index, as it is routed.
    fn add(
        &self,
        asked: TopicFilter,
        request: SubscriptionRequest,
        identifier: Option<NonZeroU32>,
    ) -> Result<(), ReasonCode> {
        let subscription = Subscription {
            maximum_qos: request.maximum_qos,
            no_local: request.no_local,
            retain_as_published: request.retain_as_published,
            retain_handling: request.retain_handling,
            identifier,
        };
        let filter = request.filter;
        let add = |state: &mut EntryState| {
            self.broker.add_to_session(&self.entry, state, asked, &filter, subscription)
        };
        let added = self.with_state(add).unwrap_or(Err(ReasonCode::UNSPECIFIED_ERROR))?;
        self.broker.subscribed(&self.entry, self.client(), filter, subscription.maximum_qos, added);
        Ok(())
    }

    /// Nothing is routed from now on for what the client subscribes, though it may have been before.
    fn stop_routing(&self, asked: &TopicFilter) -> Result<(), ReasonCode> {
        if self.with_state(|state| state.gone) != Some(false) {
            return Err(ReasonCode::UNSPECIFIED_ERROR);
        }
        self.unsubscribe_one(asked);
        Ok(())
    }

    /// Ends the subscription that the client asked for with this filter [MQTT-3.10.4-1].
    fn unsubscribe_one(&self, asked: &TopicFilter) -> ReasonCode {
        let remove = |state: &mut EntryState| self.broker.remove_from_session(&self.entry, state, asked);
        let Some(removed) = self.with_state(remove).flatten() else {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        };
        self.broker.unsubscribed(&self.entry, self.client(), removed);
        ReasonCode::SUCCESS
    }
}

/// What a new subscription has replaced, and what its session leaves to other members of a shared one.
struct Added {
    replaced: Option<Unrouted>,
    given_up: Vec<Delivery>,
}

/// The same of one that has ended.
struct Removed {
    unrouted: Unrouted,
    given_up: Vec<Delivery>,
}

impl Broker {
    /// Subscribes a session as if its client had asked. No hook is asked.
    ///
    /// # Errors
    /// Where there is no such session, or the Reason Code that SUBACK would have.
    pub fn subscribe_session(
        &self,
        client_identifier: &str,
        filter: TopicFilter,
        maximum_qos: QoS,
    ) -> Result<(), ReasonCode> {
        let subscription = Subscription {
            maximum_qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
            identifier: None,
        };
        self.subscribe_session_with(client_identifier, filter, subscription)
    }

    /// The same with all that a subscription may have.
    ///
    /// # Errors
    /// As [`subscribe_session`](Broker::subscribe_session).
    pub fn subscribe_session_with(
        &self,
        client_identifier: &str,
        filter: TopicFilter,
        mut subscription: Subscription,
    ) -> Result<(), ReasonCode> {
        let refused = self.options().unavailable(&filter);
        let refused =
            refused.or(self.options().limit_of_filter(&filter).map(|_| ReasonCode::TOPIC_FILTER_INVALID));
        if let Some(reason) = refused {
            return Err(reason);
        }
        let entry = self.registry.find(client_identifier).ok_or(ReasonCode::UNSPECIFIED_ERROR)?;
        subscription.maximum_qos = subscription.maximum_qos.min(self.options().maximum_qos);
        let (added, client, call) = {
            let mut state = entry.lock();
            let added = self.add_to_session(&entry, &mut state, filter.clone(), &filter, subscription)?;
            entry.note_load(&state);
            (added, state.last_client.clone(), state.call_for_work())
        };
        if let Some(call) = call {
            call.make();
        }
        self.subscribed(&entry, &client, filter, subscription.maximum_qos, added);
        Ok(())
    }

    /// What a session subscribes, as its client asked for it. Empty where there is no such session.
    pub fn subscriptions_of(&self, client_identifier: &str) -> Vec<(TopicFilter, Subscription)> {
        let Some(entry) = self.registry.find(client_identifier) else { return Vec::new() };
        let state = entry.lock();
        let asked = state.session.subscriptions.iter_asked();
        asked.map(|(filter, _, subscription)| (filter.clone(), *subscription)).collect()
    }

    /// Ends a subscription of a session as if its client had asked. No hook is asked. Says whether there was one.
    pub fn unsubscribe_session(&self, client_identifier: &str, filter: &TopicFilter) -> bool {
        let Some(entry) = self.registry.find(client_identifier) else { return false };
        let (removed, client) = {
            let mut state = entry.lock();
            let removed = self.remove_from_session(&entry, &mut state, filter);
            entry.note_load(&state);
            (removed, state.last_client.clone())
        };
        let was_there = removed.is_some();
        if let Some(removed) = removed {
            self.unsubscribed(&entry, &client, removed);
        }
        was_there
    }

    fn add_to_session(
        &self,
        entry: &Arc<SessionEntry>,
        state: &mut EntryState,
        asked: TopicFilter,
        filter: &TopicFilter,
        subscription: Subscription,
    ) -> Result<Added, ReasonCode> {
        // It was deleted meanwhile, and nothing would take the subscription out of the index any more.
        if state.gone {
            return Err(ReasonCode::UNSPECIFIED_ERROR);
        }
        let known = state.session.subscriptions.get(&asked).is_some();
        if !known && state.session.subscriptions.len() >= self.options().maximum_subscriptions {
            self.counters.count(Count::LimitSubscriptions);
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        entry.keep_subscription(state, &asked, filter, subscription);
        let replaced = state.session.subscriptions.insert(asked, filter.clone(), subscription);
        let given_up =
            replaced.as_ref().map(|replaced| self.unroute(entry, state, replaced)).unwrap_or_default();
        self.index.write().insert(filter, SessionKey(entry.clone()), subscription);
        line_up_replay(state, filter, subscription, known);
        Ok(Added { replaced, given_up })
    }

    /// What is to be done without the session's lock.
    fn subscribed(
        &self,
        entry: &Arc<SessionEntry>,
        client: &Arc<ClientInfo>,
        filter: TopicFilter,
        qos: QoS,
        added: Added,
    ) {
        self.hand_on(entry, added.given_up);
        self.cluster.subscribed(&filter);
        if let Some(Unrouted { filter, other: None }) = added.replaced {
            self.cluster.unsubscribed(&filter);
        }
        self.event(|| What::ClientSubscribedTopic { client: client.clone(), filter, qos });
    }

    fn remove_from_session(
        &self,
        entry: &Arc<SessionEntry>,
        state: &mut EntryState,
        asked: &TopicFilter,
    ) -> Option<Removed> {
        // Also where there is none: the storage may still have one whose end was not answered.
        entry.keep_unsubscribed(state, asked);
        let unrouted = state.session.subscriptions.remove(asked)?;
        let given_up = self.unroute(entry, state, &unrouted);
        Some(Removed { unrouted, given_up })
    }

    /// What is to be done without the session's lock.
    fn unsubscribed(&self, entry: &Arc<SessionEntry>, client: &Arc<ClientInfo>, removed: Removed) {
        let Removed { unrouted: Unrouted { filter, other }, given_up } = removed;
        self.hand_on(entry, given_up);
        if other.is_none() {
            self.cluster.unsubscribed(&filter);
        }
        self.event(|| What::ClientUnsubscribedTopic { client: client.clone(), filter });
    }

    /// Ends the routing of a subscription that is no more, or leaves it to the other that shares it. Returns what
    /// the session leaves to the other members of a Shared Subscription: all that was not sent yet. Delivery of
    /// the rest is completed [MQTT-3.10.4-3].
    fn unroute(
        &self,
        entry: &Arc<SessionEntry>,
        state: &mut EntryState,
        removed: &Unrouted,
    ) -> Vec<Delivery> {
        let key = SessionKey(entry.clone());
        match removed.other {
            Some(other) => {
                self.index.write().insert(&removed.filter, key, other);
                return Vec::new();
            }
            None => {
                self.index.write().remove(&removed.filter, &key);
                state.replays.retain(|replay| replay.filter != removed.filter);
            }
        }
        if removed.filter.share_name().is_none() {
            return Vec::new();
        }
        state.session.give_up_queued(|shared| shared.filter == removed.filter)
    }
}

/// Retained messages are not sent for shared subscriptions (MQTT 5.0, 4.8.2).
fn line_up_replay(state: &mut EntryState, filter: &TopicFilter, subscription: Subscription, known: bool) {
    let wanted = match subscription.retain_handling {
        RetainHandling::SendAtSubscribe => true,
        RetainHandling::SendAtNewSubscribe => !known,
        RetainHandling::DoNotSend => false,
    };
    if wanted && filter.share_name().is_none() {
        // Looked for only where there can be one: new filters come by the thousand.
        if known {
            state.replays.retain(|replay| replay.filter != *filter);
        }
        state.replays.push_back(Replay::new(filter.clone(), subscription));
    }
}

/// A refusal's Reason Code: a hook that denies with one that says success must not grant.
fn failure(reason: ReasonCode) -> ReasonCode {
    if reason.is_error() { reason } else { ReasonCode::UNSPECIFIED_ERROR }
}
