//! The tree of filter levels with something at the end of each path; what it is, is the caller's.
//!
//! ```text
//!   root ──d──► · ──17──► · ──up──► payload of `d/17/up`
//!               ├───+───► · ──#───► payload of `d/+/#`
//!               └───#───► payload of `d/#`
//! ```
//!
//! Nodes lie in a slab. Children by a literal level are found in one index for the whole tree, by the hash of
//! (parent, level); the two wildcards are links in the node. A node is no larger than a cache line, because a walk
//! through a large tree waits for memory and for little else.
//!
//! Walking never recurses: filters and names may have 65,536 levels. A name visits a node at most once, and a walk
//! holds the nodes of one level at a time.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use slab::Slab;

use super::hash::Seed;
use super::hash_index::{HashIndex, Removed};
use super::level::Level;

/// What a path ends in.
pub(super) trait Payload: Default {
    /// Whether the path may be forgotten.
    fn is_empty(&self) -> bool;
}

pub(super) struct PathTree<T> {
    seed: Seed,
    nodes: Slab<Node<T>>,
    /// The nodes that are children by a literal level.
    literals: HashIndex,
}

/// Not zero, because the root is nobody's child.
type Child = NonZeroU32;

const ROOT: u32 = 0;

#[derive(Default)]
struct Node<T> {
    payload: T,
    /// The literal level by which this is a child of its parent; empty for a child by a wildcard.
    level: Level,
    parent: u32,
    /// The child by `+`.
    plus: Option<Child>,
    /// The child by `#`.
    hash: Option<Child>,
    /// How many children by a literal level there are.
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
        for level in levels(filter) {
            at = self.child(at, level).unwrap_or_else(|| self.grow(at, level)).get();
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
        here.push(ROOT);
        let mut wildcards = !name.starts_with('$'); // [MQTT-4.7.2-1], for the first level only
        for level in levels(name) {
            next.clear();
            // Computed for the first node that asks.
            let mut hash = None;
            for at in here.iter() {
                let node = &self.nodes[at as usize];
                if wildcards {
                    self.see_hash(node, &mut see)?;
                    next.extend(node.plus);
                }
                if node.literals > 0 {
                    let hash = *hash.get_or_insert_with(|| self.seed.hash_bytes(level));
                    next.extend(self.literal(at, level, hash));
                }
            }
            wildcards = true;
            std::mem::swap(&mut here, &mut next);
            if here.is_empty() {
                return ControlFlow::Continue(());
            }
        }
        for at in here.iter() {
            let node = &self.nodes[at as usize];
            see(&node.payload)?;
            self.see_hash(node, &mut see)?; // `sport/#` selects `sport`
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
        levels(filter).try_fold(ROOT, |at, level| self.child(at, level).map(Child::get))
    }

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
            node.parent == parent && node.level.text() == level
        });
        child.and_then(Child::new)
    }

    fn grow(&mut self, parent: u32, level: &[u8]) -> Child {
        let node = Node { parent, ..Node::default() };
        // The root has number 0 for ever, and memory ends before a u32 does.
        let key = u32::try_from(self.nodes.insert(node));
        let child = key.ok().and_then(Child::new).expect("the number of a node fits");
        match level {
            b"+" => self.nodes[parent as usize].plus = Some(child),
            b"#" => self.nodes[parent as usize].hash = Some(child),
            _ => {
                self.nodes[child.get() as usize].level = Level::new(level);
                self.nodes[parent as usize].literals += 1;
                self.literals.insert(self.seed.hash_pair(parent, self.seed.hash_bytes(level)), child.get());
            }
        }
        child
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
            let hash = self.seed.hash_pair(node.parent, self.seed.hash_bytes(node.level.text()));
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

/// The nodes that a walk has reached at one level; few of them need no allocation.
struct Frontier {
    few: [u32; 16],
    length: usize,
    more: Vec<u32>,
}

impl Frontier {
    fn new() -> Self {
        Self { few: [0; 16], length: 0, more: Vec::new() }
    }

    fn push(&mut self, node: u32) {
        match self.few.get_mut(self.length) {
            Some(place) => {
                *place = node;
                self.length += 1;
            }
            None => self.more.push(node),
        }
    }

    fn extend(&mut self, node: Option<Child>) {
        if let Some(node) = node {
            self.push(node.get());
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.few[..self.length].iter().chain(&self.more).copied()
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
        let left = [("a/b", 7), ("a/b/c", 5), ("a/+/#", 2), ("b/b", 0)];
        for (filter, nodes) in left {
            assert!(tree.change(filter, |number| number.0.take()).is_some());
            assert_eq!(tree.node_count(), nodes, "{filter}");
        }
        assert!(tree.change("a/b", |_| ()).is_none());
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
