//! The message that a hook is about.

use std::cell::OnceCell;
use std::fmt;

use crate::bindings::host::tidegate::plugin::types;
use crate::{ClientKey, Origin, Qos, UserProperty, host};

/// A message: topic and payload come with the call, the rest is fetched where it is asked for.
pub struct Message {
    client: ClientKey,
    origin: Origin,
    topic: String,
    /// none: it is left with the broker
    eager: Option<Vec<u8>>,
    payload_length: u32,
    fetched: OnceCell<Vec<u8>>,
}

impl Message {
    pub(crate) fn new(
        client: ClientKey,
        origin: Origin,
        topic: String,
        eager: Option<Vec<u8>>,
        payload_length: u32,
    ) -> Self {
        Self { client, origin, topic, eager, payload_length, fetched: OnceCell::new() }
    }

    /// The connection that sent it; zero: no client did.
    pub fn client(&self) -> ClientKey {
        self.client
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// In bytes, whether the payload came with the call or not.
    pub fn payload_length(&self) -> usize {
        self.payload_length as usize
    }

    /// The whole payload. Where it is longer than the plugin's `eager_payload` it is fetched by the first
    /// call of this; [`payload_range`](Self::payload_range) copies less.
    pub fn payload(&self) -> &[u8] {
        match &self.eager {
            Some(payload) => payload,
            None => self.fetched.get_or_init(|| host::message::payload(0, self.payload_length)),
        }
    }

    /// At most `length` bytes from `offset`; fewer where the payload ends before.
    pub fn payload_range(&self, offset: usize, length: usize) -> Vec<u8> {
        if self.eager.is_some() || self.fetched.get().is_some() {
            let payload = self.payload();
            let start = offset.min(payload.len());
            let end = start.saturating_add(length).min(payload.len());
            return payload[start..end].to_vec();
        }
        host::message::payload(saturate(offset), saturate(length))
    }

    /// The payload as a buffer to change, without a copy.
    pub fn into_payload(mut self) -> Vec<u8> {
        self.payload();
        self.eager.or_else(|| self.fetched.take()).unwrap_or_default()
    }

    pub fn user_properties(&self) -> Vec<UserProperty> {
        host::message::user_properties()
    }

    pub fn content_type(&self) -> Option<String> {
        host::message::content_type()
    }

    pub fn response_topic(&self) -> Option<String> {
        host::message::response_topic()
    }

    pub fn correlation_data(&self) -> Option<Vec<u8>> {
        host::message::correlation_data()
    }

    /// `Some(true)`: the sender says that the payload is UTF-8 text.
    pub fn payload_format_indicator(&self) -> Option<bool> {
        host::message::payload_format_indicator()
    }

    /// Seconds left.
    pub fn message_expiry_interval(&self) -> Option<u32> {
        host::message::message_expiry_interval()
    }

    /// Takes effect, as the other setters do, where the verdict lets the message pass.
    pub fn set_user_properties(&self, properties: &[UserProperty]) {
        host::message::set_user_properties(&properties.iter().collect::<Vec<_>>());
    }

    pub fn set_content_type(&self, content_type: Option<&str>) {
        host::message::set_content_type(content_type);
    }

    pub fn set_response_topic(&self, topic: Option<&str>) {
        host::message::set_response_topic(topic);
    }

    /// Seconds; `None`: the message does not expire.
    pub fn set_message_expiry_interval(&self, seconds: Option<u32>) {
        host::message::set_message_expiry_interval(seconds);
    }
}

/// What is to be changed of a message; what is `None` stays as it is.
///
/// ```
/// use tidegate_plugin::Modification;
/// let change = Modification::new().topic("elsewhere").retain(false);
/// assert_eq!(change.payload, None, "what is not named stays as it is");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modification {
    pub topic: Option<String>,
    pub payload: Option<Vec<u8>>,
    pub qos: Option<Qos>,
    pub retain: Option<bool>,
}

impl Modification {
    /// Changes nothing yet.
    pub const fn new() -> Self {
        Self { topic: None, payload: None, qos: None, retain: None }
    }

    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    pub const fn qos(mut self, qos: Qos) -> Self {
        self.qos = Some(qos);
        self
    }

    pub const fn retain(mut self, retain: bool) -> Self {
        self.retain = Some(retain);
        self
    }

    pub(crate) fn lend(&self) -> types::Modification<'_> {
        types::Modification {
            topic: self.topic.as_deref(),
            payload: self.payload.as_deref(),
            qos: self.qos,
            retain: self.retain,
        }
    }

    /// For [`testing`](crate::testing).
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn of(lent: &types::Modification<'_>) -> Self {
        Self {
            topic: lent.topic.map(str::to_owned),
            payload: lent.payload.map(<[u8]>::to_vec),
            qos: lent.qos,
            retain: lent.retain,
        }
    }
}

/// Without the payload, which does not belong into logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("client", &self.client)
            .field("origin", &self.origin)
            .field("topic", &self.topic)
            .field("payload_length", &self.payload_length)
            .finish_non_exhaustive()
    }
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
