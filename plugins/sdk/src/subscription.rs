//! The hooks `intercepting-subscription` and `intercepting-unsubscription`.

use crate::__private::{Exported, Instance, with};
use crate::bindings::intercepting_subscription::exports::tidegate::plugin::intercepting_subscription as generated;
use crate::bindings::intercepting_unsubscription::exports::tidegate::plugin::intercepting_unsubscription as generated_un;
use crate::{ClientKey, Qos, Reply};

/// `Next`, `Grant(Grant)`, `GrantWithoutRouting` (SUBACK says granted, nothing is routed) or
/// `Deny(ReasonCode)`.
pub use generated::Verdict as SubscriptionVerdict;
pub use generated::{Grant, Subscription};
/// `Next`, `Keep` (UNSUBACK says success, the subscription stays) or `Deny(ReasonCode)`.
pub use generated_un::Verdict as UnsubscriptionVerdict;

/// Moment: a SUBSCRIBE is decoded and legal, the index was not touched yet.
pub trait InterceptingSubscription {
    /// One verdict per filter, in their order.
    fn intercept(&mut self, subscribe: Subscribe) -> Vec<SubscriptionVerdict>;
}

/// Moment: an UNSUBSCRIBE is decoded and legal, the index was not touched yet.
pub trait InterceptingUnsubscription {
    /// One verdict per filter, in their order.
    fn intercept(&mut self, unsubscribe: Unsubscribe) -> Vec<UnsubscriptionVerdict>;
}

/// A SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Subscribe {
    pub(crate) client: ClientKey,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) subscription_identifier: Option<u32>,
}

impl Subscribe {
    pub fn client(&self) -> ClientKey {
        self.client
    }

    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    pub fn subscription_identifier(&self) -> Option<u32> {
        self.subscription_identifier
    }

    /// Judges filter by filter.
    pub fn each(
        &self,
        verdict: impl FnMut(&Subscription) -> SubscriptionVerdict,
    ) -> Vec<SubscriptionVerdict> {
        self.subscriptions.iter().map(verdict).collect()
    }
}

/// An UNSUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Unsubscribe {
    pub(crate) client: ClientKey,
    pub(crate) filters: Vec<String>,
}

impl Unsubscribe {
    pub fn client(&self) -> ClientKey {
        self.client
    }

    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// Judges filter by filter.
    pub fn each(&self, mut verdict: impl FnMut(&str) -> UnsubscriptionVerdict) -> Vec<UnsubscriptionVerdict> {
        self.filters.iter().map(|filter| verdict(filter)).collect()
    }
}

impl SubscriptionVerdict {
    /// With this QoS at most, as the client asked otherwise.
    pub const fn at_most(maximum_qos: Qos) -> Self {
        Self::Grant(Grant { maximum_qos, filter: None })
    }

    /// Subscribes this filter in place of the client's.
    pub fn instead(filter: impl Into<String>, maximum_qos: Qos) -> Self {
        Self::Grant(Grant { maximum_qos, filter: Some(filter.into()) })
    }
}

impl Reply for SubscriptionVerdict {}
impl Reply for UnsubscriptionVerdict {}

impl<P: Instance + InterceptingSubscription> generated::Guest for Exported<P> {
    fn intercept(
        client: ClientKey,
        subscriptions: Vec<Subscription>,
        subscription_identifier: Option<u32>,
    ) -> Vec<SubscriptionVerdict> {
        with(|plugin: &mut P| plugin.intercept(Subscribe { client, subscriptions, subscription_identifier }))
    }
}

impl<P: Instance + InterceptingUnsubscription> generated_un::Guest for Exported<P> {
    fn intercept(client: ClientKey, filters: Vec<String>) -> Vec<UnsubscriptionVerdict> {
        with(|plugin: &mut P| plugin.intercept(Unsubscribe { client, filters }))
    }
}
