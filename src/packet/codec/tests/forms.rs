//! The bytes that the encoder chooses where the specification leaves a choice, and what it leaves out for 3.1.1.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::decode;
use crate::packet::*;

const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;
const ID: PacketIdentifier = PacketIdentifier::FIRST;

fn bytes_of(packet: &Packet, version: ProtocolVersion) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).unwrap();
    assert_eq!(encoded_len(packet, version), Ok(out.len()));
    out.to_vec()
}

fn error_of(packet: &Packet, version: ProtocolVersion) -> EncodeError {
    let mut out = BytesMut::new();
    let error = encode(packet, version, &mut out).unwrap_err();
    assert!(out.is_empty());
    error
}

#[test]
fn acknowledgements_take_the_short_form() {
    let ack = |reason_code| Packet::Puback(Ack::new(ID, reason_code));
    assert_eq!(bytes_of(&ack(ReasonCode::SUCCESS), V5), b"\x40\x02\0\x01");
    assert_eq!(bytes_of(&ack(ReasonCode::NOT_AUTHORIZED), V5), b"\x40\x03\0\x01\x87");
    assert_eq!(bytes_of(&ack(ReasonCode::NOT_AUTHORIZED), V311), b"\x40\x02\0\x01");
}

#[test]
fn fast_acknowledgements_are_the_same_bytes() {
    type Fast = fn(PacketIdentifier, ReasonCode, ProtocolVersion, &mut BytesMut);
    type Wrap = fn(Ack) -> Packet;
    let all: [(Fast, Wrap); 4] = [
        (encode_puback, Packet::Puback),
        (encode_pubrec, Packet::Pubrec),
        (encode_pubrel, Packet::Pubrel),
        (encode_pubcomp, Packet::Pubcomp),
    ];
    for (fast, wrap) in all {
        for version in [V311, V5] {
            for reason_code in [ReasonCode::SUCCESS, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND] {
                let mut out = BytesMut::new();
                fast(ID, reason_code, version, &mut out);
                assert_eq!(out, bytes_of(&wrap(Ack::new(ID, reason_code)), version));
            }
        }
    }
}

#[test]
fn disconnect_takes_the_short_form() {
    let disconnect = |reason_code| Packet::Disconnect(Box::new(Disconnect::new(reason_code)));
    assert_eq!(bytes_of(&disconnect(ReasonCode::NORMAL_DISCONNECTION), V5), b"\xE0\0");
    assert_eq!(bytes_of(&disconnect(ReasonCode::SERVER_BUSY), V5), b"\xE0\x01\x89");
    assert_eq!(bytes_of(&disconnect(ReasonCode::NORMAL_DISCONNECTION), V311), b"\xE0\0");
}

#[test]
fn what_3_1_1_does_not_have_is_an_error() {
    let disconnect = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SERVER_BUSY)));
    let not_in_version = |packet| EncodeError::NotInVersion { packet, version: V311 };
    assert_eq!(error_of(&disconnect, V311), not_in_version(PacketType::Disconnect));
    assert_eq!(error_of(&Packet::Auth(Box::default()), V311), not_in_version(PacketType::Auth));
}

#[test]
fn answers_become_what_3_1_1_can_say() {
    let connack = Connack {
        reason_code: ReasonCode::BANNED,
        reason_string: Some("no".into()),
        session_present: true,
        ..Connack::default()
    };
    assert_eq!(bytes_of(&Packet::Connack(Box::new(connack)), V311), b"\x20\x02\0\x05");
    let reason_codes = vec![ReasonCode::GRANTED_QOS_2, ReasonCode::QUOTA_EXCEEDED];
    let suback = Packet::Suback(Suback { packet_identifier: ID, reason_codes, properties: None });
    assert_eq!(bytes_of(&suback, V311), b"\x90\x04\0\x01\x02\x80");
    assert_eq!(bytes_of(&suback, V5), b"\x90\x05\0\x01\0\x02\x97");
    let reason_codes = vec![ReasonCode::SUCCESS];
    let unsuback = Packet::Unsuback(Unsuback { packet_identifier: ID, reason_codes, properties: None });
    assert_eq!(bytes_of(&unsuback, V311), b"\xB0\x02\0\x01");
}

#[test]
fn subscription_options_of_5_0_are_left_out_for_3_1_1() {
    let filter = SubscribeFilter {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..SubscribeFilter::new("f".into(), QoS::AtLeastOnce)
    };
    let subscribe = Packet::Subscribe(Box::new(Subscribe {
        packet_identifier: ID,
        subscription_identifier: Some(200),
        user_properties: Vec::new(),
        subscriptions: vec![filter],
    }));
    assert_eq!(bytes_of(&subscribe, V311), b"\x82\x06\0\x01\0\x01f\x01");
    assert_eq!(bytes_of(&subscribe, V5), b"\x82\x0A\0\x01\x03\x0B\xC8\x01\0\x01f\x2D");
}

#[test]
fn publish_header_and_payload_are_the_whole_packet() {
    let properties = PublishProperties { message_expiry_interval: Some(60), ..PublishProperties::default() };
    let header = PublishHeader {
        dup: true,
        qos: QoS::AtLeastOnce,
        topic: "a/b",
        packet_identifier: Some(ID),
        subscription_identifiers: &[7, 300],
        message_expiry_interval: Some(59),
        properties: Some(&properties),
        ..PublishHeader::default()
    };
    let mut out = BytesMut::new();
    encode_publish_header(&header, 3, V5, &mut out).unwrap();
    out.extend_from_slice(b"abc");
    assert_eq!(publish_encoded_len(&header, 3, V5), Ok(out.len()));
    let Packet::Publish(publish) = decode(Some(V5), Side::Client, &out).unwrap() else { panic!() };
    assert_eq!(publish.header().message_expiry_interval, Some(59));
    assert_eq!(publish.subscription_identifiers, [7, 300]);
    assert_eq!((publish.dup, &publish.payload[..]), (true, &b"abc"[..]));

    out.clear();
    encode_publish(&header, b"abc", V311, &mut out).unwrap();
    assert_eq!(&out[..], b"\x3A\x0A\0\x03a/b\0\x01abc");
}

#[test]
fn qos_0_has_neither_dup_nor_packet_identifier() {
    // [MQTT-3.3.1-2], [MQTT-2.2.1-2]
    let publish =
        Publish { dup: true, packet_identifier: Some(ID), ..Publish::new("t".into(), Bytes::new()) };
    assert_eq!(bytes_of(&Packet::Publish(publish), V311), b"\x30\x03\0\x01t");
}

#[test]
fn a_topic_alias_may_stand_for_the_topic() {
    let Packet::Publish(publish) = decode(Some(V5), Side::Server, b"\x30\x06\0\0\x03\x23\0\x05").unwrap()
    else {
        panic!()
    };
    assert_eq!((&*publish.topic, publish.topic_alias.map(|alias| alias.get())), ("", Some(5)));
    assert_eq!(publish.properties, None);
}

#[test]
fn what_does_not_fit_is_an_error_and_writes_nothing() {
    let publish = Publish::new(ByteString::from("x".repeat(65_536)), Bytes::new());
    assert_eq!(error_of(&Packet::Publish(publish), V5), EncodeError::FieldTooLong(65_536));
    let publish = Publish { qos: QoS::AtLeastOnce, ..Publish::new("t".into(), Bytes::new()) };
    assert_eq!(error_of(&Packet::Publish(publish), V5), EncodeError::NoPacketIdentifier);
    for identifier in [0, MAXIMUM_VARIABLE_BYTE_INTEGER + 1] {
        let identifiers = vec![identifier];
        let publish =
            Publish { subscription_identifiers: identifiers, ..Publish::new("t".into(), Bytes::new()) };
        assert_eq!(error_of(&Packet::Publish(publish), V5), EncodeError::SubscriptionIdentifier(identifier));
    }
    let header = PublishHeader { topic: "t", ..PublishHeader::default() };
    let most = MAXIMUM_VARIABLE_BYTE_INTEGER as usize - 3;
    assert_eq!(publish_encoded_len(&header, most, V311), Ok(MAXIMUM_VARIABLE_BYTE_INTEGER as usize + 5));
    let error = publish_encoded_len(&header, most + 1, V311).unwrap_err();
    assert_eq!(error, EncodeError::PacketTooLong(MAXIMUM_VARIABLE_BYTE_INTEGER as usize + 1));
}

#[test]
fn topic_and_payload_are_slices_of_the_received_bytes() {
    let mut received = Bytes::from_static(b"\x30\x08\0\x03a/bxyz");
    let range = received.as_ptr_range();
    let mut decoder = Decoder::client(V311, 100);
    let Some(Packet::Publish(publish)) = decoder.decode(&mut received).unwrap() else { panic!() };
    assert!(range.contains(&publish.topic.as_ptr()));
    assert!(range.contains(&publish.payload.as_ptr()));
}
