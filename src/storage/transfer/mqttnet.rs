//! Retained messages as servers made with MQTTnet keep them: one list in JSON, of either
//!
//! - the model of MQTTnet's own sample (`RetainedMessages.json`): Topic, Payload, QualityOfServiceLevel, UserProperties,
//!   ResponseTopic, CorrelationData, ContentType, PayloadFormatIndicator; or
//! - the messages themselves (`MqttApplicationMessage`), which have besides Retain, Dup, MessageExpiryInterval,
//!   SubscriptionIdentifiers, TopicAlias, and from 4.2 on a PayloadSegment.
//!
//! Bytes are base64, enumerations numbers or their names. How names of members are capitalised depends on the serialiser's
//! settings and does not matter. A member that neither has is wrong: the file is of something else then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::Value;

use super::lines::Placed;
use super::message::{bytes_of, qos, require_sendable};
use super::{At, Wrong};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::{PublishProperties, QoS, UserProperty};
use crate::storage::Change;
use crate::topic::TopicName;

/// In lower case. The last four say nothing about a retained message.
const MEMBERS: [&str; 14] = [
    "topic",
    "payload",
    "payloadsegment",
    "qualityofservicelevel",
    "userproperties",
    "responsetopic",
    "correlationdata",
    "contenttype",
    "payloadformatindicator",
    "messageexpiryinterval",
    "retain",
    "dup",
    "subscriptionidentifiers",
    "topicalias",
];

/// Members of an object by their names in lower case; those that are null are left out.
struct Members<'a>(BTreeMap<String, &'a Value>);

/// All messages of a list. `now` is when they begin to expire: the file does not say when they came.
pub(super) fn changes(text: &[u8], now: Timestamp) -> Result<Vec<Placed>, Wrong> {
    let list: Vec<Value> = serde_json::from_slice(text)
        .map_err(|error| At::Text.wrong(format!("is no list of retained messages of MQTTnet: {error}")))?;
    let mut topics: HashMap<TopicName, u64> = HashMap::new();
    let entries = list.iter().zip(1..).map(|(entry, number)| {
        let at = At::Entry(number);
        let message = message(entry, now).map_err(|why| at.wrong(why))?;
        if let Some(other) = topics.insert(message.topic.clone(), number) {
            return Err(at.wrong(format!("has the same topic as entry {other}")));
        }
        Ok((at, Change::PutRetained(Arc::new(message))))
    });
    Ok(entries.collect())
}

fn message(entry: &Value, now: Timestamp) -> Result<ApplicationMessage, String> {
    let members = Members::of(entry)?;
    members.require_known(&MEMBERS)?;
    let topic = members.text("topic")?.ok_or("Topic is missing")?;
    let topic = TopicName::try_from(topic).map_err(|error| format!("Topic: {error}"))?;
    let payload = payload(&members)?;
    if payload.is_empty() {
        return Err("has no payload; there is no empty retained message".to_owned());
    }
    let properties = properties(&members)?;
    let interval = properties.as_ref().and_then(|properties| properties.message_expiry_interval);
    let message = ApplicationMessage {
        expires_at: interval.map(|seconds| now.after_secs(seconds)),
        properties,
        ..ApplicationMessage::new(topic, payload).with_qos(quality(&members)?).with_retain(true)
    };
    require_sendable(&message)?;
    Ok(message)
}

fn quality(members: &Members<'_>) -> Result<QoS, String> {
    let names = ["AtMostOnce", "AtLeastOnce", "ExactlyOnce"];
    let number = members.number_or_name("qualityofservicelevel", &names)?.unwrap_or(0);
    qos(u8::try_from(number).unwrap_or(u8::MAX)).map_err(|why| format!("QualityOfServiceLevel: {why}"))
}

/// Some versions write it twice; the one that is there first is taken.
fn payload(members: &Members<'_>) -> Result<Bytes, String> {
    for name in ["payload", "payloadsegment"] {
        if let Some(value) = members.0.get(name) {
            return bytes(value).map_err(|why| format!("{name}: {why}"));
        }
    }
    Ok(Bytes::new())
}

/// base64; a list of numbers, as serialisers take a segment for; or the segment's own members.
fn bytes(value: &Value) -> Result<Bytes, String> {
    match value {
        Value::String(text) => bytes_of(text),
        Value::Array(numbers) => {
            let byte = |number: &Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
            let bytes: Option<Vec<u8>> = numbers.iter().map(byte).collect();
            bytes.map(Bytes::from).ok_or_else(|| "a byte is no number from 0 to 255".to_owned())
        }
        Value::Object(_) => segment(&Members::of(value)?),
        _ => Err("is neither base64 nor a segment".to_owned()),
    }
}

fn segment(members: &Members<'_>) -> Result<Bytes, String> {
    members.require_known(&["array", "offset", "count"]).map_err(|why| {
        format!("{why}; where a serialiser wrote a ReadOnlySequence of MQTTnet 5 so, the bytes are not in the file")
    })?;
    let Some(array) = members.0.get("array") else { return Ok(Bytes::new()) };
    let array = bytes(array)?;
    let place = |name: &str| {
        let number = members.number(name)?;
        let number = number.ok_or_else(|| format!("has no member `{name}`"))?;
        usize::try_from(number).map_err(|_| format!("`{name}` is too large"))
    };
    let (offset, count) = (place("offset")?, place("count")?);
    let end = offset.checked_add(count).filter(|end| *end <= array.len());
    let end = end.ok_or_else(|| format!("the segment ends behind its array of {} bytes", array.len()))?;
    Ok(array.slice(offset..end))
}

/// None where there are none. What is Unspecified, and an interval of 0, is how the messages say that there is none.
fn properties(members: &Members<'_>) -> Result<Option<Box<PublishProperties>>, String> {
    let text =
        |name| members.text(name).map(|text| text.filter(|text| !text.is_empty()).map(ByteString::from));
    let indicator = members.number_or_name("payloadformatindicator", &["Unspecified", "CharacterData"])?;
    let interval = members.number("messageexpiryinterval")?.filter(|seconds| *seconds > 0);
    let properties = PublishProperties {
        payload_format_indicator: match indicator {
            None | Some(0) => None,
            Some(1) => Some(true),
            Some(other) => return Err(format!("PayloadFormatIndicator is {other}; it is 0 or 1")),
        },
        message_expiry_interval: interval
            .map(u32::try_from)
            .transpose()
            .map_err(|_| "MessageExpiryInterval is out of range")?,
        content_type: text("contenttype")?,
        response_topic: text("responsetopic")?,
        correlation_data: members
            .0
            .get("correlationdata")
            .map(|value| bytes(value).map_err(|why| format!("CorrelationData: {why}")))
            .transpose()?
            .filter(|data| !data.is_empty()),
        user_properties: user_properties(members).map_err(|why| format!("UserProperties: {why}"))?,
    };
    Ok((properties != PublishProperties::default()).then(|| Box::new(properties)))
}

fn user_properties(members: &Members<'_>) -> Result<Vec<UserProperty>, String> {
    let Some(list) = members.0.get("userproperties") else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or("is no list")?;
    list.iter().map(user_property).collect()
}

/// From 5.1 on, the value is there as bytes too.
fn user_property(entry: &Value) -> Result<UserProperty, String> {
    let members = Members::of(entry)?;
    members.require_known(&["name", "value", "valuebuffer"])?;
    let name = members.text("name")?.ok_or("Name is missing")?;
    let value = match (members.text("value")?, members.0.get("valuebuffer")) {
        (Some(value), _) => value.to_owned(),
        (None, Some(buffer)) => {
            String::from_utf8(bytes(buffer)?.to_vec()).map_err(|_| "ValueBuffer is not UTF-8".to_owned())?
        }
        (None, None) => String::new(),
    };
    Ok((name.into(), value.into()))
}

impl<'a> Members<'a> {
    fn of(value: &'a Value) -> Result<Members<'a>, String> {
        let object = value.as_object().ok_or("is no object")?;
        let mut members = BTreeMap::new();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            if members.insert(name.to_ascii_lowercase(), value).is_some() {
                return Err(format!("`{}` is there twice", name.escape_debug()));
            }
        }
        Ok(Members(members))
    }

    fn require_known(&self, known: &[&str]) -> Result<(), String> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => {
                Err(format!("has a member `{}` that it should not have", unknown.escape_debug()))
            }
            None => Ok(()),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| format!("`{name}` is no text"))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| format!("`{name}` is no whole number"))
    }

    /// A name stands for its place in `names`.
    fn number_or_name(&self, name: &str, names: &[&str]) -> Result<Option<u64>, String> {
        let Some(Value::String(text)) = self.0.get(name) else { return self.number(name) };
        let place = names.iter().position(|known| known.eq_ignore_ascii_case(text));
        let place = place
            .ok_or_else(|| format!("`{name}` is `{}`, not one of {}", text.escape_debug(), names.join(", ")));
        place.map(|place| Some(place as u64))
    }
}
