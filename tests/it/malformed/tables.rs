//! What a client may send wrong, one line each: what it is with the statement or section that forbids it, the
//! Reason Code that MQTT 5.0 has for it, and the bytes.

use tidegate::packet::ReasonCode;

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;
const ALIAS: ReasonCode = ReasonCode::TOPIC_ALIAS_INVALID;

pub type Row = (&'static str, ReasonCode, Vec<u8>);

/// A fixed header and a body; short ones only.
pub fn frame(first_byte: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128);
    [&[first_byte, body.len() as u8], body].concat()
}

/// A body with properties between a head and a tail.
fn with(first_byte: u8, head: &[u8], properties: &[u8], tail: &[u8]) -> Vec<u8> {
    frame(first_byte, &[head, &[properties.len() as u8], properties, tail].concat())
}

/// A PUBLISH to `t` with these properties.
fn publish(properties: &[u8]) -> Vec<u8> {
    with(0x30, b"\0\x01t", properties, b"x")
}

fn subscribe(properties: &[u8], filter: &[u8], options: u8) -> Vec<u8> {
    let tail = [&(filter.len() as u16).to_be_bytes(), filter, &[options]].concat();
    with(0x82, b"\0\x01", properties, &tail)
}

fn connect_v5(flags: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    with(0x10, &[b"\0\x04MQTT\x05", &[flags][..], b"\0\0"].concat(), properties, payload)
}

fn connect_v311(flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x10, &[b"\0\x04MQTT\x04", &[flags][..], b"\0\0", payload].concat())
}

/// The payload of a CONNECT of MQTT 5.0 with a Will.
fn will(properties: &[u8], topic: &[u8]) -> Vec<u8> {
    let topic = [&(topic.len() as u16).to_be_bytes(), topic].concat();
    [b"\0\x01a", &[properties.len() as u8][..], properties, &topic, b"\0\x01w"].concat()
}

/// From a client of MQTT 5.0 that is connected.
#[rustfmt::skip]
pub fn connected_v5() -> Vec<Row> {
    [fixed_headers_v5(), publishes_v5(), acknowledgements_v5(), subscriptions_v5(), ends_v5()].concat()
}

#[rustfmt::skip]
fn fixed_headers_v5() -> Vec<Row> {
    vec![
        ("reserved packet type 0 [MQTT-2.1.3-1]", MALFORMED, b"\x00\x00".to_vec()),
        ("remaining length of five bytes, section 1.5.5", MALFORMED, b"\x30\xff\xff\xff\xff\x01".to_vec()),
        ("remaining length not minimal [MQTT-1.5.5-1]", MALFORMED, b"\xc0\x80\x00".to_vec()),
        ("PUBACK with flags [MQTT-2.1.3-1]", MALFORMED, b"\x42\x02\x00\x01".to_vec()),
        ("PUBREC with flags [MQTT-2.1.3-1]", MALFORMED, b"\x51\x02\x00\x01".to_vec()),
        ("PUBREL without its flags [MQTT-3.6.1-1]", MALFORMED, b"\x60\x02\x00\x01".to_vec()),
        ("PUBCOMP with flags [MQTT-2.1.3-1]", MALFORMED, b"\x78\x02\x00\x01".to_vec()),
        ("SUBSCRIBE without its flags [MQTT-3.8.1-1]", MALFORMED, b"\x80\x07\x00\x01\x00\x00\x01a\x00".to_vec()),
        ("UNSUBSCRIBE without its flags [MQTT-3.10.1-1]", MALFORMED, b"\xa0\x06\x00\x01\x00\x00\x01a".to_vec()),
        ("PINGREQ with flags [MQTT-2.1.3-1]", MALFORMED, b"\xc1\x00".to_vec()),
        ("DISCONNECT with flags [MQTT-3.14.1-1]", MALFORMED, b"\xe1\x00".to_vec()),
        ("AUTH with flags [MQTT-3.15.1-1]", MALFORMED, b"\xf1\x00".to_vec()),
        ("PINGREQ with a body [MQTT-4.13.1-1]", MALFORMED, b"\xc0\x01x".to_vec()),
        ("a second CONNECT [MQTT-3.1.0-2]", PROTOCOL, connect_v5(2, b"", b"\0\x01a")),
        ("CONNACK from a client, section 2.1.2", PROTOCOL, b"\x20\x03\x00\x00\x00".to_vec()),
        ("SUBACK from a client, section 2.1.2", PROTOCOL, b"\x90\x04\x00\x01\x00\x00".to_vec()),
        ("UNSUBACK from a client, section 2.1.2", PROTOCOL, b"\xb0\x04\x00\x01\x00\x00".to_vec()),
        ("PINGRESP from a client, section 2.1.2", PROTOCOL, b"\xd0\x00".to_vec()),
    ]
}

#[rustfmt::skip]
fn publishes_v5() -> Vec<Row> {
    vec![
        ("PUBLISH of QoS 3 [MQTT-3.3.1-4]", MALFORMED, frame(0x36, b"\0\x01a\0\x01\0")),
        ("PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2]", MALFORMED, frame(0x38, b"\0\x01a\0")),
        ("PUBLISH of nothing at all [MQTT-3.3.2-1]", MALFORMED, frame(0x30, b"")),
        ("PUBLISH whose topic is longer than the packet [MQTT-3.3.2-1]", MALFORMED, frame(0x30, b"\0\x0aa")),
        ("PUBLISH of QoS 1 without a packet identifier [MQTT-2.2.1-3]", MALFORMED, frame(0x32, b"\0\x01a")),
        ("PUBLISH of QoS 1 with packet identifier 0 [MQTT-2.2.1-3]", PROTOCOL, frame(0x32, b"\0\x01a\0\0\0")),
        ("PUBLISH of QoS 2 with packet identifier 0 [MQTT-2.2.1-3]", PROTOCOL, frame(0x34, b"\0\x01a\0\0\0")),
        ("PUBLISH to nothing [MQTT-4.7.3-1]", PROTOCOL, frame(0x30, b"\0\0\0")),
        ("PUBLISH to # [MQTT-3.3.2-2]", MALFORMED, frame(0x30, b"\0\x01#\0")),
        ("PUBLISH to t/+/x [MQTT-3.3.2-2], [MQTT-4.7.0-1]", MALFORMED, frame(0x30, b"\0\x05t/+/x\0")),
        ("PUBLISH to U+0000 [MQTT-1.5.4-2], [MQTT-4.7.3-2]", MALFORMED, frame(0x30, b"\0\x01\0\0")),
        ("PUBLISH to what is not UTF-8 [MQTT-1.5.4-1]", MALFORMED, frame(0x30, b"\0\x01\xff\0")),
        ("PUBLISH to half a character [MQTT-1.5.4-1]", MALFORMED, frame(0x30, b"\0\x01\xc3\0")),
        ("PUBLISH to a surrogate [MQTT-1.5.4-1]", MALFORMED, frame(0x30, b"\0\x03\xed\xa0\x80\0")),
        ("PUBLISH to an overlong letter [MQTT-1.5.4-1]", MALFORMED, frame(0x30, b"\0\x02\xc1\x81\0")),
        ("PUBLISH beyond U+10FFFF [MQTT-1.5.4-1]", MALFORMED, frame(0x30, b"\0\x04\xf4\x90\x80\x80\0")),
        ("PUBLISH without a property length [MQTT-2.2.2-1]", MALFORMED, frame(0x30, b"\0\x01a")),
        ("PUBLISH with a property length beyond the packet, section 2.2.2.1", MALFORMED, frame(0x30, b"\0\x01a\x09")),
        ("PUBLISH with a property cut short, section 2.2.2", MALFORMED, publish(b"\x02\0\0")),
        ("PUBLISH with an unknown property, section 2.2.2.2", MALFORMED, publish(b"\x7f\0")),
        ("PUBLISH with a property of CONNECT, section 2.2.2.2", MALFORMED, publish(b"\x21\0\x01")),
        ("PUBLISH with a Reason String, section 2.2.2.2", MALFORMED, publish(b"\x1f\0\x01r")),
        ("PUBLISH with a Payload Format Indicator of 2, section 3.3.2.3.2", PROTOCOL, publish(b"\x01\x02")),
        ("PUBLISH with two Payload Format Indicators, section 3.3.2.3.2", PROTOCOL, publish(b"\x01\x01\x01\x01")),
        ("PUBLISH with two expiry intervals, section 3.3.2.3.3", PROTOCOL, publish(b"\x02\0\0\0\x01\x02\0\0\0\x01")),
        ("PUBLISH with topic alias 0 [MQTT-3.3.2-8]", ALIAS, publish(b"\x23\0\0")),
        ("PUBLISH with two topic aliases, section 3.3.2.3.4", PROTOCOL, publish(b"\x23\0\x01\x23\0\x01")),
        ("PUBLISH with a topic alias above the maximum [MQTT-3.3.2-9]", ALIAS, publish(b"\x23\xff\xff")),
        ("PUBLISH by an alias that was never set, section 3.3.4", PROTOCOL, with(0x30, b"\0\0", b"\x23\0\x01", b"x")),
        ("PUBLISH by an alias above the maximum [MQTT-3.3.2-9]", ALIAS, with(0x30, b"\0\0", b"\x23\xff\xff", b"x")),
        ("PUBLISH with two response topics, section 3.3.2.3.5", PROTOCOL, publish(b"\x08\0\x01a\x08\0\x01a")),
        ("PUBLISH whose response topic is a filter [MQTT-3.3.2-14]", MALFORMED, publish(b"\x08\0\x01#")),
        ("PUBLISH whose response topic is empty [MQTT-4.7.3-1]", MALFORMED, publish(b"\x08\0\0")),
        ("PUBLISH whose response topic is not UTF-8 [MQTT-3.3.2-13]", MALFORMED, publish(b"\x08\0\x01\xff")),
        ("PUBLISH with correlation data twice, section 3.3.2.3.6", PROTOCOL, publish(b"\x09\0\0\x09\0\0")),
        ("PUBLISH whose content type is not UTF-8 [MQTT-3.3.2-19]", MALFORMED, publish(b"\x03\0\x01\xff")),
        ("PUBLISH with two content types, section 3.3.2.3.9", PROTOCOL, publish(b"\x03\0\x01a\x03\0\x01a")),
        ("PUBLISH with half a user property [MQTT-1.5.7-1]", MALFORMED, publish(b"\x26\0\x01k")),
        ("PUBLISH with a user property's name not UTF-8 [MQTT-1.5.7-1]", MALFORMED, publish(b"\x26\0\x01\xff\0\x01v")),
        ("PUBLISH with a user property's value not UTF-8 [MQTT-1.5.7-1]", MALFORMED, publish(b"\x26\0\x01k\0\x01\xff")),
        ("PUBLISH with a subscription identifier [MQTT-3.3.4-6]", PROTOCOL, publish(b"\x0b\x01")),
    ]
}

#[rustfmt::skip]
fn acknowledgements_v5() -> Vec<Row> {
    let mut rows = Vec::new();
    for (first_byte, foreign) in [(0x40, 0x92), (0x50, 0x92), (0x62, 0x80), (0x70, 0x80)] {
        rows.extend([
            ("acknowledgement without an identifier, section 2.2.1", MALFORMED, frame(first_byte, b"")),
            ("acknowledgement cut short, section 2.2.1", MALFORMED, frame(first_byte, b"\0")),
            ("acknowledgement of identifier 0 [MQTT-2.2.1-5]", PROTOCOL, frame(first_byte, b"\0\0")),
            ("acknowledgement with the Reason Code of another packet [MQTT-3.4.2-1]", PROTOCOL, frame(first_byte, &[0, 1, foreign])),
            ("acknowledgement with a Reason Code that nobody knows [MQTT-3.5.2-1]", PROTOCOL, frame(first_byte, b"\0\x01\x7b")),
            ("acknowledgement with a property of PUBLISH, section 2.2.2.2", MALFORMED, frame(first_byte, b"\0\x01\0\x03\x23\0\x01")),
            ("acknowledgement with two Reason Strings, section 3.4.2.2.2", PROTOCOL, frame(first_byte, b"\0\x01\0\x06\x1f\0\0\x1f\0\0")),
            ("acknowledgement with bytes behind its end [MQTT-4.13.1-1]", MALFORMED, frame(first_byte, b"\0\x01\0\0\0")),
        ]);
    }
    rows
}

#[rustfmt::skip]
fn subscriptions_v5() -> Vec<Row> {
    vec![
        ("SUBSCRIBE without a filter [MQTT-3.8.3-2]", PROTOCOL, frame(0x82, b"\0\x01\0")),
        ("SUBSCRIBE with packet identifier 0 [MQTT-2.2.1-3]", PROTOCOL, frame(0x82, b"\0\0\0\0\x01a\0")),
        ("SUBSCRIBE that ends in its filter [MQTT-3.8.3-1]", MALFORMED, frame(0x82, b"\0\x01\0\0\x05a")),
        ("SUBSCRIBE that ends before its options [MQTT-3.8.3-2]", MALFORMED, frame(0x82, b"\0\x01\0\0\x01a")),
        ("SUBSCRIBE whose second filter has no options [MQTT-3.8.3-2]", MALFORMED, frame(0x82, b"\0\x01\0\0\x01a\0\0\x01b")),
        ("SUBSCRIBE with QoS 3, section 3.8.3.1", PROTOCOL, subscribe(b"", b"a", 0x03)),
        ("SUBSCRIBE with the first reserved bit [MQTT-3.8.3-5]", MALFORMED, subscribe(b"", b"a", 0x40)),
        ("SUBSCRIBE with the second reserved bit [MQTT-3.8.3-5]", MALFORMED, subscribe(b"", b"a", 0x80)),
        ("SUBSCRIBE with Retain Handling 3, section 3.8.3.1", PROTOCOL, subscribe(b"", b"a", 0x30)),
        ("SUBSCRIBE to a shared filter with No Local [MQTT-3.8.3-4]", PROTOCOL, subscribe(b"", b"$share/g/t", 0x04)),
        ("SUBSCRIBE with subscription identifier 0, section 3.8.2.1.2", PROTOCOL, subscribe(b"\x0b\0", b"a", 0)),
        ("SUBSCRIBE with two subscription identifiers, section 3.8.2.1.2", PROTOCOL, subscribe(b"\x0b\x01\x0b\x01", b"a", 0)),
        ("SUBSCRIBE with an identifier not minimal [MQTT-1.5.5-1]", MALFORMED, subscribe(b"\x0b\x81\0", b"a", 0)),
        ("SUBSCRIBE with an identifier of five bytes, section 1.5.5", MALFORMED, subscribe(b"\x0b\xff\xff\xff\xff\x01", b"a", 0)),
        ("SUBSCRIBE with a property of PUBLISH, section 2.2.2.2", MALFORMED, subscribe(b"\x01\x01", b"a", 0)),
        ("SUBSCRIBE to what is not UTF-8 [MQTT-3.8.3-1]", MALFORMED, subscribe(b"", b"\xff", 0)),
        ("SUBSCRIBE to U+0000 [MQTT-4.7.3-2]", MALFORMED, subscribe(b"", b"\0", 0)),
        ("SUBSCRIBE to nothing [MQTT-4.7.3-1]", MALFORMED, subscribe(b"", b"", 0)),
        ("SUBSCRIBE to a/#/b [MQTT-4.7.1-1]", MALFORMED, subscribe(b"", b"a/#/b", 0)),
        ("SUBSCRIBE to a# [MQTT-4.7.1-1]", MALFORMED, subscribe(b"", b"a#", 0)),
        ("SUBSCRIBE to a+/b [MQTT-4.7.1-2]", MALFORMED, subscribe(b"", b"a+/b", 0)),
        ("SUBSCRIBE to a group without a name [MQTT-4.8.2-1]", MALFORMED, subscribe(b"", b"$share//a", 0)),
        ("SUBSCRIBE to a group whose name is a wildcard [MQTT-4.8.2-2]", MALFORMED, subscribe(b"", b"$share/+/a", 0)),
        ("SUBSCRIBE to a group without a filter [MQTT-4.8.2-2]", MALFORMED, subscribe(b"", b"$share/g", 0)),
        ("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", PROTOCOL, frame(0xa2, b"\0\x01\0")),
        ("UNSUBSCRIBE with packet identifier 0 [MQTT-2.2.1-3]", PROTOCOL, frame(0xa2, b"\0\0\0\0\x01a")),
        ("UNSUBSCRIBE cut short [MQTT-3.10.3-1]", MALFORMED, frame(0xa2, b"\0\x01\0\0\x05a")),
        ("UNSUBSCRIBE of what is not UTF-8 [MQTT-3.10.3-1]", MALFORMED, frame(0xa2, b"\0\x01\0\0\x01\xff")),
        ("UNSUBSCRIBE of a/#/b [MQTT-4.7.1-1]", MALFORMED, frame(0xa2, b"\0\x01\0\0\x05a/#/b")),
        ("UNSUBSCRIBE with a subscription identifier, section 2.2.2.2", MALFORMED, frame(0xa2, b"\0\x01\x02\x0b\x01\0\x01a")),
    ]
}

#[rustfmt::skip]
fn ends_v5() -> Vec<Row> {
    vec![
        ("DISCONNECT with a Reason Code that nobody knows [MQTT-3.14.2-1]", PROTOCOL, frame(0xe0, b"\x7b")),
        ("DISCONNECT with the Reason Code of CONNACK [MQTT-3.14.2-1]", PROTOCOL, frame(0xe0, b"\x86")),
        ("DISCONNECT with a property of CONNECT, section 2.2.2.2", MALFORMED, frame(0xe0, b"\0\x03\x21\0\x01")),
        ("DISCONNECT with two expiry intervals, section 3.14.2.2.2", PROTOCOL, frame(0xe0, b"\0\x0a\x11\0\0\0\0\x11\0\0\0\0")),
        ("DISCONNECT that keeps a session which was to end, section 3.14.2.2.2", PROTOCOL, frame(0xe0, b"\0\x05\x11\0\0\0\x01")),
        ("DISCONNECT with a Reason String that is not UTF-8 [MQTT-1.5.4-1]", MALFORMED, frame(0xe0, b"\x04\x04\x1f\0\x01\xff")),
        ("DISCONNECT with bytes behind its end [MQTT-4.13.1-1]", MALFORMED, frame(0xe0, b"\0\0\0")),
        ("AUTH where CONNECT named no method [MQTT-4.12.0-7]", PROTOCOL, frame(0xf0, b"\x19\x04\x15\0\x01m")),
        ("AUTH of nothing [MQTT-3.15.2-1]", PROTOCOL, frame(0xf0, b"")),
        ("AUTH without a method, section 3.15.2.2.2", PROTOCOL, frame(0xf0, b"\x18\0")),
        ("AUTH with a Reason Code that nobody knows [MQTT-3.15.2-1]", PROTOCOL, frame(0xf0, b"\x80\0")),
        ("AUTH with a property of PUBLISH, section 2.2.2.2", MALFORMED, frame(0xf0, b"\x18\x03\x23\0\x01")),
    ]
}

/// From a client of MQTT 3.1.1 that is connected; the bytes of this version where it differs.
#[rustfmt::skip]
pub fn connected_v311() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("reserved packet type 0 [MQTT-2.2.2-2]", b"\x00\x00".to_vec()),
        ("packet type 15 [MQTT-2.2.2-2]", b"\xf0\x00".to_vec()),
        ("remaining length of five bytes, section 2.2.3", b"\x30\xff\xff\xff\xff\x01".to_vec()),
        ("PUBACK with flags [MQTT-2.2.2-2]", b"\x42\x02\x00\x01".to_vec()),
        ("PUBREL without its flags [MQTT-3.6.1-1]", b"\x60\x02\x00\x01".to_vec()),
        ("SUBSCRIBE without its flags [MQTT-3.8.1-1]", b"\x80\x06\x00\x01\x00\x01a\x00".to_vec()),
        ("UNSUBSCRIBE without its flags [MQTT-3.10.1-1]", b"\xa0\x05\x00\x01\x00\x01a".to_vec()),
        ("PINGREQ with flags [MQTT-2.2.2-2]", b"\xc1\x00".to_vec()),
        ("PINGREQ with a body [MQTT-4.8.0-1]", b"\xc0\x01x".to_vec()),
        ("DISCONNECT with flags [MQTT-3.14.1-1]", b"\xe1\x00".to_vec()),
        ("DISCONNECT with the Reason Code of 5.0 [MQTT-4.8.0-1]", b"\xe0\x01\x00".to_vec()),
        ("a second CONNECT [MQTT-3.1.0-2]", connect_v311(2, b"\0\x01a")),
        ("CONNACK from a client [MQTT-4.8.0-1]", b"\x20\x02\x00\x00".to_vec()),
        ("SUBACK from a client [MQTT-4.8.0-1]", b"\x90\x03\x00\x01\x00".to_vec()),
        ("UNSUBACK from a client [MQTT-4.8.0-1]", b"\xb0\x02\x00\x01".to_vec()),
        ("PINGRESP from a client [MQTT-4.8.0-1]", b"\xd0\x00".to_vec()),
        ("PUBLISH of QoS 3 [MQTT-3.3.1-4]", frame(0x36, b"\0\x01a\0\x01")),
        ("PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2]", frame(0x38, b"\0\x01a")),
        ("PUBLISH of nothing at all [MQTT-3.3.2-1]", frame(0x30, b"")),
        ("PUBLISH of QoS 1 with packet identifier 0 [MQTT-2.3.1-1]", frame(0x32, b"\0\x01a\0\0")),
        ("PUBLISH of QoS 2 without a packet identifier [MQTT-2.3.1-1]", frame(0x34, b"\0\x01a")),
        ("PUBLISH to nothing [MQTT-4.7.3-1]", frame(0x30, b"\0\0")),
        ("PUBLISH to # [MQTT-3.3.2-2]", frame(0x30, b"\0\x01#")),
        ("PUBLISH to t/+/x [MQTT-4.7.1-1]", frame(0x30, b"\0\x05t/+/x")),
        ("PUBLISH to U+0000 [MQTT-1.5.3-2], [MQTT-4.7.3-2]", frame(0x30, b"\0\x01\0")),
        ("PUBLISH to what is not UTF-8 [MQTT-1.5.3-1]", frame(0x30, b"\0\x01\xff")),
        ("PUBLISH to a surrogate [MQTT-1.5.3-1]", frame(0x30, b"\0\x03\xed\xa0\x80")),
        ("PUBACK cut short [MQTT-4.8.0-1]", frame(0x40, b"\0")),
        ("PUBACK of identifier 0 [MQTT-2.3.1-6]", frame(0x40, b"\0\0")),
        ("PUBREC with a Reason Code of 5.0 [MQTT-4.8.0-1]", frame(0x50, b"\0\x01\0")),
        ("PUBREL of identifier 0 [MQTT-2.3.1-6]", frame(0x62, b"\0\0")),
        ("PUBCOMP cut short [MQTT-4.8.0-1]", frame(0x70, b"\0")),
        ("SUBSCRIBE without a filter [MQTT-3.8.3-3]", frame(0x82, b"\0\x01")),
        ("SUBSCRIBE with packet identifier 0 [MQTT-2.3.1-1]", frame(0x82, b"\0\0\0\x01a\0")),
        ("SUBSCRIBE that ends in its filter [MQTT-3.8.3-1]", frame(0x82, b"\0\x01\0\x05a")),
        ("SUBSCRIBE that ends before its QoS [MQTT-4.8.0-1]", frame(0x82, b"\0\x01\0\x01a")),
        ("SUBSCRIBE whose second filter has no QoS [MQTT-4.8.0-1]", frame(0x82, b"\0\x01\0\x01a\0\0\x01b")),
        ("SUBSCRIBE with QoS 3 [MQTT-3-8.3-4]", frame(0x82, b"\0\x01\0\x01a\x03")),
        ("SUBSCRIBE with an option of 5.0 [MQTT-3-8.3-4]", frame(0x82, b"\0\x01\0\x01a\x04")),
        ("SUBSCRIBE with the topmost reserved bit [MQTT-3-8.3-4]", frame(0x82, b"\0\x01\0\x01a\x80")),
        ("SUBSCRIBE to what is not UTF-8 [MQTT-3.8.3-1]", frame(0x82, b"\0\x01\0\x01\xff\0")),
        ("SUBSCRIBE to nothing [MQTT-4.7.3-1]", frame(0x82, b"\0\x01\0\0\0")),
        ("SUBSCRIBE to a/#/b [MQTT-4.7.1-2]", frame(0x82, b"\0\x01\0\x05a/#/b\0")),
        ("SUBSCRIBE to a+ [MQTT-4.7.1-3]", frame(0x82, b"\0\x01\0\x02a+\0")),
        ("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", frame(0xa2, b"\0\x01")),
        ("UNSUBSCRIBE with packet identifier 0 [MQTT-2.3.1-1]", frame(0xa2, b"\0\0\0\x01a")),
        ("UNSUBSCRIBE of what is not UTF-8 [MQTT-3.10.3-1]", frame(0xa2, b"\0\x01\0\x01\xff")),
        ("UNSUBSCRIBE cut short [MQTT-3.10.3-1]", frame(0xa2, b"\0\x01\0\x05a")),
    ]
}

/// A first packet of MQTT 5.0, answered with a CONNACK that says this.
#[rustfmt::skip]
pub fn first_v5() -> Vec<Row> {
    let properties = |properties: &[u8]| connect_v5(0x02, properties, b"\0\x01a");
    let with_will = |properties: &[u8], topic: &[u8]| connect_v5(0x06, b"", &will(properties, topic));
    vec![
        ("the reserved flag [MQTT-3.1.2-3]", MALFORMED, connect_v5(0x03, b"", b"\0\x01a")),
        ("a Will QoS of 3 [MQTT-3.1.2-12]", MALFORMED, connect_v5(0x1e, b"", &will(b"", b"t"))),
        ("a Will QoS without a Will [MQTT-3.1.2-11]", MALFORMED, connect_v5(0x0a, b"", b"\0\x01a")),
        ("Will Retain without a Will [MQTT-3.1.2-13]", MALFORMED, connect_v5(0x22, b"", b"\0\x01a")),
        ("a Will that is not there [MQTT-3.1.2-9]", MALFORMED, connect_v5(0x06, b"", b"\0\x01a")),
        ("a Will without a payload [MQTT-3.1.2-9]", MALFORMED, connect_v5(0x06, b"", b"\0\x01a\0\0\x01t")),
        ("a user name that is not there [MQTT-3.1.2-17]", MALFORMED, connect_v5(0x82, b"", b"\0\x01a")),
        ("a user name without its flag [MQTT-3.1.2-16]", MALFORMED, connect_v5(0x02, b"", b"\0\x01a\0\x01u")),
        ("a password that is not there [MQTT-3.1.2-19]", MALFORMED, connect_v5(0xc2, b"", b"\0\x01a\0\x01u")),
        ("a password without its flag [MQTT-3.1.2-18]", MALFORMED, connect_v5(0x82, b"", b"\0\x01a\0\x01u\0\x01p")),
        ("no Client Identifier [MQTT-3.1.3-3]", MALFORMED, connect_v5(0x02, b"", b"")),
        ("bytes behind its end [MQTT-3.1.4-1]", MALFORMED, connect_v5(0x02, b"", b"\0\x01ax")),
        ("no properties [MQTT-2.2.2-1]", MALFORMED, frame(0x10, b"\0\x04MQTT\x05\x02\0\0")),
        ("properties longer than the packet, section 2.2.2.1", MALFORMED, frame(0x10, b"\0\x04MQTT\x05\x02\0\0\x09\0\x01a")),
        ("a Client Identifier that is not UTF-8 [MQTT-3.1.3-4]", MALFORMED, connect_v5(0x02, b"", b"\0\x01\xff")),
        ("a Client Identifier with U+0000 [MQTT-1.5.4-2]", MALFORMED, connect_v5(0x02, b"", b"\0\x01\0")),
        ("a user name that is not UTF-8 [MQTT-3.1.3-12]", MALFORMED, connect_v5(0x82, b"", b"\0\x01a\0\x01\xff")),
        ("a Will Topic that is not UTF-8 [MQTT-3.1.3-11]", MALFORMED, with_will(b"", b"\xff")),
        ("a Will Topic with a wildcard [MQTT-4.7.0-1]", MALFORMED, with_will(b"", b"t/#")),
        ("an empty Will Topic [MQTT-4.7.3-1]", MALFORMED, with_will(b"", b"")),
        ("two delays of a Will, section 3.1.3.2.2", PROTOCOL, with_will(b"\x18\0\0\0\x01\x18\0\0\0\x01", b"t")),
        ("a Will with a Payload Format Indicator of 2, section 3.1.3.2.3", PROTOCOL, with_will(b"\x01\x02", b"t")),
        ("a Will whose response topic is a filter [MQTT-3.3.2-14]", MALFORMED, with_will(b"\x08\0\x01+", b"t")),
        ("a Will with a topic alias, section 2.2.2.2", MALFORMED, with_will(b"\x23\0\x01", b"t")),
        ("a Receive Maximum of 0, section 3.1.2.11.3", PROTOCOL, properties(b"\x21\0\0")),
        ("two Receive Maximums, section 3.1.2.11.3", PROTOCOL, properties(b"\x21\0\x01\x21\0\x01")),
        ("a Maximum Packet Size of 0, section 3.1.2.11.4", PROTOCOL, properties(b"\x27\0\0\0\0")),
        ("two Maximum Packet Sizes, section 3.1.2.11.4", PROTOCOL, properties(b"\x27\0\0\x01\0\x27\0\0\x01\0")),
        ("two Session Expiry Intervals, section 3.1.2.11.2", PROTOCOL, properties(b"\x11\0\0\0\x01\x11\0\0\0\x01")),
        ("two Topic Alias Maximums, section 3.1.2.11.5", PROTOCOL, properties(b"\x22\0\x01\x22\0\x01")),
        ("Request Response Information of 2, section 3.1.2.11.6", PROTOCOL, properties(b"\x19\x02")),
        ("Request Problem Information of 2, section 3.1.2.11.7", PROTOCOL, properties(b"\x17\x02")),
        ("Request Problem Information twice, section 3.1.2.11.7", PROTOCOL, properties(b"\x17\0\x17\0")),
        ("a user property that is not UTF-8 [MQTT-1.5.7-1]", MALFORMED, properties(b"\x26\0\x01k\0\x01\xff")),
        ("authentication data without a method, section 3.1.2.11.10", PROTOCOL, properties(b"\x16\0\0")),
        ("two authentication methods, section 3.1.2.11.9", PROTOCOL, properties(b"\x15\0\x01m\x15\0\x01m")),
        ("a property of PUBLISH, section 2.2.2.2", MALFORMED, properties(b"\x23\0\x01")),
        ("a property that nobody knows, section 2.2.2.2", MALFORMED, properties(b"\x04\0\x01")),
        ("a property not minimal [MQTT-1.5.5-1]", MALFORMED, properties(b"\xa2\0\0\x01")),
    ]
}

/// A first packet that is closed without an answer: MQTT 3.1.1 has none [MQTT-3.1.4-1], and what is no CONNECT
/// cannot have one.
#[rustfmt::skip]
pub fn first_closed() -> Vec<(&'static str, Vec<u8>)> {
    let will = |flags: u8, topic: &[u8]| {
        connect_v311(flags, &[b"\0\x01a\0", &[topic.len() as u8][..], topic, b"\0\x01w"].concat())
    };
    vec![
        ("PINGREQ before CONNECT [MQTT-3.1.0-1]", b"\xc0\x00".to_vec()),
        ("PUBLISH before CONNECT [MQTT-3.1.0-1]", frame(0x30, b"\0\x01a")),
        ("DISCONNECT before CONNECT [MQTT-3.1.0-1]", b"\xe0\x00".to_vec()),
        ("AUTH before CONNECT [MQTT-3.1.0-1]", frame(0xf0, b"\x18\x04\x15\0\x01m")),
        ("CONNECT with flags in its header [MQTT-2.1.3-1], [MQTT-2.2.2-2]", b"\x11\x00".to_vec()),
        ("CONNECT of nothing [MQTT-3.1.4-1]", b"\x10\x00".to_vec()),
        ("CONNECT that ends in the protocol name [MQTT-3.1.4-1]", frame(0x10, b"\0\x04MQ")),
        ("the reserved flag [MQTT-3.1.2-3]", connect_v311(0x03, b"\0\x01a")),
        ("a Will QoS of 3 [MQTT-3.1.2-14]", will(0x1e, b"t")),
        ("a Will QoS without a Will [MQTT-3.1.2-13]", connect_v311(0x0a, b"\0\x01a")),
        ("Will Retain without a Will [MQTT-3.1.2-15]", connect_v311(0x22, b"\0\x01a")),
        ("a Will that is not there [MQTT-3.1.2-9]", connect_v311(0x06, b"\0\x01a")),
        ("a Will without its flag [MQTT-3.1.2-11]", will(0x02, b"t")),
        ("a Will Topic that is not UTF-8 [MQTT-3.1.3-10]", will(0x06, b"\xff")),
        ("a Will Topic with a wildcard [MQTT-4.7.1-1]", will(0x06, b"+")),
        ("an empty Will Topic [MQTT-4.7.3-1]", will(0x06, b"")),
        ("a user name that is not there [MQTT-3.1.2-19]", connect_v311(0x82, b"\0\x01a")),
        ("a user name without its flag [MQTT-3.1.2-18]", connect_v311(0x02, b"\0\x01a\0\x01u")),
        ("a user name that is not UTF-8 [MQTT-3.1.3-11]", connect_v311(0x82, b"\0\x01a\0\x01\xff")),
        ("a password that is not there [MQTT-3.1.2-21]", connect_v311(0xc2, b"\0\x01a\0\x01u")),
        ("a password without its flag [MQTT-3.1.2-20]", connect_v311(0x82, b"\0\x01a\0\x01u\0\x01p")),
        ("a password without a user name [MQTT-3.1.2-22]", connect_v311(0x42, b"\0\x01a\0\x01p")),
        ("no Client Identifier [MQTT-3.1.3-3]", connect_v311(0x02, b"")),
        ("a Client Identifier that is not UTF-8 [MQTT-3.1.3-4]", connect_v311(0x02, b"\0\x01\xff")),
        ("a Client Identifier with U+0000 [MQTT-1.5.3-2]", connect_v311(0x02, b"\0\x01\0")),
        ("bytes behind its end [MQTT-3.1.4-1]", connect_v311(0x02, b"\0\x01ax")),
    ]
}

/// One good packet of each type that a connected client sends, to be spoiled.
pub fn good_v5() -> Vec<Vec<u8>> {
    vec![
        with(0x34, b"\0\x03a/b\0\x07", b"\x02\0\0\0\x09\x26\0\x01k\0\x01v\x01\x01", b"payload"),
        frame(0x40, b"\0\x01\0\x08\x1f\0\x05words"),
        frame(0x50, b"\0\x01\x80\x08\x1f\0\x05words"),
        frame(0x62, b"\0\x01\0\x07\x26\0\x01k\0\x01v"),
        frame(0x70, b"\0\x01\x92\0"),
        subscribe(b"\x0b\x07\x26\0\x01k\0\x01v", b"a/+/#", 0x2d),
        with(0xa2, b"\0\x01", b"\x26\0\x01k\0\x01v", b"\0\x03a/b\0\x01#"),
        frame(0xe0, b"\x04\x07\x26\0\x01k\0\x01v"),
        frame(0xf0, b"\x19\x0a\x15\0\x01m\x16\0\x03abc"),
    ]
}

pub fn good_v311() -> Vec<Vec<u8>> {
    vec![
        frame(0x34, b"\0\x03a/b\0\x07payload"),
        frame(0x40, b"\0\x01"),
        frame(0x50, b"\0\x01"),
        frame(0x62, b"\0\x01"),
        frame(0x70, b"\0\x01"),
        frame(0x82, b"\0\x01\0\x05a/+/#\x02\0\x01b\0"),
        frame(0xa2, b"\0\x01\0\x03a/b\0\x01#"),
    ]
}
