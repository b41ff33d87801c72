//! SUBSCRIBE and UNSUBSCRIBE: the hooks see the whole packet, then the index changes filter by filter.

use std::iter::repeat;
use std::num::NonZeroU32;

use super::attachment::Attachment;
use super::authorize::AuthorizationCache;
use super::retained::Replay;
use super::session_entry::{EntryState, SessionKey};
use super::statistics::Count;
use crate::hook::{
    AuthorizeContext, HookSet, Reply, SubscribeContext, SubscribeOutcome, SubscribeVerdict,
    SubscriptionRequest, UnsubscribeContext, UnsubscribeOutcome, UnsubscribeVerdict, What,
};
use crate::message::Timestamp;
use crate::packet::{ReasonCode, RetainHandling};
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
        if let Some(reason) = self.broker.options.unavailable(&request.filter) {
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
        if request.maximum_qos > self.broker.options.maximum_qos {
            request.maximum_qos = self.broker.options.maximum_qos;
            self.broker.counters.count(Count::LimitQos);
        }
        let context =
            AuthorizeContext::subscribe(self.client(), request.filter.as_str(), request.maximum_qos);
        if let Err(reason) = self.broker.authorize(context, cache, now).await {
            return failure(reason);
        }
        if let Some(limit) = self.broker.options.limit_of_filter(&request.filter) {
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
        let maximum = self.broker.options.maximum_subscriptions;
        let added = self.with_state(|state| {
            // It was deleted meanwhile, and nothing would take the subscription out of the index any more.
            if state.gone {
                return Err(ReasonCode::UNSPECIFIED_ERROR);
            }
            let known = state.session.subscriptions.get(&asked).is_some();
            if !known && state.session.subscriptions.len() >= maximum {
                self.broker.counters.count(Count::LimitSubscriptions);
                return Err(ReasonCode::QUOTA_EXCEEDED);
            }
            let replaced = state.session.subscriptions.insert(asked, filter.clone(), subscription);
            let given_up = replaced.as_ref().map(|replaced| self.unroute(state, replaced));
            self.broker.index.write().insert(&filter, SessionKey(self.entry.clone()), subscription);
            line_up_replay(state, &filter, subscription, known);
            Ok((replaced, given_up))
        });
        let (replaced, given_up) = added.unwrap_or(Err(ReasonCode::UNSPECIFIED_ERROR))?;
        self.broker.hand_on(&self.entry, given_up.unwrap_or_default());
        self.broker.cluster.subscribed(&filter);
        if let Some(Unrouted { filter, other: None }) = replaced {
            self.broker.cluster.unsubscribed(&filter);
        }
        self.broker.event(|| What::ClientSubscribedTopic {
            client: self.client().clone(),
            filter,
            qos: subscription.maximum_qos,
        });
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
        let removed = self.with_state(|state| {
            let removed = state.session.subscriptions.remove(asked)?;
            let given_up = self.unroute(state, &removed);
            Some((removed, given_up))
        });
        let Some((Unrouted { filter, other }, given_up)) = removed.flatten() else {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        };
        self.broker.hand_on(&self.entry, given_up);
        if other.is_none() {
            self.broker.cluster.unsubscribed(&filter);
        }
        self.broker.event(|| What::ClientUnsubscribedTopic { client: self.client().clone(), filter });
        ReasonCode::SUCCESS
    }

    /// Ends the routing of a subscription that is no more, or leaves it to the other that shares it. Returns what
    /// the session leaves to the other members of a Shared Subscription: all that was not sent yet. Delivery of
    /// the rest is completed [MQTT-3.10.4-3].
    fn unroute(&self, state: &mut EntryState, removed: &Unrouted) -> Vec<Delivery> {
        let key = SessionKey(self.entry.clone());
        match removed.other {
            Some(other) => {
                self.broker.index.write().insert(&removed.filter, key, other);
                return Vec::new();
            }
            None => {
                self.broker.index.write().remove(&removed.filter, &key);
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
