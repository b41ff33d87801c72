//! What hooks ask of the broker: a bounded queue, drained outside of any hook, so that a hook never
//! calls back into what called it.

use bytestring::ByteString;
use tokio::sync::mpsc;

use crate::message::ApplicationMessage;
use crate::packet::ReasonCode;

/// A message that was caused by more plugins' messages in a row than this is refused.
pub const MAXIMUM_DEPTH: u8 = 8;

#[derive(Debug)]
pub enum Request {
    Publish(Box<ApplicationMessage>),
    Disconnect { client_identifier: ByteString, reason: ReasonCode },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("queue a request to the broker: its queue is full")]
    Busy,
    #[error("publish: the message is the end of a chain of {MAXIMUM_DEPTH} messages that plugins caused")]
    TooDeep,
}

/// The end that hooks hold.
#[derive(Clone, Debug)]
pub struct Requester(mpsc::Sender<Request>);

/// The end that the server drains.
pub type Requests = mpsc::Receiver<Request>;

/// A queue for `capacity` requests.
pub fn requests(capacity: usize) -> (Requester, Requests) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Requester(sender), receiver)
}

impl Requester {
    /// Queues a request; never waits.
    ///
    /// # Errors
    /// `Busy` where the queue is full or nobody drains it any more, `TooDeep` for a message that came
    /// out of a loop.
    pub fn request(&self, request: Request) -> Result<(), RequestError> {
        if matches!(&request, Request::Publish(message) if message.depth > MAXIMUM_DEPTH) {
            return Err(RequestError::TooDeep);
        }
        self.0.try_send(request).map_err(|_| RequestError::Busy)
    }
}
