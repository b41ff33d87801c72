//! What hooks ask of the broker: a bounded queue, drained outside of any hook, so that a hook never
//! calls back into what called it. What they only look up is answered at once.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::mpsc;

use super::Directory;
use crate::message::ApplicationMessage;
use crate::packet::{QoS, ReasonCode};
use crate::topic::TopicFilter;

/// A message that was caused by more plugins' messages in a row than this is refused.
pub const MAXIMUM_DEPTH: u8 = 8;

#[derive(Debug)]
pub enum Request {
    Publish(Box<ApplicationMessage>),
    PublishLater(Delayed),
    Disconnect {
        client_identifier: ByteString,
        reason: ReasonCode,
    },
    /// As if its client had asked; no hook is asked, and no SUBACK sent.
    Subscribe {
        client_identifier: ByteString,
        filter: TopicFilter,
        maximum_qos: QoS,
    },
    Unsubscribe {
        client_identifier: ByteString,
        filter: TopicFilter,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("queue a request to the broker: its queue is full")]
    Busy,
    #[error("publish: the message is the end of a chain of {MAXIMUM_DEPTH} messages that plugins caused")]
    TooDeep,
}

/// How much hooks may have waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests that are not carried out yet.
    pub queue: usize,
    /// Messages that are to be published later.
    pub delayed_messages: usize,
    /// Their topics, payloads and properties, in bytes.
    pub delayed_bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits { queue: 10_000, delayed_messages: 100_000, delayed_bytes: 64 << 20 }
    }
}

/// A message that is to be published later.
#[derive(Debug)]
pub struct Delayed {
    pub delay: Duration,
    pub message: Box<ApplicationMessage>,
    _counted: Counted,
}

/// A message counts as waiting until this is dropped.
#[derive(Debug)]
struct Counted {
    waiting: Arc<Waiting>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// The end that hooks hold.
#[derive(Clone)]
pub struct Requester {
    queue: mpsc::Sender<Request>,
    limits: RequestLimits,
    delayed: Arc<Waiting>,
    directory: Arc<OnceLock<Weak<dyn Directory>>>,
}

/// The end that the server drains.
pub struct Requests {
    queue: mpsc::Receiver<Request>,
    directory: Arc<OnceLock<Weak<dyn Directory>>>,
}

/// A queue for `limits.queue` requests.
pub fn requests(limits: RequestLimits) -> (Requester, Requests) {
    let (sender, receiver) = mpsc::channel(limits.queue.max(1));
    let directory = Arc::new(OnceLock::new());
    let requester =
        Requester { queue: sender, limits, delayed: Arc::default(), directory: directory.clone() };
    (requester, Requests { queue: receiver, directory })
}

impl Requester {
    /// Queues a request; never waits.
    ///
    /// # Errors
    /// `Busy` where the queue is full or nobody drains it any more, `TooDeep` for a message that came
    /// out of a loop.
    pub fn request(&self, request: Request) -> Result<(), RequestError> {
        let message = match &request {
            Request::Publish(message) | Request::PublishLater(Delayed { message, .. }) => Some(message),
            _ => None,
        };
        if message.is_some_and(|message| message.depth > MAXIMUM_DEPTH) {
            return Err(RequestError::TooDeep);
        }
        self.queue.try_send(request).map_err(|_| RequestError::Busy)
    }

    /// Has a message published after a while.
    ///
    /// # Errors
    /// As [`request`](Self::request); `Busy` also where as many messages wait as may.
    pub fn publish_later(&self, delay: Duration, message: ApplicationMessage) -> Result<(), RequestError> {
        let delayed = Delayed::new(delay, message, &self.delayed);
        let Waiting { messages, bytes } = &*self.delayed;
        if messages.load(Ordering::Relaxed) > self.limits.delayed_messages
            || bytes.load(Ordering::Relaxed) > self.limits.delayed_bytes
        {
            return Err(RequestError::Busy);
        }
        self.request(Request::PublishLater(delayed))
    }

    /// What may be looked up; none before the broker has started and after it has ended.
    pub fn directory(&self) -> Option<Arc<dyn Directory>> {
        self.directory.get()?.upgrade()
    }
}

impl Requests {
    /// What hooks look things up in from now on.
    pub fn answer_from(&self, directory: Weak<dyn Directory>) {
        // There is one broker to a queue; a second one would not be asked.
        let _ = self.directory.set(directory);
    }

    /// The next request; none when no hook can ask any more.
    pub async fn recv(&mut self) -> Option<Request> {
        self.queue.recv().await
    }

    /// The next request, where one waits.
    pub fn try_recv(&mut self) -> Option<Request> {
        self.queue.try_recv().ok()
    }
}

impl Delayed {
    fn new(delay: Duration, message: ApplicationMessage, waiting: &Arc<Waiting>) -> Delayed {
        let bytes = message.size();
        waiting.messages.fetch_add(1, Ordering::Relaxed);
        waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        let counted = Counted { waiting: waiting.clone(), bytes };
        Delayed { delay, message: Box::new(message), _counted: counted }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.waiting.messages.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("limits", &self.limits).finish_non_exhaustive()
    }
}
