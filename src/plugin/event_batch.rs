//! A batch of events, packed as `wit/events.wit` says.

use std::fmt::{self, Write as _};

use crate::hook::{ClientInfo, DisconnectCause, DropCause, Event, RetainedChange, SessionEnd, What};
use crate::message::ClientKey;
use crate::packet::{QoS, ReasonCode};

use super::convert::length;

/// Words of an event.
const WORDS: u8 = 7;

/// A word that names no text.
const NO_TEXT: u64 = u64::MAX;

#[derive(Clone, Default)]
pub(super) struct EventBatch {
    pub(super) words: Vec<u64>,
    pub(super) texts: String,
    len: usize,
}

/// What an event has beside its time; texts are words.
struct Row {
    kind: u8,
    code: u8,
    reason: ReasonCode,
    number: u32,
    client: ClientKey,
    client_identifier: u64,
    user_name: u64,
    topic: u64,
    listener: u64,
}

impl EventBatch {
    /// Events.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.texts.clear();
        self.len = 0;
    }

    pub(super) fn push(&mut self, event: &Event) {
        let row = self.row(&event.what);
        let head = [row.kind, WORDS, row.code, row.reason.value()];
        self.words.extend([
            u64::from(u32::from_le_bytes(head)) | u64::from(row.number) << 32,
            event.time.0,
            row.client.0,
            row.client_identifier,
            row.user_name,
            row.topic,
            row.listener,
        ]);
        self.len += 1;
    }

    fn row(&mut self, what: &What) -> Row {
        match what {
            What::Started => Row::of(0),
            What::Stopped => Row::of(1),
            What::ClientConnected { client, session_present } => Row {
                code: client.protocol_version.level(),
                number: u32::from(*session_present),
                topic: client.remote_address().map_or(NO_TEXT, |address| self.shown(address)),
                listener: self.text(&client.listener.name),
                ..self.about(2, client)
            },
            What::ClientDisconnected { client, cause, reason } => Row {
                code: disconnect_cause(*cause),
                number: u32::from(reason.is_some()),
                reason: reason.unwrap_or(ReasonCode::SUCCESS),
                ..self.about(3, client)
            },
            What::ClientSubscribedTopic { client, filter, qos } => {
                Row { topic: self.text(filter.as_str()), code: qos_code(*qos), ..self.about(4, client) }
            }
            What::ClientUnsubscribedTopic { client, filter } => {
                Row { topic: self.text(filter.as_str()), ..self.about(5, client) }
            }
            What::ClientAcknowledgedPublishPacket { client, topic, qos, reason } => Row {
                topic: self.text(topic.as_str()),
                code: qos_code(*qos),
                reason: *reason,
                ..self.about(6, client)
            },
            What::SessionCreated { client_identifier } => {
                Row { client_identifier: self.text(client_identifier), ..Row::of(7) }
            }
            What::SessionDeleted { client_identifier, cause } => Row {
                client_identifier: self.text(client_identifier),
                code: session_end(*cause),
                ..Row::of(8)
            },
            What::MessageDropped { client_identifier, topic, qos, cause } => Row {
                client_identifier: self.text(client_identifier),
                topic: self.text(topic.as_str()),
                code: qos_code(*qos),
                number: drop_cause(*cause),
                ..Row::of(9)
            },
            What::RetainedMessageChanged { topic, change, payload_length } => Row {
                topic: self.text(topic.as_str()),
                code: retained_change(*change),
                number: length(*payload_length),
                ..Row::of(10)
            },
        }
    }

    fn about(&mut self, kind: u8, client: &ClientInfo) -> Row {
        Row {
            client: client.key,
            client_identifier: self.text(&client.client_identifier),
            user_name: client.user_name.as_ref().map_or(NO_TEXT, |name| self.text(name)),
            ..Row::of(kind)
        }
    }

    fn text(&mut self, text: &str) -> u64 {
        let start = self.texts.len();
        self.texts.push_str(text);
        part(start, self.texts.len())
    }

    fn shown(&mut self, value: impl fmt::Display) -> u64 {
        let start = self.texts.len();
        // Writing to a String cannot fail.
        let _ = write!(self.texts, "{value}");
        part(start, self.texts.len())
    }
}

impl Row {
    fn of(kind: u8) -> Row {
        Row {
            kind,
            code: 0,
            reason: ReasonCode::SUCCESS,
            number: 0,
            client: ClientKey::default(),
            client_identifier: NO_TEXT,
            user_name: NO_TEXT,
            topic: NO_TEXT,
            listener: NO_TEXT,
        }
    }
}

fn part(start: usize, end: usize) -> u64 {
    u64::from(length(start)) << 32 | u64::from(length(end - start))
}

fn qos_code(qos: QoS) -> u8 {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}

/// The place in the enum of `wit/events.wit`; the same holds for the functions below.
fn disconnect_cause(cause: DisconnectCause) -> u8 {
    match cause {
        DisconnectCause::Client => 0,
        DisconnectCause::Network => 1,
        DisconnectCause::KeepAlive => 2,
        DisconnectCause::Takeover => 3,
        DisconnectCause::Kicked => 4,
        DisconnectCause::ProtocolError => 5,
        DisconnectCause::AuthenticationExpired => 6,
        DisconnectCause::Shutdown => 7,
        DisconnectCause::Hook => 8,
    }
}

fn session_end(end: SessionEnd) -> u8 {
    match end {
        SessionEnd::CleanStart => 0,
        SessionEnd::Expired => 1,
        SessionEnd::Disconnect => 2,
        SessionEnd::Admin => 3,
    }
}

fn drop_cause(cause: DropCause) -> u32 {
    match cause {
        DropCause::QueueFull => 0,
        DropCause::Expired => 1,
        DropCause::TooLarge => 2,
        DropCause::SessionGone => 3,
    }
}

fn retained_change(change: RetainedChange) -> u8 {
    match change {
        RetainedChange::Set => 0,
        RetainedChange::Cleared => 1,
        RetainedChange::Expired => 2,
    }
}
