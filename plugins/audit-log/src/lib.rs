//! One log line for everything that happens in the broker: who, what and when, never a payload.

use serde::Deserialize;
use tidegate_plugin::log::Level;
use tidegate_plugin::prelude::*;
use tidegate_plugin::{DisconnectCause, DropCause, RetainedChange, SessionEnd, Who};

#[cfg(test)]
mod tests;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    #[serde(default)]
    level: LevelSetting,
    events: Option<Vec<Kind>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LevelSetting {
    Debug,
    #[default]
    Info,
}

/// The names of the events, in the settings and in the log.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Started,
    Stopped,
    ClientConnected,
    ClientDisconnected,
    ClientSubscribedTopic,
    ClientUnsubscribedTopic,
    ClientAcknowledgedPublishPacket,
    SessionCreated,
    SessionDeleted,
    MessageDropped,
    RetainedMessageChanged,
}

struct AuditLog {
    level: Level,
    /// none: all
    wanted: Option<Vec<Kind>>,
}

impl Lifecycle for AuditLog {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        if settings.events.as_ref().is_some_and(Vec::is_empty) {
            return Err("settings: events: name at least one, or leave the key out for all".to_owned());
        }
        let level = match settings.level {
            LevelSetting::Debug => Level::Debug,
            LevelSetting::Info => Level::Info,
        };
        Ok((AuditLog { level, wanted: settings.events }, Registration::new()))
    }
}

impl Events for AuditLog {
    fn handle(&mut self, events: &[Event<'_>]) {
        if !log::enabled(self.level) {
            return;
        }
        for event in events {
            self.write(event);
        }
    }
}

impl AuditLog {
    fn write(&self, event: &Event<'_>) {
        let (kind, name) = kind(&event.what);
        if self.wanted.as_ref().is_some_and(|wanted| !wanted.contains(&kind)) {
            return;
        }
        let mut line = Line(vec![("time_ms", event.time_ms.to_string())]);
        line.describe(&event.what);
        let fields: Vec<(&str, &str)> = line.0.iter().map(|(key, value)| (*key, value.as_str())).collect();
        log::write(self.level, name, &fields);
    }
}

fn kind(what: &What<'_>) -> (Kind, &'static str) {
    match what {
        What::Started => (Kind::Started, "started"),
        What::Stopped => (Kind::Stopped, "stopped"),
        What::ClientConnected(_) => (Kind::ClientConnected, "client-connected"),
        What::ClientDisconnected(_) => (Kind::ClientDisconnected, "client-disconnected"),
        What::ClientSubscribedTopic(_) => (Kind::ClientSubscribedTopic, "client-subscribed-topic"),
        What::ClientUnsubscribedTopic(_) => (Kind::ClientUnsubscribedTopic, "client-unsubscribed-topic"),
        What::ClientAcknowledgedPublishPacket(_) => {
            (Kind::ClientAcknowledgedPublishPacket, "client-acknowledged-publish-packet")
        }
        What::SessionCreated(_) => (Kind::SessionCreated, "session-created"),
        What::SessionDeleted(_) => (Kind::SessionDeleted, "session-deleted"),
        What::MessageDropped(_) => (Kind::MessageDropped, "message-dropped"),
        What::RetainedMessageChanged(_) => (Kind::RetainedMessageChanged, "retained-message-changed"),
    }
}

/// The fields of a line.
struct Line(Vec<(&'static str, String)>);

impl Line {
    fn add(&mut self, key: &'static str, value: impl ToString) -> &mut Self {
        self.0.push((key, value.to_string()));
        self
    }

    fn who(&mut self, who: &Who<'_>) -> &mut Self {
        self.add("connection", who.client).add("client", who.client_identifier);
        if let Some(user) = who.user_name {
            self.add("user", user);
        }
        self
    }

    fn qos(&mut self, qos: Qos) -> &mut Self {
        self.add("qos", qos as u8)
    }

    fn reason(&mut self, code: ReasonCode) -> &mut Self {
        self.add("reason", format!("0x{code:02X}"))
    }

    fn describe(&mut self, what: &What<'_>) {
        match what {
            What::Started | What::Stopped => {}
            What::ClientConnected(it) => {
                self.who(&it.who).add("address", it.remote_address).add("listener", it.listener);
                self.add("protocol", protocol(it.protocol_version))
                    .add("session_present", it.session_present);
            }
            What::ClientDisconnected(it) => {
                self.who(&it.who).add("cause", disconnect_cause(it.cause));
                if let Some(code) = it.reason {
                    self.reason(code);
                }
            }
            What::ClientSubscribedTopic(it) => {
                self.who(&it.who).add("filter", it.filter).qos(it.qos);
            }
            What::ClientUnsubscribedTopic(it) => {
                self.who(&it.who).add("filter", it.filter);
            }
            What::ClientAcknowledgedPublishPacket(it) => {
                self.who(&it.who).add("topic", it.topic).qos(it.qos).reason(it.reason);
            }
            What::SessionCreated(client) => {
                self.add("client", client);
            }
            What::SessionDeleted(it) => {
                self.add("client", it.client_identifier).add("cause", session_end(it.cause));
            }
            What::MessageDropped(it) => {
                self.add("client", it.client_identifier).add("topic", it.topic).qos(it.qos);
                self.add("cause", drop_cause(it.cause));
            }
            What::RetainedMessageChanged(it) => {
                self.add("topic", it.topic).add("change", retained_change(it.change));
                self.add("bytes", it.payload_length);
            }
        }
    }
}

fn protocol(version: u8) -> &'static str {
    match version {
        4 => "3.1.1",
        5 => "5.0",
        _ => "unknown",
    }
}

fn disconnect_cause(cause: DisconnectCause) -> &'static str {
    match cause {
        DisconnectCause::Client => "client",
        DisconnectCause::Network => "network",
        DisconnectCause::KeepAlive => "keep-alive",
        DisconnectCause::Takeover => "takeover",
        DisconnectCause::Kicked => "kicked",
        DisconnectCause::ProtocolError => "protocol-error",
        DisconnectCause::AuthenticationExpired => "authentication-expired",
        DisconnectCause::Shutdown => "shutdown",
        DisconnectCause::Hook => "hook",
    }
}

fn session_end(cause: SessionEnd) -> &'static str {
    match cause {
        SessionEnd::CleanStart => "clean-start",
        SessionEnd::Expired => "expired",
        SessionEnd::Disconnect => "disconnect",
        SessionEnd::Admin => "admin",
    }
}

fn drop_cause(cause: DropCause) -> &'static str {
    match cause {
        DropCause::QueueFull => "queue-full",
        DropCause::Expired => "expired",
        DropCause::TooLarge => "too-large",
        DropCause::SessionGone => "session-gone",
    }
}

fn retained_change(change: RetainedChange) -> &'static str {
    match change {
        RetainedChange::Set => "set",
        RetainedChange::Cleared => "cleared",
        RetainedChange::Expired => "expired",
    }
}

tidegate_plugin::export!(AuditLog: lifecycle, events);
