//! `connection`: the CONNECT that `validating-connection` is about, and what CONNACK says beside the verdict.

use super::{HostData, mqtt_string, refuse};
use crate::hook::ConnectOverrides;
use crate::message::Timestamp;
use crate::packet::Connect;
use crate::plugin::bindings::tidegate::plugin::connection::{Host, WillMessage};
use crate::plugin::convert;
use crate::topic::TopicName;

impl Host for HostData {
    fn clean_start(&mut self) -> wasmtime::Result<bool> {
        Ok(self.connect().is_some_and(|connect| connect.clean_start))
    }

    fn keep_alive(&mut self) -> wasmtime::Result<u16> {
        Ok(self.connect().map_or(0, |connect| connect.keep_alive))
    }

    fn session_expiry_interval(&mut self) -> wasmtime::Result<u32> {
        Ok(self.connect().and_then(|connect| connect.session_expiry_interval).unwrap_or(0))
    }

    fn will(&mut self) -> wasmtime::Result<Option<WillMessage>> {
        let will = self.connect().and_then(|connect| connect.will.as_ref());
        Ok(will.map(|will| WillMessage {
            topic: will.topic.to_string(),
            payload_length: convert::length(will.payload.len()),
            qos: convert::to_qos(will.qos),
            retain: will.retain,
        }))
    }

    fn authentication_method(&mut self) -> wasmtime::Result<Option<String>> {
        let method = self.connect().and_then(|connect| connect.authentication_method.as_ref());
        Ok(method.map(ToString::to_string))
    }

    fn password(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        let password = self.connect().and_then(|connect| connect.password.as_ref());
        Ok(password.map(|password| password.to_vec()))
    }

    fn assign_user_name(&mut self, name: String) -> wasmtime::Result<()> {
        self.overrides().user_name = Some(mqtt_string(name)?);
        Ok(())
    }

    fn assign_client_identifier(&mut self, identifier: String) -> wasmtime::Result<()> {
        if identifier.is_empty() {
            return refuse("an empty Client Identifier cannot be assigned".into());
        }
        self.overrides().client_identifier = Some(mqtt_string(identifier)?);
        Ok(())
    }

    fn cap_session_expiry(&mut self, seconds: u32) -> wasmtime::Result<()> {
        // Several plugins may cap; the lowest cap holds, see the chain.
        self.overrides().session_expiry_cap = Some(seconds);
        Ok(())
    }

    fn set_server_keep_alive(&mut self, seconds: u16) -> wasmtime::Result<()> {
        self.overrides().server_keep_alive = Some(seconds);
        Ok(())
    }

    fn set_receive_maximum(&mut self, maximum: u16) -> wasmtime::Result<()> {
        if maximum == 0 {
            return refuse("a Receive Maximum of 0 is a protocol error".into());
        }
        self.overrides().receive_maximum = Some(maximum);
        Ok(())
    }

    fn set_maximum_packet_size(&mut self, bytes: u32) -> wasmtime::Result<()> {
        if bytes == 0 {
            return refuse("a Maximum Packet Size of 0 is a protocol error".into());
        }
        self.overrides().maximum_packet_size = Some(bytes);
        Ok(())
    }

    fn set_expires_at(&mut self, time_ms: u64) -> wasmtime::Result<()> {
        self.overrides().expires_at = Some(Timestamp(time_ms));
        Ok(())
    }

    fn set_mount_prefix(&mut self, prefix: String) -> wasmtime::Result<()> {
        match TopicName::try_from(prefix.trim_end_matches('/')) {
            Ok(prefix) => self.overrides().mount_prefix = Some(prefix),
            Err(error) => return refuse(format!("`{prefix}` cannot stand before topics: {error}")),
        }
        Ok(())
    }
}

impl HostData {
    fn connect(&self) -> Option<&Connect> {
        self.call.connect.as_deref()
    }

    fn overrides(&mut self) -> &mut ConnectOverrides {
        self.call.effects().overrides.get_or_insert_default()
    }
}
