//! The token that is the password of OneNET's current platform:
//!
//! ```text
//! version=2018-10-31&res=products%2F123%2Fdevices%2Fboiler&et=1537255523&method=sha1&sign=…
//! ```
//!
//! The signature is the HMAC of `et`, `method`, `res` and `version`, a line each, as they were sent.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_plugin::crypto::{self, Algorithm};

use crate::settings::Key;

const VERSION: &str = "2018-10-31";

/// Many times the longest token; what is longer is not looked at.
const MAXIMUM_LENGTH: usize = 2048;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) resource: Resource,
    /// seconds since 1970
    pub(crate) expires_at: u64,
    algorithm: Algorithm,
    signed: String,
    signature: Vec<u8>,
}

/// Whom a token speaks for; the device is none where it is for a whole product.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) product: String,
    pub(crate) device: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    TooLong,
    NotText,
    /// not `name=value`
    Part,
    UnknownPart,
    Escape,
    Twice(&'static str),
    Missing(&'static str),
    Version,
    Resource,
    ExpiryTime,
    Method,
    Signature,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("token too long"),
            Self::NotText => f.write_str("token is not UTF-8 text"),
            Self::Part => f.write_str("token has a part that is not name=value"),
            Self::UnknownPart => {
                f.write_str("token has a part that is none of version, res, et, method, sign")
            }
            Self::Escape => f.write_str("token has a bad percent escape"),
            Self::Twice(name) => write!(f, "token has `{name}` twice"),
            Self::Missing(name) => write!(f, "token has no `{name}`"),
            Self::Version => write!(f, "token version is not {VERSION}"),
            Self::Resource => {
                f.write_str("token's res is neither products/{pid} nor products/{pid}/devices/{name}")
            }
            Self::ExpiryTime => f.write_str("token's et is not a time in seconds"),
            Self::Method => f.write_str("token's method is none of md5, sha1, sha256"),
            Self::Signature => f.write_str("token's sign is not base64"),
        }
    }
}

impl Token {
    pub(crate) fn parse(password: &[u8]) -> Result<Self, Malformed> {
        let parts = Parts::split(password)?;
        if parts.version != VERSION {
            return Err(Malformed::Version);
        }
        Ok(Self {
            resource: Resource::parse(&parts.res)?,
            expires_at: parse_time(&parts.et)?,
            algorithm: parse_method(&parts.method)?,
            signed: format!("{}\n{}\n{}\n{}", parts.et, parts.method, parts.res, parts.version),
            signature: STANDARD.decode(&parts.sign).map_err(|_| Malformed::Signature)?,
        })
    }

    /// Whether one of these keys made the signature.
    pub(crate) fn is_signed_by<'k>(&self, mut keys: impl Iterator<Item = &'k Key>) -> bool {
        keys.any(|key| {
            let expected = crypto::hmac(self.algorithm, key.bytes(), self.signed.as_bytes());
            crypto::constant_time_equal(&expected, &self.signature)
        })
    }
}

/// The parts of a token, decoded, each there exactly once.
struct Parts {
    version: String,
    res: String,
    et: String,
    method: String,
    sign: String,
}

impl Parts {
    fn split(password: &[u8]) -> Result<Self, Malformed> {
        if password.len() > MAXIMUM_LENGTH {
            return Err(Malformed::TooLong);
        }
        let text = str::from_utf8(password).map_err(|_| Malformed::NotText)?;
        let [mut version, mut res, mut et, mut method, mut sign] = [const { None }; 5];
        for part in text.split('&') {
            let (name, value) = part.split_once('=').ok_or(Malformed::Part)?;
            let (name, slot) = match name {
                "version" => ("version", &mut version),
                "res" => ("res", &mut res),
                "et" => ("et", &mut et),
                "method" => ("method", &mut method),
                "sign" => ("sign", &mut sign),
                _ => return Err(Malformed::UnknownPart),
            };
            if slot.replace(percent_decode(value)?).is_some() {
                return Err(Malformed::Twice(name));
            }
        }
        Ok(Self {
            version: version.ok_or(Malformed::Missing("version"))?,
            res: res.ok_or(Malformed::Missing("res"))?,
            et: et.ok_or(Malformed::Missing("et"))?,
            method: method.ok_or(Malformed::Missing("method"))?,
            sign: sign.ok_or(Malformed::Missing("sign"))?,
        })
    }
}

impl Resource {
    fn parse(res: &str) -> Result<Self, Malformed> {
        let levels: Vec<&str> = res.split('/').collect();
        let (product, device) = match levels[..] {
            ["products", product] => (product, None),
            ["products", product, "devices", device] if !device.is_empty() => (product, Some(device)),
            _ => return Err(Malformed::Resource),
        };
        if product.is_empty() {
            return Err(Malformed::Resource);
        }
        Ok(Self { product: product.to_owned(), device: device.map(str::to_owned) })
    }
}

fn parse_time(et: &str) -> Result<u64, Malformed> {
    // `parse` alone would take a plus sign.
    if !crate::settings::is_number(et) {
        return Err(Malformed::ExpiryTime);
    }
    et.parse().map_err(|_| Malformed::ExpiryTime)
}

fn parse_method(method: &str) -> Result<Algorithm, Malformed> {
    match method.to_ascii_lowercase().as_str() {
        "md5" => Ok(Algorithm::Md5),
        "sha1" => Ok(Algorithm::Sha1),
        "sha256" => Ok(Algorithm::Sha256),
        _ => Err(Malformed::Method),
    }
}

/// `+` stays what it is: clients that forget to escape a signature send it bare.
fn percent_decode(text: &str) -> Result<String, Malformed> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next())? << 4 | hex_digit(bytes.next())?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| Malformed::NotText)
}

fn hex_digit(byte: Option<u8>) -> Result<u8, Malformed> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(Malformed::Escape)?;
    Ok(digit as u8)
}
