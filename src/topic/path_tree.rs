//! The tree of filter levels with something at the end of each path; what it is, is the caller's.
//!
//! ```text
//!   root ──d──► · ──17──► · ──up──► payload of `d/17/up`
//!               ├───+───► · ──#───► payload of `d/+/#`
//!               └───#───► payload of `d/#`
//! ```
//!
//! Nodes lie in a slab. Children by a literal level are found in one table for the whole tree, keyed by
//! (parent, level); the two wildcards are links in the node. Walking never recurses: filters and names may have
//! 65,536 levels. A name visits a node at most once, and a walk holds the nodes of one level at a time.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use hashbrown::HashTable;
use slab::Slab;

use super::hash::Seed;
use super::level::{LevelId, Levels};

/// What a path ends in.
pub(super) trait Payload: Default {
    /// Whether the path may be forgotten.
    fn is_empty(&self) -> bool;
}

#[derive(Debug)]
pub(super) struct PathTree<T> {
    seed: Seed,
    levels: Levels,
    nodes: Slab<Node<T>>,
    edges: HashTable<Edge>,
}

/// Not zero, because the root is nobody's child.
type Child = NonZeroU32;

const ROOT: u32 = 0;

#[derive(Debug, Default)]
struct Node<T> {
    payload: T,
    /// The child by `+`.
    plus: Option<Child>,
    /// The child by `#`.
    hash: Option<Child>,
    /// How many edges begin here.
    literals: u32,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    parent: u32,
    level: LevelId,
    child: Child,
}

#[derive(Clone, Copy)]
enum Step {
    Plus,
    Hash,
    Literal(LevelId),
}

impl<T: Payload> PathTree<T> {
    pub(super) fn new(seed: u64) -> Self {
        let seed = Seed::new(seed);
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { seed, levels: Levels::new(seed), nodes, edges: HashTable::new() }
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
        for level in filter.as_bytes().split(|byte| *byte == b'/') {
            at = self
                .find_step(level)
                .and_then(|step| self.child(at, step))
                .unwrap_or_else(|| self.grow(at, level))
                .get();
        }
        &mut self.nodes[at as usize].payload
    }

    /// The payload at the end of a path.
    pub(super) fn get(&self, filter: &str) -> Option<&T> {
        let mut at = ROOT;
        for level in filter.as_bytes().split(|byte| *byte == b'/') {
            at = self.child(at, self.find_step(level)?)?.get();
        }
        Some(&self.nodes[at as usize].payload)
    }

    /// Changes the payload at the end of a path and forgets what has become empty; `None` without such a path.
    pub(super) fn change<R>(&mut self, filter: &str, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut at = ROOT;
        let mut path = Vec::with_capacity(8);
        for level in filter.as_bytes().split(|byte| *byte == b'/') {
            let step = self.find_step(level)?;
            path.push((at, step));
            at = self.child(at, step)?.get();
        }
        let result = change(&mut self.nodes[at as usize].payload);
        self.prune(at, path);
        Some(result)
    }

    /// Shows the payload of each path that selects the name until `see` breaks off; payloads may be empty.
    pub(super) fn visit<'a>(
        &'a self,
        name: &str,
        mut see: impl FnMut(&'a T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut here, mut next) = (Frontier::new(), Frontier::new());
        here.push(ROOT);
        let mut wildcards = !name.starts_with('$'); // [MQTT-4.7.2-1], for the first level only
        for level in name.as_bytes().split(|byte| *byte == b'/') {
            next.clear();
            // Looked up for the first node that asks.
            let mut step = None;
            for at in here.iter() {
                let node = &self.nodes[at as usize];
                if wildcards {
                    self.see_hash(node, &mut see)?;
                    next.extend(node.plus);
                }
                if node.literals > 0
                    && let Some(id) = *step.get_or_insert_with(|| self.levels.find(level))
                {
                    next.extend(self.child(at, Step::Literal(id)));
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

    /// The step for a level; `None` if no filter has this level.
    fn find_step(&self, level: &[u8]) -> Option<Step> {
        match level {
            b"+" => Some(Step::Plus),
            b"#" => Some(Step::Hash),
            _ => self.levels.find(level).map(Step::Literal),
        }
    }

    fn child(&self, at: u32, step: Step) -> Option<Child> {
        match step {
            Step::Plus => self.nodes[at as usize].plus,
            Step::Hash => self.nodes[at as usize].hash,
            Step::Literal(level) => {
                let edge =
                    self.edges.find(self.seed.hash_pair(at, level), |e| e.parent == at && e.level == level);
                edge.map(|edge| edge.child)
            }
        }
    }

    fn grow(&mut self, at: u32, level: &[u8]) -> Child {
        let key = self.nodes.insert(Node::default());
        // The root has number 0 for ever, and memory ends before a u32 does.
        let child = u32::try_from(key).ok().and_then(Child::new).expect("the number of a node fits");
        match level {
            b"+" => self.nodes[at as usize].plus = Some(child),
            b"#" => self.nodes[at as usize].hash = Some(child),
            _ => self.add_edge(at, level, child),
        }
        child
    }

    fn add_edge(&mut self, parent: u32, level: &[u8], child: Child) {
        let (seed, level) = (self.seed, self.levels.acquire(level));
        let hash = |edge: &Edge| seed.hash_pair(edge.parent, edge.level);
        let edge = Edge { parent, level, child };
        self.edges.insert_unique(hash(&edge), edge, hash);
        self.nodes[parent as usize].literals += 1;
    }

    /// Removes empty nodes from the end of a path upwards.
    fn prune(&mut self, end: u32, mut path: Vec<(u32, Step)>) {
        let mut at = end;
        while let Some((parent, step)) = path.pop() {
            if !self.nodes[at as usize].is_empty() {
                break;
            }
            self.nodes.remove(at as usize);
            match step {
                Step::Plus => self.nodes[parent as usize].plus = None,
                Step::Hash => self.nodes[parent as usize].hash = None,
                Step::Literal(level) => self.remove_edge(parent, level),
            }
            at = parent;
        }
        self.shrink();
    }

    fn remove_edge(&mut self, parent: u32, level: LevelId) {
        let hash = self.seed.hash_pair(parent, level);
        if let Ok(entry) = self.edges.find_entry(hash, |edge| edge.parent == parent && edge.level == level) {
            entry.remove();
        }
        self.nodes[parent as usize].literals -= 1;
        self.levels.release(level);
    }

    /// Gives memory back when most of it is unused. The slab can only do so at its end.
    fn shrink(&mut self) {
        if self.edges.capacity() > 64 && self.edges.len() < self.edges.capacity() / 8 {
            let seed = self.seed;
            self.edges.shrink_to(self.edges.len() * 2, |edge| seed.hash_pair(edge.parent, edge.level));
            self.nodes.shrink_to_fit();
        }
    }
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
    fn nodes_and_levels_go_with_the_last_path_that_needs_them() {
        let mut tree = PathTree::<Number>::new(1);
        for filter in ["a/b/c", "a/b", "a/+/#", "b/b"] {
            tree.entry(filter).0 = Some(0);
        }
        // `a/b` stays as the way to `a/b/c`.
        let left = [("a/b", 7, 3), ("a/b/c", 5, 2), ("a/+/#", 2, 1), ("b/b", 0, 0)];
        for (filter, nodes, levels) in left {
            assert!(tree.change(filter, |number| number.0.take()).is_some());
            assert_eq!((tree.node_count(), tree.levels.len()), (nodes, levels), "{filter}");
        }
        assert!(tree.edges.is_empty());
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
