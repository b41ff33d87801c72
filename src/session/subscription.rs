//! The subscriptions of one session, by the filters that its client asked for.
//!
//! A hook may have a subscription routed by another filter. The client does not know of that: it
//! unsubscribes what it asked for. Several filters of a client can be routed by one.

use std::num::NonZeroU32;

use crate::packet::{QoS, RetainHandling};
use crate::topic::{KeyedList, Seed, TopicFilter};

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
#[derive(Debug)]
pub struct Subscriptions {
    /// A pair takes 40 bytes and its number in the list's index 8; in a map of the same it took 106, as 10,000 pairs
    /// had 16,384 places of 64 bytes. With the filter's text in one allocation, memory per subscription goes from
    /// 443 to 379 bytes (`mqload --scenario F --filters 1000000`).
    by_filter: KeyedList<TopicFilter, Held>,
    /// Of the hash that finds one of many.
    seed: u64,
    /// Those routed by another filter than their own; without any, no two share a routing.
    rerouted: u32,
    /// Those that are shared with other sessions.
    shared: u32,
}

#[derive(Debug)]
struct Held {
    subscription: Subscription,
    /// Where it is not the client's own. Boxed, as it seldom is there.
    routed_by: Option<Box<TopicFilter>>,
}

/// The routing of a subscription that is no more.
#[derive(Debug, PartialEq, Eq)]
pub struct Unrouted {
    pub filter: TopicFilter,
    /// Another subscription of the session that is routed by the same filter, and so goes on.
    pub other: Option<Subscription>,
}

impl Subscriptions {
    /// None yet. Clients choose the filters that are hashed with the seed: it should be random and secret.
    pub fn new(seed: u64) -> Subscriptions {
        Subscriptions { by_filter: KeyedList::Empty, seed, rerouted: 0, shared: 0 }
    }

    /// Adds or replaces what the client asked for as `filter`. Returns the routing that it had, where it was
    /// another one.
    pub fn insert(
        &mut self,
        filter: TopicFilter,
        routed_by: TopicFilter,
        subscription: Subscription,
    ) -> Option<Unrouted> {
        let routed_by = (routed_by != filter).then(|| Box::new(routed_by));
        self.rerouted += u32::from(routed_by.is_some());
        let routing = routed_by.as_deref().unwrap_or(&filter).clone();
        self.shared += u32::from(routing.share_name().is_some());
        let seed = self.seed();
        let former = self.by_filter.insert(filter.clone(), Held { subscription, routed_by }, seed)?;
        let former = self.unrouted(filter, former);
        (former.filter != routing).then_some(former)
    }

    /// Takes out what the client asked for as `filter`.
    pub fn remove(&mut self, filter: &TopicFilter) -> Option<Unrouted> {
        let held = self.by_filter.remove(filter, self.seed())?;
        Some(self.unrouted(filter.clone(), held))
    }

    /// What the client asked for as `filter`.
    pub fn get(&self, filter: &TopicFilter) -> Option<&Subscription> {
        self.held(filter).map(|held| &held.subscription)
    }

    /// Whether something is routed by this filter.
    pub fn is_routed(&self, filter: &TopicFilter) -> bool {
        let as_asked = self.held(filter).is_some_and(|held| held.routed_by.is_none());
        as_asked || self.rerouted > 0 && self.iter().any(|(routing, _)| routing == filter)
    }

    /// Each with the filter that it is routed by.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicFilter, &Subscription)> {
        self.by_filter.as_slice().iter().map(|(filter, held)| (held.routing(filter), &held.subscription))
    }

    /// Each as the client asked for it, with the filter that it is routed by where that is another.
    pub fn iter_asked(&self) -> impl Iterator<Item = (&TopicFilter, Option<&TopicFilter>, &Subscription)> {
        let held = self.by_filter.as_slice().iter();
        held.map(|(filter, held)| (filter, held.routed_by.as_deref(), &held.subscription))
    }

    /// Takes all out, and returns the filters that they are routed by.
    pub fn take_routings(&mut self) -> Vec<TopicFilter> {
        let routings = self.iter().map(|(routing, _)| routing.clone()).collect();
        *self = Subscriptions::new(self.seed);
        routings
    }

    /// Whether any is a Shared Subscription.
    pub fn has_shared(&self) -> bool {
        self.shared > 0
    }

    pub fn len(&self) -> usize {
        self.by_filter.as_slice().len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_filter.is_empty()
    }

    fn held(&self, filter: &TopicFilter) -> Option<&Held> {
        self.by_filter.get(filter, self.seed())
    }

    fn seed(&self) -> Seed {
        Seed::new(self.seed)
    }

    /// What becomes of the routing of a subscription that was taken out.
    fn unrouted(&mut self, filter: TopicFilter, held: Held) -> Unrouted {
        let others = self.rerouted > 0;
        self.rerouted -= u32::from(held.routed_by.is_some());
        let filter = held.routed_by.map_or(filter, |routed_by| *routed_by);
        self.shared -= u32::from(filter.share_name().is_some());
        let mut same = self.iter().filter(|(routing, _)| others && **routing == filter);
        let other = same.next().map(|(_, subscription)| *subscription);
        Unrouted { filter, other }
    }
}

impl Held {
    fn routing<'a>(&'a self, filter: &'a TopicFilter) -> &'a TopicFilter {
        self.routed_by.as_deref().unwrap_or(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &'static str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn subscription(maximum_qos: QoS) -> Subscription {
        Subscription {
            maximum_qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
            identifier: None,
        }
    }

    fn unrouted(text: &'static str, other: Option<QoS>) -> Option<Unrouted> {
        Some(Unrouted { filter: filter(text), other: other.map(subscription) })
    }

    #[test]
    fn what_is_routed_otherwise_goes_by_the_filter_the_client_asked_for() {
        let mut subscriptions = Subscriptions::new(1);
        let (plain, mine) = (filter("plain"), filter("mine"));
        let qos1 = subscription(QoS::AtLeastOnce);
        assert_eq!(subscriptions.insert(plain.clone(), plain.clone(), qos1), None);
        assert_eq!(subscriptions.insert(mine.clone(), filter("own/1"), qos1), None);
        assert_eq!(subscriptions.insert(plain.clone(), plain.clone(), qos1), None);
        assert_eq!(subscriptions.insert(mine.clone(), filter("own/2"), qos1), unrouted("own/1", None));
        let mut routings: Vec<_> = subscriptions.iter().map(|(routing, _)| routing.as_str()).collect();
        routings.sort_unstable();
        assert_eq!(routings, ["own/2", "plain"]);
        assert_eq!(subscriptions.remove(&filter("own/2")), None);
        assert_eq!(subscriptions.remove(&mine), unrouted("own/2", None));
        assert_eq!(subscriptions.remove(&plain), unrouted("plain", None));
        assert_eq!((subscriptions.len(), subscriptions.rerouted), (0, 0));
    }

    #[test]
    fn a_subscription_takes_forty_bytes_beside_its_text() {
        assert_eq!(size_of::<(TopicFilter, Held)>(), 40);
    }

    #[test]
    fn the_filters_of_a_session_that_ends_are_those_it_is_routed_by() {
        let mut subscriptions = Subscriptions::new(1);
        let names: Vec<_> =
            (0..100).map(|n| TopicFilter::try_from(format!("a/{n:02}").as_str()).unwrap()).collect();
        for name in &names {
            subscriptions.insert(name.clone(), name.clone(), subscription(QoS::AtLeastOnce));
        }
        subscriptions.insert(names[7].clone(), filter("own/1"), subscription(QoS::AtLeastOnce));
        let mut taken = subscriptions.take_routings();
        taken.sort_unstable();
        assert_eq!((taken.len(), &taken[7], &taken[99]), (100, &names[8], &filter("own/1")));
        assert!(subscriptions.is_empty() && !subscriptions.has_shared());
        assert_eq!(subscriptions.rerouted, 0);
    }

    #[test]
    fn shared_subscriptions_are_counted_by_their_routing() {
        let mut subscriptions = Subscriptions::new(1);
        let qos1 = subscription(QoS::AtLeastOnce);
        subscriptions.insert(filter("a"), filter("$share/g/a"), qos1);
        subscriptions.insert(filter("$share/g/b"), filter("$share/g/b"), qos1);
        subscriptions.insert(filter("$share/g/b"), filter("$share/g/b"), qos1);
        assert!(subscriptions.has_shared());
        subscriptions.insert(filter("a"), filter("a"), qos1);
        subscriptions.remove(&filter("$share/g/b"));
        assert!(!subscriptions.has_shared());
        subscriptions.insert(filter("$share/g/c"), filter("c"), qos1);
        assert!(!subscriptions.has_shared());
    }

    #[test]
    fn a_routing_that_several_share_outlives_all_but_the_last() {
        let mut subscriptions = Subscriptions::new(1);
        subscriptions.insert(filter("a"), filter("r"), subscription(QoS::AtMostOnce));
        subscriptions.insert(filter("b"), filter("r"), subscription(QoS::AtLeastOnce));
        subscriptions.insert(filter("r"), filter("r"), subscription(QoS::ExactlyOnce));
        assert_eq!(subscriptions.remove(&filter("r")).unwrap().filter, filter("r"));
        assert_eq!(subscriptions.remove(&filter("a")), unrouted("r", Some(QoS::AtLeastOnce)));
        assert_eq!(subscriptions.remove(&filter("b")), unrouted("r", None));
    }
}
