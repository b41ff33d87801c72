//! JSON Web Tokens in the compact form (RFC 7519, RFC 7515): `header.claims.signature`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Refusal;
use crate::keys::{Algorithm, Keys};

/// Bytes.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that whoever verifies has to know; none is known here.
    crit: Option<Value>,
}

/// Whether it looks like a token: three parts, the first of which begins as `{"` does in base64.
pub(crate) fn is_one(text: &str) -> bool {
    text.len() <= LONGEST && text.starts_with("ey") && text.bytes().filter(|&byte| byte == b'.').count() == 2
}

/// The claims of a token that was signed by one of the keys.
pub(crate) fn verify(token: &str, keys: &Keys) -> Result<Map<String, Value>, Refusal> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed("is no token"))?;
    let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed("is no token"))?;
    let signature = decode(signature)?;
    let header: Header = serde_json::from_slice(&decode(header)?)
        .map_err(|_| Refusal::Malformed("has a header that is none"))?;
    if header.crit.is_some() {
        return Err(Refusal::Malformed("has an extension that is not known here"));
    }
    // `none` is among those that are not known.
    let algorithm = Algorithm::named(&header.alg).ok_or(Refusal::NotSigned)?;
    if !keys.signed(algorithm, header.kid.as_deref(), signed.as_bytes(), &signature) {
        return Err(Refusal::NotSigned);
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| Refusal::Malformed("has claims that are none"))
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed("is no base64"))
}
