//! `settings`: the plugin's own table of the configuration.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::settings::Host;

impl Host for HostData {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.services.settings.clone())
    }
}
