//! `intercepting-subscription` and `intercepting-unsubscription`: the whole packet at once.

use std::sync::Arc;

use super::{ClientInfo, Reply};
use crate::packet::{QoS, ReasonCode, RetainHandling};
use crate::topic::TopicFilter;

pub struct SubscribeContext<'a> {
    pub client: &'a Arc<ClientInfo>,
    pub subscriptions: &'a [SubscriptionRequest],
    pub subscription_identifier: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRequest {
    pub filter: TopicFilter,
    pub maximum_qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

#[derive(Debug, Default)]
pub struct SubscribeOutcome {
    /// As many as there were subscriptions, in their order.
    pub verdicts: Vec<SubscribeVerdict>,
    pub reply: Option<Box<Reply>>,
}

impl SubscribeOutcome {
    pub fn all_next(count: usize) -> SubscribeOutcome {
        SubscribeOutcome { verdicts: vec![SubscribeVerdict::Next; count], reply: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscribeVerdict {
    /// As asked.
    Next,
    Grant {
        maximum_qos: QoS,
        filter: Option<TopicFilter>,
    },
    /// SUBACK says granted, nothing is ever routed.
    GrantWithoutRouting,
    Deny(ReasonCode),
}

pub struct UnsubscribeContext<'a> {
    pub client: &'a Arc<ClientInfo>,
    pub filters: &'a [TopicFilter],
}

#[derive(Debug, Default)]
pub struct UnsubscribeOutcome {
    pub verdicts: Vec<UnsubscribeVerdict>,
    pub reply: Option<Box<Reply>>,
}

impl UnsubscribeOutcome {
    pub fn all_next(count: usize) -> UnsubscribeOutcome {
        UnsubscribeOutcome { verdicts: vec![UnsubscribeVerdict::Next; count], reply: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsubscribeVerdict {
    Next,
    /// UNSUBACK says success, the subscription stays.
    Keep,
    Deny(ReasonCode),
}
