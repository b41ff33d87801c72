//! SHA-256 in the form that people compare, and a comparison that machines may time.

use std::fmt::Write;
use std::hint::black_box;

use sha2::{Digest, Sha256};

/// 64 lower-case hexadecimal digits.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Only the lengths show in how long it takes.
pub(super) fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0u8, |difference, (x, y)| black_box(difference | (x ^ y)));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::constant_time_equal;

    #[test]
    fn the_digest_of_abc_is_the_standard_one() {
        assert_eq!(
            super::sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn equal_bytes_are_equal_and_others_are_not() {
        assert!(constant_time_equal(b"", b""));
        assert!(constant_time_equal(b"secret", b"secret"));
        assert!(!constant_time_equal(b"secret", b"secres"));
        assert!(!constant_time_equal(b"secret", b"secre"));
    }
}
