//! What a text of a packet may not have, looked for by those who make packets of texts that others give them.
//!
//! [`encode`](super::encoder::encode) does not look: what a broker writes it has mostly read before, and then the decoder
//! has.

use super::super::{
    Connect, Disconnect, PublishProperties, Subscribe, SubscribeFilter, Unsubscribe, UserProperty, Will,
};
use super::error::EncodeError;
use super::reader::has_wildcard;

type Checked = Result<(), EncodeError>;

impl Connect {
    /// # Errors
    /// [`EncodeError::Invalid`] where a text is none that MQTT has.
    pub fn check_texts(&self) -> Checked {
        text("a client identifier", &self.client_identifier)?;
        optional("a user name", self.user_name.as_deref())?;
        optional("an authentication method", self.authentication_method.as_deref())?;
        user_properties(&self.user_properties)?;
        self.will.as_deref().map_or(Ok(()), Will::check_texts)
    }
}

impl Will {
    fn check_texts(&self) -> Checked {
        text("the topic of a will", &self.topic)?;
        self.properties.as_deref().map_or(Ok(()), PublishProperties::check_texts)
    }
}

impl PublishProperties {
    /// # Errors
    /// [`EncodeError::Invalid`] where a text is none that MQTT has.
    pub fn check_texts(&self) -> Checked {
        optional("a content type", self.content_type.as_deref())?;
        optional("a response topic", self.response_topic.as_deref())?;
        // [MQTT-3.3.2-14]
        let is_none = |topic: &str| topic.is_empty() || has_wildcard(topic);
        if self.response_topic.as_deref().is_some_and(is_none) {
            return invalid("a response topic", "it is no topic name");
        }
        user_properties(&self.user_properties)
    }
}

impl Subscribe {
    /// # Errors
    /// [`EncodeError::Invalid`] where a text is none that MQTT has, or No Local stands at a Shared Subscription.
    pub fn check_texts(&self) -> Checked {
        for SubscribeFilter { filter, no_local, .. } in &self.subscriptions {
            text("a topic filter", filter)?;
            // [MQTT-3.8.3-4]
            if *no_local && filter.starts_with("$share/") {
                return invalid("No Local", "a Shared Subscription has no such thing");
            }
        }
        user_properties(&self.user_properties)
    }
}

impl Unsubscribe {
    /// # Errors
    /// [`EncodeError::Invalid`] where a text is none that MQTT has.
    pub fn check_texts(&self) -> Checked {
        self.filters.iter().try_for_each(|filter| text("a topic filter", filter))?;
        user_properties(&self.user_properties)
    }
}

impl Disconnect {
    /// # Errors
    /// [`EncodeError::Invalid`] where a text is none that MQTT has.
    pub fn check_texts(&self) -> Checked {
        optional("a reason string", self.reason_string.as_deref())?;
        optional("a server reference", self.server_reference.as_deref())?;
        user_properties(&self.user_properties)
    }
}

fn user_properties(properties: &[UserProperty]) -> Checked {
    let check = |(name, value): &UserProperty| {
        text("the name of a user property", name)?;
        text("the value of a user property", value)
    };
    properties.iter().try_for_each(check)
}

fn optional(field: &'static str, value: Option<&str>) -> Checked {
    value.map_or(Ok(()), |value| text(field, value))
}

/// [MQTT-1.5.4-2], in 3.1.1 [MQTT-1.5.3-2]
fn text(field: &'static str, value: &str) -> Checked {
    if value.contains('\0') { invalid(field, "it contains U+0000") } else { Ok(()) }
}

fn invalid(field: &'static str, problem: &'static str) -> Checked {
    Err(EncodeError::Invalid { field, problem })
}
