//! Bytes that are not MQTT: one connection ends, nobody else notices.

mod tables;

use tidegate::packet::{Packet, ReasonCode};
use tidegate::server::Server;
use tokio::io::AsyncReadExt;

use crate::support::*;

/// Two clients that go on with each other whatever happens.
struct Bystanders {
    sender: Client,
    receiver: Client,
}

impl Bystanders {
    async fn of(server: &Server) -> Bystanders {
        let sender = Client::connect(server, connect(V5, "bystander-1")).await;
        let mut receiver = Client::connect(server, connect(V311, "bystander-2")).await;
        receiver.subscribe("bystander", QOS1).await;
        Bystanders { sender, receiver }
    }

    async fn go_on(&mut self) {
        assert_eq!(self.sender.publish("bystander", "x", QOS1).await, ReasonCode::SUCCESS);
        assert_eq!(self.receiver.payloads(1).await, ["x"]);
    }
}

#[tokio::test]
async fn wrong_packets_end_their_connection_with_the_right_reason_code() {
    // [MQTT-4.13.1-1], [MQTT-4.13.2-1], [MQTT-3.14.2-2]: the Reason Code of each, and then the end
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    let rows = tables::connected_v5();
    let count = rows.len() as u64;
    for (what, reason, bytes) in rows {
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        client.send_bytes(&bytes).await;
        let said = client.farewell().await.unwrap_or_else(|| panic!("{what}: no DISCONNECT"));
        assert_eq!(said.reason_code, reason, "{what}: {said:?}");
        assert_eq!(said.session_expiry_interval, None);
        others.go_on().await;
    }
    assert_eq!(server.statistics().protocol_errors, count);
}

#[tokio::test]
async fn wrong_packets_close_a_3_1_1_connection_without_a_word() {
    // [MQTT-4.8.0-1]
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    let rows = tables::connected_v311();
    let count = rows.len() as u64;
    for (what, bytes) in rows {
        let mut client = Client::connect(&server, connect(V311, "a")).await;
        client.send_bytes(&bytes).await;
        assert_eq!(client.last_packet().await, None, "{what}");
        others.go_on().await;
    }
    assert_eq!(server.statistics().protocol_errors, count);
}

/// All that comes after these first bytes, up to the end of the connection.
async fn answer(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::open(server, V5).await;
    client.send_bytes(bytes).await;
    let mut said = Vec::new();
    within(client.stream.read_to_end(&mut said)).await.unwrap();
    said
}

#[tokio::test]
async fn a_wrong_connect_of_5_0_is_refused_with_the_right_reason_code() {
    // [MQTT-3.1.4-1], [MQTT-4.13.1-1], [MQTT-3.14.0-1]: with CONNACK, never with DISCONNECT
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    for (what, reason, bytes) in tables::first_v5() {
        let mut client = Client::open(&server, V5).await;
        client.send_bytes(&bytes).await;
        match client.receive_or_end().await {
            Some(Packet::Connack(connack)) => assert_eq!(connack.reason_code, reason, "{what}: {connack:?}"),
            other => panic!("{what}: {other:?} in place of CONNACK"),
        }
        assert_eq!(client.receive_or_end().await, None, "{what}");
        others.go_on().await;
    }
    assert_eq!(server.broker().session_count(), 2);
}

#[tokio::test]
async fn a_wrong_first_packet_that_has_no_answer_is_closed() {
    // [MQTT-3.1.0-1], [MQTT-3.1.4-1] of 3.1.1: without CONNACK
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    for (what, bytes) in tables::first_closed() {
        assert!(answer(&server, &bytes).await.is_empty(), "{what}");
        others.go_on().await;
    }
    assert_eq!(server.broker().session_count(), 2);
}

#[tokio::test]
async fn packets_that_end_anywhere_end_one_connection_at_most() {
    // A SUBSCRIBE that ended before its options byte took a broker's whole process down: what a length promises
    // and the packet does not hold must be an error of its client, wherever it is.
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    for (version, packets) in [(V5, tables::good_v5()), (V311, tables::good_v311())] {
        for packet in packets {
            for len in 0..packet.len() - 2 {
                let mut client = Client::connect(&server, connect(version, "a")).await;
                client.send_bytes(&tables::frame(packet[0], &packet[2..2 + len])).await;
                tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.ok();
                client.last_packet().await;
            }
            others.go_on().await;
        }
    }
    until(|| server.broker().connected_count() == 2).await;
}

#[tokio::test]
async fn random_bytes_end_their_connection() {
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        let bytes: Vec<u8> = (0..random.usize(1..2000)).map(|_| random.u8(..)).collect();
        let mut client = match round % 3 {
            0 => Client::open(&server, V5).await,
            1 => Client::connect(&server, connect(V5, "a")).await,
            _ => Client::connect(&server, connect(V311, "a")).await,
        };
        client.send_bytes(&bytes).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.ok();
        let mut bin = Vec::new();
        let _ = within(client.stream.read_to_end(&mut bin)).await;
        if round % 20 == 0 {
            others.go_on().await;
        }
    }
    until(|| server.broker().connected_count() == 2).await;
}

#[tokio::test]
async fn a_good_packet_with_one_flipped_bit_harms_nobody() {
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    let packet = b"\x34\x1d\x00\x03a/b\x00\x07\x0e\x02\x00\x00\x00\x09\x26\x00\x01k\x00\x01v\x01\x01payload";
    for bit in 0..packet.len() * 8 {
        let mut bytes = packet.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        client.send_bytes(&bytes).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.ok();
        client.last_packet().await;
    }
    others.go_on().await;
}

#[tokio::test]
async fn truncated_packets_wait_for_the_rest_and_end_with_their_connection() {
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    let packet = b"\x32\x0d\x00\x03a/b\x00\x07\x00final";
    for cut in 1..packet.len() {
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        client.send_bytes(&packet[..cut]).await;
        drop(client);
    }
    // Byte by byte it is as good as at once.
    let mut client = Client::connect(&server, connect(V5, "b")).await;
    for byte in packet {
        client.send_bytes(&[*byte]).await;
    }
    assert!(matches!(client.receive().await, Packet::Puback(_)));
    others.go_on().await;
    until(|| server.broker().connected_count() == 3).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_huge_remaining_length_costs_no_memory() {
    // What a packet claims to be long is not allocated before it is there.
    let options = tidegate::broker::Options { maximum_packet_size: u32::MAX, ..Default::default() };
    let server = start_with(options).await;
    let mut others = Bystanders::of(&server).await;
    let before = resident_kilobytes();
    let mut clients = Vec::new();
    for n in 0..50 {
        let mut client = Client::connect(&server, connect(V5, &format!("huge-{n}"))).await;
        client.send_bytes(b"\x30\xff\xff\xff\x7f\x00\x01a\x00begin").await;
        clients.push(client);
    }
    others.go_on().await;
    let grown = resident_kilobytes().saturating_sub(before);
    // 50 × 256 MB were announced. Other tests run beside this one.
    assert!(grown < 2_000_000, "{grown} kB");
    assert_eq!(server.broker().connected_count(), 52);
}

#[cfg(target_os = "linux")]
fn resident_kilobytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
