//! The tree of filter levels with something at the end of each path; what it is, is the caller's.
//!
//! ```text
//!   root ──d──► · ──17/up──► payload of `d/17/up`
//!               ├──+/#─────► payload of `d/+/#`
//!               └──#───────► payload of `d/#`
//! ```
//!
//! A node stands for a run of levels, and is split where a path comes that leaves the run: most filters then have one
//! node of their own instead of one for each level. With 1,000,000 filters a subscription takes 238 bytes instead of
//! 379, and subscribing 1.4 µs instead of 1.8 (`mqload --scenario F --filters 1000000`). What was split stays so
//! until it goes; there is never more than a node for each level. A label that has several levels lies in its node:
//! a walk reads no further, and to split one copies a few bytes only, whatever a client subscribes.
//!
//! Nodes lie in a slab. Children whose label begins with a literal level are found in one index for the whole tree, by
//! the hash of (parent, level); those by the two wildcards are links in the node. A node is no larger than a cache
//! line, because a walk through a large tree waits for memory and for little else.
//!
//! Walking never recurses: filters and names may have 65,536 levels. A name visits a node at most once for each level
//! of its label, and a walk holds the nodes of one level at a time.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use slab::Slab;

use super::hash::Seed;
use super::hash_index::{HashIndex, Removed};
use super::label::{Label, begins_with, first_level};

/// What a path ends in.
pub(super) trait Payload: Default {
    /// Whether the path may be forgotten.
    fn is_empty(&self) -> bool;
}

pub(super) struct PathTree<T> {
    seed: Seed,
    nodes: Slab<Node<T>>,
    /// The children whose label begins with a literal level.
    literals: HashIndex,
}

/// Not zero, because the root is nobody's child.
type Child = NonZeroU32;

const ROOT: u32 = 0;

#[derive(Default)]
struct Node<T> {
    payload: T,
    /// The levels that lead here from the parent.
    label: Label,
    parent: u32,
    /// The child whose label begins with `+`.
    plus: Option<Child>,
    /// The child by `#`.
    hash: Option<Child>,
    /// How many children there are whose label begins with a literal level.
    literals: u32,
}

impl<T: Payload> PathTree<T> {
    pub(super) fn new(seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { seed: Seed::new(seed), nodes, literals: HashIndex::default() }
    }

    /// The number of nodes below the root.
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    /// The payload at the end of a path, which is made if it is not there.
    pub(super) fn entry(&mut self, filter: &str) -> &mut T {
        let mut at = ROOT;
        let mut rest = Some(filter.as_bytes());
        while let Some(path) = rest {
            let child = self.child(at, first_level(path)).unwrap_or_else(|| self.grow(at, path));
            let label = &self.nodes[child.get() as usize].label;
            let shared = label.shared_with(path);
            let whole = shared == label.text().len();
            at = if whole { child } else { self.split(child, shared) }.get();
            rest = path.get(shared + 1..);
        }
        &mut self.nodes[at as usize].payload
    }

    /// The payload at the end of a path.
    pub(super) fn get(&self, filter: &str) -> Option<&T> {
        self.find(filter).map(|at| &self.nodes[at as usize].payload)
    }

    /// Changes the payload at the end of a path and forgets what has become empty; `None` without such a path.
    pub(super) fn change<R>(&mut self, filter: &str, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let at = self.find(filter)?;
        let result = change(&mut self.nodes[at as usize].payload);
        self.prune(at);
        Some(result)
    }

    /// Shows the payload of each path that selects the name until `see` breaks off; payloads may be empty.
    pub(super) fn visit<'a>(
        &'a self,
        name: &str,
        mut see: impl FnMut(&'a T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut here, mut next) = (&mut Frontier::new(), &mut Frontier::new());
        here.push(Place::behind_first(ROOT, b""));
        let mut wildcards = !name.starts_with('$'); // [MQTT-4.7.2-1], for the first level only
        for level in levels(name) {
            next.clear();
            // Computed for the first node that asks.
            let mut hash = None;
            for place in (0..here.length).map(|number| here.get(number)) {
                let node = &self.nodes[place.node as usize];
                match node.label.levels_from(place.at as usize) {
                    Some([b'#', ..]) => see(&node.payload)?,
                    Some([b'+', ..]) => next.push(place.behind(b"+")),
                    Some(path) if begins_with(path, level) => next.push(place.behind(level)),
                    Some(_) => {}
                    None => {
                        if wildcards {
                            self.see_hash(node, &mut see)?;
                            next.extend(node.plus, b"+");
                        }
                        if node.literals > 0 {
                            let hash = *hash.get_or_insert_with(|| self.seed.hash_bytes(level));
                            next.extend(self.literal(place.node, level, hash), level);
                        }
                    }
                }
            }
            wildcards = true;
            std::mem::swap(&mut here, &mut next);
            if here.is_empty() {
                return ControlFlow::Continue(());
            }
        }
        for place in (0..here.length).map(|number| here.get(number)) {
            let node = &self.nodes[place.node as usize];
            match node.label.levels_from(place.at as usize) {
                None => {
                    see(&node.payload)?;
                    self.see_hash(node, &mut see)?; // `sport/#` selects `sport`
                }
                Some([b'#', ..]) => see(&node.payload)?, // likewise
                Some(_) => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn see_hash<'a>(
        &'a self,
        node: &Node<T>,
        see: &mut impl FnMut(&'a T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match node.hash {
            Some(child) => see(&self.nodes[child.get() as usize].payload),
            None => ControlFlow::Continue(()),
        }
    }

    fn find(&self, filter: &str) -> Option<u32> {
        let (mut at, mut path) = (ROOT, filter.as_bytes());
        loop {
            at = self.child(at, first_level(path))?.get();
            match path.strip_prefix(self.nodes[at as usize].label.text())? {
                [] => return Some(at),
                [b'/', rest @ ..] => path = rest,
                _ => return None,
            }
        }
    }

    /// The child whose label begins with this level.
    fn child(&self, at: u32, level: &[u8]) -> Option<Child> {
        match level {
            b"+" => self.nodes[at as usize].plus,
            b"#" => self.nodes[at as usize].hash,
            _ => self.literal(at, level, self.seed.hash_bytes(level)),
        }
    }

    fn literal(&self, parent: u32, level: &[u8], level_hash: u64) -> Option<Child> {
        let child = self.literals.find(self.seed.hash_pair(parent, level_hash), |id| {
            let node = &self.nodes[id as usize];
            node.parent == parent && begins_with(node.label.text(), level)
        });
        child.and_then(Child::new)
    }

    /// A new child for the first levels of a path.
    fn grow(&mut self, parent: u32, path: &[u8]) -> Child {
        let child = self.add(parent, Label::of_first(path));
        self.link(child);
        child
    }

    /// Puts a node for the first levels of a label above the one that has the others.
    fn split(&mut self, lower: Child, length: usize) -> Child {
        let node = &self.nodes[lower.get() as usize];
        let (parent, label) = (node.parent, node.label.text());
        let hash = self.hash_of(node);
        let (first, others) = (Label::new(&label[..length]), Label::new(&label[length + 1..]));
        let upper = self.add(parent, first);
        let above = &mut self.nodes[parent as usize];
        if above.plus == Some(lower) {
            above.plus = Some(upper);
        } else {
            self.literals.replace(hash, lower.get(), upper.get());
        }
        let node = &mut self.nodes[lower.get() as usize];
        (node.parent, node.label) = (upper.get(), others);
        self.link(lower);
        upper
    }

    /// A node that its parent does not know yet.
    fn add(&mut self, parent: u32, label: Label) -> Child {
        // The root has number 0 for ever, and memory ends before a u32 does.
        let key = u32::try_from(self.nodes.insert(Node { parent, label, ..Node::default() }));
        key.ok().and_then(Child::new).expect("the number of a node fits")
    }

    fn link(&mut self, child: Child) {
        let node = &self.nodes[child.get() as usize];
        let (hash, parent) = (self.hash_of(node), node.parent as usize);
        match node.label.first_level() {
            b"+" => self.nodes[parent].plus = Some(child),
            b"#" => self.nodes[parent].hash = Some(child),
            _ => {
                self.nodes[parent].literals += 1;
                self.literals.insert(hash, child.get());
            }
        }
    }

    /// By which the index finds a node.
    fn hash_of(&self, node: &Node<T>) -> u64 {
        self.seed.hash_pair(node.parent, self.seed.hash_bytes(node.label.first_level()))
    }

    /// Removes a node if it is empty, and then its ancestors for as long as they are.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT && self.nodes[at as usize].is_empty() {
            let node = self.nodes.remove(at as usize);
            self.unlink(at, &node);
            at = node.parent;
        }
        if self.node_count() == 0 {
            self.nodes.shrink_to_fit();
        }
    }

    fn unlink(&mut self, child: u32, node: &Node<T>) {
        let parent = &mut self.nodes[node.parent as usize];
        let link = Child::new(child);
        if parent.plus == link {
            parent.plus = None;
        } else if parent.hash == link {
            parent.hash = None;
        } else {
            parent.literals -= 1;
            let hash = self.hash_of(node);
            if self.literals.remove(hash, child) == Removed::AndShrunk {
                // A slab can only shrink at its end; places before it are used again.
                self.nodes.shrink_to_fit();
            }
        }
    }
}

fn levels(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().split(|byte| *byte == b'/')
}

impl<T: Payload> Node<T> {
    fn is_empty(&self) -> bool {
        self.literals == 0 && self.plus.is_none() && self.hash.is_none() && self.payload.is_empty()
    }
}

/// How far a walk has come: a node, and where in its label the next level begins.
#[derive(Clone, Copy, Default)]
struct Place {
    node: u32,
    at: u32,
}

impl Place {
    fn behind_first(node: u32, level: &[u8]) -> Self {
        Self { node, at: level.len() as u32 + 1 }
    }

    /// The place behind a level of the label, and the separator that follows.
    fn behind(self, level: &[u8]) -> Self {
        Self { at: self.at + level.len() as u32 + 1, ..self }
    }
}

/// Where a walk has come to with one level; few places need no allocation.
struct Frontier {
    few: [Place; 16],
    length: usize,
    more: Vec<Place>,
}

impl Frontier {
    fn new() -> Self {
        Self { few: [Place::default(); 16], length: 0, more: Vec::new() }
    }

    fn push(&mut self, reached: Place) {
        match self.few.get_mut(self.length) {
            Some(place) => *place = reached,
            None => self.more.push(reached),
        }
        self.length += 1;
    }

    fn get(&self, number: usize) -> Place {
        self.few.get(number).copied().unwrap_or_else(|| self.more[number - self.few.len()])
    }

    /// Adds a child, behind the first level of its label.
    fn extend(&mut self, child: Option<Child>, level: &[u8]) {
        if let Some(child) = child {
            self.push(Place::behind_first(child.get(), level));
        }
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn clear(&mut self) {
        self.length = 0;
        self.more.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Number(Option<u32>);

    impl Payload for Number {
        fn is_empty(&self) -> bool {
            self.0.is_none()
        }
    }

    fn found(tree: &PathTree<Number>, name: &str) -> Vec<u32> {
        let mut found = Vec::new();
        let _ = tree.visit(name, |number| {
            found.extend(number.0);
            ControlFlow::Continue(())
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn filters_that_begin_alike_share_nodes() {
        let mut tree = PathTree::<Number>::new(1);
        for (number, filter) in ["a/b", "a/+", "a/#", "a"].into_iter().enumerate() {
            tree.entry(filter).0 = Some(number as u32);
        }
        assert_eq!(tree.node_count(), 4);
        assert_eq!(found(&tree, "a/b"), [0, 1, 2]);
        assert_eq!(found(&tree, "a"), [2, 3]);
        assert_eq!(tree.get("a/+").and_then(|number| number.0), Some(1));
        assert!(tree.get("+/a").is_none());
    }

    #[test]
    fn nodes_go_with_the_last_path_that_needs_them() {
        let mut tree = PathTree::<Number>::new(1);
        for filter in ["a/b/c", "a/b", "a/+/#", "b/b"] {
            tree.entry(filter).0 = Some(0);
        }
        // `a/b` stays as the way to `a/b/c`.
        let left = [("a/b", 5), ("a/b/c", 3), ("a/+/#", 1), ("b/b", 0)];
        for (filter, nodes) in left {
            assert!(tree.change(filter, |number| number.0.take()).is_some());
            assert_eq!(tree.node_count(), nodes, "{filter}");
        }
        assert!(tree.change("a/b", |_| ()).is_none());
    }

    #[test]
    fn a_path_that_leaves_a_label_splits_it() {
        let mut tree = PathTree::<Number>::new(1);
        for (number, filter) in ["a/b/c/d", "a/b/x", "+/b/c/d", "+/b/#", "a", "a/"].into_iter().enumerate() {
            tree.entry(filter).0 = Some(number as u32);
        }
        // `a`, ``, `b`, `c/d`, `x`, and `+/b`, `c/d`, `#`.
        assert_eq!(tree.node_count(), 8);
        assert_eq!(found(&tree, "a/b/c/d"), [0, 2, 3]);
        assert_eq!(found(&tree, "a/b/x"), [1, 3]);
        assert_eq!(found(&tree, "a/b"), [3]);
        assert_eq!(found(&tree, "a/b/c"), [3]);
        assert_eq!(found(&tree, "a"), [4]);
        assert_eq!(found(&tree, "a/"), [5]);
        for filter in ["a/b", "a/b/c", "+", "+/b", "b", "a/b/c/d/e"] {
            assert!(tree.get(filter).is_none_or(Number::is_empty), "{filter}");
        }
    }

    #[test]
    fn a_path_as_deep_as_can_be_is_walked_without_recursion() {
        let mut tree = PathTree::<Number>::new(1);
        let deep = "/".repeat(65_535);
        let wild = format!("{}+", "+/".repeat(32_767));
        tree.entry(&deep).0 = Some(1);
        tree.entry(&wild).0 = Some(2);
        assert_eq!(found(&tree, &deep), [1]);
        assert_eq!(found(&tree, &"/".repeat(32_767)), [2]);
        for filter in [&deep, &wild] {
            assert!(tree.change(filter, |number| number.0.take()).is_some());
        }
        assert_eq!(tree.node_count(), 0);
    }

    #[test]
    fn a_walk_reaches_more_nodes_at_a_level_than_lie_in_place() {
        let mut tree = PathTree::<Number>::new(1);
        for number in 0..64_u32 {
            let levels: Vec<_> = (0..6).map(|bit| if number >> bit & 1 == 0 { "a" } else { "+" }).collect();
            tree.entry(&levels.join("/")).0 = Some(number);
        }
        assert_eq!(found(&tree, "a/a/a/a/a/a"), (0..64).collect::<Vec<_>>());
        assert_eq!(found(&tree, "a/a/a/a/a/b").len(), 32);
    }

    #[test]
    fn a_node_with_thirty_two_bytes_of_its_own_is_as_large_as_a_cache_line() {
        assert_eq!(size_of::<Node<[u64; 4]>>(), 64);
    }

    #[test]
    fn a_walk_stops_when_told_to() {
        let mut tree = PathTree::<Number>::new(1);
        for filter in ["a", "+", "#"] {
            tree.entry(filter).0 = Some(0);
        }
        let mut seen = 0;
        let end = tree.visit("a", |_| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((end, seen), (ControlFlow::Break(()), 1));
    }
}
