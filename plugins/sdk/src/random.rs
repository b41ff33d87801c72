//! Chance, fit for keys.

use crate::host;

/// At most 65,536 bytes.
pub fn bytes(length: u32) -> Vec<u8> {
    host::random::bytes(length)
}
