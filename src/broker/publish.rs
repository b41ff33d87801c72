//! The publish pipeline: the same for a client's message, a Will, an injected, bridged or cluster message.

use std::sync::Arc;

use super::authorize::{Asked, AuthorizationCache, Generation};
use super::fan_out::{FannedOut, asks_before_delivery};
use super::retained::NotRetained;
use super::statistics::Count;
use super::{Broker, is_system_topic};
use crate::hook::{
    Action, Answer, Authorization, AuthorizeContext, ClientInfo, HookSet, Later, NotConsumedContext,
    NotConsumedOutcome, PublishContext, PublishOutcome, PublishVerdict, Reply, WhyNotConsumed,
};
use crate::message::{ApplicationMessage, Origin, Timestamp};
use crate::packet::{ProtocolVersion, ReasonCode};

/// What the publisher is told.
#[derive(Debug)]
pub struct Published {
    pub reason: ReasonCode,
    pub reply: Option<Box<Reply>>,
    /// The broker could not do what it should have done: who cannot be told so is not acknowledged.
    pub failed: bool,
    /// It went to its receivers, whatever the publisher is told.
    pub routed: bool,
}

impl Published {
    fn told(reason: ReasonCode) -> Published {
        Published { reason, reply: None, failed: false, routed: false }
    }

    /// What would have to be kept cannot be.
    pub fn failed(reason: ReasonCode) -> Published {
        Published { failed: true, ..Published::told(reason) }
    }

    /// A message that could not be retained was routed all the same.
    fn after(retained: Result<(), NotRetained>, routed: ReasonCode) -> Published {
        let reason = match retained {
            Err(why) if !routed.is_error() => why.reason(),
            _ => routed,
        };
        Published { routed: true, ..Published::told(reason) }
    }

    /// Whether the message is not to be published when it is sent again. One that is refused is a new one then, and
    /// must not be known by its identifier after a crash.
    pub fn is_received(&self, version: ProtocolVersion) -> bool {
        let is_told = version == ProtocolVersion::V5 && self.reason.is_error();
        self.routed || !self.failed && !is_told
    }
}

/// How far a message came.
pub enum Step {
    Done(Published),
    /// To be given to [`Broker::go_on`].
    Waits(Box<Publishing>),
}

impl Step {
    fn told(reason: ReasonCode, reply: Option<Box<Reply>>) -> Step {
        Step::Done(Published { reply, ..Published::told(reason) })
    }
}

/// A message on its way through the pipeline, for which something has to be waited for.
pub struct Publishing {
    reply: Option<Box<Reply>>,
    now: Timestamp,
    waits_for: WaitsFor,
}

enum WaitsFor {
    Interceptor(Arc<ApplicationMessage>, Later<PublishOutcome>),
    Authorizer(Arc<ApplicationMessage>, Generation, Later<Authorization>),
    /// Those who are asked about its receivers.
    Receivers(Arc<ApplicationMessage>, Result<(), NotRetained>),
    /// Those who are asked where there are none.
    NotConsumed(Arc<ApplicationMessage>, WhyNotConsumed, Result<(), NotRetained>),
}

/// What the steps of the pipeline have in common.
struct Context<'a> {
    client: Option<&'a Arc<ClientInfo>>,
    /// The verdicts of that client.
    cache: &'a mut AuthorizationCache,
    now: Timestamp,
    /// Who is asked in these steps.
    wanted: HookSet,
}

impl Broker {
    /// Takes a message through hooks, authorizer, retained store and fan-out.
    ///
    /// `client` is who it came from, where it came from a client; `cache` holds that client's verdicts.
    pub async fn publish(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: ApplicationMessage,
        cache: &mut AuthorizationCache,
    ) -> Published {
        match self.publish_at_once(client, Arc::new(message), cache, self.now()) {
            Step::Done(published) => published,
            Step::Waits(publishing) => self.go_on(client, publishing, cache).await,
        }
    }

    /// The same as far as nothing has to be waited for, which is all of it where hooks answer at once. No future, as
    /// one of many steps moves the message at each of them.
    pub fn publish_at_once(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Step {
        let context = self.context(client, cache, now);
        if !context.wanted.contains(HookSet::INTERCEPTING_PUBLISH) {
            return self.authorize_publish(context, message, None);
        }
        let answer = self.intercept(client, &message, now);
        self.publish_intercepted(client, message, answer, cache, now)
    }

    fn context<'a>(
        &self,
        client: Option<&'a Arc<ClientInfo>>,
        cache: &'a mut AuthorizationCache,
        now: Timestamp,
    ) -> Context<'a> {
        Context { client, cache, now, wanted: self.hooks.wanted() }
    }

    /// Whether hooks are asked about messages and nobody is about receivers, so that a message goes through all that
    /// follows at once, as a rule.
    pub fn intercepts_publishes(&self) -> bool {
        let wanted = self.hooks.wanted();
        wanted.contains(HookSet::INTERCEPTING_PUBLISH) && !asks_before_delivery(wanted)
    }

    /// The first step of [`publish_at_once`](Broker::publish_at_once) by itself.
    pub fn intercept(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: &ApplicationMessage,
        now: Timestamp,
    ) -> Answer<PublishOutcome> {
        self.hooks.intercepting_publish(PublishContext { client, message, now })
    }

    /// The steps after [`intercept`](Broker::intercept).
    pub fn publish_intercepted(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
        answer: Answer<PublishOutcome>,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Step {
        let context = self.context(client, cache, now);
        match answer {
            Answer::Ready(outcome) => self.intercepted(context, message, outcome),
            Answer::Later(answer) => context.waits(None, WaitsFor::Interceptor(message, answer)),
        }
    }

    /// Waits for what there is to wait for, and does the rest.
    pub async fn go_on(
        &self,
        client: Option<&Arc<ClientInfo>>,
        publishing: Box<Publishing>,
        cache: &mut AuthorizationCache,
    ) -> Published {
        let mut step = Step::Waits(publishing);
        loop {
            let Publishing { reply, now, waits_for } = match step {
                Step::Done(published) => return published,
                Step::Waits(publishing) => *publishing,
            };
            step = match waits_for {
                WaitsFor::Interceptor(message, answer) => {
                    let outcome = answer.await;
                    self.intercepted(self.context(client, cache, now), message, outcome)
                }
                WaitsFor::Authorizer(message, generation, answer) => {
                    let answer = (generation, answer.await);
                    self.authorized(self.context(client, cache, now), message, reply, answer)
                }
                WaitsFor::Receivers(message, retained) => {
                    let routed = self.route(client, message, now).await;
                    Step::Done(Published { reply, ..Published::after(retained, routed) })
                }
                WaitsFor::NotConsumed(message, why, retained) => {
                    let routed = self.not_consumed(client, &message, why, now).await;
                    Step::Done(Published { reply, ..Published::after(retained, routed) })
                }
            };
        }
    }

    fn intercepted(
        &self,
        context: Context<'_>,
        message: Arc<ApplicationMessage>,
        outcome: PublishOutcome,
    ) -> Step {
        let PublishOutcome { verdict, reply, .. } = outcome;
        let reason = match verdict {
            PublishVerdict::Continue => return self.authorize_publish(context, message, reply),
            PublishVerdict::Modify(changed) => {
                let ApplicationMessage { origin, publisher, depth, .. } = *message;
                let message = ApplicationMessage { origin, publisher, depth, ..*changed };
                return self.authorize_publish(context, Arc::new(message), reply);
            }
            PublishVerdict::Swallow => ReasonCode::SUCCESS,
            PublishVerdict::Reject(reason) => reason,
        };
        self.counters.count(Count::StoppedByHook);
        Step::told(reason, reply)
    }

    /// On the final topic. What the broker or another node publishes needs no leave.
    fn authorize_publish(
        &self,
        context: Context<'_>,
        message: Arc<ApplicationMessage>,
        reply: Option<Box<Reply>>,
    ) -> Step {
        if let Err(reason) = self.check_topic(&message) {
            return Step::told(reason, reply);
        }
        let has_authorizer = context.wanted.contains(HookSet::AUTHORIZER);
        let asks = |client: &&Arc<ClientInfo>| {
            matches!(message.origin, Origin::Client | Origin::Will)
                && (has_authorizer || !client.listener.default_authorization)
        };
        let Some(client) = context.client.filter(asks) else {
            return self.retain_and_route(context, message, reply);
        };
        match self.ask_authorizer(about(client, &message), context.cache, context.now) {
            Asked::Known(Ok(())) => self.retain_and_route(context, message, reply),
            Asked::Known(Err(reason)) => Step::told(reason, reply),
            Asked::Answer(generation, Answer::Ready(answer)) => {
                self.authorized(context, message, reply, (generation, answer))
            }
            Asked::Answer(generation, Answer::Later(answer)) => {
                context.waits(reply, WaitsFor::Authorizer(message, generation, answer))
            }
        }
    }

    fn authorized(
        &self,
        context: Context<'_>,
        message: Arc<ApplicationMessage>,
        reply: Option<Box<Reply>>,
        (generation, answer): (Generation, Authorization),
    ) -> Step {
        let verdict = context.client.map_or(Ok(()), |client| {
            self.verdict(&about(client, &message), generation, answer, context.cache, context.now)
        });
        match verdict {
            Ok(()) => self.retain_and_route(context, message, reply),
            Err(reason) => Step::told(reason, reply),
        }
    }

    fn retain_and_route(
        &self,
        context: Context<'_>,
        message: Arc<ApplicationMessage>,
        reply: Option<Box<Reply>>,
    ) -> Step {
        // Nobody is told of a Will, so that nobody would send it again.
        if message.origin != Origin::Will
            && let Some(reason) = self.storage_fails()
            && self.is_to_be_kept(context.client, &message)
        {
            return Step::Done(Published { reply, ..Published::failed(reason) });
        }
        let retained =
            if message.retain && self.options().retain_available { self.retain(&message) } else { Ok(()) };
        // Those who subscribe now get it also where no more can be retained.
        if asks_before_delivery(context.wanted) {
            return context.waits(reply, WaitsFor::Receivers(message, retained));
        }
        let asks_if_not_consumed = context.wanted.contains(HookSet::APPLICATION_MESSAGE_NOT_CONSUMED);
        let kept = asks_if_not_consumed.then(|| message.clone());
        let routed = match (self.fan_out_unasked(context.client, message), kept) {
            (FannedOut::Consumed, _) => ReasonCode::SUCCESS,
            (FannedOut::NotConsumed(why), Some(message)) => {
                return context.waits(reply, WaitsFor::NotConsumed(message, why, retained));
            }
            (FannedOut::NotConsumed(why), None) => self.count_not_consumed(why),
        };
        Step::Done(Published { reply, ..Published::after(retained, routed) })
    }

    /// What no client may publish to.
    fn check_topic(&self, message: &ApplicationMessage) -> Result<(), ReasonCode> {
        let over = if is_system_topic(message.topic.as_str()) {
            Some(Count::SystemTopicsRefused)
        } else {
            self.options().limit_of_name(&message.topic)
        };
        match over {
            None => Ok(()),
            Some(count) => {
                self.counters.count(count);
                Err(ReasonCode::TOPIC_NAME_INVALID)
            }
        }
    }

    async fn route(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: Arc<ApplicationMessage>,
        now: Timestamp,
    ) -> ReasonCode {
        match self.fan_out(client, message.clone(), now).await {
            FannedOut::Consumed => ReasonCode::SUCCESS,
            FannedOut::NotConsumed(why) => self.not_consumed(client, &message, why, now).await,
        }
    }

    /// application-message-not-consumed.
    async fn not_consumed(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: &Arc<ApplicationMessage>,
        why: WhyNotConsumed,
        now: Timestamp,
    ) -> ReasonCode {
        let nobody = self.count_not_consumed(why);
        if !self.hooks.wanted().contains(HookSet::APPLICATION_MESSAGE_NOT_CONSUMED) {
            return nobody;
        }
        let context = NotConsumedContext { client, message, why, now };
        match self.hooks.application_message_not_consumed(context).get().await {
            NotConsumedOutcome::Observe => nobody,
            NotConsumedOutcome::Answer(reason) => reason,
            NotConsumedOutcome::Redirect(topic) if is_system_topic(topic.as_str()) => nobody,
            NotConsumedOutcome::Redirect(topic) => {
                let redirected = Arc::new(ApplicationMessage { topic, ..message.as_ref().clone() });
                match self.fan_out(client, redirected, now).await {
                    FannedOut::Consumed => ReasonCode::SUCCESS,
                    FannedOut::NotConsumed(_) => nobody,
                }
            }
        }
    }

    /// What a publisher is told whose message nobody got.
    fn count_not_consumed(&self, why: WhyNotConsumed) -> ReasonCode {
        self.counters.count(Count::NotConsumed);
        match why {
            WhyNotConsumed::NoSubscriber => ReasonCode::NO_MATCHING_SUBSCRIBERS,
            WhyNotConsumed::AllVetoed => ReasonCode::SUCCESS,
        }
    }
}

impl Context<'_> {
    fn waits(self, reply: Option<Box<Reply>>, waits_for: WaitsFor) -> Step {
        Step::Waits(Box::new(Publishing { reply, now: self.now, waits_for }))
    }
}

/// What the authorizer is asked.
fn about<'a>(client: &'a Arc<ClientInfo>, message: &'a ApplicationMessage) -> AuthorizeContext<'a> {
    AuthorizeContext {
        client,
        action: Action::Publish,
        topic: message.topic.as_str(),
        qos: message.qos,
        retain: message.retain,
    }
}
