//! validating-connection.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{
    Answer, ConnectOutcome, ConnectOverrides, ConnectVerdict, DisconnectCause, Reply, What,
};
use tidegate::message::Timestamp;
use tidegate::packet::{Ack, Connect, Disconnect, Packet, Publish, ReasonCode};
use tidegate::server::{ListenerOptions, Server};

use crate::support::client::id;
use crate::support::*;

fn allow(overrides: ConnectOverrides) -> ConnectOutcome {
    ConnectOutcome { verdict: ConnectVerdict::Allow, overrides, reply: None }
}

fn overriding(overrides: ConnectOverrides) -> Script {
    Script::default().on_connect(move |_| allow(overrides.clone()).into())
}

fn verdicts(verdict: ConnectVerdict) -> Script {
    Script::default().on_connect(move |_| ConnectOutcome { verdict, ..ConnectOutcome::default() }.into())
}

#[tokio::test]
async fn the_verdict_decides_and_where_there_is_none_the_listener() {
    let refused = ReasonCode::NOT_AUTHORIZED;
    let bad = ReasonCode::BAD_USER_NAME_OR_PASSWORD;
    for (verdict, anonymous, expected) in [
        (ConnectVerdict::Next, true, ReasonCode::SUCCESS),
        (ConnectVerdict::Next, false, refused),
        (ConnectVerdict::Allow, false, ReasonCode::SUCCESS),
        (ConnectVerdict::Allow, true, ReasonCode::SUCCESS),
        (ConnectVerdict::Deny(bad), true, bad),
        (ConnectVerdict::Deny(bad), false, bad),
    ] {
        let listener = ListenerOptions { anonymous, ..ListenerOptions::loopback(0) };
        let server =
            Server::builder().hooks(verdicts(verdict).shared()).listener(listener).start().await.unwrap();
        for version in VERSIONS {
            let (_, connack) = Client::try_connect(&server, connect(version, "a")).await;
            assert_eq!(connack.reason_code, expected, "{verdict:?} {anonymous} {version}");
        }
    }
}

#[tokio::test]
async fn without_hooks_a_listener_lets_nobody_in_and_allows_nothing_unless_told() {
    let closed = ListenerOptions::new("closed", ([127, 0, 0, 1], 0).into());
    let door =
        ListenerOptions { anonymous: true, ..ListenerOptions::new("door", ([127, 0, 0, 1], 0).into()) };
    let server = Server::builder().listener(closed).listener(door).start().await.unwrap();
    let (_, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    assert_eq!(connack.reason_code, ReasonCode::NOT_AUTHORIZED);
    let stream = tokio::net::TcpStream::connect(server.addresses()[1]).await.unwrap();
    let mut client = Client::over(stream, V5);
    assert_eq!(client.handshake(connect(V5, "a")).await.reason_code, ReasonCode::SUCCESS);
    assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::NOT_AUTHORIZED);
    let suback = client.subscribe_to(vec![client::to("t", QOS1)]).await;
    assert_eq!(suback.reason_codes, [ReasonCode::NOT_AUTHORIZED]);
}

#[tokio::test]
async fn the_hook_sees_who_comes_and_what_it_brings() {
    let script = Script::default().on_connect(|context| {
        let client = context.client;
        assert_eq!(&*client.client_identifier, "device");
        assert_eq!(client.user_name.as_deref(), Some("user"));
        assert_eq!(*client.user_properties, [("k".into(), "v".into())]);
        assert_eq!(client.listener.name, "default");
        assert!(client.remote_address().is_some_and(|address| address.ip().is_loopback()));
        assert_eq!(context.connect.password.as_deref(), Some(&b"secret"[..]));
        ConnectOutcome { verdict: ConnectVerdict::Allow, ..ConnectOutcome::default() }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let asks = Connect {
        user_name: Some("user".into()),
        password: Some(bytes::Bytes::from_static(b"secret")),
        user_properties: vec![("k".into(), "v".into())],
        ..connect(V5, "device")
    };
    Client::connect(&server, asks).await;
}

#[tokio::test]
async fn a_denial_says_why_to_5_0_clients() {
    let script = Script::default().on_connect(|_| {
        let reply = Reply {
            reason_string: Some("token expired".into()),
            user_properties: vec![("hint".into(), "renew".into())],
            server_reference: Some("other:1883".into()),
            close: None,
        };
        let verdict = ConnectVerdict::Deny(ReasonCode::USE_ANOTHER_SERVER);
        ConnectOutcome { verdict, reply: Some(Box::new(reply)), ..ConnectOutcome::default() }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let (mut client, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    assert_eq!(connack.reason_code, ReasonCode::USE_ANOTHER_SERVER);
    assert_eq!(connack.reason_string.as_deref(), Some("token expired"));
    assert_eq!(connack.user_properties, [("hint".into(), "renew".into())]);
    assert_eq!(connack.server_reference.as_deref(), Some("other:1883"));
    assert_eq!(client.end().await, None);
    let (_, connack) = Client::try_connect(&server, connect(V311, "a")).await;
    assert_eq!(connack.reason_code, ReasonCode::SERVER_UNAVAILABLE);
}

#[tokio::test]
async fn a_reason_code_that_connack_cannot_carry_becomes_one_that_it_can() {
    let server = start_hooked(
        Options::default(),
        &verdicts(ConnectVerdict::Deny(ReasonCode::KEEP_ALIVE_TIMEOUT)).shared(),
    )
    .await;
    let (_, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    assert_eq!(connack.reason_code, ReasonCode::NOT_AUTHORIZED);
}

#[tokio::test]
async fn a_hook_names_the_client() {
    let script =
        overriding(ConnectOverrides { client_identifier: Some("named".into()), ..Default::default() });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let (_nameless, connack) = Client::try_connect(&server, connect(V5, "")).await;
    assert_eq!(connack.assigned_client_identifier.as_deref(), Some("named"));
    let (_renamed, connack) = Client::try_connect(&server, connect(V5, "own")).await;
    assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
    let clients = server.clients();
    assert_eq!(clients.len(), 1);
    assert_eq!(&*clients[0].client_identifier, "named");
}

#[tokio::test]
async fn overrides_tighten_what_the_client_gets_and_never_loosen_it() {
    let tight = ConnectOverrides {
        session_expiry_cap: Some(50),
        server_keep_alive: Some(9),
        receive_maximum: Some(2),
        maximum_packet_size: Some(200),
        ..ConnectOverrides::default()
    };
    let asks = Connect { keep_alive: 60, session_expiry_interval: Some(1000), ..connect(V5, "a") };
    let server = start_hooked(Options::default(), &overriding(tight).shared()).await;
    let (_client, connack) = Client::try_connect(&server, asks.clone()).await;
    assert_eq!(connack.session_expiry_interval, Some(50));
    assert_eq!(connack.server_keep_alive, Some(9));
    assert_eq!(connack.receive_maximum, NonZeroU16::new(2));
    assert_eq!(connack.maximum_packet_size, Some(200));

    let loose = ConnectOverrides {
        session_expiry_cap: Some(u32::MAX),
        receive_maximum: Some(u16::MAX),
        maximum_packet_size: Some(u32::MAX),
        ..ConnectOverrides::default()
    };
    let options = Options {
        maximum_session_expiry: 100,
        receive_maximum: 5,
        maximum_packet_size: 1000,
        ..Options::default()
    };
    let server = start_hooked(options, &overriding(loose).shared()).await;
    let (_client, connack) = Client::try_connect(&server, asks).await;
    assert_eq!(connack.session_expiry_interval, Some(100));
    assert_eq!(connack.receive_maximum, NonZeroU16::new(5));
    assert_eq!(connack.maximum_packet_size, Some(1000));
}

#[tokio::test]
async fn overridden_limits_are_enforced() {
    let tight = ConnectOverrides {
        receive_maximum: Some(1),
        maximum_packet_size: Some(200),
        ..ConnectOverrides::default()
    };
    let server = start_hooked(Options::default(), &overriding(tight).shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.send(Packet::Publish(publish("t", &"x".repeat(300)))).await;
    assert_eq!(client.end().await, Some(ReasonCode::PACKET_TOO_LARGE));
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    for identifier in [1, 2] {
        let packet_identifier = Some(id(identifier));
        client.send(Packet::Publish(Publish { qos: QOS2, packet_identifier, ..publish("t", "x") })).await;
    }
    let first = Ack::new(id(1), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(client.receive().await, Packet::Pubrec(first));
    assert_eq!(client.end().await, Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
}

#[tokio::test]
async fn an_override_that_no_connack_can_say_is_left_out() {
    // MQTT 5.0, 3.2.2.3.3 and 3.2.2.3.6: 0 would be a protocol error of ours
    let zero = ConnectOverrides {
        receive_maximum: Some(0),
        maximum_packet_size: Some(0),
        ..ConnectOverrides::default()
    };
    let server = start_hooked(Options::default(), &overriding(zero).shared()).await;
    let (_client, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    let options = Options::default();
    assert_eq!(connack.receive_maximum.map(NonZeroU16::get), Some(options.receive_maximum));
    assert_eq!(connack.maximum_packet_size, Some(options.maximum_packet_size));
}

#[tokio::test]
async fn a_receive_maximum_that_a_hook_sets_is_not_held_against_3_1_1_clients() {
    // They cannot be told of one, and were cut off for what they could not know.
    let one = ConnectOverrides { receive_maximum: Some(1), ..ConnectOverrides::default() };
    let server = start_hooked(Options::default(), &overriding(one).shared()).await;
    let mut client = Client::connect(&server, connect(V311, "a")).await;
    for identifier in [101, 102, 103] {
        let packet_identifier = Some(id(identifier));
        client.send(Packet::Publish(Publish { qos: QOS2, packet_identifier, ..publish("t", "x") })).await;
        assert_eq!(client.pubrec().await.packet_identifier, id(identifier));
    }
    assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::SUCCESS);
}

#[tokio::test(start_paused = true)]
async fn disconnect_does_not_get_around_the_session_expiry_cap() {
    // A DISCONNECT with a longer Session Expiry Interval was held to the broker's maximum only: what a
    // hook had capped in CONNECT a client could have in DISCONNECT.
    let cap = ConnectOverrides { session_expiry_cap: Some(50), ..ConnectOverrides::default() };
    let local = Local::hooked(Options::default(), overriding(cap).shared());
    let client = local.connect(persistent(V5, "a")).await;
    let session_expiry_interval = Some(100_000);
    client.disconnect_with(Disconnect { session_expiry_interval, ..Disconnect::default() }).await;
    tokio::time::sleep(Duration::from_secs(51)).await;
    assert_eq!(local.broker.session_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn disconnect_may_set_an_expiry_interval_where_connect_asked_for_one_and_a_hook_left_nothing_of_it() {
    // The Session Expiry Interval that the client got was looked at, not the one that it had asked for: what
    // is legal for the client (MQTT 5.0, 3.14.2.2.2) was taken for a protocol error, which also published its Will.
    let cap = ConnectOverrides { session_expiry_cap: Some(0), ..ConnectOverrides::default() };
    let local = Local::hooked(Options::default(), overriding(cap).shared());
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    let asks = with_will(persistent(V5, "a"), will("will", "gone"));
    let (client, connack) = local.try_connect(asks).await;
    assert_eq!(connack.session_expiry_interval, Some(0));
    let session_expiry_interval = Some(500);
    client.disconnect_with(Disconnect { session_expiry_interval, ..Disconnect::default() }).await;
    until(|| local.broker.session_count() == 1).await;
    witness.assert_silent().await;
    assert_eq!(local.broker.statistics().protocol_errors, 0);
    // And one that had asked for none cannot have it after all.
    let mut client = local.connect(connect(V5, "b")).await;
    let session_expiry_interval = Some(500);
    client
        .send(Packet::Disconnect(Box::new(Disconnect { session_expiry_interval, ..Disconnect::default() })))
        .await;
    assert_eq!(client.end().await, Some(ReasonCode::PROTOCOL_ERROR));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_answers_after_the_connect_timeout_is_still_heard() {
    // The time-out for CONNECT ran on while the hook was asked: a client that had said all in time was cut off
    // without a word.
    let script = Script::default().on_connect(|context| {
        let denied = &*context.client.client_identifier == "denied";
        let bad = ConnectVerdict::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        let verdict = if denied { bad } else { ConnectVerdict::Allow };
        Answer::Later(Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            ConnectOutcome { verdict, ..ConnectOutcome::default() }
        }))
    });
    let options = Options { connect_timeout: Duration::from_secs(2), ..Options::default() };
    let local = Local::hooked(options, script.shared());
    for version in VERSIONS {
        let begun = tokio::time::Instant::now();
        let mut client = local.connect(connect(version, "allowed")).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        client.ping().await;
        let (_, connack) = local.try_connect(connect(version, "denied")).await;
        assert!(connack.reason_code.is_error(), "{connack:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_credentials() {
    let script = Script::default().on_connect(|context| {
        // The token of this client says so; tests know the time from its name.
        let expires_at = context.client.client_identifier.parse().ok().map(Timestamp);
        allow(ConnectOverrides { expires_at, ..ConnectOverrides::default() }).into()
    });
    let script = script.shared();
    let local = Local::hooked(Options::default(), script.clone());
    for (version, told) in [(V5, Some(ReasonCode::NOT_AUTHORIZED)), (V311, None)] {
        let at = local.broker.now().after_secs(100);
        let mut client = local.connect(connect(version, &at.0.to_string())).await;
        tokio::time::sleep(Duration::from_secs(99)).await;
        client.ping().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(client.end().await, told);
    }
    let expired = |what: &What| {
        matches!(what, What::ClientDisconnected { cause: DisconnectCause::AuthenticationExpired, .. })
    };
    assert_eq!(script.count(expired), 2);
    // One that has expired already does not stay.
    let mut late = local.connect(connect(V5, "1")).await;
    assert_eq!(late.end().await, Some(ReasonCode::NOT_AUTHORIZED));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_its_time_delays_nobody_else() {
    let script = Script::default().on_connect(|context| {
        let slow = &*context.client.client_identifier == "slow";
        Answer::Later(Box::pin(async move {
            if slow {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            allow(ConnectOverrides::default())
        }))
    });
    let local = Local::hooked(Options::default(), script.shared());
    let (mut slow, _) = local.open(V5);
    slow.send(Packet::Connect(Box::new(connect(V5, "slow")))).await;
    let begun = tokio::time::Instant::now();
    local.connect(connect(V5, "quick")).await.ping().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(matches!(slow.receive().await, Packet::Connack(_)));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_refused_client_does_not_disturb_the_one_that_is_in() {
    // [MQTT-3.1.4-2]: no takeover before the credentials were looked at
    let script = Script::default().on_connect(|context| {
        let verdict = match context.client.user_name.as_deref() {
            Some("good") => ConnectVerdict::Allow,
            _ => ConnectVerdict::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        };
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let good = Connect { user_name: Some("good".into()), ..connect(V5, "a") };
    let mut client = Client::connect(&server, good).await;
    let (_, connack) = Client::try_connect(&server, connect(V5, "a")).await;
    assert_eq!(connack.reason_code, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    client.assert_silent().await;
}
