//! Tuya Link.

use std::time::SystemTime;

use super::sign::{Key, key_of_text, to_hex};
use super::{DeviceError, Login, Method, Platform, name, unix_seconds};

/// A device of Tuya Link: all but the identifier stands in the User Name, and the password signs that.
pub struct Tuya {
    device: String,
    secret: Key,
}

impl Tuya {
    /// # Errors
    /// Where the identifier is empty or has a character of the format.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tidegate::client::device::{Platform, Tuya};
    ///
    /// let login = Tuya::new("6c95875d0f5ba69607nzfl", "secret")?.login(SystemTime::now())?;
    /// assert_eq!(login.client_identifier, "tuyalink_6c95875d0f5ba69607nzfl");
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn new(device: impl Into<String>, secret: &str) -> Result<Tuya, DeviceError> {
        Ok(Tuya { device: name("the device", device, &['|', ','])?, secret: key_of_text(secret) })
    }
}

impl Platform for Tuya {
    fn login(&self, now: SystemTime) -> Result<Login, DeviceError> {
        let (device, time) = (&self.device, unix_seconds(now)?);
        let signed = format!("deviceId={device},timestamp={time},secureMode=1,accessType=1");
        Ok(Login {
            client_identifier: format!("tuyalink_{device}"),
            user_name: format!("{device}|signMethod=hmacSha256,timestamp={time},secureMode=1,accessType=1"),
            password: Some(to_hex(&Method::Sha256.sign(&self.secret, &signed))),
            expires_at: None,
        })
    }
}
