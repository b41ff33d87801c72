//! The hook `validating-connection`.

use std::fmt;

use crate::__private::{Exported, Instance, with};
use crate::bindings::validating_connection::exports::tidegate::plugin::validating_connection as generated;
use crate::{Authentication, AuthenticationVerdict, ClientKey, Purpose, Reply, host};

pub use crate::bindings::host::tidegate::plugin::connection::WillMessage;
/// `Next`, `Allow` or `Deny(ReasonCode)`. What CONNACK carries beside it is added by its methods and by
/// [`Reply`]; they tell the broker at once, whatever becomes of the value.
pub use generated::Verdict as ConnectVerdict;

/// Moment: CONNECT is decoded and legal, no session was touched yet. With an Authentication Method also each
/// AUTH, before and after the client was let in.
pub trait ValidatingConnection {
    /// Of a CONNECT with an Authentication Method, `Deny` holds, and `Allow` counts as `Next`:
    /// [`authenticate`](Self::authenticate) decides it.
    fn validate(&mut self, connect: Connect) -> ConnectVerdict;

    /// Enhanced authentication (MQTT 5.0, 4.12): a CONNECT with an Authentication Method, or an AUTH.
    fn authenticate(&mut self, authentication: Authentication) -> AuthenticationVerdict {
        let _ = authentication;
        AuthenticationVerdict::Next
    }
}

/// A CONNECT.
pub struct Connect {
    pub(crate) client: ClientKey,
    pub(crate) client_identifier: String,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
}

impl Connect {
    pub fn client(&self) -> ClientKey {
        self.client
    }

    /// Empty where the client left it to the broker.
    pub fn client_identifier(&self) -> &str {
        &self.client_identifier
    }

    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    pub fn clean_start(&self) -> bool {
        host::connection::clean_start()
    }

    /// Seconds; 0: none.
    pub fn keep_alive(&self) -> u16 {
        host::connection::keep_alive()
    }

    /// Seconds; 0xFFFFFFFF: never.
    pub fn session_expiry_interval(&self) -> u32 {
        host::connection::session_expiry_interval()
    }

    pub fn will(&self) -> Option<WillMessage> {
        host::connection::will()
    }

    pub fn authentication_method(&self) -> Option<String> {
        host::connection::authentication_method()
    }
}

/// Without the password.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client", &self.client)
            .field("client_identifier", &self.client_identifier)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

/// What the client gets in place of what it asked for, as a chain behind a verdict:
/// `ConnectVerdict::Allow.server_keep_alive(30)`. It is told to the broker at once, whatever becomes of the
/// value.
pub trait Terms: Sized {
    /// A User Name in place of the client's: who it has proved to be.
    fn assign_user_name(self, name: &str) -> Self {
        host::connection::assign_user_name(name);
        self
    }

    /// A Client Identifier in place of the client's.
    fn assign_client_identifier(self, identifier: &str) -> Self {
        host::connection::assign_client_identifier(identifier);
        self
    }

    /// Seconds, at most.
    fn cap_session_expiry(self, seconds: u32) -> Self {
        host::connection::cap_session_expiry(seconds);
        self
    }

    /// Seconds.
    fn server_keep_alive(self, seconds: u16) -> Self {
        host::connection::set_server_keep_alive(seconds);
        self
    }

    fn receive_maximum(self, maximum: u16) -> Self {
        host::connection::set_receive_maximum(maximum);
        self
    }

    fn maximum_packet_size(self, bytes: u32) -> Self {
        host::connection::set_maximum_packet_size(bytes);
        self
    }

    /// A Topic Name that is put before every topic and filter of the client, with a `/`, and taken off what it
    /// receives.
    fn mount_prefix(self, prefix: &str) -> Self {
        host::connection::set_mount_prefix(prefix);
        self
    }

    /// The connection ends then, with DISCONNECT 0x87; milliseconds since 1970-01-01T00:00:00Z.
    fn expires_at(self, time_ms: u64) -> Self {
        host::connection::set_expires_at(time_ms);
        self
    }
}

impl Terms for ConnectVerdict {}

impl Reply for ConnectVerdict {}

impl<P: Instance + ValidatingConnection> generated::Guest for Exported<P> {
    fn validate(
        client: ClientKey,
        client_identifier: String,
        user_name: Option<String>,
        password: Option<Vec<u8>>,
    ) -> ConnectVerdict {
        with(|plugin: &mut P| plugin.validate(Connect { client, client_identifier, user_name, password }))
    }

    fn authenticate(
        client: ClientKey,
        purpose: Purpose,
        method: String,
        data: Option<Vec<u8>>,
        state: Option<Vec<u8>>,
    ) -> AuthenticationVerdict {
        let authentication = Authentication { client, purpose, method, data, state };
        with(|plugin: &mut P| plugin.authenticate(authentication))
    }
}
