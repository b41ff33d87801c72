//! The keys that may have signed a token. Each has its algorithms: a public key is never taken for a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use tidegate_plugin::crypto::{self, SignatureAlgorithm};

use crate::der;

/// RFC 7518, 3.2: as long as the hash at least.
const SHORTEST_SECRET: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
    Eddsa,
    Hs256,
}

/// It has no `Debug`: it may be a secret.
pub(crate) struct Key {
    /// `kid`
    identifier: Option<String>,
    algorithm: Algorithm,
    /// DER SubjectPublicKeyInfo, or the secret.
    bytes: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Keys(Vec<Key>);

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "ES256" => Self::Es256,
            "EdDSA" => Self::Eddsa,
            "HS256" => Self::Hs256,
            _ => return None,
        })
    }

    fn of_public_key(self) -> Option<SignatureAlgorithm> {
        match self {
            Self::Rs256 => Some(SignatureAlgorithm::Rs256),
            Self::Es256 => Some(SignatureAlgorithm::Es256),
            Self::Eddsa => Some(SignatureAlgorithm::Eddsa),
            Self::Hs256 => None,
        }
    }
}

impl Key {
    /// Whether this key signed it.
    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm.of_public_key() {
            Some(algorithm) => {
                crypto::verify_signature(algorithm, &self.bytes, message, signature) == Ok(true)
            }
            None => {
                let mac = crypto::hmac(crypto::Algorithm::Sha256, &self.bytes, message);
                crypto::constant_time_equal(&mac, signature)
            }
        }
    }

    /// Whether the broker can verify with it.
    fn is_sound(&self) -> bool {
        let verified =
            self.algorithm.of_public_key().map(|it| crypto::verify_signature(it, &self.bytes, b"", b""));
        verified.is_none_or(|verified| verified.is_ok())
    }
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether one of the keys that it can be signed it: those with its identifier, else those without one.
    pub(crate) fn signed(
        &self,
        algorithm: Algorithm,
        identifier: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let of_algorithm = || self.0.iter().filter(|key| key.algorithm == algorithm);
        let is_named = |key: &&Key| identifier.is_some() && key.identifier.as_deref() == identifier;
        if of_algorithm().any(|key| is_named(&key)) {
            return of_algorithm().filter(is_named).any(|key| key.signed(message, signature));
        }
        let may_be = |key: &&Key| identifier.is_none() || key.identifier.is_none();
        of_algorithm().filter(may_be).any(|key| key.signed(message, signature))
    }

    pub(crate) fn add_pem(&mut self, text: &str, problems: &mut Vec<String>) {
        const BEGIN: &str = "-----BEGIN ";
        let mut found = 0;
        for (block, number) in text.split(BEGIN).skip(1).zip(1..) {
            found += 1;
            let place = format!("public-keys: block {number}");
            let Some((body, _)) = block
                .strip_prefix("PUBLIC KEY-----")
                .and_then(|rest| rest.split_once("-----END PUBLIC KEY-----"))
            else {
                problems.push(format!(
                    "{place}: is no `PUBLIC KEY`; `openssl pkey -in key.pem -pubout` makes one"
                ));
                continue;
            };
            let body: String = body.split_whitespace().collect();
            let keys = STANDARD.decode(body).ok().map(|bytes| {
                [Algorithm::Rs256, Algorithm::Es256, Algorithm::Eddsa].map(|algorithm| Key {
                    identifier: None,
                    algorithm,
                    bytes: bytes.clone(),
                })
            });
            let before = self.len();
            self.0.extend(keys.into_iter().flatten().filter(Key::is_sound));
            if self.len() == before {
                problems.push(format!("{place}: is no key of RSA with 2048 bits or more, P-256 or Ed25519"));
            }
        }
        if found == 0 && !text.trim().is_empty() {
            problems.push("public-keys: there is no PEM block in it".to_owned());
        }
    }

    pub(crate) fn add_secret(&mut self, secret: &str, is_base64: bool, problems: &mut Vec<String>) {
        let text = secret.trim_end_matches(['\r', '\n']);
        let bytes = if is_base64 { STANDARD.decode(text).ok() } else { Some(text.as_bytes().to_vec()) };
        match bytes {
            Some(bytes) if bytes.len() >= SHORTEST_SECRET => {
                self.0.push(Key { identifier: None, algorithm: Algorithm::Hs256, bytes });
            }
            Some(_) => problems.push(format!("secret: should have {SHORTEST_SECRET} bytes or more")),
            None => problems.push("secret: is no base64".to_owned()),
        }
    }

    /// Keys for encryption and of other kinds are left out: a set may be for others too.
    pub(crate) fn add_jwks(&mut self, set: serde_json::Value, problems: &mut Vec<String>) {
        let Ok(set) = serde_json::from_value::<Set>(set) else {
            problems.push("jwks: is no JSON Web Key Set, `{ \"keys\": […] }`".to_owned());
            return;
        };
        let before = self.len();
        for (jwk, number) in set.keys.into_iter().zip(1..) {
            if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
                continue;
            }
            match jwk.into_key() {
                Ok(Some(key)) if key.is_sound() => self.0.push(key),
                Ok(None) => {}
                Ok(Some(_)) | Err(()) => problems.push(format!("jwks: key {number} is not as it should be")),
            }
        }
        if self.len() == before && problems.is_empty() {
            problems.push("jwks: there is no key in it that is known here".to_owned());
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// RFC 7517, 7518, 8037.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

impl Jwk {
    /// None where it is of a kind or for an algorithm that is not known here.
    fn into_key(self) -> Result<Option<Key>, ()> {
        let curve = self.crv.as_deref().unwrap_or_default();
        let (algorithm, bytes) = match (self.kty.as_str(), curve) {
            ("RSA", _) => (Algorithm::Rs256, der::rsa(&decode(&self.n)?, &decode(&self.e)?)),
            ("EC", "P-256") => {
                let (x, y) = (decode(&self.x)?, decode(&self.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(());
                }
                (Algorithm::Es256, der::p256(&x, &y))
            }
            ("OKP", "Ed25519") => (Algorithm::Eddsa, der::ed25519(&decode(&self.x)?)),
            ("oct", _) => {
                let secret = decode(&self.k)?;
                if secret.len() < SHORTEST_SECRET {
                    return Err(());
                }
                (Algorithm::Hs256, secret)
            }
            _ => return Ok(None),
        };
        if self.alg.is_some_and(|alg| Algorithm::named(&alg) != Some(algorithm)) {
            return Ok(None);
        }
        Ok(Some(Key { identifier: self.kid, algorithm, bytes }))
    }
}

fn decode(text: &Option<String>) -> Result<Vec<u8>, ()> {
    URL_SAFE_NO_PAD.decode(text.as_deref().ok_or(())?).map_err(drop)
}
