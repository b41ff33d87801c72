//! `application-message-not-consumed`: no session wanted a message, or hooks vetoed
//! every one that did.

use std::sync::Arc;

use super::ClientInfo;
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::ReasonCode;
use crate::topic::TopicName;

pub struct NotConsumedContext<'a> {
    pub client: Option<&'a Arc<ClientInfo>>,
    pub message: &'a ApplicationMessage,
    pub why: WhyNotConsumed,
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNotConsumed {
    NoSubscriber,
    /// There were receivers, and hooks vetoed every one.
    AllVetoed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NotConsumedOutcome {
    #[default]
    Observe,
    /// Publish it to this topic instead; a redirected message is not redirected again.
    Redirect(TopicName),
    /// The Reason Code of the acknowledgement.
    Answer(ReasonCode),
}
