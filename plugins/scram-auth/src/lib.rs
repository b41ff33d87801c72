//! Lets in clients that prove by SCRAM-SHA-256 (RFC 5802, RFC 7677) that they know a password, and proves to
//! them that the broker knows it.
//!
//! - [`settings`]: who there is, and what is known of their passwords
//! - [`message`]: what client and server say to each other
//! - [`exchange`]: what follows from it

mod exchange;
mod message;
mod settings;

#[cfg(test)]
mod tests;

use tidegate_plugin::prelude::*;

use crate::exchange::{Challenge, Proved, Refusal};
use crate::settings::{Settings, Users};

const METHOD: &str = "SCRAM-SHA-256";

struct ScramAuth {
    users: Users,
    /// milliseconds
    expires_after: Option<u64>,
}

impl Lifecycle for ScramAuth {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let expires_after = settings.expires_after_seconds.map(|seconds| u64::from(seconds) * 1000);
        let users = Users::check(settings)?;
        log::info!("ready", users = users.len());
        Ok((ScramAuth { users, expires_after }, Registration::new()))
    }
}

impl ValidatingConnection for ScramAuth {
    fn validate(&mut self, _: Connect) -> ConnectVerdict {
        ConnectVerdict::Next
    }

    fn authenticate(&mut self, authentication: Authentication) -> AuthenticationVerdict {
        if authentication.method() != METHOD {
            return AuthenticationVerdict::Next;
        }
        match (authentication.data(), authentication.state()) {
            // The client leaves the first word to the server, which has none.
            (None, None) => AuthenticationVerdict::challenge("", ""),
            (data, None | Some([])) => self.challenge(data.unwrap_or_default()),
            (data, Some(state)) => self.judge(&authentication, data.unwrap_or_default(), state),
        }
    }
}

impl ScramAuth {
    fn challenge(&self, client_first: &[u8]) -> AuthenticationVerdict {
        match exchange::challenge(&self.users, client_first, &random::bytes(exchange::NONCE_LENGTH)) {
            Ok(Challenge { server_first, state }) => AuthenticationVerdict::challenge(server_first, state),
            Err(refusal) => refuse(&refusal),
        }
    }

    fn judge(
        &self,
        authentication: &Authentication,
        client_final: &[u8],
        state: &[u8],
    ) -> AuthenticationVerdict {
        let proved = exchange::judge(&self.users, state, client_final)
            .and_then(|proved| is_who_it_says(authentication.purpose(), proved));
        match proved {
            Ok(proved) => self.let_in(proved),
            Err(refusal) => refuse(&refusal),
        }
    }

    fn let_in(&self, Proved { name, server_final }: Proved) -> AuthenticationVerdict {
        log::debug!("authenticated", client = client::identifier(), user = name);
        let verdict = AuthenticationVerdict::allow_with(server_final).assign_user_name(&name);
        match self.expires_after {
            Some(after) => verdict.expires_at(clock::now_ms().saturating_add(after)),
            None => verdict,
        }
    }
}

/// A User Name in CONNECT may be left out, but not be another's. Who is in stays who it is.
fn is_who_it_says(purpose: Purpose, proved: Proved) -> Result<Proved, Refusal> {
    match (purpose, client::user_name()) {
        (Purpose::Connect, None) => Ok(proved),
        (_, Some(name)) if name == proved.name => Ok(proved),
        _ => Err(Refusal::Anothers),
    }
}

fn refuse(refusal: &Refusal) -> AuthenticationVerdict {
    log::info!("refused", client = client::identifier(), reason = refusal);
    AuthenticationVerdict::Deny(refusal.code()).reason_string(&refusal.to_string())
}

tidegate_plugin::export!(ScramAuth: lifecycle, validating_connection);
