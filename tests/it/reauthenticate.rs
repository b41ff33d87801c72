//! Enhanced authentication (MQTT 5.0, 4.12.1) again, while the connection lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate::broker::Options;
use tidegate::hook::{
    AuthenticateOutcome, AuthenticateVerdict, Authorization, AuthorizationVerdict, ConnectOverrides,
    DisconnectCause, Reply, What,
};
use tidegate::packet::{Auth, Connect, Packet, ReasonCode};
use tokio::time::{Instant, sleep};

use crate::support::authentication::*;
use crate::support::*;

fn local() -> Local {
    Local::hooked(Options::default(), script().shared())
}

async fn client(local: &Local) -> Client {
    local.connect(asks("a", "ok")).await
}

/// A client that was challenged in its re-authentication.
async fn challenged(local: &Local) -> Client {
    let mut client = client(local).await;
    client.send_auth(AGAIN, "more").await;
    client.challenge().await;
    client
}

#[tokio::test(start_paused = true)]
async fn re_authentication_ends_with_auth_success_and_its_data() {
    // [MQTT-4.12.0-2], [MQTT-4.12.0-5]
    let mut client = client(&local()).await;
    for _ in 0..3 {
        client.send_auth(AGAIN, "more").await;
        for round in ["1", "2"] {
            assert_eq!(client.challenge().await.authentication_data.as_deref(), Some(round.as_bytes()));
            client.send_auth(CONTINUE, if round == "2" { "ok" } else { "more" }).await;
        }
        let success = client.auth(ReasonCode::SUCCESS).await;
        assert_eq!(success.authentication_data.as_deref(), Some(&b"welcome"[..]));
        client.send_auth(AGAIN, "ok-bare").await;
        assert_eq!(client.auth(ReasonCode::SUCCESS).await.authentication_data, None);
    }
    client.ping().await;
}

#[tokio::test(start_paused = true)]
async fn other_packets_are_handled_while_a_challenge_waits_for_its_answer() {
    // MQTT 5.0, 4.12.1: "the flow of other packets … can continue using the previous authentication"
    let local = local();
    let mut other = local.connect(connect(V5, "other")).await;
    let mut client = challenged(&local).await;
    client.subscribe("t", QOS2).await;
    assert_eq!(other.publish("t", "from another", QOS1).await, ReasonCode::SUCCESS);
    assert_eq!(client.payloads(1).await, ["from another"]);
    client.ping().await;
    client.unsubscribe(&["t"]).await;
    assert_eq!(client.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    client.send_auth(CONTINUE, "ok").await;
    client.auth(ReasonCode::SUCCESS).await;
}

#[tokio::test(start_paused = true)]
async fn messages_reach_the_client_while_a_hook_thinks() {
    let gate = Gate::default();
    let held = gate.clone();
    let script = script().on_authenticate(move |context| {
        let outcome = outcome(step(&context));
        if context.connect.is_some() { outcome.into() } else { held.hold(outcome) }
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut other = local.connect(connect(V5, "other")).await;
    let mut client = client(&local).await;
    client.subscribe("t", QOS0).await;
    client.send_auth(AGAIN, "ok").await;
    gate.reached().await;
    other.publish("t", "meanwhile", QOS0).await;
    assert_eq!(client.payloads(1).await, ["meanwhile"]);
    gate.open();
    client.auth(ReasonCode::SUCCESS).await;
}

#[tokio::test(start_paused = true)]
async fn a_re_authentication_that_fails_ends_the_connection_with_disconnect() {
    // [MQTT-4.12.1-2]
    let script = script().on_authenticate(|context| talkative(step(&context)).into()).shared();
    let local = Local::hooked(Options::default(), script.clone());
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    for (data, expected) in [
        ("no", ReasonCode::NOT_AUTHORIZED),
        // 0x86 has no place in DISCONNECT.
        ("bad", ReasonCode::NOT_AUTHORIZED),
    ] {
        let mut client = local.connect(with_will(asks("a", "ok"), will("will", "gone"))).await;
        client.send_auth(AGAIN, "more").await;
        client.challenge().await;
        client.send_auth(CONTINUE, data).await;
        let farewell = client.farewell().await.expect("DISCONNECT");
        assert_eq!(farewell.reason_code, expected);
        assert_eq!(farewell.reason_string.as_deref(), Some("because"));
        assert_eq!(witness.payloads(1).await, ["gone"]);
    }
    let by_hook = |what: &What| matches!(what, What::ClientDisconnected { cause: DisconnectCause::Hook, .. });
    assert_eq!(script.count(by_hook), 2);
}

#[tokio::test(start_paused = true)]
async fn a_re_authentication_by_another_method_is_a_protocol_error() {
    // [MQTT-4.12.1-1], [MQTT-4.12.0-5]
    let local = local();
    for method in ["m", "SCRAM-SHA-256", ""] {
        let other = |reason_code| Auth {
            authentication_method: Some(method.to_string().into()),
            ..auth(reason_code, "ok")
        };
        let mut at_once = client(&local).await;
        at_once.send(Packet::Auth(Box::new(other(AGAIN)))).await;
        assert_eq!(at_once.end().await, Some(ReasonCode::PROTOCOL_ERROR));
        let mut later = challenged(&local).await;
        later.send(Packet::Auth(Box::new(other(CONTINUE)))).await;
        assert_eq!(later.end().await, Some(ReasonCode::PROTOCOL_ERROR));
    }
    assert_eq!(local.broker.statistics().protocol_errors, 6);
}

#[tokio::test(start_paused = true)]
async fn auth_out_of_turn_is_a_protocol_error() {
    // [MQTT-4.12.0-3], [MQTT-3.15.2-1]
    let local = local();
    for (wrong, under_way) in [
        (auth(CONTINUE, "ok"), false),
        (auth(ReasonCode::SUCCESS, "ok"), false),
        (Auth { authentication_method: None, ..auth(AGAIN, "ok") }, false),
        (Auth::default(), false),
        (auth(AGAIN, "ok"), true),
        (auth(ReasonCode::SUCCESS, "ok"), true),
        (Auth { authentication_method: None, authentication_data: None, ..auth(CONTINUE, "") }, true),
    ] {
        let mut client = if under_way { challenged(&local).await } else { client(&local).await };
        client.send(Packet::Auth(Box::new(wrong.clone()))).await;
        assert_eq!(client.end().await, Some(ReasonCode::PROTOCOL_ERROR), "{wrong:?} {under_way}");
    }
}

#[tokio::test(start_paused = true)]
async fn auth_with_flags_is_malformed() {
    // [MQTT-3.15.1-1]
    let local = local();
    for flags in [1, 2, 4, 8] {
        let mut client = client(&local).await;
        client.send_bytes(&[0xF0 | flags, 6, 0x19, 4, 0x15, 0, 1, b'M']).await;
        assert_eq!(client.end().await, Some(ReasonCode::MALFORMED_PACKET));
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_by_re_authentication_and_only_by_that() {
    let local = Arc::new(std::sync::OnceLock::<Arc<tidegate::broker::Broker>>::new());
    let clock = local.clone();
    let script = script().on_authenticate(move |context| {
        let now = clock.get().unwrap().now();
        let expires_at = (context.data.map(Bytes::as_ref) == Some(b"ok")).then(|| now.after_secs(100));
        let overrides = ConnectOverrides { expires_at, ..ConnectOverrides::default() };
        AuthenticateOutcome { overrides, ..outcome(step(&context)) }.into()
    });
    let served = Local::hooked(Options::default(), script.shared());
    local.set(served.broker.clone()).ok().unwrap();
    let mut client = client(&served).await;
    for _ in 0..3 {
        sleep(Duration::from_secs(90)).await;
        client.authenticate_again().await;
    }
    let renewed = Instant::now();
    client.send_auth(AGAIN, "ok-bare").await;
    client.auth(ReasonCode::SUCCESS).await;
    sleep(Duration::from_secs(99)).await;
    client.ping().await;
    assert_eq!(client.end().await, Some(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(renewed.elapsed().as_secs(), 100, "who sets no new end leaves the old one");
}

#[tokio::test(start_paused = true)]
async fn a_re_authentication_has_to_come_to_its_end_in_time_however_busy_the_client_is() {
    let options = Options { connect_timeout: Duration::from_secs(5), ..Options::default() };
    let script = script().shared();
    let local = Local::hooked(options, script.clone());
    let mut client = challenged(&local).await;
    let begun = Instant::now();
    sleep(Duration::from_secs(3)).await;
    client.send_auth(CONTINUE, "more").await;
    client.challenge().await;
    sleep(Duration::from_secs(1)).await;
    client.ping().await;
    assert_eq!(client.end().await, Some(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(begun.elapsed().as_secs(), 5);
    let expired = |what: &What| {
        matches!(what, What::ClientDisconnected { cause: DisconnectCause::AuthenticationExpired, .. })
    };
    assert_eq!(script.count(expired), 1);
    // One that answers in time is not disturbed later.
    let mut client = challenged(&local).await;
    client.send_auth(CONTINUE, "ok").await;
    client.auth(ReasonCode::SUCCESS).await;
    sleep(Duration::from_secs(60)).await;
    client.authenticate_again().await;
}

#[tokio::test(start_paused = true)]
async fn rounds_of_each_re_authentication_are_counted() {
    let options = Options { maximum_authentication_rounds: 2, ..Options::default() };
    let local = Local::hooked(options, script().shared());
    let mut client = client(&local).await;
    for last in ["ok", "ok", "more"] {
        client.send_auth(AGAIN, "more").await;
        client.challenge().await;
        client.send_auth(CONTINUE, "more").await;
        client.challenge().await;
        client.send_auth(CONTINUE, last).await;
        if last == "ok" {
            client.auth(ReasonCode::SUCCESS).await;
        }
    }
    assert_eq!(client.end().await, Some(ReasonCode::QUOTA_EXCEEDED));
    assert_eq!(local.broker.statistics().limit_authentication_rounds, 1);
}

#[tokio::test(start_paused = true)]
async fn auth_says_why_only_to_clients_that_want_to_know_and_have_room() {
    // [MQTT-3.1.2-29], [MQTT-3.15.2-2], [MQTT-3.15.2-3]
    let script = script().on_authenticate(|context| match context.connect {
        Some(_) => outcome(step(&context)).into(),
        None => talkative(step(&context)).into(),
    });
    let local = Local::hooked(Options::default(), script.shared());
    let told = (Some("because".into()), 1);
    for (connect, expected) in [
        (asks("a", "ok-bare"), told),
        (Connect { request_problem_information: false, ..asks("a", "ok-bare") }, (None, 0)),
        (Connect { maximum_packet_size: Some(45), ..asks("a", "ok-bare") }, (None, 1)),
        (Connect { maximum_packet_size: Some(30), ..asks("a", "ok-bare") }, (None, 0)),
    ] {
        let mut client = local.connect(connect).await;
        for (data, reason_code) in [("more", CONTINUE), ("ok", ReasonCode::SUCCESS)] {
            let begins = reason_code == CONTINUE;
            client.send_auth(if begins { AGAIN } else { CONTINUE }, data).await;
            let auth = client.auth(reason_code).await;
            assert_eq!((auth.reason_string, auth.user_properties.len()), expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn auth_that_the_client_cannot_take_ends_the_connection() {
    // [MQTT-3.1.2-24]
    let script = script().on_authenticate(|context| {
        let size = if context.connect.is_some() { 1 } else { 100 };
        outcome(AuthenticateVerdict::Allow(Some(vec![b'x'; size].into()))).into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    let connect = Connect { maximum_packet_size: Some(100), ..asks("a", "ok") };
    let mut client = local.connect(connect).await;
    client.send_auth(AGAIN, "ok").await;
    assert_eq!(client.end().await, Some(ReasonCode::PACKET_TOO_LARGE));
}

#[tokio::test(start_paused = true)]
async fn what_was_allowed_before_is_asked_again_after_a_re_authentication() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let script = script().on_authorize(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Authorization { verdict: AuthorizationVerdict::Allow, cache: Duration::from_secs(3600) }.into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut client = client(&local).await;
    for expected in [1, 2, 3] {
        client.publish("t", "x", QOS1).await;
        client.publish("t", "x", QOS1).await;
        assert_eq!(asked.load(Ordering::Relaxed), expected);
        client.authenticate_again().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_can_let_a_client_succeed_and_go() {
    let script = script().on_authenticate(|context| {
        let close = context.connect.is_none().then_some(ReasonCode::USE_ANOTHER_SERVER);
        let reply = Reply { close, server_reference: Some("other:1883".into()), ..Reply::default() };
        AuthenticateOutcome { reply: Some(Box::new(reply)), ..outcome(step(&context)) }.into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut client = client(&local).await;
    client.authenticate_again().await;
    let farewell = client.farewell().await.expect("DISCONNECT");
    assert_eq!(farewell.reason_code, ReasonCode::USE_ANOTHER_SERVER);
    assert_eq!(farewell.server_reference.as_deref(), Some("other:1883"));
}
