//! `intercepting-client-enqueue`: who of the receivers gets the message, and which copy?

use std::sync::Arc;

use super::ClientInfo;
use crate::message::{ApplicationMessage, ClientKey, Timestamp};
use crate::packet::QoS;

pub struct EnqueueContext<'a> {
    /// None for a message that no client sent, for a retained one, and for one that goes from one member of a
    /// Shared Subscription on to another. For a Will it is the client that left it.
    pub sender: Option<&'a Arc<ClientInfo>>,
    pub message: &'a ApplicationMessage,
    pub receivers: &'a [Receiver],
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Receiver {
    /// Zero where the receiver is offline.
    pub client: ClientKey,
    pub session: u64,
    pub client_identifier: Arc<str>,
    /// What it would be delivered with.
    pub qos: QoS,
    pub retain: bool,
}

#[derive(Debug)]
pub enum EnqueueOutcome {
    /// To every receiver as it is.
    Deliver,
    /// To none.
    Skip,
    /// One choice per receiver, in their order.
    Choose { choices: Vec<Choice>, copies: Vec<ApplicationMessage> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Skip,
    Deliver,
    /// Index of the copy. Its QoS caps the receiver's; its RETAIN flag is ignored.
    Copy(u32),
}
