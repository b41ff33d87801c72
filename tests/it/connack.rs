//! CONNACK: when it comes, what it says, and what comes of a client that is refused.

use tidegate::broker::Options;
use tidegate::hook::{ConnectOutcome, ConnectVerdict};
use tidegate::packet::{Ack, Connect, Packet, ProtocolVersion, Publish, ReasonCode, Subscribe, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{id, to};
use crate::support::*;

/// A script that lets in whose name begins with "good".
fn picky(reason: ReasonCode) -> Script {
    Script::default().on_connect(move |context| {
        let good = context.client.client_identifier.starts_with("good");
        let verdict = if good { ConnectVerdict::Allow } else { ConnectVerdict::Deny(reason) };
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    })
}

fn bytes_of(packets: &[Packet], version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    for packet in packets {
        encode(packet, version, &mut bytes).unwrap();
    }
    bytes.to_vec()
}

fn subscribe(filter: &str) -> Packet {
    let user_properties = Vec::new();
    let subscriptions = vec![to(filter, QOS1)];
    let packet =
        Subscribe { packet_identifier: id(9), subscription_identifier: None, user_properties, subscriptions };
    Packet::Subscribe(Box::new(packet))
}

#[tokio::test]
async fn connack_comes_first_and_once() {
    // [MQTT-3.2.0-1], [MQTT-3.2.0-2], [MQTT-3.1.4-5]; in 3.1.1 [MQTT-3.1.4-4]: whatever waits for the client
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, persistent(version, "a")).await;
        client.subscribe("t", QOS2).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        sender.publish("t", "in flight", QOS2).await;
        let sent = client.next_publish().await;
        client.disconnect().await;
        sender.publish("t", "queued", QOS1).await;
        // All of it in one write, without waiting for anything.
        let identifier = sent.packet_identifier.unwrap();
        let ack = Ack::new(identifier, ReasonCode::SUCCESS);
        let connect = Packet::Connect(Box::new(persistent(version, "a")));
        let mut client = Client::open(&server, version).await;
        let packets = [connect, Packet::Pubrec(ack), Packet::Pingreq];
        client.send_bytes(&bytes_of(&packets, version)).await;
        assert!(matches!(client.receive().await, Packet::Connack(connack) if connack.session_present));
        let mut queued = 0;
        let mut pongs = 0;
        while queued == 0 || pongs == 0 {
            match client.receive().await {
                Packet::Pubrel(pubrel) => assert_eq!(pubrel.packet_identifier, identifier),
                Packet::Publish(publish) => queued += usize::from(text(&publish) == "queued"),
                Packet::Pingresp => pongs += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pongs, 1);
        client.assert_silent().await;
        assert!(server.broker().delete_session("a"));
    }
}

#[tokio::test]
async fn connack_is_its_bytes_and_nothing_more() {
    // [MQTT-3.2.2-1], [MQTT-2.2.2-1], [MQTT-3.2.2-8]: no reserved flag, and a length of its properties
    let server = start().await;
    for version in VERSIONS {
        for present in [0, 1] {
            let mut client = Client::open(&server, version).await;
            let connect = Packet::Connect(Box::new(persistent(version, &format!("a-{version}"))));
            client.send_bytes(&bytes_of(&[connect, Packet::Pingreq], version)).await;
            let mut said = vec![0; 2];
            within(client.stream.read_exact(&mut said)).await.unwrap();
            let mut body = vec![0; usize::from(said[1])];
            within(client.stream.read_exact(&mut body)).await.unwrap();
            assert_eq!((said[0], &body[..2]), (0x20, &[present, 0][..]));
            match version {
                V5 => assert_eq!(usize::from(body[2]), body.len() - 3),
                _ => assert_eq!(body.len(), 2),
            }
            within(client.stream.read_exact(&mut said)).await.unwrap();
            assert_eq!(said, [0xD0, 0]);
            client.send_bytes(&[0xE0, 0]).await;
            until(|| server.broker().connected_count() == 0).await;
        }
    }
}

#[tokio::test]
async fn packets_without_properties_say_that_they_have_none() {
    // [MQTT-2.2.2-1], [MQTT-3.3.2-1]: the topic stands first
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.send_bytes(b"\x82\x07\x00\x01\x00\x00\x01t\x00").await;
    client.send_bytes(b"\x30\x05\x00\x01t\x00x").await;
    client.send_bytes(b"\xa2\x06\x00\x02\x00\x00\x01t").await;
    let expected = b"\x90\x04\x00\x01\x00\x00\x30\x05\x00\x01t\x00x\xb0\x04\x00\x02\x00\x00";
    let mut said = vec![0; expected.len()];
    within(client.stream.read_exact(&mut said)).await.unwrap();
    // The message and UNSUBACK may come in either order.
    said.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn every_name_of_letters_and_digits_up_to_23_is_let_in() {
    // [MQTT-3.1.3-5], [MQTT-3.1.3-2]: each with a session of its own
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let server = start().await;
    for version in VERSIONS {
        let alone = letters.chars().map(String::from);
        let names: Vec<String> = alone.chain((2..=23).map(|len| letters[30..30 + len].to_string())).collect();
        let mut clients = Vec::new();
        for name in &names {
            let mut client = Client::connect(&server, persistent(version, name)).await;
            client.subscribe(&format!("to/{name}"), QOS1).await;
            clients.push(client);
        }
        assert_eq!(server.broker().connected_count(), names.len());
        for name in &names {
            clients[0].publish(&format!("to/{name}"), name, QOS0).await;
        }
        for (client, name) in clients.iter_mut().zip(&names) {
            assert_eq!(client.payloads(1).await, std::slice::from_ref(name));
        }
        drop(clients);
        for name in &names {
            let (client, connack) = Client::try_connect(&server, persistent(version, name)).await;
            assert!(connack.session_present, "{name}");
            client.disconnect().await;
            assert!(server.broker().delete_session(name));
        }
    }
}

#[tokio::test]
async fn two_clients_without_a_name_do_not_get_in_each_others_way() {
    // [MQTT-3.1.3-6], [MQTT-3.2.2-16]; in 3.1.1 [MQTT-3.1.3-6]
    let server = start().await;
    for version in VERSIONS {
        let mut first = Client::connect(&server, connect(version, "")).await;
        let mut second = Client::connect(&server, connect(version, "")).await;
        for client in [&mut first, &mut second] {
            client.subscribe("t", QOS1).await;
        }
        first.publish("t", "both", QOS0).await;
        for client in [&mut first, &mut second] {
            assert_eq!(client.payloads(1).await, ["both"]);
        }
        assert_eq!(server.broker().session_count(), 2);
        first.disconnect().await;
        second.disconnect().await;
        until(|| server.broker().session_count() == 0).await;
    }
}

#[tokio::test]
async fn a_refused_name_is_told_so_and_the_connection_ends() {
    // [MQTT-3.1.3-8], [MQTT-3.2.2-7]; in 3.1.1 [MQTT-3.1.3-9], [MQTT-3.2.2-4], [MQTT-3.2.2-5]
    let server =
        start_hooked(Options::default(), &picky(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID).shared()).await;
    for version in VERSIONS {
        let (mut client, connack) = Client::try_connect(&server, persistent(version, "bad")).await;
        assert_eq!(connack.reason_code, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
        assert!(!connack.session_present);
        assert_eq!(client.receive_or_end().await, None);
    }
    assert_eq!(server.broker().session_count(), 0);
}

#[tokio::test]
async fn what_follows_a_refused_connect_is_not_acted_on() {
    // [MQTT-3.1.4-6]; in 3.1.1 [MQTT-3.1.4-5]
    let server = start_hooked(Options::default(), &picky(ReasonCode::NOT_AUTHORIZED).shared()).await;
    let mut witness = Client::connect(&server, connect(V5, "good")).await;
    witness.subscribe("#", QOS2).await;
    for version in VERSIONS {
        let mut client = Client::open(&server, version).await;
        let asks = with_will(persistent(version, "bad"), will("will", "gone"));
        let message =
            Publish { qos: QOS1, retain: true, packet_identifier: Some(id(1)), ..publish("t", "x") };
        let packets = [
            Packet::Connect(Box::new(asks)),
            subscribe("#"),
            Packet::Publish(message),
            Packet::Publish(publish("t", "y")),
            Packet::Pingreq,
        ];
        client.send_bytes(&bytes_of(&packets, version)).await;
        assert!(matches!(client.receive().await, Packet::Connack(connack) if connack.reason_code.is_error()));
        // Nor is anything that comes after CONNACK.
        let _ = client.stream.write_all(&bytes_of(&packets[1..], version)).await;
        assert_eq!(client.receive_or_end().await, None);
        witness.assert_silent().await;
    }
    assert_eq!((server.broker().session_count(), server.broker().retained_count()), (1, 0));
    assert_eq!(server.broker().subscription_count(), 1);
}

#[tokio::test]
async fn a_will_is_published_once_and_belongs_to_one_connection() {
    // [MQTT-3.1.2-7], [MQTT-3.1.2-10]; in 3.1.1 [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-12]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    for version in VERSIONS {
        drop(Client::connect(&server, with_will(persistent(version, "a"), will("will", "gone"))).await);
        assert_eq!(witness.payloads(1).await, ["gone"]);
        // The next connection of the session has none, however it ends.
        drop(Client::connect(&server, persistent(version, "a")).await);
        until(|| server.broker().connected_count() == 1).await;
        let mut wrong = Client::connect(&server, persistent(version, "a")).await;
        wrong.send_bytes(b"\x00\x00").await;
        wrong.end().await;
        assert!(server.broker().delete_session("a"));
        witness.assert_silent().await;
    }
}

#[tokio::test]
async fn a_will_of_a_connection_replaces_that_of_the_one_before() {
    // [MQTT-3.1.2-7]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will/#", QOS2).await;
    for version in VERSIONS {
        let first = with_will(persistent(version, "a"), will("will/1", "first"));
        Client::connect(&server, first).await.disconnect().await;
        drop(Client::connect(&server, with_will(persistent(version, "a"), will("will/2", "second"))).await);
        assert_eq!(witness.payloads(1).await, ["second"]);
        witness.assert_silent().await;
        assert!(server.broker().delete_session("a"));
    }
}

#[tokio::test]
async fn retained_messages_outlive_the_session_of_their_publisher() {
    // [MQTT-3.3.1-5]; in 3.1.1 [MQTT-3.1.2-7]
    let server = start().await;
    for version in VERSIONS {
        let mut sender = Client::connect(&server, connect(version, "sender")).await;
        sender.publish_retained("t", "kept", QOS1).await;
        sender.disconnect().await;
        let clean = Client::connect(&server, Connect { clean_start: true, ..persistent(version, "sender") });
        clean.await.disconnect().await;
        server.broker().delete_session("sender");
        assert_eq!(server.broker().session_count(), 0);
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        assert_eq!(receiver.payloads(1).await, ["kept"]);
        receiver.disconnect().await;
        until(|| server.broker().session_count() == 0).await;
    }
}
