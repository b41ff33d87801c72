//! `session-items`: what plugins keep with sessions.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::session_items::{Error, Host};

impl Host for HostData {
    fn get(&mut self, _key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn set(&mut self, _key: String, _value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(Error::Denied))
    }

    fn delete(&mut self, _key: String) -> wasmtime::Result<bool> {
        Ok(false)
    }
}
