//! `intercepting-publish`: what becomes of a message before it is stored or routed?

use std::sync::Arc;

use super::{ClientInfo, Reply};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::ReasonCode;

pub struct PublishContext<'a> {
    /// None for a message that no client sent. For a Will it is the client that left it.
    pub client: Option<&'a Arc<ClientInfo>>,
    pub message: &'a ApplicationMessage,
    pub now: Timestamp,
}

#[derive(Debug, Default)]
pub struct PublishOutcome {
    pub verdict: PublishVerdict,
    pub reply: Option<Box<Reply>>,
    /// Nobody wanted to be asked. It only tells the broker that asking was cheap, so that it need not ask about
    /// several messages before it routes the first.
    pub unasked: bool,
}

#[derive(Debug, Default)]
pub enum PublishVerdict {
    #[default]
    Continue,
    /// Go on with this message. Its origin, publisher and depth are the first one's.
    Modify(Box<ApplicationMessage>),
    /// Acknowledge with success, go no further.
    Swallow,
    Reject(ReasonCode),
}
