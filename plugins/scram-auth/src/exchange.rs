//! The two steps of the server: from client-first to the challenge, from client-final to the verdict.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_plugin::crypto::{Algorithm, constant_time_equal, digest, hmac};
use tidegate_plugin::{ReasonCode, reason};

use crate::message::{ClientFinal, ClientFirst, Malformed, server_final, server_first};
use crate::settings::Users;

/// Random bytes of the server's part of the nonce.
pub(crate) const NONCE_LENGTH: u32 = 18;

/// What neither message can contain.
const BETWEEN: char = '\0';

pub(crate) struct Challenge {
    pub(crate) server_first: String,
    /// what was said so far
    pub(crate) state: String,
}

/// The client knows the password of this user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proved {
    pub(crate) name: String,
    /// proves to the client that the server knows it
    pub(crate) server_final: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(Malformed),
    /// no such user, or another password
    Unproved,
    /// the client wants to act as somebody else
    Identity,
    /// a User Name that is not the one that was proved
    Anothers,
}

impl Refusal {
    pub(crate) fn code(self) -> ReasonCode {
        match self {
            Self::Malformed(_) => reason::IMPLEMENTATION_SPECIFIC_ERROR,
            Self::Unproved | Self::Identity | Self::Anothers => reason::NOT_AUTHORIZED,
        }
    }
}

/// For the log and for the client alike: it says nothing of who there is.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Unproved => f.write_str("wrong user name or password"),
            Self::Identity => f.write_str("the authorization identity is not the name"),
            Self::Anothers => f.write_str("the User Name is not the one that was authenticated"),
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Answers client-first, whether there is such a user or not.
pub(crate) fn challenge(users: &Users, client_first: &[u8], random: &[u8]) -> Result<Challenge, Refusal> {
    let first = ClientFirst::parse(client_first)?;
    if first.authorization_identity.as_ref().is_some_and(|identity| *identity != first.name) {
        return Err(Refusal::Identity);
    }
    let user = users.get(&first.name);
    let nonce = format!("{}{}", first.nonce, STANDARD.encode(random));
    let server_first = server_first(&nonce, &user.salt, user.iterations);
    let state = format!("{}{}{BETWEEN}{server_first}", first.header, first.bare);
    Ok(Challenge { server_first, state })
}

/// Looks at client-final. `state` is that of the challenge.
pub(crate) fn judge(users: &Users, state: &[u8], client_final: &[u8]) -> Result<Proved, Refusal> {
    let state = str::from_utf8(state).map_err(|_| Malformed::NotText)?;
    let (client_first, server_first) = state.split_once(BETWEEN).ok_or(Malformed::NotText)?;
    let first = ClientFirst::parse(client_first.as_bytes())?;
    let last = ClientFinal::parse(client_final)?;
    if last.header != first.header.as_bytes() {
        return Err(Malformed::OtherHeader.into());
    }
    let said = server_first.strip_prefix("r=").and_then(|rest| rest.split(',').next());
    if said != Some(last.nonce) {
        return Err(Malformed::OtherNonce.into());
    }
    let user = users.get(&first.name);
    let message = format!("{},{server_first},{}", first.bare, last.without_proof);
    let signature = hmac(Algorithm::Sha256, &user.stored_key, message.as_bytes());
    let client_key: Vec<u8> =
        last.proof.iter().zip(&signature).map(|(proof, signed)| proof ^ signed).collect();
    if !constant_time_equal(&digest(Algorithm::Sha256, &client_key), &user.stored_key) {
        return Err(Refusal::Unproved);
    }
    let server_final = server_final(&hmac(Algorithm::Sha256, &user.server_key, message.as_bytes()));
    Ok(Proved { name: first.name, server_final })
}
