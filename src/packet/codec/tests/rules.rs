//! What the specification forbids, one line each: what it is, the statement, the Reason Code, the bytes.

use super::{decode, decoder, frame};
use crate::packet::{DecodeError, Packet, ProtocolVersion, ReasonCode, Side};

const V311: Option<ProtocolVersion> = Some(ProtocolVersion::V311);
const V5: Option<ProtocolVersion> = Some(ProtocolVersion::V5);
const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;
const PROPERTY: &str = "MQTT 5.0 section 2.2.2.2";
const GENERAL: &str = "[MQTT-4.13.1-1]";
const GENERAL_311: &str = "[MQTT-4.8.0-1]";

type Rule = (&'static str, &'static str, ReasonCode, Vec<u8>);

fn assert_refused(version: Option<ProtocolVersion>, side: Side, rules: &[Rule]) {
    for (what, statement, reason_code, bytes) in rules {
        match decode(version, side, bytes) {
            Ok(packet) => panic!("{what}: {packet:?}"),
            Err(error) => {
                assert_eq!(error.statement(), *statement, "{what}: {error}");
                assert_eq!(error.reason_code(), *reason_code, "{what}: {error}");
            }
        }
    }
}

fn assert_accepted(version: Option<ProtocolVersion>, side: Side, bytes: &[u8]) -> Packet {
    decode(version, side, bytes).unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"))
}

/// A body with properties between a head and a tail.
fn with_properties(first_byte: u8, head: &[u8], properties: &[u8], tail: &[u8]) -> Vec<u8> {
    frame(first_byte, &[head, &[properties.len() as u8], properties, tail])
}

fn connect_v311(flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x10, &[b"\0\x04MQTT\x04", &[flags], b"\0\x3c", payload])
}

fn connect_v5(flags: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    with_properties(0x10, &[b"\0\x04MQTT\x05", &[flags][..], b"\0\x3c"].concat(), properties, payload)
}

#[test]
fn connect_of_3_1_1_is_refused_for_its_form() {
    assert_refused(
        None,
        Side::Server,
        &[
            ("another packet first", "[MQTT-3.1.0-1]", PROTOCOL, vec![0xC0, 0]),
            ("reserved type first", "[MQTT-3.1.0-1]", PROTOCOL, vec![0x00, 0]),
            ("flags", "[MQTT-2.1.3-1]", MALFORMED, vec![0x11, 0]),
            ("reserved bit", "[MQTT-3.1.2-3]", MALFORMED, connect_v311(0x03, b"\0\x01a")),
            ("Will QoS 3", "[MQTT-3.1.2-14]", MALFORMED, connect_v311(0x1E, b"\0\x01a\0\x01t\0\0")),
            ("Will QoS, no Will", "[MQTT-3.1.2-13]", MALFORMED, connect_v311(0x0A, b"\0\x01a")),
            ("Will Retain, no Will", "[MQTT-3.1.2-15]", MALFORMED, connect_v311(0x22, b"\0\x01a")),
            ("password, no user name", "[MQTT-3.1.2-22]", MALFORMED, connect_v311(0x42, b"\0\x01a\0\x01p")),
            ("no Client Identifier", GENERAL_311, MALFORMED, connect_v311(0x02, b"")),
            ("no user name", GENERAL_311, MALFORMED, connect_v311(0x82, b"\0\x01a")),
            ("user name cut short", GENERAL_311, MALFORMED, connect_v311(0x82, b"\0\x01a\0\x02u")),
            ("bytes after the end", GENERAL_311, MALFORMED, connect_v311(0x02, b"\0\x01ab")),
            ("U+0000", "[MQTT-1.5.3-2]", MALFORMED, connect_v311(0x02, b"\0\x01\0")),
            ("surrogate", "[MQTT-1.5.3-1]", MALFORMED, connect_v311(0x02, b"\0\x03\xED\xA0\x80")),
            ("overlong", "[MQTT-1.5.3-1]", MALFORMED, connect_v311(0x02, b"\0\x02\xC0\x80")),
            ("Will Topic wildcard", "[MQTT-4.7.1-1]", MALFORMED, connect_v311(0x06, b"\0\x01a\0\x01#\0\0")),
            ("Will Topic empty", "[MQTT-4.7.3-1]", MALFORMED, connect_v311(0x06, b"\0\x01a\0\0\0\0")),
            ("no Will Message", GENERAL_311, MALFORMED, connect_v311(0x06, b"\0\x01a\0\x01t")),
        ],
    );
}

#[test]
fn connect_of_5_0_is_refused_for_its_form() {
    let properties = |properties: &[u8]| connect_v5(0x02, properties, b"\0\x01a");
    let will = |properties: &[u8]| {
        connect_v5(
            0x06,
            b"",
            &[&b"\0\x01a"[..], &[properties.len() as u8], properties, b"\0\x01t\0\0"].concat(),
        )
    };
    assert_refused(
        None,
        Side::Server,
        &[
            ("reserved bit", "[MQTT-3.1.2-3]", MALFORMED, connect_v5(0x03, b"", b"\0\x01a")),
            ("Will QoS 3", "[MQTT-3.1.2-12]", MALFORMED, connect_v5(0x1E, b"", b"\0\x01a\0\0\x01t\0\0")),
            ("Will QoS, no Will", "[MQTT-3.1.2-11]", MALFORMED, connect_v5(0x12, b"", b"\0\x01a")),
            ("Will Retain, no Will", "[MQTT-3.1.2-13]", MALFORMED, connect_v5(0x22, b"", b"\0\x01a")),
            ("U+0000", "[MQTT-1.5.4-2]", MALFORMED, connect_v5(0x02, b"", b"\0\x01\0")),
            ("not UTF-8", "[MQTT-1.5.4-1]", MALFORMED, connect_v5(0x02, b"", b"\0\x01\xFF")),
            ("no properties", GENERAL, MALFORMED, frame(0x10, &[b"\0\x04MQTT\x05\x02\0\0"])),
            (
                "properties cut short",
                GENERAL,
                MALFORMED,
                frame(0x10, &[b"\0\x04MQTT\x05\x02\0\0\x09\0\x01a"]),
            ),
            (
                "length not minimal",
                "[MQTT-1.5.5-1]",
                MALFORMED,
                frame(0x10, &[b"\0\x04MQTT\x05\x02\0\0\x80\0\0\0"]),
            ),
            ("Receive Maximum 0", "MQTT 5.0 section 3.1.2.11.3", PROTOCOL, properties(b"\x21\0\0")),
            ("Maximum Packet Size 0", "MQTT 5.0 section 3.1.2.11.4", PROTOCOL, properties(b"\x27\0\0\0\0")),
            ("Request Problem 2", GENERAL, PROTOCOL, properties(b"\x17\x02")),
            ("Request Response 2", GENERAL, PROTOCOL, properties(b"\x19\x02")),
            ("data, no method", "MQTT 5.0 section 3.1.2.11.10", PROTOCOL, properties(b"\x16\0\0")),
            ("property twice", PROPERTY, PROTOCOL, properties(b"\x22\0\x01\x22\0\x01")),
            ("property of PUBLISH", PROPERTY, MALFORMED, properties(b"\x23\0\x01")),
            ("unknown property", PROPERTY, MALFORMED, properties(b"\x04\0\x01")),
            ("large unknown property", PROPERTY, MALFORMED, properties(b"\xFF\x7F")),
            ("property not minimal", "[MQTT-1.5.5-1]", MALFORMED, properties(b"\xA2\0\0\x01")),
            ("property cut short", GENERAL, MALFORMED, properties(b"\x22\0")),
            ("User Property cut short", GENERAL, MALFORMED, properties(b"\x26\0\x01n")),
            ("property of CONNECT in Will", PROPERTY, MALFORMED, will(b"\x21\0\x01")),
            ("Topic Alias in Will", PROPERTY, MALFORMED, will(b"\x23\0\x01")),
            ("Will Delay twice", PROPERTY, PROTOCOL, will(b"\x18\0\0\0\x01\x18\0\0\0\x01")),
            ("Payload Format 2", GENERAL, PROTOCOL, will(b"\x01\x02")),
            ("Response Topic wildcard", "[MQTT-3.3.2-14]", MALFORMED, will(b"\x08\0\x01+")),
            (
                "Will Topic wildcard",
                "[MQTT-4.7.0-1]",
                MALFORMED,
                connect_v5(0x06, b"", b"\0\x01a\0\0\x01+\0\0"),
            ),
        ],
    );
    let mut padded = vec![0x10, 0x90, 0x00];
    padded.extend_from_slice(&connect_v5(0x02, b"\x22\0\x01", b"\0\0")[2..]);
    padded[1] = 0x80 | (padded.len() - 3) as u8;
    let rule = ("Remaining Length not minimal", "[MQTT-1.5.5-1]", MALFORMED, padded);
    assert_refused(None, Side::Server, &[rule]);
}

#[test]
fn connect_of_5_0_may_have_a_password_without_a_user_name() {
    let packet = assert_accepted(None, Side::Server, &connect_v5(0x42, b"", b"\0\x01a\0\x02\0\xFF"));
    let Packet::Connect(connect) = packet else { panic!("{packet:?}") };
    assert_eq!((connect.user_name, connect.password.as_deref()), (None, Some(&b"\0\xFF"[..])));
}

#[test]
fn remaining_length_of_3_1_1_may_be_padded() {
    let mut padded = connect_v311(0x02, b"\0\x01a");
    padded.splice(1..2, [padded[1] | 0x80, 0x80, 0x80, 0x00]);
    assert_accepted(None, Side::Server, &padded);
    assert_accepted(V311, Side::Server, &[0xC0, 0x80, 0x00]);
}

#[test]
fn other_protocols_are_answered_in_a_version_they_may_read() {
    // [MQTT-3.1.2-1], [MQTT-3.1.2-2]
    for (name_and_level, expected_level, expected) in [
        (&b"\0\x06MQIsdp\x03"[..], 3, ProtocolVersion::V311),
        (b"\0\x04MQTT\x03", 3, ProtocolVersion::V311),
        (b"\0\x04MQTT\x00", 0, ProtocolVersion::V311),
        (b"\0\x04MQTT\x83", 0x83, ProtocolVersion::V311),
        (b"\0\x04MQTT\x06", 6, ProtocolVersion::V5),
        (b"\0\x04MQTT\xFF", 0xFF, ProtocolVersion::V5),
        (b"\0\x04mqtt\x05", 5, ProtocolVersion::V311),
        (b"\0\0\x04", 4, ProtocolVersion::V311),
    ] {
        let error = decode(None, Side::Server, &frame(0x10, &[name_and_level, b"\x02\0\0\0\0"])).unwrap_err();
        let answer = expected;
        assert_eq!(error, DecodeError::UnsupportedProtocolVersion { level: expected_level, answer });
        assert_eq!(error.reason_code().connect_return_code(), 1);
        assert_eq!(error.reason_code().value(), 0x84);
    }
}

#[test]
fn fixed_headers_are_refused_before_the_body_is_there() {
    for (version, statement) in [(V311, "[MQTT-2.2.2-2]"), (V5, "[MQTT-2.1.3-1]")] {
        let general = if version == V5 { GENERAL } else { GENERAL_311 };
        let rules = [
            ("PUBACK flags", statement, MALFORMED, vec![0x41]),
            ("PUBREC flags", statement, MALFORMED, vec![0x52]),
            ("PUBREL flags", "[MQTT-3.6.1-1]", MALFORMED, vec![0x60]),
            ("PUBCOMP flags", statement, MALFORMED, vec![0x78]),
            ("SUBSCRIBE flags", "[MQTT-3.8.1-1]", MALFORMED, vec![0x80]),
            ("UNSUBSCRIBE flags", "[MQTT-3.10.1-1]", MALFORMED, vec![0xA3]),
            ("PINGREQ flags", statement, MALFORMED, vec![0xC1]),
            ("DISCONNECT flags", "[MQTT-3.14.1-1]", MALFORMED, vec![0xE1]),
            ("QoS 3", "[MQTT-3.3.1-4]", MALFORMED, vec![0x36]),
            ("DUP with QoS 0", "[MQTT-3.3.1-2]", MALFORMED, vec![0x38]),
            ("reserved type", general, MALFORMED, vec![0x00]),
            ("second CONNECT", "[MQTT-3.1.0-2]", PROTOCOL, vec![0x10]),
            ("CONNACK to a Server", general, PROTOCOL, vec![0x20]),
            ("SUBACK to a Server", general, PROTOCOL, vec![0x90]),
            ("UNSUBACK to a Server", general, PROTOCOL, vec![0xB0]),
            ("PINGRESP to a Server", general, PROTOCOL, vec![0xD0]),
            ("five bytes of length", general, MALFORMED, vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF]),
        ];
        assert_refused(version, Side::Server, &rules);
        let rules = [
            ("CONNECT to a Client", general, PROTOCOL, vec![0x10]),
            ("SUBSCRIBE to a Client", general, PROTOCOL, vec![0x82]),
            ("UNSUBSCRIBE to a Client", general, PROTOCOL, vec![0xA2]),
            ("PINGREQ to a Client", general, PROTOCOL, vec![0xC0]),
        ];
        assert_refused(version, Side::Client, &rules);
    }
    let rules = [("AUTH in 3.1.1", GENERAL_311, MALFORMED, vec![0xF0])];
    assert_refused(V311, Side::Server, &rules);
    assert_refused(V311, Side::Client, &rules);
    let rules = [("AUTH flags", "[MQTT-3.15.1-1]", MALFORMED, vec![0xF1])];
    assert_refused(V5, Side::Server, &rules);
    let rules = [("Server DISCONNECT in 3.1.1", GENERAL_311, PROTOCOL, vec![0xE0])];
    assert_refused(V311, Side::Client, &rules);
    let rules = [("length not minimal", "[MQTT-1.5.5-1]", MALFORMED, vec![0xC0, 0x80, 0x00])];
    assert_refused(V5, Side::Server, &rules);
}

#[test]
fn packets_above_the_maximum_packet_size_are_refused_by_their_header() {
    // [MQTT-3.2.2-15]
    let mut decoder = decoder(V5, Side::Server);
    decoder.set_maximum_packet_size(100);
    assert_eq!(decoder.packet_len(&[0x30]), Ok(None));
    assert_eq!(decoder.packet_len(&[0x30, 98]), Ok(Some(100)));
    let error = decoder.packet_len(&[0x30, 99]).unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::PACKET_TOO_LARGE);
    let error = decoder.packet_len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).unwrap_err();
    assert!(matches!(error, DecodeError::PacketTooLarge { size: 268_435_460, limit: 100, .. }), "{error}");
}

#[test]
fn publish_is_refused_for_its_form() {
    let properties = |properties: &[u8]| with_properties(0x30, b"\0\x01t", properties, b"payload");
    let rules = [
        ("wildcard #", "[MQTT-3.3.2-2]", MALFORMED, frame(0x30, &[b"\0\x03a/#\0"])),
        ("empty, no alias", "[MQTT-4.7.3-1]", PROTOCOL, frame(0x30, &[b"\0\0\0"])),
        ("U+0000", "[MQTT-1.5.4-2]", MALFORMED, frame(0x30, &[b"\0\x01\0\0"])),
        ("identifier 0", "[MQTT-2.2.1-3]", PROTOCOL, frame(0x32, &[b"\0\x01t\0\0\0"])),
        ("no identifier", GENERAL, MALFORMED, frame(0x32, &[b"\0\x01t"])),
        ("Topic Alias 0", "[MQTT-3.3.2-8]", ReasonCode::TOPIC_ALIAS_INVALID, properties(b"\x23\0\0")),
        ("Topic Alias twice", PROPERTY, PROTOCOL, properties(b"\x23\0\x01\x23\0\x01")),
        ("Subscription Identifier", "[MQTT-3.3.4-6]", PROTOCOL, properties(b"\x0B\x01")),
        ("Payload Format 2", GENERAL, PROTOCOL, properties(b"\x01\x02")),
        ("Message Expiry twice", PROPERTY, PROTOCOL, properties(b"\x02\0\0\0\x01\x02\0\0\0\x01")),
        ("Response Topic wildcard", "[MQTT-3.3.2-14]", MALFORMED, properties(b"\x08\0\x01#")),
        ("Response Topic empty", "[MQTT-4.7.3-1]", MALFORMED, properties(b"\x08\0\0")),
        ("Content Type U+0000", "[MQTT-1.5.4-2]", MALFORMED, properties(b"\x03\0\x01\0")),
        ("User Property not UTF-8", "[MQTT-1.5.4-1]", MALFORMED, properties(b"\x26\0\x01n\0\x01\xFF")),
        ("Reason String", PROPERTY, MALFORMED, properties(b"\x1F\0\x01r")),
        ("Will Delay", PROPERTY, MALFORMED, properties(b"\x18\0\0\0\x01")),
        ("properties cut short", GENERAL, MALFORMED, frame(0x30, &[b"\0\x01t\x05\x01\x01"])),
    ];
    assert_refused(V5, Side::Server, &rules);
    let rules = [
        ("wildcard +", "[MQTT-3.3.2-2]", MALFORMED, frame(0x30, &[b"\0\x01+"])),
        ("empty topic", "[MQTT-4.7.3-1]", PROTOCOL, frame(0x30, &[b"\0\0"])),
        ("identifier 0", "[MQTT-2.3.1-1]", PROTOCOL, frame(0x34, &[b"\0\x01t\0\0"])),
        ("U+0000", "[MQTT-1.5.3-2]", MALFORMED, frame(0x30, &[b"\0\x01\0"])),
    ];
    assert_refused(V311, Side::Server, &rules);
    let rules = [
        ("identifier 0", "[MQTT-2.2.1-4]", PROTOCOL, frame(0x32, &[b"\0\x01t\0\0\0"])),
        ("Subscription Identifier 0", "MQTT 5.0 section 3.8.2.1.2", PROTOCOL, properties(b"\x0B\0")),
    ];
    assert_refused(V5, Side::Client, &rules);
}

#[test]
fn acknowledgements_are_refused_for_their_form() {
    for (first_byte, statement, foreign) in [
        (0x40, "[MQTT-3.4.2-1]", 0x92),
        (0x50, "[MQTT-3.5.2-1]", 0x01),
        (0x62, "[MQTT-3.6.2-1]", 0x10),
        (0x70, "[MQTT-3.7.2-1]", 0x91),
    ] {
        let rules = [
            ("identifier 0", "[MQTT-2.2.1-3]", PROTOCOL, frame(first_byte, &[b"\0\0"])),
            ("identifier cut short", GENERAL, MALFORMED, frame(first_byte, &[b"\0"])),
            ("code of other packets", statement, PROTOCOL, frame(first_byte, &[b"\0\x01", &[foreign]])),
            ("unknown code", statement, PROTOCOL, frame(first_byte, &[b"\0\x01\xFF"])),
            ("foreign property", PROPERTY, MALFORMED, frame(first_byte, &[b"\0\x01\0\x03\x23\0\x01"])),
            (
                "Reason String twice",
                PROPERTY,
                PROTOCOL,
                frame(first_byte, &[b"\0\x01\0\x08\x1F\0\x01a\x1F\0\x01a"]),
            ),
            ("bytes after the end", GENERAL, MALFORMED, frame(first_byte, &[b"\0\x01\0\0\0"])),
        ];
        assert_refused(V5, Side::Server, &rules);
        let rules = [
            ("identifier 0", "[MQTT-2.3.1-1]", PROTOCOL, frame(first_byte, &[b"\0\0"])),
            ("a Reason Code", GENERAL_311, MALFORMED, frame(first_byte, &[b"\0\x01\0"])),
        ];
        assert_refused(V311, Side::Server, &rules);
        for body in [&b"\0\x01"[..], b"\0\x01\0", b"\0\x01\0\0"] {
            assert_accepted(V5, Side::Server, &frame(first_byte, &[body]));
        }
    }
}

#[test]
fn subscribe_and_unsubscribe_are_refused_for_their_form() {
    let options =
        |filter: &[u8], options| frame(0x82, &[b"\0\x01\0\0", &[filter.len() as u8], filter, &[options]]);
    let properties = |properties: &[u8]| with_properties(0x82, b"\0\x01", properties, b"\0\x01f\0");
    let rules = [
        ("identifier 0", "[MQTT-2.2.1-3]", PROTOCOL, frame(0x82, &[b"\0\0\0\0\x01f\0"])),
        ("no filter", "[MQTT-3.8.3-2]", PROTOCOL, frame(0x82, &[b"\0\x01\0"])),
        ("reserved bits", "[MQTT-3.8.3-5]", MALFORMED, options(b"f", 0x40)),
        ("QoS 3", "MQTT 5.0 section 3.8.3.1", PROTOCOL, options(b"f", 0x03)),
        ("Retain Handling 3", "MQTT 5.0 section 3.8.3.1", PROTOCOL, options(b"f", 0x30)),
        ("No Local shared", "[MQTT-3.8.3-4]", PROTOCOL, options(b"$share/g/f", 0x04)),
        ("no options", GENERAL, MALFORMED, frame(0x82, &[b"\0\x01\0\0\x01f"])),
        ("U+0000", "[MQTT-1.5.4-2]", MALFORMED, options(b"\0", 0)),
        ("identifier 0", "MQTT 5.0 section 3.8.2.1.2", PROTOCOL, properties(b"\x0B\0")),
        ("identifier not minimal", "[MQTT-1.5.5-1]", MALFORMED, properties(b"\x0B\x81\0")),
        ("identifier too long", "MQTT 5.0 section 1.5.5", MALFORMED, properties(b"\x0B\xFF\xFF\xFF\xFF\x01")),
        ("identifier twice", PROPERTY, PROTOCOL, properties(b"\x0B\x01\x0B\x01")),
        ("foreign property", PROPERTY, MALFORMED, properties(b"\x1F\0\0")),
        ("UNSUBSCRIBE identifier 0", "[MQTT-2.2.1-3]", PROTOCOL, frame(0xA2, &[b"\0\0\0\0\x01f"])),
        ("UNSUBSCRIBE no filter", "[MQTT-3.10.3-2]", PROTOCOL, frame(0xA2, &[b"\0\x01\0"])),
        ("UNSUBSCRIBE U+0000", "[MQTT-1.5.4-2]", MALFORMED, frame(0xA2, &[b"\0\x01\0\0\x01\0"])),
        ("UNSUBSCRIBE property", PROPERTY, MALFORMED, frame(0xA2, &[b"\0\x01\x02\x0B\x01\0\x01f"])),
    ];
    assert_refused(V5, Side::Server, &rules);
    let rules = [
        ("identifier 0", "[MQTT-2.3.1-1]", PROTOCOL, frame(0x82, &[b"\0\0\0\x01f\0"])),
        ("no filter", "[MQTT-3.8.3-3]", PROTOCOL, frame(0x82, &[b"\0\x01"])),
        ("QoS 3", "[MQTT-3-8.3-4]", MALFORMED, frame(0x82, &[b"\0\x01\0\x01f\x03"])),
        ("options of 5.0", "[MQTT-3-8.3-4]", MALFORMED, frame(0x82, &[b"\0\x01\0\x01f\x04"])),
        ("UNSUBSCRIBE no filter", "[MQTT-3.10.3-2]", PROTOCOL, frame(0xA2, &[b"\0\x01"])),
    ];
    assert_refused(V311, Side::Server, &rules);
}

#[test]
fn disconnect_and_auth_are_refused_for_their_form() {
    let rules = [("body in 3.1.1", GENERAL_311, MALFORMED, frame(0xE0, &[b"\0"]))];
    assert_refused(V311, Side::Server, &rules);
    let method = "MQTT 5.0 section 3.15.2.2.2";
    let data = "MQTT 5.0 section 3.1.2.11.10";
    let rules = [
        ("unknown code", "[MQTT-3.14.2-1]", PROTOCOL, frame(0xE0, &[b"\x05"])),
        ("code of other packets", "[MQTT-3.14.2-1]", PROTOCOL, frame(0xE0, &[b"\x91"])),
        ("foreign property", PROPERTY, MALFORMED, frame(0xE0, &[b"\0\x03\x21\0\x01"])),
        ("bytes after the end", GENERAL, MALFORMED, frame(0xE0, &[b"\0\0\0"])),
        ("PINGREQ with a body", GENERAL, MALFORMED, frame(0xC0, &[b"\0"])),
        ("AUTH unknown code", "[MQTT-3.15.2-1]", PROTOCOL, frame(0xF0, &[b"\x80\0"])),
        ("AUTH Success", "[MQTT-3.15.2-1]", PROTOCOL, frame(0xF0, &[])),
        ("AUTH no properties", GENERAL, MALFORMED, frame(0xF0, &[b"\x18"])),
        ("AUTH no method", method, PROTOCOL, frame(0xF0, &[b"\x18\0"])),
        ("AUTH data only", data, PROTOCOL, frame(0xF0, &[b"\x18\x03\x16\0\0"])),
        ("AUTH foreign property", PROPERTY, MALFORMED, frame(0xF0, &[b"\x18\x03\x21\0\x01"])),
    ];
    assert_refused(V5, Side::Server, &rules);
    let expiry = frame(0xE0, &[b"\0\x05\x11\0\0\0\x01"]);
    assert_accepted(V5, Side::Server, &expiry);
    let rules = [
        ("expiry from a Server", "[MQTT-3.14.2-2]", PROTOCOL, expiry),
        ("with Will from a Server", "[MQTT-3.14.2-1]", PROTOCOL, frame(0xE0, &[b"\x04"])),
        ("Re-authenticate", "[MQTT-3.15.2-1]", PROTOCOL, frame(0xF0, &[b"\x19\x04\x15\0\x01m"])),
    ];
    assert_refused(V5, Side::Client, &rules);
}

#[test]
fn answers_of_a_server_are_refused_for_their_form() {
    let properties = |properties: &[u8]| with_properties(0x20, b"\0\0", properties, b"");
    let rules = [
        ("reserved bit", "[MQTT-3.2.2-1]", MALFORMED, frame(0x20, &[b"\x02\0\0"])),
        ("refused with Session", "[MQTT-3.2.2-6]", PROTOCOL, frame(0x20, &[b"\x01\x87\0"])),
        ("unknown code", "[MQTT-3.2.2-8]", PROTOCOL, frame(0x20, &[b"\0\x05\0"])),
        ("Maximum QoS 2", GENERAL, PROTOCOL, properties(b"\x24\x02")),
        ("Retain Available 2", GENERAL, PROTOCOL, properties(b"\x25\x02")),
        ("Receive Maximum 0", "MQTT 5.0 section 3.1.2.11.3", PROTOCOL, properties(b"\x21\0\0")),
        ("foreign property", PROPERTY, MALFORMED, properties(b"\x17\0")),
        ("bytes after the end", GENERAL, MALFORMED, frame(0x20, &[b"\0\0\0\0"])),
        ("SUBACK code", "[MQTT-3.9.3-2]", PROTOCOL, frame(0x90, &[b"\0\x01\0\x03"])),
        ("SUBACK no code", "[MQTT-3.9.3-2]", PROTOCOL, frame(0x90, &[b"\0\x01\0"])),
        ("UNSUBACK code", "[MQTT-3.11.3-2]", PROTOCOL, frame(0xB0, &[b"\0\x01\0\x01"])),
        ("PINGRESP with a body", GENERAL, MALFORMED, frame(0xD0, &[b"\0"])),
    ];
    assert_refused(V5, Side::Client, &rules);
    let rules = [
        ("refused with Session", "[MQTT-3.2.2-4]", PROTOCOL, frame(0x20, &[b"\x01\x05"])),
        ("reserved return code", GENERAL_311, PROTOCOL, frame(0x20, &[b"\0\x06"])),
        ("properties", GENERAL_311, MALFORMED, frame(0x20, &[b"\0\0\0"])),
        ("SUBACK code of 5.0", "[MQTT-3.9.3-2]", PROTOCOL, frame(0x90, &[b"\0\x01\x87"])),
        ("UNSUBACK payload", GENERAL_311, MALFORMED, frame(0xB0, &[b"\0\x01\0"])),
    ];
    assert_refused(V311, Side::Client, &rules);
}

#[test]
fn messages_name_packet_field_and_statement() {
    let error = decode(V5, Side::Server, &frame(0x30, &[b"\0\x01+\0"])).unwrap_err();
    let text = "decode PUBLISH: malformed packet: Topic Name: contains a wildcard [MQTT-3.3.2-2]";
    assert_eq!(error.to_string(), text);
}
