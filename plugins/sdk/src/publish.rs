//! The hook `intercepting-publish`.

use std::ops::Deref;

use crate::__private::{Exported, Instance, with};
use crate::bindings::intercepting_publish::exports::tidegate::plugin::intercepting_publish as generated;
use crate::{ClientKey, Message, Modification, Origin, Qos, ReasonCode, Reply, host};

/// What becomes of a message; [`Reply`] adds what the acknowledgement carries, and closing the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishVerdict {
    /// It goes on, with what the setters of [`Message`] changed.
    Continue,
    /// The same, changed further.
    Modify(Modification),
    /// Acknowledge with success, route to nobody, retain nothing.
    Swallow,
    /// Acknowledge with this Reason Code (0x80 or above), route to nobody, retain nothing.
    Reject(ReasonCode),
}

/// Moment: the topic alias is resolved and a duplicate ruled out; before the retained store and the
/// fan-out; for a message of any origin.
pub trait InterceptingPublish {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict;
}

/// A message on its way in.
#[derive(Debug)]
pub struct Publish {
    pub(crate) message: Message,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

impl Publish {
    pub fn qos(&self) -> Qos {
        self.qos
    }

    pub fn retain(&self) -> bool {
        self.retain
    }

    /// The payload as a buffer to change, without a copy.
    pub fn into_payload(self) -> Vec<u8> {
        self.message.into_payload()
    }
}

impl Deref for Publish {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Reply for PublishVerdict {}

impl<P: Instance + InterceptingPublish> generated::Guest for Exported<P> {
    fn intercept(
        client: ClientKey,
        origin: Origin,
        topic: String,
        payload: Option<Vec<u8>>,
        payload_length: u32,
        qos: Qos,
        retain: bool,
    ) -> generated::Verdict {
        let message = Message::new(client, origin, topic, payload, payload_length);
        match with(|plugin: &mut P| plugin.intercept(Publish { message, qos, retain })) {
            PublishVerdict::Continue => generated::Verdict::Continue,
            PublishVerdict::Modify(modification) => {
                host::message::modify(modification.lend());
                generated::Verdict::Continue
            }
            PublishVerdict::Swallow => generated::Verdict::Swallow,
            PublishVerdict::Reject(reason) => generated::Verdict::Reject(reason),
        }
    }
}
