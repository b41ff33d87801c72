//! From a string to the number under which its owner keeps it.
//!
//! The table holds numbers and half of each hash, not the strings, so that neither growing nor a near miss touches
//! a string: growing a table of a million entries goes through memory in order.

use hashbrown::HashTable;

use super::hash::Seed;

#[derive(Debug)]
pub(super) struct StringTable {
    seed: Seed,
    table: HashTable<Reference>,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    hash: u32,
    id: u32,
}

impl StringTable {
    pub(super) fn new(seed: Seed) -> Self {
        Self { seed, table: HashTable::new() }
    }

    /// The number of a string; `is` compares with the string kept under a number.
    pub(super) fn find(&self, text: &[u8], is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.hash(text);
        self.table.find(spread(hash), |it| it.hash == hash && is(it.id)).map(|it| it.id)
    }

    /// Adds a string that is not in the table.
    pub(super) fn insert(&mut self, text: &[u8], id: u32) {
        let hash = self.hash(text);
        self.table.insert_unique(spread(hash), Reference { hash, id }, |it| spread(it.hash));
    }

    /// Removes a string by its number.
    pub(super) fn remove(&mut self, text: &[u8], id: u32) {
        if let Ok(entry) = self.table.find_entry(spread(self.hash(text)), |it| it.id == id) {
            entry.remove();
        }
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.len() * 2, |it| spread(it.hash));
        }
    }

    fn hash(&self, text: &[u8]) -> u32 {
        self.seed.hash_bytes(text) as u32
    }
}

/// The table takes the lowest bits for the place and the highest for the tag.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_large_gives_its_memory_back() {
        let mut table = StringTable::new(Seed::new(1));
        for id in 0..5_000_u32 {
            table.insert(&id.to_le_bytes(), id);
        }
        for id in 0..5_000_u32 {
            assert_eq!(table.find(&id.to_le_bytes(), |it| it == id), Some(id));
            table.remove(&id.to_le_bytes(), id);
            assert_eq!(table.find(&id.to_le_bytes(), |it| it == id), None);
        }
        assert!(table.table.is_empty());
        assert!(table.table.capacity() <= 64);
    }
}
