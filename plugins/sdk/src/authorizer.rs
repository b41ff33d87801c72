//! The hook `authorizer`.

use std::time::Duration;

use crate::__private::{Exported, Instance, with};
use crate::bindings::authorizer::exports::tidegate::plugin::authorizer as generated;
use crate::{ClientKey, Qos, ReasonCode, Reply};

/// `Publish`, `Subscribe` or `Deliver`.
pub use generated::Action;
pub use generated::Denial;
/// `Next`, `Allow(cache_ms)` or `Deny(Denial)`; made by [`allow`](AuthorizerVerdict::allow),
/// [`deny`](AuthorizerVerdict::deny) and [`cached_for`](AuthorizerVerdict::cached_for).
pub use generated::Verdict as AuthorizerVerdict;

/// Moment: before a publish is routed, on its final topic; for each filter of a SUBSCRIBE; and before a
/// delivery, where [`Registration::authorize_deliveries`](crate::Registration) asked for it.
pub trait Authorizer {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict;
}

/// What a client wants to do.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) client: ClientKey,
    pub(crate) action: Action,
    pub(crate) topic: String,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

impl Access {
    pub fn client(&self) -> ClientKey {
        self.client
    }

    pub fn action(&self) -> Action {
        self.action
    }

    /// A Topic Name for `Publish` and `Deliver`, a Topic Filter for `Subscribe`.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn qos(&self) -> Qos {
        self.qos
    }

    pub fn retain(&self) -> bool {
        self.retain
    }
}

/// ```
/// use std::time::Duration;
/// use tidegate_plugin::{AuthorizerVerdict, reason};
/// let verdict = AuthorizerVerdict::deny(reason::NOT_AUTHORIZED).cached_for(Duration::from_secs(10));
/// # assert_ne!(verdict, AuthorizerVerdict::deny(reason::NOT_AUTHORIZED));
/// ```
impl AuthorizerVerdict {
    pub const fn allow() -> Self {
        Self::Allow(0)
    }

    pub const fn deny(reason: ReasonCode) -> Self {
        Self::Deny(Denial { reason, cache_ms: 0 })
    }

    /// The broker may repeat the verdict that long for the same connection, action and topic. Without
    /// it, it asks every time.
    pub fn cached_for(self, time: Duration) -> Self {
        let cache_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        match self {
            Self::Next => Self::Next,
            Self::Allow(_) => Self::Allow(cache_ms),
            Self::Deny(denial) => Self::Deny(Denial { cache_ms, ..denial }),
        }
    }
}

impl Reply for AuthorizerVerdict {}

impl<P: Instance + Authorizer> generated::Guest for Exported<P> {
    fn authorize(
        client: ClientKey,
        action: Action,
        topic: String,
        qos: Qos,
        retain: bool,
    ) -> AuthorizerVerdict {
        with(|plugin: &mut P| plugin.authorize(Access { client, action, topic, qos, retain }))
    }
}
