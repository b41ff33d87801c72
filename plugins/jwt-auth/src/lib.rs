//! Lets in clients with a JSON Web Token, for as long as it holds, and lets each do what its claims say.
//!
//! - [`settings`]: what a token has to be
//! - [`keys`]: who may have signed it, from PEM, JWKS or a secret; [`der`]: public keys as the broker takes them
//! - [`token`]: whether it was signed, and what it claims
//! - [`claims`]: whether that lets the client in

mod claims;
mod der;
mod keys;
mod settings;
mod token;

#[cfg(test)]
mod tests;

use std::time::Duration;

use acl::Rights;
use tidegate_plugin::prelude::*;

use crate::claims::Granted;
use crate::keys::Keys;
use crate::settings::{OtherPasswords, Settings, TokenIn};

/// Among a session's items.
const RIGHTS: &str = "jwt-auth/rights";

struct JwtAuth {
    settings: Settings,
    keys: Keys,
}

impl Lifecycle for JwtAuth {
    type Settings = Settings;

    fn init(mut settings: Settings) -> Result<(Self, Registration), String> {
        let keys = settings.check()?;
        log::info!("ready", keys = keys.len());
        Ok((JwtAuth { settings, keys }, Registration::new()))
    }
}

impl ValidatingConnection for JwtAuth {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        if connect.authentication_method().is_some() {
            return ConnectVerdict::Next;
        }
        let token = match self.settings.token_in {
            TokenIn::Password => connect.password().and_then(|password| str::from_utf8(password).ok()),
            TokenIn::UserName => connect.user_name(),
        };
        let Some(token) = token.filter(|text| token::is_one(text)) else {
            return match self.settings.other_passwords {
                OtherPasswords::Deny => refuse(&connect, &Refusal::Malformed("is no token")),
                OtherPasswords::Next => ConnectVerdict::Next,
            };
        };
        match self.admit(&connect, token) {
            Ok(granted) => self.let_in(&connect, granted),
            Err(refusal) => refuse(&connect, &refusal),
        }
    }
}

impl JwtAuth {
    /// The signature comes first: only who has a key learns what else is wrong with a token.
    fn admit(&self, connect: &Connect, token: &str) -> Result<Granted, Refusal> {
        let claims = token::verify(token, &self.keys)?;
        claims::check(&claims, &self.settings, connect, clock::now_ms())
    }

    fn let_in(&self, connect: &Connect, granted: Granted) -> ConnectVerdict {
        if let Some(rules) = granted.rules
            && let Err(error) = Rights::new(connect.client(), false, rules).keep(RIGHTS)
        {
            log::error!(
                "what the client may do cannot be kept; see `grants.session-items`",
                client = connect.client_identifier(),
                error = error
            );
            return ConnectVerdict::Deny(reason::IMPLEMENTATION_SPECIFIC_ERROR);
        }
        let mut verdict = ConnectVerdict::Allow;
        if let Some(name) = granted.user_name {
            verdict = verdict.assign_user_name(&name);
        } else if self.settings.token_in == TokenIn::UserName {
            // The token is a secret; nobody but this plugin is to see it.
            verdict = verdict.assign_user_name("");
        }
        match granted.expires_at {
            Some(end) => verdict.expires_at(end),
            None => verdict,
        }
    }
}

/// Why a token lets nobody in. Nothing of the token is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(&'static str),
    /// By none of the keys, or in a way that is not theirs.
    NotSigned,
    Expired,
    NotYet,
    /// A claim that is not as it has to be.
    Claim(String),
}

impl Refusal {
    fn code(&self) -> ReasonCode {
        match self {
            Refusal::Malformed(_) | Refusal::NotSigned => reason::BAD_USER_NAME_OR_PASSWORD,
            Refusal::Expired | Refusal::NotYet | Refusal::Claim(_) => reason::NOT_AUTHORIZED,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Malformed(what) => write!(f, "the credential {what}"),
            Refusal::NotSigned => f.write_str("the token is not signed by a key that is known here"),
            Refusal::Expired => f.write_str("the token is expired"),
            Refusal::NotYet => f.write_str("the token does not hold yet"),
            Refusal::Claim(claim) => write!(f, "the token's claim `{claim}` is not as it has to be"),
        }
    }
}

fn refuse(connect: &Connect, refusal: &Refusal) -> ConnectVerdict {
    log::info!("connection refused", client = connect.client_identifier(), reason = refusal);
    ConnectVerdict::Deny(refusal.code()).reason_string(&refusal.to_string())
}

impl Authorizer for JwtAuth {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        Rights::authorize(
            RIGHTS,
            &access,
            Duration::from_secs(self.settings.authorization_cache_seconds.into()),
        )
    }
}

tidegate_plugin::export!(JwtAuth: lifecycle, validating_connection, authorizer);
