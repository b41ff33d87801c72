//! What the server is asked about a client, and under which key its answer is kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tidegate_plugin::crypto::{Algorithm, hmac};
use tidegate_plugin::{Connect, client, random, state};

/// The body of a request. It has no `Debug`: the password is in it.
#[derive(Serialize)]
pub(crate) struct Question<'a> {
    client_identifier: &'a str,
    user_name: Option<&'a str>,
    /// Where it is text.
    password: Option<&'a str>,
    /// Where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_base64: Option<String>,
    /// Without the port.
    address: String,
    listener: String,
    protocol_version: u8,
}

impl<'a> Question<'a> {
    pub(crate) fn about(connect: &'a Connect) -> Self {
        let password = connect.password();
        let text = password.and_then(|password| str::from_utf8(password).ok());
        Self {
            client_identifier: connect.client_identifier(),
            user_name: connect.user_name(),
            password: text,
            password_base64: password.filter(|_| text.is_none()).map(|password| STANDARD.encode(password)),
            address: without_port(&client::remote_address()).to_owned(),
            listener: client::listener(),
            protocol_version: client::protocol_version(),
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A MAC of all that is asked: neither the password nor its digest is in the plugin's state, and without the
/// secret beside it nobody can try passwords against it.
pub(crate) fn cache_key(body: &[u8]) -> String {
    format!("answer/{}", STANDARD.encode(hmac(Algorithm::Sha256, &secret(), body)))
}

/// The same for all instances, for as long as the state lasts.
fn secret() -> Vec<u8> {
    const KEY: &str = "secret";
    if let Some(secret) = state::get(KEY) {
        return secret;
    }
    let fresh = random::bytes(32);
    match state::compare_and_set(KEY, None, Some(&fresh)) {
        Ok(false) => state::get(KEY).unwrap_or(fresh),
        // Without room for it there is none for answers.
        Ok(true) | Err(_) => fresh,
    }
}

/// `127.0.0.1:50000`, `[::1]:50000`
fn without_port(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_is_told_without_its_port() {
        for (address, without) in [("127.0.0.1:5", "127.0.0.1"), ("[::1]:5", "::1"), ("", "")] {
            assert_eq!(super::without_port(address), without);
        }
    }
}
