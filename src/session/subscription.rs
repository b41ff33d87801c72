//! The subscriptions of one session.

use std::num::NonZeroU32;

use hashbrown::HashMap;

use crate::packet::{QoS, RetainHandling};
use crate::topic::TopicFilter;

/// What a session wants of the messages that match one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The granted QoS.
    pub maximum_qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
    pub identifier: Option<NonZeroU32>,
}

/// Filter to subscription.
#[derive(Debug, Default)]
pub struct Subscriptions(HashMap<TopicFilter, Subscription>);

impl Subscriptions {
    /// Adds or replaces; returns what was there.
    pub fn insert(&mut self, filter: TopicFilter, subscription: Subscription) -> Option<Subscription> {
        self.0.insert(filter, subscription)
    }

    pub fn remove(&mut self, filter: &TopicFilter) -> Option<Subscription> {
        let removed = self.0.remove(filter);
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
        removed
    }

    pub fn get(&self, filter: &TopicFilter) -> Option<&Subscription> {
        self.0.get(filter)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicFilter, &Subscription)> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
