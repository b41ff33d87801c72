//! OneNET, with tokens of version 2018-10-31.

use std::time::{Duration, SystemTime};

use super::sign::{Key, key_of_base64, percent_encode, to_base64};
use super::{DeviceError, Login, Method, Platform, end_of, name};

const VERSION: &str = "2018-10-31";

/// A device of OneNET: the Client Identifier is its name, the User Name the product's identifier, the password a token.
pub struct OneNet {
    product: String,
    device: String,
    key: Key,
    method: Method,
    lifetime: Duration,
}

impl OneNet {
    /// A device that signs with HMAC-SHA256, for a day. The key is the device's or the product's, as the platform shows
    /// it.
    ///
    /// # Errors
    /// Where the key is no base64, or a name cannot be part of a topic.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tidegate::client::device::{OneNet, Platform};
    ///
    /// let login = OneNet::new("238322", "thermometer", "S2V5")?.login(SystemTime::now())?;
    /// assert_eq!((&*login.client_identifier, &*login.user_name), ("thermometer", "238322"));
    /// assert!(OneNet::new("238322", "a/topic", "S2V5").is_err());
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn new(
        product: impl Into<String>,
        device: impl Into<String>,
        key: &str,
    ) -> Result<OneNet, DeviceError> {
        Ok(OneNet {
            product: name("the product", product, &FORBIDDEN)?,
            device: name("the device", device, &FORBIDDEN)?,
            key: key_of_base64(key)?,
            method: Method::default(),
            lifetime: Duration::from_secs(24 * 3600),
        })
    }

    /// The digest of the signature.
    ///
    /// ```
    /// # use tidegate::client::device::{Method, OneNet};
    /// let device = OneNet::new("238322", "thermometer", "S2V5")?.method(Method::Sha1);
    /// assert!(device.token(1_700_000_000).contains("&method=sha1&"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn method(mut self, method: Method) -> OneNet {
        self.method = method;
        self
    }

    /// How long a token holds, from the CONNECT it is made for; the platform ends the session then.
    ///
    /// ```
    /// # use std::time::{Duration, UNIX_EPOCH};
    /// # use tidegate::client::device::{OneNet, Platform};
    /// let device = OneNet::new("238322", "thermometer", "S2V5")?.lifetime(Duration::from_secs(3600));
    /// assert_eq!(device.login(UNIX_EPOCH)?.expires_at, Some(UNIX_EPOCH + Duration::from_secs(3600)));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn lifetime(mut self, lifetime: Duration) -> OneNet {
        self.lifetime = lifetime;
        self
    }

    /// A topic of this device: `$sys/{product}/{device}/` and what is given.
    ///
    /// ```
    /// # use tidegate::client::device::OneNet;
    /// let device = OneNet::new("238322", "thermometer", "S2V5")?;
    /// assert_eq!(device.topic("thing/property/post"), "$sys/238322/thermometer/thing/property/post");
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn topic(&self, rest: &str) -> String {
        format!("$sys/{}/{}/{rest}", self.product, self.device)
    }

    /// The token that holds until that second since 1970.
    ///
    /// ```
    /// # use tidegate::client::device::OneNet;
    /// let token = OneNet::new("238322", "thermometer", "S2V5")?.token(1_700_000_000);
    /// assert!(token.starts_with("version=2018-10-31&res=products%2F238322%2Fdevices%2Fthermometer&et=1700000000&"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn token(&self, end: u64) -> String {
        let resource = format!("products/{}/devices/{}", self.product, self.device);
        token(&resource, &self.key, self.method, end)
    }
}

/// What would make another topic of one with this name.
const FORBIDDEN: [char; 4] = ['/', '+', '#', '\0'];

impl Platform for OneNet {
    fn login(&self, now: SystemTime) -> Result<Login, DeviceError> {
        let (end, expires_at) = end_of(now, self.lifetime)?;
        Ok(Login {
            client_identifier: self.device.clone(),
            user_name: self.product.clone(),
            password: Some(self.token(end)),
            expires_at: Some(expires_at),
        })
    }
}

pub(super) fn token(resource: &str, key: &[u8], method: Method, end: u64) -> String {
    let name = method.name();
    let signature = to_base64(&method.sign(key, &format!("{end}\n{name}\n{resource}\n{VERSION}")));
    let (resource, signature) = (percent_encode(resource), percent_encode(&signature));
    format!("version={VERSION}&res={resource}&et={end}&method={name}&sign={signature}")
}
