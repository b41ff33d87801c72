//! Plugins for the tidegate MQTT broker, in Rust.
//!
//! A plugin implements one trait per hook it wants and names them in [`export!`]:
//!
//! ```
//! use tidegate_plugin::prelude::*;
//!
//! #[derive(Default)]
//! struct NoSecrets;
//!
//! impl InterceptingPublish for NoSecrets {
//!     fn intercept(&mut self, publish: Publish) -> PublishVerdict {
//!         if publish.payload().starts_with(b"secret") {
//!             return PublishVerdict::Reject(reason::NOT_AUTHORIZED).reason_string("secrets stay at home");
//!         }
//!         PublishVerdict::Continue
//!     }
//! }
//!
//! tidegate_plugin::export!(NoSecrets: intercepting_publish);
//! # fn main() {}
//! ```
//!
//! A plugin with settings, or with a choice of topics, also implements [`Lifecycle`], whose `init` makes
//! the plugin. Without it the plugin is made by its `Default`.
//!
//! The broker runs several instances of a plugin, about one per worker thread. Fields of the plugin
//! belong to one instance; what all must share belongs in [`state`].
//!
//! Off Wasm the same code builds against the stand-in in [`testing`], so that unit tests run with
//! `cargo test`.

#[doc(hidden)]
pub mod bindings;

mod authentication;
mod authorizer;
mod client_enqueue;
mod events;
mod export;
mod lifecycle;
mod message;
mod not_consumed;
mod publish;
mod subscription;
mod validating_connection;

pub mod broker;
pub mod client;
pub mod clock;
pub mod crypto;
pub mod http;
pub mod log;
pub mod metrics;
pub mod passwords;
pub mod random;
pub mod reason;
pub mod reply;
pub mod session_items;
pub mod settings;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod topic;

#[cfg(target_family = "wasm")]
use crate::bindings::host::tidegate::plugin as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::host;

pub use crate::authentication::{Authentication, AuthenticationVerdict, Challenge, Purpose};
pub use crate::authorizer::{Access, Action, Authorizer, AuthorizerVerdict, Denial};
pub use crate::bindings::host::tidegate::plugin::types::{ClientKey, Origin, Qos, ReasonCode, UserProperty};
pub use crate::client_enqueue::{
    Choices, Copied, Enqueue, EnqueueVerdict, InterceptingClientEnqueue, Receiver,
};
pub use crate::events::{
    ClientAcknowledgedPublishPacket, ClientConnected, ClientDisconnected, ClientSubscribedTopic,
    ClientUnsubscribedTopic, DisconnectCause, DropCause, Event, Events, MessageDropped, RetainedChange,
    RetainedMessageChanged, SessionDeleted, SessionEnd, What, Who,
};
#[doc(hidden)]
pub use crate::export::__private;
pub use crate::lifecycle::{Handover, Lifecycle, Registration};
pub use crate::message::{Message, Modification};
pub use crate::not_consumed::{ApplicationMessageNotConsumed, NotConsumed, NotConsumedVerdict, Why};
pub use crate::publish::{InterceptingPublish, Publish, PublishVerdict};
pub use crate::reply::Reply;
pub use crate::settings::NoSettings;
pub use crate::subscription::{
    Grant, InterceptingSubscription, InterceptingUnsubscription, Subscribe, Subscription,
    SubscriptionVerdict, Unsubscribe, UnsubscriptionVerdict,
};
pub use crate::validating_connection::{Connect, ConnectVerdict, Terms, ValidatingConnection, WillMessage};

/// What most plugins need: the hooks' traits, their views and verdicts, and the services.
pub mod prelude {
    pub use crate::{
        Access, Action, ApplicationMessageNotConsumed, Authentication, AuthenticationVerdict, Authorizer,
        AuthorizerVerdict, Choices, ClientKey, Connect, ConnectVerdict, Denial, Enqueue, EnqueueVerdict,
        Event, Events, Grant, Handover, InterceptingClientEnqueue, InterceptingPublish,
        InterceptingSubscription, InterceptingUnsubscription, Lifecycle, Message, Modification, NoSettings,
        NotConsumed, NotConsumedVerdict, Origin, Publish, PublishVerdict, Purpose, Qos, ReasonCode, Receiver,
        Registration, Reply, Subscribe, Subscription, SubscriptionVerdict, Terms, Unsubscribe,
        UnsubscriptionVerdict, UserProperty, ValidatingConnection, What, broker, client, clock, crypto, http,
        log, metrics, passwords, random, reason, reply, session_items, state, topic,
    };
}

impl UserProperty {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// Compiles and runs the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Guide;
