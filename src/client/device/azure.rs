//! Azure IoT Hub.

use std::time::{Duration, SystemTime};

use super::sign::{Key, key_of_base64, percent_encode, to_base64};
use super::{DeviceError, Login, Method, Platform, end_of, name};

/// The version of the hub's interface that a device speaks where it says nothing else.
const API_VERSION: &str = "2021-04-12";

/// A device of Azure IoT Hub, with a shared access signature as password.
pub struct Azure {
    hub: String,
    device: String,
    key: Key,
    api_version: String,
    lifetime: Duration,
}

impl Azure {
    /// A device whose signatures hold for an hour. `hub` is the host name, `key` the device's as the hub shows it.
    ///
    /// # Errors
    /// Where the key is no base64, or a name is empty or has a `/`.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tidegate::client::device::{Azure, Platform};
    ///
    /// let login = Azure::new("hub.azure-devices.net", "thermometer", "S2V5")?.login(SystemTime::now())?;
    /// assert_eq!(login.client_identifier, "thermometer");
    /// assert!(login.password.unwrap().starts_with("SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2F"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn new(hub: impl Into<String>, device: impl Into<String>, key: &str) -> Result<Azure, DeviceError> {
        Ok(Azure {
            hub: name("the hub", hub, &['/'])?,
            device: name("the device", device, &['/'])?,
            key: key_of_base64(key)?,
            api_version: API_VERSION.to_owned(),
            lifetime: Duration::from_secs(3600),
        })
    }

    /// How long a signature holds, from the CONNECT it is made for; the hub ends the session then.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime, UNIX_EPOCH};
    /// # use tidegate::client::device::{Azure, Platform};
    /// let device = Azure::new("hub.azure-devices.net", "thermometer", "S2V5")?.lifetime(Duration::from_secs(60));
    /// assert_eq!(device.login(UNIX_EPOCH)?.expires_at, Some(UNIX_EPOCH + Duration::from_secs(60)));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn lifetime(mut self, lifetime: Duration) -> Azure {
        self.lifetime = lifetime;
        self
    }

    /// Another version of the hub's interface than the default.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use tidegate::client::device::{Azure, Platform};
    /// let device = Azure::new("hub.azure-devices.net", "thermometer", "S2V5")?.api_version("2020-09-30");
    /// assert!(device.login(SystemTime::now())?.user_name.ends_with("/?api-version=2020-09-30"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn api_version(mut self, version: impl Into<String>) -> Azure {
        self.api_version = version.into();
        self
    }

    /// The signature that holds until that second since 1970.
    ///
    /// ```
    /// # use tidegate::client::device::Azure;
    /// let token = Azure::new("hub.azure-devices.net", "thermometer", "S2V5")?.token(1_700_000_000);
    /// assert!(token.ends_with("&se=1700000000"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn token(&self, end: u64) -> String {
        let uri = percent_encode(&format!("{}/devices/{}", self.hub, self.device));
        let signature = to_base64(&Method::Sha256.sign(&self.key, &format!("{uri}\n{end}")));
        format!("SharedAccessSignature sr={uri}&sig={}&se={end}", percent_encode(&signature))
    }
}

impl Platform for Azure {
    fn login(&self, now: SystemTime) -> Result<Login, DeviceError> {
        let (end, expires_at) = end_of(now, self.lifetime)?;
        Ok(Login {
            client_identifier: self.device.clone(),
            user_name: format!("{}/{}/?api-version={}", self.hub, self.device, self.api_version),
            password: Some(self.token(end)),
            expires_at: Some(expires_at),
        })
    }
}
