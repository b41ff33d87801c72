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
use super::string_table::StringTable;
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
    kept: Slab<Kept<M>>,
    by_name: StringTable,
    in_order: BTreeMap<Box<Key>, u32>,
}

struct Kept<M> {
    name: TopicName,
    message: M,
}

/// Where a search goes on. It stays good when messages come and go.
#[derive(Clone, Debug)]
pub struct Cursor(Box<Key>);

impl<M> RetainedTree<M> {
    /// An empty tree. The seed should be random and secret: clients choose the names that are hashed with it.
    pub fn new(seed: u64) -> Self {
        Self { kept: Slab::new(), by_name: StringTable::new(Seed::new(seed)), in_order: BTreeMap::new() }
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
        self.by_name.insert(name.as_str().as_bytes(), id);
        self.in_order.insert(key_of(name.as_str()), id);
        None
    }

    /// Forgets the message of a name and returns it.
    pub fn remove(&mut self, name: &TopicName) -> Option<M> {
        let id = self.find(name.as_str())?;
        self.by_name.remove(name.as_str().as_bytes(), id);
        self.in_order.remove(&key_of(name.as_str()));
        Some(self.kept.remove(id as usize).message)
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
        self.by_name.find(name.as_bytes(), |id| self.kept[id as usize].name.as_str() == name)
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
