//! From a hash to the number under which its owner keeps something.
//!
//! The table holds numbers and half of each hash, not what is hashed, so that neither growing nor a near miss
//! touches it: growing goes through memory in order. One that has become large is in [`PARTS`] tables, which grow
//! one by one. Where all was one table, one subscription of 1,000,000 found it full and took 15 to 30 ms, for which
//! all waited who published; the longest takes 0.5 ms now, also when a table is divided.

use std::array;

use hashbrown::HashTable;

#[derive(Debug, Default)]
pub(super) struct HashIndex {
    table: HashTable<Reference>,
    /// Where all is once there is much; `table` is empty then.
    parts: Option<Box<[HashTable<Reference>; PARTS]>>,
}

const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 6;
/// What a table of 32,768 places holds: dividing it takes no longer than to double it.
const LARGE: usize = 28_672;

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
        let table = match &self.parts {
            None => &self.table,
            Some(parts) => &parts[part(half)],
        };
        table.find(spread(half), |it| it.hash == half && is(it.id)).map(|it| it.id)
    }

    /// Adds what is not in the index.
    pub(super) fn insert(&mut self, hash: u64, id: u32) {
        if self.table.len() >= LARGE {
            self.divide();
        }
        let half = hash as u32;
        insert(self.table_mut(half), Reference { hash: half, id });
    }

    /// Puts another number in the place of one.
    pub(super) fn replace(&mut self, hash: u64, id: u32, by: u32) {
        let half = hash as u32;
        if let Some(reference) = self.table_mut(half).find_mut(spread(half), |it| it.id == id) {
            reference.id = by;
        }
    }

    /// Removes something by its number.
    pub(super) fn remove(&mut self, hash: u64, id: u32) -> Removed {
        let half = hash as u32;
        let speaks_for_all = self.parts.is_none() || part(half) == 0;
        let table = self.table_mut(half);
        if let Ok(entry) = table.find_entry(spread(half), |it| it.id == id) {
            entry.remove();
        }
        if table.capacity() < 64 || table.len() > table.capacity() / 8 {
            return Removed::InPlace;
        }
        table.shrink_to(table.len() * 2, |it| spread(it.hash));
        if speaks_for_all { Removed::AndShrunk } else { Removed::InPlace }
    }

    fn table_mut(&mut self, half: u32) -> &mut HashTable<Reference> {
        match &mut self.parts {
            None => &mut self.table,
            Some(parts) => &mut parts[part(half)],
        }
    }

    fn divide(&mut self) {
        let room = LARGE / PARTS * 2;
        let mut parts = Box::new(array::from_fn(|_| HashTable::with_capacity(room)));
        for reference in std::mem::take(&mut self.table) {
            insert(&mut parts[part(reference.hash)], reference);
        }
        self.parts = Some(parts);
    }
}

fn insert(table: &mut HashTable<Reference>, reference: Reference) {
    table.insert_unique(spread(reference.hash), reference, |it| spread(it.hash));
}

/// By the highest bits.
fn part(half: u32) -> usize {
    (half >> (u32::BITS - PART_BITS)) as usize
}

/// A table takes the lowest bits for the place and the highest seven for the tag: these are the highest seven below
/// those by which a part is chosen.
fn spread(half: u32) -> u64 {
    u64::from(half) << (u32::BITS + PART_BITS) | u64::from(half)
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
    fn an_index_in_parts_finds_what_it_was_given_before_and_after() {
        let hash = |id: u32| Seed::new(1).hash_bytes(&id.to_le_bytes());
        let mut index = HashIndex::default();
        let count = 3 * LARGE as u32;
        for id in 0..count {
            index.insert(hash(id), id);
        }
        let parts = index.parts.as_ref().unwrap();
        assert!(index.table.is_empty());
        assert!(parts.iter().all(|part| part.len().abs_diff(3 * LARGE / PARTS) < LARGE / PARTS));
        index.replace(hash(7), 7, count);
        assert_eq!(index.find(hash(7), |_| true), Some(count));
        let mut shrunk = 0;
        for id in (0..count).filter(|id| *id != 7) {
            assert_eq!(index.find(hash(id), |it| it == id), Some(id));
            shrunk += usize::from(index.remove(hash(id), id) == Removed::AndShrunk);
            assert_eq!(index.find(hash(id), |it| it == id), None);
        }
        assert!((1..10).contains(&shrunk));
        assert!(index.parts.unwrap().iter().all(|part| part.len() <= 1 && part.capacity() < 64));
    }

    #[test]
    fn tags_and_parts_are_of_different_bits() {
        let tag = |half: u32| spread(half) >> 57;
        assert_eq!((part(u32::MAX << 26), tag(u32::MAX << 26)), (63, 0));
        assert_eq!((part(0x7f << 19), tag(0x7f << 19)), (0, 127));
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
