//! The guards of an open port: who is turned away, with which Reason Code, and what is counted.

use std::time::Duration;

use bytes::BytesMut;
use tidegate::broker::guard::{DoorLimits, GuardOptions, PublishLimits, RateAction};
use tidegate::broker::{Options, Statistics};
use tidegate::hook::{ConnectContext, ConnectOutcome, ConnectVerdict};
use tidegate::packet::{Connect, Packet, ReasonCode, encode};
use tidegate::server::{ListenerOptions, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, advance, sleep};

use crate::support::*;

/// For tests whose clients come from loopback as from anywhere.
fn strict() -> GuardOptions {
    GuardOptions { exempt: Vec::new(), ..GuardOptions::default() }
}

fn options(guard: GuardOptions) -> Options {
    Options { guard, ..Options::default() }
}

async fn start_guarded(guard: GuardOptions, limits: DoorLimits) -> Server {
    let listener = ListenerOptions { limits, ..ListenerOptions::loopback(0) };
    Server::builder().workers(2).options(options(guard)).listener(listener).start().await.unwrap()
}

/// Lets in who has the password `right`.
fn password() -> Script {
    Script::default().on_connect(|context: ConnectContext<'_>| {
        let fits = context.connect.password.as_deref() == Some(b"right");
        let verdict = if fits {
            ConnectVerdict::Allow
        } else {
            ConnectVerdict::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD)
        };
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    })
}

fn as_user(client: &str, user: &str, password: &'static str) -> Connect {
    Connect {
        user_name: Some(user.to_string().into()),
        password: Some(password.as_bytes().into()),
        ..connect(V5, client)
    }
}

async fn refusal(server: &Server, version: tidegate::packet::ProtocolVersion) -> ReasonCode {
    let (mut client, connack) = Client::try_connect(server, connect(version, "refused")).await;
    assert_eq!(client.receive_or_end().await, None);
    connack.reason_code
}

#[tokio::test]
async fn who_comes_beyond_a_limit_is_told_so_and_counted() {
    type Field = fn(&Statistics) -> u64;
    let none = DoorLimits { connections: 0, connection_rate: 0, ..DoorLimits::default() };
    let second = Duration::from_secs(1);
    let table: [(GuardOptions, DoorLimits, ReasonCode, Field); 4] = [
        (
            GuardOptions { connections_per_address: 1, ..strict() },
            none.clone(),
            ReasonCode::QUOTA_EXCEEDED,
            |s| s.limit_connections_per_address,
        ),
        (strict(), DoorLimits { connections: 1, ..none.clone() }, ReasonCode::QUOTA_EXCEEDED, |s| {
            s.limit_listener_connections
        }),
        (
            // One per second hundred times as slow as the test.
            GuardOptions { connection_rate_per_address: 1, connection_burst: second / 10, ..strict() },
            none.clone(),
            ReasonCode::CONNECTION_RATE_EXCEEDED,
            |s| s.limit_connection_rate_per_address,
        ),
        (
            GuardOptions { connection_burst: second / 10, ..strict() },
            DoorLimits { connection_rate: 1, ..none },
            ReasonCode::CONNECTION_RATE_EXCEEDED,
            |s| s.limit_listener_connection_rate,
        ),
    ];
    for (guard, limits, reason, field) in table {
        let server = start_guarded(guard, limits).await;
        let mut first = Client::connect(&server, connect(V5, "first")).await;
        assert_eq!(refusal(&server, V5).await, reason);
        let told = refusal(&server, V311).await;
        assert!(told.is_error(), "{told}");
        first.ping().await;
        let statistics = server.statistics();
        assert_eq!((field(&statistics), statistics.connections_refused), (2, 2), "{reason}");
    }
}

#[tokio::test]
async fn an_exempt_address_meets_none_of_the_limits_of_addresses() {
    let guard = GuardOptions {
        connections_per_address: 1,
        connection_rate_per_address: 1,
        ..GuardOptions::default()
    };
    let server = start_guarded(guard, DoorLimits { connection_rate: 1, ..DoorLimits::default() }).await;
    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(Client::connect(&server, connect(V5, &n.to_string())).await);
    }
    assert_eq!(server.statistics().connections_refused, 0);
    assert_eq!(server.statistics().remembered_addresses, 0);
}

#[tokio::test]
async fn one_that_says_nothing_gives_way_to_one_that_comes() {
    let guard = GuardOptions { pending_connections: 3, ..strict() };
    let server = start_guarded(guard, DoorLimits::default()).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(Client::open(&server, V5).await);
    }
    until(|| server.statistics().pending_connections == 3).await;
    for round in 0..3 {
        let mut client = Client::connect(&server, connect(V5, &round.to_string())).await;
        client.ping().await;
        // Each that is let in makes room for the next: only one had to go.
        assert_eq!(silent[0].receive_or_end().await, None);
    }
    until(|| server.statistics().pending_connections == 2).await;
    let statistics = server.statistics();
    assert_eq!((statistics.limit_pending_connections, statistics.connections_refused), (1, 1));
}

#[tokio::test]
async fn where_all_who_wait_have_said_connect_a_further_one_is_told_that_the_server_is_busy() {
    let gate = Gate::default();
    let held = gate.clone();
    let script = Script::default().on_connect(move |_| held.hold(ConnectOutcome::default())).shared();
    let builder = Server::builder().workers(2).hooks(script).listener(ListenerOptions::loopback(0));
    let guard = GuardOptions { pending_connections: 1, ..strict() };
    let server = builder.options(options(guard)).start().await.unwrap();
    let mut waits = Client::open(&server, V5).await;
    waits.send(Packet::Connect(Box::new(connect(V5, "waits")))).await;
    gate.reached().await;
    assert_eq!(refusal(&server, V5).await, ReasonCode::SERVER_BUSY);
    gate.open();
    assert!(matches!(waits.receive().await, Packet::Connack(it) if it.reason_code == ReasonCode::SUCCESS));
    assert_eq!(server.statistics().limit_pending_connections, 1);
}

#[tokio::test]
async fn parts_of_connect_packets_hold_no_more_than_they_may() {
    let guard = GuardOptions { pending_bytes: 40_000, ..strict() };
    let server = start_guarded(guard, DoorLimits::default()).await;
    // A CONNECT of 60,000 bytes, of which half comes.
    let beginning = [&[0x10, 0xe0, 0xd4, 0x03][..], &[0; 30_000]].concat();
    let mut first = Client::open(&server, V5).await;
    first.send_bytes(&beginning).await;
    until(|| server.statistics().bytes_received >= 30_000).await;
    let mut second = Client::open(&server, V5).await;
    second.send_bytes(&beginning).await;
    assert_eq!(second.receive_or_end().await, None);
    assert_eq!(server.statistics().limit_pending_bytes, 1);
    // A whole one is not held up.
    Client::connect(&server, connect(V5, "whole")).await.ping().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_is_shut_out_after_failed_logins_and_let_in_when_its_time_is_over() {
    // MQTT 5.0, 3.2.2.2: 0x8A; 3.1.1 has 5, not authorized.
    let local = Local::hooked(options(GuardOptions { failed_logins: 3, ..strict() }), password().shared());
    for _ in 0..3 {
        let (_, connack) = local.try_connect(as_user("a", "ada", "wrong")).await;
        assert_eq!(connack.reason_code, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
    let (_, connack) = local.try_connect(as_user("a", "ada", "right")).await;
    assert_eq!(connack.reason_code, ReasonCode::BANNED);
    local.connect(as_user("b", "bob", "right")).await.ping().await;
    let statistics = local.broker.statistics();
    assert_eq!((statistics.limit_failed_logins, statistics.refused_banned, statistics.bans), (1, 1, 1));
    assert_eq!(statistics.refused_not_authorized, 3);
    advance(Duration::from_secs(60)).await;
    local.connect(as_user("a", "ada", "right")).await.ping().await;
    assert_eq!(local.broker.statistics().bans, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_about_something_else_counts_as_no_failed_login() {
    let busy = Script::default().on_connect(|_| {
        let verdict = ConnectVerdict::Deny(ReasonCode::SERVER_BUSY);
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    });
    let guard = GuardOptions { failed_logins: 2, failed_logins_per_address: 2, ..strict() };
    let local = Local::hooked(options(guard), busy.shared());
    for _ in 0..10 {
        let (_, connack) = local.try_connect(connect(V5, "a")).await;
        assert_eq!(connack.reason_code, ReasonCode::SERVER_BUSY);
    }
    assert_eq!(local.broker.statistics().bans, 0);
}

#[tokio::test]
async fn an_address_that_is_shut_out_is_turned_away_before_it_says_anything() {
    let guard = GuardOptions { failed_logins_per_address: 2, ..strict() };
    let server = start_hooked(options(guard), &password().shared()).await;
    let mut inside = Client::connect(&server, as_user("in", "in", "right")).await;
    for name in ["a", "b"] {
        let (_, connack) = Client::try_connect(&server, as_user(name, name, "wrong")).await;
        assert_eq!(connack.reason_code, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
    assert_eq!(refusal(&server, V5).await, ReasonCode::BANNED);
    // Who is in stays in.
    inside.ping().await;
    assert_eq!(server.statistics().limit_failed_logins_per_address, 1);
    let guard = server.broker().guard();
    assert_eq!(guard.lift_bans("127.0.0.1".parse().unwrap()), 1);
    Client::connect(&server, as_user("c", "c", "right")).await.ping().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_and_goes_is_told_that_it_comes_too_often() {
    // MQTT 5.0, 3.2.2.2: 0x9F
    let local = Local::with(options(GuardOptions { flapping_connects: 3, ..strict() }));
    for _ in 0..3 {
        local.connect(connect(V5, "flaps")).await.disconnect().await;
    }
    let (_, connack) = local.try_connect(connect(V5, "flaps")).await;
    assert_eq!(connack.reason_code, ReasonCode::CONNECTION_RATE_EXCEEDED);
    local.connect(connect(V5, "calm")).await.ping().await;
    let statistics = local.broker.statistics();
    assert_eq!((statistics.limit_flapping, statistics.refused_flapping), (1, 1));
    advance(Duration::from_secs(60)).await;
    local.connect(connect(V5, "flaps")).await.ping().await;
}

fn rates(messages: u64, bytes: u64, action: RateAction) -> GuardOptions {
    let client_publishes = PublishLimits { messages, bytes };
    GuardOptions { client_publishes, publish_rate_action: action, ..GuardOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn who_publishes_too_fast_is_read_later_and_loses_nothing() {
    // A keep-alive that is shorter than the pause does not end the connection.
    for (guard, payload) in
        [(rates(10, 0, RateAction::Delay), 1), (rates(0, 10_000, RateAction::Delay), 1000)]
    {
        let local = Local::with(options(guard));
        let mut receiver = local.connect(connect(V5, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        let mut sender = local.connect(Connect { keep_alive: 1, ..connect(V5, "sender") }).await;
        let begun = Instant::now();
        for n in 0..100 {
            let packet = publish("t", &format!("{n:payload$}"));
            sender.send(Packet::Publish(packet)).await;
        }
        sender.send(Packet::Pingreq).await;
        for n in 0..100 {
            assert_eq!(text(&receiver.next_publish().await).trim(), n.to_string());
        }
        let answer = sender.receive_or_end_for(Duration::from_secs(60)).await;
        assert_eq!(answer, Some(Packet::Pingresp));
        let limited = local.broker.statistics().limit_publish_rate;
        assert!(limited > 0, "{limited} after {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_one_go_is_not_taken_faster_than_the_rate_allows() {
    // All that a read took was published before anything was charged.
    for guard in [rates(10, 0, RateAction::Delay), rates(0, 20, RateAction::Delay)] {
        let local = Local::with(options(guard));
        let mut receiver = local.connect(connect(V5, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        let mut sender = local.connect(connect(V5, "sender")).await;
        let mut bytes = BytesMut::new();
        for _ in 0..100 {
            encode(&Packet::Publish(publish("t", "x")), V5, &mut bytes).unwrap();
        }
        let begun = Instant::now();
        sender.send_bytes(&bytes).await;
        for _ in 0..100 {
            receiver.next_publish().await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        assert!((8.5..10.0).contains(&seconds), "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_over_a_minute() {
    let local = Local::with(options(rates(100, 0, RateAction::Delay)));
    let mut sender = local.connect(connect(V5, "sender")).await;
    let begun = Instant::now();
    for _ in 0..6000 {
        let ack = sender.next_identifier();
        let packet =
            tidegate::packet::Publish { qos: QOS1, packet_identifier: Some(ack), ..publish("t", "x") };
        sender.send(Packet::Publish(packet)).await;
        let answer = sender.receive_or_end_for(Duration::from_secs(60)).await;
        assert!(matches!(answer, Some(Packet::Puback(_))), "{answer:?}");
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!((57.0..61.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn who_publishes_too_fast_is_disconnected_where_that_is_configured() {
    // MQTT 5.0, 3.14.2.1: 0x96
    let local = Local::with(options(rates(10, 0, RateAction::Disconnect)));
    for version in VERSIONS {
        let mut sender = local.connect(connect(version, "sender")).await;
        for _ in 0..12 {
            sender.send(Packet::Publish(publish("t", "x"))).await;
        }
        let told = (version == V5).then_some(ReasonCode::MESSAGE_RATE_TOO_HIGH);
        assert_eq!(sender.end().await, told);
    }
    assert_eq!(local.broker.statistics().limit_publish_rate, 2);
}

/// All clients together may publish 100 messages a second, and are disconnected for more.
async fn start_with_shared_rate() -> Server {
    let publishes = PublishLimits { messages: 100, bytes: 0 };
    let limits = DoorLimits { publishes, ..DoorLimits::default() };
    start_guarded(GuardOptions { publish_rate_action: RateAction::Disconnect, ..strict() }, limits).await
}

#[tokio::test]
async fn all_clients_of_a_listener_share_its_rate() {
    let server = start_with_shared_rate().await;
    let mut one = Client::connect(&server, connect(V5, "one")).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    let mut third = Client::connect(&server, connect(V5, "third")).await;
    for client in [&mut one, &mut other] {
        for _ in 0..50 {
            client.send(Packet::Publish(publish("t", "x"))).await;
        }
        client.ping().await;
    }
    for _ in 0..20 {
        third.send(Packet::Publish(publish("t", "x"))).await;
    }
    assert_eq!(third.end().await, Some(ReasonCode::MESSAGE_RATE_TOO_HIGH));
    one.ping().await;
}

#[tokio::test]
async fn what_was_published_right_before_disconnect_counts_for_the_listener_too() {
    // Who said DISCONNECT in the same go was charged nothing, and the next found the whole burst.
    let server = start_with_shared_rate().await;
    let mut bytes = BytesMut::new();
    for _ in 0..50 {
        encode(&Packet::Publish(publish("t", "x")), V5, &mut bytes).unwrap();
    }
    bytes.extend_from_slice(&[0xe0, 0]);
    for name in ["one", "other"] {
        let mut client = Client::connect(&server, connect(V5, name)).await;
        client.send_bytes(&bytes).await;
        assert_eq!(client.end().await, None);
    }
    let mut third = Client::connect(&server, connect(V5, "third")).await;
    for _ in 0..20 {
        third.send(Packet::Publish(publish("t", "x"))).await;
    }
    assert_eq!(third.end().await, Some(ReasonCode::MESSAGE_RATE_TOO_HIGH));
}

#[tokio::test]
async fn who_goes_on_sending_after_disconnect_is_hung_up_on_and_keeps_nobody_waiting() {
    let server = start_guarded(strict(), DoorLimits::default()).await;
    let mut sender = TcpStream::connect(server.addresses()[0]).await.unwrap();
    let mut bytes = BytesMut::new();
    encode(&Packet::Connect(Box::new(connect(V5, "sender"))), V5, &mut bytes).unwrap();
    bytes.extend_from_slice(&[0xe0, 0]);
    sender.write_all(&bytes).await.unwrap();
    let flood = async { while sender.write_all(&[0; 65_536]).await.is_ok() {} };
    let other = async {
        let mut other = Client::connect(&server, connect(V5, "other")).await;
        for _ in 0..20 {
            other.ping().await;
        }
    };
    let both = async { tokio::join!(flood, other) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("it is hung up on");
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_comes_or_goes_holds_for_who_is_connected() {
    let local = Local::with(options(rates(0, 0, RateAction::Disconnect)));
    let mut sender = local.connect(connect(V5, "sender")).await;
    let publish_and_ping = async |sender: &mut Client, count| {
        for _ in 0..count {
            sender.send(Packet::Publish(publish("t", "x"))).await;
        }
        sender.send(Packet::Pingreq).await;
    };
    publish_and_ping(&mut sender, 100).await;
    assert_eq!(sender.receive().await, Packet::Pingresp);
    for rate in [10, 0, 10] {
        local.broker.set_options(options(rates(rate, 0, RateAction::Disconnect)));
        sender.ping().await;
        publish_and_ping(&mut sender, 9).await;
        assert_eq!(sender.receive().await, Packet::Pingresp);
        advance(Duration::from_secs(1)).await;
    }
    for _ in 0..20 {
        sender.send(Packet::Publish(publish("t", "x"))).await;
    }
    assert_eq!(sender.end().await, Some(ReasonCode::MESSAGE_RATE_TOO_HIGH));
    assert_eq!(local.broker.statistics().limit_publish_rate, 1);
}

#[tokio::test]
async fn the_rate_of_a_listener_holds_for_who_came_by_it_before() {
    let guard = GuardOptions { publish_rate_action: RateAction::Disconnect, ..strict() };
    let server = start_guarded(guard, DoorLimits::default()).await;
    let mut before = Client::connect(&server, connect(V5, "before")).await;
    let publishes = PublishLimits { messages: 10, bytes: 0 };
    let limits = DoorLimits { publishes, ..DoorLimits::default() };
    let changed = ListenerOptions { limits, ..ListenerOptions::loopback(0) };
    assert!(server.change_listener(&changed).unwrap());
    before.ping().await;
    for _ in 0..20 {
        before.send(Packet::Publish(publish("t", "x"))).await;
    }
    assert_eq!(before.end().await, Some(ReasonCode::MESSAGE_RATE_TOO_HIGH));
}

#[tokio::test(start_paused = true)]
async fn a_packet_that_never_ends_ends_the_connection() {
    // A client that sends a byte now and then kept the connection and its memory for as long as it liked.
    let guard = GuardOptions { minimum_packet_rate: 1000, ..strict() };
    let local = Local::with(options(guard));
    let mut slow = local.connect(connect(V5, "slow")).await;
    // PUBLISH of 10,000 bytes: 30 seconds and 10 more.
    slow.send_bytes(&[0x30, 0x90, 0x4e, 0, 1, b't', 0]).await;
    let begun = Instant::now();
    while local.broker.statistics().limit_packet_time == 0 {
        sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        slow.send_bytes(b"x").await;
    }
    assert!((40..=42).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(slow.end().await, Some(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR));
}

#[tokio::test(start_paused = true)]
async fn a_packet_that_comes_in_time_may_come_in_pieces() {
    let local = Local::with(options(strict()));
    let mut slow = local.connect(connect(V5, "slow")).await;
    for _ in 0..10 {
        for byte in [0xc0, 0x00] {
            sleep(Duration::from_secs(25)).await;
            slow.send_bytes(&[byte]).await;
        }
        assert_eq!(slow.receive().await, Packet::Pingresp);
    }
    assert_eq!(local.broker.statistics().limit_packet_time, 0);
}

#[tokio::test(start_paused = true)]
async fn incomplete_packets_of_all_clients_hold_no_more_than_they_may() {
    let guard = GuardOptions { incomplete_bytes: 50_000, ..strict() };
    let local = Local::with(options(guard));
    let beginning = [&[0x30, 0xe0, 0xd4, 0x03, 0, 1, b't', 0][..], &[b'x'; 30_000]].concat();
    let mut first = local.connect(connect(V5, "first")).await;
    first.send_bytes(&beginning).await;
    until(|| local.broker.statistics().incomplete_bytes == 30_008).await;
    let mut second = local.connect(connect(V5, "second")).await;
    second.send_bytes(&beginning).await;
    assert_eq!(second.end().await, Some(ReasonCode::QUOTA_EXCEEDED));
    assert_eq!(local.broker.statistics().limit_incomplete_bytes, 1);
    // The first one's packet comes to its end, and holds nothing any more.
    first.send_bytes(&[b'x'; 29_996]).await;
    first.ping().await;
    until(|| local.broker.statistics().incomplete_bytes == 0).await;
}

#[tokio::test]
async fn guards_change_while_the_broker_runs() {
    let server = start_guarded(strict(), DoorLimits::default()).await;
    let _first = Client::connect(&server, connect(V5, "first")).await;
    let narrow = GuardOptions { connections_per_address: 1, ..strict() };
    server.broker().set_options(options(narrow.clone()));
    assert_eq!(refusal(&server, V5).await, ReasonCode::QUOTA_EXCEEDED);
    server
        .broker()
        .set_options(options(GuardOptions { exempt: vec!["127.0.0.1".parse().unwrap()], ..narrow }));
    Client::connect(&server, connect(V5, "second")).await.ping().await;
}
