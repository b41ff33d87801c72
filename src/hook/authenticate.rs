//! `validating-connection`, as far as it is enhanced authentication (MQTT 5.0, 4.12): is this client who it
//! says it is?
//!
//! Asked for a CONNECT with an Authentication Method in place of what `connect` holds, and for every AUTH.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::{ClientInfo, ConnectOverrides, Reply};
use crate::packet::{Connect, ReasonCode};

/// One packet of an exchange: CONNECT, the AUTH that begins a re-authentication, or the AUTH that answers a
/// challenge.
pub struct AuthenticateContext<'a> {
    pub client: &'a Arc<ClientInfo>,
    /// The CONNECT with which the exchange began; None for a re-authentication.
    pub connect: Option<&'a Connect>,
    /// The same from CONNECT to the end of the connection [MQTT-4.12.0-5], [MQTT-4.12.1-1].
    pub method: &'a ByteString,
    /// The client's.
    pub data: Option<&'a Bytes>,
    /// What the challenge left that this packet answers; None for the first packet of an exchange.
    pub exchange: Option<&'a Exchange>,
}

/// An exchange between two of its packets. The connection holds it: whoever answers next may be another
/// instance, or a newer version, of who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Which of several hooks goes on with it.
    pub owner: Option<Arc<str>>,
    /// The owner's.
    pub state: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticateOutcome {
    pub verdict: AuthenticateVerdict,
    /// Of all steps of an exchange together. Of a re-authentication only `expires_at` counts: it replaces
    /// the one that held before.
    pub overrides: ConnectOverrides,
    pub reply: Option<Box<Reply>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthenticateVerdict {
    /// Nobody knows the method: the client is refused with 0x8C, whatever the listener's `anonymous` says.
    #[default]
    Next,
    /// With Authentication Data for CONNACK, or for the AUTH that ends a re-authentication.
    Allow(Option<Bytes>),
    Deny(ReasonCode),
    Challenge(Challenge),
}

/// The client has to say more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// For the client; at most 65,535 bytes.
    pub data: Option<Bytes>,
    /// For who looks at its answer.
    pub exchange: Exchange,
}
