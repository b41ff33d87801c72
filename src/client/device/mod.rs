//! What devices of IoT platforms say in CONNECT: names, and passwords that are signed anew at each connect.
//!
//! A platform is a [`Platform`]: [`OneNet`], [`Alibaba`], [`Tuya`], [`Huawei`], [`Azure`], [`ThingsBoard`]. It tells what
//! CONNECT has to say at a given time, without a clock of its own; as [`Credentials`] it is asked before each CONNECT, and
//! the connection is made anew when nine tenths of the time have passed for which a password holds.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use tidegate::client::device::{OneNet, Platform};
//!
//! let device = OneNet::new("238322", "thermometer", "S2V5IG9mIHRoZSBkZXZpY2U=")?.lifetime(Duration::from_secs(3600));
//! let login = device.login(SystemTime::now())?;
//! assert_eq!(login.client_identifier, "thermometer");
//! assert!(login.password.as_deref().unwrap().starts_with("version=2018-10-31&res=products%2F238322%2F"));
//! assert_eq!(device.topic("thing/property/post"), "$sys/238322/thermometer/thing/property/post");
//!
//! let mut options = tidegate::client::Options::new("broker.example", 1883, "thermometer");
//! options.credentials = Some(std::sync::Arc::new(device));
//! # Ok::<(), tidegate::client::device::DeviceError>(())
//! ```

mod alibaba;
mod azure;
mod huawei;
mod onenet;
mod sign;
#[cfg(test)]
mod tests;
mod thingsboard;
mod tuya;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::{BoxError, BoxFuture, Credentials};
use crate::packet::Connect;

pub use alibaba::Alibaba;
pub use azure::Azure;
pub use huawei::Huawei;
pub use onenet::OneNet;
pub use sign::Method;
pub use thingsboard::ThingsBoard;
pub use tuya::Tuya;

/// Makes what a device says in CONNECT.
pub trait Platform: Send + Sync + 'static {
    /// What CONNECT says at this time.
    ///
    /// # Errors
    /// Where the platform's format has no room for the time.
    fn login(&self, now: SystemTime) -> Result<Login, DeviceError>;
}

/// The three strings of CONNECT, and until when they hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub client_identifier: String,
    pub user_name: String,
    pub password: Option<String>,
    /// When the platform ends the session; none: not because of the password.
    pub expires_at: Option<SystemTime>,
}

/// The password is left out.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("client_identifier", &self.client_identifier)
            .field("user_name", &self.user_name)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a device cannot say who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeviceError {
    #[error("read the key of a device: it is no base64")]
    Key,
    #[error("name a device: {0} is empty, or has a character that the platform's format gives a meaning to")]
    Name(&'static str),
    #[error("sign for a device: the clock shows a time that the platform's format has no room for")]
    Time,
}

impl<P: Platform> Credentials for P {
    fn provide<'a>(&'a self, connect: &'a mut Connect) -> BoxFuture<'a, Result<(), BoxError>> {
        let provided = self.login(SystemTime::now()).map(|login| {
            connect.client_identifier = login.client_identifier.into();
            connect.user_name = Some(login.user_name.into());
            connect.password = login.password.map(Into::into);
        });
        Box::pin(std::future::ready(provided.map_err(BoxError::from)))
    }

    fn renew_in(&self) -> Option<Duration> {
        let now = SystemTime::now();
        let lifetime = self.login(now).ok()?.expires_at?.duration_since(now).ok()?;
        Some(lifetime / 10 * 9)
    }
}

fn since_1970(time: SystemTime) -> Result<Duration, DeviceError> {
    time.duration_since(UNIX_EPOCH).map_err(|_| DeviceError::Time)
}

fn unix_seconds(time: SystemTime) -> Result<u64, DeviceError> {
    Ok(since_1970(time)?.as_secs())
}

/// The end of what begins now, in whole seconds since 1970 and as a time.
fn end_of(now: SystemTime, lifetime: Duration) -> Result<(u64, SystemTime), DeviceError> {
    let seconds = unix_seconds(now)?.checked_add(lifetime.as_secs()).ok_or(DeviceError::Time)?;
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(DeviceError::Time)?;
    Ok((seconds, at))
}

/// The name, where it has none of these characters.
fn name(what: &'static str, name: impl Into<String>, forbidden: &[char]) -> Result<String, DeviceError> {
    let name = name.into();
    if name.is_empty() || name.contains(forbidden) {
        return Err(DeviceError::Name(what));
    }
    Ok(name)
}
