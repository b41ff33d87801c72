//! `metrics`: numbers of the plugin's own.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::metrics::Host;

type Labels = Vec<(String, String)>;

impl Host for HostData {
    fn count(&mut self, _name: String, _labels: Labels, _by: u64) -> wasmtime::Result<()> {
        Ok(())
    }

    fn gauge(&mut self, _name: String, _labels: Labels, _value: f64) -> wasmtime::Result<()> {
        Ok(())
    }

    fn observe(&mut self, _name: String, _labels: Labels, _value: f64) -> wasmtime::Result<()> {
        Ok(())
    }
}
