//! What a connection publishes in one go: put into the queues together.
//!
//! A read brings many messages, and mostly to the same receivers. Gathered until the connection has acted on
//! all of them, they cost one lock and one wake-up per receiver instead of one per message, and each receiver
//! writes them with one system call. Only messages whose receivers the thread [remembers](super::matches) are
//! gathered; before any other is delivered, those that were gathered are.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::Broker;
use super::detached::Detached;
use super::mailbox::Wakes;
use super::matches::{Matched, Receiver};
use super::session_entry::SessionEntry;
use crate::message::ApplicationMessage;
use crate::session::{Delivery, Dropped};

/// Deliveries that are gathered at most.
const LARGEST: usize = 8 * 1024;
/// Deliveries of one message that take longer than to look at the clock, by far.
const MANY: usize = 1024;

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
    /// Whether many deliveries were made since it was asked last.
    static TOOK_LONG: Cell<bool> = const { Cell::new(false) };
}

/// For as long as it is there, what is published on this thread is gathered.
pub struct Batch(());

#[derive(Default)]
struct Gathered {
    is_open: bool,
    messages: Vec<Addressed>,
    deliveries: usize,
    wakes: Wakes,
}

struct Addressed {
    matched: Matched,
    /// Until its last receiver has it.
    message: Option<Arc<ApplicationMessage>>,
    detached: Detached,
}

/// Whether what is published now is published in one go with more.
pub(super) fn is_open() -> bool {
    GATHERED.with_borrow(|gathered| gathered.is_open)
}

impl Batch {
    /// What `publishing` publishes is gathered. Once it has returned,
    /// [`deliver_gathered`](Broker::deliver_gathered) is to be called, before anything is waited for.
    ///
    /// # Errors
    /// With what it panicked, to be thrown on: what came before the hook that did is delivered all the same.
    pub fn of<T>(publishing: impl FnOnce() -> T) -> thread::Result<T> {
        GATHERED.with_borrow_mut(|gathered| gathered.is_open = true);
        let _open = Batch(());
        catch_unwind(AssertUnwindSafe(publishing))
    }

    /// Whether this thread has made so many deliveries since it was asked last that others may have waited for it.
    pub fn took_long() -> bool {
        TOOK_LONG.replace(false)
    }
}

/// A message is delivered to so many.
pub(super) fn note_deliveries(count: usize) {
    if count >= MANY {
        TOOK_LONG.set(true);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        GATHERED.with_borrow_mut(|gathered| gathered.is_open = false);
    }
}

impl Broker {
    /// Whatever `publishing` publishes between two waits is gathered, and delivered before it waits or ends.
    pub async fn in_one_go<T>(&self, mut publishing: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|cx| {
            let polled = Batch::of(|| publishing.as_mut().poll(cx));
            self.deliver_gathered();
            polled.unwrap_or_else(|panic| resume_unwind(panic))
        })
        .await
    }

    /// Keeps a message for its receivers. Only while the batch [is open](is_open).
    pub(super) fn gather(&self, message: Arc<ApplicationMessage>, matched: Matched) {
        if matched.is_empty() {
            return;
        }
        let is_full = GATHERED.with_borrow_mut(|gathered| {
            gathered.deliveries += matched.len();
            gathered.messages.push(Addressed {
                matched,
                message: Some(message),
                detached: Detached::default(),
            });
            gathered.deliveries >= LARGEST
        });
        if is_full {
            TOOK_LONG.set(true);
            self.deliver_gathered();
        }
    }

    /// Delivers what this thread has gathered. Also to be called before anything is delivered that was not: so order
    /// holds.
    pub fn deliver_gathered(&self) {
        let Some((mut messages, mut wakes)) = GATHERED.with_borrow_mut(Gathered::take) else { return };
        let mut refused = Vec::new();
        let group = self.group_of(messages.len());
        for run in messages.chunk_by_mut(|one, next| Rc::ptr_eq(&one.matched, &next.matched)) {
            deliver_run(run, &mut wakes, &mut refused);
        }
        drop(group);
        wakes.wake();
        messages.clear();
        GATHERED.with_borrow_mut(|gathered| (gathered.messages, gathered.wakes) = (messages, wakes));
        // At last, as observers hear of it, and one that panics must not keep a message from the others.
        for (entry, delivery, why) in &refused {
            self.count_dropped(&entry.client_identifier, delivery, *why);
        }
        if let Some((entry, ..)) = refused.iter().find(|(.., why)| *why == Dropped::QueueFull) {
            self.warn_of_full_queue(&entry.client_identifier);
        }
    }
}

/// What a session did not take, or gave up for what it took.
type Refused = (Arc<SessionEntry>, Delivery, Dropped);

/// Delivers messages with the same receivers.
fn deliver_run(run: &mut [Addressed], wakes: &mut Wakes, refused: &mut Vec<Refused>) {
    let Some(matched) = run.first().map(|first| first.matched.clone()) else { return };
    let mut receivers = matched.iter().peekable();
    while let Some(receiver) = receivers.next() {
        let is_last = receivers.peek().is_none();
        // One that is gone gets nothing, as if it had not been found.
        let Some(entry) = receiver.session() else { continue };
        let deliveries = run.iter_mut().filter_map(|addressed| addressed.for_receiver(receiver, is_last));
        let not_taken = entry.enqueue_all(deliveries, wakes);
        refused.extend(not_taken.into_iter().map(|(delivery, why)| (entry.clone(), delivery, why)));
        wakes.post_some();
    }
}

impl Gathered {
    /// None where there is nothing: most calls find that, and the memory stays for those that do not.
    fn take(&mut self) -> Option<(Vec<Addressed>, Wakes)> {
        if self.messages.is_empty() {
            return None;
        }
        self.deliveries = 0;
        Some((std::mem::take(&mut self.messages), std::mem::take(&mut self.wakes)))
    }
}

impl Addressed {
    /// The last one gets the message itself.
    fn for_receiver(&mut self, receiver: &Receiver, is_last: bool) -> Option<(Delivery, &mut Detached)> {
        let message = if is_last { self.message.take() } else { self.message.clone() }?;
        let retain = message.retain && receiver.retain_as_published;
        let mut delivery = Delivery::new(message, receiver.maximum_qos, retain);
        // As a rule there are none, and to copy none takes a call.
        if !receiver.subscription_identifiers.is_empty() {
            delivery.subscription_identifiers = receiver.subscription_identifiers.clone();
        }
        Some((delivery, &mut self.detached))
    }
}
