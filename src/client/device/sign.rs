//! Signatures, and the ways in which they are written.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::DeviceError;

/// The digest that an HMAC is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// For platforms and devices that have no other: MD5 is broken where collisions matter, which an HMAC does not need.
    Md5,
    Sha1,
    #[default]
    Sha256,
}

impl Method {
    /// `md5`, `sha1` or `sha256`.
    ///
    /// ```
    /// use tidegate::client::device::Method;
    ///
    /// assert_eq!(Method::default().name(), "sha256");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Method::Md5 => "md5",
            Method::Sha1 => "sha1",
            Method::Sha256 => "sha256",
        }
    }

    pub(super) fn sign(self, key: &[u8], text: &str) -> Vec<u8> {
        match self {
            Method::Md5 => sign::<Hmac<Md5>>(key, text),
            Method::Sha1 => sign::<Hmac<Sha1>>(key, text),
            Method::Sha256 => sign::<Hmac<Sha256>>(key, text),
        }
    }
}

fn sign<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    // A key of an HMAC may have any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A key, wiped when it is dropped.
pub(super) type Key = Zeroizing<Vec<u8>>;

pub(super) fn key_of_base64(text: &str) -> Result<Key, DeviceError> {
    STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| DeviceError::Key)
}

pub(super) fn key_of_text(text: &str) -> Key {
    Zeroizing::new(text.as_bytes().to_vec())
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
