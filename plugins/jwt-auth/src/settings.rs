//! What the operator wrote.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::keys::Keys;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// PEM, `PUBLIC KEY` blocks.
    #[serde(default)]
    public_keys: String,
    /// JSON Web Key Set, as text or as a table.
    #[serde(default)]
    jwks: Jwks,
    /// For HS256.
    secret: Option<String>,
    #[serde(default)]
    secret_is_base64: bool,
    #[serde(default)]
    pub(crate) token_in: TokenIn,
    #[serde(default)]
    pub(crate) other_passwords: OtherPasswords,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    /// Claims that have to be there with these values; `%c` and `%u` as in rules.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    pub(crate) user_name_claim: Option<String>,
    #[serde(default = "acl")]
    pub(crate) acl_claim: String,
    #[serde(default)]
    pub(crate) leeway_seconds: u32,
    #[serde(default)]
    pub(crate) accept_without_end: bool,
    #[serde(default = "a_minute")]
    pub(crate) authorization_cache_seconds: u32,
}

fn acl() -> String {
    "acl".to_owned()
}

fn a_minute() -> u32 {
    60
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Jwks {
    #[default]
    None,
    Text(String),
    Table(serde_json::Value),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenIn {
    #[default]
    Password,
    UserName,
}

/// What is no token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OtherPasswords {
    #[default]
    Deny,
    /// leave it to the next plugin
    Next,
}

/// A longer time would make expiry a matter of taste.
const MOST_LEEWAY: u32 = 300;

impl Settings {
    /// Says all that is wrong at once, without any key; takes the keys out.
    pub(crate) fn check(&mut self) -> Result<Keys, String> {
        let mut problems = Vec::new();
        let mut keys = Keys::default();
        keys.add_pem(&std::mem::take(&mut self.public_keys), &mut problems);
        match std::mem::take(&mut self.jwks) {
            Jwks::None => {}
            Jwks::Text(text) => match serde_json::from_str(&text) {
                Ok(set) => keys.add_jwks(set, &mut problems),
                Err(_) => problems.push("jwks: is no JSON".to_owned()),
            },
            Jwks::Table(set) => keys.add_jwks(set, &mut problems),
        }
        if let Some(secret) = self.secret.take() {
            keys.add_secret(&secret, self.secret_is_base64, &mut problems);
        }
        if keys.len() == 0 && problems.is_empty() {
            problems.push(
                "no keys; give `public-keys`, `jwks` or `secret`, or a file of them in `settings-files`"
                    .to_owned(),
            );
        }
        if self.leeway_seconds > MOST_LEEWAY {
            problems.push(format!("leeway-seconds: should be {MOST_LEEWAY} or less"));
        }
        if problems.is_empty() { Ok(keys) } else { Err(format!("settings: {}", problems.join("; "))) }
    }
}
