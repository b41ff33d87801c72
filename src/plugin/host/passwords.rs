//! `passwords`: hashes that take long on purpose. The time is not the call's, see `wait`.

use super::{HostData, random, refuse};
use crate::plugin::bindings::tidegate::plugin::passwords::{Error, Host};
use crate::plugin::password_hash::{self, Refusal};

/// In one call of the plugin: each may take a second.
const MOST_PER_CALL: u32 = 16;

impl Host for HostData {
    fn verify(&mut self, password: Vec<u8>, hash: String) -> wasmtime::Result<Result<bool, Error>> {
        self.count_password_hash()?;
        let verified = self.waiting(|_| password_hash::verify(&password, &hash));
        Ok(verified.map_err(|refusal| match refusal {
            Refusal::UnknownFormat => Error::UnknownFormat,
            Refusal::TooCostly => Error::TooCostly,
        }))
    }

    fn hash(&mut self, password: Vec<u8>) -> wasmtime::Result<String> {
        self.count_password_hash()?;
        let mut salt = [0; 16];
        random::fill(&mut salt).map_err(|error| wasmtime::Error::msg(format!("no randomness: {error}")))?;
        match self.waiting(|_| crate::password::hash(&password, salt)) {
            Some(hash) => Ok(hash),
            None => refuse("a password that is too long to be hashed".into()),
        }
    }
}

impl HostData {
    fn count_password_hash(&mut self) -> wasmtime::Result<()> {
        self.call.password_hashes += 1;
        match self.call.password_hashes > MOST_PER_CALL {
            true => refuse(format!("more than {MOST_PER_CALL} password hashes in one call")),
            false => Ok(()),
        }
    }
}
