//! ThingsBoard.

use std::time::SystemTime;

use zeroize::Zeroizing;

use super::{DeviceError, Login, Platform, name};

/// A device of ThingsBoard: its access token is the User Name.
pub struct ThingsBoard {
    client: String,
    token: Zeroizing<String>,
}

impl ThingsBoard {
    /// # Errors
    /// Where the token is empty.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tidegate::client::device::{Platform, ThingsBoard};
    ///
    /// let login = ThingsBoard::new("thermometer", "A1_TEST_TOKEN")?.login(SystemTime::now())?;
    /// assert_eq!((&*login.user_name, login.password), ("A1_TEST_TOKEN", None));
    /// # Ok::<(), tidegate::client::device::DeviceError>(())
    /// ```
    pub fn new(
        client_identifier: impl Into<String>,
        token: impl Into<String>,
    ) -> Result<ThingsBoard, DeviceError> {
        let token = Zeroizing::new(name("the access token", token, &[])?);
        Ok(ThingsBoard { client: client_identifier.into(), token })
    }
}

impl Platform for ThingsBoard {
    fn login(&self, _now: SystemTime) -> Result<Login, DeviceError> {
        let (client_identifier, user_name) = (self.client.clone(), self.token.to_string());
        Ok(Login { client_identifier, user_name, password: None, expires_at: None })
    }
}
