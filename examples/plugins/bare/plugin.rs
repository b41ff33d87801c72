//! Changes nothing yet: each hook answers as if the plugin were not there.

// -- lifecycle
use serde::Deserialize;
// --
use tidegate_plugin::prelude::*;

// -- lifecycle
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {}

// -- not lifecycle
#[derive(Default)]
// --
struct Plugin;

// -- lifecycle
impl Lifecycle for Plugin {
    type Settings = Settings;

    /// An error keeps this version of the plugin from starting.
    fn init(_settings: Settings) -> Result<(Self, Registration), String> {
        Ok((Plugin, Registration::new()))
    }
}

// -- validating-connection
impl ValidatingConnection for Plugin {
    fn validate(&mut self, _connect: Connect) -> ConnectVerdict {
        ConnectVerdict::Next
    }
}

// -- authorizer
impl Authorizer for Plugin {
    fn authorize(&mut self, _access: Access) -> AuthorizerVerdict {
        AuthorizerVerdict::Next
    }
}

// -- intercepting-publish
impl InterceptingPublish for Plugin {
    fn intercept(&mut self, _publish: Publish) -> PublishVerdict {
        PublishVerdict::Continue
    }
}

// -- intercepting-client-enqueue
impl InterceptingClientEnqueue for Plugin {
    fn intercept(&mut self, _enqueue: Enqueue) -> EnqueueVerdict {
        EnqueueVerdict::Deliver
    }
}

// -- intercepting-subscription
impl InterceptingSubscription for Plugin {
    fn intercept(&mut self, subscribe: Subscribe) -> Vec<SubscriptionVerdict> {
        subscribe.each(|_| SubscriptionVerdict::Next)
    }
}

// -- intercepting-unsubscription
impl InterceptingUnsubscription for Plugin {
    fn intercept(&mut self, unsubscribe: Unsubscribe) -> Vec<UnsubscriptionVerdict> {
        unsubscribe.each(|_| UnsubscriptionVerdict::Next)
    }
}

// -- application-message-not-consumed
impl ApplicationMessageNotConsumed for Plugin {
    fn not_consumed(&mut self, _message: NotConsumed) -> NotConsumedVerdict {
        NotConsumedVerdict::Observe
    }
}

// -- events
impl Events for Plugin {
    fn handle(&mut self, events: &[Event<'_>]) {
        for event in events {
            log::debug!("seen", what = format!("{:?}", event.what));
        }
    }
}

// --
tidegate_plugin::export!(Plugin: EXPORTED);
