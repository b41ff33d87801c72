//! Memory of the session that the current call is about, shared by all plugins: what one that knows the client
//! has noted, others read. Grant: `session-items`.
//!
//! In `validating_connection` the client has no session yet: what is set there is kept with the session if the
//! client is let in.

use crate::host;

pub use crate::bindings::host::tidegate::plugin::session_items::Error;

pub fn get(key: &str) -> Option<Vec<u8>> {
    host::session_items::get(key)
}

/// At most 256 keys and 64 KiB to a session.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    host::session_items::set(key, value)
}

/// Says whether it was there.
pub fn delete(key: &str) -> bool {
    host::session_items::delete(key)
}
