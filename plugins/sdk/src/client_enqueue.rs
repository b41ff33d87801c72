//! The hook `intercepting-client-enqueue`.

use std::cell::OnceCell;
use std::ops::Deref;

use crate::__private::{Exported, Instance, with};
use crate::bindings::intercepting_client_enqueue::exports::tidegate::plugin::intercepting_client_enqueue as generated;
use crate::{ClientKey, Message, Modification, Origin, Qos, host};

/// What becomes of a message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnqueueVerdict {
    /// It goes to every receiver, as it is.
    Deliver,
    /// It goes to none.
    Skip,
    /// Each receiver gets what was chosen for it.
    Choose(Choices),
}

/// Somebody the message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    /// Zero where the receiver is offline.
    pub client: ClientKey,
    /// The session of the receiver; [`client::session_identifier`](crate::client::session_identifier) tells its
    /// Client Identifier.
    pub session: u64,
    /// The QoS it would be delivered with.
    pub qos: Qos,
    /// The RETAIN flag it would be delivered with.
    pub retain: bool,
}

/// One choice per receiver; see [`Choices::deliver_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// In the order of the receivers: 0 skips, 1 delivers as it is, 2 + n delivers `copies[n]`.
    pub per_receiver: Vec<u32>,
    pub copies: Vec<Modification>,
}

/// Moment: the receivers of a message are known, nothing is queued yet; once per message for all its
/// receivers, also for retained messages at SUBSCRIBE.
pub trait InterceptingClientEnqueue {
    fn intercept(&mut self, enqueue: Enqueue) -> EnqueueVerdict;
}

/// A message on its way out, and whom it goes to.
#[derive(Debug)]
pub struct Enqueue {
    pub(crate) message: Message,
    packed: Vec<u64>,
    /// Unpacked where they are asked for.
    receivers: OnceCell<Vec<Receiver>>,
}

/// Numbers of a receiver.
const PACKED: usize = 3;

impl Enqueue {
    pub(crate) fn new(message: Message, packed: Vec<u64>) -> Self {
        Self { message, packed, receivers: OnceCell::new() }
    }

    pub fn receivers(&self) -> &[Receiver] {
        self.receivers.get_or_init(|| self.packed.chunks_exact(PACKED).map(Receiver::unpack).collect())
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.packed.len() / PACKED
    }

    /// Choices that deliver to every receiver, to be changed one by one.
    pub fn choices(&self) -> Choices {
        Choices::deliver_all(self.receiver_count())
    }
}

impl Receiver {
    fn unpack(packed: &[u64]) -> Self {
        let qos = match packed[2] & 3 {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        };
        Self { client: packed[0], session: packed[1], qos, retain: packed[2] & 4 != 0 }
    }

    /// For [`testing`](crate::testing).
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn pack(self) -> [u64; PACKED] {
        let qos = match self.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
        };
        [self.client, self.session, qos | u64::from(self.retain) << 2]
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
        receivers: Vec<u64>,
    ) -> generated::Verdict {
        let message = Message::new(sender, origin, topic, payload, payload_length);
        match with(|plugin: &mut P| plugin.intercept(Enqueue::new(message, receivers))) {
            EnqueueVerdict::Deliver => generated::Verdict::Deliver,
            EnqueueVerdict::Skip => generated::Verdict::Skip,
            EnqueueVerdict::Choose(choices) => {
                let copies: Vec<_> = choices.copies.iter().map(Modification::lend).collect();
                host::message::choose(&choices.per_receiver, &copies);
                generated::Verdict::Deliver
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_unpacked_as_the_interface_says() {
        let unpack = |with| Receiver::unpack(&[7, 5, with]);
        assert_eq!(unpack(0b101), Receiver { client: 7, session: 5, qos: Qos::AtLeastOnce, retain: true });
        for with in [0b000, 0b001, 0b010, 0b100, 0b101, 0b110] {
            assert_eq!(unpack(with).pack(), [7, 5, with]);
        }
    }
}
