//! What the broker counts besides its limits: traffic, connections and how they end, sessions and what they hold.

use bytes::BytesMut;
use tidegate::broker::{Options, Statistics};
use tidegate::hook::{ConnectOutcome, ConnectVerdict};
use tidegate::packet::{Ack, Connect, Packet, Publish, ReasonCode, encode};
use tidegate::session::Overflow;

use crate::support::client::id;
use crate::support::*;

fn len(packet: &Packet) -> u64 {
    let mut bytes = BytesMut::new();
    encode(packet, V5, &mut bytes).unwrap();
    bytes.len() as u64
}

#[tokio::test(start_paused = true)]
async fn packets_and_bytes_are_counted_in_both_directions() {
    let local = Local::start();
    let (mut client, _) = local.open(V5);
    let qos2 = Publish { qos: QOS2, packet_identifier: Some(id(7)), ..publish("t", "12345") };
    let again = Publish { dup: true, ..qos2.clone() };
    let ack = |n| Ack::new(id(n), ReasonCode::SUCCESS);
    let (mut sent, mut received) = (0, 0);
    for (packet, answers) in [
        (Packet::Connect(Box::new(connect(V5, "a"))), 1),
        (Packet::Pingreq, 1),
        (Packet::Publish(qos2), 1),
        (Packet::Publish(again), 1),
        (Packet::Pubrel(ack(7)), 1),
        (Packet::Publish(publish("t", "67")), 0),
        (Packet::Pingreq, 1),
    ] {
        sent += len(&packet);
        client.send(packet).await;
        for _ in 0..answers {
            received += len(&client.receive().await);
        }
    }
    let s = local.broker.statistics();
    assert_eq!((s.packets_received, s.packets_sent), (7, 6));
    assert_eq!((s.bytes_received, s.bytes_sent), (sent, received));
    assert_eq!((s.publishes_received, s.messages_received, s.messages_sent), (3, 2, 0));
    assert_eq!((s.payload_bytes_received, s.payload_bytes_sent), (12, 0));
    assert_eq!((s.connects_received, s.connections_accepted), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn messages_to_clients_are_counted_with_their_payloads() {
    let local = Local::start();
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let before = local.broker.statistics();
    let mut sender = local.connect(connect(V5, "sender")).await;
    let mut received = 0;
    // The second is so large that it is not copied.
    for (qos, size) in [(QOS0, 10), (QOS1, 10_000), (QOS2, 1)] {
        sender.publish("t", &"x".repeat(size), qos).await;
        received += len(&Packet::Publish(receiver.message().await));
    }
    receiver.ping().await;
    drop(sender);
    let s = local.broker.statistics();
    assert_eq!((s.messages_sent, s.payload_bytes_sent), (3, 10_011));
    let (pubrel, pingresp) = (4, 2);
    // What the sender was told: CONNACK, PUBACK, PUBREC, PUBCOMP.
    let sender = s.packets_sent - before.packets_sent - (3 + 2);
    assert_eq!(sender, 4);
    assert!(s.bytes_sent - before.bytes_sent > received + pubrel + pingresp);
}

#[tokio::test(start_paused = true)]
async fn what_sessions_hold_is_known_and_comes_to_nothing_in_the_end() {
    let local = Local::with(Options { maximum_inflight: 2, ..Options::default() });
    let mut sender = local.connect(connect(V5, "sender")).await;
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    receiver.subscribe("$share/g/u", QOS2).await;
    for qos in [QOS1, QOS2, QOS1, QOS2, QOS1] {
        sender.publish("t", &"x".repeat(1000), qos).await;
    }
    receiver.ping_while_messages_come().await;
    let s = local.broker.statistics();
    assert_eq!((s.sessions, s.connected, s.connected_maximum), (2, 2, 2));
    assert_eq!((s.subscriptions, s.shared_subscriptions), (2, 1));
    assert_eq!((s.in_flight_messages, s.queued_messages), (2, 3));
    assert!((2000..3000).contains(&s.in_flight_bytes), "{}", s.in_flight_bytes);
    assert!((3000..4500).contains(&s.queued_bytes), "{}", s.queued_bytes);
    // A message that the client has is not held any more, though its identifier still is.
    receiver.next_publish().await;
    let qos2 = receiver.next_publish().await.packet_identifier.unwrap();
    receiver.send(Packet::Pubrec(Ack::new(qos2, ReasonCode::SUCCESS))).await;
    receiver.ping_while_messages_come().await;
    let s = local.broker.statistics();
    assert_eq!((s.in_flight_messages, s.queued_messages), (2, 3));
    assert!((1000..1500).contains(&s.in_flight_bytes), "{}", s.in_flight_bytes);
    drop(receiver);
    until(|| local.broker.statistics().connected == 1).await;
    assert_eq!(local.broker.statistics().queued_messages, 3);
    assert!(local.broker.delete_session("receiver"));
    let s = local.broker.statistics();
    let held = [s.queued_messages, s.queued_bytes, s.in_flight_messages, s.in_flight_bytes];
    assert_eq!((s.sessions, s.subscriptions, s.shared_subscriptions, held), (1, 0, 0, [0; 4]));
    assert_eq!((s.connected_maximum, s.sessions_created), (2, 2));
    // Three that waited and one that was not acknowledged.
    assert_eq!(s.dropped_session_ended, 4);
}

#[tokio::test(start_paused = true)]
async fn what_gives_way_in_a_queue_is_held_no_longer() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let options = Options { maximum_queued_messages: 3, overflow, ..Options::default() };
        let local = Local::with(options);
        let mut absent = local.connect(persistent(V5, "absent")).await;
        absent.subscribe("t", QOS1).await;
        absent.disconnect().await;
        let mut sender = local.connect(connect(V5, "sender")).await;
        for _ in 0..10 {
            sender.publish("t", &"x".repeat(1000), QOS1).await;
        }
        let s = local.broker.statistics();
        assert_eq!((s.queued_messages, s.dropped_queue_full), (3, 7));
        assert!((3000..4500).contains(&s.queued_bytes), "{}", s.queued_bytes);
        // Its successor takes them all.
        let mut receiver = local.connect(persistent(V5, "absent")).await;
        receiver.payloads(3).await;
        receiver.ping().await;
        let s = local.broker.statistics();
        assert_eq!([s.queued_messages, s.queued_bytes, s.in_flight_messages, s.in_flight_bytes], [0; 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_causes_of_refusals_come_to_all_refusals() {
    let script = Script::default().on_connect(|context| {
        let denied = &*context.client.client_identifier == "denied";
        let verdict = if denied { ConnectVerdict::Deny(ReasonCode::BANNED) } else { ConnectVerdict::Allow };
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    let refused = local.try_connect(connect(V5, "denied")).await.1;
    assert_eq!(refused.reason_code, ReasonCode::BANNED);
    let hello = &[0x16, 3, 1, 2, 0, 1, 0][..];
    for bytes in [&[0xC0, 0][..], &[0x10, 20, 0, 4, b'M', b'Q'], &[0x10, 2, 0xFF, 0xFF], hello, b"GET / HTTP"]
    {
        let (mut client, _) = local.open(V311);
        client.send_bytes(bytes).await;
        if bytes.len() == 6 {
            // Half of a CONNECT, and nothing more to come.
            drop(client);
        } else {
            assert_eq!(client.last_packet().await, None);
        }
    }
    let nameless = Connect { clean_start: false, ..connect(V311, "") };
    assert!(local.try_connect(nameless).await.1.reason_code.is_error());
    until(|| local.broker.statistics().connections_refused == 7).await;
    let s = local.broker.statistics();
    let causes =
        [s.refused_not_authorized, s.refused_malformed, s.refused_gone, s.refused_foreign, s.refused_other];
    assert_eq!((causes, s.connections_accepted), ([1, 2, 1, 2, 1], 7));
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_connections_are_counted_by_their_cause() {
    let local = Local::start();
    local.connect(connect(V5, "1")).await.disconnect().await;
    drop(local.connect(connect(V5, "2")).await);
    let mut kicked = local.connect(connect(V5, "3")).await;
    assert!(local.broker.disconnect("3", ReasonCode::ADMINISTRATIVE_ACTION));
    kicked.last_packet().await;
    let mut wrong = local.connect(connect(V5, "4")).await;
    wrong.send(Packet::Connect(Box::new(connect(V5, "4")))).await;
    wrong.last_packet().await;
    let mut taken = local.connect(persistent(V5, "5")).await;
    let mut new = local.connect(persistent(V5, "5")).await;
    taken.last_packet().await;
    local.broker.end_all_connections();
    new.last_packet().await;
    until(|| local.broker.statistics().ended_by_network == 1).await;
    let s = local.broker.statistics();
    let ends: [(&str, u64, u64); 6] = [
        ("client", s.ended_by_client, 1),
        ("network", s.ended_by_network, 1),
        ("request", s.ended_by_request, 1),
        ("protocol", s.protocol_errors, 1),
        ("takeover", s.takeovers, 1),
        ("shutdown", s.ended_by_shutdown, 1),
    ];
    for (cause, counted, expected) in ends {
        assert_eq!(counted, expected, "{cause}");
    }
    assert_eq!((s.connected, s.connected_maximum, s.sessions), (0, 1, 1));
}

#[tokio::test]
async fn connections_of_several_threads_are_counted_together() {
    // Each thread counts for itself.
    let server = start().await;
    let mut clients = Vec::new();
    for n in 0..8 {
        let mut client = Client::connect(&server, connect(V5, &n.to_string())).await;
        client.subscribe("t", QOS0).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.publish("t", "x", QOS0).await;
    }
    for client in &mut clients {
        client.payloads(8).await;
    }
    let s: Statistics = server.statistics();
    assert_eq!((s.connected, s.messages_received, s.messages_sent, s.queued_messages), (8, 8, 64, 0));
}
