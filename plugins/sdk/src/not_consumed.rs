//! The hook `application-message-not-consumed`.

use std::ops::Deref;

use crate::__private::{Exported, Instance, with};
use crate::bindings::application_message_not_consumed::exports::tidegate::plugin::application_message_not_consumed as generated;
use crate::{ClientKey, Message, Origin, Qos, Reply};

/// `Observe`, `Redirect(topic)` or `Answer(ReasonCode)` (MQTT 5.0, in place of 0x10).
pub use generated::Verdict as NotConsumedVerdict;
pub use generated::Why;

/// Moment: a message was routed and queued for nobody.
pub trait ApplicationMessageNotConsumed {
    fn not_consumed(&mut self, message: NotConsumed) -> NotConsumedVerdict;
}

/// A message that nobody gets.
#[derive(Debug)]
pub struct NotConsumed {
    pub(crate) message: Message,
    pub(crate) qos: Qos,
    pub(crate) why: Why,
}

impl NotConsumed {
    pub fn qos(&self) -> Qos {
        self.qos
    }

    pub fn why(&self) -> Why {
        self.why
    }
}

impl Deref for NotConsumed {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Reply for NotConsumedVerdict {}

impl<P: Instance + ApplicationMessageNotConsumed> generated::Guest for Exported<P> {
    fn not_consumed(
        client: ClientKey,
        origin: Origin,
        topic: String,
        payload: Option<Vec<u8>>,
        payload_length: u32,
        qos: Qos,
        why: Why,
    ) -> NotConsumedVerdict {
        let message = Message::new(client, origin, topic, payload, payload_length);
        with(|plugin: &mut P| plugin.not_consumed(NotConsumed { message, qos, why }))
    }
}
