use tidegate_plugin::prelude::*;
use tidegate_plugin::testing::LogLine;
use tidegate_plugin::{
    ClientAcknowledgedPublishPacket, ClientConnected, ClientDisconnected, ClientSubscribedTopic,
    ClientUnsubscribedTopic, DisconnectCause, DropCause, MessageDropped, RetainedChange,
    RetainedMessageChanged, SessionDeleted, SessionEnd, Who, settings, testing,
};

use crate::AuditLog;

fn start(settings: &str) -> Result<AuditLog, String> {
    testing::reset();
    AuditLog::init(settings::parse(settings)?).map(|(plugin, _)| plugin)
}

fn lines(settings: &str, events: Vec<What<'_>>) -> Vec<LogLine> {
    let mut plugin = start(settings).expect("good settings");
    let at = |what| Event { time_ms: 1_700_000_000_000, what };
    plugin.handle(&events.into_iter().map(at).collect::<Vec<_>>());
    testing::with(|host| std::mem::take(&mut host.log))
}

fn who() -> Who<'static> {
    Who { client: 7, client_identifier: "boiler", user_name: Some("plant") }
}

fn one_of_each() -> Vec<What<'static>> {
    let (client_identifier, topic) = ("boiler", "a/b");
    let qos = Qos::AtLeastOnce;
    vec![
        What::Started,
        What::ClientConnected(ClientConnected {
            who: who(),
            remote_address: "192.0.2.1:5000",
            listener: "tls",
            protocol_version: 5,
            session_present: true,
        }),
        What::SessionCreated(client_identifier),
        What::ClientSubscribedTopic(ClientSubscribedTopic { who: who(), filter: "a/#", qos }),
        What::ClientUnsubscribedTopic(ClientUnsubscribedTopic { who: who(), filter: "a/#" }),
        What::ClientAcknowledgedPublishPacket(ClientAcknowledgedPublishPacket {
            who: who(),
            topic,
            qos,
            reason: 0x10,
        }),
        What::MessageDropped(MessageDropped { client_identifier, topic, qos, cause: DropCause::QueueFull }),
        What::RetainedMessageChanged(RetainedMessageChanged {
            topic,
            change: RetainedChange::Set,
            payload_length: 12,
        }),
        What::ClientDisconnected(ClientDisconnected {
            who: who(),
            cause: DisconnectCause::KeepAlive,
            reason: Some(0x8D),
        }),
        What::SessionDeleted(SessionDeleted { client_identifier, cause: SessionEnd::CleanStart }),
        What::Stopped,
    ]
}

#[test]
fn every_event_is_one_line_with_its_time() {
    let lines = lines("{}", one_of_each());
    assert_eq!(lines.len(), 11);
    assert!(lines.iter().all(|line| line.field("time_ms") == Some("1700000000000")));
    assert!(lines.iter().all(|line| line.level == log::Level::Info));
}

#[test]
fn a_connection_tells_who_from_where_and_how() {
    let lines = lines("{}", one_of_each());
    let line = &lines[1];
    assert_eq!(line.message, "client-connected");
    for (field, value) in [
        ("connection", "7"),
        ("client", "boiler"),
        ("user", "plant"),
        ("address", "192.0.2.1:5000"),
        ("listener", "tls"),
        ("protocol", "5.0"),
        ("session_present", "true"),
    ] {
        assert_eq!(line.field(field), Some(value), "{field}");
    }
}

#[test]
fn a_disconnection_tells_its_cause_and_reason_code() {
    let lines = lines("{}", one_of_each());
    assert_eq!(lines[8].field("cause"), Some("keep-alive"));
    assert_eq!(lines[8].field("reason"), Some("0x8D"));
}

#[test]
fn without_a_user_name_there_is_no_such_field() {
    let who = Who { user_name: None, ..who() };
    let lines =
        lines("{}", vec![What::ClientUnsubscribedTopic(ClientUnsubscribedTopic { who, filter: "a" })]);
    assert_eq!(lines[0].field("user"), None);
}

#[test]
fn only_the_wanted_events_are_written_at_the_wanted_level() {
    let settings = r#"{"level": "debug", "events": ["client-connected", "message-dropped"]}"#;
    let lines = lines(settings, one_of_each());
    let messages: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["client-connected", "message-dropped"]);
    assert!(lines.iter().all(|line| line.level == log::Level::Debug));
}

#[test]
fn bad_settings_name_the_key_and_what_to_do() {
    let problem = |settings| start(settings).err().expect("bad settings");
    assert_eq!(problem(r#"{"event": []}"#), "settings: unknown field `event`, expected `level` or `events`");
    assert_eq!(
        problem(r#"{"events": []}"#),
        "settings: events: name at least one, or leave the key out for all"
    );
    assert!(problem(r#"{"events": ["conected"]}"#).starts_with(
        "settings: events[0]: unknown variant `conected`, expected one of `started`, `stopped`, `client-connected`"
    ));
    assert_eq!(
        problem(r#"{"level": "loud"}"#),
        "settings: level: unknown variant `loud`, expected `debug` or `info`"
    );
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(&settings.to_string()).map(|_| ()).expect("good settings");
    }
}
