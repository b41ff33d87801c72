//! The hook `intercepting-client-enqueue`.

use std::ops::Deref;

use crate::__private::{Exported, Instance, with};
use crate::bindings::intercepting_client_enqueue::exports::tidegate::plugin::intercepting_client_enqueue as generated;
use crate::{ClientKey, Message, Modification, Origin};

/// One choice per receiver; see [`Choices::deliver_all`].
pub use generated::Choices;
pub use generated::Receiver;
/// `Deliver` (to every receiver, as it is), `Skip` (all of them) or `Choose(Choices)`.
pub use generated::Verdict as EnqueueVerdict;

/// Moment: the receivers of a message are known, nothing is queued yet; once per message for all its
/// receivers, also for retained messages at SUBSCRIBE.
pub trait InterceptingClientEnqueue {
    fn intercept(&mut self, enqueue: Enqueue) -> EnqueueVerdict;
}

/// A message on its way out, and whom it goes to.
#[derive(Debug)]
pub struct Enqueue {
    pub(crate) message: Message,
    pub(crate) receivers: Vec<Receiver>,
}

impl Enqueue {
    pub fn receivers(&self) -> &[Receiver] {
        &self.receivers
    }

    /// Choices that deliver to every receiver, to be changed one by one.
    pub fn choices(&self) -> Choices {
        Choices::deliver_all(self.receivers.len())
    }
}

impl Deref for Enqueue {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// A changed copy of the message that several receivers can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied(u32);

const SKIP: u32 = 0;
const AS_IT_IS: u32 = 1;
const FIRST_COPY: u32 = 2;

/// ```
/// use tidegate_plugin::{Choices, Modification};
/// let mut choices = Choices::deliver_all(3);
/// let brief = choices.copy(Modification::new().payload("brief"));
/// choices.skip(0);
/// choices.deliver_copy(2, brief);
/// assert_eq!(choices.per_receiver, [0, 1, 2]);
/// ```
impl Choices {
    pub fn deliver_all(receivers: usize) -> Self {
        Self { per_receiver: vec![AS_IT_IS; receivers], copies: Vec::new() }
    }

    pub fn skip(&mut self, receiver: usize) {
        self.per_receiver[receiver] = SKIP;
    }

    pub fn copy(&mut self, modification: Modification) -> Copied {
        self.copies.push(modification);
        Copied(self.copies.len() as u32 - 1)
    }

    pub fn deliver_copy(&mut self, receiver: usize, copy: Copied) {
        self.per_receiver[receiver] = FIRST_COPY + copy.0;
    }
}

impl From<Choices> for EnqueueVerdict {
    fn from(choices: Choices) -> Self {
        Self::Choose(choices)
    }
}

impl<P: Instance + InterceptingClientEnqueue> generated::Guest for Exported<P> {
    fn intercept(
        sender: ClientKey,
        origin: Origin,
        topic: String,
        payload: Option<Vec<u8>>,
        payload_length: u32,
        receivers: Vec<Receiver>,
    ) -> EnqueueVerdict {
        let message = Message::new(sender, origin, topic, payload, payload_length);
        with(|plugin: &mut P| plugin.intercept(Enqueue { message, receivers }))
    }
}
