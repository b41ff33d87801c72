//! CONNECT and CONNACK.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::packet::{Connect, Packet, ProtocolVersion, ReasonCode};
use tokio::io::AsyncReadExt;

use crate::support::*;

fn v311_connect_with_level(level: u8) -> Vec<u8> {
    vec![0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 60, 0, 1, b'x']
}

/// What the broker sends before it closes.
async fn answer(bytes: &[u8]) -> Vec<u8> {
    let server = start().await;
    let mut client = Client::open(&server, V311).await;
    client.send_bytes(bytes).await;
    let mut answer = Vec::new();
    within(client.stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn both_versions_are_let_in() {
    let server = start().await;
    for version in VERSIONS {
        let (mut client, connack) = Client::try_connect(&server, connect(version, "a")).await;
        assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
        assert!(!connack.session_present);
        client.ping().await;
    }
}

#[tokio::test]
async fn an_older_protocol_is_refused_with_return_code_1() {
    // [MQTT-3.1.2-2]
    for level in [0, 2, 3] {
        assert_eq!(answer(&v311_connect_with_level(level)).await, [0x20, 2, 0, 1], "level {level}");
    }
}

#[tokio::test]
async fn mqtt_3_1_is_refused_with_return_code_1() {
    // [MQTT-3.1.2-1]
    let connect = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01x";
    assert_eq!(answer(connect).await, [0x20, 2, 0, 1]);
}

#[tokio::test]
async fn a_newer_protocol_is_refused_with_0x84() {
    // [MQTT-3.1.2-2]
    let said = answer(&v311_connect_with_level(6)).await;
    assert_eq!((said[0], said[2], said[3]), (0x20, 0, 0x84), "{said:02x?}");
}

#[tokio::test]
async fn an_empty_identifier_gets_a_name_that_5_0_clients_are_told() {
    // [MQTT-3.1.3-6], [MQTT-3.1.3-7]
    let server = start().await;
    let (first, connack) = Client::try_connect(&server, connect(V5, "")).await;
    let assigned = connack.assigned_client_identifier.expect("a name");
    let (_second, connack) = Client::try_connect(&server, connect(V5, "")).await;
    assert_ne!(connack.assigned_client_identifier.as_ref(), Some(&assigned));
    assert!(server.broker().client(&assigned).is_some());
    first.disconnect().await;
}

#[tokio::test]
async fn an_assigned_identifier_resumes_its_session() {
    let server = start().await;
    let nameless = Connect { clean_start: false, session_expiry_interval: Some(100), ..connect(V5, "") };
    let (client, connack) = Client::try_connect(&server, nameless).await;
    client.disconnect().await;
    let name = connack.assigned_client_identifier.unwrap();
    let (_, connack) = Client::try_connect(&server, persistent(V5, &name)).await;
    assert!(connack.session_present);
    assert_eq!(connack.assigned_client_identifier, None);
}

#[tokio::test]
async fn an_empty_identifier_in_3_1_1_needs_a_clean_session() {
    // [MQTT-3.1.3-8] of 3.1.1
    let server = start().await;
    let _ = Client::connect(&server, connect(V311, "")).await;
    let kept = Connect { clean_start: false, ..connect(V311, "") };
    let (mut client, connack) = Client::try_connect(&server, kept).await;
    assert_eq!(connack.reason_code, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
    assert_eq!(client.end().await, None);
}

#[tokio::test]
async fn auth_does_not_exist_in_3_1_1() {
    let server = start().await;
    let mut client = Client::connect(&server, connect(V311, "a")).await;
    client.send_bytes(&[0xF0, 0]).await;
    assert_eq!(client.end().await, None);
}

#[tokio::test]
async fn a_second_connect_is_a_protocol_error() {
    // [MQTT-3.1.0-2]
    let server = start().await;
    for (version, reason) in [(V5, Some(ReasonCode::PROTOCOL_ERROR)), (V311, None)] {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        client.send(Packet::Connect(Box::new(connect(version, "a")))).await;
        assert_eq!(client.end().await, reason, "{version}");
    }
}

#[tokio::test]
async fn a_first_packet_that_is_not_connect_closes_without_a_word() {
    // [MQTT-3.1.0-1]
    assert!(answer(&[0xC0, 0]).await.is_empty());
    assert!(answer(b"\x30\x03\x00\x01a").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_connect_in_time_is_closed() {
    let local = Local::with(Options { connect_timeout: Duration::from_secs(5), ..Options::default() });
    let begun = tokio::time::Instant::now();
    let (mut silent, _) = local.open(V5);
    let (mut slow, _) = local.open(V5);
    slow.send_bytes(b"\x10\x0d\x00\x04MQ").await;
    assert_eq!(silent.receive_or_end_for(Duration::from_secs(60)).await, None);
    assert_eq!(slow.receive_or_end_for(Duration::from_secs(60)).await, None);
    assert!((5..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_will_above_the_maximum_qos_is_refused_with_0x9b() {
    // [MQTT-3.2.2-12]
    let server = start_with(Options { maximum_qos: QOS1, ..Options::default() }).await;
    let bad = will("w", "x");
    let bad = tidegate::packet::Will { qos: QOS2, ..bad };
    let (mut client, connack) = Client::try_connect(&server, with_will(connect(V5, "a"), bad)).await;
    assert_eq!(connack.reason_code, ReasonCode::QOS_NOT_SUPPORTED);
    assert_eq!(client.end().await, None);
}

#[tokio::test]
async fn a_retained_will_is_refused_with_0x9a_where_retain_is_not_available() {
    // [MQTT-3.2.2-13]
    let server = start_with(Options { retain_available: false, ..Options::default() }).await;
    let bad = tidegate::packet::Will { retain: true, ..will("w", "x") };
    let (mut client, connack) = Client::try_connect(&server, with_will(connect(V5, "a"), bad)).await;
    assert_eq!(connack.reason_code, ReasonCode::RETAIN_NOT_SUPPORTED);
    assert_eq!(client.end().await, None);
}

#[tokio::test]
async fn connack_says_the_limits() {
    let options = Options {
        receive_maximum: 7,
        maximum_packet_size: 4321,
        maximum_keep_alive: 30,
        maximum_session_expiry: 100,
        topic_alias_maximum: 5,
        maximum_qos: QOS1,
        retain_available: false,
        ..Options::default()
    };
    let server = start_with(options).await;
    let asks = Connect { keep_alive: 60, session_expiry_interval: Some(u32::MAX), ..connect(V5, "a") };
    let (_client, connack) = Client::try_connect(&server, asks).await;
    assert_eq!(connack.receive_maximum, NonZeroU16::new(7));
    assert_eq!(connack.maximum_packet_size, Some(4321));
    // [MQTT-3.1.2-21]
    assert_eq!(connack.server_keep_alive, Some(30));
    assert_eq!(connack.session_expiry_interval, Some(100));
    assert_eq!(connack.topic_alias_maximum, Some(5));
    assert_eq!(connack.maximum_qos, Some(QOS1));
    assert_eq!(connack.retain_available, Some(false));
}

#[tokio::test]
async fn connack_keeps_quiet_about_what_the_client_got_as_it_asked() {
    let server = start().await;
    let asks = Connect { keep_alive: 60, session_expiry_interval: Some(10), ..connect(V5, "a") };
    let (_client, connack) = Client::try_connect(&server, asks).await;
    assert_eq!(connack.server_keep_alive, None);
    assert_eq!(connack.session_expiry_interval, None);
    assert_eq!(connack.assigned_client_identifier, None);
    assert_eq!((connack.maximum_qos, connack.retain_available), (None, None));
}

#[tokio::test]
async fn publish_above_the_maximum_qos_or_retained_ends_the_connection() {
    // [MQTT-3.2.2-11], [MQTT-3.2.2-14]
    let options = Options { maximum_qos: QOS1, retain_available: false, ..Options::default() };
    let server = start_with(options).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let packet_identifier = Some(client.next_identifier());
    let qos2 = tidegate::packet::Publish { qos: QOS2, packet_identifier, ..publish("t", "x") };
    client.send(Packet::Publish(qos2)).await;
    assert_eq!(client.end().await, Some(ReasonCode::QOS_NOT_SUPPORTED));
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.publish_retained("t", "x", QOS0).await;
    assert_eq!(client.end().await, Some(ReasonCode::RETAIN_NOT_SUPPORTED));
}

#[tokio::test]
async fn session_present_follows_the_session() {
    // [MQTT-3.2.2-2], [MQTT-3.2.2-3]
    let server = start().await;
    for version in VERSIONS {
        let present = async |connect: Connect| {
            let (client, connack) = Client::try_connect(&server, connect).await;
            client.disconnect().await;
            connack.session_present
        };
        let name = format!("a-{version}");
        assert!(!present(persistent(version, &name)).await, "none yet");
        assert!(present(persistent(version, &name)).await, "kept");
        assert!(!present(connect(version, &name)).await, "clean start");
        assert!(!present(persistent(version, &name)).await, "ended with its connection");
    }
}

#[tokio::test]
async fn session_present_is_not_said_in_a_refusal() {
    // [MQTT-3.2.2-6]
    let server = start().await;
    Client::connect(&server, persistent(V5, "a")).await.disconnect().await;
    let asks = Connect { authentication_method: Some("x".into()), ..persistent(V5, "a") };
    let (_, connack) = Client::try_connect(&server, asks).await;
    assert!(connack.reason_code.is_error() && !connack.session_present);
    let (_, connack) = Client::try_connect(&server, persistent(V5, "a")).await;
    assert!(connack.session_present, "the refused client did not touch the session");
}

#[tokio::test]
async fn packets_sent_before_connack_are_acted_on_in_order() {
    // MQTT 5.0, 3.1.4: a client need not wait for CONNACK
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::open(&server, version).await;
        client.send(Packet::Connect(Box::new(connect(version, "a")))).await;
        client.send(Packet::Pingreq).await;
        assert!(matches!(client.receive().await, Packet::Connack(_)));
        assert_eq!(client.receive().await, Packet::Pingresp);
    }
}

#[tokio::test]
async fn as_many_sessions_as_allowed_and_no_more() {
    let server = start_with(Options { maximum_sessions: 2, ..Options::default() }).await;
    let versions: [ProtocolVersion; 2] = VERSIONS;
    let _one = Client::connect(&server, connect(V5, "1")).await;
    let _two = Client::connect(&server, connect(V5, "2")).await;
    for version in versions {
        // MQTT 3.1.1 has nothing nearer.
        let told = if version == V5 { ReasonCode::QUOTA_EXCEEDED } else { ReasonCode::SERVER_UNAVAILABLE };
        let (_, connack) = Client::try_connect(&server, connect(version, "3")).await;
        assert_eq!(connack.reason_code, told, "{version}");
    }
    let _again = Client::connect(&server, connect(V5, "1")).await;
    assert_eq!(server.statistics().limit_sessions, 2);
}

#[tokio::test]
async fn response_information_is_told_to_who_asks_for_it() {
    // [MQTT-3.1.2-28]
    let text = |text: &'static str| Some(bytestring::ByteString::from_static(text));
    for (option, name, expected) in [
        (None, "a", None),
        (text("answers"), "a", text("answers")),
        (text("{client-id}/{client-id}/"), "a", text("a/a/")),
    ] {
        let server = start_with(Options { response_information: option, ..Options::default() }).await;
        for (version, asks) in [(V5, true), (V5, false), (V311, true)] {
            let request = Connect { request_response_information: asks, ..connect(version, name) };
            let (_, connack) = Client::try_connect(&server, request).await;
            let expected = expected.clone().filter(|_| asks && version == V5);
            assert_eq!(connack.response_information, expected, "{version} {asks}");
        }
    }
}

#[tokio::test]
async fn response_information_is_left_out_where_a_client_takes_no_packet_that_large() {
    // It got 0x83 for what it may do without.
    let response_information = Some("answers/{client-id}/of/this/broker".into());
    let server = start_with(Options { response_information, ..Options::default() }).await;
    let small =
        Connect { request_response_information: true, maximum_packet_size: Some(30), ..connect(V5, "a") };
    let (_, connack) = Client::try_connect(&server, small).await;
    assert_eq!((connack.reason_code, connack.response_information), (ReasonCode::SUCCESS, None));
}

#[tokio::test]
async fn response_information_has_the_name_that_a_client_was_given() {
    let response_information = Some("answers/{client-id}".into());
    let server = start_with(Options { response_information, ..Options::default() }).await;
    let asks = |name: &str| Connect { request_response_information: true, ..connect(V5, name) };
    let (_, connack) = Client::try_connect(&server, asks("")).await;
    let name = connack.assigned_client_identifier.unwrap();
    assert_eq!(connack.response_information, Some(format!("answers/{name}").into()));
    // With a name that long it would not fit into a string: it is left out, and the client is let in.
    let options = Options {
        response_information: Some("{client-id}{client-id}".into()),
        maximum_connect_size: 100_000,
        ..Options::default()
    };
    let server = start_with(options).await;
    let (_, connack) = Client::try_connect(&server, asks(&"n".repeat(40_000))).await;
    assert_eq!((connack.reason_code, connack.response_information), (ReasonCode::SUCCESS, None));
}
