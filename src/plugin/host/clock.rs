//! `clock`: the true time, unless another is given.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::clock::Host;

impl Host for HostData {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.services.now_ms())
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        Ok(self.services.monotonic_ns())
    }
}
