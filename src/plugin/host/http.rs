//! `http`: requests to hosts that the configuration grants.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::http::{Error, Host, Request, Response};

impl Host for HostData {
    fn send(&mut self, _request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.count_host_call()?;
        Ok(Err(Error::Denied))
    }
}
