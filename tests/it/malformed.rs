//! Bytes that are not MQTT: one connection ends, nobody else notices.

use tidegate::packet::{Packet, ReasonCode};
use tidegate::server::Server;
use tokio::io::AsyncReadExt;

use crate::support::*;

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

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

/// What a connected client may send wrong, and the Reason Code for it in 5.0. Where it is not wrong in
/// 3.1.1, or something else there, the last field says so.
#[rustfmt::skip]
const TABLE: &[(&str, &[u8], ReasonCode, bool)] = &[
    ("reserved packet type 0 [MQTT-2.1.3-1]", b"\x00\x00", MALFORMED, true),
    ("remaining length of five bytes", b"\x30\xff\xff\xff\xff\x01", MALFORMED, true),
    ("remaining length not minimal [MQTT-1.5.5-1]", b"\xc0\x80\x00", MALFORMED, false),
    ("PINGREQ with flags [MQTT-2.1.3-1]", b"\xc1\x00", MALFORMED, true),
    ("PINGREQ with a body", b"\xc0\x01x", MALFORMED, true),
    ("PUBREL with wrong flags [MQTT-3.6.1-1]", b"\x60\x02\x00\x01", MALFORMED, true),
    ("SUBSCRIBE with wrong flags [MQTT-3.8.1-1]", b"\x80\x07\x00\x01\x00\x00\x01a\x00", MALFORMED, true),
    ("UNSUBSCRIBE with wrong flags [MQTT-3.10.1-1]", b"\xa0\x06\x00\x01\x00\x00\x01a", MALFORMED, true),
    ("DISCONNECT with wrong flags [MQTT-3.14.1-1]", b"\xe1\x00", MALFORMED, true),
    ("PUBLISH of QoS 3 [MQTT-3.3.1-4]", b"\x36\x06\x00\x01a\x00\x01\x00", MALFORMED, true),
    ("PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2]", b"\x38\x04\x00\x01a\x00", MALFORMED, true),
    ("PUBLISH whose topic is longer than the packet", b"\x30\x03\x00\x0aa", MALFORMED, true),
    ("PUBLISH with packet identifier 0 [MQTT-2.2.1-3]", b"\x32\x06\x00\x01a\x00\x00\x00", PROTOCOL, true),
    ("PUBLISH to nothing", b"\x30\x03\x00\x00\x00", PROTOCOL, false),
    ("PUBLISH to a wildcard [MQTT-3.3.2-2]", b"\x30\x04\x00\x01#\x00", MALFORMED, true),
    ("PUBLISH to t/+/x [MQTT-3.3.2-2]", b"\x30\x08\x00\x05t/+/x\x00", MALFORMED, true),
    ("PUBLISH to U+0000 [MQTT-1.5.4-2]", b"\x30\x04\x00\x01\x00\x00", MALFORMED, true),
    ("PUBLISH to what is not UTF-8 [MQTT-1.5.4-1]", b"\x30\x04\x00\x01\xff\x00", MALFORMED, true),
    ("PUBLISH to a surrogate [MQTT-1.5.4-1]", b"\x30\x06\x00\x03\xed\xa0\x80\x00", MALFORMED, true),
    ("PUBLISH with a property length beyond the packet", b"\x30\x04\x00\x01a\x09", MALFORMED, false),
    ("PUBLISH with an unknown property", b"\x30\x06\x00\x01a\x02\x7f\x00", MALFORMED, false),
    ("PUBLISH with a property of CONNECT", b"\x30\x07\x00\x01a\x03\x21\x00\x01", MALFORMED, false),
    ("PUBLISH with an indicator of 2", b"\x30\x06\x00\x01a\x02\x01\x02", PROTOCOL, false),
    ("PUBLISH with an indicator twice", b"\x30\x08\x00\x01a\x04\x01\x01\x01\x01", PROTOCOL, false),
    ("PUBLISH with a subscription identifier [MQTT-3.3.4-6]", b"\x30\x06\x00\x01a\x02\x0b\x01", PROTOCOL, false),
    ("PUBLISH whose response topic is a filter [MQTT-3.3.2-14]", b"\x30\x08\x00\x01a\x04\x08\x00\x01#", MALFORMED, false),
    ("SUBSCRIBE without a filter [MQTT-3.8.3-2]", b"\x82\x03\x00\x01\x00", PROTOCOL, false),
    ("SUBSCRIBE with packet identifier 0 [MQTT-2.2.1-3]", b"\x82\x07\x00\x00\x00\x00\x01a\x00", PROTOCOL, false),
    ("SUBSCRIBE with QoS 3", b"\x82\x07\x00\x01\x00\x00\x01a\x03", PROTOCOL, false),
    ("SUBSCRIBE with reserved option bits [MQTT-3.8.3-5]", b"\x82\x07\x00\x01\x00\x00\x01a\x40", MALFORMED, false),
    ("SUBSCRIBE with retain handling 3", b"\x82\x07\x00\x01\x00\x00\x01a\x30", PROTOCOL, false),
    ("SUBSCRIBE with subscription identifier 0", b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", PROTOCOL, false),
    ("SUBSCRIBE cut short", b"\x82\x06\x00\x01\x00\x00\x05a", MALFORMED, false),
    ("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", b"\xa2\x03\x00\x01\x00", PROTOCOL, false),
    ("PUBACK cut short", b"\x40\x01\x00", MALFORMED, true),
    ("PUBACK with packet identifier 0", b"\x40\x02\x00\x00", PROTOCOL, true),
    ("PUBACK with a Reason Code it cannot have [MQTT-3.4.2-1]", b"\x40\x03\x00\x01\x8d", PROTOCOL, false),
    ("DISCONNECT with a Reason Code that nobody knows", b"\xe0\x01\x7b", PROTOCOL, false),
    ("CONNACK from a client", b"\x20\x03\x00\x00\x00", PROTOCOL, true),
    ("SUBACK from a client", b"\x90\x04\x00\x01\x00\x00", PROTOCOL, true),
    ("PINGRESP from a client", b"\xd0\x00", PROTOCOL, true),
    ("AUTH without a method", b"\xf0\x00", PROTOCOL, true),
];

#[tokio::test]
async fn wrong_packets_end_their_connection_with_the_right_reason_code() {
    // [MQTT-4.13.1-1]; in 3.1.1 [MQTT-4.8.0-1]
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    for (what, bytes, reason, _) in TABLE {
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        client.send_bytes(bytes).await;
        let told = client.end().await;
        // Where a packet is both, the specification leaves the choice between these two.
        let either = [MALFORMED, PROTOCOL];
        assert!(told == Some(*reason) || told.is_some_and(|told| either.contains(&told)), "{what}: {told:?}");
        others.go_on().await;
    }
}

#[tokio::test]
async fn wrong_packets_close_a_3_1_1_connection_without_a_word() {
    // [MQTT-4.8.0-1]
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    for (what, bytes, _, wrong_in_3_1_1) in TABLE {
        if *wrong_in_3_1_1 {
            let mut client = Client::connect(&server, connect(V311, "a")).await;
            client.send_bytes(bytes).await;
            assert_eq!(client.last_packet().await, None, "{what}");
            others.go_on().await;
        }
    }
}

#[tokio::test]
async fn a_wrong_connect_is_refused() {
    // [MQTT-3.1.4-1]
    let server = start().await;
    let mut others = Bystanders::of(&server).await;
    let cases: &[(&str, &[u8])] = &[
        ("a protocol name of three letters", b"\x10\x0c\x00\x03MQT\x05\x02\x00\x00\x00\x00\x00"),
        ("the reserved flag set [MQTT-3.1.2-3]", b"\x10\x0d\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x00"),
        (
            "a Will QoS of 3 [MQTT-3.1.2-12]",
            b"\x10\x13\x00\x04MQTT\x05\x1e\x00\x00\x00\x00\x00\x00\x00\x01w\x00\x00",
        ),
        ("Will flags without a Will [MQTT-3.1.2-11]", b"\x10\x0d\x00\x04MQTT\x05\x0a\x00\x00\x00\x00\x00"),
        ("a user name that is not there", b"\x10\x0d\x00\x04MQTT\x05\x82\x00\x00\x00\x00\x00"),
        ("bytes behind its end", b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00x"),
        ("a receive maximum of 0", b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x00"),
        (
            "a maximum packet size of 0",
            b"\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x05\x27\x00\x00\x00\x00\x00\x00",
        ),
        (
            "the session expiry twice",
            b"\x10\x17\x00\x04MQTT\x05\x02\x00\x00\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x00",
        ),
        (
            "authentication data without a method",
            b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x16\x00\x00\x00\x00",
        ),
        ("an identifier that is not UTF-8", b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01\xff"),
    ];
    for (what, bytes) in cases {
        let mut client = Client::open(&server, V5).await;
        client.send_bytes(bytes).await;
        let mut said = Vec::new();
        within(client.stream.read_to_end(&mut said)).await.unwrap();
        // A CONNACK that refuses: where the version can be told, with 5.0's Reason Code.
        let told = said.get(if said[1] < 0x80 { 3 } else { 4 }).copied();
        let expected = if bytes[8] == 5 { vec![0x81, 0x82] } else { vec![1] };
        assert!(said[0] == 0x20 && told.is_some_and(|told| expected.contains(&told)), "{what}: {said:02x?}");
        others.go_on().await;
    }
    assert_eq!(server.broker().session_count(), 2);
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
