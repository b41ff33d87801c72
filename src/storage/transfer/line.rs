//! A change as a line of JSON, and back. What a client or a plugin chose freely and may be no text is base64.
//!
//! The names of members are those of the changes, in the way that JSON of this program has them. They are never
//! changed: a text that has others gets another version.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::message::{Base64, Message, qos};
use crate::message::Timestamp;
use crate::packet::{PacketIdentifier, ProtocolVersion, RetainHandling};
use crate::session;
use crate::storage::{Change, ClientRecord, DeliveryRecord, DeliveryState, SessionRecord, WillRecord};
use crate::topic::TopicFilter;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub(super) enum Line {
    /// Times are milliseconds since 1970.
    Alive {
        at: u64,
    },
    Session {
        number: u64,
        client: Client,
        /// Seconds.
        expiry_interval: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
        is_connected: bool,
    },
    Subscription {
        session: u64,
        filter: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        routed: Option<String>,
        maximum_qos: u8,
        no_local: bool,
        retain_as_published: bool,
        retain_handling: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identifier: Option<u32>,
    },
    Received {
        session: u64,
        packet_identifier: u16,
    },
    Item {
        session: u64,
        key: String,
        value: Base64,
    },
    Will {
        number: u64,
        client: Client,
        message: Message,
        /// Seconds.
        delay_interval: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<u64>,
    },
    Message {
        number: u64,
        message: Message,
    },
    Delivery {
        number: u64,
        session: u64,
        message: u64,
        qos: u8,
        retain: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        subscription_identifiers: Vec<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<String>,
        state: State,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        packet_identifier: Option<u16>,
    },
    Retained {
        message: Message,
    },
    State {
        plugin: String,
        key: String,
        value: Base64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    },
    /// The last one: so many stand between it and the first.
    End {
        lines: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Client {
    client_identifier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    listener: String,
    default_authorization: bool,
    protocol_version: Version,
}

#[derive(Serialize, Deserialize)]
enum Version {
    #[serde(rename = "3.1.1")]
    V311,
    #[serde(rename = "5.0")]
    V5,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Queued,
    Sent,
    Released,
}

impl Line {
    /// None for what no storage hands over.
    pub(super) fn of(change: &Change) -> Option<Line> {
        Some(match change {
            Change::SetAlive(at) => Line::Alive { at: at.0 },
            Change::PutSession(record) => Line::Session {
                number: record.number,
                client: Client::of(&record.client),
                expiry_interval: record.expiry_interval,
                expires_at: record.expires_at.map(|at| at.0),
                is_connected: record.is_connected,
            },
            Change::PutSubscription { session, filter, routed, subscription } => Line::Subscription {
                session: *session,
                filter: filter.as_str().to_owned(),
                routed: routed.as_ref().map(|routed| routed.as_str().to_owned()),
                maximum_qos: subscription.maximum_qos.into(),
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                retain_handling: subscription.retain_handling as u8,
                identifier: subscription.identifier.map(NonZeroU32::get),
            },
            Change::PutReceived { session, packet_identifier } => {
                Line::Received { session: *session, packet_identifier: packet_identifier.get() }
            }
            Change::PutItem { session, key, value } => {
                Line::Item { session: *session, key: key.clone(), value: Base64(value.clone()) }
            }
            Change::PutWill(record) => Line::Will {
                number: record.number,
                client: Client::of(&record.client),
                message: Message::of(&record.will.message),
                delay_interval: record.will.delay_interval,
                due: record.due.map(|at| at.0),
            },
            Change::PutMessage { number, message } => {
                Line::Message { number: *number, message: Message::of(message) }
            }
            Change::PutDelivery(record) => Line::of_delivery(record),
            Change::PutRetained(message) => Line::Retained { message: Message::of(message) },
            Change::PutState { plugin, key, value, expires_at } => Line::State {
                plugin: plugin.clone(),
                key: key.clone(),
                value: Base64(value.clone()),
                expires_at: expires_at.map(|at| at.0),
            },
            Change::DeleteSession(_)
            | Change::DeleteSubscription { .. }
            | Change::DeleteReceived { .. }
            | Change::DeleteItem { .. }
            | Change::DeleteWill(_)
            | Change::DeleteMessages(_)
            | Change::SetDeliveryState { .. }
            | Change::DeleteDeliveries(_)
            | Change::DeleteRetained(_)
            | Change::DeleteState { .. } => return None,
        })
    }

    fn of_delivery(record: &DeliveryRecord) -> Line {
        let (state, identifier) = match record.state {
            DeliveryState::Queued => (State::Queued, None),
            DeliveryState::Sent(identifier) => (State::Sent, Some(identifier)),
            DeliveryState::Released(identifier) => (State::Released, Some(identifier)),
        };
        Line::Delivery {
            number: record.number,
            session: record.session,
            message: record.message,
            qos: record.qos.into(),
            retain: record.retain,
            subscription_identifiers: record.subscription_identifiers.to_vec(),
            shared: record.shared.as_ref().map(|filter| filter.as_str().to_owned()),
            state,
            packet_identifier: identifier.map(PacketIdentifier::get),
        }
    }

    /// What it stands for; None for the last line.
    pub(super) fn into_change(self) -> Result<Option<Change>, String> {
        Ok(Some(match self {
            Line::End { .. } => return Ok(None),
            Line::Alive { at } => Change::SetAlive(Timestamp(at)),
            Line::Session { number, client, expiry_interval, expires_at, is_connected } => {
                Change::PutSession(Box::new(SessionRecord {
                    number,
                    client: client.into_record(),
                    expiry_interval,
                    expires_at: expires_at.map(Timestamp),
                    is_connected,
                }))
            }
            Line::Subscription {
                session,
                filter,
                routed,
                maximum_qos,
                no_local,
                retain_as_published,
                retain_handling,
                identifier,
            } => Change::PutSubscription {
                session,
                filter: topic_filter(&filter)?,
                routed: routed.as_deref().map(topic_filter).transpose()?,
                subscription: session::Subscription {
                    maximum_qos: qos(maximum_qos)?,
                    no_local,
                    retain_as_published,
                    retain_handling: handling(retain_handling)?,
                    identifier: identifier.map(subscription_identifier).transpose()?,
                },
            },
            Line::Received { session, packet_identifier } => {
                Change::PutReceived { session, packet_identifier: identifier(packet_identifier)? }
            }
            Line::Item { session, key, value } => Change::PutItem { session, key, value: value.0 },
            Line::Will { number, client, message, delay_interval, due } => {
                let message = message.into_message()?;
                Change::PutWill(Box::new(WillRecord {
                    number,
                    client: client.into_record(),
                    will: session::Will { message, delay_interval, number },
                    due: due.map(Timestamp),
                }))
            }
            Line::Message { number, message } => {
                Change::PutMessage { number, message: Arc::new(message.into_message()?) }
            }
            Line::Delivery {
                number,
                session,
                message,
                qos: sent_with,
                retain,
                subscription_identifiers,
                shared,
                state,
                packet_identifier,
            } => {
                for identifier in &subscription_identifiers {
                    subscription_identifier(*identifier)?;
                }
                Change::PutDelivery(Box::new(DeliveryRecord {
                    number,
                    session,
                    message,
                    qos: qos(sent_with)?,
                    retain,
                    subscription_identifiers: subscription_identifiers.into(),
                    shared: shared.as_deref().map(topic_filter).transpose()?,
                    state: delivery_state(&state, packet_identifier)?,
                }))
            }
            Line::Retained { message } => Change::PutRetained(Arc::new(message.into_message()?)),
            Line::State { plugin, key, value, expires_at } => {
                Change::PutState { plugin, key, value: value.0, expires_at: expires_at.map(Timestamp) }
            }
        }))
    }
}

impl Client {
    fn of(record: &ClientRecord) -> Client {
        Client {
            client_identifier: record.client_identifier.clone(),
            user_name: record.user_name.clone(),
            listener: record.listener.clone(),
            default_authorization: record.default_authorization,
            protocol_version: match record.protocol_version {
                ProtocolVersion::V311 => Version::V311,
                ProtocolVersion::V5 => Version::V5,
            },
        }
    }

    fn into_record(self) -> ClientRecord {
        ClientRecord {
            client_identifier: self.client_identifier,
            user_name: self.user_name,
            listener: self.listener,
            default_authorization: self.default_authorization,
            protocol_version: match self.protocol_version {
                Version::V311 => ProtocolVersion::V311,
                Version::V5 => ProtocolVersion::V5,
            },
        }
    }
}

fn topic_filter(text: &str) -> Result<TopicFilter, String> {
    TopicFilter::try_from(text).map_err(|error| format!("filter: {error}"))
}

fn handling(number: u8) -> Result<RetainHandling, String> {
    match number {
        0 => Ok(RetainHandling::SendAtSubscribe),
        1 => Ok(RetainHandling::SendAtNewSubscribe),
        2 => Ok(RetainHandling::DoNotSend),
        _ => Err(format!("retain-handling is {number}; write 0, 1 or 2")),
    }
}

/// A Variable Byte Integer that is not 0.
fn subscription_identifier(number: u32) -> Result<NonZeroU32, String> {
    let identifier = NonZeroU32::new(number).filter(|identifier| identifier.get() <= 268_435_455);
    identifier.ok_or_else(|| format!("a subscription identifier is {number}; write 1 to 268435455"))
}

fn identifier(number: u16) -> Result<PacketIdentifier, String> {
    PacketIdentifier::new(number).ok_or_else(|| "a packet identifier is 0; write 1 to 65535".to_owned())
}

fn delivery_state(state: &State, number: Option<u16>) -> Result<DeliveryState, String> {
    match (state, number) {
        (State::Queued, None) => Ok(DeliveryState::Queued),
        (State::Sent, Some(number)) => identifier(number).map(DeliveryState::Sent),
        (State::Released, Some(number)) => identifier(number).map(DeliveryState::Released),
        (State::Queued, Some(_)) => Err("a queued delivery has no packet-identifier".to_owned()),
        (State::Sent | State::Released, None) => Err("missing field `packet-identifier`".to_owned()),
    }
}
