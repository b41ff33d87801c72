//! `client`: the client that the call is about.

use super::{HostData, user_properties};
use crate::plugin::bindings::tidegate::plugin::client::Host;
use crate::plugin::bindings::tidegate::plugin::types::UserProperty;

impl Host for HostData {
    fn identifier(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.client.as_ref().map(|client| client.client_identifier.to_string()).unwrap_or_default())
    }

    fn user_name(&mut self) -> wasmtime::Result<Option<String>> {
        let client = self.call.client.as_ref();
        Ok(client.and_then(|client| client.user_name.as_ref()).map(ToString::to_string))
    }

    fn remote_address(&mut self) -> wasmtime::Result<String> {
        let address = self.call.client.as_ref().and_then(|client| client.remote_address());
        Ok(address.map(|address| address.to_string()).unwrap_or_default())
    }

    fn listener(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.client.as_ref().map(|client| client.listener.name.clone()).unwrap_or_default())
    }

    fn protocol_version(&mut self) -> wasmtime::Result<u8> {
        Ok(self.call.client.as_ref().map_or(0, |client| client.protocol_version.level()))
    }

    fn user_properties(&mut self) -> wasmtime::Result<Vec<UserProperty>> {
        let client = self.call.client.as_ref();
        Ok(client.map(|client| user_properties(&client.user_properties)).unwrap_or_default())
    }

    fn session_identifier(&mut self, session: u64) -> wasmtime::Result<Option<String>> {
        let receiver = self.call.receivers.iter().find(|(receiver, _)| *receiver == session);
        Ok(receiver.map(|(_, identifier)| identifier.to_string()))
    }
}
