//! Maximum Packet Size, of the client's and of ours.

use tidegate::broker::Options;
use tidegate::hook::{ConnectOutcome, ConnectVerdict, Reply};
use tidegate::packet::{Connect, Packet, Publish, ReasonCode, Subscribe, encoded_len};

use crate::support::client::{id, to};
use crate::support::*;

#[tokio::test]
async fn a_client_with_a_maximum_packet_size_gets_what_fits_of_every_qos() {
    // The size of a message was asked before it had a packet identifier, and without one QoS 1 and 2
    // cannot be encoded: to clients with a Maximum Packet Size every such message was too large.
    let server = start().await;
    let asks = Connect { maximum_packet_size: Some(100), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for qos in ALL_QOS {
        sender.publish("t", "x", qos).await;
        assert_eq!(receiver.message().await.qos, qos);
    }
}

#[tokio::test]
async fn a_message_larger_than_the_client_takes_is_dropped_and_counted() {
    // [MQTT-3.1.2-24], [MQTT-3.1.2-25]
    let server = start().await;
    let asks = Connect { maximum_packet_size: Some(100), ..connect(V5, "receiver") };
    let mut receiver = Client::connect(&server, asks).await;
    receiver.subscribe("t", QOS2).await;
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    other.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for qos in ALL_QOS {
        assert_eq!(sender.publish("t", &"x".repeat(200), qos).await, ReasonCode::SUCCESS);
        assert_eq!(other.message().await.payload.len(), 200);
    }
    sender.publish("t", "small", QOS1).await;
    assert_eq!(text(&receiver.message().await), "small");
    receiver.assert_silent().await;
    assert_eq!(server.statistics().dropped_too_large, 3);
    assert_eq!(server.broker().client("receiver").unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_message_of_exactly_the_maximum_packet_size_arrives() {
    // [MQTT-3.1.2-24]
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for qos in ALL_QOS {
        let packet_identifier = (qos > QOS0).then(|| sender.next_identifier());
        let packet = Publish { qos, packet_identifier, ..publish("t", &"x".repeat(200)) };
        let size = u32::try_from(encoded_len(&Packet::Publish(packet), V5).unwrap()).unwrap();
        for (maximum, arrives) in [(size, true), (size - 1, false)] {
            let asks = Connect { maximum_packet_size: Some(maximum), ..connect(V5, "receiver") };
            let mut receiver = Client::connect(&server, asks).await;
            receiver.subscribe("t", QOS2).await;
            sender.publish("t", &"x".repeat(200), qos).await;
            if arrives {
                assert_eq!(receiver.message().await.qos, qos);
            }
            receiver.assert_silent().await;
        }
    }
}

#[tokio::test]
async fn a_packet_larger_than_we_take_ends_the_connection_with_0x95() {
    // [MQTT-3.2.2-15]
    let server = start_with(Options { maximum_packet_size: 1000, ..Options::default() }).await;
    for (version, reason) in [(V5, Some(ReasonCode::PACKET_TOO_LARGE)), (V311, None)] {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        client.publish("t", &"x".repeat(900), QOS1).await;
        client.send(Packet::Publish(publish("t", &"x".repeat(1000)))).await;
        assert_eq!(client.end().await, reason, "{version}");
    }
}

#[tokio::test]
async fn a_connect_larger_than_we_take_is_refused_before_it_is_read() {
    let server = start_with(Options { maximum_connect_size: 1000, ..Options::default() }).await;
    let mut client = Client::open(&server, V5).await;
    // 200 MB are announced, none of it sent.
    client.send_bytes(b"\x10\x80\x80\x80\x60").await;
    assert_eq!(client.last_packet().await, None);
    // One that says its version is told.
    for (version, reason) in [(V5, Some(ReasonCode::PACKET_TOO_LARGE)), (V311, None)] {
        let mut client = Client::open(&server, version).await;
        client.send(Packet::Connect(Box::new(connect(version, &"x".repeat(2000))))).await;
        let told = client.last_packet().await.map(|packet| match packet {
            Packet::Connack(connack) => connack.reason_code,
            other => panic!("{other:?}"),
        });
        assert_eq!(told, reason, "{version}");
    }
    let mut fine = Client::connect(&server, connect(V5, "b")).await;
    fine.ping().await;
}

#[tokio::test]
async fn an_answer_that_the_client_cannot_take_ends_the_connection() {
    // The answer was left out and the client waited for it for ever.
    let server = start().await;
    let asks = Connect { maximum_packet_size: Some(100), ..connect(V5, "client") };
    let mut client = Client::connect(&server, asks).await;
    let subscriptions = (0..100).map(|n| to(&format!("t/{n}"), QOS1)).collect();
    client
        .send(Packet::Subscribe(Box::new(Subscribe {
            packet_identifier: id(1),
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions,
        })))
        .await;
    assert_eq!(client.end().await, Some(ReasonCode::PACKET_TOO_LARGE));

    assert_eq!(server.statistics().answers_too_large, 1);
}

#[tokio::test]
async fn a_client_that_does_not_take_connack_is_refused_before_its_session_is_touched() {
    // [MQTT-3.1.2-24], [MQTT-3.14.0-1]: such a client was let in and told by DISCONNECT, which a server must not
    // send before CONNACK; its session had been taken from the connection before.
    let server = start().await;
    let (mut before, connack) = Client::try_connect(&server, persistent(V5, "a")).await;
    let size = encoded_len(&Packet::Connack(Box::new(connack)), V5).unwrap() as u32;
    let asks = |maximum| Connect { maximum_packet_size: Some(maximum), ..persistent(V5, "a") };
    for maximum in [size - 1, 5] {
        let (mut client, connack) = Client::try_connect(&server, asks(maximum)).await;
        assert_eq!(connack.reason_code, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
        assert_eq!(client.end().await, None);
    }
    let mut client = Client::open(&server, V5).await;
    client.send(Packet::Connect(Box::new(asks(4)))).await;
    assert_eq!(client.receive_or_end().await, None, "not even a refusal fits");
    before.ping().await;
    let (_client, connack) = Client::try_connect(&server, asks(size)).await;
    assert!(connack.session_present);
}

#[tokio::test]
async fn a_refusal_is_within_the_maximum_packet_size_of_the_client() {
    // A CONNACK that refused was written as it was, whatever the client's Maximum Packet Size: its Reason
    // String made it larger than the client had said it takes [MQTT-3.1.2-24].
    let reply = Reply {
        reason_string: Some("x".repeat(50).into()),
        user_properties: vec![("k".into(), "v".into())],
        ..Reply::default()
    };
    for reply in [None, Some(Box::new(reply))] {
        let said = reply.as_ref().and_then(|reply| reply.reason_string.clone());
        let script = Script::default().on_connect(move |_| {
            let verdict = ConnectVerdict::Deny(ReasonCode::BANNED);
            ConnectOutcome { verdict, reply: reply.clone(), ..ConnectOutcome::default() }.into()
        });
        let server = start_hooked(Options::default(), &script.shared()).await;
        let asks = |maximum| Connect { maximum_packet_size: Some(maximum), ..connect(V5, "a") };
        let (_, full) = Client::try_connect(&server, asks(1000)).await;
        assert!(full.reason_string.is_some() && (said.is_none() || full.reason_string == said));
        let size = encoded_len(&Packet::Connack(Box::new(full)), V5).unwrap();
        let size = u32::try_from(size).unwrap();
        for (maximum, explained) in [(size, true), (size - 1, false), (5, false)] {
            let (mut client, connack) = Client::try_connect(&server, asks(maximum)).await;
            assert_eq!(connack.reason_code, ReasonCode::BANNED);
            assert_eq!(connack.reason_string.is_some(), explained);
            let len = encoded_len(&Packet::Connack(Box::new(connack)), V5).unwrap();
            assert!(len <= maximum as usize, "{len} bytes, {maximum} at most");
            assert_eq!(client.end().await, None);
        }
        // One that takes no CONNACK at all gets none.
        let mut client = Client::open(&server, V5).await;
        client.send(Packet::Connect(Box::new(asks(4)))).await;
        assert_eq!(client.receive_or_end().await, None);
    }
}
