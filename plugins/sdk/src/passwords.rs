//! Password hashes, computed by the broker. They take long on purpose: a plugin that calls this is called on
//! threads aside, `calls-at-once` of them, and the time does not count as the hook's.
//!
//! ```
//! use tidegate_plugin::{passwords, testing};
//!
//! testing::reset();
//! let hash = passwords::hash(b"secret");
//! assert_eq!(passwords::verify(b"secret", &hash), Ok(true));
//! assert_eq!(passwords::verify(b"guess", &hash), Ok(false));
//! assert_eq!(passwords::verify(b"secret", "secret"), Err(passwords::Error::UnknownFormat));
//! ```

use crate::host;

pub use crate::bindings::host::tidegate::plugin::passwords::Error;

/// Whether the password fits the hash: Argon2 (`$argon2id$`, `$argon2i$`, `$argon2d$`), bcrypt (`$2a$`, `$2b$`,
/// `$2y$`), PBKDF2 (`$pbkdf2-sha256$`, `$pbkdf2-sha512$`), and `$6$` and `$7$` of mosquitto_passwd. At most 16
/// hashes in one call of the plugin.
pub fn verify(password: &[u8], hash: &str) -> Result<bool, Error> {
    host::passwords::verify(password, hash)
}

/// A new Argon2id hash with random salt.
pub fn hash(password: &[u8]) -> String {
    host::passwords::hash(password)
}
