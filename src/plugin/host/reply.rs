//! `reply`: what the acknowledgement of the current packet carries, and the end of the connection.

use super::{HostData, mqtt_string, refuse};
use crate::hook::Reply;
use crate::packet::PacketType;
use crate::plugin::bindings::tidegate::plugin::reply::Host;
use crate::plugin::convert;

/// More would not fit into a packet that a client accepts.
const MOST_USER_PROPERTIES: usize = 256;

impl Host for HostData {
    fn reason_string(&mut self, text: String) -> wasmtime::Result<()> {
        self.reply().reason_string = Some(mqtt_string(text)?);
        Ok(())
    }

    fn user_property(&mut self, name: String, value: String) -> wasmtime::Result<()> {
        let property = (mqtt_string(name)?, mqtt_string(value)?);
        let properties = &mut self.reply().user_properties;
        if properties.len() == MOST_USER_PROPERTIES {
            return refuse(format!("more than {MOST_USER_PROPERTIES} user properties in one reply"));
        }
        properties.push(property);
        Ok(())
    }

    fn server_reference(&mut self, server: String) -> wasmtime::Result<()> {
        self.reply().server_reference = Some(mqtt_string(server)?);
        Ok(())
    }

    fn close(&mut self, reason: u8) -> wasmtime::Result<()> {
        match convert::reason_code(reason, PacketType::Disconnect) {
            Ok(reason) => self.reply().close = Some(reason),
            Err(error) => return refuse(error),
        }
        Ok(())
    }
}

impl HostData {
    fn reply(&mut self) -> &mut Reply {
        self.call.effects().reply.get_or_insert_default()
    }
}
