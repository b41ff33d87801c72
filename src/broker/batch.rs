//! What a connection publishes in one go: put into the queues together.
//!
//! A read brings many messages, and mostly to the same receivers. Gathered until the connection has acted on
//! all of them, they cost one lock and one wake-up per receiver instead of one per message, and each receiver
//! writes them with one system call. Only messages whose receivers the thread [remembers](super::matches) are
//! gathered; before any other is delivered, those that were gathered are.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Broker;
use super::detached::Detached;
use super::mailbox::Wakes;
use super::matches::{Matched, Receiver};
use crate::message::ApplicationMessage;
use crate::session::Delivery;

/// Deliveries that are gathered at most.
const LARGEST: usize = 8 * 1024;

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::default();
}

#[derive(Default)]
struct Batch {
    /// Something is published in one go now.
    is_open: bool,
    messages: Vec<Gathered>,
    deliveries: usize,
    wakes: Wakes,
}

struct Gathered {
    matched: Matched,
    message: Arc<ApplicationMessage>,
    detached: Detached,
}

/// Whether what is published now is published in one go with more.
pub(super) fn is_open() -> bool {
    BATCH.with_borrow(|batch| batch.is_open)
}

impl Broker {
    /// Whatever `publishing` publishes between two waits is gathered, and delivered before it waits or ends.
    pub async fn in_one_go<T>(&self, publishing: impl Future<Output = T>) -> T {
        let mut publishing = std::pin::pin!(publishing);
        std::future::poll_fn(|cx| self.poll_in_one_go(cx, publishing.as_mut())).await
    }

    fn poll_in_one_go<T>(
        &self,
        cx: &mut Context<'_>,
        publishing: Pin<&mut impl Future<Output = T>>,
    ) -> Poll<T> {
        BATCH.with_borrow_mut(|batch| batch.is_open = true);
        let _open = Open(self);
        publishing.poll(cx)
    }

    /// Keeps a message for its receivers. Only while the batch [is open](is_open).
    pub(super) fn gather(&self, message: Arc<ApplicationMessage>, matched: Matched) {
        if matched.is_empty() {
            return;
        }
        let is_full = BATCH.with_borrow_mut(|batch| {
            batch.deliveries += matched.len();
            batch.messages.push(Gathered { matched, message, detached: Detached::default() });
            batch.deliveries >= LARGEST
        });
        if is_full {
            self.deliver_gathered();
        }
    }

    /// To be called before anything is delivered that was not gathered: order holds.
    pub(super) fn deliver_gathered(&self) {
        let (mut messages, mut wakes) = BATCH.with_borrow_mut(|batch| {
            batch.deliveries = 0;
            (std::mem::take(&mut batch.messages), std::mem::take(&mut batch.wakes))
        });
        if messages.is_empty() {
            return;
        }
        for run in messages.chunk_by_mut(|one, next| std::rc::Rc::ptr_eq(&one.matched, &next.matched)) {
            self.deliver_run(run, &mut wakes);
        }
        wakes.wake();
        messages.clear();
        BATCH.with_borrow_mut(|batch| (batch.messages, batch.wakes) = (messages, wakes));
    }

    /// Messages with the same receivers.
    fn deliver_run(&self, run: &mut [Gathered], wakes: &mut Wakes) {
        let Some(matched) = run.first().map(|first| first.matched.clone()) else { return };
        for receiver in matched.iter() {
            // One that is gone gets nothing, as if it had not been found.
            let Some(entry) = receiver.session() else { continue };
            let deliveries = run.iter_mut().map(|gathered| gathered.for_receiver(receiver));
            let refused = entry.enqueue_all(deliveries, wakes);
            for (delivery, why) in refused {
                self.dropped(&entry.client_identifier, &delivery, why);
            }
            wakes.post_some();
        }
    }
}

impl Gathered {
    fn for_receiver(&mut self, receiver: &Receiver) -> (Delivery, &mut Detached) {
        let retain = self.message.retain && receiver.retain_as_published;
        let mut delivery = Delivery::new(self.message.clone(), receiver.maximum_qos, retain);
        delivery.subscription_identifiers = receiver.subscription_identifiers.clone();
        (delivery, &mut self.detached)
    }
}

/// Closes the batch, also where what publishes panics.
struct Open<'a>(&'a Broker);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        BATCH.with_borrow_mut(|batch| batch.is_open = false);
        self.0.deliver_gathered();
    }
}
