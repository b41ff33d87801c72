//! Certificates by their SHA-256.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate's DER, as `openssl x509 -noout -fingerprint -sha256` shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// How fingerprints are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a fingerprint is 64 hexadecimal digits, with or without colons between the bytes: openssl x509 -in FILE -noout -fingerprint -sha256"
)]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// Of a certificate.
    pub fn of(certificate: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, InvalidFingerprint> {
        let digits: Vec<char> = text.trim().chars().filter(|letter| *letter != ':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(InvalidFingerprint);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| digit.to_digit(16));
            *byte = high.zip(low).map(|(high, low)| (high << 4 | low) as u8).ok_or(InvalidFingerprint)?;
        }
        Ok(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_openssl_writes_it_and_without_colons() {
        let written = Fingerprint::of(b"certificate").to_string();
        let pairs: Vec<_> = written.to_uppercase().chars().collect();
        let pairs: Vec<String> = pairs.chunks(2).map(String::from_iter).collect();
        assert_eq!(pairs.join(":").parse(), Ok(Fingerprint::of(b"certificate")));
        assert_eq!(written.parse(), Ok(Fingerprint::of(b"certificate")));
        for wrong in ["", "ab", &written[1..], &written.replacen(&written[..1], "g", 1), "ä"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(InvalidFingerprint), "{wrong}");
        }
    }
}
