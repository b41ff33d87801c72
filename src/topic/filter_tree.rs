//! The index of all subscriptions of a broker: from a Topic Name to those who want its messages.
//!
//! It stores what it is given and decides nothing: merging several matches of one session, No Local and the choice
//! within a shared group are the caller's. [`SharedGroup`] carries what the caller needs to know for that choice.

use std::fmt;
use std::hash::Hash;
use std::ops::ControlFlow;

use bytestring::ByteString;

use super::hash::Seed;
use super::keyed_list::KeyedList;
use super::path_tree::{PathTree, Payload};
use super::{TopicFilter, TopicName};

/// Subscribers by Topic Filter. `K` says who subscribed, `V` with which options; both should be small. `G` is what a
/// shared group carries from one choice to the next.
///
/// A subscriber has one value per filter, and `a`, `$share/g/a` and `$share/h/a` are different filters.
///
/// ```
/// use tidegate::topic::{FilterTree, Match, TopicFilter, TopicName};
///
/// let mut tree: FilterTree<_, _> = FilterTree::new(0x5eed);
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
pub struct FilterTree<K, V, G = ()> {
    tree: PathTree<Subscriptions<K, V, G>>,
    length: usize,
    shared_length: usize,
}

/// What a Topic Name found.
#[derive(Debug)]
pub enum Match<'a, K, V, G = ()> {
    /// A subscription of its own.
    Plain { key: &'a K, value: &'a V },
    /// Those who share a subscription: one of them gets the message.
    Shared(&'a SharedGroup<K, V, G>),
}

/// The subscribers of one Shared Subscription: same ShareName, same filter. Never empty.
pub struct SharedGroup<K, V, G = ()> {
    filter: TopicFilter,
    members: KeyedList<K, V>,
    state: G,
}

impl<K: Eq + Hash, V, G: Default> FilterTree<K, V, G> {
    /// An empty tree. The seed should be random and secret: clients choose the strings that are hashed with it.
    pub fn new(seed: u64) -> Self {
        Self { tree: PathTree::new(seed), length: 0, shared_length: 0 }
    }

    /// The number of subscriptions, shared ones included: pairs of filter and subscriber.
    pub fn len(&self) -> usize {
        self.length
    }

    /// The number of shared subscriptions among them.
    pub fn shared_len(&self) -> usize {
        self.shared_length
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
        let added = usize::from(former.is_none());
        self.length += added;
        self.shared_length += if filter.share_name().is_some() { added } else { 0 };
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
        let removed = usize::from(former.is_some());
        self.length -= removed;
        self.shared_length -= if filter.share_name().is_some() { removed } else { 0 };
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

    /// Those who share exactly this filter, if it is that of a Shared Subscription.
    pub fn group(&self, filter: &TopicFilter) -> Option<&SharedGroup<K, V, G>> {
        self.tree.get(filter.filter())?.group(filter.share_name()?)
    }

    /// Every subscription and every shared group that the name selects, in no particular order.
    ///
    /// A subscriber with several filters that match is shown once for each of them.
    pub fn for_each_match<'a>(&'a self, name: &TopicName, mut see: impl FnMut(Match<'a, K, V, G>)) {
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

impl<K: Eq + Hash, V, G> SharedGroup<K, V, G> {
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

    /// What the group carries; it is there as long as the group has members.
    pub fn state(&self) -> &G {
        &self.state
    }
}

impl<K, V, G> fmt::Debug for FilterTree<K, V, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterTree").field("length", &self.length).finish_non_exhaustive()
    }
}

impl<K, V, G> fmt::Debug for SharedGroup<K, V, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedGroup").field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// What is subscribed at the end of one path.
struct Subscriptions<K, V, G = ()> {
    plain: KeyedList<K, V>,
    /// By ShareName. Boxed because few paths have any.
    shared: Option<Box<Groups<K, V, G>>>,
}

type Groups<K, V, G> = KeyedList<ByteString, SharedGroup<K, V, G>>;

impl<K: Eq + Hash, V, G: Default> Subscriptions<K, V, G> {
    fn groups(&self) -> &[(ByteString, SharedGroup<K, V, G>)] {
        self.shared.as_ref().map_or(&[], |groups| groups.as_slice())
    }

    fn group(&self, share_name: &str) -> Option<&SharedGroup<K, V, G>> {
        self.groups().iter().find(|(name, _)| *name == share_name).map(|(_, group)| group)
    }

    fn insert_shared(&mut self, filter: &TopicFilter, key: K, value: V, seed: Seed) -> Option<V> {
        let groups = self.shared.get_or_insert_default();
        let share_name = ByteString::from(filter.share_name().unwrap_or_default());
        if let Some(group) = groups.get_mut(&share_name, seed) {
            return group.members.insert(key, value, seed);
        }
        let group = SharedGroup {
            filter: filter.clone(),
            members: KeyedList::One((key, value)),
            state: G::default(),
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

impl<K, V, G> Default for Subscriptions<K, V, G> {
    fn default() -> Self {
        Self { plain: KeyedList::Empty, shared: None }
    }
}

impl<K: Eq + Hash, V, G> Payload for Subscriptions<K, V, G> {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.shared.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn name(text: &str) -> TopicName {
        TopicName::try_from(text).unwrap()
    }

    /// What a name finds, as `key=value` and `filter:members`, in order.
    fn found(tree: &FilterTree<u32, u8>, topic: &str) -> Vec<String> {
        let mut found = Vec::new();
        tree.for_each_match(&name(topic), |it| match it {
            Match::Plain { key, value } => found.push(format!("{key}={value}")),
            Match::Shared(group) => found.push(format!("{}:{}", group.filter(), group.members().len())),
        });
        found.sort();
        found
    }

    #[test]
    fn a_subscriber_is_shown_once_for_each_of_its_filters() {
        let mut tree: FilterTree<_, _> = FilterTree::new(1);
        assert_eq!(tree.insert(&filter("a/+"), 1, 10), None);
        assert_eq!(tree.insert(&filter("a/#"), 1, 20), None);
        assert_eq!(tree.insert(&filter("#"), 2, 30), None);
        assert_eq!(found(&tree, "a/b"), ["1=10", "1=20", "2=30"]);
        assert_eq!(found(&tree, "a"), ["1=20", "2=30"]);
        assert_eq!(tree.len(), 3);
    }

    #[test]
    fn subscribing_again_replaces_the_value() {
        let mut tree: FilterTree<_, _> = FilterTree::new(1);
        for text in ["a", "$share/g/a"] {
            assert_eq!(tree.insert(&filter(text), 1, 10), None);
            assert_eq!(tree.insert(&filter(text), 1, 11), Some(10));
            assert_eq!(tree.subscribers(&filter(text)), [(1, 11)]);
        }
        assert_eq!(tree.len(), 2);
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut tree: FilterTree<_, _> = FilterTree::new(1);
        tree.insert(&filter("a/b"), 1, 10);
        for text in ["a", "a/b/c", "a/+", "a/#", "$share/g/a/b", "b"] {
            assert_eq!(tree.remove(&filter(text), &1), None, "{text}");
        }
        assert_eq!(tree.remove(&filter("a/b"), &2), None);
        assert_eq!((tree.len(), tree.tree.node_count()), (1, 1));
        assert_eq!(tree.remove(&filter("a/b"), &1), Some(10));
        assert_eq!((tree.len(), tree.tree.node_count()), (0, 0));
    }

    /// Section 4.8.2: each group gets the message once, whatever else its members subscribed to.
    #[test]
    fn a_shared_group_is_one_match_apart_from_plain_subscriptions_and_other_groups() {
        let mut tree: FilterTree<_, _> = FilterTree::new(1);
        tree.insert(&filter("a"), 1, 0);
        for key in 1..=3 {
            tree.insert(&filter("$share/g/a"), key, 0);
        }
        tree.insert(&filter("$share/h/a"), 1, 0);
        tree.insert(&filter("$share/g/+"), 1, 0);
        assert_eq!(found(&tree, "a"), ["$share/g/+:1", "$share/g/a:3", "$share/h/a:1", "1=0"]);
        assert_eq!(tree.len(), 6);
        tree.remove(&filter("$share/h/a"), &1);
        assert_eq!(found(&tree, "a"), ["$share/g/+:1", "$share/g/a:3", "1=0"]);
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn a_leading_wildcard_does_not_select_names_that_begin_with_a_dollar() {
        let mut tree: FilterTree<_, _> = FilterTree::new(1);
        for (key, text) in
            ["#", "+/x", "$share/g/#", "$SYS/#", "$SYS/+", "$share/g/$SYS/x"].iter().enumerate()
        {
            tree.insert(&filter(text), key as u32, 0);
        }
        assert_eq!(found(&tree, "$SYS/x"), ["$share/g/$SYS/x:1", "3=0", "4=0"]);
        assert_eq!(found(&tree, "$SYS"), ["3=0"]);
        assert_eq!(found(&tree, "a/x"), ["$share/g/#:1", "0=0", "1=0"]);
    }

    #[test]
    fn what_a_group_carries_lasts_as_long_as_the_group() {
        let mut tree: FilterTree<u32, u8, std::cell::Cell<u8>> = FilterTree::new(1);
        let shared = filter("$share/g/a");
        tree.insert(&shared, 1, 0);
        tree.insert(&shared, 2, 0);
        tree.group(&shared).unwrap().state().set(7);
        tree.remove(&shared, &1);
        assert_eq!(tree.group(&shared).unwrap().state().get(), 7);
        assert!(tree.group(&filter("$share/h/a")).is_none() && tree.group(&filter("a")).is_none());
        tree.remove(&shared, &2);
        assert!(tree.group(&shared).is_none());
        tree.insert(&shared, 1, 0);
        assert_eq!(tree.group(&shared).unwrap().state().get(), 0);
    }

    #[test]
    fn thousands_of_subscribers_and_groups_leave_one_filter() {
        let mut tree: FilterTree<_, _> = FilterTree::new(1);
        let shared = |key: u32| filter(&format!("$share/{}/a", key % 500));
        for key in 0..5_000 {
            tree.insert(&filter("a"), key, 0);
            tree.insert(&shared(key), key, 0);
        }
        assert_eq!(found(&tree, "a").len(), 5_500);
        for key in (0..5_000).rev() {
            assert_eq!(tree.remove(&filter("a"), &key), Some(0));
            assert_eq!(tree.remove(&shared(key), &key), Some(0));
        }
        assert_eq!((tree.len(), tree.tree.node_count()), (0, 0));
    }

    #[test]
    fn what_a_node_holds_leaves_room_for_the_node_in_a_cache_line() {
        assert_eq!(size_of::<Subscriptions<std::sync::Arc<()>, u64>>(), 32);
    }

    /// Few distinct levels, so that filters and names collide often; some so long that labels end before them.
    fn any_filter() -> impl Strategy<Value = TopicFilter> {
        "([$]share/[gh]/)?(([ab+]|[$]a|long level|a level that is long)?/){0,4}([ab+#]|[$]a|long level)?"
            .prop_filter_map("not a filter", |text| TopicFilter::try_from(text.as_str()).ok())
    }

    fn any_name() -> impl Strategy<Value = TopicName> {
        "(([abc]|[$]a|long level|a level that is long)?/){0,4}([abc]|[$]a|long level)?"
            .prop_filter_map("not a name", |text| TopicName::try_from(text.as_str()).ok())
    }

    #[derive(Clone, Debug)]
    enum Change {
        Insert(TopicFilter, u8),
        Remove(prop::sample::Index),
        RemoveAbsent(TopicFilter, u8),
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            5 => (any_filter(), 0_u8..40).prop_map(|(filter, key)| Change::Insert(filter, key)),
            3 => any::<prop::sample::Index>().prop_map(Change::Remove),
            1 => (any_filter(), 0_u8..40).prop_map(|(filter, key)| Change::RemoveAbsent(filter, key)),
        ]
    }

    type Model = BTreeMap<(TopicFilter, u8), usize>;

    /// What the definition of matching finds in a list of all subscriptions.
    fn expected(model: &Model, name: &TopicName) -> Vec<(TopicFilter, u8, usize)> {
        let matching = model.iter().filter(|((filter, _), _)| filter.matches(name));
        matching.map(|((filter, key), value)| (filter.clone(), *key, *value)).collect()
    }

    /// What the tree finds; plain matches do not say their filter, so those of the model are blanked likewise.
    fn actual(tree: &FilterTree<u8, usize>, name: &TopicName) -> Vec<(Option<TopicFilter>, u8, usize)> {
        let mut found = Vec::new();
        tree.for_each_match(name, |it| match it {
            Match::Plain { key, value } => found.push((None, *key, *value)),
            Match::Shared(group) => {
                assert_eq!(Some(group.share_name()), group.filter().share_name());
                assert!(!group.members().is_empty());
                for (key, value) in group.members() {
                    found.push((Some(group.filter().clone()), *key, *value));
                }
            }
        });
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_the_definition_finds_and_is_empty_at_the_end(
            changes in prop::collection::vec(any_change(), 1..150),
            names in prop::collection::vec(any_name(), 1..12),
        ) {
            let (mut tree, mut model): (FilterTree<_, _>, _) = (FilterTree::new(1), Model::new());
            for (value, change) in changes.into_iter().enumerate() {
                match change {
                    Change::Insert(filter, key) => {
                        prop_assert_eq!(tree.insert(&filter, key, value), model.insert((filter, key), value));
                    }
                    Change::Remove(index) if !model.is_empty() => {
                        let (filter, key) = index.get(&model.keys().collect::<Vec<_>>()).to_owned().clone();
                        prop_assert_eq!(tree.remove(&filter, &key), model.remove(&(filter, key)));
                    }
                    Change::Remove(_) => {}
                    Change::RemoveAbsent(filter, key) => {
                        prop_assert_eq!(tree.remove(&filter, &key), model.remove(&(filter, key)));
                    }
                }
                prop_assert_eq!(tree.len(), model.len());
            }
            for name in &names {
                let mut expected: Vec<_> = expected(&model, name)
                    .into_iter()
                    .map(|(filter, key, value)| (filter.share_name().is_some().then_some(filter), key, value))
                    .collect();
                expected.sort();
                prop_assert_eq!(actual(&tree, name), expected, "{}", name);
            }
            for ((filter, key), value) in model {
                prop_assert_eq!(tree.remove(&filter, &key), Some(value));
            }
            prop_assert!(tree.is_empty());
            prop_assert_eq!(tree.tree.node_count(), 0);
        }
    }
}
