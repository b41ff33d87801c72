//! Hashes of passwords, as this program makes them. What other programs made is verified by the Wasm host.

use argon2::{Argon2, Params};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Argon2id with the parameters that OWASP names first (19 MiB, two passes).
pub(crate) fn hash(password: &[u8], salt: [u8; 16]) -> Option<String> {
    let mut output = [0; 32];
    Argon2::default().hash_password_into(password, &salt, &mut output).ok()?;
    let params = Params::default();
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    Some(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}"))
}
