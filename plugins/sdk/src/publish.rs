//! The hook `intercepting-publish`.

use std::ops::Deref;

use crate::__private::{Exported, Instance, with};
use crate::bindings::intercepting_publish::exports::tidegate::plugin::intercepting_publish as generated;
use crate::{ClientKey, Message, Origin, Qos, Reply};

/// `Continue`, `Modify(Modification)`, `Swallow` (acknowledge with success, route to nobody) or
/// `Reject(ReasonCode)`; [`Reply`] adds what the acknowledgement carries, and closing the connection.
pub use generated::Verdict as PublishVerdict;

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
        payload: Vec<u8>,
        payload_length: u32,
        qos: Qos,
        retain: bool,
    ) -> PublishVerdict {
        let message = Message::new(client, origin, topic, payload, payload_length);
        with(|plugin: &mut P| plugin.intercept(Publish { message, qos, retain }))
    }
}
