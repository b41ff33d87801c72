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
    pub fn lifetime(mut self, lifetime: Duration) -> Azure {
        self.lifetime = lifetime;
        self
    }

    /// Another version of the hub's interface than the default.
    pub fn api_version(mut self, version: impl Into<String>) -> Azure {
        self.api_version = version.into();
        self
    }

    /// The signature that holds until that second since 1970.
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
