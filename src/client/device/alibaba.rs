//! Alibaba Cloud IoT.

use std::time::SystemTime;

use super::sign::{Key, key_of_text, to_hex};
use super::{DeviceError, Login, Method, Platform, name, since_1970};

/// A device of Alibaba Cloud IoT: the User Name is `{device}&{product key}`, the password a signature over the names and
/// the time.
pub struct Alibaba {
    product_key: String,
    device: String,
    secret: Key,
    client: String,
    method: Method,
    security_mode: u8,
}

impl Alibaba {
    /// A device that connects through TLS and signs with HMAC-SHA256.
    ///
    /// # Errors
    /// Where a name is empty or has a character of the format.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tidegate::client::device::{Alibaba, Platform};
    ///
    /// let login = Alibaba::new("a1Product", "thermometer", "secret")?.login(SystemTime::now())?;
    /// assert_eq!(login.user_name, "thermometer&a1Product");
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn new(
        product_key: impl Into<String>,
        device: impl Into<String>,
        secret: &str,
    ) -> Result<Alibaba, DeviceError> {
        let product_key = name("the product key", product_key, &['&', '|', '.'])?;
        let device = name("the device", device, &['&', '|'])?;
        let client = format!("{product_key}.{device}");
        let (secret, method) = (key_of_text(secret), Method::default());
        Ok(Alibaba { product_key, device, secret, client, method, security_mode: 2 })
    }

    /// Over TCP without TLS, where the platform allows that: it is told so.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use tidegate::client::device::{Alibaba, Platform};
    /// let login = Alibaba::new("a1Product", "thermometer", "secret")?.without_tls().login(SystemTime::now())?;
    /// assert!(login.client_identifier.contains("securemode=3"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn without_tls(mut self) -> Alibaba {
        self.security_mode = 3;
        self
    }

    /// The digest of the signature.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use tidegate::client::device::{Alibaba, Method, Platform};
    /// let device = Alibaba::new("a1Product", "thermometer", "secret")?.method(Method::Sha1);
    /// assert!(device.login(SystemTime::now())?.client_identifier.contains("signmethod=hmacsha1"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn method(mut self, method: Method) -> Alibaba {
        self.method = method;
        self
    }

    /// Another first part of the Client Identifier than `{product key}.{device}`.
    ///
    /// # Errors
    /// Where it is empty or has a `|`.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use tidegate::client::device::{Alibaba, Platform};
    /// let device = Alibaba::new("a1Product", "thermometer", "secret")?.client("serial-7")?;
    /// assert!(device.login(SystemTime::now())?.client_identifier.starts_with("serial-7|"));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn client(mut self, client: impl Into<String>) -> Result<Alibaba, DeviceError> {
        self.client = name("the client", client, &['|'])?;
        Ok(self)
    }
}

impl Platform for Alibaba {
    fn login(&self, now: SystemTime) -> Result<Login, DeviceError> {
        let Alibaba { product_key, device, secret, client, method, security_mode } = self;
        let time = since_1970(now)?.as_millis();
        let signed = format!("clientId{client}deviceName{device}productKey{product_key}timestamp{time}");
        Ok(Login {
            client_identifier: format!(
                "{client}|securemode={security_mode},signmethod=hmac{},timestamp={time}|",
                method.name()
            ),
            user_name: format!("{device}&{product_key}"),
            password: Some(to_hex(&method.sign(secret, &signed))),
            expires_at: None,
        })
    }
}
