//! Digests, MACs and signatures, computed by the broker: faster than in Wasm.

use crate::host;

pub use crate::bindings::host::tidegate::plugin::crypto::{Algorithm, SignatureAlgorithm, SignatureError};

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

/// Whether who has the private key signed the message. `public_key` is a DER SubjectPublicKeyInfo, which is what
/// PEM with `PUBLIC KEY` holds; ECDSA signatures are the two numbers one after the other, as in a JWT.
///
/// ```
/// use tidegate_plugin::crypto::{SignatureAlgorithm, SignatureError, verify_signature};
/// use tidegate_plugin::testing;
///
/// // The stand-in takes any bytes for a key, and only what `testing::sign` signed.
/// let signature = testing::sign(SignatureAlgorithm::Es256, b"key", b"message");
/// assert_eq!(verify_signature(SignatureAlgorithm::Es256, b"key", b"message", &signature), Ok(true));
/// assert_eq!(verify_signature(SignatureAlgorithm::Es256, b"key", b"massage", &signature), Ok(false));
/// ```
pub fn verify_signature(
    algorithm: SignatureAlgorithm,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, SignatureError> {
    host::crypto::verify_signature(algorithm, public_key, message, signature)
}
