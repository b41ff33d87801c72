//! The port `hook::Hooks`, answered by plugins: at once where all of a chain behave and none may wait, else
//! from a thread aside, with copies of what the hook is about.

use std::sync::Arc;

use bytestring::ByteString;

use super::PluginHost;
use super::chain::publish::PutOff;
use super::chain::{
    Chain, authenticate, authorize, connect, enqueue, must_go_aside, not_consumed, publish, subscribe,
    threads, unsubscribe,
};
use super::options::Hook;
use super::version::{Place, Version};
use crate::hook::{
    Action, Answer, AuthenticateContext, AuthenticateOutcome, Authorization, AuthorizeContext, ClientInfo,
    ConnectContext, ConnectOutcome, EnqueueContext, EnqueueOutcome, Event, HookSet, Hooks,
    NotConsumedContext, NotConsumedOutcome, PublishContext, PublishOutcome, Request, Requester,
    SubscribeContext, SubscribeOutcome, UnsubscribeContext, UnsubscribeOutcome,
};
use crate::packet::ReasonCode;

impl Hooks for PluginHost {
    #[inline]
    fn wanted(&self) -> HookSet {
        self.core.wanted()
    }

    #[inline]
    fn generation(&self) -> u64 {
        self.core.generation()
    }

    fn validating_connection(&self, context: ConnectContext<'_>) -> Answer<ConnectOutcome> {
        const HOOK: Hook = Hook::ValidatingConnection;
        let in_force = self.core.chain();
        let plugins = in_force.about(Some(context.client)).of(HOOK);
        if !must_go_aside(plugins) {
            return Answer::Ready(connect::run(plugins, &context, Place::Inline));
        }
        let (chain, client) = (Arc::clone(&in_force), Arc::clone(context.client));
        let connect = context.connect.clone();
        let job = move |place| {
            let context = ConnectContext { client: &client, connect: &connect };
            connect::run(chain.about(Some(&client)).of(HOOK), &context, place)
        };
        threads(plugins, HOOK, &self.aside).answer(job, connect::refused)
    }

    fn authenticate(&self, context: AuthenticateContext<'_>) -> Answer<AuthenticateOutcome> {
        const HOOK: Hook = Hook::ValidatingConnection;
        let in_force = self.core.chain();
        let plugins = in_force.about(Some(context.client)).of(HOOK);
        if !must_go_aside(plugins) {
            return Answer::Ready(authenticate::run(plugins, &context, Place::Inline));
        }
        let (chain, client) = (Arc::clone(&in_force), Arc::clone(context.client));
        let (connect, exchange) = (context.connect.cloned(), context.exchange.cloned());
        let (method, data) = (context.method.clone(), context.data.cloned());
        let job = move |place| {
            let (connect, data, exchange) = (connect.as_ref(), data.as_ref(), exchange.as_ref());
            let context = AuthenticateContext { client: &client, connect, method: &method, data, exchange };
            authenticate::run(chain.about(Some(&client)).of(HOOK), &context, place)
        };
        threads(plugins, HOOK, &self.aside).answer(job, authenticate::refused)
    }

    fn authorize(&self, context: AuthorizeContext<'_>) -> Answer<Authorization> {
        let in_force = self.core.chain();
        let is_delivery = context.action == Action::Deliver;
        let plugins = authorizers(in_force.about(Some(context.client)), is_delivery);
        if !must_go_aside(plugins) {
            let (answer, close) = authorize::run(plugins, &context, Place::Inline);
            end_connection(close, context.client, &self.requester);
            return Answer::Ready(answer);
        }
        let (chain, client) = (Arc::clone(&in_force), Arc::clone(context.client));
        let (action, qos, retain) = (context.action, context.qos, context.retain);
        let (topic, requester) = (context.topic.to_owned(), self.requester.clone());
        let job = move |place| {
            let plugins = authorizers(chain.about(Some(&client)), is_delivery);
            let context = AuthorizeContext { client: &client, action, topic: &topic, qos, retain };
            let (answer, close) = authorize::run(plugins, &context, place);
            end_connection(close, &client, &requester);
            answer
        };
        threads(plugins, Hook::Authorizer, &self.aside).answer(job, authorize::refused)
    }

    fn intercepting_publish(&self, context: PublishContext<'_>) -> Answer<PublishOutcome> {
        let chain = self.core.chain();
        let asked = chain.about(context.client).intercepting_publish.asked(&context.message.topic);
        if asked.is_empty() {
            return Answer::Ready(PublishOutcome { unasked: true, ..PublishOutcome::default() });
        }
        let outcome = PublishOutcome::default();
        if asked.is_one_on_probation(&context.message.topic) {
            return self.publish_aside(&chain, PutOff { number: 0, outcome }, &context);
        }
        match publish::run(asked, outcome, &context, Place::Inline) {
            Ok(outcome) => Answer::Ready(outcome),
            Err(put_off) => self.publish_aside(&chain, put_off, &context),
        }
    }

    fn intercepting_client_enqueue(&self, context: EnqueueContext<'_>) -> Answer<EnqueueOutcome> {
        const HOOK: Hook = Hook::InterceptingClientEnqueue;
        let in_force = self.core.chain();
        let plugins = in_force.about(context.sender).of(HOOK);
        // Those behind the first who wants the topic may be asked about a copy with another.
        let Some(first) = plugins.iter().position(|plugin| plugin.wants(&context.message.topic)) else {
            return Answer::Ready(EnqueueOutcome::Deliver);
        };
        let plugins = &plugins[first..];
        if !must_go_aside(plugins) {
            return Answer::Ready(enqueue::run(plugins, &context, Place::Inline));
        }
        let (chain, sender) = (Arc::clone(&in_force), context.sender.cloned());
        let (message, now) = (context.message.clone(), context.now);
        let receivers = context.receivers.to_vec();
        let job = move |place| {
            let (sender, receivers) = (sender.as_ref(), &*receivers);
            let context = EnqueueContext { sender, message: &message, receivers, now };
            enqueue::run(chain.about(sender).of(HOOK), &context, place)
        };
        threads(plugins, HOOK, &self.aside).answer(job, || EnqueueOutcome::Skip)
    }

    fn intercepting_subscription(&self, context: SubscribeContext<'_>) -> Answer<SubscribeOutcome> {
        const HOOK: Hook = Hook::InterceptingSubscription;
        let in_force = self.core.chain();
        let plugins = in_force.about(Some(context.client)).of(HOOK);
        if !must_go_aside(plugins) {
            return Answer::Ready(subscribe::run(plugins, &context, Place::Inline));
        }
        let (chain, client) = (Arc::clone(&in_force), Arc::clone(context.client));
        let subscriptions = context.subscriptions.to_vec();
        let (count, subscription_identifier) = (subscriptions.len(), context.subscription_identifier);
        let job = move |place| {
            let (client, subscriptions) = (&client, &*subscriptions);
            let context = SubscribeContext { client, subscriptions, subscription_identifier };
            subscribe::run(chain.about(Some(client)).of(HOOK), &context, place)
        };
        threads(plugins, HOOK, &self.aside).answer(job, move || subscribe::refused(count))
    }

    fn intercepting_unsubscription(&self, context: UnsubscribeContext<'_>) -> Answer<UnsubscribeOutcome> {
        const HOOK: Hook = Hook::InterceptingUnsubscription;
        let in_force = self.core.chain();
        let plugins = in_force.about(Some(context.client)).of(HOOK);
        if !must_go_aside(plugins) {
            return Answer::Ready(unsubscribe::run(plugins, &context, Place::Inline));
        }
        let (chain, client) = (Arc::clone(&in_force), Arc::clone(context.client));
        let filters = context.filters.to_vec();
        let count = filters.len();
        let job = move |place| {
            let context = UnsubscribeContext { client: &client, filters: &filters };
            unsubscribe::run(chain.about(Some(&client)).of(HOOK), &context, place)
        };
        threads(plugins, HOOK, &self.aside).answer(job, move || unsubscribe::refused(count))
    }

    fn application_message_not_consumed(
        &self,
        context: NotConsumedContext<'_>,
    ) -> Answer<NotConsumedOutcome> {
        let in_force = self.core.chain();
        let own = in_force.about(context.client);
        let asked = own.not_consumed.asked(&context.message.topic);
        if !asked.must_go_aside(&context.message.topic) {
            return Answer::Ready(not_consumed::run(asked, &context, Place::Inline));
        }
        let (chain, client) = (Arc::clone(&in_force), context.client.cloned());
        let (message, why, now) = (context.message.clone(), context.why, context.now);
        let job = move |place| {
            let context = NotConsumedContext { client: client.as_ref(), message: &message, why, now };
            let asked = chain.about(client.as_ref()).not_consumed.asked(&message.topic);
            not_consumed::run(asked, &context, place)
        };
        let plugins = own.not_consumed.plugins();
        let threads = threads(plugins, Hook::ApplicationMessageNotConsumed, &self.aside);
        threads.answer(job, || NotConsumedOutcome::Observe)
    }

    fn event(&self, event: Event) {
        self.core.events.push(event);
    }
}

impl PluginHost {
    /// Goes on with a PUBLISH from where it was put off.
    #[cold]
    fn publish_aside(
        &self,
        in_force: &Arc<Chain>,
        put_off: PutOff,
        context: &PublishContext<'_>,
    ) -> Answer<PublishOutcome> {
        let (chain, client) = (Arc::clone(in_force), context.client.cloned());
        let (message, now) = (context.message.clone(), context.now);
        let PutOff { number, outcome } = put_off;
        let job = move |place| {
            let context = PublishContext { client: client.as_ref(), message: &message, now };
            let topic = &publish::message(&outcome, &message).topic;
            let asked = chain.about(client.as_ref()).intercepting_publish.asked_from(number, topic);
            // Nothing is put off but by a thread that serves connections.
            publish::run(asked, outcome, &context, place).unwrap_or_else(|_| publish::refused())
        };
        let plugins = in_force
            .about(context.client)
            .intercepting_publish
            .plugins()
            .get(number as usize..)
            .unwrap_or_default();
        threads(plugins, Hook::InterceptingPublish, &self.aside).answer(job, publish::refused)
    }
}

fn authorizers(chain: &Chain, is_delivery: bool) -> &[Arc<Version>] {
    if is_delivery { chain.delivery_authorizers() } else { chain.of(Hook::Authorizer) }
}

/// Where the outcome has no place for it.
fn end_connection(close: Option<ReasonCode>, client: &ClientInfo, requester: &Requester) {
    let Some(reason) = close else { return };
    let client_identifier = ByteString::from(&*client.client_identifier);
    if let Err(error) = requester.request(Request::Disconnect { client_identifier, reason }) {
        tracing::warn!(%error, "an authorizer could not end a connection");
    }
}
