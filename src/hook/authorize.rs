//! `authorizer`: may this client use this topic?

use std::sync::Arc;
use std::time::Duration;

use super::ClientInfo;
use crate::packet::{QoS, ReasonCode};

#[derive(Clone, Copy)]
pub struct AuthorizeContext<'a> {
    pub client: &'a Arc<ClientInfo>,
    pub action: Action,
    /// A Topic Name for `Publish` and `Deliver`, a Topic Filter for `Subscribe`.
    pub topic: &'a str,
    pub qos: QoS,
    pub retain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Publish,
    Subscribe,
    Deliver,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    pub verdict: AuthorizationVerdict,
    /// For how long the verdict holds for the same connection, action and topic; zero: ask every time.
    pub cache: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthorizationVerdict {
    /// The listener's `default-authorization` decides.
    #[default]
    Next,
    Allow,
    Deny(ReasonCode),
}
