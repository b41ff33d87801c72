//! The Payload Format Indicator, where it is validated.

use tidegate::broker::Options;
use tidegate::packet::{Packet, Publish, PublishProperties, QoS, ReasonCode, Will};
use tidegate::server::Server;

use crate::support::client::id;
use crate::support::*;

const TEXT: &[u8] = "täxt with \0".as_bytes();
const BYTES: &[u8] = b"\xff\xfe";
const CUT: &[u8] = b"t\xc3";
const SURROGATE: &[u8] = b"\xed\xa0\x80";

async fn validating() -> Server {
    start_with(Options { validate_payload_format: true, ..Options::default() }).await
}

fn properties(indicator: Option<bool>) -> Option<Box<PublishProperties>> {
    let properties =
        PublishProperties { payload_format_indicator: indicator, ..PublishProperties::default() };
    Some(Box::new(properties))
}

fn message(payload: &'static [u8], qos: QoS, indicator: Option<bool>) -> Publish {
    let packet_identifier = (qos > QOS0).then(|| id(7));
    let payload = bytes::Bytes::from_static(payload);
    Publish { qos, packet_identifier, properties: properties(indicator), payload, ..publish("t", "") }
}

#[tokio::test]
async fn a_payload_is_what_its_indicator_says_or_refused_with_0x99() {
    // MQTT 5.0, 3.3.2.3.2
    let server = validating().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("t", QOS2).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    for qos in [QOS1, QOS2] {
        for payload in [BYTES, CUT, SURROGATE] {
            let ack = client.publish_packet(message(payload, qos, Some(true))).await;
            assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID);
        }
        // The identifier of what was refused names the next message [MQTT-4.3.3-9].
        for (payload, indicator) in [(TEXT, Some(true)), (b"", Some(true)), (BYTES, Some(false)), (CUT, None)]
        {
            let ack = client.publish_packet(message(payload, qos, indicator)).await;
            assert_eq!(ack.reason_code, ReasonCode::SUCCESS);
            let got = witness.message().await;
            assert_eq!((&got.payload[..], got.qos), (payload, qos));
            // [MQTT-3.3.2-4]
            let passed_on = got.properties.and_then(|properties| properties.payload_format_indicator);
            assert_eq!(passed_on, indicator);
        }
    }
    witness.assert_silent().await;
    assert_eq!(server.statistics().payloads_refused, 6);
}

#[tokio::test]
async fn what_has_no_acknowledgement_is_refused_by_disconnect() {
    // MQTT 5.0, 3.3.2.3.2: PUBACK, PUBREC or DISCONNECT
    let server = validating().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("t", QOS2).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.send(Packet::Publish(message(TEXT, QOS0, Some(true)))).await;
    client.send(Packet::Publish(message(BYTES, QOS0, Some(true)))).await;
    assert_eq!(client.end().await, Some(ReasonCode::PAYLOAD_FORMAT_INVALID));
    assert_eq!(witness.message().await.payload, TEXT);
    witness.assert_silent().await;
}

#[tokio::test]
async fn a_will_is_what_its_indicator_says_or_refused_with_0x99() {
    // MQTT 5.0, 3.1.3.2.3
    let server = validating().await;
    for (payload, told) in [(BYTES, ReasonCode::PAYLOAD_FORMAT_INVALID), (TEXT, ReasonCode::SUCCESS)] {
        let payload = bytes::Bytes::from_static(payload);
        let will = Will { payload, properties: properties(Some(true)), ..will("t", "") };
        let (_, connack) = Client::try_connect(&server, with_will(connect(V5, "a"), will)).await;
        assert_eq!(connack.reason_code, told);
    }
    assert_eq!(server.statistics().payloads_refused, 1);
}

#[tokio::test]
async fn without_the_option_payloads_are_nobodys_business() {
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("t", QOS2).await;
    let payload = bytes::Bytes::from_static(BYTES);
    let will = Will { payload, properties: properties(Some(true)), ..will("t", "") };
    let mut client = Client::connect(&server, with_will(connect(V5, "a"), will)).await;
    for qos in ALL_QOS {
        let ack = client.publish_packet(message(BYTES, qos, Some(true))).await;
        assert_eq!(ack.reason_code, ReasonCode::SUCCESS);
        assert_eq!(witness.message().await.payload, BYTES);
    }
    drop(client);
    assert_eq!(witness.message().await.payload, BYTES);
}
