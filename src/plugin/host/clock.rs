//! `clock`: the true time.

use std::time::{SystemTime, UNIX_EPOCH};

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::clock::Host;

impl Host for HostData {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.services.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
