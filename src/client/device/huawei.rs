//! Huawei IoTDA.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::sign::{Key, key_of_text, to_hex};
use super::{DeviceError, Login, Method, Platform, name, unix_seconds};

/// A device of Huawei IoTDA: the Client Identifier has the hour, which is the key that the secret is signed with.
pub struct Huawei {
    device: String,
    secret: Key,
    checks_time: bool,
}

impl Huawei {
    /// A device whose time the platform does not compare with its own.
    ///
    /// # Errors
    /// Where the identifier is empty.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use tidegate::client::device::{Huawei, Platform};
    ///
    /// let login = Huawei::new("thermometer", "secret")?.login(UNIX_EPOCH + Duration::from_secs(3600))?;
    /// assert_eq!(login.client_identifier, "thermometer_0_0_1970010101");
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn new(device: impl Into<String>, secret: &str) -> Result<Huawei, DeviceError> {
        let device = name("the device", device, &['\0'])?;
        Ok(Huawei { device, secret: key_of_text(secret), checks_time: false })
    }

    /// Asks the platform to refuse a CONNECT of another hour than its own.
    ///
    /// ```
    /// # use std::time::UNIX_EPOCH;
    /// # use tidegate::client::device::{Huawei, Platform};
    /// let login = Huawei::new("thermometer", "secret")?.with_checked_time().login(UNIX_EPOCH)?;
    /// assert_eq!(login.client_identifier, "thermometer_0_1_1970010100");
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn with_checked_time(mut self) -> Huawei {
        self.checks_time = true;
        self
    }
}

impl Platform for Huawei {
    fn login(&self, now: SystemTime) -> Result<Login, DeviceError> {
        let hour = hour(unix_seconds(now)?)?;
        let secret = std::str::from_utf8(&self.secret).map_err(|_| DeviceError::Key)?;
        Ok(Login {
            client_identifier: format!("{}_0_{}_{hour}", self.device, u8::from(self.checks_time)),
            user_name: self.device.clone(),
            password: Some(to_hex(&Method::Sha256.sign(hour.as_bytes(), secret))),
            expires_at: None,
        })
    }
}

/// `YYYYMMDDHH`, of UTC.
fn hour(seconds: u64) -> Result<String, DeviceError> {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = Offset::UTC.to_datetime(time.ok_or(DeviceError::Time)?);
    Ok(format!("{:04}{:02}{:02}{:02}", time.year(), time.month(), time.day(), time.hour()))
}
