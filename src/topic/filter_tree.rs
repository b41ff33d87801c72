//! The index of all subscriptions of a broker: from a Topic Name to those who want its messages.
//!
//! It stores what it is given and decides nothing: merging several matches of one session, No Local and the choice
//! within a shared group are the caller's. [`SharedGroup`] counts turns so that the choice can go round.

use std::fmt;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use bytestring::ByteString;

use super::hash::Seed;
use super::keyed_list::KeyedList;
use super::path_tree::{PathTree, Payload};
use super::{TopicFilter, TopicName};

/// Subscribers by Topic Filter. `K` says who subscribed, `V` with which options; both should be small.
///
/// A subscriber has one value per filter, and `a`, `$share/g/a` and `$share/h/a` are different filters.
///
/// ```
/// use tidegate::topic::{FilterTree, Match, TopicFilter, TopicName};
///
/// let mut tree = FilterTree::new(0x5eed);
/// tree.insert(&TopicFilter::try_from("sport/#")?, "alice", 1);
/// tree.insert(&TopicFilter::try_from("$share/g/sport/+")?, "bob", 2);
///
/// let mut seen = Vec::new();
/// tree.for_each_match(&TopicName::try_from("sport/tennis")?, |found| match found {
///     Match::Plain { key, value } => seen.push((*key, *value)),
///     Match::Shared(group) => seen.extend(group.members().first()),
/// });
/// seen.sort();
/// assert_eq!(seen, [("alice", 1), ("bob", 2)]);
/// # Ok::<(), tidegate::topic::InvalidTopic>(())
/// ```
pub struct FilterTree<K, V> {
    tree: PathTree<Subscriptions<K, V>>,
    length: usize,
}

/// What a Topic Name found.
#[derive(Debug)]
pub enum Match<'a, K, V> {
    /// A subscription of its own.
    Plain { key: &'a K, value: &'a V },
    /// Those who share a subscription: one of them gets the message.
    Shared(&'a SharedGroup<K, V>),
}

/// The subscribers of one Shared Subscription: same ShareName, same filter. Never empty.
pub struct SharedGroup<K, V> {
    filter: TopicFilter,
    members: KeyedList<K, V>,
    turn: AtomicU32,
}

impl<K: Eq + Hash, V> FilterTree<K, V> {
    /// An empty tree. The seed should be random and secret: clients choose the strings that are hashed with it.
    pub fn new(seed: u64) -> Self {
        Self { tree: PathTree::new(seed), length: 0 }
    }

    /// The number of subscriptions, shared ones included: pairs of filter and subscriber.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Subscribes, or changes the value of a subscription; returns the former value.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let seed = self.tree.seed();
        let subscriptions = self.tree.entry(filter.filter());
        let former = match filter.share_name() {
            None => subscriptions.plain.insert(key, value, seed),
            Some(_) => subscriptions.insert_shared(filter, key, value, seed),
        };
        self.length += usize::from(former.is_none());
        former
    }

    /// Unsubscribes; returns the value of the subscription that was there.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        let seed = self.tree.seed();
        let former = self.tree.change(filter.filter(), |subscriptions| match filter.share_name() {
            None => subscriptions.plain.remove(key, seed),
            Some(share_name) => subscriptions.remove_shared(share_name, key, seed),
        });
        let former = former.flatten();
        self.length -= usize::from(former.is_some());
        former
    }

    /// Who subscribed to exactly this filter, in no particular order.
    pub fn subscribers(&self, filter: &TopicFilter) -> &[(K, V)] {
        let Some(subscriptions) = self.tree.get(filter.filter()) else { return &[] };
        match filter.share_name() {
            None => subscriptions.plain.as_slice(),
            Some(share_name) => subscriptions.group(share_name).map_or(&[], SharedGroup::members),
        }
    }

    /// Every subscription and every shared group that the name selects, in no particular order.
    ///
    /// A subscriber with several filters that match is shown once for each of them.
    pub fn for_each_match<'a>(&'a self, name: &TopicName, mut see: impl FnMut(Match<'a, K, V>)) {
        // Nothing breaks off, so the result says nothing.
        let _ = self.tree.visit(name.as_str(), |subscriptions| {
            for (key, value) in subscriptions.plain.as_slice() {
                see(Match::Plain { key, value });
            }
            for (_, group) in subscriptions.groups() {
                see(Match::Shared(group));
            }
            ControlFlow::Continue(())
        });
    }
}

impl<K: Eq + Hash, V> SharedGroup<K, V> {
    /// The ShareName.
    pub fn share_name(&self) -> &str {
        self.filter.share_name().unwrap_or_default()
    }

    /// The whole filter with its share prefix; it names the group.
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The subscribers; at least one. Joining appends, leaving moves the last one to the gap.
    pub fn members(&self) -> &[(K, V)] {
        self.members.as_slice()
    }

    /// Counts up and wraps around: `members()[take_turn() as usize % members().len()]` goes round the group.
    pub fn take_turn(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

impl<K, V> fmt::Debug for FilterTree<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterTree").field("length", &self.length).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for SharedGroup<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedGroup").field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// What is subscribed at the end of one path.
struct Subscriptions<K, V> {
    plain: KeyedList<K, V>,
    /// By ShareName. Boxed because few paths have any.
    shared: Option<Box<Groups<K, V>>>,
}

type Groups<K, V> = KeyedList<ByteString, SharedGroup<K, V>>;

impl<K: Eq + Hash, V> Subscriptions<K, V> {
    fn groups(&self) -> &[(ByteString, SharedGroup<K, V>)] {
        self.shared.as_ref().map_or(&[], |groups| groups.as_slice())
    }

    fn group(&self, share_name: &str) -> Option<&SharedGroup<K, V>> {
        self.groups().iter().find(|(name, _)| *name == share_name).map(|(_, group)| group)
    }

    fn insert_shared(&mut self, filter: &TopicFilter, key: K, value: V, seed: Seed) -> Option<V> {
        let groups = self.shared.get_or_insert_default();
        let share_name = ByteString::from(filter.share_name().unwrap_or_default());
        if let Some(group) = groups.get_mut(&share_name, seed) {
            return group.members.insert(key, value, seed);
        }
        let group = SharedGroup {
            filter: filter.to_detached(),
            members: KeyedList::One((key, value)),
            turn: AtomicU32::new(0),
        };
        groups.insert(share_name, group, seed);
        None
    }

    fn remove_shared(&mut self, share_name: &str, key: &K, seed: Seed) -> Option<V> {
        let groups = self.shared.as_mut()?;
        let share_name = ByteString::from(share_name);
        let group = groups.get_mut(&share_name, seed)?;
        let former = group.members.remove(key, seed);
        if group.members.is_empty() {
            groups.remove(&share_name, seed);
        }
        if groups.is_empty() {
            self.shared = None;
        }
        former
    }
}

impl<K, V> Default for Subscriptions<K, V> {
    fn default() -> Self {
        Self { plain: KeyedList::Empty, shared: None }
    }
}

impl<K: Eq + Hash, V> Payload for Subscriptions<K, V> {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.shared.is_none()
    }
}
