//! The keyed hash of the tables in this module, and of others that hold topics.
//!
//! Clients choose the strings that the tables hold. With a secret seed they cannot choose them to collide. The
//! seed is an argument because randomness is the caller's; for the same reason the tables do not use the default
//! hasher of `hashbrown`, which seeds itself. The function folds 64 × 64 bit products as wyhash does.

use std::hash::{Hash, Hasher};

/// The secret of one table, expanded.
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    start: u64,
    factor: u64,
}

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self { start: split_mix(seed), factor: split_mix(seed.wrapping_add(GOLDEN)) | 1 }
    }

    /// The hash of a number and another hash.
    pub(super) fn hash_pair(self, number: u32, hash: u64) -> u64 {
        fold(hash ^ u64::from(number), self.factor)
    }

    /// The hash of a string.
    pub(crate) fn hash_bytes(self, bytes: &[u8]) -> u64 {
        let mut state = self.start;
        let mut rest = bytes;
        while let Some((block, more)) = rest.split_first_chunk::<16>().filter(|(_, more)| !more.is_empty()) {
            let (low, high) = halves(block);
            state = fold(low ^ state, high ^ self.factor);
            rest = more;
        }
        let (low, high) = last_block(rest);
        fold(fold(low ^ state, high ^ self.factor) ^ bytes.len() as u64, self.factor)
    }

    /// The hash of anything.
    pub(super) fn hash_one<T: Hash + ?Sized>(self, value: &T) -> u64 {
        let mut hasher = SeededHasher { seed: self, state: self.start };
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// Does not show the secret.
impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

struct SeededHasher {
    seed: Seed,
    state: u64,
}

impl Hasher for SeededHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(self.seed.hash_bytes(bytes));
    }

    fn write_u64(&mut self, value: u64) {
        self.state = fold(self.state ^ value, self.seed.factor);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of the product, so that every bit of the factors reaches every bit of the result.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    (both as u64, (both >> 64) as u64)
}

/// Up to 16 bytes as two numbers; which bytes overlap depends on the length, which the caller mixes in.
fn last_block(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
    } else {
        let number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        (number, 0)
    }
}

/// Expands a seed of which only some bits may be random.
fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_seed_changes_every_hash() {
        let (one, two) = (Seed::new(1), Seed::new(2));
        for text in ["", "a", "four", "eightsss", "sixteen bytes ok", "more than sixteen bytes"] {
            assert_ne!(one.hash_bytes(text.as_bytes()), two.hash_bytes(text.as_bytes()), "{text}");
            assert_eq!(one.hash_bytes(text.as_bytes()), Seed::new(1).hash_bytes(text.as_bytes()), "{text}");
        }
        assert_ne!(one.hash_pair(0, 1), two.hash_pair(0, 1));
        assert_ne!(one.hash_one("a"), two.hash_one("a"));
    }

    #[test]
    fn every_length_and_every_byte_counts() {
        let seed = Seed::new(7);
        let mut seen = HashSet::new();
        for length in 0..70 {
            assert!(seen.insert(seed.hash_bytes(&vec![0; length])), "{length}");
            for position in 0..length {
                let mut bytes = vec![0; length];
                bytes[position] = 1;
                assert!(seen.insert(seed.hash_bytes(&bytes)), "{position} of {length}");
            }
        }
    }

    #[test]
    fn similar_strings_and_pairs_fill_a_table_evenly() {
        let seed = Seed::new(3);
        let mut strings = [0_u32; 256];
        let mut pairs = [0_u32; 256];
        let hash = seed.hash_bytes(b"up");
        for number in 0..65_536_u32 {
            strings[(seed.hash_bytes(format!("{number:07}").as_bytes()) & 255) as usize] += 1;
            pairs[(seed.hash_pair(number, hash) as u32 >> 24) as usize] += 1;
        }
        assert!(strings.iter().chain(&pairs).all(|count| (128..=384).contains(count)));
    }
}
