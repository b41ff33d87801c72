//! From a message to the streams that take it.
//!
//! A server that has Subscription Identifiers says for which subscriptions a message is; otherwise filters are matched
//! here. It says so for the last of several subscriptions with the same filter only, as these are one to it: the others
//! are known here as its twins.

use std::collections::HashMap;
use std::sync::Arc;

use super::buffer::{Buffer, WhenFull};
use super::message::Message;
use crate::packet::Publish;
use crate::topic::{FilterTree, Match, TopicFilter, TopicName};

/// Where messages of a subscription wait.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) buffer: Buffer<Message>,
    /// Whoever takes them acknowledges them.
    pub(super) by_hand: bool,
}

impl Stream {
    pub(super) fn new(capacity: usize, when_full: WhenFull, by_hand: bool) -> Arc<Stream> {
        Arc::new(Stream { buffer: Buffer::new(capacity, when_full), by_hand })
    }
}

#[derive(Debug)]
struct Route {
    filters: Vec<TopicFilter>,
    /// `None`: its messages are for those who take what no subscription does.
    stream: Option<Arc<Stream>>,
    /// Others that have one of these filters too.
    twins: Vec<u64>,
}

/// Subscriptions by their keys, which are their Subscription Identifiers.
#[derive(Debug)]
pub(super) struct Routes {
    routes: HashMap<u64, Route>,
    filters: FilterTree<u64, ()>,
    unmatched: Vec<Arc<Stream>>,
    /// Of the message that is looked at.
    found: Vec<u64>,
    streams: Vec<Arc<Stream>>,
}

impl Routes {
    pub(super) fn new() -> Routes {
        Routes {
            routes: HashMap::new(),
            filters: FilterTree::new(fastrand::u64(..)),
            unmatched: Vec::new(),
            found: Vec::new(),
            streams: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, key: u64, filters: Vec<TopicFilter>, stream: Option<Arc<Stream>>) {
        let mut twins: Vec<u64> = Vec::new();
        for filter in &filters {
            twins.extend(self.filters.subscribers(filter).iter().map(|(key, ())| *key));
            self.filters.insert(filter, key, ());
        }
        twins.sort_unstable();
        twins.dedup();
        for twin in &twins {
            self.routes.get_mut(twin).into_iter().for_each(|route| route.twins.push(key));
        }
        self.routes.insert(key, Route { filters, stream, twins });
    }

    /// Takes a subscription out and closes its stream. Gives those of its filters that no other subscription has.
    pub(super) fn remove(&mut self, key: u64) -> Vec<TopicFilter> {
        let Some(route) = self.routes.remove(&key) else { return Vec::new() };
        route.stream.iter().for_each(|stream| stream.buffer.close());
        for filter in &route.filters {
            self.filters.remove(filter, &key);
        }
        for twin in &route.twins {
            self.routes.get_mut(twin).into_iter().for_each(|route| route.twins.retain(|it| *it != key));
        }
        let tree = &self.filters;
        route.filters.into_iter().filter(|filter| tree.subscribers(filter).is_empty()).collect()
    }

    /// The subscriptions without a stream that have this filter.
    pub(super) fn without_stream(&self, filter: &str) -> Vec<u64> {
        let has =
            |route: &Route| route.stream.is_none() && route.filters.iter().any(|it| it.as_str() == filter);
        self.routes.iter().filter(|(_, route)| has(route)).map(|(key, _)| *key).collect()
    }

    pub(super) fn add_unmatched(&mut self, stream: Arc<Stream>) {
        self.unmatched.push(stream);
    }

    pub(super) fn remove_unmatched(&mut self, stream: &Arc<Stream>) {
        self.unmatched.retain(|it| !Arc::ptr_eq(it, stream));
    }

    /// The streams that take a message; none where nobody does.
    pub(super) fn find(&mut self, publish: &Publish) -> &[Arc<Stream>] {
        self.found.clear();
        self.streams.clear();
        let topic = TopicName::of_publish(publish.topic.clone());
        if !self.find_by_identifiers(publish, &topic) {
            self.found.clear();
            self.find_by_filters(&topic);
        }
        let mut is_unmatched = self.found.is_empty();
        for key in &self.found {
            match self.routes.get(key).and_then(|route| route.stream.as_ref()) {
                Some(stream) => self.streams.push(stream.clone()),
                None => is_unmatched = true,
            }
        }
        if is_unmatched {
            self.streams.extend_from_slice(&self.unmatched);
        }
        &self.streams
    }

    /// Says whether they tell all. An identifier may be that of a subscription of another time, or of one that was given
    /// up here while another has the same filter; then filters have to.
    fn find_by_identifiers(&mut self, publish: &Publish, topic: &TopicName) -> bool {
        for identifier in &publish.subscription_identifiers {
            let key = u64::from(*identifier);
            let Some(route) = self.routes.get(&key).filter(|route| route.takes(topic)) else { return false };
            let takes = |twin: &&u64| self.routes.get(twin).is_some_and(|route| route.takes(topic));
            let twins = route.twins.iter().filter(takes);
            for key in std::iter::once(&key).chain(twins) {
                if !self.found.contains(key) {
                    self.found.push(*key);
                }
            }
        }
        !self.found.is_empty()
    }

    fn find_by_filters(&mut self, topic: &TopicName) {
        let found = &mut self.found;
        self.filters.for_each_match(topic, |matching| match matching {
            Match::Plain { key, .. } => found.push(*key),
            Match::Shared(group) => found.extend(group.members().iter().map(|(key, ())| *key)),
        });
        found.sort_unstable();
        found.dedup();
    }

    /// The client ends: nothing comes any more.
    pub(super) fn close(&mut self) {
        for route in self.routes.values() {
            route.stream.iter().for_each(|stream| stream.buffer.close());
        }
        self.unmatched.iter().for_each(|stream| stream.buffer.close());
        self.routes.clear();
        self.unmatched.clear();
    }
}

impl Route {
    fn takes(&self, topic: &TopicName) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Arc<Stream> {
        Stream::new(1, WhenFull::Wait, false)
    }

    fn filters(filters: &[&str]) -> Vec<TopicFilter> {
        filters.iter().map(|filter| TopicFilter::try_from(*filter).unwrap()).collect()
    }

    /// Which of the streams a message finds.
    fn found(routes: &mut Routes, topic: &str, identifiers: &[u32], among: &[&Arc<Stream>]) -> Vec<usize> {
        let mut publish = Publish::new(topic.to_string().into(), "".into());
        publish.subscription_identifiers = identifiers.into();
        let place = |it: &Arc<Stream>| among.iter().position(|stream| Arc::ptr_eq(it, stream)).unwrap();
        let mut found: Vec<usize> = routes.find(&publish).iter().map(place).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn identifiers_say_for_which_subscriptions_a_message_is() {
        let mut routes = Routes::new();
        let all = [&stream(), &stream(), &stream()];
        routes.add(1, filters(&["a/#"]), Some(all[0].clone()));
        routes.add(2, filters(&["a/b"]), Some(all[1].clone()));
        routes.add_unmatched(all[2].clone());
        assert_eq!(found(&mut routes, "a/b", &[1], &all), [0]);
        assert_eq!(found(&mut routes, "a/b", &[1, 2], &all), [0, 1]);
        assert_eq!(found(&mut routes, "a/b", &[], &all), [0, 1]);
        assert_eq!(found(&mut routes, "c", &[], &all), [2]);
        // One that is known by its number only is another subscription.
        assert_eq!(found(&mut routes, "c", &[1], &all), [2]);
    }

    #[test]
    fn subscriptions_with_the_same_filter_all_get_what_the_server_sends_for_one() {
        let mut routes = Routes::new();
        let all = [&stream(), &stream()];
        routes.add(1, filters(&["a", "b"]), Some(all[0].clone()));
        routes.add(2, filters(&["a"]), Some(all[1].clone()));
        assert_eq!(found(&mut routes, "a", &[2], &all), [0, 1]);
        assert_eq!(found(&mut routes, "b", &[1], &all), [0]);
        assert_eq!(routes.remove(1), filters(&["b"]));
        assert_eq!(found(&mut routes, "a", &[2], &all), [1]);
        assert_eq!(routes.remove(2), filters(&["a"]));
    }

    #[test]
    fn shared_subscriptions_and_those_without_a_stream_have_their_place() {
        let mut routes = Routes::new();
        let all = [&stream(), &stream()];
        routes.add(1, filters(&["$share/g/a"]), Some(all[0].clone()));
        routes.add(2, filters(&["b"]), None);
        routes.add_unmatched(all[1].clone());
        assert_eq!(found(&mut routes, "a", &[], &all), [0]);
        assert_eq!(found(&mut routes, "b", &[2], &all), [1]);
    }
}
