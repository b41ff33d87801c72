//! The retained messages, one per Topic Name, selected by Topic Filter.
//!
//! Names are kept twice: in a hash table for the exact lookups of publishing, and in an ordered map for filters
//! with wildcards. The order is that of the levels, so everything below a level lies together, and a search jumps
//! over what cannot match. A position in the order stays good whatever comes and goes, which lets a caller take
//! matches in batches and release its lock in between.
//!
//! What expires or is empty is the caller's business.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::Bound;

use slab::Slab;

use super::hash::Seed;
use super::hash_index::{HashIndex, Removed};
use super::{TopicFilter, TopicName};

/// One message per Topic Name.
///
/// ```
/// use tidegate::topic::{RetainedTree, TopicFilter, TopicName};
///
/// let mut tree = RetainedTree::new(0x5eed);
/// tree.insert(TopicName::try_from("sport/tennis")?, "15:0");
/// tree.insert(TopicName::try_from("weather")?, "rain");
///
/// let mut seen = Vec::new();
/// tree.for_each_match(&TopicFilter::try_from("sport/#")?, |name, message| seen.push((name.to_string(), *message)));
/// assert_eq!(seen, [("sport/tennis".to_owned(), "15:0")]);
/// # Ok::<(), tidegate::topic::InvalidTopic>(())
/// ```
pub struct RetainedTree<M> {
    seed: Seed,
    kept: Slab<Kept<M>>,
    by_name: HashIndex,
    in_order: BTreeMap<Box<Key>, u32>,
}

struct Kept<M> {
    name: TopicName,
    message: M,
}

/// Where a search goes on. It stays good when messages come and go.
#[derive(Clone, Debug)]
pub struct Cursor(Box<Key>);

impl Cursor {
    /// To go on after this name, whether or not there is a message of it.
    pub fn after(name: &TopicName) -> Cursor {
        let mut key = key_of(name.as_str()).into_vec();
        // No key lies between.
        key.push(0);
        Cursor(key.into())
    }
}

impl<M> RetainedTree<M> {
    /// An empty tree. The seed should be random and secret: clients choose the names that are hashed with it.
    pub fn new(seed: u64) -> Self {
        Self {
            seed: Seed::new(seed),
            kept: Slab::new(),
            by_name: HashIndex::default(),
            in_order: BTreeMap::new(),
        }
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Keeps a message under its name, of which it makes a detached copy; returns the former message.
    pub fn insert(&mut self, name: TopicName, message: M) -> Option<M> {
        if let Some(former) = self.get_mut(&name) {
            return Some(std::mem::replace(former, message));
        }
        // Memory ends before the numbers do.
        let id = self.kept.insert(Kept { name: name.to_detached(), message }) as u32;
        self.by_name.insert(self.hash(name.as_str()), id);
        self.in_order.insert(key_of(name.as_str()), id);
        None
    }

    /// Forgets the message of a name and returns it.
    pub fn remove(&mut self, name: &TopicName) -> Option<M> {
        let id = self.find(name.as_str())?;
        self.in_order.remove(&key_of(name.as_str()));
        let kept = self.kept.remove(id as usize);
        if self.by_name.remove(self.hash(name.as_str()), id) == Removed::AndShrunk || self.is_empty() {
            self.kept.shrink_to_fit();
        }
        Some(kept.message)
    }

    /// The message of a name.
    pub fn get(&self, name: &TopicName) -> Option<&M> {
        self.find(name.as_str()).map(|id| &self.kept[id as usize].message)
    }

    /// The message of a name, to be changed.
    pub fn get_mut(&mut self, name: &TopicName) -> Option<&mut M> {
        self.find(name.as_str()).map(|id| &mut self.kept[id as usize].message)
    }

    /// All messages in the order of their levels.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, &M)> {
        self.in_order.values().map(|id| self.at(*id))
    }

    /// Every message whose name the filter selects, in the order of their levels.
    ///
    /// The share prefix of a filter is ignored; that Shared Subscriptions get no retained messages is the caller's
    /// to know.
    pub fn for_each_match<'a>(&'a self, filter: &TopicFilter, see: impl FnMut(&'a TopicName, &'a M)) {
        self.for_each_match_after(filter, None, usize::MAX, see);
    }

    /// A part of [`for_each_match`](Self::for_each_match): looks at no more than `limit` messages (at least one)
    /// and returns where to go on, or `None` at the end.
    ///
    /// The limit counts what is looked at, not what matches, because it bounds the time. What is kept during the
    /// whole search is seen exactly once; what comes or goes in between may be seen or not.
    pub fn for_each_match_after<'a>(
        &'a self,
        filter: &TopicFilter,
        after: Option<&Cursor>,
        limit: usize,
        mut see: impl FnMut(&'a TopicName, &'a M),
    ) -> Option<Cursor> {
        if filter.has_wildcard() {
            return self.search(filter.filter(), after, limit, see);
        }
        if after.is_none()
            && let Some(id) = self.find(filter.filter())
        {
            let (name, message) = self.at(id);
            see(name, message);
        }
        None
    }

    /// Clones of a part of the matches, and where to go on, or `None` at the end: see
    /// [`for_each_match_after`](Self::for_each_match_after). A part may be empty without being the last.
    pub fn matches_after(
        &self,
        filter: &TopicFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<(TopicName, M)>, Option<Cursor>)
    where
        M: Clone,
    {
        let mut found = Vec::new();
        let next = self.for_each_match_after(filter, after, limit, |name, message| {
            found.push((name.clone(), message.clone()));
        });
        (found, next)
    }

    fn search<'a>(
        &'a self,
        filter: &str,
        after: Option<&Cursor>,
        limit: usize,
        mut see: impl FnMut(&'a TopicName, &'a M),
    ) -> Option<Cursor> {
        let mut entries = self.from(after.map_or(&[], |cursor| &cursor.0));
        let mut left = limit.max(1);
        let mut target = Vec::new();
        while let Some((key, id)) = entries.next() {
            if left == 0 {
                return Some(Cursor(key.clone()));
            }
            left -= 1;
            match judge(filter.as_bytes(), key) {
                Verdict::Selected => {
                    let (name, message) = self.at(*id);
                    see(name, message);
                }
                Verdict::Skip(skip) => {
                    skip.write_target(key, &mut target);
                    // Often the next entry is where the search goes on, and going there is cheaper than seeking.
                    if entries.clone().next().is_some_and(|(next, _)| **next < *target) {
                        entries = self.from(&target);
                    }
                }
                Verdict::End => return None,
            }
        }
        None
    }

    fn from(&self, key: &Key) -> btree_map::Range<'_, Box<Key>, u32> {
        self.in_order.range::<Key, _>((Bound::Included(key), Bound::Unbounded))
    }

    fn find(&self, name: &str) -> Option<u32> {
        self.by_name.find(self.hash(name), |id| self.kept[id as usize].name.as_str() == name)
    }

    fn hash(&self, name: &str) -> u64 {
        self.seed.hash_bytes(name.as_bytes())
    }

    fn at(&self, id: u32) -> (&TopicName, &M) {
        let kept = &self.kept[id as usize];
        (&kept.name, &kept.message)
    }
}

impl<M> fmt::Debug for RetainedTree<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetainedTree").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A name with its separators as zero bytes, which no name contains [MQTT-4.7.3-2]: compared byte by byte, a level
/// comes before its children, and they before its next sibling.
type Key = [u8];

const SEPARATOR: u8 = 0;

fn key_of(name: &str) -> Box<Key> {
    name.bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }).collect()
}

/// What a filter says about a key.
enum Verdict<'f> {
    Selected,
    Skip(Skip<'f>),
    /// Neither this key nor any after it.
    End,
}

/// The first key that can be selected after this one: the key's first bytes, then something.
enum Skip<'f> {
    /// To a sibling: the bytes before a level, and another level.
    Level(usize, &'f [u8]),
    /// To a child of the key: the level, or empty for any.
    Child(&'f [u8]),
    /// To what follows everything below the first bytes.
    Past(usize),
    /// To what follows all names that begin with `$`.
    PastServerTopics,
}

fn judge<'f>(filter: &'f [u8], key: &Key) -> Verdict<'f> {
    if key.starts_with(b"$") && filter.starts_with(b"+") | filter.starts_with(b"#") {
        return Verdict::Skip(Skip::PastServerTopics); // [MQTT-4.7.2-1]
    }
    // Where the level of the key begins; past the key's end when no level is left.
    let mut begin = 0;
    for wanted in filter.split(|byte| *byte == b'/') {
        if wanted == b"#" {
            return Verdict::Selected;
        }
        let Some(rest) = key.get(begin..) else {
            return Verdict::Skip(Skip::Child(if wanted == b"+" { b"" } else { wanted }));
        };
        let length = rest.iter().position(|byte| *byte == SEPARATOR).unwrap_or(rest.len());
        if wanted != b"+" {
            match rest[..length].cmp(wanted) {
                Ordering::Equal => {}
                Ordering::Less => return Verdict::Skip(Skip::Level(begin, wanted)),
                Ordering::Greater if begin == 0 => return Verdict::End,
                Ordering::Greater => return Verdict::Skip(Skip::Past(begin - 1)),
            }
        }
        begin += length + 1;
    }
    match begin > key.len() {
        true => Verdict::Selected,
        false => Verdict::Skip(Skip::Past(begin - 1)),
    }
}

impl Skip<'_> {
    /// Always greater than the key, so that a search comes to an end.
    fn write_target(&self, key: &Key, target: &mut Vec<u8>) {
        target.clear();
        match *self {
            Self::Level(bytes, level) => {
                target.extend_from_slice(&key[..bytes]);
                target.extend_from_slice(level);
            }
            Self::Child(level) => {
                target.extend_from_slice(key);
                target.push(SEPARATOR);
                target.extend_from_slice(level);
            }
            Self::Past(bytes) => {
                target.extend_from_slice(&key[..bytes]);
                target.push(SEPARATOR + 1);
            }
            Self::PastServerTopics => target.push(b'$' + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn name(text: &str) -> TopicName {
        TopicName::try_from(text).unwrap()
    }

    fn tree(names: &[&str]) -> RetainedTree<usize> {
        let mut tree = RetainedTree::new(1);
        for (number, text) in names.iter().enumerate() {
            tree.insert(name(text), number);
        }
        tree
    }

    fn found(tree: &RetainedTree<usize>, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        tree.for_each_match(&filter(text), |name, _| found.push(name.to_string()));
        found
    }

    #[test]
    fn a_name_has_one_message() {
        let mut tree = RetainedTree::new(1);
        assert_eq!(tree.insert(name("a"), 1), None);
        assert_eq!(tree.insert(name("a"), 2), Some(1));
        assert_eq!((tree.get(&name("a")), tree.len()), (Some(&2), 1));
        assert_eq!(tree.remove(&name("b")), None);
        assert_eq!(tree.remove(&name("a")), Some(2));
        assert!(tree.is_empty());
    }

    #[test]
    fn the_order_is_that_of_the_levels() {
        let tree = tree(&["b", "a b", "a/b/c", "a", "a/\u{1}", "a/b", "a\u{1}"]);
        let names: Vec<_> = tree.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "a/\u{1}", "a/b", "a/b/c", "a\u{1}", "a b", "b"]);
    }

    #[test]
    fn wildcards_select_across_siblings() {
        let tree = tree(&["d/1/up", "d/1/down", "d/2/up", "d/2", "d", "e/1/up", "d/1/up/x", "/"]);
        assert_eq!(found(&tree, "d/+/up"), ["d/1/up", "d/2/up"]);
        assert_eq!(found(&tree, "+/1/up"), ["d/1/up", "e/1/up"]);
        assert_eq!(found(&tree, "d/+"), ["d/2"]);
        assert_eq!(found(&tree, "d/1/up/#"), ["d/1/up", "d/1/up/x"]);
        assert_eq!(found(&tree, "+/+/+/#"), ["d/1/down", "d/1/up", "d/1/up/x", "d/2/up", "e/1/up"]);
        assert_eq!(found(&tree, "d/2/up"), ["d/2/up"]);
        assert_eq!(found(&tree, "+/+"), ["/", "d/2"]);
        assert_eq!(found(&tree, "x/#"), [""; 0]);
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn a_leading_wildcard_does_not_select_names_that_begin_with_a_dollar() {
        let tree = tree(&["$SYS/x", "$", "a/x", "#no".trim_start_matches('#'), "!/x"]);
        assert_eq!(found(&tree, "#"), ["!/x", "a/x", "no"]);
        assert_eq!(found(&tree, "+/x"), ["!/x", "a/x"]);
        assert_eq!(found(&tree, "$SYS/#"), ["$SYS/x"]);
        assert_eq!(found(&tree, "$SYS/+"), ["$SYS/x"]);
    }

    #[test]
    fn names_as_deep_as_can_be_are_found() {
        let (deep, half) = ("/".repeat(65_535), "/".repeat(32_767));
        let tree = tree(&[&deep, &half, "a"]);
        assert_eq!(found(&tree, "#").len(), 3);
        assert_eq!(found(&tree, &format!("{}+", "+/".repeat(32_767))), [half.as_str()]);
    }

    #[test]
    fn a_search_looks_at_no_more_than_its_limit_and_goes_on_from_there() {
        let mut tree = RetainedTree::new(1);
        for number in 0..1_000 {
            tree.insert(name(&format!("d/{number:04}/up")), number);
        }
        let (mut found, mut parts, mut cursor) = (Vec::new(), 0, None);
        loop {
            let (part, next) = tree.matches_after(&filter("d/+/up"), cursor.as_ref(), 100);
            assert!(part.len() <= 100);
            found.extend(part.into_iter().map(|(_, number)| number));
            parts += 1;
            // What lies behind and at the cursor goes, and the search is not disturbed.
            tree.remove(&name(&format!("d/{:04}/up", parts * 100 - 1)));
            tree.insert(name(&format!("d/{:04}/up", parts * 100 - 1)), 0);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, (0..1_000).collect::<Vec<_>>());
        assert_eq!(parts, 10);
    }

    #[test]
    fn a_message_that_goes_at_the_cursor_does_not_end_the_search() {
        let mut tree = tree(&["a", "b", "c"]);
        let (first, cursor) = tree.matches_after(&filter("#"), None, 1);
        assert_eq!(first, [(name("a"), 0)]);
        tree.remove(&name("b"));
        assert_eq!(tree.matches_after(&filter("#"), cursor.as_ref(), 5).0, [(name("c"), 2)]);
    }

    #[test]
    fn a_kept_name_does_not_point_into_the_buffer_it_came_from() {
        let name = name("a");
        let mut tree = RetainedTree::new(1);
        tree.insert(name.clone(), ());
        assert!(tree.iter().all(|(kept, ())| kept.as_str().as_ptr() != name.as_str().as_ptr()));
    }

    fn any_filter() -> impl Strategy<Value = TopicFilter> {
        "(([ab+]|[$]a|a!)?/){0,3}([ab+#]|[$]a|a!)?"
            .prop_filter_map("not a filter", |text| TopicFilter::try_from(text.as_str()).ok())
    }

    fn any_name() -> impl Strategy<Value = TopicName> {
        "(([abc]|[$]a|a!|\u{1}|%)?/){0,3}([abc]|[$]a|a!|\u{1})?"
            .prop_filter_map("not a name", |text| TopicName::try_from(text.as_str()).ok())
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_the_definition_finds_and_is_empty_at_the_end(
            changes in prop::collection::vec((any_name(), prop::bool::weighted(0.7)), 1..150),
            filters in prop::collection::vec(any_filter(), 1..12),
            limit in 1_usize..20,
        ) {
            let (mut tree, mut model) = (RetainedTree::new(1), BTreeMap::new());
            for (number, (name, insert)) in changes.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(tree.insert(name.clone(), number), model.insert(name, number));
                } else {
                    prop_assert_eq!(tree.remove(&name), model.remove(&name));
                }
                prop_assert_eq!(tree.len(), model.len());
            }
            for filter in &filters {
                let expected: BTreeMap<_, _> =
                    model.iter().filter(|(name, _)| filter.matches(name)).map(|(n, m)| (n.clone(), *m)).collect();
                let mut all = Vec::new();
                tree.for_each_match(filter, |name, number| all.push((name.clone(), *number)));
                prop_assert_eq!(all.len(), expected.len(), "{}", filter);
                prop_assert_eq!(&all.iter().cloned().collect::<BTreeMap<_, _>>(), &expected, "{}", filter);

                let (mut parts, mut cursor) = tree.matches_after(filter, None, limit);
                while let Some(at) = cursor {
                    let (part, next) = tree.matches_after(filter, Some(&at), limit);
                    prop_assert!(part.len() <= limit);
                    parts.extend(part);
                    cursor = next;
                }
                prop_assert_eq!(&parts, &all, "{}", filter);
            }
            for (name, number) in model {
                prop_assert_eq!(tree.get(&name), Some(&number));
                prop_assert_eq!(tree.remove(&name), Some(number));
            }
            prop_assert!(tree.is_empty() && tree.in_order.is_empty());
        }
    }
}
