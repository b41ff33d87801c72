//! Acts on the broker, and looks at it. What acts is queued, and carried out after the hook. What the
//! configuration does not grant is [`Error::Denied`].

use std::time::Duration;

use crate::{Qos, ReasonCode, UserProperty, host};

pub use crate::bindings::host::tidegate::plugin::broker::{ConnectedClient, Error, RetainedMessage, Session};

/// Publishes a message of the plugin's own. Grant: `publish`, the Topic Filters that it may publish to.
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

/// Publishes a message after a while. How many may wait is a budget, and a year is the most. What waits is
/// lost when the broker stops.
pub fn publish_later(
    delay: Duration,
    topic: &str,
    payload: &[u8],
    qos: Qos,
    retain: bool,
    user_properties: &[UserProperty],
) -> Result<(), Error> {
    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let user_properties: Vec<_> = user_properties.iter().collect();
    host::broker::publish_later(delay, topic, payload, qos, retain, &user_properties)
}

/// Ends the connection of this client with a DISCONNECT of this Reason Code. Grant for this and all that
/// follows but the retained messages: `clients`.
pub fn disconnect(client_identifier: &str, reason: ReasonCode) -> Result<(), Error> {
    host::broker::disconnect(client_identifier, reason)
}

/// The session subscribes as if its client had asked; no hook is asked, and no SUBACK sent.
pub fn subscribe(client_identifier: &str, filter: &str, maximum_qos: Qos) -> Result<(), Error> {
    host::broker::subscribe(client_identifier, filter, maximum_qos)
}

pub fn unsubscribe(client_identifier: &str, filter: &str) -> Result<(), Error> {
    host::broker::unsubscribe(client_identifier, filter)
}

pub fn session(client_identifier: &str) -> Result<Option<Session>, Error> {
    host::broker::get_session(client_identifier)
}

pub fn connected_client(client_identifier: &str) -> Result<Option<ConnectedClient>, Error> {
    host::broker::get_client(client_identifier)
}

/// Client Identifiers in order, those after `after`, at most `limit` and 1000. The time it takes grows with
/// the number of sessions.
pub fn sessions(after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    host::broker::list_sessions(after, limit)
}

/// The same of those that are connected.
pub fn connected_clients(after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    host::broker::list_clients(after, limit)
}

/// The retained message of a topic. Grant: `retained`, the Topic Filters that the topic must match one of.
pub fn retained(topic: &str) -> Result<Option<RetainedMessage>, Error> {
    host::broker::get_retained(topic)
}

/// Topics with a retained message that the filter matches and the grant allows, those after `after`, at most
/// `limit` and 1000.
pub fn matching_retained(filter: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    host::broker::match_retained(filter, after, limit)
}
