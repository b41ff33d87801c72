//! Who proves to a server who the client is: providers of credentials, and enhanced authentication.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::BoxFuture;
use crate::packet::Connect;

/// What a provider or a handler fails with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Asked before each CONNECT, the first and all after it.
pub trait Credentials: Send + Sync + 'static {
    /// Sets the User Name and the password of this CONNECT, and whatever else of it depends on the moment.
    ///
    /// # Errors
    /// Why there are no credentials at present. The attempt has failed then, and the next one asks again. The time it
    /// takes counts for the connect time-out.
    fn provide<'a>(&'a self, connect: &'a mut Connect) -> BoxFuture<'a, Result<(), BoxError>>;

    /// How long a connection is to last that is made with what is provided now. The client leaves it then with DISCONNECT
    /// and makes another, before the server has to end it. At least a second; `None`: as long as it may.
    fn renew_in(&self) -> Option<Duration> {
        None
    }
}

/// Enhanced authentication of MQTT 5.0 (section 4.12): one exchange for each CONNECT, and for each
/// [`Client::reauthenticate`](super::Client::reauthenticate).
pub trait Authentication: Send + Sync + 'static {
    /// The Authentication Method.
    fn method(&self) -> ByteString;

    /// Begins an exchange.
    ///
    /// # Errors
    /// Why it cannot be begun at present. The attempt to connect has failed then.
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Exchange>, BoxError>>;
}

/// The steps of one exchange. They compute and do not wait.
pub trait Exchange: Send {
    /// The Authentication Data of CONNECT, or of the AUTH that asks for re-authentication.
    fn initial(&mut self) -> Option<Bytes>;

    /// The answer to the data of an AUTH with Continue authentication.
    ///
    /// # Errors
    /// Why the server is not who it should be, or does not make sense. The connection is over then.
    fn proceed(&mut self, data: Option<Bytes>) -> Result<Option<Bytes>, BoxError>;

    /// The data with which the server ends the exchange successfully.
    ///
    /// # Errors
    /// Why the server has not proved who it is. The connection is over then.
    fn finish(&mut self, _data: Option<Bytes>) -> Result<(), BoxError> {
        Ok(())
    }
}
