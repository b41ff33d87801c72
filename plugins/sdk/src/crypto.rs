//! Digests and MACs, computed by the broker: faster than in Wasm.

use crate::host;

pub use crate::bindings::host::tidegate::plugin::crypto::Algorithm;

pub fn digest(algorithm: Algorithm, data: &[u8]) -> Vec<u8> {
    host::crypto::digest(algorithm, data)
}

pub fn hmac(algorithm: Algorithm, key: &[u8], data: &[u8]) -> Vec<u8> {
    host::crypto::hmac(algorithm, key, data)
}

/// Takes the same time wherever the first difference is.
pub fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
    host::crypto::constant_time_equal(a, b)
}
