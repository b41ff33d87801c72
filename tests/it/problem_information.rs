//! Reason Strings and User Properties of answers: what gives way to the client's Maximum Packet Size, and what
//! a client gets that wants no problem information.

use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::broker::Options;
use tidegate::hook::{
    ConnectOutcome, ConnectVerdict, PublishOutcome, PublishVerdict, Reply, SubscribeOutcome,
    SubscribeVerdict, UnsubscribeOutcome, UnsubscribeVerdict,
};
use tidegate::packet::{
    Ack, AckProperties, Connect, Packet, Publish, PublishProperties, ReasonCode, UserProperty, encoded_len,
};
use tidegate::server::Server;

use crate::support::client::to;
use crate::support::*;

/// The answers of a broker that may have something to say.
const ANSWERS: [&str; 7] =
    ["CONNACK", "CONNACK that refuses", "PUBACK", "PUBREC", "SUBACK", "UNSUBACK", "DISCONNECT"];

fn reply(close: Option<ReasonCode>) -> Option<Box<Reply>> {
    Some(Box::new(Reply {
        reason_string: Some("y".repeat(40).into()),
        user_properties: vec![("k".into(), "v".repeat(30).into()), ("k".into(), "v".into())],
        server_reference: None,
        close,
    }))
}

/// Says something in every answer that there is.
fn talkative() -> Script {
    Script::default()
        .on_connect(|context| {
            let verdict = match &*context.client.client_identifier {
                "denied" => ConnectVerdict::Deny(ReasonCode::BANNED),
                _ => ConnectVerdict::Allow,
            };
            ConnectOutcome { verdict, reply: reply(None), ..ConnectOutcome::default() }.into()
        })
        .on_publish(|context| {
            let close =
                (&context.message.payload[..] == b"close").then_some(ReasonCode::MESSAGE_RATE_TOO_HIGH);
            PublishOutcome { reply: reply(close), ..PublishOutcome::default() }.into()
        })
        .on_subscribe(|_| {
            SubscribeOutcome { verdicts: vec![SubscribeVerdict::Next], reply: reply(None) }.into()
        })
        .on_unsubscribe(|_| {
            UnsubscribeOutcome { verdicts: vec![UnsubscribeVerdict::Next], reply: reply(None) }.into()
        })
}

/// What a client gets from CONNACK to the answer that it is about.
async fn answers(server: &Server, answer: &str, asks: Connect) -> Vec<Packet> {
    // Each client has a name of its own: one that is taken over is told something too.
    static CLIENTS: AtomicUsize = AtomicUsize::new(0);
    let client_identifier = match answer {
        "CONNACK that refuses" => "denied".to_string(),
        _ => CLIENTS.fetch_add(1, Ordering::Relaxed).to_string(),
    };
    let asks = Connect { client_identifier: client_identifier.into(), ..asks };
    let (mut client, connack) = Client::try_connect(server, asks).await;
    let mut got = vec![Packet::Connack(Box::new(connack))];
    let published = |qos| Publish { qos, ..publish("t", "x") };
    got.extend(match answer {
        "PUBACK" => Some(Packet::Puback(client.publish_packet(published(QOS1)).await)),
        "PUBREC" => Some(Packet::Pubrec(client.publish_packet(published(QOS2)).await)),
        "SUBACK" => Some(Packet::Suback(client.subscribe_to(vec![to("t", QOS1)]).await)),
        "UNSUBACK" => Some(Packet::Unsuback(client.unsubscribe(&["t"]).await)),
        "DISCONNECT" => {
            client.publish("t", "close", QOS0).await;
            Some(Packet::Disconnect(Box::new(client.farewell().await.unwrap())))
        }
        _ => None,
    });
    got
}

/// Whether a packet has a Reason String, and User Properties.
fn said(packet: &Packet) -> (bool, bool) {
    let own = |reason: bool, properties: &[UserProperty]| (reason, !properties.is_empty());
    let of = |properties: &Option<Box<AckProperties>>| {
        properties.as_ref().map_or((false, false), |it| own(it.reason_string.is_some(), &it.user_properties))
    };
    match packet {
        Packet::Connack(it) => own(it.reason_string.is_some(), &it.user_properties),
        Packet::Disconnect(it) => own(it.reason_string.is_some(), &it.user_properties),
        Packet::Puback(it) | Packet::Pubrec(it) | Packet::Pubrel(it) | Packet::Pubcomp(it) => {
            of(&it.properties)
        }
        Packet::Suback(it) => of(&it.properties),
        Packet::Unsuback(it) => of(&it.properties),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_reason_string_gives_way_before_user_properties_and_these_before_the_packet() {
    // [MQTT-3.1.2-24]; for CONNACK [MQTT-3.2.2-19], [MQTT-3.2.2-20]; PUBACK [MQTT-3.4.2-2], [MQTT-3.4.2-3];
    // PUBREC [MQTT-3.5.2-2], [MQTT-3.5.2-3]; SUBACK [MQTT-3.9.2-1], [MQTT-3.9.2-2]; UNSUBACK [MQTT-3.11.2-1],
    // [MQTT-3.11.2-2]; DISCONNECT [MQTT-3.14.2-3], [MQTT-3.14.2-4]
    let server = start_hooked(Options::default(), &talkative().shared()).await;
    let size = |packet: &Packet| u32::try_from(encoded_len(packet, V5).unwrap()).unwrap();
    let mut shortened = 0;
    for answer in ANSWERS {
        let mut get = async |maximum_packet_size: Option<u32>| {
            let got = answers(&server, answer, Connect { maximum_packet_size, ..connect(V5, "a") }).await;
            for packet in &got {
                assert!(maximum_packet_size.is_none_or(|maximum| size(packet) <= maximum), "{packet:?}");
                shortened += u64::from(said(packet) != (true, true));
            }
            got.into_iter().last().unwrap()
        };
        let full = get(None).await;
        assert_eq!(said(&full), (true, true), "{answer}");
        assert_eq!(get(Some(size(&full))).await, full, "{answer}");
        let without_reason = get(Some(size(&full) - 1)).await;
        assert_eq!(said(&without_reason), (false, true), "{answer}");
        assert_eq!(get(Some(size(&without_reason))).await, without_reason, "{answer}");
        let bare = get(Some(size(&without_reason) - 1)).await;
        assert_eq!(said(&bare), (false, false), "{answer}");
    }
    until(|| server.statistics().answers_shortened == shortened).await;
    assert_eq!(server.statistics().answers_too_large, 0);
}

#[tokio::test]
async fn a_client_that_wants_no_problem_information_gets_some_in_connack_and_disconnect_only() {
    // [MQTT-3.1.2-29]
    let server = start_hooked(Options::default(), &talkative().shared()).await;
    for answer in ANSWERS {
        let asks = Connect { request_problem_information: false, ..connect(V5, "a") };
        let got = answers(&server, answer, asks).await.pop().unwrap();
        let may = matches!(got, Packet::Connack(_) | Packet::Disconnect(_));
        assert_eq!(said(&got), (may, may), "{answer}");
    }
    // What was left out as it was not wanted was not too large.
    assert_eq!(server.statistics().answers_shortened, 0);
}

#[tokio::test]
async fn a_client_that_wants_no_problem_information_gets_the_user_properties_of_messages() {
    // [MQTT-3.1.2-29]; and PUBREL and PUBCOMP have nothing to say at all
    let server = start().await;
    let asks = Connect { request_problem_information: false, ..connect(V5, "a") };
    let mut client = Client::connect(&server, asks).await;
    client.subscribe("t", QOS2).await;
    let user_properties = vec![("k".into(), "v".into())];
    let properties = Some(Box::new(PublishProperties { user_properties, ..PublishProperties::default() }));
    let packet_identifier = Some(client::id(9));
    let packet =
        Publish { qos: QOS2, packet_identifier, properties: properties.clone(), ..publish("t", "x") };
    client.send(Packet::Publish(packet)).await;
    client.send(Packet::Pubrel(Ack::new(client::id(9), ReasonCode::SUCCESS))).await;
    let (mut got, mut kinds) = (None, Vec::new());
    while kinds.len() < 4 {
        let packet = client.receive().await;
        kinds.push(packet.packet_type().to_string());
        match packet {
            Packet::Publish(publish) => {
                let ack = Ack::new(publish.packet_identifier.unwrap(), ReasonCode::SUCCESS);
                client.send(Packet::Pubrec(ack)).await;
                got = Some(publish.properties);
            }
            other => assert_eq!(said(&other), (false, false)),
        }
    }
    kinds.sort();
    assert_eq!(kinds, ["PUBCOMP", "PUBLISH", "PUBREC", "PUBREL"]);
    assert_eq!(got, Some(properties));
}

#[tokio::test]
async fn a_text_that_no_packet_can_carry_is_left_out() {
    // The encoder refused the whole packet, and the client waited for its answer for ever.
    let script = Script::default().on_publish(|_| {
        let reply = Reply { reason_string: Some("y".repeat(70_000).into()), ..Reply::default() };
        let verdict = PublishVerdict::Reject(ReasonCode::QUOTA_EXCEEDED);
        PublishOutcome { verdict, reply: Some(Box::new(reply)), unasked: false }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let ack = client.publish_packet(Publish { qos: QOS1, ..publish("t", "x") }).await;
    assert_eq!((ack.reason_code, ack.properties), (ReasonCode::QUOTA_EXCEEDED, None));
}
