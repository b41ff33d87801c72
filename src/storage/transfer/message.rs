//! An Application Message in a line of JSON, and back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::message::{self, ApplicationMessage, ClientKey, Timestamp};
use crate::packet::{
    Decoder, PacketIdentifier, ProtocolVersion, PublishHeader, PublishProperties, QoS, encode_publish_header,
};
use crate::topic::TopicName;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Message {
    topic: String,
    payload: Base64,
    qos: u8,
    retain: bool,
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    depth: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties: Option<Properties>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Origin {
    Client,
    Will,
    Injected,
    Bridge,
    Cluster,
    Retained,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Properties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_data: Option<Base64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user_properties: Vec<(String, String)>,
}

pub(super) struct Base64(pub(super) Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Base64, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytes_of(&text).map(Base64).map_err(de::Error::custom)
    }
}

/// What base64 stands for.
pub(super) fn bytes_of(text: &str) -> Result<Bytes, String> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("a text is not base64: {error}"))
}

impl Message {
    pub(super) fn of(message: &ApplicationMessage) -> Message {
        Message {
            topic: message.topic.as_str().to_owned(),
            payload: Base64(message.payload.clone()),
            qos: message.qos.into(),
            retain: message.retain,
            origin: match message.origin {
                message::Origin::Client => Origin::Client,
                message::Origin::Will => Origin::Will,
                message::Origin::Injected => Origin::Injected,
                message::Origin::Bridge => Origin::Bridge,
                message::Origin::Cluster => Origin::Cluster,
                message::Origin::Retained => Origin::Retained,
            },
            expires_at: message.expires_at.map(|at| at.0),
            depth: message.depth,
            properties: message.properties.as_deref().map(Properties::of),
        }
    }

    pub(super) fn into_message(self) -> Result<ApplicationMessage, String> {
        let message = ApplicationMessage {
            topic: TopicName::try_from(self.topic.as_str()).map_err(|error| format!("topic: {error}"))?,
            payload: self.payload.0,
            qos: qos(self.qos)?,
            retain: self.retain,
            properties: self.properties.map(|properties| Box::new(properties.into_properties())),
            origin: match self.origin {
                Origin::Client => message::Origin::Client,
                Origin::Will => message::Origin::Will,
                Origin::Injected => message::Origin::Injected,
                Origin::Bridge => message::Origin::Bridge,
                Origin::Cluster => message::Origin::Cluster,
                Origin::Retained => message::Origin::Retained,
            },
            publisher: ClientKey::default(),
            expires_at: self.expires_at.map(Timestamp),
            depth: self.depth,
        };
        require_sendable(&message)?;
        Ok(message)
    }
}

impl Properties {
    fn of(properties: &PublishProperties) -> Properties {
        let pair = |(name, value): &(ByteString, ByteString)| (name.to_string(), value.to_string());
        Properties {
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            content_type: properties.content_type.as_ref().map(ToString::to_string),
            response_topic: properties.response_topic.as_ref().map(ToString::to_string),
            correlation_data: properties.correlation_data.clone().map(Base64),
            user_properties: properties.user_properties.iter().map(pair).collect(),
        }
    }

    fn into_properties(self) -> PublishProperties {
        let pair = |(name, value): (String, String)| (name.into(), value.into());
        PublishProperties {
            payload_format_indicator: self.payload_format_indicator,
            message_expiry_interval: self.message_expiry_interval,
            content_type: self.content_type.map(Into::into),
            response_topic: self.response_topic.map(Into::into),
            correlation_data: self.correlation_data.map(|data| data.0),
            user_properties: self.user_properties.into_iter().map(pair).collect(),
        }
    }
}

/// No client could be sent another message, and a storage would take it for a corrupt one.
pub(super) fn require_sendable(message: &ApplicationMessage) -> Result<(), String> {
    let properties = message.properties.as_deref();
    let header = PublishHeader {
        qos: message.qos,
        topic: message.topic.as_str(),
        packet_identifier: PacketIdentifier::new(1),
        message_expiry_interval: properties.and_then(|properties| properties.message_expiry_interval),
        properties,
        ..PublishHeader::default()
    };
    let mut bytes = BytesMut::new();
    encode_publish_header(&header, 0, ProtocolVersion::V5, &mut bytes).map_err(|error| error.to_string())?;
    let decoded = Decoder::client(ProtocolVersion::V5, u32::MAX).decode(&mut bytes.freeze());
    decoded.map(drop).map_err(|error| error.to_string())
}

pub(super) fn qos(number: u8) -> Result<QoS, String> {
    QoS::try_from(number).map_err(|_| format!("a QoS is {number}; write 0, 1 or 2"))
}
