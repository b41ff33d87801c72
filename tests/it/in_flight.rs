//! How much may be in flight, and answers to nothing that is.

use bytes::BytesMut;
use tidegate::packet::{Ack, Packet, Publish, ReasonCode, encode};

use crate::support::client::id;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_3_1_1_client_may_have_more_in_flight_than_a_receive_maximum_that_it_cannot_know() {
    // MQTT 3.1.1 has no Receive Maximum, but its clients were held to the broker's: one that sent more QoS 2
    // messages before the first PUBREL was cut off without a word.
    const MESSAGES: u16 = 300;
    let local = Local::start();
    assert!(local.broker.options().receive_maximum < MESSAGES);
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS0).await;
    let mut sender = local.connect(connect(V311, "sender")).await;
    let mut bytes = BytesMut::new();
    for n in 1..=MESSAGES {
        let packet = Publish { qos: QOS2, packet_identifier: Some(id(n)), ..publish("t", &n.to_string()) };
        encode(&Packet::Publish(packet), V311, &mut bytes).unwrap();
    }
    sender.send_bytes(&bytes).await;
    for n in 1..=MESSAGES {
        assert_eq!(sender.pubrec().await.packet_identifier, id(n));
    }
    for n in 1..=MESSAGES {
        assert_eq!(sender.release(id(n)).await, ReasonCode::SUCCESS);
    }
    let expected: Vec<String> = (1..=MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(receiver.payloads(expected.len()).await, expected);
    receiver.assert_silent().await;
}

#[tokio::test]
async fn a_pubrec_with_an_error_for_an_unknown_identifier_is_not_answered() {
    // PUBREL went out for it, which starts a flow that the client has just ended: after a PUBREC with an error
    // the identifier is free, and nothing more is said about it [MQTT-4.3.3-4].
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    for reason in [ReasonCode::UNSPECIFIED_ERROR, ReasonCode::QUOTA_EXCEEDED] {
        client.send(Packet::Pubrec(Ack::new(id(4242), reason))).await;
        client.assert_silent().await;
    }
    // Also for one that was in flight a moment ago.
    client.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "x", QOS2).await;
    let identifier = client.next_publish().await.packet_identifier.unwrap();
    for _ in 0..2 {
        client.send(Packet::Pubrec(Ack::new(identifier, ReasonCode::UNSPECIFIED_ERROR))).await;
        client.assert_silent().await;
    }
}

#[tokio::test]
async fn all_acknowledgements_before_a_packet_that_ends_the_connection_count() {
    // More than are looked up under one lock, in one write; one says why in a byte more.
    const MESSAGES: u16 = 150;
    let server = start().await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for n in 1..=MESSAGES {
        sender.publish("t", &n.to_string(), QOS1).await;
    }
    let mut acknowledgements = BytesMut::new();
    for n in 1..=MESSAGES {
        let publish = receiver.next_publish().await;
        let reason = if n == 70 { ReasonCode::UNSPECIFIED_ERROR } else { ReasonCode::SUCCESS };
        if n < MESSAGES {
            let ack = Packet::Puback(Ack::new(publish.packet_identifier.unwrap(), reason));
            encode(&ack, V5, &mut acknowledgements).unwrap();
        }
    }
    // A PUBACK for no message at all.
    acknowledgements.extend_from_slice(b"\x40\x02\0\0");
    receiver.send_bytes(&acknowledgements).await;
    assert_eq!(receiver.end().await, Some(ReasonCode::PROTOCOL_ERROR));
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    let left = receiver.next_publish().await;
    assert_eq!((text(&left), left.dup), ("150", true));
    receiver.assert_silent().await;
}
