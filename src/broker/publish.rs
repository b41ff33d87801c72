//! The publish pipeline: the same for a client's message, a Will, an injected, bridged or cluster message.

use std::sync::Arc;

use super::authorize::AuthorizationCache;
use super::fan_out::FannedOut;
use super::retained::NotRetained;
use super::statistics::Count;
use super::{Broker, DueWill, is_system_topic};
use crate::hook::{
    Action, AuthorizeContext, ClientInfo, HookSet, NotConsumedContext, NotConsumedOutcome, PublishContext,
    PublishOutcome, PublishVerdict, Reply, WhyNotConsumed,
};
use crate::message::{ApplicationMessage, Origin, Timestamp};
use crate::packet::ReasonCode;
use crate::topic::TopicName;

/// What the publisher is told.
#[derive(Debug)]
pub struct Published {
    pub reason: ReasonCode,
    pub reply: Option<Box<Reply>>,
    /// The broker could not do what it should have done: who cannot be told so is not acknowledged.
    pub failed: bool,
}

impl Published {
    fn told(reason: ReasonCode) -> Published {
        Published { reason, reply: None, failed: false }
    }

    fn failed() -> Published {
        Published { failed: true, ..Published::told(NotRetained::Failed.reason()) }
    }

    /// A message that could not be retained was routed all the same.
    fn after(retained: Result<(), NotRetained>, routed: ReasonCode) -> Published {
        Published::told(match retained {
            Err(why) if !routed.is_error() => why.reason(),
            _ => routed,
        })
    }
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
        if self.publishes_unasked(client, &message.topic) {
            return self.publish_unasked(client, message);
        }
        let now = self.now();
        let (message, reply) = match self.intercept(client, message, now).await {
            Ok(passed) => passed,
            Err(stopped) => {
                self.counters.count(Count::StoppedByHook);
                return stopped;
            }
        };
        if let Err(reason) = self.check_topic(&message) {
            return Published { reply, ..Published::told(reason) };
        }
        if let Err(reason) = self.authorize_publish(client, &message, cache, now).await {
            return Published { reply, ..Published::told(reason) };
        }
        let retained = self.retain_if_asked(&message);
        if retained == Err(NotRetained::Failed) {
            return Published { reply, ..Published::failed() };
        }
        // Those who subscribe now get it also where no more can be retained.
        let routed = self.route(client, message, now).await;
        Published { reply, ..Published::after(retained, routed) }
    }

    /// Whether no hook has a say in what this client, or the broker itself, publishes to a topic.
    pub fn publishes_unasked(&self, client: Option<&Arc<ClientInfo>>, topic: &TopicName) -> bool {
        client.is_none_or(|client| client.listener.default_authorization)
            && (!self.hooks.wanted().intersects(HookSet::PUBLISHING)
                || !self.hooks.wanted_of(topic).intersects(HookSet::PUBLISHING))
    }

    /// The same as [`publish`](Broker::publish) where [no hook has a say](Broker::publishes_unasked), which needs no
    /// waiting. In a function of its own because a future of many steps moves the message at each of them.
    pub fn publish_unasked(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: ApplicationMessage,
    ) -> Published {
        if let Err(reason) = self.check_topic(&message) {
            return Published::told(reason);
        }
        let retained = self.retain_if_asked(&message);
        if retained == Err(NotRetained::Failed) {
            return Published::failed();
        }
        let routed = match self.fan_out_unasked(client, Arc::new(message)) {
            FannedOut::Consumed => ReasonCode::SUCCESS,
            FannedOut::NotConsumed(why) => self.count_not_consumed(why),
        };
        Published::after(retained, routed)
    }

    /// What no client may publish to.
    fn check_topic(&self, message: &ApplicationMessage) -> Result<(), ReasonCode> {
        let over = if is_system_topic(message.topic.as_str()) {
            Some(Count::SystemTopicsRefused)
        } else {
            self.options.limit_of_name(&message.topic)
        };
        match over {
            None => Ok(()),
            Some(count) => {
                self.counters.count(count);
                Err(ReasonCode::TOPIC_NAME_INVALID)
            }
        }
    }

    fn retain_if_asked(&self, message: &ApplicationMessage) -> Result<(), NotRetained> {
        if message.retain && self.options.retain_available { self.retain(message) } else { Ok(()) }
    }

    /// Publishes a Will Message as the client that left it.
    pub async fn publish_will(&self, mut will: DueWill) {
        // Its Message Expiry Interval begins now (MQTT 5.0, 3.1.3.2.4).
        let expiry =
            will.message.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        will.message.expires_at = expiry.map(|seconds| self.now().after_secs(seconds));
        let mut cache = AuthorizationCache::default();
        let Published { reason, .. } = self.publish(Some(&will.client), will.message, &mut cache).await;
        if reason.is_error() {
            let client = &will.client.client_identifier;
            tracing::debug!(%client, %reason, "a Will Message was not published");
        }
    }

    /// intercepting-publish.
    async fn intercept(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: ApplicationMessage,
        now: Timestamp,
    ) -> Result<(ApplicationMessage, Option<Box<Reply>>), Published> {
        if !self.hooks.wanted().contains(HookSet::INTERCEPTING_PUBLISH) {
            return Ok((message, None));
        }
        let context = PublishContext { client, message: &message, now };
        let PublishOutcome { verdict, reply } = self.hooks.intercepting_publish(context).get().await;
        match verdict {
            PublishVerdict::Continue => Ok((message, reply)),
            PublishVerdict::Modify(changed) => {
                let ApplicationMessage { origin, publisher, depth, .. } = message;
                Ok((ApplicationMessage { origin, publisher, depth, ..*changed }, reply))
            }
            PublishVerdict::Swallow => Err(Published { reason: ReasonCode::SUCCESS, reply, failed: false }),
            PublishVerdict::Reject(reason) => Err(Published { reason, reply, failed: false }),
        }
    }

    /// On the final topic. What the broker or another node publishes needs no leave.
    async fn authorize_publish(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: &ApplicationMessage,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Result<(), ReasonCode> {
        let Some(client) = client.filter(|_| matches!(message.origin, Origin::Client | Origin::Will)) else {
            return Ok(());
        };
        if self.authorizes_everything(client) {
            return Ok(());
        }
        let context = AuthorizeContext {
            client,
            action: Action::Publish,
            topic: message.topic.as_str(),
            qos: message.qos,
            retain: message.retain,
        };
        self.authorize(context, cache, now).await
    }

    async fn route(
        &self,
        client: Option<&Arc<ClientInfo>>,
        message: ApplicationMessage,
        now: Timestamp,
    ) -> ReasonCode {
        let message = Arc::new(message);
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
