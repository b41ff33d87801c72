//! What is remembered of many, in bounded memory.
//!
//! Who is remembered is chosen by strangers: addresses by the million cost an attacker nothing. Beyond the limit
//! one gives way for each that comes: of some that are looked at by chance, one of whom nothing counts any more, else
//! the one that would be forgotten first. Who must be remembered, because a connection is open, is not forgotten; those
//! are as many as there are connections at most.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// How many are looked at for one that gives way.
const LOOKED_AT: usize = 32;

pub(super) trait Remembered {
    fn key(&self) -> u64;
    /// When it can be forgotten, the least first; None: it must not be.
    fn forgotten_at(&self) -> Option<u32>;
}

#[derive(Debug)]
pub(super) struct Table<T> {
    entries: HashTable<T>,
    /// Seeded: strangers choose the keys.
    hasher: DefaultHashBuilder,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { entries: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T: Remembered> Table<T> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, key: u64) -> Option<&T> {
        self.entries.find(self.hasher.hash_one(key), |it| it.key() == key)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.entries.find_mut(self.hasher.hash_one(key), |it| it.key() == key)
    }

    /// The one with this key, which is `new` where there is none. No more than `most` are remembered, but for those who
    /// must not be forgotten and a few that come where all who are looked at are such.
    pub fn entry(&mut self, key: u64, most: usize, new: impl FnOnce() -> T) -> &mut T {
        if self.entries.len() >= most && self.get(key).is_none() {
            self.make_room();
        }
        let hasher = &self.hasher;
        let hash = |it: &T| hasher.hash_one(it.key());
        match self.entries.entry(hasher.hash_one(key), |it| it.key() == key, hash) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(new()).into_mut(),
        }
    }

    pub fn remove(&mut self, key: u64) {
        if let Ok(entry) = self.entries.find_entry(self.hasher.hash_one(key), |it| it.key() == key) {
            entry.remove();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.entries.retain(keep);
    }

    fn make_room(&mut self) {
        let buckets = self.entries.num_buckets();
        if buckets == 0 {
            return;
        }
        // Each by chance: those who lie side by side may have come together, and all have connections.
        let looked_at = (0..LOOKED_AT).filter_map(|_| {
            let begin = fastrand::usize(..buckets);
            let mut around = (begin..buckets).chain(0..begin);
            around.find_map(|index| Some((index, self.entries.get_bucket(index)?)))
        });
        let first = looked_at.filter_map(|(index, it)| Some((it.forgotten_at()?, index))).min();
        if let Some((_, index)) = first
            && let Ok(entry) = self.entries.get_bucket_entry(index)
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Seen {
        key: u64,
        until: Option<u32>,
    }

    impl Remembered for Seen {
        fn key(&self) -> u64 {
            self.key
        }

        fn forgotten_at(&self) -> Option<u32> {
            self.until
        }
    }

    #[test]
    fn a_hundred_thousand_strangers_take_no_more_room_than_the_limit() {
        let mut table = Table::default();
        for key in 0..100_000 {
            table.entry(key, 1000, || Seen { key, until: Some(0) });
            assert!(table.len() <= 1000);
        }
        assert!(table.entries.num_buckets() <= 4096, "{}", table.entries.num_buckets());
    }

    #[test]
    fn who_is_banned_stays_while_there_are_others_to_forget() {
        let mut table = Table::default();
        for key in 0..10 {
            table.entry(key, 1000, || Seen { key, until: Some(u32::MAX) });
        }
        for key in 10..100_000 {
            table.entry(key, 1000, || Seen { key, until: Some(0) });
        }
        assert!((0..10).all(|key| table.get(key).is_some()));
    }

    #[test]
    fn who_has_a_connection_is_not_forgotten() {
        let mut table = Table::default();
        for key in 0..500 {
            table.entry(key, 100, || Seen { key, until: None });
        }
        assert_eq!(table.len(), 500);
        for key in 0..450 {
            table.remove(key);
        }
        for key in 500..1000 {
            table.entry(key, 100, || Seen { key, until: Some(0) });
        }
        // Now and then nobody is met who may be forgotten.
        assert!((100..120).contains(&table.len()), "{}", table.len());
        assert!((450..500).all(|key| table.get(key).is_some()));
    }
}
