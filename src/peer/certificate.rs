//! What a client's certificate says.

use std::fmt::{self, Write};
use std::net::IpAddr;

/// A certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As RFC 4514 writes it, `CN=device-7,O=Example`.
    pub subject: String,
    /// Of the subject; the most specific where there are several.
    pub common_name: Option<String>,
    /// As `subject`.
    pub issuer: String,
    pub alternative_names: Vec<AlternativeName>,
    /// SHA-256 of `chain[0]`.
    pub fingerprint: [u8; 32],
    /// In hexadecimal digits, without leading zeros.
    pub serial: String,
    /// Seconds since 1970.
    pub not_after: i64,
    /// DER, the client's own first, as the client sent them.
    pub chain: Vec<Vec<u8>>,
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    Dns(String),
    Email(String),
    Uri(String),
    Ip(IpAddr),
}

/// What of a certificate names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    CommonName,
    Subject,
    /// The first alternative name.
    AlternativeName,
    /// SHA-256 in hexadecimal digits.
    Fingerprint,
}

impl Certificate {
    /// None where the certificate has no such field.
    pub fn field(&self, field: CertificateField) -> Option<String> {
        match field {
            CertificateField::CommonName => self.common_name.clone(),
            CertificateField::Subject => Some(self.subject.clone()).filter(|subject| !subject.is_empty()),
            CertificateField::AlternativeName => self.alternative_names.first().map(AlternativeName::value),
            CertificateField::Fingerprint => Some(self.fingerprint_text()),
        }
    }

    /// In hexadecimal digits.
    pub fn fingerprint_text(&self) -> String {
        self.fingerprint.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl AlternativeName {
    /// Without its kind.
    pub fn value(&self) -> String {
        match self {
            AlternativeName::Dns(name) | AlternativeName::Email(name) | AlternativeName::Uri(name) => {
                name.clone()
            }
            AlternativeName::Ip(address) => address.to_string(),
        }
    }
}

/// With its kind, as OpenSSL writes it.
impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AlternativeName::Dns(name) => write!(f, "DNS:{name}"),
            AlternativeName::Email(name) => write!(f, "email:{name}"),
            AlternativeName::Uri(name) => write!(f, "URI:{name}"),
            AlternativeName::Ip(address) => write!(f, "IP:{address}"),
        }
    }
}
