//! MQTTnet's files of retained messages.

use tidegate::message::{ApplicationMessage, Timestamp};
use tidegate::packet::{PublishProperties, QoS};
use tidegate::storage::Change;
use tidegate::storage::transfer::{Part, examine, read};

use super::changes::message;

const NOW: Timestamp = Timestamp(1_000_000);

fn read_all(text: &str) -> Vec<Result<ApplicationMessage, String>> {
    let changes = match read(text.as_bytes(), None, NOW) {
        Ok(changes) => changes,
        Err(wrong) => return vec![Err(wrong.to_string())],
    };
    let message = |change| match change {
        Change::PutRetained(message) => ApplicationMessage::clone(&message),
        other => panic!("{other:?}"),
    };
    changes.map(|read| read.map(|(_, change)| message(change)).map_err(|wrong| wrong.to_string())).collect()
}

/// The messages of a list in which nothing is wrong.
fn messages(text: &str) -> Vec<ApplicationMessage> {
    let messages: Result<_, _> = read_all(text).into_iter().collect();
    messages.unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn full() -> ApplicationMessage {
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: None,
        content_type: Some("text/plain".into()),
        response_topic: Some("answer".into()),
        correlation_data: Some((&b"\x01\x02"[..]).into()),
        user_properties: vec![("unit".into(), "°C".into()), ("unit".into(), "".into())],
    };
    let properties = Some(Box::new(properties));
    ApplicationMessage { properties, ..message("a/b", "hello").with_qos(QoS::AtLeastOnce).with_retain(true) }
}

#[test]
fn the_model_of_the_sample_is_read_with_all_it_has() {
    let text = r#"[
        {"ContentType":"text/plain","CorrelationData":"AQI=","Payload":"aGVsbG8=","PayloadFormatIndicator":1,
         "QualityOfServiceLevel":1,"ResponseTopic":"answer","Topic":"a/b",
         "UserProperties":[{"Name":"unit","Value":"°C"},{"Name":"unit","Value":""}]},
        {"ContentType":null,"CorrelationData":null,"Payload":"eA==","PayloadFormatIndicator":0,
         "QualityOfServiceLevel":0,"ResponseTopic":null,"Topic":"plain","UserProperties":null}
    ]"#;
    assert_eq!(messages(text), [full(), message("plain", "x").with_retain(true)]);
}

#[test]
fn messages_that_newtonsoft_wrote_are_read_in_the_form_of_each_version() {
    let version_2 = r#"[{"Topic":"a","Payload":"eA==","QualityOfServiceLevel":2,"Retain":true}]"#;
    let version_3 = r#"[{"Topic":"a","Payload":"eA==","QualityOfServiceLevel":2,"Retain":true,"Dup":false,
        "UserProperties":null,"ContentType":null,"ResponseTopic":null,"PayloadFormatIndicator":null,
        "MessageExpiryInterval":null,"TopicAlias":null,"CorrelationData":null,"SubscriptionIdentifiers":null}]"#;
    let version_4 = r#"[{"ContentType":null,"CorrelationData":null,"Dup":false,"MessageExpiryInterval":0,
        "Payload":"eA==","PayloadSegment":{"Array":"AHgA","Offset":1,"Count":1},"PayloadFormatIndicator":0,
        "QualityOfServiceLevel":2,"ResponseTopic":null,"Retain":true,"SubscriptionIdentifiers":null,"Topic":"a",
        "TopicAlias":0,"UserProperties":null}]"#;
    let segment_alone =
        r#"[{"Topic":"a","PayloadSegment":{"Array":"AHgA","Offset":1,"Count":1},"QualityOfServiceLevel":2}]"#;
    let segment_as_list = r#"[{"Topic":"a","PayloadSegment":[120],"QualityOfServiceLevel":2}]"#;
    let names = r#"[{"topic":"a","payload":"eA==","qualityOfServiceLevel":"ExactlyOnce","payloadFormatIndicator":"Unspecified"}]"#;
    for text in [version_2, version_3, version_4, segment_alone, segment_as_list, names] {
        let expected = message("a", "x").with_qos(QoS::ExactlyOnce).with_retain(true);
        assert_eq!(messages(text), [expected], "{text}");
    }
    let marked = format!("\u{feff}\r\n {version_2}");
    assert_eq!(messages(&marked).len(), 1, "a byte order mark");
}

#[test]
fn what_expires_does_so_as_if_it_were_published_now() {
    let read = messages(r#"[{"Topic":"a","Payload":"eA==","MessageExpiryInterval":60}]"#);
    assert_eq!(read[0].expires_at, Some(NOW.after_secs(60)));
    assert_eq!(read[0].properties.as_ref().unwrap().message_expiry_interval, Some(60));
}

#[test]
fn the_value_of_a_user_property_may_be_there_as_bytes() {
    let text = r#"[{"Topic":"a","Payload":"eA==","UserProperties":[{"Name":"n","Value":"v","ValueBuffer":"dg=="},{"Name":"n","ValueBuffer":"dg=="}]}]"#;
    let pair = || ("n".into(), "v".into());
    assert_eq!(messages(text)[0].properties.as_ref().unwrap().user_properties, [pair(), pair()]);
}

#[test]
fn an_empty_list_has_no_messages() {
    assert_eq!(messages("[]"), []);
}

#[test]
fn what_is_wrong_is_told_with_its_entry() {
    let cases = [
        ("1", "is no object"),
        ("{}", "Topic is missing"),
        (r#"{"Topic":7}"#, "`topic` is no text"),
        (r#"{"Topic":"a/#","Payload":"eA=="}"#, "Topic: "),
        (r#"{"Topic":"a"}"#, "has no payload"),
        (r#"{"Topic":"a","Payload":""}"#, "has no payload"),
        (r#"{"Topic":"a","Payload":"x"}"#, "payload: a text is not base64"),
        (r#"{"Topic":"a","Payload":true}"#, "payload: is neither base64 nor a segment"),
        (r#"{"Topic":"a","Payload":[256]}"#, "payload: a byte is no number from 0 to 255"),
        (r#"{"Topic":"a","Payload":{"Length":3,"IsEmpty":false}}"#, "ReadOnlySequence"),
        (
            r#"{"Topic":"a","PayloadSegment":{"Array":"eA==","Offset":1,"Count":1}}"#,
            "ends behind its array of 1 bytes",
        ),
        (
            r#"{"Topic":"a","PayloadSegment":{"Array":"eA==","Offset":18446744073709551615,"Count":2}}"#,
            "ends behind",
        ),
        (r#"{"Topic":"a","PayloadSegment":{"Array":"eA==","Count":1}}"#, "has no member `offset`"),
        (r#"{"Topic":"a","Payload":"eA==","QualityOfServiceLevel":3}"#, "QualityOfServiceLevel: a QoS is 3"),
        (r#"{"Topic":"a","Payload":"eA==","QualityOfServiceLevel":256}"#, "QualityOfServiceLevel: "),
        (
            r#"{"Topic":"a","Payload":"eA==","QualityOfServiceLevel":"Often"}"#,
            "is `Often`, not one of AtMostOnce",
        ),
        (r#"{"Topic":"a","Payload":"eA==","PayloadFormatIndicator":2}"#, "PayloadFormatIndicator is 2"),
        (
            r#"{"Topic":"a","Payload":"eA==","MessageExpiryInterval":4294967296}"#,
            "MessageExpiryInterval is out of range",
        ),
        (r#"{"Topic":"a","Payload":"eA==","UserProperties":{}}"#, "UserProperties: is no list"),
        (
            r#"{"Topic":"a","Payload":"eA==","UserProperties":[{"Value":"v"}]}"#,
            "UserProperties: Name is missing",
        ),
        (r#"{"Topic":"a","Payload":"eA==","ResponseTopic":"a/#"}"#, "[MQTT-3.3.2-14]"),
        (r#"{"Topic":"a","Payload":"eA==","Colour":"red"}"#, "has a member `colour` that it should not have"),
        (r#"{"Topic":"a","topic":"b","Payload":"eA=="}"#, "is there twice"),
        (r#"{"Topic":"first","Payload":"eA=="}"#, "has the same topic as entry 1"),
    ];
    for (entry, told) in cases {
        let text = format!(r#"[{{"Topic":"first","Payload":"eA=="}},{entry}]"#);
        let [first, second] = &read_all(&text)[..] else { panic!("{text}") };
        assert!(first.is_ok(), "{first:?}");
        let wrong = second.as_ref().unwrap_err();
        assert!(wrong.starts_with("entry 2: ") && wrong.contains(told), "{told}: {wrong}");
        let examined = examine(read(text.as_bytes(), None, NOW).unwrap(), Part::Retained, NOW);
        assert_eq!(examined.unwrap_err().len(), 1);
    }
}
