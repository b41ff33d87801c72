//! The hook `events`.

use crate::__private::{Exported, Instance, with};
use crate::bindings::events::exports::tidegate::plugin::events as generated;
use crate::{ClientKey, Qos, ReasonCode};

pub use generated::{DisconnectCause, DropCause, RetainedChange, SessionEnd};

/// Observes what happened: after the fact, in batches, off the packet path, from a bounded queue.
pub trait Events {
    fn handle(&mut self, events: &[Event<'_>]);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    pub what: What<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    Started,
    Stopped,
    ClientConnected(ClientConnected<'a>),
    ClientDisconnected(ClientDisconnected<'a>),
    ClientSubscribedTopic(ClientSubscribedTopic<'a>),
    ClientUnsubscribedTopic(ClientUnsubscribedTopic<'a>),
    ClientAcknowledgedPublishPacket(ClientAcknowledgedPublishPacket<'a>),
    /// Carries the Client Identifier.
    SessionCreated(&'a str),
    SessionDeleted(SessionDeleted<'a>),
    MessageDropped(MessageDropped<'a>),
    RetainedMessageChanged(RetainedMessageChanged<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who<'a> {
    pub client: ClientKey,
    pub client_identifier: &'a str,
    pub user_name: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConnected<'a> {
    pub who: Who<'a>,
    pub remote_address: &'a str,
    pub listener: &'a str,
    /// 4: MQTT 3.1.1, 5: MQTT 5.0.
    pub protocol_version: u8,
    pub session_present: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientDisconnected<'a> {
    pub who: Who<'a>,
    pub cause: DisconnectCause,
    /// Of the DISCONNECT that was received or sent.
    pub reason: Option<ReasonCode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSubscribedTopic<'a> {
    pub who: Who<'a>,
    pub filter: &'a str,
    pub qos: Qos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientUnsubscribedTopic<'a> {
    pub who: Who<'a>,
    pub filter: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAcknowledgedPublishPacket<'a> {
    pub who: Who<'a>,
    pub topic: &'a str,
    pub qos: Qos,
    pub reason: ReasonCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionDeleted<'a> {
    pub client_identifier: &'a str,
    pub cause: SessionEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageDropped<'a> {
    /// Of the receiver.
    pub client_identifier: &'a str,
    pub topic: &'a str,
    pub qos: Qos,
    pub cause: DropCause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainedMessageChanged<'a> {
    pub topic: &'a str,
    pub change: RetainedChange,
    pub payload_length: u32,
}

impl<P: Instance + Events> generated::Guest for Exported<P> {
    fn handle(words: Vec<u64>, texts: String) {
        let events = unpack(&words, &texts);
        with(|plugin: &mut P| plugin.handle(&events));
    }
}

/// Words of an event that this version knows.
const WORDS: usize = 7;

/// The events of a batch, packed as `wit/events.wit` says. Kinds that are not known are left out.
fn unpack<'a>(mut words: &[u64], texts: &'a str) -> Vec<Event<'a>> {
    let mut events = Vec::with_capacity(words.len() / WORDS);
    while let Some((row, _)) = words.split_first_chunk::<WORDS>() {
        let row = Row { words: row, texts };
        if let Some(what) = row.what() {
            events.push(Event { time_ms: row.words[1], what });
        }
        let length = usize::from(row.byte(1)).max(WORDS);
        words = words.get(length..).unwrap_or_default();
    }
    events
}

/// One event.
struct Row<'w, 'a> {
    words: &'w [u64; WORDS],
    texts: &'a str,
}

impl<'a> Row<'_, 'a> {
    fn what(&self) -> Option<What<'a>> {
        let code = self.byte(2);
        let what = match self.byte(0) {
            0 => What::Started,
            1 => What::Stopped,
            2 => What::ClientConnected(ClientConnected {
                who: self.who(),
                remote_address: self.topic(),
                listener: self.text(6).unwrap_or_default(),
                protocol_version: code,
                session_present: self.number() == 1,
            }),
            3 => What::ClientDisconnected(ClientDisconnected {
                who: self.who(),
                cause: disconnect_cause(code)?,
                reason: (self.number() == 1).then_some(self.reason()),
            }),
            4 => What::ClientSubscribedTopic(ClientSubscribedTopic {
                who: self.who(),
                filter: self.topic(),
                qos: qos(code)?,
            }),
            5 => What::ClientUnsubscribedTopic(ClientUnsubscribedTopic {
                who: self.who(),
                filter: self.topic(),
            }),
            6 => What::ClientAcknowledgedPublishPacket(ClientAcknowledgedPublishPacket {
                who: self.who(),
                topic: self.topic(),
                qos: qos(code)?,
                reason: self.reason(),
            }),
            7 => What::SessionCreated(self.client_identifier()),
            8 => What::SessionDeleted(SessionDeleted {
                client_identifier: self.client_identifier(),
                cause: session_end(code)?,
            }),
            9 => What::MessageDropped(MessageDropped {
                client_identifier: self.client_identifier(),
                topic: self.topic(),
                qos: qos(code)?,
                cause: drop_cause(self.number())?,
            }),
            10 => What::RetainedMessageChanged(RetainedMessageChanged {
                topic: self.topic(),
                change: retained_change(code)?,
                payload_length: self.number(),
            }),
            _ => return None,
        };
        Some(what)
    }

    fn who(&self) -> Who<'a> {
        Who { client: self.words[2], client_identifier: self.client_identifier(), user_name: self.text(4) }
    }

    fn client_identifier(&self) -> &'a str {
        self.text(3).unwrap_or_default()
    }

    fn topic(&self) -> &'a str {
        self.text(5).unwrap_or_default()
    }

    fn reason(&self) -> ReasonCode {
        self.byte(3)
    }

    fn byte(&self, index: usize) -> u8 {
        self.words[0].to_le_bytes()[index]
    }

    fn number(&self) -> u32 {
        (self.words[0] >> 32) as u32
    }

    fn text(&self, word: usize) -> Option<&'a str> {
        let (start, length) = ((self.words[word] >> 32) as usize, self.words[word] as u32 as usize);
        self.texts.get(start..start.checked_add(length)?)
    }
}

fn qos(code: u8) -> Option<Qos> {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].get(usize::from(code)).copied()
}

fn disconnect_cause(code: u8) -> Option<DisconnectCause> {
    use DisconnectCause as Cause;
    let causes = [
        Cause::Client,
        Cause::Network,
        Cause::KeepAlive,
        Cause::Takeover,
        Cause::Kicked,
        Cause::ProtocolError,
        Cause::AuthenticationExpired,
        Cause::Shutdown,
        Cause::Hook,
    ];
    causes.get(usize::from(code)).copied()
}

fn session_end(code: u8) -> Option<SessionEnd> {
    use SessionEnd as End;
    [End::CleanStart, End::Expired, End::Disconnect, End::Admin].get(usize::from(code)).copied()
}

fn drop_cause(number: u32) -> Option<DropCause> {
    use DropCause as Cause;
    let causes = [Cause::QueueFull, Cause::Expired, Cause::TooLarge, Cause::SessionGone];
    causes.get(number as usize).copied()
}

fn retained_change(code: u8) -> Option<RetainedChange> {
    [RetainedChange::Set, RetainedChange::Cleared, RetainedChange::Expired].get(usize::from(code)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u64 = u64::MAX;

    fn head(kind: u8, words: u8, code: u8, reason: u8, number: u32) -> u64 {
        u64::from(u32::from_le_bytes([kind, words, code, reason])) | u64::from(number) << 32
    }

    #[test]
    fn rows_that_are_longer_and_kinds_that_are_unknown_are_passed_over() {
        let texts = "boilera/b";
        let (boiler, topic) = (6, 6 << 32 | 3);
        let mut words = vec![head(9, 8, 1, 0, 2), 1000, 0, boiler, NONE, topic, NONE, 77];
        words.extend([head(200, 7, 0, 0, 0), 1001, 0, NONE, NONE, NONE, NONE]);
        words.extend([head(1, 7, 0, 0, 0), 1002, 0, NONE, NONE, NONE, NONE]);
        let events = unpack(&words, texts);
        let dropped = MessageDropped {
            client_identifier: "boiler",
            topic: "a/b",
            qos: Qos::AtLeastOnce,
            cause: DropCause::TooLarge,
        };
        assert_eq!(
            events,
            [
                Event { time_ms: 1000, what: What::MessageDropped(dropped) },
                Event { time_ms: 1002, what: What::Stopped },
            ]
        );
    }

    #[test]
    fn a_row_that_is_cut_off_or_names_texts_that_are_not_there_harms_nothing() {
        assert_eq!(unpack(&[head(1, 7, 0, 0, 0), 5], ""), []);
        let words = [head(7, 0, 0, 0, 0), 5, 0, 100 << 32 | 7, NONE, NONE, NONE];
        assert_eq!(unpack(&words, "x"), [Event { time_ms: 5, what: What::SessionCreated("") }]);
    }
}
