//! What mosquitto_sub 2.0.11 printed of these messages; `tests/cli_clients.rs` asks it again where it is installed.

use super::*;
use crate::packet::QoS;

fn message() -> Publish {
    Publish {
        retain: true,
        packet_identifier: crate::packet::PacketIdentifier::new(7),
        properties: Some(Box::new(PublishProperties {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(300),
            content_type: Some("application/json".into()),
            response_topic: Some("re/spo".into()),
            correlation_data: Some("corr".into()),
            user_properties: vec![("k".into(), "v".into()), ("k".into(), "w".into())],
        })),
        ..Publish::new("a/topic".into(), r#"{"v":21.5}"#.into()).with_qos(QoS::AtLeastOnce)
    }
}

fn printed(format: &str, message: &Publish) -> String {
    let mut out = Vec::new();
    let format: Format = format.parse().unwrap_or_else(|error| panic!("{format}: {error}"));
    let _ = format.write(message, false, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn each_conversion_prints_what_mosquitto_sub_prints() {
    for (format, expected) in [
        ("%p", r#"{"v":21.5}"#),
        ("%14p|%-14p|%014p", r#"    {"v":21.5}|{"v":21.5}    |0000{"v":21.5}"#),
        ("%3p|%-3p|%.3p", r#"{"v|{"v|{"v":21.5}"#),
        ("%x", "7b2276223a32312e357d"),
        // Where there is room for all of it, mosquitto_sub leaves half of it out.
        ("%14x|%-14x|%5x|%022x", "7b2276223a3231|7b2276223a3231| 7b22|007b2276223a32312e357d"),
        ("%X", "7B2276223A32312E357D"),
        ("%9t|%-9t|%09t", "  a/topic|a/topic  |  a/topic"),
        ("%10.3t|%.3t|%-10.3t|", "       a/t|a/t|a/t       |"),
        ("%l|%5l|%-5l|%05l|%-05l|", "10|   10|10   |00010|10   |"),
        ("%q|%5q|%r|%5r", "1|1|1|1"),
        ("%m|%03m", "7|007"),
        ("[%A|%5A|%05S]", "[|     |00000]"),
        ("%C|%.3C|%-5.3C|", "application/json|app|app  |"),
        ("%D|%20D", "corr|corr"),
        ("%E|%08E|%F|%04F|%-4F|", "300|00000300|1|0001|1   |"),
        ("%R|%.2R|%8R", "re/spo|re|  re/spo"),
        ("%P|%20P", "k:v k:w|k:v k:w"),
        ("%%|%5%|@@", "%|%|@"),
        ("\\\\|\\n|\\t|\\0|\\a|\\e|\\r|\\v", "\\|\n|\t|\0|\u{7}|\u{1b}|\r|\u{b}"),
    ] {
        assert_eq!(printed(format, &message()), expected, "{format}");
    }
}

#[test]
fn a_topic_is_cut_between_letters() {
    let message = Publish::new("äöü".into(), "".into());
    assert_eq!(printed("%.2t|%4t|", &message), "äö| äöü|");
}

#[test]
fn json_has_the_names_of_mosquitto_sub_and_keeps_the_order_of_the_payload() {
    let tail = r#""topic":"a/topic","qos":1,"retain":1,"payloadlen":10,"mid":7,"properties":{"payload-format-indicator":1,"message-expiry-interval":300,"content-type":"application/json","response-topic":"re/spo","correlation-data":"corr","user-properties":{"k":"v","k":"w"}},"payload":"#;
    let text = printed("%j", &message());
    assert!(text.ends_with(&format!(r#"{tail}"{{\"v\":21.5}}"}}"#)), "{text}");
    let nested = printed("%J", &message());
    assert!(nested.ends_with(&format!(r#"{tail}{{"v":21.5}}}}"#)), "{nested}");
    let ordered = Publish::new("t".into(), r#" {"b":[1,{"x":null}], "a":-1e3,"b":true} "#.into());
    let printed = printed("%J", &ordered);
    assert!(printed.ends_with(r#""payload":{"b":[1,{"x":null}],"a":-1000.0,"b":true}}"#), "{printed}");
}

#[test]
fn a_payload_that_is_no_json_or_no_text_leaves_the_rest_as_it_is() {
    let mut out = Vec::new();
    let message = Publish::new("t".into(), (&b"\xff\0"[..]).into());
    let format: Format = "<%J>".parse().unwrap();
    assert_eq!((format.write(&message, false, &mut out), &out[..]), (Err(NotJson), &b"<>"[..]));
    out.clear();
    let format: Format = "%p%j".parse().unwrap();
    assert_eq!(format.write(&message, false, &mut out), Ok(()));
    assert!(out.starts_with(b"\xff\0{") && out.ends_with("\"payload\":\"\u{fffd}\\u0000\"}".as_bytes()));
}

#[test]
fn json_that_is_nested_without_end_is_no_json() {
    let message = Publish::new("t".into(), "[".repeat(100_000).into());
    assert_eq!(printed("<%J>", &message), "<>");
}

#[test]
fn times_are_those_of_strftime() {
    let message = message();
    let unix = printed("%U", &message);
    let (seconds, nanoseconds) = unix.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000 && nanoseconds.len() == 9, "{unix}");
    let iso = printed("%I", &message);
    assert!(iso.len() == 24 && &iso[10..11] == "T", "{iso}");
    assert_eq!(printed("%.4I|@Y", &message), format!("{0}|{0}", &iso[..4]));
    assert_eq!(printed("@N", &message).len(), 9);
    assert_eq!(printed("@H:@M", &message).len(), 5);
    assert_eq!(printed("@+@q@%", &message), "%+%q%");
    let all: String = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"
        .chars()
        .flat_map(|letter| ['<', '@', letter, '>'])
        .collect();
    let text = printed(&all, &message);
    assert!(!text.contains("<>") && !text.contains('%'), "{text}");
}

#[test]
fn a_format_with_a_mistake_is_refused() {
    for (format, says) in [
        ("%z", "`%z` stands for nothing"),
        ("%", "at its end"),
        ("@", "at its end"),
        ("a\\", "at its end"),
        ("\\q", "`\\q` stands for nothing"),
        ("%0-20p", "`%-` stands for nothing"),
        ("%100000000000000000000000t", "at most 10000"),
        ("%.10001t", "at most 10000"),
    ] {
        let error = format.parse::<Format>().unwrap_err();
        assert!(error.contains(says), "{format}: {error}");
    }
}
