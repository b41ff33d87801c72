//! `message`: the message that the call is about, beyond what it was called with.

use bytestring::ByteString;

use super::{HostData, mqtt_string, mqtt_user_properties, user_properties};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::PublishProperties;
use crate::plugin::bindings::tidegate::plugin::message::Host;
use crate::plugin::bindings::tidegate::plugin::types::{Modification, UserProperty};
use crate::topic::TopicName;

const NO_MODIFICATION: Modification = Modification { topic: None, payload: None, qos: None, retain: None };

impl Host for HostData {
    fn payload(&mut self, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        let payload = self.call.payload.as_deref().unwrap_or_default();
        let start = (offset as usize).min(payload.len());
        let end = start.saturating_add(length as usize).min(payload.len());
        Ok(payload[start..end].to_vec())
    }

    fn user_properties(&mut self) -> wasmtime::Result<Vec<UserProperty>> {
        Ok(self.properties().map(|p| user_properties(&p.user_properties)).unwrap_or_default())
    }

    fn content_type(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.properties().and_then(|p| p.content_type.as_ref()).map(ToString::to_string))
    }

    fn response_topic(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.properties().and_then(|p| p.response_topic.as_ref()).map(ToString::to_string))
    }

    fn correlation_data(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.properties().and_then(|p| p.correlation_data.as_ref()).map(|data| data.to_vec()))
    }

    fn payload_format_indicator(&mut self) -> wasmtime::Result<Option<bool>> {
        Ok(self.properties().and_then(|p| p.payload_format_indicator))
    }

    fn message_expiry_interval(&mut self) -> wasmtime::Result<Option<u32>> {
        Ok(self.call.expiry_interval)
    }

    fn modify(&mut self, modification: Modification) -> wasmtime::Result<()> {
        let Modification { topic, payload, qos, retain } = modification;
        let all = self.call.effects().modification.get_or_insert_with(|| Box::new(NO_MODIFICATION));
        all.topic = topic.or(all.topic.take());
        all.payload = payload.or(all.payload.take());
        all.qos = qos.or(all.qos);
        all.retain = retain.or(all.retain);
        Ok(())
    }

    fn set_user_properties(&mut self, properties: Vec<UserProperty>) -> wasmtime::Result<()> {
        self.changes().user_properties = Some(mqtt_user_properties(properties)?);
        Ok(())
    }

    fn set_content_type(&mut self, content_type: Option<String>) -> wasmtime::Result<()> {
        self.changes().content_type = Some(content_type.map(mqtt_string).transpose()?);
        Ok(())
    }

    fn set_response_topic(&mut self, topic: Option<String>) -> wasmtime::Result<()> {
        let topic = topic.map(response_topic).transpose()?;
        self.changes().response_topic = Some(topic);
        Ok(())
    }

    fn set_message_expiry_interval(&mut self, seconds: Option<u32>) -> wasmtime::Result<()> {
        self.changes().expiry_interval = Some(seconds);
        Ok(())
    }

    fn choose(&mut self, per_receiver: Vec<u32>, copies: Vec<Modification>) -> wasmtime::Result<()> {
        self.call.effects().choices = Some(Box::new(Choices { per_receiver, copies }));
        Ok(())
    }
}

impl HostData {
    fn properties(&self) -> Option<&PublishProperties> {
        self.call.properties.as_deref()
    }

    fn changes(&mut self) -> &mut PropertyChanges {
        self.call.effects().changes.get_or_insert_default()
    }
}

/// A Response Topic must not contain wildcard characters [MQTT-3.3.2-14].
fn response_topic(topic: String) -> wasmtime::Result<ByteString> {
    match TopicName::try_from(topic.as_str()) {
        Ok(_) => Ok(ByteString::from(topic)),
        Err(error) => Err(wasmtime::Error::msg(format!("the Response Topic is not legal: {error}"))),
    }
}

/// Who gets what, as the plugin said it.
#[derive(Debug)]
pub(in crate::plugin) struct Choices {
    pub(in crate::plugin) per_receiver: Vec<u32>,
    pub(in crate::plugin) copies: Vec<Modification>,
}

/// What a hook changes of a message's properties; what is none stays as it is.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct PropertyChanges {
    user_properties: Option<Vec<(ByteString, ByteString)>>,
    content_type: Option<Option<ByteString>>,
    response_topic: Option<Option<ByteString>>,
    expiry_interval: Option<Option<u32>>,
}

impl PropertyChanges {
    pub(in crate::plugin) fn apply(&self, message: &mut ApplicationMessage, now: Timestamp) {
        if let Some(seconds) = self.expiry_interval {
            message.expires_at = seconds.map(|seconds| now.after_secs(seconds));
        }
        let properties = message.properties.get_or_insert_default();
        if let Some(seconds) = self.expiry_interval {
            properties.message_expiry_interval = seconds;
        }
        if let Some(user_properties) = &self.user_properties {
            properties.user_properties.clone_from(user_properties);
        }
        if let Some(content_type) = &self.content_type {
            properties.content_type.clone_from(content_type);
        }
        if let Some(response_topic) = &self.response_topic {
            properties.response_topic.clone_from(response_topic);
        }
        if **properties == PublishProperties::default() {
            message.properties = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_set_remove_and_leave_alone() {
        let mut message = ApplicationMessage::new(TopicName::try_from("a").unwrap(), "x");
        message.properties = Some(Box::new(PublishProperties {
            content_type: Some("text".into()),
            response_topic: Some("r".into()),
            ..PublishProperties::default()
        }));
        let changes = PropertyChanges {
            content_type: Some(None),
            user_properties: Some(vec![("k".into(), "v".into())]),
            expiry_interval: Some(Some(3)),
            ..PropertyChanges::default()
        };
        changes.apply(&mut message, Timestamp(1000));
        let properties = message.properties.unwrap();
        assert_eq!(properties.content_type, None);
        assert_eq!(properties.response_topic, Some("r".into()));
        assert_eq!(properties.user_properties, [("k".into(), "v".into())]);
        assert_eq!(message.expires_at, Some(Timestamp(4000)));
    }
}
