//! Hooks that follow a script: each closure that is set is asked, and every event is kept. And a gate, where
//! a hook waits until the test lets it answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tidegate::hook::{
    Answer, AuthenticateContext, AuthenticateOutcome, Authorization, AuthorizeContext, ConnectContext,
    ConnectOutcome, EnqueueContext, EnqueueOutcome, Event, HookSet, Hooks, NotConsumedContext,
    NotConsumedOutcome, PublishContext, PublishOutcome, SubscribeContext, SubscribeOutcome,
    UnsubscribeContext, UnsubscribeOutcome, What,
};
use tokio::sync::Notify;

use super::within;

macro_rules! script {
    ($($setter:ident $method:ident $context:ident $outcome:ident $bit:ident;)*) => {
        /// Set the closures, then put it into an `Arc`.
        #[derive(Default)]
        pub struct Script {
            $($setter: Option<Box<dyn Fn($context<'_>) -> Answer<$outcome> + Send + Sync>>,)*
            deliveries: bool,
            pub generation: AtomicU64,
            events: Mutex<Vec<What>>,
        }

        impl Script {
            $(
                pub fn $setter(
                    mut self,
                    act: impl Fn($context<'_>) -> Answer<$outcome> + Send + Sync + 'static,
                ) -> Script {
                    self.$setter = Some(Box::new(act));
                    self
                }
            )*
        }

        impl Hooks for Script {
            fn wanted(&self) -> HookSet {
                let mut wanted = HookSet::EVENTS;
                $(if self.$setter.is_some() { wanted = wanted.with(HookSet::$bit); })*
                if self.deliveries { wanted = wanted.with(HookSet::AUTHORIZER_DELIVERIES); }
                wanted
            }

            fn generation(&self) -> u64 {
                self.generation.load(Ordering::Relaxed)
            }

            $(
                fn $method(&self, context: $context<'_>) -> Answer<$outcome> {
                    self.$setter.as_ref().expect("a hook was asked that is not wanted")(context)
                }
            )*

            fn event(&self, event: Event) {
                self.events.lock().unwrap().push(event.what);
            }
        }
    };
}

script! {
    on_connect validating_connection ConnectContext ConnectOutcome VALIDATING_CONNECTION;
    on_authenticate authenticate AuthenticateContext AuthenticateOutcome VALIDATING_CONNECTION;
    on_authorize authorize AuthorizeContext Authorization AUTHORIZER;
    on_publish intercepting_publish PublishContext PublishOutcome INTERCEPTING_PUBLISH;
    on_enqueue intercepting_client_enqueue EnqueueContext EnqueueOutcome INTERCEPTING_CLIENT_ENQUEUE;
    on_subscribe intercepting_subscription SubscribeContext SubscribeOutcome INTERCEPTING_SUBSCRIPTION;
    on_unsubscribe intercepting_unsubscription UnsubscribeContext UnsubscribeOutcome INTERCEPTING_UNSUBSCRIPTION;
    on_not_consumed application_message_not_consumed NotConsumedContext NotConsumedOutcome APPLICATION_MESSAGE_NOT_CONSUMED;
}

impl Script {
    /// Asks the authorizer before each delivery too.
    pub fn with_deliveries(mut self) -> Script {
        self.deliveries = true;
        self
    }

    pub fn shared(self) -> Arc<Script> {
        Arc::new(self)
    }

    /// What the observers were told so far.
    pub fn events(&self) -> Vec<What> {
        self.events.lock().unwrap().clone()
    }

    /// How many events are like this.
    pub fn count(&self, like: impl Fn(&What) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|what| like(what)).count()
    }

    pub fn saw(&self, like: impl Fn(&What) -> bool) -> bool {
        self.count(like) > 0
    }
}

/// Holds an answer back until the test has it given.
#[derive(Clone, Default)]
pub struct Gate {
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Gate {
    /// For the hook: the answer that waits here.
    pub fn hold<T: Send + 'static>(&self, outcome: T) -> Answer<T> {
        self.reached.notify_one();
        let opened = self.opened.clone();
        Answer::Later(Box::pin(async move {
            within(opened.notified()).await;
            outcome
        }))
    }

    /// Hooks that hold what is published to one topic back here.
    pub fn before(&self, topic: &'static str) -> Script {
        let gate = self.clone();
        Script::default().on_publish(move |context| {
            let is_held = context.message.topic.as_str() == topic;
            if is_held { gate.hold(PublishOutcome::default()) } else { PublishOutcome::default().into() }
        })
    }

    /// Waits until an answer is held back.
    pub async fn reached(&self) {
        within(self.reached.notified()).await;
    }

    /// Lets one answer be given.
    pub fn open(&self) {
        self.opened.notify_one();
    }
}
