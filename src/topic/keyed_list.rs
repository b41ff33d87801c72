//! A list of pairs that is found by key and read as a slice, for the subscribers of one filter and the filters of
//! one session.
//!
//! Most filters have one subscriber and most sessions few filters, some have thousands. One pair lies in place; a few are searched from the
//! front; from [`INDEX_FROM`] on a hash index finds them, so that leaving a large list takes no longer than
//! leaving a small one. The order of the pairs carries no meaning.

use std::hash::Hash;
use std::{mem, slice};

use hashbrown::HashTable;

use super::hash::Seed;

/// The length at which searching from the front ends.
const INDEX_FROM: usize = 24;
/// The length below which the index is given up; lower, so that one client coming and going does not rebuild it.
const INDEX_UNTIL: usize = 12;

#[derive(Debug, Default)]
pub(crate) enum KeyedList<K, V> {
    #[default]
    Empty,
    One((K, V)),
    Many(Box<Many<K, V>>),
}

#[derive(Debug)]
pub(crate) struct Many<K, V> {
    pairs: Vec<(K, V)>,
    /// Positions in `pairs` by hash of the key, if there are enough of them.
    index: Option<HashTable<u32>>,
}

impl<K: Eq + Hash, V> KeyedList<K, V> {
    pub(crate) fn as_slice(&self) -> &[(K, V)] {
        match self {
            Self::Empty => &[],
            Self::One(pair) => slice::from_ref(pair),
            Self::Many(many) => &many.pairs,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(crate) fn get(&self, key: &K, seed: Seed) -> Option<&V> {
        match self {
            Self::Empty => None,
            Self::One((own, value)) => (own == key).then_some(value),
            Self::Many(many) => many.position(key, seed).map(|position| &many.pairs[position].1),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K, seed: Seed) -> Option<&mut V> {
        match self {
            Self::Empty => None,
            Self::One((own, value)) => (own == key).then_some(value),
            Self::Many(many) => {
                let position = many.position(key, seed)?;
                many.pairs.get_mut(position).map(|(_, value)| value)
            }
        }
    }

    /// Adds a pair or replaces the value; returns the former value.
    pub(crate) fn insert(&mut self, key: K, value: V, seed: Seed) -> Option<V> {
        if let Some(own) = self.get_mut(&key, seed) {
            return Some(mem::replace(own, value));
        }
        *self = match mem::replace(self, Self::Empty) {
            Self::Empty => Self::One((key, value)),
            Self::One(pair) => Self::Many(Box::new(Many { pairs: vec![pair, (key, value)], index: None })),
            Self::Many(mut many) => {
                many.push((key, value), seed);
                Self::Many(many)
            }
        };
        None
    }

    pub(crate) fn remove(&mut self, key: &K, seed: Seed) -> Option<V> {
        match self {
            Self::Empty => None,
            Self::One((own, _)) if own != key => None,
            Self::One(_) => match mem::replace(self, Self::Empty) {
                Self::One((_, value)) => Some(value),
                _ => None,
            },
            Self::Many(many) => {
                let value = many.remove(key, seed)?;
                if many.pairs.len() == 1 {
                    *self = many.pairs.pop().map_or(Self::Empty, Self::One);
                }
                Some(value)
            }
        }
    }
}

impl<K: Eq + Hash, V> Many<K, V> {
    fn position(&self, key: &K, seed: Seed) -> Option<usize> {
        match &self.index {
            None => self.pairs.iter().position(|(own, _)| own == key),
            Some(index) => {
                let found = index.find(seed.hash_one(key), |&at| self.pairs[at as usize].0 == *key);
                found.map(|&at| at as usize)
            }
        }
    }

    fn push(&mut self, pair: (K, V), seed: Seed) {
        let hash = seed.hash_one(&pair.0);
        self.pairs.push(pair);
        let pairs = &self.pairs;
        match &mut self.index {
            Some(index) => {
                let rehash = |&at: &u32| seed.hash_one(&pairs[at as usize].0);
                index.insert_unique(hash, pairs.len() as u32 - 1, rehash);
            }
            None if pairs.len() >= INDEX_FROM => self.rebuild_index(seed),
            None => {}
        }
    }

    fn remove(&mut self, key: &K, seed: Seed) -> Option<V> {
        let position = self.position(key, seed)?;
        if let Some(index) = &mut self.index {
            let last = self.pairs.len() - 1;
            if let Ok(entry) = index.find_entry(seed.hash_one(key), |&at| at as usize == position) {
                entry.remove();
            }
            // The last pair moves to the gap.
            let moved = index.find_mut(seed.hash_one(&self.pairs[last].0), |&at| at as usize == last);
            if let Some(at) = moved {
                *at = position as u32;
            }
        }
        let (_, value) = self.pairs.swap_remove(position);
        self.shrink(seed);
        Some(value)
    }

    fn shrink(&mut self, seed: Seed) {
        if self.pairs.len() < INDEX_UNTIL {
            self.index = None;
        }
        if self.pairs.len() < self.pairs.capacity() / 4 {
            self.pairs.shrink_to(self.pairs.len() * 2);
            if self.index.is_some() {
                self.rebuild_index(seed);
            }
        }
    }

    fn rebuild_index(&mut self, seed: Seed) {
        let hash_at = |at: &u32| seed.hash_one(&self.pairs[*at as usize].0);
        let mut index = HashTable::with_capacity(self.pairs.len());
        for at in 0..self.pairs.len() as u32 {
            index.insert_unique(hash_at(&at), at, hash_at);
        }
        self.index = Some(index);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_of_any_length_behaves_like_a_map(
            changes in prop::collection::vec((0_u8..60, prop::bool::weighted(0.6)), 0..600)
        ) {
            let seed = Seed::new(1);
            let (mut list, mut map) = (KeyedList::default(), HashMap::new());
            for (number, (key, insert)) in changes.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(list.insert(key, number, seed), map.insert(key, number));
                } else {
                    prop_assert_eq!(list.remove(&key, seed), map.remove(&key));
                }
                prop_assert_eq!(list.is_empty(), map.is_empty());
                prop_assert_eq!(&list.as_slice().iter().copied().collect::<HashMap<_, _>>(), &map);
                prop_assert_eq!(list.as_slice().len(), map.len());
                prop_assert_eq!(list.get_mut(&key, seed), map.get_mut(&key));
            }
        }
    }

    #[test]
    fn a_list_that_was_long_gives_its_memory_back() {
        let seed = Seed::new(1);
        let mut list = KeyedList::default();
        for key in 0..10_000 {
            list.insert(key, (), seed);
        }
        for key in 0..9_980 {
            assert_eq!(list.remove(&key, seed), Some(()));
        }
        let KeyedList::Many(many) = &list else { panic!("twenty pairs are many") };
        assert!(many.pairs.capacity() <= 80);
        assert!(many.index.as_ref().is_some_and(|index| index.capacity() <= 160));
        for key in 9_980..9_999 {
            assert_eq!(list.remove(&key, seed), Some(()));
        }
        assert!(matches!(list, KeyedList::One((9_999, ()))));
    }
}
