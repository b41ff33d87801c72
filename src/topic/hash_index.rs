//! From a hash to the number under which its owner keeps something.
//!
//! The table holds numbers and half of each hash, not what is hashed, so that neither growing nor a near miss
//! touches it: growing a table of a million entries goes through memory in order.

use hashbrown::HashTable;

#[derive(Debug, Default)]
pub(super) struct HashIndex {
    table: HashTable<Reference>,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    hash: u32,
    id: u32,
}

/// Whether the index has just given memory back, which is a good moment for its owner to do so too: the more is
/// held, the rarer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    InPlace,
    AndShrunk,
}

impl HashIndex {
    /// The number of something; `is` compares with what is kept under a number.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let half = hash as u32;
        self.table.find(spread(half), |it| it.hash == half && is(it.id)).map(|it| it.id)
    }

    /// Adds what is not in the index.
    pub(super) fn insert(&mut self, hash: u64, id: u32) {
        let half = hash as u32;
        self.table.insert_unique(spread(half), Reference { hash: half, id }, |it| spread(it.hash));
    }

    /// Puts another number in the place of one.
    pub(super) fn replace(&mut self, hash: u64, id: u32, by: u32) {
        if let Some(reference) = self.table.find_mut(spread(hash as u32), |it| it.id == id) {
            reference.id = by;
        }
    }

    /// Removes something by its number.
    pub(super) fn remove(&mut self, hash: u64, id: u32) -> Removed {
        if let Ok(entry) = self.table.find_entry(spread(hash as u32), |it| it.id == id) {
            entry.remove();
        }
        if self.table.capacity() < 64 || self.table.len() > self.table.capacity() / 8 {
            return Removed::InPlace;
        }
        self.table.shrink_to(self.table.len() * 2, |it| spread(it.hash));
        Removed::AndShrunk
    }
}

/// The table takes the lowest bits for the place and the highest for the tag.
fn spread(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}

#[cfg(test)]
mod tests {
    use super::super::hash::Seed;
    use super::*;

    #[test]
    fn an_index_that_was_large_gives_its_memory_back() {
        let hash = |id: u32| Seed::new(1).hash_bytes(&id.to_le_bytes());
        let mut index = HashIndex::default();
        for id in 0..5_000 {
            index.insert(hash(id), id);
        }
        let mut shrunk = 0;
        for id in 0..5_000 {
            assert_eq!(index.find(hash(id), |it| it == id), Some(id));
            shrunk += usize::from(index.remove(hash(id), id) == Removed::AndShrunk);
            assert_eq!(index.find(hash(id), |it| it == id), None);
        }
        assert!(index.table.is_empty() && index.table.capacity() < 64);
        assert!((1..10).contains(&shrunk));
    }

    #[test]
    fn equal_hashes_are_told_apart_by_what_is_kept() {
        let mut index = HashIndex::default();
        index.insert(7, 1);
        index.insert(7, 2);
        assert_eq!(index.find(7, |id| id == 2), Some(2));
        index.remove(7, 2);
        assert_eq!((index.find(7, |id| id == 2), index.find(7, |id| id == 1)), (None, Some(1)));
    }
}
