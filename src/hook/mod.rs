//! The port through which the broker's behaviour changes: the trait [`Hooks`].
//!
//! The broker and the connections call it and know nothing of who answers: the Wasm host (`plugin`), an
//! embedder's own code, or [`NoHooks`]. One file per hook holds what it is asked and what it may answer.
//! Which verdict wins among several plugins is not decided here but by who implements the trait.

mod authenticate;
mod authorize;
mod client;
mod connect;
mod directory;
mod enqueue;
mod event;
mod not_consumed;
mod publish;
mod request;
mod subscribe;

use std::future::Future;
use std::pin::Pin;

pub use authenticate::{AuthenticateContext, AuthenticateOutcome, AuthenticateVerdict, Challenge, Exchange};
pub use authorize::{Action, Authorization, AuthorizationVerdict, AuthorizeContext};
pub use client::{ClientInfo, ListenerPolicy, Reply};
pub use connect::{ConnectContext, ConnectOutcome, ConnectOverrides, ConnectVerdict, SessionItems};
pub use directory::{
    ClientStatus, Directory, MAXIMUM_SESSION_ITEMS, MAXIMUM_SESSION_ITEMS_BYTES, SessionItemError, Sessions,
};
pub use enqueue::{Choice, EnqueueContext, EnqueueOutcome, Receiver};
pub use event::{DisconnectCause, DropCause, Event, RetainedChange, SessionEnd, What};
pub use not_consumed::{NotConsumedContext, NotConsumedOutcome, WhyNotConsumed};
pub use publish::{PublishContext, PublishOutcome, PublishVerdict};
pub use request::{
    Delayed, MAXIMUM_DEPTH, Request, RequestError, RequestLimits, Requester, Requests, requests,
};
pub use subscribe::{
    SubscribeContext, SubscribeOutcome, SubscribeVerdict, SubscriptionRequest, UnsubscribeContext,
    UnsubscribeOutcome, UnsubscribeVerdict,
};

/// What a hook answers: at once, or later where it has to wait. A connection that waits for a hook goes
/// on sending what its client is to receive.
pub enum Answer<T> {
    Ready(T),
    Later(Later<T>),
}

/// An answer that has to be waited for.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> Answer<T> {
    /// The answer, however long it takes.
    pub async fn get(self) -> T {
        match self {
            Answer::Ready(value) => value,
            Answer::Later(future) => future.await,
        }
    }
}

impl<T> From<T> for Answer<T> {
    fn from(value: T) -> Answer<T> {
        Answer::Ready(value)
    }
}

/// Which hooks somebody wants to be asked. Looked at before anything is built for a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookSet(pub u32);

impl HookSet {
    pub const NONE: HookSet = HookSet(0);
    pub const VALIDATING_CONNECTION: HookSet = HookSet(1);
    pub const AUTHORIZER: HookSet = HookSet(1 << 1);
    /// The authorizer also before each delivery.
    pub const AUTHORIZER_DELIVERIES: HookSet = HookSet(1 << 2);
    pub const INTERCEPTING_PUBLISH: HookSet = HookSet(1 << 3);
    pub const INTERCEPTING_CLIENT_ENQUEUE: HookSet = HookSet(1 << 4);
    pub const INTERCEPTING_SUBSCRIPTION: HookSet = HookSet(1 << 5);
    pub const INTERCEPTING_UNSUBSCRIPTION: HookSet = HookSet(1 << 6);
    pub const APPLICATION_MESSAGE_NOT_CONSUMED: HookSet = HookSet(1 << 7);
    pub const EVENTS: HookSet = HookSet(1 << 8);

    pub const fn contains(self, other: HookSet) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn with(self, other: HookSet) -> HookSet {
        HookSet(self.0 | other.0)
    }
}

/// Decides what the broker lets leave open. Every method has the answer that changes nothing as its
/// default, and is called only where [`wanted`](Hooks::wanted) says so.
///
/// Methods are called on the thread that serves the connection: one that has to wait returns
/// [`Answer::Later`]. No lock is held meanwhile.
pub trait Hooks: Send + Sync + 'static {
    /// Asked before each call; may change at any time.
    fn wanted(&self) -> HookSet;

    /// Changes whenever verdicts given before may no longer hold: what was cached of them is forgotten.
    fn generation(&self) -> u64 {
        0
    }

    /// Asked for a CONNECT without an Authentication Method.
    fn validating_connection(&self, _context: ConnectContext<'_>) -> Answer<ConnectOutcome> {
        Answer::Ready(ConnectOutcome::default())
    }

    /// Asked in place of [`validating_connection`](Hooks::validating_connection) for a CONNECT with an
    /// Authentication Method, and for each AUTH; wanted with it.
    fn authenticate(&self, _context: AuthenticateContext<'_>) -> Answer<AuthenticateOutcome> {
        Answer::Ready(AuthenticateOutcome::default())
    }

    fn authorize(&self, _context: AuthorizeContext<'_>) -> Answer<Authorization> {
        Answer::Ready(Authorization::default())
    }

    fn intercepting_publish(&self, _context: PublishContext<'_>) -> Answer<PublishOutcome> {
        Answer::Ready(PublishOutcome::default())
    }

    fn intercepting_client_enqueue(&self, _context: EnqueueContext<'_>) -> Answer<EnqueueOutcome> {
        Answer::Ready(EnqueueOutcome::Deliver)
    }

    fn intercepting_subscription(&self, context: SubscribeContext<'_>) -> Answer<SubscribeOutcome> {
        Answer::Ready(SubscribeOutcome::all_next(context.subscriptions.len()))
    }

    fn intercepting_unsubscription(&self, context: UnsubscribeContext<'_>) -> Answer<UnsubscribeOutcome> {
        Answer::Ready(UnsubscribeOutcome::all_next(context.filters.len()))
    }

    fn application_message_not_consumed(
        &self,
        _context: NotConsumedContext<'_>,
    ) -> Answer<NotConsumedOutcome> {
        Answer::Ready(NotConsumedOutcome::Observe)
    }

    /// Observes; must not wait.
    fn event(&self, _event: Event) {}
}

/// Nobody has anything to say.
pub struct NoHooks;

impl Hooks for NoHooks {
    fn wanted(&self) -> HookSet {
        HookSet::NONE
    }
}
