//! `passwords`: hashes that take long on purpose.

use super::{HostData, refuse};
use crate::plugin::bindings::tidegate::plugin::passwords::{Error, Host};

impl Host for HostData {
    fn verify(&mut self, _password: Vec<u8>, _hash: String) -> wasmtime::Result<Result<bool, Error>> {
        self.count_host_call()?;
        refuse("password hashes are not there yet".into())
    }

    fn hash(&mut self, _password: Vec<u8>) -> wasmtime::Result<String> {
        self.count_host_call()?;
        refuse("password hashes are not there yet".into())
    }
}
