//! `http`: requests to hosts that the configuration grants. The time is not the call's, see `wait`.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::http::{Error, Host, Request, Response};

impl Host for HostData {
    fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.count_host_call()?;
        let Some(client) = self.services.http.clone() else { return Ok(Err(Error::Denied)) };
        if self.call.requests >= client.requests_per_call {
            return Ok(Err(Error::Busy));
        }
        self.call.requests += 1;
        if let Some(given) = &self.services.given {
            return Ok(client.check(&request).and_then(|()| given.answer(&request)));
        }
        Ok(self.waiting(|_| client.send(request)))
    }
}
