//! DISCONNECT, from clients and from us.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{ConnectOutcome, ConnectVerdict, PublishOutcome, PublishVerdict, Reply};
use tidegate::packet::{Connect, Disconnect, Packet, PacketType, ReasonCode};

use crate::support::*;

/// Those that a client may send, all but 0x04 also a server (MQTT 5.0, 3.14.2.1).
const FROM_CLIENTS: [u8; 14] =
    [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];

fn saying(reason_code: ReasonCode) -> Packet {
    Packet::Disconnect(Box::new(Disconnect::new(reason_code)))
}

#[tokio::test]
async fn a_client_may_say_what_the_table_has_for_clients_and_nothing_else() {
    // [MQTT-3.14.2-1]; [MQTT-3.14.4-3]: only Normal disconnection deletes the Will
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    let listed = (0..=255).filter_map(|value| ReasonCode::try_from(value).ok());
    for reason in listed.filter(|reason| reason.is_allowed_in(PacketType::Disconnect)) {
        let name = format!("a-{:02x}", reason.value());
        let asks = with_will(connect(V5, &name), will("will", &name));
        let mut client = Client::connect(&server, asks).await;
        client.send(saying(reason)).await;
        let legal = FROM_CLIENTS.contains(&reason.value());
        let expected = (!legal).then_some(ReasonCode::PROTOCOL_ERROR);
        assert_eq!(client.end().await, expected, "{name}");
        if reason != ReasonCode::NORMAL_DISCONNECTION {
            assert_eq!(text(&witness.message().await), name);
        }
    }
    witness.assert_silent().await;
}

#[tokio::test]
async fn what_follows_a_disconnect_is_not_acted_on() {
    // [MQTT-3.14.4-1]
    let server = start().await;
    for version in VERSIONS {
        let mut witness = Client::connect(&server, connect(version, "witness")).await;
        witness.subscribe("t", QOS1).await;
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let mut bytes = bytes::BytesMut::new();
        for packet in [
            Packet::Publish(publish("t", "before")),
            saying(ReasonCode::SUCCESS),
            Packet::Publish(publish("t", "after")),
        ] {
            tidegate::packet::encode(&packet, version, &mut bytes).unwrap();
        }
        client.send_bytes(&bytes).await;
        assert_eq!(client.end().await, None);
        assert_eq!(witness.payloads(1).await, ["before"]);
        witness.assert_silent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_not_valid_changes_no_expiry() {
    // MQTT 5.0, 3.14.2.2.2: it is not treated as a valid DISCONNECT packet
    let local = Local::start();
    let mut client = local.connect(Connect { session_expiry_interval: Some(60), ..connect(V5, "a") }).await;
    // 0x8B is the server's.
    let session_expiry_interval = Some(600);
    let disconnect =
        Disconnect { session_expiry_interval, ..Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN) };
    client.send(Packet::Disconnect(Box::new(disconnect))).await;
    assert_eq!(client.end().await, Some(ReasonCode::PROTOCOL_ERROR));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(local.broker.session_count(), 0);
}

/// Ends the connection of who publishes a number, with that Reason Code; refuses who has one for a name.
fn sending_away() -> Script {
    let code = |text: &[u8]| {
        let value = u8::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
        ReasonCode::try_from(value).ok()
    };
    let reply = |close| {
        let server_reference = Some("other.example:1883".into());
        Some(Box::new(Reply { server_reference, close, ..Reply::default() }))
    };
    Script::default()
        .on_connect(move |context| {
            let verdict = match code(context.client.client_identifier.as_bytes()) {
                Some(reason) if reason.is_error() => ConnectVerdict::Deny(reason),
                _ => ConnectVerdict::Allow,
            };
            ConnectOutcome { verdict, reply: reply(None), ..ConnectOutcome::default() }.into()
        })
        .on_publish(move |context| {
            let verdict = PublishVerdict::Continue;
            PublishOutcome {
                verdict,
                reply: reply(code(&context.message.payload)),
                ..PublishOutcome::default()
            }
            .into()
        })
}

#[tokio::test]
async fn a_server_reference_comes_with_0x9c_and_0x9d_only() {
    // MQTT 5.0, 3.2.2.3.16, 3.14.2.2.5, 4.11
    let server = start_hooked(Options::default(), &sending_away().shared()).await;
    for (name, value) in [("9C", 0x9c), ("9D", 0x9d), ("8A", 0x8a), ("97", 0x97)] {
        let reason = ReasonCode::try_from(value).unwrap();
        let expected = reason.is_redirection().then_some("other.example:1883");
        let (_, connack) = Client::try_connect(&server, connect(V5, name)).await;
        assert_eq!((connack.reason_code, connack.server_reference.as_deref()), (reason, expected));
    }
    for (payload, value) in [("9C", 0x9c), ("9D", 0x9d), ("97", 0x97), ("98", 0x98)] {
        let reason = ReasonCode::try_from(value).unwrap();
        let (mut client, connack) = Client::try_connect(&server, connect(V5, "client")).await;
        assert_eq!(connack.server_reference, None, "a client that is let in is not sent away");
        client.publish("t", payload, QOS0).await;
        let farewell = client.farewell().await.unwrap();
        let expected = reason.is_redirection().then_some("other.example:1883");
        assert_eq!((farewell.reason_code, farewell.server_reference.as_deref()), (reason, expected));
    }
    // MQTT 3.1.1 has neither.
    let (_, connack) = Client::try_connect(&server, connect(V311, "9C")).await;
    assert_eq!(connack.reason_code, ReasonCode::SERVER_UNAVAILABLE);
}

#[tokio::test]
async fn we_say_nothing_that_is_the_clients_to_say() {
    // [MQTT-3.14.2-1]: a hook that closed with 0x04 had us send what only a client may
    let server = start_hooked(Options::default(), &sending_away().shared()).await;
    let mut client = Client::connect(&server, connect(V5, "client")).await;
    client.publish("t", "04", QOS0).await;
    assert_eq!(client.end().await, Some(ReasonCode::NORMAL_DISCONNECTION));
    let mut client = Client::connect(&server, connect(V5, "client")).await;
    assert!(server.disconnect("client", ReasonCode::DISCONNECT_WITH_WILL_MESSAGE));
    assert_eq!(client.end().await, Some(ReasonCode::NORMAL_DISCONNECTION));
}
