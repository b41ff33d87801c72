//! A message as one JSON object: `%j`, and `%J` with a payload that is JSON itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

use super::NotJson;
use super::clock::Moment;
use crate::packet::{Publish, PublishProperties, UserProperty};

/// The names are those of mosquitto_sub.
#[derive(serde::Serialize)]
struct Message<'a> {
    tst: String,
    topic: &'a str,
    qos: u8,
    retain: u8,
    payloadlen: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties<'a>>,
    payload: Payload<'a>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Properties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_identifier: Option<u32>,
    #[serde(skip_serializing_if = "UserProperties::is_empty")]
    user_properties: UserProperties<'a>,
}

/// Names may come several times.
struct UserProperties<'a>(&'a [UserProperty]);

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    /// What is no UTF-8 has U+FFFD in its place: JSON has texts only.
    Text(Cow<'a, str>),
    Json(Json),
}

/// JSON whose names stay in their order.
enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

pub(super) fn write(
    message: &Publish,
    now: &Moment,
    pretty: bool,
    is_json: bool,
    out: &mut Vec<u8>,
) -> Result<(), NotJson> {
    let payload = match is_json {
        true => Payload::Json(serde_json::from_slice(&message.payload).map_err(|_| NotJson)?),
        false => Payload::Text(String::from_utf8_lossy(&message.payload)),
    };
    let object = Message {
        tst: now.in_json(),
        topic: &message.topic,
        qos: message.qos.into(),
        retain: message.retain.into(),
        payloadlen: message.payload.len(),
        mid: message.packet_identifier.map(crate::packet::PacketIdentifier::get),
        properties: Properties::of(message),
        payload,
    };
    // Texts and numbers can be written, and a vector takes them.
    let _ = match pretty {
        true => serde_json::to_writer_pretty(out, &object),
        false => serde_json::to_writer(out, &object),
    };
    Ok(())
}

impl<'a> Properties<'a> {
    fn of(message: &'a Publish) -> Option<Properties<'a>> {
        let subscription_identifier = message.subscription_identifiers.first().copied();
        let properties = match message.properties.as_deref() {
            Some(properties) => Properties::among(properties, subscription_identifier),
            None => Properties::among(NONE, Some(subscription_identifier?)),
        };
        Some(properties)
    }

    fn among(properties: &'a PublishProperties, subscription_identifier: Option<u32>) -> Properties<'a> {
        Properties {
            payload_format_indicator: properties.payload_format_indicator.map(u8::from),
            message_expiry_interval: properties.message_expiry_interval,
            content_type: properties.content_type.as_deref(),
            response_topic: properties.response_topic.as_deref(),
            correlation_data: properties.correlation_data.as_deref().map(String::from_utf8_lossy),
            subscription_identifier,
            user_properties: UserProperties(&properties.user_properties),
        }
    }
}

const NONE: &PublishProperties = &PublishProperties {
    payload_format_indicator: None,
    message_expiry_interval: None,
    content_type: None,
    response_topic: None,
    correlation_data: None,
    user_properties: Vec::new(),
};

impl UserProperties<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for UserProperties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, &**value)))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(value) => value.serialize(serializer),
            Json::Text(value) => serializer.serialize_str(value),
            Json::List(values) => serializer.collect_seq(values),
            Json::Map(values) => {
                let mut map = serializer.serialize_map(Some(values.len()))?;
                for (name, value) in values {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(entry) = access.next_entry()? {
            values.push(entry);
        }
        Ok(Json::Map(values))
    }
}
