//! The messages of SCRAM (RFC 5802, section 7):
//!
//! ```text
//! client-first   n,,n=user,r=rOprNGfwEbeRWgbNEkqO
//! server-first   r=rOprNGfwEbeRWgbNEkqO%hvYDpW…,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096
//! client-final   c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpW…,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
//! server-final   v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
//! ```

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Many times the usual length; what is longer is not looked at.
const LONGEST: usize = 1024;
const LONGEST_NAME: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    TooLong,
    NotText,
    Header,
    ChannelBinding,
    Extension,
    Name,
    Nonce,
    /// `c` of client-final is not the header of client-first
    OtherHeader,
    OtherNonce,
    Proof,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message is too long",
            Self::NotText => "the message is not UTF-8 text without U+0000",
            Self::Header => {
                "the message does not begin with `n,` or `y,` and an authorization identity or none"
            }
            Self::ChannelBinding => "channel binding is not supported; begin with `n,,`",
            Self::Extension => "the message has a mandatory extension that is not known",
            Self::Name => "the message has no name in its place, or one with a bad escape",
            Self::Nonce => {
                "the message has no nonce in its place, or one with other than printable characters"
            }
            Self::OtherHeader => "the channel binding of the last message is not the header of the first",
            Self::OtherNonce => "the nonce of the last message is not that of the exchange",
            Self::Proof => "the message does not end with a proof of 32 bytes in base64",
        })
    }
}

/// Printable ASCII: what SASLprep (RFC 4013) leaves as it is. Names beyond that would have to be normalized.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// What a client says first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst<'a> {
    /// with the comma at its end
    pub(crate) header: &'a str,
    /// the rest, of which the proof is made
    pub(crate) bare: &'a str,
    /// who the client wants to act as, where it says that
    pub(crate) authorization_identity: Option<String>,
    pub(crate) name: String,
    pub(crate) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let text = text(message)?;
        let (flag, rest) = text.split_once(',').ok_or(Malformed::Header)?;
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(Malformed::ChannelBinding),
            _ => return Err(Malformed::Header),
        }
        let (identity, bare) = rest.split_once(',').ok_or(Malformed::Header)?;
        let header = &text[..text.len() - bare.len()];
        if bare.starts_with("m=") {
            return Err(Malformed::Extension);
        }
        let (name, rest) = bare.split_once(',').ok_or(Malformed::Name)?;
        let name = unescape(name.strip_prefix("n=").ok_or(Malformed::Name)?)?;
        // What follows the nonce are extensions that may be passed over.
        let nonce = rest.split(',').next().and_then(|nonce| nonce.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or(Malformed::Nonce)?;
        Ok(Self { header, bare, authorization_identity: identified(identity)?, name, nonce })
    }
}

/// What a client says last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal<'a> {
    /// that of client-first once more, as it was decoded
    pub(crate) header: Vec<u8>,
    pub(crate) nonce: &'a str,
    /// the message but for its proof
    pub(crate) without_proof: &'a str,
    pub(crate) proof: [u8; 32],
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Malformed::Proof)?;
        let proof =
            STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(Malformed::Proof)?;
        if without_proof.starts_with("m=") {
            return Err(Malformed::Extension);
        }
        let mut parts = without_proof.split(',');
        let header = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(Malformed::OtherHeader)?;
        let header = STANDARD.decode(header).map_err(|_| Malformed::OtherHeader)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(Malformed::Nonce)?;
        Ok(Self { header, nonce, without_proof, proof })
    }
}

pub(crate) fn server_first(nonce: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt))
}

pub(crate) fn server_final(signature: &[u8]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

fn text(message: &[u8]) -> Result<&str, Malformed> {
    if message.len() > LONGEST {
        return Err(Malformed::TooLong);
    }
    str::from_utf8(message).ok().filter(|text| !text.contains('\0')).ok_or(Malformed::NotText)
}

fn identified(identity: &str) -> Result<Option<String>, Malformed> {
    match identity.strip_prefix("a=") {
        Some(name) => unescape(name).map(Some),
        None if identity.is_empty() => Ok(None),
        None => Err(Malformed::Header),
    }
}

/// `=2C` is a comma, `=3D` an equals sign, and there is nothing else that begins with one.
fn unescape(name: &str) -> Result<String, Malformed> {
    let mut parts = name.split('=');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err(Malformed::Name),
        };
        unescaped.push(sign);
        unescaped.push_str(rest);
    }
    if unescaped.is_empty() { Err(Malformed::Name) } else { Ok(unescaped) }
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
}
