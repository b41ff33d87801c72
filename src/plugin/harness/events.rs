//! The events of a case: each a table with its `kind` and what belongs to it.

use std::sync::Arc;

use super::fields::Fields;
use super::question::{client, some_topic};
use crate::hook::{DisconnectCause, DropCause, Event, RetainedChange, SessionEnd, What};
use crate::message::Timestamp;
use crate::packet::ReasonCode;
use crate::topic::{TopicFilter, TopicName};

pub(super) fn read(fields: &Fields<'_>) -> Vec<Event> {
    let Some(list) = fields.list("events") else {
        return fields.problem("events", "is missing").unwrap_or_default();
    };
    let read_one = |(index, value): (usize, &'_ serde_json::Value)| {
        let Some(map) = value.as_object() else { return fields.problem("events", "expects tables") };
        let fields = fields.nested(&format!("events {}", index + 1), map);
        let what = what(&fields);
        // Without a time of its own it is that of the call.
        let time = Timestamp(fields.number("time-ms").unwrap_or_default());
        fields.finish();
        Some(Event { time, what: what? })
    };
    list.iter().enumerate().filter_map(read_one).collect()
}

const KINDS: [(&str, u8); 11] = [
    ("started", 0),
    ("stopped", 1),
    ("client-connected", 2),
    ("client-disconnected", 3),
    ("client-subscribed-topic", 4),
    ("client-unsubscribed-topic", 5),
    ("client-acknowledged-publish-packet", 6),
    ("session-created", 7),
    ("session-deleted", 8),
    ("message-dropped", 9),
    ("retained-message-changed", 10),
];

fn what(fields: &Fields<'_>) -> Option<What> {
    if fields.get("kind").is_none() {
        return fields.problem("kind", "is missing");
    }
    let qos = || fields.qos("qos").unwrap_or_default();
    let client_identifier = || Arc::from(fields.text("client").unwrap_or_default());
    Some(match fields.choice("kind", &KINDS)? {
        0 => What::Started,
        1 => What::Stopped,
        2 => What::ClientConnected {
            client: client(fields),
            session_present: fields.boolean("session-present").unwrap_or_default(),
        },
        3 => What::ClientDisconnected {
            client: client(fields),
            cause: fields.choice("cause", &DISCONNECT_CAUSES).unwrap_or(DisconnectCause::Client),
            reason: fields.reason("reason"),
        },
        4 => What::ClientSubscribedTopic { client: client(fields), filter: filter(fields)?, qos: qos() },
        5 => What::ClientUnsubscribedTopic { client: client(fields), filter: filter(fields)? },
        6 => What::ClientAcknowledgedPublishPacket {
            client: client(fields),
            topic: topic(fields),
            qos: qos(),
            reason: fields.reason("reason").unwrap_or(ReasonCode::SUCCESS),
        },
        7 => What::SessionCreated { client_identifier: client_identifier() },
        8 => What::SessionDeleted {
            client_identifier: client_identifier(),
            cause: fields.choice("cause", &SESSION_ENDS).unwrap_or(SessionEnd::Expired),
        },
        9 => What::MessageDropped {
            client_identifier: client_identifier(),
            topic: topic(fields),
            qos: qos(),
            cause: fields.choice("cause", &DROP_CAUSES).unwrap_or(DropCause::QueueFull),
        },
        _ => What::RetainedMessageChanged {
            topic: topic(fields),
            change: fields.choice("change", &RETAINED_CHANGES).unwrap_or(RetainedChange::Set),
            payload_length: fields.number("payload-length").unwrap_or_default(),
        },
    })
}

fn topic(fields: &Fields<'_>) -> TopicName {
    fields.parsed("topic", |text| TopicName::try_from(text)).unwrap_or_else(some_topic)
}

fn filter(fields: &Fields<'_>) -> Option<TopicFilter> {
    fields.parsed("filter", |text| TopicFilter::try_from(text))
}

const DISCONNECT_CAUSES: [(&str, DisconnectCause); 9] = [
    ("client", DisconnectCause::Client),
    ("network", DisconnectCause::Network),
    ("keep-alive", DisconnectCause::KeepAlive),
    ("takeover", DisconnectCause::Takeover),
    ("kicked", DisconnectCause::Kicked),
    ("protocol-error", DisconnectCause::ProtocolError),
    ("authentication-expired", DisconnectCause::AuthenticationExpired),
    ("shutdown", DisconnectCause::Shutdown),
    ("hook", DisconnectCause::Hook),
];

const SESSION_ENDS: [(&str, SessionEnd); 4] = [
    ("clean-start", SessionEnd::CleanStart),
    ("expired", SessionEnd::Expired),
    ("disconnect", SessionEnd::Disconnect),
    ("admin", SessionEnd::Admin),
];

const DROP_CAUSES: [(&str, DropCause); 4] = [
    ("queue-full", DropCause::QueueFull),
    ("expired", DropCause::Expired),
    ("too-large", DropCause::TooLarge),
    ("session-gone", DropCause::SessionGone),
];

const RETAINED_CHANGES: [(&str, RetainedChange); 3] = [
    ("set", RetainedChange::Set),
    ("cleared", RetainedChange::Cleared),
    ("expired", RetainedChange::Expired),
];
