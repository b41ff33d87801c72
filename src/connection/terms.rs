//! The terms of a connection: what the client gets, out of what it asked for, the broker's options and a
//! hook's overrides, and the CONNACK that says so.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::handshake::Admission;
use super::mount::Mount;
use super::output::texts;
use crate::broker::{BRIDGE_PROPERTY, BROKER_PROPERTY, Broker, Count, Options};
use crate::hook::{ClientInfo, ConnectOverrides, Reply, SessionItems};
use crate::packet::{Connack, Connect, ProtocolVersion, QoS, ReasonCode};
use crate::session::NEVER_EXPIRES;

/// What the client gets, out of what it asked for, the broker's limits and the hook's overrides.
pub(super) struct Terms {
    pub client: Arc<ClientInfo>,
    pub session_expiry: u32,
    pub session_expiry_cap: u32,
    pub keep_alive: u16,
    pub receive_maximum: NonZeroU16,
    pub maximum_packet_size: u32,
    pub topic_alias_maximum: u16,
    pub expires_at: Option<Duration>,
    pub assigned: bool,
    pub reply: Option<Box<Reply>>,
    pub authentication_data: Option<Bytes>,
    pub session_items: SessionItems,
    pub mount: Option<Mount>,
}

pub(super) fn settle(
    client: Arc<ClientInfo>,
    connect: &Connect,
    admission: Admission,
    broker: &Broker,
) -> Terms {
    let options = broker.options();
    let Admission { overrides, reply, authentication_data } = admission;
    let (client, assigned) = named(client, &overrides);
    let cap = overrides.session_expiry_cap.unwrap_or(NEVER_EXPIRES).min(options.maximum_session_expiry);
    count_limited(connect, overrides.server_keep_alive, broker);
    Terms {
        session_expiry: asked_expiry(connect).min(cap),
        session_expiry_cap: cap,
        keep_alive: keep_alive(connect, overrides.server_keep_alive, options),
        receive_maximum: receive_maximum(connect, overrides.receive_maximum, options),
        maximum_packet_size: overrides
            .maximum_packet_size
            // 0 would be a protocol error (MQTT 5.0, 3.2.2.3.6).
            .filter(|&bytes| bytes > 0)
            .map_or(options.maximum_packet_size, |bytes| bytes.min(options.maximum_packet_size)),
        topic_alias_maximum: options.topic_alias_maximum,
        expires_at: overrides.expires_at.map(|at| broker.now().until(at)),
        client,
        assigned,
        reply,
        authentication_data,
        mount: overrides.mount_prefix.as_ref().map(Mount::new),
        session_items: overrides.session_items,
    }
}

/// Counts where a limit gives an MQTT 5.0 client something else than it asked for. MQTT 3.1.1 knows no expiry to ask for.
fn count_limited(connect: &Connect, keep_alive_set: Option<u16>, broker: &Broker) {
    let options = broker.options();
    if connect.protocol_version == ProtocolVersion::V5 {
        if asked_expiry(connect) > options.maximum_session_expiry {
            broker.counters().count(Count::LimitSessionExpiry);
        }
        let keep_alive = keep_alive(connect, None, options);
        if keep_alive_set.is_none() && keep_alive != connect.keep_alive {
            broker.counters().count(Count::LimitKeepAlive);
        }
    }
}

/// How many QoS 1 and 2 messages the client may have in flight.
fn receive_maximum(connect: &Connect, set: Option<u16>, options: &Options) -> NonZeroU16 {
    if connect.protocol_version == ProtocolVersion::V311 {
        // It has no Receive Maximum, and cannot be told of one.
        return NonZeroU16::MAX;
    }
    let ours = NonZeroU16::new(options.receive_maximum).unwrap_or(NonZeroU16::MIN);
    set.and_then(NonZeroU16::new).map_or(ours, |set| set.min(ours))
}

/// Seconds that the client wants its session to be kept.
pub(super) fn asked_expiry(connect: &Connect) -> u32 {
    match connect.protocol_version {
        ProtocolVersion::V5 => connect.session_expiry_interval.unwrap_or(0),
        ProtocolVersion::V311 if connect.clean_start => 0,
        ProtocolVersion::V311 => NEVER_EXPIRES,
    }
}

/// Seconds. MQTT 3.1.1 has no way to tell the client, so that it gets what it asked for.
fn keep_alive(connect: &Connect, set: Option<u16>, options: &Options) -> u16 {
    let Options { minimum_keep_alive: minimum, maximum_keep_alive: maximum, .. } = *options;
    let asked = connect.keep_alive;
    match (connect.protocol_version, set) {
        (ProtocolVersion::V311, _) => asked,
        (_, Some(set)) => set,
        // None, which is longer than any.
        _ if asked == 0 => maximum,
        _ if maximum == 0 => asked.max(minimum),
        _ => asked.max(minimum).min(maximum),
    }
}

/// The client under the names that it has from now on, and whether it had no Client Identifier of its own.
fn named(client: Arc<ClientInfo>, overrides: &ConnectOverrides) -> (Arc<ClientInfo>, bool) {
    let assigned = client.client_identifier.is_empty();
    let name = match &overrides.client_identifier {
        Some(name) if !name.is_empty() => Arc::from(&**name),
        _ if assigned => random_client_identifier(),
        _ if overrides.user_name.is_none() => return (client, false),
        _ => client.client_identifier.clone(),
    };
    let renamed = ClientInfo {
        client_identifier: name,
        user_name: overrides.user_name.as_deref().map(Box::from).or_else(|| client.user_name.clone()),
        remote: client.remote.clone(),
        listener: client.listener.clone(),
        user_properties: client.user_properties.clone(),
        ..*client
    };
    (Arc::new(renamed), assigned)
}

/// A name that nobody can guess: who knows it can take the session over.
fn random_client_identifier() -> Arc<str> {
    let random = || RandomState::new().hash_one(0);
    format!("auto-{:016x}{:016x}", random(), random()).into()
}

/// How many QoS 1 and 2 messages are sent to the client before it acknowledges.
pub(super) fn outbound_window(connect: &Connect, broker: &Broker) -> u16 {
    let ours = broker.options().maximum_inflight.max(1);
    connect.receive_maximum.map_or(ours, |theirs| theirs.get().min(ours))
}

pub(super) fn connack(connect: &Connect, terms: &Terms, broker: &Broker) -> Connack {
    let options = broker.options();
    let (reason_string, mut user_properties, _) = texts(terms.reply.clone(), ReasonCode::SUCCESS);
    // Bridges send nothing to where it came from.
    if connect.user_properties.iter().any(|(name, _)| name == BRIDGE_PROPERTY) {
        user_properties.push((BROKER_PROPERTY.into(), broker.identity().into()));
    }
    let asked = asked_expiry(connect);
    Connack {
        session_expiry_interval: (terms.session_expiry != asked).then_some(terms.session_expiry),
        receive_maximum: Some(terms.receive_maximum),
        maximum_qos: (options.maximum_qos < QoS::ExactlyOnce).then_some(options.maximum_qos),
        retain_available: (!options.retain_available).then_some(false),
        wildcard_subscription_available: (!options.wildcard_subscription_available).then_some(false),
        shared_subscription_available: (!options.shared_subscription_available).then_some(false),
        subscription_identifiers_available: (!options.subscription_identifiers_available).then_some(false),
        maximum_packet_size: Some(terms.maximum_packet_size),
        assigned_client_identifier: terms
            .assigned
            .then(|| ByteString::from(&*terms.client.client_identifier)),
        topic_alias_maximum: Some(terms.topic_alias_maximum).filter(|&maximum| maximum > 0),
        server_keep_alive: (terms.keep_alive != connect.keep_alive).then_some(terms.keep_alive),
        response_information: response_information(connect, terms, options),
        reason_string,
        user_properties,
        // [MQTT-4.12.0-5], [MQTT-4.12.0-6]
        authentication_method: connect.authentication_method.clone(),
        authentication_data: terms.authentication_data.clone(),
        ..Connack::default()
    }
}

/// Only for who asked for it [MQTT-3.1.2-28].
fn response_information(connect: &Connect, terms: &Terms, options: &Options) -> Option<ByteString> {
    let text = options.response_information.as_ref().filter(|_| connect.request_response_information)?;
    let text = text.replace("{client-id}", &terms.client.client_identifier);
    // A Client Identifier can be as long as a string can.
    (text.len() <= usize::from(u16::MAX)).then(|| text.into())
}
