//! Who a CONNECT is from.

use std::fmt;

use tidegate_plugin::prelude::*;

use crate::settings::{OldPlatform, Product, Products, is_number};
use crate::token::{Malformed, Token};

/// A device whose credentials are right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) product: String,
    pub(crate) device: String,
    /// since 1970; the old platform's credentials have no end
    pub(crate) expires_at_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownProduct,
    NoPassword,
    Malformed(Malformed),
    /// no key that could have signed did
    Forged,
    Expired,
    /// right credentials, of another product or device
    Anothers,
    /// right credentials of a device that is not listed, or refused
    UnknownDevice,
    Banned,
    KeepAlive,
    Will,
}

impl Refusal {
    /// Who cannot prove who they are gets 0x86; who can, and may not connect, 0x87.
    pub(crate) fn code(self) -> ReasonCode {
        match self {
            Self::UnknownProduct | Self::NoPassword | Self::Malformed(_) | Self::Forged => {
                reason::BAD_USER_NAME_OR_PASSWORD
            }
            Self::Expired | Self::Anothers | Self::UnknownDevice => reason::NOT_AUTHORIZED,
            Self::Banned => reason::BANNED,
            Self::KeepAlive | Self::Will => reason::IMPLEMENTATION_SPECIFIC_ERROR,
        }
    }

    /// What the client is told: no more than its credentials show it to know already.
    pub(crate) fn public(self) -> &'static str {
        match self {
            Self::UnknownProduct | Self::NoPassword | Self::Forged => "bad user name or password",
            Self::Malformed(_) => "malformed token",
            Self::Expired => "the token is expired",
            Self::Anothers => "the token is another's",
            Self::UnknownDevice => "the device is not registered",
            Self::Banned => "too many packets, banned for 5 minutes",
            Self::KeepAlive => "keep alive should be 10 to 1800 seconds",
            Self::Will => "a will is not supported",
        }
    }
}

/// For the log.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProduct => f.write_str("no product has this id"),
            Self::NoPassword => f.write_str("no password"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Forged => f.write_str("neither the device's nor the product's key fits"),
            other => f.write_str(other.public()),
        }
    }
}

/// Who it is, if the credentials are right at `now` (seconds since 1970).
pub(crate) fn identify(products: &Products, connect: &Connect, now: u64) -> Result<Identity, Refusal> {
    let user_name = connect.user_name().unwrap_or_default();
    let product = products.get(user_name).ok_or(Refusal::UnknownProduct)?;
    let password = connect.password().ok_or(Refusal::NoPassword)?;
    match &product.old_platform {
        Some(old) if Token::parse(password).is_err() => by_auth_info(product, old, connect, password),
        _ => by_token(products, connect, password, now),
    }
}

/// The current platform. The signature is checked first, so that only who has a key learns more than
/// that it was wrong.
fn by_token(products: &Products, connect: &Connect, password: &[u8], now: u64) -> Result<Identity, Refusal> {
    let token = Token::parse(password).map_err(Refusal::Malformed)?;
    let device = token.resource.device.as_deref().unwrap_or(connect.client_identifier());
    let product = products.get(&token.resource.product).ok_or(Refusal::Forged)?;

    if !token.is_signed_by(product.keys_for(device)) {
        return Err(Refusal::Forged);
    }
    if token.expires_at < now {
        return Err(Refusal::Expired);
    }
    if connect.user_name() != Some(&token.resource.product) || connect.client_identifier() != device {
        return Err(Refusal::Anothers);
    }
    if !product.knows(device) {
        return Err(Refusal::UnknownDevice);
    }
    Ok(Identity {
        device: device.to_owned(),
        expires_at_seconds: Some(token.expires_at),
        product: token.resource.product,
    })
}

/// The old platform: the password is the device's auth info or the product's API key.
fn by_auth_info(
    product: &Product,
    old: &OldPlatform,
    connect: &Connect,
    password: &[u8],
) -> Result<Identity, Refusal> {
    let device = connect.client_identifier();
    let auth_info = old.devices.get(device).filter(|auth_info| !auth_info.is_empty());
    let mut secrets = auth_info.into_iter().chain(&old.api_key);
    if !secrets.any(|secret| crypto::constant_time_equal(secret.as_bytes(), password)) {
        return Err(Refusal::Forged);
    }
    if !is_number(device) || !product.knows_on_old_platform(device) {
        return Err(Refusal::UnknownDevice);
    }
    Ok(Identity {
        product: connect.user_name().unwrap_or_default().to_owned(),
        device: device.to_owned(),
        expires_at_seconds: None,
    })
}
