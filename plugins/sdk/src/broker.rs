//! Acts on the broker: queued, and carried out after the hook.

use crate::{Qos, ReasonCode, UserProperty, host};

pub use crate::bindings::host::tidegate::plugin::broker::Error;

/// Publishes a message of the plugin's own.
pub fn publish(topic: &str, payload: &[u8], qos: Qos, retain: bool) -> Result<(), Error> {
    host::broker::publish(topic, payload, qos, retain, &[])
}

/// The same with User Properties.
pub fn publish_with(
    topic: &str,
    payload: &[u8],
    qos: Qos,
    retain: bool,
    user_properties: &[UserProperty],
) -> Result<(), Error> {
    host::broker::publish(topic, payload, qos, retain, &user_properties.iter().collect::<Vec<_>>())
}

/// Ends the connection of this client with a DISCONNECT of this Reason Code.
pub fn disconnect(client_identifier: &str, reason: ReasonCode) -> Result<(), Error> {
    host::broker::disconnect(client_identifier, reason)
}
