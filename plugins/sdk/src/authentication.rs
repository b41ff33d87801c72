//! Enhanced authentication (MQTT 5.0, 4.12), a part of the hook `validating-connection`.

use std::fmt;

use crate::bindings::validating_connection::exports::tidegate::plugin::validating_connection as generated;
use crate::{ClientKey, Reply, Terms, host};

pub use generated::{AuthenticationVerdict, Challenge, Purpose};

/// One packet of an exchange: a CONNECT with an Authentication Method, or an AUTH.
///
/// Who the client says it is, [`client`](crate::client) tells.
pub struct Authentication {
    pub(crate) client: ClientKey,
    pub(crate) purpose: Purpose,
    pub(crate) method: String,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) state: Option<Vec<u8>>,
}

impl Authentication {
    pub fn client(&self) -> ClientKey {
        self.client
    }

    /// To be let in, or to stay.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    /// The client's Authentication Data.
    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    /// That of the challenge which this packet answers; none: an authentication begins.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// Of CONNECT; none in a re-authentication.
    pub fn password(&self) -> Option<Vec<u8>> {
        host::connection::password()
    }
}

/// Without data and state, which may be secrets.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("client", &self.client)
            .field("purpose", &self.purpose)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Where a re-authentication is allowed, [`expires_at`](Terms::expires_at) replaces the end of the
/// connection; the other [`Terms`] have no effect.
impl AuthenticationVerdict {
    /// Asks the client for more. `state` comes back with its answer, perhaps to another instance.
    ///
    /// ```
    /// use tidegate_plugin::AuthenticationVerdict;
    /// let verdict = AuthenticationVerdict::challenge("what is 6 times 7?", "42");
    /// # let AuthenticationVerdict::Challenge(challenge) = verdict else { panic!() };
    /// # assert_eq!((challenge.data.unwrap().len(), challenge.state), (18, b"42".to_vec()));
    /// ```
    pub fn challenge(data: impl Into<Vec<u8>>, state: impl Into<Vec<u8>>) -> Self {
        Self::Challenge(Challenge { data: Some(data.into()), state: state.into() })
    }

    /// Lets the client in, or stay, with data for it.
    pub fn allow_with(data: impl Into<Vec<u8>>) -> Self {
        Self::Allow(Some(data.into()))
    }

    /// The same without data.
    pub fn allow() -> Self {
        Self::Allow(None)
    }
}

impl Terms for AuthenticationVerdict {}

impl Reply for AuthenticationVerdict {}
