//! Enhanced authentication (MQTT 5.0, 4.12) as part of the handshake.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tidegate::broker::Options;
use tidegate::hook::{
    Answer, AuthenticateOutcome, AuthenticateVerdict, Authorization, AuthorizationVerdict, Challenge,
    ConnectOverrides,
};
use tidegate::packet::{Ack, Auth, Connect, Packet, Publish, ReasonCode, Subscribe, Unsubscribe};
use tokio::time::Instant;

use crate::support::authentication::*;
use crate::support::client::id;
use crate::support::*;

fn local() -> Local {
    Local::hooked(Options::default(), script().shared())
}

/// A client that was challenged once.
async fn challenged(local: &Local, connect: Connect) -> Client {
    let (mut client, _) = local.open(V5);
    client.send(Packet::Connect(Box::new(connect))).await;
    client.challenge().await;
    client
}

#[tokio::test(start_paused = true)]
async fn the_client_is_in_when_its_last_answer_is_right() {
    // [MQTT-4.12.0-2], [MQTT-4.12.0-5]
    let local = local();
    let (mut client, _) = local.open(V5);
    client.send(Packet::Connect(Box::new(asks("a", "more")))).await;
    for round in ["1", "2", "3"] {
        assert_eq!(client.challenge().await.authentication_data.as_deref(), Some(round.as_bytes()));
        client.send_auth(CONTINUE, if round == "3" { "ok" } else { "more" }).await;
    }
    let connack = client.connack().await;
    assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
    assert_eq!(connack.authentication_method.as_deref(), Some("M"));
    assert_eq!(connack.authentication_data.as_deref(), Some(&b"welcome"[..]));
    client.subscribe("t", QOS1).await;
    client.publish("t", "x", QOS0).await;
    assert_eq!(client.payloads(1).await, ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_needs_no_challenge_gets_connack_at_once() {
    // [MQTT-4.12.0-5]
    let local = local();
    for (data, back) in [("ok", Some(&b"welcome"[..])), ("ok-bare", None)] {
        let (_client, connack) = local.try_connect(asks("a", data)).await;
        assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
        assert_eq!(connack.authentication_method.as_deref(), Some("M"));
        assert_eq!(connack.authentication_data.as_deref(), back);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hook_sees_each_packet_and_gets_back_what_it_left() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let script = script().on_authenticate(move |context| {
        let exchange = context.exchange.map(|exchange| (exchange.owner.clone(), exchange.state.clone()));
        notes.lock().unwrap().push((
            context.client.client_identifier.to_string(),
            context.connect.and_then(|connect| connect.password.clone()),
            context.method.to_string(),
            context.data.cloned(),
            exchange,
        ));
        outcome(step(&context)).into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    let password = Some(Bytes::from_static(b"secret"));
    let first = Connect { password: password.clone(), authentication_data: None, ..asks("a", "") };
    let mut client = challenged(&local, first).await;
    client.send_auth(CONTINUE, "ok").await;
    client.connack().await;
    client.send_auth(AGAIN, "ok").await;
    client.auth(ReasonCode::SUCCESS).await;
    let (a, m, ok) = ("a".to_string(), "M".to_string(), Some(Bytes::from_static(b"ok")));
    let left = Some((Some("tests".into()), Bytes::from_static(&[1])));
    let expected = vec![
        (a.clone(), password.clone(), m.clone(), None, None),
        (a.clone(), password, m.clone(), ok.clone(), left),
        (a, None, m, ok, None),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_method_that_nobody_knows_is_refused_with_0x8c_even_where_everyone_is_let_in() {
    // [MQTT-4.12.0-1]
    let without_hooks = start().await;
    let with_hooks = start_hooked(Options::default(), &script().shared()).await;
    for server in [without_hooks, with_hooks] {
        let mut client = Client::open(&server, V5).await;
        client.send(Packet::Connect(Box::new(asks_for("SCRAM-SHA-1", "a", "ok")))).await;
        assert_eq!(client.refusal().await.reason_code, ReasonCode::BAD_AUTHENTICATION_METHOD);
        assert_eq!(server.broker().session_count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hook_can_refuse_at_any_step_and_says_why() {
    // [MQTT-4.12.0-4]
    let script = script().on_authenticate(|context| talkative(step(&context)).into());
    let local = Local::hooked(Options::default(), script.shared());
    for (data, expected) in
        [("no", ReasonCode::NOT_AUTHORIZED), ("bad", ReasonCode::BAD_USER_NAME_OR_PASSWORD)]
    {
        let (mut at_once, _) = local.open(V5);
        at_once.send(Packet::Connect(Box::new(asks("a", data)))).await;
        let mut later = challenged(&local, asks("a", "more")).await;
        later.send_auth(CONTINUE, data).await;
        for mut client in [at_once, later] {
            let connack = client.refusal().await;
            assert_eq!(connack.reason_code, expected);
            assert_eq!(connack.reason_string.as_deref(), Some("because"));
        }
    }
    assert_eq!(local.broker.session_count(), 0);
    assert_eq!(local.broker.statistics().refused_not_authorized, 4);
}

#[tokio::test(start_paused = true)]
async fn auth_that_does_not_answer_the_challenge_is_a_protocol_error() {
    // [MQTT-4.12.0-3], [MQTT-4.12.0-5], [MQTT-3.15.2-1]
    let local = local();
    let other_method = |method: Option<&str>| Auth {
        authentication_method: method.map(|method| method.to_string().into()),
        ..auth(CONTINUE, "ok")
    };
    let no_method = Auth { authentication_data: None, ..other_method(None) };
    for wrong in [
        auth(AGAIN, "ok"),
        auth(ReasonCode::SUCCESS, "ok"),
        other_method(Some("m")),
        other_method(None),
        no_method,
        Auth::default(),
    ] {
        let mut client = challenged(&local, asks("a", "more")).await;
        client.send(Packet::Auth(Box::new(wrong.clone()))).await;
        assert_eq!(client.refusal().await.reason_code, ReasonCode::PROTOCOL_ERROR, "{wrong:?}");
    }
    assert_eq!(local.broker.statistics().refused_malformed, 6);
}

#[tokio::test(start_paused = true)]
async fn before_connack_only_auth_and_disconnect_may_follow() {
    // [MQTT-3.1.2-30], [MQTT-3.14.0-1]
    let local = local();
    let (packet_identifier, user_properties) = (id(1), Vec::new());
    let subscriptions = vec![client::to("t", QOS1)];
    let ack = Ack::new(id(1), ReasonCode::SUCCESS);
    for packet in [
        Packet::Connect(Box::new(asks("a", "ok"))),
        Packet::Publish(Publish { ..publish("t", "x") }),
        Packet::Puback(ack.clone()),
        Packet::Pubrec(ack.clone()),
        Packet::Pubrel(ack.clone()),
        Packet::Pubcomp(ack),
        Packet::Subscribe(Box::new(Subscribe {
            packet_identifier,
            subscription_identifier: None,
            user_properties: user_properties.clone(),
            subscriptions,
        })),
        Packet::Unsubscribe(Box::new(Unsubscribe {
            packet_identifier,
            user_properties,
            filters: vec!["t".into()],
        })),
        Packet::Pingreq,
    ] {
        let mut client = challenged(&local, asks("a", "more")).await;
        let kind = packet.packet_type();
        client.send(packet).await;
        assert_eq!(client.refusal().await.reason_code, ReasonCode::PROTOCOL_ERROR, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_packets_of_the_exchange_are_answered_with_connack() {
    // [MQTT-3.15.1-1], [MQTT-3.14.0-1]
    let local = Local::hooked(Options { maximum_connect_size: 200, ..Options::default() }, script().shared());
    let large = [&b"\xf0\xac\x02\x18\xa8\x02"[..], &[0; 298]].concat();
    for (bytes, expected) in [
        (&b"\xf1\x00"[..], ReasonCode::MALFORMED_PACKET),
        (b"\xf0\x01\x18", ReasonCode::MALFORMED_PACKET),
        (b"\xf0\x06\x18\x04\x15\0\x01\xff", ReasonCode::MALFORMED_PACKET),
        (b"\xf0\x02\x77\x00", ReasonCode::PROTOCOL_ERROR),
        (&large, ReasonCode::PACKET_TOO_LARGE),
    ] {
        let mut client = challenged(&local, asks("a", "more")).await;
        client.send_bytes(bytes).await;
        assert_eq!(client.refusal().await.reason_code, expected, "{bytes:02x?}");
    }
    let statistics = local.broker.statistics();
    assert_eq!((statistics.refused_malformed, statistics.limit_connect_size), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_leaves_nothing() {
    let local = local();
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    let asks =
        || with_will(Connect { session_expiry_interval: Some(60), ..asks("a", "more") }, will("will", "x"));
    let mut says_so = challenged(&local, asks()).await;
    says_so.send(Packet::Disconnect(Box::default())).await;
    assert_eq!(says_so.receive_or_end().await, None);
    drop(challenged(&local, asks()).await);
    until(|| local.broker.statistics().refused_gone == 2).await;
    witness.assert_silent().await;
    assert_eq!(local.broker.session_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_method_there_is_no_auth_and_none_in_connack() {
    // [MQTT-4.12.0-6], [MQTT-4.12.0-7]
    let local = local();
    let (mut client, connack) = local.try_connect(connect(V5, "a")).await;
    assert_eq!(connack.authentication_method, None);
    assert_eq!(connack.authentication_data, None);
    for reason_code in [AGAIN, CONTINUE] {
        client.send_auth(reason_code, "ok").await;
        assert_eq!(client.end().await, Some(ReasonCode::PROTOCOL_ERROR));
        client = local.connect(connect(V5, "a")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn authentication_data_without_a_method_is_a_protocol_error() {
    // MQTT 5.0, 3.1.2.11.10
    let local = local();
    let (mut client, _) = local.open(V5);
    client.send(Packet::Connect(Box::new(Connect { authentication_method: None, ..asks("a", "ok") }))).await;
    assert_eq!(client.refusal().await.reason_code, ReasonCode::PROTOCOL_ERROR);
}

#[tokio::test(start_paused = true)]
async fn rounds_are_counted() {
    let options = Options { maximum_authentication_rounds: 3, ..Options::default() };
    let local = Local::hooked(options, script().shared());
    for last in ["ok", "more"] {
        let mut client = challenged(&local, asks("a", "more")).await;
        for _ in 0..2 {
            client.send_auth(CONTINUE, "more").await;
            client.challenge().await;
        }
        client.send_auth(CONTINUE, last).await;
        let expected = if last == "ok" { ReasonCode::SUCCESS } else { ReasonCode::QUOTA_EXCEEDED };
        assert_eq!(client.connack().await.reason_code, expected);
    }
    let statistics = local.broker.statistics();
    assert_eq!((statistics.limit_authentication_rounds, statistics.connections_refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_covers_the_clients_part_of_the_whole_exchange() {
    let seconds = Duration::from_secs;
    let script = script().on_authenticate(|context| {
        let outcome = outcome(step(&context));
        Answer::Later(Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(100)).await;
            outcome
        }))
    });
    let options = Options { connect_timeout: seconds(10), ..Options::default() };
    let local = Local::hooked(options, script.shared());
    let (mut client, _) = local.open(V5);
    tokio::time::sleep(seconds(4)).await;
    client.send(Packet::Connect(Box::new(asks("a", "more")))).await;
    let patience = seconds(200);
    assert!(matches!(client.receive_or_end_for(patience).await, Some(Packet::Auth(_))));
    tokio::time::sleep(seconds(4)).await;
    client.send_auth(CONTINUE, "more").await;
    assert!(matches!(client.receive_or_end_for(patience).await, Some(Packet::Auth(_))));
    let asked = Instant::now();
    let connack = client.refusal().await;
    assert_eq!(connack.reason_code, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(asked.elapsed().as_secs(), 2, "the hook's time does not count, the client's does");
    assert_eq!(local.broker.statistics().limit_connect_timeout, 1);
}

#[tokio::test(start_paused = true)]
async fn no_session_is_touched_before_the_client_has_proved_itself() {
    // [MQTT-3.1.4-2]
    let local = local();
    let mut client = local.connect(asks("a", "ok")).await;
    let mut thief = challenged(&local, asks("a", "more")).await;
    client.ping().await;
    thief.send_auth(CONTINUE, "no").await;
    thief.refusal().await;
    client.ping().await;
    let mut owner = challenged(&local, asks("a", "more")).await;
    client.ping().await;
    owner.send_auth(CONTINUE, "ok").await;
    assert_eq!(owner.connack().await.reason_code, ReasonCode::SUCCESS);
    assert_eq!(client.end().await, Some(ReasonCode::SESSION_TAKEN_OVER));
}

#[tokio::test(start_paused = true)]
async fn what_each_step_sets_holds_and_authorizers_see_the_name_that_was_proved() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let script = script()
        .on_authenticate(|context| {
            let overrides = match context.exchange {
                None => ConnectOverrides {
                    server_keep_alive: Some(9),
                    session_expiry_cap: Some(50),
                    ..ConnectOverrides::default()
                },
                Some(_) => ConnectOverrides {
                    user_name: Some("proved".into()),
                    session_expiry_cap: Some(70),
                    ..ConnectOverrides::default()
                },
            };
            AuthenticateOutcome { overrides, ..outcome(step(&context)) }.into()
        })
        .on_authorize(move |context| {
            notes.lock().unwrap().push(context.client.user_name.clone());
            Authorization { verdict: AuthorizationVerdict::Allow, ..Authorization::default() }.into()
        });
    let local = Local::hooked(Options::default(), script.shared());
    let claims =
        Connect { user_name: Some("admin".into()), session_expiry_interval: Some(1000), ..asks("a", "more") };
    let mut client = challenged(&local, claims).await;
    client.send_auth(CONTINUE, "ok").await;
    let connack = client.connack().await;
    assert_eq!((connack.server_keep_alive, connack.session_expiry_interval), (Some(9), Some(50)));
    client.publish("t", "x", QOS1).await;
    assert_eq!(*seen.lock().unwrap(), [Some("proved".into())]);
}

#[tokio::test(start_paused = true)]
async fn challenges_say_why_only_to_clients_that_want_to_know_and_have_room() {
    // [MQTT-3.1.2-29], [MQTT-3.15.2-2], [MQTT-3.15.2-3]
    let script = script().on_authenticate(|context| talkative(step(&context)).into());
    let local = Local::hooked(Options::default(), script.shared());
    let said = Some("because".into());
    let asks = || asks("a", "more");
    for (connect, reason_string, properties) in [
        (asks(), said, 1),
        (Connect { request_problem_information: false, ..asks() }, None, 0),
        (Connect { maximum_packet_size: Some(45), ..asks() }, None, 1),
        (Connect { maximum_packet_size: Some(30), ..asks() }, None, 0),
    ] {
        let (mut client, _) = local.open(V5);
        client.send(Packet::Connect(Box::new(connect))).await;
        let challenge = client.challenge().await;
        assert_eq!((challenge.reason_string, challenge.user_properties.len()), (reason_string, properties));
        assert_eq!(challenge.authentication_data.as_deref(), Some(&b"1"[..]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_the_client_cannot_take_is_not_sent() {
    // [MQTT-3.1.2-24]
    let data = |size| Bytes::from(vec![b'x'; size]);
    let script = script().on_authenticate(move |context| {
        let size = context.data.and_then(|data| std::str::from_utf8(data).ok()?.parse().ok());
        let challenge = Challenge { data: size.map(data), ..Challenge::default() };
        outcome(AuthenticateVerdict::Challenge(challenge)).into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    for (size, maximum_packet_size, expected) in [
        ("100", Some(100), ReasonCode::PACKET_TOO_LARGE),
        ("65536", None, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR),
    ] {
        let (mut client, _) = local.open(V5);
        client.send(Packet::Connect(Box::new(Connect { maximum_packet_size, ..asks("a", size) }))).await;
        assert_eq!(client.refusal().await.reason_code, expected);
    }
    let (mut client, _) = local.open(V5);
    client.send(Packet::Connect(Box::new(asks("a", "65535")))).await;
    assert_eq!(client.challenge().await.authentication_data.map(|data| data.len()), Some(65_535));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_being_challenged_delays_nobody() {
    let local = local();
    let _silent = challenged(&local, asks("a", "more")).await;
    let begun = Instant::now();
    let mut other = local.connect(asks("b", "ok")).await;
    other.ping().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
}
