//! Which Reason Codes the broker sends: those that the packet may carry, whatever a hook or an operator says, and
//! none to a client of MQTT 3.1.1.

use std::sync::Arc;

use tidegate::broker::Options;
use tidegate::hook::{
    PublishOutcome, PublishVerdict, Reply, SubscribeOutcome, SubscribeVerdict, UnsubscribeOutcome,
    UnsubscribeVerdict,
};
use tidegate::packet::{Packet, Publish, ReasonCode};

use crate::support::client::{id, to};
use crate::support::*;

/// Of CONNACK and DISCONNECT only.
const FOREIGN: ReasonCode = ReasonCode::SERVER_MOVED;

/// Hooks that refuse everything with a Reason Code that fits nowhere but in CONNACK and DISCONNECT.
fn odd() -> Arc<Script> {
    Script::default()
        .on_publish(|_| {
            PublishOutcome { verdict: PublishVerdict::Reject(FOREIGN), ..PublishOutcome::default() }.into()
        })
        .on_subscribe(|context| {
            let verdicts = vec![SubscribeVerdict::Deny(FOREIGN); context.subscriptions.len()];
            SubscribeOutcome { verdicts, reply: None }.into()
        })
        .on_unsubscribe(|context| {
            let verdicts = vec![UnsubscribeVerdict::Deny(FOREIGN); context.filters.len()];
            UnsubscribeOutcome { verdicts, reply: None }.into()
        })
        .shared()
}

#[tokio::test]
async fn a_reason_code_that_an_answer_cannot_carry_becomes_one_that_it_can() {
    // [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2]; in 3.1.1 [MQTT-3.9.3-2], [MQTT-3.3.5-2]
    let server = start_hooked(Options::default(), &odd()).await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let refused = ReasonCode::UNSPECIFIED_ERROR;
        let told = if version == V5 { refused } else { ReasonCode::SUCCESS };
        assert_eq!(client.publish("t", "x", QOS1).await, told);
        assert_eq!(client.publish("t", "x", QOS2).await, told);
        assert_eq!(client.subscribe_to(vec![to("t", QOS1)]).await.reason_codes, [refused]);
        let told = if version == V5 { vec![refused] } else { Vec::new() };
        assert_eq!(client.unsubscribe(&["t"]).await.reason_codes, told);
        client.assert_silent().await;
    }
}

#[tokio::test]
async fn a_reason_code_that_disconnect_cannot_carry_becomes_one_that_it_can() {
    // [MQTT-3.14.2-1], [MQTT-3.14.2-2], [MQTT-3.14.4-1], [MQTT-3.14.4-2]
    let server = start().await;
    for (asked, told) in [
        (ReasonCode::BAD_USER_NAME_OR_PASSWORD, ReasonCode::UNSPECIFIED_ERROR),
        (ReasonCode::PACKET_IDENTIFIER_IN_USE, ReasonCode::UNSPECIFIED_ERROR),
        (ReasonCode::GRANTED_QOS_1, ReasonCode::SUCCESS),
        (ReasonCode::SERVER_MOVED, ReasonCode::SERVER_MOVED),
    ] {
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        assert!(server.disconnect("a", asked));
        let said = client.farewell().await.expect("a DISCONNECT");
        assert_eq!((said.reason_code, said.session_expiry_interval), (told, None));
    }
}

#[tokio::test]
async fn pubrel_and_pubcomp_say_success_or_that_they_know_nothing() {
    // [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-4.3.3-4], [MQTT-4.3.3-11]
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.subscribe("t", QOS2).await;
    client
        .send(Packet::Publish(Publish { qos: QOS2, packet_identifier: Some(id(7)), ..publish("t", "x") }))
        .await;
    client.pubrec().await;
    let got = client.next_publish().await.packet_identifier.unwrap();
    for (identifier, known) in [(got, ReasonCode::SUCCESS), (id(99), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)]
    {
        let ack = tidegate::packet::Ack::new(identifier, ReasonCode::SUCCESS);
        client.send(Packet::Pubrec(ack)).await;
        assert_eq!(client.receive().await, Packet::Pubrel(tidegate::packet::Ack::new(identifier, known)));
    }
    assert_eq!(client.release(id(7)).await, ReasonCode::SUCCESS);
    assert_eq!(client.release(id(7)).await, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
}

#[tokio::test]
async fn a_3_1_1_publish_that_is_refused_is_acknowledged_as_if_it_were_not() {
    // [MQTT-3.3.5-2] of 3.1.1, which knows no refusal
    let refuses = Script::default().on_publish(|context| {
        let refused = &context.message.payload[..] == b"refused";
        let verdict = if refused {
            PublishVerdict::Reject(ReasonCode::NOT_AUTHORIZED)
        } else {
            PublishVerdict::Continue
        };
        let reply = Reply { reason_string: Some("why".into()), ..Reply::default() };
        PublishOutcome { verdict, reply: Some(Box::new(reply)), unasked: false }.into()
    });
    let server = start_hooked(Options::default(), &refuses.shared()).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V311, "sender")).await;
    for qos in ALL_QOS {
        for payload in ["refused", "taken"] {
            let ack = sender.publish_packet(Publish { qos, retain: true, ..publish("t", payload) }).await;
            assert_eq!((ack.reason_code, ack.properties), (ReasonCode::SUCCESS, None));
        }
        assert_eq!(receiver.payloads(1).await, ["taken"]);
    }
    receiver.assert_silent().await;
    sender.assert_silent().await;
}
